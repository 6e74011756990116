"""Capacity: what is online and where, five series of chips, large campuses, and the footprint an authorisation looks at.

Pure functions of the log and of the lives it tells. Tables (T, K, X) are levels at month ends, as `lives.MonthEnds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import campuses, costs
from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.lives import NEVER, Bools, MonthEnds, once
from simulator.static import Ints
from simulator.timeline import with_total
from simulator.units import MW_SIXTEENTHS, PPM

if TYPE_CHECKING:
    from simulator.lives import Authorisations, Lives, Rows
    from simulator.static import Draws, Static

WATTS_PER_SIXTEENTH = 1_000_000 // MW_SIXTEENTHS
TIERS = 3


class Capacity(NamedTuple):
    """(T, K, C) at month ends, opening fleet included."""

    it_mw: Floats
    h100e: Floats


def capacity(static: Static, draws: Draws, life: Lives, ends: MonthEnds) -> Capacity:
    p = life.phases
    fleet_mw = (draws.fleet_chips * static.watts).sum(axis=2) / 1e6
    fleet_h100e = (draws.fleet_chips * static.h100e_ppm).sum(axis=2) / PPM
    return Capacity(
        fleet_mw[None] + ends.totals(p.online, p.company, p.country, p.online_mw16 / MW_SIXTEENTHS),
        fleet_h100e[None] + ends.totals(p.online, p.company, p.country, p.h100e_ppm / PPM),
    )


class Chips(NamedTuple):
    """(T, K, tiers) h100e at month ends; what has no site is at home."""

    ordered: Floats
    delivered: Floats
    stock: Floats
    installed: Floats
    without_shell: Floats


def chips(static: Static, draws: Draws, rows: Rows, life: Lives, ends: MonthEnds, delivered: Ints) -> Chips:
    """Ordered, delivered, in stock and installed, as five series with what is online; all include what was held at the start."""
    p = life.phases
    opening = draws.opening_stock + draws.under_way
    delivered = np.cumsum(delivered, axis=0)
    ordered = np.cumsum(costs.deliveries(static, rows, Mark.COMMITTED), axis=0)
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    left = _by_chip(static).totals(
        rows.tick[taken], p.company[life.place[rows.unit[taken]]], rows.pool[taken], rows.quantity[taken]
    )
    in_stock = opening[None] + delivered - left

    compute = static.h100e_ppm / PPM
    fleet = (draws.fleet_chips @ compute)[None]
    held = fleet.sum(axis=2) + opening @ compute
    home = np.arange(ends.places) == ends.place[static.home]
    h100e = p.h100e_ppm / PPM
    early = p.front_loaded < NEVER
    ahead = ends.during(p.shipped[early], p.ready[early], p.company[early], p.country[early], h100e[early])
    return Chips(
        ordered=(held + ordered @ compute)[:, :, None] * home,
        delivered=(held + delivered @ compute)[:, :, None] * home,
        stock=(in_stock @ compute)[:, :, None] * home,
        installed=ends.totals(p.installed, p.company, p.country, h100e) + by_tier(static, fleet),
        without_shell=_without_shell(static, life, in_stock)[:, :, None] * home + ahead,
    )


@once
def _by_chip(static: Static) -> MonthEnds:
    return MonthEnds(static, np.arange(len(static.accelerators)), len(static.accelerators))


@once
def _by_vendor(static: Static) -> MonthEnds:
    return MonthEnds(static, np.arange(len(static.vendors)), len(static.vendors))


def _without_shell(static: Static, life: Lives, in_stock: Floats) -> Floats:
    """(T, K) h100e in stock beyond what ready phases that wait for this vendor's chips would take, by watts."""
    p = life.phases
    of_vendor = (static.vendor_of[:, None] == np.arange(len(static.vendors))).astype(np.float64)
    watts = (in_stock * static.watts) @ of_vendor
    h100e = (in_stock * static.h100e_ppm / PPM) @ of_vendor
    begin, end = ready_without_chips(life)
    load = p.mw16 * float(WATTS_PER_SIXTEENTH)
    asked = _by_vendor(static).during(begin, end, p.company, p.vendor, load)
    spare = np.clip(1 - np.divide(asked, watts, out=np.ones_like(watts), where=watts > 0), 0.0, 1.0)
    return (h100e * spare).sum(axis=2)


def ready_without_chips(life: Lives) -> tuple[Ints, Ints]:
    """(from, until) when each phase was powered and shelled and had no chips shipped to it; NEVER twice if it never was."""
    p = life.phases
    until = np.minimum(p.shipped, np.minimum(p.ended, p.in_fleet))
    was = p.ready < until
    return np.where(was, p.ready, NEVER), np.where(was, until, NEVER)


def by_tier(static: Static, table: Floats) -> Floats:
    """(T, K, C) as (T, K, tiers)."""
    member = (static.tier[:, None] - 1 == np.arange(TIERS)).astype(np.float64)
    return table @ member


def markets(static: Static, life: Lives, ends: MonthEnds, at: list[int]) -> Floats:
    """(2, Y, M) MW and h100e that came online since the start, at some month ends."""
    p, count = life.phases, len(static.markets)
    return np.stack(
        [ends.at(at, p.online, p.market, count, amount) for amount in (p.online_mw16 / MW_SIXTEENTHS, p.h100e_ppm / PPM)]
    )


def footprint(
    static: Static, draws: Draws, rows: Rows, life: Lives, held: Authorisations, ends: MonthEnds, at: list[int], delivered: Ints
) -> Floats:
    """(FOOTPRINT, Y, 1 + K) controlled TPP outside trusted countries over all a company owns, and what the authorisation leaves."""
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    phase = life.place[rows.unit[taken]]
    tpp = rows.quantity[taken] * static.counted_tpp[rows.pool[taken]].astype(np.float64)
    pairs = ends.companies * ends.places
    pair = life.phases.company[phase] * ends.places + life.phases.country[phase]
    placed = ends.at(at, rows.tick[taken], pair, pairs, tpp).reshape(len(at), ends.companies, ends.places)
    came = np.cumsum(delivered @ static.counted_tpp, axis=0)[at]
    fleet = (draws.fleet_chips * static.counted_tpp).sum(axis=2)
    owned = placed + fleet[None]
    owned[:, :, static.home] += (
        came + ((draws.opening_stock + draws.under_way) * static.counted_tpp).sum(axis=1) - placed.sum(axis=2)
    )
    last = static.month_starts[1:][at] - 1
    segment = np.searchsorted(static.law_ticks, last, side="right") - 1
    outside = with_total((owned * (1 - static.trusted[segment])[:, None]).sum(axis=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = outside / with_total(owned.sum(axis=2))
    offered: Bools = _offered(static)[segment]
    share[~np.concatenate([offered.any(axis=1, keepdims=True), offered], axis=1)] = np.nan
    holds = (held.since <= last[:, None]) & (last[:, None] < held.until) & offered
    left = np.where(holds, (1 - static.uveu_tier1_ppm[segment] / PPM)[:, None] - share[:, 1:], np.nan)
    least = np.where(holds.any(axis=1), np.where(holds, left, np.inf).min(axis=1), np.nan)
    return np.stack([share, np.concatenate([least[:, None], left], axis=1)])


@once
def _offered(static: Static) -> Bools:
    """(S, K) whether the law offers a company the universal authorisation anywhere."""
    found: Bools = np.any(static.uveu_rule >= 0, axis=(2, 3))
    return found


def large(draws: Draws, life: Lives, campus: Ints, ends: MonthEnds) -> list[Floats]:
    """Campuses that have reached each of `campuses.THRESHOLDS_MW`."""
    found = []
    for threshold in campuses.THRESHOLDS_MW:
        founder, tick = campuses.large_campuses(campus, life.phases, draws.design_ratio_ppm, threshold)
        found.append(ends.totals(tick, life.sites.company[founder], life.sites.country[founder], 1.0))
    return found
