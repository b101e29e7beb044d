"""How long and how often, in seconds. What an operator may change stands in the policy instead."""

from __future__ import annotations

from typing import Final

HALF_OPEN_SECONDS: Final = 30.0  # a phase 1 that has not come up by then is over
RETRANSMIT_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 8.0)  # after the last one the exchange is over
QUICK_MODE_SECONDS: Final = (2.0, 4.0, 8.0, 16.0)  # message 2; the initiator repeats its own
QUICK_MODE_MEMORY_SECONDS: Final = 60.0  # duplicates of a finished Quick Mode are recognised
HINT_SECONDS: Final = 2.0  # how long an exchange outlives an unauthenticated refusal
# DEVIATION: SAs live this much longer than agreed, so that the side that asked for the lifetime
# acts on it first and a rekey at the last second does not meet a Delete.
LIFE_GRACE_SECONDS: Final = 10.0
DPD_RETRY_SECONDS: Final = 5.0
DPD_TRIES: Final = 5
