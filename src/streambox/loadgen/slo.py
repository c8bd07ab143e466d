"""
Service-level objectives: ``p99<50ms``, ``ok>99.9%``, ``tenant=acme:p95<20ms``.

A request that was not answered right met no latency objective, however long it took: in a
percentile it stands for an endless response time.
"""

from __future__ import annotations

import math
import operator
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.histogram import Durations
from streambox.units import format_duration, parse_duration, parse_rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from streambox.loadgen.record import Outcomes
    from streambox.workload.schedule import Lane

    Mask = np.ndarray[Any, np.dtype[np.bool_]]

_WHOSE: Final = re.compile(r"\s*(tenant|model)\s*=\s*([^:<>\s]+)\s*:")
_FORM: Final = re.compile(r"\s*([a-z]+[0-9.]*)\s*(<=|>=|<|>)\s*(\S+)\s*")
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")
_EXAMPLES: Final = "p99<50ms, mean<10ms, ok>99.9%, errors<0.1%, throughput>450/s, tenant=acme:p95<20ms"
_RELATIONS: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ENDLESS: Final = 2**62
_MOST_NAMES: Final = 10

Kind = Literal["percentile", "max", "mean", "ok", "errors", "throughput"]


class Objective(msgspec.Struct, frozen=True):
    """
    One objective, for all requests or those of one tenant or model.

    ``limit`` is in ns (percentile, max, mean), a share in 0..1 (ok, errors), or requests
    per second (throughput: those answered right). ``rank`` is the percentile's, in 0..100.
    """

    text: str
    kind: Kind
    relation: str
    limit: float
    rank: float = 0.0
    tenant: str | None = None
    model: str | None = None

    def judge(self, outcomes: Outcomes, lanes: Sequence[Lane], duration_ns: int) -> Judgement:
        """Whether *outcomes*, of a run over *duration_ns*, meet it."""
        value = self._value(outcomes, lanes, duration_ns)
        if value is None:
            return Judgement(self, None, holds=False)
        return Judgement(self, value, holds=_RELATIONS[self.relation](value, self.limit))

    @property
    def upper(self) -> bool:
        return self.relation.startswith("<")

    @property
    def allowed(self) -> float | None:
        """The share of requests that may miss it; None where it is not about a share of them."""
        if self.kind == "percentile" and self.upper:
            return 1 - self.rank / 100
        if self.kind == "ok" and not self.upper:
            return 1 - self.limit
        return self.limit if self.kind == "errors" and self.upper else None

    def missed(self, outcomes: Outcomes, lanes: Sequence[Lane]) -> Mask:
        """Which of its requests, in schedule order, miss it; only where ``allowed`` is a number."""
        mine = self._mine(outcomes, lanes)
        missed: Mask = ~mine.ok
        if self.kind == "percentile":
            missed |= mine.done_ns - mine.intended_ns > self.limit
        return missed

    def slow(self, outcomes: Outcomes, lanes: Sequence[Lane]) -> Mask:
        """Of all requests, in schedule order, its own that took longer than it allows a single one."""
        if self.kind not in ("percentile", "max") or not self.upper:
            return np.zeros(len(outcomes), np.bool_)
        slow: Mask = outcomes.done_ns - outcomes.intended_ns > self.limit
        return slow & self._lanes(lanes)[outcomes.lane]

    def count(self, outcomes: Outcomes, lanes: Sequence[Lane]) -> int:
        """How many requests it is about."""
        return len(self._mine(outcomes, lanes))

    def concerns(self, lanes: Sequence[Lane]) -> bool:
        """Whether it is about any of *lanes*."""
        return bool(self._lanes(lanes).any())

    def _mine(self, outcomes: Outcomes, lanes: Sequence[Lane]) -> Outcomes:
        if self.tenant is None and self.model is None:
            return outcomes
        return outcomes.of_lanes(self._lanes(lanes))

    def _lanes(self, lanes: Sequence[Lane]) -> Mask:
        """Which of the lanes it is about."""
        mine = [self.tenant in (None, lane.tenant) and self.model in (None, lane.model) for lane in lanes]
        return np.array(mine, np.bool_)

    def _value(self, outcomes: Outcomes, lanes: Sequence[Lane], duration_ns: int) -> float | None:
        count, right = 0, Durations()
        for some in outcomes.in_parts():
            mine = self._mine(some, lanes)
            count += len(mine)
            right.add(mine.done_ns[mine.ok] - mine.intended_ns[mine.ok])
        ok = right.count
        if self.kind == "throughput":
            return ok / max(duration_ns, 1) * 1e9
        if not count:
            return None
        if self.kind in ("ok", "errors"):
            return ok / count if self.kind == "ok" else 1 - ok / count
        if self.kind == "mean":
            return (right.total + (count - ok) * _ENDLESS) / count
        # The smallest value that this share does not exceed: no interpolation towards "endless".
        share = self.rank / 100 if self.kind == "percentile" else 1
        number = max(1, math.ceil(share * count - 1e-9))
        if number > ok:
            return float(_ENDLESS)
        return float(right.largest) if self.kind == "max" else right.smallest(number)


class Judgement(msgspec.Struct, frozen=True):
    """An objective and what was found; ``value`` None: there was no request of its kind."""

    objective: Objective
    value: float | None
    holds: bool

    @property
    def found(self) -> str:
        """The value as text, in the objective's own unit."""
        if self.value is None:
            return "no request"
        kind = self.objective.kind
        if kind in ("ok", "errors"):
            return f"{self.value:.4%}"
        if kind == "throughput":
            return f"{self.value:.1f}/s"
        return "not answered" if self.value >= _ENDLESS / 1e3 else f"{self.value / 1e6:.3f}ms"

    def summary(self) -> dict[str, Any]:
        return {"objective": self.objective.text, "found": self.found, "holds": self.holds}


def good(outcomes: Outcomes, objectives: Sequence[Objective], lanes: Sequence[Lane]) -> Mask:
    """Which requests were answered right, and within the time that every objective allows a single one."""
    mask = outcomes.ok
    for objective in objectives:
        mask = mask & ~objective.slow(outcomes, lanes)
    return mask


def check_concerned(objectives: Sequence[Objective], lanes: Sequence[Lane]) -> None:
    """Raises UsageError for an objective about a tenant or model that none of *lanes* is."""
    for objective in objectives:
        if not objective.concerns(lanes):
            raise UsageError(f"{objective.text!r} is about no request: {_there_are(objective, lanes)}")


def _there_are(objective: Objective, lanes: Sequence[Lane]) -> str:
    """What is there, of that which the objective names and does not find."""
    tenants, models = {lane.tenant for lane in lanes} - {""}, {lane.model for lane in lanes}
    if objective.model is not None and objective.model not in models:
        return f"the models are {_names(models)}"
    if objective.tenant is not None and objective.tenant not in tenants:
        return (
            f"the tenants are {_names(tenants)}" if tenants else "the run has no tenants, leave tenant= out"
        )
    return f"the tenants and models go together as {_names({str(lane) for lane in lanes})}"


def _names(names: AbstractSet[str]) -> str:
    first = ", ".join(sorted(names)[:_MOST_NAMES])
    return f"{first}, …" if len(names) > _MOST_NAMES else first


def parse_objective(text: str) -> Objective:
    """Raises UsageError, naming what is not understood."""
    whose: dict[str, str] = {}
    rest = text
    while (found := _WHOSE.match(rest)) and found[1] not in whose:
        whose[found[1]] = found[2]
        rest = rest[found.end() :]
    match = _FORM.fullmatch(rest)
    if match is None:
        raise UsageError(f"{text!r} is no objective: write one such as {_EXAMPLES}")
    metric, relation, value = match.groups()
    kind, rank = _metric(text, metric)
    limit = _limit(text, kind, value)
    if kind in ("percentile", "max", "mean") and limit == 0:
        raise UsageError(f"{text!r}: {format_duration(0)} is no response time: give one such as 50ms")
    return Objective(text.strip(), kind, relation, limit, rank, whose.get("tenant"), whose.get("model"))


def _metric(text: str, metric: str) -> tuple[Kind, float]:
    percentile = _PERCENTILE.fullmatch(metric)
    if percentile is not None and float(percentile[1]) > 0:
        return "percentile", float(percentile[1])
    if metric in ("max", "mean", "ok", "errors", "throughput"):
        return metric, 0.0  # type: ignore[return-value]  # just looked up
    raise UsageError(f"{text!r}: there is no figure {metric!r}: write one such as {_EXAMPLES}")


def _limit(text: str, kind: Kind, value: str) -> float:
    if kind in ("ok", "errors"):
        try:
            share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise UsageError(f"{text!r}: {value!r} is no share: write one such as 99.9% or 0.999")
        return share
    try:
        return parse_rate(value) if kind == "throughput" else parse_duration(value)
    except UsageError as error:
        raise UsageError(f"{text!r}: {error}") from None
