"""LCP's configuration options (RFC 1661 6): what we ask, what we grant, in both roles.

MRU, ACCM, Authentication-Protocol, Magic-Number, PFC and ACFC are negotiated; everything else
(callback, multilink, endpoint discriminator, quality, numbered mode) is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import ClassVar, Final

from ferrule.core.reasons import Reason
from ferrule.ppp.options import OptionSet, Refused, Ruling
from ferrule.ppp.packet import Option
from ferrule.ppp.policy import METHODS, PppPolicy

DEFAULT_MRU: Final = 1500
MIN_MRU: Final = 128
_LOOPS_MAX: Final = 4  # our own magic number in that many requests: the line is looped
_METHOD_OF: Final = {value: method for method, value in METHODS.items()}


class LcpOption(IntEnum):
    MRU = 1
    ACCM = 2
    AUTHENTICATION = 3
    MAGIC = 5
    PFC = 7
    ACFC = 8


class LcpOptions(OptionSet):
    """`authenticator`: we demand authentication (server); else we submit to it (client)."""

    __slots__ = (
        "_entropy",
        "_loops",
        "_policy",
        "_refused",
        "_rejected",
        "authenticator",
        "declined",
        "magic",
        "method",
        "mru",
        "peer_acfc",
        "peer_magic",
        "peer_mru",
        "peer_pfc",
    )

    unconverged: ClassVar[Reason] = Reason.LCP_NO_CONVERGENCE

    def __init__(
        self, policy: PppPolicy, entropy: Callable[[int], bytes], *, authenticator: bool
    ) -> None:
        self.authenticator = authenticator
        self._policy = policy
        self._entropy = entropy
        self._loops = 0
        self.reset()

    def reset(self) -> None:
        self.mru = self._policy.mru
        self.magic = self._new_magic()
        self.peer_mru = DEFAULT_MRU
        self.peer_magic = 0
        self.peer_pfc = self.peer_acfc = False
        self._rejected: set[int] = set()
        self._refused: set[str] = set()
        # What authenticates the peer (server), or ourselves (client; None: the peer asks nothing).
        self.method: str | None = self._policy.auth[0] if self.authenticator else None
        self.declined = b""  # as a client: the method that the server wanted and we do not have

    def _new_magic(self) -> bytes:
        while not any(magic := self._entropy(4)):
            continue
        return magic

    # --- what we ask --------------------------------------------------------------------------

    def request(self) -> list[Option]:
        asked = [
            Option(LcpOption.MRU, self.mru.to_bytes(2)),
            # Over L2TP nothing is escaped; a pppd on a pseudo-terminal escapes without this.
            Option(LcpOption.ACCM, bytes(4)),
        ]
        if self.authenticator and self.method is not None:
            asked.append(Option(LcpOption.AUTHENTICATION, METHODS[self.method]))
        asked += [
            Option(LcpOption.MAGIC, self.magic),
            Option(LcpOption.PFC, b""),
            Option(LcpOption.ACFC, b""),
        ]
        return [option for option in asked if option.type not in self._rejected]

    def on_nak(self, options: list[Option]) -> None:
        for option in options:
            if option.type == LcpOption.MRU and len(option.value) == 2:
                wanted = int.from_bytes(option.value)
                self.mru = min(self.mru, max(wanted, MIN_MRU))
            elif option.type == LcpOption.MAGIC:
                self.magic = self._new_magic()
            elif option.type == LcpOption.AUTHENTICATION and self.authenticator:
                self._next_method(_METHOD_OF.get(option.value))

    def on_reject(self, options: list[Option]) -> None:
        for option in options:
            if option.type == LcpOption.AUTHENTICATION:
                raise Refused(Reason.NO_AUTH_METHOD, "the peer does not authenticate itself")
            self._rejected.add(option.type)
            if option.type == LcpOption.MAGIC:
                self.magic = bytes(4)

    def _next_method(self, suggested: str | None) -> None:
        """The peer does not want `method`. What it suggests comes first, if it is allowed."""
        if self.method is not None:
            self._refused.add(self.method)
        left = [method for method in self._policy.auth if method not in self._refused]
        if not left:
            raise Refused(Reason.NO_AUTH_METHOD, f"refused: {', '.join(sorted(self._refused))}")
        self.method = suggested if suggested in left else left[0]

    # --- what the peer asks -------------------------------------------------------------------

    def rule(self, option: Option) -> Ruling | Option:
        row = _RULES.get(option.type)
        return Ruling.REJECT if row is None else row(self, option)

    def accept(self, options: list[Option]) -> None:
        values = dict(options)
        self.peer_mru = int.from_bytes(values.get(LcpOption.MRU, DEFAULT_MRU.to_bytes(2)))
        self.peer_magic = int.from_bytes(values.get(LcpOption.MAGIC, b""))
        self.peer_pfc = LcpOption.PFC in values
        self.peer_acfc = LcpOption.ACFC in values
        if not self.authenticator:
            self.method = _METHOD_OF.get(values.get(LcpOption.AUTHENTICATION, b""))

    def _rule_mru(self, option: Option) -> Ruling | Option:
        if len(option.value) != 2:
            return Option(LcpOption.MRU, DEFAULT_MRU.to_bytes(2))
        if int.from_bytes(option.value) < MIN_MRU:
            return Option(LcpOption.MRU, MIN_MRU.to_bytes(2))
        return Ruling.ACCEPT

    def _rule_accm(self, option: Option) -> Ruling | Option:
        return Ruling.ACCEPT if len(option.value) == 4 else Option(LcpOption.ACCM, bytes(4))

    def _rule_magic(self, option: Option) -> Ruling | Option:
        if option.value == self.magic:
            self._loops += 1
            if self._loops >= _LOOPS_MAX:
                raise Refused(Reason.LCP_LOOPED, "our Configure-Request came back")
        elif len(option.value) == 4 and any(option.value):
            return Ruling.ACCEPT
        return Option(LcpOption.MAGIC, self._new_magic())

    def _rule_flag(self, option: Option) -> Ruling | Option:
        return Option(option.type, b"") if option.value else Ruling.ACCEPT

    def _rule_authentication(self, option: Option) -> Ruling | Option:
        if self.authenticator:
            return Ruling.REJECT  # nobody authenticates us to our clients but MS-CHAPv2's answer
        if _METHOD_OF.get(option.value) in self._policy.auth:
            return Ruling.ACCEPT
        self.declined = option.value
        return Option(LcpOption.AUTHENTICATION, METHODS[self._policy.auth[0]])


_RULES: Final[Mapping[int, Callable[[LcpOptions, Option], Ruling | Option]]] = {
    LcpOption.MRU: LcpOptions._rule_mru,
    LcpOption.ACCM: LcpOptions._rule_accm,
    LcpOption.AUTHENTICATION: LcpOptions._rule_authentication,
    LcpOption.MAGIC: LcpOptions._rule_magic,
    LcpOption.PFC: LcpOptions._rule_flag,
    LcpOption.ACFC: LcpOptions._rule_flag,
}
