"""What each tenant and model got out of a run, and how fairly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streambox.loadgen.report.distribution import Distribution
from streambox.loadgen.slo import good
from streambox.workload.schedule import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.slo import Objective

    Numbers = np.ndarray[Any, np.dtype[Any]]


class LaneFigures(msgspec.Struct, frozen=True):
    """
    What became of the requests of one lane.

    ``goodput_per_s``: those answered right, within the time that the objectives allow;
    percentiles are of all that were answered.
    """

    lane: Lane
    offered: int
    ok: int
    goodput_per_s: float
    p50_ms: float
    p99_ms: float
    errors: dict[str, int]


def figures_by_lane(
    outcomes: Outcomes, lanes: Sequence[Lane], duration_s: float, objectives: Sequence[Objective] = ()
) -> list[LaneFigures]:
    """In the order of *lanes*; reads a part of the *outcomes* at a time."""
    kinds = np.zeros((len(lanes), len(outcomes.kinds)), np.int64)
    well = np.zeros(len(lanes), np.int64)
    responses = [Distribution.empty() for _ in lanes]
    for some in outcomes.in_parts():
        codes = some.lane.astype(np.int64) * len(outcomes.kinds) + some.kind
        kinds += np.bincount(codes, minlength=kinds.size).reshape(kinds.shape)
        well += np.bincount(some.lane[good(some, objectives, lanes)], minlength=len(lanes))
        for number in np.unique(some.lane):
            responses[number].add(some.response_ns[some.lane[some.completed] == number])
    goodput_per_s = well / max(duration_s, 1e-9)
    return [
        _figures(lane, counts, outcomes.kinds, float(rate), response)
        for lane, counts, rate, response in zip(lanes, kinds, goodput_per_s, responses, strict=True)
    ]


def jain(shares: Sequence[float]) -> float | None:
    """
    Jain's index, (Σx)² / (n Σx²): 1 where all get the same, 1/n where one gets all.

    None where nobody gets anything. Jain, Chiu, Hawe: DEC-TR-301, 1984.
    """
    values = np.asarray(shares, np.float64)
    squares = float(values @ values)
    return float(values.sum()) ** 2 / (len(values) * squares) if squares else None


def _figures(
    lane: Lane, counts: Numbers, kinds: Sequence[str], goodput_per_s: float, response: Distribution
) -> LaneFigures:
    p50_ms, p99_ms = (float(value) for value in response.percentiles_ms(np.array([0.5, 0.99])))
    errors = {kind: int(count) for kind, count in zip(kinds[1:], counts[1:], strict=True) if count}
    return LaneFigures(lane, int(counts.sum()), int(counts[0]), goodput_per_s, p50_ms, p99_ms, errors)
