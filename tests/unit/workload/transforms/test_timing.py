"""Warp, cut, len, lap: what they promise to keep is kept."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload import shape_counts
from streambox.workload.events import Events
from streambox.workload.figures import dispersion_curve, distances, gap_cv
from streambox.workload.processes import parse_process
from streambox.workload.transforms import parse_transform

SECOND = 1_000_000_000


def drawn(text: str, seconds: int = 400) -> Events:
    duration_ns = seconds * SECOND
    return Events.of(parse_process(text).arrivals(duration_ns, np.random.default_rng(1)), duration_ns)


def at(*instants_ns: int, duration_ns: int) -> Events:
    return Events.of(np.array(instants_ns, np.int64), duration_ns)


def changed(events: Events, text: str) -> Events:
    return parse_transform(text).apply(events, np.random.default_rng(5))


# ---- warp ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [10, 0.5, 3])
def test_a_warped_source_is_the_same_but_for_its_speed(factor):
    events = drawn("weibull:rate=50,cv=2")
    warped = changed(events, f"warp:{factor}")
    assert warped.duration_ns == pytest.approx(events.duration_ns / factor, abs=1)
    assert gap_cv(warped.instants_ns) == pytest.approx(gap_cv(events.instants_ns), rel=1e-5)
    found = distances(events, warped)
    assert (found.gaps, found.shape) == (pytest.approx(0, abs=0.002), pytest.approx(0, abs=1e-4))
    (was,), (became,) = dispersion_curve(events, (1.0,)), dispersion_curve(warped, (1.0 / factor,))
    assert became[1] == pytest.approx(was[1], rel=1e-3)


def test_rounding_never_leaves_the_duration():
    warped = changed(at(0, 99, duration_ns=100), "warp:7")
    assert (warped.instants_ns.tolist(), warped.duration_ns) == ([0, 14], 15)
    warped = changed(at(0, 9, duration_ns=10), "warp:10000")
    assert (warped.instants_ns.tolist(), warped.duration_ns) == ([0, 0], 1)


# ---- cut, len ------------------------------------------------------------------------------------


def test_a_cut_takes_what_lies_from_its_begin_up_to_its_end_and_counts_from_0():
    events = at(0, 10, 19, 20, 99, duration_ns=100)
    part = changed(events, "cut:from=10ns,to=20ns")
    assert (part.instants_ns.tolist(), part.duration_ns) == ([0, 9], 10)
    assert changed(events, "cut:from=20ns").instants_ns.tolist() == [0, 79]
    assert changed(events, "cut:to=20ns").instants_ns.tolist() == [0, 10, 19]


def test_len_takes_the_first_so_much_of_it():
    events = drawn("poisson:rate=50")
    assert changed(events, "len:7s").instants_ns.tolist() == changed(events, "cut:to=7s").instants_ns.tolist()
    assert changed(events, "len:400s").instants_ns.tolist() == events.instants_ns.tolist()


def test_a_cut_without_arrivals_still_lasts():
    assert changed(at(99, duration_ns=100), "len:50ns").duration_ns == 50


# ---- lap -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [300, 17, 20, 19])
def test_idle_time_comes_where_the_reference_has_it(units):
    """The same arrivals with idle time in the counts, and on the time axis."""
    counts = np.random.default_rng(3).integers(0, 9, units).tolist()
    within = np.concatenate([unit * SECOND + np.arange(count) for unit, count in enumerate(counts)])
    lapped = changed(Events.of(within.astype(np.int64), units * SECOND), "lap:gap=20s,lap=80s")
    expected = shape_counts(counts, gap_time=20, lap_time=80)
    assert lapped.counts_per_unit(SECOND).tolist() == expected
    assert lapped.duration_ns == len(expected) * SECOND


def test_300_s_in_groups_of_20_with_80_idle_make_1500_s():
    assert changed(drawn("poisson:rate=5", 300), "lap:gap=20s,lap=80s").duration_ns == 1500 * SECOND


def test_gaps_within_a_group_are_left_alone():
    lapped = changed(at(1, 4, 11, 15, duration_ns=20), "lap:gap=10ns,lap=5ns")
    assert (lapped.instants_ns.tolist(), lapped.duration_ns) == ([1, 4, 16, 20], 30)


# ---- what cannot be ------------------------------------------------------------------------------


BAD = [
    ("warp:0", "factor is 0"),
    ("warp:-2", "factor is -2"),
    ("warp:inf", "factor is inf"),
    ("cut", "from, to are not given"),
    ("cut:from=0s", "from, to are not given"),
    ("cut:from=2s,to=1s", "to is 1 s, which is not after from, 2 s"),
    ("cut:from=1", "'1' has no unit"),
    ("cut:from=-1s", "is not a duration"),
    ("len:0s", "time is 0 s"),
    ("len:300", "'300' has no unit"),
    ("lap:gap=0s,lap=1s", "gap is 0 s"),
    ("lap:gap=0.1ns,lap=1s", "gap is 0 s"),
    ("lap:gap=1s", "lap missing"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[0] for row in BAD])
def test_a_transform_that_cannot_be_is_refused_by_its_parameters_name(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_transform(text)


IMPOSSIBLE = [
    ("len:11s", "time is 11 s, but the source lasts for 10s: give at most that"),
    ("cut:from=5s,to=1h", "to is 3600 s, but the source lasts for 10s"),
    ("cut:from=10s", "from is 10 s, but the source lasts for 10s: begin earlier"),
    ("warp:0.0000000001", "warp: that lasts for 1e\\+11 s: make it shorter"),
    ("lap:gap=1ns,lap=1s", "lap: that lasts for 1e\\+10 s"),
]


@pytest.mark.parametrize(("text", "reason"), IMPOSSIBLE, ids=[row[0] for row in IMPOSSIBLE])
def test_what_cannot_be_done_to_a_source_is_refused_in_one_line(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        changed(drawn("constant:rate=1", 10), text)
    assert "\n" not in str(caught.value)
