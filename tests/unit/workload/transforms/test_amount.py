"""Scale, thin, copies, superpose: what they promise to keep is kept."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.arrivals import arrivals_in_units
from streambox.workload.events import Events, superpose
from streambox.workload.figures import dispersion_curve, gap_cv, shape_distance
from streambox.workload.patterns import generate
from streambox.workload.processes import parse_process
from streambox.workload.schedule import Lane, Schedule
from streambox.workload.transforms import parse_transform

SECOND = 1_000_000_000


def drawn(text: str, seconds: int = 400, seed: int = 1, function: str = "f") -> Events:
    duration_ns = seconds * SECOND
    instants = parse_process(text).arrivals(duration_ns, np.random.default_rng(seed))
    return Events.of(instants, duration_ns, function)


def pattern(kind: str, units: int, multiple: float = 1.0) -> Events:
    counts = [int(count * multiple) for count in generate(kind, units, 0)]
    return Events.of(arrivals_in_units(counts, SECOND, np.random.default_rng(0)), units * SECOND)


def changed(events: Events, text: str, seed: int = 5) -> Events:
    return parse_transform(text).apply(events, np.random.default_rng(seed))


def idc(events: Events, tau_s: float) -> float:
    ((_, value),) = dispersion_curve(events, (tau_s,))
    return value


# ---- scale ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.3, 1, 2, 2.5, 7])
def test_a_scaled_rate_is_the_factor_times_the_rate_in_the_same_shape(factor):
    events = pattern("bursty", 300, 0.1)
    scaled = changed(events, f"scale:{factor}")
    assert len(scaled) == pytest.approx(factor * len(events), rel=0.02)
    assert scaled.duration_ns == events.duration_ns
    assert shape_distance(events, scaled) < 0.01


@pytest.mark.parametrize("kind", ["bursty", "periodic", "sporadic"])
def test_a_whole_factor_multiplies_the_count_of_every_unit_exactly(kind):
    events = pattern(kind, 200)
    scaled = changed(events, "scale:3,unit=1s")
    assert scaled.counts_per_unit(SECOND).tolist() == (3 * events.counts_per_unit(SECOND)).tolist()


def test_poisson_arrivals_stay_poisson_when_scaled_either_way():
    """Copies of all arrivals that came together would have an index of dispersion of 3."""
    events = drawn("poisson:rate=50", 2000)
    for text in ("scale:3", "scale:0.3"):
        scaled = changed(events, text)
        assert gap_cv(scaled.instants_ns) == pytest.approx(1, abs=0.03)
        assert idc(scaled, 1) == pytest.approx(1, abs=0.2)
        assert idc(scaled, 10) == pytest.approx(1, abs=0.5)


def test_clusters_keep_their_dispersion_when_scaled_up_and_lose_it_when_scaled_down():
    events = drawn("gamma:rate=50,cv=3", 4000)
    assert idc(changed(events, "scale:4"), 1) == pytest.approx(idc(events, 1), rel=0.1)
    assert idc(changed(events, "scale:0.25"), 1) == pytest.approx(1 + 0.25 * (idc(events, 1) - 1), rel=0.1)


def test_the_variation_of_a_common_rate_grows_with_it():
    events = pattern("bursty", 600, 0.1)
    assert idc(changed(events, "scale:3"), 10) == pytest.approx(3 * idc(events, 10), rel=0.05)


def test_a_copy_is_its_source_turned_round():
    events = Events.of(np.array([100, 105, 107], np.int64), 1000)
    copy = np.setdiff1d(changed(events, "scale:2,unit=1s").instants_ns, events.instants_ns)
    assert {tuple(np.sort((copy - each) % 1000)) for each in copy.tolist()} == {
        (0, 5, 7),
        (0, 2, 995),
        (0, 993, 998),
    }


def test_no_two_copies_have_the_same_offset():
    scaled = changed(Events.of(np.array([10], np.int64), 10**9), "scale:50")
    assert len(set(scaled.instants_ns.tolist())) == 50


# ---- thin ----------------------------------------------------------------------------------------


def test_thinning_keeps_a_share_of_the_source_at_its_instants():
    events = drawn("gamma:rate=50,cv=3", 4000)
    thinned = changed(events, "thin:0.1")
    assert set(thinned.instants_ns.tolist()) <= set(events.instants_ns.tolist())
    assert len(thinned) == pytest.approx(0.1 * len(events), rel=0.03)
    assert idc(thinned, 1) == pytest.approx(1 + 0.1 * (idc(events, 1) - 1), rel=0.15)


def three_functions() -> Events:
    return superpose([drawn(f"poisson:rate={rate}", 100, rate, f"f{rate}") for rate in (10, 20, 40)])


def calls(events: Events) -> dict[str, int]:
    return {name: len(events.of_function(index)) for index, name in enumerate(events.functions)}


def test_one_function_alone_can_be_thinned():
    before = calls(three_functions())
    after = calls(changed(three_functions(), "thin:0.5,only=f20"))
    assert (after["f10"], after["f40"]) == (before["f10"], before["f40"])
    assert after["f20"] == pytest.approx(before["f20"] / 2, rel=0.1)


@pytest.mark.parametrize(("share", "stay"), [(0.01, 1), (0.34, 1), (0.67, 2), (1, 3)])
def test_whole_functions_can_be_kept_by_their_share(share, stay):
    before, after = calls(three_functions()), calls(changed(three_functions(), f"thin:{share},by=function"))
    assert sorted(after) == sorted(before)  # the names stay even of those that are not called any more
    kept = {name: count for name, count in after.items() if count}
    assert len(kept) == stay
    assert kept.items() <= before.items()


def test_which_functions_stay_is_chance():
    kept = [changed(three_functions(), "thin:0.1,by=function", seed).function[0] for seed in range(20)]
    assert set(kept) == {0, 1, 2}


# ---- copies, superpose ---------------------------------------------------------------------------


def test_copies_are_shifted_and_what_passes_the_end_comes_at_the_start():
    events = Events.of(np.array([0, 30, 95], np.int64), 100)
    copies = changed(events, "copies:3,shift=10ns")
    assert sorted(copies.instants_ns.tolist()) == sorted([0, 30, 95, 10, 40, 5, 20, 50, 15])
    assert copies.duration_ns == 100


def test_copies_at_random_shifts_smear_the_shape():
    events = drawn("steps:levels=0/s:200s+100/s:200s")
    copies = changed(events, "copies:40")
    assert len(copies) == 40 * len(events)
    assert shape_distance(events, copies) > 0.15


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.parquet"
    instants = np.array([5, 7, 7], np.int64)
    lane = np.array([0, 1, 0], np.uint8)
    Schedule(
        instants, np.zeros(3, np.int32), lane, (Lane("a"), Lane("b", "acme")), {"duration_ns": 50}
    ).to_parquet(path)
    return path


def test_another_file_is_superposed_by_the_names_of_its_functions(other):
    events = Events(np.array([6, 7], np.int64), np.array([0, 0], np.int32), ("a",), 20)
    both = changed(events, f"superpose:{other}")
    assert both.instants_ns.tolist() == [5, 6, 7, 7, 7]
    assert calls(both) == {"a": 4, "b/acme": 1}
    assert both.duration_ns == 50


def test_that_each_arrival_of_the_source_is_there_is_counted(other):
    events = Events(np.array([6, 7], np.int64), np.array([0, 0], np.int32), ("a",), 20)
    transform = parse_transform(f"superpose:with={other}")
    both = transform.apply(events, np.random.default_rng(0))
    assert [(each.expected, each.found) for each in transform.promises(events, both)] == [(2, 2)]
    (missed,) = transform.promises(events, Events.of(np.array([6, 8], np.int64), 20))
    assert missed.found == 1
    (twice,) = transform.promises(
        Events.of(np.array([7, 7], np.int64), 20), Events.of(np.array([7], np.int64), 20)
    )
    assert twice.found == 1


BAD = [
    ("scale:0", "scale: factor is 0: give a number above 0"),
    ("scale:-1", "factor is -1"),
    ("scale:nan", "factor is nan"),
    ("scale:1e9", "factor is 1e\\+09: give a number above 0 and below 10000"),
    ("scale:0.5,unit=1s", "unit is for copies"),
    ("scale:2,unit=0s", "unit is 0 s"),
    ("scale:x", "'x' is not a number"),
    ("thin:0", "keep is 0: give a share above 0, up to 1"),
    ("thin:1.1", "keep is 1.1"),
    ("thin:nan", "keep is nan"),
    ("thin:0.5,by=function,only=f", "exclude each other"),
    ("thin:0.5,by=tenant", "'tenant' is not one of arrival, function"),
    ("copies:0", "count is 0"),
    ("copies:2.5", "'2.5' is not a whole number"),
    ("copies:2,shift=0s", "shift is 0 s"),
    ("superpose", "with missing"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[0] for row in BAD])
def test_a_transform_that_cannot_be_is_refused_by_its_parameters_name(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_transform(text)


IMPOSSIBLE = [
    ("scale:9000", "that is 1.8e\\+08 requests, the most is 5e\\+07"),
    ("copies:9000", "the most is 5e\\+07"),
    ("scale:2,unit=1us", "more than 10,000,000"),
    ("thin:0.5,only=nobody", "only is 'nobody', and no function has that name"),
    ("superpose:no-such.txt", "no-such.txt: no such file"),
]


@pytest.mark.parametrize(("text", "reason"), IMPOSSIBLE, ids=[row[0] for row in IMPOSSIBLE])
def test_what_cannot_be_done_to_a_source_is_refused_in_one_line(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        changed(drawn("constant:rate=100", 200), text)
    assert "\n" not in str(caught.value)
