"""The initiator: IKE, L2TP and PPP joined into one client of an L2TP/IPsec server.

The twin of `gateway.client`; L2TP and PPP are in `call`. Pure:
punts of its data plane in, effects out, one deadline. It asks nothing, so it has no `answer`.
RFC 3193 3: first IKE, then L2TP within the IPsec SA, then PPP within the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Final, assert_never

from ferrule.client import effects as c
from ferrule.client.call import CLIENT, Call
from ferrule.client.effects import Step
from ferrule.client.progress import Progress
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.ids import Cookie, IsakmpSaId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.dataplane import interface as plane
from ferrule.esp.overhead import inner_mtu
from ferrule.ike import effects as ike
from ferrule.ike.endpoint import IkeEndpoint
from ferrule.ike.iana import NotifyType, notify_name

_LOWEST_SPI: Final = 256  # RFC 4303 2.1
_REKEY_SHARE: Final = 0.8  # of a lifetime, when it is renewed


class Life(Enum):
    """Where the client as a whole is; the steps of SETTING_UP are `Initiator.step`."""

    NEW = "new"
    SETTING_UP = "setting up"
    UP = "up"
    LEAVING = "leaving"  # goodbyes are said, acknowledgments awaited
    CLOSED = "closed"


# What a set-up that takes too long is called, by the step in which it hangs.
_TIMEOUTS: Final[Mapping[Step, Reason]] = {
    Step.PHASE1: Reason.PHASE1_TIMEOUT,
    Step.NAT: Reason.PHASE1_TIMEOUT,
    Step.PHASE2: Reason.PHASE2_TIMEOUT,
    Step.TUNNEL: Reason.L2TP_TIMEOUT,
    Step.CALL: Reason.L2TP_TIMEOUT,
    Step.LCP: Reason.LCP_TIMEOUT,
    Step.AUTH: Reason.AUTH_TIMEOUT,
    Step.IPCP: Reason.IPCP_TIMEOUT,
}

# What a server's notification means in a step: IKE knows only that it came.
_NOTIFIED: Final[Mapping[Step, Mapping[str, Reason]]] = {
    Step.PHASE1: {
        notify_name(NotifyType.NO_PROPOSAL_CHOSEN): Reason.NO_PROPOSAL,
    },
    Step.PHASE2: {
        notify_name(NotifyType.NO_PROPOSAL_CHOSEN): Reason.NO_PHASE2_PROPOSAL,
        notify_name(NotifyType.INVALID_ID_INFORMATION): Reason.TRAFFIC_SELECTOR,
    },
}


def _is_due(deadline: Deadline | None, now: float) -> bool:
    return deadline is not None and deadline.at <= now


class Initiator:
    """One client. `path` leads to the server's port 500; the policy says where IKE floats to."""

    def __init__(
        self, settings: ClientSettings, entropy: Callable[[int], bytes], path: Path
    ) -> None:
        self.life = Life.NEW
        self.heard = False  # anything at all from the server
        self._settings = settings
        self._entropy = entropy
        self._path = path
        self._ike = IkeEndpoint(
            settings.ike, entropy, choose_cookie=self._choose_cookie, choose_spi=self._choose_spi
        )
        self._progress = Progress()
        self._call = Call(settings, entropy, self._progress)
        self._timers = Deadlines()
        self._isakmp_sas: set[IsakmpSaId] = set()
        self._isakmp_sa: IsakmpSaId | None = None  # the newest
        self._ipsec_sas: set[Spi] = set()
        self._floated_at: float | None = None
        self._reason = Reason.PEER_CLOSED  # why we leave

    @property
    def step(self) -> Step:
        """The one under way, or in which the set-up failed."""
        return self._progress.step

    # --- verbs

    @property
    def deadline(self) -> Deadline | None:
        """The earliest timer of ours, of IKE and of the call."""
        if self.life is Life.CLOSED:
            return None
        layers = (self._timers.next, self._ike.deadline, self._call.deadline)
        return min((d for d in layers if d is not None), default=None)

    def start(self, now: float) -> list[c.ClientEffect]:
        """Send the first message of Main Mode."""
        if self.life is not Life.NEW:
            return []
        self.life = Life.SETTING_UP
        self._progress.start(now)
        if self._settings.timeout:
            self._timers.set("timeout", now + self._settings.timeout)
        return self._settle(self._on_ike(self._ike.initiate(self._path, now), now), now)

    def receive(self, punt: plane.Punt, now: float) -> list[c.ClientEffect]:
        """Something that our data plane could not deal with alone."""
        if self.life is Life.CLOSED:
            return []
        return self._settle(self._receive(punt, now), now)

    def expire(self, now: float) -> list[c.ClientEffect]:
        """Run every timer that is due."""
        out: list[c.ClientEffect] = []
        for name in self._timers.pop_expired(now):
            out += self._on_timer(name, now)
        if self.life is Life.CLOSED:
            return out
        if _is_due(self._ike.deadline, now):
            out += self._on_ike(self._ike.expire(now), now)
        if _is_due(self._call.deadline, now):
            out += self._after_call(self._call.expire(now), now)
        return self._settle(out, now)

    @property
    def session(self) -> tuple[TunnelId, SessionId] | None:
        """Our ids of the call, once there is one."""
        return self._call.ids

    def data_came(self, at: float) -> None:
        """Through the tunnel, at `at` last: the server lives, whatever becomes of our echoes."""
        self._call.data_came(at)

    def close(self, reason: Reason, now: float) -> list[c.ClientEffect]:
        """Leave in good order: LCP Terminate-Request, CDN, StopCCN, and, once that is acknowledged
        or nobody answers, the Deletes. `Closed` is the last effect."""
        if self.life in (Life.LEAVING, Life.CLOSED):
            return []
        return self._settle(self._leave(reason, now), now)

    # --- punts and timers

    def _receive(self, punt: plane.Punt, now: float) -> list[c.ClientEffect]:
        match punt:
            case plane.IkeDatagram():
                self.heard = True
                return self._on_ike(self._ike.receive(punt.path, punt.message, now), now)
            case plane.FirstPacket():
                return self._on_ike(self._ike.heard(punt.inbound_spi, now), now)
            case plane.LifetimeReached():
                return self._rekey_ipsec_sa(now)
            case plane.L2tpControl():
                return self._after_call(self._call.receive_l2tp(punt.message, now), now)
            case plane.PppControl():
                effects = self._call.receive_ppp(punt.tunnel, punt.session, punt.frame, now)
                return self._after_call(effects, now)
            case plane.PeerMoved():
                self._path = punt.path
                return []
            case plane.UnknownSpi():
                return [c.Dropped(Reason.UNKNOWN_SPI, f"{punt.spi:08x}")]
            case plane.UnknownSession():
                detail = f"data for tunnel {punt.tunnel} session {punt.session}"
                return [c.Dropped(Reason.L2TP_UNKNOWN_SESSION, detail)]
            case plane.DhcpInform() | plane.ReservationLow():
                return []  # for servers
            case _:
                assert_never(punt)

    def _on_timer(self, name: str, now: float) -> list[c.ClientEffect]:
        match name:
            case "timeout":
                return self._fail(*self._why_late(), now)
            case "farewell":
                return self._finish(now)
            case "keepalive":
                self._timers.set("keepalive", now + self._settings.keepalive_seconds)
                return [c.SendKeepalive(CLIENT)]
            case "rekey ipsec":
                return self._rekey_ipsec_sa(now)
            case _:  # "rekey isakmp"
                return self._on_ike(self._ike.initiate(self._path, now), now)

    def _why_late(self) -> tuple[Reason, str]:
        if not self.heard:
            return Reason.NO_ANSWER, f"nothing came back from {self._path.peer.host}"
        return _TIMEOUTS[self.step], f"no end of it in {self._settings.timeout:g} s"

    # --- steps

    def _after_call(self, effects: list[c.ClientEffect], now: float) -> list[c.ClientEffect]:
        """After every verb of the call: is it up, is it over?"""
        network = self._call.network
        if self.life is Life.SETTING_UP and network is not None:
            self.life = Life.UP
            self._timers.clear("timeout")
            if self._path.natt and self._settings.keepalive_seconds:
                self._timers.set("keepalive", now + self._settings.keepalive_seconds)
            effects.append(c.Connected(network, now - self._progress.started_at))
        if self._call.ended is not None:
            effects += self._fail(*self._call.ended, now)
        return effects

    def _fail(self, reason: Reason, detail: str, now: float) -> list[c.ClientEffect]:
        """The set-up, or what was up, came to an end that we did not choose."""
        news: c.ClientEffect
        if self.life is Life.SETTING_UP:
            news = c.Failed(self.step, reason, detail)
        elif self.life is Life.UP:
            news = c.Ended(reason, detail)
        else:
            return []
        return [news, *self._leave(reason, now)]

    def _leave(self, reason: Reason, now: float) -> list[c.ClientEffect]:
        if self.life is Life.NEW:
            self.life = Life.CLOSED
            return [c.Closed()]
        self.life = Life.LEAVING
        self._reason = reason
        self._timers.clear_all()
        self._timers.set("farewell", now + self._settings.farewell_seconds)
        return self._call.close(reason, now)

    def _finish(self, now: float) -> list[c.ClientEffect]:
        """The Deletes, and the end."""
        deletes = [
            c.SendIke(effect.path, effect.message)
            for effect in self._ike.close(self._reason, now)
            if isinstance(effect, ike.SendIke)
        ]
        self.life = Life.CLOSED
        self._timers.clear_all()
        return [*deletes, c.RemoveClient(CLIENT), c.Closed()]

    def _settle(self, effects: list[c.ClientEffect], now: float) -> list[c.ClientEffect]:
        """After every verb: once our goodbye is acknowledged nothing is left to wait for."""
        if self.life is Life.LEAVING and (not self._ipsec_sas or self._call.farewell_heard):
            effects += self._finish(now)
        return effects

    # --- IKE

    def _choose_cookie(self, _: Path) -> Cookie:
        while not any(cookie := self._entropy(8)):
            pass
        return Cookie(cookie)

    def _choose_spi(self, _: IsakmpSaId) -> Spi:
        while True:
            spi = Spi(int.from_bytes(self._entropy(4), "big"))
            if spi >= _LOWEST_SPI and spi not in self._ipsec_sas:
                return spi

    def _on_ike(self, effects: list[ike.IkeEffect], now: float) -> list[c.ClientEffect]:
        out: list[c.ClientEffect] = []
        for effect in effects:
            match effect:
                case ike.SendIke():
                    if effect.path.natt and self._floated_at is None:
                        self._floated_at = now
                    out.append(c.SendIke(effect.path, effect.message))
                case ike.IsakmpSaUp():
                    out += self._on_isakmp_sa_up(effect, now)
                case ike.IsakmpSaDown():
                    out += self._on_isakmp_sa_down(effect, now)
                case ike.InitialContact():
                    pass  # the server's word that it forgot; this ISAKMP SA is new anyway
                case ike.InstallIpsecSa():
                    out.append(self._on_install(effect))
                case ike.ActivateIpsecSa():
                    out += self._on_activate(effect, now)
                case ike.RemoveIpsecSa():
                    out += self._on_remove(effect, now)
                case ike.IkeFailed():
                    if self.life is Life.SETTING_UP:
                        out += self._fail(*self._why_ike_failed(effect), now)
                case ike.IkeDropped():
                    out.append(c.Dropped(effect.reason, effect.detail))
                case _:
                    assert_never(effect)
        return out

    def _why_ike_failed(self, failed: ike.IkeFailed) -> tuple[Reason, str]:
        if failed.reason is Reason.PHASE1_TIMEOUT and not self.heard:
            return Reason.NO_ANSWER, f"nothing came back from {self._path.peer.host}"
        if failed.reason is Reason.PEER_NOTIFY:
            for notification, reason in _NOTIFIED.get(self.step, {}).items():
                if notification in failed.detail:
                    return reason, failed.detail
        return failed.reason, failed.detail

    def _on_isakmp_sa_up(self, up: ike.IsakmpSaUp, now: float) -> list[c.ClientEffect]:
        self._isakmp_sas.add(up.isakmp_sa)
        self._isakmp_sa = up.isakmp_sa
        self._path = up.path
        if self._settings.rekey:
            seconds = self._settings.ike.offer_ike_seconds * _REKEY_SHARE
            self._timers.set("rekey isakmp", now + seconds)
        # RFC 2407 4.6.3.3: INITIAL-CONTACT is for the first SA only; in a rekey it would be a lie.
        self._ike.policy = replace(self._ike.policy, offer_initial_contact=False)
        if self.life is not Life.SETTING_UP or self.step is not Step.PHASE1:
            return []
        floated = self._floated_at or now
        phase1: dict[str, str | float] = {"suite": up.suite, "identity": up.identity}
        if up.vendor_ids:
            phase1["vendor_ids"] = ", ".join(up.vendor_ids)
        carrier = f"UDP port {up.path.peer.port}" if up.path.natt else "no UDP encapsulation"
        out: list[c.ClientEffect] = [
            self._progress.done(Step.PHASE1, phase1, now, Step.PHASE2),
            c.StepDone(
                Step.NAT,
                floated - self._progress.started_at,
                {"method": up.natt, "carrier": carrier},
            ),
        ]
        return out + self._on_ike(self._ike.establish_ipsec_sa(up.isakmp_sa, now), now)

    def _on_isakmp_sa_down(self, down: ike.IsakmpSaDown, now: float) -> list[c.ClientEffect]:
        self._isakmp_sas.discard(down.isakmp_sa)
        if self._isakmp_sa == down.isakmp_sa:
            self._isakmp_sa = None
        if down.with_ipsec_sas or self.step is Step.PHASE2:
            return self._fail(down.reason, "the server closed the ISAKMP SA", now)
        return []

    def _on_install(self, install: ike.InstallIpsecSa) -> c.ClientEffect:
        settings = self._settings
        self._ipsec_sas.add(install.inbound_spi)
        self._call.mtu = min(settings.mtu, inner_mtu(settings.outer_mtu, install.suite))
        return c.InstallSa(
            plane.SaSpec(
                client=CLIENT,
                inbound_spi=install.inbound_spi,
                outbound_spi=install.outbound_spi,
                suite=install.suite,
                inbound_key=install.inbound_key,
                outbound_key=install.outbound_key,
                life_octets=install.life_octets,
                path=install.path,
            )
        )

    def _on_activate(self, up: ike.ActivateIpsecSa, now: float) -> list[c.ClientEffect]:
        out: list[c.ClientEffect] = [c.ActivateSa(up.inbound_spi)]
        if self._settings.rekey:
            seconds = self._settings.ike.offer_esp_seconds * _REKEY_SHARE
            self._timers.set("rekey ipsec", now + seconds)
        if self.life is not Life.SETTING_UP or self.step is not Step.PHASE2:
            return out
        facts: dict[str, str | float] = {"suite": up.suite, "pfs": up.pfs or "none"}
        out.append(self._progress.done(Step.PHASE2, facts, now, Step.TUNNEL))
        return out + self._after_call(self._call.open(now), now)

    def _on_remove(self, remove: ike.RemoveIpsecSa, now: float) -> list[c.ClientEffect]:
        self._ipsec_sas.discard(remove.inbound_spi)
        out: list[c.ClientEffect] = [c.RemoveSa(remove.inbound_spi)]
        if not self._ipsec_sas:
            out += self._fail(remove.reason, "the last IPsec SA is gone", now)
        return out

    def _rekey_ipsec_sa(self, now: float) -> list[c.ClientEffect]:
        """A new IPsec SA beside the old one, under an ISAKMP SA that may have to be made first."""
        if self.life is not Life.UP or not self._settings.rekey:
            return []
        if self._isakmp_sa is None:
            self._timers.set("rekey ipsec", now + 1.0)
            return self._on_ike(self._ike.initiate(self._path, now), now)
        return self._on_ike(self._ike.establish_ipsec_sa(self._isakmp_sa, now), now)
