"""Which answers are right: numbers to a tolerance, classes, and what any endpoint may be asked to say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.answer_key import HttpKey, NumbersKey
from streambox.loadgen.answers import UNREADABLE, read_reference

ID = "0000000007"


def reference(output: object) -> bytes:
    return json.dumps({"request_id": ID, "output": output}).encode()


def is_right(key, payload: int, body: bytes) -> bool:
    return key.is_right(payload, key.read(body))


# ---- numbers -------------------------------------------------------------------------------------


def test_numbers_are_right_to_within_the_tolerance():
    key = NumbersKey("reference", expected=np.array([[1.0, 2.0]]), tolerance=0.1)
    assert is_right(key, 0, reference([1.09, 1.91]))
    assert not is_right(key, 0, reference([1.11, 2]))
    assert not is_right(key, 0, reference([1]))


def test_numbers_that_are_nearly_alike_may_change_places_within_the_tolerance():
    key = NumbersKey("reference", expected=np.array([[0.50004, 0.49996]]))
    assert is_right(key, 0, reference([0.49996, 0.50004]))


def test_a_label_is_the_place_of_the_largest_number():
    key = NumbersKey("reference", labels=np.array([1, 0]))
    assert is_right(key, 0, reference([0.1, 0.7, 0.2]))
    assert not is_right(key, 1, reference([0.1, 0.7, 0.2]))


def test_several_rows_are_held_against_their_own_answers():
    key = NumbersKey("oip", labels=np.array([1, 0, 0]), rows=[np.array([0, 1]), np.array([2, 0])])

    def answer(numbers):
        return json.dumps({"id": ID, "outputs": [{"datatype": "FP32", "data": numbers}]}).encode()

    assert is_right(key, 0, answer([0, 1, 1, 0]))
    assert not is_right(key, 1, answer([0, 1, 1, 0]))
    assert is_right(key, 1, answer([[1, 0], [0, 1]]))
    assert not is_right(key, 0, answer([0, 1, 1]))
    assert not is_right(key, 0, answer([]))


@pytest.mark.parametrize(
    ("output", "row"),
    [
        ([1, 2], [1, 2]),
        ([[1, 2], [3, 4]], [1, 2, 3, 4]),
        (5, [5]),
    ],
)
def test_an_output_of_any_shape_is_read(output, row):
    assert read_reference(reference(output)).row() == row


def test_of_several_outputs_the_first_is_read():
    body = json.dumps({"request_id": ID, "outputs": {"a": [1, 2], "b": [3]}}).encode()
    assert read_reference(body).row() == [1, 2]


# ---- any endpoint --------------------------------------------------------------------------------


def test_nothing_is_asked_of_an_answer_unless_it_is_said():
    key = HttpKey()
    assert key.read(b"anything at all").request_id is None
    assert not key.knows


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("id", {"id": ID}, ID),
        ("meta.ids[0]", {"meta": {"ids": [ID]}}, ID),
        ("id", {"id": 7}, ID),
        ("id", {"id": "other"}, "other"),
        ("", ID, ID),
    ],
)
def test_the_id_is_found_at_its_path(path, body, found):
    assert HttpKey(expect_id=path).read(json.dumps(body).encode()).request_id == found


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"x": 1}', b"\xff"])
def test_an_answer_without_the_path_cannot_be_read(body):
    with pytest.raises(UNREADABLE):
        HttpKey(expect_id="id").read(body)


def test_a_text_with_the_id_finds_whose_answer_it_is():
    key = HttpKey(expect_text='"for": "{{id}}"')
    assert key.read(b'{"for": "0000000007"}').request_id == ID
    assert key.read(b'{"for": "someone"}').request_id == ""
    assert key.read(b"{}").request_id == ""


def test_a_text_without_the_id_must_be_there():
    key = HttpKey(expect_text="a.c (really)")
    assert key.read(b"so: a.c (really)!").request_id is None
    assert key.read(b"so: abc really").request_id == ""


def test_a_path_and_a_text_must_agree():
    key = HttpKey(expect_id="id", expect_text="<{{id}}>")
    assert key.read(b'{"id": "0000000007", "x": "<0000000007>"}').request_id == ID
    assert key.read(b'{"id": "0000000007", "x": "<0000000008>"}').request_id == ""


OUTPUTS = [
    ({"expected": [[1.0, 2.0]]}, [1.0005, 2], True, "numbers"),
    ({"expected": [[1.0, 2.0]]}, [[1], [2]], True, "however nested"),
    ({"expected": [[1.0, 2.0]]}, [1.1, 2], False, "beyond the tolerance"),
    ({"expected": [[1.0, 2.0]]}, [1.0], False, "too few"),
    ({"expected": [3]}, 3.0, True, "a number alone"),
    ({"expected": ["yes"]}, "yes", True, "text"),
    ({"expected": ["yes"]}, "no", False, "another text"),
    ({"expected": [["a", 1]]}, ["a", 2], False, "a list with text in it, exactly"),
    ({"expected": [None]}, None, True, "null"),
    ({"labels": [2]}, [0.1, 0.2, 0.7], True, "a class by its place"),
    ({"labels": [1]}, [0.1, 0.2, 0.7], False, "another class"),
    ({"labels": ["cat"]}, "cat", True, "a class by its name"),
    ({"labels": [4]}, 4, True, "a class by its number"),
]


@pytest.mark.parametrize(("known", "output", "right", "why"), OUTPUTS, ids=[row[-1] for row in OUTPUTS])
def test_an_output_is_held_against_the_dataset(known, output, right, why):
    key = HttpKey(expect_output="answer[0]", **known)
    assert key.knows
    assert is_right(key, 0, json.dumps({"answer": [output]}).encode()) is right


def test_an_output_needs_something_to_be_held_against():
    with pytest.raises(UsageError, match="neither what is 'expected' nor a 'label'"):
        HttpKey(expect_output="x")


def test_a_text_names_the_id_once():
    with pytest.raises(UsageError, match="more than once"):
        HttpKey(expect_text="{{id}} {{id}}")
