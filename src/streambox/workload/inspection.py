"""Sources side by side: their figures, as a table for the terminal and as values for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from streambox.units import format_duration
from streambox.workload.arrivals import NS_PER_S
from streambox.workload.events import Events
from streambox.workload.figures import Distances, Figures, distances, figures_of, usual_unit_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.workload.transforms import Fidelity

UNKNOWN: Final = "–"


class Inspected(msgspec.Struct, frozen=True):
    """One source under the name that it is shown by, and how far it is from the first one."""

    name: str
    events: Events
    figures: Figures
    apart: Distances | None = None


def inspect(sources: Mapping[str, Events], unit_ns: int | None = None) -> tuple[Inspected, ...]:
    """
    The figures of all *sources*, by name; the first is what the others are compared to.

    *unit_ns* None: one that is usual for the longest. Raises UsageError; see ``figures_of``.
    """
    first = next(iter(sources.values()))
    if unit_ns is None:
        unit_ns = usual_unit_ns(max(events.duration_ns for events in sources.values()))
    return tuple(
        Inspected(
            name, events, figures_of(events, unit_ns), None if events is first else distances(first, events)
        )
        for name, events in sources.items()
    )


def as_builtins(inspected: Sequence[Inspected], reports: Sequence[Fidelity]) -> dict[str, Any]:
    """For JSON: figures of each source, and the report of each transform."""
    sources = [
        {
            "name": each.name,
            **msgspec.to_builtins(each.figures),
            "burstiness": each.figures.burstiness,
            "idc": [{"tau_s": tau_s, "value": value} for tau_s, value in each.figures.idc],
            **({} if each.apart is None else {"ks_to_first": msgspec.to_builtins(each.apart)}),
        }
        for each in inspected
    ]
    return {"schema_version": 1, "sources": sources, "transforms": msgspec.to_builtins(tuple(reports))}


def figure_rows(inspected: Sequence[Inspected]) -> list[tuple[str, list[str]]]:
    """A label, and the figure of each source as text; figures that no source has are left out."""
    figures = [each.figures for each in inspected]
    unit = format_duration(round(figures[0].unit_s * NS_PER_S))
    rows = [
        ("arrivals", [f"{each.arrivals:,}" for each in figures]),
        ("functions called", [f"{each.functions:,}" for each in figures]),
        ("duration", [f"{number_text(each.duration_s)} s" for each in figures]),
        ("mean rate", [_with(each.mean_per_s, "/s") for each in figures]),
        (f"peak / mean, {unit}", [number_text(each.peak_over_mean) for each in figures]),
        (f"idle share, {unit}", [_share(each.idle_share) for each in figures]),
        (f"lag-1 correlation, {unit}", [_ratio(each.lag1) for each in figures]),
        ("CV of gaps", [number_text(each.gap_cv) for each in figures]),
        ("burstiness", [_ratio(each.burstiness) for each in figures]),
        *_dispersion_rows(figures),
    ]
    if len(inspected) > 1:
        apart = [each.apart or Distances(None, None) for each in inspected]
        rows.append(("KS of gaps", [_distance(each.gaps) for each in apart]))
        rows.append(("KS of the rate's shape", [_distance(each.shape) for each in apart]))
    return [row for row in rows if set(row[1]) != {UNKNOWN}]


def figures_table(inspected: Sequence[Inspected]) -> Table:
    """The same for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for each in inspected:
        table.add_column(Text(each.name), justify="right", overflow="fold")
    for label, values in figure_rows(inspected):
        table.add_row(label, *values)
    return table


def number_text(value: float | None) -> str:
    """Three digits, without an exponent where it reads well."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _dispersion_rows(figures: Sequence[Figures]) -> list[tuple[str, list[str]]]:
    curves = [dict(each.idc) for each in figures]
    taus_s = sorted({tau_s for curve in curves for tau_s in curve})
    return [
        (f"dispersion, {tau_s:g} s", [number_text(curve.get(tau_s)) for curve in curves]) for tau_s in taus_s
    ]


def _with(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{number_text(value)}{unit}"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.3g} %"


def _ratio(value: float | None) -> str:
    """Of what lies between −1 and 1."""
    return UNKNOWN if value is None else number_text(round(value, 3) + 0.0)


def _distance(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
