"""References to other objects of the same namespace."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ferrule.runtime.gateway_spec import Section

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class SecretRef(Section):
    """A key of a Secret of this namespace."""

    name: ObjectName
    """Name of the Secret."""

    key: DataKey
    """Key in its data."""


class PskRef(SecretRef):
    """A key of a Secret of this namespace."""

    key: DataKey = "psk"
    """Key in its data."""


class TunnelSecretRef(SecretRef):
    """A key of a Secret of this namespace."""

    key: DataKey = "secret"
    """Key in its data."""


class PasswordRef(SecretRef):
    """A key of a Secret of this namespace."""

    key: DataKey = "password"
    """Key in its data."""


class CertificateRef(SecretRef):
    """A key of a Secret of this namespace."""

    key: DataKey = "ca.crt"
    """Key in its data: certificates in PEM."""


class GatewayRef(Section):
    """A VpnGateway of this namespace."""

    name: ObjectName
    """Name of the VpnGateway."""
