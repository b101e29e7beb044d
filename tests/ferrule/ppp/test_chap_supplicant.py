from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.core.credentials import (
    Accepted,
    MsChapV2Proof,
)
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.mschap import mschapv2_authenticator_response, nt_password_hash
from ferrule.ppp.auth import Failed, Passed
from ferrule.ppp.chap import (
    build_failure,
    build_value,
    parse_value,
)
from ferrule.ppp.chap_supplicant import ChapSupplicant
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Packet
from ferrule.ppp.policy import Credentials
from support.ppp import (
    PASSWORD,
    USERNAME,
    credentials,
    entropy_of,
    mschapv2_value,
    verdict_on,
)

CHAP = Protocol.CHAP
RFC2759 = json.loads((Path(__file__).parents[2] / "vectors" / "rfc2759.json").read_text())[
    "mschapv2"
]


def test_the_client_gives_the_response_of_rfc2759() -> None:
    """The peer challenge is drawn from `entropy`: here, from the RFC."""
    machine = ChapSupplicant(
        "mschapv2",
        Credentials(RFC2759["username"], Secret(RFC2759["password"].encode())),
        Deadlines(),
        lambda _: bytes.fromhex(RFC2759["peer_challenge"]),
    )
    challenge = bytes.fromhex(RFC2759["authenticator_challenge"])
    (response,) = machine.receive(Packet(1, 5, build_value(challenge, b"gate")), 0.0)
    assert isinstance(response, Packet)
    value, name = parse_value(response.data)
    assert (response.code, response.identifier, name) == (2, 5, b"User")
    assert value.hex() == RFC2759["peer_challenge"] + "00" * 8 + RFC2759["nt_response"] + "00"
    success = RFC2759["authenticator_response"].encode() + b" M=hello"
    assert machine.receive(Packet(3, 5, success), 1.0) == [Passed("User")]


def supplicant(method: str) -> tuple[ChapSupplicant, Deadlines]:
    deadlines = Deadlines()
    return ChapSupplicant(method, credentials(), deadlines, entropy_of(3)), deadlines


def test_a_server_that_cannot_prove_itself_is_refused() -> None:
    for forged in (b"", b"S=" + b"0" * 40, b"s=" + b"F" * 40):
        machine, _ = supplicant("mschapv2")
        machine.receive(Packet(1, 1, build_value(bytes(16), b"")), 0.0)
        (failed,) = machine.receive(Packet(3, 1, forged), 1.0)
        assert isinstance(failed, Failed)
        assert failed.final
        assert "does not know" in failed.detail


@pytest.mark.parametrize("method", ["mschapv2", "mschapv1", "chap"])
def test_the_same_challenge_gets_the_same_response(method: str) -> None:
    machine, deadlines = supplicant(method)
    challenge = Packet(1, 1, build_value(bytes(8 if method == "mschapv1" else 16), b"gate"))
    first = machine.receive(challenge, 0.0)
    assert machine.receive(challenge, 1.0) == first
    assert deadlines.get("auth-restart") == 4.0
    assert machine.expire(4.0) == first
    other = machine.receive(Packet(1, 2, challenge.data), 5.0)
    assert isinstance(other[0], Packet)
    assert other[0].identifier == 2


@pytest.mark.parametrize(
    ("method", "packet"),
    [
        ("mschapv2", Packet(1, 1, build_value(bytes(15), b""))),
        ("mschapv1", Packet(1, 1, build_value(bytes(16), b""))),
        ("chap", Packet(1, 1, build_value(b"", b""))),
        ("chap", Packet(1, 1, b"\x10abc")),
        ("chap", Packet(3, 1, b"")),
        ("chap", Packet(4, 1, b"")),
        ("chap", Packet(2, 1, b"")),
    ],
)
def test_the_client_drops_what_makes_no_sense(method: str, packet: Packet) -> None:
    machine, _ = supplicant(method)
    with pytest.raises(ProtocolError):
        machine.receive(packet, 0.0)


def test_a_failure_names_its_reason() -> None:
    machine, deadlines = supplicant("mschapv2")
    machine.receive(Packet(1, 1, build_value(bytes(16), b"")), 0.0)
    data = build_failure("mschapv2", Reason.USER_EXPIRED, retry=False, challenge=bytes(16))
    assert machine.receive(Packet(4, 1, data), 1.0) == [
        Failed("alice", Reason.USER_EXPIRED, "The account has expired", True)
    ]
    assert deadlines.next is None
    assert machine.expire(9.0) == []


def test_the_support_code_agrees_with_the_crypto_layer() -> None:
    value = mschapv2_value(bytes(16), PASSWORD)
    nt_hash = nt_password_hash(PASSWORD)
    proof = MsChapV2Proof(USERNAME, bytes(16), value[1:17], value[25:49])
    assert verdict_on(proof) == Accepted(
        USERNAME,
        mschapv2_authenticator_response(nt_hash, USERNAME, bytes(16), value[1:17], value[25:49]),
    )
