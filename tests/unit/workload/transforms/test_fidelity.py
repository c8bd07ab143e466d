"""Transforms one after another, on anything, the same by seed, with a report on each."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.events import Events, superpose
from streambox.workload.processes import parse_process
from streambox.workload.transforms import (
    TRANSFORMS,
    Promise,
    apply_all,
    format_transform,
    parse_transform,
    parse_transforms,
)
from streambox.workload.transforms.fidelity import promise_text

SECOND = 1_000_000_000

ALL = [
    *("scale:0.5", "scale:2", "scale:factor=2.5,unit=100ms"),
    *("thin:0.4", "thin:keep=0.5,by=function", "thin:keep=0.5,only=a"),
    *("copies:3", "copies:count=3,shift=700ms"),
    *("warp:10", "warp:0.25"),
    *("cut:from=1s,to=3s", "len:2s"),
    "lap:gap=300ms,lap=1s",
    *("thumbnail:2s", "thumbnail:to=2s,rate=30,unit=100ms", "thumbnail:to=2s,peak=30"),
    *("cv:2", "cv:cv=0.3,unit=1s"),
]
FUNCTIONS = ("a", "b", "never called")


@pytest.fixture(scope="module")
def events() -> Events:
    parts = [
        Events.of(
            parse_process("gamma:rate=40,cv=1.5").arrivals(4 * SECOND, np.random.default_rng(n)),
            4 * SECOND,
            name,
        )
        for n, name in enumerate(FUNCTIONS[:2])
    ]
    return superpose([*parts, Events.of(np.empty(0, np.int64), 4 * SECOND, FUNCTIONS[2])])


@pytest.mark.parametrize("text", ALL)
def test_what_comes_out_is_sorted_within_its_duration_and_keeps_the_names(events, text):
    after = parse_transform(text).apply(events, np.random.default_rng(1))
    assert after.functions == FUNCTIONS
    assert after.instants_ns.dtype == np.int64
    assert after.function.dtype == np.int32
    assert len(after.function) == len(after) > 5
    assert (np.diff(after.instants_ns) >= 0).all()
    assert 0 <= after.instants_ns[0] <= after.instants_ns[-1] < after.duration_ns
    assert set(after.function.tolist()) <= {0, 1}


@pytest.mark.parametrize("text", ALL)
def test_the_source_itself_is_not_touched(events, text):
    before = events.instants_ns.copy(), events.function.copy()
    parse_transform(text).apply(events, np.random.default_rng(1))
    assert (events.instants_ns == before[0]).all()
    assert (events.function == before[1]).all()


@pytest.mark.parametrize("text", ALL)
def test_the_same_seed_gives_the_same(events, text):
    first, again = (parse_transform(text).apply(events, np.random.default_rng(7)) for _ in range(2))
    assert first.instants_ns.tolist() == again.instants_ns.tolist()
    assert first.function.tolist() == again.function.tolist()


@pytest.mark.parametrize("text", ["scale:0.5", "scale:2", "thin:0.4", "copies:3", "thumbnail:2s"])
def test_another_seed_gives_another(events, text):
    one, other = (parse_transform(text).apply(events, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.instants_ns.tolist() != other.instants_ns.tolist()


SMALL = {
    "nothing": Events(np.empty(0, np.int64), np.empty(0, np.int32), FUNCTIONS, 4 * SECOND),
    "one arrival": Events(np.array([SECOND * 2], np.int64), np.zeros(1, np.int32), FUNCTIONS, 4 * SECOND),
    "two": Events(np.array([SECOND, SECOND * 2], np.int64), np.zeros(2, np.int32), FUNCTIONS, 4 * SECOND),
    "all at once": Events(np.full(9, SECOND * 2, np.int64), np.zeros(9, np.int32), FUNCTIONS, 4 * SECOND),
}


@pytest.mark.parametrize("small", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("text", ALL)
def test_too_few_arrivals_are_no_error(small, text):
    after, (report,) = apply_all(small, [parse_transform(text)], np.random.default_rng(1))
    assert after.functions == FUNCTIONS
    assert (after.instants_ns < after.duration_ns).all()
    assert report.describe()


@pytest.mark.parametrize("text", ALL)
def test_what_is_promised_is_kept(events, text):
    _, (report,) = apply_all(events, [parse_transform(text)], np.random.default_rng(1))
    for promise in report.promises:
        allowed = 0.15 if promise.expected else 0.12  # of 320 arrivals: 6 % is one standard deviation
        assert abs(promise.deviation) < allowed, promise


@pytest.mark.parametrize("text", ALL)
def test_text_is_written_as_it_was_read(text):
    transform = parse_transform(text)
    assert parse_transform(format_transform(transform)) == transform


def test_every_transform_is_tried_here_and_says_what_it_keeps_and_changes():
    assert {text.partition(":")[0] for text in ALL} == set(TRANSFORMS) - {"superpose"}
    for transform in TRANSFORMS.values():
        assert "Keeps" in transform.__doc__
        assert "Changes" in transform.__doc__


# ---- one after another ---------------------------------------------------------------------------


def test_transforms_are_applied_in_their_order(events):
    random = np.random.default_rng
    cut_first, _ = apply_all(events, parse_transforms(["len:2s", "warp:2"]), random(1))
    warped_first, _ = apply_all(events, parse_transforms(["warp:2", "len:2s"]), random(1))
    assert (cut_first.duration_ns, warped_first.duration_ns) == (SECOND, 2 * SECOND)
    assert len(warped_first) == len(events) > len(cut_first)


def test_each_report_begins_where_the_one_before_ended(events):
    after, reports = apply_all(
        events, parse_transforms(["scale:2", "warp:4", "len:500ms"]), np.random.default_rng(1)
    )
    assert [report.transform for report in reports] == ["scale:2", "warp:4", "len:0.5s"]
    assert reports[0].before.arrivals == len(events)
    assert reports[0].after == reports[1].before
    assert reports[1].after == reports[2].before
    assert reports[2].after.arrivals == len(after)


def test_a_transform_that_is_added_at_the_end_changes_none_before_it(events):
    short, first = apply_all(events, parse_transforms(["scale:2", "thin:0.5"]), np.random.default_rng(3))
    _, longer = apply_all(
        events, parse_transforms(["scale:2", "thin:0.5", "copies:2"]), np.random.default_rng(3)
    )
    assert longer[:2] == first
    assert longer[2].before.arrivals == len(short)


def test_no_transform_leaves_all_as_it_is(events):
    after, reports = apply_all(events, (), np.random.default_rng(1))
    assert after is events
    assert reports == ()


def test_one_that_cannot_be_applied_names_itself(events):
    with pytest.raises(UsageError, match="len: time is 3 s, but the source lasts for 2s"):
        apply_all(events, parse_transforms(["len:2s", "len:3s"]), np.random.default_rng(1))


# ---- the report ----------------------------------------------------------------------------------


def test_a_report_is_one_line_with_what_was_promised_and_found(events):
    _, (report,) = apply_all(events, [parse_transform("scale:0.5")], np.random.default_rng(1))
    before, after = report.before, report.after
    assert re.fullmatch(
        rf"scale:0\.5: {before.arrivals:,} → {after.arrivals:,} arrivals; "
        rf"mean rate {after.mean_per_s:.4g}/s \({before.mean_per_s / 2:.4g}/s promised, [+-][\d.]+ %\); "
        r"KS of the rate's shape 0\.\d+",
        report.describe(),
    )


def test_a_report_is_fit_for_json(events):
    _, (report,) = apply_all(events, [parse_transform("cv:2")], np.random.default_rng(1))
    assert msgspec.json.decode(msgspec.json.encode(report))["transform"] == "cv:2"


PROMISES = [
    (Promise("mean rate", 20, 20.1, "/s"), "mean rate 20.1/s (20/s promised, +0.5 %)"),
    (Promise("arrivals", 1234, 1234), "arrivals 1,234 as promised"),
    (Promise("duration", 86400, 86399.5, " s"), "duration 86,399.5 s (86,400 s promised, -0.00058 %)"),
    (Promise("KS", 0, 0.0123456), "KS 0.01235"),
    (Promise("KS", 0, 0.0), "KS 0 as promised"),
    (Promise("functions", 4, 1), "functions 1 (4 promised, -75 %)"),
]


@pytest.mark.parametrize(("promise", "text"), PROMISES, ids=[row[1] for row in PROMISES])
def test_a_promise_is_told_with_its_deviation(promise, text):
    assert promise_text(promise) == text
