"""Sweeps: the same bytes for any workers and chunks, nothing played twice, interrupted ones go on, tables that agree with `compare`."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator import headline, preparing, sweeps
from simulator.cells import BLOCK, HEADLINES, INCREMENTS, LOGS, QUANTILES, Part
from simulator.design import Design, quantiles, units, variance_split
from simulator.engines import play
from simulator.experiments import Comparison, ReplicationFailed, compare, compile_all, rd_weights
from simulator.experiments import run as run_one
from simulator.playing import MONTHLY, Ready, Task
from simulator.precision import Moments
from simulator.problems import InputProblems
from simulator.recompute import recomputing
from simulator.scenario import Scenario, load_scenario
from simulator.statistics import differences as paired
from simulator.statistics import rows as measured
from simulator.store import Store, open_store
from simulator.sweepfile import Sweep, load_sweep, sweep_from_text
from simulator.sweepresult import COLUMN, HEADLINE, SweepResult, stored
from simulator.sweeps import Progress, asked_for, sweep
from simulator.world import World, load_world

ROOT = Path(__file__).resolve().parents[1]
END = "end=2025-06-30"
NAMES = ("history", "no-controls", "diffusion-framework")
N = 130
"""Replications of most sweeps here: a whole block and one that is begun"""
HEAD = "name: test\ntitle: A test\n"


def short(*names: str, sets: tuple[str, ...] = ()) -> list[Scenario]:
    return [load_scenario(name, sets=(END, *sets)) for name in names]


def asked(text: str) -> Sweep:
    """A sweep of short scenarios."""
    return sweep_from_text(HEAD + text, sets=[END])


def contents(store: Store) -> dict[str, str]:
    """Digest of every file that counts: not when and how fast, nor who held a lock."""
    files = (path for path in store.root.rglob("*") if path.is_file())
    kept = {path.relative_to(store.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {
        name: digest
        for name, digest in kept.items()
        if name.startswith(("cells/", "runs/")) and not name.endswith("timing.jsonl")
    }


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, world: World) -> SweepResult:
    """Three short scenarios, 130 replications, in this process."""
    return sweep(short(*NAMES), replications=N, workers=1, store=tmp_path_factory.mktemp("base"), world=world)


@pytest.fixture(scope="module")
def comparison(world: World) -> Comparison:
    """The same, as `compare` plays and measures it: fewer replications, since it takes longer."""
    return compare(short(*NAMES), world, replications=20, workers=1)


@pytest.fixture
def mine(base: SweepResult, tmp_path: Path) -> Store:
    """A copy of the store of `base`, to be damaged."""
    shutil.copytree(base.store.root, tmp_path / "store", ignore=shutil.ignore_patterns("locks", "tmp"))
    return open_store(tmp_path / "store")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks that are worked in this process."""
    tasks: list[Task] = []
    plays = sweeps.play_task

    def noted(worker: Any, task: Task) -> Any:
        tasks.append(task)
        return plays(worker, task)

    monkeypatch.setattr(sweeps, "play_task", noted)
    return tasks


def runs(tasks: list[Task]) -> list[tuple[str, int, int]]:
    return sorted((cell.name, part.first, part.last) for task in tasks for cell in task.cells for part in task.parts)


# ---- the same bytes


@pytest.mark.parametrize(("workers", "chunk", "order"), [(2, None, 1), (1, 250, 1), (2, 100, -1)])
def test_the_same_bytes_for_any_workers_and_chunks(
    base: SweepResult, tmp_path: Path, world: World, workers: int, chunk: int | None, order: int
) -> None:
    """Named in another order it is another run, over the same cells."""
    found = sweep(
        short(*NAMES)[::order], reference="history", replications=N, workers=workers, chunk=chunk, store=tmp_path, world=world
    )
    assert (found.id == base.id) == (order == 1)
    mine, theirs = contents(found.store), contents(base.store)
    if order == 1:
        assert mine == theirs
    cells = {name for name in theirs if name.startswith("cells/")}
    assert len(cells) == 3 * (1 + 2 + 2 * 2 + 1) and {name: mine.get(name) for name in cells} == {
        name: theirs[name] for name in cells
    }


def test_both_engines_give_the_same_bytes(base: SweepResult, tmp_path: Path, world: World) -> None:
    found = sweep(short(*NAMES), replications=3, workers=1, store=tmp_path, world=world, engine="simpy")
    other = sweep(short(*NAMES), replications=3, workers=1, store=tmp_path / "2", world=world)
    assert found.id == other.id and contents(found.store) == contents(other.store)


def test_what_is_stored_is_what_a_plain_loop_reduces_to(base: SweepResult, world: World) -> None:
    compiled = compile_all(short(*NAMES), world)
    for one in compiled:
        reducer = headline.Reducer(one.static, rd_weights(one))
        numbers = base.headlines(one.scenario.name)
        increments = base.store.read(base.run.cell(one.scenario.name), base.run.parts, INCREMENTS).to_pandas()
        for replication in (0, 99, 100, 129):
            draws = one.draw(1, replication)
            reduced = reducer.reduce(draws, play(one.static, draws))
            np.testing.assert_array_equal(numbers.loc[replication].to_numpy(), reduced.numbers)
            of = increments[increments["replication"] == replication]
            for name in headline.INCREMENTS.names or ():
                np.testing.assert_array_equal(of[name].to_numpy(), reduced.increments[name])


def test_files_say_themselves_what_their_numbers_are(base: SweepResult) -> None:
    about = base.about
    assert about["months"][0] == "2024-01-31" and about["months"][-1] == "2025-06-30" and len(about["months"]) == 18
    assert about["companies"] == ["aws", "google", "microsoft", "oracle"]
    assert dict(zip(about["countries"], about["tiers"], strict=True))["USA"] == 1
    assert about["series"] == [series.metric for series in headline.SERIES]


# ---- nothing twice


def test_asked_again_nothing_is_played(base: SweepResult, world: World, played: list[Task]) -> None:
    again = sweep(short(*NAMES), replications=N, workers=1, store=base.store, world=world)
    assert not played and again.id == base.id
    assert (again.loaded, again.played) == (3 * N, 0) and (base.loaded, base.played) == (0, 3 * N)
    pd.testing.assert_frame_equal(again.differences(), base.differences())
    assert again.summary() == base.summary()


def test_what_a_scenario_compiles_to_is_remembered(
    base: SweepResult, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiled: list[int] = []
    compiles = preparing.Prepared._compile

    def noted(self: preparing.Prepared, wanted: Any) -> None:
        compiled.extend(wanted)
        compiles(self, wanted)

    monkeypatch.setattr(preparing.Prepared, "_compile", noted)
    assert sweep(short(*NAMES), replications=N, workers=1, store=base.store, world=world).id == base.id
    assert compiled == []
    monkeypatch.setattr(preparing, "_folder", lambda: tmp_path / "folder")
    for _ in range(2):  # not known; then known again
        assert sweep(short(*NAMES), replications=N, workers=1, store=base.store, world=world).id == base.id
    assert compiled == [0, 1, 2]
    (first, *_) = sorted((tmp_path / "folder").iterdir())
    first.write_text("0" * 63)
    assert sweep(short(*NAMES), replications=N, workers=1, store=base.store, world=world).id == base.id
    assert len(compiled) == 4, "what was spoilt is made anew"


def test_many_scenarios_are_compiled_by_all_workers_to_the_same_cells(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many = asked(
        "family:\n  base: diffusion-framework\n  axes:\n"
        f"    - {{name: pot, path: policy.set.allocation.tpp, values: {list(range(10, 10 + preparing.SEVERAL))}}}\n"
    )
    keys = []
    for workers in (1, 2):
        monkeypatch.setattr(preparing, "_folder", lambda workers=workers: tmp_path / str(workers))
        found = preparing.Prepared(many.scenarios, world, 1, many.design, (HEADLINES, INCREMENTS), workers)
        keys.append([(name, cell.key) for name, cell in found.cells.items()])
        assert sorted(cell.name for cell in found.ready({cell.key for cell in found.cells.values()}, "increments")) == sorted(
            many.names
        )
    assert keys[0] == keys[1] and len(set(keys[0])) == preparing.SEVERAL


def test_only_what_is_missing_is_played(mine: Store, base: SweepResult, world: World, played: list[Task]) -> None:
    before = contents(mine)
    shutil.rmtree(mine.root / "cells" / base.run.cell("no-controls") / "parts" / "100-129")
    again = sweep(short(*NAMES), replications=N, workers=1, store=mine, world=world)
    assert runs(played) == [("no-controls", 100, 129)] and (again.loaded, again.played) == (3 * N - 30, 30)
    assert contents(mine) == before


def test_a_damaged_part_is_named_and_played_again(mine: Store, base: SweepResult, world: World, played: list[Task]) -> None:
    before, warned = contents(mine), list[str]()
    damaged = mine.root / "cells" / base.run.cell("history") / "parts" / "100-129" / "increments.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    store = open_store(mine.root, warned.append)
    sweep(short(*NAMES), replications=N, workers=1, store=store, world=world)
    assert runs(played) == [("history", 100, 129)] and contents(store) == before
    assert len(warned) == 1 and "increments.parquet has" in warned[0]


def test_more_replications_play_only_what_is_new(mine: Store, world: World, played: list[Task]) -> None:
    found = sweep(short("history", "no-controls"), replications=2 * BLOCK, workers=1, store=mine, world=world)
    assert runs(played) == [("history", 100, 199), ("no-controls", 100, 199)]
    assert (found.loaded, found.played) == (2 * BLOCK, 2 * BLOCK)


def test_a_changed_scenario_is_played_and_its_siblings_are_not(mine: Store, world: World, played: list[Task]) -> None:
    changed = load_scenario("diffusion-framework", sets=(END, "policy.set.allocation.tpp=1000000"))
    sweep([*short("history", "no-controls"), changed], replications=N, workers=1, store=mine, world=world)
    assert {name for name, _, _ in runs(played)} == {"diffusion-framework"}


def test_a_changed_rule_of_the_data_plays_the_scenarios_under_it_and_no_others(
    mine: Store, base: SweepResult, world: World, played: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from simulator import controls
    from simulator.regimes import with_changes

    loads = controls.load_regime

    def changed(id: str, folder: Path | None = None) -> Any:
        regime = loads(id, folder)
        return with_changes(regime, {"allocation.tpp": 1_000_000}) if id == "diffusion-framework" else regime

    monkeypatch.setattr(controls, "load_regime", changed)
    monkeypatch.setattr(preparing, "_folder", lambda: tmp_path / "nothing remembered")  # the files of the law have not changed
    found = sweep(short(*NAMES), replications=N, workers=1, store=mine, world=world)
    assert {name for name, _, _ in runs(played)} == {"diffusion-framework"}
    assert found.id != base.id
    assert [found.run.cell(name) == base.run.cell(name) for name in NAMES] == [True, True, False]


def test_scenarios_that_simulate_the_same_are_played_once(tmp_path: Path, world: World, played: list[Task]) -> None:
    twin = load_scenario("history", sets=(END,)).model_copy(update={"name": "twin"})
    found = sweep([*short("history"), twin], replications=20, workers=1, store=tmp_path, world=world)
    assert runs(played) == [("history", 0, 19)]
    gap = found.differences()
    assert (gap["mean"].dropna() == 0).all() and (gap["share_zero"].dropna() == 1).all()
    assert "Equal in every replication: history and twin" in found.summary()


@pytest.mark.parametrize(
    ("cells", "parts", "workers", "chunk", "sizes"),
    [
        (1, 1, 2, None, [1]),
        (2, 2, 2, None, [2, 2]),
        (8, 1, 2, None, [4, 4]),
        (2, 1, 2, None, [1, 1]),
        (61, 2, 2, None, ([8] * 7 + [5]) * 2),
        (2, 4, 1, 200, [2, 2]),
    ],
)
def test_work_is_cut_so_that_all_have_some(cells: int, parts: int, workers: int, chunk: int | None, sizes: list[int]) -> None:
    ready = [Ready(f"{i:016x}", f"s{i}", 0, (True, True, True), "increments", b"") for i in range(cells)]
    wanted = [Part(100 * i, 100 * i + 99) for i in range(parts)]
    missing = {cell.key: set(wanted) for cell in ready}
    tasks = list(sweeps._tasks(ready, wanted, missing, workers, chunk))
    assert [len(task.cells) for task in tasks] == sizes
    assert sorted((c.key, p) for task in tasks for c in task.cells for p in task.parts) == sorted(
        (c.key, p) for c in ready for p in wanted
    )
    assert [task.parts[0].first for task in tasks] == sorted(task.parts[0].first for task in tasks)


def test_scenarios_share_a_task_only_with_those_that_share_their_draws(tmp_path: Path, world: World, played: list[Task]) -> None:
    calm = load_scenario("history", sets=(END, "mechanisms.luck=false")).model_copy(update={"name": "calm"})
    shock = load_scenario("grid-squeeze", sets=(END,))
    found = sweep([*short("history", "no-controls"), calm, shock], replications=4, workers=1, store=tmp_path, world=world)
    assert sorted(sorted(cell.name for cell in task.cells) for task in played) == [
        ["calm", "history", "no-controls"],
        ["grid-squeeze"],
    ]
    lucky, without = found.headlines("history"), found.headlines("calm")
    assert not lucky.equals(without)


# ---- played again


def test_what_is_stored_comes_out_again_and_what_was_changed_is_named(mine: Store, base: SweepResult, world: World) -> None:
    assert mine.verify(base.id, recomputing(world)) == []
    name = base.run.cell("history")
    place = mine.root / "cells" / name / "parts" / "100-129" / "headlines.parquet"
    place.write_bytes(place.read_bytes()[::-1])
    problems = mine.verify(base.id, recomputing(world))
    assert len(problems) == 1 and "100-129" in problems[0].file and "was changed" in problems[0].message


def test_what_was_made_with_other_inputs_cannot_be_played_again(base: SweepResult) -> None:
    early = load_world(as_known_on=date(2025, 6, 30))
    with pytest.raises(InputProblems, match="was computed from other inputs, law or code"):
        recomputing(early)(base.store.cell(base.run.cell("history")), Part(0, 99, 2))


# ---- designs


@pytest.mark.parametrize(
    "design", [Design(lucks=2), Design("lhs", 10, 2), Design("sobol", 8), Design(vary=("process/construction_factor",))]
)
def test_each_replication_has_the_assumptions_and_the_luck_of_its_design(design: Design, tmp_path: Path, world: World) -> None:
    found = sweep(
        Sweep("d", "D", tuple(short("history")), "history", design=design, replications=design.unit * 4, steps={"history": {}}),
        workers=1, store=tmp_path, world=world,
    )  # fmt: skip
    (one,) = compile_all(short("history"), world)
    reducer, names = headline.Reducer(one.static, rd_weights(one)), one.sampler.assumption_names
    numbers = found.headlines("history")
    for replication in (0, 1, 2, 2 * design.unit - 1):
        assumption = replication // design.lucks
        points = quantiles(design, 1, assumption, names)
        draws = one.sampler.draw(1, replication, assumption=assumption, quantiles=points)
        np.testing.assert_array_equal(numbers.loc[replication].to_numpy(), reducer.reduce(draws, play(one.static, draws)).numbers)
    assert found.design == design
    longer = sweep(
        Sweep("d", "D", tuple(short("history")), "history", design=design, replications=design.unit * 8, steps={"history": {}}),
        workers=1, store=tmp_path / "longer", world=world,
    )  # fmt: skip
    pd.testing.assert_frame_equal(longer.headlines("history").iloc[: design.unit * 4], numbers)


def test_lucks_of_a_point_share_its_assumptions_and_variance_is_split(tmp_path: Path, world: World) -> None:
    text = "scenarios: [history, no-controls]\nassumptions: {lucks: 2}\nreplications: 120\n"
    found = sweep(asked(text), workers=1, store=tmp_path, world=world)
    split = found.variance_split()
    one, other = (found.headlines(name)[COLUMN].to_numpy() for name in ("history", "no-controls"))
    row = split[
        (split["scenario"] == "history") & (split["metric"] == HEADLINE) & (split["tier"] == "all") & (split["when"] == "horizon")
    ]
    by_hand = variance_split(one, 2)
    assert (float(row["assumptions"].iloc[0]), float(row["luck"].iloc[0])) == pytest.approx((by_hand.assumptions, by_hand.luck))
    assert int(row["points"].iloc[0]) == 60 and float(row["share_assumptions"].iloc[0]) == pytest.approx(by_hand.share)
    assert by_hand.share > 0.5, "capacity is a matter of budgets and chips more than of luck"
    gaps = found.variance_split(reference="history")
    assert set(gaps["scenario"]) == {"no-controls"}
    row = gaps[(gaps["metric"] == HEADLINE) & (gaps["tier"] == "all") & (gaps["when"] == "horizon")]
    assert float(row["luck"].iloc[0]) == pytest.approx(variance_split(other - one, 2).luck)
    # The interval rests on points, not on replications that share one.
    moments = Moments(1)
    moments.add(units((other - one)[:, None], found.design))
    gap = found.differences()
    row = gap[(gap["metric"] == HEADLINE) & (gap["tier"] == "all") & (gap["when"] == "horizon")]
    assert float(row["ci_high"].iloc[0] - row["mean"].iloc[0]) == pytest.approx(float(moments.half()[0]))


def test_without_two_lucks_there_is_no_split(base: SweepResult) -> None:
    with pytest.raises(ValueError, match="at least two lucks"):
        base.variance_split()


def test_what_is_to_vary_must_be_drawn(tmp_path: Path, world: World) -> None:
    with pytest.raises(
        InputProblems, match=r"'process/construction_faktor' is not an uncertain input .* 'process/construction_factor'"
    ):
        sweep(asked("scenarios: [history]\nassumptions: {vary: [process/construction_faktor]}\n"), store=tmp_path, world=world)


# ---- families


def test_a_family_carries_its_steps_into_tables_and_manifest(tmp_path: Path, world: World) -> None:
    found = sweep(
        asked(
            "scenarios: [history]\nreplications: 6\nfamily:\n  base: diffusion-framework\n  prefix: fw\n  axes:\n"
            "    - {name: pot, path: policy.set.allocation.tpp, values: {none: 0, full: 790000000}}\n"
            "    - {name: lpp, path: mechanisms.lpp, values: [true, false]}\n"
        ),
        workers=1,
        store=tmp_path,
        world=world,
    )
    assert found.names == ["history", "fw-none-lpp-true", "fw-none-lpp-false", "fw-full-lpp-true", "fw-full-lpp-false"]
    assert found.axes == ["lpp", "pot"] or found.axes == ["pot", "lpp"]
    gap = found.differences()
    assert set(zip(gap["scenario"], gap["pot"], gap["lpp"], strict=True)) == {
        ("fw-none-lpp-true", "none", "lpp-true"), ("fw-none-lpp-false", "none", "lpp-false"),
        ("fw-full-lpp-true", "full", "lpp-true"), ("fw-full-lpp-false", "full", "lpp-false"),
    }  # fmt: skip
    assert found.store.run(found.id) == found.run


# ---- rules to stop by


def test_precision_stops_at_the_first_look_that_is_narrow_enough(tmp_path: Path, world: World) -> None:
    scenarios = short("history", "no-controls", sets=("mechanisms.luck=false",))
    whole = sweep(scenarios, replications=500, workers=1, store=tmp_path, world=world)
    gaps = (whole.headlines("no-controls")[COLUMN] - whole.headlines("history")[COLUMN]).to_numpy()

    def half(n: int) -> float:
        moments = Moments(1)
        moments.add(gaps[:n, None])
        return float(moments.half()[0])

    target = (half(200) + half(300)) / 2
    assert half(200) > target > half(300)
    found = sweep(scenarios, precision_abs=target, workers=2, store=tmp_path / "2", world=world)
    assert found.replications == 300 and found.precise and found.run.id != whole.run.id
    assert "Stopped at a half-width" in found.summary()
    same = sweep(scenarios, replications=300, workers=1, store=tmp_path, world=world)
    assert same.id == found.id and (same.loaded, same.played) == (600, 0)
    mean = float(whole.headlines("history")[COLUMN][:300].mean())
    relative = sweep(scenarios, precision=target / mean * 1.0001, workers=1, store=tmp_path, world=world)
    assert relative.id == found.id
    most = sweep(scenarios, precision_abs=half(500) / 10, max_replications=400, workers=1, store=tmp_path, world=world)
    assert most.replications == 400 and not most.precise and "Stopped at 400 replications, the most allowed" in most.summary()


def test_a_budget_plays_the_first_block_whatever_it_costs_and_then_no_more(tmp_path: Path, world: World) -> None:
    found = sweep(short("history", "no-controls"), budget=1e-3, workers=1, store=tmp_path, world=world)
    assert BLOCK <= found.replications <= 3 * BLOCK
    assert "Stopped after 0.001 seconds" in found.summary()


# ---- what goes wrong


def test_an_interrupted_sweep_keeps_what_is_whole_and_goes_on(base: SweepResult, tmp_path: Path, world: World) -> None:
    def enough(seen: Progress) -> None:
        if seen.replications:
            raise KeyboardInterrupt

    store = open_store(tmp_path)
    found = sweep(short(*NAMES), replications=N, workers=1, store=store, world=world, progress=enough)
    assert found.interrupted and found.replications == BLOCK and found.asked == N
    again = sweep(short(*NAMES), replications=N, workers=1, store=store, world=world)
    assert again.id == base.id and again.loaded == 3 * BLOCK and not again.interrupted
    mine, theirs = contents(store), contents(base.store)
    assert {name: mine[name] for name in theirs} == theirs


def test_interrupted_before_anything_is_whole_it_says_what_is_kept(tmp_path: Path, world: World) -> None:
    def enough(seen: Progress) -> None:
        if seen.done:
            raise KeyboardInterrupt

    scenarios = [*short("history"), load_scenario("grid-squeeze", sets=(END,))]  # of two samplers, so of two tasks
    with pytest.raises(
        sweeps.Interrupted, match=r"before the first 20 replications .*; 20 runs are kept in .*goes on from there"
    ):
        sweep(scenarios, replications=20, workers=1, store=tmp_path, world=world, progress=enough)
    assert sweep(scenarios, replications=20, workers=1, store=tmp_path, world=world).loaded == 20


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Replications of which one will fail: the draws of `at`."""
    at = {"replication": 10**9}
    from simulator.playing import Worker

    draws = Worker.draw

    def fails(self: Worker, cell: Ready, replication: int) -> Any:
        if replication == at["replication"]:
            raise ArithmeticError("too large")
        return draws(self, cell, replication)

    monkeypatch.setattr(Worker, "draw", fails)
    yield at


def test_a_failed_replication_leaves_the_blocks_before_it(failing: dict[str, int], tmp_path: Path, world: World) -> None:
    failing["replication"] = 117
    found = sweep(short("history"), replications=N, workers=1, store=tmp_path, world=world)
    assert found.replications == BLOCK and not found.interrupted
    assert found.failed == (
        "replication 117 of history, seed 1: ArithmeticError: too large; to see it again: groundbreak run history --seed 1 "
        "--replication 117"
    )


def test_a_failure_in_the_first_block_is_raised(failing: dict[str, int], tmp_path: Path, world: World) -> None:
    failing["replication"] = 17
    with pytest.raises(ReplicationFailed, match="replication 17 of history"):
        sweep(short("history"), replications=N, workers=1, store=tmp_path, world=world)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"replications": 0}, "replications: 0 is not a whole number of at least 1"),
        ({"seed": -1}, "seed: -1 is not a whole number of at least 0"),
        ({"logs": True}, "logs: True is not a whole number of at least 0"),
        (
            {"reference": "histroy"},
            "reference: 'histroy' is not among the scenarios: history, no-controls; did you mean 'history'?",
        ),
        ({"max_replications": 100}, "max_replications: is for precision or budget; without them give replications"),
        ({"precision": -1}, "precision: relative must be a positive number, not -1"),
    ],
)
def test_what_cannot_be_asked_is_said(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputProblems) as error:
        asked_for(["history", "no-controls"], **given)
    assert says in str(error.value)


def test_scenarios_that_cannot_be_compared_are_refused(world: World, tmp_path: Path) -> None:
    for what, says in (
        ([], "names nothing to run"),
        (["history", "history"], "scenarios share a name: history"),
        ([load_scenario("history"), *short("no-controls")], "scenarios must share start and end to be compared"),
        (["histroy"], "no shipped scenario has this name"),
    ):
        with pytest.raises(InputProblems, match=says):
            asked_for(what)  # type: ignore[arg-type]
    with pytest.raises(InputProblems, match="precision: is of a difference; give a second scenario"):
        asked_for(["history"], precision=0.02)
    with pytest.raises(InputProblems, match="replications: 150 is no multiple of 100"):
        asked_for("foresight", replications=150)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        sweep("history", chunk=0, store=tmp_path, world=world)
    wrong = load_scenario("history", sets=("end=2025-06-15",))
    with pytest.raises(InputProblems, match="end on the last day of a month"):
        sweep([wrong], store=tmp_path, world=world)


def test_what_is_given_replaces_what_the_file_says() -> None:
    file = load_sweep("policies")
    found = asked_for("policies", replications=50, seed=3, reference="no-controls", logs=0, keep="quantiles")
    assert (found.replications, found.seed, found.reference, found.logs, found.keep) == (50, 3, "no-controls", 0, "quantiles")
    assert asked_for("policies") == file == asked_for(file)
    assert asked_for("policies", budget=3.0).replications == asked_for("policies", budget=3.0).stop.maximum  # type: ignore[union-attr]
    assert asked_for("policies", budget=3.0, max_replications=700).replications == 700


# ---- progress


def test_progress_counts_runs_and_ends_with_nothing_left(tmp_path: Path, world: World) -> None:
    seen: list[Progress] = []
    found = sweep(short("history", "no-controls"), replications=250, workers=1, store=tmp_path, world=world, progress=seen.append)
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert (seen[0].done, seen[0].left, seen[0].difference) == (0, None, None)
    last = seen[-1]
    assert (last.done, last.total, last.replications, last.left, last.loaded) == (500, 500, 250, 0.0, 0)
    assert (last.scenario, last.reference) == ("no-controls", "history")
    gap = found.differences()
    row = gap[(gap["metric"] == HEADLINE) & (gap["tier"] == "all") & (gap["when"] == "horizon")].iloc[0]
    assert (last.difference, last.half_width) == pytest.approx((row["mean"], row["ci_high"] - row["mean"]))
    record = json.loads(json.dumps(last.record(), allow_nan=False))
    assert record["event"] == "progress" and record["unit"] == "MW IT"
    assert last.says().startswith("500 of 500 runs; no-controls - history: ")


def test_the_time_that_is_left_comes_from_the_time_that_runs_took() -> None:
    doing = object.__new__(sweeps._Sweeping)
    doing.asked = asked("scenarios: [history, no-controls]\nreplications: 1000\n")
    doing.rule = sweeps.Rule(maximum=1000)
    doing.looks = sweeps.Looks(doing.rule, 1)
    doing.unique = {"a": None, "b": None}  # type: ignore[dict-item]
    doing.done, doing.timed, doing.busy, doing.workers = 400, 400, 8.0, 2
    assert doing._left() == pytest.approx(1600 * 8 / 400 / 2)
    doing.timed = 0
    assert doing._left() is None


# ---- what came of it


def test_tables_agree_with_compare(base: SweepResult, comparison: Comparison, tmp_path: Path, world: World) -> None:
    """The same replications, measured in two ways: every headline number of every scenario, and every paired difference."""
    found = sweep(short(*NAMES), replications=20, workers=1, store=tmp_path, world=world)
    rows = {
        (row.scenario, row.metric, row.tier, row.date): row
        for row in measured(comparison)
        if (row.company, row.country, row.market) == ("all",) * 3
    }
    table = found.table()
    assert len(table) == len(NAMES) * len(headline.METRICS)
    for row in table.itertuples():
        other = rows[row.scenario, row.metric, row.tier, row.date]
        assert row.share_reached == other.share_reached and row.unit == other.unit
        for mine, theirs in ((row.mean, other.mean), (row.p10, other.p10), (row.p50, other.p50), (row.p90, other.p90)):
            assert mine == pytest.approx(math.nan if theirs is None else theirs, rel=1e-9, nan_ok=True)
    pairs = {
        (d.scenario, d.metric, d.tier, d.date): d for d in paired(comparison) if (d.company, d.country, d.market) == ("all",) * 3
    }
    gaps = found.differences()
    assert set(gaps["reference"]) == {"history"} and len(gaps) == 2 * len(headline.METRICS)
    for row in gaps.itertuples():
        gap = pairs[row.scenario, row.metric, row.tier, row.date]
        assert row.replications == gap.replications
        for mine, theirs in (
            (row.mean, gap.mean), (row.p10, gap.p10), (row.p90, gap.p90), (row.share_positive, gap.share_positive),
            (row.share_zero, gap.share_zero),
        ):  # fmt: skip
            assert mine == pytest.approx(math.nan if theirs is None else theirs, rel=1e-6, abs=1e-6, nan_ok=True)
        if row.share_zero != 1 and gap.ci_high is not None and gap.mean is not None:
            assert row.ci_high - row.mean >= 0.99 * (gap.ci_high - gap.mean), "never narrower than Student's"
    turned = found.differences(reference="no-controls")
    assert set(turned["scenario"]) == {"history", "diffusion-framework"}


def test_fans_are_quantiles_of_the_months_and_parts_sum_to_the_whole(base: SweepResult, world: World) -> None:
    whole = base.fan(scenario="history")
    assert list(whole.columns) == ["scenario", "date", "mean", "p10", "p25", "p50", "p75", "p90"] and len(whole) == 18
    last = base.table().query("scenario == 'history' and metric == @HEADLINE and tier == 'all' and when == 'horizon'").iloc[0]
    assert whole[["mean", "p10", "p50", "p90"]].iloc[-1].tolist() == pytest.approx(last[["mean", "p10", "p50", "p90"]].tolist())
    tiers = [base.fan(scenario="history", tier=tier)["mean"].to_numpy() for tier in (1, 2, 3)]
    np.testing.assert_allclose(sum(tiers), whole["mean"])
    companies = [base.fan(scenario="history", company=company)["mean"].to_numpy() for company in base.about["companies"]]
    np.testing.assert_allclose(sum(companies), whole["mean"])
    countries = [base.fan(scenario="history", country=country)["mean"].to_numpy() for country in base.about["countries"]]
    np.testing.assert_allclose(sum(countries), whole["mean"])
    both = base.fan("h100e_online", scenario="history", company="aws", country="USA", quantiles=(0.5,))
    assert 0 < both["p50"].iloc[-1] < base.fan("h100e_online", scenario="history", country="USA")["p50"].iloc[-1]
    assert set(base.fan("capex_usd")["scenario"]) == set(NAMES)


def test_paired_fans_are_of_differences_in_the_same_future(base: SweepResult) -> None:
    months, n = 18, N
    tables = {}
    for name in ("history", "no-controls"):
        rows = base.store.read(base.run.cell(name), base.run.parts, INCREMENTS).to_pandas()
        of = rows[(rows["series"] == 0) & (rows["place"] == 2)]
        steps = np.zeros((n, months))
        np.add.at(steps, (of["replication"].to_numpy(), of["month"].to_numpy()), of["value"].to_numpy())
        tables[name] = np.cumsum(steps, axis=1) / 1e6
    gap = tables["no-controls"] - tables["history"]
    found = base.paired_fan(scenario="no-controls", tier=2, quantiles=(0.1, 0.9))
    np.testing.assert_allclose(found["mean"], gap.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found["p10"], np.quantile(gap, 0.1, axis=0), atol=1e-9)
    np.testing.assert_allclose(found["p90"], np.quantile(gap, 0.9, axis=0), atol=1e-9)
    assert (found["ci_low"] <= found["mean"]).all() and (found["mean"] <= found["ci_high"]).all()
    assert set(found["reference"]) == {"history"}
    assert set(base.paired_fan(reference="no-controls")["scenario"]) == {"history", "diffusion-framework"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"series": "it_mw_onlin"}, "'it_mw_onlin' is not a series that is kept: .*did you mean 'it_mw_online'"),
        ({"tier": 4}, "4 is not a tier; allowed are 1, 2, 3"),
        ({"company": "amazon"}, "'amazon' is not a company of this run: aws, google, microsoft, oracle"),
        ({"country": "UAE"}, "'UAE' is not a country of this run: .*did you mean 'USA'"),
        ({"country": "ARE", "tier": 2}, "not by both"),
        ({"series": "capex_usd", "country": "ARE"}, "not by country"),
        ({"scenario": "histroy"}, "'histroy' is not among the scenarios: .*did you mean 'history'"),
    ],
)
def test_what_is_not_kept_is_said(base: SweepResult, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        base.fan(**given)


def test_logs_are_those_of_the_model(base: SweepResult, world: World) -> None:
    found = run_one(compile_all(short("diffusion-framework"), world)[0], 1, 1)
    log = base.logs("diffusion-framework", 1)
    assert len(log) == len(found.log) and set(log["replication"]) == {1}
    for column in ("tick", "order", "root", "hop", "phase", "rule", "pool", "quantity"):
        np.testing.assert_array_equal(log[column].to_numpy(), found.log[column])
    of_project = log[log["root"] == 3]
    assert set(of_project["project"]) == {found.draws.names[3]}
    assert (log.loc[log["rule"] >= 0, "provision"] != "").all() and (log.loc[log["rule"] < 0, "provision"] == "").all()
    assert {"planned", "online"} <= set(log["mark"]) and "commissioning" in set(log["stage"])
    with pytest.raises(ValueError, match="the log of replication 2 is not kept; those of 0 to 1 are"):
        base.logs("history", 2)


def test_the_ranking_says_what_more_replications_could_change(base: SweepResult) -> None:
    ranks = base.ranking()
    means = {name: base.headlines(name)[COLUMN].mean() for name in NAMES}
    assert [rank.scenario for rank in ranks] == sorted(NAMES, key=lambda name: -means[name])
    for one, other in itertools.pairwise(ranks):
        assert one.gap == pytest.approx(means[one.scenario] - means[other.scenario]) and one.gap >= 0
    assert math.isnan(ranks[-1].gap) and ranks[-1].settled
    settled = base.settled()
    assert settled.order == tuple(rank.scenario for rank in ranks)
    assert {(close.above, close.below) for close in settled.close} == {
        (one.scenario, other.scenario) for one, other in itertools.pairwise(ranks) if not one.settled
    }
    from simulator.precision import ranking

    plain = ranking({name: base.headlines(name)[COLUMN].to_numpy() for name in NAMES})
    assert (plain.order, plain.equal) == (settled.order, settled.equal)
    assert [(c.above, c.below, c.needed) for c in plain.close] == [(c.above, c.below, c.needed) for c in settled.close]
    assert (
        base.summary().splitlines()[0]
        == "history and no-controls and diffusion-framework: 3 scenarios x 130 replications, assumptions drawn at random."
    )


def test_a_stored_run_is_found_by_the_beginning_of_its_id(base: SweepResult) -> None:
    again = stored(base.id[:6], base.store)
    assert (again.id, again.names, again.reference) == (base.id, list(NAMES), "history")
    pd.testing.assert_frame_equal(again.table(), base.table())


def test_the_record_is_plain_and_whole(base: SweepResult) -> None:
    record = json.loads(json.dumps(base.record(), allow_nan=False))
    assert record["run_id"] == base.id and record["replications"] == N and record["level"] == 0.95
    assert [each["name"] for each in record["scenarios"]] == list(NAMES)
    assert len(record["metrics"]) == 3 * len(headline.METRICS) and len(record["differences"]) == 2 * len(headline.METRICS)
    assert any(row["mean"] is None for row in record["metrics"]), "18 months are too short for a median"
    assert [rank["scenario"] for rank in record["ranking"]] == [rank.scenario for rank in base.ranking()]


def test_it_shows_itself_in_a_notebook(base: SweepResult) -> None:
    html = base._repr_html_()
    assert html.count("<tr>") == 4 and all(name in html for name in NAMES) and base.id in html
    assert repr(base) == f"SweepResult({base.id}: 3 scenarios, 130 replications, reference history)"


# ---- quantiles instead of increments


def test_kept_quantiles_are_near_those_of_all_replications(tmp_path: Path, world: World, base: SweepResult) -> None:
    found = sweep(short("history"), replications=300, workers=1, store=tmp_path, world=world, keep="quantiles")
    whole = sweep(short("history"), replications=300, workers=1, store=tmp_path, world=world)
    assert not found.keeps_increments and found.id != whole.id
    tables = {path.name for path in (tmp_path / "cells" / found.run.cell("history")).rglob("*.parquet")}
    assert tables == {f"{HEADLINES}.parquet", f"{QUANTILES}.parquet", f"{LOGS}.parquet"}
    for tier in (None, 1, 2):
        kept, exact = (each.fan(tier=tier, quantiles=MONTHLY) for each in (found, whole))
        np.testing.assert_allclose(kept["mean"], exact["mean"])
        spread = (exact["p90"] - exact["p10"]).to_numpy()
        for share in ("p10", "p25", "p50", "p75", "p90"):
            assert (np.abs(kept[share] - exact[share]) <= 0.1 * spread + 1e-9).all()
    pd.testing.assert_frame_equal(found.table(), whole.table())
    for call, says in (
        (lambda: found.paired_fan(), "cannot be paired"),
        (lambda: found.fan(company="aws"), "only totals and tiers are kept"),
        (lambda: found.fan(quantiles=(0.2,)), "are kept, not 0.2"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    assert len(found.plot_fan().data) == 3


# ---- figures


def text_of(figure: Any) -> str:
    return str(figure.layout.title.text)


def test_figures_say_their_message_with_units_and_the_spread(base: SweepResult) -> None:
    fan = base.plot_fan()
    assert len(fan.data) == 9 and text_of(fan).startswith("IT capacity online: ") and "history in 2025-06" in text_of(fan)
    assert fan.layout.yaxis.title.text == "IT capacity online, MW"
    lines = [trace for trace in fan.data if trace.name]
    assert [trace.name for trace in lines] == list(NAMES)
    assert lines[0].line.color == "#000000" and len({trace.line.color for trace in lines}) == 3 == len(
        {t.line.dash for t in lines}
    )
    whole = base.fan(scenario="no-controls")
    np.testing.assert_allclose(np.array(lines[1].y, dtype=float), whole["p50"])
    assert "not the precision" in fan.layout.title.subtitle.text

    bars = base.plot_differences("capex_usd")
    assert text_of(bars).startswith("Capital spending since the start: ")
    assert bars.layout.xaxis.title.text.startswith("Difference from history in 2025-06, USD ")
    points = bars.data[1]
    assert sorted(points.y) == ["diffusion-framework", "no-controls"] and len(points.error_x.array) == 2

    rank = base.plot_ranking()
    assert text_of(rank).startswith(f"{base.ranking()[0].scenario} has most: ")
    assert [str(name).removesuffix(" ≈") for name in rank.data[1].y] == [r.scenario for r in reversed(base.ranking())]
    for figure in (fan, bars, rank):
        assert json.loads(figure.to_json())["data"] and figure.layout.title.subtitle.text


def test_figures_of_places_and_faults(base: SweepResult) -> None:
    assert "tier 2" in base.plot_fan("mw_ready_without_chips", tier=2).layout.yaxis.title.text
    assert text_of(base.plot_fan(scenario="history", country="ARE")).startswith("IT capacity online in ARE: ")
    with pytest.raises(ValueError, match="not a headline metric; did you mean 'capex_usd'"):
        base.plot_differences("capex_us")
    from simulator import plots
    from simulator.metrics import METRICS

    many = pd.concat([base.fan(scenario="history").assign(scenario=f"s{i}") for i in range(plots.MOST_FANS + 1)])
    with pytest.raises(ValueError, match="at most 6 scenarios can be told apart"):
        plots.fan(many, METRICS[HEADLINE], "", "s0")
    tier3 = base.plot_differences("it_mw_online", tier="3")
    assert "tier 3" in text_of(tier3)


# ---- as printed


def printed() -> list[str]:
    """The Python examples of the README that sweep."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    return [block for block in blocks if "sweep(" in block]


SMALL = """name: small
title: The grid in small
scenarios: [history]
family:
  base: diffusion-framework
  prefix: framework
  axes:
    - {name: allocation, path: policy.set.allocation.tpp, values: {half: 395000000, fourfold: 3160000000}}
    - {name: from, layers: {"2025": {policy: {diverges_on: 2025-01-13}}}}
    - {name: tier1-share, path: policy.set.uveu.min_share_tier1, values: {share65: 0.65, share85: 0.85}}
"""


def test_the_examples_of_the_readme_work_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for fewer replications of fewer and shorter scenarios, and results in a folder of their own."""
    monkeypatch.setenv("GROUNDBREAK_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    grid = load_sweep("framework-grid")
    assert set(asked_for("small.yaml").steps["framework-half-2025-share65"]) == set(grid.axes)
    examples = printed()
    assert len(examples) == 2
    assert len(examples[0].strip().splitlines()) <= 10
    for example in examples:
        less = example.replace("replications=200", f"replications=2, sets={END!r}, workers=1").replace(
            '"framework-grid"', '"small.yaml"'
        )
        less = re.sub(r'load_scenario\("([a-z-]+)"\)', rf'load_scenario("\1", sets="{END}")', less)
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(less, "README.md", "exec"), names)
        found = names["found"]
        assert isinstance(found, SweepResult) and found.replications == 2
    assert len(found.names) == 5 and (tmp_path / "framework-grid.csv").exists()
    told = capsys.readouterr().out
    assert "IT capacity online on 2025-06-30" in told and "10 of 10 runs" in told and "fourfold" in told
