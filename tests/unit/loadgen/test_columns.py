"""Columns in files: what is written is there, for us and for whoever comes after."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.columns import ColumnFolder


def test_a_column_begins_filled_and_keeps_what_is_written(tmp_path):
    folder = ColumnFolder(tmp_path / "columns")
    column = folder.create("sent_ns", 3, "<i8", -1)
    assert column.tolist() == [-1, -1, -1]
    column[1] = 7
    assert ColumnFolder(tmp_path / "columns").open("sent_ns", "<i8").tolist() == [-1, 7, -1]


def test_a_trimmed_column_still_holds_everything(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("done_ns", 100_000, "<i8", -1)
    column[:] = np.arange(100_000)
    folder.trim()
    assert (column == np.arange(100_000)).all()


def test_a_column_grows_and_what_is_new_is_filled(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("kind", 2, "u1", 5)
    column[0] = 1
    column = folder.grow("kind", column, 4, 5)
    assert column.tolist() == [1, 5, 5, 5]
    assert folder.open("kind", "u1").tolist() == [1, 5, 5, 5]


def test_a_column_may_begin_empty(tmp_path):
    folder = ColumnFolder(tmp_path)
    column = folder.create("kind", 0, "u1", 5)
    assert len(column) == 0
    assert folder.grow("kind", column, 2, 5).tolist() == [5, 5]


def test_room_is_taken_beforehand(tmp_path):
    ColumnFolder(tmp_path).create("sent_ns", 100_000, "<i8", 0)
    assert (tmp_path / "sent_ns").stat().st_blocks * 512 >= 800_000


def test_more_than_the_disk_holds_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(OSError, match=r"No space|too large"):
        ColumnFolder(tmp_path).create("sent_ns", 1 << 58, "<i8", 0)
