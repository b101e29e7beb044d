"""Importing this registers every target."""

from __future__ import annotations

import fuzz.cluster
import fuzz.ike_machines
import fuzz.machines
import fuzz.parsers  # noqa: F401
from fuzz.registry import TARGETS

__all__ = ["TARGETS"]
