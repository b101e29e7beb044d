"""The spec of a VpnGateway.

The concentrator's own sections (`ferrule.runtime.gateway_spec`) where the fields are the same,
references to Secrets in place of secrets, and what only a cluster has.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ferrule.runtime.config_values import Duration, HostAddress, Network
from ferrule.runtime.gateway_spec import (
    Drain,
    Egress,
    IpsecSettings,
    L2tpSettings,
    Limits,
    Pool,
    Ppp,
    Section,
)
from ferrule_operator.models.pods import PodTemplate
from ferrule_operator.models.references import CertificateRef, PasswordRef, PskRef, TunnelSecretRef

REPLICAS_MAX = 64


class NodePorts(Section):
    """The ports that the nodes open. Clients only know 500 and 4500: something in front of the
    nodes must map them."""

    ike: int | None = Field(default=None, ge=1, le=65535)
    """UDP port for 500. Absent: one is chosen."""

    natt: int | None = Field(default=None, ge=1, le=65535)
    """UDP port for 4500. Absent: one is chosen."""


class Exposure(Section):
    """How clients reach the gateway: UDP ports 500 and 4500."""

    type: Literal["LoadBalancer", "NodePort", "HostPort", "ClusterIP"] = "LoadBalancer"
    """`LoadBalancer`, `NodePort` and `ClusterIP`: a Service of that type. `HostPort`: ports 500
    and 4500 of the node that a pod runs on, without a Service; one pod a node."""

    public_address: HostAddress | None = None
    """The address that clients connect to, where the Service does not tell it. The gateway calls
    itself so."""

    load_balancer_class: str | None = Field(default=None, min_length=1, max_length=253)
    """Which load balancer implementation, where the cluster has several."""

    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default={}, max_length=64
    )
    """Annotations of the public Service; most clouds configure their load balancers by them."""

    source_ranges: tuple[Network, ...] = Field(default=(), max_length=256)
    """Networks that may connect, where the load balancer can restrict it. Empty: all."""

    external_traffic_policy: Literal["Local", "Cluster"] = "Local"
    """`Local` keeps clients' addresses, which limits and logs need; `Cluster` hides them."""

    node_ports: NodePorts | None = None
    """The ports of type NodePort."""


class GatewayIpsec(IpsecSettings):
    """IKEv1 and ESP."""

    psk_secret_ref: PskRef | None = None
    """The pre-shared key that every client types in. Absent: the operator makes one, in the
    Secret GATEWAY-psk."""


class GatewayL2tp(L2tpSettings):
    """L2TPv2, inside ESP."""

    tunnel_secret_ref: TunnelSecretRef | None = None
    """Secret of L2TP tunnel authentication. Consumer clients have none: leave it out, IPsec has
    authenticated the peer already."""


class StoreTls(Section):
    """TLS to the store."""

    ca_secret_ref: CertificateRef | None = None
    """Certificates that may sign the store's. Absent: the image's own list."""

    server_name: str = Field(default="", max_length=253)
    """Name that the store's certificate must have. Empty: the host of `url`."""


class GatewayStore(Section):
    """Where the state shared by replicas lives."""

    type: Literal["Memory", "Valkey"] = "Memory"
    """`Memory`: in the process, for one replica. `Valkey`: in a Valkey or Redis that the pods
    share, for any number of them. Another type or another `url` makes new pods, and ends all
    sessions."""

    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=r"^(valkeys?|rediss?)(\+(sentinel|cluster))?://([^\s@:/]+@)?[^\s@/]+(/[^\s@]*)?$",
    )
    """Such as `valkeys://valkey.example:6379/0`, with TLS, or `valkey://USER@HOST`; by Sentinel
    `valkeys+sentinel://HOST,HOST/SERVICE`, in cluster mode `valkeys+cluster://HOST,HOST`. Without
    a password: that is a Secret's."""

    auth_secret_ref: PasswordRef | None = None
    """Password of the store."""

    tls: StoreTls | None = None
    """TLS to the store, for a `url` that begins with `valkeys` or `rediss`."""


class PodSecurity(Section):
    """How the pods come by their TUN device. The process that speaks to clients never has a
    capability."""

    profile: Literal["InitTun", "DevicePlugin", "HostPath"] = "InitTun"
    """`InitTun`: an init container makes the device node, needing NET_ADMIN and MKNOD.
    `DevicePlugin`: the resource `tunResource` brings it. `HostPath`: it is the node's
    /dev/net/tun."""

    tun_resource: str | None = Field(
        default=None,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    )
    """Resource of a device plugin that brings /dev/net/tun, such as `squat.ai/tun`."""

    host_users: bool = True
    """`false`: a user namespace of the pod's own, so that NET_ADMIN means nothing on the node.
    Needs the profile DevicePlugin and Kubernetes 1.33."""


class Rotation(Section):
    """How long what was replaced is still accepted."""

    psk_overlap: Duration = 86400.0
    """The pre-shared key before: time to change every client over."""

    password_overlap: Duration = 3600.0
    """A user's password before. Sessions that began with it end when it does. 0s: at once."""


class VpnGatewaySpec(Section):
    """What the gateway shall be."""

    replicas: int = Field(default=1, ge=0, le=REPLICAS_MAX)
    """Pods. More than one needs a shared store."""

    exposure: Exposure = Exposure()
    """How clients reach the gateway: UDP ports 500 and 4500."""

    ipsec: GatewayIpsec = GatewayIpsec()
    """IKEv1 and ESP."""

    l2tp: GatewayL2tp = GatewayL2tp()
    """L2TPv2, inside ESP."""

    ppp: Ppp = Ppp()
    """PPP inside L2TP, and what clients are told about the network."""

    pools: tuple[Pool, ...] = Field(min_length=1, max_length=16)
    """Client addresses, tried in this order. The first address of the first pool is the
    gateway's own."""

    egress: Egress = Egress()
    """Where clients' traffic may go."""

    store: GatewayStore = GatewayStore()
    """Where the state shared by replicas lives."""

    limits: Limits = Limits()
    """Bounds on all that can grow."""

    rotation: Rotation = Rotation()
    """How long what was replaced is still accepted."""

    pod_security: PodSecurity = PodSecurity()
    """How the pods come by their TUN device."""

    drain: Drain = Drain()
    """Leaving without harm."""

    pod_template: PodTemplate = PodTemplate()
    """What is added to the gateway's pods."""

    paused: bool = False
    """True: the operator leaves the gateway as it is, whatever changes, users included. What
    runs goes on running."""
