"""The null model: y = 2x. What a serving layer costs when the model costs nothing."""

from __future__ import annotations

import time
from typing import Any

import numpy as np


def double(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return x * np.float32(2)


def steady(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same in 2 ms, whatever the batch."""
    time.sleep(0.002)
    return x * np.float32(2)
