"""What PAP and CHAP have in common: outputs, the exchange as a table, codes of failure.

RFC 1334, RFC 1994; the codes are RFC 2759 6. An `Authenticator` demands proof (server), a
`Supplicant` gives it (client). Verifying is a question to the outside, never done here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Final, TypeAlias

from ferrule.core.credentials import Accepted, Denied, Proof, Verdict
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable
from ferrule.core.tables import Verdict as Cell
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Packet
from ferrule.ppp.policy import PppPolicy

RESTART: Final = "auth-restart"
_NAME_OCTETS_MAX: Final = 256

# RFC 2759 6: error codes that Windows shows, and what others may show as text.
FAILURES: Final[Mapping[Reason, tuple[int, str]]] = {
    Reason.USER_DISABLED: (647, "The account is disabled"),
    # Not 648: "password expired" makes Windows ask for a new one, which nobody here would take.
    Reason.USER_EXPIRED: (646, "The account has expired"),
    Reason.TOO_MANY_SESSIONS: (649, "The account has too many sessions"),
}
# One code and text for all the rest: what exists and what does not is not for strangers to know.
FAILURE: Final = (691, "Authentication failed")
# As a client: what the server's code says.
REASON_OF: Final[Mapping[int, Reason]] = {
    648: Reason.USER_EXPIRED,
    **{code: reason for reason, (code, _) in FAILURES.items()},
}
# All three alike: which of them it was would tell that a user exists.
_FORGIVEN: Final = frozenset(
    {Reason.WRONG_PASSWORD, Reason.UNKNOWN_USER, Reason.METHOD_NEEDS_OTHER_VERIFIER}
)


@dataclass(slots=True)
class Claim:
    """The peer gave a proof: ask whether it holds."""

    proof: Proof


@dataclass(slots=True)
class Passed:
    username: str


@dataclass(slots=True)
class Failed:
    """`final`: the link ends; else the peer may try again."""

    username: str
    reason: Reason
    detail: str
    final: bool


AuthOutput: TypeAlias = Packet | Claim | Passed | Failed


def read_name(octets: bytes) -> str:
    """A peer's name: UTF-8, or ISO 8859-1 where it is none. Raises Malformed when too long."""
    if len(octets) > _NAME_OCTETS_MAX:
        raise Malformed(Reason.PPP_MALFORMED, f"a name of {len(octets)} octets")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def write_name(name: str) -> bytes:
    """A name of ours, at most 255 octets."""
    return name.encode("utf-8", "surrogatepass")[:255]


class AuthState(Enum):
    """Of an authenticator."""

    WAITING = "waiting"  # for the peer's proof
    JUDGING = "judging"  # the question is open
    PASSED = "passed"
    FAILED = "failed"  # for good


class AuthTrigger(Enum):
    PROOF = "proof"
    REPEAT = "repeat"  # the very proof that was judged last
    RESTART = "restart"  # the timer ran out
    ACCEPTED = "accepted"
    DENIED = "denied"


@dataclass(slots=True)
class Happening:
    """What a handler of the table below is told."""

    now: float
    packet: Packet = field(default_factory=lambda: Packet(0, 0, b""))
    verdict: Verdict = field(default_factory=lambda: Denied(Reason.INTERNAL_ERROR))


class Authenticator(ABC):
    """Demands proof. `method` is a key of `policy.METHODS`."""

    __slots__ = ("_deadlines", "_judged", "_policy", "_reply", "_tries", "_username", "state")

    protocol: ClassVar[Protocol]

    def __init__(self, policy: PppPolicy, deadlines: Deadlines) -> None:
        self.state = AuthState.WAITING
        self._policy = policy
        self._deadlines = deadlines
        self._judged: Packet | None = None  # the proof that is or was judged last
        self._reply: Packet | None = None  # the verdict on it, as sent
        self._username = ""
        self._tries = 0

    @property
    @abstractmethod
    def method(self) -> str: ...

    @property
    def retriable(self) -> bool:
        """Can the protocol say "try again"?"""
        return False

    @abstractmethod
    def start(self, now: float) -> list[AuthOutput]: ...

    def receive(self, packet: Packet, now: float) -> list[AuthOutput]:
        """Raises Malformed and ProtocolError: drop the packet."""
        trigger = AuthTrigger.REPEAT if self._repeats(packet) else AuthTrigger.PROOF
        return self._run(trigger, Happening(now, packet=packet))

    def judge(self, verdict: Verdict, now: float) -> list[AuthOutput]:
        """The answer to the last Claim."""
        accepted = isinstance(verdict, Accepted)
        trigger = AuthTrigger.ACCEPTED if accepted else AuthTrigger.DENIED
        return self._run(trigger, Happening(now, verdict=verdict))

    def expire(self, now: float) -> list[AuthOutput]:
        return self._run(AuthTrigger.RESTART, Happening(now))

    def remind(self) -> list[Packet]:
        """The good verdict once more: the peer behaves as if it had not come."""
        return [self._reply] if self._reply and self.state is AuthState.PASSED else []

    # --- what the protocols differ in ---------------------------------------------------------

    @abstractmethod
    def _parse(self, packet: Packet) -> Proof: ...

    @abstractmethod
    def _repeats(self, packet: Packet) -> bool:
        """Is this the proof that was judged last?"""

    @abstractmethod
    def _success(self, packet: Packet, verdict: Accepted) -> Packet: ...

    @abstractmethod
    def _failure(self, packet: Packet, reason: Reason, *, final: bool) -> Packet: ...

    def _on_restart(self, what: Happening) -> list[AuthOutput]:
        del what
        return []

    # --- the exchange -------------------------------------------------------------------------

    def _run(self, trigger: AuthTrigger, what: Happening) -> list[AuthOutput]:
        row = EXCHANGE.lookup(self.state, trigger)
        if isinstance(row, Cell):
            if trigger in (AuthTrigger.PROOF, AuthTrigger.REPEAT):
                raise ProtocolError(Reason.PPP_PHASE, f"a proof when {self.state.value}")
            return []
        outputs = row.handler(self, what)
        if row.next is not None:
            self.state = row.next
        return outputs

    def _on_proof(self, what: Happening) -> list[AuthOutput]:
        proof = self._parse(what.packet)
        self._judged = what.packet
        self._username = proof.username
        self._deadlines.clear(RESTART)
        return [Claim(proof)]

    def _on_accepted(self, what: Happening) -> list[AuthOutput]:
        if self._judged is None or not isinstance(what.verdict, Accepted):
            return []
        self._reply = self._success(self._judged, what.verdict)
        return [self._reply, Passed(what.verdict.username)]

    def _on_denied(self, what: Happening) -> list[AuthOutput]:
        if self._judged is None or not isinstance(what.verdict, Denied):
            return []
        reason = what.verdict.reason
        forgiven = self.retriable and reason in _FORGIVEN and self._tries < self._policy.retries
        self._tries += 1
        self._reply = self._failure(self._judged, reason, final=not forgiven)
        self.state = AuthState.WAITING if forgiven else AuthState.FAILED
        return [self._reply, Failed(self._username, reason, "", not forgiven)]

    def _on_repeat(self, what: Happening) -> list[AuthOutput]:
        """RFC 1994 4.2: the same proof gets the same verdict."""
        if self._reply is None:
            return []
        return [Packet(self._reply.code, what.packet.identifier, self._reply.data)]


_Handler: TypeAlias = Callable[[Authenticator, Happening], list[AuthOutput]]
_S, _T, _A = AuthState, AuthTrigger, Authenticator

EXCHANGE: Final[TransitionTable[AuthState, AuthTrigger, _Handler]] = TransitionTable(
    "ppp.authenticator",
    AuthState,
    AuthTrigger,
    [
        Row(_S.WAITING, _T.PROOF, _A._on_proof, _S.JUDGING, "RFC 1994 4.1, RFC 1334 2.2.1"),
        Row(_S.WAITING, _T.REPEAT, _A._on_repeat, _S.WAITING, "RFC 2759 6"),
        Row(_S.WAITING, _T.RESTART, lambda a, what: a._on_restart(what), None, "RFC 1994 4.1"),
        Row(_S.JUDGING, _T.ACCEPTED, _A._on_accepted, _S.PASSED, "RFC 1994 4.2"),
        Row(_S.JUDGING, _T.DENIED, _A._on_denied, None, "RFC 1994 4.2"),
        Row(_S.PASSED, _T.REPEAT, _A._on_repeat, _S.PASSED, "RFC 1994 4.2"),
        Row(_S.FAILED, _T.REPEAT, _A._on_repeat, _S.FAILED, "RFC 1994 4.2"),
    ],
    ignored={
        _S.WAITING: (_T.ACCEPTED, _T.DENIED),
        _S.JUDGING: (_T.REPEAT, _T.RESTART),
        _S.PASSED: (_T.RESTART, _T.ACCEPTED, _T.DENIED),
        _S.FAILED: (_T.RESTART, _T.ACCEPTED, _T.DENIED),
    },
    refused={_S.JUDGING: (_T.PROOF,), _S.PASSED: (_T.PROOF,), _S.FAILED: (_T.PROOF,)},
)


class Supplicant(ABC):
    """Gives proof, as a client. `method` is a key of `policy.METHODS`."""

    __slots__ = ()

    protocol: ClassVar[Protocol]

    @property
    @abstractmethod
    def method(self) -> str: ...

    @abstractmethod
    def start(self, now: float) -> list[AuthOutput]: ...

    @abstractmethod
    def receive(self, packet: Packet, now: float) -> list[AuthOutput]:
        """Raises Malformed and ProtocolError: drop the packet."""

    @abstractmethod
    def expire(self, now: float) -> list[AuthOutput]: ...
