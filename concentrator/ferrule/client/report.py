"""What a probe found out, for people and for machines; and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

from ferrule.client.effects import Step
from ferrule.core.reasons import Reason, info


class Outcome(IntEnum):
    """The exit codes of `ferrule probe`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_ANSWER = 3


STEP_TITLES: Final[Mapping[Step, str]] = MappingProxyType(
    {
        Step.PHASE1: "IKE phase 1",
        Step.NAT: "NAT traversal",
        Step.PHASE2: "IKE phase 2",
        Step.TUNNEL: "L2TP tunnel",
        Step.CALL: "L2TP call",
        Step.LCP: "LCP",
        Step.AUTH: "authentication",
        Step.IPCP: "IPCP",
        Step.PING: "ping",
        Step.HTTP: "http",
    }
)

# core.reasons speaks to the operator of a server about a client. Where a probe stands on the other
# side, this table says the same from there: summary and remedy.
_SEEN_FROM_HERE: Final[Mapping[Reason, tuple[str, str]]] = MappingProxyType(
    {
        Reason.PHASE1_TIMEOUT: (
            "the server stopped answering during phase 1",
            "a wrong pre-shared key where the server does not say so, UDP port 4500 blocked, or "
            "large datagrams get lost; the server's log names the reason",
        ),
        Reason.PHASE2_TIMEOUT: (
            "the server stopped answering during Quick Mode",
            "UDP port 4500 is blocked or unreliable, or the server refuses without a word; see "
            "its log",
        ),
        Reason.PEER_NOTIFY: (
            "the server refused with a notification",
            "see the detail here and the reason in the server's log",
        ),
        Reason.NO_PROPOSAL: (
            "the server accepts none of the offered phase 1 transforms",
            "offer others with --phase1, or allow them in the server's ipsec.proposals; its log "
            "says whether a weak group was the cause",
        ),
        Reason.NO_PHASE2_PROPOSAL: (
            "the server accepts none of the offered ESP transforms",
            "offer others with --phase2, or allow them in the server's ipsec.proposals",
        ),
        Reason.WRONG_KEY: (
            "the server says that the pre-shared keys differ",
            "compare the pre-shared key with the server's; mind blanks and line ends in the file",
        ),
        Reason.L2TP_TIMEOUT: (
            "the server stopped answering during the set-up of L2TP",
            "ESP packets get lost (is UDP 4500 open both ways?), or nothing listens for L2TP "
            "behind IPsec",
        ),
        Reason.L2TP_REFUSED: (
            "the server refused the L2TP tunnel or call",
            "see the result code here and the reason in the server's log; often a session limit",
        ),
        Reason.LCP_TIMEOUT: (
            "the server stopped answering during LCP",
            "its path lost packets, or PPP does not start at the server; see its log",
        ),
        Reason.NO_AUTH_METHOD: (
            "the server asks for an authentication method that this probe was not given",
            "name another with --auth, or allow one in the server's ppp.auth",
        ),
        Reason.UNKNOWN_USER: (
            "the server refused user name and password",
            "check both; a server that keeps its users secret says no more, its log does",
        ),
        Reason.WRONG_PASSWORD: (
            "the server refused user name and password",
            "check both; a server that keeps its users secret says no more, its log does",
        ),
        Reason.AUTH_TIMEOUT: (
            "the server gave no verdict on user name and password",
            "the server, or what it asks (RADIUS, a directory), is slow or down",
        ),
        Reason.IPCP_TIMEOUT: (
            "the server stopped answering during IPCP",
            "no address was free, or its path lost packets; see the server's log",
        ),
        Reason.PEER_CLOSED: ("the server closed the connection", "its log says why"),
        Reason.ADMIN_KICK: ("the probe was interrupted, and left in good order", ""),
        Reason.PEER_DEAD: (
            "the server does not answer dead peer detection",
            "the server is gone, or the path to it is",
        ),
        Reason.LCP_ECHO_TIMEOUT: (
            "the server did not answer LCP echo requests",
            "the server is gone, or the path to it is",
        ),
    }
)


def explain(reason: Reason) -> tuple[str, str]:
    """What happened and the likely remedy, from where a client stands."""
    row = info(reason)
    summary, _, _ = row.summary.partition(" (seen by")
    return _SEEN_FROM_HERE.get(reason, (summary, row.remedy))


@dataclass(slots=True)
class StepReport:
    """A step that was done."""

    step: Step
    seconds: float
    facts: dict[str, str | float] = field(default_factory=dict)


@dataclass(slots=True)
class Trouble:
    """Why the probe ended early, and in which step."""

    step: Step
    reason: Reason
    detail: str

    @property
    def outcome(self) -> Outcome:
        return Outcome.NO_ANSWER if self.reason is Reason.NO_ANSWER else Outcome.FAILED


@dataclass(slots=True)
class ProbeReport:
    """All of it. `seconds` is from the first datagram to IPCP open, None if it never was."""

    server: str
    steps: list[StepReport] = field(default_factory=list)
    seconds: float | None = None
    trouble: Trouble | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome.OK if self.trouble is None else self.trouble.outcome

    def as_json(self) -> dict[str, Any]:
        """One object; times in seconds. Its keys are stable."""
        report: dict[str, Any] = {
            "server": self.server,
            "ok": self.trouble is None,
            "exit_code": int(self.outcome),
            "connect_seconds": _rounded(self.seconds),
            "steps": [
                {
                    "step": done.step.value,
                    "seconds": _rounded(done.seconds),
                    **{name: _rounded(value) for name, value in done.facts.items()},
                }
                for done in self.steps
            ],
        }
        if self.trouble is not None:
            summary, remedy = explain(self.trouble.reason)
            report["failure"] = {
                "step": self.trouble.step.value,
                "reason": self.trouble.reason.value,
                "summary": summary,
                "detail": self.trouble.detail,
                "remedy": remedy,
            }
        return report


def _rounded(value: str | float | None) -> str | float | None:
    return round(value, 6) if isinstance(value, float) else value
