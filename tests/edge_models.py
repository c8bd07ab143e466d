"""
The model behind the HTTP tests: it doubles, or does to a row what the row's first number says.

``$EDGE`` names a folder with the FIFOs ``started`` and ``go`` and the file ``executed``
(see ``support.Gate``); without it nothing is held or noted down.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

import streambox

HOLD, RAISE, EXIT, REFUSE, NAN, OVERFLOW, SHORT = range(1001, 1008)


def obey(x):
    firsts = x[:, 0].astype(int)
    _note(firsts)
    if HOLD in firsts:
        _hold()
    if EXIT in firsts:
        os._exit(9)
    if RAISE in firsts:
        raise ValueError("a row that the model cannot take")
    if REFUSE in firsts:
        raise streambox.RowError(int(np.flatnonzero(firsts == REFUSE)[0]), "refused by the model")
    output = 2 * x
    output[firsts == NAN, 1] = np.nan
    output[firsts == OVERFLOW] = np.inf
    return output[1:] if SHORT in firsts else output


def unhurried(x):
    """Takes its 10 ms."""
    time.sleep(0.01)
    return obey(x)


def fragile(x):
    """Ends its worker for as long as the file ``broken`` is there."""
    if Path(os.environ["EDGE"], "broken").exists():
        os._exit(9)
    return 2 * x


def identity(inputs):
    """Every input ``x`` comes back as output ``x_out``."""
    return {f"{name}_out": values for name, values in inputs.items()}


def _note(firsts):
    if folder := os.environ.get("EDGE"):
        with Path(folder, "executed").open("a") as executed:
            executed.write("".join(f"{first}\n" for first in firsts))


def _hold():
    folder = Path(os.environ["EDGE"])
    with (folder / "started").open("wb", buffering=0) as started:
        started.write(b"%d\n" % os.getpid())
    with (folder / "go").open("rb", buffering=0) as go:
        go.read(1)


class SlowToLoad:
    """Held before it is ready."""

    def __init__(self):
        _hold()

    def __call__(self, x):
        return 2 * x
