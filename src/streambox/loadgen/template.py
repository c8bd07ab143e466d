"""
Bodies from a text with fields, for endpoints whose API is none of ours.

| field | becomes |
|---|---|
| ``{{id}}`` | the request's id, ten digits; filled in on sending, as often as it stands there |
| ``{{model}}`` | the model's name |
| ``{{row}}``, ``{{row.name}}``, ``{{row[3]}}`` | the dataset's row, or what is at that path in it |
| ``{{random.int(1,99)}}`` | a whole number, both bounds included; with a third number a list of so many |
| ``{{random.float(0,1)}}`` | a number, likewise |

Everything but the id is filled in before the clock starts. In a JSON template a value is
written as JSON, text without its quotes: write ``"{{row.name}}"``. Elsewhere text stands as it is.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.bodies import PLACEHOLDER, Body
from streambox.loadgen.json_path import follow, parse_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streambox.loadgen.json_path import Steps

ID_FIELD: Final = re.compile(r"\{\{\s*id\s*\}\}")
WITHOUT_ROWS: Final = 256  # bodies of a template whose random fields alone make them differ
_FIELD: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NUMBER: Final = r"\s*(-?\d+(?:\.\d+)?)\s*"
_RANDOM: Final = re.compile(rf"random\.(int|float)\({_NUMBER},{_NUMBER}(?:,\s*(\d+)\s*)?\)")
_KNOWN: Final = ("id", "model", "row", "random.int(1,99)", "random.float(0,1)")
_MOST_NUMBERS: Final = 1 << 20


class Draw(NamedTuple):
    """A random number, or a list of ``numbers`` of them."""

    kind: str
    low: float
    high: float
    numbers: int | None

    def value(self, random: np.random.Generator) -> Any:
        if self.kind == "float":
            return _plain(random.uniform(self.low, self.high, self.numbers))
        return _plain(random.integers(int(self.low), int(self.high), self.numbers, endpoint=True))


class Field(NamedTuple):
    """``what``: the id or the model by name, a path into the row, or a drawing."""

    what: str | Steps | Draw


class Template:
    """A text taken apart. Raises UsageError, with the line, for a field that there is not."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._parts: list[str | Field] = []
        end = 0
        for match in _FIELD.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            self._parts += [text[end : match.start()], _parse_field(match[1].strip(), f"{where}:{line}")]
            end = match.end()
        self._parts.append(text[end:])

    @property
    def needs_rows(self) -> bool:
        return any(isinstance(each.what, tuple) and not isinstance(each.what, Draw) for each in self._fields)

    @property
    def draws(self) -> bool:
        return any(isinstance(each.what, Draw) for each in self._fields)

    @property
    def _fields(self) -> Iterator[Field]:
        return (part for part in self._parts if isinstance(part, Field))

    def bodies(
        self, model: str, rows: Sequence[Any] | None, content_type: str, random: np.random.Generator
    ) -> Iterator[Body]:
        """One for each of *rows*; without rows as many as make sense. Raises UsageError."""
        if self.needs_rows and rows is None:
            raise UsageError(
                f"{self._where}: has {{{{row}}}} fields, and there is no dataset to take rows from"
            )
        is_json = "json" in content_type.lower()
        count = len(rows) if rows is not None else WITHOUT_ROWS if self.draws else 1
        for number in range(count):
            row = None if rows is None else rows[number]
            try:
                pieces = self._pieces(model, row, is_json, random)
            except (KeyError, IndexError, TypeError) as error:
                raise UsageError(
                    f"{self._where}: row {number + 1} of the dataset: {_absent(error)}"
                ) from None
            if is_json and not number:
                self._check_json(pieces)
            encoded = tuple(piece.encode() for piece in pieces)
            yield Body(encoded, (f"Content-Type: {content_type}",))

    def _pieces(self, model: str, row: Any, is_json: bool, random: np.random.Generator) -> list[str]:
        """The text between the ids."""
        pieces = [""]
        for part in self._parts:
            if isinstance(part, str):
                pieces[-1] += part
            elif part.what == "id":
                pieces.append("")
            else:
                pieces[-1] += _written(_value(part, model, row, random), is_json)
        return pieces

    def _check_json(self, pieces: list[str]) -> None:
        try:
            msgspec.json.decode(PLACEHOLDER.join(pieces))
        except (msgspec.DecodeError, RecursionError) as error:
            hint = ': write "{{id}}" in quotes' if _is_json("1".join(pieces)) else ""
            raise UsageError(f"{self._where}: filled in, it is no JSON: {error}{hint}") from None


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _parse_field(text: str, where: str) -> Field:
    if text in ("id", "model"):
        return Field(text)
    if re.match(r"row(?![\w-])", text):
        try:
            return Field(parse_path(text)[1:])
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
    match = _RANDOM.fullmatch(text)
    if match is None:
        close = difflib.get_close_matches(text, _KNOWN, n=1, cutoff=0.4)
        hint = f"did you mean {{{{{close[0]}}}}}?" if close else f"there are {', '.join(_KNOWN)}"
        raise UsageError(f"{where}: no field {{{{{text}}}}}: {hint}")
    kind, low, high, count = match.groups()
    draw = Draw(kind, float(low), float(high), None if count is None else int(count))
    if draw.low > draw.high or (draw.numbers or 0) > _MOST_NUMBERS:
        raise UsageError(f"{where}: {{{{{text}}}}}: the lower bound first, at most {_MOST_NUMBERS} numbers")
    if kind == "int" and not (draw.low.is_integer() and draw.high.is_integer() and abs(draw.high) < 2**53):
        raise UsageError(f"{where}: {{{{{text}}}}}: bounds of whole numbers are whole numbers")
    return Field(draw)


def _value(part: Field, model: str, row: Any, random: np.random.Generator) -> Any:
    what = part.what
    if isinstance(what, Draw):
        return what.value(random)
    return model if isinstance(what, str) else follow(row, what)


def _written(value: Any, is_json: bool) -> str:
    if isinstance(value, str):
        return msgspec.json.encode(value)[1:-1].decode() if is_json else value
    return msgspec.json.encode(value).decode()


def _plain(drawn: Any) -> Any:
    return drawn.tolist() if isinstance(drawn, np.ndarray | np.generic) else drawn


def _absent(error: Exception) -> str:
    return f"has no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
