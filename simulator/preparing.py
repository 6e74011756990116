"""From scenarios to cells of the store, ready to be played: compiled on all cores, and only where that is not known from before.

What identifies a cell rests on the compiled scenario (`cells.describe`), and compiling takes longer than reading a whole run. So
the digest of what a scenario compiled to is remembered, under a hash of everything it was made from: code, inputs, law, scenario.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from simulator import headline
from simulator.cells import Cell, code, compiled_digest, describe, world_digest
from simulator.compile import Compiled, compile_scenario, sampler_key, scenario_sampler
from simulator.playing import Ready
from simulator.problems import InputProblems, Problem
from simulator.results import PRODUCT, version
from simulator.scenario import content_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.design import Design
    from simulator.sampling import Sampler
    from simulator.scenario import Scenario
    from simulator.sweepfile import Keep
    from simulator.world import World

SEVERAL = 6
"""Scenarios from which on compiling is shared out: fewer are compiled by the time that processes have started"""
DIGEST = 64
"""Characters of a digest"""


class _Packed(NamedTuple):
    """A compiled scenario on its way: its digest, and its `Static` pickled and compressed."""

    digest: str
    static: bytes


class Prepared:
    """The cells of a sweep. Scenarios are compiled when they must be: to know their cell, or to be played."""

    def __init__(
        self, scenarios: Sequence[Scenario], world: World, seed: int, design: Design, tables: Sequence[str], workers: int | None
    ):
        self.scenarios, self.world, self.workers = scenarios, world, workers
        found: dict[tuple[object, ...], int] = {}
        self._sampler = [found.setdefault(sampler_key(scenario, world), len(found)) for scenario in scenarios]
        first = [self._sampler.index(i) for i in range(len(found))]
        self.samplers = tuple(scenario_sampler(scenarios[i], world) for i in first)
        self._packed: dict[int, _Packed] = {}
        made_from = [_made_from(scenario, world) for scenario in scenarios]
        known = [_remembered(each) for each in made_from]
        unknown = [i for i, digest in enumerate(known) if digest is None]
        _check([scenarios[i] for i in unknown], world)
        self._compile(unknown)
        for i in unknown:
            known[i] = self._packed[i].digest
            _remember(made_from[i], self._packed[i].digest)
        self.cells: dict[str, Cell] = {}
        """by name of the scenario, in order"""
        for i, scenario in enumerate(scenarios):
            not_needed = cast(Any, None)
            one = Compiled(scenario, not_needed, self.samplers[self._sampler[i]], {})
            self.cells[scenario.name] = describe(
                one, seed, design, schema=headline.VERSION, tables=tables, compiled_sha256=known[i]
            )

    def weights(self) -> tuple[NDArray[np.float64], ...]:
        """(C,) by sampler: what each country's research counts, as `experiments.rd_weights`."""
        found = []
        for sampler in self.samplers:
            weight = np.array([sampler.world.number("countries", "rd_weight", country) for country in sampler.frame.countries])
            found.append(weight / weight.sum())
        return tuple(found)

    def ready(self, keys: set[str], keep: Keep) -> list[Ready]:
        """The scenarios of some cells, each cell once, ready to be handed to workers."""
        chosen: dict[str, int] = {}
        for i, cell in enumerate(self.cells.values()):
            if cell.key in keys:
                chosen.setdefault(cell.key, i)
        self._compile([i for i in chosen.values() if i not in self._packed])
        found = []
        for key, i in chosen.items():
            on = self.scenarios[i].mechanisms
            switches = on.assumptions, on.luck, on.rationing
            found.append(Ready(key, self.scenarios[i].name, self._sampler[i], switches, keep, self._packed[i].static))
        return found

    def _compile(self, wanted: Sequence[int]) -> None:
        from simulator.executors import executor

        tasks = [(i, self.scenarios[i], self._sampler[i]) for i in wanted]
        workers = self.workers if len(wanted) >= SEVERAL else 1
        with executor(context=(self.world, self.samplers), workers=workers) as pool:
            for (i, _, _), packed in pool.map(_compile_one, tasks, describe=_named):
                self._packed[i] = packed


def _named(task: tuple[int, Scenario, int]) -> str:
    return task[1].name


def _compile_one(context: tuple[World, tuple[Sampler, ...]], task: tuple[int, Scenario, int]) -> _Packed:
    world, samplers = context
    _, scenario, sampler = task
    compiled = compile_scenario(scenario, world, samplers[sampler])
    return _Packed(compiled_digest(compiled), zlib.compress(pickle.dumps(compiled.static, pickle.HIGHEST_PROTOCOL), 1))


def _check(scenarios: Sequence[Scenario], world: World) -> None:
    """Inputs and law must have what the scenarios change. Raises InputProblems with every problem of every scenario."""
    from simulator.compile import check_horizon
    from simulator.controls import load_all
    from simulator.scenario import validate_scenario

    problems: list[Problem] = []
    for scenario in scenarios:
        try:
            validate_scenario(scenario, world, load_all())
            check_horizon(scenario, world)
        except InputProblems as error:
            problems += error.problems
    if problems:
        raise InputProblems(problems)


# ---- what is remembered -----------------------------------------------------------------------------------------------------


def _made_from(scenario: Scenario, world: World) -> str:
    """Hash of all that decides what a scenario compiles to."""
    return hashlib.sha256(f"{version()} {code()} {world_digest(world)} {_law()} {content_hash(scenario)}".encode()).hexdigest()


@cache
def _law() -> str:
    """Digest of the files that say the law, as they were when this process first looked."""
    from simulator.resources import shipped

    total = hashlib.sha256()
    for path in sorted(path for path in (shipped("data") / "regimes").rglob("*") if path.is_file()):
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _folder() -> Path:
    """Where digests are remembered: beside the compiled code of the engine."""
    from platformdirs import user_cache_path

    asked = os.environ.get("GROUNDBREAK_CACHE")
    return (Path(asked) if asked else user_cache_path(PRODUCT)) / "compiled"


def _remembered(made_from: str) -> str | None:
    """The digest of what came of it before, if that is known."""
    with suppress(OSError):
        digest = (_folder() / made_from).read_text(encoding="ascii", errors="replace")
        if len(digest) == DIGEST and set(digest) <= set("0123456789abcdef"):
            return digest
    return None


def _remember(made_from: str, digest: str) -> None:
    """Keep a digest for the next time; a folder that cannot be written to only costs time."""
    with suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f".{made_from}-{os.getpid()}"
        made.write_text(digest, encoding="ascii")
        made.replace(folder / made_from)
