"""What the kernel knows about a server on this machine: memory and CPU time, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


class ServerProcess:
    """One process by its id. The methods raise OSError once it is gone."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._path = Path(f"/proc/{pid}")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time so far, of all threads."""
        # The name, in parentheses, may hold blanks; what follows it is fields 3 and up (proc(5)).
        fields = (self._path / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / self._ticks

    def resident_octets(self) -> int:
        return int((self._path / "statm").read_text().split()[1]) * self._page
