"""``streambox workload generate|plot``; ``import|fit`` are in ``traces``, ``inspect|draw`` in ``source``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from streambox.commands.source import draw, inspect_source
from streambox.commands.traces import fit_trace, import_trace
from streambox.errors import UsageError
from streambox.workload.counts import read_counts, shape_counts, write_counts
from streambox.workload.patterns import DEFAULT_UNITS, PATTERN_TYPES, generate

if TYPE_CHECKING:
    from collections.abc import Callable

_OPTIONS: Final = (
    click.option("--type", type=click.Choice(PATTERN_TYPES), help="Built-in pattern."),
    click.option(
        "--len", "length", type=click.IntRange(1), help="How many counts.  [bursty 1440, else 1000]"
    ),
    click.option("--seed", type=click.IntRange(0), default=0, help="Same seed, same pattern.  [0]"),
    click.option("--multiple", "--multipile", type=float, default=1.0, help="Factor on every count.  [1.0]"),
    click.option("--gap-time", type=int, help="After so many time units ..."),
    click.option("--lap-time", type=int, default=0, help="... be idle for so many.  [0]"),
)


class PatternOptions(msgspec.Struct, frozen=True):
    """Which pattern, and what to make of it; lengths in time units."""

    type: str | None
    length: int | None
    seed: int
    multiple: float
    gap_time: int | None
    lap_time: int


def _pattern_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def workload() -> None:
    """Make, picture and change workloads: patterns of counts per time unit, traces, and schedules."""


workload.add_command(inspect_source)
workload.add_command(draw)
workload.add_command(import_trace)
workload.add_command(fit_trace)


@workload.command("generate")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@_pattern_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [stdout]")
def generate_pattern(file: Path | None, out: Path | None, **given: Any) -> None:
    """
    Write a pattern FILE, or a built-in pattern, after its parameters: the reference's list, exactly.

    One line of counts, the format of pattern files.
    """
    options = PatternOptions(**given)
    _check_one(file, options)
    counts = _counts(options, file)
    if out is None:
        click.echo(" ".join(map(str, counts)))
        return
    write_counts(out, counts)
    _tell(out, counts)


@workload.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@_pattern_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Page to write.")
def plot(file: Path | None, out: Path, **given: Any) -> None:
    """Draw a pattern FILE, or a built-in pattern, as a page that opens offline."""
    from streambox.workload.plot import write_plot  # brings plotly, which takes its time to import

    options = PatternOptions(**given)
    _check_one(file, options)
    counts = _counts(options, file)
    title = file.name if file is not None else f"{options.type} pattern, seed {options.seed}".capitalize()
    try:
        write_plot(out, counts, title, 1.0)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    _tell(out, counts)


def _check_one(file: Path | None, options: PatternOptions) -> None:
    if (file is None) == (options.type is None):
        raise UsageError(f"which pattern? Give either a FILE or --type, one of {', '.join(PATTERN_TYPES)}")


def _counts(options: PatternOptions, file: Path | None) -> list[int]:
    if file is not None:
        counts = read_counts(file)
    else:
        kind = str(options.type)
        counts = generate(kind, options.length or DEFAULT_UNITS[kind], options.seed)
    length = options.length
    if length is not None and length > len(counts):
        raise UsageError(f"len is {length}, but {file} has only {len(counts)} time units: give at most that")
    return shape_counts(counts, options.multiple, length, options.gap_time, options.lap_time)


def _tell(out: Path, counts: list[int]) -> None:
    click.echo(f"{out}: {len(counts):,} time units, {sum(counts):,} requests")
