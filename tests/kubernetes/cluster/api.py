"""What a test holds in its hand: the API server as one user sees it, kubectl, helm, a client."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import kubernetes
import kubernetes.client
import kubernetes.config

from tests.kubernetes.cluster.audit import AuditLog
from tests.kubernetes.cluster.binaries import binary
from tests.kubernetes.cluster.control_plane import ControlPlane

_T = TypeVar("_T")


class CommandRefused(Exception):
    """kubectl or helm ended with another status than 0; the text is what it said."""


class Api:
    """One user's view of a control plane."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path) -> None:
        self.plane = plane
        self.kubeconfig = kubeconfig
        self.client: kubernetes.client.ApiClient = kubernetes.config.new_client_from_config(
            config_file=str(kubeconfig)
        )

    @property
    def audit(self) -> AuditLog:
        """The writes that the API server saw, everybody's."""
        return self.plane.audit

    @property
    def core(self) -> kubernetes.client.CoreV1Api:
        """The typed client of the core group."""
        return kubernetes.client.CoreV1Api(self.client)

    def close(self) -> None:
        """Close the client's connections."""
        self.client.rest_client.pool_manager.clear()
        self.client.close()

    # --- commands

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 60) -> str:
        """Run kubectl and return what it printed; raises CommandRefused."""
        return self._run("kubectl", arguments, stdin, timeout)

    def helm(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        """Run helm with state of its own; raises CommandRefused."""
        return self._run("helm", arguments, stdin, timeout)

    def environment(self) -> dict[str, str]:
        """For a program that shall work as this user: KUBECONFIG, and nothing of the person's."""
        home = self.plane.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(home),
            **{f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")},
        }

    def _run(self, program: str, arguments: Sequence[str], stdin: str, timeout: float) -> str:
        done = subprocess.run(
            [str(binary(program)), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(),
            check=False,
        )
        if done.returncode:
            raise CommandRefused(f"{program} {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    # --- objects

    def apply(
        self,
        *objects: Mapping[str, Any],
        manager: str = "test",
        namespace: str = "",
        force: bool = False,
    ) -> None:
        """Server-side apply; raises CommandRefused with the API server's words."""
        where = ["--namespace", namespace] if namespace else []
        forced = ["--force-conflicts"] if force else []
        text = "\n---\n".join(json.dumps(item) for item in objects)
        self.kubectl(
            "apply",
            "--server-side",
            f"--field-manager={manager}",
            *where,
            *forced,
            "-f",
            "-",
            stdin=text,
        )

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """One object as it is stored; raises CommandRefused when there is none."""
        where = ["--namespace", namespace] if namespace else []
        content = json.loads(self.kubectl("get", kind, name, *where, "-o", "json"))
        assert isinstance(content, dict)
        return content

    def list(self, kind: str, namespace: str = "", selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, in one namespace or in all."""
        where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
        chosen = ["--selector", selector] if selector else []
        items = json.loads(self.kubectl("get", kind, *where, *chosen, "-o", "json"))["items"]
        assert isinstance(items, list)
        return items

    def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """A namespace, with labels for Pod Security if given."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    # --- others

    def as_service_account(self, namespace: str, name: str) -> Api:
        """The same API server seen by a service account (its token is good for an hour)."""
        request = kubernetes.client.AuthenticationV1TokenRequest(
            spec=kubernetes.client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600)
        )
        token = self.core.create_namespaced_service_account_token(name, namespace, request)
        config = self.plane.kubeconfig_with_token(f"{namespace}.{name}", token.status.token)
        return Api(self.plane, config)

    def as_user(self, name: str, groups: Sequence[str] = ()) -> Api:
        """The same API server seen by a person in those groups."""
        return Api(self.plane, self.plane.kubeconfig_of(f"user-{name}", name, groups))


def eventually(question: Callable[[], _T], *, seconds: float = 30, what: str = "") -> _T:
    """Ask until the answer is true in Python's sense; fails with the last answer or error."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            answer = question()
            if answer:
                return answer
            last = answer
        except (CommandRefused, kubernetes.client.ApiException, LookupError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {seconds:g} s: {what or question}: {last}")
        time.sleep(0.1)
