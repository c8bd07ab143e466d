"""Single settings in place of the configuration's: ``--set batcher.time_window=5ms``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from streambox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLE = "batcher.time_window=5ms or models.NAME.instances=2"


def apply_settings(tree: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """
    *tree*, the configuration as it was read, with each of *settings*, ``section.key=value``; the last wins.

    A value is YAML. Whether there is such a key is for the configuration to check.

    Raises ConfigError for what is no setting.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = setting_path(key)
        if not equals or len(path) < 2 or not all(path):
            raise ConfigError(f"{setting!r} is no setting: write one such as {_EXAMPLE}")
        tree = _with(tree, path, _value(setting, text), key)
    return tree


def setting_path(key: str) -> list[str]:
    """``models.my.model.instances`` as models, my.model, instances: a model's name may have dots."""
    parts = key.strip().split(".")
    if parts[0] == "models" and len(parts) > 3:
        return ["models", ".".join(parts[1:-1]), parts[-1]]
    return parts


def _value(setting: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{setting!r}: the value is not valid YAML: {problem}") from None


def _with(tree: dict[str, Any], path: list[str], value: Any, key: str) -> dict[str, Any]:
    """A copy of *tree* that has *value* at *path*."""
    first, *rest = path
    if not rest:
        return {**tree, first: value}
    inner = tree.get(first)
    if inner is None:
        inner = {}
    if not isinstance(inner, dict):
        raise ConfigError(f"{key!r} cannot be set: {first!r} holds a value, and no keys")
    return {**tree, first: _with(inner, rest, value, key)}
