"""Deletes and notifications that we start."""

from ferrule.core.ids import Spi
from ferrule.core.reasons import Reason
from ferrule.ike.effects import IkeDropped, IsakmpSaDown, RemoveIpsecSa, SendIke
from ferrule.ike.iana import NotifyType, ProtocolId
from ferrule.ike.informational_send import notify_message, send_deletes
from support.ike import Link, sa_of, stop_after, up


def test_pairs_first_then_the_isakmp_sa() -> None:
    link = up()
    spi = next(iter(link.client.ike._table.ipsec))
    turn = link.client.ike._turn(link.now)
    send_deletes(turn, sa_of(link), (spi,), with_isakmp=True)
    assert [type(effect) for effect in turn.effects] == [SendIke, SendIke]
    link.run(link.client, turn.effects)
    kinds = [type(e) for e in link.server.effects if isinstance(e, RemoveIpsecSa | IsakmpSaDown)]
    assert kinds == [RemoveIpsecSa, IsakmpSaDown]


def test_nothing_to_say() -> None:
    link = up()
    turn = link.client.ike._turn(link.now)
    send_deletes(turn, sa_of(link), (), with_isakmp=False)
    assert turn.effects == []
    early = Link(seed=2)
    stop_after(early, 3)
    early.connect()
    turn = early.server.ike._turn(early.now)
    send_deletes(turn, sa_of(early, server=True), (Spi(256),), with_isakmp=True)
    assert turn.effects == []


def test_a_notification() -> None:
    link = up()
    turn = link.client.ike._turn(link.now)
    message = notify_message(turn, sa_of(link), NotifyType.INVALID_SPI, ProtocolId.ESP, b"\1\2\3\4")
    effects = link.server.ike.receive(link.log[-1][1], message, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.PEER_NOTIFY  # type: ignore[union-attr]
    assert "INVALID-SPI" in effects[0].detail  # type: ignore[union-attr]
