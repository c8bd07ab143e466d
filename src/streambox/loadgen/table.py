"""A run's summary in a few lines for the terminal, verdict first; and its figures as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streambox.loadgen.hints import next_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

Level = Literal["valid", "partial", "invalid", "failed", "empty"]

UNKNOWN: Final = "–"
_MOST_LANES: Final = 20
_LANE_CELLS: Final = 28
PERCENTILES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "max": "max"}

_MARKS: Final[dict[Level, tuple[str, str]]] = {
    "valid": ("✓", "bold green"),
    "partial": ("!", "bold yellow"),
    "invalid": ("!", "bold yellow"),
    "failed": ("✗", "bold red"),
    "empty": ("·", "bold"),
}


class Verdict(msgspec.Struct, frozen=True):
    """What a run is worth, in words: *headline* in one line, *remarks* a line each."""

    level: Level
    headline: str
    remarks: tuple[str, ...]

    @property
    def mark(self) -> str:
        """One sign that says it without words or colours."""
        return _MARKS[self.level][0]


def read_verdict(summary: Mapping[str, Any]) -> Verdict:
    """
    The words for *summary*'s verdict.

    The worst comes first: wrong responses, no success at all, a schedule that was not
    kept, objectives missed, requests that failed. The verdict's own reasons follow as remarks.
    """
    verdict = summary.get("verdict") or {}
    remarks = [str(reason) for reason in verdict.get("reasons") or ()]
    if "checked" in verdict and summary.get("offered"):
        remarks.append("every response was checked" if verdict["checked"] else "responses were not checked")
    level, headline = _headline(summary, valid=bool(verdict.get("valid")))
    return Verdict(level, headline, tuple(remark[:1].upper() + remark[1:] for remark in remarks))


def _headline(summary: Mapping[str, Any], *, valid: bool) -> tuple[Level, str]:
    offered, ok, wrong = (int(summary.get(key) or 0) for key in ("offered", "ok", "wrong"))
    failed = offered - ok
    if (summary.get("verdict") or {}).get("status") == "failed":
        return "failed", "Failed: the load generator did not get through"
    if not offered:
        return "empty", "Empty: the run offered no requests"
    if wrong:
        return "failed", f"Failed: {count_text(wrong)} wrong {'response' if wrong == 1 else 'responses'}"
    if not ok:
        return "failed", f"Failed: none of {count_text(offered)} requests succeeded"
    if not valid:
        return "invalid", "Not valid: the load generator did not keep its schedule"
    missed = sum(not one["holds"] for one in summary.get("objectives") or ())
    if missed:
        return "failed", f"Missed: {missed} {'objective' if missed == 1 else 'objectives'}"
    if failed:
        what = f"{count_text(failed)} {'request' if failed == 1 else 'requests'}"
        return "partial", f"Valid, but {what} failed ({share_text(failed, offered)})"
    if mode_text(summary) == "closed-loop":
        return "valid", "Every request succeeded"
    return "valid", "Valid: schedule kept, every request succeeded"


def mode_text(summary: Mapping[str, Any]) -> str:
    return "closed-loop" if str(summary.get("mode", "open")).startswith("closed") else "open-loop"


def summary_table(summary: Mapping[str, Any]) -> RenderableType:
    """The contents of summary.json as a compact table for a terminal of 80 columns."""
    blocks: list[RenderableType] = [
        _verdict_lines(summary),
        _counts(summary),
        Group(_durations(summary), _batches(summary)),
    ]
    blocks += [table for table in (_objectives(summary), _lanes(summary)) if table.row_count]
    hint = next_step(summary)
    if hint is not None:
        blocks.append(Text(f"→ {hint}"))
    return Group(blocks[0], *(part for block in blocks[1:] for part in (Text(), block)))


def _verdict_lines(summary: Mapping[str, Any]) -> Text:
    verdict = read_verdict(summary)
    mark, style = _MARKS[verdict.level]
    lines = Text.assemble((f"{mark} {verdict.headline}", style), (f"  {mode_text(summary)}", "dim"))
    for remark in verdict.remarks:
        lines.append(f"\n  {remark}")
    return lines


def _counts(summary: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=10)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(ratio=1)
    table.add_row(
        "  offered",
        count_text(summary.get("offered")),
        rate_text(summary.get("offered_per_s")),
        f"{seconds_text(summary.get('duration_s'))}, {count_text(summary.get('unsent'))} unsent",
    )
    table.add_row(
        "  completed",
        count_text(summary.get("completed")),
        rate_text(summary.get("throughput_per_s")),
        f"{count_text(summary.get('ok'))} ok, {count_text(summary.get('wrong'))} wrong",
    )
    errors = summary.get("errors") or {}
    # A kind of error may come from the server's answer: as Text it is not read as markup.
    table.add_row("  errors", count_text(sum(errors.values())), "", Text(errors_text(errors)))
    return table


def _durations(summary: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=10)
    for _ in PERCENTILES:
        table.add_column(justify="right", min_width=8)
    table.add_row("", *PERCENTILES.values(), style="dim")
    for label, key, unit_ms in (
        ("response", "response_ms", 1.0),
        ("service", "service_ms", 1.0),
        ("send lag", "send_lag_us", 1e-3),
    ):
        figures = summary.get(key) or {}
        table.add_row(f"  {label}", *(ms_text(figures.get(name), unit_ms) for name in PERCENTILES))
    return table


def _batches(summary: Mapping[str, Any]) -> Text:
    sizes = summary.get("batch_size") or {}
    mean, middle, largest = (number_text(sizes.get(key)) for key in ("mean", "p50", "max"))
    known = f"{mean} on average, {middle} at p50, {largest} at most"
    return Text.assemble(("  batch size  ", "dim"), known if sizes.get("mean") is not None else UNKNOWN)


def _objectives(summary: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in summary.get("objectives") or ():
        mark, style = ("✓ met", "green") if one["holds"] else ("✗ missed", "bold red")
        table.add_row(Text(f"  {one['objective']}"), Text(one["found"]), Text(mark, style=style))
    return table


def _lanes(summary: Mapping[str, Any]) -> Table:
    """A row for each lane, the first of them where there are very many."""
    lanes = summary.get("lanes") or ()
    table = Table.grid(padding=(0, 1))
    if len(lanes) < 2:
        return table
    table.add_column(max_width=_LANE_CELLS, overflow="ellipsis")  # the one that gives way
    for _ in range(6):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("  lane", "offered", "ok", "goodput", "p50", "p99", "errors", style="dim")
    for lane in lanes[:_MOST_LANES]:
        response = lane.get("response_ms") or {}
        table.add_row(
            Text(f"  {lane_text(lane)}"),
            count_text(lane.get("offered")),
            share_text(lane.get("ok") or 0, lane.get("offered") or 0),
            rate_text(lane.get("goodput_per_s")),
            ms_text(response.get("p50")),
            ms_text(response.get("p99")),
            count_text(sum((lane.get("errors") or {}).values())),
        )
    if lanes[_MOST_LANES:]:
        table.add_row(f"  and {len(lanes) - _MOST_LANES} more")
    if summary.get("fairness") is not None:
        table.add_row("  fairness (Jain)", number_text(summary["fairness"]))
    return table


def lane_text(lane: Mapping[str, Any]) -> str:
    return "/".join(str(lane[key]) for key in ("model", "tenant") if lane.get(key)) or UNKNOWN


def errors_text(errors: Mapping[str, int]) -> str:
    """``timeout 12, http_503 3``: the most frequent first; ``none`` without any."""
    ranked = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind} {count_text(count)}" for kind, count in ranked) or "none"


def count_text(value: float | None) -> str:
    return UNKNOWN if _unknown(value) else f"{value:,.0f}"


def number_text(value: float | None) -> str:
    """Three significant digits, never in scientific notation."""
    if value is None or _unknown(value):
        return UNKNOWN
    size = abs(value)
    if size >= 99.95 or value == int(value):
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.01 else f"{value:.2g}"


def rate_text(value: float | None) -> str:
    return UNKNOWN if _unknown(value) else f"{number_text(value)}/s"


def ms_text(value: float | None, unit_ms: float = 1.0) -> str:
    """*value* in units of *unit_ms* ms: three significant digits of µs, ms or s, whichever reads best."""
    if value is None or _unknown(value):
        return UNKNOWN
    ms = value * unit_ms
    if abs(ms) >= 999.5:
        return _without_point(f"{ms / 1000:#.3g} s") if abs(ms) < 999_500 else f"{ms / 1000:,.0f} s"
    if abs(ms) < 0.9995 and ms:
        return _without_point(f"{ms * 1000:#.3g} µs")
    return _without_point(f"{ms:#.3g} ms") if ms else "0 ms"


def _without_point(text: str) -> str:
    return text.replace(". ", " ")


def seconds_text(value: float | None) -> str:
    return UNKNOWN if _unknown(value) else f"{value:,.1f} s"


def share_text(part: float, whole: float) -> str:
    """In per cent; never 0 % or 100 % unless exactly so."""
    if not whole:
        return UNKNOWN
    share = 100 * part / whole
    if 0 < share < 0.01:
        return "< 0.01 %"
    if 99.99 < share < 100:
        return "> 99.99 %"
    return f"{share:.4g} %" if share > 90 else f"{share:.3g} %"


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
