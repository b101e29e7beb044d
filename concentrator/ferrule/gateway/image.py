"""A client as it is written down, so that another process can go on with it: the check-point.

Each layer says itself what it carries (`ike.image`, `l2tp.image`, `ppp.image`); here they come
together with the keys and numbers of the IPsec SAs, the calls and their facts, and become octets.
The octets are versioned (`gateway.records`): this version reads those of the last one, and the last
one reads these. They hold keys: outside the process they are sealed (`cluster.sealing`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final

from ferrule.core.ids import Path, SessionId, Spi, TunnelId
from ferrule.core.secret import Secret
from ferrule.ike.image import IkeImage
from ferrule.l2tp.image import TunnelImage
from ferrule.ppp.image import LinkImage

VERSION: Final = 2  # 2: how long the stages of a call's set-up took
RESERVED_FIRST: Final = 1 << 20  # sequence numbers of a new SA, without being asked for
_SINCE_2: Final[dict[str, Any]] = {"since": 2}


@dataclass(slots=True, eq=False)
class PairImage:
    """The plane's part of a pair of IPsec SAs.

    Outbound numbers up to `reserved` may have been sent, inbound ones up to `window_top` count as
    seen. `sending`: it is the one that we send on."""

    inbound_spi: Spi
    inbound_key: Secret
    outbound_key: Secret
    life_octets: int
    reserved: int
    window_top: int
    octets_in: int
    octets_out: int
    seen: bool
    sending: bool


@dataclass(slots=True)
class PlaceImage:
    """Its place among the sessions of its user, and its address; see `gateway.call.Place`."""

    username: str
    source: str
    since: float
    address: IPv4Address


@dataclass(slots=True)
class StageImage:
    name: str
    seconds: float


@dataclass(slots=True)
class CallImage:
    """`link` is None where PPP begins anew. `ns` is that of the next data message."""

    tunnel: TunnelId
    session: SessionId
    inner_mtu: int
    username: str
    auth_method: str
    phase2_suite: str
    client_name: str
    started: float
    up_at: float | None
    address: IPv4Address | None
    place: PlaceImage | None
    link: LinkImage | None
    ns: int
    octets_up: int
    octets_down: int
    stages: tuple[StageImage, ...] = field(default=(), metadata=_SINCE_2)


@dataclass(slots=True, eq=False)
class ClientImage:
    """One remote host with all that is its. `uid` and `shard` name the check-point; `taken` is
    when it was made. Times are Unix seconds."""

    uid: str
    shard: int
    taken: float
    path: Path
    identity: str
    phase1_suite: str
    phase2_suite: str
    vendor_ids: tuple[str, ...]
    started: float
    client_name: str
    closing_at: float | None
    peer_port: int
    short_tags: bool
    ike: IkeImage
    pairs: tuple[PairImage, ...]
    tunnels: tuple[TunnelImage, ...]
    tunnels_with_calls: tuple[int, ...]
    calls: tuple[CallImage, ...]
    stages: tuple[StageImage, ...] = field(default=(), metadata=_SINCE_2)
