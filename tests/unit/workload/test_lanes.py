"""Which model and tenant each function of a trace stands for."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.errors import UsageError
from streambox.workload.events import Events
from streambox.workload.lanes import LaneRule, assign
from streambox.workload.schedule import MOST_LANES, Lane, lane_text, parse_lane

NAMES = ("rare", "busy", "never", "middling")
CALLS = [1, 0, 1, 3, 1, 3, 1]  # busy four times, middling twice, rare once, never never


def events(calls=CALLS, names=NAMES) -> Events:
    return Events(np.arange(len(calls)) * 10, np.array(calls, np.int32), names, 1000)


def lanes_of(rule: LaneRule, of: Events | None = None, model: str = "digits") -> dict[str, str | None]:
    """Of each function that was called, the lane as text; None: dropped."""
    given = of or events()
    assigned = assign(given, rule, model)
    placed = dict(zip(assigned.instants_ns.tolist(), assigned.lane.tolist(), strict=True))
    found = {}
    for instant, function in zip(given.instants_ns.tolist(), given.function.tolist(), strict=True):
        lane = placed.get(instant)
        found[given.functions[function]] = None if lane is None else str(assigned.lanes[lane])
    return found


# ---- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (LaneRule(), {"busy": "digits", "middling": "digits", "rare": "digits"}),
        (
            LaneRule(models=("m",), tenants=("t",)),
            {"busy": "m/t", "middling": "m/t", "rare": "m/t"},
        ),
        (LaneRule(map="own"), {"busy": "busy", "middling": "middling", "rare": "rare"}),
        (LaneRule(map="top-k:1"), {"busy": "digits", "middling": None, "rare": None}),
        (
            LaneRule(map="top-k:2", models=("a", "b")),
            {"busy": "a", "middling": "b", "rare": None},
        ),
        (
            LaneRule(map="top-k:1+rest", models=("a", "b")),
            {"busy": "a", "middling": "b", "rare": "b"},
        ),
        (
            LaneRule(map="top-k:2+rest", models=("a",), tenants=("x", "y", "z")),
            {"busy": "a/x", "middling": "a/y", "rare": "a/z"},
        ),
        (LaneRule(map="top-k:9"), {"busy": "digits", "middling": "digits", "rare": "digits"}),
    ],
)
def test_each_rule_gives_each_function_its_lane(rule, expected):
    assert lanes_of(rule) == expected


def test_lanes_are_in_the_order_of_their_busiest_functions():
    assigned = assign(events(), LaneRule(map="own"), "digits")
    assert assigned.lanes == (Lane("busy"), Lane("middling"), Lane("rare"))
    assert assigned.lane.tolist() == [0, 2, 0, 1, 0, 1, 0]
    assert assigned.lane.dtype == np.uint8


def test_what_is_dropped_is_said():
    (note,) = assign(events(), LaneRule(map="top-k:1"), "digits").notes
    assert note == "dropped: 3 requests of 2 functions"
    assert assign(events(), LaneRule(map="top-k:3"), "digits").notes == ()


def test_a_hash_is_the_names_alone_on_any_machine():
    rule = LaneRule(map="hash", models=("a", "b", "c"), tenants=("x", "y"))
    names = tuple(f"f{number}" for number in range(600))
    together = lanes_of(rule, events(list(range(600)), names))
    for name in names[:20]:
        digest = hashlib.sha256(name.encode()).digest()
        model = "abc"[int.from_bytes(digest[:8], "big") % 3]
        assert together[name] == f"{model}/{'xy'[int.from_bytes(digest[8:16], 'big') % 2]}"
        assert lanes_of(rule, events([0], (name,))) == {name: together[name]}
    shares = np.unique(list(together.values()), return_counts=True)[1]
    assert len(shares) == 6
    assert shares.min() > 60


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (LaneRule(models=("a", "b")), "Give --map, such as --map hash"),
        (LaneRule(map="one", tenants=("a", "b")), "Give --map"),
        (LaneRule(map="own", models=("a",)), "--map own says itself for whom"),
        (LaneRule(map="top-k:3", models=("a", "b")), "--models has 2 names, and the rule is about 3"),
        (LaneRule(map="top-k:2+rest", tenants=("a", "b")), "--tenants has 2 names, and the rule is about 3"),
        (LaneRule(map="top-k:0"), "neither one, own, hash or top-k:K, nor a file that exists"),
        (LaneRule(map="top-k"), "nor a file that exists"),
        (LaneRule(map="no-such-file.yaml"), "nor a file that exists"),
        (LaneRule(map="."), "cannot be read"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        assign(events(), rule, "digits")
    assert "\n" not in str(caught.value)


def test_more_lanes_than_a_schedule_has_are_refused():
    names = tuple(map(str, range(MOST_LANES + 1)))
    with pytest.raises(UsageError, match=f"makes {MOST_LANES + 1} models and tenants, the most is"):
        assign(events(list(range(MOST_LANES + 1)), names), LaneRule(map="own"), "digits")
    most = assign(events(list(range(MOST_LANES)), names), LaneRule(map="own"), "digits")
    assert most.lane.tolist() == list(range(MOST_LANES))


@pytest.mark.parametrize(
    ("rule", "names_lanes", "expected"),
    [
        (LaneRule(), True, "own"),
        (LaneRule(), False, "one"),
        (LaneRule(models=("a",)), True, "one"),
        (LaneRule(map="hash"), True, "hash"),
    ],
)
def test_without_a_rule_a_trace_that_names_models_is_believed(rule, names_lanes, expected):
    assert rule.of(names_lanes=names_lanes).map == expected


# ---- map files -----------------------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    def mapped(content: str, of: Events | None = None):
        path = tmp_path / "map.yaml"
        path.write_text(content)
        return lanes_of(LaneRule(map=str(path)), of)

    return mapped


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("busy: a\nrare: b/acme\n", {"busy": "a", "rare": "b/acme", "middling": None}),
        ("busy: {model: a, tenant: t}\n'*': b", {"busy": "a/t", "rare": "b", "middling": "b"}),
        ("'*r*': a\n'*': b", {"busy": "b", "rare": "a", "middling": "b"}),
        ("'*': b\nbusy: a", {"busy": "a", "rare": "b", "middling": "b"}),
        ("busy: null\nrare: ~\n'*': b", {"busy": None, "rare": None, "middling": "b"}),
        (
            "{rare: /acme, busy: {tenant: zoo}}",
            {"busy": "digits/zoo", "rare": "digits/acme", "middling": None},
        ),
        (json.dumps({"busy": "a", "rare": "a/b/c"}), {"busy": "a", "rare": "a/b/c", "middling": None}),
    ],
)
def test_a_file_says_function_by_function(content, expected, mapped):
    assert mapped(content) == expected


def test_a_function_that_looks_like_a_number_keeps_its_name(mapped):
    names = ("1e5", "007", "null", "yes")
    lanes = mapped("1e5: a\n007: b\nnull: c\nyes: d", events([0, 1, 2, 3], names))
    assert lanes == {"1e5": "a", "007": "b", "null": "c", "yes": "d"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "expected a mapping"),
        ("[a, b]", "expected a mapping"),
        ("busy: [a]", "'busy' is mapped to no MODEL/TENANT"),
        ("busy: {model: a, tennant: b}", "'busy' is mapped to no MODEL/TENANT"),
        ("busy: {model: [a]}", "'busy' is mapped to no MODEL/TENANT"),
        ("bsy: a", "'bsy' is no function of the trace, nor is any other key"),
        ("busy: a: b", "cannot be read"),
        ("\x00", "cannot be read"),
        ("busy: null", "drops the requests of all 3 functions"),
    ],
)
def test_a_file_that_maps_nothing_is_refused(content, reason, mapped):
    with pytest.raises(UsageError, match=reason) as caught:
        mapped(content)
    assert "\n" not in str(caught.value)


def test_the_recipe_has_the_hash_of_the_file(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("a: b")
    recipe = LaneRule(map=str(path)).recipe()
    assert recipe["map_sha256"] == hashlib.sha256(b"a: b").hexdigest()
    assert LaneRule(map="top-k:3", models=("a",)).recipe() == {
        "map": "top-k:3",
        "models": ["a"],
        "tenants": [],
    }


# ---- names ---------------------------------------------------------------------------------------

NAME = st.text("ab/é ", max_size=6)


@given(NAME, st.text("ab ", max_size=4))
def test_a_lane_as_text_is_that_lane(model, tenant):
    assert parse_lane(lane_text(Lane(model, tenant))) == Lane(model, tenant)


def test_where_no_model_is_named_it_is_the_runs_own():
    assert parse_lane("", "digits") == Lane("digits")
    assert parse_lane("/acme", "digits") == Lane("digits", "acme")
    assert parse_lane("m/acme", "digits") == Lane("m", "acme")
