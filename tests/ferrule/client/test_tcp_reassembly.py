"""The receive queue: the stream comes out whole, whatever the order of its pieces."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.client.tcp_reassembly import WINDOW_OCTETS, Reassembly
from ferrule.client.tcp_segment import MODULUS, Flag, Segment


def piece(sequence: int, data: bytes, fin: bool = False) -> Segment:
    flags = Flag.ACK | Flag.FIN if fin else Flag.ACK
    return Segment(80, 5000, sequence % MODULUS, 0, flags, 100, data)


@settings(max_examples=200, deadline=None)
@given(
    stream=st.binary(min_size=1, max_size=300),
    first=st.sampled_from([0, 1, MODULUS - 100, MODULUS - 1]),
    seed=st.integers(0, 1 << 30),
)
def test_any_cutting_in_any_order(stream: bytes, first: int, seed: int) -> None:
    rng = random.Random(seed)
    pieces = []
    for _ in range(rng.randrange(1, 30)):
        start = rng.randrange(len(stream))
        end = rng.randrange(start, len(stream)) + 1
        pieces.append(piece(first + start, stream[start:end], fin=end == len(stream)))
    step = rng.randrange(1, 40)
    for at in range(0, len(stream), step):  # in the end everything comes
        last = at + step >= len(stream)
        pieces.append(piece(first + at, stream[at : at + step], fin=last))
    queue = Reassembly(first)
    got = b"".join(out for one in pieces for out in queue.take(one))
    assert got == stream
    assert queue.finished
    assert queue.expected == (first + len(stream) + 1) % MODULUS


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, MODULUS - 1), st.binary(max_size=20), st.booleans())))
def test_hostile_segments_hold_no_memory(segments: list[tuple[int, bytes, bool]]) -> None:
    queue = Reassembly(1000)
    for sequence, data, fin in segments:
        queue.take(piece(sequence, data, fin))
        assert len(queue._early) <= 512
        assert sum(map(len, queue._early.values())) <= WINDOW_OCTETS


def test_nothing_comes_after_the_fin() -> None:
    queue = Reassembly(10)
    assert queue.take(piece(10, b"end", fin=True)) == [b"end"]
    assert queue.finished
    assert queue.take(piece(14, b"more")) == []
    assert queue.expected == 14
