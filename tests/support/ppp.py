"""Two PPP links face to face, in virtual time, over a line that loses, doubles and delays."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from ferrule.core.credentials import (
    Accepted,
    ChapProof,
    Denied,
    MsChapV1Proof,
    MsChapV2Proof,
    PapProof,
    Proof,
    Verdict,
)
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.chap import verify_chap_md5
from ferrule.crypto.compare import equal
from ferrule.crypto.mschap import (
    mschapv2_response,
    nt_password_hash,
    verify_mschapv1,
    verify_mschapv2,
)
from ferrule.ppp.effects import (
    Addresses,
    AskAddress,
    AskVerify,
    LinkDown,
    NetworkDown,
    NetworkUp,
    PppAnswer,
    PppEffect,
    SendPpp,
    Verified,
)
from ferrule.ppp.frame import Protocol, build_frame, parse_frame
from ferrule.ppp.link import Link, PeerLink
from ferrule.ppp.packet import Code, Option, Packet, build_options, build_packet, parse_packet
from ferrule.ppp.policy import Credentials, PppPolicy

USERNAME = "alice"
PASSWORD = "correct horse"
LOCAL = IPv4Address("10.9.0.1")
LEASED = IPv4Address("10.9.0.7")
DNS = (IPv4Address("192.0.2.53"), IPv4Address("192.0.2.54"))
WINS = (IPv4Address("192.0.2.137"),)


def entropy_of(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def credentials(password: str = PASSWORD, username: str = USERNAME) -> Credentials:
    return Credentials(username, Secret(password.encode()))


def verdict_on(proof: Proof, password: str = PASSWORD) -> Verdict:
    """What `accounts` would say of `proof` if the one user were `USERNAME`."""
    name = proof.username.rpartition("\\")[2]
    if name != USERNAME:
        return Denied(Reason.UNKNOWN_USER)
    nt_hash = nt_password_hash(password)
    good = False
    response = ""
    match proof:
        case PapProof(_, given):
            good = equal(given.reveal(), password.encode())
        case ChapProof(_, identifier, challenge, value):
            good = verify_chap_md5(identifier, password.encode(), challenge, value)
        case MsChapV1Proof(_, challenge, value):
            good = verify_mschapv1(nt_hash, challenge, value)
        case MsChapV2Proof(username, ours, theirs, value):
            response = verify_mschapv2(nt_hash, username, ours, theirs, value) or ""
            good = bool(response)
    return Accepted(name, response) if good else Denied(Reason.WRONG_PASSWORD)


def answer_to(effect: PppEffect, password: str = PASSWORD) -> PppAnswer | None:
    """The gateway's answer to a question, None for what is none."""
    match effect:
        case AskVerify(ask, proof):
            return Verified(ask, verdict_on(proof, password))
        case AskAddress(ask):
            return Addresses(ask, LOCAL, LEASED, DNS, WINS)
        case _:
            return None


def frames(effects: list[PppEffect]) -> list[bytes]:
    return [effect.frame for effect in effects if isinstance(effect, SendPpp)]


def sent(effects: list[PppEffect]) -> list[tuple[int, Packet]]:
    """(protocol, packet) of everything that is sent."""
    return [
        (protocol, parse_packet(information))
        for protocol, information in map(parse_frame, frames(effects))
    ]


def only(effects: list[PppEffect], kind: type) -> list[PppEffect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def frame_of(protocol: int, code: int, identifier: int, data: bytes = b"") -> bytes:
    return build_frame(protocol, build_packet(Packet(code, identifier, data)))


def options_frame(protocol: int, code: int, identifier: int, *options: tuple[int, bytes]) -> bytes:
    listed = [Option(*option) for option in options]
    return frame_of(protocol, code, identifier, build_options(listed))


@dataclass
class Badness:
    """Of a line: probabilities, and the delay's bounds in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (0.02, 0.02)


@dataclass
class Line:
    """A server and a client joined by a bad line. `run` until a time, then see what was said."""

    server: Link
    client: PeerLink
    badness: Badness = field(default_factory=Badness)
    seed: int = 0
    password: str = PASSWORD
    answer_seconds: float = 0.01
    now: float = 0.0
    said: dict[str, list[PppEffect]] = field(default_factory=lambda: {"server": [], "client": []})

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._events: list[tuple[float, int, str, bytes | PppAnswer]] = []
        self._serial = 0

    def start(self) -> None:
        self.feed("server", self.server.start(self.now))
        self.feed("client", self.client.start(self.now))

    def _end(self, name: str) -> Link | PeerLink:
        return self.server if name == "server" else self.client

    def _push(self, at: float, name: str, what: bytes | PppAnswer) -> None:
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, name, what))

    def feed(self, name: str, effects: list[PppEffect]) -> None:
        """Carry out what `name` wants."""
        other = "client" if name == "server" else "server"
        for effect in effects:
            self.said[name].append(effect)
            if isinstance(effect, SendPpp):
                copies = 1 + (self.random.random() < self.badness.duplicate)
                for _ in range(copies):
                    if self.random.random() >= self.badness.loss:
                        delay = self.random.uniform(*self.badness.delay)
                        self._push(self.now + delay, other, effect.frame)
            elif (reply := answer_to(effect, self.password)) is not None:
                self._push(self.now + self.answer_seconds, name, reply)

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        steps = 0
        while not stop():
            steps += 1
            assert steps < 20_000, "the two ends never come to rest"
            times = [
                (end.deadline.at, name)
                for name, end in (("server", self.server), ("client", self.client))
                if end.deadline is not None
            ]
            timer = min(times, default=(float("inf"), ""))
            event_at = self._events[0][0] if self._events else float("inf")
            at = min(timer[0], event_at)
            if at > until:
                break
            self.now = max(self.now, at)
            if event_at <= timer[0]:
                _, _, name, what = heapq.heappop(self._events)
                end = self._end(name)
                if isinstance(what, bytes):
                    self.feed(name, end.receive(what, self.now))
                else:
                    self.feed(name, end.answer(what, self.now))
            else:
                self.feed(timer[1], self._end(timer[1]).expire(self.now))
        if not stop():
            self.now = max(self.now, until)

    def is_up(self, name: str) -> bool:
        for effect in reversed(self.said[name]):
            if isinstance(effect, NetworkDown | LinkDown):
                return False
            if isinstance(effect, NetworkUp):
                return True
        return False

    def down(self, name: str) -> LinkDown | None:
        return next((e for e in self.said[name] if isinstance(e, LinkDown)), None)

    def is_settled(self) -> bool:
        """Both ends are up, or both are over."""
        ends = ("server", "client")
        return all(map(self.is_up, ends)) or all(self.down(name) for name in ends)


def make_line(
    auth: tuple[str, ...] = ("mschapv2",),
    client_auth: tuple[str, ...] | None = None,
    *,
    password: str = PASSWORD,
    badness: Badness | None = None,
    seed: int = 0,
) -> Line:
    server = Link(PppPolicy(auth=auth), entropy_of(2 * seed))
    client = PeerLink(
        PppPolicy(auth=client_auth or auth), credentials(password), entropy_of(2 * seed + 1)
    )
    return Line(server, client, badness or Badness(), seed)


class Peer:
    """Plays a client against a `Link` by hand: every method returns what the link did."""

    def __init__(
        self, policy: PppPolicy | None = None, *, seed: int = 1, password: str = PASSWORD
    ) -> None:
        self.policy = policy or PppPolicy()
        self.link = Link(self.policy, entropy_of(seed))
        self.password = password
        self.now = 0.0
        self.started = self.link.start(0.0)
        self.request = sent(self.started)[0][1]  # our last LCP Configure-Request
        self.identifier = 0

    def give(self, frame: bytes) -> list[PppEffect]:
        effects = self.link.receive(frame, self.now)
        for protocol, packet in sent(effects):
            if protocol == Protocol.LCP and packet.code == Code.CONFIGURE_REQUEST:
                self.request = packet
        return effects

    def send(self, protocol: int, code: int, *options: tuple[int, bytes]) -> list[PppEffect]:
        """A packet made of options, with the next identifier."""
        self.identifier = self.identifier % 255 + 1
        return self.give(options_frame(protocol, code, self.identifier, *options))

    def ack_lcp(self) -> list[PppEffect]:
        """The client agrees to the link's last LCP Configure-Request."""
        request = self.request
        frame = frame_of(Protocol.LCP, Code.CONFIGURE_ACK, request.identifier, request.data)
        return self.give(frame)

    def open_lcp(self, *options: tuple[int, bytes]) -> list[PppEffect]:
        """Both Configure-Requests are acknowledged."""
        return self.send(Protocol.LCP, Code.CONFIGURE_REQUEST, *options) + self.ack_lcp()

    def respond(self, challenge: Packet, username: str = USERNAME) -> list[PppEffect]:
        """A right MS-CHAPv2 response to a Challenge, unless `password` is a wrong one."""
        value = challenge.data[1 : 1 + challenge.data[0]]
        return self.give(
            frame_of(
                Protocol.CHAP,
                2,
                challenge.identifier,
                mschapv2_value(value, self.password, username) + username.encode(),
            )
        )

    def answer_all(self, effects: list[PppEffect]) -> list[PppEffect]:
        """Answer every question among `effects`, and those that come of it."""
        done: list[PppEffect] = []
        for effect in effects:
            if (reply := answer_to(effect)) is not None:
                more = self.link.answer(reply, self.now)
                done += more + self.answer_all(more)
        return done

    def authenticate(self) -> list[PppEffect]:
        """LCP and MS-CHAPv2, up to the link's first IPCP Configure-Request."""
        challenge = next(packet for protocol, packet in sent(self.open_lcp()) if protocol == 0xC223)
        return self.answer_all(self.respond(challenge))

    def connect(self) -> list[PppEffect]:
        """All the way to NetworkUp."""
        asked = next(p for protocol, p in sent(self.authenticate()) if protocol == Protocol.IPCP)
        self.give(frame_of(Protocol.IPCP, Code.CONFIGURE_ACK, asked.identifier, asked.data))
        return self.send(Protocol.IPCP, Code.CONFIGURE_REQUEST, (3, LEASED.packed))


def mschapv2_value(
    challenge: bytes, password: str, username: str = USERNAME, peer: bytes = bytes(range(16))
) -> bytes:
    """Size and value of a Response (RFC 2759 4)."""
    nt_response = mschapv2_response(nt_password_hash(password), username, challenge, peer)
    return bytes((49,)) + peer + bytes(8) + nt_response + b"\x00"
