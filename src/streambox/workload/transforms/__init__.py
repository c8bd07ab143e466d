"""Transforms of arrivals, composable, each with a report of what it kept."""

from streambox.workload.transforms.base import Promise, Transform
from streambox.workload.transforms.fidelity import Fidelity, apply_all
from streambox.workload.transforms.registry import (
    TRANSFORMS,
    format_transform,
    parse_transform,
    parse_transforms,
)

__all__ = [
    "TRANSFORMS",
    "Fidelity",
    "Promise",
    "Transform",
    "apply_all",
    "format_transform",
    "parse_transform",
    "parse_transforms",
]
