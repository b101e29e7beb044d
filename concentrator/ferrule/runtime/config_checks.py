"""What no single field can tell: contradictions between fields, and choices to be warned about."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from ferrule.accounts.pools import gateway_address
from ferrule.accounts.verifiers import parse_verifier
from ferrule.cluster.sealing import KEY_OCTETS_MIN as SHARED_KEY_OCTETS_MIN
from ferrule.crypto.compare import equal
from ferrule.runtime.config_accounts import pool_specs
from ferrule.runtime.config_problems import Location, Problem, Severity, field_path
from ferrule.runtime.config_yaml import Document
from ferrule.runtime.gateway_spec import (
    DENIED_BY_DEFAULT,
    GatewaySpec,
    Ipsec,
    Store,
    StoreTls,
    field_alias,
)
from ferrule.runtime.proposals import weak_phase1, weak_phase2
from ferrule.runtime.sealing import KEY_OCTETS_MIN
from ferrule.store.valkey_url import Topology, parse_url

if TYPE_CHECKING:
    from ferrule.runtime.config import Listen, UserSpec

PSK_SHORT: Final = 12  # octets; a listener can try keys only against an active attack, but still
SMALLEST_FIRST_POOL: Final = 30  # prefix
Finding: TypeAlias = tuple[Severity, Location, str]
UserRow: TypeAlias = "tuple[Document, Location, UserSpec]"

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
_SHARED: Final = IPv4Network("100.64.0.0/10")  # RFC 6598
_WEAK_WHY: Final = {
    "modp1024": "the group MODP 1024 can be broken by a well-funded listener",
    "md5": "MD5 is accepted",
    "mschapv1": "MS-CHAPv1 lets a listener find the password, and proves nothing to the client",
}


def check(
    gateway: GatewaySpec, listen: Listen, document: Document, users: Sequence[UserRow]
) -> list[Problem]:
    """Everything found, errors and warnings, in the order of the file."""
    problems = []
    for part, findings in (
        (("gateway", "ipsec"), _ipsec(gateway.ipsec)),
        (("gateway", "ppp"), _ppp(gateway)),
        (("gateway", "pools"), _pools(gateway)),
        (("gateway", "egress"), _egress(gateway)),
        (("listen",), _listen(listen)),
        ((), _sharing(gateway.store, listen)),
    ):
        problems += [_problem(document, (*part, *at), sev, text) for sev, at, text in findings]
    if not users:
        problems.append(
            _problem(document, ("users",), _WARNING, "no users: nobody can log in; add one")
        )
    return problems + _users(gateway, users)


def _problem(document: Document, location: Location, severity: Severity, text: str) -> Problem:
    return Problem(document.file, document.line(location), field_path(location), text, severity)


def _ipsec(ipsec: Ipsec) -> Iterator[Finding]:
    if ipsec.psk is None:
        yield _ERROR, ("psk",), "is missing; write psk: with a long secret, or pskFile: with a path"
    for name, secret in (("psk", ipsec.psk), ("previousPsk", ipsec.previous_psk)):
        if secret is None:
            continue
        octets = secret.reveal()
        if len(octets) < PSK_SHORT:
            yield (
                _WARNING,
                (name,),
                f"shorter than {PSK_SHORT} characters; use a long random one, since everybody "
                "who knows it can pose as the gateway",
            )
        if octets != octets.strip():
            yield _WARNING, (name,), "has blanks at its ends, which clients often lose"
        if not octets.isascii():
            yield _WARNING, (name,), "is not ASCII, and clients encode such characters differently"
    for phase, lines, weak_words in (
        ("phase1", ipsec.proposals.phase1, weak_phase1),
        ("phase2", ipsec.proposals.phase2, weak_phase2),
    ):
        for i, line in enumerate(lines):
            for weak in weak_words(line):
                if weak.word not in ipsec.allow_weak:
                    yield (
                        _ERROR,
                        ("proposals", phase, i),
                        f"{weak.word} is weak: {weak.why}; leave it out, or accept the risk with "
                        f"ipsec.allowWeak: [{weak.word}]",
                    )
    for i, word in enumerate(ipsec.allow_weak):
        yield _WARNING, ("allowWeak", i), f"weak: {_WEAK_WHY[word]}"


def _ppp(gateway: GatewaySpec) -> Iterator[Finding]:
    auth = gateway.ppp.auth
    for i, method in enumerate(auth):
        if method in auth[:i]:
            yield _ERROR, ("auth", i), f"{method} stands twice; leave one of them out"
        if method == "mschapv1" and method not in gateway.ipsec.allow_weak:
            yield (
                _ERROR,
                ("auth", i),
                f"mschapv1 is weak: {_WEAK_WHY[method]}; leave it out, or accept the risk with "
                "ipsec.allowWeak: [mschapv1]",
            )


def _pools(gateway: GatewaySpec) -> Iterator[Finding]:
    pools = gateway.pools
    for i, pool in enumerate(pools):
        for j, earlier in enumerate(pools[:i]):
            if pool.name == earlier.name:
                yield _ERROR, (i, "name"), f"pools[{j}] is called {pool.name} too; rename one"
            if pool.cidr.overlaps(earlier.cidr):
                yield (
                    _ERROR,
                    (i, "cidr"),
                    f"{pool.cidr} overlaps {earlier.cidr} of the pool {earlier.name}; "
                    "choose networks that have nothing in common",
                )
        for k, excluded in enumerate(pool.exclude):
            if excluded.first not in pool.cidr or excluded.last not in pool.cidr:
                yield (
                    _ERROR,
                    (i, "exclude", k),
                    f"lies outside of {pool.cidr}; correct it or leave it out",
                )
        if not pool.cidr.is_private and not pool.cidr.overlaps(_SHARED):
            yield (
                _WARNING,
                (i, "cidr"),
                f"{pool.cidr} is not a private network; make sure that it is yours",
            )
    if pools[0].cidr.prefixlen > SMALLEST_FIRST_POOL:
        yield (
            _ERROR,
            (0, "cidr"),
            f"{pools[0].cidr} is too small: the gateway takes its own address from it; "
            f"use a prefix of /{SMALLEST_FIRST_POOL} or shorter",
        )


def _egress(gateway: GatewaySpec) -> Iterator[Finding]:
    denied = gateway.egress.denied_cidrs
    link_local = DENIED_BY_DEFAULT[0]
    if not any(link_local.subnet_of(network) for network in denied):
        yield (
            _WARNING,
            ("deniedCIDRs",),
            f"does not deny {link_local}: clients can reach the cloud's metadata service; add it",
        )


def _listen(listen: Listen) -> Iterator[Finding]:
    if listen.ike_port == listen.natt_port:
        yield _ERROR, ("nattPort",), "is the same as ikePort; choose two different ports"
    if listen.remote is not None and listen.remote_key is None:
        yield _ERROR, ("remoteKey",), "is missing; write remoteKeyFile: with a path, or remote: off"
    elif listen.remote_key is not None and len(listen.remote_key) < KEY_OCTETS_MIN:
        yield _ERROR, ("remoteKey",), f"is shorter than {KEY_OCTETS_MIN} octets; use a random one"


def _sharing(store: Store, listen: Listen) -> Iterator[Finding]:
    """Several replicas need a store that they share, a ring, and keys; one needs none of that."""
    at, ring = ("gateway", "store"), ("listen", "ring")
    if store.type == "Memory":
        if listen.ring is not None:
            yield (
                _ERROR,
                ring,
                "replicas need a store that they share: write gateway.store: {type: Valkey, ...}, "
                "or ring: off",
            )
        kept = store.snapshot is not None
        unused = {"url", "password"} if kept else {"url", "password", "key", "names_key"}
        for name in sorted(store.model_fields_set & unused):
            yield _WARNING, (*at, field_alias(name)), "is not used by a store of type Memory"
        if store.snapshot is not None:
            if not Path(store.snapshot).is_absolute():
                yield _ERROR, (*at, "snapshot"), "is not an absolute path; write /PATH"
            yield from _sealing(store)
        return
    if store.snapshot is not None:
        yield _ERROR, (*at, "snapshot"), "is for a store of type Memory; leave it out"
    if store.url is None:
        yield _ERROR, (*at, "url"), "is missing; write for example url: valkey://HOST:6379"
    elif store.tls != StoreTls() and not parse_url(store.url).tls:
        yield _ERROR, (*at, "tls"), "is for TLS: begin the url with valkeys, or leave it out"
    elif store.tls.server_name and parse_url(store.url).topology is Topology.CLUSTER:
        text = "is not for a cluster, whose servers have names of their own; leave it out"
        yield _ERROR, (*at, "tls", "serverName"), text
    yield from _sealing(store)
    if listen.ring is None:
        yield (
            _ERROR,
            ring,
            "is missing; write ring: ADDRESS:PORT, with this replica's address as the others see "
            "it",
        )
    elif (fault := _unfit_for_the_ring(listen.ring.host)) is not None:
        yield _ERROR, ring, fault


def _sealing(store: Store) -> Iterator[Finding]:
    """What leaves the process is sealed."""
    at = ("gateway", "store")
    for name, key, needed in (
        ("key", store.key, True),
        ("previousKey", store.previous_key, False),
        ("namesKey", store.names_key, True),
    ):
        if key is None and needed:
            yield _ERROR, (*at, name), f"is missing; write {name}File: with a path"
        elif key is not None and len(key) < SHARED_KEY_OCTETS_MIN:
            octets = SHARED_KEY_OCTETS_MIN
            yield _ERROR, (*at, name), f"is shorter than {octets} octets; use a random one"
    old = store.previous_key
    if store.key is not None and old is not None and equal(store.key.reveal(), old.reveal()):
        yield _ERROR, (*at, "previousKey"), "is the same as key; leave it out"


def _unfit_for_the_ring(host: str) -> str | None:
    """Replicas know each other by their addresses. 0.0.0.0 says that the environment tells ours:
    replicas that read one file differ in nothing else."""
    try:
        address = ip_address(host)
    except ValueError:
        return f"{host} is a name; write this replica's address as the others see it"
    if address.is_multicast:
        return f"{host} is no replica's; write this replica's address as the others see it"
    return None


def _users(gateway: GatewaySpec, users: Sequence[UserRow]) -> list[Problem]:
    problems = []
    names: dict[str, tuple[Document, Location]] = {}
    addresses: dict[IPv4Address, str] = {}
    own = gateway_address(pool_specs(gateway))
    now = time.time()
    for document, location, user in users:
        findings = list(_user(user, gateway, own, now))
        if (first := names.get(user.username)) is not None:
            where = f"{first[0].file}:{first[0].line((*first[1], 'username'))}"
            findings.append(
                (_ERROR, ("username",), f"'{user.username}' stands at {where} too; keep one")
            )
        names.setdefault(user.username, (document, location))
        if user.static_ip is not None:
            if user.static_ip in addresses:
                holder = addresses[user.static_ip]
                findings.append(
                    (
                        _ERROR,
                        ("staticIP",),
                        f"{user.static_ip} is that of '{holder}' too; choose another",
                    )
                )
            addresses.setdefault(user.static_ip, user.username)
        problems += [_problem(document, (*location, *at), sev, text) for sev, at, text in findings]
    return problems


def _user(user: UserSpec, gateway: GatewaySpec, own: IPv4Address, now: float) -> Iterator[Finding]:
    if user.password is None and user.verifier is None:
        yield (
            _ERROR,
            ("password",),
            "is missing; write password:, passwordFile:, verifier: or verifierFile:",
        )
    elif user.password is not None and user.verifier is not None:
        yield _ERROR, ("verifier",), "password is given as well; keep one of the two"
    elif not _methods(user) & set(gateway.ppp.auth):
        methods = ", ".join(gateway.ppp.auth)
        yield (
            _WARNING,
            ("verifier",),
            f"serves none of the methods of ppp.auth ({methods}), so the user cannot log in; make "
            "one with another form (ferrule hash-password), or add a method",
        )
    if user.valid_until is not None and user.valid_until <= now:
        yield _WARNING, ("validUntil",), "has passed: the user cannot log in"
    if user.static_ip is not None:
        yield from _static_ip(user.static_ip, gateway, own)


def _static_ip(address: IPv4Address, gateway: GatewaySpec, own: IPv4Address) -> Iterator[Finding]:
    pool = next((pool for pool in gateway.pools if address in pool.cidr), None)
    at: Location = ("staticIP",)
    if pool is None:
        pools = ", ".join(str(pool.cidr) for pool in gateway.pools)
        yield _ERROR, at, f"{address} is in no pool; choose one of {pools}, or add a pool"
    elif address == own:
        yield _ERROR, at, f"{address} is the gateway's own address; choose another"
    elif pool.cidr.prefixlen <= SMALLEST_FIRST_POOL and address in (
        pool.cidr.network_address,
        pool.cidr.broadcast_address,
    ):
        yield _ERROR, at, f"{address} is the first or last of {pool.cidr}; choose one in between"


def _methods(user: UserSpec) -> set[str]:
    """The methods that the stored form serves."""
    if user.password is not None or user.verifier is None:
        return {"mschapv2", "mschapv1", "chap", "pap"}
    verifier = parse_verifier(user.verifier.reveal().decode())
    methods = {"pap"}
    if verifier.nt_hash is not None:
        methods |= {"mschapv2", "mschapv1"}
    if verifier.clear is not None:
        methods.add("chap")
    return methods
