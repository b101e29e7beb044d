from __future__ import annotations

from typing import ClassVar

from ferrule.core.reasons import Reason
from ferrule.ppp.options import Judgement, OptionSet, Ruling
from ferrule.ppp.packet import Option


class Even(OptionSet):
    """Takes even types; type 3 should be of value "3", type 5 must stand; rejects the rest."""

    unconverged: ClassVar[Reason] = Reason.LCP_NO_CONVERGENCE

    def request(self) -> list[Option]:
        return []

    def rule(self, option: Option) -> Ruling | Option:
        if option.type % 2 == 0 or option == Option(3, b"3") or option.type == 5:
            return Ruling.ACCEPT
        return Option(3, b"3") if option.type == 3 else Ruling.REJECT

    def missing(self, types: set[int]) -> list[Option]:
        return [] if 5 in types else [Option(5, b"")]

    def accept(self, options: list[Option]) -> None: ...
    def on_nak(self, options: list[Option]) -> None: ...
    def on_reject(self, options: list[Option]) -> None: ...
    def reset(self) -> None: ...


class Undemanding(Even):
    """As a set is that demands nothing."""

    missing = OptionSet.missing


FIVE = Option(5, b"")


def test_good() -> None:
    assert Even().judge([Option(2, b"x"), Option(3, b"3"), FIVE]) == Judgement([], [], [])


def test_each_option_lands_on_its_list() -> None:
    good, bad, foreign = Option(2, b"x"), Option(3, b"x"), Option(7, b"x")
    judgement = Even().judge([good, bad, foreign, FIVE])
    assert judgement == Judgement(rejects=[foreign], naks=[Option(3, b"3")], nakked=[bad])


def test_what_is_missing_is_suggested() -> None:
    assert Even().judge([]) == Judgement(rejects=[], naks=[FIVE], nakked=[])
    assert Undemanding().judge([]) == Judgement([], [], [])


def test_the_second_of_a_kind_is_rejected() -> None:
    twice = Option(2, b"again")
    assert Even().judge([Option(2, b"x"), twice, FIVE]) == Judgement([twice], [], [])
