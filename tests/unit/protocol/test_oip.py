"""Open Inference Protocol: what is taken, what is refused and in which words, what is answered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from streambox.errors import BadModelOutput, BadRequest
from streambox.executor.base import ModelSpec, TensorSpec
from streambox.protocol import oip
from streambox.protocol.replies import BatchFacts

FACTS = BatchFacts(17, 4, "timewindow", 5.25, 0.5)
ONE = ModelSpec(
    (TensorSpec("x", "FP32", (-1, 2)),),
    (TensorSpec("y", "FP32", (-1, 2)), TensorSpec("label", "INT64", (-1,))),
    "onnxruntime_onnx",
)
TWO = ModelSpec((TensorSpec("a", "INT8", (-1, 1)), TensorSpec("b", "FP32", (-1, -1))), ONE.outputs, "python")


def model(datatype: str, *dims: int) -> ModelSpec:
    return ModelSpec((TensorSpec("x", datatype, (-1, *dims)),), ONE.outputs, "python")


def tensor(**changed: Any) -> dict[str, Any]:
    """The input of ``ONE``, with some members changed, and without those that are None."""
    whole = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changed}
    return {key: value for key, value in whole.items() if value is not None}


def decode(
    *inputs: dict[str, Any], spec: ModelSpec = ONE, raw: bytes | None = None, **members: Any
) -> oip.InferCall:
    header = json.dumps({"inputs": inputs, **members}).encode()
    if raw is None:
        return oip.decode_infer(header, spec, "m", None)
    return oip.decode_infer(header + raw, spec, "m", len(header))


# ---- requests that are taken --------------------------------------------------------------------


def test_the_least_request_asks_for_all_outputs_as_json() -> None:
    call = decode(tensor())
    assert (call.id, call.parameters, call.rows, call.timeout_us) == (None, {}, 1, None)
    assert call.outputs == (oip.RequestedOutput("y", False), oip.RequestedOutput("label", False))
    np.testing.assert_array_equal(call.inputs["x"], np.array([[1, 2]], np.float32), strict=True)


def test_id_parameters_and_timeout_are_kept() -> None:
    call = decode(tensor(), id="7", parameters={"timeout": 1500, "a": "b", "c": True, "d": 0.5})
    assert (call.id, call.timeout_us) == ("7", 1500)
    assert call.parameters == {"timeout": 1500, "a": "b", "c": True, "d": 0.5}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"id": None, "parameters": None, "outputs": None}, id="null for what may be absent"),
        pytest.param({"id": "", "parameters": {}, "outputs": []}, id="empty for what may be absent"),
        pytest.param({"parameters": {"timeout": 0, "sequence_id": 0}}, id="a time-out of 0, the model's own"),
        pytest.param({"extra": [{}]}, id="members that nobody knows"),
    ],
)
def test_what_may_be_absent_may_be_empty(members: dict[str, Any]) -> None:
    call = decode(tensor(), **members)
    assert (call.id, call.timeout_us, len(call.outputs)) == (None, None, 2)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        pytest.param("BOOL", [True, False], id="booleans"),
        pytest.param("UINT8", [0, 255], id="bytes"),
        pytest.param("INT64", [-(2**63), 2**63 - 1], id="long integers, exact"),
        pytest.param("UINT64", [0, 2**64 - 1], id="unsigned long integers, exact"),
        pytest.param("FP16", [65504.0, 0.1], id="half floats, up to their largest"),
        pytest.param("FP32", [3.4028234663852886e38, 7], id="floats, and integers for them"),
        pytest.param("FP64", [1.7976931348623157e308, 5e-324], id="doubles, to their ends"),
    ],
)
def test_json_values_become_the_models_datatype(datatype: str, values: list[Any]) -> None:
    call = decode(tensor(datatype=datatype, data=values), spec=model(datatype, 2))
    expected = np.array([values], oip_dtype(datatype))
    np.testing.assert_array_equal(call.inputs["x"], expected, strict=True)


def oip_dtype(datatype: str) -> str:
    return {
        "BOOL": "?",
        "UINT8": "u1",
        "INT64": "i8",
        "UINT64": "u8",
        "FP16": "f2",
        "FP32": "f4",
        "FP64": "f8",
    }[datatype]


def test_indented_nested_values_are_taken() -> None:
    pretty = json.dumps({"inputs": [tensor(shape=[2, 2], data=[[1, 2], [3, 4]])]}, indent=8).encode()
    assert oip.decode_infer(pretty, ONE, "m", None).inputs["x"].tolist() == [[1, 2], [3, 4]]


def test_binary_and_json_inputs_mix_in_any_order() -> None:
    b = {"name": "b", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
    a = {"name": "a", "shape": [2, 1], "datatype": "INT8", "data": [1, -1]}
    values = np.arange(6, dtype="<f4")
    for inputs in ((a, b), (b, a)):
        call = decode(*inputs, spec=TWO, raw=values.tobytes())
        assert call.rows == 2
        assert call.inputs["a"].tolist() == [[1], [-1]]
        np.testing.assert_array_equal(call.inputs["b"], values.reshape(2, 3), strict=True)


def test_binary_inputs_are_views_and_may_hold_what_json_cannot() -> None:
    raw = np.array([np.nan, np.inf], "<f4").tobytes()
    call = decode(tensor(data=None, parameters={"binary_data_size": 8}), raw=raw)
    assert not call.inputs["x"].flags.owndata
    assert np.isnan(call.inputs["x"][0, 0])


def test_null_for_the_values_of_a_binary_input_is_none() -> None:
    described = {**tensor(parameters={"binary_data_size": 8}), "data": None}
    assert decode(described, raw=bytes(8)).inputs["x"].tolist() == [[0, 0]]


def test_a_binary_request_may_carry_json_alone() -> None:
    assert decode(tensor(), raw=b"").rows == 1


@pytest.mark.parametrize(
    ("members", "binary"),
    [
        pytest.param({"outputs": [{"name": "label"}]}, {"label": False}, id="JSON unless asked otherwise"),
        pytest.param(
            {"parameters": {"binary_data_output": True}}, {"y": True, "label": True}, id="all as binary"
        ),
        pytest.param(
            {"outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "y"}]},
            {"label": True, "y": False},
            id="one of them, in the order asked for",
        ),
        pytest.param(
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "y", "parameters": {"binary_data": False}}, {"name": "label"}],
            },
            {"y": False, "label": True},
            id="an output's own word wins over the request's",
        ),
    ],
)
def test_outputs_are_binary_as_asked(members: dict[str, Any], binary: dict[str, bool]) -> None:
    assert [(output.name, output.binary) for output in decode(tensor(), **members).outputs] == list(
        binary.items()
    )


# ---- requests that are refused ------------------------------------------------------------------


def refusal(*inputs: dict[str, Any], **members: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        decode(*inputs, **members)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "body: empty, expected JSON", id="nothing"),
        pytest.param(b"{}", "inputs: missing, and required", id="no inputs"),
        pytest.param(b'{"inputs":{}}', "inputs: expected an array, got object", id="inputs by name"),
        pytest.param(b'{"inputs":[{"name":"x"}]}', "inputs[0].shape: missing, and required", id="no shape"),
        pytest.param(b'{"inputs":[],"id":7}', "id: expected a string, got int", id="an id that is a number"),
        pytest.param(
            b'{"inputs":[{"name":"x","shape":[1.5]}]}',
            "inputs[0].shape[0]: expected an integer, got float",
            id="shape",
        ),
        pytest.param(
            b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,NaN]}]}',
            "inputs[0].data[1] is NaN, which JSON does not have",
            id="a NaN literal",
        ),
        pytest.param(
            b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[[1,-Infinity]]}]}',
            "inputs[0].data[0][1] is -Infinity, which JSON does not have",
            id="an infinity, nested",
        ),
        pytest.param(
            b'{"inputs":[{"name":"x","data":' + b"[" * 100_000, "body: nested too deeply", id="deep nesting"
        ),
    ],
)
def test_a_body_of_another_form_is_refused_by_name_of_the_field(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        oip.decode_infer(body, ONE, "m", None)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"name": "z"}, "input 'z' is unknown: model 'm' takes 'x'", id="a name the model lacks"),
        pytest.param(
            {"datatype": "FP64"}, "input 'x': datatype is 'FP64', expected FP32", id="another datatype"
        ),
        pytest.param({"datatype": "fp32"}, "input 'x': datatype is 'fp32', expected FP32", id="lower case"),
        pytest.param({"datatype": "BF16"}, "datatype BF16 is not supported yet by this model", id="bfloat16"),
        pytest.param(
            {"datatype": "BYTES"}, "datatype BYTES is not supported yet by this model", id="strings"
        ),
        pytest.param({"shape": [2]}, "input 'x': shape is [2], expected [-1, 2]", id="a rank too low"),
        pytest.param({"shape": []}, "input 'x': shape is [], expected [-1, 2]", id="no shape"),
        pytest.param(
            {"shape": [1, 3]}, "input 'x': shape is [1, 3], expected [-1, 2]", id="other dimensions"
        ),
        pytest.param(
            {"shape": [-1, 2]}, "input 'x': shape is [-1, 2], expected [-1, 2]", id="a negative row count"
        ),
        pytest.param({"shape": [0, 2], "data": []}, "input 'x': shape is [0, 2]", id="no rows"),
        pytest.param(
            {"shape": [10**18, 2]}, "has 2 values, but its shape [1000000000000000000, 2]", id="huge"
        ),
        pytest.param(
            {"shape": [10**400, 3]}, "input 'x': shape is [10000000000000000000…, 3]", id="absurdly huge"
        ),
        pytest.param({"shape": [1] * 90}, "shape is [1, 1, 1, 1, 1, 1, 1, 1, …]", id="a rank beyond numpy's"),
        pytest.param({"data": None}, "input 'x': neither data nor binary_data_size is given", id="no values"),
        pytest.param({"data": []}, "input 'x' data has 0 values, but its shape [1, 2] takes 2", id="empty"),
        pytest.param(
            {"data": [1]}, "input 'x' data has 1 values, but its shape [1, 2] takes 2", id="too few"
        ),
        pytest.param({"data": [1, 2, 3]}, "input 'x' data has 3 values", id="too many"),
        pytest.param({"data": 5}, "input 'x' data: not an array, expected a flat array", id="a number"),
        pytest.param({"data": "AAA="}, "input 'x' data: not an array", id="a string"),
        pytest.param(
            {"data": [1, "2"]}, "input 'x' data[1]: expected a number, got str", id="a string in it"
        ),
        pytest.param(
            {"data": [1, None]}, "input 'x' data[1]: expected a number, got null", id="a null in it"
        ),
        pytest.param(
            {"data": [1, True]}, "input 'x' data[1]: expected a number, got bool", id="a boolean in it"
        ),
        pytest.param({"data": [1, [2]]}, "input 'x' data[1]: expected a number, got array", id="half nested"),
        pytest.param({"data": [[1], 2]}, "input 'x' data[1]: expected an array, got int", id="half flat"),
        pytest.param(
            {"data": [[[1, 2]]]}, "input 'x' data: nested 3 deep, expected a flat array", id="too deep"
        ),
        pytest.param(
            {"data": [[1], [2]]}, "data is nested as [2, 1], but its shape is [1, 2]", id="transposed"
        ),
        pytest.param(
            {"shape": [2, 2], "data": [[1, 2], [3]]},
            "input 'x' data: its nesting is ragged, expected shape",
            id="ragged",
        ),
        pytest.param({"data": [0, 1e39]}, "input 'x' data[1]: 1e+39 is out of range for FP32", id="overflow"),
        pytest.param(
            {"data": [[0, -1e39]]}, "data[0][1]: -1e+39 is out of range for FP32", id="overflow, nested"
        ),
        pytest.param(
            {"data": [0, 10**400]}, "input 'x' data[1]: the number is too large", id="beyond any float"
        ),
        pytest.param(
            {"parameters": {"shared_memory_region": "r"}, "data": None},
            "shared memory is not supported",
            id="shared",
        ),
        pytest.param(
            {"parameters": {"a": []}}, "input 'x' parameters['a']: expected a string, a number", id="list"
        ),
        pytest.param(
            {"parameters": {"binary_data_size": 8}}, "data and binary_data_size exclude each other", id="both"
        ),
        pytest.param(
            {"parameters": {"binary_data_size": 8}, "data": None},
            "binary_data_size needs the HTTP header Inference-Header-Content-Length",
            id="binary without its header",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_name(changed: dict[str, Any], message: str) -> None:
    assert message in refusal(tensor(**changed))


@pytest.mark.parametrize(
    ("datatype", "values", "message"),
    [
        pytest.param(
            "FP16", [0, 70000], "data[1]: 70000.0 is out of range for FP16", id="beyond half floats"
        ),
        pytest.param("UINT8", [256, 0], "data[0]: 256 is out of range for UINT8", id="beyond bytes"),
        pytest.param("UINT64", [-1, 0], "data[0]: -1 is out of range for UINT64", id="below zero"),
        pytest.param("INT64", [0, 2**63], "data[1]: 9223372036854775808 is out of range", id="beyond long"),
        pytest.param("INT64", [0, 10**100], f"data[1]: 1{'0' * 39}… is out of range", id="shortened"),
        pytest.param(
            "INT32", [1.0, 2], "data[0]: expected an integer, got float", id="a float for an integer"
        ),
        pytest.param(
            "INT32", [1, False], "data[1]: expected an integer, got bool", id="a boolean for an integer"
        ),
        pytest.param("BOOL", [1, 0], "data[0]: expected true or false, got int", id="numbers for booleans"),
    ],
)
def test_a_value_out_of_its_datatypes_range_is_refused(
    datatype: str, values: list[Any], message: str
) -> None:
    assert f"input 'x' {message}" in refusal(tensor(datatype=datatype, data=values), spec=model(datatype, 2))


@pytest.mark.parametrize(
    ("changed", "raw", "message"),
    [
        pytest.param({"binary_data_size": 7}, bytes(7), "FP32 of shape [1, 2] takes 8 bytes", id="too few"),
        pytest.param({"binary_data_size": 9}, bytes(9), "FP32 of shape [1, 2] takes 8 bytes", id="too many"),
        pytest.param(
            {"binary_data_size": 8}, bytes(6), "the body ends 2 bytes before its binary data", id="short"
        ),
        pytest.param({"binary_data_size": 8}, bytes(9), "body: 1 bytes are left over", id="left over"),
        pytest.param(
            {"binary_data_size": -8}, bytes(8), "expected a number of bytes, got '-8'", id="negative"
        ),
        pytest.param(
            {"binary_data_size": True}, bytes(8), "expected a number of bytes, got 'True'", id="boolean"
        ),
        pytest.param({"binary_data_size": "8"}, bytes(8), "expected a number of bytes, got '8'", id="string"),
    ],
)
def test_binary_values_must_fill_their_shape_and_the_body(
    changed: dict[str, Any], raw: bytes, message: str
) -> None:
    assert message in refusal(tensor(data=None, parameters=changed), raw=raw)


def test_a_binary_boolean_is_0_or_1() -> None:
    flags = tensor(datatype="BOOL", data=None, parameters={"binary_data_size": 2})
    assert decode(flags, spec=model("BOOL", 2), raw=b"\0\1").inputs["x"].tolist() == [[False, True]]
    assert "neither 0 nor 1" in refusal(flags, spec=model("BOOL", 2), raw=b"\0\2")


def test_a_header_longer_than_the_body_is_refused() -> None:
    with pytest.raises(
        BadRequest, match=r"^Inference-Header-Content-Length is 9, but the body has only 2 bytes$"
    ):
        oip.decode_infer(b"{}", ONE, "m", 9)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param([], "input 'a' is missing: model 'm' needs it", id="none"),
        pytest.param(["a"], "input 'b' is missing: model 'm' needs it", id="one missing"),
        pytest.param(["a", "a", "b"], "input 'a' is given twice", id="one given twice"),
        pytest.param(
            ["a", "b3"], "input 'b' has 3 rows, expected 1, as input 'a' has", id="rows that disagree"
        ),
    ],
)
def test_each_input_comes_once_with_as_many_rows(inputs: list[str], message: str) -> None:
    known = {
        "a": {"name": "a", "shape": [1, 1], "datatype": "INT8", "data": [1]},
        "b": {"name": "b", "shape": [1, 1], "datatype": "FP32", "data": [1]},
        "b3": {"name": "b", "shape": [3, 1], "datatype": "FP32", "data": [1, 2, 3]},
    }
    assert refusal(*(known[name] for name in inputs), spec=TWO) == message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        pytest.param(
            {"outputs": [{"name": "z"}]}, "output 'z' is unknown: model 'm' gives 'y', 'label'", id="name"
        ),
        pytest.param({"outputs": [{"name": "y"}] * 2}, "output 'y' is requested twice", id="twice"),
        pytest.param(
            {"outputs": [{"name": "y", "parameters": {"classification": 3}}]},
            "output 'y' parameters.classification: not supported",
            id="classification",
        ),
        pytest.param(
            {"outputs": [{"name": "y", "parameters": {"binary_data": 1}}]},
            "output 'y' parameters.binary_data: expected true or false, got '1'",
            id="binary_data that is no boolean",
        ),
        pytest.param(
            {"parameters": {"binary_data_output": "yes"}},
            "parameters.binary_data_output: expected true",
            id="yes",
        ),
        pytest.param(
            {"parameters": {"timeout": -1}}, "parameters.timeout: expected a whole number", id="negative"
        ),
        pytest.param(
            {"parameters": {"timeout": 1.5}}, "parameters.timeout: expected a whole number", id="fraction"
        ),
        pytest.param(
            {"parameters": {"timeout": True}}, "parameters.timeout: expected a whole number", id="true"
        ),
        pytest.param(
            {"parameters": {"a\n": {}}}, r"parameters['a\n']: expected a string, a number", id="object"
        ),
    ],
)
def test_parameters_and_outputs_that_make_no_sense_are_refused(members: dict[str, Any], message: str) -> None:
    assert refusal(tensor(), **members).startswith(message)


# ---- replies ------------------------------------------------------------------------------------

OUTPUTS = {"y": np.array([[0.5, 0.25]], np.float32), "label": np.array([3])}


def test_a_reply_holds_the_outputs_flat_and_the_batchs_facts() -> None:
    reply = oip.encode_infer_reply(decode(tensor(), id="7"), "m", FACTS, OUTPUTS)
    assert reply.header_length is None
    assert json.loads(reply.body) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "parameters": {
            "batch_id": 17,
            "batch_size": 4,
            "batch_reason": "timewindow",
            "wait_ms": 5.25,
            "service_ms": 0.5,
        },
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25]},
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [3]},
        ],
    }


def test_without_an_id_the_reply_has_none() -> None:
    assert "id" not in json.loads(oip.encode_infer_reply(decode(tensor()), "m", FACTS, OUTPUTS).body)


def test_binary_outputs_follow_the_json_in_their_order() -> None:
    call = decode(tensor(), outputs=[{"name": "label", "parameters": {"binary_data": True}}, {"name": "y"}])
    reply = oip.encode_infer_reply(call, "m", FACTS, OUTPUTS)
    header = json.loads(reply.body[: reply.header_length])
    assert header["outputs"] == [
        {"name": "label", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}},
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25]},
    ]
    assert reply.body[reply.header_length :] == (3).to_bytes(8, "little")


def test_a_binary_output_need_not_be_contiguous() -> None:
    call = decode(tensor(), parameters={"binary_data_output": True}, outputs=[{"name": "y"}])
    values = np.arange(8, dtype=">f4").reshape(2, 4)[:, ::2].astype("f4", order="F")
    reply = oip.encode_infer_reply(call, "m", FACTS, {"y": values})
    assert np.frombuffer(reply.body[reply.header_length :], "<f4").tolist() == [0, 2, 4, 6]


def test_a_half_float_is_said_exactly() -> None:
    call = decode(tensor(), outputs=[{"name": "y"}])
    values = np.array([[0.1, 65504.0]], np.float16)
    described = json.loads(oip.encode_infer_reply(call, "m", FACTS, {"y": values}).body)["outputs"][0]
    assert described["datatype"] == "FP16"
    assert described["data"] == [0.0999755859375, 65504.0]


def test_an_output_that_is_not_finite_fails_as_json_and_passes_as_binary() -> None:
    outputs = {"y": np.array([[np.nan, np.inf]], np.float32)}
    as_json = decode(tensor(), outputs=[{"name": "y"}])
    with pytest.raises(BadModelOutput, match=r"^output 'y' of this request is not finite"):
        oip.encode_infer_reply(as_json, "m", FACTS, outputs)
    as_binary = decode(tensor(), outputs=[{"name": "y", "parameters": {"binary_data": True}}])
    reply = oip.encode_infer_reply(as_binary, "m", FACTS, outputs)
    assert reply.body[reply.header_length :] == outputs["y"].tobytes()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        pytest.param({}, "the model gave no output 'y'", id="an output missing"),
        pytest.param(
            {"y": np.zeros((1, 1), complex)}, "output 'y' has the datatype complex128", id="complex"
        ),
    ],
)
def test_an_output_that_the_protocol_cannot_say_is_refused(outputs: dict[str, Any], message: str) -> None:
    with pytest.raises(BadModelOutput, match=message):
        oip.encode_infer_reply(decode(tensor(), outputs=[{"name": "y"}]), "m", FACTS, outputs)


def test_the_documents() -> None:
    assert json.loads(oip.server_metadata("0.1.0")) == {
        "name": "streambox",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data"],
    }
    assert json.loads(oip.model_metadata("m", ONE)) == {
        "name": "m",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "label", "datatype": "INT64", "shape": [-1]},
        ],
    }
    assert json.loads(oip.server_live(True)) == {"live": True}
    assert json.loads(oip.server_ready(False)) == {"ready": False}
    assert json.loads(oip.model_ready("m", True)) == {"name": "m", "ready": True}
    assert json.loads(oip.encode_error(BadRequest("no 'x'"))) == {"error": "no 'x'"}
