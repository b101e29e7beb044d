"""A TUN device: IP packets to and from the host, without a packet-information header.

Makes the device, or attaches to a persistent one of the same name, also one that is multi-queue
or speaks virtio-net headers (with its offloads switched off). Linux only; errors name the cause.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import Final

DEVICE: Final = "/dev/net/tun"

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNGETIFF = 0x800454D2
_TUNGETVNETHDRSZ = 0x800454D7
_IFF_TUN = 0x0001
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFREQ = struct.Struct("16sH22x")
_OCTETS_MAX = 65_535 + 64
_NAME_MAX = 15

_CAUSES: Final = {
    errno.ENOENT: f"{DEVICE} is missing: load the module tun, or give the container that device",
    errno.ENODEV: f"{DEVICE} has no driver behind it: load the module tun",
    errno.EACCES: f"no permission to open {DEVICE}: run as root, or let the device's mode allow it",
    errno.EPERM: "not allowed: grant CAP_NET_ADMIN, or make the device beforehand for this user",
    errno.EBUSY: "it is in use by another process: stop that, or choose another listen.tun",
    errno.EINVAL: "an interface of that name is there and is no TUN: choose another listen.tun",
}


class TunError(OSError):
    """The TUN can't be used; the message says why and what to do about it."""


def _error(name: str, error: OSError) -> TunError:
    cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    return TunError(f"TUN device {name}: {cause}")


class Tun:
    """One open queue of a TUN device, not blocking. Close it, or use it in a `with`."""

    def __init__(self, name: str) -> None:
        """Make or attach the device `name`; raises TunError."""
        octets = name.encode()
        if not 0 < len(octets) <= _NAME_MAX or b"/" in octets:
            raise TunError(f"TUN device {name!r}: not a name of 1 to 15 octets")
        self.name: Final = name
        self.gone = False  # somebody deleted the device: nothing will come any more
        self.unwritten = 0  # packets that the host did not take
        try:
            self._fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _error(name, error) from error
        try:
            self._header = self._attach(octets)
        except OSError as error:
            os.close(self._fd)
            self._fd = -1
            raise _error(name, error) from error

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
            if not self._is_multi_queue():
                raise
            fcntl.ioctl(self._fd, _TUNSETIFF, _IFREQ.pack(name, flags))
        answer = fcntl.ioctl(self._fd, _TUNGETIFF, bytes(_IFREQ.size))
        # Attaching without VNET_HDR is accepted, and the queue still speaks it: so read it back.
        if not _IFREQ.unpack(answer)[1] & _IFF_VNET_HDR:
            return b""
        fcntl.ioctl(self._fd, _TUNSETOFFLOAD, 0)
        size = fcntl.ioctl(self._fd, _TUNGETVNETHDRSZ, bytes(4))
        return bytes(struct.unpack("i", size)[0])

    def _is_multi_queue(self) -> bool:
        try:
            with open(f"/sys/class/net/{self.name}/tun_flags") as file:
                return bool(int(file.read(), 16) & _IFF_MULTI_QUEUE)
        except (OSError, ValueError):
            return False

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
