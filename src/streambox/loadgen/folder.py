"""
A dataset that is a folder: a file a row.

Classes: ``labels.csv`` in it (a line ``FILE,LABEL`` for each), else the name of each file's
subfolder, as a number where all the names are numbers, else as its place among them by name.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final, NamedTuple

from streambox.errors import UsageError
from streambox.loadgen.dataset import check_count, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS: Final = "labels.csv"


class Files(NamedTuple):
    """In the order of their paths. ``labels``: the class of each; None where nothing tells."""

    paths: list[Path]
    labels: list[int] | None


def list_files(folder: Path, endings: Sequence[str] | None = None) -> Files:
    """The files in *folder* and below, with any of *endings*. Raises UsageError."""
    with reading(folder):
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LABELS)
    paths = [
        path
        for path in found
        if not path.name.startswith(".") and (endings is None or path.suffix.lower() in endings)
    ]
    if found and not paths and endings is not None:
        raise UsageError(f"{folder}: holds no file that ends in {', '.join(endings)}")
    check_count(folder, len(paths))
    table = folder / LABELS
    return Files(paths, _listed(table, paths) if table.is_file() else _by_subfolder(folder, paths))


def _by_subfolder(folder: Path, paths: Sequence[Path]) -> list[int] | None:
    names = [path.relative_to(folder).parts[:-1] for path in paths]
    if not any(names):
        return None
    if not all(names):
        astray = next(path for path, name in zip(paths, names, strict=True) if not name)
        raise UsageError(f"{astray}: in no subfolder, as others are: {folder / LABELS} can tell its class")
    classes = sorted({name[0] for name in names})
    if all(name.isascii() and name.isdigit() for name in classes):
        return [int(name[0]) for name in names]
    number = {name: index for index, name in enumerate(classes)}
    return [number[name[0]] for name in names]


def _listed(table: Path, paths: Sequence[Path]) -> list[int]:
    label_of: dict[str, int] = {}
    with reading(table), table.open(newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if not cells or (number == 1 and cells[-1].strip().lower() == "label"):
                continue
            if len(cells) != 2 or not cells[1].strip().isdecimal():
                raise UsageError(f"{table}:{number}: expected FILE,LABEL, the label a whole number from 0")
            label_of[cells[0].strip()] = int(cells[1])
    relative = [str(path.relative_to(table.parent)) for path in paths]
    for name in relative:
        if name not in label_of:
            raise UsageError(f"{table}: says nothing of {name}")
    return [label_of[name] for name in relative]
