"""From the arrivals in a file to a schedule of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.plan import transformed
from streambox.workload.schedule import MOST_LANES, Lane, Schedule, draw_payloads
from streambox.workload.source import provenance, read_source
from streambox.workload.transforms import parse_transforms
from streambox.workload.transforms.amount import Superpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from streambox.workload.events import Int32s

    UInt8s = np.ndarray[Any, np.dtype[np.uint8]]


def redraw_schedule(
    path: Path,
    transforms: Sequence[str],
    seed: int,
    payloads_of: Callable[[str], int],
    *,
    model: str | None,
    default_model: str,
) -> Schedule:
    """
    The arrivals in *path*, transformed, as a schedule with payloads drawn anew.

    Args:
        path: A schedule or a pattern.
        transforms: As text, in their order.
        seed: Of all that is drawn.
        payloads_of: How many payloads a model has, by its name.
        model: Whom all of it is for; None: each arrival for the model and tenant that its schedule
            says. Those of a pattern are for the only ones there are, else for *default_model*.

    The recipe holds the file's hash, and the recipe that drew it. Raises UsageError.
    """
    random = np.random.default_rng(seed)
    events = read_source(path, random)
    recipe = {**_recipe(path), "seed": seed, "duration_ns": events.duration_ns}
    events, recipe = transformed(events, recipe, transforms, random)
    if not len(events):
        raise UsageError(f"{path}: has no request, or transforms leave none")
    known = {} if model else _lanes_by_name((path, *_superposed(transforms)))
    lanes = [known.get(name) or _sole(known, Lane(model or default_model)) for name in events.functions]
    unique = tuple(dict.fromkeys(lanes))
    if len(unique) > MOST_LANES:
        raise UsageError(f"{path}: is for {len(unique)} models and tenants, the most is {MOST_LANES}")
    lane = np.array([unique.index(each) for each in lanes], np.uint8)[events.function]
    counts = [payloads_of(each.model) for each in unique]
    recipe = {"payloads": counts[0] if len(counts) == 1 else counts, "numpy": np.__version__} | recipe
    return Schedule(events.instants_ns, _payloads(lane, counts, random), lane, unique, recipe)


def _lanes_by_name(paths: Iterable[Path]) -> dict[str, Lane]:
    schedules = filter(None, map(provenance, paths))
    return {str(lane): lane for schedule in schedules for lane in schedule.lanes}


def _sole(known: Mapping[str, Lane], default: Lane) -> Lane:
    """Of what no schedule speaks of. Raises UsageError where there are several to choose from."""
    if len(known) > 1:
        raise UsageError(f"a pattern is for none of {', '.join(known)}: say for which, by --model")
    return next(iter(known.values()), default)


def _superposed(transforms: Sequence[str]) -> Iterator[Path]:
    for transform in parse_transforms(transforms):
        if isinstance(transform, Superpose):
            yield Path(transform.with_file)


def _payloads(lane: UInt8s, counts: Sequence[int], random: np.random.Generator) -> Int32s:
    payload = np.empty(len(lane), np.int32)
    for number, count in enumerate(counts):
        mine = lane == number
        payload[mine] = draw_payloads(int(np.count_nonzero(mine)), count, random)
    return payload


def _recipe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        recipe: dict[str, Any] = {
            "source": str(path),
            "source_sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
    schedule = provenance(path)
    return recipe if schedule is None else recipe | {"source_recipe": schedule.recipe}
