"""Every trace format, on a tiny file of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.traces import FORMATS, TraceOptions, read_trace

if TYPE_CHECKING:
    from streambox.workload.traces import Trace

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@pytest.fixture
def read(tmp_path):
    """Reads *text* as a trace."""

    def read(text: str, **options) -> Trace:
        path = tmp_path / "trace"
        path.write_text(text)
        return read_trace(TraceOptions(path=str(path), **options), np.random.default_rng(1))

    return read


def calls(trace: Trace) -> list[tuple[int, str]]:
    events = trace.events
    return list(zip(events.instants_ns.tolist(), [events.functions[f] for f in events.function], strict=True))


def counts(trace: Trace, unit_ns: int) -> dict[str, list[int]]:
    """How often each function was called in each unit."""
    units = trace.events.duration_ns // unit_ns
    assert units * unit_ns == trace.events.duration_ns
    return {
        name: np.bincount(trace.events.of_function(number) // unit_ns, minlength=units).tolist()
        for number, name in enumerate(trace.events.functions)
    }


# ---- one instant per call ------------------------------------------------------------------------


class Case(NamedTuple):
    """A file, and the calls in it: ns from the first one on, unless the format says otherwise."""

    format: str
    text: str
    calls: list[tuple[int, str]]


CASES = {
    "arrival is end less duration, then sorted": Case(
        "azure-functions-2021",
        "app,func,end_timestamp,duration\n"
        "a,f,10.5,0.25\n"
        "a,g,11.0,10.999999999\n"
        "b,f,1209599.123456789,1e-05\n",
        [(0, "a/g"), (10_250_000_000 - 1, "a/f"), (1_209_599_123_446_789 - 1, "b/f")],
    ),
    "an invocation under way when the trace begins comes first": Case(
        "azure-functions-2021",
        "app,func,end_timestamp,duration\na,f,1,0.5\na,f,2,5\n",
        [(0, "a/f"), (3_500_000_000, "a/f")],
    ),
    "2023 has seven digits behind the point": Case(
        "azure-llm",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:15:50.9951691,396,109\n",
        [(0, ""), (4_314_579_100, "")],
    ),
    "2024 has an offset, and not always a fraction": Case(
        "azure-llm",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00.009930+00:00,2162,5\n"
        "2024-05-10 00:00:01+00:00,2399,6\n"
        "2024-05-11 00:00:00.5+00:00,76,15\n",
        [(0, ""), (990_070_000, ""), (86_400_490_070_000, "")],
    ),
    "version 1 and 2 of BurstGPT": Case(
        "burstgpt",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n"
        "45.5,GPT-4,1087,230,1317,API log\n",
        [(0, "ChatGPT"), (40_500_000_000, "GPT-4")],
    ),
    "version 3 has a session and a time more": Case(
        "burstgpt",
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "19440110.0,1722ac82-0a46,43,GPT-4,906,446,1352,Conversation log\n"
        "19440161.0,,2,ChatGPT,36,29,65,Conversation log\n",
        [(0, "GPT-4"), (51_000_000_000, "ChatGPT")],
    ),
    "Mooncake counts ms": Case(
        "mooncake",
        '{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}\n'
        '{"timestamp": 30535.25, "input_length": 1, "output_length": 26, "hash_ids": []}\n',
        [(0, ""), (3_053_250_000, "")],
    ),
    "intervals add up, the first of them from the start on": Case(
        "intervals", "100000\n200000\n500\n", [(100_000_000, ""), (300_000_000, ""), (300_500_000, "")]
    ),
    "equal intervals are no instants": Case("intervals", "250\n250\n", [(250_000, ""), (500_000, "")]),
    "instants in s": Case(
        "timestamps", "0.5\n1.000000001\n7\n", [(0, ""), (500_000_001, ""), (6_500_000_000, "")]
    ),
    "instants since 1970": Case("timestamps", "1700158546.5\n1700158547\n", [(0, ""), (500_000_000, "")]),
    "instants as dates, under a header": Case(
        "timestamps",
        "timestamp\n2024-05-10T00:00:00Z\n2024-05-10T02:00:00.25+02:00\n",
        [(0, ""), (250_000_000, "")],
    ),
    "our own keeps its times and says for whom": Case(
        "jsonl",
        '{"t": 2.5, "model": "digits", "tenant": "acme"}\n{"t": 1e-3, "more": [1]}\n'
        '{"t": 3, "model": "org/m"}\n{"t": 4, "tenant": "zoo"}\n',
        [(1_000_000, ""), (2_500_000_000, "digits/acme"), (3_000_000_000, "org/m/"), (4_000_000_000, "/zoo")],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_every_call_of_a_tiny_trace_is_at_its_instant(case, read):
    trace = read(case.text)
    assert trace.format == case.format
    assert calls(trace) == case.calls
    assert trace.unit_ns is None
    assert (trace.rows, trace.skipped) == (len(case.calls), 0)
    assert trace.events.duration_ns == case.calls[-1][0] + 1


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_format_can_be_said_and_line_ends_do_not_matter(case, read):
    text = "\ufeff" + case.text.replace("\n", "\r\n\r\n")
    assert calls(read(text, format=case.format)) == case.calls


def test_columns_may_be_quoted_and_in_another_order(read):
    trace = read('"ContextTokens","TIMESTAMP","GeneratedTokens","more"\n1,"2023-11-16 18:15:46.5",2,"a,b"\n')
    assert (trace.format, len(trace.events)) == ("azure-llm", 1)


# ---- failures ------------------------------------------------------------------------------------

FAILING = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "0,ChatGPT,472,0,472,API log\n1,ChatGPT,1,2,3,API log\n3,GPT-4,1,0,1,API log\n"
)


def test_failed_requests_are_counted_and_kept(read):
    trace = read(FAILING)
    assert [instant for instant, _ in calls(trace)] == [0, SECOND, 3 * SECOND]
    assert trace.notes[0].startswith("failed requests (no response token): 2, kept")


def test_failed_requests_can_be_dropped(read):
    trace = read(FAILING, failures="drop")
    assert calls(trace) == [(0, "ChatGPT")]
    assert trace.rows == 3
    assert trace.notes[0] == "failed requests (no response token): 2, dropped"


# ---- counts --------------------------------------------------------------------------------------

AZURE_2019 = (
    "HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, range(1, 1441))) + "\n"
    "o,a,f,http," + ",".join(["7", *["0"] * 1438, "2"]) + "\n"
    "o,a,g,timer," + ",".join(["1"] * 1440) + "\n"
    "o,a,f,queue," + ",".join(["0", "3", *["0"] * 1438]) + "\n"
)


def test_azure_2019_counts_a_day_minute_by_minute(read):
    trace = read(AZURE_2019)
    assert (trace.format, trace.unit_ns, trace.rows) == ("azure-functions-2019", MINUTE, 3)
    assert counts(trace, MINUTE) == {"o/a/f": [7, 3, *[0] * 1437, 2], "o/a/g": [1] * 1440}


HUAWEI = {
    "per minute, time going on from day to day": (
        "day,time,0,1,2\n3,259200,1,,2.0\n3,259260,,NaN,\n3,259320,0,4,nan\n",
        MINUTE,
        {"0": [1, 0, 0], "1": [0, 0, 4], "2": [2, 0, 0]},
    ),
    "per second, time starting anew with each day": (
        "day,time,0,17\n0,86398,2,\n0,86399,,5\n1,0,3,\n1,1,,\n",
        SECOND,
        {"0": [2, 0, 3, 0], "17": [0, 5, 0, 0]},
    ),
    "a minute that is missing is empty": (
        "day,time,0\n0,0,1\n0,60,2\n0,240,3\n",
        MINUTE,
        {"0": [1, 2, 0, 0, 3]},
    ),
}


@pytest.mark.parametrize(("text", "unit_ns", "expected"), HUAWEI.values(), ids=list(HUAWEI))
def test_huawei_counts_in_the_unit_that_its_times_step_by(text, unit_ns, expected, read):
    trace = read(text)
    assert (trace.format, trace.unit_ns) == ("huawei", unit_ns)
    assert counts(trace, unit_ns) == expected


def test_a_single_huawei_row_does_not_say_what_it_counts_but_the_user_can(read):
    with pytest.raises(UsageError, match="--unit 1s or 1m"):
        read("day,time,0\n0,0,5\n")
    assert counts(read("day,time,0\n0,0,5\n", unit_ns=MINUTE), MINUTE) == {"0": [5]}


def test_a_pattern_file_counts_seconds_unless_told_otherwise(read):
    trace = read("0 5 0\n3\n", format="pattern")
    assert counts(trace, SECOND) == {"": [0, 5, 0, 3]}
    trace = read("0 5 0 3", unit_ns=MINUTE)
    assert (trace.format, counts(trace, MINUTE)) == ("pattern", {"": [0, 5, 0, 3]})


def test_arrivals_within_a_unit_are_spread_over_all_of_it(read):
    trace = read("day,time,0,1\n0,0,2000,2000\n0,60,,\n")
    for number in range(2):
        inside = trace.events.of_function(number) / MINUTE
        assert inside.max() < 1
        # Sorted uniforms: their distance from the diagonal stays within the Kolmogorov bound.
        assert np.abs(inside - np.arange(2000) / 2000).max() < 2 / np.sqrt(2000)


# ---- malformed rows ------------------------------------------------------------------------------

A19 = "HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,g,http,1,2\n"
A21 = "app,func,end_timestamp,duration\na,f,1,0.5\n"
LLM = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,1,1,2,API log\n"
MOON = '{"timestamp": 0, "input_length": 1}\n'
HUAWEI_ROWS = "day,time,0\n0,60,1\n0,120,2\n"
# A file whose last line is malformed, and why.
MALFORMED = [
    (A19 + "o,a,f,http,1\n", "5 columns, the header has 6"),
    (A19 + "o,a,f,http,1,-2\n", "minute 2 is '-2': expected a whole number from 0"),
    (A19 + "o,a,f,http,1.5,2\n", "minute 1 is '1.5'"),
    (A19 + "o,a,f,http,nan,2\n", "minute 1 is 'nan'"),
    (A19 + "o,a,f,http,,2\n", "minute 1 is ''"),
    (A19 + "o,a,f,http,99999999999999999999,2\n", "the most is 1e"),
    (A21 + "a,f,x,2\n", "end_timestamp is 'x': expected a number"),
    (A21 + "a,f,1,-2\n", "duration is '-2': negative"),
    (A21 + "a,f,NaN,2\n", "end_timestamp is 'NaN'"),
    (A21 + "a,f,1\n", "3 columns"),
    (A21 + 'a,"f,1,2\n', "columns"),
    (LLM + "2023-11-16,374,44\n", "the timestamp is '2023-11-16'"),
    (BURST + "5,ChatGPT,472,x,490,API log\n", "Response tokens is 'x'"),
    (BURST + "-5,ChatGPT,472,1,490,API log\n", "Timestamp is '-5': negative"),
    (MOON + '{"timestamp": "0"}\n', "timestamp is '\"0\"'"),
    (MOON + '{"timestamp": -1}\n', "negative"),
    (MOON + '{"time": 3}\n', "missing required field `timestamp`"),
    (MOON + '{"timestamp": \n', "truncated"),
    ('{"t": 0}\n{"t": NaN}\n', "malformed"),
    ('{"t": 0}\n{"t": 1, "model": 5}\n', "Expected `str`, got `int`"),
    ('{"t": 0}\n{"t": 1, "tenant": "a/b"}\n', "slash"),
    ('{"t": 0}\n[0]\n', "Expected `object`"),
    ('{"t": 0}\n{"t": 1, "x": ' + "[" * 5000 + "]" * 5000 + "}\n", "nested too deeply"),
    (HUAWEI_ROWS + "0,180,-1\n", "function 0 is '-1'"),
    (HUAWEI_ROWS + "0,180,0.5\n", "function 0 is '0.5'"),
    (HUAWEI_ROWS + "0,0,1\n", "earlier than the first row"),
    (HUAWEI_ROWS + "x,180,1\n", "day is 'x'"),
    ("5 3\n2 x\n", "count 4 is 'x'"),
    ("100\n50\nabc\n", "the interval is 'abc'"),
    ("100\n50\n-1\n", "negative"),
    ("0.5\n1.5\nnan\n", "the timestamp is 'nan'"),
    ("2024-05-10 00:00:00\n12\n", "the timestamp is '12'"),
]


@pytest.mark.parametrize(("text", "reason"), MALFORMED, ids=[row[1] for row in MALFORMED])
def test_a_malformed_row_is_reported_with_file_line_and_reason(text, reason, read):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert f"trace:{len(text.splitlines())}: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "reason"), MALFORMED, ids=[row[1] for row in MALFORMED])
def test_a_malformed_row_can_be_skipped_and_then_adds_nothing(text, reason, read):
    *kept, _ = text.splitlines(keepends=True)
    trace, without = read(text, on_bad_row="skip"), read("".join(kept))
    assert (trace.rows, trace.skipped) == (without.rows + 1, 1)
    assert trace.reasons[0].startswith(f"line {len(kept) + 1}: ")
    assert reason in trace.reasons[0]
    assert calls(trace) == calls(without)
    assert trace.events.duration_ns == without.events.duration_ns


# ---- which format --------------------------------------------------------------------------------


def test_every_format_is_tried_here():
    tried = {case.format for case in CASES.values()} | {"azure-functions-2019", "huawei", "pattern"}
    assert tried == set(FORMATS)


def test_files_that_are_published_beside_the_invocations_are_told_apart(read):
    percentiles = ",".join(f"percentile_Average_{p}" for p in (0, 1, 25, 50, 75, 99, 100))
    with pytest.raises(UsageError, match="tells how long functions ran, and not when"):
        read(f"HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,{percentiles}\no,a,f,1,1,1,1\n")
    with pytest.raises(UsageError, match="tells how much memory applications took"):
        read("HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\no,a,1,2,3\n")


@pytest.mark.parametrize(
    ("text", "format", "reason"),
    [
        ("hello\n", None, "begins with 'hello', which is no trace format that is known: give --format"),
        ('{"time": 3}\n', None, "no trace format that is known"),
        ("a,b,c\n1,2,3\n", None, "no trace format that is known"),
        ("1,2\n", None, "no trace format"),
        ("-1\n", None, "no trace format"),
        ("hello\n", "none-such", "no trace format 'none-such': choose one of azure-functions-2019"),
        ("a,b\n1,2\n", "azure-llm", "is not of the format azure-llm: there is no column 'timestamp'"),
        ("day,time,x\n1,2,3\n", "huawei", "its columns are not day, time, 0, 1"),
        (A19.replace("1,2", "1,3"), "azure-functions-2019", "its columns are not"),
        ("5\n3\n", "jsonl", "Expected `object`"),
    ],
)
def test_what_is_no_trace_or_not_of_the_format_named_is_refused(text, format, reason, read):
    with pytest.raises(UsageError) as caught:
        read(text, format=format)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_malformed_first_row_does_not_say_how_the_others_are_written(read):
    trace = read("timestamp\nsoon\n2024-05-10 00:00:00\n2024-05-10 00:00:02\n", on_bad_row="skip")
    assert (calls(trace), trace.skipped) == ([(0, ""), (2 * SECOND, "")], 1)


def test_a_number_per_line_is_taken_for_what_it_looks_like_and_that_is_said(read):
    rising, falling = "1\n2\n5\n", "5\n2\n1\n"
    assert (read(rising).format, read(falling).format) == ("timestamps", "intervals")
    assert "--format intervals or pattern" in read(rising).notes[0]
    assert "--format timestamps or pattern" in read(falling).notes[0]
    assert not any("--format" in note for note in read(rising, format="timestamps").notes)
    assert read(rising, format="intervals").events.instants_ns.tolist() == [1000, 3000, 8000]


def test_options_that_a_format_has_no_use_for_are_refused(read):
    with pytest.raises(UsageError, match="--unit is of no use: a file of the format azure-llm"):
        read(CASES["2023 has seven digits behind the point"].text, unit_ns=MINUTE)
    with pytest.raises(UsageError, match="the format huawei tells of none"):
        read("day,time,0\n0,0,1\n0,60,1\n", failures="drop")


def test_a_unit_that_does_not_fit_the_rows_is_found_out(read):
    with pytest.raises(UsageError, match="begins within the 1m of another row: does --unit fit"):
        read("day,time,0\n0,0,1\n0,1,1\n", unit_ns=MINUTE)


def test_names_that_are_no_text_do_not_stop_the_reading(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(b"app,func,end_timestamp,duration\n\xff\xfe,f,1,1\n")
    (name,) = read_trace(TraceOptions(path=str(path))).events.functions
    assert name == "\\xff\\xfe/f"
    json.dumps(name).encode()
