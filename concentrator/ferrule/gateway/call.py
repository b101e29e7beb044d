"""One call: an L2TP session and the PPP link in it, from ICCN to its end.

Turns PPP effects into gateway effects. Who the peer is, it asks the accounts; whether he may come
in and with which address, whoever keeps the limits of all members: PPP says yes to the peer only
after that. Holds the facts of the session that its canonical log line is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, assert_never

from ferrule.accounts.admission import Check
from ferrule.core.credentials import Accepted, Denied, Verdict
from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.dataplane.interface import Policy, SessionSpec
from ferrule.gateway import effects as g
from ferrule.gateway.image import CallImage, PlaceImage, StageImage
from ferrule.gateway.settings import SessionKey, Site
from ferrule.ppp import effects as p
from ferrule.ppp.link import Link

# Told to the peer in IPCP: his password was right, and he is let in, but gets no address.
_NO_ADDRESS: Final = frozenset({Reason.POOL_EXHAUSTED, Reason.STATIC_ADDRESS_TAKEN})


@dataclass(frozen=True, slots=True)
class Place:
    """What a session has been granted: a place among its user's sessions, and an address.

    `source` is where the peer was when he asked, `since` is when that was."""

    username: str
    source: str
    since: float
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question of admission that is open: PPP waits for the verdict."""

    ask: int
    verdict: Accepted
    source: str
    since: float


class Call:
    """State of one call. `ended` is set once, with the reason, when PPP is over; `place` is what
    it was granted, for as long as it lives."""

    __slots__ = (
        "_asked",
        "_auth_failure",
        "_checks",
        "_link",
        "_no_address",
        "_site",
        "_timers",
        "bound",
        "ended",
        "facts",
        "inner_mtu",
        "key",
        "place",
        "policy",
    )

    def __init__(self, key: SessionKey, site: Site, facts: g.SessionFacts, inner_mtu: int) -> None:
        self.key = key
        self.facts = facts
        self.bound = False
        self.ended: tuple[Reason, str] | None = None
        self.policy = Policy()
        self.inner_mtu = inner_mtu
        self._site = site
        self._link = Link(site.settings.ppp, site.entropy)
        self._timers = Deadlines()
        self._checks: dict[int, Check] = {}
        self.place: Place | None = None
        self._asked: _Asked | None = None
        self._no_address = Reason.USER_REMOVED  # why there is none, while `place` is none
        self._auth_failure: tuple[Reason, str] | None = None

    # --- verbs

    @property
    def deadline(self) -> Deadline | None:
        mine, link = self._timers.next, self._link.deadline
        if mine is None or link is None:
            return mine or link
        return min(mine, link)

    def start(self, now: float) -> list[g.GatewayEffect]:
        self._timers.set("activity", now + self._site.settings.activity_seconds)
        return self._translate(self._link.start(now), now)

    def receive(self, frame: bytes, now: float) -> list[g.GatewayEffect]:
        return self._translate(self._link.receive(frame, now), now)

    def answer(self, reply: g.GatewayAnswer, now: float) -> list[g.GatewayEffect]:
        match reply:
            case g.CheckDone():
                check = self._checks.pop(reply.ask, None)
                if check is None:
                    return []
                return self._conclude(reply.ask, check, reply.verdict, now)
            case g.Activity():
                return self._on_activity(reply, now)
            case g.AdmissionDone():
                return self._on_admission(reply, now)
            case _:
                assert_never(reply)

    def expire(self, now: float) -> list[g.GatewayEffect]:
        effects: list[g.GatewayEffect] = []
        for name in self._timers.pop_expired(now):
            if name == "activity":
                self._timers.set("activity", now + self._site.settings.activity_seconds)
                effects.append(g.AskActivity(*self.key))
            elif name == "session_timeout":
                effects += self.close(Reason.SESSION_TIMEOUT, now)
            elif name == "valid_until":
                effects += self.close(Reason.USER_EXPIRED, now)
        link = self._link.deadline
        if self.ended is None and link is not None and link.at <= now:
            effects += self._translate(self._link.expire(now), now)
        return effects

    def close(self, reason: Reason, now: float) -> list[g.GatewayEffect]:
        """Say goodbye (LCP Terminate-Request) and be over."""
        effects = self._translate(self._link.close(reason, now), now)
        self._end(reason, "")
        return effects

    def drop(self, reason: Reason, detail: str) -> None:
        """Be over without a word: the peer or its path is gone."""
        self._end(reason, detail)

    # --- the end

    def last_words(self) -> list[g.GatewayEffect]:
        """What the outside must do and know once the call has ended."""
        assert self.ended is not None
        reason, detail = self.ended
        facts = self.facts
        effects: list[g.GatewayEffect] = []
        if facts.up_at is not None:
            effects.append(g.SessionEnded(facts, reason, detail))
        else:
            if self._auth_failure is not None:
                reason, detail = self._auth_failure
            effects.append(
                g.SetupFailed(
                    facts.path,
                    reason,
                    detail,
                    identity=facts.identity,
                    username=facts.username,
                    client_name=facts.client_name,
                )
            )
        if self.bound:
            effects.append(g.UnbindSession(*self.key))
        effects.append(g.RemoveLink(*self.key))
        if self.place is not None or self._asked is not None:
            effects.append(g.ReleaseLease(*self.key))
        return effects

    def _end(self, reason: Reason, detail: str) -> None:
        if self.ended is None:
            self.ended = (reason, detail)
            self._timers.clear_all()

    # --- PPP's effects

    def _translate(self, effects: list[p.PppEffect], now: float) -> list[g.GatewayEffect]:
        out: list[g.GatewayEffect] = []
        for effect in effects:
            match effect:
                case p.SendPpp():
                    out.append(g.SendPpp(*self.key, effect.frame))
                case p.AskVerify():
                    out += self._on_ask_verify(effect, now)
                case p.AskAddress():
                    out += self._on_ask_address(effect, now)
                case p.Authenticated():
                    self._auth_failure = None
                    self.facts.auth_method = effect.method
                    self.facts.stages["auth"] = effect.seconds
                    out.append(g.StageDone("auth", effect.seconds))
                    out.append(
                        g.AuthTried(self.facts.path, self.facts.username, effect.method, None)
                    )
                case p.AuthenticationFailed():
                    self._auth_failure = (effect.reason, effect.detail)
                    self.facts.username = effect.username
                    out.append(
                        g.AuthTried(self.facts.path, effect.username, effect.method, effect.reason)
                    )
                case p.PeerIdentified():
                    self.facts.client_name = f"{self.facts.client_name} {effect.text}".strip()
                case p.NetworkUp():
                    out += self._on_network_up(effect, now)
                case p.NetworkDown():
                    if self.bound:
                        self.bound = False
                        out.append(g.UnbindSession(*self.key))
                case p.LinkDown():
                    self._end(effect.reason, effect.detail)
                case p.PppDropped():
                    out.append(g.Dropped(effect.reason, effect.detail))
                case _:
                    assert_never(effect)
        return out

    def _on_ask_verify(self, question: p.AskVerify, now: float) -> list[g.GatewayEffect]:
        site = self._site
        source = self.facts.path.peer.host
        check = site.accounts.prepare(question.proof, source, now, site.wall(now))
        if isinstance(check, Denied):
            return self._verified(question.ask, check, now)
        if check.slow:
            self._checks = {question.ask: check}
            return [g.RunCheck(*self.key, question.ask, check)]
        return self._conclude(question.ask, check, check.run(), now)

    def _conclude(
        self, ask: int, check: Check, verdict: Verdict, now: float
    ) -> list[g.GatewayEffect]:
        verdict = self._site.accounts.conclude(check, verdict, now)
        if isinstance(verdict, Denied):
            return self._verified(ask, verdict, now)
        place = self.place
        if place is not None and place.username != verdict.username:
            # LCP began again, and somebody else logged in: that is another session.
            self._no_address = Reason.USER_REMOVED
            return self._verified(ask, verdict, now)
        since = now if place is None else place.since
        self._asked = _Asked(ask, verdict, check.source, since)
        return [
            g.AskAdmission(
                *self.key, ask, verdict.username, check.source, self.facts.identity, since
            )
        ]

    def _on_admission(self, reply: g.AdmissionDone, now: float) -> list[g.GatewayEffect]:
        asked = self._asked
        if asked is None or asked.ask != reply.ask or self.ended is not None:
            return []
        self._asked = None
        outcome = reply.outcome
        username = asked.verdict.username
        if isinstance(outcome, IPv4Address):
            self.place = Place(username, asked.source, asked.since, outcome)
        elif outcome in _NO_ADDRESS:
            self.place, self._no_address = None, outcome
        else:
            self.place = None
            return self._verified(asked.ask, Denied(outcome), now)
        self.facts.username = username
        return self._verified(asked.ask, asked.verdict, now)

    def _verified(self, ask: int, verdict: Verdict, now: float) -> list[g.GatewayEffect]:
        return self._translate(self._link.answer(p.Verified(ask, verdict), now), now)

    def _on_ask_address(self, question: p.AskAddress, now: float) -> list[g.GatewayEffect]:
        site, place = self._site, self.place
        answer: p.PppAnswer
        if place is not None and place.username == question.username:
            settings = site.settings
            answer = p.Addresses(
                question.ask,
                site.accounts.gateway_address,
                place.address,
                settings.dns,
                settings.wins,
            )
        else:
            answer = p.NoAddress(question.ask, self._no_address)
        return self._translate(self._link.answer(answer, now), now)

    def _on_network_up(self, up: p.NetworkUp, now: float) -> list[g.GatewayEffect]:
        settings, facts = self._site.settings, self.facts
        effects: list[g.GatewayEffect] = [self._bind(up)]
        if facts.up_at is not None:  # IPCP was renegotiated
            facts.address = up.peer
            return effects
        facts.address = up.peer
        facts.up_at = now
        facts.stages["ipcp"] = up.seconds
        facts.stages["total"] = now - facts.started
        if settings.session_timeout:
            self._timers.set("session_timeout", now + settings.session_timeout)
        self._set_valid_until()
        return [
            *effects,
            g.StageDone("ipcp", up.seconds),
            g.StageDone("total", now - facts.started),
            g.SessionUp(facts),
        ]

    def _bind(self, up: p.NetworkUp) -> g.BindSession:
        self.bound = True
        self.policy = self._resolve_policy()
        spec = SessionSpec(
            *self.key,
            address=up.peer.packed,
            mtu=min(self.inner_mtu, up.mru),
            policy=self.policy,
            compress_protocol=up.compress_protocol,
            compress_address=up.compress_address,
            clamp_mss=self._site.settings.clamp_mss,
        )
        return g.BindSession(spec)

    # --- to another process and back

    def export(self, ns: int, octets_up: int, octets_down: int) -> CallImage:
        """`ns` and the octets are the plane's. An open question is left behind: without an open
        IPCP, PPP begins anew, and asks it again."""
        offset, facts, place = self._site.wall_offset, self.facts, self.place
        digests = self._site.accounts.digests(self.key)
        return CallImage(
            tunnel=self.key.tunnel,
            session=self.key.session,
            inner_mtu=self.inner_mtu,
            username=facts.username,
            auth_method=facts.auth_method,
            phase2_suite=facts.phase2_suite,
            client_name=facts.client_name,
            started=facts.started + offset,
            up_at=None if facts.up_at is None else facts.up_at + offset,
            address=facts.address,
            place=None
            if place is None
            else PlaceImage(
                place.username,
                place.source,
                place.since + offset,
                place.address,
                tuple(Secret(digest) for digest in digests),
            ),
            link=self._link.export(offset) if self.bound else None,
            ns=ns,
            octets_up=octets_up,
            octets_down=octets_down,
            stages=tuple(StageImage(*stage) for stage in facts.stages.items()),
        )

    def restore(self, image: CallImage, now: float) -> list[g.GatewayEffect]:
        """Go on where another process stood. The accounts are told, and not asked: who has a place
        keeps it, and `Accounts.stale` says who must go."""
        offset, facts, place = self._site.wall_offset, self.facts, image.place
        facts.username, facts.auth_method = image.username, image.auth_method
        facts.address = image.address
        facts.up_at = None if image.up_at is None else image.up_at - offset
        if place is not None:
            since = place.since - offset
            self.place = Place(place.username, place.source, since, place.address)
            self._site.accounts.adopt(
                self.key,
                place.username,
                place.source,
                facts.identity,
                place.address,
                since,
                [digest.reveal() for digest in place.digests],
            )
        settings = self._site.settings
        if facts.up_at is not None:
            if settings.session_timeout:
                self._timers.set("session_timeout", facts.up_at + settings.session_timeout)
            self._set_valid_until()
        if image.link is None or place is None:
            return self.start(now)
        self._timers.set("activity", now + settings.activity_seconds)
        return [self._bind(self._link.restore(image.link, offset, now))]

    # --- life signs and policy

    def _on_activity(self, activity: g.Activity, now: float) -> list[g.GatewayEffect]:
        settings = self._site.settings
        self._link.heard(activity.last_up)
        last_data = max(activity.last_data, self.facts.up_at or now)
        if settings.idle_timeout and now - last_data >= settings.idle_timeout:
            return self.close(Reason.IDLE_TIMEOUT, now)
        if now - activity.last_up >= settings.keepalive_seconds and self.facts.path.natt:
            return [g.SendKeepalive(self.key.client)]
        return []

    def refresh_policy(self) -> list[g.GatewayEffect]:
        """After a reload: the user's policy as it stands now."""
        if not self.bound:
            return []
        self._set_valid_until()
        policy = self._resolve_policy()
        if policy == self.policy:
            return []
        self.policy = policy
        return [g.SetPolicy(*self.key, policy)]

    def _set_valid_until(self) -> None:
        valid_until = self._site.accounts.valid_until(self.facts.username)
        if valid_until is None:
            self._timers.clear("valid_until")
        else:
            self._timers.set("valid_until", valid_until - self._site.wall_offset)

    def _resolve_policy(self) -> Policy:
        resolved = self._site.accounts.policy(self.facts.username)
        return Policy(
            allowed=resolved.allowed,
            denied=resolved.denied,
            client_to_client=resolved.client_to_client,
            rate_up=resolved.rate_up,
            rate_down=resolved.rate_down,
        )
