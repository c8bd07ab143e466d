"""What is sent: requests made ready before the clock starts, only the request id to be filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np

from streambox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_ID_DIGITS: Final = 10
_PLACEHOLDER: Final = "0" * _ID_DIGITS
_REFERENCE_VECTORS: Final = 256


class Target(NamedTuple):
    """Where requests go. ``path`` is the request target, query included."""

    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


def parse_url(url: str) -> Target:
    """``http://host[:port][/path]``. Raises UsageError."""
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme != "http":
        raise UsageError(f"{url!r}: only http:// is spoken")
    if not parts.hostname:
        raise UsageError(f"{url!r} names no host: write http://HOST:PORT/PATH")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname, 80 if port is None else port, checked_path(path))


def checked_path(path: str) -> str:
    """*path* as it may stand in a request's first line. Raises UsageError."""
    if not path.startswith("/"):
        raise UsageError(f"the path {path!r} does not begin with a slash")
    if not all("!" <= character <= "~" for character in path):
        raise UsageError(f"the path {path!r} has a blank or a character that is not ASCII: percent-encode it")
    return path


def request_id(index: int) -> str:
    """The id of request *index*: of one width, so that the content length does not vary."""
    return f"{index:0{_ID_DIGITS}d}"


class PayloadSet:
    """
    The bodies that a run may send, as the bytes before and after the request id.

    ``expected`` holds the right answer to each body, shape (bodies, classes), where
    it is known beforehand.
    """

    def __init__(
        self, target: Target, model: str, vectors: Sequence[Sequence[float]], expected: Floats | None = None
    ) -> None:
        self.model = model
        self.expected = expected
        self._parts = [_request_parts(target, model, vector) for vector in vectors]

    def __len__(self) -> int:
        return len(self._parts)

    def request(self, payload: int, index: int) -> bytes:
        """The whole HTTP request number *index*. Cost: one join."""
        before, after = self._parts[payload]
        return b"%b%010d%b" % (before, index, after)


def make_payloads(target: Target, model: str, seed: int) -> PayloadSet:
    """
    The bodies for *model*: the held-out images for ``digits``, with the answers that the
    model itself gives off-line; else the reference's vectors, four whole numbers in 1..99.
    """
    if model == "digits":
        from streambox.models.digits import heldout

        images, _ = heldout()
        return PayloadSet(target, model, images.reshape(len(images), -1).tolist(), predict_digits(images))
    random = np.random.default_rng([seed, 1])
    return PayloadSet(target, model, random.integers(1, 100, (_REFERENCE_VECTORS, 4)).tolist())


def predict_digits(images: Floats) -> Floats:
    """The probabilities that the shipped model gives for *images* [N, 8, 8]; shape [N, 10]."""
    import onnxruntime

    from streambox.models.digits import model_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
    probabilities: Floats = session.run(["probabilities"], {"image": images.astype(np.float32)})[0]
    return probabilities


def _request_parts(target: Target, model: str, vector: Sequence[float]) -> tuple[bytes, bytes]:
    body = msgspec.json.encode({"request_id": _PLACEHOLDER, "model": model, "data": {"vector": vector}})
    host = f"[{target.host}]" if ":" in target.host else target.host
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {host}:{target.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    before, _, after = body.partition(_PLACEHOLDER.encode())
    return head.encode() + before, after
