"""A relay of the built binary in a directory of its own, and those who ask it."""

import base64
import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from datetime import datetime, timezone

import requests

# No refusal by rate or by failed sign-ins: what is sent here is wrong on purpose, and often.
SETTINGS = {
    "EKHO_HOST": "127.0.0.1",
    "EKHO_LOG": "warn,openraft=error",
    "EKHO_DISK_FREE_MIN_BYTES": "1048576",
    "EKHO_RATE_LIMIT_MAX_MESSAGES": "1000000",
    "EKHO_LOGIN_FAILURES_PER_ACCOUNT": "1000000",
    "EKHO_LOGIN_FAILURES_PER_ADDRESS": "1000000",
}
READY_SECONDS = 60


def totp(secret):
    """The code of this moment (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place:place + 4]) & 0x7FFFFFFF) % 1000000:06}"


class Relay:
    """The relay's process. `with Relay(binary) as relay:` stops it and removes its directory."""

    def __init__(self, binary):
        self.binary = binary
        self.directory = tempfile.TemporaryDirectory(prefix="ekho-openapi-")
        with socket.socket() as free, socket.socket() as other:
            free.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            node = f"127.0.0.1:{other.getsockname()[1]}"
        self.url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EKHO_")}
        data = os.path.join(self.directory.name, "data")
        own = {"EKHO_DATA_DIR": data, "EKHO_PORT": str(port), "EKHO_BASE_URL": self.url}
        own |= {"EKHO_NODE_ADDRESS": node, "EKHO_NODE_LISTEN": node}
        self.environment = inherited | SETTINGS | own

    def license(self):
        """Issues a licence by which everything is allowed, as the vendor would."""
        place = lambda name: os.path.join(self.directory.name, name)
        private, public, issued = place("vendor.pem"), place("vendor.pub.pem"), place("license.jwt")
        for command in [
            ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
            ["openssl", "pkey", "-in", private, "-pubout", "-out", public],
            [self.binary, "license", "issue", "--private-key", private, "--org", "Test"]
            + ["--max-fleets", "1000", "--days", "30", "--output", issued],
        ]:
            subprocess.run(command, env=self.environment, check=True, capture_output=True)
        self.environment |= {"EKHO_LICENSE_PUBLIC_KEY_PATH": public, "EKHO_LICENSE_PATH": issued}
        with open(issued) as file:
            return file.read().strip()

    def __enter__(self):
        self.issued = self.license()
        setup = [self.binary, "setup", "--non-interactive", "--fleet", "test", "--email", "owner@example.org"]
        subprocess.run(setup, env=self.environment, check=True, capture_output=True)
        self.log = open(os.path.join(self.directory.name, "relay.log"), "w+")
        self.process = subprocess.Popen(
            [self.binary, "serve"], env=self.environment, stdout=self.log, stderr=self.log
        )
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                if requests.get(self.url + "/readyz", timeout=5).status_code == 200:
                    return self
            except requests.ConnectionError:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the relay is not ready:\n" + self.logged())
            time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()
        self.directory.cleanup()

    def logged(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()

    def asks(self, token, agent):
        """An A2A client with this token asks an agent for something; the task's id."""
        message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": "hello"}]}
        request = {"message": message, "configuration": {"returnImmediately": True}}
        headers = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
        url = f"{self.url}/agents/{agent.id}/a2a/v1/message:send"
        answer = requests.post(url, json=request, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()["task"]["id"]

    def credentials(self):
        with open(os.path.join(self.environment["EKHO_DATA_DIR"], "credentials.json")) as file:
            return json.load(file)


class SigningKey:
    """An Ed25519 key of openssl's."""

    def __init__(self, directory):
        self.private = os.path.join(directory, f"{uuid.uuid4()}.pem")
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.private)
        public = self.openssl("pkey", "-in", self.private, "-pubout", "-outform", "DER")
        self.public = base64.b64encode(public).decode()

    def openssl(self, *args):
        return subprocess.run(["openssl", *args], check=True, capture_output=True).stdout

    def sign(self, *lines):
        statement = self.private + ".statement"
        with open(statement, "w") as file:
            file.write("\n".join(lines))
        signed = self.openssl("pkeyutl", "-sign", "-inkey", self.private, "-rawin", "-in", statement)
        return base64.b64encode(signed).decode()


class Operator(requests.auth.AuthBase):
    """Signs requests of an operator, with a bearer token from login."""

    def __init__(self, url, fleet_name, email, password):
        self.url = url
        self.login = {"fleet_name": fleet_name, "email": email, "password": password}
        self.sign_in()

    def sign_in(self):
        answer = requests.post(self.url + "/v1/operator/login", json=self.login, timeout=30)
        answer.raise_for_status()
        self.fleet_id = answer.json()["fleet_id"]
        self.token = answer.json()["token"]

    def call(self, method, path, body=None):
        answer = requests.request(method, self.url + path, json=body, auth=self, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def enrol(self, name):
        token = self.call("POST", "/v1/operator/enrollment-tokens")["token"]
        body = {"fleet_id": self.fleet_id, "token": token, "display_name": name, "runtime": "custom"}
        answer = requests.post(self.url + "/v1/enroll", json=body, timeout=30)
        answer.raise_for_status()
        return Agent(self.url, answer.json()["agent_id"], answer.json()["secret"])

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Agent(requests.auth.AuthBase):
    """Signs requests of an agent."""

    def __init__(self, url, agent_id, secret):
        self.url = url
        self.id = agent_id
        self.secret = secret

    def __call__(self, request):
        path = request.path_url.split("?")[0]
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        timestamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        nonce = str(uuid.uuid4())
        digest = hashlib.sha256(body).hexdigest()
        canonical = "\n".join([request.method, path, timestamp, nonce, digest])
        signature = hmac.new(self.secret.encode(), canonical.encode(), hashlib.sha256).hexdigest()
        request.headers["x-ekho-agent-id"] = self.id
        request.headers["x-ekho-timestamp"] = timestamp
        request.headers["x-ekho-nonce"] = nonce
        request.headers["x-ekho-signature"] = signature
        return request
