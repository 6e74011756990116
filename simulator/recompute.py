"""Parts of the store computed again from what their cell says, to be compared byte for byte (`groundbreak verify RUN`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.cells import QUANTILES, Cell, Part
from simulator.design import Design
from simulator.playing import Brief, Task, Worker, play_task
from simulator.preparing import Prepared
from simulator.problems import refuse
from simulator.world import World, load_world

if TYPE_CHECKING:
    from simulator.engines import Engine
    from simulator.playing import Ready


def recomputing(world: World | None = None, engine: Engine = "compiled") -> Callable[[Cell, Part], dict[str, bytes]]:
    """A function that plays a part of a cell again: the Parquet file of each table.

    It raises InputProblems for a cell whose inputs, law or version are not those of today: that cannot be computed again here.
    """
    world = world or load_world()
    ready: dict[str, tuple[Worker, Ready]] = {}

    def again(cell: Cell, part: Part) -> dict[str, bytes]:
        if cell.key not in ready:
            ready.clear()  # cells come one after the other
            ready[cell.key] = _prepare(cell, world, engine)
        worker, one = ready[cell.key]
        ((_, _, files),) = play_task(worker, Task((one,), (part,))).files
        return files

    return again


def _prepare(cell: Cell, world: World, engine: Engine) -> tuple[Worker, Ready]:
    said = cell.described["design"]
    design = Design(**{**said, "vary": tuple(said["vary"])})
    prepared = Prepared([cell.scenario("stored")], world, cell.seed, design, cell.tables, 1)
    if prepared.cells["stored"].key != cell.key:
        version = cell.described["version"]
        message = f"was computed from other inputs, law or code (version {version}) than are here; it cannot be computed again"
        raise refuse(f"cell {cell.key}", message)
    (one,) = prepared.ready({cell.key}, "quantiles" if QUANTILES in cell.tables else "increments")
    return Worker(Brief(prepared.samplers, prepared.weights(), design, cell.seed, engine)), one
