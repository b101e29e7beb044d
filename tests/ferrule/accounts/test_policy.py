from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from ferrule.accounts.policy import EVERYWHERE, Access, Egress, resolve
from support.accounts import user


def nets(*texts: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(text) for text in texts)


@pytest.mark.parametrize(
    ("gateway", "mine", "allowed"),
    [
        ((), (), ()),
        (("10.0.0.0/8",), (), ("10.0.0.0/8",)),
        ((), ("10.1.0.0/16",), ("10.1.0.0/16",)),
        (("10.0.0.0/8",), ("10.1.0.0/16",), ("10.1.0.0/16",)),
        (("10.1.0.0/16",), ("10.0.0.0/8",), ("10.1.0.0/16",)),
        (("10.0.0.0/8",), ("10.1.0.0/16", "192.168.0.0/16"), ("10.1.0.0/16",)),
        (("10.0.0.0/9", "10.128.0.0/9"), (), ("10.0.0.0/8",)),
        (("10.0.0.0/8", "192.168.0.0/16"), ("0.0.0.0/0",), ("10.0.0.0/8", "192.168.0.0/16")),
    ],
)
def test_a_user_narrows_and_never_widens(
    gateway: tuple[str, ...], mine: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    access = resolve(user(allowed_cidrs=nets(*mine)), Egress(allowed=nets(*gateway)))
    assert access.allowed == nets(*allowed)
    assert access.denied == ()


def test_nothing_in_common_is_nothing_and_not_everything() -> None:
    access = resolve(user(allowed_cidrs=nets("192.168.0.0/16")), Egress(allowed=nets("10.0.0.0/8")))
    assert access.allowed == ()
    assert access.denied == (EVERYWHERE,)


def test_the_gateway_denies_for_everybody_and_rates_are_the_users() -> None:
    egress = Egress(denied=nets("169.254.0.0/16"), client_to_client=True)
    someone = user(allowed_cidrs=nets("169.254.0.0/16"), rate_up=5, rate_down=7)
    assert resolve(someone, egress) == Access(
        nets("169.254.0.0/16"), nets("169.254.0.0/16"), True, 5, 7
    )


def test_nobody_reaches_nothing() -> None:
    assert resolve(None, Egress(allowed=nets("10.0.0.0/8"))).denied == (EVERYWHERE,)
