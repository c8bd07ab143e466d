"""What a model takes, as people write it, and random rows of it."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.dataset import SOLE
from streambox.loadgen.inputs import InputSpec, parse_inputs, random_rows

READ = [
    ("image:FP32[8,8]", [InputSpec("image", "FP32", (-1, 8, 8))]),
    ("FP32[4]", [InputSpec(SOLE, "FP32", (-1, 4))]),
    ("x:FP32[]", [InputSpec("x", "FP32", (-1,))]),
    ("ids:INT64[128]:0..30521", [InputSpec("ids", "INT64", (-1, 128), (0, 30521))]),
    (
        "a:FP64[2]:-1.5..1  b:BOOL[ 1, 2 ]",
        [
            InputSpec("a", "FP64", (-1, 2), (-1.5, 1)),
            InputSpec("b", "BOOL", (-1, 1, 2)),
        ],
    ),
]


@pytest.mark.parametrize(("text", "specs"), READ, ids=[row[0] for row in READ])
def test_inputs_are_read(text, specs):
    assert list(parse_inputs(text)) == specs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no input"),
        ("image", "is not an input: write it as image:FP32[8,8]"),
        ("image:FP32", "is not an input"),
        ("image:FP31[2]", "no datatype FP31: choose one of"),
        ("a:FP32[0]", "at least 1 value"),
        ("a:FP32[99999,99999]", "at most"),
        ("a:FP32[1] a:FP32[1]", "or one twice"),
        ("FP32[1] a:FP32[1]", "need a name each"),
        ("a:INT8[1]:0..200", "that the datatype holds"),
        ("a:INT8[1]:0.5..2", "whole numbers"),
        ("a:FP32[1]:3..2", "lower bound first"),
    ],
)
def test_what_is_no_input_is_refused(text, reason):
    with pytest.raises(UsageError) as error:
        parse_inputs(text)
    assert reason in str(error.value)


def test_random_rows_have_the_shape_the_datatype_and_the_bounds():
    specs = parse_inputs("f:FP32[2,3] i:INT8[4]:-1..1 b:BOOL[1] d:UINT8[2]")
    rows = random_rows(specs, np.random.default_rng(0))
    assert len(rows) == 256
    assert {(row.shape, row.dtype.name) for row in rows.inputs["f"]} == {((2, 3), "float32")}
    assert all((row >= 0).all() and (row < 1).all() for row in rows.inputs["f"])
    assert {int(number) for row in rows.inputs["i"] for number in row} == {-1, 0, 1}
    assert {row.dtype.name for row in rows.inputs["b"]} == {"bool"}
    assert max(int(row.max()) for row in rows.inputs["d"]) == 99


def test_large_rows_are_few():
    assert len(random_rows(parse_inputs("x:FP32[1024,1024]"), np.random.default_rng(0))) == 4


def test_an_open_dimension_has_to_be_written():
    with pytest.raises(UsageError, match="open dimensions"):
        random_rows([InputSpec("x", "FP32", (-1, -1))], np.random.default_rng(0))
