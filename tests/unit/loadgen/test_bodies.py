"""Bodies as each API writes them, and answers as each API writes them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.executor.base import ModelSpec, TensorSpec
from streambox.loadgen.answers import UNREADABLE, BatchFacts, read_oip, read_oip_binary
from streambox.loadgen.bodies import oip_body
from streambox.loadgen.inputs import InputSpec
from streambox.protocol import oip

SPEC = ModelSpec((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),), "test")
ROW = {"x": np.array([[1.5, -2.0]], np.float32)}


def whole(body, index=7):
    return (b"%010d" % index).join(body.pieces)


def json_bytes(body):
    lines = dict(line.split(": ") for line in body.headers)
    return int(lines["Inference-Header-Content-Length"]) if len(lines) > 1 else None


@pytest.mark.parametrize("binary", [False, True])
def test_our_own_server_reads_what_is_written(binary):
    body = oip_body(ROW, binary=binary)
    call = oip.decode_infer(whole(body), SPEC, "m", json_bytes(body))
    assert call.id == "0000000007"
    assert call.inputs["x"].tolist() == [[1.5, -2.0]]
    assert call.outputs[0].binary is binary


def test_several_inputs_stand_one_behind_the_other():
    inputs = {"a": np.array([[1, 2]], np.int64), "b": np.array([[True]], np.bool_)}
    body = oip_body(inputs, binary=True)
    raw = whole(body)[json_bytes(body) :]
    assert raw == np.array([1, 2], "<i8").tobytes() + b"\x01"


ROWS = [
    ((-1, 2, 2), [1, 2, 3, 4], (1, 2, 2), "flat values take the input's shape"),
    ((-1, -1), [1, 2, 3], (1, 3), "one open dimension takes what there is"),
    ((-1, -1, 2), [1, 2, 3, 4], (1, 2, 2), "and so beside a fixed one"),
    ((-1, -1, -1), [[1, 2]], (1, 1, 2), "several take the values' own shape"),
    ((-1,), [5], (1,), "an input of single numbers"),
]


@pytest.mark.parametrize(("shape", "values", "found", "why"), ROWS, ids=[row[-1] for row in ROWS])
def test_a_row_takes_the_models_shape(shape, values, found, why):
    assert InputSpec("x", "FP32", shape).row(np.array(values)).shape == found


@pytest.mark.parametrize(
    ("shape", "datatype", "reason"),
    [((-1, 2), "FP32", "takes rows of [2], got 3 values"), ((-1, 3), "BYTES", "cannot be sent")],
)
def test_a_row_that_does_not_fit_is_refused(shape, datatype, reason):
    with pytest.raises(UsageError) as error:
        InputSpec("x", datatype, shape).row(np.array([1, 2, 3]))
    assert reason in str(error.value)


def test_an_answer_in_json_is_read_flat_or_nested():
    for data in ([1, 2], [[1, 2]]):
        reply = {"id": "5", "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": data}]}
        answer = read_oip(json.dumps(reply).encode())
        assert (answer.request_id, answer.batch, answer.row()) == ("5", None, [1, 2])


def test_a_binary_answer_is_read_where_its_json_ends():
    tensor = {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    parameters = {"batch_id": 3, "batch_size": 4, "wait_ms": 1.5, "service_ms": 0.5, "batch_reason": "drain"}
    head = json.dumps({"id": "5", "outputs": [tensor], "parameters": parameters}).encode()
    answer = read_oip_binary(head + np.array([0.5, -1], "<f4").tobytes())
    assert (answer.request_id, answer.row()) == ("5", [0.5, -1])
    assert answer.batch == BatchFacts(3, 4, 1.5, 0.5, "drain")


def test_a_server_that_answers_json_to_a_binary_request_is_understood():
    tensor = {"name": "y", "datatype": "INT64", "shape": [1, 2], "data": [4, 5]}
    assert read_oip_binary(json.dumps({"id": "5", "outputs": [tensor]}).encode()).row() == [4, 5]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"id": "5"}', b'{"outputs": 3}', b"\xff\x00", b'{"outputs": []}', b"[" * 5000],
)
def test_what_is_no_answer_is_unreadable_and_nothing_else(body):
    for read in (read_oip, read_oip_binary):
        with pytest.raises(UNREADABLE):
            read(body).row()
