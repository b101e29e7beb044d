"""A probe in virtual time: errands one after the other, and the report on all of it."""

from __future__ import annotations

import random
from ipaddress import IPv4Address

import pytest

from ferrule.client.effects import Step
from ferrule.client.errands import Errand, Fetch, Ping
from ferrule.client.http import parse_url
from ferrule.client.report import Outcome
from ferrule.core.reasons import Reason
from support.pair import INSIDE, Pair, Weather, client_settings

NOWHERE = IPv4Address("203.0.113.99")


def ping(to: IPv4Address = INSIDE, count: int = 2) -> Ping:
    return Ping(to, random.Random(4).randbytes, count)


def fetch() -> Fetch:
    return Fetch(parse_url(f"http://{INSIDE}/"), random.Random(5).randbytes)


def test_errands_one_after_the_other() -> None:
    pair = Pair()
    probe = pair.probe(errands=[ping(), ping(count=1)])
    assert pair.loop.run(30, lambda: probe.done)
    assert probe.report.outcome is Outcome.OK
    assert [s.facts["received"] for s in probe.report.steps if s.step is Step.PING] == [2, 1]
    assert probe.deadline is None


def test_without_errands_it_only_connects() -> None:
    pair = Pair()
    probe = pair.probe(errands=[])
    assert pair.loop.run(30, lambda: probe.done)
    assert probe.report.outcome is Outcome.OK
    assert probe.report.steps[-1].step is Step.IPCP
    assert probe.report.seconds is not None


def test_the_first_errand_that_fails_is_the_last() -> None:
    pair = Pair()
    probe = pair.probe(errands=[ping(), fetch(), ping()])  # nothing answers TCP in there
    assert pair.loop.run(600, lambda: probe.done)
    assert probe.report.trouble is not None
    assert (probe.report.trouble.step, probe.report.trouble.reason) == (
        Step.HTTP,
        Reason.HTTP_FAILED,
    )
    assert [s.step for s in probe.report.steps].count(Step.PING) == 1
    pair.loop.run(120)
    assert pair.gateway.rows == 0


def test_a_session_that_ends_in_the_middle_of_an_errand() -> None:
    pair = Pair()
    probe = pair.probe(errands=[ping(count=1000)])
    assert pair.loop.run(10, lambda: probe.step is Step.PING)
    (call,) = pair.gateway.gateway.sessions()
    pair.gateway.driver.command(
        lambda now: pair.gateway.gateway.close_session(call.key, Reason.ADMIN_KICK, now)
    )
    assert pair.loop.run(10, lambda: probe.done)
    assert probe.report.trouble is not None
    assert (probe.report.trouble.step, probe.report.trouble.reason) == (
        Step.PING,
        Reason.PEER_CLOSED,
    )
    assert probe.deadline is None


@pytest.mark.parametrize("step", [Step.PHASE1, Step.CALL, Step.AUTH, Step.PING, Step.HTTP])
def test_interrupted(step: Step) -> None:
    pair = Pair()
    errands: list[Errand] = [fetch() if step is Step.HTTP else ping(count=1000)]
    probe = pair.probe(errands=errands)
    assert pair.loop.run(10, lambda: probe.step is step)
    pair.interrupt(probe)
    assert pair.loop.run(5, lambda: probe.done)
    assert probe.report.trouble is not None
    assert (probe.report.trouble.step, probe.report.trouble.reason) == (step, Reason.ADMIN_KICK)
    pair.interrupt(probe)  # once more does no harm
    pair.loop.run(120)
    assert pair.gateway.rows == 0


def test_packets_for_others_are_ignored() -> None:
    """What the tunnel delivers to another address, or no packet at all, reaches no errand."""
    pair = Pair(weather=Weather(delay=(0.01, 0.01)))
    probe = pair.probe(errands=[ping(NOWHERE, count=1)])
    assert pair.loop.run(10, lambda: probe.step is Step.PING)
    probe._arrived.extend([b"", b"\x45", bytes(40)])
    assert pair.loop.run(30, lambda: probe.done)
    assert probe.report.outcome is Outcome.OK


def test_no_answer_is_an_outcome_of_its_own() -> None:
    pair = Pair()
    pair.network.cut = True
    probe = pair.probe(client_settings(timeout=3.0))
    assert not probe.heard
    assert pair.loop.run(10, lambda: probe.done)
    assert probe.report.outcome is Outcome.NO_ANSWER
