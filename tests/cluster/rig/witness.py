"""Witnesses on the cables: of every ESP packet that leaves for a client, and of the ring.

No (SPI, sequence number) may ever be sent twice, whichever pods the packets left through; and once
a new owner sends from its reservation, nothing of the old owner's may follow (RFC 4303 3.3.3). The
very same octets again are a network's doing, not a sender's: they are counted apart.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

from interop.hostile.wire import (
    Datagram,
    build_frame,
    hardware_address,
    open_tap,
    parse_frame,
    rig_namespace,
    udp_from,
)

from .laboratory import PODS, ClusterLaboratory, pod_address, pod_port
from .pod import RING_PORT

NATT_PORT = 4500
BACK_MAX = 4096  # numbers that a packet may come behind the newest: relays re-order
_CHUNK = 12
_EMPTY = bytes(8 << _CHUNK)
_PACKET_STATISTICS = 6
_SOL_PACKET = 263
_RING_KEPT = 64 << 20  # octets of the ring that are kept for a look


class _Tap:
    """A thread that reads frames of one device."""

    def __init__(self, namespace: str, device: str, *sources: str) -> None:
        self.dropped = 0
        self._socket = rig_namespace(namespace).run(lambda: open_tap(device, udp_from(*sources)))
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"tap {device}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        receive, parse = self._socket.recv, parse_frame
        while not self._stop.is_set():
            try:
                frame = receive(2048)
            except TimeoutError:
                continue
            datagram = parse(frame)
            if datagram is not None:
                self.see(datagram)

    def see(self, datagram: Datagram) -> None:
        raise NotImplementedError

    def close(self) -> None:
        if self._stop.is_set():
            return
        time.sleep(0.2)
        self._stop.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.dropped = struct.unpack("II", statistics)[1]
        self._socket.close()


@dataclass(slots=True)
class _Sa:
    """Outbound numbers of one SA: a hash of the packet for each, in pieces of 2^12 numbers."""

    chunks: dict[int, array[int]] = field(default_factory=dict)
    top: int = 0
    sent: int = 0
    pods: set[str] = field(default_factory=set)  # that it left through


class EspWitness(_Tap):
    """Before the balancer, where all packets of all pods pass on their way to clients."""

    def __init__(self, laboratory: ClusterLaboratory) -> None:
        self.sas: dict[bytes, _Sa] = {}
        self.twice: list[str] = []
        self.repeated: list[str] = []
        self.back: list[str] = []
        self.sent: Counter[str] = Counter()  # by the address of the pod
        self.began = time.monotonic()
        pods = [pod_address(number) for number in range(PODS)]
        super().__init__(laboratory.server.name, "pods", *pods)

    def see(self, datagram: Datagram) -> None:
        data = datagram.payload
        if datagram.source.port != NATT_PORT or len(data) < 8 or data[:4] == b"\0\0\0\0":
            return
        sequence = int.from_bytes(data[4:8], "big")
        sa = self.sas.get(data[:4])
        if sa is None:
            sa = self.sas[data[:4]] = _Sa()
        sa.sent += 1
        host = datagram.source.host
        sa.pods.add(host)
        self.sent[host] += 1
        chunk = sa.chunks.get(sequence >> _CHUNK)
        if chunk is None:
            chunk = sa.chunks[sequence >> _CHUNK] = array("q", _EMPTY)
        at, mark = sequence & ((1 << _CHUNK) - 1), hash(data) or 1
        if chunk[at]:
            notes = self.repeated if chunk[at] == mark else self.twice
            self._note(notes, datagram, sequence, sa)
            return
        chunk[at] = mark
        if sequence > sa.top:
            sa.top = sequence
        elif sequence < sa.top - BACK_MAX:
            self._note(self.back, datagram, sequence, sa)

    def _note(self, notes: list[str], datagram: Datagram, sequence: int, sa: _Sa) -> None:
        if len(notes) < 100:
            notes.append(
                f"{time.monotonic() - self.began:.3f} {datagram.source.host} ->"
                f" {datagram.destination}: SPI {datagram.payload[:4].hex()} {sequence}"
                f" (top {sa.top})"
            )

    def verdict(self, *, repeats: bool = False) -> str:
        """Close, assert that all was right, and say how much that was. With `repeats` somebody
        on the ring says things twice: the same packet may leave twice, but no other."""
        self.close()
        assert self.dropped == 0, f"the witness itself missed {self.dropped} packets"
        assert self.twice == [], "sequence numbers sent twice:\n" + "\n".join(self.twice)
        assert repeats or self.repeated == [], "packets sent twice:\n" + "\n".join(self.repeated)
        assert self.back == [], "an old owner went on:\n" + "\n".join(self.back)
        total = sum(sa.sent for sa in self.sas.values())
        several = sum(len(sa.pods) > 1 for sa in self.sas.values())
        return f"{total} ESP packets of {len(self.sas)} SAs, {several} by several pods, none twice"


class RingWitness(_Tap):
    """What one pod says to others on the ring, at its port of the switch; it can be said again."""

    def __init__(self, laboratory: ClusterLaboratory, number: int) -> None:
        self.kinds: Counter[tuple[int, str]] = Counter()  # kind, receiver
        self.kept: list[Datagram] = []
        self.octets = 0
        self.latest: dict[int, Datagram] = {}  # by kind
        super().__init__(laboratory.switch.name, pod_port(number), pod_address(number))

    def see(self, datagram: Datagram) -> None:
        if datagram.destination.port != RING_PORT or not datagram.payload:
            return
        kind = datagram.payload[0] & 15
        self.kinds[kind, datagram.destination.host] += 1
        self.latest[kind] = datagram
        self.octets += len(datagram.payload)
        if self.octets < _RING_KEPT:
            self.kept.append(datagram)

    def count(self, *kinds: int) -> int:
        """How many of these kinds it sent, to whomever."""
        return sum(count for (kind, _), count in self.kinds.items() if kind in kinds)


class RingIntruder:
    """Sends ring datagrams as from any pod to any pod, from the switch between them."""

    def __init__(self, laboratory: ClusterLaboratory) -> None:
        self._sockets: dict[str, tuple[socket.socket, bytes]] = {}
        switch = rig_namespace(laboratory.switch.name)
        for number, pod in enumerate(laboratory.pods):
            hardware = hardware_address(rig_namespace(pod.name), "eth0")
            port = pod_port(number)

            def opened(port: str = port) -> socket.socket:
                made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                made.bind((port, 0))
                return made

            self._sockets[pod_address(number)] = (switch.run(opened), hardware)

    def send(self, datagram: Datagram) -> None:
        """As its source, to its destination."""
        opened, hardware = self._sockets[datagram.destination.host]
        opened.send(build_frame(hardware, datagram))

    def close(self) -> None:
        for opened, _ in self._sockets.values():
            opened.close()
