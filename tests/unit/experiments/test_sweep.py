"""A sweep carried out: what is there is not made again, what fails is told, Ctrl-C keeps what there is."""

from __future__ import annotations

import json
import os
import re
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import simulated
from streambox.errors import RunFailed, UsageError
from streambox.experiments.sweep import BeforeFailed, carry_out, commands
from streambox.experiments.sweep_page import write_sweep
from streambox.experiments.sweep_plan import SweepOptions, parse_axis, plan_runs
from streambox.experiments.sweep_result import (
    ALL,
    check_result,
    collect,
    column_name,
    remark,
    sweep_json,
    sweep_table,
    write_parquet,
)

LOAD = {"rate": False, "concurrency": False}
SILENT = Console(quiet=True)


def sweep(*texts: str, **changes) -> SweepOptions:
    return SweepOptions(axes=tuple(parse_axis(text, LOAD) for text in texts), **changes)


TWO = sweep("rate=200,300", "batcher.size=1,2", serve=os.devnull, repeats=2)


class Simulated:
    """Makes runs of a simulated server; *faulty*: by folder, what happens in its stead."""

    def __init__(self, faulty: dict | None = None) -> None:
        self.made: list[str] = []
        self.faulty = faulty or {}

    def __call__(self, run, folder, stop) -> None:
        self.made.append(run.folder)
        changes = self.faulty.get(run.folder, {})
        if callable(changes):
            changes()
            changes = {}
        values = run.cell.values
        finished = simulated.simulated(
            **{
                "rate": float(values.get("rate", 250)),
                "seconds": 10,
                "seed": run.seed,
                "noise": len(self.made),
                "service_ms": float(values.get("batcher.size", 1)),
                **changes,
            }
        )
        simulated.write(folder, finished)


def plan(options: SweepOptions):
    return plan_runs(options, LOAD)


def carried_out(options: SweepOptions, out, perform=None, **changes):
    runs = plan(options)
    ended = carry_out(options, runs, out, perform or Simulated(), SILENT, **changes)
    return collect(options, runs, out, ended.failures), ended


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    result, ended = carried_out(TWO, tmp_path_factory.mktemp("sweep"))
    assert ended.early is None
    return result


def raising(error: Exception):
    def fail() -> None:
        raise error

    return fail


# ---- carrying out --------------------------------------------------------------------------------


def test_runs_are_made_in_the_planned_order_each_in_a_folder_of_its_own(tmp_path):
    perform = Simulated()
    carried_out(TWO, tmp_path, perform)
    assert perform.made == [run.folder for run in plan(TWO)]
    assert len(list(tmp_path.glob("*/*/summary.json"))) == 8


def test_what_is_there_is_not_made_again_unless_forced(tmp_path):
    carried_out(TWO, tmp_path)
    again, forced = Simulated(), Simulated()
    result, _ = carried_out(TWO, tmp_path, again)
    assert again.made == []
    assert len(result.runs) == 8
    carried_out(TWO, tmp_path, forced, force=True)
    assert len(forced.made) == 8


def test_more_repeats_of_a_sweep_make_only_the_new_ones(tmp_path):
    carried_out(TWO, tmp_path)
    more = Simulated()
    carried_out(sweep("rate=200,300", "batcher.size=1,2", serve=os.devnull, repeats=3), tmp_path, more)
    assert [folder[-2:] for folder in more.made] == ["/3"] * 4


def test_a_folder_with_a_run_made_otherwise_is_not_overwritten(tmp_path):
    carried_out(TWO, tmp_path)
    other = sweep("rate=200,300", "batcher.size=1,2", serve=os.devnull, repeats=2, load=("--check", "none"))
    with pytest.raises(UsageError, match="made with other options: name another --out, or --force"):
        carried_out(other, tmp_path)


def test_another_configuration_of_the_server_makes_another_run(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("")
    options = sweep("batcher.size=1", serve=str(config))
    carried_out(options, tmp_path / "out")
    config.write_text("gin: {port: 80}")
    with pytest.raises(UsageError, match="made with other options"):
        carried_out(options, tmp_path / "out")


def test_a_run_that_failed_is_told_and_the_others_go_on(tmp_path):
    failing = "rate=200,batcher.size=1/1"
    perform = Simulated({failing: raising(RunFailed("cannot connect\nit logged:"))})
    result, ended = carried_out(TWO, tmp_path, perform)
    assert len(perform.made) == 8
    assert ended.failures == {failing: "cannot connect"}
    with pytest.raises(
        RunFailed, match=r"1 of 8 runs do not count: rate=200 batcher.size=1, repeat 1: cannot"
    ):
        check_result(result, ended.early)
    retry = Simulated()
    carried_out(TWO, tmp_path, retry)
    assert retry.made == [failing]


def test_a_run_that_is_not_valid_does_not_count_and_is_made_again(tmp_path):
    late = "rate=300,batcher.size=2/2"
    result, _ = carried_out(TWO, tmp_path, Simulated({late: {"lag_ms": 9}}))
    (faulty,) = [run for run in result.runs if run.fault is not None]
    assert faulty.plan.folder == late
    assert "send lag" in faulty.fault
    cell = next(cell for cell in result.cells if cell.cell.name == "rate=300,batcher.size=2")
    assert len(cell.counting) == 1
    assert remark(cell, 2) == "1 of 2 count"
    allowed = collect(TWO, plan(TWO), tmp_path, {}, allow_invalid=True)
    assert all(run.fault is None for run in allowed.runs)
    retry, lenient = Simulated(), Simulated()
    carried_out(TWO, tmp_path, lenient, allow_invalid=True)
    carried_out(TWO, tmp_path, retry)
    assert (lenient.made, retry.made) == ([], [late])


def test_the_sweep_ends_when_the_command_before_a_run_fails(tmp_path):
    third = plan(TWO)[2].folder
    perform = Simulated({third: raising(BeforeFailed("--before ended with code 3: ./restart"))})
    result, ended = carried_out(TWO, tmp_path, perform)
    assert len(perform.made) == 3
    assert (len(result.runs), result.missing) == (2, 6)
    with pytest.raises(RunFailed, match="--before ended with code 3"):
        check_result(result, ended.early)


def test_ctrl_c_keeps_what_there_is_and_the_same_command_goes_on(tmp_path):
    fourth = plan(TWO)[3].folder
    perform = Simulated({fourth: lambda: os.kill(os.getpid(), signal.SIGINT)})
    before = signal.getsignal(signal.SIGINT)
    result, ended = carried_out(TWO, tmp_path, perform)
    assert signal.getsignal(signal.SIGINT) is before
    assert ended.early == "stopped in run 4 of 8: the same command goes on"
    assert (len(result.runs), result.missing) == (3, 5)
    rest = Simulated()
    carried_out(TWO, tmp_path, rest)
    assert rest.made == [run.folder for run in plan(TWO)[3:]]


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        carried_out(TWO, tmp_path, Simulated({plan(TWO)[0].folder: twice}))


def test_every_run_can_be_written_as_one_would_type_it():
    options = sweep(
        "rate=200",
        "batcher.size=1",
        serve="my config.yaml",
        before="sync; sleep 1",
        load=("--slo", "p99<5ms"),
    )
    serve, before, load = commands(options, plan(options)[0])
    assert serve == (
        "streambox serve --config 'my config.yaml' --host 127.0.0.1 --port 0 --set batcher.size=1"
    )
    assert before == ("SWEEP_RATE=200 SWEEP_BATCHER_SIZE=1 SWEEP_REPEAT=1 SWEEP_SEED=0 sh -c 'sync; sleep 1'")
    assert load == "streambox load --slo 'p99<5ms' --rate 200 --seed 0"


# ---- what was found ------------------------------------------------------------------------------


def test_cells_are_in_the_order_of_the_axes_and_their_figures_over_the_repeats(done):
    assert [cell.cell.name for cell in done.cells] == [
        *("rate=200,batcher.size=1", "rate=200,batcher.size=2"),
        *("rate=300,batcher.size=1", "rate=300,batcher.size=2"),
    ]
    cell = done.cells[0]
    own = [run.figures["response p90"] for run in cell.runs]
    estimate = cell.estimates["response p90"]
    assert [run.plan.repeat for run in cell.runs] == [1, 2]
    assert estimate.value == pytest.approx(np.mean(own))
    assert estimate.low is not None


def test_a_single_repeat_has_intervals_from_its_own_seconds(tmp_path):
    result, _ = carried_out(sweep("rate=200,300"), tmp_path)
    estimate = result.cells[0].estimates["response p50"]
    assert estimate.low < estimate.value < estimate.high
    assert result.cells[0].estimates["goodput"].low is None


def test_the_json_holds_every_run_and_every_cell(done):
    content = json.loads(sweep_json(done))
    assert content["axes"] == {"rate": ["200", "300"], "batcher.size": ["1", "2"]}
    assert content["cells"][0]["values"] == {"rate": "200", "batcher.size": "1"}
    runs = [run for cell in content["cells"] for run in cell["runs"]]
    assert sorted(run["place"] for run in runs) == list(range(1, 9))
    assert set(content["cells"][0]["figures"]) == set(content["units"]) == {figure.name for figure in ALL}


def test_the_parquet_file_has_a_row_a_run_and_numbers_as_numbers(done, tmp_path):
    write_parquet(tmp_path / "sweep.parquet", done)
    table = pq.read_table(tmp_path / "sweep.parquet")
    assert table.num_rows == 8
    assert sorted(set(table["rate"].to_pylist())) == [200.0, 300.0]
    assert table["response_p99_ms"].null_count == 0
    assert {column_name(figure) for figure in ALL} <= set(table.column_names)
    assert table["fault"].to_pylist() == [None] * 8


def test_the_table_has_a_row_a_cell(done):
    console = Console(width=140)
    with console.capture() as capture:
        console.print(sweep_table(done))
    lines = capture.get().splitlines()
    assert len(lines) == 2 + 4
    assert lines[2].split()[:3] == ["200", "1", f"{done.cells[0].estimates['offered'].value:,.0f}/s"]


def charts_in(path, result):
    write_sweep(path, result)
    page = path.read_text(encoding="utf-8")
    return {
        chart["id"].removeprefix("chart-"): chart
        for chart in json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])
    }


def test_the_page_draws_a_line_a_setting_against_what_was_offered(done, tmp_path):
    charts = charts_in(tmp_path / "sweep.html", done)
    assert list(charts) == ["p99", "p50", "goodput", "batches"]  # all was answered right
    traces = charts["p99"]["data"]
    assert [trace["name"] for trace in traces] == ["size=1", "size=2"]
    for trace, cells in zip(traces, (done.cells[::2], done.cells[1::2]), strict=True):
        assert trace["x"] == [round(cell.estimates["offered"].value, 3) for cell in cells]
        assert trace["y"] == [round(cell.estimates["response p99"].value, 4) for cell in cells]
        assert len(trace["error_y"]["array"]) == 2
    assert charts["goodput"]["data"][0]["name"] == "all that is offered"


def test_without_a_load_among_the_axes_settings_are_the_categories(tmp_path):
    result, _ = carried_out(sweep("batcher.size=1,2", serve=os.devnull), tmp_path)
    charts = charts_in(tmp_path / "sweep.html", result)
    (trace,) = charts["p99"]["data"]
    assert (trace["x"], trace["mode"]) == (["1", "2"], "markers")
    assert charts["p99"]["layout"]["xaxis"]["type"] == "category"
    assert [trace["name"] for trace in charts["goodput"]["data"]] == ["goodput"]


def test_the_page_of_a_sweep_in_which_nothing_counts_says_so(tmp_path):
    options = sweep("rate=200,300")
    runs = plan(options)
    failures = {run.folder: "cannot <b>connect</b>" for run in runs}
    result = collect(options, runs, tmp_path, failures)
    assert charts_in(tmp_path / "sweep.html", result) == {}
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "2 runs do not count" in text
    write_parquet(tmp_path / "sweep.parquet", result)
    assert pq.read_table(tmp_path / "sweep.parquet")["response_p99_ms"].null_count == 2
