"""
Small models that the tests run in real worker processes.

Those that stop half-way tell the test so by a byte into the FIFO ``$STARTED``, and go on when they
can read one from ``$GO``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import streambox
from streambox.executor import wire
from streambox.executor.base import BatchErrorKind

KILL, HANG, WAIT, GARBAGE, LEAVE_CHILD, EXIT, ANSWER_ANOTHER, SHORT = range(101, 109)


def double(x):
    return 2 * x


def choosy(x):
    """Takes four or eight rows and no other number."""
    assert len(x) in (4, 8), f"{len(x)} rows"
    return 2 * x


def double_by_name(inputs):
    return {"output": inputs["vector"] * 2}


def double_mapping(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    assert isinstance(inputs, dict)
    return {"output": inputs["vector"] * 2}


def talkative(x):
    print("said by the model")
    return x


class Adder:
    def __init__(self):
        self.calls = 0

    def __call__(self, inputs):
        self.calls += 1
        total = inputs["a"] + inputs["b"]
        return {"sum": total, "calls": np.full(len(total), self.calls)}


class Unmade:
    def __init__(self):
        raise FileNotFoundError("no such file: weights.bin")


class Uncallable:
    pass


def refuse_negative(x):
    negative = [index for index, row in enumerate(x) if row[0] < 0]
    if len(negative) > 1:
        raise ExceptionGroup("rows", [streambox.RowError(index, "negative") for index in negative])
    if negative:
        raise streambox.RowError(negative[0], "negative\nvalue")
    return x


def refuse_absent(x):
    raise streambox.RowError(len(x), "no such row")


def broken(x):
    raise ValueError("several\nlines " + "x" * 2000)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def odd_errors(x):
    match int(x[0, 0]):
        case 1:
            raise ValueError("odd \ud800 bytes,\n\x1b[31mred")
        case 2:
            raise Mute
        case 3:
            raise KeyError
        case 4:
            raise streambox.RowError(0, "a lone \udc00")
    return 2 * x


def obey(x):
    """Doubles, or does what the first number of the first row says."""
    match int(x[0, 0]):
        case 101:
            os.kill(os.getpid(), signal.SIGKILL)
        case 102:
            _tell_started()
            time.sleep(3600)
        case 103:
            _tell_started()
            with Path(os.environ["GO"]).open("rb", buffering=0) as fifo:
                fifo.read(1)
        case 104:
            os.write(int(sys.argv[-1]), b"this is not a frame of the protocol")
        case 105:
            # A child that keeps the worker's socket open, so that its end alone does not show.
            child = subprocess.Popen(["sleep", "3600"], pass_fds=[int(sys.argv[-1])])
            return np.full_like(x, child.pid)
        case 106:
            sys.exit(7)
        case 107:
            stray = wire.encode(wire.Failed(10**9, BatchErrorKind.MODEL, "not asked for", retryable=True))
            os.write(int(sys.argv[-1]), b"".join(stray))
    return 2 * x


def widen(x):
    """An answer of more than the reader takes at once, and less than the socket holds."""
    return np.tile(obey(x), (1, 3000))


def short_of_a_row(x):
    """Doubles, and notes down what it has begun; where told to, it answers one row too few."""
    first = int(x[0, 0])
    with Path(os.environ["BEGUN"]).open("a") as begun:
        begun.write(f"{first}\n")
    return 2 * x[1:] if first == SHORT else 2 * x


def nan_for_three(x):
    y = 2 * x
    y[1:, 2][x[1:, 0] == 3] = np.nan
    return y


def hold_the_interpreter(x):
    """Computes in C without ever letting another thread run."""
    _tell_started()
    return x * (pow(3, 10**8) % 2)


def _tell_started():
    with Path(os.environ["STARTED"]).open("wb", buffering=0) as fifo:
        fifo.write(str(os.getpid()).encode() + b"\n")


def unhurried(x):
    """Takes its 30 ms."""
    time.sleep(0.03)
    return 2 * x
