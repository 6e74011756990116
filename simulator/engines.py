"""The two engines behind one door: the SimPy model, which is the reference, and the compiled kernel, which gives the same log."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from simulator.events import Log
    from simulator.static import Draws, Static

Engine = Literal["simpy", "compiled"]
ENGINES: tuple[Engine, ...] = ("simpy", "compiled")


def play(static: Static, draws: Draws, engine: Engine = "compiled") -> Log:
    """The event log of one replication. Both engines give the same bits."""
    if engine == "compiled":
        from simulator.events import LOG
        from simulator.kernel import play as compiled
        from simulator.packing import given

        log, _ = compiled(given(static, draws))
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
