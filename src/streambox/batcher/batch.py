"""A closed batch: which requests, and their inputs joined along the row axis."""

from __future__ import annotations

import copy
import enum
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from streambox.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.batcher.guard import Isolation
    from streambox.batcher.request import PendingRequest
    from streambox.executor.base import ModelSpec, TensorSpec

    Array = np.ndarray[Any, np.dtype[Any]]

from streambox.protocol.datatypes import NAME_BY_NUMPY, NUMPY_BY_NAME


class FlushReason(enum.StrEnum):
    """Why a batch left its queue."""

    BATCHSIZE = "batchsize"
    TIMEWINDOW = "timewindow"
    DEADLINE = "deadline"
    SLOTFREE = "slotfree"
    DRAIN = "drain"
    RETRY = "retry"


class Batch:
    """
    Requests that run together, in dispatch order; closed when it is made.

    ``size`` counts rows, ``padding`` those that were added to them. ``tensors`` holds each
    input, C-contiguous, with ``size + padding`` rows; ``outputs`` has ``size`` rows of each
    output once the batch has completed. ``enqueued_ns`` says when
    each of the requests arrived; ``wait_ns`` is the longest wait, its oldest request's.
    ``parts`` says how many of the requests are parts of larger ones.
    ``reply`` belongs to whoever renders
    the answers and is shared by all of the batch's requests. ``isolation``: what it is a
    part of, where it runs again.
    """

    __slots__ = (
        "dispatched_ns",
        "enqueued_ns",
        "id",
        "isolation",
        "model",
        "outputs",
        "padding",
        "parts",
        "reason",
        "reply",
        "requests",
        "service_ns",
        "size",
        "tensors",
        "wait_ns",
    )

    def __init__(
        self,
        batch_id: int,
        requests: list[PendingRequest],
        tensors: dict[str, Array],
        reason: FlushReason,
        dispatched_ns: int,
    ) -> None:
        self.id = batch_id
        self.model = requests[0].model
        self.requests = requests
        self.tensors = tensors
        self.reason = reason
        self.dispatched_ns = dispatched_ns
        self.enqueued_ns = [request.enqueued_ns for request in requests]
        self.wait_ns = dispatched_ns - min(self.enqueued_ns)
        self.outputs: dict[str, Array] = {}
        self.padding = 0
        self.parts = 0
        self.service_ns = 0
        self.reply: Any = None
        self.isolation: Isolation | None = None
        row = 0
        for request in requests:
            request.batch = self
            request.first_row = row
            row += request.rows
        self.size = row

    def release(self) -> None:
        """
        It has ended: let go of its inputs and of its requests.

        They refer to it in turn, so that without this all of its memory would wait for the
        cycle collector. ``outputs`` stay for those who have yet to read them.
        """
        self.requests = []
        self.tensors = {}

    def showing(self, outputs: dict[str, Array]) -> Batch:
        """What is to be said of this batch, of *outputs* in place of its own."""
        other = copy.copy(self)
        other.release()
        other.outputs = outputs
        other.reply = None
        return other

    def __repr__(self) -> str:
        return f"<Batch {self.id} {self.model} size={self.size} {self.reason}>"


def signature(spec: ModelSpec, inputs: Mapping[str, Array]) -> object:
    """What must be equal for requests to share a batch; None where the model fixes all its dimensions."""
    if all(dim >= 0 for tensor in spec.inputs for dim in tensor.dims):
        return None
    return tuple(inputs[tensor.name].shape[1:] for tensor in spec.inputs)


def stack(requests: Sequence[PendingRequest], spec: ModelSpec) -> dict[str, Array]:
    """
    Join the inputs of *requests* along axis 0.

    Args:
        requests: N >= 1, one model, equal signatures, dispatch order. Request i holds
            r_i >= 1 rows, as ``inputs`` of shape (r_i, *dims) or as a ``vector``.

    Returns:
        Each input as (sum of r_i, *dims), C-contiguous, a copy. Where the model
        tiles, its sole input may stay as (rows, n) with n short of a full row.

    Cost: one copy of the payload. What overflows its datatype comes out infinite.
    """
    with np.errstate(over="ignore"):
        vectors = [request.vector for request in requests if request.vector is not None]
        if len(vectors) == len(requests):
            sole = spec.inputs[0]
            return {sole.name: _shaped(_rows(vectors, NUMPY_BY_NAME[sole.datatype]), sole)}
        return {tensor.name: _joined(requests, tensor) for tensor in spec.inputs}


def _rows(vectors: Sequence[list[float] | Array], dtype: np.dtype[Any]) -> Array:
    """*vectors*, each a row. Raises ValueError when they differ in length. Twice as fast as numpy alone."""
    rows, length = len(vectors), len(vectors[0])
    if len(set(map(len, vectors))) > 1:
        raise ValueError("vectors of different lengths")
    if isinstance(vectors[0], np.ndarray):  # then all are: equal length, equal form
        return np.array(vectors, dtype)
    return np.fromiter(chain.from_iterable(vectors), dtype, rows * length).reshape(rows, length)


def _shaped(rows: Array, tensor: TensorSpec) -> Array:
    """*rows* of (n, values) in the shape of *tensor*; as they are where the model tiles them."""
    dims = tensor.dims
    if len(dims) == 1:
        return rows
    wanted = 1
    for dim in dims:
        wanted *= dim
    return rows.reshape(len(rows), *dims) if rows.shape[1] == wanted else rows


def _joined(requests: Sequence[PendingRequest], tensor: TensorSpec) -> Array:
    dtype = NUMPY_BY_NAME[tensor.datatype]
    parts = [
        request.inputs[tensor.name]
        if request.inputs is not None
        else _shaped(np.array([request.vector], dtype=dtype), tensor)
        for request in requests
    ]
    return np.concatenate(parts) if len(parts) > 1 else np.ascontiguousarray(parts[0])


def stack_finite(
    requests: Sequence[PendingRequest], spec: ModelSpec
) -> tuple[dict[str, Array], dict[int, BadRequest]]:
    """What ``stack`` and ``non_finite`` give; the inputs are of use only where nobody is at fault."""
    tensors = stack(requests, spec)
    return tensors, non_finite(tensors, requests)


def non_finite(tensors: dict[str, Array], requests: Sequence[PendingRequest]) -> dict[int, BadRequest]:
    """
    The requests that hold a NaN or an infinity, by index, each with its error.

    Cost when all are finite, as they nearly always are: one ``isfinite`` per float input.
    """
    found: dict[int, BadRequest] = {}
    for name, tensor in tensors.items():
        if tensor.dtype.kind != "f" or np.isfinite(tensor).all():
            continue
        row = 0
        for index, request in enumerate(requests):
            rows = tensor[row : row + request.rows]
            row += request.rows
            if index not in found and not np.isfinite(rows).all():
                found[index] = _name_non_finite(name, rows, request)
    return found


def _name_non_finite(name: str, rows: Array, request: PendingRequest) -> BadRequest:
    position = int(np.flatnonzero(~np.isfinite(rows))[0])
    # Where its caller has it, who knows nothing of parts.
    position += getattr(request, "offset", 0) * (rows.size // len(rows))
    where = f"data.vector[{position}]" if request.vector is not None else f"inputs[{name!r}] value {position}"
    datatype = NAME_BY_NUMPY[rows.dtype]
    return BadRequest(f"{where} is not a finite {datatype}: send finite numbers within its range")
