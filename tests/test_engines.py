"""The compiled engine is the model: the same log, row by row, order included, on the shipped scenarios and on thousands of small worlds.

The worlds are worth the comparison only if everything the model can do happens in them often: that is counted here too. What a
comparison would notice is measured in `test_mutants.py`.
"""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import PROVISIONS, crowded, world

import simulator
from simulator.engines import play
from simulator.events import LOG, Log, Mark, Stage
from simulator.scenario import load_scenario, shipped_scenarios
from simulator.static import Draws, Static
from simulator.verify import describe, first_difference

CORPUS = 2_000
CHUNK = 50
"""Worlds of one test: some seconds"""
COUNTED = 800
"""Worlds of the corpus in which everything is counted; all the more often it happens in all of them"""
OFTEN = 20
"""Times that everything happens in the corpus, at least"""

WAYS = (
    "free", "free-by-list", "licence", "licence-by-list", "licence-by-owner", "lpp", "lpp-of-2025", "uveu", "uveu-of-2025", "denial",
    "nveu-of-2025", "real-grant",
)  # fmt: skip
"""Provisions that may let an export pass ("denial" is also the authorisation for one country)"""
WORK = {Mark.START, Mark.END}
WRITTEN: dict[Stage, set[Mark]] = {
    Stage.PROJECT: {
        Mark.PLANNED, Mark.READY, Mark.IN_FLEET, Mark.ONLINE, Mark.DOWNSIZED, Mark.RELOCATED, Mark.CANCELLED, Mark.FULL, Mark.LET,
    },
    Stage.SITE_SELECTION: WORK,
    Stage.INTERCONNECTION: {*WORK, Mark.HALTED, Mark.FIRST_POWER, Mark.POWERED},
    Stage.PERMITTING: {*WORK, Mark.HALTED},
    Stage.CONSTRUCTION: {*WORK, Mark.HALTED, Mark.GROUND_BREAKING, Mark.OWN_DATE},
    Stage.FIT_OUT: {*WORK, Mark.HALTED, Mark.SHELL_READY},
    Stage.CLEARANCE: {*WORK, Mark.CLEARED, Mark.WAITS},
    Stage.LICENCE_REVIEW: {
        Mark.FILED, Mark.QUEUED, Mark.STOPPED, Mark.APPROVED, Mark.DENIED, Mark.RETURNED, Mark.LAPSED, Mark.WAITS,
    },
    Stage.ALLOCATION: {Mark.DRAWN, Mark.WAITS},
    Stage.AUTHORISATION: {Mark.APPROVED, Mark.DENIED, Mark.REVOKED, Mark.WAITS},
    Stage.CHIPS: {
        *WORK, Mark.HALTED, Mark.CHIPS_TAKEN, Mark.CHIPS_GIVEN_BACK, Mark.DELIVERED, Mark.DECLINED, Mark.SWITCHED, Mark.COMMITTED,
        Mark.MISSED,
    },
    Stage.SHIPPING: {*WORK, Mark.SHIPPED, Mark.FRONT_LOADED},
    Stage.INSTALLATION: WORK,
    Stage.COMMISSIONING: WORK,
    Stage.LAW: {Mark.CHANGED},
    Stage.OTHER_IMPORTERS: {Mark.DRAWN},
    Stage.CREWS: {*WORK, Mark.HALTED},
    Stage.BRIDGING: {*WORK, Mark.HALTED, Mark.BRIDGED},
    Stage.SECURITY: {*WORK, Mark.HALTED},
    Stage.CLASSIFICATION: {*WORK, Mark.WAITS},
    Stage.FRAMEWORK: {Mark.END, Mark.APPROVED, Mark.WAITS},
    Stage.NATIONAL_AUTHORISATION: {Mark.FILED, Mark.APPROVED, Mark.DENIED},
}  # fmt: skip
"""Every mark that an engine writes in a stage"""
PAIRS = {(int(stage), int(mark)) for stage, marks in WRITTEN.items() for mark in marks}


def compared(static: Static, draws: Draws, name: str) -> Log:
    """The log, if both engines write the same; else the test fails with the first difference in words."""
    reference, log = play(static, draws, "simpy"), play(static, draws, "compiled")
    assert reference.dtype == log.dtype == LOG
    if (found := first_difference(reference, log)) is not None:
        pytest.fail("\n".join([name, *describe(found, reference, log, static, draws)]), pytrace=False)
    assert reference.tobytes() == log.tobytes()
    return log


# ------------------------------------------------------------------ small worlds


@pytest.mark.parametrize("first", range(0, CORPUS, CHUNK))
def test_both_engines_write_the_same_log_in_random_worlds(first: int) -> None:
    for number in range(first, first + CHUNK):
        log = compared(*world(number), f"world {number}")
        assert set(zip(log["stage"].tolist(), log["mark"].tolist(), strict=True)) <= PAIRS


def test_both_engines_write_the_same_log_in_a_crowded_world() -> None:
    # Longer than the log has room for at first; so are the lists of alarms, licences and requests (`test_mutants.py` looks at that).
    assert len(compared(*crowded(), "the crowded world")) > 1 << 16


def test_everything_that_can_happen_happens_often_in_the_random_worlds() -> None:
    pairs: Counter[tuple[int, int]] = Counter()
    rules: Counter[str] = Counter()
    ways: Counter[tuple[Mark, str]] = Counter()
    for number in range(COUNTED):
        static, draws = world(number)
        log = play(static, draws, "compiled")
        pairs.update(zip(log["stage"].tolist(), log["mark"].tolist(), strict=True))
        deciding, times = np.unique(log["rule"][log["rule"] >= 0], return_counts=True)
        rules.update({static.provisions[rule]: n for rule, n in zip(deciding.tolist(), times.tolist(), strict=True)})
        for mark in (Mark.CLEARED, Mark.SHIPPED):
            ways.update((mark, static.provisions[rule]) for rule in log["rule"][log["mark"] == mark].tolist())
    named = {(stage, mark): (Stage(stage).name, Mark(mark).name) for stage, mark in PAIRS | set(pairs)}
    assert {named[pair] for pair in pairs} == {named[pair] for pair in PAIRS}
    assert not {named[pair]: n for pair, n in pairs.items() if n < OFTEN}
    assert {mark for _, mark in pairs} == set(Mark)
    assert {stage for stage, _ in pairs} == set(Stage)
    assert rules.keys() == set(PROVISIONS)
    assert not {rule: n for rule, n in rules.items() if n < OFTEN}
    # By every way the law lets chips pass, phases are cleared and shipped to.
    assert not {way: n for mark in (Mark.CLEARED, Mark.SHIPPED) for rule in WAYS if (n := ways[way := (mark, rule)]) < OFTEN}


def test_a_run_leaves_its_inputs_alone_and_nothing_behind() -> None:
    before = [(number, *world(number)) for number in range(40)]
    bytes_before = [content(static, draws) for _, static, draws in before]
    logs = [play(static, draws, "compiled").tobytes() for _, static, draws in before]
    assert logs == [play(static, draws, "compiled").tobytes() for _, static, draws in reversed(before)][::-1]
    assert bytes_before == [content(static, draws) for _, static, draws in before]
    assert bytes_before == [content(*world(number)) for number, _, _ in before]  # and a number means one world


def content(static: Static, draws: Draws) -> list[bytes]:
    """All arrays of a world."""
    return [value.tobytes() for table in (static, draws) for value in vars(table).values() if isinstance(value, np.ndarray)]


def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="simpy"):
        play(*world(0), "interpreted")


# ------------------------------------------------------------------ side by side

OTHERWISE = {
    "Expansion": {"__init__", "obtain_chips", "queues_for_grid", "power_waits", "run", "start", "wait", "until", "call"},
    "Regulator": {"__init__", "needed", "_considered", "quarter", "everyone"},
}
"""Methods of the model that the compiled engine spells otherwise: SimPy's own business, and what is written out where it is used"""


@pytest.mark.parametrize(("model", "kind", "engine"), [("model", "Expansion", "kernel"), ("regulator", "Regulator", "authority")])
def test_the_engines_have_the_same_names_in_the_same_order(model: str, kind: str, engine: str) -> None:
    methods = [f.name for f in functions(next(c for c in tree(model).body if isinstance(c, ast.ClassDef) and c.name == kind))]
    here = [f.name for f in functions(tree(engine))]
    anywhere = {f.name for name in ("machine", "authority", "kernel") for f in functions(tree(name))}
    assert {name for name in methods if name not in anywhere} == OTHERWISE[kind]
    assert [name for name in methods if name in here] == [name for name in here if name in methods]


def tree(module: str) -> ast.Module:
    return ast.parse((Path(simulator.__file__).parent / f"{module}.py").read_text(encoding="utf-8"))


def functions(node: ast.Module | ast.ClassDef) -> list[ast.FunctionDef]:
    return [item for item in node.body if isinstance(item, ast.FunctionDef)]


# ------------------------------------------------------------------ shipped scenarios


@cache
def shipped(name: str) -> Any:
    """A shipped scenario, ready to draw from; all share one sampler where they may."""
    from simulator.compile import compile_scenario, sampler_key, scenario_sampler
    from simulator.world import load_world

    scenario, table = load_scenario(name), the_world(load_world)
    key = sampler_key(scenario, table)
    if key not in SAMPLERS:
        SAMPLERS[key] = scenario_sampler(scenario, table)
    return compile_scenario(scenario, table, SAMPLERS[key])


SAMPLERS: dict[Any, Any] = {}


@cache
def the_world(load: Any) -> Any:
    return load()


@pytest.mark.parametrize("replication", range(2))
@pytest.mark.parametrize("name", shipped_scenarios())
def test_both_engines_write_the_same_log_for_shipped_scenarios(name: str, replication: int) -> None:
    compiled = shipped(name)
    log = compared(compiled.static, compiled.draw(5, replication), f"{name}, seed 5, replication {replication}")
    assert len(log) > 10_000
    assert set(zip(log["stage"].tolist(), log["mark"].tolist(), strict=True)) <= PAIRS


@pytest.mark.long
@pytest.mark.parametrize("name", shipped_scenarios())
def test_both_engines_write_the_same_log_over_many_replications(name: str) -> None:
    compiled = shipped(name)
    for replication in range(24):
        compared(compiled.static, compiled.draw(11, replication), f"{name}, seed 11, replication {replication}")


@pytest.mark.long
@pytest.mark.parametrize("first", range(CORPUS, 10 * CORPUS, 1_000))
def test_both_engines_write_the_same_log_in_many_more_random_worlds(first: int) -> None:
    for number in range(first, first + 1_000):
        compared(*world(number), f"world {number}")
