#!/usr/bin/env python3
"""Runs a command against relays of its own: `rig.py [--nodes 3] EKHO_BINARY -- COMMAND…`.

Sets up one node, or a cluster of three, in a temporary directory, runs the command and stops it all
again; ends with the command's exit code. The command finds in its environment

    EKHO_RELAY_URL   the addresses of the nodes, separated by commas
    EKHO_FLEET_ID    the fleet
    EKHO_RIG         an address that answers POST with JSON:
        /token       {}                             {"token"}: admits one agent
        /operator    {"method", "path", "body"?, "headers"?}    {"status", "body"}: as the owner
        /kill        {}                             {"url"}: kills the node that leads, as a power cut
        /restart     {}                             {}: starts again what was killed; returns when ready

Python's standard library only. Touches processes that it started and its directory.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

READY_SECONDS = 60
STOP_SECONDS = 20
POLL_SECONDS = 0.05
FLEET, EMAIL = "scenarios", "owner@example.org"
# Scenarios send much and let deliveries fail quickly.
SETTINGS = {
    "EKHO_HOST": "127.0.0.1",
    "EKHO_LOG": "warn,openraft=error",
    "EKHO_DISK_FREE_MIN_BYTES": "1048576",
    "EKHO_RATE_LIMIT_MAX_MESSAGES": "1000000",
    "EKHO_RETRY_BACKOFF_SECONDS": "1,1",
}


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def ask(url, method, path, body=None, headers=None, timeout=15):
    """Status and body of one request; OSError where nothing answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request(
            method, path, content, {"content-type": "application/json", **(headers or {})}
        )
        answer = connection.getresponse()
        text = answer.read().decode()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        connection.close()


def until(what, condition, seconds=READY_SECONDS):
    """Polls until the condition gives something."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"rig: {what}: not within {seconds} s")


class Node:
    def __init__(self, binary, directory, number, join=None):
        self.binary = binary
        self.address, listen = free_address(), free_address()
        self.url = f"http://{self.address}"
        self.data = os.path.join(directory, f"node{number}")
        self.log = os.path.join(directory, f"node{number}.log")
        self.process = None
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("EKHO_")}
        self.node_address = listen
        self.environment = {
            **inherited,
            **SETTINGS,
            "EKHO_DATA_DIR": self.data,
            "EKHO_PORT": self.address.rsplit(":", 1)[1],
            "EKHO_BASE_URL": self.url,
            "EKHO_NODE_ADDRESS": listen,
            "EKHO_NODE_LISTEN": listen,
        }
        if join:
            self.environment["EKHO_JOIN"], self.environment["EKHO_JOIN_TOKEN"] = join

    def set_up(self):
        command = ["setup", "--non-interactive", "--fleet", FLEET, "--email", EMAIL]
        directory = os.path.dirname(self.data)
        done = subprocess.run(
            [self.binary, *command], env=self.environment, capture_output=True, text=True, cwd=directory
        )
        if done.returncode != 0:
            raise SystemExit(f"rig: setup failed: {done.stderr}")
        with open(os.path.join(self.data, "credentials.json")) as file:
            return json.load(file)

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve"],
                env=self.environment,
                cwd=os.path.dirname(self.data),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C for the command is not one for the relay, which is stopped afterwards.
                start_new_session=True,
            )
        until(f"{self.url} ready", self.ready)

    def ready(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise SystemExit(f"rig: the relay ended with {self.process.returncode}:\n{log.read()}")
        try:
            return ask(self.url, "GET", "/readyz")[0] == 200
        except OSError:
            return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def end(self, how):
        if self.alive():
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Rig:
    def __init__(self):
        self.nodes, self.credentials = [], None
        self.token, self.lock = None, threading.Lock()

    def start(self, binary, count, directory):
        first = Node(binary, directory, 1)
        self.credentials = first.set_up()
        self.nodes.append(first)
        first.start()
        for number in range(2, count + 1):
            made = self.operator("POST", "/v1/operator/cluster/tokens", {"part": "voter"})
            join = (first.node_address, made["body"]["token"])
            node = Node(binary, directory, number, join)
            self.nodes.append(node)
            node.start()
        if count > 1:
            until(f"{count} voters", lambda: self.voters() == count)

    def voters(self):
        status = self.operator("GET", "/v1/operator/cluster")["body"]
        return sum(
            bool(node["voter"] and node["reachable"] and node["health"] == "ok")
            for node in status["nodes"]
        )

    def operator(self, method, path, body=None, headers=None):
        """One request as the owner, of whichever node answers; signs in where needed."""

        def once():
            for node in [node for node in self.nodes if node.alive()]:
                try:
                    with self.lock:
                        if self.token is None:
                            self.token = self.sign_in(node)
                    own = {"authorization": f"Bearer {self.token}", **(headers or {})}
                    status, answer = ask(node.url, method, path, body, own)
                    if status != 503:
                        return {"status": status, "body": answer}
                except OSError:
                    continue
            return None

        return until(f"{method} {path}", once, 30)

    def sign_in(self, node):
        login = {"fleet_name": FLEET, "email": EMAIL, "password": self.credentials["password"]}
        status, answer = ask(node.url, "POST", "/v1/operator/login", login)
        if status != 200:
            raise OSError(f"signing in: {status}")
        return answer["token"]

    def enrollment_token(self):
        answer = self.operator("POST", "/v1/operator/enrollment-tokens", {})
        return {"token": answer["body"]["token"]}

    def kill(self):
        leader = self.nodes[0]
        if len(self.nodes) > 1:
            number = until(
                "a leader", lambda: self.operator("GET", "/v1/operator/cluster")["body"].get("leader")
            )
            leader = self.nodes[number - 1]
        leader.end(signal.SIGKILL)
        return {"url": leader.url}

    def restart(self):
        for node in self.nodes:
            if not node.alive():
                node.start()
        if len(self.nodes) > 1:
            until("all voters", lambda: self.voters() == len(self.nodes))
        return {}

    def stop(self):
        # All at once: one that hands leadership over would wait for a majority that is going away.
        for node in self.nodes:
            if node.alive():
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            node.end(signal.SIGTERM)


def serve(rig):
    """The rig's own address, for the command."""
    calls = {
        "/token": lambda given: rig.enrollment_token(),
        "/operator": lambda given: rig.operator(
            given["method"], given["path"], given.get("body"), given.get("headers")
        ),
        "/kill": lambda given: rig.kill(),
        "/restart": lambda given: rig.restart(),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers.get("content-length") or 0)
            given = json.loads(self.rfile.read(size) or b"{}")
            try:
                status, answer = 200, calls[self.path](given)
            except (KeyError, SystemExit) as error:
                status, answer = 500, {"error": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=1)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no command")
    # Told to end, it still stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="ekho-rig-") as directory:
        rig = Rig()
        try:
            rig.start(os.path.abspath(options.binary), options.nodes, directory)
            environment = {
                **os.environ,
                "EKHO_RIG": serve(rig),
                "EKHO_RELAY_URL": ",".join(node.url for node in rig.nodes),
                "EKHO_FLEET_ID": rig.credentials["fleet_id"],
            }
            return subprocess.run(command, env=environment).returncode
        finally:
            rig.stop()


if __name__ == "__main__":
    sys.exit(main())
