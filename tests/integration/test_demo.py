"""The demo, shortened: the real server, the real model, real images."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streambox import demo
from streambox.errors import RunFailed
from streambox.workload.schedule import Schedule


def test_the_demo_serves_loads_checks_and_leaves_its_report(tmp_path):
    out = tmp_path / "demo"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "streambox",
            "demo",
            "--duration",
            "4s",
            "--multiple",
            "0.1",
            "--out",
            str(out),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["offered"] == summary["ok"] > 50
    assert summary["wrong"] == 0
    assert summary["batch_size"]["mean"] >= 1
    assert len(Schedule.from_parquet(out / "schedule.parquet")) == summary["offered"]
    assert (out / "report.html").stat().st_size > 100_000
    assert "report.html" in done.stdout
    assert (out / "outcomes.parquet").is_file()


def test_a_server_that_does_not_start_is_shown_with_its_own_words():
    broken = demo.SERVER_CONFIG.replace("builtin: digits", "path: no-such-file.onnx")
    with (
        pytest.raises(RunFailed, match=r"(?s)the server ended with code \d.*no-such-file\.onnx"),
        demo.running_server(broken),
    ):
        pytest.fail("it was said to be ready")


def test_a_busy_machine_is_a_warning_and_a_wrong_answer_a_failure():
    late = {"status": "generator-limited", "valid": False, "reasons": ["the send lag at p99 is 9 ms"]}
    summary = {"wrong": 0, "completed": 5, "offered": 5, "ok": 5, "errors": {}, "verdict": late}
    assert "send lag" in str(demo.judge(summary))
    assert demo.judge({**summary, "verdict": {"status": "valid", "valid": True, "reasons": []}}) is None
    with pytest.raises(RunFailed, match="1 of 5 answers were wrong"):
        demo.judge({**summary, "wrong": 1})
