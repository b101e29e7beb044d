"""The gateway: punts in, effects out. Turns IKE's effects into clients and hands the rest to them.

The same code runs in tests with a list in place of the sockets. Numbers to know: one `receive` a
control datagram, none a data packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
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
from ferrule.gateway.client import Client, Origin, Pair
from ferrule.gateway.client_table import ClientTable
from ferrule.gateway.image import RESERVED_FIRST, ClientImage, with_paths
from ferrule.gateway.settings import GatewaySettings, SessionKey, Site
from ferrule.ike import effects as ike
from ferrule.ike.endpoint import IkeEndpoint

RESERVE_SECONDS = 300.0  # of sending at the present rate
SOFT_SEQUENCE = 0xF0000000  # who is taken over so late needs new keys
GOODBYE_SECONDS = 2.0  # between CDN/StopCCN and the Deletes of a client that we end
UID_OCTETS = 8

_IKE = ClientId(0)  # the key of IKE's own deadline in the queue; clients count from 1


class Gateway:
    """All clients of one concentrator.

    `clustered`: other members may take its clients over. So sequence numbers are reserved: a
    `Reserve` is carried out once an image of the client that was taken after it is where the others
    find it. `dirty`, which the caller drains, says whose last image is older than what is said or
    done since. `member` is what others call us in `Path.via`.
    """

    def __init__(
        self,
        site: Site,
        names: ShardNames,
        entropy: Callable[[int], bytes],
        *,
        clustered: bool = False,
        member: str = "",
    ) -> None:
        self.site = site
        self.dirty: set[ClientId] = set()
        self._clustered = clustered
        self._member = member
        self._names = names
        self._entropy = entropy
        self._table = ClientTable()
        self._bereft: set[ClientId] = set()  # clients that have just lost an SA
        self._deadlines: DeadlineQueue[ClientId] = DeadlineQueue()
        self.ike = IkeEndpoint(
            site.settings.ike,
            entropy,
            choose_cookie=self._choose_cookie,
            choose_spi=self._choose_spi,
        )

    @property
    def clients(self) -> dict[ClientId, Client]:
        """By their handles. To be read only."""
        return self._table.clients

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
            case plane.ReservationLow():
                return self._on_reservation_low(punt)
            case plane.LifetimeReached():
                effects = self._translate(self.ike.rekey_ipsec_sa(punt.inbound_spi, now), now)
                return self._settle(effects, now)
            case plane.UnknownSpi():
                return []  # the plane counted it; what is another member's it did not punt
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
        return self._table.at(peer)

    def knows(self, cookies: bytes) -> bool:
        """Is an ISAKMP SA with these cookies, the initiator's first (16 octets), here?"""
        return self.ike.find(Cookie(cookies[:8]), Cookie(cookies[8:16])) is not None

    def client_of(self, cookies: bytes) -> Client | None:
        """Whose ISAKMP SA has these cookies."""
        isakmp_sa = self.ike.find(Cookie(cookies[:8]), Cookie(cookies[8:16]))
        return None if isakmp_sa is None else self._table.of_isakmp(isakmp_sa)

    def client_of_spi(self, inbound_spi: Spi) -> Client | None:
        return self._table.of_spi(inbound_spi)

    def client_named(self, uid: str) -> Client | None:
        return self._table.of_uid(uid)

    def shard_of(self, client: ClientId) -> int | None:
        """Its home; None for a client that is not here."""
        found = self.clients.get(client)
        return None if found is None else found.shard

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
        client = self._table.of_isakmp(isakmp_sa)
        assert client is not None
        return self._names.spi(client.shard, self._table.by_spi)

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

    # --- to another process and back

    def export(
        self,
        client_id: ClientId,
        state: plane.ClientState | None,
        now: float,
        *,
        final: bool = False,
    ) -> ClientImage:
        """The client as it is written down. `state` is what the plane says of it, None: what it
        said last. `final`: nothing is sent after this `state`, so that no more sequence numbers
        than were used need to be given up. Raises KeyError for a client that is not here."""
        client = self.clients[client_id]
        if state is not None:
            client.note(state)
        ike_image = self.ike.export(
            client.identity,
            sorted(client.isakmp_sas),
            client.ipsec_sas,
            self.site.wall_offset,
            now,
        )
        image = with_paths(client.export(ike_image, now), self._as_others_see)
        if final and state is not None:
            used = {sa.inbound_spi: sa.next_sequence - 1 for sa in state.sas}
            for pair in image.pairs:
                pair.reserved = min(pair.reserved, used.get(pair.inbound_spi, pair.reserved))
        return image

    def adopt(self, image: ClientImage, now: float) -> list[g.GatewayEffect]:
        """Go on with a client where another process stood; nothing if it, or one of its SAs, is
        here already. Its SAs may send nothing before the `Reserve`s that come with them."""
        if self._table.of_uid(image.uid) is not None or self._meets(image):
            return []
        image = with_paths(image, self._as_we_see)
        offset = self.site.wall_offset
        origin = Origin(
            image.path,
            image.identity,
            image.phase1_suite,
            image.vendor_ids,
            image.started - offset,
            {stage.name: stage.seconds for stage in image.stages},
        )
        client = Client(self._table.new_id(), self.site, origin, image.uid, image.shard)
        self._table.add(client)
        for isakmp_sa in self.ike.restore(image.ike, offset, now):
            self._table.add_isakmp(client, isakmp_sa)
        effects = self._adopt_pairs(client, image, now)
        effects += client.restore(image, now)
        self._mark(client)
        return self._settle(effects, now, client)

    def _meets(self, image: ClientImage) -> bool:
        return any(sa.inbound_spi in self._table.by_spi for sa in image.ike.ipsec_sas) or any(
            self.knows(sa.icookie + sa.rcookie) for sa in image.ike.isakmp_sas
        )

    def _adopt_pairs(self, client: Client, image: ClientImage, now: float) -> list[g.GatewayEffect]:
        effects: list[g.GatewayEffect] = []
        sas = {sa.inbound_spi: sa for sa in image.ike.ipsec_sas}
        for one in image.pairs:
            self._table.by_spi[one.inbound_spi] = client.id
            client.ipsec_sas[one.inbound_spi] = Pair(
                sas[one.inbound_spi].suite,
                one.inbound_key,
                one.outbound_key,
                one.life_octets,
                reserved=one.reserved,
                window_top=one.window_top,
                octets_in=one.octets_in,
                octets_out=one.octets_out,
                seen=one.seen,
                sending=one.sending,
            )
        for spi, pair in sorted(client.ipsec_sas.items(), key=lambda item: item[1].sending):
            sa, used = sas[spi], pair.reserved
            pair.reserved = _reserve(used, 0.0) if self._clustered else plane.SEQUENCE_MAX
            effects.append(
                g.InstallSa(
                    plane.SaSpec(
                        client=client.id,
                        inbound_spi=spi,
                        outbound_spi=sa.outbound_spi,
                        suite=pair.suite,
                        inbound_key=pair.inbound_key,
                        outbound_key=pair.outbound_key,
                        life_octets=pair.life_octets,
                        path=client.path,
                        active=sa.active or pair.sending,
                        first_sequence=used + 1,
                        last_sequence=used if self._clustered else plane.SEQUENCE_MAX,
                        window_top=pair.window_top,
                        octets_in=pair.octets_in,
                        octets_out=pair.octets_out,
                        seen=pair.seen,
                        peer_port=image.peer_port,
                        short_tags=image.short_tags,
                    )
                )
            )
            if self._clustered:
                effects.append(g.Reserve(spi, pair.reserved))
            if used > SOFT_SEQUENCE:
                effects += self._translate(self.ike.rekey_ipsec_sa(spi, now), now)
        return effects

    def evict(self, client_id: ClientId) -> list[g.GatewayEffect]:
        """The client goes on elsewhere: no goodbye, and nothing ends."""
        client = self.clients.get(client_id)
        if client is None:
            return []
        for call in client.calls.values():
            self.site.accounts.forget(call.key)
        self.site.calls -= len(client.calls)
        self.ike.forget(client.isakmp_sas, client.ipsec_sas)
        self.ike.forget_half_open(client.path.peer)
        self._table.remove(client)
        self._deadlines.set(client_id, None)
        self.dirty.discard(client_id)
        return [g.RemoveClient(client_id)]

    def rehome(self, image: ClientImage, shard: int) -> ClientImage:
        """The client with another home. Raises ValueError once it has IPsec SAs: their SPIs lead
        to the former one."""
        if image.pairs:
            raise ValueError("a client with IPsec SAs stays where its SPIs lead")
        return replace(image, shard=shard)

    def forget_half_open(self) -> None:
        """Those that are not clients yet begin anew, elsewhere: we have no shards any more."""
        self.ike.forget_half_open()

    def _as_others_see(self, path: Path) -> Path:
        return path if path.via else path._replace(via=self._member)

    def _as_we_see(self, path: Path) -> Path:
        return path._replace(via="") if path.via == self._member else path

    def _on_reservation_low(self, low: plane.ReservationLow) -> list[g.GatewayEffect]:
        client = self.clients.get(low.client)
        pair = client.ipsec_sas.get(low.inbound_spi) if client is not None else None
        if client is None or pair is None:
            return []
        pair.reserved = max(pair.reserved, _reserve(low.next_sequence, low.rate))
        self._mark(client)
        return [g.Reserve(low.inbound_spi, pair.reserved)]

    def _mark(self, client: Client) -> None:
        """Its check-point is older than it."""
        if self._clustered:
            self.dirty.add(client.id)

    # --- one client

    def _receive_from(self, client: Client, punt: _ClientPunt, now: float) -> list[g.GatewayEffect]:
        match punt:
            case plane.L2tpControl():
                self._mark(client)
                return client.receive_l2tp(punt.message, now)
            case plane.PppControl():
                return client.receive_ppp(punt.tunnel, punt.session, punt.frame, now)
            case plane.PeerMoved():
                self._table.move(client, punt.path)
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
        self._mark(client)
        rekey = bool(client.isakmp_sas)
        self._table.add_isakmp(client, up.isakmp_sa)
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
        namesakes = self._table.namesakes(identity)
        return next((client for client in namesakes if client.path.peer == path.peer), None)

    def _new_client(self, origin: Origin, shard: int) -> Client:
        uid = self._entropy(UID_OCTETS).hex()
        client = Client(self._table.new_id(), self.site, origin, uid, shard)
        self._table.add(client)
        return client

    def _forget(self, client: Client) -> list[g.GatewayEffect]:
        """Nothing is left that could receive a packet of this host."""
        effects = client.drop(client.lost)
        self._table.remove(client)
        self._deadlines.set(client.id, None)
        self.dirty.discard(client.id)
        return [*effects, g.RemoveClient(client.id)]

    def _on_isakmp_sa_down(self, down: ike.IsakmpSaDown, now: float) -> list[g.GatewayEffect]:
        client = self._table.remove_isakmp(down.isakmp_sa)
        effects: list[g.GatewayEffect] = [g.SaDown("isakmp", down.reason)]
        if client is None:
            return effects
        client.lost = down.reason
        self._bereft.add(client.id)
        self._mark(client)
        if down.with_ipsec_sas and not client.isakmp_sas:
            effects += client.drop(down.reason)
            effects += self._close_sas(client, down.reason, now)
        return effects

    def _on_initial_contact(self, contact: ike.InitialContact, now: float) -> list[g.GatewayEffect]:
        """RFC 2407 4.6.3.3: the peer forgot all its other SAs with us.

        Scoped to identity and address, for private addresses as identities repeat across NATs."""
        newcomer = self._table.of_isakmp(contact.isakmp_sa)
        if newcomer is None:
            return []
        effects: list[g.GatewayEffect] = []
        for client in self._table.namesakes(newcomer.identity):
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
        client = self._table.of_isakmp(install.isakmp_sa)
        if client is None:
            return []
        self._table.by_spi[install.inbound_spi] = client.id
        reserved = RESERVED_FIRST if self._clustered else plane.SEQUENCE_MAX
        client.ipsec_sas[install.inbound_spi] = Pair(
            install.suite,
            install.inbound_key,
            install.outbound_key,
            install.life_octets,
            reserved=reserved,
        )
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
                    last_sequence=reserved,
                )
            )
        ]

    def _on_activate(self, up: ike.ActivateIpsecSa) -> list[g.GatewayEffect]:
        client = self._table.of_spi(up.inbound_spi)
        if client is None:
            return []
        rekey = any(spi != up.inbound_spi for spi in client.ipsec_sas)
        self._mark(client)
        client.phase2_suite = up.suite
        client.origin.stages.setdefault("phase2", up.seconds)
        return [
            g.ActivateSa(up.inbound_spi),
            g.StageDone("phase2", up.seconds),
            g.IpsecSaUp(client.id, up.inbound_spi, up.suite, up.pfs, rekey, up.seconds),
        ]

    def _on_remove(self, remove: ike.RemoveIpsecSa) -> list[g.GatewayEffect]:
        client = self._table.remove_spi(remove.inbound_spi)
        if client is not None:
            client.lost = remove.reason
            self._bereft.add(client.id)
            self._mark(client)
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
            if self._clustered and (changed := _changed(effect)) in self.clients:
                self.dirty.add(changed)
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


def _changed(effect: g.GatewayEffect) -> ClientId | None:
    """The client whose check-point an effect makes old."""
    match effect:
        case g.InstallSa():
            return effect.sa.client
        case g.AddLink():
            return effect.link.client
        case g.BindSession():
            return effect.session.client
        case g.SendL2tp() | g.RemoveLink() | g.UnbindSession() | g.ClientMoved():
            return effect.client
        case _:
            return None


def _reserve(used: int, rate: float) -> int:
    """Up to which sequence number to reserve when those up to `used` are, or will be, sent."""
    more = max(RESERVED_FIRST, int(rate * RESERVE_SECONDS))
    return min(used + more, plane.SEQUENCE_MAX)


_ClientPunt = (
    plane.L2tpControl | plane.PppControl | plane.PeerMoved | plane.DhcpInform | plane.UnknownSession
)
