"""ONNX models in the worker: the spec read from the file, rows fixed and open, refusals in one line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streambox.executor.base import BatchErrorKind, LoadFailed, TensorSpec
from streambox.executor.model import ModelFailed
from streambox.executor.onnx import OnnxModel
from streambox.executor.options import WorkerOptions

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def save(path, inputs, outputs, nodes):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.save(model, str(path))
    return OnnxModel(WorkerOptions(name="m", runtime="onnx", path=str(path)))


def doubling(path, first_axis, dims=(4,)):
    shape = [first_axis, *dims]
    return save(
        path, [("x", FLOAT, shape)], [("y", FLOAT, shape)], [helper.make_node("Add", ["x", "x"], ["y"])]
    )


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.onnx"


def test_the_spec_is_the_files_own(file):
    model = save(
        file,
        [("a", FLOAT, ["N", 3, "W"]), ("b", INT64, [None, 2])],
        [("c", FLOAT, ["N", 3, "W"]), ("d", TensorProto.BOOL, ["N", 2])],
        [helper.make_node("Abs", ["a"], ["c"]), helper.make_node("Equal", ["b", "b"], ["d"])],
    )
    assert model.spec.inputs == (TensorSpec("a", "FP32", (-1, 3, -1)), TensorSpec("b", "INT64", (-1, 2)))
    assert model.spec.outputs == (TensorSpec("c", "FP32", (-1, 3, -1)), TensorSpec("d", "BOOL", (-1, 2)))
    assert model.spec.max_rows is None
    outputs = model.run({"a": -np.ones((2, 3, 5), np.float32), "b": np.ones((2, 2), np.int64)})
    assert (outputs["c"] == 1).all()
    assert outputs["d"].all()


def test_its_threads_do_not_spin_between_batches(file):
    settings = doubling(file, "N")._session.get_session_options()
    for pool in ("intra_op", "inter_op"):
        assert settings.get_session_config_entry(f"session.{pool}.allow_spinning") == "0"


def test_a_fixed_first_axis_caps_the_rows_and_is_padded_for(file):
    model = doubling(file, 4)
    assert model.spec.max_rows == 4
    assert model.spec.inputs[0].shape == (-1, 4)
    for rows in (1, 3, 4):
        x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
        assert np.array_equal(model.run({"x": x})["y"], 2 * x)
    with pytest.raises(ModelFailed, match="5 rows; the model takes 4"):
        model.run({"x": np.ones((5, 4), np.float32)})


def test_padding_repeats_the_last_row(file):
    model = save(
        file,
        [("x", FLOAT, [3, 1])],
        [("y", FLOAT, [3, 1])],
        [
            helper.make_node("ReduceMax", ["x"], ["m"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["y"]),
        ],
    )
    # Were it zeros that filled the batch, the maximum over it would be 0 and not the row's own.
    assert model.run({"x": np.array([[-5]], np.float32)})["y"].tolist() == [[0]]


def test_a_models_error_fails_the_batch_in_one_line(file):
    with pytest.raises(ModelFailed) as failure:
        doubling(file, "N").run({"x": np.ones((2, 5), np.float32)})
    assert failure.value.kind is BatchErrorKind.MODEL
    assert failure.value.retryable
    assert failure.value.message.startswith("Got invalid dimensions for input: x")
    assert "\n" not in failure.value.message


def test_an_output_without_the_batchs_rows_is_a_bad_output(file):
    model = save(
        file,
        [("x", FLOAT, ["N", 4])],
        [("y", FLOAT, ["M", 4])],
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)],
    )
    with pytest.raises(ModelFailed, match=r"'y' has shape \(4, 4\) for a batch of 2 rows") as failure:
        model.run({"x": np.ones((2, 4), np.float32)})
    assert failure.value.kind is BatchErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    ("inputs", "outputs", "nodes", "reason"),
    [
        (
            [("x", FLOAT, [])],
            [("y", FLOAT, [])],
            [("Abs", ["x"], ["y"])],
            "input 'x' is a scalar; its first axis has to be the rows",
        ),
        (
            [("x", FLOAT, ["N"])],
            [("y", FLOAT, [])],
            [("ReduceMax", ["x"], ["y"], {"keepdims": 0})],
            "output 'y' is a scalar; its first axis has to be the rows",
        ),
        (
            [("x", STRING, ["N"])],
            [("y", STRING, ["N"])],
            [("Identity", ["x"], ["y"])],
            "input 'x' is of type tensor(string), which is not supported",
        ),
        (
            [("a", FLOAT, [2]), ("b", FLOAT, [3])],
            [("c", FLOAT, [5])],
            [("Concat", ["a", "b"], ["c"], {"axis": 0})],
            "its inputs' first axes differ ([2, 3]), so they cannot be the rows",
        ),
    ],
)
def test_a_model_that_cannot_be_batched_is_refused_at_load(file, inputs, outputs, nodes, reason):
    made = [helper.make_node(*node[:3], **(node[3] if node[3:] else {})) for node in nodes]
    with pytest.raises(LoadFailed) as failure:
        save(file, inputs, outputs, made)
    assert str(failure.value) == reason


def test_a_missing_or_broken_file_is_refused_in_one_line(file):
    options = WorkerOptions(name="m", runtime="onnx", path=str(file))
    with pytest.raises(LoadFailed, match=r"^no file "):
        OnnxModel(options)
    file.write_bytes(b"not an ONNX file")
    with pytest.raises(
        LoadFailed, match=r"^model.onnx is not a model that ONNX Runtime can run: "
    ) as failure:
        OnnxModel(options)
    assert "\n" not in str(failure.value)
    assert "ONNXRuntimeError" not in str(failure.value)


def test_an_unknown_builtin_and_an_unwritable_cache_are_refused(tmp_path, monkeypatch):
    with pytest.raises(LoadFailed, match="no built-in model 'nosuch'; there are: digits, resnet50"):
        OnnxModel(WorkerOptions(name="m", runtime="onnx", builtin="nosuch"))
    occupied = tmp_path / "file"
    occupied.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    with pytest.raises(LoadFailed, match=r"cannot generate 'mlp': .* \(XDG_CACHE_HOME names another"):
        OnnxModel(WorkerOptions(name="m", runtime="onnx", builtin="mlp"))
