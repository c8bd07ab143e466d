import numpy as np
import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.quarantine import Quarantine, digest
from streambox.executor.base import ModelSpec, TensorSpec

HOLD_NS = 60
SPEC = ModelSpec((TensorSpec("x", "FP32", (-1, 2, 2)),), (TensorSpec("y", "FP32", (-1, 1)),), "python")


def request(**inputs):
    return PendingRequest("m", lambda _: None, **inputs)


def rows(*values):
    return {"x": np.array(values, np.float32).reshape(-1, 2, 2)}


def test_the_first_offence_holds_nobody():
    quarantine = Quarantine(HOLD_NS)
    assert not quarantine.offend(b"a", 0)
    assert (len(quarantine), quarantine.left_ns(b"a", 0)) == (0, 0)


def test_the_second_one_is_held_for_a_while_and_nobody_else_is():
    quarantine = Quarantine(HOLD_NS)
    assert [quarantine.offend(b"a", now_ns) for now_ns in (0, 10)] == [False, True]
    assert [quarantine.left_ns(b"a", now_ns) for now_ns in (10, 69, 70)] == [60, 1, 0]
    assert quarantine.left_ns(b"b", 20) == 0


def test_it_is_empty_again_when_the_time_of_all_is_over():
    quarantine = Quarantine(HOLD_NS)
    for now_ns in (0, 10):
        quarantine.offend(b"a", now_ns)
    assert quarantine
    quarantine.left_ns(b"b", 70)
    assert not quarantine


AGAIN = [
    (119, True, "within twice the time"),
    (120, False, "long ago: forgotten"),
]


@pytest.mark.parametrize(("second_ns", "held", "why"), AGAIN, ids=[row[-1] for row in AGAIN])
def test_an_offence_is_remembered_for_twice_the_time(second_ns, held, why):
    quarantine = Quarantine(HOLD_NS)
    quarantine.offend(b"a", 0)
    assert quarantine.offend(b"a", second_ns) is held


def test_who_has_been_held_is_held_again_after_one_more_offence():
    quarantine = Quarantine(HOLD_NS)
    for now_ns in (0, 10):
        quarantine.offend(b"a", now_ns)
    assert quarantine.left_ns(b"a", 80) == 0
    assert quarantine.offend(b"a", 90)
    assert quarantine.left_ns(b"a", 90) == 60


def test_ten_thousand_offenders_take_no_more_room_than_its_capacity():
    quarantine = Quarantine(HOLD_NS, capacity=100)
    for number in range(10_000):
        for _ in range(2):
            quarantine.offend(b"%d" % number, number // 1000)
    assert repr(quarantine) == "<Quarantine 100 held, 100 remembered>"
    assert quarantine.left_ns(b"9999", 10) > 0
    assert quarantine.left_ns(b"0", 10) == 0


def test_a_quarantine_of_no_time_holds_nobody():
    quarantine = Quarantine(0)
    assert [quarantine.offend(b"a", 0) for _ in range(3)] == [False] * 3
    assert not quarantine


def test_what_has_no_digest_is_held_by_nobody():
    quarantine = Quarantine(HOLD_NS)
    assert [quarantine.offend(b"", 0) for _ in range(3)] == [False] * 3


def test_the_same_row_by_either_api_has_the_same_digest():
    as_list = request(vector=[1.5, 2, 3, 4])
    as_array = request(vector=np.array([1.5, 2, 3, 4], np.float32))
    as_input = request(inputs=rows(1.5, 2, 3, 4))
    assert len({digest(one, SPEC) for one in (as_list, as_array, as_input)}) == 1


def test_other_values_another_order_or_other_shapes_have_another_digest():
    free = ModelSpec((TensorSpec("x", "FP32", (-1, -1, -1)),), SPEC.outputs, "python")
    inputs = [rows(1, 2, 3, 4), rows(1, 2, 4, 3), rows(*[1, 2, 3, 4] * 2)]
    inputs += [{"x": one["x"].reshape(1, 1, -1)} for one in inputs]
    assert len({digest(request(inputs=one), free) for one in inputs}) == len(inputs)


def test_what_cannot_be_joined_has_no_digest():
    assert digest(request(vector=[1, "a", 3, 4]), SPEC) == b""
