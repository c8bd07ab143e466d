"""The file of durations beside a day of Azure Functions 2019: its columns, its rows, and what is not one."""

from __future__ import annotations

import gzip
import hashlib
import math

import pytest

from streambox.errors import UsageError
from streambox.workload.traces import read_durations

PERCENTS = (0, 1, 25, 50, 75, 99, 100)
HEADER = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum," + ",".join(
    f"percentile_Average_{percent}" for percent in PERCENTS
)
ROW = "o,a,f,100,10,20,400,30,31,60,90,120,300,390"
COUNTS = "HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,1,2\n"
MEMORY = "HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\no,a,5,120,100\n"


@pytest.fixture
def read(tmp_path):
    def read(*lines: str, on_bad_row="fail"):
        path = tmp_path / "d.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_durations(str(path), on_bad_row)

    return read


def figures(durations, name: str) -> tuple[float, ...]:
    """Mean, minimum, maximum and percentiles of a function."""
    row = durations.row_of[name]
    columns = (durations.mean_ms, durations.minimum_ms, durations.maximum_ms)
    return (*(float(column[row]) for column in columns), *durations.percentiles_ms[row].tolist())


def test_a_row_tells_how_long_a_function_ran_in_ms(read, tmp_path):
    durations = read(HEADER, ROW, "o,a,g,1.5,3,0.25,7.125,1,1,1,1.5,2,6,7")
    assert durations.row_of == {"o/a/f": 0, "o/a/g": 1}
    assert durations.percents == PERCENTS
    assert figures(durations, "o/a/f") == (100, 20, 400, 30, 31, 60, 90, 120, 300, 390)
    assert figures(durations, "o/a/g") == (1.5, 0.25, 7.125, 1, 1, 1, 1.5, 2, 6, 7)
    assert (durations.rows, durations.skipped, durations.notes()) == (2, 0, [])
    assert durations.sha256 == hashlib.sha256((tmp_path / "d.csv").read_bytes()).hexdigest()


def test_several_rows_of_a_function_are_averaged_by_their_executions(read):
    durations = read(HEADER, ROW, "o,a,f,20,30,1,500,2,3,4,10,20,30,40")
    assert durations.row_of == {"o/a/f": 0}
    mean_ms, minimum_ms, maximum_ms, *percentiles_ms = figures(durations, "o/a/f")
    assert (mean_ms, minimum_ms, maximum_ms) == (40, 1, 500)
    assert percentiles_ms == [9, 10, 18, 30, 45, 97.5, 127.5]


HEADERS = {
    "in lower case": (HEADER.lower(), ROW),
    "after a byte order mark": ("\ufeff" + HEADER, ROW),
    "with blanks and quotes": (
        HEADER.replace(",", ", "),
        '"o","a","f",' + ROW.partition("f,")[2],
    ),
    "in another order, with a column more": (
        "Day," + ",".join(reversed(HEADER.split(","))),
        "3," + ",".join(reversed(ROW.split(","))),
    ),
    "with carriage returns and a blank line": (HEADER + "\r", "\r\n" + ROW + "\r"),
}


@pytest.mark.parametrize(("header", "row"), HEADERS.values(), ids=list(HEADERS))
def test_a_header_may_be_written_otherwise(header, row, read):
    durations = read(header, row)
    assert figures(durations, "o/a/f") == (100, 20, 400, 30, 31, 60, 90, 120, 300, 390)


def test_percentiles_are_those_that_there_are(read):
    base = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum"
    some = read(f"{base},percentile_Average_95,percentile_Average_5", "o,a,f,9,1,1,20,19,2")
    assert (some.percents, figures(some, "o/a/f")) == ((5, 95), (9, 1, 20, 2, 19))
    none = read(base, "o,a,f,9,1,1,20")
    assert (none.percents, figures(none, "o/a/f")) == ((), (9, 1, 20))


def test_a_gzip_file_will_do(tmp_path):
    path = tmp_path / "d.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{ROW}\n".encode()))
    assert read_durations(str(path)).row_of == {"o/a/f": 0}


@pytest.mark.parametrize("cells", [",", "nan,400", "20,NaN", "0,0", "150,400", "20,50"])
def test_a_minimum_and_maximum_that_were_not_recorded_are_left_out(cells, read):
    """The data set lacks some; which shows where they do not enclose the mean, too."""
    durations = read(HEADER, ROW.replace("20,400", cells), ROW.replace(",f,", ",g,"))
    mean_ms, minimum_ms, maximum_ms, *_ = figures(durations, "o/a/f")
    assert mean_ms == 100
    assert math.isnan(minimum_ms)
    assert math.isnan(maximum_ms)
    assert figures(durations, "o/a/g")[1:3] == (20, 400)
    (note,) = durations.notes()
    assert note.endswith("d.csv: without minimum and maximum: 1 functions")


def test_a_mean_rounded_past_the_maximum_keeps_it(read):
    assert figures(read(HEADER, ROW.replace("100,10,20,400", "100,10,20,99.5")), "o/a/f")[:3] == (
        100,
        20,
        99.5,
    )


def test_a_function_that_never_was_executed_has_no_duration(read):
    durations = read(HEADER, ROW.replace("100,10", "0,0"), ROW.replace(",f,", ",g,"))
    assert durations.row_of == {"o/a/g": 0}
    assert figures(durations, "o/a/g")[0] == 100


# ---- rows that cannot be used --------------------------------------------------------------------

BAD = {
    "too few columns": ("o,a,f,100", "it has 4 columns, the header has 14"),
    "no number": (ROW.replace("100,", "soon,"), "Average is 'soon': expected a number"),
    "no mean": (ROW.replace("100,", "NaN,"), "Average is 'NaN': expected a number"),
    "a negative mean": (ROW.replace("100,", "-5,"), "Average is '-5': negative"),
    "half an execution": (ROW.replace(",10,", ",1.5,"), "Count is '1.5': expected a whole number"),
    "a negative minimum": (ROW.replace(",20,", ",-1,"), "Minimum is '-1': negative"),
    "a maximum of no number": (ROW.replace(",400,", ",x,"), "Maximum is 'x': expected a number"),
    "a blank percentile": (ROW.replace(",90,", ",,"), "percentile_Average_50 is '': expected a number"),
    "an endless percentile": (ROW.replace(",390", ",inf"), "percentile_Average_100 is 'inf'"),
}


@pytest.mark.parametrize(("row", "reason"), BAD.values(), ids=list(BAD))
def test_a_bad_row_is_named_with_its_line_or_skipped_and_counted(row, reason, read):
    with pytest.raises(UsageError) as caught:
        read(HEADER, ROW, row)
    assert f"d.csv:3: {reason}" in str(caught.value)
    assert str(caught.value).endswith("(--on-bad-row skip leaves it out)")
    durations = read(HEADER, row, ROW, row, on_bad_row="skip")
    assert (durations.rows, durations.skipped, list(durations.row_of)) == (3, 2, ["o/a/f"])
    assert figures(durations, "o/a/f")[0] == 100
    assert f"d.csv: line 2: {reason}" in durations.notes()[0]


# ---- what is no file of durations ----------------------------------------------------------------

WRONG = {
    "the counts": (COUNTS, "tells how often functions were called, not how long they ran"),
    "the memory": (MEMORY, "is no header of durations: give --durations the function_durations_percentiles"),
    "another trace": ("app,func,end_timestamp,duration\na,f,1,1\n", "is no header of durations"),
    "a column short": (HEADER.replace("Count", "N") + "\n" + ROW, "there is no column 'count'"),
    "nothing": ("", "is empty: give --durations"),
    "a header alone": (HEADER, "none of its 0 rows tells a duration"),
    "no execution": (f"{HEADER}\n{ROW.replace('100,10', '100,0')}", "none of its 1 rows tells a duration"),
    "a schedule": ("PAR1....", "is a Parquet file"),
}


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=list(WRONG))
def test_another_file_is_told_apart_in_one_line(text, reason, tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_durations(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said_to_be_one_of_durations(tmp_path):
    with pytest.raises(UsageError, match=r"none\.csv: no such file of durations"):
        read_durations(str(tmp_path / "none.csv"))


def test_where_all_rows_are_skipped_the_first_is_named(read):
    with pytest.raises(
        UsageError, match="none of its 1 rows tells a duration; the first row skipped, line 2"
    ):
        read(HEADER, "o,a,f", on_bad_row="skip")
