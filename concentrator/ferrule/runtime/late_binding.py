"""Late binding: a client moves to the member that its packets enter, before it has IPsec SAs.

IKE begins on port 500 and moves to 4500, which a balancer may send to another member. There the
SPIs are chosen in Quick Mode, and they decide where all later packets have their home. So who gets
the first Quick Mode message from another member sends the client back with it, and keeps a forward
for messages that still carry the old cookie. First the store hears of that, so that no heir finds
the client in its former place. Lost on the way, it is sent again with the client's repetition; good
for one epoch only, and adopted once in it, so that none comes back to life.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ferrule.cluster.members import MemberName
from ferrule.cluster.messages import HandOver, build_hand_over, parse_hand_over
from ferrule.cluster.relay import Relayed
from ferrule.cluster.ring import RingKind
from ferrule.cluster.sealing import BlobKind
from ferrule.cluster.shards import ShardNames
from ferrule.core.ids import Cookie
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import IkeDatagram
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.image import ClientImage
from ferrule.runtime.checkpoints import Checkpoints
from ferrule.runtime.cluster import Cluster
from ferrule.runtime.images import FORWARD_PREFIX, Images
from ferrule.runtime.relay import Relay, as_sent
from ferrule.runtime.takeover import TakeOver
from ferrule.store.interface import Put, PutResult, StoreAway

KEPT_SECONDS: Final = 10.0
STORE_SECONDS: Final = 0.5  # a client waits for its answer
KEPT_MAX: Final = 4096
SEEN_MAX: Final = 262_144


@dataclass(slots=True)
class _Kept:
    """A client on its way `to` a member. `left`: it is gone from here for good."""

    until: float
    to: MemberName
    body: bytes
    left: bool = False


class LateBinding:
    """`sent` and `received` count clients."""

    def __init__(
        self,
        cluster: Cluster,
        gateway: Gateway,
        names: ShardNames,
        images: Images,
        checkpoints: Checkpoints,
        takeover: TakeOver,
        relay: Relay,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.sent = 0
        self.received = 0
        self._cluster = cluster
        self._gateway = gateway
        self._names = names
        self._images = images
        self._checkpoints = checkpoints
        self._takeover = takeover
        self._relay = relay
        self._clock = clock
        self._entropy = entropy
        # By the message that came with it:
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._staying: set[str] = set()  # the store could not be told that they leave
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()  # clients that came in this epoch:
        self._seen_in = 0

    def epoch_changed(self) -> None:
        self._kept.clear()
        self._staying.clear()

    # --- away

    def bind(self, punt: IkeDatagram) -> bool:
        """True: the client went to another member, and this message with it."""
        client = self._gateway.client_of(punt.message[:16])
        newest = self._cluster.newest
        if client is None or newest is None or client.ipsec_sas or not self._cluster.watch.up:
            return False
        if client.uid in self._staying:
            return False
        target = self._target(punt, client)
        if target is None:
            return False
        to, shard = target
        image = self._images.image_of(client)
        moved = image if shard == client.shard else self._gateway.rehome(image, shard)
        epoch = newest.id.number
        blob = self._images.seal(moved, BlobKind.HAND_OVER, epoch)
        cause = Relayed(0, epoch, punt.path, as_sent(punt.path, punt.message))
        body = build_hand_over(HandOver(epoch, shard, client.uid, blob, cause))
        puts = self._last_words(client, Cookie(punt.message[8:16]), shard)
        self._takeover.evict(client)
        kept = self._keep(punt.message, _Kept(self._clock() + KEPT_SECONDS, to, body))
        task = asyncio.get_running_loop().create_task(self._send(kept, puts, image, cause))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _send(self, kept: _Kept, puts: list[Put], image: ClientImage, cause: Relayed) -> None:
        """Once the store knows that the client left. If it can't be told, the client stays."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                results = await self._checkpoints.put(puts) if puts else ()
        except (StoreAway, TimeoutError):
            results = (PutResult.UNCLAIMED,)
        if all(result is PutResult.DONE for result in results):
            kept.left = True
            self.sent += 1
            self._relay.ring.send(RingKind.HAND_OVER, kept.body, kept.to)
            return
        kept.until = 0.0
        for put in puts:
            if put.blob is not None:  # a forward, that may have been written all the same
                cookie = Cookie(bytes.fromhex(put.session.removeprefix(FORWARD_PREFIX)))
                self._checkpoints.soon(self._images.no_forward(cookie, put.claim))
        if self._ready(image.shard):
            self._staying.add(image.uid)
            self._takeover.adopt(image)
            self._relay.receive(MemberName(cause.path.via), cause)

    def _target(self, punt: IkeDatagram, client: Client) -> tuple[MemberName, int] | None:
        """Which member, and which of its shards is the client's home there."""
        cluster, via = self._cluster, punt.path.via
        if client.shard not in cluster.held:  # a set-up that ended when the shard was gone
            owner = cluster.owner(client.shard)
            return (owner, client.shard) if owner not in (None, cluster.name) and owner else None
        cookie_shard = self._names.shard_of_cookie(Cookie(punt.message[8:16]))
        if via not in cluster.owners or cookie_shard != client.shard:
            return None
        shards = cluster.shards_of(via)
        if not shards:
            return None
        drawn = int.from_bytes(self._entropy(4), "big")
        return MemberName(via), shards[drawn % len(shards)]

    def _last_words(self, client: Client, cookie: Cookie, home: int) -> list[Put]:
        """What the store must know: where the cookie leads, and that the client is not here."""
        claims, puts = self._checkpoints.claims, []
        claim = claims.get(self._names.shard_of_cookie(cookie))
        if claim is not None and home != self._names.shard_of_cookie(cookie):
            puts.append(self._images.forward(cookie, home, claim))
        claim = claims.get(client.shard)
        if claim is not None and home != client.shard:
            puts.append(Put(client.shard, claim, client.uid, None))
        return puts

    def _keep(self, message: bytes, kept: _Kept) -> _Kept:
        now = self._clock()
        self._kept[message] = kept
        while len(self._kept) > KEPT_MAX or next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        return kept

    def again(self, message: bytes) -> bool:
        """True: a client leaves with this very message, and is sent once more if it has left."""
        kept = self._kept.get(message)
        if kept is None or kept.until <= self._clock():
            return False
        return not kept.left or self._relay.ring.send(RingKind.HAND_OVER, kept.body, kept.to)

    # --- here

    def receive(self, sender: MemberName, body: bytes) -> Reason | None:
        """Why not, or None. Raises ProtocolError."""
        hand_over = parse_hand_over(body)
        newest = self._cluster.newest
        if newest is None or newest.id.number != hand_over.epoch:
            return Reason.NOT_SERVING
        if not self._ready(hand_over.shard):
            return Reason.NOT_SERVING
        if hand_over.epoch != self._seen_in:
            self._seen, self._seen_in = set(), hand_over.epoch
        if self._gateway.client_named(hand_over.uid) is None:
            if hand_over.uid in self._seen or len(self._seen) >= SEEN_MAX:
                return Reason.NOT_SERVING
            image = self._images.open(
                hand_over.uid, hand_over.blob, BlobKind.HAND_OVER, hand_over.epoch
            )
            if image is None or image.shard != hand_over.shard or image.pairs:
                return Reason.RING_MALFORMED
            self._seen.add(hand_over.uid)
            if self._takeover.adopt(image) is None:
                return Reason.NOT_SERVING
            self.received += 1
        self._relay.receive(sender, hand_over.cause)
        return None

    def _ready(self, shard: int) -> bool:
        return self._cluster.may_serve() and self._takeover.ready(shard)
