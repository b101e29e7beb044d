"""Stand a cluster up and leave it standing, to look at and to break by hand: root, Debian.

    sudo .venv/bin/python tools/cluster/stand.py [CLIENTS]

The laboratory of tests/cluster without real clients: three pods, a store, a balancer, and CLIENTS
(20) user-space clients that ping twice a second. It prints where everything is, then how the
clients fare, each five seconds, until Ctrl-C takes all of it down.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cluster.rig.cluster import Cluster, configuration, running
from cluster.rig.crowd import crowd
from cluster.rig.laboratory import ClusterLaboratory
from interop.rig.namespaces import remove_leftovers
from interop.rig.scenario import PSK

PINGS_PER_SECOND = 2.0
REPORT_SECONDS = 5.0


def show(cluster: Cluster) -> None:
    """Where everything is, as commands that can be typed."""
    laboratory = cluster.laboratory
    print(f"logs and sockets: {laboratory.folder}")
    for pod in cluster.pods:
        namespace = laboratory.pods[pod.number].name
        socket = laboratory.folder / pod.name / "admin.sock"
        print(f"{pod.name}: kill -9 {pod.pid}; ip netns exec {namespace} ip addr")
        print(f"       .venv/bin/ferrule cluster --socket {socket}")
    print(f"balancer: ip netns exec {laboratory.server.name} conntrack -L -p udp")
    print(f"store: ip netns exec {laboratory.store.name} redis-cli")


def main() -> None:
    """Until Ctrl-C."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix="ferrule-cluster-") as folder:
        laboratory = ClusterLaboratory(Path(folder))
        try:
            with running(laboratory, configuration()) as cluster, crowd(laboratory, PSK) as people:
                show(cluster)
                growth = people.grow(count)
                print(f"{growth['up']} of {count} clients are on {growth['failures'] or ''}")
                people.traffic(PINGS_PER_SECOND)
                while True:
                    time.sleep(REPORT_SECONDS)
                    print(people.report())
        finally:
            laboratory.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("taken down")
