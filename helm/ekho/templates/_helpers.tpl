{{/* Names, labels and what is derived of several values. */}}

{{- define "ekho.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* Short enough for "-headless", an ordinal and "-config" to go behind it. */}}
{{- define "ekho.fullname" -}}
{{- $name := include "ekho.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "ekho.headless" -}}
{{- include "ekho.fullname" . }}-headless
{{- end }}

{{- define "ekho.selector" -}}
app.kubernetes.io/name: {{ include "ekho.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ekho.labels" -}}
{{ include "ekho.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{/* Pods of nodes, apart from pods of jobs. */}}
{{- define "ekho.nodeSelector" -}}
{{ include "ekho.selector" . }}
app.kubernetes.io/component: node
{{- end }}

{{- define "ekho.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{- define "ekho.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "ekho.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "ekho.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "ekho.fullname" .) -}}
{{- end }}

{{- define "ekho.tlsSecret" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "ekho.fullname" .)) -}}
{{- end }}

{{- define "ekho.scheme" -}}
{{- ternary "https" "http" .Values.tls.enabled -}}
{{- end }}

{{/* The part of a node's name behind its ordinal. */}}
{{- define "ekho.nodeDomain" -}}
{{- printf "%s.%s.svc.%s" (include "ekho.headless" .) .Release.Namespace .Values.clusterDomain -}}
{{- end }}

{{/* All nodes, by the addresses that they have for each other. */}}
{{- define "ekho.peers" -}}
{{- $peers := list -}}
{{- range $ordinal := until (int .Values.replicas) -}}
{{- $peers = append $peers (printf "%s-%d.%s:%d" (include "ekho.fullname" $) $ordinal (include "ekho.nodeDomain" $) (int $.Values.service.clusterPort)) -}}
{{- end -}}
{{- join "," $peers -}}
{{- end }}

{{/* Where jobs of the release reach the relay. */}}
{{- define "ekho.internalUrl" -}}
{{- printf "%s://%s.%s.svc.%s:%d" (include "ekho.scheme" .) (include "ekho.fullname" .) .Release.Namespace .Values.clusterDomain (int .Values.service.port) -}}
{{- end }}

{{/* Where agents reach the relay, as far as the values say it. */}}
{{- define "ekho.baseUrl" -}}
{{- if and .Values.gateway.enabled .Values.gateway.hostnames -}}
https://{{ first .Values.gateway.hostnames }}
{{- else if .Values.ingress.enabled -}}
{{ ternary "https" "http" (not (empty .Values.ingress.tls)) }}://{{ (first .Values.ingress.hosts).host }}
{{- else -}}
{{ include "ekho.internalUrl" . }}
{{- end -}}
{{- end }}

{{- define "ekho.port" -}}
{{- get .Values.config "EKHO_PORT" | default 4000 | int -}}
{{- end }}

{{/* A value of the environment: helm reads numbers as floats, and would write a large one as 1e+06. */}}
{{- define "ekho.text" -}}
{{- if kindIs "float64" . -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{/* What the relay is configured with, defaults of the chart first. */}}
{{- define "ekho.config" -}}
EKHO_HOST: {{ get .Values.config "EKHO_HOST" | default "0.0.0.0" | quote }}
EKHO_PORT: {{ include "ekho.port" . | quote }}
EKHO_BASE_URL: {{ get .Values.config "EKHO_BASE_URL" | default (include "ekho.baseUrl" .) | quote }}
EKHO_LOG_FORMAT: {{ get .Values.config "EKHO_LOG_FORMAT" | default "json" | quote }}
{{- range $name, $value := omit .Values.config "EKHO_HOST" "EKHO_PORT" "EKHO_BASE_URL" "EKHO_LOG_FORMAT" "EKHO_DB_PATH" }}
{{ $name }}: {{ include "ekho.text" $value | quote }}
{{- end }}
{{- end }}

{{/* How commands in pods show who they are, and whom they trust. */}}
{{- define "ekho.trust" -}}
- --token-file=/etc/ekho/token/token
{{- if and .Values.tls.enabled .Values.tls.privateAuthority }}
- --ca-file=/etc/ekho/tls/ca.crt
{{- end }}
{{- end }}

{{/* What values must not say together. The schema has the rest. */}}
{{- define "ekho.check" -}}
{{- if not (or .Values.secrets.existingSecret .Values.secrets.operatorSessionSecret) -}}
{{- fail "secrets.operatorSessionSecret is required, or secrets.existingSecret: --set secrets.operatorSessionSecret=$(openssl rand -hex 32)" -}}
{{- end -}}
{{- if and .Values.secrets.existingSecret (or .Values.secrets.operatorSessionSecret .Values.secrets.masterSecret .Values.secrets.licenseKey) -}}
{{- fail "secrets.existingSecret takes the place of the other secrets: set one or the other" -}}
{{- end -}}
{{- if and .Values.tls.enabled (not .Values.tls.existingSecret) (not .Values.tls.certManager.enabled) -}}
{{- fail "tls.enabled needs a certificate: tls.existingSecret or tls.certManager.enabled" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret .Values.tls.certManager.enabled -}}
{{- fail "tls.existingSecret and tls.certManager.enabled are both set: one or the other" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.enabled) -}}
{{- fail "tls.certManager.enabled without tls.enabled has no effect: set both" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name is required: the issuer that signs the certificate" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- fail "gateway.parentRefs is required: the gateway that the route is for" -}}
{{- end -}}
{{- if and .Values.backup.enabled (not .Values.backup.tokenSecret) -}}
{{- fail "backup.tokenSecret is required: a Secret with an API token of the scope backup" -}}
{{- end -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (add 30 (int .Values.drain.seconds)) -}}
{{- fail "terminationGracePeriodSeconds has to be at least drain.seconds and 30 more, or nodes are killed while they stop" -}}
{{- end -}}
{{- $before := include "ekho.replicasBefore" . | int -}}
{{- if and (gt $before (int .Values.replicas)) (not .Values.scaling.tokenSecret) -}}
{{- fail (printf "scaling down from %d to %d nodes needs scaling.tokenSecret: members have to be removed before their pods go" $before (int .Values.replicas)) -}}
{{- end -}}
{{- end }}

{{/* How many nodes there are now; 0 where helm has no cluster to ask. */}}
{{- define "ekho.replicasBefore" -}}
{{- $there := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "ekho.fullname" .) -}}
{{- if $there -}}{{ $there.spec.replicas | int }}{{- else -}}0{{- end -}}
{{- end }}
