"""Faulty JSON is explained in one line that names the field."""

from __future__ import annotations

import msgspec
import pytest

from streambox.protocol.diagnose import (
    DECODE_ERRORS,
    WALK_LIMIT_TOKENS,
    describe,
    path_at,
    quoted,
    top_level_string,
)


class Point(msgspec.Struct):
    x: float
    tags: list[str] | None = None


class Shape(msgspec.Struct):
    points: list[Point]


def fault(body: bytes, root: str = "") -> str:
    with pytest.raises(DECODE_ERRORS) as caught:
        msgspec.json.decode(body, type=Shape)
    return describe(body, caught.value, root)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "body: empty, expected JSON", id="nothing at all"),
        pytest.param(b" \n", "body: empty, expected JSON", id="only white space"),
        pytest.param(b"[]", "body: expected an object, got array", id="not an object"),
        pytest.param(b"{}", "points: missing, and required", id="a field of the top level missing"),
        pytest.param(b'{"points":[{}]}', "points[0].x: missing, and required", id="a nested field missing"),
        pytest.param(
            b'{"points":[{"x":1},{"x":"1"}]}', "points[1].x: expected a number, got str", id="another type"
        ),
        pytest.param(
            b'{"points":[{"x":1,"tags":3}]}',
            "points[0].tags: expected an array, got int",
            id="null not named",
        ),
        pytest.param(
            b'{"points":[{"x":1e999}]}', "points[0].x: the number is too large", id="no float holds it"
        ),
        pytest.param(
            b'{"points":[{"x":NaN}]}', "points[0].x is NaN, which JSON does not have", id="a NaN literal"
        ),
        pytest.param(
            b'{"points":[{"x": nan}]}', "points[0].x is NaN, which JSON does not have", id="a lower-case nan"
        ),
        pytest.param(
            b'{"points":[{"x":-Infinity}]}',
            "points[0].x is -Infinity, which JSON does not have",
            id="a negative infinity",
        ),
        pytest.param(
            b'{"points":[{"x":1,"z":inf}]}',
            "points[0].z is Infinity, which JSON does not have",
            id="in a field that nobody reads",
        ),
        pytest.param(
            b'{"points":[{"x":1,}]}',
            "points[0]: malformed JSON at byte 18: trailing comma in object",
            id="a trailing comma",
        ),
        pytest.param(
            b'{"points":[{"x":1}',
            "points[0]: malformed JSON at byte 18: it ends too early",
            id="cut off between values",
        ),
        pytest.param(
            b'{"points":[{"x":1,"tags":["a',
            "points[0].tags[0]: malformed JSON at byte 28: it ends too early",
            id="cut off inside a string",
        ),
        pytest.param(
            b'{"points":[]} x',
            "body: malformed JSON at byte 15: trailing characters",
            id="something behind it",
        ),
        pytest.param(
            b'\xef\xbb\xbf{"points":[]}',
            "body: malformed JSON at byte 0: it starts with a byte order mark",
            id="a byte order mark",
        ),
        pytest.param(
            b'{"points":[{"x":1,"tags":["ok","\xff"]}]}',
            "points[0].tags[1]: invalid UTF-8 at byte 32",
            id="invalid UTF-8",
        ),
        pytest.param(
            b'{"a\\nb":{"\xc3\xa4":#',
            "['a\\nb'].ä: malformed JSON at byte 14: invalid character",
            id="keys that would break the line",
        ),
        pytest.param(
            b'{"y":' + b"[" * 100_000, "body: nested too deeply", id="arrays a hundred thousand deep"
        ),
        pytest.param(b'{"y":' + b'{"":' * 100_000, "body: nested too deeply", id="objects likewise"),
    ],
)
def test_a_fault_is_said_in_one_line_that_names_the_field(body: bytes, message: str) -> None:
    assert fault(body) == message


def test_a_part_of_something_is_named_from_there() -> None:
    assert fault(b'{"points":[{"x":true}]}', "input 'p' data").startswith(
        "input 'p' data.points[0].x: expected"
    )
    assert fault(b"", "input 'p' data") == "input 'p' data: empty, expected JSON"


def test_a_fault_beyond_the_limit_of_the_walk_names_its_byte_alone() -> None:
    start = b'{"points":[],"z":[' + b'"",' * WALK_LIMIT_TOKENS
    assert fault(start + b"#") == f"body: malformed JSON at byte {len(start)}: invalid character"
    assert fault(start + b"NaN") == f"body: NaN at byte {len(start)}, which JSON does not have"


def test_a_long_vector_is_no_long_walk() -> None:
    assert fault(b'{"z":[' + b"0," * 1_000_000 + b"NaN]}") == "z[1000000] is NaN, which JSON does not have"


def test_a_deep_path_is_cut_short() -> None:
    assert len(fault(b'{"points":[{"x":1,"y":' + b'{"k":' * 500 + b"#")) < 300


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        pytest.param(b"", [], id="nothing read yet"),
        pytest.param(b'{"a', [], id="inside a key"),
        pytest.param(b'{"a":', ["a"], id="behind a key"),
        pytest.param(b'{"a":1,', [], id="a key is awaited"),
        pytest.param(b'{"a":[1,"],",', ["a", 2], id="brackets and commas in a string do not count"),
        pytest.param(b'{"a":"\\"}","b":', ["b"], id="nor does an escaped quote end it"),
        pytest.param(b'{"a":{"b":1},"c":[', ["c", 0], id="an object closed before"),
        pytest.param(b"[1, -2.5e3,true,\n", [3], id="numbers and literals count by their commas"),
        pytest.param(b'[1,{"a":1, "b', [1], id="behind a comma in an object no key is known yet"),
        pytest.param(b"]]},,", [], id="rubbish leads nowhere"),
    ],
)
def test_a_path_leads_to_the_value_at_an_offset(body: bytes, steps: list[str | int]) -> None:
    assert path_at(body, len(body)) == steps


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(b'{"id":"a","x":#', "a", id="before the fault"),
        pytest.param(b'{"x":{"id":"no"},"id":"a",#', "a", id="not one that is nested deeper"),
        pytest.param(b'{"x":{"id":"no"}#', None, id="not even where it is the only one"),
        pytest.param(b'{"x":"id","y":"a"#', None, id="not a value of that name"),
        pytest.param(b'{"id":"a","id":"b"#', "b", id="the last of two"),
        pytest.param(b'{"id":7#', None, id="not a number"),
        pytest.param(b'{"id":"a', None, id="not a string that does not end"),
        pytest.param(b'{"id":"\xff"', None, id="not invalid UTF-8"),
    ],
)
def test_a_top_level_string_is_read_from_a_broken_body(body: bytes, found: str | None) -> None:
    assert top_level_string(body, "id") == found


def test_a_quote_stays_short_and_on_one_line() -> None:
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted("x" * 10_000)) == 66
