"""What administrators and operators may ask of a running concentrator, and have it do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ferrule import __version__
from ferrule.accounts.admission import Accounts
from ferrule.cluster.messages import Ending
from ferrule.core.ids import ClientId, SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import Plane
from ferrule.gateway.call import Call
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey
from ferrule.runtime.driver import Driver
from ferrule.runtime.member import Member
from ferrule.runtime.report import TelemetryReport


class Administration:
    """`member` is None where there are no others. `revisions` may change."""

    def __init__(
        self,
        gateway: Gateway,
        accounts: Accounts,
        driver: Driver,
        report: TelemetryReport,
        member: Member | None,
        *,
        clock: Callable[[], float],
        file: Callable[[], Path],
        receive_buffers: Callable[[], Mapping[str, int]],
        plane: Callable[[], Plane],
    ) -> None:
        self.revisions: dict[str, int] = {}
        self._gateway = gateway
        self._accounts = accounts
        self._driver = driver
        self._report = report
        self._member = member
        self._clock = clock
        self._file = file
        self._started = clock()
        self._receive_buffers = receive_buffers
        self._plane = plane

    def status(self) -> dict[str, Any]:
        up = sum(1 for call in self._gateway.sessions() if call.facts.up_at is not None)
        return {
            "version": __version__,
            "uptime_seconds": round(self._clock() - self._started, 1),
            "ready": self._report.ready,
            "config": str(self._file()),
            "users": len(self._accounts.users),
            "clients": len(self._gateway.clients),
            "sessions": up,
            "sessions_in_setup": self._gateway.site.calls - up,
            "pools": [
                {"name": use.name, "size": use.size, "leased": use.leased}
                for use in self._accounts.pool_use()
            ],
            "receive_buffer_octets": self._receive_buffers(),
            **self._standing(),
        }

    def _standing(self) -> dict[str, Any]:
        if self._member is None:
            return {}
        cluster = self._member.cluster
        return {
            "member": cluster.name,
            "standing": cluster.standing.value,
            "members": self._member.view.members(),
            "store": self._member.view.store(),
        }

    def remote_status(self) -> dict[str, Any]:
        """For an operator: what a resource's status shows."""
        on = Counter(
            call.facts.username for call in self._gateway.sessions() if call.facts.up_at is not None
        )
        pools = self._accounts.pool_use()
        shared: dict[str, Any] = {"store": {"type": "Memory", "up": True, "why": ""}}
        if self._member is not None:
            view = self._member.view
            shared = {"store": view.store(), "members": view.members()}
        return {
            "version": __version__,
            "ready": self._report.ready,
            "revisions": self.revisions,
            "sessions": on.total(),
            "pool_free": sum(use.free for use in pools),
            "pool_used": sum(use.leased for use in pools),
            "users": on,
            "connected": self._report.connected,
            "weak_sas": self._report.weak_sas(),
            **shared,
        }

    def cluster(self) -> dict[str, Any] | None:
        """None: there are no others."""
        return self._member.view.describe() if self._member is not None else None

    def sessions(self) -> list[dict[str, Any]]:
        now = self._clock()
        return [self._describe(call, now) for call in self._gateway.sessions()]

    def _describe(self, call: Call, now: float) -> dict[str, Any]:
        facts = call.facts
        counters = self._plane().session_counters(*call.key)
        return {
            "session": "/".join(map(str, call.key)),
            "user": facts.username,
            "address": str(facts.address) if facts.address else "",
            "peer": str(facts.path.peer),
            "state": "up" if facts.up_at is not None else "setting up",
            "seconds": round(now - (facts.up_at or facts.started), 1),
            "identity": facts.identity,
            "client": facts.client_name,
            "auth": facts.auth_method,
            "phase1": facts.phase1_suite,
            "phase2": facts.phase2_suite,
            "octets_up": counters.octets_up if counters else 0,
            "octets_down": counters.octets_down if counters else 0,
            "idle_seconds": round(now - counters.last_data, 1)
            if counters and counters.last_data
            else None,
        }

    async def kick(self, *, session: str = "", user: str = "", everyone: bool = False) -> int:
        if not (session or user or everyone):
            raise ValueError("name a session, a user, or all")
        wanted = _session_key(session) if session else None
        keys = [
            call.key
            for call in self._gateway.sessions()
            if everyone or call.key == wanted or (user and call.facts.username == user)
        ]
        for key in keys:
            self.end(key, Reason.ADMIN_KICK)
        ended = len(keys)
        if self._member is not None and not session:
            what = Ending.EVERYBODY if everyone else Ending.USER
            ended += await self._member.endings.ask(what, user, Reason.ADMIN_KICK)
        return ended

    def end(self, key: SessionKey, reason: Reason) -> None:
        self._driver.command(lambda now: self._gateway.close_session(key, reason, now), key.client)


def _session_key(text: str) -> SessionKey:
    try:
        client, tunnel, session = (int(part) for part in text.split("/"))
    except ValueError:
        raise ValueError(f"{text!r} is no session; they look like 3/17/4") from None
    return SessionKey(ClientId(client), TunnelId(tunnel), SessionId(session))
