"""The outcomes of a run, counted: one pass, a part at a time, so that it takes the same room however many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streambox.loadgen.histogram import Durations

if TYPE_CHECKING:
    from streambox.loadgen.record import Outcomes


class Tally:
    """
    What *outcomes* come to.

    ``lags``: from the intended instant to the sending, of what was sent; ``responses`` to the
    end of the response, of what was completed; ``responses_from_sent`` and ``first_bytes`` from the
    sending. ``services`` and ``sizes`` are what the replies tell of their batches.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        self.offered = len(outcomes)
        self.sent = self.completed = self.ok = 0
        self.last_done_ns = 0
        self.lags = Durations()
        self.responses = Durations()
        self.responses_from_sent = Durations()
        self.first_bytes = Durations()
        self.services = Durations()
        self.sizes = Durations()
        for some in outcomes.in_parts():
            self._add(some)

    def _add(self, some: Outcomes) -> None:
        self.sent += int(some.sent.sum())
        self.completed += int(some.completed.sum())
        self.ok += int(some.ok.sum())
        self.last_done_ns = max(self.last_done_ns, int(some.done_ns.max(initial=0)))
        self.lags.add(some.lag_ns)
        self.responses.add(some.response_ns)
        self.responses_from_sent.add(some.since_sent_ns(some.done_ns))
        self.first_bytes.add(some.since_sent_ns(some.first_byte_ns))
        self.services.add(some.service_ns[some.service_ns >= 0])
        self.sizes.add(some.batch_size[some.batch_size > 0].astype(np.int64))
