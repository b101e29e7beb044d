"""Valkey as it is in the field: away, empty, hung, slow, behind TLS or Sentinel, with an ACL."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ferrule.cluster.members import Record
from ferrule.cluster.sealing import BlobKind, Context, Sealer, pseudonym
from ferrule.core.secret import Secret
from ferrule.store import valkey
from ferrule.store.interface import Claim, Granted, Put, PutResult, Refused, Store, StoreAway
from ferrule.store.valkey import ValkeySettings, ValkeyStore
from ferrule.store.valkey_url import parse_url
from support.store import FIRST, found, lease, request, said_all, who
from support.valkey import ValkeyServer, free_port

A, B = who("a-0"), who("a-1")
PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    acl = f"ferrule on >{PASSWORD} ~{{ferrule:vpn}}:* +@all -@admin -@dangerous".split()
    running = ValkeyServer(tmp_path_factory.mktemp("valkey"), "--user", *acl).start()
    yield running
    running.stop()


@contextlib.asynccontextmanager
async def opened(url: str, gateway: str = "vpn", **settings: object) -> AsyncIterator[ValkeyStore]:
    store = ValkeyStore(gateway, ValkeySettings(parse_url(url), **settings))  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


async def try_everything(store: Store) -> None:
    """One of each operation, on an empty store."""
    made = await found(store, A)
    assert made.changed
    assert (await store.beat(Record(A, 2, made.epoch))).records[A].beat == 2
    claim = Claim(A, 1)
    assert await store.claim(range(300), claim) == set(range(300))
    batch = [Put(shard, claim, f"s{shard}", b"x" * 600) for shard in range(300)]
    assert set(await store.put(batch)) == {PutResult.DONE}
    assert (await store.load(7))["s7"].blob == b"x" * 600
    assert isinstance(await store.admit(request("s1")), Granted)
    await store.renew([lease("s1", FIRST)])
    await store.release("s1")
    await store.publish({"s1": b"x"})
    assert await store.directory() == {"s1": b"x"}
    await store.withdraw("s1")


QUESTIONS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "beat": lambda store: store.beat(Record(A, 1, None)),
    "found": lambda store: found(store, A),
    "claim": lambda store: store.claim([1], Claim(A, 1)),
    "put": lambda store: store.put([Put(1, Claim(A, 1), "s", b"")]),
    "load": lambda store: store.load(1),
    "admit": lambda store: store.admit(request("s")),
    "renew": lambda store: store.renew([lease("s", FIRST)]),
    "restored": lambda store: said_all(store, A),
    "release": lambda store: store.release("s"),
    "publish": lambda store: store.publish({"s": b""}),
    "withdraw": lambda store: store.withdraw("s"),
    "directory": lambda store: store.directory(),
}


# --- a server that fails -----------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
async def test_nobody_there(question: Callable[[Store], Awaitable[object]]) -> None:
    async with opened(f"valkey://127.0.0.1:{free_port()}") as store:
        with pytest.raises(StoreAway):
            await question(store)


async def test_a_server_that_hangs_is_away_in_time(server: ValkeyServer) -> None:
    async with opened(server.url, "hung", timeout_seconds=0.2) as store:
        await found(store, A)
        server.freeze()
        try:
            for question in QUESTIONS.values():
                start = time.monotonic()
                with pytest.raises(StoreAway):
                    await asyncio.wait_for(question(store), 2.0)
                assert time.monotonic() - start < 1.0
        finally:
            server.thaw()
        assert (await store.beat(Record(A, 3, None))).records[A].beat == 3


async def test_a_slow_server_is_only_slow(server: ValkeyServer) -> None:
    async with opened(server.url, "slow") as store:
        await found(store, A)
        server.command("CLIENT", "PAUSE", "500", "ALL")
        start = time.monotonic()
        answers = await asyncio.gather(*(store.beat(Record(A, n, None)) for n in range(30)))
        assert time.monotonic() - start > 0.3
        assert len(answers) == 30


async def test_restarted_it_is_empty_and_takes_everything_anew(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "own").start()
    try:
        async with opened(server.url) as store:
            made = await found(store, A, B)
            claim = Claim(A, 1)
            await store.claim([1], claim)
            server.stop()
            with pytest.raises(StoreAway):
                await store.beat(Record(A, 2, made.epoch))
            server.start()
            assert (await store.beat(Record(A, 3, made.epoch))).epoch is None
            assert await store.put([Put(1, claim, "s", b"x")]) == (PutResult.UNCLAIMED,)
            assert await store.claim([1], claim) == {1}
            assert await store.put([Put(1, claim, "s", b"x")]) == (PutResult.DONE,)
            assert not isinstance(await store.admit(request("s")), Granted)
            before = (await store.renew([])).generation
            server.restart_empty()
            await try_everything(store)
            assert (await store.renew([])).generation not in ("", before)
            assert not await store.restored(A, before)
    finally:
        server.stop()


async def test_what_does_not_parse_is_no_reason_to_fall_over(server: ValkeyServer) -> None:
    async with opened(server.url, "odd") as store:
        await found(store, A)
        server.command("SET", "{ferrule:odd}:epoch", "written by nobody")
        with pytest.raises(StoreAway, match="another version"):
            await store.beat(Record(A, 2, None))
        server.command("SET", "{ferrule:odd}:leases", "not a hash")
        with pytest.raises(StoreAway, match="WRONGTYPE"):
            await store.renew([lease("s", FIRST)])


async def test_a_member_that_is_cut_off_keeps_its_leases_and_a_dead_one_does_not(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "_TIMES", (200, 60_000, 60_000))
    monkeypatch.setattr(valkey, "LEASE_MS", 200)
    dead = who("a-2", 8)
    async with opened(server.url, "partition") as store, asyncio.timeout(20):
        await found(store, A, B)
        ranges = ((FIRST, FIRST + 1),)
        for user, owner in (("bob", B), ("eve", dead)):
            admission = await store.admit(request(user, user, owner=str(owner), ranges=ranges))
            assert isinstance(admission, Granted)
        # As soon as eve's is free it is given away; bob's is not, however long it takes.
        while not isinstance(await store.admit(request("s", "joe", ranges=ranges)), Granted):
            await said_all(store, A)
        again = await store.admit(request("bob", "bob", owner=str(B), ranges=ranges))
        assert again == Granted(FIRST)
        # Once its owner has said what it has, and this was not in it, it is free too.
        full = request("t", "max", ranges=((FIRST, FIRST),))
        assert isinstance(await store.admit(full), Refused)
        while not isinstance(await store.admit(full), Granted):
            await said_all(store, B)


# --- who may talk to it ------------------------------------------------------------------------


def acl_url(server: ValkeyServer) -> str:
    return server.url.replace("://", "://ferrule@")


async def test_a_user_with_rights_on_one_gateway_only(server: ValkeyServer) -> None:
    password = Secret(PASSWORD.encode())
    async with opened(acl_url(server), "vpn", password=password) as store:
        await try_everything(store)
    async with opened(acl_url(server), "other", password=password) as store:
        for question in QUESTIONS.values():
            with pytest.raises(StoreAway, match=r"permission|NOPERM|ACL"):
                await question(store)


async def test_another_password_is_for_connections_to_come(server: ValkeyServer) -> None:
    async with opened(acl_url(server), "vpn", password=Secret(b"before")) as store:
        with pytest.raises(StoreAway):
            await store.load(7)
        store.use_password(Secret(PASSWORD.encode()))
        await store.load(7)
        store.use_password(Secret(b"after"))
        await store.load(7)


async def test_a_wrong_password_is_not_told(server: ValkeyServer) -> None:
    async with opened(acl_url(server), "vpn", password=Secret(b"guessed")) as store:
        with pytest.raises(StoreAway) as refused:
            await store.directory()
    assert "guessed" not in str(refused.value)
    assert "guessed" not in repr(ValkeySettings(parse_url(acl_url(server)), Secret(b"guessed")))


# --- what lies in it ---------------------------------------------------------------------------


async def test_a_dump_tells_nothing_that_is_sealed(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "own").start()
    secrets = (b"skeyid of the session", b"192.0.2.77", b"ada.lovelace", b"10.9.8.7")
    key = Secret(random.randbytes(32))
    sealer = Sealer("vpn", [key], random.randbytes)
    try:
        async with opened(server.url) as store:
            await found(store, A)
            claim = Claim(A, 1)
            await store.claim([1], claim)
            session = pseudonym(key, "session", "17")
            user = pseudonym(key, "user", "ada.lovelace")
            device = pseudonym(key, "device", "192.0.2.77 10.9.8.7")
            blob = sealer.seal(b" ".join(secrets), Context(session, BlobKind.CHECKPOINT, 1))
            await store.put([Put(1, claim, session, blob)])
            await store.admit(request(session, user, device=device))
            entry = sealer.seal(b" ".join(secrets), Context(session, BlobKind.DIRECTORY, 0))
            await store.publish({session: entry})
        server.command("SAVE")
        dump = (tmp_path / "own" / "dump.rdb").read_bytes()
    finally:
        server.stop()
    assert session.encode() in dump, "the dump has what was written"
    for secret in (*secrets, key.reveal()):
        assert secret not in dump


# --- how it is found ---------------------------------------------------------------------------


async def test_a_cluster(tmp_path: Path) -> None:
    bus = str(free_port())
    options = ("--cluster-enabled", "yes", "--cluster-port", bus)
    server = ValkeyServer(tmp_path / "own", *options).start()
    try:
        assert server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK"
        while b"cluster_state:ok" not in server.command("CLUSTER", "INFO"):
            await asyncio.sleep(0.02)
        async with opened(f"valkey+cluster://127.0.0.1:{server.port}") as store:
            await try_everything(store)
    finally:
        server.stop()


async def test_sentinel_names_the_primary_and_the_next_one(tmp_path: Path) -> None:
    first = ValkeyServer(tmp_path / "first").start()
    second = ValkeyServer(tmp_path / "second").start()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor main 127.0.0.1 {first.port} 1\n")
    sentinel = ValkeyServer(tmp_path / "sentinel", str(config), "--sentinel").start()
    try:
        url = f"valkey+sentinel://127.0.0.1:{sentinel.port}/main"
        async with opened(url) as store:
            await try_everything(store)
            first.stop()
            with pytest.raises(StoreAway):
                await store.directory()
            sentinel.command("SENTINEL", "REMOVE", "main")
            sentinel.command("SENTINEL", "MONITOR", "main", "127.0.0.1", str(second.port), "1")
            await try_everything(store)
        async with opened(url.replace("/main", "/unknown")) as store:
            with pytest.raises(StoreAway):
                await store.directory()
    finally:
        for running in (first, second, sentinel):
            running.stop()


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "tls.crt", directory / "tls.key"
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


@contextlib.asynccontextmanager
async def behind_tls(server: ValkeyServer, files: tuple[Path, Path]) -> AsyncIterator[int]:
    """The port of a TLS listener in front of the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)
        for pair in ((reader, forth), (back, writer)):
            task = asyncio.create_task(pump(*pair))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_tls_and_whom_it_trusts(server: ValkeyServer, tmp_path: Path) -> None:
    files = certificate(tmp_path)
    async with behind_tls(server, files) as port:
        url = f"valkeys://localhost:{port}"
        async with opened(url, "tls", ca_file=files[0]) as store:
            await try_everything(store)
        async with opened(url, "tls") as store:
            with pytest.raises(StoreAway, match="certificate"):
                await store.directory()
        async with opened(url.replace("localhost", "127.0.0.1"), "tls", ca_file=files[0]) as store:
            with pytest.raises(StoreAway, match=r"certificate|mismatch"):
                await store.directory()
        by_number = url.replace("localhost", "127.0.0.1")
        named = {"ca_file": files[0], "server_name": "localhost"}
        async with opened(by_number, "named", **named) as store:
            await try_everything(store)
        named["server_name"] = "store.example"
        async with opened(url, "tls", **named) as store:
            with pytest.raises(StoreAway, match=r"certificate|mismatch"):
                await store.directory()


async def test_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = ValkeyServer(tmp_path / "own", "--unixsocket", str(path)).start()
    try:
        async with opened(f"unix://{path}?db=1") as store:
            await try_everything(store)
        assert server.command("DBSIZE") == b":0"
    finally:
        server.stop()
