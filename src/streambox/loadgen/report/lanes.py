"""What each tenant and model got out of a run, and how fairly: tables, from what the summary says of them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from streambox.loadgen import table
from streambox.loadgen.report.head import judged
from streambox.loadgen.slo import parse_objective
from streambox.page import table as html_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD: Final = ("offered", "ok", "goodput", "p50", "p99", "errors")
_MOST_KINDS: Final = 2


def section(summary: Mapping[str, Any]) -> str:
    """Nothing where there is one lane."""
    lanes = summary.get("lanes") or ()
    if len(lanes) < 2:
        return ""
    groups = {"lane": lanes, "tenant": summary.get("tenants") or (), "model": summary.get("models") or ()}
    objectives = summary.get("objectives") or ()
    tables = "".join(_table(name, rows, objectives) for name, rows in groups.items() if rows)
    goodput = "Goodput counts the right answers that came within the time of every objective that names one."
    return f"<section><h2>Tenants and models</h2><p>{goodput}{_fairness(summary)}</p>{tables}</section>"


def _fairness(summary: Mapping[str, Any]) -> str:
    index = summary.get("fairness")
    if index is None:
        return ""
    between = "tenants" if any(lane.get("tenant") for lane in summary["lanes"]) else "models"
    weighted = len({lane.get("weight", 1) for lane in summary["lanes"]}) > 1
    whose = "per weight, between" if weighted else "between"
    return f" Jain's index of it, {whose} {between}, is {table.number_text(index)}; 1 is fair."


def _table(name: str, rows: Sequence[Mapping[str, Any]], objectives: Sequence[Mapping[str, Any]]) -> str:
    told = [_objectives_of(row, objectives) for row in rows]
    cells = [_cells(row) for row in rows]
    weighted = len({row.get("weight", 1) for row in rows}) > 1
    head = [name, *_HEAD]
    if weighted:
        head.append("weight")
        cells = [[*each, table.number_text(row["weight"])] for each, row in zip(cells, rows, strict=True)]
    if any(told):
        head.append("objectives")
        cells = [[*each, verdicts] for each, verdicts in zip(cells, told, strict=True)]
    texts = [place for place, column in enumerate(head) if column in ("errors", "objectives")]
    return html_table(head, cells, texts=texts)


def _cells(row: Mapping[str, Any]) -> list[str]:
    response = row.get("response_ms") or {}
    return [
        escape(table.lane_text(row)),
        table.count_text(row.get("offered")),
        table.share_text(row.get("ok") or 0, row.get("offered") or 0),
        table.rate_text(row.get("goodput_per_s")),
        table.ms_text(response.get("p50")),
        table.ms_text(response.get("p99")),
        escape(_errors(row.get("errors") or {})),
    ]


def _errors(errors: Mapping[str, int]) -> str:
    """All of them, and the most frequent kinds."""
    if not errors:
        return "none"
    ranked = sorted(errors.items(), key=lambda item: -item[1])[:_MOST_KINDS]
    more = ", …" if len(errors) > _MOST_KINDS else ""
    return f"{table.count_text(sum(errors.values()))}: {table.errors_text(dict(ranked))}{more}"


def _objectives_of(row: Mapping[str, Any], objectives: Sequence[Mapping[str, Any]]) -> str:
    """Those that name it, and whether they were met."""
    mine = [one for one in objectives if _names(one["objective"], row)]
    return "<br>".join(f"{escape(one['objective'])} {judged(one['holds'])}" for one in mine)


def _names(text: str, row: Mapping[str, Any]) -> bool:
    objective = parse_objective(text)
    named = {"tenant": objective.tenant, "model": objective.model}
    asked = {key: name for key, name in named.items() if name is not None}
    return bool(asked) and all(row.get(key) == name for key, name in asked.items())
