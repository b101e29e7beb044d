"""Real clients in a guest: strongSwan or libreswan below, xl2tpd and pppd above.

A `Client` starts its daemons once and is reused; each `connect` loads a profile. Times come from
the guest's journal, so they are what the client saw, whatever the host was doing.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field
from typing import Protocol

from . import profiles
from .profiles import LAC, Profile
from .topology import WEB_ADDRESS, Laboratory
from .uml import Guest, GuestError, Outcome


class ConnectFailed(Exception):
    """A connection did not come up; `stage` is the last that was reached, `seconds` since start."""

    def __init__(self, stage: str, seconds: float, told: str, journal: str) -> None:
        super().__init__(f"after {stage}, {seconds:.2f} s: {told}\n{journal}")
        self.stage = stage
        self.seconds = seconds
        self.told = told
        self.journal = journal


@dataclass(slots=True)
class Session:
    """A connection that is up. `stages` are (name, seconds since the first packet)."""

    address: str
    peer_address: str
    dns: str
    stages: list[tuple[str, float]] = field(default_factory=list)
    mark: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.3f}" for name, seconds in self.stages)


class Ike(Protocol):
    """One IKE implementation in a guest."""

    source: str
    began: str
    phase1: str
    phase2: str

    def start(self) -> None: ...
    def stop(self, number: signal.Signals = signal.SIGTERM) -> None: ...
    def load(self, profile: Profile, address: str) -> None: ...
    def up_command(self, seconds: int) -> str: ...
    def down(self) -> None: ...


class StrongSwan:
    """charon with swanctl."""

    source = "charon"
    began = r"initiating Main Mode IKE_SA"
    phase1 = r"IKE_SA l2tp\[\d+\] established"
    phase2 = r"CHILD_SA l2tp\{\d+\} established"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._pid = 0

    def start(self) -> None:
        """Start charon and wait for its control socket."""
        self._guest.write("/etc/strongswan.conf", profiles.STRONGSWAN_CONF)
        self._guest.shell(f"rm -f /run/charon.pid /run/charon.vici {profiles.CHARON_JOURNAL}")
        self._guest.ask("listen", source=self.source, path=profiles.CHARON_JOURNAL)
        self._pid = self._guest.start("charon-output", "/usr/lib/ipsec/charon")
        if not self._guest.await_path("/run/charon.vici"):
            raise GuestError(f"charon did not start:\n{self._guest.journal()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End charon; it says goodbye to its peers, unless it is killed."""
        if self._pid:
            self._guest.stop_daemon(self._pid, number)
            self._pid = 0

    def load(self, profile: Profile, address: str) -> None:
        """Replace connection and key."""
        del address
        self._guest.write("/etc/swanctl/swanctl.conf", profiles.swanctl_conf(profile))
        self._guest.run("swanctl", "--load-all", "--clear")

    def up_command(self, seconds: int) -> str:
        """A command that ends when the IPsec SA is there, or with a status."""
        return f"swanctl --initiate --child l2tp --timeout {seconds}"

    def down(self) -> None:
        """Delete SAs, telling the peer."""
        self._guest.try_run("swanctl", "--terminate", "--ike", "l2tp", "--timeout", "2")

    def list_sas(self) -> str:
        """The SAs, raw."""
        return self._guest.run("swanctl", "--list-sas").output


class Libreswan:
    """pluto with whack; its package lies in a layer of the guest's files."""

    source = "pluto"
    began = r"initiating IKEv1 Main Mode connection"
    phase1 = r"#\d+: IKE SA established|ISAKMP SA established"
    phase2 = r"IPsec SA established transport mode"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._pid = 0

    def start(self) -> None:
        """Start pluto with an empty key database."""
        guest = self._guest
        guest.write("/etc/ipsec.conf", profiles.LIBRESWAN_SETUP)
        guest.shell("mkdir -p /run/pluto /var/lib/ipsec/nss; ipsec initnss >/dev/null")
        self._pid = guest.start(
            self.source, "/usr/libexec/ipsec/pluto", "--nofork", "--stderrlog", "--config",
            "/etc/ipsec.conf",
        )  # fmt: skip
        if not guest.await_path("/run/pluto/pluto.ctl"):
            raise GuestError(f"pluto did not start:\n{guest.journal()}")
        guest.shell("ipsec whack --listen")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End pluto; it says goodbye to its peers, unless it is killed."""
        if self._pid:
            self._guest.stop_daemon(self._pid, number)
            self._pid = 0

    def load(self, profile: Profile, address: str) -> None:
        """Replace connection and key."""
        guest = self._guest
        guest.write("/etc/ipsec.conf", profiles.ipsec_conf(profile, address))
        guest.write("/etc/ipsec.secrets", f': PSK "{profile.psk}"\n')
        guest.shell("ipsec whack --rereadsecrets; ipsec auto --add l2tp")

    def up_command(self, seconds: int) -> str:
        """A command that ends when the IPsec SA is there, or with a status."""
        return f"timeout {seconds} ipsec whack --name l2tp --initiate"

    def down(self) -> None:
        """Delete SAs, telling the peer."""
        self._guest.try_run("ipsec", "whack", "--name", "l2tp", "--terminate")


_MODULES = "esp4 xfrm_user af_key l2tp_ppp sch_netem ifb act_mirred cls_matchall sch_ingress"

# The kernel loads ciphers when they are first used, which takes a second: have them all used now.
_ALGORITHMS = [
    *(
        f"auth-trunc 'hmac({digest})' 0x{'11' * octets} {tag} enc 'cbc({cipher})' 0x{key}"
        for digest, octets, tag in (("sha1", 20, 96), ("sha256", 32, 128))
        for cipher, key in (
            ("aes", "22" * 16),
            ("des3_ede", "".join(f"{n:02x}" for n in range(24))),
        )
    ),
    f"aead 'rfc4106(gcm(aes))' 0x{'44' * 20} 128",
]
_WARM_UP = "\n".join(
    f"ip xfrm state add src 192.0.2.250 dst 192.0.2.251 proto esp spi {spi} mode transport"
    f" {algorithms}"
    for spi, algorithms in enumerate(_ALGORITHMS, 4096)
)


class Client:
    """A person's machine: IKE, xl2tpd and pppd in a guest at `address` on `bridge`."""

    def __init__(self, guest: Guest, ike: Ike) -> None:
        self.guest = guest
        self.ike = ike
        self.address = ""
        self.gateway = ""
        self.bridge = ""
        self._xl2tpd = 0

    def move(self, laboratory: Laboratory, bridge: str) -> None:
        """Plug the machine in elsewhere: `wan`, or `lan` behind the NAT."""
        if self.bridge != bridge:
            self.address, self.gateway = laboratory.place(self.guest, bridge)
            self.bridge = bridge

    def start(self) -> None:
        """Load kernel modules and start the IKE daemon; once for a guest."""
        guest = self.guest
        guest.shell(f"modprobe -a {_MODULES}\n{_WARM_UP}\nip xfrm state flush")
        guest.ask("listen", source="script", path=profiles.JOURNAL)
        guest.ask("listen", source="pppd", path=profiles.PPP_JOURNAL)
        guest.write("/etc/ppp/ip-up", profiles.IP_UP, 0o755)
        guest.write("/etc/ppp/ip-down", profiles.IP_DOWN, 0o755)
        guest.write("/etc/ppp/options", "")
        # Debian's hooks around an address cost 0.1 s in a guest and have nothing to do here.
        guest.shell("rm -f /etc/ppp/ip-pre-up /etc/ppp/ipv6-up /etc/ppp/ipv6-down")
        self.ike.start()

    def use(self, kind: type[StrongSwan] | type[Libreswan]) -> None:
        """Change the IKE daemon, if it is another one."""
        if isinstance(self.ike, kind):
            return
        self.reset()
        self.ike.stop()
        self.guest.shell("ip xfrm state flush; ip xfrm policy flush")
        self.ike = kind(self.guest)
        self.ike.start()

    def load(self, profile: Profile, *, autodial: bool = False) -> None:
        """Write a profile's files and start xl2tpd anew."""
        self.reset()
        guest = self.guest
        self.ike.load(profile, self.address)
        guest.write("/etc/xl2tpd/xl2tpd.conf", profiles.xl2tpd_conf(profile, autodial=autodial))
        guest.write(f"/etc/ppp/options.{LAC}", profiles.ppp_options(profile))
        self._start_xl2tpd()

    def _start_xl2tpd(self) -> None:
        self.guest.shell("mkdir -p /run/xl2tpd; rm -f /run/xl2tpd/l2tp-control /run/xl2tpd.pid")
        self._xl2tpd = self.guest.start("xl2tpd", "xl2tpd", "-D")
        if not self.guest.await_path("/run/xl2tpd/l2tp-control"):
            raise GuestError(f"xl2tpd did not start:\n{self.guest.journal()}")

    def reset(self) -> None:
        """Back to nothing: no session, no SA, no interface."""
        if self._xl2tpd:
            # xl2tpd says goodbye at once; its pppd would wait 6 s for an answer that cannot come.
            self.guest.try_run("xl2tpd-control", "disconnect-lac", LAC)
            self.guest.stop_daemon(self._xl2tpd, signal.SIGKILL)
            self._xl2tpd = 0
            self.guest.await_path("/sys/class/net/ppp0", gone=True)
        self.ike.down()

    def connect(self, profile: Profile, *, seconds: int = 12) -> Session:
        """Load and dial; raises ConnectFailed with what the client was told."""
        self.load(profile)
        return self.dial(seconds=seconds)

    def dial(self, *, seconds: int = 12, pings: int = 1) -> Session:
        """Bring up the loaded profile to its first answered ping, with `pings` tries."""
        guest = self.guest
        mark = guest.mark()
        up = guest.try_run(
            "sh", "-ec",
            f"{self.ike.up_command(seconds)} >/run/up.log 2>&1\n"
            f"xl2tpd-control connect-lac {LAC} >>/run/up.log 2>&1",
            timeout=seconds + 5,
        )  # fmt: skip
        if up.status != 0:
            self._fail(mark, up)
        line = guest.find_line(
            r"ip-up (\S+) (\S+) (\S+) dns (\S+)|Connection terminated|ailed to authenticate"
            r"|[Cc]all closed|onnection closed|Maximum retries exceeded",
            mark,
            timeout=seconds,
        )
        if line is None or not line.groups or not line.groups[0]:
            self._fail(mark, up)
        assert line is not None
        _, address, peer_address, dns = line.groups
        ping = self.ping()
        while ping.status != 0 and (pings := pings - 1) > 0:
            ping = self.ping()
        session = Session(address, peer_address, dns, self._stages(mark), mark)
        session.stages.append(("ping", ping.ended - self._began(mark)))
        if ping.status != 0:
            raise ConnectFailed("ip-up", 0, ping.output, guest.journal(mark))
        return session

    def _began(self, mark: int) -> float:
        return self.guest.await_line(self.ike.began, mark, source=self.ike.source, timeout=0).at

    def _stages(self, mark: int) -> list[tuple[str, float]]:
        """Seconds from the first packet to each stage that was reached."""
        wanted = [
            ("phase 1", self.ike.source, self.ike.phase1),
            ("phase 2", self.ike.source, self.ike.phase2),
            ("tunnel", "xl2tpd", r"Connection established to"),
            ("call", "xl2tpd", r"Call established with"),
            ("pppd", "pppd", r"Using interface"),
            ("lcp", "pppd", r"sent \[(CHAP Response|PAP AuthReq|IPCP ConfReq)"),
            ("authenticated", "pppd", r"authentication succeeded|PAP AuthAck"),
            ("address", "script", r"^ip-up"),
        ]
        began: float | None = None
        found: list[tuple[str, float]] = []
        for at, source, text in self.guest.lines(mark):
            if began is None:
                began = (
                    at if source == self.ike.source and re.search(self.ike.began, text) else None
                )
                continue
            for row in wanted:
                if source == row[1] and re.search(row[2], text):
                    found.append((row[0], at - began))
                    wanted.remove(row)
                    break
        return found

    def _fail(self, mark: int, up: Outcome) -> None:
        journal = self.guest.journal(mark)
        stages = self._stages(mark)
        told = self.guest.read("/run/up.log").strip()
        stage = stages[-1][0] if stages else "nothing"
        raise ConnectFailed(stage, up.ended - up.began, told, journal)

    def ping(
        self, address: str = WEB_ADDRESS, *, count: int = 1, interval: float = 0.2, size: int = 56
    ) -> Outcome:
        """Ping through the tunnel."""
        return self.guest.try_run(
            *("ping", "-n", "-c", str(count), "-i", str(interval), "-s", str(size)),
            *("-W", "3", address),
            timeout=count * interval + 10,
        )

    def crash(self) -> None:
        """Kill everything and forget all SAs, so that no goodbye leaves the machine."""
        guest = self.guest
        guest.shell("ip link set vec0 down")
        if self._xl2tpd:
            guest.stop_daemon(self._xl2tpd, signal.SIGKILL)
            self._xl2tpd = 0
        self.ike.stop(signal.SIGKILL)
        guest.await_path("/sys/class/net/ppp0", gone=True)
        guest.shell(
            "ip xfrm state flush; ip xfrm policy flush; ip link set vec0 up\n"
            f"ip route replace default via {self.gateway} dev vec0"
        )
        self.ike.start()

    def hang_up(self) -> None:
        """Disconnect politely, top down."""
        self.guest.run("xl2tpd-control", "disconnect-lac", LAC)
        self.guest.await_path("/sys/class/net/ppp0", gone=True)
        self.ike.down()

    def has_ppp(self) -> bool:
        """Whether the interface is there."""
        return self.guest.try_run("test", "-e", "/sys/class/net/ppp0").status == 0
