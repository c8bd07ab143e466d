"""
Does ``load find-max`` find what is there? ``python benchmarks/known_capacity.py``.

Searches, on a server whose capacity is known, the highest rate with p99 < 50 ms. The server has one
slot and takes 2 ms for each request by an absolute timetable, next = max(now, next) + 2 ms, so that
its own lateness does not add up. Constant arrivals can use all of its 500/s. Poisson arrivals make it
an M/D/1 queue: the rate at which 1 % of the responses take longer than 50 ms is worked out below.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any, cast

import uvloop
from harness import ending, free_port, wide_console
from rich.table import Table

from streambox.clock import LoopClock

SERVICE_S = 0.002
LIMIT_S = 0.05
MISSED = 0.01
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Timetable(asyncio.Protocol):
    """One request at a time on a connection; ``free_ns`` is shared by all of them."""

    free_ns = 0

    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"}"):
            return
        cls = type(self)
        cls.free_ns = max(time.monotonic_ns(), cls.free_ns) + round(SERVICE_S * 1e9)
        self.clock.call_at(cls.free_ns, lambda: self.transport.write(REPLY))


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop)
    server = await loop.create_server(lambda: Timetable(clock), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def md1_wait_beyond(rate: float, service: float, wait: float) -> float:
    """
    P(W > wait) of an M/D/1 queue, by Erlang's sum.

    P(W <= t) = (1 - rho) sum_k ((-a_k)^k / k!) e^{a_k}, a_k = rate (t - k service), k = 0 .. t/service;
    its terms alternate and cancel, so they are summed as fractions of scaled exponentials.
    """
    steps = int(wait / service + 1e-9)
    total = Fraction(0)
    for k in range(steps + 1):
        a = max(0.0, rate * (wait - k * service))
        total += Fraction((-1) ** k) * Fraction(a) ** k / math.factorial(k) * Fraction(math.exp(a))
    return 1 - (1 - rate * service) * float(total)


def md1_rate() -> float:
    """The rate at which MISSED of the responses take longer than LIMIT_S."""
    low, high = 1.0, 1 / SERVICE_S
    for _ in range(60):
        middle = (low + high) / 2
        if md1_wait_beyond(middle, SERVICE_S, LIMIT_S - SERVICE_S) > MISSED:
            high = middle
        else:
            low = middle
    return low


def find(port: int, arrivals: str, segment: str, extra: list[str]) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "streambox.cli", "load", "find-max", "--url", url, "--model", "any"]
    command += ["--check", "none", "--slo", "p99<50ms", "--arrivals", arrivals, "--from", "200", "--json"]
    command += ["--segment", segment, "--connections", "4000", *extra]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Find the known capacity of a server.")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--segment", default="10s")
    parser.add_argument("--arrivals", choices=["constant", "poisson"], help="only these")
    args, extra = parser.parse_known_args()
    if args.serve:
        uvloop.run(serve(args.serve))
        return
    table = Table(title="highest rate with p99 < 50 ms: one slot, 2 ms for each request")
    for column in ("arrivals", "theory", "holds", "off by", "limit", "off by", "95 %"):
        table.add_column(column, justify="right")
    for arrivals, theory in (("constant", 1 / SERVICE_S), ("poisson", md1_rate())):
        if args.arrivals not in (None, arrivals):
            continue
        port = free_port()
        with ending(subprocess.Popen([sys.executable, __file__, "--serve", str(port)])):
            time.sleep(1)
            found = find(port, arrivals, args.segment, extra)
        rate, limit = found["rate_per_s"], found["limit_per_s"]
        off = [f"{value / theory - 1:+.1%}" for value in (rate, limit["rate_per_s"])]
        interval = " to ".join(f"{limit[end] or math.nan:.1f}" for end in ("low", "high"))
        table.add_row(
            *(arrivals, f"{theory:.1f}/s", f"{rate:.1f}/s", off[0]),
            *(f"{limit['rate_per_s']:.1f}/s", off[1], interval),
        )
    wide_console().print(table)


if __name__ == "__main__":
    main()
