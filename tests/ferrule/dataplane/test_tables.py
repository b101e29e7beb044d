"""IPsec SAs over their life: first packet, rekey, roaming, limits, take-over, short tags."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ferrule.core.ids import SessionId, Spi, TunnelId
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import (
    FirstPacket,
    L2tpControl,
    LifetimeReached,
    LinkSpec,
    PeerMoved,
)
from ferrule.esp.packet import EspOpener, EspSealer
from support.dataplane import (
    AWAY,
    CBC_SHA1,
    CBC_SHA256,
    GCM,
    HOME,
    INTERNET,
    SUITES,
    Host,
    Rig,
    udp,
    udp_header,
)

CONTROL = bytes.fromhex("c8020014000000000000000080080000") + bytes(4)
PAYLOAD = udp_header(CONTROL) + CONTROL


def of_kind(rig: Rig, kind: type) -> list[object]:
    return [punt for punt in rig.take() if isinstance(punt, kind)]


def sends_on(rig: Rig, host: Host) -> int:
    """The inbound SPI of the pair on which the plane sends now."""
    rig.plane.send_l2tp(host.client, b"probe")
    ((_, datagram),) = rig.take_sent()
    return int.from_bytes(datagram[:4], "big") - 0x10000


# --- first packet and activation


def test_the_first_good_packet_of_an_sa_is_told_once() -> None:
    rig = Rig()
    host = Host(rig)
    forged = bytearray(host.sealers[host.spi].seal(PAYLOAD))
    forged[-1] ^= 1
    rig.plane.receive_datagram(HOME, bytes(forged))
    assert rig.take() == []
    host.up(PAYLOAD)
    host.up(PAYLOAD)
    assert rig.take() == [
        FirstPacket(host.client, host.spi),
        L2tpControl(host.client, CONTROL),
        L2tpControl(host.client, CONTROL),
    ]


def test_nothing_is_sent_before_an_sa_is_activated() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.remove_sa(host.spi)
    second = host.install()
    rig.plane.send_l2tp(host.client, b"x")
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    assert rig.sent == []
    assert rig.drops == {"no_ipsec_sa": 2}
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert counters.packets_down == 0
    rig.plane.activate_sa(second)
    assert sends_on(rig, host) == second


def test_a_rekey_moves_by_activation() -> None:
    rig = Rig()
    host = Host(rig)
    second = host.install()
    assert sends_on(rig, host) == host.spi
    rig.plane.activate_sa(second)
    assert sends_on(rig, host) == second
    host.up(PAYLOAD, spi=host.spi)  # the old one still receives, and stays the old one
    assert sends_on(rig, host) == second


def test_a_rekey_moves_by_the_first_packet() -> None:
    rig = Rig()
    host = Host(rig)
    host.up(PAYLOAD)
    second = host.install()
    host.up(PAYLOAD, spi=second)
    assert sends_on(rig, host) == second
    assert of_kind(rig, FirstPacket)[-1] == FirstPacket(host.client, second)


def test_a_first_packet_on_an_sa_that_was_active_moves_nothing_back() -> None:
    rig = Rig()
    host = Host(rig)
    second = host.install(active=True)
    host.up(PAYLOAD, spi=host.spi)
    assert sends_on(rig, host) == second


def test_the_last_activated_that_is_left_sends() -> None:
    rig = Rig()
    host = Host(rig)
    second, third = host.install(active=True), host.install(active=True)
    waiting = host.install()
    rig.plane.activate_sa(second)
    assert sends_on(rig, host) == second
    rig.plane.remove_sa(second)
    assert sends_on(rig, host) == third
    rig.plane.remove_sa(waiting)
    rig.plane.remove_sa(third)
    assert sends_on(rig, host) == host.spi
    rig.plane.remove_sa(host.spi)
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.drops == {"no_ipsec_sa": 1}


def test_an_spi_that_is_installed_again_begins_anew() -> None:
    rig = Rig()
    host = Host(rig)
    host.up(PAYLOAD)
    rig.plane.install_sa(host.sa_spec(host.spi, active=True))
    host.sealers[host.spi].sequence = 1
    host.up(PAYLOAD)
    assert len(of_kind(rig, FirstPacket)) == 2
    assert sends_on(rig, host) == host.spi


def test_keys_of_the_wrong_length_are_a_bug() -> None:
    rig = Rig()
    host = Host(rig)
    with pytest.raises(ValueError, match="KEYMAT"):
        rig.plane.install_sa(host.sa_spec(0x999, inbound_key=Secret(bytes(3))))
    assert sends_on(rig, host) == host.spi


# --- roaming


def test_a_newer_packet_from_elsewhere_moves_the_client() -> None:
    rig = Rig()
    host = Host(rig)
    host.up(PAYLOAD)
    rig.take()
    host.up(PAYLOAD, path=AWAY)
    assert rig.take()[0] == PeerMoved(host.client, AWAY)
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.take_sent()[0][0] == AWAY
    host.up(PAYLOAD, path=AWAY)
    assert of_kind(rig, PeerMoved) == []


def test_a_late_packet_a_replay_or_a_forgery_moves_nothing() -> None:
    rig = Rig()
    host = Host(rig)
    sealer = host.sealers[host.spi]
    late = sealer.seal(PAYLOAD)
    newer = host.up(PAYLOAD)
    rig.plane.receive_datagram(AWAY, newer)
    rig.plane.receive_datagram(AWAY, late)
    forged = bytearray(sealer.seal(PAYLOAD))
    forged[-1] ^= 1
    rig.plane.receive_datagram(AWAY, bytes(forged))
    assert of_kind(rig, PeerMoved) == []
    assert rig.drops == {"esp_replay": 1, "esp_tag": 1}
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.take_sent()[0][0] == HOME


def test_a_rekey_brings_the_path_that_ike_proved() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.install_sa(host.sa_spec(0x999, path=AWAY))
    rig.plane.send_l2tp(host.client, b"x")
    assert rig.take_sent()[0][0] == AWAY


# --- limits


@pytest.mark.parametrize("up", [True, False])
def test_the_octet_limit_is_told_once_at_four_fifths(up: bool) -> None:
    rig = Rig()
    host = Host(rig, life_octets=len(PAYLOAD) * 10)
    told = []
    for number in range(1, 21):
        if up:
            host.up(PAYLOAD)
        else:
            rig.plane.send_l2tp(host.client, CONTROL)
        if of_kind(rig, LifetimeReached) == [LifetimeReached(host.client, host.spi)]:
            told.append(number)
    assert told == [9]


def test_sequence_numbers_that_run_low_are_told_once() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.install_sa(host.sa_spec(host.spi, active=True, first_sequence=0xF0000000 - 1))
    rig.plane.send_l2tp(host.client, b"x")
    assert of_kind(rig, LifetimeReached) == []
    rig.plane.send_l2tp(host.client, b"x")
    assert of_kind(rig, LifetimeReached) == [LifetimeReached(host.client, host.spi)]
    rig.plane.send_l2tp(host.client, b"x")
    assert of_kind(rig, LifetimeReached) == []


def test_the_peers_sequence_numbers_count_too() -> None:
    rig = Rig()
    host = Host(rig)
    host.sealers[host.spi].sequence = 0xF0000000
    host.up(PAYLOAD)
    assert of_kind(rig, LifetimeReached) == [LifetimeReached(host.client, host.spi)]


def test_no_sequence_number_comes_twice() -> None:
    rig = Rig()
    host = Host(rig, suite=GCM)
    rig.plane.install_sa(host.sa_spec(host.spi, active=True, first_sequence=0xFFFFFFFF))
    for _ in range(3):
        rig.plane.send_l2tp(host.client, b"x")
    assert len(rig.sent) == 1
    assert rig.drops == {"sequence_exhausted": 2}


def test_a_take_over_goes_on_where_it_was_reserved() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.install_sa(
        host.sa_spec(host.spi, active=True, first_sequence=70_000, window_top=5_000, seen=True)
    )
    sealer = host.sealers[host.spi]
    sealer.sequence = 4_999
    host.up(PAYLOAD)
    host.up(PAYLOAD)
    assert rig.drops == {"esp_replay": 2}
    host.up(PAYLOAD)
    assert rig.take() == [L2tpControl(host.client, CONTROL)]  # no FirstPacket: it was there
    rig.plane.send_l2tp(host.client, b"x")
    ((_, datagram),) = rig.take_sent()
    assert int.from_bytes(datagram[4:8], "big") == 70_000


# --- QUIRK(android)


def tag_octets(rig: Rig, host: Host) -> int:
    """Of what the plane sends: 16, or 12 if it answers with short tags."""
    rig.plane.send_l2tp(host.client, bytes(6))  # with UDP header and trailer one block
    ((_, datagram),) = rig.take_sent()
    return len(datagram) - 8 - 16 - 16


def test_the_answer_has_tags_as_long_as_the_peers() -> None:
    rig = Rig()
    host = Host(rig, suite=CBC_SHA256)
    assert tag_octets(rig, host) == 16
    host.sealers[host.spi].cut_tags(short=True)
    host.up(PAYLOAD)
    host.up(PAYLOAD)
    assert tag_octets(rig, host) == 12
    assert rig.drops == {}


def test_a_rekeyed_sa_sends_as_its_predecessor_until_it_knows() -> None:
    rig = Rig()
    host = Host(rig, suite=CBC_SHA256)
    host.sealers[host.spi].cut_tags(short=True)
    host.up(PAYLOAD)
    second = host.install(active=True)
    assert tag_octets(rig, host) == 12
    host.up(PAYLOAD, spi=second)  # but this one has whole tags
    assert tag_octets(rig, host) == 16
    assert len(of_kind(rig, FirstPacket)) == 2


def test_a_cut_tag_on_the_way_does_not_stick() -> None:
    rig = Rig()
    host = Host(rig, suite=CBC_SHA256)
    rig.plane.receive_datagram(HOME, host.sealers[host.spi].seal(PAYLOAD)[:-4])
    assert tag_octets(rig, host) == 12
    host.up(PAYLOAD)
    assert tag_octets(rig, host) == 16
    rig.plane.receive_datagram(HOME, host.sealers[host.spi].seal(PAYLOAD)[:-4])
    assert tag_octets(rig, host) == 16
    assert rig.drops == {"esp_malformed": 1}
    assert len(of_kind(rig, FirstPacket)) == 1


# --- two planes, back to back


def as_client(host: Host) -> Rig:
    """A plane in the client's role, joined to the server that `host` is a client of."""
    rig = Rig()
    spec = host.sa_spec(host.spi, active=True)
    spec.inbound_spi, spec.outbound_spi = spec.outbound_spi, spec.inbound_spi
    spec.inbound_key, spec.outbound_key = spec.outbound_key, spec.inbound_key
    rig.plane.install_sa(spec)
    ids = TunnelId(7), SessionId(9)
    rig.plane.add_link(LinkSpec(host.client, *ids, host.tunnel, host.session))
    rig.plane.bind_session(replace(host.binding(), tunnel=ids[0], session=ids[1], default=True))
    return rig


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_both_roles_understand_each_other(suite: EspSuite) -> None:
    server = Rig()
    host = Host(server, suite=suite)
    client = as_client(host)
    question = udp(host.address, INTERNET, b"question")
    answer = udp(INTERNET, host.address, b"answer")
    client.plane.transmit_ip(question)
    for _, datagram in client.take_sent():
        server.plane.receive_datagram(HOME, datagram)
    assert server.delivered == [question]
    server.plane.transmit_ip(answer)
    for _, datagram in server.take_sent():
        client.plane.receive_datagram(HOME, datagram)
    assert client.delivered == [answer]
    assert server.drops == client.drops == {}


def test_the_far_end_of_the_tests_is_the_same_esp() -> None:
    suite = CBC_SHA1
    keymat = Secret(bytes(suite.keymat_octets))
    sealer, opener = EspSealer(suite, keymat, Spi(1)), EspOpener(suite, keymat, Spi(1))
    assert opener.open(sealer.seal(PAYLOAD)) == PAYLOAD
