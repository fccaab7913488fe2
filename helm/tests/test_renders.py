"""What helm renders: as it was, valid for Kubernetes, whole, and safe by default.

With UPDATE_GOLDEN=1 (see README.md) it writes helm/tests/golden and the chart's README anew.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

import chart

sys.path.insert(0, str(chart.TESTS.parent))
import readme  # noqa: E402

GOLDEN = chart.TESTS / "golden"
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))
KUBERNETES = ["1.27.0", "1.30.0", "1.32.0", "1.34.0", "1.37.0"]
CUSTOM = ("cert-manager.io/", "gateway.networking.k8s.io/", "monitoring.coreos.com/")
DASHBOARDS = chart.REPOSITORY / "deploy/grafana/dashboards"
SECRET = "secrets.operatorSessionSecret=the session secret of this test"

# Values that are refused, and a part of what is said.
REFUSED = [
    ([], "secrets.operatorSessionSecret is required"),
    (["secrets.operatorSessionSecret=change-me"], "/secrets/operatorSessionSecret"),
    (["secrets.operatorSessionSecret=1234567890"], "want string"),
    ([SECRET, "replicas=2"], "'/replicas': value must be one of 1, 3, 5"),
    ([SECRET, "replicas=7"], "'/replicas': value must be one of 1, 3, 5"),
    ([SECRET, "replicas=three"], "'/replicas': value must be one of 1, 3, 5"),
    ([SECRET, "replicaCount=3"], "'/replicaCount': value must be 1"),
    ([SECRET, "autoscaling.enabled=true"], "'/autoscaling/enabled'"),
    ([SECRET, "replica=3"], "additional properties 'replica' not allowed"),
    ([SECRET, "tls.secret=x"], "'/tls': additional properties 'secret' not allowed"),
    ([SECRET, "config.EKHO_NODE_PEERS=a:1"], "invalid propertyName 'EKHO_NODE_PEERS'"),
    ([SECRET, "config.EKHO_MASTER_SECRET=x"], "invalid propertyName 'EKHO_MASTER_SECRET'"),
    ([SECRET, "config.LOG=debug"], "'LOG' does not match pattern"),
    ([SECRET, "config.EKHO_PORT=80"], "'/config/EKHO_PORT': minimum"),
    ([SECRET, "persistence.size=big"], "'/persistence/size'"),
    ([SECRET, "persistence.accessModes={ReadOnlyMany}"], "'/persistence/accessModes/0'"),
    ([SECRET, "service.type=Balancer"], "'/service/type': value must be one of"),
    ([SECRET, "podAntiAffinity=strict"], "'/podAntiAffinity': value must be one of"),
    ([SECRET, "backup.schedule=daily"], "'/backup/schedule'"),
    ([SECRET, "fullnameOverride=Ekho_1"], "'/fullnameOverride'"),
    ([SECRET, "secrets.existingSecret=x"], "takes the place of the other secrets"),
    ([SECRET, "tls.enabled=true"], "tls.enabled needs a certificate"),
    ([SECRET, "tls.certManager.enabled=true"], "without tls.enabled has no effect"),
    ([SECRET, "tls.enabled=true", "tls.certManager.enabled=true"], "issuerRef.name is required"),
    (
        [SECRET, "tls.enabled=true", "tls.certManager.enabled=true", "tls.existingSecret=x"],
        "one or the other",
    ),
    ([SECRET, "gateway.enabled=true"], "gateway.parentRefs is required"),
    ([SECRET, "backup.enabled=true"], "backup.tokenSecret is required"),
    ([SECRET, "drain.seconds=61"], "terminationGracePeriodSeconds has to be at least"),
]


class Renders(unittest.TestCase):
    """Every set of values."""

    maxDiff = None

    def test_lint(self):
        for name in chart.value_sets():
            with self.subTest(name):
                done = chart.helm("lint", "--strict", chart.CHART, "--values", chart.VALUES / f"{name}.yaml")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_renders_are_as_they_were(self):
        names = chart.value_sets()
        self.assertGreaterEqual(len(names), 8)
        for name in names:
            with self.subTest(name):
                # Dashboards are held against their source below.
                text = chart.render_text([name], ["metrics.dashboards.enabled=false"])
                path = GOLDEN / f"{name}.yaml"
                if UPDATE:
                    path.write_text(text)
                self.assertEqual(path.read_text(), text, "UPDATE_GOLDEN=1 writes it anew")
        left = {path.stem for path in GOLDEN.glob("*.yaml")} - set(names)
        self.assertEqual(left, set(), "golden files of no values")

    def test_kubernetes_takes_them(self):
        checked = 0
        for version in KUBERNETES:
            for name in chart.value_sets():
                for each in chart.render([name], more=["--kube-version", version]):
                    if not each["apiVersion"].startswith(CUSTOM):
                        with self.subTest(f"{version} {name} {each['kind']}"):
                            kubernetes_validate.validate(each, version, strict=True)
                        checked += 1
        print(f"summary: {checked} objects fit Kubernetes {', '.join(v[:-2] for v in KUBERNETES)}")

    def test_an_older_kubernetes_is_refused(self):
        done = chart.helm("template", "ekho", chart.CHART, "--set", SECRET, "--kube-version", "1.26.0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("1.27", done.stderr)

    def test_custom_resources_fit_their_definitions(self):
        custom = [
            each
            for name in chart.value_sets()
            for each in chart.render([name])
            if each["apiVersion"].startswith(CUSTOM)
        ]
        self.assertEqual({each["kind"] for each in custom}, {"Certificate", "HTTPRoute", "ServiceMonitor"})
        script = chart.tools() / "models.mjs"
        # One that root left there cannot be written over.
        script.unlink(missing_ok=True)
        shutil.copy(chart.TESTS / "models.mjs", script)
        lines = "\n".join(map(json.dumps, custom))
        done = subprocess.run(["node", script], input=lines, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_values_that_make_no_sense_are_refused(self):
        for sets, said in REFUSED:
            with self.subTest(" ".join(sets)):
                arguments = [each for pair in sets for each in ("--set", pair)]
                done = chart.helm("template", "ekho", chart.CHART, *arguments)
                self.assertNotEqual(done.returncode, 0, "it was taken")
                self.assertIn(said, done.stderr)

    def test_the_schema_knows_every_value(self):
        schema = json.loads((chart.CHART / "values.schema.json").read_text())
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())

        def unknown(values, schema, path):
            properties = schema.get("properties")
            if not isinstance(values, dict) or not values or properties is None:
                return
            for name, value in values.items():
                if name not in properties:
                    yield f"{path}{name}"
                else:
                    yield from unknown(value, properties[name], f"{path}{name}.")

        self.assertEqual(list(unknown(values, schema, "")), [])


class Whole(unittest.TestCase):
    """What no schema sees: that objects fit each other."""

    @classmethod
    def setUpClass(cls):
        cls.sets = {name: chart.render([name]) for name in chart.value_sets()}

    def test_selectors_find_their_pods(self):
        for name, objects in self.sets.items():
            pods = [labels["labels"] for _, labels, _ in chart.pod_specs(objects)]
            for each in objects:
                spec = each.get("spec", {})
                selector = spec.get("selector") or spec.get("podSelector")
                if each["kind"] not in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
                    continue
                selector = selector.get("matchLabels", selector)
                found = [pod for pod in pods if selector.items() <= pod.items()]
                with self.subTest(f"{name} {each['kind']} {each['metadata']['name']}"):
                    # Nodes, and no job.
                    self.assertEqual([pod["app.kubernetes.io/component"] for pod in found], ["node"])

    def test_a_scrape_finds_each_node_once(self):
        for name in ("cert-manager", "monitoring"):
            objects = self.sets[name]
            selector = chart.one(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
            services = [each for each in objects if each["kind"] == "Service"]
            found = [
                each["metadata"]["name"]
                for each in services
                if selector.items() <= each["metadata"]["labels"].items()
            ]
            self.assertEqual(found, ["ekho-headless"])

    def test_what_pods_refer_to_is_there(self):
        for name, objects in self.sets.items():
            made = {(each["kind"], each["metadata"]["name"]) for each in objects}
            values = yaml.safe_load((chart.VALUES / f"{name}.yaml").read_text())
            given = json.dumps(values)
            for owner, _, spec in chart.pod_specs(objects):
                where = f"{name} {owner['kind']} {owner['metadata']['name']}"
                templates = owner["spec"].get("volumeClaimTemplates", [])
                volumes = {each["name"] for each in spec["volumes"]}
                volumes |= {each["metadata"]["name"] for each in templates}
                for container in spec["containers"]:
                    for mount in container["volumeMounts"]:
                        self.assertIn(mount["name"], volumes, where)
                for kind, wanted in references(spec):
                    is_made = (kind, wanted) in made
                    is_issued = wanted == "ekho-tls" and "certManager" in given
                    self.assertTrue(is_made or is_issued or f'"{wanted}"' in given, f"{where}: {kind} {wanted}")

    def test_pods_have_no_more_rights_than_they_need(self):
        for name, objects in self.sets.items():
            for owner, _, spec in chart.pod_specs(objects):
                with self.subTest(f"{name} {owner['kind']} {owner['metadata']['name']}"):
                    self.assertIs(spec["automountServiceAccountToken"], False)
                    pod = spec["securityContext"]
                    self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertIs(pod["runAsNonRoot"], True)
                    for container in spec["containers"]:
                        context = container["securityContext"]
                        self.assertIs(context["readOnlyRootFilesystem"], True)
                        self.assertIs(context["allowPrivilegeEscalation"], False)
                        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                        self.assertIn("memory", container["resources"]["limits"])

    def test_nothing_needs_more_than_the_binary(self):
        # The image has no shell.
        for name, objects in self.sets.items():
            for _, _, spec in chart.pod_specs(objects):
                for container in spec["containers"]:
                    self.assertEqual(container["command"], ["ekho"], name)
                    stop = container.get("lifecycle", {}).get("preStop", {})
                    self.assertIn(stop.get("exec", {"command": ["ekho"]})["command"][0], ["ekho"], name)

    def test_numbers_are_written_as_the_relay_reads_them(self):
        config = chart.one(self.sets["original"], "ConfigMap")["data"]
        self.assertEqual(config["EKHO_RATE_LIMIT_MAX_MESSAGES"], "1000000")
        # The folder of the original's database is not where the data is.
        self.assertNotIn("EKHO_DB_PATH", config)

    def test_another_number_of_nodes_starts_no_node_again(self):
        def template(replicas):
            objects = chart.render(["three"], [f"replicas={replicas}"])
            return chart.one(objects, "StatefulSet")["spec"]["template"]

        self.assertEqual(template(1), template(3))
        self.assertEqual(template(3), template(5))

    def test_another_setting_or_secret_does(self):
        def annotations(*sets):
            objects = chart.render(["minimal"], sets)
            return chart.one(objects, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]

        before = annotations()
        self.assertNotEqual(annotations("config.EKHO_LOG=debug"), before)
        self.assertNotEqual(annotations("secrets.masterSecret=another secret of this test"), before)

    def test_dashboards_are_those_of_the_project(self):
        held = {path.name: path for path in (chart.CHART / "dashboards").glob("*.json")}
        made = chart.one(self.sets["monitoring"], "ConfigMap", "ekho-dashboards")["data"]
        self.assertEqual(parsed(made), parsed({name: path.read_text() for name, path in held.items()}))
        self.assertIn("ekho.json", made)
        if not DASHBOARDS.exists():
            self.skipTest(f"{DASHBOARDS} is not there")
        # A chart can only read files of its own.
        source = {path.name: path for path in DASHBOARDS.glob("*.json")}
        if UPDATE:
            for path in held.values():
                path.unlink()
            held = {name: Path(shutil.copy(path, chart.CHART / "dashboards")) for name, path in source.items()}
        read = [{name: path.read_text() for name, path in each.items()} for each in (held, source)]
        self.assertEqual(*read, "UPDATE_GOLDEN=1 copies them")

    def test_the_readme_has_every_value(self):
        path = chart.CHART / "README.md"
        text = readme.with_table(path.read_text(), (chart.CHART / "values.yaml").read_text())
        if UPDATE:
            path.write_text(text)
        self.assertEqual(path.read_text(), text, "UPDATE_GOLDEN=1 writes it anew")

    def test_a_package_of_the_chart_renders_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            done = chart.helm("package", chart.CHART, "--destination", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            (package,) = Path(folder).glob("*.tgz")
            self.assertEqual(chart.render_text(["three"], chart=package), chart.render_text(["three"]))


def parsed(texts):
    """Names, and the JSON under them."""
    return {name: json.loads(text) for name, text in texts.items()}


def references(spec):
    """The ConfigMaps, Secrets, claims and accounts that a pod needs, with their kinds."""
    for volume in spec["volumes"]:
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    if spec.get("serviceAccountName", "default") != "default":
        yield "ServiceAccount", spec["serviceAccountName"]
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            yield "ConfigMap", source["configMapRef"]["name"]
        for variable in container.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]


if __name__ == "__main__":
    unittest.main()
