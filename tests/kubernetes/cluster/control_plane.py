"""etcd, kube-apiserver and, when asked for, kube-controller-manager and kube-scheduler.

All listen on one address only (loopback unless told otherwise) with ports of their own, so that
several can run side by side. RBAC is on and every connection to the API server is TLS.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import ssl
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from interop.rig.processes import Process
from tests.kubernetes.cluster import kubeconfig
from tests.kubernetes.cluster.audit import POLICY, AuditLog
from tests.kubernetes.cluster.binaries import binary
from tests.kubernetes.cluster.certificates import Authority, make_signing_key
from tests.kubernetes.cluster.network import Door, free_port, within

SERVICES = "10.96.0.0/16"
_FIRST_SERVICE = "10.96.0.1"
_START_SECONDS = 90.0  # two seconds on an idle machine
_TRIES = 3


class NotReady(Exception):
    """A component ended, or did not get ready in time; the text ends with its log."""


class ControlPlane:
    """Starts and stops the components; all files are in `folder`.

    With `network`, the file of a network namespace, all run there on `address`, `prefix` is the
    command that goes there, and `server` is a door that leads there from here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        network: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = address
        self.authority = Authority(folder / "pki")
        self.audit = AuditLog(folder / "audit.log")
        self.server = ""  # for programs here
        self.inner_server = ""  # for programs in the namespace, and pods
        self._network = network
        self._door: Door | None = None
        self._prefix = tuple(prefix)
        self._arguments: dict[str, list[str]] = {}
        self._processes: dict[str, Process] = {}
        self._signing_key, self._signing_public = make_signing_key(folder / "pki", "accounts")
        self._serving = self.authority.server(
            "apiserver",
            ["localhost", "127.0.0.1", "kubernetes.default.svc", address, _FIRST_SERVICE],
        )

    # --- life

    def start(self) -> None:
        """Start etcd and kube-apiserver; raises NotReady with the log of what failed."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self._start_once()
                return
            except NotReady:
                # Somebody else may have taken a port between our look and the server's.
                self.stop()
                if not tries_left:
                    raise

    def stop(self) -> None:
        """End all at once: nobody needs the data any more."""
        for name in reversed(list(self._processes)):
            self.stop_component(name, signal.SIGKILL)
        if self._door:
            self._door.close()
            self._door = None

    def add_arguments(self, name: str, *arguments: str) -> None:
        """Further arguments for the next start of a component."""
        self._arguments.setdefault(name, []).extend(arguments)

    def stop_component(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one component. It stays ended until it is started again."""
        process = self._processes.pop(name, None)
        if process:
            process.stop(number, timeout=15)

    def start_component(self, name: str, argv: Sequence[str]) -> Process:
        """Start a program as a child of this test run, with its log in the folder."""
        log = self.folder / f"{name}.log"
        process = Process([*self._prefix, str(binary(name)), *argv], log)
        self._processes[name] = process
        return process

    def start_api_server(self) -> None:
        """Start kube-apiserver alone, as after `stop_component("kube-apiserver")`."""
        self.start_component("kube-apiserver", self._api_server_arguments())
        self.await_ready("kube-apiserver", f"{self.inner_server}/readyz")

    def start_controllers(self) -> None:
        """Start kube-controller-manager: StatefulSets, garbage collection, namespaces and so on."""
        if "kube-controller-manager" in self._processes:
            return
        port = self._free_port()
        config = self.inner_kubeconfig("controller-manager", "system:kube-controller-manager")
        self.start_component(
            "kube-controller-manager",
            [
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--service-account-private-key-file={self._signing_key}",
                f"--root-ca-file={self.authority.certificate}",
                f"--cluster-signing-cert-file={self.authority.certificate}",
                f"--cluster-signing-key-file={self.authority.key}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                *self._arguments.get("kube-controller-manager", ()),
            ],
        )
        self.await_ready("kube-controller-manager", f"https://127.0.0.1:{port}/healthz")

    def start_scheduler(self) -> None:
        """Start kube-scheduler."""
        port = self._free_port()
        config = self.inner_kubeconfig("scheduler", "system:kube-scheduler")
        self.start_component(
            "kube-scheduler",
            [
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                "--leader-elect=false",
                *self._arguments.get("kube-scheduler", ()),
            ],
        )
        self.await_ready("kube-scheduler", f"https://127.0.0.1:{port}/healthz")

    def _start_once(self) -> None:
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)
        self._client, peer = self._free_port(), self._free_port()
        self._port = self._free_port(self.address)
        self.inner_server = self.server = f"https://{self.address}:{self._port}"
        if self._network:
            self._door = Door(self._network, (self.address, self._port))
            self.server = f"https://127.0.0.1:{self._door.port}"
        url = f"http://127.0.0.1:{self._client}"
        self.start_component(
            "etcd",
            [
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}",
                "--unsafe-no-fsync",  # the data is of no use after the run
                "--log-level=warn",
            ],
        )
        self.await_ready("etcd", f"{url}/health")
        self.start_api_server()

    def _api_server_arguments(self) -> list[str]:
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(POLICY), encoding="utf-8")
        certificate, key = self._serving
        return [
            f"--etcd-servers=http://127.0.0.1:{self._client}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={self.authority.certificate}",
            "--authorization-mode=Node,RBAC",
            # The second asks for more rights of whoever makes children, as some clusters do.
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._signing_public}",
            f"--service-account-signing-key-file={self._signing_key}",
            f"--service-cluster-ip-range={SERVICES}",
            # An address of loopback is no endpoint that the API server would accept from itself.
            *(() if self._network else ("--endpoint-reconciler-type=none",)),
            "--allow-privileged=true",
            "--profiling=false",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            "--audit-log-mode=blocking",
            *self._arguments.get("kube-apiserver", ()),
        ]

    # --- readiness

    def await_ready(self, name: str, url: str, seconds: float = _START_SECONDS) -> None:
        """Wait until a component answers 200 at `url`; raises NotReady."""
        within(self._network, lambda: self._await_ready(name, url, seconds))

    def _await_ready(self, name: str, url: str, seconds: float) -> None:
        process = self._processes[name]
        context = self._admin_context() if url.startswith("https:") else None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process.status is not None:
                raise NotReady(f"{name} ended with status {process.status}{self.tail(name)}")
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(url, timeout=2, context=context) as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.05)
        raise NotReady(f"{name} was not ready after {seconds:.0f} s{self.tail(name)}")

    def tail(self, name: str, lines: int = 25) -> str:
        """The end of a component's log."""
        text = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(["", *text.splitlines()[-lines:]])

    def _admin_context(self) -> ssl.SSLContext:
        # The controllers make themselves certificates; only the API server's is ours to check.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(*self._certificate_of("admin", "admin", ("system:masters",)))
        return context

    # --- who may come in

    def kubeconfig_of(self, name: str, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for a user of that name in those groups, with a client certificate."""
        return kubeconfig.write(
            self.folder / f"{name}.kubeconfig",
            server=self.server,
            authority=self.authority.certificate,
            certificate=self._certificate_of(name, user, groups),
        )

    def inner_kubeconfig(self, name: str, user: str, groups: Sequence[str] = ()) -> Path:
        """The same for a program that runs where the API server does."""
        return kubeconfig.write(
            self.folder / f"{name}.kubeconfig",
            server=self.inner_server,
            authority=self.authority.certificate,
            certificate=self._certificate_of(name, user, groups),
        )

    def kubeconfig_with_token(self, name: str, token: str) -> Path:
        """A kubeconfig with a bearer token (a service account's)."""
        return kubeconfig.write(
            self.folder / f"{name}.kubeconfig",
            server=self.server,
            authority=self.authority.certificate,
            token=token,
        )

    def admin(self) -> Path:
        """The kubeconfig of one who may do everything."""
        return self.kubeconfig_of("admin", "admin", ("system:masters",))

    def _free_port(self, address: str = "127.0.0.1") -> int:
        return within(self._network, lambda: free_port(address))

    def _certificate_of(self, name: str, user: str, groups: Sequence[str]) -> tuple[Path, Path]:
        made = (self.authority.folder / f"{name}.crt", self.authority.folder / f"{name}.key")
        return made if made[0].exists() else self.authority.client(name, user, groups)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver for the length of a with statement."""
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
