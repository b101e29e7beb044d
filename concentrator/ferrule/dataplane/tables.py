"""The Python plane's tables and the verbs that write them: SAs, clients, links, sessions, policies.

One hash step finds a row by SPI, by inner address, or by (client, tunnel, session). Unknown ids
are ignored: what the control plane removes may race with what it still sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ferrule.core.ids import ClientId, Path, SessionId, Spi, TunnelId
from ferrule.dataplane.interface import (
    ClientState,
    LinkSpec,
    Policy,
    SaSpec,
    SaState,
    SessionCounters,
    SessionSpec,
)
from ferrule.dataplane.policy import CompiledPolicy, punt_bucket
from ferrule.dataplane.records import (
    SOFT_OCTETS_SHARE,
    Client,
    Link,
    Sa,
    Session,
    link_key,
    ppp_header,
)
from ferrule.esp.packet import EspOpener, EspSealer


class Tables:
    """The rows. A client appears with its first SA and goes with `remove_client`."""

    def __init__(self, clock: Callable[[], float], client_punts: int) -> None:
        self._clock = clock
        self._client_punts = client_punts
        self._clients: dict[ClientId, Client] = {}
        self._sas: dict[int, Sa] = {}
        self._by_address: dict[bytes, Session] = {}
        self._default: Session | None = None

    # --- IPsec SAs

    def install_sa(self, sa: SaSpec) -> None:
        """Raises ValueError for keys of the wrong length: a bug of the caller."""
        opener = EspOpener(sa.suite, sa.inbound_key, sa.inbound_spi, window_top=sa.window_top)
        sealer = EspSealer(
            sa.suite,
            sa.outbound_key,
            sa.outbound_spi,
            first_sequence=sa.first_sequence,
            last_sequence=sa.last_sequence,
        )
        self.remove_sa(sa.inbound_spi)
        client = self._client(sa)
        client.path = sa.path
        # QUIRK(android): on a rekey we may send first, so the last SA's tag length is the guess.
        sealer.cut_tags(short=client.short_tags)
        row = Sa(client, sa, opener, sealer)
        row.octets_in, row.octets_out, row.seen = sa.octets_in, sa.octets_out, sa.seen
        row.on_reserved(self._clock())
        if sa.life_octets:
            row.soft_octets = sa.life_octets * SOFT_OCTETS_SHARE
        self._sas[sa.inbound_spi] = row
        client.sas[sa.inbound_spi] = row
        if sa.active:
            self.activate(row)
        elif sa.seen:
            self._remember_active(row)

    def activate_sa(self, inbound_spi: Spi) -> None:
        row = self._sas.get(inbound_spi)
        if row is not None:
            self.activate(row)

    def reserve(self, inbound_spi: Spi, last_sequence: int) -> None:
        """Never takes back what was reserved: it may be sent already."""
        row = self._sas.get(inbound_spi)
        if row is not None and row.sealer.reserve(last_sequence):
            row.on_reserved(self._clock())

    def activate(self, sa: Sa) -> None:
        """`sa` sends for its client from now on."""
        activated = sa.client.activated
        if sa in activated:
            activated.remove(sa)
        activated.append(sa)
        sa.was_active = True
        sa.client.outbound = sa

    def _remember_active(self, sa: Sa) -> None:
        """The peer's first packet activated `sa` once: it sends again if nothing newer is left."""
        sa.was_active = True
        activated = sa.client.activated
        activated.insert(0, sa)
        sa.client.outbound = activated[-1]

    def remove_sa(self, inbound_spi: Spi) -> None:
        row = self._sas.pop(inbound_spi, None)
        if row is None:
            return
        client = row.client
        del client.sas[inbound_spi]
        if row in client.activated:
            client.activated.remove(row)
            client.outbound = client.activated[-1] if client.activated else None

    # --- clients, links, sessions

    def _client(self, sa: SaSpec) -> Client:
        """The client of `sa`. What `sa` says of inner port and tags is for one that is new here."""
        row = self._clients.get(sa.client)
        if row is None:
            punts = punt_bucket(self._client_punts, self._clock())
            row = Client(sa.client, sa.path, punts, sa.peer_port, sa.short_tags)
            self._clients[sa.client] = row
        return row

    def move_client(self, client: ClientId, path: Path) -> None:
        row = self._clients.get(client)
        if row is not None:
            row.path = path

    def remove_client(self, client: ClientId) -> None:
        row = self._clients.pop(client, None)
        if row is None:
            return
        for spi in row.sas:
            del self._sas[spi]
        for link in row.links.values():
            self._unbind(link)

    def add_link(self, link: LinkSpec) -> None:
        """Ignored for a client that has no SA yet: L2TP comes inside ESP."""
        client = self._clients.get(link.client)
        if client is not None:
            self.remove_link(link.client, link.tunnel, link.session)
            now = self._clock()
            client.links[link_key(link.tunnel, link.session)] = Link(
                client,
                link.tunnel,
                link.session,
                link,
                counters=SessionCounters(last_up=now, last_data=now),
            )

    def remove_link(self, client: ClientId, tunnel: TunnelId, session: SessionId) -> None:
        link = self._link(client, tunnel, session)
        if link is not None:
            self._unbind(link)
            del link.client.links[link_key(tunnel, session)]

    def _link(self, client: ClientId, tunnel: TunnelId, session: SessionId) -> Link | None:
        row = self._clients.get(client)
        return None if row is None else row.links.get(link_key(tunnel, session))

    def restore_link(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, ns: int, up: int, down: int
    ) -> None:
        link = self._link(client, tunnel, session)
        if link is not None:
            link.ns = ns & 0xFFFF
            link.counters.octets_up, link.counters.octets_down = up, down

    def bind_session(self, session: SessionSpec) -> None:
        """An address that another session has goes to this one."""
        link = self._link(session.client, session.tunnel, session.session)
        if link is None:
            return
        self._unbind(link)
        policy = CompiledPolicy(session.policy, self._clock())
        link.bound = Session(link, session, policy, ppp_header(session))
        self._by_address[session.address] = link.bound
        if session.default:
            self._default = link.bound

    def unbind_session(self, client: ClientId, tunnel: TunnelId, session: SessionId) -> None:
        link = self._link(client, tunnel, session)
        if link is not None:
            self._unbind(link)

    def _unbind(self, link: Link) -> None:
        bound, link.bound = link.bound, None
        if bound is None:
            return
        if self._by_address.get(bound.spec.address) is bound:
            del self._by_address[bound.spec.address]
        if self._default is bound:
            self._default = None

    def set_policy(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, policy: Policy
    ) -> None:
        link = self._link(client, tunnel, session)
        if link is not None and link.bound is not None:
            link.bound.policy = CompiledPolicy(policy, self._clock())

    def session_counters(
        self, client: ClientId, tunnel: TunnelId, session: SessionId
    ) -> SessionCounters | None:
        link = self._link(client, tunnel, session)
        return None if link is None else link.counters

    def client_state(self, client: ClientId) -> ClientState | None:
        """A copy: what happens later does not change it."""
        row = self._clients.get(client)
        if row is None:
            return None
        return ClientState(
            path=row.path,
            peer_port=row.peer_port,
            short_tags=row.short_tags,
            sas=tuple(_sa_state(sa) for sa in row.sas.values()),
            links=tuple(
                (link.tunnel, link.session, link.ns, replace(link.counters))
                for link in row.links.values()
            ),
        )


def _sa_state(sa: Sa) -> SaState:
    return SaState(
        inbound_spi=sa.spec.inbound_spi,
        next_sequence=sa.sealer.sequence,
        window_top=sa.opener.window.top,
        octets_in=sa.octets_in,
        octets_out=sa.octets_out,
        seen=sa.seen,
        active=sa is sa.client.outbound,
    )
