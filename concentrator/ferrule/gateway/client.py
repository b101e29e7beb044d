"""One remote host: its ISAKMP SAs, its IPsec SAs, its L2TP endpoint and the calls in it.

Two hosts never meet in here, however equal their tunnel ids and private addresses are. A phase-1
rekey adds an ISAKMP SA to the client, a phase-2 rekey an IPsec SA; the calls notice neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from ferrule.core.deadlines import Deadline
from ferrule.core.ids import ClientId, IsakmpSaId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import ClientState, LinkSpec
from ferrule.esp.overhead import (
    L2TP_DATA_HEADER_OCTETS,
    L2TP_SEQUENCED_HEADER_OCTETS,
    inner_mtu,
)
from ferrule.gateway import effects as g
from ferrule.gateway.call import Call
from ferrule.gateway.image import CallImage, ClientImage, PairImage, StageImage
from ferrule.gateway.settings import SessionKey, Site
from ferrule.ike.image import IkeImage
from ferrule.l2tp import effects as l2
from ferrule.l2tp.endpoint import L2tpEndpoint, SessionView

L2TP_PORT = 1701


@dataclass(slots=True)
class Origin:
    """What phase 1 told about the client."""

    path: Path
    identity: str
    suite: str
    vendor_ids: tuple[str, ...]
    started: float
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Pair:
    """A pair of IPsec SAs, with what the plane was given and what it last said of it.

    Sequence numbers up to `reserved` may be sent once that is written down; whoever takes the
    client over begins behind it."""

    suite: EspSuite
    inbound_key: Secret
    outbound_key: Secret
    life_octets: int
    reserved: int
    window_top: int = 0
    octets_in: int = 0
    octets_out: int = 0
    seen: bool = False
    sending: bool = False


class Client:
    """State of one remote host. Removed by the gateway once `empty`.

    `uid` names it as long as it lives, on whichever member of a cluster; `shard` is its home: who
    owns the one has the other, and all its inbound SPIs are of it.
    """

    __slots__ = (
        "_client_name",
        "_l2tp",
        "_links",
        "_peer_port",
        "_short_tags",
        "_site",
        "_tunnel_seconds",
        "_tunnels_with_calls",
        "calls",
        "closing_at",
        "id",
        "identity",
        "ipsec_sas",
        "isakmp_sas",
        "lost",
        "origin",
        "path",
        "phase2_suite",
        "shard",
        "uid",
    )

    def __init__(self, client: ClientId, site: Site, origin: Origin, uid: str, shard: int) -> None:
        self.id = client
        self.uid = uid
        self.shard = shard
        self.path = origin.path
        self.identity = origin.identity
        self.origin = origin
        self.isakmp_sas: set[IsakmpSaId] = set()
        self.ipsec_sas: dict[Spi, Pair] = {}  # by inbound SPI, the newest last
        self.phase2_suite = ""
        self.calls: dict[tuple[TunnelId, SessionId], Call] = {}
        self.closing_at: float | None = None  # when the goodbye ends in Deletes
        self.lost = Reason.PEER_CLOSED  # why the last of its SAs went
        self._site = site
        self._l2tp = L2tpEndpoint(site.settings.l2tp, site.entropy)
        self._client_name = ""
        self._tunnel_seconds = 0.0
        self._tunnels_with_calls: set[TunnelId] = set()
        # What the plane last said: the inner UDP port, and of each link Ns, octets up and down.
        self._peer_port = L2TP_PORT
        self._short_tags = False
        self._links: dict[tuple[TunnelId, SessionId], tuple[int, int, int]] = {}

    @property
    def empty(self) -> bool:
        """Nothing is left that could receive a packet of this host."""
        return not self.isakmp_sas and not self.ipsec_sas

    # --- verbs

    @property
    def deadline(self) -> float | None:
        """The earliest timer of L2TP, of a call, or of the goodbye."""
        times: list[float] = [] if self.closing_at is None else [self.closing_at]
        deadline: Deadline | None = self._l2tp.deadline
        if deadline is not None:
            times.append(deadline.at)
        for call in self.calls.values():
            deadline = call.deadline
            if deadline is not None:
                times.append(deadline.at)
        return min(times) if times else None

    def receive_l2tp(self, message: bytes, now: float) -> list[g.GatewayEffect]:
        return self._translate(self._l2tp.receive(message, now), now)

    def receive_ppp(
        self, tunnel: TunnelId, session: SessionId, frame: bytes, now: float
    ) -> list[g.GatewayEffect]:
        call = self.calls.get((tunnel, session))
        if call is None:
            return [g.Dropped(Reason.L2TP_UNKNOWN_SESSION, "a PPP frame without a call")]
        return self._after(call, call.receive(frame, now), now)

    def answer(self, reply: g.GatewayAnswer, now: float) -> list[g.GatewayEffect]:
        call = self.calls.get((reply.tunnel, reply.session))
        if call is None:
            return []
        if isinstance(reply, g.Activity):
            self._l2tp.heard(reply.last_up)
        return self._after(call, call.answer(reply, now), now)

    def expire(self, now: float) -> list[g.GatewayEffect]:
        effects: list[g.GatewayEffect] = []
        deadline = self._l2tp.deadline
        if deadline is not None and deadline.at <= now:
            effects += self._translate(self._l2tp.expire(now), now)
        for call in list(self.calls.values()):
            deadline = call.deadline
            if deadline is not None and deadline.at <= now:
                effects += self._after(call, call.expire(now), now)
        return effects

    def close_call(self, key: SessionKey, reason: Reason, now: float) -> list[g.GatewayEffect]:
        """LCP Terminate-Request, CDN, and StopCCN with the last call."""
        call = self.calls.get((key.tunnel, key.session))
        if call is None:
            return []
        return self._after(call, call.close(reason, now), now)

    def close(self, reason: Reason, now: float) -> list[g.GatewayEffect]:
        """Say goodbye in every call and tunnel."""
        effects: list[g.GatewayEffect] = []
        for call in list(self.calls.values()):
            effects += self._after(call, call.close(reason, now), now)
        return effects + self._translate(self._l2tp.close(reason, now), now)

    def drop(self, reason: Reason, detail: str = "") -> list[g.GatewayEffect]:
        """End every call without a word: nobody is there to hear it."""
        effects: list[g.GatewayEffect] = []
        for call in list(self.calls.values()):
            call.drop(reason, detail)
            effects += self._forget(call)
        return effects

    def moved(self, path: Path) -> None:
        self.path = path
        for call in self.calls.values():
            call.facts.path = path

    def refresh_policy(self) -> list[g.GatewayEffect]:
        return [e for call in self.calls.values() for e in call.refresh_policy()]

    # --- to another process and back

    def note(self, state: ClientState) -> None:
        """What the plane says of it now."""
        self._peer_port, self._short_tags = state.peer_port, state.short_tags
        for sa in state.sas:
            pair = self.ipsec_sas.get(sa.inbound_spi)
            if pair is not None:
                pair.window_top, pair.seen, pair.sending = sa.window_top, sa.seen, sa.active
                pair.octets_in, pair.octets_out = sa.octets_in, sa.octets_out
        self._links = {
            (tunnel, session): (ns, counters.octets_up, counters.octets_down)
            for tunnel, session, ns, counters in state.links
        }

    def export(self, ike: IkeImage, now: float) -> ClientImage:
        """With what `note` was told last."""
        offset, origin = self._site.wall_offset, self.origin
        return ClientImage(
            uid=self.uid,
            shard=self.shard,
            taken=now + offset,
            path=self.path,
            phase1_suite=origin.suite,
            phase2_suite=self.phase2_suite,
            vendor_ids=origin.vendor_ids,
            started=origin.started + offset,
            client_name=self._client_name,
            closing_at=None if self.closing_at is None else self.closing_at + offset,
            peer_port=self._peer_port,
            short_tags=self._short_tags,
            ike=ike,
            pairs=tuple(_pair_image(spi, pair) for spi, pair in self.ipsec_sas.items()),
            tunnels=self._l2tp.export(offset, now),
            tunnels_with_calls=tuple(sorted(self._tunnels_with_calls)),
            calls=tuple(
                call.export(*self._links.get(ids, (0, 0, 0))) for ids, call in self.calls.items()
            ),
            stages=tuple(StageImage(*stage) for stage in origin.stages.items()),
        )

    def restore(self, image: ClientImage, now: float) -> list[g.GatewayEffect]:
        """Go on where another process stood. Its SAs are with the plane already."""
        offset = self._site.wall_offset
        self.phase2_suite, self._client_name = image.phase2_suite, image.client_name
        self.closing_at = None if image.closing_at is None else image.closing_at - offset
        self._peer_port, self._short_tags = image.peer_port, image.short_tags
        self._tunnels_with_calls = {TunnelId(tunnel) for tunnel in image.tunnels_with_calls}
        repeats = self._translate(self._l2tp.restore(image.tunnels, offset, now), now)
        standing = {
            (view.tunnel, view.session): view for view in self._l2tp.sessions() if view.established
        }
        effects: list[g.GatewayEffect] = []
        for one in image.calls:
            view = standing.pop((one.tunnel, one.session), None)
            if view is not None:
                effects += self._restore_call(one, view, now)
        return effects + repeats

    def _restore_call(
        self, image: CallImage, view: SessionView, now: float
    ) -> list[g.GatewayEffect]:
        call = self._add_call(
            (view.tunnel, view.session),
            image.inner_mtu,
            phase2_suite=image.phase2_suite,
            client_name=image.client_name,
            started=image.started - self._site.wall_offset,
            stages={stage.name: stage.seconds for stage in image.stages},
        )
        self._links[view.tunnel, view.session] = (image.ns, image.octets_up, image.octets_down)
        link = LinkSpec(*call.key, view.peer_tunnel, view.peer_session, view.sequencing)
        return [
            g.AddLink(link),
            g.RestoreLink(*call.key, image.ns, image.octets_up, image.octets_down),
            *self._after(call, call.restore(image, now), now),
        ]

    # --- L2TP's effects

    def _translate(self, effects: list[l2.L2tpEffect], now: float) -> list[g.GatewayEffect]:
        out: list[g.GatewayEffect] = []
        for effect in effects:
            match effect:
                case l2.SendL2tp():
                    out.append(g.SendL2tp(self.id, effect.message))
                case l2.TunnelUp():
                    self.closing_at = None  # it came back over the same SAs
                    self._client_name = f"{effect.peer_host_name} {effect.peer_vendor}".strip()
                    self._tunnel_seconds = effect.seconds
                case l2.TunnelDown():
                    out += self._on_tunnel_down(effect)
                case l2.SessionUp():
                    out += self._on_session_up(effect, now)
                case l2.SessionDown():
                    call = self.calls.get((effect.tunnel, effect.session))
                    if call is not None:
                        call.drop(effect.reason, effect.detail)
                        out += self._forget(call)
                case l2.L2tpDropped():
                    out.append(g.Dropped(effect.reason, effect.detail))
                case _:
                    assert_never(effect)
        return out

    def _on_tunnel_down(self, down: l2.TunnelDown) -> list[g.GatewayEffect]:
        if down.tunnel in self._tunnels_with_calls:
            self._tunnels_with_calls.discard(down.tunnel)
            return []  # each call has said its own end
        if down.reason in _QUIET_ENDS:
            return []
        return [
            g.SetupFailed(
                self.path,
                down.reason,
                down.detail,
                identity=self.identity,
                client_name=self._client_name,
            )
        ]

    def _on_session_up(self, up: l2.SessionUp, now: float) -> list[g.GatewayEffect]:
        site, origin = self._site, self.origin
        self._tunnels_with_calls.add(up.tunnel)
        if 0 < site.settings.sessions_max <= site.calls:
            failed = g.SetupFailed(self.path, Reason.SESSIONS_LIMIT, "", identity=self.identity)
            closing = self._l2tp.close_session(up.tunnel, up.session, Reason.SESSIONS_LIMIT, now)
            return [failed, *self._translate(closing, now)]
        seconds = self._tunnel_seconds + up.seconds
        call = self._add_call(
            (up.tunnel, up.session),
            self._inner_mtu(up.sequencing),
            phase2_suite=self.phase2_suite,
            client_name=self._client_name,
            started=origin.started if not self.calls else now,
            stages={**origin.stages, "l2tp": seconds},
        )
        link = LinkSpec(*call.key, up.peer_tunnel, up.peer_session, up.sequencing)
        out: list[g.GatewayEffect] = [g.AddLink(link), g.StageDone("l2tp", seconds)]
        return out + self._after(call, call.start(now), now)

    def _add_call(
        self,
        ids: tuple[TunnelId, SessionId],
        inner_mtu: int,
        *,
        phase2_suite: str,
        client_name: str,
        started: float,
        stages: dict[str, float],
    ) -> Call:
        key = SessionKey(self.id, *ids)
        facts = g.SessionFacts(
            *key,
            path=self.path,
            identity=self.identity,
            phase1_suite=self.origin.suite,
            phase2_suite=phase2_suite,
            client_name=client_name,
            vendor_ids=self.origin.vendor_ids,
            started=started,
            stages=stages,
        )
        call = self.calls[ids] = Call(key, self._site, facts, inner_mtu)
        self._site.calls += 1
        return call

    def _inner_mtu(self, sequencing: bool) -> int:
        """What fits into an outer packet, with the overhead of the newest SA's algorithms."""
        settings = self._site.settings
        header = L2TP_SEQUENCED_HEADER_OCTETS if sequencing else L2TP_DATA_HEADER_OCTETS
        sizes = [
            inner_mtu(settings.outer_mtu, pair.suite, l2tp_header=header)
            for pair in self.ipsec_sas.values()
        ]
        return min([settings.mtu, *sizes[-1:]])

    # --- the end of a call

    def _after(
        self, call: Call, effects: list[g.GatewayEffect], now: float
    ) -> list[g.GatewayEffect]:
        """Finish a verb of `call`: if PPP is over, so are its L2TP session and the call."""
        if call.ended is None or (call.key.tunnel, call.key.session) not in self.calls:
            return effects
        reason = call.ended[0]
        effects += self._forget(call)
        closing = self._l2tp.close_session(call.key.tunnel, call.key.session, reason, now)
        return effects + self._translate(closing, now)

    def _forget(self, call: Call) -> list[g.GatewayEffect]:
        del self.calls[(call.key.tunnel, call.key.session)]
        self._site.calls -= 1
        return call.last_words()


def _pair_image(spi: Spi, pair: Pair) -> PairImage:
    return PairImage(
        spi,
        pair.inbound_key,
        pair.outbound_key,
        pair.life_octets,
        pair.reserved,
        pair.window_top,
        pair.octets_in,
        pair.octets_out,
        pair.seen,
        pair.sending,
    )


# A tunnel that ends so without ever having had a call is no failed set-up.
_QUIET_ENDS = frozenset(
    {
        Reason.PEER_CLOSED,
        Reason.REPLACED_SESSION,
        Reason.SERVER_SHUTDOWN,
        Reason.ADMIN_KICK,
    }
)
