"""What a sweep has found: figures of every run, and of every cell over its repeats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from rich.table import Table
from rich.text import Text

from streambox.errors import RunFailed
from streambox.experiments.compare import Resampling, estimates_of_run
from streambox.experiments.estimate import Estimate
from streambox.experiments.figures import FIGURES, Figure, estimate_of_repeats, point_values
from streambox.experiments.runs import RunFolder, fault_of, read_run
from streambox.experiments.sweep import made
from streambox.experiments.sweep_plan import LOADS, Axis, Cell, PlannedRun, SweepOptions
from streambox.experiments.wording import estimate_text, value_text
from streambox.loadgen.summary import environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OFFERED: Final = Figure("offered", "/s", 0)
GOODPUT: Final = Figure("goodput", "/s", 1)
ALL: Final = (OFFERED, GOODPUT, *FIGURES)
_SHOWN: Final = ("offered", "goodput", "response p50", "response p99", "ok")
_COUNTS: Final = ("offered", "sent", "completed", "ok", "wrong", "unsent")


class RunResult(msgspec.Struct, frozen=True):
    """One run; ``fault`` says why its figures do not count, ``counts`` are of the summary."""

    plan: PlannedRun
    place: int
    figures: dict[str, float]
    counts: dict[str, int]
    fault: str | None


class CellResult(msgspec.Struct, frozen=True):
    """One cell; ``estimates`` are over those of its runs that count, by figure."""

    cell: Cell
    runs: tuple[RunResult, ...]
    estimates: dict[str, Estimate]

    @property
    def counting(self) -> list[RunResult]:
        return [run for run in self.runs if run.fault is None]


class SweepResult(msgspec.Struct, frozen=True):
    """All cells, in the order of the axes; ``missing``: so many runs have not been made."""

    options: SweepOptions
    cells: tuple[CellResult, ...]
    missing: int

    @property
    def load_axis(self) -> Axis | None:
        """The axis that says how much is offered, for the pictures."""
        return next((axis for axis in self.options.axes if axis.name in LOADS and axis.numbers), None)

    @property
    def runs(self) -> list[RunResult]:
        return [run for cell in self.cells for run in cell.runs]


def collect(
    options: SweepOptions,
    runs: Sequence[PlannedRun],
    out: Path,
    failures: dict[str, str],
    *,
    allow_invalid: bool = False,
) -> SweepResult:
    """
    Read what the runs in *out* have left. Cost: half a second a million requests.

    Runs that failed, as *failures* says by folder, and, unless allowed, runs that are not valid
    have a fault. Raises UsageError for files that cannot be read.
    """
    found: dict[str, list[RunResult]] = {}
    single: dict[str, RunFolder] = {}
    missing = 0
    for place, run in enumerate(runs, 1):
        own = found.setdefault(run.cell.name, [])
        if run.folder in failures:
            own.append(RunResult(run, place, {}, {}, failures[run.folder]))
        elif made(options, run, out):
            folder = read_run(out / run.folder)
            single[run.cell.name] = folder
            own.append(_result(run, place, folder, allow_invalid=allow_invalid))
        else:
            missing += 1
    cells = {run.cell.name: run.cell for run in sorted(runs, key=lambda run: _place(options, run.cell))}
    results = [_cell(cells[name], found[name], single.get(name), options) for name in cells]
    return SweepResult(options, tuple(results), missing)


def _result(run: PlannedRun, place: int, folder: RunFolder, *, allow_invalid: bool) -> RunResult:
    summary = folder.summary
    fault = None if allow_invalid else fault_of(summary)
    figures = {
        OFFERED.name: float(summary["offered_per_s"]),
        GOODPUT.name: float(summary["goodput_per_s"]),
        **point_values(folder.blocks),
    }
    return RunResult(run, place, figures, {name: int(summary[name]) for name in _COUNTS}, fault)


def _cell(cell: Cell, runs: list[RunResult], single: RunFolder | None, options: SweepOptions) -> CellResult:
    runs = sorted(runs, key=lambda run: run.plan.repeat)
    counting = [run for run in runs if run.fault is None]
    estimates = {
        figure.name: estimate_of_repeats(figure, [run.figures[figure.name] for run in counting])
        for figure in ALL
    }
    if len(counting) == 1 and single is not None and options.repeats == 1:
        estimates |= estimates_of_run(single, Resampling(seed=options.seed))
    return CellResult(cell, tuple(runs), estimates)


def _place(options: SweepOptions, cell: Cell) -> list[int]:
    return [axis.values.index(cell.values[axis.name]) for axis in options.axes]


def check_result(result: SweepResult, early: str | None) -> None:
    """Raises RunFailed where not all runs were made, or some do not count."""
    if early is not None:
        raise RunFailed(early)
    faulty = [run for run in result.runs if run.fault is not None]
    if faulty:
        first = faulty[0]
        raise RunFailed(
            f"{len(faulty)} of {len(result.runs)} runs do not count: {first.plan.cell}, repeat "
            f"{first.plan.repeat}: {first.fault}"
        )


# ---- table, JSON, Parquet ------------------------------------------------------------------------


def sweep_table(result: SweepResult) -> Table:
    """One row a cell."""
    repeats = result.options.repeats
    title = Text(
        f"{len(result.cells)} cells, {repeats} {'repeat' if repeats == 1 else 'repeats'} each", "bold"
    )
    table = Table(title=title, title_justify="left", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for axis in result.options.axes:
        table.add_column(Text(axis.short), justify="right")
    shown = [figure for figure in ALL if figure.name in _SHOWN]
    for figure in shown:
        table.add_column(figure.name, justify="right")
    table.add_column("")
    for cell in result.cells:
        values = [Text(value) for value in cell.cell.values.values()]
        table.add_row(*values, *(_cell_text(cell, figure) for figure in shown), Text(remark(cell, repeats)))
    return table


def _cell_text(cell: CellResult, figure: Figure) -> str:
    estimate = cell.estimates[figure.name]
    if figure.name.startswith("response"):
        return estimate_text(figure, estimate)
    return value_text(figure, estimate.value)


def remark(cell: CellResult, repeats: int) -> str:
    """What there is to say of a cell beside its figures."""
    if len(cell.runs) < repeats:
        return f"{len(cell.runs)} of {repeats} made"
    counting = len(cell.counting)
    return "" if counting == repeats else f"{counting} of {repeats} count"


def sweep_json(result: SweepResult) -> bytes:
    """All that was found, for a program; docs/experiments.md says what each key means."""
    options = result.options
    content = {
        "schema_version": 1,
        "environment": environment(),
        "axes": {axis.name: axis.values for axis in options.axes},
        "load": options.load,
        "serve": options.serve,
        "settings": options.settings,
        "before": options.before,
        "repeats": options.repeats,
        "seed": options.seed,
        "missing": result.missing,
        "units": {figure.name: figure.unit for figure in ALL},
        "cells": [
            {
                "values": cell.cell.values,
                "folder": cell.cell.name,
                "figures": msgspec.to_builtins(cell.estimates),
                "runs": [_run_json(run) for run in cell.runs],
            }
            for cell in result.cells
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _run_json(run: RunResult) -> dict[str, Any]:
    return {
        "repeat": run.plan.repeat,
        "seed": run.plan.seed,
        "place": run.place,
        "folder": run.plan.folder,
        "fault": run.fault,
        "figures": {name: value if math.isfinite(value) else None for name, value in run.figures.items()},
        "counts": run.counts,
    }


def write_parquet(path: Path, result: SweepResult) -> None:
    """One row a run, a column an axis and a figure. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    runs = result.runs
    columns: dict[str, Any] = {}
    for axis in result.options.axes:
        by_text = dict(zip(axis.values, axis.numbers or axis.values, strict=True))
        columns[axis.name] = [by_text[run.plan.cell.values[axis.name]] for run in runs]
    for name in ("repeat", "seed", "folder"):
        columns[name] = [getattr(run.plan, name) for run in runs]
    columns["place"] = [run.place for run in runs]
    columns["fault"] = pa.array([run.fault for run in runs], pa.string())
    for name in _COUNTS:
        columns[f"{name}_requests"] = pa.array([run.counts.get(name) for run in runs], pa.int64())
    for figure in ALL:
        values = np.array([run.figures.get(figure.name, np.nan) for run in runs], float)
        columns[column_name(figure)] = pa.array(values, from_pandas=True)  # NaN as null
    pq.write_table(pa.table(columns), path)


def column_name(figure: Figure) -> str:
    """``response_p99_ms``, ``throughput_per_s``, ``ok_percent``, ``batch_size_rows``."""
    unit = {"ms": "ms", "/s": "per_s", "%": "percent", "rows": "rows"}[figure.unit]
    return f"{figure.name.replace(' ', '_').replace('.', '_')}_{unit}"
