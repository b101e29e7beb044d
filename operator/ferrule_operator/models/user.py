"""The spec of a VpnUser: an account of one gateway."""

from __future__ import annotations

from pydantic import Field

from ferrule.accounts.users import USERNAME_MAX
from ferrule.runtime.config import UserSettings
from ferrule.runtime.gateway_spec import Section
from ferrule_operator.models.references import GatewayRef, PasswordRef


class PasswordSource(Section):
    """Where the password stands."""

    secret_key_ref: PasswordRef
    """A key of a Secret of this namespace."""


class Password(Section):
    """The user's password."""

    value_from: PasswordSource
    """Where the password stands."""


class VpnUserSpec(UserSettings):
    """What the account shall be."""

    gateway_ref: GatewayRef
    """The gateway that the user may log in to, in this namespace."""

    username: str | None = Field(
        default=None, min_length=1, max_length=USERNAME_MAX, pattern=r"^[^\\\s]([^\\]*[^\\\s])?$"
    )
    """The name typed into the client, case-sensitive. Absent: the name of this resource."""

    password: Password | None = None
    """Absent: the operator makes a password, in the Secret vpnuser-NAME."""
