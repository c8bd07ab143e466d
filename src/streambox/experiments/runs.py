"""The run directories that ``load --out`` leaves, read again, alone or as the repeats of one experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streambox.errors import UsageError
from streambox.experiments.blocks import Blocks, read_rows
from streambox.loadgen.summary import CLOSED_LOOP
from streambox.workload.schedule import read_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUMMARY: Final = "summary.json"
_OUTCOMES: Final = "outcomes.parquet"


class RunFolder(msgspec.Struct, frozen=True):
    """A run that is over: its ``summary.json``, the recipe of its schedule, its outcomes by block."""

    path: Path
    summary: dict[str, Any]
    recipe: dict[str, Any]
    blocks: Blocks

    @property
    def sha256(self) -> str | None:
        sha256: str | None = self.summary.get("schedule_sha256")
        return sha256

    @property
    def window_s(self) -> tuple[float, float]:
        start_s, end_s = self.summary["window_s"]
        return start_s, end_s


def find_runs(path: Path) -> list[Path]:
    """
    *path* itself where it is a run's folder, else the runs' folders right in it, in their order.

    Raises UsageError where it is neither.
    """
    if (path / _SUMMARY).is_file():
        return [path]
    if not path.exists():
        raise UsageError(f"{path}: no such folder")
    runs = [inner.parent for inner in path.glob(f"*/{_SUMMARY}")]
    if not runs:
        raise UsageError(f"{path}: no run is in it: name what was given to `load --out`")
    return sorted(runs, key=lambda run: (not run.name.isdigit(), run.name.zfill(9)))


def read_summary(path: Path) -> dict[str, Any]:
    """Raises UsageError."""
    try:
        summary = msgspec.json.decode((path / _SUMMARY).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path / _SUMMARY}: cannot be read: {error}") from None
    missing = [key for key in ("mode", "verdict", "window_s", "environment") if key not in summary]
    if missing:
        raise UsageError(
            f"{path / _SUMMARY}: {missing[0]!r} is missing: it was written by another version, or by hand"
        )
    return summary


def read_run(path: Path) -> RunFolder:
    """Raises UsageError. Cost: half a second a million requests."""
    import pyarrow as pa

    summary = read_summary(path)
    start_ns, end_ns = (round(edge_s * 1e9) for edge_s in summary["window_s"])
    try:
        blocks = Blocks.of(read_rows(path / _OUTCOMES), start_ns, max(end_ns, start_ns + 1))
    except FileNotFoundError:
        raise UsageError(f"{path / _OUTCOMES}: no such file") from None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{path / _OUTCOMES}: cannot be read: {str(error).partition(chr(10))[0]}") from None
    return RunFolder(path, summary, read_recipe(path / "schedule.parquet"), blocks)


def fault_of(summary: dict[str, Any]) -> str | None:
    """Why the figures of a run do not speak of the server; None where they do."""
    if summary.get("wrong"):
        return f"{summary['wrong']} of {summary['completed']} answers were wrong"
    if not summary["verdict"]["valid"]:
        return f"not valid: {'; '.join(summary['verdict']['reasons'])}"
    return None


def check_valid(runs: Sequence[RunFolder]) -> None:
    """Raises UsageError for the first that has a fault."""
    for run in runs:
        if (fault := fault_of(run.summary)) is not None:
            raise UsageError(f"{run.path}: {fault}; --allow-invalid compares it all the same")


def doubts(groups: Sequence[tuple[str, Sequence[RunFolder]]]) -> list[str]:
    """Why the runs of these groups, each with its label, may not be comparable: one line each."""
    runs = [(label, run) for label, group in groups for run in group]
    first_label, first = runs[0]
    found = [f"{run.path}: {fault}" for _, run in runs if (fault := fault_of(run.summary)) is not None]
    for label, group in groups[1:]:
        found += _different_workloads(first_label, groups[0][1], label, group)
    for label, run in runs:
        different = _differences(first.summary["environment"], run.summary["environment"])
        if different:
            found.append(f"{label} was measured in another environment than {first_label}: {different}")
    return list(dict.fromkeys(found))


def check_modes(runs: Sequence[RunFolder]) -> None:
    """Raises UsageError for a closed loop beside an open one: their latencies mean different things."""
    closed = [run for run in runs if run.summary["mode"] == CLOSED_LOOP]
    if closed and len(closed) < len(runs):
        raise UsageError(
            f"{closed[0].path} is a closed loop, which offers less to a slow server, and others are not: "
            "their latencies cannot be compared"
        )


def same_schedules(before: Sequence[RunFolder], after: Sequence[RunFolder]) -> bool:
    """Whether the two replay the same schedules over the same window, run by run."""
    return [(run.sha256, run.window_s) for run in before] == [
        (run.sha256, run.window_s) for run in after
    ] and None not in [run.sha256 for run in before]


def _different_workloads(
    label: str, group: Sequence[RunFolder], other_label: str, other: Sequence[RunFolder]
) -> list[str]:
    if same_schedules(group, other):
        return []
    recipes = [{**run.recipe, "seed": None} for run in (group[0], other[0])]
    different = _differences(*recipes)
    if different:
        return [f"{other_label} replays another workload than {label}: {different}"]
    windows = sorted({run.window_s for run in (*group, *other)})
    if len(windows) > 1:
        spans = " and ".join(f"{start:g}–{end:g} s" for start, end in windows)
        return [f"{other_label} and {label} are measured over different windows: {spans}"]
    if group[0].summary["mode"] == CLOSED_LOOP:
        return []
    return [
        f"{other_label} replays the workload of {label}, drawn with another seed: "
        "with the same schedules a smaller difference would be clear"
    ]


def _differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return ", ".join(f"{key} {after.get(key)!r} in place of {before.get(key)!r}" for key in keys)
