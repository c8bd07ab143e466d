"""The values of an Open Inference Protocol input as an array: from JSON, or from raw little-endian bytes."""

from __future__ import annotations

import functools
import math
import re
import types
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import BadRequest
from streambox.protocol.datatypes import NUMPY_BY_NAME
from streambox.protocol.diagnose import DECODE_ERRORS, describe

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, np.dtype[Any]]

_OPENING: Final = re.compile(rb"[\[ \t\r\n]*")
_JSON_TYPE_BY_KIND: Final[dict[str, Any]] = {"f": float, "i": int, "u": int, "b": bool}


def from_json(name: str, values: msgspec.Raw, datatype: str, shape: tuple[int, ...]) -> Array:
    """
    The JSON array *values* as an array of *shape*.

    Args:
        values: Row-major: flat, or nested as *shape* says.
        datatype: One of ``NUMPY_BY_NAME``.

    Raises:
        BadRequest: An element of another JSON type or out of the datatype's range,
            ragged nesting, or not as many values as *shape* takes. Names *name*.
    """
    where = f"input {name!r} data"
    dtype = NUMPY_BY_NAME[datatype]
    depth = _depth(values)
    if depth not in (1, len(shape)):
        nested = f"nested {depth} deep" if depth else "not an array"
        raise BadRequest(f"{where}: {nested}, expected a flat array or one nested {len(shape)} deep")
    try:
        numbers = _decoder(dtype.kind, depth)(values)
    except DECODE_ERRORS as error:
        raise BadRequest(describe(bytes(values), error, where)) from None
    wanted = shape if depth > 1 else (math.prod(shape),)
    array = _to_array(numbers, dtype)
    if array is None or array.shape != wanted or (dtype.kind == "f" and not np.isfinite(array).all()):
        raise BadRequest(f"{where}{_fault(numbers, datatype, wanted, shape)}")
    return array.reshape(shape)


def from_binary(name: str, body: bytes, span: slice, datatype: str, shape: tuple[int, ...]) -> Array:
    """
    The bytes ``body[span]`` as a read-only array of *shape*: a view, not aligned, that keeps *body* alive.

    Raises:
        BadRequest: Not as many bytes as *shape* takes, the body too short, or a BOOL
            that is neither 0 nor 1. Names *name*. NaN and infinities pass.
    """
    dtype = NUMPY_BY_NAME[datatype].newbyteorder("<")
    count = math.prod(shape)
    size_bytes = span.stop - span.start
    if size_bytes != count * dtype.itemsize:
        raise BadRequest(
            f"input {name!r}: binary_data_size is {size_bytes}, but {datatype} of shape {list(shape)} "
            f"takes {count * dtype.itemsize} bytes"
        )
    if span.stop > len(body):
        raise BadRequest(
            f"input {name!r}: the body ends {span.stop - len(body)} bytes before its binary data does"
        )
    if dtype.kind == "b" and np.frombuffer(body, np.uint8, count, span.start).max(initial=0) > 1:
        raise BadRequest(f"input {name!r}: a byte of its binary data is neither 0 nor 1, expected BOOL")
    return np.frombuffer(body, dtype, count, span.start).reshape(shape)


def _depth(values: msgspec.Raw) -> int:
    opening = _OPENING.match(memoryview(values))
    return bytes(opening.group()).count(b"[") if opening else 0


@functools.cache
def _decoder(kind: str, depth: int) -> Callable[[msgspec.Raw], list[Any]]:
    wanted: Any = _JSON_TYPE_BY_KIND[kind]
    for _ in range(depth):
        wanted = types.GenericAlias(list, (wanted,))
    decode: Callable[[msgspec.Raw], list[Any]] = msgspec.json.Decoder(wanted).decode
    return decode


def _to_array(numbers: list[Any], dtype: np.dtype[Any]) -> Array | None:
    """None where *numbers* is ragged or an integer out of range; a float out of range becomes infinite."""
    try:
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype=dtype)
    except (ValueError, OverflowError):
        return None


def _fault(numbers: list[Any], datatype: str, wanted: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What is wrong with *numbers*, which did not become an array of shape *wanted*."""
    if len(wanted) == 1 and len(numbers) != wanted[0]:
        return f" has {len(numbers)} values, but its shape {list(shape)} takes {wanted[0]}"
    exact = np.array(numbers, dtype=object)
    if exact.ndim < len(wanted):
        return f": its nesting is ragged, expected shape {list(shape)}"
    if exact.shape != wanted:
        return f" is nested as {list(exact.shape)}, but its shape is {list(shape)}"
    position = tuple(np.argwhere(_out_of_range(exact, NUMPY_BY_NAME[datatype]))[0])
    index = "".join(f"[{step}]" for step in position)
    return f"{index}: {_short(exact[position])} is out of range for {datatype}"


def _out_of_range(exact: Array, dtype: np.dtype[Any]) -> Array:
    mask: Array
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            mask = ~np.isfinite(exact.astype(dtype))
    else:
        limits = np.iinfo(dtype)
        mask = ((exact < int(limits.min)) | (exact > int(limits.max))).astype(bool)
    return mask


def _short(number: object) -> str:
    text = str(number)
    return text if len(text) <= 40 else f"{text[:40]}…"
