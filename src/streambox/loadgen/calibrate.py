"""
What this machine can honestly send: ``load calibrate``.

The highest rate at which the Load Generator keeps its own schedule, against a static server
on the same machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console

from streambox.loadgen.certificate import Calibration, machine
from streambox.loadgen.climb import Climb
from streambox.loadgen.find_max import Found, Search, Segment
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.loadgen.run import RunOptions
from streambox.loadgen.session import run_load
from streambox.loadgen.static_server import static_server

if TYPE_CHECKING:
    from streambox.loadgen.session import Finished

LATE_SHARE: Final = 0.01  # so many may be later than the budget: it is one on the p99
_START_PER_S: Final = 1000.0
_HIGHEST_PER_S: Final = 400_000.0
_PRECISION: Final = 0.1
_MOST_SEGMENTS: Final = 5
_SILENT: Final = Console(quiet=True)


def calibrate(
    budget_ns: int, segment_ns: int, console: Console, workers: int = 1
) -> tuple[Calibration | None, Found]:
    """
    Search the highest rate whose send lag stays within *budget_ns* at p99. Progress goes to *console*.

    Requests are sent, and answers checked, as a run does both if it is not told otherwise.

    Returns the calibration, None where not even the lowest rate does, and every rate tried.
    """
    with static_server() as port:
        segments = _Segments(port, budget_ns, segment_ns, console, workers)
        climb = Climb(LATE_SHARE, start_per_s=_START_PER_S, highest_per_s=_HIGHEST_PER_S)
        segments.play(climb)
        search = Search(
            [LATE_SHARE],
            start_per_s=climb.reached_per_s,
            lowest_per_s=1,
            highest_per_s=_HIGHEST_PER_S,
            precision=_PRECISION,
            most_segments=_MOST_SEGMENTS,
        )
        segments.play(search)
    found = search.found()
    if found.rate_per_s is None:
        return None, found
    return Calibration(found.rate_per_s, budget_ns, machine(), workers), found


class _Segments:
    """Short runs at the server on *port*, each with arrivals of its own."""

    def __init__(self, port: int, budget_ns: int, segment_ns: int, console: Console, workers: int) -> None:
        self._options = RunOptions(target=Target("127.0.0.1", port, "/"), workers=workers)
        self._budget_ns = budget_ns
        self._segment_ns = segment_ns
        self._console = console
        self._played = 0
        self._interrupted = False

    def play(self, search: Climb | Search) -> None:
        """All that *search* asks for, unless it is interrupted."""
        while not self._interrupted and (rate := search.rate_per_s) is not None:
            finished = self._run(rate)
            self._interrupted = len(finished.outcomes) < len(finished.schedule)
            if not self._interrupted:
                search.add(self._told(rate, finished))

    def _run(self, rate: float) -> Finished:
        workload = WorkloadOptions(rate_per_s=rate, duration_ns=self._segment_ns, seed=self._played)
        self._played += 1
        return run_load(workload, self._options, "digits", _SILENT, quiet=True)

    def _told(self, rate: float, finished: Finished) -> Segment:
        outcomes = finished.outcomes
        late = ~outcomes.sent | (outcomes.sent_ns - outcomes.intended_ns > self._budget_ns)
        lag_us = finished.summary["send_lag_us"]["p99"]
        self._console.print(f"{rate:10,.0f}/s  send lag p99 {lag_us:8.0f} µs, {late.mean():.2%} late")
        return Segment(len(outcomes), (int(late.sum()),))
