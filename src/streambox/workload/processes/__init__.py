"""Arrival processes: where a workload's instants come from when no trace gives them."""

from streambox.workload.processes.base import Process
from streambox.workload.processes.registry import (
    PROCESSES,
    format_process,
    make_process,
    parameters_of,
    parse_process,
)

__all__ = ["PROCESSES", "Process", "format_process", "make_process", "parameters_of", "parse_process"]
