"""Traces of real services, in the formats in which they are published."""

from streambox.workload.traces.base import BadRow, Trace, TraceFormat, TraceOptions
from streambox.workload.traces.read import read_trace
from streambox.workload.traces.registry import FORMATS

__all__ = ["FORMATS", "BadRow", "Trace", "TraceFormat", "TraceOptions", "read_trace"]
