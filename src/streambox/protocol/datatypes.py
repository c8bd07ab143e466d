"""The Open Inference Protocol's datatypes and the numpy dtypes they stand for."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

NUMPY_BY_NAME: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
NAME_BY_NUMPY: Final[dict[np.dtype[Any], str]] = {dtype: name for name, dtype in NUMPY_BY_NAME.items()}
