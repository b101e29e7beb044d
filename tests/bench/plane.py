"""What the Python plane costs: CPU time of seal and open, and of whole packets up and down.

Run it with `python tests/bench/plane.py [--json] [--packets N]`. No sockets: the figures are the
plane's own. Octets are those of the inner IP packet; one core, the best of a few rounds.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ferrule.core.ids import Spi
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.dataplane.interface import Policy
from ferrule.dataplane.python import PythonPlane
from ferrule.esp.packet import EspOpener, EspSealer
from support.dataplane import HOME, INTERNET, Host, Rig, key, udp, udp_header

SIZES = (200, 1400)
ROUNDS = 3
HOSTS = 100  # in the plane's tables
SUITES = (
    EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA1_96),
    EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA2_256_128),
    EspSuite(Cipher.AES128_GCM16, None),
    EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA1_96),
)
POLICY = Policy(denied=(IPv4Network("169.254.0.0/16"), IPv4Network("100.100.100.200/32")))

# Prepares one round: a function of one packet, and the packets.
Round: TypeAlias = tuple[Callable[[bytes], object], list[bytes]]


@dataclass
class Result:
    what: str
    suite: str
    octets: int
    microseconds: float
    packets_per_cpu_second: int
    gbit_per_cpu_second: float


def seal(suite: EspSuite, octets: int, packets: int) -> Round:
    sealer = EspSealer(suite, key(suite, "bench"), Spi(0x1000))
    return sealer.seal, [bytes(octets)] * packets


def open_(suite: EspSuite, octets: int, packets: int) -> Round:
    sealer = EspSealer(suite, key(suite, "bench"), Spi(0x1000))
    opener = EspOpener(suite, key(suite, "bench"), Spi(0x1000))
    return opener.open, [sealer.seal(bytes(octets)) for _ in range(packets)]


def _plane(suite: EspSuite) -> tuple[PythonPlane, Host]:
    """A plane whose punts and packets go nowhere, and one of its clients."""
    rig = Rig()
    rig.plane = PythonPlane(
        clock=time.monotonic,
        punt=lambda punt: None,
        transmit=lambda path, data: None,
        deliver=lambda packet: None,
    )
    hosts = [Host(rig, number, suite=suite, policy=POLICY) for number in range(1, HOSTS + 1)]
    return rig.plane, hosts[HOSTS // 2]


def up(suite: EspSuite, octets: int, packets: int) -> Round:
    plane, host = _plane(suite)
    message = struct.pack(">HHH", 2, host.tunnel, host.session) + b"\xff\x03\x00\x21"
    message += udp(host.address, INTERNET, bytes(octets - 28))
    payload = udp_header(message) + message
    sealed = [host.sealers[host.spi].seal(payload) for _ in range(packets)]
    return lambda datagram: plane.receive_datagram(HOME, datagram), sealed


def down(suite: EspSuite, octets: int, packets: int) -> Round:
    plane, host = _plane(suite)
    return plane.transmit_ip, [udp(INTERNET, host.address, bytes(octets - 28))] * packets


MEASURED = {"seal": seal, "open": open_, "up": up, "down": down}


def measure(packets: int) -> Iterable[Result]:
    for suite in SUITES:
        for octets in SIZES:
            for what, prepare in MEASURED.items():
                each = min(_seconds(*prepare(suite, octets, packets)) for _ in range(ROUNDS))
                each /= packets
                rate = int(1 / each)
                gbit = round(octets * 8e-9 / each, 2)
                yield Result(what, str(suite), octets, round(each * 1e6, 2), rate, gbit)


def _seconds(deed: Callable[[bytes], object], packets: list[bytes]) -> float:
    started = time.process_time()
    for packet in packets:
        deed(packet)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument("--packets", type=int, default=5000, help="packets a round")
    arguments = parser.parse_args()
    if not arguments.json:
        print(f"{'':6}{'suite':16}{'octets':>7}{'us':>9}{'packets/CPU-s':>15}{'Gbit/CPU-s':>12}")
    for result in measure(arguments.packets):
        if arguments.json:
            print(json.dumps(asdict(result)))
        else:
            print(
                f"{result.what:6}{result.suite:16}{result.octets:>7}{result.microseconds:>9.2f}"
                f"{result.packets_per_cpu_second:>15,}{result.gbit_per_cpu_second:>12.2f}"
            )


if __name__ == "__main__":
    main()
