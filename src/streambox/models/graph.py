"""A few lines over ``onnx.helper`` for building models layer by layer, seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, np.dtype[Any]]

# Old enough for any ONNX Runtime since 1.8, new enough for every operator used.
_OPSET = 13
_IR_VERSION = 7


class GraphBuilder:
    """
    Nodes and weights of one graph, in order.

    ``add`` returns the new node's output, to be fed to the next. Weights are drawn from one seeded
    generator, so the order of the calls is part of the model.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self.parameters = 0

    def weight(self, values: Array) -> str:
        """A constant of the graph; returns its name."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        self.parameters += values.size
        return name

    def he_normal(self, shape: Sequence[int], fan_in: int, *, gain: float = 1.0) -> str:
        """Weights ~ N(0, gain² · 2 / fan_in): variance is kept through a ReLU (He et al., 2015)."""
        scale = np.float32(gain * np.sqrt(2.0 / fan_in))
        return self.weight(self._random.standard_normal(tuple(shape), dtype=np.float32) * scale)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def build(
        self, name: str, model_input: tuple[str, Sequence[int | str]], output: tuple[str, Sequence[int | str]]
    ) -> bytes:
        """The model file. *model_input* and *output* are FP32: a name and a shape, str for an open axis."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(model_input[0], TensorProto.FLOAT, list(model_input[1]))],
            [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, list(output[1]))],
            self._weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="streambox"
        )
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
