"""Anti-replay window of one inbound IPsec SA (RFC 4303 3.4.3, sliding window of appendix A).

`check` runs before the tag is verified and costs a forger nothing but his packet; `update` runs
after it, so that a forged sequence number never moves the window. No extended sequence numbers.
"""

from __future__ import annotations

from typing import Final

WINDOW_PACKETS: Final = 2048  # RFC 4303 3.4.3 asks for 32; fast paths re-order by hundreds


class ReplayWindow:
    """Which sequence numbers came. Bit i of `bits` stands for `top - i`.

    `top` is the highest number that counts as seen; everything at or below the initial `top`
    counts as seen, so sequence number 0, which is never sent, is a replay from the start.
    """

    __slots__ = ("_mask", "bits", "size", "top")

    def __init__(self, top: int = 0, size: int = WINDOW_PACKETS) -> None:
        self.size = size
        self._mask = (1 << size) - 1
        self.top = top
        self.bits = self._mask

    def check(self, sequence: int) -> bool:
        """True if `sequence` is new: ahead of the window, or in it and not seen."""
        behind = self.top - sequence
        return behind < 0 or (behind < self.size and not self.bits >> behind & 1)

    def update(self, sequence: int) -> None:
        """Mark `sequence`, which `check` let pass and whose tag is good."""
        ahead = sequence - self.top
        if ahead <= 0:
            self.bits |= 1 << -ahead
        else:
            self.top = sequence
            self.bits = (self.bits << ahead | 1) & self._mask if ahead < self.size else 1
