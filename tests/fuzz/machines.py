"""Targets with state: whole protocol machines and the data plane, fed a sequence of records.

The first octet of a record says what happens, the rest is what the peer sends. Sequence numbers,
identifiers and tags that a stranger could not guess are made right where the record asks for it,
so that the fuzzer gets past the doors.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Protocol, TypeVar

from ferrule.core.credentials import Accepted, Denied
from ferrule.core.deadlines import Deadline
from ferrule.core.ids import Address, ClientId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.dataplane.interface import LinkSpec, Policy, Punt, SaSpec, SessionSpec
from ferrule.dataplane.python import PythonPlane
from ferrule.esp.packet import EspSealer
from ferrule.l2tp.effects import L2tpEffect, SendL2tp, SessionUp, TunnelUp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.header import ControlHeader, build_control
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.effects import (
    Addresses,
    AskAddress,
    AskVerify,
    LinkDown,
    PppAnswer,
    PppEffect,
    SendPpp,
    Verified,
)
from ferrule.ppp.link import Credentials, Link, PeerLink
from ferrule.ppp.phases import Phases
from ferrule.ppp.policy import PppPolicy
from fuzz.registry import Entropy, records, target

E = TypeVar("E", covariant=True)
RECORDS_MAX = 40
EFFECTS_MAX = 200  # of one verb: what a peer can make us do at once


class Timed(Protocol[E]):
    @property
    def deadline(self) -> Deadline | None: ...
    def expire(self, now: float) -> list[E]: ...


def pass_time(machine: Timed[E], now: float) -> tuple[float, list[E]]:
    """Let the next timer fire. Returns the time then, and what it did."""
    deadline = machine.deadline
    if deadline is None:
        return now, []
    now = max(now, deadline.at)
    return now, machine.expire(now)


# --- L2TP --------------------------------------------------------------------------------------


class _Channel:
    """What a peer of the control connection knows: our tunnel id, and the next numbers."""

    def __init__(self) -> None:
        self.tunnel = 0
        self.session = 0
        self.ns = 0
        self.nr = 0

    def note(self, effects: Iterable[L2tpEffect]) -> None:
        for effect in effects:
            match effect:
                case SendL2tp(message):
                    assert len(message) <= 1400
                    if len(message) > 12:
                        self.nr = int.from_bytes(message[8:10], "big") + 1 & 0xFFFF
                    if message[12:20].endswith(b"\x00\x02") and len(message) > 20:
                        self.tunnel = self.tunnel or _assigned(message, 9)
                    self.session = _assigned(message, 14) or self.session
                case TunnelUp(tunnel=tunnel):
                    self.tunnel = tunnel
                case SessionUp(session=session):
                    self.session = session
                case _:
                    pass

    def wrap(self, body: bytes) -> bytes:
        header = ControlHeader(self.tunnel, self.session, self.ns, self.nr)
        self.ns = self.ns + 1 & 0xFFFF
        return build_control(header, body)


def _assigned(message: bytes, avp_type: int) -> int:
    """The Assigned Tunnel ID or Assigned Session ID in a message of ours, or 0."""
    at = 12
    while at + 8 <= len(message):
        octets = int.from_bytes(message[at : at + 2], "big") & 0x03FF
        if message[at + 2 : at + 6] == bytes((0, 0, 0, avp_type)):
            return int.from_bytes(message[at + 6 : at + 8], "big")
        at += max(octets, 6)
    return 0


def _run_l2tp(endpoint: L2tpEndpoint, effects: list[L2tpEffect], data: bytes) -> None:
    channel, now = _Channel(), 0.0
    channel.note(effects)
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        now += 0.01
        match record[0] & 7 if record else 5:
            case 0 | 1 | 2 | 3:
                effects = endpoint.receive(channel.wrap(record[1:]), now)
            case 4:
                effects = endpoint.receive(record[1:], now)
            case 5:
                now, effects = pass_time(endpoint, now)
            case 6:
                tunnel, session = TunnelId(channel.tunnel), SessionId(channel.session)
                effects = endpoint.close_session(tunnel, session, Reason.ADMIN_KICK, now)
            case _:
                effects = endpoint.close(Reason.SERVER_SHUTDOWN, now)
        assert len(effects) <= EFFECTS_MAX
        channel.note(effects)
    assert len(endpoint.sessions()) <= 4 * 8


@target(octets_max=4096)
def l2tp_server(data: bytes) -> None:
    """An LNS; the first octet says whether there is a tunnel secret."""
    secret = Secret(b"tunnel secret") if data[:1] > b"\x7f" else None
    policy = L2tpPolicy(tunnel_secret=secret, hide_avps=secret is not None)
    _run_l2tp(L2tpEndpoint(policy, Entropy()), [], data[1:])


@target(octets_max=4096)
def l2tp_client(data: bytes) -> None:
    """A LAC that has sent its SCCRQ."""
    endpoint = L2tpEndpoint(L2tpPolicy(tie_breaker=True, sequencing=True), Entropy())
    _run_l2tp(endpoint, endpoint.open_tunnel(0.0), data)


# --- PPP ---------------------------------------------------------------------------------------


def _run_ppp(link: Phases, data: bytes) -> None:
    now, down = 0.0, False
    waiting = link.start(now)
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        now += 0.01
        choice = record[0] if record else 7
        match choice & 7:
            case 0 | 1 | 2 | 3 | 4:
                effects = link.receive(record[1:], now)
            case 5:
                effects = _answer(link, waiting, choice, now)
            case 6:
                effects = link.close(Reason.ADMIN_KICK, now)
            case _:
                now, effects = pass_time(link, now)
        assert len(effects) <= EFFECTS_MAX
        assert not (down and effects), "a dead link did something"
        down = down or any(isinstance(effect, LinkDown) for effect in effects)
        assert all(len(e.frame) <= 1504 for e in effects if isinstance(e, SendPpp))
        waiting = [*waiting, *effects]


def _answer(link: Phases, effects: list[PppEffect], choice: int, now: float) -> list[PppEffect]:
    """Answer the last question, well or badly."""
    answer: PppAnswer
    for effect in reversed(effects):
        match effect:
            case AskVerify(ask):
                good = Accepted("ada", "S=" + "0" * 40)
                answer = Verified(ask, good if choice & 8 else Denied(Reason.WRONG_PASSWORD))
                return link.answer(answer, now)
            case AskAddress(ask):
                address = IPv4Address("10.20.0.2")
                answer = Addresses(ask, IPv4Address("10.20.0.1"), address, (address,))
                return link.answer(answer, now)
            case _:
                pass
    return []


@target(octets_max=4096)
def ppp_server(data: bytes) -> None:
    """The server's end; the first octet chooses the method that it asks for first."""
    methods = ("mschapv2", "chap", "pap", "mschapv1")
    first = methods[data[0] % 4 if data else 0]
    policy = PppPolicy(auth=(first, *(method for method in methods if method != first)))
    _run_ppp(Link(policy, Entropy()), data[1:])


@target(octets_max=4096)
def ppp_client(data: bytes) -> None:
    """The client's end, ready for every method."""
    policy = PppPolicy(auth=("mschapv2", "chap", "pap", "mschapv1"))
    credentials = Credentials("ada", Secret(b"password"))
    _run_ppp(PeerLink(policy, credentials, Entropy()), data)


# --- the data plane ----------------------------------------------------------------------------

SUITE = EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96)
KEY = Secret(bytes(range(SUITE.keymat_octets)))
CLIENT, TUNNEL, SESSION, SPI = ClientId(1), TunnelId(7), SessionId(9), Spi(0x1000)
PATH = Path(Address("192.0.2.1", 4500), Address("192.0.2.254", 4500), natt=True)
OTHER = Path(Address("198.51.100.1", 50000), Address("192.0.2.254", 4500), natt=True)
NOT_NATT = Path(Address("192.0.2.1", 500), Address("192.0.2.254", 500), natt=False)
INNER = IPv4Address("10.20.0.2").packed


class _World:
    """A plane with one client, and what came out of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.punts: list[Punt] = []
        self.sent: list[bytes] = []
        self.delivered: list[bytes] = []
        self.plane = PythonPlane(
            clock=lambda: self.now,
            punt=self.punts.append,
            transmit=lambda _path, datagram: self.sent.append(datagram),
            deliver=self.delivered.append,
        )
        self.plane.install_sa(SaSpec(CLIENT, SPI, Spi(0x2000), SUITE, KEY, KEY, 0, PATH, True))
        self.plane.add_link(LinkSpec(CLIENT, TUNNEL, SESSION, TunnelId(3), SessionId(4)))
        self.plane.bind_session(SessionSpec(CLIENT, TUNNEL, SESSION, INNER, 1400, Policy()))
        self.sealer = EspSealer(SUITE, KEY, SPI)


@target(octets_max=4096)
def plane(data: bytes) -> None:
    """Datagrams from strangers; packets inside ESP; L2TP data of the session; IP from the TUN."""
    world = _World()
    udp = b"\x06\xa5\x06\xa5"  # 1701 to 1701
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        world.now += 0.001
        kind, body = (record[0], record[1:]) if record else (0, b"")
        path = OTHER if kind & 0x80 else PATH
        inner = udp + (8 + len(body)).to_bytes(2, "big") + b"\0\0" + body
        match kind & 7:
            case 0:
                world.plane.receive_datagram(path, body)
            case 1:
                world.plane.receive_datagram(NOT_NATT, body)
            case 2:
                world.plane.receive_datagram(path, world.sealer.seal(body))
            case 3 | 4:
                world.plane.receive_datagram(path, world.sealer.seal(inner))
            case 5:
                frame = b"\x00\x02\x00\x07\x00\x09\xff\x03\x00\x21" + body
                inner = udp + (8 + len(frame)).to_bytes(2, "big") + b"\0\0" + frame
                packet = world.sealer.seal(inner)
                before = len(world.delivered) + len(world.punts)
                world.plane.receive_datagram(path, packet)
                after = len(world.delivered) + len(world.punts)
                world.plane.receive_datagram(path, packet)
                assert after == len(world.delivered) + len(world.punts), "a replay was delivered"
                assert after <= before + 3
            case _:
                world.plane.transmit_ip(body)
    assert all(packet[12:16] == INNER for packet in world.delivered), "a forged source"
    assert all(len(datagram) <= 1500 for datagram in world.sent)
