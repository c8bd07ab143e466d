"""What a model looks like inside a worker: its spec, one ``run``, and the ways it may fail."""

from __future__ import annotations

import importlib
import math
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from streambox.executor.base import BatchErrorKind, LoadFailed, ModelSpec, TensorSpec
from streambox.executor.wire import MAX_MESSAGE_CHARS

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, np.dtype[Any]]


_OURS: Final = str(Path(__file__).parents[1])
_IMPORTING: Final = ("<frozen", str(importlib.__file__))


class Model(Protocol):
    spec: ModelSpec

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """
        Compute one batch.

        Args:
            inputs: By name, C-contiguous, (rows, *dims), the same rows >= 1 in each. Valid for as
                long as they are referred to.

        Returns:
            Every output of the spec, C-contiguous, (rows, *dims), of the spec's datatype.

        Raises:
            RowsFailed: The model refused some rows; the others were not computed.
            ModelFailed: The batch failed as a whole.
        """
        ...


class RowsFailed(Exception):
    """Rows that the model refused: message by index."""

    def __init__(self, messages: dict[int, str]) -> None:
        super().__init__(messages)
        self.messages = messages


class ModelFailed(Exception):
    """The batch failed as a whole. ``retryable`` as in ``BatchError``."""

    def __init__(self, kind: BatchErrorKind, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = one_line(message)
        self.retryable = retryable


def bad_output(message: str) -> ModelFailed:
    """
    The model's answer cannot be used. None of the batch's rows can be trusted, nor the process that
    gave it: the batch fails as a whole, and the worker ends.
    """
    return ModelFailed(BatchErrorKind.BAD_OUTPUT, message, retryable=False)


def one_line(error: object) -> str:
    """
    The message of *error* on one line of bounded length, fit to print and to send, whatever a
    model has put into it; its type's name where it has none.
    """
    try:
        words = str(error).split()
    except Exception:  # noqa: BLE001 - __str__ is the model's own code
        words = []
    text = " ".join(words) or type(error).__name__
    text = text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def with_type(error: BaseException) -> str:
    """``ValueError: why`` on one line; the type alone where there is no more to say."""
    kind, why = type(error).__name__, one_line(error)
    return kind if why == kind else one_line(f"{kind}: {why}")


def located(error: BaseException) -> str:
    """``ValueError: why (file.py:3)``, the place being the innermost; none where it is ours or Python's."""
    places = [
        f" ({Path(frame.filename).name}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, *_IMPORTING))
    ]
    return f"{with_type(error)}{places[-1] if places else ''}"


class Tile:
    """
    Repeats vectors that are shorter than a model's sole input until they fill it.

    The reference's clients send 4 numbers to an image model; this is what makes images of them.
    """

    def __init__(self, model: Model) -> None:
        inputs = model.spec.inputs
        if len(inputs) != 1:
            raise LoadFailed(f"preprocess: tile needs a model with one input; this one has {len(inputs)}")
        if min(inputs[0].dims, default=1) < 1:
            raise LoadFailed(f"preprocess: tile needs fixed dimensions; the input has {inputs[0].shape}")
        self._model = model
        self._input: TensorSpec = inputs[0]
        self.spec = ModelSpec(
            inputs, model.spec.outputs, model.spec.platform, max_rows=model.spec.max_rows, tile=True
        )

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        name, dims = self._input.name, self._input.dims
        rows = inputs[name]
        if rows.shape[1:] != dims:
            inputs = {name: tiled(rows, dims)}
        return self._model.run(inputs)


class Finite:
    """Holds a model to outputs without NaN and infinity."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.spec = model.spec

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        outputs = self._model.run(inputs)
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
                row = int(np.flatnonzero(~finite)[0])
                raise bad_output(f"output '{name}' holds a NaN or an infinity in row {row}")
        return outputs


def tiled(rows: Array, dims: tuple[int, ...]) -> Array:
    """Each row of *rows*, flattened, repeated and cut to *dims*: ``np.resize`` row by row."""
    flat = rows.reshape(len(rows), -1)
    size = math.prod(dims)
    repeats = -(-size // max(flat.shape[1], 1))
    return np.ascontiguousarray(np.tile(flat, (1, repeats))[:, :size]).reshape(len(rows), *dims)


def check_rows(outputs: Mapping[str, Array], rows: int) -> None:
    """Raises ModelFailed unless every output has *rows* rows."""
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise bad_output(f"output '{name}' has shape {array.shape} for a batch of {rows} rows")
