"""Files of arrivals: the one place that knows which kinds there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from streambox.errors import UsageError
from streambox.workload.arrivals import NS_PER_S, arrivals_in_units
from streambox.workload.counts import read_counts
from streambox.workload.events import Events
from streambox.workload.schedule import Schedule, lane_text
from streambox.workload.traces import TraceOptions, read_trace

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["schedule", "pattern", "trace"]

_PARQUET: Final = b"PAR1"
_LOOKED_AT: Final = 4096


def read_source(path: Path, random: np.random.Generator) -> Events:
    """
    The arrivals in *path*: of a schedule, of a pattern with a count per second, or of a trace.

    *random* draws the instants that counts leave open. Raises UsageError.
    """
    kind = kind_of(path)
    if kind == "schedule":
        return events_of(Schedule.from_parquet(path), path)
    if kind == "trace":
        return read_trace(TraceOptions(path=str(path)), random).events
    counts = read_counts(path)
    return Events.of(arrivals_in_units(counts, NS_PER_S, random), len(counts) * NS_PER_S)


def kind_of(path: Path) -> Kind:
    """
    What *path* is, by how it begins: words in the first line, none of them a name or a list, are counts.

    What is no regular file, or cannot be read, is for the reader of traces. Raises UsageError where
    there is none.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    try:
        if not path.is_file():  # a pipe can be read but once
            return "trace"
        with path.open("rb") as file:
            begin = file.read(_LOOKED_AT)
    except OSError:
        return "trace"
    if begin.startswith(_PARQUET):
        return "schedule"
    words = begin.lstrip().split(b"\n")[0].split()
    return "pattern" if len(words) > 1 and all(map(_may_be_count, words)) else "trace"


def _may_be_count(word: bytes) -> bool:
    """Whether it was meant as one, though it be negative, or a fraction, or NaN."""
    return word.lower() in (b"nan", b"inf") or not word.strip(b"0123456789.+-eE")


def events_of(schedule: Schedule, path: Path) -> Events:
    """What *schedule*, from *path*, sends when; its functions are lanes, as ``lane_text`` writes them."""
    if not len(schedule) and len(schedule.payload):
        raise UsageError(f"{path}: the schedule of a closed loop has no instants")
    instants_ns = schedule.intended_ns
    if len(schedule) and (instants_ns[0] < 0 or (instants_ns[1:] < instants_ns[:-1]).any()):
        raise UsageError(f"{path}: the schedule's instants are not in order from 0 on")
    after_last_ns = int(instants_ns[-1]) + 1 if len(schedule) else 0
    duration_ns = max(schedule.duration_ns, after_last_ns)
    functions = tuple(map(lane_text, schedule.lanes))
    return Events(instants_ns, schedule.lane.astype(np.int32), functions, duration_ns)
