"""What was rendered, running: pods form a cluster, carry messages, fail, come and go.

No Kubernetes runs here. Environment, commands, volumes, security contexts, probes and hooks are
taken from what helm rendered, by pods.py; the order in which Kubernetes and helm would do things is
written here: the hook before an upgrade, the change of the pods, the hook after it.
"""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path

import chart
import pods

WHY_NOT = pods.why_not()
HTTP_PORT = 4000
LOCAL = f"http://127.0.0.1:{HTTP_PORT}"


class Agents:
    """Two agents, one of which writes to the other by whatever node answers."""

    def __init__(self, cluster, owner):
        self.cluster, self.count = cluster, 0
        self.folder = cluster.folder / "agents"
        self.folder.mkdir()
        for name in ("writer", "reader"):
            made = json.loads(owner.execute(["ekho", "token", "create", "--json", "--url", LOCAL]).stdout)
            arguments = ["--fleet", made["fleet_id"], "--token", made["token"], "--name", name]
            self.run(name, "enroll", *arguments, urls=[owner])

    def run(self, name, *arguments, urls=None):
        addresses = [each.address for each in urls or self.cluster.pods.values()]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "EKHO_AGENT_FILE": str(self.folder / f"{name}.json"),
            "EKHO_RELAY_URL": ",".join(f"http://{each}:{HTTP_PORT}" for each in addresses),
        }
        command = [self.cluster.image / "ekho", "agent", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def talk(self):
        """Sends some messages and sees all of them arrive, in order."""
        texts = [f"message {self.count + each}" for each in range(3)]
        self.count += len(texts)
        for text in texts:
            self.run("writer", "send", "--to", "reader", text)
        got = []

        def all_there():
            lines = self.run("reader", "inbox", "--wait-seconds", "5", "--ack").splitlines()
            got.extend(json.loads(line)["body"]["text"] for line in lines)
            return len(got) >= len(texts)

        pods.poll("the messages arrive", all_there)
        if got != texts:
            raise AssertionError(f"sent {texts}, got {got}")


class Release(unittest.TestCase):
    """Pods of one release, and what helm does with them."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ekho-chart-"))
        self.cluster = pods.Cluster(self.folder, os.environ["EKHO_BIN"])

    def tearDown(self):
        logs = {name: pod.text()[-4000:] for name, pod in self.cluster.pods.items()}
        self.cluster.close()
        shutil.rmtree(self.folder)
        if self._outcome is not None and not self._outcome.success:
            for name, text in logs.items():
                print(f"--- {name}\n{text}")

    def ready(self):
        for pod in self.cluster.pods.values():
            pods.poll(f"{pod.name} is ready", pod.is_ready)

    def status(self):
        """The members by the address of their pods, and all that is known of them."""
        pod = self.cluster.publish(self.objects)
        command = ["ekho", "cluster", "status", "--json", "--url", LOCAL, "--token-file", "/etc/ekho/token/token"]
        return json.loads(pod.execute(command).stdout)

    def voters(self):
        return {node["address"].split(".")[0] for node in self.status()["nodes"] if node["voter"]}

    def leader(self):
        """The pod whose node leads."""

        def found():
            nodes = self.status()["nodes"]
            return next((node["address"].split(".")[0] for node in nodes if node["role"] == "leader"), None)

        return self.cluster.pods[pods.poll("somebody leads", found)]

    def hook(self, objects, verb):
        """Runs the Job of a hook; the finished process."""
        self.cluster.publish(self.objects)
        job = chart.one(objects, "Job", f"ekho-{verb}")
        return self.cluster.job(verb, job["spec"]["template"]["spec"])

    def passes(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def upgrade(self, replicas):
        """As `helm upgrade --set replicas=…` does it."""
        objects = chart.render(["three"], [f"replicas={replicas}", "scaling.timeoutSeconds=120"])
        self.passes(self.hook(objects, "shrink"))
        self.cluster.scale_away(objects)
        self.objects = objects
        self.cluster.stateful(objects)
        self.passes(self.hook(objects, "settle"))
        self.ready()
        wanted = {f"ekho-{ordinal}" for ordinal in range(replicas)}
        self.assertEqual(self.voters(), wanted)

    def install(self, replicas):
        """As `helm install`, then the token that the README makes; the agents."""
        self.objects = chart.render(["three"], [f"replicas={replicas}"])
        self.cluster.stateful(self.objects)
        self.ready()
        first = self.cluster.pods["ekho-0"]
        command = ["tokens", "create-api", "--name", "scaling", "--scope", "cluster,read", "--url", LOCAL]
        token = first.execute(["ekho", *command]).stdout.strip()
        self.cluster.secrets["ekho-scaling"] = {"token": token}
        for pod in self.cluster.pods.values():
            # Kubernetes fills the volume of an optional Secret once there is one.
            secret = next(each for each in pod.spec["volumes"] if each["name"] == "token")["secret"]
            pod.fill(self.folder / "volumes" / f"token-{pod.name}", secret)
        # Whoever waits for the pods may lose one from then on.
        self.assertEqual(len(self.voters()), replicas)
        return Agents(self.cluster, first)

    def ready_but(self, failed):
        for pod in self.cluster.pods.values():
            if pod is not failed:
                pods.poll(f"{pod.name} is ready", pod.is_ready)


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Running(Release):
    """The chart's promises."""

    def test_one_node_becomes_three_and_five_and_one_again(self):
        agents = self.install(1)
        agents.talk()
        first = self.cluster.pods["ekho-0"].inner()
        self.upgrade(3)
        agents.talk()
        # Nobody was started again for it.
        self.assertEqual(self.cluster.pods["ekho-0"].inner(), first)
        self.upgrade(5)
        agents.talk()
        self.upgrade(3)
        agents.talk()
        self.upgrade(1)
        agents.talk()
        # Pods that come again find empty volumes, and are new nodes.
        self.upgrade(3)
        agents.talk()
        self.assertEqual(len(self.status()["nodes"]), 3)

    def test_three_nodes_form_a_cluster_and_one_may_fail(self):
        agents = self.install(3)
        agents.talk()
        failed = self.leader()
        failed.kill()
        self.ready_but(failed)
        agents.talk()

        # Neither can a node be spared now, nor does anything change by asking.
        smaller = chart.render(["three"], ["replicas=1"])
        before = self.voters()
        done = self.hook(smaller, "shrink")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("no node can be spared now: ", done.stderr)
        self.assertIn("cannot be reached", done.stderr)
        self.assertEqual(self.voters(), before)

        failed.start()
        self.ready()
        self.passes(self.hook(self.objects, "settle"))
        agents.talk()

        # The leader is stopped in order: it hands over while it still answers.
        leader = self.leader()
        self.assertIn("is ready to stop", self.passes(leader.stop()))
        agents.talk()
        leader.start()
        self.ready()

        # A node loses its volume, and comes as another; what is left of it is taken away.
        lost = self.cluster.pods["ekho-0"]
        lost.kill()
        shutil.rmtree(lost.volume("data"))
        lost.start()
        self.ready()
        self.assertEqual(len(self.status()["nodes"]), 4)
        self.passes(self.hook(self.objects, "settle"))
        self.assertEqual(len(self.status()["nodes"]), 3)
        agents.talk()

    def test_hooks_say_what_they_lack(self):
        self.install(1)
        nobody = chart.render(["three"], ["scaling.url=http://127.0.0.1:9", "scaling.timeoutSeconds=10"])
        alone = chart.render(["three"], ["scaling.timeoutSeconds=10"])
        token = self.cluster.secrets["ekho-scaling"]
        for objects, secret, verb, said in [
            (nobody, token, "shrink", "no answer from http://127.0.0.1:9"),
            (nobody, token, "settle", "not settled after 10 s: no answer from http://127.0.0.1:9"),
            (alone, token, "settle", "not settled after 10 s: machine 1 has no node; machine 2 has no node"),
            (alone, None, "settle", "/etc/ekho/token/token"),
            (alone, {"token": "tok_wrong"}, "shrink", "not_signed_in"),
        ]:
            self.cluster.secrets.pop("ekho-scaling", None)
            if secret:
                self.cluster.secrets["ekho-scaling"] = secret
            done = self.hook(objects, verb)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(said, done.stderr)

    def test_backups_are_taken_and_thinned_out(self):
        self.install(1)
        pod = self.cluster.pods["ekho-0"]
        command = ["tokens", "create-api", "--name", "backup", "--scope", "backup", "--url", LOCAL]
        self.cluster.secrets["ekho-backup"] = {"token": pod.execute(["ekho", *command]).stdout.strip()}
        objects = chart.render(["three", "backup"], ["replicas=1", "backup.keep=2"])
        self.cluster.publish(self.objects)
        spec = chart.one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        folder = self.folder / "volumes" / "ekho-backups"
        kept = []
        for _ in range(3):
            self.assertIn("saved /backups/ekho-", self.passes(self.cluster.job("backup", spec)))
            names = sorted(path.name for path in folder.iterdir())
            self.assertEqual(names, [*kept, names[-1]][-2:])
            kept = names
        whole = [self.cluster.image / "ekho", "backup", "verify", folder / kept[-1]]
        self.assertIn("intact: ", subprocess.run(whole, check=True, capture_output=True, text=True).stdout)
        # A relay that is not there leaves what there is.
        pod.kill()
        self.assertEqual(self.cluster.job("backup", spec).returncode, 1)
        self.assertEqual(sorted(path.name for path in folder.iterdir()), kept)

    def test_tls_is_served_and_a_renewed_certificate_as_well(self):
        authority = Authority(self.folder)
        self.cluster.secrets["relay-tls"] = authority.secret(1)
        self.objects = chart.render(["own-tls"], ["tls.privateAuthority=true", "persistence.enabled=true"])
        self.cluster.stateful(self.objects)
        pod = self.cluster.pods["ekho-0"]
        self.ready()
        first = authority.served(pod)
        self.assertIsNotNone(first)
        secret = next(each for each in pod.spec["volumes"] if each["name"] == "tls")["secret"]
        self.cluster.secrets["relay-tls"] = authority.secret(2)
        pod.fill(self.folder / "volumes" / "tls-ekho-0", secret)
        pods.poll("the new certificate", lambda: authority.served(pod) not in (None, first))
        command = ["tokens", "create-api", "--name", "scaling", "--scope", "cluster,read"]
        trust = ["--url", f"https://127.0.0.1:{HTTP_PORT}", "--ca-file", "/etc/ekho/tls/ca.crt"]
        token = pod.execute(["ekho", *command, *trust]).stdout.strip()
        self.cluster.secrets["ekho-scaling"] = {"token": token}
        # A hook finds the relay by the name of the Service, and trusts its authority.
        objects = chart.render(["own-tls", "three"], ["tls.privateAuthority=true", "replicas=1", "secrets.masterSecret="])
        self.passes(self.hook(objects, "settle"))


class Authority:
    """A certificate authority, and certificates of it for the Service."""

    def __init__(self, folder):
        self.folder = folder
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def secret(self, serial):
        name = f"ekho.{chart.NAMESPACE}.svc.cluster.local"
        (self.folder / "names").write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=relay",
                     "-keyout", "tls.key", "-out", "tls.csr")
        self.openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "1",
                     "-set_serial", str(serial), "-extfile", "names", "-out", "tls.crt")
        return {each: (self.folder / each).read_text() for each in ("tls.crt", "tls.key", "ca.crt")}

    def served(self, pod):
        """The certificate that a pod serves, if it does."""
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.check_hostname = False
        connection = http.client.HTTPSConnection(pod.address, HTTP_PORT, timeout=3, context=context)
        try:
            connection.connect()
            return connection.sock.getpeercert(binary_form=True)
        except OSError:
            return None
        finally:
            connection.close()


if __name__ == "__main__":
    unittest.main()
