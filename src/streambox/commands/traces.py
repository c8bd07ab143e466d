"""``streambox workload import|fit``."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
import numpy as np
from rich.console import Console

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
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import count_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.workload.events import Events
from streambox.workload.fit import MODELS, check_models, fit
from streambox.workload.processes import format_process
from streambox.workload.schedule import Schedule
from streambox.workload.traces import read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LANES_SHOWN: Final = 20
_MOST_TEXT: Final = 500  # of a process, to be printed in a terminal
_PARQUET: Final = b"PAR1"


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
def import_trace(trace: str, out: Path, payloads: int | None, seed: int, **given: Any) -> None:
    """
    Make a schedule of TRACE, which `streambox load --schedule` replays.

    TRACE is a file of one of the formats in docs/traces.md, gzip or not; which one is seen from
    its first lines. All its functions become one model, unless --map says otherwise.
    """
    options = WorkloadOptions(trace=trace_of(trace, given), lane_rule=lane_rule_of(given), seed=seed)
    bodies = payloads or (lambda lane: count_payloads(lane.model))
    with _written_whole(out, Path(trace)) as part:
        with reading(Console(stderr=True), trace) as progress:
            schedule = draw_schedule(options, DEFAULT_MODEL, bodies, progress)
        schedule.to_parquet(part)
    for line in (*facts(schedule.recipe), *_facts(out, schedule)):
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
    with _written_whole(out, Path(source)) if out is not None else nullcontext() as part:
        events = (
            _schedule_events(source, given) if _is_parquet(source) else _trace_events(source, seed, given)
        )
        found = fit(events, models=models or MODELS, random=np.random.default_rng(seed))
        text = format_process(found.best.process, digits=6)
        if part is not None:
            part.write_text(text + "\n", encoding="ascii")
    for line in (*found.describe(), "", _paste(text, out)):
        click.echo(line)


# ---- import --------------------------------------------------------------------------------------


@contextmanager
def _written_whole(out: Path, source: Path) -> Iterator[Path]:
    """
    A file to write to, which becomes *out* once all has gone well; a device is written to itself.

    Raises UsageError at once where none can be written there, RunFailed where it cannot be finished.
    """
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"{out}: is what is to be read: name another file to write")
    out = Path(os.path.realpath(out))
    if out.exists() and not out.is_file():
        yield out
        return
    part = out.with_name(f".{out.name}.part")
    try:
        part.touch()
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    try:
        yield part
        os.replace(part, out)
    except OSError as error:
        raise RunFailed(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _facts(out: Path, schedule: Schedule) -> Iterator[str]:
    duration_s = schedule.duration_ns / 1e9
    rate = len(schedule) / duration_s
    yield f"{out}: {len(schedule):,} requests in {duration_s:,.6g} s, {rate:,.6g}/s on average"
    yield f"sha256 {schedule.sha256}"
    requests = np.bincount(schedule.lane, minlength=len(schedule.lanes)).tolist()
    for lane, count in list(zip(schedule.lanes, requests, strict=True))[:_MOST_LANES_SHOWN]:
        yield f"{count:>14,}  {lane}"
    if len(schedule.lanes) > _MOST_LANES_SHOWN:
        yield f"{'':>14}  … and {len(schedule.lanes) - _MOST_LANES_SHOWN} more models and tenants"


# ---- fit -----------------------------------------------------------------------------------------


def _is_parquet(source: str) -> bool:
    try:
        if not Path(source).is_file():  # a pipe can be read but once
            return False
        with open(source, "rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False  # whoever reads it as a trace says why


def _schedule_events(source: str, given: dict[str, Any]) -> Events:
    if any(value is not None for value in given.values()):
        raise UsageError(f"{source}: is a schedule: --format, --from and the like say how a trace is read")
    schedule = Schedule.from_parquet(Path(source))
    names = tuple(map(str, schedule.lanes))
    return Events(schedule.intended_ns, schedule.lane.astype(np.int32), names, schedule.duration_ns)


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
