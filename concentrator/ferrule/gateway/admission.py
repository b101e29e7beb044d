"""Who may come in, when this process is all there is: the answer comes from the accounts, at once.

Several members ask a store that they share instead (`runtime.leases`), and keep in the accounts
what it granted. What both do alike is here: a host that comes back in another tunnel ends what it
left in the former one, and sessions that had to make room are ended after the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Final, Protocol

from ferrule.accounts.admission import Accounts
from ferrule.core.credentials import Denied
from ferrule.core.reasons import Reason
from ferrule.gateway import effects as g
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey

_ANY: Final = IPv4Address(0)


class Leases(Protocol):
    """Answers the gateway's questions of admission, and is told when a session is over."""

    def ask(self, question: g.AskAdmission, now: float) -> list[g.GatewayEffect]:
        """What follows from the answer; nothing, if that comes later."""

    def release(self, over: g.ReleaseLease) -> None: ...


class LocalLeases:
    """Those of one process: the accounts' own."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def ask(self, question: g.AskAdmission, now: float) -> list[g.GatewayEffect]:
        accounts = self._gateway.site.accounts
        key = SessionKey(question.client, question.tunnel, question.session)
        ended = list(formers(accounts, key, question.username))
        for former in ended:
            accounts.release(former)  # its address is free at once
        admission = accounts.admit(key, question.username, question.source, now, question.identity)
        outcome: IPv4Address | Reason
        if isinstance(admission, Denied):
            outcome = admission.reason
        else:
            ended += [stale for stale in admission if isinstance(stale, SessionKey)]
            outcome = accounts.lease(key, question.username, _ANY, now)
            if isinstance(outcome, Reason):
                accounts.release(key)
        return conclude(self._gateway, question, outcome, ended, now)

    def release(self, over: g.ReleaseLease) -> None:
        accounts = self._gateway.site.accounts
        accounts.release(SessionKey(over.client, over.tunnel, over.session))


def formers(accounts: Accounts, key: SessionKey, username: str) -> tuple[SessionKey, ...]:
    """What the user has in another tunnel of this very host, which ends.

    Its machine lost its memory and did not say INITIAL-CONTACT (strongSwan's default). The host
    lives, so neither dead peer detection nor Hello would ever find the old tunnel dead."""
    return tuple(
        former
        for former in accounts.sessions.of_user(username)
        if isinstance(former, SessionKey)
        and former.client == key.client
        and former.tunnel != key.tunnel
    )


def conclude(
    gateway: Gateway,
    question: g.AskAdmission,
    outcome: IPv4Address | Reason,
    ended: Iterable[SessionKey],
    now: float,
) -> list[g.GatewayEffect]:
    """Answer, and end the sessions that had to make room."""
    answer = g.AdmissionDone(
        question.client, question.tunnel, question.session, question.ask, outcome
    )
    effects = gateway.answer(answer, now)
    for key in ended:
        effects += gateway.close_session(key, Reason.REPLACED_SESSION, now)
    return effects
