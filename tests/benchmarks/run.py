"""Measure replications on one core against the yardstick, and print what was found. Nothing is asserted about time.

Times are processor time: what a core of one's own would take. Rounds go over replications and scenarios; each turn plays one
replication of one scenario with the engine and with the yardstick on the same draws, and who goes first alternates, so a busy
spell of the machine slows all of them. *Undisturbed* is the least time of a replication over the rounds; ratios compare those.
The cyclic collector is kept out of every timed part and timed by itself afterwards. Memory is watched in a process of its own,
which only plays the engine.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import multiprocessing
import os
import platform
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from time import perf_counter, process_time
from typing import Any

if __name__ == "__main__":  # as a file, not as a module: the checkout is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from simulator.compile import Compiled
from simulator.events import Log, Mark
from simulator.experiments import compile_all, rd_weights
from simulator.experiments import run as play
from simulator.metrics import measure
from simulator.model import Expansion
from simulator.scenario import load_scenario
from simulator.static import Draws
from simulator.world import load_world
from tests.benchmarks.measuring import MIB, timed
from tests.benchmarks.naive import Pipeline
from tests.benchmarks.speed import LONG, SECTIONS, Asked, Section, every_core

BUSY = 0.97
"""Share of a core below which the machine is said to have been busy with something else."""


MODEL = "model"
"""Name of the section on the SimPy model, for `--only`"""
ON_ONE_CORE = ("engines", "parts")
SWEEP, LONG_SWEEP = 800, 4_000
"""Replications of a timed sweep, and with `--full`"""
PARTS = ("draws", "simulation", "metrics", "collection")


@dataclass(frozen=True)
class Turn:
    """One replication of one scenario, once. Times in milliseconds of processor time."""

    replication: int
    draws: float
    projects: int
    phases: int
    simulation: float
    metrics: float
    collection: float
    """the cyclic collector afterwards, for what the engine leaves behind"""
    yardstick: float
    """the yardstick's simulation: to be compared with `simulation`"""
    rows: float
    """rows of the event log"""
    scheduled: float
    """events put on SimPy's calendar"""
    online: float
    """phases that came online"""
    yardstick_rows: float
    yardstick_scheduled: float
    yardstick_online: float

    @property
    def replication_ms(self) -> float:
        """All of one replication."""
        return self.draws + self.simulation + self.metrics + self.collection

    @property
    def us_a_row(self) -> float:
        """Microseconds of simulation for each row of the log."""
        return 1000 * self.simulation / self.rows

    @property
    def yardstick_us_a_row(self) -> float:
        """The same of the yardstick."""
        return 1000 * self.yardstick / self.yardstick_rows


@dataclass(frozen=True)
class Memory:
    """Resident memory, MiB, of a process that plays one scenario's replications one after the other."""

    loading: float
    """the most while inputs were read and the scenario compiled"""
    loaded: float
    """then, with nothing played yet"""
    first: float
    half: float
    last: float
    """after the first, the middle and the last replication"""
    peak: float
    """the most of all; loading's if playing never took more"""


def play_engine(compiled: Compiled, draws: Draws) -> dict[str, float]:
    """Simulate, measure, clean up."""

    def simulate() -> tuple[Expansion, Log]:
        engine = Expansion(compiled.static, draws)
        return engine, engine.run()

    simulation, (engine, log) = timed(simulate)
    metrics, _ = timed(lambda: measure(compiled.static, draws, log, rd_weights(compiled)))
    scheduled = next(engine.env._eid)  # SimPy numbers what is put on its calendar
    del engine
    collection, _ = timed(gc.collect)
    online = int((log["mark"] == Mark.ONLINE).sum())
    return {
        "simulation": simulation,
        "metrics": metrics,
        "collection": collection,
        "rows": len(log),
        "scheduled": scheduled,
        "online": online,
    }


def play_yardstick(compiled: Compiled, draws: Draws) -> dict[str, float]:
    """Simulate; there is nothing else to compare."""

    def simulate() -> tuple[Pipeline, list[dict[str, Any]]]:
        pipeline = Pipeline(compiled.static, draws)
        return pipeline, pipeline.run()

    simulation, (pipeline, rows) = timed(simulate)
    online = sum(row["mark"] is Mark.ONLINE for row in rows)
    return {
        "yardstick": simulation,
        "yardstick_rows": len(rows),
        "yardstick_scheduled": next(pipeline.env._eid),
        "yardstick_online": online,
    }


def play_once(compiled: Compiled, seed: int, replication: int, yardstick_first: bool) -> Turn:
    """Measure one replication of one scenario."""
    gc.collect()
    drawing, draws = timed(lambda: compiled.draw(seed, replication))
    players = [play_engine, play_yardstick]
    found: dict[str, float] = {}
    for player in reversed(players) if yardstick_first else players:
        gc.collect()
        found |= player(compiled, draws)
    return Turn(replication, drawing, len(draws.names), int(draws.phases.sum()), **found)


def measure_speed(compiled: Sequence[Compiled], seed: int, replications: int, rounds: int) -> dict[str, list[Turn]]:
    """Turns by scenario, after a first one that is not counted."""
    turns: dict[str, list[Turn]] = {one.scenario.name: [] for one in compiled}
    for one in compiled:
        play_once(one, seed, 0, False)
    gc.collect()
    gc.freeze()
    for turn in range(rounds):
        for replication in range(replications):
            for i in range(len(compiled)):
                one = compiled[(i + turn + replication) % len(compiled)]
                yardstick_first = bool((turn + replication) % 2)
                turns[one.scenario.name].append(play_once(one, seed, replication, yardstick_first))
    gc.unfreeze()
    return turns


def measure_memory(scenario: str, settings: Sequence[str], seed: int, replications: int) -> Memory:
    """Play replications as a worker of `compare` would, and look at this process's memory."""
    (compiled,) = compile_all([load_scenario(scenario, (), tuple(settings))], load_world())
    gc.collect()
    gc.freeze()
    loading, loaded, after = peak(), resident(), []
    for replication in range(replications):
        play(compiled, seed, replication)
        after.append(resident())
    return Memory(loading, loaded, after[0], after[len(after) // 2], after[-1], peak())


def resident() -> float:
    """MiB of memory this process has now, or where the system does not say so the most it has had."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB if pages.exists() else peak()


def peak() -> float:
    """MiB of the most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MIB


def pin() -> int | None:
    """Stay on one core, where the system allows to say so. Returns which."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def profile(compiled: Compiled, seed: int) -> str:
    """Where one replication's time goes, by function: the 25 that take most themselves."""
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    timed(lambda: profiler.runcall(play, compiled, seed, 0))
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(25)
    return f"Profile of {compiled.scenario.name}, replication 0 (slower under the profiler)\n{text.getvalue()}"


def usual(turns: Sequence[Turn], what: str) -> float:
    """Median of a quantity over all turns."""
    return median(float(getattr(turn, what)) for turn in turns)


def undisturbed(turns: Sequence[Turn], what: str) -> list[float]:
    """A quantity by replication: the least over its rounds, which other work on the machine disturbs least."""
    least: dict[int, float] = {}
    for turn in turns:
        value: float = getattr(turn, what)
        least[turn.replication] = min(least.get(turn.replication, value), value)
    return list(least.values())


def ratios(turns: Sequence[Turn]) -> list[float]:
    """By replication, how many times as long the yardstick's simulation takes."""
    return [slow / fast for slow, fast in zip(undisturbed(turns, "yardstick"), undisturbed(turns, "simulation"), strict=True)]


def tables(turns: dict[str, list[Turn]], memory: dict[str, Memory]) -> list[Table]:
    """What was measured, a row a scenario."""

    def table(title: str, *columns: str) -> Table:
        made = Table(
            title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
        )
        made.add_column("scenario", no_wrap=True)
        for column in columns:
            made.add_column(column, justify="right", no_wrap=True)
        return made

    def both(each: list[Turn], what: str) -> str:
        return f"{usual(each, what):.0f} ({median(undisturbed(each, what)):.0f})"

    speed = table("Replications per second on one core, and share of time", "per s", *PARTS)
    times = table("Milliseconds per replication: median (undisturbed)", "all", *PARTS)
    yardstick = table("Simulation against the yardstick on the same draws, ms", "engine", "yardstick", "yardstick / engine")
    work = table("Work of a replication (median)", "projects", "phases", "online", "log rows", "scheduled", "us a row")
    other = table("Work of the yardstick (median)", "online", "log rows", "scheduled", "us a row")
    held = table("Resident memory of the engine, MiB", "loading", "loaded", "after 1", "half", "all", "peak")
    for name, each in turns.items():
        every = fmean(turn.replication_ms for turn in each)
        shares = (f"{fmean(getattr(turn, part) for turn in each) / every:.0%}" for part in PARTS)
        speed.add_row(name, f"{1000 / every:.2f}", *shares)
        times.add_row(name, *(both(each, what) for what in ("replication_ms", *PARTS)))
        ratio = ratios(each)
        spread = f"{median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
        yardstick.add_row(name, both(each, "simulation"), both(each, "yardstick"), spread)
        for made, counts, per_row in (
            (work, ("projects", "phases", "online", "rows", "scheduled"), "us_a_row"),
            (other, ("yardstick_online", "yardstick_rows", "yardstick_scheduled"), "yardstick_us_a_row"),
        ):
            made.add_row(name, *(f"{usual(each, count):,.0f}" for count in counts), f"{usual(each, per_row):.2f}")
        held.add_row(name, *(f"{value:.0f}" for value in asdict(memory[name]).values()))
    return [speed, times, yardstick, work, other, held]


def as_json(turns: dict[str, list[Turn]], memory: dict[str, Memory]) -> dict[str, Any]:
    """The same for programs, with every turn."""
    quantities = ("replication_ms", *PARTS, "yardstick")
    return {
        name: {
            "per_second": 1000 / fmean(turn.replication_ms for turn in each),
            "median_ms": {what: usual(each, what) for what in quantities},
            "undisturbed_ms": {what: median(undisturbed(each, what)) for what in quantities},
            "yardstick_over_engine": ratios(each),
            "memory_mib": asdict(memory[name]),
            "turns": [asdict(turn) for turn in each],
        }
        for name, each in turns.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--replications", type=int, default=10, help="different replications (10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is played; memory is watched over all (3)")
    parser.add_argument("--scenarios", nargs="+", default=["history", "diffusion-framework"], metavar="SCENARIO")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field, as in `groundbreak run`"
    )
    parser.add_argument("--profile", action="store_true", help="also profile one replication of the first scenario")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every round instead of tables")
    parser.add_argument("--only", nargs="+", choices=[MODEL, *SECTIONS], help="only these sections")
    parser.add_argument("--full", action="store_true", help=f"also {' and '.join(LONG)}, and longer sweeps: some minutes")
    parser.add_argument("--sweep-replications", type=int, help=f"of each timed sweep ({SWEEP}; {LONG_SWEEP} with --full)")
    parser.add_argument(
        "--memory-replications", type=int, default=2_000, help="of the smaller sweep whose memory is watched (2000)"
    )
    options = parser.parse_args(arguments)
    if min(options.replications, options.rounds, options.memory_replications, options.sweep_replications or 1) < 1:
        parser.error("--replications, --rounds, --sweep-replications and --memory-replications must be at least 1")

    chosen = options.only or [MODEL, *(name for name in SECTIONS if options.full or name not in LONG)]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": load,
    }
    turns: dict[str, list[Turn]] = {}
    memory: dict[str, Memory] = {}
    profiled = ""
    unpinned = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    machine["pinned_to"] = pin()
    if MODEL in chosen:
        wall, cpu = perf_counter(), process_time()
        compiled = compile_all([load_scenario(name, (), tuple(options.set)) for name in options.scenarios], load_world())
        turns = measure_speed(compiled, options.seed, options.replications, options.rounds)
        machine["share_of_core"] = round((process_time() - cpu) / (perf_counter() - wall), 3)
        for one, scenario in zip(compiled, options.scenarios, strict=True):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
                played = options.replications * options.rounds
                task = fresh.submit(measure_memory, scenario, options.set, options.seed, played)
                memory[one.scenario.name] = task.result()
        profiled = profile(compiled[0], options.seed) if options.profile else ""
    swept = options.sweep_replications or (LONG_SWEEP if options.full else SWEEP)
    asked = Asked(
        options.scenarios[0], tuple(options.set), options.seed, options.replications, swept,
        options.memory_replications,
    )  # fmt: skip
    sections: dict[str, Section] = {}
    for name, measure_section in SECTIONS.items():
        if name in chosen:
            with every_core(unpinned if name not in ON_ONE_CORE else None):
                sections[name] = measure_section(asked)
    if unpinned is not None:
        os.sched_setaffinity(0, unpinned)
    machine["load_after"] = os.getloadavg()[0] if load is not None else None

    if options.json:
        settled = {"seed": options.seed, "replications": options.replications, "rounds": options.rounds}
        told = {
            name: {"title": each.title, "how": each.how, "lines": [line.record() for line in each.lines]}
            for name, each in sections.items()
        }
        print(json.dumps({**settled, "machine": machine, "scenarios": as_json(turns, memory), "sections": told}, indent=1))
        print(profiled, end="", file=sys.stderr)
        return
    console = Console(highlight=False)
    console.print(f"{options.replications} replications, {options.rounds} rounds, seed {options.seed}")
    console.print(", ".join(f"{what.replace('_', ' ')} {value}" for what, value in machine.items()))
    if machine.get("share_of_core", 1) < BUSY:
        console.print(
            "Others used this core meanwhile: trust the ratios and the undisturbed times, and run it again on a quiet machine."
        )
    if turns:
        console.print(*tables(turns, memory), sep="\n")
    for section in sections.values():
        console.print(as_table(section), section.how, "", sep="\n")
    print(profiled, end="")


def as_table(section: Section) -> Table:
    """What a section found, a row for each thing measured."""
    made = Table(title=section.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("", no_wrap=True)
    for column in ("measured", "target", ""):
        made.add_column(column, justify="right", no_wrap=True)
    for line in section.lines:
        made.add_row(line.what, *line.cells())
    return made


if __name__ == "__main__":
    main()
