"""The compiled engine's text run as plain Python, quickly and strictly: what steps through it, and what tries faults in it.

Records are objects with slots, so that a read of what was never written is an error; buffers that grow begin tiny, so that they do;
numbers of NumPy keep their width, so that one that does not fit is an error too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

import simulator
from simulator.events import LOG, Log
from simulator.jit import PLAIN
from simulator.static import Draws, Static

SOURCES = Path(simulator.__file__).parent
CHAIN = ("machine", "authority", "kernel", "packing")
"""Modules of the engine, in the order in which they import one another"""
GROWING = {"LICENCE", "REQUEST", "ALARM", "NEXT", "ROW"}
"""Records of which there may be any number"""
HEAP = 512
"""Alarms of one day for which there is room at first"""
FIRST_ROOM = 4
COLUMNS = attrgetter(*(LOG.names or ()))


def source(module: str) -> str:
    """The text of a module of the simulator."""
    return (SOURCES / f"{module}.py").read_text(encoding="utf-8")


@cache
def _compiled(module: str, text: str) -> CodeType:
    return compile(text, f"<{module}>", "exec")


def load(chain: Sequence[str], changed: Mapping[str, str]) -> list[ModuleType]:
    """Modules of the simulator run afresh in this order, some of them from changed text. They see each other; nobody else does."""
    before = {name: sys.modules.get(f"simulator.{name}") for name in chain}
    modules = []
    try:
        for name in chain:
            module = ModuleType(f"simulator.{name}")
            module.__file__ = str(SOURCES / f"{name}.py")
            sys.modules[module.__name__] = module
            setattr(simulator, name, module)
            text = changed.get(name)
            exec(_compiled(name, source(name)) if text is None else compile(text, f"<{name}>", "exec"), module.__dict__)
            modules.append(module)
    finally:
        for name, real in before.items():
            sys.modules.pop(f"simulator.{name}", None)
            if real is None:
                if hasattr(simulator, name):
                    delattr(simulator, name)
            else:
                sys.modules[real.__name__] = real
                setattr(simulator, name, real)
    return modules


@contextmanager
def plain() -> Iterator[None]:
    """Nothing is compiled meanwhile."""
    before = os.environ.get(PLAIN)
    os.environ[PLAIN] = "1"
    try:
        yield
    finally:
        os.environ.pop(PLAIN)
        if before is not None:
            os.environ[PLAIN] = before


# ------------------------------------------------------------------ arrays of records


class Records(dict[Any, Any]):
    """An array of records, each made when it is first looked at. Raises IndexError outside its shape, also for negative places."""

    def __init__(self, shape: tuple[int, ...], make: Callable[[Any], Any]):
        super().__init__()
        self.shape, self.make = shape, make

    def __missing__(self, key: Any) -> Any:
        shape = self.shape
        inside = all(0 <= i < n for i, n in zip(key, shape, strict=True)) if isinstance(key, tuple) else 0 <= key < shape[0]
        if not inside:
            raise IndexError(f"{key} in an array of {shape}")
        value = self.make(key)
        super().__setitem__(key, value)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        assert key.start is None, "records are only copied from the beginning, to a larger array"
        assert key.stop == len(value) <= len(self)
        self.update(value)

    def __len__(self) -> int:
        return self.shape[0]


class Rows(Records):
    """The log, of which the written part is asked for at the end."""

    def __getitem__(self, key: Any) -> Any:
        return [super(Rows, self).__getitem__(i) for i in range(key.stop)] if isinstance(key, slice) else super().__getitem__(key)


class Arrays:
    """In place of `numpy` in the engine's text: for one run."""

    int64, full, zeros = np.int64, staticmethod(np.full), staticmethod(np.zeros)

    def __init__(self, growing: set[tuple[str, ...]], tiny: bool):
        self.growing, self.tiny = growing, tiny
        self.given: dict[tuple[str, ...], set[int]] = {}
        self.grown: set[tuple[str, ...]] = set()
        self.heaps: set[Any] = set()

    def empty(self, shape: Any, kind: Any) -> Any:
        """An array that holds nothing yet."""
        if kind is np.int64:
            if shape == HEAP and self.tiny and HEAP // 2 not in self.heaps:
                shape = FIRST_ROOM
            self.heaps.add(shape)
            return np.full(shape, UNSET)
        shape = shape if isinstance(shape, tuple) else (shape,)
        names = kind.names
        if names in self.growing:
            given = self.given.setdefault(names, set())
            if shape[0] // 2 in given:
                self.grown.add(names)
            elif self.tiny:
                shape = (FIRST_ROOM,)
            given.add(shape[0])
        make = _record(names)
        return (Rows if names == LOG.names else Records)(shape, lambda _: make())


class Number(int):
    """A member of an enumeration, as the number it is."""

    @property
    def value(self) -> int:
        return int(self)


UNSET = -(1 << 62) + 987_654_321
"""In arrays of numbers that hold nothing yet: too large to be taken for anything"""


@cache
def _record(names: tuple[str, ...]) -> type:
    return type("Record", (), {"__slots__": names})


class Interpreter:
    """The compiled engine as Python, its modules perhaps with other text."""

    arrays: Arrays
    """Those of the last run"""

    def __init__(self, changed: Mapping[str, str] | None = None, tiny: bool = True):
        self.tiny = tiny
        with plain():
            self.modules = load(CHAIN, changed or {})
        machine = self.modules[0]
        self.growing = {getattr(machine, name).names for name in GROWING}
        for module in self.modules[:-1]:  # comparing whole numbers with members of an enumeration costs most of the time
            for name, value in list(vars(module).items()):
                if isinstance(value, type) and issubclass(value, IntEnum):
                    setattr(module, name, SimpleNamespace(**{member.name: Number(member) for member in value}))

    def play(self, static: Static, draws: Draws) -> Log:
        """The event log of one replication."""
        *_, kernel, packing = self.modules
        self.arrays = Arrays(self.growing, self.tiny)
        for module in self.modules[:-1]:
            module.np = self.arrays  # type: ignore[attr-defined]
        inputs = packing.given(static, draws)
        law, names = inputs.law, inputs.law.dtype.names

        def make(key: Any) -> Any:
            record = _record(names)()
            for name, value in zip(names, law[key].item(), strict=True):
                setattr(record, name, value)
            return record

        with np.errstate(over="raise"):
            rows, _ = kernel.play(inputs._replace(law=Records(law.shape, make)))
        return np.array([COLUMNS(row) for row in rows], dtype=LOG)
