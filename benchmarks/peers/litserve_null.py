"""The null model on LitServe: the same job as benchmarks/null_model.py, one API process and one worker."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from litserve import LitAPI, LitServer

Decoded = tuple[str, str, list[float]]


class Double(LitAPI):
    """y = 2x on [B, 4], JSON in and out."""

    def setup(self, device: str) -> None: ...

    # Not annotated: LitServe would take the annotation for the type of a query parameter.
    def decode_request(self, request) -> Decoded:
        return request["request_id"], request["model"], request["data"]["vector"]

    def batch(self, inputs: list[Decoded]) -> tuple[list[Decoded], np.ndarray[Any, Any]]:
        return inputs, np.array([vector for _, _, vector in inputs], dtype=np.float32)

    def predict(self, x: tuple[list[Decoded], np.ndarray[Any, Any]]) -> tuple[list[Decoded], list[Any]]:
        return x[0], (x[1] * np.float32(2)).tolist()

    def unbatch(self, output: tuple[list[Decoded], list[Any]]) -> list[tuple[Decoded, list[float]]]:
        return list(zip(*output, strict=True))

    def encode_response(self, output: tuple[Decoded, list[float]]) -> dict[str, Any]:
        (request_id, model, _), row = output
        return {"request_id": request_id, "model": model, "output": row}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    api = Double(max_batch_size=32, batch_timeout=0.005)
    server = LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=parser.parse_args().port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
