"""The `gateway:` part of the configuration, with the field names of the VpnGateway resource.

Defaults and descriptions live here once: the resource definitions, the chart's schema and the
docs are made from these models. They are frozen, refuse unknown fields, and hold read values
(seconds, octets a second, networks), not texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ferrule.accounts.sessions import SESSIONS_MAX, SESSIONS_PER_USER
from ferrule.runtime.config_values import (
    Duration,
    Exclusion,
    HostAddress,
    Identity,
    Lifetime,
    Network,
    SecretText,
    StoreUrl,
)
from ferrule.runtime.proposals import (
    DEFAULT_PHASE1,
    DEFAULT_PHASE2,
    WEAK_PHASE1,
    WEAK_PHASE2,
    parse_phase1,
    parse_phase2,
)

AuthMethod = Literal["mschapv2", "chap", "pap", "mschapv1"]
WeakChoice = Literal["modp1024", "md5", "mschapv1"]

_CAPITALS: Final = {"ip": "IP", "cidrs": "CIDRs", "mtu": "MTU"}
DENIED_BY_DEFAULT: Final = (
    IPv4Network("169.254.0.0/16"),  # link-local, and most clouds' metadata
    IPv4Network("100.100.100.200/32"),  # Alibaba Cloud's metadata
    IPv4Network("168.63.129.16/32"),  # Azure's platform address
)


def field_alias(name: str) -> str:
    """static_ip as staticIP, allowed_cidrs as allowedCIDRs, dpd_seconds as dpdSeconds."""
    first, *rest = name.split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


class Section(BaseModel):
    """A mapping of the configuration file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=field_alias,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


def _phase1_line(text: str) -> str:
    parse_phase1(text)
    return text


def _phase2_line(text: str) -> str:
    parse_phase2(text)
    return text


class Proposals(Section):
    """What the gateway accepts, in its order of preference: its order decides, not the client's."""

    phase1: tuple[Annotated[str, AfterValidator(_phase1_line)], ...] = Field(
        default=DEFAULT_PHASE1, min_length=1, examples=["[aes256-sha256-modp2048]"]
    )
    """Phase 1 (ISAKMP SA): cipher, hash and group, as in `aes256-sha256-modp2048`. Several words
    of a kind stand for all combinations."""

    phase2: tuple[Annotated[str, AfterValidator(_phase2_line)], ...] = Field(
        default=DEFAULT_PHASE2, min_length=1, examples=["[aes256-sha256]"]
    )
    """Phase 2 (ESP): cipher and hash, as in `aes256-sha256`, or a GCM cipher alone, as in
    `aes128gcm16`. Perfect forward secrecy is the client's choice."""


class IpsecSettings(Section):
    """IKEv1 and ESP, but for the keys."""

    proposals: Proposals = Proposals()
    """What is accepted in each phase."""

    ike_lifetime: Lifetime = 86400.0
    """The longest lifetime of an ISAKMP SA; a client may ask for less."""

    esp_lifetime: Lifetime = 28800.0
    """The longest lifetime of an IPsec SA; a client may ask for less."""

    dpd_seconds: int = Field(default=30, ge=0, le=3600)
    """Silence after which a client that can do so is asked whether it is alive (RFC 3706). 0:
    never."""

    allow_weak: tuple[WeakChoice, ...] = ()
    """Broken algorithms to accept all the same: `modp1024`, `md5`, `mschapv1`. They are appended
    to the default proposals, and shown in the log, in metrics and in the gateway's status."""

    identity: Identity = ""
    """How the gateway calls itself in phase 1: an IPv4 address or a domain name. Empty: the
    public address, else the address that the client sent to."""

    @property
    def phase1_lines(self) -> tuple[str, ...]:
        """The phase 1 proposals with what `allowWeak` appends to the defaults."""
        return self._lines("phase1", self.proposals.phase1, WEAK_PHASE1)

    @property
    def phase2_lines(self) -> tuple[str, ...]:
        """The phase 2 proposals with what `allowWeak` appends to the defaults."""
        return self._lines("phase2", self.proposals.phase2, WEAK_PHASE2)

    def _lines(
        self, field: str, lines: tuple[str, ...], weak: Mapping[str, tuple[str, ...]]
    ) -> tuple[str, ...]:
        if field in self.proposals.model_fields_set:
            return lines
        return lines + tuple(line for word in self.allow_weak for line in weak.get(word, ()))


class Ipsec(IpsecSettings):
    """IKEv1 and ESP."""

    psk: SecretText | None = Field(default=None, examples=["a-long-random-secret"])
    """The pre-shared key that every client types in. Either this or `pskFile`."""

    psk_file: str | None = None
    """A file that holds the pre-shared key, relative to this file. One newline at its end does
    not count."""

    previous_psk: SecretText | None = None
    """The key before, still accepted while it is being replaced."""

    previous_psk_file: str | None = None
    """A file that holds the key before."""


class L2tpSettings(Section):
    """L2TPv2, inside ESP, but for the tunnel secret."""

    host_name: str = Field(default="ferrule", min_length=1, max_length=64)
    """Host Name AVP that clients see."""

    receive_window: int = Field(default=16, ge=1, le=128)
    """Control messages that a client may have under way."""


class L2tp(L2tpSettings):
    """L2TPv2, inside ESP."""

    tunnel_secret: SecretText | None = None
    """Secret of L2TP tunnel authentication. Consumer clients have none: leave it out, IPsec has
    authenticated the peer already. Either this or `tunnelSecretFile`."""

    tunnel_secret_file: str | None = None
    """A file that holds the tunnel secret."""


class Ppp(Section):
    """PPP inside L2TP, and what clients are told about the network."""

    auth: tuple[AuthMethod, ...] = Field(default=("mschapv2", "pap"), min_length=1)
    """Authentication methods in the order in which they are proposed. `chap` needs passwords in
    clear text, the mschap ones an NT hash; `pap` is only ever seen inside ESP."""

    mtu: int = Field(default=1400, ge=576, le=1500)
    """Upper bound of the inner MTU. The actual one is derived from the overhead of the
    algorithms and from what the client takes."""

    mss_clamp: bool = True
    """Lower the MSS of TCP connections in both directions to what fits the MTU."""

    dns: tuple[HostAddress, ...] = Field(default=(), max_length=2)
    """Name servers for clients."""

    wins: tuple[HostAddress, ...] = Field(default=(), max_length=2)
    """NetBIOS name servers for clients."""

    domain: str = Field(default="", max_length=253)
    """Search domain, given to clients that ask by DHCPINFORM."""

    idle_timeout: Duration = 0.0
    """End a session without traffic for so long. 0s: never."""

    session_timeout: Duration = 0.0
    """End a session so long after its start. 0s: never."""

    hello_seconds: int = Field(default=60, ge=5, le=3600)
    """L2TP Hello after so much silence: how a client without dead peer detection is found dead."""

    echo_seconds: int = Field(default=30, ge=0, le=3600)
    """LCP Echo-Request after so much silence. 0: never."""


class Pool(Section):
    """A network out of which clients get their addresses."""

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", examples=["default"], max_length=63
    )
    """Names the pool in metrics and messages."""

    cidr: Network = Field(examples=["10.20.0.0/16"])
    """The network. The first host address of the first pool is the gateway's own; the network
    and broadcast addresses are not used."""

    exclude: tuple[Exclusion, ...] = ()
    """Addresses, ranges (`10.20.0.5-10.20.0.9`) or networks that are not leased. Users' static
    addresses may lie in them."""


class Egress(Section):
    """Where clients' traffic may go."""

    snat: bool = True
    """Masquerade clients behind the gateway's address. Without it the network beyond needs a
    route to the pools."""

    allowed_cidrs: tuple[Network, ...] = ()
    """Networks that clients may reach. Empty: all that are not denied."""

    denied_cidrs: tuple[Network, ...] = DENIED_BY_DEFAULT
    """Networks that no client may reach; by default link-local and cloud metadata addresses."""

    client_to_client: bool = False
    """Let clients reach each other."""

    routes: tuple[Network, ...] = ()
    """Networks that clients are told (by DHCPINFORM, options 121 and 249) to send through the
    tunnel. Clients that ignore it send everything."""


class StoreTls(Section):
    """TLS to the store, for URLs whose scheme begins with `valkeys` or `rediss`."""

    ca_file: str | None = None
    """A file of certificates that may sign the store's, relative to this file. Absent: the
    system's own list."""

    server_name: str = Field(default="", max_length=253)
    """Name that the store's certificate must have. Empty: the host of `url`."""


class Store(Section):
    """Where the state shared by replicas lives."""

    type: Literal["Memory", "Valkey"] = "Memory"
    """`Memory`: in the process, for one replica. `Valkey`: in a Valkey or Redis that all replicas
    share."""

    url: StoreUrl | None = None
    """Such as `valkeys://valkey.example:6379/0`, with TLS, or `valkey://USER@HOST`; by Sentinel
    `valkeys+sentinel://HOST,HOST/SERVICE`, in cluster mode `valkeys+cluster://HOST,HOST`, on this
    machine `unix:///PATH`. Without a password: that has a field of its own."""

    snapshot: str | None = None
    """For `Memory`: the absolute path of a file that keeps what a restarted process needs to go on
    with all sessions, sealed with `key`. Then nobody is told goodbye when the process ends."""

    gateway: str = Field(default="ferrule", min_length=1, max_length=253)
    """Names the gateway in the store: several may share one."""

    password: SecretText | None = None
    """Password of the store."""

    password_file: str | None = None
    """A file that holds the password."""

    tls: StoreTls = StoreTls()
    """TLS to the store."""

    key: SecretText | None = None
    """Seals what lies in the store and what crosses the ring: 32 random octets or more, in any
    form, the same for all replicas. Valkey needs it, and a `snapshot`."""

    key_file: str | None = None
    """A file that holds that key."""

    previous_key: SecretText | None = None
    """The key before, still accepted while it is being replaced."""

    previous_key_file: str | None = None
    """A file that holds the key before."""

    names_key: SecretText | None = None
    """Hides user names in the store and shard numbers in SPIs: like `key`, but never replaced.
    Whoever needs a `key` needs this one."""

    names_key_file: str | None = None
    """A file that holds the names' key."""


class Limits(Section):
    """Bounds on all that can grow."""

    sessions_per_user: int = Field(default=SESSIONS_PER_USER, ge=0)
    """Sessions of a user who has no `maxSessions`. 0: no limit."""

    sessions_max: int = Field(default=SESSIONS_MAX, ge=0, le=1_000_000)
    """Sessions of the gateway. 0: no limit."""

    half_open_max: int = Field(default=1000, ge=1, le=1_000_000)
    """Phase 1 exchanges under way at the same time, in each replica."""

    per_source_rate: int = Field(default=50, ge=1, le=100_000)
    """First IKE messages a second that one source address may send to a replica. Mind that a
    hotel or an office is one address."""


class Drain(Section):
    """Leaving without harm."""

    timeout_seconds: int = Field(default=30, ge=0, le=3600)
    """At SIGTERM: how long to wait until every client has been told goodbye."""


class GatewaySpec(Section):
    """The gateway."""

    ipsec: Ipsec = Ipsec()
    """IKEv1 and ESP."""

    l2tp: L2tp = L2tp()
    """L2TPv2."""

    ppp: Ppp = Ppp()
    """PPP and what clients are told."""

    pools: tuple[Pool, ...] = Field(
        min_length=1, examples=["[{name: default, cidr: 10.20.0.0/16}]"]
    )
    """Client addresses, tried in this order."""

    egress: Egress = Egress()
    """Where clients' traffic may go."""

    store: Store = Store()
    """Where shared state lives."""

    limits: Limits = Limits()
    """Bounds on all that can grow."""

    drain: Drain = Drain()
    """Leaving without harm."""
