"""A user's callable: how it is found, called, and held to what it declared."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import streambox
from streambox.executor.base import BatchErrorKind, LoadFailed, TensorSpec
from streambox.executor.model import ModelFailed, RowsFailed, Tile, tiled
from streambox.executor.options import WorkerOptions
from streambox.executor.python import PythonModel

TESTS = str(Path(__file__).parents[2])
VECTOR = (TensorSpec("vector", "FP32", (-1, 4)),)
OUTPUT = (TensorSpec("output", "FP32", (-1, 4)),)
X = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(autouse=True)
def _own_import_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


def python_model(call: str, inputs=VECTOR, outputs=OUTPUT) -> PythonModel:
    target = call if ":" in call else f"models_for_tests:{call}"
    return PythonModel(
        WorkerOptions(
            name="m", runtime="python", callable=target, search_path=TESTS, inputs=inputs, outputs=outputs
        )
    )


def returning(value, outputs=OUTPUT) -> PythonModel:
    """A model whose answer is *value*, whatever it is asked."""
    model = python_model("double", outputs=outputs)
    model._call = lambda _: value
    return model


@pytest.mark.parametrize("call", ["double", "double_by_name", "double_mapping"])
def test_one_input_and_output_work_plain_and_by_name(call):
    model = python_model(call)
    for _ in range(2):
        assert np.array_equal(model.run({"vector": X})["output"], 2 * X)


def test_the_style_is_learnt_once_so_a_later_error_is_not_retried():
    model = python_model("double")
    model.run({"vector": X})
    calls = []

    def failing(x):
        calls.append(x)
        raise TypeError("a bad row")

    model._call = failing
    with pytest.raises(TypeError, match="a bad row"):
        model.run({"vector": X})
    assert len(calls) == 1


def test_a_first_call_that_fails_either_way_reports_the_first_error_and_learns_nothing():
    model = python_model("double")
    work, model._call = model._call, lambda x: x.no_such_method()
    with pytest.raises(AttributeError, match=r"numpy\.ndarray"):
        model.run({"vector": X})
    model._call = work
    assert np.array_equal(model.run({"vector": X})["output"], 2 * X)


def test_a_class_is_made_once_and_called_by_name():
    pair = (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP32", (-1, 2)))
    answers = (TensorSpec("sum", "FP32", (-1, 2)), TensorSpec("calls", "INT64", (-1,)))
    model = python_model("Adder", pair, answers)
    ones = np.ones((3, 2), np.float32)
    model.run({"a": ones, "b": ones})
    outputs = model.run({"a": ones, "b": 2 * ones})
    assert outputs["sum"].tolist() == [[3, 3]] * 3
    assert outputs["calls"].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("no_colon_here:", "'no_colon_here:' is not of the form module:name"),
        ("models_that_are_not:x", "cannot import module 'models_that_are_not': ModuleNotFoundError"),
        ("models_for_tests:absent", "module 'models_for_tests' has no callable 'absent'"),
        ("models_for_tests:KILL", "has no callable 'KILL'"),
        ("models_for_tests:Uncallable", "class 'models_for_tests:Uncallable' has no __call__ method"),
        (
            "models_for_tests:Unmade",
            "cannot make 'models_for_tests:Unmade': FileNotFoundError: no such file: weights.bin "
            "(models_for_tests.py:",
        ),
    ],
)
def test_a_callable_that_cannot_be_had_says_why_in_one_line(call, reason):
    with pytest.raises(LoadFailed) as failure:
        python_model(call)
    assert reason in str(failure.value)
    assert "\n" not in str(failure.value)


def test_an_error_inside_the_module_names_its_file_and_line(tmp_path):
    (tmp_path / "broken_module.py").write_text("import os\n\nraise RuntimeError('two\\nlines')\n")
    options = WorkerOptions(
        name="m",
        runtime="python",
        callable="broken_module:f",
        search_path=str(tmp_path),
        inputs=VECTOR,
        outputs=OUTPUT,
    )
    with pytest.raises(LoadFailed, match=r"RuntimeError: two lines \(broken_module.py:3\)$"):
        PythonModel(options)


def test_inputs_and_outputs_have_to_be_declared_with_known_datatypes():
    with pytest.raises(LoadFailed, match="needs inputs and outputs"):
        python_model("double", inputs=())
    with pytest.raises(LoadFailed, match="'vector' has datatype FP33; known: BOOL"):
        python_model("double", inputs=(TensorSpec("vector", "FP33", (-1,)),))


def test_refused_rows_are_reported_by_index_in_one_line():
    model = python_model("refuse_negative")
    rows = X.copy()
    rows[1, 0] = -1
    with pytest.raises(RowsFailed) as one:
        model.run({"vector": rows})
    assert one.value.messages == {1: "negative value"}
    rows[2, 0] = -1
    with pytest.raises(RowsFailed) as two:
        model.run({"vector": rows})
    assert two.value.messages == {1: "negative", 2: "negative"}


def test_a_row_may_be_refused_by_any_kind_of_integer():
    model = python_model("double")

    def refuse_smallest(x):
        raise streambox.RowError(np.argmin(x[:, 0]), "negative")

    model._call = refuse_smallest
    rows = X.copy()
    rows[2, 0] = -1
    with pytest.raises(RowsFailed) as refusal:
        model.run({"vector": rows})
    assert refusal.value.messages == {2: "negative"}


def test_refusing_a_row_that_is_not_there_is_a_bad_output():
    with pytest.raises(ModelFailed, match="refused row 3 of a batch of 3 rows") as failure:
        python_model("refuse_absent").run({"vector": X})
    assert failure.value.kind is BatchErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (X[:2], r"'output' has shape \(2, 4\) for a batch of 3 rows"),
        (np.float32(1), "for a batch of 3 rows"),
        (X[:, :3], r"has shape \[3, 3\]; declared \[-1, 4\]"),
        (X[:, :, None], r"has shape \[3, 4, 1\]; declared"),
        (X.astype(np.complex64), "of type complex64; declared FP32"),
        (np.full((3, 4), "a"), "of type <U1"),
        ([[1, 2], [3]], "is not an array"),
        (None, "of type object"),
        ({"other": X}, r"outputs \['other'\]; declared: \['output'\]"),
        ({"output": X, "more": X}, r"outputs \['more', 'output'\]; declared"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_a_bad_output(answer, reason):
    with pytest.raises(ModelFailed, match=reason) as failure:
        returning(answer).run({"vector": X})
    assert (failure.value.kind, failure.value.retryable) == (BatchErrorKind.BAD_OUTPUT, False)


def test_several_outputs_need_a_dict():
    two = (TensorSpec("a", "FP32", (-1, 4)), TensorSpec("b", "FP32", (-1, 4)))
    with pytest.raises(ModelFailed, match="returned tuple, not a dict of 2 outputs"):
        returning((X, X), two).run({"vector": X})


@pytest.mark.parametrize(
    ("datatype", "answer"),
    [
        ("FP32", X.astype(np.float64)),
        ("FP32", X.astype(np.int64)),
        ("FP32", X.tolist()),
        ("FP32", np.asfortranarray(X)),
        ("FP32", X.astype(">f4")),
        ("INT32", X.astype(np.int64)),
        ("FP16", X),
    ],
)
def test_an_answer_is_cast_where_its_values_survive(datatype, answer):
    output = returning(answer, (TensorSpec("output", datatype, (-1, 4)),)).run({"vector": X})["output"]
    assert output.flags.c_contiguous
    assert np.array_equal(output, X)


@pytest.mark.parametrize("answer", [np.full((3, 4), 2**40), np.full((3, 4), -(2**31) - 1)])
def test_integers_that_do_not_fit_are_refused_rather_than_wrapped(answer):
    with pytest.raises(ModelFailed, match="values that INT32 cannot hold"):
        returning(answer, (TensorSpec("output", "INT32", (-1, 4)),)).run({"vector": X})


# ---- tile ---------------------------------------------------------------------------------------


def test_tile_repeats_each_row_as_numpy_resize_does():
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = np.stack([np.resize(row, (2, 3, 3)) for row in rows])
    assert np.array_equal(tiled(rows, (2, 3, 3)), expected)
    assert np.array_equal(tiled(rows, (2,)), rows[:, :2])


def test_tile_passes_whole_rows_through_and_says_so_in_the_spec():
    model = python_model(
        "double", (TensorSpec("vector", "FP32", (-1, 2, 4)),), (TensorSpec("output", "FP32", (-1, 2, 4)),)
    )
    tile = Tile(model)
    assert tile.spec.tile
    whole = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    assert np.array_equal(tile.run({"vector": whole})["output"], 2 * whole)
    short = tile.run({"vector": np.array([[1, 2, 3]], np.float32)})["output"]
    assert short.tolist() == [[[2, 4, 6, 2], [4, 6, 2, 4]]]


def test_tile_needs_one_input_of_fixed_dimensions():
    pair = (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP32", (-1, 2)))
    with pytest.raises(LoadFailed, match="one input; this one has 2"):
        Tile(python_model("Adder", pair, OUTPUT))
    with pytest.raises(LoadFailed, match=r"fixed dimensions; the input has \(-1, -1\)"):
        Tile(python_model("double", (TensorSpec("vector", "FP32", (-1, -1)),)))
