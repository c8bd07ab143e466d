"""
Experiments side by side: their figures with intervals, and which differences are clear.

One run against another: intervals from resampled blocks (see ``bootstrap``). Where both replayed
the same schedule the same seconds are drawn of both, so that what a burst does to both of them
cancels out of the ratio. Groups of repeats: each repeat is one observation, and Student's
interval says how much they vary (the method of independent replications).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.experiments.bootstrap import block_length, draw_weights
from streambox.experiments.estimate import Estimate, difference_of_means
from streambox.experiments.figures import (
    FIGURES,
    estimate_of_repeats,
    figure_values,
    point_values,
    series_of,
)
from streambox.experiments.runs import RunFolder, check_modes, doubts, same_schedules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.experiments.bootstrap import Weights
    from streambox.experiments.figures import Figure

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_FEW_DRAWS: Final = 10


class Side(msgspec.Struct, frozen=True):
    """One of those compared: a run, or the repeats of one. ``estimates`` is by figure."""

    label: str
    runs: tuple[RunFolder, ...]
    estimates: dict[str, Estimate]


class Change(msgspec.Struct, frozen=True):
    """
    From the first side to another, in one figure: a ratio, or of a share of the requests a difference.

    ``clear``: the 95 % interval leaves no change out.
    """

    figure: str
    estimate: Estimate
    clear: bool


class Comparison(msgspec.Struct, frozen=True):
    """
    ``changes[i]`` is from ``sides[0]`` to ``sides[i + 1]``; ``paired[i]``: they replayed the same schedules.

    ``method`` says how the intervals came about, ``warnings`` why they may be misleading.
    """

    sides: tuple[Side, ...]
    changes: tuple[tuple[Change, ...], ...]
    paired: tuple[bool, ...]
    method: str
    warnings: tuple[str, ...]


class Resampling(msgspec.Struct, frozen=True, kw_only=True):
    """``block``: how many blocks to draw in a row; None: as the runs' own correlation asks for."""

    resamples: int = 2000
    block: int | None = None
    seed: int = 0


def compare(groups: Sequence[tuple[str, Sequence[RunFolder]]], options: Resampling) -> Comparison:
    """
    The first of *groups*, each with its label, against each of the others.

    Raises UsageError for one run beside repeats, and for a closed loop beside an open one.
    """
    check_modes([run for _, group in groups for run in group])
    sizes = {len(group) == 1 for _, group in groups}
    if len(sizes) > 1:
        one, several = (
            next(label for label, g in groups if (len(g) == 1) is single) for single in (True, False)
        )
        raise UsageError(
            f"{one} is one run and {several} are repeats: one run does not tell how much runs vary; name a "
            "single one of the repeats, or repeat the other"
        )
    warnings = doubts(groups)
    if sizes == {True}:
        compared, rough = _of_runs([(label, group[0]) for label, group in groups], options)
        return msgspec.structs.replace(compared, warnings=(*warnings, *rough))
    return msgspec.structs.replace(_of_repeats(groups), warnings=tuple(warnings))


def estimates_of_run(run: RunFolder, options: Resampling) -> dict[str, Estimate]:
    """The figures of a single run, by name, with intervals from its own blocks."""
    length = options.block or block_length(series_of(run.blocks))
    weights = _weights(len(run.blocks), length, options.resamples, np.random.default_rng(options.seed))
    values = figure_values(run.blocks, weights)
    return {name: _estimate(found, len(run.blocks) // length) for name, found in values.items()}


# ---- one run each --------------------------------------------------------------------------------


def _of_runs(labelled: Sequence[tuple[str, RunFolder]], options: Resampling) -> tuple[Comparison, list[str]]:
    runs = [run for _, run in labelled]
    length = options.block or max(block_length(series_of(run.blocks)) for run in runs)
    paired = [same_schedules(runs[:1], [run]) for run in runs]
    values = []
    for number, (run, pair) in enumerate(zip(runs, paired, strict=True)):
        # Equal seeds draw equal seconds: those that replayed one schedule are resampled alike.
        random = np.random.default_rng((options.seed, 0 if pair else number))
        values.append(figure_values(run.blocks, _weights(len(run.blocks), length, options.resamples, random)))
    draws = [len(run.blocks) // length for run in runs]
    sides = [
        Side(label, (run,), {name: _estimate(found, own_draws) for name, found in own.items()})
        for (label, run), own, own_draws in zip(labelled, values, draws, strict=True)
    ]
    changes = [
        tuple(_change(figure, values[0], other, min(draws[0], own_draws)) for figure in FIGURES)
        for other, own_draws in zip(values[1:], draws[1:], strict=True)
    ]
    width_s = runs[0].blocks.width_ns / 1e9
    method = (
        f"circular block bootstrap, {options.resamples} resamples of {length} × {width_s:g} s, "
        f"seed {options.seed}, expanded percentile intervals of 95 %"
    )
    return Comparison(tuple(sides), tuple(changes), tuple(paired[1:]), method, ()), _rough(labelled, length)


def _weights(blocks: int, length: int, resamples: int, random: np.random.Generator) -> Weights:
    """The run as it was, then its resamples."""
    return np.vstack([np.ones((1, blocks), np.float32), draw_weights(blocks, length, resamples, random)])


def _estimate(found: Floats, draws: int) -> Estimate:
    return Estimate.of_resamples(float(found[0]), found[1:], draws)


def _change(figure: Figure, before: dict[str, Floats], after: dict[str, Floats], draws: int) -> Change:
    first, second = before[figure.name], after[figure.name]
    if figure.relative:
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = _estimate(second / first, draws)
        return Change(figure.name, estimate, estimate.excludes(1))
    estimate = _estimate(second - first, draws)
    return Change(figure.name, estimate, estimate.excludes(0))


def _rough(labelled: Sequence[tuple[str, RunFolder]], length: int) -> list[str]:
    return [
        f"{label} is short: {len(run.blocks)} blocks, drawn {length} in a row, make rough intervals"
        for label, run in labelled
        if len(run.blocks) < _FEW_DRAWS * length
    ]


# ---- repeats -------------------------------------------------------------------------------------


def _of_repeats(groups: Sequence[tuple[str, Sequence[RunFolder]]]) -> Comparison:
    values = [[point_values(run.blocks) for run in group] for _, group in groups]
    sides = [
        Side(
            label,
            tuple(group),
            {
                figure.name: estimate_of_repeats(figure, [one[figure.name] for one in own])
                for figure in FIGURES
            },
        )
        for (label, group), own in zip(groups, values, strict=True)
    ]
    paired = [same_schedules(groups[0][1], group) for _, group in groups[1:]]
    changes = [
        tuple(_change_of_repeats(figure, values[0], other, paired=pair) for figure in FIGURES)
        for other, pair in zip(values[1:], paired, strict=True)
    ]
    method = "each repeat is one observation; Student's intervals of 95 % around the mean of the repeats"
    return Comparison(tuple(sides), tuple(changes), tuple(paired), method, ())


def _change_of_repeats(
    figure: Figure, before: Sequence[dict[str, float]], after: Sequence[dict[str, float]], *, paired: bool
) -> Change:
    first, second = _values(before, figure), _values(after, figure)
    if not figure.relative:
        estimate = difference_of_means(first, second, paired=paired)
        return Change(figure.name, estimate, estimate.excludes(0))
    if not all(value > 0 for value in (*first, *second)):  # NaN, or nothing to divide by
        return Change(figure.name, Estimate(), clear=False)
    logs = difference_of_means([math.log(v) for v in first], [math.log(v) for v in second], paired=paired)
    estimate = Estimate(*(None if x is None else math.exp(x) for x in (logs.value, logs.low, logs.high)))
    return Change(figure.name, estimate, estimate.excludes(1))


def _values(repeats: Sequence[dict[str, float]], figure: Figure) -> list[float]:
    return [one[figure.name] for one in repeats]
