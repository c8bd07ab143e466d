"""
The highest rate at which objectives hold: pure decisions, segment by segment.

Each rate is tried in independent segments, each with arrivals of its own. Latencies within
a segment depend on each other, as a queue carries over from one request to the next, so a
segment counts as one observation: the share of its requests that missed the objective.
A rate is decided as soon as Student's interval around the mean share lies on one side of
what is allowed; rates double until one fails, then the gap is halved on a log scale. Three
segments may be lucky ones, so the two rates that are left are tried again in the end.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streambox.loadgen.crossing import Crossing, clear_ends, crossing_of
from streambox.loadgen.student import t99

if TYPE_CHECKING:
    from collections.abc import Sequence

HOPELESS: Final = 0.25  # a share so far beyond what is allowed needs no second segment
FEWEST_SEGMENTS: Final = 3

Verdict = Literal["holds", "fails"]
Percentile = Literal["p50_ms", "p99_ms"]
PERCENTILES: Final[tuple[Percentile, ...]] = ("p50_ms", "p99_ms")


class Segment(msgspec.Struct, frozen=True):
    """
    One segment at one rate: how many were offered, and how many missed each objective.

    ``p50_ms`` and ``p99_ms`` are of the response time, None where there is none.
    """

    offered: int
    missed: tuple[int, ...]
    p50_ms: float | None = None
    p99_ms: float | None = None


class Trial(msgspec.Struct):
    """All segments at one rate so far. ``clear``: the interval lies on one side of what is allowed."""

    rate_per_s: float
    segments: list[Segment] = msgspec.field(default_factory=list)
    verdict: Verdict | None = None
    clear: bool = False

    def shares(self, objective: int) -> list[float]:
        return [segment.missed[objective] / max(1, segment.offered) for segment in self.segments]

    def share(self, objective: int) -> float:
        return statistics.fmean(self.shares(objective))

    def reach(self, objective: int) -> float:
        """By how much the share may be off, with 99 % confidence: Student's interval over the segments."""
        shares = self.shares(objective)
        if len(shares) < 2:
            return math.inf
        return t99(len(shares) - 1) * statistics.stdev(shares) / math.sqrt(len(shares))

    def percentile_ms(self, name: Percentile) -> float | None:
        """The mean of the segments' own; None where one has none."""
        values = [getattr(segment, name) for segment in self.segments]
        return None if None in values or not values else statistics.fmean(values)


class Found(msgspec.Struct, frozen=True):
    """
    ``rate_per_s`` holds; None: not even the lowest rate tried did.

    ``low`` is the highest rate that clearly holds, ``high`` the lowest that clearly fails,
    None where there was none: the truth lies between them. ``crossing`` is the best guess
    at it, with its interval: None where no rate fails, or none holds.
    """

    rate_per_s: float | None
    low: float | None
    high: float | None
    trials: tuple[Trial, ...]
    crossing: Crossing | None = None


class Search:
    """
    ``while (rate := search.rate_per_s) is not None: search.add(segment at that rate)``.

    Args:
        allowed: For each objective the share of requests that may miss it.
        start_per_s: The first rate to try.
        lowest_per_s, highest_per_s: Not to be left.
        precision: Stop when the rates that hold and fail are this close, 0.03 for 3 %.
        most_segments: After so many a rate is decided by the mean alone.
        segments_in_the_end: The two rates between which the truth lies are tried at least so
            often before the search ends, unless one is hopeless.
    """

    def __init__(
        self,
        allowed: Sequence[float],
        *,
        start_per_s: float,
        lowest_per_s: float,
        highest_per_s: float,
        precision: float,
        most_segments: int,
        segments_in_the_end: int = FEWEST_SEGMENTS,
    ) -> None:
        self._allowed = tuple(allowed)
        self._lowest = lowest_per_s
        self._highest = highest_per_s
        self._precision = precision
        self._most_segments = most_segments
        self._in_the_end = min(segments_in_the_end, most_segments)
        self._decided: list[Trial] = []
        self._trial: Trial | None = Trial(min(max(start_per_s, lowest_per_s), highest_per_s))

    @property
    def rate_per_s(self) -> float | None:
        """The rate to try next; None when the search is over."""
        return None if self._trial is None else self._trial.rate_per_s

    @property
    def trial(self) -> Trial | None:
        """What is being tried."""
        return self._trial

    def add(self, segment: Segment) -> None:
        """The outcome of one more segment at ``rate_per_s``."""
        trial = self._trial
        assert trial is not None, "the search is over"  # noqa: S101
        trial.segments.append(segment)
        verdicts = [self._decide(trial, index) for index in range(len(self._allowed))]
        if "fails" in verdicts:
            self._close(trial, "fails", clear=True)
        elif all(verdict == "holds" for verdict in verdicts):
            self._close(trial, "holds", clear=True)
        elif len(trial.segments) >= self._most_segments:
            within = all(trial.share(index) <= share for index, share in enumerate(self._allowed))
            self._close(trial, "holds" if within else "fails", clear=False)

    def give_up(self) -> None:
        """The rate cannot be tried: the search ends with what is known."""
        self._trial = None

    def found(self) -> Found:
        """What is known so far."""
        holding, _ = self._ends()
        return Found(
            None if holding is None else holding.rate_per_s,
            *clear_ends(self._decided),
            tuple(sorted(self._decided, key=lambda trial: trial.rate_per_s)),
            self._crossing(),
        )

    def _crossing(self) -> Crossing | None:
        """That of the objective that ends the range first."""
        found = [crossing_of(self._decided, index, share) for index, share in enumerate(self._allowed)]
        known = [one for one in found if one is not None]
        return min(known, key=lambda one: one.rate_per_s, default=None)

    def _decide(self, trial: Trial, objective: int) -> Verdict | None:
        allowed, shares = self._allowed[objective], trial.shares(objective)
        if self._is_hopeless(trial, objective):
            return "fails"
        if len(shares) < (FEWEST_SEGMENTS if trial.verdict is None else self._in_the_end):
            return None
        mean, reach = trial.share(objective), trial.reach(objective)
        if mean - reach > allowed:
            return "fails"
        # That none of n missed shows a share below about 3/n, and no less (the rule of three).
        offered = sum(segment.offered for segment in trial.segments)
        return "holds" if max(mean + reach, 3 / max(1, offered)) <= allowed else None

    def _close(self, trial: Trial, verdict: Verdict, *, clear: bool) -> None:
        if trial.verdict is None:
            self._decided.append(trial)
        trial.verdict, trial.clear = verdict, clear
        rate = self._next_rate()
        self._trial = self._to_confirm() if rate is None else Trial(rate)

    def _is_hopeless(self, trial: Trial, objective: int) -> bool:
        return trial.share(objective) > max(10 * self._allowed[objective], HOPELESS)

    def _ends(self) -> tuple[Trial | None, Trial | None]:
        """The highest rate that holds below all that fail, and the lowest that fails."""
        failing = min((t for t in self._decided if t.verdict == "fails"), key=_rate_of, default=None)
        holding = [t for t in self._decided if t.verdict == "holds"]
        if failing is not None:
            holding = [t for t in holding if t.rate_per_s < failing.rate_per_s]
        return max(holding, key=_rate_of, default=None), failing

    def _to_confirm(self) -> Trial | None:
        """Of the two rates between which the truth lies one that was not tried often enough yet."""
        for trial in self._ends():
            if trial is None or len(trial.segments) >= self._in_the_end:
                continue
            if not any(self._is_hopeless(trial, index) for index in range(len(self._allowed))):
                return trial
        return None

    def _next_rate(self) -> float | None:
        holding, failing = self._ends()
        if failing is None:
            assert holding is not None  # noqa: S101 - something has been decided
            rate = holding.rate_per_s
            return min(2 * rate, self._highest) if rate < self._highest else None
        high = failing.rate_per_s
        if holding is None:
            return max(high / 2, self._lowest) if high > self._lowest else None
        low = holding.rate_per_s
        return None if high <= low * (1 + self._precision) else math.sqrt(high * low)


def _rate_of(trial: Trial) -> float:
    return trial.rate_per_s
