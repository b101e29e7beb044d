"""A PPP link in either role: `Link` for the server (LNS), `PeerLink` for the client.

RFC 1661 3 with RFC 1334, RFC 1994, RFC 2433, RFC 2759 and RFC 1332. The phases themselves are in
`phases`; here is who authenticates whom, and who has the addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from ferrule.core.reasons import Reason
from ferrule.ppp.auth import Authenticator, Claim
from ferrule.ppp.chap_authenticator import ChapAuthenticator
from ferrule.ppp.chap_supplicant import ChapSupplicant
from ferrule.ppp.effects import (
    Addresses,
    AskAddress,
    AskVerify,
    NetworkUp,
    NoAddress,
    PppAnswer,
    PppEffect,
    Verified,
)
from ferrule.ppp.image import LinkImage
from ferrule.ppp.ipcp import Ipcp
from ferrule.ppp.ipcp_options import NOWHERE, GiverOptions, TakerOptions
from ferrule.ppp.packet import Code, Packet, parse_options
from ferrule.ppp.pap import PapAuthenticator, PapSupplicant
from ferrule.ppp.phase import Phase
from ferrule.ppp.phases import Phases
from ferrule.ppp.policy import Credentials, PppPolicy

__all__ = ["Credentials", "Link", "PeerLink", "PppPolicy"]


class Link(Phases):
    """The server's end: demands authentication, gives addresses.

    Two questions leave it: `AskVerify`, once a proof, and `AskAddress`, once authentication is
    passed. Both come again when the peer negotiates LCP anew.
    """

    __slots__ = ("_addressing", "_asks", "_held", "_verifying")

    def __init__(self, policy: PppPolicy, entropy: Callable[[int], bytes]) -> None:
        super().__init__(policy, entropy, authenticator=True)
        self._asks = 0
        self._verifying = 0  # the number of the open question, 0 for none
        self._addressing = 0
        self._held: Packet | None = None  # an IPCP Configure-Request that came before the address

    # --- to another process and back ----------------------------------------------------------

    def export(self, offset: float) -> LinkImage | None:
        """None: IPCP is not open, so the link begins anew elsewhere. `offset` makes Unix time of
        the caller's clock."""
        lcp = self._lcp.negotiation.export()
        ipcp = self._ipcp.export() if self._ipcp is not None else None
        if self._phase is not Phase.NETWORK or self._ipcp is None or lcp is None or ipcp is None:
            return None
        agreed, given = self._lcp.options, self._ipcp.options
        return LinkImage(
            self._started + offset,
            agreed.mru,
            agreed.magic,
            agreed.peer_mru,
            agreed.peer_magic,
            agreed.peer_pfc,
            agreed.peer_acfc,
            agreed.method or "",
            lcp,
            given.local,
            given.peer,
            given.dns,
            given.wins,
            ipcp,
        )

    def restore(self, image: LinkImage, offset: float, now: float) -> NetworkUp:
        """Go on in the network phase, where another process stood; what IPCP gave there. The peer
        has proved who it is, and knows the verdict: it speaks IPCP."""
        self._phase = Phase.NETWORK
        self._started = image.started - offset
        self._lcp_heard = True
        agreed = self._lcp.options
        agreed.mru, agreed.magic = image.mru, image.magic
        agreed.peer_mru, agreed.peer_magic = image.peer_mru, image.peer_magic
        agreed.peer_pfc, agreed.peer_acfc = image.peer_pfc, image.peer_acfc
        agreed.method = image.method or None
        self._lcp.negotiation.restore(image.lcp)
        self._lcp.start_echo(now)
        given = GiverOptions(image.local, image.peer, image.dns, image.wins)
        self._ipcp = Ipcp(given, self._deadlines)
        return self._network_up(now, self._ipcp.restore(image.ipcp))

    # --- the verbs ----------------------------------------------------------------------------

    def answer(self, reply: PppAnswer, now: float) -> list[PppEffect]:
        return self._guarded(now, self._answer, reply)

    def _answer(self, now: float, reply: PppAnswer) -> None:
        match reply:
            case Verified(ask, verdict):
                if ask == self._verifying and isinstance(self._auth, Authenticator):
                    self._verifying = 0
                    self._carry_auth(now, self._auth, self._auth.judge(verdict, now))
            case Addresses(ask, local, peer, dns, wins):
                if ask == self._addressing:
                    self._addressing = 0
                    self._open_ipcp(now, GiverOptions(local, peer, dns, wins))
                    self._release(now)
            case NoAddress(ask, reason):
                if ask == self._addressing:
                    self._terminate(now, reason, "no address")
            case _:
                assert_never(reply)

    def _release(self, now: float) -> None:
        held, self._held = self._held, None
        if held is not None and self._ipcp is not None:
            self._carry_ipcp(now, self._ipcp.receive(held, now))

    def _authenticate(self, now: float) -> None:
        method = self._lcp.options.method or self._policy.auth[0]
        machine: Authenticator
        if method == "pap":
            machine = PapAuthenticator(self._policy, self._deadlines)
        else:
            machine = ChapAuthenticator(method, self._policy, self._deadlines, self._entropy)
        self._authenticate_by(now, machine)

    def _why_closed(self, text: str) -> tuple[Reason, str]:
        return Reason.PEER_CLOSED, text

    def _on_claim(self, claim: Claim) -> None:
        self._asks += 1
        self._verifying = self._asks
        self._effects.append(AskVerify(self._asks, claim.proof))

    def _enter_network(self, now: float, username: str) -> None:
        del now
        self._asks += 1
        self._addressing = self._asks
        self._effects.append(AskAddress(self._asks, username, NOWHERE))

    def _hold_ipcp(self, packet: Packet) -> None:
        if packet.code == Code.CONFIGURE_REQUEST:
            parse_options(packet.data)
            self._held = packet

    def _forget_questions(self) -> None:
        self._verifying = self._addressing = 0
        self._held = None


class PeerLink(Phases):
    """The client's end: authenticates itself, takes the addresses that it is given.

    A server that asks for no authentication gets none; one that offers nothing of `policy.auth`
    is refused. There are no questions.
    """

    __slots__ = ("_credentials",)

    def __init__(
        self, policy: PppPolicy, credentials: Credentials, entropy: Callable[[int], bytes]
    ) -> None:
        super().__init__(policy, entropy, authenticator=False)
        self._credentials = credentials

    def answer(self, reply: PppAnswer, now: float) -> list[PppEffect]:
        del reply, now
        return []

    def _authenticate(self, now: float) -> None:
        method = self._lcp.options.method
        if method is None:
            self._networking(now, self._credentials.username)
        elif method == "pap":
            self._authenticate_by(now, PapSupplicant(self._credentials, self._deadlines))
        else:
            supplicant = ChapSupplicant(method, self._credentials, self._deadlines, self._entropy)
            self._authenticate_by(now, supplicant)

    def _why_closed(self, text: str) -> tuple[Reason, str]:
        declined = self._lcp.options.declined
        if declined and self._auth is None:
            return Reason.NO_AUTH_METHOD, f"the server wants method {declined.hex()}: {text}"
        return Reason.PEER_CLOSED, text

    def _on_claim(self, claim: Claim) -> None:
        """A supplicant makes none."""

    def _enter_network(self, now: float, username: str) -> None:
        del username
        self._open_ipcp(now, TakerOptions())

    def _hold_ipcp(self, packet: Packet) -> None:
        """IPCP opens with the phase: nothing can come before."""

    def _forget_questions(self) -> None:
        """There are none."""
