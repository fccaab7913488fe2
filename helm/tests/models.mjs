// Reads custom resources as JSON, one a line, and says of each that does not fit its definition why.
// Ends with 1 where there is one.
import { createInterface } from "node:readline";
import { Certificate } from "@kubernetes-models/cert-manager/cert-manager.io/v1";
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const models = {
  "cert-manager.io/v1/Certificate": Certificate,
  "gateway.networking.k8s.io/v1/HTTPRoute": HTTPRoute,
  "monitoring.coreos.com/v1/ServiceMonitor": ServiceMonitor,
};

for await (const line of createInterface({ input: process.stdin })) {
  const resource = JSON.parse(line);
  const kind = `${resource.apiVersion}/${resource.kind}`;
  try {
    if (!(kind in models)) throw new Error("no model of it is known");
    new models[kind](resource).validate();
  } catch (error) {
    console.log(`${kind} ${resource.metadata.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
