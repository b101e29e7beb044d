"""The status of both resources. Written by the operator only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ferrule.runtime.gateway_spec import Section

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Condition(Section):
    """One aspect of how things are."""

    type: str = Field(max_length=316)
    """Which aspect."""

    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""

    observed_generation: int = Field(default=0, ge=0)
    """The generation of the spec that this was said of."""

    last_transition_time: Time
    """When `status` changed last."""

    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")
    """Why, as one word of a documented list."""

    message: str = Field(max_length=32768)
    """Why, for a person."""


class VpnGatewayStatus(Section):
    """How the gateway is."""

    observed_generation: int = -1
    """The generation of the spec that the operator has seen last."""

    replicas: int = 0
    """Pods that there are."""

    ready_replicas: int = 0
    """Pods that serve clients."""

    selector: str = ""
    """Labels of the pods, for the scale subresource."""

    address: str = ""
    """What clients connect to."""

    sessions: int = 0
    """Clients that are connected."""

    pool_free: int = 0
    """Addresses that are still to be had."""

    members: tuple[str, ...] = Field(default=(), max_length=128)
    """Pods that share the sessions now, where there is a store. Each client is served by one of
    them."""

    version: str = ""
    """Version of the concentrators; of the oldest, while they differ."""

    conditions: tuple[Condition, ...] = Field(default=(), max_length=32)
    """How the gateway is, aspect by aspect."""


class VpnUserStatus(Section):
    """How the account is."""

    observed_generation: int = -1
    """The generation of the spec that the operator has seen last."""

    username: str = ""
    """The name typed into the client."""

    secret_name: str = ""
    """The Secret that holds the password."""

    credential_version: str = ""
    """The resourceVersion of the Secret that the account's password was read from."""

    active_sessions: int = 0
    """Sessions that are connected now."""

    last_connected_time: Time | None = None
    """When the user connected last."""

    conditions: tuple[Condition, ...] = Field(default=(), max_length=32)
    """How the account is, aspect by aspect."""
