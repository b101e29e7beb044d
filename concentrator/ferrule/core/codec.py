"""A bounds-checked reader over received octets. It never over-reads: it raises `Malformed`.

Building needs no counterpart: `struct.pack`, `int.to_bytes` and `b"".join` serve.
"""

from __future__ import annotations

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason


class Reader:
    """Reads big-endian fields off `data`, front to back.

    `reason` is the reason of the `Malformed` raised when the octets run out.
    """

    __slots__ = ("_at", "_data", "_end", "_reason")

    def __init__(self, data: bytes, reason: Reason) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)
        self._reason = reason

    @property
    def left(self) -> int:
        """Octets not read yet."""
        return self._end - self._at

    def take(self, octets: int) -> bytes:
        """The next `octets` octets."""
        end = self._at + octets
        if octets < 0 or end > self._end:
            raise Malformed(self._reason, f"{octets} octets wanted, {self.left} left")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.left)

    def finish(self) -> None:
        """Raise `Malformed` unless everything was read."""
        if self.left:
            raise Malformed(self._reason, f"{self.left} octets too many")
