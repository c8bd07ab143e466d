"""The whole workload, drawn before the clock starts: which request goes out when."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Int32s = np.ndarray[Any, np.dtype[np.int32]]
    UInt8s = np.ndarray[Any, np.dtype[np.uint8]]

_ROWS_AT_ONCE: Final = 65_536
_NS_PER_S: Final = 1_000_000_000

MOST_LANES: Final = 255


class Lane(NamedTuple):
    """Whose requests for which model: what a run tells apart. ``tenant`` may be empty."""

    model: str
    tenant: str = ""

    def __str__(self) -> str:
        return f"{self.model}/{self.tenant}" if self.tenant else self.model


class Schedule(msgspec.Struct, frozen=True):
    """
    Request i goes out at ``intended_ns[i]``, sorted, from the start of the run, for ``lanes[lane[i]]``.

    ``payload[i]`` says with which body, out of those of its lane's payload set. A closed
    loop has no instants: it sends its payloads round and round. ``recipe`` is what it
    takes to draw the same schedule again.
    """

    intended_ns: Int64s
    payload: Int32s
    lane: UInt8s
    lanes: tuple[Lane, ...]
    recipe: dict[str, Any]

    @classmethod
    def of_lane(cls, intended_ns: Int64s, payload: Int32s, lane: Lane, recipe: dict[str, Any]) -> Schedule:
        return cls(intended_ns, payload, np.zeros(len(payload), np.uint8), (lane,), recipe)

    def __len__(self) -> int:
        return len(self.intended_ns)

    @property
    def duration_ns(self) -> int:
        """From the start of the run to the last request; the recipe's own duration where it has one."""
        last = int(self.intended_ns[-1]) if len(self) else 0
        return max(last, int(self.recipe.get("duration_ns", 0)))

    @property
    def busiest_second(self) -> int:
        """How many requests go out in the busiest second, counted from the start of the run."""
        most = last = of_last = 0
        for start in range(0, len(self), _ROWS_AT_ONCE):
            seconds = self.intended_ns[start : start + _ROWS_AT_ONCE] // _NS_PER_S
            found, counts = np.unique(seconds, return_counts=True)
            if found[0] == last:
                counts[0] += of_last
            most = max(most, int(counts.max()))
            last, of_last = found[-1], counts[-1]
        return most

    @property
    def sha256(self) -> str:
        """Of what is sent when: equal exactly for schedules that replay alike, on any machine."""
        digest = hashlib.sha256(b"streambox-schedule-2\0" + json.dumps(self.lanes).encode() + b"\0")
        digest.update(self.intended_ns.astype("<i8", copy=False).data)
        digest.update(self.payload.astype("<i4", copy=False).data)
        digest.update(self.lane.data)
        return digest.hexdigest()

    def to_parquet(self, path: Path) -> None:
        """Columns intended_ns, model, tenant, payload; hash and recipe in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = {
            "model": pa.array([lane.model for lane in self.lanes]),
            "tenant": pa.array([lane.tenant for lane in self.lanes]),
        }
        metadata = {
            "streambox.sha256": self.sha256,
            "streambox.recipe": json.dumps(self.recipe),
            "streambox.lanes": json.dumps(self.lanes),
        }
        text = pa.dictionary(pa.uint8(), pa.string())
        fields = [("intended_ns", pa.int64()), ("model", text), ("tenant", text), ("payload", pa.int32())]
        schema = pa.schema(fields, metadata)
        with pq.ParquetWriter(path, schema) as writer:
            for start in range(0, max(1, len(self.payload)), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                lane = self.lane[part]
                instants = pa.array(self.intended_ns[part]) if len(self) else pa.nulls(len(lane), pa.int64())
                columns = {
                    "intended_ns": instants,
                    **{key: pa.DictionaryArray.from_arrays(lane, values) for key, values in names.items()},
                    "payload": self.payload[part],
                }
                writer.write_table(pa.table(columns, schema=schema))

    @classmethod
    def from_parquet(cls, path: Path) -> Schedule:
        """Raises UsageError when the file is not a schedule, or was changed after it was written."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                schedule, sha256 = cls._read(file)
        except FileNotFoundError:
            raise UsageError(f"{path}: no such schedule file") from None
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"{path}: not a schedule of ours: {reason}") from None
        if schedule.sha256 != sha256:
            raise UsageError(f"{path}: its content does not match its hash: draw it again from its recipe")
        return schedule

    @classmethod
    def _read(cls, file: Any) -> tuple[Schedule, str]:
        """A part at a time: the file's decoded pages never lie in memory all at once."""
        metadata = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
        lanes = tuple(Lane(*pair) for pair in json.loads(metadata["streambox.lanes"]))
        number = {lane: index for index, lane in enumerate(lanes)}
        count = file.metadata.num_rows
        intended_ns, payload = np.empty(count, np.int64), np.empty(count, np.int32)
        lane = np.empty(count, np.uint8)
        row, instants = 0, 0
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            part = slice(row, row + len(batch))
            given = batch["intended_ns"].drop_null().to_numpy()
            intended_ns[instants : instants + len(given)] = given
            payload[part] = batch["payload"].to_numpy()
            lane[part] = _lane_codes(batch["model"], batch["tenant"], number)
            row, instants = part.stop, instants + len(given)
        recipe = json.loads(metadata["streambox.recipe"])
        return cls(intended_ns[:instants], payload, lane, lanes, recipe), metadata["streambox.sha256"]


def _lane_codes(model: Any, tenant: Any, number: Mapping[Lane, int]) -> UInt8s:
    """Which lane each pair of dictionary-encoded names is. Raises KeyError for a pair that is none."""
    models, tenants = model.dictionary.to_pylist(), tenant.dictionary.to_pylist()
    codes = model.indices.to_numpy().astype(np.int64) * max(1, len(tenants)) + tenant.indices.to_numpy()
    found, inverse = np.unique(codes, return_inverse=True)
    names = [Lane(models[code // len(tenants)], tenants[code % len(tenants)]) for code in found.tolist()]
    return np.array([number[name] for name in names], np.uint8)[inverse]


def draw_payloads(count: int, payloads: int, random: np.random.Generator) -> Int32s:
    """Which of *payloads* bodies each of *count* requests carries, uniformly."""
    return random.integers(0, payloads, count, dtype=np.int32)
