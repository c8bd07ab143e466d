"""
Write the tables of docs/mixes.md: every key of a mix file, from the types that read it.

    python scripts/mix_reference.py
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from configuration_reference import _default, _kind

from streambox.loadgen.keyed import keys_of
from streambox.loadgen.mix_file import MixSection, StreamSection
from streambox.loadgen.payload import PayloadOptions
from streambox.loadgen.plan import WorkloadOptions
from streambox.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).parent.parent / "docs" / "mixes.md"
BEGIN = "<!-- From here on it is written by scripts/mix_reference.py. -->\n"

SECTIONS = (
    ("The mix", MixSection, ("streams",)),
    ("A stream: whose it is", StreamSection, ()),
    ("A stream: what it sends", PayloadOptions, ("headers",)),
    ("A stream: when it sends", WorkloadOptions, ()),
)


# What a stream has where the command line has something else.
_OF_A_STREAM = {
    (WorkloadOptions, "seed"): "made of the mix's",
    (WorkloadOptions, "duration"): "as long as the mix, else `30s`",
    (WorkloadOptions, "type"): "`bursty`, with another key of a pattern",
    (StreamSection, "tenant"): "nobody's",
}


def render(page: str) -> str:
    """*page* with its tables as the types are now."""
    head, _, _ = page.partition(BEGIN)
    return head + BEGIN + "".join(_section(*section) for section in SECTIONS)


def _section(title: str, kind: type[msgspec.Struct], left_out: tuple[str, ...]) -> str:
    prose = inspect.cleandoc(kind.__doc__ or "").replace("``", "`")
    for each in msgspec.structs.fields(kind):
        key = next(key for key, other in keys_of(kind).items() if other.name == each.name)
        prose = prose.replace(f"`{each.name}`", f"`{key}`")
    rows = [
        f"| `{key}` | {_takes(each)} | {_OF_A_STREAM.get((kind, key)) or _unless(each)} |"
        for key, each in keys_of(kind).items()
        if key not in left_out
    ]
    table = ["| key | takes | unless given |", "|---|---|---|", *rows]
    return "\n".join(["", f"## {title}", "", prose, "", *table, ""])


def _takes(each: msgspec.structs.FieldInfo) -> str:
    if each.name.endswith("_ns"):
        return "duration"
    if each.name.endswith("_per_s"):
        return "rate, `500/s`"
    inner = next(_structs(each.type), None)
    if inner is not None:
        first, *others = (f"`{key}`" for key in keys_of(inner))
        return f"its {first}, or keys: {first}, {', '.join(others)}"
    return _kind(each.type)


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            yield each


def _unless(each: msgspec.structs.FieldInfo) -> str:
    if each.name.endswith("_ns") and isinstance(each.default, int):
        return f"`{format_duration(each.default)}`"
    return "unset" if isinstance(each.default, msgspec.Struct) or not each.default else _default(each)


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
