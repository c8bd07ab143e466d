"""Options as a YAML file writes them, of any struct."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from streambox.errors import ConfigError
from streambox.loadgen.keyed import keys_of, read_options

SECOND = 1_000_000_000


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    from_ns: int = 0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["a", "b"]
    rate_per_s: float | None = None
    duration_ns: int = 0
    length: int | None = None
    dataset: str | None = None
    inner: Inner | None = None
    texts: tuple[str, ...] = ()


def read(**tree) -> Options:
    return read_options(Options, {"kind": "a", **tree}, "streams.0", Path("/folder"))


def test_keys_are_names_without_their_units():
    assert list(keys_of(Options)) == ["kind", "rate", "duration", "len", "dataset", "inner", "texts"]


@pytest.mark.parametrize(
    ("key", "given", "field", "value"),
    [
        ("rate", "30/m", "rate_per_s", 0.5),
        ("rate", 5, "rate_per_s", 5.0),
        ("rate", None, "rate_per_s", None),
        ("duration", "1.5s", "duration_ns", 3 * SECOND // 2),
        ("len", 7, "length", 7),
        ("texts", ["x", "y"], "texts", ("x", "y")),
        ("dataset", "d.csv", "dataset", "/folder/d.csv"),
        ("dataset", "/d.csv", "dataset", "/d.csv"),
        ("inner", {"path": "t.csv", "from": "2s"}, "inner", Inner(path="/folder/t.csv", from_ns=2 * SECOND)),
        ("inner", "t.csv", "inner", Inner(path="/folder/t.csv")),
    ],
)
def test_values_are_read_by_their_unit_and_type(key, given, field, value):
    assert getattr(read(**{key: given}), field) == value


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"lne": 5}, "unknown key 'streams.0.lne': did you mean 'len'?"),
        ({"kind": "c"}, "streams.0.kind: invalid enum value 'c'"),
        ({"len": "5"}, "streams.0.len: expected `int | null`, got `str`"),
        ({"duration": 5}, "streams.0.duration: 5 has no unit: write a duration as"),
        ({"rate": "5/d"}, "streams.0.rate: '5/d' has the unknown unit '/d'"),
        ({"rate": [5]}, "streams.0.rate: expected"),
        ({"texts": ["x", 5]}, "streams.0.texts.1: expected `str`, got `int`"),
        ({"inner": {"form": "2s"}}, "unknown key 'streams.0.inner.form': did you mean 'from'?"),
        ({"inner": {"from": "2s"}}, "streams.0.inner: path missing"),
    ],
)
def test_what_cannot_be_read_names_its_key(tree, message):
    with pytest.raises(ConfigError) as error:
        read(**tree)
    assert message in str(error.value)
