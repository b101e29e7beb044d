"""A neighbour who may log in, and means harm: what only an authenticated client can try.

He knows the pre-shared key, calls himself by the victim's identity in phase 1, and can send his
own sealed packets as from the victim's address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from ferrule.cli.demo_client import DemoClient
from ferrule.client.driver import Server
from ferrule.client.initiator import CLIENT
from ferrule.client.ipv4 import build_udp
from ferrule.client.settings import ClientSettings
from ferrule.core.ids import Path
from ferrule.ike.iana import DOI_IPSEC, NotifyType, ProtocolId
from ferrule.ike.payloads import Delete, Payload, notification
from ferrule.ike.protection import informational
from ferrule.l2tp.effects import SendL2tp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.frame import Protocol
from interop.hostile.attacks import Attacker, Blow
from interop.hostile.mutations import mutant

# Of LCP, IPCP, CCP, PAP and CHAP: requests, answers, echoes and goodbyes, sound and unsound.
_FRAMES = tuple(
    b"\xff\x03" + int(protocol).to_bytes(2, "big") + bytes.fromhex(body)
    for protocol in (Protocol.LCP, Protocol.IPCP, Protocol.CCP, Protocol.PAP, Protocol.CHAP)
    for body in (
        "0101000a03060a140001",
        "0201000a0506deadbeef",
        "0901000800000000",
        "02010006aabb",
    )
)


class Insider(DemoClient):
    """Use it as any client; then these."""

    def __init__(
        self, server: Server, settings: ClientSettings, host: str, attacker: Attacker
    ) -> None:
        super().__init__(server, settings, lambda _: None, host)
        self._attacker = attacker
        self._plane = self._host._plane

    @contextmanager
    def posing(self) -> Iterator[Blow]:
        """Everything that he sends to the NAT-T port leaves as from the victim's address."""
        blow = Blow()
        plain = self._plane._transmit

        def transmit(path: Path, data: bytes) -> None:
            self._attacker.throw(blow, self._attacker.victim.peer, path.peer.port, data)

        self._plane._transmit = transmit
        try:
            yield blow
        finally:
            self._plane._transmit = plain

    def send_udp(
        self, source: IPv4Address, destination: IPv4Address, port: int, data: bytes
    ) -> None:
        """A datagram through the tunnel, from whatever inner address."""
        self._host.send_ip(build_udp((source, port), (destination, port), data))

    def send_ike(self, *payloads: Payload) -> None:
        """An authenticated informational message."""
        ike = self._host._initiator._ike
        (sa,) = ike._table.isakmp.values()
        message = informational(sa, self._attacker.rng.getrandbits(31) | 1, payloads)
        self._plane.send_ike(sa.path, message)

    def end_the_victim(self) -> None:
        """INITIAL-CONTACT, and Deletes of what was overheard of the victim."""
        victim = self._attacker.victim
        kind = NotifyType.INITIAL_CONTACT
        self.send_ike(notification(kind, protocol=ProtocolId.ISAKMP, spi=victim.cookies))
        self.send_ike(notification(kind, protocol=ProtocolId.ISAKMP))
        self.send_ike(Delete(DOI_IPSEC, ProtocolId.ISAKMP, (victim.cookies,)))
        self.send_ike(Delete(DOI_IPSEC, ProtocolId.ESP, (victim.spi, victim.server_spi)))

    def send_mutants(self, count: int) -> None:
        """Mutants of L2TP messages and PPP frames through his own IPsec SA. The server may well
        hang up on him."""
        rng = self._attacker.rng
        (row,) = self._plane._clients.values()
        headers = [link.header() for link in row.links.values()]
        samples = [header + frame for header in headers for frame in _FRAMES]
        samples += _l2tp_messages(rng.randbytes)
        for _ in range(count):
            self._plane.send_l2tp(CLIENT, mutant(rng, samples))


def _l2tp_messages(entropy: Callable[[int], bytes]) -> list[bytes]:
    endpoint = L2tpEndpoint(L2tpPolicy(host_name="mallory"), entropy)
    return [e.message for e in endpoint.open_tunnel(0.0) if isinstance(e, SendL2tp)]
