"""A peer's fault carries its reason, and a text for the log."""

from __future__ import annotations

import pytest

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason


@pytest.mark.parametrize("kind", [ProtocolError, Malformed])
def test_reason_and_detail(kind: type[ProtocolError]) -> None:
    error = kind(Reason.ESP_TAG, "of SPI 1234")
    assert error.reason is Reason.ESP_TAG
    assert error.detail == "of SPI 1234"
    assert str(error) == "esp_tag: of SPI 1234"
    assert isinstance(error, ProtocolError)


def test_a_reason_alone_is_its_own_text() -> None:
    assert str(ProtocolError(Reason.ESP_REPLAY)) == "esp_replay"
    assert ProtocolError(Reason.ESP_REPLAY).detail == ""
