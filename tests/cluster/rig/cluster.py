"""The whole of it: laboratory, store, pods and balancer, with the configuration they share."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from interop.rig.scenario import CONFIGURATION
from interop.rig.topology import SERVER_ADDRESS

from .balancer import Balancer
from .crowd import PASSWORD, USER, USERS
from .laboratory import PODS, POOL, ClusterLaboratory
from .pod import RING_PORT, Pod
from .store import PORT, URL, StoreServer

FULL = os.environ.get("FERRULE_FULL") == "1"
STORE_KEY = "a-key-of-the-whole-cluster-0123456789"
NAMES_KEY = "another-key-that-is-never-replaced-0"
FORM_SECONDS = 30
STATIC_ADDRESS = "10.99.2.77"
RELAYED = (2, 3)  # kinds of the ring: TO_OWNER, TO_CLIENT


def configuration(**gateway: Any) -> dict[str, Any]:
    """What all pods share; `gateway` changes that part."""
    made = copy.deepcopy(CONFIGURATION)
    made["listen"] = {"publicAddress": SERVER_ADDRESS}
    made["gateway"] |= {
        "pools": [{"name": "default", "cidr": POOL}],
        "egress": {"snat": False, "clientToClient": True},
        "limits": {"perSourceRate": 10000},
        "store": {"type": "Valkey", "url": URL, "key": STORE_KEY, "namesKey": NAMES_KEY},
        "drain": {"timeoutSeconds": 15},
        **gateway,
    }
    made["users"] += [
        {"username": USER.format(number=number), "password": PASSWORD} for number in range(USERS)
    ]
    made["users"] += [
        {"username": "two", "password": PASSWORD, "maxSessions": 2, "onLimit": "reject-new"},
        {"username": "last", "password": PASSWORD, "maxSessions": 1, "onLimit": "replace-oldest"},
        {"username": "fixed", "password": PASSWORD, "staticIP": STATIC_ADDRESS},
    ]
    return made


def full_or(short: int, full: int) -> int:
    """`full` under `make cluster-full`."""
    return full if FULL else short


class Cluster:
    """Made by `cluster`."""

    def __init__(
        self, laboratory: ClusterLaboratory, settings: Mapping[str, Any], *, count: int = PODS
    ) -> None:
        self.laboratory = laboratory
        self.store = StoreServer(laboratory)
        self.pods = [Pod(laboratory, number, settings) for number in range(count)]
        self.balancer = Balancer(laboratory, self.pods)
        self.marks: dict[str, int] = {}

    def start(self) -> float:
        """Start all pods at once; returns the seconds until all serve."""
        began = time.monotonic()
        for pod in self.pods:
            self.marks[pod.name] = pod.mark()
            pod.begin()
        self.balancer.await_serving(len(self.pods), FORM_SECONDS)
        return time.monotonic() - began

    def owner_of(self, user: str) -> Pod:
        """The pod that has a user's session; there must be exactly one."""
        having = [pod for pod, _ in self.sessions(user)]
        assert len(having) == 1, f"{user} is on {[pod.name for pod in having]}"
        return having[0]

    def await_owner(self, user: str, seconds: float = 10, *, but: Pod | None = None) -> Pod:
        """Wait until exactly one pod, and not `but`, has the user's session."""
        end = time.monotonic() + seconds
        while True:
            having = [pod for pod, _ in self.sessions(user)]
            if len(having) == 1 and having[0] is not but:
                return having[0]
            assert time.monotonic() < end, f"{user} is on {[pod.name for pod in having]}"
            time.sleep(0.1)

    def sessions(self, user: str | None = None) -> list[tuple[Pod, dict[str, Any]]]:
        """Sessions of all running pods."""
        rows = []
        for pod in self.pods:
            if pod.running:
                rows += [(pod, row) for row in pod.sessions()]
        return [(pod, row) for pod, row in rows if user is None or row["user"] == user]

    def addresses(self) -> list[str]:
        """Inner addresses of all sessions; one that is in it twice was leased twice."""
        return [row["address"] for _, row in self.sessions()]

    def assert_no_conflict(self, count: int) -> None:
        """So many sessions, each with an address of its own."""
        addresses = self.addresses()
        assert len(addresses) == len(set(addresses)) == count, sorted(addresses)

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all running pods."""
        return sum(pod.metric(name, **labels) for pod in self.pods if pod.running)

    def restart(self, pod: Pod, seconds: float = 30) -> None:
        """Start a pod that has ended, and wait until it serves again."""
        pod.begin()
        self.balancer.await_serving(len(self.pods), seconds)

    def mend(self) -> None:
        """All pods run and serve, and the store too, whatever a test did to them."""
        if not self.store.running:
            self.store.start()
        for pod in self.pods:
            if not pod.running:
                pod.begin()
            pod.resume()
            self.balancer.terminating(pod, on=False)
        self.balancer.await_serving(len(self.pods), FORM_SECONDS)

    def empty(self) -> None:
        """Nobody is on, whoever a test left behind."""
        for pod in self.pods:
            if pod.sessions():
                pod.admin("POST", "/kick", {"all": True})
        until(lambda: self.sessions() == [], 10, "sessions that were kicked are still on")

    def bugs(self) -> list[str]:
        """What pods logged that tells of bugs, since the start."""
        return [
            f"{pod.name}: {line}"
            for pod in self.pods
            for line in pod.bugs(self.marks.get(pod.name, 0))
        ]

    # --- cuts

    @contextmanager
    def cut(
        self, pod: Pod, *others: Pod, store: bool = False, what: str = "ring"
    ) -> Iterator[None]:
        """No ring between `pod` and `others`, and with `store` no store for it, for a while."""
        namespace = self.laboratory.pods[pod.number]
        rules = [
            f"ip {end} {other.address} udp dport {RING_PORT} drop"
            for other in others
            for end in ("saddr", "daddr")
        ]
        if store:
            rules.append(f"tcp dport {PORT} drop")
            rules.append(f"tcp sport {PORT} drop")
        text = "\n".join(rules)
        namespace.nft(
            f"table ip {what} {{\n"
            f"  chain in {{ type filter hook input priority 0;\n{text}\n}}\n"
            f"  chain out {{ type filter hook output priority 0;\n{text}\n}}\n}}\n"
        )
        try:
            yield
        finally:
            namespace.nft(f"delete table ip {what}\n")


@contextmanager
def running(
    laboratory: ClusterLaboratory,
    settings: Mapping[str, Any],
    *,
    count: int = PODS,
    sentinel: bool = False,
) -> Iterator[Cluster]:
    """A cluster from its store, with a replica and a sentinel if wanted, to its balancer."""
    with ExitStack() as stack:
        cluster = Cluster(laboratory, settings, count=count)
        stack.callback(cluster.store.stop_all)
        if sentinel:
            cluster.store.start_with_sentinel()
        else:
            cluster.store.start()
        for pod in cluster.pods:
            stack.callback(_end, pod)
        stack.enter_context(cluster.balancer)
        cluster.start()
        yield cluster


def _end(pod: Pod) -> None:
    if pod.running:
        pod.resume()
        pod.kill()


def until(true: Callable[[], bool], seconds: float, otherwise: str) -> float:
    """Wait for something; returns how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"{otherwise}, in {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began
