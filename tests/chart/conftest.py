"""One scrape of a real concentrator, for all tests of what names its metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.concentrator import serving
from support.netns import run_inside
from support.promql import Scrape

# What scraping adds: the first three by the chart's PodMonitor, the others by Prometheus.
TARGET = ("namespace", "gateway", "pod", "job", "instance")


@pytest.fixture(scope="session")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """While somebody is on, after somebody failed to connect."""
    page: Path = tmp_path_factory.mktemp("scrape") / "page"

    def scenario() -> None:
        with serving(page.parent) as concentrator:
            concentrator.somebody_fails()
            with concentrator.somebody_on():
                page.write_text(concentrator.page())

    run_inside(scenario)
    return Scrape(page.read_text(), TARGET)
