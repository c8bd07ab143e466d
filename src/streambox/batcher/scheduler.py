"""
The engine around a ``Batcher``: slots, dispatch, results, retries, expiry, drain.

It is synchronous, and pure but for the clock and the executors that it is given. The
server gives it the event loop's clock and worker processes; tests give it virtual ones.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from streambox.batcher.batch import Batch, FlushReason
from streambox.batcher.guard import Rerun
from streambox.batcher.policy import SlotView
from streambox.batcher.request import DISPATCHED, NEW, QUEUED
from streambox.batcher.served_model import STAGE_BELOW_NS, ServedModel
from streambox.batcher.settle import settle
from streambox.batcher.sizes import allowed_size, without_padding
from streambox.batcher.splitting import Part, Split, dispatch_parts, in_groups
from streambox.errors import DeadlineExceeded, Draining, Hopeless, ModelUnavailable, Refused, StreamBoxError
from streambox.executor.base import BatchError, BatchErrorKind, BatchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streambox.batcher.counters import ModelCounters
    from streambox.batcher.interface import Batcher, QueueSettings
    from streambox.batcher.request import PendingRequest
    from streambox.batcher.tenants import Tenant
    from streambox.clock import Clock
    from streambox.executor.base import Outcome, RowErrors

    Unfit = tuple[PendingRequest, StreamBoxError]

log = structlog.get_logger(__name__)

# A forecast that keeps a model idle is not put to the test by any batch: after so long it is doubted.
UNTESTED_NS: Final = 1_000_000_000


class Scheduler:
    """Implements ``Engine`` for the ``Batcher`` that *make_batcher* builds."""

    def __init__(
        self, clock: Clock, make_batcher: Callable[[Scheduler], Batcher], *, shared: bool = False
    ) -> None:
        self.clock = clock
        self.shared = shared  # between tenants: every request names its own
        self.on_idle: Callable[[], None] | None = None
        self._rows_before: Callable[[PendingRequest, int], int] = lambda *_: 0
        self.on_unloaded: Callable[[str], None] | None = None  # a request came for a model that is not ready
        self._served: dict[str, ServedModel] = {}
        self._batch_id = 0
        self._on_end = self._ended
        self._now_ns = clock.now_ns
        self.batcher = make_batcher(self)  # last: its constructor may use the engine
        # One's own Batcher may have any order: then only what an idle system could not do is hopeless.
        self._rows_before = getattr(self.batcher, "rows_before", self._rows_before)
        self._waiting_of: Callable[[Tenant, str], int] = getattr(self.batcher, "waiting_of", lambda *_: 0)

    # ---- what the outside calls ------------------------------------------------------------------

    def add_model(self, served: ServedModel) -> None:
        self._served[served.name] = served

    def submit(self, request: PendingRequest) -> None:
        """
        Accept *request*, or raise why not.

        From here on it ends exactly once, through ``finish`` or ``cancel``.

        Raises:
            Refused: our capacity (queue full, draining, model unavailable, its workers failing).
            BadRequest: more rows than a request to the model may have.
            Quarantined: its input has failed by itself more than once lately.
        """
        served = self._served[request.model]
        counters = served.counters
        counters.received += 1
        refusal = served.admission.refusal(request, counters)
        if self.shared and refusal is None and 2 * counters.queued >= served.admission.max_queue_size:
            refusal = self._crowding(served, request)
        if refusal is not None:
            raise _refused(refusal, counters, request)
        now_ns = self._now_ns()
        guard = served.guard
        if guard.alert:
            self._check_guard(served, request, now_ns)
        special = request.rows > served.plain_rows
        if (
            special
            or counters.queued > served.forecast.patience
            or request.timeout_ns is not None
            or counters.extra_rows  # more may wait than there are requests
        ):
            self._check_hope(served, request, now_ns)
        if request.tenant is not None:
            self._check_quota(request, request.tenant, now_ns)
        request.accept(counters, now_ns, served.timeout_ns)
        if request.rows > 1:
            counters.extra_rows += request.rows - 1
        if guard.alert:
            guard.let_in(request)
        try:
            if special:
                self._add_special(served, request)
            else:
                self.batcher.add_one(request)
        except Refused as error:
            self._take_back(request)
            raise _refused(error, counters, request) from None
        except (
            Exception
        ):  # a user's Batcher: its fault must not take the connection down, nor lose the request
            log.exception("batcher failed", model=request.model, call="add_one")
            request.finish(StreamBoxError("the configured batcher failed: see the server's log"))
            return
        if request.timeout_ns is None:
            served.expiry.append(request)
        else:
            served.expiry.add(request)
        if served.expiry_timer is None or request.deadline_ns < served.expiry_timer.when_ns:
            self._watch_deadlines(served)
        if not served.ready and self.on_unloaded is not None:
            self.on_unloaded(served.name)

    def cancel(self, request: PendingRequest) -> None:
        """The caller of *request* has gone. If it still waits, it will never run."""
        served = self._served[request.model]
        cancelled = request.cancel()
        if served.line is not None:
            served.line.leave(request)
        if cancelled:
            served.expiry.prune(served.counters.in_flight)
            self._check_idle()

    def model_ready(self, name: str) -> None:
        """A model's executor has loaded: let what waits for it run."""
        served = self._served[name]
        served.ready = True
        served.load_failed = False
        served.admission.open()
        self._refill(served)

    def model_failed(self, name: str, reason: str) -> None:
        """A lazy model could not be loaded: fail what waits for it. A later request tries again."""
        served = self._served[name]
        served.load_failed = True
        for request in served.expiry.unfinished():
            request.finish(ModelUnavailable(reason))
        self._check_idle()

    def drain(self) -> None:
        """Refuse what comes, run what waits without minding its window."""
        for served in self._served.values():
            served.admission.drain()
            self._offer(served, FlushReason.DRAIN)
        self._check_idle()

    def fail_all(self, why: str) -> int:
        """End what has not ended, as the server goes away; returns how many requests that were."""
        unfinished = [request for served in self._served.values() for request in served.expiry.unfinished()]
        return sum(request.finish(Draining(why)) for request in unfinished)

    @property
    def in_flight(self) -> int:
        return sum(served.counters.in_flight for served in self._served.values())

    # ---- Engine: what the Batcher calls ----------------------------------------------------------

    def models(self) -> Iterable[str]:
        return list(self._served)

    def settings(self, model: str) -> QueueSettings:
        return self._served[model].settings

    def change(self, model: str, settings: QueueSettings) -> None:
        self._served[model].change(settings)

    def outlook(self, model: str) -> ServedModel:
        return self._served[model]

    def give_up(self, requests: list[PendingRequest]) -> None:
        for request in requests:
            request.finish(DeadlineExceeded("the deadline cannot be met any more"))
        for model in {request.model for request in requests}:
            self._doubt(self._served[model])
        self._check_idle()

    def slots(self, model: str) -> SlotView:
        served = self._served[model]
        slots = served.executor.slots
        if not served.ready or served.retries or served.running > slots:
            return _NO_SLOT
        if served.running == slots:
            return _STAGE_ONLY if served.service_ns < STAGE_BELOW_NS else _NO_SLOT
        return SlotView(slots - served.running, can_stage=False)

    def dispatch(self, model: str, requests: list[PendingRequest], reason: FlushReason) -> Batch | None:
        served = self._served[model]
        waiting = [request for request in requests if request.state is QUEUED]
        batch, unfit = self._form(served, waiting, reason)
        if batch is not None and batch.size > served.settings.max_batch_size and len(batch.requests) > 1:
            batch = self._shorten(served, batch)
        if batch is not None:
            counters = served.counters
            counters.batch_size.observe(batch.size)
            counters.wait_ns.observe_since(batch.enqueued_ns, batch.dispatched_ns)
            self._start(served, batch)
        if unfit:
            self._turn_away(unfit)
        if served.retries:
            self._run_again(served)
        return batch

    # ---- inside ----------------------------------------------------------------------------------

    def _form(
        self, served: ServedModel, requests: list[PendingRequest], reason: FlushReason
    ) -> tuple[Batch | None, list[Unfit]]:
        """
        A batch of *requests*, less those past their deadline or not finite; None when none is left.

        Those it leaves out have not ended yet: see ``_turn_away``.
        """
        now_ns = self._now_ns()
        unfit: list[Unfit] = []
        if min([request.deadline_ns for request in requests], default=now_ns) <= now_ns:
            unfit = [(late, _expired(late)) for late in requests if late.deadline_ns <= now_ns]
            requests = [request for request in requests if request.deadline_ns > now_ns]
        while requests:
            try:
                tensors, bad = served.stacked(requests)
            except (ValueError, TypeError, MemoryError) as cause:  # whatever it is, no request may be lost
                log.exception("batch cannot be formed", model=served.name, size=len(requests))
                bad = dict.fromkeys(
                    range(len(requests)), StreamBoxError(f"the batch cannot be formed: {cause}")
                )
            if not bad:
                break
            unfit += [(requests[index], error) for index, error in bad.items()]
            requests = [request for index, request in enumerate(requests) if index not in bad]
        if not requests:
            return None, unfit
        parts = dispatch_parts(requests, served.parts) if served.parts.in_flight else 0
        queued = 0
        for request in requests:
            if request.state is QUEUED:
                queued += 1
                request.state = DISPATCHED
                if request.tenant is not None:
                    request.tenant.queued -= 1
        served.counters.queued -= queued
        # A user's Batcher: some came twice.
        if queued + parts < len(requests) and reason is not FlushReason.RETRY:
            requests = list(dict.fromkeys(requests))
            tensors, _ = served.stacked(requests)
        self._batch_id += 1
        batch = Batch(self._batch_id, requests, tensors, reason, now_ns)
        if served.settings.pad_to:
            batch.padding = allowed_size(batch.size, served.settings.pad_to) - batch.size
        if served.parts.in_flight:
            batch.parts = sum(isinstance(request, Part) for request in requests)
        return batch, unfit

    def _shorten(self, served: ServedModel, batch: Batch) -> Batch | None:
        """A user's Batcher has exceeded the maximum batch size: what fits, the rest being next in line."""
        most = served.settings.max_batch_size
        log.warning("batch exceeds max_batch_size", model=served.name, size=batch.size, max_batch_size=most)
        first, *others = in_groups(batch.requests, most)
        served.retries.extend(Rerun(group) for group in others)
        return self._form(served, first, batch.reason)[0]

    def _turn_away(self, unfit: list[Unfit]) -> None:
        """
        End what was not fit to run.

        After its mates have started: its callers may submit again at once, which must find the slot taken.
        """
        for request, error in unfit:
            request.finish(error)
        self._check_idle()

    def _start(self, served: ServedModel, batch: Batch) -> None:
        flushes = served.counters.flushes
        flushes[batch.reason] = flushes.get(batch.reason, 0) + 1
        served.counters.padding_rows += batch.padding
        served.running += 1
        served.forecast.started(batch.id, batch.size, batch.dispatched_ns)
        try:
            served.executor.begin(batch, self._on_end)
        except Exception as error:  # against its contract; its requests are not to be lost with it
            log.exception("executor raised", model=served.name, batch=batch.id)
            failure = BatchError(BatchErrorKind.UNAVAILABLE, f"the executor failed: {error}", retryable=False)
            self.clock.call_at(batch.dispatched_ns, lambda: self._ended(batch, failure))

    def _ended(self, batch: Batch, result: Outcome) -> None:
        served = self._served[batch.model]
        served.running -= 1
        served.tested_ns = batch.dispatched_ns
        service_ns = result.service_ns if isinstance(result, BatchResult) else None
        served.forecast.ended(batch.id, self._now_ns(), service_ns)
        if batch.padding:
            result = without_padding(batch, result)
        if isinstance(result, BatchResult):
            served.counters.service_ns.observe(result.service_ns)
            served.service_ns += 0.2 * (result.service_ns - served.service_ns)
            served.latency.observe(batch.size + batch.padding, result.service_ns)
            if batch.isolation is not None or served.guard.breaker.failures:
                served.guard.came_back(batch)
            self._refill(served)  # first: the worker would idle while all the answers are rendered
            settle(batch, result)
        else:
            self._judge(served, batch, result)
            self._refill(served)
            _tell(batch, result)
        batch.release()
        served.expiry.prune(served.counters.in_flight)
        self._check_idle()

    def _judge(self, served: ServedModel, batch: Batch, failure: RowErrors | BatchError) -> None:
        """What becomes of a failed batch; and, where that opens the breaker, of those who wait."""
        guard, now_ns = served.guard, self._now_ns()
        opened = guard.breaker.opened
        served.retries.extend(guard.judge(batch, failure, served.counters.accepted, now_ns))
        if guard.breaker.opened == opened:
            return
        log.error("circuit opened", model=served.name, failures=guard.breaker.failures)
        reruns, served.retries = served.retries, deque()
        waiting = [request for request in served.expiry.unfinished() if request.state is QUEUED]
        for rerun in reruns:
            guard.turn_out(rerun.requests, now_ns)
        guard.turn_out(waiting, now_ns)

    def _refill(self, served: ServedModel) -> None:
        """A slot may be free: retries first, then whatever the Batcher has."""
        self._run_again(served)
        if not served.retries:
            self._offer(served, FlushReason.SLOTFREE)
        served.forecast.refilled()

    def _run_again(self, served: ServedModel) -> None:
        while served.retries and served.running < served.executor.slots:
            rerun = served.retries.popleft()
            requests = [request for request in rerun.requests if not request.done]
            batch, unfit = self._form(served, requests, FlushReason.RETRY)
            if batch is not None:
                batch.isolation = rerun.isolation
                self._start(served, batch)
            self._turn_away(unfit)

    def _offer(self, served: ServedModel, reason: FlushReason) -> None:
        """Give the Batcher its chance to dispatch."""
        try:
            self.batcher.batch(served.name, reason)
        except Exception:  # a user's Batcher: what it holds will expire rather than hang
            log.exception("batcher failed", model=served.name, call="batch")

    def _watch_deadlines(self, served: ServedModel) -> None:
        due_ns = served.expiry.next_ns()
        if due_ns is None:
            return
        if served.expiry_timer is not None:
            served.expiry_timer.cancel()
        served.expiry_timer = self.clock.call_at(due_ns, lambda: self._expire(served))

    def _expire(self, served: ServedModel) -> None:
        served.expiry_timer = None
        now_ns = self.clock.now_ns()
        while (request := served.expiry.pop_due(now_ns)) is not None:
            request.finish(_expired(request))
        self._watch_deadlines(served)
        self._check_idle()

    def _add_special(self, served: ServedModel, request: PendingRequest) -> None:
        """Queue *request*, accepted just now: too large for a batch, or to be answered in order."""
        if served.line is not None:
            served.line.enter(request)
        if request.rows > served.settings.max_batch_size:
            self._add_parts(served, request)
        else:
            self.batcher.add_one(request)

    def _add_parts(self, served: ServedModel, whole: PendingRequest) -> None:
        """Queue *whole*, accepted just now, in parts that fit into a batch. Raises what the Batcher does."""
        split = Split(whole, served.settings.max_batch_size, served.parts)
        for part in split.parts:
            if part.done:
                return  # one before it has failed at once, and with it the whole
            try:
                self.batcher.add_one(part)
            except Refused:
                split.discard(whole)
                raise

    def _crowding(self, served: ServedModel, request: PendingRequest) -> StreamBoxError | None:
        tenant = request.tenant
        assert tenant is not None, "with tenants, every request has one"  # noqa: S101
        return served.admission.crowding(tenant, self._waiting_of(tenant, served.name))

    def _check_guard(self, served: ServedModel, request: PendingRequest, now_ns: int) -> None:
        """Raises Quarantined, CircuitOpen."""
        refusal = served.guard.refusal(request, now_ns)
        if refusal is not None:
            raise _refused(refusal, served.counters, request)

    def _check_quota(self, request: PendingRequest, tenant: Tenant, now_ns: int) -> None:
        """Raises Forbidden, QuotaExceeded."""
        try:
            tenant.admit(request, now_ns)
        except StreamBoxError as error:
            raise _refused(error, self._served[request.model].counters, request) from None

    def _check_hope(self, served: ServedModel, request: PendingRequest, now_ns: int) -> None:
        """
        Refuse *request* now, rather than let it wait for an answer that will come too late.

        Raises:
            Hopeless: there is too much before it; says when to try again.
            DeadlineExceeded: not even an idle system could meet its deadline.
        """
        own_ns, forecast = request.timeout_ns, served.forecast
        timeout_ns = served.timeout_ns if own_ns is None else min(own_ns, served.timeout_ns)
        ahead = self._rows_before(request, now_ns + timeout_ns)
        rate = served.rows_per_ns(now_ns)
        late_ns = forecast.finish_ns(ahead, request.rows, now_ns, rate) - now_ns - timeout_ns
        if late_ns <= 0:
            return
        too_short = forecast.least_ns(request.rows) > timeout_ns
        self._doubt(served)
        if too_short:
            exceeded = DeadlineExceeded(
                f"the deadline of {timeout_ns / 1e6:g} ms is shorter than the model takes: allow it more"
            )
            raise _refused(exceeded, served.counters, request)
        hopeless = Hopeless(
            f"the deadline of {timeout_ns / 1e6:g} ms would pass: {ahead} rows and what runs are before it"
        )
        hopeless.retry_after_s = max(1, math.ceil(late_ns / 1e9))
        raise _refused(hopeless, served.counters, request)

    def _doubt(self, served: ServedModel) -> None:
        """Something was turned away for what *served* is thought to take."""
        if served.counters.in_flight:
            return  # what runs or waits will tell
        now_ns = self._now_ns()
        if now_ns - served.tested_ns >= UNTESTED_NS:
            served.tested_ns = now_ns
            served.latency.doubt()

    def _take_back(self, request: PendingRequest) -> None:
        """A ``Batcher`` refused what admission had let in: it was never accepted."""
        counters = request.counters
        assert counters is not None  # noqa: S101 - accept() has just set it
        counters.accepted -= 1
        counters.extra_rows -= request.rows - 1
        counters.in_flight -= 1
        counters.queued -= 1
        if request.tenant is not None:
            request.tenant.take_back(request)
        line = self._served[request.model].line
        if line is not None:
            line.leave(request)
        request.counters = None
        request.state = NEW

    def _check_idle(self) -> None:
        if self.on_idle is not None and not self.in_flight:
            self.on_idle()


_NO_SLOT: Final = SlotView(0, can_stage=False)
_STAGE_ONLY: Final = SlotView(0, can_stage=True)


def _refused(error: StreamBoxError, counters: ModelCounters, request: PendingRequest) -> StreamBoxError:
    """*error*, to be raised: *request* is counted as refused, by its model and by its tenant."""
    counters.refused += 1
    if request.tenant is not None:
        request.tenant.count_refusal(error)
    return error


def _tell(batch: Batch, failure: RowErrors | BatchError) -> None:
    where = {"model": batch.model, "batch": batch.id, "size": batch.size}
    if isinstance(failure, BatchError):
        log.warning("batch failed", **where, kind=failure.kind.value, cause=failure.message)
    else:  # a model that refuses what it cannot take does its work
        log.debug("rows refused", **where, rows=len(failure.messages))


def _expired(request: PendingRequest) -> DeadlineExceeded:
    waited = "while it ran" if request.state is DISPATCHED else "while it waited"
    limit_ms = (request.deadline_ns - request.enqueued_ns) / 1_000_000
    return DeadlineExceeded(f"the deadline of {limit_ms:g} ms passed {waited}")
