"""
What a sweep will run: every combination of its axes, several times, in an order that drift cannot favour.

Each repeat is a complete round of all cells in an order of its own (a randomised complete block
design), so that what changes while a sweep goes on falls on all cells alike. Repeat r of every
cell has the same seed: at one load all settings replay the same schedule, and can be compared
in pairs (common random numbers).
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import yaml

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOADS: Final = ("rate", "multiple", "concurrency")  # what makes a load: the x-axis of the pictures
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
_UNFIT_FOR_NAMES: Final = re.compile(r"[^A-Za-z0-9_.=,+-]+")
_LONGEST_NAME: Final = 120
_MOST_RUNS: Final = 10_000

Kind = Literal["server", "load", "free"]


class Axis(msgspec.Struct, frozen=True):
    """
    What varies: a ``server`` setting, a ``load`` option, or a ``free`` name that stands in braces elsewhere.
    """

    name: str
    values: tuple[str, ...]
    kind: Kind

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """Its values, where all of them are numbers."""
        try:
            numbers = tuple(float(value) for value in self.values)
        except ValueError:
            return None
        return numbers if all(map(math.isfinite, numbers)) else None

    @property
    def short(self) -> str:
        """``time_window`` of ``batcher.time_window``."""
        return self.name.rpartition(".")[2]


class SweepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    ``load`` are the arguments of every ``streambox load``; what stands in braces in them is filled in.

    ``serve``: the configuration of a server of ours to start for every run, with ``settings``, each
    ``key=value``. ``before``: a shell command to run before every run.
    """

    axes: tuple[Axis, ...]
    load: tuple[str, ...] = ()
    serve: str | None = None
    settings: tuple[str, ...] = ()
    before: str | None = None
    repeats: int = 1
    seed: int = 0


class Cell(msgspec.Struct, frozen=True):
    """One combination: ``values`` by the name of their axis, in the order of the axes."""

    values: dict[str, str]

    @property
    def name(self) -> str:
        """As a folder's name."""
        whole = ",".join(f"{axis}={value}" for axis, value in self.values.items())
        name = _UNFIT_FOR_NAMES.sub("_", whole)
        if name == whole and len(name) <= _LONGEST_NAME:
            return name
        return f"{name[:_LONGEST_NAME]}-{_checksum(whole)}"

    def __str__(self) -> str:
        return " ".join(f"{axis}={value}" for axis, value in self.values.items())


class PlannedRun(msgspec.Struct, frozen=True):
    """Repeat *repeat*, from 1, of *cell*. ``load`` are the arguments, without where it goes."""

    cell: Cell
    repeat: int
    seed: int
    load: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.cell.name}/{self.repeat}"

    @property
    def environment(self) -> dict[str, str]:
        """For the command before it: ``SWEEP_BATCHER_TIME_WINDOW`` and the like."""
        values = {**self.cell.values, "repeat": str(self.repeat), "seed": str(self.seed)}
        return {environment_name(name): value for name, value in values.items()}


def make_axis(name: str, values: Sequence[Any], load_options: Mapping[str, bool]) -> Axis:
    """
    *load_options*: the names of ``streambox load``'s options, each with whether it is a flag.

    Raises UsageError for values that are none, or twice the same.
    """
    texts = tuple(value_text(value) for value in values)
    if not texts or not all(texts):
        raise UsageError(f"{name!r} has no values to vary over: write {name}=1,2,3")
    if len(set(texts)) < len(texts):
        raise UsageError(f"{name!r} has a value twice: {', '.join(texts)}")
    if "." in name:
        return Axis(name, texts, "server")
    option = name.replace("_", "-")
    return Axis(option, texts, "load") if option in load_options else Axis(name, texts, "free")


def parse_axis(text: str, load_options: Mapping[str, bool]) -> Axis:
    """
    ``rate=100,200``; values with commas of their own as a YAML list, ``process=[…, …]``.

    Raises UsageError.
    """
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{text!r} is nothing to vary: write NAME=VALUE,VALUE")
    if values.lstrip().startswith("["):
        try:
            listed = yaml.safe_load(values)
        except yaml.YAMLError as error:
            raise UsageError(f"{text!r}: no valid YAML list: {getattr(error, 'problem', error)}") from None
        if not isinstance(listed, list):
            raise UsageError(f"{text!r}: no YAML list")
        return make_axis(name.strip(), listed, load_options)
    return make_axis(name.strip(), [value.strip() for value in values.split(",")], load_options)


def plan_runs(options: SweepOptions, load_options: Mapping[str, bool]) -> tuple[PlannedRun, ...]:
    """
    All runs, in the order in which they are to be made.

    Raises UsageError for axes that nobody reads, and for combinations that are too many.
    """
    _check_axes(options, load_options)
    cells = [
        Cell(dict(zip((axis.name for axis in options.axes), values, strict=True)))
        for values in itertools.product(*(axis.values for axis in options.axes))
    ]
    if len(cells) * options.repeats > _MOST_RUNS:
        raise UsageError(
            f"{len(cells)} cells × {options.repeats} are more than {_MOST_RUNS:,} runs: vary less"
        )
    runs = []
    for repeat in range(1, options.repeats + 1):
        order = np.random.default_rng((options.seed, repeat)).permutation(len(cells))
        runs += [_planned(options, cells[index], repeat, load_options) for index in order]
    return tuple(runs)


def _planned(options: SweepOptions, cell: Cell, repeat: int, load_options: Mapping[str, bool]) -> PlannedRun:
    seed = options.seed + repeat - 1
    load = [_filled(word, cell) for word in options.load]
    for axis in options.axes:
        if axis.kind == "load":
            load += option_words(axis.name, cell.values[axis.name], flag=load_options[axis.name])
    if not any(word == "--schedule" or word.startswith("--schedule=") for word in load):
        load += ["--seed", str(seed)]  # a schedule that is replayed has been drawn already
    settings = [_filled(setting, cell) for setting in options.settings]
    settings += [f"{axis.name}={cell.values[axis.name]}" for axis in options.axes if axis.kind == "server"]
    return PlannedRun(cell, repeat, seed, tuple(load), tuple(settings))


def option_words(name: str, value: str, *, flag: bool) -> list[str]:
    """``--name value``; of a flag ``--name`` or nothing."""
    if not flag:
        return [f"--{name}", value]
    if value not in ("true", "false"):
        raise UsageError(f"--{name} is on or off: vary it over true,false")
    return [f"--{name}"] if value == "true" else []


def value_text(value: Any) -> str:
    """As it would be written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def environment_name(axis: str) -> str:
    return "SWEEP_" + re.sub(r"[^A-Z0-9]", "_", axis.upper())


def _filled(word: str, cell: Cell) -> str:
    return _PLACEHOLDER.sub(lambda match: cell.values.get(match[1], match[0]), word)


def _check_axes(options: SweepOptions, load_options: Mapping[str, bool]) -> None:
    if not options.axes:
        raise UsageError("nothing varies: give --rates or --vary, or use `load --repeats`")
    names = [axis.name for axis in options.axes]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is varied twice")
    if options.serve is None and (server := [axis.name for axis in options.axes if axis.kind == "server"]):
        raise UsageError(
            f"{server[0]!r} is a setting of a server: --serve CONFIG starts one for every run (/dev/null as "
            "CONFIG serves the built-in models)"
        )
    if options.serve is None and options.settings:
        raise UsageError("--set is for a server that is started for every run: say which with --serve CONFIG")
    words = [*options.load, *options.settings]
    read = {name for word in words for name in _PLACEHOLDER.findall(word)}
    for axis in options.axes:
        if axis.kind == "free" and axis.name not in read:
            _check_command_reads(axis, options.before or "", load_options)


def _check_command_reads(axis: Axis, before: str, load_options: Mapping[str, bool]) -> None:
    variable = environment_name(axis.name)
    if variable in before:
        return
    nearest = difflib.get_close_matches(axis.name, load_options, n=1)
    hint = f"did you mean {nearest[0]!r}? Else " if nearest else ""
    raise UsageError(
        f"nothing reads {axis.name!r}, which is no option of `load` and no setting of a server (those have a "
        f"dot): {hint}write {{{axis.name}}} where it belongs, or ${variable} in --before"
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
