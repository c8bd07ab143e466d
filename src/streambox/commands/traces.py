"""``streambox workload import|fit``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
import numpy as np
from rich.console import Console

from streambox.commands.output import facts_of, written_whole
from streambox.commands.target import DEFAULT_MODEL
from streambox.commands.trace_options import (
    NAMES,
    facts,
    lane_options,
    lane_rule_of,
    reading,
    reading_options,
    trace_of,
)
from streambox.errors import UsageError
from streambox.loadgen.payload import count_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.workload.fit import MODELS, check_models, fit
from streambox.workload.processes import format_process
from streambox.workload.schedule import Schedule
from streambox.workload.source import events_of, kind_of
from streambox.workload.traces import read_trace

if TYPE_CHECKING:
    from streambox.workload.events import Events

_MOST_TEXT: Final = 500  # of a process, to be printed in a terminal


@click.command("import")
@click.argument("trace", type=click.Path())
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Schedule to write."
)
@reading_options
@lane_options
@click.option(
    "--payloads", type=click.IntRange(1, 2**31 - 1), help="How many bodies to choose from.  [the model's]"
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Same seed, same schedule.  [0]")
def import_trace(
    trace: str, out: Path, payloads: int | None, seed: int, durations: str | None, **given: Any
) -> None:
    """
    Make a schedule of TRACE, which `streambox load --schedule` replays.

    TRACE is a file of one of the formats in docs/traces.md, gzip or not; which one is seen from
    its first lines. All its functions become one model, unless --map says otherwise.
    """
    options = WorkloadOptions(trace=trace_of(trace, given), lane_rule=lane_rule_of(given), seed=seed)
    bodies = payloads or (lambda lane: count_payloads(lane.model))
    with written_whole(out, Path(trace), Path(durations or "")) as part:
        with reading(Console(stderr=True), trace) as progress:
            schedule = draw_schedule(options, DEFAULT_MODEL, bodies, progress, durations)
        schedule.to_parquet(part)
    for line in (*facts(schedule.recipe), *facts_of(out, schedule)):
        click.echo(line)


@click.command("fit")
@click.argument("source", type=click.Path())
@reading_options
@click.option("--models", type=NAMES, help="Models to try, such as poisson,gamma.  [all]")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of what is drawn where the clock is coarse.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the process's text.")
def fit_trace(source: str, models: tuple[str, ...] | None, seed: int, out: Path | None, **given: Any) -> None:
    """
    Say which arrival process SOURCE looks like, with which parameters, and how well that fits.

    SOURCE is a trace, a pattern file, or a schedule.parquet. All its functions count together.
    The last line is what to give to `streambox load --process`.
    """
    check_models(models or MODELS)
    with written_whole(out, Path(source)) if out is not None else nullcontext() as part:
        events = (
            _schedule_events(source, given)
            if kind_of(Path(source)) == "schedule"
            else _trace_events(source, seed, given)
        )
        found = fit(events, models=models or MODELS, random=np.random.default_rng(seed))
        text = format_process(found.best.process, digits=6)
        if part is not None:
            part.write_text(text + "\n", encoding="ascii")
    for line in (*found.describe(), "", _paste(text, out)):
        click.echo(line)


# ---- fit -----------------------------------------------------------------------------------------


def _schedule_events(source: str, given: dict[str, Any]) -> Events:
    if any(value is not None for value in given.values()):
        raise UsageError(f"{source}: is a schedule: --format, --from and the like say how a trace is read")
    return events_of(Schedule.from_parquet(Path(source)), Path(source))


def _trace_events(source: str, seed: int, given: dict[str, Any]) -> Events:
    """Of counts, no more than they say: that a request came in some time unit."""
    with reading(Console(stderr=True), source) as progress:
        trace = read_trace(trace_of(source, given), np.random.default_rng(seed), progress)
    click.echo(f"{source}: {trace.format}, {trace.rows:,} rows, {trace.skipped:,} of them skipped")
    for note in (*trace.reasons, *trace.notes):
        click.echo(f"note: {note}")
    if trace.unit_ns is None:
        return trace.events
    instants_ns = trace.events.instants_ns // trace.unit_ns * trace.unit_ns
    return msgspec.structs.replace(trace.events, instants_ns=instants_ns)


def _paste(text: str, out: Path | None) -> str:
    if len(text) <= _MOST_TEXT:
        return f"streambox load --process '{text}'"
    if out is None:
        return f"the process takes {len(text):,} characters to write: --out FILE writes them"
    return f"streambox load --process \"$(cat '{out}')\""
