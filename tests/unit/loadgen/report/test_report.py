"""The report: its figures are those of the run, and it is a page of its own."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from made_runs import LANES, MS, SECOND, fail, make_eventful_run, make_run
from streambox.loadgen.record import Outcomes
from streambox.loadgen.report import write_report
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = {
    "model": "digits",
    "type": "bursty",
    "multiple": 0.4,
    "length": 30,
    "gap_time": None,
    "seed": 1,
    "duration_ns": 30 * SECOND,
}


def summary_of(outcomes: Outcomes, mode: str = "open-loop", seconds: int = 30) -> dict[str, Any]:
    return summarise(outcomes, mode=mode, seed=1, schedule_sha256="ab" * 32, duration_ns=seconds * SECOND)


def render(
    path: Path,
    outcomes: Outcomes,
    summary: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
) -> str:
    write_report(path / "report.html", outcomes, summary or summary_of(outcomes), recipe or RECIPE)
    return (path / "report.html").read_text(encoding="utf-8")


def charts_in(page: str) -> dict[str, dict[str, Any]]:
    """Chart by name, as the page's own script reads them."""
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return {chart["id"].removeprefix("chart-"): chart for chart in json.loads(found[1])}


def text_of(page: str) -> str:
    """What a reader sees without the charts."""
    body = page[page.index("<body>") : page.index('<script type="application/json"')]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_rates_add_up_to_the_requests_offered_and_the_responses_that_came(tmp_path: Path) -> None:
    outcomes = make_run()
    fail(outcomes, slice(1000, 1100), "timeout")
    offered, achieved = charts_in(render(tmp_path, outcomes))["rates"]["data"]
    assert (offered["name"], achieved["name"]) == ("offered", "achieved")
    # Bins of 1 s; the last value is there twice, for the step's far edge.
    assert sum(offered["y"][:-1]) == 3000
    assert sum(achieved["y"][:-1]) == 2900
    assert offered["y"][:3] == [100, 100, 100]
    assert achieved["y"][10] < 5


def test_answers_that_were_not_right_part_a_third_line_from_the_achieved_rate(tmp_path: Path) -> None:
    outcomes = make_run()
    assert len(charts_in(render(tmp_path, outcomes))["rates"]["data"]) == 2
    outcomes.kinds, outcomes.kind[500:600] = ("ok", "http_503"), 1
    _, achieved, right = charts_in(render(tmp_path, outcomes))["rates"]["data"]
    assert right["name"] == "answered right"
    assert sum(achieved["y"][:-1]) - sum(right["y"][:-1]) == 100
    assert right["y"][5] < 5 < achieved["y"][5] == 100


def test_response_times_are_counted_from_the_intended_time(tmp_path: Path) -> None:
    outcomes = make_run()
    outcomes.sent_ns[500:600] += 7 * MS  # the generator was late in second 5
    outcomes.done_ns[500:600] += 7 * MS
    traces = {trace["name"]: trace["y"] for trace in charts_in(render(tmp_path, outcomes))["latency"]["data"]}
    in_second = (outcomes.done_ns - outcomes.intended_ns)[500:600] / 1e6
    for name, rank in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
        assert traces[name][5] == pytest.approx(np.percentile(in_second, rank), abs=1e-3)
    assert traces["p50"][5] > 11 > traces["p50"][4] + 6


def test_the_split_adds_up_to_the_response_time_at_each_percentile(tmp_path: Path) -> None:
    outcomes = make_run()
    page = render(tmp_path, outcomes)
    parts = {trace["name"]: trace["x"] for trace in charts_in(page)["split"]["data"]}
    response_ms = (outcomes.done_ns - outcomes.intended_ns) / 1e6
    for place, rank in enumerate((50, 90, 99)):
        total = sum(values[place] for values in parts.values())
        assert total == pytest.approx(np.percentile(response_ms, rank), rel=0.005)
    assert parts["send lag"] == pytest.approx([0.1] * 3, abs=1e-3)
    assert parts["service"] == pytest.approx([1.0] * 3, abs=1e-3)
    assert parts["network"] == pytest.approx([0.4] * 3, abs=1e-3)
    assert "send lag 100 µs 100 µs 100 µs 100 µs" in text_of(page)
    (told,) = re.findall(r"response (5\S+) ms (6\S+) ms (6\S+) ms 5.50 ms", text_of(page))
    assert [float(ms) for ms in told] == pytest.approx([5.5, 6.3, 6.48], rel=0.005)


def test_the_mean_parts_over_time_are_those_of_each_second(tmp_path: Path) -> None:
    outcomes = make_run()
    traces = {trace["name"]: trace["y"] for trace in charts_in(render(tmp_path, outcomes))["parts"]["data"]}
    assert traces["wait in queue"][29] == pytest.approx(outcomes.wait_ns[2900:].mean() / 1e6, abs=1e-3)


def test_each_batch_is_counted_once_however_many_of_its_requests_were_ours(tmp_path: Path) -> None:
    outcomes = make_run(count=110)
    outcomes.batch_size[:] = [4] * 100 + [10] * 10  # 25 batches of 4, and one of 10
    outcomes.batch_id[100:] = 1000
    page = render(tmp_path, outcomes)
    trace = charts_in(page)["batches"]["data"][0]
    assert dict(zip(trace["x"], trace["y"], strict=True)) == {4: 25, 10: 1}
    assert "26 batches of 4.23 rows on average" in text_of(page)
    assert "a batch of 4.55" in text_of(page)


def test_why_batches_left_their_queue_is_told_where_it_is_known(tmp_path: Path) -> None:
    outcomes = make_run(count=100, batch=5)
    outcomes.reason[:25] = 1
    page = render(tmp_path, outcomes)
    trace = charts_in(page)["reasons"]["data"][0]
    assert (trace["y"], trace["x"]) == (["timewindow", "batchsize"], [15, 5])
    assert "75 % because its oldest request had waited for the time window" in text_of(page)
    outcomes.reason[:] = 0
    assert "reasons" not in charts_in(render(tmp_path, outcomes))


def test_the_mean_batch_size_over_time_is_drawn(tmp_path: Path) -> None:
    outcomes = make_run()
    outcomes.batch_size[1500:] = 8
    sizes = charts_in(render(tmp_path, outcomes))["batch-means"]["data"][0]["y"]
    assert (sizes[3], sizes[20]) == (4, 8)


def test_the_histogram_holds_every_response_at_the_place_of_its_duration(tmp_path: Path) -> None:
    outcomes = make_eventful_run()
    chart = charts_in(render(tmp_path, outcomes))["histogram"]
    trace = chart["data"][0]
    assert chart["layout"]["xaxis"]["type"] == "log"
    assert sum(trace["y"]) == outcomes.completed.sum()
    highest = trace["x"][int(np.argmax(trace["y"]))]
    assert highest == pytest.approx(float(np.median(outcomes.response_ns)) / 1e6, rel=0.5)
    # plotly wants shapes at values, and annotations at exponents, on such an axis.
    marks = zip(chart["layout"]["shapes"], chart["layout"]["annotations"], strict=True)
    assert all(10 ** note["x"] == pytest.approx(shape["x0"]) for shape, note in marks)


@pytest.mark.parametrize(
    ("first_ms", "last_ms", "some"),
    [
        (4.5, 6.5, ["5", "6"]),
        (5.01, 5.19, ["5.1"]),
        (2, 90, ["2", "5", "10", "20", "50"]),
        (0.2, 900, ["1", "10", "100"]),
        (0.002, 60_000, ["0.01", "1", "1,000", "10,000"]),
    ],
)
def test_the_axis_of_the_histogram_has_ticks_however_narrow_or_wide_it_is(
    tmp_path: Path, first_ms: float, last_ms: float, some: list[str]
) -> None:
    outcomes = make_run()
    outcomes.done_ns[:] = outcomes.intended_ns + np.geomspace(first_ms * MS, last_ms * MS, 3000).astype(int)
    axis = charts_in(render(tmp_path, outcomes))["histogram"]["layout"]["xaxis"]
    assert 1 <= len(axis["tickvals"]) <= 9
    assert set(some) <= set(axis["ticktext"])


def test_a_stalled_sender_shows_between_the_two_percentile_curves(tmp_path: Path) -> None:
    page = render(tmp_path, make_eventful_run())
    intended, sent = charts_in(page)["tail"]["data"]
    assert (intended["name"], sent["name"]) == ("from intended", "from sent")
    assert intended["line"]["dash"] != sent["line"]["dash"]
    place = int(np.argmin(np.abs(np.array(intended["x"]) - 100)))
    assert intended["customdata"][place].startswith("99")
    assert intended["y"][place] > 1.3 * sent["y"][place]
    assert "from intended" in text_of(page)


def test_without_a_stall_the_two_percentile_curves_lie_together(tmp_path: Path) -> None:
    intended, sent = charts_in(render(tmp_path, make_run()))["tail"]["data"]
    assert sent["y"] == pytest.approx([value - 0.1 for value in intended["y"]], abs=0.03)


def test_what_the_figures_leave_out_is_shaded_and_only_drawn_over_time(tmp_path: Path) -> None:
    outcomes = make_run()
    outcomes.done_ns[:500] += 900 * MS
    summary = summary_of(outcomes) | {"excluded": 800, "window_s": [5.0, 27.0]}
    page = render(tmp_path, outcomes, summary)
    charts = charts_in(page)
    assert [(shade["x0"], shade["x1"]) for shade in charts["rates"]["layout"]["shapes"]] == [(0, 5), (27, 30)]
    assert sum(charts["histogram"]["data"][0]["y"]) == 2200
    assert max(charts["tail"]["data"][0]["y"]) < 100 < max(charts["latency"]["data"][3]["y"])
    assert "What is shaded is not part of the figures" in text_of(page)
    assert "shaded" not in text_of(render(tmp_path, outcomes))


def test_the_rest_of_the_last_second_is_not_shaded_where_nothing_was_left_out_there(tmp_path: Path) -> None:
    outcomes = make_run()
    summary = summary_of(outcomes) | {"excluded": 500, "window_s": [5.0, 29.995]}
    (shade,) = charts_in(render(tmp_path, outcomes, summary))["rates"]["layout"]["shapes"]
    assert (shade["x0"], shade["x1"]) == (0, 5)


def test_errors_are_drawn_by_kind_and_only_when_there_are_any(tmp_path: Path) -> None:
    outcomes = make_run()
    assert "errors" not in charts_in(render(tmp_path, outcomes))
    fail(outcomes, slice(200, 300), "timeout")
    fail(outcomes, slice(700, 750), "http_503:queue_full")
    traces = charts_in(render(tmp_path, outcomes))["errors"]["data"]
    assert [trace["name"] for trace in traces] == ["timeout (100)", "http_503:queue_full (50)"]
    assert (traces[0]["y"][2], traces[1]["y"][7]) == (100, 50)


def test_rare_kinds_of_error_share_one_trace(tmp_path: Path) -> None:
    outcomes = make_run()
    for place in range(8):
        fail(outcomes, slice(100 * place, 100 * place + 20 - place), f"http_50{place}")
    traces = charts_in(render(tmp_path, outcomes))["errors"]["data"]
    assert [trace["name"].split()[0] for trace in traces][3:] == ["http_503", "others"]
    assert sum(sum(trace["y"]) for trace in traces) == sum(20 - place for place in range(8))


def test_the_key_figures_are_the_summarys(tmp_path: Path) -> None:
    summary = summary_of(make_run())
    summary |= {"offered_per_s": 612.34, "throughput_per_s": 598.76}
    summary["response_ms"] = {"p50": 4.12, "p99": 1234.0}
    summary["send_lag_us"] = {"p99": 88.2}
    text = text_of(render(tmp_path, make_run(), summary))
    for figure in (
        "offered 612/s",
        "achieved 599/s",
        "response p50 4.12 ms",
        "response p99 1.23 s",
        "requests 3,000",
        "succeeded 100 %",
        "mean batch size 4 ",
        "send lag p99 88.2 µs",
    ):
        assert figure in text


def test_how_to_get_the_same_again_stands_before_the_first_picture(tmp_path: Path) -> None:
    page = render(tmp_path, make_run())
    command = "streambox load --type bursty --multiple 0.4 --len 30 --model digits --seed 1"
    assert (
        page.index(command) < page.index("load --schedule schedule.parquet") < page.index('id="chart-rates"')
    )
    assert "seed 1 schedule sha256 " + "ab" * 32 in text_of(page)


def test_a_recipe_that_options_do_not_draw_can_still_be_replayed(tmp_path: Path) -> None:
    page = render(tmp_path, make_run(), recipe={"mix": ["a", "b"]})
    assert "draws the same schedule" not in page
    assert "streambox load --schedule schedule.parquet" in page


def test_a_closed_loop_has_no_schedule_to_replay(tmp_path: Path) -> None:
    outcomes = make_run()
    summary = summary_of(outcomes, mode="closed-loop") | {"schedule_sha256": None}
    page = render(tmp_path, outcomes, summary)
    assert "A closed loop has no schedule" in text_of(page)
    assert "--schedule" not in page


def test_objectives_stand_in_a_table_with_what_was_found(tmp_path: Path) -> None:
    outcomes = make_run()
    judgements = [
        parse_objective(text).judge(outcomes, LANES[:1], 30 * SECOND) for text in ("p99<50ms", "p99<1ms")
    ]
    summary = summary_of(outcomes) | {"objectives": [one.summary() for one in judgements]}
    text = text_of(render(tmp_path, outcomes, summary))
    assert "p99&lt;50ms 6.480ms ✓ met p99&lt;1ms 6.480ms ✗ missed" in text
    assert text.count("6.480ms") == 2  # not among the remarks as well


def test_the_verdict_is_told_without_its_colour(tmp_path: Path) -> None:
    outcomes = make_run()
    assert "✓ </span>Valid" in render(tmp_path, outcomes)
    fail(outcomes, slice(0, 1), "wrong")
    assert "✗ </span>Failed" in render(tmp_path, outcomes)


def test_every_picture_says_in_words_what_it_shows(tmp_path: Path) -> None:
    outcomes = make_eventful_run()
    page = render(tmp_path, outcomes)
    labels = dict(re.findall(r'id="chart-([a-z-]+)" role="img" aria-label="([^"]+)"', page))
    assert set(labels) == set(charts_in(page))
    assert "At most" in labels["rates"]
    assert "timeout" in labels["errors"]
    assert "p99" in labels["histogram"]
    slowest_ms = outcomes.response_ns.max() / 1e6
    assert f"the slowest took {slowest_ms / 1000:.2f} s" in labels["latency"]


def test_what_is_stacked_differs_by_more_than_its_colour(tmp_path: Path) -> None:
    charts = charts_in(render(tmp_path, make_eventful_run()))
    for name in ("errors", "parts", "split"):
        traces = charts[name]["data"]
        patterns = [trace["marker"].get("pattern", {}).get("shape") for trace in traces]
        assert len(set(patterns)) == len(patterns)
    dashes = {trace["line"]["dash"] for trace in charts["latency"]["data"]}
    assert {"solid", "dash", "dot"} <= dashes


def test_the_recipe_is_readable_and_leaves_out_what_is_not_set(tmp_path: Path) -> None:
    text = text_of(render(tmp_path, make_run()))
    assert "multiple 0.4" in text
    assert "duration 30s" in text
    assert "gap time" not in text


def test_the_mode_is_named(tmp_path: Path) -> None:
    outcomes = make_run()
    assert "Load report, open-loop" in text_of(render(tmp_path, outcomes))
    closed = text_of(render(tmp_path, outcomes, summary_of(outcomes, mode="closed-loop")))
    assert "Load report, closed-loop" in closed
    assert "A closed loop offers only what the server can take" in closed


def test_the_page_asks_for_nothing_else(tmp_path: Path) -> None:
    page = render(tmp_path, make_run())
    assert "default-src 'none'" in page
    assert not re.search(r"<(link|img|iframe|script)\b[^>]*\b(src|href)\s*=", page)
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "http:" not in ours
    assert "https:" not in ours
    assert page.count("Plotly.react(") == 1


def test_text_from_outside_is_escaped(tmp_path: Path) -> None:
    outcomes = make_run()
    fail(outcomes, slice(0, 3), "</script><b>kind</b>")
    summary = summary_of(outcomes)
    summary["verdict"] = {"valid": False, "reasons": ["<i>late</i>"]}
    summary["environment"] = {"<u>host": "</style><u>"}
    page = render(tmp_path, outcomes, summary, {"<s>key": "<script>alert(1)</script>"})
    for markup in ("<b>", "<i>", "<u>", "<s>", "<script>alert", "</style><u"):
        assert markup not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "&lt;i&gt;late&lt;/i&gt;" in page
    # Plotly reads markup in the names of traces, so it gets entities.
    assert charts_in(page)["errors"]["data"][0]["name"] == "&lt;/script&gt;&lt;b&gt;kind&lt;/b&gt; (3)"


def test_a_run_of_a_million_requests_makes_a_small_report(tmp_path: Path) -> None:
    outcomes = make_run(count=1_000_000, seconds=2900)
    summary = summary_of(outcomes, seconds=2900)
    tracemalloc.start()
    page = render(tmp_path, outcomes, summary)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 150_000_000  # the outcomes have 70 MB; ten times as many take no more than this
    assert len(page.encode()) < 2_500_000
    rates = charts_in(page)["rates"]["data"][0]
    assert len(rates["y"]) <= 602
    assert sum(rates["y"][:-1]) * 5 == pytest.approx(1_000_000)  # bins of 5 s


def test_a_run_without_requests_says_so(tmp_path: Path) -> None:
    outcomes = Outcomes(np.zeros(0, np.int64))
    page = render(tmp_path, outcomes, summary_of(outcomes, seconds=0))
    assert "no request was offered" in text_of(page)
    assert charts_in(page) == {}
    assert len(page) < 20_000  # nothing to draw, so nothing to draw it with


def test_a_run_in_which_everything_failed_shows_the_errors(tmp_path: Path) -> None:
    outcomes = make_run(count=300)
    fail(outcomes, slice(None), "refused")
    page = render(tmp_path, outcomes)
    assert "Failed: none of 300 requests succeeded" in text_of(page)
    assert "No response came" in text_of(page)
    assert set(charts_in(page)) == {"rates", "errors", "lag"}


def test_a_server_that_does_not_tell_its_times_gets_no_split(tmp_path: Path) -> None:
    outcomes = make_run()
    outcomes.wait_ns[:] = outcomes.service_ns[:] = outcomes.batch_id[:] = -1
    outcomes.batch_size[:] = outcomes.reason[:] = 0
    page = render(tmp_path, outcomes)
    assert set(charts_in(page)) == {"rates", "latency", "histogram", "tail", "lag"}
    assert "do not tell of their batches" in text_of(page)


def test_a_second_without_requests_is_a_gap(tmp_path: Path) -> None:
    outcomes = make_run()
    late = outcomes.intended_ns >= 10 * SECOND
    for column in (outcomes.intended_ns, outcomes.sent_ns, outcomes.done_ns):
        column[late] += 5 * SECOND
    traces = charts_in(render(tmp_path, outcomes))["latency"]["data"]
    assert traces[0]["y"][11:14] == [None, None, None]
    assert traces[0]["mode"] == "lines"


def test_a_second_between_two_gaps_still_shows(tmp_path: Path) -> None:
    outcomes = make_run()
    fail(outcomes, slice(300, 500), "timeout")
    fail(outcomes, slice(600, 700), "reset")
    trace = charts_in(render(tmp_path, outcomes))["latency"]["data"][0]
    assert trace["mode"] == "lines+markers"
    assert [second for second, size in enumerate(trace["marker"]["size"]) if size] == [5]


def test_the_last_responses_get_no_bin_to_themselves_unless_they_take_long(tmp_path: Path) -> None:
    outcomes = make_run()
    outcomes.done_ns[-1] = 30 * SECOND + 20 * MS
    _, achieved = charts_in(render(tmp_path, outcomes))["rates"]["data"]
    assert (len(achieved["y"]), sum(achieved["y"][:-1])) == (31, 3000)
    outcomes.done_ns[-1] = 32 * SECOND - 500 * MS
    _, achieved = charts_in(render(tmp_path, outcomes))["rates"]["data"]
    assert achieved["y"][30:32] == [0, 1]


def test_a_stall_turns_the_axis_logarithmic_and_says_so(tmp_path: Path) -> None:
    outcomes = make_run()
    outcomes.done_ns[1500:1550] += 2 * SECOND
    assert charts_in(render(tmp_path, make_run()))["latency"]["layout"]["yaxis"].get("type") is None
    layout = charts_in(render(tmp_path, outcomes))["latency"]["layout"]
    assert layout["yaxis"]["type"] == "log"
    assert "log scale" in layout["yaxis"]["title"]["text"]
