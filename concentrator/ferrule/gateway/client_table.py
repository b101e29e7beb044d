"""Where clients are found: by handle, by SA, by SPI, by identity, by address, by name.

Nothing in here decides anything.
"""

from __future__ import annotations

from ferrule.core.ids import Address, ClientId, IsakmpSaId, Path, Spi
from ferrule.gateway.client import Client


class ClientTable:
    """All clients of one gateway; they count from 1."""

    __slots__ = ("_by_identity", "_by_isakmp", "_by_peer", "_by_uid", "_last", "by_spi", "clients")

    def __init__(self) -> None:
        self.clients: dict[ClientId, Client] = {}
        self.by_spi: dict[Spi, ClientId] = {}
        self._by_isakmp: dict[IsakmpSaId, ClientId] = {}
        self._by_identity: dict[str, set[ClientId]] = {}
        self._by_peer: dict[Address, ClientId] = {}  # the newest there
        self._by_uid: dict[str, ClientId] = {}
        self._last = 0

    def new_id(self) -> ClientId:
        self._last += 1
        return ClientId(self._last)

    def add(self, client: Client) -> None:
        self.clients[client.id] = client
        self._by_uid[client.uid] = client.id
        self._by_identity.setdefault(client.identity, set()).add(client.id)
        self._by_peer[client.path.peer] = client.id

    def remove(self, client: Client) -> None:
        """The client with its SAs."""
        del self.clients[client.id]
        del self._by_uid[client.uid]
        namesakes = self._by_identity[client.identity]
        namesakes.discard(client.id)
        if not namesakes:
            del self._by_identity[client.identity]
        self._leave(client)
        for isakmp_sa in client.isakmp_sas:
            del self._by_isakmp[isakmp_sa]
        for spi in client.ipsec_sas:
            del self.by_spi[spi]

    def move(self, client: Client, path: Path) -> None:
        """The client is at `path` now."""
        self._leave(client)
        client.moved(path)
        self._by_peer[path.peer] = client.id

    def _leave(self, client: Client) -> None:
        if self._by_peer.get(client.path.peer) == client.id:
            del self._by_peer[client.path.peer]

    # --- SAs

    def add_isakmp(self, client: Client, isakmp_sa: IsakmpSaId) -> None:
        client.isakmp_sas.add(isakmp_sa)
        self._by_isakmp[isakmp_sa] = client.id

    def remove_isakmp(self, isakmp_sa: IsakmpSaId) -> Client | None:
        """Whose it was."""
        client = self.of_isakmp(isakmp_sa)
        if client is not None:
            del self._by_isakmp[isakmp_sa]
            client.isakmp_sas.discard(isakmp_sa)
        return client

    def remove_spi(self, spi: Spi) -> Client | None:
        """Whose it was."""
        client = self.of_spi(spi)
        if client is not None:
            del self.by_spi[spi]
            client.ipsec_sas.pop(spi, None)
        return client

    # --- finding

    def of_isakmp(self, isakmp_sa: IsakmpSaId) -> Client | None:
        return self._get(self._by_isakmp.get(isakmp_sa))

    def of_spi(self, spi: Spi) -> Client | None:
        return self._get(self.by_spi.get(spi))

    def of_uid(self, uid: str) -> Client | None:
        return self._get(self._by_uid.get(uid))

    def at(self, peer: Address) -> Client | None:
        """The one that was heard last at this very address and port."""
        return self._get(self._by_peer.get(peer))

    def namesakes(self, identity: str) -> list[Client]:
        return [self.clients[known] for known in sorted(self._by_identity.get(identity, ()))]

    def _get(self, client: ClientId | None) -> Client | None:
        return None if client is None else self.clients.get(client)
