"""IPCP's configuration options (RFC 1332 3, RFC 1877 1), of the side that gives addresses and
of the side that takes them.

IP-Address, DNS 1 and 2 and WINS (NBNS) 1 and 2 are negotiated. IP-Addresses (deprecated), Van
Jacobson compression and Mobile-IPv4 are rejected.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address
from typing import ClassVar, Final

from ferrule.core.reasons import Reason
from ferrule.ppp.options import OptionSet, Refused, Ruling
from ferrule.ppp.packet import Option

NOWHERE: Final = IPv4Address(0)


class IpcpOption(IntEnum):
    ADDRESSES = 1
    COMPRESSION = 2
    ADDRESS = 3
    DNS1 = 129
    WINS1 = 130
    DNS2 = 131
    WINS2 = 132


class GiverOptions(OptionSet):
    """The server's side: the peer gets what it was leased and nothing else."""

    __slots__ = ("_asked", "_given", "dns", "local", "peer", "wins")

    unconverged: ClassVar[Reason] = Reason.IPCP_NO_CONVERGENCE
    indispensable: ClassVar[frozenset[int]] = frozenset({IpcpOption.ADDRESS})

    def __init__(
        self,
        local: IPv4Address,
        peer: IPv4Address,
        dns: tuple[IPv4Address, ...],
        wins: tuple[IPv4Address, ...],
    ) -> None:
        self.local, self.peer, self.dns, self.wins = local, peer, dns, wins
        given = [(IpcpOption.ADDRESS, peer)]
        given += zip((IpcpOption.DNS1, IpcpOption.DNS2), dns, strict=False)
        given += zip((IpcpOption.WINS1, IpcpOption.WINS2), wins, strict=False)
        self._given = {int(kind): address.packed for kind, address in given}
        self.reset()

    def reset(self) -> None:
        self._asked = True

    def request(self) -> list[Option]:
        return [Option(IpcpOption.ADDRESS, self.local.packed)] if self._asked else []

    def rule(self, option: Option) -> Ruling | Option:
        given = self._given.get(option.type)
        if given is None:
            return Ruling.REJECT
        return Ruling.ACCEPT if option.value == given else Option(option.type, given)

    def missing(self, types: set[int]) -> list[Option]:
        # RFC 1332 3.3: an address must be agreed on, or nothing the peer sends could be let in.
        if IpcpOption.ADDRESS in types:
            return []
        return [Option(IpcpOption.ADDRESS, self.peer.packed)]

    def accept(self, options: list[Option]) -> None:
        """Nothing to note: what the peer may ask for is what was given."""

    def on_nak(self, options: list[Option]) -> None:
        """Our own address is not for the peer to choose: ask again, until either gives in."""

    def on_reject(self, options: list[Option]) -> None:
        self._asked = False


class TakerOptions(OptionSet):
    """The client's side: ask for nothing in particular, take what is given."""

    __slots__ = ("_wanted", "peer")

    unconverged: ClassVar[Reason] = Reason.IPCP_NO_CONVERGENCE

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        kinds = (IpcpOption.ADDRESS, IpcpOption.DNS1, IpcpOption.DNS2)
        self._wanted: dict[int, bytes] = {int(kind): NOWHERE.packed for kind in kinds}
        self.peer = NOWHERE

    @property
    def local(self) -> IPv4Address:
        return IPv4Address(self._wanted.get(IpcpOption.ADDRESS, NOWHERE.packed))

    @property
    def dns(self) -> tuple[IPv4Address, ...]:
        kinds = (IpcpOption.DNS1, IpcpOption.DNS2)
        servers = [self._wanted.get(kind, NOWHERE.packed) for kind in kinds]
        # QUIRK(pppd): as a server with one DNS it gives the same one twice.
        return tuple(IPv4Address(server) for server in dict.fromkeys(servers) if any(server))

    @property
    def wins(self) -> tuple[IPv4Address, ...]:
        return ()

    def request(self) -> list[Option]:
        return [Option(kind, value) for kind, value in self._wanted.items()]

    def rule(self, option: Option) -> Ruling | Option:
        known = option.type == IpcpOption.ADDRESS and len(option.value) == 4
        return Ruling.ACCEPT if known and any(option.value) else Ruling.REJECT

    def accept(self, options: list[Option]) -> None:
        self.peer = IPv4Address(dict(options).get(IpcpOption.ADDRESS, NOWHERE.packed))

    def on_nak(self, options: list[Option]) -> None:
        for option in options:
            if option.type in self._wanted and len(option.value) == 4:
                self._wanted[option.type] = option.value

    def on_reject(self, options: list[Option]) -> None:
        for option in options:
            if option.type == IpcpOption.ADDRESS:
                raise Refused(Reason.IPCP_NO_CONVERGENCE, "the peer gives no address")
            self._wanted.pop(option.type, None)
