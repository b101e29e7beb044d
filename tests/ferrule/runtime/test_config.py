from __future__ import annotations

import json
import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ferrule.accounts.admission import Accounts
from ferrule.core.ids import Address
from ferrule.runtime.config import Config, UserSpec, load
from ferrule.runtime.config_accounts import accounts_settings, user_of
from ferrule.runtime.config_problems import ConfigError, Severity, _model_in, field_names
from ferrule.runtime.gateway_spec import GatewaySpec
from support.accounts import nt_text, scrypt_text
from support.runtime import GOOD, loaded, problems_of, write

EXAMPLE = Path(__file__).parents[3] / "examples" / "gateway.yaml"


def gateway(extra: str = "", users: str = "[]") -> str:
    """GOOD with more lines in `gateway:`."""
    return f"""\
gateway:
  pools: [{{name: default, cidr: 10.20.0.0/24}}]
{extra}
users: {users}
"""


IPSEC = "  ipsec: {psk: a-long-and-random-key}\n"


def test_the_smallest_file(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert config.warnings == ()
    assert config.files == (tmp_path / "gateway.yaml",)
    assert config.listen.http == Address("127.0.0.1", 9190)
    assert config.gateway.ipsec.psk is not None
    assert config.gateway.ipsec.psk.reveal() == b"a-long-and-random-key"
    assert config.gateway.ppp.auth == ("mschapv2", "pap")
    assert config.gateway.egress.denied_cidrs[0].network_address == IPv4Address("169.254.0.0")
    assert [user.username for user in config.users] == ["alice"]


def test_the_example_loads_without_a_warning_and_shows_every_field() -> None:
    config = load(EXAMPLE)
    assert config.warnings == ()
    text = EXAMPLE.read_text()
    missing = [name for name in _all_fields(Config) if not re.search(rf"\b{name}:|\b{name},", text)]
    # told in its comments in a word, or only for rotation
    assert set(missing) <= {
        "previousPskFile",
        "tunnelSecretFile",
        "passwordFile",
        "verifierFile",
        "previousVerifier",
        "previousVerifierFile",
    }
    Accounts(accounts_settings(config))


def test_the_example_shows_the_defaults() -> None:
    shown = load(EXAMPLE).gateway
    default = GatewaySpec.model_validate({"pools": [{"name": "x", "cidr": "10.0.0.0/8"}]})
    for section in ("l2tp", "egress", "store", "limits", "drain"):
        assert getattr(shown, section) == getattr(default, section), section
    assert shown.ipsec.proposals == default.ipsec.proposals
    differing = {
        name
        for name in type(shown.ppp).model_fields
        if getattr(shown.ppp, name) != getattr(default.ppp, name)
    }
    assert differing == {"dns"}
    for name in ("ike_lifetime", "esp_lifetime", "dpd_seconds", "allow_weak", "identity"):
        assert getattr(shown.ipsec, name) == getattr(default.ipsec, name)


def _all_fields(model: type[BaseModel]) -> set[str]:
    names = set(field_names(model))
    for field in model.model_fields.values():
        if (inner := _model_in(field.annotation)) is not None:
            names |= _all_fields(inner)
    return names


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        if (inner := _model_in(field.annotation)) is not None:
            found |= _models(inner)
    return found


def test_every_field_is_described_and_named_like_the_resource() -> None:
    for model in _models(Config):
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert field.description.rstrip().endswith("."), f"{model.__name__}.{name}"
    names = _all_fields(Config)
    assert {"staticIP", "allowedCIDRs", "deniedCIDRs", "pathMTU", "dpdSeconds", "mssClamp"} <= names
    assert not any("_" in name for name in names)


def test_there_is_a_schema_of_the_texts_that_people_write() -> None:
    schema = Config.model_json_schema(mode="serialization")  # defaults as people write them
    ipsec = schema["$defs"]["Ipsec"]["properties"]
    assert ipsec["ikeLifetime"]["default"] == "24h"
    assert ipsec["psk"]["anyOf"][0] == {"type": "string", "format": "password"}
    egress = schema["$defs"]["Egress"]["properties"]
    assert egress["deniedCIDRs"]["default"][0] == "169.254.0.0/16"
    assert schema["$defs"]["RateLimit"]["properties"]["down"]["default"] == "0bit"
    assert schema["$defs"]["Ipsec"]["additionalProperties"] is False


def test_a_dump_holds_no_secret(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    for shown in (repr(config), config.model_dump_json()):
        assert "a-long-and-random-key" not in shown
        assert "correct horse" not in shown


# --- secrets and other files


def test_secrets_come_from_files_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    inner = tmp_path / "users"
    inner.mkdir()
    write(tmp_path, "from-a-file-of-its-own\n", "psk.txt")
    write(inner, "pass word\r\n", "bob.txt")
    write(inner, nt_text("old") + "\n", "carol.txt")
    write(
        inner,
        "users:\n- {username: bob, passwordFile: bob.txt}\n"
        "- {username: carol, verifierFile: carol.txt, previousVerifier: 'plain:older'}\n",
        "more.yaml",
    )
    config = loaded(
        tmp_path,
        gateway("  ipsec: {pskFile: psk.txt}", "[{username: alice, password: 0123}]")
        + "usersFiles: [users/more.yaml]\n",
    )
    assert config.gateway.ipsec.psk is not None
    assert config.gateway.ipsec.psk.reveal() == b"from-a-file-of-its-own"
    assert config.gateway.ipsec.psk_file == "psk.txt"
    passwords = {u.username: u.password.reveal() for u in config.users if u.password}
    assert passwords == {"alice": b"0123", "bob": b"pass word"}
    assert user_of(config.users[2]).previous is not None
    assert {file.name for file in config.files} == {
        "gateway.yaml",
        "psk.txt",
        "more.yaml",
        "bob.txt",
        "carol.txt",
    }


def test_a_shared_store_with_its_secrets_in_files(tmp_path: Path) -> None:
    for name in ("key", "names"):
        (tmp_path / name).write_text(f"{name} " * 10 + "\n")
    (tmp_path / "password").write_text("hunter2\n")
    text = gateway(SHARED).replace("key: 0123456789abcdef0123456789abcdef", "keyFile: key")
    text = text.replace("namesKey: fedcba9876543210fedcba9876543210", "namesKeyFile: names")
    text = text.replace("    keyFile", "    passwordFile: password\n    keyFile") + RING
    config = loaded(tmp_path, text)
    store = config.gateway.store
    assert store.key is not None
    assert store.key.reveal() == b"key " * 10
    assert store.names_key is not None
    assert store.password is not None
    assert store.password.reveal() == b"hunter2"
    assert (config.listen.ring, config.listen.member) == (Address("192.0.2.7", 4599), "pod-0")
    assert [problem.field for problem in config.warnings] == ["users"]
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "psk.txt cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"x" * 5000, "larger than"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_secret_files_that_cannot_be_used(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "psk.txt").write_bytes(content)
    problems = problems_of(tmp_path, gateway("  ipsec:\n    pskFile: psk.txt"))
    errors = [p for p in problems if p.severity is Severity.ERROR]
    assert len(errors) == 1
    assert says in errors[0].message
    assert errors[0].line == 4


def test_a_users_file_that_is_missing_or_wrong(tmp_path: Path) -> None:
    bad = write(tmp_path, "users:\n- {username: bob}\n- {usrname: eve, password: x}\n", "bad.yaml")
    broken = write(tmp_path, "users: [\n", "broken.yaml")
    problems = problems_of(tmp_path, GOOD + "usersFiles:\n- gone.yaml\n- bad.yaml\n- broken.yaml\n")
    told = {(p.file.name, p.line, p.field) for p in problems if p.severity is Severity.ERROR}
    assert told == {
        ("gateway.yaml", 11, "usersFiles[0]"),
        (bad.name, 3, "users[1].usrname"),
        (bad.name, 3, "users[1].username"),
        (broken.name, 1, ""),
    }


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="begin it with 'gateway:'"):
        load(write(tmp_path, "- a\n- b\n"))
    with pytest.raises(ConfigError, match="gateway"):
        load(write(tmp_path, ""))


# --- errors: the line, the field, the remedy

SHARED = (
    IPSEC
    + """\
  store:
    type: Valkey
    url: valkey://store.example
    key: 0123456789abcdef0123456789abcdef
    namesKey: fedcba9876543210fedcba9876543210
"""
)
RING = "listen: {ring: '192.0.2.7:4599', member: pod-0}\n"
SHARING: list[tuple[str, str, int, str, str]] = [
    (f"shared {field}", text, line, field, says)
    for text, line, field, says in (
        (
            gateway(IPSEC) + RING,
            6,
            "listen.ring",
            "a store that they share: write gateway.store: {type: Valkey",
        ),
        (gateway(SHARED), 1, "listen.ring", "is missing; write ring: ADDRESS:PORT"),
        (
            gateway(SHARED) + RING.replace("192.0.2.7", "224.0.0.1"),
            11,
            "listen.ring",
            "224.0.0.1 is no replica's",
        ),
        (
            gateway(SHARED) + RING.replace("192.0.2.7", "pod.example"),
            11,
            "listen.ring",
            "pod.example is a name; write",
        ),
        (
            gateway(SHARED.replace("    url: valkey://store.example\n", "")) + RING,
            4,
            "gateway.store.url",
            "is missing; write for example url: valkey://HOST:6379",
        ),
        (
            gateway(SHARED.replace("valkey://", "valkey://ada:secret@")) + RING,
            6,
            "gateway.store.url",
            "the password belongs into the secret",
        ),
        (
            gateway(SHARED + "    tls: {serverName: other}\n") + RING,
            9,
            "gateway.store.tls",
            "begin the url with valkeys",
        ),
        (
            gateway(
                SHARED.replace("valkey:", "valkeys+cluster:") + "    tls: {serverName: other}\n"
            )
            + RING,
            9,
            "gateway.store.tls.serverName",
            "is not for a cluster",
        ),
        (
            gateway(SHARED.replace("0123456789abcdef0", "")) + RING,
            7,
            "gateway.store.key",
            "is shorter than 32 octets",
        ),
        (
            gateway(SHARED.replace("    namesKey: fedcba9876543210fedcba9876543210\n", "")) + RING,
            4,
            "gateway.store.namesKey",
            "is missing; write namesKeyFile: with a path",
        ),
        (
            gateway(SHARED + "    snapshot: /tmp/sessions\n") + RING,
            9,
            "gateway.store.snapshot",
            "is for a store of type Memory",
        ),
        (
            gateway(IPSEC + "  store:\n    type: Memory\n    snapshot: sessions\n"),
            6,
            "gateway.store.snapshot",
            "is not an absolute path",
        ),
        (
            gateway(IPSEC + "  store:\n    type: Memory\n    snapshot: /tmp/sessions\n"),
            4,
            "gateway.store.key",
            "is missing; write keyFile: with a path",
        ),
        (
            gateway(SHARED + "    previousKey: short\n") + RING,
            9,
            "gateway.store.previousKey",
            "is shorter than 32 octets",
        ),
        (
            gateway(SHARED + "    previousKey: 0123456789abcdef0123456789abcdef\n") + RING,
            9,
            "gateway.store.previousKey",
            "is the same as key",
        ),
    )
]

ERRORS: list[tuple[str, str, int, str, str]] = [
    (
        "wrong network",
        "gateway:\n  ipsec: {psk: abcdefghijkl}\n  pools:\n  - name: a\n    cidr: 10.0.0.0/33\n",
        5,
        "gateway.pools[0].cidr",
        "'10.0.0.0/33' is not an IPv4 network; write it like 10.20.0.0/16",
    ),
    ("typo", GOOD + "log: {levle: info}\n", 10, "log.levle", "did you mean level?"),
    ("case", GOOD.replace("psk:", "PSK:"), 3, "gateway.ipsec.PSK", "did you mean psk?"),
    ("place", GOOD + "dns: [1.1.1.1]\n", 10, "dns", "dns belongs to gateway.ppp"),
    (
        "unknown",
        GOOD + "log: {qqq: 1}\n",
        10,
        "log.qqq",
        "there is no such field; the fields here are format, level",
    ),
    ("missing", "log: {}\n", 1, "gateway", "is missing"),
    (
        "missing name",
        "gateway:\n  ipsec: {psk: abcdefghijkl}\n  pools:\n  - cidr: 10.0.0.0/8\n",
        4,
        "gateway.pools[0].name",
        "write for example name: default",
    ),
    ("no pool", "gateway:\n  pools: []\n", 2, "gateway.pools", "too few items; write 1 or more"),
    (
        "choice",
        GOOD + "log: {level: loud}\n",
        10,
        "log.level",
        "'loud' is not known; write one of debug, info, warning or error",
    ),
    ("range", GOOD + "listen: {ikePort: 70000}\n", 10, "listen.ikePort", "write 65535 or less"),
    ("bool", gateway("  egress:\n    snat: maybe"), 4, "gateway.egress.snat", "neither true nor"),
    ("list", gateway("  ppp: {auth: pap}"), 3, "gateway.ppp.auth", "a list is expected"),
    ("mapping", gateway("  ppp: [pap]"), 3, "gateway.ppp", "a mapping is expected"),
    ("integer", gateway("  ppp: {mtu: 1.5}"), 3, "gateway.ppp.mtu", "not a whole number"),
    (
        "proposal",
        gateway("  ipsec:\n    proposals:\n      phase1: [aes257-sha1-modp2048]"),
        5,
        "gateway.ipsec.proposals.phase1[0]",
        "did you mean aes256?",
    ),
    (
        "lifetime",
        gateway("  ipsec: {ikeLifetime: 5s}"),
        3,
        "gateway.ipsec.ikeLifetime",
        "'5s' is out of range; write 1m to 168h",
    ),
    ("store", gateway("  store: {type: Disk}"), 3, "gateway.store.type", "one of Memory or Valkey"),
    *SHARING,
    (
        "pool name",
        gateway().replace("default", "A_b"),
        2,
        "gateway.pools[0].name",
        "cannot be used",
    ),
    (
        "no psk",
        gateway(),
        1,
        "gateway.ipsec.psk",
        "is missing; write psk: with a long secret, or pskFile",
    ),
    (
        "two psks",
        gateway("  ipsec:\n    psk: abcdefghijkl\n    pskFile: x"),
        5,
        "gateway.ipsec.pskFile",
        "psk is given as well",
    ),
    (
        "weak group",
        gateway(
            "  ipsec:\n    psk: abcdefghijkl\n    proposals:\n      phase1:\n"
            "      - aes256-sha1-modp2048\n      - aes256-sha1-modp1024"
        ),
        8,
        "gateway.ipsec.proposals.phase1[1]",
        "accept the risk with ipsec.allowWeak: [modp1024]",
    ),
    (
        "weak esp",
        gateway("  ipsec: {psk: abcdefghijkl, proposals: {phase2: [aes128-md5]}}"),
        3,
        "gateway.ipsec.proposals.phase2[0]",
        "ipsec.allowWeak: [md5]",
    ),
    (
        "mschapv1",
        gateway(IPSEC + "  ppp: {auth: [mschapv2, mschapv1]}"),
        4,
        "gateway.ppp.auth[1]",
        "ipsec.allowWeak: [mschapv1]",
    ),
    ("auth twice", gateway(IPSEC + "  ppp: {auth: [pap, pap]}"), 4, "gateway.ppp.auth[1]", "twice"),
    (
        "overlap",
        "gateway:\n  ipsec: {psk: abcdefghijkl}\n  pools:\n"
        "  - {name: a, cidr: 10.0.0.0/8}\n  - {name: b, cidr: 10.1.0.0/16}\n",
        5,
        "gateway.pools[1].cidr",
        "10.1.0.0/16 overlaps 10.0.0.0/8 of the pool a",
    ),
    (
        "pool names",
        "gateway:\n  ipsec: {psk: abcdefghijkl}\n  pools:\n"
        "  - {name: a, cidr: 10.0.0.0/16}\n  - {name: a, cidr: 10.1.0.0/16}\n",
        5,
        "gateway.pools[1].name",
        "pools[0] is called a too",
    ),
    (
        "exclusion",
        "gateway:\n  ipsec: {psk: abcdefghijkl}\n  pools:\n"
        "  - {name: a, cidr: 10.0.0.0/16, exclude: [10.0.0.7, 10.1.0.0/24]}\n",
        4,
        "gateway.pools[0].exclude[1]",
        "lies outside of 10.0.0.0/16",
    ),
    ("tiny", gateway(IPSEC).replace("/24", "/31"), 2, "gateway.pools[0].cidr", "too small"),
    (
        "ports",
        GOOD + "listen: {ikePort: 500, nattPort: 500}\n",
        10,
        "listen.nattPort",
        "the same as ikePort",
    ),
]


@pytest.mark.parametrize(
    ("text", "line", "field", "says"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
def test_errors(tmp_path: Path, text: str, line: int, field: str, says: str) -> None:
    problems = problems_of(tmp_path, text)
    told = [p for p in problems if p.field == field and p.severity is Severity.ERROR]
    assert len(told) == 1, problems
    assert says in told[0].message
    assert told[0].line == line
    assert str(told[0]) == f"{field}, line {line}: {told[0].message}"
    assert told[0].compiler_style() == (
        f"{tmp_path / 'gateway.yaml'}:{line}: error: {field}: {told[0].message}"
    )


USER_ERRORS: list[tuple[str, str, str]] = [
    ("{username: a}", "users[0].password", "write password:, passwordFile:, verifier: or"),
    ("{username: a, password: x, verifier: 'plain:x'}", "users[0].verifier", "keep one"),
    ("{username: a, verifier: hunter2}", "users[0].verifier", "plain:TEXT, nt:HASH"),
    ("{username: a, password: [hunter2]}", "users[0].password", "put it into quotes"),
    ("{username: a, password: x, staticIP: 10.9.0.1}", "users[0].staticIP", "choose one of 10.20"),
    ("{username: a, password: x, staticIP: 10.20.0.1}", "users[0].staticIP", "gateway's own"),
    ("{username: a, password: x, staticIP: 10.20.0.0}", "users[0].staticIP", "first or last"),
    ("{username: a, password: x, staticIP: 10.20.0.255}", "users[0].staticIP", "first or last"),
    (
        "{username: a, password: x}, {username: a, password: y}",
        "users[1].username",
        "gateway.yaml:4",
    ),
    (
        "{username: a, password: x, staticIP: 10.20.0.9}, "
        "{username: b, password: y, staticIP: 10.20.0.9}",
        "users[1].staticIP",
        "that of 'a' too",
    ),
    ("{username: a, password: x, onLimit: kill}", "users[0].onLimit", "replace-oldest"),
    ("{username: a, passwrd: hunter2, password: x}", "users[0].passwrd", "did you mean password?"),
    ("{username: a, password: x, rateLimit: {down: 5}}", "users[0].rateLimit.down", "10Mbit"),
    ("{username: a, password: x, maxSessions: -1}", "users[0].maxSessions", "write 0 or more"),
]


@pytest.mark.parametrize(("users", "field", "says"), USER_ERRORS)
def test_errors_of_users(tmp_path: Path, users: str, field: str, says: str) -> None:
    problems = problems_of(tmp_path, gateway(IPSEC.rstrip(), f"[{users}]"))
    told = [p for p in problems if p.field == field and p.severity is Severity.ERROR]
    assert len(told) == 1, problems
    assert says in told[0].message
    assert not any("hunter2" in str(p) for p in problems)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "log: {level: x}\ngateway:\n  dns: [x]\n  pools: [{cidr: y}]\nlisten: {tun: ''}\n"
    problems = problems_of(tmp_path, text)
    assert [p.line for p in problems] == [1, 3, 4, 4, 5]
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text)
    assert str(error.value).count("; ") >= 4


WARNINGS: list[tuple[str, str, str]] = [
    ("  ipsec: {psk: short}", "gateway.ipsec.psk", "shorter than 12 characters"),
    ("  ipsec: {psk: ' abcdefghijklmn '}", "gateway.ipsec.psk", "blanks at its ends"),
    ("  ipsec: {psk: abcdefghijklmnö}", "gateway.ipsec.psk", "not ASCII"),
    (
        "  ipsec: {psk: abcdefghijklmn, previousPsk: x}",
        "gateway.ipsec.previousPsk",
        "shorter than 12",
    ),
    (
        "  ipsec: {psk: abcdefghijklmn, allowWeak: [modp1024]}",
        "gateway.ipsec.allowWeak[0]",
        "can be broken",
    ),
    (IPSEC + "  egress: {deniedCIDRs: []}", "gateway.egress.deniedCIDRs", "metadata"),
]


@pytest.mark.parametrize(("extra", "field", "says"), WARNINGS)
def test_warnings_let_it_load(tmp_path: Path, extra: str, field: str, says: str) -> None:
    config = loaded(tmp_path, gateway(extra, "[{username: a, password: x}]"))
    (warning,) = config.warnings
    assert warning.severity is Severity.WARNING
    assert warning.field == field
    assert says in warning.message


@pytest.mark.parametrize(
    ("users", "says"),
    [
        ("[]", "nobody can log in"),
        ("[{username: a, password: x, validUntil: 2020-01-01}]", "has passed"),
        (f"[{{username: a, verifier: '{scrypt_text('x')}'}}]", "serves none of the methods"),
    ],
)
def test_warnings_about_users(tmp_path: Path, users: str, says: str) -> None:
    text = gateway(IPSEC + "  ppp: {auth: [mschapv2]}", users)
    (warning,) = loaded(tmp_path, text).warnings
    assert says in warning.message


def test_a_public_pool_is_warned_about(tmp_path: Path) -> None:
    warnings = loaded(tmp_path, GOOD.replace("10.20.0.0/24", "8.8.8.0/24")).warnings
    assert ["not a private network" in w.message for w in warnings] == [True]
    assert loaded(tmp_path, GOOD.replace("10.20.0.0/24", "100.64.0.0/16")).warnings == ()


# --- what it means


@pytest.mark.parametrize(
    ("ipsec", "weak", "own"),
    [
        ("{psk: abcdefghijklmn}", False, False),
        ("{psk: abcdefghijklmn, allowWeak: [modp1024, md5]}", True, False),
        (
            "{psk: abcdefghijklmn, allowWeak: [modp1024], "
            "proposals: {phase1: [aes256-sha1-modp2048]}}",
            False,
            True,
        ),
    ],
)
def test_allow_weak_extends_the_defaults_only(
    tmp_path: Path, ipsec: str, weak: bool, own: bool
) -> None:
    spec = loaded(tmp_path, gateway(f"  ipsec: {ipsec}")).gateway.ipsec
    assert any("modp1024" in line for line in spec.phase1_lines) == weak
    assert any("md5" in line for line in spec.phase2_lines) == weak
    if own:
        assert spec.phase1_lines == ("aes256-sha1-modp2048",)


def test_the_accounts_settings(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        gateway(
            IPSEC + "  limits: {sessionsPerUser: 3, sessionsMax: 9}\n"
            "  egress: {allowedCIDRs: [10.0.0.0/8], clientToClient: true}",
            "[{username: a, password: x, enabled: false, staticIP: 10.20.0.9, maxSessions: 0, "
            "onLimit: reject-new, rateLimit: {down: 8Mbit, up: 800kbit}, groups: [g], "
            "validUntil: 2027-01-31T18:00:00Z, allowedCIDRs: [10.1.0.0/16]}]",
        ),
    )
    settings_ = accounts_settings(config)
    (user,) = settings_.users
    assert (user.enabled, user.static_ip, user.max_sessions) == (False, IPv4Address("10.20.0.9"), 0)
    assert (user.on_limit.value, user.rate_down, user.rate_up) == ("reject-new", 10**6, 10**5)
    assert (user.groups, user.valid_until) == (("g",), 1801418400.0)
    assert settings_.limits.sessions_per_user == 3
    assert settings_.limits.sessions_max == 9
    assert settings_.egress.client_to_client
    assert Accounts(settings_).gateway_address == IPv4Address("10.20.0.1")


def test_a_user_without_any_secret_makes_no_account() -> None:
    with pytest.raises(ValueError, match="neither"):
        user_of(UserSpec.model_validate({"username": "a"}))


# --- nothing but ConfigError

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["10.0.0.0/8", "aes256-sha1-modp2048", "8h", "10Mbit", "plain:x", "off"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(sorted(_all_fields(Config))), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


SECTIONS = ("ipsec", "ppp", "egress", "limits", "l2tp", "drain")
POOLS = VALUES | st.just([{"name": "a", "cidr": "10.0.0.0/8"}])
FILES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("listen", "log", "users"), VALUES),
        "gateway": VALUES
        | st.fixed_dictionaries({"pools": POOLS}, optional=dict.fromkeys(SECTIONS, VALUES)),
    },
)


@settings(max_examples=100, deadline=None)
@given(FILES)
def test_whatever_is_written_is_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    for problem in problems_of(tmp_path_factory.getbasetemp(), json.dumps(data)):
        assert problem.message
        assert "\n" not in problem.message


def test_files_can_be_given_as_texts() -> None:
    folder = Path("/nowhere")
    files = {
        folder / "gateway.yaml": "gateway:\n  ipsec: {pskFile: psk}\n"
        "  pools: [{name: a, cidr: 10.0.0.0/24}]\nusersFiles: [users.json]\n",
        folder / "psk": "a-long-and-random-key\n",
        folder / "users.json": '{"users": [{"username": "ada", "password": "x"}]}',
    }
    config = load(folder / "gateway.yaml", files)
    assert config.gateway.ipsec.psk is not None
    assert config.gateway.ipsec.psk.reveal() == b"a-long-and-random-key"
    assert [user.username for user in config.users] == ["ada"]
    assert config.files == tuple(files)
    for missing in (folder / "psk", folder / "users.json"):
        with pytest.raises(ConfigError, match=missing.name):
            load(folder / "gateway.yaml", {k: v for k, v in files.items() if k != missing})


def test_a_file_name_that_no_system_has_is_told(tmp_path: Path) -> None:
    (problem,) = [
        problem
        for problem in problems_of(
            tmp_path,
            GOOD.replace("psk: a-long", 'pskFile: "a\\0-long').replace("random-key", 'random-key"'),
        )
        if problem.severity == "error"
    ]
    assert "cannot be read" in problem.message
