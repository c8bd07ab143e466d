"""From options to a schedule."""

from __future__ import annotations

import hashlib
import json

import msgspec
import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.workload import generate
from streambox.workload.lanes import LaneRule
from streambox.workload.schedule import Lane, Schedule
from streambox.workload.traces import TraceOptions

SECOND = 1_000_000_000


def schedule_of(**options):
    return draw_schedule(WorkloadOptions(**options), "digits", 450)


def per_unit(schedule, unit_ns: int = SECOND) -> list[int]:
    units = schedule.duration_ns // unit_ns
    return np.bincount(schedule.intended_ns // unit_ns, minlength=units).tolist()


def test_a_pattern_becomes_as_many_requests_per_unit_as_it_counts():
    assert per_unit(schedule_of(type="bursty", length=30, seed=3)) == generate("bursty", 30, 3)


def test_the_parameters_shape_it_as_the_reference_does():
    counts = [int(count * 0.1) for count in generate("bursty", 6, 0)]
    schedule = schedule_of(length=6, multiple=0.1, gap_time=3, lap_time=2)
    assert per_unit(schedule) == [*counts[:3], 0, 0, *counts[3:], 0, 0]
    assert schedule.duration_ns == 10 * SECOND  # the idle time after the last group included


def test_a_time_unit_other_than_a_second_scales_time_alone():
    schedule = schedule_of(length=5, time_unit_ns=SECOND // 10)
    assert per_unit(schedule, SECOND // 10) == generate("bursty", 5, 0)
    assert schedule.duration_ns == SECOND // 2


def test_a_file_and_a_folder_are_read(tmp_path):
    (tmp_path / "periodic-load.txt").write_text("0 0 5 0 2")
    by_folder = schedule_of(type="periodic", workload_dir=str(tmp_path))
    by_file = schedule_of(workload_file=str(tmp_path / "periodic-load.txt"))
    assert per_unit(by_folder) == per_unit(by_file) == [0, 0, 5, 0, 2]


def test_a_rate_lasts_for_its_duration():
    schedule = schedule_of(rate_per_s=100, duration_ns=3 * SECOND, arrivals="constant")
    assert len(schedule) == 300
    assert schedule.duration_ns == 3 * SECOND


def test_the_same_seed_draws_the_same_schedule_and_another_seed_another():
    """The reference's load generator is unseeded."""
    first, again, other = (schedule_of(rate_per_s=50, seed=seed) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256


def test_the_recipe_draws_the_same_schedule_again():
    first = schedule_of(type="sporadic", length=200, seed=9, gap_time=50, lap_time=10)
    recipe = dict(first.recipe)
    options = {key: recipe[key] for key in WorkloadOptions.__struct_fields__ if key in recipe}
    options.pop("duration_ns")  # of a pattern it follows from the rest
    assert (
        draw_schedule(WorkloadOptions(**options), recipe["model"], recipe["payloads"]).sha256 == first.sha256
    )


SOURCES = [
    {"rate_per_s": 100, "duration_ns": 4 * SECOND},
    {"process": "gamma:rate=100,cv=2", "duration_ns": 4 * SECOND},
    {"type": "periodic", "length": 30},
]


@pytest.mark.parametrize("source", SOURCES, ids=[next(iter(row)) for row in SOURCES])
def test_every_source_can_be_transformed_and_its_recipe_draws_the_same_again(source):
    plain = schedule_of(seed=5, **source)
    schedule = schedule_of(seed=5, transforms=("scale:2,unit=1s", "warp:4"), **source)
    assert len(schedule) == 2 * len(plain)
    assert schedule.duration_ns == plain.duration_ns // 4
    recipe = schedule.recipe
    assert recipe["transforms"] == ["scale:factor=2,unit=1s", "warp:4"]
    assert [line.partition(": ")[0] for line in recipe["fidelity"]] == recipe["transforms"]
    options = {key: recipe[key] for key in WorkloadOptions.__struct_fields__ if key in recipe}
    options |= {"duration_ns": recipe["source_duration_ns"], "transforms": tuple(recipe["transforms"])}
    again = draw_schedule(WorkloadOptions(**options), recipe["model"], recipe["payloads"])
    assert again.sha256 == schedule.sha256


def test_without_a_transform_the_recipe_speaks_of_none():
    assert not {"transforms", "fidelity", "source_duration_ns"} & set(schedule_of(rate_per_s=100).recipe)


def test_a_transform_that_leaves_nothing_is_refused():
    with pytest.raises(UsageError, match=r"no request at all: .*or transform it less"):
        schedule_of(rate_per_s=10, transforms=("thin:0.0000001",))


def test_a_transform_that_cannot_be_applied_is_refused_by_name():
    with pytest.raises(UsageError, match="len: time is 60 s, but the source lasts for 30s"):
        schedule_of(rate_per_s=10, transforms=("len:1m",))


def test_len_past_the_end_of_a_file_is_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("1 2 3")
    with pytest.raises(UsageError, match="only 3 time units"):
        schedule_of(workload_file=str(path), length=4)


def test_a_workload_without_one_request_is_refused():
    with pytest.raises(UsageError, match="no request at all"):
        schedule_of(multiple=0.0)


# ---- schedules drawn anew ------------------------------------------------------------------------


@pytest.fixture
def two_lanes(tmp_path):
    """Two lanes in turn, for two seconds."""
    instants = np.arange(200, dtype=np.int64) * SECOND // 100
    lane = (np.arange(200) % 2).astype(np.uint8)
    lanes = (Lane("digits"), Lane("ranker", "acme"))
    recipe = {"seed": 4, "duration_ns": 2 * SECOND}
    Schedule(instants, np.zeros(200, np.int32), lane, lanes, recipe).to_parquet(tmp_path / "two.parquet")
    return tmp_path / "two.parquet"


def redrawn(path, *transforms, **options):
    chosen = WorkloadOptions(redrawn=str(path), transforms=transforms, **options)
    return draw_schedule(chosen, "digits", lambda lane: {"digits": 450, "ranker": 3}[lane.model])


def test_arrivals_of_a_schedule_stay_at_their_instants_and_for_their_lanes(two_lanes):
    before, after = Schedule.from_parquet(two_lanes), redrawn(two_lanes)
    assert after.intended_ns.tolist() == before.intended_ns.tolist()
    assert [after.lanes[lane] for lane in after.lane] == [before.lanes[lane] for lane in before.lane]
    assert after.duration_ns == before.duration_ns


def test_what_comes_through_a_transform_is_still_for_its_lane(two_lanes):
    before, after = Schedule.from_parquet(two_lanes), redrawn(two_lanes, "thin:0.5")
    whose = {
        instant: before.lanes[lane] for instant, lane in zip(before.intended_ns, before.lane, strict=True)
    }
    assert 60 < len(after) < 140
    for instant, lane in zip(after.intended_ns, after.lane, strict=True):
        assert whose[instant] == after.lanes[lane]


def test_a_schedules_payloads_are_drawn_anew_from_those_of_each_model(two_lanes):
    made = redrawn(two_lanes)
    of_ranker = made.payload[made.lane == made.lanes.index(Lane("ranker", "acme"))]
    assert set(of_ranker.tolist()) == {0, 1, 2}
    assert made.payload.max() > 100
    hashes = [redrawn(two_lanes, seed=seed).sha256 for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_recipe_knows_the_schedule_again_and_what_drew_it(two_lanes):
    recipe = redrawn(two_lanes, "thin:0.5", "warp:2", seed=7).recipe
    sha256 = Schedule.from_parquet(two_lanes).sha256
    drew = {"seed": 4, "duration_ns": 2 * SECOND}
    assert recipe["redrawn"] == {"file": str(two_lanes), "sha256": sha256, "recipe": drew}
    assert (recipe["seed"], recipe["transforms"]) == (7, ["thin:0.5", "warp:2"])
    assert (recipe["source_duration_ns"], recipe["duration_ns"]) == (2 * SECOND, SECOND)


def test_lanes_can_be_changed_by_rule(two_lanes):
    assert redrawn(two_lanes, lane_rule=LaneRule(models=("ranker",))).lanes == (Lane("ranker"),)
    by_hash = LaneRule(map="hash", models=("digits",), tenants=("x", "y"))
    assert {lane.tenant for lane in redrawn(two_lanes, lane_rule=by_hash).lanes} <= {"x", "y"}


def test_what_is_superposed_brings_its_lanes_and_a_pattern_is_for_the_model_of_the_run(tmp_path, two_lanes):
    (tmp_path / "x-load.txt").write_text("3 5")
    one = tmp_path / "one.parquet"
    Schedule.of_lane(np.array([5], np.int64), np.zeros(1, np.int32), Lane("ranker"), {}).to_parquet(one)
    both = redrawn(one, f"superpose:{two_lanes}")
    assert set(both.lanes) == {Lane("ranker"), Lane("digits"), Lane("ranker", "acme")}
    both = redrawn(one, f"superpose:{tmp_path / 'x-load.txt'}")
    requests = dict(zip(both.lanes, np.bincount(both.lane).tolist(), strict=True))
    assert requests == {Lane("digits"): 8, Lane("ranker"): 1}


@pytest.mark.parametrize("content", [None, b"PAR1 and then junk", b""])
def test_a_file_that_is_no_schedule_is_refused_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=r"/x: ") as caught:
        redrawn(tmp_path / "x")
    assert "\n" not in str(caught.value)


# ---- traces --------------------------------------------------------------------------------------

CALLS = "app,func,end_timestamp,duration\n" + "".join(
    f"a,{'fgh'[number % 5 % 3]},{number}.5,0.25\n" for number in range(50)
)


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "calls.csv"
    path.write_text(CALLS)
    return TraceOptions(path=str(path))


def test_a_trace_is_replayed_for_the_one_model(trace):
    schedule = schedule_of(trace=trace)
    assert schedule.intended_ns.tolist() == [number * SECOND for number in range(50)]
    assert schedule.lanes == (Lane("digits"),)
    assert schedule.payload.max() < 450
    assert schedule.duration_ns == 49 * SECOND + 1


def test_the_functions_of_a_trace_become_lanes_by_a_rule(trace):
    rule = LaneRule(map="top-k:2", models=("a", "b"), tenants=("t",))
    schedule = schedule_of(trace=trace, lane_rule=rule)
    assert schedule.lanes == (Lane("a", "t"), Lane("b", "t"))
    assert np.bincount(schedule.lane).tolist() == [20, 20]  # f and g; h, called ten times, is dropped
    assert schedule.recipe["notes"][-1] == "dropped: 10 requests of 1 functions"


def test_the_recipe_of_a_trace_says_which_file_and_how_it_was_read(trace):
    recipe = schedule_of(trace=trace, seed=4, lane_rule=LaneRule(map="hash", models=("a", "b"))).recipe
    assert recipe["trace"]["path"] == trace.path
    assert recipe["trace"]["sha256"] == hashlib.sha256(CALLS.encode()).hexdigest()
    assert recipe["trace"]["format"] == "azure-functions-2021"
    assert (recipe["trace"]["rows"], recipe["trace"]["functions"]) == (50, 3)
    assert recipe["lane_rule"] == {"map": "hash", "models": ["a", "b"], "tenants": []}
    assert recipe["seed"] == 4


def test_the_recipe_of_a_trace_draws_the_same_schedule_again(tmp_path):
    (tmp_path / "counts.csv").write_text("day,time,0,1,2\n0,0,40,10,3\n0,60,2,20,5\n")
    given = TraceOptions(path=str(tmp_path / "counts.csv"), thin=0.5, from_ns=SECOND)
    first = schedule_of(trace=given, seed=3, lane_rule=LaneRule(map="top-k:2"))
    recipe = json.loads(json.dumps(first.recipe))
    options = WorkloadOptions(
        trace=msgspec.convert(recipe["trace"], TraceOptions),
        lane_rule=msgspec.convert(recipe["lane_rule"], LaneRule),
        seed=recipe["seed"],
    )
    assert draw_schedule(options, recipe["model"], recipe["payloads"]).sha256 == first.sha256


def test_a_rule_that_cannot_be_is_found_out_before_a_long_trace_is_read(tmp_path):
    missing = TraceOptions(path=str(tmp_path / "none"))
    for rule, reason in (
        (LaneRule(models=("a", "b")), "Give --map"),
        (LaneRule(map="top-k:3", models=("a", "b")), "--models has 2 names"),
        (LaneRule(map=str(tmp_path / "map.yaml")), "nor a file that exists"),
    ):
        with pytest.raises(UsageError, match=reason):
            schedule_of(trace=missing, lane_rule=rule)


def test_each_lane_draws_from_as_many_payloads_as_it_has(trace):
    rule = LaneRule(map="top-k:2+rest", models=("a", "b", "c"))
    sizes = {"a": 1, "b": 2, "c": 1000}
    schedule = draw_schedule(
        WorkloadOptions(trace=trace, lane_rule=rule), "digits", lambda lane: sizes[lane.model]
    )
    highest = [int(schedule.payload[schedule.lane == lane].max()) for lane in range(3)]
    assert highest[:2] == [0, 1]
    assert highest[2] > 2
    assert schedule.recipe["payloads"] == [1, 2, 1000]


def test_a_trace_that_names_models_is_for_them_unless_one_is_given(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"t": 0.5, "model": "a", "tenant": "x"}\n{"t": 1}\n')
    own = schedule_of(trace=TraceOptions(path=str(tmp_path / "t.jsonl")))
    assert own.lanes == (Lane("a", "x"), Lane("digits"))
    assert own.intended_ns.tolist() == [SECOND // 2, SECOND]
    one = schedule_of(trace=TraceOptions(path=str(tmp_path / "t.jsonl")), lane_rule=LaneRule(models=("b",)))
    assert one.lanes == (Lane("b"),)


def test_a_schedule_drawn_from_counts_is_the_seeds_own(tmp_path):
    (tmp_path / "p.txt").write_text("5 0 9")
    given = TraceOptions(path=str(tmp_path / "p.txt"))
    first, again, other = (schedule_of(trace=given, seed=seed) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256


def test_a_long_pattern_is_refused_by_its_first_units_before_the_rest_is_drawn(monkeypatch):
    drawn = []

    def counts(type, units, seed):
        drawn.append(units)
        return [1000] * units

    monkeypatch.setattr("streambox.loadgen.plan.generate", counts)
    with pytest.raises(UsageError, match=r"requests, the most is"):
        draw_schedule(WorkloadOptions(length=9_999_999), "digits", 10)
    assert max(drawn) < 100_000
    drawn.clear()
    assert len(draw_schedule(WorkloadOptions(length=99_999, multiple=0.001), "digits", 10)) == 99_999
