"""Sources side by side, as a table, as values and as a page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from streambox.workload.events import Events
from streambox.workload.figures import distances, figures_of
from streambox.workload.inspection import as_builtins, figure_rows, figures_table, inspect, number_text
from streambox.workload.inspection_page import write_page
from streambox.workload.processes import parse_process
from streambox.workload.transforms import apply_all, parse_transforms

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000


def drawn(text: str, seconds: int = 60) -> Events:
    duration_ns = seconds * SECOND
    return Events.of(parse_process(text).arrivals(duration_ns, np.random.default_rng(1)), duration_ns)


POISSON, GAMMA = drawn("poisson:rate=50"), drawn("gamma:rate=50,cv=3")
NOTHING = Events.of(np.empty(0, np.int64), 60 * SECOND)


def rows(**sources: Events) -> dict[str, list[str]]:
    return dict(figure_rows(inspect(sources)))


def test_all_are_compared_with_the_first():
    one, other = inspect({"one": POISSON, "other": GAMMA})
    assert (one.figures, one.apart) == (figures_of(POISSON), None)
    assert (other.figures, other.apart) == (figures_of(GAMMA), distances(POISSON, GAMMA))


def test_the_table_has_the_figures_that_the_issue_asks_for():
    found = rows(one=POISSON, other=GAMMA)
    for label in ("arrivals", "mean rate", "peak / mean, 1s", "CV of gaps", "burstiness", "idle share, 1s"):
        assert len(found[label]) == 2
    assert [found[f"dispersion, {tau_s} s"][0] == "–" for tau_s in (0.1, 1)] == [False, False]
    assert found["KS of gaps"][0] == "–"
    assert float(found["KS of gaps"][1]) > 0.2


def test_what_no_source_has_gets_no_row():
    assert "KS of gaps" not in rows(one=POISSON)
    assert "dispersion, 10 s" not in rows(one=POISSON)  # 60 s hold it 6 times
    assert "CV of gaps" not in rows(one=NOTHING)
    assert rows(one=NOTHING, other=POISSON)["CV of gaps"][0] == "–"


def test_the_unit_can_be_chosen():
    found = dict(figure_rows(inspect({"one": POISSON}, SECOND // 10)))
    assert "peak / mean, 100ms" in found


def test_names_are_shown_as_they_are():
    console = Console(width=100)
    with console.capture() as captured:
        console.print(figures_table(inspect({"[bold]x": POISSON})))
    assert "[bold]x" in captured.get()


def test_the_values_are_fit_for_json():
    after, reports = apply_all(POISSON, parse_transforms(["cv:2"]), np.random.default_rng(1))
    values = json.loads(
        json.dumps(as_builtins(inspect({"a": POISSON, "b": after}), reports), allow_nan=False)
    )
    assert [source["name"] for source in values["sources"]] == ["a", "b"]
    assert values["sources"][1]["gap_cv"] == pytest.approx(2, rel=0.01)
    assert values["sources"][1]["ks_to_first"]["shape"] == pytest.approx(distances(POISSON, after).shape)
    assert values["sources"][0]["idc"][0].keys() == {"tau_s", "value"}
    assert values["transforms"][0]["promises"][1]["expected"] == 2


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.00123, "0.00123")]
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text


# ---- the page ------------------------------------------------------------------------------------


def page_of(path: Path, texts: list[str] = [], **sources: Events) -> str:  # noqa: B006 - only read
    first = next(iter(sources.values()))
    _, reports = apply_all(first, parse_transforms(texts), np.random.default_rng(1))
    write_page(path / "page.html", inspect(sources), reports)
    return (path / "page.html").read_text(encoding="utf-8")


def charts_in(text: str) -> dict[str, dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)
    return {chart["id"].removeprefix("chart-"): chart for chart in json.loads(found[1])}


def test_each_source_has_its_line_in_each_of_the_four_charts(tmp_path):
    charts = charts_in(page_of(tmp_path, one=POISSON, two=GAMMA, three=POISSON))
    assert list(charts) == ["rates", "gaps", "dispersion", "correlation"]
    for chart in charts.values():
        assert [trace["name"] for trace in chart["data"]] == ["one", "two", "three"]
        assert len({trace["line"]["color"] for trace in chart["data"]}) == 3
    assert [charts[name]["layout"]["xaxis"].get("type") for name in charts] == [None, "log", "log", None]


def test_rates_are_arrivals_per_second_over_time(tmp_path):
    trace = charts_in(page_of(tmp_path, one=drawn("steps:levels=10/s:30s+90/s:30s")))["rates"]["data"][0]
    assert trace["x"][:2] == [0, 1]
    assert len(trace["x"]) == len(trace["y"]) == 61
    assert np.mean(trace["y"][:30]) == pytest.approx(10, rel=0.2)
    assert np.mean(trace["y"][30:60]) == pytest.approx(90, rel=0.1)


def test_sources_that_last_differently_share_an_axis_of_shares(tmp_path):
    rates = charts_in(
        page_of(tmp_path, day=drawn("ramp:from=0,to=10", 600), small=drawn("ramp:from=0,to=50", 6))
    )["rates"]
    assert "Share of the duration" in rates["layout"]["xaxis"]["title"]["text"]
    for trace in rates["data"]:
        assert trace["x"][-1] == 100
        assert np.mean(trace["y"][-20:]) == pytest.approx(2, rel=0.2)  # a ramp ends at twice its mean


def test_gaps_are_shown_by_the_share_that_is_longer(tmp_path):
    trace = charts_in(page_of(tmp_path, one=drawn("poisson:rate=50", 600)))["gaps"]["data"][0]
    shares = np.interp([0.01, 0.02, 0.06], trace["x"], trace["y"])
    assert shares == pytest.approx(np.exp(-50 * np.array([0.01, 0.02, 0.06])), rel=0.1)
    assert len(trace["x"]) < 2100


def test_dispersion_is_one_for_poisson_arrivals_in_every_window(tmp_path):
    trace = charts_in(page_of(tmp_path, one=drawn("poisson:rate=50", 600)))["dispersion"]["data"][0]
    assert trace["x"][-1] == 50  # 60 s would be the most
    assert all(0.4 < value < 1.8 for value in trace["y"])


def test_what_transforms_kept_is_told(tmp_path):
    text = page_of(tmp_path, ["scale:2"], one=POISSON)
    assert "What each transform kept" in text
    assert "scale:2: 3,002 → 6,004 arrivals; mean rate" in text
    assert "What each transform kept" not in page_of(tmp_path, one=POISSON)


ODD = {
    "nothing": {"one": NOTHING},
    "one arrival": {"one": Events.of(np.array([3], np.int64), 10)},
    "nothing beside something": {"one": NOTHING, "two": POISSON},
    "something beside nothing": {"one": POISSON, "two": NOTHING, "three": NOTHING},
    "all at once": {"one": Events.of(np.full(99, 5, np.int64), 60 * SECOND)},
    "one at the end of an odd length": {"one": Events.of(np.array([1000], np.int64), 1001), "two": POISSON},
    "a metronome": {"one": drawn("constant:rate=5")},
    "a nanosecond": {"one": Events.of(np.array([0], np.int64), 1)},
}


@pytest.mark.parametrize("sources", ODD.values(), ids=ODD)
def test_odd_sources_still_make_a_page(tmp_path, sources):
    text = page_of(tmp_path, **sources)
    ours = re.sub(r"<script( type=.text/plain.[^>]*)?>.*?</script>", "", text, flags=re.DOTALL)
    assert "NaN" not in ours
    assert "Infinity" not in ours


def test_the_page_asks_for_nothing_else_and_escapes_names(tmp_path):
    text = page_of(tmp_path, **{"<img src=x onerror=alert(1)>": POISSON, "b": GAMMA})
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "<img" not in ours
    assert "http" not in ours.replace("http-equiv", "")
    names = [trace["name"] for trace in charts_in(text)["rates"]["data"]]
    assert names[0].startswith("&lt;img")
