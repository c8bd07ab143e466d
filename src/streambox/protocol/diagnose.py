"""
Why a body is not the JSON that was expected: one line that names the field.

The fast path is one msgspec decode and knows nothing of this module. What msgspec
raises is turned here into the words of our errors, so both always agree on what is
wrong. A syntax error comes with a byte offset only; the field at that offset is
found by walking the body's tokens, without recursion and within a limit.

Where a key comes twice in one object, its last value counts; that is no error.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

import msgspec

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that ``msgspec.json.Decoder.decode`` raises on some input."""

# A walk costs about 0.25 µs per token; where it would take more, an error names its byte alone.
WALK_LIMIT_TOKENS: Final = 40_000

# A string, a bracket, a colon, or whatever lies between those: a vector of any length is one token.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}:]|[^"\[\]{}:]+', re.DOTALL)
_SYNTAX: Final = re.compile(r"JSON is malformed: (?P<fault>.*) \(byte (?P<offset>\d+)\)")
_TYPE: Final = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_PATH: Final = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_NON_FINITE: Final = re.compile(rb"(?<=[\[:,\s])(?P<sign>-?)(?P<word>nan|inf(?:inity)?)\b", re.IGNORECASE)
_PLAIN_KEY: Final = re.compile(r"\w{1,64}")

_WORDS: Final = {
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "str": "a string",
    "array": "an array",
    "object": "an object",
}


def describe(body: bytes, error: Exception, root: str = "") -> str:
    """
    The fault that made decoding *body* raise *error*, in one line that names the field.

    *root* is what *body* is called where it is itself a part of something, as
    ``input 'x' data``; fields are then named from there.

    Cost: at most a walk over the first ``WALK_LIMIT_TOKENS``.
    """
    if isinstance(error, RecursionError):
        return f"{root or 'body'}: nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return _describe_unicode(body, root)
    message = str(error)
    if found := _SYNTAX.fullmatch(message):
        return _describe_syntax(body, found["fault"], int(found["offset"]), root)
    if message == "Input data was truncated":
        return _describe_truncated(body, root)
    return _describe_value(message, root)


def quoted(text: str) -> str:
    """*text* in quotes, on one line and not long, whatever a caller put into it."""
    return repr(text if len(text) <= 64 else text[:63] + "…")


def path_at(body: bytes, offset: int) -> list[str | int] | None:
    """
    The keys and indices that lead to the value at byte *offset* of *body*; None where that is too far in.

    What precedes the offset must be valid JSON, or rubbish comes out (and nothing
    worse). Empty at the top level.
    """
    steps: list[str | int | None] = []
    tokens = _TOKEN.finditer(body, 0, offset)
    for token in itertools.islice(tokens, WALK_LIMIT_TOKENS):
        text = token.group()
        if text == b'"':  # a string that does not end before the offset
            break
        _step(steps, text)
    else:
        if next(tokens, None) is not None:
            return None
    return [step for step in steps if step is not None]


def top_level_string(body: bytes, key: str) -> str | None:
    """The string at *key* of the top-level object, as far as *body* can be read; None where there is none."""
    steps: list[str | int | None] = []
    found = None
    for token in itertools.islice(_TOKEN.finditer(body), WALK_LIMIT_TOKENS):
        text = token.group()
        if text == b'"':
            break
        if steps == [key] and text[:1] == b'"':
            found = _string(text)
        _step(steps, text)
    return found


def _step(steps: list[str | int | None], text: bytes) -> None:
    """Move past one token. A step is an index, a key, or None while an object's next key is awaited."""
    if text == b"{":
        steps.append(None)
    elif text == b"[":
        steps.append(0)
    elif not steps:
        return
    elif text in (b"}", b"]"):
        steps.pop()
    elif text[:1] == b'"':
        if steps[-1] is None:
            steps[-1] = _string(text) or ""
    elif commas := text.count(b","):
        top = steps[-1]
        steps[-1] = top + commas if isinstance(top, int) else None


def _string(text: bytes) -> str | None:
    try:
        return msgspec.json.decode(text, type=str)
    except DECODE_ERRORS:
        return None


def _describe_unicode(body: bytes, root: str) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"{_field_at(body, error.start, root)}: invalid UTF-8 at byte {error.start}"
    return f"{root or 'body'}: invalid UTF-8"


def _describe_syntax(body: bytes, fault: str, offset: int, root: str) -> str:
    # msgspec points behind a sign, and four bytes past the start of a lower-case nan.
    for start in (offset - 1, offset, offset - 4):
        if literal := _NON_FINITE.match(body, max(start, 0)):
            name = "NaN" if literal["word"].lower() == b"nan" else f"{literal['sign'].decode()}Infinity"
            return _describe_literal(body, name, literal.start(), root)
    if body.startswith(b"\xef\xbb\xbf"):
        fault = "it starts with a byte order mark"
    field = _field_at(body, offset, root)
    return f"{field}: malformed JSON at byte {offset}: {fault}"


def _describe_literal(body: bytes, name: str, offset: int, root: str) -> str:
    field = _field_at(body, offset, root)
    found = f"{field}: {name} at byte {offset}" if field == (root or "body") else f"{field} is {name}"
    return f"{found}, which JSON does not have"


def _describe_truncated(body: bytes, root: str) -> str:
    if not body.strip():
        return f"{root or 'body'}: empty, expected JSON"
    return f"{_field_at(body, len(body), root)}: malformed JSON at byte {len(body)}: it ends too early"


def _describe_value(message: str, root: str) -> str:
    path = ""
    if found := _PATH.search(message):
        path, message = found["path"], message[: found.start()]
    if found := _MISSING.fullmatch(message):
        missing = _field(root, f"{path}.{found['field']}")
        return f"{missing}: missing, and required"
    field = _field(root, path)
    if found := _TYPE.match(message):
        kinds = [kind for kind in found["expected"].split(" | ") if kind != "null"]
        expected = " or ".join(_WORDS.get(kind, kind) for kind in kinds)
        return f"{field}: expected {expected}, got {found['got']}"
    if "out of range" in message:
        return f"{field}: the number is too large"
    return f"{field}: {message}"


def _field_at(body: bytes, offset: int, root: str) -> str:
    path = ""
    for step in path_at(body, offset) or ():
        if len(path) > 200:  # a caller's nesting is not to fill our log
            return _field(root, path + "…")
        path += f"[{step}]" if isinstance(step, int) else _key(step)
    return _field(root, path)


def _key(key: str) -> str:
    return f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{quoted(key)}]"


def _field(root: str, path: str) -> str:
    return root + path if root else path.removeprefix(".") or "body"
