"""The pictures of docs/policies.md, from what ``policies.py`` has found. Pure."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

from panels import Axis, Band, Line, Panel, svg
from policy_cells import SLO, Cell, Goodputs, best, is_any_other, is_rival, is_smaller, ratio_to

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Found = Mapping[Cell, Goodputs]

_LOAD: Final = Axis(
    "load while there is any, in % of the capacity of full batches",
    0,
    1.25,
    [(load / 100, str(load)) for load in (0, 25, 50, 75, 100)],
)
_SHARE: Final = Axis(
    "answered within the SLO, in % of all requests", 0, 1, [(k / 4, str(25 * k)) for k in range(5)]
)
# Ratios as logarithms, so that twice and half are as far from 1.
_RATIO: Final = Axis(
    "slo's share over another's",
    math.log(0.9),
    math.log(2.6),
    [(math.log(r), f"{r:g}") for r in (0.9, 1, 1.3, 2, 2.5)],
)


def draw_goodputs(found: Found) -> str:
    def shapes(cells: dict[float, Goodputs]) -> list[Line | Band]:
        return [
            Line("the best other, at most 16 rows", 1, _best(cells, is_smaller)),
            Line("the best other, at most 32 rows as slo", 2, _best(cells, is_rival)),
            Line("slo", 0, _best(cells, lambda name: name == SLO.name)),
        ]

    return _grid("What each policy answers in time", found, shapes, _SHARE)


def draw_ratios(found: Found) -> str:
    kinds = [
        ("over the best other", 2, is_rival),
        ("over the best other, its rows chosen, too", 1, is_any_other),
    ]

    def shapes(cells: dict[float, Goodputs]) -> list[Line | Band]:
        drawn: list[Line | Band] = []
        for name, colour, among in kinds:
            ratios = [(load, ratio_to(of, best(of, among))) for load, of in cells.items()]
            drawn.append(
                Band(
                    "95 %",
                    colour,
                    [(load, math.log(r.mean - r.half), math.log(r.mean + r.half)) for load, r in ratios],
                )
            )
            drawn.append(Line(name, colour, [(load, math.log(r.mean)) for load, r in ratios]))
        return drawn

    return _grid("slo beside the best of the others", found, shapes, _RATIO, (0.0, math.log(1.3)))


def _best(cells: dict[float, Goodputs], among: Callable[[str], bool]) -> list[tuple[float, float]]:
    return [(load, statistics.mean(of[best(of, among)])) for load, of in cells.items()]


def _grid(
    title: str,
    found: Found,
    shapes: Callable[[dict[float, Goodputs]], list[Line | Band]],
    y: Axis,
    marks: tuple[float, ...] = (),
) -> str:
    """A row for each pattern, a column for each SLO."""
    panels = [
        [
            Panel(f"{pattern}, SLO {slo_ms:g} ms", shapes(_of(found, pattern, slo_ms)))
            for slo_ms in sorted({cell.slo_ms for cell in found})
        ]
        for pattern in dict.fromkeys(cell.pattern for cell in found)
    ]
    return svg(title, panels, _LOAD, y, marks)


def _of(found: Found, pattern: str, slo_ms: float) -> dict[float, Goodputs]:
    chosen = {cell.load: of for cell, of in found.items() if (cell.pattern, cell.slo_ms) == (pattern, slo_ms)}
    return dict(sorted(chosen.items()))
