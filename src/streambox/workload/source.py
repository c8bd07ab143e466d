"""Files of arrivals: the one place that knows which kinds there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.errors import UsageError
from streambox.workload.arrivals import NS_PER_S, arrivals_in_units
from streambox.workload.counts import read_counts
from streambox.workload.events import Events
from streambox.workload.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_PARQUET: Final = b"PAR1"


def read_source(path: Path, random: np.random.Generator) -> Events:
    """
    The arrivals in *path*: a schedule, whose lanes are the functions, or a pattern of counts per second.

    *random* draws the instants of a pattern. Raises UsageError.
    """
    if is_schedule(path):
        return events_of(Schedule.from_parquet(path), path)
    counts = read_counts(path)
    return Events.of(arrivals_in_units(counts, NS_PER_S, random), len(counts) * NS_PER_S)


def is_schedule(path: Path) -> bool:
    """By what the file begins with. A file that cannot be read is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False


def events_of(schedule: Schedule, path: Path) -> Events:
    """What *schedule*, from *path*, sends when, and for which of its lanes."""
    if not len(schedule) and len(schedule.payload):
        raise UsageError(f"{path}: the schedule of a closed loop has no instants")
    instants_ns = schedule.intended_ns
    if len(schedule) and (instants_ns[0] < 0 or (instants_ns[1:] < instants_ns[:-1]).any()):
        raise UsageError(f"{path}: the schedule's instants are not in order from 0 on")
    after_last_ns = int(instants_ns[-1]) + 1 if len(schedule) else 0
    duration_ns = max(schedule.duration_ns, after_last_ns)
    return Events(instants_ns, schedule.lane.astype("int32"), tuple(map(str, schedule.lanes)), duration_ns)
