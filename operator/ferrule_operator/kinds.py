"""The kinds that the operator reads and writes, and where the API server has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ferrule_operator.names import GROUP, SELECTOR, VERSION


@dataclass(frozen=True, slots=True)
class Kind:
    """`selector`: labels of the objects that are watched; "" for all of them."""

    name: str
    group: str
    version: str
    plural: str
    selector: str = ""
    fields: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """`namespace` "": all of them."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)


# Secrets that are never ours or a user's, and often many and large.
_OTHER_SECRETS: Final = ",".join(
    f"type!={kind}"
    for kind in (
        "helm.sh/release.v1",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    )
)

GATEWAY: Final = Kind("VpnGateway", GROUP, VERSION, "vpngateways")
USER: Final = Kind("VpnUser", GROUP, VERSION, "vpnusers")
SECRET: Final = Kind("Secret", "", "v1", "secrets", fields=_OTHER_SECRETS)
POD: Final = Kind("Pod", "", "v1", "pods", SELECTOR)
SERVICE: Final = Kind("Service", "", "v1", "services", SELECTOR)
SERVICE_ACCOUNT: Final = Kind("ServiceAccount", "", "v1", "serviceaccounts", SELECTOR)
STATEFUL_SET: Final = Kind("StatefulSet", "apps", "v1", "statefulsets", SELECTOR)
NETWORK_POLICY: Final = Kind(
    "NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", SELECTOR
)
DISRUPTION_BUDGET: Final = Kind(
    "PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", SELECTOR
)
EVENT: Final = Kind("Event", "", "v1", "events")
LEASE: Final = Kind("Lease", "coordination.k8s.io", "v1", "leases")

WATCHED: Final = (
    GATEWAY,
    USER,
    SECRET,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
)
KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (*WATCHED, EVENT, LEASE)}
