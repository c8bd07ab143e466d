"""Experiments of several runs, on real servers and with real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid

import pyarrow.parquet as pq
import pytest

from support import PATIENCE_S, marked
from tiny_server import Asked, TinyServer, http, reply, right

SHORT = ("--duration", "300ms", "--arrivals", "constant", "--allow-invalid")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "streambox", "load", *map(str, arguments)]


def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **environment}
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=100, env=environ)


async def crossed(asked: Asked) -> bytes:
    return http(reply(asked, request_id="0"))


# ---- objectives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objectives", "code", "said"),
    [
        (["p99<60s", "ok>99%", "model=digits:max<60s"], 0, ""),
        (["p99<60s", "max<1us"], 1, "objectives missed: max<1us, found"),
        (["tenant=nobody:p99<60s"], 2, "'tenant=nobody:p99<60s' is about no request: the run has no tenants"),
        (["p99"], 2, "is no objective"),
    ],
)
def test_objectives_decide_the_exit_code(objectives, code, said):
    with TinyServer() as server:
        slo = [word for text in objectives for word in ("--slo", text)]
        done = call("--url", server.target.url, "--rate", 100, *SHORT, *slo, "--json")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    if code < 2:
        held = [one["holds"] for one in json.loads(done.stdout)["objectives"]]
        assert all(held) == (code == 0)


# ---- repeats -------------------------------------------------------------------------------------


def test_repeats_leave_a_folder_each_and_what_they_have_in_common(tmp_path):
    with TinyServer() as server:
        done = call(
            *(
                "--url",
                server.target.url,
                "--rate",
                100,
                "--duration",
                "300ms",
                "--allow-invalid",
                "--seed",
                5,
            ),
            *("--repeats", 3, "--slo", "p99<60s", "--out", tmp_path),
        )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "repeats.json").read_text())
    assert [run["seed"] for run in content["runs"]] == [5, 6, 7]
    assert len({run["schedule_sha256"] for run in content["runs"]}) == 3
    for name in "123":
        assert (tmp_path / name / "report.html").exists()
    assert "p99<60s held in 3 of 3" in done.stdout
    assert len(re.findall(r"repeat \d of 3", done.stderr)) == 3


def test_one_repeat_with_wrong_answers_fails_them_all(tmp_path):
    async def sometimes(asked: Asked) -> bytes:
        return await (crossed(asked) if 30 <= asked.number < 60 else right(asked))

    with TinyServer(sometimes) as server:
        done = call("--url", server.target.url, "--rate", 100, *SHORT, "--repeats", 3, "--quiet")
    assert done.returncode == 1
    assert "repeat 2 (seed 1): 30 of 30 answers were wrong" in done.stderr
    assert "3 repeats" in done.stdout


def test_ctrl_c_in_a_repeat_ends_the_repeats_and_tells_of_those_before(tmp_path):
    with TinyServer() as server:
        arguments = ("--url", server.target.url, "--rate", 50, "--duration", "1s", "--arrivals", "constant")
        process = subprocess.Popen(
            command(*arguments, "--allow-invalid", "--repeats", 50, "--out", tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.wait_until_asked(60)
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "stopped in repeat 2 of 50" in complaints
    assert "1 repeat" in printed
    assert len(json.loads((tmp_path / "repeats.json").read_text())["runs"]) == 1


# ---- the highest rate ---------------------------------------------------------------------------


def test_ctrl_c_in_a_search_tells_what_is_known_and_fails():
    with TinyServer() as server:
        arguments = ("find-max", "--url", server.target.url, "--slo", "p99<60s", "--json")
        process = subprocess.Popen(
            command(*arguments, "--from", 50, "--segment", "60s"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.wait_until_asked(10)
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "interrupted before the search was over" in complaints
    assert (json.loads(printed)["interrupted"], json.loads(printed)["curve"]) == (True, [])


# ---- sweeps --------------------------------------------------------------------------------------


def test_a_sweep_of_a_foreign_server_runs_every_cell_and_its_command_before(tmp_path):
    told = tmp_path / "told"
    with TinyServer() as server:
        arguments = (
            *("sweep", "--url", server.target.url, "--rates", "40,80", "--vary", "pool=1,2", *SHORT),
            *("--before", f"echo $SWEEP_RATE $SWEEP_POOL $SWEEP_SEED >> {told}", "--out", tmp_path / "out"),
        )
        done = call(*arguments, "--seed", 3)
        asked = len(server.asked)
        again = call(*arguments, "--seed", 3)
        assert len(server.asked) == asked  # all was there already
    assert done.returncode == again.returncode == 0, done.stderr
    assert sorted(told.read_text().splitlines()) == ["40 1 3", "40 2 3", "80 1 3", "80 2 3"]
    assert len(re.findall(r"^\[\d/4\]", done.stderr, re.MULTILINE)) == 4
    assert "4 of 4 runs are there already" in again.stderr
    table = pq.read_table(tmp_path / "out" / "sweep.parquet").to_pylist()
    assert {(row["rate"], row["offered_requests"]) for row in table} == {(40.0, 12), (80.0, 24)}
    assert (tmp_path / "out" / "sweep.html").stat().st_size > 100_000


def test_a_sweep_starts_a_server_of_ours_with_each_setting_and_leaves_none_behind(tmp_path):
    config = tmp_path / "batcher.yaml"
    config.write_text("batcher: {time_window: 50ms}\nmodels: {digits: {builtin: digits}}\n")
    (tmp_path / "sweep.yaml").write_text(
        "load: {concurrency: 6, duration: 400ms, model: digits}\n"
        "vary: {batcher.max_batch_size: [1, 4]}\n"
        "serve: batcher.yaml\n"
    )
    marker = uuid.uuid4().hex
    out = tmp_path / "out"
    done = call("sweep", "--file", tmp_path / "sweep.yaml", "--out", out, "--json", EXPERIMENT_TEST=marker)
    assert marked(marker) == set()
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    sizes = {
        cell["values"]["batcher.max_batch_size"]: cell["figures"]["batch size"]["value"] for cell in cells
    }
    assert sizes["1"] == 1
    assert 1 < sizes["4"] <= 4
    for cell in cells:
        assert json.loads((out / cell["folder"] / "1" / "summary.json").read_text())["errors"] == {}


def test_a_server_that_cannot_start_is_told_and_the_sweep_goes_on(tmp_path):
    config = tmp_path / "batcher.yaml"
    config.write_text("models: {digits: {path: model.onnx}}\n")
    arguments = ("--vary", "batcher.max_batch_size=1,2", "--concurrency", 1, "--duration", "200ms")
    done = call("sweep", "--serve", config, *arguments, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert len(re.findall(r"the server ended with code \d", done.stderr)) == 3  # twice, and in the end
    assert "2 of 2 runs do not count" in done.stderr


def test_ctrl_c_in_a_sweep_stops_the_load_and_the_same_command_goes_on(tmp_path):
    with TinyServer() as server:
        url = ("--url", server.target.url)
        arguments = (
            "sweep",
            *url,
            "--rates",
            "50,100",
            "--duration",
            "1s",
            "--allow-invalid",
            "--out",
            tmp_path,
        )
        marker = uuid.uuid4().hex
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "EXPERIMENT_TEST": marker},
        )
        server.wait_until_asked(10)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE_S)
        assert marked(marker) == set()
        assert process.returncode == 1, complaints
        assert "stopped in run 1 of 2: the same command goes on" in complaints
        assert json.loads((tmp_path / "sweep.json").read_text())["missing"] == 2
        done = call(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "sweep.json").read_text())["missing"] == 0


def test_the_sweep_ends_when_the_command_before_a_run_fails(tmp_path):
    with TinyServer() as server:
        done = call(
            *("sweep", "--url", server.target.url, "--rates", "40,80", *SHORT, "--before", "exit 3"),
            *("--out", tmp_path),
        )
        assert server.asked == []
    assert done.returncode == 1
    assert "--before ended with code 3: exit 3" in done.stderr


def test_a_dry_run_prints_the_commands_and_does_nothing(tmp_path):
    done = call(
        *("sweep", "--rates", "40,80", "--vary", "batcher.time_window=1ms,5ms", "--serve", os.devnull),
        *("--repeats", 2, "--out", tmp_path / "out", "--dry-run"),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith("streambox serve")]) == 8
    assert len([line for line in lines if line.startswith("streambox load")]) == 8
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--rates", "40"], "Missing option '--out'"),
        (["--out", "x"], "nothing varies"),
        (["--out", "x", "--rates", "40,fast"], "rate=fast: .*'fast' is not a valid float"),
        (["--out", "x", "--rates", "40", "--durration", "3s"], "No such option.*--durration"),
        (["--out", "x", "--rates", "40", "calibrate"], "unexpected extra argument .calibrate"),
        (["--out", "x", "--rates", "40", "--slo", "p99"], "is no objective"),
        (
            ["--out", "x", "--rates", "40", "--concurrency", "4"],
            "--rate and --concurrency exclude each other",
        ),
        (["--out", "x", "--vary", "process=gamma:rate=1,cv=2"], "gamma"),
        (["--out", "x", "--rates", "4", "--", "--json"], "--json is the sweep's own"),
        (["--out", "x", "--rates", "4", "--serve", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--out", "x", "--rates", "4", "--serve", os.devnull, "--port", "80"], "--port and --serve exclude"),
        (
            ["--out", "x", "--vary", "batcher.time_windw=1ms", "--serve", os.devnull],
            "did you mean 'time_window'",
        ),
        (["--out", "/proc/x", "--rates", "4"], "cannot be written"),
    ],
)
def test_what_is_wrong_with_any_run_is_found_before_the_first_one(tmp_path, arguments, reason, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("sweep", *arguments)
    assert done.returncode == 2, done.stderr
    assert re.search(reason, done.stderr)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- comparisons ---------------------------------------------------------------------------------


def test_two_runs_of_the_same_schedule_are_compared_second_by_second(tmp_path):
    with TinyServer() as server:
        for name in ("a", "b"):
            arguments = (
                "--url",
                server.target.url,
                "--rate",
                100,
                "--duration",
                "3s",
                "--out",
                tmp_path / name,
            )
            assert call(*arguments, "--quiet", "--allow-invalid").returncode == 0
    done = call("compare", tmp_path / "a", tmp_path / "b", "--allow-invalid", "--json", "--resamples", 200)
    assert done.returncode == 0, done.stderr
    (change,) = json.loads(done.stdout)["changes"]
    assert change["same_schedules"]
    assert change["figures"]["ok"]["value"] == 0
