"""Sealed messages: what goes through, and what does not."""

from __future__ import annotations

import pytest

from ferrule.core.secret import Secret
from ferrule.runtime.sealing import QUESTION, SealBroken, Sealer, reply_purpose

KEY = Secret(b"0123456789abcdef0123456789abcdef")


def test_a_message_comes_out_as_it_went_in() -> None:
    message = {"want": "status", "files": {"a": "ä\n"}}
    sealed = Sealer(KEY).seal(message, QUESTION)
    assert b"status" not in sealed
    assert Sealer(KEY).open(sealed, QUESTION) == message


def test_no_two_messages_look_alike() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal({}, QUESTION) != sealer.seal({}, QUESTION)


def test_a_reply_belongs_to_one_question() -> None:
    sealer = Sealer(KEY)
    first, second = (sealer.seal({"want": "status"}, QUESTION) for _ in range(2))
    reply = sealer.seal({"sessions": 1}, reply_purpose(first))
    assert sealer.open(reply, reply_purpose(first)) == {"sessions": 1}
    for purpose in (reply_purpose(second), QUESTION):
        with pytest.raises(SealBroken):
            sealer.open(reply, purpose)


def test_another_key_and_any_changed_octet_are_found() -> None:
    sealed = Sealer(KEY).seal({"a": 1}, QUESTION)
    with pytest.raises(SealBroken):
        Sealer(Secret(b"another key, also long")).open(sealed, QUESTION)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            Sealer(KEY).open(changed, QUESTION)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            Sealer(KEY).open(sealed[:length], QUESTION)


def test_what_is_sealed_must_be_an_object() -> None:
    sealed = Sealer(KEY).seal([1], QUESTION)  # type: ignore[arg-type]
    with pytest.raises(SealBroken, match="not an object"):
        Sealer(KEY).open(sealed, QUESTION)
