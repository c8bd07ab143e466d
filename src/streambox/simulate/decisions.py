"""
What the core was told and what it decided, line by line; and the same again from what it was told.

The core is pure but for its clock, its executors and its callers. A ``RecordingScheduler`` writes
down what comes in from all three, every clock sample included, and between that what the core
decides. ``decide_again`` feeds the same to a new core: on the same build it decides the same,
byte for byte.

A line is a JSON array, its first entry one of:

    in   now, timer, submit, cancel, stacked, ended, set, ready, failed, drain
    out  batch, refused, done
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.batcher.interface import QueueSettings
from streambox.batcher.request import PendingRequest
from streambox.batcher.scheduler import Scheduler, ServedModel
from streambox.batcher.splitting import Part
from streambox.batcher.streambox import StreamBoxBatcher
from streambox.clock import Timer
from streambox.errors import StreamBoxError, UsageError
from streambox.executor.base import BatchError, BatchErrorKind, BatchResult, RowErrors
from streambox.simulate.executor import SPEC, AlwaysLoaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streambox.batcher.batch import Batch
    from streambox.batcher.interface import Batcher
    from streambox.clock import Clock
    from streambox.executor.base import ModelSpec, OnEnd, Outcome

VERSION: Final = 2
OUT: Final = frozenset(("batch", "refused", "done"))

_encode = msgspec.json.Encoder().encode
Line = list[Any]


# ---- recording -----------------------------------------------------------------------------------


class Record:
    """Writes lines by *write*, which takes bytes."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.line("version", VERSION)

    def line(self, *fields: Any) -> None:
        self._write(_encode(fields) + b"\n")


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
    """A scheduler that says what it is told and what it decides, and is otherwise the same."""

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
        super().__init__(RecordingClock(clock, record), make_batcher, shared=shared)
        self._listen_to_settings()

    def add_model(self, served: ServedModel) -> None:
        self._record.line("model", *_described(served))
        stacks = served.stack

        def stack(requests: list[PendingRequest], spec: ModelSpec) -> Any:
            tensors, bad = stacks(requests, spec)
            self._record.line("stacked", sorted(bad))
            return tensors, bad

        served.stack = stack
        super().add_model(served)

    def submit(self, request: PendingRequest) -> None:
        number = self._submitted
        self._submitted += 1
        fields = (request.model, request.rows, _name(request.signature), request.timeout_ns)
        self._record.line("submit", number, *fields)
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
            self._record.line("cancel", number)
        super().cancel(request)

    def model_ready(self, name: str) -> None:
        self._record.line("ready", name)
        super().model_ready(name)

    def model_failed(self, name: str, reason: str) -> None:
        self._record.line("failed", name, reason)
        super().model_failed(name, reason)

    def drain(self) -> None:
        self._record.line("drain")
        super().drain()

    def _start(self, served: ServedModel, batch: Batch) -> None:
        numbers = [self._number(request) for request in batch.requests]
        self._record.line("batch", batch.id, batch.model, str(batch.reason), numbers)
        super()._start(served, batch)

    def _ended(self, batch: Batch, result: Outcome) -> None:
        self._record.line("ended", batch.id, *_told(result))
        super()._ended(batch, result)

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
            on_done(ended)

        request.on_done = done

    def _listen_to_settings(self) -> None:
        batcher = self.batcher
        for name in ("set_time_window", "set_batch_size", "set_policy", "set_preferred_batch_size"):
            if hasattr(batcher, name):  # a user's Batcher has the first two
                setattr(batcher, name, self._recorded(name, getattr(batcher, name)))

    def _recorded(self, name: str, method: Callable[..., None]) -> Callable[..., None]:
        def call(value: Any, model: str | None = None) -> None:
            self._record.line("set", name, value, model)
            method(value, model)

        return call


def _described(served: ServedModel) -> tuple[Any, ...]:
    settings, admission = served.settings, served.admission
    return (
        served.name,
        list(settings),
        served.executor.slots,
        admission.max_queue_size,
        served.max_request_rows,
        served.line is not None,
        served.timeout_ns,
        served.ready,
    )


def _settings(fields: list[Any]) -> QueueSettings:
    """JSON has no tuples."""
    values: list[Any] = [tuple(field) if isinstance(field, list) else field for field in fields]
    return QueueSettings(*values)


def _name(signature: object) -> Any:
    """A signature as JSON: equal ones stay equal, unequal ones unequal."""
    return signature if signature is None or isinstance(signature, int) else repr(signature)


def _told(result: Outcome) -> tuple[Any, ...]:
    if isinstance(result, BatchResult):
        return ("ok", result.service_ns)
    if isinstance(result, RowErrors):
        return ("rows", sorted(result.messages))
    return ("error", result.kind.value, result.retryable, result.worker_died)


# ---- again ---------------------------------------------------------------------------------------


def decide_again(lines: Iterable[bytes], write: Callable[[bytes], object]) -> None:
    """
    Tell a new core what a recorded one was told; *write* gets the whole record of that.

    Raises UsageError where *lines* are no record, or the core asks for what the record does
    not have: then it has decided something else before.
    """
    told = _told_lines(lines)
    version = next(told, [])
    if version[:2] != ["version", VERSION]:
        raise UsageError("no record of decisions, or of another version")
    core = _Core(Record(write), told)
    try:
        for line in told:
            core.tell(line)
    except _Diverged as difference:
        raise UsageError(f"{difference}: it decides otherwise, as another build may") from None


class _Diverged(BaseException):
    """The core asks for another thing than it did; no error that the core itself may handle."""


def _told_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    for number, text in enumerate(lines, 1):
        try:
            line = msgspec.json.decode(text, type=list)
        except msgspec.DecodeError:
            raise UsageError(f"line {number} of the record is no JSON array: was it cut off?") from None
        if not line or line[0] not in OUT:
            yield line


class _Core:
    """The core, a clock and executors that do what the record says."""

    def __init__(self, record: Record, told: Iterator[Line]) -> None:
        self._told = told
        self._timers: list[Timer] = []
        self._begun: dict[int, tuple[Batch, OnEnd]] = {}
        self._requests: list[PendingRequest] = []
        self.slots = 1
        self._scheduler = RecordingScheduler(self, StreamBoxBatcher, record)

    def tell(self, line: Line) -> None:
        kind, *fields = line
        action = getattr(self, f"_on_{kind}", None)
        if action is None:
            raise _Diverged(f"the record says {kind!r} where the core did not ask for it")
        action(*fields)

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
    ) -> None:
        executor = _Recorded(self, slots)
        self._scheduler.add_model(
            ServedModel(
                name,
                executor,
                SPEC,
                _settings(settings),
                max_queue_size=max_queue_size,
                max_request_rows=max_request_rows,
                preserve_ordering=preserve_ordering,
                timeout_ns=timeout_ns,
                ready=ready,
                stack=self._stack,
            )
        )

    def _on_submit(
        self, number: int, model: str, rows: int, signature: object, timeout_ns: int | None
    ) -> None:
        request = PendingRequest(model, lambda _: None, str(number), rows=rows)
        request.signature, request.timeout_ns = signature, timeout_ns
        self._requests.append(request)
        try:
            self._scheduler.submit(request)
        except StreamBoxError:
            return  # which the record has

    def _on_cancel(self, number: int) -> None:
        self._scheduler.cancel(self._requests[number])

    def _on_timer(self, number: int) -> None:
        self._timers[number].callback()

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
        getattr(self._scheduler.batcher, name)(value, model)

    def _on_ready(self, name: str) -> None:
        self._scheduler.model_ready(name)

    def _on_failed(self, name: str, reason: str) -> None:
        self._scheduler.model_failed(name, reason)

    def _on_drain(self) -> None:
        self._scheduler.drain()

    # ---- what the core asks for ----------------------------------------------------------------------

    def now_ns(self) -> int:
        now_ns: int = self._next("now")[1]
        return now_ns

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Any:
        timer = Timer(when_ns, callback)
        self._timers.append(timer)
        return timer

    def _stack(self, requests: list[PendingRequest], _: ModelSpec) -> Any:
        bad = self._next("stacked")[1]
        return {}, {index: StreamBoxError("unfit") for index in bad}

    def begin(self, batch: Batch, on_end: OnEnd) -> None:
        self._begun[batch.id] = (batch, on_end)

    def _next(self, kind: str) -> Line:
        line = next(self._told, ["the end"])
        if line[0] != kind:
            raise _Diverged(f"the core asks for {kind!r} where the record has {line[0]!r}")
        return line


class _Recorded(AlwaysLoaded):
    """An executor whose batches end when the record says so."""

    def __init__(self, core: _Core, slots: int) -> None:
        super().__init__(slots)
        self.begin = core.begin
