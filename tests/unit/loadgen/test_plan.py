"""From options to a schedule."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.workload import generate

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
