"""
One HTTP connection: the hot routes answered here, everything else by uvicorn.

A subclass of uvicorn's httptools protocol. This is the half that receives: parsing, limits,
what is hot and what is not. The half that replies is ``OrderedConnection``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httptools
import structlog

from streambox.errors import BadRequest, BuffersFull, SlowRequest, StreamBoxError
from streambox.server.exchange import HotRequest, Refusal
from streambox.server.head import body_too_large, check_head_size, head_too_large, origin_form
from streambox.server.ordered import BODY, HEAD, IDLE, PIPELINE, SHUT, OrderedConnection

if TYPE_CHECKING:
    import asyncio

    from streambox.server.edge import Edge
    from streambox.server.head import RequestHead

log = structlog.get_logger("streambox.server")

_FRAMING: Final = 8  # bytes of framing per byte of body, at most: a chunk of one byte takes six


class HotConnection(OrderedConnection):
    """Made by uvicorn per connection; *edge* is bound in by the server."""

    __slots__ = (
        "_head",
        "_known_length",
        "_known_start",
        "_last_head",
        "_messages",
        "_on_done",
        "_repeatable_body_bytes",
        "_wire_bytes",
    )

    def __init__(self, edge: Edge, *args: Any, **kwargs: Any) -> None:
        super().__init__(edge, *args, **kwargs)
        self._wire_bytes = 0  # of the message in progress, after its first segment
        self._head: RequestHead | None = None
        self._last_head: RequestHead | None = None
        self._messages = 0
        self._repeatable_body_bytes = 0
        self._known_start = b""
        self._known_length = -1
        self._on_done = self._answered  # one bound method for all requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.edge.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.edge.connections.discard(self)
        super().connection_lost(exc)
        del self._on_done  # it refers to us: freed now, not by some later cycle collection

    # ---- what comes in ---------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if len(data) == self._known_length and phase is IDLE and data.startswith(self._known_start):
            # Byte for byte the head of the request before, with all of its body: nothing new to parse.
            assert self._last_head is not None  # noqa: S101 - set with _known_start
            body = data[len(self._known_start) :]
            edge = self.edge
            edge.buffered_bytes += len(body)
            if edge.buffered_bytes <= edge.most_buffered_bytes:
                self._take(body, self._last_head, close=False)
                return
            edge.buffered_bytes -= len(body)  # refused on the usual way
        if phase is SHUT:
            return
        self._messages = 0
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._decline_upgrade(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if self._phase is not SHUT:
                self._refuse(_fit_to_show(error.__context__ or error), close=True)
        except httptools.HttpParserError as error:
            if self._phase is not SHUT:
                self._refuse(BadRequest(f"not a valid HTTP request: {_first_line(error)}"), close=True)
        if self._phase is IDLE:
            self._remember_start(data, whole=phase is IDLE)
        elif self._phase is not SHUT:
            self._bound_incomplete(len(data))

    def _remember_start(self, data: bytes, *, whole: bool) -> None:
        """
        Keep the bytes of a head that the next request may repeat.

        Clients on a connection send the same head over and over. One that the parser has
        accepted, of a kept-alive request with a content length, means the same again when
        the same bytes come again, so that request is taken without parsing it.
        """
        head = self._last_head
        body_bytes = self._repeatable_body_bytes
        alone = whole and self._messages == 1 and data.find(b"\r\n\r\n") + 4 + body_bytes == len(data)
        if alone and head is not None and body_bytes:
            self._known_start = data[: len(data) - body_bytes]
            self._known_length = len(data)
        else:
            self._known_length = -1

    # ---- the parser's callbacks ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        if self._phase is SHUT:
            return
        if self._exchanges and self._exchanges[-1].close:
            self._phase = SHUT  # sent behind what said that it is the last
            return
        self._messages += 1
        self._repeatable_body_bytes = 0
        self._head = None
        self._phase = HEAD
        self._wire_bytes = -1
        self._since_ns = self.edge.now_ns

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._phase is SHUT:
            return
        if self.parser.should_upgrade():
            return  # see _decline_upgrade
        self._phase = BODY
        self._since_ns = self.edge.now_ns
        if self.parser.get_method() != b"POST":
            self._begin_cold()
            return
        head = self._last_head
        if head is None or not head.matches(self.url, self.headers):
            head = self.edge.read_head(self.url, self.headers, head)
            if head is None:
                self._begin_cold()
                return
            self._last_head = head
        self._head = head
        if head.error is not None:
            self._refuse(head.error, close=True)
        elif head.expects_continue and not self._is_http_1_0():
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
        elif edge.buffered_bytes > edge.most_buffered_bytes:
            self._refuse(BuffersFull("the server's buffers are full: try again later"), close=True)

    def on_message_complete(self) -> None:
        if self._phase is not BODY:
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
        except Exception as error:  # noqa: BLE001 - a fault of ours is this request's alone
            self.edge.buffered_bytes -= len(body)
            self._head = head
            self._refuse(_fit_to_show(error), close=close)
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
                request.reply = b"".join((edge.head_200, b"%d\r\n" % len(body), extra, b"\r\n", body))
            except Exception as unfit:  # noqa: BLE001 - its batch-mates are still to be answered
                error = _fit_to_show(unfit)
        if error is not None:
            request.reply = self._error_reply(request.route, error, request.request_id, request.close)
        exchanges = self._exchanges
        if not exchanges or exchanges[0] is not request:
            return
        if len(exchanges) == 1 and not (self._flushing or request.close or self._continue_due):
            # Nothing before it, nothing behind it: what _flush would do, without its loop.
            exchanges.clear()
            assert request.reply is not None  # noqa: S101 - it has just been made
            self.transport.write(request.reply)
            self.edge.buffered_bytes -= request.body_bytes
            self._since_ns = self.edge.now_ns
            if self.flow.read_paused:
                self._resume_reading()
        else:
            self._flush()

    # ---- what we do not take ---------------------------------------------------------------------

    def _refuse(self, error: StreamBoxError, *, close: bool) -> None:
        """Answer without a request; with *close*, read nothing more from this connection."""
        head = self._head
        route = head.route if head is not None else self.edge.router.default(self.url or b"")
        if head is not None and head.tenant is not None:
            head.tenant.count_refusal(error)
        reply = self._error_reply(route, error, error.request_id, close)
        self._exchanges.append(Refusal(reply, close=close))
        if close:
            self._phase = SHUT
            self._discard_body()
        self._flush()
        self._bound_exchanges()

    def _bound_incomplete(self, received: int) -> None:
        """
        A message goes on beyond this segment, *received* bytes long: bound what of it is not body.

        The segment in which it began is not charged: what else came with it is not told apart.
        """
        if self._wire_bytes < 0:
            self._wire_bytes = 0
            return
        self._wire_bytes += received
        limits = self.edge.limits
        if self._phase is BODY and self._head is None:
            if self._wire_bytes > limits.json_body:
                self._give_up(body_too_large(limits.json_body))
        elif self._wire_bytes > limits.header + _FRAMING * len(self._body):
            self._give_up(head_too_large(limits.header))

    def _give_up(self, error: StreamBoxError) -> None:
        """Read the message in progress no further."""
        if self._phase is BODY and self._head is None:
            self._close_after_last()  # a cold route replies without waiting for a body
        else:
            self._refuse(error, close=True)

    def check_timeouts(self, now_ns: int) -> None:
        """Called about once a second: end what takes too long."""
        age_ns = now_ns - self._since_ns
        limits = self.edge.limits
        if self._phase is SHUT:
            self._check_end(age_ns)
        elif self.flow.write_paused:
            if age_ns > limits.body_ns:
                self.transport.abort()  # it does not read its replies
        elif self.flow.read_paused:
            return  # we keep it waiting, not it us
        elif self._phase is HEAD and age_ns > limits.header_ns:
            self._give_up(SlowRequest("the request's head did not arrive in time: send it at once"))
        elif self._phase is BODY and age_ns > limits.body_ns:
            self._give_up(SlowRequest("the request's body did not arrive in time: send it at once"))
        elif self._phase is IDLE and not self._exchanges and age_ns > limits.idle_ns:
            self._close_after_last()

    # ---- everything else, by uvicorn -------------------------------------------------------------

    def _begin_cold(self) -> None:
        """Hand the request that has begun to uvicorn, as if its own callbacks had read the head."""
        url, headers = origin_form(self.url), self.headers
        try:
            check_head_size(url, headers, self.edge.limits.header)
        except StreamBoxError as error:
            self._refuse(error, close=True)
            return
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = (b"expect", b"100-continue") in [(n, v.lower()) for n, v in headers]
        self.cycle = None  # type: ignore[assignment]  # the order of replies is kept here, not in its pipeline
        super().on_headers_complete()

    def _decline_upgrade(self, rest: memoryview) -> None:
        """
        Read on as if no other protocol had been proposed (RFC 9110, 7.8): *rest* follows the head.

        The parser takes the proposal for a fact and skips the body, so a new one reads the head
        again, without it. Raises HttpParserError.
        """
        while self._phase is not SHUT:
            method = self.parser.get_method()
            if method == b"CONNECT":
                self._refuse(BadRequest("not a valid HTTP request: this is no proxy"), close=True)
                return
            version = self.parser.get_http_version().encode()
            lines = [b"%b %b HTTP/%b\r\n" % (method, self.url, version)]
            lines += [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(b"".join(lines) + b"\r\n")
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]

    def _is_http_1_0(self) -> bool:
        return bool(self.parser.get_http_version() == "1.0")


def _fit_to_show(error: BaseException) -> StreamBoxError:
    """*error* as its caller may see it; what nobody foresaw goes to the log."""
    if isinstance(error, StreamBoxError):
        return error
    log.error("request failed", exc_info=error)
    return StreamBoxError("the server failed on this request")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
