"""What helm renders depends on how many nodes there are now, which it asks Kubernetes.

No Kubernetes runs here: one StatefulSet is shown to helm by a server that knows nothing else of its
API.
"""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import chart

SET = f"/apis/apps/v1/namespaces/{chart.NAMESPACE}/statefulsets/ekho"
# By this helm knows what is its own.
OWNED = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {
        "meta.helm.sh/release-name": "ekho",
        "meta.helm.sh/release-namespace": chart.NAMESPACE,
    },
}
# The kinds that the chart makes of these values, by their group and version.
KINDS = {
    "v1": ["ConfigMap", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["StatefulSet"],
    "batch/v1": ["Job"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}


def discovery():
    """What Kubernetes says of the kinds that it knows, by path."""
    groups = []
    for version, kinds in KINDS.items():
        resources = [
            {
                "name": "networkpolicies" if kind == "NetworkPolicy" else f"{kind.lower()}s",
                "singularName": "",
                "namespaced": True,
                "kind": kind,
                "verbs": ["get"],
            }
            for kind in kinds
        ]
        base = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version}
        yield f"/{'api' if version == 'v1' else 'apis'}/{version}", {**base, "resources": resources}
        if version != "v1":
            one = {"groupVersion": version, "version": "v1"}
            groups.append({"name": version.split("/")[0], "versions": [one], "preferredVersion": one})
    yield "/api", {"kind": "APIVersions", "versions": ["v1"]}
    yield "/apis", {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    yield "/version", {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}


class Api(BaseHTTPRequestHandler):
    """Answers what helm's lookup asks for."""

    replicas = None
    asked = []

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(path)
        there = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "ekho", "namespace": chart.NAMESPACE, **OWNED},
            "spec": {"replicas": self.replicas},
        }
        answers = {**dict(discovery()), SET: there}
        found = path in answers and not (path == SET and self.replicas is None)
        body = answers[path] if found else {"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound"}
        content = json.dumps(body).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Upgrades(unittest.TestCase):
    """Of a release that is there, or not yet."""

    def setUp(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        Api.asked.clear()

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()

    def rendered(self, before, after, *more):
        Api.replicas = before
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        arguments = ["template", "ekho", chart.CHART, "--namespace", chart.NAMESPACE, "--dry-run=server", "--disable-openapi-validation"]
        arguments += ["--kube-apiserver", address, "--set", "secrets.operatorSessionSecret=of this test"]
        for each in (f"replicas={after}", *more):
            arguments += ["--set", each]
        done = chart.helm(*arguments)
        self.assertIn(SET, Api.asked, done.stderr)
        return done

    def test_members_are_removed_only_where_pods_go(self):
        token = "scaling.tokenSecret=ekho-scaling"
        for before, after, removes in [(3, 1, True), (5, 3, True), (3, 3, False), (1, 3, False)]:
            with self.subTest(f"from {before} to {after}"):
                done = self.rendered(before, after, token)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual("helm.sh/hook: pre-upgrade" in done.stdout, removes)
                self.assertIn("helm.sh/hook: post-upgrade", done.stdout)

    def test_without_a_token_no_pod_goes(self):
        done = self.rendered(3, 1)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("scaling down from 3 to 1 nodes needs scaling.tokenSecret", done.stderr)
        for before, after in [(1, 3), (3, 3), (None, 1)]:
            with self.subTest(f"from {before} to {after}"):
                done = self.rendered(before, after)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
