"""``load find-max``: the search's segments, run for real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from rich.console import Console
from rich.table import Table

from streambox.errors import UsageError
from streambox.loadgen.find_max import PERCENTILES, Found, Search, Segment, Trial
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.session import check_finished, run_load
from streambox.loadgen.slo import Objective, check_concerned
from streambox.loadgen.summary import FAILED, environment
from streambox.loadgen.table import ms_text
from streambox.workload.schedule import Lane

if TYPE_CHECKING:
    from streambox.loadgen.crossing import Crossing
    from streambox.loadgen.payload import PayloadOptions
    from streambox.loadgen.run import RunOptions
    from streambox.loadgen.session import Finished

_MOST_LATE: Final = 3
_LOWEST_PER_S: Final = 0.1
_SEGMENTS_IN_THE_END: Final = 10
_SILENT: Final = Console(quiet=True)


class FindOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to search for, and how closely; see ``Search``. ``warm_up_ns`` of each segment are not counted."""

    objectives: tuple[Objective, ...]
    start_per_s: float
    highest_per_s: float
    arrivals: Literal["poisson", "constant"]
    segment_ns: int
    warm_up_ns: int
    precision: float
    most_segments: int
    seed: int


def find_max_rate(
    options: FindOptions, run: RunOptions, model: str, payloads: PayloadOptions, console: Console
) -> Found:
    """
    The highest rate at which every objective holds. Progress goes to *console*, a line a rate.

    Ends early, with what is known, when it is interrupted, and at a rate that the generator itself
    has not kept three times in a row.

    Raises UsageError for objectives that are not about a share of the requests, or about none of
    them, before anything is sent; RunFailed when an answer was wrong, nobody answers, or a worker dies.
    """
    check_concerned(options.objectives, (Lane(model),))
    search = _search(options)
    segments = late = 0
    while (rate := search.rate_per_s) is not None:
        finished = _segment(options, run, model, payloads, rate, options.seed + segments)
        segments += 1
        if finished is None:
            search.interrupt()
            break
        if not finished.summary["verdict"]["valid"]:
            late += 1
            if late < _MOST_LATE:  # it says nothing of the server: once more
                continue
            console.print(f"{rate:10.1f}/s  the load generator cannot keep it: {_reasons(finished)}")
            search.give_up()
            break
        late = 0
        trial = search.trial
        search.add(_judged(options, finished))
        if trial is not None and search.trial is not trial:
            console.print(_line(options, trial), highlight=False)
    return search.found()


def _search(options: FindOptions) -> Search:
    allowed = []
    for objective in options.objectives:
        if objective.allowed is None:
            raise UsageError(
                f"{objective.text!r} says nothing of single requests: search with objectives such as "
                "p99<50ms, ok>99.9% or errors<0.1%"
            )
        allowed.append(objective.allowed)
    if not 0 < options.start_per_s <= options.highest_per_s:
        raise UsageError("the first rate must be above 0, and not above the highest: see --from and --to")
    return Search(
        allowed,
        start_per_s=options.start_per_s,
        lowest_per_s=min(_LOWEST_PER_S, options.start_per_s),
        highest_per_s=options.highest_per_s,
        precision=options.precision,
        most_segments=options.most_segments,
        segments_in_the_end=_SEGMENTS_IN_THE_END,
    )


def _segment(
    options: FindOptions, run: RunOptions, model: str, payloads: PayloadOptions, rate: float, seed: int
) -> Finished | None:
    """One run at *rate*; None when it was interrupted."""
    workload = WorkloadOptions(
        rate_per_s=rate, duration_ns=options.segment_ns, arrivals=options.arrivals, seed=seed
    )
    run = msgspec.structs.replace(run, warm_up_ns=options.warm_up_ns)
    try:
        finished = run_load(workload, run, model, _SILENT, quiet=True, sending=payloads)
    except KeyboardInterrupt:  # while nothing was being sent
        return None
    if finished.summary["wrong"] or finished.summary["verdict"]["status"] == FAILED:
        check_finished(finished.summary, allow_invalid=True)
    return None if finished.stopped else finished


def _judged(options: FindOptions, finished: Finished) -> Segment:
    measured = finished.outcomes.between(options.warm_up_ns, options.segment_ns)
    lanes = finished.schedule.lanes
    missed = tuple(int(one.missed(measured, lanes).sum()) for one in options.objectives)
    response_ms = finished.summary["response_ms"]
    concerned = tuple(one.count(measured, lanes) for one in options.objectives)
    return Segment(len(measured), missed, response_ms["p50"], response_ms["p99"], concerned)


def _reasons(finished: Finished) -> str:
    return "; ".join(finished.summary["verdict"]["reasons"])


def _line(options: FindOptions, trial: Trial) -> str:
    shares = ", ".join(
        f"{objective.text}: {trial.share(index):.3%} missed it ({objective.allowed:.3%} may)"
        for index, objective in enumerate(options.objectives)
    )
    clear = "" if trial.clear else ", barely"
    return f"{trial.rate_per_s:10.1f}/s  {trial.verdict}{clear}  {shares}  ({len(trial.segments)} segments)"


def found_table(options: FindOptions, found: Found) -> Table:
    """The curve: every rate tried, lowest first."""
    title = "no rate holds" if found.rate_per_s is None else f"{found.rate_per_s:,.1f}/s holds"
    low, high = ("–" if bound is None else f"{bound:,.1f}/s" for bound in (found.low, found.high))
    if found.interrupted:
        title = f"{title} (interrupted before the search was over)"
    caption = f"clearly holds: {low}, clearly fails: {high}, {options.arrivals} arrivals"
    if found.crossing is not None:
        caption = f"{crossing_text(found.crossing)}\n{caption}"
    table = Table(title=f"{', '.join(one.text for one in options.objectives)}: {title}", caption=caption)
    missed = [f"missed {one.text}" for one in options.objectives]
    for column in ("rate", *missed, "p50", "p99", "segments", ""):
        table.add_column(column, justify="right")
    for trial in found.trials:
        shares = [f"{trial.share(index):.3%}" for index in range(len(options.objectives))]
        times = [ms_text(trial.percentile_ms(name)) for name in PERCENTILES]
        verdict = str(trial.verdict) if trial.clear else f"{trial.verdict}, barely"
        table.add_row(f"{trial.rate_per_s:,.1f}/s", *shares, *times, str(len(trial.segments)), verdict)
    return table


def crossing_text(crossing: Crossing) -> str:
    """``the limit is at 455.1/s (95 %: 447.2 to 463.9)``."""
    text = f"the limit is at {crossing.rate_per_s:,.1f}/s"
    if crossing.low is None or crossing.high is None:
        return f"{text}, how closely the segments do not tell"
    return f"{text} (95 %: {crossing.low:,.1f} to {crossing.high:,.1f})"


def found_json(options: FindOptions, found: Found) -> bytes:
    """What was found, for a program."""
    content: dict[str, Any] = {
        "schema_version": 1,
        "environment": environment(),
        "objectives": [objective.text for objective in options.objectives],
        "arrivals": options.arrivals,
        "segment_s": options.segment_ns / 1e9,
        "seed": options.seed,
        "interrupted": found.interrupted,
        "rate_per_s": found.rate_per_s,
        "limit_per_s": None if found.crossing is None else found.crossing._asdict(),
        "clearly_holds_per_s": found.low,
        "clearly_fails_per_s": found.high,
        "curve": [
            {
                "rate_per_s": trial.rate_per_s,
                "verdict": trial.verdict,
                "clear": trial.clear,
                "segments": [msgspec.to_builtins(segment) for segment in trial.segments],
            }
            for trial in found.trials
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
