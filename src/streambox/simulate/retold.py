"""The core, told by a record what happened to one, down to each sample of its clock."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from streambox.batcher.interface import QueueSettings
from streambox.batcher.request import PendingRequest
from streambox.batcher.served_model import ServedModel
from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.clock import Timer
from streambox.errors import ConfigError, StreamBoxError, UsageError
from streambox.executor.base import BatchError, BatchErrorKind, BatchResult, RowErrors
from streambox.simulate.executor import SPEC, AlwaysLoaded
from streambox.simulate.record import DECISIONS, Line, Record, decode
from streambox.simulate.recording import RecordingScheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streambox.batcher.batch import Batch
    from streambox.batcher.interface import Batcher
    from streambox.executor.base import ModelSpec, OnEnd, Outcome

    MakeBatcher = Callable[[Any], Batcher]


class Diverged(BaseException):
    """The core asks for another thing than it did. No error that it may handle itself."""


class RecordEnds(BaseException):
    """There is no more of it."""


class Told:
    """The lines that the core did not write by deciding."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = self._decoded(lines)
        self._next: Line | None = next(self._lines, None)
        if self._next is None:
            raise UsageError("no record of decisions: nothing is in it")

    def _decoded(self, lines: Iterable[bytes]) -> Iterator[Line]:
        for number, text in enumerate(lines, 1):
            line = decode(number, text)
            if line[0] not in DECISIONS:
                yield line

    def take(self) -> Line:
        line = self._next
        if line is None:
            raise RecordEnds
        self._next = next(self._lines, None)
        return line

    def inside(self, number: int) -> Iterator[Line]:
        """What happened while the caller of request *number* was told of its end."""
        while self._next is not None and self._next[:2] == ["inside", number]:
            yield self.take()[2:]

    def answer(self, kind: str) -> Any:
        """What the core was told when it asked for *kind*."""
        line = self.take()
        if line[0] != kind:
            raise Diverged(f"the core asks for {kind!r} where the record goes on with {line[0]!r}")
        return line[1]


class _Numbered(Timer):
    """A timer that is forgotten where it is kept, once it is cancelled."""

    __slots__ = ("_kept", "_number")

    def __init__(
        self, when_ns: int, callback: Callable[[], None], kept: dict[int, _Numbered], number: int
    ) -> None:
        super().__init__(when_ns, callback)
        self._kept = kept
        self._number = number

    def cancel(self) -> None:
        super().cancel()
        self._kept.pop(self._number, None)


class RetoldCore:
    """The core, with a clock, executors and callers that do what the record says."""

    def __init__(self, record: Record, told: Told, make_batcher: MakeBatcher) -> None:
        self._record = record
        self._told = told
        self._made_timers = 0
        self._timers: dict[int, _Numbered] = {}
        self._begun: dict[int, tuple[Batch, OnEnd]] = {}
        self._requests: dict[int, PendingRequest] = {}
        self._tenants: list[Tenant] = []
        self._doors: dict[str, ServedModel] = {}
        self._scheduler = RecordingScheduler(self, make_batcher, record, shared=record.facts.shared)

    def tell(self, line: Line) -> None:
        kind, *fields = line
        action = getattr(self, f"_on_{kind}", None)
        if action is None:
            raise Diverged(f"the record has {kind!r} where the core did not ask for it")
        try:
            action(*fields)
        except KeyError as missing:
            raise Diverged(f"there is no {missing} that {kind!r} could be about") from None

    # ---- what comes in -----------------------------------------------------------------------------

    def _on_model(
        self,
        name: str,
        settings: list[Any],
        slots: int,
        max_queue_size: int,
        max_request_rows: int | None,
        preserve_ordering: bool,
        timeout_ns: int,
        ready: bool,
        idempotent: bool,
        quarantine_ns: int,
        breaker_ns: int,
    ) -> None:
        served = ServedModel(
            name,
            _Recorded(self, slots),
            SPEC,
            msgspec.convert(settings, QueueSettings),
            max_queue_size=max_queue_size,
            max_request_rows=max_request_rows,
            preserve_ordering=preserve_ordering,
            timeout_ns=timeout_ns,
            ready=ready,
            idempotent=idempotent,
            quarantine_ns=quarantine_ns,
            breaker_ns=breaker_ns,
            stack=self._stack,
            digest=self._digest,
        )
        self._doors[name] = served
        self._scheduler.add_model(served)

    def _on_tenant(
        self,
        _: int,
        name: str,
        weight: float,
        share: float,
        priority: int,
        bucket: list[Any] | None,
        max_in_flight: int | None,
        max_queued: int | None,
        models: list[str] | None,
        slo_ns: int | None,
    ) -> None:
        tenant = Tenant(
            name,
            weight=weight,
            priority=priority,
            bucket=None if bucket is None else TokenBucket(*bucket),
            max_in_flight=max_in_flight,
            max_queued=max_queued,
            models=None if models is None else frozenset(models),
            slo_ns=slo_ns,
        )
        tenant.share = share
        self._tenants.append(tenant)
        self._scheduler.tenant_number(tenant)

    def _on_door(self, model: str, max_queue_size: int, max_rows: int, closed_by: str | None) -> None:
        admission = self._doors[model].admission
        admission.max_queue_size, admission.max_rows = max_queue_size, max_rows
        admission.closed_by = None if closed_by is None else _error_of(closed_by)
        self._scheduler.tell_door(model)  # not with the request to come: the record may end before it

    def _on_submit(
        self,
        number: int,
        model: str,
        rows: int,
        signature: object,
        timeout_ns: int | None,
        tenant: int | None,
    ) -> None:
        request = PendingRequest(model, self._done, str(number), rows=rows)
        request.signature, request.timeout_ns = signature, timeout_ns
        request.tenant = None if tenant is None else self._tenants[tenant]
        self._requests[number] = request
        try:
            self._scheduler.submit(request)
        except StreamBoxError:  # which the record has
            del self._requests[number]

    def _done(self, request: PendingRequest) -> None:
        number = int(request.request_id)
        del self._requests[number]
        for line in self._told.inside(number):
            self.tell(line)

    def _on_cancel(self, number: int) -> None:
        self._scheduler.cancel(self._requests.pop(number))

    def _on_timer(self, number: int) -> None:
        self._timers.pop(number).callback()

    def _on_ended(self, batch_id: int, kind: str, *fields: Any) -> None:
        batch, on_end = self._begun.pop(batch_id)
        result: Outcome
        if kind == "ok":
            result = BatchResult({}, fields[0])
        elif kind == "rows":
            result = RowErrors(dict.fromkeys(fields[0], ""))
        else:
            result = BatchError(BatchErrorKind(fields[0]), "", fields[1], fields[2])
        on_end(batch, result)

    def _on_set(self, name: str, value: Any, model: str | None) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError, ConfigError):  # it was refused then, as now
            getattr(self._scheduler.batcher, name)(value, model)

    def _on_ready(self, name: str) -> None:
        self._scheduler.model_ready(name)

    def _on_failed(self, name: str, reason: str) -> None:
        self._scheduler.model_failed(name, reason)

    def _on_drain(self) -> None:
        self._scheduler.drain()

    def _on_fail_all(self) -> None:
        self._scheduler.fail_all("")

    def _on_end(self) -> None:
        self._record.line("end")

    # ---- what the core asks for ----------------------------------------------------------------------

    def now_ns(self) -> int:
        now_ns: int = self._told.answer("now")
        return now_ns

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        number = self._made_timers
        self._made_timers += 1
        timer = self._timers[number] = _Numbered(when_ns, callback, self._timers, number)
        return timer

    def _stack(self, _: list[PendingRequest], __: ModelSpec) -> Any:
        bad = self._told.answer("stacked")
        if bad is None:
            raise ValueError("rows that cannot be joined")
        return {}, {index: StreamBoxError("unfit") for index in bad}

    def _digest(self, *_: object) -> bytes:
        return bytes.fromhex(self._told.answer("digest"))

    def begin(self, batch: Batch, on_end: OnEnd) -> None:
        self._begun[batch.id] = (batch, on_end)


class _Recorded(AlwaysLoaded):
    """An executor whose batches end when the record says so."""

    def __init__(self, core: RetoldCore, slots: int) -> None:
        super().__init__(slots)
        self.begin = core.begin


def _error_of(code: str) -> StreamBoxError:
    """One of the kind that has this *code*."""
    kinds = [StreamBoxError]
    for kind in kinds:
        if kind.code == code:
            return kind("")
        kinds += kind.__subclasses__()
    return StreamBoxError("")
