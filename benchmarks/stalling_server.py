"""
A server that stalls once, for real, by the arithmetic of ``stall.py``.

``python benchmarks/stalling_server.py SERVICE_NS BEGIN_NS END_NS`` prints its port. The stall's
instants count from the first request. It accepts whoever comes, 4096 at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop
from stall import Stall

from streambox.clock import LoopClock
from streambox.loadgen.process import most_sockets

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BACKLOG = 4096


class Slot:
    """Serves one request after the other; each answer goes out at its instant."""

    def __init__(self, stall: Stall, clock: LoopClock) -> None:
        self._stall = stall
        self._clock = clock
        self._first_ns: int | None = None
        self._free_ns = 0

    def serve(self, transport: asyncio.Transport) -> None:
        now_ns = time.monotonic_ns()
        if self._first_ns is None:
            self._first_ns = now_ns
        self._free_ns = self._stall.answer_ns(now_ns - self._first_ns, self._free_ns)
        self._clock.call_at(self._first_ns + self._free_ns, lambda: _answer(transport))


def _answer(transport: asyncio.Transport) -> None:
    if not transport.is_closing():  # a caller that has gone has had its turn all the same
        transport.write(ANSWER)


class Requests(asyncio.Protocol):
    """One request at a time on a connection, a JSON object its body."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self._slot.serve(self._transport)


async def serve(stall: Stall) -> None:
    loop = asyncio.get_running_loop()
    slot = Slot(stall, LoopClock(loop))
    server = await loop.create_server(lambda: Requests(slot), "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    most_sockets()  # raises the limit on open files
    uvloop.run(serve(Stall(*map(int, sys.argv[1:4]))))
