"""A model as the scheduler sees it: its settings, its doors, its counts, and what is known of its speed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from streambox.batcher.admission import Admission
from streambox.batcher.arrival_rate import ArrivalRate
from streambox.batcher.batch import stack_finite
from streambox.batcher.breaker import HOLD_NS
from streambox.batcher.counters import ModelCounters
from streambox.batcher.expiry import Expiry
from streambox.batcher.forecast import Forecast
from streambox.batcher.guard import Guard
from streambox.batcher.latency_model import LatencyModel
from streambox.batcher.ordering import Line
from streambox.batcher.quarantine import digest
from streambox.batcher.sizes import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streambox.batcher.guard import Rerun
    from streambox.batcher.interface import QueueSettings
    from streambox.batcher.request import PendingRequest
    from streambox.clock import Timer
    from streambox.errors import StreamBoxError
    from streambox.executor.base import Executor, ModelSpec

    Stack = Callable[[list[PendingRequest], ModelSpec], tuple[dict[str, Any], Mapping[int, StreamBoxError]]]
    Digest = Callable[[PendingRequest, ModelSpec], bytes]

# Behind a batch shorter than this the hand-over between processes is worth hiding (design rule 3).
STAGE_BELOW_NS: Final = 2_000_000
# Of one request, where nothing else is said: bounds what a single caller may make of many batches.
MAX_REQUEST_ROWS: Final = 1024


class ServedModel:
    """
    One model as the scheduler sees it.

    ``running`` counts batches handed to the executor, up to one more than its slots. ``ready`` is False
    while a lazy model has not been loaded; ``load_failed``: the last try led to nothing. ``parts`` counts
    the parts of requests that do not fit into one batch, which themselves are in ``counters`` like any
    other. A request of up to ``plain_rows`` rows needs nothing but its place in the queue. ``line`` keeps
    the order of answers, where it is to be kept.
    """

    __slots__ = (
        "admission",
        "counters",
        "digest",
        "executor",
        "expiry",
        "expiry_timer",
        "forecast",
        "guard",
        "latency",
        "line",
        "load_failed",
        "max_request_rows",
        "name",
        "parts",
        "plain_rows",
        "rate",
        "ready",
        "retries",
        "running",
        "service_ns",
        "settings",
        "spec",
        "stack",
        "tested_ns",
        "timeout_ns",
    )

    def __init__(
        self,
        name: str,
        executor: Executor,
        spec: ModelSpec,
        settings: QueueSettings,
        *,
        max_queue_size: int = 10_000,
        max_request_rows: int | None = None,
        preserve_ordering: bool = False,
        timeout_ns: int = 60_000_000_000,
        ready: bool = True,
        idempotent: bool = True,
        quarantine_ns: int = 60_000_000_000,
        breaker_ns: int = HOLD_NS,
        stack: Stack = stack_finite,
        digest: Digest = digest,
    ) -> None:
        self.name = name
        self.stack = stack
        self.digest = digest
        self.guard = Guard(
            name,
            lambda request: self.digest(request, self.spec),
            idempotent=idempotent,
            quarantine_ns=quarantine_ns,
            breaker_ns=breaker_ns,
        )
        self.latency = LatencyModel(settings.max_batch_size)
        self.rate: ArrivalRate | None = None
        self.forecast = Forecast(self.latency, executor.slots, settings.max_batch_size, timeout_ns)
        self.executor = executor
        self.spec = spec
        self.timeout_ns = timeout_ns
        self.ready = ready
        self.load_failed = False
        self.admission = Admission(name, max_queue_size, settings.max_batch_size)
        self.max_request_rows = max_request_rows
        self.line = Line() if preserve_ordering else None
        self.change(settings)
        self.counters = ModelCounters()
        self.parts = ModelCounters()
        self.expiry = Expiry()
        self.expiry_timer: Timer | None = None
        self.retries: deque[Rerun] = deque()
        self.running = 0
        self.tested_ns = 0  # when the last batch began of those that have ended
        self.service_ns: float = STAGE_BELOW_NS  # unknown: stage nothing until a batch has shown its time

    def change(self, settings: QueueSettings) -> None:
        """From now on these are the settings."""
        self.settings = settings
        rows = settings.max_batch_size
        self.forecast.resize(rows)
        self.latency.sizes = settings.pad_to
        self.plain_rows = 0 if self.line is not None else rows
        self.admission.max_rows = self.max_request_rows or max(MAX_REQUEST_ROWS, rows)

    def stacked(self, requests: list[PendingRequest]) -> tuple[dict[str, Any], Mapping[int, StreamBoxError]]:
        """The inputs of *requests*, filled up to an allowed size, and by index those that are unfit."""
        tensors, bad = self.stack(requests, self.spec)
        if self.settings.pad_to and not bad:
            tensors = padded(tensors, self.settings.pad_to)
        return tensors, bad

    @property
    def available(self) -> bool:
        """Whether a batch could run; a lazy model that nobody has asked for counts as one that can."""
        if self.ready:
            return self.executor.health().ready
        return not self.load_failed

    # ---- Outlook: what a policy may ask ----------------------------------------------------------

    def bound_ns(self, rows: int) -> float:
        return self.latency.bound_ns(rows)

    @property
    def fixed_ns(self) -> float:
        return self.latency.fixed_ns

    def row_ns(self, rows: int) -> float:
        return self.latency.expected_ns(rows) / rows

    def rows_per_ns(self, now_ns: int) -> float:
        if self.rate is None:
            self.rate = ArrivalRate(now_ns)
        return self.rate.per_ns(self.counters.accepted + self.counters.extra_rows, now_ns)

    def __repr__(self) -> str:
        counters = self.counters
        executing = counters.in_flight - counters.queued
        return f"<ServedModel {self.name}: {counters.queued} queued, {executing} executing>"
