"""The null model on Mosec: the same job as benchmarks/null_model.py, written as well as we can for Mosec."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from mosec import Server, Worker


class VectorPart(msgspec.Struct, gc=False):
    vector: list[float]


class Request(msgspec.Struct, gc=False):
    request_id: str
    model: str
    data: VectorPart


_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


class Double(Worker):
    """y = 2x on [B, 4], JSON in and out."""

    def deserialize(self, data: bytes) -> Request:
        return _decode(data)

    def serialize(self, data: dict[str, Any]) -> bytes:
        return _encode(data)

    def forward(self, data: list[Request]) -> list[dict[str, Any]]:
        x = np.array([request.data.vector for request in data], dtype=np.float32)
        rows = (x * np.float32(2)).tolist()
        return [
            {"request_id": request.request_id, "model": request.model, "output": row}
            for request, row in zip(data, rows, strict=True)
        ]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Double, num=1, max_batch_size=32, max_wait_time=5)
    server.run()
