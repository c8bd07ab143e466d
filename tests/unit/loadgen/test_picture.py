"""What the live display shows, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from made_runs import progress_at
from streambox.loadgen.live import LaneProgress, Progress
from streambox.loadgen.picture import STYLES, History, compose, fit, sparkline


def history_of(*rates: tuple[float, float], step_s: float = 0.25) -> History:
    """As a view fills it: these rates, each for *step_s*."""
    history = History()
    for number, pair in enumerate(rates, 1):
        history.add(number * step_s, *pair)
    return history


def lines_of(progress: Progress, duration_s: float = 30, width: int = 100, **more: Any) -> list[str]:
    history = more.get("history") or History()
    return ["".join(text for text, _ in line) for line in compose(progress, history, duration_s, width)]


def text_of(progress: Progress, duration_s: float = 30, width: int = 100) -> str:
    return "\n".join(lines_of(progress, duration_s, width))


def test_every_figure_is_there() -> None:
    text = text_of(progress_at(12.0))
    for figure in (
        "40%",
        "12.0 of 30 s, 18 s left",
        "offered   612/s",
        "achieved  598/s",
        "in flight 10",
        "p50 4.12 ms",
        "p90 7.50 ms",
        "p99 18.2 ms",
        "mean batch 7.21",
        "ok 7,150",
        "send lag p99 88.4 µs",
        "http_503:queue_full 28, timeout 12",
    ):
        assert figure in text


@pytest.mark.parametrize(
    ("elapsed_s", "share", "full"),
    [(-0.1, "0%", 0), (0, "0%", 0), (15, "50%", 20), (30, "100%", 40), (42, "100%", 40)],
)
def test_the_bar_follows_the_time(elapsed_s: float, share: str, full: int) -> None:
    bar = lines_of(progress_at(elapsed_s))[0]
    assert bar.count("━") == full
    assert bar.count("━") + bar.count("─") == 40
    assert f" {share}" in bar


def test_after_the_last_request_the_bar_says_what_it_waits_for() -> None:
    assert "30.4 of 30 s, waiting for 10" in text_of(progress_at(30.4))


def test_a_long_run_is_told_in_minutes_and_hours() -> None:
    assert "2:05 of 10:00, 7:55 left" in text_of(progress_at(125), 600)
    assert "1:00:00 of 1:30:00, 30:00 left" in text_of(progress_at(3600), 5400)


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_what_is_not_known_yet_is_a_dash(unknown: float | None) -> None:
    names = ("offered_per_s", "achieved_per_s", "p50_ms", "p90_ms", "p99_ms", "mean_batch_size", "lag_p99_us")
    text = text_of(progress_at(0.1, **dict.fromkeys(names, unknown), errors={}))
    assert text.count(" –") == 7
    assert "nan" not in text
    assert text.endswith("none")


def test_many_kinds_of_error_stay_on_one_line() -> None:
    errors = {f"http_50{kind}": 10 * (kind + 1) for kind in range(8)}
    last_line = lines_of(progress_at(3, errors=errors))[-1]
    assert "http_507 80, http_506 70, http_505 60, http_504 50" in last_line
    assert f"others {10 + 20 + 30 + 40}" in last_line


# ---- the last minute -----------------------------------------------------------------------------


def test_a_letter_is_as_high_as_its_value_and_only_nothing_is_blank() -> None:
    assert sparkline([0, 1, 50, 100], 100) == " ▁▄█"
    assert sparkline([0.001], 100) == "▁"
    assert sparkline([0, 0], 0) == "  "


def test_both_rates_are_drawn_on_one_scale_a_letter_a_second() -> None:
    history = history_of(*[(100, 100)] * 4, *[(800, 400)] * 4, *[(0, 400)] * 4)
    _, offered, achieved, *_ = lines_of(progress_at(3.0), history=history)
    assert offered.startswith("offered   612/s    ▁█ ")
    assert achieved.startswith("achieved  598/s    ▁▄▄")
    assert offered.endswith("█ 800/s")  # what the full height stands for


def test_the_second_that_is_not_over_is_not_drawn() -> None:
    history = history_of(*[(100, 100)] * 4, (900, 900))
    assert history.sparklines(60).lines == ["█", "█"]


def test_what_came_in_a_long_step_is_spread_over_its_seconds() -> None:
    history = history_of((300, 100), step_s=3.0)
    assert history.sparklines(60).lines == ["███", "▃▃▃"]
    assert history.sparklines(60).top_per_s == pytest.approx(300)


def test_a_narrow_terminal_shows_the_whole_minute_in_fewer_letters() -> None:
    history = history_of(*[(second, second) for second in range(1, 91) for _ in range(4)])
    assert [len(history.sparklines(room).lines[0]) for room in (80, 60, 59, 30, 20)] == [60, 60, 30, 30, 20]
    assert history.sparklines(60).top_per_s == 90


def test_only_the_last_minute_is_kept() -> None:
    history = history_of(*[(5000, 5000)] * 4, *[(100, 100)] * 400)
    assert history.sparklines(60).top_per_s == pytest.approx(100)
    assert len(history._counts) <= 62


def test_a_pause_of_days_is_a_minute() -> None:
    history = history_of((100, 100))
    history.add(10.0**9, 50, 50)  # would take minutes, second by second
    assert history.sparklines(60).lines[0] == "█" * 60


def test_a_rate_that_is_not_known_draws_nothing() -> None:
    history = History()
    history.add(1.0, None, None)
    assert history.sparklines(60).lines == [" ", " "]


# ---- lanes ---------------------------------------------------------------------------------------

LANES = (
    LaneProgress("digits/acme", 1234, 101.5, 5.1, 0),
    LaneProgress("ranker/initech", 567, None, None, 12),
    LaneProgress("and 4 more", 89, 3.0, 250.0, 1),
)


def test_each_lane_has_a_row_with_its_figures_below_their_names() -> None:
    head, first, second, third = lines_of(progress_at(3, lanes=LANES))[-4:]
    assert head.split() == ["lane", "requests", "answers", "p99", "errors"]
    assert first.split() == ["digits/acme", "1,234", "102/s", "5.10", "ms", "0"]
    assert second.split() == ["ranker/initech", "567", "–", "–", "12"]
    assert third.split() == ["and", "4", "more", "89", "3/s", "250", "ms", "1"]
    assert len({len(line) for line in (head, first, second, third)}) == 1


def test_one_lane_has_no_row() -> None:
    assert len(lines_of(progress_at(3, lanes=LANES[:1]))) == len(lines_of(progress_at(3)))


@pytest.mark.parametrize("width", [59, 79, 119])
def test_a_long_name_gives_way_to_the_figures(width: int) -> None:
    lane = LaneProgress("a-model-with-quite-a-name/and-a-tenant-with-another", 1, 2.0, 3.0, 4)
    row = lines_of(progress_at(3, lanes=(lane, *LANES)), width=width)[-4]
    assert len(row) <= width
    assert row.split()[-4:] == ["2/s", "3.00", "ms", "4"]
    assert ("…" in row) == (width < 100)


def test_names_of_wide_letters_keep_the_columns() -> None:
    wide = LaneProgress("数字/顧客", 1, 2.0, 3.0, 4)
    *_, head, row, _ = lines_of(progress_at(3, lanes=(wide, LANES[0])))
    assert len(head) - len(row) == 4  # four letters of five are two cells wide


# ---- cutting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [10, 20, 30, 59, 79])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    errors = {"http_503:queue_full" * 3: 28, "数字" * 20: 12}
    history = history_of(*[(100, 90)] * 400)
    for line in compose(progress_at(100.0, errors=errors, lanes=LANES), history, 200, width):
        cells = sum(2 if ord(letter) > 0x2E80 else 1 for text, _ in fit(line, width) for letter in text)
        assert cells <= width


def test_a_cut_line_says_so() -> None:
    assert fit([("abc", ""), ("defgh", "figure")], 6) == [("abc", ""), ("de…", "figure")]
    assert fit([("abc", ""), ("def", "figure")], 6) == [("abc", ""), ("def", "figure")]
    assert fit([("abc", ""), ("def", "")], 3) == [("abc", ""), ("", "")]


def test_what_would_move_the_cursor_is_not_shown() -> None:
    assert fit([("evil\x1b[2J\nkind\r", "error")], 80) == [("evil?[2J?kind?", "error")]


def test_a_terminal_without_unicode_gets_letters_that_it_has() -> None:
    history = history_of(*[(100, 90)] * 8)
    for line in compose(progress_at(12.0, errors={"日": 1}, lanes=LANES), history, 30, 99):
        for text, _ in fit(line, 99, ascii_only=True):
            assert text.isascii()
    assert fit([("4 µs – ▁█━─…", "")], 80, ascii_only=True) == [("4 us - .#=-~", "")]


def test_every_style_that_is_used_is_known() -> None:
    history = history_of(*[(100, 90)] * 8)
    used = {style for line in compose(progress_at(3.0, lanes=LANES), history, 30, 99) for _, style in line}
    assert used <= set(STYLES)
