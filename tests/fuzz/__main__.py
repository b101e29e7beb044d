"""`python -m fuzz TARGET CORPUS… [libFuzzer options]` fuzzes a target; `--list` names them all.

Needs atheris (requirements/fuzz.lock); tools/fuzz.sh runs all targets.
"""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        from fuzz.all_targets import TARGETS

        print("\n".join(TARGETS))
        return

    import atheris  # the rest of tests/fuzz works without it

    with atheris.instrument_imports(include=["ferrule"]):
        from fuzz.all_targets import TARGETS

    name = sys.argv.pop(1)
    target = TARGETS[name]
    atheris.Setup([*sys.argv, f"-max_len={target.octets_max}"], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
