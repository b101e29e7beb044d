"""The report: exit codes, stable JSON, words for every reason from where a client stands."""

from __future__ import annotations

import json

import pytest

from ferrule.client.effects import Step
from ferrule.client.report import (
    STEP_TITLES,
    Outcome,
    ProbeReport,
    StepReport,
    Trouble,
    explain,
)
from ferrule.core.reasons import Reason


def test_success_as_json() -> None:
    report = ProbeReport(
        "192.0.2.1:500",
        [StepReport(Step.PHASE1, 0.0123456789, {"suite": "aes256-sha1-modp2048"})],
        seconds=0.25,
    )
    assert report.outcome is Outcome.OK
    assert json.loads(json.dumps(report.as_json())) == {
        "server": "192.0.2.1:500",
        "ok": True,
        "exit_code": 0,
        "connect_seconds": 0.25,
        "steps": [{"step": "phase1", "seconds": 0.012346, "suite": "aes256-sha1-modp2048"}],
    }


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [(Reason.NO_ANSWER, Outcome.NO_ANSWER), (Reason.WRONG_KEY, Outcome.FAILED)],
)
def test_failure_as_json(reason: Reason, outcome: Outcome) -> None:
    report = ProbeReport("h", trouble=Trouble(Step.PHASE1, reason, "why"))
    assert report.outcome is outcome
    said = report.as_json()
    assert said["ok"] is False
    assert said["exit_code"] == int(outcome)
    assert said["connect_seconds"] is None
    failure = said["failure"]
    assert (failure["step"], failure["reason"], failure["detail"]) == (
        "phase1",
        reason.value,
        "why",
    )
    assert failure["summary"]
    assert failure["remedy"]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_explained(reason: Reason) -> None:
    summary, _ = explain(reason)
    assert summary
    assert "seen by ferrule probe" not in summary


def test_every_step_has_a_title() -> None:
    assert list(STEP_TITLES) == list(Step)
