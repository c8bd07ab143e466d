"""
The seam between the serving system and a batching rule.

A ``Batcher`` owns the queues and decides when a batch leaves; everything around it
(HTTP, admission, expiry, executors, retries, drain) stays the same whichever is
used. Name your own in the configuration: ``batcher: {class: "package.module:Class"}``.
It is made as ``Class(engine)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streambox.batcher.batch import Batch, FlushReason
    from streambox.batcher.policy import Outlook, SlotView
    from streambox.batcher.request import PendingRequest
    from streambox.clock import Clock


class QueueSettings(NamedTuple):
    """
    A model's batching rule as configured; sizes in rows.

    ``preferred_batch_size``: sizes that batches should have; ``pad_to``: those that batches are
    filled up to. Both ascending, and empty where any will do.
    """

    time_window_ns: int
    max_batch_size: int
    policy: str = "window"
    preferred_batch_size: tuple[int, ...] = ()
    pad_to: tuple[int, ...] = ()


class Engine(Protocol):
    """What a ``Batcher`` may use."""

    clock: Clock
    shared: bool
    """Several tenants: every request has one, and none is to starve the others."""

    def models(self) -> Iterable[str]: ...

    def settings(self, model: str) -> QueueSettings: ...

    def change(self, model: str, settings: QueueSettings) -> None:
        """From now on these are the model's ``settings``."""
        ...

    def outlook(self, model: str) -> Outlook:
        """What is known of the model's load and speed; its figures are of the moment they are asked for."""
        ...

    def slots(self, model: str) -> SlotView:
        """Where a batch could go right now."""
        ...

    def dispatch(self, model: str, requests: list[PendingRequest], reason: FlushReason) -> Batch | None:
        """
        Send *requests* off as one batch, dropping those that have ended meanwhile.

        Takes a slot: ask ``slots`` first. None when nothing was left to run. Their
        ``signature``s must be equal, or their rows cannot be joined and all of them fail.
        More rows than the model's maximum batch size (see ``settings``) are not run at once: what
        is over runs when the next slots are free, and a warning is logged.
        """
        ...

    def give_up(self, requests: list[PendingRequest]) -> None:
        """End *requests*, whose deadlines cannot be met any more: they expire now, and not later."""
        ...


class Batcher(Protocol):
    """
    The reference's interface. Called on the loop's thread; none may block.

    ``add_one`` queues the request or raises ``Refused``; the request later ends once,
    through the engine. A request may end while it is queued (its caller left, its
    deadline passed): ``request.done`` says so, and ``dispatch`` drops it anyway.

    ``batch`` forms a batch of what waits and dispatches it. The engine calls it with
    ``slotfree`` whenever a slot has freed, and with ``drain`` when no more requests
    will come; None when nothing was dispatched.
    """

    def set_time_window(self, ms: float, model: str | None = None) -> None:
        """Change the time window of *model*, or of all models."""
        ...

    def set_batch_size(self, rows: int, model: str | None = None) -> None:
        """
        Change the maximum batch size of *model*, or of all models.

        A request that has been accepted keeps its place: with more rows than the new
        maximum it runs by itself.
        """
        ...

    def add_one(self, request: PendingRequest) -> None: ...

    def batch(self, model: str, reason: FlushReason) -> Batch | None: ...
