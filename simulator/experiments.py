"""Many runs: scenarios x replications, paired, on one or several processes, with the same result for any number of them."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from simulator import engines
from simulator.compile import Compiled, compile_scenario, sampler_key, scenario_sampler
from simulator.engines import Engine
from simulator.events import Log
from simulator.executors import Interrupts
from simulator.metrics import Measures, measure
from simulator.static import Draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.sampling import Sampler
    from simulator.scenario import Scenario
    from simulator.world import World

KEPT_LOGS = 2
"""Replications of which the whole event log and the project table are kept: 0 and 1."""
CHUNK = 2
"""Replications handed to a worker at a time: long enough to hide the hand-over, short enough to show progress."""


@dataclass(frozen=True)
class Run:
    """One replication of one scenario: its draws, its event log, its measures."""

    compiled: Compiled
    seed: int
    replication: int
    draws: Draws
    log: Log
    measures: Measures


@dataclass
class Comparison:
    """Scenarios measured over the same replications. `finished` lists them; arrays of `Measures` are stacked along it."""

    scenarios: tuple[Scenario, ...] = field(repr=False)
    compiled: tuple[Compiled, ...] = field(repr=False)
    reference: str
    seed: int
    asked: int
    finished: tuple[int, ...]
    interrupted: bool
    failed: str
    """The replication that could not be played, and why; empty if none"""
    world: World = field(repr=False)
    runs: dict[str, dict[int, tuple[Draws, Log]]] = field(repr=False)
    """per scenario the first replications in full"""
    # Per scenario the arrays of `Measures`, stacked: (N, metrics, ...).
    monthly: dict[str, NDArray[np.float64]] = field(repr=False)
    yearly: dict[str, NDArray[np.float64]] = field(repr=False)
    by_country: dict[str, NDArray[np.float64]] = field(repr=False)
    by_market: dict[str, NDArray[np.float64]] = field(repr=False)
    scalars: dict[str, NDArray[np.float64]] = field(repr=False)
    by_company: dict[str, NDArray[np.float64]] = field(repr=False)
    provisions: dict[str, NDArray[np.float64]] = field(repr=False)
    unmet_shares: dict[str, NDArray[np.float64]] = field(repr=False)

    @property
    def replications(self) -> int:
        """Replications finished for every scenario."""
        return len(self.finished)

    def names(self) -> list[str]:
        """Scenario names, in the order asked."""
        return [scenario.name for scenario in self.scenarios]


def compile_all(scenarios: Sequence[Scenario], world: World) -> tuple[Compiled, ...]:
    """Compile scenarios; those with the same inputs and horizon share one sampler, so their draws are made once."""
    samplers: dict[tuple[object, ...], Sampler] = {}
    compiled = []
    for scenario in scenarios:
        key = sampler_key(scenario, world)
        if key not in samplers:
            samplers[key] = scenario_sampler(scenario, world)
        compiled.append(compile_scenario(scenario, world, samplers[key]))
    return tuple(compiled)


def rd_weights(compiled: Compiled) -> NDArray[np.float64]:
    """(C,) weight of each country's research and development, summing to one."""
    world = compiled.sampler.world
    weight = np.array([world.number("countries", "rd_weight", country) for country in compiled.static.countries])
    return weight / weight.sum()


def run(compiled: Compiled, seed: int = 1, replication: int = 0, engine: Engine = "simpy") -> Run:
    """Play and measure one replication."""
    draws = compiled.draw(seed, replication)
    log = engines.play(compiled.static, draws, engine)
    return Run(compiled, seed, replication, draws, log, measure(compiled.static, draws, log, rd_weights(compiled)))


WORTH_COMPILING = 150
"""Runs from which the compiled engine is compiled first if it is not there yet: as long as the model takes for about so many."""


def chosen(engine: Engine | None, runs: int) -> Engine:
    """The engine asked for; if none is, the compiled one where it is ready or worth its compilation. Results do not depend on it."""
    return engine or ("compiled" if runs >= WORTH_COMPILING or engines.warm() else "simpy")


class ReplicationFailed(RuntimeError):
    """A replication that could not be played: which one, and what went wrong. Says how to see it again."""

    def __init__(self, scenario: str, seed: int, replication: int, cause: str):
        super().__init__(scenario, seed, replication, cause)
        self.scenario, self.seed, self.replication, self.cause = scenario, seed, replication, cause

    def __str__(self) -> str:
        again = f"groundbreak run {self.scenario} --seed {self.seed} --replication {self.replication}"
        return f"replication {self.replication} of {self.scenario}, seed {self.seed}: {self.cause}; to see it again: {again}"


Outcome = tuple[int, list[tuple[Measures, "tuple[Draws, Log] | None"]]]


def _replicate(compiled: Sequence[Compiled], seed: int, replication: int, engine: Engine) -> Outcome:
    """One replication of every scenario; draws are shared where the sampler and the switches are."""
    results = []
    drawn: dict[tuple[int, bool, bool, bool], Draws] = {}
    for one in compiled:
        on = one.scenario.mechanisms
        key = id(one.sampler), on.assumptions, on.luck, on.rationing
        try:
            if key not in drawn:
                drawn[key] = one.draw(seed, replication)
            log = engines.play(one.static, drawn[key], engine)
            measures = measure(one.static, drawn[key], log, rd_weights(one))
        except (ArithmeticError, LookupError, ValueError, TypeError, MemoryError) as error:
            raise ReplicationFailed(one.scenario.name, seed, replication, f"{type(error).__name__}: {error}") from error
        results.append((measures, (drawn[key], log) if replication < KEPT_LOGS else None))
    return replication, results


_COMPILED: tuple[Compiled, ...] = ()


def _start_worker(pickled: bytes) -> None:
    import signal

    global _COMPILED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    _COMPILED = pickle.loads(pickled)  # made by the parent process, never read from a file
    gc.collect()
    gc.freeze()


def _work(seed: int, replications: list[int], engine: Engine) -> list[Outcome]:
    return [_replicate(_COMPILED, seed, replication, engine) for replication in replications]


def replicate(
    compiled: tuple[Compiled, ...],
    seed: int,
    replications: int,
    workers: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    engine: Engine | None = None,
) -> Iterator[Outcome]:
    """Outcomes of replications 0..N-1 as they finish, in any order. Stops early when `stop()` turns true.

    `workers` None uses every core; 1 stays in this process. `engine` None: see `chosen`. The outcome of a replication depends on
    neither.
    """
    engine = chosen(engine, replications * len(compiled))
    if engine == "compiled":
        engines.make_ready()  # here, so that workers find it
    workers = min(workers or os.cpu_count() or 1, replications)
    if workers <= 1:
        for replication in range(replications):
            if stop():
                return
            yield _replicate(compiled, seed, replication, engine)
        return
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    chunks = [list(range(i, min(i + CHUNK, replications))) for i in range(0, replications, CHUNK)]
    interrupts = Interrupts()
    try:
        with ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start_worker, initargs=(pickle.dumps(compiled),)
        ) as pool:
            waiting: set[Future[list[Outcome]]] = set()
            try:
                while (chunks or waiting) and not stop():
                    while chunks and len(waiting) < 2 * workers:
                        with interrupts.deaf():
                            waiting.add(pool.submit(_work, seed, chunks.pop(0), engine))
                    done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield from future.result()
                    interrupts.check()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        interrupts.restore()


def compare(
    scenarios: Sequence[Scenario | str],
    world: World | None = None,
    *,
    reference: str | None = None,
    replications: int = 100,
    seed: int = 1,
    workers: int | None = 1,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run scenarios (or their names) over the same replications. The first is the reference unless named; Ctrl-C keeps what is
    finished, and so does a replication that fails (`Comparison.failed` then says which).

    `workers` None uses every core; a script that asks for more than one process must guard its entry point with
    `if __name__ == "__main__":`. `engine` "simpy" or "compiled"; None takes the compiled one where it is ready or worth its
    compilation. The result depends on neither.

    Replication r means the same luck and the same assumptions in every scenario, so differences are paired. Raises
    ValueError for scenarios that share a name or differ in horizon, and if nothing was finished before an interrupt
    KeyboardInterrupt.
    """
    from simulator.scenario import load_scenario
    from simulator.world import load_world

    if not scenarios:
        raise ValueError("name at least one scenario")
    if not isinstance(replications, int) or replications < 1:
        raise ValueError(f"replications must be a whole number of at least 1, not {replications!r}")
    world = world or load_world()
    loaded = [load_scenario(each) if isinstance(each, str) else each for each in scenarios]
    names = [scenario.name for scenario in loaded]
    if len(set(names)) < len(names):
        raise ValueError(f"scenarios share a name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    if len({(scenario.start, scenario.end) for scenario in loaded}) > 1:
        spans = ", ".join(f"{s.name} {s.start} to {s.end}" for s in loaded)
        raise ValueError(f"scenarios must share start and end to be compared: {spans}")
    reference = reference or names[0]
    if reference not in names:
        raise ValueError(f"the reference {reference!r} is not among the scenarios: {', '.join(names)}")

    compiled = compile_all(loaded, world)
    engine = chosen(engine, replications * len(compiled))
    if engine == "compiled":
        engines.make_ready()  # before anything is counted
    collected: dict[int, list[tuple[Measures, tuple[Draws, Log] | None]]] = {}
    interrupted, failed = False, ""
    outcomes = replicate(compiled, seed, replications, workers, engine=engine)
    try:
        if progress:
            progress(0, replications)
        for replication, results in outcomes:
            collected[replication] = results
            if progress:
                progress(len(collected), replications)
    except KeyboardInterrupt:
        if not collected:
            raise
        interrupted = True
    except ReplicationFailed as error:
        if not collected:
            raise
        failed = str(error)
    finally:
        outcomes.close()  # type: ignore[attr-defined]

    done = tuple(sorted(collected))
    measured = {name: [collected[r][i][0] for r in done] for i, name in enumerate(names)}
    kept = {name: {r: full for r in done if (full := collected[r][i][1]) is not None} for i, name in enumerate(names)}
    return Comparison(
        tuple(loaded), compiled, reference, seed, replications, done, interrupted, failed, world, kept,
        **{
            one.name: {name: np.stack([getattr(m, one.name) for m in rows]) for name, rows in measured.items()}
            for one in fields(Measures)
        },
    )  # fmt: skip
