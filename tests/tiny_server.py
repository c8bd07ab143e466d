"""A tiny real HTTP server in a thread, for the load generator's tests: answers as a Batcher, or as told."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streambox.loadgen.rows import predict_digits
from streambox.loadgen.target import Target
from streambox.models.digits import heldout

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Asked:
    """One request: its place in the order of arrival, and what it asks, in the reference's API or any."""

    number: int
    request_id: str
    vector: tuple[float, ...]
    model: str = "digits"
    head: str = ""
    body: bytes = b""

    @property
    def index(self) -> int:
        return int(self.request_id)


Behaviour = Callable[[Asked], Awaitable["bytes | AsyncIterator[bytes] | None"]]


@functools.cache
def answers() -> dict[tuple[float, ...], list[float]]:
    """The right answer to every held-out image."""
    images, _ = heldout()
    vectors = images.reshape(len(images), -1).tolist()
    return {tuple(v): row for v, row in zip(vectors, predict_digits(images).tolist(), strict=True)}


def reply(asked: Asked, answer_to: Asked | None = None, **changes: Any) -> bytes:
    """The Batcher's body for *asked*, holding the answer to *answer_to* if that is given."""
    output = answers()[(answer_to or asked).vector]
    batch = {"id": asked.number, "size": 1, "reason": "timewindow", "wait_ms": 0.5, "service_ms": 0.25}
    body = {"request_id": asked.request_id, "model": "digits", "output": output, "batch": batch}
    return json.dumps({**body, **changes}).encode()


def http(body: bytes, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def right(asked: Asked) -> bytes:
    return http(reply(asked))


def _asked(number: int, head: str, body: bytes) -> Asked:
    try:
        tree = json.loads(body)
        vector = tuple(tree["data"]["vector"])
        return Asked(number, tree["request_id"], vector, tree["model"], head, body)
    except (ValueError, KeyError, TypeError):
        return Asked(number, "", (), "", head, body)


class TinyServer:
    """
    ``with TinyServer(behaviour) as server``: listens on ``server.target`` until the block ends.

    *behaviour* gives the bytes to write, or the pieces of them in turn, after which the connection
    is closed; None closes it without a word. ``written_bytes`` counts those of pieces. ``asked``
    lists all requests in order of arrival, ``most_at_once`` how many were in hand together.
    """

    def __init__(
        self,
        behaviour: Behaviour = right,
        *,
        pieces: bool = False,
        tls: ssl.SSLContext | None = None,
        unix: str = "",
    ) -> None:
        self._behaviour = behaviour
        self._tls = tls
        self._unix = unix
        self.heads: list[str] = []
        self._pieces = pieces
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._started = threading.Event()
        self._reached = threading.Event()
        self._goal = -1
        self.asked: list[Asked] = []
        self.in_hand = 0
        self.most_at_once = 0
        self.connections = 0
        self.written_bytes = 0

    def __enter__(self) -> TinyServer:
        answers()
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def wait_until_asked(self, count: int) -> None:
        """Return once *count* requests have come."""
        self._goal = count
        self._reached.clear()
        if len(self.asked) < count:
            assert self._reached.wait(30), f"only {len(self.asked)} of {count} requests came"

    async def stop_listening(self) -> None:
        """For behaviours: refuse further connections."""
        self._server.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        if self._unix:
            self._server = await asyncio.start_unix_server(self._accept, self._unix, backlog=1024)
            self.target = Target("localhost", 0, "/api/batcher", unix=self._unix)
        else:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", 0, backlog=1024, ssl=self._tls
            )
            _, port = self._server.sockets[0].getsockname()
            host = "localhost" if self._tls else "127.0.0.1"
            self.target = Target(host, port, "/api/batcher", tls=self._tls is not None)
        self._started.set()
        await self._done.wait()
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._converse(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (raw := await self._answer(await self._read(reader))) is not None:
                if not isinstance(raw, bytes):
                    async for piece in raw:
                        writer.write(piece)
                        await writer.drain()
                        self.written_bytes += len(piece)
                    break
                for piece in [raw[i : i + 1] for i in range(len(raw))] if self._pieces else [raw]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if b"\r\nConnection: close\r\n" in raw or not raw.startswith(b"HTTP/"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[str, bytes]:
        """Head and body of the next request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = re.search(r"\r\ncontent-length: *(\d+)", head.lower())
        return head, await reader.readexactly(int(length[1]) if length else 0)

    async def _answer(self, request: tuple[str, bytes]) -> bytes | AsyncIterator[bytes] | None:
        asked = _asked(len(self.asked), *request)
        self.asked.append(asked)
        self.in_hand += 1
        self.most_at_once = max(self.most_at_once, self.in_hand)
        if len(self.asked) >= self._goal >= 0:
            self._reached.set()
        try:
            return await self._behaviour(asked)
        finally:
            self.in_hand -= 1
