"""Traces of real services, in the formats in which they are published."""

from streambox.workload.traces.base import BadRow, Trace, TraceFormat, TraceOptions
from streambox.workload.traces.durations import Durations, read_durations
from streambox.workload.traces.read import read_trace
from streambox.workload.traces.registry import FORMATS

__all__ = [
    "FORMATS",
    "BadRow",
    "Durations",
    "Trace",
    "TraceFormat",
    "TraceOptions",
    "read_durations",
    "read_trace",
]
