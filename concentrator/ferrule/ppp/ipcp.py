"""IPCP (RFC 1332): one negotiation of addresses, over and over while LCP stays open.

What is negotiated is in `ipcp_options`. The time that IPCP may take is watched by `phases`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, TypeAlias, assert_never

from ferrule.core.deadlines import Deadlines
from ferrule.core.reasons import Reason
from ferrule.ppp.budget import Budget
from ferrule.ppp.effects import NetworkDown
from ferrule.ppp.image import AgreedImage
from ferrule.ppp.ipcp_options import NOWHERE, GiverOptions, TakerOptions
from ferrule.ppp.negotiation import Layer, Negotiation, Output
from ferrule.ppp.options import Refused
from ferrule.ppp.packet import Code, Packet

RESTART: Final = "ipcp-restart"


@dataclass(slots=True)
class Granted:
    """IPCP is open: both sides agree on these."""

    local: IPv4Address
    peer: IPv4Address
    dns: tuple[IPv4Address, ...]
    wins: tuple[IPv4Address, ...]


IpcpOutput: TypeAlias = Packet | Granted | NetworkDown


class Ipcp:
    """The Internet Protocol Control Protocol of one link, from either side."""

    __slots__ = ("_negotiation", "_options", "_restarts", "heard", "up")

    def __init__(self, options: GiverOptions | TakerOptions, deadlines: Deadlines) -> None:
        self._options = options
        self._negotiation = Negotiation(options, deadlines, RESTART)
        self._restarts = Budget(burst=16, per_second=0.1)
        self.heard = False  # the peer has said something
        self.up = False

    def export(self) -> AgreedImage | None:
        """None: it is not open."""
        return self._negotiation.export()

    def restore(self, image: AgreedImage) -> Granted:
        """It is open, as it was elsewhere."""
        self._negotiation.restore(image)
        self.heard = self.up = True
        return self._granted()

    @property
    def options(self) -> GiverOptions | TakerOptions:
        return self._options

    def open(self, now: float) -> list[IpcpOutput]:
        return self._translate(self._negotiation.open(now), now, Reason.PPP_RENEGOTIATED)

    def receive(self, packet: Packet, now: float) -> list[IpcpOutput]:
        """Raises Malformed and ProtocolError (drop the packet), Refused (end the link)."""
        self.heard = True
        closing = packet.code == Code.TERMINATE_REQUEST
        reason = Reason.PEER_CLOSED if closing else Reason.PPP_RENEGOTIATED
        return self._translate(self._negotiation.receive(packet, now), now, reason)

    def expire(self, now: float) -> list[IpcpOutput]:
        """The restart timer ran out. Raises Refused when that was the last time."""
        return self._translate(self._negotiation.expire(now), now, Reason.PPP_RENEGOTIATED)

    def give_up(self) -> Refused:
        """What to raise when there was time enough."""
        if self.heard:
            return Refused(Reason.IPCP_NO_CONVERGENCE, "IPCP was not open in time")
        return Refused(Reason.IPCP_TIMEOUT, "no IPCP packet came")

    def _translate(self, outputs: list[Output], now: float, reason: Reason) -> list[IpcpOutput]:
        translated: list[IpcpOutput] = []
        for output in outputs:
            match output:
                case Packet():
                    translated.append(output)
                case Layer.UP:
                    self.up = True
                    translated.append(self._granted())
                case Layer.DOWN:
                    if not self._restarts.spend(now):
                        raise Refused(Reason.IPCP_NO_CONVERGENCE, "IPCP starts again and again")
                    self.up = False
                    translated.append(NetworkDown(reason))
                case Layer.FINISHED:
                    raise self.give_up()
                case Layer.STARTED:
                    pass
                case _:
                    assert_never(output)
        return translated

    def _granted(self) -> Granted:
        options = self._options
        if isinstance(options, TakerOptions) and NOWHERE in (options.local, options.peer):
            raise Refused(Reason.IPCP_NO_CONVERGENCE, "the server gives no address")
        return Granted(options.local, options.peer, options.dns, options.wins)
