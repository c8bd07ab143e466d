"""
The wire between the front and its workers, the same on both sides.

A frame is ``prefix | header | padding | body``, little-endian:

* prefix, 16 bytes: magic with the version, header length (u32), body length (u64);
* header: one msgpack message of the types below;
* body: the message's tensors as raw bytes in the order of its ``tensors``, each starting at a
  multiple of 64 bytes of the frame.

Nothing here is trusted: lengths are bounded, and whatever does not decode raises ``WireError``.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.errors import StreamBoxError
from streambox.executor.base import BatchErrorKind, ModelSpec
from streambox.executor.options import WorkerOptions
from streambox.protocol.datatypes import NAME_BY_NUMPY, NUMPY_BY_NAME

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence

    from typing_extensions import Buffer

    Array = np.ndarray[Any, np.dtype[Any]]

ALIGNMENT: Final = 64
MAX_HEADER_BYTES: Final = 16 << 20
MAX_BODY_BYTES: Final = 4 << 30
SMALL_BYTES: Final = 64 << 10  # frames up to this size are joined and copied rather than scattered
MAX_MESSAGE_CHARS: Final = 500

_MAGIC: Final = b"SBW\x01"
_PREFIX: Final = struct.Struct("<4sIQ")
_PADDING: Final = tuple(bytes(n) for n in range(ALIGNMENT))


class WireError(StreamBoxError):
    """The peer sent what is not a frame of ours; the connection is of no more use."""

    code = "wire"


# ---- messages -----------------------------------------------------------------------------------


class Layout(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One tensor of a body. Its offset follows from the ones before it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Load(msgspec.Struct, frozen=True, array_like=True, tag="load"):
    """front → worker, once: what to run."""

    options: WorkerOptions


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag="loaded"):
    """worker → front: ready for batches."""

    spec: ModelSpec


class LoadRefused(msgspec.Struct, frozen=True, array_like=True, tag="load_refused"):
    """worker → front: cannot run it; the worker ends."""

    message: str


class Execute(msgspec.Struct, frozen=True, array_like=True, tag="execute"):
    """front → worker: a batch. Any number may be sent ahead; they run, and are answered, in order."""

    batch_id: int
    tensors: tuple[Layout, ...]


class Result(msgspec.Struct, frozen=True, array_like=True, tag="result"):
    """worker → front: the batch's outputs. ``service_ns``: preprocessing and model, in the worker."""

    batch_id: int
    service_ns: int
    tensors: tuple[Layout, ...]


class RowsRefused(msgspec.Struct, frozen=True, array_like=True, tag="rows_refused"):
    """worker → front: the model refused these rows, by index; nothing was computed."""

    batch_id: int
    messages: dict[int, str]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """worker → front: the batch failed as a whole; the worker lives on."""

    batch_id: int
    kind: BatchErrorKind
    message: str
    retryable: bool


Message = Load | Loaded | LoadRefused | Execute | Result | RowsRefused | Failed


class Frame(NamedTuple):
    """A decoded frame; the arrays are views of the memory it was received into."""

    message: Message
    tensors: dict[str, Array]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


# ---- encoding -----------------------------------------------------------------------------------


def layouts(tensors: Mapping[str, Array]) -> tuple[Layout, ...]:
    """Raises KeyError for a dtype the protocol has no name for."""
    return tuple([Layout(name, NAME_BY_NUMPY[array.dtype], array.shape) for name, array in tensors.items()])


def encode(message: Message, arrays: Iterable[Array] = ()) -> list[Buffer]:
    """
    The frame in pieces, to be sent in order; large arrays are referred to, not copied.

    Args:
        message: Its ``tensors``, where it has them, describe *arrays* in order.
        arrays: C-contiguous; else ValueError.

    Cost: about 3 µs, and one copy where the whole frame is at most ``SMALL_BYTES``.
    """
    header = _encoder.encode(message)
    pieces: list[Buffer] = [b""]
    body_bytes = 0
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError(f"tensor of shape {array.shape} is not C-contiguous")
        padding = -body_bytes % ALIGNMENT
        if padding:
            pieces.append(_PADDING[padding])
        pieces.append(array.data)
        body_bytes += padding + array.nbytes
    head_bytes = _PREFIX.size + len(header)
    head = _PREFIX.pack(_MAGIC, len(header), body_bytes) + header + _PADDING[-head_bytes % ALIGNMENT]
    pieces[0] = head
    if body_bytes and len(head) + body_bytes <= SMALL_BYTES:
        return [b"".join(pieces)]
    return pieces


def remaining(pieces: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What is left of *pieces* after their first *sent* bytes."""
    rest: list[Buffer] = []
    for piece in pieces:
        view = memoryview(piece)
        if sent >= view.nbytes:
            sent -= view.nbytes
            continue
        rest.append(view.cast("B")[sent:])
        sent = 0
    return rest


def send(sock: socket.socket, pieces: Sequence[Buffer]) -> list[Buffer]:
    """One send. Returns what it left over: never anything but for size on a blocking socket."""
    if len(pieces) == 1:
        sent = sock.send(pieces[0])
        if sent == memoryview(pieces[0]).nbytes:
            return []
    else:
        sent = sock.sendmsg(pieces)
    return remaining(pieces, sent)


# ---- decoding -----------------------------------------------------------------------------------


def frame_bytes(buffer: Buffer, start: int) -> int:
    """The size of the frame whose prefix is at *start*. Raises WireError."""
    magic, header_bytes, body_bytes = _PREFIX.unpack_from(buffer, start)
    if magic != _MAGIC:
        raise WireError(f"bad frame: starts with {magic!r}")
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError(f"bad frame: header of {header_bytes} and body of {body_bytes} bytes")
    head_bytes: int = _PREFIX.size + header_bytes
    return head_bytes + -head_bytes % ALIGNMENT + int(body_bytes)


def decode(buffer: Buffer, start: int, total_bytes: int) -> Frame:
    """The frame of *total_bytes* at *start*; its arrays share *buffer*. Raises WireError."""
    _, header_bytes, body_bytes = _PREFIX.unpack_from(buffer, start)
    header_start = start + _PREFIX.size
    try:
        message = _decoder.decode(memoryview(buffer)[header_start : header_start + header_bytes])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"bad frame: {error}") from None
    described = message.tensors if isinstance(message, (Result, Execute)) else ()
    return Frame(message, _tensors(described, buffer, start + total_bytes - body_bytes, body_bytes))


def _tensors(described: tuple[Layout, ...], buffer: Buffer, start: int, body_bytes: int) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    offset = 0
    for layout in described:
        dtype = NUMPY_BY_NAME.get(layout.datatype)
        if dtype is None or (layout.shape and min(layout.shape) < 0):
            raise WireError(f"bad frame: tensor {layout.datatype} {layout.shape}")
        offset += -offset % ALIGNMENT
        size_bytes = math.prod(layout.shape) * dtype.itemsize
        if offset + size_bytes > body_bytes:
            raise WireError(f"bad frame: tensors exceed the body of {body_bytes} bytes")
        tensors[layout.name] = np.ndarray(layout.shape, dtype, buffer, start + offset)  # type: ignore[arg-type]
        offset += size_bytes
    if offset != body_bytes or len(tensors) != len(described):
        raise WireError(f"bad frame: {len(described)} tensors of {offset} bytes, body of {body_bytes} bytes")
    return tensors


class FrameReader:
    """
    Cuts a socket's byte stream into frames: ``fill()``, then ``take()`` until None, and again.

    A small frame gets memory of its own. A large one is received straight into a buffer that
    serves again for the next, unless an array on it is still referred to: what a model or a
    caller keeps is never overwritten.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._scratch = bytearray(SMALL_BYTES)
        self._view = memoryview(self._scratch)
        self._start = self._end = 0
        self._large: Array = _aligned(0)
        self._large_start = self._large_filled = self._large_bytes = 0

    def fill(self) -> bool:
        """Receive once; False at the end of the stream. Raises BlockingIOError on a non-blocking socket."""
        if self._large_bytes:
            first = self._large_start + self._large_filled
            window = self._large.data[first : self._large_start + self._large_bytes]
            received = self._sock.recv_into(window)
            self._large_filled += received
        else:
            received = self._sock.recv_into(self._view[self._end :])
            self._end += received
        return received > 0

    def take(self) -> Frame | None:
        """The next frame that is complete. Raises WireError."""
        if self._large_bytes:
            return self._take_large()
        have = self._end - self._start
        total_bytes = frame_bytes(self._scratch, self._start) if have >= _PREFIX.size else SMALL_BYTES
        if total_bytes > SMALL_BYTES:
            self._begin_large(total_bytes)
            return None
        if have < total_bytes:
            self._compact()
            return None
        own = bytearray(self._view[self._start : self._start + total_bytes])
        self._start += total_bytes
        if self._start == self._end:
            self._start = self._end = 0
        return decode(own, 0, total_bytes)

    def _compact(self) -> None:
        """Move the beginning of a frame to the front, so that the rest of it has room."""
        have = self._end - self._start
        if self._start and have:
            self._scratch[:have] = self._scratch[self._start : self._end]
        self._start, self._end = 0, have

    def _begin_large(self, total_bytes: int) -> None:
        # Two: this attribute's reference and the call's argument. More: an array is still in use.
        if self._large.nbytes < total_bytes + ALIGNMENT or sys.getrefcount(self._large) > 2:
            self._large = _aligned(total_bytes)
        self._large_start = -self._large.__array_interface__["data"][0] % ALIGNMENT
        have = self._end - self._start
        self._large.data[self._large_start : self._large_start + have] = self._view[self._start : self._end]
        self._large_bytes, self._large_filled = total_bytes, have
        self._start = self._end = 0

    def _take_large(self) -> Frame | None:
        if self._large_filled < self._large_bytes:
            return None
        total_bytes, self._large_bytes = self._large_bytes, 0
        return decode(self._large.data, self._large_start, total_bytes)


def _aligned(size_bytes: int) -> Array:
    """Room for *size_bytes* from some multiple of 64 on."""
    return np.empty(size_bytes + ALIGNMENT, np.uint8)
