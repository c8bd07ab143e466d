"""One client connection: one request at a time, its response parsed as it comes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import httptools

if TYPE_CHECKING:
    import socket

    from streambox.loadgen.sender import Sender

MOST_BODY_BYTES: Final = 64 * 1024 * 1024
IDLE: Final = -1


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
        self._parser = httptools.HttpResponseParser(self)
        self._body: bytes | bytearray = b""
        self._chunk = b""  # what the parser is at work on, where a response began with it
        self._partial = False
        self.index = IDLE
        self.first_byte_ns = 0  # of the response that is coming in, by the monotonic clock
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.on_lost(self)
        # It refers to us, as the transport does: while a run goes on nothing collects such circles.
        del self._parser

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
        whole, self._partial = not self._partial, True
        self._chunk = data if whole else b""
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
        if len(self._body) > MOST_BODY_BYTES:
            self._sender.on_garbage(self)

    def on_message_complete(self) -> None:
        parser, body = self._parser, bytes(self._body)
        self._partial = False
        status, keep_alive = parser.get_status_code(), parser.should_keep_alive()
        if status < 200:
            self._partial = True  # `100 Continue` and the like: the answer is yet to come
            return
        chunk, self._chunk = self._chunk, b""
        end = chunk.find(b"\r\n\r\n") + 4
        if end > 3 and chunk[end:] == body:  # neither chunked nor in several reads
            self._sender.learn(chunk[:end], Framing(status, len(body), keep_alive))
        self._sender.on_response(self, status, body, keep_alive, time.monotonic_ns())
