"""Names that are part of the interface: group, labels, annotations, children, ports."""

from __future__ import annotations

from typing import Final

GROUP: Final = "ferrule.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

MANAGER: Final = "ferrule-operator"  # of fields, in server-side apply
FINALIZER: Final = f"{GROUP}/gateway"

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
GATEWAY_LABEL: Final = f"{GROUP}/gateway"
USER_LABEL: Final = f"{GROUP}/user"
SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGER}"

APPLIED_ANNOTATION: Final = f"{GROUP}/applied"  # digest of what was applied, without secrets
RESTART_ANNOTATION: Final = f"{GROUP}/restart-digest"  # of what only a new pod takes over
ROTATE_ANNOTATION: Final = f"{GROUP}/rotate"  # on a resource: another value makes a new secret
ROTATED_ANNOTATION: Final = f"{GROUP}/rotated-for"  # on the Secret: the value it was made for
ROTATE_STORE_ANNOTATION: Final = f"{GROUP}/rotate-store-key"  # the same for what seals shared state

# In the pods. The Service maps 500 and 4500 to them: ports below 1024 take privilege.
IKE_PORT: Final = 10500
NATT_PORT: Final = 14500
HTTP_PORT: Final = 9190
REMOTE_PORT: Final = 9191
RING_PORT: Final = 4510  # UDP, between the pods of a gateway
CONTAINER: Final = "concentrator"
INIT_CONTAINER: Final = "init-tun"
OWNER: Final = 65532  # uid and gid of the main container

CONFIG_FOLDER: Final = "/etc/ferrule"
CONFIG_FILE: Final = "gateway.yaml"
RUN_FOLDER: Final = "/run/ferrule"
# How a pod learns who it is: all pods of a gateway read the same configuration.
MEMBER_VARIABLE: Final = "FERRULE_MEMBER"
ADDRESS_VARIABLE: Final = "FERRULE_ADDRESS"
TUN: Final = "ferrule0"


def pods_service(gateway: str) -> str:
    """The headless Service: the pods' names in DNS."""
    return f"{gateway}-pods"


def config_secret(gateway: str) -> str:
    return f"{gateway}-config"


def users_secret(gateway: str, shard: int) -> str:
    return f"{gateway}-users" if shard == 0 else f"{gateway}-users-{shard}"


def psk_secret(gateway: str) -> str:
    """The pre-shared key that the operator made."""
    return f"{gateway}-psk"


def store_secret(gateway: str) -> str:
    """The keys of what replicas share, which the operator made."""
    return f"{gateway}-store"


def password_secret(user: str) -> str:
    """The password that the operator made for a VpnUser."""
    return f"vpnuser-{user}"
