"""Sweeps: many scenarios, each played many times, paired, kept in the store, and not played again.

Read `sweep` first. Work comes in tasks: a block of replications of some scenarios that share their draws (`simulator.playing`).
What is stored is not played again: a sweep that was stopped goes on where it was, and one that is asked for again is only read
(`simulator.sweepresult`).

>>> from simulator import sweep
>>> found = sweep("policies", replications=200)                 # doctest: +SKIP
>>> found.differences().query("metric == 'it_mw_online'")       # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.cells import BLOCK, HEADLINES, INCREMENTS, QUANTILES, Part, Run, parts
from simulator.design import Design, parameters
from simulator.experiments import ReplicationFailed
from simulator.findings import amount
from simulator.metrics import METRICS
from simulator.playing import Brief, Ready, Task, Worker, play_task
from simulator.precision import MOST, Looks, Rule
from simulator.preparing import Prepared
from simulator.problems import InputProblems, Problem, nearest, refuse, shown
from simulator.store import Store, open_store
from simulator.sweepfile import Keep, Sweep, is_sweep, load_sweep
from simulator.sweepresult import COLUMN, HEADLINE, SweepResult, floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engines import Engine
    from simulator.sampling import Sampler
    from simulator.scenario import Scenario
    from simulator.world import World

    Floats = NDArray[np.float64]

GROUP = 8
"""Scenarios of a task at most: enough that the draws they share weigh little, few enough that a task is short"""


@dataclass(frozen=True)
class Progress:
    """How far a sweep is. Runs are replications times scenarios; those found in the store count as done."""

    done: int
    total: int
    """with a rule to stop by, the most there may be"""
    loaded: int
    """of those done, found in the store"""
    replications: int
    """finished in all scenarios, from the first one on without a gap"""
    seconds: float
    left: float | None
    """seconds, from the time that runs took so far; None before any was finished"""
    scenario: str
    reference: str
    difference: float | None
    """mean of the headline of `scenario` minus that of `reference` over `replications`"""
    half_width: float | None
    """of the 95 % interval of that mean"""
    open_ended: bool = False
    """whether a rule may stop it before all is done"""
    unit: str = METRICS[HEADLINE].unit

    def says(self) -> str:
        """On one line, for people."""
        words = f"{self.done:,} of {'at most ' if self.open_ended else ''}{self.total:,} runs"
        if self.difference is not None and self.half_width is not None:
            gap, half = amount(self.difference, self.unit, signed=True), amount(self.half_width, self.unit)
            words += f"; {self.scenario} - {self.reference}: {gap} ± {half}"
        return words + (f"; {_time(self.left)} left" if self.left is not None and self.done < self.total else "")

    __str__ = says  # so that `progress=print` tells people

    def record(self) -> dict[str, Any]:
        """As plain values, for scripts."""
        return {"event": "progress", **{name: getattr(self, name) for name in self.__dataclass_fields__}}


def sweep(
    what: Sweep | str | Path | Sequence[str | Path | Scenario],
    *,
    replications: int | None = None,
    seed: int | None = None,
    reference: str | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    chunk: int | None = None,
    store: Store | str | Path | None = None,
    precision: float | None = None,
    precision_abs: float | None = None,
    budget: float | None = None,
    max_replications: int | None = None,
    logs: int | None = None,
    keep: Keep | None = None,
    overrides: str | Path | Sequence[str | Path] = (),
    sets: str | Sequence[str] = (),
    engine: Engine = "compiled",
    world: World | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> SweepResult:
    """Play what a sweep asks for, as far as the store has not got it, and return what came of it.

    `what`: a sweep file or the name of a shipped sweep, scenarios by name or file, or a `Sweep`. What is given besides replaces
    what the file says; `overrides` and `sets` are laid over every scenario that is loaded, as in `load_scenario`.

    `workers` None uses every core, 1 this process; a script that asks for more than one must guard its entry point with
    `if __name__ == "__main__":`. `cluster` is the address of a Dask scheduler, or "local". `chunk` is how many replications a
    worker is handed at a time, in whole blocks of 100. The result depends on none of these three.

    `precision` (a share of the reference mean), `precision_abs` (MW) and `budget` (seconds) stop early; see `simulator.precision`.
    Ctrl-C keeps what is finished: the result then rests on the replications that every scenario has (`SweepResult.interrupted`),
    and the same question goes on from there. So does a replication that fails (`SweepResult.failed`).

    Raises InputProblems for a question that cannot be asked, KeyboardInterrupt and ReplicationFailed if not even one block of
    replications was finished in every scenario.
    """
    given = {
        "replications": replications, "seed": seed, "reference": reference, "precision": precision, "precision_abs": precision_abs,
        "budget": budget, "max_replications": max_replications, "logs": logs, "keep": keep,
    }  # fmt: skip
    asked = asked_for(what, overrides, sets, **given)
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    place = store if isinstance(store, Store) else open_store(None if store is None else Path(store), say)
    return _Sweeping(asked, place, world, engine, workers, progress, say).run(cluster, chunk)


def _time(seconds: float) -> str:
    """A time that is left, as exactly as it is known."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C before there was anything to show. The message says what is kept."""


def asked_for(
    what: Sweep | str | Path | Sequence[str | Path | Scenario],
    overrides: str | Path | Sequence[str | Path] = (),
    sets: str | Sequence[str] = (),
    **given: Any,
) -> Sweep:
    """What is to be run, with what is `given` (not None) in place of what a file says. Raises InputProblems."""
    from simulator.scenario import load_scenario

    if isinstance(what, str | Path):
        what = load_sweep(what, overrides, sets) if is_sweep(what) else [what]
    if not isinstance(what, Sweep):
        scenarios = tuple(load_scenario(each, overrides, sets) if isinstance(each, str | Path) else each for each in what)
        names = [scenario.name for scenario in scenarios]
        if not names:
            raise refuse("sweep", "names nothing to run; give at least one scenario")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise refuse("sweep", f"scenarios share a name: {', '.join(twice)}")
        if len({(scenario.start, scenario.end) for scenario in scenarios}) > 1:
            spans = ", ".join(f"{s.name} {s.start} to {s.end}" for s in scenarios)
            raise refuse("sweep", f"scenarios must share start and end to be compared: {spans}")
        steps: dict[str, dict[str, str]] = {name: {} for name in names}
        what = Sweep("-".join(names) if len(names) < 3 else "sweep", " and ".join(names), scenarios, names[0], steps=steps)
    given = {name: value for name, value in given.items() if value is not None}
    for name, least in (("replications", 1), ("max_replications", 1), ("seed", 0), ("logs", 0)):
        value = given.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise refuse("sweep", f"{shown(value)} is not a whole number of at least {least}", field=name)
    if given.get("reference", what.reference) not in what.names:
        message = f"{shown(given['reference'])} is not among the scenarios: {', '.join(what.names)}"
        raise refuse("sweep", message + nearest(given["reference"], what.names), field="reference")
    stop = _rule(what, given)
    found = replace(
        what,
        **{name: value for name, value in given.items() if name in ("replications", "seed", "reference", "logs", "keep")},
        stop=stop,
    )
    if stop is not None:
        return replace(found, replications=stop.maximum)
    if found.replications % found.design.unit:
        unit = found.design.unit
        near = max(unit, round(found.replications / unit) * unit)
        message = f"{found.replications} is no multiple of {unit} ({found.design.says()}); give for example {near}"
        raise refuse("sweep", message, field="replications")
    return found


def _rule(what: Sweep, given: Mapping[str, Any]) -> Rule | None:
    """The rule to stop by, if there is one: what is given, else what the file says. Raises InputProblems."""
    before = what.stop or Rule()
    known = (("precision", before.relative), ("precision_abs", before.absolute), ("budget", before.budget))
    relative, absolute, budget = (given.get(name, said) for name, said in known)
    if relative is absolute is budget is None:
        if "max_replications" in given:
            raise refuse("sweep", "is for precision or budget; without them give replications", field="max_replications")
        return None
    most = given.get("max_replications", given.get("replications", before.maximum if what.stop else MOST))
    if len(what.names) < 2 and (relative or absolute):
        raise refuse("sweep", "is of a difference; give a second scenario", field="precision")
    try:
        return Rule(relative, absolute, budget, most)
    except ValueError as error:
        raise refuse("sweep", str(error), field="precision") from None


class _Sweeping:
    """One sweep on its way from the question to the manifest."""

    def __init__(
        self, asked: Sweep, store: Store, world: World | None, engine: Engine, workers: int | None,
        progress: Callable[[Progress], None] | None, say: Callable[[str], None] | None,
    ):  # fmt: skip
        from simulator.world import load_world

        self.asked, self.store, self.engine, self.asked_workers = asked, store, engine, workers
        self.progress, self.say = progress, say
        self.begun = time.monotonic()
        self.world = world or load_world()
        tables = (HEADLINES, INCREMENTS if asked.keep == "increments" else QUANTILES)
        self.prepared = Prepared(asked.scenarios, self.world, asked.seed, asked.design, tables, workers)
        _check_varied(asked.design, self.prepared.samplers[0])
        self.cells = self.prepared.cells
        self.unique = {cell.key: cell for cell in self.cells.values()}
        self.parts = parts(asked.replications, asked.logs)
        self.others = [name for name in asked.names if name != asked.reference]
        # What is known of the headline: by part, of the cells that have come; then in order, as soon as a part has come of all.
        self.came: dict[int, dict[str, Floats | None]] = {}
        self.complete = 0
        self.rule = asked.stop or Rule(maximum=asked.replications)
        self.looks = Looks(self.rule, len(self.others), asked.design.unit)
        self.done = self.loaded = self.timed = 0
        self.busy = 0.0
        self.workers = 1
        self.in_hand = 0
        """runs handed to workers and not come back"""
        self.first_asked = False
        """whether the first replications of every scenario are there or on their way"""

    def run(self, cluster: str | None, chunk: int | None) -> SweepResult:
        """Play what is missing and write the manifest."""
        from simulator.executors import TaskFailed, WorkerFailed

        interrupted, failed = False, ""
        played = 0
        alone = hashlib.sha256(" ".join(sorted(self.unique)).encode()).hexdigest()[:16]
        with self.store.lock(alone, self.say):
            missing = {key: set(self.store.missing(cell, self.parts)) for key, cell in self.unique.items()}
            self._note_stored(missing)
            try:
                if any(missing.values()) and not self.looks.done:
                    for _ in self._play(missing, cluster, chunk):
                        played += 1
            except KeyboardInterrupt:
                interrupted = True
                if not self.complete:
                    raise Interrupted(self._kept()) from None
            except (TaskFailed, WorkerFailed) as error:
                cause = error.error if isinstance(error, TaskFailed) else None
                known = cause if isinstance(cause, ReplicationFailed) else error
                failed = str(known)
                if not self.complete:
                    raise known from None
            levers = {name: dict(where) for name, where in self.asked.steps.items()}
            run = Run.of(self.cells, self._replications(), reference=self.asked.reference, logs=self.asked.logs, levers=levers)
            self.store.finish(run)
        seconds = time.monotonic() - self.begun
        self.store.log(run.id, seconds=round(seconds, 3), tasks=played, runs=self.done, loaded=self.loaded, workers=self.workers)
        return SweepResult(
            run, self.store, self.asked.title, self.asked.asks, interrupted, failed, self.asked.replications, self.loaded,
            self.done - self.loaded, seconds, bool(self.looks.made) and self.looks.made[-1].reached, self.asked.stop,
        )  # fmt: skip

    def _kept(self) -> str:
        """What an early end leaves."""
        if not self.done:
            return "before anything was finished; nothing is kept"
        return (
            f"before the first {self.parts[0].last + 1} replications were finished in every scenario; {self.done:,} runs are kept in "
            f"{self.store.root}, and the same command goes on from there"
        )

    def _replications(self) -> int:
        """Replications that every scenario has, from the first one on."""
        return self.parts[self.complete - 1].last + 1 if self.complete else 0

    # ---- what has come

    def _note_stored(self, missing: Mapping[str, set[Part]]) -> None:
        for number, part in enumerate(self.parts):
            here = {key: None for key in self.unique if part not in missing[key]}
            if here:
                self.came[number] = dict(here)
                runs = len(here) * (part.last - part.first + 1)
                self.done += runs
                self.loaded += runs
        self._advance()
        self._tell()

    def _note(self, key: str, part: Part, payload: Mapping[str, bytes]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = floats(pq.read_table(pa.BufferReader(payload[HEADLINES]), columns=[COLUMN])[COLUMN])
        self.came.setdefault(part.first // BLOCK, {})[key] = numbers
        self.done += part.last - part.first + 1

    def _advance(self) -> None:
        """Take in the parts that are now there of every scenario, in order, until the rule is met."""
        while (
            self.complete < len(self.parts) and not self.looks.done and len(self.came.get(self.complete, ())) == len(self.unique)
        ):
            came, part = self.came.pop(self.complete), self.parts[self.complete]
            numbers = {key: self._numbers(key, part, came) for key in self.unique}
            reference = numbers[self.cells[self.asked.reference].key]
            gaps = [numbers[self.cells[name].key] - reference for name in self.others]
            self.looks.add(np.stack(gaps, axis=1) if gaps else np.zeros((len(reference), 0)), reference)
            self.complete += 1

    def _numbers(self, key: str, part: Part, came: Mapping[str, Floats | None]) -> Floats:
        found = came[key]
        return floats(self.store.read(key, [part], HEADLINES, [COLUMN])[COLUMN]) if found is None else found

    def _enough(self) -> bool:
        """True once the rule to stop by is met. Time is up only when the first replications of every scenario are on their way."""
        if self.looks.done:
            return True
        ahead = 0.0 if not self.timed else self.in_hand * self.busy / self.timed / self.workers
        return self.first_asked and self.rule.out_of_time(time.monotonic() - self.begun + ahead)

    def _left(self) -> float | None:
        """Seconds to the end, from what runs took so far: of as many replications as there will probably be."""
        if not self.timed:
            return None
        most = self.looks.forecast() if self.rule.precise else self.asked.replications
        left = max(most * len(self.unique) - self.done, 0) * self.busy / self.timed / self.workers
        if self.rule.budget is not None:
            left = min(left, max(self.rule.budget - (time.monotonic() - self.begun), 0.0))
        return left

    def _tell(self) -> None:
        if not self.progress:
            return
        look = self.looks.now()
        known = bool(self.others) and self.looks.replications > 0
        mean, half = (look.means[0], look.halves[0]) if known else (math.nan, math.nan)
        self.progress(
            Progress(
                self.done, self.asked.replications * len(self.unique), self.loaded, self._replications(),
                round(time.monotonic() - self.begun, 3), self._left(), self.others[0] if self.others else self.asked.reference,
                self.asked.reference, mean if math.isfinite(mean) else None, half if math.isfinite(half) else None,
                self.asked.stop is not None,
            )
        )  # fmt: skip

    # ---- playing

    def _play(self, missing: Mapping[str, set[Part]], cluster: str | None, chunk: int | None) -> Iterator[Task]:
        """Tasks as they are finished, their parts stored."""
        from simulator.executors import executor

        ready = self.prepared.ready({key for key, gaps in missing.items() if gaps}, self.asked.keep)
        brief = Brief(self.prepared.samplers, self.prepared.weights(), self.asked.design, self.asked.seed, self.engine)
        self._warm(brief, ready[0])
        with executor(start=Worker, context=brief, workers=self.asked_workers, cluster=cluster) as pool:
            self.workers = pool.workers
            tasks = self._handed(_tasks(ready, self.parts, missing, pool.workers, chunk))
            for task, answer in pool.map(play_task, tasks, describe=Task.says, stop=self._enough):
                self.in_hand -= task.runs
                for key, part, payload in answer.files:
                    self.store.write(self.unique[key], part, payload)
                    self._note(key, part, payload)
                self.timed += answer.runs
                self.busy += answer.seconds
                self.workers = pool.workers
                self._advance()
                self._tell()
                yield task

    def _warm(self, brief: Brief, ready: Ready) -> None:
        """Compile everything here if it never was: workers then load it, instead of each compiling it for itself."""
        from simulator import engines, jit

        if self.engine != "compiled" or jit.plain():
            return
        if not (engines.warm() and any(jit.folder().glob("**/*._reduce-*.nbc"))):
            if self.say:
                self.say("compiling the engine, which happens once")
            Worker(brief).try_out(ready)

    def _handed(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """The tasks as workers take them, counted."""
        for task in tasks:
            self.first_asked |= task.parts[0].first > 0
            self.in_hand += task.runs
            yield task
        self.first_asked = True


def _tasks(
    cells: Sequence[Ready], wanted: Sequence[Part], missing: Mapping[str, set[Part]], workers: int, chunk: int | None
) -> Iterator[Task]:
    """What is missing, cut into tasks: all scenarios of the first replications, then of the next ones."""
    wide = -(-(chunk or BLOCK) // BLOCK)
    windows = [wanted[i : i + wide] for i in range(0, len(wanted), wide)]

    def alike(window: Sequence[Part]) -> list[tuple[tuple[Part, ...], list[Ready]]]:
        """Scenarios that share their draws and miss the same parts of a window."""
        found: dict[tuple[int, tuple[Part, ...]], list[Ready]] = {}
        for cell in cells:
            if gaps := tuple(part for part in window if part in missing[cell.key]):
                found.setdefault((cell.sampler, gaps), []).append(cell)
        return [(gaps, group) for (_, gaps), group in found.items()]

    sizes = [len(group) for window in windows for _, group in alike(window)]

    def time(size: int) -> float:
        """What all takes if tasks have so many scenarios, in runs of a scenario."""
        tasks = sum(-(-each // size) for each in sizes)
        return max((sum(sizes) + tasks * DRAWING) / workers, min(size, max(sizes, default=1)) + DRAWING)

    size = min(range(1, GROUP + 1), key=time)
    for window in windows:
        for gaps, group in alike(window):
            for first in range(0, len(group), size):
                yield Task(tuple(group[first : first + size]), gaps)


DRAWING = 0.4
"""What it takes to draw a replication, as part of what it takes to play and reduce one: about 2 of 5 ms"""


def _check_varied(design: Design, sampler: Sampler) -> None:
    """What is to vary must be drawn. Raises InputProblems."""
    if design.vary:
        known = parameters(sampler.assumption_names)
        unknown = [name for name in design.vary if name not in known]
        problems = [
            Problem("sweep", 0, "assumptions.vary", f"{name!r} is not an uncertain input that is drawn{nearest(name, known)}")
            for name in unknown
        ]
        if problems:
            raise InputProblems(problems)
