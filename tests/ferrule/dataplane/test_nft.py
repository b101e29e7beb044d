"""The nftables table: its commands, its transaction, and masquerade seen from a far host."""

from __future__ import annotations

import json
import os
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from ferrule.core.checksum import internet_checksum
from ferrule.dataplane import nft
from ferrule.dataplane.nft import NftError, NftMissing, NftTable, apply, remove, ruleset, table_name
from ferrule.dataplane.routing import TunLink, configure
from ferrule.dataplane.tun import Tun
from support.dataplane import ipv4
from support.netns import Forked, run_inside

NAME = "ferrule0"
POOLS = (IPv4Network("10.8.0.0/24"), IPv4Network("10.9.0.0/20"))
TABLE = NftTable("office.vpn", NAME, POOLS)
CLIENT, FAR = "10.8.0.7", "192.0.2.2"


# --- commands


def test_one_transaction_replaces_the_table_whether_or_not_it_is_there() -> None:
    commands = ruleset(TABLE)
    table = {"table": {"family": "ip", "name": "ferrule_office_vpn"}}
    assert commands[:3] == [{"add": table}, {"delete": table}, {"add": table}]


def pools_of(table: NftTable) -> dict[str, Any]:
    added = [command["add"] for command in ruleset(table) if "add" in command]
    (pools,) = [one["set"] for one in added if "set" in one]
    return pools  # type: ignore[no-any-return]


def test_prefixes_are_written_out_and_joined() -> None:
    halves = (IPv4Network("10.8.0.0/25"), IPv4Network("10.8.0.128/25"), IPv4Network("10.8.0.9/32"))
    (pools,) = [
        c["add"]["set"] for c in ruleset(replace(TABLE, pools=halves)) if "set" in c.get("add", {})
    ]
    assert pools["elem"] == [{"prefix": {"addr": "10.8.0.0", "len": 24}}]


def test_no_pools_no_elements() -> None:
    (pools,) = [
        c["add"]["set"] for c in ruleset(replace(TABLE, pools=())) if "set" in c.get("add", {})
    ]
    assert "elem" not in pools


@pytest.mark.parametrize("masquerade", [True, False])
def test_masquerade_is_optional_and_the_guard_is_not(masquerade: bool) -> None:
    text = json.dumps(ruleset(replace(TABLE, masquerade=masquerade)))
    assert ("masquerade" in text) is masquerade
    assert '"drop"' in text


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("office", "ferrule_office"),
        ("a.b-c/d", "ferrule_a_b_c_d"),
        ('x"; flush', "ferrule_x___flush"),
    ],
)
def test_names_of_tables(name: str, table: str) -> None:
    assert table_name(name) == table


# --- the program


def test_a_missing_program_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "PROGRAM", "no-such-program")
    with pytest.raises(NftMissing, match=r"apt-get install nftables.*egress\.snat"):
        apply(TABLE)
    with pytest.raises(NftMissing):
        remove("office")


def program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "nft"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "cat >/dev/null; echo 'Operation not permitted (you must be root)' >&2; exit 1"
    monkeypatch.setattr(nft, "PROGRAM", program(tmp_path, script))
    with pytest.raises(NftError, match=r"refused .* not permitted .*: grant CAP_NET_ADMIN"):
        apply(TABLE)


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nft, "PROGRAM", program(tmp_path, "exec sleep 5"))
    monkeypatch.setattr(nft, "_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(NftError, match="did not run"):
        apply(TABLE)


# --- inside a namespace of their own


def tables() -> list[str]:
    listed = subprocess.run(["nft", "-j", "list", "tables"], capture_output=True, check=True)
    rows: list[dict[str, Any]] = json.loads(listed.stdout)["nftables"]
    return [row["table"]["name"] for row in rows if "table" in row]


def rules(name: str) -> str:
    command = ["nft", "list", "table", "ip", name]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def the_table_is_set_replaced_and_removed() -> None:
    subprocess.run(["nft", "add", "table", "ip", "of_somebody_else"], check=True)
    for _ in range(2):
        apply(TABLE)
        text = rules("ferrule_office_vpn")
        assert "elements = { 10.8.0.0/24, 10.9.0.0/20 }" in text
        assert 'ip saddr @pools oifname != "ferrule0" masquerade' in text
        assert 'iifname "ferrule0" ip saddr != @pools drop' in text
    apply(replace(TABLE, pools=POOLS[:1], masquerade=False))
    text = rules("ferrule_office_vpn")
    assert "10.9" not in text
    assert "masquerade" not in text
    apply(NftTable("second", "ferrule1", ()))
    assert sorted(tables()) == ["ferrule_office_vpn", "ferrule_second", "of_somebody_else"]
    for _ in range(2):
        remove("office.vpn")
    assert sorted(tables()) == ["ferrule_second", "of_somebody_else"]


def a_refused_transaction_leaves_the_table_as_it_was() -> None:
    apply(TABLE)
    with pytest.raises(NftError, match="nft refused the table"):
        apply(replace(TABLE, tun="a name of more than sixteen octets"))
    assert "10.9.0.0/20" in rules("ferrule_office_vpn")


def echo_request(source: str, number: int) -> bytes:
    body = struct.pack(">BBHHH", 8, 0, 0, 7, number) + b"ferrule"
    body = body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
    return ipv4(source, FAR, body, protocol=1)


def answered(tun: Tun, source: str, number: int, seconds: float) -> bool:
    """An echo request of `source` comes back as a reply within `seconds`."""
    tun.write(echo_request(source, number))
    until = time.monotonic() + seconds
    replies: list[bytes] = []
    while (left := until - time.monotonic()) > 0:
        select.select([tun], [], [], left)
        tun.read(replies.append, 64)
        for packet in replies:
            if packet[12:20] == IPv4Address(FAR).packed + IPv4Address(source).packed:
                assert packet[20] == 0
                assert packet[26:28] == number.to_bytes(2, "big")
                return True
    return False


def a_client_is_masqueraded_and_a_forged_source_is_not() -> None:
    begin, begun = os.pipe()
    told, tell = os.pipe()
    end, ended = os.pipe()

    def far_host() -> None:
        """The other end of the veth pair: an address, and no route back to the pools."""
        os.close(begun)
        os.close(ended)
        os.write(tell, b"here")
        os.read(begin, 1)
        with IPRoute() as netlink:
            (index,) = netlink.link_lookup(ifname="far0")
            netlink.addr("add", index=index, address=FAR, prefixlen=24)
            netlink.link("set", index=index, state="up")
        os.write(tell, b"up")
        os.read(end, 1)

    far = Forked(far_host)
    assert os.read(told, 9) == b"here"
    with IPRoute() as netlink:
        netlink.link("add", ifname="eth0", kind="veth", peer={"ifname": "far0"})
        (index,) = netlink.link_lookup(ifname="far0")
        netlink.link("set", index=index, net_ns_pid=far.pid)
        (index,) = netlink.link_lookup(ifname="eth0")
        netlink.addr("add", index=index, address="192.0.2.1", prefixlen=24)
        netlink.link("set", index=index, state="up")
    os.write(begun, b"!")
    assert os.read(told, 9) == b"up"
    with Tun(NAME) as tun:
        configure(TunLink(NAME, IPv4Address("10.8.0.1"), 1400, POOLS))
        assert not answered(tun, CLIENT, 1, 0.3)
        apply(TABLE)
        assert answered(tun, CLIENT, 2, 10)
        assert answered(tun, "10.9.15.254", 3, 10)
        assert not answered(tun, "10.66.0.1", 4, 0.3)
    os.close(ended)
    assert far.wait() == ""


@pytest.mark.netns
@pytest.mark.skipif(
    not shutil.which("nft"), reason="left out: no program nft (apt-get install nftables)"
)
@pytest.mark.parametrize(
    "function",
    [
        the_table_is_set_replaced_and_removed,
        a_refused_transaction_leaves_the_table_as_it_was,
        a_client_is_masqueraded_and_a_forged_source_is_not,
    ],
)
def test_in_a_namespace(function: Callable[[], None]) -> None:
    run_inside(function)
