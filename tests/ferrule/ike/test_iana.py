"""Names of numbers."""

from ferrule.ike.iana import notify_name


def test_names_of_notifications() -> None:
    assert notify_name(14) == "NO-PROPOSAL-CHOSEN"
    assert notify_name(36_136) == "R-U-THERE"
    assert notify_name(9999) == "9999"
