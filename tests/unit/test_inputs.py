"""What a library call may pass as a model's inputs."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import BadRequest
from streambox.executor.base import ModelSpec, TensorSpec
from streambox.inputs import check_inputs


def checked(datatype: str, values: object) -> np.ndarray:
    spec = ModelSpec((TensorSpec("x", datatype, (-1, 2)),), (), "test")
    return check_inputs(spec, {"x": values})["x"]


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP32", [[1, 2.5]]),
        ("FP32", np.array([[0.1, True]])),
        ("INT8", np.array([[-128, 127]])),
        ("UINT8", np.array([[255, 0]])),
        ("INT8", np.array([[1.0, -2.0]])),
        ("BOOL", np.array([[0, 1]])),
        ("UINT64", np.array([[2**64 - 1, 0]], np.uint64)),
    ],
)
def test_values_that_survive_are_cast(datatype, values):
    cast = checked(datatype, values)
    assert np.array_equal(cast, np.asarray(values, cast.dtype))


@pytest.mark.parametrize(
    ("datatype", "values", "reason"),
    [
        ("INT8", np.array([[300, 1]]), "has values that INT8 cannot hold"),
        ("INT8", [[300, 1]], "has values that INT8 cannot hold"),
        ("UINT8", np.array([[-1, 0]]), "has values that UINT8 cannot hold"),
        ("INT64", np.array([[2**63, 0]], np.uint64), "has values that INT64 cannot hold"),
        ("INT8", np.array([[1.5, 1]]), "has values that INT8 cannot hold"),
        ("INT8", np.array([[np.nan, 1]]), "has values that INT8 cannot hold"),
        ("BOOL", np.array([[2, 0]]), "has values that BOOL cannot hold"),
        ("FP32", [["a", "b"]], "is of type <U1, expected FP32"),
        ("FP32", np.array([[1 + 2j, 0]]), "is of type complex128"),
        ("FP32", [[1, 2], [3]], "is not an array"),
        ("FP32", None, "is of type object"),
        ("FP32", np.float32([1, 2]), "has shape"),
    ],
)
def test_values_that_would_not_survive_are_refused_rather_than_changed(datatype, values, reason):
    with pytest.raises(BadRequest, match=f"input 'x' {reason}"):
        checked(datatype, values)
