"""Writes the seed corpora: what honest peers send, made with the builders. `python -m fuzz.seeds`.

Files keep their names from run to run, so that a change of a builder shows as a change of a file.
Inputs that once crashed lie beside them, under names that start with `crash-`, and are left alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from ferrule.client.icmp import Echo, build_echo
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, build_udp
from ferrule.client.tcp_segment import Flag, Segment, build_segment
from ferrule.cluster.members import (
    Epoch,
    EpochId,
    Heartbeat,
    Identity,
    Member,
    MemberName,
    Record,
    build_epoch,
    build_heartbeat,
    build_record,
)
from ferrule.cluster.messages import (
    Ending,
    EndSessions,
    HandOver,
    Try,
    build_end_sessions,
    build_hand_over,
    build_sessions_ended,
    build_to_address,
    build_try,
)
from ferrule.cluster.relay import Relayed, build_relayed
from ferrule.cluster.ring import RingKind
from ferrule.cluster.routes import Forward, build_forward
from ferrule.core.credentials import Accepted, MsChapV2Proof, Proof
from ferrule.core.ids import Address, Cookie
from ferrule.core.ids import Path as ClientPath
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.mschap import mschapv2_authenticator_response, nt_password_hash
from ferrule.esp.packet import EspSealer
from ferrule.ike.attributes import build_attributes
from ferrule.ike.effects import SendIke
from ferrule.ike.header import NO_COOKIE, build_message
from ferrule.ike.iana import PayloadType
from ferrule.ike.natt import NATT_RFC
from ferrule.ike.payloads import (
    Delete,
    HashPayload,
    Identification,
    KeyExchange,
    NatD,
    NatOa,
    Nonce,
    Payload,
    VendorId,
    build_payloads,
    notification,
    security_association,
)
from ferrule.ike.proposals import Proposal, build_proposals, offer
from ferrule.ike.vendor_ids import vendor_octets
from ferrule.l2tp.avp import Avp, AvpType, build_avps
from ferrule.l2tp.effects import L2tpEffect, SendL2tp, TunnelUp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.header import build_data
from ferrule.l2tp.hidden import hide
from ferrule.l2tp.messages import Sccrq, StopCcn
from ferrule.l2tp.messages import build_message as build_l2tp
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.l2tp.result_codes import ResultCode, build_result_code
from ferrule.ppp.effects import Addresses, AskAddress, AskVerify, PppEffect, SendPpp, Verified
from ferrule.ppp.frame import Protocol, build_frame
from ferrule.ppp.link import Credentials, Link, PeerLink
from ferrule.ppp.packet import Code, Option, Packet, build_options, build_packet
from ferrule.ppp.pap import build_request
from ferrule.ppp.policy import METHODS, PppPolicy
from ferrule.store.interface import Checkpoint, Claim, Lease
from ferrule.store.snapshot import Image, LeaseImage, build_image
from fuzz.cluster import PEER, enveloped
from fuzz.ike_machines import CLIENT_PATH, endpoint, hash_and_chain
from fuzz.parsers import ESP_SPI, ESP_SUITES, TUNNEL_SECRET, esp_key
from fuzz.registry import Entropy, join_records

HERE = Path(__file__).resolve().parent
CORPORA = HERE / "corpora"
EXAMPLE = HERE.parent.parent / "examples" / "gateway.yaml"
Seeds = dict[str, bytes]
COOKIE = Cookie(b"initiato")


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


# --- IKE ---------------------------------------------------------------------------------------

# (encryption, hash, group, key bits) of RFC 2409 appendix A.
WINDOWS = ((7, 2, 20, 256), (7, 2, 19, 128), (7, 2, 14, 256), (5, 2, 14, 0), (5, 2, 2, 0))
APPLE = (*((7, h, g, 256) for g in (14, 5, 2) for h in (4, 2, 1)), (5, 2, 2, 0))
ANDROID = tuple((c, h, 2, b) for c, b in ((7, 256), (7, 128), (5, 0)) for h in (5, 4, 2, 1))


def phase1_offer(transforms: tuple[tuple[int, int, int, int], ...], seconds: int) -> list[Proposal]:
    offered = []
    for number, (cipher, hash_, group, bits) in enumerate(transforms, 1):
        attributes = ((1, cipher), (2, hash_), (3, 1), (4, group), (11, 1), (12, seconds))
        if bits:
            attributes += ((14, bits),)
        offered.append(offer(1, attributes, number))
    return [Proposal(1, 1, b"", offered)]


def phase2_offer() -> list[Proposal]:
    common = ((1, 1), (2, 3600), (1, 2), (2, 250_000), (4, 4))
    cbc = [offer(12, (*common, (5, 2), (6, bits)), at) for at, bits in enumerate((256, 128), 1)]
    gcm = [offer(20, (*common, (6, 128)), 3)]
    return [Proposal(1, 3, b"\x12\x34\x56\x78", cbc + gcm + [offer(3, (*common, (5, 2)), 4)])]


def ike(payloads: list[Payload], exchange: int = 2, message_id: int = 0) -> bytes:
    first, chain = build_payloads(payloads)
    return build_message(COOKIE, NO_COOKIE, first, exchange, 0, message_id, chain)


def ike_seeds() -> dict[str, Seeds]:
    sa = {
        "windows": phase1_offer(WINDOWS, 28_800),
        "apple": phase1_offer(APPLE, 3600),
        "android": phase1_offer(ANDROID, 28_800),
    }
    vendor = VendorId(vendor_octets(NATT_RFC))
    identification = Identification(1, 17, 1701, bytes((192, 168, 1, 5)))
    exchange = [KeyExchange(bytes(range(256))), Nonce(bytes(48)), NatD(bytes(20)), NatD(bytes(20))]
    quick = [
        HashPayload(bytes(20)),
        security_association(phase2_offer()),
        Nonce(bytes(16)),
        identification,
        identification,
        NatOa(1, bytes(4)),
    ]
    first_effects = endpoint(Entropy(b"peer")).initiate(CLIENT_PATH, 0.0)
    messages = {
        **{f"first-{n}": ike([security_association(p), vendor]) for n, p in sa.items()},
        "third": ike(list(exchange)),
        "fifth": ike([identification, HashPayload(bytes(20))]),
        "quick": ike(list(quick), 32, 7),
        "delete": ike([HashPayload(bytes(20)), Delete(1, 3, (b"\1\2\3\4",))], 5, 9),
        "dpd": ike([notification(36136, protocol=1, spi=bytes(16), data=bytes(4))], 5, 11),
    }
    in_records = {
        name: join_records(
            b"\4" + messages[name],
            bytes((0, 2, PayloadType.KEY_EXCHANGE)) + build_payloads(key)[1],
            b"\6",
            b"\0\5\x0b" + build_payloads([notification(14, protocol=1)])[1],
        )
        for name in ("first-windows", "first-apple", "first-android")
        for key in ([KeyExchange(bytes((1,)) * 64), Nonce(bytes(range(32)))],)
    }
    third = [KeyExchange(bytes((9, *bytes(31)))), Nonce(bytes(range(32)))]
    in_records["client"] = join_records(
        *(b"\4" + effect.message for effect in first_effects if isinstance(effect, SendIke)),
        bytes((0, 2, PayloadType.KEY_EXCHANGE)) + build_payloads(third)[1],
        b"\6",
    )
    message5 = {
        "address": join_records(bytes((9, 1, 192, 168, 1, 5)), bytes((0, 8))),
        "contact": join_records(bytes((9, 1, 192, 168, 1, 5)) + u16(24578)),
        "wrong": join_records(
            b"\0\5" + build_payloads([identification, HashPayload(bytes(20))])[1]
        ),
    }
    quick_record = hash_and_chain(quick[1:])
    dpd = notification(36136, protocol=1, spi=bytes(16), data=bytes(4))
    phase2 = {
        "quick": join_records(b"\2" + quick_record, b"\7", b"\x0a" + quick_record),
        "delete": join_records(
            b"\2" + quick_record, b"\x08" + hash_and_chain([Delete(1, 3, (b"\x12\x34\x56\x78",))])
        ),
        "dpd": join_records(b"\0" + hash_and_chain([dpd]), b"\7\0", b"\6" + hash_and_chain([dpd])),
        "garbage": join_records(b"\5\x08" + bytes(32), b"\4\x08" + bytes(40)),
    }
    proposals = {n: build_proposals(p) for n, p in sa.items()} | {
        "phase2": build_proposals(phase2_offer())
    }
    attributes = {"short": build_attributes(((1, 7), (14, 256))), "long": b"\0\x0c\0\4\0\0\x70\x80"}
    return {
        "ike_message": messages,
        "ike_proposals": proposals,
        "ike_attributes": attributes,
        "ike_server": in_records,
        "ike_message5": message5,
        "ike_phase2": phase2,
    }


# --- ESP ---------------------------------------------------------------------------------------


def esp_seeds() -> dict[str, Seeds]:
    seeds: Seeds = {}
    for at, suite in enumerate(ESP_SUITES):
        for octets in (0, 40, 41):
            packet = EspSealer(suite, esp_key(suite), ESP_SPI).seal(bytes(octets))
            seeds[f"{suite}-{octets}"] = bytes((at,)) + packet[4:]
            if suite.integrity is not None:
                unsigned = packet[4 : -suite.integrity.icv]
                seeds[f"{suite}-{octets}-to-sign"] = bytes((0x80 | at,)) + unsigned
    return {"esp_open": seeds}


# --- L2TP --------------------------------------------------------------------------------------


def l2tp_conversation(secret: Secret | None) -> tuple[list[bytes], list[bytes]]:
    """What a LAC and an LNS say to each other, from SCCRQ to the end."""
    policy = L2tpPolicy(tunnel_secret=secret, hide_avps=secret is not None)
    server = L2tpEndpoint(policy, Entropy())
    client = L2tpEndpoint(
        L2tpPolicy(tie_breaker=True, sequencing=True, tunnel_secret=secret), Entropy()
    )
    from_client: list[bytes] = []
    from_server: list[bytes] = []
    now = 0.0

    def exchange(effects: list[L2tpEffect]) -> None:
        queue = [(client, effect) for effect in effects]
        while queue:
            sender, effect = queue.pop(0)
            match effect:
                case SendL2tp(message):
                    receiver = server if sender is client else client
                    (from_client if sender is client else from_server).append(message)
                    queue += [(receiver, e) for e in receiver.receive(message, now)]
                case TunnelUp(tunnel=tunnel) if sender is client:
                    queue += [(client, e) for e in client.open_session(tunnel, now)]
                case _:
                    pass

    exchange(client.open_tunnel(now))
    for view in client.sessions():
        exchange(client.close_session(view.tunnel, view.session, Reason.PEER_CLOSED, now))
    exchange(client.close(Reason.PEER_CLOSED, now))
    return from_client, from_server


def l2tp_seeds() -> dict[str, Seeds]:
    plain = build_l2tp(Sccrq(7, b"host", receive_window_size=4, challenge=bytes(16)))
    hidden = build_l2tp(Sccrq(7, b"host", vendor_name=b"vendor"), TUNNEL_SECRET, Entropy())
    stop = build_l2tp(StopCcn(7, ResultCode(2, 6, "why")))
    unknown = build_avps([Avp(AvpType.MESSAGE_TYPE, b"\0\1")]) + b"\x80\x07\0\0\x01\xf4x"
    avps = {"sccrq": b"\0" + plain, "stopccn": b"\0" + stop, "unknown": b"\0" + unknown}
    clear, _ = l2tp_conversation(None)
    messages = {f"message-{at}": message for at, message in enumerate(clear)}
    messages["data"] = build_data(7, 9, 1) + b"\xff\x03\0\x21"
    messages["data-all-bits"] = bytes.fromhex("4b02001600070009000100000004000000000021")
    vector = bytes(range(16))
    seeds = {
        "l2tp_message": messages,
        "l2tp_avps": avps | {"hidden": b"\xff" + hidden},
        "l2tp_hidden": {"number": b"\0\x09" + vector + hide(9, b"\0\7", TUNNEL_SECRET, vector)},
        "l2tp_result_code": {
            "usual": build_result_code(ResultCode(2, 6, "no resources")),
            "apple": bytes.fromhex("06000000"),
            "android": bytes.fromhex("0001"),
        },
        "l2tp_server": {},
        "l2tp_client": {},
    }
    for name, first, secret in (("plain", b"\0", None), ("secret", b"\xff", TUNNEL_SECRET)):
        to_server, to_client = l2tp_conversation(secret)
        raw = join_records(*(b"\4" + message for message in to_server))
        wrapped = join_records(*(b"\0" + message[12:] for message in to_server), b"\5", b"\7")
        seeds["l2tp_server"][f"{name}-raw"] = first + raw
        seeds["l2tp_server"][f"{name}-wrapped"] = first + wrapped
        if secret is None:
            seeds["l2tp_client"]["raw"] = join_records(*(b"\4" + m for m in to_client))
            seeds["l2tp_client"]["wrapped"] = join_records(*(b"\0" + m[12:] for m in to_client))
    return seeds


# --- PPP ---------------------------------------------------------------------------------------

PASSWORD = b"password"


def ppp_conversation(
    method: str, server_entropy: Entropy, client_entropy: Entropy
) -> tuple[list[bytes], list[bytes]]:
    """Records for the server's end and for the client's: a whole connection."""
    others = tuple(m for m in ("mschapv2", "chap", "pap", "mschapv1") if m != method)
    server = Link(PppPolicy(auth=(method, *others)), server_entropy)
    client = PeerLink(
        PppPolicy(auth=("mschapv2", "chap", "pap", "mschapv1")),
        Credentials("ada", Secret(PASSWORD)),
        client_entropy,
    )
    to_server: list[bytes] = []
    to_client: list[bytes] = []
    queue: list[tuple[Link | PeerLink, PppEffect]] = [(server, e) for e in server.start(0.0)]
    queue += [(client, e) for e in client.start(0.0)]
    while queue:
        sender, effect = queue.pop(0)
        match effect:
            case SendPpp(frame):
                receiver = client if sender is server else server
                (to_client if sender is server else to_server).append(b"\0" + frame)
                queue += [(receiver, e) for e in receiver.receive(frame, 0.0)]
            case AskVerify(ask, proof):
                to_server.append(b"\x0d")
                verdict = Accepted("ada", prove(proof))
                queue += [(server, e) for e in server.answer(Verified(ask, verdict), 0.0)]
            case AskAddress(ask):
                to_server.append(b"\x05")
                address = IPv4Address("10.20.0.2")
                answer = Addresses(ask, IPv4Address("10.20.0.1"), address, (address,))
                queue += [(server, e) for e in server.answer(answer, 0.0)]
            case _:
                pass
    return to_server, to_client


def prove(proof: Proof) -> str:
    """The server's own proof, where the method has one."""
    if not isinstance(proof, MsChapV2Proof):
        return ""
    return mschapv2_authenticator_response(
        nt_password_hash(PASSWORD.decode()),
        proof.username,
        proof.authenticator_challenge,
        proof.peer_challenge,
        proof.nt_response,
    )


def ppp_seeds() -> dict[str, Seeds]:
    lcp = [
        Option(1, u16(1400)),
        Option(2, bytes(4)),
        Option(3, METHODS["mschapv2"]),
        Option(5, b"\1\2\3\4"),
        Option(7, b""),
        Option(8, b""),
        Option(13, b"\6"),
    ]
    ipcp = [
        Option(3, bytes(4)),
        Option(129, bytes(4)),
        Option(131, bytes(4)),
        Option(2, b"\0\x2d\x0f\1"),
    ]
    request = build_packet(Packet(Code.CONFIGURE_REQUEST, 1, build_options(lcp)))
    response = bytes((49,)) + bytes(49) + b"DOMAIN\\ada"
    seeds: dict[str, Seeds] = {
        "ppp_frame": {
            "lcp": build_frame(Protocol.LCP, request),
            "ip": build_frame(Protocol.IP, bytes(20)),
            "compressed": b"\x21" + bytes(20),
            "apple": build_frame(Protocol.ACSP, b"\1\1\0\4"),
        },
        "ppp_packet": {"lcp": request, "echo": build_packet(Packet(9, 1, bytes(8)))},
        "ppp_lcp_options": {
            f"{n}-{name}": bytes((n,)) + build_options(options)
            for n in (0, 1, 2, 0x80, 0x81, 0x82)
            for name, options in (("all", lcp), ("method", lcp[2:3]))
        },
        "ppp_ipcp_options": {
            f"{n}": bytes((n,)) + build_options(ipcp) for n in (0, 1, 2, 0x80, 0x81, 0x82)
        },
        "ppp_chap": {
            "mschapv2": b"\2" + response,
            "chap": b"\0\x10" + bytes(16) + b"ada",
            "failure": b"\0E=691 R=1 C=00112233445566778899AABBCCDDEEFF V=3 M=no",
        },
        "ppp_pap": {"request": build_request(b"ada", PASSWORD)},
        "ppp_server": {},
        "ppp_client": {},
    }
    for at, method in enumerate(("mschapv2", "chap", "pap", "mschapv1")):
        to_server, _ = ppp_conversation(method, Entropy(), Entropy(b"peer"))
        _, to_client = ppp_conversation(method, Entropy(b"peer"), Entropy())
        seeds["ppp_server"][method] = bytes((at,)) + join_records(*to_server, b"\7", b"\6")
        seeds["ppp_client"][method] = join_records(*to_client, b"\7", b"\6")
    return seeds


# --- IPv4 and what uses it ---------------------------------------------------------------------

A, B = IPv4Address("10.20.0.2"), IPv4Address("198.51.100.7")


def syn() -> bytes:
    segment = Segment(40000, 80, 1, 0, Flag.SYN, 65535, mss=1460, scale=7)
    return build_segment(segment, A, B)


def inform() -> bytes:
    options = bytes.fromhex("63825363 350108 370603 0f2c 79f9 ff".replace(" ", ""))
    fixed = struct.pack(">BBBBIHH4s12x16s192x", 1, 8, 6, 0, 0x1234, 0, 0, A.packed, bytes(16))
    return build_udp((A, 68), (IPv4Address("255.255.255.255"), 67), fixed + options)


def ip_seeds() -> dict[str, Seeds]:
    ping = build_ipv4(Ipv4Packet(A, B, IpProtocol.ICMP, build_echo(Echo(False, 1, 1, bytes(56)))))
    big = build_ipv4(Ipv4Packet(A, B, IpProtocol.UDP, bytes(1000)))
    packets = {
        "ping": ping,
        "syn": syn(),
        "udp": build_udp((A, 53), (B, 53), bytes(20)),
        "big": big,
    }
    data_header = build_data(7, 9) + b"\xff\x03"
    return {
        "ipv4_packet": {name: u16(576) + packet for name, packet in packets.items()},
        "client_packet": packets,
        "dhcpinform": {"windows": inform()},
        "plane": {
            "stranger": join_records(b"\0" + bytes(40), b"\0\xff", b"\1" + bytes(28)),
            "sealed": join_records(
                b"\2" + ping, b"\3" + data_header + b"\x21" + ping, b"\3" + b"\xc8\2" + bytes(10)
            ),
            "session": join_records(*(b"\5" + p for p in (*packets.values(), inform()))),
            "down": join_records(*(b"\6" + reversed_path(p) for p in packets.values())),
        },
        "client_http": {
            "length": b"\x20HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "chunked": b"\7HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n",
        },
        "client_dns": {
            "answer": bytes.fromhex("123481800001000100000000")
            + b"\3www\7example\3org\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
        },
        "config_file": {
            "example": EXAMPLE.read_bytes()[:4000],
            "small": b"gateway:\n  ipsec: {psk: a-long-random-secret}\n"
            b"  pools: [{name: default, cidr: 10.20.0.0/16}]\n"
            b"users:\n- username: ada\n  password: secret\n",
            "wrong": b"gateway:\n  ipsec:\n    psk: 7\n    proposals: {phase1: [aes512]}\n"
            b"user: []\n",
        },
    }


def reversed_path(packet: bytes) -> bytes:
    """The packet from the other side; its checksum stays right, for it is a sum."""
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]


# --- the ring and the store --------------------------------------------------------------------


VECTORS = Path(__file__).parent.parent / "vectors" / "checkpoint.json"


def cluster_seeds() -> dict[str, Seeds]:
    other = Member(Identity(MemberName("a-2"), 9), Address("2001:db8::3", 4501), draining=True)
    epoch = Epoch(EpochId(4, 2**63), (PEER, other))
    acknowledged = {other.identity: 11}
    heartbeat = build_heartbeat(Heartbeat(PEER.identity, 12, epoch.id, epoch, acknowledged))
    alone = build_heartbeat(Heartbeat(PEER.identity, 1, None, None))
    record = Record(PEER.identity, 12, epoch, {other.identity: 11})
    v4 = ClientPath(Address("198.51.100.7", 50000), Address("192.0.2.1", 4500), natt=True)
    v6 = ClientPath(Address("2001:db8::7", 500), Address("2001:db8::1", 500), natt=False)
    relayed = {
        name: build_relayed(Relayed(2, 4, path, bytes(40)))
        for name, path in (("relayed_v4", v4), ("relayed_v6", v6))
    }
    image = Image(
        epoch,
        {record.identity: record},
        frozenset({other.identity}),
        {7: Claim(PEER.identity, 4)},
        {7: {"s1": Checkpoint(4, bytes(60))}},
        LeaseImage((Lease("s1", "ada", "laptop", 1, "a-1", A),), (3, 2), {"ada": 2}),
    )
    return {
        "ring_datagram": {
            "heartbeat": b"\1" + heartbeat,
            "alone": b"\1" + alone,
            "enveloped": b"\0" + enveloped(RingKind.TO_CLIENT, relayed["relayed_v4"]),
            **{name: b"\3" + body for name, body in relayed.items()},
            "to_address": b"\7" + build_to_address(bytes(40), from_client=True),
            "addresses": b"\x09" + b"\1" + bytes(8),
            "hand_over": b"\x0b"
            + build_hand_over(
                HandOver(4, 7, "0123456789abcdef", bytes(60), Relayed(0, 4, v4, bytes(40)))
            ),
            "end_session": b"\x0d"
            + build_end_sessions(EndSessions(1, Ending.USER, "ada", Reason.ADMIN_KICK)),
            "sessions_ended": b"\x0f" + build_sessions_ended(1, 2),
            "try": b"\x11" + build_try(Try(False, "192.0.2.9", "CORP\\ada")),
            "forward": b"\x0f" + build_forward(Forward(7, 1_764_000_000.0)),
        },
        "ring_member": {
            "peer": join_records(b"\2", b"\0" + heartbeat, b"\3", b"\0" + alone, b"\3", b"\2"),
            "store": join_records(b"\2", b"\2" + build_epoch(epoch), b"\3", b"\3"),
        },
        "store_checkpoint": {
            vector["name"].replace(" ", "_"): bytes.fromhex(vector["input"])
            for vector in json.loads(VECTORS.read_text())["vectors"]
        },
        "store_record": {
            "epoch": b"\1" + build_epoch(epoch),
            "record": b"\0" + build_record(record),
        },
        "store_snapshot": {"small": build_image(image)},
    }


# --- files -------------------------------------------------------------------------------------

GROUPS: tuple[Callable[[], dict[str, Seeds]], ...] = (
    ike_seeds,
    esp_seeds,
    l2tp_seeds,
    ppp_seeds,
    ip_seeds,
    cluster_seeds,
)


def seeds() -> dict[str, Seeds]:
    made: dict[str, Seeds] = {}
    for group in GROUPS:
        for target, files in group().items():
            made.setdefault(target, {}).update(files)
    return made


def main() -> None:
    for target, files in seeds().items():
        folder = CORPORA / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.name not in files and not old.name.startswith("crash-"):
                old.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        print(f"{target}: {len(files)} files, {sum(map(len, files.values()))} octets")


if __name__ == "__main__":
    main()
