"""Times and counts as text, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.workload.traces.base import BadRow
from streambox.workload.traces.numbers import (
    MICROSECONDS,
    MILLISECONDS,
    SECONDS,
    date_time,
    date_time_ns,
    whole_count,
    whole_ns,
)


@given(
    st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=12),
    st.sampled_from([SECONDS, MILLISECONDS, MICROSECONDS]),
    st.sampled_from(["f", "e"]),
)
def test_a_decimal_is_read_exactly_and_cut_off_below_the_nanosecond(value, places, form):
    text = f"{value:{form}}".encode()
    assert whole_ns(text, places, "t") == int((value * 10**places).to_integral_value(ROUND_FLOOR))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"0", 0),
        (b"1209599.123456789", 1_209_599_123_456_789),  # a float has no ns left here
        (b"79.13400006294250", 79_134_000_062),
        (b"1e-05", 10_000),
        (b"5.", 5_000_000_000),
        (b".5", 500_000_000),
        (b"+2", 2_000_000_000),
        (b" 2 ", 2_000_000_000),
        (b"0e999999", 0),
        (b"1e-999999", 0),
    ],
)
def test_seconds_as_people_and_programs_write_them(text, ns):
    assert whole_ns(text, SECONDS, "t") == ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "expected a number"),
        (b"nan", "expected a number"),
        (b"inf", "expected a number"),
        (b"1,5", "expected a number"),
        (b"1_000", "expected a number"),
        (b"0x10", "expected a number"),
        ("½".encode(), "expected a number"),
        ("٣".encode(), "expected a number"),  # a digit, but not one of ours
        (b"\xff\x00", "expected a number"),
        (b"-0.5", "negative"),
        (b"4611686019", "too large"),
        (b"99999999999999999999", "too large"),
        (b"1e30", "too large"),
        (b"1e999999999", "too large"),
        (b"1e" + b"9" * 400, "expected a number"),
    ],
)
def test_what_is_no_time_is_named_and_refused(text, reason):
    with pytest.raises(BadRow, match=f"^t is .*: {reason}"):
        whole_ns(text, SECONDS, "t")


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    st.integers(0, 999),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(" T"),
)
def test_a_date_is_read_exactly_wherever_its_clock_stands(moment, below_us, offset_minutes, between):
    moment = moment.replace(tzinfo=UTC)
    offset = timedelta(minutes=offset_minutes)
    sign, (hours, minutes) = "-" if offset_minutes < 0 else "+", divmod(abs(offset_minutes), 60)
    local = (moment + offset).strftime(f"%Y-%m-%d{between}%H:%M:%S.%f")
    text = f"{local}{below_us:03d}{sign}{hours:02d}:{minutes:02d}"
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    ns = (passed // timedelta(microseconds=1)) * 1000 + below_us
    assert date_time_ns(text.encode()) == ns
    assert date_time_ns(date_time(ns).encode()) == ns


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("2023-11-16 18:15:46.6805900", 680_590_000),
        ("2023-11-16 18:15:46", 0),
        ("2023-11-16 18:15:46+00:00", 0),
        ("2023-11-16T18:15:46.5Z", 500_000_000),
        ("2023-11-16 18:15:46.0000000019", 1),
        ("2023-11-16 19:15:46.25+01:00", 250_000_000),
        ("2023-11-16 17:45:46.25-00:30", 250_000_000),
    ],
)
def test_every_way_in_which_azure_writes_a_timestamp(text, fraction):
    whole_s = int(datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC).timestamp())
    assert date_time_ns(text.encode()) == whole_s * 1_000_000_000 + fraction


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023-11-16",
        "2023-11-16 18:15",
        "2023-11-16 18:15:46.",
        "2023-11-16 18:15:46.5x",
        "2023-11-16 18:15:46,5",
        "2023-13-16 18:15:46",
        "2023-02-30 18:15:46",
        "2023-11-16 25:15:46",
        "2023-11-16 18:15:61",
        "2023-11-16 18:15:46+0000",
        "2023-11-16 18:15:46+00:61",
        "16/11/2023 18:15:46",
        "1700158546",
        "9999-11-16 18:15:46",
    ],
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(BadRow, match=r"timestamp|offset"):
        date_time_ns(text.encode())


@pytest.mark.parametrize(("text", "count"), [(b"0", 0), (b"12", 12), (b"12.0", 12), (b"1e3", 1000)])
def test_counts_may_be_written_as_a_table_tool_writes_them(text, count):
    assert whole_count(text, "count", 10**12) == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "whole number"),
        (b"-3", "whole number"),
        (b"2.5", "whole number"),
        (b"nan", "whole number"),
        (b"x", "whole number"),
        (b"1000000000001", "the most is"),
        (b"1e999999", "the most is"),
        (b"9" * 5000, "the most is"),
    ],
)
def test_what_is_no_count_is_refused(text, reason):
    with pytest.raises(BadRow, match=f"^count 3 is .*{reason}"):
        whole_count(text, "count 3", 10**12)
