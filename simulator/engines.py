"""The two engines behind one door: the SimPy model, which is the reference, and the compiled kernel, which gives the same log."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from simulator.events import Log
    from simulator.static import Draws, Static

Engine = Literal["simpy", "compiled"]
ENGINES: tuple[Engine, ...] = ("simpy", "compiled")


def play(static: Static, draws: Draws, engine: Engine = "compiled") -> Log:
    """The event log of one replication. Both engines give the same bits. Raises ValueError for an engine there is not."""
    if engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}; there are {' and '.join(ENGINES)}")
    if engine == "compiled":
        from simulator.events import LOG
        from simulator.packing import given

        log, _ = _kernel()(given(static, draws))
        return cast("Log", log.view(LOG))
    from simulator.model import Expansion

    # The cyclic collector costs half as much again while a run allocates; cycles are collected once at its end.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return Expansion(static, draws).run()
    finally:
        if enabled:
            gc.enable()


def warm() -> bool:
    """Whether the compiled engine is there already: compiled by this version of the source, on this machine."""
    from simulator import jit

    return any(jit.folder().glob("**/kernel.play-*.nbc"))


def make_ready() -> None:
    """Load the compiled engine, or compile it if this source never was on this machine (most of a minute)."""
    _kernel()


@cache
def _kernel() -> Callable[[Any], tuple[Any, int]]:
    """The kernel, ready: loaded as compiled before, or compiled now (by one process at a time, so that others load it)."""
    from filelock import FileLock

    from simulator import jit, kernel
    from simulator.packing import example

    play: Callable[[Any], tuple[Any, int]] = kernel.play
    if not jit.plain():
        with FileLock(jit.folder() / "kernel.lock"), jit.in_one_piece():
            kernel.play.compile(example())
    return play
