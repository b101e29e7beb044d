"""Where SAs are found: by id, by cookies, by initiator cookie, by SPI, by peer; and their timers.

Peers are grouped by identity and address, because a Delete for an old IPsec SA may come under a
newer ISAKMP SA of the same peer. Nothing in here decides anything.
"""

from __future__ import annotations

from typing import TypeAlias

from ferrule.core.deadlines import DeadlineQueue
from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path, Spi
from ferrule.ike.isakmp_sa import IpsecSa, IsakmpSa, MainModeState, Peer, QuickMode

# ("isakmp", id, 0), ("quick", id, message id), ("ipsec", SPI, 0)
TimerKey: TypeAlias = tuple[str, int, int]


class SaTable:
    """All SAs of one endpoint."""

    __slots__ = (
        "_by_cookies",
        "_by_first",
        "_initiating",
        "_next_id",
        "_peers",
        "ipsec",
        "isakmp",
        "timers",
    )

    def __init__(self) -> None:
        self.isakmp: dict[IsakmpSaId, IsakmpSa] = {}
        self.ipsec: dict[Spi, IpsecSa] = {}
        self.timers: DeadlineQueue[TimerKey] = DeadlineQueue()
        self._by_cookies: dict[bytes, IsakmpSa] = {}
        self._by_first: dict[tuple[Cookie, Address], IsakmpSa] = {}  # responder
        self._initiating: dict[Cookie, IsakmpSa] = {}
        self._peers: dict[tuple[str, str], Peer] = {}
        self._next_id = 1

    # --- ISAKMP SAs ---

    def new_id(self) -> IsakmpSaId:
        number = self._next_id
        self._next_id += 1
        return IsakmpSaId(number)

    def add_responder(self, sa: IsakmpSa) -> None:
        """After message 1: both cookies are known."""
        self.isakmp[sa.id] = sa
        self._by_cookies[sa.cookies] = sa
        sa.first_peer = sa.path.peer
        self._by_first[(sa.icookie, sa.first_peer)] = sa

    def add_initiator(self, sa: IsakmpSa) -> None:
        """Before message 1: the responder's cookie is not known."""
        self.isakmp[sa.id] = sa
        self._initiating[sa.icookie] = sa

    def add_restored(self, sa: IsakmpSa) -> None:
        """An SA that is up, from another process. Where the peer's message 1 has made one here too,
        that one goes on to answer its duplicates."""
        self.isakmp[sa.id] = sa
        self._by_cookies[sa.cookies] = sa
        if sa.first_peer is not None:
            first = (sa.icookie, sa.first_peer)
            if self._by_first.setdefault(first, sa) is not sa:
                sa.first_peer = None

    def set_responder_cookie(self, sa: IsakmpSa, rcookie: Cookie) -> None:
        """The initiator read message 2."""
        sa.rcookie = rcookie
        del self._initiating[sa.icookie]
        self._by_cookies[sa.cookies] = sa

    def find(self, icookie: Cookie, rcookie: Cookie) -> IsakmpSa | None:
        return self._by_cookies.get(icookie + rcookie)

    def find_first(self, icookie: Cookie, peer: Address) -> IsakmpSa | None:
        """The SA that a message 1 made, up or not: a late duplicate makes no second one."""
        return self._by_first.get((icookie, peer))

    def find_initiating(self, icookie: Cookie) -> IsakmpSa | None:
        """An SA of ours that awaits message 2."""
        return self._initiating.get(icookie)

    def remove_isakmp(self, sa: IsakmpSa) -> None:
        """The SA and its Quick Modes; IPsec SAs stay."""
        self.isakmp.pop(sa.id, None)
        self._by_cookies.pop(sa.cookies, None)
        if sa.first_peer is not None:
            del self._by_first[(sa.icookie, sa.first_peer)]
        if self._initiating.get(sa.icookie) is sa:
            del self._initiating[sa.icookie]
        for message_id in sa.quick_modes:
            self.timers.set(("quick", sa.id, message_id), None)
        sa.quick_modes.clear()
        self.timers.set(("isakmp", sa.id, 0), None)
        if sa.peer is not None:
            sa.peer.isakmp.remove(sa)
            self._discard_peer(sa.peer)

    def rearm(self, sa: IsakmpSa) -> None:
        """Put the SA's next deadline into the queue, after it was changed."""
        following = sa.deadlines.next
        self.timers.set(("isakmp", sa.id, 0), following.at if following else None)

    def arm_quick_mode(self, sa: IsakmpSa, quick: QuickMode, at: float | None) -> None:
        self.timers.set(("quick", sa.id, quick.message_id), at)

    def remove_quick_mode(self, sa: IsakmpSa, quick: QuickMode) -> None:
        sa.quick_modes.pop(quick.message_id, None)
        self.timers.set(("quick", sa.id, quick.message_id), None)

    # --- peers ---

    def join_peer(self, sa: IsakmpSa, now: float) -> Peer:
        """Phase 1 is authenticated: `sa.identity` at the SA's address."""
        peer = self.peer(sa.identity, sa.path.peer.host)
        peer.isakmp.append(sa)
        peer.last_heard = max(peer.last_heard, now)
        sa.peer = peer
        sa.home = peer.host
        return peer

    def peer(self, identity: str, host: str) -> Peer:
        """All SAs with `identity` at `host`; a new, empty row if there are none."""
        key = (identity, host)
        peer = self._peers.get(key)
        if peer is None:
            peer = self._peers[key] = Peer(identity, host)
        return peer

    def _discard_peer(self, peer: Peer) -> None:
        key = (peer.identity, peer.host)
        if not peer.isakmp and not peer.ipsec and self._peers.get(key) is peer:
            del self._peers[key]

    def move(self, sa: IsakmpSa, path: Path) -> None:
        """The peer of `sa` has another address; its SAs on the old one go along."""
        old = sa.path.peer
        sa.path = path
        peer = sa.peer
        if peer is None:
            return
        for other in peer.isakmp:
            if other.path.peer == old:
                other.path = path
        if peer.host == path.peer.host:
            return
        target = self.peer(peer.identity, path.peer.host)
        target.last_heard = max(target.last_heard, peer.last_heard)
        staying = [other for other in peer.isakmp if other.path.peer.host == peer.host]
        staying_ids = {other.id for other in staying}
        for other in peer.isakmp:
            if other.id not in staying_ids:
                other.peer = target
                target.isakmp.append(other)
        peer.isakmp = staying
        for spi, ipsec in list(peer.ipsec.items()):
            if ipsec.isakmp_sa not in staying_ids:
                ipsec.peer = target
                target.ipsec[spi] = peer.ipsec.pop(spi)
        self._discard_peer(peer)

    # --- IPsec SAs ---

    def add_ipsec(self, ipsec: IpsecSa) -> None:
        self.ipsec[ipsec.inbound_spi] = ipsec
        ipsec.peer.ipsec[ipsec.inbound_spi] = ipsec
        self.timers.set(("ipsec", ipsec.inbound_spi, 0), ipsec.expires)

    def remove_ipsec(self, ipsec: IpsecSa) -> None:
        self.ipsec.pop(ipsec.inbound_spi, None)
        ipsec.peer.ipsec.pop(ipsec.inbound_spi, None)
        self.timers.set(("ipsec", ipsec.inbound_spi, 0), None)
        self._discard_peer(ipsec.peer)

    def carrier(self, ipsec: IpsecSa) -> IsakmpSa | None:
        """The ISAKMP SA for messages about `ipsec`: its own, or the peer's newest one."""
        own = self.isakmp.get(ipsec.isakmp_sa)
        if own is not None and own.state is MainModeState.UP:
            return own
        return ipsec.peer.isakmp[-1] if ipsec.peer.isakmp else None

    def orphans(self, sa: IsakmpSa) -> list[IpsecSa]:
        """The IPsec SAs that end with `sa`: made by it, or by one that is gone."""
        if sa.peer is None:
            return []
        return [
            ipsec
            for ipsec in sa.peer.ipsec.values()
            if ipsec.isakmp_sa == sa.id or ipsec.isakmp_sa not in self.isakmp
        ]
