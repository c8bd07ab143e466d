"""The pictures of the batches that a run's requests were in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.loadgen import table
from streambox.page import Chart, bar

if TYPE_CHECKING:
    from streambox.loadgen.report.batches import Batches

_FEW_SIZES: Final = 12
_MEANINGS: Final = {
    "batchsize": "it was full",
    "timewindow": "its oldest request had waited for the time window",
    "deadline": "a deadline came near",
    "slotfree": "a slot was free",
    "drain": "the server was told to stop",
    "retry": "a failed batch was tried again in parts",
    "other": "some other reason",
}


def sizes(batches: Batches) -> Chart:
    filled = np.flatnonzero(batches.batches)
    shares = [table.share_text(count, batches.requests.sum()) for count in batches.requests[filled]]
    hover = "%{y:,} batches of %{x}<br>%{customdata} of the requests<extra></extra>"
    counts = batches.batches[filled].tolist()
    trace = bar("", filled.tolist(), counts, "--batch", hover, customdata=shares, width=0.85)
    total, per_batch = table.count_text(batches.batches.sum()), table.number_text(batches.per_batch)
    caption = (
        f"{total} batches of {per_batch} rows on average, each counted once. "
        f"The average request was in a batch of {table.number_text(batches.per_request)}."
    )
    largest = int(filled.max(initial=1))
    ticks = {"range": [0, largest + 1], "dtick": 1 if largest <= _FEW_SIZES else None, "tickformat": "d"}
    layout: dict[str, Any] = {"showlegend": False, "hovermode": "closest", "xaxis": ticks}
    axes = ("Batch size (rows)", "Batches")
    return Chart("batches", "Batch sizes", caption, [trace] if len(filled) else [], axes, layout)


def reasons(batches: Batches) -> Chart:
    """Why batches left their queue; nothing to draw where the server does not tell."""
    ranked = sorted(batches.reasons.items(), key=lambda item: -item[1])
    total = sum(batches.reasons.values())
    names = [name for name, _ in ranked]
    told = [f"{table.share_text(count, total)} because {_MEANINGS.get(name, name)}" for name, count in ranked]
    hover = "%{x:,} batches, %{customdata}<extra></extra>"
    counts = [count for _, count in ranked]
    trace = bar("", counts, names, "--batch", hover, orientation="h", customdata=told)
    caption = f"Why batches left their queue: {', '.join(told)}."
    layout = {
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"showgrid": True},
        "yaxis": {"autorange": "reversed", "showgrid": False},
    }
    shown = [trace] if ranked else []
    height = 110 + 34 * len(ranked)
    return Chart("reasons", "Flush reasons", caption, shown, ("Batches", ""), layout, height=height)
