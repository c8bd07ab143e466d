"""What a process that sends requests asks of its surroundings."""

from __future__ import annotations

import os

import pytest

from streambox.errors import UsageError
from streambox.loadgen.process import at_priority


def test_real_time_priority_is_had_for_as_long_as_it_is_asked_for():
    before = os.sched_getscheduler(0)
    try:
        with at_priority(realtime=True):
            assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    except UsageError:
        pytest.skip("this user may not have real-time priority")
    assert os.sched_getscheduler(0) == before


def test_where_it_is_not_permitted_that_is_told(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with (
        pytest.raises(UsageError, match="--realtime is not permitted: run as root"),
        at_priority(realtime=True),
    ):
        pass


def test_without_it_nothing_is_asked_for(monkeypatch):
    monkeypatch.delattr(os, "sched_setscheduler")
    with at_priority(realtime=False):
        pass
