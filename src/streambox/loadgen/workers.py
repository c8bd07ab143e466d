"""One run by several worker processes: begin at one instant, end together, put together what they did."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.lane_watch import LaneWatch
from streambox.loadgen.live import SilentView
from streambox.loadgen.merge import begun
from streambox.loadgen.messages import (
    MOST_LINE_BYTES,
    Assignment,
    Begin,
    Ready,
    Refused,
    Stop,
    Told,
    read_report,
    tell,
)
from streambox.loadgen.process import interruptible
from streambox.loadgen.progress import Meter, Standing
from streambox.loadgen.run import LEAD_NS
from streambox.loadgen.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.loadgen.live import LaneProgress, LiveView
    from streambox.loadgen.messages import Order
    from streambox.loadgen.payload import LaneSending
    from streambox.loadgen.record import Outcomes
    from streambox.loadgen.run import RunOptions
    from streambox.loadgen.spool import Spool

_PROGRESS_S: Final = 0.25
_GRACE_S: Final = 5.0  # in which a worker has to end that has hung up, or was told to end now


class SharedRun:
    """
    Replays the schedule of *spool* as ``Run`` does, by ``options.workers`` processes that share it.

    ``await run()`` gives the outcomes of all requests that fell due; ``failure`` then says why
    they are not all that there should be: a worker has died, say. The others are stopped, then.
    ``stop()`` once: send nothing more and collect what is in flight. Twice: end now.
    """

    def __init__(self, spool: Spool, cargo: list[LaneSending], options: RunOptions, view: LiveView) -> None:
        self._spool = spool
        self._cargo = cargo
        self._options = options
        self._view = view
        self._watched = not isinstance(view, SilentView)
        self._meter = Meter(len(spool.schedule))
        self._lanes: LaneWatch | None = None
        if self._watched and len(spool.schedule.lanes) > 1 and options.concurrency is None:
            self._lanes = LaneWatch(spool.schedule, options.timeout_ns, options.give_up_after_ns)
            self._recorded = spool.outcomes()
        self._workers: list[WorkerProcess] = []
        self._followers: list[asyncio.Future[None]] = []
        self._start_ns = 0
        self._stops = 0
        self.failure: str | None = None

    async def __call__(self) -> Outcomes:
        try:
            await self._start()
            with interruptible(self.stop):
                self._begin()
                await self._until_ended()
        finally:
            await self._end()
            self._view.stop()
        lost = [] if self._options.concurrency else [w.share for w in self._workers if not w.ended]
        outcomes = begun(self._spool.outcomes(), lost)
        outcomes.apportion_waits()
        return outcomes

    def stop(self) -> None:
        self._stops += 1
        for worker in self._workers:
            worker.tell(Stop())
            if self._stops > 1:
                asyncio.get_running_loop().call_later(_GRACE_S, worker.kill)

    @property
    def stopped(self) -> bool:
        """By somebody: not since a worker failed."""
        return self._stops > 0 and self.failure is None

    async def _start(self) -> None:
        """Until all are connected. Raises what the first of them that cannot says."""
        schedule, of = self._spool.schedule, self._options.workers
        for number in range(of):
            worker = WorkerProcess(Share(number, of), self._on_told)
            self._workers.append(worker)
            assignment = Assignment(
                folder=str(self._spool.folder.path),
                share=worker.share,
                options=self._options,
                cargo=self._cargo,
                lanes=schedule.lanes,
                duration_ns=schedule.duration_ns,
                watched=self._watched,
            )
            await worker.start(assignment)
            self._followers.append(asyncio.ensure_future(worker.follow()))
        await asyncio.gather(*(worker.ready for worker in self._workers))

    def _begin(self) -> None:
        duration_ns = self._options.duration_ns or self._spool.schedule.duration_ns
        self._view.start(len(self._spool.schedule), duration_ns / 1e9)
        self._start_ns = time.monotonic_ns() + LEAD_NS
        for worker in self._workers:
            worker.tell(Begin(self._start_ns))

    async def _until_ended(self) -> None:
        going_on = set(self._followers)
        while going_on:
            _, going_on = await asyncio.wait(
                going_on, timeout=_PROGRESS_S, return_when=asyncio.FIRST_COMPLETED
            )
            self._note_failure()
            if self._watched:
                elapsed_s = (time.monotonic_ns() - self._start_ns) / 1e9
                standings = [worker.standing for worker in self._workers if worker.standing is not None]
                self._view.update(self._meter.progress(elapsed_s, standings, self._look(elapsed_s)))

    def _look(self, elapsed_s: float) -> tuple[LaneProgress, ...]:
        """A row for each lane: up to the request that all workers have come to."""
        if self._lanes is None:
            return ()
        due = min(w.share.index(w.standing.offered) if w.standing is not None else 0 for w in self._workers)
        rows = self._lanes.look(self._recorded, min(due, len(self._recorded)), elapsed_s)
        self._recorded.trim()
        return rows

    def _note_failure(self) -> None:
        failure = next((worker.failure for worker in self._workers if worker.failure), None)
        if failure is not None and self.failure is None:
            self.failure = failure
            self.stop()

    def _on_told(self, standing: Standing) -> None:
        self._meter.add(standing.responses, standing.lags)

    async def _end(self) -> None:
        """Nobody is left, whatever has happened."""
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*self._followers, return_exceptions=True)


class WorkerProcess:
    """
    One worker, as the run sees it: ``await follow()`` until its process has ended.

    ``ready`` is done once it could begin, or has the reason why it cannot. ``ended``: it has
    done its part. ``failure``: why that is not so, or why it ended early, naming the worker.
    """

    def __init__(self, share: Share, on_told: Callable[[Standing], None]) -> None:
        self.share = share
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.standing: Standing | None = None
        self.ended = False
        self.failure: str | None = None
        self._on_told = on_told
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, assignment: Assignment) -> None:
        """Raises RunFailed when no process can be had."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._spawn(theirs, ours)
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=MOST_LINE_BYTES)
        self.tell(assignment)

    def tell(self, order: Order) -> None:
        tell(self._writer, order)

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def follow(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                self._take(line)
        self._writer.close()
        code = await self._exit_code()
        if not self.ended:
            self._fail(RunFailed(f"{self._name} {_how_it_ended(code)}"))

    def _spawn(self, theirs: socket.socket, ours: socket.socket) -> None:
        command = [sys.executable, "-P", "-m", "streambox.loadgen.worker", "--fd", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is for us to pass on
            )
        except OSError as error:
            ours.close()
            raise RunFailed(f"no worker process can be started: {error.strerror}") from None

    def _take(self, line: bytes) -> None:
        report = read_report(line)
        if isinstance(report, Told):
            self.standing = report.standing
            self._on_told(report.standing)
        elif isinstance(report, Ready):
            self.ready.set_result(None)
        elif isinstance(report, Refused):
            self._fail(UsageError(report.message) if report.usage else RunFailed(report.message))
        else:
            self.ended = True
            self.failure = report.failure

    def _fail(self, error: RunFailed | UsageError) -> None:
        self.failure = self.failure or str(error)
        if not self.ready.done():
            self.ready.set_exception(error)

    async def _exit_code(self) -> int:
        assert self._process is not None  # noqa: S101 - it was started
        try:
            return await asyncio.to_thread(self._process.wait, _GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return await asyncio.to_thread(self._process.wait)

    @property
    def _name(self) -> str:
        pid = self._process.pid if self._process else 0
        return f"load generator worker {self.share.number + 1} of {self.share.of} (process {pid})"


def _how_it_ended(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
