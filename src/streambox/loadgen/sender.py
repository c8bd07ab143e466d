"""Getting requests out and responses in: a pool of connections, no task and no future per request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from streambox.errors import RunFailed
from streambox.loadgen.connection import IDLE, ClientConnection, Framing
from streambox.loadgen.failure import advice, reason
from streambox.loadgen.gauge import Gauge
from streambox.loadgen.record import BAD_RESPONSE, CONNECT_FAILED, INTERRUPTED, RESET, TIMEOUT, UNSENT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from streambox.loadgen.check import Checker
    from streambox.loadgen.payload import Target
    from streambox.loadgen.record import Recorder
    from streambox.loadgen.repertoire import Repertoire

_SWEEP_S: Final = 0.005  # so often that one sweep has little to clear: at 30,000/s 150 ended requests
_CHECKS_AT_ONCE: Final = 16
_SLACK_NS: Final = 200_000  # checks are put off when the next request is due sooner
_MOST_UNCHECKED: Final = 8192
_LARGE_BYTES: Final = 32 * 1024  # a response beyond that is not put by to be checked
_MOST_HEADS: Final = 256
_NEVER_NS: Final = 1 << 62
_RETRY_S: Final = 0.05  # before a caller of a closed loop tries to connect again


class Sender:
    """
    Sends request *index* on an idle connection at once; opens more, up to *limit*, when
    none is idle; beyond that a request waits for one, and its lag shows it, or is given up
    as unsent after *give_up_after_ns*. *watched*: what the gauges show will be looked at.

    ``on_due()``, where it is set, is called between two responses when the instant
    ``next_due_ns`` has come: a send need not wait for all the responses that came at once.
    ``on_ended()``, where it is set, is called once for every request that has ended; not while
    closing, and ``_RETRY_S`` late for one that could not be connected.
    """

    def __init__(
        self,
        target: Target,
        repertoire: Repertoire,
        recorder: Recorder,
        checker: Checker,
        *,
        limit: int,
        timeout_ns: int,
        give_up_after_ns: int | None = None,
        tls: ssl.SSLContext | None = None,
        watched: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._target = target
        self._tls = tls
        self._repertoire = repertoire
        self._recorder = recorder
        self._checker = checker
        self._limit = limit
        self._timeout_ns = timeout_ns
        self._give_up_after_ns = _NEVER_NS if give_up_after_ns is None else give_up_after_ns
        self._connections: set[ClientConnection] = set()
        self._idle: list[ClientConnection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[int] = deque()
        self._sent_order: deque[tuple[int, int, ClientConnection]] = deque()
        self._unchecked: deque[tuple[int, int, bytes]] = deque()
        self._checking = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False
        self._watched = watched
        self._busy = 0
        self._addresses: list[Any] = []
        self.heads: dict[bytes, Framing] = {}
        self.incoming_bytes = 0  # of responses that are not whole yet
        self.responses = Gauge()
        self.lags = Gauge()
        self.next_due_ns = _NEVER_NS
        self.on_due: Callable[[], object] | None = None
        self.on_ended: Callable[[], None] | None = None
        self.start_ns = 0

    # ---- life ------------------------------------------------------------------------------------

    async def connect(self, count: int) -> None:
        """Open *count* connections beforehand. Raises RunFailed, naming the target, when none can be."""
        results = await asyncio.gather(*(self._open() for _ in range(count)), return_exceptions=True)
        failure = next((result for result in results if isinstance(result, OSError | UnicodeError)), None)
        if not self._connections:
            raise RunFailed(f"cannot connect to {self._target.url}: {reason(failure)}{advice(failure)}")

    def start(self, start_ns: int) -> None:
        """The run begins: instants count from *start_ns* of the monotonic clock."""
        self.start_ns = start_ns
        self._sweep()

    async def close(self) -> None:
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._connections):
            if connection.index != IDLE:
                self._recorder.on_end(connection.index, INTERRUPTED)
            connection.transport.abort()
        while self._unchecked:
            self._check_one()

    @property
    def in_flight(self) -> int:
        """Requests sent, or waiting for a connection, that have not ended."""
        return len(self._waiting) + self._busy

    @property
    def quiet(self) -> bool:
        """Nothing is on its way, waiting, or still to be checked."""
        return not self.in_flight and not self._unchecked

    @property
    def connections(self) -> int:
        return len(self._connections)

    def give_up_waiting(self) -> list[int]:
        """What still waits for a connection stays unsent; returns which requests that is."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    # ---- sending ---------------------------------------------------------------------------------

    def send(self, index: int, now_ns: int) -> int:
        """Send request *index*, now or as soon as there is a connection for it; returns the instant after."""
        self._recorder.on_dispatched(index, now_ns)
        idle = self._idle
        if idle:
            return self._send_on(idle.pop(), index)
        self._waiting.append(index)
        self._open_more()
        return time.monotonic_ns() - self.start_ns

    def _send_on(self, connection: ClientConnection, index: int) -> int:
        connection.send(index, self._repertoire.request(index))
        self._busy += 1
        now_ns = time.monotonic_ns() - self.start_ns
        self._recorder.on_sent(index, now_ns)
        if self._watched:
            self.lags.add(now_ns - self._recorder.intended_ns[index])
        self._sent_order.append((now_ns, index, connection))
        return now_ns

    def _open_more(self) -> None:
        room = self._limit - len(self._connections) - len(self._opening)
        for _ in range(min(room, len(self._waiting) - len(self._opening))):
            task = self._loop.create_task(self._open_for_waiting())
            self._opening.add(task)
            task.add_done_callback(self._on_opened)

    def _on_opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self._waiting and not self._closing:  # it failed, or came too late for its request
            self._open_more()

    async def _open(self) -> ClientConnection:
        async with asyncio.timeout(self._timeout_ns / 1e9):
            connected = await self._connected()
            tls = self._tls
            _, connection = await self._loop.create_connection(
                lambda: ClientConnection(self, None if tls else connected),
                sock=connected,
                ssl=tls,
                server_hostname=self._target.host if tls else None,
            )
        self._connections.add(connection)
        if not self.start_ns:
            self._idle.append(connection)
        return connection

    async def _connected(self) -> socket.socket:
        """A socket connected to the first of the target's addresses that accepts. Raises OSError."""
        if self._target.unix:
            return await self._opened(socket.AF_UNIX, socket.SOCK_STREAM, 0, self._target.unix)
        if not self._addresses:
            target = self._target
            self._addresses = await self._loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        *others, last = self._addresses
        for family, kind, protocol, _, address in others:
            with contextlib.suppress(OSError):
                return await self._opened(family, kind, protocol, address)
        family, kind, protocol, _, address = last
        return await self._opened(family, kind, protocol, address)

    async def _opened(self, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setblocking(False)
            if family != socket.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(opened, address)
        except BaseException:
            opened.close()
            raise
        return opened

    async def _open_for_waiting(self) -> None:
        try:
            connection = await self._open()
        except OSError as error:
            if self._waiting:
                self._recorder.on_end(self._waiting.popleft(), f"{CONNECT_FAILED}: {reason(error)}")
                if self.on_ended is not None:
                    self._loop.call_later(_RETRY_S, self.on_ended)
        else:
            self._free(connection)

    def _free(self, connection: ClientConnection) -> None:
        if self._waiting:
            self._send_on(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    # ---- called by the connections ---------------------------------------------------------------

    def on_response(
        self, connection: ClientConnection, status: int, body: bytes, keep_alive: bool, done_ns: int
    ) -> None:
        """A whole response has come, at *done_ns* of the monotonic clock."""
        index = connection.index
        if index == IDLE:
            self.on_garbage(connection)  # nobody asked
            return
        now_ns = done_ns - self.start_ns
        self._recorder.on_response(index, connection.first_byte_ns - self.start_ns, now_ns, status)
        if self._watched:
            self.responses.add(now_ns - self._recorder.intended_ns[index])
        if self._checker.cheap or len(body) > _LARGE_BYTES:
            self._checker.check(index, status, body)
        else:
            self._put_off(index, status, body)
        connection.index = IDLE
        self._busy -= 1
        if keep_alive:
            self._free(connection)
        else:
            self._drop(connection)
            connection.transport.close()
            if self._waiting:
                self._open_more()
        if self.on_ended is not None:
            self.on_ended()
        elif self.on_due is not None and time.monotonic_ns() - self.start_ns >= self.next_due_ns:
            self.on_due()

    def learn(self, head: bytes, framing: Framing) -> None:
        if len(self.heads) == _MOST_HEADS:  # a date in it changes every second
            self.heads.clear()
        self.heads[head] = framing

    def on_garbage(self, connection: ClientConnection) -> None:
        """What came is no HTTP response, or none that was asked for."""
        self._end_early(connection, BAD_RESPONSE)

    def on_lost(self, connection: ClientConnection) -> None:
        self._end_early(connection, RESET)
        if self._waiting and not self._closing:
            self._open_more()

    def _end_early(self, connection: ClientConnection, kind: str) -> None:
        index, connection.index = connection.index, IDLE
        self._drop(connection)
        connection.transport.abort()
        if index == IDLE:
            return
        self._busy -= 1
        if not self._closing:
            self._recorder.on_end(index, kind)
            if self.on_ended is not None:
                self._loop.call_soon(self.on_ended)

    def _drop(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    # ---- in slack time ---------------------------------------------------------------------------

    def _put_off(self, index: int, status: int, body: bytes) -> None:
        """
        The check of a response: other responses may have come, too, and their turn is now.

        It is made after the next sending, or sweep: a turn of the loop for it alone would cost more than it.
        """
        self._unchecked.append((index, status, body))
        if len(self._unchecked) > _MOST_UNCHECKED:
            self._check_one()

    def check_in_slack(self, now_ns: int) -> None:
        """A few checks, unless a request is due soon; then, if there are more, a few more."""
        if not self._unchecked or self._checking or now_ns + _SLACK_NS > self.next_due_ns:
            return
        for _ in range(min(_CHECKS_AT_ONCE, len(self._unchecked))):
            self._check_one()
        if self._unchecked:
            self._checking = True
            self._loop.call_soon(self._go_on_checking)

    def _go_on_checking(self) -> None:
        self._checking = False
        self.check_in_slack(time.monotonic_ns() - self.start_ns)

    def _check_one(self) -> None:
        self._checker.check(*self._unchecked.popleft())

    def _sweep(self) -> None:
        """End what was sent longer ago than the time-out, or has waited for a connection for too long."""
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        now_ns = time.monotonic_ns() - self.start_ns
        waiting, dispatched_ns = self._waiting, self._recorder.dispatched_ns
        while waiting and now_ns - dispatched_ns[waiting[0]] > self._give_up_after_ns:
            self._recorder.on_end(waiting.popleft(), UNSENT)
            if self.on_ended is not None:
                self._loop.call_soon(self.on_ended)
        oldest_ns = now_ns - self._timeout_ns
        order = self._sent_order
        while order and (order[0][2].index != order[0][1] or order[0][0] <= oldest_ns):
            _, index, connection = order.popleft()
            if connection.index == index:
                self._end_early(connection, TIMEOUT)
                self._open_more()
        self.check_in_slack(now_ns)
