"""A run from options to files: draw, replay, summarise, write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import uvloop

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.certificate import warning
from streambox.loadgen.live import make_live_view
from streambox.loadgen.payload import PayloadOptions, make_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.record import WRONG
from streambox.loadgen.report import write_report
from streambox.loadgen.run import Run, RunOptions
from streambox.loadgen.slo import good
from streambox.loadgen.spool import SCHEDULE, RunState, discard, recording
from streambox.loadgen.summary import CLOSED_LOOP, OPEN_LOOP, summarise
from streambox.workload.schedule import Lane, Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.slo import Objective


class Finished(NamedTuple):
    """What a run leaves."""

    schedule: Schedule
    outcomes: Outcomes
    summary: dict[str, Any]


def run_load(
    workload: WorkloadOptions,
    options: RunOptions,
    model: str,
    console: Console,
    *,
    quiet: bool = False,
    out: Path | None = None,
    objectives: Sequence[Objective] = (),
    sending: PayloadOptions | None = None,
    schedule: Schedule | None = None,
) -> Finished:
    """
    Replay *workload*, or the *schedule* that is given, and return what came of it.

    With *out*, what has come of it so far lies there while the run goes on: see ``recover``.

    Raises UsageError for a workload that cannot be drawn, RunFailed when the target
    cannot be reached at all.
    """
    payloads = make_payloads(options.target, model, workload.seed, sending, options.tls_context())
    closed = options.concurrency is not None
    if schedule is not None:
        _check_payloads(schedule, len(payloads))
    elif closed:
        schedule = _closed_schedule(workload, model, len(payloads))
    else:
        schedule = draw_schedule(workload, model, len(payloads))
    mode = CLOSED_LOOP if closed else OPEN_LOOP
    duration_ns = options.duration_ns if closed else schedule.duration_ns
    if duration_ns <= options.warm_up_ns + options.cool_down_ns:
        raise UsageError("warm-up and cool-down leave nothing of the run: make it longer, or them shorter")
    seed = int(schedule.recipe.get("seed", workload.seed))
    state = RunState(mode, seed, duration_ns, options.warm_up_ns, options.cool_down_ns)
    if not closed and (beyond := warning(schedule)) is not None:
        console.print(f"warning: {beyond}", style="yellow", highlight=False)
    view = make_live_view(console, quiet=quiet)
    with recording(out, schedule, state) as recorder:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcomes = runner.run(_run(Run(schedule, payloads, options, view, recorder)))
        if not closed and len(outcomes) < len(schedule):  # it was stopped: up to there it lasted
            state = msgspec.structs.replace(state, duration_ns=int(outcomes.intended_ns.max(initial=0)))
        return finish(schedule, outcomes, state, objectives)


def finish(
    schedule: Schedule, outcomes: Outcomes, state: RunState, objectives: Sequence[Objective] = ()
) -> Finished:
    """The figures of a run that is over, less its warm-up and cool-down."""
    begin_ns, end_ns = state.warm_up_ns, state.duration_ns - state.cool_down_ns
    measured, duration_ns = outcomes, state.duration_ns
    if state.warm_up_ns or state.cool_down_ns:
        measured, duration_ns = outcomes.between(begin_ns, end_ns), max(0, end_ns - begin_ns)
    summary = summarise(
        measured,
        mode=state.mode,
        seed=state.seed,
        schedule_sha256=None if state.mode == CLOSED_LOOP else schedule.sha256,
        duration_ns=duration_ns,
        judgements=[o.judge(measured, schedule.lanes, duration_ns) for o in objectives],
        begin_ns=begin_ns,
    )
    summary["excluded"] = len(outcomes) - len(measured)
    summary["window_s"] = [begin_ns / 1e9, (begin_ns + duration_ns) / 1e9]
    well = int(good(measured, objectives, schedule.lanes).sum())
    summary["goodput_per_s"] = round(well / summary["duration_s"], 3)
    summary["wrong"] = outcomes.errors().get(WRONG, 0)  # a wrong answer counts whenever it came
    return Finished(schedule, outcomes, summary)


def write_run(folder: Path, finished: Finished) -> None:
    """``schedule.parquet``, ``outcomes.parquet``, ``summary.json``, ``report.html``. Raises RunFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finished.schedule.to_parquet(folder / SCHEDULE)
        finished.outcomes.to_parquet(folder / "outcomes.parquet")
        (folder / "summary.json").write_bytes(summary_json(finished.summary))
        write_report(folder / "report.html", finished.outcomes, finished.summary, finished.schedule.recipe)
        discard(folder)
    except OSError as error:
        raise RunFailed(
            f"{folder}: cannot be written: {error.strerror or error}: what came of the run lies there; make "
            f"room and call `streambox load recover {folder}`"
        ) from None


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
    """
    Raises RunFailed: an answer was wrong, none was right, (unless allowed) the verdict is not
    valid, or an objective was missed.
    """
    if summary["wrong"]:
        raise RunFailed(f"{summary['wrong']} of {summary['completed']} answers were wrong")
    if not summary["ok"]:
        raise RunFailed(f"not one of {summary['offered']} requests was answered right: {summary['errors']}")
    verdict = summary["verdict"]
    if not verdict["valid"] and not allow_invalid:
        raise RunFailed(
            f"{verdict['status']}: {'; '.join(verdict['reasons'])}; --allow-invalid accepts it all the same"
        )
    missed = [one for one in summary.get("objectives", ()) if not one["holds"]]
    if missed:
        found = "; ".join(f"{one['objective']}, found {one['found']}" for one in missed)
        raise RunFailed(f"objectives missed: {found}")


def _check_payloads(schedule: Schedule, payloads: int) -> None:
    if len(schedule.lanes) > 1:
        raise UsageError(
            f"the schedule is for {', '.join(map(str, schedule.lanes))}: one model and tenant can be replayed"
        )
    if not len(schedule):
        raise UsageError("the schedule has no request")
    highest = int(schedule.payload.max())
    if highest >= payloads or int(schedule.payload.min()) < 0:
        raise UsageError(
            f"the schedule sends payload {highest}, and there are {payloads}: give the --dataset that it "
            "was drawn for"
        )


async def _run(run: Run) -> Outcomes:
    return await run()


def _closed_schedule(workload: WorkloadOptions, model: str, payloads: int) -> Schedule:
    """A closed loop draws only which bodies it sends, over and over."""
    random = np.random.default_rng(workload.seed)
    order = random.permutation(payloads).astype(np.int32)
    recipe = {"mode": CLOSED_LOOP, "model": model, "seed": workload.seed, "duration_ns": workload.duration_ns}
    return Schedule.of_lane(np.empty(0, np.int64), order, Lane(model), recipe)
