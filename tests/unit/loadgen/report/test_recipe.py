"""The command in a report draws the schedule that the report is about."""

from __future__ import annotations

import shlex
from html import unescape

import pytest

from streambox.commands.load import load, workload_options
from streambox.config import LoadGeneratorSection
from streambox.loadgen.plan import WorkloadOptions, draw_schedule
from streambox.loadgen.report.head import facts
from streambox.loadgen.report.head import recipe as recipe_section
from streambox.loadgen.report.recipe import drawing_command

SECOND = 1_000_000_000


def drawn_by(command: str):
    program, group, *arguments = shlex.split(command)
    assert (program, group) == ("streambox", "load")
    given = load.make_context("load", arguments).params
    return draw_schedule(workload_options(LoadGeneratorSection(), given), given["model"] or "digits", 450)


@pytest.mark.parametrize(
    "options",
    [
        WorkloadOptions(length=5, multiple=0.02),
        WorkloadOptions(type="periodic", length=40, multiple=0.1, seed=9, gap_time=10, lap_time=3),
        WorkloadOptions(type="sporadic", multiple=0.1, time_unit_ns=SECOND // 10),
        WorkloadOptions(rate_per_s=100.5, duration_ns=2 * SECOND, seed=4),
        WorkloadOptions(rate_per_s=20, duration_ns=1_234_567_891, arrivals="constant"),
        WorkloadOptions(process="gamma:rate=100,cv=3", duration_ns=3 * SECOND),
        WorkloadOptions(rate_per_s=100, duration_ns=4 * SECOND, transforms=("scale:2,unit=1s", "warp:4")),
        WorkloadOptions(length=5, multiple=0.02, transforms=("lap:gap=1s,lap=2s",)),
    ],
)
def test_it_draws_the_same_schedule(options):
    schedule = draw_schedule(options, "digits", 450)
    command = drawing_command(schedule.recipe)
    assert command is not None
    assert drawn_by(command).sha256 == schedule.sha256


def test_a_pattern_file_is_named_and_quoted(tmp_path):
    folder = tmp_path / "my loads"
    folder.mkdir()
    (folder / "bursty-load.txt").write_text("3 1 4 1 5")
    for options in (
        WorkloadOptions(workload_file=str(folder / "bursty-load.txt")),
        WorkloadOptions(workload_dir=str(folder)),
    ):
        schedule = draw_schedule(options, "digits", 450)
        command = drawing_command(schedule.recipe)
        assert command is not None
        assert drawn_by(command).sha256 == schedule.sha256


def test_what_goes_without_saying_is_not_said():
    recipe = draw_schedule(WorkloadOptions(length=5, multiple=0.02, seed=7), "ranker", 450).recipe
    assert (
        drawing_command(recipe)
        == "streambox load --type bursty --multiple 0.02 --len 5 --model ranker --seed 7"
    )


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"mode": "closed-loop", "model": "digits", "seed": 0, "duration_ns": SECOND},
        {"redrawn": {"file": "x.parquet"}, "seed": 0, "transforms": ["thin:0.5"]},
    ],
)
def test_where_options_do_not_say_it_all_there_is_no_command(recipe):
    assert drawing_command(recipe) is None


def test_what_transforms_kept_is_shown_as_it_was_told():
    recipe = draw_schedule(
        WorkloadOptions(rate_per_s=100, transforms=("scale:2", "warp:2")), "digits", 450
    ).recipe
    shown = unescape(facts(recipe))
    assert "\n".join(recipe["fidelity"]) in shown
    assert "→" in shown


def test_the_page_says_out_of_how_many_payloads_the_command_draws_it():
    schedule = draw_schedule(WorkloadOptions(rate_per_s=50, duration_ns=2 * SECOND), "digits", 3)
    shown = unescape(recipe_section({"schedule_sha256": schedule.sha256}, schedule.recipe))
    assert "given the same 3 payloads" in shown
    command = drawing_command(schedule.recipe)
    assert command in shown
    assert drawn_by(command).sha256 != schedule.sha256  # out of 450
