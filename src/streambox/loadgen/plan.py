"""From options to a schedule: which workload, drawn with which seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.arrivals import Arrivals, arrivals_at_rate, arrivals_in_units, check_total
from streambox.workload.counts import MOST_UNITS, read_counts, shape_counts
from streambox.workload.events import Events
from streambox.workload.lane_durations import lane_durations
from streambox.workload.lanes import LaneRule, assign
from streambox.workload.patterns import DEFAULT_UNITS, generate
from streambox.workload.processes import parse_process
from streambox.workload.schedule import Schedule, draw_payloads
from streambox.workload.source import events_of
from streambox.workload.traces import FORMATS, TraceOptions, read_durations, read_trace
from streambox.workload.transforms import apply_all, parse_transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streambox.workload.lanes import Assigned
    from streambox.workload.schedule import Int32s, Lane
    from streambox.workload.traces.base import Progress
    from streambox.workload.traces.durations import Durations

_NS_PER_S: Final = 1_000_000_000
_FEW_UNITS: Final = 65_536  # of a pattern, drawn in a moment; a longer one begins with them


class WorkloadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    One workload: a pattern by ``type``, file or folder, a constant ``rate_per_s``, an arrival
    ``process`` such as ``gamma:rate=100,cv=3``, a ``trace``, or what the ``redrawn`` schedule file
    sends when.

    ``length``, ``gap_time`` and ``lap_time`` count time units of ``time_unit_ns``. ``transforms``
    (see ``workload.transforms``) change what was drawn, in their order. ``lane_rule`` says for
    which models and tenants the functions of a trace, or the lanes of that schedule, are.
    """

    type: Literal["bursty", "periodic", "sporadic"] = "bursty"
    workload_file: str | None = None
    workload_dir: str | None = None
    multiple: float = 1.0
    length: int | None = None
    gap_time: int | None = None
    lap_time: int = 0
    time_unit_ns: int = _NS_PER_S
    rate_per_s: float | None = None
    process: str | None = None
    trace: TraceOptions | None = None
    redrawn: str | None = None
    lane_rule: LaneRule = LaneRule()
    duration_ns: int = 30 * _NS_PER_S
    arrivals: Arrivals = "poisson"
    seed: int = 0
    transforms: tuple[str, ...] = ()


def draw_schedule(
    options: WorkloadOptions,
    model: str,
    payloads: int | Callable[[Lane], int],
    progress: Progress | None = None,
    durations: str | None = None,
) -> Schedule:
    """
    The whole workload as one schedule; the same options draw the same one.

    *payloads*: how many bodies there are, for all lanes or by lane. *progress* is told how far
    a trace has been read. *durations*: a file that tells how long the trace's functions ran; what
    it says of each lane is then in the recipe, see ``lane_durations``.

    Raises UsageError for options or files that make no workload.
    """
    options.lane_rule.check()
    timed = _read_durations(options, durations)  # first: it is the shorter file, if it is the wrong one
    random = np.random.default_rng(options.seed)
    events, recipe = draw_events(options, random, progress)
    if not len(events):
        hint = ", or transform it less" if options.transforms else ""
        raise UsageError(f"the workload has no request at all: raise --multiple, --len or --rate{hint}")
    rule = options.lane_rule
    if options.trace is not None or options.redrawn is not None:
        named = options.redrawn is not None or FORMATS[recipe["trace"]["format"]].names_lanes
        rule = rule.of(names_lanes=named)
        recipe["lane_rule"] = rule.recipe()
    assigned = assign(events, rule, model)
    counts = [payloads if isinstance(payloads, int) else payloads(lane) for lane in assigned.lanes]
    payload = _draw_payloads(assigned, counts, random)
    common = counts[0] if len(set(counts)) == 1 else counts
    recipe = {"model": model, "payloads": common, "numpy": np.__version__} | recipe
    notes = [*recipe.get("notes", ()), *assigned.notes]
    if timed is not None:
        _check_timed(recipe["trace"])
        recipe["durations"] = lane_durations(events, assigned, timed)
        notes += timed.notes()
    if notes:
        recipe["notes"] = notes
    return Schedule(assigned.instants_ns, payload, assigned.lane, assigned.lanes, recipe)


def draw_events(
    options: WorkloadOptions, random: np.random.Generator, progress: Progress | None = None
) -> tuple[Events, dict[str, Any]]:
    """The arrivals of a workload, transformed, and what it takes to draw them. Raises UsageError."""
    events, recipe = _draw_source(options, random, progress)
    return transformed(events, recipe, options.transforms, random)


def transformed(
    events: Events, recipe: dict[str, Any], texts: Sequence[str], random: np.random.Generator
) -> tuple[Events, dict[str, Any]]:
    """
    *events* after the transforms that *texts* name, and *recipe* with these.

    Its ``fidelity`` says what each of them kept, a line each; its ``duration_ns`` becomes that of
    what comes out, and ``source_duration_ns`` says what went in. Raises UsageError.
    """
    if not texts:
        return events, recipe
    after, reports = apply_all(events, parse_transforms(texts), random)
    changes = {
        "transforms": [report.transform for report in reports],
        "fidelity": [report.describe() for report in reports],
        "source_duration_ns": events.duration_ns,
        "duration_ns": after.duration_ns,
    }
    return after, recipe | changes


def _draw_source(
    options: WorkloadOptions, random: np.random.Generator, progress: Progress | None
) -> tuple[Events, dict[str, Any]]:
    if options.trace is not None:
        return _read_events(options, options.trace, random, progress)
    if options.redrawn is not None:
        return _scheduled_events(options, Path(options.redrawn))
    if options.rate_per_s is not None:
        recipe = _recipe(options, "rate_per_s", "duration_ns", "arrivals", "seed")
        instants_ns = arrivals_at_rate(options.rate_per_s, options.duration_ns, options.arrivals, random)
        return Events.of(instants_ns, options.duration_ns), recipe
    if options.process is not None:
        recipe = _recipe(options, "process", "duration_ns", "seed")
        instants_ns = parse_process(options.process).arrivals(options.duration_ns, random)
        return Events.of(instants_ns, options.duration_ns), recipe
    counts = _counts(options)
    recipe = _recipe(options, "type", "workload_file", "workload_dir", "multiple", "length")
    recipe |= _recipe(options, "gap_time", "lap_time", "time_unit_ns", "seed")
    recipe["duration_ns"] = duration_ns = len(counts) * options.time_unit_ns
    return Events.of(arrivals_in_units(counts, options.time_unit_ns, random), duration_ns), recipe


def _read_events(
    options: WorkloadOptions, given: TraceOptions, random: np.random.Generator, progress: Progress | None
) -> tuple[Events, dict[str, Any]]:
    trace = read_trace(given, random, progress)
    facts = {"format": trace.format, "sha256": trace.sha256, "functions": len(trace.events.functions)}
    facts |= {"rows": trace.rows, "skipped": trace.skipped}
    recipe: dict[str, Any] = {"trace": msgspec.to_builtins(given) | facts}
    recipe |= _recipe(options, "seed") | {"duration_ns": trace.events.duration_ns}
    notes = [*trace.reasons, *trace.notes]
    return trace.events, recipe | ({"notes": notes} if notes else {})


def _read_durations(options: WorkloadOptions, path: str | None) -> Durations | None:
    if path is None:
        return None
    if options.trace is None:
        raise UsageError("--durations goes with --trace: it tells how long a trace's functions ran")
    return read_durations(path, options.trace.on_bad_row)


def _check_timed(trace: dict[str, Any]) -> None:
    """Raises UsageError where *trace*, as a recipe has it, has no functions that a file of durations has."""
    if not FORMATS[trace["format"]].has_durations:
        timed = " or ".join(name for name, each in FORMATS.items() if each.has_durations)
        raise UsageError(
            f"{trace['path']}: --durations is of no use: it tells of the functions of a trace of the format "
            f"{timed}, and this one is {trace['format']}"
        )


def _scheduled_events(options: WorkloadOptions, path: Path) -> tuple[Events, dict[str, Any]]:
    """What another schedule sends when, and the recipe that drew that."""
    schedule = Schedule.from_parquet(path)
    events = events_of(schedule, path)
    source = {"file": str(path), "sha256": schedule.sha256, "recipe": schedule.recipe}
    return events, {"redrawn": source, "seed": options.seed, "duration_ns": events.duration_ns}


def _draw_payloads(assigned: Assigned, counts: list[int], random: np.random.Generator) -> Int32s:
    """Of each request's lane, one of as many bodies as it has."""
    if len(set(counts)) == 1:
        return draw_payloads(len(assigned.lane), counts[0], random)
    payload = np.empty(len(assigned.lane), np.int32)
    for lane, count in enumerate(counts):
        there = assigned.lane == lane
        payload[there] = draw_payloads(int(np.count_nonzero(there)), count, random)
    return payload


def _recipe(options: WorkloadOptions, *keys: str) -> dict[str, Any]:
    return {key: getattr(options, key) for key in keys}


def _counts(options: WorkloadOptions) -> list[int]:
    if options.workload_file is not None:
        counts = read_counts(Path(options.workload_file))
    elif options.workload_dir is not None:
        counts = read_counts(Path(options.workload_dir) / f"{options.type}-load.txt")
    else:
        counts = _built_in(options, options.length or DEFAULT_UNITS[options.type])
    length = options.length
    if length is not None and length > len(counts):
        raise UsageError(
            f"len is {length}, but the workload has only {len(counts)} time units: give at most that"
        )
    return shape_counts(counts, options.multiple, length, options.gap_time, options.lap_time)


def _built_in(options: WorkloadOptions, units: int) -> list[int]:
    """Raises UsageError where the first units have more requests than can be replayed: no more are drawn."""
    if _FEW_UNITS < units <= MOST_UNITS:
        first = shape_counts(generate(options.type, _FEW_UNITS, options.seed), options.multiple)
        check_total(sum(first))
    return generate(options.type, units, options.seed)
