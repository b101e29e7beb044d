"""How a demo tells what it does."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from ferrule.cli.teller import Teller, spell_time


def test_acts_are_numbered_and_markup_is_text() -> None:
    out = io.StringIO()
    teller = Teller(Console(file=out, width=80), width=6, patience=1.0)
    teller.title("first")
    teller.tell("[red]", 0.0125, "[bold]")
    teller.title("second")
    assert out.getvalue() == "\n1  first\n   ✓ [red]   12.5 ms  [bold]\n\n2  second\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.0 ms"), (0.9994, "999.4 ms"), (1, "1.00 s")]
)
def test_time_has_its_unit(seconds: float, text: str) -> None:
    assert spell_time(seconds) == text


async def test_patience_ends() -> None:
    teller = Teller(Console(file=io.StringIO()), width=6, patience=0.01)

    async def wait() -> None:
        async with teller.waiting("for ever") as update:
            update("still")
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
