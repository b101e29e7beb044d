"""VpnUsers into accounts: who gets in, with which password, and why somebody does not. Pure.

The oldest user wins a user name or a static address. A user who is refused is left out of the
pods' configuration altogether, so that one wrong resource never spoils it for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final

from pydantic import ValidationError

from ferrule.accounts.pools import PoolSpec, gateway_address
from ferrule.runtime.config import UserSpec
from ferrule.runtime.config_problems import explain, field_path
from ferrule_operator import credentials
from ferrule_operator.bundles import Account, Stored
from ferrule_operator.conditions import Finding, no, yes
from ferrule_operator.credentials import Entropy, Overlap, Unusable
from ferrule_operator.events import Note
from ferrule_operator.manifests.secrets import PASSWORD_KEY, generated_password
from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.models.user import VpnUserSpec
from ferrule_operator.names import ROTATE_ANNOTATION, password_secret
from ferrule_operator.objects import (
    Object,
    annotation,
    deleting,
    generation_of,
    metadata,
    name_of,
    owned_by,
    uid_of,
    version_of,
)
from ferrule_operator.reasons import EventReason, Reason, UserCondition

_FIRST_HOSTS_PREFIX: Final = 30  # below it a network has no network and broadcast addresses


@dataclass(slots=True)
class UserPlan:
    """What the status of one VpnUser will say, but for what only pods know."""

    user: Object
    username: str
    findings: tuple[Finding, ...]
    secret_name: str = ""
    credential_version: str = ""


@dataclass(slots=True)
class AccountsPlan:
    accounts: list[Account] = field(default_factory=list)
    users: list[UserPlan] = field(default_factory=list)
    create: list[Object] = field(default_factory=list)  # Secrets that must not exist yet
    rotate: list[Object] = field(default_factory=list)  # Secrets to be changed as they are now
    notes: list[Note] = field(default_factory=list)
    wake_at: list[float] = field(default_factory=list)  # Unix seconds at which to look again


@dataclass(slots=True)
class Prepared:
    """A user's spec, read: it stays as it is as long as its generation."""

    username: str
    spec: VpnUserSpec | None
    entry: Mapping[str, Any]
    problem: str = ""


@dataclass(slots=True)
class Memory:
    """What need not be worked out again: specs by uid and generation, verifiers by Secret."""

    specs: MutableMapping[tuple[str, int], Prepared] = field(default_factory=dict)
    verifiers: MutableMapping[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    def forget(self, users: Iterable[Object], secrets: Iterable[Object]) -> None:
        """Keep only what belongs to these."""
        specs = {(uid_of(user), generation_of(user)) for user in users}
        kept = {(uid_of(secret), version_of(secret)) for secret in secrets}
        self.specs = {key: self.specs[key] for key in self.specs.keys() & specs}
        self.verifiers = {key: v for key, v in self.verifiers.items() if key[:2] in kept}


def plan_accounts(
    gateway: str,
    spec: VpnGatewaySpec,
    users: Sequence[Object],
    secrets: Mapping[str, Object],
    stored: Mapping[str, Stored],
    now: float,
    entropy: Entropy,
    memory: Memory,
) -> AccountsPlan:
    """`users` are those of this gateway, `secrets` all that they may refer to, by name."""
    planner = _Planner(gateway, spec, secrets, stored, now, entropy, memory)
    for user in sorted(users, key=_age):
        if not deleting(user):
            planner.add(user)
    return planner.plan


def prepare(user: Object, memory: Memory) -> Prepared:
    """Read a VpnUser's spec."""
    key = (uid_of(user), generation_of(user))
    if key not in memory.specs:
        memory.specs[key] = _prepare(user)
    return memory.specs[key]


def _prepare(user: Object) -> Prepared:
    raw = user.get("spec") or {}
    username = str(raw.get("username") or name_of(user))
    try:
        spec = VpnUserSpec.model_validate(raw)
        entry = spec.model_dump(
            mode="json",
            by_alias=True,
            exclude_defaults=True,
            exclude_none=True,
            exclude={"gateway_ref", "username", "password"},
        )
        UserSpec.model_validate({"username": username, "password": "checked later", **entry})
    except ValidationError as error:
        told = (f"spec.{field_path(at)}: {text}" for at, text in explain(error, VpnUserSpec))
        return Prepared(username, None, {}, "; ".join(told))
    return Prepared(username, spec, entry)


def _age(user: Object) -> tuple[str, str]:
    return str(metadata(user).get("creationTimestamp", "")), name_of(user)


class _Planner:
    def __init__(
        self,
        gateway: str,
        spec: VpnGatewaySpec,
        secrets: Mapping[str, Object],
        stored: Mapping[str, Stored],
        now: float,
        entropy: Entropy,
        memory: Memory,
    ) -> None:
        self.plan = AccountsPlan()
        self._gateway = gateway
        self._spec = spec
        self._secrets = secrets
        self._stored = stored
        self._now = now
        self._entropy = entropy
        self._memory = memory
        self._own = gateway_address([PoolSpec(p.name, p.cidr, p.exclude) for p in spec.pools])
        self._names: dict[str, str] = {}
        self._addresses: dict[IPv4Address, str] = {}

    def add(self, user: Object) -> None:
        prepared = prepare(user, self._memory)
        spec, username = prepared.spec, prepared.username
        if spec is None:
            self._refuse(user, username, no(_READY, Reason.INVALID, prepared.problem))
            return
        if (holder := self._names.get(username)) is not None:
            text = f"VpnUser {holder} has the user name {username}"
            self._refuse(user, username, no(_READY, Reason.USERNAME_TAKEN, text))
            return
        self._names[username] = name_of(user)
        address = self._address(spec.static_ip, name_of(user))
        if address.status == "False":
            self._refuse(user, username, no(_READY, address.reason, address.message), address)
            return
        try:
            secret, key, password = self._password(user, spec, username)
        except Unusable as problem:
            reason = Reason.SECRET_MISSING if problem.missing else Reason.SECRET_UNUSABLE
            told = no(UserCondition.CREDENTIALS_READY, reason, str(problem))
            ready = no(_READY, Reason.NO_CREDENTIALS, str(problem))
            self._refuse(user, username, ready, address, told)
            return
        except _NameTakenError as taken:
            told = no(UserCondition.CREDENTIALS_READY, Reason.NAME_TAKEN, str(taken))
            self._refuse(user, username, no(_READY, Reason.NAME_TAKEN, str(taken)), address, told)
            return
        self._accept(user, prepared, spec, address, secret, self._verifier(secret, key, password))

    # --- parts

    def _accept(
        self,
        user: Object,
        prepared: Prepared,
        spec: VpnUserSpec,
        address: Finding,
        secret: Object,
        verifier: str,
    ) -> None:
        stored = self._stored.get(prepared.username)
        overlap = credentials.overlap_of_verifier(
            self._now, verifier, stored, self._spec.rotation.password_overlap
        )
        self._note_rotation(user, stored, verifier, overlap)
        if overlap.value:
            self.plan.wake_at.append(overlap.until)
        self.plan.accounts.append(
            Account(prepared.username, prepared.entry, verifier, overlap.value, overlap.until)
        )
        generated = spec.password is None
        credentials_ready = yes(
            UserCondition.CREDENTIALS_READY,
            Reason.GENERATED if generated else Reason.PROVIDED,
            f"Secret {name_of(secret)}",
        )
        self.plan.users.append(
            UserPlan(
                user,
                prepared.username,
                (self._ready(spec), credentials_ready, address),
                name_of(secret),
                version_of(secret),
            )
        )

    def _ready(self, spec: VpnUserSpec) -> Finding:
        if not spec.enabled:
            return no(_READY, Reason.DISABLED, "spec.enabled is false")
        if spec.valid_until is not None:
            if spec.valid_until <= self._now:
                return no(_READY, Reason.EXPIRED, "spec.validUntil has passed")
            self.plan.wake_at.append(spec.valid_until)
        return yes(_READY, Reason.ACTIVE)

    def _refuse(self, user: Object, username: str, ready: Finding, *others: Finding) -> None:
        self.plan.users.append(UserPlan(user, username, (ready, *others)))

    def _address(self, address: IPv4Address | None, holder: str) -> Finding:
        kind = UserCondition.ADDRESS_RESERVED
        if address is None:
            return yes(kind, Reason.NO_STATIC_ADDRESS)
        pool = next((pool.cidr for pool in self._spec.pools if address in pool.cidr), None)
        if pool is None:
            pools = ", ".join(str(pool.cidr) for pool in self._spec.pools)
            text = f"{address} is in no pool of the gateway ({pools})"
            return no(kind, Reason.ADDRESS_OUTSIDE_POOLS, text)
        edges = (pool.network_address, pool.broadcast_address)
        if address == self._own or (pool.prefixlen <= _FIRST_HOSTS_PREFIX and address in edges):
            text = f"{address} is the gateway's own, or the first or last of {pool}"
            return no(kind, Reason.ADDRESS_OUTSIDE_POOLS, text)
        if (other := self._addresses.setdefault(address, holder)) != holder:
            return no(kind, Reason.ADDRESS_TAKEN, f"VpnUser {other} has {address}")
        return yes(kind, Reason.RESERVED, str(address))

    def _password(self, user: Object, spec: VpnUserSpec, username: str) -> tuple[Object, str, str]:
        """The Secret, the key in it, and the password."""
        if spec.password is not None:
            ref = spec.password.value_from.secret_key_ref
            secret = self._secrets.get(ref.name)
            text = credentials.text_at(secret, ref.name, ref.key)
            assert secret is not None
            return secret, ref.key, text
        name = password_secret(name_of(user))
        secret = self._secrets.get(name)
        if secret is None:
            return self._generate(user, username, None)
        if not owned_by(secret, user):
            raise _NameTakenError(f"Secret {name} is there already, and is not this VpnUser's")
        if credentials.wants_rotation(user, secret):
            return self._generate(user, username, secret)
        return secret, PASSWORD_KEY, credentials.text_at(secret, name, PASSWORD_KEY)

    def _generate(
        self, user: Object, username: str, before: Object | None
    ) -> tuple[Object, str, str]:
        password = credentials.make_password(self._entropy)
        rotated_for = annotation(user, ROTATE_ANNOTATION)
        secret = generated_password(user, self._gateway, username, password, rotated_for)
        if before is None:
            self.plan.create.append(secret)
            text = f"made a password, in Secret {name_of(secret)}"
            self.plan.notes.append(Note(user, EventReason.CREDENTIALS_GENERATED, text))
        else:
            secret["metadata"]["resourceVersion"] = version_of(before)
            self.plan.rotate.append(secret)
        return secret, PASSWORD_KEY, password

    def _verifier(self, secret: Object, at: str, password: str) -> str:
        methods = self._spec.ppp.auth
        version = version_of(secret)
        if not version:  # it is only being made
            return credentials.verifier_of(password, methods)
        key = (uid_of(secret), version, at, *methods)
        if key not in self._memory.verifiers:
            self._memory.verifiers[key] = credentials.verifier_of(password, methods)
        return self._memory.verifiers[key]

    def _note_rotation(
        self, user: Object, stored: Stored | None, verifier: str, overlap: Overlap
    ) -> None:
        if stored is None or stored.verifier == verifier:
            return
        if overlap.value == stored.verifier:
            seconds = round(overlap.until - self._now)
            text = f"another password; the one before is accepted for {seconds} s more"
        elif not credentials.same_password(stored.verifier, verifier):
            text = "another password; the one before is not accepted any more"
        else:
            return
        self.plan.notes.append(Note(user, EventReason.CREDENTIALS_ROTATED, text))


class _NameTakenError(Exception):
    """The Secret that a generated password would go to is somebody else's."""


_READY: Final = UserCondition.READY
