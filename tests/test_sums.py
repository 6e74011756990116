"""The compiled loops of the metrics against the same said in a few array operations, to the last bit."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import DAY, tiny_static
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import world

from simulator import sums
from simulator.engines import play
from simulator.events import Mark, Stage
from simulator.lives import MARKS, NEVER, STAGES, Dated, MonthEnds, Rows, Running, lives_of, once
from simulator.sampling import HOPS
from simulator.static import PHASES, Static
from simulator.units import TICKS_PER_DAY

PLACES = 2
SEEDS = st.integers(0, 1 << 32)


def ends() -> MonthEnds:
    return MonthEnds(tiny_static(companies=("acme", "bolt")), np.array([0, 1, 1]), PLACES)


def amounts(seed: int) -> dict[str, Any]:
    """Ticks from long before the start to never, companies, countries and amounts that do not add up exactly."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 60))
    some = rng.integers(-400, 1_700, n) * DAY + rng.integers(0, 3, n)
    return {
        "tick": np.where(rng.random(n) < 0.1, NEVER, some), "company": rng.integers(0, 2, n), "country": rng.integers(0, 3, n),
        "amount": rng.random(n) * 10.0 ** rng.integers(-3, 9, n),
    }  # fmt: skip


def totals(of: MonthEnds, tick: np.ndarray, company: np.ndarray, country: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """(T, K, X) running totals, said once more: the month by search, the sum by counting, the total by cumulating."""
    starts = tiny_static().month_starts
    month = np.clip(np.searchsorted(starts, tick, side="right") - 1, 0, of.months)
    cell = (month * of.companies + company) * of.places + of.place[country]
    table = np.bincount(cell, weights=amount, minlength=(of.months + 1) * of.companies * of.places)
    return np.cumsum(table.reshape(of.months + 1, of.companies, of.places)[:-1], axis=0)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SEEDS)
def test_dated_amounts_add_up_as_they_would_by_counting(first: int, second: int) -> None:
    of, a, b = ends(), amounts(first), amounts(second)
    assert np.array_equal(of.totals(**a), totals(of, **a))
    both = {name: np.concatenate([a[name], b[name]]) for name in a}
    dropped = both | {"tick": np.where(both["tick"] < 0, NEVER, both["tick"])}
    found = of.dated([[Dated(**a), Dated(**b)], [], [Dated(**b)]])
    assert np.array_equal(found[0], totals(of, **dropped)) and not found[1].any()
    assert np.array_equal(found[2], of.since(**b))
    line = np.repeat([2, 0], [len(a["tick"]), len(b["tick"])])
    assert np.array_equal(of.several(3, line, **both), np.stack([totals(of, **b), totals(of, **b) * 0, totals(of, **a)]))
    n = min(len(a["tick"]), len(b["tick"]))
    begin, end, company, country, amount = (one[:n] for one in (a["tick"], b["tick"], a["company"], a["country"], a["amount"]))
    twice = np.concatenate([begin, end]), np.tile(company, 2), np.tile(country, 2), np.concatenate([amount, -amount])
    assert np.array_equal(of.during(begin, end, company, country, amount), totals(of, *twice))


@settings(max_examples=60, deadline=None)
@given(SEEDS, SEEDS, st.booleans())
def test_amounts_run_up_as_they_would_by_counting(first: int, second: int, known: bool) -> None:
    of, a, b = ends(), amounts(first), amounts(second)
    n = min(len(a["tick"]), len(b["tick"]))
    begin, end, company, country, rate = (one[:n] for one in (a["tick"], b["tick"], a["company"], a["country"], a["amount"]))
    if not known:
        rate[: n // 2] = np.nan
    found = of.running([[Running(begin, end, company, country, rate), Running(end, NEVER, company, country, 2.5)]])
    begins, finals = np.concatenate([begin, end]), np.concatenate([end, np.full(n, NEVER)])
    rates, company, country = np.concatenate([rate, np.full(n, 2.5)]), np.tile(company, 2), np.tile(country, 2)
    begins = np.clip(begins, 0, of.horizon)
    finals = np.clip(np.maximum(finals, begins), 0, of.horizon)
    some = begins < finals
    begins, finals, rates, where = begins[some], finals[some], rates[some], (np.tile(company[some], 2), np.tile(country[some], 2))
    level = totals(of, np.concatenate([begins, finals]), *where, np.concatenate([rates, -rates]))
    behind = [rates * (begins / TICKS_PER_DAY), -rates * (finals / TICKS_PER_DAY)]
    moved = totals(of, np.concatenate([begins, finals]), *where, np.concatenate(behind))
    up = np.maximum.accumulate(np.maximum(of.ends[:, None, None] * level - moved, 0.0), axis=0)
    assert np.array_equal(found[0], up, equal_nan=True)


@pytest.mark.parametrize("number", range(0, 60, 4))
def test_a_log_is_told_by_row_by_code_and_by_phase(number: int) -> None:
    static, draws = world(number)
    log = play(static, draws)
    rows = Rows(log)
    site = log["root"].astype(np.int64) * HOPS + log["hop"]
    for name, column in (("tick", log["tick"]), ("root", log["root"]), ("rule", log["rule"]), ("pool", log["pool"])):
        assert np.array_equal(getattr(rows, name), column) and getattr(rows, name).dtype == np.int64
    assert np.array_equal(rows.unit, site * PHASES + log["phase"]) and np.array_equal(rows.quantity, log["quantity"])
    for stage in Stage:
        for mark in Mark:
            assert np.array_equal(rows.of(stage, mark), np.nonzero((log["stage"] == stage) & (log["mark"] == mark))[0])
    assert max(Stage) < STAGES and max(Mark) < MARKS

    life = lives_of(static, draws, rows)
    values = {(Stage.CLEARANCE, Mark.START): 7, (Stage.SHIPPING, Mark.SHIPPED): -3, (Stage.PROJECT, Mark.READY): 0}
    phase, row, value, end = rows.turns(values, life)
    wanted = []
    for thing, unit in enumerate((life.phases.site * PHASES + life.phases.number).tolist()):
        mine = [i for i in np.nonzero(rows.unit == unit)[0].tolist() if (int(log["stage"][i]), int(log["mark"][i])) in values]
        ticks = [*log["tick"][mine].tolist(), NEVER]
        wanted += [(thing, i, values[Stage(log["stage"][i]), Mark(log["mark"][i])], ticks[j + 1]) for j, i in enumerate(mine)]
    assert list(zip(*(one.tolist() for one in (phase, row, value, end)), strict=True)) == wanted


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_the_first_to_reach_a_threshold_in_each_group(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, 5, rng.integers(0, 40)))
    amount, threshold = rng.choice([0.1, 0.7, 3.0], len(group)), float(rng.choice([0.1, 1.5, 4.0]))
    total = np.cumsum(amount)
    begins = np.diff(group, prepend=-1) != 0
    running = total - np.maximum.accumulate(np.where(begins, total - amount, 0))
    _, first = np.unique(group[running >= threshold], return_index=True)
    assert sums.reached(group, amount, threshold).tolist() == np.nonzero(running >= threshold)[0][first].tolist()


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_incidence_is_the_product_of_what_survives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 30))
    online = rng.random(n) < 0.5
    leaves = online | (rng.random(n) < 0.3)
    groups, shares = rng.random((3, n)) < 0.7, np.array([0.1, 0.5, 0.9])
    found = sums.incidence(online, leaves, groups, shares)
    for group, places in zip(groups, found.tolist(), strict=True):
        at_risk = np.arange(group.sum(), 0, -1)
        surviving = np.cumprod(1 - leaves[group] / at_risk)
        incidence = np.cumsum(np.append(1.0, surviving)[:-1] * online[group] / at_risk)
        wanted = np.searchsorted(incidence, shares)
        assert places == [np.nonzero(group)[0][i] if i < len(incidence) else -1 for i in wanted.tolist()]


def test_what_is_of_a_scenario_alone_is_worked_out_once_and_goes_no_further() -> None:
    asked = []

    @once
    def months(static: Static) -> int:
        asked.append(static)
        return len(static.month_starts)

    static = tiny_static()
    assert [months(static), months(static)] == [49, 49] and len(asked) == 1
    other = replace(static, month_starts=static.month_starts[:5], supply_ppm=static.supply_ppm[:4])
    assert months(other) == 5 and months(static) == 49 and len(asked) == 2
    assert pickle.loads(pickle.dumps(static)).companies == static.companies
