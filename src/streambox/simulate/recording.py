"""
The core with a record kept of it: what came in from its clock, its executors and its callers, and
between that what it decided. ``streambox.simulate.again`` has it decide the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streambox.batcher.scheduler import Scheduler
from streambox.batcher.splitting import Part
from streambox.errors import ConfigError, StreamBoxError
from streambox.executor.base import BatchResult, RowErrors

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.batcher.admission import Admission
    from streambox.batcher.batch import Batch
    from streambox.batcher.interface import Batcher
    from streambox.batcher.request import PendingRequest
    from streambox.batcher.served_model import ServedModel
    from streambox.batcher.tenants import Tenant
    from streambox.clock import Clock, Timer
    from streambox.executor.base import ModelSpec, Outcome
    from streambox.simulate.record import Record


class RecordingClock:
    """*clock*, with a line for every sample and for every timer that fires."""

    def __init__(self, clock: Clock, record: Record) -> None:
        self._clock = clock
        self._record = record
        self._timers = 0

    def now_ns(self) -> int:
        now_ns = self._clock.now_ns()
        self._record.line("now", now_ns)
        return now_ns

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        number = self._timers
        self._timers += 1

        def fire() -> None:
            self._record.line("timer", number)
            callback()

        return self._clock.call_at(when_ns, fire)


class RecordingScheduler(Scheduler):
    """
    A scheduler that says what it is told and what it decides, and is otherwise the same.

    A caller who is told of an end may come back at once, with the next request of its connection:
    ``_inside`` is whose end that is.
    """

    def __init__(
        self,
        clock: Clock,
        make_batcher: Callable[[Scheduler], Batcher],
        record: Record,
        *,
        shared: bool = False,
    ) -> None:
        self._record = record
        self._numbers: dict[PendingRequest, int] = {}
        self._submitted = 0
        self._inside: int | None = None
        self._doors: dict[str, tuple[Any, ...]] = {}
        self._tenants: dict[Tenant, int] = {}
        super().__init__(RecordingClock(clock, record), make_batcher, shared=shared)
        self._listen_to_settings()

    # ---- what it is told -------------------------------------------------------------------------

    def add_model(self, served: ServedModel) -> None:
        self._told("model", *_described(served))
        self._doors[served.name] = _door(served.admission)
        stacks, digests = served.stack, served.digest

        def stack(requests: list[PendingRequest], spec: ModelSpec) -> Any:
            bad = None  # it raised
            try:
                tensors, unfit = stacks(requests, spec)
                bad = sorted(unfit)
            finally:
                self._record.line("stacked", bad)
            return tensors, unfit

        def digest(request: PendingRequest, spec: ModelSpec) -> bytes:
            found = digests(request, spec)
            self._record.line("digest", found.hex())
            return found

        served.stack, served.digest = stack, digest
        super().add_model(served)

    def submit(self, request: PendingRequest) -> None:
        self.tell_door(request.model)
        tenant = self.tenant_number(request.tenant)
        number = self._submitted
        self._submitted += 1
        signature = _signature(request.signature)
        self._told("submit", number, request.model, request.rows, signature, request.timeout_ns, tenant)
        self._numbers[request] = number
        self._tell_end(request, number)
        try:
            super().submit(request)
        except StreamBoxError as error:
            del self._numbers[request]
            self._record.line("refused", number, error.code)
            raise

    def cancel(self, request: PendingRequest) -> None:
        number = self._numbers.pop(request, None)
        if number is not None:
            self._told("cancel", number)
        super().cancel(request)

    def model_ready(self, name: str) -> None:
        self._told("ready", name)
        super().model_ready(name)

    def model_failed(self, name: str, reason: str) -> None:
        self._told("failed", name, reason)
        super().model_failed(name, reason)

    def drain(self) -> None:
        self._told("drain")
        super().drain()

    def fail_all(self, why: str) -> int:
        self._told("fail_all")
        return super().fail_all(why)

    def _ended(self, batch: Batch, result: Outcome) -> None:
        self._told("ended", batch.id, *_outcome(result))
        super()._ended(batch, result)

    def _listen_to_settings(self) -> None:
        batcher = self.batcher
        for name in ("set_time_window", "set_batch_size", "set_policy", "set_preferred_batch_size"):
            if not hasattr(batcher, name):
                continue  # one's own Batcher has the first two
            try:
                setattr(batcher, name, self._recorded(name, getattr(batcher, name)))
            except AttributeError:
                kind = type(batcher).__name__
                raise ConfigError(f"batcher.class: {kind} has __slots__: it cannot be recorded") from None

    def _recorded(self, name: str, method: Callable[..., None]) -> Callable[..., None]:
        def call(value: Any, model: str | None = None) -> None:
            self._told("set", name, value, model)
            method(value, model)

        return call

    # ---- what it decides -------------------------------------------------------------------------

    def _start(self, served: ServedModel, batch: Batch) -> None:
        numbers = [self._number(request) for request in batch.requests]
        self._record.line("batch", batch.id, batch.model, str(batch.reason), numbers)
        super()._start(served, batch)

    def _number(self, request: PendingRequest) -> Any:
        """A part of a request is that request's number and its own first row there."""
        if isinstance(request, Part):
            return self._numbers.get(request.split.whole, -1), request.offset
        return self._numbers.get(request, -1)

    def _tell_end(self, request: PendingRequest, number: int) -> None:
        on_done = request.on_done

        def done(ended: Any) -> None:
            self._numbers.pop(request, None)
            self._record.line("done", number, ended.state.name)
            outer, self._inside = self._inside, number
            try:
                on_done(ended)
            finally:
                self._inside = outer

        request.on_done = done

    # ---- lines -----------------------------------------------------------------------------------

    def _told(self, *fields: Any) -> None:
        if self._inside is None:
            self._record.line(*fields)
        else:
            self._record.line("inside", self._inside, *fields)

    def tell_door(self, model: str) -> None:
        """The server sets these directly: whoever comes next finds them changed."""
        door = _door(self._served[model].admission)
        if door != self._doors[model]:
            self._doors[model] = door
            self._told("door", model, *door)

    def tenant_number(self, tenant: Tenant | None) -> int | None:
        if tenant is None:
            return None
        number = self._tenants.get(tenant)
        if number is None:
            number = self._tenants[tenant] = len(self._tenants)
            self._told("tenant", number, *_limits(tenant))
        return number


def _described(served: ServedModel) -> tuple[Any, ...]:
    """In the order of ``retold.RetoldCore._on_model``."""
    slots, door = served.executor.slots, served.admission
    return (
        served.name,
        list(served.settings),
        slots,
        door.max_queue_size,
        served.max_request_rows,
        served.line is not None,
        served.timeout_ns,
        served.ready,
        served.guard.idempotent,
        served.guard.quarantine.hold_ns,
        served.guard.breaker.hold_ns,
    )


def _door(admission: Admission) -> tuple[Any, ...]:
    closed_by = admission.closed_by
    return admission.max_queue_size, admission.max_rows, None if closed_by is None else closed_by.code


def _limits(tenant: Tenant) -> tuple[Any, ...]:
    """In the order of ``retold.RetoldCore._on_tenant``; a limit that there is not is null."""
    bucket = tenant.bucket
    return (
        tenant.name,
        tenant.weight,
        tenant.share,
        tenant.priority,
        None if bucket is None else (bucket.rate_per_s, bucket.burst, bucket.filled_ns),
        _finite(tenant.max_in_flight),
        _finite(tenant.max_queued),
        None if tenant.models is None else sorted(tenant.models),
        tenant.slo_ns,
    )


def _finite(limit: float) -> int | None:
    return None if limit == float("inf") else int(limit)


def _signature(signature: object) -> Any:
    """As JSON: equal ones stay equal, unequal ones unequal."""
    return signature if signature is None or isinstance(signature, int) else repr(signature)


def _outcome(result: Outcome) -> tuple[Any, ...]:
    if isinstance(result, BatchResult):
        return ("ok", result.service_ns)
    if isinstance(result, RowErrors):
        return ("rows", sorted(result.messages))
    return ("error", result.kind.value, result.retryable, result.worker_died)
