"""
Sizes that batches should have, or must have. Pure.

*Preferred* sizes guide when a batch leaves and with how many rows (``PreferredSizes``, around any
policy). *Allowed* sizes (``pad_to``) are what the model is fed: a batch that falls short of one is
filled up with copies of its last row, of which its callers see nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.batcher.batch import FlushReason
from streambox.batcher.policy import Flush, Refuse
from streambox.executor.base import BatchResult, RowErrors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.batcher.batch import Batch
    from streambox.batcher.policy import Decision, Policy, QueueView, SlotView
    from streambox.executor.base import Outcome

    Array = np.ndarray[Any, np.dtype[Any]]

_FOR_TIME: Final = (FlushReason.TIMEWINDOW, FlushReason.DEADLINE)


class PreferredSizes:
    """
    *policy*, with batches of a preferred size where there can be one, by Triton's rule.

    As soon as the requests from the oldest on make up a preferred size and a slot is free, the
    largest that they make up leaves. So it does where *policy* would send off as many as fit. What
    it sends because time is up (a window has passed, a deadline is near) leaves whole.

    Where tenants share the queue and requests have several rows, whose requests come first is only
    known when the batch is formed: it may then have less than the size that was seen.

    Args:
        sizes: In rows, ascending. Those beyond the maximum batch size are left out of account.

    Cost: a look at as many requests as the largest preferred size has rows, per decision.
    """

    __slots__ = ("_policy", "sizes")

    def __init__(self, policy: Policy, sizes: Sequence[int]) -> None:
        self._policy = policy
        self.sizes = sizes

    @property
    def by_deadline(self) -> bool:
        return self._policy.by_deadline

    @property
    def max_batch_size(self) -> int:
        return self._policy.max_batch_size

    @max_batch_size.setter
    def max_batch_size(self, rows: int) -> None:
        self._policy.max_batch_size = rows

    @property
    def time_window_ns(self) -> int:
        return self._policy.time_window_ns

    @time_window_ns.setter
    def time_window_ns(self, window_ns: int) -> None:
        self._policy.time_window_ns = window_ns

    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Decision:
        decision = self._policy.decide(queue, slots, now_ns)
        if not queue.rows or isinstance(decision, Refuse):
            return decision
        if isinstance(decision, Flush):
            if decision.skip or decision.reason in _FOR_TIME:
                return decision
            return decision._replace(rows=self._largest(queue, decision.rows) or decision.rows)
        if not slots.free:
            return decision
        rows = self._largest(queue, self.max_batch_size)
        if rows:
            return Flush(rows, FlushReason.BATCHSIZE)
        return decision._replace(rows=min(decision.rows, self._next(queue.rows, decision.rows)))

    def _largest(self, queue: QueueView, most: int) -> int:
        """The largest preferred size that the first requests make up; 0 where there is none."""
        fitting = self.sizes[: bisect_right(self.sizes, min(queue.rows, most))]
        rows = largest = 0
        for place in queue.ahead(fitting[-1]) if fitting else ():
            rows += place.rows
            if rows in fitting:
                largest = rows
        return largest

    def _next(self, rows: int, otherwise: int) -> int:
        """The smallest preferred size above *rows*."""
        place = bisect_right(self.sizes, rows)
        return self.sizes[place] if place < len(self.sizes) else otherwise


def allowed_size(rows: int, sizes: Sequence[int]) -> int:
    """The smallest of *sizes*, ascending, that *rows* rows fit into; *rows* where none is large enough."""
    place = bisect_left(sizes, rows)
    return sizes[place] if place < len(sizes) else rows


def padded(tensors: Mapping[str, Array], sizes: Sequence[int]) -> dict[str, Array]:
    """
    *tensors*, inputs of shape (rows, ...), filled up to an allowed size with copies of their last row.

    A row of zeros may be one that the model refuses; one that was asked for is not.

    Cost: one more copy of the payload, where it falls short.
    """
    full = {}
    for name, rows in tensors.items():
        missing = allowed_size(len(rows), sizes) - len(rows)
        full[name] = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
    return full


def without_padding(batch: Batch, result: Outcome) -> Outcome:
    """*result* of *batch* as if it had had none; a fault found in the padding is its last row's."""
    if isinstance(result, BatchResult):
        outputs = {name: output[: batch.size] for name, output in result.outputs.items()}
        return BatchResult(outputs, result.service_ns)
    if isinstance(result, RowErrors):
        last = batch.size - 1
        return RowErrors({min(row, last): message for row, message in reversed(result.messages.items())})
    return result
