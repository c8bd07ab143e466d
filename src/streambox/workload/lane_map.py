"""The file that says, function by function, for which model and tenant its requests are."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import yaml

from streambox.errors import UsageError
from streambox.workload.schedule import Lane, parse_lane

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NOWHERE: Final = frozenset({"", "~", "null"})


def read_map(path: Path, model: str, functions: Sequence[str]) -> list[Lane | None]:
    """
    The lanes of *functions* by the YAML or JSON file *path*; None where they are dropped.

    The file is ``{function: MODEL/TENANT}`` or ``{function: {model: …, tenant: …}}``, where a
    function may be a pattern, such as ``"a3f*"``; the first that fits counts, after names in
    full. What is mapped to null, or what no key is about, is dropped. *model* is for whom
    none is named.

    Raises UsageError where the file is not that, or about none of *functions*.
    """
    lanes = {key: _lane_of(path, key, value, model) for key, value in _mapping(path).items()}
    patterns = [key for key in lanes if any(sign in key for sign in "*?[")]
    keys = [_key_for(function, lanes, patterns) for function in functions]
    if functions and all(key is None for key in keys):
        raise UsageError(f"{path}: {next(iter(lanes))!r} is no function of the trace, nor is any other key")
    return [None if key is None else lanes[key] for key in keys]


def read_rule_file(path: Path) -> bytes:
    """Its content. Raises UsageError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"--map {path}: neither one, own, hash or top-k:K, nor a file that exists") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--map {path}: cannot be read: {error}") from None


def _mapping(path: Path) -> dict[str, Any]:
    content = read_rule_file(path)
    try:
        # To this loader every scalar is text, so that a function called 1e5 keeps its name.
        given = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict) or not given or not all(isinstance(key, str) for key in given):
        raise UsageError(f"{path}: expected a mapping from functions to MODEL/TENANT")
    return given


def _lane_of(path: Path, function: str, value: object, model: str) -> Lane | None:
    if isinstance(value, str):
        return None if value in _NOWHERE else parse_lane(value, model)
    if isinstance(value, dict) and value.keys() <= {"model", "tenant"}:
        named, tenant = value.get("model", ""), value.get("tenant", "")
        if isinstance(named, str) and isinstance(tenant, str):
            return Lane(named or model, tenant)
    raise UsageError(f"{path}: {function[:40]!r} is mapped to no MODEL/TENANT")


def _key_for(function: str, keys: dict[str, Any], patterns: Sequence[str]) -> str | None:
    if function in keys:
        return function
    return next((pattern for pattern in patterns if fnmatchcase(function, pattern)), None)
