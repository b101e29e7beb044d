"""What the API server refuses by itself, as CEL rules, and the bounds that make them cheap.

Each rule stands in the definition at its path; tests/kubernetes has an object for each that it
refuses, and one that it accepts. What CEL can't tell becomes the condition ConfigValid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NAME_MAX: Final = 40  # what the operator appends to it must fit into 63 characters

_NETWORK: Final = (
    "isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self).masked() == cidr(self)"
)
_NETWORK_OR_ADDRESS: Final = (
    "(isIP(self) && ip(self).family() == 4) || (isCIDR(self) && cidr(self).ip().family() == 4"
    " && cidr(self).masked() == cidr(self))"
)
_NETWORK_MESSAGE: Final = "must be an IPv4 network without host bits, such as 10.20.0.0/16"


@dataclass(frozen=True, slots=True)
class Rule:
    """`path` is where it stands, "spec.pools[]" being each pool; `cel` must be true there."""

    path: str
    cel: str
    message: str
    field_path: str = ""

    def as_schema(self) -> dict[str, str]:
        schema = {"rule": self.cel, "message": self.message}
        return schema | ({"fieldPath": self.field_path} if self.field_path else {})


def _networks(path: str) -> Rule:
    return Rule(path, _NETWORK_OR_ADDRESS, _NETWORK_MESSAGE)


GATEWAY_RULES: Final = (
    Rule(
        "",
        f"size(self.metadata.name) <= {NAME_MAX}"
        " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"the name must be a DNS label of at most {NAME_MAX} characters that begins with a letter",
    ),
    Rule(
        "spec",
        "self.replicas <= 1 || self.store.type == 'Valkey'",
        "more than one replica needs a store that they share: store.type Valkey",
        ".replicas",
    ),
    Rule(
        "spec",
        "!self.ppp.auth.exists(m, m == 'mschapv1')"
        " || self.ipsec.allowWeak.exists(w, w == 'mschapv1')",
        "mschapv1 is weak: leave it out of ppp.auth, or accept the risk with ipsec.allowWeak",
        ".ppp.auth",
    ),
    Rule(
        "spec.exposure",
        "self.type == 'LoadBalancer' || !has(self.loadBalancerClass)",
        "loadBalancerClass is only for type LoadBalancer",
        ".loadBalancerClass",
    ),
    Rule(
        "spec.exposure",
        "self.type == 'LoadBalancer' || size(self.sourceRanges) == 0",
        "sourceRanges is only for type LoadBalancer",
        ".sourceRanges",
    ),
    Rule(
        "spec.exposure",
        "self.type == 'NodePort' || !has(self.nodePorts)",
        "nodePorts is only for type NodePort",
        ".nodePorts",
    ),
    Rule(
        "spec.exposure",
        "self.type != 'HostPort' || size(self.annotations) == 0",
        "annotations are the Service's, and type HostPort has none",
        ".annotations",
    ),
    Rule(
        "spec.exposure",
        "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer'"
        " || (has(self.loadBalancerClass) ? self.loadBalancerClass : '')"
        " == (has(oldSelf.loadBalancerClass) ? oldSelf.loadBalancerClass : '')",
        "loadBalancerClass can't be changed while the type is LoadBalancer",
        ".loadBalancerClass",
    ),
    Rule(
        "spec.exposure.nodePorts",
        "!has(self.ike) || !has(self.natt) || self.ike != self.natt",
        "ike and natt must differ",
    ),
    _networks("spec.exposure.sourceRanges[]"),
    Rule("spec.pools[].cidr", _NETWORK, _NETWORK_MESSAGE),
    Rule(
        "spec.pools",
        "!isCIDR(self[0].cidr) || cidr(self[0].cidr).prefixLength() <= 30",
        "the first pool must have a prefix of /30 or shorter: the gateway's own address is in it",
    ),
    Rule(
        "spec.pools",
        "self.all(a, self.all(b, a.name == b.name || !isCIDR(a.cidr) || !isCIDR(b.cidr)"
        " || !cidr(a.cidr).containsCIDR(b.cidr)))",
        "pools must have nothing in common",
    ),
    Rule(
        "spec.pools",
        "self.all(p, !oldSelf.exists(o, o.cidr == p.cidr && o.name != p.name))",
        "a pool keeps its name as long as it has its network",
    ),
    _networks("spec.egress.allowedCIDRs[]"),
    _networks("spec.egress.deniedCIDRs[]"),
    _networks("spec.egress.routes[]"),
    Rule(
        "spec.store",
        "self.type == 'Valkey' ? has(self.url)"
        " : !has(self.url) && !has(self.authSecretRef) && !has(self.tls)",
        "type Valkey needs url; url, authSecretRef and tls are only for type Valkey",
    ),
    Rule(
        "spec.store",
        "!has(self.tls) || (has(self.url)"
        " && (self.url.startsWith('valkeys') || self.url.startsWith('rediss')))",
        "tls needs a url that begins with valkeys or rediss",
        ".tls",
    ),
    Rule(
        "spec.podSecurity",
        "self.profile == 'DevicePlugin' ? has(self.tunResource) : !has(self.tunResource)",
        "profile DevicePlugin needs tunResource, and only that profile has it",
        ".tunResource",
    ),
    Rule(
        "spec.podSecurity",
        "self.hostUsers || self.profile == 'DevicePlugin'",
        "hostUsers: false needs profile DevicePlugin: a device node can't be made or mounted there",
        ".hostUsers",
    ),
    Rule(
        "spec.podTemplate.labels",
        "self.all(k, !k.startsWith('ferrule.dev/') && !k.startsWith('app.kubernetes.io/'))",
        "labels of ferrule.dev and app.kubernetes.io are the operator's",
    ),
    Rule(
        "spec.podTemplate.annotations",
        "self.all(k, !k.startsWith('ferrule.dev/'))",
        "annotations of ferrule.dev are the operator's",
    ),
    Rule(
        "spec.podTemplate.env[]",
        "!(has(self.value) && has(self.valueFrom))",
        "value and valueFrom exclude each other",
    ),
    Rule(
        "spec.podTemplate.env[].valueFrom",
        "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(x, x)",
        "exactly one source must be given",
    ),
)

USER_RULES: Final = (
    Rule(
        "",
        "size(self.metadata.name) <= 240",
        "the name must have at most 240 characters",
    ),
    Rule(
        "spec",
        "(has(self.username) ? self.username : '')"
        " == (has(oldSelf.username) ? oldSelf.username : '')",
        "username can't be changed: make another VpnUser",
        ".username",
    ),
    Rule(
        "spec",
        "!has(self.staticIP) || !has(self.maxSessions) || self.maxSessions == 1",
        "a user with a staticIP is on once: leave maxSessions out, or set it to 1",
        ".maxSessions",
    ),
    _networks("spec.allowedCIDRs[]"),
    Rule(
        "spec.validUntil",
        # Not a day of the calendar, or without a zone: an error, told with the message.
        "timestamp(size(self) == 10 ? self + 'T00:00:00Z' : self)"
        " < timestamp('9999-12-31T00:00:00Z')",
        "must be a time with its zone, such as 2027-01-31T18:00:00Z, or a date, such as 2027-01-31,"
        " which lasts to its end in UTC",
    ),
)

# More of the schema than the models say: bounds (the cost of a rule is reckoned for the largest
# object), and how lists merge. None: without that keyword.
GATEWAY_EXTRAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "spec.ipsec.proposals.phase1": {"maxItems": 64},
    "spec.ipsec.proposals.phase1[]": {"maxLength": 256},
    "spec.ipsec.proposals.phase2": {"maxItems": 64},
    "spec.ipsec.proposals.phase2[]": {"maxLength": 256},
    "spec.ipsec.allowWeak": {"maxItems": 3, "x-kubernetes-list-type": "set"},
    "spec.ppp.auth": {"maxItems": 4, "x-kubernetes-list-type": "set"},
    "spec.exposure.sourceRanges[]": {"maxLength": 18},
    "spec.pools": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    "spec.pools[].cidr": {"maxLength": 18},
    "spec.pools[].exclude": {"maxItems": 256},
    "spec.pools[].exclude[]": {"maxLength": 31},
    "spec.egress.allowedCIDRs": {"maxItems": 512},
    "spec.egress.allowedCIDRs[]": {"maxLength": 18},
    "spec.egress.deniedCIDRs": {"maxItems": 512},
    "spec.egress.deniedCIDRs[]": {"maxLength": 18},
    "spec.egress.routes": {"maxItems": 128},
    "spec.egress.routes[]": {"maxLength": 18},
    "spec.podTemplate.env": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    },
    "status.members": {"x-kubernetes-list-type": "set"},
    "status.members[]": {"maxLength": 253},
    "status.conditions": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    },
}
USER_EXTRAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "spec.allowedCIDRs": {"maxItems": 256},
    "spec.allowedCIDRs[]": {"maxLength": 18},
    # The form date-time would refuse a date alone.
    "spec.validUntil": {
        "format": None,
        "minLength": 10,
        "maxLength": 35,
        "description": "May log in until then: a time with its zone, such as 2027-01-31T18:00:00Z,"
        " or a date, such as 2027-01-31, which lasts to its end in UTC.",
    },
    "spec.groups": {"maxItems": 64},
    "spec.groups[]": {"minLength": 1, "maxLength": 63},
    "status.conditions": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    },
}

# Fields whose default is not written into stored objects: it is the program's, it may become
# better with a release, and `allowWeak` adds to it only where nothing is given.
NO_DEFAULT: Final = frozenset({"spec.ipsec.proposals.phase1", "spec.ipsec.proposals.phase2"})
