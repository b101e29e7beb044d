"""The reference keeps the contract: every verb of `Plane`, with the same parameters."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from ferrule.dataplane import interface
from ferrule.dataplane.interface import Plane, PlaneCounters, Punt
from ferrule.dataplane.python import PythonPlane
from support.dataplane import Rig

VERBS = [name for name in vars(Plane) if not name.startswith("_")]


@pytest.mark.parametrize("verb", VERBS)
def test_python_plane_has_the_verb_as_the_contract_has_it(verb: str) -> None:
    wanted = inspect.signature(getattr(Plane, verb), eval_str=True)
    found = inspect.signature(getattr(PythonPlane, verb), eval_str=True, globals=vars(interface))
    assert found == wanted


def test_a_plane_begins_with_nothing_counted() -> None:
    plane: Plane = Rig().plane
    assert plane.counters() == PlaneCounters()


def test_every_punt_that_has_a_client_names_it_first() -> None:
    for punt in get_args(Punt):
        names = list(inspect.signature(punt).parameters)
        assert names[0] in ("client", "path"), punt
