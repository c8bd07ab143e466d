"""One run: connect, replay open-loop (or closed-loop), collect what is in flight."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.check import Checker, CheckLevel
from streambox.loadgen.lane_watch import LaneWatch
from streambox.loadgen.live import SilentView
from streambox.loadgen.loops import ClosedLoop, OpenLoop, SendingLoop
from streambox.loadgen.merge import begun
from streambox.loadgen.payload import PayloadSet, Target
from streambox.loadgen.process import at_priority, collector_paused, interruptible, most_sockets
from streambox.loadgen.progress import Meter, Standing
from streambox.loadgen.record import Outcomes, Recorder
from streambox.loadgen.repertoire import Repertoire
from streambox.loadgen.sender import Sender
from streambox.loadgen.share import WHOLE, Share

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from streambox.loadgen.live import LiveView
    from streambox.workload.schedule import Schedule

LEAD_NS: Final = 100_000_000  # between the last preparation and the first request
_PROGRESS_S: Final = 0.25
_REHEARSED_NS: Final = 2_000_000  # for the loop to come round once more
_TRIM_NS: Final = 5_000_000_000
_NS_PER_S: Final = 1_000_000_000


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    ``workers``: the processes that share the schedule, the connections and the callers.
    ``connections``: the most to open; a request that has waited for one for ``give_up_after_ns``
    is not sent any more. ``concurrency`` makes it a closed loop for ``duration_ns``.

    ``warm_up_ns``, ``cool_down_ns``: what fell due in the first and last so long is sent, and
    checked, but is not part of the figures. ``ca_file``: who to trust over TLS, in place of
    the system's; ``verify`` False trusts anybody. ``realtime``: send at real-time priority.
    """

    target: Target
    workers: int = 1
    check: CheckLevel = "full"
    connections: int = 1024
    timeout_ns: int = 10 * _NS_PER_S
    give_up_after_ns: int | None = None
    concurrency: int | None = None
    duration_ns: int = 0
    warm_up_ns: int = 0
    cool_down_ns: int = 0
    ca_file: str | None = None
    verify: bool = True
    realtime: bool = False

    def tls_context(self) -> ssl.SSLContext | None:
        """For a target over TLS. Raises UsageError when ``ca_file`` holds no certificates."""
        if not self.target.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{self.ca_file}: no certificates can be read: {error}") from None
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


class Run:
    """
    Replays *schedule*; ``await run()`` gives the outcomes of all requests that fell due.

    *payloads*: of each of the schedule's lanes. *recorder*: where the outcomes go, in place
    of memory. *share*: which of the requests are ours. ``stop()`` once: send nothing more and
    collect what is in flight. Twice: end now.

    *ready* is awaited once all is prepared, and gives the instant at which to begin; *report*
    is told a few times a second where the run stands. *signals*: whether they stop it.
    ``failure`` says afterwards why the run ended early, where that was not asked for.
    """

    def __init__(
        self,
        schedule: Schedule,
        payloads: Sequence[PayloadSet],
        options: RunOptions,
        view: LiveView,
        recorder: Recorder | None = None,
        *,
        share: Share = WHOLE,
        ready: Callable[[], Awaitable[int]] | None = None,
        report: Callable[[Standing], None] | None = None,
        signals: bool = True,
    ) -> None:
        self._schedule = schedule
        self._options = options
        self._repertoire = Repertoire(schedule, payloads)
        self._view = view
        self._recorder = recorder or Recorder(schedule.intended_ns, schedule.lane)
        self._share = share
        self._ready = ready or _soon
        self._report = report
        self._signals = interruptible if signals else contextlib.nullcontext
        self._watched = report is not None or not isinstance(view, SilentView)
        self._meter = Meter(len(schedule))
        self._stopping = False
        self._end = asyncio.Event()
        self._lanes: LaneWatch | None = None
        if len(schedule.lanes) > 1 and share == WHOLE:
            self._lanes = LaneWatch(schedule, options.timeout_ns, options.give_up_after_ns)
        self._fault: BaseException | None = None
        self.failure: str | None = None

    async def __call__(self) -> Outcomes:
        await self.replay()
        outcomes = begun(self._recorder.outcomes)
        outcomes.apportion_waits()
        return outcomes

    async def replay(self) -> None:
        """All but looking at the outcomes, which others may be at work on still."""
        options, recorder = self._options, self._recorder
        checker = Checker(recorder, self._repertoire, options.check)
        self._sender = sender = Sender(
            options.target,
            self._repertoire,
            recorder,
            checker,
            limit=self._most_connections(),
            timeout_ns=options.timeout_ns,
            give_up_after_ns=options.give_up_after_ns,
            tls=options.tls_context(),
            watched=self._watched,
        )
        self._sending = self._make_loop()
        try:
            await sender.connect(self._first_connections())
            recorder.outcomes.trim()
            start_ns = await self._ready()
            undisturbed = at_priority(realtime=options.realtime)
            with collector_paused(), undisturbed, self._signals(self.stop), self._failing():
                self._begin(start_ns)
                await self._until_quiet()
        finally:
            self._sending.close()
            await sender.close()
            self._view.stop()

    def stop(self) -> None:
        if self._stopping:
            self._end.set()
        self._stopping = True
        self._sending.stop()
        self._give_up_waiting()

    @property
    def stopped(self) -> bool:
        return self._stopping

    def _make_loop(self) -> SendingLoop:
        loop, options = asyncio.get_running_loop(), self._options
        if options.concurrency is None:
            return OpenLoop(loop, self._sender, self._schedule.intended_ns, self._share)
        callers = self._share.part_of(options.concurrency)
        return ClosedLoop(loop, self._sender, self._recorder, callers, options.duration_ns)

    def _begin(self, start_ns: int) -> None:
        duration_ns = self._options.duration_ns or self._schedule.duration_ns
        self._view.start(len(self._schedule), duration_ns / 1e9)
        self._sender.start(start_ns)
        self._rehearse(start_ns - _REHEARSED_NS)
        self._sending.begin(start_ns)

    def _rehearse(self, until_ns: int) -> None:
        """
        Keep busy up to the start.

        After an idle moment the first requests would find cold caches, and a scheduler that
        has put us and the server on one core: 2 to 60 ms of send lag, seen at 30,000/s.
        """
        while time.monotonic_ns() < until_ns:
            self._repertoire.request(0)

    async def _until_quiet(self) -> None:
        """Until the schedule is through and nothing is in flight, or ``stop()`` was called twice."""
        sent_all_ns = None
        trim_ns = time.monotonic_ns() + _TRIM_NS
        while not self._end.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROGRESS_S):
                    await self._end.wait()
            if self._watched:  # what nobody sees is not worth its milliseconds
                self._show()
            if time.monotonic_ns() > trim_ns:
                trim_ns = time.monotonic_ns() + _TRIM_NS
                self._recorder.outcomes.trim()
            if not self._sending.over:
                continue
            now_ns = time.monotonic_ns()
            sent_all_ns = sent_all_ns or now_ns
            if now_ns - sent_all_ns > self._options.timeout_ns:
                self._give_up_waiting()
            if self._sender.quiet:
                return

    def _give_up_waiting(self) -> None:
        """What waits for a connection stays unsent; a caller of a closed loop has then asked for nothing."""
        for index in self._sender.give_up_waiting():
            if self._options.concurrency is not None:
                self._recorder.withdraw(index)

    def _most_connections(self) -> int:
        """Our part of those allowed, as far as the system lets us; what is due beyond it waits."""
        allowed = self._options.concurrency or self._options.connections
        return min(max(1, self._share.part_of(allowed)), most_sockets())

    def _first_connections(self) -> int:
        """One a caller; else enough for 20 ms of the busiest second, so that few are opened under way."""
        if self._options.concurrency is not None:
            return self._most_connections()
        enough = self._share.part_of(16 + self._schedule.busiest_second // 50)
        return max(1, min(self._most_connections(), enough))

    def _show(self) -> None:
        recorder, sender = self._recorder, self._sender
        standing = Standing(
            offered=recorder.dispatched,
            sent=recorder.sent,
            completed=recorder.completed,
            ok=recorder.ok,
            in_flight=sender.in_flight,
            batch_rows=recorder.batch_rows,
            batch_replies=recorder.batch_replies,
            errors=recorder.errors,
            responses=sender.responses.take(),
            lags=sender.lags.take(),
        )
        if self._report is not None:
            self._report(standing)
            return
        self._meter.add(standing.responses, standing.lags)
        elapsed_s = (time.monotonic_ns() - sender.start_ns) / 1e9
        watch, outcomes, due = self._lanes, recorder.outcomes, recorder.dispatched
        lanes = () if watch is None else watch.look(outcomes, due, elapsed_s)
        self._view.update(self._meter.progress(elapsed_s, [standing], lanes))

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """
        A fault of ours in a callback of the loop ends the run, which would wait for ever otherwise.

        Raises RunFailed; not so where a callback did, which stops the run like ``stop()``.
        """
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()

        def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            fault = context.get("exception")
            if isinstance(fault, RunFailed):
                self.failure = str(fault)
                self._sending.stop()
            elif fault is not None and not isinstance(fault, OSError):  # that is a connection's end
                self._fault = fault
                self._sending.stop()
                self._end.set()

        loop.set_exception_handler(fail)
        try:
            yield
        finally:
            loop.set_exception_handler(before)
        if self._fault is not None:
            raise RunFailed(f"the load generator failed: {self._fault!r}") from self._fault


async def _soon() -> int:
    return time.monotonic_ns() + LEAD_NS
