"""The Open Inference Protocol v2 over HTTP, from the server: replies, metadata, errors (see ``oip``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import BadModelOutput, StreamBoxError
from streambox.protocol.replies import datatype_of, non_finite_rows, not_finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.executor.base import ModelSpec
    from streambox.protocol.oip_request import InferCall
    from streambox.protocol.replies import BatchFacts

    Array = np.ndarray[Any, np.dtype[Any]]

MODEL_VERSION: Final = "1"
SERVER_NAME: Final = "streambox"
EXTENSIONS: Final = ("binary_tensor_data",)

_encode = msgspec.json.Encoder().encode


class InferReply(msgspec.Struct, frozen=True):
    """``header_length`` is None for plain JSON, else the value of ``Inference-Header-Content-Length``."""

    body: bytes
    header_length: int | None


def encode_infer_reply(
    call: InferCall,
    model_name: str,
    facts: BatchFacts,
    outputs: Mapping[str, Array],
    model_version: str = MODEL_VERSION,
) -> InferReply:
    """
    The reply to *call*: its requested outputs, in the order asked for.

    Args:
        facts: What ``parameters`` says of the batch.
        outputs: The call's own rows of each model output, of shape (rows, ...).

    Raises:
        BadModelOutput: An output is missing, of a datatype without a name, or, where
            it goes as JSON, not finite.

    Cost: per output one ``tolist`` and ``isfinite`` as JSON, or one copy as bytes.
    """
    reply: dict[str, Any] = {"model_name": model_name, "model_version": model_version}
    if call.id is not None:
        reply["id"] = call.id
    reply["parameters"] = _parameters(facts)
    described = []
    raw: list[Any] = []
    for requested in call.outputs:
        output = outputs.get(requested.name)
        if output is None:
            raise BadModelOutput(f"the model gave no output {requested.name!r}")
        if requested.binary:
            raw.append(_little_endian(output))
        described.append(_describe(requested.name, output, requested.binary))
    reply["outputs"] = described
    header = _encode(reply)
    return InferReply(b"".join([header, *raw]), len(header)) if raw else InferReply(header, None)


def _parameters(facts: BatchFacts) -> dict[str, bool | int | float | str]:
    return {
        "batch_id": facts.id,
        "batch_size": facts.size,
        "batch_reason": facts.reason,
        "wait_ms": facts.wait_ms,
        "service_ms": facts.service_ms,
    }


def _describe(name: str, output: Array, binary: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "datatype": datatype_of(name, output), "shape": output.shape}
    if binary:
        described["parameters"] = {"binary_data_size": output.nbytes}
    elif non_finite_rows(output):
        raise not_finite(name)
    else:
        described["data"] = output.ravel().tolist()
    return described


def _little_endian(output: Array) -> Array:
    return np.ascontiguousarray(output, dtype=output.dtype.newbyteorder("<"))


# ---- documents ----------------------------------------------------------------------------------


def server_metadata(version: str) -> bytes:
    """``GET /v2``"""
    return _encode({"name": SERVER_NAME, "version": version, "extensions": EXTENSIONS})


def model_metadata(name: str, spec: ModelSpec, versions: Sequence[str] = (MODEL_VERSION,)) -> bytes:
    """``GET /v2/models/{name}``"""
    return _encode(
        {
            "name": name,
            "versions": versions,
            "platform": spec.platform,
            "inputs": spec.inputs,
            "outputs": spec.outputs,
        }
    )


def server_live(live: bool) -> bytes:
    """``GET /v2/health/live``"""
    return _encode({"live": live})


def server_ready(ready: bool) -> bytes:
    """``GET /v2/health/ready``"""
    return _encode({"ready": ready})


def model_ready(name: str, ready: bool) -> bytes:
    """``GET /v2/models/{name}/ready``"""
    return _encode({"name": name, "ready": ready})


def encode_error(error: StreamBoxError) -> bytes:
    """``{"error": "message"}``; the code goes into the HTTP header ``x-error-code``."""
    return _encode({"error": str(error)})
