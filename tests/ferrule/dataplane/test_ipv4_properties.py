"""Random headers: nothing raises, and what is called sound is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.dataplane.icmp import fragmentation_needed, quoted_destination
from ferrule.dataplane.ipv4 import clamp_mss, fragment, sound
from support.dataplane import ipv4

headers = st.builds(
    lambda options, protocol, word, payload: ipv4(
        "10.8.0.1",
        "192.0.2.9",
        payload,
        options=options + bytes(-len(options) % 4),
        protocol=protocol,
        fragment=word,
    ),
    st.binary(max_size=40),
    st.sampled_from([1, 6, 17]) | st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.binary(max_size=80),
)


@settings(max_examples=300, deadline=None)
@given(headers | st.binary(max_size=80), st.integers(68, 1500))
def test_any_packet(packet: bytes, mtu: int) -> None:
    checked = sound(packet)
    if checked is None:
        return
    assert packet.startswith(checked)
    assert len(checked) == int.from_bytes(checked[2:4], "big")
    assert len(clamp_mss(checked, mtu)) == len(checked)
    fragmentation_needed(checked, mtu)
    quoted_destination(checked, b"\x0a\x08\x00\x01")
    pieces = fragment(checked, 80)
    assert all(sound(piece) == piece and len(piece) <= 80 for piece in pieces)
