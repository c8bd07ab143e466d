"""
Seeded generators of the reference's three load patterns: request counts per time unit.

A longer pattern of the same seed begins with the shorter one, so ``len`` never changes
what comes before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from streambox.errors import UsageError
from streambox.workload.counts import MOST_UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Counts = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

PatternType = Literal["bursty", "periodic", "sporadic"]
PATTERN_TYPES: Final[tuple[str, ...]] = get_args(PatternType)

# The lengths of the reference's own files, in units.
DEFAULT_UNITS: Final = {"bursty": 1440, "periodic": 1000, "sporadic": 1000}


def generate(type: str, units: int, seed: int) -> list[int]:
    """
    The built-in pattern *type*, *units* >= 1 counts long.

    Raises:
        UsageError: no such type, fewer than one unit, or too many.
    """
    if type not in _GENERATORS:
        raise UsageError(f"no built-in pattern {type!r}: choose one of {', '.join(PATTERN_TYPES)}")
    if units < 1:
        raise UsageError(f"a pattern of {units} units has nothing in it: ask for at least 1")
    if units > MOST_UNITS:
        raise UsageError(f"a pattern of {units} units is too long: ask for at most {MOST_UNITS}")
    counts: list[int] = _GENERATORS[type](units, seed).tolist()
    return counts


# ---- periodic, sporadic --------------------------------------------------------------------------


def periodic(
    units: int,
    seed: int,
    *,
    amplitude: float = 200,
    period: float = 200,
    noise: float = 200,
    offset: float = 0,
) -> Counts:
    """
    A rectified noisy sine, x(t) = max(0, floor(A sin(2πt/P) + offset + U(−r, r))).

    With A = r about half of all units are zero, in runs of about P/2.
    """
    rng = np.random.default_rng([seed, 1])
    t = np.arange(units)
    sine = amplitude * np.sin(2 * np.pi * t / period) + offset
    x: Floats = np.maximum(0, np.floor(sine + rng.uniform(-noise, noise, units)))
    return x.astype(np.int64)


def sporadic(units: int, seed: int, *, share: float = 0.03, largest: int = 99) -> Counts:
    """Independent units: with probability *share* a count from U{0..largest}, else 0."""
    busy = np.random.default_rng([seed, 2]).random(units) < share
    size = np.random.default_rng([seed, 3]).integers(0, largest + 1, units)
    return np.where(busy, size, 0).astype(np.int64)


# ---- bursty --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BurstShape:
    """
    An on/off load; times in units, levels in requests per unit.

    A beat is one burst and the pause after it. Beats come in episodes: in a whole one
    each burst is of one piece, in a broken one it is dealt out over its beat in pieces,
    beat after beat the same way.

    The defaults come to a mean of about 1510, a peak of 2.1 times that, and an index of
    dispersion of about 900 over 1 unit and 2400 over 10, where bursts that are all whole
    would come to 4000.
    """

    beat: tuple[float, float] = (23.4, 0.3)  # mean, standard deviation
    burst: tuple[float, float] = (10.5, 0.35)
    burst_level: tuple[float, float] = (2850, 100)
    floor_level: tuple[float, float] = (215, 20)
    spike: tuple[float, float] = (300, 2000)  # lowest, highest count of a spike's one unit
    spike_gap: tuple[int, int] = (3, 5)  # fewest, most units from one spike to the next
    episode: tuple[int, int] = (10, 20)  # fewest, most beats
    pieces: tuple[int, int] = (2, 4)  # fewest, most pieces of a broken burst


def bursty(units: int, seed: int, shape: BurstShape | None = None) -> Counts:
    """
    Bursts on a nearly regular beat; between them a low floor with single-unit spikes.

    Bursts start and end within a unit: their first and last unit carries the share of
    the burst's level that falls into it, so a burst is rarely a whole number of units long.
    """
    shape = shape or BurstShape()
    on = _on_share(units, shape, np.random.default_rng([seed, 4]))
    levels = np.random.default_rng([seed, 5]).standard_normal((units, 2))
    high = shape.burst_level[0] + shape.burst_level[1] * levels[:, 0]
    low = shape.floor_level[0] + shape.floor_level[1] * levels[:, 1]
    counts = on * high + (1 - on) * low
    spikes = _spikes(on, shape, np.random.default_rng([seed, 6]))
    return np.maximum(0, np.maximum(counts, spikes).round()).astype(np.int64)


def _on_share(units: int, shape: BurstShape, rng: np.random.Generator) -> Floats:
    """For each unit, the share of it that lies within a burst, in [0, 1]."""
    edges = np.arange(units + 1, dtype=float)
    covered = np.zeros(units + 1)  # burst time up to each edge
    settled, before = 0, 0.0  # edges that all pieces so far begin before; the time of these pieces
    for start, length in _pieces(units, shape, rng):
        first, last = int(start), min(math.ceil(start + length) + 1, units + 1)
        if last > settled:
            covered[settled:last] = before
            settled = last
        covered[first:last] += np.clip(edges[first:last] - start, 0, length)
        before += length
    covered[settled:] = before
    return np.clip(np.diff(covered), 0, 1)


def _pieces(units: int, shape: BurstShape, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Start and length of every piece of a burst; whole and broken episodes take turns."""
    start = float(rng.uniform(0, shape.beat[0]))
    broken = False
    while start < units:
        pieces = int(rng.integers(shape.pieces[0], shape.pieces[1] + 1)) if broken else 1
        burst_shares, pause_shares = _shares(pieces, rng), _shares(pieces, rng)
        for _ in range(int(rng.integers(shape.episode[0], shape.episode[1] + 1))):
            burst = max(1.0, rng.normal(*shape.burst))
            pause = max(1.0, rng.normal(*shape.beat) - burst)
            for burst_share, pause_share in zip(burst_shares, pause_shares, strict=True):
                yield start, burst * burst_share
                start += burst * burst_share + pause * pause_share
        broken = not broken


def _shares(parts: int, rng: np.random.Generator) -> Floats:
    """*parts* positive numbers of similar size that sum to 1."""
    sizes = rng.uniform(0.5, 1.5, parts)
    shares: Floats = sizes / sizes.sum()
    return shares


def _spikes(on: Floats, shape: BurstShape, rng: np.random.Generator) -> Floats:
    """The count of each unit's spike; 0 where there is none. Only units outside a burst have one."""
    spikes = np.zeros(len(on))
    unit = 0
    while unit < len(on):
        size = rng.uniform(*shape.spike)
        if on[unit] == 0:
            spikes[unit] = size
        unit += int(rng.integers(shape.spike_gap[0], shape.spike_gap[1] + 1))
    return spikes


_GENERATORS: Final[dict[str, Callable[[int, int], Counts]]] = {
    "bursty": bursty,
    "periodic": periodic,
    "sporadic": sporadic,
}
