from __future__ import annotations

import pytest

from ferrule.accounts.verifiers import (
    SCRYPT_N,
    Verifier,
    build_verifier,
    dummy_like,
    is_slow,
    parse_verifier,
    verify,
)
from ferrule.core.credentials import Accepted, Denied, PapProof
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from support.accounts import METHODS, nt_text, proof, scrypt_text

FORMS = {
    "plain": "plain:secret",
    "nt": nt_text("secret"),
    "scrypt": scrypt_text("secret"),
    "both": f"{scrypt_text('secret')};{nt_text('secret')}",
}
SERVES = {
    "plain": set(METHODS),
    "nt": {"pap", "mschapv1", "mschapv2"},
    "scrypt": {"pap"},
    "both": {"pap", "mschapv1", "mschapv2"},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", FORMS)
def test_each_method_against_each_form(form: str, method: str) -> None:
    verifier = parse_verifier(FORMS[form])
    right = verify(proof(method, "alice", "secret"), verifier)
    wrong = verify(proof(method, "alice", "Secret"), verifier)
    if method in SERVES[form]:
        assert isinstance(right, Accepted)
        assert right.username == "alice"
        assert right.authenticator_response.startswith("S=") == (method == "mschapv2")
        assert wrong == Denied(Reason.WRONG_PASSWORD)
    else:
        assert right == wrong == Denied(Reason.METHOD_NEEDS_OTHER_VERIFIER)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", FORMS)
def test_only_pap_against_scrypt_alone_is_slow(form: str, method: str) -> None:
    slow = is_slow(proof(method, "alice", "secret"), parse_verifier(FORMS[form]))
    assert slow == (method == "pap" and form == "scrypt")


def test_an_empty_verifier_lets_nobody_in() -> None:
    for method in METHODS:
        assert isinstance(verify(proof(method, "a", ""), Verifier()), Denied)


def test_mschapv2_ignores_the_domain_in_front() -> None:
    verifier = parse_verifier(FORMS["nt"])
    assert isinstance(verify(proof("mschapv2", "CORP\\alice", "secret"), verifier), Accepted)


@pytest.mark.parametrize("password", ["pässwörd", "пароль", "ключ🔑", "a;b:c; d ", ";;"])
def test_passwords_beyond_ascii_and_with_separators(password: str) -> None:
    for text in (f"plain:{password}", nt_text(password), scrypt_text(password)):
        assert isinstance(verify(proof("pap", "u", password), parse_verifier(text)), Accepted)


def test_pap_octets_that_are_not_utf8_are_read_as_latin1_against_an_nt_hash() -> None:
    latin = PapProof("u", Secret("pässwörd".encode("latin-1")))
    assert isinstance(verify(latin, parse_verifier(nt_text("pässwörd"))), Accepted)
    assert isinstance(verify(latin, parse_verifier(scrypt_text("pässwörd"))), Denied)


BAD_TEXTS = {
    "empty": "",
    "blank": "  ",
    "no kind": "secret-in-clear",
    "unknown kind": "argon2:secret-in-clear",
    "empty plain": "plain:",
    "nt too short": "nt:secret-in-clear",
    "nt with blanks": "nt:00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff",
    "nt not ascii": "nt:" + "٣" * 32,
    "nt of another password": f"{nt_text('a')};plain:secret-in-clear",
    "nt twice": f"{nt_text('a')};{nt_text('b')}",
    "scrypt twice": f"{scrypt_text('a')};{scrypt_text('b')}",
    "scrypt fields": "scrypt:16:1:1:00",
    "scrypt words": f"scrypt:x:1:1:00:{'00' * 32}",
    "scrypt digits": f"scrypt:٣٢:1:1:00:{'00' * 32}",
    "scrypt n": f"scrypt:15:1:1:00:{'00' * 32}",
    "scrypt n 1": f"scrypt:1:1:1:00:{'00' * 32}",
    "scrypt r": f"scrypt:16:0:1:00:{'00' * 32}",
    "scrypt p": f"scrypt:16:1:0:00:{'00' * 32}",
    "scrypt memory": f"scrypt:1073741824:8:1:00:{'00' * 32}",
    "scrypt work": f"scrypt:16384:8:1000:00:{'00' * 32}",
    "scrypt endless": f"scrypt:{'9' * 5000}:8:1:00:{'00' * 32}",
    "scrypt no salt": f"scrypt:16:1:1::{'00' * 32}",
    "scrypt short": "scrypt:16:1:1:00:00",
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_what_is_no_verifier_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        parse_verifier(text)
    assert "secret-in-clear" not in str(refusal.value)


def test_forms_may_have_blanks_between_them() -> None:
    verifier = parse_verifier(f" {nt_text('secret')} ; {scrypt_text('secret')} ")
    assert verifier.nt_hash is not None
    assert verifier.scrypt is not None


def test_build_and_parse_are_a_pair() -> None:
    text = build_verifier("secret;", ("plain", "nt", "scrypt"), lambda octets: bytes(octets))
    assert text.startswith(f"scrypt:{SCRYPT_N}:8:1:{'00' * 16}:")
    assert text.endswith(";plain:secret;")
    for forms in (("plain",), ("nt",), ("scrypt",), ("nt", "scrypt"), ("nt", "plain")):
        verifier = parse_verifier(build_verifier("secret;", forms, lambda octets: bytes(octets)))
        assert isinstance(verify(proof("pap", "u", "secret;"), verifier), Accepted)


@pytest.mark.parametrize("forms", [(), ("md5",)])
def test_build_refuses_no_and_unknown_forms(forms: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"form|index"):
        build_verifier("secret", forms, lambda octets: bytes(octets))


def test_shares_password() -> None:
    plain, nt, scrypt, both = (parse_verifier(FORMS[name]) for name in FORMS)
    other = parse_verifier("plain:other")
    assert plain.shares_password(nt)
    assert both.shares_password(nt)
    assert both.shares_password(scrypt)
    assert not scrypt.shares_password(nt)  # nothing to compare
    assert not plain.shares_password(other)
    assert not scrypt.shares_password(parse_verifier(scrypt_text("other")))
    assert not scrypt.shares_password(parse_verifier(scrypt_text("secret", n=32)))
    assert scrypt.shares_password(parse_verifier(FORMS["scrypt"]))


@pytest.mark.parametrize("form", FORMS)
def test_a_dummy_takes_the_same_way_and_accepts_nothing(form: str) -> None:
    verifier = parse_verifier(FORMS[form])
    dummy = dummy_like(verifier)
    for method in METHODS:
        shown = proof(method, "alice", "secret")
        assert is_slow(shown, dummy) == is_slow(shown, verifier)
        wrong = verify(proof(method, "alice", "wrong"), verifier)
        assert verify(shown, dummy) == wrong


def test_nothing_secret_in_a_repr() -> None:
    for text in FORMS.values():
        shown = repr(parse_verifier(text))
        assert "secret" not in shown.replace("Secret(***)", "")
        assert nt_text("secret")[3:] not in shown
