"""A trace file from the disk to events: what can be wrong with it, parts of it, and what it costs."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import tracemalloc

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.arrivals import MOST_REQUESTS
from streambox.workload.traces import TraceOptions, read_trace
from streambox.workload.traces.arrivals import MOST_FUNCTIONS, Functions
from streambox.workload.traces.base import BadRow
from streambox.workload.traces.file import TraceFile

SECOND = 1_000_000_000


def written(tmp_path, content: bytes, name: str = "trace") -> str:
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def read(path: str, seed: int = 1, progress=None, **options):
    return read_trace(TraceOptions(path=path, **options), np.random.default_rng(seed), progress)


# ---- what is no trace ----------------------------------------------------------------------------

JUNK = {
    "empty": (b"", "is empty: expected a trace"),
    "blank": (b"\n \n\r\n", "is empty"),
    "a header alone": (b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "has a header, and no row below it"),
    "quotes without an end": (b'"' + b"[" * 200_000, "no trace format that is known"),
    "JSON without a bottom": (b'{"t": 1, "x": ' + b"[" * 200_000, "no trace format that is known"),
    "counts of nothing": (b"0 0 0\n", "none of its 1 rows holds a request"),
    "zeros": (bytes(100), "is no text, and so no trace"),
    "noise": (bytes(range(128, 256)) * 10, "no trace format that is known"),
    "a zip archive": (b"PK\x03\x04rest", "is a zip archive: unpack it"),
    "a rar archive": (b"Rar!\x1a\x07", "is a rar archive: unpack it"),
    "a schedule": (b"PAR1....", "a schedule is replayed with load --schedule"),
    "half of a gzip file": (gzip.compress(b"1.5\n" * 1000)[:30], "cannot be read"),
    "a damaged gzip file": (b"\x1f\x8b" + bytes(50), "cannot be read"),
    "a zip archive in a gzip file": (gzip.compress(b"PK\x03\x04rest"), "is a zip archive"),
}


@pytest.mark.parametrize(("content", "reason"), JUNK.values(), ids=list(JUNK))
def test_what_is_no_trace_is_refused_in_one_line_that_says_why(content, reason, tmp_path):
    with pytest.raises(UsageError) as caught:
        read(written(tmp_path, content))
    assert str(caught.value).startswith(f"{tmp_path / 'trace'}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such trace"):
        read(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=os.strerror(errno.EISDIR)):
        read(str(tmp_path))


def test_an_endless_line_is_given_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr("streambox.workload.traces.file.LONGEST_LINE", 1000)
    with pytest.raises(UsageError, match=r"trace:2: is longer than"):
        read(written(tmp_path, b"1.5\n" + b"1" * 5000))


def test_counts_beyond_what_can_be_replayed_are_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(UsageError, match=r"trace:1: more than 5e\+07 requests up to here: read a part"):
        read(written(tmp_path, b"1 900000000000\n"))


def test_more_calls_than_can_be_replayed_are_refused_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("streambox.workload.traces.read.MOST_REQUESTS", 10_000)
    path = written(tmp_path, b"".join(b"%d.5\n" % number for number in range(30_000)))
    with pytest.raises(UsageError, match=r"trace:16384: more than"):
        read(path)
    assert len(read(path, thin=0.1).events) < 10_000


def test_more_functions_than_a_trace_has_are_refused(monkeypatch):
    monkeypatch.setattr("streambox.workload.traces.arrivals.MOST_FUNCTIONS", 2)
    functions = Functions()
    assert [functions.number(name) for name in (b"a", b"b", b"a")] == [0, 1, 0]
    with pytest.raises(BadRow, match="more than 2 functions"):
        functions.number(b"c")
    assert MOST_FUNCTIONS < MOST_REQUESTS


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"thin": 0}, "thin is 0"),
        ({"thin": 1.5}, "thin is 1.5"),
        ({"thin": float("nan")}, "thin is nan"),
        ({"unit_ns": 0}, "time unit"),
        ({"from_ns": 5, "to_ns": 5}, "--to is not after --from"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        read(written(tmp_path, b"0.5\n1.5\n"), **options)


# ---- rows that cannot be used --------------------------------------------------------------------


def test_the_first_few_rows_that_were_skipped_are_named_and_all_are_counted(tmp_path):
    path = written(tmp_path, b"0.5\n" + b"x\n" * 20 + b"\n1.5\n")
    trace = read(path, on_bad_row="skip")
    assert (trace.rows, trace.skipped, len(trace.events)) == (22, 20, 2)
    assert trace.reasons == tuple(
        f"line {n}: the timestamp is 'x': expected a number" for n in (2, 3, 4, 5, 6)
    )


def test_where_all_are_skipped_the_first_is_named(tmp_path):
    path = written(tmp_path, b"app,func,end_timestamp,duration\n\na,f,x,1\na,f,y,1\n")
    with pytest.raises(UsageError, match="none of its 2 rows holds a request; the first row skipped, line 3"):
        read(path, on_bad_row="skip")


# ---- files ---------------------------------------------------------------------------------------


def test_a_gzip_file_is_read_as_if_it_were_not(tmp_path):
    content = b"".join(b"%d.25\n" % number for number in range(20_000))
    plain = read(written(tmp_path, content))
    packed_path = written(tmp_path, gzip.compress(content), "trace.csv.gz")
    packed = read(packed_path)
    assert packed.events.instants_ns.tolist() == plain.events.instants_ns.tolist()
    assert plain.sha256 == hashlib.sha256(content).hexdigest()
    with open(packed_path, "rb") as file:
        assert packed.sha256 == hashlib.file_digest(file, "sha256").hexdigest()


def test_a_pipe_will_do(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR)  # neither end waits for the other
    os.write(end, b"1.5\n2.5\n")
    with TraceFile(str(path)) as file:
        lines = iter(file)
        assert [next(lines), next(lines)] == [b"1.5", b"2.5"]
        assert (file.size_bytes, file.read_bytes) == (0, 8)
    os.close(end)


def test_progress_is_told_in_bytes_of_the_file_up_to_its_end(tmp_path):
    content = b"".join(b"%d.25\n" % number for number in range(100_000))
    told: list[tuple[int, int]] = []
    read(written(tmp_path, gzip.compress(content)), progress=lambda *progress: told.append(progress))
    read_bytes, size_bytes = zip(*told, strict=True)
    assert len(told) == 100_000 // 8192
    assert list(read_bytes) == sorted(read_bytes)
    assert set(size_bytes) == {len(gzip.compress(content))}
    assert read_bytes[-1] <= size_bytes[-1]


def test_an_interrupt_ends_the_reading(tmp_path):
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(written(tmp_path, b"1.5\n" * 10_000), progress=interrupted)


def test_reading_a_million_rows_would_take_a_few_dozen_bytes_for_each(tmp_path):
    """A list of tuples would take 150 and more."""
    rows = 200_000
    content = b"".join(b"a,f%d,%d.5,0.25\n" % (number % 7, number) for number in range(rows, 0, -1))
    path = written(tmp_path, b"app,func,end_timestamp,duration\n" + content)
    tracemalloc.start()
    try:
        events = read(path).events
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(events) == rows
    assert peak_bytes < 64 * rows


# ---- parts of a trace ----------------------------------------------------------------------------


def test_a_part_is_cut_out_and_begins_at_zero(tmp_path):
    path = written(tmp_path, b"".join(b"%d.5\n" % number for number in range(10, 20)))
    events = read(path, from_ns=3 * SECOND, to_ns=6 * SECOND).events
    assert events.instants_ns.tolist() == [0, SECOND, 2 * SECOND]
    assert events.duration_ns == 3 * SECOND
    assert len(read(path, from_ns=3 * SECOND).events) == 7
    assert read(path, to_ns=3600 * SECOND).events.duration_ns == 9 * SECOND + 1


def test_a_part_of_counts_is_cut_out_before_it_is_drawn(tmp_path):
    path = written(tmp_path, b"60000000 3 5 60000000\n")  # drawn whole it would be too many
    events = read(path, from_ns=SECOND, to_ns=3 * SECOND).events
    assert events.counts_per_unit(SECOND).tolist() == [3, 5]
    assert events.duration_ns == 2 * SECOND


def test_a_part_may_begin_within_a_unit(tmp_path):
    path = written(tmp_path, b"0 1000 0\n")
    events = read(path, from_ns=SECOND + SECOND // 2, to_ns=3 * SECOND).events
    assert 400 < len(events) < 600
    assert events.instants_ns.max() < SECOND // 2
    assert events.duration_ns == 3 * SECOND // 2


def test_a_part_without_a_request_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no request is between 1h and"):
        read(written(tmp_path, b"0.5\n1.5\n"), from_ns=3600 * SECOND)
    with pytest.raises(UsageError, match="no request is between 100ms and 200ms of its 1000000001ns"):
        read(written(tmp_path, b"0.5\n1.5\n"), from_ns=SECOND // 10, to_ns=SECOND // 5)


@pytest.mark.parametrize("content", [b"".join(b"%d.5\n" % n for n in range(50_000)), b"50000 0\n"])
def test_thinning_keeps_each_request_with_its_probability(content, tmp_path):
    path = written(tmp_path, content)
    kept = len(read(path, thin=0.3).events)
    assert abs(kept - 15_000) < 5 * np.sqrt(50_000 * 0.3 * 0.7)
    assert len(read(path, thin=0.3).events) == kept
    assert (
        read(path, thin=0.3, seed=2).events.instants_ns.tolist()
        != read(path, thin=0.3).events.instants_ns.tolist()
    )


def test_arrivals_of_counts_are_the_seeds_own(tmp_path):
    path = written(tmp_path, b"5 3 8\n")
    first, again, other = (read(path, seed=seed).events.instants_ns.tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ('{"timestamp": 1700158546500, "input_length": 1, "output_length": 1}', "2023-11-16 18:15:46.5"),
        ('{"timestamp": 27482, "input_length": 1, "output_length": 1}', "27482ms"),
    ],
)
def test_where_a_trace_begins_is_told_as_a_date_if_it_counts_from_1970_on(tmp_path, line, moment):
    path = tmp_path / "trace.jsonl"
    path.write_text(f"{line}\n")
    assert read_trace(TraceOptions(path=str(path))).notes == (
        f"the first arrival, at {moment} of the trace, is at 0",
    )
