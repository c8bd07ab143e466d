"""Several lanes' payloads as one list: whose request is sent, and held against which answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.loadgen.check import Checker
from streambox.loadgen.payload import PayloadSet, Target, request_id
from streambox.loadgen.record import Recorder
from streambox.loadgen.repertoire import Repertoire
from streambox.workload.schedule import Lane, Schedule

TARGET = Target("h", 1, "/")
LANES = (Lane("digits", "acme"), Lane("double", "beta"), Lane("plain", "gamma"))
LANE, PAYLOAD = [1, 0, 1, 2, 0], [0, 2, 1, 0, 0]  # request by request
SETS = (
    PayloadSet.of_vectors(TARGET, "digits", [[0], [1], [2]], np.array([[0.0], [10.0], [20.0]], np.float32)),
    PayloadSet.of_vectors(TARGET, "double", [[5], [6]], np.array([[50.0], [60.0]], np.float32)),
    PayloadSet.of_vectors(TARGET, "plain", [[9]]),
)
SENT = [("double", [5]), ("digits", [2]), ("double", [6]), ("plain", [9]), ("digits", [0])]
RIGHT = [50, 20, 60, 12345, 0]  # nobody knows what `plain` should answer


def schedule_of(lane=LANE, payload=PAYLOAD, lanes=LANES) -> Schedule:
    instants_ns = np.arange(len(lane), dtype=np.int64)
    return Schedule(instants_ns, np.array(payload, np.int32), np.array(lane, np.uint8), lanes, {})


def sent_by(repertoire: Repertoire, index: int) -> tuple[str, list[float]]:
    body = json.loads(repertoire.request(index).partition(b"\r\n\r\n")[2])
    assert body["request_id"] == request_id(index)
    return body["model"], body["data"]["vector"]


def reply(index: int, number: float) -> bytes:
    return json.dumps({"request_id": request_id(index), "output": [number]}).encode()


def test_every_request_comes_from_its_own_lanes_payloads():
    repertoire = Repertoire(schedule_of(), SETS)
    assert [sent_by(repertoire, index) for index in range(5)] == SENT


def test_a_closed_loop_goes_round_the_lanes_too():
    repertoire = Repertoire(schedule_of(), SETS)
    assert [sent_by(repertoire, index) for index in range(5, 10)] == SENT


def test_a_single_lane_is_as_it_always_was():
    repertoire = Repertoire(schedule_of([0, 0], [1, 0], LANES[1:2]), SETS[1:2])
    assert [sent_by(repertoire, index) for index in range(2)] == [("double", [6]), ("double", [5])]


@pytest.mark.parametrize("index", range(5))
def test_every_answer_is_held_against_its_own_lanes(index):
    recorder = Recorder(np.zeros(5, np.int64))
    checker = Checker(recorder, Repertoire(schedule_of(), SETS), "full")
    checker.check(index, 200, reply(index, RIGHT[index]))
    assert recorder.outcomes.kinds[recorder.outcomes.kind[index]] == "ok"
    checker.check(index, 200, reply(index, RIGHT[index] + 10))  # right for another payload, perhaps
    wanted = "ok" if index == 3 else "wrong"
    assert recorder.outcomes.kinds[recorder.outcomes.kind[index]] == wanted


def test_the_lanes_of_a_closed_loop_are_known_however_long_it_goes_on():
    recorder = Recorder(np.empty(0, np.int64), np.array(LANE, np.uint8))
    for _ in range(2000):
        recorder.add(0)
    assert recorder.outcomes.first(2000).lane.tolist() == LANE * 400
