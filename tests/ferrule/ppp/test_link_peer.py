from __future__ import annotations

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.effects import (
    Addresses,
    Authenticated,
    AuthenticationFailed,
    LinkDown,
    NetworkUp,
    PppDropped,
    PppEffect,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.link import PeerLink
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.phase import Phase
from ferrule.ppp.policy import METHODS, PppPolicy
from support.ppp import DNS, LEASED, LOCAL, credentials, entropy_of, frame_of, only, sent

LCP, IPCP = Protocol.LCP, Protocol.IPCP


class Server:
    """Plays a server against a `PeerLink` by hand."""

    def __init__(self, auth: tuple[str, ...] = ("mschapv2", "chap", "pap")) -> None:
        self.link = PeerLink(PppPolicy(auth=auth), credentials(), entropy_of(4))
        self.request = sent(self.link.start(0.0))[0][1]

    def give(self, protocol: int, code: int, identifier: int, data: bytes) -> list[PppEffect]:
        return self.link.receive(frame_of(protocol, code, identifier, data), 0.5)

    def open_lcp(self, data: bytes) -> list[PppEffect]:
        """The server asks for the options in `data` and grants all of the client's."""
        self.give(LCP, Code.CONFIGURE_ACK, self.request.identifier, self.request.data)
        return self.give(LCP, Code.CONFIGURE_REQUEST, 1, data)


def auth_data(value: bytes) -> bytes:
    return bytes((3, len(value) + 2)) + value


def test_a_server_that_asks_for_nothing_gets_nothing() -> None:
    server = Server()
    effects = server.open_lcp(b"")
    assert server.link.phase is Phase.NETWORK
    assert [(protocol, packet.code) for protocol, packet in sent(effects)] == [
        (LCP, Code.CONFIGURE_ACK),
        (IPCP, Code.CONFIGURE_REQUEST),
    ]
    assert not only(effects, Authenticated)


def test_a_method_that_is_not_ours_gets_our_best_one() -> None:
    server = Server(("chap", "pap"))
    ((_, nak),) = sent(server.give(LCP, 1, 1, auth_data(b"\xc2\x27")))
    assert (nak.code, nak.data) == (Code.CONFIGURE_NAK, auth_data(METHODS["chap"]))


def test_a_server_that_insists_is_rejected() -> None:
    server = Server(("pap",))
    mschapv2 = auth_data(METHODS["mschapv2"])
    codes = [sent(server.give(LCP, 1, at, mschapv2))[0][1].code for at in range(1, 7)]
    assert codes == [Code.CONFIGURE_NAK] * 5 + [Code.CONFIGURE_REJECT]


def test_the_client_names_what_the_server_wanted() -> None:
    """pppd: it takes our rejection, opens LCP without authentication, and then closes."""
    server = Server(("mschapv2",))
    server.give(LCP, 1, 1, auth_data(b"\xc2\x27"))
    server.open_lcp(b"")
    effects = server.give(LCP, Code.TERMINATE_REQUEST, 2, b"peer refused to authenticate")
    (down,) = only(effects, LinkDown)
    assert isinstance(down, LinkDown)
    assert down.reason is Reason.NO_AUTH_METHOD
    assert "c227" in down.detail


def test_pap_is_sent_at_once() -> None:
    server = Server()
    effects = server.open_lcp(auth_data(METHODS["pap"]))
    protocol, packet = sent(effects)[-1]
    assert (protocol, packet.code) == (Protocol.PAP, 1)
    effects = server.give(Protocol.PAP, 2, packet.identifier, b"\x00")
    assert only(effects, Authenticated) == [Authenticated("alice", "pap", 0.5)]


def test_the_client_shows_why_it_was_refused() -> None:
    server = Server()
    packet = sent(server.open_lcp(auth_data(METHODS["pap"])))[-1][1]
    effects = server.give(Protocol.PAP, 3, packet.identifier, b"\x04Nope")
    assert only(effects, AuthenticationFailed) == [
        AuthenticationFailed("alice", "pap", Reason.WRONG_PASSWORD, "Nope")
    ]
    assert sent(effects)[0][1].code == Code.TERMINATE_REQUEST
    assert effects[-1] == LinkDown(Reason.WRONG_PASSWORD, "Nope")


def to_ipcp() -> tuple[Server, Packet]:
    server = Server()
    return server, sent(server.open_lcp(b""))[-1][1]


def test_addresses_come_by_nak() -> None:
    server, request = to_ipcp()
    given = b"".join(
        bytes((kind, 6)) + address.packed for kind, address in ((3, LEASED), (129, DNS[0]))
    )
    ((_, again),) = sent(server.give(IPCP, 3, request.identifier, given))
    ((_, again),) = sent(server.give(IPCP, 4, again.identifier, b"\x83\x06" + bytes(4)))
    assert again.data == given
    server.give(IPCP, 2, again.identifier, again.data)
    (up,) = only(server.give(IPCP, 1, 8, b"\x03\x06" + LOCAL.packed), NetworkUp)
    assert isinstance(up, NetworkUp)
    assert (up.local, up.peer, up.dns, up.wins) == (LEASED, LOCAL, DNS[:1], ())


@pytest.mark.parametrize(
    ("code", "theirs"),
    [(2, b"\x03\x06" + LOCAL.packed), (4, b""), (3, b"")],
    ids=["acknowledges 0.0.0.0", "rejects the option", "has no address itself"],
)
def test_a_server_that_gives_no_address_is_left(code: int, theirs: bytes) -> None:
    server, request = to_ipcp()
    data = request.data
    if code == 3:
        data = b"\x03\x06" + LEASED.packed
        request = sent(server.give(IPCP, 3, request.identifier, data))[0][1]
        code, data = 2, request.data
    effects = server.give(IPCP, code, request.identifier, data)
    effects += server.give(IPCP, 1, 8, theirs)
    (down,) = only(effects, LinkDown)
    assert isinstance(down, LinkDown)
    assert down.reason is Reason.IPCP_NO_CONVERGENCE


def test_a_server_cannot_have_dns_of_us() -> None:
    server, _ = to_ipcp()
    ((_, reject),) = sent(server.give(IPCP, 1, 8, b"\x81\x06" + bytes(4)))
    assert (reject.code, reject.data) == (Code.CONFIGURE_REJECT, b"\x81\x06" + bytes(4))


def test_there_are_no_questions() -> None:
    server, _ = to_ipcp()
    assert server.link.answer(Addresses(1, LOCAL, LEASED), 1.0) == []


def test_verdicts_before_the_time_are_dropped() -> None:
    server = Server()
    server.open_lcp(auth_data(METHODS["chap"]))
    for code in (3, 4):
        effects = server.give(Protocol.CHAP, code, 1, b"")
        assert [type(effect) for effect in effects] == [PppDropped]
    assert server.link.phase is Phase.AUTHENTICATE
