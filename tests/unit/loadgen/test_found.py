"""What a search has found: as a table, for a program, and as a picture of the curve."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from rich.console import Console

from streambox.loadgen.find_max import Search, Segment
from streambox.loadgen.found_page import write_found
from streambox.loadgen.probe import FindOptions, crossing_text, found_json, found_table
from streambox.loadgen.slo import parse_objective

SECOND = 1_000_000_000
OPTIONS = FindOptions(
    objectives=(parse_objective("p99<50ms"), parse_objective("ok>90%")),
    start_per_s=100,
    highest_per_s=1000,
    arrivals="poisson",
    segment_ns=10 * SECOND,
    warm_up_ns=2 * SECOND,
    precision=0.1,
    most_segments=5,
    seed=0,
)


def searched(limit: float, **changes):
    """A server that misses the first objective more and more often around *limit*."""
    options = {"start_per_s": 100, "lowest_per_s": 1, "highest_per_s": 1000, "precision": 0.1}
    search = Search([0.01, 0.1], most_segments=5, **{**options, **changes})
    while (rate := search.rate_per_s) is not None:
        trial = search.trial
        missed = min(1.0, 0.01 * (rate / limit) ** 20) * (0.9 + 0.1 * (len(trial.segments) % 3))
        search.add(Segment(10_000, (round(10_000 * missed), 0), 2.0, 10 + rate / 10))
    return search.found()


FOUND = searched(300)


def test_the_table_shows_every_rate_and_where_the_limit_is():
    console = Console(width=140)
    with console.capture() as capture:
        console.print(found_table(OPTIONS, FOUND))
    text = capture.get()
    assert f"{FOUND.rate_per_s:,.1f}/s holds" in text
    assert crossing_text(FOUND.crossing) in text
    for trial in FOUND.trials:
        assert f"{trial.rate_per_s:,.1f}/s" in text
    assert "missed ok>90%" in text


def test_the_limit_lies_between_the_rates_that_hold_and_fail():
    crossing = FOUND.crossing
    assert FOUND.rate_per_s <= crossing.rate_per_s == pytest.approx(300, rel=0.05)
    assert crossing.low <= FOUND.rate_per_s < crossing.high


def test_the_json_has_the_limit_and_the_curve():
    content = json.loads(found_json(OPTIONS, FOUND))
    assert set(content["limit_per_s"]) == {"rate_per_s", "low", "high"}
    assert content["rate_per_s"] == FOUND.rate_per_s
    assert content["curve"][0]["segments"][0] == {
        "offered": 10_000, "missed": [0, 0], "p50_ms": 2.0, "p99_ms": pytest.approx(20), "concerned": [],
    }  # fmt: skip


def charts_in(path, found):
    write_found(path, OPTIONS, found)
    page = path.read_text(encoding="utf-8")
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])
    return page, {chart["id"].removeprefix("chart-"): chart for chart in charts}


def test_the_page_draws_what_was_missed_at_every_rate_and_the_band_of_the_limit(tmp_path):
    page, charts = charts_in(tmp_path / "found.html", FOUND)
    assert list(charts) == ["missed-0", "missed-1", "latency"]
    drawn = [x for trace in charts["missed-0"]["data"] for x in trace["x"]]
    assert sorted(drawn) == [round(trial.rate_per_s, 3) for trial in FOUND.trials]
    line, band = charts["missed-0"]["layout"]["shapes"]
    assert line["y0"] == pytest.approx(1)
    assert (band["x0"], band["x1"]) == FOUND.crossing[1:]
    assert [trace["name"] for trace in charts["latency"]["data"]] == ["p50", "p99"]
    assert "holds p99&lt;50ms, ok&gt;90%" in page


def test_a_search_that_found_nothing_has_a_page_all_the_same(tmp_path):
    nothing = searched(0.5, lowest_per_s=10)
    assert nothing.rate_per_s is None
    page, charts = charts_in(tmp_path / "found.html", nothing)
    assert "No rate holds" in page
    assert charts["missed-0"]["data"][0]["name"] == "fails"
    search = Search([0.01], start_per_s=1, lowest_per_s=1, highest_per_s=9, precision=0.1, most_segments=5)
    search.give_up()
    assert charts_in(tmp_path / "none.html", search.found())[1] == {}


def test_an_interrupted_search_says_so_in_the_table_the_json_and_the_page(tmp_path):
    interrupted = msgspec.structs.replace(FOUND, interrupted=True)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(found_table(OPTIONS, interrupted))
    assert "interrupted before the search was over" in capture.get()
    assert json.loads(found_json(OPTIONS, interrupted))["interrupted"] is True
    assert json.loads(found_json(OPTIONS, FOUND))["interrupted"] is False
    write_found(tmp_path / "found.html", OPTIONS, interrupted)
    assert "Interrupted before the search was over" in (tmp_path / "found.html").read_text()
