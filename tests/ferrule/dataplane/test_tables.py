"""IPsec SAs over their life: first packet, rekey, roaming, limits, take-over, short tags."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ferrule.core.ids import ClientId, SessionId, Spi, TunnelId
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import (
    ClientState,
    FirstPacket,
    L2tpControl,
    LifetimeReached,
    LinkSpec,
    PeerMoved,
    SaState,
    SessionCounters,
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


def test_a_take_over_goes_on_with_the_tags_that_the_peer_has() -> None:
    rig = Rig()
    host = Host(rig, suite=CBC_SHA256)
    rig.plane.remove_client(host.client)
    rig.plane.install_sa(host.sa_spec(host.spi, active=True, seen=True, short_tags=True))
    assert tag_octets(rig, host) == 12
    host.install(active=True)  # and so does a rekey, whose spec does not know
    assert tag_octets(rig, host) == 12
    state = rig.plane.client_state(host.client)
    assert state is not None
    assert state.short_tags


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


# --- what the plane knows of a client, and a plane that goes on with it


def state_of(rig: Rig, host: Host) -> ClientState:
    state = rig.plane.client_state(host.client)
    assert state is not None
    return state


def move_over(host: Host, other: Rig) -> ClientState:
    """The host's client, as another plane goes on with it, and what was said of it."""
    state = state_of(host.rig, host)
    for sa in state.sas:
        spec = host.sa_spec(
            sa.inbound_spi,
            path=state.path,
            active=sa.active,
            first_sequence=sa.next_sequence,
            window_top=sa.window_top,
            octets_in=sa.octets_in,
            octets_out=sa.octets_out,
            seen=sa.seen,
            peer_port=state.peer_port,
            short_tags=state.short_tags,
        )
        other.plane.install_sa(spec)
    for tunnel, session, ns, counters in state.links:
        ids = host.client, tunnel, session
        other.plane.add_link(LinkSpec(*ids, TunnelId(7), SessionId(9), host.sequencing))
        other.plane.restore_link(*ids, ns, counters.octets_up, counters.octets_down)
    host.rig.plane.remove_client(host.client)
    host.rig = other
    return state


def test_a_new_client_has_an_empty_state() -> None:
    rig = Rig()
    host = Host(rig)
    now = rig.clock.now
    assert state_of(rig, host) == ClientState(
        HOME,
        1701,
        short_tags=False,
        sas=(SaState(host.spi, 1, 0, 0, 0, seen=False, active=True),),
        links=((host.tunnel, host.session, 0, SessionCounters(last_up=now, last_data=now)),),
    )


def test_the_state_has_what_became_of_it() -> None:
    rig = Rig()
    host = Host(rig, sequencing=True)
    packet = udp(host.address, INTERNET, b"question")
    host.up_ip(packet)
    host.up_l2tp(CONTROL, port=40001, path=AWAY)
    second = host.install(active=True)
    host.sealers[second].sequence = 77
    host.up(PAYLOAD, path=AWAY._replace(via="pod-b"), spi=second)
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"answer"))
    rig.plane.send_ppp(host.client, host.tunnel, host.session, b"\xc0\x21")
    header_octets = 8 + 6 + 4
    expected = ClientState(
        AWAY._replace(via="pod-b"),
        1701,
        short_tags=False,
        sas=(
            SaState(
                host.spi,
                1,
                2,
                header_octets + len(packet) + len(PAYLOAD),
                0,
                seen=True,
                active=False,
            ),
            SaState(
                second,
                3,
                77,
                len(PAYLOAD),
                (8 + 10 + 4 + 34) + (8 + 10 + 2),
                seen=True,
                active=True,
            ),
        ),
        links=(
            (
                host.tunnel,
                host.session,
                2,
                SessionCounters(1, 1, len(packet), 34, rig.clock.now, rig.clock.now),
            ),
        ),
    )
    assert state_of(rig, host) == expected


def test_a_state_is_a_copy() -> None:
    rig = Rig()
    host = Host(rig, sequencing=True)
    before = state_of(rig, host)
    host.up_ip(udp(host.address, INTERNET, b"x"))
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    assert before.sas[0].next_sequence == 1
    assert before.links[0][2:] == (0, SessionCounters(last_up=1000.0, last_data=1000.0))


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("sequencing", [False, True])
def test_a_client_goes_on_in_another_plane(suite: EspSuite, sequencing: bool) -> None:
    first, second = Rig(), Rig()
    host = Host(first, suite=suite, sequencing=sequencing)
    host.sealers[host.spi].cut_tags(short=True)
    captured = [host.up_ip(udp(host.address, INTERNET, bytes([n]))) for n in range(5)]
    captured.append(host.up_l2tp(CONTROL, port=50123))
    first.plane.transmit_ip(udp(INTERNET, host.address, b"first"))
    assert len(host.down_ip()) == 1
    state = move_over(host, second)
    assert first.plane.client_state(host.client) is None
    assert state_of(second, host) == replace(state, links=state_of(second, host).links)
    counters = state_of(second, host).links[0][3]
    assert (counters.octets_up, counters.octets_down) == (5 * 29, 33)

    for datagram in captured:
        second.plane.receive_datagram(HOME, datagram)
    assert second.drops == {"esp_replay": 6}
    second.plane.bind_session(host.binding())
    answer = udp(INTERNET, host.address, b"second")
    second.plane.transmit_ip(answer)
    ((path, datagram),) = second.take_sent()
    assert path == HOME
    assert int.from_bytes(datagram[4:8], "big") == 2
    payload = host.open(datagram)
    assert payload[:4] == (1701).to_bytes(2, "big") + (50123).to_bytes(2, "big")
    assert payload[-len(answer) :] == answer
    assert not sequencing or payload[14:16] == b"\0\1"  # Ns
    question = udp(host.address, INTERNET, b"question")
    host.up_ip(question)
    assert second.delivered == [question]
    assert second.take() == []  # no FirstPacket, no PeerMoved
    assert first.sent == []


def test_an_octet_limit_goes_on() -> None:
    first, second = Rig(), Rig()
    host = Host(first, life_octets=len(PAYLOAD) * 10)
    for _ in range(5):
        host.up(PAYLOAD)
    move_over(host, second)
    told = []
    for number in range(6, 12):
        host.up(PAYLOAD)
        told += [number] * len(of_kind(second, LifetimeReached))
    assert told == [9]


def test_an_sa_that_the_peer_has_not_used_is_still_awaited() -> None:
    first, second = Rig(), Rig()
    host = Host(first)
    host.up(PAYLOAD)
    waiting = host.install()
    move_over(host, second)
    assert sends_on(second, host) == host.spi
    host.up(PAYLOAD, spi=waiting)
    assert of_kind(second, FirstPacket) == [FirstPacket(host.client, waiting)]
    assert sends_on(second, host) == waiting


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_older_sa_sends_again_when_the_newer_goes(order: tuple[int, int]) -> None:
    rig = Rig()
    host = Host(rig)
    second = host.install()
    rig.plane.remove_client(host.client)
    specs = (
        host.sa_spec(host.spi, seen=True),
        host.sa_spec(second, seen=True, active=True),
    )
    for index in order:
        rig.plane.install_sa(specs[index])
    assert sends_on(rig, host) == second
    host.up(PAYLOAD, spi=host.spi)
    assert sends_on(rig, host) == second
    rig.plane.remove_sa(second)
    assert sends_on(rig, host) == host.spi


def test_a_rekey_knows_less_of_the_client_than_the_plane() -> None:
    rig = Rig()
    host = Host(rig)
    host.up_l2tp(CONTROL, port=50123)
    host.install(active=True)
    assert state_of(rig, host).peer_port == 50123


def test_what_the_plane_has_not_is_not_restored() -> None:
    rig = Rig()
    host = Host(rig)
    rig.plane.restore_link(host.client, host.tunnel, SessionId(999), 5, 6, 7)
    rig.plane.restore_link(ClientId(999), host.tunnel, host.session, 5, 6, 7)
    assert rig.plane.client_state(ClientId(999)) is None
    assert state_of(rig, host).links[0][2] == 0


def test_ns_is_a_number_of_sixteen_bits() -> None:
    rig = Rig()
    host = Host(rig, sequencing=True)
    rig.plane.restore_link(host.client, host.tunnel, host.session, 0x1FFFF, 6, 7)
    assert state_of(rig, host).links[0][2] == 0xFFFF
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    assert state_of(rig, host).links[0][2] == 0


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
