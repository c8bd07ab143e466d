"""A run cut into blocks of about a second, each with histograms: all that its figures need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from streambox.loadgen.buckets import DRAWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from streambox.loadgen.record import Outcomes

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]
    Weights = np.ndarray[Any, np.dtype[np.float32]]

_BLOCK_NS: Final = 1_000_000_000
_MOST_BLOCKS: Final = 3600  # of a longer run blocks are longer than a second
_ROWS_AT_ONCE: Final = 1 << 20
_RESAMPLES_AT_ONCE: Final = 128
_COLUMNS: Final = ("intended_ns", "sent_ns", "done_ns", "wait_ns", "service_ns", "batch_size")
DURATIONS: Final = ("response", "wait", "service", "send_lag")


class Rows(NamedTuple):
    """Some requests of a run, in schedule order; the columns are those of ``Outcomes``."""

    intended_ns: Int64s
    sent_ns: Int64s
    done_ns: Int64s
    wait_ns: Int64s
    service_ns: Int64s
    batch_size: Int64s
    ok: Mask


class Histogram(msgspec.Struct, frozen=True):
    """
    Durations by block and by logarithmic bucket: ``counts`` has shape (blocks, buckets in use).

    ``low_ns`` and ``high_ns`` are the buckets' edges, ``sums_ns`` the exact sum of each block.
    """

    counts: Weights
    low_ns: Floats
    high_ns: Floats
    sums_ns: Floats

    @property
    def total(self) -> int:
        return int(self.counts.sum(dtype=np.float64))

    def joined(self, others: Sequence[Histogram]) -> Histogram:
        """All of them as one, of a single block."""
        histograms = (self, *others)
        low_ns, column = np.unique(np.concatenate([h.low_ns for h in histograms]), return_inverse=True)
        high_ns = np.zeros(len(low_ns))
        high_ns[column] = np.concatenate([h.high_ns for h in histograms])
        counts = np.bincount(
            column, np.concatenate([h.counts.sum(axis=0, dtype=np.float64) for h in histograms]), len(low_ns)
        )
        sums_ns = np.array([sum(float(h.sums_ns.sum()) for h in histograms)])
        return Histogram(counts[None, :].astype(np.float32), low_ns, high_ns, sums_ns)

    def quantiles_ns(self, weights: Weights, shares: Sequence[float]) -> Floats:
        """
        Of the durations of all blocks, each block counted *weights* times: shape (shares, resamples).

        Between a bucket's edges by proportion. NaN where there is no duration at all.
        """
        found = np.full((len(shares), len(weights)), np.nan)
        for start in range(0, len(weights), _RESAMPLES_AT_ONCE):
            part = slice(start, start + _RESAMPLES_AT_ONCE)
            below = np.cumsum(weights[part] @ self.counts, axis=1, dtype=np.float64)
            if not below.shape[1]:
                break
            found[:, part] = [self._at(below, share) for share in shares]
        return found

    def _at(self, below: Floats, share: float) -> Floats:
        """*below*: the counts up to and including each bucket, shape (resamples, buckets)."""
        total = below[:, -1]
        rank = np.maximum(share * total, 1e-9)
        bucket = np.minimum((below < rank[:, None]).sum(axis=1), below.shape[1] - 1)
        rows = np.arange(len(below))
        before = np.where(bucket, below[rows, bucket - 1], 0.0)
        within = (rank - before) / np.maximum(below[rows, bucket] - before, 1)
        values = self.low_ns[bucket] + within * (self.high_ns - self.low_ns)[bucket]
        return np.where(total > 0, values, np.nan)

    def means_ns(self, weights: Weights) -> Floats:
        """Likewise, of shape (resamples,)."""
        counts = weights @ self.counts.sum(axis=1, dtype=np.float64)
        return (weights @ self.sums_ns) / np.where(counts > 0, counts, np.nan)


class Blocks(msgspec.Struct, frozen=True):
    """
    A run's measured part, in blocks of equal width.

    ``offered``, ``ok``, ``batched`` (how many tell of their batch) and ``batch_rows`` (the sizes
    of those batches, added up) go by when a request was meant to be sent, and so do the
    histograms; ``completed`` goes by when the response came.
    """

    width_ns: float
    offered: Floats
    ok: Floats
    completed: Floats
    batched: Floats
    batch_rows: Floats
    durations: dict[str, Histogram]

    @classmethod
    def of(cls, parts: Iterable[Rows], start_ns: int, end_ns: int) -> Blocks:
        """
        Of the requests due in [start, end), all of them in *parts*, one after the other.

        Cost: 0.4 s a million requests.
        """
        count = min(max(1, round((end_ns - start_ns) / _BLOCK_NS)), _MOST_BLOCKS)
        width_ns = (end_ns - start_ns) / count
        names = ("offered", "ok", "completed", "batched", "batch_rows")
        sums = {name: np.zeros(count) for name in names}
        tallies = {name: _Tally(count) for name in DURATIONS}

        def add(name: str, instants_ns: Int64s, values: Int64s | None = None) -> None:
            blocks = ((instants_ns - start_ns) / width_ns).astype(np.int64)
            sums[name] += np.bincount(np.minimum(blocks, count - 1), values, count)

        for rows in parts:
            arrived = rows.done_ns[(rows.done_ns >= start_ns) & (rows.done_ns < end_ns)]
            add("completed", arrived)
            rows = _between(rows, start_ns, end_ns)
            add("offered", rows.intended_ns)
            add("ok", rows.intended_ns[rows.ok])
            told = rows.batch_size > 0
            add("batched", rows.intended_ns[told])
            add("batch_rows", rows.intended_ns[told], rows.batch_size[told])
            block = np.minimum(((rows.intended_ns - start_ns) / width_ns).astype(np.int64), count - 1)
            for name, (known, values_ns) in _durations(rows).items():
                tallies[name].add(block[known], values_ns[known])
        histograms = {name: tally.histogram() for name, tally in tallies.items()}
        return cls(width_ns, **sums, durations=histograms)

    def __len__(self) -> int:
        return len(self.offered)

    def pooled(self, others: Sequence[Blocks] = ()) -> Blocks:
        """These and those of other runs as one single block, which lasts as long as all of them."""
        runs = (self, *others)
        sums = {
            name: np.array([sum(float(getattr(run, name).sum()) for run in runs)])
            for name in ("offered", "ok", "completed", "batched", "batch_rows")
        }
        durations = {
            name: own.joined([run.durations[name] for run in others]) for name, own in self.durations.items()
        }
        return Blocks(sum(len(run) * run.width_ns for run in runs), **sums, durations=durations)


class _Tally:
    """A histogram in the making: only blocks and buckets that have something in them take room."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._keys: list[Int64s] = []
        self._counts: list[Int64s] = []
        self._sums_ns = np.zeros(blocks)

    def add(self, block: Int64s, values_ns: Int64s) -> None:
        keys, counts = np.unique(block * DRAWN.count + DRAWN.of(values_ns), return_counts=True)
        self._keys.append(keys)
        self._counts.append(counts)
        self._sums_ns += np.bincount(block, values_ns, self._blocks)

    def histogram(self) -> Histogram:
        keys = np.concatenate([*self._keys, np.empty(0, np.int64)])
        block, bucket = np.divmod(keys, DRAWN.count)
        used, column = np.unique(bucket, return_inverse=True)
        counts = np.zeros((self._blocks, len(used)), np.float32)
        np.add.at(counts, (block, column), np.concatenate([*self._counts, np.empty(0, np.int64)]))
        return Histogram(counts, DRAWN.lower_ns(used), DRAWN.lower_ns(used + 1), self._sums_ns)


def _between(rows: Rows, start_ns: int, end_ns: int) -> Rows:
    first, last = np.searchsorted(rows.intended_ns, (start_ns, end_ns))
    return Rows._make(column[first:last] for column in rows)


def _durations(rows: Rows) -> dict[str, tuple[Mask, Int64s]]:
    """For each kind which rows have it, and what it is; see docs/load-generator.md."""
    return {
        "response": (rows.done_ns >= 0, rows.done_ns - rows.intended_ns),
        "wait": (rows.wait_ns >= 0, rows.wait_ns),
        "service": (rows.service_ns >= 0, rows.service_ns),
        "send_lag": (rows.sent_ns >= 0, rows.sent_ns - rows.intended_ns),
    }


def rows_of(outcomes: Outcomes) -> Iterator[Rows]:
    for part in outcomes.in_parts():
        yield Rows._make([*(getattr(part, name) for name in _COLUMNS), part.ok])


def read_rows(path: Path) -> Iterator[Rows]:
    """Of an ``outcomes.parquet``. Raises OSError, or pyarrow's own, where it is none."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[*_COLUMNS, "kind"]):
            ok = pc.equal(batch["kind"].dictionary_decode(), "ok")
            columns = [batch[name].to_numpy() for name in _COLUMNS]
            yield Rows._make([*columns, ok.to_numpy(zero_copy_only=False)])
