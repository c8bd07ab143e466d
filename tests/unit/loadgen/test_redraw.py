"""From the arrivals in a file to a schedule of one's own."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.redraw import redraw_schedule
from streambox.workload.schedule import Lane, Schedule

SECOND = 1_000_000_000
PAYLOADS = {"digits": 450, "ranker": 3}


@pytest.fixture
def pattern(tmp_path):
    path = tmp_path / "x-load.txt"
    path.write_text("40 0 60")
    return path


@pytest.fixture
def schedule(tmp_path):
    """Two lanes in turn, for two seconds."""
    path = tmp_path / "two.parquet"
    instants = np.arange(200, dtype=np.int64) * SECOND // 100
    lane = (np.arange(200) % 2).astype(np.uint8)
    recipe = {"seed": 4, "duration_ns": 2 * SECOND}
    Schedule(
        instants, np.zeros(200, np.int32), lane, (Lane("digits"), Lane("ranker", "acme")), recipe
    ).to_parquet(path)
    return path


def redrawn(path, *transforms, seed=0, model=None):
    return redraw_schedule(path, transforms, seed, PAYLOADS.__getitem__, model=model, default_model="digits")


def test_a_pattern_is_for_the_model_that_is_asked_for(pattern):
    assert redrawn(pattern).lanes == (Lane("digits"),)
    assert redrawn(pattern, model="ranker").lanes == (Lane("ranker"),)
    made = redrawn(pattern)
    assert np.bincount(made.intended_ns // SECOND).tolist() == [40, 0, 60]
    assert made.duration_ns == 3 * SECOND


def test_a_schedules_arrivals_stay_at_their_instants_and_for_their_lanes(schedule):
    before, after = Schedule.from_parquet(schedule), redrawn(schedule)
    assert after.intended_ns.tolist() == before.intended_ns.tolist()
    assert after.lane.tolist() == before.lane.tolist()
    assert after.lanes == before.lanes
    assert after.duration_ns == before.duration_ns


def test_what_comes_through_a_transform_is_still_for_its_lane(schedule):
    before, after = Schedule.from_parquet(schedule), redrawn(schedule, "thin:0.5")
    lanes = dict(zip(before.intended_ns.tolist(), before.lane.tolist(), strict=True))
    assert 60 < len(after) < 140
    assert all(lanes[instant] == lane for instant, lane in zip(after.intended_ns, after.lane, strict=True))


def test_payloads_are_drawn_from_those_of_each_model(schedule):
    made = redrawn(schedule)
    assert made.recipe["payloads"] == [450, 3]
    assert set(made.payload[made.lane == 1].tolist()) == {0, 1, 2}
    assert made.payload[made.lane == 0].max() > 100


def test_the_same_seed_draws_the_same_and_another_another(schedule):
    hashes = [redrawn(schedule, "thin:0.5", seed=seed).sha256 for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_recipe_knows_the_file_again_and_what_drew_it(schedule, pattern):
    recipe = redrawn(schedule, "thin:0.5", "warp:2", seed=7).recipe
    assert recipe["source"] == str(schedule)
    assert recipe["source_sha256"] == hashlib.sha256(schedule.read_bytes()).hexdigest()
    assert recipe["source_recipe"] == {"seed": 4, "duration_ns": 2 * SECOND}
    assert (recipe["seed"], recipe["transforms"]) == (7, ["thin:0.5", "warp:2"])
    assert (recipe["source_duration_ns"], recipe["duration_ns"]) == (2 * SECOND, SECOND)
    assert "source_recipe" not in redrawn(pattern).recipe


def test_a_superposed_schedule_brings_its_lanes_and_a_pattern_goes_to_the_only_one(
    tmp_path, schedule, pattern
):
    one = tmp_path / "one.parquet"
    Schedule.of_lane(np.array([5], np.int64), np.zeros(1, np.int32), Lane("ranker"), {}).to_parquet(one)
    assert redrawn(one, f"superpose:{schedule}").lanes == (
        Lane("ranker"),
        Lane("digits"),
        Lane("ranker", "acme"),
    )
    assert redrawn(one, f"superpose:{pattern}").lanes == (Lane("ranker"),)
    with pytest.raises(
        UsageError, match="a pattern is for none of digits, ranker/acme: say for which, by --model"
    ):
        redrawn(schedule, f"superpose:{pattern}")
    assert redrawn(schedule, f"superpose:{pattern}", model="digits").lanes == (Lane("digits"),)


def test_what_has_no_request_is_refused(tmp_path, pattern):
    (tmp_path / "idle.txt").write_text("0 0")
    for path, transforms in ((tmp_path / "idle.txt", ()), (pattern, ("cut:from=1s,to=2s",))):
        with pytest.raises(UsageError, match="has no request, or transforms leave none"):
            redrawn(path, *transforms)


@pytest.mark.parametrize("content", [None, b"PAR1 and then junk", b"1 -1", b""])
def test_a_file_that_is_no_source_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"/x: ") as caught:
        redrawn(path)
    assert "\n" not in str(caught.value)
