"""``streambox load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from streambox.config import load_config
from streambox.errors import UsageError
from streambox.loadgen.payload import Target, checked_path, parse_url
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import (
    check_finished,
    finish,
    prepare_folder,
    run_load,
    summary_json,
    write_run,
)
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.spool import recover as read_remains
from streambox.loadgen.table import summary_table
from streambox.units import parse_duration

if TYPE_CHECKING:
    from streambox.config import Config, LoadGeneratorSection

_DEFAULT_MODEL: Final = "digits"
_OF_A_PATTERN: Final = (
    "type",
    "workload_dir",
    "workload_file",
    "multiple",
    "length",
    "gap_time",
    "lap_time",
    "time_unit",
)


class DurationType(click.ParamType[int]):
    """A duration with its unit, above 0, as nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            duration_ns = parse_duration(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return duration_ns or self.fail(f"{value!r} is no time at all", param, ctx)


DURATION: Final = DurationType()


@click.group(invoke_without_command=True)
@click.pass_context
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="YAML file; its load_generator section."
)
@click.option("--url", help="Target, http://HOST:PORT/PATH; else --host, --port and --path.")
@click.option("--host", help="Target host.  [localhost]")
@click.option("--port", type=click.IntRange(1, 65535), help="Target port.  [8080]")
@click.option("--path", help="Target path.  [/api/batcher]")
@click.option("--model", help="Model to ask.  [digits]")
@click.option(
    "--type", type=click.Choice(["bursty", "periodic", "sporadic"]), help="Pattern to replay.  [bursty]"
)
@click.option("--workload-dir", help="Folder with TYPE-load.txt files, instead of the built-in patterns.")
@click.option("--workload-file", help="One pattern file: counts per time unit.")
@click.option("--multiple", "--multipile", type=float, help="Factor on every count.  [1.0]")
@click.option("--len", "length", type=int, help="How many counts to take.  [all]")
@click.option("--gap-time", type=int, help="After so many time units ...")
@click.option("--lap-time", type=int, help="... be idle for so many.  [0]")
@click.option("--time-unit", type=DURATION, help="What one count covers.  [1s]")
@click.option("--rate", type=float, help="Requests per second, instead of a pattern.")
@click.option("--duration", type=DURATION, help="How long, with --rate or --concurrency.  [30s]")
@click.option("--arrivals", type=click.Choice(["poisson", "constant"]), help="With --rate.  [poisson]")
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Closed loop with so many callers.")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same schedule.  [0]")
@click.option("--timeout", type=DURATION, help="How long to wait for a response.  [10s]")
@click.option("--connections", type=click.IntRange(1, 50_000), help="Most connections to open.  [1024]")
@click.option(
    "--check",
    type=click.Choice(["full", "id", "none"]),
    default="full",
    show_default=True,
    help="Of answers.",
)
@click.option("--slo", multiple=True, help="Objective: p99<50ms, ok>99.9%, … Repeatable.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for schedule, outcomes, summary, report."
)
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of the table.")
@click.option("--quiet", is_flag=True, help="No progress display.")
@click.option("--allow-invalid", is_flag=True, help="Exit 0 even if the generator did not keep its schedule.")
def load(
    ctx: click.Context,
    /,
    config_path: Path | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    allow_invalid: bool,
    **given: Any,
) -> None:
    """
    Replay a workload against a server, open-loop, and report what a user would have felt.

    The whole schedule is drawn before the clock starts, and a request goes out at its
    instant whatever the server does. Latency counts from that instant. Exit code 1
    when an answer was wrong or the generator could not keep its schedule.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options_before(ctx)
        return
    config = load_config(config_path)
    workload = workload_options(config.load_generator, given)
    options = run_options(config, workload, given)
    objectives = [parse_objective(text) for text in given["slo"]]
    model = given["model"] or config.load_generator.model or _DEFAULT_MODEL
    console = Console(stderr=True)
    if out is not None:
        prepare_folder(out)
    finished = run_load(workload, options, model, console, quiet=quiet, out=out, objectives=objectives)
    if as_json:
        click.echo(summary_json(finished.summary), nl=False)
    else:
        Console().print(summary_table(finished.summary))
    if out is not None:
        write_run(out, finished)
    check_finished(finished.summary, allow_invalid=allow_invalid)


@load.command()
@click.argument("folder", type=click.Path(path_type=Path))
def recover(folder: Path) -> None:
    """
    Make the usual four files of what a run left in FOLDER (its --out) when it was killed.

    What was in flight then counts as interrupted; what was not yet due does not count.
    """
    finished = finish(*read_remains(folder))
    Console().print(summary_table(finished.summary))
    write_run(folder, finished)


def _refuse_options_before(ctx: click.Context) -> None:
    for name in ctx.params:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = next(p.opts[0] for p in ctx.command.params if p.name == name)
            raise UsageError(f"{option} stands before {ctx.invoked_subcommand!r}, which does not see it")


def workload_options(section: LoadGeneratorSection, given: dict[str, Any]) -> WorkloadOptions:
    """The command line's options, else the configuration's, else the defaults. Raises UsageError."""
    if given["rate"] is not None and given["concurrency"] is not None:
        raise UsageError("--rate and --concurrency exclude each other: an open loop has no fixed concurrency")
    if given["workload_file"] and given["workload_dir"]:
        raise UsageError("--workload-file and --workload-dir exclude each other")
    _refuse_what_would_be_ignored(given)
    configured = {
        "type": section.type,
        "multiple": section.multiple if section.multiple is not None else section.multipile,
        "length": section.len,
        "gap_time": section.gap_time,
        "lap_time": section.lap_time,
        "time_unit_ns": None if section.time_unit is None else int(section.time_unit),
        "seed": section.seed,
    }
    command_line = {
        "type": given["type"],
        "multiple": given["multiple"],
        "length": given["length"],
        "gap_time": given["gap_time"],
        "lap_time": given["lap_time"],
        "time_unit_ns": given["time_unit"],
        "seed": given["seed"],
        "workload_file": given["workload_file"],
        "workload_dir": given["workload_dir"],
        "rate_per_s": given["rate"],
        "duration_ns": given["duration"],
        "arrivals": given["arrivals"],
    }
    return WorkloadOptions(**(_given(configured) | _given(command_line)))


def _refuse_what_would_be_ignored(given: dict[str, Any]) -> None:
    """An option that its kind of workload has no use for is a misunderstanding, not a detail."""
    if given["arrivals"] is not None and given["rate"] is None:
        raise UsageError(
            "--arrivals goes with --rate: a pattern's arrivals are Poisson, a closed loop has none"
        )
    if given["rate"] is None and given["concurrency"] is None:
        if given["duration"] is not None:
            raise UsageError("--duration goes with --rate or --concurrency: cut a pattern with --len")
        return
    kind = "--rate" if given["rate"] is not None else "--concurrency"
    for name in _OF_A_PATTERN:
        if given[name] is not None:
            option = "--len" if name == "length" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} shapes a pattern, and {kind} replays none: leave one of them out")


def run_options(config: Config, workload: WorkloadOptions, given: dict[str, Any]) -> RunOptions:
    """Where to send and how; as above."""
    section = config.load_generator
    if given["url"]:
        if given["host"] or given["port"] or given["path"]:
            raise UsageError("--url says it all: leave --host, --port and --path out")
        target = parse_url(given["url"])
    else:
        port = given["port"] or section.port or config.port
        target = Target(given["host"] or section.host, port, checked_path(given["path"] or section.path))
    timeout_ns = given["timeout"] if given["timeout"] is not None else section.timeout
    if timeout_ns == 0:
        raise UsageError("the timeout is 0: no answer could be in time")
    optional = _given({"timeout_ns": timeout_ns and int(timeout_ns), "connections": given["connections"]})
    duration_ns = workload.duration_ns if given["concurrency"] else 0
    return RunOptions(
        target=target,
        check=given["check"],
        concurrency=given["concurrency"],
        duration_ns=duration_ns,
        **optional,
    )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
