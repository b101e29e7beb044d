"""What tests measured: written down while they run, and printed at the end of the run."""

from __future__ import annotations


class Measured:
    """Of one test; what it adds is printed at once too, with -s."""

    def __init__(self, name: str, rows: list[tuple[str, str]]) -> None:
        self._name = name
        self._rows = rows

    def add(self, what: object, who: str = "") -> None:
        """One line."""
        text = f"{who}: {what}" if who else str(what)
        self._rows.append((self._name, text))
        print(f"\n{self._name}: {text}")  # noqa: T201
