"""Clients as sealed octets, and back: what check-points, hand-overs and forwards are made of.

Each blob is sealed for one client or cookie, its kind, and the epoch of the claim or hand-over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from ferrule.cluster.routes import (
    FORWARD_SECONDS,
    Forward,
    Forwards,
    build_forward,
    parse_forward,
)
from ferrule.cluster.sealing import BlobKind, Context, Sealer, SealFault
from ferrule.cluster.shards import ShardNames
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import ClientId, Cookie
from ferrule.dataplane.interface import Plane
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.image import ClientImage, build_image, parse_image
from ferrule.store.interface import Checkpoint, Claim, Put

FORWARD_PREFIX: Final = "fwd:"


class Images:
    """`unreadable` counts blobs that could not be used."""

    def __init__(
        self,
        gateway: Gateway,
        names: ShardNames,
        sealer: Sealer,
        forwards: Forwards,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.unreadable = 0
        self.wall = wall
        self._gateway = gateway
        self._names = names
        self._sealer = sealer
        self._forwards = forwards
        self._clock = clock
        self._plane: Plane | None = None
        self._log = structlog.get_logger("ferrule")

    def attach(self, plane: Plane) -> None:
        self._plane = plane

    @property
    def plane(self) -> Plane:
        assert self._plane is not None, "attached before any client is there"
        return self._plane

    # --- of clients

    def image_of(self, client: Client, *, final: bool = False) -> ClientImage:
        """`final`: nothing is sent for it after this."""
        state = self.plane.client_state(client.id)
        return self._gateway.export(client.id, state, self._clock(), final=final)

    def window_tops(self, client: ClientId) -> tuple[int, ...]:
        state = self.plane.client_state(client)
        return tuple(sa.window_top for sa in state.sas) if state is not None else ()

    def seal(self, image: ClientImage, kind: BlobKind, epoch: int) -> bytes:
        return self._sealer.seal(build_image(image), Context(image.uid, kind, epoch))

    def checkpoint(self, image: ClientImage, claim: Claim) -> Put:
        blob = self.seal(image, BlobKind.CHECKPOINT, claim.epoch)
        return Put(image.shard, claim, image.uid, blob)

    def open(self, uid: str, blob: bytes, kind: BlobKind, epoch: int) -> ClientImage | None:
        """The client in a sealed image; None, and told, if it cannot be used."""
        opened = self._sealer.open(blob, Context(uid, kind, epoch))
        problem = opened.value if isinstance(opened, SealFault) else ""
        if isinstance(opened, bytes):
            try:
                image = parse_image(opened)
            except ProtocolError as error:
                problem = error.detail
            else:
                if image.uid == uid:
                    return image
                problem = "another client's"
        self.unreadable += 1
        self._log.warning("a check-point can't be used", client=uid, problem=problem)
        return None

    # --- of forwards

    def forward(self, cookie: Cookie, home: int, claim: Claim) -> Put:
        """Keep that the client of this cookie lives in `home`; to be written down."""
        forward = Forward(home, self.wall() + FORWARD_SECONDS)
        self._forwards.put(cookie, forward)
        name = FORWARD_PREFIX + cookie.hex()
        context = Context(name, BlobKind.FORWARD, claim.epoch)
        blob = self._sealer.seal(build_forward(forward), context)
        return Put(self._names.shard_of_cookie(cookie), claim, name, blob)

    def no_forward(self, cookie: Cookie, claim: Claim) -> Put:
        """Keep none any more."""
        self._forwards.drop(cookie)
        name = FORWARD_PREFIX + cookie.hex()
        return Put(self._names.shard_of_cookie(cookie), claim, name, None)

    def restore_forward(self, name: str, checkpoint: Checkpoint) -> None:
        context = Context(name, BlobKind.FORWARD, checkpoint.epoch)
        opened = self._sealer.open(checkpoint.blob, context)
        try:
            if isinstance(opened, bytes):
                cookie = Cookie(bytes.fromhex(name.removeprefix(FORWARD_PREFIX)))
                self._forwards.put(cookie, parse_forward(opened))
                return
        except (ProtocolError, ValueError):
            pass  # counted as what does not open is
        self.unreadable += 1

    def has_left(self, image: ClientImage) -> bool:
        """It was bound late to another member, and its owner died before this was deleted."""
        homes = (
            self._forwards.home(sa.rcookie, self.wall())
            for sa in image.ike.isakmp_sas
            if self._names.shard_of_cookie(sa.rcookie) == image.shard
        )
        return any(home not in (None, image.shard) for home in homes)
