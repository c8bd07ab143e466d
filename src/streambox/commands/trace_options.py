"""Which trace, how to read it, and for whom its requests are: options of every command that reads one."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from streambox.commands.target import DURATION
from streambox.workload.lane_durations import describe
from streambox.workload.lanes import LaneRule
from streambox.workload.traces import FORMATS, TraceOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from streambox.workload.traces.base import Progress

_PLAIN_EVERY_S: Final = 5.0
_MB: Final = 1e6


class NamesType(click.ParamType[tuple[str, ...]]):
    """Names separated by commas."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        return names if all(names) else self.fail(f"{value!r} has an empty name in it", param, ctx)


NAMES: Final = NamesType()

_READING: Final = (
    click.option(
        "--format",
        "trace_format",
        type=click.Choice(list(FORMATS)),
        help="Of the trace.  [by its first lines]",
    ),
    click.option("--on-bad-row", type=click.Choice(["fail", "skip"]), help="A malformed row.  [fail]"),
    click.option(
        "--failures",
        type=click.Choice(["keep", "drop"]),
        help="Requests that the trace says failed.  [keep]",
    ),
    click.option("--unit", type=DURATION, help="What a count covers, where the trace leaves that open."),
    click.option("--from", "from_ns", type=DURATION, help="Leave out what the trace has before ..."),
    click.option("--to", "to_ns", type=DURATION, help="... and after, from its start on."),
    click.option("--thin", type=float, help="Keep each request with this probability.  [1]"),
)
_LANES: Final = (
    click.option(
        "--map",
        "lane_map",
        help="Functions to models and tenants: one, own, hash, top-k:K, top-k:K+rest, or a file.",
    ),
    click.option("--models", type=NAMES, help="Models for --map, such as digits,resnet50."),
    click.option("--tenants", type=NAMES, help="Tenants for --map."),
    click.option("--durations", help="File that says how long the functions of an Azure trace of 2019 ran."),
)
OF_A_TRACE: Final = {
    "trace_format": "--format",
    "on_bad_row": "--on-bad-row",
    "failures": "--failures",
    "unit": "--unit",
    "from_ns": "--from",
    "to_ns": "--to",
    "thin": "--thin",
    "lane_map": "--map",
    "models": "--models",
    "tenants": "--tenants",
    "durations": "--durations",
}


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds those that say how a trace is read; see ``trace_of``."""
    for option in reversed(_READING):
        command = option(command)
    return command


def lane_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds those that say for whom the requests of a trace are, and how long they took where it was taken."""
    for option in reversed(_LANES):
        command = option(command)
    return command


def trace_of(path: str, given: dict[str, Any]) -> TraceOptions:
    names = {"format": "trace_format", "unit_ns": "unit"}
    options = {
        name: given[names.get(name, name)]
        for name in ("format", "on_bad_row", "failures", "unit_ns", "from_ns", "to_ns", "thin")
    }
    return TraceOptions(path=path, **{name: value for name, value in options.items() if value is not None})


def lane_rule_of(given: dict[str, Any]) -> LaneRule:
    return LaneRule(map=given["lane_map"], models=given["models"] or (), tenants=given["tenants"] or ())


def facts(recipe: dict[str, Any]) -> list[str]:
    """What was read, and what to beware of, by the *recipe* of a schedule drawn from a trace."""
    trace = recipe["trace"]
    rows = f"{trace['rows']:,} rows, {trace['skipped']:,} of them skipped"
    read = f"{trace['path']}: {trace['format']}, {rows}, {trace['functions']:,} functions"
    timed = describe(recipe["durations"]) if "durations" in recipe else ()
    return [read, *timed, *(f"note: {note}" for note in recipe.get("notes", ()))]


@contextlib.contextmanager
def reading(console: Console, name: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """What shows how far a long file has been read: a bar, or without a terminal a line every 5 s."""
    if quiet:
        yield None
    elif not console.is_terminal:
        yield _PlainProgress(console, name)
    else:
        columns = (TextColumn(f"reading {name}", markup=False), BarColumn(), DownloadColumn())
        with ProgressBar(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
            bar = progress.add_task("", total=None)
            yield lambda read_bytes, size_bytes: progress.update(
                bar, completed=read_bytes, total=size_bytes or None
            )


class _PlainProgress:
    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._next_s = time.monotonic() + _PLAIN_EVERY_S

    def __call__(self, read_bytes: int, size_bytes: int) -> None:
        if time.monotonic() < self._next_s:
            return
        self._next_s += _PLAIN_EVERY_S
        of = f" of {size_bytes / _MB:,.0f}" if size_bytes else ""
        line = f"reading {self._name}: {read_bytes / _MB:,.0f}{of} MB"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
