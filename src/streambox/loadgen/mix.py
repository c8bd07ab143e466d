"""Several tenants and models in one run: each a stream with arrivals and payloads of its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.keyed import key_of
from streambox.loadgen.payload import LaneSending, PayloadOptions
from streambox.loadgen.plan import WorkloadOptions, draw_events
from streambox.loadgen.scaling import at_rate, resampled
from streambox.loadgen.slo import Objective
from streambox.workload.arrivals import MOST_REQUESTS, NS_PER_S
from streambox.workload.schedule import Lane, Schedule, draw_payloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.schedule import Int32s, Int64s

_TURNS: Final = 65_536  # of a closed loop, then it goes round
_ANY_SOURCE: Final = frozenset({"duration_ns", "seed", "arrivals"})  # these alone say nothing of a source


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one lane sends, and when.

    ``weight``: its share of the mix's rate, and of what is fair. ``start_ns``: when it begins.
    ``chosen``: the fields of ``workload`` that were given. ``told``: what the recipe says of it
    beside its workload; no secrets.
    """

    lane: Lane
    workload: WorkloadOptions
    payloads: PayloadOptions
    weight: float = 1.0
    start_ns: int = 0
    objectives: tuple[Objective, ...] = ()
    chosen: frozenset[str] = frozenset()
    told: dict[str, Any] = {}

    @property
    def has_source(self) -> bool:
        return not self.chosen <= _ANY_SOURCE


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """
    Streams, each for a lane of its own.

    ``duration_ns``: when it ends, whatever a stream would go on with; None: with its longest
    stream. ``rate_per_s``: of all streams together, whatever rates they have themselves.
    """

    streams: tuple[Stream, ...]
    duration_ns: int | None = None
    rate_per_s: float | None = None
    seed: int = 0

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return tuple(stream.lane for stream in self.streams)

    @property
    def objectives(self) -> list[Objective]:
        return [objective for stream in self.streams for objective in stream.objectives]

    def seed_of(self, stream: Stream) -> int:
        """
        Its own, if it has one; else drawn from the mix's and from whose it is.

        So a stream's arrivals do not depend on which other streams there are, nor on their order.
        """
        if "seed" in stream.chosen:
            return stream.workload.seed
        digest = hashlib.sha256("\0".join(stream.lane).encode()).digest()
        spawned = np.random.SeedSequence(self.seed, spawn_key=np.frombuffer(digest, "<u4").tolist())
        return int(spawned.generate_state(1)[0])

    def sending(self, lanes: Sequence[Lane]) -> list[LaneSending]:
        """What goes out for each of *lanes*. Raises UsageError for one that is none of ours."""
        of_lane = {stream.lane: stream for stream in self.streams}
        unknown = [str(lane) for lane in lanes if lane not in of_lane]
        if unknown:
            raise UsageError(f"the schedule is for {', '.join(unknown)}, too, of which the mix says nothing")
        return [
            LaneSending(lane.model, self.seed_of(of_lane[lane]), of_lane[lane].payloads) for lane in lanes
        ]

    def shares(self) -> list[float | None]:
        """The rate of each stream, in requests per second; None: its own."""
        if self.rate_per_s is None:
            return [None] * len(self.streams)
        total = sum(stream.weight for stream in self.streams)
        return [self.rate_per_s * stream.weight / total for stream in self.streams]


class _Part(NamedTuple):
    """One stream's requests, from the start of the run."""

    instants_ns: Int64s
    payload: Int32s
    end_ns: int
    recipe: dict[str, Any]


def draw_mix(mix: Mix, payloads: Sequence[int]) -> Schedule:
    """
    All streams as one schedule; *payloads*: how many bodies each has.

    Raises UsageError, naming the stream, for one that makes no workload.
    """
    parts = [
        _draw_stream(mix, stream, count, share)
        for stream, count, share in zip(mix.streams, payloads, mix.shares(), strict=True)
    ]
    total = sum(len(part.instants_ns) for part in parts)
    if total > MOST_REQUESTS:
        raise UsageError(f"the mix has {total:.3g} requests, the most is {MOST_REQUESTS:.0e}: scale it down")
    instants_ns = np.concatenate([part.instants_ns for part in parts])
    order = np.argsort(instants_ns, kind="stable")
    lane = np.repeat(np.arange(len(parts), dtype=np.uint8), [len(part.instants_ns) for part in parts])
    payload = np.concatenate([part.payload for part in parts])
    duration_ns = mix.duration_ns or max(part.end_ns for part in parts)
    recipe = _recipe(mix, [part.recipe for part in parts]) | {"duration_ns": duration_ns}
    return Schedule(instants_ns[order], payload[order], lane[order], mix.lanes, recipe)


def closed_mix(mix: Mix, payloads: Sequence[int], mode: str, duration_ns: int) -> Schedule:
    """What a closed loop sends in turn: streams by weight, out of each any of its bodies."""
    random = np.random.default_rng(mix.seed)
    weights = np.array([stream.weight for stream in mix.streams])
    lane = random.choice(len(weights), _TURNS, p=weights / weights.sum()).astype(np.uint8)
    payload = (random.random(_TURNS) * np.array(payloads)[lane]).astype(np.int32)
    recipe = _recipe(mix, [{"payloads": count} for count in payloads])
    recipe |= {"mode": mode, "duration_ns": duration_ns}
    return Schedule(np.empty(0, np.int64), payload, lane, mix.lanes, recipe)


def _recipe(mix: Mix, drawn: Sequence[dict[str, Any]]) -> dict[str, Any]:
    streams = [stream.told | recipe for stream, recipe in zip(mix.streams, drawn, strict=True)]
    return {
        "mix": {"rate_per_s": mix.rate_per_s, "streams": streams},
        "weights": [stream.weight for stream in mix.streams],
        "seed": mix.seed,
        "numpy": np.__version__,
    }


def _draw_stream(mix: Mix, stream: Stream, payloads: int, share: float | None) -> _Part:
    try:
        return _drawn(mix, stream, payloads, share)
    except UsageError as error:
        raise UsageError(f"stream {stream.lane}: {error}") from None


def _drawn(mix: Mix, stream: Stream, payloads: int, share: float | None) -> _Part:
    if share is None and not stream.has_source:
        raise UsageError("when does it send? Give it rate, process or type, or the whole mix a rate")
    lasts_ns = None if mix.duration_ns is None else mix.duration_ns - stream.start_ns
    if lasts_ns is not None and lasts_ns <= 0:
        raise UsageError("it starts when the mix has ended: see start and duration")
    workload = _workload(stream, mix.seed_of(stream), lasts_ns)
    exact = share is not None and stream.chosen <= {*_ANY_SOURCE, "rate_per_s", "process"}
    if share is not None and exact:
        workload = at_rate(workload, share)
    random = np.random.default_rng(workload.seed)
    events, recipe = draw_events(workload, random)
    _refuse_what_was_ignored(stream, recipe)
    ends_ns = events.duration_ns if lasts_ns is None else min(events.duration_ns, lasts_ns)
    instants_ns = events.instants_ns[: int(np.searchsorted(events.instants_ns, ends_ns))]
    if share is not None and not exact:
        instants_ns = resampled(instants_ns, round(share * ends_ns / NS_PER_S), ends_ns, random)
    if not len(instants_ns):
        raise UsageError("it has no request at all: raise its rate, or the duration")
    payload = draw_payloads(len(instants_ns), payloads, random)
    recipe = {"payloads": payloads} | recipe
    return _Part(instants_ns + stream.start_ns, payload, stream.start_ns + ends_ns, recipe)


def _workload(stream: Stream, seed: int, lasts_ns: int | None) -> WorkloadOptions:
    workload = msgspec.structs.replace(stream.workload, seed=seed)
    if lasts_ns is not None and "duration_ns" not in stream.chosen:
        return msgspec.structs.replace(workload, duration_ns=lasts_ns)
    return workload


def _refuse_what_was_ignored(stream: Stream, recipe: dict[str, Any]) -> None:
    """A recipe holds what it was drawn with: what was given and is not in it had no effect."""
    ignored = sorted(stream.chosen - set(recipe) - {"duration_ns"})
    if ignored:
        used = sorted(stream.chosen & set(recipe) - {"seed", "duration_ns"})
        what, beside = (" and ".join(map(key_of, names)) for names in (ignored, used))
        raise UsageError(f"{what} would mean nothing beside {beside or 'what else it has'}")
