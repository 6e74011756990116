"""From replications to statements: quantiles, and paired differences with their interval and their spread.

The interval of a mean says how precise the simulation is; p10 to p90 of the difference say how uncertain the world is. The two
are never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.metrics import BY_COUNTRY, BY_MONTH, SCALARS, SERIES, groups, year_ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.experiments import Comparison

LEVEL = 0.95


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


def half_width(differences: NDArray[np.float64]) -> float:
    """Half-width of the 95 % Student interval of a mean; nan for fewer than two numbers."""
    from scipy.special import stdtrit

    n = len(differences)
    if n < 2:
        return float("nan")
    return float(stdtrit(n - 1, (1 + LEVEL) / 2) * differences.std(ddof=1) / math.sqrt(n))


def _number(value: float) -> float | None:
    return None if not math.isfinite(value) else float(value)


Labels = tuple[str, str, str, str, str, str, str, str]
"""Reference, scenario, metric, unit, company, country, tier, date."""
Column = tuple[str, str, str, str, str, str, "dict[str, NDArray[np.float64]]"]


def columns(comparison: Comparison, *, monthly: bool = False) -> Iterator[Column]:
    """Every number reported: (metric, unit, company, country, tier, date) with its replications by scenario.

    Year ends unless `monthly`; dates are month ends.
    """
    static = comparison.compiled[0].static
    days = [day.isoformat() for day in comparison.compiled[0].sampler.frame.months]
    names = comparison.names()
    ends = list(range(len(days))) if monthly else year_ends(static)
    for m, metric in enumerate(BY_MONTH):
        for g, group in enumerate(groups(static)):
            if all(np.isnan(comparison.monthly[name][:, m, :, g]).all() for name in names):
                continue  # a share that is not given for this group
            for t in ends:
                values = {name: comparison.monthly[name][:, m, t, g].astype(np.float64) for name in names}
                yield metric.id, metric.unit, group.company, group.country, group.tier, days[t], values
    for m, id in enumerate(BY_COUNTRY):
        unit = next(metric.unit for metric in SERIES if metric.id == id)
        for c, country in enumerate(static.countries):
            if not any(comparison.by_country[name][:, m, :, c].any() for name in names):
                continue  # nobody ever builds there
            for y, t in enumerate(year_ends(static)):
                values = {name: comparison.by_country[name][:, m, y, c].astype(np.float64) for name in names}
                yield id, unit, "all", country, str(static.tier[c]), days[t], values
    for m, metric in enumerate(SCALARS):
        values = {name: comparison.scalars[name][:, m] for name in names}
        yield metric.id, metric.unit, "all", "all", "all", days[-1], values


def rows(comparison: Comparison, *, monthly: bool = False) -> Iterator[Row]:
    """Mean and quantiles of every number by scenario; quantiles only over the replications that have a value."""
    for metric, unit, company, country, tier, day, values in columns(comparison, monthly=monthly):
        for name, drawn in values.items():
            found = drawn[np.isfinite(drawn)]
            p10, p50, p90 = np.quantile(found, (0.1, 0.5, 0.9)) if len(found) else (math.nan,) * 3
            mean = found.mean() if len(found) else math.nan
            share = len(found) / len(drawn)
            numbers = _number(mean), _number(p10), _number(p50), _number(p90)
            yield Row(name, metric, unit, company, country, tier, day, *numbers, share)


def differences(comparison: Comparison, *, monthly: bool = False) -> Iterator[Difference]:
    """Paired differences of every scenario from the reference."""
    reference = comparison.reference
    for metric, unit, company, country, tier, day, values in columns(comparison, monthly=monthly):
        for name, drawn in values.items():
            if name != reference:
                yield difference(drawn, values[reference], (reference, name, metric, unit, company, country, tier, day))


def difference(drawn: NDArray[np.float64], base: NDArray[np.float64], labels: Labels) -> Difference:
    """The six statistics of one paired difference."""
    both = np.isfinite(drawn) & np.isfinite(base)
    gap = drawn[both] - base[both]
    if not len(gap):
        return Difference(*labels, None, None, None, None, None, None, None, None, 0)
    mean, half = float(gap.mean()), half_width(gap)
    p10, p50, p90 = np.quantile(gap, (0.1, 0.5, 0.9))
    return Difference(
        *labels, mean, _number(mean - half), _number(mean + half), float(p10), float(p50), float(p90),
        float((gap > 0).mean()), float((gap == 0).mean()), len(gap),
    )  # fmt: skip
