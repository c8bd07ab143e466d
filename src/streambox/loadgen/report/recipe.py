"""How to get a run's schedule again: the command line that draws it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from streambox.loadgen.plan import WorkloadOptions
from streambox.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

# What plan.py writes into a recipe, as the options that say it.
_OPTIONS: Final = {
    "type": "--type",
    "workload_file": "--workload-file",
    "workload_dir": "--workload-dir",
    "multiple": "--multiple",
    "length": "--len",
    "gap_time": "--gap-time",
    "lap_time": "--lap-time",
    "time_unit_ns": "--time-unit",
    "rate_per_s": "--rate",
    "process": "--process",
    "duration_ns": "--duration",
    "arrivals": "--arrivals",
    "model": "--model",
    "seed": "--seed",
}
_TRANSFORMED: Final = {"transforms", "fidelity", "source_duration_ns"}
_OF_THE_MACHINE: Final = {"payloads", "numpy"}
_ALWAYS: Final = {"type", "rate_per_s", "process", "seed"}


def drawing_command(recipe: Mapping[str, Any]) -> str | None:
    """The ``streambox load`` that draws the schedule of *recipe*; None where options do not say it all."""
    others = set(recipe) - set(_OPTIONS) - _TRANSFORMED - _OF_THE_MACHINE
    if others or not {"type", "rate_per_s", "process"} & set(recipe):
        return None
    given = {key: recipe[key] for key in _OPTIONS if recipe.get(key) is not None}
    if "source_duration_ns" in recipe:
        given["duration_ns"] = recipe["source_duration_ns"]
    if "type" in given:
        given.pop("duration_ns", None)  # a pattern lasts as long as its counts
        if "workload_file" in given:
            del given["type"]
    words = ["streambox", "load"]
    for key, value in given.items():
        if key in _ALWAYS or value != _DEFAULTS.get(key):
            words += [_OPTIONS[key], format_duration(value) if key.endswith("_ns") else str(value)]
    for text in recipe.get("transforms", ()):
        words += ["--transform", text]
    return shlex.join(words)


_DEFAULTS: Final = {name: getattr(WorkloadOptions(), name) for name in WorkloadOptions.__struct_fields__}
