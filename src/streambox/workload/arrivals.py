"""When requests arrive: from counts or a rate to instants. Seeded and pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Instants = np.ndarray[Any, np.dtype[np.int64]]
    Labels = np.ndarray[Any, np.dtype[np.int32]]

Arrivals = Literal["poisson", "constant"]
NS_PER_S: Final = 1_000_000_000
MOST_REQUESTS: Final = 50_000_000
_LONGEST_NS: Final = 2**62
_BLOCK: Final = 65_536  # requests drawn at once, or one time unit's, so that temporaries stay small


def arrivals_in_units(counts: Sequence[int], unit_ns: int, random: np.random.Generator) -> Instants:
    """
    Poisson arrivals given the count of each time unit: that many sorted uniforms in it.

    Returns instants in ns from 0, sorted; none is tied to a unit's edge. Raises
    UsageError for more requests, or a longer time, than can be replayed.
    """
    if unit_ns < 1 or unit_ns * len(counts) > _LONGEST_NS:
        raise UsageError(
            f"{len(counts)} time units of {unit_ns / NS_PER_S:g} s are no workload: change the time unit"
        )
    total = sum(counts)
    check_total(total)
    per_unit = np.asarray(counts, dtype=np.int64)
    unit = np.repeat(np.arange(len(per_unit), dtype=np.int64), per_unit)
    inside = random.random(total)
    return np.sort(unit * unit_ns + (inside * unit_ns).astype(np.int64))


def arrivals_in_cells(
    starts_ns: Instants, counts: Instants, labels: Labels, unit_ns: int, random: np.random.Generator
) -> tuple[Instants, Labels]:
    """
    Poisson arrivals given counts that are told apart: who called how often in which time unit.

    Cell i is ``counts[i]`` uniforms in the unit of *unit_ns* that begins at ``starts_ns[i]``, all
    labelled ``labels[i]``. Cells come in any order, and units either coincide or are disjoint.

    Returns all instants, sorted, and the label of each. Raises UsageError for more requests
    than can be replayed, before anything is drawn.
    """
    total = int(counts.sum())
    check_total(total)
    order = np.argsort(starts_ns, kind="stable")
    starts_ns, counts, labels = starts_ns[order], counts[order], labels[order]
    instants, callers = np.empty(total, np.int64), np.empty(total, np.int32)
    at = 0
    for part in _whole_units(starts_ns, counts):
        unit = np.repeat(starts_ns[part], counts[part])
        when = unit + (random.random(len(unit)) * unit_ns).astype(np.int64)
        sooner = np.argsort(when, kind="stable")
        there = slice(at, at + len(unit))
        instants[there] = when[sooner]
        callers[there] = np.repeat(labels[part], counts[part])[sooner]
        at = there.stop
    return instants, callers


def _whole_units(starts_ns: Instants, counts: Instants) -> Iterator[slice]:
    """Cut sorted cells where a unit ends, into parts of about _BLOCK requests."""
    ends = np.append(np.flatnonzero(np.diff(starts_ns)) + 1, len(starts_ns))
    sums = np.cumsum(counts)[ends - 1] if len(counts) else np.zeros(1, np.int64)
    full = np.searchsorted(sums, np.arange(_BLOCK, int(sums[-1]) + _BLOCK, _BLOCK))
    first = 0
    for end in np.unique(ends[np.minimum(full, len(ends) - 1)]).tolist():
        yield slice(first, end)
        first = end


def arrivals_at_rate(
    rate_per_s: float, duration_ns: int, arrivals: Arrivals, random: np.random.Generator
) -> Instants:
    """
    A constant rate for *duration_ns*.

    ``poisson``: independent exponential gaps, so that the number of requests is
    random too. ``constant``: one every 1/rate s, the first at 0.

    Raises UsageError for a rate or duration that is not positive.
    """
    if not 0 < rate_per_s < 1e9:
        raise UsageError(f"the rate is {rate_per_s:g}/s: give a number above 0 and below 1e+09")
    if duration_ns <= 0:
        raise UsageError("the duration is 0: give one such as 30s")
    expected = rate_per_s * duration_ns / NS_PER_S
    check_total(expected)
    if arrivals == "constant":
        gap_ns = min(NS_PER_S / rate_per_s, duration_ns)  # a gap without end would make no number
        instants: Instants = np.floor(np.arange(int(np.ceil(expected))) * gap_ns).astype(np.int64)
        return instants
    # Given their number, the arrivals of a Poisson process are sorted uniforms.
    total = int(random.poisson(expected))
    return np.sort((random.random(total) * duration_ns).astype(np.int64))


def check_total(total: float) -> None:
    """Raises UsageError for more requests than can be replayed."""
    if total > MOST_REQUESTS:
        raise UsageError(
            f"the workload has {total:.3g} requests, the most is {MOST_REQUESTS:.0e}: scale it down"
        )
