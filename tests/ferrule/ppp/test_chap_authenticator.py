from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.core.credentials import (
    Accepted,
    Denied,
    MsChapV2Proof,
)
from ferrule.core.reasons import Reason
from ferrule.ppp.chap import (
    parse_value,
)
from ferrule.ppp.effects import (
    AskVerify,
    Authenticated,
    AuthenticationFailed,
    LinkDown,
    PppDropped,
    Verified,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.policy import PppPolicy
from support.ppp import (
    PASSWORD,
    Peer,
    frame_of,
    only,
    sent,
    verdict_on,
)

CHAP = Protocol.CHAP
RFC2759 = json.loads((Path(__file__).parents[2] / "vectors" / "rfc2759.json").read_text())[
    "mschapv2"
]


def challenged(peer: Peer) -> Packet:
    return next(packet for protocol, packet in sent(peer.open_lcp()) if protocol == CHAP)


@pytest.mark.parametrize(("method", "octets"), [("mschapv2", 16), ("mschapv1", 8), ("chap", 16)])
def test_the_challenge_follows_the_ack_at_once(method: str, octets: int) -> None:
    challenge = challenged(Peer(PppPolicy(auth=(method,), name="gate")))
    value, name = parse_value(challenge.data)
    assert (challenge.code, len(value), name) == (1, octets, b"gate")


def test_success_carries_the_proof_of_the_server() -> None:
    peer = Peer()
    challenge = challenged(peer)
    (ask,) = peer.respond(challenge)
    assert isinstance(ask, AskVerify)
    verdict = verdict_on(ask.proof)
    assert isinstance(verdict, Accepted)
    effects = peer.link.answer(Verified(ask.ask, verdict), 0.25)
    ((_, success),) = sent(effects)
    assert (success.code, success.identifier) == (3, challenge.identifier)
    assert success.data.decode() == f"{verdict.authenticator_response} M=Welcome"
    assert only(effects, Authenticated) == [Authenticated("alice", "mschapv2", 0.25)]


def test_a_domain_before_the_name() -> None:
    peer = Peer()
    (ask,) = peer.respond(challenged(peer), "CORP\\alice")
    assert isinstance(ask.proof, MsChapV2Proof)
    assert ask.proof.username == "CORP\\alice"
    assert isinstance(verdict_on(ask.proof), Accepted)


def test_one_question_for_a_response_and_its_repetitions() -> None:
    peer = Peer()
    challenge = challenged(peer)
    (ask,) = peer.respond(challenge)
    for _ in range(5):
        assert [type(effect) for effect in peer.respond(challenge)] == [PppDropped]
    ((_, success),) = sent(peer.link.answer(Verified(ask.ask, verdict_on(ask.proof)), 1.0))
    for _ in range(5):
        assert sent(peer.respond(challenge)) == [(CHAP, success)]


def test_a_response_to_an_older_challenge_is_stale() -> None:
    peer = Peer()
    old = challenged(peer)
    ((_, new),) = sent(peer.link.expire(2.0))
    assert [type(effect) for effect in peer.respond(old)] == [PppDropped]
    assert len(only(peer.respond(new), AskVerify)) == 1


def test_challenges_are_repeated_ever_more_slowly() -> None:
    peer = Peer(PppPolicy(auth_seconds=60, echo_seconds=0))
    challenged(peer)
    times = []
    while peer.link.deadline is not None:
        now = peer.link.deadline.at
        effects = peer.link.expire(now)
        times += [now for protocol, _ in sent(effects) if protocol == CHAP]
    assert times[:5] == [2.0, 6.0, 14.0, 22.0, 30.0]
    assert only(effects, LinkDown) == [LinkDown(Reason.AUTH_TIMEOUT, "")]
    assert now == 60.0


def test_a_wrong_password_may_be_typed_again() -> None:
    peer = Peer(PppPolicy(retries=1), password="wrong")
    challenge = challenged(peer)
    (ask,) = peer.respond(challenge)
    effects = peer.link.answer(Verified(ask.ask, Denied(Reason.WRONG_PASSWORD)), 1.0)
    ((_, failure),) = sent(effects)
    text = failure.data.decode()
    assert text.startswith("E=691 R=1 C=")
    assert only(effects, AuthenticationFailed) == [
        AuthenticationFailed("alice", "mschapv2", Reason.WRONG_PASSWORD, "")
    ]
    assert sent(peer.respond(challenge)) == [(CHAP, failure)]  # a duplicate is no new attempt
    fresh = bytes.fromhex(text.split("C=")[1][:32])
    peer.password = PASSWORD
    # Windows counts the identifier up by one, others leave it.
    retry = Packet(1, (failure.identifier + 1) % 256, b"\x10" + fresh)
    (ask,) = peer.respond(retry)
    assert isinstance(verdict_on(ask.proof), Accepted)
    effects = peer.link.answer(Verified(ask.ask, verdict_on(ask.proof)), 2.0)
    assert len(only(effects, Authenticated)) == 1


def test_retries_end() -> None:
    peer = Peer(PppPolicy(retries=2), password="wrong")
    challenge = challenged(peer)
    flags = []
    for _ in range(3):
        (ask,) = peer.respond(challenge)
        effects = peer.link.answer(Verified(ask.ask, Denied(Reason.WRONG_PASSWORD)), 1.0)
        ((_, failure),) = sent(effects)
        text = failure.data.decode()
        flags.append(text.split()[1])
        challenge = Packet(1, failure.identifier, b"\x10" + bytes.fromhex(text[12:44]))
    assert flags == ["R=1", "R=1", "R=0"]
    assert not only(effects, LinkDown)
    assert [type(effect) for effect in peer.respond(challenge)] == [PppDropped]
    effects = peer.link.expire(2.0)
    assert sent(effects)[0][1].code == Code.TERMINATE_REQUEST
    assert only(effects, LinkDown) == [LinkDown(Reason.WRONG_PASSWORD, "")]


def test_a_client_that_closes_after_the_failure_went_for_that_reason() -> None:
    """pppd: it never retries, whatever R= says."""
    peer = Peer(password="wrong")
    (ask,) = peer.respond(challenged(peer))
    peer.link.answer(Verified(ask.ask, Denied(Reason.WRONG_PASSWORD)), 1.0)
    effects = peer.give(frame_of(Protocol.LCP, Code.TERMINATE_REQUEST, 3, b"Failed to auth"))
    assert sent(effects) == [(Protocol.LCP, Packet(Code.TERMINATE_ACK, 3, b""))]
    assert only(effects, LinkDown) == [LinkDown(Reason.WRONG_PASSWORD, "")]


def test_a_lan_manager_response_alone_does_not_hold() -> None:
    peer = Peer(PppPolicy(auth=("mschapv1",)))
    challenge = challenged(peer)
    value = b"\x31" + b"L" * 24 + bytes(24) + b"\x00"
    (ask,) = peer.give(frame_of(CHAP, 2, challenge.identifier, value + b"alice"))
    assert verdict_on(ask.proof) == Denied(Reason.WRONG_PASSWORD)


@pytest.mark.parametrize(
    ("code", "data"),
    [(2, b""), (2, b"\x31short"), (2, b"\x10" + bytes(16) + b"alice"), (3, b""), (7, bytes(580))],
)
def test_what_is_no_response_is_dropped(code: int, data: bytes) -> None:
    peer = Peer()
    challenge = challenged(peer)
    effects = peer.give(frame_of(CHAP, code, challenge.identifier, data))
    assert [type(effect) for effect in effects] == [PppDropped]
    assert len(only(peer.respond(challenge), AskVerify)) == 1


def test_answers_that_nobody_waits_for() -> None:
    peer = Peer()
    (ask,) = peer.respond(challenged(peer))
    assert peer.link.answer(Verified(ask.ask + 1, Denied(Reason.WRONG_PASSWORD)), 1.0) == []
    peer.link.answer(Verified(ask.ask, verdict_on(ask.proof)), 1.0)
    assert peer.link.answer(Verified(ask.ask, Denied(Reason.WRONG_PASSWORD)), 1.0) == []
