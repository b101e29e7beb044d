"""UDP ports: what the kernel hands over becomes (Path, octets), and back.

A port that listens on every address asks the kernel which of ours a datagram reached
(IP_PKTINFO), and answers from that one: a client believes no other.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TypeAlias

from ferrule.core.ids import Address, Path

IP_PKTINFO = 8
SO_RCVBUFFORCE = 33
_IN_PKTINFO = struct.Struct("=i4s4s")  # interface index, local address, destination address
_DATAGRAM_MAX = 65_535
_PATHS_MAX = 8192  # paths kept so that a packet of a known peer allocates none

Receive: TypeAlias = Callable[[Path, bytes], None]
_Key: TypeAlias = tuple[tuple[str, int], bytes]


class UdpPort:
    """One bound, non-blocking IPv4 socket."""

    def __init__(self, host: str, port: int, *, natt: bool, receive_buffer: int = 8 << 20) -> None:
        """Binds; raises OSError. `receive_buffer` is wanted in octets, see `receive_octets`."""
        self._natt = natt
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._wildcard = host in ("", "0.0.0.0")
            if self._wildcard:
                self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._raise_buffers(receive_buffer)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.local = Address(*self._socket.getsockname())
        self._paths: dict[_Key, Path] = {}
        self.send_errors = 0

    def _raise_buffers(self, octets: int) -> None:
        for forced, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (32, socket.SO_SNDBUF)):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, octets)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, plain, octets)

    @property
    def receive_octets(self) -> int:
        """The receive buffer that the kernel granted (it doubles what it is asked for)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self, receive: Receive, most: int) -> int:
        """Hand up to `most` waiting datagrams to `receive`; returns how many there were."""
        if not self._wildcard:
            return self._read_bound(receive, most)
        recvmsg, paths = self._socket.recvmsg, self._paths
        for count in range(most):
            try:
                data, ancillary, _, peer = recvmsg(_DATAGRAM_MAX, 64)
            except BlockingIOError:
                return count
            except ConnectionError:
                continue  # an ICMP error to something we sent earlier
            key = (peer, ancillary[0][2] if ancillary else b"")
            receive(paths.get(key) or self._path(key), data)
        return most

    def _read_bound(self, receive: Receive, most: int) -> int:
        recvfrom, paths = self._socket.recvfrom, self._paths
        for count in range(most):
            try:
                data, peer = recvfrom(_DATAGRAM_MAX)
            except BlockingIOError:
                return count
            except ConnectionError:
                continue
            key = (peer, b"")
            receive(paths.get(key) or self._path(key), data)
        return most

    def _path(self, key: _Key) -> Path:
        peer, pktinfo = key
        host = self.local.host
        if pktinfo:
            host = socket.inet_ntoa(_IN_PKTINFO.unpack(pktinfo)[2])
        if len(self._paths) >= _PATHS_MAX:
            self._paths.clear()
        path = Path(Address(*peer), Address(host, self.local.port), self._natt)
        self._paths[key] = path
        return path

    def send(self, path: Path, data: bytes) -> None:
        """Send to the peer of `path`, from our address of it. A full buffer loses the datagram,
        as the network would; other errors are counted in `send_errors`."""
        try:
            if self._wildcard:
                pktinfo = _IN_PKTINFO.pack(0, socket.inet_aton(path.local.host), bytes(4))
                self._socket.sendmsg(
                    (data,), ((socket.IPPROTO_IP, IP_PKTINFO, pktinfo),), 0, path.peer
                )
            else:
                self._socket.sendto(data, path.peer)
        except OSError:
            self.send_errors += 1
