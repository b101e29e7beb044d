"""No octets, in any state, make the endpoint raise, grow without bound or send more than it got."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.ike.effects import ActivateIpsecSa, IkeDropped, IsakmpSaUp, SendIke
from ferrule.ike.iana import ExchangeType, PayloadType
from ferrule.ike.isakmp_sa import IsakmpSa
from ferrule.ike.keys import hash_1
from ferrule.ike.payloads import Payload
from ferrule.ike.protection import encrypt_message, exchange_iv, hashed_body
from support.ike import Link, policy, stop_after, up
from support.ike_samples import PAYLOADS, mutated

ELSEWHERE = Path(Address("192.0.2.66", 4500), Address("198.51.100.1", 4500), True)


@cache
def conversation() -> tuple[bytes, ...]:
    """The nine messages of a set-up."""
    return tuple(message for _, _, message in up().log)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_datagrams(octets: bytes) -> None:
    link = up()
    for side in (link.client, link.server):
        effects = side.ike.receive(ELSEWHERE, octets, link.now)
        assert all(isinstance(effect, IkeDropped) for effect in effects)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_messages_in_every_state(data: st.DataObject) -> None:
    """The next message arrives a few times with mistakes in it, from here and there."""
    arrived = data.draw(st.integers(0, 8))
    link = Link()
    held = stop_after(link, arrived)
    link.connect()
    if arrived >= 6:
        link.quick()
    genuine = [entry for entry in held if entry[2]] or [link.log[-1]]
    name, path, message = genuine[0]
    side = link.server if name == "client" else link.client
    for _ in range(3):
        octets = data.draw(mutated(message))
        way = data.draw(st.sampled_from((path, ELSEWHERE)))
        effects = side.ike.receive(way, octets, link.now)
        sent = sum(len(e.message) for e in effects if isinstance(e, SendIke))
        assert sent <= len(octets) or arrived >= 2 or side is link.client
    assert len(side.ike.sas()) <= 4
    side.ike.expire(link.now + 1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_sa_that_is_up_does_not_move_for_mutated_messages(data: st.DataObject) -> None:
    link = up()
    before = link.server.ike.sas()[0]
    for index in data.draw(st.lists(st.integers(0, 8), max_size=4)):
        octets = data.draw(mutated(link.log[index][2]))
        link.server.ike.receive(ELSEWHERE, octets, link.now)
    sa = next(view for view in link.server.ike.sas() if view.isakmp_sa == before.isakmp_sa)
    assert (sa.state, sa.path, sa.ipsec_sas) == (before.state, before.path, before.ipsec_sas)


def _authentic(sa: IsakmpSa, exchange: ExchangeType, mid: int, payloads: list[Payload]) -> bytes:
    assert sa.keys is not None
    skeyid_a = sa.keys.skeyid_a
    body = hashed_body(payloads, lambda rest: hash_1(sa.hash, skeyid_a, mid, rest))
    return encrypt_message(sa, exchange, mid, PayloadType.HASH, body, exchange_iv(sa, mid))[0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((ExchangeType.QUICK_MODE, ExchangeType.INFORMATIONAL)),
            st.integers(0, 5),
            st.lists(st.sampled_from(PAYLOADS), max_size=6),
        ),
        max_size=6,
    )
)
def test_authentic_nonsense(messages: list[tuple[ExchangeType, int, list[Payload]]]) -> None:
    """A peer that has the key and sends whatever it likes harms nobody but itself."""
    link = up()
    sa = next(iter(link.client.ike._table.isakmp.values()))
    path = link.log[-1][1]
    for exchange, message_id, payloads in messages:
        message = _authentic(sa, exchange, message_id, payloads)
        link.server.ike.receive(path, message, link.now)
    link.server.ike.expire(link.now + 100)
    link.connect()
    assert len(link.server.of(IsakmpSaUp)) == 2


VERBS = st.sampled_from(
    ("connect", "quick", "wait", "long", "close", "shut", "rekey", "heard", "lose", "delete")
)


@settings(max_examples=100, deadline=None)
@given(st.lists(VERBS, max_size=12), st.integers(0, 3))
def test_any_order_of_orders(orders: list[str], seed: int) -> None:
    """Whatever is asked of the endpoints, in any order: nothing raises, and nothing is left."""
    link = Link(policy(offer_esp_seconds=600), policy(ipsec_sas_max=2), seed + 1)
    lossy = [0]

    def lose(_: str, path: Path, message: bytes) -> list[tuple[Path, bytes]]:
        lossy[0] -= 1
        return [] if lossy[0] >= 0 else [(path, message)]

    link.filter = lose
    for order in orders:
        views = link.server.ike.sas()
        spis = [spi for view in views for spi in view.ipsec_sas]
        match order:
            case "connect":
                link.connect()
            case "quick" if link.client.of(IsakmpSaUp):
                link.quick()
            case "wait":
                link.advance(5)
            case "long":
                link.advance(700)
            case "close" if views:
                number = views[0].isakmp_sa
                closing = link.server.ike.close_sa(number, Reason.ADMIN_KICK, link.now)
                link.run(link.server, closing)
            case "shut":
                link.run(link.client, link.client.ike.close(Reason.PEER_CLOSED, link.now))
            case "rekey" if spis:
                link.run(link.server, link.server.ike.rekey_ipsec_sa(spis[-1], link.now))
            case "heard" if spis:
                link.run(link.server, link.server.ike.heard(spis[0], link.now))
            case "delete" if spis:
                link.run(
                    link.server,
                    link.server.ike.delete_ipsec_sa(spis[0], Reason.REPLACED_SA, link.now),
                )
            case "lose":
                lossy[0] = 3
    lossy[0] = 0
    link.run(link.client, link.client.ike.close(Reason.PEER_CLOSED, link.now))
    link.run(link.server, link.server.ike.close(Reason.SERVER_SHUTDOWN, link.now))
    for side in (link.client, link.server):
        assert not side.ike.sas()
        assert not side.ike._table.ipsec
        assert not side.ike._table._peers
        assert not side.ike._table._by_cookies
        assert not len(side.ike._admission)
    link.advance(100)
    assert link.client.ike.deadline is None
    assert link.server.ike.deadline is None
    assert len(link.server.of(ActivateIpsecSa)) <= 40


def test_the_conversation_has_nine_messages() -> None:
    assert len(conversation()) == 9
