"""Many runs: the same bits on any number of processes, in any process, for any number of replications; and what is refused."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.experiments import KEPT_LOGS, Comparison, compare, compile_all, replicate, run
from simulator.scenario import Scenario, load_scenario, scenario_from_text
from simulator.world import World, load_world

END = "end=2025-06-30"
NAMES = ("no-controls", "history")
ARRAYS = ("monthly", "by_country", "scalars", "provisions")
SHOCK = f"""
name: shock
title: A shock
supposes: Half of one vendor's chips are missing in the second half of 2024.
extends: history
{END.replace("=", ": ")}
inputs:
  - {{table: supply, parameter: shipped_h100e, entity: nvidia, from: 2024-07-01, to: 2024-12-31, multiply: 0.5, reason: A test}}
"""
ROOT = Path(__file__).resolve().parents[1]


def short(name: str, *sets: str) -> Scenario:
    return load_scenario(name, (), (END, *sets))


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.fixture(scope="module")
def pair() -> list[Scenario]:
    return [short(name) for name in NAMES]


def digest(comparison: Comparison, replications: int | None = None) -> str:
    """Hash of all measures and kept logs, of the first replications if a number is given."""
    whole = hashlib.sha256()
    for name in comparison.names():
        for array in ARRAYS:
            whole.update(np.ascontiguousarray(getattr(comparison, array)[name][:replications]).tobytes())
        for replication, (_, log) in sorted(comparison.runs[name].items()):
            whole.update(f"{name} {replication}".encode() + log.tobytes())
    return whole.hexdigest()


def test_two_workers_one_worker_and_a_plain_loop_give_the_same_bits(pair: list[Scenario], world: World) -> None:
    one, two = (compare(pair, world, replications=5, seed=7, workers=workers) for workers in (1, 2))
    assert digest(one) == digest(two)
    assert one.finished == two.finished == (0, 1, 2, 3, 4)
    for i, name in enumerate(NAMES):
        plain = [run(one.compiled[i], 7, r) for r in range(5)]
        for array in ARRAYS:
            again = np.stack([getattr(played.measures, array) for played in plain])
            assert getattr(two, array)[name].tobytes() == again.tobytes()
        assert sorted(two.runs[name]) == list(range(KEPT_LOGS))
        for r in range(KEPT_LOGS):
            assert two.runs[name][r][1].tobytes() == plain[r].log.tobytes()


def test_a_replication_does_not_depend_on_how_many_there_are(
    pair: list[Scenario], world: World, short_comparison: Comparison
) -> None:
    two = compare(pair, world, replications=2, seed=7, workers=1)
    assert digest(two) == digest(short_comparison, 2)


def test_replications_and_seeds_differ(short_comparison: Comparison, world: World) -> None:
    monthly = short_comparison.monthly["history"]
    assert not np.array_equal(monthly[0], monthly[1], equal_nan=True)
    other = run(short_comparison.compiled[1], seed=8)
    assert not np.array_equal(monthly[0], other.measures.monthly, equal_nan=True)


def test_another_process_with_another_hash_seed_gives_the_same_bits(short_comparison: Comparison) -> None:
    script = (
        "from test_experiments import *\n"
        "print(digest(compare([short(n) for n in NAMES], load_world(), replications=2, seed=7, workers=1)))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert done.stdout.strip() == digest(short_comparison, 2)


def test_scenarios_on_equal_inputs_share_their_draws_and_others_do_not(world: World) -> None:
    plain, history = short("no-controls"), short("history")
    calm = short("history", "mechanisms.luck=false")
    shock = scenario_from_text(SHOCK)
    compiled = compile_all([plain, history, calm, shock], world)
    assert compiled[0].sampler is compiled[1].sampler is compiled[2].sampler
    assert compiled[3].sampler is not compiled[0].sampler
    [(_, outcome)] = replicate(compiled, seed=7, replications=1, workers=1)
    draws = [kept[0] for _, kept in outcome if kept is not None]
    assert draws[0] is draws[1]
    assert draws[2] is not draws[0]
    assert len(set(draws[2].spread.ravel().tolist())) < len(set(draws[0].spread.ravel().tolist())) / 10  # no luck in stages
    # Draws are keyed by project: those planned in both worlds are planned on the same day and have the same luck.
    spread = [dict(zip(d.names, d.spread.tolist(), strict=True)) for d in (draws[0], draws[3])]
    planned = [dict(zip(d.names, d.planned.tolist(), strict=True)) for d in (draws[0], draws[3])]
    both = set(spread[0]) & set(spread[1])
    assert len(both) > 0.9 * len(draws[0].names)
    assert all(spread[0][name] == spread[1][name] and planned[0][name] == planned[1][name] for name in both)


def test_a_policy_that_changes_nothing_is_bit_identical(world: World) -> None:
    named = scenario_from_text(f"name: same\ntitle: The same\nsupposes: Nothing changes.\nextends: history\nend: {END[4:]}\n")
    found = compare([short("history"), named], world, replications=2, seed=7, workers=1)
    for array in ARRAYS:
        assert getattr(found, array)["history"].tobytes() == getattr(found, array)["same"].tobytes()
    assert all(found.runs["history"][r][1].tobytes() == found.runs["same"][r][1].tobytes() for r in range(2))


def test_the_order_and_company_of_scenarios_do_not_matter(world: World, short_comparison: Comparison) -> None:
    turned = compare(
        [short("october-2023-rule"), short("history"), short("no-controls")], world, replications=1, seed=7, workers=1
    )
    for name in NAMES:
        assert turned.monthly[name][0].tobytes() == short_comparison.monthly[name][0].tobytes()


def test_before_two_timelines_part_nothing_differs(short_comparison: Comparison, world: World) -> None:
    """The Framework family leaves history on 13 January 2025."""
    found = compare([short("history"), short("diffusion-framework")], world, replications=1, seed=7, workers=1)
    history, framework = (found.monthly[name][0, :, :12] for name in found.names())
    assert history.tobytes() == framework.tobytes()
    logs = [found.runs[name][0][1] for name in found.names()]
    tick = found.compiled[1].static.law_ticks
    day = next(int(t) for t in tick if t >= (366 + 12) << 20)
    before = [log[log["tick"] < day] for log in logs]
    # Provisions are numbered by scenario: compare their names.
    rules = [
        np.array(["", *c.static.provisions], dtype=object)[log["rule"] + 1] for c, log in zip(found.compiled, before, strict=True)
    ]
    assert len(before[0]) == len(before[1])
    same = [c for c in before[0].dtype.names or () if c != "rule"]
    assert all((before[0][column] == before[1][column]).all() for column in same)
    decided = before[0]["root"] >= 0
    assert (rules[0][decided] == rules[1][decided]).all()


# ------------------------------------------------------------------ refusals


def test_two_scenarios_of_one_name_cannot_be_compared(world: World) -> None:
    with pytest.raises(ValueError, match="share a name: history"):
        compare([short("history"), short("no-controls"), short("history")], world, replications=1)


def test_an_unknown_reference_is_named_with_those_there_are(pair: list[Scenario], world: World) -> None:
    with pytest.raises(ValueError, match=r"reference 'nobody' is not among the scenarios: no-controls, history"):
        compare(pair, world, reference="nobody", replications=1)


def test_scenarios_of_different_length_cannot_be_compared(world: World) -> None:
    with pytest.raises(ValueError, match=r"must share start and end.*history 2024-01-01 to 2025-06-30.*2025-12-31"):
        compare([short("history"), load_scenario("no-controls", (), ("end=2025-12-31",))], world, replications=1)


# ------------------------------------------------------------------ progress and interruption


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_keeps_what_is_finished(
    workers: int, pair: list[Scenario], world: World, short_comparison: Comparison
) -> None:
    def tired(done: int, of: int) -> None:
        assert of == 12
        if done == 2:
            raise KeyboardInterrupt

    found = compare(pair, world, replications=12, seed=7, workers=workers, progress=tired)
    assert found.interrupted and (found.asked, found.replications) == (12, 2)
    first = min(found.finished)
    assert found.monthly["history"].shape[0] == found.scalars["history"].shape[0] == 2
    assert found.monthly["history"][0].tobytes() == run(short_comparison.compiled[1], 7, first).measures.monthly.tobytes()


def test_an_interrupt_before_anything_is_finished_is_passed_on(pair: list[Scenario], world: World) -> None:
    def at_once(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(pair, world, replications=2, seed=7, workers=1, progress=at_once)


def test_progress_counts_up_to_the_number_asked_for(pair: list[Scenario], world: World) -> None:
    seen: list[tuple[int, int]] = []
    compare(pair, world, replications=3, seed=7, workers=1, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_handler_of_ctrl_c_is_given_back(pair: list[Scenario], world: World) -> None:
    before = signal.getsignal(signal.SIGINT)
    outcomes = replicate(compile_all(pair, world), seed=7, replications=40, workers=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGINT) is before
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    assert signal.SIGINT not in mask


def test_stopping_ends_the_work_early(pair: list[Scenario], world: World) -> None:
    compiled = compile_all(pair, world)
    answers = iter([False, False, True])
    assert len(list(replicate(compiled, seed=7, replications=5, workers=1, stop=lambda: next(answers)))) == 2


def test_a_replication_that_fails_is_named_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from simulator import engines, experiments
    from simulator.scenario import load_scenario

    play = engines.play
    played = []

    def breaks(static: Any, draws: Any, engine: Any) -> Any:
        played.append(engine)
        if len(played) == 3:
            raise IndexError("index 8 is out of bounds")
        return play(static, draws, engine)

    monkeypatch.setattr(engines, "play", breaks)
    kept = experiments.compare([load_scenario("history", sets=["end=2024-06-30"])], replications=5, seed=3)
    assert kept.finished == (0, 1)
    assert kept.failed == (
        "replication 2 of history, seed 3: IndexError: index 8 is out of bounds; "
        "to see it again: groundbreak run history --seed 3 --replication 2"
    )
    played[:] = ["history", "history"]
    with pytest.raises(experiments.ReplicationFailed, match="replication 0 of history, seed 3"):
        experiments.compare([load_scenario("history", sets=["end=2024-06-30"])], replications=5, seed=3)
