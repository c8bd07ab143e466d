"""A sweep written down: a YAML file, typed, in place of or beneath the command line's options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from streambox.errors import ConfigError, UsageError
from streambox.experiments.sweep_plan import SweepOptions, make_axis, option_words, value_text
from streambox.sections import parse_yaml, unknown_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class SweepFile(msgspec.Struct, frozen=True, kw_only=True, rename={"settings": "set"}):
    """
    ``load``: options of every ``streambox load``, by name. ``vary``: lists of values, by axis.

    ``serve`` names a configuration, from the file's own folder; ``set`` are settings of it.
    """

    vary: dict[str, list[Any]] = {}
    load: dict[str, Any] = {}
    serve: str | None = None
    settings: dict[str, Any] = {}
    before: str | None = None
    repeats: int = 1
    seed: int = 0


def read_sweep(path: Path, load_options: Mapping[str, bool]) -> SweepOptions:
    """Raises UsageError, naming the file and the key."""
    try:
        return parse_sweep(path.read_text(encoding="utf-8"), path.parent, load_options)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def parse_sweep(text: str, folder: Path, load_options: Mapping[str, bool]) -> SweepOptions:
    """As ``read_sweep``, from YAML text."""
    file = _typed(parse_yaml(text))
    if file.repeats < 1 or file.seed < 0:
        raise ConfigError("repeats must be at least 1, and seed at least 0")
    return SweepOptions(
        axes=tuple(make_axis(name, values, load_options) for name, values in file.vary.items()),
        load=tuple(word for name, value in file.load.items() for word in _words(name, value, load_options)),
        serve=None if file.serve is None else str(folder / Path(file.serve).expanduser()),
        settings=tuple(f"{key}={value_text(value)}" for key, value in file.settings.items()),
        before=file.before,
        repeats=file.repeats,
        seed=file.seed,
    )


def _typed(tree: Any) -> SweepFile:
    if not isinstance(tree, dict):
        raise ConfigError("expected keys such as 'vary:' and 'load:'")
    known = set(SweepFile.__struct_encode_fields__)
    for key in tree:
        if key not in known:
            raise unknown_key(str(key), str(key), known)
    given = {key: value for key, value in tree.items() if value is not None}
    try:
        return msgspec.convert(given, SweepFile)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        raise ConfigError(f"{where.rstrip('`')}: {message[0].lower()}{message[1:]}") from None


def _words(name: str, value: Any, load_options: Mapping[str, bool]) -> Iterator[str]:
    """An option of ``load`` as its words on the command line; a list is one that is given several times."""
    option = name.replace("_", "-")
    if option not in load_options:
        raise unknown_key(option, f"load.{name}", set(load_options))
    for one in value if isinstance(value, list) else [value]:
        yield from option_words(option, value_text(one), flag=load_options[option])
