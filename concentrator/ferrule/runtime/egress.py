"""The host's side of the tunnel as one thing: TUN, routes, forwarding, masquerade."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import structlog

from ferrule.accounts.admission import Accounts
from ferrule.dataplane import nft, routing
from ferrule.dataplane.nft import NftError, NftMissing, NftTable
from ferrule.dataplane.routing import TunLink
from ferrule.dataplane.tun import Tun
from ferrule.runtime.config import Config

# Raised with a message for a person: TunError and RoutingError are OSErrors.
EGRESS_ERRORS = (OSError, NftError)


@contextlib.contextmanager
def open_egress(config: Config, accounts: Accounts) -> Iterator[Tun]:
    """The TUN, with the host configured around it; the nft table goes at the end. Raises one of
    EGRESS_ERRORS."""
    with ExitStack() as stack:
        tun = stack.enter_context(Tun(config.listen.tun))
        configure_host(config, accounts)
        stack.callback(_remove_table, config.listen.tun)
        yield tun


def configure_host(config: Config, accounts: Accounts) -> None:
    """Make routing and nftables be as the configuration says; what is right stays untouched."""
    gateway, name = config.gateway, config.listen.tun
    pools = tuple(pool.cidr for pool in gateway.pools)
    forwarding = routing.configure(TunLink(name, accounts.gateway_address, gateway.ppp.mtu, pools))
    log = structlog.get_logger("ferrule")
    try:
        nft.apply(NftTable(name, name, pools, masquerade=gateway.egress.snat))
    except NftMissing as missing:
        if gateway.egress.snat:
            raise
        log.warning("no second check of clients' source addresses", cause=str(missing))
    log.info("host configured", tun=name, forwarding=list(forwarding), snat=gateway.egress.snat)


def _remove_table(name: str) -> None:
    with contextlib.suppress(NftMissing):
        try:
            nft.remove(name)
        except NftError as error:
            structlog.get_logger("ferrule").warning("nft table stays", cause=str(error))
