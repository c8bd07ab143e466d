"""The reference API's bodies: what is taken, what is refused and in which words, what is answered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from streambox.errors import BadModelOutput, BadRequest, QueueFull
from streambox.executor.base import ModelSpec, TensorSpec
from streambox.protocol import reference
from streambox.protocol.replies import BatchFacts

FACTS = BatchFacts(17, 4, "timewindow", 5.25, 0.5)


def body(vector: str, request_id: str = '"a"') -> bytes:
    return f'{{"request_id":{request_id},"model":"m","data":{{"vector":{vector}}}}}'.encode()


def spec(*dims: int, datatype: str = "FP32", tile: bool = False) -> ModelSpec:
    return ModelSpec((TensorSpec("x", datatype, (-1, *dims)),), (), "python", tile=tile)


# ---- decode -------------------------------------------------------------------------------------


def test_a_request_is_read_whole() -> None:
    request = reference.decode(
        b'{"request_id": "0", "model": "resnet50", "data": {"vector": [1, 2.5, -3e2, 99]}}\n'
    )
    assert (request.request_id, request.model) == ("0", "resnet50")
    assert request.vector == request.data.vector == [1.0, 2.5, -300.0, 99.0]


def test_unknown_fields_are_ignored() -> None:
    request = reference.decode(b'{"v":{"x":[1]},"request_id":"0","model":"m","data":{"t":null,"vector":[1]}}')
    assert request.vector == [1.0]


def test_the_last_of_two_equal_keys_counts() -> None:
    request = reference.decode(
        b'{"request_id":"a","request_id":"b","model":"m","data":{"vector":[1],"vector":[2]}}'
    )
    assert (request.request_id, request.vector) == ("b", [2.0])


def test_a_body_that_came_in_pieces_is_taken_as_it_was_gathered() -> None:
    assert reference.decode(bytearray(body("[1]"))).vector == [1.0]
    with pytest.raises(BadRequest, match=r"^data\.vector\[0\]: expected a number, got bool$"):
        reference.decode(bytearray(body("[true]")))


@pytest.mark.parametrize(
    ("content", "message", "request_id"),
    [
        pytest.param(b"", "body: empty, expected JSON", None, id="an empty body"),
        pytest.param(b"null", "body: expected an object, got null", None, id="null"),
        pytest.param(b"{}", "request_id: missing, and required", None, id="no field at all"),
        pytest.param(b'{"request_id":"a"}', "model: missing, and required", "a", id="no model"),
        pytest.param(b'{"request_id":"a","model":"m"}', "data: missing, and required", "a", id="no data"),
        pytest.param(
            b'{"request_id":"a","model":"m","data":{}}',
            "data.vector: missing, and required",
            "a",
            id="no vector",
        ),
        pytest.param(
            body("[1]", "7"), "request_id: expected a string, got int", None, id="an id that is a number"
        ),
        pytest.param(
            body("7"), "data.vector: expected an array, got int", "a", id="a vector that is a number"
        ),
        pytest.param(
            body('[1,2,"3"]'), "data.vector[2]: expected a number, got str", "a", id="a string in it"
        ),
        pytest.param(
            body("[[1]]"), "data.vector[0]: expected a number, got array", "a", id="a nested vector"
        ),
        pytest.param(body("[NaN]"), "data.vector[0] is NaN, which JSON does not have", "a", id="NaN"),
        pytest.param(
            body("[1,-Infinity]"), "data.vector[1] is -Infinity, which JSON does not have", "a", id="-∞"
        ),
        pytest.param(body("[1e309]"), "data.vector[0]: the number is too large", "a", id="beyond any float"),
        pytest.param(
            body("[1" + "0" * 400 + "]"), "data.vector[0]: the number is too large", "a", id="a huge integer"
        ),
        pytest.param(
            body("[1") + b"x",
            "data.vector[0]: malformed JSON at byte 49: expected ',' or ']'",
            "a",
            id="syntax",
        ),
        pytest.param(
            body("[" * 200_000), "data.vector[0]: expected a number, got array", "a", id="deep nesting"
        ),
        pytest.param(
            body("[1]", '"\\ud800"'), None, None, id="half a surrogate pair, which no reply could carry"
        ),
        pytest.param(
            b'{"model":"m\xff","request_id":"a"}', "model: invalid UTF-8 at byte 11", "a", id="invalid UTF-8"
        ),
    ],
)
def test_a_faulty_request_is_refused_by_name_of_the_field(
    content: bytes, message: str | None, request_id: str | None
) -> None:
    with pytest.raises(BadRequest) as caught:
        reference.decode(content)
    assert message is None or str(caught.value) == message
    assert caught.value.request_id == request_id


# ---- VectorRule ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "length"),
    [
        pytest.param(spec(4), 4, id="a flat row"),
        pytest.param(spec(3, 8, 8), 192, id="a row of several dimensions"),
        pytest.param(spec(), 1, id="a row that is one number"),
        pytest.param(spec(2, 2, tile=True), 4, id="tiled: the full row"),
        pytest.param(spec(-1), -1, id="any length: each is checked"),
        pytest.param(spec(4, datatype="INT8"), -1, id="whole numbers: each is checked"),
    ],
)
def test_the_length_of_a_rule_is_the_one_that_needs_no_further_check(model: ModelSpec, length: int) -> None:
    assert reference.VectorRule(model).length == length


@pytest.mark.parametrize(
    ("model", "vector"),
    [
        pytest.param(spec(4), [1.5] * 4, id="the right length"),
        pytest.param(spec(4, tile=True), [1.5], id="tiled: one number"),
        pytest.param(spec(4, tile=True), [1.5] * 4, id="tiled: a full row"),
        pytest.param(spec(-1), [1.5] * 77, id="variable: any length"),
        pytest.param(spec(2, datatype="UINT8"), [0.0, 255.0], id="the ends of the range"),
        pytest.param(
            spec(2, datatype="INT64"), [-(2.0**53 - 1), 2.0**53 - 1], id="all that a float tells apart"
        ),
        pytest.param(spec(2, datatype="BOOL"), [0.0, 1.0], id="0 and 1 as booleans"),
    ],
)
def test_a_vector_that_fits_passes(model: ModelSpec, vector: list[float]) -> None:
    reference.VectorRule(model).check(vector)


@pytest.mark.parametrize(
    ("model", "vector", "message"),
    [
        pytest.param(spec(4), [], "data.vector is empty: expected 4", id="empty"),
        pytest.param(spec(4), [1.0], "data.vector has 1 numbers: expected 4", id="too short"),
        pytest.param(spec(2, 2), [1.0] * 5, "data.vector has 5 numbers: expected 4", id="too long"),
        pytest.param(spec(4, tile=True), [], "data.vector is empty: expected 1 to 4", id="tiled but empty"),
        pytest.param(
            spec(4, tile=True), [1.0] * 5, "data.vector has 5 numbers: expected 1 to 4", id="tiled, too long"
        ),
        pytest.param(spec(-1), [], "data.vector is empty: expected at least 1", id="variable but empty"),
        pytest.param(
            spec(2, datatype="UINT8"), [1.0, 256.0], "data.vector[1] is 256.0: this model", id="range"
        ),
        pytest.param(
            spec(1, datatype="INT32"), [0.5], "data.vector[0] is 0.5: this model takes INT32", id="fraction"
        ),
        pytest.param(
            spec(1, datatype="INT64"), [2.0**53], "data.vector[0] is 9007199254740992.0", id="not exact"
        ),
        pytest.param(
            spec(1, datatype="BOOL"), [2.0], "data.vector[0] is 2.0: this model takes BOOL", id="boolean"
        ),
        pytest.param(
            spec(-1, 3), [1.0] * 3, "data.vector: the input 'x' has variable dimensions [-1, 3]", id="dims"
        ),
    ],
)
def test_a_vector_that_does_not_fit_is_refused_with_what_was_expected(
    model: ModelSpec, vector: list[float], message: str
) -> None:
    rule = reference.VectorRule(model)
    assert len(vector) != rule.length
    with pytest.raises(BadRequest) as caught:
        rule.check(vector)
    assert str(caught.value).startswith(message)


def test_a_model_with_several_inputs_refuses_vectors_and_names_them() -> None:
    two = ModelSpec((TensorSpec("left", "FP32", (-1, 2)), TensorSpec("right", "FP32", (-1, 2))), (), "python")
    rule = reference.VectorRule(two)
    assert rule.length == -1
    with pytest.raises(BadRequest, match=r"^data\.vector: this model has 2 inputs \(left, right\)"):
        rule.check([1.0, 2.0])


# ---- replies ------------------------------------------------------------------------------------


def rendered(outputs: dict[str, Any], first_row: int, rows: int = 1, request_id: str = "a") -> dict[str, Any]:
    reply = reference.ReplyTemplate("m", FACTS, outputs).render(request_id, first_row, rows)
    decoded: dict[str, Any] = json.loads(reply)
    return decoded


def test_a_reply_holds_the_rows_own_output_and_the_batchs_facts() -> None:
    output = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert rendered({"y": output}, 2) == {
        "request_id": "a",
        "model": "m",
        "output": [4.0, 5.0],
        "batch": {"id": 17, "size": 4, "reason": "timewindow", "wait_ms": 5.25, "service_ms": 0.5},
    }


def test_several_outputs_go_by_name() -> None:
    reply = rendered({"y": np.eye(4), "label": np.arange(4)}, 1)
    assert reply["outputs"] == {"y": [0, 1, 0, 0], "label": 1}
    assert "output" not in reply


def test_several_rows_keep_the_row_axis() -> None:
    output = np.arange(8).reshape(4, 2)
    assert rendered({"y": output}, 1, 2)["output"] == [[2, 3], [4, 5]]
    assert rendered({"y": output, "z": output}, 1, 2)["outputs"]["z"] == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(np.array([[0.1, 65504]], np.float16), id="half floats"),
        pytest.param(np.array([[0.1, 3.4028235e38]], np.float32), id="floats"),
        pytest.param(np.array([[0.1, 1.7976931348623157e308]]), id="doubles"),
        pytest.param(np.array([[-(2**63), 2**63 - 1]]), id="long integers"),
        pytest.param(np.array([[0, 2**64 - 1]], np.uint64), id="unsigned long integers"),
        pytest.param(np.array([[True, False]]), id="booleans"),
        pytest.param(np.arange(4.0).reshape(1, 2, 2), id="a row of two dimensions"),
        pytest.param(np.array([7.5]), id="a row of none"),
        pytest.param(np.empty((1, 0)), id="an empty row"),
    ],
)
def test_every_datatype_comes_back_as_it_was(output: np.ndarray[Any, Any]) -> None:
    back = rendered({"y": output}, 0)["output"]
    np.testing.assert_array_equal(np.array(back, output.dtype), output[0], strict=True)


@pytest.mark.parametrize("request_id", ['"', "\\", "a\nb", "ä€😀", "", "</script>"])
def test_a_request_id_is_escaped(request_id: str) -> None:
    assert rendered({"y": np.zeros((1, 1))}, 0, request_id=request_id)["request_id"] == request_id


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_fails_alone(value: float) -> None:
    output = np.zeros((4, 2), np.float32)
    output[2, 1] = value
    template = reference.ReplyTemplate("m", FACTS, {"y": output})
    with pytest.raises(BadModelOutput, match=r"^output 'y' of this request is not finite"):
        template.render("a", 2)
    with pytest.raises(BadModelOutput):
        template.render("a", 1, 2)
    assert [json.loads(template.render("a", row))["output"] for row in (0, 1, 3)] == [[0, 0]] * 3


def test_an_output_of_a_datatype_without_a_name_is_refused() -> None:
    with pytest.raises(BadModelOutput, match=r"^output 'y' has the datatype complex128"):
        reference.ReplyTemplate("m", FACTS, {"y": np.zeros((1, 1), complex)})


def test_an_error_says_its_code_its_cause_and_whose_it_is() -> None:
    assert json.loads(reference.encode_error(QueueFull('the "m" queue is full'), "a")) == {
        "error": {"code": "queue_full", "message": 'the "m" queue is full', "request_id": "a"}
    }
    assert json.loads(reference.encode_error(BadRequest("x"), None))["error"]["request_id"] is None
