"""A gateway of a demo: its files, and what is said when it does not start or is not there."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ferrule.runtime.demo_gateway import DemoGateway, StageError
from ferrule.runtime.demo_net import Namespace

HOST = "127.0.1.9"  # where nobody serves HTTP


@pytest.fixture
def gateway(tmp_path: Path) -> DemoGateway:
    return DemoGateway("pod-7", tmp_path, HOST)


class Plain(Namespace):
    """Our own, without entering it, which takes a privilege."""

    def __init__(self) -> None:
        super().__init__(-1)

    def start(self, argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)


def test_its_files_are_its_own(gateway: DemoGateway) -> None:
    gateway.write_config("first")
    gateway.write_config("second")
    assert gateway.config.read_text() == "second"
    assert stat.S_IMODE(gateway.config.stat().st_mode) == 0o600
    assert {path.name for path in gateway.config.parent.iterdir()} == {"pod-7.yaml"}
    assert gateway.admin.name == "pod-7.sock"


def test_the_log_is_empty_before_there_is_one(gateway: DemoGateway) -> None:
    assert gateway.log_end() == ""
    gateway.log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert gateway.log_end().splitlines()[-1] == "line 99"
    assert len(gateway.log_end().splitlines()) == 30


async def test_one_that_does_not_start_says_why(gateway: DemoGateway) -> None:
    gateway.write_config("gateway: {pools: nonsense}\n")
    with pytest.raises(StageError, match=r"(?s)pod-7 did not start.*pools"):
        await gateway.start(Plain())


async def test_nobody_is_not_ready(gateway: DemoGateway) -> None:
    assert not await gateway.ready()
    gateway.kill()  # nothing to kill is no error
