"""What is shown while a run goes on."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from streambox.loadgen.live import PlainView, Progress, SilentView, TerminalView, make_live_view, render


def progress_at(elapsed_s: float, **changes: Any) -> Progress:
    figures: dict[str, Any] = {
        "elapsed_s": elapsed_s,
        "total": 18_000,
        "sent": 7200,
        "completed": 7190,
        "ok": 7150,
        "errors": {"timeout": 12, "http_503:queue_full": 28},
        "in_flight": 10,
        "offered_per_s": 612.4,
        "achieved_per_s": 598.2,
        "p50_ms": 4.123,
        "p99_ms": 18.25,
        "mean_batch_size": 7.21,
        "lag_p99_us": 88.4,
    }
    return Progress(**{**figures, **changes})


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=60)


def terminal_console(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, _environ={"TERM": "xterm"})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_view_suits_the_console() -> None:
    assert isinstance(make_live_view(terminal_console()), TerminalView)
    assert isinstance(make_live_view(plain_console()), PlainView)
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(make_live_view(dumb), PlainView)
    assert isinstance(make_live_view(terminal_console(), quiet=True), SilentView)


def test_a_quiet_run_writes_nothing() -> None:
    console = plain_console()
    view = make_live_view(console, quiet=True)
    view.start(100, 10)
    view.update(progress_at(6))
    view.stop()
    assert written(console) == ""


def test_the_plain_view_writes_a_line_every_five_seconds_and_one_at_the_end() -> None:
    console = plain_console()
    view = make_live_view(console)
    view.start(18_000, 30)
    for quarter in range(1, 52):
        view.update(progress_at(quarter / 4))
    view.stop()
    view.stop()
    lines = written(console).splitlines()
    assert lines[0] == "sending 18,000 requests over 30 s"
    assert [float(line.split()[0]) for line in lines[1:]] == [5.0, 10.0, 12.8]


def test_the_plain_view_keeps_its_beat_after_a_pause() -> None:
    console = plain_console()
    view = make_live_view(console)
    view.start(18_000, 30)
    for elapsed_s in (4.9, 11.2, 11.4, 14.9, 15.1):
        view.update(progress_at(elapsed_s))
    assert [float(line.split()[0]) for line in written(console).splitlines()[1:]] == [11.2, 15.1]


def test_a_plain_line_holds_every_figure_and_is_never_wrapped() -> None:
    console = plain_console()
    view = make_live_view(console)
    view.start(18_000, 30)
    view.update(progress_at(12.0))
    (line,) = written(console).splitlines()[1:]
    assert line == (
        "  12.0 of 30 s | offered 612/s, achieved 598/s | 10 in flight, 7,150 ok"
        " | errors: http_503:queue_full 28, timeout 12 | p50 4.12 ms, p99 18.2 ms | batch 7.21"
        " | send lag p99 88.4 µs"
    )


def test_the_picture_shows_every_figure() -> None:
    picture = render(progress_at(12.0), 30, 100).plain
    for figure in (
        "40%",
        "12.0 of 30 s, 18 s left",
        "offered 612/s",
        "achieved 598/s",
        "in flight 10",
        "p50 4.12 ms",
        "p99 18.2 ms",
        "mean batch 7.21",
        "ok 7,150",
        "send lag p99 88.4 µs",
        "http_503:queue_full 28, timeout 12",
    ):
        assert figure in picture


@pytest.mark.parametrize(
    ("elapsed_s", "share", "full"),
    [(0, "0%", 0), (15, "50%", 20), (30, "100%", 40), (42, "100%", 40)],
)
def test_the_bar_follows_the_time(elapsed_s: float, share: str, full: int) -> None:
    picture = render(progress_at(elapsed_s), 30, 100).plain
    assert picture.count("━") == full
    assert picture.count("━") + picture.count("─") == 40
    assert f" {share}" in picture


def test_after_the_last_request_the_picture_says_what_it_waits_for() -> None:
    assert "30.4 of 30 s, waiting for 10" in render(progress_at(30.4), 30).plain


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_what_is_not_known_yet_is_a_dash(unknown: float | None) -> None:
    names = ("offered_per_s", "achieved_per_s", "p50_ms", "p99_ms", "mean_batch_size", "lag_p99_us")
    picture = render(progress_at(0.1, **dict.fromkeys(names, unknown), errors={}), 30).plain
    assert picture.count(" –") == 6
    assert "nan" not in picture
    assert picture.endswith("none")


def test_many_kinds_of_error_stay_on_one_line() -> None:
    errors = {f"http_50{kind}": 10 * (kind + 1) for kind in range(8)}
    last_line = render(progress_at(3, errors=errors), 30).plain.splitlines()[-1]
    assert "http_507 80, http_506 70, http_505 60, http_504 50" in last_line
    assert f"others {10 + 20 + 30 + 40}" in last_line


def test_a_closed_loop_without_a_total_is_named() -> None:
    console = plain_console()
    view = make_live_view(console)
    view.start(0, 30)
    assert written(console) == "sending a closed loop over 30 s\n"


def test_the_terminal_view_draws_on_update_and_leaves_the_cursor_on() -> None:
    console = terminal_console()
    view = make_live_view(console)
    view.start(18_000, 30)
    view.update(progress_at(12.0))
    assert "612/s" in written(console)
    assert "18 s left" in written(console)
    view.stop()
    view.stop()
    assert written(console).endswith("\x1b[2K")  # the picture is gone: transient
    assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")


def test_the_terminal_view_fits_a_narrow_terminal() -> None:
    console = terminal_console(width=50)
    view = make_live_view(console)
    view.start(18_000, 30)
    view.update(progress_at(12.0))
    view.stop()
    picture = render(progress_at(12.0), 30, 50)
    assert len(console.render_lines(picture)) == 5  # lines are cut, never wrapped


def test_a_view_that_was_never_started_can_be_updated_and_stopped() -> None:
    view = make_live_view(terminal_console())
    view.update(progress_at(1))
    view.stop()
