"""The schedule: drawn whole, seeded, hashed, the same on any machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streambox.errors import UsageError
from streambox.workload.schedule import Lane, Schedule, draw_payloads


def schedule(**changes) -> Schedule:
    content = {
        "intended_ns": np.array([0, 5, 9], np.int64),
        "payload": np.array([2, 0, 1], np.int32),
        "lane": np.array([0, 1, 0], np.uint8),
        "lanes": (Lane("digits", "acme"), Lane("resnet50", "zoo")),
        "recipe": {"seed": 3, "duration_ns": 1000},
    }
    return Schedule(**{**content, **changes})


def test_it_comes_back_from_its_file(tmp_path):
    path = tmp_path / "schedule.parquet"
    schedule().to_parquet(path)
    back = Schedule.from_parquet(path)
    assert back.intended_ns.tolist() == [0, 5, 9]
    assert back.intended_ns.dtype == np.int64
    assert back.payload.tolist() == [2, 0, 1]
    assert back.payload.dtype == np.int32
    assert (back.lane.tolist(), back.lanes) == ([0, 1, 0], schedule().lanes)
    assert (back.recipe, back.sha256) == (schedule().recipe, schedule().sha256)


def test_the_file_can_be_read_without_us(tmp_path):
    path = tmp_path / "schedule.parquet"
    schedule().to_parquet(path)
    table = pq.read_table(path)
    assert table.column_names == ["intended_ns", "model", "tenant", "payload"]
    assert table["model"].to_pylist() == ["digits", "resnet50", "digits"]
    assert table["tenant"].to_pylist() == ["acme", "zoo", "acme"]


def test_the_hash_is_that_of_its_documented_content():
    content = b'streambox-schedule-2\0[["digits", "acme"], ["resnet50", "zoo"]]\0'
    content += np.array([0, 5, 9], "<i8").tobytes() + np.array([2, 0, 1], "<i4").tobytes()
    content += bytes([0, 1, 0])
    assert schedule().sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"intended_ns": np.array([0, 5, 10], np.int64)},
        {"payload": np.array([2, 0, 0], np.int32)},
        {"lane": np.array([0, 0, 0], np.uint8)},
        {"lanes": (Lane("digits", "acme"), Lane("resnet50", "acme"))},
    ],
)
def test_the_hash_tells_schedules_apart(change):
    assert schedule(**change).sha256 != schedule().sha256


def test_the_recipe_is_not_part_of_the_hash():
    assert schedule(recipe={}).sha256 == schedule().sha256


def test_it_lasts_as_long_as_its_workload_not_only_to_its_last_request():
    """The reference's load generator loses the idle time of ``lap_time``."""
    assert schedule().duration_ns == 1000
    assert schedule(recipe={}).duration_ns == 9


def test_a_file_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "schedule.parquet"
    schedule().to_parquet(path)
    table = pq.read_table(path)
    changed = table.set_column(0, "intended_ns", pa.array([0, 5, 8], pa.int64()))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(UsageError, match="does not match its hash"):
        Schedule.from_parquet(path)


@pytest.mark.parametrize("content", [b"", b"not parquet at all"])
def test_a_file_that_is_no_schedule_is_refused_by_name(tmp_path, content):
    path = tmp_path / "schedule.parquet"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"schedule\.parquet: not a schedule"):
        Schedule.from_parquet(path)


def test_somebody_elses_parquet_file_is_refused(tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UsageError, match="not a schedule"):
        Schedule.from_parquet(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such schedule"):
        Schedule.from_parquet(tmp_path / "none.parquet")


def test_payloads_are_drawn_uniformly_from_all_there_are():
    payload = draw_payloads(90_000, 9, np.random.default_rng(0))
    assert payload.dtype == np.int32
    shares = np.bincount(payload, minlength=9)
    assert len(shares) == 9
    assert ((shares - 10_000) ** 2 / 10_000).sum() < 26.1  # the 99.9 % point of eight degrees of freedom


def test_a_closed_loop_has_payloads_and_no_instants_in_its_file(tmp_path):
    path = tmp_path / "schedule.parquet"
    closed = schedule(intended_ns=np.empty(0, np.int64), recipe={"mode": "closed-loop"})
    closed.to_parquet(path)
    assert pq.read_table(path)["intended_ns"].to_pylist() == [None] * 3
    back = Schedule.from_parquet(path)
    assert (len(back), back.payload.tolist(), back.sha256) == (0, [2, 0, 1], closed.sha256)


def test_a_file_whose_instants_are_no_numbers_is_refused(tmp_path):
    path = tmp_path / "schedule.parquet"
    schedule().to_parquet(path)
    table = pq.read_table(path)
    for column in (pa.array([[1], [2], [3]]), pa.array(["a", "b", "c"]), pa.nulls(3, pa.int64())):
        changed = table.set_column(0, "intended_ns", column)
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
        with pytest.raises(UsageError, match=r"schedule\.parquet"):
            Schedule.from_parquet(path)


def test_the_busiest_second_is_found_wherever_the_parts_that_are_read_end(monkeypatch):
    instants_ns = [0, 10**9, 10**9 + 5, 2 * 10**9 - 1, 10**15, 10**15 + 1]
    whole = schedule(intended_ns=np.array(instants_ns, np.int64))
    for at_once in range(1, 8):
        monkeypatch.setattr("streambox.workload.schedule._ROWS_AT_ONCE", at_once)
        assert whole.busiest_second == 3
    assert schedule(intended_ns=np.empty(0, np.int64)).busiest_second == 0
