"""What ``policies.py`` compares: rules and loads, one simulated run, and what several seeds come to. Pure."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from streambox.batcher.policy import SloPolicy
from streambox.simulate import ModelUnderTest, replay
from streambox.simulate.bound import most_in_time
from streambox.workload.arrivals import arrivals_at_rate, arrivals_in_units
from streambox.workload.patterns import generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streambox.batcher.policy import Outlook

    Int64s = np.ndarray[Any, np.dtype[np.int64]]

MS: Final = 1_000_000
ROWS: Final = 32
UNIT_NS: Final = 125 * MS  # of a pattern: a burst of 1.3 s lasts fifty times as long as an SLO of 25 ms
UNITS: Final = {"poisson": 80, "bursty": 96, "periodic": 200, "sporadic": 600}
SEEDS: Final = 5
# Student's t, 97.5 %, by the number of seeds.
_T: Final = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def service_ns(rows: int) -> float:
    """A model whose batching pays: an MLP whose weights exceed the cache, one row 4.3 ms, 32 rows 18 ms."""
    return (3.9 + 0.44 * rows) * MS


def capacity_per_s(rows: int = ROWS) -> float:
    """Of one slot, in batches that are all full."""
    return rows / service_ns(rows) * 1e9


class Rule(NamedTuple):
    """A policy with its settings. ``window_ms`` None: up to the SLO."""

    policy: str
    window_ms: float | None = None
    rows: int = ROWS

    @property
    def name(self) -> str:
        window = "" if self.window_ms is None else f" {self.window_ms:g} ms"
        return f"{self.policy}{window}{'' if self.rows == ROWS else f', {self.rows} rows'}"


SLO: Final = Rule("slo")
RULES: Final = (
    SLO,
    Rule("eager"),
    *(Rule("window", ms) for ms in (1, 2, 5, 10, 20, 50)),
    Rule("eager", rows=16),
    Rule("window", 2, 16),
)


class Cell(NamedTuple):
    """``load``: the mean rate, while there is any, as a share of capacity."""

    pattern: str
    slo_ms: float
    load: float


def arrivals(pattern: str, load: float, seed: int, units: int | None = None) -> Int64s:
    """The same for every rule. A pattern is scaled so that its units that are not empty have the load."""
    units = units or UNITS[pattern]
    random = np.random.default_rng([seed, 7])
    rate = load * capacity_per_s()
    if pattern == "poisson":
        return arrivals_at_rate(rate, units * UNIT_NS, "poisson", random)
    counts = np.array(generate(pattern, units, seed), float)
    wanted = counts * (rate * UNIT_NS / 1e9 / max(1.0, counts[counts > 0].mean()))
    whole = np.floor(wanted + random.random(units)).astype(np.int64)
    return arrivals_in_units(whole.tolist(), UNIT_NS, random)


def model(rule: Rule, slo_ms: float, rows: int | None = None) -> ModelUnderTest:
    """Admission and expiry are on, whatever the policy."""
    return ModelUnderTest(
        service_ns=service_ns,
        slo_ns=round(slo_ms * MS),
        policy=rule.policy,
        time_window_ns=round((slo_ms if rule.window_ms is None else rule.window_ms) * MS),
        max_batch_size=rows or rule.rows,
    )


def goodput(cell: Cell, rule: Rule, seed: int, units: int | None = None) -> float:
    """The share of all requests that is answered within the SLO."""
    return replay(arrivals(cell.pattern, cell.load, seed, units), model(rule, cell.slo_ms)).goodput


# ---- several seeds ---------------------------------------------------------------------------------

Goodputs = dict[str, list[float]]  # by the rule's name, seed by seed


class Ratio(NamedTuple):
    """Of ``slo`` to *rival*, pair by pair of the same arrivals: mean, and half its 95 % interval."""

    rival: str
    mean: float
    half: float


def ratio_to(goodputs: Mapping[str, Sequence[float]], rival: str) -> Ratio:
    pairs = [ours / theirs for ours, theirs in zip(goodputs[SLO.name], goodputs[rival], strict=True)]
    return Ratio(rival, statistics.mean(pairs), half_interval(pairs))


def half_interval(values: Sequence[float]) -> float:
    """Of the 95 % interval of their mean."""
    if len(values) < 2:
        return math.nan
    return _T.get(len(values), 2.2) * statistics.stdev(values) / math.sqrt(len(values))


def best(goodputs: Goodputs, of: Callable[[str], bool]) -> str:
    """The rule with the highest mean goodput of those, with hindsight, that *of* lets in."""
    return max(filter(of, goodputs), key=lambda name: statistics.mean(goodputs[name]))


def is_rival(name: str) -> bool:
    """Of the same largest batch, which is the model's and not the policy's."""
    return name != SLO.name and "rows" not in name


def is_window(name: str) -> bool:
    return is_rival(name) and name.startswith("window")


def is_smaller(name: str) -> bool:
    return name.endswith("rows")


def is_any_other(name: str) -> bool:
    return name != SLO.name


# ---- against what was possible ---------------------------------------------------------------------


_BEFORE_NS: Final = 4_000 * MS


class NoSlack(SloPolicy):
    """``slo`` without the millisecond that it keeps for dispatch, which takes no time in a simulation."""

    def __init__(self, time_window_ns: int, max_batch_size: int, outlook: Outlook) -> None:
        super().__init__(time_window_ns, max_batch_size, outlook, slack_ns=0)


NO_SLACK: Final = Rule(f"{__name__}:NoSlack")


class SmallCase(NamedTuple):
    """``requests`` arrivals at ``load`` times the capacity of batches of at most ``rows``."""

    load: float
    slo_ms: float = 12.0
    requests: int = 8
    rows: int = 4

    def arrivals(self, seed: int) -> tuple[Int64s, int]:
        """
        Instants, and how many come before the case itself, for the model's times to be learnt from.

        Those come at the same rate, and end early enough for the slot to be free again.
        """
        random = np.random.default_rng([seed, 8])
        rate = self.load * capacity_per_s(self.rows)
        before = arrivals_at_rate(rate, _BEFORE_NS, "poisson", random)
        gaps = random.exponential(1e9 / rate, self.requests)
        first_ns = _BEFORE_NS + 4 * round(self.slo_ms * MS)
        return np.append(before, first_ns + np.cumsum(gaps).astype(np.int64)), len(before)

    def possible(self, seed: int) -> int:
        instants, before = self.arrivals(seed)
        case = instants[before:].tolist()
        deadlines = [instant + round(self.slo_ms * MS) for instant in case]
        return most_in_time(case, deadlines, service_ns, self.rows)

    def answered(self, rule: Rule, seed: int) -> int:
        instants, before = self.arrivals(seed)
        response_ns = replay(instants, model(rule, self.slo_ms, self.rows)).response_ns
        return int((response_ns[before:] >= 0).sum())


def shares(case: SmallCase, rule: Rule, seeds: Iterable[int]) -> list[float]:
    """Of what was possible, case by case."""
    return [case.answered(rule, seed) / case.possible(seed) for seed in seeds]
