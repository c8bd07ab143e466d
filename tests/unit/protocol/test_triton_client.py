"""What Triton's own client sends is taken, and it reads what is answered: no server, its bodies alone."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.executor.base import ModelSpec, TensorSpec
from streambox.protocol import oip
from streambox.protocol.datatypes import NUMPY_BY_NAME
from streambox.protocol.replies import BatchFacts

http = pytest.importorskip("tritonclient.http")

FACTS = BatchFacts(17, 4, "timewindow", 5.25, 0.5)


def exchange(
    datatype: str, binary_input: bool, outputs: list[object] | None
) -> tuple[oip.InferCall, dict[str, object]]:
    """Send an array through the client's encoder, our decoder, our encoder and the client's decoder."""
    spec = ModelSpec(
        (TensorSpec("x", datatype, (-1, 2, 2)),),
        (TensorSpec("y", datatype, (-1, 2, 2)), TensorSpec("z", "FP32", (-1,))),
        "python",
    )
    values = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]], [[1, 0], [0, 0]]], NUMPY_BY_NAME[datatype])
    sent = http.InferInput("x", [3, 2, 2], datatype)
    sent.set_data_from_numpy(values, binary_data=binary_input)
    body, header_length = http.InferenceServerClient.generate_request_body(
        [sent], outputs=outputs, request_id="r", timeout=2500
    )
    call = oip.decode_infer(body, spec, "m", header_length)
    np.testing.assert_array_equal(call.inputs["x"], values, strict=True)
    reply = oip.encode_infer_reply(call, "m", FACTS, {"y": values, "z": np.array([1, 2, 3], np.float32)})
    result = http.InferenceServerClient.parse_response_body(reply.body, header_length=reply.header_length)
    for name in ("y", "z"):
        if result.get_output(name) is not None:
            assert result.as_numpy(name).dtype == NUMPY_BY_NAME[datatype if name == "y" else "FP32"]
    if result.get_output("y") is not None:
        np.testing.assert_array_equal(result.as_numpy("y"), values, strict=True)
    return call, result.get_response()


@pytest.mark.parametrize("datatype", NUMPY_BY_NAME)
@pytest.mark.parametrize("binary_input", [True, False])
def test_its_defaults_work_with_every_datatype(datatype: str, binary_input: bool) -> None:
    call, response = exchange(datatype, binary_input, None)
    assert (call.id, call.rows, call.timeout_us) == ("r", 3, 2500)
    assert [output.binary for output in call.outputs] == [True, True]
    assert response["id"] == "r"


@pytest.mark.parametrize("datatype", NUMPY_BY_NAME)
def test_its_json_mode_works_with_every_datatype(datatype: str) -> None:
    call, response = exchange(datatype, False, [http.InferRequestedOutput("y", binary_data=False)])
    assert call.outputs == (oip.RequestedOutput("y", False),)
    assert [output["name"] for output in response["outputs"]] == ["y"]


def test_it_may_ask_for_json_and_binary_in_one() -> None:
    outputs = [
        http.InferRequestedOutput("z", binary_data=True),
        http.InferRequestedOutput("y", binary_data=False),
    ]
    _, response = exchange("FP32", True, outputs)
    z, y = response["outputs"]
    assert z["parameters"] == {"binary_data_size": 12}
    assert "data" in y


def test_an_id_may_be_absent() -> None:
    spec = ModelSpec((TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),), "python")
    sent = http.InferInput("x", [1], "FP32")
    sent.set_data_from_numpy(np.ones(1, np.float32))
    body, header_length = http.InferenceServerClient.generate_request_body([sent])
    assert oip.decode_infer(body, spec, "m", header_length).id is None
