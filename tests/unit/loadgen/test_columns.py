"""Columns in files: what is written is there, for us and for whoever comes after."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.columns import ColumnFolder


def test_a_column_begins_empty_of_anything_and_keeps_what_is_written(tmp_path):
    folder = ColumnFolder(tmp_path / "columns")
    column = folder.create("sent_ns", 3, "<i8")
    assert column.tolist() == [0, 0, 0]
    column[1] = 7
    assert ColumnFolder(tmp_path / "columns").open("sent_ns", "<i8").tolist() == [0, 7, 0]


def test_a_column_is_mapped_once_so_that_all_its_memory_can_be_let_go(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("sent_ns", 2, "<i8")
    assert folder.open("sent_ns", "<i8") is column
    ColumnFolder(tmp_path).grow("sent_ns", column, 4)
    assert len(folder.open("sent_ns", "<i8")) == 4


def test_two_who_map_a_column_see_what_the_other_writes(tmp_path):
    ours = ColumnFolder(tmp_path).create("sent_ns", 2, "<i8")
    theirs = ColumnFolder(tmp_path).open("sent_ns", "<i8")
    ours[0], theirs[1] = 1, 2
    assert ours.tolist() == theirs.tolist() == [1, 2]


def test_a_trimmed_column_still_holds_everything(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("done_ns", 100_000, "<i8")
    column[:] = np.arange(100_000)
    folder.trim()
    assert (column == np.arange(100_000)).all()


def test_a_column_grows_and_keeps_what_it_had(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("kind", 2, "u1")
    column[0] = 1
    column = folder.grow("kind", column, 4)
    assert column.tolist() == [1, 0, 0, 0]
    assert folder.open("kind", "u1").tolist() == [1, 0, 0, 0]


def test_a_column_that_somebody_else_has_made_longer_is_not_cut_off(tmp_path):
    ours, theirs = ColumnFolder(tmp_path), ColumnFolder(tmp_path)
    column = ours.create("kind", 2, "u1")
    theirs.grow("kind", theirs.open("kind", "u1"), 8)[7] = 5
    assert ours.grow("kind", column, 4).tolist() == [0, 0, 0, 0]
    assert theirs.open("kind", "u1").tolist() == [0, 0, 0, 0, 0, 0, 0, 5]


def test_a_column_may_begin_without_entries(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("kind", 0, "u1")
    assert len(column) == 0
    assert folder.grow("kind", column, 2).tolist() == [0, 0]


def test_room_is_taken_beforehand(tmp_path):
    ColumnFolder(tmp_path).create("sent_ns", 100_000, "<i8")
    assert (tmp_path / "sent_ns").stat().st_blocks * 512 >= 800_000


def test_more_than_the_disk_holds_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(OSError, match=r"No space|too large"):
        ColumnFolder(tmp_path).create("sent_ns", 1 << 58, "<i8")
