"""The initiator in calm weather: order, teardown from either side, rekeys, refusals, time-outs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.client import effects as c
from ferrule.client.effects import Step
from ferrule.client.host import Host
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.initiator import Initiator, Life
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, parse_ipv4
from ferrule.core.ids import Address, ClientId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.dataplane import interface as plane
from ferrule.ike.policy import Phase1Transform
from support.client import entropy_of
from support.pair import (
    INSIDE,
    SERVER,
    GatewayEnd,
    Pair,
    client_settings,
    gateway_settings,
    user,
)

PATH = Path(Address(SERVER, 500), Address("10.0.0.2", 40500), False)


class Watched:
    """A host that stays, with its news and the pings that came back."""

    def __init__(self, pair: Pair, **fields: object) -> None:
        self.pair = pair
        self.news: list[c.News] = []
        self.replies: list[int] = []
        self.host: Host = pair.host(
            deliver=self._deliver,
            notify=self.news.append,
            **fields,  # type: ignore[arg-type]
        )

    def _deliver(self, data: bytes) -> None:
        echo = parse_icmp(parse_ipv4(data).payload)
        assert isinstance(echo, Echo)
        self.replies.append(echo.sequence)

    @property
    def settled(self) -> bool:
        return bool(self.of(c.Connected) or self.of(c.Closed))

    @property
    def connected(self) -> c.Connected:
        return self.of(c.Connected)[0]

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [news for news in self.news if isinstance(news, kind)]

    def ping(self, sequence: int) -> None:
        echo = build_echo(Echo(False, 9, sequence, b"ping"))
        packet = Ipv4Packet(self.connected.network.address, INSIDE, IpProtocol.ICMP, echo)
        self.pair.act(self.host, lambda host: host.send_ip(build_ipv4(packet)))

    def close(self) -> None:
        self.pair.act(self.host, lambda host: host.close(Reason.PEER_CLOSED))


def up(pair: Pair, **fields: object) -> Watched:
    watched = Watched(pair, **fields)
    assert pair.loop.run(10, lambda: watched.host.life is Life.UP)
    return watched


def test_steps_come_in_their_order_and_say_what_was_negotiated() -> None:
    watched = up(Pair())
    done = watched.of(c.StepDone)
    assert [step.step for step in done] == [
        Step.PHASE1,
        Step.NAT,
        Step.PHASE2,
        Step.TUNNEL,
        Step.CALL,
        Step.LCP,
        Step.AUTH,
        Step.IPCP,
    ]
    facts = {step.step: step.facts for step in done}
    assert facts[Step.PHASE1]["suite"] == "aes256-sha256-curve25519"
    assert facts[Step.NAT] == {"method": "rfc3947", "carrier": "UDP port 4500"}
    assert facts[Step.PHASE2] == {"suite": "aes128gcm16", "pfs": "none"}
    assert facts[Step.AUTH] == {"method": "mschapv2", "user": "alice"}
    assert facts[Step.IPCP]["dns"] == "203.0.113.53"
    in_sequence = sum(step.seconds for step in done if step.step is not Step.NAT)
    assert watched.connected.seconds == pytest.approx(in_sequence)
    assert watched.connected.seconds < 0.2  # round trips only: nothing waited for a timer


def test_every_datagram_after_the_fourth_goes_to_the_natt_port() -> None:
    pair = Pair()
    sent: list[int] = []
    carry = pair.network.send

    def spy(source: Address, destination: Address, data: bytes) -> None:
        if destination.host == SERVER:
            sent.append(destination.port)
        carry(source, destination, data)

    pair.network.send = spy  # type: ignore[method-assign]
    up(pair)
    assert sent[:2] == [500, 500]
    assert set(sent[2:]) == {4500}


def test_close_says_goodbye_in_order_and_both_sides_forget() -> None:
    pair = Pair()
    watched = up(pair)
    said: list[str] = []
    execute = watched.host._execute

    def spy(effects: list[c.ClientEffect]) -> None:
        said.extend(type(effect).__name__ for effect in effects)
        execute(effects)

    watched.host._execute = spy  # type: ignore[method-assign]
    watched.close()
    assert said == ["SendPpp", "SendL2tp", "SendL2tp"]  # Terminate-Request, CDN, StopCCN
    assert pair.loop.run(1, lambda: bool(watched.of(c.Closed)))
    assert said[-4:] == ["SendIke", "SendIke", "RemoveClient", "Closed"]  # both Deletes
    assert watched.host.deadline is None
    assert [ended.reason for ended in pair.gateway.record.ends] == [Reason.PEER_CLOSED]
    pair.loop.run(120)
    assert pair.gateway.rows == 0


def test_close_is_heard_once_and_before_the_start_it_ends_at_once() -> None:
    one = Initiator(client_settings(), entropy_of(1), PATH)
    assert one.close(Reason.PEER_CLOSED, 0.0) == [c.Closed()]
    assert one.close(Reason.PEER_CLOSED, 1.0) == []
    assert one.start(2.0) == []
    assert one.deadline is None


def test_close_without_an_answer_gives_up_after_the_farewell() -> None:
    pair = Pair()
    watched = up(pair)
    pair.network.cut = True
    watched.close()
    began = pair.loop.time()
    assert pair.loop.run(10, lambda: bool(watched.of(c.Closed)))
    assert pair.loop.time() - began == pytest.approx(1.5)


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.PING, Step.HTTP)])
def test_close_in_the_middle_of_any_step(step: Step) -> None:
    """Ctrl-C: the server is told whatever it can be told, and forgets."""
    pair = Pair()
    watched = Watched(pair)
    pair.loop.run(10, lambda: watched.host.step is step)
    watched.close()
    assert pair.loop.run(5, lambda: bool(watched.of(c.Closed)))
    assert watched.host.deadline is None
    pair.loop.run(120)
    assert pair.gateway.rows == 0
    assert pair.gateway.gateway.ike.sas() == []


def test_the_server_ends_the_session() -> None:
    pair = Pair()
    watched = up(pair)
    (call,) = pair.gateway.gateway.sessions()
    pair.gateway.driver.command(
        lambda now: pair.gateway.gateway.close_session(call.key, Reason.ADMIN_KICK, now)
    )
    assert pair.loop.run(5, lambda: bool(watched.of(c.Closed)))
    (ended,) = watched.of(c.Ended)
    assert ended.reason is Reason.PEER_CLOSED
    pair.loop.run(120)
    assert pair.gateway.rows == 0


def test_the_server_shuts_down() -> None:
    pair = Pair()
    watched = up(pair)
    pair.gateway.driver.command(lambda now: pair.gateway.gateway.close(Reason.SERVER_SHUTDOWN, now))
    assert pair.loop.run(5, lambda: bool(watched.of(c.Closed)))
    assert len(watched.of(c.Ended)) == 1


def test_a_server_that_vanishes_is_missed() -> None:
    pair = Pair()
    watched = up(pair)
    pair.network.cut = True
    assert pair.loop.run(600, lambda: bool(watched.of(c.Closed)))
    (ended,) = watched.of(c.Ended)
    assert ended.reason in (Reason.PEER_DEAD, Reason.LCP_ECHO_TIMEOUT, Reason.L2TP_TIMEOUT)


def test_keepalives_hold_the_nat_open() -> None:
    pair = Pair()
    watched = up(pair, nat="198.51.100.9")
    before = pair.gateway.plane.counters().keepalives_in
    pair.loop.run(65)
    assert pair.gateway.plane.counters().keepalives_in == before + 3
    assert watched.host.life is Life.UP


def test_rekeys_of_both_phases_lose_no_ping() -> None:
    pair = Pair()
    quick = client_settings(offer_ike_seconds=60, offer_esp_seconds=60)
    watched = up(pair, settings=quick)
    for sequence in range(200):
        watched.ping(sequence)
        pair.loop.run(1.0)
    pair.loop.run(1.0)
    assert watched.replies == list(range(200))
    assert len(pair.gateway.record.isakmp_ups) >= 4
    assert len(pair.gateway.record.ipsec_ups) >= 4
    assert len(pair.gateway.record.ups) == 1
    assert not pair.gateway.record.ends
    assert len(pair.gateway.gateway.ike.sas()) <= 2  # the old ones are gone
    watched.close()
    pair.loop.run(300)
    assert pair.gateway.rows == 0


def test_a_rekey_is_wished_for_when_octets_run_out() -> None:
    pair = Pair()
    watched = up(pair, settings=client_settings(offer_esp_kilobytes=4))
    for sequence in range(120):
        watched.ping(sequence)
        pair.loop.run(0.2)
    assert watched.replies == list(range(120))
    assert len(pair.gateway.record.ipsec_ups) > 1


def test_two_clients_behind_one_nat_with_equal_addresses() -> None:
    """Same private identity, same public address: both stay, and each gets its own packets."""
    pair = Pair(users=[user(max_sessions=0)])
    first = up(pair, host="10.0.0.2", nat="198.51.100.9")
    quiet = client_settings(offer_identification="10.0.0.2", offer_initial_contact=False)
    second = up(pair, host="10.0.0.3", nat="198.51.100.9", settings=quiet)
    addresses = {one.connected.network.address for one in (first, second)}
    assert len(addresses) == 2
    first.ping(1)
    second.ping(2)
    pair.loop.run(1)
    assert (first.replies, second.replies) == ([1], [2])


def test_the_nat_rebinds_under_traffic() -> None:
    pair = Pair()
    watched = up(pair, nat="198.51.100.9")
    for sequence in range(20):
        if sequence == 10:
            pair.network.rebind("10.0.0.2")
        watched.ping(sequence)
        pair.loop.run(0.1)
    assert watched.replies == list(range(20))
    assert pair.gateway.record.moves == 1


WEAK = (Phase1Transform(Cipher.AES256_CBC, Hash.SHA1, Group.MODP1024),)
ODD = (EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_512_256),)


@pytest.mark.parametrize(
    ("client", "gateway", "step", "reason"),
    [
        (client_settings(key=Secret(b"other")), {}, Step.PHASE1, Reason.WRONG_KEY),
        (client_settings(offer_phase1=WEAK), {}, Step.PHASE1, Reason.NO_PROPOSAL),
        (client_settings(), {"phase2": ODD}, Step.PHASE2, Reason.NO_PHASE2_PROPOSAL),
        (client_settings(offer_peer_port=80), {}, Step.PHASE2, Reason.TRAFFIC_SELECTOR),
        (client_settings(password="wrong"), {}, Step.AUTH, Reason.WRONG_PASSWORD),
        (client_settings(auth=("mschapv1",)), {}, Step.LCP, Reason.NO_AUTH_METHOD),
    ],
)
def test_refusals_name_step_and_reason(
    client: c.StepDone, gateway: dict[str, object], step: Step, reason: Reason
) -> None:
    pair = Pair(settings=gateway_settings(**gateway))
    watched = Watched(pair, settings=client)
    assert pair.loop.run(10, lambda: bool(watched.of(c.Closed)))
    (failed,) = watched.of(c.Failed)
    assert (failed.step, failed.reason) == (step, reason)
    assert watched.news[-1] == c.Closed()
    assert not watched.of(c.Ended)


def test_tunnel_secrets_that_differ() -> None:
    secret, other = Secret(b"tunnel"), Secret(b"another")
    gateway = gateway_settings()
    gateway = replace(gateway, l2tp=replace(gateway.l2tp, tunnel_secret=secret))
    for mine, reason in ((secret, None), (other, Reason.L2TP_TUNNEL_AUTH), (None, None)):
        settings = client_settings()
        settings = replace(settings, l2tp=replace(settings.l2tp, tunnel_secret=mine))
        pair = Pair(settings=gateway)
        watched = Watched(pair, settings=settings)
        pair.loop.run(
            90, lambda watched=watched: bool(watched.of(c.Connected) or watched.of(c.Closed))
        )  # type: ignore[misc]
        if mine is secret:
            assert watched.of(c.Connected)
        else:
            (failed,) = watched.of(c.Failed)
            assert failed.step is Step.TUNNEL
            assert reason is None or failed.reason is reason


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Step.PHASE1, Reason.PHASE1_TIMEOUT),
        (Step.PHASE2, Reason.PHASE2_TIMEOUT),
        (Step.TUNNEL, Reason.L2TP_TIMEOUT),
        (Step.CALL, Reason.L2TP_TIMEOUT),
        (Step.LCP, Reason.LCP_TIMEOUT),
        (Step.AUTH, Reason.AUTH_TIMEOUT),
        (Step.IPCP, Reason.IPCP_TIMEOUT),
    ],
)
def test_silence_is_called_by_the_step_in_which_it_falls(step: Step, reason: Reason) -> None:
    pair = Pair()
    watched = Watched(pair, settings=client_settings(timeout=5.0))
    if step is Step.PHASE1:
        pair.loop.run(0.012)  # message 2 is here
    pair.loop.run(10, lambda: watched.host.step is step)
    pair.network.cut = True
    assert pair.loop.run(10, lambda: bool(watched.of(c.Closed)))
    (failed,) = watched.of(c.Failed)
    assert (failed.step, failed.reason) == (step, reason)
    assert failed.detail == "no end of it in 5 s"


def test_a_server_that_was_never_heard_is_no_answer() -> None:
    for timeout in (5.0, 0.0):  # by our own time-out, and by that of IKE
        pair = Pair()
        pair.network.cut = True
        watched = Watched(pair, settings=client_settings(timeout=timeout))
        assert pair.loop.run(60, lambda watched=watched: bool(watched.of(c.Closed)))  # type: ignore[misc]
        (failed,) = watched.of(c.Failed)
        assert (failed.step, failed.reason) == (Step.PHASE1, Reason.NO_ANSWER)


def test_punts_for_what_is_not_there_are_dropped() -> None:
    one = Initiator(client_settings(), entropy_of(1), PATH)
    one.start(0.0)
    nobody = (ClientId(1), TunnelId(7), SessionId(8))
    for punt in (
        plane.PppControl(*nobody, b"\xff\x03\xc0\x21\x01\x01\x00\x04"),
        plane.UnknownSession(*nobody),
        plane.UnknownSpi(PATH, Spi(0x1234)),
        plane.L2tpControl(ClientId(1), b"\xc8\x02\x00\x0c" + bytes(8)),
    ):
        effects = one.receive(punt, 1.0)
        assert [type(effect) for effect in effects] == [c.Dropped]
    assert one.receive(plane.DhcpInform(*nobody, b""), 1.0) == []
    assert one.receive(plane.LifetimeReached(ClientId(1), Spi(0x1234)), 1.0) == []
    assert one.life is Life.SETTING_UP


@settings(max_examples=60, deadline=None)
@given(
    octets=st.lists(st.binary(max_size=120), min_size=1, max_size=8),
    step=st.sampled_from([Step.PHASE1, Step.PHASE2, Step.CALL, Step.LCP, Step.IPCP, Step.PING]),
    kind=st.integers(0, 3),
)
def test_nothing_that_comes_in_raises(octets: list[bytes], step: Step, kind: int) -> None:
    """Random datagrams and random punts in every phase of life: effects, never an exception."""
    pair = Pair()
    watched = Watched(pair)
    pair.loop.run(5, lambda: watched.host.step is step)
    initiator = watched.host._initiator
    now = pair.loop.time()
    call = initiator._call.ids or (TunnelId(1), SessionId(1))
    for data in octets:
        match kind:
            case 0:
                initiator.receive(plane.IkeDatagram(PATH, data), now)
            case 1:
                initiator.receive(plane.L2tpControl(ClientId(1), data), now)
            case 2:
                initiator.receive(plane.PppControl(ClientId(1), *call, data), now)
            case _:
                watched.host.receive_datagram(PATH._replace(natt=True), data)
    assert initiator.life in Life


def test_the_end_of_a_gateway_is_what_the_pair_counts() -> None:
    """`rows` would see a leak: it is above zero while a client is on."""
    pair = Pair()
    up(pair)
    assert isinstance(pair.gateway, GatewayEnd)
    assert pair.gateway.rows >= 5
