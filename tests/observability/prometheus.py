"""A real Prometheus that scrapes relays, and what is asked of it."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from rig import free_address, until

# Names of metrics in a query; labels and functions have none of these beginnings.
METRIC = re.compile(r"\b(?:ekho|process)_[a-z0-9_]+\b|\bup\b")
WORDS = re.compile(r'"(?:[^"\\]|\\.)*"')


def metrics_of(query):
    return set(METRIC.findall(WORDS.sub('""', query)))


class Prometheus:
    """`with Prometheus(program, rules, targets, directory) as prometheus:`"""

    def __init__(self, program, rules, targets, directory):
        self.address = free_address()
        self.directory = directory
        config = os.path.join(directory, "prometheus.yml")
        with open(config, "w") as file:
            # JSON is YAML.
            json.dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [os.path.abspath(rules)],
                    "scrape_configs": [self.job(scheme, own) for scheme, own in targets.items()],
                },
                file,
            )
        self.command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={os.path.join(directory, 'tsdb')}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]

    def job(self, scheme, targets):
        # One job for all: a name that a real one would have.
        return {
            "job_name": "ekho" if scheme == "http" else f"ekho-{scheme}",
            "scheme": scheme,
            "tls_config": {"insecure_skip_verify": True},
            "static_configs": [{"targets": targets, "labels": {"job": "ekho"}}],
        }

    def __enter__(self):
        self.log = open(os.path.join(self.directory, "prometheus.log"), "w+")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        until("Prometheus", self.ready)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def ready(self):
        if self.process.poll() is not None:
            with open(self.log.name) as log:
                raise SystemExit(f"Prometheus ended:\n{log.read()}")
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **arguments):
        """The data of an answer; AssertionError with what Prometheus says against it."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def names(self):
        return set(self.ask("label/__name__/values"))

    def range(self, query):
        """Series of the last minute, without values that are no number."""
        now = time.time()
        found = self.ask("query_range", query=query, start=now - 60, end=now, step=2)["result"]
        return [one for one in found if any(value != "NaN" for _, value in one["values"])]

    def alerts(self):
        return {(one["labels"]["alertname"], one["labels"].get("node")) for one in self.ask("alerts")["alerts"]}
