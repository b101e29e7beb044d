"""What a control protocol asks for and what it grants: the part of a negotiation that differs.

RFC 1661 6: options to be rejected go before options to be nakked; a packet that has neither is
acknowledged. `negotiation` drives a set of options through the automaton.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.packet import Option


class Refused(ProtocolError):
    """There is no way on with this peer: the link ends with the reason."""


class Ruling(Enum):
    """On one option of the peer's Configure-Request. The third ruling is the Option to nak with."""

    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(slots=True)
class Judgement:
    """On a whole Configure-Request: good if both lists are empty.

    `nakked` are the peer's options that `naks` has better values for.
    """

    rejects: list[Option]
    naks: list[Option]
    nakked: list[Option]


class OptionSet(ABC):
    """Our side of one negotiation, both ways."""

    __slots__ = ()

    unconverged: ClassVar[Reason]  # when the two sides do not come together
    indispensable: ClassVar[frozenset[int]] = frozenset()  # never rejected for want of agreement

    @abstractmethod
    def request(self) -> list[Option]:
        """What we ask for now."""

    @abstractmethod
    def rule(self, option: Option) -> Ruling | Option:
        """On an option that the peer asks for. Changes nothing that `accept` sets."""

    @abstractmethod
    def accept(self, options: list[Option]) -> None:
        """We acknowledge exactly these."""

    @abstractmethod
    def on_nak(self, options: list[Option]) -> None:
        """The peer would rather have these values. Raises Refused."""

    @abstractmethod
    def on_reject(self, options: list[Option]) -> None:
        """The peer does not take these. Raises Refused."""

    @abstractmethod
    def reset(self) -> None:
        """The layer went down: the next negotiation starts from the defaults."""

    def missing(self, types: set[int]) -> list[Option]:
        """Options that the peer has to ask for and did not (RFC 1661 5.3)."""
        del types
        return []

    def judge(self, options: list[Option]) -> Judgement:
        judgement = Judgement([], [], [])
        seen: set[int] = set()
        for option in options:
            # RFC 1661 6: no option that we know may stand twice.
            ruling = Ruling.REJECT if option.type in seen else self.rule(option)
            seen.add(option.type)
            if ruling is Ruling.REJECT:
                judgement.rejects.append(option)
            elif isinstance(ruling, Option):
                judgement.naks.append(ruling)
                judgement.nakked.append(option)
        judgement.naks += self.missing(seen)
        return judgement
