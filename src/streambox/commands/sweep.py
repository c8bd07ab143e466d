"""``streambox load sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from rich.console import Console

from streambox.config import load_config
from streambox.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streambox.experiments.sweep_plan import PlannedRun, SweepOptions
    from streambox.experiments.sweep_result import SweepResult

# What the sweep itself says to every load.
_OWN: Final = ("out", "seed", "json", "quiet", "allow-invalid", "repeats", "help")
_TARGET: Final = ("url", "host", "port")
_OF_MORE_LANES: Final = ("mix_path", "trace", "schedule_path")  # whose files say for whom they are


@click.command("sweep", context_settings={"ignore_unknown_options": True})
@click.argument("load_arguments", nargs=-1, type=click.UNPROCESSED, metavar="[LOAD OPTION]...")
@click.option("--file", "path", type=click.Path(path_type=Path), help="YAML file with what follows.")
@click.option("--rates", help="100,200,400: the same as --vary rate=100,200,400.")
@click.option(
    "--vary", multiple=True, help="NAME=VALUE,VALUE: an option of load, a server's setting. Repeatable."
)
@click.option("--serve", help="Start a server of ours with this configuration for every run.")
@click.option("--set", "settings", multiple=True, help="A setting of it, of every run. Repeatable.")
@click.option("--before", help="Shell command before every run; it finds $SWEEP_NAME in its environment.")
@click.option("--repeats", type=click.IntRange(1, 1000), help="Of every cell, with seeds of their own.  [1]")
@click.option("--seed", type=click.IntRange(0), help="Of the first repeat, and of the order.  [0]")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs and the result."
)
@click.option("--force", is_flag=True, help="Make runs, too, that are there already.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--allow-invalid", is_flag=True, help="Count runs, too, whose schedule was not kept.")
@click.option("--json", "as_json", is_flag=True, help="Print sweep.json instead of the table.")
@click.option("--quiet", is_flag=True, help="No line for every run.")
def sweep_loads(
    out: Path, force: bool, dry_run: bool, allow_invalid: bool, as_json: bool, quiet: bool, **given: Any
) -> None:
    """
    Run `load` over a grid of loads and settings, and show latency and goodput against the load.

    Takes all options of `load`, for every run. Runs that are there already are not made again, so
    that the same command goes on with a sweep that was stopped.
    """
    from streambox.commands.load import load
    from streambox.experiments.sweep import Performer, carry_out, commands
    from streambox.experiments.sweep_plan import plan_runs
    from streambox.experiments.sweep_result import check_result, collect, sweep_json, sweep_table

    known = _load_options(load)
    options = _options(given, known)
    runs = plan_runs(options, known)
    _check(options, runs, load)
    if dry_run:
        for run in runs:
            click.echo("\n".join(commands(options, run)))
        return
    console = Console(stderr=True, quiet=quiet)
    performer = Performer(options)
    ended = carry_out(options, runs, out, performer, console, force=force, allow_invalid=allow_invalid)
    result = collect(options, runs, out, ended.failures, allow_invalid=allow_invalid)
    _write(out, result)
    if as_json:
        click.echo(sweep_json(result), nl=False)
    else:
        Console().print(sweep_table(result))
        click.echo(f"page: {out / 'sweep.html'}")
    check_result(result, ended.early)


def _load_options(load: click.Command) -> dict[str, bool]:
    """The names of those options of ``load`` that a sweep may use; whether each is a flag."""
    return {
        name.removeprefix("--"): bool(getattr(option, "is_flag", False))
        for option in load.params
        for name in option.opts
        if name.startswith("--") and name.removeprefix("--") not in _OWN
    }


def _options(given: dict[str, Any], known: dict[str, bool]) -> SweepOptions:
    """The file's options, and the command line's over them. Raises UsageError."""
    from streambox.experiments.sweep_file import read_sweep
    from streambox.experiments.sweep_plan import SweepOptions, parse_axis

    for word in given["load_arguments"]:
        name = word.removeprefix("--").partition("=")[0]
        if word.startswith("--") and name in _OWN:
            raise UsageError(f"--{name} is the sweep's own: give it before the `--`")
    path = given["path"]
    file = SweepOptions(axes=()) if path is None else read_sweep(path, known)
    texts = [f"rate={given['rates']}"] if given["rates"] is not None else []
    axes = [parse_axis(text, known) for text in (*texts, *given["vary"])]
    named = {axis.name for axis in axes}
    changes = {
        "axes": (*(axis for axis in file.axes if axis.name not in named), *axes),
        "load": (*file.load, *given["load_arguments"]),
        "settings": (*file.settings, *given["settings"]),
    }
    own = ("serve", "before", "repeats", "seed")
    changes |= {name: given[name] for name in own if given[name] is not None}
    return msgspec.structs.replace(file, **changes)


def _check(options: SweepOptions, runs: Sequence[PlannedRun], load: click.Command) -> None:
    """Find out what is wrong with any of the runs before the first one starts. Raises UsageError."""
    for run in {run.cell.name: run for run in runs}.values():
        try:
            _check_load(run.load, load, own_server=options.serve is not None)
            if options.serve is not None:
                load_config(Path(options.serve), run.settings)
        except click.ClickException as error:
            raise UsageError(f"{run.cell}: {error.format_message()}") from None
        except UsageError as error:
            raise UsageError(f"{run.cell}: {error}") from None


def _check_load(words: Sequence[str], load: click.Command, *, own_server: bool) -> None:
    from streambox.commands.load import run_options, workload_options
    from streambox.commands.target import model_of, payload_options
    from streambox.loadgen.slo import check_concerned, parse_objective
    from streambox.workload.processes import parse_process
    from streambox.workload.schedule import Lane

    given = click.Command("load", params=load.params).make_context("load", list(words)).params
    if own_server and (told := [name for name in _TARGET if given[name] is not None]):
        raise UsageError(f"--{told[0]} and --serve exclude each other: the server is on a port of its own")
    config = load_config(given["config_path"])
    workload = workload_options(config.load_generator, given)
    run_options(config, workload, given)
    payload_options(given)
    objectives = [parse_objective(text) for text in given["slo"]]
    if all(given[name] is None for name in _OF_MORE_LANES):
        check_concerned(objectives, (Lane(model_of(config, given)),))
    if given["process"] is not None:
        parse_process(given["process"])


def _write(out: Path, result: SweepResult) -> None:
    from streambox.experiments.sweep_page import write_sweep
    from streambox.experiments.sweep_result import sweep_json, write_parquet

    writers: dict[str, Callable[[Path], Any]] = {
        "sweep.json": lambda path: path.write_bytes(sweep_json(result)),
        "sweep.parquet": lambda path: write_parquet(path, result),
        "sweep.html": lambda path: write_sweep(path, result),
    }
    for name, write in writers.items():
        try:
            write(out / name)
        except OSError as error:
            raise RunFailed(f"{out / name}: cannot be written: {error.strerror or error}") from None
