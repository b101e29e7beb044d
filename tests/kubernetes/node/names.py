"""Names in the cluster: CoreDNS beside the node's daemons, on the node's address."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.binaries import binary
from tests.kubernetes.node.machine import Machine

DOMAIN = "cluster.local"
_USER = "coredns"

# Nothing is forwarded: what is not in the cluster does not exist here.
_COREFILE = """\
.:53 {{
    bind {address}
    errors
    ready 127.0.0.1:8181
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 0
    }}
}}
"""

_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": _USER},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        },
    ],
}
_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": _USER},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _USER},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _USER}],
}


def start_names(machine: Machine, api: Api, address: str) -> None:
    """Start it; it answers some moments later."""
    api.apply(_ROLE, _BINDING)
    kubeconfig: Path = api.plane.inner_kubeconfig(_USER, _USER)
    corefile = machine.folder / "Corefile"
    corefile.write_text(_COREFILE.format(address=address, domain=DOMAIN, kubeconfig=kubeconfig))
    machine.start("coredns", [str(binary("coredns")), "-conf", str(corefile)])
