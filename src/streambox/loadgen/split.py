"""Where the response time goes: send lag + network + wait + service, around each percentile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.loadgen.buckets import DRAWN

if TYPE_CHECKING:
    from streambox.loadgen.record import Outcomes

    Floats = np.ndarray[Any, np.dtype[np.float64]]

PARTS: Final = ("send_lag", "network", "wait", "service")
RANKS: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
_REACH: Final = 0.5  # around a percentile: the responses up to half a per cent of all on either side


class Split(msgspec.Struct, frozen=True):
    """
    The requests whose responses tell of their batch, by bucket of their response time.

    ``counts`` of shape (buckets,), and the sums of their parts, in ns, of shape (parts, buckets).
    """

    counts: Floats
    sums_ns: Floats

    @classmethod
    def of(cls, outcomes: Outcomes) -> Split:
        """Reads a part at a time: what it takes does not grow with the number of *outcomes*."""
        counts, sums_ns = np.zeros(DRAWN.count), np.zeros((len(PARTS), DRAWN.count))
        for some in outcomes.in_parts():
            known = np.logical_and.reduce(
                [column >= 0 for column in (some.sent_ns, some.done_ns, some.wait_ns, some.service_ns)]
            )
            intended_ns, sent_ns, done_ns = (
                column[known] for column in (some.intended_ns, some.sent_ns, some.done_ns)
            )
            wait_ns, service_ns = some.wait_ns[known], some.service_ns[known]
            network_ns = done_ns - sent_ns - wait_ns - service_ns
            buckets = DRAWN.of(done_ns - intended_ns)
            counts += np.bincount(buckets, minlength=DRAWN.count)
            for row, part_ns in enumerate((sent_ns - intended_ns, network_ns, wait_ns, service_ns)):
                sums_ns[row] += np.bincount(buckets, part_ns, DRAWN.count)
        return cls(counts, sums_ns)

    def around(self, rank: float) -> Floats:
        """
        The mean parts, in ns, of the requests around the *rank* percentile of the response time.

        Those are the ones between the percentiles half a per cent below and above it, and
        what shares a bucket with them. Unlike the parts' own percentiles these add up.
        """
        below = np.cumsum(self.counts)
        low, high = (below[-1] * min(max(edge, 0), 100) / 100 for edge in (rank - _REACH, rank + _REACH))
        first = int(np.searchsorted(below, low, side="right"))
        last = max(first, int(np.searchsorted(below, high, side="left")))
        around = slice(first, last + 1)
        means: Floats = self.sums_ns[:, around].sum(axis=1) / self.counts[around].sum()
        return means

    def summary(self) -> dict[str, Any] | None:
        """Of ``summary.json``, in ms; None where no response tells."""
        if not self.counts.any():
            return None
        mean_ns = self.sums_ns.sum(axis=1) / self.counts.sum()
        means_ns = {name: self.around(rank) for name, rank in RANKS.items()} | {"mean": mean_ns}
        return {"requests": int(self.counts.sum())} | {
            name: _in_ms(parts_ns) for name, parts_ns in means_ns.items()
        }


def _in_ms(parts_ns: Floats) -> dict[str, float]:
    parts = {name: round(float(part_ns) / 1e6, 3) for name, part_ns in zip(PARTS, parts_ns, strict=True)}
    return {"response": round(float(parts_ns.sum()) / 1e6, 3), **parts}
