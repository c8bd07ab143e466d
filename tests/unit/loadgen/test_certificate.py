"""What the machine was certified for, and who is warned."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streambox.loadgen.certificate import Calibration, keep, kept, machine, warning
from streambox.workload.schedule import Lane, Schedule

MS = 1_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def schedule(per_second):
    intended_ns = np.sort(np.concatenate([s * 10**9 + np.arange(n) * 1000 for s, n in enumerate(per_second)]))
    count = len(intended_ns)
    return Schedule.of_lane(intended_ns, np.zeros(count, np.int32), Lane("m"), {})


def test_what_is_kept_is_found_again():
    calibration = Calibration(5000.0, MS, machine())
    path = keep(calibration)
    assert path.exists()
    assert kept() == calibration


def test_another_machines_or_versions_certificate_is_none():
    keep(Calibration(5000.0, MS, "elsewhere"))
    assert kept() is None


def test_no_certificate_warns_of_nothing():
    assert warning(schedule([10_000])) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]"])
def test_a_damaged_certificate_is_none(content):
    path = keep(Calibration(5000.0, MS, machine()))
    path.write_bytes(content)
    assert kept() is None


def test_it_is_the_busiest_second_that_counts():
    keep(Calibration(500.0, MS, machine()))
    assert warning(schedule([10, 500, 10])) is None
    told = warning(schedule([10, 501, 10]))
    assert told is not None
    assert "asks for 501 requests" in told
    assert "certified for 500/s with a send lag p99 of 1 ms" in told


def test_what_several_workers_can_send_is_kept_by_itself():
    keep(Calibration(500.0, MS, machine()))
    keep(Calibration(800.0, MS, machine(), workers=3))
    assert (kept(), kept(3)) == (Calibration(500.0, MS, machine()), Calibration(800.0, MS, machine(), 3))
    assert kept(2) is None
    assert warning(schedule([800]), workers=3) is None
    assert "certified for 800/s" in warning(schedule([801]), workers=3)
    assert "certified for 500/s" in warning(schedule([801]))


def test_what_fewer_workers_can_send_is_all_that_is_known_of_more():
    keep(Calibration(500.0, MS, machine()))
    assert warning(schedule([500]), workers=2) is None
    assert "certified for 500/s" in warning(schedule([900]), workers=2)
    assert "see `load calibrate --workers 2`" in warning(schedule([900]), workers=2)


def test_a_certificate_is_plain_json():
    path = keep(Calibration(500.0, MS, machine()))
    assert msgspec.json.decode(path.read_bytes())["rate_per_s"] == 500
