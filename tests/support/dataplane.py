"""Two Python planes joined by lists, the IP packets that they carry, and a far end that seals
by hand what no honest peer sends."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from hashlib import shake_128
from ipaddress import IPv4Address

from ferrule.core.checksum import internet_checksum
from ferrule.core.ids import Address, ClientId, Path, SessionId, Spi, TunnelId
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.dataplane.interface import LinkSpec, Policy, Punt, SaSpec, SessionSpec
from ferrule.dataplane.python import PuntLimits, PythonPlane
from ferrule.esp.packet import EspOpener, EspSealer

CBC_SHA1 = EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA1_96)
CBC_SHA256 = EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA2_256_128)
GCM = EspSuite(Cipher.AES128_GCM16, None)
SUITES = (
    CBC_SHA1,
    CBC_SHA256,
    GCM,
    EspSuite(Cipher.AES192_CBC, Integrity.HMAC_SHA2_384_192),
    EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_512_256),
    EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA1_96),
    EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA2_256_128),
    EspSuite(Cipher.AES128_CBC, Integrity.HMAC_MD5_96),
    EspSuite(Cipher.AES256_GCM12, None),
    EspSuite(Cipher.AES256_GCM8, None),
)

SERVER = Address("192.0.2.1", 4500)
HOME = Path(Address("198.51.100.7", 4500), SERVER, natt=True)
AWAY = Path(Address("203.0.113.9", 61234), SERVER, natt=True)
INTERNET = "93.184.216.34"


def key(suite: EspSuite, label: str) -> Secret:
    """KEYMAT that depends on the label alone."""
    return Secret(shake_128(label.encode()).digest(suite.keymat_octets))


def ipv4(
    source: str,
    destination: str,
    payload: bytes = b"",
    *,
    protocol: int = 17,
    fragment: int = 0,
    options: bytes = b"",
    identification: int = 0x1234,
) -> bytes:
    """An IPv4 packet; `fragment` is the whole 16-bit word, DF being 0x4000."""
    octets = 20 + len(options)
    header = struct.pack(
        ">BBHHHBBH4s4s",
        0x40 | octets // 4,
        0,
        octets + len(payload),
        identification,
        fragment,
        64,
        protocol,
        0,
        IPv4Address(source).packed,
        IPv4Address(destination).packed,
    )
    header += options
    checksum = internet_checksum(header)
    return header[:10] + checksum.to_bytes(2, "big") + header[12:] + payload


def udp(
    source: str, destination: str, payload: bytes, ports: tuple[int, int] = (5000, 53)
) -> bytes:
    """An IPv4 packet with a UDP datagram (no checksum)."""
    datagram = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    return ipv4(source, destination, datagram)


def tcp(
    source: str,
    destination: str,
    *,
    flags: int = 0x02,
    options: bytes = b"",
    payload: bytes = b"",
    ip_options: bytes = b"",
    fragment: int = 0x4000,
) -> bytes:
    """An IPv4 packet with a TCP segment whose checksum is right."""
    words = 5 + len(options) // 4
    segment = struct.pack(">HHIIBBHHH", 40000, 443, 1, 0, words << 4, flags, 65535, 0, 0)
    segment += options + payload
    pseudo = IPv4Address(source).packed + IPv4Address(destination).packed
    pseudo += struct.pack(">HH", 6, len(segment))
    checksum = internet_checksum(pseudo + segment)
    segment = segment[:16] + checksum.to_bytes(2, "big") + segment[18:]
    return ipv4(source, destination, segment, protocol=6, options=ip_options, fragment=fragment)


def tcp_checksum_holds(packet: bytes) -> bool:
    header = (packet[0] & 15) * 4
    segment = packet[header:]
    pseudo = packet[12:20] + struct.pack(">HH", 6, len(segment))
    return internet_checksum(pseudo + segment) == 0


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Others:
    """The other members: what they have, and what the plane gave them."""

    serving: bool = True
    spis: set[int] = field(default_factory=set)
    addresses: set[bytes] = field(default_factory=set)
    away: bool = False  # nobody can be reached
    esp: list[tuple[Path, int, bytes]] = field(default_factory=list)
    ip: list[tuple[bytes, bool]] = field(default_factory=list)

    def may_serve(self) -> bool:
        return self.serving

    def take_esp(self, path: Path, spi: Spi, datagram: bytes) -> bool:
        if self.away or spi not in self.spis:
            return False
        self.esp.append((path, spi, datagram))
        return True

    def take_ip(self, packet: bytes, destination: bytes, *, from_client: bool) -> bool:
        assert destination == packet[16:20]
        if self.away or destination not in self.addresses:
            return False
        self.ip.append((packet, from_client))
        return True


@dataclass
class Rig:
    """A plane with everything that it does kept in lists."""

    limits: PuntLimits | None = None
    elsewhere: Others | None = None
    clock: Clock = field(default_factory=Clock)
    punts: list[Punt] = field(default_factory=list)
    sent: list[tuple[Path, bytes]] = field(default_factory=list)
    delivered: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plane = PythonPlane(
            clock=self.clock,
            punt=self.punts.append,
            transmit=lambda path, data: self.sent.append((path, data)),
            deliver=self.delivered.append,
            limits=self.limits,
            elsewhere=self.elsewhere,
        )

    @property
    def drops(self) -> dict[str, int]:
        return self.plane.counters().drops

    def take(self) -> list[Punt]:
        """The punts since the last call."""
        punts, self.punts[:] = list(self.punts), []
        return punts

    def take_sent(self) -> list[tuple[Path, bytes]]:
        sent, self.sent[:] = list(self.sent), []
        return sent


@dataclass
class Host:
    """A client as its server's plane has it, and the far end that seals and opens by hand."""

    rig: Rig
    number: int = 1
    suite: EspSuite = CBC_SHA1
    path: Path = HOME
    policy: Policy = field(default_factory=Policy)
    sequencing: bool = False
    mtu: int = 1400
    life_octets: int = 0
    bound: bool = True

    def __post_init__(self) -> None:
        self.client = ClientId(self.number)
        self.tunnel = TunnelId(10 + self.number)
        self.session = SessionId(20 + self.number)
        self.address = f"10.8.0.{self.number}"
        self.sealers: dict[int, EspSealer] = {}
        self.openers: dict[int, EspOpener] = {}
        self.spi = self.install(active=True)
        self.rig.plane.add_link(
            LinkSpec(
                self.client, self.tunnel, self.session, TunnelId(7), SessionId(9), self.sequencing
            )
        )
        if self.bound:
            self.rig.plane.bind_session(self.binding())

    def binding(self) -> SessionSpec:
        return SessionSpec(
            client=self.client,
            tunnel=self.tunnel,
            session=self.session,
            address=IPv4Address(self.address).packed,
            mtu=self.mtu,
            policy=self.policy,
        )

    def sa_spec(self, spi: int, **changes: object) -> SaSpec:
        spec = SaSpec(
            client=self.client,
            inbound_spi=Spi(spi),
            outbound_spi=Spi(spi + 0x10000),
            suite=self.suite,
            inbound_key=key(self.suite, f"up {spi}"),
            outbound_key=key(self.suite, f"down {spi}"),
            life_octets=self.life_octets,
            path=self.path,
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    def install(self, *, active: bool = False) -> Spi:
        """One more pair of SAs, and the far end's side of it."""
        spi = Spi(0x1000 * self.number + len(self.sealers))
        spec = self.sa_spec(spi, active=active)
        self.rig.plane.install_sa(spec)
        self.sealers[spi] = EspSealer(self.suite, spec.inbound_key, spi)
        outbound = spec.outbound_spi
        self.openers[outbound] = EspOpener(self.suite, spec.outbound_key, outbound)
        return spi

    def up(self, payload: bytes, *, path: Path | None = None, spi: int | None = None) -> bytes:
        """Seal an ESP payload, hand it to the plane; the datagram."""
        datagram = self.sealers[spi or self.spi].seal(payload)
        self.rig.plane.receive_datagram(path or self.path, datagram)
        return datagram

    def up_l2tp(self, message: bytes, *, port: int = 1701, path: Path | None = None) -> bytes:
        return self.up(udp_header(message, port) + message, path=path)

    def up_frame(self, frame: bytes) -> bytes:
        header = struct.pack(">HHH", 0x0002, self.tunnel, self.session)
        return self.up_l2tp(header + frame)

    def up_ip(self, packet: bytes) -> bytes:
        return self.up_frame(b"\xff\x03\x00\x21" + packet)

    def open(self, datagram: bytes) -> bytes:
        """The ESP payload of what the plane sent."""
        return self.openers[int.from_bytes(datagram[:4], "big")].open(datagram)

    def down_l2tp(self) -> list[bytes]:
        """L2TP messages that the plane sent since the last call."""
        return [self.open(data)[8:] for _, data in self.rig.take_sent()]

    def down_ip(self) -> list[bytes]:
        """IP packets that the plane sent since the last call."""
        octets = 10 if self.sequencing else 6
        messages = self.down_l2tp()
        assert all(m[octets : octets + 4] == b"\xff\x03\x00\x21" for m in messages)
        return [m[octets + 4 :] for m in messages]


def udp_header(message: bytes, port: int = 1701) -> bytes:
    return struct.pack(">HHHH", port, 1701, 8 + len(message), 0xBEEF)
