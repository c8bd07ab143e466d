"""
The floor for open-loop latency: batches of 32 or 5 ms with nothing else around them.

``python benchmarks/bare_batcher.py PORT``: one process, no worker, no checks, no limits, no
metrics; it takes its requests to be right. What it needs beyond the window, the
machine and Python need; what a serving layer needs beyond that is the layer's own.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import Any, cast

import msgspec
import numpy as np
import uvloop

from streambox.clock import LoopClock, Timer

WINDOW_NS = 5_000_000
MAX_BATCH_SIZE = 32

encode = msgspec.json.encode
decode = msgspec.json.Decoder().decode


class Batches:
    """What waits, and when it leaves."""

    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.waiting: list[tuple[asyncio.Transport, dict[str, Any], int]] = []
        self.timer: Timer | None = None
        self.count = 0

    def add(self, transport: asyncio.Transport, request: dict[str, Any]) -> None:
        now_ns = time.monotonic_ns()
        self.waiting.append((transport, request, now_ns))
        if len(self.waiting) == 1:
            self.timer = self.clock.call_at(now_ns + WINDOW_NS, self.flush)
        if len(self.waiting) == MAX_BATCH_SIZE and self.timer is not None:
            self.timer.cancel()
            self.flush()

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.count += 1
        wait_ms = (time.monotonic_ns() - waiting[0][2]) / 1e6
        vectors = np.array([request["data"]["vector"] for _, request, _ in waiting], np.float32)
        batch = {"id": self.count, "size": len(waiting), "reason": "", "wait_ms": wait_ms, "service_ms": 0.0}
        shared = b',"batch":' + encode(batch) + b"}"
        for (transport, request, _), row in zip(waiting, (vectors * np.float32(2)).tolist(), strict=True):
            body = b'{"request_id":%b,"model":"double","output":%b%b' % (
                encode(request["request_id"]),
                encode(row),
                shared,
            )
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            transport.write(head % len(body) + body)


class Connection(asyncio.Protocol):
    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        _, _, body = (self.begun + data).partition(b"\r\n\r\n")
        if not body:  # some clients send the head by itself
            self.begun += data
            return
        self.begun = b""
        self.batches.add(self.transport, decode(body))


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    batches = Batches(LoopClock(loop))
    server = await loop.create_server(lambda: Connection(batches), "127.0.0.1", port)
    gc.collect()
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
