"""A run from options to files: draw, replay, summarise, write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import uvloop

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.live import make_live_view
from streambox.loadgen.payload import make_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.report import write_report
from streambox.loadgen.run import Run, RunOptions
from streambox.loadgen.summary import CLOSED_LOOP, OPEN_LOOP, summarise
from streambox.workload.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from streambox.loadgen.record import Outcomes


class Finished(NamedTuple):
    """What a run leaves."""

    schedule: Schedule
    outcomes: Outcomes
    summary: dict[str, Any]


def run_load(
    workload: WorkloadOptions, options: RunOptions, model: str, console: Console, *, quiet: bool = False
) -> Finished:
    """
    Replay *workload* and return what came of it.

    Raises UsageError for a workload that cannot be drawn, RunFailed when the target
    cannot be reached at all.
    """
    payloads = make_payloads(options.target, model, workload.seed)
    if options.concurrency is None:
        schedule = draw_schedule(workload, model, len(payloads))
    else:
        schedule = _closed_schedule(workload, model, len(payloads))
    view = make_live_view(console, quiet=quiet)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(_run(Run(schedule, payloads, options, view)))
    summary = summarise(
        outcomes,
        mode=OPEN_LOOP if options.concurrency is None else CLOSED_LOOP,
        seed=workload.seed,
        schedule_sha256=schedule.sha256 if options.concurrency is None else None,
        duration_ns=options.duration_ns if options.concurrency else _offered_ns(schedule, outcomes),
    )
    return Finished(schedule, outcomes, summary)


def write_run(folder: Path, finished: Finished) -> None:
    """``schedule.parquet``, ``outcomes.parquet``, ``summary.json``, ``report.html``. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finished.schedule.to_parquet(folder / "schedule.parquet")
        finished.outcomes.to_parquet(folder / "outcomes.parquet")
        (folder / "summary.json").write_bytes(summary_json(finished.summary))
        write_report(folder / "report.html", finished.outcomes, finished.summary, finished.schedule.recipe)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from None


def prepare_folder(folder: Path) -> None:
    """Find out before the run, not after it, that its results cannot be written. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from None


def summary_json(summary: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def check_finished(summary: dict[str, Any], *, allow_invalid: bool) -> None:
    """Raises RunFailed: an answer was wrong, none was right, or (unless allowed) the verdict is not valid."""
    if summary["wrong"]:
        raise RunFailed(f"{summary['wrong']} of {summary['completed']} answers were wrong")
    if not summary["ok"]:
        raise RunFailed(f"not one of {summary['offered']} requests was answered right: {summary['errors']}")
    verdict = summary["verdict"]
    if not verdict["valid"] and not allow_invalid:
        raise RunFailed(
            f"{verdict['status']}: {'; '.join(verdict['reasons'])}; --allow-invalid accepts it all the same"
        )


async def _run(run: Run) -> Outcomes:
    return await run()


def _closed_schedule(workload: WorkloadOptions, model: str, payloads: int) -> Schedule:
    """A closed loop draws only which bodies it sends, over and over."""
    random = np.random.default_rng(workload.seed)
    order = random.permutation(payloads).astype(np.int32)
    recipe = {"mode": CLOSED_LOOP, "model": model, "seed": workload.seed, "duration_ns": workload.duration_ns}
    return Schedule(np.empty(0, np.int64), order, model, recipe)


def _offered_ns(schedule: Schedule, outcomes: Outcomes) -> int:
    """How long the workload lasted: the schedule's duration, or up to where the run was stopped."""
    if len(outcomes) == len(schedule):
        return schedule.duration_ns
    return int(outcomes.intended_ns.max(initial=0))
