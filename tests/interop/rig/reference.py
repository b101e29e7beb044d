"""The server that people run today, in a guest: strongSwan, xl2tpd as LNS, pppd.

It proves the clients' configuration right without our server, and is what ours is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

from .profiles import CHARON_JOURNAL, STRONGSWAN_CONF
from .uml import Guest

_POOL_FIRST = "10.98.0.10"
_POOL_LAST = "10.98.0.99"
REFERENCE_ADDRESS = "10.98.0.1"


@dataclass(frozen=True, slots=True)
class ReferenceServer:
    """Started in a guest that has an address; it runs until the guest ends."""

    guest: Guest

    def start(self, psk: str, users: dict[str, str]) -> None:
        """Start the daemons."""
        guest = self.guest
        guest.shell("modprobe -a esp4 xfrm_user l2tp_ppp; echo 1 > /proc/sys/net/ipv4/ip_forward")
        guest.write("/etc/strongswan.conf", STRONGSWAN_CONF)
        guest.write("/etc/swanctl/swanctl.conf", _swanctl_conf(psk))
        guest.ask("listen", source="charon", path=CHARON_JOURNAL)
        guest.start("charon-output", "/usr/lib/ipsec/charon")
        guest.await_path("/run/charon.vici")
        guest.run("swanctl", "--load-all")
        secrets = "".join(f'"{name}" * "{password}" *\n' for name, password in users.items())
        guest.write("/etc/ppp/chap-secrets", secrets)
        guest.write("/etc/ppp/pap-secrets", secrets)
        guest.write("/etc/ppp/options", "")
        guest.write(
            "/etc/ppp/options.xl2tpd",
            "require-mschap-v2\nname gateway\nms-dns 198.51.100.2\n"
            "noccp\nnovj\nmtu 1400\nmru 1400\n",
        )
        guest.write(
            "/etc/xl2tpd/xl2tpd.conf",
            f"[global]\nport = 1701\n[lns default]\nip range = {_POOL_FIRST}-{_POOL_LAST}\n"
            f"local ip = {REFERENCE_ADDRESS}\nname = gateway\nlength bit = yes\n"
            "pppoptfile = /etc/ppp/options.xl2tpd\n",
        )
        guest.shell("mkdir -p /run/xl2tpd")
        guest.start("xl2tpd", "xl2tpd", "-D")
        guest.await_path("/run/xl2tpd/l2tp-control")


def _swanctl_conf(psk: str) -> str:
    return f"""
connections {{
  l2tp {{
    version = 1
    proposals = aes256-sha256-modp2048,aes256-sha1-modp2048,aes128-sha256-ecp256
    encap = yes
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
    }}
    children {{
      l2tp {{
        mode = transport
        local_ts = dynamic[udp/1701]
        remote_ts = dynamic[udp]
        esp_proposals = aes256-sha1,aes256-sha256,aes128-sha1,3des-sha1,aes128gcm128
      }}
    }}
  }}
}}
secrets {{
  ike-all {{
    secret = "{psk}"
  }}
}}
"""
