"""
What keeps a model's requests from harming one another, and a model's trouble from growing. Pure.

A failed batch is *isolated*: run again as its two halves until the row at fault stands alone. That
is bounded by its rounds, and by the quarantine of inputs that fail alone again and again. Retries
that no row explains are paid from a budget, and count towards the model's circuit breaker. Which
failures count, and why: docs/decisions/0007-which-failures-count.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from streambox.batcher.breaker import HOLD_NS, Breaker
from streambox.batcher.quarantine import Quarantine
from streambox.batcher.retry_budget import RetryBudget
from streambox.batcher.settle import settle
from streambox.batcher.splitting import Part
from streambox.errors import CircuitOpen, Quarantined, RetryBudgetSpent, StreamBoxError
from streambox.executor.base import BatchError, BatchErrorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.batcher.batch import Batch
    from streambox.batcher.request import PendingRequest
    from streambox.executor.base import RowErrors

_NS_PER_S: Final = 1_000_000_000
_INFRASTRUCTURE: Final = frozenset(
    (BatchErrorKind.WORKER_DIED, BatchErrorKind.TIMEOUT, BatchErrorKind.UNAVAILABLE)
)
_ROWS_FAULT: Final = frozenset((BatchErrorKind.MODEL, BatchErrorKind.WORKER_DIED))


class Isolation:
    """
    A batch that failed, and all that is run again of it.

    ``deaths``: workers that ended on it; ``came_back``: a worker has answered some part of it.
    """

    __slots__ = ("came_back", "deaths", "most_deaths")

    def __init__(self, requests: int) -> None:
        self.most_deaths = (requests - 1).bit_length() + 1  # that one row can cause: one in each round
        self.deaths = 0
        self.came_back = False

    @property
    def unexplained(self) -> bool:
        """Workers end on all of it, more often than one row could cause: it is not the rows."""
        return self.deaths > self.most_deaths and not self.came_back


class Rerun(NamedTuple):
    """
    Requests that are to run, again, as one batch, before anybody who waits.

    ``isolation`` None: no batch of theirs has failed, they only did not fit into theirs.
    """

    requests: list[PendingRequest]
    isolation: Isolation | None = None


class Guard:
    """
    One model's. ``alert``: the door has to ask ``refusal``; False nearly always.

    ``digest(request)`` tells inputs apart. ``bisections`` counts batches that were split,
    ``retried`` requests that ran again, ``quarantined`` requests refused for their inputs.
    """

    __slots__ = (
        "_digest",
        "_model",
        "alert",
        "bisections",
        "breaker",
        "budget",
        "idempotent",
        "quarantine",
        "quarantined",
        "retried",
    )

    def __init__(
        self,
        model: str,
        digest: Callable[[PendingRequest], bytes],
        *,
        idempotent: bool = True,
        quarantine_ns: int = 60 * _NS_PER_S,
        breaker_ns: int = HOLD_NS,
    ) -> None:
        self._model = model
        self._digest = digest
        self.idempotent = idempotent
        self.breaker = Breaker(breaker_ns)
        self.budget = RetryBudget()
        self.quarantine = Quarantine(quarantine_ns)
        self.alert = False
        self.bisections = 0
        self.retried = 0
        self.quarantined = 0

    # ---- at the door -----------------------------------------------------------------------------

    def refusal(self, request: PendingRequest, now_ns: int) -> StreamBoxError | None:
        """Why *request* may not come in; None when it may. To be asked while ``alert``."""
        if self.quarantine:
            left_ns = self.quarantine.left_ns(self._digest(request), now_ns)
            if left_ns > 0:
                self.quarantined += 1
                return _held(left_ns)
            self._watch()
        wait_ns = self.breaker.wait_ns(now_ns)
        return self._open(wait_ns) if wait_ns else None

    def let_in(self, request: PendingRequest) -> None:
        """*request* has been accepted while ``alert``."""
        if not self.breaker.closed:
            self.breaker.probe_with(request)

    # ---- when a batch has ended ------------------------------------------------------------------

    def came_back(self, batch: Batch) -> None:
        """A worker has answered *batch*, be it with errors of its rows."""
        if batch.isolation is not None:
            batch.isolation.came_back = True
        if self.breaker.failures:
            self.breaker.succeeded()
            self._watch()

    def judge(self, batch: Batch, failure: RowErrors | BatchError, accepted: int, now_ns: int) -> list[Rerun]:
        """
        End the requests of *batch* that *failure* decides; what is to run again of the others.

        *accepted*: how many requests the model has been given so far, which is what the retry
        budget lives on.
        """
        isolation = batch.isolation or Isolation(len(batch.requests))
        kind = failure.kind if isinstance(failure, BatchError) else None
        if kind is BatchErrorKind.WORKER_DIED and self.idempotent and self.breaker.closed:
            return self._after_death(batch, failure, isolation, accepted, now_ns)
        if kind in _INFRASTRUCTURE:
            self._count(batch, now_ns)
        else:
            isolation.came_back = True
            self.came_back(batch)
        return self._reruns(batch, failure, isolation, now_ns)

    def _after_death(
        self, batch: Batch, failure: RowErrors | BatchError, isolation: Isolation, accepted: int, now_ns: int
    ) -> list[Rerun]:
        """A worker has ended on *batch*: one of its rows may have killed it, or none."""
        isolation.deaths += 1
        waiting = [request for request in batch.requests if not request.done]
        if batch.isolation is None and len(batch.requests) == 1:
            # Alone from the start, so that its mates tell nothing of it: once may be chance.
            if waiting and self.budget.spend(1, accepted):
                self.retried += 1
                return [Rerun(waiting, isolation)]
            self._count(batch, now_ns)
        elif isolation.unexplained:
            self._count(batch, now_ns)
            if len(batch.requests) > 1 and not self.budget.spend(len(waiting), accepted):
                _end(waiting, self._spent)
        return self._reruns(batch, failure, isolation, now_ns)

    def _reruns(
        self, batch: Batch, failure: RowErrors | BatchError, isolation: Isolation, now_ns: int
    ) -> list[Rerun]:
        self._note_offence(batch, failure, now_ns)
        groups = settle(batch, failure, idempotent=self.idempotent)
        if not self.breaker.closed:
            for group in groups:
                self.turn_out(group, now_ns)
            return []
        self.bisections += len(groups) > 1
        self.retried += sum(map(len, groups))
        return [Rerun(group, isolation) for group in groups]

    def turn_out(self, requests: list[PendingRequest], now_ns: int) -> None:
        """The breaker has opened: end *requests*, which no worker has now."""
        _end(requests, lambda: self._open(self.breaker.wait_ns(now_ns)))

    # ---- inside ----------------------------------------------------------------------------------

    def _note_offence(self, batch: Batch, failure: RowErrors | BatchError, now_ns: int) -> None:
        """A request that failed alone: is it the first time?"""
        if len(batch.requests) > 1 or not isinstance(failure, BatchError) or failure.kind not in _ROWS_FAULT:
            return
        if self.quarantine.hold_ns:
            self.quarantine.offend(self._digest(batch.requests[0]), now_ns)
            self._watch()

    def _count(self, batch: Batch, now_ns: int) -> None:
        if all(isinstance(request, Part) and request.split.failed for request in batch.requests):
            return  # what they are parts of has failed before, which told what there is to tell
        self.breaker.failed(now_ns)
        self._watch()

    def _watch(self) -> None:
        self.alert = bool(self.quarantine) or not self.breaker.closed

    def _open(self, wait_ns: int) -> StreamBoxError:
        error = CircuitOpen(
            f"the workers of model {self._model!r} fail again and again: it is left alone for a while"
        )
        error.retry_after_s = max(1, math.ceil(wait_ns / _NS_PER_S))
        return error

    def _spent(self) -> StreamBoxError:
        return RetryBudgetSpent(
            f"the workers of model {self._model!r} end on its batches, and enough was run again: try later"
        )


def _held(left_ns: int) -> StreamBoxError:
    seconds = max(1, math.ceil(left_ns / _NS_PER_S))
    error = Quarantined(
        f"this input has failed by itself more than once and is not run for another {seconds} s: mend it"
    )
    error.retry_after_s = seconds
    return error


def _end(requests: list[PendingRequest], why: Callable[[], StreamBoxError]) -> None:
    for request in requests:
        request.finish(why())
