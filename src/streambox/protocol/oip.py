"""
The Open Inference Protocol v2 over HTTP, as JSON or with binary tensors: all that the edge needs of it.

With the binary tensor extension a body is a JSON header, whose length the HTTP header
``Inference-Header-Content-Length`` gives, followed by the raw little-endian bytes of
those tensors that carry ``binary_data_size`` in place of ``data``, back to back and in
their order. A request and its reply choose binary or JSON tensor by tensor.
"""

from __future__ import annotations

from streambox.protocol.oip_reply import (
    MODEL_VERSION,
    InferReply,
    encode_error,
    encode_infer_reply,
    model_metadata,
    model_ready,
    server_live,
    server_metadata,
    server_ready,
)
from streambox.protocol.oip_request import (
    InferCall,
    RequestedOutput,
    decode_infer,
)

__all__ = [
    "MODEL_VERSION",
    "InferCall",
    "InferReply",
    "RequestedOutput",
    "decode_infer",
    "encode_error",
    "encode_infer_reply",
    "model_metadata",
    "model_ready",
    "server_live",
    "server_metadata",
    "server_ready",
]
