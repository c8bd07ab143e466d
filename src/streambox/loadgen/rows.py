"""Rows for a model: out of a dataset, at random, or as its name calls for; and bodies of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.bodies import Body, oip_body, reference_body
from streambox.loadgen.dataset import SOLE, Dataset, read_dataset
from streambox.loadgen.images import read_images
from streambox.loadgen.inputs import InputSpec, parse_inputs, random_rows
from streambox.loadgen.metadata import fetch_inputs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from streambox.loadgen.payload import PayloadOptions
    from streambox.loadgen.target import Target

    Array = np.ndarray[Any, np.dtype[Any]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Int64s = np.ndarray[Any, np.dtype[np.int64]]

AUTO: Final = "auto"
_REFERENCE_VECTORS: Final = 256


def specs_of(
    target: Target, model: str, options: PayloadOptions, tls: ssl.SSLContext | None
) -> tuple[InputSpec, ...]:
    """What the model takes; nothing where nobody needs to know."""
    if options.input is not None or options.random not in (None, AUTO):
        return parse_inputs(str(options.input or options.random))
    folder = options.dataset is not None and Path(options.dataset).is_dir()
    if options.api == "reference" and options.random is None and not folder:
        return ()
    return fetch_inputs(target, model, tls, options.headers)


def rows_of(model: str, seed: int, options: PayloadOptions, specs: Sequence[InputSpec]) -> Dataset:
    if options.dataset is not None:
        path = Path(options.dataset)
        if not path.is_dir():
            return read_dataset(path)
        if len(specs) != 1:
            raise UsageError(f"{path}: an image is one input, and the model takes {_names(specs)}")
        return read_images(path, specs[0], options.pixels)
    if options.random is None and model == "digits":
        from streambox.models.digits import heldout

        images, _ = heldout()
        return Dataset({SOLE: list(images)}, predict_digits(images))
    random = np.random.default_rng([seed, 1])
    if specs:
        return random_rows(specs, random)
    return Dataset({SOLE: list(random.integers(1, 100, (_REFERENCE_VECTORS, 4)))})


def rows_of_requests(count: int, rows: int | str | None, seed: int) -> list[Int64s]:
    """Which of *count* rows each request carries: each begins with another one. Raises UsageError."""
    low, _, high = str(1 if rows is None else rows).partition("..")
    if not low.isdecimal() or not (high or low).isdecimal() or not 0 < int(low) <= int(high or low) <= count:
        raise UsageError(
            f"rows: {rows!r} is none of 1..{count}: write a number, or the bounds of one, as 1..8"
        )
    sizes = np.random.default_rng([seed, 2]).integers(int(low), int(high or low), count, endpoint=True)
    return [np.arange(first, first + size) % count for first, size in enumerate(sizes)]


def reference_bodies(model: str, dataset: Dataset) -> Iterator[Body]:
    if len(dataset.inputs) > 1:
        raise UsageError(f"the reference API takes one input, the dataset has {sorted(dataset.inputs)}")
    (rows,) = dataset.inputs.values()
    for row in rows:
        yield reference_body(model, row.ravel().tolist())


def oip_bodies(
    model: str,
    dataset: Dataset,
    specs: Sequence[InputSpec],
    taken: Sequence[Int64s],
    *,
    binary: bool,
) -> Iterator[Body]:
    named = dataset.inputs
    if SOLE in named and len(specs) == 1:
        named = {specs[0].name: named[SOLE]}
    if set(named) != {spec.name for spec in specs}:
        raise UsageError(f"model {model!r} takes the inputs {_names(specs)}, the dataset has {sorted(named)}")
    for rows in taken:
        inputs = {spec.name: _joined(spec, [named[spec.name][row] for row in rows]) for spec in specs}
        yield oip_body(inputs, binary=binary)


def _joined(spec: InputSpec, rows: Sequence[Array]) -> Array:
    shaped = [spec.row(row) for row in rows]
    if len({row.shape for row in shaped}) > 1:
        raise UsageError(f"input {spec.name!r}: rows of different shapes do not go into one request")
    return np.concatenate(shaped)


def _names(specs: Sequence[InputSpec]) -> list[str]:
    return sorted(spec.name for spec in specs)


def predict_digits(images: Floats) -> Floats:
    """The probabilities that the shipped model gives for *images* [N, 8, 8]; shape [N, 10]."""
    import onnxruntime

    from streambox.models.digits import model_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
    probabilities: Floats = session.run(["probabilities"], {"image": images.astype(np.float32)})[0]
    return probabilities
