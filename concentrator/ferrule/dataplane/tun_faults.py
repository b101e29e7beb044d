"""Why a TUN device can't be had: one word for a machine, and a sentence with the remedy.

A table of error numbers for each step (making the node, opening it, attaching to the device), for
the same number means different things at each of them. In containers these are what people meet.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class TunFault(StrEnum):
    """What is wrong, in one word; `ferrule init-tun` hands it on as the reason of a condition."""

    NAME = "TunNameInvalid"
    NODE_MISSING = "TunNodeMissing"
    NODE_NOT_MADE = "TunNodeNotMade"
    NODE_DENIED = "TunNodeDenied"
    NODE_UNREADABLE = "TunNodeUnreadable"
    NOT_ALLOWED = "TunNotAllowed"
    NOT_PREPARED = "TunNotPrepared"
    BUSY = "TunBusy"
    MISMATCH = "TunMismatch"
    OTHER = "TunFailed"


_Causes: TypeAlias = Mapping[int, tuple[TunFault, str]]

_MAKE: Final[_Causes] = {
    errno.ENOENT: (
        TunFault.NODE_MISSING,
        "there is no folder for {node}: load the module tun, or, in a pod, mount a volume there "
        "that the main container mounts too",
    ),
    errno.EPERM: (
        TunFault.NODE_NOT_MADE,
        "making {node} was not allowed: grant CAP_MKNOD to uid 0, or give the pod the device by a "
        "device plugin (podSecurity.tunResource), which is the only way with hostUsers: false",
    ),
    errno.EACCES: (
        TunFault.NODE_NOT_MADE,
        "no permission to write the folder of {node}: mount an emptyDir with medium: Memory there",
    ),
    errno.EROFS: (
        TunFault.NODE_NOT_MADE,
        "the folder of {node} is read-only: mount an emptyDir with medium: Memory there",
    ),
}
_OPEN: Final[_Causes] = {
    errno.ENOENT: (
        TunFault.NODE_MISSING,
        "{node} is missing: load the module tun, or give the container that device",
    ),
    errno.ENODEV: (
        TunFault.NODE_MISSING,
        "{node} has no driver behind it: load the module tun",
    ),
    errno.ENXIO: (
        TunFault.NODE_MISSING,
        "{node} has no driver behind it: load the module tun",
    ),
    errno.EPERM: (
        TunFault.NODE_DENIED,
        "the container runtime's device list keeps {node} away (open: EPERM): give the pod the "
        "device by a device plugin (podSecurity.tunResource)",
    ),
    errno.EACCES: (
        TunFault.NODE_UNREADABLE,
        "no permission to open {node}: run as root, or let its mode be 0666",
    ),
}
_ATTACH: Final[_Causes] = {
    errno.EBUSY: (
        TunFault.BUSY,
        "it is in use by another process: stop that, or choose another listen.tun",
    ),
    errno.EINVAL: (
        TunFault.MISMATCH,
        "an interface of that name is there and is no TUN, or one with other flags: choose another "
        "listen.tun, or delete it",
    ),
    errno.ENOTTY: (
        TunFault.MISMATCH,
        "{node} is not the TUN driver's (character device 10, 200): remove it",
    ),
}
_NODEV: Final = "the volume of {node} is mounted nodev: use an emptyDir with medium: Memory"


class TunError(OSError):
    """The TUN can't be used; the message says why and what to do about it."""

    def __init__(self, name: str, fault: TunFault, cause: str) -> None:
        super().__init__(f"TUN device {name}: {cause}")
        self.fault: Final = fault


def make_error(name: str, node: str, error: OSError) -> TunError:
    """For a `node` that could not be made."""
    return _error(_MAKE, name, node, error)


def open_error(name: str, node: str, error: OSError) -> TunError:
    """For a `node` that could not be opened."""
    if error.errno == errno.EACCES and _is_nodev(node):
        return TunError(name, TunFault.NODE_UNREADABLE, _NODEV.format(node=node))
    return _error(_OPEN, name, node, error)


def attach_error(name: str, node: str, error: OSError) -> TunError:
    """For an open `node` that did not become the device `name`."""
    if error.errno == errno.EPERM:
        return TunError(name, TunFault.NOT_ALLOWED, _why_not_allowed(name))
    return _error(_ATTACH, name, node, error)


def exists(name: str) -> bool:
    """There is an interface of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _error(causes: _Causes, name: str, node: str, error: OSError) -> TunError:
    fallback = (TunFault.OTHER, f"{{node}}: {error.strerror or error}")
    fault, cause = causes.get(error.errno or 0, fallback)
    return TunError(name, fault, cause.format(node=node))


def _why_not_allowed(name: str) -> str:
    if not exists(name):
        return (
            "making it was not allowed: grant CAP_NET_ADMIN to uid 0 (another user of a container "
            "does not get it), or make it beforehand with ferrule init-tun"
        )
    return (
        f"it belongs to {_owner(name)}, and this is uid {os.geteuid()}: run as that user, or grant "
        "CAP_NET_ADMIN"
    )


def _owner(name: str) -> str:
    try:
        with open(f"/sys/class/net/{name}/owner") as file:
            return f"uid {int(file.read())}".replace("uid -1", "root")
    except (OSError, ValueError):
        return "somebody else"


def _is_nodev(node: str) -> bool:
    try:
        return bool(os.statvfs(node).f_flag & os.ST_NODEV)
    except OSError:
        return False
