"""Tenants: what each may ask for, and what it has in the system now. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from streambox.errors import Forbidden, QuotaExceeded

if TYPE_CHECKING:
    from streambox.batcher.request import PendingRequest
    from streambox.errors import StreamBoxError

_NS_PER_S = 1_000_000_000


class TokenBucket:
    """
    At most *burst* rows at once, and *rate_per_s* rows a second in the long run.

    Full at the start. A request larger than the bucket passes when it is full, and leaves it in
    debt, so that the rate holds for it, too.
    """

    __slots__ = ("_rate_per_ns", "_tokens", "burst", "filled_ns", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, now_ns: int) -> None:
        self.rate_per_s = rate_per_s
        self._rate_per_ns = rate_per_s / _NS_PER_S
        self.burst = burst
        self._tokens = burst
        self.filled_ns = now_ns

    def take(self, rows: int, now_ns: int) -> int:
        """0: they are taken. Else how many ns from now they would be there; nothing is taken."""
        filled = self._tokens + (now_ns - self.filled_ns) * self._rate_per_ns
        self._tokens = min(self.burst, filled)
        self.filled_ns = now_ns
        missing = min(float(rows), self.burst) - self._tokens
        if missing > 1e-9:
            return math.ceil(missing / self._rate_per_ns)
        self._tokens -= rows
        return 0

    def give_back(self, rows: int) -> None:
        """What was taken was not used."""
        self._tokens = min(self.burst, self._tokens + rows)


class Tenant:
    """
    One tenant at run time. Limits are None where there is none; ``max_queued`` counts requests.

    ``weight`` is its share of a model that several wait for; tenants of a higher ``priority`` go first.
    ``share`` is its part of the weights of all, and with that of the places in a model's queue.
    ``models`` None: it may ask for any. ``max_body_bytes`` and ``slo_ns``, the deadline of a request that
    brings none, are for those who make its requests to mind.

    ``refused`` counts by error code what never was accepted, ``rows`` those of completed requests.
    """

    __slots__ = (
        "accepted",
        "bucket",
        "completed",
        "in_flight",
        "max_body_bytes",
        "max_in_flight",
        "max_queued",
        "models",
        "name",
        "priority",
        "queued",
        "refused",
        "rows",
        "share",
        "slo_ns",
        "weight",
    )

    def __init__(
        self,
        name: str,
        *,
        weight: float = 1.0,
        priority: int = 0,
        bucket: TokenBucket | None = None,
        max_in_flight: int | None = None,
        max_queued: int | None = None,
        max_body_bytes: int | None = None,
        models: frozenset[str] | None = None,
        slo_ns: int | None = None,
    ) -> None:
        self.name = name
        self.weight = weight
        self.share = 1.0
        self.priority = priority
        self.bucket = bucket
        self.max_in_flight = math.inf if max_in_flight is None else max_in_flight
        self.max_queued = math.inf if max_queued is None else max_queued
        self.max_body_bytes = max_body_bytes
        self.models = models
        self.slo_ns = slo_ns
        self.in_flight = 0
        self.queued = 0
        self.accepted = 0
        self.refused: dict[str, int] = {}
        self.completed = 0
        self.rows = 0

    def __repr__(self) -> str:
        return f"<Tenant {self.name}: {self.queued} queued, {self.in_flight} in flight>"

    def admit(self, request: PendingRequest, now_ns: int) -> None:
        """
        Let *request* in as far as its tenant is concerned, and charge it.

        Raises:
            Forbidden: not its model.
            QuotaExceeded: a limit of its own; says when to try again.
        """
        self._check(request, now_ns)
        self.accepted += 1
        self.in_flight += 1
        self.queued += 1

    def take_back(self, request: PendingRequest) -> None:
        """*request*, admitted just now, is not accepted after all."""
        self.accepted -= 1
        self.in_flight -= 1
        self.queued -= 1
        if self.bucket is not None:
            self.bucket.give_back(request.rows)

    def may_ask(self, model: str) -> bool:
        return self.models is None or model in self.models

    def check_model(self, model: str) -> None:
        """Raises Forbidden where *model* is not one of its own."""
        if not self.may_ask(model):
            raise Forbidden(f"tenant {self.name!r} has no access to model {model!r}: ask its operator for it")

    def count_refusal(self, error: StreamBoxError) -> None:
        self.refused[error.code] = self.refused.get(error.code, 0) + 1

    def _check(self, request: PendingRequest, now_ns: int) -> None:
        self.check_model(request.model)
        if self.in_flight >= self.max_in_flight:
            raise QuotaExceeded(f"tenant {self.name!r} has {self.in_flight} requests in flight, its most")
        if self.queued >= self.max_queued:
            raise QuotaExceeded(f"tenant {self.name!r} has {self.queued} requests waiting, its most")
        wait_ns = self.bucket.take(request.rows, now_ns) if self.bucket is not None else 0
        if wait_ns:
            refusal = QuotaExceeded(f"tenant {self.name!r} is over its rate: send more slowly")
            refusal.retry_after_s = max(1, math.ceil(wait_ns / _NS_PER_S))
            raise refusal
