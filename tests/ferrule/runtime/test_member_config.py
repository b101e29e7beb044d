"""Who a member is, when its file or its environment says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferrule.core.ids import Address
from ferrule.runtime.config import Config, load
from ferrule.runtime.member_config import keys_of, member_name, names_key, open_store, ring_address
from ferrule.store.valkey import ValkeyStore

TEXT = """\
listen: {{ring: "{ring}", member: "{member}"}}
gateway:
  ipsec: {{psk: a-long-and-random-key}}
  pools: [{{name: default, cidr: 10.20.0.0/24}}]
  store:
    type: Valkey
    url: valkey://store.example
    key: 0123456789abcdef0123456789abcdef
    previousKey: 1123456789abcdef0123456789abcdef
    namesKey: fedcba9876543210fedcba9876543210
"""


def config_of(folder: Path, ring: str = "192.0.2.7:4599", member: str = "pod-0") -> Config:
    file = folder / "gateway.yaml"
    file.write_text(TEXT.format(ring=ring, member=member))
    return load(file)


def test_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERRULE_MEMBER", "other")
    monkeypatch.setenv("FERRULE_ADDRESS", "192.0.2.8")
    config = config_of(tmp_path)
    assert member_name(config) == "pod-0"
    assert ring_address(config) == Address("192.0.2.7", 4599)
    assert [key.reveal()[:1] for key in keys_of(config.gateway.store)] == [b"0", b"1"]
    assert names_key(config).reveal().startswith(b"fedc")


def test_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, "0.0.0.0:4599", "")
    monkeypatch.setenv("FERRULE_MEMBER", "office-1")
    monkeypatch.setenv("FERRULE_ADDRESS", "2001:DB8::7")
    assert member_name(config) == "office-1"
    assert ring_address(config) == Address("2001:db8::7", 4599)


def test_the_host_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, member="")
    monkeypatch.delenv("FERRULE_MEMBER", raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "Office-2.example.org")
    assert member_name(config) == "office-2"
    monkeypatch.setattr("socket.gethostname", lambda: "under_score")
    with pytest.raises(OSError, match="'under_score' can't be a member's name"):
        member_name(config)


@pytest.mark.parametrize("address", ["", "pod.example"])
def test_an_environment_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("FERRULE_ADDRESS", address)
    with pytest.raises(OSError, match="FERRULE_ADDRESS must say"):
        ring_address(config_of(tmp_path, "0.0.0.0:4599"))


async def test_the_store(tmp_path: Path) -> None:
    store = await open_store(config_of(tmp_path).gateway.store, tmp_path)
    assert isinstance(store, ValkeyStore)
    await store.close()


def test_alone_names_need_no_key(tmp_path: Path) -> None:
    file = tmp_path / "alone.yaml"
    file.write_text(TEXT.format(ring="off", member="").split("  store:")[0])
    assert len(names_key(load(file))) == 32
