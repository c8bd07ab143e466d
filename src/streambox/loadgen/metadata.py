"""What a model takes, asked of an Open Inference Protocol server before a run."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from streambox.errors import RunFailed
from streambox.loadgen.failure import reason
from streambox.loadgen.inputs import InputSpec

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from streambox.loadgen.target import Target

_TIMEOUT_S: Final = 10.0
_MOST_BYTES: Final = 1 << 20


class _Metadata(msgspec.Struct):
    inputs: tuple[InputSpec, ...]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


def fetch_inputs(
    target: Target, model: str, tls: ssl.SSLContext | None = None, headers: Sequence[str] = ()
) -> tuple[InputSpec, ...]:
    """``GET /v2/models/{model}``. Raises RunFailed, saying what came instead."""
    path = f"/v2/models/{quote(model, safe='')}"
    connection = _connection(target, tls)
    try:
        connection.request("GET", path, headers=dict(line.split(": ", 1) for line in headers))
        response = connection.getresponse()
        body = response.read(_MOST_BYTES)
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        raise RunFailed(
            f"cannot ask {target.authority} for the inputs of {model!r}, which --input could tell: "
            f"{reason(error)}"
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        raise RunFailed(f"{target.authority} answers {response.status} to {path}: is {model!r} served there?")
    try:
        inputs = msgspec.json.decode(body, type=_Metadata).inputs
    except (msgspec.DecodeError, RecursionError) as error:
        raise RunFailed(f"{target.authority}{path} is no model metadata: {error}") from None
    if not inputs:
        raise RunFailed(f"{target.authority}{path} names no inputs")
    return inputs


def _connection(target: Target, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if target.unix:
        return _UnixConnection(target.unix)
    if target.tls:
        return http.client.HTTPSConnection(target.host, target.port, timeout=_TIMEOUT_S, context=tls)
    return http.client.HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
