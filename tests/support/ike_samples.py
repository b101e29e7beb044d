"""One of each payload, and octets with a few mistakes in them."""

from __future__ import annotations

from hypothesis import strategies as st

from ferrule.ike.iana import PayloadType
from ferrule.ike.payloads import (
    Delete,
    HashPayload,
    Identification,
    KeyExchange,
    NatD,
    NatOa,
    Nonce,
    Notification,
    Opaque,
    Payload,
    VendorId,
    security_association,
)
from ferrule.ike.proposals import Proposal, offer

PROPOSALS = [
    Proposal(1, 1, b"", [offer(1, ((1, 7), (14, 256)), 1), offer(1, ((1, 5), (12, 100_000)), 2)]),
    Proposal(2, 3, b"\1\2\3\4", [offer(12, ((4, 61_444),), 1)]),
]
PAYLOADS: list[Payload] = [
    security_association(PROPOSALS),
    KeyExchange(b"value"),
    Nonce(b"nonce"),
    Identification(1, 17, 1701, b"\12\0\0\1"),
    HashPayload(b"hash"),
    Notification(1, 1, b"spi", 24_578, b"data"),
    Delete(1, 3, (b"\1\2\3\4", b"\5\6\7\10")),
    VendorId(b"vendor"),
    NatD(b"one"),
    NatD(b"two", draft=True),
    NatOa(1, b"\12\0\0\1"),
    NatOa(5, bytes(16), draft=True),
    Opaque(PayloadType.CERTIFICATE, b"\4x"),
    Opaque(PayloadType.CERTIFICATE_REQUEST, b"\4"),
    Opaque(PayloadType.SIGNATURE, b"sig"),
    Opaque(PayloadType.ATTRIBUTES, b"\1\0\0\0"),
]


def mutated(octets: bytes) -> st.SearchStrategy[bytes]:
    """`octets` with a few of them changed, taken out or put in."""
    value = st.integers(0, 255)
    edit = st.tuples(st.integers(0, len(octets)), value, st.sampled_from("=-+"))

    def apply(edits: list[tuple[int, int, str]]) -> bytes:
        changed = bytearray(octets)
        for at, new, how in edits:
            if how == "+":
                changed.insert(at, new)
            elif at < len(changed):
                if how == "=":
                    changed[at] = new
                else:
                    del changed[at]
        return bytes(changed)

    return st.lists(edit, max_size=4).map(apply)
