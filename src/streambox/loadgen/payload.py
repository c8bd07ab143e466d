"""What is sent: requests made ready before the clock starts, only the request id to be filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.loadgen.answer_key import TOLERANCE, AnswerKey, HttpKey, NumbersKey
from streambox.loadgen.bodies import ID_DIGITS, JSON, Api, Body, reference_body
from streambox.loadgen.records import Records, read_records
from streambox.loadgen.rows import AUTO, oip_bodies, reference_bodies, rows_of, rows_of_requests, specs_of
from streambox.loadgen.target import DEFAULT_PATH
from streambox.loadgen.target import Target as Target  # whoever makes payloads needs one
from streambox.loadgen.template import ID_FIELD, Template

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence

    Floats = np.ndarray[Any, np.dtype[np.float32]]

Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE"]


class PayloadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is sent, and what answers are held against.

    ``api``: how requests are written and answers read. ``path``: the request target; unset: the
    URL's, or the one that the Open Inference Protocol has for the model. ``dataset``: a file of
    rows, or a folder of images. ``random``: random rows, of what the server says that the model
    takes (``auto``) or of what is written here, as ``image:FP32[8,8]``. With neither: what the
    model's name calls for. ``input``: what the model takes, in place of asking the server.
    ``pixels``: what black and white of an image become, as in ``0:255``. ``rows``: of each
    request, ``4`` or ``1..8``; of the Open Inference Protocol alone. ``tolerance``: of expected
    numbers. ``template``, ``method``, ``content_type``: the body, and what it goes out as, of
    api ``http``; ``expect_id``, ``expect_text``, ``expect_output``: what its answers hold.
    """

    api: Api = "reference"
    path: str | None = None
    dataset: str | None = None
    random: str | None = None
    input: str | None = None
    pixels: str | None = None
    rows: int | str | None = None
    tolerance: float = TOLERANCE
    template: str | None = None
    method: Method = "POST"
    content_type: str = JSON
    expect_id: str | None = None
    expect_text: str | None = None
    expect_output: str | None = None
    headers: tuple[str, ...] = ()


class PayloadSet:
    """
    The requests that a lane may send. Each is its ``pieces``: between any two stands the request id.

    ``key`` says how an answer is read, and which is right.
    """

    def __init__(
        self,
        target: Target,
        bodies: Iterable[Body],
        key: AnswerKey | None = None,
        *,
        method: Method = "POST",
        headers: Sequence[str] = (),
    ) -> None:
        self.key: AnswerKey = key or NumbersKey("reference")
        self.pieces = [_request_pieces(method, target, body, headers) for body in bodies]

    @classmethod
    def of_vectors(
        cls, target: Target, model: str, vectors: Sequence[Sequence[float]], expected: Floats | None = None
    ) -> PayloadSet:
        """The reference API's requests."""
        bodies = [reference_body(model, vector) for vector in vectors]
        return cls(target, bodies, NumbersKey("reference", expected=expected))

    def __len__(self) -> int:
        return len(self.pieces)

    def request(self, payload: int, index: int) -> bytes:
        """The whole HTTP request number *index*, carrying *payload*."""
        return request_id(index).encode().join(self.pieces[payload])


def request_id(index: int) -> str:
    """The id of request *index*: of one width, so that the content length does not vary."""
    return f"{index:0{ID_DIGITS}d}"


def make_payloads(
    target: Target,
    model: str,
    seed: int,
    options: PayloadOptions | None = None,
    tls: ssl.SSLContext | None = None,
) -> PayloadSet:
    """
    The requests for *model*: from a dataset, a template, or at random, as *options* say; else
    the held-out images for ``digits``, with the answers that the model itself gives off-line;
    else, for the reference API, its vectors, four whole numbers in 1..99, and random rows for
    the others.

    Raises UsageError when rows do not fit the model or options do not go together, RunFailed
    when an Open Inference Protocol server does not tell what the model takes.
    """
    options = options or PayloadOptions()
    check_options(options)
    target = target_of(target, model, options)
    if options.api == "http":
        return _of_template(target, model, seed, options)
    return _of_rows(target, model, seed, options, tls)


def count_payloads(model: str, dataset: str | None = None) -> int:
    """How many requests of the reference API ``make_payloads`` makes. Raises UsageError."""
    return len(
        make_payloads(Target("localhost", 80, DEFAULT_PATH), model, 0, PayloadOptions(dataset=dataset))
    )


class LaneSending(msgspec.Struct, frozen=True):
    """What one lane sends. Whoever is told this makes the same payloads, in whatever process."""

    model: str
    seed: int
    options: PayloadOptions = PayloadOptions()


def payloads_of(
    sending: Sequence[LaneSending],
    target: Target,
    tls: ssl.SSLContext | None = None,
    made: dict[LaneSending, PayloadSet] | None = None,
) -> list[PayloadSet]:
    """
    The payloads of each lane; equal ones are made once. *made*: those that were made for this
    target before, to which what is new is added. Raises as ``make_payloads``.
    """
    made = {} if made is None else made
    for each in sending:
        if each not in made:
            made[each] = make_payloads(target, each.model, each.seed, each.options, tls)
    return [made[each] for each in sending]


def target_of(target: Target, model: str, options: PayloadOptions) -> Target:
    """Where *model* is asked: at the path given, else at the one that the protocol has for it."""
    if options.path is not None:
        return target._replace(path=options.path)
    if options.api.startswith("oip") and target.path in ("/", DEFAULT_PATH):
        return target._replace(path=f"/v2/models/{quote(model, safe='')}/infer")
    return target


# ---- which options go together -------------------------------------------------------------------

_OF_HTTP: Final = ("template", "method", "content_type", "expect_id", "expect_text", "expect_output")
_OF_OTHERS: Final = ("random", "input", "pixels", "rows")
_DEFAULTS: Final = PayloadOptions()


def check_options(options: PayloadOptions) -> None:
    """Raises UsageError for an option that would be ignored, or is missing."""
    http, oip = options.api == "http", options.api.startswith("oip")
    for name in _OF_OTHERS if http else _OF_HTTP:
        if getattr(options, name) != getattr(_DEFAULTS, name):
            raise UsageError(f"{name} means nothing to api {options.api!r}: leave one of the two out")
    if options.rows is not None and not oip:
        raise UsageError("rows: only the Open Inference Protocol takes several in a request: api 'oip'")
    if options.dataset is not None and options.random is not None:
        raise UsageError("dataset and random exclude each other: each says what is sent")
    if options.random not in (None, AUTO) and options.input is not None:
        raise UsageError("random and input both say what the model takes: leave one of them out")
    folder = options.dataset is not None and Path(options.dataset).is_dir()
    if options.input is not None and not (oip or folder or options.random):
        raise UsageError("input: the reference API need not know, but for random rows or images")
    if options.pixels is not None and not folder:
        raise UsageError("pixels goes with a dataset that is a folder of images")
    if http and options.template is None:
        _check_without_template(options)
    if not 0 <= options.tolerance < float("inf"):
        raise UsageError(f"the tolerance is {options.tolerance:g}: give a number from 0")


def _check_without_template(options: PayloadOptions) -> None:
    if options.method not in ("GET", "DELETE"):
        raise UsageError(f"api 'http' needs a template: what is the body of a {options.method}?")
    if options.dataset is not None:
        raise UsageError("dataset: api 'http' sends its rows by way of a template")


# ---- the reference API and the Open Inference Protocol -------------------------------------------


def _of_rows(
    target: Target, model: str, seed: int, options: PayloadOptions, tls: ssl.SSLContext | None
) -> PayloadSet:
    specs = specs_of(target, model, options, tls)
    dataset = rows_of(model, seed, options, specs)
    taken = rows_of_requests(len(dataset), options.rows, seed)
    if options.api == "reference":
        bodies = reference_bodies(model, dataset)
    else:
        bodies = oip_bodies(model, dataset, specs, taken, binary=options.api == "oip-binary")
    key = NumbersKey(
        options.api,
        expected=dataset.expected,
        labels=dataset.labels,
        tolerance=options.tolerance,
        rows=None if options.rows is None else taken,
    )
    return PayloadSet(target, bodies, key, headers=options.headers)


# ---- any endpoint --------------------------------------------------------------------------------


def _of_template(target: Target, model: str, seed: int, options: PayloadOptions) -> PayloadSet:
    records = Records([]) if options.dataset is None else read_records(Path(options.dataset))
    key = HttpKey(
        expect_id=options.expect_id,
        expect_text=options.expect_text,
        expect_output=options.expect_output,
        expected=records.expected,
        labels=records.labels,
        tolerance=options.tolerance,
    )
    bodies: Iterable[Body] = [Body((b"",), ())]
    if options.template is not None:
        rows = None if options.dataset is None else records.rows
        template = Template(_read_text(Path(options.template)), options.template)
        bodies = template.bodies(model, rows, options.content_type, np.random.default_rng([seed, 3]))
    return PayloadSet(target, bodies, key, method=options.method, headers=options.headers)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{path}: the template cannot be read: {why}") from None


def _request_pieces(method: Method, target: Target, body: Body, headers: Sequence[str]) -> tuple[bytes, ...]:
    """Head and body; ``{{id}}`` in the path or a header is the id, too."""
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.authority}", *body.headers, *headers]
    if body.headers or body.size_bytes:
        lines.append(f"Content-Length: {body.size_bytes}")
    *first, last = ID_FIELD.split("\r\n".join([*lines, "", ""]))
    return (*(part.encode() for part in first), last.encode() + body.pieces[0], *body.pieces[1:])
