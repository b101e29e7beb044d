"""What a client shows its user -> the reasons that usually stand behind it, as data for docs.py.

Reasons are members of the enum, so a reason that goes or is renamed breaks the generation, and
docs.py refuses to run when a reason's `shows` names a Windows error that has no row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrule.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Message:
    """`first` is what to look at before anything else; reasons stand in order of likelihood."""

    shows: str
    means: str
    reasons: tuple[Reason, ...]
    first: str


_NOTHING_CAME = (
    Reason.NO_ANSWER,
    Reason.PHASE1_TIMEOUT,
    Reason.PHASE2_TIMEOUT,
    Reason.SOURCE_RATE,
    Reason.HALF_OPEN_LIMIT,
)
_NEGOTIATION = (
    Reason.WRONG_KEY,
    Reason.BAD_HASH,
    Reason.NO_PROPOSAL,
    Reason.WEAK_GROUP,
    Reason.WEAK_HASH,
)
_L2TP = (
    Reason.L2TP_TIMEOUT,
    Reason.L2TP_MANDATORY_AVP,
    Reason.L2TP_MISSING_AVP,
    Reason.L2TP_MALFORMED,
    Reason.L2TP_VERSION,
    Reason.L2TP_TUNNEL_AUTH,
    Reason.L2TP_HIDDEN_AVP,
    Reason.L2TP_LIMIT,
    Reason.SESSIONS_LIMIT,
)
_LOGIN = (
    Reason.WRONG_PASSWORD,
    Reason.UNKNOWN_USER,
    Reason.METHOD_NEEDS_OTHER_VERIFIER,
    Reason.LOCKED_OUT,
    Reason.TOO_MANY_SESSIONS,
)
_ENDED = (
    Reason.ADMIN_KICK,
    Reason.USER_REMOVED,
    Reason.CREDENTIALS_CHANGED,
    Reason.SERVER_SHUTDOWN,
    Reason.IDLE_TIMEOUT,
    Reason.SESSION_TIMEOUT,
    Reason.REPLACED_SESSION,
)

CLIENT_MESSAGES: Final[dict[str, tuple[Message, ...]]] = {
    "Windows": (
        Message(
            "error 619, 628: the connection was closed, or terminated by the remote computer",
            "the tunnel stands, and one side hung up during PPP",
            (Reason.NO_AUTH_METHOD, Reason.AUTH_TIMEOUT, Reason.LCP_NO_CONVERGENCE, *_LOGIN),
            "allow MS-CHAP v2 on the connection's Security tab",
        ),
        Message(
            "error 647: the account is disabled",
            "the password is right, the account is off",
            (Reason.USER_DISABLED,),
            "the user's `enabled`",
        ),
        Message(
            "error 646: not permitted to log on at this time",
            "the password is right, the account has run out",
            (Reason.USER_EXPIRED,),
            "the user's `validUntil`",
        ),
        Message(
            "error 649: not permitted to dial in",
            "the password is right, the account may not connect now",
            (Reason.TOO_MANY_SESSIONS, Reason.LOCKED_OUT),
            "`ferrule sessions`: is the user connected elsewhere?",
        ),
        Message(
            "error 651: the modem has reported an error",
            "Windows' own tunnel driver gave up, or L2TP failed",
            (
                *_L2TP,
                Reason.L2TP_MALFORMED,
                Reason.L2TP_MISSING_AVP,
                Reason.L2TP_VERSION,
                Reason.L2TP_HIDDEN_AVP,
            ),
            "restart the WAN Miniport (L2TP) in the device manager, then try again",
        ),
        Message(
            "error 691: user name or password not recognised, or method not permitted",
            "the login was refused",
            (*_LOGIN, Reason.NO_AUTH_METHOD, Reason.AUTH_TIMEOUT),
            "type the password again; a saved one may be old",
        ),
        Message(
            "error 718: the remote computer did not respond in a timely manner",
            "PPP packets got lost",
            (Reason.LCP_TIMEOUT, Reason.AUTH_TIMEOUT),
            "a firewall that lets small packets through but not large ones",
        ),
        Message(
            "error 720, 733: no connection; you might need to adjust protocols",
            "no address was agreed on",
            (
                Reason.POOL_EXHAUSTED,
                Reason.STATIC_ADDRESS_TAKEN,
                Reason.IPCP_NO_CONVERGENCE,
                Reason.IPCP_TIMEOUT,
                Reason.LCP_NO_CONVERGENCE,
                Reason.LCP_TIMEOUT,
            ),
            "the connection's IPv4 properties must say *Obtain an IP address automatically*",
        ),
        Message(
            "error 766, 781, 786: no certificate could be found",
            "the connection wants a certificate: no pre-shared key is set on it",
            (Reason.AUTH_METHOD,),
            "set the pre-shared key (Advanced settings of the Security tab, or -L2tpPsk)",
        ),
        Message(
            "error 787, 788, 789, 792: the security layer failed during the negotiation",
            "phase 1 or phase 2 failed",
            (
                *_NEGOTIATION,
                Reason.NO_PHASE2_PROPOSAL,
                Reason.ENCAPSULATION,
                Reason.AUTH_METHOD,
                Reason.BAD_IDENTITY,
                Reason.AGGRESSIVE_MODE,
                Reason.XAUTH,
            ),
            "the pre-shared key, typed again; then the services IKEEXT and PolicyAgent must run",
        ),
        Message(
            "error 800, 868: the VPN server may be unreachable, or its name is unknown",
            "no tunnel type got through, or DNS failed",
            _NOTHING_CAME,
            "the server's name; set the VPN type to L2TP/IPsec instead of Automatic",
        ),
        Message(
            "error 809: the remote server is not responding",
            "nothing came back, or it stopped coming",
            (
                *_NOTHING_CAME,
                *_L2TP,
                Reason.L2TP_VERSION,
                Reason.L2TP_MISSING_AVP,
                Reason.L2TP_HIDDEN_AVP,
            ),
            "UDP 500 and 4500 open on the way? The registry edit that forums advise is not needed",
        ),
        Message(
            "error 919: the remote computer refused the authentication protocol",
            "no common method",
            (Reason.NO_AUTH_METHOD,),
            "allow MS-CHAP v2 on the connection's Security tab",
        ),
    ),
    "macOS": (
        Message(
            "The L2TP-VPN server did not respond",
            "anything before the login: macOS says the same for all of it",
            (*_NEGOTIATION, *_NOTHING_CAME, *_L2TP, Reason.NO_PHASE2_PROPOSAL),
            "the shared secret; then the gateway's log, which tells these apart",
        ),
        Message(
            "The IPSec shared secret is missing",
            "the Mac has none, and sent nothing",
            (),
            "Authentication Settings of the connection",
        ),
        Message("Authentication failed", "the login was refused", _LOGIN, "user name and password"),
        Message(
            "Could not negotiate a connection with the remote PPP server",
            "PPP found no common ground, or no address",
            (
                Reason.LCP_NO_CONVERGENCE,
                Reason.NO_AUTH_METHOD,
                Reason.IPCP_NO_CONVERGENCE,
                Reason.POOL_EXHAUSTED,
                Reason.STATIC_ADDRESS_TAKEN,
            ),
            "the gateway's log line",
        ),
        Message(
            "You were disconnected by the remote PPP server",
            "the gateway ended the session",
            _ENDED,
            "ask the operator: the reason is in the session's log line",
        ),
    ),
    "iOS, iPadOS": (
        Message(
            "The L2TP-VPN server did not respond",
            "anything before the login",
            (*_NEGOTIATION, *_NOTHING_CAME, *_L2TP, Reason.NO_PHASE2_PROPOSAL),
            "the secret; then another network: some hotels and carriers block UDP 500",
        ),
        Message(
            "Authentication failed / User authentication failed",
            "the login was refused",
            _LOGIN,
            "account and password",
        ),
        Message(
            "A connection could not be established to the PPP server",
            "PPP failed after the tunnel stood",
            (Reason.NO_AUTH_METHOD, Reason.LCP_TIMEOUT, Reason.IPCP_TIMEOUT, Reason.POOL_EXHAUSTED),
            "the gateway's log line",
        ),
    ),
    "Android (up to 11) and its makers' versions": (
        Message(
            "Unsuccessful",
            "all refusals look alike on Android",
            (Reason.WEAK_GROUP, *_NEGOTIATION, Reason.NO_PHASE2_PROPOSAL, *_LOGIN),
            "most Androids offer only MODP 1024: see `ipsec.allowWeak`",
        ),
        Message(
            "Timeout / Connecting… without end",
            "nothing came back",
            _NOTHING_CAME,
            "another network; then the type *L2TP/IPSec PSK*, not *IPSec Xauth PSK*",
        ),
        Message(
            "Disconnected soon after Connected",
            "the session was ended, or the phone left the network",
            (Reason.PEER_DEAD, Reason.LCP_ECHO_TIMEOUT, *_ENDED),
            "battery saving must not stop the VPN",
        ),
    ),
    "ChromeOS": (
        Message(
            "Failed to connect / Internal error",
            "phase 1, phase 2 or L2TP failed",
            (*_NEGOTIATION, Reason.NO_PHASE2_PROPOSAL, *_L2TP, *_NOTHING_CAME),
            "the pre-shared key",
        ),
        Message("Bad password", "the login was refused", _LOGIN, "user name and password"),
    ),
    "Linux (strongSwan, libreswan, xl2tpd, pppd)": (
        Message(
            "`received NO_PROPOSAL_CHOSEN error notify`",
            "phase 1 during Main Mode, phase 2 during Quick Mode",
            (
                Reason.NO_PROPOSAL,
                Reason.WEAK_GROUP,
                Reason.WEAK_HASH,
                Reason.AUTH_METHOD,
                Reason.NO_PHASE2_PROPOSAL,
                Reason.ENCAPSULATION,
                Reason.AGGRESSIVE_MODE,
            ),
            "the log line lists what was offered: compare it with `ike=` and `esp=`",
        ),
        Message(
            "`received AUTHENTICATION_FAILED`, `INVALID_HASH` or `PAYLOAD_MALFORMED`, "
            "`decryption failed?`",
            "the keys differ",
            (Reason.WRONG_KEY, Reason.BAD_HASH),
            "`/etc/ipsec.secrets`, and its selectors",
        ),
        Message(
            "`received INVALID_ID_INFORMATION`",
            "phase 2 asks for other traffic than L2TP",
            (Reason.TRAFFIC_SELECTOR, Reason.BAD_IDENTITY),
            "`leftprotoport=17/1701`, `rightprotoport=17/1701`",
        ),
        Message(
            "`giving up after 5 retransmits`, `peer not responding`",
            "nothing came back",
            _NOTHING_CAME,
            "UDP 500 and 4500 on the way",
        ),
        Message(
            "xl2tpd: `Maximum retries exceeded for tunnel`",
            "L2TP went out unencrypted, or into a tunnel that is gone",
            (Reason.L2TP_TIMEOUT, Reason.UNKNOWN_SPI, Reason.ESP_TAG, Reason.PEER_DEAD),
            "is the IPsec connection up before xl2tpd connects?",
        ),
        Message(
            "xl2tpd: `Connection closed to …` with a result code",
            "the gateway refused the tunnel or the call",
            (
                Reason.L2TP_TUNNEL_AUTH,
                Reason.L2TP_LIMIT,
                Reason.SESSIONS_LIMIT,
                Reason.L2TP_DIAL_OUT,
            ),
            "the message that stands beside the result code",
        ),
        Message(
            "pppd: `CHAP authentication failed`, `MS-CHAP authentication failed: E=691`, "
            "`PAP authentication failed`",
            "the login was refused",
            (*_LOGIN, Reason.USER_DISABLED, Reason.USER_EXPIRED),
            "`name` and `/etc/ppp/chap-secrets`",
        ),
        Message(
            "pppd: `LCP: timeout sending Config-Requests`",
            "PPP packets got lost",
            (Reason.LCP_TIMEOUT, Reason.PPP_MALFORMED),
            "the MTU of the way between",
        ),
        Message(
            "pppd: `peer refused to authenticate`, `No auth is possible`",
            "pppd wants the *gateway* to log in, or has no method in common with it",
            (Reason.NO_AUTH_METHOD,),
            "`noauth` in the options file",
        ),
        Message(
            "pppd: `Could not determine local IP address`",
            "no address was agreed on",
            (
                Reason.POOL_EXHAUSTED,
                Reason.STATIC_ADDRESS_TAKEN,
                Reason.IPCP_NO_CONVERGENCE,
                Reason.IPCP_TIMEOUT,
            ),
            "`ipcp-accept-local` and `ipcp-accept-remote` in the options file",
        ),
    ),
}
