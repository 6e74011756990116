"""The headline numbers of a replication, and sparse monthly increments of its headline series: what a sweep keeps of every one.

Each number is that of `simulator.metrics` for the same log, which has many more and takes ten times as long: the definitions are
there, the arithmetic is written a second time in `simulator.reduction`, and a test holds the two together. Nothing depends on
which engine wrote the log.

**Numbers** are `METRICS`: dated ones at a middle year end and at the last month end (`shown_months`), single ones of the whole run.

**Increments** are rows (series, company, place, month, value): the running total of a series, `SERIES`, changes by `value` in that
month; months without a change have no row. A *place* is a tier (1, 2, 3) for every series, or a country (`COUNTRY` + its index) for
those given by country as well; the two tell the same amounts twice. The opening fleet stands in the first month. Values are whole
numbers in the small unit of the series (`Series.per_unit` of them make one unit), so that sums in any order are exact:
`by_tier`, `by_country` and `total` build month-end tables from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator import metrics
from simulator.draws import Floats
from simulator.metrics import TIERS, year_ends
from simulator.static import Ints
from simulator.units import MW_SIXTEENTHS, PPM

if TYPE_CHECKING:
    from simulator.events import Log
    from simulator.static import Draws, Static

VERSION = 1
"""Of what is stored: another number means other columns, series, units or definitions."""

# ---- the numbers ------------------------------------------------------------------------------------------------------------

MIDDLE, HORIZON, RUN = "middle", "horizon", "run"
DATES = {MIDDLE: "at the middle year end", HORIZON: "at the end of the run"}
BY_DATE = (
    *((id, tier) for id in ("it_mw_online", "h100e_online") for tier in ("all", *TIERS)),
    *((id, "all") for id in (
        "mw_ready_without_chips", "mw_waiting_clearance", "mw_relocated", "mw_cancelled", "mw_downsized", "capex_usd", "compliance_usd",
        "idle_shell_usd", "share_us", "share_tier1", "rd_access", "china_ratio", "campuses_1gw",
    )),
)  # fmt: skip
"""(metric, tier) of the dated numbers, in the order in which `reduction` writes them."""
OF_RUN = (
    "months_plan_to_online_median", "share_online_by_horizon", "slippage_days_median", "cost_per_h100e_year", "licences_filed",
    "licences_refused", "licence_wait_days", "quota_binding_date", "authorisation_date",
)  # fmt: skip
"""The single numbers, in the order in which `reduction` writes them."""


class Headline(NamedTuple):
    """A column of the stored numbers. `id` is `metric|tier|when`, `when` one of middle, horizon and run."""

    id: str
    metric: str
    tier: str
    when: str
    name: str
    unit: str
    meaning: str


def _headline(id: str, tier: str, when: str) -> Headline:
    metric = metrics.METRICS[id]
    where = "" if tier == "all" else f", tier {tier}"
    dated = f", {DATES[when]}" if when in DATES else ""
    return Headline(f"{id}|{tier}|{when}", id, tier, when, f"{metric.name}{where}{dated}", metric.unit, metric.meaning)


METRICS = (
    *(_headline(id, tier, when) for when in DATES for id, tier in BY_DATE),
    *(_headline(id, "all", RUN) for id in OF_RUN),
)
"""The numbers of one replication, in order; nan where one is not reached."""
COLUMNS = tuple(headline.id for headline in METRICS)


def shown_months(static: Static) -> tuple[int, int]:
    """Indices of the months of the dated numbers: a middle year end, and the last month."""
    ends = year_ends(static)
    return ends[(len(ends) - 1) * 4 // 7], ends[-1]


# ---- the series -------------------------------------------------------------------------------------------------------------

WATTS_PER_MW = 1_000_000
CENTS = 100


class Series(NamedTuple):
    """A series kept as increments. `per_unit` of the whole numbers stored are one unit of the metric."""

    metric: str
    per_unit: int
    by_country: bool = False


SERIES = (
    Series("it_mw_online", WATTS_PER_MW, by_country=True),
    Series("h100e_online", PPM, by_country=True),
    Series("mw_ready_without_chips", MW_SIXTEENTHS),
    Series("mw_waiting_clearance", MW_SIXTEENTHS),
    Series("mw_relocated", MW_SIXTEENTHS),
    Series("mw_cancelled", MW_SIXTEENTHS),
    Series("mw_downsized", MW_SIXTEENTHS),
    Series("capex_usd", CENTS),
    Series("compliance_usd", CENTS),
    Series("idle_shell_usd", CENTS),
)
"""In the order of the column `series`. Money is to the cent: a running total of one company and tier is off by half a cent at most."""
SERIES_INDEX = {series.metric: i for i, series in enumerate(SERIES)}
COUNTRY = 100
"""Places from here on are countries: this plus the index of the country."""
INCREMENTS = np.dtype([("series", "i2"), ("company", "i1"), ("place", "i2"), ("month", "i2"), ("value", "f8")])
Increments = NDArray[np.void]


class Reduced(NamedTuple):
    """One replication reduced: `METRICS`, and increments ordered by series, tiers before countries, company, place and month."""

    numbers: Floats
    increments: Increments


def by_tier(increments: Increments, metric: str, months: int, companies: int) -> Floats:
    """(months, companies, tiers) of a series at month ends."""
    return _table(increments, metric, months, companies, 1, len(TIERS))


def by_country(increments: Increments, metric: str, months: int, companies: int, countries: int) -> Floats:
    """(months, companies, countries) of a series at month ends. Raises ValueError for one that is kept by tier only."""
    if not SERIES[SERIES_INDEX[metric]].by_country:
        raise ValueError(f"{metric} is kept by tier, not by country")
    return _table(increments, metric, months, companies, COUNTRY, countries)


def _table(increments: Increments, metric: str, months: int, companies: int, first: int, places: int) -> Floats:
    index = SERIES_INDEX[metric]
    place = increments["place"].astype(np.int64) - first
    mine = np.nonzero((increments["series"] == index) & (place >= 0) & (place < places))[0]
    cell = (increments["month"][mine].astype(np.int64) * companies + increments["company"][mine]) * places + place[mine]
    steps = np.bincount(cell, weights=increments["value"][mine], minlength=months * companies * places)
    return np.cumsum(steps.reshape(months, companies, places), axis=0) / SERIES[index].per_unit


def total(
    increments: Increments,
    metric: str,
    months: int,
    *,
    company: int | None = None,
    tier: int | None = None,
    country: int | None = None,
    replication: Ints | None = None,
    replications: int = 1,
) -> Floats:
    """(replications, months) of a series at month ends: of everything, or of a company (index), tier (1 to 3) or country (index).

    `replication` says for each row which of several replications it is of, from 0. Raises ValueError for a country and a tier
    at once, and for a country of a series that is kept by tier only.
    """
    index = SERIES_INDEX[metric]
    series, place = SERIES[index], increments["place"]
    if country is not None and (tier is not None or not series.by_country):
        kept = "by tier and by country, not by both" if series.by_country else "by tier, not by country"
        raise ValueError(f"{metric} is kept {kept}")
    chosen = increments["series"] == index
    if country is not None:
        chosen &= place == COUNTRY + country
    else:
        chosen &= place == tier if tier is not None else place < COUNTRY
    if company is not None:
        chosen &= increments["company"] == company
    mine = np.nonzero(chosen)[0]
    row = np.zeros(len(mine), dtype=np.int64) if replication is None else replication[mine].astype(np.int64)
    steps = np.bincount(
        row * months + increments["month"][mine], weights=increments["value"][mine], minlength=replications * months
    )
    return np.cumsum(steps.reshape(replications, months), axis=1) / series.per_unit


# ---- from a log -------------------------------------------------------------------------------------------------------------


class Reducer:
    """Reduces the replications of one scenario; what they share is made ready once.

    `rd_weight` (C,) weighs countries for `rd_access` and sums to one, as for `metrics.measure`.
    """

    def __init__(self, static: Static, rd_weight: Floats):
        from simulator import reduction  # what is compiled is not needed to read what is stored

        self.law = reduction.law_of(static, rd_weight)
        months, companies, countries = len(static.month_starts) - 1, len(static.companies), len(static.countries)
        places = sum(len(TIERS) + series.by_country * countries for series in SERIES)
        self._most = months * companies * places

    def reduce(self, draws: Draws, log: Log) -> Reduced:
        """Numbers and increments of one replication, a pure function of scenario, draws and log."""
        from simulator import reduction

        numbers, increments = np.empty(len(METRICS)), np.empty(self._most, dtype=INCREMENTS)
        count = reduction.reduce(log, self.law, reduction.luck_of(draws), increments, numbers)
        # As bytes: NumPy copies records field by field.
        return Reduced(numbers, increments[:count].view(np.uint8).copy().view(INCREMENTS))
