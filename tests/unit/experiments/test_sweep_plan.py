"""What a sweep will run: every combination, as often as asked, in an order that favours none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streambox.errors import UsageError
from streambox.experiments.sweep_file import parse_sweep, read_sweep
from streambox.experiments.sweep_plan import Axis, Cell, SweepOptions, parse_axis, plan_runs

LOAD = {"rate": False, "process": False, "connections": False, "schedule": False, "fresh-connections": True}


def axes(*texts: str) -> tuple[Axis, ...]:
    return tuple(parse_axis(text, LOAD) for text in texts)


def planned(*texts: str, **changes):
    return plan_runs(SweepOptions(axes=axes(*texts), **changes), LOAD)


def test_every_combination_is_run_once_in_every_repeat():
    runs = planned("rate=100,200,400", "connections=1,8", repeats=3)
    assert len(runs) == 18
    for repeat in (1, 2, 3):
        cells = [run.cell.name for run in runs if run.repeat == repeat]
        assert len(set(cells)) == len(cells) == 6


def test_a_repeat_is_a_whole_round_in_an_order_of_its_own():
    runs = planned("rate=100,200,400", "connections=1,8", repeats=4)
    assert [run.repeat for run in runs] == [repeat for repeat in (1, 2, 3, 4) for _ in range(6)]
    orders = {tuple(run.cell.name for run in runs if run.repeat == repeat) for repeat in (1, 2, 3, 4)}
    assert len(orders) > 1


def test_the_seed_decides_the_order():
    texts = ("rate=1,2,3,4,5,6",)
    first, again, other = (planned(*texts, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert [run.cell for run in first] != [run.cell for run in other]


def test_one_repeat_of_all_settings_has_one_seed_so_that_they_replay_the_same_schedule():
    for run in planned("rate=1,2", "connections=1,8", repeats=3, seed=40):
        assert run.seed == 39 + run.repeat
        assert run.load[-2:] == ("--seed", str(run.seed))


def test_a_schedule_that_is_replayed_is_not_drawn_from_a_seed():
    for run in planned("schedule=a.parquet,b.parquet"):
        assert "--seed" not in run.load
    assert "--seed" not in planned("connections=1,2", load=("--schedule=a.parquet",))[0].load


def test_what_varies_goes_where_it_belongs():
    (run,) = planned(
        "rate=100",
        "fresh_connections=true",
        "batcher.time_window=5ms",
        "cv=3",
        load=("--header", "x: {cv}", "--check", "{none}"),
        settings=("batcher.max_batch_size=8",),
        serve="c.yaml",
    )
    assert run.load == (
        *("--header", "x: 3", "--check", "{none}"),
        *("--rate", "100", "--fresh-connections", "--seed", "0"),
    )
    assert run.settings == ("batcher.max_batch_size=8", "batcher.time_window=5ms")
    assert run.cell.values == {
        "rate": "100",
        "fresh-connections": "true",
        "batcher.time_window": "5ms",
        "cv": "3",
    }


def test_a_flag_that_is_off_is_left_out():
    assert planned("fresh-connections=false")[0].load == ("--seed", "0")


def test_values_with_commas_are_written_as_a_list():
    (axis,) = axes('process=["gamma:rate=100,cv=1", "gamma:rate=100,cv=3"]')
    assert axis == Axis("process", ("gamma:rate=100,cv=1", "gamma:rate=100,cv=3"), "load")
    assert axes("rate=[100, 0.5]")[0].values == ("100", "0.5")


@pytest.mark.parametrize(
    ("values", "numbers"), [("1,2.5,1e3", (1, 2.5, 1000)), ("1ms,5ms", None), ("1,nan", None)]
)
def test_an_axis_of_numbers_knows_them(values, numbers):
    assert axes(f"rate={values}")[0].numbers == numbers


def test_the_command_before_a_run_finds_its_values_in_the_environment():
    (run,) = planned("pool.size=4", repeats=1, serve="c", before="./restart $SWEEP_POOL_SIZE", seed=3)
    assert run.environment == {"SWEEP_POOL_SIZE": "4", "SWEEP_REPEAT": "1", "SWEEP_SEED": "3"}


def test_a_cell_is_named_by_its_values_and_two_never_share_a_folder():
    assert Cell({"rate": "100", "batcher.time_window": "5ms"}).name == "rate=100,batcher.time_window=5ms"
    odd = [Cell({"process": value}).name for value in ("a b", "a/b", "a:b", "x" * 300, "x" * 301)]
    assert len(set(odd)) == 5
    assert all("/" not in name and len(name) < 140 for name in odd)


@pytest.mark.parametrize(
    ("texts", "changes", "reason"),
    [
        ((), {}, "nothing varies"),
        (("rate=1", "rate=2"), {}, "'rate' is varied twice"),
        (("batcher.time_window=1ms",), {}, "--serve CONFIG starts one"),
        (("rate=1",), {"settings": ("batcher.port=1",)}, "say which with --serve"),
        (("conections=1,2",), {}, r"nothing reads 'conections'.*did you mean 'connections'\?"),
        (("cv=1,2",), {"before": "./restart $SWEEP_C"}, r"write \{cv\} where it belongs, or \$SWEEP_CV"),
        (("fresh-connections=1",), {}, "is on or off"),
        (
            ("rate=" + ",".join(map(str, range(1, 102))), "connections=1,2"),
            {"repeats": 50},
            "more than 10,000 runs",
        ),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(texts, changes, reason):
    with pytest.raises(UsageError, match=reason):
        planned(*texts, **changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rate", "write NAME=VALUE,VALUE"),
        ("=1", "write NAME=VALUE,VALUE"),
        ("rate=", "has no values"),
        ("rate=1,,2", "has no values"),
        ("rate=1,1", "a value twice"),
        ("rate=[1, 2", "no valid YAML list"),
    ],
)
def test_what_is_no_axis_is_refused(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_axis(text, LOAD)


# ---- the file ------------------------------------------------------------------------------------

FILE = """
load: {connections: 64, fresh_connections: true, process: 'gamma:rate={rate},cv={cv}'}
vary:
  rate: [100, 200]
  cv: [0.5, 3]
  batcher.time_window: [1ms, 5ms]
serve: batcher.yaml
set: {batcher.max_batch_size: 8}
before: sync
repeats: 3
seed: 7
"""


def test_a_file_says_what_the_options_would():
    options = parse_sweep(FILE, Path("/etc/sweeps"), {**LOAD, "rate": False})
    assert options == SweepOptions(
        axes=axes("rate=100,200", "cv=0.5,3", "batcher.time_window=1ms,5ms"),
        load=("--connections", "64", "--fresh-connections", "--process", "gamma:rate={rate},cv={cv}"),
        serve="/etc/sweeps/batcher.yaml",
        settings=("batcher.max_batch_size=8",),
        before="sync",
        repeats=3,
        seed=7,
    )


def test_an_option_that_is_given_several_times_is_a_list():
    options = parse_sweep("load: {connections: [1, 2]}\nvary: {rate: [1]}", Path(), LOAD)
    assert options.load == ("--connections", "1", "--connections", "2")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected keys such as 'vary:'"),
        ("varry: {rate: [1]}", "unknown key 'varry': did you mean 'vary'?"),
        ("load: {conections: 1}", "unknown key 'load.conections': did you mean 'connections'?"),
        ("vary: {rate: 5}", "vary"),
        ("vary: {rate: []}", "has no values"),
        ("vary: {rate: [1]}\nrepeats: 0", "repeats must be at least 1"),
        ("vary: {rate: [1]}\nrepeats: many", "repeats: expected"),
        ("vary: {rate: [1]}\nvary: {rate: [2]}", "given twice"),
        ("vary: [", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_key(tmp_path, text, reason):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_sweep(path, LOAD)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line():
    with pytest.raises(UsageError, match="no such file"):
        read_sweep(Path("/nowhere/sweep.yaml"), LOAD)


def test_options_can_be_told_apart_from_others():
    options = SweepOptions(axes=axes("rate=1"))
    assert msgspec.structs.replace(options, seed=1) != options
