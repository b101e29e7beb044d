"""How far a set-up has come, and what each step took."""

from __future__ import annotations

from ferrule.client.effects import Step, StepDone


class Progress:
    """`step` is the one under way. Times in seconds of the caller's clock."""

    __slots__ = ("since", "started_at", "step")

    def __init__(self) -> None:
        self.step = Step.PHASE1
        self.started_at = 0.0
        self.since = 0.0  # when the step under way began

    def start(self, now: float) -> None:
        self.started_at = self.since = now

    def done(
        self, step: Step, facts: dict[str, str | float], now: float, following: Step
    ) -> StepDone:
        """`step` is over, `following` begins."""
        seconds, self.since = now - self.since, now
        self.step = following
        return StepDone(step, seconds, facts)
