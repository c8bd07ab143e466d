"""Estimates as people read them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from streambox.loadgen.table import UNKNOWN, ms_text, number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.experiments.compare import Change
    from streambox.experiments.estimate import Estimate
    from streambox.experiments.figures import Figure


def value_text(figure: Figure, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if figure.unit == "ms":
        return ms_text(value)
    if figure.unit == "%":
        return f"{value:.3f} %".replace(".000", "")
    return number_text(value) + (figure.unit if figure.unit == "/s" else "")


def estimate_text(figure: Figure, estimate: Estimate) -> str:
    """``5.28 ms (5.10…5.43)``: the interval in the value's unit."""
    text = value_text(figure, estimate.value)
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return text
    low, high = (_in_unit_of(figure, estimate.value, bound) for bound in (estimate.low, estimate.high))
    return f"{text} ({low}…{high})"


def _in_unit_of(figure: Figure, value: float, bound: float) -> str:
    """*bound* as a bare number, in the unit in which *value* is written."""
    if figure.unit != "ms":
        return value_text(figure, bound).removesuffix(figure.unit).strip()
    unit_ms = next((unit for unit in (1000, 1) if abs(value) >= 0.9995 * unit), 0.001)
    scaled = bound / unit_ms
    return number_text(scaled) if abs(scaled) >= 99.95 else f"{scaled:#.3g}"


def change_text(figure: Figure, change: Change) -> str:
    """``×1.16 (1.10…1.21)``, or of a share of the requests ``+0.20 (-0.10…+0.50)`` percentage points."""
    estimate = change.estimate
    if estimate.value is None:
        return UNKNOWN
    sign, digits = ("×", ".3f") if figure.relative else ("", "+.3f")
    text = f"{sign}{estimate.value:{digits}}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:{digits}}…{estimate.high:{digits}})"


def judgement_text(figure: Figure, change: Change) -> str:
    """What a change is worth: a word where it is clear."""
    estimate = change.estimate
    if estimate.value is None or estimate.low is None:
        return ""
    if not change.clear:
        return "not clear"
    rises = estimate.value > (1 if figure.relative else 0)
    if not figure.better:
        return "higher" if rises else "lower"
    return "better" if rises == (figure.better > 0) else "worse"


def labels(paths: Sequence[Path]) -> list[str]:
    """For each path the shortest tail of it that tells it from the others."""
    whole = [Path(os.path.abspath(path)).parts for path in paths]
    for length in range(1, max(map(len, whole)) + 1):
        tails = [str(Path(*parts[-length:])) for parts in whole]
        if len(set(tails)) == len(set(whole)):
            break
    return tails
