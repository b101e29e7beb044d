"""The policy: defaults, gates for what is weak, and what is refused at birth."""

import pytest

from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, Group, Hash, Integrity
from ferrule.ike.policy import IkePolicy, Phase1Transform, default_phase1, default_phase2
from support.ike import KEY, policy


def test_default_phase_1_order() -> None:
    order = [str(transform) for transform in default_phase1()]
    assert len(order) == len(set(order)) == 4 * 5 * 9
    assert order[0] == "aes256-sha256-curve25519"

    def before(one: str, other: str) -> bool:
        return order.index(one) < order.index(other)

    assert before("aes256-sha1-modp2048", "aes128-sha256-modp2048")
    assert before("aes256-sha256-modp2048", "aes256-sha1-ecp384")
    assert before("aes256-sha1-modp2048", "aes256-sha384-modp2048")
    assert before("aes256-sha512-modp2048", "aes256-sha384-modp2048")
    assert before("aes256-sha1-modp2048", "aes256-sha256-modp1536")
    assert before("aes128-sha1-modp1536", "3des-sha1-modp2048")
    assert before("3des-sha384-modp1536", "aes256-sha256-modp1024")
    assert before("3des-sha1-modp2048", "aes256-md5-modp2048")


def test_default_phase_2_order() -> None:
    order = [str(suite) for suite in default_phase2()]
    assert len(order) == len(set(order)) == 9 + 4 * 5
    assert order[:2] == ["aes256gcm16", "aes128gcm16"]
    assert order.index("aes256-sha256") < order.index("aes256-sha1") < order.index("3des-sha1")
    assert all(name.endswith("md5") for name in order[-4:])


@pytest.mark.parametrize("modp1024", [False, True])
@pytest.mark.parametrize("md5", [False, True])
def test_gates(modp1024: bool, md5: bool) -> None:
    rules = policy(allow_modp1024=modp1024, allow_md5=md5)
    assert any(t.group is Group.MODP1024 for t in rules.phase1_rank) == modp1024
    assert any(t.hash is Hash.MD5 for t in rules.phase1_rank) == md5
    assert any(s.integrity is Integrity.HMAC_MD5_96 for s in rules.phase2_rank) == md5
    assert sorted(rules.phase1_rank.values()) == list(range(len(rules.phase1_rank)))


@pytest.mark.parametrize("keys", [(), (KEY, KEY, KEY), (Secret(b""),)])
def test_keys(keys: tuple[Secret, ...]) -> None:
    with pytest.raises(ValueError, match="pre-shared keys"):
        IkePolicy(keys=keys)


def test_no_key_is_shown() -> None:
    assert "a pre-shared key" not in repr(policy())


def test_names() -> None:
    assert str(Phase1Transform(Cipher.AES256_CBC, Hash.SHA1, Group.MODP2048)) == (
        "aes256-sha1-modp2048"
    )
    assert str(Phase1Transform(None, None, Group.ECP256)) == "none-none-ecp256"
