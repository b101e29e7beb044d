"""Numbers that IKEv1 messages carry: RFC 2407 (IPsec DOI), RFC 2408, RFC 2409 appendix A.

Later additions: RFC 3526 and 5903 (groups, in `crypto.suites.Group`), RFC 3602, 4106, 4868
(ciphers and hashes), RFC 3706 (DPD), RFC 3947 (NAT-T). Only what this implementation speaks or
has to recognise in order to refuse it.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

VERSION_1_0: Final = 0x10
DOI_ISAKMP: Final = 0
DOI_IPSEC: Final = 1
SITUATION_IDENTITY_ONLY: Final = 1


class ExchangeType(IntEnum):
    """RFC 2408 3.1, RFC 2409 appendix A."""

    BASE = 1
    IDENTITY_PROTECTION = 2  # Main Mode
    AUTHENTICATION_ONLY = 3
    AGGRESSIVE = 4
    INFORMATIONAL = 5
    TRANSACTION = 6  # Mode Config and XAuth
    QUICK_MODE = 32
    NEW_GROUP_MODE = 33


class Flag(IntFlag):
    """RFC 2408 3.1."""

    ENCRYPTION = 1
    COMMIT = 2
    AUTHENTICATION_ONLY = 4


class PayloadType(IntEnum):
    """RFC 2408 3.1, RFC 3947 3.2 and 5.2, and the drafts' private numbers."""

    NONE = 0
    SA = 1
    PROPOSAL = 2
    TRANSFORM = 3
    KEY_EXCHANGE = 4
    IDENTIFICATION = 5
    CERTIFICATE = 6
    CERTIFICATE_REQUEST = 7
    HASH = 8
    SIGNATURE = 9
    NONCE = 10
    NOTIFICATION = 11
    DELETE = 12
    VENDOR_ID = 13
    ATTRIBUTES = 14
    NAT_D = 20
    NAT_OA = 21
    NAT_D_DRAFT = 130
    NAT_OA_DRAFT = 131


class ProtocolId(IntEnum):
    """RFC 2407 4.4.1."""

    ISAKMP = 1
    AH = 2
    ESP = 3
    IPCOMP = 4


class NotifyType(IntEnum):
    """RFC 2408 3.14.1, RFC 2407 4.6.3, RFC 3706 5.3."""

    INVALID_PAYLOAD_TYPE = 1
    DOI_NOT_SUPPORTED = 2
    SITUATION_NOT_SUPPORTED = 3
    INVALID_COOKIE = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_MINOR_VERSION = 6
    INVALID_EXCHANGE_TYPE = 7
    INVALID_FLAGS = 8
    INVALID_MESSAGE_ID = 9
    INVALID_PROTOCOL_ID = 10
    INVALID_SPI = 11
    INVALID_TRANSFORM_ID = 12
    ATTRIBUTES_NOT_SUPPORTED = 13
    NO_PROPOSAL_CHOSEN = 14
    BAD_PROPOSAL_SYNTAX = 15
    PAYLOAD_MALFORMED = 16
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_CERT_ENCODING = 19
    INVALID_CERTIFICATE = 20
    CERT_TYPE_UNSUPPORTED = 21
    INVALID_CERT_AUTHORITY = 22
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    INVALID_SIGNATURE = 25
    ADDRESS_NOTIFICATION = 26
    NOTIFY_SA_LIFETIME = 27
    CERTIFICATE_UNAVAILABLE = 28
    UNSUPPORTED_EXCHANGE_TYPE = 29
    UNEQUAL_PAYLOAD_LENGTHS = 30
    CONNECTED = 16384
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136
    R_U_THERE_ACK = 36137


FIRST_STATUS_TYPE: Final = 16384  # RFC 2408 3.14.1: below are errors


def notify_name(number: int) -> str:
    """ "NO-PROPOSAL-CHOSEN", or the number."""
    try:
        return NotifyType(number).name.replace("_", "-")
    except ValueError:
        return str(number)


class IdType(IntEnum):
    """RFC 2407 4.6.2.1."""

    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11


class Phase1Attribute(IntEnum):
    """RFC 2409 appendix A."""

    ENCRYPTION_ALGORITHM = 1
    HASH_ALGORITHM = 2
    AUTHENTICATION_METHOD = 3
    GROUP_DESCRIPTION = 4
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    KEY_LENGTH = 14


KEY_IKE: Final = 1  # the transform id of phase 1, RFC 2407 4.4.2


class EncryptionAlgorithm(IntEnum):
    """RFC 2409 appendix A; the ones that clients offer."""

    DES_CBC = 1
    BLOWFISH_CBC = 3
    DES3_CBC = 5
    CAST_CBC = 6
    AES_CBC = 7
    CAMELLIA_CBC = 8


class HashAlgorithm(IntEnum):
    """RFC 2409 appendix A, IANA."""

    MD5 = 1
    SHA1 = 2
    TIGER = 3
    SHA2_256 = 4
    SHA2_384 = 5
    SHA2_512 = 6


class AuthenticationMethod(IntEnum):
    """RFC 2409 appendix A, and the XAuth and hybrid drafts' private numbers."""

    PRE_SHARED_KEY = 1
    DSS_SIGNATURES = 2
    RSA_SIGNATURES = 3
    RSA_ENCRYPTION = 4
    REVISED_RSA_ENCRYPTION = 5
    HYBRID_INIT_RSA = 64221
    XAUTH_INIT_PRE_SHARED = 65001
    XAUTH_INIT_RSA = 65005


class LifeType(IntEnum):
    """RFC 2409 appendix A and RFC 2407 4.5 agree."""

    SECONDS = 1
    KILOBYTES = 2


class EspTransform(IntEnum):
    """RFC 2407 4.4.4, RFC 3602, RFC 4106."""

    DES = 2
    DES3 = 3
    BLOWFISH = 7
    NULL = 11
    AES_CBC = 12
    AES_CTR = 13
    AES_GCM_8 = 18
    AES_GCM_12 = 19
    AES_GCM_16 = 20


class Phase2Attribute(IntEnum):
    """RFC 2407 4.5."""

    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP_DESCRIPTION = 3
    ENCAPSULATION_MODE = 4
    AUTHENTICATION_ALGORITHM = 5
    KEY_LENGTH = 6


class EncapsulationMode(IntEnum):
    """RFC 2407 4.5, RFC 3947 5.1, and drafts 02 and 03."""

    TUNNEL = 1
    TRANSPORT = 2
    UDP_TUNNEL = 3
    UDP_TRANSPORT = 4
    UDP_TUNNEL_DRAFT = 61443
    UDP_TRANSPORT_DRAFT = 61444


class AuthenticationAlgorithm(IntEnum):
    """RFC 2407 4.5, RFC 4868."""

    HMAC_MD5 = 1
    HMAC_SHA1 = 2
    DES_MAC = 3
    KPDK = 4
    HMAC_SHA2_256 = 5
    HMAC_SHA2_384 = 6
    HMAC_SHA2_512 = 7
