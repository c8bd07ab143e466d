"""Paths into JSON: ``outputs[0].data``, ``results.label``; a name with other characters as ``["a b"]``."""

from __future__ import annotations

import re
from typing import Any, Final

from streambox.errors import UsageError

Steps = tuple[str | int, ...]

_STEP: Final = re.compile(
    r'(?:^|(?<=.)\.)(?P<name>[A-Za-z_][\w-]*)|\[(?P<index>\d+)\]|\["(?P<quoted>[^"]+)"\]'
)


def parse_path(text: str) -> Steps:
    """Names and indices, in turn; ``""`` is the whole. Raises UsageError."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise UsageError(
                f"{text!r} is not a path: write it as in outputs[0].data, at {text[position:]!r}"
            )
        steps.append(int(match["index"]) if match["index"] else match["name"] or match["quoted"])
        position = match.end()
    return tuple(steps)


def follow(tree: Any, path: Steps) -> Any:
    """What is at *path* in *tree*. Raises KeyError, IndexError or TypeError where there is nothing."""
    for step in path:
        if isinstance(step, int) != isinstance(tree, list):
            raise TypeError(f"no {step!r} in {type(tree).__name__}")
        tree = tree[step]
    return tree
