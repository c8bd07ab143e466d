"""What the replies of both APIs share: the batch's facts, and which outputs JSON can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streambox.errors import BadModelOutput
from streambox.protocol.datatypes import NAME_BY_NUMPY

if TYPE_CHECKING:
    from streambox.batcher.batch import Batch

    Array = np.ndarray[Any, np.dtype[Any]]


class BatchFacts(msgspec.Struct, frozen=True):
    """What a reply says of the batch its rows ran in. ``wait_ms`` is the longest wait in it."""

    id: int
    size: int
    reason: str
    wait_ms: float
    service_ms: float

    @classmethod
    def of(cls, batch: Batch) -> BatchFacts:
        """The facts of a completed batch, durations to the microsecond."""
        return cls(
            batch.id,
            batch.size,
            str(batch.reason),
            round(batch.wait_ns / 1e6, 3),
            round(batch.service_ns / 1e6, 3),
        )


def datatype_of(name: str, output: Array) -> str:
    """The protocol's name for the datatype of output *name*; BadModelOutput where it has none."""
    datatype = NAME_BY_NUMPY.get(output.dtype)
    if datatype is None:
        raise BadModelOutput(
            f"output {name!r} has the datatype {output.dtype}, which the protocol does not have"
        )
    return datatype


def non_finite_rows(output: Array) -> list[int]:
    """
    The rows of *output*, of shape (rows, ...), that hold a NaN or an infinity.

    Cost when there are none, as nearly always: one ``isfinite`` over a float output.
    """
    if output.dtype.kind != "f":
        return []
    finite = np.isfinite(output)
    if finite.all():
        return []
    return [int(row) for row in np.flatnonzero(~finite.reshape(len(output), -1).all(axis=1))]


def not_finite(name: str) -> BadModelOutput:
    """The error of a row whose output *name* is not finite."""
    return BadModelOutput(f"output {name!r} of this request is not finite, and JSON has no NaN or Infinity")
