"""Files of arrivals, whatever kind they are."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.schedule import Lane, Schedule, parse_lane
from streambox.workload.source import kind_of, read_source

SECOND = 1_000_000_000


def read(path, seed=0):
    return read_source(path, np.random.default_rng(seed))


def schedule(instants, **recipe):
    lane = (np.arange(len(instants)) % 2).astype(np.uint8)
    lanes = (Lane("digits"), Lane("ranker", "acme"))
    return Schedule(np.array(instants, np.int64), np.zeros(len(instants), np.int32), lane, lanes, recipe)


def test_a_pattern_file_gives_its_counts_at_instants_within_their_seconds(tmp_path):
    path = tmp_path / "x-load.txt"
    path.write_text("3 0 5 0")
    events = read(path)
    assert events.counts_per_unit(SECOND).tolist() == [3, 0, 5, 0]
    assert (
        read(path).instants_ns.tolist() == events.instants_ns.tolist() != read(path, 1).instants_ns.tolist()
    )


def test_a_schedule_gives_its_instants_with_its_lanes_as_functions(tmp_path):
    path = tmp_path / "named-anyhow"
    schedule([1, 5, 9], duration_ns=70).to_parquet(path)
    events = read(path)
    assert (events.instants_ns.tolist(), events.duration_ns) == ([1, 5, 9], 70)
    assert [events.functions[f] for f in events.function] == ["digits", "ranker/acme", "digits"]


def test_a_schedule_that_does_not_say_how_long_it_lasts_ends_after_its_last_request(tmp_path):
    schedule([1, 5, 9]).to_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet").duration_ns == 10


def test_an_empty_schedule_is_no_error(tmp_path):
    schedule([], duration_ns=70).to_parquet(tmp_path / "x.parquet")
    assert (len(read(tmp_path / "x.parquet")), read(tmp_path / "x.parquet").duration_ns) == (0, 70)


BAD = [
    (b"", "x: is empty"),
    (b"1 -2", "x: count 2 is '-2'"),
    (b"1 2.5", "x: count 2 is '2.5'"),
    (b"1 99999999999999", "x: count 2"),
    (b"1 nan", "x: count 2 is 'nan'"),
    (b"nan", "x: begins with 'nan', which is no trace format"),
    (b"how do you do", "x: begins with 'how do you do', which is no trace format"),
    (b"\x00\xff\xfe junk", "x: is no text"),
    (b"PAR1 and then junk", "x: not a schedule of ours"),
    (b"99999999999 1", r"the workload has 1e\+11 requests, the most is"),
]


@pytest.mark.parametrize(("content", "reason"), BAD, ids=[repr(row[0]) for row in BAD])
def test_a_file_that_is_no_source_is_refused_in_one_line(tmp_path, content, reason):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=reason) as caught:
        read(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none\.txt: no such file"):
        read(tmp_path / "none.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)


def test_a_closed_loop_has_nothing_to_read(tmp_path):
    closed = Schedule.of_lane(np.empty(0, np.int64), np.zeros(4, np.int32), Lane("digits"), {})
    closed.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="closed loop has no instants"):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize("instants", [[5, 1], [-1, 3]])
def test_a_schedule_out_of_order_is_refused(tmp_path, instants):
    schedule(instants).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="not in order from 0 on"):
        read(tmp_path / "x.parquet")


TRACES = [
    ("t.jsonl", b'{"t": 0.5, "model": "a"}\n{"t": 1.5, "model": "b"}\n'),
    ("t.csv", b"app,func,end_timestamp,duration\nx,f,1.0,0.5\nx,g,2.0,0.5\n"),
]


@pytest.mark.parametrize(("name", "content"), TRACES, ids=[row[0] for row in TRACES])
def test_a_trace_is_read_by_its_first_lines(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    events = read_source(tmp_path / name, np.random.default_rng(0))
    assert np.diff(events.instants_ns).tolist() == [1_000_000_000]
    assert len(events.functions) == 2


KINDS = [
    (b"1 2 3", "pattern"),
    (b"  0\t5\n7 8", "pattern"),
    (b"1 -2 nan 2.5", "pattern"),  # meant as one: its reader says what is wrong
    (b"5\n7\n", "trace"),
    (b'{"t": 0.5}', "trace"),
    (b"2023-11-16 18:17:03.9799600,374,44", "trace"),
    (b"PAR1", "schedule"),
    (b"\x7fELF 1 2", "trace"),
    (b"", "trace"),
]


@pytest.mark.parametrize(("content", "kind"), KINDS, ids=[repr(row[0]) for row in KINDS])
def test_what_a_file_is_is_seen_from_how_it_begins(tmp_path, content, kind):
    (tmp_path / "x").write_bytes(content)
    assert kind_of(tmp_path / "x") == kind


def test_lanes_with_slashes_in_their_models_are_told_apart(tmp_path):
    lanes = (Lane("org/net"), Lane("org", "net"))
    made = Schedule(np.arange(2), np.zeros(2, np.int32), np.array([0, 1], np.uint8), lanes, {})
    made.to_parquet(tmp_path / "x.parquet")
    assert [parse_lane(name) for name in read(tmp_path / "x.parquet").functions] == list(lanes)
