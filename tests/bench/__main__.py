"""`make bench`: each bench in a process of its own, in turn; `--json` for one object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHES = ("plane", "setups", "store")


def main() -> None:
    as_json = "--json" in sys.argv[1:]
    results: dict[str, list[object]] = {}  # the objects that each prints, a line each
    for name in BENCHES:
        script = str(Path(__file__).parent / f"{name}.py")
        if not as_json:
            print(f"--- {name}", flush=True)
            subprocess.run([sys.executable, script], check=True)
            continue
        said = subprocess.run(
            [sys.executable, script, "--json"], check=True, stdout=subprocess.PIPE, text=True
        )
        results[name] = [json.loads(line) for line in said.stdout.splitlines()]
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
