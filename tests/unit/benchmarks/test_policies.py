"""The comparison of policies: its arithmetic, its pictures, and in small what it is there to show."""

from __future__ import annotations

import math
import statistics
import sys
from xml.etree import ElementTree

import numpy as np
import policies
import pytest
from panels import HEIGHT, WIDTH, Axis, Band, Line, Panel, svg
from policy_cells import (
    NO_SLACK,
    RULES,
    SLO,
    UNIT_NS,
    Cell,
    Rule,
    SmallCase,
    arrivals,
    best,
    capacity_per_s,
    goodput,
    half_interval,
    is_any_other,
    is_rival,
    is_window,
    ratio_to,
)
from policy_pictures import draw_goodputs, draw_ratios

RIVALS = (Rule("eager"), Rule("window", 2), Rule("window", 10))
SHORT = {"poisson": 24, "bursty": 48, "periodic": 200, "sporadic": 200}


# ---- what it is there to show ----------------------------------------------------------------------


@pytest.mark.parametrize("pattern", SHORT)
@pytest.mark.parametrize("load", [0.3, 0.9, 1.2])
def test_slo_answers_at_least_99_percent_of_what_the_best_other_does(pattern, load):
    """Virtual time: the same on every machine."""
    cell = Cell(pattern, 25, load)
    ours = goodput(cell, SLO, 1, SHORT[pattern])
    theirs = max(goodput(cell, rule, 1, SHORT[pattern]) for rule in RIVALS)
    assert ours >= 0.99 * theirs


def test_under_a_full_load_of_bursts_slo_answers_a_third_more_than_any_fixed_window():
    cell = Cell("bursty", 25, 0.9)
    windows = [rule for rule in RULES if is_window(rule.name)]
    assert len(windows) == 6
    assert goodput(cell, SLO, 1, 48) >= 1.3 * max(goodput(cell, rule, 1, 48) for rule in windows)


@pytest.mark.parametrize("rule", [SLO, NO_SLACK, *RIVALS], ids=lambda rule: rule.name)
def test_no_policy_answers_more_than_was_possible(rule):
    for load in (0.5, 2.0):
        case = SmallCase(load, 9.0)
        for seed in range(3):
            assert case.answered(rule, seed) <= case.possible(seed) <= case.requests
    assert SmallCase(0.5, 15.0).answered(rule, 0) > 0


# ---- its arithmetic --------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", SHORT)
def test_the_load_is_that_of_the_time_in_which_there_is_any(pattern):
    instants = arrivals(pattern, 0.5, 3)
    per_unit = np.bincount(instants // UNIT_NS)
    rate = per_unit[per_unit > 0].mean() / UNIT_NS * 1e9
    assert rate == pytest.approx(0.5 * capacity_per_s(), rel=0.05)
    assert np.array_equal(instants, arrivals(pattern, 0.5, 3)), "not the same for the next rule"
    assert not np.array_equal(instants[:50], arrivals(pattern, 0.5, 4)[:50])


def test_ratios_are_taken_pair_by_pair_of_the_same_arrivals():
    ratio = ratio_to({"slo": [0.9, 0.6], "eager": [0.9, 0.5]}, "eager")
    assert ratio.mean == pytest.approx(1.1)
    assert ratio.half == pytest.approx(12.71 * statistics.stdev([1, 1.2]) / math.sqrt(2))
    assert math.isnan(half_interval([1.0]))


def test_the_best_of_the_others_is_chosen_with_hindsight_from_those_that_may_be():
    goodputs = {"slo": [1.0], "eager": [0.5], "window 5 ms": [0.4], "window 2 ms, 16 rows": [0.7]}
    assert best(goodputs, is_rival) == "eager"
    assert best(goodputs, is_window) == "window 5 ms"
    assert best(goodputs, is_any_other) == "window 2 ms, 16 rows"


def test_rules_are_told_apart_by_name():
    assert len({rule.name for rule in RULES}) == len(RULES)


# ---- the command -----------------------------------------------------------------------------------


def test_the_command_keeps_what_it_finds_and_draws_it_again(tmp_path, monkeypatch, capsys):
    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["policies.py", *map(str, arguments)])
        policies.main()
        return capsys.readouterr().out

    monkeypatch.setattr(policies, "SMALL_LOADS", (0.9,))
    monkeypatch.setattr("policy_cells.UNITS", {"poisson": 4})
    part = ("--patterns", "poisson", "--loads", 0.5, 0.9, "--seeds", 2, "--cases", 2, "--processes", 1)
    first, second = tmp_path / "15.json", tmp_path / "25.json"
    call(*part, "--slos", 15, "--keep", first)
    call(*part, "--slos", 25, "--keep", second, "--no-bound")
    told = call("--from", first, second, "--pictures", tmp_path / "pictures")
    assert "answered within 15 ms" in told
    assert "answered within 25 ms" in told
    assert "slo over the best other: least" in told
    assert "slo over what was possible, 3 kinds of small cases: mean" in told
    for name in ("goodput.svg", "ratio.svg"):
        tree = ElementTree.parse(tmp_path / "pictures" / name)  # noqa: S314 - we have written it
        titles = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
        assert {"poisson, SLO 15 ms", "poisson, SLO 25 ms"} <= set(titles)


def test_a_pattern_s_row_has_a_panel_for_each_slo():
    goodputs = {rule.name: [0.5, 0.6] for rule in RULES}
    found = {Cell(p, slo, load): goodputs for p in ("a", "b") for slo in (1, 2, 3) for load in (0.1, 0.9)}
    for drawn in (draw_goodputs(found), draw_ratios(found)):
        assert drawn.count("<g ") == 6


def test_a_line_goes_from_corner_to_corner_and_what_lies_beyond_is_cut_off():
    axis = Axis("y", 0, 1, [(0, "none"), (1, "all")])
    shapes = [Line("one", 0, [(0, 0), (1, 1), (1, 7)]), Band("two", 1, [(0, 0, 1), (1, 0, 1)])]
    drawn = svg("a < b", [[Panel("p & q", shapes)]], axis, axis, [0.5])
    ElementTree.fromstring(drawn)  # noqa: S314 - we have written it
    assert f'd="M0.0 {HEIGHT:.1f}L{WIDTH}.0 0.0L{WIDTH}.0 0.0"' in drawn
    assert f'd="M0.0 0.0L{WIDTH}.0 0.0L{WIDTH}.0 {HEIGHT:.1f}L0.0 {HEIGHT:.1f}Z"' in drawn
    assert f"M0 {HEIGHT / 2}H{WIDTH}" in drawn
    assert "p &amp; q" in drawn
