"""The demo's balancer: ports apart, answers back, flows that move and keep their source."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from ferrule.runtime import demo_balancer
from ferrule.runtime.demo_balancer import DemoBalancer

HOST = "127.0.1.1"
PODS = ("127.0.1.11", "127.0.1.12", "127.0.1.13")


def bound(host: str, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((host, port))
    return made


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """Two that need no privilege, in place of 500 and 4500."""
    with bound(HOST) as one, bound(HOST) as other:
        found = tuple(probe.getsockname()[1] for probe in (one, other))
    monkeypatch.setattr(demo_balancer, "PORTS", found)
    return found


@pytest.fixture
def pods(ports: tuple[int, ...]) -> Iterator[dict[tuple[str, int], socket.socket]]:
    made = {(pod, port): bound(pod, port) for pod in PODS for port in ports}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
async def balancer(pods: object) -> AsyncIterator[DemoBalancer]:
    made = DemoBalancer(HOST, PODS)
    yield made
    made.close()


Ask = Callable[[socket.socket, int], "asyncio.Future[tuple[str, tuple[str, int]]]"]


@pytest.fixture
def ask(pods: dict[tuple[str, int], socket.socket]) -> Ask:
    """Send to a port of the service; the pod that got it, which answers, and what it saw."""

    async def asking(client: socket.socket, port: int) -> tuple[str, tuple[str, int]]:
        client.sendto(b"question", (HOST, port))
        for _ in range(200):
            await asyncio.sleep(0.005)
            for (pod, at), each in pods.items():
                try:
                    data, source = each.recvfrom(100)
                except BlockingIOError:
                    continue
                assert at == port
                assert data == b"question"
                each.sendto(b"answer", source)
                loop = asyncio.get_running_loop()
                answer = await asyncio.wait_for(loop.sock_recvfrom(client, 100), 5)
                assert answer == (b"answer", (HOST, port))
                return pod, source
        raise AssertionError("nobody got it")

    return lambda client, port: asyncio.ensure_future(asking(client, port))


async def test_both_ports_of_a_client_go_to_different_pods(
    balancer: DemoBalancer, ports: tuple[int, ...], ask: Ask
) -> None:
    for number in range(1, 7):
        with bound(f"127.0.2.{number}") as client:
            seen = [(await ask(client, port))[0] for port in ports]
            assert seen[0] != seen[1]
            assert [balancer.pod_of(f"127.0.2.{number}", port) for port in ports] == seen
    assert set(balancer.passed) == set(PODS)
    assert balancer.pod_of("127.0.2.99", ports[0]) == ""


async def test_a_flow_stays_and_moves_when_its_pod_goes(
    balancer: DemoBalancer, ports: tuple[int, ...], ask: Ask
) -> None:
    with bound("127.0.2.1") as client:
        pod, source = await ask(client, ports[0])
        assert await ask(client, ports[0]) == (pod, source)
        others = [other for other in PODS if other != pod]
        balancer.use(others)
        assert await ask(client, ports[0]) == (pod, source)
        balancer.use(others, move=[pod])
        moved, same = await ask(client, ports[0])
        assert moved in others
        assert same == source  # as a NAT that changes where it sends to
