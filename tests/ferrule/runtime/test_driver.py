"""The driver: punts in order, a bounded queue, one timer, and bugs that cost one client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from ferrule.accounts.admission import Check
from ferrule.core.credentials import Accepted, PapProof, Verdict
from ferrule.core.ids import Address, ClientId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.dataplane.interface import IkeDatagram, L2tpControl, Punt, SessionCounters
from ferrule.gateway import effects as g
from ferrule.runtime import driver as driver_module
from ferrule.runtime.driver import Driver
from support.pair import VirtualLoop

PATH = Path(Address("192.0.2.9", 4500), Address("192.0.2.1", 4500), True)
ONE, TUNNEL, SESSION = ClientId(1), TunnelId(2), SessionId(3)


class StubGateway:
    """Plays back effects; a punt whose message is b"bug" raises."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.received: list[Punt] = []
        self.answers: list[g.GatewayAnswer] = []
        self.abandoned: list[ClientId] = []
        self.on_receive: list[g.GatewayEffect] = []
        self.on_expire: list[g.GatewayEffect] = []
        self.expired = 0

    def receive(self, punt: Punt, now: float) -> list[g.GatewayEffect]:
        self.received.append(punt)
        if isinstance(punt, L2tpControl) and punt.message == b"bug":
            raise ZeroDivisionError
        return self.on_receive

    def answer(self, reply: g.GatewayAnswer, now: float) -> list[g.GatewayEffect]:
        self.answers.append(reply)
        return []

    def due(self, now: float) -> list[ClientId]:
        return [ONE]

    def expire(self, due: ClientId, now: float) -> list[g.GatewayEffect]:
        self.expired += 1
        self.deadline = None
        return self.on_expire

    def abandon(self, client: ClientId, now: float) -> list[g.GatewayEffect]:
        self.abandoned.append(client)
        return [g.RemoveClient(client)]


class Recorder:
    """Stands for the plane and for the report: notes every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> None:
            self.calls.append((name, *arguments))

        return call

    def session_counters(self, *key: int) -> SessionCounters | None:
        return SessionCounters(octets_up=5, last_up=7.0, last_data=6.0) if key[0] == ONE else None

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


class Stand:
    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.gateway = StubGateway()
        self.plane, self.report = Recorder(), Recorder()
        self.driver = Driver(cast(Any, self.gateway), cast(Any, self.report), cast(Any, self.loop))
        self.driver.attach(cast(Any, self.plane))


@pytest.fixture
def stand() -> Iterator[Stand]:
    one = Stand()
    yield one
    one.driver.close()


def test_every_effect_has_its_deed(stand: Stand) -> None:
    facts = g.SessionFacts(ONE, TUNNEL, SESSION, PATH, "id")
    key = (ONE, TUNNEL, SESSION)
    stand.gateway.on_receive = [
        g.SendIke(PATH, b"m"),
        g.SendKeepalive(ONE),
        g.SendL2tp(ONE, b"m"),
        g.SendPpp(*key, b"f"),
        g.SendIp(*key, b"p"),
        g.ActivateSa(Spi(300)),
        g.RemoveSa(Spi(300)),
        g.MoveClient(ONE, PATH),
        g.RemoveClient(ONE),
        g.RemoveLink(*key),
        g.UnbindSession(*key),
        g.StageDone("auth", 0.5),
        g.SessionUp(facts),
        g.SessionEnded(facts, Reason.PEER_CLOSED, ""),
        g.SetupFailed(PATH, Reason.WRONG_KEY, ""),
        g.AuthTried(PATH, "a", "pap", None),
        g.SaDown("ipsec", Reason.PEER_CLOSED),
        g.ClientMoved(ONE, PATH),
        g.Dropped(Reason.NOT_IKE, ""),
    ]
    stand.driver.punt(L2tpControl(ONE, b"go"))
    assert stand.driver.pending
    stand.driver.drain()
    assert not stand.driver.pending
    assert stand.plane.names() == [
        "send_ike", "send_keepalive", "send_l2tp", "send_ppp", "send_ip", "activate_sa",
        "remove_sa", "move_client", "remove_client", "remove_link", "unbind_session",
    ]  # fmt: skip
    assert stand.report.names() == [
        "stage_done", "session_up", "session_ended", "setup_failed", "auth_tried", "sa_down",
        "client_moved", "dropped",
    ]  # fmt: skip
    ended = next(call for call in stand.report.calls if call[0] == "session_ended")
    assert ended[2].octets_up == 5  # read before the plane forgets the session


def test_strangers_cannot_fill_the_clients_queue(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "_STRANGERS_MAX", 3)
    for _ in range(10):
        stand.driver.punt(IkeDatagram(PATH, b"x" * 28))
    stand.driver.punt(L2tpControl(ONE, b"honest"))
    assert stand.report.names() == ["dropped"] * 7
    stand.driver.drain()
    assert len(stand.gateway.received) == 4
    for _ in range(3):
        stand.driver.punt(IkeDatagram(PATH, b"x" * 28))
    assert stand.report.names() == ["dropped"] * 7  # the budget is free again


def test_clients_queue_is_bounded_too(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_STRANGERS_MAX", 0)
    monkeypatch.setattr(driver_module, "_PUNTS_MAX", 2)
    for _ in range(5):
        stand.driver.punt(L2tpControl(ONE, b"m"))
    assert stand.report.calls == [("dropped", Reason.PUNT_QUEUE_FULL, "L2tpControl")] * 3


def test_a_bug_costs_the_client_that_met_it(stand: Stand) -> None:
    stand.driver.punt(L2tpControl(ONE, b"bug"))
    stand.driver.punt(L2tpControl(ClientId(9), b"fine"))
    stand.driver.drain()
    assert stand.gateway.abandoned == [ONE]
    assert ("bug", "L2tpControl") in stand.report.calls
    assert ("remove_client", ONE) in stand.plane.calls
    assert len(stand.gateway.received) == 2


def test_one_timer_follows_the_gateways_deadline(stand: Stand) -> None:
    now = stand.loop.time()
    stand.gateway.deadline = now + 10.0
    stand.driver.command(lambda _: [])
    stand.gateway.deadline = now + 5.0
    stand.driver.command(lambda _: [])
    stand.loop.run(4.9)
    assert stand.gateway.expired == 0
    stand.loop.run(0.2)
    assert stand.gateway.expired == 1
    stand.loop.run(20.0)
    assert stand.gateway.expired == 1


def test_activity_is_answered_from_the_planes_counters(stand: Stand) -> None:
    stand.gateway.on_expire = [
        g.AskActivity(ONE, TUNNEL, SESSION),
        g.AskActivity(ClientId(8), TUNNEL, SESSION),
    ]
    stand.gateway.deadline = stand.loop.time() + 1.0
    stand.driver.command(lambda _: [])
    stand.loop.run(2.0)
    assert stand.gateway.answers == [g.Activity(ONE, TUNNEL, SESSION, 7.0, 6.0)]


class StubLeases:
    """Answers each question with the deeds that a session comes up with."""

    def __init__(self) -> None:
        self.asked: list[g.AskAdmission] = []
        self.released: list[g.ReleaseLease] = []

    def ask(self, question: g.AskAdmission, now: float) -> list[g.GatewayEffect]:
        self.asked.append(question)
        return [g.SendPpp(question.client, question.tunnel, question.session, b"yes")]

    def release(self, over: g.ReleaseLease) -> None:
        self.released.append(over)


def test_questions_of_admission_are_answered_in_their_turn(stand: Stand) -> None:
    leases = stand.driver.leases = StubLeases()
    question = g.AskAdmission(ONE, TUNNEL, SESSION, 7, "alice", "192.0.2.9", "id", 5.0)
    over = g.ReleaseLease(ONE, TUNNEL, SessionId(4))
    stand.gateway.on_receive = [g.SendIke(PATH, b"m"), question, over, g.SendL2tp(ONE, b"m")]
    stand.driver.punt(L2tpControl(ONE, b"go"))
    stand.driver.drain()
    assert leases.asked == [question]
    assert leases.released == [over]
    assert stand.plane.names() == ["send_ike", "send_ppp", "send_l2tp"]


def test_a_bug_in_a_command_costs_the_client_that_it_is_about(stand: Stand) -> None:
    def bug(now: float) -> list[g.GatewayEffect]:
        raise ZeroDivisionError(now)

    stand.driver.command(bug)
    assert not stand.gateway.abandoned
    stand.driver.command(bug, ONE)
    assert stand.gateway.abandoned == [ONE]


class SlowCheck:
    def run(self) -> Verdict:
        return Accepted("alice")


async def test_a_slow_check_runs_in_a_thread_and_is_answered() -> None:
    loop = asyncio.get_running_loop()
    gateway, plane, report = StubGateway(), Recorder(), Recorder()
    driver = Driver(cast(Any, gateway), cast(Any, report), loop)
    driver.attach(cast(Any, plane))
    check = cast(Check, SlowCheck())
    gateway.on_receive = [g.RunCheck(ONE, TUNNEL, SESSION, 4, check)]
    driver.punt(L2tpControl(ONE, b"go"))
    driver.drain()
    async with asyncio.timeout(5):
        while not gateway.answers:
            await asyncio.sleep(0)
    assert gateway.answers == [g.CheckDone(ONE, TUNNEL, SESSION, 4, Accepted("alice"))]
    driver.close()


class BrokenCheck:
    def run(self) -> Verdict:
        raise MemoryError


async def test_a_check_that_breaks_costs_its_client() -> None:
    loop = asyncio.get_running_loop()
    gateway, plane, report = StubGateway(), Recorder(), Recorder()
    driver = Driver(cast(Any, gateway), cast(Any, report), loop)
    driver.attach(cast(Any, plane))
    check = cast(Check, BrokenCheck())
    gateway.on_receive = [g.RunCheck(ONE, TUNNEL, SESSION, 4, check)]
    driver.punt(L2tpControl(ONE, b"go"))
    driver.drain()
    async with asyncio.timeout(5):
        while not gateway.abandoned:
            await asyncio.sleep(0)
    assert gateway.abandoned == [ONE]
    assert ("bug", "password check") in report.calls
    assert not gateway.answers
    driver.close()


def test_secrets_of_a_check_are_not_in_its_repr() -> None:
    check = Check(PapProof("alice", Secret(b"hunter2")), "192.0.2.9", 0.0, "alice", True, (), True)
    assert "hunter2" not in repr(g.RunCheck(ONE, TUNNEL, SESSION, 1, check))
