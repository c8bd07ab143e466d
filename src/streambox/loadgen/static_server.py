"""
A server that answers every request alike, but for its id, at once: what is slow beside it is not the server.

``python -m streambox.loadgen.static_server [PORT]`` prints the port it listens on, loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final, cast

import uvloop

from streambox.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_ID: Final = b"0000000000"  # where a request has none; ours are of this length
_BEFORE: Final = b'{"request_id":"'
_AFTER: Final = (
    b'","model":"static","output":[0.91,0.01,0.01,0.01,0.01,0.01,0.01,0.01,0.01,0.01],'
    b'"batch":{"id":1,"size":1,"reason":"batchsize","wait_ms":0.1,"service_ms":0.1}}'
)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BEFORE) + len(_ID) + len(_AFTER),
    _BEFORE,
)
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BACKLOG: Final = 4096


class StaticAnswers(asyncio.Protocol):
    """One request in flight per connection, as the Load Generator sends them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if separator and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            self._transport.write(answer(body))


def answer(body: bytes) -> bytes:
    """Like any other, but for the request's id, so that only a whole check finds out that it is wrong."""
    at = body.find(_BEFORE) + len(_BEFORE)
    request_id = body[at : at + len(_ID)]
    return b"%b%b%b" % (_HEAD, request_id if request_id.isdigit() else _ID, _AFTER)


@contextlib.contextmanager
def static_server() -> Iterator[int]:
    """One in a process of its own; its port. Raises RunFailed when it does not start."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            port = process.stdout.readline()
            if not port:
                raise RunFailed(f"the static server ended with code {process.wait()}")
            yield int(port)
        finally:
            process.terminate()


async def _serve(port: int) -> None:
    """Until standard input ends: it does not outlive who started it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(StaticAnswers, "127.0.0.1", port, backlog=_BACKLOG)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    if not sys.stdin.isatty():
        loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
