"""What a run amounts to: every metric with its name, unit and meaning, as a pure function of the event log.

`measure` turns one log into arrays: monthly series by company and tier, year-end series by country, single numbers, and what
each provision did. Statistics over replications are in `simulator.statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator import costs
from simulator.events import Log, Mark, Stage
from simulator.sampling import HOPS
from simulator.spillovers import MERCHANTS, china, china_ratio
from simulator.static import Draws, Static
from simulator.units import DAYS_PER_YEAR, PPM, TICKS_PER_DAY

Floats = NDArray[np.float64]
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Metric:
    """A number the product reports: its id, name, unit, what it means, and whether more of it is more capacity or more trouble."""

    id: str
    name: str
    unit: str
    meaning: str


SERIES = (
    Metric(
        "it_mw_online",
        "IT capacity online",
        "MW IT",
        "Critical IT load installed, powered and commissioned at the date, opening fleet included.",
    ),
    Metric(
        "h100e_online",
        "Compute online",
        "H100-equivalents",
        "Dense 8-bit throughput of chips in service at the date over that of an H100 SXM (1,979 TFLOP/s), opening fleet included.",
    ),
    Metric(
        "h100e_delivered_not_online",
        "Chips not yet in service",
        "H100-equivalents",
        "Chips received by the companies and in stock, under way or being installed.",
    ),
    Metric(
        "mw_waiting_clearance",
        "Ready but not cleared",
        "MW IT",
        "Sites powered and shelled whose chips may not leave home for want of a licence, an allocation or headroom.",
    ),
    Metric(
        "capex_usd",
        "Capital spending since the start",
        "USD (real 2025)",
        "Chips with servers and network at delivery, and shells of own sites as they are built; cumulative.",
    ),
    Metric(
        "compliance_usd",
        "Compliance cost since the start",
        "USD (real 2025)",
        "Licence applications, universal authorisation and its reports, security build-out of controlled sites; cumulative.",
    ),
    Metric(
        "idle_shell_usd",
        "Carrying cost of idle shells since the start",
        "USD (real 2025)",
        "Annuity of finished shells without chips, whatever they wait for; cumulative.",
    ),
    Metric(
        "mw_relocated",
        "Relocated for clearance since the start",
        "MW IT",
        "Size of sites given up for a successor in another country; cumulative.",
    ),
    Metric(
        "mw_downsized",
        "Left empty by licences since the start",
        "MW IT",
        "Part of sites left empty because the licensed quantity did not fill them; cumulative.",
    ),
    Metric(
        "mw_cancelled",
        "Cancelled for clearance since the start",
        "MW IT",
        "Size of projects given up for good because a licence or headroom did not come (no other reason is simulated); cumulative.",
    ),
)
SHARES = (
    Metric(
        "share_tier1",
        "Share in tier 1",
        "fraction",
        "Share of compute online (H100-equivalents) in the United States and the 18 allies named in January 2025.",
    ),
    Metric(
        "share_us", "Share in the United States", "fraction", "Share of compute online (H100-equivalents) in the United States."
    ),
    Metric(
        "rd_access",
        "R&D access",
        "fraction",
        "Share of R&D-weighted countries with at least `rd_access_h100e` (10,000 H100-equivalents unless changed) of the four companies online in the country.",
    ),
)
SCALARS = (
    Metric(
        "months_plan_to_online_median",
        "Plan to online, median",
        "months",
        "Months from the first plan of a lineage to its first cluster online, median over lineages planned since the start; "
        "cancellation competes, unfinished ones count.",
    ),
    Metric(
        "licence_wait_days",
        "Licence decision time",
        "days",
        "Days from filing to decision, mean over applications decided since the start.",
    ),
    Metric(
        "licences_filed",
        "Licence applications filed",
        "applications",
        "Applications filed by the four companies since the start.",
    ),
    Metric(
        "licences_refused", "Licence applications refused", "applications", "Applications denied or returned since the start."
    ),
    Metric(
        "quota_binding_date",
        "First day a country allocation binds",
        "calendar year",
        "First day on which a company finds no room for a phase in a country's pot.",
    ),
)
CHINA = (
    Metric(
        "china_ratio",
        "China's compute against the four",
        "ratio",
        "China's stock (licensed, diverted, domestic, rented offshore) over the four companies' compute online, H100-equivalents.",
    ),
    Metric(
        "china_stock_h100e", "China's compute", "H100-equivalents", "Licensed imports, diverted, domestic, and rented offshore."
    ),
    Metric(
        "china_domestic_h100e",
        "China's domestic accelerators",
        "H100-equivalents",
        "Accelerators made in China up to the date; their output answers denied chips with the stated elasticity.",
    ),
)
BY_MONTH = (*SERIES, *SHARES, *CHINA)
"""The monthly series, in the order of `Measures.monthly`."""
METRICS = {metric.id: metric for metric in (*BY_MONTH, *SCALARS)}
BY_COUNTRY = ("it_mw_online", "h100e_online", "mw_waiting_clearance")


class Group(NamedTuple):
    """What a number is of; "all" marks a total."""

    company: str
    country: str
    tier: str


class Provided(NamedTuple):
    """What one provision did in a run, summed over projects."""

    cleared_mw: float
    waited_mw_days: float
    relocated_mw: float
    cancelled_mw: float
    downsized_mw: float


@dataclass(frozen=True)
class Measures:
    """One replication measured. Shapes: T months, G groups (`groups`), Y year ends, C countries, P provisions."""

    monthly: NDArray[np.float64]
    """(metrics, T, G): BY_MONTH"""
    by_country: NDArray[np.float64]
    """(3, Y, C): BY_COUNTRY"""
    scalars: Floats
    """(SCALARS,), nan where not reached"""
    provisions: Floats
    """(P, 5) as `Provided`"""


def groups(static: Static) -> list[Group]:
    """Total, companies, tiers, and companies within tiers, in the order of `Measures.monthly`."""
    tiers = ("1", "2", "3")
    return [
        Group("all", "all", "all"),
        *(Group(company, "all", "all") for company in static.companies),
        *(Group("all", "all", tier) for tier in tiers),
        *(Group(company, "all", tier) for company in static.companies for tier in tiers),
    ]


def year_ends(static: Static) -> list[int]:
    """Indices of the months that end a calendar year, and the last one."""
    months = len(static.month_starts) - 1
    ends = [t for t in range(months) if (static.start.month - 1 + t) % 12 == 11]
    return ends if ends and ends[-1] == months - 1 else [*ends, months - 1]


class Lives(NamedTuple):
    """The milestones of every site (root x hop): ticks, NEVER where it did not happen. All (R * HOPS,)."""

    planned: NDArray[np.int64]
    country: NDArray[np.int64]
    company: NDArray[np.int64]
    mw16: NDArray[np.int64]
    site_control: NDArray[np.int64]
    ground_breaking: NDArray[np.int64]
    shell_ready: NDArray[np.int64]
    ready: NDArray[np.int64]
    cleared: NDArray[np.int64]
    clearance_rule: NDArray[np.int64]
    shipped: NDArray[np.int64]
    online: NDArray[np.int64]
    ended: NDArray[np.int64]
    """relocated, cancelled, or counted in the opening fleet"""
    h100e_ppm: NDArray[np.int64]
    market: NDArray[np.int64]


def lives(static: Static, draws: Draws, log: Log) -> Lives:
    """Milestones of every site, read off the log (the last time each was reached)."""
    n = len(draws.names) * HOPS
    key = log["root"].astype(np.int64) * HOPS + log["hop"]
    of_project = log["root"] >= 0

    def when(mark: Mark, stage: Stage | None = None, last: bool = True) -> NDArray[np.int64]:
        chosen = of_project & (log["mark"] == mark)
        if stage is not None:
            chosen &= log["stage"] == stage
        ticks = np.full(n, NEVER)
        rows = np.nonzero(chosen)[0]
        rows = rows if last else rows[::-1]
        ticks[key[rows]] = log["tick"][rows]
        return ticks

    def what(mark: Mark, column: str, empty: int) -> NDArray[np.int64]:
        rows = np.nonzero(of_project & (log["mark"] == mark))[0]
        values = np.full(n, empty)
        values[key[rows]] = log[column][rows]
        return values

    market = what(Mark.PLANNED, "pool", -1)
    ended = np.minimum.reduce([when(m) for m in (Mark.RELOCATED, Mark.CANCELLED, Mark.IN_FLEET)])
    h100e = np.zeros(n, dtype=np.int64)
    taken = np.nonzero(log["mark"] == Mark.CHIPS_TAKEN)[0]
    np.add.at(h100e, key[taken], log["quantity"][taken] * static.h100e_ppm[log["pool"][taken]])
    cleared = when(Mark.CLEARED)
    return Lives(
        planned=when(Mark.PLANNED),
        country=np.where(market >= 0, static.market_country[market], -1),
        company=np.repeat(draws.company, HOPS),
        mw16=what(Mark.PLANNED, "quantity", 0),
        site_control=when(Mark.END, Stage.SITE_SELECTION),
        ground_breaking=when(Mark.GROUND_BREAKING),
        shell_ready=when(Mark.SHELL_READY),
        ready=when(Mark.READY),
        cleared=cleared,
        clearance_rule=what(Mark.CLEARED, "rule", -1),
        shipped=when(Mark.SHIPPED),
        online=when(Mark.ONLINE),
        ended=ended,
        h100e_ppm=h100e,
        market=market,
    )


class Waits(NamedTuple):
    """Spells in which a site was powered and shelled but not cleared, one entry each; NEVER ends a spell still open at the horizon.

    A site has a second spell if the law of the day stops its shipment after it was cleared. `rule`: the provision that asked last in
    the spell, -1 if none did.
    """

    site: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    rule: NDArray[np.int64]


def waits(log: Log, life: Lives) -> Waits:
    """The spells of waiting for clearance, read off the log."""
    key = log["root"].astype(np.int64) * HOPS + log["hop"]

    def of_sites(chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
        rows = np.nonzero(chosen & (log["root"] >= 0))[0]
        return rows[np.argsort(key[rows], kind="stable")]

    turns = of_sites((log["stage"] == Stage.CLEARANCE) & np.isin(log["mark"], (Mark.START, Mark.CLEARED, Mark.END)))
    first = np.nonzero(log["mark"][turns] == Mark.START)[0]
    opened, after = turns[first], np.append(turns, -1)[first + 1]
    site = key[opened]
    closed = (after >= 0) & (key[after] == site)
    until = np.where(closed, after, len(log))
    in_line = np.isin(log["stage"], (Stage.ALLOCATION, Stage.AUTHORISATION)) & (log["mark"] == Mark.START)
    asks = of_sites((log["mark"] == Mark.FILED) | in_line)
    # Rank of a row: site first, then place in the log.
    last = np.searchsorted(key[asks] * (len(log) + 1) + asks, site * (len(log) + 1) + until) - 1
    ask = np.append(asks, -1)[last]
    asked = (ask > opened) & (key[ask] == site)
    begin = np.maximum(log["tick"][opened], life.ready[site])
    end = np.where(closed, log["tick"][after], NEVER)
    real = end > begin
    return Waits(site[real], begin[real], end[real], np.where(asked, log["rule"][ask], -1)[real].astype(np.int64))


def measure(static: Static, draws: Draws, log: Log, rd_weight: Floats) -> Measures:
    """All metrics of one run. `rd_weight` (C,) weighs countries for `rd_access` and sums to one."""
    t, k, c = len(static.month_starts) - 1, len(static.companies), len(static.countries)
    life = lives(static, draws, log)

    def steps(tick: NDArray[np.int64], company: NDArray[np.int64], country: NDArray[np.int64], amount: Floats) -> Floats:
        """(T, K, C) running totals at month ends of amounts that happen at ticks; before the start they stand from the first month."""
        inside = (tick < static.horizon) & (country >= 0)
        month = np.maximum(np.searchsorted(static.month_starts, tick[inside], side="right") - 1, 0)
        flat = np.bincount((month * k + company[inside]) * c + country[inside], weights=amount[inside], minlength=t * k * c)
        return np.cumsum(flat.astype(np.float64).reshape(t, k, c), axis=0)

    mw = life.mw16 / 16
    online_rows = log[log["mark"] == Mark.ONLINE]
    online_mw = np.zeros(len(mw))
    online_mw[online_rows["root"].astype(np.int64) * HOPS + online_rows["hop"]] = online_rows["quantity"] / 16
    fleet_mw = (draws.fleet_chips * static.watts).sum(axis=2) / 1e6
    fleet_h100e = (draws.fleet_chips * static.h100e_ppm).sum(axis=2) / PPM
    it_mw = fleet_mw[None] + steps(life.online, life.company, life.country, online_mw)
    h100e = fleet_h100e[None] + steps(life.online, life.company, life.country, life.h100e_ppm / PPM)

    delivered = np.cumsum((costs.deliveries(static, log) * static.h100e_ppm).sum(axis=2) / PPM, axis=0)
    opening = ((draws.opening_stock + draws.under_way) * static.h100e_ppm).sum(axis=1) / PPM
    stock = np.zeros((t, k, c))
    stock[:, :, static.home] = delivered + opening[None] - (h100e - fleet_h100e[None]).sum(axis=2)

    spells = waits(log, life)
    where = life.company[spells.site], life.country[spells.site]
    waiting = steps(spells.begin, *where, mw[spells.site]) - steps(spells.end, *where, mw[spells.site])

    def lost(mark: Mark) -> Floats:
        rows = log[(log["mark"] == mark) & (log["tick"] >= 0) & (log["root"] >= 0)]
        root = rows["root"].astype(np.int64)
        country = np.where(rows["pool"] >= 0, static.market_country[rows["pool"]], static.home)
        return steps(rows["tick"], draws.company[root], country, rows["quantity"] / 16)

    capex, compliance, idle = costs.spending(static, draws, log, life, steps)
    series = [
        it_mw,
        h100e,
        stock,
        waiting,
        capex,
        compliance,
        idle,
        lost(Mark.RELOCATED),
        lost(Mark.DOWNSIZED),
        lost(Mark.CANCELLED),
    ]
    to_group = _group_matrix(static)
    flat = np.stack(series).reshape(len(series), t, k * c) @ to_group

    by_company = _company_matrix(static)
    whole, tier1, home = (h100e.reshape(t, k * c) @ (by_company * only[:, None]) for only in _masks(static))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.stack([tier1 / whole, home / whole])
    access = (h100e.sum(axis=1) >= static.rd_access_h100e) @ rd_weight
    second = np.full((len(CHINA), t), np.nan)
    if static.china is not None and draws.china is not None:
        # China has no sites in this model: it is taken to place the share of what it could buy that the four can place.
        merchant = np.isin(static.vendor_of, [static.vendors.index(vendor) for vendor in MERCHANTS])
        offered = draws.deliveries[:, :, merchant].sum(axis=(1, 2))
        placed = costs.deliveries(static, log)[:, :, merchant].sum(axis=(1, 2)) / np.maximum(offered, 1)
        found = china(static.china, draws.china._replace(demand=draws.china.demand * placed))
        second = np.stack([china_ratio(found.stock, h100e.sum(axis=(1, 2))), found.stock, found.domestic])
    monthly = np.full((len(BY_MONTH), t, to_group.shape[1]), np.nan)
    monthly[: len(SERIES)] = flat
    monthly[len(SERIES) : len(SERIES) + 2, :, : 1 + k] = shares
    monthly[len(SERIES) + 2, :, 0] = access
    monthly[len(SERIES) + len(SHARES) :, :, 0] = second

    ends = year_ends(static)
    by_country = np.stack([table.sum(axis=1)[ends] for table in (it_mw, h100e, waiting)]).astype(np.float64)
    return Measures(monthly, by_country, _scalars(static, draws, log, life), _provisions(static, log, life, mw))


def _group_matrix(static: Static) -> Floats:
    """(K * C, G) which (company, country) pairs belong to each group."""
    k, c = len(static.companies), len(static.countries)
    company, country = np.divmod(np.arange(k * c), c)
    columns = []
    for group in groups(static):
        inside = np.ones(k * c)
        if group.company != "all":
            inside *= company == static.companies.index(group.company)
        if group.tier != "all":
            inside *= static.tier[country] == int(group.tier)
        columns.append(inside)
    return np.stack(columns, axis=1)


def _company_matrix(static: Static) -> Floats:
    """(K * C, 1 + K) all companies, then each."""
    return _group_matrix(static)[:, : 1 + len(static.companies)]


def _masks(static: Static) -> tuple[Floats, Floats, Floats]:
    """(K * C,) everything, tier 1, home."""
    country = np.arange(len(static.companies) * len(static.countries)) % len(static.countries)
    return np.ones(len(country)), (static.tier[country] == 1).astype(float), (country == static.home).astype(float)


def _scalars(static: Static, draws: Draws, log: Log, life: Lives) -> Floats:
    since = log["tick"] >= 0
    review = since & (log["stage"] == Stage.LICENCE_REVIEW)
    filed = log[review & (log["mark"] == Mark.FILED)]
    decided = log[review & np.isin(log["mark"], (Mark.APPROVED, Mark.DENIED, Mark.RETURNED))]
    waits = []
    open_since: dict[tuple[int, int], int] = {}
    rows = log[
        (log["stage"] == Stage.LICENCE_REVIEW) & np.isin(log["mark"], (Mark.FILED, Mark.APPROVED, Mark.DENIED, Mark.RETURNED))
    ]
    for tick, root, hop, mark in zip(
        rows["tick"].tolist(), rows["root"].tolist(), rows["hop"].tolist(), rows["mark"].tolist(), strict=True
    ):
        if mark == Mark.FILED:
            open_since[root, hop] = tick
        elif tick >= 0:
            waits.append(tick - open_since.pop((root, hop)))
    refused = np.isin(decided["mark"], (Mark.DENIED, Mark.RETURNED)).sum()
    bound = log[since & (log["stage"] == Stage.ALLOCATION) & (log["mark"] == Mark.START)]["tick"]
    binding = decimal_year(static.start, int(bound[0])) if len(bound) else np.nan
    return np.array(
        [
            median_months(static, draws, life),
            np.mean(waits) / TICKS_PER_DAY if waits else np.nan,
            len(filed),
            refused,
            binding,
        ]
    )


def decimal_year(start: date, tick: int) -> float:
    """A tick as a point in time, 2026.5 for the middle of 2026."""
    day = date.fromordinal(start.toordinal() + tick // TICKS_PER_DAY)
    first = date(day.year, 1, 1).toordinal()
    return day.year + (day.toordinal() - first) / (date(day.year + 1, 1, 1).toordinal() - first)


def median_months(static: Static, draws: Draws, life: Lives) -> float:
    """Time by which half of the lineages planned since the start have a first cluster online; nan if fewer than half ever do.

    Aalen-Johansen estimate of the cumulative incidence of "online" with cancellation as the competing event and the horizon
    as censoring (Aalen and Johansen 1978); counted in lineages, clock from the first plan.
    """
    shape = len(draws.names), HOPS
    first = life.planned.reshape(shape)[:, 0]
    cohort = (first >= 0) & (first < static.horizon)
    if not cohort.any():
        return float("nan")
    online = life.online.reshape(shape).min(axis=1)[cohort]
    given_up = np.where(online < NEVER, NEVER, _last_end(life, shape)[cohort])
    begin = first[cohort]
    time = np.minimum(np.minimum(online, given_up), static.horizon) - begin
    event = online < NEVER
    competing = ~event & (given_up < NEVER)
    order = np.lexsort((~(event | competing), time))  # who leaves on a day leaves before who is last seen on it
    at_risk = len(time) - np.arange(len(time))
    leaving = (event | competing)[order] / at_risk
    surviving = np.cumprod(1 - leaving)
    incidence = np.cumsum(np.concatenate([[1.0], surviving[:-1]]) * event[order] / at_risk)
    reached = np.nonzero(incidence >= 0.5 - 1e-9)[0]  # a product of fractions rarely rounds to exactly one half
    return float(time[order][reached[0]] / TICKS_PER_DAY / DAYS_PER_YEAR * 12) if len(reached) else float("nan")


def _last_end(life: Lives, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Tick at which a lineage was given up: the end of its last planned site, NEVER while one is alive."""
    planned = life.planned.reshape(shape) < NEVER
    last = np.maximum(planned.sum(axis=1) - 1, 0)
    return life.ended.reshape(shape)[np.arange(shape[0]), last]


def _provisions(static: Static, log: Log, life: Lives, mw: Floats) -> Floats:
    """(P, 5) what each provision did since the start: MW cleared, MW-days a ready site waited for it, MW moved, lost, left empty."""
    table = np.zeros((len(static.provisions), 5))
    cleared = (life.clearance_rule >= 0) & (life.cleared < NEVER) & (life.cleared >= 0)
    np.add.at(table[:, 0], life.clearance_rule[cleared], mw[cleared])
    spells = waits(log, life)
    begin, until = np.maximum(spells.begin, 0), np.minimum(spells.end, static.horizon)
    late = (spells.rule >= 0) & (until > begin)
    np.add.at(table[:, 1], spells.rule[late], (mw[spells.site] * (until - begin) / TICKS_PER_DAY)[late])
    for column, mark in ((2, Mark.RELOCATED), (3, Mark.CANCELLED), (4, Mark.DOWNSIZED)):
        lost = log[(log["mark"] == mark) & (log["tick"] >= 0) & (log["rule"] >= 0)]
        np.add.at(table[:, column], lost["rule"], lost["quantity"] / 16)
    return table
