"""A live server's decisions, recorded under load, are decided again byte for byte."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streambox.simulate.again import decide_again
from support import OUTPUT, VECTOR, config_of, post, serving_process, until, vector

TESTS = Path(__file__).parent.parent
CONNECTIONS, ROUNDS, PIPELINED = 12, 10, 24
DOUBLE = f'executor: python, callable: "models_for_tests:double", {VECTOR}, {OUTPUT}'
MODELS = f"""\
  quick: {{{DOUBLE}, policy: slo, slo: 200ms}}
  patient: {{{DOUBLE}, time_window: 3ms, max_batch_size: 8}}
  lonely: {{{DOUBLE}, policy: "lonely:Lonely"}}
"""


def ask(first: float, model: str, *headers: str) -> bytes:
    return post("/api/batcher", vector(first, model=model), *headers)


def load(server, number: int) -> int:
    """One connection's requests, pipelined beyond what is taken at once; every third caller leaves."""
    models = ("quick", "patient", "lonely")
    answered = 0
    for turn in range(ROUNDS):
        with server.connect() as wire:
            headers = ["x-request-timeout-ms: 50"] if turn % 2 else []
            wire.send(*(ask(index, models[(number + index) % 3], *headers) for index in range(PIPELINED)))
            if (number + turn) % 3 == 0:
                wire.reply()
                wire.reset()
                continue
            for reply in wire.replies(PIPELINED):
                assert reply.status in (200, 503, 504), reply
                answered += reply.status == 200
    return answered


def replayed(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streambox", "simulate", "replay", str(file), "--folder", str(TESTS)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def count(recorded: bytes, kind: str) -> int:
    return sum(line.startswith(f'["{kind}"'.encode()) for line in recorded.splitlines())


@pytest.fixture
def recorded_server(tmp_path):
    record = tmp_path / "decisions"
    with serving_process(config_of(models=MODELS), tmp_path, "--record-decisions", record) as server:
        yield server, record


def test_what_a_live_server_decided_is_decided_again(recorded_server, monkeypatch):
    server, record = recorded_server
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answered = sum(pool.map(lambda number: load(server, number), range(CONNECTIONS)))
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    recorded = record.read_bytes()
    assert answered > 500
    assert count(recorded, "submit") + count(recorded, "inside") > answered
    assert count(recorded, "inside") > 0, "no caller came back as it was answered: pipeline more"
    done = replayed(record)
    decided = sum(count(recorded, kind) for kind in ("batch", "refused", "done"))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"same: {decided} decisions\n", "")
    again: list[bytes] = []
    monkeypatch.syspath_prepend(str(TESTS))
    decide_again(recorded.splitlines(keepends=True), again.append)
    assert b"".join(again) == recorded


def test_the_record_of_a_server_that_was_killed_is_read_to_its_last_whole_line(recorded_server):
    server, record = recorded_server
    load(server, 1)
    until(lambda: count(record.read_bytes(), "done") > 50)  # it is written now and then, load or no load
    server.signal(signal.SIGKILL)
    assert server.exit_code() == -signal.SIGKILL
    with record.open("ab") as file:
        file.write(b'["now",12')
    done = replayed(record)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"same: \d+ decisions; the record ends before its server did, and so does this\n", done.stdout
    )


def test_a_decision_that_is_another_now_is_named_with_exit_code_1(recorded_server, tmp_path):
    server, record = recorded_server
    load(server, 1)
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    changed = tmp_path / "changed"
    changed.write_bytes(record.read_bytes().replace(b'"slo"', b'"window"'))
    done = replayed(changed)
    assert done.returncode == 1
    assert re.fullmatch(
        r"streambox: \d+ decisions are the same, then decision \d+ \(line \d+\): recorded .*, now .*\n",
        done.stderr,
    )


def test_without_the_option_nothing_of_the_recorder_is_even_imported(tmp_path):
    code = "import sys, streambox.commands.serve; print([m for m in sys.modules if 'simulate' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_record_that_cannot_be_written_is_told_before_anything_starts(tmp_path):
    with serving_process(
        config_of(models=MODELS), tmp_path, "--record-decisions", tmp_path / "no" / "x", listening=False
    ) as server:
        assert server.exit_code() == 2
    (line,) = server.log
    assert line.endswith("no/x: no record can be written there: No such file or directory\n")
