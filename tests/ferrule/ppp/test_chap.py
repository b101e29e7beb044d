from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.core.credentials import (
    Accepted,
    ChapProof,
    Denied,
    MsChapV1Proof,
    MsChapV2Proof,
)
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.mschap import mschapv2_authenticator_response, nt_password_hash
from ferrule.ppp.auth import Failed, Passed
from ferrule.ppp.chap import (
    build_failure,
    build_value,
    parse_failure,
    parse_response,
    parse_value,
)
from ferrule.ppp.chap_supplicant import ChapSupplicant
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
from ferrule.ppp.policy import Credentials, PppPolicy
from support.ppp import (
    PASSWORD,
    USERNAME,
    Peer,
    credentials,
    entropy_of,
    frame_of,
    mschapv2_value,
    only,
    sent,
    verdict_on,
)

CHAP = Protocol.CHAP
RFC2759 = json.loads((Path(__file__).parents[2] / "vectors" / "rfc2759.json").read_text())[
    "mschapv2"
]

# --- formats ----------------------------------------------------------------------------------


def test_value_on_the_wire() -> None:
    assert build_value(b"abc", b"bob") == b"\x03abcbob"
    assert parse_value(b"\x03abcbob") == (b"abc", b"bob")
    assert parse_value(b"\x00") == (b"", b"")
    for data in (b"", b"\x04abc"):
        with pytest.raises(Malformed):
            parse_value(data)


def test_responses_of_the_three_algorithms() -> None:
    value = bytes(range(49))
    assert parse_response("chap", "bob", 3, b"c", bytes(16)) == ChapProof("bob", 3, b"c", bytes(16))
    assert parse_response("mschapv1", "bob", 3, b"c", value) == MsChapV1Proof(
        "bob", b"c", value[24:48]
    )
    assert parse_response("mschapv2", "bob", 3, b"c", value) == MsChapV2Proof(
        "bob", b"c", value[:16], value[24:48]
    )


@pytest.mark.parametrize(
    ("method", "octets"),
    [("chap", 15), ("chap", 17), ("mschapv1", 48), ("mschapv2", 50), ("mschapv2", 0)],
)
def test_responses_of_another_length(method: str, octets: int) -> None:
    with pytest.raises(Malformed):
        parse_response(method, "bob", 1, b"", bytes(octets))


@pytest.mark.parametrize(
    ("reason", "code", "text"),
    [
        (Reason.WRONG_PASSWORD, 691, "Authentication failed"),
        (Reason.UNKNOWN_USER, 691, "Authentication failed"),
        (Reason.LOCKED_OUT, 691, "Authentication failed"),
        (Reason.METHOD_NEEDS_OTHER_VERIFIER, 691, "Authentication failed"),
        (Reason.USER_DISABLED, 647, "The account is disabled"),
        (Reason.USER_EXPIRED, 648, "The account has expired"),
        (Reason.TOO_MANY_SESSIONS, 649, "The account has too many sessions"),
    ],
)
def test_failures_on_the_wire(reason: Reason, code: int, text: str) -> None:
    data = build_failure("mschapv2", reason, retry=True, challenge=bytes(16))
    assert data.decode() == f"E={code} R=1 C={'00' * 16} V=3 M={text}"
    read_back = reason if code != 691 else Reason.WRONG_PASSWORD
    assert parse_failure(data) == (read_back, text)
    data = build_failure("mschapv1", reason, retry=False, challenge=bytes(8))
    assert data.decode() == f"E={code} R=0 C={'00' * 8} V=2"
    assert parse_failure(data)[0] is read_back
    assert build_failure("chap", reason, retry=False, challenge=b"").decode() == text


@pytest.mark.parametrize(
    ("data", "reason", "text"),
    [
        (b"", Reason.WRONG_PASSWORD, ""),
        (b"no way\x00", Reason.WRONG_PASSWORD, "no way?"),
        (b"E=646 R=0", Reason.USER_DISABLED, "E=646 R=0"),
        (b"E=99999999999999 M=x", Reason.WRONG_PASSWORD, "x"),
        (b"R=0 E=647 M=off\nnow", Reason.USER_DISABLED, "off?now"),
    ],
)
def test_failures_of_others(data: bytes, reason: Reason, text: str) -> None:
    assert parse_failure(data) == (reason, text)


# --- as the authenticator ---------------------------------------------------------------------


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


# --- as the supplicant ------------------------------------------------------------------------


def test_the_client_gives_the_response_of_rfc2759() -> None:
    """The peer challenge is drawn from `entropy`: here, from the RFC."""
    machine = ChapSupplicant(
        "mschapv2",
        Credentials(RFC2759["username"], Secret(RFC2759["password"].encode())),
        Deadlines(),
        lambda _: bytes.fromhex(RFC2759["peer_challenge"]),
    )
    challenge = bytes.fromhex(RFC2759["authenticator_challenge"])
    (response,) = machine.receive(Packet(1, 5, build_value(challenge, b"gate")), 0.0)
    assert isinstance(response, Packet)
    value, name = parse_value(response.data)
    assert (response.code, response.identifier, name) == (2, 5, b"User")
    assert value.hex() == RFC2759["peer_challenge"] + "00" * 8 + RFC2759["nt_response"] + "00"
    success = RFC2759["authenticator_response"].encode() + b" M=hello"
    assert machine.receive(Packet(3, 5, success), 1.0) == [Passed("User")]


def supplicant(method: str) -> tuple[ChapSupplicant, Deadlines]:
    deadlines = Deadlines()
    return ChapSupplicant(method, credentials(), deadlines, entropy_of(3)), deadlines


def test_a_server_that_cannot_prove_itself_is_refused() -> None:
    for forged in (b"", b"S=" + b"0" * 40, b"s=" + b"F" * 40):
        machine, _ = supplicant("mschapv2")
        machine.receive(Packet(1, 1, build_value(bytes(16), b"")), 0.0)
        (failed,) = machine.receive(Packet(3, 1, forged), 1.0)
        assert isinstance(failed, Failed)
        assert failed.final
        assert "does not know" in failed.detail


@pytest.mark.parametrize("method", ["mschapv2", "mschapv1", "chap"])
def test_the_same_challenge_gets_the_same_response(method: str) -> None:
    machine, deadlines = supplicant(method)
    challenge = Packet(1, 1, build_value(bytes(8 if method == "mschapv1" else 16), b"gate"))
    first = machine.receive(challenge, 0.0)
    assert machine.receive(challenge, 1.0) == first
    assert deadlines.get("auth-restart") == 4.0
    assert machine.expire(4.0) == first
    other = machine.receive(Packet(1, 2, challenge.data), 5.0)
    assert isinstance(other[0], Packet)
    assert other[0].identifier == 2


@pytest.mark.parametrize(
    ("method", "packet"),
    [
        ("mschapv2", Packet(1, 1, build_value(bytes(15), b""))),
        ("mschapv1", Packet(1, 1, build_value(bytes(16), b""))),
        ("chap", Packet(1, 1, build_value(b"", b""))),
        ("chap", Packet(1, 1, b"\x10abc")),
        ("chap", Packet(3, 1, b"")),
        ("chap", Packet(4, 1, b"")),
        ("chap", Packet(2, 1, b"")),
    ],
)
def test_the_client_drops_what_makes_no_sense(method: str, packet: Packet) -> None:
    machine, _ = supplicant(method)
    with pytest.raises(ProtocolError):
        machine.receive(packet, 0.0)


def test_a_failure_names_its_reason() -> None:
    machine, deadlines = supplicant("mschapv2")
    machine.receive(Packet(1, 1, build_value(bytes(16), b"")), 0.0)
    data = build_failure("mschapv2", Reason.USER_EXPIRED, retry=False, challenge=bytes(16))
    assert machine.receive(Packet(4, 1, data), 1.0) == [
        Failed("alice", Reason.USER_EXPIRED, "The account has expired", True)
    ]
    assert deadlines.next is None
    assert machine.expire(9.0) == []


def test_the_support_code_agrees_with_the_crypto_layer() -> None:
    value = mschapv2_value(bytes(16), PASSWORD)
    nt_hash = nt_password_hash(PASSWORD)
    proof = MsChapV2Proof(USERNAME, bytes(16), value[1:17], value[25:49])
    assert verdict_on(proof) == Accepted(
        USERNAME,
        mschapv2_authenticator_response(nt_hash, USERNAME, bytes(16), value[1:17], value[25:49]),
    )
