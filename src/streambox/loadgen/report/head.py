"""The top of the page: what the run is worth, how to get it again, its key figures."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from streambox.loadgen import table
from streambox.loadgen.report.recipe import drawing_command
from streambox.page import cards
from streambox.page import table as html_table
from streambox.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping


def verdict(summary: Mapping[str, Any]) -> str:
    read = table.read_verdict(summary)
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in read.remarks)
    return (
        f'<header class="verdict" style="--level:var(--{read.level})">'
        f'<p class="kind">Load report, {table.mode_text(summary)}</p>'
        f'<h1><span aria-hidden="true">{read.mark} </span>{escape(read.headline)}</h1>'
        f"<ul>{remarks}</ul></header>"
    )


def recipe(summary: Mapping[str, Any], drawn_by: Mapping[str, Any]) -> str:
    """How to offer the same again."""
    sha256 = summary.get("schedule_sha256")
    if sha256 is None:
        text = "<p>A closed loop has no schedule: what it offers depends on what it is answered.</p>"
        return f'<section class="recipe"><h2>The workload</h2>{text}{facts(drawn_by)}</section>'
    command = drawing_command(drawn_by)
    lines = [] if command is None else [_condition(drawn_by), command]
    lines += ["# replays the schedule beside this page", "streambox load --schedule schedule.parquet"]
    pairs = {"seed": summary.get("seed"), "schedule sha256": sha256} | {
        key: value for key, value in drawn_by.items() if key != "seed"
    }
    code = escape("\n".join(lines))
    return f'<section class="recipe"><h2>The same again</h2><pre>{code}</pre>{facts(pairs)}</section>'


def _condition(drawn_by: Mapping[str, Any]) -> str:
    """A schedule says which payload goes when: the command draws it out of as many."""
    payloads = f"the same {drawn_by['payloads']:,}" if "payloads" in drawn_by else "as many"
    return (
        f"# draws the same schedule, given {payloads} payloads (--dataset and the like); --url: where to send"
    )


def key_figures(summary: Mapping[str, Any]) -> str:
    response, lag, sizes = (summary.get(key) or {} for key in ("response_ms", "send_lag_us", "batch_size"))
    offered, ok = int(summary.get("offered") or 0), int(summary.get("ok") or 0)
    return cards(
        {
            "offered": table.rate_text(summary.get("offered_per_s")),
            "achieved": table.rate_text(summary.get("throughput_per_s")),
            "response p50": table.ms_text(response.get("p50")),
            "response p99": table.ms_text(response.get("p99")),
            "requests": table.count_text(offered),
            "succeeded": table.share_text(ok, offered),
            "mean batch size": table.number_text(sizes.get("mean")),
            "send lag p99": table.ms_text(lag.get("p99"), 1e-3),
        }
    )


def objectives(summary: Mapping[str, Any]) -> str:
    rows = [
        [escape(one["objective"]), escape(one["found"]), judged(one["holds"])]
        for one in summary.get("objectives") or ()
    ]
    if not rows:
        return ""
    shown = html_table(["objective", "found", ""], rows)
    return f'<section class="narrow"><h2>Objectives</h2>{shown}</section>'


def environment(summary: Mapping[str, Any]) -> str:
    pairs = {
        "duration": table.seconds_text(summary.get("duration_s")),
        "summary schema": summary.get("schema_version"),
        **(summary.get("environment") or {}),
    }
    return f"<section><h2>Environment</h2>{facts(pairs)}</section>"


def facts(pairs: Mapping[str, Any]) -> str:
    """Names and values; durations readable, what is not set left out."""
    items = []
    for key, value in pairs.items():
        if value is None:
            continue
        if key.endswith("_ns") and isinstance(value, int):
            key, value = key.removesuffix("_ns"), format_duration(value)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            value = "\n".join(value)
        text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        label = str(key).replace("_", " ")
        items.append(f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>")
    return f'<dl class="facts">{"".join(items)}</dl>' if items else ""


def judged(holds: bool) -> str:
    return '<span class="met">✓ met</span>' if holds else '<span class="missed">✗ missed</span>'
