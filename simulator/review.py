"""How long an application takes: the review clock fitted to the stated total time.

What is stated, for a profile such as `backlog_2025`, is the total from filing to decision (median and 90th percentile). The
engine builds that total from its parts,

    wait for a reviewer + a reviewer's work + interagency clock + perhaps a stop of the clock

and a hold, which is not part of the fit: a decision that falls into a hold is given when the hold ends. Wait and work are
those of an M/M/c queue, first come first served, at the load of the base year; clock and stop are lognormal. So the clock's
median and the stops are what remains to be chosen (`fit_clock`), once a profile, so that the sum meets its target and nothing
is added on top of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Z90, Floats, spread_table
from simulator.units import DAYS_PER_YEAR, FACTOR_ONE

if TYPE_CHECKING:
    from simulator.controls import Law
    from simulator.world import World


@dataclass(frozen=True, slots=True)
class Office:
    """Reviewers of advanced-computing cases at the load of the base year."""

    reviewers: int
    applications_a_year: float
    work_days: float
    """Mean of a reviewer's work on one application (exponential)"""

    @property
    def offered(self) -> float:
        """Load in reviewers kept busy (erlangs)."""
        return self.applications_a_year * self.work_days / DAYS_PER_YEAR


@dataclass(frozen=True, slots=True)
class Clock:
    """What the data says of the interagency clock and its stops, before any fit."""

    log_sd: float
    """Spread of the clock's length between applications"""
    least_days: float
    """First action and recommendations by the text: the clock's median is not shorter where the stated total leaves room"""
    stop_probability: float
    stop_log_sd: float


class ClockFit(NamedTuple):
    """Clock and stops that meet a stated total time, and the total they give."""

    clock_median_days: float
    stop_probability: float
    stop_median_days: float
    achieved_p50: float
    achieved_p90: float


class FitRow(NamedTuple):
    """A fitted profile as a results folder prints it; days."""

    review: str
    profile: str
    since: date
    target_p50: float
    target_p90: float
    achieved_p50: float
    achieved_p90: float
    wait_mean: float
    work_mean: float
    clock_median: float
    stop_probability: float
    stop_median: float
    meets_text: bool
    """The clock's median is no shorter than first action and recommendations by the text (9 + 30 days)"""


# ---------------------------------------------------------------------- the queue


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival finds all servers busy in an M/M/c queue; `offered` is the load in erlangs.

    Erlang's second formula, by the recursion of the first (numerically stable). Raises ValueError unless 0 <= offered < servers.
    """
    if not 0 <= offered < servers:
        raise ValueError(f"a queue of {servers} servers is stable below {servers} erlangs, not at {offered:g}")
    lost = 1.0
    for n in range(1, servers + 1):
        lost = offered * lost / (n + offered * lost)
    return lost / (1 - offered / servers * (1 - lost))


def wait_cdf(days: float, office: Office) -> float:
    """Probability that an application is taken up within so many days."""
    if days < 0:
        return 0.0
    return 1 - erlang_c(office.reviewers, office.offered) * exp(-_drain(office) * days)


def wait_quantile(share: float, office: Office) -> float:
    """Days within which this share of applications is taken up (0 up to the share that never waits)."""
    waits = erlang_c(office.reviewers, office.offered)
    return 0.0 if share <= 1 - waits else log(waits / (1 - share)) / _drain(office)


def wait_mean(office: Office) -> float:
    """Mean days until an application is taken up."""
    return erlang_c(office.reviewers, office.offered) / _drain(office)


def _drain(office: Office) -> float:
    """Rate a day at which a busy office works off its line."""
    return (office.reviewers - office.offered) / office.work_days


def handled_cdf(days: Floats, office: Office) -> Floats:
    """Probability that wait and work together take no longer than so many days."""
    waits, theta, mu = erlang_c(office.reviewers, office.offered), _drain(office), 1 / office.work_days
    t = np.maximum(days, 0.0)
    if abs(theta - mu) < 1e-9 * mu:
        after = np.exp(-mu * t) * (1 + waits * mu * t)
    else:
        after = np.exp(-mu * t) * (1 - waits) + waits * (theta * np.exp(-mu * t) - mu * np.exp(-theta * t)) / (theta - mu)
    return np.where(days < 0, 0.0, 1 - after)


# ---------------------------------------------------------------------- the fit

CLOCK_POINTS, STOP_POINTS = 32, 64
"""Equally likely lengths at which the two lognormals are taken; the queue's part is exact."""


@lru_cache(maxsize=32)
def _lengths(log_sd: float, points: int) -> Floats:
    """Equally likely multipliers, read from the very table the engines read."""
    table = spread_table(log_sd)
    at = (np.arange(points) + 0.5) / points * (len(table) - 1)
    return np.asarray(np.interp(at, np.arange(len(table)), table) / FACTOR_ONE, dtype=np.float64)


def total_cdf(
    days: float, clock_median: float, stop_probability: float, stop_median: float, office: Office, clock: Clock
) -> float:
    """Probability that an application is decided within so many days, holds apart."""
    left = days - clock_median * _lengths(clock.log_sd, CLOCK_POINTS)
    found = (1 - stop_probability) * float(handled_cdf(left, office).mean())
    if stop_probability:
        stopped = left[:, None] - stop_median * _lengths(clock.stop_log_sd, STOP_POINTS)
        found += stop_probability * float(handled_cdf(stopped, office).mean())
    return found


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a monotone function is zero; the nearer end if it is nowhere."""
    from scipy.optimize import brentq

    at_low, at_high = function(low), function(high)
    if at_low * at_high > 0:
        return low if abs(at_low) < abs(at_high) else high
    return float(brentq(function, low, high, xtol=1e-3))


@lru_cache(maxsize=256)
def fit_clock(p50: float, p90: float, office: Office, clock: Clock) -> ClockFit:
    """The clock's median, and the stops, that bring the total to a stated median and 90th percentile (days).

    The clock's median meets the median; the length of a stop, then, the 90th percentile; if stops of that frequency cannot be
    long enough, they become more frequent. A profile too narrow for any stop has none, and its 90th percentile is then that of
    queue and clock alone. Where the total leaves room for it the clock's median is at least what the text allows the agencies
    for first action and recommendations: stops become rarer until it is. Raises ValueError unless 0 < p50 <= p90.
    """
    if not 0 < p50 <= p90:
        raise ValueError(f"a total time needs 0 < median <= 90th percentile, not {p50:g} and {p90:g} days")

    def share(days: float, median: float, probability: float, stop: float) -> float:
        return total_cdf(days, median, probability, stop, office, clock)

    def median_for(probability: float, stop: float) -> float:
        return _crossing(lambda median: share(p50, median, probability, stop) - 0.5, 0.0, p50)

    def beyond(probability: float, stop: float) -> float:
        return share(p90, median_for(probability, stop), probability, stop) - 0.9

    def stop_for(probability: float) -> float:
        return _crossing(lambda stop: beyond(probability, stop), 0.0, p90)

    probability = clock.stop_probability
    if beyond(0.0, 0.0) <= 0:  # without any stop a tenth takes longer already
        probability, stop = 0.0, 0.0
    elif beyond(probability, p90) > 0:
        probability, stop = _crossing(lambda p: beyond(p, p90), probability, 1.0), p90
    else:
        stop = stop_for(probability)
        if median_for(0.0, 0.0) >= clock.least_days > median_for(probability, stop):
            probability = _crossing(lambda p: median_for(p, stop_for(p)) - clock.least_days, 0.1, probability)
            stop = stop_for(probability)
    median = median_for(probability, stop)

    def reached(part: float) -> float:
        return _crossing(lambda days: share(days, median, probability, stop) - part, 0.0, 10 * (p90 + office.work_days))

    return ClockFit(median, probability, stop, reached(0.5), reached(0.9))


# ---------------------------------------------------------------------- from the inputs


def base_office(world: World) -> Office:
    """The office of the base year: reviewers, applications of others and work on each at their middle values.

    Fitted once: a scenario that supposes more reviewers or applications keeps the clocks fitted to the unchanged inputs, so that
    its totals move with the queue.
    """
    return Office(
        round(world.number("process", "licence_reviewers_effective")),
        world.number("process", "licence_applications_per_year"),
        world.number("process", "licence_review_work_days"),
    )


def stated_clock(world: World, law: Law, on: date) -> Clock:
    """What the law's text and the inputs say of clock and stops on a day."""
    stop = world.get("process", "clock_stop_days")
    low, high = stop.low or stop.number, stop.high or stop.number
    return Clock(
        log_sd=float(law.at("clock.log_sd", on)),
        least_days=float(law.at("clock.first_action_days", on) + law.at("clock.recommendation_days", on)),
        stop_probability=world.number("process", "clock_stop_frequency"),
        stop_log_sd=log(high / low) / (2 * Z90),
    )


def describe_fits(law: Law, world: World, days: Iterable[date]) -> list[FitRow]:
    """One row a review policy and profile that a timeline uses on any of the days: stated and fitted total, and the parts."""
    office, rows, seen = base_office(world), list[FitRow](), set[tuple[str, str, float, float]]()
    for day in sorted(days):
        used = {review for p in law.in_force(day) for review in (p.review, p.review_beyond_quota) if review}
        for review in sorted(used):
            profile, target = law.licence_profile(review, day), law.licence_days(review, day)
            if (key := (review, profile, *target)) in seen:
                continue
            seen.add(key)
            clock = stated_clock(world, law, day)
            fit = fit_clock(*target, office, clock)
            rows.append(
                FitRow(
                    review, profile, day, *target, fit.achieved_p50, fit.achieved_p90, wait_mean(office), office.work_days,
                    fit.clock_median_days, fit.stop_probability, fit.stop_median_days, fit.clock_median_days >= clock.least_days,
                )
            )  # fmt: skip
    return rows
