"""`make demo-cluster` as a person runs it: three gateways, a real Valkey, twenty clients."""

from __future__ import annotations

import os
import re
import subprocess
import sys


def test_the_demo_works_from_end_to_end() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "ferrule.cli.main", "demo-cluster"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert run.returncode == 0, run.stdout
    said = run.stdout
    for act in range(1, 10):
        assert re.search(rf"^{act}  \S", said, re.MULTILINE), f"act {act} is missing\n{said}"
    for done in ("20 connected", "none lost", "taken over", "nobody lost", "no session ended"):
        assert re.search(rf"✓ {done} ", said), said
    assert re.search(r"500 at (pod-\d), 4500 at (?!\1)pod-\d", said)
    assert "All of it worked" in said
    assert "✗" not in said
