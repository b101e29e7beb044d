"""The attacker's place on the server's cable: it overhears, and sends as whoever it likes.

One AF_PACKET socket on a device that all of the server's frames pass. What is sent here is not
overheard here. A filter in the kernel leaves two things to overhear: what the server sends, and
what the victim's host sends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from dataclasses import dataclass

from ferrule.core.checksum import internet_checksum
from ferrule.core.ids import Address
from ferrule.runtime.demo_net import Namespace

ETHERTYPE_IPV4 = 0x0800
UDP = 17
HARDWARE = bytes.fromhex("02fe00000666")  # where the attacker's frames come from
PAYLOAD_MAX = 1472  # octets of a datagram in one frame

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_HEADERS = _ETHERNET.size + _IPV4.size + _UDP.size
_SIOCGIFHWADDR = 0x8927
_SO_ATTACH_FILTER = 26
_BUFFER_OCTETS = 16 << 20
_SO_RCVBUFFORCE = 33


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram as it went over the wire."""

    source: Address
    destination: Address
    payload: bytes


def rig_namespace(name: str) -> Namespace:
    """A namespace that `ip netns` knows."""
    return Namespace(os.open(f"/var/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC))


def hardware_address(namespace: Namespace, device: str) -> bytes:
    """The six octets of a device's address."""

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16s24x", device.encode())
            return fcntl.ioctl(any_socket, _SIOCGIFHWADDR, request)[18:24]

    return namespace.run(ask)


def build_frame(hardware: bytes, datagram: Datagram) -> bytes:
    """A whole Ethernet frame to `hardware`; no UDP checksum, which IPv4 allows."""
    length = _UDP.size + len(datagram.payload)
    source, destination = datagram.source, datagram.destination

    def header(checksum: int) -> bytes:
        return _IPV4.pack(
            0x45,
            0,
            _IPV4.size + length,
            0,
            0,
            64,
            UDP,
            checksum,
            socket.inet_aton(source.host),
            socket.inet_aton(destination.host),
        )

    return (
        _ETHERNET.pack(hardware, HARDWARE, ETHERTYPE_IPV4)
        + header(internet_checksum(header(0)))
        + _UDP.pack(source.port, destination.port, length, 0)
        + datagram.payload
    )


def parse_frame(frame: bytes) -> Datagram | None:
    """The datagram in a frame; None for fragments and everything else."""
    if len(frame) < _HEADERS or frame[12:14] != b"\x08\x00":
        return None
    fields = _IPV4.unpack_from(frame, _ETHERNET.size)
    if fields[0] != 0x45 or fields[6] != UDP or fields[4] & 0x3FFF:
        return None
    source_port, destination_port, length, _ = _UDP.unpack_from(frame, _HEADERS - _UDP.size)
    return Datagram(
        Address(socket.inet_ntoa(fields[8]), source_port),
        Address(socket.inet_ntoa(fields[9]), destination_port),
        frame[_HEADERS : _HEADERS - _UDP.size + length],
    )


class Wire:
    """`device` in `namespace` is the last before the server, whose own one has `hardware`."""

    def __init__(
        self, namespace: Namespace, device: str, hardware: bytes, server: str, victim: str
    ) -> None:
        self.namespace = namespace
        self.device = device
        self.hardware = hardware
        self.server = server
        self._socket = namespace.run(lambda: open_tap(device, udp_from(server, victim)))

    def close(self) -> None:
        self._socket.close()

    def send(self, source: Address, port: int, payload: bytes) -> int:
        """A datagram to the server's `port` as from `source`; returns its octets of payload."""
        datagram = Datagram(source, Address(self.server, port), payload[:PAYLOAD_MAX])
        self._socket.send(build_frame(self.hardware, datagram))
        return len(datagram.payload)

    def overhear(self, timeout: float) -> Datagram | None:
        """The next datagram; None if there was no frame for `timeout` seconds, or no datagram."""
        self._socket.settimeout(timeout)
        try:
            return parse_frame(self._socket.recv(65_535))
        except TimeoutError:
            return None


def open_tap(device: str, program: bytes) -> socket.socket:
    """What passes a device of this thread's namespace, in and out, filtered."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    buffer = ctypes.create_string_buffer(program)
    filtering = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtering)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
    opened.bind((device, 3))  # ETH_P_ALL: what goes out too
    return opened


def udp_from(*sources: str) -> bytes:
    """Classic BPF: UDP over IPv4 from one of `sources`."""
    load_half, load_byte, load_word, equal, give = 0x28, 0x30, 0x20, 0x15, 0x06
    count = len(sources)
    rows = [
        (load_half, 0, 0, 12),
        (equal, 0, count + 3, ETHERTYPE_IPV4),
        (load_byte, 0, 0, 23),
        (equal, 0, count + 1, UDP),
        (load_word, 0, 0, 26),
    ]
    for number, source in enumerate(sources):
        address = int.from_bytes(socket.inet_aton(source), "big")
        rows.append((equal, count - number, 0, address))
    rows += [(give, 0, 0, 0), (give, 0, 0, 0xFFFF)]
    return b"".join(struct.pack("HBBI", *row) for row in rows)
