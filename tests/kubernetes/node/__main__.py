"""A cluster of one node to play with: `python -m tests.kubernetes.node [ARCHIVE...]`, as root.

Imports the OCI archives (tools/images/build.sh prints the paths of ours), says where the kubeconfig
is, and takes everything down on Ctrl-C.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(_ROOT / "tests"))  # what pytest's configuration does

from interop.rig import namespaces  # noqa: E402
from tests.kubernetes.node import machine  # noqa: E402
from tests.kubernetes.node.cluster import NodeCluster  # noqa: E402


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Bring it up, wait, take it down."""
    tools = _ROOT / "tools" / "kubernetes"
    subprocess.run([str(tools / "build.sh"), "api", "node"], check=True, stdout=subprocess.DEVNULL)
    sandbox = subprocess.run(
        [str(tools / "node.sh")], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    machine.remove_leftovers()
    namespaces.remove_leftovers()
    with tempfile.TemporaryDirectory(prefix="ferrule-node-") as folder:
        cluster = NodeCluster(Path(folder), Path(sandbox))
        try:
            for archive in sys.argv[1:]:
                _say(f"image: {', '.join(cluster.containerd.load(Path(archive)))}")
            _say(f"export KUBECONFIG={cluster.api.kubeconfig}")
            signal.pause()
        finally:
            cluster.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    main()
