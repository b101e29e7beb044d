"""From the configuration to what the gateway is told: the only place that knows both."""

from __future__ import annotations

from ferrule.core.secret import Secret
from ferrule.gateway.settings import GatewaySettings
from ferrule.ike.policy import IkePolicy, Phase1Transform
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import PppPolicy
from ferrule.runtime.config import Config
from ferrule.runtime.gateway_spec import GatewaySpec
from ferrule.runtime.proposals import phase1_suites, phase2_suites

_FOREVER = 10.0 * 365 * 86400  # seconds; a time-out that the configuration turned off


def gateway_settings(config: Config) -> GatewaySettings:
    """Of a configuration that `load` returned."""
    gateway = config.gateway
    ppp = gateway.ppp
    return GatewaySettings(
        ike=_ike_policy(config),
        l2tp=L2tpPolicy(
            host_name=gateway.l2tp.host_name,
            tunnel_secret=gateway.l2tp.tunnel_secret,
            hello_seconds=ppp.hello_seconds or _FOREVER,
            receive_window=gateway.l2tp.receive_window,
        ),
        ppp=PppPolicy(
            auth=ppp.auth,
            mru=ppp.mtu,
            mtu_max=ppp.mtu,
            echo_seconds=ppp.echo_seconds or _FOREVER,
            name=gateway.l2tp.host_name,
        ),
        outer_mtu=config.listen.path_mtu,
        mtu=ppp.mtu,
        clamp_mss=ppp.mss_clamp,
        dns=ppp.dns,
        wins=ppp.wins,
        domain=ppp.domain,
        routes=gateway.egress.routes,
        idle_timeout=ppp.idle_timeout,
        session_timeout=ppp.session_timeout,
        sessions_max=gateway.limits.sessions_max,
    )


def _ike_policy(config: Config) -> IkePolicy:
    ipsec, limits = config.gateway.ipsec, config.gateway.limits
    public = config.listen.public_address
    return IkePolicy(
        keys=_keys(config.gateway),
        phase1=tuple(Phase1Transform(*suite) for suite in phase1_suites(ipsec.phase1_lines)),
        phase2=phase2_suites(ipsec.phase2_lines),
        identity=ipsec.identity or (str(public) if public else ""),
        ike_life_seconds=int(ipsec.ike_lifetime),
        esp_life_seconds=int(ipsec.esp_lifetime),
        dpd_seconds=ipsec.dpd_seconds,
        allow_modp1024="modp1024" in ipsec.allow_weak,
        allow_md5="md5" in ipsec.allow_weak,
        half_open_max=limits.half_open_max,
        per_source_rate=limits.per_source_rate,
        per_source_burst=4 * limits.per_source_rate,
    )


def _keys(gateway: GatewaySpec) -> tuple[Secret, ...]:
    keys = (gateway.ipsec.psk, gateway.ipsec.previous_psk)
    return tuple(key for key in keys if key is not None)
