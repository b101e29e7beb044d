from __future__ import annotations

import pytest

from ferrule.core.secret import Secret
from ferrule.ppp.policy import METHODS, Credentials, PppPolicy


def test_no_authentication_is_not_a_policy() -> None:
    with pytest.raises(ValueError, match="without authentication"):
        PppPolicy(auth=())


def test_unknown_methods_are_named() -> None:
    with pytest.raises(ValueError, match="eap-ttls"):
        PppPolicy(auth=("pap", "eap-ttls"))


def test_methods_on_the_wire() -> None:
    """RFC 1661 6.2, RFC 1994 3, RFC 2433 3, RFC 2759 3."""
    assert {method: value.hex() for method, value in METHODS.items()} == {
        "pap": "c023",
        "chap": "c22305",
        "mschapv1": "c22380",
        "mschapv2": "c22381",
    }


def test_credentials_hide_the_password() -> None:
    assert "hunter2" not in repr(Credentials("bob", Secret(b"hunter2")))
