"""A client as it is written down, so that another process can go on with it: the check-point.

Each layer says itself what it carries (`ike.image`, `l2tp.image`, `ppp.image`); here they come
together with the keys and numbers of the IPsec SAs, the calls and their facts, and become octets.
The octets are versioned (`gateway.records`): this version reads those of the last one, and the last
one reads these. They hold keys: outside the process they are sealed (`cluster.sealing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any, Final

from ferrule.cluster.shards import SHARDS
from ferrule.core.errors import Malformed
from ferrule.core.ids import Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.dataplane.interface import SEQUENCE_MAX
from ferrule.gateway.records import Records
from ferrule.ike.image import IkeImage, IsakmpSaImage
from ferrule.l2tp.image import TunnelImage
from ferrule.ppp.image import LinkImage

VERSION: Final = 2  # 2: how long the stages of a call's set-up took
RESERVED_FIRST: Final = 1 << 20  # sequence numbers of a new SA, without being asked for
UID_DIGITS: Final = 16
COOKIE_OCTETS: Final = 8
SPI_OCTETS: Final = 4
MAGIC_OCTETS: Final = 4
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


@dataclass(slots=True, eq=False)
class PlaceImage:
    """Its place among the sessions of its user, and its address; see `gateway.call.Place`.
    `digests` say what its user proved to know (`accounts.admission.Accounts.digests`)."""

    username: str
    source: str
    since: float
    address: IPv4Address
    digests: tuple[Secret, ...]


@dataclass(slots=True)
class StageImage:
    name: str
    seconds: float


@dataclass(slots=True, eq=False)
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

    @property
    def identity(self) -> str:
        return self.ike.identity


def with_paths(image: ClientImage, change: Callable[[Path], Path]) -> ClientImage:
    """The image with all its paths changed."""
    isakmp_sas = tuple(
        replace(
            sa,
            path=change(sa.path),
            quick_modes=tuple(replace(q, path=change(q.path)) for q in sa.quick_modes),
        )
        for sa in image.ike.isakmp_sas
    )
    return replace(image, path=change(image.path), ike=replace(image.ike, isakmp_sas=isakmp_sas))


# --- octets ------------------------------------------------------------------------------------

_RECORDS: Final = {version: Records(version) for version in (VERSION - 1, VERSION)}


def build_image(image: ClientImage, version: int = VERSION) -> bytes:
    """One octet of version, then the record. While members of the last version are about, they can
    be written for: `version` is ours or that one."""
    return bytes((version,)) + _RECORDS[version].build(image)


def parse_image(octets: bytes) -> ClientImage:
    """Of the last version, of ours, or of the next. Raises Malformed (IMAGE_MALFORMED), also for an
    image with which nobody could go on."""
    if not octets or not VERSION - 1 <= octets[0] <= VERSION + 1:
        raise Malformed(Reason.IMAGE_MALFORMED, f"version {octets[:1].hex() or 'none'}")
    image = _RECORDS[min(octets[0], VERSION)].parse(ClientImage, octets[1:])
    _check(image)
    return image


def _check(image: ClientImage) -> None:
    """What the machines take for granted."""
    pairs = {pair.inbound_spi: pair for pair in image.pairs}
    ipsec = {sa.inbound_spi: sa for sa in image.ike.ipsec_sas}
    sound = (
        0 <= image.shard < SHARDS,
        len(image.uid) == UID_DIGITS,
        all(digit in "0123456789abcdef" for digit in image.uid),
        0 <= image.peer_port <= 0xFFFF,
        pairs.keys() == ipsec.keys(),
        len(pairs) == len(image.pairs) == len(image.ike.ipsec_sas),
        bool(ipsec or image.ike.isakmp_sas),
        all(256 <= spi <= 0xFFFFFFFF for spi in ipsec),
        all(0 < sa.outbound_spi <= 0xFFFFFFFF for sa in ipsec.values()),
        all(
            len(pair.inbound_key) == len(pair.outbound_key) == ipsec[spi].suite.keymat_octets
            for spi, pair in pairs.items()
            if spi in ipsec
        ),
        all(
            0 <= number <= SEQUENCE_MAX
            for pair in image.pairs
            for number in (pair.reserved, pair.window_top)
        ),
        all(_is_sound_isakmp(sa) for sa in image.ike.isakmp_sas),
        all(0 < tunnel.tunnel <= 0xFFFF for tunnel in image.tunnels),
        all(_is_id(n) for t in image.tunnels for n in (t.channel.ns, t.channel.nr)),
        all(_is_id(m.ns) and _is_id(m.session) for t in image.tunnels for m in t.channel.messages),
        all(_is_id(t.channel.peer_tunnel) and t.channel.peer_window > 0 for t in image.tunnels),
        all(
            _is_id(s.session) and _is_id(s.peer_session) for t in image.tunnels for s in t.sessions
        ),
        all(_is_id(call.ns) for call in image.calls),
        all(_is_sound_link(call.link) for call in image.calls if call.link is not None),
    )
    if not all(sound):
        raise Malformed(Reason.IMAGE_MALFORMED, f"check {sound.index(False)} of the image's fields")


def _is_id(number: int) -> bool:
    """16 bits, as L2TP's ids and sequence numbers are."""
    return 0 <= number <= 0xFFFF


def _is_sound_link(link: LinkImage) -> bool:
    identifiers = [n for a in (link.lcp, link.ipcp) for n in (a.identifier, a.request_identifier)]
    return (
        len(link.magic) == MAGIC_OCTETS
        and _is_id(link.mru)
        and _is_id(link.peer_mru)
        and all(0 <= identifier <= 0xFF for identifier in identifiers)
    )


def _is_sound_isakmp(sa: IsakmpSaImage) -> bool:
    cipher, algorithm = sa.transform.cipher, sa.transform.hash
    return (
        cipher is not None
        and algorithm is not None
        and not cipher.info.tag
        and len(sa.cipher_key) == cipher.info.key
        and len(sa.iv) == cipher.info.block
        and len(sa.icookie) == len(sa.rcookie) == COOKIE_OCTETS
        and all(len(quick.iv) == cipher.info.block for quick in sa.quick_modes)
        and all(len(quick.peer_spi) == SPI_OCTETS for quick in sa.quick_modes)
    )
