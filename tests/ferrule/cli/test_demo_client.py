"""The demo's client against servers that do not answer, or answer nothing of use."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ferrule.cli.demo_client import ClientError, DemoClient
from ferrule.client.driver import Server
from ferrule.client.effects import Step, StepDone
from ferrule.client.settings import ClientSettings
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy

SETTINGS = ClientSettings(
    ike=IkePolicy(keys=(Secret(b"a pre-shared key"),)),
    l2tp=L2tpPolicy(),
    ppp=PppPolicy(),
    credentials=Credentials("ada", Secret(b"password")),
    timeout=0.05,
)


async def test_a_silent_server_ends_in_an_error_that_names_it() -> None:
    steps: list[StepDone] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        client = DemoClient(Server("127.0.0.1", port, port), SETTINGS, steps.append)
        with pytest.raises(ClientError) as caught:
            await client.connect()
        assert caught.value.trouble.step is Step.PHASE1
        assert caught.value.trouble.reason in (Reason.NO_ANSWER, Reason.PHASE1_TIMEOUT)
        assert silent.recv(2048)[:8] != bytes(8)
        await client.close()
    assert steps == []
    assert client.octets_received == 0
    assert client.network is None


async def test_closing_early_is_no_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        client = DemoClient(Server("127.0.0.1", port, port), SETTINGS, lambda _: None)
        assert client.local.startswith("127.0.0.1:")
        async with asyncio.timeout(5):
            await client.close()
    assert client.ended.cancelled()
