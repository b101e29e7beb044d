"""UDP ports: what the kernel hands over becomes (Path, octets), and back.

A port that listens on every address asks the kernel which of ours a datagram reached
(IP_PKTINFO), and answers from that one: a client believes no other. The NAT-T port is two
sockets, so that strangers who fill the queue of IKE displace no packet of a client.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from ferrule.core.ids import Address, Path

IP_PKTINFO = 8
SO_RCVBUFFORCE = 33
SO_ATTACH_REUSEPORT_CBPF = 51
SO_MEMINFO = 55
_IN_PKTINFO = struct.Struct("=i4s4s")  # interface index, local address, destination address
_DATAGRAM_MAX = 65_535
_PATHS_MAX = 8192  # paths kept so that a packet of a known peer allocates none
_MEMINFO = struct.Struct("=9I")  # linux/sock_diag.h: the last is how many were dropped

# Classic BPF over the payload: socket 1 for four zero octets (RFC 3948 2.2), else socket 0.
# A payload without four octets ends the program with 0.
_STEER = b"".join(
    struct.pack("=HBBI", *row)
    for row in (
        (0x20, 0, 0, 0),  # load the word at 0
        (0x15, 0, 1, 0),  # zero?
        (0x06, 0, 0, 1),
        (0x06, 0, 0, 0),
    )
)

Receive: TypeAlias = Callable[[Path, bytes], None]
_Key: TypeAlias = tuple[tuple[str, int], bytes]


_CAUSES: Final = {
    errno.EACCES: "ports below 1024 are not for this user: choose higher ones and map them, run as "
    "root, or lower the sysctl net.ipv4.ip_unprivileged_port_start",
    errno.EADDRINUSE: "in use by another process: stop that, or choose another port",
    errno.EADDRNOTAVAIL: "that address is none of this host's: correct listen.address",
}


class UdpPort:
    """One bound, non-blocking IPv4 socket."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        natt: bool,
        receive_buffer: int = 8 << 20,
        keep_paths: bool = True,
        shared: bool = False,
    ) -> None:
        """Binds; raises OSError. `receive_buffer` is wanted in octets, see `receive_octets`.

        `keep_paths`: peers come again, so that their paths are worth the memory. `shared`: with
        other such sockets of this user."""
        self._natt = natt
        self._keep_paths = keep_paths
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if shared:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._wildcard = host in ("", "0.0.0.0")
            if self._wildcard:
                self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._raise_buffers(receive_buffer)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            cause = _CAUSES.get(error.errno or 0, error.strerror)
            raise OSError(f"UDP port {port} of {host or '0.0.0.0'}: {cause}") from error
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

    @property
    def overflowed(self) -> int:
        """Datagrams that the kernel dropped, most often because the receive buffer was full."""
        octets = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(octets)[-1])

    def steer_by_marker(self) -> None:
        """Of two sockets that share the port, the second gets IKE. Raises OSError."""
        program = ctypes.create_string_buffer(_STEER, len(_STEER))
        filtering = struct.pack("HP", len(_STEER) // 8, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, filtering)

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
        if self._keep_paths:
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


def open_natt_port(
    host: str, port: int, *, receive_buffer: int = 8 << 20
) -> tuple[UdpPort, UdpPort | None]:
    """The socket of ESP, and that of IKE; None where the kernel does not steer, and the first gets
    both. Raises OSError, as for any port that is taken."""
    # Without sharing first: a second server of this user must not join the port.
    UdpPort(host, port, natt=True, receive_buffer=receive_buffer).close()
    esp = UdpPort(host, port, natt=True, receive_buffer=receive_buffer, shared=True)
    try:
        ike = UdpPort(
            host,
            esp.local.port,
            natt=True,
            receive_buffer=receive_buffer,
            keep_paths=False,
            shared=True,
        )
    except OSError:
        esp.close()
        raise
    try:
        esp.steer_by_marker()
    except OSError:
        ike.close()
        return esp, None
    return esp, ike
