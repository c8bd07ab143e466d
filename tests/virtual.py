"""The core under a virtual clock: an executor without processes, and a bench that keeps what happened."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streambox.batcher import Batch, PendingRequest, QueueSettings, Scheduler, ServedModel, StreamBoxBatcher
from streambox.batcher.splitting import Split
from streambox.clock import VirtualClock
from streambox.errors import StreamBoxError
from streambox.executor.base import (
    BatchError,
    BatchErrorKind,
    BatchResult,
    Health,
    ModelSpec,
    RowErrors,
    TensorSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 1_000_000
Outcome = RowErrors | BatchError | None

# Rows are (value, id, ...): every row knows whose it is. The width may differ from request to request.
SPEC = ModelSpec(
    inputs=(TensorSpec("x", "FP64", (-1, -1)),), outputs=(TensorSpec("y", "FP64", (-1, 1)),), platform="test"
)
DIED = BatchError(BatchErrorKind.WORKER_DIED, "the worker ended", retryable=True, worker_died=True)
BROKEN = BatchError(BatchErrorKind.MODEL, "the model raised", retryable=True)
HOPELESS = BatchError(BatchErrorKind.UNAVAILABLE, "no worker", retryable=False)


@dataclass(frozen=True)
class Started:
    """A batch as it reached the executor; the batch itself forgets its requests when it ends."""

    id: int
    model: str
    reason: str
    size: int
    requests: tuple[PendingRequest, ...]
    at_ns: int
    running_before: int

    @property
    def ids(self) -> list[str]:
        return [request.request_id for request in self.requests]


class VirtualExecutor:
    """
    Computes y = 2 * value + id in virtual time, each of its *slots* one batch after the other.

    ``service_ns`` may be a number or a function of the batch; ``outcome(batch)`` may
    answer an error in place of the result. ``handover_ns``: what a batch needs beyond that on its
    way there and back.
    """

    def __init__(
        self,
        clock: VirtualClock,
        slots: int = 1,
        service_ns: int | Callable[[Batch], int] = 10 * MS,
        outcome: Callable[[Batch], Outcome] = lambda _: None,
        handover_ns: int = 0,
    ) -> None:
        self.handover_ns = handover_ns
        self.clock = clock
        self.slots = slots
        self.service_ns = service_ns
        self.outcome = outcome
        self.started: list[Started] = []
        self.in_hand: dict[int, Started] = {}
        self._free_at_ns = [0] * slots

    @property
    def running(self) -> int:
        return len(self.in_hand)

    def begin(self, batch: Batch, ended: Callable[[Batch, Any], None]) -> None:
        now_ns = self.clock.now_ns()
        requests = tuple(batch.requests)
        started = Started(
            batch.id, batch.model, str(batch.reason), batch.size, requests, now_ns, self.running
        )
        self.started.append(started)
        self.in_hand[batch.id] = started
        service_ns = self.service_ns if isinstance(self.service_ns, int) else self.service_ns(batch)
        begins_ns = max(now_ns, heapq.heappop(self._free_at_ns))
        ends_ns = begins_ns + service_ns + self.handover_ns
        heapq.heappush(self._free_at_ns, ends_ns)
        outcome = self.outcome(batch)
        x = batch.tensors["x"]
        result = outcome or BatchResult({"y": 2 * x[:, :1] + x[:, 1:2]}, service_ns)
        self.clock.call_at(ends_ns, lambda: self._end(batch, result, ended))

    def _end(self, batch: Batch, result: Any, ended: Callable[[Batch, Any], None]) -> None:
        del self.in_hand[batch.id]
        ended(batch, result)

    async def load(self) -> ModelSpec:
        return SPEC

    def hurry(self) -> None: ...

    async def unload(self) -> None:
        return

    def health(self) -> Health:
        return Health(ready=True, slots=self.slots, restarts=0)


class Bench:
    """A scheduler in virtual time, and every request that it was given. ``ended`` is in order."""

    def __init__(
        self, make_batcher: Callable[[Any], Any] = StreamBoxBatcher, *, shared: bool = False, **model: Any
    ) -> None:
        self.shared = shared
        self.clock = VirtualClock()
        self.scheduler = self.make_scheduler(make_batcher)
        self.batcher = self.scheduler.batcher
        self.served: dict[str, ServedModel] = {}
        self.executors: dict[str, VirtualExecutor] = {}
        self.submitted: list[PendingRequest] = []
        self.ended: list[PendingRequest] = []
        self.add_model("m", **model)

    def make_scheduler(self, make_batcher: Callable[[Any], Any]) -> Scheduler:
        return Scheduler(self.clock, make_batcher, shared=self.shared)

    def add_model(
        self,
        name: str,
        *,
        window_ms: float = 100,
        max_batch_size: int = 32,
        max_queue_size: int = 10_000,
        max_request_rows: int | None = None,
        preserve_ordering: bool = False,
        timeout_ms: float = 60_000,
        ready: bool = True,
        policy: str = "window",
        preferred: tuple[int, ...] = (),
        pad_to: tuple[int, ...] = (),
        idempotent: bool = True,
        quarantine_ns: int = 60_000 * MS,
        breaker_ns: int = 5_000 * MS,
        **executor: Any,
    ) -> VirtualExecutor:
        made = self.executors[name] = VirtualExecutor(self.clock, **executor)
        served = self.served[name] = ServedModel(
            name,
            made,
            SPEC,
            QueueSettings(round(window_ms * MS), max_batch_size, policy, preferred, pad_to),
            max_queue_size=max_queue_size,
            max_request_rows=max_request_rows,
            preserve_ordering=preserve_ordering,
            timeout_ns=round(timeout_ms * MS),
            ready=ready,
            idempotent=idempotent,
            quarantine_ns=quarantine_ns,
            breaker_ns=breaker_ns,
        )
        self.scheduler.add_model(served)
        return made

    @property
    def now_ms(self) -> float:
        return self.clock.now_ns() / MS

    @property
    def executor(self) -> VirtualExecutor:
        return self.executors["m"]

    @property
    def batches(self) -> list[Started]:
        return self.executor.started

    @property
    def counters(self) -> Any:
        return self.served["m"].counters

    def request(
        self,
        rows: int = 1,
        *,
        model: str = "m",
        width: int = 2,
        timeout_ms: float | None = None,
        value: float | None = None,
        on_done: Callable[[PendingRequest], None] | None = None,
    ) -> PendingRequest:
        number = len(self.submitted)
        x = np.full((rows, width), float(number))
        x[:, 0] = np.arange(rows) + number / 8 if value is None else value
        request = PendingRequest(
            model, on_done or self.ended.append, request_id=str(number), inputs={"x": x}, rows=rows
        )
        request.signature = width
        request.timeout_ns = None if timeout_ms is None else round(timeout_ms * MS)
        self.submitted.append(request)
        return request

    def submit(self, rows: int = 1, **options: Any) -> PendingRequest:
        request = self.request(rows, **options)
        self.scheduler.submit(request)
        return request

    def submit_many(self, count: int, **options: Any) -> list[PendingRequest]:
        return [self.submit(**options) for _ in range(count)]

    def refused(self, rows: int = 1, **options: Any) -> StreamBoxError:
        """The error with which a request is refused."""
        try:
            self.submit(rows, **options)
        except StreamBoxError as error:
            return error
        raise AssertionError("the request was accepted")

    def advance_ms(self, by_ms: float) -> None:
        self.clock.advance(round(by_ms * MS))

    def settle(self) -> None:
        """Let time run until nothing is due any more."""
        while (due_ns := self.clock.next_ns()) is not None:
            self.clock.advance_to(due_ns)

    def violations(self) -> list[str]:
        ledgers = [ledger for served in self.served.values() for ledger in (served.counters, served.parts)]
        return [line for ledger in ledgers for line in ledger.violations()]


def pieces(request: PendingRequest) -> list[PendingRequest]:
    """What of *request* waits and runs: itself, or its parts."""
    return list(request.parts.parts) if isinstance(request.parts, Split) else [request]


def has_its_rows(request: PendingRequest, x: np.ndarray) -> bool:
    """Whether a completed *request*, whose input was *x*, was given the answer to it."""
    y = request.batch.outputs["y"][request.first_row : request.first_row + request.rows]
    return np.array_equal(y, 2 * x[:, :1] + x[:, 1:2])


def states(requests: list[PendingRequest]) -> list[str]:
    return [request.state.name for request in requests]
