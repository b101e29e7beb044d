"""How often a peer may make us do something: a token bucket as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Budget:
    """`burst` at once, then `per_second`. Times are the caller's monotonic seconds."""

    burst: float
    per_second: float
    spent: float = 0.0
    at: float = 0.0

    def spend(self, now: float) -> bool:
        """Take one; False: there is none left."""
        self.spent = max(0.0, self.spent - max(0.0, now - self.at) * self.per_second)
        self.at = now
        if self.spent > self.burst - 1:
            return False
        self.spent += 1
        return True
