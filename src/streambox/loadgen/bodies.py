"""
Request bodies, ready but for the request id: the bytes before it and after it.

``reference``: one vector as JSON. ``oip``: the Open Inference Protocol's JSON. ``oip-binary``: the
same with tensors as raw bytes behind the JSON, and an answer asked for in that form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.protocol.datatypes import NUMPY_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Array = np.ndarray[Any, np.dtype[Any]]

Api = Literal["reference", "oip", "oip-binary"]
ID_DIGITS: Final = 10
PLACEHOLDER: Final = "0" * ID_DIGITS
_JSON: Final = "application/json"


class Body(NamedTuple):
    """``before`` + the id's ten digits + ``after``; ``headers``: lines that say what it is."""

    before: bytes
    after: bytes
    headers: tuple[str, ...]


class InputSpec(msgspec.Struct, frozen=True):
    """One input of a model, as the server's metadata tells it; the first dimension is the rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def row(self, values: Array) -> Array:
        """*values* as one row, (1, *dims), in the input's datatype. Raises UsageError."""
        dtype = NUMPY_BY_NAME.get(self.datatype)
        if dtype is None:
            raise UsageError(f"input {self.name!r} takes {self.datatype}, which cannot be sent from here")
        dims = self.shape[1:]
        fixed = math.prod(dim for dim in dims if dim > 0)
        if values.size % fixed or (min(dims, default=1) > 0 and values.size != fixed):
            raise UsageError(f"input {self.name!r} takes rows of {list(dims)}, got {values.size} values")
        if sum(dim < 0 for dim in dims) > 1:
            return values.astype(dtype)[np.newaxis]  # only the values' own shape can tell
        return values.reshape(1, *dims).astype(dtype)


def reference_body(model: str, vector: Sequence[float]) -> Body:
    raw = msgspec.json.encode({"request_id": PLACEHOLDER, "model": model, "data": {"vector": vector}})
    before, _, after = raw.partition(PLACEHOLDER.encode())
    return Body(before, after, (f"Content-Type: {_JSON}",))


def oip_body(inputs: Mapping[str, Array], *, binary: bool) -> Body:
    """*inputs*: (rows, *dims) by name, in the model's datatypes."""
    tensors = []
    for name, array in inputs.items():
        datatype = next(key for key, dtype in NUMPY_BY_NAME.items() if dtype == array.dtype)
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if binary:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    content: dict[str, Any] = {"id": PLACEHOLDER, "inputs": tensors}
    if not binary:
        before, _, after = msgspec.json.encode(content).partition(PLACEHOLDER.encode())
        return Body(before, after, (f"Content-Type: {_JSON}",))
    content["parameters"] = {"binary_data_output": True}
    text = msgspec.json.encode(content)
    before, _, after = text.partition(PLACEHOLDER.encode())
    raw = b"".join(np.ascontiguousarray(array).tobytes() for array in inputs.values())
    lines = ("Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(text)}")
    return Body(before, after + raw, lines)
