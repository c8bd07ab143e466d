"""What a person sees while a run goes on: a real run, and a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uvloop

from streambox.loadgen.payload import LaneSending, make_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.run import Run, RunOptions
from streambox.loadgen.spool import RunState, recording
from streambox.loadgen.summary import OPEN_LOOP
from streambox.loadgen.workers import SharedRun
from streambox.workload.schedule import Lane, Schedule
from tiny_server import TinyServer

if TYPE_CHECKING:
    from streambox.loadgen.live import Progress

SECOND = 1_000_000_000
PATIENCE_S = 60


class Noting:
    """A view that only keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []

    def start(self, total: int, duration_s: float) -> None:
        pass

    def update(self, progress: Progress) -> None:
        self.told.append(progress)

    def stop(self) -> None:
        pass


def progress_of(lanes: tuple[Lane, ...], workers: int = 1) -> list[Progress]:
    """What a run of a second, its requests dealt out to *lanes* in turn, tells its view."""
    view = Noting()
    with TinyServer() as server:
        payloads = make_payloads(server.target, "digits", 0)
        workload = WorkloadOptions(rate_per_s=200, duration_ns=SECOND, arrivals="constant")
        drawn = draw_schedule(workload, "digits", len(payloads))
        lane = (np.arange(len(drawn)) % len(lanes)).astype(np.uint8)
        schedule = Schedule(drawn.intended_ns, drawn.payload, lane, lanes, drawn.recipe)
        options = RunOptions(target=server.target, workers=workers)
        if workers == 1:
            uvloop.run(Run(schedule, [payloads] * len(lanes), options, view)())
            return view.told
        with recording(None, schedule, RunState(OPEN_LOOP, 0, SECOND), workers) as spool:
            uvloop.run(SharedRun(spool, [LaneSending("digits", 0)] * len(lanes), options, view)())
    return view.told


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_of_several_lanes_tells_of_each(workers):
    last = progress_of((Lane("digits", "acme"), Lane("digits", "globex")), workers)[-1]
    assert [(lane.name, lane.offered, lane.errors) for lane in last.lanes] == [
        ("digits/acme", 100, 0),
        ("digits/globex", 100, 0),
    ]
    assert all(lane.p99_ms > 0 for lane in last.lanes)


def test_a_run_of_one_lane_tells_of_the_whole():
    last = progress_of((Lane("digits"),))[-1]
    assert last.lanes == ()
    assert 0 < last.p50_ms <= last.p90_ms <= last.p99_ms


def on_a_terminal(*arguments: str, width: int = 80, **environment: str) -> tuple[str, str, int]:
    """``streambox load`` with standard error on a terminal: what that gets, standard output, exit code."""
    far, near = pty.openpty()
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    seen: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the near end has been closed by all who had it
            while piece := os.read(far, 65_536):
                seen.append(piece)

    command = [sys.executable, "-m", "streambox", "load", *arguments]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(width), "LINES": "24", **environment}
    child = subprocess.Popen(command, stdin=near, stdout=subprocess.PIPE, stderr=near, env=env)
    os.close(near)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        printed, _ = child.communicate(timeout=PATIENCE_S)
    finally:
        if child.poll() is None:
            child.kill()
        reader.join(PATIENCE_S)
        os.close(far)
    return b"".join(seen).decode(), printed.decode(), child.returncode


@pytest.fixture
def url():
    with TinyServer() as server:
        yield server.target.url


# Whether the machine lets it keep its schedule is not what these are about.
RUN = ("--rate", "200", "--duration", "1s", "--allow-invalid")


def test_a_terminal_shows_a_picture_that_is_gone_at_the_end_and_the_table_remains(url):
    seen, printed, code = on_a_terminal("--url", url, *RUN)
    assert code == 0
    for words in ("━", "offered", "achieved", "p90", "send lag p99", "of 1 s"):
        assert words in seen
    assert seen.endswith("\x1b[J\x1b[?25h")
    assert "open-loop" in printed.splitlines()[0]  # the verdict, whichever it is
    assert "\x1b" not in printed


def test_a_narrow_terminal_without_colours_gets_neither_long_lines_nor_colours(url):
    seen, _, _ = on_a_terminal("--url", url, *RUN, width=60, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen).splitlines()
    assert lines
    assert max(map(len, lines)) <= 60


def test_json_is_alone_on_standard_output_whatever_the_terminal_shows(url):
    seen, printed, code = on_a_terminal("--url", url, *RUN, "--json")
    assert code == 0
    assert json.loads(printed)["ok"] == json.loads(printed)["offered"] > 100
    assert "achieved" in seen


def test_a_quiet_run_shows_nothing(url):
    seen, printed, code = on_a_terminal("--url", url, *RUN, "--quiet")
    assert (seen, code) == ("", 0)
    assert "open-loop" in printed.splitlines()[0]
