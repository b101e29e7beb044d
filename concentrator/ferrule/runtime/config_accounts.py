"""The accounts' settings out of the configuration: users, pools, limits, egress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferrule.accounts.admission import Settings
from ferrule.accounts.policy import Egress
from ferrule.accounts.pools import PoolSpec
from ferrule.accounts.sessions import Limits
from ferrule.accounts.users import User
from ferrule.accounts.verifiers import Verifier, parse_verifier
from ferrule.core.secret import Secret
from ferrule.runtime.gateway_spec import GatewaySpec

if TYPE_CHECKING:
    from ferrule.runtime.config import Config, UserSpec


def accounts_settings(config: Config) -> Settings:
    """For `Accounts(...)` and `Accounts.replace(...)`, of a configuration that `load` returned."""
    gateway = config.gateway
    return Settings(
        users=tuple(user_of(spec) for spec in config.users),
        pools=pool_specs(gateway),
        limits=Limits(
            sessions_per_user=gateway.limits.sessions_per_user,
            sessions_max=gateway.limits.sessions_max,
        ),
        egress=Egress(
            allowed=gateway.egress.allowed_cidrs,
            denied=gateway.egress.denied_cidrs,
            client_to_client=gateway.egress.client_to_client,
        ),
    )


def pool_specs(gateway: GatewaySpec) -> tuple[PoolSpec, ...]:
    return tuple(PoolSpec(pool.name, pool.cidr, pool.exclude) for pool in gateway.pools)


def user_of(spec: UserSpec) -> User:
    """Raises ValueError for a user without password and verifier, which `load` refuses."""
    if spec.password is not None:
        verifier = Verifier.of_password(_text(spec.password))
    elif spec.verifier is not None:
        verifier = parse_verifier(_text(spec.verifier))
    else:
        raise ValueError(f"user {spec.username!r} has neither password nor verifier")
    previous = spec.previous_verifier
    return User(
        username=spec.username,
        verifier=verifier,
        previous=parse_verifier(_text(previous)) if previous is not None else None,
        enabled=spec.enabled,
        valid_until=spec.valid_until,
        static_ip=spec.static_ip,
        max_sessions=spec.max_sessions,
        on_limit=spec.on_limit,
        allowed_cidrs=spec.allowed_cidrs,
        rate_up=spec.rate_limit.up,
        rate_down=spec.rate_limit.down,
        groups=spec.groups,
    )


def _text(secret: Secret) -> str:
    return secret.reveal().decode()
