"""One run: connect, replay open-loop (or closed-loop), collect what is in flight."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.clock import LoopClock
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.check import Checker, CheckLevel
from streambox.loadgen.lane_watch import LaneWatch
from streambox.loadgen.live import Progress, SilentView
from streambox.loadgen.pacer import Pacer
from streambox.loadgen.payload import PayloadSet, Target
from streambox.loadgen.record import Outcomes, Recorder
from streambox.loadgen.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streambox.loadgen.live import LiveView
    from streambox.workload.schedule import Schedule

_SENDS_AT_ONCE: Final = 64  # then responses get their turn, however late the schedule is
_PROGRESS_S: Final = 0.25
_REHEARSED_NS: Final = 2_000_000  # for the loop to come round once more
_TRIM_NS: Final = 5_000_000_000
_LEAD_NS: Final = 100_000_000  # between the last preparation and the first request
_GENERATION_S: Final = 2.0  # the display's percentiles are over the last two to four seconds
_NS_PER_S: Final = 1_000_000_000
_NEVER_NS: Final = 1 << 62


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    ``connections``: the most to open; a request that has waited for one for ``give_up_after_ns``
    is not sent any more. ``concurrency`` makes it a closed loop for ``duration_ns``.

    ``warm_up_ns``, ``cool_down_ns``: what fell due in the first and last so long is sent, and
    checked, but is not part of the figures. ``ca_file``: who to trust over TLS, in place of
    the system's; ``verify`` False trusts anybody.
    """

    target: Target
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

    *recorder*: where the outcomes go, in place of memory. ``stop()`` once: send nothing more
    and collect what is in flight. Twice: end now.
    """

    def __init__(
        self,
        schedule: Schedule,
        payloads: PayloadSet,
        options: RunOptions,
        view: LiveView,
        recorder: Recorder | None = None,
    ) -> None:
        self._schedule = schedule
        self._options = options
        self._payloads = payloads
        self._view = view
        self._recorder = recorder or Recorder(schedule.intended_ns, schedule.lane)
        self._stopping = False
        self._end = asyncio.Event()
        self._last = (0.0, 0, 0)
        self._turned_s = 0.0
        self._lanes: LaneWatch | None = None
        if len(schedule.lanes) > 1:
            self._lanes = LaneWatch(schedule, options.timeout_ns, options.give_up_after_ns)
        self._withdrawn = 0
        self._failure: BaseException | None = None

    async def __call__(self) -> Outcomes:
        options, recorder = self._options, self._recorder
        payload = self._schedule.payload
        checker = Checker(recorder, self._payloads, payload, options.check)
        self._sender = Sender(
            options.target,
            self._payloads,
            payload,
            recorder,
            checker,
            limit=options.concurrency or options.connections,
            timeout_ns=options.timeout_ns,
            give_up_after_ns=options.give_up_after_ns,
            tls=options.tls_context(),
        )
        clock = LoopClock(asyncio.get_running_loop())
        try:
            await self._sender.connect(options.concurrency or self._first_connections())
            with _collector_paused(), self._interruptible(), self._failing():
                driver = self._closed_loop(clock) if options.concurrency else self._open_loop(clock)
                self._stop_sending = driver
                await self._until_quiet()
        finally:
            await self._sender.close()
            clock.close()
            self._view.stop()
        outcomes = recorder.outcomes.first(self._offered())
        outcomes.apportion_waits()
        return outcomes

    def stop(self) -> None:
        if self._stopping:
            self._end.set()
        self._stopping = True
        self._stop_sending()
        self._give_up_waiting()

    # ---- open loop -------------------------------------------------------------------------------

    def _open_loop(self, clock: LoopClock) -> Callable[[], None]:
        sender = self._sender
        pacer = self._pacer = Pacer(self._schedule.intended_ns)
        start_ns = self._begin(len(self._schedule))

        def send_due() -> None:
            now_ns = time.monotonic_ns() - start_ns
            for _ in range(_SENDS_AT_ONCE):
                if not pacer.due(now_ns):
                    break
                sender.send(pacer.take())
                now_ns = time.monotonic_ns() - start_ns
            sender.next_due_ns = _NEVER_NS if pacer.next_ns is None else pacer.next_ns
            sender.check_in_slack(now_ns)

        def wake() -> None:
            send_due()
            sleep()

        def sleep() -> None:
            if pacer.next_ns is not None:
                clock.call_at(start_ns + pacer.next_ns, wake)

        sender.on_due = send_due
        sleep()

        def stop() -> None:
            pacer.stop()
            sender.next_due_ns = _NEVER_NS

        return stop

    # ---- closed loop -----------------------------------------------------------------------------

    def _closed_loop(self, clock: LoopClock) -> Callable[[], None]:
        sender, recorder = self._sender, self._recorder
        self._pacer = Pacer(np.empty(0, np.int64))
        start_ns = self._begin(0)
        end_ns = start_ns + self._options.duration_ns

        def send_next() -> None:
            now_ns = time.monotonic_ns()
            if now_ns < end_ns and not self._stopping:
                sender.send(recorder.add(now_ns - start_ns))

        def begin() -> None:
            sender.on_ended = send_next
            for _ in range(self._options.concurrency or 1):
                send_next()

        clock.call_at(start_ns, begin)
        self._closed_end_ns = end_ns
        return lambda: None

    # ---- both ------------------------------------------------------------------------------------

    def _begin(self, total: int) -> int:
        duration_ns = self._options.duration_ns or self._schedule.duration_ns
        self._view.start(total, duration_ns / 1e9)
        start_ns = time.monotonic_ns() + _LEAD_NS
        self._sender.start(start_ns)
        self._rehearse(start_ns - _REHEARSED_NS)
        return start_ns

    def _rehearse(self, until_ns: int) -> None:
        """
        Keep busy up to the start.

        After an idle moment the first requests would find cold caches, and a scheduler that
        has put us and the server on one core: 2 to 60 ms of send lag, seen at 30,000/s.
        """
        while time.monotonic_ns() < until_ns:
            self._payloads.request(0, 0)

    async def _until_quiet(self) -> None:
        """Until the schedule is through and nothing is in flight, or ``stop()`` was called twice."""
        sender = self._sender
        sent_all_ns = None
        trim_ns = time.monotonic_ns() + _TRIM_NS
        while not self._end.is_set() and self._failure is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROGRESS_S):
                    await self._end.wait()
            if not isinstance(self._view, SilentView):  # what nobody sees is not worth its milliseconds
                self._view.update(self._progress())
            if time.monotonic_ns() > trim_ns:
                trim_ns = time.monotonic_ns() + _TRIM_NS
                self._recorder.outcomes.trim()
            if not self._done_sending():
                continue
            now_ns = time.monotonic_ns()
            sent_all_ns = sent_all_ns or now_ns
            if now_ns - sent_all_ns > self._options.timeout_ns:
                self._give_up_waiting()
            if sender.quiet:
                return

    def _done_sending(self) -> bool:
        if self._options.concurrency:
            return self._stopping or time.monotonic_ns() >= self._closed_end_ns
        return self._pacer.next_ns is None

    def _give_up_waiting(self) -> None:
        self._withdrawn += self._sender.give_up_waiting()

    def _offered(self) -> int:
        """
        How many requests fell due: all of them, unless the run was stopped.

        In a closed loop nothing falls due: what a caller still wanted to send does not count.
        """
        if self._options.concurrency:
            return self._recorder.added - self._withdrawn
        return self._pacer.index

    def _first_connections(self) -> int:
        """Enough for 20 ms of the busiest second, so that few are opened under way."""
        _, per_second = np.unique(self._schedule.intended_ns // _NS_PER_S, return_counts=True)
        busiest = int(per_second.max(initial=1))
        return max(1, min(self._options.connections, 16 + busiest // 50))

    def _progress(self) -> Progress:
        recorder, sender = self._recorder, self._sender
        elapsed_s = (time.monotonic_ns() - sender.start_ns) / 1e9
        offered = self._offered()
        last_s, last_offered, last_completed = self._last
        self._last = (elapsed_s, offered, recorder.completed)
        span_s = max(elapsed_s - last_s, 1e-3)
        p50_ns, p90_ns, p99_ns = sender.responses.percentiles(0.5, 0.9, 0.99)
        (lag_p99_ns,) = sender.lags.percentiles(0.99)
        if elapsed_s - self._turned_s >= _GENERATION_S:
            self._turned_s = elapsed_s
            sender.responses.turn()
            sender.lags.turn()
        return Progress(
            elapsed_s=max(0.0, elapsed_s),
            total=len(self._schedule),
            sent=recorder.sent,
            completed=recorder.completed,
            ok=recorder.ok,
            errors=dict(recorder.errors),
            in_flight=sender.in_flight,
            offered_per_s=(offered - last_offered) / span_s,
            achieved_per_s=(recorder.completed - last_completed) / span_s,
            p50_ms=None if p50_ns is None else p50_ns / 1e6,
            p90_ms=None if p90_ns is None else p90_ns / 1e6,
            p99_ms=None if p99_ns is None else p99_ns / 1e6,
            mean_batch_size=recorder.batch_rows / recorder.batch_replies if recorder.batch_replies else None,
            lag_p99_us=None if lag_p99_ns is None else lag_p99_ns / 1e3,
            lanes=() if self._lanes is None else self._lanes.look(recorder.outcomes, offered, elapsed_s),
        )

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for number in before:
                loop.add_signal_handler(number, self.stop)
        except (ValueError, RuntimeError):  # not on the main thread: whoever embeds us calls stop()
            before.clear()
        try:
            yield
        finally:
            for number, whose in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, whose)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """
        A fault of ours in a callback of the loop ends the run, which would wait for ever otherwise.

        Raises RunFailed.
        """
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()

        def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            failure = context.get("exception")
            if failure is not None and not isinstance(failure, OSError):  # that is a connection's end
                self._failure = failure
                self._end.set()

        loop.set_exception_handler(fail)
        try:
            yield
        finally:
            loop.set_exception_handler(before)
        if self._failure is not None:
            raise RunFailed(f"the load generator failed: {self._failure!r}") from self._failure


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A collection in the middle of a burst would be send lag."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
