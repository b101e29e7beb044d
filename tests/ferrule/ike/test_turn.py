"""What handlers get from a turn: fresh ids and a list of effects."""

from collections.abc import Callable

import pytest

from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.ike.admission import Admission
from ferrule.ike.effects import IkeDropped, IkeFailed, SendIke
from ferrule.ike.sa_table import SaTable
from ferrule.ike.turn import Turn
from support.ike import policy

PATH = Path(Address("192.0.2.1", 500), Address("198.51.100.1", 500), False)


def turn(entropy: Callable[[int], bytes] = bytes, spi: int = 256) -> Turn:
    return Turn(
        policy(),
        entropy,
        lambda _: Cookie(bytes(8)),
        lambda _: Spi(spi),
        SaTable(),
        Admission(),
        1.0,
    )


def test_effects_in_order() -> None:
    one = turn()
    one.send(PATH, b"message")
    one.drop(PATH, Reason.NOT_IKE, "why")
    one.fail(PATH, Reason.WRONG_KEY)
    assert one.effects == [
        SendIke(PATH, b"message"),
        IkeDropped(PATH, Reason.NOT_IKE, "why"),
        IkeFailed(PATH, Reason.WRONG_KEY, ""),
    ]


def test_a_message_id_is_never_zero() -> None:
    assert turn().fresh_id() == 1
    assert turn(lambda n: b"\1" * n).fresh_id() == 0x01010101


def test_an_spi_that_is_taken_is_not_given() -> None:
    one = turn()
    assert one.fresh_spi(IsakmpSaId(1)) == 256
    one.table.ipsec[Spi(256)] = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="repeats itself"):
        one.fresh_spi(IsakmpSaId(1))
