"""
Rows for templates, which unlike a model's inputs may hold anything that JSON can say.

``.jsonl``: a value per line. ``.csv``: by column where the first line names the columns, else a list
of numbers. ``.npz``: by array. A folder: a file per row, as ``name`` and ``base64``.
"""

from __future__ import annotations

import base64
import csv
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.errors import UsageError
from streambox.loadgen.dataset import (
    EXPECTED,
    LABEL,
    check_count,
    check_numbers,
    load_arrays,
    reader_for,
    reading,
)
from streambox.loadgen.folder import list_files

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES: Final = 1 << 30  # of a folder's files together
_MOST_DIGITS: Final = 18  # a longer one is a name, not a quantity
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


class Records(msgspec.Struct, frozen=True):
    """
    N rows. ``expected``: the right answer to each, a number or several, or a text.

    ``labels``: its class, a number or a text. None where the dataset does not tell.
    """

    rows: list[Any]
    expected: list[Any] | None = None
    labels: list[Any] | None = None


def read_records(path: Path) -> Records:
    """Raises UsageError, with file, line and reason."""
    if path.is_dir():
        return _read_folder(path)
    reader = reader_for(path, {".npz": _read_npz, ".csv": _read_csv, ".jsonl": _read_jsonl})
    with reading(path):
        records = reader(path)
    check_count(path, len(records.rows))
    return records


def _read_folder(path: Path) -> Records:
    files = list_files(path)
    size_bytes = sum(file.stat().st_size for file in files.paths)
    if size_bytes > _MOST_BYTES:
        raise UsageError(f"{path}: its files hold {size_bytes} bytes, the most is {_MOST_BYTES}")
    rows = []
    for file in files.paths:
        with reading(file):
            content = base64.b64encode(file.read_bytes()).decode()
        rows.append({"name": str(file.relative_to(path)), "base64": content})
    return Records(rows, None, files.labels)


def _read_npz(path: Path) -> Records:
    loaded = load_arrays(path)
    for name, array in loaded.items():
        if array.dtype.kind == "f":
            check_numbers(f"{path}: array {name!r}", array)
    arrays = {name: array.tolist() for name, array in loaded.items()}
    expected, labels = arrays.pop(EXPECTED, None), arrays.pop(LABEL, None)
    if not arrays:
        return Records([])
    rows = [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    return Records(rows, expected, labels)


def _read_csv(path: Path) -> Records:
    rows: list[Any] = []
    names: list[str] | None = None
    with path.open(newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            values = [_cell(cell) for cell in cells]
            if number == 1 and any(isinstance(value, str) for value in values):
                names = [cell.strip() for cell in cells]
            elif names is not None and values:
                if len(values) != len(names):
                    raise UsageError(f"{path}:{number}: {len(values)} cells under {len(names)} names")
                rows.append(dict(zip(names, values, strict=True)))
            elif values:
                rows.append(values)
    return _with_answers(path, rows)


def _read_jsonl(path: Path) -> Records:
    rows: list[Any] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                rows.append(msgspec.json.decode(line))
            except (msgspec.DecodeError, RecursionError) as error:
                raise UsageError(f"{path}:{number}: not JSON: {error}") from None
    return _with_answers(path, rows)


def _with_answers(path: Path, rows: list[Any]) -> Records:
    answers = {}
    for name in (EXPECTED, LABEL):
        given = [row[name] for row in rows if isinstance(row, dict) and name in row]
        if given and len(given) != len(rows):
            raise UsageError(
                f"{path}: {len(given)} of {len(rows)} rows have {name!r}: give it to all or none"
            )
        answers[name] = given or None
    return Records(rows, answers[EXPECTED], answers[LABEL])


def _cell(text: str) -> Any:
    """A number where it is written as JSON writes one; with leading zeros, say, it is text."""
    text = text.strip()
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > _MOST_DIGITS:
        return text
    return int(text) if match[2] is None and match[3] is None else float(text)
