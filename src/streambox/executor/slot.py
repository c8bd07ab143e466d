"""One slot of the worker executor: a worker process, kept up, and the batches assigned to it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from streambox.executor import wire
from streambox.executor.base import BatchError, BatchErrorKind, BatchResult, LoadFailed, ModelSpec, RowErrors
from streambox.executor.child import WorkerProcess

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from streambox.batcher.batch import Batch
    from streambox.executor.base import OnEnd, Outcome
    from streambox.executor.process import WorkerExecutor


_PROVEN_NS = 1_000_000_000  # a worker that ends sooner, having been given nothing, counts as a failed start
_BACKOFF_S = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)  # after so many failed starts in a row; the last one stays


class Assignment:
    """A batch on its way through: waiting, or at a worker, until it has an outcome."""

    __slots__ = ("batch", "on_end", "started_ns")

    def __init__(self, batch: Batch, on_end: OnEnd) -> None:
        self.batch = batch
        self.on_end = on_end
        self.started_ns = time.monotonic_ns()  # of its present stage

    def end(self, outcome: Outcome) -> None:
        self.on_end(self.batch, outcome)


class Slot:
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
        self._has_been_up = False  # the present process
        self._closed = False
        self.assigned: deque[Assignment] = deque()
        self.up = False
        self.failures = 0  # starts in a row that led to nothing

    @property
    def pid(self) -> int:
        return self._worker.pid if self._worker else 0

    # ---- life of the process

    async def start(self, expected: ModelSpec | None = None) -> ModelSpec:
        """A new process with the model in it. Raises LoadFailed, the process having ended."""
        if self._closed:
            raise LoadFailed("it was unloaded meanwhile")
        self._loaded = self._loop.create_future()
        self._has_been_up = False
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
        self.up = self._has_been_up = True
        self._up_ns = time.monotonic_ns()
        return spec

    def keep_up(self, spec: ModelSpec) -> None:
        self._keeper = self._loop.create_task(self._keep_up(spec))

    def abandon(self, error: BatchError) -> None:
        """Start no more processes, and end every batch with *error*."""
        self._closed = True
        while self.assigned:
            self.assigned.popleft().end(error)

    async def close(self, grace_s: float) -> None:
        """End its process, for good: by itself within *grace_s*, or killed. Idempotent."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._worker is not None:
            await self._worker.stop(grace_s if self.up else 0.0)

    def kill(self) -> None:
        """Cut the grace of a ``close()`` under way short."""
        if self._worker is not None:
            self._worker.kill("stopped")

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
        if not self._has_been_up:
            return  # start() tells why
        if was_up and self.assigned:
            self.assigned.popleft().end(_garbled(reason) if self._worker.garbled else _died(reason))
            self.failures = 0
        elif was_up:
            brief = time.monotonic_ns() - self._up_ns < _PROVEN_NS
            self.failures = self.failures + 1 if brief else 0
        orphans, self.assigned = self.assigned, deque()
        self._executor.on_down(reason, orphans)

    # ---- batches

    def run(self, assignment: Assignment) -> None:
        """Send it now; the worker reads it when it has answered those before. Raises ValueError."""
        batch = assignment.batch
        pieces = _encoded(batch)
        self.assigned.append(assignment)
        if len(self.assigned) == 1:
            self._begin(assignment)
        if self._worker is not None:
            self._worker.send(pieces)

    def _begin(self, assignment: Assignment) -> None:
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
        batch = self.assigned[0].batch
        outcome = _outcome(message, frame, batch.size + batch.padding)  # may raise: nothing changed yet
        ended = self.assigned.popleft()
        if isinstance(outcome, BatchError) and outcome.kind is BatchErrorKind.BAD_OUTPUT:
            self._recycle(outcome.message)
        elif self.assigned:
            self._begin(self.assigned[0])
        self._executor.on_free()
        ended.end(outcome)

    def _recycle(self, fault: str) -> None:
        """After such an answer it ends, without beginning the batch behind: that one runs elsewhere."""
        self.up = False
        if self._worker is not None:
            self._worker.kill(fault)


def _encoded(batch: Batch) -> list[Buffer]:
    try:
        return wire.encode(wire.Execute(batch.id, wire.layouts(batch.tensors)), batch.tensors.values())
    except KeyError as error:
        raise ValueError(f"no datatype for {error}") from None


def _died(reason: str) -> BatchError:
    message = f"the worker ended while it ran the batch: {reason}"
    return BatchError(BatchErrorKind.WORKER_DIED, message, retryable=True, worker_died=True)


def _garbled(reason: str) -> BatchError:
    return BatchError(BatchErrorKind.BAD_OUTPUT, f"the worker's answer is none: {reason}", retryable=False)


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
