from __future__ import annotations

import json

import pytest

from ferrule.core.reasons import REASONS, Reason
from ferrule.telemetry.canonical import SessionRecord, session_ended, session_up, setup_failed

RECORD = SessionRecord(
    peer="198.51.100.7:4500",
    identity="192.168.1.5",
    username="alice",
    address="10.20.0.2",
    auth_method="mschapv2",
    phase1_suite="aes256-sha256-ecp256",
    phase2_suite="aes256gcm16",
    client_name="xl2tpd",
    session="1/2/3",
    stages={"phase1": 0.0421337, "total": 0.5},
    seconds=3601.25,
    octets_up=10,
    octets_down=20,
    packets_up=1,
    packets_down=2,
)
KNOWN = {
    "user": "alice",
    "address": "10.20.0.2",
    "peer": "198.51.100.7:4500",
    "identity": "192.168.1.5",
    "client": "xl2tpd",
    "auth": "mschapv2",
    "phase1": "aes256-sha256-ecp256",
    "phase2": "aes256gcm16",
    "session": "1/2/3",
}


def test_up() -> None:
    assert session_up(RECORD) == KNOWN | {"phase1_seconds": 0.042, "total_seconds": 0.5}


def test_ended_tells_it_all() -> None:
    line = session_ended(RECORD, Reason.REPLACED_SESSION, "by 4/5/6")
    row = REASONS[Reason.REPLACED_SESSION]
    assert line == KNOWN | {
        "seconds": 3601.2,
        "octets_up": 10,
        "octets_down": 20,
        "packets_up": 1,
        "packets_down": 2,
        "reason": "replaced_session",
        "summary": row.summary,
        "detail": "by 4/5/6",
        "remedy": row.remedy,
        "phase1_seconds": 0.042,
        "total_seconds": 0.5,
    }


def test_failed_names_stage_reason_remedy_and_what_the_client_shows() -> None:
    line = setup_failed(SessionRecord(peer="198.51.100.7:500"), Reason.WEAK_GROUP, "offered ...")
    row = REASONS[Reason.WEAK_GROUP]
    assert line == {
        "stage": "phase1",
        "peer": "198.51.100.7:500",
        "reason": "weak_group",
        "summary": row.summary,
        "detail": "offered ...",
        "remedy": row.remedy,
        "client_shows": row.shows,
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_makes_a_line(reason: Reason) -> None:
    for line in (session_ended(RECORD, reason), setup_failed(RECORD, reason)):
        assert line["reason"] == reason.value
        assert "detail" not in line
        assert json.dumps(line)
