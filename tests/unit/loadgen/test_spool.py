"""What a run that was killed leaves behind, and what can be made of it."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import RunFailed, UsageError
from streambox.loadgen.columns import ColumnFolder
from streambox.loadgen.record import INTERRUPTED, OK
from streambox.loadgen.session import finish, write_run
from streambox.loadgen.spool import FOLDER, RunState, recording, recover
from streambox.loadgen.summary import CLOSED_LOOP, OPEN_LOOP
from streambox.workload.schedule import Lane, Schedule

MS = 1_000_000
STATE = RunState(OPEN_LOOP, 7, 100 * MS)


def schedule(count: int = 10) -> Schedule:
    intended_ns = np.arange(count, dtype=np.int64) * 10 * MS
    return Schedule.of_lane(intended_ns, np.zeros(count, np.int32), Lane("digits"), {"seed": 7})


def play(recorder, sent: int, answered: int) -> None:
    for index in range(sent):
        now_ns = index * 10 * MS
        recorder.on_dispatched(index, now_ns)
        recorder.on_sent(index, now_ns + 1000)
        if index < answered:
            recorder.on_response(index, now_ns + MS, now_ns + 2 * MS, 200)
            recorder.on_batch(index, index // 2, 2, 11 * MS, MS)
            recorder.on_end(index, OK)


def test_what_was_in_flight_is_interrupted_and_what_was_not_due_does_not_count(tmp_path):
    with recording(tmp_path, schedule(), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=6, answered=4)
        # Not ended: as if killed here.
        back, outcomes, state = recover(tmp_path)
    assert back.sha256 == schedule().sha256
    assert len(outcomes) == 6
    assert outcomes.errors() == {INTERRUPTED: 2}
    assert (outcomes.ok.sum(), state.seed, state.duration_ns) == (4, 7, 50 * MS)


def test_recovering_twice_gives_the_same(tmp_path):
    with recording(tmp_path, schedule(), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=4, answered=4)
    first, second = (recover(tmp_path)[1] for _ in range(2))
    assert first.wait_ns.tolist() == second.wait_ns.tolist() == [11 * MS, MS, 11 * MS, MS]


def test_kinds_that_came_up_on_the_way_keep_their_names(tmp_path):
    with recording(tmp_path, schedule(), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=2, answered=1)
        recorder.on_end(1, "http_503:queue_full")
    assert recover(tmp_path)[1].errors() == {"http_503:queue_full": 1}


def test_a_closed_loop_is_recovered_too(tmp_path):
    nothing = np.empty(0, np.int64)
    closed = Schedule.of_lane(nothing, np.arange(3, dtype=np.int32), Lane("digits"), {})
    with recording(tmp_path, closed, RunState(CLOSED_LOOP, 1, 100 * MS)) as spool:
        recorder = spool.recorder()
        for number in range(2000):
            index = recorder.add(number * 10)
            recorder.on_dispatched(index, number * 10)
            recorder.on_sent(index, number * 10 + 1)
    _, outcomes, _ = recover(tmp_path)
    assert outcomes.intended_ns.tolist() == [number * 10 for number in range(2000)]


def test_once_the_files_are_written_there_is_nothing_left_to_recover(tmp_path):
    with recording(tmp_path, schedule(), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=10, answered=10)
        finished = finish(schedule(), recorder.outcomes, STATE)
    write_run(tmp_path, finished)
    assert not (tmp_path / FOLDER).exists()
    with pytest.raises(UsageError, match="no run to recover"):
        recover(tmp_path)


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    with recording(tmp_path, schedule(), STATE):
        pass
    (tmp_path / FOLDER / "sent_ns").write_bytes(b"short")
    with pytest.raises(UsageError, match="cannot be recovered: sent_ns has 0 of 10 entries"):
        recover(tmp_path)


def test_a_run_before_it_in_the_same_folder_leaves_no_trace(tmp_path):
    with recording(tmp_path, schedule(10), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=10, answered=10)
    with recording(tmp_path, schedule(4), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=1, answered=1)
    assert len(recover(tmp_path)[1]) == 1


def test_without_a_folder_nothing_stays_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with recording(None, schedule(), STATE) as spool:
        recorder = spool.recorder()
        play(recorder, sent=10, answered=10)
        outcomes = recorder.outcomes
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    assert outcomes.ok.all()


def test_a_run_that_fails_in_the_middle_says_where_its_outcomes_lie(tmp_path):
    def fail() -> None:
        with recording(tmp_path, schedule(), STATE) as spool:
            play(spool.recorder(), sent=3, answered=2)
            raise RunFailed("no luck")

    with pytest.raises(RunFailed, match=f"no luck: .*streambox load recover {tmp_path}$"):
        fail()
    assert recover(tmp_path)[1].errors() == {INTERRUPTED: 1}


def test_a_run_that_fails_before_anything_is_sent_has_nothing_to_recover(tmp_path):
    with pytest.raises(RunFailed, match=r"^no luck$"), recording(tmp_path, schedule(), STATE):
        raise RunFailed("no luck")
    assert not (tmp_path / FOLDER).exists()


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("out", [True, False])
def test_no_room_for_the_outcomes_is_wrong_usage_and_leaves_none(out, tmp_path, monkeypatch):
    monkeypatch.setattr(ColumnFolder, "create", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(UsageError, match="No space left"),
        recording(tmp_path if out else None, schedule(), STATE),
    ):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= {"schedule.parquet"}
