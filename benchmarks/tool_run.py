"""A load generator at work, looked at for a while: its CPU time, and who else was busy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import busy_seconds, cpu_seconds, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from load_tools import Order, Tool

SPARE_S = 10  # every tool is told to go on for longer than it is looked at, and is then ended
TOLD = "told"  # what the tool said, in its order's folder
_COMPLAINTS = "complaints"
_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Window:
    """
    The while: wall-clock instants, the tool's CPU time, what was counted meanwhile, and how many
    cores were busy with neither the tool nor the server.
    """

    begin_ns: int
    end_ns: int
    cpu_s: float
    count: int
    elsewhere: float

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.begin_ns) / 1e9


@contextlib.contextmanager
def at_work(tool: Tool, order: Order) -> Iterator[subprocess.Popen[bytes]]:
    """*tool* at work; afterwards it has ended, and what it said is in the file ``TOLD``."""
    folder = Path(order.folder)
    with (folder / TOLD).open("wb") as told, (folder / _COMPLAINTS).open("wb") as complaints:
        process = subprocess.Popen(
            tool.command(order), stdout=told, stderr=complaints, start_new_session=True
        )
        with ending(process, signal.SIGINT):
            yield process


def look(
    tool: Tool,
    order: Order,
    process: subprocess.Popen[bytes],
    server: int,
    seconds: float,
    count: Callable[[], int] = lambda: 0,
) -> Window:
    """Look at *tool* for *seconds*, a second from now; *server*: who answers it, by process id."""

    def readings() -> tuple[int, int, float, float, float]:
        return count(), time.time_ns(), cpu_seconds(process.pid), cpu_seconds(server), busy_seconds()

    time.sleep(_WARM_UP_S)
    before = readings()
    time.sleep(seconds)
    after = readings()
    check_working(tool, order, process)
    counted, _, cpu_s, of_server_s, busy_s = (late - early for early, late in zip(before, after, strict=True))
    elsewhere = max(0.0, busy_s - cpu_s - of_server_s) / (after[1] - before[1]) * 1e9
    return Window(before[1], after[1], cpu_s, counted, elsewhere)


def check_working(tool: Tool, order: Order, process: subprocess.Popen[bytes]) -> None:
    """Ends the benchmark, saying what *tool* said, where it has ended."""
    if process.poll() is not None:
        said = (Path(order.folder) / _COMPLAINTS).read_text(errors="replace").strip()[-800:]
        sys.exit(f"{tool.name} ended before its time, with exit code {process.returncode}: {said}")


@contextlib.contextmanager
def two_cores() -> Iterator[None]:
    """For us and all that we start; on a machine with more, Go's and nginx's threads would spread out."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
