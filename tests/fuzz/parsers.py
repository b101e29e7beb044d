"""Targets without state: one for each parser of received octets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pydantic import ValidationError

from ferrule.client import http
from ferrule.client.dns import DnsError, parse_answer
from ferrule.client.icmp import parse_icmp
from ferrule.client.ipv4 import parse_ipv4, parse_udp
from ferrule.client.tcp_segment import parse_segment
from ferrule.core.checksum import internet_checksum
from ferrule.core.ids import Spi
from ferrule.core.reasons import REASONS
from ferrule.core.secret import Secret
from ferrule.crypto.hashes import hmac
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.dataplane import icmp, ipv4
from ferrule.esp.packet import EspOpener
from ferrule.gateway.dhcpinform import answer
from ferrule.ike.attributes import parse_attributes
from ferrule.ike.choice import choose_phase1, choose_phase2
from ferrule.ike.header import HEADER_OCTETS, parse_header
from ferrule.ike.identity import identity_text
from ferrule.ike.payloads import (
    Identification,
    SecurityAssociation,
    VendorId,
    build_payloads,
    parse_payloads,
)
from ferrule.ike.policy import IkePolicy
from ferrule.ike.proposals import build_proposals, parse_proposals
from ferrule.ike.vendor_ids import vendor_names
from ferrule.l2tp.avp import parse_avps
from ferrule.l2tp.header import build_control, is_control, parse_control, parse_data
from ferrule.l2tp.hidden import hide, unhide
from ferrule.l2tp.messages import read_message
from ferrule.l2tp.result_codes import (
    Closes,
    build_result_code,
    describe,
    describe_ppp_cause,
    parse_result_code,
)
from ferrule.ppp.chap import ALGORITHMS, parse_failure, parse_response, parse_value
from ferrule.ppp.frame import Protocol, build_frame, ipv4_offset, parse_frame
from ferrule.ppp.ipcp_options import GiverOptions, TakerOptions
from ferrule.ppp.lcp_options import LcpOptions
from ferrule.ppp.options import OptionSet
from ferrule.ppp.packet import build_options, build_packet, parse_options, parse_packet
from ferrule.ppp.pap import parse_request
from ferrule.ppp.policy import PppPolicy
from ferrule.runtime.config import Config
from ferrule.runtime.config_checks import check
from ferrule.runtime.config_problems import ConfigError, explain
from ferrule.runtime.config_yaml import Document
from fuzz.registry import Entropy, target

TUNNEL_SECRET = Secret(b"tunnel secret")
IKE_POLICY = IkePolicy(keys=(Secret(b"a pre-shared key"),))


# --- IKE ---------------------------------------------------------------------------------------


@target()
def ike_message(data: bytes) -> None:
    """Header and payload chain of a message in the clear."""
    header = parse_header(data)
    body = data[HEADER_OCTETS : header.length]
    contents = parse_payloads(header.next_payload, body)
    if not contents.payloads:
        return
    first, built = build_payloads(contents.payloads)
    assert first == header.next_payload
    again = parse_payloads(first, built)
    assert build_payloads(again.payloads) == (first, built)
    vendor_names(p.data for p in contents.all(VendorId))
    for identification in contents.all(Identification):
        identity_text(identification)


@target()
def ike_proposals(data: bytes) -> None:
    """The inside of an SA payload; then what the gateway would choose from it."""
    proposals = parse_proposals(data)
    assert parse_proposals(build_proposals(proposals)) == proposals
    payload = SecurityAssociation(proposals, data)
    assert parse_payloads(*build_payloads([payload])).first(SecurityAssociation) == payload
    choices = (
        lambda: choose_phase1(proposals, IKE_POLICY),
        lambda: choose_phase2(proposals, IKE_POLICY, ke_present=False),
        lambda: choose_phase2(proposals, IKE_POLICY, ke_present=True),
    )
    choices[data[0] % 3]()


@target(octets_max=512)
def ike_attributes(data: bytes) -> None:
    parse_attributes(data)


# --- ESP ---------------------------------------------------------------------------------------

ESP_SPI = Spi(0x01020304)
ESP_SUITES = (
    EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96),
    EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_256_128),
    EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA1_96),
    EspSuite(Cipher.AES128_GCM16, None),
)


def esp_key(suite: EspSuite) -> Secret:
    return Secret(bytes(range(1, suite.keymat_octets + 1)))


@target()
def esp_open(data: bytes) -> None:
    """First octet: which suite, and whether the tag is made right, so that decryption and padding
    are reached too. The rest is the packet behind its SPI."""
    choice = data[0] if data else 0
    suite = ESP_SUITES[choice % len(ESP_SUITES)]
    key = esp_key(suite)
    packet = ESP_SPI.to_bytes(4, "big") + data[1:]
    if suite.integrity is not None and choice & 0x80:
        mac_key = key.reveal()[-suite.integrity.key :]
        packet += hmac(suite.integrity.hash, mac_key, packet)[: suite.integrity.icv]
    opener = EspOpener(suite, key, ESP_SPI)
    payload = opener.open(packet)
    assert len(payload) < len(packet)
    assert not opener.window.check(int.from_bytes(packet[4:8], "big")), "it may come twice"


# --- L2TP --------------------------------------------------------------------------------------


@target()
def l2tp_message(data: bytes) -> None:
    """A control message with its AVPs, as the control connection reads it; or a data header."""
    if not is_control(data):
        header = parse_data(data)
        assert 0 <= header.start <= header.end <= len(data)
        return
    control, body = parse_control(data)
    assert parse_control(build_control(control, body)) == (control, body)
    if body:
        read_message(parse_avps(body, TUNNEL_SECRET))


@target(octets_max=1024)
def l2tp_avps(data: bytes) -> None:
    """The body alone, with a tunnel secret or without."""
    avps = parse_avps(data[1:], TUNNEL_SECRET if data[:1] > b"\x7f" else None)
    parsed = read_message(avps)
    assert parsed.kind is not None or parsed.message is None


@target(octets_max=512)
def l2tp_hidden(data: bytes) -> None:
    """Type in two octets, Random Vector in 16, then the hidden value."""
    avp_type, vector, hidden = int.from_bytes(data[:2], "big"), data[2:18], data[18:]
    value = unhide(avp_type, hidden, TUNNEL_SECRET, vector)
    assert (
        unhide(avp_type, hide(avp_type, value, TUNNEL_SECRET, vector), TUNNEL_SECRET, vector)
        == value
    )


@target(octets_max=512)
def l2tp_result_code(data: bytes) -> None:
    code = parse_result_code(data)
    for closes in Closes:
        assert describe(closes, code).isprintable()
    assert describe_ppp_cause(data).isprintable()
    if not code.swapped:
        assert parse_result_code(build_result_code(code)).result == code.result


# --- PPP ---------------------------------------------------------------------------------------

PPP_POLICY = PppPolicy(auth=("mschapv2", "chap", "pap"))


@target()
def ppp_frame(data: bytes) -> None:
    protocol, information = parse_frame(data)
    offset = ipv4_offset(data)
    assert (offset >= 0) == (protocol == Protocol.IP)
    if offset >= 0:
        assert data[offset:] == information
    if protocol <= 0xFFFF and protocol & 1:
        assert parse_frame(build_frame(protocol, information)) == (protocol, information)


@target()
def ppp_packet(data: bytes) -> None:
    """Code, identifier, length; then, as in a Configure-Request, options."""
    packet = parse_packet(data)
    assert parse_packet(build_packet(packet)) == packet
    options = parse_options(packet.data)
    assert build_options(options) == packet.data


def _negotiate(options_set: OptionSet, data: bytes) -> None:
    """A peer's Configure-Request, -Nak and -Reject, and what we say to them."""
    options = parse_options(data[1:])
    match data[0] % 3:
        case 0:
            judgement = options_set.judge(options)
            parse_options(build_options(judgement.naks))
            assert all(option in options for option in judgement.rejects)
            if not judgement.rejects and not judgement.naks:
                options_set.accept(options)
        case 1:
            options_set.on_nak(options)
        case _:
            options_set.on_reject(options)
    parse_options(build_options(options_set.request()))


@target(octets_max=512)
def ppp_lcp_options(data: bytes) -> None:
    if data:
        server = data[0] < 0x80
        _negotiate(LcpOptions(PPP_POLICY, Entropy(), authenticator=server), data)


@target(octets_max=512)
def ppp_ipcp_options(data: bytes) -> None:
    if not data:
        return
    if data[0] < 0x80:
        ours, theirs = IPv4Address("10.20.0.1"), IPv4Address("10.20.0.2")
        _negotiate(GiverOptions(ours, theirs, (ours,), (ours,)), data)
    else:
        _negotiate(TakerOptions(), data)


@target(octets_max=512)
def ppp_chap(data: bytes) -> None:
    """First octet: which method. A Response as the server reads it, and a Failure as the client
    does."""
    reason, text = parse_failure(data[1:])
    assert reason in REASONS
    assert text.isprintable()
    method = sorted(ALGORITHMS)[data[0] % len(ALGORITHMS) if data else 0]
    value, name = parse_value(data[1:])
    challenge = bytes(ALGORITHMS[method].challenge)
    parse_response(method, name.decode("utf-8", "replace"), 1, challenge, value)


@target(octets_max=512)
def ppp_pap(data: bytes) -> None:
    proof = parse_request(data)
    assert len(proof.password) <= 255


# --- IPv4 --------------------------------------------------------------------------------------


@target()
def ipv4_packet(data: bytes) -> None:
    """A packet from the tunnel or for it: first two octets MTU, then the packet. What is sound
    stays sound, and no checksum is broken that was right."""
    mtu = max(68, int.from_bytes(data[:2], "big") & 0x0FFF)
    packet = ipv4.sound(data[2:])
    if packet is None:
        return
    clamped = ipv4.clamp_mss(packet, mtu)
    assert len(clamped) == len(packet)
    assert ipv4.sound(clamped) == clamped
    assert ipv4.clamp_mss(clamped, mtu) == clamped
    header = (packet[0] & 15) * 4
    if clamped != packet:
        assert internet_checksum(clamped[header:]) == internet_checksum(packet[header:])
    icmp.quoted_destination(packet, packet[12:16])
    answer_packet = icmp.fragmentation_needed(packet, mtu)
    if answer_packet is not None:
        assert ipv4.sound(answer_packet) == answer_packet
        assert internet_checksum(answer_packet[:20]) == 0
    if ipv4.may_fragment(packet) and len(packet) > mtu:
        pieces = ipv4.fragment(packet, mtu)
        assert all(len(piece) <= mtu for piece in pieces)
        whole = b"".join(piece[(piece[0] & 15) * 4 :] for piece in pieces)
        assert whole == packet[header:]


@target()
def dhcpinform(data: bytes) -> None:
    """An IPv4 packet from port 68 to port 67, and the answer to it."""
    server = IPv4Address("10.20.0.1")
    reply = answer(
        data,
        server=server,
        routes=(IPv4Network("10.0.0.0/8"), IPv4Network("192.168.4.0/22")),
        dns=(server,),
        domain="corp.example.org",
        wins=(server,),
    )
    if reply is not None:
        assert ipv4.sound(reply) == reply
        assert len(reply) <= 576 + 64


# --- the client's side: what a server may send to a probe ----------------------------------------


@target()
def client_packet(data: bytes) -> None:
    packet = parse_ipv4(data)
    match packet.protocol:
        case 1:
            parse_icmp(packet.payload)
        case 6:
            parse_segment(packet)
        case 17:
            parse_udp(packet)
        case _:
            pass


@target(http.HttpError, octets_max=4096)
def client_http(data: bytes) -> None:
    """A response, as it comes in pieces of as many octets as the first one says."""
    response = http.Response()
    step = max(1, data[0]) if data else 1
    for at in range(1, len(data), step):
        response.feed(data[at : at + step])
    response.finish()


@target(DnsError, octets_max=1024)
def client_dns(data: bytes) -> None:
    parse_answer(0x1234, data)


# --- configuration -----------------------------------------------------------------------------


@target(ConfigError, octets_max=4096)
def config_file(data: bytes) -> None:
    """A configuration without the files that it names: everything that is wrong has a message."""
    document = Document(Path("fuzz.yaml"), data.decode("utf-8", "replace"))
    if not isinstance(document.data, dict):
        return
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        for location, message in explain(error, Config):
            assert message
            assert document.line(location) >= 0
        return
    users = [(document, ("users", at), user) for at, user in enumerate(config.users)]
    for problem in check(config.gateway, config.listen, document, users):
        assert problem.message
