"""Policies as a configuration names them, and deadlines that cannot be met, over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from support import config_of, predict, running

TENSORS = """
    inputs: [{name: vector, datatype: FP32, shape: [-1, 4]}]
    outputs: [{name: output, datatype: FP32, shape: [-1, 4]}]
"""


def config(callable_: str, **model: object) -> str:
    settings = {"executor": "python", "callable": f"models_for_tests:{callable_}", **model}
    section = "".join(f"    {key}: {value}\n" for key, value in settings.items())
    return config_of(models=f"  double:\n{section}{TENSORS}")


@pytest.mark.parametrize("policy", ["window", "eager", "slo", "lonely:Lonely"])
def test_a_policy_is_chosen_by_name_or_class(policy):
    with running(config("double", policy=f"'{policy}'", time_window="5ms")) as server:
        reply = server.ask(predict(3))
    assert reply.status == 200
    assert reply.output[0] == 6
    if policy == "eager":
        assert reply.json()["batch"]["reason"] == "slotfree"


def test_what_would_be_late_is_refused_at_once_and_told_when_to_come_back():
    """A slot for one row, 30 ms each, and 100 ms of patience: of twenty at once a few can be served."""
    one_by_one = config("unhurried", policy="slo", slo="100ms", max_batch_size=1)
    with running(one_by_one) as server, ThreadPoolExecutor(20) as pool:
        for _ in range(5):
            assert server.ask(predict(1)).status == 200
        replies = list(pool.map(lambda _: server.ask(predict(1)), range(20)))
        assert server.counters().violations() == []
    refused = [reply for reply in replies if reply.status == 503]
    assert {reply.status for reply in replies} <= {200, 503, 504}
    assert refused
    assert {reply.json()["error"]["code"] for reply in refused} == {"deadline_hopeless"}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
