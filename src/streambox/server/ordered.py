"""
What a connection owes replies for, in the order in which the requests came, until it ends.

Below the parsing: see ``HotConnection``. Replies leave in order whether we or uvicorn make
them. Up to ``PIPELINE`` hot requests of one connection are in the system at a time; those
parsed beyond that wait their turn and reading pauses, so that what one connection holds is
bounded and its end (the caller has gone) stays visible.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streambox.errors import StreamBoxError
from streambox.server.exchange import ColdExchange, Exchange, HotRequest

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from streambox.server.edge import Edge
    from streambox.server.routes import Route

PIPELINE: Final = 16
_LINGER_NS: Final = 2_000_000_000


class Phase(enum.IntEnum):
    """What the connection is in the middle of receiving."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    SHUT = 3  # nothing more is read: an error reply is on its way out


IDLE, HEAD, BODY, SHUT = Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.SHUT


class OrderedConnection(HttpToolsProtocol):
    """
    The replies of one connection. ``_since_ns`` is when what it is in the middle of began.

    A subclass appends to ``_exchanges`` what it has parsed.

    Slots, for what is touched at every request: an object with as many attributes as this
    one and its base has a dictionary too large to be read by position, and is 6 % slower.
    """

    __slots__ = (
        "_body",
        "_continue_due",
        "_exchanges",
        "_flushing",
        "_in_system",
        "_lingering",
        "_phase",
        "_since_ns",
        "_unsubmitted",
        "edge",
        "flow",  # as its base has it, as are these
        "headers",
        "parser",
        "transport",
        "url",
    )

    def __init__(self, edge: Edge, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edge = edge
        self._exchanges: deque[Exchange] = deque()
        self._unsubmitted: deque[HotRequest] = deque()
        self._in_system = 0
        self._phase = IDLE
        self._since_ns = edge.now_ns
        self._body: bytes | bytearray = b""
        self._continue_due = False
        self._flushing = False
        self._lingering = False

    # ---- the transport's callbacks ---------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone: what it still waits for is cancelled and, if queued, never runs."""
        edge = self.edge
        exchanges, self._exchanges = self._exchanges, deque()
        self._unsubmitted.clear()
        self._phase = SHUT
        self._discard_body()
        for exchange in exchanges:
            if isinstance(exchange, ColdExchange):
                exchange.cycle.disconnected = True
                exchange.cycle.message_event.set()
                continue
            edge.buffered_bytes -= exchange.body_bytes
            if isinstance(exchange, HotRequest) and exchange.counters is not None:
                edge.scheduler.cancel(exchange)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The caller does not read its replies: take no more requests from it."""
        super().pause_writing()
        self._since_ns = self.edge.now_ns
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._since_ns = self.edge.now_ns
        self._submit_waiting()
        self._flush()

    # ---- hot requests ----------------------------------------------------------------------------

    def _submit(self, request: HotRequest) -> None:
        self._in_system += 1
        try:
            self.edge.scheduler.submit(request)
        except StreamBoxError as error:
            self._in_system -= 1
            request.reply = self._error_reply(request.route, error, request.request_id, request.close)
            # Its frames refer to it in turn: thousands of refusals a second would wait for a cycle
            # collection, which then stops everybody for tens of milliseconds.
            error.__traceback__ = None

    def _submit_waiting(self) -> None:
        waiting = self._unsubmitted
        while waiting and self._in_system < PIPELINE and not self.flow.write_paused:
            self._submit(waiting.popleft())

    def _error_reply(self, route: Route, error: StreamBoxError, request_id: str | None, close: bool) -> bytes:
        return self.edge.error_reply(route, error, request_id, close=close)

    # ---- replies, in order -----------------------------------------------------------------------

    def _flush(self) -> None:
        """
        Write every reply whose turn has come, then let waiting requests in.

        What ends while this runs (a refusal, a row that fails at once) leaves its
        reply for the loop here, so that nothing recurses.
        """
        if self._flushing:
            return
        self._flushing = True
        exchanges = self._exchanges
        while exchanges and exchanges[0].reply is not None:
            self._write_first()
            if self._unsubmitted:
                self._submit_waiting()
        self._flushing = False
        if not exchanges:
            self._since_ns = self.edge.now_ns
            if self._continue_due:
                self._send_continue()
        elif type(exchanges[0]) is ColdExchange and not exchanges[0].started:
            self._begin(exchanges[0])
        if self.flow.read_paused:
            self._resume_reading()

    def _write_first(self) -> None:
        exchange = self._exchanges.popleft()
        assert exchange.reply is not None  # noqa: S101 - the caller has just seen it
        self.transport.write(exchange.reply)
        self.edge.buffered_bytes -= exchange.body_bytes
        if exchange.close:
            self._finish()

    def _send_continue(self) -> None:
        """Ask for the body, once everything before it is answered."""
        if not self._exchanges:
            self._continue_due = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _resume_reading(self) -> None:
        if not self._unsubmitted and not self.flow.write_paused and len(self._exchanges) <= PIPELINE:
            self._since_ns = self.edge.now_ns
            self.flow.resume_reading()

    def _bound_exchanges(self) -> None:
        """Refusals and cold requests wait for their turn, too: not without end."""
        if len(self._exchanges) > PIPELINE:
            self.flow.pause_reading()

    # ---- replies by uvicorn ----------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        exchange = ColdExchange(cycle, app)
        self._exchanges.append(exchange)
        if self._exchanges[0] is exchange:
            self._begin(exchange)
        self._bound_exchanges()

    def _begin(self, exchange: ColdExchange) -> None:
        exchange.started = True
        super()._start_asgi_task(exchange.cycle, exchange.app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        exchanges = self._exchanges
        if exchanges and type(exchanges[0]) is ColdExchange and exchanges[0].started:
            exchanges.popleft()
        if not self.transport.is_closing():
            self._flush()

    # ---- the end ---------------------------------------------------------------------------------

    def _finish(self) -> None:
        """The last reply is written. Requests behind it were sent in vain (RFC 9112, 9.6)."""
        edge = self.edge
        for exchange in self._exchanges:
            if isinstance(exchange, HotRequest):
                edge.buffered_bytes -= exchange.body_bytes
                if exchange.counters is not None:
                    edge.scheduler.cancel(exchange)
        self._exchanges.clear()
        self._unsubmitted.clear()
        self._discard_body()
        linger = self._phase is SHUT
        self._phase = SHUT
        self._since_ns = edge.now_ns
        if linger:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """
        Say that we are done, swallow what still comes for a moment, then close.

        Closing with unread input would reset the connection and lose the reply on its way.
        """
        self._lingering = True
        if not self.transport.is_closing():
            if self.transport.can_write_eof():  # TLS cannot: its caller hears of it when we close
                self.transport.write_eof()
            self.flow.resume_reading()

    def _close_after_last(self) -> None:
        incomplete = self._phase is not IDLE
        self._phase = SHUT
        self._since_ns = self.edge.now_ns
        last = self._exchanges[-1] if self._exchanges else None
        if last is not None:
            last.close = True
            if isinstance(last, ColdExchange):
                last.cycle.keep_alive = False
        elif incomplete:
            self._linger()
        else:
            self.transport.close()

    def _check_end(self, age_ns: int) -> None:
        """All is answered and the connection is to end; its caller may not read, or not let go."""
        if self._exchanges:
            return
        if age_ns > max(self.edge.limits.body_ns, _LINGER_NS):
            self.transport.abort()
        elif self._lingering and age_ns > _LINGER_NS and not self.transport.get_write_buffer_size():
            self.transport.close()

    def shutdown(self) -> None:
        """The server stops: close after the replies that are owed; at once, where none are."""
        if self._exchanges:
            self._close_after_last()
        else:
            self._phase = SHUT
            self.transport.close()

    def _discard_body(self) -> None:
        self.edge.buffered_bytes -= len(self._body)
        self._body = b""
