"""
What to send, from a file: rows of inputs, and what their answers should be.

``.npz``: an array [N, ...] per input; ``expected`` [N, K] or ``label`` [N] beside them.
``.csv``: a row of numbers per request; a header line may name a ``label`` column.
``.jsonl``: ``{"vector": [...]}`` or ``{"inputs": {name: [...]}}`` per line, with
``"expected": [...]`` or ``"label": n`` beside it.
"""

from __future__ import annotations

import contextlib
import csv
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import numpy as np

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Array = np.ndarray[Any, np.dtype[Any]]

T = TypeVar("T")

SOLE: Final = ""  # the input of a row that names none: the model's only one
EXPECTED: Final = "expected"
LABEL: Final = "label"
MOST_ROWS: Final = 1_000_000


class Dataset(msgspec.Struct, frozen=True):
    """
    N rows. ``inputs[name][i]`` is row i's array; the name is ``SOLE`` where the file gives none.

    ``expected`` (N, K): the numbers a right answer holds, to a tolerance. ``labels`` (N,):
    the index of its largest number.
    """

    inputs: dict[str, list[Array]]
    expected: Array | None = None
    labels: Array | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


def read_dataset(path: Path) -> Dataset:
    """Raises UsageError, with file, line and reason."""
    readers = {".npz": _read_npz, ".csv": _read_csv, ".jsonl": _read_jsonl}
    reader = reader_for(path, readers)
    with reading(path):
        dataset = reader(path)
    check_count(path, len(dataset) if dataset.inputs else 0)
    return dataset


def reader_for(path: Path, readers: Mapping[str, Callable[[Path], T]]) -> Callable[[Path], T]:
    """By the ending of the file's name. Raises UsageError."""
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: a dataset is a file ending in {', '.join(readers)}, or a folder of images")
    return reader


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong while a dataset is read becomes a UsageError."""
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"{path}: no such dataset") from None
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def check_count(path: Path, count: int) -> None:
    if not count:
        raise UsageError(f"{path}: holds no rows")
    if count > MOST_ROWS:
        raise UsageError(f"{path}: holds {count} rows, the most is {MOST_ROWS}")


def load_arrays(path: Path) -> dict[str, Array]:
    """An archive's arrays, equally long. Raises UsageError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"{path}: its arrays differ in their number of rows: {lengths}")
    return arrays


def _read_npz(path: Path) -> Dataset:
    arrays = load_arrays(path)
    expected, labels = arrays.pop(EXPECTED, None), arrays.pop(LABEL, None)
    for name, array in arrays.items():
        check_numbers(f"{path}: array {name!r}", array)
    inputs = {name: list(array) for name, array in arrays.items()}
    if expected is not None:
        expected = expected.reshape(len(expected), -1)
    return Dataset(inputs, expected, None if labels is None else labels.astype(np.int64))


def _read_csv(path: Path) -> Dataset:
    rows: list[Array] = []
    labels: list[int] = []
    label_column: int | None = None
    with path.open(newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if not cells:
                continue
            try:
                values = [float(cell) for cell in cells]
            except ValueError:
                if number == 1:  # a header
                    names = [cell.strip().lower() for cell in cells]
                    label_column = names.index(LABEL) if LABEL in names else None
                    continue
                raise UsageError(f"{path}:{number}: not a row of numbers") from None
            if label_column is not None:
                if label_column >= len(values) or not values[label_column].is_integer():
                    raise UsageError(f"{path}:{number}: no whole number in the column {LABEL!r}")
                labels.append(int(values.pop(label_column)))
            rows.append(np.array(values))
            check_numbers(f"{path}:{number}", rows[-1])
    return Dataset({SOLE: rows}, None, np.array(labels) if label_column is not None else None)


def _read_jsonl(path: Path) -> Dataset:
    inputs: dict[str, list[Array]] = {}
    answers: dict[str, list[Any]] = {EXPECTED: [], LABEL: []}
    count = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            row = _decode(where, line)
            for name, values in _inputs_of(where, row).items():
                column = inputs.setdefault(name, [])
                if len(column) != count:
                    raise UsageError(f"{where}: input {name!r} is not in the rows before")
                column.append(values)
            count += 1
            if any(len(column) != count for column in inputs.values()):
                raise UsageError(f"{where}: an input of the rows before is missing")
            for name, given in answers.items():
                if name in row:
                    given.append(row[name])
    for name, given in answers.items():
        if given and len(given) != count:
            raise UsageError(f"{path}: {len(given)} of {count} rows have {name!r}: give it to all or none")
    return Dataset(inputs, _expected(path, answers[EXPECTED]), _labels(path, answers[LABEL]))


def _decode(where: str, line: bytes) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise UsageError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object, got {type(row).__name__}")
    return row


def _inputs_of(where: str, row: dict[str, Any]) -> dict[str, Array]:
    given = row.get("inputs", {SOLE: row["vector"]} if "vector" in row else None)
    if not isinstance(given, dict) or not given:
        raise UsageError(f'{where}: expected "vector": [numbers] or "inputs": {{name: [numbers]}}')
    found = {}
    for name, values in given.items():
        try:
            found[name] = np.array(values)
        except ValueError:
            raise UsageError(f"{where}: input {name!r} is not rectangular") from None
        check_numbers(f"{where}: input {name!r}", found[name])
    return found


def _expected(path: Path, rows: list[Any]) -> Array | None:
    if not rows:
        return None
    try:
        expected = np.array(rows, dtype=np.float64)
        return expected.reshape(len(rows), -1)
    except (ValueError, TypeError):
        raise UsageError(f"{path}: {EXPECTED!r} is not as many numbers in every row") from None


def _labels(path: Path, rows: list[Any]) -> Array | None:
    if not rows:
        return None
    if not all(isinstance(label, int) and not isinstance(label, bool) and label >= 0 for label in rows):
        raise UsageError(f"{path}: {LABEL!r} is not a whole number from 0 in every row")
    return np.array(rows, dtype=np.int64)


def check_numbers(where: str, array: Array) -> None:
    if array.dtype.kind not in "biuf" or not array.size:
        raise UsageError(f"{where}: expected numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError(f"{where}: holds a NaN or an infinity")
