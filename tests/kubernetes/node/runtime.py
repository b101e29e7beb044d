"""containerd and the pod network of a node, both as Debian ships them."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path

from interop.rig.processes import CommandFailed
from tests.kubernetes.node.machine import Machine

SOCKET = "/run/containerd/containerd.sock"
POD_NETWORK = "10.244.0.0/24"
_SECONDS = 30.0

# Without CAP_SYS_RESOURCE nobody may lower an oom_score_adj, so containerd must not try.
# The paths of network namespaces would otherwise be the machine's own.
_CONFIGURATION = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "runc"
        SystemdCgroup = false

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
        BinaryName = "crun"
        SystemdCgroup = false
"""

_NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_NETWORK}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


class Containerd:
    """The runtime of one machine."""

    def __init__(self, machine: Machine, sandbox_archive: Path) -> None:
        self._machine = machine
        (sandbox,) = archive_names(sandbox_archive)
        etc = machine.folder / "etc"
        (etc / "cni" / "net.d").mkdir(parents=True, exist_ok=True)
        (etc / "cni" / "net.d" / "10-pods.conflist").write_text(json.dumps(_NETWORK))
        configuration = machine.folder / "containerd.toml"
        configuration.write_text(_CONFIGURATION.format(sandbox=sandbox))
        self._process = machine.start("containerd", ["containerd", f"--config={configuration}"])
        self._await()
        self.load(sandbox_archive)

    def _await(self) -> None:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                self.ctr("version")
                return
            except CommandFailed:
                if self._process.status is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def ctr(self, *arguments: str, timeout: float = 120) -> str:
        """containerd's own client, in the namespace of Kubernetes."""
        address = ("--address", SOCKET, "--namespace", "k8s.io")
        return self._machine.run("ctr", *address, *arguments, timeout=timeout)

    def load(self, archive: Path) -> list[str]:
        """Import the images of an OCI archive; returns their names."""
        self.ctr("images", "import", str(archive))
        return archive_names(archive)


def archive_names(archive: Path) -> list[str]:
    """The names of the images in an OCI archive."""
    with tarfile.open(archive) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        manifests = json.load(index)["manifests"]
    return [item["annotations"]["org.opencontainers.image.ref.name"] for item in manifests]
