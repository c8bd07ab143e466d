"""What a request's head says, worked out once for as long as a connection repeats it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.errors import BadRequest, BodyTooLarge, HeadersTooLarge, StreamBoxError, UnsupportedMediaType
from streambox.server.identity import holder_of, read_key

if TYPE_CHECKING:
    from streambox.batcher.tenants import Tenant
    from streambox.roster import Roster
    from streambox.server.edge import Limits
    from streambox.server.routes import Route

Headers = list[tuple[bytes, bytes]]

# curl's default for a body is the form type; Triton's client sends binary tensors as an octet stream.
_TAKEN_AS_JSON: Final = frozenset(
    (
        b"",
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"application/octet-stream",
        b"text/json",
    )
)


class RequestHead:
    """
    One head on a hot route.

    ``error`` is set when the head alone decides the answer; the body is then not read.
    ``json_bytes`` is the length of the JSON part where binary tensors follow it.

    ``tenant`` is whose it is; None where nobody is told apart, and as long as ``error`` says that the
    key is nobody's. *last*: the head before it on the connection, whose key it may repeat.
    """

    __slots__ = (
        "body_limit",
        "error",
        "expects_continue",
        "has_length",
        "headers",
        "json_bytes",
        "key",
        "names_connection",
        "route",
        "tenant",
        "timeout_ns",
        "url",
    )

    def __init__(
        self,
        route: Route,
        url: bytes,
        headers: Headers,
        limits: Limits,
        roster: Roster,
        last: RequestHead | None = None,
    ) -> None:
        self.route = route
        self.url = url
        self.headers = list(headers)  # trailers may yet be appended to the caller's
        self.expects_continue = False
        self.has_length = False
        self.names_connection = False
        self.timeout_ns: int | None = None
        self.json_bytes: int | None = None
        self.key = b""
        self.tenant: Tenant | None = None
        self.error: StreamBoxError | None = None
        self.body_limit = 0
        try:
            check_head_size(url, headers, limits.header)
            if roster:
                self._identify(headers, roster, last)
            declared = self._read(headers)
            limit = self._body_limit(limits)
            if declared > limit:
                raise body_too_large(limit)
            self.body_limit = limit
        except StreamBoxError as error:
            self.error = error

    def matches(self, url: bytes, headers: Headers) -> bool:
        """Whether a further request on the connection has this same head."""
        return self.url == url and self.headers == headers

    def _identify(self, headers: Headers, roster: Roster, last: RequestHead | None) -> None:
        """Raises Unauthorized. Cost: one SHA-256, where the key is not the one of the head before."""
        self.key = key = read_key(headers)
        known = last.tenant if last is not None and last.key == key else None
        self.tenant = tenant = known or holder_of(key, roster)
        self.timeout_ns = tenant.slo_ns

    def _body_limit(self, limits: Limits) -> int:
        limit = limits.json_body if self.json_bytes is None else limits.binary_body
        own = self.tenant.max_body_bytes if self.tenant is not None else None
        return limit if own is None else min(limit, own)

    def _read(self, headers: Headers) -> int:
        """Take from *headers* what the hot routes mind; the declared body length, 0 when there is none."""
        declared = 0
        for name, value in headers:
            value = value.strip()  # the parser leaves what blanks are behind it
            if name == b"content-length":
                declared = int(value)  # the parser has checked it
                self.has_length = True
            elif name == b"content-type":
                self._check_media_type(value)
            elif name == b"expect":
                self.expects_continue = value.lower() == b"100-continue"
            elif name == b"connection":
                self.names_connection = True
            elif name == b"x-request-timeout-ms":
                self.timeout_ns = _timeout_ns(value)
            elif name == b"inference-header-content-length":
                self.json_bytes = _json_bytes(value)
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                raise BadRequest(f"transfer-encoding {value.decode('latin-1')!r} is not taken: send chunked")
            elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                raise UnsupportedMediaType(
                    f"content-encoding {value.decode('latin-1')!r} is not taken: send the body uncompressed"
                )
        return declared

    @staticmethod
    def _check_media_type(value: bytes) -> None:
        kind = value.partition(b";")[0].rstrip().lower()
        if kind not in _TAKEN_AS_JSON and not kind.endswith(b"+json"):
            raise UnsupportedMediaType(
                f"content-type {kind.decode('latin-1')!r} is not taken: send application/json"
            )


def origin_form(target: bytes) -> bytes:
    """The path and query of *target*, which may name a host as well (RFC 9112, 3.2)."""
    _, named, rest = target.partition(b"://")
    if not named or target.startswith(b"/"):
        return target
    return b"/" + rest.partition(b"/")[2]


def check_head_size(url: bytes, headers: Headers, limit: int) -> None:
    if len(url) + sum(len(name) + len(value) + 4 for name, value in headers) > limit:
        raise head_too_large(limit)


def head_too_large(limit: int) -> HeadersTooLarge:
    return HeadersTooLarge(f"the request's head exceeds {limit} bytes: send shorter headers")


def body_too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body exceeds its limit of {limit} bytes: send fewer rows per request")


def _timeout_ns(value: bytes) -> int:
    try:
        milliseconds = float(value)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < 1e12:
        raise BadRequest(
            f"x-request-timeout-ms: {value.decode('latin-1')!r} is not a positive number of milliseconds"
        )
    return round(milliseconds * 1_000_000)


def _json_bytes(value: bytes) -> int:
    if not value.isdigit() or len(value) > 12:
        raise BadRequest(
            f"inference-header-content-length: {value.decode('latin-1')!r} is not a length in bytes"
        )
    return int(value)
