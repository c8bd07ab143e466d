import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.errors import UsageError
from streambox.units import format_duration, format_rate, format_size, parse_duration, parse_rate, parse_size

DURATIONS = [
    ("5ms", 5_000_000),
    ("1.5s", 1_500_000_000),
    (" 2 m ", 120_000_000_000),
    ("1h", 3_600_000_000_000),
]
DURATIONS += [("250us", 250_000), ("250µs", 250_000), ("0s", 0), ("7ns", 7), (".5s", 500_000_000)]
SIZES = [
    ("16MiB", 16 * 1024**2),
    ("64 KiB", 65_536),
    ("1.5GiB", 1_610_612_736),
    ("1000B", 1000),
    ("2MB", 2_000_000),
]
RATES = [("500/s", 500), ("30/m", 0.5), ("3600/h", 1)]


@pytest.mark.parametrize(("text", "ns"), DURATIONS)
def test_durations_are_read_as_nanoseconds(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize(("text", "size_bytes"), SIZES)
def test_sizes_are_read_as_bytes(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(("text", "per_s"), RATES)
def test_rates_are_read_per_second(text, per_s):
    assert parse_rate(text) == pytest.approx(per_s)


WRONG = [
    (parse_duration, "5", "has no unit", "a bare number might mean anything"),
    (parse_duration, 5, "has no unit", "also when YAML has made it a number"),
    (parse_duration, "5 parsecs", "unknown unit 'parsecs'", "no unit of time"),
    (parse_duration, "-5ms", "is not a duration", "there is no negative time"),
    (parse_duration, "1e3ms", "is not a duration", "no exponents"),
    (parse_duration, "", "is not a duration", "nothing"),
    (parse_duration, None, "is not a duration", "nothing, as YAML says it"),
    (parse_duration, "9" * 400 + "s", "too large", "more than any clock can count"),
    (parse_duration, "10000000000h", "too large", "just as well in few digits"),
    (parse_size, "5ms", "unknown unit 'ms'", "a duration is no size"),
    (parse_size, "1mib", "unknown unit 'mib'", "case matters"),
    (parse_rate, "5", "has no unit", "per what?"),
]


@pytest.mark.parametrize(("parse", "text", "message", "why"), WRONG, ids=[row[-1] for row in WRONG])
def test_what_is_no_quantity_is_refused_in_a_line_that_shows_how_to_write_it(parse, text, message, why):
    with pytest.raises(UsageError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


@given(st.integers(0, 2**53))
def test_a_duration_reads_back_as_it_was_written(ns):
    assert parse_duration(format_duration(ns)) == ns


@given(st.integers(0, 2**53))
def test_a_size_reads_back_as_it_was_written(size_bytes):
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("ns", "text"),
    [(5_000_000, "5ms"), (1_500_000_000, "1500ms"), (60_000_000_000, "1m"), (0, "0s"), (7, "7ns")],
)
def test_a_duration_is_written_as_short_as_it_is_exact(ns, text):
    assert format_duration(ns) == text


@pytest.mark.parametrize("text", ["500/s", "30/m", "10/h", "1/s", "2.5001/s"])
def test_a_rate_is_shown_as_it_is_written(text):
    assert format_rate(parse_rate(text)) == text


@given(st.floats(1e-6, 1e12))
def test_every_rate_is_shown_as_one_that_reads_back(per_s):
    assert parse_rate(format_rate(per_s)) == pytest.approx(per_s, rel=1e-8)
