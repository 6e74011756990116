"""What the tests of the executors have worked: a module of its own, so that a worker need not import the tests."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


class Weights:
    """What `start` makes: counts how often it was made in a process."""

    made = 0

    def __init__(self, seed: int):
        Weights.made += 1
        self.weights = np.random.default_rng(seed).standard_normal(1000)


def mixed(state: Weights, task: int) -> tuple[bytes, int, int]:
    return np.cumsum(state.weights * task).tobytes(), os.getpid(), Weights.made


def echo(state: Any, task: Any) -> Any:
    return task


def nap(state: Any, task: Any) -> int:
    time.sleep(0.02)
    return os.getpid()


class Odd(Exception):
    """Cannot be read back: its constructor wants more than its arguments."""

    def __init__(self, one: str, two: str):
        super().__init__(one + two)


def fails_at_7(state: Any, task: int) -> int:
    if task == 7:
        raise ValueError("seven is not allowed")
    return task


def fails_oddly(state: Any, task: int) -> int:
    raise Odd("cannot ", "be sent")


def leaves(state: Any, task: int) -> None:
    raise SystemExit(4)


def unreadable(state: Any, task: int) -> Any:
    return lambda: task


def dies_at_7(state: Any, task: int) -> int:
    if task == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def dies_once(state: Any, task: tuple[str, int]) -> int:
    flag, number = task
    if number in (3, 40) and not os.path.exists(f"{flag}-{number}"):
        Path(f"{flag}-{number}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def dies_at_start(context: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def raises_at_start(context: Any) -> Any:
    raise OSError("no space for compiled code")


def learn(state: Any, task: str) -> None:
    time.sleep(0.05)  # so that both workers get some
    if task not in sys.path:
        sys.path.insert(0, task)


def sleep(state: Any, task: float) -> None:
    time.sleep(task)
