"""
Which arrival process a trace looks like, with which parameters, and how well that fits.

Renewal models (Poisson, gamma, Weibull, hyperexponential) say how long gaps are and nothing
about their order; the non-homogeneous Poisson model (``nhpp``) says how the rate moves, in
steps, and that all else is chance. MMPP and Hawkes processes are generated, not estimated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.units import format_duration
from streambox.workload.arrivals import NS_PER_S
from streambox.workload.events import Events
from streambox.workload.processes.base import Process
from streambox.workload.processes.estimate import ESTIMATES, Gaps
from streambox.workload.processes.rate_curves import Steps
from streambox.workload.processes.registry import format_process, parameters_of
from streambox.workload.processes.renewal import Constant
from streambox.workload.processes.special import kolmogorov_p
from streambox.workload.shape import MOST_BINS, best_bins, bin_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.events import Int64s
    from streambox.workload.parameters import Parameter

    Floats = np.ndarray[Any, np.dtype[np.float64]]

MODELS: Final = ("poisson", "gamma", "weibull", "hyperexponential", "nhpp")

_FEWEST: Final = 3  # arrivals
_TICKS_PER_GAP: Final = 8  # with fewer, a clock shows counts and no gaps
_UNLIKELY: Final = 0.01


class Candidate(msgspec.Struct, frozen=True):
    """
    One model with its parameters estimated, and how well it fits.

    Time-rescaling turns the gaps into values that are uniform if the model is right. ``ks`` is
    their Kolmogorov–Smirnov distance from uniform, over ``gaps`` values; ``p_value`` is how
    often chance alone gives as much (asymptotic, and optimistic, because the parameters come
    from the same arrivals). ``lag1`` is the correlation of each with the next: a renewal
    model has none. ``bic`` = ``free`` ln ``gaps`` − 2 ``log_likelihood``, smaller is better,
    compares models: each likelihood is that of the same gaps. (Akaike's 2 ``free`` in its place
    would call every other Poisson process one whose rate moves in a few steps.)
    """

    model: str
    process: Process
    free: int  # how many parameters were estimated
    log_likelihood: float
    ks: float
    gaps: int
    p_value: float
    lag1: float

    @property
    def bic(self) -> float:
        return self.free * math.log(self.gaps) - 2 * self.log_likelihood

    @property
    def name(self) -> str:
        """The process's name; ``make_process(name, parameters)`` makes it."""
        return self.process.name

    @property
    def parameters(self) -> dict[str, Parameter]:
        return parameters_of(self.process)


class Fit(msgspec.Struct, frozen=True):
    """
    The models that were tried, the best first (by BIC), and why others were left out.

    ``tick_ns`` is the trace's clock: the largest unit of which all its gaps are multiples.
    """

    arrivals: int
    duration_ns: int
    tick_ns: int
    gap_cv: float
    candidates: tuple[Candidate, ...]
    left_out: dict[str, str]

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    def describe(self) -> list[str]:
        """Lines to print: the trace, the best model, a table of all, and what to beware of."""
        rate = self.arrivals / self.duration_ns * NS_PER_S
        trace = f"{self.arrivals} arrivals in {self.duration_ns / NS_PER_S:g} s: {rate:.6g}/s"
        lines = [f"{trace}, CV of gaps {self.gap_cv:.3f}, clock {format_duration(self.tick_ns)}"]
        lines += [f"best: {_brief(self.best.process)}", "", _HEAD]
        lines += [_row(each, self.best.bic) for each in self.candidates]
        lines += [f"left out: {model}: {reason}" for model, reason in self.left_out.items()]
        return lines + [f"note: {note}" for note in self._notes()]

    def _notes(self) -> list[str]:
        best, notes = self.best, []
        if best.model == "constant":
            return ["arrivals are on a timetable, to within a tick of the clock"]
        if best.p_value < _UNLIKELY:
            problem = f"even the best model is off by {best.ks:.1%} of the gaps, more than chance explains"
            notes.append(f"{problem} (p {best.p_value:.2g})")
        if abs(best.lag1) > 4 / math.sqrt(best.gaps):
            notes.append(
                f"successive gaps are related (correlation {best.lag1:.2f}), which the best model is not"
            )
        if self.gap_cv and _is_coarse(self.tick_ns, self.duration_ns / self.arrivals):
            notes.append("arrivals within one tick of the clock were spread over it at random")
        if best.free >= MOST_BINS:
            notes.append(f"the rate may change faster than in the {MOST_BINS} steps that were tried at most")
        if self.arrivals < 100:
            notes.append(f"{self.arrivals} arrivals are few to tell models apart by")
        notes.append("p is optimistic: the parameters come from the same arrivals")
        return notes


def fit(
    events_or_instants: Events | Int64s | Sequence[int],
    duration_ns: int | None = None,
    *,
    models: Sequence[str] = MODELS,
    random: np.random.Generator | None = None,
) -> Fit:
    """
    Estimate *models* from arrivals in [0, *duration_ns*), and rank them.

    Args:
        events_or_instants: Events (all functions together), or sorted instants in ns.
        duration_ns: None: that of the events, or until just after the last instant.
        models: Some of MODELS.
        random: Spreads each instant over its tick of the trace's clock, before which nothing
            is known; None: always the same. It matters where the clock is coarse.

    Exponential, gamma, Weibull and hyperexponential gaps by maximum likelihood, the steps of
    ``nhpp`` with the bin width of Shimazaki and Shinomoto. Where the clock has fewer than 8 ticks
    per mean gap only ``poisson`` and ``nhpp`` are tried. Arrivals on an exact timetable are the
    process ``constant``, and no other is tried.

    Raises UsageError for an unknown model, instants that are not sorted within the
    duration, fewer than 3 arrivals, or all at one instant.

    Cost: O(n log n) time and about 15 times the memory of the instants.
    """
    check_models(models)
    instants_ns, duration_ns = _checked(events_or_instants, duration_ns)
    tick_ns = _tick_ns(instants_ns)
    steady = _constant(instants_ns, tick_ns)
    if steady is not None:
        return Fit(len(instants_ns), duration_ns, tick_ns, 0.0, (steady,), {})
    trace = Observed.of(instants_ns, duration_ns, tick_ns, random or np.random.default_rng(0))
    candidates: list[Candidate] = []
    left_out: dict[str, str] = {}
    for model in dict.fromkeys(models):
        try:
            candidates.append(_candidate(model, trace))
        except UsageError as error:
            left_out[model] = str(error)
    still = [each for each in candidates if each.model == "nhpp" and each.free == 1]
    if still and "poisson" in models:
        candidates.remove(still[0])
        left_out["nhpp"] = "the rate does not move: it is the Poisson process"
    if not candidates:
        raise UsageError("no model fits: " + "; ".join(left_out.values()))
    candidates.sort(key=lambda each: each.bic)
    return Fit(len(instants_ns), duration_ns, tick_ns, trace.gaps.cv, tuple(candidates), left_out)


# ---- the trace -----------------------------------------------------------------------------------


class Observed(msgspec.Struct, frozen=True):
    """Arrivals as estimators read them: ``times_s`` are the instants, each at a random point of its tick."""

    times_s: Floats
    gaps: Gaps
    tick_s: float
    duration_s: float

    @classmethod
    def of(cls, instants_ns: Int64s, duration_ns: int, tick_ns: int, random: np.random.Generator) -> Observed:
        inside_ns = random.random(len(instants_ns)) * tick_ns
        inside_ns = inside_ns[np.lexsort((inside_ns, instants_ns))]  # in order among equal instants
        # Differences of integers first: as floats, instants of a long trace have no nanoseconds.
        gaps_s = (np.diff(instants_ns) + np.diff(inside_ns)) / NS_PER_S
        times_s = np.minimum(instants_ns + inside_ns, duration_ns) / NS_PER_S
        tick_s, mean_s = tick_ns / NS_PER_S, float(gaps_s.mean())
        floor_s = 0.0 if _is_coarse(tick_s, mean_s) else min(8 * tick_s, max(2 * tick_s, mean_s / 50))
        return cls(times_s, Gaps(gaps_s, floor_s), tick_s, duration_ns / NS_PER_S)


def _is_coarse(tick: float, mean_gap: float) -> bool:
    return tick * _TICKS_PER_GAP > mean_gap


def _checked(given: Events | Int64s | Sequence[int], duration_ns: int | None) -> tuple[Int64s, int]:
    if isinstance(given, Events):
        return _checked(given.instants_ns, given.duration_ns if duration_ns is None else duration_ns)
    instants_ns = np.asarray(given)
    if len(instants_ns) < _FEWEST:
        raise UsageError(f"the trace has {len(instants_ns)} arrivals: a model takes at least {_FEWEST}")
    if instants_ns.ndim != 1 or instants_ns.dtype.kind not in "iu":
        raise UsageError("the instants are not whole nanoseconds")
    first, last = int(instants_ns[0]), int(instants_ns[-1])
    duration_ns = last + 1 if duration_ns is None else duration_ns
    if (instants_ns[1:] < instants_ns[:-1]).any() or not 0 <= first <= last < duration_ns:
        raise UsageError(f"the instants are not sorted within 0 to {duration_ns} ns")
    if first == last:
        raise UsageError(f"all {len(instants_ns)} arrivals are at the same instant: there is no gap to fit")
    return instants_ns.astype(np.int64, copy=False), duration_ns


def check_models(models: Sequence[str]) -> None:
    """Raises UsageError unless they are some of MODELS."""
    unknown = [model for model in models if model not in MODELS]
    if unknown:
        raise UsageError(f"no model {unknown[0]!r} to fit: choose from {', '.join(MODELS)}")
    if not models:
        raise UsageError(f"no model to fit: choose from {', '.join(MODELS)}")


def _tick_ns(instants_ns: Int64s) -> int:
    return int(np.gcd.reduce(np.diff(instants_ns)))


def _constant(instants_ns: Int64s, tick_ns: int) -> Candidate | None:
    """The timetable on which all arrivals are, to within a tick; None: there is none."""
    gaps = len(instants_ns) - 1
    gap_ns = (int(instants_ns[-1]) - int(instants_ns[0])) / gaps
    late_ns = instants_ns - instants_ns[0] - np.arange(gaps + 1) * gap_ns
    if tick_ns <= gap_ns and np.abs(late_ns).max() <= tick_ns and np.ptp(np.diff(instants_ns)) <= tick_ns:
        return Candidate("constant", Constant(NS_PER_S / gap_ns), 1, math.inf, 0.0, gaps, 1.0, 0.0)
    return None


# ---- how well -------------------------------------------------------------------------------------


def _candidate(model: str, trace: Observed) -> Candidate:
    """Raises UsageError where the trace allows no such model."""
    if model == "nhpp":
        return _nhpp(trace)
    gaps = trace.gaps
    if model != "poisson" and _is_coarse(trace.tick_s, gaps.mean_s):
        raise UsageError(
            f"the trace's clock ({trace.tick_s:g} s) is too coarse for gaps of {gaps.mean_s:.3g} s"
        )
    process = ESTIMATES[model](gaps)
    shares = process.gap_cdf(gaps.each_s)
    likely = float(process.log_gap_density(gaps.known_s).sum())
    if gaps.short:
        below = float(process.gap_cdf(np.array([gaps.floor_s]))[0])
        likely += gaps.short * math.log(max(below, 1e-300))
    return _judged(model, process, 1 if model == "poisson" else 2, likely, shares, gaps.short)


def _judged(
    model: str, process: Process, free: int, log_likelihood: float, shares: Floats, short: int
) -> Candidate:
    """*shares*: of each gap in order, the model's probability of a shorter one."""
    ordered, gaps = np.sort(shares), len(shares)
    distance = _distance(ordered, short)
    # The order of short gaps in size is the clock's, or drawn: they all count as half of the least known.
    lag1 = _lag1(np.where(shares < ordered[short], ordered[short] / 2, shares))
    return Candidate(model, process, free, log_likelihood, distance, gaps, kolmogorov_p(distance, gaps), lag1)


def _distance(ordered: Floats, short: int) -> float:
    """Kolmogorov–Smirnov from uniform, past the *short* smallest values, which are known only as such."""
    steps = np.arange(len(ordered) + 1) / len(ordered)
    below, above = ordered - steps[:-1], steps[1:] - ordered
    return float(max(below[short:].max(), above[short:].max()))


def _lag1(shares: Floats) -> float:
    centred = shares - shares.mean()
    square = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / square if square else 0.0


# ---- non-homogeneous -----------------------------------------------------------------------------


def _nhpp(trace: Observed) -> Candidate:
    """A Poisson process whose rate is a step in each of equal bins."""
    counts = bin_counts(trace.times_s, trace.duration_s, best_bins(trace.times_s, trace.duration_s))
    width_s = trace.duration_s / len(counts)
    process = Steps(tuple((float(count) / width_s, width_s) for count in counts))
    expected = process.curve(trace.duration_s).expected(trace.times_s)
    increments = np.diff(expected)
    bins = np.minimum((trace.times_s[1:] / width_s).astype(np.int64), len(counts) - 1)
    rates = np.maximum(counts[bins], 1) / width_s  # 1: an arrival whose bin's edge is a rounding away
    known = trace.gaps.is_known
    likely = float((np.log(rates[known]) - increments[known]).sum())
    likely += float(np.log(-np.expm1(-rates[~known] * trace.gaps.floor_s)).sum())
    return _judged("nhpp", process, len(counts), likely, -np.expm1(-increments), trace.gaps.short)


# ---- text ----------------------------------------------------------------------------------------

_HEAD: Final = f"{'model':<17}{'ΔBIC':>12}{'KS D':>9}{'p':>9}{'lag 1':>8}  parameters"


def _row(each: Candidate, best_bic: float) -> str:
    behind = each.bic - best_bic if each.bic != best_bic else 0.0
    figures = f"{behind:>12.1f}{each.ks:>9.4f}{each.p_value:>9.2g}{each.lag1:>8.3f}"
    return f"{each.model:<17}{figures}  {_brief(each.process)}"


def _brief(process: Process) -> str:
    """Six digits of each parameter; of steps, how many, how long and between which rates."""
    if isinstance(process, Steps):
        rates = [rate for rate, _ in process.levels]
        length_s = process.levels[0][1]
        return f"steps: {len(rates)} of {length_s:.6g} s, {min(rates):.6g}/s to {max(rates):.6g}/s"
    return format_process(process, digits=6)
