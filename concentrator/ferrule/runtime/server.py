"""`ferrule serve`: opens ports and TUN, joins plane and gateway, reloads, says goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import structlog

from ferrule import __version__
from ferrule.accounts.admission import Accounts
from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Path as NetPath
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey, Site
from ferrule.runtime.admin import serve_admin
from ferrule.runtime.administration import Administration
from ferrule.runtime.assemble import gateway_settings
from ferrule.runtime.config import Config, load
from ferrule.runtime.config_accounts import accounts_settings
from ferrule.runtime.config_problems import ConfigError
from ferrule.runtime.driver import Driver
from ferrule.runtime.egress import EGRESS_ERRORS, adapt_host, open_egress
from ferrule.runtime.health import serve_http
from ferrule.runtime.member import Member
from ferrule.runtime.member_config import member_name, names_key, open_store, outlives
from ferrule.runtime.remote import serve_remote
from ferrule.runtime.report import TelemetryReport
from ferrule.runtime.sources import Sources, revisions
from ferrule.runtime.udp import UdpPort, open_natt_port
from ferrule.runtime.watch import watch
from ferrule.store.interface import Store

# Of `listen`, what is read anew at each reload.
_RELOADED = frozenset({"public_address", "remote_key", "remote_key_file"})
_GOODBYE_SECONDS = 1.0  # for the store to hear that clients are gone
_LINK_SECONDS = 5.0
_LINK_POLL_SECONDS = 0.005
_BATCH = 64  # datagrams or IP packets read before the other sources get their turn
_STRANGERS_BATCH = 16  # the same for IKE: no flood of it takes the turn of those who are in


def sources_of(config: Config, path: Path) -> Sources:
    """Where configurations come from, when `path` was named at the start."""
    listen = config.listen
    return Sources(path, Path(listen.remote_folder) if listen.remote is not None else None)


def load_newest(path: Path) -> Config:
    """The configuration at `path`, or a newer one that an operator handed in before a restart.
    Raises ConfigError."""
    config = load(path)
    newest = sources_of(config, path).file
    if newest == path:
        return config
    try:
        return load(newest)
    except ConfigError as error:
        structlog.get_logger("ferrule").error(
            "what was handed in can't be used any more", problem=str(error)
        )
        return config


class Server:
    """One concentrator. `run` returns after SIGTERM or SIGINT."""

    def __init__(self, config: Config, path: Path) -> None:
        """`config` is what `load_newest` made of `path`."""
        self._config = config
        self._sources = sources_of(config, path)
        self._log = structlog.get_logger("ferrule")
        self._stop = asyncio.Event()
        self._failure = ""
        self._reload_lock = asyncio.Lock()

    # --- life

    async def run(self) -> None:
        """Raises one of EGRESS_ERRORS, with a message for a person, if it can't start."""
        loop = asyncio.get_running_loop()
        config, listen = self._config, self._config.listen
        self._accounts = Accounts(accounts_settings(config))
        site = Site(
            gateway_settings(config),
            self._accounts,
            os.urandom,
            wall_offset=time.time() - loop.time(),
        )
        store = None
        if outlives(config.gateway.store):
            store = await open_store(config.gateway.store, self._sources.file.parent)
        self._assemble(config, site, loop, store)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._driver.close)
            host = str(listen.address or "0.0.0.0")
            self._open_ports(stack, host)
            self._tun = stack.enter_context(open_egress(config))
            self._plane = PythonPlane(
                clock=loop.time,
                punt=self._driver.punt,
                transmit=self._transmit,
                deliver=self._tun.write,
                elsewhere=self._member.relay if self._member is not None else None,
            )
            self._driver.attach(self._plane)
            self._report.attach(self._plane, self._receive_buffers(), self._overflowed)
            self._tell_weak(config)
            for port, batch in self._batches.items():
                self._read_whenever_ready(stack, loop, port.fileno(), self._reader_of(port, batch))
            self._read_whenever_ready(stack, loop, self._tun.fileno(), self._read_tun)
            for number, action in (
                (signal.SIGTERM, self._stop.set),
                (signal.SIGINT, self._stop.set),
                (signal.SIGHUP, self._on_hangup),
            ):
                loop.add_signal_handler(number, action)
                stack.callback(loop.remove_signal_handler, number)
            http = f"{listen.http.host}:{listen.http.port}" if listen.http else ""
            await stack.enter_async_context(
                serve_http(http, self._report.metrics.registry, self._missing)
            )
            await stack.enter_async_context(serve_admin(self._administration, listen.admin))
            if listen.remote is not None:
                await stack.enter_async_context(serve_remote(self, listen.remote, self._remote_key))
            self._keep(stack, watch(self._files, self._reload))
            await self._await_link()
            if self._member is not None:
                await self._member.start(stack, self._plane, self._receive, self._send)
            self._report.ready = True
            self._log.info(
                "ready",
                version=__version__,
                listen=host,
                ike_port=listen.ike_port,
                natt_port=listen.natt_port,
                tun=listen.tun,
                users=len(self._accounts.users),
            )
            await self._stop.wait()
            await self._leave()
        if self._failure:
            raise OSError(self._failure)

    def _assemble(
        self, config: Config, site: Site, loop: asyncio.AbstractEventLoop, store: Store | None
    ) -> None:
        """The gateway and its driver; and a member, of a cluster or alone, if there is a store."""
        self._member: Member | None = None
        shared = store is not None
        names = ShardNames(names_key(config), () if shared else tuple(range(SHARDS)), os.urandom)
        self._gateway = Gateway(
            site,
            names,
            os.urandom,
            clustered=shared,
            member=member_name(config) if shared else "",
        )
        self._report = TelemetryReport(self._accounts, self._gateway)
        self._driver = Driver(self._gateway, self._report, loop)
        if store is not None:
            self._member = Member(
                config, store, names, self._gateway, self._driver, self._report, loop
            )
        self._administration = Administration(
            self._gateway,
            self._accounts,
            self._driver,
            self._report,
            self._member,
            clock=loop.time,
            file=lambda: self._sources.file,
            receive_buffers=self._receive_buffers,
            plane=lambda: self._plane,
        )
        self._administration.revisions = revisions(self._sources.file.parent)

    def _open_ports(self, stack: contextlib.AsyncExitStack, host: str) -> None:
        listen = self._config.listen
        octets = listen.receive_buffer_octets
        ike = UdpPort(host, listen.ike_port, natt=False, receive_buffer=octets, keep_paths=False)
        stack.callback(ike.close)
        esp, natt_ike = open_natt_port(host, listen.natt_port, receive_buffer=octets)
        stack.callback(esp.close)
        self._ports = {False: ike, True: esp}
        self._batches = {esp: _BATCH, ike: _STRANGERS_BATCH}
        if natt_ike is not None:
            stack.callback(natt_ike.close)
            self._batches[natt_ike] = _STRANGERS_BATCH
        for port in (ike, esp):
            if port.receive_octets < octets:
                self._log.warning(
                    "receive buffer is smaller than wanted: bursts may lose packets",
                    port=port.local.port,
                    wanted=octets,
                    got=port.receive_octets,
                    remedy="raise net.core.rmem_max on the node",
                )

    @staticmethod
    def _read_whenever_ready(
        stack: contextlib.AsyncExitStack,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        reader: Any,
    ) -> None:
        loop.add_reader(descriptor, reader)
        stack.callback(loop.remove_reader, descriptor)

    @staticmethod
    def _keep(stack: contextlib.AsyncExitStack, work: Any) -> None:
        task = asyncio.ensure_future(work)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        stack.push_async_callback(end)

    async def _await_link(self) -> None:
        """A TUN that was just attached may lose the first packets until its link is up."""
        end = time.monotonic() + _LINK_SECONDS
        while not self._tun.running:
            if time.monotonic() > end:
                raise OSError(f"the TUN device {self._tun.name} does not come up: set its link up")
            await asyncio.sleep(_LINK_POLL_SECONDS)

    async def _leave(self) -> None:
        """Hand everybody over, to other members or to our next life, or say goodbye where nobody is
        to take them."""
        member = self._member
        if member is None:
            await self._say_goodbye()
            return
        if member.alone:
            await member.write_down()
            return
        handed_over = await member.drain(self._config.gateway.drain.timeout_seconds)
        if not handed_over and member.may_serve():  # else others have our clients, or will
            await self._say_goodbye()
            await member.checkpoints.rest(_GOODBYE_SECONDS)
        await member.cluster.leave()

    async def _say_goodbye(self) -> None:
        """CDN, StopCCN and Delete to everybody; then wait a moment for the acknowledgements."""
        sessions = sum(1 for _ in self._gateway.sessions())
        self._log.info("stopping", sessions=sessions)
        self._driver.command(lambda now: self._gateway.close(Reason.SERVER_SHUTDOWN, now))
        if sessions:
            timeout = self._config.gateway.drain.timeout_seconds
            await asyncio.sleep(min(0.2, timeout))
        self._log.info("stopped")

    def _missing(self) -> str:
        """What /readyz still waits for; "" for nothing."""
        if not self._report.ready:
            return "starting"
        return self._member.missing if self._member is not None else ""

    def _overflowed(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for port in self._batches:
            number = str(port.local.port)
            counts[number] = counts.get(number, 0) + port.overflowed
        return counts

    def _receive_buffers(self) -> dict[str, int]:
        return {str(port.local.port): port.receive_octets for port in self._ports.values()}

    def _tell_weak(self, config: Config) -> None:
        self._report.metrics.config_loaded(config.gateway.ipsec.allow_weak, time.time())

    # --- packets

    def _reader_of(self, port: UdpPort, batch: int) -> Any:
        def read() -> None:
            port.read(self._receive, batch)

        return read

    def _receive(self, path: NetPath, data: bytes) -> None:
        self._plane.receive_datagram(path, data)
        if self._driver.pending:  # before the next one: it may need what this one set up
            self._driver.drain()

    def _read_tun(self) -> None:
        self._tun.read(self._plane.transmit_ip, _BATCH)
        if self._tun.gone:
            self._fail(f"the TUN device {self._tun.name} was deleted")
        if self._driver.pending:
            self._driver.drain()

    def _fail(self, why: str) -> None:
        """Stop, say goodbye, and end with an error: what is needed to go on is gone."""
        if not self._failure:
            self._failure = why
            self._log.error("can't go on", cause=why)
            asyncio.get_running_loop().remove_reader(self._tun.fileno())
            self._stop.set()

    def _transmit(self, path: NetPath, data: bytes) -> None:
        if path.via and self._member is not None:
            self._member.relay.to_client(path, data)
        else:
            self._ports[path.natt].send(path, data)

    def _send(self, path: NetPath, data: bytes) -> None:
        self._ports[path.natt].send(path, data)

    # --- reload

    def _files(self) -> tuple[Path, ...]:
        return (*self._config.files, *self._sources.watched())

    def _on_hangup(self) -> None:
        self._reloading = asyncio.ensure_future(self._reload())

    async def _reload(self) -> None:
        """Take a changed configuration over; a wrong one changes nothing and is told."""
        async with self._reload_lock:
            await self._load_and_take_over(self._sources.file)

    async def configure(self, files: dict[str, str]) -> str:
        """Take over a configuration that was handed in; says what is wrong with it, or ""."""
        async with self._reload_lock:
            try:
                staged = await asyncio.to_thread(self._sources.stage, files)
            except (ValueError, OSError) as error:
                return str(error)
            problem = await self._load_and_take_over(staged)
            await asyncio.to_thread(
                self._sources.discard if problem else self._sources.adopt, staged
            )
            return problem

    async def _load_and_take_over(self, file: Path) -> str:
        """What is wrong with the file, for whoever sent it; "" for nothing."""
        try:
            numbers = await asyncio.to_thread(revisions, file.parent)
            config = await asyncio.to_thread(load, file)
            self._take_over(config)
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
        except ValueError as error:
            problems = [str(error)]
        else:
            self._administration.revisions = numbers
            return ""
        self._report.metrics.reloaded(ok=False)
        for problem in problems:
            self._log.error("configuration not taken over", problem=problem)
        return "; ".join(problems)

    def _take_over(self, config: Config) -> None:
        for name in type(config.listen).model_fields.keys() - _RELOADED:
            if getattr(config.listen, name) != getattr(self._config.listen, name):
                self._log.warning("listen is only read at the start: restart", field=name)
        for name in ("type", "url", "gateway", "tls"):
            if getattr(config.gateway.store, name) != getattr(self._config.gateway.store, name):
                self._log.warning("the store is only chosen at the start: restart", field=name)
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._gateway.site.wall_offset = time.time() - now
        endings = self._accounts.replace(accounts_settings(config), time.time())
        self._report.forget({user.username for user in self._accounts.users})
        self._config = config
        self._adapt_host(config)
        self._driver.command(lambda _: self._gateway.reload(gateway_settings(config)))
        if self._member is not None:
            self._member.reload(config)
        for ending in endings:
            if isinstance(ending.key, SessionKey):
                self._administration.end(ending.key, ending.reason)
        self._report.metrics.reloaded(ok=True)
        self._tell_weak(config)
        self._log.info(
            "configuration taken over", users=len(self._accounts.users), sessions_ended=len(endings)
        )

    def _adapt_host(self, config: Config) -> None:
        try:
            adapt_host(config)
        except EGRESS_ERRORS as error:
            self._log.error("host not configured for the new configuration", cause=str(error))

    def _remote_key(self) -> Secret:
        key = self._config.listen.remote_key
        assert key is not None, "config_checks wants one where there is a remote port"
        return key

    def remote_status(self) -> dict[str, Any]:
        """For an operator, over the remote port."""
        return self._administration.remote_status()
