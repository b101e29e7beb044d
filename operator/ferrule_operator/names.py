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

APPLIED_ANNOTATION: Final = f"{GROUP}/applied"  # digest of what was applied, without secrets
RESTART_ANNOTATION: Final = f"{GROUP}/restart-digest"  # of what only a new pod takes over
ROTATE_ANNOTATION: Final = f"{GROUP}/rotate"  # on a resource: another value makes a new secret
ROTATED_ANNOTATION: Final = f"{GROUP}/rotated-for"  # on the Secret: the value it was made for
