"""What hostile neighbours do, one function each; all they know was overheard on the wire.

Each returns a `Blow`: how much was sent. None of them judges: tests do.
"""

from __future__ import annotations

import json
import os
import random
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ferrule.core.ids import Address, Cookie
from ferrule.dataplane.python import NON_ESP_MARKER
from ferrule.ike.header import build_message
from ferrule.ike.iana import DOI_IPSEC, ExchangeType, Flag, NotifyType, ProtocolId
from ferrule.ike.payloads import Delete, HashPayload, Payload, build_payloads, notification
from ferrule.l2tp.effects import SendL2tp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.policy import L2tpPolicy
from interop.hostile import flood as flooding
from interop.hostile.eavesdropper import NATT_PORT, Eavesdropper, ike_message
from interop.hostile.mutations import mutant
from interop.hostile.wire import Datagram, Wire, build_frame

IKE_PORT = 500
ELSEWHERE = Address("198.18.66.6", 6666)  # a stranger's address, routed to where nobody answers


@dataclass(slots=True)
class Blow:
    """What an attack sent; octets are those of UDP payload."""

    datagrams: int = 0
    octets: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = f", {self.datagrams / self.seconds:.0f} a second" if self.seconds > 0.5 else ""
        return f"{self.datagrams} datagrams, {self.octets} octets{rate}"


class Attacker:
    """The wire, the ears, what is known of the victim, and a hand that counts what it throws.

    Made while the victim is up and nobody else of its host is."""

    def __init__(self, wire: Wire, ears: Eavesdropper, seed: int) -> None:
        self.wire = wire
        self.ears = ears
        self.victim = ears.dossier()
        self.rng = random.Random(seed)
        self._counting = threading.Lock()  # the eavesdropper's thread throws too

    def throw(self, blow: Blow, source: Address, port: int, payload: bytes) -> None:
        """One datagram to the server's `port` as from `source`; from any thread."""
        sent = self.wire.send(source, port, payload)
        with self._counting:
            blow.octets += sent
            blow.datagrams += 1

    def throw_ike(self, blow: Blow, source: Address, port: int, message: bytes) -> None:
        """With the marker where the port wants it."""
        self.throw(blow, source, port, NON_ESP_MARKER + message if port == NATT_PORT else message)

    # --- ESP

    def replay(self) -> Blow:
        """All of the victim's datagrams so far, from its address and from another one."""
        blow = Blow()
        began = time.monotonic()
        for kind in ("ike", "esp"):
            for datagram in list(self.ears.heard[kind]):
                self._replay_one(blow, datagram)
        blow.seconds = time.monotonic() - began
        return blow

    @contextmanager
    def replaying(self) -> Iterator[Blow]:
        """Each of the victim's datagrams again, twice, the moment it has passed."""
        blow = Blow()

        def again(datagram: Datagram, _: str) -> None:
            if datagram.source.host != self.wire.server:
                self._replay_one(blow, datagram)

        end = self.ears.subscribe(again)
        try:
            yield blow
        finally:
            end()

    def _replay_one(self, blow: Blow, datagram: Datagram) -> None:
        for source in (datagram.source, ELSEWHERE):
            self.throw(blow, source, datagram.destination.port, datagram.payload)

    def garbage(self, count: int) -> Blow:
        """Octets with the victim's SPI: noise with a sequence number behind, in and far ahead of
        the window, and packets of the victim's with one octet changed or a new number."""
        blow = Blow()
        began = time.monotonic()
        rng, spi = self.rng, self.victim.spi
        packets = [d.payload for d in list(self.ears.heard["esp"]) if d.payload[:4] == spi]
        last = struct.unpack_from("!I", packets[-1], 4)[0]
        for number in range(count):
            sequence = rng.choice((0, 1, last, last + 1, last + 64, last + 5000, 0xFFFFFFFF))
            packet = bytearray(rng.choice(packets))
            match number % 4:
                case 0:
                    packet = bytearray(spi + struct.pack("!I", sequence))
                    packet += rng.randbytes(rng.randrange(0, 1200))
                case 1:
                    struct.pack_into("!I", packet, 4, last + rng.randint(1, 10_000))
                case 2:
                    packet[rng.randrange(8, len(packet))] ^= rng.randint(1, 255)
                case _:
                    struct.pack_into("!I", packet, 4, last + rng.randint(1, 100))
                    del packet[rng.randrange(4, len(packet)) :]
            source = self.victim.peer if number % 2 else ELSEWHERE
            self.throw(blow, source, NATT_PORT, bytes(packet))
            _pace(began, number, 4000)
        blow.seconds = time.monotonic() - began
        return blow

    # --- IKE

    def forge_informational(self) -> Blow:
        """In the clear, or with a flag that lies: everything ends, the server is told."""
        blow = Blow()
        began = time.monotonic()
        peer, cookies = self.victim.peer, self.victim.cookies
        for payloads in self._lies(cookies):
            first, body = build_payloads(payloads)
            for exchange in (ExchangeType.INFORMATIONAL, ExchangeType.IDENTITY_PROTECTION):
                for flags, octets in (
                    (0, body),
                    (int(Flag.AUTHENTICATION_ONLY), body),
                    (int(Flag.ENCRYPTION), body + bytes(-len(body) % 16)),
                    (int(Flag.ENCRYPTION), self.rng.randbytes(64)),
                ):
                    message = build_message(
                        Cookie(cookies[:8]),
                        Cookie(cookies[8:]),
                        first,
                        exchange,
                        flags,
                        self.rng.getrandbits(32),
                        octets,
                    )
                    for source, port in (
                        (peer, NATT_PORT),
                        (Address(peer.host, IKE_PORT), IKE_PORT),
                        (ELSEWHERE, NATT_PORT),
                        (ELSEWHERE, IKE_PORT),
                    ):
                        self.throw_ike(blow, source, port, message)
        blow.seconds = time.monotonic() - began
        return blow

    def _lies(self, cookies: bytes) -> list[list[Payload]]:
        spis = (self.victim.spi, self.victim.server_spi)
        lies: list[list[Payload]] = [[Delete(DOI_IPSEC, ProtocolId.ISAKMP, (cookies,))]]
        lies += [[Delete(DOI_IPSEC, ProtocolId.ESP, (spi,))] for spi in spis]
        for kind in (
            NotifyType.INITIAL_CONTACT,
            NotifyType.INVALID_COOKIE,
            NotifyType.AUTHENTICATION_FAILED,
            NotifyType.NO_PROPOSAL_CHOSEN,
            NotifyType.R_U_THERE,
        ):
            data = bytes(4) if kind == NotifyType.R_U_THERE else b""
            lies.append([notification(kind, protocol=ProtocolId.ISAKMP, spi=cookies, data=data)])
        for spi in spis:
            lie = notification(NotifyType.INVALID_SPI, protocol=ProtocolId.ESP, spi=spi, data=spi)
            lies.append([lie])
        lies += [[HashPayload(self.rng.randbytes(20)), *lie] for lie in list(lies)]
        return lies

    def half_open(self, count: int, host: str, *, proven: int) -> Blow:
        """Exchanges from `host` that go no further than message 1; `proven` of them show the
        address by a message 3, which costs the server a Diffie-Hellman key, and then stop."""
        blow = Blow()
        began = time.monotonic()
        first, key_exchange = self.victim.first, self.victim.key_exchange
        wanted = {self.rng.randbytes(8) for _ in range(count)}
        to_prove = set(list(wanted)[:proven])

        def prove(answer: Datagram, kind: str) -> None:
            message = ike_message(answer)
            if kind != "ike" or answer.source.host != self.wire.server:
                return
            if message[:8] in to_prove:
                to_prove.discard(message[:8])
                self.throw_ike(blow, answer.destination, IKE_PORT, message[:16] + key_exchange[16:])

        end = self.ears.subscribe(prove)
        try:
            for number, cookie in enumerate(wanted):
                source = Address(host, 20_000 + number)
                self.throw_ike(blow, source, IKE_PORT, cookie + first[8:])
            await_true(lambda: not to_prove, 5.0)
        finally:
            end()
        blow.seconds = time.monotonic() - began
        return blow

    def mutants(self, count: int, rate: int) -> Blow:
        """Mutants of the victim's IKE and ESP, and of L2TP, to both ports, from the victim's
        address and from elsewhere."""
        blow = Blow()
        began = time.monotonic()
        ike = [ike_message(datagram) for datagram in self.ears.heard["ike"]]
        esp = [datagram.payload for datagram in list(self.ears.heard["esp"])[-500:]]
        kinds = (ike, ike, esp, _l2tp_messages())
        for number in range(count):
            rng = self.rng
            message = mutant(rng, rng.choice(kinds))
            port = rng.choice((IKE_PORT, NATT_PORT))
            source = rng.choice((self.victim.peer, ELSEWHERE, _anybody(rng)))
            if rng.random() < 0.6:
                self.throw_ike(blow, source, port, message)
            else:
                self.throw(blow, source, port, message)
            _pace(began, number, rate)
        blow.seconds = time.monotonic() - began
        return blow

    # --- the flood

    def begin_flood(self, rate: int, seconds: float, log: Path, **kind: int) -> Callable[[], Blow]:
        """Spoofed messages to both ports from a process of its own: first ones, unless `kind`
        (see flood.Order) says more. What is returned waits for its end; `log` takes what it
        prints."""
        frames = []
        for port, marker in ((IKE_PORT, b""), (NATT_PORT, NON_ESP_MARKER)):
            datagram = Datagram(
                ELSEWHERE, Address(self.wire.server, port), marker + self.victim.first
            )
            frames.append((build_frame(self.wire.hardware, datagram).hex(), len(marker)))
        seed = self.rng.getrandbits(64)
        order = flooding.Order(self.wire.device, tuple(frames), rate, seconds, seed, **kind)
        argv = [sys.executable, "-ISu", str(flooding.__file__), json.dumps(asdict(order))]
        process = self.wire.namespace.start(argv, log)
        since = log.stat().st_size

        def finish() -> Blow:
            try:
                status = process.wait(2 * seconds + 10)
            finally:
                process.kill()
            said = log.read_bytes()[since:].decode()
            if status != 0:
                raise RuntimeError(f"the flood ended with {status}: {said}")
            told = flooding.Flood(**json.loads(said))
            return Blow(told.datagrams, told.octets, told.seconds)

        return finish


def await_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _pace(began: float, number: int, rate: int) -> None:
    """Sleep if `number` datagrams are more than `rate` a second since `began`."""
    ahead = number / rate - (time.monotonic() - began)
    if ahead > 0.002:
        time.sleep(ahead)


def _anybody(rng: random.Random) -> Address:
    return Address(f"198.18.{rng.randrange(256)}.{rng.randrange(256)}", rng.randint(1, 65_535))


def _l2tp_messages() -> list[bytes]:
    """What a LAC says first, and a data message."""
    endpoint = L2tpEndpoint(L2tpPolicy(host_name="mallory"), os.urandom)
    sent = [e.message for e in endpoint.open_tunnel(0.0) if isinstance(e, SendL2tp)]
    return [*sent, bytes.fromhex("0002000100010021") + bytes.fromhex("45000014") + bytes(16)]
