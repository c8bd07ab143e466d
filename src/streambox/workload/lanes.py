"""Which model and tenant each function of a trace stands for."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.lane_map import read_map, read_rule_file
from streambox.workload.schedule import MOST_LANES, Lane, parse_lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.events import Events, Int64s
    from streambox.workload.schedule import UInt8s

    Int16s = np.ndarray[Any, np.dtype[np.int16]]
    Lanes = list[Lane | None]
    """Of each function, the busiest first; None: its calls are dropped."""

_TOP: Final = re.compile(r"top-k:([1-9][0-9]{0,2})(\+rest)?")
_BY_NAME: Final = ("one", "own", "hash")


class LaneRule(msgspec.Struct, frozen=True, kw_only=True):
    """
    How functions become lanes.

    ``map`` None: ``own``, where the trace's format is one that names models, unless models or
    tenants are given; else ``one``. Otherwise it is one of:

    * ``one``: all of them are the one model and tenant.
    * ``own``: their names say it, ``MODEL`` or ``MODEL/TENANT``.
    * ``hash``: each is one of the models and one of the tenants, by a hash of its name: the
      same on any machine, in any trace.
    * ``top-k:K``: the K busiest are the models and tenants in the order given, the others are
      dropped; ``top-k:K+rest``: the others are, together, what is given last.
    * else a YAML or JSON file, see ``read_map``.
    """

    map: str | None = None
    models: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises UsageError for a rule that cannot be, whatever the functions are."""
        _choose(self, "", ())

    def of(self, *, names_lanes: bool) -> LaneRule:
        """The rule for functions of a format that does, or does not, name models and tenants."""
        if self.map is not None:
            return self
        own = names_lanes and not self.models and not self.tenants
        return msgspec.structs.replace(self, map="own" if own else "one")

    def recipe(self) -> dict[str, Any]:
        """What it takes to apply the rule again: all of it, and the hash of the file it names."""
        recipe: dict[str, Any] = {"map": self.map}
        recipe |= {"models": list(self.models), "tenants": list(self.tenants)}
        if self.map is not None and self.map not in _BY_NAME and not _TOP.fullmatch(self.map):
            recipe["map_sha256"] = hashlib.sha256(read_rule_file(Path(self.map))).hexdigest()
        return recipe


class Assigned(NamedTuple):
    """
    Arrivals by lane: arrival i, at ``instants_ns[i]``, is for ``lanes[lane[i]]``.

    All calls of function f are for ``lanes[of_function[f]]``; -1: it has none, or they are dropped.
    """

    instants_ns: Int64s
    lane: UInt8s
    lanes: tuple[Lane, ...]
    of_function: Int16s
    notes: tuple[str, ...]


def assign(events: Events, rule: LaneRule, model: str) -> Assigned:
    """
    Give each arrival the lane of its function; *model* is for whom no model is named.

    Lanes are in the order of their busiest functions; one without an arrival is none.

    Raises UsageError for a rule that cannot be, drops every request, or makes more than
    MOST_LANES lanes.
    """
    calls = np.bincount(events.function, minlength=len(events.functions))
    ranked = np.argsort(-calls, kind="stable")[: np.count_nonzero(calls)]
    chosen = _choose(rule, model, [events.functions[number] for number in ranked])
    lanes = tuple(dict.fromkeys(lane for lane in chosen if lane is not None))
    if len(lanes) > MOST_LANES:
        raise UsageError(
            f"--map {rule.map} makes {len(lanes)} models and tenants, the most is {MOST_LANES}: try hash"
        )
    if not lanes:
        raise UsageError(f"--map {rule.map} drops the requests of all {len(chosen)} functions")
    number_of = {None: -1} | {lane: number for number, lane in enumerate(lanes)}
    table = np.full(len(events.functions), -1, np.int16)
    table[ranked] = [number_of[lane] for lane in chosen]
    lane, instants_ns = table[events.function], events.instants_ns
    dropped = np.count_nonzero(lane < 0)
    if dropped:
        lane, instants_ns = lane[lane >= 0], instants_ns[lane >= 0]
    notes = [f"dropped: {dropped:,} requests of {chosen.count(None):,} functions"] if dropped else []
    return Assigned(instants_ns, lane.astype(np.uint8), lanes, table, tuple(notes))


# ---- rules ---------------------------------------------------------------------------------------


def _choose(rule: LaneRule, model: str, functions: Sequence[str]) -> Lanes:
    """The lanes of *functions*, the busiest first."""
    models, tenants = rule.models or (model,), rule.tenants or ("",)
    if rule.map is None or rule.map == "one":
        return _one(functions, models, tenants)
    if rule.map == "hash":
        return [_hashed(function, models, tenants) for function in functions]
    if top := _TOP.fullmatch(rule.map):
        return _top(functions, int(top[1]), bool(top[2]), models, tenants)
    if rule.models or rule.tenants:
        raise UsageError(
            f"--map {rule.map} says itself for whom requests are: leave --models and --tenants out"
        )
    if rule.map == "own":
        return [parse_lane(function, model) for function in functions]
    return read_map(Path(rule.map), model, functions)


def _one(functions: Sequence[str], models: Sequence[str], tenants: Sequence[str]) -> Lanes:
    if len(models) > 1 or len(tenants) > 1:
        raise UsageError("which functions are for which models and tenants? Give --map, such as --map hash")
    return [Lane(models[0], tenants[0])] * len(functions)


def _hashed(function: str, models: Sequence[str], tenants: Sequence[str]) -> Lane:
    digest = hashlib.sha256(function.encode()).digest()
    first, second = int.from_bytes(digest[:8]), int.from_bytes(digest[8:16])
    return Lane(models[first % len(models)], tenants[second % len(tenants)])


def _top(
    functions: Sequence[str], busiest: int, rest: bool, models: Sequence[str], tenants: Sequence[str]
) -> Lanes:
    """A single model, or tenant, is that of all of them."""
    wanted = busiest + rest
    for names, option in ((models, "--models"), (tenants, "--tenants")):
        if len(names) not in (1, wanted):
            raise UsageError(
                f"{option} has {len(names)} names, and the rule is about {wanted}: give 1 or {wanted}"
            )
    lanes: Lanes = [Lane(models[k % len(models)], tenants[k % len(tenants)]) for k in range(wanted)]
    others = lanes[-1] if rest else None
    return [lanes[rank] if rank < busiest else others for rank in range(len(functions))]
