"""What a Service, kubelet and kube-proxy are to a pod: who gets new flows, and who no flows at all.

nftables DNAT spreads clients over the pods by address. UDP 500 and 4500 of one client go to
different pods on purpose, as may happen in any cluster: there `sessionAffinity` is each port's own.
A thread probes the pods as the operator's readiness probe does. A pod that is told to stop gets no
new flows; one that does not serve any more gets none, and its conntrack entries are deleted. `web`,
which routes the pool by way of all serving pods, hears of it at the same moment.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from interop.rig.processes import CommandFailed
from interop.rig.topology import SERVER_ADDRESS

from .laboratory import POOL, ClusterLaboratory, back_address, pod_address
from .pod import Pod

PROBE_SECONDS = 2.0  # as in the operator's pod template
PROBE_FAILURES = 3
FIRST_PROBE_SECONDS = 0.5  # until it is ready for the first time
NOTICE_SECONDS = 1.0  # from a process's end to kubelet's telling (its PLEG relists each second)
SYNC_SECONDS = 0.3  # from there to the nodes' tables
_TICK_SECONDS = 0.05


@dataclass(slots=True)
class _Endpoint:
    pod: Pod
    ready: bool = False
    terminating: bool = False
    failures: int = 0
    probe_at: float = 0.0
    ended_at: float | None = None
    starts: int = 0  # of its process, as far as it was noticed

    @property
    def takes_new(self) -> bool:
        """New flows are for it, and for the process that runs now."""
        return self.ready and not self.terminating and self.starts == self.pod.starts


class Balancer:
    """Use it in a `with`; pods may be started and stopped meanwhile."""

    def __init__(self, laboratory: ClusterLaboratory, pods: Sequence[Pod]) -> None:
        self.changes: list[tuple[float, str]] = []  # monotonic time, what
        self._laboratory = laboratory
        self._endpoints = [_Endpoint(pod) for pod in pods]
        self._turn_by = 0
        self._loaded = ""
        self._routed = ""
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="balancer", daemon=True)

    def __enter__(self) -> Balancer:
        self._sync()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    # --- what a test says

    def rotate(self, by: int = 0) -> None:
        """Flows of 500 stay where they are, those of 4500 go to the pod `by` further than at first,
        which was one further than 500's."""
        with self._lock:
            self._turn_by = by
            self._sync()
            self.forget()

    def terminating(self, pod: Pod, *, on: bool = True) -> None:
        """The API server was told to delete the pod: no new flows for it."""
        with self._lock:
            self._of(pod).terminating = on
            self._sync()

    def serving(self) -> list[Pod]:
        """Pods that get packets."""
        with self._lock:
            return [end.pod for end in self._endpoints if end.ready]

    def await_serving(self, count: int, seconds: float = 30) -> None:
        """Wait until so many pods get new flows."""
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                if sum(e.takes_new for e in self._endpoints) == count:
                    return
            assert self._failure is None, self._failure
            if count == len(self._endpoints):
                for each in self._endpoints:
                    assert each.pod.running, f"{each.pod.name} ended:\n{each.pod.text()[-3000:]}"
            if time.monotonic() > end:
                states = [(e.pod.name, e.ready, e.terminating) for e in self._endpoints]
                raise AssertionError(f"not {count} pods serve: {states}\n{self.changes}")
            time.sleep(_TICK_SECONDS)

    def forget(self) -> None:
        """Every flow finds its pod anew."""
        with contextlib.suppress(CommandFailed):
            self._laboratory.server.run("conntrack", "-F")

    def flows(self) -> str:
        """The UDP flows as conntrack prints them."""
        return self._laboratory.server.run("conntrack", "-L", "-p", "udp")

    def ingress(self, host: str, port: int) -> Pod | None:
        """The pod that packets of a client's address to our `port` enter."""
        for line in self.flows().splitlines():
            if f"src={host} " in line and f" dport={port} " in line:
                for end in self._endpoints:
                    if f"src={end.pod.address} " in line:
                        return end.pod
        return None

    def _of(self, pod: Pod) -> _Endpoint:
        return next(end for end in self._endpoints if end.pod is pod)

    # --- kubelet

    def _watch(self) -> None:
        try:
            while not self._stop.wait(_TICK_SECONDS):
                for end in self._endpoints:
                    self._look_at(end, time.monotonic())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._failure = error

    def _look_at(self, end: _Endpoint, now: float) -> None:
        if end.starts != end.pod.starts:  # another process: as a container that is started again
            end.starts = end.pod.starts
            end.ended_at, end.terminating = None, False
            end.failures, end.probe_at = 0, now
            self._turn(end, False)
        if not end.pod.running:
            if end.ended_at is None:
                end.ended_at = now
            if end.ready and now >= end.ended_at + NOTICE_SECONDS:
                self._turn(end, False)
            return
        if now < end.probe_at:
            return
        ready = end.pod.ready()
        end.probe_at = now + (PROBE_SECONDS if end.ready else FIRST_PROBE_SECONDS)
        end.failures = 0 if ready else end.failures + 1
        if ready != end.ready and (ready or end.failures >= PROBE_FAILURES):
            self._turn(end, ready)

    def _turn(self, end: _Endpoint, ready: bool) -> None:
        if end.ready == ready:
            return
        time.sleep(SYNC_SECONDS)
        with self._lock:
            end.ready = ready
            self._sync()
            if not ready:
                self._flush(end.pod)

    # --- kube-proxy, and the routes of the network behind

    def _sync(self) -> None:
        ready = [end for end in self._endpoints if end.ready]
        fresh = [end for end in ready if not end.terminating] or ready
        self._load([end.pod.address for end in fresh])
        self._route([back_address(end.pod.number) for end in fresh])
        states = " ".join(
            f"{end.pod.name}{'' if end.ready else '-'}{'~' if end.terminating else ''}"
            for end in self._endpoints
        )
        self.changes.append((time.monotonic(), states))

    def _load(self, addresses: list[str]) -> None:
        rules = ""
        if addresses:
            count = len(addresses)
            for port, shift in ((500, 0), (4500, 1 + self._turn_by)):
                places = (addresses[(at + shift) % count] for at in range(count))
                table = ", ".join(f"{at} : {address}" for at, address in enumerate(places))
                rules += (
                    f"    ip daddr {SERVER_ADDRESS} udp dport {port}"
                    f" dnat to jhash ip saddr mod {count} seed 1 map {{ {table} }}\n"
                )
        if rules != self._loaded or not self.changes:
            self._loaded = rules
            self._laboratory.server.nft(
                "add table ip balancer\ndelete table ip balancer\ntable ip balancer {\n"
                "  chain in { type nat hook prerouting priority dstnat;\n"
                f"{rules}  }}\n"
                # What a pod says in a flow that is no more would come from the pod's own address.
                "  chain through { type filter hook forward priority filter;\n"
                '    iifname "pods" udp sport { 500, 4500 } ct direction original drop\n'
                "  }\n"
                # Without any endpoint nothing is let in, and so no flow begins that leads nowhere.
                "  chain nowhere { type filter hook input priority filter;\n"
                f"    ip daddr {SERVER_ADDRESS} udp dport {{ 500, 4500 }} drop\n"
                "  }\n}\n"
            )

    def _route(self, addresses: list[str]) -> None:
        hops = [word for address in addresses for word in ("nexthop", "via", address)]
        if not hops or str(hops) == self._routed:
            return
        self._routed = str(hops)
        self._laboratory.web.ip("route", "replace", POOL, *hops)

    def _flush(self, pod: Pod) -> None:
        with contextlib.suppress(CommandFailed):  # it fails when there was none
            self._laboratory.server.run(
                "conntrack", "-D", "-p", "udp", "--reply-src", pod_address(pod.number)
            )
