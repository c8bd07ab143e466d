"""A run from options to files: draw, replay, summarise, write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import uvloop

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.certificate import warning
from streambox.loadgen.lane_figures import LaneFigures, weights_of
from streambox.loadgen.live import make_live_view, unfailing
from streambox.loadgen.mix import closed_mix, draw_mix
from streambox.loadgen.payload import LaneSending, PayloadOptions, PayloadSet, payloads_of
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.record import WRONG
from streambox.loadgen.report import write_report
from streambox.loadgen.run import Run, RunOptions
from streambox.loadgen.slo import check_concerned
from streambox.loadgen.spool import SCHEDULE, RunState, discard, recording
from streambox.loadgen.summary import CLOSED_LOOP, FAILED, OPEN_LOOP, summarise
from streambox.loadgen.workers import SharedRun
from streambox.workload.schedule import Lane, Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from streambox.loadgen.mix import Mix
    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.slo import Objective


class Finished(NamedTuple):
    """What a run leaves. ``stopped``: somebody stopped it, whether before its last request or after."""

    schedule: Schedule
    outcomes: Outcomes
    summary: dict[str, Any]
    stopped: bool = False


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
    mix: Mix | None = None,
    made: dict[LaneSending, PayloadSet] | None = None,
) -> Finished:
    """
    Replay *workload*, or the *schedule* or the *mix* that is given, and return what came of it.

    With a *mix*, a schedule's requests are those of its streams, and so are objectives beside ours.

    *made*: payloads that need not be made again, such as those that the schedule was drawn for.

    With *out*, what has come of it so far lies there while the run goes on: see ``recover``.

    Raises UsageError for a workload that cannot be drawn, or an objective about a tenant or model
    that is not in it, before anything is sent; RunFailed when the target cannot be reached at all.
    """
    _check_workers(options)
    closed = options.concurrency is not None
    if mix is not None:
        objectives = [*objectives, *mix.objectives]
    check_concerned(objectives, _lanes(model, mix, schedule))
    schedule, cargo, payloads = _prepare(workload, options, model, sending, mix, schedule, made)
    for line in () if quiet else schedule.recipe.get("fidelity", ()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    mode = CLOSED_LOOP if closed else OPEN_LOOP
    duration_ns = options.duration_ns if closed else schedule.duration_ns
    if duration_ns <= options.warm_up_ns + options.cool_down_ns:
        raise UsageError("warm-up and cool-down leave nothing of the run: make it longer, or them shorter")
    seed = int(schedule.recipe.get("seed", workload.seed))
    state = RunState(mode, seed, duration_ns, options.warm_up_ns, options.cool_down_ns, options.realtime)
    if not closed and (beyond := warning(schedule, options.workers)) is not None:
        console.print(f"warning: {beyond}", style="yellow", highlight=False)
    view = unfailing(make_live_view(console, quiet=quiet))
    with recording(out, schedule, state, options.workers) as spool:
        schedule = spool.schedule  # what was drawn need not stay in memory
        run: Run | SharedRun
        if options.workers > 1:
            run = SharedRun(spool, cargo, options, view)
        else:
            run = Run(schedule, payloads, options, view, spool.recorder())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcomes = runner.run(_run(run))
        if not closed and len(outcomes) < len(schedule):  # it was stopped: up to there it lasted
            last_ns = int(outcomes.intended_ns[-1]) if len(outcomes) else 0
            state = msgspec.structs.replace(state, duration_ns=last_ns)
        finished = finish(schedule, outcomes, state, objectives, run.failure)
        return finished._replace(stopped=run.stopped)


def finish(
    schedule: Schedule,
    outcomes: Outcomes,
    state: RunState,
    objectives: Sequence[Objective] = (),
    failure: str | None = None,
) -> Finished:
    """The figures of a run that is over, less its warm-up and cool-down. *failure*: why it ended early."""
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
        failure=failure,
    )
    summary["environment"]["realtime"] = state.realtime
    summary["excluded"] = len(outcomes) - len(measured)
    summary["window_s"] = [begin_ns / 1e9, (begin_ns + duration_ns) / 1e9]
    figures = LaneFigures(
        measured,
        schedule.lanes,
        duration_s=summary["duration_s"],
        offered_s=duration_ns / 1e9,
        objectives=objectives,
    )
    summary["goodput_per_s"] = round(figures.goodput_per_s(), 3)
    summary |= figures.summary(weights_of(schedule.recipe, schedule.lanes))
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
    Raises RunFailed: the run did not get through, an answer was wrong, none was right, (unless
    allowed) the verdict is not valid, or an objective was missed.
    """
    if summary["verdict"]["status"] == FAILED:
        raise RunFailed(summary["verdict"]["reasons"][0])
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


def _prepare(
    workload: WorkloadOptions,
    options: RunOptions,
    model: str,
    sending: PayloadOptions | None,
    mix: Mix | None,
    schedule: Schedule | None,
    made: dict[LaneSending, PayloadSet] | None,
) -> tuple[Schedule, list[LaneSending], list[PayloadSet]]:
    """
    What goes out when, and for each lane of it out of which payloads.

    *schedule*: one that was drawn before, of *mix* or of another for the same lanes. Raises
    UsageError, RunFailed.
    """
    cargo = _cargo(_lanes(model, mix, schedule), workload, sending, mix, schedule)
    payloads = payloads_of(cargo, options.target, options.tls_context(), made)
    if schedule is not None:
        _check_payloads(schedule, payloads)
        return schedule, cargo, payloads
    counts = [len(each) for each in payloads]
    closed = options.concurrency is not None
    if mix is not None:
        drawn = closed_mix(mix, counts, CLOSED_LOOP, options.duration_ns) if closed else draw_mix(mix, counts)
    else:
        drawn = (_closed_schedule if closed else draw_schedule)(workload, model, counts[0])
    return drawn, cargo, payloads


def _lanes(model: str, mix: Mix | None, schedule: Schedule | None) -> tuple[Lane, ...]:
    """Whose requests there will be."""
    if schedule is not None:
        return schedule.lanes
    return (Lane(model),) if mix is None else mix.lanes


def _cargo(
    lanes: Sequence[Lane],
    workload: WorkloadOptions,
    sending: PayloadOptions | None,
    mix: Mix | None,
    schedule: Schedule | None,
) -> list[LaneSending]:
    if mix is not None:
        return mix.sending(lanes)
    # The payloads of a replay are those that it was drawn for: seeded ones are drawn alike.
    seed = workload.seed if schedule is None else int(schedule.recipe.get("seed", workload.seed))
    return [LaneSending(lane.model, seed, sending or PayloadOptions()) for lane in lanes]


def _check_workers(options: RunOptions) -> None:
    if options.concurrency is not None and options.concurrency < options.workers:
        raise UsageError(f"{options.concurrency} callers cannot be shared by {options.workers} workers")
    if options.connections < options.workers:
        raise UsageError(f"{options.connections} connections cannot be shared by {options.workers} workers")


def _check_payloads(schedule: Schedule, payloads: Sequence[PayloadSet]) -> None:
    if not len(schedule):
        raise UsageError("the schedule has no request")
    for number, lane in enumerate(schedule.lanes):
        sent = schedule.payload[schedule.lane == number]
        highest, there_are = int(sent.max(initial=0)), len(payloads[number])
        if highest >= there_are or int(sent.min(initial=0)) < 0:
            raise UsageError(
                f"the schedule sends payload {highest} to {lane}, and there are {there_are}: give the "
                "--dataset that it was drawn for"
            )


async def _run(run: Run | SharedRun) -> Outcomes:
    return await run()


def _closed_schedule(workload: WorkloadOptions, model: str, payloads: int) -> Schedule:
    """A closed loop draws only which bodies it sends, over and over."""
    random = np.random.default_rng(workload.seed)
    order = random.permutation(payloads).astype(np.int32)
    recipe = {"mode": CLOSED_LOOP, "model": model, "seed": workload.seed, "duration_ns": workload.duration_ns}
    return Schedule.of_lane(np.empty(0, np.int64), order, Lane(model), recipe)
