"""The exchange of an authenticator: every (state, trigger) pair, with PAP and with CHAP."""

from __future__ import annotations

import pytest

from ferrule.core.credentials import Accepted, Denied
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.auth import (
    Authenticator,
    AuthOutput,
    AuthState,
    AuthTrigger,
    Claim,
    Failed,
    Passed,
    read_name,
    write_name,
)
from ferrule.ppp.chap_authenticator import ChapAuthenticator
from ferrule.ppp.packet import Packet
from ferrule.ppp.pap import PapAuthenticator, build_request
from ferrule.ppp.policy import PppPolicy
from support.ppp import entropy_of, mschapv2_value

NAME = b"alice"


class Stand:
    """An authenticator in a given state, and a peer that knows what to send."""

    def __init__(self, method: str, retries: int = 2) -> None:
        policy = PppPolicy(retries=retries)
        deadlines = Deadlines()
        self.machine: Authenticator = (
            PapAuthenticator(policy, deadlines)
            if method == "pap"
            else ChapAuthenticator(method, policy, deadlines, entropy_of(5))
        )
        self.deadlines = deadlines
        self.serial = 0
        self.last: Packet | None = None
        started = self.machine.start(0.0)
        self.challenge = started[0] if started else None

    def proof(self) -> Packet:
        """A proof that was not sent before."""
        self.serial += 1
        if not isinstance(self.challenge, Packet):
            self.last = Packet(1, self.serial, build_request(NAME, b"%d" % self.serial))
        else:
            peer = bytes((self.serial,)) * 16
            value = mschapv2_value(bytes(16), "x", "alice", peer)
            self.last = Packet(2, self.challenge.identifier, value + NAME)
        return self.last

    def fire(self, trigger: AuthTrigger) -> list[AuthOutput]:
        match trigger:
            case AuthTrigger.PROOF:
                return self.machine.receive(self.proof(), 1.0)
            case AuthTrigger.REPEAT:
                return self.machine.receive(self.last or self.proof(), 1.0)
            case AuthTrigger.RESTART:
                return self.machine.expire(1.0)
            case AuthTrigger.ACCEPTED:
                return self.machine.judge(Accepted("alice", "S=" + "0" * 40), 1.0)
            case AuthTrigger.DENIED:
                return self.machine.judge(Denied(Reason.WRONG_PASSWORD), 1.0)

    def reach(self, state: AuthState) -> None:
        if state is not AuthState.WAITING:
            self.fire(AuthTrigger.PROOF)
        if state is AuthState.PASSED:
            self.fire(AuthTrigger.ACCEPTED)
        elif state is AuthState.FAILED:
            self.machine.judge(Denied(Reason.USER_DISABLED), 1.0)
        assert self.machine.state is state


W, J, P, F = AuthState.WAITING, AuthState.JUDGING, AuthState.PASSED, AuthState.FAILED
T = AuthTrigger


@pytest.mark.parametrize("method", ["pap", "mschapv2"])
@pytest.mark.parametrize(
    ("state", "trigger", "kinds", "following"),
    [
        (W, T.PROOF, [Claim], J),
        (W, T.ACCEPTED, [], W),
        (W, T.DENIED, [], W),
        (J, T.REPEAT, ProtocolError, J),
        (J, T.PROOF, ProtocolError, J),
        (J, T.RESTART, [], J),
        (J, T.ACCEPTED, [Packet, Passed], P),
        (P, T.REPEAT, [Packet], P),
        (P, T.PROOF, ProtocolError, P),
        (P, T.RESTART, [], P),
        (P, T.ACCEPTED, [], P),
        (P, T.DENIED, [], P),
        (F, T.REPEAT, [Packet], F),
        (F, T.PROOF, ProtocolError, F),
        (F, T.RESTART, [], F),
        (F, T.ACCEPTED, [], F),
        (F, T.DENIED, [], F),
    ],
)
def test_every_pair(
    method: str,
    state: AuthState,
    trigger: AuthTrigger,
    kinds: list[type] | type[ProtocolError],
    following: AuthState,
) -> None:
    stand = Stand(method)
    stand.reach(state)
    if isinstance(kinds, type):
        with pytest.raises(kinds):
            stand.fire(trigger)
    else:
        assert [type(output) for output in stand.fire(trigger)] == kinds
    assert stand.machine.state is following


@pytest.mark.parametrize(("method", "states"), [("pap", [F]), ("mschapv2", [W, W, F])])
def test_denied_with_and_without_retries(method: str, states: list[AuthState]) -> None:
    stand = Stand(method, retries=2)
    for at, state in enumerate(states):
        (claim,) = stand.fire(T.PROOF)
        assert isinstance(claim, Claim)
        failure, failed = stand.fire(T.DENIED)
        final = at == len(states) - 1
        assert failed == Failed("alice", Reason.WRONG_PASSWORD, "", final)
        assert stand.machine.state is state
        assert stand.fire(T.REPEAT) == [failure]  # and no second question


@pytest.mark.parametrize(
    ("reason", "forgiven"),
    [
        (Reason.WRONG_PASSWORD, True),
        (Reason.UNKNOWN_USER, True),
        (Reason.USER_DISABLED, False),
        (Reason.USER_EXPIRED, False),
        (Reason.LOCKED_OUT, False),
        (Reason.TOO_MANY_SESSIONS, False),
        (Reason.METHOD_NEEDS_OTHER_VERIFIER, True),  # as for a name that does not exist
    ],
)
def test_what_may_be_tried_again(reason: Reason, forgiven: bool) -> None:
    stand = Stand("mschapv2")
    stand.fire(T.PROOF)
    stand.machine.judge(Denied(reason), 1.0)
    assert stand.machine.state is (W if forgiven else F)


def test_restart_while_waiting() -> None:
    assert Stand("pap").fire(T.RESTART) == []
    stand = Stand("mschapv2")
    (again,) = stand.fire(T.RESTART)
    assert isinstance(again, Packet)
    assert isinstance(stand.challenge, Packet)
    assert again.identifier == (stand.challenge.identifier + 1) % 256
    assert again.data != stand.challenge.data


def test_the_good_verdict_can_be_said_again() -> None:
    stand = Stand("mschapv2")
    assert stand.machine.remind() == []
    stand.fire(T.PROOF)
    success, _ = stand.fire(T.ACCEPTED)
    assert stand.machine.remind() == [success]
    failed = Stand("mschapv2")
    failed.reach(F)
    assert failed.machine.remind() == []


def test_names() -> None:
    assert read_name("Jürgen".encode()) == "Jürgen"
    assert read_name("Jürgen".encode("latin-1")) == "Jürgen"
    assert read_name(b"") == ""
    assert write_name("Jürgen") == "Jürgen".encode()
    assert len(write_name("x" * 1000)) == 255
    with pytest.raises(Malformed):
        read_name(bytes(257))
