"""The system as a library: what its caller sees when things end early."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from streambox.config import parse_config
from streambox.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    Draining,
    Forbidden,
    Unauthorized,
    UnknownModel,
)
from streambox.serving import Serving

MODELS = """
models:
  double:
    executor: python
    callable: "null_model:double"
    inputs: [{name: vector, datatype: FP32, shape: [-1, 4]}]
    outputs: [{name: output, datatype: FP32, shape: [-1, 4]}]
    time_window: 60s
    max_batch_size: 4
    max_request_rows: 12
"""
FOLDER = str(Path(__file__).parents[2] / "benchmarks")
ROWS = np.arange(4, dtype=np.float32).reshape(1, 4)


def serving() -> Serving:
    return Serving(parse_config(MODELS, folder=FOLDER))


def test_callers_share_a_batch_and_each_gets_its_own_rows() -> None:
    async def scenario() -> list[float]:
        async with serving() as system:
            calls = (system.infer("double", {"vector": ROWS + i}) for i in range(4))
            answers = await asyncio.gather(*calls)
            assert system.models["double"].counters.flushes == {"batchsize": 1}
            return [float(answer["output"][0, 0]) for answer in answers]

    assert asyncio.run(scenario()) == [0, 2, 4, 6]


def test_rows_for_three_batches_are_one_answer() -> None:
    async def scenario() -> None:
        rows = np.arange(48, dtype=np.float32).reshape(12, 4)
        async with serving() as system:
            answer = await system.infer("double", {"vector": rows})
            assert np.array_equal(answer["output"], 2 * rows)
            counters, parts = system.models["double"].counters, system.models["double"].parts
            assert (counters.flushes, counters.accepted, parts.completed) == ({"batchsize": 3}, 1, 3)

    asyncio.run(scenario())


def test_a_request_in_flight_when_the_system_closes_is_failed_not_forgotten() -> None:
    async def scenario() -> None:
        async with serving() as system:
            waiting = asyncio.create_task(system.infer("double", {"vector": ROWS}))
            await asyncio.sleep(0)
            assert system.scheduler.in_flight == 1
        with pytest.raises(Draining):
            await waiting

    asyncio.run(scenario())


def test_a_cancelled_caller_leaves_the_queue() -> None:
    async def scenario() -> None:
        async with serving() as system:
            waiting = asyncio.create_task(system.infer("double", {"vector": ROWS}))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert system.scheduler.in_flight == 0
            assert system.models["double"].counters.cancelled == 1

    asyncio.run(scenario())


def test_the_callers_own_deadline_ends_the_wait() -> None:
    async def scenario() -> None:
        async with serving() as system:
            with pytest.raises(DeadlineExceeded, match="1 ms passed while it waited"):
                await system.infer("double", {"vector": ROWS}, timeout_ns=1_000_000)

    asyncio.run(scenario())


def test_a_batch_size_below_one_changes_nothing() -> None:
    async def scenario() -> None:
        async with serving() as system:
            with pytest.raises(ValueError, match="at least 1 row"):
                system.set_batch_size(0)
            system.set_batch_size(1)
            answer = await system.infer("double", {"vector": ROWS})
            assert answer["output"].tolist() == [[0, 2, 4, 6]]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("model", "inputs", "error", "says"),
    [
        ("doble", {"vector": ROWS}, UnknownModel, "there are double"),
        ("double", {}, BadRequest, "'vector' is missing"),
        ("double", {"vector": ROWS, "more": ROWS}, BadRequest, "unexpected input 'more'"),
        ("double", {"vector": ROWS[:, :3]}, BadRequest, r"shape \(1, 3\)"),
        ("double", {"vector": ROWS[:0]}, BadRequest, r"shape \(0, 4\)"),
        ("double", {"vector": np.repeat(ROWS, 13, axis=0)}, BadRequest, "13 rows exceed"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(model: str, inputs: dict, error: type, says: str) -> None:
    async def scenario() -> None:
        async with serving() as system:
            with pytest.raises(error, match=says):
                await system.infer(model, inputs)

    asyncio.run(scenario())


def test_a_policy_changes_at_run_time_and_one_that_cannot_be_had_changes_nothing() -> None:
    async def scenario() -> None:
        async with serving() as system:
            with pytest.raises(ConfigError, match="none of window, eager, slo"):
                system.set_policy("windy", "double")
            with pytest.raises(UnknownModel, match="no model 'doble'"):
                system.set_policy("eager", "doble")
            waiting = asyncio.create_task(system.infer("double", {"vector": ROWS}))
            await asyncio.sleep(0)
            system.set_policy("eager")  # the window is a minute
            assert (await waiting)["output"].tolist() == [[0, 2, 4, 6]]
            system.set_policy("window")
            system.set_preferred_batch_size([1])
            await system.infer("double", {"vector": ROWS})
            assert system.models["double"].counters.flushes == {"slotfree": 1, "batchsize": 1}

    asyncio.run(scenario())


def test_a_policy_that_cannot_be_loaded_is_said_at_the_start() -> None:
    async def scenario() -> None:
        config = parse_config(MODELS + "    policy: 'nowhere:Policy'\n", folder=FOLDER)
        with pytest.raises(ConfigError, match=r"models\.double\.policy: cannot load 'nowhere:Policy'"):
            async with Serving(config):
                pytest.fail("it started")

    asyncio.run(scenario())


def test_a_batcher_of_ones_own_has_no_policy_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        text = "batcher: {class: 'custom_batcher:UrgentFirst'}" + MODELS
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
        async with Serving(parse_config(text.replace("60s", "1ms"), FOLDER)) as system:
            with pytest.raises(ConfigError, match="decides by itself: it has no policy"):
                system.set_policy("eager")
            system.set_batch_size(2)
            answer = await system.infer("double", {"vector": np.repeat(ROWS, 5, axis=0)})
            assert answer["output"].shape == (5, 4)
            assert system.models["double"].parts.completed == 3

    asyncio.run(scenario())


TENANTS = """
  other: {builtin: digits}
tenants:
  - {name: acme, keys: [], slo: 20ms}
  - {name: beta, keys: [], models: [other]}
"""


def test_a_caller_says_whose_request_it_is() -> None:
    async def scenario() -> None:
        async with Serving(parse_config(MODELS + TENANTS, folder=FOLDER)) as system:
            acme = system.roster.named("acme")
            for tenant in (None, "nobody"):
                with pytest.raises(Unauthorized):
                    await system.infer("double", {"vector": ROWS}, tenant=tenant)
            calls = (system.infer("double", {"vector": ROWS}, tenant="acme") for _ in range(4))
            await asyncio.gather(*calls)
            assert (acme.completed, acme.rows, acme.in_flight) == (4, 4, 0)
            with pytest.raises(DeadlineExceeded, match="20 ms"):
                await system.infer("double", {"vector": ROWS}, tenant="acme")
            with pytest.raises(Forbidden):
                await system.infer("double", {"vector": ROWS}, tenant="beta")

    asyncio.run(scenario())
