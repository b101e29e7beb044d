"""A plane among others: what goes to another member, what comes from one, and the fence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from ferrule.core.ids import Address, Path, Spi
from ferrule.dataplane.interface import (
    FirstPacket,
    IkeDatagram,
    L2tpControl,
    PeerMoved,
    Policy,
    UnknownSpi,
)
from ferrule.dataplane.python import PuntLimits
from support.dataplane import (
    CBC_SHA1,
    HOME,
    INTERNET,
    SERVER,
    Host,
    Others,
    Rig,
    ipv4,
    udp,
    udp_header,
)

AWAY_CLIENT = "10.8.0.200"  # another member has it
OPEN = Policy(client_to_client=True)
CONTROL = bytes.fromhex("c8020014000000000000000080080000") + bytes(4)
PAYLOAD = udp_header(CONTROL) + CONTROL
BY_B = HOME._replace(via="pod-b")
DF = 0x4000


def rig_among_others(**changes: object) -> tuple[Rig, Others]:
    others = Others(addresses={IPv4Address(AWAY_CLIENT).packed}, spis={0xABCD0001})
    rig = Rig(elsewhere=replace(others, **changes))  # type: ignore[arg-type]
    assert rig.elsewhere is not None
    return rig, rig.elsewhere


# --- ESP


def test_esp_of_others_goes_to_them() -> None:
    rig, others = rig_among_others()
    datagram = bytes.fromhex("abcd0001") + bytes(60)
    rig.plane.receive_datagram(HOME, datagram)
    assert others.esp == [(HOME, 0xABCD0001, datagram)]
    assert rig.punts == []
    assert rig.drops == {}


def test_what_they_refuse_is_unknown_and_its_budget_is_only_for_that() -> None:
    limits = PuntLimits(unknown_spis=1)
    others = Others(spis={0xABCD0001})
    rig = Rig(limits, others)
    for _ in range(50):
        rig.plane.receive_datagram(HOME, bytes.fromhex("abcd0001") + bytes(60))
    for _ in range(3):
        rig.plane.receive_datagram(HOME, bytes.fromhex("abcd0002") + bytes(60))
    assert len(others.esp) == 50
    assert rig.punts == [UnknownSpi(HOME, Spi(0xABCD0002))]
    assert rig.drops == {"unknown_spi": 3}


def test_what_is_too_short_for_esp_is_not_relayed() -> None:
    rig, others = rig_among_others()
    rig.plane.receive_datagram(HOME, bytes.fromhex("abcd0001") + bytes(3))
    assert others.esp == []
    assert rig.drops == {"not_ike": 1}


def test_the_own_table_comes_first() -> None:
    rig, others = rig_among_others()
    host = Host(rig)
    others.spis.add(host.spi)
    host.up(PAYLOAD)
    assert others.esp == []
    assert FirstPacket(host.client, host.spi) in rig.punts


def test_an_sa_that_was_handed_over_is_somebody_elses() -> None:
    rig, others = rig_among_others()
    host = Host(rig)
    rig.plane.remove_client(host.client)
    others.spis.add(host.spi)
    datagram = host.up(PAYLOAD)
    assert others.esp == [(HOME, host.spi, datagram)]


# --- the way back: Path.via


def test_a_newer_packet_through_another_member_moves_the_client() -> None:
    rig, _ = rig_among_others()
    host = Host(rig)
    host.up(PAYLOAD)
    rig.take()
    host.up(PAYLOAD, path=BY_B)
    assert rig.take()[0] == PeerMoved(host.client, BY_B)
    rig.plane.send_l2tp(host.client, b"x")
    rig.plane.send_keepalive(host.client)
    assert [path for path, _ in rig.take_sent()] == [BY_B, BY_B]
    host.up(PAYLOAD)
    assert rig.take()[0] == PeerMoved(host.client, HOME)


def test_only_a_newer_packet_with_a_good_tag_does() -> None:
    rig, _ = rig_among_others()
    host = Host(rig)
    sealer = host.sealers[host.spi]
    late = sealer.seal(PAYLOAD)
    newer = host.up(PAYLOAD)
    forged = bytearray(sealer.seal(PAYLOAD))
    forged[-1] ^= 1
    for datagram in (late, newer, bytes(forged)):
        rig.plane.receive_datagram(BY_B, datagram)
    assert [punt for punt in rig.take() if isinstance(punt, PeerMoved)] == []
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.take_sent()[0][0] == HOME
    assert rig.drops == {"esp_replay": 1, "esp_tag": 1}


# --- IP to others


def test_the_hosts_packet_for_another_members_session() -> None:
    rig, others = rig_among_others()
    packet = udp(INTERNET, AWAY_CLIENT, b"x")
    rig.plane.transmit_ip(packet + bytes(3))  # with link padding
    assert others.ip == [(packet, False)]
    assert rig.drops == {}


def test_nobody_has_it() -> None:
    rig, others = rig_among_others()
    rig.plane.transmit_ip(udp(INTERNET, "10.8.0.201", b"x"))
    assert others.ip == []
    assert rig.drops == {"no_session_for_address": 1}


def test_a_clients_packet_for_another_members_client() -> None:
    rig, others = rig_among_others()
    host = Host(rig, policy=OPEN)
    packet = udp(host.address, AWAY_CLIENT, b"x")
    host.up_ip(packet)
    assert others.ip == [(packet, True)]
    assert rig.delivered == []
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert (counters.packets_up, counters.octets_up) == (1, len(packet))


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(), "client_isolation"),
        (Policy(client_to_client=True, denied=(IPv4Network("10.8.0.0/16"),)), "destination_denied"),
    ],
)
def test_the_senders_policy_comes_first(policy: Policy, reason: str) -> None:
    rig, others = rig_among_others()
    host = Host(rig, policy=policy)
    host.up_ip(udp(host.address, AWAY_CLIENT, b"x"))
    assert (others.ip, rig.delivered) == ([], [])
    assert rig.drops == {reason: 1}


def test_the_senders_rate_counts() -> None:
    rig, others = rig_among_others()
    host = Host(rig, policy=replace(OPEN, rate_up=1))
    for _ in range(40):
        host.up_ip(udp(host.address, AWAY_CLIENT, bytes(1200)))
    assert len(others.ip) == 27  # the burst of 32 KiB, begun packets whole
    assert rig.drops == {"rate_limit": 13}


def test_a_client_that_nobody_can_reach_is_not_looked_for_in_the_network() -> None:
    rig, others = rig_among_others(away=True)
    host = Host(rig, policy=OPEN)
    host.up_ip(udp(host.address, AWAY_CLIENT, b"x"))
    assert (others.ip, rig.delivered) == ([], [])
    assert rig.drops == {"not_serving": 1}


@pytest.mark.parametrize(
    ("policy", "given", "drops"), [(OPEN, 1, {}), (Policy(), 0, {"client_isolation": 1})]
)
def test_what_the_kernel_sends_back_is_still_the_clients(
    policy: Policy, given: int, drops: dict[str, int]
) -> None:
    """To an address of a pool that was nobody's when it went out."""
    rig, others = rig_among_others()
    host = Host(rig, policy=policy)
    packet = udp(host.address, "10.8.0.201", b"x")
    host.up_ip(packet)
    assert rig.delivered == [packet]
    others.addresses.add(IPv4Address("10.8.0.201").packed)
    rig.plane.transmit_ip(packet)
    assert others.ip == [(packet, True)] * given
    assert rig.drops == drops


def test_addresses_come_and_go() -> None:
    rig, others = rig_among_others()
    host = Host(rig, policy=OPEN)
    packet = udp(host.address, AWAY_CLIENT, b"x")
    others.addresses.clear()
    host.up_ip(packet)
    assert (rig.delivered, others.ip) == ([packet], [])
    others.addresses.add(IPv4Address(AWAY_CLIENT).packed)
    host.up_ip(packet)
    assert (rig.delivered, others.ip) == ([packet], [(packet, True)])


# --- IP from others


@pytest.mark.parametrize("from_client", [False, True])
@pytest.mark.parametrize("client_to_client", [False, True])
def test_the_receivers_policy_says_whether_clients_may_come(
    from_client: bool, client_to_client: bool
) -> None:
    rig, _ = rig_among_others()
    host = Host(rig, policy=Policy(client_to_client=client_to_client))
    packet = udp(AWAY_CLIENT if from_client else INTERNET, host.address, b"x")
    rig.plane.receive_relayed_ip(packet, from_client=from_client)
    isolated = from_client and not client_to_client
    assert host.down_ip() == ([] if isolated else [packet])
    assert rig.drops == ({"client_isolation": 1} if isolated else {})
    assert rig.plane.counters().packets_down == 1 - isolated


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (udp(AWAY_CLIENT, "10.8.0.1", b"x"), "destination_denied"),
        (udp(INTERNET, "10.8.0.9", b"x"), "no_session_for_address"),
        (udp(INTERNET, "10.8.0.1", b"x")[:-1], "ip_malformed"),
        (b"", "ip_malformed"),
        # What another member sent here for nobody is not passed on: it may not know better.
        (udp(INTERNET, AWAY_CLIENT, b"x"), "no_session_for_address"),
    ],
)
def test_what_is_not_for_a_session_of_ours(packet: bytes, reason: str) -> None:
    rig, others = rig_among_others()
    policy = Policy(client_to_client=True, denied=(IPv4Network(f"{AWAY_CLIENT}/32"),))
    Host(rig, policy=policy)
    rig.plane.receive_relayed_ip(packet, from_client=False)
    assert (rig.sent, others.ip, rig.delivered) == ([], [], [])
    assert rig.drops == {reason: 1}


@pytest.mark.parametrize(
    ("source", "from_client", "given", "delivered"),
    [(AWAY_CLIENT, True, 1, 0), (INTERNET, False, 0, 1)],
)
def test_too_big_is_told_to_who_sent_it(
    source: str, from_client: bool, given: int, delivered: int
) -> None:
    rig, others = rig_among_others()
    host = Host(rig, policy=OPEN, mtu=600)
    packet = ipv4(source, host.address, bytes(700), fragment=DF)
    rig.plane.receive_relayed_ip(packet, from_client=from_client)
    assert (len(others.ip), len(rig.delivered)) == (given, delivered)
    error, client = others.ip[0] if given else (rig.delivered[0], False)
    assert client is bool(given)
    assert error[9] == 1
    assert error[16:20] == IPv4Address(source).packed
    assert rig.drops == {"packet_too_big": 1}


def test_two_members_carry_a_packet_from_client_to_client() -> None:
    near, far = Rig(elsewhere=Others()), Rig(elsewhere=Others())
    alice, bob = Host(near, 1, policy=OPEN), Host(far, 2, policy=OPEN)
    assert near.elsewhere is not None
    near.elsewhere.addresses.add(IPv4Address(bob.address).packed)
    packet = udp(alice.address, bob.address, b"x")
    alice.up_ip(packet)
    for given, from_client in near.elsewhere.ip:
        far.plane.receive_relayed_ip(given, from_client=from_client)
    assert bob.down_ip() == [packet]


# --- the fence

CALLS: dict[str, Callable[[Rig, Host], object]] = {
    "ESP": lambda rig, host: host.up(PAYLOAD),
    "forged ESP": lambda rig, host: rig.plane.receive_datagram(
        HOME, host.spi.to_bytes(4, "big") + bytes(60)
    ),
    "IP": lambda rig, host: rig.plane.transmit_ip(udp(INTERNET, host.address, b"x")),
    "IP too big": lambda rig, host: rig.plane.transmit_ip(
        ipv4(INTERNET, host.address, bytes(2000), fragment=DF)
    ),
    "relayed IP": lambda rig, host: rig.plane.receive_relayed_ip(
        udp(INTERNET, host.address, b"x"), from_client=False
    ),
    "IKE": lambda rig, host: rig.plane.send_ike(HOME, bytes(28)),
    "keep-alive": lambda rig, host: rig.plane.send_keepalive(host.client),
    "L2TP": lambda rig, host: rig.plane.send_l2tp(host.client, CONTROL),
    "PPP": lambda rig, host: rig.plane.send_ppp(host.client, host.tunnel, host.session, b"\xc0!x"),
    "own IP": lambda rig, host: rig.plane.send_ip(
        host.client, host.tunnel, host.session, udp(INTERNET, host.address, b"x")
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_fenced_member_opens_and_seals_nothing(call: Callable[[Rig, Host], object]) -> None:
    rig, others = rig_among_others()
    host = Host(rig)
    before = rig.plane.client_state(host.client)
    others.serving = False
    call(rig, host)
    assert (rig.sent, rig.punts, rig.delivered, others.ip) == ([], [], [], [])
    assert rig.drops == {"fenced": 1}
    assert rig.plane.client_state(host.client) == before
    others.serving = True
    rig.plane.send_l2tp(host.client, CONTROL)
    assert len(rig.take_sent()) == 1


def test_every_fragment_is_behind_the_fence() -> None:
    rig, others = rig_among_others()
    host = Host(rig)
    others.serving = False
    rig.plane.transmit_ip(ipv4(INTERNET, host.address, bytes(3000)))
    assert rig.sent == []
    assert set(rig.drops) == {"fenced"}


def test_a_fenced_member_relays_and_tells_of_ike() -> None:
    """It may be a relay for others on purpose: one that joins, or one that left."""
    rig, others = rig_among_others(serving=False)
    message = bytes(8) + b"\1" * 20
    rig.plane.receive_datagram(Path(HOME.peer, Address(SERVER.host, 500), natt=False), message)
    rig.plane.receive_datagram(HOME, bytes.fromhex("abcd0001") + bytes(60))
    rig.plane.transmit_ip(udp(INTERNET, AWAY_CLIENT, b"x"))
    assert [type(punt) for punt in rig.punts] == [IkeDatagram]
    assert (len(others.esp), len(others.ip)) == (1, 1)
    assert rig.drops == {}


def test_without_others_there_is_no_fence() -> None:
    rig = Rig()
    host = Host(rig, suite=CBC_SHA1)
    host.up(PAYLOAD)
    assert rig.take() == [FirstPacket(host.client, host.spi), L2tpControl(host.client, CONTROL)]
