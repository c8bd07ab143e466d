"""Paths into JSON."""

from __future__ import annotations

import pytest

from streambox.errors import UsageError
from streambox.loadgen.json_path import follow, parse_path

TREE = {"outputs": [{"data": [1, 2]}], "a-b": {"c d": 3}, "x": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("outputs[0].data", [1, 2]),
        ("outputs[0].data[1]", 2),
        ('a-b["c d"]', 3),
        ("x", None),
        ("", TREE),
    ],
)
def test_a_path_leads_to_its_value(text, found):
    assert follow(TREE, parse_path(text)) == found


@pytest.mark.parametrize("text", [".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a b", "$.a", "[0]b"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(UsageError, match="is not a path"):
        parse_path(text)


@pytest.mark.parametrize("text", ["none", "outputs.data", "outputs[5]", "x.y", "outputs[0].data[0].z", "[0]"])
def test_a_path_that_leads_nowhere_is_an_error_of_lookup(text):
    with pytest.raises((KeyError, IndexError, TypeError)):
        follow(TREE, parse_path(text))
