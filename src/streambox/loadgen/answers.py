"""Answers, read the way each API writes them: whose it is, what it says, and of which batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.protocol.datatypes import NUMPY_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What the records have room for: an answer with more is none of a Batcher.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]

UNREADABLE: Final = (
    msgspec.DecodeError,
    UnicodeDecodeError,
    RecursionError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
)


class BatchFacts(msgspec.Struct):
    id: _Id
    size: _Count
    wait_ms: _Milliseconds
    service_ms: _Milliseconds
    reason: str = ""


class Answer(NamedTuple):
    """
    ``row()`` gives the numbers of the sole, or first, output, however they are nested; it raises
    one of ``UNREADABLE``. ``request_id`` is None where the answer need not tell.
    """

    request_id: str | None
    batch: BatchFacts | None
    row: Callable[[], Any]


class _Reference(msgspec.Struct):
    request_id: str
    output: msgspec.Raw = msgspec.Raw(b"")
    outputs: dict[str, msgspec.Raw] = {}
    batch: BatchFacts | None = None


class _Parameters(msgspec.Struct):
    batch_id: _Id | None = None
    batch_size: _Count = 0
    batch_reason: str = ""
    wait_ms: _Milliseconds = 0.0
    service_ms: _Milliseconds = 0.0


class _Tensor(msgspec.Struct):
    datatype: str
    data: msgspec.Raw = msgspec.Raw(b"")
    parameters: dict[str, Any] = {}


class _Oip(msgspec.Struct):
    outputs: list[_Tensor]
    id: str = ""
    parameters: _Parameters | None = None


_decode_reference = msgspec.json.Decoder(_Reference).decode
_decode_row = msgspec.json.Decoder(list[float]).decode
_decode_oip = msgspec.json.Decoder(_Oip).decode


def read_reference(body: bytes) -> Answer:
    reply = _decode_reference(body)
    return Answer(reply.request_id, reply.batch, lambda: _reference_row(reply))


def read_oip(body: bytes) -> Answer:
    reply = _decode_oip(body)
    return Answer(reply.id, _facts(reply.parameters), lambda: _row(reply.outputs[0]))


def read_oip_binary(body: bytes) -> Answer:
    """
    JSON, and the outputs' raw bytes behind it.

    Where the JSON ends is told by a header, which is not looked at here: it ends where it ends.
    """
    text = body.decode("latin-1")  # a character a byte
    _, end = json.JSONDecoder().raw_decode(text)
    reply = _decode_oip(body[:end])
    first, facts = reply.outputs[0], _facts(reply.parameters)
    size = first.parameters.get("binary_data_size")
    if size is None:
        return Answer(reply.id, facts, lambda: _row(first))
    raw, dtype = body[end : end + size], NUMPY_BY_NAME[first.datatype].newbyteorder("<")
    return Answer(reply.id, facts, lambda: np.frombuffer(raw, dtype).astype(float).tolist())


READERS: Final[Mapping[str, Callable[[bytes], Answer]]] = {
    "reference": read_reference,
    "oip": read_oip,
    "oip-binary": read_oip_binary,
}


def _facts(parameters: _Parameters | None) -> BatchFacts | None:
    told = parameters
    if told is None or told.batch_id is None:
        return None
    return BatchFacts(told.batch_id, told.batch_size, told.wait_ms, told.service_ms, told.batch_reason)


def _reference_row(reply: _Reference) -> list[float]:
    raw = next(iter(reply.outputs.values())) if reply.outputs else reply.output
    try:
        return _decode_row(raw)
    except msgspec.ValidationError:  # rows of more than one dimension are nested
        return flat(msgspec.json.decode(raw))


def _row(tensor: _Tensor) -> list[float]:
    return flat(msgspec.json.decode(tensor.data))


def flat(numbers: Any) -> list[float]:
    """A number, or lists of them, however nested. Raises ValueError for anything else."""
    array = np.array(numbers)
    if array.dtype.kind not in "biuf":
        raise ValueError("not numbers")
    row: list[float] = array.ravel().tolist()
    return row
