"""The host's side of the tunnel as one thing: TUN, routes, forwarding, masquerade.

Either this process makes it all, or `ferrule init-tun` did so beforehand (`listen.prepared`); then
it is only looked at, which takes no privilege.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import structlog

from ferrule.accounts.pools import gateway_address
from ferrule.dataplane import nft, routing
from ferrule.dataplane.nft import NftError, NftMissing, NftTable
from ferrule.dataplane.routing import TunLink
from ferrule.dataplane.tun import Tun
from ferrule.runtime.config import Config
from ferrule.runtime.config_accounts import pool_specs

# Raised with a message for a person: TunError and RoutingError are OSErrors.
EGRESS_ERRORS = (OSError, NftError)


@contextlib.contextmanager
def open_egress(config: Config) -> Iterator[Tun]:
    """The TUN, with the host configured around it; the nft table goes at the end, if it is ours.
    Raises one of EGRESS_ERRORS."""
    with ExitStack() as stack:
        tun = stack.enter_context(Tun(config.listen.tun, prepared=config.listen.prepared))
        adapt_host(config)
        if not config.listen.prepared:
            stack.callback(_remove_table, config.listen.tun)
        yield tun


def adapt_host(config: Config) -> None:
    """Configure the host, or where it was prepared, see that it was so for this configuration.
    Raises one of EGRESS_ERRORS."""
    if config.listen.prepared:
        routing.check(tun_link(config))
    else:
        configure_host(config)


def configure_host(config: Config) -> None:
    """Make routing and nftables be as the configuration says; what is right stays untouched."""
    link, snat = tun_link(config), config.gateway.egress.snat
    forwarding = routing.configure(link)
    log = structlog.get_logger("ferrule")
    try:
        nft.apply(NftTable(link.name, link.name, link.pools, masquerade=snat))
    except NftMissing as missing:
        if snat:
            raise
        log.warning("no second check of clients' source addresses", cause=str(missing))
    log.info("host configured", tun=link.name, forwarding=list(forwarding), snat=snat)


def tun_link(config: Config) -> TunLink:
    """What the host has to know of the TUN."""
    gateway = config.gateway
    pools = tuple(pool.cidr for pool in gateway.pools)
    address = gateway_address(pool_specs(gateway))
    return TunLink(config.listen.tun, address, gateway.ppp.mtu, pools)


def _remove_table(name: str) -> None:
    with contextlib.suppress(NftMissing):
        try:
            nft.remove(name)
        except NftError as error:
            structlog.get_logger("ferrule").warning("nft table stays", cause=str(error))
