"""What every suite shares: what tests measured is told, and where CI runs nothing may be left out
silently."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from support.measured import Measured

_measured = pytest.StashKey[list[tuple[str, str]]]()

# Where CI runs, the examples are the same each time, so that a run can be repeated; everywhere
# else they are drawn anew, and what is found becomes a test.
settings.register_profile("ci", derandomize=True)
if os.environ.get("FERRULE_NO_SKIPS"):
    settings.load_profile("ci")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_measured] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash[_measured]
    if rows:
        terminalreporter.section("measured")
        for name, text in rows:
            terminalreporter.write_line(f"{name}: {text}")


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Where a test writes down what it measured."""
    return Measured(request.node.name, request.config.stash[_measured])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With FERRULE_NO_SKIPS (CI sets it) a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("FERRULE_NO_SKIPS"):
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} tests were skipped, and none may be here", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
