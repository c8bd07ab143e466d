"""All trace formats, and which of them a file is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.errors import UsageError
from streambox.workload.traces.azure_functions_2019 import AzureFunctions2019, companion
from streambox.workload.traces.azure_functions_2021 import AzureFunctions2021
from streambox.workload.traces.azure_llm import AzureLlm
from streambox.workload.traces.burstgpt import BurstGpt
from streambox.workload.traces.huawei import Huawei
from streambox.workload.traces.intervals import Intervals
from streambox.workload.traces.jsonl import Jsonl
from streambox.workload.traces.mooncake import Mooncake
from streambox.workload.traces.numbers import shown
from streambox.workload.traces.pattern import Pattern
from streambox.workload.traces.timestamps import Timestamps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.workload.traces.base import TraceFormat

_CLASSES: Final[tuple[type[TraceFormat], ...]] = (
    *(AzureFunctions2019, AzureFunctions2021, AzureLlm, BurstGpt, Mooncake, Huawei),
    *(Jsonl, Pattern, Intervals, Timestamps),
)
FORMATS: Final[Mapping[str, type[TraceFormat]]] = {each.name: each for each in _CLASSES}


def find_format(head: Sequence[bytes], name: str | None) -> type[TraceFormat]:
    """
    The format *name*; None: the first that recognises *head*, a file's first few lines.

    Raises UsageError where there is none.
    """
    if name in (None, AzureFunctions2019.name) and (beside := companion(head[0])) is not None:
        raise UsageError(f"tells {beside}")
    if name is not None:
        if name not in FORMATS:
            raise UsageError(f"no trace format {name!r}: choose one of {', '.join(FORMATS)}")
        return FORMATS[name]
    for each in FORMATS.values():
        if each.recognises(head):
            return each
    raise UsageError(
        f"begins with {shown(head[0])}, which is no trace format that is known: "
        f"give --format, one of {', '.join(FORMATS)}"
    )
