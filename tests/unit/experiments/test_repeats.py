"""Several times the same: each with its own seed and folder, and what varies between them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

import simulated
from streambox.errors import RunFailed, UsageError
from streambox.experiments.figures import FIGURES
from streambox.experiments.repeats import check_free, check_repeats, repeat_run, repeats_json, repeats_table

SILENT = Console(quiet=True)


class Runs:
    """``run_once`` of a simulated server; *changes* says what is different in which repeat."""

    def __init__(self, changes: dict[int, dict] | None = None) -> None:
        self.changes = changes or {}
        self.seeds: list[int] = []

    def __call__(self, seed: int, folder):
        self.seeds.append(seed)
        changed = self.changes.get(len(self.seeds), {})
        return simulated.simulated(rate=300, seconds=10, seed=seed, noise=seed, **changed)


@pytest.fixture(autouse=True)
def instantly(monkeypatch):
    """A simulated run lasts no time at all, which is what a stopped one would do."""
    clock = iter(range(0, 10**6, 60))
    monkeypatch.setattr("streambox.experiments.repeats.time.monotonic", lambda: float(next(clock)))


def stop_after(runs: Runs, number: int):
    def run_once(seed: int, folder):
        finished = runs(seed, folder)
        if len(runs.seeds) <= number:
            return finished
        return finished._replace(outcomes=finished.outcomes.first(100))

    return run_once


def test_each_repeat_has_a_seed_and_a_folder_of_its_own(tmp_path):
    runs = Runs()
    done = repeat_run(runs, 3, 7, tmp_path, SILENT)
    assert runs.seeds == [repeat.seed for repeat in done.repeats] == [7, 8, 9]
    hashes = {json.loads((tmp_path / name / "summary.json").read_text())["schedule_sha256"] for name in "123"}
    assert len(hashes) == 3
    assert {path.name for path in (tmp_path / "2").iterdir()} == {
        *("schedule.parquet", "outcomes.parquet", "summary.json", "report.html")
    }


def test_pooled_figures_are_those_of_all_requests_together():
    every = []

    def run_once(seed: int, folder):
        every.append(simulated.simulated(rate=300, seconds=10, seed=seed, service_ms=1 + seed))
        return every[-1]

    done = repeat_run(run_once, 3, 0, None, SILENT)
    responses_ms = np.concatenate([one.outcomes.response_ns for one in every]) / simulated.MS
    assert done.pooled["response p90"] == pytest.approx(np.percentile(responses_ms, 90), rel=0.005)
    assert done.pooled["response mean"] == pytest.approx(responses_ms.mean())
    assert done.pooled["throughput"] == pytest.approx(np.mean(done.values("throughput")))
    assert done.pooled["ok"] == 100


def test_the_json_tells_every_repeat_and_how_they_vary(tmp_path):
    done = repeat_run(Runs(), 4, 0, None, SILENT)
    content = json.loads(repeats_json(done, ["a", "b", "c", "d"]))
    p90 = content["figures"]["response p90"]
    assert len(p90["repeats"]) == 4
    assert p90["value"] == pytest.approx(np.mean(p90["repeats"]))
    assert p90["high"] - p90["value"] == pytest.approx(3.182 * np.std(p90["repeats"], ddof=1) / 2)
    assert [run["seed"] for run in content["runs"]] == [0, 1, 2, 3]
    assert set(content["figures"]) == {figure.name for figure in FIGURES}


def test_the_table_shows_the_spread():
    done = repeat_run(Runs({2: {"lag_ms": 9}}), 3, 0, None, SILENT)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(repeats_table(done))
    text = capture.get()
    assert "response p99" in text
    assert "3 repeats" in text
    assert "1 of 3 not valid" in text


def test_one_that_was_stopped_is_the_last_and_does_not_count(tmp_path):
    runs = Runs()
    done = repeat_run(stop_after(runs, 2), 5, 0, tmp_path, SILENT)
    assert (len(done.repeats), len(runs.seeds)) == (2, 3)
    assert (tmp_path / "3" / "summary.json").exists()  # what there is of it is kept
    with pytest.raises(RunFailed, match="stopped in repeat 3 of 5"):
        check_repeats(done, allow_invalid=False)
    with pytest.raises(RunFailed, match="stopped in the first repeat"):
        repeat_run(stop_after(Runs(), 0), 5, 0, None, SILENT)


def test_ctrl_c_while_nothing_is_being_sent_ends_the_repeats_too():
    runs = Runs()

    def run_once(seed: int, folder):
        if seed == 2:
            raise KeyboardInterrupt
        return runs(seed, folder)

    assert len(repeat_run(run_once, 5, 0, None, SILENT).repeats) == 2


def test_a_closed_loop_that_ended_before_its_time_was_stopped(monkeypatch):
    monkeypatch.setattr("streambox.experiments.repeats.time.monotonic", lambda: 5.0)
    with pytest.raises(RunFailed, match="stopped in the first repeat"):
        repeat_run(Runs(), 2, 0, None, SILENT)


def test_the_worst_of_the_repeats_decides():
    done = repeat_run(Runs(), 3, 0, None, SILENT)
    check_repeats(done, allow_invalid=False)
    done = repeat_run(Runs({2: {"lag_ms": 9}}), 3, 0, None, SILENT)
    with pytest.raises(RunFailed, match=r"repeat 2 \(seed 1\): generator-limited"):
        check_repeats(done, allow_invalid=False)
    check_repeats(done, allow_invalid=True)
    done.repeats[2].summary["wrong"] = 4
    with pytest.raises(RunFailed, match=r"repeat 3 \(seed 2\): 4 of .* wrong; 2 of 3 failed"):
        check_repeats(done, allow_invalid=False)


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    check_free(tmp_path / "new", 3)
    for name in ("1", "3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").touch()
    check_free(tmp_path, 3)  # an earlier time of the same: written anew
    with pytest.raises(UsageError, match=r"/3: holds a run of another experiment"):
        check_free(tmp_path, 2)
    (tmp_path / "summary.json").touch()
    with pytest.raises(UsageError, match="holds a run already"):
        check_free(tmp_path, 3)
