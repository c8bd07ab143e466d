"""What is shown while a run goes on."""

from __future__ import annotations

import io

from rich.console import Console

from made_runs import progress_at
from streambox.loadgen.live import PlainView, SilentView, TerminalView, make_live_view, plain_line


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
        " | errors: http_503:queue_full 28, timeout 12 | p50 4.12 ms, p90 7.50 ms, p99 18.2 ms | batch 7.21"
        " | send lag p99 88.4 µs"
    )


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
    assert written(console).rindex("\x1b[J") > written(console).rindex("left")  # the picture is taken away
    assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")


def test_a_view_that_was_never_started_can_be_updated_and_stopped() -> None:
    view = make_live_view(terminal_console())
    view.update(progress_at(1))
    view.stop()


def test_a_line_of_a_closed_loop_says_that_it_is_one():
    assert "send lag" in plain_line(progress_at(1.0), 30)
    line = plain_line(progress_at(1.0, total=0), 30)
    assert line.endswith("| closed loop")
    assert "send lag" not in line  # there is no schedule to lag behind
