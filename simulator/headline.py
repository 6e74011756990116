"""The headline numbers of a replication, and sparse monthly increments of its headline series, in one quick pass over the log.

A sweep keeps these of every replication. Each number is that of `simulator.metrics` for the same log, which has many more and
takes ten times as long: the definitions are there, the arithmetic is written a second time here, and a test holds the two
together. Nothing depends on which engine wrote the log.

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
from simulator.campuses import THRESHOLDS_MW
from simulator.costs import PER_MWH
from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.jit import inner, jit
from simulator.lives import ASKING, MARKS, NEVER, STAGES
from simulator.metrics import TIERS, year_ends
from simulator.sampling import HOPS
from simulator.spillovers import MERCHANTS, MONTH_DAYS
from simulator.static import FACTOR_BITS, NO_POT, Ints, Route, Timed
from simulator.timeline import MONTHS_PER_YEAR, decimal_year
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, PPM, TICKS_PER_DAY

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
"""(metric, tier) of the dated numbers, in the order in which `_dated` writes them."""
OF_RUN = (
    "months_plan_to_online_median", "share_online_by_horizon", "slippage_days_median", "cost_per_h100e_year", "licences_filed",
    "licences_refused", "licence_wait_days", "quota_binding_date", "authorisation_date",
)  # fmt: skip
"""The single numbers, in the order in which `_single` writes them."""


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
WATTS_PER_SIXTEENTH = WATTS_PER_MW // MW_SIXTEENTHS
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
MW_ONLINE, H100E_ONLINE, WITHOUT_CHIPS, WAITING, RELOCATED, CANCELLED, DOWNSIZED, CAPEX, COMPLIANCE, IDLE = range(len(SERIES))
LAST = len(SERIES)
COUNTED = CAPEX
"""Series before this one add up whole numbers; the rest are money."""
PLACED = 2
"""Series before this one are given by country as well."""
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
        raise ValueError(f"{metric} is kept by tier" + (" and by country, not by both" if series.by_country else ", not by country"))
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


# ---- what the pass is given -------------------------------------------------------------------------------------------------

(
    NOTHING, PLAN, OF_SITE, OF_PHASE, DATE, SHIP, LIGHT, TAKE, LOSE, TURN, DELIVER, FILE, DECIDE, AUTHORISE, FILE_NATIONAL, KINDS,
) = range(16)  # fmt: skip
"""What rows of the log do"""
(
    SITE, MARKET, PLANNED, MW16, CONTROL, GROUND, OWN_DATE, POWER, BRIDGED, GRID, BUILD, MOVED, GIVEN_UP,
) = range(13)  # fmt: skip
"""Columns of a site's row in the table of lives"""
(
    HOME_ROW, NUMBER, COMPANY, SIZE, READY, SHELL, SHIPPED, SHIP_RULE, IN_FLEET, ONLINE, ONLINE_MW16, H100E, USD, SECURED, WAITS,
    COLUMNS_OF_LIFE,
) = range(16)  # fmt: skip
"""Columns of a phase's row; HOME_ROW is that of its site, and the phases of a site follow it."""
OPEN, SURELY = -2, -3
"""In place of the exception under which a controlled chip may have left: none left, and several, of which one does not hold"""
ENDS, BEGINS, BINDS = range(3)
"""What a turn does to the wait for clearance; BINDS begins one for room in an allocation."""
UNIVERSAL, LOST, NATIONAL = range(3)
"""Authorisations: the universal one granted and lost, a national one granted"""
FILED, REFUSED, DECIDED, WAITED, BINDING, LICENCES = range(6)
"""Of applications since the start: how many, how many refused, decided, ticks to these decisions; first tick an allocation binds"""
SHELLS, FREIGHT, COMPLIED, IDLE_RATE, IDLE_MOVED, LINES = range(6)
"""Lines of money by company and tier"""
APPROVED, RETURNED = int(Mark.APPROVED), int(Mark.RETURNED)
EXPANSION, LEASED = int(Route.EXPANSION), int(Route.LEASED)
CONSTRUCTION, FIT_OUT = int(Timed.CONSTRUCTION), int(Timed.FIT_OUT)


def _kinds() -> tuple[NDArray[np.uint64], Ints]:
    """(codes,) what a row with a mark and a stage does, and to which column, series or turn."""
    kind, detail = np.zeros((2, MARKS * STAGES), dtype=np.int64)
    rows: list[tuple[Stage, Mark, int, int]] = [
        (Stage.PROJECT, Mark.PLANNED, PLAN, 0),
        (Stage.SITE_SELECTION, Mark.END, OF_SITE, CONTROL),
        (Stage.CONSTRUCTION, Mark.GROUND_BREAKING, OF_SITE, GROUND),
        (Stage.CONSTRUCTION, Mark.START, OF_SITE, BUILD),
        (Stage.CONSTRUCTION, Mark.OWN_DATE, DATE, 0),
        (Stage.INTERCONNECTION, Mark.FIRST_POWER, OF_SITE, POWER),
        (Stage.INTERCONNECTION, Mark.END, OF_SITE, GRID),
        (Stage.BRIDGING, Mark.BRIDGED, OF_SITE, BRIDGED),
        (Stage.FIT_OUT, Mark.SHELL_READY, OF_PHASE, SHELL),
        (Stage.PROJECT, Mark.READY, OF_PHASE, READY),
        (Stage.PROJECT, Mark.IN_FLEET, OF_PHASE, IN_FLEET),
        (Stage.SHIPPING, Mark.SHIPPED, SHIP, 0),
        (Stage.PROJECT, Mark.ONLINE, LIGHT, 0),
        (Stage.CHIPS, Mark.CHIPS_TAKEN, TAKE, 0),
        (Stage.PROJECT, Mark.RELOCATED, LOSE, RELOCATED),
        (Stage.PROJECT, Mark.CANCELLED, LOSE, CANCELLED),
        (Stage.PROJECT, Mark.DOWNSIZED, LOSE, DOWNSIZED),
        (Stage.CLEARANCE, Mark.START, TURN, BEGINS),
        (Stage.CLEARANCE, Mark.CLEARED, TURN, ENDS),
        (Stage.CLEARANCE, Mark.END, TURN, ENDS),
        *((stage, Mark.WAITS, TURN, BINDS if stage == Stage.ALLOCATION else BEGINS) for stage in ASKING),
        (Stage.CHIPS, Mark.DELIVERED, DELIVER, 0),
        (Stage.LICENCE_REVIEW, Mark.FILED, FILE, 0),
        (Stage.LICENCE_REVIEW, Mark.APPROVED, DECIDE, Mark.APPROVED),
        (Stage.LICENCE_REVIEW, Mark.DENIED, DECIDE, Mark.DENIED),
        (Stage.LICENCE_REVIEW, Mark.RETURNED, DECIDE, Mark.RETURNED),
        (Stage.AUTHORISATION, Mark.APPROVED, AUTHORISE, UNIVERSAL),
        (Stage.AUTHORISATION, Mark.REVOKED, AUTHORISE, LOST),
        (Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, AUTHORISE, NATIONAL),
        (Stage.NATIONAL_AUTHORISATION, Mark.FILED, FILE_NATIONAL, 0),
    ]
    for stage, mark, what, which in rows:
        kind[mark * STAGES + stage], detail[mark * STAGES + stage] = what, which
    return kind.astype(np.uint64), detail


class Law(NamedTuple):
    """What a scenario's replications share, as plain arrays and numbers: of `Static`, unless said."""

    kind: NDArray[np.uint64]
    detail: Ints
    """(codes,) as `_kinds`"""
    month_of_day: Ints
    """(days + 1,) from the start; the number of months on the day of the horizon"""
    decimal_years: Floats
    """(days,) each as a point in time, from `first_day` on"""
    shown: Ints
    """(2,) as `shown_months`"""
    month_starts: Ints
    year_starts: Ints
    law_ticks: Ints
    market_country: Ints
    tier: Ints
    """(C,) from 0"""
    h100e_ppm: Ints
    watts: Ints
    merchant: Ints
    """(A,) 1 for chips of the merchant makers"""
    needs_licence: NDArray[np.int8]
    lpp_rule: NDArray[np.int16]
    allocation: Ints
    allocation_rule: Ints
    authorisation_applied: Ints
    authorisation_median: Ints
    authorisation_spread: Ints
    authorisation_grant: Ints
    authorisation_usd_a_year: Ints
    revenue_share_ppm: Ints
    tariff_ppm: Ints
    tariff_covers: Ints
    rd_weight: Floats
    """(C,)"""
    denied: Floats
    bought: Floats
    bought_in_history: Floats
    season: Floats
    diversion: Floats
    growth: Floats
    ceiling: Floats
    """of `ChinaPolicy`"""
    elasticity: float
    diverts: bool
    substitutes: bool
    grows: bool
    rents: bool
    china: bool
    """whether there is one"""
    universal: bool
    """whether the law ever offers the universal authorisation"""
    tariff: bool
    shares: bool
    """whether there are tariffs, and shares of revenue"""
    first_day: int
    authorisation_again: int
    rd_access_h100e: int
    horizon: int
    home: int
    # What is compiled sees a change of these although they are kept elsewhere.
    hops: int
    """`sampling.HOPS`"""
    large: int
    """load of a campus of a gigawatt, in the unit of load x design ratio"""
    month_days: float


class Luck(NamedTuple):
    """A replication as plain arrays and numbers: of `Draws` and of what it holds for after the run; money with its units applied."""

    company: Ints
    route: Ints
    phases: Ints
    phase_mw16: Ints
    shell_offset: Ints
    campus_mw16: Ints
    median: Ints
    spread: Ints
    luck_construction: Ints
    route_factor: Ints
    deliveries: Ints
    fleet_chips: Ints
    opening_stock: Ints
    under_way: Ints
    authorisation_time: Ints
    authorisation_outcome: Ints
    price_usd: Ints
    shell_usd_per_mw: Ints
    opex_usd_per_mw: Ints
    spend_ppm: Ints
    pue: Floats
    demand: Floats
    imports: Floats
    smuggled: Floats
    domestic: Floats
    rented: Floats
    opening: Floats
    """of `ChinaPaths`; empty without"""
    lag_days: float
    server_years: float
    facility_years: float
    national_usd: float
    overhead: float
    freight: float
    security: float
    idle_usd: float
    """a day and MW"""
    rent_usd: float
    """a day and MW"""
    bridge_usd: float
    """a MWh"""
    load_factor: float
    kept: float
    """share of sunk cost that does not come back"""
    discount: float
    application_usd: float
    authorisation_usd: float
    design_ratio_ppm: int
    filings: int
    """most applications of a company in a country"""
    after: bool
    """whether what is read after the run is drawn"""
    china: bool


# ---- reading the log --------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What the log tells."""

    life: Ints
    """(sites and phases, COLUMNS_OF_LIFE) in the order in which sites were planned; ticks are NEVER where nothing happened"""
    slot: Ints
    """(R * HOPS,) row of each site, -1 where nothing was planned"""
    sites: Ints
    """rows of sites in the order of their plans"""
    steps: Ints
    """(COUNTED, K, tiers, T + 1) what each month adds to a series; what comes at the horizon or later in the last column"""
    chips_usd: Ints
    """(K, T + 1) price of chips delivered"""
    chips_usd_days: Floats
    """(T + 1,) the same times the day of delivery, of all companies"""
    merchant: Ints
    """(T + 1,) chips of merchant makers delivered"""
    filed: Ints
    """(2, K, tiers, T + 1) applications for licences and for national authorisations, since the start"""
    tariff_usd: Floats
    """(T + 1,)"""
    authorised: Ints
    """(3, K) ticks: the universal authorisation, its loss, the first national one"""
    licences: Ints
    """(LICENCES,)"""


# Small functions take the few arrays they read: handing a whole `Law` over costs more than what they do.


@inner
def _month(tick: int, month_of_day: Ints) -> int:
    """Index of the month in which a tick falls: the first for earlier ones, the number of months from the horizon on."""
    return month_of_day[min(max(tick, 0) // TICKS_PER_DAY, len(month_of_day) - 1)]


@inner
def _since(tick: int, month_of_day: Ints) -> int:
    """The same, with what was before the start among what is left out. Leaving out takes no branch."""
    last = len(month_of_day) - 1
    return month_of_day[min(tick // TICKS_PER_DAY, last) if tick >= 0 else last]


@inner
def _segment(tick: int, starts: Ints) -> int:
    """The law of a tick, or its year where the ticks are those of years: the last to begin by then, the first one before it."""
    found = 0
    while found + 1 < len(starts) and starts[found + 1] <= tick:
        found += 1
    return found


@inner
def _rows(log: Log, kind: NDArray[np.uint64]) -> tuple[NDArray[np.int32], Ints]:
    """(KINDS, rows) which rows of the log do each kind of thing, in order, and how many do.

    A row is put in its list without a branch: which kind comes next cannot be foreseen, and the processor would guess wrong.
    """
    marks, stages = log["mark"], log["stage"]
    wide = len(log) + 1
    rows, place, step = np.empty(KINDS * wide, dtype=np.int32), np.arange(KINDS) * wide, np.ones(KINDS, dtype=np.int64)
    step[NOTHING] = 0
    for i in range(len(log)):
        one = kind[marks[i] * STAGES + stages[i]]
        rows[place[one]] = i
        place[one] += step[one]
    return rows.reshape(KINDS, wide), place - np.arange(KINDS) * wide


@inner
def _read(log: Log, rows: NDArray[np.int32], counts: Ints, law: Law, luck: Luck) -> Seen:
    """Everything but the turns of waiting, which need to know how large phases are."""
    months, companies, countries, tiers = len(law.month_starts) - 1, len(law.authorisation_applied), len(law.tier), len(TIERS)
    ticks, roots, hops, parts, stages = log["tick"], log["root"], log["hop"], log["phase"], log["stage"]
    marks, rules, pools, quantities = log["mark"], log["rule"], log["pool"], log["quantity"]

    slot = np.full(len(luck.company) * law.hops, -1)
    sites, count, n = np.empty(counts[PLAN], dtype=np.int64), 0, 0
    life = np.empty((law.hops * (len(luck.company) + luck.phases.sum()), COLUMNS_OF_LIFE), dtype=np.int64)
    for i in rows[PLAN, : counts[PLAN]]:
        root = roots[i]
        place = root * law.hops + hops[i]
        if slot[place] < 0:
            slot[place] = sites[count] = n
            for p in range(n, n + 1 + luck.phases[root]):
                for column in range(COLUMNS_OF_LIFE):
                    life[p, column] = NEVER
            life[n, SITE] = place
            for f in range(luck.phases[root]):
                p = n + 1 + f
                life[p, HOME_ROW], life[p, NUMBER], life[p, COMPANY] = n, f, luck.company[root]
                life[p, SIZE] = life[p, ONLINE_MW16] = life[p, H100E] = life[p, USD] = 0
                life[p, SHIP_RULE], life[p, SECURED] = -1, OPEN
            n += 1 + luck.phases[root]
            count += 1
        s = slot[place]
        life[s, PLANNED], life[s, MARKET], life[s, MW16] = ticks[i], pools[i], quantities[i]
    for i in rows[OF_SITE, : counts[OF_SITE]]:
        s = slot[roots[i] * law.hops + hops[i]]
        if s >= 0:
            life[s, law.detail[marks[i] * STAGES + stages[i]]] = ticks[i]
    for i in rows[OF_PHASE, : counts[OF_PHASE]]:
        s = slot[roots[i] * law.hops + hops[i]]
        if s >= 0 and parts[i] < luck.phases[roots[i]]:
            life[s + 1 + parts[i], law.detail[marks[i] * STAGES + stages[i]]] = ticks[i]
    for i in rows[DATE, : counts[DATE]]:
        s = slot[roots[i] * law.hops + hops[i]]
        if s >= 0:
            life[s, OWN_DATE] = quantities[i]
    for i in rows[SHIP, : counts[SHIP]]:
        s = slot[roots[i] * law.hops + hops[i]]
        if s >= 0 and parts[i] < luck.phases[roots[i]]:
            life[s + 1 + parts[i], SHIPPED], life[s + 1 + parts[i], SHIP_RULE] = ticks[i], rules[i]
    for i in rows[LIGHT, : counts[LIGHT]]:
        s = slot[roots[i] * law.hops + hops[i]]
        if s >= 0 and parts[i] < luck.phases[roots[i]]:
            life[s + 1 + parts[i], ONLINE], life[s + 1 + parts[i], ONLINE_MW16] = ticks[i], quantities[i]

    tariff_usd, segment = np.zeros(months + 1), 0
    for i in rows[TAKE, : counts[TAKE]]:
        root, tick, chip = roots[i], ticks[i], pools[i]
        s = slot[root * law.hops + hops[i]]
        if s < 0 or parts[i] >= luck.phases[root]:
            continue
        while segment + 1 < len(law.law_ticks) and law.law_ticks[segment + 1] <= tick:
            segment += 1
        p, k, country = s + 1 + parts[i], luck.company[root], law.market_country[life[s, MARKET]]
        usd = quantities[i] * luck.price_usd[chip]
        life[p, H100E] += quantities[i] * law.h100e_ppm[chip]
        life[p, USD] += usd
        if law.needs_licence[segment, k, country, chip] == 1:
            lpp = law.lpp_rule[segment, k, country, chip]
            if life[p, SECURED] == OPEN:
                life[p, SECURED] = lpp
            elif life[p, SECURED] != lpp:
                life[p, SECURED] = SURELY
        if law.tariff and tick >= 0 and country != law.home:
            share = law.tariff_ppm[segment] * law.tariff_covers[segment, chip] / PPM
            tariff_usd[_month(tick, law.month_of_day)] += usd * share

    steps = np.zeros((COUNTED, companies, tiers, months + 1), dtype=np.int64)
    for i in rows[LOSE, : counts[LOSE]]:
        root, market, series = roots[i], pools[i], law.detail[marks[i] * STAGES + stages[i]]
        if rules[i] >= 0 and ticks[i] >= 0:
            country = law.market_country[market] if market >= 0 else law.home  # nowhere to go: it stays a plan at home
            steps[series, luck.company[root], law.tier[country], _month(ticks[i], law.month_of_day)] += quantities[i]
        s = slot[root * law.hops + hops[i]]
        if s >= 0 and series != DOWNSIZED:
            life[s, MOVED if series == RELOCATED else GIVEN_UP] = ticks[i]

    chips_usd, chips_usd_days = np.zeros((companies, months + 1), dtype=np.int64), np.zeros(months + 1)
    merchant = np.zeros(months + 1, dtype=np.int64)
    for i in rows[DELIVER, : counts[DELIVER]]:
        month, usd = _month(ticks[i], law.month_of_day), quantities[i] * luck.price_usd[pools[i]]
        chips_usd[-1 - roots[i], month] += usd
        chips_usd_days[month] += usd * (max(ticks[i], 0) / TICKS_PER_DAY)
        merchant[month] += quantities[i] * law.merchant[pools[i]]

    filed = np.zeros((2, companies, tiers, months + 1), dtype=np.int64)
    pending = np.zeros((companies, countries, luck.filings), dtype=np.int64)
    licences = np.zeros(LICENCES, dtype=np.int64)
    licences[BINDING] = NEVER
    for i in rows[FILE, : counts[FILE]]:
        k, c = -1 - roots[i], pools[i]
        pending[k, c, parts[i]] = ticks[i]
        if ticks[i] >= 0:
            licences[FILED] += 1
            filed[0, k, law.tier[c], _month(ticks[i], law.month_of_day)] += 1
    for i in rows[DECIDE, : counts[DECIDE]]:
        k, c, tick, mark = -1 - roots[i], pools[i], ticks[i], marks[i]
        if tick >= 0:
            licences[REFUSED] += mark != APPROVED
            licences[DECIDED] += 1
            licences[WAITED] += tick - pending[k, c, parts[i]]
            then = _segment(tick, law.law_ticks)
            if mark == RETURNED and law.allocation[then, c] != NO_POT and rules[i] == law.allocation_rule[then, c]:
                licences[BINDING] = min(licences[BINDING], tick)
    for i in rows[FILE_NATIONAL, : counts[FILE_NATIONAL]]:
        if ticks[i] >= 0:
            filed[1, -1 - roots[i], law.tier[pools[i]], _month(ticks[i], law.month_of_day)] += 1

    authorised = np.full((3, companies), NEVER)
    for i in rows[AUTHORISE, : counts[AUTHORISE]]:
        k, which = -1 - roots[i], law.detail[marks[i] * STAGES + stages[i]]
        authorised[which, k] = min(authorised[which, k], ticks[i]) if which == NATIONAL else ticks[i]
    for k in range(companies):
        if authorised[UNIVERSAL, k] == NEVER:
            authorised[LOST, k] = NEVER
    return Seen(
        life[:n], slot, sites[:count], steps, chips_usd, chips_usd_days, merchant, filed, tariff_usd, authorised, licences,
    )  # fmt: skip


class Phases(NamedTuple):
    """Phases with something in them, in order of site and phase. All (N,) but `ended`."""

    row: Ints
    """in the table of lives"""
    cell: Ints
    """company and tier"""
    country: Ints
    ended: Ints
    """(rows,) when the rest of a phase's site was given up; a phase that was shipped is not given up with its site"""


@inner
def _phases(seen: Seen, law: Law, luck: Luck) -> Phases:
    """Fills in their sizes, too. A successor takes over what was not shipped, in order."""
    life, slot = seen.life, seen.slot
    row, cell, country, count = np.empty(len(life), np.int64), np.empty(len(life), np.int64), np.empty(len(life), np.int64), 0
    ended = np.full(len(life), NEVER)
    for place in range(len(slot)):
        s = slot[place]
        if s < 0:
            continue
        root, n = place // law.hops, 0
        if place % law.hops == 0:
            n = luck.phases[root]
            for f in range(n):
                life[s + 1 + f, SIZE] = luck.phase_mw16[root, f]
        elif slot[place - 1] >= 0:
            for p in range(slot[place - 1] + 1, slot[place - 1] + 1 + luck.phases[root]):
                if life[p, SIZE] > 0 and life[p, SHIPPED] == NEVER and life[p, IN_FLEET] == NEVER:
                    n += 1
                    life[s + n, SIZE] = life[p, SIZE]
        here = law.market_country[life[s, MARKET]]
        for p in range(s + 1, s + 1 + n):
            if life[p, SIZE] > 0:
                row[count], cell[count], country[count] = p, life[p, COMPANY] * len(TIERS) + law.tier[here], here
                count += 1
            if life[p, SHIPPED] == NEVER and life[p, IN_FLEET] == NEVER:
                ended[p] = min(life[s, MOVED], life[s, GIVEN_UP])
    return Phases(row[:count], cell[:count], country[:count], ended)


# ---- capacity, and what waits -----------------------------------------------------------------------------------------------


@inner
def _capacity(seen: Seen, phases: Phases, law: Law, luck: Luck) -> Ints:
    """(PLACED, K, C, T + 1) monthly steps of what is online, opening fleet in the first month; fills in `Seen.steps` as well."""
    months, companies, countries = len(law.month_starts) - 1, len(law.authorisation_applied), len(law.tier)
    online = np.zeros((PLACED, companies, countries, months + 1), dtype=np.int64)
    life, steps = seen.life, seen.steps.reshape(COUNTED, -1, months + 1)
    for k in range(companies):
        for c in range(countries):
            watts = h100e = 0
            for a in range(len(law.watts)):
                watts += luck.fleet_chips[k, c, a] * law.watts[a]
                h100e += luck.fleet_chips[k, c, a] * law.h100e_ppm[a]
            online[MW_ONLINE, k, c, 0], online[H100E_ONLINE, k, c, 0] = watts, h100e
            steps[MW_ONLINE, k * len(TIERS) + law.tier[c], 0] += watts
            steps[H100E_ONLINE, k * len(TIERS) + law.tier[c], 0] += h100e
    for i in range(len(phases.row)):
        p, cell = phases.row[i], phases.cell[i]
        month, watts = _month(life[p, ONLINE], law.month_of_day), life[p, ONLINE_MW16] * WATTS_PER_SIXTEENTH
        online[MW_ONLINE, life[p, COMPANY], phases.country[i], month] += watts
        online[H100E_ONLINE, life[p, COMPANY], phases.country[i], month] += life[p, H100E]
        steps[MW_ONLINE, cell, month] += watts
        steps[H100E_ONLINE, cell, month] += life[p, H100E]
        until = min(life[p, SHIPPED], phases.ended[p], life[p, IN_FLEET])
        size = life[p, SIZE] if life[p, READY] < until else 0
        steps[WITHOUT_CHIPS, cell, _month(life[p, READY], law.month_of_day)] += size
        steps[WITHOUT_CHIPS, cell, _month(until, law.month_of_day)] -= size
    return online


@inner
def _waits(log: Log, rows: NDArray[np.int32], seen: Seen, phases: Phases, law: Law) -> None:
    """Add what is ready and waits for clearance to `Seen.steps`, from the turns of its waits, as `lives.waits`."""
    ticks, roots, hops, parts = log["tick"], log["root"], log["hop"], log["phase"]
    stages, marks = log["stage"], log["mark"]
    life, licences, steps = seen.life, seen.licences, seen.steps
    for i in rows:
        tick, detail, s = ticks[i], law.detail[marks[i] * STAGES + stages[i]], seen.slot[roots[i] * law.hops + hops[i]]
        if detail == BINDS and tick >= 0:
            licences[BINDING] = min(licences[BINDING], tick)
        p = s + 1 + parts[i]
        if s < 0 or p >= len(life) or life[p, HOME_ROW] != s:
            continue
        begin = max(life[p, WAITS], life[p, READY])
        if begin < tick:
            tier = law.tier[law.market_country[life[s, MARKET]]]
            steps[WAITING, life[p, COMPANY], tier, _month(begin, law.month_of_day)] += life[p, SIZE]
            steps[WAITING, life[p, COMPANY], tier, _month(tick, law.month_of_day)] -= life[p, SIZE]
        life[p, WAITS] = NEVER if detail == ENDS else tick
    for i in range(len(phases.row)):
        p = phases.row[i]
        begin = max(life[p, WAITS], life[p, READY])
        if begin < law.horizon:
            tier = phases.cell[i] % len(TIERS)
            steps[WAITING, life[p, COMPANY], tier, _month(begin, law.month_of_day)] += life[p, SIZE]


@inner
def _campuses(log: Log, lit: NDArray[np.int32], seen: Seen, law: Law, luck: Luck) -> Ints:
    """(T + 1,) campuses past the largest threshold at month ends. Who joins whom is said in `simulator.campuses`. `lit`: rows of the log"""
    ticks, roots, hops, quantities = log["tick"], log["root"], log["hop"], log["quantity"]
    life, order = seen.life, seen.sites.copy()
    grows = np.zeros((len(law.authorisation_applied), len(law.market_country)), dtype=np.bool_)
    for at in range(len(order)):
        s = order[at]
        root = life[s, SITE] // law.hops
        if luck.route[root] == EXPANSION:
            grows[luck.company[root], life[s, MARKET]] = True
        # Plans are told in order of time: only those of one instant may have to change places.
        while at > 0 and (life[order[at - 1], PLANNED], life[order[at - 1], SITE]) > (life[s, PLANNED], life[s, SITE]):
            order[at] = order[at - 1]
            at -= 1
        order[at] = s
    founder, follows, room = np.empty(len(life), np.int64), np.full(len(life), -1), np.zeros(len(life), np.int64)
    head, tail = np.full(grows.shape, -1), np.full(grows.shape, -1)
    for s in order:
        founder[s] = s
        root, market = life[s, SITE] // law.hops, life[s, MARKET]
        k = luck.company[root]
        if not grows[k, market]:
            continue
        if luck.route[root] == EXPANSION:
            one = head[k, market]
            while one >= 0 and room[one] < life[s, MW16]:
                one = follows[one]
            if one >= 0:
                founder[s] = one
                room[one] -= life[s, MW16]
                continue
        room[s] = luck.campus_mw16[root] - life[s, MW16]
        if room[s] > 0:
            if head[k, market] < 0:
                head[k, market] = s
            else:
                follows[tail[k, market]] = s
            tail[k, market] = s
    load, large = np.zeros(len(life), np.int64), np.zeros(len(law.month_starts), np.int64)
    for i in lit:
        s = seen.slot[roots[i] * law.hops + hops[i]]
        if s >= 0:
            before = load[founder[s]]
            load[founder[s]] += quantities[i] * luck.design_ratio_ppm
            if before < law.large <= load[founder[s]]:
                large[_month(ticks[i], law.month_of_day)] += 1
    for month in range(1, len(large)):
        large[month] += large[month - 1]
    return large


# ---- money ------------------------------------------------------------------------------------------------------------------


class Paid(NamedTuple):
    """Money of a run: by company and tier what each month adds, and sums from which the cost of compute is made."""

    lines: Floats
    """(LINES, K, tiers, T + 1)"""
    other: Floats
    """(T + 1,) outlays and losses that fall due in each month: freight, sunk, revenue share, tariff; without compliance"""
    cost: Floats
    """(2, T + 1) what runs up from then on, by the day: rate, and rate times the day it begins"""
    compute: Floats
    """(2, T + 1) H100-equivalent-years, the same way"""


@inner
def _begin(table: Floats, tick: int, a_day: float, month_of_day: Ints) -> None:
    """Add an amount that runs up by the day from a tick on, as `lives.MonthEnds.running`."""
    day = min(max(tick, 0) / TICKS_PER_DAY, float(len(month_of_day) - 1))
    month = month_of_day[int(day)]
    table[0, month] += a_day
    table[1, month] += a_day * day


@inner
def _annuity(rate: float, years: float) -> float:
    """As `costs.annuity`."""
    return rate / (1 - (1 + rate) ** -years) if rate > 0 else 1 / years


@inner
def _due(seen: Seen, phases: Phases, law: Law, luck: Luck) -> Ints:
    """(parts, N) ticks at which the parts of the price of each phase's shell are due, as `costs.shell_payments`."""
    life = seen.life
    due = np.empty((len(luck.spend_ppm), len(phases.row)), dtype=np.int64)
    for i in range(len(phases.row)):
        p = phases.row[i]
        s = life[p, HOME_ROW]
        shell, broken, begun = life[p, SHELL], life[s, GROUND], life[s, BUILD]
        ready = shell if shell < NEVER else 0
        if shell == NEVER and begun < NEVER:  # as `costs.expected_shell`
            root, market = life[s, SITE] // law.hops, life[s, MARKET]
            year = min(_segment(begun, law.year_starts), len(luck.luck_construction) - 1)
            built = luck.median[CONSTRUCTION, market] * luck.spread[root, CONSTRUCTION] >> FACTOR_BITS
            built = built * luck.route_factor[luck.route[root], CONSTRUCTION] >> FACTOR_BITS
            built = built * luck.luck_construction[year, phases.country[i]] >> FACTOR_BITS
            fitted = luck.median[FIT_OUT, market] * luck.spread[root, FIT_OUT] >> FACTOR_BITS
            fitted = fitted * luck.route_factor[luck.route[root], FIT_OUT] >> FACTOR_BITS
            ready = begun + built + fitted + luck.shell_offset[root, life[p, NUMBER]]
        half = broken // 2 + ready // 2 if broken < NEVER else NEVER
        if shell == NEVER and half >= min(life[s, MOVED], life[s, GIVEN_UP]):
            half = NEVER
        due[0, i], due[1, i], due[2, i], due[3, i], due[4, i] = life[s, CONTROL], broken, half, shell, life[p, ONLINE]
    return due


@inner
def _pay(seen: Seen, phases: Phases, law: Law, luck: Luck) -> Paid:
    """The lines of `simulator.costs` that the headline needs. Amounts of one month are added in the same order as there."""
    months, companies, tiers = len(law.month_starts) - 1, len(law.authorisation_applied), len(TIERS)
    life, month_of_day, n = seen.life, law.month_of_day, len(phases.row)
    lines = np.zeros((LINES, companies * tiers, months + 1))
    other, cost, compute = np.zeros(months + 1), np.zeros((2, months + 1)), np.zeros((2, months + 1))
    price, spent, due = np.zeros(n), np.zeros(n), _due(seen, phases, law, luck)
    facility = _annuity(luck.discount, luck.facility_years) / DAYS_PER_YEAR
    for i in range(n):
        p = phases.row[i]
        s = life[p, HOME_ROW]
        if luck.route[life[s, SITE] // law.hops] != LEASED:
            price[i] = luck.shell_usd_per_mw[life[s, MARKET]] * life[p, SIZE] / MW_SIXTEENTHS
    for part in range(len(luck.spend_ppm)):
        share = (luck.spend_ppm[part] - (luck.spend_ppm[part - 1] if part > 0 else 0)) / PPM
        for i in range(n):
            lines[SHELLS, phases.cell[i], _since(due[part, i], month_of_day)] += share * price[i]
            spent[i] += share if due[part, i] <= phases.ended[phases.row[i]] else 0.0
    begin, until, idle_usd = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64), np.empty(n)
    for i in range(n):
        p, cell, country = phases.row[i], phases.cell[i], phases.country[i]
        s, ended = life[p, HOME_ROW], phases.ended[p]
        market, mw, usd = life[s, MARKET], life[p, SIZE] / MW_SIXTEENTHS, float(life[p, USD])
        shipped, online, fleet, secured = life[p, SHIPPED], life[p, ONLINE], life[p, IN_FLEET], life[p, SECURED]
        month = _since(shipped, month_of_day)
        lines[FREIGHT, cell, month] += usd * luck.freight
        other[month] += usd * luck.freight
        if law.shares and country != law.home:
            other[month] += usd * (law.revenue_share_ppm[_segment(shipped, law.law_ticks), country] / PPM)
        if secured == SURELY or (secured != OPEN and secured != life[p, SHIP_RULE]):
            lines[COMPLIED, cell, month] += luck.shell_usd_per_mw[market] * mw * luck.security
        other[_since(ended, month_of_day)] += spent[i] * price[i] * luck.kept

        begin[i], until[i] = min(max(life[p, SHELL], 0), law.horizon), min(max(min(shipped, ended, fleet), 0), law.horizon)
        idle_usd[i] = luck.idle_usd * mw if begin[i] < until[i] else 0.0
        lines[IDLE_RATE, cell, _month(begin[i], month_of_day)] += idle_usd[i]
        lines[IDLE_MOVED, cell, _month(begin[i], month_of_day)] += idle_usd[i] * (begin[i] / TICKS_PER_DAY)
        # A landlord is paid rent from the day a phase is ready; the price of an own shell is due over its life, unless it is given up.
        leased = luck.route[life[s, SITE] // law.hops] == LEASED
        a_day = luck.rent_usd * mw if leased else price[i] * facility if ended == NEVER else 0.0
        since = life[p, READY] if leased else life[p, SHELL]
        _begin(cost, since, a_day, month_of_day)
        _begin(cost, max(since, min(ended, fleet)), -a_day, month_of_day)
        lit_mw = life[p, ONLINE_MW16] / MW_SIXTEENTHS
        _begin(cost, online, luck.opex_usd_per_mw[market] * lit_mw / DAYS_PER_YEAR, month_of_day)
        _begin(compute, online, life[p, H100E] / PPM / DAYS_PER_YEAR, month_of_day)
        if luck.after and life[s, BRIDGED] < NEVER:
            mwh_a_day = lit_mw * luck.load_factor * luck.pue[country] * 24
            since = max(online, life[s, BRIDGED])
            _begin(cost, since, mwh_a_day * luck.bridge_usd, month_of_day)
            _begin(cost, max(since, life[s, GRID]), -mwh_a_day * luck.bridge_usd, month_of_day)
    for i in range(n):  # ends after beginnings, as there
        month = _month(until[i], month_of_day)
        lines[IDLE_RATE, phases.cell[i], month] -= idle_usd[i]
        lines[IDLE_MOVED, phases.cell[i], month] -= idle_usd[i] * (until[i] / TICKS_PER_DAY)
    lines_of = lines.reshape(LINES, companies, tiers, months + 1)
    _comply(lines_of[COMPLIED], seen, law, luck)
    servers = _annuity(luck.discount, luck.server_years) / DAYS_PER_YEAR
    for k in range(companies):
        owned = 0
        for a in range(len(luck.price_usd)):
            owned += (luck.opening_stock[k, a] + luck.under_way[k, a]) * luck.price_usd[a]
        cost[0, 0] += owned * luck.overhead * servers
        for month in range(months):
            cost[0, month] += seen.chips_usd[k, month] * luck.overhead * servers
    for month in range(months):
        cost[1, month] += seen.chips_usd_days[month] * luck.overhead * servers
    return Paid(lines_of, other, cost, compute)


@inner
def _comply(complied: Floats, seen: Seen, law: Law, luck: Luck) -> None:
    """Add applications and authorisations to the line of compliance (K, tiers, T + 1), one by one and in the order of `costs`."""
    months, companies = len(law.month_starts) - 1, len(law.authorisation_applied)
    home = law.tier[law.home]
    for stage, usd in ((0, luck.application_usd), (1, luck.national_usd)):
        for k in range(companies):
            for tier in range(len(TIERS)):
                for month in range(months):
                    for _ in range(seen.filed[stage, k, tier, month]):
                        complied[k, tier, month] += usd
    for k in range(companies):
        applied = law.authorisation_applied[k]
        for n in range(luck.authorisation_time.shape[1]):  # as `static.authorisation_rounds`
            if not law.universal or applied >= law.horizon:
                break
            if applied >= 0:
                complied[k, home, _month(applied, law.month_of_day)] += luck.authorisation_usd
            if luck.authorisation_outcome[k, n] < law.authorisation_grant[k]:
                break
            u = luck.authorisation_time[k, n]
            i, fraction = u >> 52, u >> 32 & 0xFFFFF  # as `static.read_table`
            low = law.authorisation_spread[k, i]
            multiplier = low + ((law.authorisation_spread[k, i + 1] - low) * fraction >> FACTOR_BITS)
            applied += (law.authorisation_median[k] * multiplier >> FACTOR_BITS) + law.authorisation_again
    for month in range(months):
        start = law.month_starts[month]
        a_month = law.authorisation_usd_a_year[_segment(start, law.law_ticks)] / 12
        for k in range(companies):
            if seen.authorised[UNIVERSAL, k] <= start < seen.authorised[LOST, k] or seen.authorised[NATIONAL, k] <= start:
                complied[k, home, month] += a_month


@inner
def _running(money: Floats, seen: Seen, paid: Paid, law: Law, luck: Luck) -> None:
    """Fill `money` (series, K, tiers, T) with running totals at month ends."""
    companies, tiers, months = money.shape[1:]
    home = law.tier[law.home]
    for k in range(companies):
        for tier in range(tiers):
            delivered = 0
            shells = freight = complied = rate = moved = idle = 0.0
            for month in range(months):
                delivered += seen.chips_usd[k, month]
                shells += paid.lines[SHELLS, k, tier, month]
                freight += paid.lines[FREIGHT, k, tier, month]
                complied += paid.lines[COMPLIED, k, tier, month]
                rate += paid.lines[IDLE_RATE, k, tier, month]
                moved += paid.lines[IDLE_MOVED, k, tier, month]
                # Rounding must not make what has run up fall again.
                idle = max(idle, law.month_starts[month + 1] / TICKS_PER_DAY * rate - moved)
                chips = delivered * luck.overhead if tier == home else 0.0
                money[CAPEX - COUNTED, k, tier, month] = chips + shells + freight
                money[COMPLIANCE - COUNTED, k, tier, month] = complied
                money[IDLE - COUNTED, k, tier, month] = idle


@inner
def _cost_per_h100e_year(seen: Seen, paid: Paid, law: Law, luck: Luck) -> float:
    """As `costs.per_h100e_year`, of all companies; nan where nothing comes online, or what it needs is not drawn."""
    if not luck.after:
        return np.nan
    servers = _annuity(luck.discount, luck.server_years) / DAYS_PER_YEAR
    cost = years = day = 0.0
    spent = made = 0.0  # running totals at the month end before
    rate, moved, due = np.zeros(2), np.zeros(2), 0.0
    for month in range(len(law.month_starts) - 1):
        rate[0] += paid.cost[0, month]
        moved[0] += paid.cost[1, month]
        rate[1] += paid.compute[0, month]
        moved[1] += paid.compute[1, month]
        due += paid.other[month] + seen.tariff_usd[month]
        for k in range(paid.lines.shape[1]):
            for tier in range(paid.lines.shape[2]):
                due += paid.lines[COMPLIED, k, tier, month]
        end = law.month_starts[month + 1] / TICKS_PER_DAY
        worth = (1 + luck.discount) ** (-(day + end) / 2 / DAYS_PER_YEAR)
        total, compute = end * rate[0] - moved[0] + due, end * rate[1] - moved[1]
        cost += worth * (total - spent)
        years += worth * (compute - made)
        spent, made, day = total, compute, end
    return cost / years if years > 0 else np.nan


# ---- China ------------------------------------------------------------------------------------------------------------------


@inner
def _output(law: Law, luck: Luck) -> Floats:
    """(T,) domestic output a month, as `spillovers.china`."""
    months, base = len(luck.domestic), luck.domestic
    answered = np.ones(months)
    if law.grows:
        first = 0
        while first < months and law.growth[first] == 0:
            first += 1
        for t in range(first, months):
            if base[first] > 0:
                answered[t] = (base[t] / base[first]) ** law.growth[t]
    elif law.substitutes:
        last = len(law.denied) - 1
        for t in range(months):
            at = last + 1 - months + t - luck.lag_days / law.month_days
            below = int(min(max(at, 0.0), float(last)))
            denied = law.denied[below]
            if 0 < at < last and at != below:
                denied = (law.denied[below + 1] - denied) * (at - below) + denied
            answered[t] = 1.0 + law.elasticity * denied
    for t in range(months):
        answered[t] *= base[t]
        if law.grows or law.substitutes:
            answered[t] = min(answered[t], max(law.ceiling[t], base[t]))
    return answered


@inner
def _china(seen: Seen, law: Law, luck: Luck) -> Floats:
    """(T,) China's compute at month ends, as `spillovers.china` with what the four could place."""
    months = len(law.month_starts) - 1
    stock = np.full(months, np.nan)
    if not (law.china and luck.china):
        return stock
    output = _output(law, luck)
    licensed = diverted = domestic = 0.0
    for t in range(months):
        offered = 0
        for k in range(luck.deliveries.shape[1]):
            for a in range(len(law.merchant)):
                offered += luck.deliveries[t, k, a] * law.merchant[a]
        demand = luck.demand[t] * (seen.merchant[t] / max(offered, 1))
        before, now = law.bought_in_history[t], law.bought[t]
        history = demand * before if np.isnan(luck.imports[t]) else luck.imports[t] * law.season[t]
        licensed += history * (now / before if now < before else 1.0) + demand * max(now - before, 0.0)
        diverted += luck.smuggled[t] * law.diversion[t] if law.diverts else 0.0
        domestic += output[t]
        rented = luck.rented[t] if law.rents else 0.0
        had = luck.opening[1] if law.diverts else 0.0
        stock[t] = (luck.opening[0] + licensed) + (had + diverted) + (luck.opening[2] + domestic) + rented
    return stock


# ---- the numbers of a run ---------------------------------------------------------------------------------------------------


@inner
def _dated(
    month: int, seen: Seen, online: Ints, money: Floats, large: Ints, stock: Floats, law: Law, into: Floats
) -> None:  # fmt: skip
    """Write the numbers `BY_DATE` of one month end. Tables of steps have been summed up to running totals."""
    companies, tiers, at = len(law.authorisation_applied), len(TIERS), 0
    by_tier, total = np.zeros((COUNTED, tiers), dtype=np.int64), np.zeros(COUNTED, dtype=np.int64)
    for series in range(COUNTED):
        for k in range(companies):
            for tier in range(tiers):
                by_tier[series, tier] += seen.steps[series, k, tier, month]
                total[series] += seen.steps[series, k, tier, month]
    for series, unit in ((MW_ONLINE, WATTS_PER_MW), (H100E_ONLINE, PPM)):
        into[at] = total[series] / unit
        for tier in range(tiers):
            into[at + 1 + tier] = by_tier[series, tier] / unit
        at += 1 + tiers
    for series in (WITHOUT_CHIPS, WAITING, RELOCATED, CANCELLED, DOWNSIZED):
        into[at] = total[series] / MW_SIXTEENTHS
        at += 1
    for line in range(len(money)):
        into[at] = 0.0
        for k in range(companies):
            for tier in range(tiers):
                into[at] += money[line, k, tier, month]
        at += 1
    world, home, access = total[H100E_ONLINE] / PPM, 0.0, 0.0
    for c in range(len(law.tier)):
        here = 0
        for k in range(companies):
            here += online[H100E_ONLINE, k, c, month]
        if c == law.home:
            home = here / PPM
        if here >= law.rd_access_h100e * PPM:
            access += law.rd_weight[c]
    into[at] = home / world if world > 0 else np.nan
    into[at + 1] = by_tier[H100E_ONLINE, 0] / PPM / world if world > 0 else np.nan
    into[at + 2] = access
    into[at + 3] = stock[month] / world if world > 0 else np.nan
    into[at + 4] = large[month]


@inner
def _sorted(keys: Ints, a_day: int) -> Ints:
    """Keys of at least zero in rising order: by day first, of `a_day` each, and then within the day, where they are few."""
    days = 0
    for key in keys:
        days = max(days, key // a_day + 1)
    ends, found = np.zeros(days + 1, dtype=np.int64), np.empty(len(keys), dtype=np.int64)
    for key in keys:
        ends[key // a_day + 1] += 1
    for day in range(days):
        ends[day + 1] += ends[day]
    first = ends.copy()
    for key in keys:
        day = key // a_day
        at = ends[day]
        ends[day] += 1
        while at > first[day] and found[at - 1] > key:
            found[at] = found[at - 1]
            at -= 1
        found[at] = key
    return found


@inner
def _plan_to_online(seen: Seen, phases: Phases, law: Law, luck: Luck) -> tuple[float, float]:
    """Median months from plan to online, and share online by the horizon, as `timeline.incidence_months` and `times`."""
    life, roots = seen.life, len(luck.company)
    online, shipped = np.full(roots, NEVER), np.full(roots, NEVER)
    for p in phases.row:
        root = life[life[p, HOME_ROW], SITE] // law.hops
        online[root] = min(online[root], life[p, ONLINE])
        shipped[root] = min(shipped[root], life[p, SHIPPED])
    keys, count, reached = np.empty(roots, dtype=np.int64), 0, 0
    for root in range(roots):
        s = seen.slot[root * law.hops]
        if s < 0 or not 0 <= life[s, PLANNED] < law.horizon:
            continue
        hops = 0
        for hop in range(law.hops):
            hops += seen.slot[root * law.hops + hop] >= 0
        last = seen.slot[root * law.hops + hops - 1]
        given_up = min(life[last, MOVED], life[last, GIVEN_UP]) if shipped[root] == NEVER else NEVER
        ticks = min(online[root], given_up, law.horizon) - life[s, PLANNED]
        leaves = 1 if online[root] < law.horizon or given_up < law.horizon else 0
        # In order of time, who leaves before who is last seen, then by root.
        keys[count] = (ticks * 2 + 1 - leaves) * roots + root
        count += 1
        reached += online[root] < law.horizon
    keys = _sorted(keys[:count], roots * 2 * TICKS_PER_DAY)
    surviving, incidence, median = 1.0, 0.0, np.nan
    for i in range(count):
        key, root = keys[i] // roots, keys[i] % roots
        at_risk = count - i
        if online[root] < law.horizon:
            incidence += surviving / at_risk
        # A product of fractions rarely rounds to exactly one half.
        if incidence >= 0.5 - 1e-9:
            median = key // 2 / TICKS_PER_DAY / DAYS_PER_YEAR * MONTHS_PER_YEAR
            break
        surviving *= 1 - (1 - key % 2) / at_risk
    return median, reached / count if count > 0 else np.nan


@inner
def _slippage(seen: Seen, law: Law) -> float:
    """Lower median of days from the company's own date to first power, as `timeline.times`."""
    life = seen.life
    late, count, never = np.empty(len(seen.sites), dtype=np.int64), 0, 0
    for s in seen.sites:
        own, power, ended = life[s, OWN_DATE], life[s, POWER], min(life[s, MOVED], life[s, GIVEN_UP])
        if 0 <= own < law.horizon and power < NEVER:
            late[count] = law.horizon + power - own
            count += 1
        elif 0 <= own < law.horizon and ended == NEVER:
            never += 1
    middle = (count + never - 1) // 2
    if count + never == 0 or middle >= count:
        return np.nan
    return (_sorted(late[:count], TICKS_PER_DAY)[middle] - law.horizon) / TICKS_PER_DAY


@inner
def _year(tick: int, first_day: int, decimal_years: Floats) -> float:
    """A tick as a point in time; nan from the horizon on."""
    day = tick // TICKS_PER_DAY - first_day
    return decimal_years[day] if day < len(decimal_years) else np.nan


@inner
def _single(seen: Seen, phases: Phases, paid: Paid, law: Law, luck: Luck, into: Floats) -> None:
    """Write the numbers `OF_RUN`."""
    into[0], into[1] = _plan_to_online(seen, phases, law, luck)
    into[2] = _slippage(seen, law)
    into[3] = _cost_per_h100e_year(seen, paid, law, luck)
    into[4], into[5] = seen.licences[FILED], seen.licences[REFUSED]
    decided = seen.licences[DECIDED]
    into[6] = seen.licences[WAITED] / TICKS_PER_DAY / decided if decided > 0 else np.nan
    into[7] = _year(seen.licences[BINDING], law.first_day, law.decimal_years)
    granted = NEVER
    for tick in seen.authorised[UNIVERSAL]:
        granted = min(granted, tick)
    into[8] = _year(granted, law.first_day, law.decimal_years)


# ---- increments -------------------------------------------------------------------------------------------------------------


@inner
def _note(out: Increments, count: int, series: int, first: int, table: Ints, months: int) -> int:
    """Append what a table (K, places, months or more) of monthly steps says, and sum it up to running totals in place."""
    for k in range(table.shape[0]):
        for place in range(table.shape[1]):
            total = 0
            for month in range(months):
                step = table[k, place, month]
                total += step
                table[k, place, month] = total
                if step != 0:
                    row = out[count]
                    row["series"], row["company"], row["place"], row["month"] = series, k, first + place, month
                    row["value"] = step
                    count += 1
    return count


@inner
def _cents(money: Floats) -> Ints:
    """Monthly steps in whole cents of running totals (K, tiers, T) in dollars."""
    steps = np.empty(money.shape, dtype=np.int64)
    for k in range(money.shape[0]):
        for tier in range(money.shape[1]):
            before = 0
            for month in range(money.shape[2]):
                total = int(np.rint(money[k, tier, month] * CENTS))
                steps[k, tier, month] = total - before
                before = total
    return steps


@jit
def _reduce(log: Log, law: Law, luck: Luck, out: Increments, numbers: Floats) -> int:
    """Fill in the numbers, and the increments from the top of `out`; returns how many these are."""
    months, companies = len(law.month_starts) - 1, len(law.authorisation_applied)
    rows, counts = _rows(log, law.kind)
    seen = _read(log, rows, counts, law, luck)
    phases = _phases(seen, law, luck)
    online = _capacity(seen, phases, law, luck)
    _waits(log, rows[TURN, : counts[TURN]], seen, phases, law)
    large = _campuses(log, rows[LIGHT, : counts[LIGHT]], seen, law, luck)
    paid = _pay(seen, phases, law, luck)
    money = np.empty((LAST - COUNTED, companies, len(TIERS), months))
    _running(money, seen, paid, law, luck)

    count = 0
    for series in range(LAST):
        if series < COUNTED:
            count = _note(out, count, series, 1, seen.steps[series], months)
            if series < PLACED:
                count = _note(out, count, series, COUNTRY, online[series], months)
        else:
            count = _note(out, count, series, 1, _cents(money[series - COUNTED]), months)

    stock = _china(seen, law, luck)
    each = (len(numbers) - len(OF_RUN)) // len(law.shown)
    for i in range(len(law.shown)):
        _dated(law.shown[i], seen, online, money, large, stock, law, numbers[i * each : (i + 1) * each])
    _single(seen, phases, paid, law, luck, numbers[len(law.shown) * each :])
    return count


# ---- the door ---------------------------------------------------------------------------------------------------------------


class Reducer:
    """Reduces the replications of one scenario; what they share is made ready once.

    `rd_weight` (C,) weighs countries for `rd_access` and sums to one, as for `metrics.measure`.
    """

    def __init__(self, static: Static, rd_weight: Floats):
        self.static = static
        self.law = _law(static, rd_weight)
        months, companies, countries = len(static.month_starts) - 1, len(static.companies), len(static.countries)
        self._most = months * companies * (len(SERIES) * len(TIERS) + PLACED * countries)

    def reduce(self, draws: Draws, log: Log) -> Reduced:
        """Numbers and increments of one replication, a pure function of scenario, draws and log."""
        numbers = np.empty(len(METRICS))
        out = np.empty(self._most, dtype=INCREMENTS)
        count = _reduce(_plain(log, log.dtype), self.law, _luck(draws), out, numbers)
        # As bytes: NumPy copies records field by field.
        return Reduced(numbers, out[:count].view(np.uint8).copy().view(INCREMENTS))


def _plain(table: NDArray[np.generic], dtype: object = np.int64) -> NDArray[np.generic]:
    """The array in the one form the compiled code is made for: contiguous and writable."""
    found = np.ascontiguousarray(table, dtype=dtype)
    return found if found.flags.writeable else found.copy()


def _law(static: Static, rd_weight: Floats) -> Law:
    from simulator.spillovers import ChinaPolicy, Mechanisms

    months, days = len(static.month_starts) - 1, static.horizon // TICKS_PER_DAY
    first_day = static.earliest // TICKS_PER_DAY
    kind, detail = _kinds()
    nothing = np.zeros(months)
    china = static.china or ChinaPolicy(nothing, nothing, nothing, nothing, nothing, nothing, nothing, 0.0, Mechanisms())
    return Law(
        kind=kind,
        detail=detail,
        month_of_day=np.searchsorted(static.month_starts, np.arange(days + 1) * TICKS_PER_DAY, side="right") - 1,
        decimal_years=np.array([decimal_year(static.start, day * TICKS_PER_DAY) for day in range(first_day, days)]),
        shown=np.array(shown_months(static)),
        # Small tables stay at hand where a log is read.
        needs_licence=static.needs_licence.astype(np.int8),
        lpp_rule=static.lpp_rule.astype(np.int16),
        tier=static.tier - 1,
        merchant=np.isin(static.vendor_of, [i for i, v in enumerate(static.vendors) if v in MERCHANTS]).astype(np.int64),
        rd_weight=_plain(rd_weight, np.float64),
        elasticity=float(china.elasticity),
        diverts=china.on.diversion,
        substitutes=china.on.substitution,
        grows=china.on.stated_growth,
        rents=china.on.renting,
        china=static.china is not None,
        universal=static.allow_uveu and bool((static.uveu_rule >= 0).any()),
        tariff=bool(static.tariff_ppm.any()),
        shares=bool(static.revenue_share_ppm.any()),
        first_day=int(first_day),
        authorisation_again=int(static.authorisation_again),
        rd_access_h100e=int(static.rd_access_h100e),
        horizon=int(static.horizon),
        home=int(static.home),
        hops=HOPS,
        large=THRESHOLDS_MW[-1] * MW_SIXTEENTHS * PPM,
        month_days=MONTH_DAYS,
        **{name: _plain(getattr(static, name)) for name in OF_STATIC},
        **{name: _plain(getattr(china, name), np.float64) for name in OF_CHINA},
    )


def _luck(draws: Draws) -> Luck:
    after, china, nothing = draws.after_run, draws.china, np.zeros(0)
    return Luck(
        pue=nothing if after is None else _plain(after.pue, np.float64),
        opening=nothing if china is None else np.array(china.opening),
        lag_days=0.0 if china is None else float(china.lag_days),
        server_years=1.0 if after is None else float(after.server_years),
        facility_years=1.0 if after is None else float(after.facility_years),
        national_usd=np.nan if after is None else float(after.national_usd),
        overhead=draws.it_overhead_ppm / PPM,
        freight=draws.freight_ppm / PPM,
        security=draws.security_ppm / PPM,
        idle_usd=draws.idle_shell_usd / (DAYS_PER_YEAR / MONTHS_PER_YEAR),
        rent_usd=draws.rent_usd_per_mw / DAYS_PER_YEAR,
        bridge_usd=draws.bridge_usd_per_mwh / PER_MWH,
        load_factor=draws.load_factor_ppm / PPM,
        kept=1 - draws.recovery_ppm / PPM,
        discount=draws.discount_ppm / PPM,
        application_usd=float(draws.application_usd),
        authorisation_usd=float(draws.authorisation_usd),
        design_ratio_ppm=int(draws.design_ratio_ppm),
        filings=draws.refile.shape[2],
        after=after is not None,
        china=china is not None,
        **{name: _plain(getattr(draws, name)) for name in OF_DRAWS},
        **{name: nothing if china is None else _plain(getattr(china, name), np.float64) for name in OF_PATHS},
    )


OF_STATIC = (
    "month_starts", "year_starts", "law_ticks", "market_country", "h100e_ppm", "watts", "allocation", "allocation_rule", "authorisation_applied", "authorisation_median", "authorisation_spread", "authorisation_grant",
    "authorisation_usd_a_year", "revenue_share_ppm", "tariff_ppm", "tariff_covers",
)  # fmt: skip
OF_CHINA = ("denied", "bought", "bought_in_history", "season", "diversion", "growth", "ceiling")
OF_DRAWS = (
    "company", "route", "phases", "phase_mw16", "shell_offset", "campus_mw16", "median", "spread", "luck_construction", "route_factor",
    "deliveries", "fleet_chips", "opening_stock", "under_way", "authorisation_time", "authorisation_outcome", "price_usd",
    "shell_usd_per_mw", "opex_usd_per_mw", "spend_ppm",
)  # fmt: skip
OF_PATHS = ("demand", "imports", "smuggled", "domestic", "rented")
