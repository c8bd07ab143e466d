"""``streambox load --mix FILE``: what of the command line goes with a mix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.commands.trace_options import OF_A_TRACE
from streambox.errors import UsageError
from streambox.loadgen.keyed import keys_of
from streambox.loadgen.mix_file import read_mix
from streambox.loadgen.payload import PayloadOptions
from streambox.loadgen.plan import WorkloadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streambox.loadgen.mix import Mix

_IN_PLACE: Final = {"rate": "rate_per_s", "duration": "duration_ns", "seed": "seed"}  # of what the file says
_OF_ALL: Final = (*_IN_PLACE, "api", "headers", "path")


def mix_of(path: Path, given: Mapping[str, Any], common: PayloadOptions, options: Mapping[str, str]) -> Mix:
    """
    The mix in *path*, with the rate, duration and seed of the command line where it has them.

    *options*: as what the command line knows each name in *given*. Raises UsageError for one
    that says what a single stream is.
    """
    if given.get("durations") is not None:
        raise UsageError("--durations goes with --trace, not with --mix")
    fields = [*keys_of(WorkloadOptions), *keys_of(PayloadOptions), "model", *OF_A_TRACE]
    for name in ("length" if field == "len" else field for field in fields):
        if name not in _OF_ALL and given.get(name) not in (None, ()):
            raise UsageError(
                f"{options[name]} is a stream's own, and a mix has several: write it into {path}"
            )
    changes = {field: given[name] for name, field in _IN_PLACE.items() if given[name] is not None}
    if changes and given["schedule_path"] is not None:
        raise UsageError("--rate, --duration and --seed draw a schedule, and --schedule replays one")
    if changes.get("rate_per_s", 1) <= 0:
        raise UsageError(f"the rate is {changes['rate_per_s']:g}/s: give a number above 0")
    return msgspec.structs.replace(read_mix(path, common), **changes)


def workload_of(mix: Mix) -> WorkloadOptions:
    """What a run has to know of its workload, where each of its streams has its own."""
    if mix.duration_ns is None:
        return WorkloadOptions(seed=mix.seed)
    return WorkloadOptions(seed=mix.seed, duration_ns=mix.duration_ns)
