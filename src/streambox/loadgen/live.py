"""A run as it goes on: a small display on a terminal, a line every 5 s elsewhere, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from rich.live import Live
from rich.text import Text

from streambox.loadgen.table import count_text, errors_text, ms_text, number_text, rate_text

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_EVERY_S: Final = 5.0
_BAR_CELLS: Final = 40
_COLUMN: Final = 22
_MOST_KINDS: Final = 4
_UNWRITABLE: Final = (OSError, SystemExit)  # the latter is what rich makes of a closed pipe


class Progress(msgspec.Struct, frozen=True):
    """
    Where a run stands.

    Rates are over the last second, percentiles over the last few seconds; None or NaN
    where nothing is known yet. ``total`` is 0 when no schedule foresees it (closed loop).
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


class LiveView(Protocol):
    """Called on the run's loop. ``update`` takes about 0.5 ms, ``stop`` may come twice."""

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
    """Four lines redrawn in place, gone once the run ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._duration_s = 0.0
        self._live: Live | None = None

    def start(self, total: int, duration_s: float) -> None:
        self._duration_s = duration_s
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def update(self, progress: Progress) -> None:
        if self._live is not None:
            picture = render(progress, self._duration_s, self._console.width)
            self._live.update(picture, refresh=True)

    def stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def plain_line(progress: Progress, duration_s: float) -> str:
    """All of *progress* on one line."""
    return (
        f"{progress.elapsed_s:6.1f} of {duration_s:g} s"
        f" | offered {rate_text(progress.offered_per_s)}, achieved {rate_text(progress.achieved_per_s)}"
        f" | {count_text(progress.in_flight)} in flight, {count_text(progress.ok)} ok"
        f" | errors: {errors_text(progress.errors)}"
        f" | p50 {ms_text(progress.p50_ms)}, p99 {ms_text(progress.p99_ms)}"
        f" | batch {number_text(progress.mean_batch_size)}"
        f" | send lag p99 {ms_text(progress.lag_p99_us, 1e-3)}"
    )


def render(progress: Progress, duration_s: float, width: int = 80) -> Text:
    """
    The terminal's picture of *progress*: a bar and three lines of figures.

    One Text rather than tables, so that drawing it never holds up the sending.
    """
    picture = Text(no_wrap=True, overflow="ellipsis")
    _append_bar(picture, progress, duration_s, max(10, min(_BAR_CELLS, width - 40)))
    _append_figures(
        picture,
        "rate",
        offered=rate_text(progress.offered_per_s),
        achieved=rate_text(progress.achieved_per_s),
        **{"in flight": count_text(progress.in_flight)},
    )
    _append_figures(
        picture,
        "response",
        p50=ms_text(progress.p50_ms),
        p99=ms_text(progress.p99_ms),
        **{"mean batch": number_text(progress.mean_batch_size)},
    )
    _append_figures(
        picture, "done", ok=count_text(progress.ok), **{"send lag p99": ms_text(progress.lag_p99_us, 1e-3)}
    )
    _append_errors(picture, progress.errors)
    return picture


def _append_bar(picture: Text, progress: Progress, duration_s: float, cells: int) -> None:
    share = min(1.0, progress.elapsed_s / duration_s) if duration_s > 0 else 1.0
    full = round(share * cells)
    left_s = max(0.0, duration_s - progress.elapsed_s)
    waiting = f"waiting for {count_text(progress.in_flight)}"
    picture.append("━" * full, "cyan").append("─" * (cells - full), "dim")
    picture.append(f" {share:4.0%}", "bold")
    picture.append(f"  {progress.elapsed_s:.1f} of {duration_s:g} s", "dim")
    picture.append(f", {left_s:.0f} s left" if left_s > 0 else f", {waiting}", "dim")


def _append_figures(picture: Text, label: str, **figures: str) -> None:
    picture.append(f"\n{label:<9}", "dim")
    for name, figure in figures.items():
        picture.append(f" {name} ", "dim").append(figure.ljust(_COLUMN - len(name)), "bold")


def _append_errors(picture: Text, errors: Mapping[str, int]) -> None:
    picture.append(f"\n{'errors':<9}", "dim")
    if not errors:
        picture.append(" none")
        return
    ranked = sorted(errors.items(), key=lambda item: -item[1])
    shown = dict(ranked[:_MOST_KINDS])
    others = sum(count for _, count in ranked[_MOST_KINDS:])
    if others:
        shown["others"] = others
    picture.append(" " + errors_text(shown), "bold red")
