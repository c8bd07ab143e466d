"""
One HTTP connection: the hot routes answered here, everything else by uvicorn.

A subclass of uvicorn's httptools protocol. Replies leave in the order in which their
requests came. Up to ``PIPELINE`` hot requests of one connection are in the system at a
time; those parsed beyond that wait their turn and reading pauses, so that what one
connection holds is bounded and its end (the caller has gone) stays visible.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streambox.errors import BadRequest, BuffersFull, HeadersTooLarge, SlowRequest, StreamBoxError
from streambox.server.exchange import ColdExchange, Exchange, HotRequest, Refusal
from streambox.server.head import body_too_large

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from streambox.server.edge import Edge
    from streambox.server.head import RequestHead
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


class HotConnection(HttpToolsProtocol):
    """Made by uvicorn per connection; *edge* is bound in by the server."""

    def __init__(self, edge: Edge, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edge = edge
        self._exchanges: deque[Exchange] = deque()
        self._unsubmitted: deque[HotRequest] = deque()
        self._in_system = 0
        self._phase = IDLE
        self._since_ns = edge.now_ns
        self._head_bytes = 0
        self._head: RequestHead | None = None
        self._last_head: RequestHead | None = None
        self._body: bytes | bytearray = b""
        self._continue_due = False
        self._messages = 0
        self._repeatable_body_bytes = 0
        self._known_start = b""
        self._known_length = -1
        self._flushing = False
        self._lingering = False
        self._on_done = self._answered  # one bound method for all requests

    # ---- the transport's callbacks ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.edge.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone: what it still waits for is cancelled and, if queued, never runs."""
        edge = self.edge
        edge.connections.discard(self)
        exchanges, self._exchanges = self._exchanges, deque()
        self._unsubmitted.clear()
        self._phase = SHUT
        edge.buffered_bytes -= len(self._body)
        self._body = b""
        for exchange in exchanges:
            if isinstance(exchange, ColdExchange):
                exchange.cycle.disconnected = True
                exchange.cycle.message_event.set()
                continue
            edge.buffered_bytes -= exchange.body_bytes
            if isinstance(exchange, HotRequest) and exchange.counters is not None:
                edge.scheduler.cancel(exchange)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if len(data) == self._known_length and phase is IDLE and data.startswith(self._known_start):
            # Byte for byte the head of the request before, with all of its body: nothing new to parse.
            assert self._last_head is not None  # noqa: S101 - set with _known_start
            body = data[len(self._known_start) :]
            self.edge.buffered_bytes += len(body)
            self._take(body, self._last_head, close=False)
            return
        if phase is SHUT:
            return
        self._messages = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close_after_last()  # no other protocol is spoken here; what came first is still answered
        except httptools.HttpParserError as error:
            if self._phase is not SHUT:
                self._refuse(BadRequest(f"not a valid HTTP request: {_first_line(error)}"), close=True)
        if self._phase is IDLE:
            self._remember_start(data, whole=phase is IDLE)
        elif self._phase is HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > self.edge.limits.header:
                limit = self.edge.limits.header
                self._refuse(
                    HeadersTooLarge(f"the request's head exceeds {limit} bytes: send shorter headers"),
                    close=True,
                )

    def _remember_start(self, data: bytes, *, whole: bool) -> None:
        """
        Keep the bytes of a head that the next request may repeat.

        Clients on a connection send the same head over and over. One that the parser has
        accepted, of a kept-alive request with a content length, means the same again when
        the same bytes come again, so that request is taken without parsing it.
        """
        head = self._last_head
        body_bytes = self._repeatable_body_bytes
        if whole and self._messages == 1 and head is not None and body_bytes:
            self._known_start = data[: len(data) - body_bytes]
            self._known_length = len(data)
        else:
            self._known_length = -1

    def pause_writing(self) -> None:
        """The caller does not read its replies: take no more requests from it."""
        super().pause_writing()
        self._since_ns = self.edge.now_ns
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._since_ns = self.edge.now_ns
        self._submit_waiting()
        self._resume_reading()

    # ---- the parser's callbacks ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._phase is SHUT:
            return
        self._messages += 1
        self._repeatable_body_bytes = 0
        self.url = b""
        self.headers = []
        self._head = None
        self._phase = HEAD
        self._head_bytes = 0
        self._since_ns = self.edge.now_ns

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._phase is SHUT:
            return
        self._phase = BODY
        self._since_ns = self.edge.now_ns
        if self.parser.get_method() != b"POST":
            self._begin_cold()
            return
        head = self._last_head
        if head is None or not head.matches(self.url, self.headers):
            head = self.edge.read_head(self.url, self.headers)
            if head is None:
                self._begin_cold()
                return
            self._last_head = head
        self._head = head
        if head.error is not None:
            self._refuse(head.error, close=True)
        elif head.expects_continue:
            self._continue_due = True
            self._send_continue()

    def on_body(self, body: bytes) -> None:
        head = self._head
        if self._phase is SHUT:
            return
        if head is None:
            super().on_body(body)
            return
        if not self._body:
            self._body = body  # the usual case: all of it in one piece, not copied
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += body
        edge = self.edge
        edge.buffered_bytes += len(body)
        if len(self._body) > head.body_limit:
            self._refuse(body_too_large(head.body_limit), close=True)
        elif edge.buffered_bytes > edge.limits.buffered:
            self._refuse(BuffersFull("the server's buffers are full: try again later"), close=True)

    def on_message_complete(self) -> None:
        if self._phase is SHUT:
            return
        self._phase = IDLE
        head = self._head
        if head is None:
            super().on_message_complete()
            return
        body, self._body = self._body, b""
        self._continue_due = False
        close = not self.parser.should_keep_alive() or (head.names_connection and self._is_http_1_0())
        if not close and head.has_length and not head.expects_continue:
            self._repeatable_body_bytes = len(body)
        self._take(body, head, close=close)

    # ---- hot requests ----------------------------------------------------------------------------

    def _take(self, body: bytes | bytearray, head: RequestHead, *, close: bool) -> None:
        """A whole hot request has come: decode it, and submit it or let it wait its turn."""
        try:
            request = head.route.decode(body, head, self._on_done)
        except StreamBoxError as error:
            self.edge.buffered_bytes -= len(body)
            self._head = head
            self._refuse(error, close=close)
            return
        request.route = head.route
        request.reply = None
        request.close = close
        request.body_bytes = len(body)
        self._exchanges.append(request)
        if self._in_system < PIPELINE and not self._unsubmitted and not self.flow.write_paused:
            self._submit(request)
            if request.reply is not None:
                self._flush()
        else:
            self._unsubmitted.append(request)
            self.flow.pause_reading()

    def _submit(self, request: HotRequest) -> None:
        self._in_system += 1
        try:
            self.edge.scheduler.submit(request)
        except StreamBoxError as error:
            self._in_system -= 1
            request.reply = self._error_reply(request.route, error, request.request_id, request.close)

    def _answered(self, request: HotRequest) -> None:
        """The request has ended: render its reply, and write it when its turn has come."""
        self._in_system -= 1
        error = request.error
        if error is None:
            try:
                body, extra = request.route.render(request)
                edge = self.edge
                edge.answered += 1
                if request.close:
                    extra += b"connection: close\r\n"
                request.reply = b"%b%d\r\n%b\r\n%b" % (edge.head_200, len(body), extra, body)
            except StreamBoxError as unfit:
                error = unfit
        if error is not None:
            request.reply = self._error_reply(request.route, error, request.request_id, request.close)
        exchanges = self._exchanges
        if exchanges and exchanges[0] is request:
            self._flush()

    def _submit_waiting(self) -> None:
        waiting = self._unsubmitted
        while waiting and self._in_system < PIPELINE and not self.flow.write_paused:
            self._submit(waiting.popleft())

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
        was_reading = self._phase is SHUT
        self._phase = SHUT
        self._since_ns = edge.now_ns
        if was_reading and self.transport.can_write_eof():
            # Closing with unread input would reset the connection and lose the reply on its way:
            # say that we are done, swallow what still comes for a moment, then close.
            self._lingering = True
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()

    def _refuse(self, error: StreamBoxError, *, close: bool) -> None:
        """Answer without a request; with *close*, read nothing more from this connection."""
        route = self._head.route if self._head is not None else self.edge.router.default(self.url or b"")
        request_id = getattr(error, "request_id", "")
        self._exchanges.append(Refusal(self._error_reply(route, error, request_id, close), close=close))
        if close:
            self._phase = SHUT
            self._discard_body()
        self._flush()

    def _error_reply(self, route: Route, error: StreamBoxError, request_id: str, close: bool) -> bytes:
        return self.edge.error_reply(route, error, request_id, close=close)

    def _discard_body(self) -> None:
        self.edge.buffered_bytes -= len(self._body)
        self._body = b""

    def _send_continue(self) -> None:
        """Ask for the body, once everything before it is answered."""
        if not self._exchanges:
            self._continue_due = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _resume_reading(self) -> None:
        if not self._unsubmitted and not self.flow.write_paused:
            self._since_ns = self.edge.now_ns
            self.flow.resume_reading()

    def _close_after_last(self) -> None:
        self._phase = SHUT
        if self._exchanges:
            self._exchanges[-1].close = True
        else:
            self.transport.close()

    def _is_http_1_0(self) -> bool:
        return bool(self.parser.get_http_version() == "1.0")

    # ---- everything else, by uvicorn -------------------------------------------------------------

    def _begin_cold(self) -> None:
        """Hand the request that has begun to uvicorn, as if its own callbacks had read the head."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = (b"expect", b"100-continue") in [(n, v.lower()) for n, v in headers]
        self.cycle = None  # type: ignore[assignment]  # the order of replies is kept here, not in its pipeline
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        exchange = ColdExchange(cycle, app)
        self._exchanges.append(exchange)
        if self._exchanges[0] is exchange:
            self._begin(exchange)
        else:
            self.flow.pause_reading()

    def _begin(self, exchange: ColdExchange) -> None:
        exchange.started = True
        if exchange.close:
            exchange.cycle.keep_alive = False
        super()._start_asgi_task(exchange.cycle, exchange.app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        exchanges = self._exchanges
        if exchanges and type(exchanges[0]) is ColdExchange and exchanges[0].started:
            exchanges.popleft()
        if not self.transport.is_closing():
            self._flush()

    # ---- the server's calls ----------------------------------------------------------------------

    def check_timeouts(self, now_ns: int) -> None:
        """Called about once a second: end what takes too long."""
        age_ns = now_ns - self._since_ns
        limits = self.edge.limits
        if self._phase is SHUT:
            if self._lingering and age_ns > _LINGER_NS:
                self.transport.close()
        elif self.flow.write_paused:
            if age_ns > limits.body_ns:
                self.transport.abort()  # it does not read its replies
        elif self.flow.read_paused:
            return  # we keep it waiting, not it us
        elif self._phase is HEAD and age_ns > limits.header_ns:
            self._refuse(
                SlowRequest("the request's head did not arrive in time: send it at once"), close=True
            )
        elif self._phase is BODY and age_ns > limits.body_ns:
            self._refuse(
                SlowRequest("the request's body did not arrive in time: send it at once"), close=True
            )
        elif not self._exchanges and age_ns > limits.idle_ns:
            self.transport.close()

    def shutdown(self) -> None:
        """The server stops: close at once, or after the replies that are owed."""
        self._close_after_last()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
