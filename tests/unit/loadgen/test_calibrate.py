"""What calibrate makes of an interruption: nothing; the runs are made up."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from rich.console import Console

from streambox.commands.load import calibrate_machine
from streambox.errors import RunFailed
from streambox.loadgen import calibrate as module
from streambox.loadgen.certificate import Calibration, keep, kept, machine
from streambox.loadgen.record import OK, Recorder
from streambox.loadgen.session import Finished

SECOND = 1_000_000_000
QUIET = Console(quiet=True)


def on_time(*, stopped: bool) -> Finished:
    """A hundred requests, all sent at their instants."""
    recorder = Recorder(np.arange(100, dtype=np.int64), np.zeros(100, np.uint8))
    for index in range(100):
        recorder.on_sent(index, index)
        recorder.on_end(index, OK)
    summary = {"verdict": {"status": "valid"}, "send_lag_us": {"p99": 0.0}}
    return Finished(range(100), recorder.outcomes, summary, stopped)


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Those that will be made, in turn."""
    told = []

    def run_load(*_, **__):
        if told[0] is KeyboardInterrupt:
            raise KeyboardInterrupt
        return told.pop(0) if len(told) > 1 else told[0]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "run_load", run_load)
    monkeypatch.setattr(module, "static_server", lambda: contextlib.nullcontext(1))
    return told


def test_what_always_holds_is_certified_up_to_the_highest_rate(runs, monkeypatch):
    monkeypatch.setattr(module, "_HIGHEST_PER_S", 2000.0)
    runs.append(on_time(stopped=False))
    calibration, _ = module.calibrate(SECOND, SECOND, QUIET)
    assert calibration.rate_per_s == 2000


@pytest.mark.parametrize("end", [on_time(stopped=True), KeyboardInterrupt], ids=["in a run", "between runs"])
@pytest.mark.parametrize("before", [0, 1, 12])
def test_an_interrupted_calibration_certifies_nothing(before, end, runs):
    """However far it had come: in the climb, or in the search after it."""
    runs.extend([*([on_time(stopped=False)] * before), end])
    with pytest.raises(RunFailed, match="interrupted: nothing is certified"):
        module.calibrate(SECOND, SECOND, QUIET)


def test_an_interrupted_calibration_leaves_the_one_before(runs):
    good = Calibration(5000.0, 1, machine())
    keep(good)
    runs.extend([on_time(stopped=False)] * 3 + [on_time(stopped=True)])
    with pytest.raises(RunFailed):
        calibrate_machine.callback(budget=SECOND, segment=SECOND, workers=1)
    assert kept() == good


def test_a_run_that_failed_is_no_interruption(runs):
    failed = on_time(stopped=False)
    failed.summary["verdict"] = {"status": "failed", "reasons": ["a worker was killed"]}
    runs.append(failed)
    with pytest.raises(RunFailed, match="a worker was killed"):
        module.calibrate(SECOND, SECOND, QUIET)
