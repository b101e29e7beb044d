"""What a client is told to do, as data, and the configuration files made of it.

Nothing here runs anything: `peers` writes these files into a guest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .topology import SERVER_ADDRESS, WEB_ADDRESS

LAC = "ferrule"
JOURNAL = "/run/journal"
PPP_JOURNAL = "/run/journal-ppp"
CHARON_JOURNAL = "/run/journal-charon"

# What NetworkManager-l2tp proposes, less what a default gateway refuses as weak.
NETWORK_MANAGER_IKE = (
    "aes256-sha256-modp2048,aes256-sha1-modp2048,aes256-sha1-ecp384,aes128-sha1-ecp256,"
    "3des-sha1-modp2048"
)
NETWORK_MANAGER_ESP = "aes256-sha1,aes128-sha1,3des-sha1"


@dataclass(frozen=True, slots=True)
class Profile:
    """One way for a client to connect.

    Algorithms are in the notation of the client's program; "" leaves them to libreswan. Lifetimes
    are in seconds, 0 for the program's default; it rekeys 8 s earlier.
    """

    psk: str
    user: str
    password: str
    server: str = SERVER_ADDRESS
    ike: str = NETWORK_MANAGER_IKE
    esp: str = NETWORK_MANAGER_ESP
    methods: tuple[str, ...] = ("mschap-v2", "chap", "pap")
    ike_seconds: int = 0
    esp_seconds: int = 0
    dpd_seconds: int = 0
    dpd_timeout_seconds: int = 0
    restart: bool = False
    initial_contact: bool = False
    pfs: bool = False
    mtu: int = 1400
    echo_seconds: int = 0
    ppp_options: tuple[str, ...] = ()

    def but(self, **changes: Any) -> Profile:
        """The same with some fields changed."""
        return replace(self, **changes)


STRONGSWAN_CONF = f"""
charon {{
  load = random nonce openssl kdf kernel-netlink socket-default vici updown
  retransmit_tries = 4
  retransmit_timeout = 2.0
  filelog {{
    journal {{
      path = {CHARON_JOURNAL}
      default = 1
      ike = 2
      net = 1
      flush_line = yes
    }}
  }}
}}
"""


def swanctl_conf(profile: Profile) -> str:
    """A connection `l2tp`, as NetworkManager-l2tp and ChromeOS have it, but for swanctl."""
    lifetime = ""
    if profile.ike_seconds:
        # An IKEv1 SA is replaced by a new Main Mode; the old one ends `over_time` later.
        lifetime = f"rekey_time = {profile.ike_seconds - 8}\n    rand_time = 0\n    over_time = 8"
    child_lifetime = ""
    if profile.esp_seconds:
        child_lifetime = (
            f"rekey_time = {profile.esp_seconds - 8}\n        rand_time = 0\n"
            f"        life_time = {profile.esp_seconds}"
        )
    actions = ""
    if profile.restart:
        actions = (
            "start_action = trap|start\n        close_action = start\n        dpd_action = restart"
        )
    dpd = ""
    if profile.dpd_seconds:
        dpd = f"dpd_delay = {profile.dpd_seconds}\n    dpd_timeout = {profile.dpd_timeout_seconds}"
    return f"""
connections {{
  l2tp {{
    version = 1
    remote_addrs = {profile.server}
    proposals = {profile.ike}
    keyingtries = {0 if profile.restart else 1}
    unique = {"replace" if profile.initial_contact else "no"}
    {lifetime}
    {dpd}
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
      id = {profile.server if profile.initial_contact else "%any"}
    }}
    children {{
      l2tp {{
        mode = transport
        local_ts = dynamic[udp/1701]
        remote_ts = dynamic[udp/1701]
        esp_proposals = {profile.esp}
        {child_lifetime}
        {actions}
      }}
    }}
  }}
}}
secrets {{
  ike-l2tp {{
    secret = "{profile.psk}"
  }}
}}
"""


LIBRESWAN_SETUP = """config setup
  ikev1-policy=accept
  uniqueids=no
"""


def ipsec_conf(profile: Profile, address: str) -> str:
    """A connection `l2tp` for libreswan."""
    more = ""
    if profile.ike_seconds:
        more += f"\n  ikelifetime={profile.ike_seconds}s\n  rekeymargin=8s\n  rekeyfuzz=0%"
    if profile.ike:
        more += f"\n  ike={profile.ike}"
    if profile.esp:
        more += f"\n  esp={profile.esp}"
    if profile.esp_seconds:
        more += f"\n  salifetime={profile.esp_seconds}s"
    return f"""{LIBRESWAN_SETUP}
conn l2tp
  ikev2=no
  authby=secret
  type=transport
  left={address}
  leftprotoport=17/1701
  right={profile.server}
  rightprotoport=17/1701
  pfs={"yes" if profile.pfs else "no"}
  rekey=yes
  auto=add{more}
"""


def xl2tpd_conf(profile: Profile, *, autodial: bool = False) -> str:
    """One LAC, dialled by `xl2tpd-control`, or by itself and again and again."""
    dialling = "autodial = yes\nredial = yes\nredial timeout = 1\n" if autodial else ""
    return f"""
[global]
port = 1701
debug tunnel = yes
debug state = yes

[lac {LAC}]
lns = {profile.server}
ppp debug = yes
pppoptfile = /etc/ppp/options.{LAC}
length bit = yes
{dialling}"""


def ppp_options(profile: Profile) -> str:
    """The options file of the client's pppd: as NetworkManager-l2tp writes it."""
    refused = [
        f"refuse-{method}"
        for method in ("pap", "chap", "mschap", "mschap-v2", "eap")
        if method not in profile.methods
    ]
    echo = []
    if profile.echo_seconds:
        echo = [f"lcp-echo-interval {profile.echo_seconds}", "lcp-echo-failure 3"]
    return "\n".join(
        [
            "ipcp-accept-local",
            "ipcp-accept-remote",
            "noipdefault",
            "nodefaultroute",
            "noauth",
            "noccp",
            "novj",
            "usepeerdns",
            f"mtu {profile.mtu}",
            f"mru {profile.mtu}",
            f"name {profile.user}",
            f'password "{profile.password}"',
            "debug",
            f"logfile {PPP_JOURNAL}",
            *refused,
            *echo,
            *profile.ppp_options,
            "",
        ]
    )


IP_UP = f"""#!/bin/sh
ip route replace {WEB_ADDRESS}/32 dev "$1"
echo "ip-up $1 $4 $5 dns ${{DNS1:-none}}" > {JOURNAL}
"""

IP_DOWN = f"""#!/bin/sh
echo "ip-down $1 after ${{CONNECT_TIME:-0}} s" > {JOURNAL}
"""
