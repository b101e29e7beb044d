"""A client goes to another gateway, by octets, at all moments of its life, and notices nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as File

import pytest

from ferrule.client.initiator import Life
from ferrule.cluster.shards import SHARDS
from ferrule.core.errors import Malformed
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import (
    SEQUENCE_MAX,
    LifetimeReached,
    ReservationLow,
)
from ferrule.gateway import effects as g
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import GOODBYE_SECONDS
from ferrule.gateway.image import (
    RESERVED_FIRST,
    VERSION,
    ClientImage,
    build_image,
    parse_image,
    with_paths,
)
from ferrule.gateway.records import Records
from ferrule.gateway.settings import GatewaySettings
from ferrule.ike.isakmp_sa import IsakmpSa
from support.pair import FAST_PHASE2, Pair, Seat, SecondCall, Weather, gateway_settings, user

VECTORS = File(__file__).parents[2] / "vectors" / "checkpoint.json"
KILLED = pytest.mark.parametrize("killed", [False, True], ids=["released", "killed"])
SHORT_LIVES = {"offer_ike_seconds": 200, "offer_esp_seconds": 120}


def up(settings: GatewaySettings | None = None, **client: object) -> tuple[Pair, Seat]:
    pair = Pair(clustered=True, settings=settings, users=[user("alice"), user("bob")])
    seat = Seat(pair, **client).connect()  # type: ignore[arg-type]
    assert seat.ping()
    return pair, seat


def the_client(pair: Pair) -> Client:
    (client,) = pair.gateway.gateway.clients.values()
    return client


def sas(pair: Pair) -> list[IsakmpSa]:
    return list(pair.gateway.gateway.ike._table.isakmp.values())


def rekey_by_us(pair: Pair) -> None:
    client = the_client(pair)
    punt = LifetimeReached(client.id, list(client.ipsec_sas)[-1])
    pair.gateway.driver.command(lambda now: pair.gateway.gateway.receive(punt, now))


def rekeys(pair: Pair) -> tuple[int, int]:
    record = pair.gateway.record
    return sum(u.rekey for u in record.isakmp_ups), sum(u.rekey for u in record.ipsec_ups)


def goes_on(pair: Pair, seat: Seat) -> None:
    """Pings, quiet minutes with everything that looks after the peer, new keys, a new call."""
    record = pair.gateway.record
    assert seat.ping()
    for _ in range(4):
        pair.loop.run(100.0)
        assert seat.ended is None
        assert seat.ping()
    before = rekeys(pair)[1]
    rekey_by_us(pair)
    assert pair.loop.run(5.0, lambda: rekeys(pair)[1] > before)
    assert seat.ping()
    assert record.ends == []
    assert record.failures == []


def takes_another_call(pair: Pair, seat: Seat) -> None:
    other = SecondCall(seat)
    assert pair.loop.run(5.0, lambda: other.address is not None)
    assert seat.ping()


# --- moments


def just_up(pair: Pair, seat: Seat) -> None:
    del pair, seat


def after_a_rekey_of_phase_2(pair: Pair, seat: Seat) -> None:
    rekey_by_us(pair)
    pair.loop.run(1.0)
    assert rekeys(pair) == (0, 1)
    assert seat.ping()


def after_a_rekey_of_phase_1(pair: Pair, seat: Seat) -> None:
    initiator = seat.host._initiator
    effects = initiator._on_ike(initiator._ike.initiate(initiator._path, pair.loop.time()), 0.0)
    pair.act(seat.host, lambda host: host._execute(effects))
    pair.loop.run(1.0)
    assert rekeys(pair) == (1, 0)
    assert len(sas(pair)) == 2


def with_two_calls(pair: Pair, seat: Seat) -> None:
    other = SecondCall(seat)
    assert pair.loop.run(1.0, lambda: other.address is not None)
    assert len(the_client(pair).calls) == 2


def moved_to_another_address(pair: Pair, seat: Seat) -> None:
    pair.network.rebind("10.0.0.2")
    assert seat.ping()
    assert pair.gateway.record.moves == 1


def after_hours(pair: Pair, seat: Seat) -> None:
    pair.loop.run(2 * 3600.0)
    assert seat.ping()


MOMENTS: list[Callable[[Pair, Seat], None]] = [
    just_up,
    after_a_rekey_of_phase_2,
    after_a_rekey_of_phase_1,
    with_two_calls,
    moved_to_another_address,
    after_hours,
]


@KILLED
@pytest.mark.parametrize("suite", FAST_PHASE2, ids=str)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_goes_on(
    moment: Callable[[Pair, Seat], None], suite: EspSuite, *, killed: bool
) -> None:
    pair, seat = up(nat="198.51.100.1", offer_phase2=(suite,))
    moment(pair, seat)
    client = the_client(pair)
    calls = len(client.calls)
    pair.move(killed=killed)
    moved = the_client(pair)
    assert (moved.uid, moved.shard) == (client.uid, client.shard)
    assert len(moved.calls) == calls
    goes_on(pair, seat)
    pair.move(killed=not killed)
    goes_on(pair, seat)
    assert len(the_client(pair).calls) == calls
    takes_another_call(pair, seat)


@KILLED
def test_what_is_sent_goes_over_the_same_sa(*, killed: bool) -> None:
    pair, seat = up()
    after_a_rekey_of_phase_2(pair, seat)

    def sending() -> list[bool]:
        state = pair.gateway.plane.client_state(the_client(pair).id)
        assert state is not None
        return [sa.active for sa in sorted(state.sas, key=lambda sa: newest.index(sa.inbound_spi))]

    newest = list(the_client(pair).ipsec_sas)[::-1]
    assert sending() == [True, False]
    pair.move(killed=killed)
    assert sending() == [True, False]


@KILLED
def test_the_clients_own_rekeys_of_both_phases(*, killed: bool) -> None:
    pair, seat = up(**SHORT_LIVES)
    pair.move(killed=killed)
    pair.loop.run(1200.0)
    isakmp, ipsec = rekeys(pair)
    assert isakmp >= 6
    assert ipsec >= 10
    assert seat.ping()
    assert seat.ended is None
    spis = the_client(pair).ipsec_sas
    names = pair.gateway.gateway._names
    assert {names.shard_of_spi(spi) for spi in spis} == {the_client(pair).shard}
    assert pair.gateway.gateway.foreign_cookies(the_client(pair)) == ()


@KILLED
@pytest.mark.parametrize("asking", ["gateway", "client"])
def test_dead_peer_detection(asking: str, *, killed: bool) -> None:
    """No Hello, and hardly an echo: nothing else shows life. One asks, and no other."""
    settings = quiet()
    seconds = {side: 20.0 if side == asking else 0.0 for side in ("gateway", "client")}
    settings = replace(settings, ike=replace(settings.ike, dpd_seconds=seconds["gateway"]))
    pair, seat = up(settings, dpd_seconds=seconds["client"])

    def asked() -> int:
        (sa,) = sas(pair)
        return sa.dpd_sequence if asking == "gateway" else sa.peer_dpd_sequence

    pair.loop.run(100.0)
    before = asked()
    assert before > 0
    pair.move(killed=killed)
    pair.loop.run(100.0)
    assert before < asked() <= before + 5
    assert seat.ping()


@KILLED
def test_a_question_of_dead_peer_detection_is_open(*, killed: bool) -> None:
    pair, seat = up(quiet())
    pair.network.cut = True
    assert pair.loop.run(120.0, lambda: sas(pair)[0].dpd_tries == 3)
    pair.move(killed=killed)
    pair.network.cut = False
    goes_on(pair, seat)


def test_a_dead_client_is_found_out_where_it_went() -> None:
    pair, _ = up(quiet())
    pair.network.cut = True
    pair.loop.run(20.0)
    pair.move()
    assert pair.loop.run(120.0, lambda: pair.gateway.rows == 0)
    assert [ended.reason for ended in pair.gateway.record.ends] == [Reason.PEER_DEAD]


def quiet() -> GatewaySettings:
    settings = gateway_settings()
    return replace(
        settings,
        l2tp=replace(settings.l2tp, hello_seconds=100_000.0),
        ppp=replace(settings.ppp, echo_seconds=0.0),
    )


@KILLED
@pytest.mark.parametrize("side", ["client", "gateway"])
def test_goodbye(side: str, *, killed: bool) -> None:
    pair, seat = up()
    pair.move(killed=killed)
    if side == "client":
        pair.act(seat.host, lambda host: host.close(Reason.PEER_CLOSED))
    else:
        (call,) = pair.gateway.gateway.sessions()
        key, gateway = call.key, pair.gateway.gateway
        pair.gateway.driver.command(lambda now: gateway.close_session(key, Reason.ADMIN_KICK, now))
    pair.loop.run(GOODBYE_SECONDS + 40.0)
    assert seat.host.life is Life.CLOSED
    assert len(pair.gateway.record.ends) == 1
    assert pair.gateway.rows == 0
    assert pair.gateway.images == {}


def test_in_the_midst_of_a_goodbye() -> None:
    pair, seat = up()
    (call,) = pair.gateway.gateway.sessions()
    key, gateway = call.key, pair.gateway.gateway
    pair.network.cut = True
    pair.gateway.driver.command(lambda now: gateway.close_session(key, Reason.ADMIN_KICK, now))
    pair.move(killed=True)
    pair.network.cut = False
    assert pair.loop.run(10.0, lambda: seat.ended is not None)
    pair.loop.run(GOODBYE_SECONDS + 60.0)
    assert pair.gateway.rows == 0


@pytest.mark.parametrize("milliseconds", range(26, 130, 4))
@KILLED
def test_in_the_midst_of_a_set_up(milliseconds: int, *, killed: bool) -> None:
    """From its first ISAKMP SA on, whatever is half done is done elsewhere."""
    pair = Pair(clustered=True)
    seat = Seat(pair)
    pair.loop.run(milliseconds / 1000)
    assert len(pair.gateway.gateway.clients) == 1
    pair.move(killed=killed)
    seat.connect()
    assert seat.ping()
    assert not pair.gateway.record.failures
    assert not pair.gateway.record.ends


@KILLED
def test_facts_and_counters_go_along(*, killed: bool) -> None:
    pair, _ = up()
    (before,) = pair.gateway.gateway.sessions()
    plane = pair.gateway.plane
    counted = plane.session_counters(*before.key)
    assert counted is not None
    assert counted.octets_up > 0
    if killed:
        pair.gateway.gateway.dirty.add(before.key.client)  # as the sweep does
        pair.gateway.driver.drain()
    pair.move(killed=killed)
    (after,) = pair.gateway.gateway.sessions()
    facts = replace(after.facts, client=before.facts.client)
    assert facts.up_at == pytest.approx(before.facts.up_at)
    assert facts.started == pytest.approx(before.facts.started)
    assert replace(facts, up_at=0.0, started=0.0) == replace(before.facts, up_at=0.0, started=0.0)
    counters = pair.gateway.plane.session_counters(*after.key)
    assert counters is not None
    assert (counters.octets_up, counters.octets_down) == (counted.octets_up, counted.octets_down)
    accounts = pair.gateway.accounts
    assert accounts.sessions.of_user("alice") == (after.key,)
    assert accounts.pools.holder(after.facts.address) == after.key  # type: ignore[arg-type]
    assert after.policy == before.policy
    assert accounts.stale(0.0) == ()


def test_a_time_out_counts_from_the_sessions_start() -> None:
    pair, seat = up(replace(gateway_settings(), session_timeout=300.0))
    started = pair.loop.time()
    pair.loop.run(200.0)
    pair.move()
    assert pair.loop.run(200.0, lambda: seat.ended is not None)
    assert pair.loop.time() - started < 301.0


# --- images that are older than what was said since


@pytest.mark.parametrize("hello_seconds", [7.0, 100_000.0], ids=["we said Hello", "the client did"])
def test_an_image_that_is_a_message_old(hello_seconds: float) -> None:
    settings = gateway_settings()
    settings = replace(settings, l2tp=replace(settings.l2tp, hello_seconds=hello_seconds))
    pair, seat = up(settings)
    images = dict(pair.gateway.images)

    def heights() -> tuple[int, int]:
        (tunnel,) = the_client(pair)._l2tp._tunnels.values()
        return tunnel.channel._ns, tunnel.channel._nr

    ns, nr = heights()
    old = parse_image(next(iter(images.values()))).tunnels[0].channel
    assert (old.ns, old.nr) == (ns, nr)
    assert pair.loop.run(100.0, lambda: heights() != (ns, nr))
    pair.loop.run(1.0)
    pair.move(killed=True, images=images)
    goes_on(pair, seat)


@KILLED
def test_what_the_client_has_not_acknowledged_is_said_again(*, killed: bool) -> None:
    settings = gateway_settings()
    pair, seat = up(replace(settings, l2tp=replace(settings.l2tp, hello_seconds=7.0)))
    pair.network.cut = True
    (tunnel,) = the_client(pair)._l2tp._tunnels.values()
    assert pair.loop.run(10.0, lambda: not tunnel.channel.idle)
    pair.network.cut = False
    pair.move(killed=killed)
    (tunnel,) = the_client(pair)._l2tp._tunnels.values()
    assert not tunnel.channel.idle
    assert pair.loop.run(0.1, lambda: tunnel.channel.idle)  # at once
    goes_on(pair, seat)


# --- sequence numbers


def esp_numbers(sent: list[bytes]) -> list[bytes]:
    """SPI and sequence number of each ESP packet."""
    return [data[:8] for data in sent if len(data) > 8 and any(data[:4])]


@KILLED
def test_no_sequence_number_comes_twice(*, killed: bool) -> None:
    pair, seat = up()
    sent: list[bytes] = []
    for _ in range(4):
        pair.gateway.sent = sent
        images = dict(pair.gateway.images)
        assert seat.ping()
        pair.loop.run(50.0)
        pair.move(killed=killed, images=images if killed else None)
    numbers = esp_numbers(sent)
    assert len(numbers) > 10
    assert len(set(numbers)) == len(numbers)


def test_what_was_received_before_is_a_replay_after() -> None:
    pair, seat = up()
    heard: list[tuple[Path, bytes]] = []
    receive = pair.gateway.plane.receive_datagram

    def tap(path: Path, data: bytes) -> None:
        heard.append((path, data))
        receive(path, data)

    pair.gateway.plane.receive_datagram = tap  # type: ignore[method-assign]
    for _ in range(3):
        assert seat.ping()
    pair.move()
    plane, before = pair.gateway.plane, pair.gateway.pings
    esp = [(path, data) for path, data in heard if any(data[:4]) and len(data) > 8]
    assert len(esp) >= 3
    for path, data in esp:
        plane.receive_datagram(path, data)
    assert plane.counters().drops == {Reason.ESP_REPLAY.value: len(esp)}
    assert pair.gateway.pings == before
    assert seat.ping()


def test_a_planned_move_gives_no_numbers_up() -> None:
    pair, _ = up()
    (image,) = (parse_image(octets) for octets in pair.gateway.release().values())
    assert [one.reserved < 100 for one in image.pairs] == [True]


def test_numbers_are_reserved_before_they_are_used() -> None:
    pair, _ = up()
    gateway, client = pair.gateway.gateway, the_client(pair)
    (spi,) = client.ipsec_sas
    image = gateway.export(client.id, None, pair.loop.time())
    assert image.pairs[0].reserved == RESERVED_FIRST
    gateway.dirty.clear()
    low = ReservationLow(client.id, spi, RESERVED_FIRST // 2, rate=10_000.0)
    assert gateway.receive(low, pair.loop.time()) == [
        g.Reserve(spi, RESERVED_FIRST // 2 + 3_000_000)
    ]
    assert gateway.dirty == {client.id}
    image = gateway.export(client.id, None, pair.loop.time())
    assert image.pairs[0].reserved == RESERVED_FIRST // 2 + 3_000_000
    low = ReservationLow(client.id, spi, SEQUENCE_MAX - 5, rate=0.0)
    assert gateway.receive(low, pair.loop.time()) == [g.Reserve(spi, SEQUENCE_MAX)]
    gone = ReservationLow(client.id, spi + 1, 1, rate=0.0)  # type: ignore[arg-type]
    assert gateway.receive(gone, pair.loop.time()) == []


def test_what_is_adopted_sends_nothing_before_its_numbers_are_reserved() -> None:
    pair, _ = up()
    (octets,) = pair.gateway.kill().values()
    image = parse_image(octets)
    heir = pair._new_gateway(random.Random(5).randbytes).gateway
    effects = heir.adopt(image, pair.loop.time())
    install = next(e for e in effects if isinstance(e, g.InstallSa))
    reserve = next(e for e in effects if isinstance(e, g.Reserve))
    assert install.sa.first_sequence == RESERVED_FIRST + 1
    assert install.sa.last_sequence == RESERVED_FIRST
    assert reserve.last_sequence == 2 * RESERVED_FIRST
    assert effects.index(install) < effects.index(reserve)
    (client,) = heir.clients.values()
    assert heir.dirty == {client.id}
    again = heir.export(client.id, None, pair.loop.time())
    assert again.pairs[0].reserved == 2 * RESERVED_FIRST


def test_an_sa_near_its_last_number_gets_new_keys_at_once() -> None:
    pair, seat = up()
    (octets,) = pair.gateway.kill().values()
    image = parse_image(octets)
    image.pairs[0].reserved = 0xF0000001
    pair.move(killed=True, images={image.uid: build_image(image)})
    pair.loop.run(1.0)
    assert rekeys(pair) == (0, 1)
    assert seat.ping()


def test_without_a_cluster_nothing_is_reserved() -> None:
    pair = Pair()
    seat = Seat(pair).connect()
    client = the_client(pair)
    assert pair.gateway.gateway.dirty == set()
    image = pair.gateway.gateway.export(
        client.id, pair.gateway.plane.client_state(client.id), pair.loop.time(), final=True
    )
    assert image.pairs[0].reserved < 100
    pair.move()
    assert seat.ping()


# --- which client, and whose


def test_the_same_client_is_not_adopted_twice() -> None:
    pair, seat = up()
    (image,) = (parse_image(octets) for octets in pair.gateway.images.values())
    gateway = pair.gateway.gateway
    assert gateway.adopt(image, pair.loop.time()) == []
    assert gateway.adopt(replace(image, uid="0" * 16), pair.loop.time()) == []
    assert len(gateway.clients) == 1
    assert seat.ping()


def test_who_is_evicted_leaves_nothing_and_ends_nothing() -> None:
    pair, _ = up()
    client = the_client(pair)
    gateway = pair.gateway.gateway
    pair.gateway.driver.command(lambda _: gateway.evict(client.id))
    assert pair.gateway.rows == 0
    assert gateway.ike.sas() == []
    assert gateway.deadline is None or gateway.deadline > pair.loop.time()
    assert pair.gateway.record.ends == []
    assert pair.gateway.accounts.sessions.of_user("alice") == ()
    assert gateway.evict(client.id) == []
    assert gateway.client_named(client.uid) is None
    assert gateway.shard_of(client.id) is None
    with pytest.raises(KeyError):
        gateway.export(client.id, None, pair.loop.time())


def test_a_phase_1_under_way_ends_with_its_client() -> None:
    pair, _ = up()
    gateway, client = pair.gateway.gateway, the_client(pair)
    sent = []
    pair.network.send = lambda *datagram: sent.append(datagram)  # type: ignore[assignment]
    (sa,) = sas(pair)
    other = IsakmpSa(gateway.ike._table.new_id(), sa.role, sa.icookie, sa.icookie, sa.path, 0.0)
    gateway.ike._table.add_responder(other)
    gateway.evict(client.id)
    assert sas(pair) == []
    gateway.forget_half_open()


def test_a_client_is_found_by_what_its_packets_say() -> None:
    pair, _ = up()
    gateway, client = pair.gateway.gateway, the_client(pair)
    (sa,) = sas(pair)
    assert gateway.knows(sa.cookies)
    assert not gateway.knows(bytes(16))
    assert gateway.client_of(sa.cookies) is client
    assert gateway.client_of(bytes(16)) is None
    assert gateway.client_at(client.path.peer) is client
    assert gateway.client_of_spi(next(iter(client.ipsec_sas))) is client
    assert gateway.client_named(client.uid) is client
    assert gateway.shard_of(client.id) == client.shard
    assert gateway._names.shard_of_cookie(sa.rcookie) == client.shard
    assert gateway.foreign_cookies(client) == ()


def test_a_client_without_ipsec_sas_gets_another_home() -> None:
    """Late binding: the SPI is chosen where the client's packets enter."""
    pair = Pair(clustered=True)
    seat = Seat(pair)
    pair.loop.run(0.026)
    client = the_client(pair)
    image = parse_image(pair.gateway.image(client))
    shard = (image.shard + 1) % SHARDS
    moved = pair.gateway.gateway.rehome(image, shard)
    pair.move(killed=True, images={image.uid: build_image(moved)})
    seat.connect()
    assert seat.ping()
    gateway, client = pair.gateway.gateway, the_client(pair)
    assert client.shard == shard
    (sa,) = sas(pair)
    assert gateway.foreign_cookies(client) == (sa.rcookie,)
    (spi,) = client.ipsec_sas
    assert gateway._names.shard_of_spi(spi) == shard
    with pytest.raises(ValueError, match="stays"):
        gateway.rehome(gateway.export(client.id, None, pair.loop.time()), 3)


def test_who_has_no_shard_lets_nobody_in() -> None:
    pair = Pair(clustered=True)
    pair.gateway.gateway._names.shards = ()
    seat = Seat(pair)
    pair.loop.run(0.5)
    assert not sas(pair)
    assert set(pair.gateway.record.drops) == {Reason.NOT_SERVING}
    pair.gateway.gateway._names.shards = tuple(range(SHARDS))
    seat.connect()


def test_a_cookie_of_a_shard_that_has_gone_makes_no_home() -> None:
    pair = Pair(clustered=True)
    seat = Seat(pair)
    pair.loop.run(0.011)
    (sa,) = sas(pair)
    names = pair.gateway.gateway._names
    gone = names.shard_of_cookie(sa.rcookie)
    names.shards = tuple(shard for shard in range(SHARDS) if shard != gone)
    seat.connect()
    client = the_client(pair)
    assert client.shard != gone
    assert pair.gateway.gateway.foreign_cookies(client) == (sa.rcookie,)


def test_a_path_says_whose_socket_it_is() -> None:
    """What entered at us entered at `us`, as others see it."""
    pair, _ = up()
    gateway = pair.gateway.gateway
    gateway._member = "us"
    client = the_client(pair)
    image = gateway.export(client.id, None, pair.loop.time())
    paths: list[Path] = []
    with_paths(image, lambda path: paths.append(path) or path)  # type: ignore[func-returns-value]
    assert {path.via for path in paths} == {"us"}
    heir = pair._new_gateway(random.Random(5).randbytes).gateway
    heir._member = "them"
    heir.adopt(image, pair.loop.time())
    (moved,) = heir.clients.values()
    assert moved.path.via == "us"
    assert {sa.path.via for sa in heir.ike._table.isakmp.values()} == {"us"}
    back = heir.export(moved.id, None, pair.loop.time())
    gateway.evict(client.id)
    gateway.adopt(back, pair.loop.time())
    assert the_client(pair).path.via == ""


def test_who_needs_a_new_check_point() -> None:
    pair, seat = up()
    gateway = pair.gateway.gateway
    pair.gateway.driver.written = lambda: None
    assert seat.ping()
    pair.loop.run(25.0)  # keep-alives, echoes, activity
    assert gateway.dirty == set()
    SecondCall(seat)
    pair.loop.run(0.5)
    assert gateway.dirty == {the_client(pair).id}


# --- octets


def image_of(pair: Pair) -> ClientImage:
    client = the_client(pair)
    state = pair.gateway.plane.client_state(client.id)
    return pair.gateway.gateway.export(client.id, state, pair.loop.time())


def test_what_is_built_is_read_back() -> None:
    pair, seat = up()
    after_a_rekey_of_phase_2(pair, seat)
    pair.move()
    takes_another_call(pair, seat)
    image = image_of(pair)
    octets = build_image(image)
    assert build_image(parse_image(octets)) == octets
    assert repr(parse_image(octets)) == repr(image)
    assert 1000 < len(octets) < 3000


def test_secrets_are_in_no_repr() -> None:
    pair, _ = up()
    image = image_of(pair)
    (sa,) = sas(pair)
    assert sa.keys is not None
    assert sa.cipher_key is not None
    pair_of_sas = image.pairs[0]
    place = image.calls[0].place
    assert place is not None
    (digest,) = place.digests
    secrets: list[Secret] = [
        sa.keys.skeyid_d,
        sa.keys.skeyid_a,
        sa.cipher_key,
        pair_of_sas.inbound_key,
        pair_of_sas.outbound_key,
        digest,
    ]
    shown, octets = repr(image), build_image(image)
    for secret in secrets:
        assert secret.reveal() in octets
        assert repr(secret.reveal())[2:-1] not in shown
        assert secret.reveal().hex() not in shown
    assert shown.count("Secret(***)") == len(secrets)
    assert sa.keys.skeyid.reveal() not in octets
    assert sa.keys.skeyid_e.reveal()[:16] not in octets.replace(sa.cipher_key.reveal(), b"")


@pytest.mark.parametrize("version", [VERSION - 1, VERSION])
def test_an_image_that_was_written_long_ago(version: int) -> None:
    """The vector is kept as it is: a version that does not read it any more is noticed."""
    vectors = json.loads(VECTORS.read_text())["vectors"]
    (vector,) = (one for one in vectors if one["version"] == version)
    image = parse_image(bytes.fromhex(vector["input"]))
    expected = vector["output"]
    assert image.uid == expected["uid"]
    assert image.identity == expected["identity"]
    assert image.calls[0].username == expected["username"]
    assert str(image.calls[0].address) == expected["address"]
    assert [stage.name for stage in image.calls[0].stages] == expected["stages"]
    assert [pair.inbound_spi for pair in image.pairs] == expected["inbound_spis"]
    assert build_image(image, version).hex() == vector["input"]


def test_the_last_version_is_read_and_written() -> None:
    pair, seat = up()
    image = image_of(pair)
    assert image.calls[0].stages
    older = build_image(image, VERSION - 1)
    assert older[0] == VERSION - 1
    read = parse_image(older)
    assert read.calls[0].stages == ()
    assert build_image(read, VERSION - 1) == older
    pair.move(killed=True, images={image.uid: older})
    goes_on(pair, seat)


def test_the_next_version_is_read_by_this_one() -> None:
    """As the last one reads ours: what it does not know stands behind what it does."""
    pair, _ = up()
    image = image_of(pair)
    ours = build_image(image)
    as_before = Records(VERSION - 1).parse(ClientImage, ours[1:])
    assert as_before.stages == ()
    assert as_before.calls[0].stages == ()
    assert parse_image(bytes((VERSION + 1,)) + ours[1:]).uid == image.uid


@pytest.mark.parametrize("version", [0, VERSION + 2, 255])
def test_a_version_too_far_away_is_refused(version: int) -> None:
    pair, _ = up()
    octets = build_image(image_of(pair))
    with pytest.raises(Malformed, match="version"):
        parse_image(bytes((version,)) + octets[1:])
    with pytest.raises(Malformed, match="none"):
        parse_image(b"")


def _set(path: str, value: object) -> Callable[[ClientImage], None]:
    def change(image: ClientImage) -> None:
        *way, last = path.split(".")
        target: object = image
        for step in way:
            target = target[int(step)] if step.isdigit() else getattr(target, step)  # type: ignore[index]
        setattr(target, last, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("shard", SHARDS),
        _set("shard", -1),
        _set("uid", "0" * 15),
        _set("uid", "G" * 16),
        _set("peer_port", 1 << 16),
        _set("pairs", ()),
        _set("pairs.0.inbound_spi", 255),
        _set("pairs.0.inbound_key", Secret(b"short")),
        _set("pairs.0.reserved", 1 << 32),
        _set("pairs.0.window_top", -1),
        _set("ike.ipsec_sas", ()),
        _set("ike.ipsec_sas.0.outbound_spi", 0),
        _set("ike.isakmp_sas.0.icookie", b"seven.."),
        _set("ike.isakmp_sas.0.iv", b""),
        _set("ike.isakmp_sas.0.cipher_key", Secret(b"")),
        _set("tunnels.0.tunnel", 0),
        _set("tunnels.0.channel.ns", 1 << 16),
        _set("tunnels.0.channel.peer_window", 0),
        _set("tunnels.0.channel.peer_tunnel", -1),
        _set("tunnels.0.sessions.0.peer_session", 1 << 16),
        _set("calls.0.ns", 1 << 16),
        _set("calls.0.link.mru", 1 << 16),
        _set("calls.0.link.peer_mru", -1),
        _set("calls.0.link.magic", b"five."),
        _set("calls.0.link.ipcp.identifier", 256),
    ],
)
def test_an_image_nobody_could_go_on_with_is_refused(
    change: Callable[[ClientImage], None],
) -> None:
    pair, _ = up()
    image = image_of(pair)
    change(image)
    with pytest.raises(Malformed) as caught:
        parse_image(build_image(image))
    assert caught.value.reason is Reason.IMAGE_MALFORMED


def test_an_image_of_nothing_is_refused() -> None:
    pair, _ = up()
    image = image_of(pair)
    image.pairs = ()
    image.ike.ipsec_sas = image.ike.isakmp_sas = ()
    with pytest.raises(Malformed):
        parse_image(build_image(image))


def test_a_bad_link_does_not_matter() -> None:
    pair, seat = up()
    pair.network.weather = Weather(loss=0.1, delay=(0.01, 0.2))
    for _ in range(5):
        pair.move(killed=True)
        pair.loop.run(40.0)
        assert seat.ping(tries=5)
    assert seat.ended is None
