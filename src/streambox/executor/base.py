"""What runs batches: the ``Executor`` seam and the values that cross it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from streambox.errors import StreamBoxError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from streambox.batcher.batch import Batch

    OnEnd = Callable[[Batch, "Outcome"], None]
    Tensors = Mapping[str, np.ndarray[Any, np.dtype[Any]]]


class TensorSpec(msgspec.Struct, frozen=True):
    """
    One input or output of a model.

    ``shape[0]`` is the row axis, always -1 here; a further -1 is a dimension that
    may differ from request to request. ``datatype`` is the Open Inference
    Protocol's name, as ``FP32``.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self.shape[1:]


class ModelSpec(msgspec.Struct, frozen=True):
    """
    What a loaded model takes and gives.

    ``max_rows`` caps a batch where the model itself does (an ONNX model whose first
    axis is fixed at k has k); None: no cap of its own. ``tile`` says that the worker
    repeats a shorter reference vector until it fills the model's sole input.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    platform: str
    max_rows: int | None = None
    tile: bool = False


class BatchResult(msgspec.Struct, frozen=True):
    """Every output has the batch's row count as its first dimension."""

    outputs: dict[str, Any]
    service_ns: int


class RowErrors(msgspec.Struct, frozen=True):
    """The model refused these rows, by their index in the batch; nothing was computed for the others."""

    messages: dict[int, str]


class BatchErrorKind(enum.Enum):
    MODEL = "model"  # the model raised: some row may be at fault
    BAD_OUTPUT = "bad_output"  # wrong row count, missing output, no answer at all; the worker is replaced
    WORKER_DIED = "worker_died"  # the process ended while the batch was on it
    TIMEOUT = "timeout"  # the batch outran its limit; the worker was replaced
    UNAVAILABLE = "unavailable"  # no worker could be had; the batch never ran


class BatchError(msgspec.Struct, frozen=True):
    """
    The batch as a whole failed.

    ``retryable``: running its rows again, apart, may succeed for some of them.
    """

    kind: BatchErrorKind
    message: str
    retryable: bool
    worker_died: bool = False


Outcome = BatchResult | RowErrors | BatchError


class Health(msgspec.Struct, frozen=True):
    """``ready``: at least one slot can take a batch, or the model is lazy and not asked for yet."""

    ready: bool
    slots: int
    restarts: int
    message: str = ""


class LoadFailed(StreamBoxError):
    """The model cannot be loaded: one line that says why."""

    code = "load_failed"
    status = 503


class Executor(Protocol):
    """
    Runs one model's batches, up to ``slots`` at once.

    ``begin`` may be called with ``slots + 1`` batches at once: the one more is staged
    behind a busy slot.
    """

    slots: int

    async def load(self) -> ModelSpec:
        """Start what is needed and return the model's spec. Raises LoadFailed."""
        ...

    def begin(self, batch: Batch, on_end: OnEnd) -> None:
        """
        Run *batch*, then call ``on_end(batch, outcome)``: once, whatever happens, and not before
        this returns. Never raises; what goes wrong is in the outcome.
        """
        ...

    async def unload(self) -> None:
        """Stop every worker, a busy one after a moment's grace; idempotent."""
        ...

    def hurry(self) -> None:
        """Leave no worker that grace: in the ``unload()`` under way, or in the next."""
        ...

    def health(self) -> Health: ...
