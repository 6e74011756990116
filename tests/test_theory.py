"""Closed forms: what theory says of queues, supply and dates, against what the pieces and whole runs do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, factorial
from typing import Any

import numpy as np
import pytest
from conftest import (
    ABROAD,
    DAY,
    ELSEWHERE,
    HOME,
    REST,
    SHELL,
    days,
    in_phases,
    ints,
    licence_abroad,
    play,
    rows,
    tiny_draws,
    tiny_static,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from test_compile import compiled

from simulator.events import Log, Mark, Stage
from simulator.model import Expansion
from simulator.pools import ReviewOffice
from simulator.static import Draws, Route, Static, Timed, office_cases
from simulator.units import DAYS_PER_YEAR, FACTOR_ONE, MW_SIXTEENTHS

# ------------------------------------------------------------------ the review office is an M/M/c queue


def erlang_c(c: int, load: float) -> float:
    """Probability of waiting with c servers and an offered load in erlangs."""
    served = sum(load**n / factorial(n) for n in range(c))
    waiting = load**c / factorial(c) * c / (c - load)
    return waiting / (served + waiting)


def interval(values: np.ndarray, batches: int = 40) -> tuple[float, float]:
    """Mean of a correlated series and the half-width of its 99.9 % interval, from means of batches."""
    means = np.array([part.mean() for part in np.array_split(values, batches)])
    error = means.std(ddof=1) / np.sqrt(batches)
    return float(means.mean()), float(student.ppf(0.9995, batches - 1) * error)


def waits_in_days(c: int, load: float, ours: float) -> np.ndarray:
    """Waits of a share of the applications to an office of c; work takes a day on average."""
    n = 120_000 if ours == 1 else 400_000
    rng = np.random.default_rng([c, int(load * 1000), int(ours * 1000)])
    at = (np.cumsum(rng.exponential(1 / load, n)) * DAY).astype(np.int64)
    work = (rng.exponential(1, n) * DAY).astype(np.int64)
    is_ours = rng.random(n) < ours
    office = ReviewOffice(c, at[~is_ours].tolist(), work[~is_ours].tolist())
    waits = [office.take(a, w) - a for a, w in zip(at[is_ours].tolist(), work[is_ours].tolist(), strict=True)]
    return np.array(waits[len(waits) // 20 :]) / DAY


@pytest.mark.parametrize("ours", [1.0, 0.2])
@pytest.mark.parametrize(("c", "use"), [(1, 0.5), (1, 0.85), (3, 0.6), (3, 0.9), (12, 0.8)])
def test_waits_for_a_reviewer_are_those_of_erlang_c(c: int, use: float, ours: float) -> None:
    load = c * use
    waits = waits_in_days(c, load, ours)
    wait = erlang_c(c, load)
    mean = wait / (c - load)
    for measured, expected in (
        (waits, mean),
        ((waits > 0).astype(float), wait),
        ((waits > mean).astype(float), wait * exp(-(c - load) * mean)),  # an exponential tail
    ):
        middle, half = interval(measured)
        assert half < 0.2 * expected, "too few to see a difference of a fifth"
        assert abs(middle - expected) <= half, (middle, expected, half)


def test_others_come_at_the_rate_of_the_law_of_the_day_and_another_law_moves_their_dates_but_not_their_luck() -> None:
    base = tiny_static(background_a_year=ints(1, fill=400))
    rng = np.random.default_rng(1)
    gaps = (rng.exponential(1, 6_000) * FACTOR_ONE).astype(np.int64)
    draws = tiny_draws(base, [(0, 1, HOME)], office_gaps=gaps, office_work=np.arange(6_000), office_factor=FACTOR_ONE * 3 // 2)
    arrivals, work = office_cases(base, draws)
    years = 1 + base.horizon / DAY / DAYS_PER_YEAR
    assert abs(len(arrivals) - 600 * years) < 4 * np.sqrt(600 * years)
    assert work == list(range(len(arrivals)))
    assert arrivals == sorted(arrivals)
    # Twice as many from day 365 on: nothing before it moves, and after it the same gaps take half the time.
    twice = replace(
        base,
        law_ticks=np.array([base.earliest, 365 * DAY]),
        background_a_year=np.array([400, 800]),
        site_notice=ints(2),
        verification=ints(2),
    )
    busier, _ = office_cases(twice, draws)
    day = 365 * DAY
    early = sum(tick < day for tick in arrivals)
    assert busier[:early] == arrivals[:early]
    later = np.array(arrivals[early:]) - day
    moved = np.array(busier[early : early + len(later)]) - day
    assert np.abs(moved * 2 - later).max() <= 4  # rounding


# ------------------------------------------------------------------ Little's law on whole runs


class Watched(Expansion):
    """An engine that integrates the lengths of its queues over time, as they stand between events."""

    def run(self) -> Log:
        lengths: dict[str, Callable[[], int]] = {
            "chips": lambda: sum(len(queue.line) for queue in self.queues.values()),
            "review": lambda: sum(a.pending is not None for a in self.regulator.everyone()),
            "clearance": lambda: sum(len(a.waiting) for a in self.regulator.everyone()),
            "allocation": lambda: self.waiting_for(Stage.ALLOCATION),
            "crews": lambda: sum(len(crews.line) for crews in self.crews),
            "grid": lambda: len(self.requests),
        }
        self.areas = dict.fromkeys(lengths, 0)
        env = self.env
        advance = env.run

        def run(until: int) -> None:
            before, held = env.now, dict.fromkeys(lengths, 0)
            while (tick := env.peek()) < until:
                if tick > before:
                    for name, length in held.items():
                        self.areas[name] += length * (tick - before)
                    before = tick
                env.step()
                if env.peek() > before:
                    held = {name: length() for name, length in lengths.items()}
            for name, length in held.items():
                self.areas[name] += length * (until - before)

        env.run = run
        log = super().run()
        env.run = advance
        return log

    def waiting_for(self, stage: Stage) -> int:
        """Phases that wait for a stage, as the account knows it."""
        return sum(f.waits[0] == stage for a in self.regulator.everyone() for f in a.waiting)


def spells(log: Log, begins: np.ndarray, ends: np.ndarray, horizon: int, columns: tuple[str, ...]) -> np.ndarray:
    """Lengths of the spells between rows that begin and rows that end one, for each entity, to the horizon."""
    open_since: dict[tuple[int, ...], int] = {}
    lengths = []
    for i in np.nonzero(begins | ends)[0].tolist():
        row = log[i]
        key = tuple(int(row[name]) for name in columns)
        if ends[i] and key in open_since:
            lengths.append(int(row["tick"]) - open_since.pop(key))
        if begins[i]:
            open_since[key] = int(row["tick"])
    return np.array(lengths + [horizon - since for since in open_since.values()], dtype=object)


def check_little(area: int, lengths: np.ndarray, whole: int) -> None:
    """Average number in the queue = arrival rate x mean time in it; both sides exact."""
    assert len(lengths), "nobody ever waited"
    rate, mean = len(lengths) / whole, lengths.sum() / len(lengths)
    assert area / whole == pytest.approx(rate * mean, rel=1e-12)
    assert area == lengths.sum()


PHASE = ("root", "hop", "phase")


def check_every_wait(engine: Watched, log: Log, static: Static, expected: set[str]) -> None:
    """Little's law on each queue that was used; `expected` ones must have been."""
    whole = static.horizon - static.earliest
    stage, mark = log["stage"], log["mark"]
    closes = np.isin(mark, (Mark.END, Mark.HALTED))
    cleared = (stage == Stage.CLEARANCE) & np.isin(mark, (Mark.CLEARED, Mark.END))
    pot = (mark == Mark.WAITS) & (stage == Stage.ALLOCATION)
    decided = (stage == Stage.LICENCE_REVIEW) & np.isin(mark, (Mark.APPROVED, Mark.DENIED, Mark.RETURNED))
    found = {
        "chips": ((stage == Stage.CHIPS) & (mark == Mark.START), (stage == Stage.CHIPS) & closes, PHASE),
        "review": (mark == Mark.FILED) & (stage == Stage.LICENCE_REVIEW) & (log["root"] < 0),
        "clearance": ((stage == Stage.CLEARANCE) & (mark == Mark.START), cleared, PHASE),
        "allocation": (pot, ((mark == Mark.WAITS) & ~pot) | cleared, PHASE),
        "crews": ((stage == Stage.CREWS) & (mark == Mark.START), (stage == Stage.CREWS) & closes, PHASE),
    }
    found["review"] = (found["review"], decided & (log["root"] < 0), ("root", "pool"))
    used = set()
    for name, (begins, ends, columns) in found.items():
        lengths = spells(log, begins, ends, static.horizon, columns)
        if len(lengths):
            used.add(name)
            check_little(engine.areas[name], lengths, whole)
        else:
            assert engine.areas[name] == 0
    assert used >= expected, expected - used


@pytest.mark.parametrize("scenario", ["diffusion-framework", "history"])
def test_the_average_number_in_every_queue_is_the_rate_of_arrivals_times_the_mean_wait(scenario: str) -> None:
    c = compiled(scenario, "2027-12-31")
    engine = Watched(c.static, c.draw(11, 2))
    log = engine.run()
    check_every_wait(engine, log, c.static, {"chips", "review", "clearance"})


def test_the_same_holds_where_a_countrys_pot_is_what_is_scarce() -> None:
    allocation = ints(1, 3, fill=-1)
    allocation[0, ABROAD] = 20_000 * 16_000
    static = licence_abroad(allocation=allocation)
    plans = [(day, 7, ABROAD) for day in range(0, 200, 20)]
    engine = Watched(static, tiny_draws(static, plans, 4_000, crew_limit=ints(9, 1, fill=20 * MW_SIXTEENTHS)))
    check_every_wait(engine, engine.run(), static, {"chips", "review", "clearance", "allocation", "crews"})


def test_the_same_holds_for_the_grids_queue() -> None:
    static = tiny_static(rationed=np.array([1, 0, 0]))
    plans = [(day, 20 + day % 7, HOME) for day in range(0, 900, 60)]
    engine = Watched(static, tiny_draws(static, plans, grid_ticks=ints(3, fill=5 * DAY // MW_SIXTEENTHS)))
    log = engine.run()
    grid = log["stage"] == Stage.INTERCONNECTION
    lengths = spells(log, grid & (log["mark"] == Mark.START), grid & (log["mark"] == Mark.END), static.horizon, ("root", "hop"))
    check_little(engine.areas["grid"], lengths, static.horizon - static.earliest)


# ------------------------------------------------------------------ rates


def test_a_world_short_of_chips_comes_online_at_the_rate_of_supply() -> None:
    # A hundred megawatts stand ready from day 180 on; 2,500 chips arrive each month, a megawatt takes 1,000.
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 1, HOME)] * 100, 2_500))
    months = static.month_starts[:-1]
    for month in range(1, 41):
        delivered = 2_500 * month  # from February on: nobody needs January's
        by = months[month] + REST * DAY
        online = (rows(log, mark=Mark.ONLINE)["tick"] <= by).sum()
        expected = min(delivered // 1_000, 100) if months[month] >= SHELL * DAY else 0
        assert online == expected, month
    rate = 2_500 * 12 / 1_000
    ticks = rows(log, mark=Mark.ONLINE)["tick"][20:]
    assert len(ticks) / ((ticks[-1] - ticks[0]) / DAY / DAYS_PER_YEAR) == pytest.approx(rate, rel=0.1)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 40), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_a_rationed_market_connects_megawatts_at_its_rate(sizes: list[int], hours: int, backlog: int) -> None:
    # Every request is there on day 10: the queue never rests, and each is done when all before it and itself are.
    static = tiny_static(rationed=np.array([1, 0, 0]))
    a_megawatt = hours * DAY // 4
    draws = tiny_draws(
        static,
        [(0, mw, HOME) for mw in sizes],
        grid_ticks=ints(3, fill=a_megawatt // MW_SIXTEENTHS),
        grid_backlog=ints(3, fill=backlog * DAY),
    )
    log = play(static, draws)
    done = max(backlog, 10) * DAY + np.cumsum(sizes) * a_megawatt
    assert rows(log, mark=Mark.FIRST_POWER)["tick"].tolist() == done[done < static.horizon].tolist()


# ------------------------------------------------------------------ without scarcity


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 200), min_size=8, max_size=8),
    shell=st.lists(st.integers(0, 90), min_size=2, max_size=2),
    power=st.lists(st.integers(0, 90), min_size=2, max_size=2),
    lead=st.integers(0, 300),
    optimism=st.integers(4, 8),  # the sanguine move their dates while they build: tests/test_story.py
    review=st.integers(0, 250),
    ahead=st.integers(0, 60),
)
def test_without_scarcity_the_online_date_is_the_latest_of_the_three_branches(
    lengths: list[int], shell: list[int], power: list[int], lead: int, optimism: int, review: int, ahead: int
) -> None:
    static = licence_abroad(clock_median=ints(1, 6, fill=review * DAY))
    draws = tiny_draws(
        static, [(1, 4, ABROAD)], filing_lead=lead * DAY, optimism=optimism * FACTOR_ONE // 4, interconnection_lead=ahead * DAY,
        licence_forecast=1 << 40, patience=ints(1, fill=1 << 40), patience_power=ints(1, fill=1 << 40), opening_stock=ints(1, 1, fill=10**6),
    )  # fmt: skip
    draws.median[:, ABROAD] = np.array(lengths) * DAY
    offsets = [0, *np.cumsum(shell).tolist()], [0, *np.cumsum(power).tolist()]
    log = play(static, in_phases(draws, 0, [1, 2, 1], *offsets))
    site, grid, permits, build, fit, ship, install, commission = lengths
    control = 1 + site
    to_power, to_shell = max(grid - ahead, 0), permits + build + fit
    ready = [control + max(to_power + p, to_shell + s) for s, p in zip(*offsets, strict=True)]
    own = [control + max(to_power + p, to_shell + s) * optimism / 4 - lead for s, p in zip(*offsets, strict=True)]
    asks = [min(max(o, control), r) for o, r in zip(own, ready, strict=True)]
    licensed = min(asks) + review  # the first application asks for all of them
    expected = [max(r, max(a, licensed)) + ship + install + commission for r, a in zip(ready, asks, strict=True)]
    online = rows(log, mark=Mark.ONLINE)
    assert sorted(online["phase"].tolist()) == [0, 1, 2]
    for row in online:
        assert row["tick"] / DAY == pytest.approx(expected[row["phase"]], abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-300, 700), st.integers(1, 60), st.sampled_from([HOME, ELSEWHERE])), min_size=1, max_size=5),
    st.integers(0, 400),
    st.booleans(),
    st.integers(1, 4),
)
def test_a_longer_interconnection_delays_first_power_by_at_most_that(
    plans: list[tuple[int, int, int]], longer: int, bridges: bool, factor: int
) -> None:
    static = tiny_static(bridging_allowed=ints(3, fill=int(bridges)))
    factors = ints(4, 8, fill=FACTOR_ONE)
    factors[Route.EXPANSION, Timed.INTERCONNECTION] = factor * FACTOR_ONE // 4
    draws = tiny_draws(
        static, plans, bridge_supply=ints(48, fill=1 << 30), bridge_trigger=90 * DAY, route_factor=factors,
        route=np.arange(len(plans)) % 2 * Route.EXPANSION,
    )  # fmt: skip
    median = draws.median.copy()
    median[Timed.INTERCONNECTION, ELSEWHERE] += longer * DAY
    before, after = play(static, draws), play(static, replace(draws, median=median))
    for root, (_, _, market) in enumerate(plans):
        early, late = (days(log, Mark.FIRST_POWER, root=root) for log in (before, after))
        if late:
            delay = late[0] - early[0]
            assert delay <= longer
            if not bridges:
                share = factor / 4 if root % 2 else 1
                assert delay == pytest.approx(longer * share if market == ELSEWHERE else 0, abs=1e-5)
            if market == HOME:
                assert delay == 0


# ------------------------------------------------------------------ more reviewers


def crowded(rng: np.random.Generator, reviewers: int, plans: list[tuple[int, int, int]], chips: int) -> tuple[Static, Draws]:
    """An office with three cases of others a week and twenty days of work on each; licences for the second country."""
    static = licence_abroad(background_a_year=ints(1, fill=150), clock_median=ints(1, 6, fill=30 * DAY), allow_relocation=False)
    n = 1_000
    draws = tiny_draws(
        static, plans, chips, reviewers=reviewers, office_gaps=(rng.exponential(1, n) * FACTOR_ONE).astype(np.int64),
        office_work=(rng.exponential(20, n) * DAY).astype(np.int64), licence_work=(rng.exponential(20, (1, 3, 64)) * DAY).astype(np.int64),
        patience=ints(len(plans), fill=1 << 40), patience_power=ints(len(plans), fill=1 << 40),
    )  # fmt: skip
    return static, draws


def online_or_never(log: Log, root: int) -> float:
    return (days(log, Mark.ONLINE, root=root) or [float("inf")])[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(1, 20), st.sampled_from([HOME, ABROAD])), min_size=2, max_size=8),
    st.integers(500, 20_000),
    st.integers(0, 2**32 - 1),
)
def test_more_reviewers_never_help_tier_1_and_never_delay_a_licence(
    plans: list[tuple[int, int, int]], chips: int, seed: int
) -> None:
    few, many = (play(*crowded(np.random.default_rng(seed), n, plans, chips)) for n in (6, 16))
    for root, (_, _, market) in enumerate(plans):
        if market == HOME:
            assert online_or_never(many, root) >= online_or_never(few, root)
    # The office alone: nobody is taken up later for there being more.
    queued = [sum(rows(log, mark=Mark.QUEUED)["quantity"].tolist()) for log in (few, many)]
    first = [rows(log, mark=Mark.APPROVED)["tick"].tolist()[:1] for log in (few, many)]
    assert first[1] <= first[0] or not first[0]
    assert queued[1] <= queued[0] or len(rows(many, mark=Mark.FILED)) != len(rows(few, mark=Mark.FILED))


def test_more_reviewers_do_help_where_licences_are_needed() -> None:
    plans: list[Any] = [(day, 2, ABROAD) for day in range(0, 300, 60)]
    few, many = (play(*crowded(np.random.default_rng(3), n, plans, 10**6)) for n in (6, 16))
    assert sum(online_or_never(many, root) for root in range(5)) < sum(online_or_never(few, root) for root in range(5)) - 30
