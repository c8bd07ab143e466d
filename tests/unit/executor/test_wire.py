"""The wire: what is encoded decodes to the same, in pieces of any size, and nothing else does."""

from __future__ import annotations

import contextlib
import socket
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from streambox.executor import wire
from streambox.executor.base import BatchErrorKind, ModelSpec, TensorSpec
from streambox.executor.options import WorkerOptions
from streambox.protocol.datatypes import NUMPY_BY_NAME

arrays = st.sampled_from(list(NUMPY_BY_NAME.values())).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)
tensors = st.dictionaries(st.text(max_size=20), arrays, max_size=4)
messages = st.one_of(
    st.builds(wire.RowsRefused, st.integers(0, 2**63 - 1), st.dictionaries(st.integers(0, 9), st.text())),
    st.builds(wire.Failed, st.integers(0, 9), st.sampled_from(BatchErrorKind), st.text(), st.booleans()),
    st.builds(wire.LoadRefused, st.text()),
    st.just(
        wire.Load(
            WorkerOptions(
                name="m", runtime="python", callable="a:b", inputs=(TensorSpec("x", "FP32", (-1, 4)),)
            )
        )
    ),
    st.just(wire.Loaded(ModelSpec((TensorSpec("x", "FP32", (-1, 4)),), (), "python", 8, True))),
)


def execute(named: dict[str, np.ndarray], batch_id: int = 1) -> bytes:
    return b"".join(wire.encode(wire.Execute(batch_id, wire.layouts(named)), named.values()))


def decode(frame: bytes) -> wire.Frame:
    assert wire.frame_bytes(frame, 0) == len(frame)
    return wire.decode(frame, 0, len(frame))


def prefix(header: bytes, body_bytes: int = 0, magic: bytes = b"SBW\x01") -> bytes:
    head = struct.pack("<4sIQ", magic, len(header), body_bytes) + header
    return head + bytes(-len(head) % 64) + bytes(body_bytes)


@given(named=tensors, batch_id=st.integers(0, 2**63 - 1))
def test_tensors_come_back_as_they_went(named, batch_id):
    message, back = decode(execute(named, batch_id))
    assert message.batch_id == batch_id
    assert list(back) == list(named)
    for name, array in named.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@given(message=messages)
def test_messages_come_back_as_they_went(message):
    assert decode(b"".join(wire.encode(message))) == (message, {})


@settings(max_examples=50)
@given(batches=st.lists(tensors, min_size=1, max_size=4), cuts=st.lists(st.integers(1, 700), min_size=1))
def test_a_stream_cut_anywhere_yields_the_same_frames(batches, cuts):
    stream = b"".join(execute(named, number) for number, named in enumerate(batches))
    ours, theirs = socket.socketpair()
    received = []
    with ours, theirs:
        reader = wire.FrameReader(theirs)
        sent = 0
        while sent < len(stream):
            size = cuts[sent % len(cuts)]
            ours.sendall(stream[sent : sent + size])
            sent += size
            assert reader.fill()
            received += iter(reader.take, None)
    assert [frame.message.batch_id for frame in received] == list(range(len(batches)))
    for frame, named in zip(received, batches, strict=True):
        assert {name: a.tobytes() for name, a in frame.tensors.items()} == {
            name: a.tobytes() for name, a in named.items()
        }


def test_each_tensor_starts_at_a_multiple_of_64_bytes():
    named = {"a": np.ones(3, np.uint8), "b": np.ones((5, 7), np.float64), "c": np.ones(1, np.bool_)}
    frame = execute(named)
    base = np.frombuffer(frame, np.uint8).__array_interface__["data"][0]
    for array in decode(frame).tensors.values():
        assert (array.__array_interface__["data"][0] - base) % 64 == 0


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (prefix(b"\x93", magic=b"HTTP"), "starts with b'HTTP'"),
        (struct.pack("<4sIQ", b"SBW\x01", 2**31, 0), "header of 2147483648"),
        (struct.pack("<4sIQ", b"SBW\x01", 0, 2**63), "body of 9223372036854775808"),
        (prefix(b"\xc1"), "bad frame"),
        (prefix(msgspec.msgpack.encode(["unknown", 1])), "bad frame"),
        (prefix(msgspec.msgpack.encode(["execute", "one", []])), "bad frame"),
        (prefix(msgspec.msgpack.encode(["execute", 1, [["x", "FP33", [1]]]]), 4), "FP33"),
        (prefix(msgspec.msgpack.encode(["execute", 1, [["x", "FP32", [-1]]]]), 4), r"\(-1,\)"),
        (prefix(msgspec.msgpack.encode(["execute", 1, [["x", "FP32", [2**62, 2**62]]]]), 4), "exceed"),
        (prefix(msgspec.msgpack.encode(["execute", 1, [["x", "FP32", [2]]]]), 4), "exceed"),
        (prefix(msgspec.msgpack.encode(["execute", 1, [["x", "FP32", [1]]]]), 8), "body of 8"),
        (
            prefix(msgspec.msgpack.encode(["execute", 1, [["x", "INT8", [0]], ["x", "INT8", [0]]]])),
            "2 tensors",
        ),
        (prefix(msgspec.msgpack.encode(["load_refused", "why"]), 64), "body of 64"),
    ],
)
def test_what_is_not_a_frame_is_refused_with_a_reason(frame, reason):
    with pytest.raises(wire.WireError, match=reason):
        wire.decode(frame, 0, wire.frame_bytes(frame, 0))


@given(noise=st.binary(min_size=16, max_size=300), at=st.integers(0, 200))
def test_damage_anywhere_is_a_wire_error_or_harmless(noise, at):
    frame = bytearray(execute({"x": np.arange(32, dtype=np.float32)}))
    frame[at : at + len(noise)] = noise[: max(0, len(frame) - at)]
    try:
        total_bytes = wire.frame_bytes(frame, 0)
        if total_bytes == len(frame):
            wire.decode(frame, 0, total_bytes)
    except wire.WireError:
        return


class LargeFrames:
    """A reader fed through a real socket with frames too large for its scratch memory."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.reader = wire.FrameReader(theirs)

    def receive(self, value: float) -> np.ndarray:
        pieces = wire.encode(*_large(value))
        self.ours.setblocking(False)
        while True:
            with contextlib.suppress(BlockingIOError):
                pieces = wire.send(self.ours, pieces) if pieces else pieces
            self.reader.fill()
            if (frame := self.reader.take()) is not None:
                assert not pieces
                return frame.tensors["x"]


def _large(value: float):
    named = {"x": np.full((10, 50_000), value, np.float32)}
    return wire.Execute(1, wire.layouts(named)), named.values()


def test_a_large_frame_arrives_aligned_and_its_memory_serves_again():
    frames = LargeFrames()
    first = frames.receive(1)
    address = first.__array_interface__["data"][0]
    assert address % 64 == 0
    assert (first == 1).all()
    del first
    assert frames.receive(2).__array_interface__["data"][0] == address


def test_an_array_that_is_kept_is_never_overwritten():
    frames = LargeFrames()
    kept = frames.receive(1)[3:5].T
    assert (frames.receive(2) == 2).all()
    assert (kept == 1).all()


def test_large_arrays_are_referred_to_and_small_frames_joined():
    message, named = _large(1)
    pieces = wire.encode(message, named)
    assert len(pieces) == 2
    assert np.shares_memory(np.asarray(pieces[1]), next(iter(named)))
    small = {"x": np.ones((32, 4), np.float32)}
    assert len(wire.encode(wire.Execute(1, wire.layouts(small)), small.values())) == 1


def test_an_array_that_is_not_contiguous_is_refused():
    named = {"x": np.ones((4, 4), np.float32).T[:2]}
    with pytest.raises(ValueError, match="not C-contiguous"):
        wire.encode(wire.Execute(1, wire.layouts(named)), named.values())


@given(sizes=st.lists(st.integers(0, 9), max_size=6), sent=st.integers(0, 60))
def test_remaining_is_what_was_not_sent(sizes, sent):
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    assert b"".join(wire.remaining(pieces, sent)) == b"".join(pieces)[sent:]
