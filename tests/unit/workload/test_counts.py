"""The reference's file format and parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.errors import UsageError
from streambox.workload import get_workload, read_counts, shape_counts, write_counts


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bursty-load.txt").write_text(" ".join(str(n) for n in range(1, 401)))
    return tmp_path


def test_300_counts_in_groups_of_20_with_80_idle_units_make_1500(folder):
    workload = get_workload(1, 300, 20, 80, "bursty", str(folder))
    assert len(workload) == 1500
    assert workload[:20] == list(range(1, 21))
    assert workload[20:100] == [0] * 80
    assert workload[100:120] == list(range(21, 41))
    assert workload[-80:] == [0] * 80  # the idle time after the last group is kept as well


def test_a_group_that_is_not_full_is_not_followed_by_idle_time(folder):
    assert get_workload(1, 5, 2, 3, "bursty", folder) == [1, 2, 0, 0, 0, 3, 4, 0, 0, 0, 5]


def test_counts_are_scaled_and_cut_to_whole_numbers(folder):
    assert get_workload(0.3, 10, 100, 1, "bursty", folder) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert get_workload(multipile=2.5, len=3, gap_time=9, lap_time=9, type="bursty", directory=folder) == [
        2,
        5,
        7,
    ]


def test_the_list_holds_plain_integers(folder):
    assert {type(count) for count in get_workload(0.5, 30, 10, 2, "bursty", folder)} == {int}


def test_no_idle_time_without_a_gap_time():
    assert shape_counts([1, 2, 3], 2.0) == [2, 4, 6]


def test_a_workload_that_starts_with_idle_units_keeps_them(tmp_path):
    """The reference's load generator crashes on such a file."""
    (tmp_path / "sporadic-load.txt").write_text("0 0 0 5 0 7\n")
    assert get_workload(1, 6, 3, 1, "sporadic", tmp_path) == [0, 0, 0, 0, 5, 0, 7, 0]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 9))
def test_idle_time_adds_units_and_no_requests(counts, gap_time, lap_time):
    shaped = shape_counts(counts, 1.0, None, gap_time, lap_time)
    assert len(shaped) == len(counts) + len(counts) // gap_time * lap_time
    assert sum(shaped) == sum(counts)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_what_is_written_is_read_back(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("counts") / "x-load.txt"
    write_counts(path, counts)
    assert path.read_text().count("\n") == 1
    assert read_counts(path) == counts


def test_tabs_and_line_ends_separate_counts_too(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("1188\t205\t 221\n7")
    assert read_counts(path) == [1188, 205, 221, 7]


def test_leading_zeros_make_no_count_too_large(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(f"{'0' * 5000}7 {'0' * 13}")
    assert read_counts(path) == [7, 0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"1 2 -3", "count 3 is '-3'"),
        (b"1 2.5", "count 2 is '2.5'"),
        (b"nan", "count 1 is 'nan'"),
        (b"1 99999999999999999999", "count 2 is 99999999999999999999: too large, the most is 1e+12"),
        (b"9" * 5000, "count 1 is 99999999999999999999…: too large"),
        (b"x" * 50, "count 1 is 'xxxxxxxxxxxxxxxxxxxx…': expected a whole number"),
        (b"\x00\x01\xff\xfe", "cannot be read"),
        ("٣".encode(), "cannot be read"),
    ],
)
def test_a_file_of_anything_but_counts_is_refused_in_one_line(tmp_path, content, named):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_counts(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"periodic-load\.txt: no such workload file"):
        get_workload(1, 10, 1, 1, "periodic", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"multiple": -1.0}, "multiple"),
        ({"multiple": float("nan")}, "multiple"),
        ({"multiple": float("inf")}, "multiple"),
        ({"multiple": 1e300}, "multiple"),
        ({"gap_time": 1, "lap_time": 10**12}, "time units"),
        ({"length": 0}, "len"),
        ({"gap_time": 0}, "gap_time"),
        ({"gap_time": 1, "lap_time": -1}, "lap_time"),
    ],
)
def test_parameters_that_make_no_workload_are_refused_by_name(arguments, named):
    with pytest.raises(UsageError, match=named):
        shape_counts([1, 2], **arguments)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        write_counts(tmp_path / "no" / "such" / "folder.txt", [1])


def test_len_past_the_end_takes_what_there_is(tmp_path):
    (tmp_path / "bursty-load.txt").write_text("4 5 6")
    assert get_workload(1, 300, 2, 1, "bursty", tmp_path) == [4, 5, 0, 6]


def test_a_folder_is_no_workload_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_counts(tmp_path)
