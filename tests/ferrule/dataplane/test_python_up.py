"""The way up, step by step: what is punted, what is delivered, what is dropped and why."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest

from ferrule.core.ids import Address, Path, SessionId, Spi, TunnelId
from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import (
    DhcpInform,
    FirstPacket,
    IkeDatagram,
    L2tpControl,
    Policy,
    PppControl,
    UnknownSession,
    UnknownSpi,
)
from ferrule.dataplane.python import PuntLimits
from support.dataplane import (
    AWAY,
    CBC_SHA1,
    HOME,
    INTERNET,
    SERVER,
    SUITES,
    Clock,
    Host,
    Rig,
    ipv4,
    tcp,
    tcp_checksum_holds,
    udp,
    udp_header,
)

PORT_500 = Path(HOME.peer, Address(SERVER.host, 500), natt=False)
ISAKMP = bytes(range(1, 9)) + bytes(20)
CONTROL = struct.pack(">HHHHHH", 0xC802, 12, 0, 0, 0, 0)


def ready(**changes: object) -> tuple[Rig, Host]:
    """A plane whose client has sent its first packet; counters and punts begin anew."""
    rig = Rig()
    host = Host(rig, **changes)  # type: ignore[arg-type]
    host.up_frame(b"\xff\x03\xc0\x21\x09\x01\x00\x08\x00\x00\x00\x00")
    rig.take()
    return rig, host


# --- demultiplexing


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        (PORT_500, ISAKMP, ISAKMP),
        (HOME, bytes(4) + ISAKMP, ISAKMP),
        (PORT_500, bytes(4) + ISAKMP, bytes(4) + ISAKMP),  # port 500 has no marker
    ],
)
def test_ike(path: Path, data: bytes, message: bytes) -> None:
    rig = Rig()
    rig.plane.receive_datagram(path, data)
    assert rig.take() == [IkeDatagram(path, message)]
    assert rig.drops == {}


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (PORT_500, b""),
        (PORT_500, ISAKMP[:27]),
        (HOME, b""),
        (HOME, b"\xff\xff"),
        (HOME, bytes(4)),
        (HOME, bytes(31)),
        (HOME, b"\0\0\0"),
        (HOME, b"\0\0\1\0\0\0\1"),
    ],
)
def test_neither_ike_nor_esp(path: Path, data: bytes) -> None:
    rig = Rig()
    rig.plane.receive_datagram(path, data)
    assert rig.take() == []
    assert rig.drops == {"not_ike": 1}


@pytest.mark.parametrize("path", [HOME, PORT_500])
def test_a_keepalive_is_swallowed(path: Path) -> None:
    rig = Rig()
    rig.plane.receive_datagram(path, b"\xff")
    counters = rig.plane.counters()
    assert (counters.keepalives_in, counters.datagrams_in, counters.octets_in) == (1, 1, 1)
    assert rig.take() == []
    assert rig.drops == {}


def test_unknown_spis_are_punted_within_limits() -> None:
    rig = Rig(PuntLimits(unknown_spis=3))
    for spi in range(1000, 1010):
        rig.plane.receive_datagram(HOME, spi.to_bytes(4, "big") + bytes(40))
    assert rig.take() == [UnknownSpi(HOME, Spi(1000 + n)) for n in range(3)]
    assert rig.drops == {"unknown_spi": 10}
    rig.clock.now += 1
    rig.plane.receive_datagram(HOME, (1000).to_bytes(4, "big") + bytes(40))
    assert len(rig.take()) == 1


# --- ESP


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_a_packet_reaches_the_host(suite: EspSuite) -> None:
    rig, host = ready(suite=suite)
    packet = udp(host.address, INTERNET, b"question")
    host.up_ip(packet)
    assert rig.delivered == [packet]
    assert rig.take() == []
    assert rig.drops == {}


def test_a_replay_or_a_forgery_is_dropped() -> None:
    rig, host = ready()
    datagram = host.up_ip(udp(host.address, INTERNET, b"x"))
    rig.plane.receive_datagram(AWAY, datagram)
    forged = host.sealers[host.spi].seal(b"y")
    rig.plane.receive_datagram(AWAY, forged[:-1] + bytes([forged[-1] ^ 1]))
    rig.plane.receive_datagram(AWAY, forged[:40])
    assert rig.drops == {"esp_replay": 1, "esp_tag": 1, "esp_malformed": 1}
    assert rig.take() == []
    assert len(rig.delivered) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(7),
        struct.pack(">HHHH", 1701, 1702, 20, 0) + CONTROL,  # another port
        struct.pack(">HHHH", 0, 1701, 20, 0) + CONTROL,  # nowhere to answer to
        struct.pack(">HHHH", 1701, 1701, 21, 0) + CONTROL,  # longer than what there is
        struct.pack(">HHHH", 1701, 1701, 7, 0) + CONTROL,
    ],
)
def test_what_is_no_l2tp_inside_esp_is_dropped(payload: bytes) -> None:
    rig, host = ready()
    host.up(payload)
    assert rig.drops == {"esp_inner": 1}
    assert rig.take() == []


# --- L2TP


def test_control_is_punted_without_what_follows_the_udp_length() -> None:
    rig, host = ready()
    host.up(udp_header(CONTROL) + CONTROL + b"traffic flow confidentiality")
    assert rig.take() == [L2tpControl(host.client, CONTROL)]


def data(flags: int, *fields: int, frame: bytes = b"\xff\x03\xc0\x21Hi", pad: bytes = b"") -> bytes:
    words = struct.pack(f">{len(fields) + 1}H", flags, *fields)
    return words + pad + frame


@pytest.mark.parametrize(
    "message",
    [
        data(0x0002, 11, 21),
        data(0x4002, 14, 11, 21),
        data(0x4002, 14, 11, 21) + b"beyond its length",
        data(0x0802, 11, 21, 5, 0),
        data(0x4802, 18, 11, 21, 5, 0),
        data(0x0202, 11, 21, 0),
        data(0x0202, 11, 21, 3, pad=b"pad"),
        data(0x4B02, 23, 11, 21, 5, 0, 3, pad=b"pad"),
        data(0x0102, 11, 21),  # priority
        data(0x34F2, 11, 21),  # RFC 2661 3.1: reserved bits are ignored
    ],
)
def test_data_headers(message: bytes) -> None:
    rig, host = ready()
    host.up_l2tp(message)
    assert rig.take() == [PppControl(host.client, host.tunnel, host.session, b"\xff\x03\xc0\x21Hi")]
    assert rig.drops == {}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "l2tp_malformed"),
        (data(0x0002, 11, frame=b""), "l2tp_malformed"),
        (data(0x4002, 15, 11, 21), "l2tp_malformed"),  # longer than the datagram
        (data(0x4002, 7, 11, 21), "l2tp_malformed"),  # shorter than its header
        (data(0x4002, 0, 11, 21), "l2tp_malformed"),
        (data(0x0802, 11, 21, 5, frame=b""), "l2tp_malformed"),
        (data(0x0202, 11, 21, frame=b""), "l2tp_malformed"),
        (data(0x0202, 11, 21, 7), "l2tp_malformed"),
        (data(0x0202, 11, 21, 0xFFFF), "l2tp_malformed"),
        (data(0x0003, 11, 21), "l2tp_version"),
        (data(0x0001, 11, 21), "l2tp_version"),
        (data(0x0002, 11, 21, frame=b""), "ppp_malformed"),
        (data(0x0002, 11, 21, frame=b"\xff\x03"), "ppp_malformed"),
    ],
)
def test_malformed_l2tp_is_dropped(message: bytes, reason: str) -> None:
    rig, host = ready()
    host.up_l2tp(message)
    assert rig.drops == {reason: 1}
    assert rig.take() == []


@pytest.mark.parametrize(
    ("tunnel", "session", "reason"),
    [
        (11, 99, "l2tp_unknown_session"),
        (99, 21, "l2tp_unknown_tunnel"),
        (0, 0, "l2tp_unknown_tunnel"),
    ],
)
def test_data_for_a_link_that_is_not_there(tunnel: int, session: int, reason: str) -> None:
    rig, host = ready()
    host.up_l2tp(data(0x0002, tunnel, session))
    unknown = UnknownSession(host.client, TunnelId(tunnel), SessionId(session))
    assert rig.take() == [unknown]
    assert rig.drops == {reason: 1}


def test_clients_with_the_same_l2tp_ids_never_meet() -> None:
    rig = Rig()
    one = Host(rig, 1)
    other = Host(rig, 2)
    rig.take()
    other.up_l2tp(data(0x0002, one.tunnel, one.session))
    assert UnknownSession(other.client, one.tunnel, one.session) in rig.take()
    assert rig.drops == {"l2tp_unknown_tunnel": 1}


# --- PPP


@pytest.mark.parametrize("header", [b"\xff\x03\x00\x21", b"\xff\x03\x21", b"\x00\x21", b"\x21"])
def test_ip_with_and_without_compression(header: bytes) -> None:
    rig, host = ready()
    packet = udp(host.address, INTERNET, b"x")
    host.up_frame(header + packet)
    assert rig.delivered == [packet]


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\x03\xc0\x21LCP",
        b"\xc0\x21LCP",
        b"\xff\x03\x80\x21IPCP",
        b"\xff\x03\xc2\x23CHAP",
        b"\xff\x03\x82\x35ACSP",
        b"\xff\x03\x00\x57IPv6",
        b"\x57IPv6",
        b"\xff\x03\x00\x2dVJ",
        b"\x00",
        b"\xff\x03\x00",
    ],
)
def test_other_protocols_are_punted_whole(frame: bytes) -> None:
    rig, host = ready()
    host.up_frame(frame)
    assert rig.take() == [PppControl(host.client, host.tunnel, host.session, frame)]
    assert rig.drops == {}


def test_ip_before_ipcp_is_dropped() -> None:
    rig, host = ready(bound=False)
    host.up_ip(udp(host.address, INTERNET, b"x"))
    assert rig.drops == {"ppp_phase": 1}
    assert rig.delivered == []


# --- IPv4

BROKEN = udp("10.8.0.1", INTERNET, b"broken")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        BROKEN[:19],
        BROKEN[:-1],  # shorter than its total length
        b"\x65" + BROKEN[1:],
        b"\x44" + BROKEN[1:],
        BROKEN[:2] + b"\0\x13" + BROKEN[4:],
        ipv4("10.8.0.1", INTERNET, options=b"\x83\x07\x04\xa9\xfe\xa9\xfe\x00"),  # LSRR
        ipv4("10.8.0.1", INTERNET, options=b"\x01\x89\x07\x04\xa9\xfe\xa9\xfe"),  # SSRR
        ipv4("10.8.0.1", INTERNET, options=b"\x07\x01\x00\x00"),
        ipv4("10.8.0.1", INTERNET, options=b"\x07\x05\x00\x00"),
    ],
)
def test_unsound_packets_are_dropped(packet: bytes) -> None:
    rig, host = ready()
    host.up_ip(packet)
    assert rig.drops == {"ip_malformed": 1}
    assert rig.delivered == []


def test_padding_behind_the_packet_is_cut_off() -> None:
    rig, host = ready()
    packet = udp(host.address, INTERNET, b"x")
    host.up_ip(packet + b"padding")
    assert rig.delivered == [packet]
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert (counters.packets_up, counters.octets_up) == (1, len(packet))


def test_harmless_options_pass() -> None:
    rig, host = ready()
    packet = ipv4(host.address, INTERNET, b"IGMP", protocol=2, options=b"\x94\x04\x00\x00")
    host.up_ip(packet)
    assert rig.delivered == [packet]


@pytest.mark.parametrize("source", ["10.8.0.2", "0.0.0.0", INTERNET, "255.255.255.255"])
def test_only_the_leased_address_may_send(source: str) -> None:
    rig, host = ready()
    host.up_ip(udp(source, INTERNET, b"x"))
    assert rig.drops == {"source_address": 1}
    assert rig.delivered == []


@pytest.mark.parametrize("destination", ["255.255.255.255", "10.8.0.254"])
def test_dhcpinform_is_punted(destination: str) -> None:
    rig, host = ready()
    packet = udp(host.address, destination, b"DHCP", ports=(68, 67))
    host.up_ip(packet)
    assert rig.take() == [DhcpInform(host.client, host.tunnel, host.session, packet)]
    assert rig.drops == {}
    assert rig.delivered == []


@pytest.mark.parametrize(
    "destination",
    ["224.0.0.251", "239.255.255.250", "255.255.255.255", "127.0.0.1", "0.0.0.0", "240.0.0.1"],
)
def test_no_session_reaches_what_is_no_host(destination: str) -> None:
    rig, host = ready()
    host.up_ip(udp(host.address, destination, b"x"))
    assert rig.drops == {"destination_denied": 1}
    assert rig.delivered == []


def networks(*texts: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(text) for text in texts)


METADATA = networks("169.254.0.0/16", "100.100.100.200/32")
OFFICE = networks("10.0.0.0/8", "192.0.2.128/25", "192.0.2.7/32")


@pytest.mark.parametrize(
    ("policy", "destination", "passes"),
    [
        (Policy(), INTERNET, True),
        (Policy(denied=METADATA), INTERNET, True),
        (Policy(denied=METADATA), "169.254.169.254", False),
        (Policy(denied=METADATA), "100.100.100.200", False),
        (Policy(denied=METADATA), "100.100.100.201", True),
        (Policy(allowed=OFFICE), INTERNET, False),
        (Policy(allowed=OFFICE), "10.1.2.3", True),
        (Policy(allowed=OFFICE), "192.0.2.127", False),
        (Policy(allowed=OFFICE), "192.0.2.129", True),
        (Policy(allowed=OFFICE), "192.0.2.7", True),
        (Policy(allowed=OFFICE, denied=networks("10.1.0.0/16")), "10.1.2.3", False),
        (Policy(allowed=OFFICE, denied=networks("10.1.0.0/16")), "10.2.2.3", True),
        (Policy(denied=networks("0.0.0.0/0")), INTERNET, False),
        (Policy(allowed=networks("0.0.0.0/0")), INTERNET, True),
    ],
)
def test_allowed_and_denied(policy: Policy, destination: str, passes: bool) -> None:
    rig, host = ready(policy=policy)
    packet = udp(host.address, destination, b"x")
    host.up_ip(packet)
    assert rig.delivered == ([packet] if passes else [])
    assert rig.drops == ({} if passes else {"destination_denied": 1})


def test_a_new_policy_holds_from_the_next_packet_on() -> None:
    rig, host = ready()
    packet = udp(host.address, INTERNET, b"x")
    host.up_ip(packet)
    policy = Policy(denied=networks(f"{INTERNET}/32"))
    rig.plane.set_policy(host.client, host.tunnel, host.session, policy)
    host.up_ip(packet)
    assert rig.delivered == [packet]
    assert rig.drops == {"destination_denied": 1}


# --- client to client

TALKS = Policy(client_to_client=True)


@pytest.mark.parametrize(
    ("mine", "theirs", "reason"),
    [
        (Policy(), Policy(), "client_isolation"),
        (TALKS, Policy(), "client_isolation"),
        (Policy(), TALKS, "client_isolation"),
        (TALKS, TALKS, None),
        (
            Policy(client_to_client=True, denied=networks("10.8.0.2/32")),
            TALKS,
            "destination_denied",
        ),
        (
            TALKS,
            Policy(client_to_client=True, allowed=networks("192.0.2.0/24")),
            "destination_denied",
        ),
    ],
)
def test_clients_meet_only_if_both_may(mine: Policy, theirs: Policy, reason: str | None) -> None:
    rig = Rig()
    one, other = Host(rig, 1, policy=mine), Host(rig, 2, policy=theirs)
    packet = udp(one.address, other.address, b"neighbour")
    one.up_ip(packet)
    assert rig.delivered == []
    if reason is None:
        assert other.down_ip() == [packet]
        assert rig.drops == {}
    else:
        assert rig.sent == []
        assert rig.drops == {reason: 1}


# --- rate


def test_the_rate_up_is_held() -> None:
    clock = Clock()
    rig = Rig(clock=clock)
    host = Host(rig, policy=Policy(rate_up=100_000))
    packet = udp(host.address, INTERNET, bytes(972))  # 1000 octets
    for _ in range(100):
        host.up_ip(packet)
    assert len(rig.delivered) == 33  # the burst of 32768 octets, and what overdraws it
    assert rig.drops == {"rate_limit": 67}
    rig.delivered.clear()
    for _ in range(1000):
        clock.now += 0.005
        host.up_ip(packet)
    assert len(rig.delivered) == pytest.approx(500, abs=2)  # 5 s of 100 packets


# --- MSS


def test_a_syn_is_clamped_and_its_checksum_stays_right() -> None:
    rig, host = ready(mtu=1300)
    host.up_ip(tcp(host.address, INTERNET, options=b"\x02\x04\x05\xb4"))
    (packet,) = rig.delivered
    assert packet[40:44] == b"\x02\x04" + (1260).to_bytes(2, "big")
    assert tcp_checksum_holds(packet)


# --- budgets


def first_message(number: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(20)


def test_strangers_do_not_starve_clients() -> None:
    rig = Rig(PuntLimits(new_exchanges=5, ike=8, client=2))
    host = Host(rig, 1)
    other = Host(rig, 2)
    for number in range(50):
        rig.plane.receive_datagram(PORT_500, first_message(number + 1))
    assert len(rig.take()) == 5
    for _ in range(50):
        rig.plane.receive_datagram(PORT_500, bytes(range(1, 17)) + bytes(12))
    assert len(rig.take()) == 8
    for _ in range(10):
        host.up_l2tp(CONTROL)
    assert rig.take() == [FirstPacket(host.client, host.spi)] + 2 * [
        L2tpControl(host.client, CONTROL)
    ]
    other.up_l2tp(CONTROL)
    assert rig.take()[-1] == L2tpControl(other.client, CONTROL)
    assert rig.drops == {"punt_queue_full": 100 - 13 + 8}
    rig.clock.now += 1
    host.up_l2tp(CONTROL)
    assert rig.take() == [L2tpControl(host.client, CONTROL)]


def test_in_a_flood_a_repeated_first_message_passes() -> None:
    rig = Rig(PuntLimits(new_exchanges=10))
    for number in range(100):
        rig.plane.receive_datagram(PORT_500, first_message(number + 1000))
    rig.take()
    rig.plane.receive_datagram(PORT_500, first_message(7))
    assert rig.take() == []
    rig.plane.receive_datagram(PORT_500, first_message(7))
    assert rig.take() == [IkeDatagram(PORT_500, first_message(7))]


def test_repeated_first_messages_have_a_budget_too() -> None:
    """Who forges everything twice gets through the sieve: no more than can be handled."""
    rig = Rig(PuntLimits(new_exchanges=10, repeated_exchanges=25))
    for _ in range(2):
        for number in range(100):
            rig.plane.receive_datagram(PORT_500, first_message(number + 1000))
    assert len(rig.take()) == 25


def made_up(number: int) -> bytes:
    """A message of an exchange that nobody began."""
    return number.to_bytes(8, "big") * 2 + bytes(12)


def test_in_a_flood_of_made_up_exchanges_the_honest_goes_on() -> None:
    """Cookies that came before pass, also from another port of their host (RFC 3947 4)."""
    rig = Rig(PuntLimits(ike=10))
    honest = bytes(range(1, 17)) + bytes(12)
    for number in range(1, 101):
        rig.plane.receive_datagram(PORT_500, made_up(number))
    assert len(rig.take()) == 10
    rig.plane.receive_datagram(PORT_500, honest)
    assert rig.take() == []
    rig.clock.now += 1.0
    for number in range(101, 201):
        rig.plane.receive_datagram(PORT_500, made_up(number))
    assert rig.take() == []
    floated = HOME._replace(peer=Address(HOME.peer.host, 61234))
    rig.plane.receive_datagram(floated, bytes(4) + honest)
    assert rig.take() == [IkeDatagram(floated, honest)]


def test_a_full_budget_does_not_stop_data() -> None:
    rig = Rig(PuntLimits(client=1))
    host = Host(rig)
    for _ in range(5):
        host.up_frame(b"\xff\x03\xc0\x21")
    packet = udp(host.address, INTERNET, b"x")
    host.up_ip(packet)
    assert rig.delivered == [packet]


# --- counters


def test_counters_of_session_and_plane() -> None:
    rig = Rig()
    host = Host(rig)
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert counters.last_up == counters.last_data == 1000.0
    rig.clock.now = 1005.0
    datagram = host.up_frame(b"\xff\x03\xc0\x21")
    assert (counters.last_up, counters.last_data) == (1005.0, 1000.0)
    rig.clock.now = 1007.0
    packet = udp(host.address, INTERNET, b"x")
    second = host.up_ip(packet)
    assert (counters.last_up, counters.last_data) == (1007.0, 1007.0)
    assert (counters.packets_up, counters.octets_up) == (1, len(packet))
    assert (counters.packets_down, counters.octets_down) == (0, 0)
    totals = rig.plane.counters()
    assert (totals.datagrams_in, totals.esp_in) == (2, 2)
    assert totals.octets_in == len(datagram) + len(second)
    assert (totals.packets_up, totals.octets_up) == (1, len(packet))


def test_client_role_takes_any_source() -> None:
    rig = Rig()
    host = Host(rig, bound=False)
    binding = host.binding()
    binding.default = True
    rig.plane.bind_session(binding)
    packet = udp(INTERNET, host.address, b"answer")
    host.up_ip(packet)
    assert rig.delivered == [packet]
    assert IPv4Address(host.address).packed == binding.address
    assert host.suite is CBC_SHA1
