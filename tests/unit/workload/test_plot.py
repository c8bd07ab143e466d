"""The picture of a pattern: its figures, and a page of its own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from streambox.page import Chart, TimeAxis, page
from streambox.workload.figures import autocorrelation, index_of_dispersion
from streambox.workload.plot import pattern_figures, write_plot

if TYPE_CHECKING:
    from pathlib import Path


def draw(path: Path, counts: list[int], title: str = "bursty-load.txt", unit_s: float = 1.0) -> str:
    write_plot(path / "plot.html", counts, title, unit_s)
    return (path / "plot.html").read_text(encoding="utf-8")


def charts_in(text: str) -> dict[str, dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return {chart["id"].removeprefix("chart-"): chart for chart in json.loads(found[1])}


def pattern(*counts: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(counts, np.float64)


def test_dispersion_of_poisson_counts_is_about_one() -> None:
    counts = np.random.default_rng(1).poisson(20, 20_000).astype(np.float64)
    for units in (1, 10, 60):
        assert index_of_dispersion(counts, units) == pytest.approx(1, abs=0.2)


def test_the_key_figures() -> None:
    assert pattern_figures(pattern(0, 0, 0, 40)) == {
        "mean per unit": "10",
        "peak per unit": "40",
        "peak / mean": "4",
        "units without a request": "75.0 %",
        "index of dispersion, 1 unit": "30",
        "index of dispersion, 10 units": "–",
        "index of dispersion, 60 units": "–",
    }


def test_the_page_shows_the_figures_and_the_counts(tmp_path: Path) -> None:
    counts = [3, 1, 4, 1, 5, 9, 2, 6]
    text = draw(tmp_path, counts, unit_s=0.5)
    assert "8 time units of 0.5 s, 31 requests" in text
    for label, figure in pattern_figures(pattern(*counts)).items():
        assert f"<dt>{label}</dt><dd>{figure}</dd>" in text
    trace = charts_in(text)["counts"]["data"][0]
    assert trace["x"] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert trace["y"] == counts
    correlation = charts_in(text)["correlation"]["data"][0]["y"]
    assert correlation == pytest.approx(autocorrelation(pattern(*counts), 60).tolist(), abs=1e-4)


def test_the_histogram_counts_every_unit(tmp_path: Path) -> None:
    counts = [int(count) for count in np.random.default_rng(2).integers(0, 3000, 1440)]
    trace = charts_in(draw(tmp_path, counts))["histogram"]["data"][0]
    assert sum(trace["y"]) == 1440
    assert len(trace["y"]) <= 60
    first_low, first_high = (int(edge) for edge in trace["customdata"][0].split(" – "))
    assert trace["y"][0] == sum(first_low <= count <= first_high for count in counts)


def test_empty_units_are_left_out_of_the_histogram_where_they_would_hide_the_rest(tmp_path: Path) -> None:
    text = draw(tmp_path, [0] * 90 + [7] * 9 + [8])
    trace = charts_in(text)["histogram"]["data"][0]
    assert {x: y for x, y in zip(trace["x"], trace["y"], strict=True) if y} == {7: 9, 8: 1}
    assert "90.0 % without a request are left out" in text


def test_a_long_pattern_is_thinned_to_means_and_peaks(tmp_path: Path) -> None:
    counts = [1] * 86_399 + [500]
    smallest, mean = charts_in(draw(tmp_path, counts))["counts"]["data"]
    assert smallest["name"] == "largest"
    assert max(smallest["y"]) == 500
    assert len(mean["y"]) <= 2000
    assert mean["y"][0] == 1


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0], [5], [5, 5]])
def test_degenerate_patterns_still_make_a_page(tmp_path: Path, counts: list[int]) -> None:
    text = draw(tmp_path, counts)
    assert all(trace["y"] for chart in charts_in(text).values() for trace in chart["data"])
    assert f"{len(counts)} time units" in text


def test_the_page_asks_for_nothing_else_and_escapes_its_title(tmp_path: Path) -> None:
    text = draw(tmp_path, [1, 2, 3], title="<img src=x onerror=alert(1)>")
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "&lt;img src=x" in text
    assert "default-src 'none'" in text
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "http" not in ours.replace("http-equiv", "")
    assert not re.search(r"\b(src|href)\s*=\s*[\"']", ours)


def test_nothing_in_a_trace_can_end_the_script() -> None:
    chart = Chart("odd", "Odd", "", [{"name": "</script><script>alert(1)</script>"}], ("x", "y"))
    text = page("t", [], [chart])
    assert "<script>alert(1)" not in text
    assert charts_in(text)["odd"]["data"][0]["name"] == "</script><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("duration_s", "unit", "at_an_hour"), [(600, "s", 3600), (601, "min", 60), (36_001, "h", 1)]
)
def test_long_runs_are_told_in_minutes_or_hours(duration_s: float, unit: str, at_an_hour: float) -> None:
    axis = TimeAxis.of(duration_s)
    assert axis.title == f"Time since the start ({unit})"
    assert axis.at(3600) == at_an_hour
