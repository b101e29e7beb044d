"""How a demo tells what it does: acts with numbers, a tick with its time for what worked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from rich.console import Console
from rich.markup import escape


class Teller:
    """`width` is that of what was done, in characters; `patience` in seconds."""

    def __init__(self, console: Console, *, width: int, patience: float) -> None:
        self.console = console
        self.patience = patience
        self._width = width
        self._act = 0

    def title(self, text: str) -> None:
        self._act += 1
        self.console.print(f"\n[bold cyan]{self._act}[/bold cyan]  [bold]{text}[/bold]")

    def tell(self, what: str, seconds: float | None = None, detail: str = "") -> None:
        padded = escape(f"{what:<{self._width}}")
        took = "" if seconds is None else spell_time(seconds)
        note = f"  [dim]{escape(detail)}[/dim]" if detail else ""
        self.console.print(f"   [green]✓[/green] {padded} {took:>8}{note}", soft_wrap=True)

    @contextlib.asynccontextmanager
    async def waiting(self, text: str) -> AsyncIterator[Callable[[str], None]]:
        """A spinner, where there is a terminal; what it yields changes its text. Raises
        TimeoutError when patience ends."""
        async with asyncio.timeout(self.patience):
            with self.console.status(text) as status:
                yield status.update


def spell_time(seconds: float) -> str:
    """Short, with its unit."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
