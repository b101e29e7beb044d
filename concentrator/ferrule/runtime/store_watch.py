"""Whether the store answers, and since when not: for status, metrics and the log."""

from __future__ import annotations

import time

import structlog


class StoreWatch:
    """Told of each question's end."""

    def __init__(self) -> None:
        self.up = False
        self.why = "not asked yet"
        self._log = structlog.get_logger("ferrule")
        self._since: float | None = None

    def answered(self) -> None:
        if self._since is not None:
            seconds = round(time.monotonic() - self._since, 1)
            self._log.info("the store answers again", seconds=seconds)
        self._since = None
        self.up, self.why = True, ""

    def failed(self, why: str) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._log.warning("the store is away", cause=why)
        self.up, self.why = False, why
