"""``load --repeats``: the same experiment several times, and how much its figures vary between times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streambox.errors import RunFailed, UsageError
from streambox.experiments.blocks import Blocks, rows_of
from streambox.experiments.figures import FIGURES, estimate_of_repeats, point_values
from streambox.experiments.wording import estimate_text, value_text
from streambox.loadgen.session import check_finished, prepare_folder, write_run
from streambox.loadgen.summary import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console, RenderableType

    from streambox.loadgen.session import Finished

    RunOnce = Callable[[int, Path | None], Finished]

RESULT: Final = "repeats.json"


class Repeat(msgspec.Struct, frozen=True):
    """One time: its summary, and its figures by name."""

    seed: int
    summary: dict[str, Any]
    figures: dict[str, float]


class Repeats(msgspec.Struct, frozen=True):
    """All times that were carried through; ``pooled`` are the figures of all their requests together."""

    repeats: tuple[Repeat, ...]
    pooled: dict[str, float]
    wanted: int

    def values(self, figure: str) -> list[float]:
        return [repeat.figures[figure] for repeat in self.repeats]


def repeat_run(run_once: RunOnce, count: int, first_seed: int, out: Path | None, console: Console) -> Repeats:
    """
    ``run_once(seed, folder)`` *count* times, with seeds from *first_seed* on, into ``out/1`` and so on.

    One that is stopped is the last, and does not count. Only figures are kept in memory.

    Raises RunFailed when already the first one is stopped.
    """
    repeats: list[Repeat] = []
    all_blocks: list[Blocks] = []
    for number in range(1, count + 1):
        seed, folder = first_seed + number - 1, None if out is None else out / str(number)
        if folder is not None:
            prepare_folder(folder)
        began_s = time.monotonic()
        try:
            finished = run_once(seed, folder)
        except KeyboardInterrupt:  # while nothing was being sent
            break
        if folder is not None:
            write_run(folder, finished)
        if was_stopped(finished, time.monotonic() - began_s):
            break
        start_ns, end_ns = (round(edge_s * 1e9) for edge_s in finished.summary["window_s"])
        blocks = Blocks.of(rows_of(finished.outcomes), start_ns, max(end_ns, start_ns + 1))
        repeats.append(Repeat(finished.summary["seed"], finished.summary, point_values(blocks)))
        all_blocks.append(blocks.pooled())
        console.print(_line(number, count, repeats[-1]), highlight=False)
    if not repeats:
        raise RunFailed("stopped in the first repeat: there is nothing to tell")
    return Repeats(tuple(repeats), point_values(all_blocks[0].pooled(all_blocks[1:])), count)


def was_stopped(finished: Finished, lasted_s: float) -> bool:
    """By Ctrl-C, before its schedule, or the duration of a closed loop, was through."""
    if len(finished.outcomes) < len(finished.schedule.intended_ns):
        return True
    measured_until_s: float = finished.summary["window_s"][1]
    return lasted_s < measured_until_s


def check_free(out: Path, count: int) -> None:
    """Raises UsageError where *out* holds a run itself, or more repeats than there will be."""
    if (out / "summary.json").exists():
        raise UsageError(f"{out}: holds a run already, and repeats go into folders in it: name another one")
    for folder in out.glob("*/summary.json"):
        name = folder.parent.name
        if not name.isdigit() or not 1 <= int(name) <= count:
            raise UsageError(f"{folder.parent}: holds a run of another experiment: name another folder")


def check_repeats(done: Repeats, *, allow_invalid: bool) -> None:
    """Raises RunFailed, with the worst that can be said of any, and when there are fewer than wanted."""
    failures = []
    for number, repeat in enumerate(done.repeats, 1):
        try:
            check_finished(repeat.summary, allow_invalid=allow_invalid)
        except RunFailed as error:
            wrong = bool(repeat.summary["wrong"])
            failures.append((not wrong, number, f"repeat {number} (seed {repeat.seed}): {error}"))
    if failures:
        more = f"; {len(failures)} of {len(done.repeats)} failed" if len(failures) > 1 else ""
        raise RunFailed(min(failures)[2] + more)
    if len(done.repeats) < done.wanted:
        raise RunFailed(f"stopped in repeat {len(done.repeats) + 1} of {done.wanted}")


def repeats_table(done: Repeats) -> RenderableType:
    count = len(done.repeats)
    table = Table(
        title=Text(f"{count} repeat{'s' if count > 1 else ''}", style="bold"),
        title_justify="left",
        box=None,
        header_style="dim",
        padding=(0, 2, 0, 0),
    )
    table.add_column("", style="dim", no_wrap=True)
    for column in ("mean (95 %)", "lowest", "highest", "all together"):
        table.add_column(column, justify="right")
    for figure in FIGURES:
        values = done.values(figure.name)
        estimate = estimate_of_repeats(figure, values)
        if estimate.value is None:
            continue
        bounds = [value_text(figure, bound) for bound in (min(values), max(values), done.pooled[figure.name])]
        table.add_row(figure.name, estimate_text(figure, estimate), *bounds)
    return Group(table, *(Text(line) for line in _verdict_lines(done)))


def repeats_json(done: Repeats, folders: Sequence[str]) -> bytes:
    """Every repeat's figures, and how they vary; *folders* are the repeats', where they were kept."""
    figures = {}
    for figure in FIGURES:
        estimate = estimate_of_repeats(figure, done.values(figure.name))
        figures[figure.name] = {
            "unit": figure.unit,
            **msgspec.to_builtins(estimate),
            "pooled": _finite(done.pooled[figure.name]),
            "repeats": [_finite(value) for value in done.values(figure.name)],
        }
    content = {
        "schema_version": 1,
        "environment": environment(),
        "runs": [
            {
                "seed": repeat.seed,
                "folder": folder,
                "schedule_sha256": repeat.summary["schedule_sha256"],
                "objectives": repeat.summary["objectives"],
                "verdict": repeat.summary["verdict"],
            }
            for repeat, folder in zip(done.repeats, folders, strict=True)
        ],
        "figures": figures,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _finite(value: float) -> float | None:
    return value if value == value else None


def _verdict_lines(done: Repeats) -> list[str]:
    lines = []
    invalid = sum(not repeat.summary["verdict"]["valid"] for repeat in done.repeats)
    if invalid:
        lines.append(
            f"{invalid} of {len(done.repeats)} not valid: the load generator did not keep its schedule"
        )
    for index, objective in enumerate(done.repeats[0].summary["objectives"]):
        held = sum(repeat.summary["objectives"][index]["holds"] for repeat in done.repeats)
        lines.append(f"{objective['objective']} held in {held} of {len(done.repeats)}")
    return lines


def _line(number: int, count: int, repeat: Repeat) -> str:
    p50, p99 = (
        value_text(figure, repeat.figures[figure.name])
        for figure in FIGURES
        if figure.name in ("response p50", "response p99")
    )
    return (
        f"repeat {number} of {count}, seed {repeat.seed}: {repeat.summary['verdict']['status']}, "
        f"response p50 {p50}, p99 {p99}"
    )
