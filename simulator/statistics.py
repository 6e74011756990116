"""From replications to statements: quantiles, and paired differences with their interval and their spread.

The interval of a mean says how precise the simulation is; p10 to p90 of the difference say how uncertain the world is. The two
are never mixed. One metric is worked on at a time, all its dates and places at once, so memory does not grow with their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.metrics import BY_COUNTRY, BY_MARKET, BY_MONTH, BY_YEAR, METRICS, SCALARS, Metric, groups, year_ends
from simulator.spillovers import DESTINATIONS, displacement, split_unmet, unmet_abroad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.experiments import Comparison

    Floats = NDArray[np.float64]

LEVEL = 0.95
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Row:
    """One metric of one scenario at one date. `share_reached`: part of the replications in which it has a value at all."""

    scenario: str
    metric: str
    unit: str
    company: str
    country: str
    tier: str
    date: str
    mean: float | None
    p10: float | None
    p50: float | None
    p90: float | None
    share_reached: float
    market: str = "all"


@dataclass(frozen=True)
class Difference:
    """Scenario minus reference, paired by replication, over the replications in which both have a value."""

    reference: str
    scenario: str
    metric: str
    unit: str
    company: str
    country: str
    tier: str
    date: str
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    p10: float | None
    p50: float | None
    p90: float | None
    share_positive: float | None
    share_zero: float | None
    replications: int
    market: str = "all"


# ---- numbers ----------------------------------------------------------------------------------------------------------------


class Summary(NamedTuple):
    """Statistics of columns of numbers over the replications that have a value. All (L,), nan where there is none."""

    known: NDArray[np.int64]
    mean: Floats
    p10: Floats
    p50: Floats
    p90: Floats


def summary(values: Floats) -> Summary:
    """Mean and quantiles of each column of (N, L) numbers; what is not finite counts as no value."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
    ordered = np.sort(np.where(known, values, np.nan), axis=0)  # those without a value come last
    last, column = np.maximum(count - 1, 0), np.arange(values.shape[1])
    found = []
    for share in QUANTILES:
        place = share * last
        below = np.floor(place).astype(np.int64)
        low, high = ordered[below, column], ordered[np.minimum(below + 1, last), column]
        found.append(low + (high - low) * (place - below))
    return Summary(count, mean, *found)


def half_widths(gaps: Floats) -> Floats:
    """(L,) half-width of the 95 % Student interval of the mean of each column; nan for fewer than two numbers. nan are left out."""
    from scipy.special import stdtrit

    known = np.isfinite(gaps)
    n = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, gaps, 0.0).sum(axis=0) / n
        squares = (np.where(known, gaps - mean, 0.0) ** 2).sum(axis=0)
        wide = stdtrit(np.maximum(n - 1, 1), (1 + LEVEL) / 2) * np.sqrt(squares / (n - 1)) / np.sqrt(n)
    return np.asarray(np.where(n > 1, wide, np.nan), dtype=np.float64)


def half_width(differences: Floats) -> float:
    """The same for one set of numbers."""
    return float(half_widths(differences[:, None])[0])


def _number(value: float) -> float | None:
    return None if not math.isfinite(value) else value


Column = tuple[str, str, str, str, str, str, "dict[str, NDArray[np.float64]]"]
"""Metric, unit, company, country, tier, date, and the replications by scenario."""

# ---- everything that is reported --------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """What a column of numbers is of; "all" marks a total."""

    company: str
    country: str
    tier: str
    market: str
    date: str


class Block(NamedTuple):
    """A metric with all its dates and places: (N, L) numbers by scenario, column by column in the order of `places`."""

    metric: Metric
    places: list[Place]
    values: dict[str, Floats]


def blocks(comparison: Comparison, *, monthly: bool = False) -> Iterator[Block]:
    """Every number reported, metric by metric. Year ends unless `monthly`; dates are month ends.

    Columns without any value are left out, and so are countries and markets in which nothing ever happens.
    """
    static = comparison.compiled[0].static
    days = [day.isoformat() for day in comparison.compiled[0].sampler.frame.months]
    names = comparison.names()
    ends = year_ends(static)
    dated = list(range(len(days))) if monthly else ends

    def block(metric: Metric, places: Sequence[Place], tables: dict[str, Floats], empty: bool) -> Block:
        """`tables` (N, L); `empty`: zeros alone say nothing either."""
        flat = {name: np.asarray(table, dtype=np.float64) for name, table in tables.items()}
        told = np.zeros(len(places), dtype=np.bool_)
        for table in flat.values():
            told |= (np.isfinite(table) & (table != 0.0 if empty else True)).any(axis=0)
        kept = np.nonzero(told)[0]
        return Block(metric, [places[i] for i in kept.tolist()], {name: table[:, kept] for name, table in flat.items()})

    def grouped(metric: Metric, tables: dict[str, Floats], when: list[int]) -> Block:
        """`tables` (N, T, G)."""
        every = groups(static)
        given = [g for g in range(len(every)) if any(np.isfinite(tables[name][:, :, g]).any() for name in names)]
        places = [Place(every[g].company, every[g].country, every[g].tier, "all", days[t]) for g in given for t in when]
        flat = {name: np.moveaxis(table[:, :, given], 1, 2).reshape(len(table), -1) for name, table in tables.items()}
        return Block(metric, places, {name: np.asarray(table, dtype=np.float64) for name, table in flat.items()})

    for m, metric in enumerate(BY_MONTH):
        yield grouped(metric, {name: comparison.monthly[name][:, m][:, dated] for name in names}, dated)
    for m, metric in enumerate(BY_YEAR):
        yield grouped(metric, {name: comparison.yearly[name][:, m] for name in names}, ends)
    where = [Place("all", c, str(static.tier[i]), "all", days[t]) for i, c in enumerate(static.countries) for t in ends]
    for m, id in enumerate(BY_COUNTRY):
        yield block(METRICS[id], where, {name: _flat(comparison.by_country[name][:, m]) for name in names}, True)
    country_of = [static.countries[c] for c in static.market_country.tolist()]
    tier_of = [str(tier) for tier in static.tier[static.market_country].tolist()]
    where = [Place("all", country_of[i], tier_of[i], m, days[t]) for i, m in enumerate(static.markets) for t in ends]
    for m, id in enumerate(BY_MARKET):
        yield block(METRICS[id], where, {name: _flat(comparison.by_market[name][:, m]) for name in names}, True)
    company = [Place(k, "all", "all", "all", days[-1]) for k in ("all", *static.companies)]
    for m, metric in enumerate(SCALARS):
        both = {
            name: np.concatenate([comparison.scalars[name][:, m, None], comparison.by_company[name][:, m]], axis=1)
            for name in names
        }
        yield Block(metric, company, both)


def _flat(table: Floats) -> Floats:
    """(N, Y, places) as (N, places * Y)."""
    return np.moveaxis(table, 1, 2).reshape(len(table), -1)


def columns(comparison: Comparison, *, monthly: bool = False) -> Iterator[Column]:
    """Every number reported but those of markets, one by one."""
    for metric, places, values in blocks(comparison, monthly=monthly):
        for i, place in enumerate(places):
            if place.market == "all":
                of = {name: table[:, i] for name, table in values.items()}
                yield metric.id, metric.unit, place.company, place.country, place.tier, place.date, of


def rows(comparison: Comparison, *, monthly: bool = False) -> Iterator[Row]:
    """Mean and quantiles of every number by scenario; quantiles only over the replications that have a value."""
    for metric, places, values in blocks(comparison, monthly=monthly):
        found = {name: (summary(table), len(table)) for name, table in values.items()}
        for i, place in enumerate(places):
            for name, (each, n) in found.items():
                mean, p10, p50, p90 = (_number(float(column[i])) for column in each[1:])
                yield Row(
                    name, metric.id, metric.unit, place.company, place.country, place.tier, place.date,
                    mean, p10, p50, p90, float(each.known[i] / n), place.market,
                )  # fmt: skip


def differences(comparison: Comparison, *, monthly: bool = False) -> Iterator[Difference]:
    """Paired differences of every scenario from the reference, and what exists only as such (`metrics.PAIRED`)."""
    reference = comparison.reference
    for metric, places, values in blocks(comparison, monthly=monthly):
        others = [name for name in values if name != reference]
        found = {name: _paired(values[name] - values[reference]) for name in others}
        for i, place in enumerate(places):
            for name in others:
                yield _difference(found[name], i, (reference, name), metric, place)
    for name in comparison.names():
        if name != reference:
            for metric, places, gap in _between(comparison, name):
                found_here = _paired(gap)
                for i, place in enumerate(places):
                    yield _difference(found_here, i, (reference, name), metric, place)


def _between(comparison: Comparison, name: str) -> Iterator[tuple[Metric, list[Place], Floats]]:
    """What moves between the reference and a scenario, in each replication: sums over countries of gains and losses apart."""
    static, reference = comparison.compiled[0].static, comparison.reference
    days = [day.isoformat() for day in comparison.compiled[0].sampler.frame.months]
    ends = year_ends(static)
    places = [Place("all", "all", "all", "all", days[t]) for t in ends]

    def change(id: str) -> Floats:
        m = BY_COUNTRY.index(id)
        return np.asarray(comparison.by_country[name][:, m] - comparison.by_country[reference][:, m], dtype=np.float64)

    moved = displacement(change("it_mw_online"))
    for id, table in (
        ("mw_gained_by_destination", moved.gained), ("mw_lost_by_destination", moved.lost), ("mw_displaced", moved.moved),
    ):  # fmt: skip
        yield METRICS[id], places, table
    unmet = unmet_abroad(change("h100e_online"), static.home)
    yield METRICS["unmet_abroad_h100e"], places, unmet
    exportable = [metric.id for metric in BY_MONTH].index("china_exportable_h100e")
    shares = comparison.unmet_shares[name][:, None]
    if np.isfinite(shares).all():
        can_export = comparison.monthly[name][:, exportable][:, ends, 0]
        parts = split_unmet(unmet, shares, np.where(np.isfinite(can_export), can_export, 0.0))
        for i, id in enumerate(DESTINATIONS):
            yield METRICS[f"unmet_{id}_h100e"], places, parts[..., i]


class Paired(NamedTuple):
    """Statistics of paired differences, column by column."""

    of: Summary
    half: Floats
    positive: Floats
    zero: Floats


def _paired(gaps: Floats) -> Paired:
    """`gaps` (N, L); a pair in which one side has no value is left out."""
    gaps = np.where(np.isfinite(gaps), gaps, np.nan)
    of = summary(gaps)
    n = np.maximum(of.known, 1)
    return Paired(of, half_widths(gaps), (gaps > 0).sum(axis=0) / n, (gaps == 0).sum(axis=0) / n)


def _difference(found: Paired, i: int, names: tuple[str, str], metric: Metric, place: Place) -> Difference:
    count, mean, p10, p50, p90 = (float(column[i]) for column in found.of)
    half, some = float(found.half[i]), count > 0
    return Difference(
        names[0], names[1], metric.id, metric.unit, place.company, place.country, place.tier, place.date,
        _number(mean), _number(mean - half), _number(mean + half), _number(p10), _number(p50), _number(p90),
        float(found.positive[i]) if some else None, float(found.zero[i]) if some else None, int(count), place.market,
    )  # fmt: skip
