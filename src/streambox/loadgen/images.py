"""A folder of images as rows of a model's input: resized, in its channels and its datatype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.dataset import Dataset
from streambox.loadgen.folder import list_files
from streambox.protocol.datatypes import NUMPY_BY_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.loadgen.inputs import InputSpec

    Array = np.ndarray[Any, np.dtype[Any]]

ENDINGS: Final = (".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".bmp", ".webp")
_MODES: Final = {3: "RGB", 1: "L", 4: "RGBA"}  # the likeliest first


class Layout(NamedTuple):
    """How a model's input holds an image; ``channels_first``: (C, H, W) in place of (H, W, C)."""

    height: int
    width: int
    mode: str
    channels_first: bool = False


def layout_of(spec: InputSpec) -> Layout:
    """
    (H, W) is grey; (C, H, W) and (H, W, C) have 1, 3 or 4 channels.

    Raises UsageError for dimensions that are no image's, or open.
    """
    dims = spec.dims
    if min(dims, default=-1) > 0:
        if len(dims) == 2:
            return Layout(*dims, "L")
        for channels, mode in _MODES.items() if len(dims) == 3 else ():
            if channels in (dims[0], dims[2]):
                first = channels == dims[0]
                height, width = dims[1:] if first else dims[:2]
                return Layout(height, width, mode, channels_first=first)
    raise UsageError(
        f"input {spec.name!r} takes rows of {list(dims)}, which are no images: write what it takes, as in "
        "image:FP32[3,224,224]"
    )


def parse_pixels(text: str | None, spec: InputSpec) -> tuple[float, float]:
    """``LOW:HIGH``, what black and white become. None: 0 and 1 in floats, else 0 and 255."""
    if text is None:
        dtype = NUMPY_BY_NAME.get(spec.datatype)
        return (0.0, 1.0) if dtype is None or dtype.kind == "f" else (0.0, 255.0)
    low, colon, high = text.partition(":")
    try:
        values = (float(low), float(high))
    except ValueError:
        colon = ""
    if not colon or not np.isfinite(values).all():
        raise UsageError(f"{text!r}: write what black and white become, as in 0:255 or -1:1")
    return values


def read_images(folder: Path, spec: InputSpec, pixels: str | None = None) -> Dataset:
    """
    The images in *folder* as rows for *spec*, with their classes where it tells them.

    Raises UsageError: no image, one that cannot be read, or no Pillow to read them with.
    """
    layout, (black, white) = layout_of(spec), parse_pixels(pixels, spec)
    files = list_files(folder, ENDINGS)
    rows = [black + (white - black) / 255 * _read(path, layout) for path in files.paths]
    dtype = NUMPY_BY_NAME.get(spec.datatype)
    if dtype is not None and dtype.kind != "f":
        rows = [np.rint(row) for row in rows]
    return Dataset({spec.name: rows}, None, None if files.labels is None else np.array(files.labels))


def _read(path: Path, layout: Layout) -> Array:
    """As the layout wants it, black 0 and white 255, in float32."""
    try:
        from PIL import Image
    except ImportError:
        raise UsageError("a folder of images needs Pillow: pip install 'streambox-serving[images]'") from None
    try:
        with Image.open(path) as image:
            fitted = image.convert(layout.mode).resize((layout.width, layout.height))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path}: no image that can be read: {error}") from None
    values = np.asarray(fitted, np.float32)
    return values.transpose(2, 0, 1) if layout.channels_first and values.ndim == 3 else values
