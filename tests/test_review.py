"""The review clock: queueing theory against known values, and a fit that brings every stated total time back out of its parts."""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad

from simulator.compile import compile_scenario, scenario_law
from simulator.controls import Law, load_all
from simulator.draws import BITS, Z90, look_up, spread_table
from simulator.pools import ReviewOffice
from simulator.regimes import PROFILES, Regime
from simulator.review import (
    Clock,
    Office,
    base_office,
    describe_fits,
    erlang_c,
    fit_clock,
    handled_cdf,
    stated_clock,
    total_cdf,
    wait_cdf,
    wait_mean,
    wait_quantile,
)
from simulator.sampling import Sampler, frame
from simulator.scenario import load_scenario
from simulator.units import FACTOR_ONE, TICKS_PER_DAY
from simulator.world import World, load_world

OFFICE = Office(10, 500.0, 5.8)
CLOCK = Clock(log_sd=0.25, least_days=39.0, stop_probability=0.45, stop_log_sd=math.log(150 / 14) / (2 * Z90))


@cache
def world() -> World:
    return load_world()


# ------------------------------------------------------------------ theory


@pytest.mark.parametrize(
    "servers, offered, known",
    [
        (1, 0.5, 0.5),  # M/M/1: the load itself
        (1, 0.0, 0.0),
        (2, 1.0, 1 / 3),
        (3, 2.0, 4 / 9),
        (5, 4.0, 0.5541),  # published tables, four places
        (10, 8.0, 0.4092),
    ],
)
def test_erlang_c_has_its_known_values(servers: int, offered: float, known: float) -> None:
    assert erlang_c(servers, offered) == pytest.approx(known, abs=5e-5)


def test_erlang_c_agrees_with_its_definition() -> None:
    """a^c/c! c/(c-a) over itself plus the sum of a^n/n! for n < c."""
    for servers in (1, 2, 4, 7):
        for share in (0.1, 0.5, 0.95):
            a = share * servers
            busy = a**servers / math.factorial(servers) * servers / (servers - a)
            assert erlang_c(servers, a) == pytest.approx(busy / (busy + sum(a**n / math.factorial(n) for n in range(servers))))


@pytest.mark.parametrize("offered", [2.0, 2.5, -0.1])
def test_an_office_that_cannot_keep_up_has_no_steady_state(offered: float) -> None:
    with pytest.raises(ValueError, match="stable below 2 erlangs"):
        erlang_c(2, offered)


def test_wait_quantiles_invert_its_distribution() -> None:
    waits = erlang_c(OFFICE.reviewers, OFFICE.offered)
    assert wait_quantile(1 - waits, OFFICE) == 0.0
    assert wait_quantile(0.2, OFFICE) == 0.0
    for share in (0.7, 0.9, 0.99):
        assert wait_cdf(wait_quantile(share, OFFICE), OFFICE) == pytest.approx(share)
    assert wait_cdf(-1.0, OFFICE) == 0.0
    assert wait_cdf(0.0, OFFICE) == pytest.approx(1 - waits)
    assert wait_mean(OFFICE) == pytest.approx(quad(lambda t: 1 - wait_cdf(t, OFFICE), 0, np.inf)[0], rel=1e-6)


@pytest.mark.parametrize("office", [OFFICE, Office(3, 2 * 365.25 / 5, 5.0), Office(1, 30.0, 6.0)])
def test_wait_and_work_together_are_their_convolution(office: Office) -> None:
    """The second office drains at the rate of one reviewer, where the formula has its limit."""
    rate = 1 / office.work_days
    for days in (0.5, 4.0, 20.0):
        # P(W + S <= t) = E[P(W <= t - S)]
        summed = quad(lambda s, d=days: rate * math.exp(-rate * s) * wait_cdf(d - s, office), 0, days)[0]
        assert float(handled_cdf(np.array(days), office)) == pytest.approx(summed, rel=1e-6)
    assert float(handled_cdf(np.array(-1.0), office)) == 0.0


def test_the_office_of_the_engine_waits_as_theory_says() -> None:
    """FIFO reviewers with Poisson arrivals and exponential work: mean wait and share that waits at all.

    Waits of one run are correlated, so the tolerance comes from twelve independent runs.
    """
    rng = np.random.default_rng(20260101)
    means, waited = [], []
    for _ in range(12):
        n = 20_000
        arrive = np.cumsum(rng.exponential(365.25 / OFFICE.applications_a_year, n))
        work = rng.exponential(OFFICE.work_days, n)
        ticks = np.rint(arrive * TICKS_PER_DAY).astype(int).tolist()
        office = ReviewOffice(OFFICE.reviewers, [], [])
        began = [office.take(t, int(w * TICKS_PER_DAY)) for t, w in zip(ticks, work.tolist(), strict=True)]
        wait = (np.array(began) - np.array(ticks)) / TICKS_PER_DAY
        means.append(wait.mean())
        waited.append((wait > 0).mean())
    for found, expected in ((means, wait_mean(OFFICE)), (waited, erlang_c(OFFICE.reviewers, OFFICE.offered))):
        assert abs(np.mean(found) - expected) < 4 * np.std(found, ddof=1) / math.sqrt(len(found))


# ------------------------------------------------------------------ the fit


def stated(regime: Regime, day: date) -> dict[str, tuple[float, float]]:
    law = Law(((date.min, regime),), {})
    return {name: (law.at(f"time.{name}.p50_days", day), law.at(f"time.{name}.p90_days", day)) for name in PROFILES}


@pytest.mark.parametrize("id", sorted(load_all()))
def test_every_profile_of_every_regime_comes_out_of_its_parts(id: str) -> None:
    law = Law(((date.min, load_all()[id]),), {})
    office, day = base_office(world()), date(2027, 6, 1)
    for name, (p50, p90) in stated(load_all()[id], day).items():
        fit = fit_clock(p50, p90, office, stated_clock(world(), law, day))
        assert fit.achieved_p50 == pytest.approx(p50, rel=0.05), name
        # A total without any spread (a target in the text) cannot come from a queue: its median is met.
        if p90 > p50:
            assert fit.achieved_p90 == pytest.approx(p90, rel=0.10), name
        assert total_cdf(fit.achieved_p90, *fit[:3], office, stated_clock(world(), law, day)) == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("p50, p90", [(30.0, 75.0), (120.0, 300.0), (150.0, 400.0), (25.0, 45.0), (39.0, 90.0)])
def test_the_fit_is_what_the_engine_then_does(p50: float, p90: float) -> None:
    """The four parts drawn as the engine draws them, from its own integer tables."""
    fit = fit_clock(p50, p90, OFFICE, CLOCK)
    rng = np.random.default_rng(7)
    n = 200_000
    u, v, stops = (rng.integers(0, 1 << BITS, n) for _ in range(3))
    waits = rng.random(n) < erlang_c(OFFICE.reviewers, OFFICE.offered)
    drain = OFFICE.work_days / (OFFICE.reviewers - OFFICE.offered)
    total = np.where(waits, rng.exponential(drain, n), 0.0) + rng.exponential(OFFICE.work_days, n)
    total += fit.clock_median_days * look_up(spread_table(CLOCK.log_sd), u) / FACTOR_ONE
    stopped = stops < fit.stop_probability * 2.0**BITS
    total += np.where(stopped, fit.stop_median_days * look_up(spread_table(CLOCK.stop_log_sd), v) / FACTOR_ONE, 0.0)
    assert np.quantile(total, 0.5) == pytest.approx(p50, rel=0.01)
    assert np.quantile(total, 0.9) == pytest.approx(p90, rel=0.015)


def test_the_clock_is_no_shorter_than_the_text_where_the_total_leaves_room() -> None:
    roomy = fit_clock(50.0, 120.0, OFFICE, CLOCK)
    assert roomy.clock_median_days == pytest.approx(39.0, abs=0.1)
    assert 0 < roomy.stop_probability < CLOCK.stop_probability  # stops are rarer instead
    assert (roomy.achieved_p50, roomy.achieved_p90) == (pytest.approx(50.0, rel=0.01), pytest.approx(120.0, rel=0.01))
    tight = fit_clock(30.0, 75.0, OFFICE, CLOCK)
    assert tight.clock_median_days < 39.0
    assert tight.stop_probability == CLOCK.stop_probability


def test_a_narrow_profile_has_no_stops_and_a_rare_one_more_of_them() -> None:
    narrow = fit_clock(30.0, 30.0, OFFICE, CLOCK)
    assert (narrow.stop_probability, narrow.stop_median_days) == (0.0, 0.0)
    assert narrow.achieved_p50 == pytest.approx(30.0, rel=1e-3)
    rare = fit_clock(120.0, 300.0, OFFICE, Clock(0.25, 39.0, 0.05, CLOCK.stop_log_sd))
    assert rare.stop_probability > 0.05
    assert rare.achieved_p90 == pytest.approx(300.0, rel=0.01)


@pytest.mark.parametrize("p50, p90", [(0.0, 30.0), (40.0, 30.0)])
def test_a_total_that_is_none_is_refused(p50: float, p90: float) -> None:
    with pytest.raises(ValueError, match="0 < median <= 90th percentile"):
        fit_clock(p50, p90, OFFICE, CLOCK)


def test_the_base_office_is_busy_but_keeps_up() -> None:
    office = base_office(world())
    assert 0.6 <= office.offered / office.reviewers <= 0.9
    law = scenario_law(load_scenario("history"))
    # One number in two places: what the law's data and the process data say of the applications of others.
    assert law.at("applications.background_per_year", date(2026, 1, 1)) == office.applications_a_year


def test_fits_are_described_once_a_policy_and_profile() -> None:
    law = scenario_law(load_scenario("bilateral-deals"))
    rows = describe_fits(law, world(), [date(2024, 1, 1), date(2025, 6, 1), date(2025, 7, 1), date(2027, 6, 1)])
    assert len({(row.review, row.profile) for row in rows}) == len(rows)
    assert {row.profile for row in rows} == {"chips_normal"}
    assert ("deal_window", "chips_normal") in {(row.review, row.profile) for row in rows}
    for row in rows:
        assert (row.target_p50, row.target_p90) == law.licence_days(row.review, row.since)
        assert row.achieved_p50 == pytest.approx(row.target_p50, rel=0.05)
        assert row.achieved_p90 == pytest.approx(row.target_p90, rel=0.10)
        assert row.meets_text


def test_more_reviewers_shorten_the_queue_and_not_the_clock() -> None:
    """Fitted once: a scenario with a larger office keeps the clocks of the base, or the fit would undo what it supposes."""
    change = "inputs=[{table: process, parameter: licence_reviewers_effective, multiply: 2, reason: more staff}]"
    start, end = date(2024, 1, 1), date(2025, 12, 31)
    plain, staffed = (load_scenario("october-2023-rule", sets=[f"end={end}", *more]) for more in ([], [change]))
    sampler = Sampler(world(), frame(world(), start, end))
    compiled = [compile_scenario(s, world(), sampler).static for s in (plain, staffed)]
    for name in ("clock_median", "stop_below", "stop_median"):
        assert (getattr(compiled[0], name) == getattr(compiled[1], name)).all()
    days = [start + timedelta(days=int(tick) // TICKS_PER_DAY) for tick in compiled[0].law_ticks]
    assert len(days) > 1
