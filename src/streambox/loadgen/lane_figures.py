"""What each tenant and model got out of a run, and how fairly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streambox.loadgen.histogram import Durations
from streambox.loadgen.record import WRONG
from streambox.loadgen.slo import good
from streambox.loadgen.summary import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.slo import Objective
    from streambox.workload.schedule import Lane

    Mask = np.ndarray[Any, np.dtype[np.bool_]]


class LaneFigures:
    """
    The figures of *outcomes* by lane, and by whatever lanes are put together.

    *duration_s*: of the run, until its last response; *offered_s*: of the workload.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        lanes: Sequence[Lane],
        *,
        duration_s: float,
        offered_s: float,
        objectives: Sequence[Objective] = (),
    ) -> None:
        self._outcomes = outcomes
        self._lanes = lanes
        self._duration_s = max(duration_s, 1e-9)
        self._offered_s = max(offered_s, 1e-9)
        self._kinds = np.zeros((len(lanes), len(outcomes.kinds)), np.int64)
        self._good = np.zeros(len(lanes), np.int64)
        for some in outcomes.in_parts():
            codes = some.lane.astype(np.int64) * len(outcomes.kinds) + some.kind
            self._kinds += np.bincount(codes, minlength=self._kinds.size).reshape(self._kinds.shape)
            self._good += np.bincount(some.lane[good(some, objectives, lanes)], minlength=len(lanes))

    def goodput_per_s(self, which: Mask | None = None) -> float:
        """Of the lanes *which*: those answered right within what the objectives allow."""
        return float(self._good[slice(None) if which is None else which].sum()) / self._duration_s

    def of(self, which: Mask) -> dict[str, Any]:
        """Of all requests of the lanes for which *which* is True, together."""
        counts, outcomes = self._kinds[which].sum(axis=0), self._outcomes
        kinds = dict(zip(outcomes.kinds, counts.tolist(), strict=True))
        offered = int(counts.sum())
        return {
            "offered": offered,
            "ok": int(counts[0]),
            "wrong": kinds.get(WRONG, 0),
            "errors": {kind: count for kind, count in kinds.items() if count and kind != outcomes.kinds[0]},
            "offered_per_s": round(offered / self._offered_s, 3),
            "goodput_per_s": round(self.goodput_per_s(which), 3),
            "response_ms": figures(self._responses(which), 1e6),
        }

    def _responses(self, which: Mask) -> Durations:
        responses = Durations()
        for some in self._outcomes.in_parts():
            mine = (some.done_ns >= 0) & which[some.lane]
            responses.add(some.done_ns[mine] - some.intended_ns[mine])
        return responses

    def summary(self, weights: Sequence[float]) -> dict[str, Any]:
        """The keys ``lanes``, ``tenants``, ``models`` and ``fairness`` of ``summary.json``."""
        numbers = np.arange(len(self._lanes))
        by_lane = [
            {"model": lane.model, "tenant": lane.tenant, "weight": weight, **self.of(numbers == number)}
            for number, (lane, weight) in enumerate(zip(self._lanes, weights, strict=True))
        ]
        return {
            "lanes": by_lane,
            "tenants": self._together("tenant"),
            "models": self._together("model"),
            "fairness": self.fairness(weights),
        }

    def fairness(self, weights: Sequence[float]) -> float | None:
        """
        Jain's index of goodput per weight, between tenants; between models where no tenant is named.

        None where there are not two of them, or nobody got anything.
        """
        parties = [lane.tenant or lane.model for lane in self._lanes]
        shares = []
        for party in dict.fromkeys(parties):
            which = np.array([other == party for other in parties])
            shares.append(self.goodput_per_s(which) / float(np.asarray(weights)[which].sum()))
        index = jain(shares) if len(shares) > 1 else None
        return None if index is None else round(index, 4)

    def _together(self, name: str) -> list[dict[str, Any]]:
        """Figures by tenant, or by model; nothing where that tells no more than the lanes do."""
        names = np.array([getattr(lane, name) for lane in self._lanes])
        different = list(dict.fromkeys(names.tolist()))
        if len(different) in (1, len(self._lanes)):
            return []
        return [{name: each, **self.of(names == each)} for each in different]


def jain(shares: Sequence[float]) -> float | None:
    """
    (Σx)² / (n Σx²): 1 where all get the same, 1/n where one gets all; None where nobody gets anything.

    Jain, Chiu, Hawe: A quantitative measure of fairness and discrimination, DEC-TR-301, 1984.
    """
    values = np.asarray(shares, np.float64)
    squares = float(values @ values)
    return float(values.sum()) ** 2 / (len(values) * squares) if squares else None


def weights_of(recipe: Mapping[str, Any], lanes: Sequence[Lane]) -> list[float]:
    """Of each lane, as the mix has them; 1 where there was none."""
    given = recipe.get("weights") or ()
    return [float(weight) for weight in given] if len(given) == len(lanes) else [1.0] * len(lanes)
