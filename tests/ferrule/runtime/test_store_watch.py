"""Whether the store answers, and since when not."""

from __future__ import annotations

from structlog.testing import capture_logs

from ferrule.runtime.store_watch import StoreWatch


def test_it_is_told_once_when_the_store_goes_and_once_when_it_comes_back() -> None:
    watch = StoreWatch()
    assert (watch.up, watch.why) == (False, "not asked yet")
    with capture_logs() as lines:
        watch.answered()
        assert (watch.up, watch.why) == (True, "")
        watch.failed("ConnectionError")
        watch.failed("no answer in time")
        assert (watch.up, watch.why) == (False, "no answer in time")
        watch.answered()
        watch.answered()
    assert [line["event"] for line in lines] == ["the store is away", "the store answers again"]
    assert lines[0]["cause"] == "ConnectionError"
