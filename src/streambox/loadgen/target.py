"""Where requests go, and under which headers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from streambox.errors import UsageError
from streambox.sections import fill_variables

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PATH: Final = "/api/batcher"
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
        return Target("localhost", 0, checked_path(path or DEFAULT_PATH), unix=parts.path)
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


def checked_path(path: str) -> str:
    """*path* as it may stand in a request's first line. Raises UsageError."""
    if not path.startswith("/"):
        raise UsageError(f"the path {path!r} does not begin with a slash")
    if not all("!" <= character <= "~" for character in path):
        raise UsageError(f"the path {path!r} has a blank or a character that is not ASCII: percent-encode it")
    return path


# ---- headers -------------------------------------------------------------------------------------


def read_headers(given: Iterable[str], folder: Path = Path()) -> tuple[str, ...]:
    """
    Header lines: ``Name: value``, or ``@FILE`` for a file of such lines, below *folder*.

    ``${VAR}`` in a value is filled in from the environment, so that a secret need not stand on
    a command line. Raises UsageError, which never repeats a value.
    """
    lines: list[str] = []
    for line in given:
        lines += _lines_of(folder / line[1:]) if line.startswith("@") else [line]
    return tuple(checked_header(line) for line in lines)


def checked_header(line: str) -> str:
    """``Name: value`` as it may stand in a request's head, variables filled in. Raises UsageError."""
    name, colon, value = line.partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name):
        raise UsageError("a header is not written as 'Name: value'")  # it may be a secret: not shown
    return as_header(name, fill_variables(value))


def as_header(name: str, value: str) -> str:
    """The line, *value* as it is. Raises UsageError, without repeating it."""
    value = value.strip()
    if not value:
        raise UsageError(f"the header {name!r} has no value")
    if not all(" " <= character <= "~" for character in value):
        raise UsageError(f"the header {name!r} has a character that is not printable ASCII")
    if name.lower() in _OUR_HEADERS:
        raise UsageError(f"the header {name!r} is set by the load generator itself")
    return f"{name}: {value}"


def _lines_of(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{path}: headers cannot be read: {why}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path}: holds no header")
    return lines
