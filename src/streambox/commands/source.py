"""``streambox workload inspect|draw``: what arrives, looked at or written down, before anything is sent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
import numpy as np
from rich.console import Console

from streambox.commands.load import load, workload_options
from streambox.commands.target import DEFAULT_MODEL, DURATION
from streambox.commands.trace_options import OF_A_TRACE
from streambox.config import LoadGeneratorSection, load_config
from streambox.errors import UsageError
from streambox.loadgen.payload import count_payloads
from streambox.loadgen.plan import draw_events, draw_schedule
from streambox.loadgen.redraw import redraw_schedule
from streambox.workload.inspection import as_builtins, figures_table, inspect
from streambox.workload.source import read_source
from streambox.workload.transforms import apply_all, parse_transforms

if TYPE_CHECKING:
    from collections.abc import Container

    from streambox.loadgen.plan import WorkloadOptions
    from streambox.workload.events import Events
    from streambox.workload.schedule import Schedule

_KINDS: Final = ("type", "workload_dir", "workload_file", "rate", "process")
_DRAWS: Final = (
    *_KINDS,
    *("multiple", "length", "gap_time", "lap_time", "time_unit", "duration", "arrivals"),
)
_CHANGES: Final = ("transforms", "seed")


def _options_of_load(*names: str) -> list[click.Parameter]:
    """``load``'s own options, so that all commands say the same thing by the same words."""
    return [parameter for parameter in load.params if parameter.name in names]


@click.command("inspect", params=_options_of_load(*_DRAWS, *_CHANGES))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--against", type=click.Path(path_type=Path), help="Another file to compare with.")
@click.option("--unit", type=DURATION, help="Time unit of counts.  [1s; of what lasts for weeks, longer]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Page to write.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of the table.")
def inspect_source(
    file: Path | None, against: Path | None, unit: int | None, out: Path | None, as_json: bool, **given: Any
) -> None:
    """
    Tell a workload in figures, and what transforms make of it.

    FILE is a schedule.parquet or a pattern; without it, the options draw what `load` would.
    """
    transforms = parse_transforms(given["transforms"])
    random = np.random.default_rng(given["seed"] or 0)
    name, events = _source(file, given, random)
    result, reports = apply_all(events, transforms, random)
    sources = {name: events}
    if reports:
        sources[_unused("transformed", sources)] = result
    if against is not None:
        sources[_unused(against.name, sources)] = read_source(against, np.random.default_rng(0))
    inspected = inspect(sources, unit)
    if out is not None:
        from streambox.workload.inspection_page import write_page  # brings plotly

        try:
            write_page(out, inspected, reports)
        except OSError as error:
            raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    if as_json:
        click.echo(json.dumps(as_builtins(inspected, reports), indent=2))
        return
    console = Console(highlight=False)
    for report in reports:
        console.print(report.describe(), markup=False, soft_wrap=True)
    console.print(figures_table(inspected))


@click.command("draw", params=_options_of_load("config_path", *_DRAWS, *_CHANGES, "model", "dataset"))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="schedule.parquet to write."
)
@click.option("--quiet", is_flag=True, help="Do not say what transforms kept.")
def draw(file: Path | None, out: Path, quiet: bool, **given: Any) -> None:
    """
    Draw a workload's schedule into one file, which `load --schedule` replays on any machine.

    FILE is a schedule.parquet or a pattern; without it, the options draw what `load` with the
    same ones would send.
    """
    schedule = _schedule(file, given)
    try:
        schedule.to_parquet(out)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # pyarrow words it at length
        raise UsageError(f"{out}: cannot be written: {reason}") from None
    for line in () if quiet else schedule.recipe.get("fidelity", ()):
        click.echo(line)
    seconds = schedule.duration_ns / 1e9
    click.echo(f"{out}: {len(schedule):,} requests in {seconds:g} s, sha256 {schedule.sha256}")


def _source(file: Path | None, given: dict[str, Any], random: np.random.Generator) -> tuple[str, Events]:
    """What to call it, and its arrivals before any transform."""
    _check_kind(file, given)
    if file is not None:
        return file.name, read_source(file, random)
    options = _workload(LoadGeneratorSection(), given)
    kind = next(str(given[kind]) for kind in _KINDS if given[kind] is not None)
    events, _ = draw_events(msgspec.structs.replace(options, transforms=()), random)
    return f"{kind}/s" if given["rate"] is not None else kind, events


def _schedule(file: Path | None, given: dict[str, Any]) -> Schedule:
    _check_kind(file, given)
    config = load_config(given["config_path"]) if given["config_path"] else None
    section = config.load_generator if config else LoadGeneratorSection()
    model = given["model"] or section.model

    def payloads_of(model: str) -> int:
        return count_payloads(model, given["dataset"])

    if file is None:
        model = model or DEFAULT_MODEL
        return draw_schedule(_workload(section, given), model, payloads_of(model))
    seed = given["seed"] or 0
    return redraw_schedule(
        file, given["transforms"], seed, payloads_of, model=model, default_model=DEFAULT_MODEL
    )


def _workload(section: LoadGeneratorSection, given: dict[str, Any]) -> WorkloadOptions:
    others = dict.fromkeys(("concurrency", "schedule_path", "trace", *OF_A_TRACE))
    return workload_options(section, others | given)


def _check_kind(file: Path | None, given: dict[str, Any]) -> None:
    if file is None:
        if not given.get("config_path") and all(given[kind] is None for kind in _KINDS):
            raise UsageError("which workload? Give a FILE, --type, --workload-file, --rate or --process")
        return
    for name in _DRAWS:
        if given[name] is not None:
            option = "--len" if name == "length" else f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option} draws a workload, and {file} has one: use --transform, or leave one out"
            )


def _unused(name: str, names: Container[str]) -> str:
    """*name*, or one like it that is not among *names*."""
    return name if name not in names else f"{name} (2)"
