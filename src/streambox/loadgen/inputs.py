"""
What a model takes, and random rows of it.

Told by the server's metadata, or written ``image:FP32[8,8]``: name, datatype, and the shape of one
row. ``ids:INT64[128]:0..30521`` says within which bounds random numbers lie; several inputs are
parted by blanks.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.dataset import SOLE, Dataset
from streambox.protocol.datatypes import NUMPY_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, np.dtype[Any]]

_EXAMPLE: Final = "image:FP32[8,8] or ids:INT64[128]:0..30521"
_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_FORM: Final = re.compile(
    rf"(?:(?P<name>[^:\[\]\s]+):)?(?P<datatype>[A-Z]+\d*)\[(?P<dims>[\d,\s]*)\]"
    rf"(?::(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER}))?"
)
_LARGEST_WHOLE: Final = 99  # of random whole numbers, unless bounds are given
_MOST_VALUES: Final = 1 << 22  # of all random rows together
_MOST_RANDOM_ROWS: Final = 256


class InputSpec(msgspec.Struct, frozen=True):
    """
    One input of a model; the first dimension is the rows, and -1 is open.

    ``bounds``: of random numbers, both of them included where the numbers are whole.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    bounds: tuple[float, float] | None = None

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self.shape[1:]

    def row(self, values: Array) -> Array:
        """*values* as one row, (1, *dims), in the input's datatype. Raises UsageError."""
        dtype, dims = self._dtype(), self.dims
        fixed = math.prod(dim for dim in dims if dim > 0)
        if values.size % fixed or (min(dims, default=1) > 0 and values.size != fixed):
            raise UsageError(f"input {self.name!r} takes rows of {list(dims)}, got {values.size} values")
        if sum(dim < 0 for dim in dims) > 1:
            return values.astype(dtype)[np.newaxis]  # only the values' own shape can tell
        return values.reshape(1, *dims).astype(dtype)

    def random(self, count: int, random: np.random.Generator) -> list[Array]:
        """*count* rows of random numbers. Raises UsageError where a dimension is open."""
        dtype = self._dtype()
        if min(self.dims, default=1) < 0:
            raise UsageError(
                f"input {self.name!r} has open dimensions, {list(self.dims)}: write them, as in {_EXAMPLE}"
            )
        shape = (count, *self.dims)
        if dtype.kind == "f":
            low, high = self.bounds or (0.0, 1.0)
            return list(random.uniform(low, high, shape).astype(dtype))
        low, high = self.bounds or (0, 1 if dtype.kind == "b" else _LARGEST_WHOLE)
        return list(random.integers(int(low), int(high), shape, dtype=np.int64, endpoint=True).astype(dtype))

    def _dtype(self) -> np.dtype[Any]:
        dtype = NUMPY_BY_NAME.get(self.datatype)
        if dtype is None:
            raise UsageError(f"input {self.name!r} takes {self.datatype}, which cannot be sent from here")
        return dtype


def parse_inputs(text: str) -> tuple[InputSpec, ...]:
    """One or more inputs, parted by blanks; the only one may go without a name. Raises UsageError."""
    parts = re.findall(r"[^\s\[]+(?:\[[^\]]*\])?\S*", text)  # blanks within brackets part nothing
    specs = tuple(map(_parse_input, parts))
    names = [spec.name for spec in specs]
    if not specs or len(set(names)) < len(names):
        raise UsageError(f"{text!r} names no input, or one twice: write them as {_EXAMPLE}")
    if len(specs) > 1 and SOLE in names:
        raise UsageError(f"{text!r}: several inputs need a name each: write them as {_EXAMPLE}")
    return specs


def _parse_input(text: str) -> InputSpec:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not an input: write it as {_EXAMPLE}")
    datatype = match["datatype"]
    if datatype not in NUMPY_BY_NAME:
        raise UsageError(f"{text!r}: no datatype {datatype}: choose one of {', '.join(NUMPY_BY_NAME)}")
    dims = tuple(int(dim) for dim in match["dims"].split(",") if dim.strip())
    if not all(dims) or math.prod(dims) > _MOST_VALUES:
        raise UsageError(f"{text!r}: a row holds at least 1 value, and at most {_MOST_VALUES}")
    bounds = None if match["low"] is None else (float(match["low"]), float(match["high"]))
    if bounds is not None:
        _check_bounds(text, NUMPY_BY_NAME[datatype], bounds)
    return InputSpec(match["name"] or SOLE, datatype, (-1, *dims), bounds)


def _check_bounds(text: str, dtype: np.dtype[Any], bounds: tuple[float, float]) -> None:
    low, high = bounds
    if low > high:
        raise UsageError(f"{text!r}: {low:g} is above {high:g}: write the lower bound first")
    if dtype.kind == "f":
        return
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not (low.is_integer() and high.is_integer() and least <= low and high <= min(most, 2**53)):
        raise UsageError(f"{text!r}: bounds are whole numbers that the datatype holds")


def random_rows(specs: Sequence[InputSpec], random: np.random.Generator) -> Dataset:
    """256 rows for a model that takes *specs*; fewer where rows are large. Raises UsageError."""
    values = sum(math.prod(abs(dim) for dim in spec.dims) for spec in specs)
    count = max(1, min(_MOST_RANDOM_ROWS, _MOST_VALUES // max(1, values)))
    return Dataset({spec.name: spec.random(count, random) for spec in specs})
