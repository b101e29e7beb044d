"""The gateway: punts in, effects out. Turns IKE's effects into clients and hands the rest to them.

The same code runs in tests with a list in place of the sockets. Numbers to know: one `receive` a
control datagram, none a data packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

from ferrule.cluster.shards import ShardNames
from ferrule.core.deadlines import DeadlineQueue
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Address, ClientId, Cookie, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.dataplane import interface as plane
from ferrule.gateway import dhcpinform
from ferrule.gateway import effects as g
from ferrule.gateway.call import Call
from ferrule.gateway.client import Client, Origin
from ferrule.gateway.settings import GatewaySettings, SessionKey, Site
from ferrule.ike import effects as ike
from ferrule.ike.endpoint import IkeEndpoint

GOODBYE_SECONDS = 2.0  # between CDN/StopCCN and the Deletes of a client that we end
UID_OCTETS = 8

_IKE = ClientId(0)  # the key of IKE's own deadline in the queue; clients count from 1


class Gateway:
    """All clients of one concentrator."""

    def __init__(self, site: Site, names: ShardNames, entropy: Callable[[int], bytes]) -> None:
        self.site = site
        self.clients: dict[ClientId, Client] = {}
        self._names = names
        self._entropy = entropy
        self._by_isakmp: dict[IsakmpSaId, ClientId] = {}
        self._by_spi: dict[Spi, ClientId] = {}
        self._by_identity: dict[str, set[ClientId]] = {}
        self._by_peer: dict[Address, ClientId] = {}  # the newest at that address and port
        self._bereft: set[ClientId] = set()  # clients that have just lost an SA
        self._deadlines: DeadlineQueue[ClientId] = DeadlineQueue()
        self._last_client = 0
        self.ike = IkeEndpoint(
            site.settings.ike,
            entropy,
            choose_cookie=self._choose_cookie,
            choose_spi=self._choose_spi,
        )

    # --- verbs

    @property
    def deadline(self) -> float | None:
        """The earliest timer of IKE and of all clients."""
        return self._deadlines.next

    def receive(self, punt: plane.Punt, now: float) -> list[g.GatewayEffect]:
        match punt:
            case plane.IkeDatagram():
                effects = self._translate(self.ike.receive(punt.path, punt.message, now), now)
                return self._settle(effects, now)
            case plane.FirstPacket():
                effects = self._translate(self.ike.heard(punt.inbound_spi, now), now)
                return self._settle(effects, now)
            case plane.LifetimeReached():
                effects = self._translate(self.ike.rekey_ipsec_sa(punt.inbound_spi, now), now)
                return self._settle(effects, now)
            case plane.UnknownSpi():
                return []  # the plane counted it; with replicas it will be relayed
            case _:
                client = self.clients.get(punt.client)
                if client is None:
                    return []
                return self._settle(self._receive_from(client, punt, now), now, client)

    def answer(self, reply: g.GatewayAnswer, now: float) -> list[g.GatewayEffect]:
        client = self.clients.get(reply.client)
        if client is None:
            return []
        if isinstance(reply, g.Activity):
            effects = self._on_life_sign(client, reply.last_up)
            return self._settle(effects + client.answer(reply, now), now, client)
        return self._settle(client.answer(reply, now), now, client)

    def due(self, now: float) -> list[ClientId]:
        """Whose timers are due: `expire` each of them. One by one, so that a bug in one client's
        timers costs no other client its own."""
        return self._deadlines.pop_expired(now)

    def expire(self, due: ClientId, now: float) -> list[g.GatewayEffect]:
        if due == _IKE:
            return self._settle(self._translate(self.ike.expire(now), now), now)
        client = self.clients.get(due)
        if client is None:
            return []
        return self._settle(self._expire_client(client, now), now, client)

    def close(self, reason: Reason, now: float) -> list[g.GatewayEffect]:
        """Say goodbye to every client: LCP, CDN, StopCCN, Delete."""
        effects: list[g.GatewayEffect] = []
        for client in list(self.clients.values()):
            effects += client.close(reason, now)
        effects += self._translate(self.ike.close(reason, now), now)
        return self._settle(effects, now)

    def close_session(self, key: SessionKey, reason: Reason, now: float) -> list[g.GatewayEffect]:
        """End one session, and with the last one its client."""
        client = self.clients.get(key.client)
        if client is None:
            return []
        had_calls = bool(client.calls)
        effects = client.close_call(key, reason, now)
        if had_calls and not client.calls:
            client.closing_at = now + GOODBYE_SECONDS
        return self._settle(effects, now, client)

    def abandon(self, client_id: ClientId, now: float) -> list[g.GatewayEffect]:
        """A bug met this client: end it without trusting its state, so that it can come back."""
        client = self.clients.get(client_id)
        if client is None:
            return []
        effects = client.drop(Reason.INTERNAL_ERROR)
        effects += self._close_sas(client, Reason.INTERNAL_ERROR, now)
        return self._settle(effects, now)

    def reload(self, settings: GatewaySettings) -> list[g.GatewayEffect]:
        """New settings for everything that follows; live sessions get the new policy.

        The accounts are replaced by the caller, who passes the sessions that must end to
        `close_session`."""
        self.site.settings = settings
        self.ike.policy = settings.ike
        effects: list[g.GatewayEffect] = []
        for client in self.clients.values():
            effects += client.refresh_policy()
        return effects

    def sessions(self) -> Iterator[Call]:
        """Every call whose PPP runs or is being set up."""
        for client in self.clients.values():
            yield from client.calls.values()

    # --- names that carry the route

    def client_at(self, peer: Address) -> Client | None:
        """The client that was heard last at this very address and port."""
        found = self._by_peer.get(peer)
        return None if found is None else self.clients.get(found)

    def knows(self, cookies: bytes) -> bool:
        """Is an ISAKMP SA with these cookies, the initiator's first (16 octets), here?"""
        return self.ike.knows(Cookie(cookies[:8]), Cookie(cookies[8:16]))

    def foreign_cookies(self, client: Client) -> tuple[Cookie, ...]:
        """Responder cookies of the client that lead to another shard than its home."""
        cookies = (self.ike.cookies_of(isakmp_sa) for isakmp_sa in sorted(client.isakmp_sas))
        return tuple(
            pair[1]
            for pair in cookies
            if pair is not None and self._names.shard_of_cookie(pair[1]) != client.shard
        )

    def _choose_cookie(self, path: Path) -> Cookie:
        """Of the home of the client that is known at this address, as in a phase-1 rekey; else of
        any shard of ours. Raises ProtocolError(NOT_SERVING) if we have none."""
        client = self.client_at(path.peer)
        return self._names.cookie(self._draw_shard() if client is None else client.shard)

    def _choose_spi(self, isakmp_sa: IsakmpSaId) -> Spi:
        return self._names.spi(self.clients[self._by_isakmp[isakmp_sa]].shard, self._by_spi)

    def _draw_shard(self) -> int:
        if not self._names.shards:
            raise ProtocolError(Reason.NOT_SERVING, "no shard is ours")
        return self._names.draw_shard()

    def _home_of(self, isakmp_sa: IsakmpSaId) -> int:
        """The home of the client that comes with its first ISAKMP SA: the shard of its cookie, or
        another of ours if that shard has gone to another member meanwhile."""
        cookies = self.ike.cookies_of(isakmp_sa)
        assert cookies is not None
        shard, ours = self._names.shard_of_cookie(cookies[1]), self._names.shards
        return shard if shard in ours or not ours else self._names.draw_shard()

    def _note_peer(self, client: Client, path: Path) -> None:
        """The client is at `path` now."""
        self._forget_peer(client)
        client.moved(path)
        self._by_peer[path.peer] = client.id

    def _forget_peer(self, client: Client) -> None:
        if self._by_peer.get(client.path.peer) == client.id:
            del self._by_peer[client.path.peer]

    # --- one client

    def _receive_from(self, client: Client, punt: _ClientPunt, now: float) -> list[g.GatewayEffect]:
        match punt:
            case plane.L2tpControl():
                return client.receive_l2tp(punt.message, now)
            case plane.PppControl():
                return client.receive_ppp(punt.tunnel, punt.session, punt.frame, now)
            case plane.PeerMoved():
                self._note_peer(client, punt.path)
                for isakmp_sa in client.isakmp_sas:
                    self.ike.moved(isakmp_sa, punt.path)
                return [g.ClientMoved(client.id, punt.path)]
            case plane.DhcpInform():
                return self._on_dhcp_inform(client, punt)
            case plane.UnknownSession():
                return []  # the plane counted it; the peer's own timers end its stale session
            case _:
                assert_never(punt)

    def _expire_client(self, client: Client, now: float) -> list[g.GatewayEffect]:
        effects = client.expire(now)
        if client.closing_at is not None and client.closing_at <= now:
            client.closing_at = None
            effects += self._close_sas(client, Reason.ADMIN_KICK, now)
        return effects

    def _on_life_sign(self, client: Client, at: float) -> list[g.GatewayEffect]:
        """Traffic of the client spares it a dead peer detection."""
        for spi in client.ipsec_sas:
            return self._translate(self.ike.heard(spi, at), at)
        return []

    def _on_dhcp_inform(self, client: Client, punt: plane.DhcpInform) -> list[g.GatewayEffect]:
        settings = self.site.settings
        call = client.calls.get((punt.tunnel, punt.session))
        if call is None or call.facts.address is None:
            return []
        reply = dhcpinform.answer(
            punt.packet,
            server=self.site.accounts.gateway_address,
            routes=settings.routes,
            dns=settings.dns,
            domain=settings.domain,
            wins=settings.wins,
        )
        if reply is None:
            return []
        return [g.SendIp(punt.client, punt.tunnel, punt.session, reply)]

    def _close_sas(self, client: Client, reason: Reason, now: float) -> list[g.GatewayEffect]:
        effects: list[g.GatewayEffect] = []
        for spi in list(client.ipsec_sas):
            effects += self._translate(self.ike.delete_ipsec_sa(spi, reason, now), now)
        for isakmp_sa in list(client.isakmp_sas):
            effects += self._translate(self.ike.close_sa(isakmp_sa, reason, now), now)
        return effects

    # --- IKE's effects

    def _translate(self, effects: list[ike.IkeEffect], now: float) -> list[g.GatewayEffect]:
        out: list[g.GatewayEffect] = []
        for effect in effects:
            match effect:
                case ike.SendIke():
                    out.append(g.SendIke(effect.path, effect.message))
                case ike.IsakmpSaUp():
                    out += self._on_isakmp_sa_up(effect, now)
                case ike.IsakmpSaDown():
                    out += self._on_isakmp_sa_down(effect, now)
                case ike.InitialContact():
                    out += self._on_initial_contact(effect, now)
                case ike.InstallIpsecSa():
                    out += self._on_install(effect)
                case ike.ActivateIpsecSa():
                    out += self._on_activate(effect)
                case ike.RemoveIpsecSa():
                    out += self._on_remove(effect)
                case ike.IkeFailed():
                    out.append(g.SetupFailed(effect.path, effect.reason, effect.detail))
                case ike.IkeDropped():
                    out.append(g.Dropped(effect.reason, f"{effect.path.peer}: {effect.detail}"))
                case _:
                    assert_never(effect)
        return out

    def _on_isakmp_sa_up(self, up: ike.IsakmpSaUp, now: float) -> list[g.GatewayEffect]:
        client = self._client_of(up.identity, up.path)
        origin = Origin(
            up.path,
            up.identity,
            up.suite,
            up.vendor_ids,
            now - up.seconds,
            {"phase1": up.seconds},
        )
        if client is None:
            client = self._new_client(origin, self._home_of(up.isakmp_sa))
        elif not client.calls:
            client.origin = origin  # it connects anew before its last goodbye is over
        client.closing_at = None
        rekey = bool(client.isakmp_sas)
        client.isakmp_sas.add(up.isakmp_sa)
        self._by_isakmp[up.isakmp_sa] = client.id
        return [
            g.StageDone("phase1", up.seconds),
            g.IsakmpSaUp(
                up.isakmp_sa, up.path, up.identity, up.suite, up.vendor_ids, up.seconds, rekey
            ),
        ]

    def _client_of(self, identity: str, path: Path) -> Client | None:
        """The client that a new ISAKMP SA belongs to: a phase-1 rekey.

        Identity, address *and* port: everybody who knows the pre-shared key can claim an
        identity, and neighbours behind one NAT share its address; the port is their own."""
        for known in self._by_identity.get(identity, ()):
            client = self.clients[known]
            if client.path.peer == path.peer:
                return client
        return None

    def _new_client(self, origin: Origin, shard: int) -> Client:
        self._last_client += 1
        uid = self._entropy(UID_OCTETS).hex()
        client = Client(ClientId(self._last_client), self.site, origin, uid, shard)
        self.clients[client.id] = client
        self._by_peer[origin.path.peer] = client.id
        self._by_identity.setdefault(client.identity, set()).add(client.id)
        return client

    def _forget(self, client: Client) -> list[g.GatewayEffect]:
        """Nothing is left that could receive a packet of this host."""
        effects = client.drop(client.lost)
        del self.clients[client.id]
        self._forget_peer(client)
        self._deadlines.set(client.id, None)
        namesakes = self._by_identity[client.identity]
        namesakes.discard(client.id)
        if not namesakes:
            del self._by_identity[client.identity]
        return [*effects, g.RemoveClient(client.id)]

    def _on_isakmp_sa_down(self, down: ike.IsakmpSaDown, now: float) -> list[g.GatewayEffect]:
        client = self.clients.get(self._by_isakmp.pop(down.isakmp_sa, _IKE))
        effects: list[g.GatewayEffect] = [g.SaDown("isakmp", down.reason)]
        if client is None:
            return effects
        client.isakmp_sas.discard(down.isakmp_sa)
        client.lost = down.reason
        self._bereft.add(client.id)
        if down.with_ipsec_sas and not client.isakmp_sas:
            effects += client.drop(down.reason)
            effects += self._close_sas(client, down.reason, now)
        return effects

    def _on_initial_contact(self, contact: ike.InitialContact, now: float) -> list[g.GatewayEffect]:
        """RFC 2407 4.6.3.3: the peer forgot all its other SAs with us.

        Scoped to identity and address, for private addresses as identities repeat across NATs."""
        newcomer = self.clients.get(self._by_isakmp.get(contact.isakmp_sa, _IKE))
        if newcomer is None:
            return []
        effects: list[g.GatewayEffect] = []
        for namesake in list(self._by_identity[newcomer.identity]):
            client = self.clients[namesake]
            if client.path.peer.host != newcomer.path.peer.host:
                continue
            effects += client.drop(Reason.INITIAL_CONTACT)
            for spi in list(client.ipsec_sas):
                effects += self._translate(
                    self.ike.delete_ipsec_sa(spi, Reason.INITIAL_CONTACT, now), now
                )
            for isakmp_sa in list(client.isakmp_sas):
                if isakmp_sa != contact.isakmp_sa:
                    effects += self._translate(
                        self.ike.close_sa(isakmp_sa, Reason.INITIAL_CONTACT, now), now
                    )
        return effects

    def _on_install(self, install: ike.InstallIpsecSa) -> list[g.GatewayEffect]:
        client = self.clients.get(self._by_isakmp.get(install.isakmp_sa, _IKE))
        if client is None:
            return []
        self._by_spi[install.inbound_spi] = client.id
        client.ipsec_sas[install.inbound_spi] = install.suite
        client.closing_at = None
        return [
            g.InstallSa(
                plane.SaSpec(
                    client=client.id,
                    inbound_spi=install.inbound_spi,
                    outbound_spi=install.outbound_spi,
                    suite=install.suite,
                    inbound_key=install.inbound_key,
                    outbound_key=install.outbound_key,
                    life_octets=install.life_octets,
                    path=client.path,
                )
            )
        ]

    def _on_activate(self, up: ike.ActivateIpsecSa) -> list[g.GatewayEffect]:
        client_id = self._by_spi.get(up.inbound_spi)
        client = None if client_id is None else self.clients.get(client_id)
        if client is None:
            return []
        rekey = any(spi != up.inbound_spi for spi in client.ipsec_sas)
        client.phase2_suite = up.suite
        client.origin.stages.setdefault("phase2", up.seconds)
        return [
            g.ActivateSa(up.inbound_spi),
            g.StageDone("phase2", up.seconds),
            g.IpsecSaUp(client.id, up.inbound_spi, up.suite, up.pfs, rekey, up.seconds),
        ]

    def _on_remove(self, remove: ike.RemoveIpsecSa) -> list[g.GatewayEffect]:
        client_id = self._by_spi.pop(remove.inbound_spi, None)
        client = None if client_id is None else self.clients.get(client_id)
        if client is not None:
            client.ipsec_sas.pop(remove.inbound_spi, None)
            client.lost = remove.reason
            self._bereft.add(client.id)
        return [g.RemoveSa(remove.inbound_spi), g.SaDown("ipsec", remove.reason)]

    # --- after every verb

    def _settle(
        self, effects: list[g.GatewayEffect], now: float, client: Client | None = None
    ) -> list[g.GatewayEffect]:
        """End the sessions that a newer one replaces, forget empty clients, move the deadlines."""
        touched = set() if client is None else {client.id}
        while self.site.to_end:
            key, reason = self.site.to_end.pop()
            touched.add(key.client)
            effects += self.close_session(key, reason, now)
        for effect in effects:
            if isinstance(effect, g.InstallSa):
                touched.add(effect.sa.client)
        while self._bereft:
            bereft = self.clients.get(self._bereft.pop())
            if bereft is not None and bereft.empty:
                effects += self._forget(bereft)
        deadline = self.ike.deadline
        self._deadlines.set(_IKE, None if deadline is None else deadline.at)
        for key_ in touched:
            if (one := self.clients.get(key_)) is not None:
                self._deadlines.set(key_, one.deadline)
        return effects


_ClientPunt = (
    plane.L2tpControl | plane.PppControl | plane.PeerMoved | plane.DhcpInform | plane.UnknownSession
)
