"""``streambox workload inspect|draw``."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from commands import call_workload as call
from streambox.commands.load import _OF_A_PATTERN, load
from streambox.commands.trace_options import OF_A_TRACE
from streambox.commands.workload import workload
from streambox.errors import UsageError
from streambox.loadgen.payload import count_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.workload.schedule import Lane, Schedule

SECOND = 1_000_000_000


@pytest.fixture
def pattern(tmp_path):
    path = tmp_path / "x-load.txt"
    path.write_text("40 0 60")
    return path


# ---- inspect -------------------------------------------------------------------------------------


def test_a_pattern_a_schedule_and_what_load_would_draw_can_be_inspected(tmp_path, pattern):
    assert "100" in call("inspect", pattern)
    call("draw", "--rate", 50, "--duration", "20s", "--out", tmp_path / "s.parquet")
    for source in (tmp_path / "s.parquet",), ("--rate", 50, "--duration", "20s"):
        assert "50.6/s" in call("inspect", *source)
    assert "periodic" in call("inspect", "--type", "periodic", "--len", 60)
    assert "gamma:rate=50,cv=2" in call("inspect", "--process", "gamma:rate=50,cv=2")


def test_transforms_are_shown_beside_their_source_with_what_they_kept(pattern):
    printed = call("inspect", pattern, "--transform", "scale:3,unit=1s", "--transform", "warp:2")
    assert "scale:factor=3,unit=1s: 100 → 300 arrivals; mean rate 100/s as promised" in printed
    assert "warp:2: 300 → 300 arrivals; duration 1.5 s as promised" in printed
    assert "transformed" in printed
    assert "KS of the rate's shape" in printed


def test_another_file_is_shown_beside_it(tmp_path, pattern):
    (tmp_path / "y.txt").write_text("7 7 7 7")
    head = call("inspect", pattern, "--against", tmp_path / "y.txt").splitlines()[0]
    assert head.split() == ["x-load.txt", "y.txt"]
    head = call("inspect", pattern, "--against", pattern, "--transform", "thin:0.5").splitlines()[1]
    assert head.split() == ["x-load.txt", "transformed", "x-load.txt", "(2)"]


def test_json_has_all_of_it(pattern):
    values = json.loads(call("inspect", pattern, "--transform", "scale:2", "--against", pattern, "--json"))
    assert [source["arrivals"] for source in values["sources"]] == [100, 200, 100]
    assert values["sources"][2]["ks_to_first"] == {"gaps": 0.0, "shape": 0.0}  # the same seed drew both
    assert values["transforms"][0]["transform"] == "scale:2"


def test_the_unit_and_the_seed_are_heeded(pattern):
    assert "peak / mean, 500ms" in call("inspect", pattern, "--count-unit", "500ms")
    one, again, other = (call("inspect", pattern, "--json", "--seed", seed) for seed in (1, 1, 2))
    assert one == again != other


def test_a_page_can_be_written(tmp_path, pattern):
    call("inspect", pattern, "--transform", "scale:2", "--out", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_is_inspected_is_what_is_drawn(tmp_path):
    options = ("--type", "bursty", "--len", 20, "--multiple", 0.05, "--seed", 4, "--transform", "cv:2")
    call("draw", *options, "--out", tmp_path / "s.parquet")
    drawn = json.loads(call("inspect", tmp_path / "s.parquet", "--json"))["sources"][0]
    inspected = json.loads(call("inspect", *options, "--json"))["sources"][1]
    assert {**drawn, "name": ""}.items() <= {**inspected, "name": ""}.items()


# ---- draw ----------------------------------------------------------------------------------------


OPTIONS = [
    (("--rate", 50), WorkloadOptions(rate_per_s=50)),
    (("--process", "gamma:rate=50,cv=2", "--seed", 3), WorkloadOptions(process="gamma:rate=50,cv=2", seed=3)),
    (("--type", "periodic", "--len", 9, "--gap-time", 3, "--lap-time", 2), None),
    (("--rate", 50, "--transform", "scale:2"), WorkloadOptions(rate_per_s=50, transforms=("scale:2",))),
]


@pytest.mark.parametrize(("arguments", "options"), OPTIONS, ids=[str(row[0]) for row in OPTIONS])
def test_what_is_drawn_is_what_load_with_the_same_options_sends(tmp_path, arguments, options):
    options = options or WorkloadOptions(type="periodic", length=9, gap_time=3, lap_time=2)
    printed = call("draw", *arguments, "--out", tmp_path / "s.parquet")
    schedule = Schedule.from_parquet(tmp_path / "s.parquet")
    assert schedule.sha256 == draw_schedule(options, "digits", count_payloads("digits", None)).sha256
    assert schedule.sha256 in printed
    assert ("as promised" in printed) == bool(options.transforms)


def test_two_processes_draw_the_same_file(tmp_path):
    options = ["--type", "bursty", "--len", "30", "--multiple", "0.05"]
    options += ["--transform", "scale:2.5", "--transform", "cv:3"]
    draw = [sys.executable, "-m", "streambox.cli", "workload", "draw", *options, "--out"]
    for name in ("a", "b"):
        subprocess.run([*draw, str(tmp_path / name)], check=True, capture_output=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert Schedule.from_parquet(tmp_path / "a").recipe["transforms"] == ["scale:2.5", "cv:3"]


def test_a_file_is_drawn_anew_with_its_lanes_or_for_one_model(tmp_path, pattern):
    call("draw", pattern, "--model", "ranker", "--out", tmp_path / "a.parquet")
    call(
        "draw", tmp_path / "a.parquet", "--transform", "thin:0.5", "--quiet", "--out", tmp_path / "b.parquet"
    )
    assert Schedule.from_parquet(tmp_path / "b.parquet").lanes == (Lane("ranker"),)
    call("draw", tmp_path / "a.parquet", "--model", "digits", "--out", tmp_path / "c.parquet")
    assert Schedule.from_parquet(tmp_path / "c.parquet").lanes == (Lane("digits"),)


def test_payloads_are_those_of_the_dataset(tmp_path, pattern):
    np.savez(tmp_path / "three.npz", x=np.zeros((3, 4), np.float32))
    call("draw", pattern, "--dataset", tmp_path / "three.npz", "--out", tmp_path / "a.parquet")
    schedule = Schedule.from_parquet(tmp_path / "a.parquet")
    assert set(schedule.payload.tolist()) == {0, 1, 2}
    assert schedule.recipe["payloads"] == 3


def test_the_configuration_speaks_here_too(tmp_path):
    (tmp_path / "c.yaml").write_text("load_generator: {type: periodic, len: 12, seed: 5, model: ranker}\n")
    call("draw", "--config", tmp_path / "c.yaml", "--out", tmp_path / "a.parquet")
    schedule = Schedule.from_parquet(tmp_path / "a.parquet")
    assert (schedule.lanes, schedule.recipe["type"], schedule.duration_ns) == (
        (Lane("ranker"),),
        "periodic",
        12 * SECOND,
    )


def test_quiet_says_nothing_of_transforms(tmp_path):
    printed = call("draw", "--rate", 50, "--transform", "scale:2", "--quiet", "--out", tmp_path / "a.parquet")
    assert printed.splitlines()[0].startswith(f"{tmp_path / 'a.parquet'}: ")


# ---- both ----------------------------------------------------------------------------------------


def test_their_options_are_loads_own_all_that_say_what_arrives():
    """So that a source which load learns is not forgotten here."""
    of_load = {parameter.name: parameter for parameter in load.params}
    lanes = {"lane_map", "models", "tenants", "durations"}
    needed = {"type", "rate", "process", "trace", "transforms", "seed", "duration", "arrivals"}
    needed |= {*_OF_A_PATTERN, *OF_A_TRACE}
    for name, others in (("inspect", lanes), ("draw", set())):
        shared = {each.name for each in workload.commands[name].params if of_load.get(each.name) is each}
        assert needed - others <= shared


def test_a_pattern_file_takes_the_references_parameters_here_too(tmp_path, pattern):
    call(
        "draw", pattern, "--multiple", 0.5, "--gap-time", 1, "--lap-time", 2, "--out", tmp_path / "s.parquet"
    )
    schedule = Schedule.from_parquet(tmp_path / "s.parquet")
    assert np.bincount(schedule.intended_ns // SECOND).tolist() == [20, 0, 0, 0, 0, 0, 30]
    assert schedule.recipe["workload_file"] == str(pattern)


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "calls.jsonl"
    rows = [
        json.dumps({"t": number / 10, "model": "digits", "tenant": "xy"[number % 2]}) for number in range(90)
    ]
    path.write_text("\n".join(rows))
    return path


def test_a_trace_is_read_transformed_and_shared_out(tmp_path, trace):
    assert "10.1/s" in call("inspect", trace)  # 90 within 8.9 s
    by_file, by_option = (
        json.loads(call("inspect", *source, "--json")) for source in ([trace], ["--trace", trace])
    )
    assert by_file["sources"] == [{**source, "name": trace.name} for source in by_option["sources"]]
    printed = call("draw", trace, "--transform", "thin:0.5", "--out", tmp_path / "s.parquet").splitlines()
    assert printed[0] == f"{trace}: jsonl, 90 rows, 0 of them skipped, 2 functions"
    assert printed[1].startswith("thin:0.5: 90 → ")
    assert set(Schedule.from_parquet(tmp_path / "s.parquet").lanes) == {
        Lane("digits", "x"),
        Lane("digits", "y"),
    }
    call("draw", trace, "--map", "one", "--from", "1s", "--to", "2s", "--out", tmp_path / "s.parquet")
    schedule = Schedule.from_parquet(tmp_path / "s.parquet")
    assert (len(schedule), schedule.lanes) == (10, (Lane("digits"),))


def test_lanes_of_a_schedule_can_be_changed(tmp_path, trace):
    call("draw", trace, "--out", tmp_path / "a.parquet")
    rule = ("--map", "top-k:1+rest", "--models", "digits,resnet50")
    call("draw", tmp_path / "a.parquet", *rule, "--out", tmp_path / "b.parquet")
    assert set(Schedule.from_parquet(tmp_path / "b.parquet").lanes) == {Lane("digits"), Lane("resnet50")}


def test_how_many_payloads_there_are_can_be_said(tmp_path, pattern):
    call("draw", pattern, "--payloads", 2, "--out", tmp_path / "a.parquet")
    assert set(Schedule.from_parquet(tmp_path / "a.parquet").payload.tolist()) == {0, 1}


def test_a_run_that_fails_leaves_the_file_that_was_there(tmp_path, pattern):
    out = tmp_path / "s.parquet"
    call("draw", pattern, "--out", out)
    before = out.read_bytes()
    with pytest.raises(UsageError):
        call("draw", pattern, "--transform", "len:1h", "--out", out)
    assert out.read_bytes() == before
    assert list(tmp_path.glob(".*")) == []


BAD = [
    (["inspect"], "which workload"),
    (["draw", "--out", "x"], "which workload"),
    (["inspect", "none.txt"], "none.txt: no such file"),
    (["inspect", "x-load.txt", "--len", "5"], "has only 3 time units"),
    (["inspect", "x-load.txt", "--duration", "5s"], "--duration goes with --rate"),
    (["inspect", "x-load.txt", "--format", "jsonl"], "--format goes with --trace"),
    (["draw", "x-load.txt", "--rate", "5", "--out", "x"], "--rate draws a workload, and x-load.txt has one"),
    (["draw", "x-load.txt", "--out", "x-load.txt"], "is what is to be read: name another file"),
    (["draw", "--workload-file", "x-load.txt", "--out", "x-load.txt"], "is what is to be read"),
    (["inspect", "--trace", "x-load.txt", "--out", "x-load.txt"], "is what is to be read"),
    (["inspect", "x-load.txt", "--against", "none.parquet"], "none.parquet: no such file"),
    (["inspect", "x-load.txt", "--transform", "nonsense"], "no transform 'nonsense'"),
    (["inspect", "x-load.txt", "--transform", "len:1h"], "len: time is 3600 s, but the source lasts for 3s"),
    (["inspect", "x-load.txt", "--count-unit", "1ns"], "choose a longer one"),
    (["inspect", "x-load.txt", "--out", "/dev/null/x"], "/dev/null/x: cannot be written: Not a directory"),
    (["inspect", "--rate", "5", "--process", "poisson:rate=5"], "exclude each other"),
    (["inspect", "--type", "bursty", "--gap-time", "0"], "gap_time is 0"),
    (["inspect", "--type", "bursty", "--multiple", "nan"], "multiple is nan"),
    (["draw", "--workload-file", "x-load.txt", "--len", "4", "--out", "x"], "has only 3 time units"),
    (["draw", "x-load.txt", "--out", "/dev/null/x"], "/dev/null/x: cannot be written: Not a directory"),
    (["draw", "x-load.txt", "--out", "no/such/folder"], "cannot be written: No such file or directory"),
    (["draw", "x-load.txt", "--dataset", "none.npz", "--out", "x"], "no such dataset"),
    (["draw", "--config", "none.yaml", "--out", "x"], "none.yaml"),
]


@pytest.mark.parametrize(("arguments", "reason"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_what_cannot_be_done_is_said_in_one_line(arguments, reason, pattern, monkeypatch):
    monkeypatch.chdir(pattern.parent)
    with pytest.raises(UsageError, match=reason) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
