"""The whole demo, as a person runs it: real processes, real sockets, a real TUN."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from support.netns import obstacle


@pytest.mark.netns
def test_the_demo_works_from_end_to_end() -> None:
    if obstacle():
        pytest.skip(f"left out: {obstacle()}")
    run = subprocess.run(
        [sys.executable, "-m", "ferrule.cli.main", "demo", "--seconds", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert run.returncode == 0, run.stdout
    said = run.stdout
    for act in range(1, 12):
        assert re.search(rf"^{act}  \S", said, re.MULTILINE), f"act {act} is missing\n{said}"
    for done in ("connected", "answered", "whole", "refused", "alice is off", "bob was told"):
        assert re.search(rf"✓ {done} ", said), said
    assert re.search(r"✓ \d+\.\d Mbit/s", said)
    assert "All of it worked" in said
    assert "✗" not in said
