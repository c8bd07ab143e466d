"""Files of arrivals: the one place that knows which kinds there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streambox.errors import UsageError
from streambox.workload.arrivals import NS_PER_S, arrivals_in_units
from streambox.workload.counts import read_counts
from streambox.workload.events import Events
from streambox.workload.schedule import Lane, Schedule
from streambox.workload.traces import TraceOptions, read_trace

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"
_LOOKED_AT: Final = 4096


def read_source(path: Path, random: np.random.Generator) -> Events:
    """
    The arrivals in *path*: a schedule, whose lanes are the functions, or a trace or pattern.

    *random* draws the instants that counts leave open. Raises UsageError.
    """
    if is_schedule(path):
        return _events_of(Schedule.from_parquet(path), path)
    if _may_be_trace(path):
        return read_trace(TraceOptions(path=str(path)), random).events
    counts = read_counts(path)
    return Events.of(arrivals_in_units(counts, NS_PER_S, random), len(counts) * NS_PER_S)


class Provenance(NamedTuple):
    """What a schedule file says of itself: its lanes, and the recipe that drew it."""

    lanes: tuple[Lane, ...]
    recipe: dict[str, Any]


def provenance(path: Path) -> Provenance | None:
    """Of a file that ``read_source`` has read; None: it is no schedule."""
    if not is_schedule(path):
        return None
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata
    lanes = tuple(Lane(*pair) for pair in json.loads(metadata[b"streambox.lanes"]))
    return Provenance(lanes, json.loads(metadata[b"streambox.recipe"]))


def is_schedule(path: Path) -> bool:
    """By what the file begins with. A file that cannot be read is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False


def _may_be_trace(path: Path) -> bool:
    """Its rows have fields, or it is compressed: no pattern does or is."""
    try:
        with path.open("rb") as file:
            begin = file.read(_LOOKED_AT)
    except OSError:
        return False  # whoever reads it as a pattern says why
    return begin.startswith(_GZIP) or b"," in begin or begin.lstrip().startswith(b"{")


def _events_of(schedule: Schedule, path: Path) -> Events:
    """What *schedule*, from *path*, sends when, and for which of its lanes."""
    if not len(schedule) and len(schedule.payload):
        raise UsageError(f"{path}: the schedule of a closed loop has no instants")
    instants_ns = schedule.intended_ns
    if len(schedule) and (instants_ns[0] < 0 or (instants_ns[1:] < instants_ns[:-1]).any()):
        raise UsageError(f"{path}: the schedule's instants are not in order from 0 on")
    after_last_ns = int(instants_ns[-1]) + 1 if len(schedule) else 0
    duration_ns = max(schedule.duration_ns, after_last_ns)
    return Events(instants_ns, schedule.lane.astype("int32"), tuple(map(str, schedule.lanes)), duration_ns)
