"""Wire formats under any input: what goes in comes out, and garbage is a bad request, never anything else."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambox.errors import BadRequest
from streambox.executor.base import ModelSpec, TensorSpec
from streambox.protocol import oip, reference
from streambox.protocol.datatypes import NAME_BY_NUMPY, NUMPY_BY_NAME
from streambox.protocol.diagnose import path_at, top_level_string
from streambox.protocol.replies import BatchFacts

FACTS = BatchFacts(1, 8, "batchsize", 0.0, 0.125)
FINITE = {"allow_nan": False, "allow_infinity": False}

shapes = st.tuples(st.integers(1, 6), *[st.integers(1, 3)] * 2)
arrays = st.sampled_from(list(NUMPY_BY_NAME.values())).flatmap(
    lambda dtype: hnp.arrays(dtype, shapes, elements=FINITE if dtype.kind == "f" else None)
)
# Text that msgspec can encode: any but lone surrogates.
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def spec_of(array: np.ndarray[Any, Any]) -> ModelSpec:
    tensor = TensorSpec("x", NAME_BY_NUMPY[array.dtype], (-1, *array.shape[1:]))
    return ModelSpec((tensor,), (tensor,), "python")


def header(array: np.ndarray[Any, Any], **members: Any) -> bytes:
    described = {"name": "x", "datatype": NAME_BY_NUMPY[array.dtype], "shape": array.shape, **members}
    return json.dumps({"inputs": [described]}).encode()


@settings(deadline=None)
@given(arrays)
def test_flat_nested_and_binary_inputs_are_the_same(array: np.ndarray[Any, Any]) -> None:
    spec = spec_of(array)
    raw = array.tobytes()
    binary = header(array, parameters={"binary_data_size": len(raw)})
    calls = [
        oip.decode_infer(header(array, data=array.tolist()), spec, "m", None),
        oip.decode_infer(header(array, data=array.ravel().tolist()), spec, "m", None),
        oip.decode_infer(binary + raw, spec, "m", len(binary)),
    ]
    for call in calls:
        assert call.rows == len(array)
        np.testing.assert_array_equal(call.inputs["x"], array, strict=True)


@settings(deadline=None)
@given(arrays, st.booleans())
def test_a_reply_read_as_a_request_gives_the_outputs_back(array: np.ndarray[Any, Any], binary: bool) -> None:
    spec = spec_of(array)
    call = oip.InferCall("i", {}, (oip.RequestedOutput("x", binary),), {}, len(array), None)
    reply = oip.encode_infer_reply(call, "m", FACTS, {"x": array})
    length = reply.header_length
    document = json.loads(reply.body[:length])
    again = json.dumps({"inputs": document["outputs"]}).encode()
    raw = reply.body[length:] if length is not None else b""
    back = oip.decode_infer(again + raw, spec, "m", len(again))
    np.testing.assert_array_equal(back.inputs["x"], array, strict=True)


@settings(deadline=None)
@given(st.lists(arrays.map(lambda array: array[:4]), min_size=1, max_size=4))
def test_binary_inputs_are_split_as_they_were_joined(parts: list[np.ndarray[Any, Any]]) -> None:
    rows = min(len(part) for part in parts)
    named = {f"x{index}": part[:rows] for index, part in enumerate(parts)}
    tensors = tuple(
        TensorSpec(name, NAME_BY_NUMPY[array.dtype], (-1, *array.shape[1:])) for name, array in named.items()
    )
    described = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": named[tensor.name].shape,
            "parameters": {"binary_data_size": named[tensor.name].nbytes},
        }
        for tensor in tensors
    ]
    head = json.dumps({"inputs": described}).encode()
    body = head + b"".join(array.tobytes() for array in named.values())
    call = oip.decode_infer(body, ModelSpec(tensors, tensors, "python"), "m", len(head))
    for name, array in named.items():
        np.testing.assert_array_equal(call.inputs[name], array, strict=True)


@settings(deadline=None)
@given(arrays, names, st.data())
def test_each_request_of_a_batch_gets_its_own_rows(
    array: np.ndarray[Any, Any], request_id: str, data: Any
) -> None:
    template = reference.ReplyTemplate("m", FACTS, {"y": array})
    first_row = data.draw(st.integers(0, len(array) - 1))
    rows = data.draw(st.integers(1, len(array) - first_row))
    reply = json.loads(template.render(request_id, first_row, rows))
    assert reply["request_id"] == request_id
    mine = array[first_row : first_row + rows] if rows > 1 else array[first_row]
    np.testing.assert_array_equal(np.array(reply["output"], array.dtype), mine, strict=True)


@settings(deadline=None)
@given(names, names, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8))
def test_a_reference_request_comes_out_as_it_went_in(
    request_id: str, model: str, vector: list[float]
) -> None:
    body = json.dumps({"request_id": request_id, "model": model, "data": {"vector": vector}}).encode()
    request = reference.decode(body)
    assert (request.request_id, request.model, request.vector) == (request_id, model, vector)


# ---- garbage ------------------------------------------------------------------------------------

WHOLE = {
    "request_id": "a",
    "model": "m",
    "data": {"vector": [1.5, 2, -3]},
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[1.5, 2]], "parameters": {"a": 1}}
    ],
    "outputs": [{"name": "x", "parameters": {"binary_data": False}}],
    "parameters": {"timeout": 1, "binary_data_output": False},
}
SPEC = ModelSpec((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("x", "FP32", (-1, 2)),), "python")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good body with a few bytes put in place of others."""
    body = json.dumps(WHOLE).encode()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 6)))
        filling = draw(
            st.sampled_from([b"NaN", b"nan", b"-Infinity", b'"', b"[", b"]", b"{", b"1e999", b"\xff", b"\\u"])
        )
        body = body[:start] + draw(st.just(filling) | st.binary(max_size=4)) + body[stop:]
    return body


@st.composite
def misshapen(draw: st.DrawFn) -> bytes:
    """A good body with one member, anywhere in it, replaced by any JSON value."""
    body = json.loads(json.dumps(WHOLE))
    parent: Any = body
    while True:
        key = draw(st.sampled_from(list(parent) if isinstance(parent, dict) else range(len(parent))))
        if not isinstance(parent[key], dict | list) or not parent[key] or draw(st.booleans()):
            break
        parent = parent[key]
    parent[key] = draw(json_values)
    return json.dumps(body).encode()


bodies = (
    st.binary(max_size=60)
    | damaged()
    | misshapen()
    | json_values.map(lambda value: json.dumps(value).encode())
)


def complain(error: BadRequest) -> None:
    message = str(error)
    assert message
    assert message.isprintable(), "one line, nothing that a terminal or a log would trip over"
    assert len(message) < 500
    reference.encode_error(error, error.request_id)
    oip.encode_error(error)


@settings(max_examples=600, deadline=None)
@given(bodies)
def test_any_body_is_a_reference_request_or_a_bad_request(body: bytes) -> None:
    try:
        request = reference.decode(body)
        reference.VectorRule(SPEC).check(request.vector)
    except BadRequest as error:
        complain(error)


@settings(max_examples=600, deadline=None)
@given(bodies, st.none() | st.integers(0, 400))
def test_any_body_is_an_inference_call_or_a_bad_request(body: bytes, header_length: int | None) -> None:
    try:
        call = oip.decode_infer(body, SPEC, "m", header_length)
    except BadRequest as error:
        complain(error)
    else:
        assert call.inputs["x"].shape == (call.rows, 2)


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 100))
def test_rubbish_has_some_path(body: bytes, offset: int) -> None:
    path_at(body, offset)
    top_level_string(body, "request_id")


keys = names.filter(lambda name: "NaN" not in name)
trees = st.recursive(
    st.just(0),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(keys, inner, min_size=1, max_size=3)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(trees, st.data())
def test_the_path_to_a_nan_is_the_one_it_was_put_at(tree: Any, data: Any) -> None:
    document = parent = {"data": tree}
    steps: list[str | int] = ["data"]
    while isinstance(parent[steps[-1]], dict | list):
        parent = parent[steps[-1]]
        choices = list(parent) if isinstance(parent, dict) else range(len(parent))
        steps.append(data.draw(st.sampled_from(choices)))
    parent[steps[-1]] = float("nan")
    body = json.dumps(document).encode()
    assert path_at(body, body.index(b"NaN")) == steps


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65])
def test_a_body_cut_anywhere_is_a_bad_request(size: int) -> None:
    body = json.dumps(WHOLE).encode()
    with pytest.raises(BadRequest, match=r"malformed JSON|empty"):
        reference.decode(body[:size])
