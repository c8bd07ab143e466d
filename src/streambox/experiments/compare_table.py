"""A comparison for the terminal, and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streambox.experiments.figures import FIGURES
from streambox.experiments.wording import change_text, estimate_text, judgement_text
from streambox.loadgen.summary import environment

if TYPE_CHECKING:
    from rich.console import RenderableType

    from streambox.experiments.compare import Comparison

_STYLES: Final = {"better": "green", "worse": "red", "higher": "bold", "lower": "bold", "not clear": "dim"}


def comparison_table(comparison: Comparison) -> RenderableType:
    """One table for each side but the first."""
    parts: list[RenderableType] = [
        _change_table(comparison, number) for number in range(len(comparison.changes))
    ]
    parts.append(Text(comparison.method, style="dim"))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in comparison.warnings]
    return Group(*parts)


def _change_table(comparison: Comparison, number: int) -> Table:
    first, other = comparison.sides[0], comparison.sides[number + 1]
    pairing = ", the same schedules" if comparison.paired[number] else ""
    title = Text(f"{other.label} against {first.label}{pairing}", style="bold")
    table = Table(title=title, title_justify="left", box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("", style="dim", no_wrap=True)
    for column in (first.label, other.label, "change"):
        table.add_column(Text(column), justify="right")
    table.add_column("", no_wrap=True)
    for figure, change in zip(FIGURES, comparison.changes[number], strict=True):
        if change.estimate.value is None:
            continue
        estimates = [estimate_text(figure, side.estimates[figure.name]) for side in (first, other)]
        judgement = judgement_text(figure, change)
        table.add_row(
            figure.name,
            *estimates,
            change_text(figure, change),
            Text(judgement, style=_STYLES.get(judgement, "")),
        )
    return table


def comparison_json(comparison: Comparison) -> bytes:
    """All figures, for a program; docs/experiments.md says what each key means."""
    first = comparison.sides[0]
    content = {
        "schema_version": 1,
        "environment": environment(),
        "method": comparison.method,
        "warnings": comparison.warnings,
        "units": {figure.name: figure.unit for figure in FIGURES},
        "sides": [
            {
                "label": side.label,
                "runs": [str(run.path) for run in side.runs],
                "figures": msgspec.to_builtins(side.estimates),
            }
            for side in comparison.sides
        ],
        "changes": [
            {
                "from": first.label,
                "to": side.label,
                "same_schedules": paired,
                "figures": {
                    figure.name: {
                        "kind": "ratio" if figure.relative else "difference",
                        **msgspec.to_builtins(change.estimate),
                        "clear": change.clear,
                    }
                    for figure, change in zip(FIGURES, changes, strict=True)
                },
            }
            for side, changes, paired in zip(
                comparison.sides[1:], comparison.changes, comparison.paired, strict=True
            )
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
