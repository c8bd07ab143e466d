"""Runs side by side: what differs is clear, what does not is not, and doubts are told."""

from __future__ import annotations

import json
import re
import sys

import msgspec
import numpy as np
import pytest

import simulated
from streambox.cli import main
from streambox.errors import UsageError
from streambox.experiments.compare import Change, Resampling, compare
from streambox.experiments.compare_page import write_comparison
from streambox.experiments.compare_table import comparison_json, comparison_table
from streambox.experiments.estimate import Estimate
from streambox.experiments.figures import FIGURES
from streambox.experiments.runs import check_valid, find_runs, read_run
from streambox.experiments.wording import change_text, estimate_text, judgement_text, labels

FAST = Resampling(resamples=400)
BY_NAME = {figure.name: figure for figure in FIGURES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of one server with other service times, each at 400/s: near 80 % of what it can do."""
    root = tmp_path_factory.mktemp("runs")
    for name, options in {
        "base": {},
        "again": {"noise": 2},
        "slower": {"service_ms": 2.1, "noise": 3},
        "lossy": {"lost": 0.02, "noise": 4},
        "other-seed": {"seed": 8, "noise": 5},
        "other-rate": {"rate": 300, "noise": 6},
        "late": {"lag_ms": 9, "noise": 7},
        "warmed": {"warm_up_ns": 5 * simulated.SECOND},
    }.items():
        simulated.write(root / name, simulated.simulated(**{"rate": 400, "seconds": 60, **options}))
    for repeat in range(1, 5):
        for name, service_ms in (("repeats", 2.0), ("slower-repeats", 2.1)):
            run = simulated.simulated(400, 20, repeat, service_ms=service_ms, noise=10 + repeat)
            simulated.write(root / name / str(repeat), run)
    return root


def sides(folder, *names):
    return [(name, [read_run(path) for path in find_runs(folder / name)]) for name in names]


def changes(comparison, number: int = 0):
    return {change.figure: change for change in comparison.changes[number]}


def test_a_slower_server_is_clearly_slower_in_latency_and_not_in_throughput(folder):
    comparison = compare(sides(folder, "base", "slower"), FAST)
    found = changes(comparison)
    assert comparison.paired == (True,)
    assert found["service p50"].estimate.value == pytest.approx(1.05, abs=0.005)
    for name in ("response p50", "response p90", "response mean", "wait p50"):
        assert found[name].clear
        assert found[name].estimate.low > 1.05
    assert found["throughput"].estimate.value == pytest.approx(1, abs=0.01)
    assert comparison.warnings == ()


def test_the_same_server_again_is_not_clearly_different(folder):
    found = changes(compare(sides(folder, "base", "again"), FAST))
    assert not found["response p50"].clear
    assert not found["response p99"].clear
    assert not found["ok"].clear


def test_a_run_beside_itself_differs_in_nothing(folder):
    for change in changes(compare(sides(folder, "base", "base"), FAST)).values():
        if change.estimate.value is not None:
            assert change.estimate.low == change.estimate.value == change.estimate.high
            assert not change.clear


def test_the_same_schedule_makes_a_difference_much_clearer(folder):
    paired, apart = (
        changes(compare(sides(folder, "base", name), FAST))["response p90"].estimate
        for name in ("again", "other-seed")
    )
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_a_share_of_failures_is_a_difference_in_points(folder):
    change = changes(compare(sides(folder, "base", "lossy"), FAST))["ok"]
    assert change.clear
    assert change.estimate.low < -2 < change.estimate.high < -1


def test_a_seed_gives_the_same_intervals_and_another_one_others(folder):
    groups = sides(folder, "base", "slower")
    first, second = (changes(compare(groups, FAST))["response p99"].estimate for _ in range(2))
    other = compare(groups, msgspec.structs.replace(FAST, seed=1))
    assert first == second != changes(other)["response p99"].estimate


def test_each_of_several_is_compared_with_the_first(folder):
    comparison = compare(sides(folder, "base", "slower", "again"), FAST)
    assert [side.label for side in comparison.sides] == ["base", "slower", "again"]
    assert changes(comparison, 0)["response p50"].clear
    assert not changes(comparison, 1)["response p50"].clear


def test_repeats_are_compared_as_single_observations_in_pairs_of_a_schedule(folder):
    comparison = compare(sides(folder, "repeats", "slower-repeats"), FAST)
    assert comparison.paired == (True,)
    assert "each repeat is one observation" in comparison.method
    own = [run.summary["response_ms"]["p90"] for run in comparison.sides[0].runs]
    estimate = comparison.sides[0].estimates["response p90"]
    assert estimate.value == pytest.approx(np.mean(own), rel=0.005)
    assert estimate.high - estimate.value == pytest.approx(3.182 * np.std(own, ddof=1) / 2, rel=0.05)
    assert changes(comparison)["response p50"].clear


def test_what_a_pair_of_repeats_has_in_common_does_not_blur_their_difference(folder):
    groups = sides(folder, "repeats", "slower-repeats")
    paired = changes(compare(groups, FAST))["response p99"].estimate
    other = [groups[0], (groups[1][0], groups[1][1][::-1])]  # not by schedule any more
    apart = changes(compare(other, FAST))["response p99"].estimate
    assert paired.high / paired.low < 0.5 * apart.high / apart.low + 0.5
    assert paired.value == pytest.approx(apart.value)


def test_runs_without_one_answer_are_compared_in_what_they_have(folder, tmp_path):
    for name in ("a", "b"):
        simulated.write(tmp_path / name, simulated.simulated(100, 5, lost=1.0))
    comparison = compare(sides(tmp_path, "a", "b"), FAST)
    assert changes(comparison)["response p50"].estimate == Estimate()
    assert changes(comparison)["ok"].estimate.value == 0
    write_comparison(tmp_path / "page.html", comparison)
    assert 'id="chart-percentiles"' not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert comparison_table(comparison)
    assert json.loads(comparison_json(comparison))["sides"][0]["figures"]["response p50"]["value"] is None


def test_a_run_with_wrong_answers_is_not_compared(folder):
    (_, (run,)) = sides(folder, "base")[0]
    crossed = msgspec.structs.replace(run, summary={**run.summary, "wrong": 3})
    check_valid([run])
    with pytest.raises(UsageError, match=r"3 of .* answers were wrong; --allow-invalid"):
        check_valid([run, crossed])


def test_one_run_is_not_compared_with_repeats(folder):
    with pytest.raises(UsageError, match="base is one run and repeats are repeats"):
        compare(sides(folder, "base", "repeats"), FAST)


def test_a_closed_loop_is_not_compared_with_an_open_one(folder):
    groups = sides(folder, "base", "again")
    closed = msgspec.structs.replace(
        groups[1][1][0], summary={**groups[1][1][0].summary, "mode": "closed-loop"}
    )
    with pytest.raises(UsageError, match="closed loop"):
        compare([groups[0], ("closed", [closed])], FAST)


@pytest.mark.parametrize(
    ("other", "doubt"),
    [
        ("other-rate", "replays another workload than base: rate_per_s 300 in place of 400"),
        ("other-seed", "drawn with another seed"),
        ("late", "late: not valid: the send lag at p99 is 9.0 ms"),
        ("warmed", "over different windows: 0–60 s and 5–60 s"),
    ],
)
def test_why_runs_may_not_be_comparable_is_told(folder, other, doubt):
    comparison = compare(sides(folder, "base", other), FAST)
    assert len(comparison.warnings) == 1
    assert doubt in comparison.warnings[0]


def test_another_environment_and_a_short_run_are_told(folder):
    (_, (run,)), other = sides(folder, "base", "again")
    moved = {**run.summary, "environment": {**run.summary["environment"], "cpus": 64}}
    found = compare(
        [("base", [msgspec.structs.replace(run, summary=moved)]), other], Resampling(resamples=100, block=7)
    )
    assert "another environment than base: cpus" in found.warnings[0]
    assert "base is short: 60 blocks, drawn 7 in a row" in found.warnings[1]


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "estimate", "text"),
    [
        ("response p99", Estimate(5.284, 5.1, 5.43), "5.28 ms (5.10…5.43)"),
        ("response p99", Estimate(0.0804, 0.08, 0.0812), "80.4 µs (80.0…81.2)"),
        ("response p99", Estimate(1200, 990, 1400), "1.20 s (0.990…1.40)"),
        ("throughput", Estimate(399.6, 396.2, 403), "400/s (396…403)"),
        ("ok", Estimate(99.758, 99.71, 100), "99.758 % (99.710…100)"),
        ("batch size", Estimate(4.5), "4.50"),
        ("wait p50", Estimate(), "–"),
    ],
)
def test_an_estimate_is_written_with_its_interval_in_its_own_unit(name, estimate, text):
    assert estimate_text(BY_NAME[name], estimate) == text


@pytest.mark.parametrize(
    ("name", "estimate", "text", "judgement"),
    [
        ("response p99", Estimate(1.2, 1.1, 1.3), "×1.200 (1.100…1.300)", "worse"),
        ("response p99", Estimate(0.8, 0.7, 0.9), "×0.800 (0.700…0.900)", "better"),
        ("response p99", Estimate(1.2, 0.9, 1.5), "×1.200 (0.900…1.500)", "not clear"),
        ("throughput", Estimate(1.2, 1.1, 1.3), "×1.200 (1.100…1.300)", "better"),
        ("ok", Estimate(-0.5, -0.7, -0.3), "-0.500 (-0.700…-0.300)", "worse"),
        ("batch size", Estimate(1.2, 1.1, 1.3), "×1.200 (1.100…1.300)", "higher"),
        ("response p99", Estimate(1.2), "×1.200", ""),
        ("response p99", Estimate(), "–", ""),
    ],
)
def test_a_change_is_judged_by_the_direction_that_is_welcome(name, estimate, text, judgement):
    figure = BY_NAME[name]
    change = Change(name, estimate, estimate.excludes(1 if figure.relative else 0))
    assert change_text(figure, change) == text
    assert judgement_text(figure, change) == judgement


def test_labels_are_as_short_as_tells_them_apart(tmp_path):
    assert labels([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert labels([tmp_path / "a" / "1", tmp_path / "b" / "1"]) == ["a/1", "b/1"]
    assert labels([tmp_path / "a", tmp_path / "a"]) == ["a", "a"]


# ---- the command ---------------------------------------------------------------------------------


def call(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "compare", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_table_the_json_and_the_page_say_the_same(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    out = tmp_path / "page.html"
    paths = (folder / "base", folder / "slower")
    assert call(monkeypatch, *paths, "--resamples", 300, "--out", out) == 0
    table = capsys.readouterr().out
    assert call(monkeypatch, *paths, "--resamples", 300, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    change = found["changes"][0]["figures"]["response p50"]
    assert change["clear"]
    text = f"×{change['value']:.3f} ({change['low']:.3f}…{change['high']:.3f})"
    page = out.read_text(encoding="utf-8")
    assert text in table
    assert text in page
    assert "slower against base, the same schedules" in table
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])
    assert [chart["id"] for chart in charts] == [
        f"chart-{name}" for name in ("changes", "percentiles", "distribution", "time")
    ]
    assert [trace["name"] for trace in charts[1]["data"]] == ["base", "slower"]


@pytest.mark.parametrize(
    ("names", "options", "reason"),
    [
        (["base"], [], "Name two folders or more"),
        (["base", "nowhere"], [], "nowhere: no such folder"),
        (["base", ""], [], "no run is in it"),
        (["base", "late"], [], "late: not valid.*--allow-invalid compares it all the same"),
        (["base", "again"], ["--out", "/proc/nowhere/page.html"], "cannot be written"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    folder, names, options, reason, monkeypatch, capsys, tmp_path
):
    paths = [folder / name if name else tmp_path for name in names]
    assert call(monkeypatch, *paths, "--resamples", 100, *options) == 2
    printed = capsys.readouterr()
    assert re.search(reason, printed.err)
    assert printed.err.count("\n") == 1


def test_runs_that_are_not_valid_are_compared_when_asked_for(folder, monkeypatch, capsys):
    paths = (folder / "base", folder / "late")
    assert call(monkeypatch, *paths, "--allow-invalid", "--resamples", 100) == 0
    assert "warning" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("summary.json", b"{", "cannot be read"),
        ("summary.json", b'{"mode": "open-loop"}', "'verdict' is missing"),
        ("outcomes.parquet", b"junk", "cannot be read"),
        ("outcomes.parquet", None, "no such file"),
        ("schedule.parquet", b"junk", "not a schedule of ours"),
        ("schedule.parquet", None, "no such schedule file"),
    ],
)
def test_a_folder_with_a_broken_file_is_refused(tmp_path, file, content, reason):
    folder = simulated.write(tmp_path / "run", simulated.simulated(20, 2))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_run(folder)
