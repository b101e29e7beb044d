"""The way down: what wraps an IP packet, what does not fit, and what the control plane sends."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from ferrule.core.checksum import internet_checksum
from ferrule.core.ids import Address, ClientId, Path, SessionId, Spi, TunnelId
from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import LinkSpec, Policy
from ferrule.esp.overhead import inner_mtu
from support.dataplane import (
    AWAY,
    CBC_SHA1,
    HOME,
    INTERNET,
    SERVER,
    SUITES,
    Host,
    Rig,
    ipv4,
    tcp,
    tcp_checksum_holds,
    udp,
    udp_header,
)

DF = 0x4000


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_a_packet_reaches_the_client(suite: EspSuite) -> None:
    rig = Rig()
    host = Host(rig, suite=suite)
    packet = udp(INTERNET, host.address, b"answer")
    rig.plane.transmit_ip(packet)
    assert host.down_ip() == [packet]
    assert rig.drops == {}


def test_every_header_of_a_packet() -> None:
    rig = Rig()
    host = Host(rig)
    packet = udp(INTERNET, host.address, b"answer")
    rig.plane.transmit_ip(packet)
    ((path, datagram),) = rig.take_sent()
    assert path == HOME
    assert datagram[:8] == (host.spi + 0x10000).to_bytes(4, "big") + bytes(3) + b"\1"
    payload = host.open(datagram)
    assert payload[:8] == struct.pack(">HHHH", 1701, 1701, len(payload), 0)
    assert payload[8:14] == struct.pack(">HHH", 0x0002, 7, 9)  # the peer's ids
    assert payload[14:] == b"\xff\x03\x00\x21" + packet


def test_the_answer_goes_to_the_port_that_the_client_sent_from() -> None:
    rig = Rig()
    host = Host(rig)
    for port in (1701, 50123):
        host.up_l2tp(struct.pack(">HHHHHH", 0xC802, 12, 0, 0, 0, 0), port=port)
        rig.plane.send_l2tp(host.client, b"reply")
        ((_, datagram),) = rig.take_sent()
        assert host.open(datagram) == struct.pack(">HHHH", 1701, port, 13, 0) + b"reply"


@pytest.mark.parametrize(
    ("protocol", "address", "header"),
    [
        (False, False, b"\xff\x03\x00\x21"),
        (True, False, b"\xff\x03\x21"),
        (False, True, b"\x00\x21"),
        (True, True, b"\x21"),
    ],
)
def test_ppp_compression(protocol: bool, address: bool, header: bytes) -> None:
    rig = Rig()
    host = Host(rig, bound=False)
    rig.plane.bind_session(
        replace(host.binding(), compress_protocol=protocol, compress_address=address)
    )
    packet = udp(INTERNET, host.address, b"answer")
    rig.plane.transmit_ip(packet)
    assert [message[6:] for message in host.down_l2tp()] == [header + packet]


def test_sequencing_counts_data_and_control_frames_and_wraps() -> None:
    rig = Rig()
    host = Host(rig, sequencing=True)
    packet = udp(INTERNET, host.address, b"x")
    rig.plane.transmit_ip(packet)
    rig.plane.send_ppp(host.client, host.tunnel, host.session, b"\xff\x03\xc0\x21")
    for _ in range(0xFFFE):
        rig.plane.send_ppp(host.client, host.tunnel, host.session, b"\xff\x03\xc0\x21")
    rig.plane.transmit_ip(packet)
    headers = [struct.unpack(">HHHHH", message[:10]) for message in host.down_l2tp()]
    assert headers[0] == (0x0802, 7, 9, 0, 0)
    assert headers[1] == (0x0802, 7, 9, 1, 0)
    assert headers[-1] == (0x0802, 7, 9, 0, 0)
    assert {header[3] for header in headers} == set(range(0x10000))


def test_nobody_has_the_address() -> None:
    rig = Rig()
    Host(rig)
    rig.plane.transmit_ip(udp(INTERNET, "10.8.0.77", b"x"))
    assert rig.sent == []
    assert rig.drops == {"no_session_for_address": 1}


@pytest.mark.parametrize("packet", [b"", bytes(19), b"\x60" + bytes(39), b"\x45" + bytes(19)])
def test_unsound_packets_from_the_host(packet: bytes) -> None:
    rig = Rig()
    rig.plane.transmit_ip(packet)
    assert rig.drops == {"ip_malformed": 1}


def test_the_default_session_takes_everything_else() -> None:
    rig = Rig()
    host = Host(rig, bound=False)
    rig.plane.bind_session(replace(host.binding(), default=True))
    packet = udp(host.address, INTERNET, b"question")
    rig.plane.transmit_ip(packet)
    assert host.down_ip() == [packet]
    rig.plane.unbind_session(host.client, host.tunnel, host.session)
    rig.plane.transmit_ip(packet)
    assert rig.drops == {"no_session_for_address": 1}


def test_an_address_that_moves_goes_to_the_newer_session() -> None:
    rig = Rig()
    old, new = Host(rig, 1), Host(rig, 2)
    rig.plane.bind_session(replace(new.binding(), address=old.binding().address))
    packet = udp(INTERNET, old.address, b"x")
    rig.plane.transmit_ip(packet)
    assert new.down_ip() == [packet]
    rig.plane.unbind_session(old.client, old.tunnel, old.session)
    rig.plane.transmit_ip(packet)
    assert new.down_ip() == [packet]


# --- policy


def test_what_may_not_be_reached_may_not_come() -> None:
    rig = Rig()
    host = Host(rig, policy=Policy(allowed=(IPv4Network("192.0.2.0/24"),)))
    inside, outside = (udp(source, host.address, b"x") for source in ("192.0.2.9", INTERNET))
    rig.plane.transmit_ip(inside)
    rig.plane.transmit_ip(outside)
    assert host.down_ip() == [inside]
    assert rig.drops == {"destination_denied": 1}


@pytest.mark.parametrize(
    ("kind", "quoted_source", "quoted_destination", "passes"),
    [
        (3, "10.8.0.1", "192.0.2.9", True),
        (11, "10.8.0.1", "192.0.2.9", True),
        (11, "10.8.0.1", INTERNET, False),  # about a packet that the policy forbids
        (11, "10.8.0.2", "192.0.2.9", False),  # about a packet of somebody else
        (8, "10.8.0.1", "192.0.2.9", False),  # an echo request
        (5, "10.8.0.1", "192.0.2.9", False),  # a redirect
    ],
)
def test_errors_of_routers_on_the_way_pass(
    kind: int, quoted_source: str, quoted_destination: str, passes: bool
) -> None:
    rig = Rig()
    host = Host(rig, policy=Policy(allowed=(IPv4Network("192.0.2.0/24"),)))
    quoted = udp(quoted_source, quoted_destination, b"12345678")
    error = ipv4("203.0.113.1", host.address, bytes([kind]) + bytes(7) + quoted, protocol=1)
    rig.plane.transmit_ip(error)
    assert host.down_ip() == ([error] if passes else [])


def test_the_rate_down_is_held() -> None:
    rig = Rig()
    host = Host(rig, policy=Policy(rate_down=1_000_000))
    packet = udp(INTERNET, host.address, bytes(972))
    for _ in range(1000):
        rig.plane.transmit_ip(packet)
    assert len(rig.sent) == 250  # a quarter of a second
    assert rig.drops == {"rate_limit": 750}
    rig.clock.now += 0.1
    rig.sent.clear()
    for _ in range(1000):
        rig.plane.transmit_ip(packet)
    assert len(rig.sent) == pytest.approx(100, abs=1)


def test_a_syn_is_clamped() -> None:
    rig = Rig()
    host = Host(rig, mtu=1280)
    rig.plane.transmit_ip(tcp(INTERNET, host.address, flags=0x12, options=b"\x02\x04\x05\xb4"))
    (packet,) = host.down_ip()
    assert packet[40:44] == b"\x02\x04" + (1240).to_bytes(2, "big")
    assert tcp_checksum_holds(packet)


def test_no_clamp_where_none_is_wanted() -> None:
    rig = Rig()
    host = Host(rig, bound=False)
    rig.plane.bind_session(replace(host.binding(), clamp_mss=False))
    packet = tcp(INTERNET, host.address, options=b"\x02\x04\x05\xb4")
    rig.plane.transmit_ip(packet)
    assert host.down_ip() == [packet]


# --- MTU


def test_the_inner_mtu_fills_the_outer_one() -> None:
    mtu = inner_mtu(1500, CBC_SHA1)
    rig = Rig()
    host = Host(rig, mtu=mtu)
    rig.plane.transmit_ip(udp(INTERNET, host.address, bytes(mtu - 28)))
    ((_, datagram),) = rig.take_sent()
    assert 1500 - 16 < 20 + 8 + len(datagram) <= 1500


def test_too_big_with_df_draws_an_icmp_error() -> None:
    rig = Rig()
    host = Host(rig, mtu=1300)
    packet = ipv4(INTERNET, host.address, bytes(1400), fragment=DF)
    rig.plane.transmit_ip(packet)
    assert rig.sent == []
    assert rig.drops == {"packet_too_big": 1}
    (error,) = rig.delivered
    assert error[9] == 1
    assert (error[12:16], error[16:20]) == (packet[16:20], packet[12:16])
    assert error[20:22] == b"\x03\x04"
    assert int.from_bytes(error[26:28], "big") == 1300
    assert internet_checksum(error[:20]) == internet_checksum(error[20:]) == 0
    assert packet.startswith(error[28:])
    assert len(error) == 576


def test_too_big_without_df_is_cut() -> None:
    rig = Rig()
    host = Host(rig, mtu=1300)
    packet = udp(INTERNET, host.address, bytes(range(256)) * 12)
    rig.plane.transmit_ip(packet)
    pieces = host.down_ip()
    assert [len(piece) for piece in pieces] == [1300, 1300, 540]
    assert b"".join(piece[20:] for piece in pieces) == packet[20:]
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert (counters.packets_down, counters.octets_down) == (1, len(packet))
    assert rig.plane.counters().esp_out == 3


def test_too_big_between_clients_tells_the_sender() -> None:
    rig = Rig()
    talks = Policy(client_to_client=True)
    one, other = Host(rig, 1, policy=talks), Host(rig, 2, policy=talks, mtu=1000)
    one.up_ip(ipv4(one.address, other.address, bytes(1200), fragment=DF))
    (error,) = one.down_ip()
    assert error[20:22] == b"\x03\x04"
    assert rig.delivered == []
    assert rig.drops == {"packet_too_big": 1}


# --- what the control plane sends


@pytest.mark.parametrize(("natt", "datagram"), [(True, bytes(4) + b"ISAKMP"), (False, b"ISAKMP")])
def test_ike_wears_the_marker_on_the_natt_port_only(natt: bool, datagram: bytes) -> None:
    rig = Rig()
    path = Path(HOME.peer, Address(SERVER.host, 4500 if natt else 500), natt)
    rig.plane.send_ike(path, b"ISAKMP")
    assert rig.take_sent() == [(path, datagram)]
    counters = rig.plane.counters()
    assert (counters.datagrams_out, counters.octets_out) == (1, len(datagram))


def test_a_keepalive_and_a_moved_client() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.send_keepalive(host.client)
    rig.plane.move_client(host.client, AWAY)
    rig.plane.send_keepalive(host.client)
    assert rig.take_sent() == [(HOME, b"\xff"), (AWAY, b"\xff")]
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    assert rig.take_sent()[0][0] == AWAY


def test_ppp_frames_go_out_as_they_are() -> None:
    rig = Rig()
    host = Host(rig, bound=False)
    rig.plane.send_ppp(host.client, host.tunnel, host.session, b"\xff\x03\xc0\x21LCP")
    assert host.down_l2tp() == [struct.pack(">HHH", 2, 7, 9) + b"\xff\x03\xc0\x21LCP"]


def test_our_own_packets_pass_every_policy_and_count_nowhere() -> None:
    rig = Rig()
    host = Host(rig, policy=Policy(denied=(IPv4Network("0.0.0.0/0"),), rate_down=1))
    packet = udp("10.8.0.254", host.address, bytes(2000), ports=(67, 68))
    rig.plane.send_ip(host.client, host.tunnel, host.session, packet)
    assert b"".join(piece[20:] for piece in host.down_ip()) == packet[20:]
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert counters.packets_down == 0


def test_unknown_ids_are_ignored() -> None:
    rig = Rig()
    plane, nobody = rig.plane, (ClientId(5), TunnelId(6), SessionId(7))
    host = Host(rig, 1)
    plane.activate_sa(Spi(999))
    plane.remove_sa(Spi(999))
    plane.move_client(nobody[0], HOME)
    plane.remove_client(nobody[0])
    plane.remove_link(*nobody)
    plane.remove_link(host.client, host.tunnel, SessionId(1))
    plane.unbind_session(*nobody)
    plane.set_policy(*nobody, Policy())
    plane.send_keepalive(nobody[0])
    plane.send_l2tp(nobody[0], b"x")
    plane.send_ppp(*nobody, b"x")
    plane.send_ip(*nobody, udp(INTERNET, host.address, b"x"))
    plane.add_link(LinkSpec(*nobody, TunnelId(1), SessionId(1)))
    plane.bind_session(replace(host.binding(), client=nobody[0]))
    assert plane.session_counters(*nobody) is None
    assert rig.sent == []
    assert rig.drops == {}


def test_an_unbound_session_neither_sends_nor_receives_ip_but_ppp() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.unbind_session(host.client, host.tunnel, host.session)
    rig.plane.set_policy(host.client, host.tunnel, host.session, Policy())
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    rig.plane.send_ip(host.client, host.tunnel, host.session, udp(INTERNET, host.address, b"x"))
    host.up_ip(udp(host.address, INTERNET, b"x"))
    assert rig.sent == []
    assert rig.drops == {"no_session_for_address": 1, "ppp_phase": 1}
    host.up_frame(b"\xff\x03\xc0\x21")
    assert rig.plane.session_counters(host.client, host.tunnel, host.session) is not None


def test_a_removed_client_leaves_nothing() -> None:
    rig = Rig()
    host, other = Host(rig, 1), Host(rig, 2)
    datagram = host.sealers[host.spi].seal(udp_header(b"") + b"")
    rig.plane.remove_client(host.client)
    rig.plane.receive_datagram(HOME, datagram)
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.sent == []
    assert rig.drops == {"unknown_spi": 1, "no_session_for_address": 1}
    packet = udp(INTERNET, other.address, b"x")
    rig.plane.transmit_ip(packet)
    assert other.down_ip() == [packet]
    again = Host(rig, 1)
    rig.plane.transmit_ip(udp(INTERNET, again.address, b"x"))
    assert len(again.down_ip()) == 1


def test_a_removed_link_leaves_nothing() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.remove_link(host.client, host.tunnel, host.session)
    assert rig.plane.session_counters(host.client, host.tunnel, host.session) is None
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    assert rig.drops == {"no_session_for_address": 1}
    rig.plane.send_l2tp(host.client, b"CDN goes out still")
    assert host.down_l2tp() == [b"CDN goes out still"]
