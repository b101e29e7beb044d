"""What is to be done for a gateway: the observed in, a Plan out. Pure but for the memory of
work that need not be repeated.

A spec that makes no valid configuration changes nothing that runs, with one exception: users.
Whoever is to be out must get out, whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Any, Final

from pydantic import ValidationError

from ferrule.runtime.config_problems import explain, field_path
from ferrule_operator import bundles, rendering
from ferrule_operator.accounts import AccountsPlan, Memory, UserPlan, plan_accounts
from ferrule_operator.bundles import Bundle, stored_users, with_revision
from ferrule_operator.conditions import Finding, no, time_value, yes
from ferrule_operator.credentials import Entropy, Unusable
from ferrule_operator.events import Note
from ferrule_operator.gateway_secrets import SecretsPlan, SecretsPlanner
from ferrule_operator.manifests.child import Parent
from ferrule_operator.manifests.disruption_budget import disruption_budget
from ferrule_operator.manifests.network_policy import network_policy
from ferrule_operator.manifests.secrets import files_secret
from ferrule_operator.manifests.service_account import service_account
from ferrule_operator.manifests.services import headless_service, public_service
from ferrule_operator.manifests.stateful_set import GRACE_SECONDS, stateful_set
from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.names import (
    APPLIED_ANNOTATION,
    FINALIZER,
    config_secret,
    users_secret,
)
from ferrule_operator.objects import (
    Object,
    Ref,
    annotation,
    deleting,
    differences,
    metadata,
    name_of,
    owned_by,
    ref_of,
    stamped,
    texts_of,
)
from ferrule_operator.reasons import EventReason, GatewayCondition, Reason, UserCondition
from ferrule_operator.settings import Settings

LEAVE_SECONDS: Final = 60.0  # beyond the pods' own time, when a gateway is deleted


@dataclass(slots=True)
class Observed:
    """What there is, of one gateway. `gateway` None: only users that name it."""

    namespace: str
    name: str
    gateway: Object | None
    users: Sequence[Object] = ()
    secrets: Mapping[str, Object] = field(default_factory=dict)  # of the namespace, by name
    children: Mapping[Ref, Object] = field(default_factory=dict)
    pods: Sequence[Object] = ()


@dataclass(slots=True)
class Plan:
    """`files` is what pods should run on; empty where it is not known (yet)."""

    create: list[Object] = field(default_factory=list)  # must not exist yet
    apply: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    finalizer: bool | None = None  # True: to be added, False: to be removed
    spec: VpnGatewaySpec | None = None
    findings: list[Finding] = field(default_factory=list)
    users: list[UserPlan] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict, repr=False)
    notes: list[Note] = field(default_factory=list)
    wake_at: list[float] = field(default_factory=list)
    deleting: bool = False


def plan_gateway(
    observed: Observed,
    settings: Settings,
    now: float,
    entropy: Entropy,
    memory: Memory,
    known: Mapping[Ref, frozenset[str]],
) -> Plan:
    """`now` in Unix seconds. `known`: how objects differed right after they were applied, because
    the API server writes values in another way than we do."""
    gateway = observed.gateway
    if gateway is None:
        return _without_gateway(observed)
    if deleting(gateway):
        return _deletion(observed, gateway, now)
    plan = Plan()
    if FINALIZER not in (metadata(gateway).get("finalizers") or ()):
        plan.finalizer = True
    if (gateway.get("spec") or {}).get("paused"):
        return plan
    _Planner(observed, gateway, settings, now, entropy, memory, known, plan).run()
    return plan


def _without_gateway(observed: Observed) -> Plan:
    text = f"there is no VpnGateway {observed.name}"
    missing = no(UserCondition.READY, Reason.GATEWAY_NOT_FOUND, text)
    users = [
        UserPlan(user, _username(user), (missing,)) for user in observed.users if not deleting(user)
    ]
    return Plan(users=users)


def _username(user: Object) -> str:
    return str((user.get("spec") or {}).get("username") or name_of(user))


# --- deletion


def _deletion(observed: Observed, gateway: Object, now: float) -> Plan:
    """Pods first: they say goodbye with their configuration still there. Then all else goes, by
    garbage collection, when the finalizer is off."""
    plan = _without_gateway(observed)
    plan.deleting = True
    if FINALIZER not in (metadata(gateway).get("finalizers") or ()):
        return plan
    since = time_value(str(metadata(gateway)["deletionTimestamp"]))
    drain = (gateway.get("spec") or {}).get("drain") or {}
    patience = float(drain.get("timeoutSeconds", 0)) + GRACE_SECONDS + LEAVE_SECONDS
    sets = [
        item
        for ref, item in observed.children.items()
        if ref.kind == "StatefulSet" and owned_by(item, gateway)
    ]
    plan.delete = [item for item in sets if not deleting(item)]
    if plan.delete:
        plan.notes.append(Note(gateway, EventReason.DRAIN_STARTED, "pods say goodbye"))
    if not sets and not observed.pods:
        plan.finalizer = False
        plan.notes.append(Note(gateway, EventReason.DRAIN_FINISHED, "all pods have left"))
    elif now >= since + patience:
        plan.finalizer = False
        text = f"{len(observed.pods)} pods did not leave within {round(patience)} s"
        plan.notes.append(Note(gateway, EventReason.DRAIN_GIVEN_UP, text))
    else:
        plan.wake_at.append(since + patience)
    return plan


# --- everything else


class _Planner:
    def __init__(
        self,
        observed: Observed,
        gateway: Object,
        settings: Settings,
        now: float,
        entropy: Entropy,
        memory: Memory,
        known: Mapping[Ref, frozenset[str]],
        plan: Plan,
    ) -> None:
        self._observed = observed
        self._gateway = gateway
        self._settings = settings
        self._now = now
        self._entropy = entropy
        self._memory = memory
        self._known = known
        self._plan = plan

    def run(self) -> None:
        spec, problem = read_spec(self._gateway)
        if spec is None:
            self._finding(no(GatewayCondition.CONFIG_VALID, Reason.INVALID, problem))
            spec = _enough_for_users(self._gateway)
            if spec is not None:
                self._users(Parent(self._gateway, spec, self._settings), self._shards(), None)
            return
        self._plan.spec = spec
        parent = Parent(self._gateway, spec, self._settings)
        shards = self._shards()
        config = self._config(parent, shards) if self._may_share(spec) else None
        self._users(parent, shards, config)
        if config is not None:
            self._children(parent)

    def _may_share(self, spec: VpnGatewaySpec) -> bool:
        """The API server refuses it first, also through the scale subresource; an object may be
        older than the rule."""
        if spec.replicas <= 1 or spec.store.type == "Valkey":
            return True
        text = (
            f"spec.replicas: {spec.replicas} pods need a store that they share: store.type Valkey"
        )
        self._finding(no(GatewayCondition.CONFIG_VALID, Reason.INVALID, text))
        return False

    def _finding(self, finding: Finding) -> None:
        self._plan.findings.append(finding)

    # --- configuration

    def _config(self, parent: Parent, shards: int) -> Bundle | None:
        """The bundle, or None where it can't be made; the findings say why."""
        live = texts_of(self._live("Secret", config_secret(parent.name)) or {})
        planner = SecretsPlanner(parent, self._observed.secrets, live, self._now, self._entropy)
        try:
            secrets = planner.run()
        except Unusable as problem:
            reason = Reason.SECRET_MISSING if problem.missing else Reason.SECRET_UNUSABLE
            self._finding(no(GatewayCondition.CREDENTIALS_READY, reason, str(problem)))
            return None
        self._take(planner.plan)
        self._plan.apply += planner.plan.apply
        self._plan.findings += planner.plan.findings
        place = f"{parent.namespace}/{parent.name}"
        public = self._public(parent.spec)
        bundle = rendering.config_bundle(parent.spec, secrets, public, shards, place)
        verdict = rendering.check(bundle, shards)
        if verdict.config is None:
            text = "; ".join(verdict.errors)
            self._finding(no(GatewayCondition.CONFIG_VALID, Reason.INVALID, text))
            return None
        text = "; ".join(verdict.warnings)
        self._finding(yes(GatewayCondition.CONFIG_VALID, Reason.VALID, text))
        self._write_bundle(parent, config_secret(parent.name), bundle, live)
        return bundle

    def _public(self, spec: VpnGatewaySpec) -> IPv4Address | None:
        """What the gateway calls itself."""
        if spec.exposure.public_address is not None:
            return spec.exposure.public_address
        service = self._live("Service", self._observed.name)
        if spec.exposure.type != "LoadBalancer" or service is None:
            return None
        for ingress in load_balancer_ingress(service):
            try:
                return IPv4Address(str(ingress.get("ip", "")))
            except AddressValueError:
                continue
        return None

    # --- users

    def _shards(self) -> int:
        before = sum(
            self._live("Secret", users_secret(self._observed.name, shard)) is not None
            for shard in range(bundles.SHARDS)
        )
        return bundles.shards_for(len(self._observed.users), before)

    def _users(self, parent: Parent, shards: int, config: Bundle | None) -> None:
        name = parent.name
        live = {
            shard: texts_of(self._live("Secret", users_secret(name, shard)) or {})
            for shard in range(bundles.SHARDS)
        }
        together = {file: text for files in live.values() for file, text in files.items()}
        accounts = plan_accounts(
            name,
            parent.spec,
            self._observed.users,
            self._observed.secrets,
            stored_users(together),
            self._now,
            self._entropy,
            self._memory,
        )
        self._plan.users = accounts.users
        self._take(accounts)
        self._plan.apply += [stamped(secret) for secret in accounts.rotate]
        made = bundles.users_bundles(accounts.accounts, shards)
        if any(bundle.octets > bundles.OCTETS_MAX for bundle in made):
            text = f"{len(accounts.accounts)} users do not fit into {shards} Secrets"
            self._finding(no(GatewayCondition.CONFIG_VALID, Reason.TOO_MANY_USERS, text))
            return
        if config is None and not together:
            return  # there is nothing yet that could run on it
        for shard, bundle in reversed(list(enumerate(made))):
            self._write_bundle(parent, users_secret(name, shard), bundle, live[shard])
        if config is None:
            kept = texts_of(self._live("Secret", config_secret(name)) or {})
            self._plan.files = kept | self._plan.files if kept else {}

    def _take(self, part: AccountsPlan | SecretsPlan) -> None:
        self._plan.create += part.create
        self._plan.notes += part.notes
        self._plan.wake_at += part.wake_at

    def _write_bundle(
        self, parent: Parent, name: str, bundle: Bundle, live: Mapping[str, str]
    ) -> None:
        files = with_revision(bundle, live, self._now)
        self._plan.files |= files
        self._want(files_secret(parent, name, files))

    # --- children

    def _children(self, parent: Parent) -> None:
        if self._live("StatefulSet", parent.name) is None:
            self._note(EventReason.CREATED, "the gateway's objects are being made")
        optional = (
            ("Service", public_service(parent)),
            ("NetworkPolicy", network_policy(parent)),
            ("PodDisruptionBudget", disruption_budget(parent)),
        )
        self._want(service_account(parent))
        self._want(headless_service(parent))
        for kind, wanted in optional:
            if wanted is not None:
                self._want(wanted)
                continue
            there = self._live(kind, parent.name)
            if there is not None and owned_by(there, self._gateway) and not deleting(there):
                self._plan.delete.append(there)
        self._note_scaling(parent)
        self._want(stateful_set(parent))

    def _note_scaling(self, parent: Parent) -> None:
        live = self._live("StatefulSet", parent.name)
        before = (live.get("spec") or {}).get("replicas") if live is not None else None
        if before is not None and before != parent.spec.replicas:
            self._note(EventReason.SCALED, f"{before} to {parent.spec.replicas} pods")

    def _want(self, wanted: Object) -> None:
        """Apply the object, if it is not as wanted already, and is ours."""
        wanted = stamped(wanted)
        ref = ref_of(wanted)
        live = self._observed.children.get(ref)
        if live is None:
            self._plan.apply.append(wanted)
            return
        if deleting(live):
            return  # it comes again when this one is gone
        if not owned_by(live, self._gateway):
            text = f"{ref} is there already, and is not this gateway's"
            self._finding(no(GatewayCondition.PROGRESSING, Reason.NAME_TAKEN, text))
            return
        stamp = annotation(live, APPLIED_ANNOTATION)
        if stamp != annotation(wanted, APPLIED_ANNOTATION):
            self._plan.apply.append(wanted)
            return
        drift = set(differences(wanted, live)) - self._known.get(ref, frozenset())
        if drift:
            if ref.kind != "Secret":  # a Secret's data changes with its users, the stamp does not
                fields = ", ".join(sorted(drift)[:3])
                self._note(EventReason.DRIFT_REPAIRED, f"{ref}: {fields}")
            self._plan.apply.append(wanted)

    def _live(self, kind: str, name: str) -> Object | None:
        ref = Ref(kind, self._observed.namespace, name)
        found = self._observed.children.get(ref)
        if found is None and kind == "Secret":
            found = self._observed.secrets.get(name)
        return found

    def _note(self, reason: EventReason, message: str) -> None:
        self._plan.notes.append(Note(self._gateway, reason, message))


def read_spec(gateway: Object) -> tuple[VpnGatewaySpec | None, str]:
    """The spec, or what is wrong with it."""
    try:
        return VpnGatewaySpec.model_validate(gateway.get("spec") or {}), ""
    except ValidationError as error:
        told = (f"spec.{field_path(at)}: {text}" for at, text in explain(error, VpnGatewaySpec))
        return None, "; ".join(told)


def _enough_for_users(gateway: Object) -> VpnGatewaySpec | None:
    """The parts of the spec that users depend on, where only others are wrong."""
    raw = gateway.get("spec") or {}
    parts = {name: raw[name] for name in ("pools", "ppp", "rotation") if name in raw}
    try:
        return VpnGatewaySpec.model_validate(parts)
    except ValidationError:
        return None


def load_balancer_ingress(service: Object) -> Iterable[Mapping[str, Any]]:
    """Where a load balancer says that it can be reached."""
    status = (service.get("status") or {}).get("loadBalancer") or {}
    return status.get("ingress") or ()
