"""The arithmetic of the headline: one quick pass over the log of a replication, and what follows from it, compiled.

`reduce` writes the numbers `headline.METRICS` and the increments of `headline.SERIES`. What each of them means is said once, in
`simulator.metrics` and the modules it calls; functions here name the one they repeat. Sums of whole numbers (power, chips) are made
in whole numbers; those of money in the same order as there, by company and tier.

A log is read in two steps: `_rows` lists the rows that matter by what they do, then each list is worked off by itself. So the order of
what happens in one instant does not matter, and the processor foresees what comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simulator import jit
from simulator.campuses import THRESHOLDS_MW
from simulator.costs import PER_MWH
from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.headline import CENTS, COUNTRY, OF_RUN, SERIES, WATTS_PER_MW, Increments, shown_months
from simulator.jit import inner
from simulator.lives import ASKING, MARKS, NEVER, STAGES
from simulator.sampling import HOPS
from simulator.spillovers import MERCHANTS, MONTH_DAYS, ChinaPolicy
from simulator.static import FACTOR_BITS, NO_POT, Ints, Route, Timed
from simulator.timeline import MONTHS_PER_YEAR, decimal_year
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, PPM, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.events import Log
    from simulator.static import Draws, Static

# ---- numbers for words ------------------------------------------------------------------------------------------------------

MW_ONLINE, H100E_ONLINE, WITHOUT_CHIPS, WAITING, RELOCATED, CANCELLED, DOWNSIZED, CAPEX, COMPLIANCE, IDLE = range(len(SERIES))
"""Series, in the order of `headline.SERIES`"""
LAST = len(SERIES)
COUNTED = CAPEX
"""Series before this one add up whole numbers; the rest are money."""
PLACED = 2
"""Series before this one are given by country as well."""
TIERS = 3
WATTS_PER_SIXTEENTH = WATTS_PER_MW // MW_SIXTEENTHS
(
    NOTHING, PLAN, OF_SITE, OF_PHASE, DATE, SHIP, LIGHT, TAKE, LOSE, TURN, DELIVER, FILE, DECIDE, AUTHORISE, FILE_NATIONAL, KINDS,
) = range(16)  # fmt: skip
"""What rows of the log do"""
(
    SITE, MARKET, PLANNED, MW16, CONTROL, GROUND, OWN_DATE, POWER, BRIDGED, GRID, BUILD, ENDED,
) = range(12)  # fmt: skip
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
PARTS = 5
"""Parts in which the price of a shell is paid"""
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


# ---- what it is given -------------------------------------------------------------------------------------------------------


class Calendar(NamedTuple):
    """Of a scenario: when is what."""

    month_of_day: Ints
    """(days + 1,) from the start; the number of months on the day of the horizon"""
    month_starts: Ints
    year_starts: Ints
    law_ticks: Ints
    decimal_years: Floats
    """(days,) each as a point in time, from `first_day` on"""
    first_day: int
    horizon: int


class Places(NamedTuple):
    """Of a scenario: where is what."""

    market_country: Ints
    tier: Ints
    """(C,) from 0"""
    home: int


class Kinds(NamedTuple):
    """(A,) of accelerators."""

    h100e_ppm: Ints
    watts: Ints
    merchant: Ints
    """1 for chips of the merchant makers"""


class Passing(NamedTuple):
    """Law on chips that leave."""

    needs_licence: NDArray[np.int8]
    lpp_rule: NDArray[np.int16]
    tariff_ppm: Ints
    tariff_covers: Ints
    tariff: bool
    """whether there is one"""


class Asking(NamedTuple):
    """Law on who asks: allocations and authorisations."""

    allocation: Ints
    allocation_rule: Ints
    applied: Ints
    median: Ints
    spread: Ints
    grant: Ints
    usd_a_year: Ints
    again: int
    universal: bool
    """whether the law ever offers the universal authorisation"""


class China(NamedTuple):
    """Of `spillovers.ChinaPolicy`."""

    denied: Floats
    bought: Floats
    bought_in_history: Floats
    season: Floats
    diversion: Floats
    growth: Floats
    ceiling: Floats
    elasticity: float
    month_days: float
    diverts: bool
    substitutes: bool
    grows: bool
    rents: bool
    known: bool
    """whether there is one"""


class Law(NamedTuple):
    """What a scenario's replications share, as plain arrays and numbers. What is kept elsewhere is in it and not compiled in."""

    kind: NDArray[np.uint64]
    detail: Ints
    """(codes,) as `_kinds`"""
    shown: Ints
    """(2,) as `shown_months`"""
    calendar: Calendar
    places: Places
    kinds: Kinds
    passing: Passing
    asking: Asking
    china: China
    revenue_share_ppm: Ints
    shares: bool
    """whether any share of revenue is taken"""
    rd_weight: Floats
    """(C,)"""
    rd_access_h100e: int
    hops: int
    """`sampling.HOPS`"""
    large: int
    """load of a campus of a gigawatt, in the unit of load x design ratio"""


class Plans(NamedTuple):
    """(R, ...) of projects."""

    company: Ints
    route: Ints
    phases: Ints
    phase_mw16: Ints
    campus_mw16: Ints
    shell_offset: Ints
    spread: Ints


class Building(NamedTuple):
    """How long it takes to build."""

    median: Ints
    luck_construction: Ints
    route_factor: Ints


class Stocks(NamedTuple):
    """Chips there, and chips that come."""

    fleet_chips: Ints
    opening_stock: Ints
    under_way: Ints
    deliveries: Ints


class Prices(NamedTuple):
    """Money, with its units applied."""

    price_usd: Ints
    shell_usd_per_mw: Ints
    opex_usd_per_mw: Ints
    spend_ppm: Ints
    pue: Floats
    """(C,); empty without `after`"""
    server_years: float
    facility_years: float
    overhead: float
    freight: float
    security: float
    idle_usd: float
    rent_usd: float
    """a day and MW"""
    bridge_usd: float
    """a MWh"""
    load_factor: float
    kept: float
    """share of sunk cost that does not come back"""
    discount: float
    application_usd: float
    national_usd: float
    authorisation_usd: float
    after: bool
    """whether what is read after the run is drawn"""


class Paths(NamedTuple):
    """Of `spillovers.ChinaPaths`; empty where China's paths are not drawn."""

    demand: Floats
    imports: Floats
    smuggled: Floats
    domestic: Floats
    rented: Floats
    opening: Floats
    lag_days: float
    known: bool


class Luck(NamedTuple):
    """A replication's draws, as plain arrays and numbers."""

    plans: Plans
    building: Building
    stocks: Stocks
    prices: Prices
    paths: Paths
    authorisation_time: Ints
    authorisation_outcome: Ints
    design_ratio_ppm: int
    filings: int
    """most applications of a company in a country"""


# ---- reading the log --------------------------------------------------------------------------------------------------------
# Functions take what they read and no more: each array handed over is a few numbers more for the compiler and the processor.


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
def _last(tick: int, starts: Ints) -> int:
    """The last of some stretches of time to begin by a tick; the first one before it."""
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
    for one in range(KINDS):
        place[one] -= one * wide
    return rows.reshape(KINDS, wide), place


class Lives(NamedTuple):
    """What happened to sites and phases."""

    life: Ints
    """(sites and phases, COLUMNS_OF_LIFE) in the order in which sites were planned; ticks are NEVER where nothing happened"""
    slot: Ints
    """(R * HOPS,) row of each site, -1 where nothing was planned"""
    sites: Ints
    """rows of sites in the order of their plans"""


@inner
def _lives(log: Log, rows: NDArray[np.int32], counts: Ints, detail: Ints, company: Ints, phases: Ints, hops: int) -> Lives:
    """Milestones; a later one of a kind replaces an earlier one."""
    ticks, roots, hop, parts, stages = log["tick"], log["root"], log["hop"], log["phase"], log["stage"]
    marks, rules, pools, quantities = log["mark"], log["rule"], log["pool"], log["quantity"]
    slot, most = np.full(len(company) * hops, -1), 0
    for n in phases:
        most += hops * (1 + n)
    sites, count, n = np.empty(counts[PLAN], dtype=np.int64), 0, 0
    life = np.empty((most, COLUMNS_OF_LIFE), dtype=np.int64)
    for i in rows[PLAN, : counts[PLAN]]:
        root = roots[i]
        place = root * hops + hop[i]
        if slot[place] < 0:
            slot[place] = sites[count] = n
            for p in range(n, n + 1 + phases[root]):
                for column in range(COLUMNS_OF_LIFE):
                    life[p, column] = NEVER
            life[n, SITE] = place
            for f in range(phases[root]):
                p = n + 1 + f
                life[p, HOME_ROW], life[p, NUMBER], life[p, COMPANY] = n, f, company[root]
                life[p, SIZE] = life[p, ONLINE_MW16] = life[p, H100E] = life[p, USD] = 0
                life[p, SHIP_RULE], life[p, SECURED] = -1, OPEN
            n += 1 + phases[root]
            count += 1
        s = slot[place]
        life[s, PLANNED], life[s, MARKET], life[s, MW16] = ticks[i], pools[i], quantities[i]
    for i in rows[OF_SITE, : counts[OF_SITE]]:
        s = slot[roots[i] * hops + hop[i]]
        if s >= 0:
            life[s, detail[marks[i] * STAGES + stages[i]]] = ticks[i]
    for i in rows[OF_PHASE, : counts[OF_PHASE]]:
        s = slot[roots[i] * hops + hop[i]]
        if s >= 0 and parts[i] < phases[roots[i]]:
            life[s + 1 + parts[i], detail[marks[i] * STAGES + stages[i]]] = ticks[i]
    for i in rows[DATE, : counts[DATE]]:
        s = slot[roots[i] * hops + hop[i]]
        if s >= 0:
            life[s, OWN_DATE] = quantities[i]
    for i in rows[SHIP, : counts[SHIP]]:
        s = slot[roots[i] * hops + hop[i]]
        if s >= 0 and parts[i] < phases[roots[i]]:
            life[s + 1 + parts[i], SHIPPED], life[s + 1 + parts[i], SHIP_RULE] = ticks[i], rules[i]
    for i in rows[LIGHT, : counts[LIGHT]]:
        s = slot[roots[i] * hops + hop[i]]
        if s >= 0 and parts[i] < phases[roots[i]]:
            life[s + 1 + parts[i], ONLINE], life[s + 1 + parts[i], ONLINE_MW16] = ticks[i], quantities[i]
    return Lives(life[:n], slot, sites[:count])


class Bought(NamedTuple):
    """Chips delivered by month, and the tariff on chips that left."""

    usd: Ints
    """(K, T + 1) their price"""
    usd_days: Floats
    """(T + 1,) the same times the day of delivery, of all companies"""
    merchant: Ints
    """(T + 1,) chips of merchant makers"""
    tariff_usd: Floats
    """(T + 1,)"""


@inner
def _chips(
    log: Log, came: NDArray[np.int32], left: NDArray[np.int32], lives: Lives, company: Ints, phases: Ints, price_usd: Ints,
    kinds: Kinds, passing: Passing, places: Places, law_ticks: Ints, month_of_day: Ints, hops: int, companies: int,
) -> Bought:  # fmt: skip
    """Chips that came, and what left for each phase: how much, and whether under control."""
    ticks, roots, hop, parts, pools, quantities = log["tick"], log["root"], log["hop"], log["phase"], log["pool"], log["quantity"]
    life, months = lives.life, month_of_day[-1]
    usd, usd_days = np.zeros((companies, months + 1), dtype=np.int64), np.zeros(months + 1)
    merchant, tariff_usd = np.zeros(months + 1, dtype=np.int64), np.zeros(months + 1)
    for i in came:
        month, paid = _month(ticks[i], month_of_day), quantities[i] * price_usd[pools[i]]
        usd[-1 - roots[i], month] += paid
        usd_days[month] += paid * (max(ticks[i], 0) / TICKS_PER_DAY)
        merchant[month] += quantities[i] * kinds.merchant[pools[i]]
    segment = 0
    for i in left:
        root, chip = roots[i], pools[i]
        s = lives.slot[root * hops + hop[i]]
        if s < 0 or parts[i] >= phases[root]:
            continue
        while segment + 1 < len(law_ticks) and law_ticks[segment + 1] <= ticks[i]:
            segment += 1
        p, country = s + 1 + parts[i], places.market_country[life[s, MARKET]]
        life[p, H100E] += quantities[i] * kinds.h100e_ppm[chip]
        life[p, USD] += quantities[i] * price_usd[chip]
        if passing.needs_licence[segment, company[root], country, chip] == 1:
            lpp = passing.lpp_rule[segment, company[root], country, chip]
            if life[p, SECURED] == OPEN:
                life[p, SECURED] = lpp
            elif life[p, SECURED] != lpp:
                life[p, SECURED] = SURELY
        if passing.tariff and ticks[i] >= 0 and country != places.home:
            share = passing.tariff_ppm[segment] * passing.tariff_covers[segment, chip] / PPM
            tariff_usd[_month(ticks[i], month_of_day)] += quantities[i] * price_usd[chip] * share
    return Bought(usd, usd_days, merchant, tariff_usd)


@inner
def _give_up(
    log: Log, rows: NDArray[np.int32], lives: Lives, detail: Ints, company: Ints, places: Places, month_of_day: Ints, hops: int,
    steps: Ints,
) -> None:  # fmt: skip
    """Note when sites were given up, and add what was given up for the law to `steps`."""
    ticks, roots, hop, stages = log["tick"], log["root"], log["hop"], log["stage"]
    marks, rules, pools, quantities = log["mark"], log["rule"], log["pool"], log["quantity"]
    for i in rows:
        root, market, series = roots[i], pools[i], detail[marks[i] * STAGES + stages[i]]
        if rules[i] >= 0:
            country = places.market_country[market] if market >= 0 else places.home  # nowhere to go: it stays a plan at home
            steps[series, company[root], places.tier[country], _since(ticks[i], month_of_day)] += quantities[i]
        s = lives.slot[root * hops + hop[i]]
        if s >= 0 and series != DOWNSIZED:
            lives.life[s, ENDED] = min(lives.life[s, ENDED], ticks[i])


class Asked(NamedTuple):
    """Applications and authorisations."""

    filed: Ints
    """(2, K, tiers, T + 1) applications for licences and for national authorisations, since the start"""
    authorised: Ints
    """(3, K) ticks: the universal authorisation, its loss, the first national one"""
    licences: Ints
    """(LICENCES,)"""


@inner
def _applications(
    log: Log, rows: NDArray[np.int32], counts: Ints, detail: Ints, allocation: Ints, allocation_rule: Ints, tier: Ints,
    law_ticks: Ints, month_of_day: Ints, companies: int, filings: int,
) -> Asked:  # fmt: skip
    """What companies asked for, and what they got."""
    ticks, roots, parts, stages = log["tick"], log["root"], log["phase"], log["stage"]
    marks, rules, pools = log["mark"], log["rule"], log["pool"]
    filed = np.zeros((2, companies, TIERS, month_of_day[-1] + 1), dtype=np.int64)
    pending, licences = np.zeros((companies, len(tier), filings), dtype=np.int64), np.zeros(LICENCES, dtype=np.int64)
    authorised = np.full((3, companies), NEVER)
    licences[BINDING] = NEVER
    for i in rows[FILE, : counts[FILE]]:
        k, c = -1 - roots[i], pools[i]
        pending[k, c, parts[i]] = ticks[i]
        licences[FILED] += ticks[i] >= 0
        filed[0, k, tier[c], _since(ticks[i], month_of_day)] += 1
    for i in rows[DECIDE, : counts[DECIDE]]:
        k, c, tick, mark = -1 - roots[i], pools[i], ticks[i], marks[i]
        if tick >= 0:
            licences[REFUSED] += mark != APPROVED
            licences[DECIDED] += 1
            licences[WAITED] += tick - pending[k, c, parts[i]]
            then = _last(tick, law_ticks)
            if mark == RETURNED and allocation[then, c] != NO_POT and rules[i] == allocation_rule[then, c]:
                licences[BINDING] = min(licences[BINDING], tick)
    for i in rows[FILE_NATIONAL, : counts[FILE_NATIONAL]]:
        filed[1, -1 - roots[i], tier[pools[i]], _since(ticks[i], month_of_day)] += 1
    for i in rows[AUTHORISE, : counts[AUTHORISE]]:
        k, which = -1 - roots[i], detail[marks[i] * STAGES + stages[i]]
        authorised[which, k] = min(authorised[which, k], ticks[i]) if which == NATIONAL else ticks[i]
    return Asked(filed, authorised, licences)


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
def _phases(lives: Lives, phases: Ints, phase_mw16: Ints, places: Places, hops: int) -> Phases:
    """Fills in their sizes, too. A successor takes over what was not shipped, in order."""
    life, slot = lives.life, lives.slot
    row, cell, country, count = np.empty(len(life), np.int64), np.empty(len(life), np.int64), np.empty(len(life), np.int64), 0
    ended = np.full(len(life), NEVER)
    for place in range(len(slot)):
        s = slot[place]
        if s < 0:
            continue
        root, n = place // hops, 0
        if place % hops == 0:
            n = phases[root]
            for f in range(n):
                life[s + 1 + f, SIZE] = phase_mw16[root, f]
        elif slot[place - 1] >= 0:
            for p in range(slot[place - 1] + 1, slot[place - 1] + 1 + phases[root]):
                if life[p, SIZE] > 0 and life[p, SHIPPED] == NEVER and life[p, IN_FLEET] == NEVER:
                    n += 1
                    life[s + n, SIZE] = life[p, SIZE]
        here = places.market_country[life[s, MARKET]]
        for p in range(s + 1, s + 1 + n):
            if life[p, SIZE] > 0:
                row[count], cell[count], country[count] = p, life[p, COMPANY] * TIERS + places.tier[here], here
                count += 1
            if life[p, SHIPPED] == NEVER and life[p, IN_FLEET] == NEVER:
                ended[p] = life[s, ENDED]
    return Phases(row[:count], cell[:count], country[:count], ended)


# ---- capacity, and what waits -----------------------------------------------------------------------------------------------


@inner
def _capacity(
    life: Ints, phases: Phases, fleet_chips: Ints, kinds: Kinds, tier: Ints, month_of_day: Ints, steps: Ints
) -> Ints:  # fmt: skip
    """(PLACED, K, C, T + 1) monthly steps of what is online, opening fleet in the first month; adds to `steps` by tier as well."""
    companies, countries, months = len(fleet_chips), len(tier), month_of_day[-1]
    online = np.zeros((PLACED, companies, countries, months + 1), dtype=np.int64)
    by_cell = steps.reshape(COUNTED, companies * TIERS, months + 1)
    for k in range(companies):
        for c in range(countries):
            watts = h100e = 0
            for a in range(len(kinds.watts)):
                watts += fleet_chips[k, c, a] * kinds.watts[a]
                h100e += fleet_chips[k, c, a] * kinds.h100e_ppm[a]
            online[MW_ONLINE, k, c, 0], online[H100E_ONLINE, k, c, 0] = watts, h100e
            by_cell[MW_ONLINE, k * TIERS + tier[c], 0] += watts
            by_cell[H100E_ONLINE, k * TIERS + tier[c], 0] += h100e
    for i in range(len(phases.row)):
        p, cell = phases.row[i], phases.cell[i]
        month, watts = _month(life[p, ONLINE], month_of_day), life[p, ONLINE_MW16] * WATTS_PER_SIXTEENTH
        online[MW_ONLINE, life[p, COMPANY], phases.country[i], month] += watts
        online[H100E_ONLINE, life[p, COMPANY], phases.country[i], month] += life[p, H100E]
        by_cell[MW_ONLINE, cell, month] += watts
        by_cell[H100E_ONLINE, cell, month] += life[p, H100E]
        until = min(life[p, SHIPPED], phases.ended[p], life[p, IN_FLEET])
        size = life[p, SIZE] if life[p, READY] < until else 0
        by_cell[WITHOUT_CHIPS, cell, _month(life[p, READY], month_of_day)] += size
        by_cell[WITHOUT_CHIPS, cell, _month(until, month_of_day)] -= size
    return online


@inner
def _waits(
    log: Log, turns: NDArray[np.int32], lives: Lives, phases: Phases, detail: Ints, places: Places, month_of_day: Ints, hops: int,
    steps: Ints, licences: Ints,
) -> None:  # fmt: skip
    """Add what is ready and waits for clearance to `steps`, from the turns of its waits, as `lives.waits`."""
    ticks, roots, hop, parts, stages, marks = log["tick"], log["root"], log["hop"], log["phase"], log["stage"], log["mark"]
    life = lives.life
    for i in turns:
        tick, turn, s = ticks[i], detail[marks[i] * STAGES + stages[i]], lives.slot[roots[i] * hops + hop[i]]
        if turn == BINDS and tick >= 0:
            licences[BINDING] = min(licences[BINDING], tick)
        p = s + 1 + parts[i]
        if s < 0 or p >= len(life) or life[p, HOME_ROW] != s:
            continue
        begin = max(life[p, WAITS], life[p, READY])
        if begin < tick:
            tier = places.tier[places.market_country[life[s, MARKET]]]
            steps[WAITING, life[p, COMPANY], tier, _month(begin, month_of_day)] += life[p, SIZE]
            steps[WAITING, life[p, COMPANY], tier, _month(tick, month_of_day)] -= life[p, SIZE]
        life[p, WAITS] = NEVER if turn == ENDS else tick
    for i in range(len(phases.row)):
        p = phases.row[i]
        begin = max(life[p, WAITS], life[p, READY])
        if begin < NEVER:
            steps[WAITING, life[p, COMPANY], phases.cell[i] % TIERS, _month(begin, month_of_day)] += life[p, SIZE]


@inner
def _campuses(
    log: Log, lit: NDArray[np.int32], lives: Lives, company: Ints, route: Ints, campus_mw16: Ints, design_ratio_ppm: int,
    large: int, markets: int, companies: int, month_of_day: Ints, hops: int,
) -> Ints:  # fmt: skip
    """(T + 1,) large campuses at month ends. Who joins whom is said in `simulator.campuses`. `lit`: rows of the log."""
    ticks, roots, hop, quantities = log["tick"], log["root"], log["hop"], log["quantity"]
    life, order = lives.life, lives.sites.copy()
    for at in range(len(order)):
        s = order[at]
        # Plans are told in order of time: only those of one instant may have to change places.
        while at > 0 and (life[order[at - 1], PLANNED], life[order[at - 1], SITE]) > (life[s, PLANNED], life[s, SITE]):
            order[at] = order[at - 1]
            at -= 1
        order[at] = s
    founder, follows, room = np.empty(len(life), np.int64), np.full(len(life), -1), np.zeros(len(life), np.int64)
    head, tail = np.full((companies, markets), -1), np.full((companies, markets), -1)
    for s in order:
        founder[s] = s
        root, market = life[s, SITE] // hops, life[s, MARKET]
        k = company[root]
        if route[root] == EXPANSION:
            one = head[k, market]
            while one >= 0 and room[one] < life[s, MW16]:
                one = follows[one]
            if one >= 0:
                founder[s] = one
                room[one] -= life[s, MW16]
                continue
        room[s] = campus_mw16[root] - life[s, MW16]
        if room[s] > 0:
            if head[k, market] < 0:
                head[k, market] = s
            else:
                follows[tail[k, market]] = s
            tail[k, market] = s
    load, found = np.zeros(len(life), np.int64), np.zeros(month_of_day[-1] + 1, np.int64)
    for i in lit:
        s = lives.slot[roots[i] * hops + hop[i]]
        if s >= 0:
            before = load[founder[s]]
            load[founder[s]] += quantities[i] * design_ratio_ppm
            if before < large <= load[founder[s]]:
                found[_month(ticks[i], month_of_day)] += 1
    for month in range(1, len(found)):
        found[month] += found[month - 1]
    return found


# ---- money ------------------------------------------------------------------------------------------------------------------


class Paid(NamedTuple):
    """Money of a run: by company and tier what each month adds, and sums from which the cost of compute is made."""

    lines: Floats
    """(LINES, K, tiers, T + 1)"""
    other: Floats
    """(T + 1,) what falls due in each month: freight, sunk, revenue share"""
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
def _due(life: Ints, phases: Phases, plans: Plans, building: Building, year_starts: Ints, hops: int) -> Ints:
    """(parts, N) ticks at which the parts of the price of each phase's shell are due, as `costs.shell_payments`."""
    due = np.empty((PARTS, len(phases.row)), dtype=np.int64)
    for i in range(len(phases.row)):
        p = phases.row[i]
        s = life[p, HOME_ROW]
        shell, broken, begun = life[p, SHELL], life[s, GROUND], life[s, BUILD]
        ready = shell if shell < NEVER else 0
        if shell == NEVER and begun < NEVER:  # as `costs.expected_shell`
            root, market = life[s, SITE] // hops, life[s, MARKET]
            year = min(_last(begun, year_starts), len(building.luck_construction) - 1)
            ready = begun + plans.shell_offset[root, life[p, NUMBER]]
            for timed in (CONSTRUCTION, FIT_OUT):
                ticks = building.median[timed, market] * plans.spread[root, timed] >> FACTOR_BITS
                ticks = ticks * building.route_factor[plans.route[root], timed] >> FACTOR_BITS
                if timed == CONSTRUCTION:
                    ticks = ticks * building.luck_construction[year, phases.country[i]] >> FACTOR_BITS
                ready += ticks
        half = broken // 2 + ready // 2 if broken < NEVER else NEVER
        if shell == NEVER and half >= life[s, ENDED]:
            half = NEVER
        due[0, i], due[1, i], due[2, i], due[3, i], due[4, i] = life[s, CONTROL], broken, half, shell, life[p, ONLINE]
    return due


@inner
def _pay(
    life: Ints, phases: Phases, due: Ints, route: Ints, prices: Prices, revenue_share_ppm: Ints, shares: bool, home: int,
    law_ticks: Ints, month_of_day: Ints, hops: int, companies: int,
) -> Paid:  # fmt: skip
    """The lines of `simulator.costs` that the headline needs but compliance at large. Amounts are added in the same order as there."""
    n, months, horizon = len(phases.row), month_of_day[-1], (len(month_of_day) - 1) * TICKS_PER_DAY
    lines = np.zeros((LINES, companies * TIERS, months + 1))
    other, cost, compute = np.zeros(months + 1), np.zeros((2, months + 1)), np.zeros((2, months + 1))
    facility = _annuity(prices.discount, prices.facility_years) / DAYS_PER_YEAR
    price, spent = np.zeros(n), np.zeros(n)
    for i in range(n):
        p = phases.row[i]
        s = life[p, HOME_ROW]
        if route[life[s, SITE] // hops] != LEASED:
            price[i] = prices.shell_usd_per_mw[life[s, MARKET]] * life[p, SIZE] / MW_SIXTEENTHS
    for part in range(PARTS):
        share = (prices.spend_ppm[part] - (prices.spend_ppm[part - 1] if part > 0 else 0)) / PPM
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
        lines[FREIGHT, cell, month] += usd * prices.freight
        other[month] += usd * prices.freight
        if shares and country != home:
            other[month] += usd * (revenue_share_ppm[_last(shipped, law_ticks), country] / PPM)
        if secured == SURELY or (secured != OPEN and secured != life[p, SHIP_RULE]):
            lines[COMPLIED, cell, month] += prices.shell_usd_per_mw[market] * mw * prices.security
        other[_since(ended, month_of_day)] += spent[i] * price[i] * prices.kept

        begin[i], until[i] = min(max(life[p, SHELL], 0), horizon), min(max(min(shipped, ended, fleet), 0), horizon)
        idle_usd[i] = prices.idle_usd * mw if begin[i] < until[i] else 0.0
        lines[IDLE_RATE, cell, _month(begin[i], month_of_day)] += idle_usd[i]
        lines[IDLE_MOVED, cell, _month(begin[i], month_of_day)] += idle_usd[i] * (begin[i] / TICKS_PER_DAY)
        # A landlord is paid rent from the day a phase is ready; the price of an own shell is due over its life, unless it is given up.
        leased = route[life[s, SITE] // hops] == LEASED
        a_day = prices.rent_usd * mw if leased else price[i] * facility if ended == NEVER else 0.0
        since = life[p, READY] if leased else life[p, SHELL]
        _begin(cost, since, a_day, month_of_day)
        _begin(cost, max(since, min(ended, fleet)), -a_day, month_of_day)
        lit_mw = life[p, ONLINE_MW16] / MW_SIXTEENTHS
        _begin(cost, online, prices.opex_usd_per_mw[market] * lit_mw / DAYS_PER_YEAR, month_of_day)
        _begin(compute, online, life[p, H100E] / PPM / DAYS_PER_YEAR, month_of_day)
        if prices.after and life[s, BRIDGED] < NEVER:
            a_day = lit_mw * prices.load_factor * prices.pue[country] * 24 * prices.bridge_usd
            since = max(online, life[s, BRIDGED])
            _begin(cost, since, a_day, month_of_day)
            _begin(cost, max(since, life[s, GRID]), -a_day, month_of_day)
    for i in range(n):  # ends after beginnings, as there
        month = _month(until[i], month_of_day)
        lines[IDLE_RATE, phases.cell[i], month] -= idle_usd[i]
        lines[IDLE_MOVED, phases.cell[i], month] -= idle_usd[i] * (until[i] / TICKS_PER_DAY)
    return Paid(lines.reshape(LINES, companies, TIERS, months + 1), other, cost, compute)


@inner
def _comply(
    complied: Floats, asked: Asked, asking: Asking, time: Ints, outcome: Ints, prices: Prices, calendar: Calendar, home: int
) -> None:  # fmt: skip
    """Add applications and authorisations to the line of compliance (K, tiers, T + 1), one by one and in the order of `costs`.

    `time` and `outcome` of applications for the universal authorisation; `home`: tier.
    """
    companies, months = len(complied), len(calendar.month_starts) - 1
    for stage, usd in ((0, prices.application_usd), (1, prices.national_usd)):
        for k in range(companies):
            for tier in range(TIERS):
                for month in range(months):
                    for _ in range(asked.filed[stage, k, tier, month]):
                        complied[k, tier, month] += usd
    for k in range(companies):
        applied = asking.applied[k]
        for n in range(time.shape[1]):  # as `static.authorisation_rounds`
            if not asking.universal or applied >= calendar.horizon:
                break
            complied[k, home, _since(applied, calendar.month_of_day)] += prices.authorisation_usd
            if outcome[k, n] < asking.grant[k]:
                break
            u = time[k, n]
            i, fraction = u >> 52, u >> 32 & 0xFFFFF  # as `static.read_table`
            low = asking.spread[k, i]
            multiplier = low + ((asking.spread[k, i + 1] - low) * fraction >> FACTOR_BITS)
            applied += (asking.median[k] * multiplier >> FACTOR_BITS) + asking.again
    for month in range(months):
        start = calendar.month_starts[month]
        a_month = asking.usd_a_year[_last(start, calendar.law_ticks)] / 12
        for k in range(companies):
            if asked.authorised[UNIVERSAL, k] <= start < asked.authorised[LOST, k] or asked.authorised[NATIONAL, k] <= start:
                complied[k, home, month] += a_month


@inner
def _running(lines: Floats, chips_usd: Ints, overhead: float, home: int, month_starts: Ints) -> Floats:
    """(series of money, K, tiers, T) running totals at month ends. `home`: tier."""
    companies, tiers, months = lines.shape[1], lines.shape[2], len(month_starts) - 1
    money = np.empty((LAST - COUNTED, companies, tiers, months))
    for k in range(companies):
        for tier in range(tiers):
            delivered = 0
            shells = freight = complied = rate = moved = idle = 0.0
            for month in range(months):
                delivered += chips_usd[k, month]
                shells += lines[SHELLS, k, tier, month]
                freight += lines[FREIGHT, k, tier, month]
                complied += lines[COMPLIED, k, tier, month]
                rate += lines[IDLE_RATE, k, tier, month]
                moved += lines[IDLE_MOVED, k, tier, month]
                # Rounding must not make what has run up fall again.
                idle = max(idle, month_starts[month + 1] / TICKS_PER_DAY * rate - moved)
                chips = delivered * overhead if tier == home else 0.0
                money[CAPEX - COUNTED, k, tier, month] = chips + shells + freight
                money[COMPLIANCE - COUNTED, k, tier, month] = complied
                money[IDLE - COUNTED, k, tier, month] = idle
    return money


@inner
def _cost_per_h100e_year(
    paid: Paid, bought: Bought, compliance: Floats, stocks: Stocks, prices: Prices, month_starts: Ints
) -> float:  # fmt: skip
    """As `costs.per_h100e_year`, of all companies; nan where nothing comes online, or what it needs is not drawn.

    `compliance` (K, tiers, T): running totals.
    """
    servers = _annuity(prices.discount, prices.server_years) / DAYS_PER_YEAR * prices.overhead
    rate = moved = h100e = h100e_moved = due = 0.0
    for k in range(len(stocks.opening_stock)):
        for a in range(len(prices.price_usd)):
            rate += (stocks.opening_stock[k, a] + stocks.under_way[k, a]) * prices.price_usd[a] * servers
    cost = years = day = spent = made = 0.0
    for month in range(len(month_starts) - 1):
        complied = 0.0
        for k in range(len(bought.usd)):
            rate += bought.usd[k, month] * servers
            for tier in range(TIERS):
                complied += compliance[k, tier, month]
        rate += paid.cost[0, month]
        moved += paid.cost[1, month] + bought.usd_days[month] * servers
        h100e += paid.compute[0, month]
        h100e_moved += paid.compute[1, month]
        due += paid.other[month] + bought.tariff_usd[month]
        end = month_starts[month + 1] / TICKS_PER_DAY
        worth = (1 + prices.discount) ** (-(day + end) / 2 / DAYS_PER_YEAR)
        total, compute = end * rate - moved + due + complied, end * h100e - h100e_moved
        cost += worth * (total - spent)
        years += worth * (compute - made)
        spent, made, day = total, compute, end
    return cost / years if prices.after and years > 0 else np.nan


# ---- China ------------------------------------------------------------------------------------------------------------------


@inner
def _output(china: China, domestic: Floats, lag_days: float) -> Floats:
    """(T,) domestic output a month, as `spillovers.china`. `domestic`: before it answers the law."""
    months = len(domestic)
    answered = np.ones(months)
    if china.grows:
        first = 0
        while first < months and china.growth[first] == 0:
            first += 1
        for t in range(first, months):
            if domestic[first] > 0:
                answered[t] = (domestic[t] / domestic[first]) ** china.growth[t]
    elif china.substitutes:
        last = len(china.denied) - 1
        for t in range(months):
            at = last + 1 - months + t - lag_days / china.month_days
            below = int(min(max(at, 0.0), float(last)))
            denied = china.denied[below]
            if 0 < at < last and at != below:
                denied = (china.denied[below + 1] - denied) * (at - below) + denied
            answered[t] = 1.0 + china.elasticity * denied
    for t in range(months):
        answered[t] *= domestic[t]
        if china.grows or china.substitutes:
            answered[t] = min(answered[t], max(china.ceiling[t], domestic[t]))
    return answered


@inner
def _stock(china: China, paths: Paths, output: Floats, delivered: Ints, deliveries: Ints, merchant: Ints) -> Floats:
    """(T,) China's compute at month ends, as `spillovers.china` with what the four could place; nan if it is not known.

    `delivered` (T, ...) chips of merchant makers that the four took, `deliveries` (T, K, A) what they could have.
    """
    stock = np.full(len(china.bought), np.nan)
    if not (china.known and paths.known):
        return stock
    licensed = diverted = domestic = 0.0
    for t in range(len(stock)):
        offered = 0
        for k in range(deliveries.shape[1]):
            for a in range(len(merchant)):
                offered += deliveries[t, k, a] * merchant[a]
        demand = paths.demand[t] * (delivered[t] / max(offered, 1))
        before, now = china.bought_in_history[t], china.bought[t]
        history = demand * before if np.isnan(paths.imports[t]) else paths.imports[t] * china.season[t]
        licensed += history * (now / before if now < before else 1.0) + demand * max(now - before, 0.0)
        diverted += paths.smuggled[t] * china.diversion[t] if china.diverts else 0.0
        domestic += output[t]
        rented = paths.rented[t] if china.rents else 0.0
        had = paths.opening[1] if china.diverts else 0.0
        stock[t] = (paths.opening[0] + licensed) + (had + diverted) + (paths.opening[2] + domestic) + rented
    return stock


# ---- the numbers of a run ---------------------------------------------------------------------------------------------------


@inner
def _dated(
    month: int, steps: Ints, online: Ints, money: Floats, large: Ints, stock: Floats, rd_weight: Floats, rd_access_h100e: int,
    home: int, into: Floats,
) -> None:  # fmt: skip
    """Write the numbers `BY_DATE` of one month end. Tables of steps have been summed up to running totals."""
    companies, tiers, at = steps.shape[1], TIERS, 0
    by_tier, total = np.zeros((COUNTED, tiers), dtype=np.int64), np.zeros(COUNTED, dtype=np.int64)
    for series in range(COUNTED):
        for k in range(companies):
            for tier in range(tiers):
                by_tier[series, tier] += steps[series, k, tier, month]
                total[series] += steps[series, k, tier, month]
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
    world, us, access = total[H100E_ONLINE] / PPM, 0.0, 0.0
    for c in range(len(rd_weight)):
        here = 0
        for k in range(companies):
            here += online[H100E_ONLINE, k, c, month]
        if c == home:
            us = here / PPM
        if here >= rd_access_h100e * PPM:
            access += rd_weight[c]
    into[at] = us / world if world > 0 else np.nan
    into[at + 1] = by_tier[H100E_ONLINE, 0] / PPM / world if world > 0 else np.nan
    into[at + 2] = access
    into[at + 3] = stock[month] / world if world > 0 else np.nan
    into[at + 4] = large[month]


@inner
def _sorted(keys: Ints, a_day: int) -> Ints:
    """Keys in rising order: by day first, of `a_day` each, and then within the day, where they are few."""
    earliest = latest = keys[0] // a_day if len(keys) > 0 else 0
    for key in keys:
        earliest, latest = min(earliest, key // a_day), max(latest, key // a_day)
    ends, found = np.zeros(latest - earliest + 2, dtype=np.int64), np.empty(len(keys), dtype=np.int64)
    for key in keys:
        ends[key // a_day - earliest + 1] += 1
    for day in range(1, len(ends)):
        ends[day] += ends[day - 1]
    first = ends.copy()
    for key in keys:
        day = key // a_day - earliest
        at = ends[day]
        ends[day] += 1
        while at > first[day] and found[at - 1] > key:
            found[at] = found[at - 1]
            at -= 1
        found[at] = key
    return found


@inner
def _plan_to_online(lives: Lives, rows: Ints, roots: int, horizon: int, hops: int) -> tuple[float, float]:
    """Median months from plan to online, and share online by the horizon, as `timeline.incidence_months` and `times`.

    `rows`: phases, in the table of lives.
    """
    life, slot = lives.life, lives.slot
    online, shipped = np.full(roots, NEVER), np.full(roots, NEVER)
    for p in rows:
        root = life[life[p, HOME_ROW], SITE] // hops
        online[root] = min(online[root], life[p, ONLINE])
        shipped[root] = min(shipped[root], life[p, SHIPPED])
    keys, count, reached = np.empty(roots, dtype=np.int64), 0, 0
    for root in range(roots):
        s = slot[root * hops]
        if s < 0 or not 0 <= life[s, PLANNED] < horizon:
            continue
        planned = 0
        for hop in range(hops):
            planned += slot[root * hops + hop] >= 0
        last = slot[root * hops + planned - 1]
        given_up = life[last, ENDED] if shipped[root] == NEVER else NEVER
        ticks = min(online[root], given_up, horizon) - life[s, PLANNED]
        leaves = 1 if online[root] < horizon or given_up < horizon else 0
        # In order of time, who leaves before who is last seen, then by root.
        keys[count] = (ticks * 2 + 1 - leaves) * roots + root
        count += 1
        reached += online[root] < horizon
    keys = _sorted(keys[:count], roots * 2 * TICKS_PER_DAY)
    surviving, incidence, median = 1.0, 0.0, np.nan
    for i in range(count):
        key, root = keys[i] // roots, keys[i] % roots
        at_risk = count - i
        if online[root] < horizon:
            incidence += surviving / at_risk
        # A product of fractions rarely rounds to exactly one half.
        if incidence >= 0.5 - 1e-9:
            median = key // 2 / TICKS_PER_DAY / DAYS_PER_YEAR * MONTHS_PER_YEAR
            break
        surviving *= 1 - (1 - key % 2) / at_risk
    return median, reached / count if count > 0 else np.nan


@inner
def _slippage(life: Ints, sites: Ints, horizon: int) -> float:
    """Lower median of days from the company's own date to first power, as `timeline.times`."""
    late, count, never = np.empty(len(sites), dtype=np.int64), 0, 0
    for s in sites:
        own, power, ended = life[s, OWN_DATE], life[s, POWER], life[s, ENDED]
        if 0 <= own < horizon and power < NEVER:
            late[count] = power - own
            count += 1
        elif 0 <= own < horizon and ended == NEVER:
            never += 1
    middle = (count + never - 1) // 2
    if count + never == 0 or middle >= count:
        return np.nan
    return _sorted(late[:count], TICKS_PER_DAY)[middle] / TICKS_PER_DAY


@inner
def _year(tick: int, first_day: int, decimal_years: Floats) -> float:
    """A tick as a point in time; nan from the horizon on."""
    day = tick // TICKS_PER_DAY - first_day
    return decimal_years[day] if day < len(decimal_years) else np.nan


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
    """Monthly steps in whole cents of running totals (K, tiers, T) in dollars; none from where these are not known."""
    steps = np.empty(money.shape, dtype=np.int64)
    for k in range(money.shape[0]):
        for tier in range(money.shape[1]):
            before = 0
            for month in range(money.shape[2]):
                known = not np.isnan(money[k, tier, month])
                total = int(np.rint(money[k, tier, month] * CENTS)) if known else before
                steps[k, tier, month] = total - before
                before = total
    return steps


@jit.jit
def _reduce(log: Log, law: Law, luck: Luck, out: Increments, numbers: Floats) -> int:
    """Fill in the numbers, and the increments from the top of `out`; returns how many these are."""
    calendar, places, hops, plans, prices = law.calendar, law.places, law.hops, luck.plans, luck.prices
    months, month_of_day, companies = len(calendar.month_starts) - 1, calendar.month_of_day, len(law.asking.applied)
    rows, counts = _rows(log, law.kind)
    lives = _lives(log, rows, counts, law.detail, plans.company, plans.phases, hops)
    bought = _chips(
        log, rows[DELIVER, : counts[DELIVER]], rows[TAKE, : counts[TAKE]], lives, plans.company, plans.phases, prices.price_usd,
        law.kinds, law.passing, places, calendar.law_ticks, month_of_day, hops, companies,
    )  # fmt: skip
    steps = np.zeros((COUNTED, companies, TIERS, months + 1), dtype=np.int64)
    _give_up(log, rows[LOSE, : counts[LOSE]], lives, law.detail, plans.company, places, month_of_day, hops, steps)
    asked = _applications(
        log, rows, counts, law.detail, law.asking.allocation, law.asking.allocation_rule, places.tier, calendar.law_ticks,
        month_of_day, companies, luck.filings,
    )  # fmt: skip
    phases = _phases(lives, plans.phases, plans.phase_mw16, places, hops)
    online = _capacity(lives.life, phases, luck.stocks.fleet_chips, law.kinds, places.tier, month_of_day, steps)
    _waits(
        log, rows[TURN, : counts[TURN]], lives, phases, law.detail, places, month_of_day, hops, steps, asked.licences
    )  # fmt: skip
    large = _campuses(
        log, rows[LIGHT, : counts[LIGHT]], lives, plans.company, plans.route, plans.campus_mw16, luck.design_ratio_ppm, law.large,
        len(places.market_country), companies, month_of_day, hops,
    )  # fmt: skip
    due = _due(lives.life, phases, plans, luck.building, calendar.year_starts, hops)
    paid = _pay(
        lives.life, phases, due, plans.route, prices, law.revenue_share_ppm, law.shares, places.home, calendar.law_ticks,
        month_of_day, hops, companies,
    )  # fmt: skip
    home = places.tier[places.home]
    _comply(
        paid.lines[COMPLIED], asked, law.asking, luck.authorisation_time, luck.authorisation_outcome, prices, calendar, home
    )  # fmt: skip
    money = _running(paid.lines, bought.usd, prices.overhead, home, calendar.month_starts)

    count = 0
    for series in range(LAST):
        if series < COUNTED:
            count = _note(out, count, series, 1, steps[series], months)
            if series < PLACED:
                count = _note(out, count, series, COUNTRY, online[series], months)
        else:
            count = _note(out, count, series, 1, _cents(money[series - COUNTED]), months)

    output = _output(law.china, luck.paths.domestic, luck.paths.lag_days)
    stock = _stock(law.china, luck.paths, output, bought.merchant, luck.stocks.deliveries, law.kinds.merchant)
    each = (len(numbers) - len(OF_RUN)) // len(law.shown)
    for i in range(len(law.shown)):
        _dated(
            law.shown[i], steps, online, money, large, stock, law.rd_weight, law.rd_access_h100e, places.home,
            numbers[i * each : (i + 1) * each],
        )  # fmt: skip
    into, licences, granted = numbers[len(law.shown) * each :], asked.licences, NEVER
    for tick in asked.authorised[UNIVERSAL]:
        granted = min(granted, tick)
    into[0], into[1] = _plan_to_online(lives, phases.row, len(plans.company), calendar.horizon, hops)
    into[2] = _slippage(lives.life, lives.sites, calendar.horizon)
    into[3] = _cost_per_h100e_year(paid, bought, money[COMPLIANCE - COUNTED], luck.stocks, prices, calendar.month_starts)
    into[4], into[5] = licences[FILED], licences[REFUSED]
    into[6] = licences[WAITED] / TICKS_PER_DAY / licences[DECIDED] if licences[DECIDED] > 0 else np.nan
    into[7] = _year(licences[BINDING], calendar.first_day, calendar.decimal_years)
    into[8] = _year(granted, calendar.first_day, calendar.decimal_years)
    return count


# ---- the door ---------------------------------------------------------------------------------------------------------------


def reduce(log: Log, law: Law, luck: Luck, increments: Increments, numbers: Floats) -> int:
    """Fill in the numbers, and the increments from the top; returns how many these are.

    Loads what was compiled before, or compiles it now, which takes seconds: one process at a time, so that others load it.
    """
    given = _plain(log, log.dtype), law, luck, increments, numbers
    if not jit.plain() and not _reduce.signatures:
        from filelock import FileLock
        from numba import typeof

        with FileLock(jit.folder() / "reduction.lock"), jit.in_one_piece():
            _reduce.compile(tuple(typeof(one) for one in given))
    return int(_reduce(*given))


def _plain(table: NDArray[Any], dtype: DTypeLike = np.int64) -> NDArray[Any]:
    """The array in the one form the compiled code is made for: contiguous and writable."""
    found = np.ascontiguousarray(table, dtype=dtype)
    return found if found.flags.writeable else found.copy()


def law_of(static: Static, rd_weight: Floats) -> Law:
    months, days = len(static.month_starts) - 1, static.horizon // TICKS_PER_DAY
    first_day = static.earliest // TICKS_PER_DAY
    kind, detail = _kinds()
    calendar = Calendar(
        month_of_day=np.searchsorted(static.month_starts, np.arange(days + 1) * TICKS_PER_DAY, side="right") - 1,
        month_starts=_plain(static.month_starts),
        year_starts=_plain(static.year_starts),
        law_ticks=_plain(static.law_ticks),
        decimal_years=np.array([decimal_year(static.start, day * TICKS_PER_DAY) for day in range(first_day, days)]),
        first_day=int(first_day),
        horizon=int(static.horizon),
    )
    merchants = [vendor for vendor, name in enumerate(static.vendors) if name in MERCHANTS]
    kinds = Kinds(_plain(static.h100e_ppm), _plain(static.watts), np.isin(static.vendor_of, merchants).astype(np.int64))
    # Small tables stay at hand where a log is read.
    passing = Passing(
        static.needs_licence.astype(np.int8), static.lpp_rule.astype(np.int16), _plain(static.tariff_ppm),
        _plain(static.tariff_covers), bool(static.tariff_ppm.any()),
    )  # fmt: skip
    asking = Asking(
        allocation=_plain(static.allocation),
        allocation_rule=_plain(static.allocation_rule),
        applied=_plain(static.authorisation_applied),
        median=_plain(static.authorisation_median),
        spread=_plain(static.authorisation_spread),
        grant=_plain(static.authorisation_grant),
        usd_a_year=_plain(static.authorisation_usd_a_year),
        again=int(static.authorisation_again),
        universal=bool(static.allow_uveu and (static.uveu_rule >= 0).any()),
    )
    policy, nothing = static.china, np.zeros(months)
    if policy is None:
        policy = ChinaPolicy(nothing, nothing, nothing, nothing, nothing, nothing, nothing, 0.0)
    china = China(
        denied=_plain(policy.denied, np.float64),
        bought=_plain(policy.bought, np.float64),
        bought_in_history=_plain(policy.bought_in_history, np.float64),
        season=_plain(policy.season, np.float64),
        diversion=_plain(policy.diversion, np.float64),
        growth=_plain(policy.growth, np.float64),
        ceiling=_plain(policy.ceiling, np.float64),
        elasticity=float(policy.elasticity),
        month_days=MONTH_DAYS,
        diverts=policy.on.diversion,
        substitutes=policy.on.substitution,
        grows=policy.on.stated_growth,
        rents=policy.on.renting,
        known=static.china is not None,
    )
    return Law(
        kind=kind,
        detail=detail,
        shown=np.array(shown_months(static)),
        calendar=calendar,
        places=Places(_plain(static.market_country), _plain(static.tier - 1), int(static.home)),
        kinds=kinds,
        passing=passing,
        asking=asking,
        china=china,
        revenue_share_ppm=_plain(static.revenue_share_ppm),
        shares=bool(static.revenue_share_ppm.any()),
        rd_weight=_plain(rd_weight, np.float64),
        rd_access_h100e=int(static.rd_access_h100e),
        hops=HOPS,
        large=THRESHOLDS_MW[-1] * MW_SIXTEENTHS * PPM,
    )


def luck_of(draws: Draws) -> Luck:
    after, china, nothing = draws.after_run, draws.china, np.zeros(0)
    prices = Prices(
        price_usd=_plain(draws.price_usd),
        shell_usd_per_mw=_plain(draws.shell_usd_per_mw),
        opex_usd_per_mw=_plain(draws.opex_usd_per_mw),
        spend_ppm=_plain(draws.spend_ppm),
        pue=nothing if after is None else _plain(after.pue, np.float64),
        server_years=1.0 if after is None else float(after.server_years),
        facility_years=1.0 if after is None else float(after.facility_years),
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
        national_usd=np.nan if after is None else float(after.national_usd),
        authorisation_usd=float(draws.authorisation_usd),
        after=after is not None,
    )
    paths = Paths(
        demand=nothing if china is None else _plain(china.demand, np.float64),
        imports=nothing if china is None else _plain(china.imports, np.float64),
        smuggled=nothing if china is None else _plain(china.smuggled, np.float64),
        domestic=nothing if china is None else _plain(china.domestic, np.float64),
        rented=nothing if china is None else _plain(china.rented, np.float64),
        opening=nothing if china is None else np.array(china.opening),
        lag_days=0.0 if china is None else float(china.lag_days),
        known=china is not None,
    )
    return Luck(
        Plans(
            _plain(draws.company), _plain(draws.route), _plain(draws.phases), _plain(draws.phase_mw16), _plain(draws.campus_mw16),
            _plain(draws.shell_offset), _plain(draws.spread),
        ),
        Building(_plain(draws.median), _plain(draws.luck_construction), _plain(draws.route_factor)),
        Stocks(_plain(draws.fleet_chips), _plain(draws.opening_stock), _plain(draws.under_way), _plain(draws.deliveries)),
        prices,
        paths,
        _plain(draws.authorisation_time),
        _plain(draws.authorisation_outcome),
        int(draws.design_ratio_ppm),
        draws.refile.shape[2],
    )  # fmt: skip
