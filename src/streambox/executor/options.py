"""What a worker process is told to run."""

from __future__ import annotations

from typing import Literal

import msgspec

from streambox.executor.base import TensorSpec

_NS_PER_S = 1_000_000_000


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    One model, and the processes that serve it.

    Give the model's source by exactly one of:

    * ``path``: an ONNX file (runtime ``onnx``);
    * ``builtin``: a shipped model's name, whose file the worker finds or generates (runtime ``onnx``);
    * ``callable``: ``module:name`` of a function or class (runtime ``python``), imported from
      ``search_path`` first, then from ``PYTHONPATH`` and what is installed. It needs ``inputs`` and
      ``outputs``; an ONNX file brings its own.

    ``finite_outputs``: an answer with a NaN or an infinity in it is none.
    ``preprocess``: ``tile`` repeats a vector shorter than the model's sole input until it fills it.
    ``threads``: compute threads of one worker. ``instances``: worker processes, one slot each.
    ``execution_limit_ns``: a batch that runs longer is failed and its worker replaced; also the
    longest a batch waits for a worker while none is up. ``load_limit_ns``: the same for a load.
    """

    name: str
    runtime: Literal["onnx", "python"]
    path: str = ""
    builtin: str = ""
    callable: str = ""
    search_path: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    preprocess: Literal["tile"] | None = None
    finite_outputs: bool = False
    threads: int = 1
    instances: int = 1
    execution_limit_ns: int = 60 * _NS_PER_S
    load_limit_ns: int = 300 * _NS_PER_S
