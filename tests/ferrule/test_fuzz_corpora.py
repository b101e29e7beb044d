"""The fuzzers' corpora as plain tests, without a fuzzer: seeds, and inputs that once crashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from fuzz.all_targets import TARGETS
from fuzz.registry import Target, join_records, records
from fuzz.seeds import CORPORA, seeds

FILES = sorted(path for path in CORPORA.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_replay(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_short_and_plain_inputs(name: str) -> None:
    for data in (b"", *(bytes((octet,)) for octet in range(256)), bytes(300), b"\xff" * 300):
        TARGETS[name](data)


def test_every_target_has_seeds() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)


def test_seeds_are_what_the_builders_build() -> None:
    """`PYTHONPATH=tests python -m fuzz.seeds` writes them anew."""
    built = {
        (target, name): data for target, files in seeds().items() for name, data in files.items()
    }
    kept = {
        (path.parent.name, path.name): path.read_bytes()
        for path in FILES
        if not path.name.startswith("crash-")
    }
    assert kept == built


def test_a_target_tolerates_only_what_its_layer_raises() -> None:
    def fault(data: bytes) -> None:
        raise Malformed(Reason.IKE_MALFORMED, "the peer's fault") if data else KeyError("ours")

    target = Target("fault", fault, (Malformed,), 10)
    target(b"x")
    with pytest.raises(KeyError):
        target(b"")


def test_records_are_taken_apart_as_they_were_joined() -> None:
    messages = [b"", b"a", bytes(300)]
    assert list(records(join_records(*messages))) == messages
    assert list(records(join_records(b"abc")[:-1])) == [b"ab"]
    assert list(records(b"\0")) == []
