"""What a source of arrivals gives: instants, and which function each of them called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Int32s = np.ndarray[Any, np.dtype[np.int32]]


class Events(msgspec.Struct, frozen=True):
    """
    Arrivals over ``duration_ns``, of one or more functions.

    ``instants_ns`` is sorted and counts from the start of what was observed, so that
    0 <= instant < duration_ns; arrival i called ``functions[function[i]]``. A function may
    have no arrival at all.
    """

    instants_ns: Int64s
    function: Int32s
    functions: tuple[str, ...]
    duration_ns: int

    def __len__(self) -> int:
        return len(self.instants_ns)

    @classmethod
    def of(cls, instants_ns: Int64s, duration_ns: int | None = None, function: str = "") -> Events:
        """Arrivals of one function; *duration_ns* None: until just after the last one."""
        last_ns = int(instants_ns[-1]) + 1 if len(instants_ns) else 0
        calls = np.zeros(len(instants_ns), np.int32)
        return cls(instants_ns, calls, (function,), last_ns if duration_ns is None else duration_ns)

    def of_function(self, function: int) -> Int64s:
        """The instants at which ``functions[function]`` was called."""
        instants: Int64s = self.instants_ns[self.function == function]
        return instants

    def counts_per_unit(self, unit_ns: int) -> Int64s:
        """How many arrivals fall into each unit of *unit_ns*; the last unit may be cut short."""
        if unit_ns < 1:
            raise UsageError(f"a time unit of {unit_ns} ns holds nothing: give at least 1 ns")
        units = -(-self.duration_ns // unit_ns)
        edges_ns = np.arange(units, dtype=np.int64) * unit_ns
        before = np.searchsorted(self.instants_ns, edges_ns)
        return np.diff(before, append=len(self)).astype(np.int64)


def superpose(parts: Sequence[Events]) -> Events:
    """
    All arrivals of *parts* together, each part from the same start; equal names are one function.

    Raises UsageError where there is nothing to put together.
    """
    if not parts:
        raise UsageError("nothing to put together: give at least one source")
    names = tuple(dict.fromkeys(name for part in parts for name in part.functions))
    number = {name: index for index, name in enumerate(names)}
    instants_ns = np.concatenate([part.instants_ns for part in parts])
    function = np.concatenate(
        [np.array([number[name] for name in part.functions], np.int32)[part.function] for part in parts]
    )
    order = np.argsort(instants_ns, kind="stable")
    return Events(instants_ns[order], function[order], names, max(part.duration_ns for part in parts))
