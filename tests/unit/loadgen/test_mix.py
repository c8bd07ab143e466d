"""Several streams as one schedule: each on its own, all together in order."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.loadgen.mix import Mix, closed_mix, draw_mix
from streambox.loadgen.mix_file import parse_mix
from streambox.loadgen.plan import WorkloadOptions, draw_events
from streambox.workload.schedule import Lane, Schedule

SECOND = 1_000_000_000
A, B, C = (
    "{model: m, tenant: a, rate: 50/s}",
    "{model: m, tenant: b, process: 'gamma:rate=40,cv=2', weight: 3}",
    "{model: n, type: bursty, multiple: 0.02, len: 5}",
)


def mix_of(*streams: str, **top: object) -> Mix:
    head = "\n".join(f"{key}: {value}" for key, value in top.items())
    return parse_mix(f"{head}\nstreams: [{', '.join(streams)}]")


def drawn(*streams: str, **top: object) -> Schedule:
    mix = mix_of(*streams, **top)
    return draw_mix(mix, [10] * len(mix.streams))


def instants_of(schedule: Schedule, tenant: str, model: str = "m") -> list[int]:
    return schedule.intended_ns[schedule.lane == schedule.lanes.index(Lane(model, tenant))].tolist()


def test_all_streams_are_one_sorted_schedule():
    schedule = drawn(A, B, C, duration="4s")
    assert schedule.lanes == (Lane("m", "a"), Lane("m", "b"), Lane("n"))
    assert (np.diff(schedule.intended_ns) >= 0).all()
    assert schedule.duration_ns == 4 * SECOND
    assert set(schedule.lane.tolist()) == {0, 1, 2}
    assert set(schedule.payload.tolist()) == set(range(10))


def test_a_stream_does_not_depend_on_the_others_nor_on_their_order():
    alone = drawn(B, duration="4s", seed=5)
    among = drawn(A, C, B, duration="4s", seed=5)
    assert instants_of(alone, "b") == instants_of(among, "b")
    mine = among.payload[among.lane == 2]
    assert mine.tolist() == alone.payload.tolist()


def test_streams_alike_in_all_but_their_tenant_are_not_sent_at_the_same_instants():
    schedule = drawn(A, A.replace("tenant: a", "tenant: b"), duration="4s")
    assert instants_of(schedule, "a") != instants_of(schedule, "b")


def test_the_seed_of_the_mix_changes_all_streams_and_a_streams_own_only_itself():
    one, other = drawn(A, B, duration="4s", seed=1), drawn(A, B, duration="4s", seed=2)
    assert instants_of(one, "a") != instants_of(other, "a")
    own = A.replace("rate", "seed: 9, rate")
    one, other = drawn(own, B, duration="4s", seed=1), drawn(own, B, duration="4s", seed=2)
    assert instants_of(one, "a") == instants_of(other, "a")


def test_the_same_mix_draws_the_same_schedule():
    assert drawn(A, B, C, duration="4s").sha256 == drawn(A, B, C, duration="4s").sha256


def test_the_recipe_of_a_stream_draws_it_alone():
    schedule = drawn(A, B, duration="4s", seed=5)
    recipe = schedule.recipe["mix"]["streams"][1]
    options = WorkloadOptions(
        process=recipe["process"], duration_ns=recipe["duration_ns"], seed=recipe["seed"]
    )
    events, _ = draw_events(options, np.random.default_rng(options.seed))
    assert events.instants_ns.tolist() == instants_of(schedule, "b")


# ---- time ----------------------------------------------------------------------------------------


def test_a_stream_that_would_go_on_is_cut_and_one_that_ends_early_ends():
    long = "{model: m, tenant: b, type: bursty, multiple: 0.02, len: 50}"
    schedule = drawn(C, long, duration="8s")
    assert schedule.intended_ns.max() < 8 * SECOND
    assert max(instants_of(schedule, "", "n")) < 5 * SECOND
    assert schedule.duration_ns == 8 * SECOND


def test_without_a_duration_the_longest_stream_decides():
    schedule = drawn("{model: m, tenant: a, rate: 50/s, duration: 3s, start: 4s}", C)
    assert schedule.duration_ns == 7 * SECOND
    assert drawn(A).duration_ns == 30 * SECOND


def test_a_stream_may_start_later():
    schedule = drawn("{model: m, tenant: a, rate: 50/s, start: 2s}", B, duration="4s")
    assert min(instants_of(schedule, "a")) >= 2 * SECOND
    assert len(instants_of(schedule, "a")) == pytest.approx(100, abs=40)


# ---- rate ----------------------------------------------------------------------------------------


def test_a_rate_of_all_is_shared_out_by_weight():
    sharing = [A, B, "{model: n, weight: 6, arrivals: constant}"]
    schedule = drawn(*sharing, duration="100s", rate="100/s")
    counts = np.bincount(schedule.lane)
    assert counts[2] == 6000
    assert counts[0] == pytest.approx(1000, abs=5 * 1000**0.5)
    assert counts[1] == pytest.approx(3000, abs=5 * 2 * 3000**0.5)  # its CV is 2


def test_a_pattern_is_brought_to_its_share_to_the_request():
    schedule = drawn(C, "{model: m, weight: 1, arrivals: constant}", duration="5s", rate="300/s")
    assert np.bincount(schedule.lane).tolist() == [750, 750]


def test_a_share_is_over_the_time_that_a_stream_lasts():
    late = "{model: m, tenant: a, arrivals: constant, start: 2s}"
    schedule = drawn(late, C, duration="10s", rate="200/s")
    assert np.bincount(schedule.lane).tolist() == [800, 500]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("streams", "top", "reason"),
    [
        (["{model: m}"], {}, "stream m: when does it send"),
        (["{model: m, seed: 3, duration: 5s}"], {}, "when does it send"),
        (["{model: m, rate: 5/s, type: bursty}"], {}, "type would mean nothing beside rate"),
        (
            ["{model: m, rate: 5/s, len: 5, process: 'poisson:rate=1'}"],
            {},
            "len and process would mean nothing",
        ),
        (["{model: m, process: 'poisson:rate=1', arrivals: constant}"], {}, "arrivals would mean nothing"),
        (["{model: m, process: 'poisson:rate=1', rate: 5/s}"], {"rate": "9/s"}, "process would mean nothing"),
        (["{model: m, rate: 5/s, start: 9s}"], {"duration": "9s"}, "it starts when the mix has ended"),
        (["{model: m, rate: 0.001/s}"], {"duration": "1s"}, "stream m: it has no request at all"),
        (["{model: m, process: 'gama:rate=1'}"], {}, "stream m: no arrival process 'gama'"),
        (["{model: m, tenant: t, type: bursty, len: 0}"], {}, "stream m/t: "),
        (["{model: m, workload_file: none.txt}"], {}, "none.txt: no such workload file"),
    ],
)
def test_a_stream_that_makes_no_workload_is_named(streams, top, reason):
    with pytest.raises(UsageError) as error:
        drawn(*streams, **top)
    assert reason in str(error.value)


# ---- closed loop, and replays --------------------------------------------------------------------


def test_a_closed_loop_takes_streams_in_turn_by_their_weight():
    mix = mix_of(A, B)
    schedule = closed_mix(mix, [10, 2], "closed-loop", SECOND)
    assert len(schedule) == 0
    assert (schedule.lane == 1).mean() == pytest.approx(0.75, abs=0.01)
    assert set(schedule.payload[schedule.lane == 1].tolist()) == {0, 1}
    assert set(schedule.payload[schedule.lane == 0].tolist()) == set(range(10))


def test_what_is_sent_for_the_lanes_of_a_schedule_is_their_streams():
    mix = mix_of(A, B, seed=5)
    b, a = mix.sending([Lane("m", "b"), Lane("m", "a")])
    assert (b.model, b.seed, a.seed) == ("m", mix.seed_of(mix.streams[1]), mix.seed_of(mix.streams[0]))
    with pytest.raises(UsageError, match="m/z, too, of which the mix says nothing"):
        mix.sending([Lane("m", "z")])
