"""The client's call against a real LNS and a real PPP server, without IKE and without a plane."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from ferrule.client import effects as c
from ferrule.client.call import CLIENT, Call
from ferrule.client.effects import Step
from ferrule.client.progress import Progress
from ferrule.client.settings import ClientSettings
from ferrule.core.credentials import Accepted, Denied, MsChapV2Proof, Verdict
from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.crypto.mschap import nt_password_hash, verify_mschapv2
from ferrule.l2tp import effects as l2
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp import effects as p
from ferrule.ppp.link import Link
from ferrule.ppp.policy import PppPolicy
from support.client import entropy_of
from support.pair import PASSWORD, client_settings

OURS, THEIRS = IPv4Address("10.64.0.9"), IPv4Address("10.64.0.1")


class Lns:
    """The server's layers, joined by hand; `log` is what the call asked of its outside."""

    def __init__(self, settings: ClientSettings | None = None) -> None:
        self.now = 100.0
        self.progress = Progress()
        self.progress.start(self.now)
        self.progress.done(Step.PHASE2, {}, self.now, Step.TUNNEL)
        self.call = Call(settings or client_settings(), entropy_of(1), self.progress)
        self.l2tp = L2tpEndpoint(L2tpPolicy(host_name="lns", vendor="test"), entropy_of(2))
        self.link: Link | None = None
        self.ids: tuple[TunnelId, SessionId] | None = None
        self.log: list[c.ClientEffect] = []
        self.deaf = False

    def take(self, effects: list[c.ClientEffect]) -> None:
        for effect in effects:
            self.now += 0.001
            self.log.append(effect)
            if self.deaf:
                continue
            if isinstance(effect, c.SendL2tp):
                self._serve_l2tp(self.l2tp.receive(effect.message, self.now))
            elif isinstance(effect, c.SendPpp) and self.link is not None:
                self._serve_ppp(self.link.receive(effect.frame, self.now))

    def _serve_l2tp(self, effects: list[l2.L2tpEffect]) -> None:
        for effect in effects:
            if isinstance(effect, l2.SendL2tp):
                self.take(self.call.receive_l2tp(effect.message, self.now))
            elif isinstance(effect, l2.SessionUp):
                self.ids = (effect.tunnel, effect.session)
                self.link = Link(PppPolicy(auth=("mschapv2",)), entropy_of(3))
                self._serve_ppp(self.link.start(self.now))

    def _serve_ppp(self, effects: list[p.PppEffect]) -> None:
        assert self.link is not None
        for effect in effects:
            match effect:
                case p.SendPpp():
                    assert self.call.ids is not None
                    self.take(self.call.receive_ppp(*self.call.ids, effect.frame, self.now))
                case p.AskVerify():
                    verified = p.Verified(effect.ask, self._verdict(effect))
                    self._serve_ppp(self.link.answer(verified, self.now))
                case p.AskAddress():
                    given = p.Addresses(effect.ask, THEIRS, OURS)
                    self._serve_ppp(self.link.answer(given, self.now))

    def _verdict(self, question: p.AskVerify) -> Verdict:
        proof = question.proof
        assert isinstance(proof, MsChapV2Proof)
        response = verify_mschapv2(
            nt_password_hash(PASSWORD),
            proof.username,
            proof.authenticator_challenge,
            proof.peer_challenge,
            proof.nt_response,
        )
        return Accepted(proof.username, response) if response else Denied(Reason.WRONG_PASSWORD)

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [effect for effect in self.log if isinstance(effect, kind)]


def test_from_sccrq_to_addresses() -> None:
    lns = Lns()
    lns.take(lns.call.open(lns.now))
    network = lns.call.network
    assert network is not None
    assert (network.address, network.peer, network.mtu) == (OURS, THEIRS, 1400)
    assert [done.step for done in lns.of(c.StepDone)] == [
        Step.TUNNEL,
        Step.CALL,
        Step.LCP,
        Step.AUTH,
        Step.IPCP,
    ]
    (link,) = lns.of(c.AddLink)
    assert (link.link.client, (link.link.peer_tunnel, link.link.peer_session)) == (CLIENT, lns.ids)
    (bound,) = lns.of(c.BindSession)
    assert bound.session.default
    assert bound.session.address == OURS.packed
    assert lns.log.index(link) < lns.log.index(bound)
    assert lns.call.ended is None


def test_the_mtu_is_bounded_by_the_path() -> None:
    lns = Lns()
    lns.call.mtu = 1300
    lns.take(lns.call.open(lns.now))
    assert lns.call.network is not None
    assert lns.call.network.mtu == 1300


def test_close_is_heard() -> None:
    lns = Lns()
    lns.take(lns.call.open(lns.now))
    lns.log.clear()
    lns.take(lns.call.close(Reason.PEER_CLOSED, lns.now))
    assert [type(effect) for effect in lns.log][:3] == [c.SendPpp, c.SendL2tp, c.SendL2tp]
    assert lns.call.farewell_heard


def test_close_without_an_answer_is_not_heard() -> None:
    lns = Lns()
    lns.take(lns.call.open(lns.now))
    lns.deaf = True
    lns.take(lns.call.close(Reason.PEER_CLOSED, lns.now))
    assert not lns.call.farewell_heard


@pytest.mark.parametrize("by_session", [True, False])
def test_the_server_ends_it(by_session: bool) -> None:
    lns = Lns()
    lns.take(lns.call.open(lns.now))
    assert lns.ids is not None
    if by_session:
        lns._serve_l2tp(lns.l2tp.close_session(*lns.ids, Reason.ADMIN_KICK, lns.now))
    else:
        lns._serve_l2tp(lns.l2tp.close(Reason.SERVER_SHUTDOWN, lns.now))
    assert lns.call.ended is not None
    assert lns.call.ended[0] is Reason.PEER_CLOSED


def test_a_refused_password_is_the_reason_whatever_ends_the_call() -> None:
    settings = client_settings(password="wrong")
    lns = Lns(settings)
    lns.take(lns.call.open(lns.now))
    assert lns.call.ended is not None
    assert lns.call.ended[0] is Reason.WRONG_PASSWORD
    assert lns.progress.step is Step.AUTH
    assert lns.call.network is None


def test_a_server_that_stays_silent() -> None:
    lns = Lns(replace(client_settings(), ppp=PppPolicy(auth=("mschapv2",))))
    lns.deaf = True
    lns.take(lns.call.open(lns.now))
    for _ in range(100):
        deadline = lns.call.deadline
        if deadline is None or lns.call.ended is not None:
            break
        lns.now = deadline.at
        lns.take(lns.call.expire(lns.now))
    assert lns.call.ended is not None
    assert lns.call.ended[0] is Reason.L2TP_TIMEOUT
    assert lns.progress.step is Step.TUNNEL


def test_frames_of_another_call_are_dropped() -> None:
    lns = Lns()
    (dropped,) = lns.call.receive_ppp(TunnelId(1), SessionId(2), b"\xc0\x21\x01\x01\0\4", 0.0)
    assert isinstance(dropped, c.Dropped)
    lns.take(lns.call.open(lns.now))
    assert lns.call.ids is not None
    other = SessionId(lns.call.ids[1] ^ 1)
    (dropped,) = lns.call.receive_ppp(lns.call.ids[0], other, b"\xc0\x21\x01\x01\0\4", lns.now)
    assert isinstance(dropped, c.Dropped)
