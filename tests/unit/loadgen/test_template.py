"""Templates: what each field becomes, and where a template is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.template import Template

JSON = "application/json"
ID = "0000000007"


def rendered(text: str, rows: list | None = None, content_type: str = JSON, model: str = "m", seed: int = 0):
    """All bodies, as request number 7 would carry them."""
    bodies = Template(text, "t.json").bodies(model, rows, content_type, np.random.default_rng(seed))
    return [ID.encode().join(body.pieces).decode() for body in bodies]


ROW = {"name": 'a "b"', "numbers": [1, 2.5], "deep": {"x": [[9]]}, "none": None}
FIELDS = [
    ('{"id": "{{id}}"}', f'{{"id": "{ID}"}}', "the id"),
    ('["{{id}}", "{{ id }}"]', f'["{ID}", "{ID}"]', "the id, twice, with blanks"),
    ('{"m": "{{model}}"}', '{"m": "m"}', "the model"),
    ('{"n": "{{row.name}}"}', '{"n": "a \\"b\\""}', "text is escaped as JSON"),
    ('{"n": {{row.numbers}}}', '{"n": [1,2.5]}', "a list"),
    ('{"n": {{row.numbers[1]}}}', '{"n": 2.5}', "an entry of it"),
    ('{"n": {{row.deep.x[0][0]}}}', '{"n": 9}', "however deep"),
    ('{"n": {{row["none"]}}}', '{"n": null}', "a name in quotes"),
    ('{"n": {{row}}}', json.dumps({"n": ROW}, separators=(",", ":")).replace('{"n":', '{"n": '), "the row"),
    ('{"n": 1}', '{"n": 1}', "no field at all"),
]


@pytest.mark.parametrize(("text", "body", "why"), FIELDS, ids=[row[-1] for row in FIELDS])
def test_fields_are_filled_in(text, body, why):
    assert rendered(text, [ROW]) == [body]


def test_a_body_per_row_and_without_rows_one():
    assert rendered('{"x": {{row}}}', [1, 3]) == ['{"x": 1}', '{"x": 3}']
    assert rendered("{}") == ["{}"]


def test_text_stands_as_it_is_where_the_body_is_not_json():
    assert rendered('say "{{row.name}}" {{id}}', [ROW], "text/plain") == [f'say "a "b"" {ID}']


def test_random_fields_are_seeded_and_within_their_bounds():
    text = '{"a": {{random.int(1, 9)}}, "b": {{random.float(-1,0)}}, "c": {{random.int(5,6,3)}}}'
    bodies = [json.loads(body) for body in rendered(text)]
    assert len(bodies) == 256
    assert {body["a"] for body in bodies} == set(range(1, 10))
    assert all(-1 <= body["b"] < 0 for body in bodies)
    assert {number for body in bodies for number in body["c"]} == {5, 6}
    assert {len(body["c"]) for body in bodies} == {3}
    assert rendered(text) == rendered(text) != rendered(text, seed=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{\n"x": {{rwo.a}}}', "t.json:2: no field {{rwo.a}}: did you mean {{row}}?"),
        ("{{zzzzzzzzzzzz}}", "there are id, model"),
        ("{{}}", "no field {{}}"),
        ("{{row.}}", "t.json:1: 'row.' is not a path"),
        ("{{random.int(9,1)}}", "the lower bound first"),
        ("{{random.int(1.5,2)}}", "whole numbers"),
        ("{{random.int(1)}}", "did you mean {{random.int(1,99)}}?"),
        ("{{random.float(0,1,99999999)}}", "at most"),
        ("{{row.x}}", "row 1 of the dataset: has no 'x'"),
        ("{{row.numbers[7]}}", "row 1 of the dataset: list index out of range"),
        ("{{row[0]}}", "row 1 of the dataset: no 0 in dict"),
        ('{"x": {{row.name}}}', "filled in, it is no JSON"),
        ('{"x": {{id}}}', 'write "{{id}}" in quotes'),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(text, reason):
    with pytest.raises(UsageError) as error:
        rendered(text, [ROW])
    assert reason in str(error.value)
    assert str(error.value).startswith("t.json")
    assert "\n" not in str(error.value)


def test_fields_of_rows_need_a_dataset():
    with pytest.raises(UsageError, match="no dataset to take rows from"):
        rendered("{{row.x}}")
