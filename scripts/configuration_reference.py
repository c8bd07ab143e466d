"""
Write docs/configuration.md: every key of the configuration, from the types that read it.

    python scripts/configuration_reference.py
"""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from streambox import config, tenancy
from streambox.units import Duration, Rate, Size, format_duration, format_size

TARGET = Path(__file__).parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

One YAML file: `--config FILE`, else the one that `$CONFIG_FILE` names, else `$SERVERLESS_ENV.yaml`; with
none of them the defaults below hold. `${VAR}` and `${VAR:default}` are filled in from the environment. An
unknown key is an error that names the nearest known one. Relative paths and `module:name` references
resolve from the file's own folder, then from `PYTHONPATH`.

`streambox config check FILE` says whether a file is valid; `streambox config show` prints what is in effect.

Durations are written `250us`, `5ms`, `1.5s`, `2m`, `1h`; sizes `64KiB`, `16MiB`, `4GiB`.
Rates are written `500/s`, `30/m`. The port is `--port`, else `batcher.port`, else `gin.port`, else 8080.
Without a `models` section the built-in `digits` and `resnet50` are served. Without `tenants` everybody is the
same one, `default`, and the server listens on loopback only: [tenants](tenants.md).

`streambox serve --set batcher.time_window=5ms --set models.NAME.instances=2` puts single settings in place of
the file's; a value is YAML.

*This page is written by `scripts/configuration_reference.py` from the types in `src/streambox/config.py` and
`src/streambox/tenancy.py`.*
"""

SECTIONS = (
    ("batcher", config.BatcherSection),
    ("batcher.tls", config.TlsSection),
    ("models.NAME", config.ModelSection),
    ("models.NAME.inputs, models.NAME.outputs", config.TensorSection),
    ("tenants", tenancy.TenantSection),
    ("tenants.keys", tenancy.KeySection),
    ("load_generator", config.LoadGeneratorSection),
    ("gin", config.GinSection),
    ("log", config.LogSection),
)

_NAMES = {
    Duration: "duration",
    Size: "size",
    Rate: "rate",
    config.TensorSection: "tensor",
    config.TlsSection: "section",
    tenancy.KeySection: "key",
    str: "text",
    int: "whole number",
    float: "number",
    bool: "boolean",
}


def render() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(name, section) for name, section in SECTIONS)])


def _section(name: str, section: type[msgspec.Struct]) -> str:
    hints = get_type_hints(section)
    rows = [
        f"| `{field.encode_name}` | {_kind(hints[field.name])} | {_default(field)} |"
        for field in msgspec.structs.fields(section)
    ]
    title = ", ".join(f"`{part}`" for part in name.split(", "))
    prose = inspect.cleandoc(section.__doc__ or "").replace("``", "`")
    return "\n".join([f"## {title}", "", prose, "", "| key | takes | default |", "|---|---|---|", *rows, ""])


def _kind(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(hint) if part is not type(None))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if origin is tuple:
        return f"list of {_kind(get_args(hint)[0])}s"
    return _NAMES[hint]


def _default(field: msgspec.structs.FieldInfo) -> str:
    default = field.default
    if default is msgspec.NODEFAULT:
        return "*required*"
    if default is None or default == ():
        return "unset"
    if isinstance(default, Duration):
        return f"`{format_duration(default)}`"
    if isinstance(default, Size):
        return f"`{format_size(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
