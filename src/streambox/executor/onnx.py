"""An ONNX model run by ONNX Runtime on the CPU, inside a worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from streambox import models
from streambox.errors import StreamBoxError
from streambox.executor.base import BatchErrorKind, LoadFailed, ModelSpec, TensorSpec
from streambox.executor.model import ModelFailed, check_rows, one_line

if TYPE_CHECKING:
    from streambox.executor.options import WorkerOptions

    Array = np.ndarray[Any, np.dtype[Any]]

_DATATYPES: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
}
_LOG_FATAL: Final = 4  # what goes wrong is raised, and told once, by us


class OnnxModel:
    """
    An ONNX Runtime session. The spec is the file's own.

    A model whose first axis is fixed at k is fed k rows always: fewer are padded by repeating the
    last one, and the padding's outputs are cut off.
    """

    def __init__(self, options: WorkerOptions) -> None:
        """Raises LoadFailed."""
        self._session = _session(_model_file(options), options.threads)
        inputs = self._session.get_inputs()
        outputs = self._session.get_outputs()
        if not inputs:
            raise LoadFailed("the model has no inputs")
        self._fixed_rows = _fixed_rows(inputs)
        self.spec = ModelSpec(
            tuple(_spec("input", node) for node in inputs),
            tuple(_spec("output", node) for node in outputs),
            "onnx_onnxv1",
            max_rows=self._fixed_rows,
        )
        self._output_names = [spec.name for spec in self.spec.outputs]

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(inputs.values())))
        if self._fixed_rows is not None and rows != self._fixed_rows:
            inputs = {name: _padded(array, self._fixed_rows) for name, array in inputs.items()}
        try:
            results = self._session.run(self._output_names, inputs)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base
            raise ModelFailed(BatchErrorKind.MODEL, _reason(error), retryable=True) from None
        outputs = dict(zip(self._output_names, results, strict=True))
        check_rows(outputs, self._fixed_rows or rows)
        return {name: np.ascontiguousarray(array[:rows]) for name, array in outputs.items()}


def _model_file(options: WorkerOptions) -> Path:
    if options.builtin:
        return _builtin_file(options.builtin)
    path = Path(options.path)
    if not path.is_file():
        raise LoadFailed(f"no file {path}")
    return path


def _builtin_file(name: str) -> Path:
    try:
        return models.model_path(name)
    except OSError as error:
        where = error.filename or models.cache_folder()
        raise LoadFailed(
            f"cannot generate '{name}': {error.strerror}: {where} (XDG_CACHE_HOME names another cache folder)"
        ) from None
    except StreamBoxError as error:
        raise LoadFailed(str(error)) from None


def _session(path: Path, threads: int) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = _LOG_FATAL
    # A thread that spins while it waits for the next batch takes the core from the front.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no base
        raise LoadFailed(f"{path.name} is not a model that ONNX Runtime can run: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """ONNX Runtime's message without its code prefix and its source location."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", one_line(error))
    return re.sub(r"^\S*/(\S+:\d+ )", r"\1", text)


def _fixed_rows(inputs: list[Any]) -> int | None:
    """The row count that the file demands; None where it leaves it open."""
    for node in inputs:
        if not node.shape:
            raise LoadFailed(f"input '{node.name}' is a scalar; its first axis has to be the rows")
    fixed = {node.shape[0] for node in inputs if isinstance(node.shape[0], int)}
    if len(fixed) > 1:
        raise LoadFailed(f"its inputs' first axes differ ({sorted(fixed)}), so they cannot be the rows")
    return fixed.pop() if fixed else None


def _spec(role: str, node: Any) -> TensorSpec:
    element = re.fullmatch(r"tensor\((\w+)\)", node.type)
    datatype = _DATATYPES.get(element[1]) if element else None
    if datatype is None:
        raise LoadFailed(f"{role} '{node.name}' is of type {node.type}, which is not supported")
    if not node.shape:
        raise LoadFailed(f"{role} '{node.name}' is a scalar; its first axis has to be the rows")
    dims = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape[1:])
    return TensorSpec(node.name, datatype, (-1, *dims))


def _padded(array: Array, rows: int) -> Array:
    """*array* with its last row repeated up to *rows*."""
    if len(array) > rows:
        raise ModelFailed(BatchErrorKind.MODEL, f"{len(array)} rows; the model takes {rows}", retryable=True)
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])
