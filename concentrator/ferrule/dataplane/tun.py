"""A TUN device: IP packets to and from the host, without a packet-information header.

Makes the device, or attaches to a persistent one of the same name, also one that is multi-queue
or speaks virtio-net headers (with its offloads switched off). Linux only; errors name the cause.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ferrule.dataplane.tun_faults import (
    TunError,
    TunFault,
    attach_error,
    exists,
    make_error,
    open_error,
)

DEVICE: Final = "/dev/net/tun"

_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_TUNSETOFFLOAD = 0x400454D0
_TUNGETIFF = 0x800454D2
_TUNGETVNETHDRSZ = 0x800454D7
_SIOCGIFFLAGS = 0x8913
_IFF_TUN = 0x0001
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFF_RUNNING = 0x0040
_IFREQ = struct.Struct("16sH22x")
_OCTETS_MAX = 65_535 + 64
_NAME_MAX = 15
_NODE_NUMBER: Final = (10, 200)
_NODE_MODE: Final = 0o666


def open_node(name: str) -> int:
    """A descriptor of /dev/net/tun for the device `name`; raises TunError."""
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise open_error(name, DEVICE, error) from error


def make_node(name: str) -> bool:
    """Make the node /dev/net/tun, for everybody, unless it is there; says whether it was made.

    `name` is only for the message. Raises TunError.
    """
    node = Path(DEVICE)
    if node.exists():
        return False
    try:
        os.mknod(node, stat.S_IFCHR | _NODE_MODE, os.makedev(*_NODE_NUMBER))
        node.chmod(_NODE_MODE)  # whatever the umask took away
    except OSError as error:
        raise make_error(name, DEVICE, error) from error
    return True


def make_persistent(name: str, owner: int) -> None:
    """Make the device that stays when nobody has it open, and that uid `owner` may attach to.

    It is multi-queue and speaks virtio-net headers, so that every plane can use it. One that is
    there already is kept. Raises TunError.
    """
    octets = check_name(name)
    descriptor = open_node(name)
    try:
        flags = _IFF_TUN | _IFF_NO_PI | _IFF_MULTI_QUEUE | _IFF_VNET_HDR
        fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(octets, flags))
        fcntl.ioctl(descriptor, _TUNSETOWNER, owner)
        fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
    except OSError as error:
        raise attach_error(name, DEVICE, error) from error
    finally:
        os.close(descriptor)


def check_name(name: str) -> bytes:
    """The octets of an interface's name; raises TunError."""
    octets = name.encode()
    if not 0 < len(octets) <= _NAME_MAX or b"/" in octets:
        raise TunError(repr(name), TunFault.NAME, "not a name of 1 to 15 octets")
    return octets


class Tun:
    """One open queue of a TUN device, not blocking. Close it, or use it in a `with`."""

    def __init__(self, name: str, *, prepared: bool = False) -> None:
        """Make or attach the device `name`; a `prepared` one must be there. Raises TunError."""
        octets = check_name(name)
        self.name: Final = name
        self.gone = False  # somebody deleted the device: nothing will come any more
        self.unwritten = 0  # packets that the host did not take
        if prepared and not exists(name):
            raise TunError(
                name, TunFault.NOT_PREPARED, "it is not there: run ferrule init-tun beforehand"
            )
        self._fd = open_node(name)
        try:
            self._header = self._attach(octets)
        except OSError as error:
            os.close(self._fd)
            self._fd = -1
            raise attach_error(name, DEVICE, error) from error

    def _attach(self, name: bytes) -> bytes:
        """Returns the virtio-net header that goes before each packet: none, if all is well."""
        request = _IFREQ.pack(name, _IFF_TUN | _IFF_NO_PI)
        try:
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # A persistent device takes no queue that disagrees with it about MULTI_QUEUE.
            flags = _IFF_TUN | _IFF_NO_PI | _IFF_MULTI_QUEUE
            fcntl.ioctl(self._fd, _TUNSETIFF, _IFREQ.pack(name, flags))
        answer = fcntl.ioctl(self._fd, _TUNGETIFF, bytes(_IFREQ.size))
        # Attaching without VNET_HDR is accepted, and the queue still speaks it: so read it back.
        if not _IFREQ.unpack(answer)[1] & _IFF_VNET_HDR:
            return b""
        fcntl.ioctl(self._fd, _TUNSETOFFLOAD, 0)
        size = fcntl.ioctl(self._fd, _TUNGETVNETHDRSZ, bytes(4))
        return bytes(struct.unpack("i", size)[0])

    @property
    def running(self) -> bool:
        """The link is up and takes packets. Just after a queue was attached it may not be yet."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, _IFREQ.pack(self.name.encode(), 0))
            except OSError:
                return False
        return bool(_IFREQ.unpack(answer)[1] & _IFF_RUNNING)

    def fileno(self) -> int:
        return self._fd

    def read(self, receive: Callable[[bytes], None], most: int) -> int:
        """Hand up to `most` waiting packets to `receive`; returns how many there were.

        Sets `gone` if the device was deleted: the descriptor stays readable then, for ever.
        """
        descriptor, skip = self._fd, len(self._header)
        for count in range(most):
            try:
                packet = os.read(descriptor, _OCTETS_MAX)
            except BlockingIOError:
                return count
            except OSError:  # EBADFD
                self.gone = True
                return count
            receive(packet[skip:] if skip else packet)
        return most

    def write(self, packet: bytes) -> None:
        """Give one IP packet to the host. What it does not take is counted in `unwritten`."""
        try:
            os.write(self._fd, self._header + packet)
        except OSError:  # EIO: the link is down, EBADFD: gone, EAGAIN: no room, EINVAL: not IP
            self.unwritten += 1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Tun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
