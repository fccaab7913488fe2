"""Pods without Kubernetes: what helm rendered becomes processes, each in a root, network and process
namespace of its own.

A pod's root is made of this machine's /usr and the binary, is read-only as its security context
says, and has the volumes that its spec names. Names of pods and Services are in /etc/hosts. Takes
root; touches namespaces and files that it made and processes that it started.
"""

import atexit
import base64
import ctypes
import http.client
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import time
from pathlib import Path

import chart

CLONE_NEWNET = 0x40000000
DEADLINE_SECONDS = 180
JOB_SECONDS = 300
POLL_SECONDS = 0.1
NETWORK = "10.88.0"
CLIENT_HOST, FIRST_POD_HOST = 2, 10
VARIABLE = re.compile(r"\$(?:\$|\(([^)]*)\))")
DOMAIN = "svc.cluster.local"


def why_not():
    """Why pods cannot run here; nothing where they can."""
    if os.geteuid() != 0:
        return "pods take root"
    for tool in ("ip", "unshare", "nsenter", "setpriv", "mount"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    probe = f"ekho-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode != 0:
        return "there are no network namespaces"
    try:
        inner = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        done = subprocess.run(["ip", "netns", "exec", probe, *inner], capture_output=True)
        return None if done.returncode == 0 else "there are no mount namespaces"
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=True)


def poll(what, look, seconds=DEADLINE_SECONDS):
    """The first answer of `look` that is not None and not False."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{seconds} s are over: {what}")
        time.sleep(POLL_SECONDS)


def expanded(text, environment):
    """As the kubelet expands $(NAME) in commands and values: what is not known stays as it is."""

    def value(found):
        if found[0] == "$$":
            return "$"
        return environment.get(found[1], found[0])

    return VARIABLE.sub(value, text)


class Network:
    """A bridge, and a namespace for each host; the calling thread can step into the client's."""

    def __init__(self, folder):
        self.prefix = f"ekho{os.getpid()}"
        self.hosts = folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.names, self.made = {}, []
        self.switch = self.namespace("switch")
        self.ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        self.ip("-n", self.switch, "link", "set", "bridge", "up")
        self.client = self.host("client", CLIENT_HOST)

    @staticmethod
    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    def namespace(self, name):
        full = f"{self.prefix}-{name}"
        self.ip("netns", "add", full)
        self.made.append(full)
        return full

    def host(self, name, number):
        """A namespace with an address; its name."""
        full = self.namespace(name)
        port = f"port{number}"
        self.ip("-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", full)
        self.ip("-n", self.switch, "link", "set", port, "master", "bridge", "up")
        self.ip("-n", full, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
        for link in ("eth0", "lo"):
            self.ip("-n", full, "link", "set", link, "up")
        return full

    def name(self, name, address):
        """Says where a name is; None takes it away."""
        self.names[name] = address
        lines = [f"{address} {name}\n" for name, address in self.names.items() if address]
        # In place: the file is mounted in pods.
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(lines))

    def enter(self, path):
        """Moves this thread, and what it starts, into a network."""
        with open(path, "rb") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def close(self):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Cluster:
    """What is needed to run pods of one release: network, volumes, ConfigMaps, Secrets."""

    def __init__(self, folder, binary):
        folder.chmod(0o755)
        self.folder = folder
        self.image = folder / "image"
        self.image.mkdir()
        shutil.copy(binary, self.image / "ekho")
        (self.image / "ekho").chmod(0o755)
        self.network = Network(folder)
        self.secrets, self.config_maps, self.pods = {}, {}, {}
        self.next_host = FIRST_POD_HOST
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        # Also where a test is broken off: nothing of it may be left.
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.network.enter(f"/run/netns/{self.network.client}")

    def apply(self, objects):
        """Takes ConfigMaps and Secrets over, as `helm upgrade` does before pods see them."""
        for each in objects:
            if each["kind"] == "ConfigMap":
                self.config_maps[each["metadata"]["name"]] = each["data"]
            elif each["kind"] == "Secret":
                data = each["data"].items()
                self.secrets[each["metadata"]["name"]] = {k: base64.b64decode(v).decode() for k, v in data}

    def pod(self, name, spec, domain=None):
        """A pod that is not started."""
        number = self.next_host
        self.next_host += 1
        pod = Pod(self, name, spec, self.network.host(f"pod{number}", number), f"{NETWORK}.{number}")
        if domain:
            self.network.name(f"{name}.{domain}", pod.address)
        return pod

    def stateful(self, objects):
        """Starts and keeps the pods of the StatefulSet that are not there, in parallel."""
        self.apply(objects)
        wanted = chart.one(objects, "StatefulSet")
        name, spec = wanted["metadata"]["name"], wanted["spec"]
        template = spec["template"]["spec"]
        claims = {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", [])}
        domain = f"{spec['serviceName']}.{chart.NAMESPACE}.{DOMAIN}"
        for ordinal in range(spec["replicas"]):
            pod_name = f"{name}-{ordinal}"
            if pod_name not in self.pods:
                pod = self.pod(pod_name, {**template, "claims": claims}, domain)
                self.pods[pod_name] = pod
                pod.start()
        return spec["replicas"]

    def scale_away(self, objects):
        """Stops pods beyond the number wanted, and deletes their volumes where that is wanted."""
        spec = chart.one(objects, "StatefulSet")["spec"]
        gone = [name for name in self.pods if int(name.rsplit("-", 1)[1]) >= spec["replicas"]]
        for name in gone:
            pod = self.pods.pop(name)
            pod.stop()
            if spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete":
                shutil.rmtree(pod.volume("data"))
        self.apply(objects)

    def publish(self, objects):
        """Lets the Service's name lead to a pod that is ready."""
        service = chart.one(objects, "Service", chart.one(objects, "StatefulSet")["metadata"]["name"])
        ready = poll("a pod is ready", lambda: next((p for p in self.pods.values() if p.is_ready()), None))
        self.network.name(f"{service['metadata']['name']}.{chart.NAMESPACE}.{DOMAIN}", ready.address)
        return ready

    def job(self, name, spec):
        """Runs the pod of a job to its end; the finished process."""
        pod = self.pod(name, spec)
        return subprocess.run(pod.command(), capture_output=True, text=True, timeout=JOB_SECONDS)

    def close(self):
        atexit.unregister(self.close)
        for pod in self.pods.values():
            pod.kill()
        libc = ctypes.CDLL(None)
        libc.setns(self.home, CLONE_NEWNET)
        os.close(self.home)
        self.network.close()


class Pod:
    """A pod of one container that counts, and perhaps others that only run beside it."""

    def __init__(self, cluster, name, spec, namespace, address):
        self.cluster, self.name, self.spec = cluster, name, spec
        self.namespace, self.address = namespace, address
        self.container = spec["containers"][0]
        self.log = cluster.folder / f"{name}.log"
        self.process = None

    def volume(self, name):
        """The folder behind a volume. Claims outlive the pod."""
        claimed = name in self.spec.get("claims", ())
        source = next((each for each in self.spec["volumes"] if each["name"] == name), {})
        claim = source.get("persistentVolumeClaim", {}).get("claimName")
        folder = self.cluster.folder / "volumes" / (claim or f"{name}-{self.name}")
        if claim or claimed:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        context = self.spec["securityContext"]
        if "secret" in source:
            self.fill(folder, source["secret"])
        # As the kubelet does with fsGroup where the root is not yet the group's.
        os.chown(folder, 0, context["fsGroup"])
        folder.chmod(0o2775)
        return folder

    def fill(self, folder, secret):
        values = self.cluster.secrets.get(secret["secretName"])
        if values is None:
            if not secret.get("optional"):
                raise AssertionError(f"{self.name}: there is no Secret {secret['secretName']}")
            return
        items = secret.get("items") or [{"key": key, "path": key} for key in values]
        for item in items:
            path = folder / item["path"]
            path.write_text(values[item["key"]])
            path.chmod(secret["defaultMode"])
            os.chown(path, 0, self.spec["securityContext"]["fsGroup"])

    def environment(self, container):
        """As the kubelet makes it of ConfigMaps, Secrets and the spec."""
        environment = {"PATH": "/app:/usr/bin:/bin"}
        for source in container.get("envFrom", []):
            environment |= self.cluster.config_maps[source["configMapRef"]["name"]]
        for variable in container.get("env", []):
            value = variable.get("value")
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                value = {"metadata.name": self.name}[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                wanted = source["secretKeyRef"]
                value = self.cluster.secrets.get(wanted["name"], {}).get(wanted["key"])
                if value is None and not wanted.get("optional"):
                    raise AssertionError(f"{self.name}: {wanted['name']} has no {wanted['key']}")
            if value is not None:
                environment[variable["name"]] = expanded(value, environment)
        return environment

    def inside(self, container, command):
        """A command as the container's security context lets it run."""
        pod, own = self.spec["securityContext"], container["securityContext"]
        rights = ["setpriv", f"--reuid={pod['runAsUser']}", f"--regid={pod['runAsGroup']}"]
        rights.append(f"--groups={pod['fsGroup']}")
        if own["capabilities"] == {"drop": ["ALL"]}:
            rights += ["--inh-caps=-all", "--bounding-set=-all"]
        if own["allowPrivilegeEscalation"] is False:
            rights.append("--no-new-privs")
        pairs = [f"{name}={value}" for name, value in self.environment(container).items()]
        return [*rights, "env", "-i", *pairs, *command]

    def command(self):
        """What starts the container: namespaces, its root, its rights, the command of the spec."""
        container = self.container
        root = self.cluster.folder / f"root-{self.name}"
        root.mkdir(exist_ok=True)
        lines = [
            "set -e",
            f"cd {root} && mount -t tmpfs -o mode=755 tmpfs {root} && cd {root}",
            "mkdir -p usr proc dev etc app && ln -s usr/bin usr/lib usr/sbin . && [ ! -e /usr/lib64 ] || ln -s usr/lib64 .",
            "mount --bind /usr usr && mount --rbind /dev dev && mount -t proc proc proc",
            f"mount --bind {self.cluster.image} app",
            "echo 'hosts: files' >etc/nsswitch.conf && echo 'root:x:0:0::/:/bin/sh' >etc/passwd",
            # As in the image: whom to trust outside.
            "mkdir etc/ssl && mount --bind /etc/ssl etc/ssl",
            f"touch etc/hosts && mount --bind {self.cluster.network.hosts} etc/hosts",
        ]
        for mount in container["volumeMounts"]:
            folder = self.volume(mount["name"])
            inner = mount["mountPath"].lstrip("/")
            lines.append(f"mkdir -p {inner} && mount --bind {folder} {inner}")
        if container["securityContext"]["readOnlyRootFilesystem"]:
            lines += ["mount -o remount,ro .", "mount -o remount,bind,ro app"]
        arguments = [*container["command"], *container.get("args", [])]
        environment = self.environment(container)
        command = self.inside(container, [expanded(each, environment) for each in arguments])
        lines.append("exec chroot . " + shlex.join(command))
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        return ["ip", "netns", "exec", self.namespace, *unshare, "sh", "-c", "\n".join(lines)]

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)

    def inner(self):
        """The container's first process, as this machine numbers it."""

        def child():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended: {self.text()[-2000:]}")
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            return int(children[0]) if children else None

        return poll(f"a process of {self.name}", child)

    def execute(self, command, check=True):
        """A command in the running container."""
        enter = ["nsenter", f"--target={self.inner()}", "--mount", "--pid", "--net", "--root", "--wdns=/"]
        done = subprocess.run(
            [*enter, *self.inside(self.container, command)], capture_output=True, text=True, timeout=120
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {shlex.join(command)}: {done.stdout}{done.stderr}")
        return done

    def probe(self, name):
        """Whether a probe of the spec succeeds."""
        get = self.container[name]["httpGet"]
        port = next(each["containerPort"] for each in self.container["ports"] if each["name"] == get["port"])
        if get.get("scheme") == "HTTPS":
            # Like the kubelet, without looking at the certificate.
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(self.address, port, timeout=3, context=context)
        else:
            connection = http.client.HTTPConnection(self.address, port, timeout=3)
        try:
            connection.request("GET", get["path"])
            return connection.getresponse().status < 400
        except OSError:
            return False
        finally:
            connection.close()

    def is_ready(self):
        return self.process.poll() is None and self.probe("readinessProbe")

    def stop(self):
        """As the kubelet stops a pod: the preStop hook, whatever comes of it, SIGTERM, time to end; the
        hook, finished."""
        command = self.container["lifecycle"]["preStop"]["exec"]["command"]
        done = self.execute(command, check=False)
        os.kill(self.inner(), signal.SIGTERM)
        code = self.process.wait(timeout=self.spec["terminationGracePeriodSeconds"])
        if code != 0:
            raise AssertionError(f"{self.name}: preStop {done}, exit code {code}: {self.text()[-2000:]}")
        return done

    def kill(self):
        """As a power cut."""
        if self.process and self.process.poll() is None:
            os.kill(self.inner(), signal.SIGKILL)
            self.process.wait(timeout=30)

    def text(self):
        return self.log.read_text(errors="replace")
