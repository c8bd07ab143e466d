"""``streambox demo``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from streambox.demo import run_demo
from streambox.loadgen.session import check_finished
from streambox.loadgen.table import summary_table


@click.command()
@click.option(
    "--seconds", type=click.IntRange(1, 1440), default=30, show_default=True, help="How much to replay."
)
@click.option(
    "--multiple", type=float, default=0.2, show_default=True, help="Factor on the pattern's counts."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same schedule."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Results folder.",
)
@click.option("--quiet", is_flag=True, help="No progress display.")
def demo(seconds: int, multiple: float, seed: int, out: Path, quiet: bool) -> None:
    """
    Serve the digits model in a worker process, replay a bursty workload against it, report.

    Exit code 1 when any answer was wrong. A machine too noisy to keep the schedule only
    warns: the verdict says so.
    """
    finished = run_demo(out, Console(stderr=True), seconds=seconds, multiple=multiple, seed=seed, quiet=quiet)
    console = Console()
    console.print(summary_table(finished.summary))
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)
    check_finished(finished.summary, allow_invalid=True)
