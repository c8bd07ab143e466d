"""
ResNet-50 v1.5 (He et al., 2015; the stride in the 3x3 convolution) with seeded random weights.

Its answers mean nothing; its work, its memory and its shapes are the real network's: 25.6 million
parameters, ``data`` [N, 3, 224, 224] to ``logits`` [N, 1000].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.models.cache import cached
from streambox.models.graph import GraphBuilder

if TYPE_CHECKING:
    from pathlib import Path

_SEED: Final = 50
_FILE: Final = "resnet50-v1.5-seed50-1.onnx"  # the last number: the generator's own version
_STAGES: Final = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, first stride
_EXPANSION: Final = 4
_CLASSES: Final = 1000


def model_path() -> Path:
    """The model file, generated on first use. Raises OSError."""
    return cached(_FILE, lambda: generate()[0])


def generate() -> tuple[bytes, int]:
    """The model file and its number of trainable parameters. Takes some seconds and 300 MB."""
    builder = GraphBuilder(_SEED)
    x = _convolution(builder, "data", (3, 64), kernel=7, stride=2)
    x = builder.add("Relu", x)
    x = builder.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, blocks, first_stride in _STAGES:
        for block in range(blocks):
            x = _bottleneck(builder, x, channels, width, first_stride if block == 0 else 1)
            channels = width * _EXPANSION
    x = builder.add("Flatten", builder.add("GlobalAveragePool", x))
    dense = builder.he_normal((_CLASSES, channels), channels)
    bias = builder.weight(np.zeros(_CLASSES, np.float32))
    builder.add("Gemm", x, dense, bias, output="logits", transB=1)
    content = builder.build("resnet50", ("data", ("N", 3, 224, 224)), ("logits", ("N", _CLASSES)))
    return content, builder.parameters


def _bottleneck(builder: GraphBuilder, x: str, channels: int, width: int, stride: int) -> str:
    """1x1, 3x3, 1x1 around a shortcut, which is projected where the shape changes."""
    out = width * _EXPANSION
    y = builder.add("Relu", _convolution(builder, x, (channels, width)))
    y = builder.add("Relu", _convolution(builder, y, (width, width), kernel=3, stride=stride))
    # A small gain at the end of each branch keeps the sum of 16 of them from growing 2^16-fold.
    y = _convolution(builder, y, (width, out), gain=0.2)
    if channels != out or stride != 1:
        x = _convolution(builder, x, (channels, out), stride=stride, gain=0.7)
    return builder.add("Relu", builder.add("Add", y, x))


def _convolution(
    builder: GraphBuilder,
    x: str,
    channels: tuple[int, int],
    *,
    kernel: int = 1,
    stride: int = 1,
    gain: float = 1.0,
) -> str:
    """
    A convolution with its batch normalisation folded into a bias, as any inference runtime does.

    That makes one value per channel of the normalisation's two: 25,530,472 of the 25,557,032.
    """
    fan_in = channels[0] * kernel * kernel
    weights = builder.he_normal((channels[1], channels[0], kernel, kernel), fan_in, gain=gain)
    pad = kernel // 2
    bias = builder.weight(np.zeros(channels[1], np.float32))
    return builder.add(
        "Conv", x, weights, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4
    )
