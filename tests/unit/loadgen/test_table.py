"""The summary on the terminal: verdict first, and nothing flattered."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from streambox.loadgen.table import (
    count_text,
    errors_text,
    mode_text,
    ms_text,
    number_text,
    read_verdict,
    share_text,
    summary_table,
)


def summary(**changes: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "mode": "open-loop",
        "offered": 18_012,
        "sent": 18_012,
        "unsent": 0,
        "completed": 18_012,
        "ok": 18_012,
        "wrong": 0,
        "errors": {},
        "duration_s": 30.004,
        "offered_per_s": 600.4,
        "throughput_per_s": 600.32,
        "send_lag_us": {"p50": 41.2, "p90": 61.0, "p99": 88.4, "p99_9": 420.0, "max": 1210.5},
        "response_ms": {"p50": 4.12, "p90": 5.9, "p99": 9.84, "p99_9": 14.2, "max": 1019.0},
        "service_ms": {"p50": 0.79, "p90": 1.1, "p99": 1.41, "p99_9": 2.2, "max": 3.1},
        "batch_size": {"mean": 7.213, "p50": 7.0, "max": 32},
        "verdict": {"valid": True, "reasons": [], "checked": True},
    }
    return {**figures, **changes}


def shown(figures: dict[str, Any], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(figures))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_verdict_and_the_mode_come_first() -> None:
    first, second = shown(summary()).splitlines()[:2]
    assert first == "✓ Valid: schedule kept, every request succeeded  open-loop"
    assert second == "  Every response was checked"


def test_every_figure_is_there() -> None:
    text = squeezed(shown(summary()))
    for figures in (
        "offered 18,012 600/s 30.0 s, 0 unsent",
        "completed 18,012 600/s 18,012 ok, 0 wrong",
        "errors 0 none",
        "p50 p90 p99 p99.9 max",
        "response 4.12 ms 5.90 ms 9.84 ms 14.2 ms 1.02 s",
        "service 790 µs 1.10 ms 1.41 ms 2.20 ms 3.10 ms",
        "send lag 41.2 µs 61.0 µs 88.4 µs 420 µs 1.21 ms",
        "batch size 7.21 on average, 7 at p50, 32 at most",
    ):
        assert figures in text


def test_it_fits_a_terminal_of_80_columns() -> None:
    assert max(map(len, shown(summary(), width=200).splitlines())) <= 80


@pytest.mark.parametrize(
    ("changes", "level", "headline"),
    [
        ({"wrong": 1}, "failed", "Failed: 1 wrong response"),
        ({"wrong": 2000, "verdict": {"valid": False}}, "failed", "Failed: 2,000 wrong responses"),
        ({"ok": 0}, "failed", "Failed: none of 18,012 requests succeeded"),
        (
            {"verdict": {"valid": False, "reasons": ["late"]}},
            "invalid",
            "Not valid: the load generator did not keep its schedule",
        ),
        ({"ok": 18_011}, "partial", "Valid, but 1 request failed (< 0.01 %)"),
        ({"ok": 17_652}, "partial", "Valid, but 360 requests failed (2 %)"),
        ({"mode": "closed-loop"}, "valid", "Every request succeeded"),
        ({"offered": 0, "ok": 0}, "empty", "Empty: the run offered no requests"),
    ],
)
def test_the_worst_comes_first(changes: dict[str, Any], level: str, headline: str) -> None:
    verdict = read_verdict(summary(**changes))
    assert (verdict.level, verdict.headline) == (level, headline)


def test_reasons_are_said_and_so_is_that_nothing_was_checked() -> None:
    unchecked = {"valid": False, "reasons": ["the send lag at p99 is 9.1 ms"], "checked": False}
    assert read_verdict(summary(verdict=unchecked)).remarks == (
        "The send lag at p99 is 9.1 ms",
        "Responses were not checked",
    )


def test_a_verdict_that_does_not_tell_of_checks_claims_none() -> None:
    assert read_verdict(summary(verdict={"valid": True, "reasons": []})).remarks == ()


def test_errors_are_ranked() -> None:
    text = squeezed(shown(summary(ok=17_000, errors={"reset": 2, "timeout": 1010})))
    assert "errors 1,012 timeout 1,010, reset 2" in text
    assert errors_text({}) == "none"


def test_text_from_outside_is_not_read_as_markup() -> None:
    text = shown(summary(errors={"[bold]odd[/nonsense]": 1}, verdict={"valid": False, "reasons": ["[/x]"]}))
    assert "[bold]odd[/nonsense] 1" in text
    assert "[/x]" in text


def test_a_run_without_responses_shows_dashes() -> None:
    nothing = dict.fromkeys(("p50", "p90", "p99", "p99_9", "max"))
    empty = summary(
        offered=0,
        ok=0,
        completed=0,
        send_lag_us=nothing,
        response_ms=nothing,
        service_ms=nothing,
        batch_size={"mean": None, "p50": None, "max": None},
    )
    text = squeezed(shown(empty))
    assert "response – – – – –" in text
    assert "batch size –" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("mode", "text"), [("open-loop", "open-loop"), ("closed-loop", "closed-loop"), ("closed", "closed-loop")]
)
def test_the_mode(mode: str, text: str) -> None:
    assert mode_text({"mode": mode}) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7.0, "7"), (7.213, "7.21"), (12.34, "12.3"), (0.5, "0.50"), (1512.3, "1,512"), (None, "–")],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [
        (0, "0 ms"),
        (0.0412, "41.2 µs"),
        (0.0999, "99.9 µs"),
        (0.9996, "1.00 ms"),
        (4.1, "4.10 ms"),
        (123.4, "123 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (61_234.0, "61.2 s"),
        (1_234_000.0, "1,234 s"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_durations_choose_their_unit(value_ms: float | None, text: str) -> None:
    assert ms_text(value_ms) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0 %"),
        (1, 1_000_000, "< 0.01 %"),
        (1, 8, "12.5 %"),
        (9_794, 10_000, "97.94 %"),
        (999_999, 1_000_000, "> 99.99 %"),
        (10, 10, "100 %"),
        (0, 0, "–"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


def test_counts_have_separators() -> None:
    assert count_text(1_071_190) == "1,071,190"


OBJECTIVES = [
    {"objective": "p99<50ms", "found": "12.000ms", "holds": True},
    {"objective": "ok>99%", "found": "[98.1%]", "holds": False},
]
LANES = [
    {
        "model": "digits",
        "tenant": tenant,
        "offered": 1000 * (number + 1),
        "ok": 1000 * number + 990,
        "goodput_per_s": 12.5 * number,
        "response_ms": {"p50": 1.5, "p99": 20.0 + number},
        "errors": {"timeout": 8, "reset": 2},
    }
    for number, tenant in enumerate(("acme", "", "[globex]"))
]


def test_objectives_stand_below_the_figures_with_what_was_found() -> None:
    text = squeezed(shown(summary(objectives=OBJECTIVES)))
    assert text.index("batch size") < text.index("p99<50ms 12.000ms ✓ met")
    assert "ok>99% [98.1%] ✗ missed" in text
    assert "✗ Missed: 1 objective" in text


def test_an_objective_that_was_met_is_not_a_fault() -> None:
    assert read_verdict(summary(objectives=OBJECTIVES[:1])).level == "valid"
    assert read_verdict(summary(objectives=OBJECTIVES)).level == "failed"


def test_each_lane_has_a_row() -> None:
    text = squeezed(shown(summary(lanes=LANES)))
    assert "lane offered ok goodput p50 p99 errors" in text
    assert "digits/acme 1,000 99 % 0/s 1.50 ms 20.0 ms 10" in text
    assert "digits 2,000 99.5 % 12.5/s 1.50 ms 21.0 ms 10" in text
    assert "digits/[globex] 3,000" in text


def test_how_fair_it_was_is_told_below_the_lanes() -> None:
    assert "fairness (Jain) 0.58" in squeezed(shown(summary(lanes=LANES, fairness=0.5842)))
    assert "fairness" not in shown(summary(lanes=LANES, fairness=None))


def test_one_lane_or_none_has_no_table() -> None:
    assert "goodput" not in shown(summary(lanes=LANES[:1])) + shown(summary())


def test_of_very_many_lanes_the_rest_is_counted() -> None:
    text = shown(summary(lanes=[{**LANES[0], "tenant": f"t{number}"} for number in range(255)]))
    assert "digits/t19" in text
    assert "digits/t20" not in text
    assert "and 235 more" in text


def test_lanes_and_objectives_fit_a_terminal_of_80_columns() -> None:
    named = [{**lane, "model": "a-model-with-quite-a-long-name", "offered": 10_000_000} for lane in LANES]
    text = shown(summary(lanes=named, objectives=OBJECTIVES), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("10,000,000") == 3


def test_where_something_is_off_the_last_line_names_a_command() -> None:
    late = {"valid": False, "reasons": ["the send lag at p99 is 9.1 ms"]}
    assert "→ `streambox load calibrate`" in shown(summary(verdict=late))
    assert "→" not in shown(summary())
