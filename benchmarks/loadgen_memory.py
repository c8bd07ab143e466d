"""
How much memory the Load Generator takes: ``python benchmarks/loadgen_memory.py``.

Ten million requests, from the drawing of the schedule to the report, by a process of its own, whose
proportional set size (and that of its workers) is sampled all the while. At 30,000/s they would take
five and a half minutes: here what the sending loop would record is made up, as fast as it can be
recorded, and all the rest is real. ``--send`` really sends them, to a static server of our own.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness import ending, tree_of
from rich.console import Console

from streambox.loadgen.merge import begun
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import Finished, finish, run_load, write_run
from streambox.loadgen.spool import RunState, recording
from streambox.loadgen.static_server import static_server
from streambox.loadgen.summary import OPEN_LOOP

if TYPE_CHECKING:
    from streambox.loadgen.record import Recorder

LIMIT_MB = 500
SAMPLED_EVERY_S = 0.05
TRIMMED_EVERY = 150_000  # requests: five seconds at 30,000/s, after which a run lets go of memory
IN_FLIGHT = 2_000
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory that the Load Generator takes.")
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--rate", type=float, default=30_000, help="per second")
    parser.add_argument("--send", action="store_true", help="really send them: takes requests / rate seconds")
    parser.add_argument("--workers", type=int, default=1, help="with --send")
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        play(args, Path(args.child))
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = [sys.executable, __file__, *sys.argv[1:], "--child", folder]
        if args.send:
            command += ["--port", str(stack.enter_context(static_server()))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        watch(stack.enter_context(ending(child)))


# ---- watching ------------------------------------------------------------------------------------


def watch(child: subprocess.Popen[str]) -> None:
    """Print the highest PSS of each phase that *child* announces, and of all."""
    phases: list[str] = ["starting"]
    highest_mb: dict[str, float] = {}

    def sample() -> None:
        while child.poll() is None:
            mb = sum(map(pss_mb, tree_of(child.pid)))
            highest_mb[phases[-1]] = max(highest_mb.get(phases[-1], 0.0), mb)
            time.sleep(SAMPLED_EVERY_S)

    sampler = threading.Thread(target=sample)
    sampler.start()
    begun = time.monotonic()
    for line in child.stdout:
        phases.append(line.strip())
        print(f"{time.monotonic() - begun:7.1f} s  {phases[-1]}", flush=True)
    sampler.join()
    if child.returncode:
        sys.exit(f"the run ended with exit code {child.returncode}")
    for phase, mb in highest_mb.items():
        print(f"{mb:8.0f} MB at most while {phase}")
    most_mb = max(highest_mb.values())
    print(f"{most_mb:8.0f} MB at most in all: {'within' if most_mb < LIMIT_MB else 'beyond'} {LIMIT_MB} MB")


def pss_mb(pid: int) -> float:
    """The memory of a process, what it shares with others counted in proportion; 0 once it has ended."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


# ---- in the child --------------------------------------------------------------------------------


def play(args: argparse.Namespace, out: Path) -> None:
    duration_ns = round(args.requests / args.rate * 1e9)
    workload = WorkloadOptions(rate_per_s=args.rate, duration_ns=duration_ns)
    finished = sent(args, workload, out) if args.send else made_up(workload, out)
    announce(f"writing the files of {len(finished.outcomes):,} requests")
    write_run(out, finished)
    announce("ending")


def sent(args: argparse.Namespace, workload: WorkloadOptions, out: Path) -> Finished:
    announce("drawing, sending and summing up")
    options = RunOptions(target=Target("127.0.0.1", args.port, "/"), check="none", workers=args.workers)
    return run_load(workload, options, "static", Console(quiet=True), quiet=True, out=out)


def made_up(workload: WorkloadOptions, out: Path) -> Finished:
    announce("drawing")
    schedule = draw_schedule(workload, "static", 256)
    state = RunState(OPEN_LOOP, workload.seed, workload.duration_ns)
    with recording(out, schedule, state) as spool:
        schedule = spool.schedule
        announce("recording")
        recorder = spool.recorder()
        record(recorder, len(schedule))
        announce("summing up")
        outcomes = begun(recorder.outcomes)
        outcomes.apportion_waits()
        return finish(schedule, outcomes, state)


def record(recorder: Recorder, count: int) -> None:
    """As the sending loop would: sendings in order, ends a while later, every eighth batch a slow one."""
    intended_ns = recorder.intended_ns
    for index in range(count + IN_FLIGHT):
        if index < count:
            sent_ns = intended_ns[index] + 40_000 + index * 7919 % 60_000
            recorder.on_dispatched(index, sent_ns - 9_000)
            recorder.on_sent(index, sent_ns)
        ended = index - IN_FLIGHT
        if ended >= 0:
            batch = ended // BATCH
            done_ns = (
                recorder.outcomes.sent_ns[ended]
                + (900_000 if batch % 8 else 9_000_000)
                + batch * 104_729 % 300_000
            )
            recorder.on_response(ended, done_ns - 2_000, done_ns, 200)
            recorder.on_batch(ended, batch, BATCH, 400_000, 200_000)
            recorder.on_end(ended, "ok")
        if index % TRIMMED_EVERY == 0:
            recorder.outcomes.trim()


def announce(phase: str) -> None:
    print(phase, flush=True)


if __name__ == "__main__":
    main()
