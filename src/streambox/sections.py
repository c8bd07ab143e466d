"""
What YAML files of ours have in common: typed sections, ``${VAR}`` from the environment, units.

A section is a ``Section``; ``check_keys`` refuses a key that nobody reads, and names the nearest.
"""

from __future__ import annotations

import difflib
import os
import re
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from streambox.errors import ConfigError, UsageError
from streambox.units import (
    Duration,
    Rate,
    Size,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


class Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Common to all sections: a key nobody reads is an error, not a silence."""


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, which takes the last of two equal keys in silence; this one does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{where}not valid YAML: {problem}") from None


# ---- ${VAR} --------------------------------------------------------------------------------------

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::((?:(?!\$\{)[^}])*))?\}")


def expand(node: Any, where: str = "") -> Any:
    """Fill in variables in every string; one that is nothing but a variable is read as YAML (a port)."""
    if isinstance(node, dict):
        return {key: expand(value, f"{where}.{key}" if where else str(key)) for key, value in node.items()}
    if isinstance(node, list):
        return [expand(value, f"{where}.{index}") for index, value in enumerate(node)]
    if not isinstance(node, str) or "${" not in node:
        return node
    try:
        filled = fill_variables(node)
        return parse_yaml(filled) if _VARIABLE.fullmatch(node) else filled
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def fill_variables(text: str) -> str:
    if "${" in _VARIABLE.sub("", text):
        raise ConfigError(f"{text!r} is not a variable: write ${{NAME}} or ${{NAME:default}}")
    return _VARIABLE.sub(_lookup, text)


def _lookup(match: re.Match[str]) -> str:
    name, default = match.groups()
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigError(f"${{{name}}} is not set in the environment: set it, or write ${{{name}:default}}")
    return value


# ---- units and checks ----------------------------------------------------------------------------


def convert_unit(kind: type, value: Any) -> Any:
    try:
        if kind is Duration:
            return Duration(parse_duration(value))
        if kind is Size:
            return Size(parse_size(value))
        if kind is Rate:
            return Rate(parse_rate(value))
    except UsageError as error:
        raise ValueError(str(error)) from None
    raise TypeError(
        f"no conversion to {kind.__name__}"
    )  # pragma: no cover - a section with a new kind of field


def show_unit(value: Any) -> str:
    if isinstance(value, Rate):
        return format_rate(value)
    return format_duration(value) if isinstance(value, Duration) else format_size(value)


def check_keys(node: Any, section: Any, where: str) -> None:
    """Walk *node* beside its type; refuse the first key that its section does not have."""
    struct = _struct_of(section)
    if struct is not None and isinstance(node, dict):
        hints = get_type_hints(struct)
        known = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))
        known.pop("folder", None)  # not the file's to say
        for key, value in node.items():
            path = f"{where}.{key}" if where else str(key)
            if key not in known:
                raise unknown_key(str(key), path, set(known))
            check_keys(value, hints[known[key]], path)
        return
    inner = next((arg for arg in get_args(section) if _contains_struct(arg)), None)
    if inner is None:
        _check_choice(node, section, where)
        return
    if get_origin(section) in (Union, UnionType):
        check_keys(node, inner, where)
        return
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(node, dict):
            _check_name(key, where)
        check_keys(value, _value_type(inner), f"{where}.{key}")


def _check_name(name: object, where: str) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"{where}.{name}: a name is text: write {str(name)!r} in quotes")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ConfigError(f"{where}: {name!r}: a model's name is letters, digits, '_', '.' and '-'")


def _check_choice(value: Any, section: Any, where: str) -> None:
    """Refuse a word that is none of those that *section*, a ``Literal`` or one among others, takes."""
    words = [word for arg in (section, *get_args(section)) for word in get_args(arg) if isinstance(word, str)]
    if words and isinstance(value, str) and value not in words:
        raise ConfigError(f"{where}: {value!r} is none of {', '.join(words)}")


def _struct_of(section: Any) -> Any:
    return section if isinstance(section, type) and issubclass(section, msgspec.Struct) else None


def _contains_struct(section: Any) -> bool:
    return _struct_of(section) is not None or any(_contains_struct(arg) for arg in get_args(section))


def _value_type(section: Any) -> Any:
    """The element type of ``dict[str, T]`` or ``tuple[T, ...]``; a struct is its own."""
    if _struct_of(section) is not None:
        return section
    return next(_value_type(arg) for arg in get_args(section) if _contains_struct(arg))


def unknown_key(key: str, path: str, known: set[str]) -> ConfigError:
    nearest = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys here: {', '.join(sorted(known))}"
    return ConfigError(f"unknown key {path!r}: {hint}")


def plain_message(error: msgspec.ValidationError, where: str = "") -> str:
    """msgspec's ``message - at `$.batcher.port``` with the key first, as our other messages have it."""
    message, _, path = str(error).replace(" | null`", "`").partition(" - at `$")
    key = (where + re.sub(r"\[(\d+)\]", r".\1", path.rstrip("`"))).lstrip(".")
    return f"{key}: {message[0].lower()}{message[1:]}" if key else message
