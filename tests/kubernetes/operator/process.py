"""The operator as a process, with the rights that the chart gives it and no others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.kubernetes.cluster.api import Api, eventually
from tests.kubernetes.cluster.network import free_port

CHART = Path(__file__).resolve().parents[3] / "charts" / "ferrule"
IMAGE = "registry.invalid/ferrule:test"
STOP_SECONDS = 20.0


class Operator:
    """One process. Polls and resyncs quickly, so that a test need not wait for a minute."""

    def __init__(self, kubeconfig: Path, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.log_file = folder / f"operator-{self.port}.log"
        words = {
            "IMAGE": IMAGE,
            "LISTEN": f"127.0.0.1:{self.port}",
            "RESYNC_SECONDS": "3",
            "POLL_SECONDS": "1",
            **settings,
        }
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            **{f"FERRULE_OPERATOR_{name}": text for name, text in words.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = str(Path(sys.executable).with_name("ferrule-operator"))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen([program], stderr=log, env=self._environment)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(STOP_SECONDS)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def metrics(self) -> dict[str, float]:
        """By name and labels as they stand on the page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as page:
            rows = page.read().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (row.rpartition(" ") for row in rows if not row.startswith("#"))
        }

    def resident_mb(self) -> float:
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def await_ready(self) -> None:
        def answers() -> bool:
            try:
                return bool(self.metrics())
            except OSError:
                return False

        eventually(answers, what="the operator's metrics")

    def rest(self, quiet: float = 3.0, seconds: float = 60.0) -> None:
        """Wait until nothing waits or fails, for a while."""
        end = time.monotonic() + seconds
        since = time.monotonic()
        while time.monotonic() < since + quiet:
            page = self.metrics()
            if page["ferrule_operator_failing_gateways"]:
                since = time.monotonic()
            assert time.monotonic() < end, self.log()[-3000:]
            time.sleep(0.2)


@contextlib.contextmanager
def operating(kubeconfig: Path, folder: Path, **settings: str) -> Iterator[Operator]:
    operator = Operator(kubeconfig, folder, **settings)
    operator.start()
    try:
        operator.await_ready()
        yield operator
    finally:
        if operator.running:
            operator.stop()


def install_rights(api: Api, namespace: str, values: Mapping[str, str] | None = None) -> Api:
    """The chart's ServiceAccount and roles, and the API server as that account sees it."""
    api.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CHART.parents[1] / "crds"))
    arguments = [f"--set={name}={value}" for name, value in (values or {}).items()]
    rendered = api.helm(
        "template", "ferrule", str(CHART), "--namespace", namespace, "--set=crds.enabled=false",
        *arguments,
    )  # fmt: skip
    kinds = ("ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    wanted = [
        item
        for item in YAML(typ="safe").load_all(rendered)
        if item
        and item["kind"] in kinds
        and "helm.sh/hook" not in item["metadata"].get("annotations", {})
    ]
    api.apply(*wanted, manager="chart", force=True)
    (account,) = [item for item in wanted if item["kind"] == "ServiceAccount"]
    return api.as_service_account(namespace, account["metadata"]["name"])
