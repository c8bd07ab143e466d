"""``streambox demo``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from streambox.commands.target import DURATION
from streambox.demo import DemoOptions, judge, run_demo
from streambox.loadgen.table import summary_table

_DEFAULTS = DemoOptions()


@click.command()
@click.option("--duration", type=DURATION, default="30s", show_default=True, help="How long to send.")
@click.option(
    "--multiple",
    type=float,
    default=_DEFAULTS.multiple,
    show_default=True,
    help="How hard: 1 is about 1500 requests/s on average, 3000 in a burst.",
)
@click.option("--seed", type=click.IntRange(0), default=_DEFAULTS.seed, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=_DEFAULTS.out,
    show_default=True,
    help="Folder for schedule, outcomes, summary, report.",
)
@click.option("--quiet", is_flag=True, help="No progress display.")
def demo(duration: int, multiple: float, seed: int, out: Path, quiet: bool) -> None:
    """
    Serve the digits model, replay a bursty workload against it, report.

    Every answer is compared with what the model gives off-line for the same image; a wrong
    one is exit code 1. A machine too busy to keep the schedule is only warned about.
    """
    console = Console(stderr=True)
    if not quiet:
        console.print("starting the Batcher with one worker process for [bold]digits[/] ...", highlight=False)
    options = DemoOptions(duration_ns=duration, multiple=multiple, seed=seed, out=out, quiet=quiet)
    summary = run_demo(options, console)
    Console().print(summary_table(summary))
    warning = judge(summary)
    if warning is not None:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    click.echo(f"report: {out / 'report.html'}")
