"""One client as a whole, without sockets: the initiator and its own Python data plane.

Datagrams and IP packets in and out, the clock given: the driver puts sockets around it, the
simulation a bad network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ferrule.client import effects as c
from ferrule.client.call import CLIENT
from ferrule.client.initiator import Initiator, Life
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import PlaneCounters, Punt
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway.deeds import perform


class Host:
    """`transmit` sends a datagram; `deliver` takes an IP packet that came through the tunnel;
    `notify` takes what happened. All are called synchronously."""

    def __init__(
        self,
        settings: ClientSettings,
        path: Path,
        *,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
        transmit: Callable[[Path, bytes], None],
        deliver: Callable[[bytes], None],
        notify: Callable[[c.News], None],
    ) -> None:
        self._clock = clock
        self._notify = notify
        self._punts: deque[Punt] = deque()
        self._initiator = Initiator(settings, entropy, path)
        self._plane = PythonPlane(
            clock=clock, punt=self._punts.append, transmit=transmit, deliver=deliver
        )

    @property
    def life(self) -> Life:
        return self._initiator.life

    @property
    def step(self) -> c.Step:
        """The step that is under way, or in which the set-up failed."""
        return self._initiator.step

    @property
    def heard(self) -> bool:
        """Did anything at all come from the server?"""
        return self._initiator.heard

    @property
    def deadline(self) -> Deadline | None:
        return self._initiator.deadline

    def start(self) -> None:
        self._execute(self._initiator.start(self._clock()))

    def receive_datagram(self, path: Path, data: bytes) -> None:
        """From the network, whatever it holds."""
        self._plane.receive_datagram(path, data)
        self._drain()

    def send_ip(self, packet: bytes) -> None:
        """Through the tunnel; dropped while it is not up."""
        self._plane.transmit_ip(packet)
        self._drain()

    def expire(self) -> None:
        session = self._initiator.session
        counters = session and self._plane.session_counters(CLIENT, *session)
        if counters is not None:
            self._initiator.data_came(counters.last_up)
        self._execute(self._initiator.expire(self._clock()))

    def close(self, reason: Reason) -> None:
        self._execute(self._initiator.close(reason, self._clock()))

    def counters(self) -> PlaneCounters:
        return self._plane.counters()

    def _drain(self) -> None:
        while self._punts:
            self._execute(self._initiator.receive(self._punts.popleft(), self._clock()))

    def _execute(self, effects: list[c.ClientEffect]) -> None:
        plane = self._plane
        for effect in effects:
            match effect:
                case (
                    c.StepDone() | c.Connected() | c.Failed() | c.Ended() | c.Closed() | c.Dropped()
                ):
                    self._notify(effect)
                case _:
                    perform(plane, effect)
