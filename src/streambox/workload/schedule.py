"""The whole workload, drawn before the clock starts: which request goes out when."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streambox.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Int32s = np.ndarray[Any, np.dtype[np.int32]]


class Schedule(msgspec.Struct, frozen=True):
    """
    Request i goes out at ``intended_ns[i]``, sorted, from the start of the run.

    ``payload[i]`` says with which body, out of those of the run's payload set. A closed
    loop has no instants: it sends its payloads round and round.
    ``recipe`` is what it takes to draw the same schedule again.
    """

    intended_ns: Int64s
    payload: Int32s
    model: str
    recipe: dict[str, Any]

    def __len__(self) -> int:
        return len(self.intended_ns)

    @property
    def duration_ns(self) -> int:
        """From the start of the run to the last request; the recipe's own duration where it has one."""
        last = int(self.intended_ns[-1]) if len(self) else 0
        return max(last, int(self.recipe.get("duration_ns", 0)))

    @property
    def sha256(self) -> str:
        """Of what is sent when: equal exactly for schedules that replay alike, on any machine."""
        digest = hashlib.sha256(b"streambox-schedule-1\0" + self.model.encode() + b"\0")
        digest.update(self.intended_ns.astype("<i8", copy=False).tobytes())
        digest.update(self.payload.astype("<i4", copy=False).tobytes())
        return digest.hexdigest()

    def to_parquet(self, path: Path) -> None:
        """Columns intended_ns, model, payload; hash and recipe in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        model = pa.DictionaryArray.from_arrays(np.zeros(len(self.payload), np.int32), [self.model])
        instants = pa.array(self.intended_ns) if len(self) else pa.nulls(len(self.payload), pa.int64())
        table = pa.table({"intended_ns": instants, "model": model, "payload": self.payload})
        metadata = {"streambox.sha256": self.sha256, "streambox.recipe": json.dumps(self.recipe)}
        pq.write_table(table.replace_schema_metadata({**metadata, "streambox.model": self.model}), path)

    @classmethod
    def from_parquet(cls, path: Path) -> Schedule:
        """Raises UsageError when the file is not a schedule, or was changed after it was written."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
            schedule = cls(
                table["intended_ns"].drop_null().to_numpy().astype(np.int64, copy=False),
                table["payload"].to_numpy().astype(np.int32, copy=False),
                metadata["streambox.model"],
                json.loads(metadata["streambox.recipe"]),
            )
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise UsageError(f"{path}: not a schedule of ours: {error}") from None
        if schedule.sha256 != metadata.get("streambox.sha256"):
            raise UsageError(f"{path}: its content does not match its hash: draw it again from its recipe")
        return schedule


def draw_payloads(count: int, payloads: int, random: np.random.Generator) -> Int32s:
    """Which of *payloads* bodies each of *count* requests carries, uniformly."""
    return random.integers(0, payloads, count, dtype=np.int32)
