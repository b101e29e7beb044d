"""Each step's error numbers lead to a cause, a remedy, and one word that tools can count on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable

import pytest

from ferrule.dataplane import tun_faults
from ferrule.dataplane.tun_faults import (
    TunError,
    TunFault,
    attach_error,
    make_error,
    open_error,
)

NODE = "/dev/net/tun"
Make = Callable[[str, str, OSError], TunError]


@pytest.mark.parametrize(
    ("make", "code", "fault", "words"),
    [
        (make_error, errno.ENOENT, TunFault.NODE_MISSING, "no folder for /dev/net/tun"),
        (make_error, errno.EPERM, TunFault.NODE_NOT_MADE, "CAP_MKNOD"),
        (make_error, errno.EACCES, TunFault.NODE_NOT_MADE, "medium: Memory"),
        (make_error, errno.EROFS, TunFault.NODE_NOT_MADE, "read-only"),
        (make_error, errno.ENOSPC, TunFault.OTHER, "No space left"),
        (open_error, errno.ENOENT, TunFault.NODE_MISSING, "load the module tun"),
        (open_error, errno.ENODEV, TunFault.NODE_MISSING, "no driver behind it"),
        (open_error, errno.ENXIO, TunFault.NODE_MISSING, "no driver behind it"),
        (open_error, errno.EPERM, TunFault.NODE_DENIED, "device plugin"),
        (open_error, errno.EACCES, TunFault.NODE_UNREADABLE, "its mode be 0666"),
        (open_error, errno.EMFILE, TunFault.OTHER, "Too many open files"),
        (attach_error, errno.EPERM, TunFault.NOT_ALLOWED, "CAP_NET_ADMIN"),
        (attach_error, errno.EBUSY, TunFault.BUSY, "in use by another process"),
        (attach_error, errno.EINVAL, TunFault.MISMATCH, "is no TUN"),
        (attach_error, errno.ENOTTY, TunFault.MISMATCH, "character device 10, 200"),
        (attach_error, errno.ENOMEM, TunFault.OTHER, "Cannot allocate"),
    ],
)
def test_a_number_has_a_cause(make: Make, code: int, fault: TunFault, words: str) -> None:
    error = make("ferrule0", NODE, OSError(code, os.strerror(code)))
    assert error.fault is fault
    assert str(error).startswith("TUN device ferrule0: ")
    assert words in str(error)
    assert "{" not in str(error)


def test_a_volume_without_devices_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Answer:
        f_flag = os.ST_NODEV

    def statvfs(path: str) -> Answer:
        asked.append(path)
        return Answer()

    monkeypatch.setattr(tun_faults.os, "statvfs", statvfs)
    error = open_error("ferrule0", NODE, OSError(errno.EACCES, "Permission denied"))
    assert asked == [NODE]
    assert error.fault is TunFault.NODE_UNREADABLE
    assert "mounted nodev: use an emptyDir with medium: Memory" in str(error)


@pytest.mark.parametrize("fault", list(TunFault))
def test_a_fault_is_a_reason_as_kubernetes_writes_them(fault: TunFault) -> None:
    assert re.fullmatch(r"Tun[A-Z][A-Za-z]+", fault)
