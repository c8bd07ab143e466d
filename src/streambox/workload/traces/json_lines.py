"""What formats of a JSON object per line share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from streambox.workload.traces.base import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable

Row = TypeVar("Row", bound=msgspec.Struct)


def decoder(row: type[Row]) -> Callable[[bytes], Row]:
    """Reads a line as *row*; what it raises is a BadRow."""
    decode = msgspec.json.Decoder(row).decode

    def decoded(line: bytes) -> Row:
        try:
            return decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRow(str(error)) from None
        except RecursionError:
            raise BadRow("its JSON is nested too deeply") from None

    return decoded


def has_keys(line: bytes, *keys: str) -> bool:
    """Whether *line* is a JSON object with all of *keys*."""
    try:
        tree = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(tree, dict) and all(key in tree for key in keys)
