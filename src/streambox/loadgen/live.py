"""A run as it goes on: a small display on a terminal, a line every 5 s elsewhere, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from streambox.loadgen.picture import History, compose
from streambox.loadgen.screen import Screen
from streambox.loadgen.table import count_text, errors_text, ms_text, number_text, rate_text

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_EVERY_S: Final = 5.0
_UNWRITABLE: Final = (OSError, SystemExit)  # the latter is what rich makes of a closed pipe


class LaneProgress(msgspec.Struct, frozen=True):
    """
    Where the requests of one lane stand, or of several that ``name`` counts.

    ``offered`` and ``errors`` are so far, the rate is over the last second, the percentile
    over the last few.
    """

    name: str
    offered: int
    achieved_per_s: float | None
    p99_ms: float | None
    errors: int


class Progress(msgspec.Struct, frozen=True):
    """
    Where a run stands.

    Rates are over the last second, percentiles over the last few seconds; None or NaN
    where nothing is known yet. ``total`` is 0 when no schedule foresees it (closed loop).
    ``lanes`` are rows to show: empty where there is one lane.
    """

    elapsed_s: float
    total: int
    sent: int
    completed: int
    ok: int
    errors: Mapping[str, int]
    in_flight: int
    offered_per_s: float | None
    achieved_per_s: float | None
    p50_ms: float | None
    p99_ms: float | None
    mean_batch_size: float | None
    lag_p99_us: float | None
    p90_ms: float | None = None
    lanes: tuple[LaneProgress, ...] = ()


class LiveView(Protocol):
    """Called on the run's loop. ``update`` takes 0.2 ms and never waits; ``stop`` may come twice."""

    def start(self, total: int, duration_s: float) -> None: ...
    def update(self, progress: Progress) -> None: ...
    def stop(self) -> None: ...


def make_live_view(console: Console, *, quiet: bool = False) -> LiveView:
    """The view that suits *console*."""
    if quiet:
        return SilentView()
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(console)
    return PlainView(console)


def unfailing(view: LiveView) -> LiveView:
    """*view*, but that what cannot be shown any more, as on a terminal that has gone, ends no run."""
    return view if isinstance(view, SilentView) else _UnfailingView(view)


class _UnfailingView:
    def __init__(self, view: LiveView) -> None:
        self._view = view

    def start(self, total: int, duration_s: float) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._view.start(total, duration_s)

    def update(self, progress: Progress) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._view.update(progress)

    def stop(self) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._view.stop()


class SilentView:
    def start(self, total: int, duration_s: float) -> None:
        pass

    def update(self, progress: Progress) -> None:
        pass

    def stop(self) -> None:
        pass


class PlainView:
    """A line every 5 s of the run, and one for its end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._duration_s = 0.0
        self._next_s = _PLAIN_EVERY_S
        self._unprinted: Progress | None = None

    def start(self, total: int, duration_s: float) -> None:
        self._duration_s = duration_s
        self._next_s = _PLAIN_EVERY_S
        what = f"{count_text(total)} requests" if total else "a closed loop"
        self._print(f"sending {what} over {duration_s:g} s")

    def update(self, progress: Progress) -> None:
        self._unprinted = progress
        if progress.elapsed_s >= self._next_s:
            self._next_s = (progress.elapsed_s // _PLAIN_EVERY_S + 1) * _PLAIN_EVERY_S
            self._flush()

    def stop(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._unprinted is not None:
            self._print(plain_line(self._unprinted, self._duration_s))
            self._unprinted = None

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class TerminalView:
    """A picture redrawn in place, gone once the run ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._duration_s = 0.0
        self._history = History()
        self._screen: Screen | None = None

    def start(self, total: int, duration_s: float) -> None:
        self._duration_s = duration_s
        self._screen = Screen(self._console)

    def update(self, progress: Progress) -> None:
        if self._screen is not None:
            self._history.add(progress.elapsed_s, progress.offered_per_s, progress.achieved_per_s)
            self._screen.draw(compose(progress, self._history, self._duration_s, self._console.width - 1))

    def stop(self) -> None:
        screen, self._screen = self._screen, None
        if screen is not None:
            screen.close()


def plain_line(progress: Progress, duration_s: float) -> str:
    """All of *progress* on one line."""
    return (
        f"{progress.elapsed_s:6.1f} of {duration_s:g} s"
        f" | offered {rate_text(progress.offered_per_s)}, achieved {rate_text(progress.achieved_per_s)}"
        f" | {count_text(progress.in_flight)} in flight, {count_text(progress.ok)} ok"
        f" | errors: {errors_text(progress.errors)}"
        f" | p50 {ms_text(progress.p50_ms)}, p90 {ms_text(progress.p90_ms)}, p99 {ms_text(progress.p99_ms)}"
        f" | batch {number_text(progress.mean_batch_size)}"
        f" | {'closed loop' if not progress.total else f'send lag p99 {ms_text(progress.lag_p99_us, 1e-3)}'}"
    )
