"""The one closed list of reasons: metric label, log field, close cause and hint to a person.

A row says at which stage it happens, what happened, what the person at the client sees (where
that is known) and what to change. `docs/troubleshooting.md` is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Stage(StrEnum):
    """Where in the life of a session a reason belongs; the order is that of a set-up."""

    DATAGRAM = "datagram"
    PHASE1 = "phase1"
    PHASE2 = "phase2"
    ESP = "esp"
    L2TP = "l2tp"
    LCP = "lcp"
    AUTH = "auth"
    IPCP = "ipcp"
    FORWARD = "forward"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Info:
    """What is known about a reason. `shows` is "" where the client shows nothing of its own."""

    stage: Stage
    summary: str
    shows: str = ""
    remedy: str = ""


class Reason(StrEnum):
    """Values are stable: they are metric labels and log fields."""

    # datagram
    NOT_IKE = "not_ike"
    IKE_MALFORMED = "ike_malformed"
    IKE_VERSION = "ike_version"
    UNKNOWN_COOKIE = "unknown_cookie"
    SOURCE_RATE = "source_rate"
    HALF_OPEN_LIMIT = "half_open_limit"
    RING_MALFORMED = "ring_malformed"
    RING_FORGED = "ring_forged"
    RING_HOPS = "ring_hops"
    # phase 1
    AGGRESSIVE_MODE = "aggressive_mode"
    XAUTH = "xauth"
    EXCHANGE_TYPE = "exchange_type"
    NO_PROPOSAL = "no_proposal"
    WEAK_GROUP = "weak_group"
    WEAK_HASH = "weak_hash"
    AUTH_METHOD = "auth_method"
    BAD_KEY_EXCHANGE = "bad_key_exchange"
    BAD_NONCE = "bad_nonce"
    WRONG_KEY = "wrong_key"
    BAD_HASH = "bad_hash"
    BAD_IDENTITY = "bad_identity"
    UNENCRYPTED = "unencrypted"
    UNEXPECTED_MESSAGE = "unexpected_message"
    PAYLOAD_NOT_ALLOWED = "payload_not_allowed"
    CRITICAL_PAYLOAD = "critical_payload"
    PHASE1_TIMEOUT = "phase1_timeout"
    NO_ANSWER = "no_answer"
    PHASE1_EXPIRED = "phase1_expired"
    PEER_NOTIFY = "peer_notify"
    # phase 2
    NO_PHASE2_PROPOSAL = "no_phase2_proposal"
    ENCAPSULATION = "encapsulation"
    TRAFFIC_SELECTOR = "traffic_selector"
    PHASE2_TIMEOUT = "phase2_timeout"
    PHASE2_EXPIRED = "phase2_expired"
    PHASE2_OCTETS = "phase2_octets"
    PHASE2_LIMIT = "phase2_limit"
    REPLACED_SA = "replaced_sa"
    # esp
    UNKNOWN_SPI = "unknown_spi"
    ESP_MALFORMED = "esp_malformed"
    ESP_TAG = "esp_tag"
    ESP_REPLAY = "esp_replay"
    ESP_PADDING = "esp_padding"
    ESP_INNER = "esp_inner"
    SEQUENCE_EXHAUSTED = "sequence_exhausted"
    NO_IPSEC_SA = "no_ipsec_sa"
    # l2tp
    L2TP_MALFORMED = "l2tp_malformed"
    L2TP_UNKNOWN_TUNNEL = "l2tp_unknown_tunnel"
    L2TP_UNKNOWN_SESSION = "l2tp_unknown_session"
    L2TP_MANDATORY_AVP = "l2tp_mandatory_avp"
    L2TP_MISSING_AVP = "l2tp_missing_avp"
    L2TP_VERSION = "l2tp_version"
    L2TP_UNEXPECTED = "l2tp_unexpected"
    L2TP_TUNNEL_AUTH = "l2tp_tunnel_auth"
    L2TP_HIDDEN_AVP = "l2tp_hidden_avp"
    L2TP_DIAL_OUT = "l2tp_dial_out"
    L2TP_LIMIT = "l2tp_limit"
    L2TP_TIMEOUT = "l2tp_timeout"
    L2TP_WINDOW = "l2tp_window"
    L2TP_REFUSED = "l2tp_refused"
    # lcp
    PPP_MALFORMED = "ppp_malformed"
    PPP_UNKNOWN_PROTOCOL = "ppp_unknown_protocol"
    PPP_PHASE = "ppp_phase"
    PPP_RENEGOTIATED = "ppp_renegotiated"
    LCP_LOOPED = "lcp_looped"
    LCP_TIMEOUT = "lcp_timeout"
    LCP_NO_CONVERGENCE = "lcp_no_convergence"
    LCP_ECHO_TIMEOUT = "lcp_echo_timeout"
    NO_AUTH_METHOD = "no_auth_method"
    # auth
    UNKNOWN_USER = "unknown_user"
    WRONG_PASSWORD = "wrong_password"
    USER_DISABLED = "user_disabled"
    USER_EXPIRED = "user_expired"
    METHOD_NEEDS_OTHER_VERIFIER = "method_needs_other_verifier"
    TOO_MANY_SESSIONS = "too_many_sessions"
    LOCKED_OUT = "locked_out"
    AUTH_TIMEOUT = "auth_timeout"
    # ipcp
    POOL_EXHAUSTED = "pool_exhausted"
    STATIC_ADDRESS_TAKEN = "static_address_taken"
    IPCP_TIMEOUT = "ipcp_timeout"
    IPCP_NO_CONVERGENCE = "ipcp_no_convergence"
    # forwarding
    SOURCE_ADDRESS = "source_address"
    DESTINATION_DENIED = "destination_denied"
    CLIENT_ISOLATION = "client_isolation"
    NO_SESSION_FOR_ADDRESS = "no_session_for_address"
    PACKET_TOO_BIG = "packet_too_big"
    IP_MALFORMED = "ip_malformed"
    RATE_LIMIT = "rate_limit"
    PUNT_QUEUE_FULL = "punt_queue_full"
    PING_NO_REPLY = "ping_no_reply"
    HTTP_FAILED = "http_failed"
    # session
    PEER_CLOSED = "peer_closed"
    ADMIN_KICK = "admin_kick"
    USER_REMOVED = "user_removed"
    CREDENTIALS_CHANGED = "credentials_changed"
    SERVER_SHUTDOWN = "server_shutdown"
    IDLE_TIMEOUT = "idle_timeout"
    SESSION_TIMEOUT = "session_timeout"
    PEER_DEAD = "peer_dead"
    REPLACED_SESSION = "replaced_session"
    INITIAL_CONTACT = "initial_contact"
    SESSIONS_LIMIT = "sessions_limit"
    STORE_AWAY = "store_away"
    FENCED = "fenced"
    NOT_SERVING = "not_serving"
    SEQUENCE_UNRESERVED = "sequence_unreserved"
    IMAGE_MALFORMED = "image_malformed"
    INTERNAL_ERROR = "internal_error"


_PHASE1_SHOWS = 'Windows: error 789. macOS: "did not respond". Linux: NO_PROPOSAL_CHOSEN'
_KEY_SHOWS = "Windows: error 789. Linux: AUTHENTICATION_FAILED or a time-out"
_L2TP_SHOWS = 'Windows: error 809 or 651. macOS: "the L2TP server did not respond"'
_AUTH_SHOWS = (
    'Windows: error 691. macOS: "authentication failed". pppd: "CHAP authentication failed"'
)

S = Stage
REASONS: Final[Mapping[Reason, Info]] = MappingProxyType(
    {
        Reason.NOT_IKE: Info(
            S.DATAGRAM,
            "a datagram that is neither IKE, ESP nor a keep-alive",
            remedy="noise from the Internet; nothing to do",
        ),
        Reason.IKE_MALFORMED: Info(
            S.DATAGRAM,
            "an IKE message whose lengths or payloads do not parse",
            remedy="noise or a scan; if an honest client is named, capture the message and report it",
        ),
        Reason.IKE_VERSION: Info(
            S.DATAGRAM,
            "an IKE version other than 1 (IKEv2 clients end here)",
            "the client waits, then says that the server did not respond",
            "choose the VPN type L2TP/IPsec at the client; this server does not speak IKEv2",
        ),
        Reason.UNKNOWN_COOKIE: Info(
            S.DATAGRAM,
            "an IKE message for an ISAKMP SA that is not (or no longer) here",
            remedy="usual after a restart: the client finds out by dead peer detection and connects anew",
        ),
        Reason.SOURCE_RATE: Info(
            S.DATAGRAM,
            "more new connections from one address than its token bucket allows",
            "a slow connect or a time-out",
            "raise limits.perSourceRate if many people share that address",
        ),
        Reason.HALF_OPEN_LIMIT: Info(
            S.DATAGRAM,
            "more unfinished connections than allowed",
            "a slow connect or a time-out",
            "an attack, or raise limits.halfOpenMax",
        ),
        Reason.RING_MALFORMED: Info(
            S.DATAGRAM,
            "a datagram between members of the gateway that does not parse",
            remedy="members of versions that are too far apart; upgrade one version at a time",
        ),
        Reason.RING_FORGED: Info(
            S.DATAGRAM,
            "a datagram at the ring port that no member with the gateway's key sent",
            remedy="let only the gateway's pods reach the ring port (NetworkPolicy), and give all of them the same key",
        ),
        Reason.RING_HOPS: Info(
            S.DATAGRAM,
            "a client's datagram that was relayed as often as is allowed, and was still not at home",
            remedy="it may happen while members come and go; if it goes on, they do not agree who owns what",
        ),
        Reason.AGGRESSIVE_MODE: Info(
            S.PHASE1,
            "the client asked for Aggressive Mode, which lets a listener guess the key off line",
            _PHASE1_SHOWS,
            "choose Main Mode at the client",
        ),
        Reason.XAUTH: Info(
            S.PHASE1,
            "the client asked for XAuth or Mode Config (the Cisco IPsec VPN type)",
            _PHASE1_SHOWS,
            "choose the VPN type L2TP/IPsec at the client, not Cisco IPsec",
        ),
        Reason.EXCHANGE_TYPE: Info(
            S.PHASE1,
            "an exchange type that IKEv1 or this server does not have",
            remedy="noise or a scan; nothing to do",
        ),
        Reason.NO_PROPOSAL: Info(
            S.PHASE1,
            "no phase 1 transform of the client is one that the gateway allows",
            _PHASE1_SHOWS,
            "compare the offered transforms in the log line with ipsec.proposals and change either side",
        ),
        Reason.WEAK_GROUP: Info(
            S.PHASE1,
            "the client offers only the Diffie-Hellman group MODP 1024 (group 2), too weak",
            _PHASE1_SHOWS,
            "give the client MODP 2048 or better, or accept the risk with ipsec.allowWeak: [modp1024]",
        ),
        Reason.WEAK_HASH: Info(
            S.PHASE1,
            "the client offers only MD5, too weak",
            _PHASE1_SHOWS,
            "give the client SHA1 or better, or accept the risk with ipsec.allowWeak: [md5]",
        ),
        Reason.AUTH_METHOD: Info(
            S.PHASE1,
            "the client offers an authentication other than a pre-shared key",
            "Windows: error 766 or 789",
            "choose the pre-shared key at the client, not a certificate",
        ),
        Reason.BAD_KEY_EXCHANGE: Info(
            S.PHASE1,
            "a Diffie-Hellman value of the wrong length, or one that gives the secret away",
            remedy="a broken or hostile peer",
        ),
        Reason.BAD_NONCE: Info(
            S.PHASE1,
            "a nonce shorter than 8 or longer than 256 octets",
            remedy="a broken or hostile peer",
        ),
        Reason.WRONG_KEY: Info(
            S.PHASE1,
            "message 5 does not decrypt: the pre-shared keys differ",
            _KEY_SHOWS,
            "type the gateway's pre-shared key at the client again; mind blanks at the end",
        ),
        Reason.BAD_HASH: Info(
            S.PHASE1,
            "a HASH payload that does not verify",
            _KEY_SHOWS,
            "a forged message, or a pre-shared key that differs",
        ),
        Reason.BAD_IDENTITY: Info(
            S.PHASE1,
            "an identification payload that cannot be used",
            _PHASE1_SHOWS,
            "give the client an address or a name as its local identity",
        ),
        Reason.UNENCRYPTED: Info(
            S.PHASE1,
            "a message in the clear where only an encrypted one is believed",
            remedy="a forged message; the session is not touched",
        ),
        Reason.UNEXPECTED_MESSAGE: Info(
            S.PHASE1,
            "a message that does not belong to the state of the exchange",
            remedy="a late duplicate, or a broken peer",
        ),
        Reason.PAYLOAD_NOT_ALLOWED: Info(
            S.PHASE1,
            "a payload that does not belong into the message, or one that is missing",
            remedy="a broken peer",
        ),
        Reason.CRITICAL_PAYLOAD: Info(
            S.PHASE1,
            "a payload with a situation, DOI or protocol that this server does not have",
            remedy="a broken peer",
        ),
        Reason.PHASE1_TIMEOUT: Info(
            S.PHASE1,
            "the client stopped answering during phase 1",
            'Windows: error 809. macOS: "did not respond"',
            "UDP port 4500 is blocked between client and gateway, or large datagrams get lost",
        ),
        Reason.NO_ANSWER: Info(
            S.PHASE1,
            "the server answered nothing at all (seen by ferrule probe)",
            'Windows: error 809. macOS: "did not respond"',
            "check the address, that the server runs, and that UDP ports 500 and 4500 are open "
            "all the way (cloud firewall, Service, NAT)",
        ),
        Reason.PHASE1_EXPIRED: Info(
            S.PHASE1,
            "the ISAKMP SA reached the end of its lifetime",
            remedy="nothing to do: the client makes a new one when it needs it",
        ),
        Reason.PEER_NOTIFY: Info(
            S.PHASE1,
            "the peer refused with a notification",
            remedy="the notification's name is in the log line; compare both sides' settings",
        ),
        Reason.NO_PHASE2_PROPOSAL: Info(
            S.PHASE2,
            "no ESP transform of the client is one that the gateway allows",
            "Windows: error 789. Linux: NO_PROPOSAL_CHOSEN in Quick Mode",
            "compare the offered transforms in the log line with ipsec.proposals and change either side",
        ),
        Reason.ENCAPSULATION: Info(
            S.PHASE2,
            "the client asks for tunnel mode; L2TP/IPsec runs in transport mode",
            "Windows: error 789. Linux: NO_PROPOSAL_CHOSEN in Quick Mode",
            "set the connection to transport mode (type=transport)",
        ),
        Reason.TRAFFIC_SELECTOR: Info(
            S.PHASE2,
            "the client asks for traffic other than UDP port 1701",
            "Linux: INVALID_ID_INFORMATION",
            "set the connection's protocol to 17/1701 (leftprotoport, rightprotoport)",
        ),
        Reason.PHASE2_TIMEOUT: Info(
            S.PHASE2,
            "the client stopped answering during Quick Mode",
            "Windows: error 809",
            "UDP port 4500 is blocked or unreliable between client and gateway",
        ),
        Reason.PHASE2_EXPIRED: Info(
            S.PHASE2,
            "the IPsec SA reached the end of its lifetime in seconds",
            remedy="nothing to do: the client makes a new one in time",
        ),
        Reason.PHASE2_OCTETS: Info(
            S.PHASE2,
            "the IPsec SA reached its limit of octets or of sequence numbers",
            remedy="nothing to do: a new one is made in time",
        ),
        Reason.PHASE2_LIMIT: Info(
            S.PHASE2,
            "more IPsec SAs than one client may have",
            remedy="a broken peer that never deletes its old SAs",
        ),
        Reason.REPLACED_SA: Info(
            S.PHASE2, "a newer SA of the same client took its place", remedy="nothing to do"
        ),
        Reason.UNKNOWN_SPI: Info(
            S.ESP,
            "an ESP packet for an SPI that is not (or no longer) here",
            remedy="usual after a restart or at a rekey; else noise",
        ),
        Reason.ESP_MALFORMED: Info(
            S.ESP,
            "an ESP packet too short or not a multiple of the block size",
            remedy="noise, or a packet cut on the way",
        ),
        Reason.ESP_TAG: Info(
            S.ESP,
            "an ESP packet whose integrity check value is wrong",
            remedy="a forged or damaged packet; the session is not touched",
        ),
        Reason.ESP_REPLAY: Info(
            S.ESP,
            "an ESP packet that came before, or is too old for the window",
            remedy="a duplicate from the network, or a replay; nothing is delivered twice",
        ),
        Reason.ESP_PADDING: Info(
            S.ESP, "an authentic ESP packet with a wrong padding", remedy="a broken peer"
        ),
        Reason.ESP_INNER: Info(
            S.ESP,
            "an authentic ESP packet that holds something other than UDP for L2TP",
            remedy="a broken peer, or a selector that is too wide at the client",
        ),
        Reason.SEQUENCE_EXHAUSTED: Info(
            S.ESP,
            "no sequence number is left on the outbound IPsec SA",
            remedy="wait for the rekey",
        ),
        Reason.NO_IPSEC_SA: Info(
            S.ESP,
            "nothing can be sent to the client: it has no IPsec SA in use",
            remedy="the client connects anew; if not, look at its phase 2 lifetime",
        ),
        Reason.L2TP_MALFORMED: Info(
            S.L2TP,
            "an L2TP message that does not parse",
            _L2TP_SHOWS,
            "a broken client; capture and report it",
        ),
        Reason.L2TP_UNKNOWN_TUNNEL: Info(
            S.L2TP,
            "an L2TP message for a tunnel that is not here",
            remedy="usual after a restart: the client connects anew",
        ),
        Reason.L2TP_UNKNOWN_SESSION: Info(
            S.L2TP,
            "an L2TP message for a session that is not here",
            remedy="usual at the end of a session",
        ),
        Reason.L2TP_MANDATORY_AVP: Info(
            S.L2TP,
            "an unknown AVP that the peer marked as mandatory",
            _L2TP_SHOWS,
            "the peer wants a feature that L2TPv2 does not have",
        ),
        Reason.L2TP_MISSING_AVP: Info(
            S.L2TP, "an L2TP message without an AVP that it must have", _L2TP_SHOWS, "a broken peer"
        ),
        Reason.L2TP_VERSION: Info(
            S.L2TP,
            "an L2TP version other than 2",
            _L2TP_SHOWS,
            "set the client to L2TPv2, not L2TPv3",
        ),
        Reason.L2TP_UNEXPECTED: Info(
            S.L2TP,
            "an L2TP message that does not belong to the state of the tunnel or session",
            remedy="a late duplicate, or a broken peer",
        ),
        Reason.L2TP_TUNNEL_AUTH: Info(
            S.L2TP,
            "the L2TP tunnel secrets of the two sides differ",
            _L2TP_SHOWS,
            "set the same tunnel secret on both sides, or none",
        ),
        Reason.L2TP_HIDDEN_AVP: Info(
            S.L2TP,
            "a hidden AVP that cannot be read: no tunnel secret, or another one",
            _L2TP_SHOWS,
            "set the same tunnel secret on both sides",
        ),
        Reason.L2TP_DIAL_OUT: Info(
            S.L2TP,
            "the peer asked for an outgoing call, which a concentrator does not make",
            remedy="configure the peer for incoming calls",
        ),
        Reason.L2TP_LIMIT: Info(
            S.L2TP,
            "more tunnels or sessions than one client may have",
            _L2TP_SHOWS,
            "a broken peer that opens tunnels without closing them",
        ),
        Reason.L2TP_TIMEOUT: Info(
            S.L2TP,
            "the peer did not acknowledge an L2TP message in 5 tries",
            _L2TP_SHOWS,
            "the client is gone, or its path lost the NAT binding",
        ),
        Reason.L2TP_WINDOW: Info(
            S.L2TP,
            "an L2TP control message outside the receive window",
            remedy="a late duplicate; nothing to do",
        ),
        Reason.L2TP_REFUSED: Info(
            S.L2TP,
            "the peer refused the tunnel or the session",
            remedy="its result code and message are in the log line",
        ),
        Reason.PPP_MALFORMED: Info(
            S.LCP, "a PPP frame that does not parse", remedy="a broken peer"
        ),
        Reason.PPP_UNKNOWN_PROTOCOL: Info(
            S.LCP,
            "a PPP protocol that this server does not have; answered with Protocol-Reject",
            remedy="nothing to do: the client goes on without it",
        ),
        Reason.PPP_PHASE: Info(
            S.LCP, "a PPP frame of a protocol whose phase has not come", remedy="nothing to do"
        ),
        Reason.PPP_RENEGOTIATED: Info(
            S.SESSION,
            "the client negotiates PPP again within its session",
            remedy="nothing to do: usual after a client's own time-out",
        ),
        Reason.LCP_LOOPED: Info(
            S.LCP, "our own magic number came back: the line is looped", remedy="a broken peer"
        ),
        Reason.LCP_TIMEOUT: Info(
            S.LCP,
            "the client stopped answering during LCP",
            "Windows: error 718 or 720",
            "the client gave up, or its path lost packets",
        ),
        Reason.LCP_NO_CONVERGENCE: Info(
            S.LCP,
            "the two sides could not agree on the LCP options",
            "Windows: error 720",
            "compare the options in the log line",
        ),
        Reason.LCP_ECHO_TIMEOUT: Info(
            S.SESSION,
            "the client did not answer LCP echo requests",
            remedy="the client is gone, or its network is",
        ),
        Reason.NO_AUTH_METHOD: Info(
            S.LCP,
            "the client refuses every authentication method of ppp.auth",
            "Windows: error 691 or 919",
            "allow a common method in ppp.auth, or at the client (MS-CHAPv2 is best)",
        ),
        Reason.UNKNOWN_USER: Info(
            S.AUTH,
            "no such user",
            _AUTH_SHOWS,
            "check the user name's spelling, or create the user",
        ),
        Reason.WRONG_PASSWORD: Info(
            S.AUTH,
            "the password is wrong",
            _AUTH_SHOWS,
            "type the password again, or set a new one",
        ),
        Reason.USER_DISABLED: Info(
            S.AUTH,
            "the user is disabled",
            "Windows: error 647. Others: as a wrong password",
            "set the user's enabled to true",
        ),
        Reason.USER_EXPIRED: Info(
            S.AUTH,
            "the user's validUntil has passed",
            "Windows: error 646. Others: as a wrong password",
            "move the user's validUntil",
        ),
        Reason.METHOD_NEEDS_OTHER_VERIFIER: Info(
            S.AUTH,
            "the method needs another form of the stored password",
            _AUTH_SHOWS,
            "MS-CHAP needs an nt-hash or clear text, CHAP clear text, PAP works with any; "
            "see ferrule hash-password",
        ),
        Reason.TOO_MANY_SESSIONS: Info(
            S.AUTH,
            "the user has as many sessions as allowed",
            "as a wrong password",
            "raise maxSessions, or set the policy to replace-oldest",
        ),
        Reason.LOCKED_OUT: Info(
            S.AUTH,
            "too many wrong passwords for this user from this address",
            _AUTH_SHOWS,
            "wait until the delay in the log line is over",
        ),
        Reason.AUTH_TIMEOUT: Info(
            S.AUTH,
            "the client did not authenticate in time",
            _AUTH_SHOWS,
            "the client waits for a person to type, or gave up",
        ),
        Reason.POOL_EXHAUSTED: Info(
            S.IPCP,
            "no address is free in the pool",
            "Windows: error 720 or 733",
            "enlarge pools or lower the number of sessions",
        ),
        Reason.STATIC_ADDRESS_TAKEN: Info(
            S.IPCP,
            "the user's staticIP is in use",
            "Windows: error 720 or 733",
            "end the session that has the address",
        ),
        Reason.IPCP_TIMEOUT: Info(
            S.IPCP,
            "the client stopped answering during IPCP",
            "Windows: error 720",
            "the client gave up, or its path lost packets",
        ),
        Reason.IPCP_NO_CONVERGENCE: Info(
            S.IPCP,
            "the client insists on addresses that it was not given",
            "Windows: error 720",
            "let the client obtain its address automatically",
        ),
        Reason.SOURCE_ADDRESS: Info(
            S.FORWARD,
            "a packet from a client with a source address that is not its own",
            remedy="usual in small numbers (the client's other networks); many mean a router behind it",
        ),
        Reason.DESTINATION_DENIED: Info(
            S.FORWARD,
            "a packet to a destination that the policy denies",
            "time-outs for that destination",
            "change egress.allowedCIDRs, egress.deniedCIDRs or the user's allowedCIDRs",
        ),
        Reason.CLIENT_ISOLATION: Info(
            S.FORWARD,
            "a packet from one client to another",
            "time-outs for that destination",
            "set egress.clientToClient to true if clients should reach each other",
        ),
        Reason.NO_SESSION_FOR_ADDRESS: Info(
            S.FORWARD,
            "a packet to a pool address that no client has",
            remedy="usual after the end of a session",
        ),
        Reason.PACKET_TOO_BIG: Info(
            S.FORWARD,
            "a packet larger than the tunnel's MTU that must not be fragmented; answered with ICMP",
            remedy="nothing to do: the sender learns the MTU",
        ),
        Reason.IP_MALFORMED: Info(
            S.FORWARD, "an IP packet that does not parse", remedy="a broken sender"
        ),
        Reason.RATE_LIMIT: Info(
            S.FORWARD, "a packet above the user's rate limit", remedy="raise the user's rateLimit"
        ),
        Reason.PUNT_QUEUE_FULL: Info(
            S.FORWARD,
            "control traffic came faster than it could be handled",
            remedy="an attack, or too small a machine",
        ),
        Reason.PING_NO_REPLY: Info(
            S.FORWARD,
            "no ping through the tunnel came back (seen by ferrule probe)",
            "connected, but nothing can be reached",
            "check egress.masquerade or the routes back to the pools, egress.allowedCIDRs, and "
            "that the destination answers pings",
        ),
        Reason.HTTP_FAILED: Info(
            S.FORWARD,
            "a fetch through the tunnel failed (seen by ferrule probe)",
            "connected, but pages do not load",
            "check egress.masquerade or the routes back to the pools, egress.allowedCIDRs, the "
            "DNS servers, and the MTU if it stalls after it connected",
        ),
        Reason.PEER_CLOSED: Info(S.SESSION, "the client disconnected", remedy="nothing to do"),
        Reason.ADMIN_KICK: Info(
            S.SESSION,
            "an operator ended the session",
            "the connection was closed by the server",
            "ask the operator of the gateway",
        ),
        Reason.USER_REMOVED: Info(
            S.SESSION,
            "the user was removed or disabled while connected",
            "the connection was closed by the server",
            "ask the operator of the gateway, or enable the user again",
        ),
        Reason.CREDENTIALS_CHANGED: Info(
            S.SESSION,
            "the user's password was changed while connected",
            "the connection was closed by the server",
            "connect with the new password",
        ),
        Reason.SERVER_SHUTDOWN: Info(
            S.SESSION,
            "the server said goodbye at its shutdown",
            "the connection was closed by the server",
            "connect again: the gateway restarts, or another replica answers",
        ),
        Reason.IDLE_TIMEOUT: Info(
            S.SESSION,
            "no traffic for ppp.idleTimeout",
            "the connection was closed by the server",
            "raise ppp.idleTimeout, or 0 for none",
        ),
        Reason.SESSION_TIMEOUT: Info(
            S.SESSION,
            "the session reached ppp.sessionTimeout",
            "the connection was closed by the server",
            "raise ppp.sessionTimeout, or 0 for none",
        ),
        Reason.PEER_DEAD: Info(
            S.SESSION,
            "the client does not answer dead peer detection",
            remedy="the client is gone, or its network is",
        ),
        Reason.REPLACED_SESSION: Info(
            S.SESSION,
            "a newer session of the same user took its place",
            "the connection was closed",
            "raise the user's maxSessions if two devices should be on at once",
        ),
        Reason.INITIAL_CONTACT: Info(
            S.SESSION,
            "the client came back and said that it forgot its earlier connection",
            remedy="nothing to do",
        ),
        Reason.SESSIONS_LIMIT: Info(
            S.SESSION,
            "the gateway has as many sessions as limits.sessionsMax allows",
            _L2TP_SHOWS,
            "raise limits.sessionsMax or add replicas",
        ),
        Reason.STORE_AWAY: Info(
            S.SESSION,
            "the members' shared store is away, or was emptied and is not filled again yet",
            remedy="look after Valkey; sessions that stand go on, new ones are refused only where limits could not be kept",
        ),
        Reason.FENCED: Info(
            S.SESSION,
            "this member reaches neither the store nor most members, so others may serve its clients",
            remedy="look after the network between pods and to Valkey; the member serves again as soon as it reaches either",
        ),
        Reason.NOT_SERVING: Info(
            S.SESSION,
            "the packet is for a member that is not there, or that has yet to take its clients over",
            remedy="wait a moment: clients repeat themselves, and another member takes over within five seconds",
        ),
        Reason.SEQUENCE_UNRESERVED: Info(
            S.SESSION,
            "sequence numbers can't be reserved while the store is away, and the last ones are used",
            remedy="look after Valkey; the client negotiates new keys meanwhile",
        ),
        Reason.IMAGE_MALFORMED: Info(
            S.SESSION,
            "a client's check-point that does not parse: the client has to connect anew",
            remedy="members of versions that are too far apart; upgrade one version at a time",
        ),
        Reason.INTERNAL_ERROR: Info(
            S.SESSION,
            "a bug in this program ended one client",
            remedy="report the traceback in the log",
        ),
    }
)
del S

if missing := [reason.name for reason in Reason if reason not in REASONS]:
    raise ValueError(f"no row in REASONS for {', '.join(missing)}")


def info(reason: Reason) -> Info:
    """The row of `reason`."""
    return REASONS[reason]
