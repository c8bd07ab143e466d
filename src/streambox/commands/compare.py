"""``streambox load compare``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from streambox.errors import UsageError


@click.command("compare")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Page to write.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON instead of the table.")
@click.option("--allow-invalid", is_flag=True, help="Compare runs, too, that are not valid.")
@click.option(
    "--block", type=click.IntRange(1), help="Blocks to draw in a row.  [as the runs' correlation asks for]"
)
@click.option("--resamples", type=click.IntRange(100, 100_000), default=2000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling.")
def compare_runs(
    folders: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    allow_invalid: bool,
    block: int | None,
    resamples: int,
    seed: int,
) -> None:
    """
    Compare the runs in FOLDERS, each of the others with the first, and say what is clear.

    A folder is what was given to `load --out`, of one run or of repeats.
    """
    from streambox.experiments.compare import Resampling, compare
    from streambox.experiments.compare_page import write_comparison
    from streambox.experiments.compare_table import comparison_json, comparison_table
    from streambox.experiments.runs import check_valid, find_runs, read_run
    from streambox.experiments.wording import labels

    if len(folders) < 2:
        raise UsageError(f"with what shall {folders[0]} be compared? Name two folders or more")
    found = [find_runs(folder) for folder in folders]
    groups = [
        (label, [read_run(path) for path in paths])
        for label, paths in zip(labels(folders), found, strict=True)
    ]
    if not allow_invalid:
        check_valid([run for _, group in groups for run in group])
    comparison = compare(groups, Resampling(resamples=resamples, block=block, seed=seed))
    if out is not None:
        try:
            write_comparison(out, comparison)
        except OSError as error:
            raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    if as_json:
        click.echo(comparison_json(comparison), nl=False)
    else:
        Console().print(comparison_table(comparison))
