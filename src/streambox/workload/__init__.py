"""Workloads: patterns of counts, arrivals, and the schedule drawn from them."""

from streambox.workload.counts import get_workload, read_counts, shape_counts, write_counts
from streambox.workload.patterns import generate
from streambox.workload.schedule import Schedule

__all__ = ["Schedule", "generate", "get_workload", "read_counts", "shape_counts", "write_counts"]
