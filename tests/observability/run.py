"""Alerts, dashboard and relay held against each other: run.py EKHO, with prometheus and
promtool in PATH.

The files by themselves first. Then three nodes, and a fourth relay with TLS, under a little load and
scraped by a real Prometheus: every query of the dashboard and of the alerts is asked, may name only
what the relays export, and those of the dashboard have to show something. In the end a node is killed,
and the alerts for that have to come.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "sdk/scenarios"))

import dashboards
import rules
from prometheus import Prometheus, metrics_of
from rig import Node, Rig, until

VARIABLES = {"job": "ekho", "instance": ".*", "__rate_interval": "10s"}
# What only shows where something happened that this does not bring about.
MAY_BE_EMPTY = {"Elections"}
SHOWN_SECONDS = 90


class Hook:
    """A hook that allows everything."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}/"


def with_tls(binary, directory):
    """A relay of its own that serves TLS."""
    place = lambda name: os.path.join(directory, name)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", place("key.pem"), "-out", place("cert.pem"), "-days", "20", "-subj", "/CN=localhost"],
        check=True,
        capture_output=True,
    )
    node = Node(binary, directory, 4)
    node.environment |= {
        "EKHO_TLS_CERT_PATH": place("cert.pem"),
        "EKHO_TLS_KEY_PATH": place("key.pem"),
        "EKHO_BASE_URL": node.url.replace("http:", "https:"),
    }
    node.set_up()
    # It answers TLS only: whether it is up is seen by what Prometheus gets.
    node.ready = lambda: node.alive()
    node.start()
    return node


def load(binary, rig, rate):
    """Agents that send to each other and take what they are sent, until they are stopped."""
    first = rig.nodes[0]
    # A directory of its own: the bench keeps the agents that it enrols.
    command = [binary, "bench", "--mode", "mixed", "--rate", str(rate), "--agents", "4", "-c", "4"]
    command += ["--duration-seconds", "600", "--url", first.url, "--wait", "5", "--warmup-seconds", "0"]
    return subprocess.Popen(
        command,
        env=first.environment,
        cwd=os.path.dirname(first.data),
        stdout=subprocess.DEVNULL,
        stderr=open(os.path.join(os.path.dirname(first.data), "bench.log"), "w"),
    )


def prepare(rig, binary):
    """What panels show beside messages: a hook, a backup, an error."""
    new = {"name": "allows", "url": Hook().url, "events": ["before_message"]}
    made = rig.operator("POST", "/v1/operator/hooks", new)
    assert made["status"] == 201, made
    first = rig.nodes[0]
    backup = [binary, "backup", "create", "--output", os.path.join(os.path.dirname(first.data), "b.tar")]
    subprocess.run(backup, env=first.environment, check=True, capture_output=True, cwd=os.path.dirname(first.data))


def ask_nonsense(node, stop):
    from rig import ask

    while not stop.wait(0.2):
        try:
            ask(node.url, "POST", "/v1/messages", {})
        except OSError:
            pass


def check_queries(prometheus):
    """Every query, until each shows something. How many there are."""
    shown = dashboards.queries(ROOT, VARIABLES)
    alerting = rules.queries(ROOT)
    names = set()

    def all_there():
        nonlocal names
        names = prometheus.names()
        missing = {
            (title, name)
            for title, query in [*shown, *alerting.items()]
            for name in metrics_of(query) - names
        }
        return None if missing else True

    try:
        until("metrics", all_there, SHOWN_SECONDS)
    except SystemExit:
        for title, query in [*shown, *alerting.items()]:
            unknown = metrics_of(query) - names
            assert not unknown, f"{title}: the relay exports no {', '.join(sorted(unknown))}"
        raise
    for title, query in shown:
        empty = f"{title} shows nothing: {query}"
        if title in MAY_BE_EMPTY:
            prometheus.range(query)
        else:
            try:
                until(empty, lambda: prometheus.range(query), SHOWN_SECONDS)
            except SystemExit:
                raise AssertionError(empty) from None
    groups = prometheus.ask("rules", type="alert")["groups"]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert loaded.keys() == alerting.keys(), loaded.keys() ^ alerting.keys()
    for name in loaded:
        health = lambda: [rule["health"] for group in prometheus.ask("rules")["groups"] for rule in group["rules"] if rule["name"] == name]
        until(f"{name} evaluated", lambda: health() == ["ok"], 30)
    return len(shown) + len(alerting)


def check_alerts(prometheus, rig):
    """A killed node is noticed, and nothing else is by then."""
    before = {name for name, _ in prometheus.alerts()}
    assert not before & {"EkhoTargetDown", "EkhoNodeUnreachable", "EkhoNoLeader", "EkhoDiskFull"}, before
    victim = rig.nodes[2]
    victim.end(9)
    expected = {("EkhoTargetDown", None), ("EkhoNodeUnreachable", "3"), ("EkhoQuorumAtRisk", None)}
    until(f"alerts {expected}", lambda: expected <= prometheus.alerts(), 60)


def main(binary):
    # Told to end, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    program, promtool = shutil.which("prometheus"), shutil.which("promtool")
    binary = os.path.abspath(binary)
    alerts = rules.check(ROOT, promtool)
    commands = rules.commands(ROOT, binary)
    panels = dashboards.check(ROOT)
    with tempfile.TemporaryDirectory(prefix="ekho-observability-") as directory:
        rig, stop, tls, bench = Rig(), threading.Event(), None, None
        try:
            rig.start(binary, 3, directory)
            prepare(rig, binary)
            tls = with_tls(binary, directory)
            bench = load(binary, rig, 20)
            threading.Thread(target=ask_nonsense, args=(rig.nodes[0], stop), daemon=True).start()
            targets = {"http": [node.address for node in rig.nodes], "https": [tls.address]}
            rules_file = os.path.join(ROOT, "deploy/prometheus/rules.yml")
            with Prometheus(program, rules_file, targets, directory) as prometheus:
                queries = check_queries(prometheus)
                check_alerts(prometheus, rig)
        finally:
            stop.set()
            for process in [bench] if bench else []:
                process.kill()
                process.wait()
            if tls:
                tls.end(15)
            rig.stop()
    print(
        f"summary: {alerts} alerts with {commands} commands in their pages, {panels} panels, "
        f"{queries} queries answered by Prometheus"
    )


if __name__ == "__main__":
    main(sys.argv[1])
