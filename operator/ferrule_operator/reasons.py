"""The closed lists: conditions, the reasons they give, the reasons of events.

docs/api.md is made of these tables. A reason is one word for a program, its row a sentence for a
person. Reasons that an init container reports come from the concentrator (`ferrule init-tun`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class GatewayCondition(StrEnum):
    """Conditions of a VpnGateway."""

    READY = "Ready"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    CONFIG_VALID = "ConfigValid"
    LOAD_BALANCER_READY = "LoadBalancerReady"
    STORE_READY = "StoreReady"
    CREDENTIALS_READY = "CredentialsReady"
    WEAK_CRYPTO_IN_USE = "WeakCryptoInUse"
    DRAINING = "Draining"


class UserCondition(StrEnum):
    """Conditions of a VpnUser."""

    READY = "Ready"
    CREDENTIALS_READY = "CredentialsReady"
    ADDRESS_RESERVED = "AddressReserved"


GATEWAY_CONDITIONS: Final[Mapping[GatewayCondition, str]] = {
    GatewayCondition.READY: "Everything is as the spec says, and every pod serves clients.",
    GatewayCondition.AVAILABLE: "At least one pod serves clients.",
    GatewayCondition.PROGRESSING: "Pods are being made, replaced or removed.",
    GatewayCondition.CONFIG_VALID: "The spec makes a configuration that the concentrator takes.",
    GatewayCondition.LOAD_BALANCER_READY: "Clients have an address to connect to.",
    GatewayCondition.STORE_READY: "The store of shared state answers.",
    GatewayCondition.CREDENTIALS_READY: "The pre-shared key, and what else is secret, is there.",
    GatewayCondition.WEAK_CRYPTO_IN_USE: "Weak algorithms are accepted.",
    GatewayCondition.DRAINING: "Pods are saying goodbye to their clients.",
}
USER_CONDITIONS: Final[Mapping[UserCondition, str]] = {
    UserCondition.READY: "The user can log in.",
    UserCondition.CREDENTIALS_READY: "There is a password.",
    UserCondition.ADDRESS_RESERVED: "The static address is the user's.",
}


class Reason(StrEnum):
    """Reasons of conditions."""

    # good
    AS_SPECIFIED = "AsSpecified"
    VALID = "Valid"
    PROVIDED = "Provided"
    GENERATED = "Generated"
    ADDRESS_ASSIGNED = "AddressAssigned"
    NOT_NEEDED = "NotNeeded"
    IN_MEMORY = "InMemory"
    REACHABLE = "Reachable"
    NOT_ALLOWED = "NotAllowed"
    SETTLED = "Settled"
    SERVING = "Serving"
    ACTIVE = "Active"
    RESERVED = "Reserved"
    NO_STATIC_ADDRESS = "NoStaticAddress"
    # on the way
    ROLLING_OUT = "RollingOut"
    PODS_TERMINATING = "PodsTerminating"
    DELETING = "Deleting"
    PAUSED = "Paused"
    SCALED_TO_ZERO = "ScaledToZero"
    NO_PODS_READY = "NoPodsReady"
    SOME_PODS_NOT_READY = "SomePodsNotReady"
    CONFIG_NOT_TAKEN_OVER = "ConfigNotTakenOver"
    ADDRESS_PENDING = "AddressPending"
    UNKNOWN_STORE_STATE = "UnknownStoreState"
    # wrong
    INVALID = "Invalid"
    SECRET_MISSING = "SecretMissing"
    SECRET_UNUSABLE = "SecretUnusable"
    NAME_TAKEN = "NameTaken"
    REFUSED_BY_API_SERVER = "RefusedByApiServer"
    POD_CANNOT_START = "PodCannotStart"
    INIT_FAILED = "InitFailed"
    ALLOWED_BY_SPEC = "AllowedBySpec"
    STORE_UNREACHABLE = "StoreUnreachable"
    GATEWAY_NOT_FOUND = "GatewayNotFound"
    GATEWAY_NOT_READY = "GatewayNotReady"
    USERNAME_TAKEN = "UsernameTaken"
    ADDRESS_TAKEN = "AddressTaken"
    ADDRESS_OUTSIDE_POOLS = "AddressOutsidePools"
    DISABLED = "Disabled"
    EXPIRED = "Expired"
    NO_CREDENTIALS = "NoCredentials"
    TOO_MANY_USERS = "TooManyUsers"


REASONS: Final[Mapping[Reason, str]] = {
    Reason.AS_SPECIFIED: "Everything is as the spec says.",
    Reason.VALID: "The concentrator takes this configuration.",
    Reason.PROVIDED: "It is in the Secret that the spec names.",
    Reason.GENERATED: "The operator made it; status or documentation says in which Secret.",
    Reason.ADDRESS_ASSIGNED: "Clients have an address to connect to.",
    Reason.NOT_NEEDED: "The type of exposure needs none.",
    Reason.IN_MEMORY: "State is in the process; there is no store to reach.",
    Reason.REACHABLE: "Every pod that was asked reaches it.",
    Reason.NOT_ALLOWED: "Nothing weak is accepted.",
    Reason.SETTLED: "Nothing is under way.",
    Reason.SERVING: "Pods serve clients.",
    Reason.ACTIVE: "The user can log in.",
    Reason.RESERVED: "Nobody else gets the address.",
    Reason.NO_STATIC_ADDRESS: "The user gets any address of a pool.",
    Reason.ROLLING_OUT: "Pods are being made or replaced.",
    Reason.PODS_TERMINATING: "Pods are saying goodbye to their clients.",
    Reason.DELETING: "The gateway is being deleted, and waits for its pods to leave.",
    Reason.PAUSED: "spec.paused is true: nothing is changed.",
    Reason.SCALED_TO_ZERO: "spec.replicas is 0.",
    Reason.NO_PODS_READY: "No pod serves clients yet.",
    Reason.SOME_PODS_NOT_READY: "Some pods don't serve clients yet.",
    Reason.CONFIG_NOT_TAKEN_OVER: "Some pods run on an older configuration.",
    Reason.ADDRESS_PENDING: "The Service has no address yet: is there a load balancer controller?",
    Reason.UNKNOWN_STORE_STATE: "No pod has told yet whether the store answers.",
    Reason.INVALID: "The configuration is refused; the message says which field, and why.",
    Reason.SECRET_MISSING: "The Secret, or its key, is not there.",
    Reason.SECRET_UNUSABLE: "What is in the Secret can't be used.",
    Reason.NAME_TAKEN: "An object of that name is there already, and is not this gateway's.",
    Reason.REFUSED_BY_API_SERVER: "The API server refused an object; the message says which.",
    Reason.POD_CANNOT_START: "A pod does not start; the message is the kubelet's.",
    Reason.INIT_FAILED: "A pod's init step failed; the message names the cause.",
    Reason.ALLOWED_BY_SPEC: "ipsec.allowWeak accepts weak algorithms.",
    Reason.STORE_UNREACHABLE: "Pods don't reach the store. Whoever is connected stays connected,"
    " but no pod takes over from another; the message says why.",
    Reason.GATEWAY_NOT_FOUND: "There is no VpnGateway of that name in this namespace.",
    Reason.GATEWAY_NOT_READY: "The gateway's own configuration is not valid.",
    Reason.USERNAME_TAKEN: "An older VpnUser of the gateway has that user name.",
    Reason.ADDRESS_TAKEN: "An older VpnUser of the gateway has that address.",
    Reason.ADDRESS_OUTSIDE_POOLS: "The address lies in no pool, or is the gateway's own.",
    Reason.DISABLED: "spec.enabled is false.",
    Reason.EXPIRED: "spec.validUntil has passed.",
    Reason.NO_CREDENTIALS: "There is no password that can be used.",
    Reason.TOO_MANY_USERS: "The gateway has more users than Secrets can hold.",
}

# Reasons that only `ferrule init-tun` knows reach the condition Available as they are.


class EventReason(StrEnum):
    """Reasons of events. No event repeats what a condition says without a change."""

    CREATED = "Created"
    SCALED = "Scaled"
    CONFIG_INVALID = "ConfigInvalid"
    CONFIG_VALID = "ConfigValid"
    LOAD_BALANCER_READY = "LoadBalancerReady"
    CREDENTIALS_GENERATED = "CredentialsGenerated"
    CREDENTIALS_ROTATED = "CredentialsRotated"
    CREDENTIALS_MISSING = "CredentialsMissing"
    USER_REJECTED = "UserRejected"
    AVAILABLE = "Available"
    UNAVAILABLE = "Unavailable"
    STORE_UNREACHABLE = "StoreUnreachable"
    STORE_REACHABLE = "StoreReachable"
    MEMBERS_CHANGED = "MembersChanged"
    DRIFT_REPAIRED = "DriftRepaired"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    DRAIN_STARTED = "DrainStarted"
    DRAIN_FINISHED = "DrainFinished"
    DRAIN_GIVEN_UP = "DrainGivenUp"


EVENTS: Final[Mapping[EventReason, str]] = {
    EventReason.CREATED: "The gateway's objects were made.",
    EventReason.SCALED: "The number of pods was changed.",
    EventReason.CONFIG_INVALID: "The spec makes no configuration; what runs goes on as it was.",
    EventReason.CONFIG_VALID: "The spec is valid again.",
    EventReason.LOAD_BALANCER_READY: "Clients have an address to connect to.",
    EventReason.CREDENTIALS_GENERATED: "A key or password was made.",
    EventReason.CREDENTIALS_ROTATED: "A key or password was replaced; the one before is accepted"
    " for a while.",
    EventReason.CREDENTIALS_MISSING: "A Secret, or a key in it, is missing or unusable.",
    EventReason.USER_REJECTED: "The account can't be used; the message says why.",
    EventReason.AVAILABLE: "A first pod serves clients.",
    EventReason.UNAVAILABLE: "No pod serves clients any more.",
    EventReason.STORE_UNREACHABLE: "Pods don't reach the store any more.",
    EventReason.STORE_REACHABLE: "All pods reach the store again.",
    EventReason.MEMBERS_CHANGED: "Pods came to, or left, those that share the sessions.",
    EventReason.DRIFT_REPAIRED: "Somebody changed an object of the gateway; it was changed back.",
    EventReason.NAME_TAKEN: "An object of another owner has the name that one of ours needs.",
    EventReason.REFUSED: "The API server refused an object.",
    EventReason.DRAIN_STARTED: "The gateway is being deleted; its pods say goodbye.",
    EventReason.DRAIN_FINISHED: "All pods have left.",
    EventReason.DRAIN_GIVEN_UP: "Pods did not leave in time; the gateway goes without them.",
}
