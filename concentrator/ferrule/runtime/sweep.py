"""What changes without a control message is written down every few seconds: the windows' tops.

And what nobody would notice else: forwards that are over, and a store that has forgotten us.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ferrule.cluster.routes import Forwards
from ferrule.cluster.shards import ShardNames
from ferrule.gateway.gateway import Gateway
from ferrule.runtime.checkpoints import Checkpoints
from ferrule.runtime.images import Images

SWEEP_SECONDS: Final = 5.0
SLICES: Final = 20


async def sweep(
    gateway: Gateway,
    names: ShardNames,
    forwards: Forwards,
    checkpoints: Checkpoints,
    images: Images,
) -> None:
    """Until cancelled; a slice of the clients at a time."""
    while True:
        clients = list(gateway.clients)
        for at in range(SLICES):
            await asyncio.sleep(SWEEP_SECONDS / SLICES)
            for client in clients[at::SLICES]:
                if checkpoints.is_behind(client):
                    checkpoints.mark(client)
        checkpoints.probe()
        for cookie in forwards.expire(images.wall()):
            claim = checkpoints.claims.get(names.shard_of_cookie(cookie))
            if claim is not None:
                checkpoints.soon(images.no_forward(cookie, claim))
