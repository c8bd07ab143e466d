"""The embedded executor: worker processes of our own, one slot each, replaced when they die."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog

from streambox.executor.base import BatchError, BatchErrorKind, Health, LoadFailed
from streambox.executor.options import WorkerOptions
from streambox.executor.slot import Assignment, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.batcher.batch import Batch
    from streambox.executor.base import ModelSpec, OnEnd, Outcome


__all__ = ["WorkerExecutor", "WorkerOptions"]

_STAGED = 2  # batches a worker holds at most: the one it runs and one behind it
_STOP_GRACE_S = 2.0  # for a worker to end by itself, in order
_GIVE_UP_AFTER = 3  # failed starts in a row, after which waiting batches fail rather than wait

_log = structlog.get_logger("streambox.executor")


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
        self._slots: list[Slot] = []
        self._closing: list[Slot] = []
        self._grace_s = _STOP_GRACE_S
        self._waiting: deque[Assignment] = deque()
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
            slots = self._slots = [Slot(self) for _ in range(self.slots)]
            try:
                spec, *_ = await asyncio.gather(*[slot.start() for slot in slots])
                if slots is not self._slots:
                    raise LoadFailed("it was unloaded meanwhile")
            except BaseException as error:
                await self._close()
                if isinstance(error, LoadFailed):
                    raise LoadFailed(f"model '{self.options.name}' cannot be loaded: {error}") from None
                raise
            self._spec, self._trouble = spec, ""
            for slot in slots:
                slot.keep_up(spec)
        self._changed()
        return spec

    def begin(self, batch: Batch, on_end: OnEnd) -> None:
        """
        Run *batch* once, or fail it; see ``Executor``.

        With no worker up it waits for the replacement, up to ``execution_limit_ns``.
        """
        if self._spec is None or self._given_up():
            self._soon(Assignment(batch, on_end), self._unavailable())
            return
        self._waiting.append(Assignment(batch, on_end))
        self._place()

    async def execute(self, batch: Batch) -> Outcome:
        """
        Run *batch* once and return its outcome.

        Never raises, short of its task being cancelled; the batch runs on then, its answer ignored.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begin(batch, lambda _, result: None if outcome.done() else outcome.set_result(result))
        return await outcome

    async def unload(self) -> None:
        """
        Stop every worker; idempotent; may be called while loading, which then fails.

        Batches not yet answered fail with UNAVAILABLE. A busy worker is left a moment to end by
        itself, then killed. ``load()`` may follow.
        """
        await self._close()
        self._changed()

    def hurry(self) -> None:
        """Kill what is being unloaded; a later ``unload()`` kills at once."""
        self._grace_s = 0.0
        for slot in self._closing:
            slot.kill()

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

    def on_down(self, reason: str, orphans: deque[Assignment]) -> None:
        if self._spec is None:
            return  # by unload()
        self.restarts += 1
        self._trouble = f"a worker ended ({reason}) and is being replaced"
        for assignment in orphans:
            assignment.started_ns = time.monotonic_ns()
        self._waiting.extendleft(reversed(orphans))
        self._place()
        self._changed()
        _log.warning("worker ended", model=self.options.name, reason=reason, restarts=self.restarts)

    def on_start_failed(self, reason: str) -> None:
        self._trouble = f"model '{self.options.name}' cannot be loaded: {reason}"
        if self._given_up():
            self._fail_waiting()
        self._changed()
        _log.error("worker did not start", model=self.options.name, reason=reason)

    # ---- inside

    def _place(self) -> None:
        """Hand out what waits, oldest first, while a worker has room."""
        while self._waiting:
            slot = min((slot for slot in self._slots if slot.up), key=_load_of, default=None)
            if slot is None or len(slot.assigned) >= _STAGED:
                self._arm()
                return
            assignment = self._waiting.popleft()
            try:
                slot.run(assignment)
            except ValueError as error:
                failure = BatchError(BatchErrorKind.MODEL, f"cannot be sent: {error}", retryable=False)
                self._soon(assignment, failure)

    @staticmethod
    def _soon(assignment: Assignment, outcome: Outcome) -> None:
        """Not now: whoever began it may begin the next one when it ends, and so on without end."""
        asyncio.get_running_loop().call_soon(assignment.end, outcome)

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
        self._closing += slots
        self._spec, self._trouble = None, ""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._fail_waiting()
        for slot in slots:
            slot.abandon(self._unavailable())
        await asyncio.gather(*[slot.close(self._grace_s) for slot in slots])
        self._closing = [slot for slot in self._closing if slot not in slots]

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()


def _load_of(slot: Slot) -> int:
    return len(slot.assigned)
