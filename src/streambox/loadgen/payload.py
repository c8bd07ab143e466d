"""What is sent: requests made ready before the clock starts, only the request id to be filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.bodies import ID_DIGITS, Api, oip_body, reference_body
from streambox.loadgen.dataset import SOLE, Dataset, read_dataset
from streambox.loadgen.metadata import fetch_inputs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Sequence

    from streambox.loadgen.bodies import Body

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_REFERENCE_VECTORS: Final = 256
_DEFAULT_PATH: Final = "/api/batcher"
_PORTS: Final = {"http": 80, "https": 443}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_HEADERS: Final = ("host", "content-length", "content-type", "transfer-encoding", "expect", "connection")


class Target(NamedTuple):
    """
    Where requests go. ``path`` is the request target, query included.

    ``tls``: over TLS. ``unix``: the path of a Unix socket, in place of host and port.
    """

    host: str
    port: int
    path: str
    tls: bool = False
    unix: str = ""

    @property
    def authority(self) -> str:
        if self.unix:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        if self.unix:
            return f"unix://{self.unix} {self.path}"
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"


def parse_url(url: str, path: str | None = None) -> Target:
    """
    ``http[s]://host[:port][/path]``, or ``unix:///path/of/socket``, whose request target is *path*.

    Raises UsageError.
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.strip("/"):
            raise UsageError(f"{url!r}: write unix:///PATH/OF/SOCKET, with three slashes")
        return Target("localhost", 0, checked_path(path or _DEFAULT_PATH), unix=parts.path)
    if parts.scheme not in _PORTS:
        raise UsageError(f"{url!r}: only http://, https:// and unix:// are spoken")
    if not parts.hostname:
        raise UsageError(f"{url!r} names no host: write http://HOST:PORT/PATH")
    if port == 0:
        raise UsageError(f"{url!r}: nobody listens on port 0")
    own = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = _PORTS[parts.scheme] if port is None else port
    return Target(checked_host(parts.hostname), port, checked_path(own), tls=parts.scheme == "https")


def checked_host(host: str) -> str:
    """*host* as it may stand in a request's head; a name beyond ASCII in its IDNA form. Raises UsageError."""
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        raise UsageError(f"{host!r} is no host name: a part of it is empty, too long or no text") from None
    if not name or not all("!" <= character <= "~" for character in name):
        raise UsageError(f"{host!r} is no host name: write it as example.org, 127.0.0.1 or ::1")
    return name


def checked_header(line: str) -> str:
    """``Name: value`` as it may stand in a request's head. Raises UsageError."""
    name, colon, value = line.partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name) or not value.strip():
        raise UsageError(f"{line!r} is no header: write it as 'Name: value'")
    if not all(" " <= character <= "~" for character in value):
        raise UsageError(f"the header {name!r} has a character that is not printable ASCII")
    if name.lower() in _OUR_HEADERS:
        raise UsageError(f"the header {name!r} is set by the load generator itself")
    return f"{name}: {value.strip()}"


def checked_path(path: str) -> str:
    """*path* as it may stand in a request's first line. Raises UsageError."""
    if not path.startswith("/"):
        raise UsageError(f"the path {path!r} does not begin with a slash")
    if not all("!" <= character <= "~" for character in path):
        raise UsageError(f"the path {path!r} has a blank or a character that is not ASCII: percent-encode it")
    return path


def request_id(index: int) -> str:
    """The id of request *index*: of one width, so that the content length does not vary."""
    return f"{index:0{ID_DIGITS}d}"


class PayloadSet:
    """
    The requests that a run may send, as the bytes before and after the request id.

    ``expected`` holds the numbers that a right answer to each of them holds, shape
    (requests, numbers), ``labels`` the index of the largest, where they are known.
    ``api`` says how an answer is read.
    """

    def __init__(
        self,
        target: Target,
        bodies: Iterable[Body],
        *,
        api: Api = "reference",
        headers: Sequence[str] = (),
        expected: Floats | None = None,
        labels: np.ndarray[Any, np.dtype[np.int64]] | None = None,
    ) -> None:
        self.api = api
        self.expected = expected
        self.labels = labels
        self._parts = [_request_parts(target, body, headers) for body in bodies]

    @classmethod
    def of_vectors(
        cls, target: Target, model: str, vectors: Sequence[Sequence[float]], expected: Floats | None = None
    ) -> PayloadSet:
        """The reference API's requests."""
        return cls(target, [reference_body(model, vector) for vector in vectors], expected=expected)

    def __len__(self) -> int:
        return len(self._parts)

    def request(self, payload: int, index: int) -> bytes:
        """The whole HTTP request number *index*. Cost: one join."""
        before, after = self._parts[payload]
        return b"%b%010d%b" % (before, index, after)


class PayloadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: ``dataset`` is a file, None: what the model's name calls for. ``headers``: lines."""

    api: Api = "reference"
    dataset: str | None = None
    headers: tuple[str, ...] = ()


def make_payloads(
    target: Target,
    model: str,
    seed: int,
    options: PayloadOptions | None = None,
    tls: ssl.SSLContext | None = None,
) -> PayloadSet:
    """
    The requests for *model*: the rows of a dataset; else the held-out images for ``digits``,
    with the answers that the model itself gives off-line; else the reference's vectors, four
    whole numbers in 1..99.

    Raises UsageError when rows do not fit the model, RunFailed when an Open Inference
    Protocol server does not tell what the model takes.
    """
    options = options or PayloadOptions()
    dataset = read_dataset(Path(options.dataset)) if options.dataset else _default_rows(model, seed)
    return PayloadSet(
        target,
        list(_bodies(target, model, dataset, options.api, tls)),
        api=options.api,
        headers=options.headers,
        expected=dataset.expected,
        labels=dataset.labels,
    )


def _default_rows(model: str, seed: int) -> Dataset:
    if model == "digits":
        from streambox.models.digits import heldout

        images, _ = heldout()
        return Dataset({SOLE: list(images)}, predict_digits(images))
    random = np.random.default_rng([seed, 1])
    return Dataset({SOLE: list(random.integers(1, 100, (_REFERENCE_VECTORS, 4)))})


def _bodies(
    target: Target, model: str, dataset: Dataset, api: Api, tls: ssl.SSLContext | None
) -> Iterator[Body]:
    if api == "reference":
        if len(dataset.inputs) > 1:
            raise UsageError(f"the reference API takes one input, the dataset has {sorted(dataset.inputs)}")
        (rows,) = dataset.inputs.values()
        for row in rows:
            yield reference_body(model, row.ravel().tolist())
        return
    specs = {spec.name: spec for spec in fetch_inputs(target, model, tls)}
    named = dataset.inputs
    if SOLE in named and len(specs) == 1:
        named = {next(iter(specs)): named[SOLE]}
    if set(named) != set(specs):
        raise UsageError(f"model {model!r} takes the inputs {sorted(specs)}, the dataset has {sorted(named)}")
    for index in range(len(dataset)):
        inputs = {name: spec.row(named[name][index]) for name, spec in specs.items()}
        yield oip_body(inputs, binary=api == "oip-binary")


def predict_digits(images: Floats) -> Floats:
    """The probabilities that the shipped model gives for *images* [N, 8, 8]; shape [N, 10]."""
    import onnxruntime

    from streambox.models.digits import model_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
    probabilities: Floats = session.run(["probabilities"], {"image": images.astype(np.float32)})[0]
    return probabilities


def _request_parts(target: Target, body: Body, headers: Sequence[str]) -> tuple[bytes, bytes]:
    size = len(body.before) + ID_DIGITS + len(body.after)
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}", *body.headers, *headers]
    head = "\r\n".join([*lines, f"Content-Length: {size}", "", ""])
    return head.encode() + body.before, body.after
