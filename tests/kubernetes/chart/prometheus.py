"""A real Prometheus that scrapes a concentrator as the chart's PodMonitor would have it done."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.concentrator import HTTP
from tests.kubernetes.cluster.binaries import binary

LISTEN = "127.0.0.1:9090"
SCRAPE_SECONDS = 1
TARGET: Mapping[str, str] = {"namespace": "vpn", "gateway": "office", "pod": "office-0"}
_START_SECONDS = 60.0


class Prometheus:
    def __init__(self, folder: Path, rules: Path) -> None:
        config = folder / "prometheus.json"  # JSON is YAML
        config.write_text(
            json.dumps(
                {
                    "global": {
                        "scrape_interval": f"{SCRAPE_SECONDS}s",
                        "evaluation_interval": f"{SCRAPE_SECONDS}s",
                    },
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {
                            "job_name": "monitoring/ferrule-gateways",
                            "static_configs": [{"targets": [HTTP], "labels": dict(TARGET)}],
                        }
                    ],
                }
            )
        )
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                str(binary("prometheus")),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={LISTEN}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        self._await_ready()

    def _await_ready(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{LISTEN}/-/ready"):
                return
            time.sleep(0.1)
        raise AssertionError("Prometheus was not ready in time")

    def query(self, expression: str) -> Any:
        """The samples of an instant query, or the scalar; AssertionError with what it says."""
        return self._ask("query", {"query": expression})["result"]

    def rules(self) -> list[Mapping[str, Any]]:
        return [rule for group in self._ask("rules", {})["groups"] for rule in group["rules"]]

    def until(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until the expression has a sample."""
        end = time.monotonic() + seconds
        while not self.query(expression):
            assert time.monotonic() < end, f"no {expression} within {seconds:.0f} s"
            time.sleep(0.2)

    def _ask(self, what: str, parameters: Mapping[str, str]) -> Any:
        url = f"http://{LISTEN}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as page:
                answer = json.load(page)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert not answer.get("warnings"), (parameters, answer["warnings"])
        assert not answer.get("infos"), (parameters, answer["infos"])
        return answer["data"]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


@contextlib.contextmanager
def scraping(folder: Path, rules: Path) -> Iterator[Prometheus]:
    one = Prometheus(folder, rules)
    try:
        yield one
    finally:
        one.stop()
