"""
What the live display costs the loop that sends: ``python benchmarks/live_view.py``.

Draws a run's progress on a pseudo-terminal of 80 columns that a thread reads, and prints the time of
an update: of the picture, without lanes and with nine rows of them, and of finding out where the lanes
stand at a few rates. There are four updates a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import pty
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from streambox.loadgen.lane_watch import LaneWatch
from streambox.loadgen.live import LaneProgress, Progress, TerminalView
from streambox.loadgen.record import OK, TIMEOUT, Recorder
from streambox.workload.schedule import Lane, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

UPDATES = 400
PAUSE_S = 0.002
SECONDS = 20
RESPONSE_NS = 5_000_000


@contextlib.contextmanager
def terminal() -> Iterator[Console]:
    far, near = pty.openpty()
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    threading.Thread(target=drain, args=(far,), daemon=True).start()
    with os.fdopen(near, "w") as file:
        yield Console(file=file, force_terminal=True, width=80, height=40)


def drain(far: int) -> None:
    with contextlib.suppress(OSError):  # the near end has been closed
        while os.read(far, 65_536):
            pass


def progress(number: int, lanes: int) -> Progress:
    rows = tuple(
        LaneProgress(f"digits/tenant-{lane}", 1000 * number, 100.0 + lane * number % 37, 5.0, number // 9)
        for lane in range(lanes)
    )
    return Progress(
        elapsed_s=number / 4,
        total=40_000,
        sent=100 * number,
        completed=99 * number,
        ok=98 * number,
        errors={"timeout": number, "http_503:queue_full": 2 * number},
        in_flight=number % 13,
        offered_per_s=400 + number % 100,
        achieved_per_s=390 + number % 77,
        p50_ms=4 + number % 3,
        p90_ms=9 + number % 5,
        p99_ms=18 + number % 7,
        mean_batch_size=7 + number % 4,
        lag_p99_us=80 + number % 50,
        lanes=rows,
    )


def drawing_s(lanes: int) -> list[float]:
    costs = []
    with terminal() as console:
        view = TerminalView(console)
        view.start(40_000, UPDATES / 4)
        for number in range(UPDATES):
            shown = progress(number, lanes)
            before = time.perf_counter()
            view.update(shown)
            costs.append(time.perf_counter() - before)
            time.sleep(PAUSE_S)
        view.stop()
    return costs


def looking_s(rate_per_s: int, lanes: int) -> list[float]:
    """A run in which every request is answered after 5 ms, looked at as a run looks at itself."""
    random = np.random.default_rng(0)
    instants_ns = np.sort(random.integers(0, SECONDS * 10**9, rate_per_s * SECONDS))
    lane = random.integers(0, lanes, len(instants_ns)).astype(np.uint8)
    names = tuple(Lane("digits", f"t{number}") for number in range(lanes))
    recorder = Recorder(instants_ns, lane)
    schedule = Schedule(instants_ns, np.zeros(len(instants_ns), np.int32), lane, names, {})
    watch, outcomes, costs = LaneWatch(schedule, 10**10), recorder.outcomes, []
    for quarter in range(1, 4 * SECONDS):
        now_ns = quarter * 250_000_000
        due, answered = np.searchsorted(instants_ns, (now_ns, now_ns - RESPONSE_NS)).tolist()
        outcomes.dispatched_ns[:due] = outcomes.sent_ns[:due] = instants_ns[:due]
        outcomes.kind[:due] = recorder.kind(TIMEOUT)
        outcomes.done_ns[:answered] = instants_ns[:answered] + RESPONSE_NS
        outcomes.kind[:answered] = recorder.kind(OK)
        before = time.perf_counter()
        watch.look(outcomes, due, now_ns / 1e9)
        costs.append(time.perf_counter() - before)
    return costs


def row(what: str, costs_s: list[float]) -> str:
    p50, p99 = np.percentile(costs_s, (50, 99)) * 1e6
    return f"{what:<44} {p50:>8.0f} {p99:>8.0f}"


def main() -> None:
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"{'µs an update':<44} {'p50':>8} {'p99':>8}")
    for lanes in (0, 9):
        print(row(f"draw it, {lanes or 'no'} rows of lanes", drawing_s(lanes)), flush=True)
    for rate_per_s, lanes in ((1_000, 3), (10_000, 9), (30_000, 20)):
        print(row(f"look at {lanes} lanes, {rate_per_s:,}/s", looking_s(rate_per_s, lanes)), flush=True)


if __name__ == "__main__":
    main()
