"""How far the promises of speed are kept: each section measures some of them and says so, 'met' or 'not met', as found.

Engines are interleaved: each replication is played by all of them on the same draws, one after the other, in turning order. Times
of parts are processor time of this process; those of whole sweeps, processes and comparisons are by the clock, because
that is what somebody waits for: on a machine that does other work they come out longer than they are.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Literal

from simulator import engines, headline, kernel
from simulator.compile import Compiled
from simulator.events import LOG
from simulator.experiments import compile_all, rd_weights
from simulator.model import Expansion
from simulator.packing import given
from simulator.playing import _Kept
from simulator.scenario import load_scenario
from simulator.static import Draws
from simulator.sweeps import Progress, sweep
from simulator.world import World, load_world
from tests.benchmarks.measuring import MIB, timed
from tests.benchmarks.naive import Pipeline

ROOT = Path(__file__).parents[2]
MILLION = 1_000_000
PAIR = "history", "diffusion-framework"
PAIRED = 200
"""Replications of the comparison that is to take a second"""
HEAP_TURNS = 200_000
"""Pops and pushes that are timed together"""
AGENDA_EVERY = 50
"""Steps of the model between two looks at its agenda"""
FAR = 400_000
"""Ticks within which what is put on the heap comes due: it lands anywhere among the rest"""
SHORT = "end=2025-06-30"
"""A horizon near enough that memory, not time, is what a long sweep takes"""


@dataclass(frozen=True)
class Line:
    """One thing measured, and what it should be."""

    what: str
    value: float
    unit: str
    bound: float | None = None
    least: bool = False
    """whether the bound is the least it should be, not the most"""

    @property
    def met(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value >= self.bound if self.least else self.value <= self.bound

    def cells(self) -> tuple[str, str, str]:
        """As printed: measured, target, verdict."""
        if self.bound is None:
            return f"{_figure(self.value)} {self.unit}", "", ""
        target = f"{'>=' if self.least else '<='} {_figure(self.bound)} {self.unit}"
        return f"{_figure(self.value)} {self.unit}", target, "met" if self.met else "not met"

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "what": self.what, "value": self.value, "unit": self.unit, "target": self.bound,
            "at_least": self.least, "met": self.met,
        }  # fmt: skip


@dataclass(frozen=True)
class Section:
    """What belongs together, and how it was measured."""

    title: str
    how: str
    lines: list[Line]


@dataclass(frozen=True)
class Asked:
    """How much is to be measured."""

    scenario: str
    settings: tuple[str, ...]
    seed: int
    replications: int
    """of the engines and of the shares"""
    swept: int
    """of a sweep by one worker, and by two"""
    remembered: int
    """of the smaller sweep whose memory is watched; the larger has ten times as many"""


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _prepare(asked: Asked) -> Compiled:
    (compiled,) = compile_all([load_scenario(asked.scenario, (), asked.settings)], load_world())
    engines.make_ready()
    return compiled


# ---------------------------------------------------------------------- the engines


def agenda(compiled: Compiled, draws: Draws) -> int:
    """How many alarms usually wait in the model: the median over its steps."""
    engine = Expansion(compiled.static, draws)
    env, lengths, steps = engine.env, [], 0
    step = env.step

    def watched() -> None:
        nonlocal steps
        if steps % AGENDA_EVERY == 0:
            lengths.append(len(env._queue))
        steps += 1
        step()

    env.step = watched
    engine.run()
    return max(int(median(lengths)), 1)


def heap_price(length: int) -> Callable[[], float]:
    """A way to time one pop and push, ns, on a heap of so many pairs of tick and key: compiled, as a loop that does nothing else."""
    import heapq

    import numba
    import numpy as np

    @numba.njit  # type: ignore[untyped-decorator]
    def turn(gaps: Any, length: int) -> int:
        heap = [(int(gaps[i]), i) for i in range(length)]
        heapq.heapify(heap)
        for gap in gaps:
            tick, key = heapq.heappop(heap)
            heapq.heappush(heap, (tick + gap, key))
        return heap[0][0]

    gaps = np.random.default_rng(1).integers(0, FAR, max(HEAP_TURNS, length))
    turn(gaps, length)

    def price() -> float:
        milliseconds, _ = timed(lambda: turn(gaps, length))
        return milliseconds * 1e6 / len(gaps)

    return price


def measure_engines(asked: Asked) -> Section:
    """Compiled engine, SimPy model and yardstick on the same draws, and the price of the heap in between."""
    compiled = _prepare(asked)
    static = compiled.static
    draws = compiled.draw(asked.seed, 0)
    waiting = agenda(compiled, draws)
    price = heap_price(waiting)
    engines.play(static, draws)
    names = ("compiled", "kernel", "simpy", "naive", "heap", "alarms", "rows", "scheduled")
    found: dict[str, list[float]] = {name: [] for name in names}
    for replication in range(asked.replications):
        draws = compiled.draw(asked.seed, replication)

        def play_compiled(draws: Draws = draws) -> None:
            # packing belongs to it, as the reading of the inputs does to the others
            took, (log, alarms) = timed(lambda: kernel.play(given(static, draws)))
            packed = given(static, draws)
            bare, _ = timed(lambda: kernel.play(packed))
            found["compiled"].append(took)
            found["heap"].append(price())
            found["alarms"].append(alarms)
            found["rows"].append(len(log))
            found["kernel"].append(bare)

        def play_simpy(draws: Draws = draws) -> None:
            def simulate() -> Expansion:
                engine = Expansion(static, draws)
                engine.run()
                return engine

            took, engine = timed(simulate)
            found["simpy"].append(took)
            found["scheduled"].append(next(engine.env._eid))

        def play_naive(draws: Draws = draws) -> None:
            took, _ = timed(lambda: Pipeline(static, draws).run())
            found["naive"].append(took)

        players = [play_compiled, play_simpy, play_naive]
        first = replication % len(players)
        for player in players[first:] + players[:first]:
            gc.collect()
            player()
    middle = {name: median(values) for name, values in found.items()}
    over = {name: median(a / b for a, b in zip(found[name], found["compiled"], strict=True)) for name in ("simpy", "naive")}
    nanoseconds = [1e6 * took / alarms for took, alarms in zip(found["kernel"], found["alarms"], strict=True)]
    heaps = median(one / heap for one, heap in zip(nanoseconds, found["heap"], strict=True))
    lines = [
        Line("compiled engine with packing", middle["compiled"], "ms"),
        Line("SimPy model", middle["simpy"], "ms"),
        Line("naive yardstick", middle["naive"], "ms"),
        Line("SimPy model / compiled", over["simpy"], "times", 30, least=True),
        Line("naive yardstick / compiled", over["naive"], "times", 80, least=True),
        Line("alarms of a replication (compiled)", middle["alarms"], "alarms"),
        Line("events SimPy puts on its calendar", middle["scheduled"], "events"),
        Line("log rows of a replication", middle["rows"], "rows"),
        Line("alarms that usually wait", waiting, "alarms"),
        Line("kernel per alarm", median(nanoseconds), "ns"),
        Line("kernel per log row", 1e6 * middle["kernel"] / middle["rows"], "ns"),
        Line("kernel per event SimPy schedules", 1e6 * middle["kernel"] / middle["scheduled"], "ns"),
        Line("heap pop and push", middle["heap"], "ns"),
        Line("kernel per alarm / heap pop and push", heaps, "times", 2.5),
    ]
    absent = [name for name in ("ciw", "salabim") if importlib.util.find_spec(name) is None]
    beside = f" Not installed, so not compared: {' and '.join(absent)}." if absent else ""
    how = f"{asked.scenario}, medians over {asked.replications} replications, interleaved, processor time, one core.{beside}"
    return Section("Engines", how, lines)


# ---------------------------------------------------------------------- parts of a replication


def measure_parts(asked: Asked) -> Section:
    """What the parts of one replication of a sweep take."""
    compiled = _prepare(asked)
    static = compiled.static
    reducer = headline.Reducer(static, rd_weights(compiled))
    parts = ("draws", "packing", "kernel", "reduction")
    found: dict[str, list[float]] = {name: [] for name in parts}
    kept = _Kept(static, "increments")

    def one(replication: int) -> tuple[list[float], headline.Reduced]:
        drawing, draws = timed(lambda: compiled.draw(asked.seed, replication))
        packing, packed = timed(lambda: given(static, draws))
        playing, (log, _) = timed(lambda: kernel.play(packed))
        reduction, reduced = timed(lambda: reducer.reduce(draws, log.view(LOG)))
        return [drawing, packing, playing, reduction], reduced

    one(0)  # the first is not counted
    for replication in range(asked.replications):
        times, reduced = one(replication)
        for name, took in zip(parts, times, strict=True):
            found[name].append(took)
        kept.add(replication, reduced)
    kept.files()
    encoding, _ = timed(kept.files)
    middle = {name: median(values) for name, values in found.items()} | {"encoding": encoding / asked.replications}
    whole = sum(middle.values())
    lines = [Line(name, took, "ms") for name, took in middle.items()]
    lines += [Line(f"share of {name}", 100 * took / whole, "%") for name, took in middle.items()]
    lines += [
        Line("share of draws and reduction", 100 * (middle["draws"] + middle["reduction"]) / whole, "%", 45),
        Line("one replication", whole, "ms"),
    ]
    how = f"{asked.scenario}, medians over {asked.replications} replications, processor time; encoding of all as one part, by replication."
    return Section("Parts of a replication", how, lines)


# ---------------------------------------------------------------------- sweeps


def _swept(names: Sequence[str], asked: Asked, replications: int, workers: int, world: World) -> tuple[float, float | None]:
    """Seconds of a sweep by the clock, into an empty store; and runs per second while it runs (None: too few reports)."""
    seen: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        if not seen or progress.done > seen[-1][1]:
            seen.append((perf_counter(), progress.done))

    scenarios = [load_scenario(name, (), asked.settings) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        begun = perf_counter()
        sweep(
            scenarios, replications=replications, seed=asked.seed, workers=workers, store=folder, world=world,
            progress=note, say=lambda _: None,
        )  # fmt: skip
        took = perf_counter() - begun
    # Workers report together: counted from the report by which each has had its first.
    if len(seen) > workers:
        (since, before), (until, after) = seen[workers - 1], seen[-1]
        return took, (after - before) / (until - since)
    return took, None


def measure_sweeps(asked: Asked) -> Section:
    """Replications per second of a sweep, by one worker and by two."""
    world = load_world()
    engines.make_ready()
    _swept([asked.scenario], asked, 1, 1, world)
    rounds = [[_swept([asked.scenario], asked, asked.swept, workers, world) for workers in (1, 2)] for _ in range(2)]
    whole = {workers: median(asked.swept / each[workers - 1][0] for each in rounds) for workers in (1, 2)}
    lines = [
        Line("one worker (this process), all in", whole[1], "per s"),
        Line("two workers, all in", whole[2], "per s"),
        Line("two workers / one, all in", whole[2] / whole[1], "times"),
    ]
    running = {workers: [rate for each in rounds if (rate := each[workers - 1][1]) is not None] for workers in (1, 2)}
    if all(running.values()):
        one, two = (median(rates) for rates in running.values())
        lines += [
            Line("one worker, while it runs", one, "per s"),
            Line("two workers, while they run", two, "per s", 1000, least=True),
            Line("two workers / one, while they run", two / one, "times", 1.8, least=True),
            Line("projected 1,000,000 replications, two workers", MILLION / two / 60, "min", 30),
        ]
    how = (
        f"{asked.scenario}, {asked.swept} replications into an empty store, twice in turn, by the clock. All in: with the compiling "
        "of the scenario and the start of workers; while it runs: from each worker's first report to the last, if there are enough."
    )
    return Section("Sweeps", how, lines)


def measure_pair(asked: Asked) -> Section:
    """A paired comparison of two scenarios by a process that has compiled everything already."""
    world = load_world()
    engines.make_ready()
    count = min(PAIRED, asked.swept)
    _swept(PAIR, asked, 1, 1, world)
    found = []
    for _ in range(3):
        begun = process_time()
        took, _ = _swept(PAIR, asked, count, 1, world)
        found.append((took, process_time() - begun))
    took, busy = (median(each) for each in zip(*found, strict=True))
    lines = [
        Line(f"{count} replications, in this process", took, "s", 1 if count == PAIRED else None),
        Line("processor time of that", busy, "s"),
    ]
    how = f"{' and '.join(PAIR)}, median of 3 sweeps into empty stores by one process that is warm, by the clock."
    return Section("Paired comparison", how, lines)


# ---------------------------------------------------------------------- processes


def _child(code: str, *arguments: str, **environment: str) -> tuple[float, str]:
    """Seconds by the clock of a fresh Python that runs some code, and what it printed."""
    begun = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    took = perf_counter() - begun
    if done.returncode:
        raise RuntimeError(done.stderr)
    return took, done.stdout


FIRST = """
import sys
from simulator import engines
from simulator.experiments import compile_all
from simulator.scenario import load_scenario
from simulator.world import World, load_world
(one,) = compile_all([load_scenario(sys.argv[1], (), tuple(sys.argv[2:]))], load_world())
engines.make_ready()
engines.play(one.static, one.draw(1, 0))
"""
COMPILE = "from simulator import engines; engines.make_ready()"
MEMORY = """
import sys, resource, tempfile
from simulator.scenario import load_scenario
from simulator.sweeps import sweep
name, replications, settings = sys.argv[1], int(sys.argv[2]), tuple(sys.argv[3:])
with tempfile.TemporaryDirectory() as folder:
    sweep([load_scenario(name, (), settings)], replications=replications, workers=1, store=folder, say=lambda _: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure_help(asked: Asked) -> Section:
    """What `--help` takes."""
    code = "import sys; from simulator.cli import main; sys.argv = ['groundbreak', '--help']; main()"
    _child(code)
    took = median(_child(code)[0] for _ in range(5))
    return Section("Help", "median of 5 fresh processes, by the clock", [Line("groundbreak --help", took, "s", 0.3)])


def measure_start(asked: Asked) -> Section:
    """From nothing to the first replication played by the compiled engine, with it cached and without."""
    engines.make_ready()
    _child(FIRST, asked.scenario, *asked.settings)
    took = median(_child(FIRST, asked.scenario, *asked.settings)[0] for _ in range(3))
    with tempfile.TemporaryDirectory() as empty:
        compiling, _ = _child(COMPILE, GROUNDBREAK_CACHE=empty)
    lines = [
        Line("cached start to the first compiled replication", took, "s", 2),
        Line("compiling the engine, nothing cached", compiling, "s"),
    ]
    return Section("Start", f"{asked.scenario}, fresh processes, by the clock; start is the median of 3", lines)


def measure_sweep_memory(asked: Asked) -> Section:
    """The most memory of a process that sweeps, and of one that sweeps ten times as much."""
    engines.make_ready()
    settings = (*asked.settings, SHORT)
    unit = 1 if sys.platform == "darwin" else 1024
    most = []
    for replications in (asked.remembered, 10 * asked.remembered):
        _, said = _child(MEMORY, asked.scenario, str(replications), *settings)
        most.append(int(said.split()[-1]) * unit / MIB)
    lines = [
        Line(f"{asked.remembered:,} replications", most[0], "MiB"),
        Line(f"{10 * asked.remembered:,} replications", most[1], "MiB"),
        Line("ten times as many / fewer", most[1] / most[0], "times", 1.1),
    ]
    how = f"{asked.scenario} with {SHORT}, one worker in a process of its own, the most resident memory. Promised for 200,000 and 20,000."
    return Section("Memory of a sweep", how, lines)


Name = Literal["engines", "parts", "sweeps", "pair", "help", "start", "memory"]
SECTIONS: dict[Name, Callable[[Asked], Section]] = {
    "engines": measure_engines,
    "parts": measure_parts,
    "sweeps": measure_sweeps,
    "pair": measure_pair,
    "help": measure_help,
    "start": measure_start,
    "memory": measure_sweep_memory,
}
LONG: tuple[Name, ...] = ("start", "memory")
"""Sections that take minutes: only with `--full`, or if asked for by name"""


@contextmanager
def every_core(cores: set[int] | None) -> Iterator[None]:
    """While this holds, a process pinned to one core may use these again (None: stays pinned); workers inherit that."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
