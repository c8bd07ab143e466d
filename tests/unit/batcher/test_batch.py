import gc
import math

import numpy as np
import pytest

from streambox.batcher import Batch, FlushReason, PendingRequest
from streambox.batcher.batch import non_finite, stack
from streambox.batcher.counters import ModelCounters
from streambox.executor.base import ModelSpec, TensorSpec


def spec(*shapes, datatype="FP32", tile=False):
    inputs = tuple(TensorSpec("xyz"[index], datatype, (-1, *dims)) for index, dims in enumerate(shapes))
    return ModelSpec(inputs, (), "test", tile=tile)


def vector(*numbers):
    return PendingRequest("m", lambda _: None, vector=[float(number) for number in numbers])


def packed(*numbers):
    return PendingRequest("m", lambda _: None, vector=np.float32(numbers))


def arrays(rows, **inputs):
    return PendingRequest("m", lambda _: None, inputs=inputs, rows=rows)


STACKS = [
    ([vector(1, 2), vector(3, 4)], spec((2,)), [[1, 2], [3, 4]], "vectors become one array"),
    ([vector(1, 2, 3, 4)], spec((2, 2)), [[[1, 2], [3, 4]]], "a vector takes the shape of the model's input"),
    ([vector(7), vector(8)], spec(()), [7, 8], "a vector of one number for a row without dimensions"),
    ([packed(1, 2), packed(3, 4)], spec((2,)), [[1, 2], [3, 4]], "vectors that were arrays already"),
    ([vector(1, 2)], spec((3, 2), tile=True), [[1, 2]], "a short vector stays short for a model that tiles"),
    (
        [arrays(2, x=np.float32([[1, 2], [3, 4]])), arrays(1, x=np.float32([[5, 6]]))],
        spec((2,)),
        [[1, 2], [3, 4], [5, 6]],
        "several rows in one request",
    ),
    (
        [vector(1, 2), arrays(1, x=np.float32([[3, 4]])), vector(5, 6)],
        spec((2,)),
        [[1, 2], [3, 4], [5, 6]],
        "both forms in one batch, in dispatch order",
    ),
]


@pytest.mark.parametrize(("requests", "model", "expected", "why"), STACKS, ids=[row[-1] for row in STACKS])
def test_stack_joins_along_the_row_axis(requests, model, expected, why):
    stacked = stack(requests, model)["x"]
    assert stacked.tolist() == expected
    assert stacked.dtype == np.float32
    assert stacked.flags.c_contiguous


def test_stack_takes_every_input_and_copies():
    x, y = np.float32([[1]]), np.float32([[2, 3]])
    stacked = stack([arrays(1, x=x, y=y), arrays(1, x=x, y=y)], spec((1,), (2,)))
    assert {name: tensor.shape for name, tensor in stacked.items()} == {"x": (2, 1), "y": (2, 2)}
    assert not np.shares_memory(stacked["x"], x)


def test_what_overflows_its_datatype_comes_out_infinite_without_a_warning():
    assert stack([vector(1e39)], spec((1,)))["x"].tolist() == [[math.inf]]


def test_finite_batches_have_nobody_at_fault():
    requests = [vector(1, 2), vector(3, 4)]
    assert non_finite(stack(requests, spec((2,))), requests) == {}


def test_whole_numbers_need_no_look():
    requests = [arrays(1, x=np.int64([[1]]))]
    assert non_finite(stack(requests, spec((1,), datatype="INT64")), requests) == {}


def test_the_request_with_a_nan_is_named_with_the_place_and_no_other():
    fine = arrays(3, x=np.ones((3, 2), np.float32))
    requests = [fine, vector(1, math.nan), vector(1, 2), arrays(2, x=np.float32([[1, 1], [1, math.inf]]))]
    found = non_finite(stack(requests, spec((2,))), requests)
    assert sorted(found) == [1, 3]
    assert "data.vector[1] is not a finite FP32" in str(found[1])
    assert "inputs['x'] value 3 is not a finite FP32" in str(found[3])


def test_one_fault_per_request_is_told_the_first():
    requests = [arrays(1, x=np.float32([[math.nan]]), y=np.float32([[math.inf]]))]
    found = non_finite(stack(requests, spec((1,), (1,))), requests)
    assert "inputs['x']" in str(found[0])


def batch_of(*rows):
    requests = [arrays(count, x=np.zeros((count, 1), np.float32)) for count in rows]
    for number, request in enumerate(requests):
        request.accept(ModelCounters(), 10 * number, 1000)
    return Batch(7, requests, stack(requests, spec((1,))), FlushReason.DRAIN, 100), requests


def test_a_batch_tells_each_request_where_its_rows_are():
    batch, requests = batch_of(2, 1, 3)
    assert batch.size == 6
    assert [request.first_row for request in requests] == [0, 2, 3]
    assert all(request.batch is batch for request in requests)


def test_its_wait_is_that_of_its_oldest_request():
    batch, _ = batch_of(1, 1)
    assert batch.wait_ns == 100


def test_repr_says_what_and_why():
    batch, _ = batch_of(2)
    assert repr(batch) == "<Batch 7 m size=2 drain>"


def test_a_released_batch_needs_no_cycle_collector():
    batch, requests = batch_of(1, 1)
    batch.release()
    gc.collect()
    gc.disable()
    try:
        del batch
        requests.clear()
        assert not [found for found in gc.get_objects() if isinstance(found, Batch) and found.id == 7]
    finally:
        gc.enable()
