"""Hostile octets at every depth: no exception, each datagram has one fate, and the parse in place
agrees with the protocol layers'."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import (
    DhcpInform,
    FirstPacket,
    L2tpControl,
    Policy,
    PppControl,
    UnknownSession,
)
from ferrule.dataplane.python import PuntLimits
from ferrule.l2tp.header import is_control, parse_data
from ferrule.ppp.frame import parse_frame
from support.dataplane import AWAY, HOME, INTERNET, Host, Others, Rig, udp, udp_header

ids = st.sampled_from([0, 11, 21, 99])
flags = st.sampled_from(
    [0x0002, 0x4002, 0x0802, 0x0202, 0x4A02, 0x4B02, 0x0102, 0xC802, 0x8002, 0x0003, 0x0000]
) | st.integers(0, 0xFFFF)
words = st.lists(ids | st.integers(0, 40), max_size=8).map(
    lambda values: b"".join(value.to_bytes(2, "big") for value in values)
)
frames = st.sampled_from(
    [
        b"\xff\x03\x00\x21" + udp("10.8.0.1", INTERNET, b"x"),
        b"\x21" + udp("10.8.0.1", INTERNET, b"x"),
        b"\xff\x03\x21" + udp("10.8.0.9", INTERNET, b"x"),
        b"\xff\x03\xc0\x21Hi",
        b"\xff\x03",
        b"",
    ]
) | st.binary(max_size=30)
messages = st.builds(lambda f, w, p: f.to_bytes(2, "big") + w + p, flags, words, frames)


def rig_with_host() -> tuple[Rig, Host]:
    rig = Rig(PuntLimits(client=10_000_000))
    return rig, Host(rig)


def fates(rig: Rig) -> int:
    """How many things became of what came in."""
    told = [p for p in rig.punts if not isinstance(p, FirstPacket | UnknownSession)]
    return len(told) + len(rig.delivered) + sum(rig.drops.values())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([HOME, AWAY]), st.binary(max_size=120))
def test_random_datagrams(path: object, data: bytes) -> None:
    rig, _ = rig_with_host()
    rig.plane.receive_datagram(path, data)  # type: ignore[arg-type]
    if data != b"\xff":
        assert fates(rig) + len(rig.punts) >= 1
    assert rig.sent == []
    assert rig.delivered == []


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_random_payloads_inside_esp(payload: bytes) -> None:
    rig, host = rig_with_host()
    host.up(payload)
    assert fates(rig) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_random_ip_both_ways(packet: bytes) -> None:
    rig, host = rig_with_host()
    host.up_ip(packet)
    assert fates(rig) == 1
    rig.plane.transmit_ip(packet)
    rig.plane.send_ip(host.client, host.tunnel, host.session, packet)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=80)
    | st.builds(
        udp, *[st.sampled_from(["10.8.0.1", "10.8.0.2", INTERNET])] * 2, st.binary(max_size=9)
    ),
    st.booleans(),
    st.booleans(),
)
def test_random_ip_among_others(packet: bytes, from_client: bool, client_to_client: bool) -> None:
    others = Others(addresses={bytes([10, 8, 0, 2])})
    rig = Rig(PuntLimits(client=10_000_000), others)
    host = Host(rig, policy=Policy(client_to_client=client_to_client))
    for number, deed in enumerate(
        [
            lambda: host.up_ip(packet),
            lambda: rig.plane.transmit_ip(packet),
            lambda: rig.plane.receive_relayed_ip(packet, from_client=from_client),
        ],
        1,
    ):
        deed()
        assert fates(rig) + len(rig.sent) + len(others.ip) == number
    assert client_to_client or not any(client for _, client in others.ip)


@settings(max_examples=500, deadline=None)
@given(messages)
def test_l2tp_and_ppp_are_parsed_as_their_layers_do(message: bytes) -> None:
    rig, host = rig_with_host()
    host.up_l2tp(message)
    assert fates(rig) == 1
    punts = [punt for punt in rig.take() if not isinstance(punt, FirstPacket)]
    if len(message) < 6:
        assert rig.drops == {Reason.L2TP_MALFORMED.value: 1}
        return
    if is_control(message):
        assert punts == [L2tpControl(host.client, message)]
        return
    try:
        header = parse_data(message)
    except ProtocolError as error:
        assert (rig.drops, punts) == ({error.reason.value: 1}, [])  # noqa: PT017
        return
    if (header.tunnel, header.session) != (host.tunnel, host.session):
        assert punts == [UnknownSession(host.client, header.tunnel, header.session)]  # type: ignore[arg-type]
        return
    check_frame(rig, host, message[header.start : header.end], punts)


def check_frame(rig: Rig, host: Host, frame: bytes, punts: list[object]) -> None:
    try:
        protocol, information = parse_frame(frame)
    except ProtocolError:
        # The control plane counts half a protocol field; the plane drops only what has none.
        assert punts or rig.drops == {Reason.PPP_MALFORMED.value: 1}
        return
    if protocol != 0x21:
        assert punts == [PppControl(host.client, host.tunnel, host.session, frame)]
    elif rig.delivered:
        assert information.startswith(rig.delivered[0])
        assert not punts
    else:
        assert rig.drops or isinstance(punts[0], DhcpInform)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 3)), max_size=20))
def test_replayed_duplicated_and_mutated_traffic_is_delivered_once(
    traffic: list[tuple[bytes, int]],
) -> None:
    rig, host = rig_with_host()
    wanted = []
    for data, copies in traffic:
        packet = udp(host.address, INTERNET, data)
        wanted.append(packet)
        datagram = host.up_ip(packet)
        for _ in range(copies):
            rig.plane.receive_datagram(AWAY, datagram)
            rig.plane.receive_datagram(AWAY, datagram[:-1] + bytes([datagram[-1] ^ 1]))
    assert rig.delivered == wanted
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.sent[0][0] == HOME


def test_the_helper_of_these_tests_reaches_the_bound_session() -> None:
    rig, host = rig_with_host()
    message = b"\0\2\0\x0b\0\x15\xff\x03\x00\x21" + udp("10.8.0.1", INTERNET, b"x")
    host.up(udp_header(message) + message)
    assert len(rig.delivered) == 1
