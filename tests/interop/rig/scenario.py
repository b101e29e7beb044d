"""What most tests share: the server's base configuration and its users."""

from __future__ import annotations

from typing import Any

from .profiles import Profile
from .topology import WEB_ADDRESS

PSK = "interop-key-of-some-length"
POOL = "10.99.0.0/24"
PASSWORDS = {
    "alice": "Wonder-land.1865",
    "bob": "Builder-bob.2",
    "carol": "Christmas-carol.3",
    "dora": "Dora.mon-6",
    "disabled": "Dis-abled.4",
    "expired": "Ex-pired.5",
}
CONFIGURATION: dict[str, Any] = {
    "gateway": {
        "ipsec": {"psk": PSK, "dpdSeconds": 10},
        "ppp": {"auth": ["mschapv2", "chap", "pap"], "dns": [WEB_ADDRESS]},
        "pools": [{"name": "default", "cidr": POOL}],
    },
    "users": [
        {"username": "alice", "password": PASSWORDS["alice"]},
        {"username": "bob", "password": PASSWORDS["bob"]},
        {"username": "carol", "password": PASSWORDS["carol"]},
        {"username": "dora", "password": PASSWORDS["dora"]},
        {"username": "disabled", "password": PASSWORDS["disabled"], "enabled": False},
        {"username": "expired", "password": PASSWORDS["expired"], "validUntil": "2020-02-29"},
    ],
}


def profile_of(user: str, **changes: Any) -> Profile:
    """What a user types in, with changes."""
    return Profile(psk=PSK, user=user, password=PASSWORDS.get(user, "")).but(**changes)
