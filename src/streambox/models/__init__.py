"""The models that come with StreamBox: what each needs to be served, and where its file is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, Protocol, cast

import msgspec

from streambox.errors import StreamBoxError
from streambox.executor.options import WorkerOptions
from streambox.models.cache import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUILTIN", "BuiltinModel", "cache_folder", "model_path"]


class BuiltinModel(msgspec.Struct, frozen=True):
    """``lazy``: loaded by its first request. ``purpose``: one line for a listing."""

    options: WorkerOptions
    purpose: str
    lazy: bool = False


BUILTIN: Final[dict[str, BuiltinModel]] = {
    "digits": BuiltinModel(
        WorkerOptions(name="digits", runtime="onnx", builtin="digits"),
        "classifies 8x8 images of handwritten digits; trained on the UCI set",
    ),
    "resnet50": BuiltinModel(
        WorkerOptions(name="resnet50", runtime="onnx", builtin="resnet50", preprocess="tile"),
        "the full ResNet-50 graph with seeded random weights",
        lazy=True,
    ),
}

_MODULES: Final = {name: f"streambox.models.{name}" for name in ("digits", "resnet50", "mlp")}


class _ModelModule(Protocol):
    def model_path(self) -> Path: ...


def model_path(name: str) -> Path:
    """
    The ONNX file of the shipped model *name*: a built-in, or ``mlp`` for benchmarks.

    Generated on first use where it is not part of the package (seconds, about 100 MB in the user's
    cache folder). Raises StreamBoxError for an unknown name, OSError when the file cannot be written.
    """
    if name not in _MODULES:
        raise StreamBoxError(f"no built-in model '{name}'; there are: {', '.join(_MODULES)}")
    return cast("_ModelModule", importlib.import_module(_MODULES[name])).model_path()
