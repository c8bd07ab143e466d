"""From a body to a request that waits: what it holds, and what it is refused for."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from streambox.batcher.batch import non_finite, stack
from streambox.errors import BadRequest
from streambox.executor.base import ModelSpec, TensorSpec
from streambox.protocol.reference import LONG_VECTOR
from streambox.server.routes import ReferenceRoute

if TYPE_CHECKING:
    from streambox.server.exchange import HotRequest


def spec(size: int, datatype: str = "FP32", *, tile: bool = False) -> ModelSpec:
    return ModelSpec((TensorSpec("x", datatype, (-1, size)),), (), "test", tile=tile)


def decoded(model: ModelSpec, vector: str) -> HotRequest:
    """What waits after a request to *model* with the JSON *vector* has come."""
    served: Any = {"m": SimpleNamespace(spec=model)}
    head: Any = SimpleNamespace(timeout_ns=None, tenant=None)
    body = b'{"request_id":"r","model":"m","data":{"vector":%b}}' % vector.encode()
    return ReferenceRoute(served).decode(body, head, lambda _: None)


def dense(size: int) -> str:
    """The shortest JSON for *size* numbers."""
    return "[" + ",".join("1" * size) + "]"


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8"])
def test_what_a_long_vector_takes_while_it_waits_is_of_the_order_of_its_body(datatype):
    request = decoded(spec(100_000, datatype), dense(100_000))
    assert isinstance(request.vector, np.ndarray)
    assert request.vector.nbytes <= 4 * len(dense(100_000))


def test_a_short_vector_waits_as_it_came():
    assert decoded(spec(LONG_VECTOR), dense(LONG_VECTOR)).vector == [1.0] * LONG_VECTOR


def test_a_long_vector_is_held_to_its_models_rules():
    long = LONG_VECTOR + 1
    with pytest.raises(BadRequest, match=rf"has {long} numbers: expected 3"):
        decoded(spec(3), dense(long))
    with pytest.raises(BadRequest, match=r"data.vector\[0\] is 1.5: this model takes INT8"):
        decoded(spec(long, "INT8"), json.dumps([1.5] * long))
    short = decoded(spec(2 * long, tile=True), dense(long))
    assert short.signature == long  # not to be stacked with those of another length


def test_long_vectors_are_stacked_and_what_overflows_in_one_is_named():
    long = LONG_VECTOR + 1
    model = spec(long)
    fine = decoded(model, json.dumps([0.1] * long))
    beyond = decoded(model, json.dumps([1.0] * (long - 1) + [1e39]))
    tensors = stack([fine, beyond], model)
    assert tensors["x"].dtype == np.float32
    assert tensors["x"][0].tolist() == [float(np.float32(0.1))] * long
    (error,) = non_finite(tensors, [fine, beyond]).items()
    assert (error[0], str(error[1]).split(":")[0]) == (1, f"data.vector[{LONG_VECTOR}] is not a finite FP32")
