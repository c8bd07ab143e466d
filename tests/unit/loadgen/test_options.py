"""The command line over the configuration over the defaults."""

from __future__ import annotations

import click
import pytest

from streambox.commands.load import load, run_options, workload_options
from streambox.commands.trace_options import OF_A_TRACE, lane_options, reading_options
from streambox.config import Config, LoadGeneratorSection, load_config
from streambox.errors import UsageError
from streambox.loadgen.payload import Target
from streambox.loadgen.plan import WorkloadOptions
from streambox.workload.lanes import LaneRule
from streambox.workload.traces import TraceOptions

SECOND = 1_000_000_000
DEFAULTS = WorkloadOptions()


def given(*arguments: object) -> dict:
    """What ``streambox load`` makes of these arguments, before it looks at the configuration."""
    return load.make_context("load", [str(argument) for argument in arguments]).params


def workload_of(section: dict, *arguments: object) -> WorkloadOptions:
    return workload_options(LoadGeneratorSection(**section), given(*arguments))


def run_of(config: Config, *arguments: object):
    options = given(*arguments)
    return run_options(config, workload_options(config.load_generator, options), options)


@pytest.fixture
def config(tmp_path) -> Config:
    """The reference's file, with a time-out."""
    (tmp_path / "c.yaml").write_text(
        "gin: {port: 8080}\n"
        "load_generator: {port: 8181, host: example.test, path: /api/batcher, timeout: 3s}\n"
    )
    return load_config(tmp_path / "c.yaml")


def test_without_anything_given_the_defaults_hold():
    assert workload_of({}) == DEFAULTS


@pytest.mark.parametrize(
    ("section", "arguments", "field", "value"),
    [
        ({"type": "periodic"}, ("--type", "sporadic"), "type", "sporadic"),
        ({"multiple": 0.5}, ("--multiple", 0.25), "multiple", 0.25),
        ({"len": 30}, ("--len", 40), "length", 40),
        ({"gap_time": 3}, ("--gap-time", 4), "gap_time", 4),
        ({"lap_time": 5}, ("--lap-time", 0), "lap_time", 0),
        ({"time_unit": 2 * SECOND}, ("--time-unit", "100ms"), "time_unit_ns", SECOND // 10),
        ({"seed": 9}, ("--seed", 0), "seed", 0),
    ],
)
def test_the_command_line_wins_over_the_configuration_and_that_over_the_default(
    section, arguments, field, value
):
    configured = getattr(workload_of(section), field)
    assert configured == next(iter(section.values())) != getattr(DEFAULTS, field)
    assert getattr(workload_of(section, *arguments), field) == value != configured


@pytest.mark.parametrize("spelling", ["multiple", "multipile"])
def test_the_references_spelling_is_taken_everywhere(spelling):
    assert workload_of({spelling: 0.5}).multiple == 0.5
    assert workload_of({}, f"--{spelling}", 0.5).multiple == 0.5


def test_the_right_spelling_wins_over_the_references():
    assert workload_of({"multiple": 0.5, "multipile": 0.1}).multiple == 0.5


def test_the_target_comes_from_the_configuration_and_its_parts_from_the_command_line(config):
    assert run_of(config).target == Target("example.test", 8181, "/api/batcher")
    assert run_of(config, "--port", 9, "--path", "/x").target == Target("example.test", 9, "/x")
    assert run_of(config, "--url", "http://h:1/y").target == Target("h", 1, "/y")


def test_without_a_port_of_its_own_the_load_generator_asks_the_batchers(tmp_path):
    (tmp_path / "c.yaml").write_text("gin: {port: 8282}\n")
    assert run_of(load_config(tmp_path / "c.yaml")).target == Target("localhost", 8282, "/api/batcher")


def test_the_time_out_likewise(config):
    assert run_of(config).timeout_ns == 3 * SECOND
    assert run_of(config, "--timeout", "300ms").timeout_ns == 300_000_000
    assert run_of(Config()).timeout_ns == 10 * SECOND


def test_concurrency_makes_it_a_closed_loop_that_lasts_for_its_duration():
    options = run_of(Config(), "--concurrency", 4, "--duration", "7s")
    assert (options.concurrency, options.duration_ns) == (4, 7 * SECOND)
    assert run_of(Config(), "--rate", 1, "--duration", "7s").concurrency is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--duration", "5s"), "--len"),
        (("--arrivals", "constant"), "--rate"),
        (("--concurrency", 2, "--arrivals", "constant"), "--rate"),
        (("--rate", 5, "--len", 10), "--len shapes a pattern, and --rate"),
        (("--rate", 5, "--gap-time", 10), "--gap-time"),
        (("--concurrency", 5, "--type", "bursty"), "--type shapes a pattern, and --concurrency"),
        (("--concurrency", 5, "--multiple", 0.5), "--multiple"),
        (("--workload-file", "a", "--workload-dir", "b"), "exclude"),
        (("--rate", 5, "--concurrency", 2), "exclude"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(arguments, named):
    with pytest.raises(UsageError, match=named):
        workload_of({}, *arguments)


def test_a_pattern_in_the_configuration_does_not_forbid_a_rate():
    assert workload_of({"type": "periodic", "len": 5}, "--rate", 7).rate_per_s == 7


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--url", "http://h/", "--port", 5), "--url says it all"),
        (("--path", "api/batcher"), "slash"),
        (("--path", "/a b"), "percent-encode"),
        (("--path", "/a\r\nX: y"), "percent-encode"),
    ],
)
def test_a_target_that_cannot_be_asked_is_refused(arguments, named):
    with pytest.raises(UsageError, match=named):
        run_of(Config(), *arguments)


def test_a_time_out_of_nothing_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("load_generator: {timeout: 0s}\n")
    with pytest.raises(UsageError, match="timeout"):
        run_of(load_config(tmp_path / "c.yaml"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--rate", 5, "--concurrency", 2), "--rate and --concurrency exclude each other"),
        (("--process", "poisson:rate=1", "--rate", 5), "--rate and --process exclude each other"),
        (("--process", "poisson:rate=1", "--schedule", "x"), "--process and --schedule exclude each other"),
        (("--schedule", "x", "--seed", 1), "--seed draw a schedule"),
        (("--schedule", "x", "--duration", "5s"), "--duration"),
        (("--process", "poisson:rate=1", "--len", 5), "--len shapes a pattern, and --process replays none"),
        (("--process", "poisson:rate=1", "--arrivals", "poisson"), "--arrivals goes with --rate"),
        (("--concurrency", 2, "--transform", "thin:0.5"), "a closed loop has none"),
        (("--schedule", "x", "--transform", "thin:0.5"), "workload draw FILE --transform"),
    ],
)
def test_one_run_has_one_workload(arguments, reason):
    with pytest.raises(UsageError, match=reason):
        workload_of({}, *arguments)


# ---- traces --------------------------------------------------------------------------------------


def test_everything_said_of_a_trace_reaches_it():
    options = workload_of(
        {},
        *("--trace", "t.csv", "--format", "huawei", "--on-bad-row", "skip", "--failures", "drop"),
        *("--unit", "1m", "--from", "1h", "--to", "2h", "--thin", 0.5),
        *("--map", "top-k:2", "--models", "a, b", "--tenants", "x,y", "--seed", 3),
    )
    assert options.trace == TraceOptions(
        path="t.csv",
        format="huawei",
        on_bad_row="skip",
        failures="drop",
        unit_ns=60 * SECOND,
        from_ns=3600 * SECOND,
        to_ns=7200 * SECOND,
        thin=0.5,
    )
    assert options.lane_rule == LaneRule(map="top-k:2", models=("a", "b"), tenants=("x", "y"))
    assert options.seed == 3


def test_a_trace_for_one_model_is_for_that_one():
    assert workload_of({}, "--trace", "t").lane_rule == LaneRule()
    assert workload_of({}, "--trace", "t", "--model", "m").lane_rule == LaneRule(models=("m",))
    assert workload_of({}, "--trace", "t", "--model", "m", "--map", "own").lane_rule == LaneRule(map="own")
    assert workload_of({}, "--rate", 5, "--model", "m").lane_rule == LaneRule()


def test_what_is_said_of_no_trace_is_refused():
    """All options that say how a trace is read, whichever there are."""
    added = [parameter for parameter in load.params if parameter.name in OF_A_TRACE]
    assert {parameter.opts[0] for parameter in added} == set(OF_A_TRACE.values())

    @reading_options
    @lane_options
    def bare() -> None: ...

    assert {parameter.name for parameter in bare.__click_params__} == set(OF_A_TRACE)
    examples = {"--format": "jsonl", "--on-bad-row": "skip", "--failures": "drop", "--unit": "1s"}
    examples |= {"--from": "1s", "--to": "1s", "--thin": "0.5"}
    for option in OF_A_TRACE.values():
        with pytest.raises(UsageError, match=f"{option} goes with --trace"):
            workload_of({}, "--rate", 5, option, examples.get(option, "own"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--trace", "t", "--rate", 5), "--rate and --trace exclude each other"),
        (("--trace", "t", "--schedule", "x"), "--trace and --schedule exclude each other"),
        (("--trace", "t", "--type", "bursty"), "--type shapes a pattern, and --trace replays none"),
        (("--trace", "t", "--duration", "5s"), "--duration is not for a trace: cut it with --from and --to"),
        (("--trace", "t", "--model", "a", "--models", "b"), "leave --model out"),
        (("--trace", "t", "--arrivals", "poisson"), "--arrivals goes with --rate"),
    ],
)
def test_a_trace_is_a_whole_workload(arguments, reason):
    with pytest.raises(UsageError, match=reason):
        workload_of({}, *arguments)


def test_an_empty_name_among_names_is_refused():
    with pytest.raises(click.BadParameter, match="has an empty name in it"):
        given("--models", "a,,b")


@pytest.mark.parametrize(
    "source", [(), ("--rate", 5), ("--process", "poisson:rate=1"), ("--workload-file", "x")]
)
def test_transforms_are_taken_in_their_order_for_every_source(source):
    options = workload_of({}, *source, "--transform", "len:10s", "--transform", "scale:2")
    assert options.transforms == ("len:10s", "scale:2")


def test_a_transform_that_cannot_be_read_is_refused_before_anything_is_done():
    with pytest.raises(UsageError, match="no transform 'scael': did you mean scale"):
        workload_of({}, "--transform", "scael:2")
