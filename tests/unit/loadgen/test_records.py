"""Rows for templates: anything that JSON can say, and where a file is wrong."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.records import read_records


def write(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    return tmp_path / name


READ = [
    ("d.csv", "name,age\nann,7\nbob,x\n", [{"name": "ann", "age": 7}, {"name": "bob", "age": "x"}], "names"),
    ("d.csv", "1,2.5\n3,-4e2\n", [[1, 2.5], [3, -400.0]], "numbers alone"),
    (
        "d.csv",
        "zip\n00501\n12345678901234567890\n",
        [{"zip": "00501"}, {"zip": "12345678901234567890"}],
        "no numbers",
    ),
    ("d.jsonl", '{"a": "x"}\n\n[1]\n"t"\n', [{"a": "x"}, [1], "t"], "any value"),
]


@pytest.mark.parametrize(("name", "content", "rows", "why"), READ, ids=[row[-1] for row in READ])
def test_rows_are_read(tmp_path, name, content, rows, why):
    assert read_records(write(tmp_path, name, content)).rows == rows


def test_answers_may_come_with_the_rows(tmp_path):
    records = read_records(write(tmp_path, "d.csv", "text,label\ngood,positive\nbad,negative\n"))
    assert (records.labels, records.expected) == (["positive", "negative"], None)
    records = read_records(write(tmp_path, "d.jsonl", '{"x": 1, "expected": [1, 2]}\n'))
    assert (records.labels, records.expected) == (None, [[1, 2]])


def test_an_archive_has_a_row_per_entry(tmp_path):
    np.savez(
        tmp_path / "d.npz", x=np.arange(4).reshape(2, 2), t=np.array(["a", "b"]), expected=np.array([5, 6])
    )
    records = read_records(tmp_path / "d.npz")
    assert records.rows == [{"x": [0, 1], "t": "a"}, {"x": [2, 3], "t": "b"}]
    assert records.expected == [5, 6]


def test_a_folder_has_a_row_per_file(tmp_path):
    for name in ("b/1.bin", "a/2.bin"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    records = read_records(tmp_path)
    assert [row["name"] for row in records.rows] == ["a/2.bin", "b/1.bin"]
    assert [base64.b64decode(row["base64"]) for row in records.rows] == [b"a/2.bin", b"b/1.bin"]
    assert records.labels == [0, 1]


BAD = [
    ("d.txt", "1", "a dataset is a file ending in"),
    ("d.csv", "", "holds no rows"),
    ("d.csv", "a,b\n", "holds no rows"),
    ("d.csv", "a,b\n1\n", ":2: 1 cells under 2 names"),
    ("d.jsonl", '{"a": 1}\n{', ":2: not JSON"),
    ("d.jsonl", '{"a": 1, "label": 1}\n{"a": 1}', "1 of 2 rows have 'label'"),
    ("d.npz", "junk", "d.npz"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BAD, ids=[row[-1] for row in BAD])
def test_a_bad_file_is_refused_with_file_line_and_reason(tmp_path, name, content, reason):
    path = write(tmp_path, name, content)
    with pytest.raises(UsageError) as error:
        read_records(path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_number_that_json_cannot_say_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.array([1.0, np.nan]))
    with pytest.raises(UsageError, match="holds a NaN"):
        read_records(tmp_path / "d.npz")
