"""Datasets: what a row is, and where a file is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.dataset import SOLE, read_dataset


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(dataset, name=SOLE):
    return [row.tolist() for row in dataset.inputs[name]]


READ = [
    ("d.csv", "1,2\n3,4.5\n", [[1, 2], [3, 4.5]], None, "numbers alone"),
    ("d.csv", "a,b\n1,2\n\n3,4\n", [[1, 2], [3, 4]], None, "a header, and an empty line"),
    ("d.csv", "x,label,y\n1,7,2\n3,0,4\n", [[1, 2], [3, 4]], [7, 0], "a label column in the middle"),
    ("d.csv", "1\n2,3\n", [[1], [2, 3]], None, "rows of different lengths are the model's to judge"),
    ("d.jsonl", '{"vector": [1, 2]}\n{"vector": [3, 4]}', [[1, 2], [3, 4]], None, "vectors"),
    ("d.jsonl", '{"vector": [1], "label": 3}\n\n{"vector": [2], "label": 0}\n', [[1], [2]], [3, 0], "labels"),
]


@pytest.mark.parametrize(("name", "content", "values", "labels", "why"), READ, ids=[row[-1] for row in READ])
def test_rows_and_labels_are_read(tmp_path, name, content, values, labels, why):
    dataset = read_dataset(write(tmp_path, name, content))
    assert rows(dataset) == values
    assert (dataset.labels is None and labels is None) or dataset.labels.tolist() == labels


def test_named_inputs_and_expected_answers_are_read(tmp_path):
    content = '{"inputs": {"a": [[1, 2]], "b": [3]}, "expected": [0.5, 0.5]}\n' * 2
    dataset = read_dataset(write(tmp_path, "d.jsonl", content))
    assert (rows(dataset, "a"), rows(dataset, "b")) == ([[[1, 2]]] * 2, [[3]] * 2)
    assert dataset.expected.tolist() == [[0.5, 0.5]] * 2


def test_an_archive_has_an_array_per_input(tmp_path):
    expected = np.arange(12.0).reshape(2, 2, 3)
    np.savez(tmp_path / "d.npz", image=np.ones((2, 4, 4), np.float32), expected=expected)
    dataset = read_dataset(tmp_path / "d.npz")
    assert len(dataset) == 2
    assert dataset.inputs["image"][0].shape == (4, 4)
    assert dataset.expected.shape == (2, 6)


BAD = [
    ("d.txt", "1", "a dataset is a file ending in .npz, .csv, .jsonl"),
    ("d.csv", "", "holds no rows"),
    ("d.csv", "a,b\n", "holds no rows"),
    ("d.csv", "1,2\n3,x\n", ":2: not a row of numbers"),
    ("d.csv", "1,nan\n", ":1: holds a NaN"),
    ("d.csv", "a,label\n1,2.5\n", ":2: no whole number in the column 'label'"),
    ("d.csv", b"\xff\xfe\x00", "cannot be read"),
    ("d.jsonl", "", "holds no rows"),
    ("d.jsonl", '{"vector": [1]}\n{"vector"', ":2: not JSON"),
    ("d.jsonl", "[1]\n", ":1: expected an object"),
    ("d.jsonl", '{"x": 1}\n', ':1: expected "vector"'),
    ("d.jsonl", '{"vector": []}\n', ":1: input '': expected numbers"),
    ("d.jsonl", '{"vector": ["a"]}\n', ":1: input '': expected numbers"),
    ("d.jsonl", '{"vector": [[1], [1, 2]]}\n', "is not rectangular"),
    ("d.jsonl", '{"inputs": {"a": [1]}}\n{"inputs": {"b": [1]}}\n', "input 'b' is not in the rows before"),
    (
        "d.jsonl",
        '{"inputs": {"a": [1], "b": [1]}}\n{"inputs": {"a": [1]}}\n',
        "the rows before is missing",
    ),
    ("d.jsonl", '{"vector": [1], "label": 1}\n{"vector": [1]}\n', "1 of 2 rows have 'label'"),
    ("d.jsonl", '{"vector": [1], "label": -1}\n', "'label' is not a whole number"),
    ("d.jsonl", '{"vector": [1], "expected": "x"}\n', "'expected' is not as many numbers"),
    ("d.npz", b"junk", "d.npz"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BAD, ids=[f"{row[0]} {row[2]}" for row in BAD])
def test_a_bad_file_is_refused_with_file_line_and_reason(tmp_path, name, content, reason):
    path = write(tmp_path, name, content)
    with pytest.raises(UsageError) as error:
        read_dataset(path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_arrays_of_different_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.ones((2, 1)), b=np.ones((3, 1)))
    with pytest.raises(UsageError, match="differ in their number of rows"):
        read_dataset(tmp_path / "d.npz")


def test_pickled_arrays_are_not_loaded(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(UsageError, match=r"d\.npz"):
        read_dataset(tmp_path / "d.npz")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UsageError, match="no such dataset"):
        read_dataset(tmp_path / "none.csv")
