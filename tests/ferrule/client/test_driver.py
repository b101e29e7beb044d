"""The asyncio shell over real sockets on loopback: whole probes, closed ports, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from ferrule.client.driver import Server, Shell, resolve, run_probe
from ferrule.client.effects import Step
from ferrule.client.errands import Ping
from ferrule.client.report import Outcome, StepReport, Trouble
from ferrule.core.deadlines import Deadline
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from support.loopback import HOST, loopback_gateway
from support.pair import INSIDE, client_settings


def pings() -> list[Ping]:
    return [Ping(INSIDE, os.urandom)]


async def test_a_probe_over_real_sockets() -> None:
    seen: list[StepReport | Trouble] = []
    async with loopback_gateway() as gateway:
        report = await run_probe(gateway.server, client_settings(), pings(), seen.append)
        assert report.outcome is Outcome.OK
        assert [step.step for step in report.steps][-2:] == [Step.IPCP, Step.PING]
        assert seen == report.steps
        assert report.seconds is not None
        assert report.seconds < 5
        assert await gateway.emptied()  # the Deletes came through
        (ended,) = gateway.record.ends
        assert ended.reason is Reason.PEER_CLOSED


async def test_a_refusal_over_real_sockets() -> None:
    async with loopback_gateway() as gateway:
        report = await run_probe(gateway.server, client_settings(password="wrong"), pings())
    assert report.outcome is Outcome.FAILED
    assert report.trouble is not None
    assert (report.trouble.step, report.trouble.reason) == (Step.AUTH, Reason.WRONG_PASSWORD)


async def test_a_closed_port_is_known_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
    report = await run_probe(Server(HOST, port, port), client_settings(timeout=20.0))
    assert report.outcome is Outcome.NO_ANSWER
    assert report.trouble is not None
    assert f"nothing listens on UDP port {port}" in report.trouble.detail


async def test_silence_ends_with_the_timeout() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((HOST, 0))
        server = Server(HOST, deaf.getsockname()[1])
        report = await run_probe(server, client_settings(timeout=0.2))
    assert report.outcome is Outcome.NO_ANSWER


async def test_a_signal_hastens_the_leaving() -> None:
    """In the middle of a fetch that never ends: both sides still close in good order."""
    async with loopback_gateway() as gateway:

        def interrupt(news: StepReport | Trouble) -> None:
            if isinstance(news, StepReport) and news.step is Step.IPCP:
                os.kill(os.getpid(), signal.SIGINT)

        deaf = Ping(INSIDE, os.urandom, count=1000)
        report = await run_probe(gateway.server, client_settings(), [deaf], interrupt)
        assert report.trouble is not None
        assert report.trouble.reason is Reason.ADMIN_KICK
        assert report.trouble.step is Step.PING
        assert await gateway.emptied()
        assert [ended.reason for ended in gateway.record.ends] == [Reason.PEER_CLOSED]


class Idle:
    """An engine that counts."""

    def __init__(self, after: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.deadline = None if after is None else Deadline(loop.time() + after, "one")
        self.received: list[bytes] = []
        self.expired = self.refused = 0

    def receive_datagram(self, path: Path, data: bytes) -> None:
        self.received.append(data)

    def expire(self) -> None:
        self.expired += 1
        self.deadline = None

    def refuse(self) -> None:
        self.refused += 1


async def test_the_shell_reads_both_ports_and_runs_the_timer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((HOST, 0))
        end.setblocking(False)
        port = end.getsockname()[1]
        shell = Shell(Server(HOST, port, port), HOST)
        engine = Idle(0.01)
        shell.attach(engine)
        shell.rearm()
        adapted = shell.adapt(client_settings())
        assert adapted.ike.natt_peer_port == port
        assert adapted.ike.natt_local_port not in (0, shell.path.local.port)
        for natt, data in ((False, b"one"), (True, b"two")):
            shell.transmit(shell.path._replace(natt=natt), data)
        for _ in range(2):
            data, source = end.recvfrom(100)
            end.sendto(data.upper(), source)
        async with asyncio.timeout(5):
            while len(engine.received) < 2 or not engine.expired:
                await asyncio.sleep(0.01)
        assert sorted(engine.received) == [b"ONE", b"TWO"]
        assert engine.expired == 1
        shell.close()
        shell.rearm()  # nothing, once closed


def test_resolve() -> None:
    assert resolve("127.0.0.1") == "127.0.0.1"
    assert resolve("localhost") == "127.0.0.1"  # IPv4 first
    with pytest.raises(OSError, match=r".+"):
        resolve("no-such-host.invalid")
