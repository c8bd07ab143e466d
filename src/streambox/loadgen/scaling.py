"""Bringing a stream to its share of a mix's rate, the shape of its arrivals kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.processes import format_process, parse_process

if TYPE_CHECKING:
    from streambox.loadgen.plan import WorkloadOptions
    from streambox.workload.events import Int64s
    from streambox.workload.processes.base import Process


def at_rate(workload: WorkloadOptions, rate_per_s: float) -> WorkloadOptions:
    """The same arrivals, but so many per second on average: a rate, or a process with its rates scaled."""
    if workload.process is None:
        return msgspec.structs.replace(workload, rate_per_s=rate_per_s)
    process = parse_process(workload.process)
    mean_per_s = process.mean_rate_per_s(workload.duration_ns)
    if mean_per_s <= 0:
        raise UsageError(f"{workload.process} has no arrivals that could be scaled to a rate")
    return msgspec.structs.replace(
        workload, process=format_process(_scaled(process, rate_per_s / mean_per_s))
    )


# The rates at which arrivals come, of processes that have others: how fast they change is not scaled.
_ARRIVAL_RATES: Final = {"hawkes": ("mu_per_s",), "mmpp2": ("rate1_per_s", "rate2_per_s")}


def _scaled(process: Process, factor: float) -> Process:
    """With *factor* times its arrivals, and all its times as they are: its mean is linear in these rates."""
    names = [each.name for each in msgspec.structs.fields(type(process))]
    rates = _ARRIVAL_RATES.get(process.name, [name for name in names if name.endswith("_per_s")])
    changes: dict[str, Any] = {name: getattr(process, name) * factor for name in rates}
    if "levels" in names:
        levels: Any = process.levels  # type: ignore[attr-defined]  # just looked up
        changes["levels"] = tuple((rate * factor, time_s) for rate, time_s in levels)
    return msgspec.structs.replace(process, **changes)


def resampled(instants_ns: Int64s, count: int, end_ns: int, random: np.random.Generator) -> Int64s:
    """
    *count* arrivals that come and go as *instants_ns*, sorted, do.

    Fewer: a random choice of them. More: all of them as often as there is room for all, and
    of the rest a random choice; each but the first of its kind lies anywhere before the next
    arrival, so that none coincide and the rate is what it was, at a higher level.
    """
    if not len(instants_ns):
        return instants_ns
    times, rest = divmod(count, len(instants_ns))
    copies = np.full(len(instants_ns), times)
    copies[random.permutation(len(instants_ns))[:rest]] += 1
    gaps_ns = np.diff(instants_ns, append=end_ns)
    chosen = np.repeat(np.arange(len(instants_ns)), copies)
    first = np.diff(chosen, prepend=-1) > 0
    offsets_ns = np.where(first, 0, random.random(len(chosen)) * gaps_ns[chosen])
    return np.sort(instants_ns[chosen] + offsets_ns.astype(np.int64))
