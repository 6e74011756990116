"""What a run amounts to: every metric with its name, unit and meaning, as a pure function of the event log.

`measure` turns one log into arrays: monthly and year-end series by company and tier, year-end series by country and by market,
single numbers for all and by company, and what each provision did. Statistics over replications are in `simulator.statistics`;
the milestones everything is counted from are in `simulator.lives`, money in `simulator.costs`, campuses and training runs in
`simulator.campuses`, model weights in `simulator.weights`, China in `simulator.spillovers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import campuses, capacity, costs, policy, timeline, weights
from simulator.draws import Floats
from simulator.events import Stage
from simulator.lives import ASKING, MonthEnds, Rows, authorisations, lives_of, once, spells, waits
from simulator.spillovers import DESTINATIONS, MERCHANTS, china, china_ratio
from simulator.static import Route
from simulator.timeline import with_total
from simulator.units import MW_SIXTEENTHS

if TYPE_CHECKING:
    from simulator.events import Log
    from simulator.lives import Authorisations, Bools, Lives, Waits
    from simulator.static import Draws, Ints, Static

TIERS = ("1", "2", "3")
MONEY = "USD (real 2025)"
H100E = "H100-equivalents"
MW = "MW IT"


@dataclass(frozen=True)
class Metric:
    """A number the product reports: its id, name, unit, and what it means."""

    id: str
    name: str
    unit: str
    meaning: str


SERIES = (
    Metric(
        "it_mw_online", "IT capacity online", MW,
        "Critical IT load installed, powered and commissioned at the date, opening fleet included.",
    ),
    Metric(
        "h100e_online", "Compute online", H100E,
        "Dense 8-bit throughput of chips in service at the date over that of an H100 SXM (1,979 TFLOP/s), opening fleet included.",
    ),
    Metric(
        "h100e_ordered", "Chips ordered", H100E,
        "Chips the companies have committed to by the date, delivered or not, and all they held on the start date; counted at home.",
    ),
    Metric(
        "h100e_delivered", "Chips delivered", H100E,
        "Chips received by the companies by the date, wherever they are, and all they held on the start date; counted at home.",
    ),
    Metric("h100e_in_stock", "Chips in stock", H100E, "Chips received and not yet shipped to a site; counted at home."),
    Metric(
        "h100e_installed", "Chips installed", H100E,
        "Chips in racks at their site, in service or being commissioned, opening fleet included.",
    ),
    Metric(
        "h100e_delivered_not_online", "Chips not yet in service", H100E,
        "Chips received by the companies and in stock, under way or being installed.",
    ),
    Metric(
        "h100e_without_shell", "Chips without a powered shell", H100E,
        "Chips in stock beyond what powered and finished shells waiting for that vendor's chips would take, and chips shipped ahead "
        "to sites that are not ready.",
    ),
    Metric(
        "mw_ready_without_chips", "Ready without chips", MW,
        "Phases powered and shelled to which no chips have been shipped, whatever they wait for.",
    ),
    Metric(
        "mw_waiting_clearance", "Ready but not cleared", MW,
        "Phases powered and shelled whose chips may not leave home for want of a licence, an allocation or headroom.",
    ),
    Metric(
        "capex_usd", "Capital spending since the start", MONEY,
        "Chips with servers and network at delivery, shells of own sites as they are built, freight; cumulative.",
    ),
    Metric(
        "compliance_usd", "Compliance cost since the start", MONEY,
        "Licence applications, universal and national authorisations and their reports, security build-out of controlled sites; "
        "cumulative.",
    ),
    Metric(
        "idle_shell_usd", "Carrying cost of idle shells since the start", MONEY,
        "Annuity of finished shells without chips, whatever they wait for and whoever owns them; cumulative. Not part of spending.",
    ),
    Metric(
        "mw_relocated", "Relocated for clearance since the start", MW,
        "Unshipped part of sites given up by the law for a successor in another country; cumulative.",
    ),
    Metric(
        "mw_downsized", "Left empty by licences since the start", MW,
        "Part of phases left empty because the licensed quantity did not fill them; cumulative.",
    ),
    Metric(
        "mw_cancelled", "Cancelled for clearance since the start", MW,
        "Unshipped part of projects given up for good because a licence, an allocation or headroom did not come; cumulative.",
    ),
)  # fmt: skip
SHARES = (
    Metric(
        "share_tier1", "Share in tier 1", "fraction",
        "Share of compute online (H100-equivalents) in the United States and the 18 allies named in January 2025.",
    ),
    Metric(
        "share_us", "Share in the United States", "fraction", "Share of compute online (H100-equivalents) in the United States."
    ),
    Metric(
        "rd_access", "R&D access", "fraction",
        "Share of R&D-weighted countries with at least `rd_access_h100e` (10,000 H100-equivalents unless changed) of the four companies online in the country.",
    ),
)  # fmt: skip
CHINA = (
    Metric(
        "china_ratio", "China's compute against the four", "ratio",
        "China's stock (licensed, diverted, domestic, rented offshore) over the four companies' compute online, H100-equivalents.",
    ),
    Metric("china_stock_h100e", "China's compute", H100E, "Licensed imports, diverted, domestic, and rented offshore."),
    Metric(
        "china_domestic_h100e", "China's domestic accelerators", H100E,
        "Accelerators made in China up to the date; their output answers denied chips with the stated elasticity.",
    ),
    Metric(
        "china_exportable_h100e", "China's exportable accelerators", H100E,
        "Most that makers in China could have sold abroad since the start: what bounds the demand they can take over.",
    ),
)  # fmt: skip
BY_MONTH = (*SERIES, *SHARES, *CHINA)
"""The monthly series, in the order of `Measures.monthly`."""

WAITING = {
    Stage.CLEARANCE: ("refiling", "between two filings", "the last application came back and the next one is not filed yet"),
    Stage.LICENCE_REVIEW: ("licence", "waiting for a licence", "an application that covers them is under review"),
    Stage.ALLOCATION: ("allocation", "waiting for an allocation", "the country's allocation has no room"),
    Stage.AUTHORISATION: (
        "headroom",
        "waiting for headroom",
        "the company's footprint leaves no headroom under its authorisation",
    ),
    Stage.CLASSIFICATION: ("classification", "waiting for a classification", "the chip's classification is pending"),
    Stage.FRAMEWORK: ("framework", "waiting for a framework", "the deal with the country has no framework yet"),
}
"""What a ready phase that is not cleared waits for: part of the id, name, meaning. The six sum to `mw_waiting_clearance`."""
YEARLY = (
    *(
        Metric(f"mw_waiting_{id}", f"Ready, {name}", MW, f"Phases powered and shelled that are not cleared because {why}.")
        for id, name, why in WAITING.values()
    ),
    Metric(
        "mw_waiting_security", "Ready, waiting for security acceptance", MW,
        "Phases powered, shelled and cleared whose site is not accepted as secure yet.",
    ),
    Metric(
        "mw_waiting_chips", "Ready, waiting for chips", MW,
        "Phases powered, shelled and cleared that wait in the company's line for chips.",
    ),
    Metric(
        "mw_front_loaded", "Shipped ahead of a restriction since the start", MW,
        "Phases whose chips were shipped before the site was ready, ahead of an announced restriction; cumulative.",
    ),
    Metric(
        "mw_switched", "Switched to other chips since the start", MW,
        "Phases that took another vendor's chips because the law lets these pass; cumulative, the last switch of a phase counts.",
    ),
    Metric(
        "mw_let", "Let to other use since the start", MW,
        "Unshipped part of sites whose finished shell was let to other use, and so lost to AI; cumulative. It is relocated or "
        "cancelled at the same time.",
    ),
    Metric(
        "mw_relocated_other", "Relocated for other reasons since the start", MW,
        "Unshipped part of sites given up for a successor elsewhere although no provision decided: power did not come; cumulative.",
    ),
    Metric(
        "mw_cancelled_other", "Cancelled for other reasons since the start", MW,
        "Unshipped part of projects given up for good although no provision decided: power did not come, or every market is barred; "
        "cumulative.",
    ),
    Metric(
        "campuses_300mw", "Campuses above 300 MW", "campuses",
        "Campuses with at least 300 MW of facility load in operation (IT load online x design ratio), opening fleet left out.",
    ),
    Metric(
        "campuses_1gw", "Campuses above 1 GW", "campuses",
        "Campuses with at least 1,000 MW of facility load in operation (IT load online x design ratio), opening fleet left out.",
    ),
    Metric("chips_usd", "Spending on chips", MONEY, "Chips with servers and network, at delivery; cumulative, part of capital spending."),
    Metric("shell_usd", "Spending on shells", MONEY, "Own shells as they are built; cumulative, part of capital spending."),
    Metric("freight_usd", "Freight", MONEY, "Freight and insurance of chips shipped; cumulative, part of capital spending."),
    Metric(
        "opex_usd", "Operating cost since the start", MONEY, "Energy, staff and upkeep of what is online, opening fleet included; cumulative.",
    ),
    Metric(
        "rent_usd", "Rent since the start", MONEY,
        "Rent of leased shells from the day they are powered and finished; cumulative. That of the opening fleet is not known.",
    ),
    Metric(
        "bridging_usd", "Cost of bridging power since the start", MONEY,
        "What energy from on-site generation costs more than the grid until the grid comes; cumulative.",
    ),
    Metric(
        "revenue_share_usd", "Revenue share since the start", MONEY,
        "Share of the price of chips sold into a country that the United States takes as a condition of the licence; cumulative.",
    ),
    Metric(
        "tariff_usd", "Tariff since the start", MONEY,
        "Tariff on covered chips that pass through the United States on their way abroad; cumulative.",
    ),
    Metric(
        "matching_usd", "Matching investment owed", MONEY,
        "Investment in the United States that deals ask for in return for what is invested in their countries; cumulative. A "
        "commitment, never added to spending.",
    ),
    Metric(
        "idle_chips_usd", "Carrying cost of idle chips since the start", MONEY,
        "Cost of capital and storage of chips in stock, from delivery to shipment; cumulative. Not part of spending.",
    ),
    Metric(
        "sunk_usd", "Sunk cost of sites given up", MONEY,
        "What had been spent on own shells when they were given up, less what comes back; cumulative. Spent before, not again.",
    ),
    Metric(
        "weights_barred_mw_days", "Inference without the frontier model", "MW IT x days",
        "MW-days of online inference sites abroad that may not hold the company's closed frontier model for want of a licence for its "
        "weights; cumulative, opening fleet left out.",
    ),
    Metric(
        "weights_disputed_mw_days", "Inference without tuned open models, if the control holds", "MW IT x days",
        "The same for open-weight models tuned beyond the law's limits, times the chance that this control is disputed; cumulative.",
    ),
)  # fmt: skip
FOOTPRINT = (
    Metric(
        "footprint_abroad", "Controlled compute outside trusted countries", "fraction",
        "Share of a company's controlled TPP that is owned outside the countries an authorisation trusts; nan where the law names none.",
    ),
    Metric(
        "footprint_headroom", "Headroom of the authorisation", "fraction",
        "Share of a company's controlled TPP that it could still place outside trusted countries: the limit less what is there. Of "
        "all companies the least; nan for one that holds no authorisation at the date.",
    ),
)  # fmt: skip
BY_YEAR = (*YEARLY, *FOOTPRINT)
"""The year-end series, in the order of `Measures.yearly`."""

COUNTRY_ONLY = (
    Metric(
        "quota_used_tpp", "Country allocation used", "TPP",
        "Drawn from the country's allocation in the period that runs, by the four companies and others; nan where the law has none.",
    ),
    Metric(
        "quota_used_share", "Share of the country allocation used", "fraction",
        "The same over the allocation; nan where the law limits nothing at the date.",
    ),
    Metric(
        "deal_announced_tpp", "Announced under a deal", "TPP",
        "Clusters planned in the country since a deal with it was announced, filled with the newest chip of the day of the plan.",
    ),
    Metric("deal_framed_tpp", "Covered by a framework", "TPP", "The same from the day on which the deal has its framework, 0 before."),
    Metric("deal_licensed_tpp", "Licensed under a deal", "TPP", "Licences granted to the four companies, less those that lapsed unused."),
    Metric("deal_shipped_tpp", "Shipped under a deal", "TPP", "Chips shipped to sites in the country."),
    Metric("deal_installed_tpp", "Installed under a deal", "TPP", "Chips in racks at sites in the country, opening fleet left out."),
    Metric("deal_online_tpp", "Online under a deal", "TPP", "Chips in service at sites in the country, opening fleet left out."),
)  # fmt: skip
BY_COUNTRY = ("it_mw_online", "h100e_online", "mw_waiting_clearance", *(metric.id for metric in COUNTRY_ONLY))
"""The year-end series by country, in the order of `Measures.by_country`."""
MARKETS = (
    Metric(
        "it_mw_added", "IT capacity added since the start", MW,
        "Critical IT load that came online since the start; the opening fleet is known by country only.",
    ),
    Metric(
        "h100e_added", "Compute added since the start", H100E,
        "Compute that came online since the start; the opening fleet is known by country only.",
    ),
)  # fmt: skip
BY_MARKET = tuple(metric.id for metric in MARKETS)

COHORT = "lineages planned since the start; cancellation competes, unfinished ones count"
SCALARS = (
    Metric(
        "months_plan_to_online_median", "Plan to online, median", "months",
        "Months from the first plan of a lineage to its first phase online, median over lineages planned since the start; "
        "cancellation competes, unfinished ones count.",
    ),
    Metric(
        "months_plan_to_online_p10", "Plan to online, earliest tenth", "months",
        f"Months by which a tenth have their first phase online, of {COHORT}.",
    ),
    Metric(
        "months_plan_to_online_p90", "Plan to online, nine tenths", "months",
        f"Months by which nine tenths have their first phase online, of {COHORT}.",
    ),
    *(
        Metric(
            f"months_plan_to_online_{route.name.lower()}", f"Plan to online, {words}", "months",
            f"Months by which half have their first phase online, of {words}: {COHORT}.",
        )
        for route, words in (
            (Route.CLASSIC, "classic new campuses"), (Route.AI_FIRST, "AI-first new campuses"),
            (Route.EXPANSION, "expansions of campuses"), (Route.LEASED, "leased shells"),
        )
    ),
    Metric(
        "months_plan_to_online_mw_mean", "Plan to online, mean over MW", "months",
        "Months from the first plan of the lineage to online, mean over megawatts that came online since the start, every phase counted "
        "and whenever planned.",
    ),
    Metric(
        "share_online_by_horizon", "Online by the horizon", "fraction",
        "Share of the lineages planned since the start that have a phase online by the horizon.",
    ),
    Metric(
        "slippage_days_median", "Slippage of first power, median", "days",
        "Days from the company's own date, set at ground-breaking, to first power; median over sites whose own date lies between start "
        "and horizon and that were not given up before power; one without power at the horizon counts as later than any.",
    ),
    Metric("share_late", "Late first power", "fraction", "Share of the same sites whose first power comes after the company's own date."),
    Metric(
        "months_first_to_full_median", "First phase to full, median", "months",
        "Months from the first phase online to the last, median over projects of several phases whose first one came online since the "
        "start; one not full at the horizon counts as longer than any.",
    ),
    Metric(
        "ramp_mw_per_month", "Ramp after first power", "MW IT per month",
        "Megawatts that came online over the months from first power to full (or the horizon), summed over sites with first power "
        "since the start.",
    ),
    Metric("licences_filed", "Licence applications filed", "applications", "Applications filed by the companies since the start."),
    Metric("licences_approved", "Licence applications approved", "applications", "Applications approved since the start."),
    Metric("licences_denied", "Licence applications denied", "applications", "Applications denied since the start."),
    Metric(
        "licences_returned", "Licence applications returned", "applications",
        "Applications returned without action since the start, also for want of room in a country's allocation.",
    ),
    Metric("licences_refused", "Licence applications refused", "applications", "Applications denied or returned since the start."),
    Metric(
        "licence_wait_days", "Licence decision time", "days",
        "Days from filing to decision, mean over applications decided since the start.",
    ),
    Metric(
        "licence_queue_days", "Wait for a reviewer", "days",
        "Part of the decision time before a reviewer takes the application up, mean over the same applications.",
    ),
    Metric(
        "licence_stop_days", "Stopped clock", "days",
        "Part of the decision time during which the clock is stopped, mean over the same applications.",
    ),
    Metric(
        "quota_binding_date", "First day a country allocation binds", "calendar year",
        "First day on which a company finds no room for a phase in a country's allocation, or an application is returned for want of it.",
    ),
    Metric(
        "quota_return_date", "First application returned for want of room", "calendar year",
        "First day on which an application is returned because it does not fit the country's allocation.",
    ),
    Metric(
        "authorisation_date", "First universal authorisation", "calendar year",
        "Day on which the company (of all: the first) is granted the universal authorisation.",
    ),
    Metric(
        "authorisation_lost_date", "First universal authorisation lost", "calendar year",
        "Day on which the company (of all: the first) loses it.",
    ),
    Metric(
        "national_authorisations", "National authorisations", "authorisations",
        "Authorisations for single countries granted up to the horizon.",
    ),
    Metric(
        "cost_per_h100e_year", "Cost of compute", "USD (real 2025) per H100-equivalent and year",
        "Of the capacity that comes online in the run: annuities of chips with servers and network (from delivery) and of own shells kept "
        "(from shell-ready), freight, rent, operation, bridging, compliance, revenue share, tariff and sunk cost, over "
        "H100-equivalent-years online; both discounted at the real rate. Idle chips and shells are in it.",
    ),
    Metric(
        "present_value_usd", "Present value of spending", MONEY,
        "Capital spending, operating cost, rent, bridging, compliance, revenue share and tariff from start to horizon, discounted to the "
        "start at the real rate.",
    ),
    *(
        Metric(
            f"run_{run}{id}_date", f"First {run} run possible{words}", "calendar year",
            f"First day on which the chips online on one campus{where} could do {run} operations in 120 days (dense 16-bit peak x "
            "utilisation x goodput), opening fleet left out.",
        )
        for id, words, where in (("", "", ""), ("_abroad", " abroad", " outside the United States"))
        for run in campuses.RUN_NAMES
    ),
)  # fmt: skip
PAIRED = (
    Metric(
        "mw_gained_by_destination", "IT capacity gained", MW,
        "Sum over countries with more capacity online than under the reference, at the same date and in the same future.",
    ),
    Metric(
        "mw_lost_by_destination", "IT capacity lost", MW,
        "Sum over countries with less capacity online than under the reference, at the same date and in the same future.",
    ),
    Metric(
        "mw_displaced", "IT capacity displaced", MW,
        "The smaller of the two: lost in some countries and found in others at the same date.",
    ),
    Metric(
        "unmet_abroad_h100e", "Demand abroad not met", H100E,
        "Compute online abroad under the reference and not in this run, summed over countries with less of it.",
    ),
    *(
        Metric(f"unmet_{id}_h100e", f"Demand not met: {words}", H100E, f"Part of the demand abroad not met that {meaning}. The five parts sum to it.")
        for id, words, meaning in (
            ("waits", "waits", "waits for the companies"),
            ("served_remotely", "served from another country", "is served remotely from another country"),
            ("other_importers", "other importers", "goes to other importers of US-design chips"),
            ("chinese_vendors", "Chinese vendors", "goes to makers in China, as far as they can have exported by the date"),
            ("lost", "lost", "is not served at all"),
        )
    ),
)  # fmt: skip
"""What exists only as a difference between two scenarios: `statistics.differences` reports it, nothing else does."""
METRICS = {metric.id: metric for metric in (*BY_MONTH, *BY_YEAR, *COUNTRY_ONLY, *MARKETS, *SCALARS, *PAIRED)}


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
    """One replication measured. Shapes: T months, G groups (`groups`), Y year ends, C countries, M markets, K companies, P provisions."""

    monthly: Floats
    """(metrics, T, G): BY_MONTH; nan for groups a metric is not given for"""
    yearly: Floats
    """(metrics, Y, G): BY_YEAR"""
    by_country: Floats
    """(metrics, Y, C): BY_COUNTRY"""
    by_market: Floats
    """(metrics, Y, M): BY_MARKET"""
    scalars: Floats
    """(SCALARS,), nan where not reached"""
    by_company: Floats
    """(SCALARS, K): the same for each company"""
    provisions: Floats
    """(P, 5) as `Provided`"""
    unmet_shares: Floats
    """(5,) this replication's shares of unmet demand, as `spillovers.DESTINATIONS`: read when two runs are compared"""


def groups(static: Static) -> list[Group]:
    """Total, companies, tiers, and companies within tiers, in the order of `Measures.monthly`."""
    return [
        Group("all", "all", "all"),
        *(Group(company, "all", "all") for company in static.companies),
        *(Group("all", "all", tier) for tier in TIERS),
        *(Group(company, "all", tier) for company in static.companies for tier in TIERS),
    ]


@once
def year_ends(static: Static) -> list[int]:
    """Indices of the months that end a calendar year, and the last one."""
    months = len(static.month_starts) - 1
    ends = [t for t in range(months) if (static.start.month - 1 + t) % 12 == 11]
    return ends if ends and ends[-1] == months - 1 else [*ends, months - 1]


def measure(static: Static, draws: Draws, log: Log, rd_weight: Floats) -> Measures:
    """All metrics of one run. `rd_weight` (C,) weighs countries for `rd_access` and sums to one."""
    rows = Rows(log)
    life = lives_of(static, draws, rows)
    tier, country = _by_tier(static), _by_country(static)
    held, blocked, campus = authorisations(static, rows), waits(rows, life), campuses.campuses(draws, life.sites)
    run = Run(
        static, draws, rows, life, held, blocked, campus, tier, country, year_ends(static),
        policy.waiting(life, blocked, tier), policy.given_up(static, draws, rows, tier),
        costs.deliveries(static, rows),
    )  # fmt: skip
    online = capacity.capacity(static, draws, life, run.country)
    found = costs.money(static, draws, rows, life, tier, run.delivered)
    everyone, each = _scalars(run, found)
    return Measures(
        _monthly(run, online, found, rd_weight),
        _yearly(run, found),
        _countries(run, online),
        capacity.markets(static, life, run.country, run.ends),
        everyone,
        each,
        policy.provisions(static, rows, life, run.blocked),
        draws.after_run.unmet_share if draws.after_run is not None else np.full(len(DESTINATIONS), np.nan),
    )


@once
def _by_tier(static: Static) -> MonthEnds:
    return MonthEnds(static, static.tier - 1, len(TIERS))


@once
def _by_country(static: Static) -> MonthEnds:
    return MonthEnds(static, np.arange(len(static.countries)), len(static.countries))


class Run(NamedTuple):
    """A run as it is being measured: what it was given, what its log tells, and how to add up."""

    static: Static
    draws: Draws
    rows: Rows
    life: Lives
    held: Authorisations
    blocked: Waits
    campus: Ints
    tier: MonthEnds
    country: MonthEnds
    ends: list[int]
    """months that end a year"""
    waiting: Floats
    """(causes, T, K, tiers) MW ready and not cleared, by `lives.ASKING`"""
    lost: dict[str, Floats]
    """MW given up, left empty or let"""
    delivered: Ints
    """(T, K, A) chips"""


def _monthly(run: Run, online: capacity.Capacity, found: costs.Money, rd_weight: Floats) -> Floats:
    """(BY_MONTH, T, G)."""
    static, draws, rows, life, tier = run.static, run.draws, run.rows, run.life, run.tier
    chips = capacity.chips(static, draws, rows, life, tier, run.delivered)
    waiting, lost = run.waiting, run.lost
    it_mw, h100e = capacity.by_tier(static, online.it_mw), capacity.by_tier(static, online.h100e)
    idle = chips.delivered.copy()  # at home, less what is in service wherever it is
    idle[:, :, static.tier[static.home] - 1] -= h100e.sum(axis=2)
    every = np.arange(len(life.phases.site))
    series = {
        "it_mw_online": it_mw,
        "h100e_online": h100e,
        "h100e_ordered": chips.ordered,
        "h100e_delivered": chips.delivered,
        "h100e_in_stock": chips.stock,
        "h100e_installed": chips.installed,
        "h100e_delivered_not_online": idle,
        "h100e_without_shell": chips.without_shell,
        "mw_ready_without_chips": policy.present(life, every, *capacity.ready_without_chips(life), tier),
        "mw_waiting_clearance": waiting.sum(axis=0),
        "capex_usd": found.capex,
        "compliance_usd": found.compliance,
        "idle_shell_usd": found.idle_shells,
        "mw_relocated": lost["relocated"],
        "mw_downsized": lost["downsized"],
        "mw_cancelled": lost["cancelled"],
    }
    groups_of = _group_matrix(static)
    table = np.full((len(BY_MONTH), tier.months, groups_of.shape[1]), np.nan)
    table[: len(SERIES)] = _grouped(SERIES, series, groups_of)
    shares, china_from = table[len(SERIES) :], len(SERIES) + len(SHARES)
    shares[:2, :, : 1 + tier.companies] = _shares(static, online.h100e)
    shares[2, :, 0] = (online.h100e.sum(axis=1) >= static.rd_access_h100e) @ rd_weight
    table[china_from:, :, 0] = _china(run, online.h100e)
    return table


def _yearly(run: Run, found: costs.Money) -> Floats:
    """(BY_YEAR, Y, G)."""
    static, draws, rows, life, tier = run.static, run.draws, run.rows, run.life, run.tier
    p = life.phases
    mw = p.mw16 / MW_SIXTEENTHS
    waiting, lost = run.waiting, run.lost
    security, chips = (
        policy.in_spell(life, spells(rows, life, stage), run.blocked, tier) for stage in (Stage.SECURITY, Stage.CHIPS)
    )
    above_300mw, above_1gw = capacity.large(draws, life, run.campus, tier)
    barred, disputed = _barred(run)
    series = {
        **{f"mw_waiting_{WAITING[stage][0]}": table for stage, table in zip(ASKING, waiting, strict=True)},
        "mw_waiting_security": security,
        "mw_waiting_chips": chips,
        "mw_front_loaded": tier.since(p.front_loaded, p.company, p.country, mw),
        "mw_switched": tier.since(p.switched, p.company, p.country, mw),
        "mw_let": lost["let"] + lost["let_other"],
        "mw_relocated_other": lost["relocated_other"],
        "mw_cancelled_other": lost["cancelled_other"],
        "campuses_300mw": above_300mw,
        "campuses_1gw": above_1gw,
        "chips_usd": found.chips,
        "shell_usd": found.shells,
        "freight_usd": found.freight,
        "opex_usd": found.opex,
        "rent_usd": found.rent,
        "bridging_usd": found.bridging,
        "revenue_share_usd": found.revenue_share,
        "tariff_usd": found.tariff,
        "matching_usd": found.matching,
        "idle_chips_usd": found.idle_chips,
        "sunk_usd": found.sunk,
        "weights_barred_mw_days": barred,
        "weights_disputed_mw_days": disputed,
    }
    groups_of = _group_matrix(static)
    table = np.full((len(BY_YEAR), len(run.ends), groups_of.shape[1]), np.nan)
    table[: len(YEARLY)] = _grouped(YEARLY, {id: one[run.ends] for id, one in series.items()}, groups_of)
    footprint = capacity.footprint(static, draws, rows, life, run.held, run.country, run.ends, run.delivered)
    table[len(YEARLY) :, :, : 1 + tier.companies] = footprint
    return table


def _countries(run: Run, online: capacity.Capacity) -> Floats:
    """(BY_COUNTRY, Y, C)."""
    static, rows, life = run.static, run.rows, run.life
    waiting = policy.present(life, run.blocked.phase, run.blocked.begin, run.blocked.end, run.country)
    tables = [table[run.ends].sum(axis=1) for table in (online.it_mw, online.h100e, waiting)]
    used = policy.quota_used(static, rows, static.month_starts[1:][run.ends] - 1)
    return np.stack([*tables, *used, *policy.deal_quantities(static, rows, life, run.country, run.ends)])


def _barred(run: Run) -> list[Floats]:
    """MW-days of inference without the frontier model, and without tuned open models; nan where the models are not drawn."""
    static, draws, p, tier = run.static, run.draws, run.life.phases, run.tier
    after = draws.after_run
    frontier = weights.frontier_weights(static, draws, after, run.held, p) if after is not None else None
    found = []
    for one in (frontier, weights.tuned_weights(static, draws, run.held, p)):
        if one is None:
            found.append(np.full((tier.months, tier.companies, tier.places), np.nan))
            continue
        mw = p.online_mw16[one.phase] / MW_SIXTEENTHS * one.weight
        found.append(tier.accrued(one.begin, one.end, p.company[one.phase], p.country[one.phase], mw))
    return found


def _grouped(metrics: Sequence[Metric], series: dict[str, Floats], groups_of: Floats) -> Floats:
    """(metrics, T, G) of tables (T, K, tiers) by the id of their metric. Raises KeyError unless each metric has its table."""
    if len(series) != len(metrics):
        raise KeyError(f"series without a metric: {sorted(series.keys() - {metric.id for metric in metrics})}")
    stacked = np.stack([series[metric.id] for metric in metrics])
    return stacked.reshape(*stacked.shape[:2], -1) @ groups_of


@once
def _group_matrix(static: Static) -> Floats:
    """(K * tiers, G) which (company, tier) pairs belong to each group."""
    company, tier = np.divmod(np.arange(len(static.companies) * len(TIERS)), len(TIERS))
    columns = []
    for group in groups(static):
        inside = np.ones(len(company))
        if group.company != "all":
            inside *= company == static.companies.index(group.company)
        if group.tier != "all":
            inside *= tier == TIERS.index(group.tier)
        columns.append(inside)
    return np.stack(columns, axis=1)


def _shares(static: Static, h100e: Floats) -> Floats:
    """(2, T, 1 + K) shares of tier 1 and of the United States, nan of nothing."""
    whole, tier1 = with_total(h100e.sum(axis=2)), with_total(h100e[:, :, static.tier == 1].sum(axis=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([tier1 / whole, with_total(h100e[:, :, static.home]) / whole])


def _china(run: Run, h100e: Floats) -> Floats:
    """(CHINA, T); nan where China's paths are not drawn."""
    static, draws = run.static, run.draws
    if static.china is None or draws.china is None:
        return np.full((len(CHINA), h100e.shape[0]), np.nan)
    # China has no sites in this model: it is taken to place the share of what it could buy that the four can place.
    merchant = _merchant(static)
    offered = draws.deliveries[:, :, merchant].sum(axis=(1, 2))
    placed = run.delivered[:, :, merchant].sum(axis=(1, 2)) / np.maximum(offered, 1)
    found = china(static.china, draws.china._replace(demand=draws.china.demand * placed))
    ratio = china_ratio(found.stock, h100e.sum(axis=(1, 2)))
    return np.stack([ratio, found.stock, found.domestic, np.cumsum(found.exportable)])


@once
def _merchant(static: Static) -> Bools:
    """(A,) chips of makers who sell."""
    return np.isin(static.vendor_of, [vendor for vendor, name in enumerate(static.vendors) if name in MERCHANTS])


def _scalars(run: Run, found: costs.Money) -> tuple[Floats, Floats]:
    """(SCALARS,) for all companies, and (SCALARS, K) for each."""
    static, draws, rows, life = run.static, run.draws, run.rows, run.life
    numbers = timeline.times(static, draws, life)  # each (1 + K,), all companies first
    numbers |= policy.licences(static, rows)
    numbers |= policy.dates(static, rows, life, run.held)
    cost, years = (with_total(part) for part in costs.per_h100e_year(static, draws, rows, life, found, run.tier))
    numbers["cost_per_h100e_year"] = np.divide(cost, years, out=np.full(len(cost), np.nan), where=years > 0)
    numbers["present_value_usd"] = with_total(costs.present_value(draws, found, run.tier))
    numbers |= _training_runs(run)
    table = np.stack([numbers[metric.id] for metric in SCALARS])
    return table[:, 0], table[:, 1:]


def _training_runs(run: Run) -> dict[str, Floats]:
    """First days of frontier runs, anywhere and abroad; nan where it is not drawn how training uses chips."""
    static, life, after = run.static, run.life, run.draws.after_run
    rates = np.zeros(len(life.phases.site)) if after is None else campuses.training_rates(run.rows, life, after.tflops)
    sustained = 0.0 if after is None else after.utilisation * after.goodput
    numbers = {}
    reached = campuses.frontier_runs(run.campus, life.phases, rates, sustained)
    for name, (founder, tick) in zip(campuses.RUN_NAMES, reached, strict=True):
        tick = np.maximum(tick, 0)  # possible from the start on
        abroad = life.sites.country[founder] != static.home
        company = life.sites.company[founder]
        numbers[f"run_{name}_date"] = timeline.first_years(static, tick, company)
        numbers[f"run_{name}_abroad_date"] = timeline.first_years(static, tick[abroad], company[abroad])
    return numbers
