"""Where something is off, a line names the next command."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from streambox.commands.load import load
from streambox.loadgen.hints import next_step
from streambox.loadgen.summary import WAITED

KEPT = {"valid": True, "reasons": []}
LATE = {"valid": False, "reasons": ["the send lag at p99 is 9.1 ms"]}


def summary(**changes: Any) -> dict[str, Any]:
    return {"offered": 100, "ok": 100, "wrong": 0, "errors": {}, "verdict": KEPT, **changes}


def missed(*texts: str) -> list[dict[str, Any]]:
    return [{"objective": text, "found": "x", "holds": False} for text in texts]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"verdict": LATE}, "`streambox load calibrate` finds"),
        ({"verdict": LATE, "errors": {"unsent": 3}}, "more --connections"),
        ({"verdict": {**LATE, "reasons": [f"late{WAITED}"]}}, "more --connections"),
        ({"verdict": LATE, "errors": {"unsent": 3, "connect_failed: refused": 1}}, "is the server running"),
        ({"objectives": missed("p99<50ms")}, "`streambox load find-max --slo 'p99<50ms'` searches"),
        (
            {"objectives": missed("p99<50ms", "throughput>10/s", "ok>99.9%", "p50<1ms")},
            "find-max --slo 'p99<50ms' --slo 'ok>99.9%'` searches",
        ),
        ({"objectives": missed("throughput>450/s")}, "--out DIR"),
        ({"objectives": missed("tenant=acme:p99<5ms")}, "--out DIR"),
        ({"errors": {"timeout": 5, "http_503:queue_full": 2}}, "within --timeout"),
        ({"errors": {"http_503:queue_full": 5}}, "find-max --slo 'ok>99.9%'` searches"),
    ],
)
def test_the_most_important_fault_has_its_command(changes: dict[str, Any], hint: str) -> None:
    found = next_step(summary(**changes))
    assert found is not None
    assert hint in found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"offered": 0, "verdict": LATE},
        {"objectives": [{"objective": "p99<50ms", "found": "x", "holds": True}]},
        {"errors": {"wrong": 5}, "wrong": 5},
        {"errors": {"http_404": 5}},
        {"verdict": {}},
    ],
)
def test_where_no_command_helps_none_is_named(changes: dict[str, Any]) -> None:
    assert next_step(summary(**changes)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": LATE},
        {"objectives": missed("p99<50ms", "ok>99.9%")},
        {"objectives": missed("throughput>1/s")},
        {"errors": {"http_503:queue_full": 5}},
    ],
)
def test_a_command_that_is_named_exists(changes: dict[str, Any]) -> None:
    (command,) = re.findall(r"`streambox load ([^`]+)`", str(next_step(summary(**changes))))
    words = shlex.split(command)
    if words[0] in load.commands:
        assert load.commands[words[0]].make_context(words[0], words[1:])
    else:
        assert load.make_context("load", words)
