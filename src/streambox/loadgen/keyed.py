"""
Options as a YAML file writes them: any struct of ours, without its being told.

A field's key is its name without the unit: ``duration_ns`` is written ``duration: 60s``, ``rate_per_s``
``rate: 500/s``. A field that is itself a struct takes its own keys, or the value of its first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import msgspec

from streambox.errors import ConfigError, UsageError
from streambox.sections import plain_message, unknown_key
from streambox.units import parse_duration, parse_rate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)

_KEYS: Final = {"length": "len"}  # a name that Python has taken
_FILES: Final = ("dataset", "template", "workload_file", "workload_dir")


def keys_of(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of *kind* by the keys that they are written with."""
    return {key_of(each.name): each for each in msgspec.structs.fields(kind)}


def read_options(kind: type[T], tree: Mapping[str, Any], where: str, folder: Path) -> T:
    """
    *tree* as a *kind*; *where* it stands in its file, for messages.

    Relative names of files are below *folder*. Raises ConfigError, naming the key.
    """
    fields, values = keys_of(kind), {}
    for key, given in tree.items():
        path = f"{where}.{key}"
        if key not in fields:
            raise unknown_key(key, path, set(fields))
        values[fields[key].name] = _value(fields[key], given, path, folder)
    missing = [key for key, each in fields.items() if each.required and each.name not in values]
    if missing:
        raise ConfigError(f"{where}: {' and '.join(missing)} missing")
    return kind(**values)


def key_of(name: str) -> str:
    return _KEYS.get(name, name.removesuffix("_per_s").removesuffix("_ns"))


def _value(each: msgspec.structs.FieldInfo, given: Any, path: str, folder: Path) -> Any:
    inner = _struct_of(each.type)
    if inner is not None:
        tree = given if isinstance(given, dict) else {next(iter(keys_of(inner))): given}
        paths = {key: _below(folder, value) if key == "path" else value for key, value in tree.items()}
        return read_options(inner, paths, path, folder)
    try:
        if each.name.endswith("_ns") and given is not None:
            return parse_duration(given)
        if each.name.endswith("_per_s") and isinstance(given, str):
            return parse_rate(given)
        value = msgspec.convert(given, each.type)
    except msgspec.ValidationError as error:
        raise ConfigError(plain_message(error, path) if "$" in str(error) else _told(path, error)) from None
    except UsageError as error:
        raise ConfigError(f"{path}: {error}") from None
    return _below(folder, value) if each.name in _FILES else value


def _told(path: str, error: Exception) -> str:
    message = str(error)
    return f"{path}: {message[:1].lower()}{message[1:]}"


def _below(folder: Path, name: Any) -> Any:
    return str(folder / name) if isinstance(name, str) else name


def _struct_of(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that a field holds, alone or as one of several."""
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None
