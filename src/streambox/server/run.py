"""``streambox serve``: listen, serve, drain, exit."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import os
import resource
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from streambox.errors import ConfigError, RunFailed
from streambox.server.app import create_app
from streambox.server.connection import HotConnection
from streambox.server.edge import Edge, Limits
from streambox.server.routes import Router
from streambox.server.tls import Certificate
from streambox.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from streambox.batcher.interface import Batcher
    from streambox.batcher.scheduler import Scheduler
    from streambox.clock import Clock
    from streambox.config import BatcherSection, Config
    from streambox.simulate.record import RecordFile

log = structlog.get_logger("streambox.server")

_SWEEP_S = 1.0
_BACKLOG = 4096
_RECORD_FLUSH_S = 1.0
_FLUSH_S = 5.0  # for the last replies to reach their callers once all are written


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signals: draining comes first, and a drained exit is 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """
    The HTTP server around a started ``Serving``.

        async with Serving(config) as serving, Server(serving) as server:
            await server.stopped()

    ``port`` is the one bound, also where 0 was asked for. ``stop()`` drains and ends;
    calling it again ends at once. *listener*: a bound socket, in place of one of its own.

    ``certificate`` is what it shows, None where it does not speak TLS; as configured, unless given.
    *insecure*: callers from other machines may come in though no tenants are configured.

    Raises, on entering: ConfigError, RunFailed.
    """

    def __init__(
        self,
        serving: Serving,
        listener: socket.socket | None = None,
        *,
        certificate: Certificate | None = None,
        insecure: bool = False,
    ) -> None:
        self._serving = serving
        self._listener = listener
        self._insecure = insecure
        self._config: BatcherSection = serving.config.batcher
        self.certificate = certificate
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Server:
        serving = self._serving
        self.edge = Edge(serving.scheduler, Router(serving.models), _limits(self._config), serving.roster)
        certificate = self.certificate = self.certificate or load_certificate(serving.config)
        listener = self._listener or bind(self._config.host, serving.config.port)
        self.port = listener.getsockname()[1]
        check_exposure(listener, serving.config, insecure=self._insecure)
        _listen(listener, self._config.host, self.port)
        app = create_app(serving, self.edge)
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http=functools.partial(HotConnection, self.edge),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=_BACKLOG,
                ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
                timeout_graceful_shutdown=int(_FLUSH_S),
            )
        )
        self._listening = asyncio.create_task(self._uvicorn.serve([listener]))
        self._sweeping = asyncio.create_task(self._sweep())
        while not self._uvicorn.started:
            if self._listening.done():
                self._listening.result()
                raise RunFailed("the HTTP listener ended at once")
            await asyncio.sleep(0)
        self._tell(listener)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._sweeping.cancel()
        self._uvicorn.should_exit = True
        forcing = asyncio.create_task(self._force())
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        forcing.cancel()
        for connection in list(self.edge.connections):
            connection.transport.abort()

    def _tell(self, listener: socket.socket) -> None:
        scheme = "http" if self.certificate is None else "https"
        url = f"{scheme}://{_authority(self._config.host, self.port)}"
        tenants = [tenant.name for tenant in self._serving.roster]
        log.info("listening", url=url, models=sorted(self._serving.models), tenants=tenants)
        if tenants and self.certificate is None and not _is_loopback(listener):
            log.warning(
                "keys cross the network in plain text", fix="set batcher.tls, or have a proxy speak it"
            )

    def stop(self) -> None:
        """Drain and end; the second call ends at once, however far the first has come."""
        if self._stop.is_set():
            self._stop_now.set()
            self._serving.hurry()
        self._stop.set()

    async def stopped(self) -> int:
        """Wait for ``stop()``, then drain. Returns how many accepted requests could not be answered."""
        await self._stop.wait()
        drain = asyncio.create_task(self._drain())
        at_once = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({drain, at_once}, return_when=asyncio.FIRST_COMPLETED)
        at_once.cancel()
        if not drain.done():
            drain.cancel()
            return self._serving.scheduler.in_flight
        return drain.result()

    async def _force(self) -> None:
        """Told to end at once: wait for callers to read their replies no longer."""
        await self._stop_now.wait()
        self._uvicorn.force_exit = True

    async def _drain(self) -> int:
        config = self._config
        self.edge.draining = True
        log.info("draining", in_flight=self._serving.scheduler.in_flight, limit_s=config.drain_timeout / 1e9)
        if (
            config.drain_delay
        ):  # without one, nothing is accepted after readiness has turned: not even for a turn
            await asyncio.sleep(config.drain_delay / 1e9)
        for listener in self._uvicorn.servers:
            listener.close()
        unanswered = await self._serving.drain(config.drain_timeout / 1e9)
        log.info("drained", unanswered=unanswered)
        return unanswered

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.edge.sweep()


async def serve(config: Config, record_file: Path | None = None, *, insecure: bool = False) -> int:
    """
    Serve until SIGTERM or SIGINT. Returns the exit code: 0 when every accepted request was answered.

    *record_file*: where to keep a record of what the core is told and what it decides.

    Raises LoadFailed, ConfigError, RunFailed when it cannot start, UsageError without such a file.
    """
    _raise_file_limit()
    starting = asyncio.create_task(_start_and_serve(config, record_file, insecure=insecure))
    _on_stop_signal(starting.cancel)
    try:
        return await starting
    except asyncio.CancelledError:
        return 0  # told to stop before it had accepted anything


async def _start_and_serve(config: Config, record_file: Path | None, *, insecure: bool) -> int:
    # The address first: that it is taken should not come out only after the models are loaded.
    with bind(config.batcher.host, config.port) as listener:
        check_exposure(listener, config, insecure=insecure)
        certificate = load_certificate(config)
        if certificate is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, certificate.renew)
        make_server = functools.partial(Server, listener=listener, certificate=certificate, insecure=insecure)
        if record_file is None:
            return await _serve(Serving(config), make_server)
        async with _recording(record_file, config) as make_scheduler:
            return await _serve(Serving(config, make_scheduler), make_server)


async def _serve(serving: Serving, make_server: Callable[[Serving], Server]) -> int:
    async with serving, make_server(serving) as server:
        _on_stop_signal(server.stop)
        unanswered = await server.stopped()
    return 1 if unanswered else 0


@contextlib.asynccontextmanager
async def _recording(path: Path, config: Config) -> AsyncIterator[Callable[..., Scheduler]]:
    """Makes the scheduler that keeps a record at *path*, whole once this ends."""
    from streambox.simulate.record import Facts, Record, RecordFile
    from streambox.simulate.recording import RecordingScheduler

    file = RecordFile(path)
    log.info("decisions are recorded", file=str(path))

    def make(clock: Clock, make_batcher: Callable[[Scheduler], Batcher], **options: Any) -> Scheduler:
        facts = Facts.of_this_build(config.batcher.class_, **options)
        return RecordingScheduler(clock, make_batcher, Record(file.write, facts), **options)

    flushing = asyncio.create_task(_flush_now_and_then(file))
    try:
        yield make
    finally:
        flushing.cancel()
        file.close()


async def _flush_now_and_then(file: RecordFile) -> None:
    """So that a quiet server that is killed leaves a record, too."""
    while True:
        await asyncio.sleep(_RECORD_FLUSH_S)
        file.flush()


def _on_stop_signal(callback: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, callback)


def load_certificate(config: Config) -> Certificate | None:
    """As configured; None: no TLS. Raises ConfigError."""
    tls = config.batcher.tls
    return None if tls is None else Certificate(tls, Path(config.folder))


def check_exposure(bound: socket.socket, config: Config, *, insecure: bool) -> None:
    """Raises ConfigError where callers from other machines could come in, and nobody asked who they are."""
    if not config.tenants and not insecure and not _is_loopback(bound):
        raise ConfigError(
            f"batcher.host: other machines can reach {config.batcher.host}, and without tenants anybody may "
            "ask: configure some (`streambox tenant key NAME`), listen on 127.0.0.1, or say --insecure"
        )


def _is_loopback(bound: socket.socket) -> bool:
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def bind(host: str, port: int) -> socket.socket:
    """A bound, not yet listening socket. Raises RunFailed, naming the address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:  # ValueError: no host name at all
        why = getattr(error, "strerror", None) or "not a host name"
        raise RunFailed(f"cannot listen on {host!r}: {why}: name an address of this machine") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _cannot_listen(host, port, error) from None
    return bound


def _listen(bound: socket.socket, host: str, port: int) -> None:
    """
    Raises RunFailed where another process has come first.

    One may bind the address beside us as long as neither listens, and uvloop says nothing of it.
    """
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None


def _cannot_listen(host: str, port: int, error: OSError) -> RunFailed:
    other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
    why = os.strerror(error.errno or 0)
    return RunFailed(f"cannot listen on {_authority(host, port)}: {why}: choose another {other}")


def _authority(host: str, port: int) -> str:
    """As a URL has it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _limits(config: BatcherSection) -> Limits:
    return Limits(
        json_body=config.json_body_limit,
        binary_body=config.binary_body_limit,
        header=config.header_limit,
        buffered=config.max_buffered_bytes,
        header_ns=config.header_timeout,
        body_ns=config.body_timeout,
        idle_ns=config.idle_timeout,
    )


def _raise_file_limit() -> None:
    """Every connection is a file: take what the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
