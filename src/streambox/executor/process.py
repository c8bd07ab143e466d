"""The embedded executor: worker processes of our own, one slot each, replaced when they die."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog

from streambox.executor import wire
from streambox.executor.base import (
    BatchError,
    BatchErrorKind,
    BatchResult,
    Health,
    LoadFailed,
    ModelSpec,
    RowErrors,
)
from streambox.executor.child import WorkerProcess
from streambox.executor.options import WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from streambox.batcher.batch import Batch

    Outcome = BatchResult | RowErrors | BatchError

__all__ = ["WorkerExecutor", "WorkerOptions"]

_STOP_GRACE_S = 2.0
_PROVEN_NS = 1_000_000_000  # a worker that ends sooner, having been given nothing, counts as a failed start
_STAGED = 2  # batches a worker holds at most: the one it runs and one behind it
_GIVE_UP_AFTER = 3  # failed starts in a row, after which waiting batches fail rather than wait
_BACKOFF_S = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)  # after so many failed starts in a row; the last one stays

_log = structlog.get_logger("streambox.executor")


class _Assignment:
    """A batch on its way through: waiting, or at a worker, until ``outcome`` is set."""

    __slots__ = ("batch", "outcome", "started_ns")

    def __init__(self, batch: Batch, outcome: asyncio.Future[Outcome]) -> None:
        self.batch = batch
        self.outcome = outcome
        self.started_ns = time.monotonic_ns()  # of its present stage

    def end(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # else its caller was cancelled
            self.outcome.set_result(outcome)


class _Slot:
    """
    One worker, kept up: its process is replaced when it ends, until ``close()``.

    Batches are answered in order, so ``assigned[0]`` is what the worker runs (or reads next).
    Only that one is blamed for its death; the others go back to the executor's queue.
    """

    def __init__(self, executor: WorkerExecutor) -> None:
        self._executor = executor
        self._options = executor.options
        self._loop = asyncio.get_running_loop()
        self._worker: WorkerProcess | None = None
        self._loaded: asyncio.Future[ModelSpec] = self._loop.create_future()
        self._alarm: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._up_ns = 0
        self.assigned: deque[_Assignment] = deque()
        self.up = False
        self.failures = 0  # starts in a row that led to nothing

    @property
    def pid(self) -> int:
        return self._worker.pid if self._worker else 0

    # ---- life of the process

    async def start(self, expected: ModelSpec | None = None) -> ModelSpec:
        """A new process with the model in it. Raises LoadFailed, the process having ended."""
        self._loaded = self._loop.create_future()
        worker = WorkerProcess(self._loop, self._options.threads, self._on_frame, self._on_exit)
        try:
            worker.start()
        except OSError as error:
            raise LoadFailed(f"cannot start a worker process: {error.strerror}") from None
        self._worker = worker
        worker.send(wire.encode(wire.Load(self._options)))
        limit_s = self._options.load_limit_ns / 1e9
        try:
            async with asyncio.timeout(limit_s):
                spec = await self._loaded
            if expected not in (None, spec):
                raise LoadFailed("its inputs or outputs have changed since it was first loaded")
        except (TimeoutError, LoadFailed) as failure:
            worker.kill("load failed")
            await asyncio.shield(worker.exited)
            raise LoadFailed(str(failure) or f"loading took longer than {limit_s:g} s") from None
        self.up, self._up_ns = True, time.monotonic_ns()
        return spec

    def keep_up(self, spec: ModelSpec) -> None:
        self._keeper = self._loop.create_task(self._keep_up(spec))

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._worker is not None:
            await self._worker.stop(_STOP_GRACE_S if self.up else 0.0)

    async def _keep_up(self, expected: ModelSpec) -> None:
        while True:
            if self._worker is not None:
                await asyncio.shield(self._worker.exited)
            await asyncio.sleep(_BACKOFF_S[min(self.failures, len(_BACKOFF_S) - 1)])
            try:
                await self.start(expected)
            except LoadFailed as failure:
                self.failures += 1
                self._executor.on_start_failed(str(failure))
            else:
                self._executor.on_up()

    def _on_exit(self) -> None:
        was_up, self.up = self.up, False
        assert self._worker is not None  # noqa: S101 - it has just ended
        reason = self._worker.describe_exit()
        if not self._loaded.done():
            self._loaded.set_exception(LoadFailed(f"the worker ended while loading: {reason}"))
            return
        if was_up and self.assigned:
            self.assigned.popleft().end(_died(reason))
            self.failures = 0
        elif was_up:
            brief = time.monotonic_ns() - self._up_ns < _PROVEN_NS
            self.failures = self.failures + 1 if brief else 0
        orphans, self.assigned = self.assigned, deque()
        self._executor.on_down(reason, orphans)

    # ---- batches

    def run(self, assignment: _Assignment) -> None:
        """Send it now; the worker reads it when it has answered those before. Raises ValueError."""
        batch = assignment.batch
        pieces = _encoded(batch)
        self.assigned.append(assignment)
        if len(self.assigned) == 1:
            self._begin(assignment)
        if self._worker is not None:
            self._worker.send(pieces)

    def _begin(self, assignment: _Assignment) -> None:
        assignment.started_ns = time.monotonic_ns()
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._options.execution_limit_ns / 1e9, self._check_limit)

    def _check_limit(self) -> None:
        """One timer for many batches: it looks at the one that runs when it fires, and sets itself anew."""
        self._alarm = None
        if not self.assigned:
            return
        left_ns = self.assigned[0].started_ns + self._options.execution_limit_ns - time.monotonic_ns()
        if left_ns > 0:
            self._alarm = self._loop.call_later(left_ns / 1e9, self._check_limit)
        elif self.up and self._worker is not None:
            limit = f"the batch ran longer than {self._options.execution_limit_ns / 1e9:g} s"
            self.up = False  # so that its end is not blamed on the batch behind
            self.assigned.popleft().end(BatchError(BatchErrorKind.TIMEOUT, limit, retryable=False))
            self._worker.kill(limit)

    def _on_frame(self, frame: wire.Frame) -> None:
        message = frame.message
        if isinstance(message, (wire.Result, wire.RowsRefused, wire.Failed)):
            self._finish(message, frame)
        elif self._loaded.done():
            raise wire.WireError(f"unexpected {type(message).__name__}")
        elif isinstance(message, wire.Loaded):
            self._loaded.set_result(message.spec)
        elif isinstance(message, wire.LoadRefused):
            self._loaded.set_exception(LoadFailed(message.message))
        else:
            raise wire.WireError(f"unexpected {type(message).__name__}")

    def _finish(self, message: wire.Result | wire.RowsRefused | wire.Failed, frame: wire.Frame) -> None:
        if not self.assigned or message.batch_id != self.assigned[0].batch.id:
            raise wire.WireError(f"an answer to batch {message.batch_id}, which is not the one running")
        outcome = _outcome(message, frame, self.assigned[0].batch.size)  # may raise: nothing changed yet
        self.assigned.popleft().end(outcome)
        if self.assigned:
            self._begin(self.assigned[0])
        self._executor.on_free()


class WorkerExecutor:
    """
    Runs one model in ``options.instances`` worker processes; see ``Executor`` for the contract.

    Belongs to the event loop that ``load()`` runs on. A batch goes to the least busy worker, one
    at most waiting behind the one that runs. When a worker dies, the batch it ran fails with
    WORKER_DIED, the one behind runs elsewhere or on the replacement, which is started at once;
    only starts that fail repeatedly are spaced out, up to 10 s.

    ``on_change()`` is called when a worker comes up, ends, or fails to start.
    """

    def __init__(self, options: WorkerOptions, *, on_change: Callable[[], None] | None = None) -> None:
        self.options = options
        self.slots = options.instances
        self.restarts = 0
        self._on_change = on_change
        self._spec: ModelSpec | None = None
        self._slots: list[_Slot] = []
        self._waiting: deque[_Assignment] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._loading = asyncio.Lock()
        self._trouble = ""

    def __repr__(self) -> str:
        up = sum(slot.up for slot in self._slots)
        running = sum(len(slot.assigned) for slot in self._slots)
        return (
            f"<WorkerExecutor {self.options.name}: {up} of {self.slots} up, {running} running,"
            f" {len(self._waiting)} waiting>"
        )

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [slot.pid for slot in self._slots if slot.up]

    async def load(self) -> ModelSpec:
        """Start the workers and load the model in each. Idempotent. Raises LoadFailed."""
        async with self._loading:
            if self._spec is not None:
                return self._spec
            slots = self._slots = [_Slot(self) for _ in range(self.slots)]
            try:
                spec, *_ = await asyncio.gather(*[slot.start() for slot in slots])
            except BaseException as error:
                await self._close()
                if isinstance(error, LoadFailed):
                    raise LoadFailed(f"model '{self.options.name}' cannot be loaded: {error}") from None
                raise
            if slots is not self._slots:
                raise LoadFailed(f"model '{self.options.name}' was unloaded while it was loading")
            self._spec, self._trouble = spec, ""
            for slot in slots:
                slot.keep_up(spec)
        self._changed()
        return spec

    async def execute(self, batch: Batch) -> Outcome:
        """
        Run *batch* once, or fail it. Never raises, short of its task being cancelled; the batch
        runs on then, its answer ignored.

        With no worker up it waits for the replacement, up to ``execution_limit_ns``.
        """
        if self._spec is None or self._given_up():
            return self._unavailable()
        assignment = _Assignment(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(assignment)
        self._place()
        return await assignment.outcome

    async def unload(self) -> None:
        """
        Stop every worker; idempotent; may be called while loading, which then fails.

        Batches not yet answered fail with UNAVAILABLE. A busy worker is left a moment to end by
        itself, then killed. ``load()`` may follow.
        """
        await self._close()
        self._changed()

    def health(self) -> Health:
        ready = any(slot.up for slot in self._slots)
        return Health(ready=ready, slots=self.slots, restarts=self.restarts, message=self._trouble)

    # ---- called by the slots

    def on_up(self) -> None:
        self._trouble = ""
        self._place()
        self._changed()

    def on_free(self) -> None:
        if self._waiting:
            self._place()

    def on_down(self, reason: str, orphans: deque[_Assignment]) -> None:
        if self._spec is None:
            return  # by unload()
        self.restarts += 1
        self._trouble = f"a worker ended ({reason}) and is being replaced"
        _log.warning("worker_ended", model=self.options.name, reason=reason, restarts=self.restarts)
        for assignment in orphans:
            assignment.started_ns = time.monotonic_ns()
        self._waiting.extendleft(reversed(orphans))
        self._place()
        self._changed()

    def on_start_failed(self, reason: str) -> None:
        self._trouble = f"model '{self.options.name}' cannot be loaded: {reason}"
        _log.error("worker_start_failed", model=self.options.name, reason=reason)
        if self._given_up():
            self._fail_waiting()
        self._changed()

    # ---- inside

    def _place(self) -> None:
        """Hand out what waits, oldest first, while a worker has room."""
        while self._waiting:
            slot = min((slot for slot in self._slots if slot.up), key=_load_of, default=None)
            if slot is None or len(slot.assigned) >= _STAGED:
                self._arm()
                return
            assignment = self._waiting.popleft()
            if assignment.outcome.done():
                continue
            try:
                slot.run(assignment)
            except ValueError as error:
                assignment.end(BatchError(BatchErrorKind.MODEL, f"cannot be sent: {error}", retryable=False))

    def _arm(self) -> None:
        """See to it that the oldest waiting batch does not wait beyond the limit."""
        if self._alarm is None:
            left_ns = self._waiting[0].started_ns + self.options.execution_limit_ns - time.monotonic_ns()
            self._alarm = asyncio.get_running_loop().call_later(max(left_ns, 0) / 1e9, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        too_old_ns = time.monotonic_ns() - self.options.execution_limit_ns
        while self._waiting and self._waiting[0].started_ns <= too_old_ns:
            self._waiting.popleft().end(self._unavailable())
        if self._waiting:
            self._arm()

    def _given_up(self) -> bool:
        return all(not slot.up and slot.failures >= _GIVE_UP_AFTER for slot in self._slots)

    def _fail_waiting(self) -> None:
        while self._waiting:
            self._waiting.popleft().end(self._unavailable())

    def _unavailable(self) -> BatchError:
        message = self._trouble or f"model '{self.options.name}' is not loaded"
        return BatchError(BatchErrorKind.UNAVAILABLE, message, retryable=False)

    async def _close(self) -> None:
        slots, self._slots = self._slots, []
        self._spec, self._trouble = None, ""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._fail_waiting()
        for slot in slots:
            while slot.assigned:
                slot.assigned.popleft().end(self._unavailable())
        await asyncio.gather(*[slot.close() for slot in slots])

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()


def _load_of(slot: _Slot) -> int:
    return len(slot.assigned)


def _encoded(batch: Batch) -> list[Buffer]:
    try:
        return wire.encode(wire.Execute(batch.id, wire.layouts(batch.tensors)), batch.tensors.values())
    except KeyError as error:
        raise ValueError(f"no datatype for {error}") from None


def _died(reason: str) -> BatchError:
    message = f"the worker ended while it ran the batch: {reason}"
    return BatchError(BatchErrorKind.WORKER_DIED, message, retryable=True, worker_died=True)


def _outcome(message: wire.Result | wire.RowsRefused | wire.Failed, frame: wire.Frame, rows: int) -> Outcome:
    """Raises WireError when the answer cannot be one to a batch of *rows* rows."""
    if isinstance(message, wire.Result):
        for layout in message.tensors:
            if layout.shape[:1] != (rows,):
                raise wire.WireError(f"output of shape {layout.shape} for {rows} rows")
        return BatchResult(frame.tensors, message.service_ns)
    if isinstance(message, wire.Failed):
        return BatchError(message.kind, message.message, message.retryable)
    if not message.messages or not all(0 <= index < rows for index in message.messages):
        raise wire.WireError(f"refusal of rows {sorted(message.messages)} of {rows}")
    return RowErrors(message.messages)
