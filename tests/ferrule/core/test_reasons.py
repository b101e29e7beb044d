"""Each reason tells a person something."""

from __future__ import annotations

import pytest

from ferrule.core.reasons import REASONS, Reason, Stage, info


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_summary_and_a_remedy(reason: Reason) -> None:
    row = info(reason)
    assert row.summary
    assert row.summary[0].islower() or row.summary.split()[0].isupper()
    assert not row.summary.endswith(".")
    assert row.remedy
    assert row.stage in Stage


def test_values_are_labels() -> None:
    assert all(reason.value.replace("_", "").isalnum() for reason in Reason)
    assert all(reason.value == reason.name.lower() for reason in Reason)
    assert len(REASONS) == len(Reason)
