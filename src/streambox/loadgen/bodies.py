"""
Request bodies, ready but for the request id: the bytes around it.

``reference``: one vector as JSON. ``oip``: the Open Inference Protocol's JSON. ``oip-binary``: the
same with tensors as raw bytes behind the JSON, and an answer asked for in that form. ``http``:
whatever a template says; see ``template``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from streambox.protocol.datatypes import NAME_BY_NUMPY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Array = np.ndarray[Any, np.dtype[Any]]

Api = Literal["reference", "oip", "oip-binary", "http"]
ID_DIGITS: Final = 10
PLACEHOLDER: Final = "0" * ID_DIGITS
JSON: Final = "application/json"


class Body(NamedTuple):
    """``pieces``: between any two stands the id. ``headers``: lines that say what it is."""

    pieces: tuple[bytes, ...]
    headers: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """With every id in its place."""
        return sum(map(len, self.pieces)) + ID_DIGITS * (len(self.pieces) - 1)


def reference_body(model: str, vector: Sequence[float]) -> Body:
    raw = msgspec.json.encode({"request_id": PLACEHOLDER, "model": model, "data": {"vector": vector}})
    before, _, after = raw.partition(PLACEHOLDER.encode())
    return Body((before, after), (f"Content-Type: {JSON}",))


def oip_body(inputs: Mapping[str, Array], *, binary: bool) -> Body:
    """*inputs*: (rows, *dims) by name, in the model's datatypes."""
    tensors = []
    for name, array in inputs.items():
        datatype = NAME_BY_NUMPY[array.dtype]
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if binary:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    content: dict[str, Any] = {"id": PLACEHOLDER, "inputs": tensors}
    if not binary:
        before, _, after = msgspec.json.encode(content).partition(PLACEHOLDER.encode())
        return Body((before, after), (f"Content-Type: {JSON}",))
    content["parameters"] = {"binary_data_output": True}
    text = msgspec.json.encode(content)
    before, _, after = text.partition(PLACEHOLDER.encode())
    raw = b"".join(np.ascontiguousarray(array).tobytes() for array in inputs.values())
    lines = ("Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(text)}")
    return Body((before, after + raw), lines)
