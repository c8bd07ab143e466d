"""``streambox load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from rich.console import Console

from streambox.commands.compare import compare_runs
from streambox.commands.mix import mix_of, workload_of
from streambox.commands.repeats import run_repeats
from streambox.commands.sweep import sweep_loads
from streambox.commands.target import DURATION, model_of, payload_options, sending_options, target_options
from streambox.commands.trace_options import (
    OF_A_TRACE,
    facts,
    lane_options,
    lane_rule_of,
    reading,
    reading_options,
    trace_of,
)
from streambox.config import load_config
from streambox.errors import RunFailed, UsageError
from streambox.loadgen.payload import LaneSending, payloads_of
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.session import (
    Finished,
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
from streambox.workload.transforms import parse_transforms

if TYPE_CHECKING:
    from streambox.config import Config, LoadGeneratorSection
    from streambox.loadgen.mix import Mix
    from streambox.loadgen.payload import PayloadSet
    from streambox.loadgen.run import RunOptions
    from streambox.workload.lanes import LaneRule
    from streambox.workload.schedule import Lane

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
    "--transform",
    "transforms",
    multiple=True,
    help="Change what was drawn: scale:2, warp:10, cv:3, …; see docs/workloads.md. Repeatable, in order.",
)
@click.option(
    "--schedule", "schedule_path", type=click.Path(path_type=Path), help="Replay this schedule.parquet."
)
@click.option("--trace", help="Replay this trace; its formats are in docs/traces.md.")
@reading_options
@lane_options
@click.option(
    "--mix",
    "mix_path",
    type=click.Path(path_type=Path),
    help="Several tenants and models in one run: a YAML file; see docs/mixes.md.",
)
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Closed loop with so many callers.")
@click.option("--seed", type=click.IntRange(0), help="Same seed, same schedule.  [0]")
@click.option("--warm-up", type=DURATION, help="Leave what falls due so early out of the figures.")
@click.option("--cool-down", type=DURATION, help="Leave what falls due so late out of the figures.")
@click.option("--slo", multiple=True, help="Objective: p99<50ms, ok>99.9%, … Repeatable.")
@click.option("--repeats", type=click.IntRange(2, 1000), help="So many runs, with seeds of their own.")
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
    repeats: int | None,
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
    mix = _mix(ctx, given)
    workload = workload_options(config.load_generator, given) if mix is None else workload_of(mix)
    options = run_options(config, workload, given)
    objectives = [parse_objective(text) for text in given["slo"]]
    console = Console(stderr=True)
    made: dict[LaneSending, PayloadSet] = {}
    schedule = _ready_schedule(config, workload, options, given, console, made, quiet=quiet)
    if out is not None:
        prepare_folder(out)

    def run_once(seed: int, folder: Path | None) -> Finished:
        return run_load(
            msgspec.structs.replace(workload, seed=seed),
            options,
            model_of(config, given) if schedule is None else schedule.lanes[0].model,
            console,
            quiet=quiet,
            out=folder,
            objectives=objectives,
            sending=payload_options(given),
            schedule=schedule,
            mix=mix,
            made=None if schedule is None else made,
        )

    if repeats is not None:
        run_repeats(run_once, repeats, workload.seed, out, as_json=as_json, allow_invalid=allow_invalid)
        return
    finished = run_once(workload.seed, out)
    try:
        if out is not None:
            write_run(out, finished)
    finally:  # each without the other, where a disk is full
        _show(finished.summary, as_json=as_json)
    check_finished(finished.summary, allow_invalid=allow_invalid)


def _ready_schedule(
    config: Config,
    workload: WorkloadOptions,
    options: RunOptions,
    given: dict[str, Any],
    console: Console,
    made: dict[LaneSending, PayloadSet],
    *,
    quiet: bool,
) -> Schedule | None:
    """
    What is drawn, or read, before anything else; None: what the options draw will do.

    The payloads that it takes to draw it are put into *made*.
    """
    if given["schedule_path"] is not None:
        return Schedule.from_parquet(given["schedule_path"])
    if workload.trace is None:
        return None

    def bodies(lane: Lane) -> int:
        sending = LaneSending(lane.model, workload.seed, payload_options(given))
        return len(payloads_of([sending], options.target, options.tls_context(), made)[0])

    with reading(console, workload.trace.path, quiet=quiet) as progress:
        schedule = draw_schedule(workload, model_of(config, given), bodies, progress, given["durations"])
    for line in facts(schedule.recipe):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return schedule


def _mix(ctx: click.Context, given: dict[str, Any]) -> Mix | None:
    if given["mix_path"] is None:
        return None
    options = {str(each.name): each.opts[0] for each in ctx.command.params}
    return mix_of(given["mix_path"], given, payload_options(given), options)


@load.command()
@click.argument("folder", type=click.Path(path_type=Path))
def recover(folder: Path) -> None:
    """
    Make the usual four files of what a run left in FOLDER (its --out) when it was killed.

    What was in flight then counts as interrupted; what was not yet due does not count.
    """
    finished = finish(*read_remains(folder))
    try:
        write_run(folder, finished)
    finally:
        _show(finished.summary)


def _show(summary: dict[str, Any], *, as_json: bool = False) -> None:
    if as_json:
        click.echo(summary_json(summary), nl=False)
    else:
        Console().print(summary_table(summary))


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
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Page with the curve to write.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON instead of the table.")
def find_max(
    config_path: Path | None, out: Path | None, page: Path | None, as_json: bool, **given: Any
) -> None:
    """
    Search the highest rate at which every objective holds.

    Each rate is tried in independent segments until it is clear whether it holds; rates
    double until one fails, then the gap is halved. Exit code 1 when no rate holds, and when
    it is interrupted; what it knows by then it tells.
    """
    from streambox.loadgen.found_page import write_found
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
    for path in (out, page):
        if path is not None:
            prepare_folder(path.parent)
    found = find_max_rate(
        options, sending, model_of(config, given), payload_options(given), Console(stderr=True)
    )
    text = found_json(options, found)
    try:
        if out is not None:
            out.write_bytes(text)
        if page is not None:
            write_found(page, options, found)
    except OSError as error:
        raise RunFailed(f"{error.filename}: cannot be written: {error.strerror or error}") from None
    if as_json:
        click.echo(text, nl=False)
    else:
        Console().print(found_table(options, found))
    if found.interrupted:
        raise RunFailed("interrupted before the search was over: what it tells is how far it came")
    if not found.trials:
        raise RunFailed("the search ended before it was clear of any rate whether it holds")
    if found.rate_per_s is None:
        raise RunFailed(f"no rate holds {', '.join(given['slo'])}: not even {found.trials[0].rate_per_s:g}/s")


load.add_command(compare_runs)
load.add_command(sweep_loads)


@load.command("calibrate")
@click.option("--budget", type=DURATION, default="1ms", show_default=True, help="For send lag at p99.")
@click.option("--segment", type=DURATION, default="3s", show_default=True, help="Length of one trial.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
def calibrate_machine(budget: int, segment: int, workers: int) -> None:
    """
    Certify the highest rate that this machine can send on schedule.

    Runs against a static server of our own on this machine. The result is kept in the
    cache folder, for so many workers, and a later run that asks for more is warned before it
    starts. Interrupted, it keeps nothing, and what was kept before stays.
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
        "trace": None if given["trace"] is None else trace_of(given["trace"], given),
        "lane_rule": _lane_rule(given),
        "duration_ns": given["duration"],
        "arrivals": given["arrivals"],
        "transforms": given["transforms"],
    }
    parse_transforms(given["transforms"])  # before anything else is done
    return WorkloadOptions(**(_given(configured) | _given(command_line)))


def _lane_rule(given: dict[str, Any]) -> LaneRule:
    """With --model alone, all of a trace is for that one, even if the trace names others."""
    rule = lane_rule_of(given)
    if given["trace"] is not None and given["model"] and rule.map is None:
        rule = msgspec.structs.replace(rule, models=(given["model"],))
    return rule


def _refuse_what_would_be_ignored(given: dict[str, Any]) -> None:
    """An option that its kind of workload has no use for is a misunderstanding, not a detail."""
    every = ("rate", "process", "trace", "concurrency", "schedule_path")
    kinds = [name for name in every if given[name] is not None]
    if len(kinds) > 1:
        first, second = (f"--{name.removesuffix('_path')}" for name in kinds[:2])
        raise UsageError(f"{first} and {second} exclude each other: each is a whole workload")
    if given["schedule_path"] is not None and (given["duration"] is not None or given["seed"] is not None):
        raise UsageError("--duration and --seed draw a schedule, and --schedule replays one: leave them out")
    _check_trace(given)
    if given["transforms"] and given["concurrency"] is not None:
        raise UsageError("--transform changes a schedule, and a closed loop has none: leave it out")
    if given["transforms"] and given["schedule_path"] is not None:
        raise UsageError(
            "--schedule replays what is in the file: `streambox workload draw FILE --transform …` changes it"
        )
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


def _check_trace(given: dict[str, Any]) -> None:
    if given["trace"] is None:
        for name, option in OF_A_TRACE.items():
            if given[name] is not None:
                raise UsageError(f"{option} goes with --trace")
        return
    if given["duration"] is not None:
        raise UsageError("--duration is not for a trace: cut it with --from and --to")
    if given["models"] and given["model"]:
        raise UsageError("--models names whom the trace is for: leave --model out")


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
