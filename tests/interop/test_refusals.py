"""Refusals: the client learns at once, log and metric name stage and remedy."""

from __future__ import annotations

import pytest

from interop.rig.peers import Client, ConnectFailed
from interop.rig.scenario import profile_of
from interop.rig.server import Server
from support.measured import Measured

QUICK_SECONDS = 1.5


def refused(
    client: Client,
    server: Server,
    measured: Measured,
    *,
    stage: str,
    reason: str,
    told: str,
    **changes: object,
) -> None:
    """Connect in vain; `told` is a pattern of what the client's programs must print soon."""
    mark = server.mark()
    before = server.metric("ferrule_failures_total", stage=stage, reason=reason)
    started = client.guest.mark()
    with pytest.raises(ConnectFailed) as failure:
        client.connect(profile_of(**{"user": "alice", **changes}), seconds=8)
    line = client.guest.find_line(told, started, timeout=QUICK_SECONDS)
    assert line is not None, failure.value
    began = client.guest.await_line(client.ike.began, started, timeout=0)
    measured.add(f"the client is told after {line.at - began.at:.3f} s: {line.text}")
    assert line.at - began.at < QUICK_SECONDS
    logged = server.await_log(mark, event="set-up failed", reason=reason)
    measured.add(f"server: {logged['stage']}: {logged['summary']}; remedy: {logged['remedy']}")
    assert logged["stage"] == stage
    assert logged["remedy"]
    assert server.metric("ferrule_failures_total", stage=stage, reason=reason) == before + 1
    client.reset()
    assert server.sessions() == []


def test_weak_group(server: Server, behind_nat: Client, measured: Measured) -> None:
    refused(
        behind_nat,
        server,
        measured,
        stage="phase1",
        reason="weak_group",
        told="NO_PROPOSAL_CHOSEN",
        ike="aes256-sha1-modp1024,3des-sha1-modp1024",
    )


def test_wrong_key(server: Server, behind_nat: Client, measured: Measured) -> None:
    """strongSwan prints the notify but waits on: with two keys nothing can be proven to it."""
    refused(
        behind_nat,
        server,
        measured,
        stage="phase1",
        reason="wrong_key",
        told=r"parsed INFORMATIONAL_V1 request \d+ \[ N\(AUTH_FAILED\) \]",
        psk="not-the-key",
    )


def test_no_phase2_proposal(server: Server, behind_nat: Client, measured: Measured) -> None:
    refused(
        behind_nat,
        server,
        measured,
        stage="phase2",
        reason="no_phase2_proposal",
        told="NO_PROPOSAL_CHOSEN",
        esp="aes128-md5",
    )


@pytest.mark.parametrize("method", ["mschap-v2", "chap", "pap"])
@pytest.mark.parametrize(
    ("user", "password", "reason", "code"),
    [
        ("alice", "wrong", "wrong_password", 691),
        ("nobody", "whatever", "unknown_user", 691),
        ("disabled", None, "user_disabled", 647),
        ("expired", None, "user_expired", 646),
    ],
)
def test_account(
    user: str,
    password: str | None,
    reason: str,
    code: int,
    method: str,
    server: Server,
    behind_nat: Client,
    measured: Measured,
) -> None:
    told = {
        "mschap-v2": rf"rcvd \[CHAP Failure id=\S+ \"E={code} R=[01]",
        "chap": r"rcvd \[CHAP Failure",
        "pap": r"rcvd \[PAP AuthNak",
    }[method]
    changes: dict[str, object] = {} if password is None else {"password": password}
    refused(
        behind_nat,
        server,
        measured,
        stage="auth",
        reason=reason,
        told=told,
        user=user,
        methods=(method,),
        **changes,
    )


def test_no_common_method(server: Server, behind_nat: Client, measured: Measured) -> None:
    """A client that takes only MS-CHAPv1, which is off."""
    refused(
        behind_nat,
        server,
        measured,
        stage="lcp",
        reason="no_auth_method",
        told=r"rcvd \[LCP TermReq|LCP terminated by peer|peer refused",
        methods=("mschap",),
    )
