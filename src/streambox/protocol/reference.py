"""
The reference API's wire format: one vector in, one row out, as JSON.

Request: ``{"request_id": str, "model": str, "data": {"vector": [float, …]}}``, all
required, further fields ignored. Reply: ``{"request_id", "model", "output", "batch"}``,
with ``outputs`` by name instead of ``output`` where a model has several.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import BadRequest, StreamBoxError
from streambox.protocol.datatypes import NUMPY_BY_NAME
from streambox.protocol.diagnose import DECODE_ERRORS, describe, top_level_string
from streambox.protocol.replies import datatype_of, non_finite_rows, not_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.executor.base import ModelSpec, TensorSpec
    from streambox.protocol.replies import BatchFacts

    Array = np.ndarray[Any, np.dtype[Any]]

# Whole numbers up to here are exact as the floats that a vector carries.
LARGEST_EXACT: Final = 2**53 - 1
# As a list a number takes 32 bytes, where its JSON may take two: longer vectors wait as arrays, so that
# bounding the bodies that wait bounds the memory that they take.
LONG_VECTOR: Final = 256

# ---- request ------------------------------------------------------------------------------------


class VectorData(msgspec.Struct, gc=False):
    vector: list[float]


class ReferenceRequest(msgspec.Struct, gc=False):
    """One decoded request; ``vector`` is not checked against the model yet (see VectorRule)."""

    request_id: str
    model: str
    data: VectorData

    @property
    def vector(self) -> list[float]:
        return self.data.vector


class _RequestId(msgspec.Struct):
    request_id: str


_decode = msgspec.json.Decoder(ReferenceRequest).decode
_decode_request_id = msgspec.json.Decoder(_RequestId).decode


def decode(body: bytes | bytearray) -> ReferenceRequest:
    """
    Parse one request body.

    Raises:
        BadRequest: Not JSON, a field missing or of another type, a number that no
            float holds. Names the field, and carries the request_id if that can be read.

    Cost: one msgspec decode; all else is in the failing branch.
    """
    try:
        return _decode(body)
    except DECODE_ERRORS as error:
        raise explain(bytes(body), error) from None


def explain(body: bytes, error: Exception) -> BadRequest:
    """What to answer to a *body* whose decoding raised *error*."""
    refusal = BadRequest(describe(body, error))
    refusal.request_id = _request_id_of(body)
    return refusal


def _request_id_of(body: bytes) -> str | None:
    try:
        return _decode_request_id(body).request_id
    except DECODE_ERRORS:
        return top_level_string(body, "request_id")


class VectorRule:
    """
    Whether a vector fits a model, worked out once per model.

    The edge compares ``len(vector) != rule.length`` and calls ``check`` only where
    they differ. ``length`` is -1 where every vector has to be checked, or none fits.

    A vector of more than ``LONG_VECTOR`` numbers is to be ``packed`` while it waits.
    """

    __slots__ = ("_datatype", "_expected", "_fewest", "_most", "_refusal", "_whole", "length")

    def __init__(self, spec: ModelSpec) -> None:
        self._refusal = _refusal(spec)
        sole = spec.inputs[0]
        self._datatype = sole.datatype
        self._whole = _whole_range(sole.datatype)
        self._fewest, self._most = _lengths(sole, spec.tile)
        self._expected = _expected(self._fewest, self._most)
        fast = self._refusal is None and self._whole is None and self._most < sys.maxsize
        self.length = self._most if fast else -1

    def check(self, vector: list[float]) -> None:
        """Return if *vector* is one row for the model; else raise BadRequest, naming the field."""
        if self._refusal is not None:
            raise BadRequest(self._refusal)
        length = len(vector)
        if not length:
            raise BadRequest(f"data.vector is empty: expected {self._expected}")
        if not self._fewest <= length <= self._most:
            raise BadRequest(f"data.vector has {length} numbers: expected {self._expected}")
        if self._whole is not None:
            self._check_whole(vector, *self._whole)

    def packed(self, vector: list[float]) -> Array:
        """A checked *vector* in the model's datatype; what overflows it comes out infinite."""
        with np.errstate(over="ignore"):
            return np.array(vector, NUMPY_BY_NAME[self._datatype])

    def _check_whole(self, vector: list[float], low: int, high: int) -> None:
        for index, number in enumerate(vector):
            if not (low <= number <= high and number.is_integer()):
                raise BadRequest(
                    f"data.vector[{index}] is {number!r}: this model takes {self._datatype}, "
                    f"expected a whole number from {low} to {high}"
                )


def _refusal(spec: ModelSpec) -> str | None:
    """Why no vector at all fits the model; None where some do."""
    if len(spec.inputs) > 1:
        names = ", ".join(tensor.name for tensor in spec.inputs)
        return (
            f"data.vector: this model has {len(spec.inputs)} inputs ({names}), expected a model with one: "
            "use the Open Inference Protocol, /v2/models/…/infer"
        )
    sole = spec.inputs[0]
    if len(sole.dims) > 1 and min(sole.dims) < 0:
        return (
            f"data.vector: the input {sole.name!r} has variable dimensions {list(sole.dims)}, which a vector "
            "does not tell: use the Open Inference Protocol, /v2/models/…/infer"
        )
    return None


def _lengths(sole: TensorSpec, tile: bool) -> tuple[int, int]:
    """The fewest and the most numbers that make one row."""
    if -1 in sole.dims:
        return 1, sys.maxsize
    size = math.prod(sole.dims)
    return (1 if tile else size), size


def _expected(fewest: int, most: int) -> str:
    if most == sys.maxsize:
        return f"at least {fewest}"
    return str(most) if fewest == most else f"{fewest} to {most}"


def _whole_range(datatype: str) -> tuple[int, int] | None:
    """The whole numbers a vector may hold for *datatype*; None where any number will do."""
    dtype = NUMPY_BY_NAME[datatype]
    if dtype.kind == "f":
        return None
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return max(int(limits.min), -LARGEST_EXACT), min(int(limits.max), LARGEST_EXACT)


# ---- reply --------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder()
_encode = _encoder.encode


class ReplyTemplate:
    """
    The replies to all requests of one batch: encoded once, but for each one's id and row.

    Args:
        model: Its name.
        facts: What the reply says of the batch.
        outputs: Each of shape (rows, ...), rows alike, of any datatype of the protocol.

    Raises:
        BadModelOutput: An output's datatype has no name in the protocol.

    Cost: one ``tolist``, one encode and, for floats, one ``isfinite`` per output.
    """

    __slots__ = ("_columns", "_head", "_rows", "_spoiled", "_tail")

    def __init__(self, model: str, facts: BatchFacts, outputs: Mapping[str, Array]) -> None:
        self._columns: list[tuple[bytes, list[bytes]]] = []
        self._spoiled: dict[int, str] = {}
        for name, output in outputs.items():
            datatype_of(name, output)
            self._spoiled.update(dict.fromkeys(non_finite_rows(output), name))
            # One encode for all rows; a number holds no newline, so lines are rows.
            rows = _encoder.encode_lines(output.tolist()).split(b"\n")
            self._columns.append((_encode(name), rows))
        several = len(self._columns) != 1
        # The quick way of ``render``: rows by index; empty where it has to go the long way.
        self._rows: list[bytes] = [] if several or self._spoiled else self._columns[0][1]
        self._head = b',"model":' + _encode(model) + (b',"outputs":' if several else b',"output":')
        self._tail = b',"batch":' + _encode(facts) + b"}"

    def render(self, request_id: str, first_row: int, rows: int = 1) -> bytes:
        """
        The reply to the request whose rows start at *first_row* of the batch.

        The output of a single row is that row's nested list, without the row axis;
        of several, the list of them.

        Raises:
            BadModelOutput: One of these rows holds a NaN or an infinity.
        """
        row = self._rows[first_row] if rows == 1 and self._rows else self._render_rows(first_row, rows)
        return b"".join((b'{"request_id":', _encode(request_id), self._head, row, self._tail))

    def _render_rows(self, first_row: int, rows: int) -> bytes:
        for row in range(first_row, first_row + rows) if self._spoiled else ():
            if row in self._spoiled:
                raise not_finite(self._spoiled[row])
        parts = [(name, _joined(column[first_row : first_row + rows])) for name, column in self._columns]
        if len(parts) == 1:
            return parts[0][1]
        return b"{" + b",".join(name + b":" + part for name, part in parts) + b"}"


def _joined(rows: list[bytes]) -> bytes:
    return rows[0] if len(rows) == 1 else b"[" + b",".join(rows) + b"]"


def encode_error(error: StreamBoxError, request_id: str | None) -> bytes:
    """``{"error": {"code", "message", "request_id"}}``; the id is null where it could not be read."""
    return _encode({"error": {"code": error.code, "message": str(error), "request_id": request_id}})
