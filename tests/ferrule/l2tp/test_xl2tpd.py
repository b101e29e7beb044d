"""Conversations with a real xl2tpd, recorded once and replayed: the same octets go out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferrule.core.ids import TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.avp import parse_avps
from ferrule.l2tp.effects import L2tpEffect, SendL2tp, TunnelUp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.header import parse_control
from ferrule.l2tp.messages import Sccrq, read_message
from support.l2tp import endpoint, message_of, sent

_FILE = Path(__file__).parents[2] / "vectors" / "l2tp_xl2tpd.json"
RUNS: list[dict[str, Any]] = json.loads(_FILE.read_text())["runs"]


def tell(effects: list[L2tpEffect]) -> list[str]:
    """Kind and reason of what is not a message."""
    lines = []
    for effect in effects:
        if not isinstance(effect, SendL2tp):
            reason = getattr(effect, "reason", None)
            lines.append(type(effect).__name__ + (f" {reason.value}" if reason else ""))
    return lines


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["name"])
def test_replay(run: dict[str, Any]) -> None:
    secret = Secret(run["secret"].encode()) if run["secret"] else None
    end: L2tpEndpoint = endpoint(7, host_name="gateway", vendor="Ferrule", tunnel_secret=secret)
    tunnel = TunnelId(0)
    for step in run["steps"]:
        now: float = step["at"]
        message = bytes.fromhex(step.get("message", ""))
        verbs: dict[str, Callable[[], list[L2tpEffect]]] = {
            "receive": lambda message=message, now=now: end.receive(message, now),
            "open_tunnel": lambda now=now: end.open_tunnel(now),
            "open_session": lambda now=now, tunnel=tunnel: end.open_session(tunnel, now),
            "close": lambda now=now: end.close(Reason.ADMIN_KICK, now),
        }
        effects = verbs[step["do"]]()
        assert [m.hex() for m in sent(effects)] == step["sent"]
        assert tell(effects) == step["told"]
        tunnel = next((e.tunnel for e in effects if isinstance(e, TunnelUp)), tunnel)


RECEIVED = [
    bytes.fromhex(step["message"]) for run in RUNS for step in run["steps"] if "message" in step
]


@pytest.mark.parametrize("message", [m for m in RECEIVED if len(m) > 12], ids=bytes.hex)
def test_every_message_of_xl2tpd_reads_without_a_fault(message: bytes) -> None:
    parsed = read_message(parse_avps(parse_control(message)[1], None))
    assert parsed.fault is None
    assert parsed.message is not None


def test_the_request_of_xl2tpd() -> None:
    requests = [message_of(message) for message in RECEIVED if len(message) > 12]
    request = next(m for m in requests if isinstance(m, Sccrq))
    assert request.host_name == b"client"
    assert request.vendor_name == b"xelerance.com"
    assert request.receive_window_size == 4
