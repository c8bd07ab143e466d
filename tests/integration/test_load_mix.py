"""Several tenants and models in one run, at real servers."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from streambox.cli import main
from streambox.workload.schedule import Schedule
from support import config_of, running
from tiny_server import Asked, TinyServer, http, reply

MIX = """
duration: 1s
streams:
  - tenant: acme
    model: digits
    rate: 100/s
    arrivals: constant
    key: "${ACME_KEY}"
    weight: 2
    slo: [ok>99%]
  - {tenant: beta, model: digits, rate: 50/s, arrivals: constant, key_file: beta.key}
  - tenant: gamma
    model: echo
    rate: 20/s
    arrivals: constant
    api: http
    path: /echo
    template: body.json
    expect_id: you
"""
KEYS = {"acme": "s3cret-of-acme", "beta": "s3cret-of-beta"}


@pytest.fixture
def mix(tmp_path, monkeypatch):
    (tmp_path / "mix.yaml").write_text(MIX)
    (tmp_path / "beta.key").write_text(KEYS["beta"])
    (tmp_path / "body.json").write_text('{"me": "{{id}}"}')
    monkeypatch.setenv("ACME_KEY", KEYS["acme"])
    return tmp_path / "mix.yaml"


def load(server: TinyServer, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streambox", "load", "--url", server.target.url, "--allow-invalid"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=60)


async def all_three(asked: Asked) -> bytes:
    if asked.head.startswith("POST /echo "):
        return http(json.dumps({"you": json.loads(asked.body)["me"]}).encode())
    return http(reply(asked))


def tenant_of(asked: Asked) -> str:
    named = [tenant for tenant, key in KEYS.items() if f"\r\nAuthorization: Bearer {key}\r\n" in asked.head]
    return named[0] if named else "gamma"


def test_every_stream_is_sent_under_its_own_key_and_its_answers_are_checked(mix, tmp_path):
    with TinyServer(all_three) as server:
        done = load(server, "--mix", mix, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ok"] == 170
    schedule = Schedule.from_parquet(tmp_path / "run" / "schedule.parquet")
    for asked in server.asked:
        index = int(json.loads(asked.body)["me"]) if not asked.vector else asked.index
        assert tenant_of(asked) == schedule.lanes[schedule.lane[index]].tenant
    found = {lane["tenant"]: (lane["model"], lane["ok"], lane["weight"]) for lane in summary["lanes"]}
    assert found == {"acme": ("digits", 100, 2), "beta": ("digits", 50, 1), "gamma": ("echo", 20, 1)}
    assert [(each["model"], each["ok"]) for each in summary["models"]] == [("digits", 150), ("echo", 20)]
    assert summary["fairness"] == pytest.approx(120**2 / (3 * (50**2 + 50**2 + 20**2)), abs=1e-3)
    assert [one["objective"] for one in summary["objectives"]] == ["tenant=acme:model=digits:ok>99%"]
    outcomes = pq.read_table(tmp_path / "run" / "outcomes.parquet")
    assert outcomes["lane"].to_pylist() == schedule.lane.tolist()


def test_keys_are_in_nothing_that_is_left_or_printed(mix, tmp_path):
    with TinyServer(all_three) as server:
        done = load(server, "--mix", mix, "--out", tmp_path / "run")
    assert any(KEYS["acme"] in head for head in server.heads)
    left = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(left) == 4
    for said in (done.stdout, done.stderr, *(path.read_bytes().decode("latin-1") for path in left)):
        assert "s3cret" not in said
    assert "s3cret" not in json.dumps(Schedule.from_parquet(tmp_path / "run" / "schedule.parquet").recipe)


def test_a_wrong_answer_to_one_stream_fails_the_run_and_is_that_streams(mix, tmp_path):
    async def confused(asked: Asked) -> bytes:
        if tenant_of(asked) == "beta":
            return http(reply(asked, output=[0.0] * 10))
        return await all_three(asked)

    with TinyServer(confused) as server:
        done = load(server, "--mix", mix, "--out", tmp_path / "run")
    assert done.returncode == 1
    lanes = json.loads((tmp_path / "run" / "summary.json").read_text())["lanes"]
    assert [lane["wrong"] for lane in lanes] == [0, 50, 0]


def test_a_missed_objective_of_one_stream_fails_the_run_and_is_named(mix):
    async def refusing(asked: Asked) -> bytes:
        return http(b"", "503 Busy") if tenant_of(asked) == "acme" else await all_three(asked)

    with TinyServer(refusing) as server:
        done = load(server, "--mix", mix)
    assert done.returncode == 1
    assert "objectives missed: tenant=acme:model=digits:ok>99%" in done.stderr


def test_the_command_line_scales_and_shortens_a_whole_mix(mix, tmp_path):
    with TinyServer(all_three) as server:
        done = load(server, "--mix", mix, "--rate", 80, "--duration", "500ms", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    lanes = json.loads((tmp_path / "run" / "summary.json").read_text())["lanes"]
    assert [lane["offered"] for lane in lanes] == [20, 10, 10]


def test_the_schedule_of_a_mix_is_replayed_with_the_mix(mix, tmp_path):
    with TinyServer(all_three) as server:
        load(server, "--mix", mix, "--out", tmp_path / "run")
        first = {(asked.head, asked.body) for asked in server.asked}
        done = load(server, "--mix", mix, "--schedule", tmp_path / "run" / "schedule.parquet")
        again = {(asked.head, asked.body) for asked in server.asked[len(first) :]}
    assert done.returncode == 0, done.stderr
    assert first == again
    assert len(first) == 170


def test_a_closed_loop_takes_the_streams_in_turn_by_weight(mix, tmp_path):
    with TinyServer(all_three) as server:
        done = load(
            server, "--mix", mix, "--concurrency", 2, "--duration", "500ms", "--out", tmp_path / "run"
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    offered = {lane["tenant"]: lane["offered"] for lane in summary["lanes"]}
    assert sum(offered.values()) == summary["ok"] == len(server.asked) > 40
    asked = [tenant_of(asked) for asked in server.asked]
    assert offered == {tenant: asked.count(tenant) for tenant in offered}
    assert offered["acme"] > offered["beta"]


def test_our_own_batcher_serves_a_mix_of_apis_to_two_models(tmp_path):
    (tmp_path / "mix.yaml").write_text("""
duration: 1s
streams:
  - {tenant: a, model: digits, rate: 60/s, arrivals: constant}
  - {tenant: b, model: digits, rate: 30/s, arrivals: constant, api: oip, rows: 1..4}
  - {tenant: c, model: digits, rate: 30/s, arrivals: constant, api: oip-binary, random: auto}
""")
    out = tmp_path / "run"
    with running(config_of(models="  digits: {builtin: digits, time_window: 5ms}")) as server:
        command = [sys.executable, "-m", "streambox", "load", "--port", str(server.port), "--allow-invalid"]
        more = ["--mix", str(tmp_path / "mix.yaml"), "--out", str(out)]
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lanes = json.loads((out / "summary.json").read_text())["lanes"]
    assert [lane["ok"] for lane in lanes] == [60, 30, 30]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--dataset", "d.csv"], "--dataset is a stream's own"),
        (["--model", "m"], "--model is a stream's own"),
        (["--thin", "0.5"], "--thin is a stream's own"),
        (["--durations", "d.csv"], "--durations goes with --trace, not with --mix"),
        (["--type", "bursty"], "--type is a stream's own"),
        (["--len", "5"], "--len is a stream's own"),
        (["--process", "poisson:rate=1"], "--process is a stream's own"),
        (["--arrivals", "constant"], "--arrivals is a stream's own"),
        (["--template", "t"], "--template is a stream's own"),
        (["--rate", "0"], "give a number above 0"),
        (["--schedule", "s", "--seed", "1"], "--schedule replays one"),
    ],
)
def test_what_a_mix_would_ignore_is_refused(arguments, reason, mix, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "--mix", str(mix), *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_mix_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["streambox", "load", "--mix", str(tmp_path / "none.yaml")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        f"streambox: {tmp_path / 'none.yaml'}: cannot be read: No such file or directory"
    ]
