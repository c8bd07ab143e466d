"""Triton's own HTTP client against us: its defaults (binary tensors) and its JSON mode."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from streambox.models.digits import heldout
from streambox.protocol.datatypes import NUMPY_BY_NAME
from support import assert_clean, config_of, post, running

NAN_IMAGE = np.full((1, 8, 8), np.nan, np.float32)


def identity_models() -> str:
    """One identity model per datatype that numpy has, and digits."""
    lines = ["  digits: {builtin: digits}"]
    for datatype in NUMPY_BY_NAME:
        tensor = f"datatype: {datatype}, shape: [-1, 3]"
        lines.append(
            f'  echo_{datatype}: {{executor: python, callable: "edge_models:identity", '
            f"inputs: [{{name: x, {tensor}}}], outputs: [{{name: x_out, {tensor}}}]}}"
        )
    return "\n".join(lines)


@pytest.fixture(scope="module")
def shared_server(gate):
    with running(config_of(models=identity_models())) as server:
        yield server


@pytest.fixture
def client(shared_server):
    made = triton.InferenceServerClient(shared_server.url, concurrency=4)
    yield made
    made.close()
    assert_clean(shared_server)


def tensor(name: str, values: np.ndarray, datatype: str, *, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def image_input(count: int, *, binary: bool = True) -> triton.InferInput:
    return tensor("image", heldout()[0][:count], "FP32", binary=binary)


def values_of(datatype: str) -> np.ndarray:
    """Two rows with the datatype's extremes in them."""
    dtype = NUMPY_BY_NAME[datatype]
    if dtype.kind == "b":
        return np.array([[True, False, True], [False, False, True]])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([[limits.min, 0, limits.max], [1, 2, 3]], dtype=dtype)


def test_health_and_metadata(client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("digits")
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8]}]
    assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}]


@pytest.mark.parametrize("binary", [True, False])
def test_several_rows_in_one_request_are_all_answered_and_in_order(client, binary) -> None:
    _, labels = heldout()
    result = client.infer("digits", [image_input(20, binary=binary)])
    assert result.as_numpy("probabilities").shape == (20, 10)
    assert (result.as_numpy("probabilities").argmax(axis=1) == labels[:20]).mean() >= 0.95
    assert result.get_response()["parameters"]["batch_size"] >= 20


@pytest.mark.parametrize("binary", [True, False])
def test_requested_outputs_come_as_asked_for(client, binary) -> None:
    wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary)]
    result = client.infer("digits", [image_input(1)], outputs=wanted, request_id="mine")
    described = result.get_output("probabilities")
    assert ("data" in described) is not binary
    assert np.isclose(result.as_numpy("probabilities").sum(), 1, atol=1e-4)
    assert result.get_response()["id"] == "mine"


# The client itself refuses to write FP16 as JSON; tests/unit/protocol sends that by hand.
FORMS = [(name, binary) for name in NUMPY_BY_NAME for binary in (True, False) if binary or name != "FP16"]


@pytest.mark.parametrize(("datatype", "binary"), FORMS)
def test_every_datatype_that_numpy_has_goes_there_and_back_unchanged(client, datatype, binary) -> None:
    sent = values_of(datatype)
    wanted = [triton.InferRequestedOutput("x_out", binary_data=binary)]
    result = client.infer(f"echo_{datatype}", [tensor("x", sent, datatype, binary=binary)], outputs=wanted)
    received = result.as_numpy("x_out")
    assert received.dtype == sent.dtype
    assert np.array_equal(received, sent)


@pytest.mark.parametrize("nested", [True, False])
def test_json_data_may_be_nested_or_flat(client, shared_server, nested) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    body = {
        "inputs": [
            {
                "name": "x",
                "shape": [2, 3],
                "datatype": "FP32",
                "data": rows.tolist() if nested else rows.ravel().tolist(),
            }
        ]
    }
    reply = shared_server.ask(post("/v2/models/echo_FP32/infer", body))
    assert reply.json()["outputs"][0]["data"] == rows.ravel().tolist()


def test_many_requests_at_once_each_get_their_own_answer(client) -> None:
    images, _ = heldout()
    one_by_one = [
        client.infer("digits", [tensor("image", images[i : i + 1], "FP32")]).as_numpy("probabilities")
        for i in range(8)
    ]
    pending = [client.async_infer("digits", [tensor("image", images[i : i + 1], "FP32")]) for i in range(8)]
    for alone, together in zip(one_by_one, pending, strict=True):
        assert np.allclose(alone, together.get_result().as_numpy("probabilities"), atol=1e-5)


def test_a_deadline_in_microseconds_is_kept(shared_server) -> None:
    """The window is a minute here, so only the deadline can answer."""
    with running(config_of(models="  digits: {builtin: digits}", time_window="60s")) as slow:
        client = triton.InferenceServerClient(slow.url)
        with pytest.raises(InferenceServerException, match=r"deadline of 20 ms passed") as caught:
            client.infer("digits", [image_input(1)], timeout=20_000)
        assert caught.value.status() == "504"
        client.close()


@pytest.mark.parametrize(
    ("model", "inputs", "status", "says"),
    [
        ("nope", lambda: [image_input(1)], "404", "there are digits"),
        ("digits", lambda: [tensor("picture", np.zeros((1, 8, 8), np.float32), "FP32")], "400", "picture"),
        ("digits", lambda: [tensor("image", np.zeros((1, 8, 7), np.float32), "FP32")], "400", "shape"),
        ("digits", lambda: [tensor("image", np.zeros((1, 8, 8), np.float64), "FP64")], "400", "FP32"),
        ("digits", lambda: [tensor("image", np.zeros((1025, 8, 8), np.float32), "FP32")], "400", "1025 rows"),
        (
            "digits",
            lambda: [tensor("image", np.full((1, 8, 8), np.nan, np.float32), "FP32")],
            "400",
            "finite",
        ),
    ],
)
def test_errors_reach_the_client_as_its_own_exception(client, model, inputs, status, says) -> None:
    with pytest.raises(InferenceServerException, match=says) as caught:
        client.infer(model, inputs())
    assert caught.value.status() == status


def test_an_unknown_version_is_not_found(client) -> None:
    with pytest.raises(InferenceServerException, match="no version"):
        client.infer("digits", [image_input(1)], model_version="2")
    assert not client.is_model_ready("digits", "2")
