"""What a batch's result means for each of its requests: answered, failed, or run again apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.batcher.batch import FlushReason
from streambox.batcher.request import complete
from streambox.batcher.splitting import finish_parts
from streambox.errors import (
    BadModelOutput,
    BatchFailed,
    DeadlineExceeded,
    ModelUnavailable,
    RowFailed,
    StreamBoxError,
    WorkerDied,
)
from streambox.executor.base import BatchError, BatchErrorKind, BatchResult, RowErrors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.batcher.batch import Batch
    from streambox.batcher.request import PendingRequest

_ERROR_BY_KIND: Final[Mapping[BatchErrorKind, type[StreamBoxError]]] = {
    BatchErrorKind.MODEL: RowFailed,
    BatchErrorKind.BAD_OUTPUT: BadModelOutput,
    BatchErrorKind.WORKER_DIED: WorkerDied,
    BatchErrorKind.TIMEOUT: DeadlineExceeded,
    BatchErrorKind.UNAVAILABLE: ModelUnavailable,
}


def settle(
    batch: Batch, result: BatchResult | RowErrors | BatchError, *, idempotent: bool = True
) -> list[list[PendingRequest]]:
    """
    End the requests of *batch* that *result* decides; all of them, where nothing may run twice.

    Returns:
        Groups of requests still to be decided, each to run as a batch of its own.
        A failed batch comes back as its two halves, so that after at most
        ceil(log2 N) + 1 rounds a poison request stands alone.
    """
    if isinstance(result, BatchResult):
        batch.outputs = result.outputs
        batch.service_ns = result.service_ns
        if batch.parts:
            finish_parts(batch.requests)
        complete(batch.requests)
        return []
    if isinstance(result, RowErrors):
        return _settle_rows(batch, result, idempotent)
    return _settle_failure(batch, result, idempotent)


def _settle_rows(batch: Batch, result: RowErrors, idempotent: bool) -> list[list[PendingRequest]]:
    rest = []
    for request in batch.requests:
        first = request.first_row
        message = next(
            (result.messages[row] for row in range(first, first + request.rows) if row in result.messages),
            None,
        )
        if message is None:
            rest.append(request)
        else:
            request.finish(RowFailed(message))
    if len(rest) == len(batch.requests):  # it named no row of ours: nothing would change by running again
        nothing = BatchError(BatchErrorKind.MODEL, "refused rows outside the batch", retryable=True)
        return _settle_failure(batch, nothing, idempotent)
    if not idempotent:
        for request in rest:
            request.finish(_not_again(batch, "the model refused a row of it"))
        return []
    if batch.reason is FlushReason.RETRY:  # it names them one by one: as many rounds as there are such rows
        return _halves(rest)
    return [rest] if rest else []


def _settle_failure(batch: Batch, failure: BatchError, idempotent: bool) -> list[list[PendingRequest]]:
    alive = [request for request in batch.requests if not request.done]
    # Not len(alive): the one still here may be the innocent mate of one that has left meanwhile.
    apart = failure.retryable and len(batch.requests) > 1
    if apart and idempotent:
        return _halves(alive)
    blame = _ERROR_BY_KIND[failure.kind]
    for request in alive:
        # Whose fault it is nobody knows where they failed together: not a 422 for all of them.
        together = apart and failure.kind is BatchErrorKind.MODEL
        request.finish(_not_again(batch, failure.message) if together else blame(failure.message))
    return []


def _halves(requests: list[PendingRequest]) -> list[list[PendingRequest]]:
    half = (len(requests) + 1) // 2
    return [group for group in (requests[:half], requests[half:]) if group]


def _not_again(batch: Batch, why: str) -> BatchFailed:
    return BatchFailed(
        f"the batch of {len(batch.requests)} requests failed, and this model's are not run again: {why}"
    )
