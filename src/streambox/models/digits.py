"""
The shipped classifier of handwritten digits, and images it has not been trained on.

Input ``image`` FP32 [N, 8, 8], pixel values 0 to 16 as in the UCI set; output ``probabilities``
FP32 [N, 10]. Both files are made by ``scripts/train_digits.py``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGE = "streambox.models"


def model_path() -> Path:
    return Path(str(resources.files(_PACKAGE) / "digits.onnx"))


def heldout() -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.uint8]]]:
    """The held-out images, float32 (N, 8, 8) with values 0 to 16, and their labels 0 to 9, uint8 (N,)."""
    with resources.files(_PACKAGE).joinpath("digits_heldout.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        return arrays["images"].astype(np.float32), arrays["labels"]
