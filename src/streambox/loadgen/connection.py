"""One client connection: one request at a time, its response parsed as it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

import httptools

if TYPE_CHECKING:
    from streambox.loadgen.sender import Sender

MOST_BODY_BYTES: Final = 64 * 1024 * 1024
IDLE: Final = -1


class ClientConnection(asyncio.Protocol):
    """
    Carries request ``index``, or is ``IDLE``.

    The parser calls ``on_body`` and ``on_message_complete``; it has no use for
    headers, and not asking for them halves its cost.
    """

    __slots__ = ("_body", "_parser", "_sender", "index", "transport")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._parser = httptools.HttpResponseParser(self)
        self._body: bytes | bytearray = b""
        self.index = IDLE
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.on_lost(self)

    def send(self, index: int, request: bytes) -> None:
        self.index = index
        self._body = b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
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
        parser = self._parser
        self._sender.on_response(
            self, parser.get_status_code(), bytes(self._body), parser.should_keep_alive()
        )
