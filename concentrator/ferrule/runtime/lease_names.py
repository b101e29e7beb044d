"""Sessions as the store knows them: by a name for life, with pseudonyms for users and devices.

A view of the gateway's calls, not a copy: a client that moves in or out takes its leases along.
Names outlive their sessions here for a moment only, so that what is over can still be released.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from ferrule.accounts.admission import Terms
from ferrule.accounts.users import OnLimit
from ferrule.cluster.members import Identity
from ferrule.cluster.sealing import pseudonym
from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.gateway import effects as g
from ferrule.gateway.call import Call
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey
from ferrule.store.interface import Lease, LeaseRequest

REMEMBERED_SECONDS: Final = 120.0
REMEMBERED_MAX: Final = 20_000


def session_name(uid: str, tunnel: TunnelId, session: SessionId) -> str:
    """The same on whichever member the client is."""
    return f"{uid}/{tunnel}/{session}"


class LeaseNames:
    """`identity` is who this member is now: leases and requests carry it as their owner."""

    def __init__(
        self, gateway: Gateway, names_key: Secret, identity: Callable[[], Identity]
    ) -> None:
        self._gateway = gateway
        self._names_key = names_key
        self._identity = identity
        self._names: dict[SessionKey, str] = {}

    # --- names

    def learn(self, client: Client, key: SessionKey) -> str:
        """From now on until `forget`, the session has a name even when its client is gone."""
        name = self._names[key] = session_name(client.uid, key.tunnel, key.session)
        return name

    def forget(self, key: SessionKey) -> str | None:
        """The name of a session that is over; None if it never had one."""
        name = self._names.pop(key, None)
        client = self._gateway.clients.get(key.client)
        if name is None and client is not None:
            name = session_name(client.uid, key.tunnel, key.session)
        return name

    def name(self, key: SessionKey) -> str | None:
        """None for a session that is not here."""
        client = self._gateway.clients.get(key.client)
        if client is None or (key.tunnel, key.session) not in client.calls:
            return None
        return session_name(client.uid, key.tunnel, key.session)

    def call(self, key: SessionKey) -> Call | None:
        client = self._gateway.clients.get(key.client)
        return client.calls.get((key.tunnel, key.session)) if client is not None else None

    def find(self, name: str) -> SessionKey | None:
        """The session of ours that has this name."""
        client = self._gateway.client_named(name.partition("/")[0])
        if client is None:
            return None
        for tunnel, session in client.calls:
            if session_name(client.uid, tunnel, session) == name:
                return SessionKey(client.id, tunnel, session)
        return None

    def calls(self, client: Client) -> Iterator[tuple[SessionKey, Call]]:
        for (tunnel, session), call in list(client.calls.items()):
            yield SessionKey(client.id, tunnel, session), call

    def placed(self) -> dict[SessionKey, str]:
        """The sessions that have a lease. Forgets the names of those that moved away."""
        live: dict[SessionKey, str] = {}
        placed: dict[SessionKey, str] = {}
        for client in self._gateway.clients.values():
            for key, call in self.calls(client):
                live[key] = session_name(client.uid, key.tunnel, key.session)
                if call.place is not None:
                    placed[key] = live[key]
        self._names = {k: live[k] for k in live if k in self._names or k in placed}
        return placed

    # --- what the store is told

    def request(self, question: g.AskAdmission, name: str, terms: Terms) -> LeaseRequest:
        return LeaseRequest(
            session=name,
            user=self._user(terms.username),
            device=self._device(question.source, question.identity),
            since_ms=self._unix_ms(question.since),
            owner=self.owner,
            limit=terms.limit,
            on_limit=terms.on_limit,
            sessions_max=terms.sessions_max,
            static=terms.static_ip,
            requested=None,
            ranges=tuple((r.first, r.last) for r in terms.ranges),
        )

    def lease(self, key: SessionKey) -> Lease | None:
        """What the session holds now; None if it is over."""
        client, call = self._gateway.clients.get(key.client), self.call(key)
        if client is None or call is None or call.place is None:
            return None
        place = call.place
        return Lease(
            session_name(client.uid, key.tunnel, key.session),
            self._user(place.username),
            self._device(place.source, call.facts.identity),
            self._unix_ms(place.since),
            self.owner,
            place.address,
        )

    @property
    def owner(self) -> str:
        return str(self._identity())

    def member(self, owner: str) -> str | None:
        """The name of the member that owns a lease; None for ourselves."""
        name = owner.partition("/")[0]
        return None if name == self._identity().name else name

    def _user(self, username: str) -> str:
        return pseudonym(self._names_key, "user", username)

    def _device(self, source: str, identity: str) -> str:
        return pseudonym(self._names_key, "device", f"{source} {identity}")

    def _unix_ms(self, at: float) -> int:
        return round(self._gateway.site.wall(at) * 1000)

    # --- limits, as far as this member knows

    def may_go(
        self, question: g.AskAdmission, key: SessionKey, terms: Terms
    ) -> tuple[SessionKey, ...]:
        """Those of the user's sessions here that would have to end for this one, wherever his
        others are; none, if that is not certain."""
        sessions = self._gateway.site.accounts.sessions
        mine = [
            other
            for other in sessions.of_user(terms.username)
            if isinstance(other, SessionKey) and other != key
        ]
        surplus = len(mine) + 1 - terms.limit if terms.limit else 0
        device = (question.source, question.identity)
        may_go = [
            other
            for other in mine
            if terms.on_limit is OnLimit.REPLACE_OLDEST or sessions.device(other) == device
        ]
        return tuple(may_go[:surplus]) if 0 < surplus <= len(may_go) else ()


class Memory:
    """Names of sessions, for two minutes, and not too many."""

    def __init__(self) -> None:
        self._noted: OrderedDict[str, tuple[float, Reason]] = OrderedDict()

    def note(self, name: str, now: float, reason: Reason = Reason.REPLACED_SESSION) -> None:
        self._noted[name] = (now + REMEMBERED_SECONDS, reason)
        self._noted.move_to_end(name)
        while self._noted:
            oldest = next(iter(self._noted))
            if len(self._noted) <= REMEMBERED_MAX and self._noted[oldest][0] > now:
                break
            del self._noted[oldest]

    def holds(self, name: str, now: float) -> bool:
        noted = self._noted.get(name)
        return noted is not None and noted[0] > now

    def pop(self, name: str, now: float) -> Reason | None:
        noted = self._noted.pop(name, None)
        return noted[1] if noted is not None and noted[0] > now else None
