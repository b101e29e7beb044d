from __future__ import annotations

import itertools

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.lcp_options import DEFAULT_MRU, LcpOption, LcpOptions
from ferrule.ppp.options import Refused, Ruling
from ferrule.ppp.packet import Option
from ferrule.ppp.policy import METHODS, PppPolicy
from support.ppp import entropy_of

ALL = ("mschapv2", "chap", "pap", "mschapv1")
MAGIC = b"\x01\x02\x03\x04"


def server(auth: tuple[str, ...] = ALL) -> LcpOptions:
    return LcpOptions(PppPolicy(auth=auth, mru=1400), entropy_of(1), authenticator=True)


def client(auth: tuple[str, ...] = ALL) -> LcpOptions:
    return LcpOptions(PppPolicy(auth=auth), entropy_of(2), authenticator=False)


def auth_option(method: str) -> Option:
    return Option(LcpOption.AUTHENTICATION, METHODS[method])


def test_what_the_server_asks() -> None:
    options = server()
    assert options.request() == [
        Option(1, b"\x05\x78"),
        Option(2, bytes(4)),
        Option(3, b"\xc2\x23\x81"),
        Option(5, options.magic),
        Option(7, b""),
        Option(8, b""),
    ]


def test_what_the_client_asks() -> None:
    assert [option.type for option in client().request()] == [1, 2, 5, 7, 8]


@pytest.mark.parametrize(
    ("option", "ruling"),
    [
        (Option(1, b"\x05\xdc"), Ruling.ACCEPT),
        (Option(1, b"\x00\x80"), Ruling.ACCEPT),
        (Option(1, b"\x00\x7f"), Option(1, b"\x00\x80")),
        (Option(1, b"\x05"), Option(1, b"\x05\xdc")),
        (Option(2, b"\xff\xff\xff\xff"), Ruling.ACCEPT),
        (Option(2, b""), Option(2, bytes(4))),
        (Option(5, MAGIC), Ruling.ACCEPT),
        (Option(7, b""), Ruling.ACCEPT),
        (Option(7, b"\x00"), Option(7, b"")),
        (Option(8, b""), Ruling.ACCEPT),
        (auth_option("pap"), Ruling.REJECT),  # nobody authenticates the server
        (Option(4, b"\xc0\x25\x00\x00\x00\x64"), Ruling.REJECT),  # quality
        (Option(13, b"\x06"), Ruling.REJECT),  # callback, of Windows
        (Option(17, b"\x06\x4e"), Ruling.REJECT),  # MRRU, of Windows
        (Option(19, b"\x01abc"), Ruling.REJECT),  # endpoint discriminator, of Windows
        (Option(0, b""), Ruling.REJECT),
        (Option(255, b""), Ruling.REJECT),
    ],
    ids=str,
)
def test_what_the_server_grants(option: Option, ruling: Ruling | Option) -> None:
    assert server().rule(option) == ruling


def test_a_zero_or_short_magic_number_gets_a_better_one() -> None:
    for value in (bytes(4), b"\x01\x02"):
        ruling = server().rule(Option(5, value))
        assert isinstance(ruling, Option)
        assert len(ruling.value) == 4
        assert any(ruling.value)


def test_our_own_magic_number_again_and_again_is_a_loop() -> None:
    options = server()
    ours = Option(5, options.magic)
    for _ in range(3):
        ruling = options.rule(ours)
        assert isinstance(ruling, Option)
        assert ruling.value != options.magic
    with pytest.raises(Refused) as refused:
        options.rule(ours)
    assert refused.value.reason is Reason.LCP_LOOPED


def test_accept_notes_what_the_peer_takes() -> None:
    options = server()
    options.accept([Option(1, b"\x05\x00"), Option(5, MAGIC), Option(7, b""), Option(8, b"")])
    assert (options.peer_mru, options.peer_magic) == (1280, 0x01020304)
    assert (options.peer_pfc, options.peer_acfc) == (True, True)
    options.accept([])
    assert (options.peer_mru, options.peer_magic) == (DEFAULT_MRU, 0)
    assert (options.peer_pfc, options.peer_acfc) == (False, False)


def test_naks_of_the_mru_only_make_it_smaller() -> None:
    options = server()
    options.on_nak([Option(1, b"\x05\xdc")])
    assert options.mru == 1400
    options.on_nak([Option(1, b"\x05\x00"), Option(2, b"?"), Option(99, b"")])
    assert options.mru == 1280
    options.on_nak([Option(1, b"\x00\x01")])
    assert options.mru == 128


def test_a_nak_of_the_magic_number_brings_a_new_one() -> None:
    options = server()
    before = options.magic
    options.on_nak([Option(5, MAGIC)])
    assert options.magic not in (before, MAGIC)


def test_what_is_rejected_is_not_asked_again_until_the_next_negotiation() -> None:
    options = server()
    options.on_reject([Option(2, bytes(4)), Option(5, options.magic), Option(7, b"")])
    assert [option.type for option in options.request()] == [1, 3, 8]
    assert options.magic == bytes(4)
    options.reset()
    assert [option.type for option in options.request()] == [1, 2, 3, 5, 7, 8]
    assert any(options.magic)


@pytest.mark.parametrize(
    ("allowed", "suggestions", "methods"),
    [
        (ALL, ["pap"], ["pap"]),
        (ALL, ["mschapv1", "pap"], ["mschapv1", "pap"]),
        (ALL, ["eap"], ["chap"]),  # not known: the next one in our order
        (("mschapv2", "pap"), ["chap"], ["pap"]),  # not allowed: the next one in our order
        (("mschapv2", "pap"), ["mschapv2"], ["pap"]),  # nonsense: it was just refused
        (ALL, ["eap", "eap", "eap"], ["chap", "pap", "mschapv1"]),
    ],
)
def test_a_client_naks_down_to_what_is_allowed(
    allowed: tuple[str, ...], suggestions: list[str], methods: list[str]
) -> None:
    options = server(allowed)
    chosen = []
    for suggestion in suggestions:
        value = METHODS.get(suggestion, b"\xc2\x27")
        options.on_nak([Option(LcpOption.AUTHENTICATION, value)])
        assert options.method is not None
        chosen.append(options.method)
        assert auth_option(options.method) in options.request()
    assert chosen == methods


@pytest.mark.parametrize("allowed", list(itertools.permutations(ALL, 2)))
def test_a_client_that_wants_nothing_of_ours_is_refused(allowed: tuple[str, ...]) -> None:
    options = server(allowed)
    eap = [Option(LcpOption.AUTHENTICATION, b"\xc2\x27")]
    options.on_nak(eap)
    with pytest.raises(Refused) as refused:
        options.on_nak(eap)
    assert refused.value.reason is Reason.NO_AUTH_METHOD


def test_a_client_that_rejects_authentication_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        server().on_reject([auth_option("mschapv2")])
    assert refused.value.reason is Reason.NO_AUTH_METHOD


def test_the_client_takes_what_it_can_and_says_what_it_prefers() -> None:
    options = client(("chap", "pap"))
    assert options.rule(auth_option("pap")) is Ruling.ACCEPT
    assert options.rule(auth_option("mschapv2")) == auth_option("chap")
    assert options.rule(Option(LcpOption.AUTHENTICATION, b"")) == auth_option("chap")
    options.accept([auth_option("pap")])
    assert options.method == "pap"
    options.accept([])
    assert options.method is None


def test_a_magic_number_is_never_zero() -> None:
    draws = iter([bytes(4), bytes(4), MAGIC])
    options = LcpOptions(PppPolicy(), lambda n: next(draws)[:n], authenticator=True)
    assert options.magic == MAGIC
