"""Output commit in virtual time: what waits, for what, how long, and in which order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.ids import ClientId
from ferrule.runtime.outbox import HOLD_SECONDS, Outbox

ADA, BOB = ClientId(1), ClientId(2)


def test_a_message_waits_for_the_check_point_that_covers_it() -> None:
    outbox: Outbox[str, str] = Outbox()
    outbox.hold(ADA, "one", 0.0)
    outbox.cover(ADA)
    outbox.hold(ADA, "two", 0.1)
    assert ADA in outbox
    assert outbox.written(ADA, 0.2) == (["one"], [])
    assert outbox.written(ADA, 0.2) == ([], [])  # the second was not in it
    outbox.cover(ADA)
    assert outbox.written(ADA, 0.3) == (["two"], [])
    assert ADA not in outbox
    assert len(outbox) == 0


def test_a_moment_at_most() -> None:
    outbox: Outbox[str, str] = Outbox()
    outbox.hold(ADA, "one", 0.0)
    outbox.cover(ADA)
    outbox.hold(ADA, "two", 0.1)
    outbox.hold(BOB, "three", 0.1)
    assert outbox.deadline == HOLD_SECONDS
    assert outbox.overdue(HOLD_SECONDS - 0.01) == []
    assert outbox.overdue(HOLD_SECONDS) == ["one", "two"]
    assert outbox.deadline == 0.1 + HOLD_SECONDS
    assert outbox.everything() == ["three"]
    assert outbox.deadline is None


def test_a_promise_waits_as_long_as_it_takes() -> None:
    outbox: Outbox[str, str] = Outbox()
    outbox.promise(ADA, "numbers", 0.0)
    assert ADA not in outbox  # no message waits
    assert outbox.deadline is None
    outbox.hold(ADA, "one", 5.0)
    assert outbox.deadline == 5.0 + HOLD_SECONDS
    assert outbox.overdue(9.0) == ["one"]
    assert outbox.everything() == []
    assert outbox.written(ADA, 9.0) == ([], [])  # not covered
    outbox.cover(ADA)
    assert outbox.written(ADA, 9.0) == ([], ["numbers"])
    assert len(outbox) == 0


def test_promises_can_be_taken_back() -> None:
    outbox: Outbox[str, str] = Outbox()
    outbox.promise(ADA, "first", 0.0)
    outbox.cover(ADA)
    outbox.promise(ADA, "second", 0.0)
    assert outbox.promises(ADA) == ["first", "second"]
    assert outbox.promises(BOB) == []
    assert len(outbox) == 0


def test_who_is_another_s_is_dropped() -> None:
    outbox: Outbox[str, str] = Outbox()
    outbox.hold(ADA, "one", 0.0)
    outbox.promise(ADA, "numbers", 0.0)
    outbox.drop(ADA)
    assert outbox.release(ADA) == outbox.promises(ADA) == outbox.everything() == []


STEPS = st.lists(
    st.sampled_from(("hold", "promise", "cover", "written", "overdue", "release")), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_nothing_is_lost_doubled_or_re_ordered(steps: list[str]) -> None:
    outbox: Outbox[int, int] = Outbox()
    out: list[int] = []
    kept: list[int] = []
    covered = 0
    for now, step in enumerate(steps):
        match step:
            case "hold":
                outbox.hold(ADA, now, float(now))
            case "promise":
                outbox.promise(ADA, now, float(now))
            case "cover":
                outbox.cover(ADA)
                covered = now
            case "written":
                messages, promises = outbox.written(ADA, float(now))
                out += messages
                kept += promises
                assert all(promise < covered for promise in promises)
            case "overdue":
                out += outbox.overdue(float(now))
            case "release":
                out += outbox.release(ADA)
    out += outbox.everything()
    kept += outbox.promises(ADA)
    assert out == [at for at, step in enumerate(steps) if step == "hold"]
    assert kept == [at for at, step in enumerate(steps) if step == "promise"]
    assert len(outbox) == 0
