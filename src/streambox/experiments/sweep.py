"""A sweep being carried out: a server, a command, a load for every run, one after the other."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from streambox import __version__
from streambox.errors import RunFailed, UsageError
from streambox.experiments.runs import fault_of, read_summary
from streambox.loadgen.session import prepare_folder
from streambox.server_process import serving
from streambox.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from streambox.experiments.sweep_plan import PlannedRun, SweepOptions

_RECIPE: Final = "recipe.json"
_SUMMARY: Final = "summary.json"
_LOG: Final = "server.log"
_NS_PER_S: Final = 1_000_000_000


class BeforeFailed(RunFailed):
    """The command before a run failed: what would be measured now is not what was meant."""

    code = "before_failed"


class Ended(NamedTuple):
    """Why runs failed, by folder; and why not all were made, None where they were."""

    failures: dict[str, str]
    early: str | None


class Stop:
    """
    Ctrl-C: the load that is running stops sending and reports, and no other is started.

    Twice: it ends at once. ``asked`` says that it came.
    """

    def __init__(self) -> None:
        self.asked = False
        self._child: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, whose in before.items():
                signal.signal(number, whose)

    @contextlib.contextmanager
    def passed_to(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        self._child = child
        try:
            yield
        finally:
            self._child = None

    def _on_signal(self, number: int, frame: Any) -> None:
        child = self._child
        if child is not None:
            child.send_signal(signal.SIGINT)
        elif self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Perform(Protocol):
    """Make one run, into *folder*. Raises RunFailed when it leaves no figures."""

    def __call__(self, run: PlannedRun, folder: Path, stop: Stop) -> None: ...


def carry_out(
    options: SweepOptions,
    runs: Sequence[PlannedRun],
    out: Path,
    perform: Perform,
    console: Console,
    *,
    force: bool = False,
    allow_invalid: bool = False,
) -> Ended:
    """
    Make all *runs* that have not been made yet, each in its folder of *out*; with *force*, all.

    One that has a fault, unless that is allowed, is made again: its figures would not count.

    Ends early at Ctrl-C, and when the command before a run fails: the others would measure
    something else. A run that was stopped does not count as made.

    Raises UsageError where a folder holds a run that was made otherwise.
    """
    there = [run for run in runs if not force and _is_made(options, run, out)]
    if not allow_invalid:
        there = [run for run in there if fault_of(read_summary(out / run.folder)) is None]
    waiting = [run for run in runs if run not in there]
    if there:
        console.print(f"{len(there)} of {len(runs)} runs are there already", highlight=False)
    stop, failures = Stop(), dict[str, str]()
    began_s = time.monotonic()
    with stop.caught():
        for number, run in enumerate(waiting, 1):
            folder = out / run.folder
            _clear(folder)
            with console.status(f"{number} of {len(waiting)}: {run.cell}, repeat {run.repeat}"):
                try:
                    perform(run, folder, stop)
                except BeforeFailed as error:
                    return Ended(failures, str(error))
                except RunFailed as error:
                    failures[run.folder] = str(error).partition("\n")[0]
            if stop.asked:
                return Ended(failures, f"stopped in run {number} of {len(waiting)}: the same command goes on")
            if run.folder not in failures:
                (folder / _RECIPE).write_bytes(_recipe(options, run))
            left_s = (time.monotonic() - began_s) / number * (len(waiting) - number)
            _tell(console, f"{number}/{len(waiting)}", run, folder, failures.get(run.folder), left_s)
    return Ended(failures, None)


def made(options: SweepOptions, run: PlannedRun, out: Path) -> bool:
    """Whether *run* has been made, as it is planned."""
    folder = out / run.folder
    try:
        return (folder / _SUMMARY).is_file() and (folder / _RECIPE).read_bytes() == _recipe(options, run)
    except OSError:
        return False


def _is_made(options: SweepOptions, run: PlannedRun, out: Path) -> bool:
    if made(options, run, out):
        return True
    if (out / run.folder / _RECIPE).is_file():
        raise UsageError(
            f"{out / run.folder}: holds a run that was made with other options: name another --out, or "
            "--force to make all runs anew"
        )
    return False


def _recipe(options: SweepOptions, run: PlannedRun) -> bytes:
    """What makes two runs the same: all that was asked for, and the configuration's own text."""
    config = None if options.serve is None else Path(options.serve).read_text(encoding="utf-8")
    recipe = {
        "streambox": __version__,
        "load": run.load,
        "serve": config,
        "settings": run.settings,
        "before": options.before,
        "environment": run.environment if options.before else {},
    }
    return msgspec.json.format(msgspec.json.encode(recipe), indent=2) + b"\n"


def _clear(folder: Path) -> None:
    prepare_folder(folder)
    for name in (_RECIPE, _SUMMARY):
        (folder / name).unlink(missing_ok=True)


def _tell(
    console: Console, place: str, run: PlannedRun, folder: Path, failure: str | None, left_s: float
) -> None:
    line = f"[{place}] {run.cell}, repeat {run.repeat}: {failure or _figures(folder)}"
    if left_s >= 1:
        line += f"  ({format_duration(round(left_s) * _NS_PER_S)} left)"
    console.print(line, highlight=False, markup=False, style="red" if failure else None)


def _figures(folder: Path) -> str:
    summary = msgspec.json.decode((folder / _SUMMARY).read_bytes())
    response = summary["response_ms"]
    return (
        f"{summary['verdict']['status']}, {summary['throughput_per_s']:,.0f}/s, "
        f"p50 {response['p50']} ms, p99 {response['p99']} ms"
    )


# ---- one run, for real ---------------------------------------------------------------------------


class Performer:
    """Starts the server where it is ours, calls the command, and loads: each a process of its own."""

    def __init__(self, options: SweepOptions) -> None:
        self._options = options

    def __call__(self, run: PlannedRun, folder: Path, stop: Stop) -> None:
        """Raises RunFailed; see ``Perform``."""
        if self._options.serve is None:
            self._before(run)
            self._load(run, folder, [], stop)
            return
        with serving(serve_words(self._options.serve, run), folder / _LOG) as (host, port):
            if not stop.asked:
                self._before(run)
                self._load(run, folder, ["--host", host, "--port", str(port)], stop)

    def _before(self, run: PlannedRun) -> None:
        command = self._options.before
        if command is None:
            return
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={**os.environ, **run.environment},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            check=False,
        )
        if done.returncode:
            raise BeforeFailed(f"--before ended with code {done.returncode}: {command}")

    def _load(self, run: PlannedRun, folder: Path, target: list[str], stop: Stop) -> None:
        words = [*run.load, *target, "--out", str(folder), "--quiet", "--allow-invalid"]
        child = subprocess.Popen(
            [sys.executable, "-m", "streambox", "load", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C is passed on by us
        )
        with stop.passed_to(child):
            _, complaints = child.communicate()
        if not (folder / _SUMMARY).is_file():
            last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
            raise RunFailed(last.removeprefix("streambox: ") or f"load ended with code {child.returncode}")


def serve_words(config: str, run: PlannedRun) -> list[str]:
    """The arguments of ``streambox serve`` for *run*, on a free port of this machine."""
    words = ["--config", config, "--host", "127.0.0.1", "--port", "0"]
    return words + [word for setting in run.settings for word in ("--set", setting)]


def commands(options: SweepOptions, run: PlannedRun) -> list[str]:
    """What is done for *run*, as one would type it."""
    lines = []
    if options.serve is not None:
        lines.append(shlex.join(["streambox", "serve", *serve_words(options.serve, run)]))
    if options.before is not None:
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in run.environment.items())
        lines.append(f"{variables} sh -c {shlex.quote(options.before)}")
    return [*lines, shlex.join(["streambox", "load", *run.load])]
