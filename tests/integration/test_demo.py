"""The demo, shortened: the real server, the real model, real images."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid

import numpy as np
import pytest
from rich.console import Console

from streambox import demo
from streambox.errors import RunFailed
from streambox.loadgen import payload
from streambox.loadgen.answer_key import NumbersKey
from streambox.loadgen.payload import make_payloads
from streambox.workload.schedule import Schedule
from support import marked


def test_the_demo_serves_loads_checks_and_leaves_its_report(tmp_path):
    out = tmp_path / "demo"
    marker = uuid.uuid4().hex
    command = [sys.executable, "-m", "streambox", "demo", "--duration", "4s", "--multiple", "0.1"]
    process = subprocess.Popen(
        [*command, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DEMO_TEST": marker},
    )
    try:
        printed, complaints = process.communicate(timeout=100)
        assert marked(marker) == set()  # neither the server nor its worker is left
    finally:
        for pid in marked(marker):
            os.kill(int(pid), signal.SIGKILL)
    assert process.returncode == 0, complaints
    summary = json.loads((out / "summary.json").read_text())
    assert summary["offered"] == summary["ok"] > 50
    assert summary["wrong"] == 0
    assert summary["batch_size"]["mean"] >= 1
    assert len(Schedule.from_parquet(out / "schedule.parquet")) == summary["offered"]
    assert (out / "report.html").stat().st_size > 100_000
    assert "report.html" in printed
    assert (out / "outcomes.parquet").is_file()


def test_a_server_whose_answers_are_somebody_elses_fails_the_demo(tmp_path, monkeypatch):
    """The real server; what is held against its answers are those to other images."""

    def crossed(*arguments):
        payloads = make_payloads(*arguments)
        others = np.roll(payloads.key.expected, 1, axis=0)
        payloads.key = NumbersKey("reference", expected=others)
        return payloads

    monkeypatch.setattr(payload, "make_payloads", crossed)
    options = demo.DemoOptions(duration_ns=1, multiple=0.1, out=tmp_path, quiet=True)
    summary = demo.run_demo(options, Console(quiet=True))
    assert summary["wrong"] > 0.9 * summary["offered"] > 0
    assert summary["ok"] + summary["wrong"] == summary["offered"]
    with pytest.raises(RunFailed, match="answers were wrong"):
        demo.judge(summary)
    assert (tmp_path / "report.html").is_file()  # the failure is there to be looked at


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
