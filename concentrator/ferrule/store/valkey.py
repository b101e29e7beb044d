"""The store of several replicas: Valkey, alone, behind Sentinel, or as a cluster.

Each operation is one script (`valkey_scripts.py`) or one command, bounded in time; what goes wrong
leaves as StoreAway, and the next call connects anew. The server's losing everything is not an
error here: an empty store is a state that the members know how to end. The only importer of the
client library, which is the extra `valkey`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from valkey.asyncio import Sentinel, Valkey, ValkeyCluster
from valkey.asyncio.cluster import ClusterNode
from valkey.asyncio.connection import ConnectionPool, SSLConnection
from valkey.asyncio.retry import Retry
from valkey.asyncio.sentinel import SentinelManagedConnection
from valkey.backoff import NoBackoff
from valkey.credentials import CredentialProvider
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import ValkeyClusterException, ValkeyError

from ferrule.accounts.users import OnLimit
from ferrule.cluster.members import (
    Epoch,
    EpochId,
    Identity,
    Record,
    build_epoch,
    build_record,
    parse_epoch,
    parse_record,
)
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.store import valkey_scripts as scripts
from ferrule.store.interface import (
    CHECKPOINT_SECONDS,
    DIRECTORY_SECONDS,
    Admission,
    Checkpoint,
    Claim,
    Granted,
    Lease,
    LeaseRequest,
    Members,
    Put,
    PutResult,
    Refused,
    Renewal,
    Replaced,
    StoreAway,
)
from ferrule.store.leases import GAP_MS, LEASE_MS, OVER_MS, REAPED_MAX
from ferrule.store.valkey_url import Target, Topology

CONNECTIONS_MAX: Final = 16
TIMEOUT_SECONDS: Final = 2.0
RENEWED_AT_ONCE: Final = 200  # a script holds everybody else up
_TIMES: Final = (LEASE_MS, GAP_MS, OVER_MS)
FAILURES: Final = (ValkeyError, ValkeyClusterException, OSError, TimeoutError)

Argument: TypeAlias = bytes | str | int


@dataclass(frozen=True, slots=True)
class ValkeySettings:
    """`password` is that of the ACL user in the URL, or of the default user. Files are PEM; without
    `ca_file` the system's authorities are trusted, with it nobody else. `server_name` is what the
    server's certificate must say, "" for its host's name."""

    target: Target
    password: Secret | None = None
    sentinel_password: Secret | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    timeout_seconds: float = TIMEOUT_SECONDS


class _Credentials(CredentialProvider):
    """Asked for at each connection, so that a password can be another one tomorrow."""

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self.password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self.password.reveal().decode()
        return (self._username, password) if self._username else (password,)


class ValkeyStore:
    """What one gateway has in the server. Connects with the first operation."""

    def __init__(self, gateway: str, settings: ValkeySettings) -> None:
        self._prefix = f"{{ferrule:{gateway}}}:"
        self._timeout_seconds = settings.timeout_seconds
        self._credentials: _Credentials | None = None
        if settings.password is not None:
            self._credentials = _Credentials(settings.target.username, settings.password)
        self._client, self._sentinel = _connect(settings, self._credentials)
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)
        self._members = self._keys("epoch", "records", "marks")
        self._book = self._keys(
            "leases",
            "holders",
            "by-user",
            "expiry",
            "released",
            "cursors",
            "last-address",
            "last-user",
            "clock",
            "epoch",
            "unrestored",
            "over",
            "records",
            "said-all",
            "leaving",
            "generation",
        )
        self._directory = self._keys("directory", "directory-expiry")

    # --- members ----------------------------------------------------------------------------

    async def beat(self, record: Record) -> Members:
        arguments = (str(record.identity), record.mark, build_record(record))
        return _members(await self._script(scripts.BEAT, self._members, arguments))

    async def change(
        self,
        expected: EpochId | None,
        marks: Mapping[Identity, bytes],
        epoch: Epoch,
        records: Mapping[Identity, Record],
    ) -> Members:
        arguments: list[Argument] = [
            _epoch_id(expected) if expected is not None else "",
            _epoch_id(epoch.id),
            build_epoch(epoch),
            len(marks),
        ]
        for who, mark in marks.items():
            arguments += [str(who), mark]
        for member in epoch.members:
            record = records[member.identity]
            arguments += [str(member.identity), record.mark, build_record(record)]
        keys = [*self._members, *self._keys("epoch-id", "unrestored", "generation")]
        return _members(await self._script(scripts.CHANGE, keys, arguments))

    # --- check-points -----------------------------------------------------------------------

    async def claim(self, shards: Iterable[int], claim: Claim) -> frozenset[int]:
        arguments: list[Argument] = [str(claim.owner), claim.epoch, *shards]
        granted = await self._script(scripts.CLAIM, self._keys("claims"), arguments)
        return frozenset(granted)

    async def put(self, batch: Sequence[Put]) -> tuple[PutResult, ...]:
        groups: dict[tuple[int, Claim], list[int]] = {}
        for at, put in enumerate(batch):
            groups.setdefault((put.shard, put.claim), []).append(at)
        calls = []
        for (shard, claim), places in groups.items():
            arguments: list[Argument] = [
                str(claim.owner),
                claim.epoch,
                shard,
                int(CHECKPOINT_SECONDS),
            ]
            for at in places:
                blob = batch[at].blob
                arguments += [batch[at].session, b"" if blob is None else b"1" + blob]
            calls.append((self._keys("claims", _shard_key(shard)), arguments))
        answers = await self._script_many(scripts.PUT, calls)
        results = [PutResult.UNCLAIMED] * len(batch)
        for places, answer in zip(groups.values(), answers, strict=True):
            for at in places:
                results[at] = PutResult(answer.decode())
        return tuple(results)

    async def load(self, shard: int) -> Mapping[str, Checkpoint]:
        found = await self._command("HGETALL", self._prefix + _shard_key(shard))
        out = {}
        for session, value in found.items():
            epoch, _, blob = value.partition(b" ")
            out[session.decode()] = Checkpoint(int(epoch), blob)
        return out

    # --- leases -----------------------------------------------------------------------------

    async def admit(self, request: LeaseRequest) -> Admission:
        asked = {
            "session": request.session,
            "user": request.user,
            "device": request.device,
            "since_ms": request.since_ms,
            "owner": request.owner,
            "limit": request.limit,
            "replace_oldest": request.on_limit is OnLimit.REPLACE_OLDEST,
            "sessions_max": request.sessions_max,
            "static": _number(request.static),
            "requested": _number(request.requested),
            "ranges": [[int(first), int(last)] for first, last in request.ranges],
        }
        arguments = (*_TIMES, REAPED_MAX, json.dumps(asked))
        answer = await self._script(scripts.ADMIT, self._book, arguments)
        verdict, first, *rest = (field.decode() for field in answer)
        if verdict == "refused":
            return Refused(Reason(first))
        return Granted(IPv4Address(int(first)), _replaced(rest))

    async def renew(self, leases: Sequence[Lease]) -> Renewal:
        lost: list[str] = []
        displaced: list[Replaced] = []
        generations: set[str] = set()
        for at in range(0, max(1, len(leases)), RENEWED_AT_ONCE):
            some = [_plain(lease) for lease in leases[at : at + RENEWED_AT_ONCE]]
            arguments = (*_TIMES, json.dumps(some))
            answer = await self._script(scripts.RENEW, self._book, arguments)
            lost += [session.decode() for session in answer[0]]
            displaced += _replaced([field.decode() for field in answer[1]])
            generations.add(answer[2].decode())
        generation = generations.pop() if len(generations) == 1 else ""
        return Renewal(tuple(lost), tuple(displaced), generation)

    async def restored(self, member: Identity, generation: str) -> bool:
        keys = self._keys("epoch", "unrestored", "said-all", "generation")
        arguments = (str(member), LEASE_MS, generation)
        return bool(await self._script(scripts.RESTORED, keys, arguments))

    async def release(self, session: str) -> None:
        await self._script(scripts.RELEASE, self._book, (*_TIMES, session))

    # --- directory --------------------------------------------------------------------------

    async def publish(self, entries: Mapping[str, bytes]) -> None:
        arguments: list[Argument] = [int(DIRECTORY_SECONDS)]
        for session, entry in entries.items():
            arguments += [session, entry]
        await self._script(scripts.PUBLISH, self._directory, arguments)

    async def withdraw(self, session: str) -> None:
        await self._command("HDEL", self._directory[0], session)

    async def directory(self) -> Mapping[str, bytes]:
        found = await self._script(scripts.DIRECTORY, self._directory, ())
        return {found[at].decode(): found[at + 1] for at in range(0, len(found), 2)}

    # --- the connection ---------------------------------------------------------------------

    def use_password(self, password: Secret) -> None:
        """For connections to come; those that are stay. There must have been one before."""
        if self._credentials is not None:
            self._credentials.password = password

    async def close(self) -> None:
        clients = [self._client, *(self._sentinel.sentinels if self._sentinel else ())]
        for client in clients:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await client.aclose()
            except FAILURES:  # what is left is closed with the process
                continue

    def _keys(self, *names: str) -> list[str]:
        return [self._prefix + name for name in names]

    async def _script(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        return await self._command("EVAL", script, len(keys), *keys, *arguments)

    async def _command(self, *words: Argument) -> Any:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._free:
                return await self._client.execute_command(*words)
        except FAILURES as error:
            raise _away(error) from error

    async def _script_many(
        self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]]
    ) -> list[Any]:
        """The answers in order; in one go, where the server is one."""
        if isinstance(self._client, ValkeyCluster):
            return list(await asyncio.gather(*(self._script(script, *call) for call in calls)))
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._free,
                self._client.pipeline(transaction=False) as pipeline,
            ):
                for keys, arguments in calls:
                    pipeline.execute_command("EVAL", script, len(keys), *keys, *arguments)
                return list(await pipeline.execute())
        except FAILURES as error:
            raise _away(error) from error


def _connect(settings: ValkeySettings, credentials: _Credentials | None) -> tuple[Any, Any]:
    """A client that connects when it is used, and the sentinels that it asks, if any."""
    target = settings.target
    common: dict[str, Any] = {
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
        "credential_provider": credentials,
        # A connection that the server closed while nobody looked is not worth an error.
        "retry": Retry(NoBackoff(), 1, (ValkeyConnectionError,)),
        "retry_on_error": [ValkeyConnectionError],
    }
    tls = _tls_words(settings) if target.tls else {}
    match target.topology:
        case Topology.SOCKET:
            client = Valkey(unix_socket_path=target.path, db=target.database, **common)
            return client, None
        case Topology.SERVER:
            host, port = target.addresses[0]
            common |= {"host": host, "port": port, "db": target.database}
            if not target.tls:
                return Valkey(**common), None
            pool = ConnectionPool(connection_class=_TlsConnection, tls=_tls(settings), **common)
            return Valkey.from_pool(pool), None
        case Topology.CLUSTER:
            nodes = [ClusterNode(host, port) for host, port in target.addresses]
            return ValkeyCluster(startup_nodes=nodes, **common, **tls), None
        case Topology.SENTINEL:
            secret = settings.sentinel_password
            sentinel = Sentinel(  # type: ignore[no-untyped-call]
                target.addresses,
                sentinel_kwargs={
                    "socket_timeout": settings.timeout_seconds,
                    "socket_connect_timeout": settings.timeout_seconds,
                    "password": secret.reveal().decode() if secret else None,
                    **tls,
                },
                db=target.database,
                **common,
            )
            if target.tls:
                common = {"connection_class": _ManagedTlsConnection, "tls": _tls(settings)}
                return sentinel.master_for(target.service, **common), sentinel
            return sentinel.master_for(target.service), sentinel


class _Tls(NamedTuple):
    """`server_name`: "" for that of the host."""

    context: ssl.SSLContext
    server_name: str


def _tls(settings: ValkeySettings) -> _Tls:
    """Raises OSError for files that can't be used."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.certificate_file is not None:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    return _Tls(context, settings.server_name)


class _TlsConnection(SSLConnection):
    """With a context that trusts our file alone, and the name that the certificate must have."""

    def __init__(self, *, tls: _Tls, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = {**super()._connection_arguments(), "ssl": self._tls.context}
        if self._tls.server_name:
            arguments["server_hostname"] = self._tls.server_name
        return arguments


class _ManagedTlsConnection(SentinelManagedConnection, _TlsConnection):
    """To whatever server the sentinels name."""


def _tls_words(settings: ValkeySettings) -> dict[str, Any]:
    """For clients that make their connections themselves: of a cluster, and of sentinels."""
    files = {
        "ssl_ca_certs": settings.ca_file,
        "ssl_certfile": settings.certificate_file,
        "ssl_keyfile": settings.key_file,
    }
    return {
        "ssl": True,
        "ssl_check_hostname": True,
        **{name: str(path) for name, path in files.items() if path is not None},
    }


def _away(error: BaseException) -> StoreAway:
    return StoreAway(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _members(answer: Sequence[Any]) -> Members:
    changed, epoch, *fields = answer
    try:
        records = [parse_record(record) for record in fields[1::2]]
        parsed = parse_epoch(epoch) if epoch else None
    except ProtocolError as error:
        raise StoreAway(f"what another version wrote? {error}") from error
    return Members(parsed, {record.identity: record for record in records}, bool(changed))


def _epoch_id(epoch: EpochId) -> str:
    return f"{epoch.number}:{epoch.token:016x}"


def _shard_key(shard: int) -> str:
    return f"shard:{shard}"


def _number(address: IPv4Address | None) -> str:
    return str(int(address)) if address is not None and int(address) else ""


def _plain(lease: Lease) -> dict[str, Any]:
    return {
        "session": lease.session,
        "user": lease.user,
        "device": lease.device,
        "since_ms": lease.since_ms,
        "owner": lease.owner,
        "address": str(int(lease.address)),
    }


def _replaced(fields: Sequence[str]) -> tuple[Replaced, ...]:
    return tuple(Replaced(fields[at], fields[at + 1]) for at in range(0, len(fields), 2))
