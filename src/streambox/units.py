"""Quantities as people write them: ``5ms``, ``16MiB``, ``500/s``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUANTITY: Final = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-zµ/]*)\s*$")
_LIMIT: Final = 2**63  # what the kernel's clocks and files can count
_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_PER_S: Final = {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600}


class Duration(int):
    """Nanoseconds. Its own type so that a configuration field can say that it takes ``5ms``."""

    __slots__ = ()


class Size(int):
    """Bytes, written ``16MiB``."""

    __slots__ = ()


class Rate(float):
    """Per second, written ``500/s``."""

    __slots__ = ()


def parse_duration(text: object) -> int:
    """``5ms``, ``1.5s``, ``2m``, ``1h``, ``250us`` as nanoseconds. Raises UsageError."""
    number, unit = _split(text, "a duration", "5ms, 1.5s, 2m", _NS)
    return round(number * unit)


def parse_size(text: object) -> int:
    """``64KiB``, ``16MiB``, ``4GiB``, ``1000B`` as bytes. Raises UsageError."""
    number, unit = _split(text, "a size", "64KiB, 16MiB, 4GiB", _BYTES)
    return round(number * unit)


def parse_rate(text: object) -> float:
    """``500/s``, ``30/m`` as events per second. Raises UsageError."""
    number, unit = _split(text, "a rate", "500/s, 30/m", _PER_S)
    return number * unit


def format_duration(ns: int) -> str:
    """The shortest exact form: 5000000 is ``5ms``."""
    for unit in ("h", "m", "s", "ms", "us"):
        if ns and ns % _NS[unit] == 0:
            return f"{ns // _NS[unit]}{unit}"
    return f"{ns}ns" if ns else "0s"


def format_size(size_bytes: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def format_rate(per_s: float) -> str:
    """``500/s``; what is less than one a second by the minute or the hour, where that is a whole number."""
    for unit in ("/s", "/m", "/h"):
        count = per_s / _PER_S[unit]
        if count >= 1 and abs(count - round(count)) < 1e-9 * count:
            return f"{round(count)}{unit}"
    return f"{Decimal(repr(float(per_s))):f}/s"


def _split(text: object, what: str, examples: str, units: Mapping[str, float]) -> tuple[float, float]:
    match = _QUANTITY.match(str(text))
    if match is None:
        raise UsageError(f"{text!r} is not {what}: write it as {examples}")
    number, unit = match.groups()
    if unit not in units:
        problem = f"has the unknown unit {unit!r}" if unit else "has no unit"
        raise UsageError(f"{text!r} {problem}: write {what} as {examples}")
    if float(number) * units[unit] >= _LIMIT:
        raise UsageError(f"{number[:20]}… is too large to be {what}")
    return float(number), units[unit]
