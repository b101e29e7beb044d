"""The configuration file: its models, and `load`, which reads, checks and completes it.

`gateway:` has the field names of the VpnGateway resource (`gateway_spec.py`); the rest says how
this process listens, logs, and which users it has. Secrets stand in the file or in files of their
own; after `load` they are in the models either way. All that is wrong is told at once.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import Field, PrivateAttr, ValidationError

from ferrule.accounts.users import OnLimit
from ferrule.core.ids import Address
from ferrule.runtime.config_checks import check
from ferrule.runtime.config_problems import (
    SECRET_FIELDS,
    ConfigError,
    Location,
    Problem,
    Severity,
    explain,
)
from ferrule.runtime.config_values import (
    SECRET_MAX,
    HostAddress,
    HostPort,
    Instant,
    Network,
    Rate,
    SecretText,
    Username,
    VerifierText,
)
from ferrule.runtime.config_yaml import Document
from ferrule.runtime.gateway_spec import GatewaySpec, Section

FILE_MAX: Final = 64 << 20  # octets of a configuration file
M = TypeVar("M", bound=Section)


class Listen(Section):
    """Where this process listens. A change here needs a restart."""

    address: HostAddress | None = None
    """Local address for IKE and ESP. Absent: all of them."""

    ike_port: int = Field(default=500, ge=1, le=65535)
    """UDP port of IKE, before a NAT is found."""

    natt_port: int = Field(default=4500, ge=1, le=65535)
    """UDP port of IKE and ESP behind NAT."""

    http: HostPort = Address("127.0.0.1", 9190)
    """Where /metrics, /healthz and /readyz are served (TCP). `off`: nowhere."""

    admin: str = Field(default="/run/ferrule/admin.sock", max_length=107)
    """Path of the admin socket (`ferrule sessions`, `ferrule kick`, ...). Empty: none."""

    tun: str = Field(default="ferrule0", pattern=r"^[^\s/]{1,15}$")
    """Name of the TUN device; it is made if it is not there."""

    prepared: bool = False
    """`ferrule init-tun` made the TUN device, routes and nft table: only attach to it. This process
    needs no capability then."""

    public_address: HostAddress | None = None
    """The address that clients know, where it is not one of this host's: behind a NAT or a load
    balancer."""

    remote: HostPort = None
    """Where an operator asks how things are, and hands in configurations (TCP, sealed with
    `remoteKey`). `off`: nowhere."""

    remote_key: SecretText | None = None
    """The key that an operator must have: 128 random bits or more, in any form."""

    remote_key_file: str | None = None
    """A file that holds that key."""

    remote_folder: str = Field(default="/run/ferrule/remote", min_length=1, max_length=1024)
    """Where configurations that were handed in are kept, across restarts of this process."""

    ring: HostPort = None
    """Where other replicas send to (UDP): with a store of type `Valkey`. The host is this one's
    address as the others see it; with 0.0.0.0 the environment variable FERRULE_ADDRESS says which
    that is. `off`: nowhere."""

    member: str = Field(default="", pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")
    """This replica's name, the same again after a restart. Empty: what the environment variable
    FERRULE_MEMBER says, else the host's name."""

    path_mtu: int = Field(default=1500, ge=1280, le=9000)
    """MTU of the network that the outer packets take."""

    receive_buffer_octets: int = Field(default=4 << 20, ge=65536, le=1 << 30)
    """SO_RCVBUF of the UDP sockets; the kernel may grant less (net.core.rmem_max)."""


class Log(Section):
    """The log, on standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    """`json`: a JSON object a line. `console`: for eyes. `auto`: console on a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is written."""


class RateLimit(Section):
    """Rates of IP traffic, in bits a second of whole packets."""

    down: Rate = Field(default=0, examples=["10Mbit"])
    """Towards the client. 0: no limit."""

    up: Rate = Field(default=0, examples=["10Mbit"])
    """From the client. 0: no limit."""


class UserSettings(Section):
    """What an account may do."""

    enabled: bool = True
    """False: may not log in, and is logged out."""

    valid_until: Instant | None = None
    """May log in until then. A date lasts to its end, in UTC."""

    static_ip: HostAddress | None = None
    """The address that the user always gets; it must lie in a pool. Such a user is on once."""

    max_sessions: int | None = Field(default=None, ge=0)
    """Sessions at the same time. 0: no limit. Absent: `limits.sessionsPerUser`."""

    on_limit: OnLimit = OnLimit.REPLACE_OLDEST
    """What one session too many does: `replace-oldest` ends the oldest, `reject-new` is refused
    unless it comes from the same device as one that is on, which it then replaces."""

    allowed_cidrs: tuple[Network, ...] = ()
    """Networks that the user may reach, within what `egress` allows. Empty: all of that."""

    rate_limit: RateLimit = RateLimit()
    """How fast each of the user's sessions is."""

    groups: tuple[str, ...] = ()
    """Labels for people and tools; they give no rights."""


class UserSpec(UserSettings):
    """An account. Exactly one of password, passwordFile, verifier, verifierFile is needed."""

    username: Username = Field(examples=["alice"])
    """Name, case-sensitive. A domain in front ("DOMAIN\\alice") is ignored in what clients send."""

    password: SecretText | None = None
    """The password in clear text. `verifier` says less to whoever reads the file."""

    password_file: str | None = None
    """A file that holds the password, relative to the file that names it. One newline at its end
    does not count."""

    verifier: VerifierText | None = None
    """What `ferrule hash-password` prints."""

    verifier_file: str | None = None
    """A file that holds the verifier."""

    previous_verifier: VerifierText | None = None
    """Of the password before, still accepted while it is being replaced."""

    previous_verifier_file: str | None = None
    """A file that holds the verifier of the password before."""


class Config(Section):
    """The whole file. `load` makes it; `warnings` and `files` come with it."""

    listen: Listen = Listen()
    """Where this process listens."""

    log: Log = Log()
    """The log."""

    gateway: GatewaySpec
    """The gateway; the fields of the VpnGateway resource."""

    users: tuple[UserSpec, ...] = ()
    """The accounts."""

    users_files: tuple[str, ...] = ()
    """Files with a `users:` list each, relative to this file; their users come after these."""

    _warnings: tuple[Problem, ...] = PrivateAttr(default=())
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works but should be looked at."""
        return self._warnings

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that were read: the ones to watch."""
        return self._files


class UsersFile(Section):
    """A file named by `usersFiles`."""

    users: tuple[UserSpec, ...] = ()
    """The accounts."""


def load(path: Path | str, given: Mapping[Path, str] | None = None) -> Config:
    """Read, complete and check the configuration. Raises ConfigError with every problem found.

    `given`: the texts of files, by path, in place of the file system's; there are no others then.
    Blocks for a second or two where there are thousands of users: run it off the event loop.
    """
    loader = _Loader(given)
    document = loader.read(Path(path))
    config = loader.validate(document, Config)
    users: list[tuple[Document, Location, UserSpec]] = []
    if config is not None:
        users = [(document, ("users", i), user) for i, user in enumerate(config.users)]
        for i, name in enumerate(config.users_files):
            users += loader.users_of(document, ("usersFiles", i), name)
        loader.problems += check(config.gateway, config.listen, document, users)
    loader.problems.sort(key=lambda problem: (loader.files.index(problem.file), problem.line))
    if config is None or any(p.severity is Severity.ERROR for p in loader.problems):
        raise ConfigError(loader.problems)
    complete = config.model_copy(update={"users": tuple(user for _, _, user in users)})
    complete._warnings = tuple(loader.problems)
    complete._files = tuple(dict.fromkeys(loader.files))
    return complete


class _Loader:
    """Collects problems and the files read."""

    def __init__(self, given: Mapping[Path, str] | None) -> None:
        self._given = given
        self.problems: list[Problem] = []
        self.files: list[Path] = []

    def read(self, file: Path) -> Document:
        """Raises ConfigError for a file that cannot be read or is not YAML."""
        text = self._text(file, FILE_MAX)
        if isinstance(text, Problem):
            raise ConfigError([text])
        document = Document(file, text)
        if not isinstance(document.data, dict):
            raise ConfigError(
                [document.problem((), "the file must be a mapping; begin it with 'gateway:'")]
            )
        self._read_secrets(document, document.data, ())
        return document

    def validate(self, document: Document, model: type[M]) -> M | None:
        try:
            return model.model_validate(document.data)
        except ValidationError as error:
            self.problems += [
                document.problem(location, message) for location, message in explain(error, model)
            ]
            return None

    def users_of(
        self, parent: Document, location: Location, name: str
    ) -> list[tuple[Document, Location, UserSpec]]:
        file = parent.file.parent / name
        if not (file.is_file() if self._given is None else file in self._given):
            self.problems.append(parent.problem(location, f"{file} is not a file that exists"))
            return []
        try:
            document = self.read(file)
        except ConfigError as error:
            self.problems += error.problems
            return []
        content = self.validate(document, UsersFile)
        rows = content.users if content is not None else ()
        return [(document, ("users", i), user) for i, user in enumerate(rows)]

    def _read_secrets(self, document: Document, value: Any, location: Location) -> None:
        """Put the content of `pskFile` beside it as `psk`, and so on, all over the document."""
        if isinstance(value, list):
            for i, item in enumerate(value):
                self._read_secrets(document, item, (*location, i))
        if not isinstance(value, dict):
            return
        for key in list(value):
            here: Location = (*location, key)
            target = key.removesuffix("File")
            if key == target or target not in SECRET_FIELDS:
                self._read_secrets(document, value[key], here)
            elif target in value:
                self.problems.append(
                    document.problem(here, f"{target} is given as well; keep one of the two")
                )
            elif isinstance(value[key], str):
                content = self._text(document.file.parent / value[key], SECRET_MAX + 2)
                if isinstance(content, Problem):
                    self.problems.append(document.problem(here, content.message))
                value[target] = _UNREAD if isinstance(content, Problem) else content

    def _text(self, file: Path, octets_max: int) -> str | Problem:
        """The file's text without one newline at its end."""
        self.files.append(file)
        try:
            octets = self._octets(file, octets_max + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            why = getattr(error, "strerror", None) or error
            return Problem(file, 0, "", f"{file} cannot be read: {why}")
        if len(octets) > octets_max:
            return Problem(file, 0, "", f"{file} is larger than {octets_max} octets")
        try:
            return octets.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            return Problem(file, 0, "", f"{file} is not UTF-8 text")

    def _octets(self, file: Path, most: int) -> bytes:
        if self._given is None:
            with file.open("rb") as stream:
                return stream.read(most)
        if file not in self._given:
            raise FileNotFoundError(errno.ENOENT, "it is not given", str(file))
        return self._given[file].encode()[:most]


_UNREAD: Final = "plain:unread"  # passes as any secret; its problem is told already
