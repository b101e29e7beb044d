"""The kubelet's part for one pod: volumes, sandbox, containers, messages, probes.

The real one comes with an API server (tests/kubernetes); this one takes a template as it is and
does one step at a time, so that each can be looked at, left out, or done twice.
"""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from containers.rig import translate
from containers.rig.cri import Cri, messages
from tests.kubernetes.cluster.network import within
from tests.kubernetes.node.machine import Machine

_HOME = "/var/lib/kubelet"
_READY_SECONDS = 30.0
_MESSAGE_LINES, _MESSAGE_OCTETS = 80, 2048  # what FallbackToLogsOnError takes of the log


@dataclass(frozen=True, slots=True)
class Ended:
    """What the status of a pod says of a container that ended."""

    exit_code: int
    message: str
    log: str


class Pod:
    """One pod of a template. Secrets are texts by name of Secret and file."""

    def __init__(
        self,
        cri: Cri,
        machine: Machine,
        template: Mapping[str, Any],
        secrets: Mapping[str, Mapping[str, str]],
        *,
        runtime: str = "runc",
        plugin: Mapping[str, str] | None = None,
        disk_options: str = "",
        name: str = "",
    ) -> None:
        """`plugin`: device nodes by the resource for which a plugin brings them; `disk_options`:
        how the node's disk is mounted."""
        self._cri, self._machine = cri, machine
        self._spec = template["spec"]
        self._secrets = secrets
        self._plugin = plugin or {}
        self._disk_options = disk_options
        self._uid = str(uuid.uuid4())
        self._attempts: dict[str, int] = {}
        self.ids: dict[str, str] = {}  # the newest container of each name
        self._home = f"{_HOME}/pods/{self._uid}"
        self.name = name or f"gateway-{self._uid[:8]}"
        identity = translate.Identity(
            name=self.name,
            namespace="vpn",
            uid=self._uid,
            logs=f"/var/log/pods/{self._uid}",
            cgroup=f"/{machine.cgroup}/pod{self._uid}",
        )
        self._logs = self._outside(identity.logs)
        self._logs.mkdir(parents=True)
        self._volumes = {
            volume["name"]: self._make_volume(volume) for volume in self._spec["volumes"]
        }
        self._config = translate.sandbox(self._spec, template, identity)
        self._id = cri.RunPodSandbox(config=self._config, runtime_handler=runtime).pod_sandbox_id
        status = cri.PodSandboxStatus(pod_sandbox_id=self._id).status
        self.address: str = status.network.ip

    def _outside(self, path: str) -> Path:
        """A path of the node, as it is seen from here."""
        return self._machine.folder / path.lstrip("/")

    # --- volumes

    def _make_volume(self, volume: Mapping[str, Any]) -> str:
        name = volume["name"]
        (kind,) = volume.keys() - {"name"}
        source = volume[kind]
        if kind == "hostPath":
            return self._host_path(source)
        path = f"{self._home}/volumes/{kind}/{name}"
        self._outside(path).mkdir(parents=True)
        match kind:
            case "emptyDir":
                self._empty(path, source)
            case "projected":
                self._projected(path, source)
            case "secret":
                self._projected(path, {**source, "sources": [{"secret": source}]})
            case _:
                raise AssertionError(f"the tests do not translate a volume of kind {kind}")
        return path

    def _host_path(self, source: Mapping[str, Any]) -> str:
        path = str(source["path"])
        if source["type"] == "CharDevice":
            there = os.stat(f"{self._machine.root}{path}")
            assert stat.S_ISCHR(there.st_mode), f"{path}: no device"
        return path

    def _empty(self, path: str, source: Mapping[str, Any]) -> None:
        if source.get("medium") == "Memory":
            size = f"size={translate.octets(source['sizeLimit'])}"
            self._machine.run("mount", "-t", "tmpfs", "-o", size, "tmpfs", path)
        elif self._disk_options:
            self._machine.run("mount", "--bind", path, path)
            self._machine.run("mount", "-o", f"remount,bind,{self._disk_options}", path)
        self._machine.run("chmod", "0777", path)
        self._give_to_group(path)

    def _projected(self, path: str, source: Mapping[str, Any]) -> None:
        """In memory, and so that all files change at once: `name` -> `..data/name` -> a folder."""
        self._machine.run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path)
        mode = source.get("defaultMode", 0o644)
        script = [f"cd {path} && mkdir ..1 && ln -s ..1 ..data"]
        for item in source["sources"]:
            secret = item["secret"]
            name = secret.get("name") or secret["secretName"]
            if name not in self._secrets and secret.get("optional"):
                continue
            for file, text in self._secrets[name].items():
                place = self._outside(path).parent / f"{file}.text"
                place.write_text(text)
                script.append(
                    f"install -m {mode:o} {self._home}/volumes/{Path(path).parent.name}/"
                    f"{file}.text ..1/{file} && ln -s ..data/{file} {file}"
                )
        self._machine.run("sh", "-e", "-c", "\n".join(script))
        self._give_to_group(path)

    def change_file(self, volume: str, file: str, text: str) -> None:
        """What the kubelet does when a Secret has changed."""
        at = f"{self._volumes[volume]}/..data/{file}"
        self._machine.run("sh", "-c", f"cat >{at}", stdin=text)

    def _give_to_group(self, path: str) -> None:
        group = self._spec.get("securityContext", {}).get("fsGroup")
        if group is not None:
            self._machine.run("chgrp", "-R", str(group), path)
            self._machine.run("chmod", "g+s", path)

    # --- containers

    def _container(self, name: str) -> Mapping[str, Any]:
        every = [*self._spec.get("initContainers", ()), *self._spec["containers"]]
        found: Mapping[str, Any] = next(item for item in every if item["name"] == name)
        return found

    def start(self, name: str) -> None:
        """Make and start the container of that name; once more than before."""
        attempt = self._attempts[name] = self._attempts.get(name, -1) + 1
        message = f"{self._home}/containers/{name}/{attempt}"
        self._outside(message).parent.mkdir(parents=True, exist_ok=True)
        self._outside(message).touch()
        self._outside(message).chmod(0o666)
        config = translate.container(
            self._spec,
            self._container(name),
            attempt,
            self._volumes,
            {"/dev/termination-log": message},
            self._plugin,
            {"metadata.name": self.name, "status.podIP": self.address},
        )
        self.ids[name] = self._cri.CreateContainer(
            pod_sandbox_id=self._id, config=config, sandbox_config=self._config
        ).container_id
        self._cri.StartContainer(container_id=self.ids[name])

    def await_end(self, name: str) -> Ended:
        """Wait for it, and say what the pod's status would."""
        code = self._cri.await_exit(self.ids[name])
        place = self._outside(f"{self._home}/containers/{name}/{self._attempts[name]}")
        message, log = place.read_text(), self.log(name)
        fallback = self._container(name).get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not message and code and fallback:
            tail = "\n".join(log.splitlines()[-_MESSAGE_LINES:])
            message = tail[-_MESSAGE_OCTETS:]
        return Ended(code, message, log)

    def run(self, name: str) -> Ended:
        """Start it and wait for its end, as with an init container."""
        self.start(name)
        return self.await_end(name)

    def log(self, name: str) -> str:
        """What it has written: lines of the runtime's log without time, stream and tag."""
        path = self._logs / name / f"{self._attempts[name]}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def await_log(self, name: str, words: str) -> str:
        """Wait for a line with these words, and return it."""
        end = time.monotonic() + _READY_SECONDS
        while not (found := [line for line in self.log(name).splitlines() if words in line]):
            assert time.monotonic() < end, f"{name} does not say {words}: {self.log(name)}"
            time.sleep(0.05)
        return found[0]

    def await_ready(self, name: str) -> None:
        """Ask as its readiness probe says, until it says yes."""
        container = self._container(name)
        probe = container["readinessProbe"]["httpGet"]
        (port,) = [p["containerPort"] for p in container["ports"] if p["name"] == probe["port"]]
        url = f"http://{self.address}:{port}{probe['path']}"
        end = time.monotonic() + _READY_SECONDS
        while not within(self._machine.network, lambda: _answers(url)):
            running = self._cri.state(self.ids[name]).state == messages.CONTAINER_RUNNING
            assert running, f"{name} ended: {self.log(name)}"
            assert time.monotonic() < end, f"{name} is not ready: {self.log(name)}"
            time.sleep(0.05)

    def kill(self, name: str) -> Ended:
        """SIGKILL to its first process, from the node."""
        pid = self._cri.pid(self.ids[name])
        self._machine.run("kill", "-KILL", str(pid))
        return self.await_end(name)

    def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL when the grace period is over."""
        seconds = self._spec["terminationGracePeriodSeconds"]
        self._cri.StopContainer(container_id=self.ids[name], timeout=seconds)

    def status(self, name: str) -> dict[str, str]:
        """/proc/PID/status of its first process."""
        text = self._machine.run("cat", f"/proc/{self._cri.pid(self.ids[name])}/status")
        rows = (line.partition(":") for line in text.splitlines())
        return {key: value.strip() for key, _, value in rows}

    def within_network(self, name: str, *argv: str) -> str:
        """Run a program of the node in the network namespace of the pod."""
        target = f"--target={self._cri.pid(self.ids[name])}"
        return self._machine.run("nsenter", target, "--net", "--", *argv)

    def execute(self, name: str, *argv: str) -> tuple[int, str]:
        """`kubectl exec`: exit code, and both streams."""
        done = self._cri.ExecSync(container_id=self.ids[name], cmd=argv, timeout=20)
        return done.exit_code, (done.stdout + done.stderr).decode()

    def remove(self) -> None:
        """Stop and remove all of it."""
        for container in self.ids.values():
            self._cri.StopContainer(container_id=container, timeout=0)
        self._cri.StopPodSandbox(pod_sandbox_id=self._id)
        self._cri.RemovePodSandbox(pod_sandbox_id=self._id)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except HTTPError:
        return False
    except (URLError, TimeoutError, ConnectionError):
        return False
