"""What /proc says about a process: this one."""

from __future__ import annotations

import os

import pytest

from ferrule.client.server_process import ServerProcess


def test_this_process() -> None:
    process = ServerProcess(os.getpid())
    before = process.cpu_seconds()
    sum(number * number for number in range(2_000_000))
    assert process.cpu_seconds() > before
    assert 1 << 20 < process.resident_octets() < 1 << 40


def test_a_process_that_is_gone() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(OSError, match=str(child)):
        ServerProcess(child).cpu_seconds()
