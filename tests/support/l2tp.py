"""For tests of the L2TP layer: seeded entropy, hand-made messages, two ends over a bad link.

`Link` runs two endpoints in virtual time. Messages are lost, repeated, delayed and so re-ordered as
a seeded generator says; what the endpoints tell is kept with its time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.avp import AvpType, parse_avps
from ferrule.l2tp.effects import L2tpEffect, SendL2tp, SessionDown, SessionUp, TunnelDown, TunnelUp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.header import ControlHeader, build_control, parse_control
from ferrule.l2tp.messages import Message, MessageType, build_message, read_message
from ferrule.l2tp.policy import L2tpPolicy

E = TypeVar("E")


def entropy_of(seed: int) -> Callable[[int], bytes]:
    """The same octets for the same seed."""
    return random.Random(seed).randbytes


def endpoint(seed: int = 1, **policy: object) -> L2tpEndpoint:
    return L2tpEndpoint(L2tpPolicy(**policy), entropy_of(seed))  # type: ignore[arg-type]


def sent(effects: Iterable[L2tpEffect]) -> list[bytes]:
    """The messages among `effects`."""
    return [effect.message for effect in effects if isinstance(effect, SendL2tp)]


def only(effects: Iterable[L2tpEffect], kind: type[E]) -> E:
    """The one effect of `kind`."""
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def names(messages: Iterable[bytes]) -> list[str]:
    """What the messages are: "SCCRQ", ..., "ZLB"."""
    return [name_of(message) for message in messages]


def name_of(message: bytes) -> str:
    _, body = parse_control(message)
    if not body:
        return "ZLB"
    return MessageType(parse_avps(body, None).message_type).name


def header_of(message: bytes) -> ControlHeader:
    return parse_control(message)[0]


def message_of(message: bytes, secret: Secret | None = None) -> Message:
    """The dataclass in a message that has no fault."""
    parsed = read_message(parse_avps(parse_control(message)[1], secret))
    assert parsed.fault is None, parsed.fault
    assert parsed.message is not None
    return parsed.message


def raw_avp(number: int, value: bytes, *, m: bool = True, flags: int = 0, vendor: int = 0) -> bytes:
    """An AVP with any contents."""
    first = (0x8000 if m else 0) | flags | 6 + len(value)
    return first.to_bytes(2, "big") + vendor.to_bytes(2, "big") + number.to_bytes(2, "big") + value


def raw_body(kind: int, *avps: bytes, m: bool = True) -> bytes:
    return raw_avp(AvpType.MESSAGE_TYPE, kind.to_bytes(2, "big"), m=m) + b"".join(avps)


@dataclass(slots=True)
class Peer:
    """A peer without any logic of its own: it keeps Ns and Nr, the test says what it sends."""

    tunnel: int = 0  # of the endpoint under test, for our headers
    session: int = 0
    ns: int = 0
    nr: int = 0

    def say(self, message: Message, *, session: int | None = None) -> bytes:
        return self.raw(build_message(message), session=session)

    def raw(self, body: bytes, *, session: int | None = None) -> bytes:
        at = self.session if session is None else session
        octets = build_control(ControlHeader(self.tunnel, at, self.ns, self.nr), body)
        self.ns = (self.ns + 1) & 0xFFFF
        return octets

    def zlb(self) -> bytes:
        return build_control(ControlHeader(self.tunnel, 0, self.ns, self.nr))

    def take(self, effects: Iterable[L2tpEffect]) -> list[str]:
        """Count what came; returns the names."""
        found = sent(effects)
        for message in found:
            header, body = parse_control(message)
            if body and header.ns == self.nr:
                self.nr = (self.nr + 1) & 0xFFFF
        return names(found)


@dataclass(slots=True)
class Weather:
    """Of a link. Shares of messages, and seconds."""

    loss: float = 0.0
    repeat: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0


@dataclass(slots=True)
class Link:
    """Two endpoints, "lac" and "lns", and what is on its way between them."""

    lac: L2tpEndpoint
    lns: L2tpEndpoint
    weather: Weather = field(default_factory=Weather)
    seed: int = 0
    now: float = 1000.0
    told: list[tuple[float, str, L2tpEffect]] = field(default_factory=list)
    messages: int = 0
    _flights: list[tuple[float, int, str, bytes]] = field(default_factory=list)
    _chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def end(self, side: str) -> L2tpEndpoint:
        return self.lac if side == "lac" else self.lns

    def run(self, side: str, effects: Iterable[L2tpEffect]) -> None:
        """Carry out what `side` wants."""
        for effect in effects:
            if isinstance(effect, SendL2tp):
                self._fly("lns" if side == "lac" else "lac", effect.message)
            else:
                self.told.append((self.now, side, effect))

    def _fly(self, to: str, message: bytes) -> None:
        weather, chance = self.weather, self._chance
        copies = 2 if chance.random() < weather.repeat else 1
        for _ in range(copies):
            self.messages += 1
            if chance.random() >= weather.loss:
                at = self.now + weather.delay + chance.random() * weather.jitter
                heapq.heappush(self._flights, (at, self.messages, to, message))

    def next_event(self) -> float | None:
        times = [d.at for end in (self.lac, self.lns) if (d := end.deadline) is not None]
        if self._flights:
            times.append(self._flights[0][0])
        return min(times, default=None)

    def step(self) -> bool:
        """On to the next event; False if there is none."""
        at = self.next_event()
        if at is None:
            return False
        self.now = max(self.now, at)
        if self._flights and self._flights[0][0] <= self.now:
            _, _, to, message = heapq.heappop(self._flights)
            self.run(to, self.end(to).receive(message, self.now))
            return True
        for side in ("lac", "lns"):
            deadline = self.end(side).deadline
            if deadline is not None and deadline.at <= self.now:
                self.run(side, self.end(side).expire(self.now))
                after = self.end(side).deadline
                assert after is None or after.at > self.now, f"{after} does not move"
        return True

    def until(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run for `seconds`, or until `done`; returns whether it was done."""
        end = self.now + seconds
        while not done():
            at = self.next_event()
            if at is None or at > end:
                self.now = end
                return done()
            self.step()
        return True

    def effects(self, side: str, kind: type[E]) -> list[E]:
        return [effect for _, by, effect in self.told if by == side and isinstance(effect, kind)]

    def connect(self) -> None:
        """As a caller does it: open a tunnel, and a session as soon as that is up."""
        self.run("lac", self.lac.open_tunnel(self.now))

    def drive(self) -> bool:
        """Place the call when the tunnel is up. True when connected or refused at the LAC."""
        for up in self.effects("lac", TunnelUp):
            if not self.effects("lac", SessionUp) and not self.lac.sessions():
                if self.effects("lac", SessionDown) or self.effects("lac", TunnelDown):
                    return True
                self.run("lac", self.lac.open_session(up.tunnel, self.now))
        over = self.effects("lac", TunnelDown) or self.effects("lac", SessionDown)
        return bool(over or self.effects("lac", SessionUp))


def connected(seed: int = 1, **policy: object) -> Link:
    """A link with one established session, in fair weather."""
    link = Link(endpoint(seed, **policy), endpoint(seed + 1, **policy))
    link.connect()
    assert link.until(5, link.drive)
    assert link.until(5, lambda: bool(link.effects("lns", SessionUp)))
    link.until(0.1)
    return link


def reasons(effects: Iterable[L2tpEffect]) -> list[Reason]:
    """The reasons that the effects give, in order."""
    return [effect.reason for effect in effects if hasattr(effect, "reason")]
