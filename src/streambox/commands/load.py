"""``streambox load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from streambox.commands.target import DURATION, model_of, payload_options, sending_options, target_options
from streambox.config import load_config
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.plan import WorkloadOptions
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
from streambox.workload.schedule import Schedule

if TYPE_CHECKING:
    from streambox.config import Config, LoadGeneratorSection
    from streambox.loadgen.run import RunOptions

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


@click.group(invoke_without_command=True)
@click.pass_context
@target_options
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
@click.option("--process", help="Arrival process, such as gamma:rate=100,cv=3; see docs/workloads.md.")
@click.option(
    "--schedule", "schedule_path", type=click.Path(path_type=Path), help="Replay this schedule.parquet."
)
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Closed loop with so many callers.")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same schedule.  [0]")
@click.option("--warm-up", type=DURATION, help="Leave what falls due so early out of the figures.")
@click.option("--cool-down", type=DURATION, help="Leave what falls due so late out of the figures.")
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
    path = given["schedule_path"]
    schedule = None if path is None else Schedule.from_parquet(path)
    console = Console(stderr=True)
    if out is not None:
        prepare_folder(out)
    finished = run_load(
        workload,
        options,
        model_of(config, given) if schedule is None else schedule.lanes[0].model,
        console,
        quiet=quiet,
        out=out,
        objectives=objectives,
        sending=payload_options(given),
        schedule=schedule,
    )
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


@load.command("find-max")
@target_options
@click.option("--slo", multiple=True, required=True, help="Objective: p99<50ms, ok>99.9%, … Repeatable.")
@click.option(
    "--from", "start", type=float, default=10.0, show_default=True, help="First rate to try, per second."
)
@click.option(
    "--to", "highest", type=float, default=100_000.0, show_default=True, help="Rate not to go beyond."
)
@click.option("--arrivals", type=click.Choice(["poisson", "constant"]), default="poisson", show_default=True)
@click.option("--segment", type=DURATION, default="10s", show_default=True, help="Length of one trial.")
@click.option("--warm-up", type=DURATION, help="Of a segment, not counted.  [a fifth of it]")
@click.option("--precision", type=click.FloatRange(0.001, 1), default=0.03, show_default=True)
@click.option("--most-segments", type=click.IntRange(3), default=20, show_default=True, help="Per rate.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON file for what was found.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON instead of the table.")
def find_max(config_path: Path | None, out: Path | None, as_json: bool, **given: Any) -> None:
    """
    Search the highest rate at which every objective holds.

    Each rate is tried in independent segments until it is clear whether it holds; rates
    double until one fails, then the gap is halved. Exit code 1 when no rate holds.
    """
    from streambox.loadgen.probe import FindOptions, find_max_rate, found_json, found_table

    config = load_config(config_path)
    options = FindOptions(
        objectives=tuple(parse_objective(text) for text in given["slo"]),
        start_per_s=given["start"],
        highest_per_s=given["highest"],
        arrivals=given["arrivals"],
        segment_ns=given["segment"],
        warm_up_ns=given["segment"] // 5 if given["warm_up"] is None else given["warm_up"],
        precision=given["precision"],
        most_segments=given["most_segments"],
        seed=given["seed"],
    )
    sending = sending_options(config, given)
    found = find_max_rate(
        options, sending, model_of(config, given), payload_options(given), Console(stderr=True)
    )
    text = found_json(options, found)
    if out is not None:
        try:
            out.write_bytes(text)
        except OSError as error:
            raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    if as_json:
        click.echo(text, nl=False)
    else:
        Console().print(found_table(options, found))
    if found.rate_per_s is None:
        raise RunFailed(f"no rate holds {', '.join(given['slo'])}: not even {found.trials[0].rate_per_s:g}/s")


@load.command("calibrate")
@click.option("--budget", type=DURATION, default="1ms", show_default=True, help="For send lag at p99.")
@click.option("--segment", type=DURATION, default="3s", show_default=True, help="Length of one trial.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
def calibrate_machine(budget: int, segment: int, workers: int) -> None:
    """
    Certify the highest rate that this machine can send on schedule.

    Runs against a static server of our own on this machine. The result is kept in the
    cache folder, for so many workers, and a later run that asks for more is warned before it
    starts.
    """
    from streambox.loadgen.calibrate import calibrate
    from streambox.loadgen.certificate import keep

    calibration, found = calibrate(budget, segment, Console(stderr=True, highlight=False), workers)
    if calibration is None:
        raise RunFailed(f"not even {found.trials[0].rate_per_s:g}/s can be sent with a lag within the budget")
    try:
        path = keep(calibration)
    except OSError as error:
        raise RunFailed(f"the result cannot be kept: {error}") from None
    click.echo(
        f"{calibration.rate_per_s:,.0f}/s with a send lag p99 of at most {budget / 1e6:g} ms; kept in {path}"
    )


def _refuse_options_before(ctx: click.Context) -> None:
    for name in ctx.params:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = next(p.opts[0] for p in ctx.command.params if p.name == name)
            raise UsageError(f"{option} stands before {ctx.invoked_subcommand!r}, which does not see it")


def workload_options(section: LoadGeneratorSection, given: dict[str, Any]) -> WorkloadOptions:
    """The command line's options, else the configuration's, else the defaults. Raises UsageError."""
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
        "process": given["process"],
        "duration_ns": given["duration"],
        "arrivals": given["arrivals"],
    }
    return WorkloadOptions(**(_given(configured) | _given(command_line)))


def _refuse_what_would_be_ignored(given: dict[str, Any]) -> None:
    """An option that its kind of workload has no use for is a misunderstanding, not a detail."""
    kinds = [name for name in ("rate", "process", "concurrency", "schedule_path") if given[name] is not None]
    if len(kinds) > 1:
        first, second = (f"--{name.removesuffix('_path')}" for name in kinds[:2])
        raise UsageError(f"{first} and {second} exclude each other: each is a whole workload")
    if given["schedule_path"] is not None and (given["duration"] is not None or given["seed"] is not None):
        raise UsageError("--duration and --seed draw a schedule, and --schedule replays one: leave them out")
    if given["arrivals"] is not None and given["rate"] is None:
        raise UsageError(
            "--arrivals goes with --rate: a pattern's arrivals are Poisson, a closed loop has none"
        )
    if not kinds:
        if given["duration"] is not None:
            raise UsageError(
                "--duration goes with --rate, --process or --concurrency: cut a pattern with --len"
            )
        return
    kind = f"--{kinds[0].removesuffix('_path')}"
    for name in _OF_A_PATTERN:
        if given[name] is not None:
            option = "--len" if name == "length" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} shapes a pattern, and {kind} replays none: leave one of them out")


def run_options(config: Config, workload: WorkloadOptions, given: dict[str, Any]) -> RunOptions:
    """Where to send and how, and what to leave out of the figures. Raises UsageError."""
    return sending_options(
        config,
        given,
        concurrency=given["concurrency"],
        duration_ns=workload.duration_ns if given["concurrency"] else None,
        warm_up_ns=given.get("warm_up"),
        cool_down_ns=given.get("cool_down"),
    )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
