"""One transform after another, each with a report of what it kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streambox.workload.figures import Distances, Figures, distances, figures_of
from streambox.workload.transforms.base import Promise
from streambox.workload.transforms.registry import format_transform

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from streambox.workload.events import Events
    from streambox.workload.transforms.base import Transform


class Fidelity(msgspec.Struct, frozen=True):
    """What one transform was given and gave, how far apart the two are, and how it kept its promises."""

    transform: str
    before: Figures
    after: Figures
    distances: Distances
    promises: tuple[Promise, ...]

    def describe(self) -> str:
        """One line: the transform, how many arrivals, and each other promise with what came of it."""
        arrivals = f"{self.before.arrivals:,} → {self.after.arrivals:,} arrivals"
        others = [promise for promise in self.promises if promise.figure != "arrivals"]
        return f"{self.transform}: {'; '.join([arrivals, *map(promise_text, others)])}"


def apply_all(
    events: Events, transforms: Iterable[Transform], random: np.random.Generator
) -> tuple[Events, tuple[Fidelity, ...]]:
    """
    *transforms* in their order, all with the same *random*, and a report on each.

    Raises UsageError, of the first that cannot be applied.
    """
    reports = []
    for transform in transforms:
        before, events = events, transform.apply(events, random)
        reports.append(_report(transform, before, events))
    return events, tuple(reports)


def promise_text(promise: Promise) -> str:
    """``mean rate 20.1/s (20/s promised, +0.5 %)``, or ``arrivals 300 as promised``."""
    found = f"{promise.figure} {_number(promise.found)}{promise.unit}"
    if not promise.expected:
        return found if promise.found else f"{found} as promised"
    if abs(promise.deviation) < 5e-6:
        return f"{found} as promised"
    expected = f"{_number(promise.expected)}{promise.unit} promised"
    return f"{found} ({expected}, {100 * promise.deviation:+.2g} %)"


def _report(transform: Transform, before: Events, after: Events) -> Fidelity:
    return Fidelity(
        format_transform(transform),
        figures_of(before),
        figures_of(after),
        distances(before, after),
        transform.promises(before, after),
    )


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
