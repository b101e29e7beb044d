"""The reference data plane: the definition of what is right, readable top to bottom.

Up, `receive_datagram`: count -> keep-alive octet? -> not the NAT-T port, or four zero octets:
punt as IKE -> SA by SPI -> replay window, tag, decryption (`ferrule.esp`) -> new path? first
packet? -> UDP to 1701 -> L2TP: control is punted -> link by (tunnel, session) -> PPP: all but
IPv4 is punted -> sound header -> leased source -> DHCPINFORM is punted -> policy -> isolation ->
rate -> MSS clamp -> the TUN, or another client.
Down, `transmit_ip`: sound header -> session by destination -> policy -> MTU (ICMP, or fragments)
-> rate -> MSS clamp -> PPP, L2TP, UDP -> sequence number, seal -> the client's current path.
In a cluster: an unknown SPI and another member's address go to `Elsewhere`; a fenced member opens
and seals nothing.
Each drop is counted under one Reason. Headers are parsed in place: a call into the protocol
layers costs more than the parse; tests hold them against each other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import ClientId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.dataplane import icmp, ipv4
from ferrule.dataplane.interface import (
    DhcpInform,
    Elsewhere,
    FirstPacket,
    IkeDatagram,
    L2tpControl,
    LifetimeReached,
    PeerMoved,
    PlaneCounters,
    PppControl,
    Punt,
    PuntSink,
    ReservationLow,
    UnknownSession,
    UnknownSpi,
)
from ferrule.dataplane.policy import TokenBucket, punt_bucket
from ferrule.dataplane.records import L2TP_PORT, Client, Link, Sa, Session
from ferrule.dataplane.sieve import Sieve
from ferrule.dataplane.tables import Tables
from ferrule.esp.packet import has_short_tags

KEEPALIVE: Final = b"\xff"  # RFC 3948 2.3
NON_ESP_MARKER: Final = bytes(4)  # RFC 3948 2.2
ISAKMP_HEADER_OCTETS: Final = 28
LEAST_MTU: Final = 68  # RFC 791: every module must forward 68 octets unfragmented

_NO_COOKIE = bytes(8)
_DHCP_PORTS = b"\x00\x44\x00\x43"  # client 68, server 67
_UDP = 17
_UDP_HEADER = struct.Struct(">HHHH")
_TWO_OCTETS = struct.Struct(">H")
_FOUR_OCTETS = struct.Struct(">I")
# RFC 2661 3.1
_CONTROL, _LENGTH, _SEQUENCE, _OFFSET, _VERSION = 0x8000, 0x4000, 0x0800, 0x0200, 0x000F
_PPP_IPV4 = 0x21


@dataclass(frozen=True, slots=True)
class PuntLimits:
    """Punts a second; one second's worth may come at once. What exceeds them is counted as
    PUNT_QUEUE_FULL. Strangers and clients have separate budgets, so that neither starves the
    other: the driver sets them to what it can handle."""

    new_exchanges: int = 500  # IKE first messages, of all strangers; beyond, see `sieve`
    repeated_exchanges: int = 1_000  # of those, with what the sieve lets through beyond
    ike: int = 5_000  # other IKE messages; beyond, only of cookies that the sieve knows
    client: int = 500  # L2TP, PPP and DHCP of each client
    unknown_spis: int = 50


class PythonPlane(Tables):
    """`Plane` in plain Python. `punt`, `transmit` and `deliver` are called synchronously.

    `clock` gives monotonic seconds; `transmit` sends a datagram along a path; `deliver` gives an
    IP packet to the host. `elsewhere` is what other members have, None where there are none.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        punt: PuntSink,
        transmit: Callable[[Path, bytes], None],
        deliver: Callable[[bytes], None],
        limits: PuntLimits | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        limits = limits or PuntLimits()
        super().__init__(clock, limits.client)
        self._elsewhere = elsewhere
        self._may_serve = None if elsewhere is None else elsewhere.may_serve
        self._others: Container[bytes] = () if elsewhere is None else elsewhere.addresses
        self._punt = punt
        self._transmit = transmit
        self._deliver = deliver
        now = clock()
        self._first_sieve = Sieve(limits.new_exchanges, now)
        self._first = punt_bucket(limits.repeated_exchanges, now)
        self._ike_sieve = Sieve(limits.ike, now)
        self._ike = punt_bucket(limits.ike, now)
        self._unknown_spis = punt_bucket(limits.unknown_spis, now)
        self._totals = PlaneCounters()

    # --- counts and punts

    def counters(self) -> PlaneCounters:
        return self._totals

    def _drop(self, reason: Reason) -> None:
        drops = self._totals.drops
        drops[reason.value] = drops.get(reason.value, 0) + 1

    def _fenced(self) -> bool:
        """Others may serve our clients by now; counted."""
        if self._may_serve is None or self._may_serve():
            return False
        self._drop(Reason.FENCED)
        return True

    def _punt_within(self, budget: TokenBucket, punt: Punt) -> None:
        if budget.take(1, self._clock()):
            self._punt(punt)
        else:
            self._drop(Reason.PUNT_QUEUE_FULL)

    # --- up: from the Internet

    def receive_datagram(self, path: Path, data: bytes) -> None:
        """One UDP datagram, whatever it holds."""
        totals = self._totals
        totals.datagrams_in += 1
        totals.octets_in += len(data)
        if data == KEEPALIVE:
            totals.keepalives_in += 1
        elif not path.natt:
            self._receive_ike(path, data)
        elif data[:4] == NON_ESP_MARKER:
            self._receive_ike(path, data[4:])
        else:
            self._receive_esp(path, data)

    def _receive_ike(self, path: Path, message: bytes) -> None:
        if len(message) < ISAKMP_HEADER_OCTETS:
            self._drop(Reason.NOT_IKE)
            return
        sender: tuple[object, bytes]
        if message[8:16] == _NO_COOKIE:
            sieve, budget, sender = self._first_sieve, self._first, (path.peer, message[:8])
        else:  # without the port: it changes in an exchange that meets a NAT
            sieve, budget, sender = self._ike_sieve, self._ike, (path.peer.host, message[:16])
        if sieve.passes(sender, self._clock()):
            self._punt_within(budget, IkeDatagram(path, message))
        else:
            self._drop(Reason.PUNT_QUEUE_FULL)

    def _receive_esp(self, path: Path, data: bytes) -> None:
        if len(data) < 8:
            self._drop(Reason.NOT_IKE)
            return
        (spi,) = _FOUR_OCTETS.unpack_from(data)
        sa = self._sas.get(spi)
        if sa is None:
            self._on_unknown_spi(path, Spi(spi), data)
            return
        if self._may_serve is not None and not self._may_serve():
            self._drop(Reason.FENCED)
            return
        window = sa.opener.window
        top = window.top
        try:
            payload = sa.opener.open(data)
        except ProtocolError as error:
            self._drop(error.reason)
            return
        self._totals.esp_in += 1
        client = sa.client
        if path != client.path and window.top > top:
            client.path = path
            self._punt(PeerMoved(client.id, path))
        if sa.fresh:
            self._on_fresh(sa)
        sa.octets_in += len(payload)
        if sa.octets_in > sa.soft_octets or window.top >= sa.soft_sequence:
            self._on_soft_limit(sa)
        self._receive_udp(client, payload)

    def _on_unknown_spi(self, path: Path, spi: Spi, data: bytes) -> None:
        if self._elsewhere is not None and self._elsewhere.take_esp(path, spi, data):
            return
        self._drop(Reason.UNKNOWN_SPI)
        if self._unknown_spis.take(1, self._clock()):
            self._punt(UnknownSpi(path, spi))

    def _on_fresh(self, sa: Sa) -> None:
        client = sa.client
        sa.fresh = not sa.opener.settled
        if has_short_tags(sa.spec.suite):
            # QUIRK(android): answer with tags as long as the peer's, here and after a rekey.
            client.short_tags = sa.opener.short_tags
            sa.sealer.cut_tags(short=client.short_tags)
        if sa.seen:
            return
        sa.seen = True
        if not sa.was_active:
            self.activate(sa)
        self._punt(FirstPacket(client.id, sa.spec.inbound_spi))

    def _on_soft_limit(self, sa: Sa) -> None:
        sa.on_soft_limit()
        self._punt(LifetimeReached(sa.client.id, sa.spec.inbound_spi))

    # --- up: UDP, L2TP, PPP

    def _receive_udp(self, client: Client, payload: bytes) -> None:
        if len(payload) < 8:
            self._drop(Reason.ESP_INNER)
            return
        # Any checksum will do: a NAT changed the addresses under it (RFC 3948 3.1.2), and the
        # tag covers more than it does.
        source, port, length, _ = _UDP_HEADER.unpack_from(payload)
        if port != L2TP_PORT or not source or not 8 <= length <= len(payload):
            self._drop(Reason.ESP_INNER)
            return
        client.peer_port = source
        if length < 14:
            self._drop(Reason.L2TP_MALFORMED)
            return
        (flags,) = _TWO_OCTETS.unpack_from(payload, 8)
        if flags & _CONTROL:
            self._punt_within(client.punts, L2tpControl(client.id, payload[8:length]))
        elif flags & _VERSION != 2:
            self._drop(Reason.L2TP_VERSION)
        else:
            self._receive_data(client, payload, flags, length)

    def _receive_data(self, client: Client, payload: bytes, flags: int, end: int) -> None:
        """RFC 2661 3.1: flags, [length], tunnel, session, [Ns, Nr], [offset size, padding]."""
        at = 10
        if flags & _LENGTH:
            stated = _TWO_OCTETS.unpack_from(payload, at)[0] + 8
            at = 12
            if stated > end:
                self._drop(Reason.L2TP_MALFORMED)
                return
            end = stated
        ids = at
        at += 8 if flags & _SEQUENCE else 4
        if flags & _OFFSET:
            if at + 2 > end:
                self._drop(Reason.L2TP_MALFORMED)
                return
            at += 2 + _TWO_OCTETS.unpack_from(payload, at)[0]
        if at > end:
            self._drop(Reason.L2TP_MALFORMED)
            return
        (key,) = _FOUR_OCTETS.unpack_from(payload, ids)
        link = client.links.get(key)
        if link is None:
            self._on_unknown_link(client, key)
        else:
            self._receive_ppp(link, payload, at, end)

    def _on_unknown_link(self, client: Client, key: int) -> None:
        tunnel, session = TunnelId(key >> 16), SessionId(key & 0xFFFF)
        known = any(other >> 16 == tunnel for other in client.links)
        self._drop(Reason.L2TP_UNKNOWN_SESSION if known else Reason.L2TP_UNKNOWN_TUNNEL)
        if client.punts.take(1, self._clock()):
            self._punt(UnknownSession(client.id, tunnel, session))

    def _receive_ppp(self, link: Link, payload: bytes, start: int, end: int) -> None:
        """RFC 1661 2, with or without the address and control octets, protocol in 1 or 2."""
        now = self._clock()
        link.counters.last_up = now
        at = start + 2 if payload[start : start + 2] == b"\xff\x03" else start
        if at >= end:
            self._drop(Reason.PPP_MALFORMED)
            return
        if payload[at] == _PPP_IPV4:
            packet = payload[at + 1 : end]
        elif payload[at] == 0 and at + 1 < end and payload[at + 1] == _PPP_IPV4:
            packet = payload[at + 2 : end]
        else:
            self._punt_within(
                link.client.punts,
                PppControl(link.client.id, link.tunnel, link.session, payload[start:end]),
            )
            return
        if link.bound is None:
            self._drop(Reason.PPP_PHASE)
            return
        self._receive_ip(link.bound, packet, now)

    # --- up: IPv4

    def _receive_ip(self, session: Session, received: bytes, now: float) -> None:
        packet = ipv4.sound(received)
        if packet is None:
            self._drop(Reason.IP_MALFORMED)
            return
        spec = session.spec
        if not spec.default and packet[12:16] != spec.address:
            self._drop(Reason.SOURCE_ADDRESS)
            return
        if packet[9] == _UDP and packet[20:24] == _DHCP_PORTS and packet[0] == 0x45:
            link = session.link
            punt = DhcpInform(link.client.id, link.tunnel, link.session, packet)
            self._punt_within(link.client.punts, punt)
            return
        other, away = None, False
        policy = session.policy
        destination = packet[16:20]
        if not spec.default:
            if not policy.reaches(destination):
                self._drop(Reason.DESTINATION_DENIED)
                return
            other = self._by_address.get(destination)
            if other is not None:
                isolated = not (policy.client_to_client and other.policy.client_to_client)
            else:
                away = destination in self._others
                isolated = away and not policy.client_to_client
            if isolated:
                self._drop(Reason.CLIENT_ISOLATION)
                return
        octets = len(packet)
        if policy.up is not None and not policy.up.take(octets, now):
            self._drop(Reason.RATE_LIMIT)
            return
        if spec.clamp_mss:
            packet = ipv4.clamp_mss(packet, spec.mtu)
        totals, counters = self._totals, session.link.counters
        totals.packets_up += 1
        totals.octets_up += octets
        counters.packets_up += 1
        counters.octets_up += octets
        counters.last_data = now
        # Not through the kernel: it would forward from the TUN to the TUN without our check.
        if other is not None:
            self._send_to(other, packet, now)
        elif away:
            self._give_away(packet)
        else:
            self._deliver(packet)

    # --- to and from other members

    def _give_away(self, packet: bytes) -> None:
        """From a client that may reach other clients, to one that another member has."""
        taken = self._elsewhere is not None and self._elsewhere.take_ip(
            packet, packet[16:20], from_client=True
        )
        if not taken:
            self._drop(Reason.NOT_SERVING)

    def _on_unknown_address(self, packet: bytes) -> None:
        """From the host, to an address that no session of ours has."""
        if self._elsewhere is not None:
            # The kernel sends back what a client sent to an address of a pool.
            sender = self._by_address.get(packet[12:16])
            if sender is not None and not sender.policy.client_to_client:
                self._drop(Reason.CLIENT_ISOLATION)
                return
            if self._elsewhere.take_ip(packet, packet[16:20], from_client=sender is not None):
                return
        self._drop(Reason.NO_SESSION_FOR_ADDRESS)

    def receive_relayed_ip(self, packet: bytes, *, from_client: bool) -> None:
        """What another member's `take_ip` gave us. It goes to a session of ours or nowhere."""
        checked = ipv4.sound(packet)
        if checked is None:
            self._drop(Reason.IP_MALFORMED)
            return
        session = self._by_address.get(checked[16:20])
        if session is None:
            self._drop(Reason.NO_SESSION_FOR_ADDRESS)
        elif from_client and not session.policy.client_to_client:
            self._drop(Reason.CLIENT_ISOLATION)
        else:
            self._send_to(session, checked, self._clock())

    # --- down

    def transmit_ip(self, packet: bytes) -> None:
        """One IP packet from the host, for the session that has its destination address."""
        checked = ipv4.sound(packet)
        if checked is None:
            self._drop(Reason.IP_MALFORMED)
            return
        session = self._by_address.get(checked[16:20], self._default)
        if session is None:
            self._on_unknown_address(checked)
            return
        self._send_to(session, checked, self._clock())

    def _send_to(self, session: Session, packet: bytes, now: float) -> None:
        """A sound packet from the host or from another client, under the session's policy."""
        spec, policy = session.spec, session.policy
        if not spec.default and not self._may_come(session, packet):
            self._drop(Reason.DESTINATION_DENIED)
            return
        octets = len(packet)
        if octets > spec.mtu and not ipv4.may_fragment(packet):
            if self._fenced():
                return
            self._drop(Reason.PACKET_TOO_BIG)
            error = icmp.fragmentation_needed(packet, spec.mtu)
            if error is not None:
                self._deliver_or_send(error, now)
            return
        if policy.down is not None and not policy.down.take(octets, now):
            self._drop(Reason.RATE_LIMIT)
            return
        if spec.clamp_mss:
            packet = ipv4.clamp_mss(packet, spec.mtu)
        if self._send_packet(session, packet):
            totals, counters = self._totals, session.link.counters
            totals.packets_down += 1
            totals.octets_down += octets
            counters.packets_down += 1
            counters.octets_down += octets
            counters.last_data = now

    def _may_come(self, session: Session, packet: bytes) -> bool:
        """What a session may not reach may not reach it; errors about its own packets may."""
        if session.policy.reaches(packet[12:16]):
            return True
        quoted = icmp.quoted_destination(packet, session.spec.address)
        return quoted is not None and session.policy.reaches(quoted)

    def _deliver_or_send(self, error: bytes, now: float) -> None:
        """An ICMP error of ours, to the host or to the client that sent the packet."""
        session = self._by_address.get(error[16:20])
        if session is None and error[16:20] in self._others:
            self._give_away(error)
        elif session is None or session.spec.default:
            self._deliver(error)
        elif self._send_packet(session, error):
            session.link.counters.last_data = now

    def _send_packet(self, session: Session, packet: bytes) -> bool:
        """Wrap, cut to the MTU where that must be, seal and send. False if that is impossible."""
        link = session.link
        if len(packet) <= session.spec.mtu:
            return self._seal(link.client, link.header() + session.ppp + packet)
        pieces = ipv4.fragment(packet, max(session.spec.mtu, LEAST_MTU))
        sent = [self._seal(link.client, link.header() + session.ppp + piece) for piece in pieces]
        return all(sent)

    def _seal(self, client: Client, message: bytes) -> bool:
        """An L2TP message into UDP, ESP and onto the client's path. False: dropped, counted."""
        if self._may_serve is not None and not self._may_serve():
            self._drop(Reason.FENCED)
            return False
        sa = client.outbound
        if sa is None:
            self._drop(Reason.NO_IPSEC_SA)
            return False
        octets = 8 + len(message)
        try:
            packet = sa.sealer.seal(
                _UDP_HEADER.pack(L2TP_PORT, client.peer_port, octets, 0) + message
            )
        except ProtocolError as error:
            self._drop(error.reason)
            self._on_mark(sa)  # nothing may have been reserved yet
            return False
        sa.octets_out += octets
        if sa.octets_out > sa.soft_octets or sa.sealer.sequence > sa.mark:
            self._on_mark(sa)
        self._totals.esp_out += 1
        self._send(client.path, packet)
        return True

    def _on_mark(self, sa: Sa) -> None:
        """What was sent on `sa` is more than what somebody wants to be told of, perhaps."""
        sequence = sa.sealer.sequence
        if sequence > sa.low_sequence:
            rate = sa.on_low(self._clock())
            self._punt(ReservationLow(sa.client.id, sa.spec.inbound_spi, sequence, rate))
        if sa.octets_out > sa.soft_octets or sequence > sa.soft_sequence:
            self._on_soft_limit(sa)

    def _send(self, path: Path, datagram: bytes) -> None:
        totals = self._totals
        totals.datagrams_out += 1
        totals.octets_out += len(datagram)
        self._transmit(path, datagram)

    # --- down: what the control plane sends

    def send_ike(self, path: Path, message: bytes) -> None:
        if self._fenced():
            return
        self._send(path, NON_ESP_MARKER + message if path.natt else message)

    def send_keepalive(self, client: ClientId) -> None:
        row = self._clients.get(client)
        if row is not None and not self._fenced():
            self._send(row.path, KEEPALIVE)

    def send_l2tp(self, client: ClientId, message: bytes) -> None:
        row = self._clients.get(client)
        if row is not None:
            self._seal(row, message)

    def send_ppp(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, frame: bytes
    ) -> None:
        link = self._link(client, tunnel, session)
        if link is not None:
            self._seal(link.client, link.header() + frame)

    def send_ip(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, packet: bytes
    ) -> None:
        """No policy, no rate, no count: the packet is ours. Ignored before `bind_session`."""
        link = self._link(client, tunnel, session)
        if link is not None and link.bound is not None:
            self._send_packet(link.bound, packet)
