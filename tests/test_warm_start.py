"""The first day is no seam: what is built runs on across it, and the opening fleet is the one that is known."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import pytest
from scipy.stats import t as student
from test_compile import compiled

from simulator.events import Log, Mark, Stage
from simulator.model import Expansion
from simulator.static import Draws, Static
from simulator.units import PPM, TICKS_PER_DAY, quarter_start, tick_of

SEED, REPLICATIONS = 11, 16
BEFORE, AFTER = 6, 6
"""Quarters on each side of the first day that the step is looked for in."""


@cache
def runs() -> tuple[Static, list[tuple[Draws, Log]]]:
    c = compiled("october-2023-rule", "2026-12-31")
    played = []
    for r in range(REPLICATIONS):
        draws = c.draw(SEED, r)
        played.append((draws, Expansion(c.static, draws).run()))
    return c.static, played


def by_quarter(static: Static, log: Log, mark: Mark, draws: Draws) -> np.ndarray:
    """MW at a mark in each of the quarters around the start."""
    year = static.start.year
    names = [f"{y}Q{q}" for y in range(year - 5, year + 3) for q in (1, 2, 3, 4)]
    edges = np.array([tick_of(quarter_start(q), static.start) for q in names])
    rows = log[(log["mark"] == mark) & (log["hop"] == 0)]
    by_phase = draws.phase_mw16[rows["root"], rows["phase"]]  # what concerns a building or a tranche
    megawatts = (by_phase if mark in (Mark.SHELL_READY, Mark.POWERED, Mark.READY) else draws.mw16[rows["root"]]) / 16
    binned = np.bincount(np.searchsorted(edges, rows["tick"], side="right") - 1, megawatts, minlength=len(edges))
    first = names.index(f"{year}Q1")
    return binned[first - BEFORE : first + AFTER]


def phases_of(rows: Log) -> list[tuple[int, ...]]:
    """(root, hop, phase) of each row."""
    return list(zip(*(rows[name].tolist() for name in ("root", "hop", "phase")), strict=True))


def step(series: np.ndarray) -> float:
    """The jump between the sixth and the seventh quarter of a log-linear path fitted to both sides with one slope."""
    x = np.arange(BEFORE + AFTER)
    design = np.stack([np.ones_like(x), x, x >= BEFORE], axis=1).astype(float)
    return float(np.linalg.lstsq(design, np.log(series), rcond=None)[0][2])


@pytest.mark.parametrize(
    "mark", [Mark.PLANNED, Mark.GROUND_BREAKING, Mark.SHELL_READY, Mark.FIRST_POWER, Mark.POWERED, Mark.READY]
)
def test_nothing_jumps_at_the_first_day(mark: Mark) -> None:
    static, played = runs()
    every = np.stack([by_quarter(static, log, mark, draws) for draws, log in played])
    n = len(every)
    whole = step(every.mean(axis=0))
    # Leave-one-out error of the step in the mean path: zero must lie within a 99.9 % interval.
    without = np.array([step(np.delete(every, r, axis=0).mean(axis=0)) for r in range(n)])
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    assert error < 0.3, "too noisy to see a jump of a third"
    assert abs(whole) <= student.ppf(0.9995, n - 1) * error, (whole, error, every.mean(axis=0))


def test_the_quarter_after_the_start_continues_the_one_before() -> None:
    static, played = runs()
    ready = np.stack([by_quarter(static, log, Mark.READY, draws) for draws, log in played])
    n = len(ready)

    def apart(paths: np.ndarray) -> float:
        mean = paths.mean(axis=0)
        growth = np.log(mean[-1] / mean[0]) / (BEFORE + AFTER - 1)
        return float(np.log(mean[BEFORE] / mean[BEFORE - 1]) - growth)

    without = np.array([apart(np.delete(ready, r, axis=0)) for r in range(n)])
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    assert abs(apart(ready)) <= student.ppf(0.9995, n - 1) * error


def test_the_pipeline_reaches_five_years_back_and_is_under_way_on_the_first_day() -> None:
    static, played = runs()
    stages = (Stage.INTERCONNECTION, Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT)
    running = dict.fromkeys(stages, 0)
    for draws, log in played:
        assert draws.planned.min() < -4.5 * 365 * TICKS_PER_DAY
        assert draws.planned.min() >= static.earliest
        planned = set(log[(log["mark"] == Mark.PLANNED) & (log["tick"] < 0)]["root"].tolist())
        ready = set(log[(log["mark"] == Mark.READY) & (log["tick"] < 0)]["root"].tolist())
        under_way = planned - ready
        ages = -draws.planned[sorted(under_way)] / TICKS_PER_DAY
        assert len(under_way) > 50
        assert ages.max() > 2 * 365  # slow connections have been waiting for years
        for stage in stages:
            rows = log[(log["stage"] == stage) & (log["tick"] < 0)]
            running[stage] += int((rows["mark"] == Mark.START).sum() - np.isin(rows["mark"], (Mark.END, Mark.HALTED)).sum())
    # Every stage is met half-way on day 0, by several even where it is short.
    assert min(running.values()) > REPLICATIONS, running


def test_before_the_first_day_only_what_was_under_way_ships() -> None:
    static, played = runs()
    for draws, log in played:
        assert log[np.isin(log["mark"], (Mark.DELIVERED, Mark.DECLINED, Mark.COMMITTED))]["tick"].min() == 0
        early = log[log["tick"] < 0]
        shipped, taken = early[early["mark"] == Mark.SHIPPED], early[early["mark"] == Mark.CHIPS_TAKEN]
        assert len(shipped) > 0
        assert shipped["tick"].min() >= -draws.under_way_ticks
        for k in range(len(static.companies)):
            for a in range(len(static.accelerators)):
                mine = taken[(draws.company[taken["root"]] == k) & (taken["pool"] == a)]
                assert mine["quantity"].sum() <= draws.under_way[k, a]
        # Clusters in the fleet of the first day fit into it.
        assert log[log["mark"] == Mark.IN_FLEET]["tick"].max() < 0
        inside = np.bincount(
            draws.company[log[log["mark"] == Mark.IN_FLEET]["root"]],
            log[log["mark"] == Mark.IN_FLEET]["quantity"],
            minlength=len(static.companies),
        )
        assert inside.sum() > 0
        assert (inside * 62_500 <= (draws.fleet_chips * static.watts).sum(axis=(1, 2))).all()
        # Nobody ships ahead of anything: no restriction is announced that early.
        assert not len(early[early["mark"] == Mark.FRONT_LOADED])


def test_what_is_under_way_arrives_about_the_first_day() -> None:
    _, played = runs()
    arrivals = []
    for _, log in played:
        early = set(phases_of(log[(log["mark"] == Mark.SHIPPED) & (log["tick"] < 0)]))
        online = log[log["mark"] == Mark.ONLINE]
        arrivals.append(online["tick"][[key in early for key in phases_of(online)]])
    days = np.concatenate(arrivals)
    assert len(days) > 20
    assert abs(np.median(days)) / TICKS_PER_DAY < 45


def test_what_was_ready_before_is_in_the_fleet_and_what_is_ready_after_is_not() -> None:
    _, played = runs()
    ready_by_then, seen = 0, 0
    for _, log in played:
        fleet = set(phases_of(log[log["mark"] == Mark.IN_FLEET]))
        online = set(phases_of(log[log["mark"] == Mark.ONLINE]))
        ready_after = set(phases_of(log[(log["mark"] == Mark.READY) & (log["tick"] >= 0)]))
        assert fleet
        assert not fleet & online
        assert not fleet & ready_after
        ready_before = set(phases_of(log[(log["mark"] == Mark.READY) & (log["tick"] < 0)])) - fleet
        ready_by_then += len(ready_before)
        seen += len(ready_before & online)
    # Who was ready and not in the fleet is not forgotten: nearly all have had their chips within three years.
    assert ready_by_then > 100
    assert seen > 0.9 * ready_by_then


def test_licences_for_the_pipeline_are_filed_before_the_start_under_the_law_of_the_day() -> None:
    static, played = runs()
    filed = np.concatenate([log[(log["mark"] == Mark.FILED) & (log["root"] < 0)]["tick"] for _, log in played])
    first = min(int(tick) for tick in static.law_ticks.tolist() if tick > static.earliest)
    assert (filed < 0).sum() > 0
    assert filed.min() >= first  # nothing needed a licence before the first rule of October 2022
    assert (filed == 0).sum() <= (filed < 0).sum()


def test_the_fleet_of_the_first_day_is_the_one_the_statistics_give() -> None:
    c = compiled("october-2023-rule", "2026-12-31")
    world = c.sampler.world
    on = date(c.static.start.year - 1, 12, 31).isoformat()
    draws = c.sampler.draw(SEED, 0, assumptions=False)
    for k, company in enumerate(c.static.companies):
        counted = (
            float(((draws.fleet_chips[k].sum(axis=0) + draws.opening_stock[k] + draws.under_way[k]) * c.static.h100e_ppm).sum())
            / PPM
        )
        stated = sum(world.number("fleets", "h100e_held", company, kind, on) for kind in ("nvidia", "custom", "amd"))
        # Whole chips only: one per country and accelerator may be cut off.
        lost = len(c.static.countries) * float(c.static.h100e_ppm[draws.fleet_chips[k].sum(axis=0) > 0].sum()) / PPM
        assert stated - lost - 3 <= counted <= stated + 3, company


def test_the_engine_counts_the_opening_fleet_what_is_under_way_and_the_opening_stock_once() -> None:
    c = compiled("october-2023-rule", "2026-12-31")
    draws = c.draw(SEED, 0)
    engine = Expansion(c.static, draws)
    counted = (draws.fleet_chips * c.static.counted_tpp).sum(axis=2)
    owned = engine.regulator.owned
    assert np.array(owned).tolist() == counted.tolist()  # chips under way and in stock enter when they arrive
    engine.run()
    delivered = np.zeros(len(c.static.companies))
    log = engine.rows
    for _, root, _, _, _, mark, _, pool, quantity in log:
        if mark == Mark.DELIVERED:
            delivered[-1 - root] += quantity * int(c.static.counted_tpp[pool])
    opening = ((draws.opening_stock + draws.under_way) * c.static.counted_tpp).sum(axis=1)
    assert (draws.under_way.sum(axis=1) > 0).all()
    assert [sum(row) for row in owned] == (counted.sum(axis=1) + opening + delivered.astype(np.int64)).tolist()
