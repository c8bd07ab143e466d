"""
The highest rate at which objectives hold: pure decisions, segment by segment.

Each rate is tried in independent segments, each with arrivals of its own. Latencies within
a segment depend on each other, as a queue carries over from one request to the next, so a
segment counts as one observation: the share of its requests that missed the objective.
A rate is decided as soon as Student's interval around the mean share lies on one side of
what is allowed; rates double until one fails, then the gap is halved on a log scale.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# Student's t, two-sided 99 %, by degrees of freedom; beyond the last the normal distribution's.
_T99: Final = (
    *(63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977),
    *(2.947, 2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763),
    *(2.756, 2.750),
)
_NORMAL99: Final = 2.576
_HOPELESS: Final = 0.25  # a share so far beyond what is allowed needs no second segment
FEWEST_SEGMENTS: Final = 3

Verdict = Literal["holds", "fails"]


class Segment(msgspec.Struct, frozen=True):
    """One segment at one rate: how many were offered, and how many missed each objective."""

    offered: int
    missed: tuple[int, ...]


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


class Found(msgspec.Struct, frozen=True):
    """
    ``rate_per_s`` holds; None: not even the lowest rate tried did.

    ``low`` is the highest rate that clearly holds, ``high`` the lowest that clearly fails,
    None where there was none: the truth lies between them.
    """

    rate_per_s: float | None
    low: float | None
    high: float | None
    trials: tuple[Trial, ...]


class Search:
    """
    ``while (rate := search.rate_per_s) is not None: search.add(segment at that rate)``.

    Args:
        allowed: For each objective the share of requests that may miss it.
        start_per_s: The first rate to try.
        lowest_per_s, highest_per_s: Not to be left.
        precision: Stop when the rates that hold and fail are this close, 0.03 for 3 %.
        most_segments: After so many a rate is decided by the mean alone.
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
    ) -> None:
        self._allowed = tuple(allowed)
        self._lowest = lowest_per_s
        self._highest = highest_per_s
        self._precision = precision
        self._most_segments = most_segments
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
        holding = [trial.rate_per_s for trial in self._decided if trial.verdict == "holds"]
        clear = [trial for trial in self._decided if trial.clear]
        return Found(
            max(holding, default=None),
            max((trial.rate_per_s for trial in clear if trial.verdict == "holds"), default=None),
            min((trial.rate_per_s for trial in clear if trial.verdict == "fails"), default=None),
            tuple(sorted(self._decided, key=lambda trial: trial.rate_per_s)),
        )

    def _decide(self, trial: Trial, objective: int) -> Verdict | None:
        allowed, shares = self._allowed[objective], trial.shares(objective)
        if statistics.fmean(shares) > max(10 * allowed, _HOPELESS):
            return "fails"
        if len(shares) < FEWEST_SEGMENTS:
            return None
        mean = statistics.fmean(shares)
        reach = _t99(len(shares) - 1) * statistics.stdev(shares) / math.sqrt(len(shares))
        if mean - reach > allowed:
            return "fails"
        # That none of n missed shows a share below about 3/n, and no less (the rule of three).
        offered = sum(segment.offered for segment in trial.segments)
        return "holds" if max(mean + reach, 3 / max(1, offered)) <= allowed else None

    def _close(self, trial: Trial, verdict: Verdict, *, clear: bool) -> None:
        trial.verdict, trial.clear = verdict, clear
        self._decided.append(trial)
        rate = self._next_rate()
        self._trial = None if rate is None else Trial(rate)

    def _next_rate(self) -> float | None:
        failing = min((t.rate_per_s for t in self._decided if t.verdict == "fails"), default=None)
        below = [t.rate_per_s for t in self._decided if t.verdict == "holds"]
        holding = max((rate for rate in below if failing is None or rate < failing), default=None)
        if failing is None:
            assert holding is not None  # noqa: S101 - something has been decided
            return min(2 * holding, self._highest) if holding < self._highest else None
        if holding is None:
            return max(failing / 2, self._lowest) if failing > self._lowest else None
        return None if failing <= holding * (1 + self._precision) else math.sqrt(failing * holding)


def _t99(degrees: int) -> float:
    return _T99[degrees - 1] if degrees <= len(_T99) else _NORMAL99
