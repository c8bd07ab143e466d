"""``streambox workload import|fit``."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from commands import call_workload as call
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import count_payloads
from streambox.workload.fit import MODELS
from streambox.workload.processes import parse_process
from streambox.workload.schedule import Lane, Schedule

SECOND = 1_000_000_000


@pytest.fixture
def calls(tmp_path):
    """60 calls of three functions over a minute."""
    path = tmp_path / "calls.csv"
    rows = [f"a,{'fgh'[number % 6 % 3 if number % 2 else 0]},{number}.5,0.25" for number in range(60)]
    path.write_text("\n".join(["app,func,end_timestamp,duration", *rows]))
    return path


# ---- import --------------------------------------------------------------------------------------


def test_a_trace_becomes_a_schedule_and_what_was_read_is_said(calls, tmp_path):
    out = tmp_path / "s.parquet"
    printed = call("import", calls, "--out", out).splitlines()
    schedule = Schedule.from_parquet(out)
    assert printed[0] == f"{calls}: azure-functions-2021, 60 rows, 0 of them skipped, 3 functions"
    assert printed[-3] == f"{out}: 60 requests in 59 s, 1.01695/s on average"
    assert printed[-2] == f"sha256 {schedule.sha256}"
    assert printed[-1].split() == ["60", "digits"]
    assert schedule.intended_ns.tolist() == [number * SECOND for number in range(60)]
    assert schedule.payload.max() < count_payloads("digits")
    assert list(tmp_path.glob(".*")) == []


def test_functions_become_models_and_tenants(calls, tmp_path):
    out = tmp_path / "s.parquet"
    rule = ("--map", "top-k:2", "--models", "digits,resnet50", "--tenants", "acme,zoo")
    printed = call("import", calls, "--out", out, *rule, "--payloads", 7).splitlines()
    schedule = Schedule.from_parquet(out)
    assert schedule.lanes == (Lane("digits", "acme"), Lane("resnet50", "zoo"))
    counts = np.bincount(schedule.lane).tolist()
    assert [line.split() for line in printed[-2:]] == [
        [str(counts[0]), "digits/acme"],
        [str(counts[1]), "resnet50/zoo"],
    ]
    assert f"note: dropped: {60 - len(schedule)} requests of 1 functions" in printed
    assert set(schedule.payload.tolist()) <= set(range(7))


def test_many_lanes_are_not_listed_at_length(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"t": {number}, "model": "m{number}"}}\n' for number in range(30)))
    printed = call("import", path, "--out", tmp_path / "s.parquet").splitlines()
    assert printed[-1].strip() == "… and 10 more models and tenants"


def test_skipped_rows_are_counted_and_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"t": 0}\n{"t": -1}\n{"t": 2}\n')
    with pytest.raises(UsageError, match=r"t.jsonl:2: t is '-1': negative"):
        call("import", path, "--out", tmp_path / "s.parquet")
    printed = call("import", path, "--out", tmp_path / "s.parquet", "--on-bad-row", "skip")
    assert "3 rows, 1 of them skipped" in printed
    assert "note: line 2: t is '-1': negative" in printed


def test_the_same_seed_writes_the_same_schedule(tmp_path):
    (tmp_path / "p.txt").write_text("50 0 90")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        call("import", tmp_path / "p.txt", "--out", tmp_path / name, "--seed", seed)
    first, again, other = (Schedule.from_parquet(tmp_path / name).sha256 for name in "abc")
    assert first == again != other


def test_a_part_of_a_trace_can_be_imported(calls, tmp_path):
    call("import", calls, "--out", tmp_path / "s.parquet", "--from", "10s", "--to", "20s")
    schedule = Schedule.from_parquet(tmp_path / "s.parquet")
    assert (len(schedule), schedule.duration_ns) == (10, 10 * SECOND)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.csv", "--out", "s.parquet"], "none.csv: no such trace"),
        (["calls.csv", "--out", "none/s.parquet"], "none/s.parquet: cannot be written"),
        (["calls.csv", "--out", "calls.csv"], "is what is to be read"),
        (["calls.csv", "--out", "s.parquet", "--models", "a,b"], "Give --map"),
        (["calls.csv", "--out", "s.parquet", "--thin", "2"], "thin is 2"),
        (["calls.csv", "--out", "s.parquet", "--format", "huawei"], "is not of the format huawei"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line_and_leaves_no_file(
    arguments, reason, calls, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = calls.read_bytes()
    with pytest.raises(UsageError, match=reason) as caught:
        call("import", *arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [calls]
    assert calls.read_bytes() == before


def test_a_disk_that_fills_up_leaves_the_old_schedule_in_place(calls, tmp_path, monkeypatch):
    out = tmp_path / "s.parquet"
    call("import", calls, "--out", out)
    before = out.read_bytes()

    def full(self, path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Schedule, "to_parquet", full)
    with pytest.raises(RunFailed, match="No space left"):
        call("import", calls, "--out", out)
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"calls.csv", "s.parquet"}


# ---- durations -----------------------------------------------------------------------------------

COUNTS = (
    "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,5,3,2\no,a,g,timer,20,10,0\no,a,h,queue,4,0,0\n"
)
DURATIONS = (
    "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_50,percentile_Average_99\n"
    "o,a,f,100,10,20,400,90,300\n"
    "o,a,g,10,30,1,50,8,40\n"
    "o,z,h,1000,3,1,5000,1,1\n"
)


@pytest.fixture
def azure(tmp_path, monkeypatch):
    """A day, counts and durations; one function of three has none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counts.csv").write_text(COUNTS)
    (tmp_path / "durations.csv").write_text(DURATIONS)
    (tmp_path / "calls.jsonl").write_text('{"t": 1}\n')
    return tmp_path


def lanes_of(path) -> list[tuple]:
    told = Schedule.from_parquet(path).recipe["durations"]["lanes"]
    return [(lane["model"], lane["requests"], lane["timed"], lane["mean_ms"]) for lane in told]


def test_durations_are_told_for_each_lane_and_kept_in_the_recipe(azure):
    rule = ("--map", "top-k:2+rest", "--models", "digits,resnet50,digits")
    printed = call("import", "counts.csv", "--out", "s", *rule, "--durations", "durations.csv").splitlines()
    assert printed[1:4] == [
        "durations.csv: 3 rows, 0 of them skipped, durations of 2 of 3 functions",
        "  digits: 30 of 34 requests timed, in ms: mean 10, min 1, max 50, p50 8, p99 40",
        "  resnet50: 10 of 10 requests timed, in ms: mean 100, min 20, max 400, p50 90, p99 300",
    ]
    assert lanes_of(azure / "s") == [("digits", 34, 30, 10), ("resnet50", 10, 10, 100)]
    told = Schedule.from_parquet(azure / "s").recipe["durations"]
    digest = hashlib.sha256(DURATIONS.encode()).hexdigest()
    assert (told["path"], told["sha256"], told["rows"]) == ("durations.csv", digest, 3)


def test_durations_do_not_change_what_is_sent(azure):
    call("import", "counts.csv", "--out", "with", "--durations", "durations.csv")
    call("import", "counts.csv", "--out", "without")
    first, second = (Schedule.from_parquet(azure / name) for name in ("with", "without"))
    assert first.sha256 == second.sha256
    assert "durations" not in second.recipe


def test_durations_are_weighted_by_what_is_left_of_the_trace(azure):
    call("import", "counts.csv", "--out", "s", "--to", "1m", "--durations", "durations.csv")
    assert lanes_of(azure / "s") == [("digits", 29, 25, 28.0)]
    call(
        "draw",
        "counts.csv",
        "--out",
        "s",
        "--transform",
        "scale:2",
        "--durations",
        "durations.csv",
    )
    ((_, requests, timed, _),) = lanes_of(azure / "s")
    assert (requests, timed) == (88, 80)


def test_bad_rows_of_durations_are_treated_as_those_of_the_trace(azure):
    (azure / "durations.csv").write_text(DURATIONS.replace("100,10,", "soon,10,"))
    command = ("import", "counts.csv", "--out", "s", "--durations", "durations.csv")
    with pytest.raises(
        UsageError, match=r"durations.csv:2: Average is 'soon': expected a number \(--on-bad-row"
    ):
        call(*command)
    printed = call(*command, "--on-bad-row", "skip")
    assert "durations.csv: 3 rows, 1 of them skipped, durations of 1 of 3 functions" in printed
    assert "note: durations.csv: line 2: Average is 'soon': expected a number" in printed
    assert lanes_of(azure / "s") == [("digits", 44, 30, 10)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("import", "durations.csv"),
            "and not when: give the invocations_per_function file of that day, and this",
        ),
        (
            ("import", "durations.csv", "--format", "azure-functions-2019"),
            "and this one to `workload import --dur",
        ),
        (
            ("import", "counts.csv", "--durations", "counts.csv"),
            "give --durations the function_durations_percen",
        ),
        (
            ("import", "durations.csv", "--durations", "counts.csv"),
            "counts.csv: tells how often functions were",
        ),
        (
            ("import", "calls.jsonl", "--durations", "durations.csv"),
            "calls.jsonl: --durations is of no use: it ",
        ),
        (("import", "counts.csv", "--durations", "none.csv"), "none.csv: no such file of durations"),
        (("import", "counts.csv", "--durations", ""), "no such file of durations"),
        (("draw", "--rate", "5", "--durations", "durations.csv"), "--durations goes with --trace"),
        (("draw", "pattern", "--durations", "durations.csv"), "goes with a trace, and pattern is a pattern"),
    ],
)
def test_durations_that_say_nothing_of_the_trace_are_refused_in_one_line(arguments, reason, azure):
    (azure / "pattern").write_text("5 3")
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        call(*arguments, "--out", "s")
    assert "\n" not in str(caught.value)
    assert not (azure / "s").exists()


def test_a_schedule_has_its_durations_already(azure):
    call("draw", "counts.csv", "--out", "s", "--durations", "durations.csv")
    with pytest.raises(UsageError, match="--durations goes with a trace, and s is a schedule"):
        call("draw", "s", "--out", "t", "--durations", "durations.csv")


@pytest.mark.parametrize("command", ["import", "draw"])
def test_a_schedule_does_not_take_the_place_of_the_durations(command, azure):
    with pytest.raises(UsageError, match=r"durations\.csv: is what is to be read"):
        call(command, "counts.csv", "--out", "durations.csv", "--durations", "durations.csv")
    assert (azure / "durations.csv").read_text() == DURATIONS


# ---- fit -----------------------------------------------------------------------------------------


def process_of(printed: str) -> str:
    """The text that is to be pasted."""
    return re.fullmatch("streambox load --process '(.*)'", printed.splitlines()[-1])[1]


def drawn(text: str, seconds: int) -> list[int]:
    return parse_process(text).arrivals(seconds * SECOND, np.random.default_rng(5)).tolist()


def test_the_process_that_drew_a_trace_is_found_and_can_be_pasted(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{instant / SECOND:.9f}\n" for instant in drawn("gamma:rate=80,cv=2.5", 400)))
    printed = call("fit", path)
    assert printed.startswith(f"{path}: timestamps, ")
    found = parse_process(process_of(printed))
    assert found.name == "gamma"
    assert found.mean_rate_per_s(SECOND) == pytest.approx(80, rel=0.05)
    assert found.cv() == pytest.approx(2.5, rel=0.05)


def test_a_schedule_and_a_pattern_are_fitted_too(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        "".join(f'{{"t": {instant / SECOND:.9f}}}\n' for instant in drawn("poisson:rate=50", 200))
    )
    call("import", path, "--out", tmp_path / "s.parquet")
    assert process_of(call("fit", tmp_path / "s.parquet", "--models", "poisson")).startswith("poisson:rate=5")
    rng = np.random.default_rng(1)
    (tmp_path / "p.txt").write_text(" ".join(map(str, rng.poisson(20, 500).tolist())))
    printed = call("fit", tmp_path / "p.txt")
    assert "clock 1s" in printed  # of the counts, not of the arrivals drawn from them
    assert "left out: gamma: the trace's clock (1 s) is too coarse" in printed


def test_a_process_too_long_to_paste_goes_to_a_file(tmp_path):
    counts = np.random.default_rng(1).integers(5, 3000, 120).tolist()
    (tmp_path / "p.txt").write_text(" ".join(map(str, counts)))
    printed = call("fit", tmp_path / "p.txt", "--models", "nhpp")
    assert re.search(r"takes [0-9,]+ characters to write: --out FILE writes them", printed)
    out = tmp_path / "process"
    printed = call("fit", tmp_path / "p.txt", "--models", "nhpp", "--out", out)
    assert printed.splitlines()[-1] == f"streambox load --process \"$(cat '{out}')\""
    steps = parse_process(out.read_text())
    assert steps.name == "steps"
    assert steps.mean_rate_per_s(120 * SECOND) == pytest.approx(np.mean(counts), rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.txt"], "no such file"),
        (["none.txt", "--models", "hawkes"], f"choose from {', '.join(MODELS)}"),
        (["few.txt"], "takes at least 3"),
        (["s.parquet", "--format", "huawei"], "is a schedule: --format"),
        (["calls.csv", "--out", "none/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_line(arguments, reason, calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.txt").write_text("1.5\n2.5\n")
    Schedule.of_lane(np.arange(5), np.zeros(5, np.int32), Lane("m"), {}).to_parquet(tmp_path / "s.parquet")
    with pytest.raises(UsageError, match=reason) as caught:
        call("fit", *arguments)
    assert "\n" not in str(caught.value)
