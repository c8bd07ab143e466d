"""What the live display shows, line by line: pure, and cheap enough to be made while requests go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from streambox.loadgen.table import count_text, errors_text, ms_text, number_text, rate_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.loadgen.live import LaneProgress, Progress

    Span = tuple[str, str]
    Line = list[Span]

# What a span's style may be, as rich writes it.
STYLES: Final = {
    "": "",
    "label": "dim",
    "figure": "bold",
    "bar": "cyan",
    "rest": "dim",
    "offered": "dim",
    "achieved": "cyan",
    "error": "bold red",
}
_LABEL: Final = 10
_RATE: Final = 9
_MOST_BAR: Final = 40
_MOST_COLUMN: Final = 23
_MOST_KINDS: Final = 4
_MINUTE_S: Final = 60
_STEPS_S: Final = (1, 2, 3, 5, 10)
_LONG_S: Final = 120
_LANE_FIGURES: Final = ("requests", "answers", "p99", "errors")
_LANE_COLUMN: Final = 11
_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"
_IN_ASCII: Final = str.maketrans("━─ ▁▂▃▄▅▆▇█–µ…", "=- ..::--=#-u~")


class History:
    """Requests offered and answers achieved in each of the last 60 seconds, and the pictures of them."""

    def __init__(self) -> None:
        self._counts: dict[int, list[float]] = {}
        self._until_s = 0.0
        self._drawn: tuple[tuple[int, int], Sparklines] | None = None

    def add(self, elapsed_s: float, *rates_per_s: float | None) -> None:
        """These rates have held since the last call."""
        since_s, self._until_s = self._until_s, max(self._until_s, elapsed_s)
        since_s = max(since_s, self._until_s - _MINUTE_S)
        for second in range(int(since_s), int(self._until_s) + 1):
            share_s = min(self._until_s, second + 1) - max(since_s, second)
            counts = self._counts.setdefault(second, [0.0] * len(rates_per_s))
            for place, rate_per_s in enumerate(rates_per_s):
                counts[place] += share_s * (rate_per_s or 0.0)
        for second in [s for s in self._counts if s < int(self._until_s) - _MINUTE_S]:
            del self._counts[second]

    def sparklines(self, room: int) -> Sparklines:
        """
        Of the seconds of the last minute that are over, in at most *room* letters each.

        Drawn once a second: in between nothing of them changes.
        """
        key = (int(self._until_s), room)
        if self._drawn is None or self._drawn[0] != key:
            step_s = next((step for step in _STEPS_S if _MINUTE_S // step <= room), _MINUTE_S)
            self._drawn = key, Sparklines.of(self._cells(step_s))
        return self._drawn[1]

    def _cells(self, step_s: int) -> list[tuple[float, ...]]:
        """The rates over each *step_s*, the oldest first."""
        last = int(self._until_s) // step_s
        found = []
        for cell in range(max(0, last - _MINUTE_S // step_s), last):
            seconds = [
                self._counts[s] for s in range(cell * step_s, (cell + 1) * step_s) if s in self._counts
            ]
            found.append(tuple(sum(column) / step_s for column in zip(*seconds, strict=True)))
        return found


class Sparklines(NamedTuple):
    """One line for each rate, on one scale: ``top_per_s`` is the full height."""

    lines: list[str]
    top_per_s: float

    @classmethod
    def of(cls, cells: Sequence[Sequence[float]]) -> Sparklines:
        top = max((max(rates) for rates in cells), default=0.0)
        return cls([sparkline(values, top) for values in zip(*cells, strict=True)] or ["", ""], top)


def compose(progress: Progress, history: History, duration_s: float, width: int) -> list[Line]:
    """
    The display of a terminal that is *width* wide.

    A bar; the last minute's rates; percentiles, connections and errors; and a row for each
    lane where there are several.
    """
    column = min(_MOST_COLUMN, (width - _LABEL) // 3)
    return [
        _bar(progress, duration_s, max(10, min(_MOST_BAR, width - _MOST_BAR))),
        *_rates(progress, history, width),
        _figures(
            "response",
            column,
            p50=ms_text(progress.p50_ms),
            p90=ms_text(progress.p90_ms),
            p99=ms_text(progress.p99_ms),
        ),
        _figures(
            "sending",
            column,
            **{
                "in flight": count_text(progress.in_flight),
                "send lag p99": ms_text(progress.lag_p99_us, 1e-3),
            },
        ),
        _figures(
            "answers",
            column,
            **{"ok": count_text(progress.ok), "mean batch": number_text(progress.mean_batch_size)},
        ),
        _errors(progress.errors),
        *_lanes(progress.lanes, width),
    ]


def fit(line: Line, width: int, *, ascii_only: bool = False) -> Line:
    """*line* cut to *width* cells, without what would move a terminal's cursor."""
    fitting, left = [], width
    for text, style in line:
        if not text.isprintable():  # a server chooses the names of its errors
            text = "".join(letter if letter.isprintable() else "?" for letter in text)
        if ascii_only:
            text = text.translate(_IN_ASCII).encode("ascii", "replace").decode()
        cells = len(text) if text.isascii() else cell_len(text)
        if cells > left:
            text = set_cell_size(text, max(0, left - 1)) + ("~" if ascii_only else "…") * (left > 0)
        fitting.append((text, style))
        left -= cells
        if left < 0:
            break
    return fitting


def sparkline(values: Sequence[float], top: float) -> str:
    """A letter for each value: its height is its share of *top*; only a value of 0 has none."""
    steps = len(_HEIGHTS) - 1
    return "".join(
        _HEIGHTS[min(steps, max(1, round(value / top * steps)))] if value > 0 else " " for value in values
    )


def _bar(progress: Progress, duration_s: float, cells: int) -> Line:
    share = min(1.0, max(0.0, progress.elapsed_s / duration_s)) if duration_s > 0 else 1.0
    full = round(share * cells)
    left_s = max(0.0, duration_s - progress.elapsed_s)
    if duration_s < _LONG_S:
        elapsed = f"{progress.elapsed_s:.1f} of {duration_s:g} s"
        left = f"{left_s:.0f} s"
    else:
        elapsed = f"{_clock(progress.elapsed_s)} of {_clock(duration_s)}"
        left = _clock(left_s)
    rest = f"{left} left" if left_s > 0 else f"waiting for {count_text(progress.in_flight)}"
    return [
        ("━" * full, "bar"),
        ("─" * (cells - full), "rest"),
        (f" {share:4.0%}", "figure"),
        (f"  {elapsed}, {rest}", "label"),
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rates(progress: Progress, history: History, width: int) -> list[Line]:
    """Both on one scale, so that a gap between them shows."""
    room = width - _LABEL - _RATE
    drawn = history.sparklines(room)
    lines = []
    rates = {"offered": progress.offered_per_s, "achieved": progress.achieved_per_s}
    for (name, rate), letters in zip(rates.items(), drawn.lines, strict=True):
        lines.append(
            [(name.ljust(_LABEL), "label"), (rate_text(rate).ljust(_RATE), "figure"), (letters, name)]
        )
    note = f"  █ {rate_text(drawn.top_per_s)}"
    if drawn.top_per_s and len(note) <= room - len(drawn.lines[0]):
        lines[0].append((note, "label"))
    return lines


def _figures(label: str, column: int, **figures: str) -> Line:
    line = [(label.ljust(_LABEL), "label")]
    for name, figure in figures.items():
        line += [(f"{name} ", "label"), (figure.ljust(column - len(name) - 1), "figure")]
    return line


def _errors(errors: Mapping[str, int]) -> Line:
    label = ("errors".ljust(_LABEL), "label")
    if not errors:
        return [label, ("none", "")]
    ranked = sorted(errors.items(), key=lambda item: -item[1])
    shown = dict(ranked[:_MOST_KINDS])
    others = sum(count for _, count in ranked[_MOST_KINDS:])
    if others:
        shown["others"] = others
    return [label, (errors_text(shown), "error")]


def _lanes(lanes: Sequence[LaneProgress], width: int) -> list[Line]:
    if len(lanes) < 2:
        return []
    room = max(8, width - len(_LANE_FIGURES) * _LANE_COLUMN)
    names = min(room, max(cell_len(lane.name) for lane in lanes) + 1)
    head = "".join(name.rjust(_LANE_COLUMN) for name in _LANE_FIGURES)
    lines: list[Line] = [[("", "")], [("lane".ljust(names) + head, "label")]]
    for lane in lanes:
        name = fit([(lane.name, "")], names - 1)[0][0]
        texts = (count_text(lane.offered), rate_text(lane.achieved_per_s), ms_text(lane.p99_ms))
        figures = "".join(text.rjust(_LANE_COLUMN) for text in texts)
        style = "error" if lane.errors else ""
        errors = count_text(lane.errors).rjust(_LANE_COLUMN)
        lines.append([(set_cell_size(name, names), ""), (figures, ""), (errors, style)])
    return lines
