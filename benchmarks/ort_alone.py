"""ONNX Runtime alone: ``ort_alone.py MODEL BATCH SECONDS DIM...`` prints rows, seconds, CPU seconds."""

from __future__ import annotations

import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    path, batch, seconds, *dims = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).standard_normal((int(batch), *map(int, dims)), dtype=np.float32)
    feed = {session.get_inputs()[0].name: rows}
    for _ in range(2):
        session.run(None, feed)
    count = 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < float(seconds):
        session.run(None, feed)
        count += int(batch)
    print(count, time.perf_counter() - began, time.process_time() - cpu)


if __name__ == "__main__":
    main()
