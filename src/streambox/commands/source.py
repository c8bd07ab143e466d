"""``streambox workload inspect|draw``: what arrives, looked at or written down, before anything is sent."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
import numpy as np
from rich.console import Console

from streambox.commands.load import load, workload_options
from streambox.commands.output import facts_of, written_whole
from streambox.commands.target import DEFAULT_MODEL, DURATION
from streambox.commands.trace_options import OF_A_TRACE, facts, lane_rule_of, reading
from streambox.config import LoadGeneratorSection, load_config
from streambox.errors import UsageError
from streambox.loadgen.payload import count_payloads
from streambox.loadgen.plan import WorkloadOptions, draw_events, draw_schedule
from streambox.workload.inspection import as_builtins, figures_table, inspect
from streambox.workload.source import kind_of, read_source
from streambox.workload.transforms import apply_all, parse_transforms

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from contextlib import AbstractContextManager

    from streambox.workload.inspection import Inspected
    from streambox.workload.schedule import Lane
    from streambox.workload.traces.base import Progress
    from streambox.workload.transforms import Fidelity

_KINDS: Final = ("type", "workload_dir", "workload_file", "rate", "process", "trace")
_LANES: Final = ("lane_map", "models", "tenants")
_OF_LANES: Final = (*_LANES, "durations")
_DRAWS: Final = (
    *_KINDS,
    *("multiple", "length", "gap_time", "lap_time", "time_unit", "duration", "arrivals"),
    *(name for name in OF_A_TRACE if name not in _OF_LANES),
)
_CHANGES: Final = ("transforms", "seed")


def _options_of_load(*names: str) -> list[click.Parameter]:
    """``load``'s own options, so that all commands say the same thing by the same words."""
    return [parameter for parameter in load.params if parameter.name in names]


@click.command("inspect", params=_options_of_load(*_DRAWS, *_CHANGES))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--against", type=click.Path(path_type=Path), help="Another file to compare with.")
@click.option(
    "--count-unit", type=DURATION, help="Time unit of counts.  [1s; of what lasts for weeks, longer]"
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Page to write.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of the table.")
def inspect_source(
    file: Path | None,
    against: Path | None,
    count_unit: int | None,
    out: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """
    Tell a workload in figures, and what transforms make of it.

    FILE is a schedule.parquet, a pattern or a trace; without it, the options draw what `load` would.
    """
    name, options = _workload(file, given, LoadGeneratorSection())
    random = np.random.default_rng(options.seed)
    with _reading(options) as progress:
        events, _ = draw_events(msgspec.structs.replace(options, transforms=()), random, progress)
    result, reports = apply_all(events, parse_transforms(options.transforms), random)
    sources = {name: events}
    if reports:
        sources[_unused("transformed", sources)] = result
    if against is not None:
        sources[_unused(against.name, sources)] = read_source(against, np.random.default_rng(0))
    inspected = inspect(sources, count_unit)
    if out is not None:
        from streambox.workload.inspection_page import write_page  # brings plotly

        with written_whole(out, _read_from(options)) as part:
            write_page(part, inspected, reports)
    if as_json:
        click.echo(json.dumps(as_builtins(inspected, reports), indent=2))
    else:
        _show(inspected, reports)


def _show(inspected: Sequence[Inspected], reports: Sequence[Fidelity]) -> None:
    console = Console(highlight=False)
    for report in reports:
        console.print(report.describe(), markup=False, soft_wrap=True)
    console.print(figures_table(inspected))


@click.command(
    "draw", params=_options_of_load("config_path", *_DRAWS, *_OF_LANES, *_CHANGES, "model", "dataset")
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--payloads", type=click.IntRange(1, 2**31 - 1), help="How many bodies to choose from.  [the model's]"
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="schedule.parquet to write."
)
@click.option("--quiet", is_flag=True, help="Say only what was written.")
def draw(file: Path | None, payloads: int | None, out: Path, quiet: bool, **given: Any) -> None:
    """
    Draw a workload's schedule into one file, which `load --schedule` replays on any machine.

    FILE is a schedule.parquet, a pattern or a trace; without it, the options draw what `load`
    with the same ones would send.
    """
    config = load_config(given["config_path"]) if given["config_path"] else None
    section = config.load_generator if config else LoadGeneratorSection()
    _, options = _workload(file, given, section)

    def bodies_of(lane: Lane) -> int:
        return count_payloads(lane.model, given["dataset"])

    durations = given["durations"]
    with written_whole(out, _read_from(options), Path(durations or "")) as part:
        with _reading(options) as progress:
            model = given["model"] or section.model or DEFAULT_MODEL
            schedule = draw_schedule(options, model, payloads or bodies_of, progress, durations)
        schedule.to_parquet(part)
    read = facts(schedule.recipe) if options.trace is not None else []
    for line in () if quiet else (*read, *schedule.recipe.get("fidelity", ())):
        click.echo(line)
    for line in facts_of(out, schedule):
        click.echo(line)


# ---- from options to a workload ------------------------------------------------------------------


def _workload(
    file: Path | None, given: dict[str, Any], section: LoadGeneratorSection
) -> tuple[str, WorkloadOptions]:
    """What to call it, and what draws it. Raises UsageError."""
    given = dict.fromkeys(str(parameter.name) for parameter in load.params) | given
    if file is None:
        return _by_options(given, section)
    kind = kind_of(file)
    for name in _DRAWS if kind == "schedule" else _KINDS:
        if given[name] is not None:
            what = f"{_option(name)} draws a workload, and {file} has one"
            raise UsageError(f"{what}: use --transform, or leave one of them out")
    if kind != "trace" and given["durations"] is not None:
        raise UsageError(f"--durations goes with a trace, and {file} is a {kind}: leave it out")
    if kind == "schedule":
        return file.name, _redrawn(file, given, section)
    given["workload_file" if kind == "pattern" else "trace"] = str(file)
    return file.name, workload_options(section, given)


def _by_options(given: dict[str, Any], section: LoadGeneratorSection) -> tuple[str, WorkloadOptions]:
    kinds = [kind for kind in _KINDS if given[kind] is not None]
    if not kinds and not given["config_path"]:
        raise UsageError("which workload? Give a FILE, --type, --workload-file, --rate, --process or --trace")
    name = str(given[kinds[-1]]) if kinds else ""
    return f"{name}/s" if kinds == ["rate"] else name, workload_options(section, given)


def _redrawn(file: Path, given: dict[str, Any], section: LoadGeneratorSection) -> WorkloadOptions:
    """With --model alone, all of the schedule is for that one, whomever it was for."""
    parse_transforms(given["transforms"])  # before anything else is done
    rule = lane_rule_of(given)
    if given["model"] and rule.models:
        raise UsageError("--models names whom the schedule is for: leave --model out")
    if given["model"] and rule.map is None:
        rule = msgspec.structs.replace(rule, models=(given["model"],))
    seed = given["seed"] if given["seed"] is not None else section.seed or 0
    return WorkloadOptions(redrawn=str(file), lane_rule=rule, transforms=given["transforms"], seed=seed)


def _option(name: str) -> str:
    return next(parameter.opts[0] for parameter in load.params if parameter.name == name)


def _read_from(options: WorkloadOptions) -> Path:
    """The file that is read; where there is none, what no file is."""
    trace = options.trace.path if options.trace is not None else None
    return Path(options.redrawn or options.workload_file or trace or "")


def _reading(options: WorkloadOptions) -> AbstractContextManager[Progress | None]:
    if options.trace is None:
        return nullcontext()
    return reading(Console(stderr=True), options.trace.path)


def _unused(name: str, names: Container[str]) -> str:
    """*name*, or one like it that is not among *names*."""
    return name if name not in names else f"{name} (2)"
