"""
The mix file: YAML, ``load --mix FILE``.

The keys of a stream are its own (``StreamSection``), those of what it sends (``PayloadOptions``) and
those of when it sends (``WorkloadOptions``): what a workload can be on the command line, a stream can be.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.errors import ConfigError, UsageError
from streambox.loadgen.keyed import keys_of, read_options
from streambox.loadgen.mix import Mix, Stream
from streambox.loadgen.payload import PayloadOptions, check_options
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.target import as_header, checked_path, read_headers
from streambox.sections import expand, fill_variables, parse_yaml, unknown_key
from streambox.workload.schedule import MOST_LANES, Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streambox.loadgen.slo import Objective


class MixSection(msgspec.Struct, frozen=True, kw_only=True):
    """
    The whole mix.

    ``duration``: when it ends, whatever a stream would go on with; without it the longest
    stream decides, and a rate or a process lasts 30 s. ``rate``: of all streams together, shared
    out by weight: each keeps the shape of its arrivals, whatever its own rate.
    """

    duration_ns: int | None = None
    rate_per_s: float | None = None
    seed: int = 0
    streams: list[dict[str, Any]] = []


class StreamSection(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whose requests they are.

    Model and tenant together are a stream's own. ``weight``: its share of the mix's ``rate``,
    and of what is fair. ``start``: how long after the others it begins. ``slo``: objectives,
    for its requests alone. ``key``: goes out as ``Authorization: Bearer …``, written
    ``${VAR}`` for the environment's, or read from ``key_file``. ``headers``: more lines.
    """

    model: str
    tenant: str = ""
    weight: float = 1.0
    start_ns: int = 0
    slo: tuple[str, ...] = ()
    key: str | None = None
    key_file: str | None = None
    headers: tuple[str, ...] = ()


_SECRET: Final = ("key", "headers")  # filled in as text, and shown nowhere
_NOT_TOLD: Final = ("key", "key_file", "headers")


def read_mix(path: Path, common: PayloadOptions | None = None) -> Mix:
    """
    The mix in *path*; *common*: the api and the headers of streams that do not say.

    Raises ConfigError, naming file and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None
    try:
        return parse_mix(text, path.parent, common)
    except UsageError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_mix(text: str, folder: Path = Path(), common: PayloadOptions | None = None) -> Mix:
    """As ``read_mix``, from text; files that it names are below *folder*."""
    tree = parse_yaml(text)
    if not isinstance(tree, dict) or not isinstance(tree.get("streams"), list) or not tree["streams"]:
        raise ConfigError("expected a list of streams, as in 'streams: [{model: digits, rate: 100/s}]'")
    raw = tree.pop("streams")
    section = read_options(MixSection, expand(tree), "mix", folder)
    if section.duration_ns == 0 or (section.rate_per_s is not None and section.rate_per_s <= 0):
        raise ConfigError("duration and rate are above 0, or are left out")
    seed = _checked_seed(section.seed)
    streams = tuple(
        _stream(each, f"streams.{index}", folder, common or PayloadOptions())
        for index, each in enumerate(raw)
    )
    _check_lanes(streams)
    return Mix(streams=streams, duration_ns=section.duration_ns, rate_per_s=section.rate_per_s, seed=seed)


def _stream(raw: Any, where: str, folder: Path, common: PayloadOptions) -> Stream:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(f"{where}: expected keys such as model: and rate:, got {type(raw).__name__}")
    whose, what, when = _sorted_out(raw, where)
    section = read_options(StreamSection, whose, where, folder)
    workload = read_options(WorkloadOptions, when, where, folder)
    told = {key: value for key, value in (whose | what).items() if key not in _NOT_TOLD}
    try:
        return Stream(
            lane=_lane(section),
            workload=msgspec.structs.replace(workload, seed=_checked_seed(workload.seed)),
            payloads=_payloads(section, what, where, folder, common),
            weight=_checked_weight(section.weight),
            start_ns=section.start_ns,
            objectives=tuple(_objective(text, section) for text in section.slo),
            chosen=frozenset(keys_of(WorkloadOptions)[key].name for key in when),
            told=told,
        )
    except UsageError as error:
        told_where = isinstance(error, ConfigError) and str(error).startswith(f"{where}.")
        raise error if told_where else ConfigError(f"{where}: {error}") from None


def _sorted_out(raw: Mapping[str, Any], where: str) -> tuple[dict[str, Any], ...]:
    """What of it is a ``StreamSection``'s, what is ``PayloadOptions`` and what ``WorkloadOptions``."""
    kinds = (StreamSection, PayloadOptions, WorkloadOptions)
    parts: tuple[dict[str, Any], ...] = ({}, {}, {})
    # The first that has the key takes it: headers are a stream's own.
    part_of = {
        key: part for kind, part in reversed([*zip(kinds, parts, strict=True)]) for key in keys_of(kind)
    }
    for key, value in raw.items():
        if key not in part_of:
            raise unknown_key(key, f"{where}.{key}", set(part_of))
        part_of[key][key] = value if key in _SECRET else expand(value)
    return parts


def _lane(section: StreamSection) -> Lane:
    for name in (section.model, section.tenant):
        if re.search(r"[:<>\s]", name):
            raise UsageError(f"{name!r}: a model or tenant has no blank, ':', '<' or '>' in its name")
    if not section.model:
        raise UsageError("the model has no name")
    return Lane(section.model, section.tenant)


def _payloads(
    section: StreamSection, given: Mapping[str, Any], where: str, folder: Path, common: PayloadOptions
) -> PayloadOptions:
    own = read_options(PayloadOptions, {"api": common.api, **given}, where, folder)
    headers = (*common.headers, *read_headers(section.headers, folder), *_key_header(section, folder))
    names = [line.partition(":")[0].lower() for line in headers]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"the header {min(twice)!r} is there twice: see key, headers and --header")
    path = None if own.path is None else checked_path(own.path)
    options = msgspec.structs.replace(own, path=path, headers=headers)
    check_options(options)
    return options


def _key_header(section: StreamSection, folder: Path) -> tuple[str, ...]:
    if section.key is not None and section.key_file is not None:
        raise UsageError("key and key_file exclude each other: each is the whole key")
    if section.key is not None:
        return (_bearer(fill_variables(section.key)),)
    if section.key_file is None:
        return ()
    path = folder / section.key_file
    try:
        return (_bearer(path.read_text(encoding="utf-8")),)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"key_file: {path} cannot be read: {why}") from None


def _bearer(key: str) -> str:
    if not key.strip():
        raise UsageError("the key is empty")
    return as_header("Authorization", f"Bearer {key.strip()}")


def _checked_seed(seed: int) -> int:
    if seed < 0:
        raise ConfigError(f"the seed is {seed}: give a whole number from 0")
    return seed


def _checked_weight(weight: float) -> float:
    if not 0 < weight < float("inf"):
        raise UsageError(f"the weight is {weight:g}: give a number above 0")
    return weight


def _objective(text: str, section: StreamSection) -> Objective:
    objective = parse_objective(text)
    if objective.tenant is not None or objective.model is not None:
        raise UsageError(
            f"{text!r}: the objective of a stream is for its own requests: leave tenant and model out"
        )
    whose = f"tenant={section.tenant}:" if section.tenant else ""
    whole = parse_objective(f"{whose}model={section.model}:{text.strip()}")
    return msgspec.structs.replace(whole, tenant=section.tenant)  # without one it is not everybody's


def _check_lanes(streams: tuple[Stream, ...]) -> None:
    if len(streams) > MOST_LANES:
        raise ConfigError(f"{len(streams)} streams, the most is {MOST_LANES}")
    seen: dict[Lane, int] = {}
    for index, stream in enumerate(streams):
        first = seen.setdefault(stream.lane, index)
        if first != index:
            raise ConfigError(
                f"streams.{first} and streams.{index} are both {stream.lane}: give one another tenant, or "
                "another model"
            )
