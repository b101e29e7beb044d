"""What each step took is what passed since the one before it."""

from __future__ import annotations

from ferrule.client.effects import Step, StepDone
from ferrule.client.progress import Progress


def test_steps_add_up() -> None:
    progress = Progress()
    progress.start(10.0)
    assert progress.step is Step.PHASE1
    first = progress.done(Step.PHASE1, {"suite": "x"}, 10.5, Step.PHASE2)
    assert first == StepDone(Step.PHASE1, 0.5, {"suite": "x"})
    assert progress.step is Step.PHASE2
    assert progress.done(Step.PHASE2, {}, 12.0, Step.TUNNEL).seconds == 1.5
    assert (progress.started_at, progress.since) == (10.0, 12.0)
