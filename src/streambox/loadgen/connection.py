"""One client connection: one request at a time, its response parsed as it comes."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import httptools

if TYPE_CHECKING:
    import socket

    from streambox.loadgen.sender import Sender

MOST_BODY_BYTES: Final = 64 * 1024 * 1024
MOST_BODIES_BYTES: Final = 512 * 1024 * 1024  # of all responses that are coming in
IDLE: Final = -1
_FRAMED: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding) *:", re.IGNORECASE)


class Framing(NamedTuple):
    """What a response's head says."""

    status: int
    length: int
    keep_alive: bool


class ClientConnection(asyncio.Protocol):
    """
    Carries request ``index``, or is ``IDLE``.

    *connected* is written to past the transport; None: it must not be, as over TLS. The parser
    calls ``on_body`` and ``on_message_complete``; it has no use for headers, and not asking
    for them halves its cost.
    """

    __slots__ = (
        "_body",
        "_chunk",
        "_counted_bytes",
        "_parser",
        "_partial",
        "_sender",
        "_socket",
        "first_byte_ns",
        "index",
        "transport",
    )

    def __init__(self, sender: Sender, connected: socket.socket | None) -> None:
        self._sender = sender
        self._socket = connected
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body: bytes | bytearray = b""
        self._counted_bytes = 0  # of the body, in what all connections hold
        self._chunk = b""  # what the response that is coming in began with
        self._partial = False
        self.index = IDLE
        self.first_byte_ns = 0  # of the response that is coming in, by the monotonic clock
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_body()
        self._parser = None  # it refers to us: nobody would find the two while the collector rests
        self._sender.on_lost(self)
        # It refers to us, as the transport does: while a run goes on nothing collects such circles.
        del self._parser

    def eof_received(self) -> None:
        """The end of the connection is that of a response whose head tells no other."""
        if self._partial and self.index != IDLE and _ends_with_connection(self._chunk):
            self._chunk = b""  # nothing to be learned: the next one may be longer
            self.on_message_complete()

    def send(self, index: int, request: bytes) -> None:
        self.index = index
        self._body = b""
        # Its buffer is not empty where a server answered before it had read all of the last request.
        if self._socket is None or self.transport.get_write_buffer_size():
            self.transport.write(request)
            return
        # uvloop's transport would write only after all else that is ready in this turn of the loop.
        try:
            written = self._socket.send(request)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # the transport learns of it as well, and reports the loss
        if written < len(request):
            self.transport.write(request[written:])

    def data_received(self, data: bytes) -> None:
        """
        A response whose head is, byte for byte, one seen before is taken apart without the parser:
        the same head frames the same length. Not so where a response is still coming in.
        """
        if not self._partial:
            self.first_byte_ns = time.monotonic_ns()
            end = data.find(b"\r\n\r\n") + 4
            framing = self._sender.heads.get(data[:end])
            if framing is not None and len(data) == end + framing.length:
                self._sender.on_response(
                    self, framing.status, data[end:], framing.keep_alive, self.first_byte_ns
                )
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if not self._partial:
            self._partial, self._chunk = True, data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._sender.on_garbage(self)

    def on_body(self, body: bytes) -> None:
        if not self._body:
            self._body = body
            return
        if type(self._body) is bytes:
            self._body = bytearray(self._body)
        self._body += body
        sender = self._sender
        sender.incoming_bytes += len(body)
        self._counted_bytes += len(body)
        if len(self._body) > MOST_BODY_BYTES or sender.incoming_bytes > MOST_BODIES_BYTES:
            self._drop_body()
            sender.on_garbage(self)

    def _drop_body(self) -> None:
        self._sender.incoming_bytes -= self._counted_bytes
        self._counted_bytes, self._body = 0, b""

    def on_message_complete(self) -> None:
        parser, body = self._parser, bytes(self._body)
        self._drop_body()
        self._partial = False
        status, keep_alive = parser.get_status_code(), parser.should_keep_alive()
        if status < 200:
            self._partial = True  # `100 Continue` and the like: the answer is yet to come
            self._chunk = b""
            return
        chunk, self._chunk = self._chunk, b""
        end = chunk.find(b"\r\n\r\n") + 4
        if end > 3 and chunk[end:] == body:  # neither chunked nor in several reads
            self._sender.learn(chunk[:end], Framing(status, len(body), keep_alive))
        self._sender.on_response(self, status, body, keep_alive, time.monotonic_ns())


def _ends_with_connection(chunk: bytes) -> bool:
    """Whether the response that begins with *chunk* has a body that lasts until the connection is closed."""
    head, separator, _ = chunk.partition(b"\r\n\r\n")
    return bool(separator) and not _FRAMED.search(head)
