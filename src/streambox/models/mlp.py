"""
A multi-layer perceptron bound by its weights: 4 → 4096 → 4096 → 4096 → 1000, seeded.

Its 150 MB of weights exceed any cache, so one pass over them costs much the same for 1 row as for
several: the case where batching pays on a CPU. For benchmarks and policy experiments.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.models.cache import cached
from streambox.models.graph import GraphBuilder

if TYPE_CHECKING:
    from pathlib import Path

_SEED: Final = 4096
_FILE: Final = "mlp-4-4096x3-1000-seed4096-1.onnx"
_WIDTHS: Final = (4, 4096, 4096, 4096, 1000)


def model_path() -> Path:
    """The model file, generated on first use. Raises OSError."""
    return cached(_FILE, generate)


def generate() -> bytes:
    """The model file: input ``vector`` [N, 4], output ``logits`` [N, 1000]."""
    builder = GraphBuilder(_SEED)
    x = "vector"
    layers = list(pairwise(_WIDTHS))
    for number, (fan_in, width) in enumerate(layers, start=1):
        weights = builder.he_normal((fan_in, width), fan_in)
        bias = builder.weight(np.zeros(width, np.float32))
        last = number == len(layers)
        x = builder.add("Gemm", x, weights, bias, output="logits" if last else "")
        x = x if last else builder.add("Relu", x)
    return builder.build("mlp", ("vector", ("N", _WIDTHS[0])), ("logits", ("N", _WIDTHS[-1])))
