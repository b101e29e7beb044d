"""The client's end of L2TP and PPP: one tunnel, one call in it, one PPP link in that.

The twin of `gateway.call`: turns the effects of both layers into the client's. `ended` is set when
the call is over and we did not end it; the initiator draws the conclusions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from ferrule.client import effects as c
from ferrule.client.effects import Step
from ferrule.client.errands import Network
from ferrule.client.progress import Progress
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.ids import ClientId, SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.dataplane import interface as plane
from ferrule.l2tp import effects as l2
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.ppp import effects as p
from ferrule.ppp.link import PeerLink
from ferrule.ppp.phases import Phase

CLIENT: Final = ClientId(1)  # there is no other in our plane

_AFTER_LCP: Final[Mapping[Phase, Step]] = {
    Phase.AUTHENTICATE: Step.AUTH,
    Phase.NETWORK: Step.IPCP,  # a server that asks for no authentication
}


class Call:
    """`mtu` bounds the inner packets and is set before `open`; `network` is what IPCP gave."""

    def __init__(
        self, settings: ClientSettings, entropy: Callable[[int], bytes], progress: Progress
    ) -> None:
        self.mtu = settings.mtu
        self.network: Network | None = None
        self.ended: tuple[Reason, str] | None = None
        self.ids: tuple[TunnelId, SessionId] | None = None  # ours
        self._settings = settings
        self._entropy = entropy
        self._progress = progress
        self._l2tp = L2tpEndpoint(settings.l2tp, entropy)
        self._link: PeerLink | None = None
        self._auth_failure: tuple[Reason, str] | None = None

    # --- verbs

    @property
    def deadline(self) -> Deadline | None:
        link = None if self._link is None else self._link.deadline
        layers = (self._l2tp.deadline, link)
        return min((d for d in layers if d is not None), default=None)

    @property
    def farewell_heard(self) -> bool:
        """After `close`: the server has acknowledged all that we said."""
        pending = self._l2tp.deadline
        return pending is None or pending.name == "linger"

    def open(self, now: float) -> list[c.ClientEffect]:
        """The IPsec SA is there: SCCRQ."""
        return self._on_l2tp(self._l2tp.open_tunnel(now), now)

    def receive_l2tp(self, message: bytes, now: float) -> list[c.ClientEffect]:
        return self._on_l2tp(self._l2tp.receive(message, now), now)

    def receive_ppp(
        self, tunnel: TunnelId, session: SessionId, frame: bytes, now: float
    ) -> list[c.ClientEffect]:
        if self._link is None or (tunnel, session) != self.ids:
            return [c.Dropped(Reason.L2TP_UNKNOWN_SESSION, "a PPP frame without a call")]
        return self._on_ppp(self._link.receive(frame, now), now)

    def data_came(self, at: float) -> None:
        if self._link is not None:
            self._link.heard(at)

    def expire(self, now: float) -> list[c.ClientEffect]:
        out: list[c.ClientEffect] = []
        due = self._l2tp.deadline
        if due is not None and due.at <= now:
            out += self._on_l2tp(self._l2tp.expire(now), now)
        due = None if self._link is None else self._link.deadline
        if self._link is not None and due is not None and due.at <= now:
            out += self._on_ppp(self._link.expire(now), now)
        return out

    def close(self, reason: Reason, now: float) -> list[c.ClientEffect]:
        """LCP Terminate-Request, CDN, StopCCN."""
        out: list[c.ClientEffect] = []
        if self._link is not None:
            out += self._on_ppp(self._link.close(reason, now), now)
        return out + self._on_l2tp(self._l2tp.close(reason, now), now)

    def _end(self, reason: Reason, detail: str) -> None:
        if self.ended is None:
            self.ended = self._auth_failure or (reason, detail)

    # --- L2TP

    def _on_l2tp(self, effects: list[l2.L2tpEffect], now: float) -> list[c.ClientEffect]:
        out: list[c.ClientEffect] = []
        for effect in effects:
            match effect:
                case l2.SendL2tp():
                    out.append(c.SendL2tp(CLIENT, effect.message))
                case l2.TunnelUp():
                    out += self._on_tunnel_up(effect, now)
                case l2.TunnelDown() | l2.SessionDown():
                    self._end(effect.reason, effect.detail)
                case l2.SessionUp():
                    out += self._on_session_up(effect, now)
                case l2.L2tpDropped():
                    out.append(c.Dropped(effect.reason, effect.detail))
                case _:
                    assert_never(effect)
        return out

    def _on_tunnel_up(self, up: l2.TunnelUp, now: float) -> list[c.ClientEffect]:
        if self._progress.step is not Step.TUNNEL:
            return []  # one that the server opened
        facts: dict[str, str | float] = {"server": f"{up.peer_host_name} {up.peer_vendor}".strip()}
        done = self._progress.done(Step.TUNNEL, facts, now, Step.CALL)
        return [done, *self._on_l2tp(self._l2tp.open_session(up.tunnel, now), now)]

    def _on_session_up(self, up: l2.SessionUp, now: float) -> list[c.ClientEffect]:
        if self._progress.step is not Step.CALL:
            return []
        self.ids = (up.tunnel, up.session)
        self._link = PeerLink(self._settings.ppp, self._settings.credentials, self._entropy)
        link = plane.LinkSpec(CLIENT, *self.ids, up.peer_tunnel, up.peer_session, up.sequencing)
        facts: dict[str, str | float] = {
            "tunnel": f"{up.tunnel} to {up.peer_tunnel}",
            "session": f"{up.session} to {up.peer_session}",
        }
        out: list[c.ClientEffect] = [
            c.AddLink(link),
            self._progress.done(Step.CALL, facts, now, Step.LCP),
        ]
        return out + self._on_ppp(self._link.start(now), now)

    # --- PPP

    def _on_ppp(self, effects: list[p.PppEffect], now: float) -> list[c.ClientEffect]:
        out: list[c.ClientEffect] = []
        if self._progress.step is Step.LCP and self._link is not None:
            following = _AFTER_LCP.get(self._link.phase)
            if following is not None:
                out.append(self._progress.done(Step.LCP, {}, now, following))
        for effect in effects:
            match effect:
                case p.SendPpp():
                    out += self._send(effect.frame)
                case p.Authenticated():
                    out += self._on_authenticated(effect, now)
                case p.AuthenticationFailed():
                    self._auth_failure = (effect.reason, effect.detail)
                case p.NetworkUp():
                    out += self._on_network_up(effect, now)
                case p.NetworkDown():
                    out += self._unbind()
                case p.LinkDown():
                    self._end(effect.reason, effect.detail)
                case p.PppDropped():
                    out.append(c.Dropped(effect.reason, effect.detail))
                case p.PeerIdentified() | p.AskVerify() | p.AskAddress():
                    pass  # questions are the server's role
                case _:
                    assert_never(effect)
        return out

    def _send(self, frame: bytes) -> list[c.ClientEffect]:
        return [] if self.ids is None else [c.SendPpp(CLIENT, *self.ids, frame)]

    def _on_authenticated(self, done: p.Authenticated, now: float) -> list[c.ClientEffect]:
        self._auth_failure = None
        if self._progress.step is not Step.AUTH:
            return []
        facts: dict[str, str | float] = {"method": done.method, "user": done.username}
        return [self._progress.done(Step.AUTH, facts, now, Step.IPCP)]

    def _on_network_up(self, up: p.NetworkUp, now: float) -> list[c.ClientEffect]:
        assert self.ids is not None
        network = Network(up.local, up.peer, up.dns, up.wins, min(self.mtu, up.mru))
        self.network = network
        spec = plane.SessionSpec(
            CLIENT,
            *self.ids,
            address=up.local.packed,
            mtu=network.mtu,
            policy=plane.Policy(),
            compress_protocol=up.compress_protocol,
            compress_address=up.compress_address,
            default=True,
        )
        out: list[c.ClientEffect] = [c.BindSession(spec)]
        if self._progress.step is Step.IPCP:
            facts: dict[str, str | float] = {
                "address": str(network.address),
                "server_address": str(network.peer),
                "dns": ", ".join(map(str, network.dns)) or "none",
                "mtu": network.mtu,
            }
            out.append(self._progress.done(Step.IPCP, facts, now, Step.PING))
        return out

    def _unbind(self) -> list[c.ClientEffect]:
        if self.network is None or self.ids is None:
            return []
        self.network = None
        return [c.UnbindSession(CLIENT, *self.ids)]
