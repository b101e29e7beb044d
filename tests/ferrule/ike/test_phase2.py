"""Selectors that L2TP/IPsec may have."""

import pytest

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ike.iana import IdType
from ferrule.ike.payloads import Identification
from ferrule.ike.phase2 import check_selectors

GOOD = Identification(IdType.IPV4_ADDR, 17, 1701, bytes(4))


@pytest.mark.parametrize(
    ("own", "accepted"),
    [
        (Identification(IdType.IPV4_ADDR, 17, 1701, bytes(4)), True),
        (Identification(IdType.IPV4_ADDR, 0, 0, bytes(4)), True),
        (Identification(IdType.IPV4_ADDR_SUBNET, 17, 1701, bytes(4) + b"\xff" * 4), True),
        (Identification(IdType.IPV6_ADDR, 17, 1701, bytes(16)), True),
        (Identification(IdType.IPV6_ADDR_SUBNET, 17, 1701, bytes(16) + b"\xff" * 16), True),
        (Identification(IdType.FQDN, 17, 1701, b"vpn"), True),
        (Identification(IdType.IPV4_ADDR, 6, 1701, bytes(4)), False),
        (Identification(IdType.IPV4_ADDR, 17, 53, bytes(4)), False),
        (Identification(IdType.IPV4_ADDR, 17, 1701, bytes(5)), False),
        (Identification(IdType.IPV4_ADDR_SUBNET, 17, 1701, bytes(8)), False),
        (Identification(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes(4) + b"\xff\xff\xff\0"), False),
        (Identification(IdType.IPV4_ADDR_RANGE, 17, 1701, bytes(8)), False),
        (Identification(IdType.KEY_ID, 17, 1701, b"x"), False),
        (Identification(77, 17, 1701, b""), False),
    ],
)
def test_which_selectors_are_l2tp(own: Identification, accepted: bool) -> None:
    if accepted:
        check_selectors(own, GOOD)
        return
    with pytest.raises(ProtocolError) as caught:
        check_selectors(own, GOOD)
    assert caught.value.reason is Reason.TRAFFIC_SELECTOR
