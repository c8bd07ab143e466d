"""The arrays of a library call, held to the spec of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streambox.errors import BadRequest
from streambox.protocol.datatypes import NUMPY_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.executor.base import ModelSpec, TensorSpec

    Array = np.ndarray[Any, np.dtype[Any]]


def check_inputs(spec: ModelSpec, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """
    *inputs* in the model's datatypes: floats may lose precision, whole numbers not their value.

    Raises BadRequest, naming the input that does not fit.
    """
    unknown = set(inputs) - {tensor.name for tensor in spec.inputs}
    if unknown:
        raise BadRequest(
            f"unexpected input {min(unknown)!r}: the model takes {[t.name for t in spec.inputs]}"
        )
    arrays = {}
    for tensor in spec.inputs:
        if tensor.name not in inputs:
            raise BadRequest(f"input {tensor.name!r} is missing")
        array = _cast(tensor, inputs[tensor.name])
        fits = array.ndim == len(tensor.shape) and len(array) > 0
        if not fits or any(
            want not in (-1, got) for want, got in zip(tensor.dims, array.shape[1:], strict=True)
        ):
            raise BadRequest(f"input {tensor.name!r} has shape {array.shape}, the model takes {tensor.shape}")
        arrays[tensor.name] = array
    if len({len(array) for array in arrays.values()}) > 1:
        raise BadRequest("the inputs disagree on the number of rows")
    return arrays


def _cast(tensor: TensorSpec, values: object) -> Array:
    wanted = NUMPY_BY_NAME[tensor.datatype]
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise BadRequest(f"input {tensor.name!r} is not an array: {error}") from None
    if array.dtype == wanted:
        return array
    if array.dtype.kind not in "biuf":
        raise BadRequest(f"input {tensor.name!r} is of type {array.dtype}, expected {tensor.datatype}")
    with np.errstate(all="ignore"):
        cast = array.astype(wanted)
    if wanted.kind != "f" and not np.array_equal(cast, array):
        raise BadRequest(f"input {tensor.name!r} has values that {tensor.datatype} cannot hold")
    return cast
