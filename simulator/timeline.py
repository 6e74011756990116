"""How long it takes from plan to online, against whom the company's own dates hold, and how fast sites fill up.

Every duration names its cohort. *By start*: lineages (a project and its successors, clock from the first plan) planned since the
start date; giving up is a competing end and the horizon censors. *By completion*: what came online since the start date.
Results are vectors (1 + K,): all companies, then each.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import sums
from simulator.draws import Floats
from simulator.lives import NEVER, Bools
from simulator.sampling import HOPS
from simulator.static import Ints, Route
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.lives import Lives
    from simulator.static import Draws, Static

MONTHS_PER_YEAR = 12


def with_total(by_company: Floats) -> Floats:
    """(..., K) with the sum of all companies in front."""
    return np.concatenate([by_company.sum(axis=-1, keepdims=True), by_company], axis=-1)


def each(companies: int, company: Ints) -> list[Bools]:
    """Masks of all entries, and of those of each company."""
    return [np.ones(len(company), dtype=np.bool_), *(company == k for k in range(companies))]


def decimal_year(start: date, tick: int) -> float:
    """A tick as a point in time, 2026.5 for the middle of 2026."""
    day = date.fromordinal(start.toordinal() + tick // TICKS_PER_DAY)
    first = date(day.year, 1, 1).toordinal()
    return day.year + (day.toordinal() - first) / (date(day.year + 1, 1, 1).toordinal() - first)


def first_years(static: Static, tick: Ints, company: Ints) -> Floats:
    """(1 + K,) first tick of all and of each company as a point in time; nan where there is none in the run."""
    first = np.full(1 + len(static.companies), NEVER)
    np.minimum.at(first, 1 + company, tick)
    first[0] = first.min()
    return np.array([decimal_year(static.start, tick) if tick < static.horizon else np.nan for tick in first.tolist()])


def in_months(ticks: Ints | int) -> Floats:
    """Ticks as average calendar months."""
    return np.asarray(ticks) / TICKS_PER_DAY / DAYS_PER_YEAR * MONTHS_PER_YEAR


class Lineages(NamedTuple):
    """Lineages planned since the start (a project and its successors; clock from the first plan), in order of time. All (N,).

    Who leaves on a day comes before who is last seen on it: it leaves first.
    """

    root: Ints
    company: Ints
    route: Ints
    ticks: Ints
    """to the first phase online, to giving up, or to the horizon"""
    online: Bools
    cancelled: Bools


def lineages(static: Static, draws: Draws, life: Lives) -> Lineages:
    """The cohort by start: cancellation is a competing end, the horizon censors. A relocation is no end of a lineage."""
    shape = len(draws.names), HOPS
    sites, p = life.sites, life.phases
    planned = sites.planned.reshape(shape)
    root = np.nonzero((planned[:, 0] >= 0) & (planned[:, 0] < static.horizon))[0]
    online, shipped = np.full(shape[0], NEVER), np.full(shape[0], NEVER)
    np.minimum.at(online, p.site // HOPS, p.online)
    np.minimum.at(shipped, p.site // HOPS, p.shipped)
    last = np.maximum((planned < NEVER).sum(axis=1) - 1, 0)
    given_up = sites.ended.reshape(shape)[np.arange(shape[0]), last]
    given_up[shipped < NEVER] = NEVER  # part of it will be online
    ticks = np.minimum(np.minimum(online, given_up), static.horizon)[root] - planned[root, 0]
    reached = online[root] < static.horizon
    cancelled = ~reached & (given_up[root] < static.horizon)
    order = np.lexsort((~(reached | cancelled), ticks))
    root = root[order]
    return Lineages(root, draws.company[root], draws.route[root], ticks[order], reached[order], cancelled[order])


def incidence_months(of: Lineages, shares: tuple[float, ...], among: Bools | None = None) -> list[float]:
    """Months by which each share has a phase online; nan if fewer do.

    Aalen-Johansen estimate of the cumulative incidence (Aalen and Johansen 1978).
    """
    chosen = np.ones(len(of.ticks), dtype=np.bool_) if among is None else among
    return _incidences(of, shares, chosen[None])[0].tolist()


def _incidences(of: Lineages, shares: tuple[float, ...], among: Bools) -> Floats:
    """(groups, shares) the same for several groups (groups, N)."""
    # A product of fractions rarely rounds to exactly one half.
    place = sums.incidence(of.online, of.online | of.cancelled, among, np.array(shares) - 1e-9)
    ticks = np.append(of.ticks, 0)  # for the last one, which stands for none
    return np.where(place < 0, np.nan, in_months(ticks[place]))


def median_months(static: Static, draws: Draws, life: Lives) -> float:
    """Months by which half of the lineages planned since the start have a first phase online; nan if fewer than half ever do."""
    return incidence_months(lineages(static, draws, life), (0.5,))[0]


def times(static: Static, draws: Draws, life: Lives) -> dict[str, Floats]:
    """Times from plan to online, slippage and ramp, by company and for all."""
    companies = len(static.companies)
    of = lineages(static, draws, life)
    masks = each(companies, of.company)
    numbers: dict[str, Floats] = {}
    groups = np.stack(masks)
    quantiles = _incidences(of, (0.5, 0.1, 0.9), groups)
    for i, name in enumerate(("median", "p10", "p90")):
        numbers[f"months_plan_to_online_{name}"] = quantiles[:, i]
    for route in Route:
        numbers[f"months_plan_to_online_{route.name.lower()}"] = _incidences(of, (0.5,), groups & (of.route == route))[:, 0]
    numbers["share_online_by_horizon"] = _means(of.online.astype(np.float64), masks)

    p, sites = life.phases, life.sites
    lit = (p.online >= 0) & (p.online < static.horizon)
    first = sites.planned[p.site[lit] // HOPS * HOPS]
    waited = in_months(p.online[lit] - first)
    numbers["months_plan_to_online_mw_mean"] = _means(waited, each(companies, p.company[lit]), p.online_mw16[lit])

    due = (sites.own_date >= 0) & (sites.own_date < static.horizon) & ((sites.first_power < NEVER) | (sites.ended == NEVER))
    power = sites.first_power[due]
    slip = np.where(power < NEVER, (power - sites.own_date[due]) / TICKS_PER_DAY, np.inf)
    masks = each(companies, sites.company[due])
    numbers["slippage_days_median"] = _medians(slip, masks)
    numbers["share_late"] = _means((slip > 0).astype(np.float64), masks)

    online_first, several = np.full(len(sites.planned), NEVER), np.zeros(len(sites.planned), dtype=np.int64)
    np.minimum.at(online_first, p.site, p.online)
    np.maximum.at(several, p.site, p.number)
    began = (several > 0) & (online_first >= 0) & (online_first < static.horizon) & (sites.ended == NEVER)
    full = np.where(sites.full[began] < NEVER, in_months(sites.full[began] - online_first[began]), np.inf)
    numbers["months_first_to_full_median"] = _medians(full, each(companies, sites.company[began]))

    powered = (sites.first_power >= 0) & (sites.first_power < static.horizon)
    until = np.minimum(np.minimum(sites.full, sites.ended), static.horizon)[powered]
    span = in_months(np.maximum(until - sites.first_power[powered], 0))
    mw = np.bincount(p.site[lit], weights=p.online_mw16[lit] / MW_SIXTEENTHS, minlength=len(sites.planned))[powered]
    ramp = [(mw[m].sum(), span[m].sum()) for m in each(companies, sites.company[powered])]
    numbers["ramp_mw_per_month"] = np.array([above / below if below > 0 else np.nan for above, below in ramp])
    return numbers


def _means(values: Floats, masks: list[Bools], weight: Ints | None = None) -> Floats:
    """Mean of each group, nan of an empty one."""
    w = np.ones(len(values)) if weight is None else weight.astype(np.float64)
    sums = [(float((values * w)[m].sum()), float(w[m].sum())) for m in masks]
    return np.array([above / below if below > 0 else np.nan for above, below in sums])


def _medians(values: Floats, masks: list[Bools]) -> Floats:
    """Lower median of each group, infinity standing for not yet; nan where fewer than half are there, or the group is empty."""
    found = []
    for m in masks:
        ordered = np.sort(values[m])
        middle = float(ordered[(len(ordered) - 1) // 2]) if len(ordered) else np.nan
        found.append(middle if np.isfinite(middle) else np.nan)
    return np.array(found)
