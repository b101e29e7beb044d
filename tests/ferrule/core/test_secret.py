"""A secret is not seen by accident."""

from __future__ import annotations

import pytest

from ferrule.core.secret import Secret


def test_it_shows_nothing_of_itself() -> None:
    secret = Secret(b"hunter2")
    assert "hunter2" not in f"{secret!r} {secret} {[secret]}"
    assert len(secret) == 7
    assert secret.reveal() == b"hunter2"


def test_it_is_neither_compared_nor_hashed() -> None:
    with pytest.raises(TypeError):
        _ = Secret(b"a") == Secret(b"a")
    with pytest.raises(TypeError):
        hash(Secret(b"a"))
