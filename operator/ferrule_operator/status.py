"""The statuses of a gateway and its users: what was planned, what is there, what pods say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ferrule_operator.accounts import UserPlan
from ferrule_operator.conditions import Finding, merged, no, time_text, unknown, yes
from ferrule_operator.events import Note
from ferrule_operator.objects import (
    Object,
    Ref,
    deleting,
    generation_of,
    name_of,
    selector_labels,
)
from ferrule_operator.plan import Observed, Plan, load_balancer_ingress
from ferrule_operator.pods import host_of, is_ready, trouble
from ferrule_operator.reasons import EventReason, GatewayCondition, Reason, UserCondition
from ferrule_operator.reports import (
    Report,
    is_current,
    newest,
    newest_connection,
    pool_free,
    revisions_of,
)

# Their change alone is no news: it waits for the next time that counters are written.
COUNTERS: Final = frozenset({"sessions", "poolFree"})
USER_COUNTERS: Final = frozenset({"activeSessions", "lastConnectedTime"})

_ORDER: Final = tuple(GatewayCondition)


@dataclass(slots=True)
class Outcome:
    """How applying the plan went. `refused`: what the API server would not take, by object."""

    refused: dict[str, str] = field(default_factory=dict)


def gateway_status(
    observed: Observed,
    plan: Plan,
    reports: Mapping[str, Report],
    outcome: Outcome,
    now: float,
) -> Object:
    """`reports` by pod name. `observed` is after the plan was applied."""
    gateway = observed.gateway
    assert gateway is not None
    before = gateway.get("status") or {}
    live = observed.children.get(Ref("StatefulSet", observed.namespace, observed.name)) or {}
    of_set = live.get("status") or {}
    ready = [pod for pod in observed.pods if is_ready(pod)]
    heard = {
        name_of(pod): reports[name_of(pod)] for pod in observed.pods if name_of(pod) in reports
    }
    known = list(heard.values())
    findings = _Findings(observed, plan, heard, outcome, len(ready)).all(ready)
    status: Object = {
        "observedGeneration": generation_of(gateway),
        "replicas": int(of_set.get("replicas", 0)),
        "readyReplicas": len(ready),
        "selector": ",".join(f"{k}={v}" for k, v in selector_labels(observed.name).items()),
        "address": _address(observed, plan, ready),
        "sessions": sum(report.sessions for report in known),
        "poolFree": pool_free(known),
        "members": sorted({m for report in newest(heard).values() for m in report.members}),
        "version": min((report.version for report in known if report.version), default=""),
        "conditions": merged(before.get("conditions") or (), findings, generation_of(gateway), now),
    }
    if plan.spec is None and not plan.deleting:
        # Paused, or not understood: what was found out before is still the best that is known.
        for name in ("address",):
            status[name] = before.get(name, "")
    if observed.pods and not known:
        status |= {name: before.get(name, 0) for name in COUNTERS}
        status["members"] = before.get("members", [])
        status["version"] = before.get("version", "")
    return status


class _Findings:
    def __init__(
        self,
        observed: Observed,
        plan: Plan,
        reports: Mapping[str, Report],
        outcome: Outcome,
        ready: int,
    ) -> None:
        assert observed.gateway is not None
        self._observed = observed
        self._gateway = observed.gateway
        self._plan = plan
        self._reports = reports
        self._outcome = outcome
        self._ready = ready
        self._paused = bool((self._gateway.get("spec") or {}).get("paused"))

    def all(self, ready: Sequence[Object]) -> list[Finding]:
        found: dict[str, Finding] = {}
        for finding in self._plan.findings:
            found.setdefault(finding.type, finding)
        found.setdefault(GatewayCondition.AVAILABLE, self._available())
        found.setdefault(GatewayCondition.PROGRESSING, self._progressing())
        found.setdefault(GatewayCondition.LOAD_BALANCER_READY, self._load_balancer())
        found.setdefault(GatewayCondition.STORE_READY, self._store())
        found.setdefault(GatewayCondition.WEAK_CRYPTO_IN_USE, self._weak())
        found.setdefault(GatewayCondition.DRAINING, self._draining())
        for kind in (GatewayCondition.CONFIG_VALID, GatewayCondition.CREDENTIALS_READY):
            if kind not in found and (kept := self._before(kind)) is not None:
                found[kind] = kept
        found[GatewayCondition.READY] = self._all_well(found, ready)
        return [found[kind] for kind in _ORDER if kind in found]

    def _before(self, kind: str) -> Finding | None:
        """What was said of it last; for what could not be looked at this time."""
        conditions = (self._gateway.get("status") or {}).get("conditions") or ()
        for condition in conditions:
            if condition.get("type") == kind:
                return Finding(
                    kind,
                    condition.get("status", "Unknown"),
                    condition.get("reason", ""),
                    condition.get("message", ""),
                )
        return None

    def _available(self) -> Finding:
        kind = GatewayCondition.AVAILABLE
        if self._ready:
            return yes(kind, Reason.SERVING, f"{self._ready} pods serve clients")
        if self._wanted() == 0:
            return no(kind, Reason.SCALED_TO_ZERO, "spec.replicas is 0")
        if (said := trouble(self._observed.pods)) is not None:
            return no(kind, *said)
        return no(kind, Reason.NO_PODS_READY, "no pod serves clients yet")

    def _wanted(self) -> int:
        return int((self._gateway.get("spec") or {}).get("replicas", 1))

    def _progressing(self) -> Finding:
        kind = GatewayCondition.PROGRESSING
        if self._plan.deleting:
            return yes(kind, Reason.DELETING, f"{len(self._observed.pods)} pods are still there")
        if self._paused:
            return no(kind, Reason.PAUSED, "spec.paused is true")
        if self._outcome.refused:
            told = "; ".join(f"{ref}: {text}" for ref, text in self._outcome.refused.items())
            return no(kind, Reason.REFUSED_BY_API_SERVER, told)
        ref = Ref("StatefulSet", self._observed.namespace, self._observed.name)
        live = self._observed.children.get(ref)
        if live is None:
            return no(kind, Reason.SETTLED, "there are no pods to be made")
        status, wanted = live.get("status") or {}, self._wanted()
        seen = int(status.get("observedGeneration", 0)) >= generation_of(live)
        updated = int(status.get("updatedReplicas", 0))
        if not seen or int(status.get("replicas", 0)) != wanted or updated < wanted:
            return yes(kind, Reason.ROLLING_OUT, f"{updated} of {wanted} pods are up to date")
        return no(kind, Reason.SETTLED)

    def _load_balancer(self) -> Finding:
        kind = GatewayCondition.LOAD_BALANCER_READY
        exposure = (self._gateway.get("spec") or {}).get("exposure") or {}
        which = exposure.get("type", "LoadBalancer")
        if which != "LoadBalancer":
            return yes(kind, Reason.NOT_NEEDED, f"exposure.type is {which}")
        ref = Ref("Service", self._observed.namespace, self._observed.name)
        ingress = load_balancer_ingress(self._observed.children.get(ref) or {})
        for row in ingress:
            if found := row.get("ip") or row.get("hostname"):
                return yes(kind, Reason.ADDRESS_ASSIGNED, str(found))
        return no(kind, Reason.ADDRESS_PENDING, f"Service {ref.name} has no address yet")

    def _store(self) -> Finding:
        kind = GatewayCondition.STORE_READY
        store = (self._gateway.get("spec") or {}).get("store") or {}
        if store.get("type", "Memory") == "Memory":
            return yes(kind, Reason.IN_MEMORY)
        told = {n: r for n, r in newest(self._reports).items() if r.store_up is not None}
        if not told:
            return unknown(kind, Reason.UNKNOWN_STORE_STATE, "no pod has told yet")
        wrong = {name: r.store_problem for name, r in sorted(told.items()) if not r.store_up}
        if not wrong:
            return yes(kind, Reason.REACHABLE)
        name, why = next(iter(wrong.items()))
        text = f"{len(wrong)} of {len(told)} pods don't reach it; {name}: {why or 'no answer'}"
        return no(kind, Reason.STORE_UNREACHABLE, text)

    def _weak(self) -> Finding:
        kind = GatewayCondition.WEAK_CRYPTO_IN_USE
        ipsec = (self._gateway.get("spec") or {}).get("ipsec") or {}
        words = sorted(str(word) for word in ipsec.get("allowWeak") or ())
        if not words:
            return no(kind, Reason.NOT_ALLOWED)
        # Not how many SAs use it: that changes all the time, and is a metric.
        return yes(kind, Reason.ALLOWED_BY_SPEC, f"accepted: {', '.join(words)}")

    def _draining(self) -> Finding:
        kind = GatewayCondition.DRAINING
        leaving = sum(deleting(pod) for pod in self._observed.pods)
        if leaving:
            return yes(kind, Reason.PODS_TERMINATING, f"{leaving} pods say goodbye")
        return no(kind, Reason.SETTLED)

    def _all_well(
        self,
        found: Mapping[str, Finding],
        ready: Sequence[Object],
    ) -> Finding:
        kind = GatewayCondition.READY
        if self._plan.deleting:
            return no(kind, Reason.DELETING, "the gateway is being deleted")
        for needed in (
            GatewayCondition.CONFIG_VALID,
            GatewayCondition.CREDENTIALS_READY,
            GatewayCondition.AVAILABLE,
            GatewayCondition.LOAD_BALANCER_READY,
            GatewayCondition.STORE_READY,
        ):
            finding = found.get(needed)
            if finding is not None and not finding.holds:
                return no(kind, finding.reason, finding.message)
        progressing = found[GatewayCondition.PROGRESSING]
        if progressing.holds or progressing.reason not in (Reason.SETTLED, Reason.PAUSED):
            return no(kind, progressing.reason, progressing.message)
        if self._ready < self._wanted():
            said = trouble(self._observed.pods)
            text = f"{self._ready} of {self._wanted()} pods serve clients"
            return no(kind, *(said or (Reason.SOME_PODS_NOT_READY, text)))
        wanted = revisions_of(self._plan.files)
        late = [
            name_of(pod)
            for pod in ready
            if wanted and not _runs_on(self._reports.get(name_of(pod)), wanted)
        ]
        if late:
            text = "on an older configuration, or not heard of: " + ", ".join(sorted(late)[:3])
            problems = {r.problem for r in self._reports.values() if r.problem}
            return no(kind, Reason.CONFIG_NOT_TAKEN_OVER, "; ".join([text, *sorted(problems)]))
        return yes(kind, Reason.AS_SPECIFIED)


def _runs_on(report: Report | None, wanted: Mapping[str, int]) -> bool:
    return report is not None and is_current(report, wanted)


def _address(observed: Observed, plan: Plan, ready: Sequence[Object]) -> str:
    spec = plan.spec
    if spec is None:
        return ""
    exposure = spec.exposure
    if exposure.public_address is not None:
        return str(exposure.public_address)
    service = observed.children.get(Ref("Service", observed.namespace, observed.name)) or {}
    match exposure.type:
        case "LoadBalancer":
            rows = load_balancer_ingress(service)
            return next((str(r.get("ip") or r.get("hostname") or "") for r in rows), "")
        case "HostPort":
            return min((host_of(pod) for pod in ready), default="")
        case "ClusterIP":
            return str((service.get("spec") or {}).get("clusterIP") or "")
        case "NodePort":
            return ""


# --- users


def user_status(
    planned: UserPlan,
    reports: Sequence[Report],
    now: float,
    before: Mapping[str, Any] | None = None,
) -> Object:
    """`reports`: of all pods that answered; `before`: the status, if it is newer than the plan."""
    user = planned.user
    if before is None:
        before = user.get("status") or {}
    connected = newest_connection(reports, planned.username)
    last = time_text(connected) if connected else ""
    kept = str(before.get("lastConnectedTime") or "")
    newest = max(last, kept)  # RFC 3339 in UTC sorts as it reads
    status: Object = {
        "observedGeneration": generation_of(user),
        "username": planned.username,
        "secretName": planned.secret_name,
        "credentialVersion": planned.credential_version,
        "activeSessions": sum(report.users.get(planned.username, 0) for report in reports),
        "conditions": merged(
            before.get("conditions") or (), planned.findings, generation_of(user), now
        ),
    }
    if newest:
        status["lastConnectedTime"] = newest
    return status


# --- news


def gateway_news(gateway: Object, after: Object) -> list[Note]:
    """Events for conditions that changed between the live status and the new one."""
    notes = _news_of_members(gateway, after)
    for condition in after["conditions"]:
        before = _status_before(gateway, condition["type"])
        for row in _NEWS:
            if row.matches(condition, before):
                text = condition["message"] or condition["reason"]
                notes.append(Note(gateway, row.event, text))
    return notes


def _news_of_members(gateway: Object, after: Object) -> list[Note]:
    """Who came, who left. Not while nobody could be asked, and not of a first one alone."""
    before = set((gateway.get("status") or {}).get("members") or ())
    now = set(after["members"])
    if not before or not now or before == now:
        return []
    came, left = sorted(now - before), sorted(before - now)
    told = [
        f"{word} {', '.join(names)}" for word, names in (("came", came), ("left", left)) if names
    ]
    return [Note(gateway, EventReason.MEMBERS_CHANGED, f"{'; '.join(told)}; {len(now)} now")]


@dataclass(frozen=True, slots=True)
class _News:
    """A change of a condition that is worth an event. `before` "": there was no such condition."""

    type: GatewayCondition
    before: tuple[str, ...]
    after: str
    event: EventReason

    def matches(self, condition: Mapping[str, Any], before: str) -> bool:
        return (
            condition["type"] == self.type
            and condition["status"] == self.after
            and before in self.before
            and condition["reason"] != Reason.NOT_NEEDED
        )


_BAD: Final = ("False", "Unknown")
_NEWS: Final = (
    _News(GatewayCondition.CONFIG_VALID, ("", "True"), "False", EventReason.CONFIG_INVALID),
    _News(GatewayCondition.CONFIG_VALID, _BAD, "True", EventReason.CONFIG_VALID),
    _News(
        GatewayCondition.CREDENTIALS_READY, ("", "True"), "False", EventReason.CREDENTIALS_MISSING
    ),
    _News(
        GatewayCondition.LOAD_BALANCER_READY, ("", *_BAD), "True", EventReason.LOAD_BALANCER_READY
    ),
    _News(
        GatewayCondition.STORE_READY,
        ("", "Unknown", "True"),
        "False",
        EventReason.STORE_UNREACHABLE,
    ),
    _News(GatewayCondition.STORE_READY, ("False",), "True", EventReason.STORE_REACHABLE),
    _News(GatewayCondition.AVAILABLE, ("", *_BAD), "True", EventReason.AVAILABLE),
    _News(GatewayCondition.AVAILABLE, ("True",), "False", EventReason.UNAVAILABLE),
)
_REJECTIONS: Final = frozenset(
    {
        Reason.INVALID,
        Reason.USERNAME_TAKEN,
        Reason.ADDRESS_TAKEN,
        Reason.ADDRESS_OUTSIDE_POOLS,
        Reason.NO_CREDENTIALS,
        Reason.NAME_TAKEN,
        Reason.GATEWAY_NOT_FOUND,
    }
)


def user_news(user: Object, after: Object) -> list[Note]:
    """An event for a user who is refused now, and was not, or for another reason."""
    ready = next((c for c in after["conditions"] if c["type"] == UserCondition.READY), None)
    if ready is None or ready["reason"] not in _REJECTIONS:
        return []
    conditions = (user.get("status") or {}).get("conditions") or ()
    if any(c.get("type") == "Ready" and c.get("reason") == ready["reason"] for c in conditions):
        return []
    return [Note(user, EventReason.USER_REJECTED, ready["message"])]


def _status_before(resource: Object, kind: str) -> str:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((str(c.get("status")) for c in conditions if c.get("type") == kind), "")


# --- writing


def patch_of(before: Mapping[str, Any], after: Object) -> Object:
    """A merge patch that makes `before` into `after`; {} for nothing to do."""
    patch: Object = {name: value for name, value in after.items() if before.get(name) != value}
    patch |= {name: None for name in before if name not in after}
    return patch


def is_news(patch: Mapping[str, Any], counters: frozenset[str]) -> bool:
    """More than counters?"""
    return bool(set(patch) - counters)
