"""How the answers of one lane are read, and which are right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from streambox.errors import UsageError
from streambox.loadgen.answers import READERS, Answer, flat
from streambox.loadgen.json_path import follow, parse_path
from streambox.loadgen.template import ID_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from streambox.loadgen.bodies import Api
    from streambox.loadgen.json_path import Steps

    Numbers = np.ndarray[Any, np.dtype[Any]]

TOLERANCE: Final = 1e-3


class AnswerKey(Protocol):
    """``knows``: whether there is more to hold an answer against than its id."""

    knows: bool

    def read(self, body: bytes) -> Answer:
        """What *body*, of a 2xx response, says. Raises one of ``answers.UNREADABLE``."""

    def is_right(self, payload: int, answer: Answer) -> bool:
        """Whether it is the answer to *payload*; only where the key ``knows``. Raises as ``read``."""


class NumbersKey:
    """
    For the APIs that answer in numbers.

    *expected* (N, K) are those of a right answer, each to within *tolerance*; *labels* (N,)
    the place of its largest. *rows*: of each payload, which of the N it carries, where it
    carries several; its answer then has a row for each.
    """

    def __init__(
        self,
        api: Api,
        *,
        expected: Numbers | None = None,
        labels: Numbers | None = None,
        tolerance: float = TOLERANCE,
        rows: Sequence[Numbers] | None = None,
    ) -> None:
        self.read = READERS[api]
        self.knows = expected is not None or labels is not None
        self.expected: list[list[float]] | None = None if expected is None else expected.tolist()
        self.labels: list[int] | None = None if labels is None else labels.tolist()
        self._tolerance = tolerance
        self._rows = rows

    def is_right(self, payload: int, answer: Answer) -> bool:
        numbers = answer.row()
        if self._rows is None:
            return self._is_right(payload, numbers)
        rows = self._rows[payload]
        if not numbers or len(numbers) % len(rows):
            return False
        width = len(numbers) // len(rows)
        parts = (numbers[start : start + width] for start in range(0, len(numbers), width))
        return all(map(self._is_right, rows.tolist(), parts))

    def _is_right(self, row: int, numbers: list[float]) -> bool:
        if self.labels is not None and not 0 <= self.labels[row] == _class_of(numbers):
            return False
        if self.expected is None:
            return True
        wanted, tolerance = self.expected[row], self._tolerance
        if len(numbers) != len(wanted):
            return False
        return all(abs(given - right) <= tolerance for given, right in zip(numbers, wanted, strict=True))


class HttpKey:
    """
    For any endpoint: what it says is not known, but for what is asked for here.

    *expect_id*: the path in its JSON to the request's id. *expect_text*: what its body holds,
    ``{{id}}`` standing for the id. *expect_output*: the path to its answer, held against the
    dataset's *expected* or *labels*: numbers to within *tolerance*, text exactly.

    Raises UsageError where they cannot be understood, or have nothing to be held against.
    """

    def __init__(
        self,
        *,
        expect_id: str | None = None,
        expect_text: str | None = None,
        expect_output: str | None = None,
        expected: Sequence[Any] | None = None,
        labels: Sequence[Any] | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        if expect_output is not None and expected is None and labels is None:
            raise UsageError("expect_output: the dataset says neither what is 'expected' nor a 'label'")
        self._id = None if expect_id is None else parse_path(expect_id)
        self._output = None if expect_output is None else parse_path(expect_output)
        self._text = None if expect_text is None else _pattern(expect_text)
        self._expected = expected
        self._labels = labels
        self._tolerance = tolerance
        self._reads_json = self._id is not None or self._output is not None
        self.knows = self._output is not None

    def read(self, body: bytes) -> Answer:
        tree = msgspec.json.decode(body) if self._reads_json else None
        request_id = None
        if self._text is not None:
            match = self._text.search(body)
            if match is None:
                return Answer("", None, list)  # nobody's
            request_id = match[1].decode() if match.re.groups else None
        if self._id is not None:
            named = _id_at(tree, self._id)
            request_id = named if request_id in (None, named) else ""
        return Answer(request_id, None, lambda: self._output_of(tree))

    def is_right(self, payload: int, answer: Answer) -> bool:
        output: Any = answer.row()
        if self._labels is not None and not _is_class(output, self._labels[payload]):
            return False
        return self._expected is None or _is_close(output, self._expected[payload], self._tolerance)

    def _output_of(self, tree: Any) -> Any:
        return follow(tree, self._output or ())


def _pattern(text: str) -> re.Pattern[bytes]:
    """A search for *text*; where it names the id, its first group is what stands there."""
    parts = [re.escape(part.encode()) for part in ID_FIELD.split(text)]
    if len(parts) > 2:
        raise UsageError(f"expect_text: {text!r} names the id more than once")
    return re.compile(rb"(\d+)".join(parts))


def _id_at(tree: Any, path: Steps) -> str:
    found = follow(tree, path)
    return f"{found:010d}" if type(found) is int else str(found)


def _is_class(output: Any, label: Any) -> bool:
    """*label*: the place of the largest of several numbers, or the one answer itself."""
    if isinstance(output, list):
        return bool(label == _class_of(flat(output)))
    return bool(output == label)


def _is_close(output: Any, wanted: Any, tolerance: float) -> bool:
    """Equal; or numbers alike, however they are nested, to within *tolerance*."""
    if output == wanted:
        return True
    if not _is_numeric(wanted):
        return False
    given, right = flat(output), flat(wanted)
    return len(given) == len(right) and all(
        abs(one - other) <= tolerance for one, other in zip(given, right, strict=True)
    )


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _class_of(numbers: list[float]) -> int:
    return numbers.index(max(numbers))
