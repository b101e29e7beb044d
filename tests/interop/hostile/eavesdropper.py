"""Keeps what passes the server's cable: the client's messages by kind, the server's by octets.

Runs in a thread of its own from `start` to `stop`. Whoever wants to act on each datagram as it
passes (a replay at once, a key exchange that needs the server's cookie) subscribes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ferrule.core.ids import Address
from ferrule.dataplane.python import KEEPALIVE, NON_ESP_MARKER
from ferrule.ike.iana import ExchangeType
from interop.hostile.wire import Datagram, Wire

KEPT_MAX = 50_000  # datagrams of each kind
NATT_PORT = 4500


def kind_of(port: int, payload: bytes) -> str:
    """ "ike", "esp" or "keepalive", by the server's port."""
    if payload == KEEPALIVE:
        return "keepalive"
    if port != NATT_PORT or payload[:4] == NON_ESP_MARKER:
        return "ike"
    return "esp"


def ike_message(datagram: Datagram) -> bytes:
    """The message without the marker of the NAT-T port."""
    payload = datagram.payload
    return payload[4:] if payload[:4] == NON_ESP_MARKER else payload


@dataclass(frozen=True, slots=True)
class Dossier:
    """What an eavesdropper knows of one client that is up."""

    peer: Address  # where its ESP comes from
    spi: bytes  # of what it sends
    server_spi: bytes  # of what it is sent
    cookies: bytes  # of its ISAKMP SA
    first: bytes  # Main Mode message 1
    key_exchange: bytes  # Main Mode message 3


class Eavesdropper:
    """`heard[kind]` are the datagrams of the victim's host."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eavesdropper", daemon=True)
        self._subscribers: list[Callable[[Datagram, str], None]] = []
        self.heard: dict[str, deque[Datagram]] = {
            kind: deque(maxlen=KEPT_MAX) for kind in ("ike", "esp", "keepalive")
        }
        self._answered: Counter[tuple[str, str]] = Counter()
        self._server_spi = bytes(4)  # of the newest ESP packet to the victim

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def subscribe(self, subscriber: Callable[[Datagram, str], None]) -> Callable[[], None]:
        """Call `subscriber` with each datagram and its kind; what is returned ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def _run(self) -> None:
        server = self._wire.server
        while not self._stopping.is_set():
            datagram = self._wire.overhear(0.1)
            if datagram is None:
                continue
            if datagram.source.host == server:
                kind = kind_of(datagram.source.port, datagram.payload)
                self._answered[datagram.destination.host, kind] += len(datagram.payload)
                if kind == "esp":
                    self._server_spi = datagram.payload[:4]
            elif datagram.destination.host == server:
                kind = kind_of(datagram.destination.port, datagram.payload)
                self.heard[kind].append(datagram)
            else:
                continue
            for subscriber in tuple(self._subscribers):
                subscriber(datagram, kind)

    # --- what an attacker makes of it

    def await_heard(self, kind: str, count: int, seconds: float = 10.0) -> list[Datagram]:
        """The victim's datagrams of a kind, once there are `count` of them."""
        end = time.monotonic() + seconds
        while len(self.heard[kind]) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.heard[kind])} {kind} datagrams, not {count}")
            time.sleep(0.01)
        return list(self.heard[kind])

    def dossier(self) -> Dossier:
        """Of the client that spoke last: make it while no other speaks."""
        esp = self.heard["esp"][-1]
        messages = [ike_message(datagram) for datagram in self.heard["ike"]]
        cookies = next(m[:16] for m in reversed(messages) if any(m[8:16]))
        main_mode = [
            m
            for m in messages
            if m[:8] == cookies[:8] and m[18] == ExchangeType.IDENTITY_PROTECTION
        ]
        first, key_exchange, *_ = dict.fromkeys(main_mode)
        return Dossier(esp.source, esp.payload[:4], self._server_spi, cookies, first, key_exchange)

    def answered_to(self, host: str, kinds: Collection[str] = ("ike", "esp")) -> int:
        """Octets of payload that the server sent to a host."""
        return sum(self._answered[host, kind] for kind in kinds)

    def answered_strangers(self, host: str) -> int:
        """Octets of payload that the server sent to all but a host."""
        counts = dict(self._answered)
        return sum(octets for (to, _), octets in counts.items() if to != host)
