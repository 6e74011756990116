"""One replication's assumptions and luck: from the world's ranges to `Draws`.

Assumptions (what we do not know) and luck (what nobody can know) are drawn under separate keys. A whole series is one
assumption: if 2027 is high, so is 2028. Inputs of one parameter share part of their error, because they share sources.
Nothing here depends on policy, so scenarios with the same inputs share their draws replication by replication.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator import spillovers
from simulator.distributions import quantile
from simulator.draws import (
    FRACTION_BITS,
    TABLE_POINTS,
    TAIL,
    Aspect,
    Floats,
    Ints,
    bits,
    entity_key,
    look_up,
    market_aspect,
    normal,
    pair,
    spread_table,
    uniform,
)
from simulator.static import BARRED, FILINGS, PHASES, Draws, Route, Timed, Workload
from simulator.units import (
    DAYS_PER_YEAR,
    FACTOR_ONE,
    H100_DENSE_8BIT_TOPS,
    MW_SIXTEENTHS,
    PPM,
    SCORE_ONE,
    TICKS_PER_DAY,
    facility_mw,
    h100e_ppm,
    month_ends,
    mw16,
    quarter_of,
    quarter_start,
    threshold,
    tick_of,
)

if TYPE_CHECKING:
    from simulator.world import Value, World

Get: TypeAlias = Callable[[str], Floats]
Chance: TypeAlias = Callable[..., Ints]
Pairs: TypeAlias = Callable[..., tuple[Ints, Ints]]

WARM_UP_YEARS = 5
ORDINALS = 256
"""Most projects a company plans in a quarter; what is left is planned in the next one."""
USUAL_ORDINALS = 48
"""Sizes drawn at first for every quarter; the others only where a quarter plans more projects."""
HOPS = 5
APPLICATIONS = 3
"""Most applications of a company for the universal authorisation"""
CATEGORIES = (
    Aspect.SIZE, Aspect.ROUTE, Aspect.VENDOR, Aspect.PLAN_DAY, Aspect.WORKLOAD, Aspect.FIRST_PHASE, Aspect.PHASE_INCREMENT,
    Aspect.CAMPUS_SIZE,
)  # fmt: skip
"""What a project is, rather than how it fares: drawn even where luck is switched off, as is its taste for markets."""
MEDIAN = 1 << 61
"""The uniform integer in the middle, used for every draw when luck or assumptions are switched off."""
OFFICE_GROWTH = 3
"""The applications of others are drawn for a law under which there are up to so many times the number of the data."""
OFFICE_BLOCK = 4096
"""Applications of others under one key."""
NEVER = 1000 * 366 * TICKS_PER_DAY
"""Ticks beyond any horizon."""


@dataclass(frozen=True)
class Moved:
    """Inputs put at one standard normal position (-1.2816: their tenth percentile), to see what moves with them."""

    inputs: frozenset[tuple[str, ...]]
    """Keys of the inputs (`Value.key`)"""
    position: float


class Sheet:
    """Uncertain inputs as arrays, so that one replication draws all of them at once. Same meaning as `distributions.quantile`."""

    def __init__(self, values: list[Value], correlation: float):
        from scipy.special import ndtri

        from simulator.distributions import TAILS
        from simulator.world import UNITS

        self.keys = [value.key for value in values]
        self.index = {key: i for i, key in enumerate(self.keys)}
        self.own = np.array([entity_key("/".join(value.key[:4])) for value in values], dtype=np.uint64)
        self.shared = np.array([entity_key(f"{v.table}/*/{v.parameter}") for v in values], dtype=np.uint64)
        self.weight = np.sqrt(np.array([correlation, 1 - correlation]))
        mode = np.array([v.number for v in values])
        self.mode = mode
        self.low = np.array([v.number if v.low is None else v.low for v in values])
        self.high = np.array([v.number if v.high is None else v.high for v in values])
        self.tail = np.array([-float(ndtri(TAILS.get(v.quantiles, 0.1))) for v in values])
        family = np.array([v.family for v in values])
        self.logs, self.triangles, self.fixed = family == "lognormal", family == "triangular", family == "fixed"
        with np.errstate(divide="ignore", invalid="ignore"):
            self.log_low = np.where(self.logs, np.log(mode / np.where(self.logs, self.low, 1)), 0.0)
            self.log_high = np.where(self.logs, np.log(np.where(self.logs, self.high, 1) / mode), 0.0)
        self.log_low, self.log_high = np.nan_to_num(self.log_low), np.nan_to_num(self.log_high)
        self.least = np.array([-np.inf if UNITS[v.unit].lowest is None else UNITS[v.unit].lowest for v in values], dtype=float)
        self.most = np.array([np.inf if UNITS[v.unit].highest is None else UNITS[v.unit].highest for v in values], dtype=float)

    def draw(self, seed: int, replication: int, uncertain: bool = True, moved: Moved | None = None) -> Floats:
        """Values of all inputs, in order; every one at its middle if not `uncertain` (a triangle at its median), except those
        `moved`. Raises LookupError if none of these is drawn."""
        if uncertain:
            own = normal(bits(seed, replication, self.own, Aspect.ASSUMPTION))
            shared = normal(bits(seed, replication, self.shared, Aspect.ASSUMPTION))
            z = self.weight[0] * shared + self.weight[1] * own
        else:
            z = np.zeros(len(self.mode))
        if moved is not None:
            here = [i for i, key in enumerate(self.keys) if key in moved.inputs]
            if not here:
                raise LookupError("none of the inputs to be moved is drawn")
            z[here] = moved.position
        return self.at(z)

    def at(self, z: Floats) -> Floats:
        """Values at standard normal positions."""
        from scipy.special import ndtr

        step = z / self.tail
        below = step < 0
        drawn = np.where(
            self.logs,
            self.mode * np.exp(step * np.where(below, self.log_low, self.log_high)),
            self.mode + step * np.where(below, self.mode - self.low, self.high - self.mode),
        )
        u, width = ndtr(z), np.where(self.high > self.low, self.high - self.low, 1.0)
        rising = self.low + np.sqrt(u * width * (self.mode - self.low))
        falling = self.high - np.sqrt((1 - u) * width * (self.high - self.mode))
        triangle = np.where(u < (self.mode - self.low) / width, rising, falling)
        drawn = np.where(self.triangles & (self.high > self.low), triangle, np.clip(drawn, self.least, self.most))
        return np.where(self.fixed, self.mode, drawn)


@dataclass(frozen=True)
class Budgets:
    """Money by company and quarter (plan quarters and three years more), real USD."""

    path: Floats
    """AI budget of each quarter as first expected"""
    revised: Floats
    """what it has become over that, cumulated up to the quarter"""
    it_cost: Floats
    """cost of a MW of IT: chips, servers, network"""
    shell: Floats
    """cost of the shells a company builds itself, per MW of all its IT"""


@dataclass(frozen=True)
class Plans:
    """What companies plan in each quarter, by what they then expect."""

    megawatts: Floats
    """(K, plan quarters) IT load"""
    vendors: Floats
    """(K, V, plan quarters) MW of IT of each vendor's chips expected a lead later"""
    routes: Floats
    """(K, plan quarters, 4) share of each route"""

    def until(self, known: NDArray[np.bool_], then: Plans) -> Plans:
        """These plans where something is not known yet, `then` where it is; `known` (plan quarters,)."""
        return Plans(
            np.where(known, then.megawatts, self.megawatts),
            np.where(known, then.vendors, self.vendors),
            np.where(known[:, None], then.routes, self.routes),
        )


@dataclass(frozen=True)
class Frame:
    """Index sets and dates that the sampler and the law tables share."""

    start: date
    end: date
    companies: tuple[str, ...]
    countries: tuple[str, ...]
    markets: tuple[str, ...]
    market_country: Ints
    accelerators: tuple[str, ...]
    vendors: tuple[str, ...]
    vendor_of: Ints
    home: int

    @property
    def earliest(self) -> date:
        """First day of the oldest plans."""
        return date(self.start.year - WARM_UP_YEARS, 1, 1)

    @cached_property
    def months(self) -> list[date]:
        """Last days of the months of the run."""
        return month_ends(self.start, self.end)

    @property
    def years(self) -> range:
        """Calendar years from the oldest plans to the end."""
        return range(self.earliest.year, self.end.year + 1)

    @cached_property
    def quarters(self) -> list[str]:
        """Quarters in which plans are made, `2019Q1` ..."""
        return [f"{year}Q{q}" for year in self.years for q in (1, 2, 3, 4) if quarter_start(f"{year}Q{q}") <= self.end]


def frame(world: World, start: date, end: date) -> Frame:
    """The index sets of a world: companies, places and the accelerators that anyone ships."""
    vendors = sorted({v.entity for v in world.select(table="supply", parameter="generation_share")})
    shipped = {(v.entity, v.scope) for v in world.select(table="supply", parameter="generation_share")}
    first = {
        scope: min(v.period for v in world.select(table="supply", parameter="generation_share", scope=scope))
        for _, scope in shipped
    }
    chips = sorted(
        shipped, key=lambda pair: (vendors.index(pair[0]), first[pair[1]], world.number("accelerators", "tpp", pair[1]), pair[1])
    )
    countries = world.entities("countries")
    return Frame(
        start,
        end,
        world.entities("companies"),
        countries,
        tuple(m.id for m in world.markets),
        np.array([countries.index(m.country) for m in world.markets]),
        tuple(chip for _, chip in chips),
        tuple(vendors),
        np.array([vendors.index(vendor) for vendor, _ in chips]),
        countries.index("USA"),
    )


def rationed_markets(world: World, frame: Frame) -> NDArray[np.bool_]:
    """(M,) the markets where grid capacity is handed out in an explicit queue: of those open to US clouds, the `rationed_markets`
    with the largest middle value of `grid_mw_per_year`; of equal ones the first by id."""
    wanted = int(world.number("process", "rationed_markets"))
    shut = closed_markets(world, frame)
    yearly = [world.market_value(market, "grid_mw_per_year").number for market in frame.markets]
    order = sorted((m for m in range(len(yearly)) if not shut[m]), key=lambda m: (-yearly[m], frame.markets[m]))
    found = np.zeros(len(yearly), dtype=bool)
    found[order[:wanted]] = True
    return found


def closed_markets(world: World, frame: Frame) -> NDArray[np.bool_]:
    """(M,) markets of countries that are not open to US clouds."""
    closed = {v.entity for v in world.select(table="countries", parameter="open_to_us_clouds") if v.text == "n"}
    return np.array([frame.countries[c] in closed for c in frame.market_country.tolist()])


class Sampler:
    """Draws replications for one world and horizon. Building it reads the world once; `draw` is then pure arithmetic.

    `earlier` holds a day and the sampler of the world as companies expect it before that day: plans of quarters that begin before
    it are those of that world, everything else that of `world`. Chips are delivered, budgets spent, as they really are.
    """

    def __init__(self, world: World, frame: Frame, earlier: tuple[date, Sampler] | None = None):
        self.world, self.frame, self.earlier = world, frame, earlier
        self.values: list[Value] = []
        self.at: dict[str, Ints] = {}
        self._gather()
        self.sheet = Sheet(self.values, world.number("process", "shared_source_correlation"))
        self.announced = self._announced()
        f = frame
        self.quarter_ticks = np.array([tick_of(quarter_start(q), f.start) for q in f.quarters])
        self.quarter_days = np.array(
            [(month_ends(first := quarter_start(q), first + timedelta(days=80))[-1] - first).days + 1 for q in f.quarters]
        )
        self.root_names = [
            [[f"{company}/{quarter}/{i:02d}" for i in range(ORDINALS)] for quarter in f.quarters] for company in f.companies
        ]
        flat = [name for by_quarter in self.root_names for names in by_quarter for name in names]
        self.root_keys = np.array([entity_key(name) for name in flat], dtype=np.uint64).reshape(
            len(f.companies), len(f.quarters), ORDINALS
        )
        self.announced_keys = np.array([entity_key(a.name) for a in self.announced], dtype=np.uint64)
        self.market_words = np.array([market_aspect(m) for m in f.markets], dtype=np.uint64)
        if len(set(self.market_words.tolist())) != len(f.markets):
            raise ValueError("two markets share an aspect key; rename one of them")
        quarters = self._long_quarters()
        self.middles = np.array([int(q[:4]) + (int(q[5]) - 0.5) / 4 for q in quarters])
        """middle of each plan quarter and of those after it, as a year with its fraction"""
        self.supply_positions = np.array([self._supply_position(q) for q in quarters])
        self.long_years = np.array([int(q[:4]) for q in quarters])
        self.long_middle = np.array([int(q[:4]) + (int(q[5]) - 0.5) / 4 for q in quarters])
        self.spans = np.array([self._span(int(q[:4])) for q in quarters])
        self.month_supply = [self._supply_position(quarter_of(day)) for day in f.months]
        self.month_quarter = [f.quarters.index(quarter_of(day)) for day in f.months]
        self.budget_keys = np.array(
            [[entity_key(f"{who}/{q}") for q in quarters] for who in ("all", *f.companies)], dtype=np.uint64
        )
        self.pause_keys = np.array([[entity_key(f"{c}/{y}/pause") for y in f.years] for c in f.companies], dtype=np.uint64)
        self.country_years = np.array([[entity_key(f"{c}/{y}") for c in f.countries] for y in f.years], dtype=np.uint64)
        self.closed, self.rationed = closed_markets(world, f), rationed_markets(world, f)
        self.company_keys = np.array([entity_key(c) for c in f.companies], dtype=np.uint64)
        self.country_keys = np.array([entity_key(c) for c in f.countries], dtype=np.uint64)
        self.chip_keys = np.array([entity_key(a) for a in f.accelerators], dtype=np.uint64)
        self.licence_keys = np.array(
            [[entity_key(f"licence/{company}/{country}") for country in f.countries] for company in f.companies], dtype=np.uint64
        )
        self.cases = {
            name: cases_table(world.get("process", parameter, scope=scope), scale)
            for name, (parameter, scope, scale) in CASES.items()
        }
        self.intervals = [
            cases_table(world.get("process", "interval_between_phases_days", scope=route.name.lower()), TICKS_PER_DAY)
            for route in Route
        ]

    # ---- which inputs are drawn, and where they stand in the sheet

    def _take(self, name: str, values: list[Value], shape: tuple[int, ...]) -> None:
        begin = len(self.values)
        self.values += values
        self.at[name] = np.arange(begin, begin + len(values)).reshape(shape)

    def _one(self, table: str, parameter: str, entity: str = "world", scope: str = "") -> None:
        self._take(parameter if not scope else f"{parameter}/{scope}", [self.world.get(table, parameter, entity, scope)], ())

    def _gather(self) -> None:
        w, f = self.world, self.frame
        places = [(m.id, m.country) for m in w.markets]
        routes = [route.name.lower() for route in Route]
        for parameter in ("grid_connection_days", "permit_days"):
            self._take(parameter, [w.market_value(m, parameter) for m, _ in places], (len(places),))
        self._take("grid_mw_per_year", [w.market_value(m, "grid_mw_per_year") for m, _ in places], (len(places),))
        self._take("construction_days", [w.get("countries", "construction_days", c) for c in f.countries], (len(f.countries),))
        self._take("demand_share", [w.get("countries", "demand_share", c) for c in f.countries], (len(f.countries),))
        self._take("construction_cost", [w.market_value(m, "construction_cost_usd_per_w") for m, _ in places], (len(places),))
        for parameter in ("site_selection_days", "permit_factor", "construction_factor", "interconnection_factor"):
            self._take(parameter, [w.get("process", parameter, scope=r) for r in routes], (4,))
        self._take(
            "construction_split",
            [w.get("process", "construction_split", scope=s) for s in ("structure_and_plant", "fit_out", "commissioning")],
            (3,),
        )
        self._take("log_sd", [w.get("process", "spread_between_projects_log_sd", scope=t.name.lower()) for t in Timed], (8,))
        for scope in ("power", "construction"):
            self._one("process", "country_year_luck_log_sd", scope=scope)
        for parameter in (
            "installation_days",
            "shipping_days",
            "project_size_median_mw_facility",
            "project_size_log_sd",
            "power_design_ratio",
            "nominal_lead_quarters",
            "inflation",
            "budget_revision_sd_quarterly",
            "budget_revision_common_share",
            "pause_probability",
            "pause_duration_days",
            "interconnection_lead_days",
            "stock_bound_months",
            "plan_over_expected_chips",
            "plan_over_expected_power",
            "licence_filing_lead_days",
            "smallest_acceptable_share",
            "largest_filings",
            "largest_successors",
            "choice_log_per_year_of_wait",
            "choice_floor_share",
            "choice_taste_scale",
            "home_preference_log",
            "smallest_project_mw_it",
            "largest_project_mw_facility",
            "campus_size_median_mw_facility",
            "campus_size_log_sd",
            "single_phase_below_first_phases",
            "energisation_tranche_mw_facility",
            "energisation_tranche_interval_days",
            "choice_training_wait_multiple",
            "planning_horizon_years",
            "shell_ahead_of_power_days",
            "choice_log_per_relative_cost",
            "optimism_of_own_date",
            "licence_applications_per_year",
            "licence_reviewers_effective",
            "licence_review_work_days",
            "licence_applications_reference",
            "licence_review_most_utilisation",
            "licence_validity_years",
            "licence_forecast_days",
            "classification_needed_probability",
            "authorisation_revocation_probability",
            "chip_commitment_lead_days",
            "financing_over_ai_budget",
            "grid_share_of_four",
            "grid_works_days",
            "concurrent_construction_growth",
            "onsite_supply_share_to_four",
            "onsite_time_to_power_days",
            "onsite_spread_log_sd",
            "bridge_if_power_later_days",
            "front_load_before_days",
            "front_load_ready_days",
            "let_to_other_use_days",
            "revenue_per_gw_year",
            "sunk_cost_recovery",
            "annual_load_factor",
            "discount_rate_real",
        ):
            self._one("process", parameter)
        self._one("process", "onsite_cost", scope="engine")
        for parameter in (
            "network_share_of_it_capex",
            "server_share_of_it_capex",
            "capex_construction",
            "facility_life",
            "opex_non_energy",
            "leased_shell_rent",
            "freight_share_of_chip_price",
            "warehouse_cost_share_of_chip_price",
        ):
            self._one("costs", parameter)
        self._take("electricity_price", [w.market_value(m, "electricity_price_usd_per_mwh") for m, _ in places], (len(places),))
        self._take("pue", [w.get("countries", "pue_typical", c) for c in f.countries], (len(f.countries),))
        crews = [w.get("companies", "concurrent_construction_mw_facility", c) for c in f.companies]
        self._take("crews", crews, (len(f.companies),))
        self.crew_year = int(crews[0].as_of[:4])
        for parameter in ("inference_share", "onsite_supply"):
            self._take(parameter, list(w.series("process", parameter).values()), (len(w.series("process", parameter)),))
        self.inference_years = np.array([int(period) + 0.5 for period in w.series("process", "inference_share")])
        self.onsite_years = np.array([int(period) + 0.5 for period in w.series("process", "onsite_supply")])
        applications, work, reviewers = (
            w.number("process", p)
            for p in ("licence_applications_per_year", "licence_review_work_days", "licence_reviewers_effective")
        )
        self.office_load = applications * work / DAYS_PER_YEAR / reviewers
        for entity, parameter in (
            ("bis", "internal_cost_per_application"),
            ("uveu", "application_cost"),
            ("site_security", "uplift_share_of_construction"),
        ):
            self._one("costs", parameter, entity)
        self._take("idle_shell", [w.get("costs", "cost_per_idle_mw_month", "idle_shell")], ())
        self._take(
            "sunk_cost_share",
            [
                w.get("process", "sunk_cost_share", scope=s)
                for s in ("site_selection", "permits", "half_construction", "shell_ready")
            ],
            (4,),
        )
        self._take(
            "chips_waiting",
            [
                w.get("process", "chips_waiting_for_power_share", scope="microsoft" if c == "microsoft" else "others")
                for c in f.companies
            ],
            (len(f.companies),),
        )
        years = [str(year) for year in range(2019, 2032)]
        self._take(
            "capex_total",
            [w.get("companies", "capex_total", c, period=y) for c in f.companies for y in years],
            (len(f.companies), 13),
        )
        self._take(
            "share_capex_ai",
            [w.get("companies", "share_capex_ai", c, period=y) for c in f.companies for y in years],
            (len(f.companies), 13),
        )
        spans = [v.period for v in w.series("companies", "route_share", f.companies[0], routes[0]).values()]
        self._take(
            "route_share",
            [w.get("companies", "route_share", c, r, p) for c in f.companies for p in spans for r in routes],
            (len(f.companies), len(spans), 4),
        )
        self.route_spans = [(int(span[:4]), int(span[-4:])) for span in spans]
        self.supply_quarters = list(w.series("supply", "shipped_h100e", f.vendors[0]))
        self._take(
            "shipped",
            [w.get("supply", "shipped_h100e", v, period=q) for v in f.vendors for q in self.supply_quarters],
            (len(f.vendors), len(self.supply_quarters)),
        )
        bought = [
            (k, v)
            for k in range(len(f.companies))
            for v in range(len(f.vendors))
            if w.has("supply", "share_bought", f.companies[k], f.vendors[v], "2024")
        ]
        self.bought_pairs = np.array(bought)
        buy_years = [str(year) for year in range(2022, 2032)]
        self._take(
            "bought",
            [w.get("supply", "share_bought", f.companies[k], f.vendors[v], y) for k, v in bought for y in buy_years],
            (len(bought), 10),
        )
        self.generation = np.zeros((len(f.accelerators), len(self.supply_quarters)))
        for a, chip in enumerate(f.accelerators):
            for value in w.select(table="supply", parameter="generation_share", scope=chip):
                self.generation[a, self.supply_quarters.index(value.period)] = value.number
        for parameter in ("it_power_w", "price_usd"):
            self._take(parameter, [w.get("accelerators", parameter, a) for a in f.accelerators], (len(f.accelerators),))
        self.h100e = np.array([h100e_ppm(w.number("accelerators", "dense_8bit_tops", a)) for a in f.accelerators])
        self.watts = np.array([round(w.number("accelerators", "it_power_w", a)) for a in f.accelerators])
        on = date(f.start.year - 1, 12, 31).isoformat()
        scopes = ("nvidia", "custom", "amd")
        self._take("held", [w.get("fleets", "h100e_held", c, s, on) for c in f.companies for s in scopes], (len(f.companies), 3))
        known = sorted({v.period for v in w.select(table="fleets", parameter="fleet_country_share") if v.period <= on})[-1]
        here = [
            (k, c)
            for k in range(len(f.companies))
            for c in range(len(f.countries))
            if w.has("fleets", "fleet_country_share", f.companies[k], f.countries[c], known)
        ]
        self.fleet_pairs = np.array(here)
        self._take(
            "fleet_share",
            [w.get("fleets", "fleet_country_share", f.companies[k], f.countries[c], known) for k, c in here],
            (len(here),),
        )
        self.china_inputs = spillovers.wanted(w, f.start, f.end)
        for name, found in self.china_inputs.items():
            self._take(name, [w.get(*key) for key in found], (len(found),))
        self.least_chip_share = w.number("process", "smallest_chip_share_of_it_capex")
        self.per_chip = spillovers.h100e_per_chip(w, f.months)
        self.per_past_chip = spillovers.h100e_per_chip(w, [date(y, 7, 1) for y in range(2022, f.start.year)])
        exported = "ascend_910c" if w.has("accelerators", "dense_8bit_tops", "ascend_910c") else "ascend_910b"  # known earlier
        self.exported = w.number("accelerators", "dense_8bit_tops", exported) / H100_DENSE_8BIT_TOPS
        # Random revisions begin where the path is no longer a reported number.
        self.reported_until = (
            max(
                int(v.period)
                for v in w.select(table="companies", parameter="capex_total")
                if v.kind in ("reported", "derived", "recalled") and v.low is None
            )
            if any(v.low is None for v in w.select(table="companies", parameter="capex_total"))
            else 2025
        )

    @dataclass(frozen=True)
    class Announced:
        """An announced project with a stated size: part of the planned MW, not on top."""

        name: str
        company: int
        country: int
        on: date
        facility_mw: float

    def _announced(self) -> list[Announced]:
        w, f = self.world, self.frame
        found = []
        for name in w.entities("announcements"):
            if not w.has("announcements", "facility_mw", name):
                continue
            country, company = w.text("announcements", "country", name), w.text("announcements", "company", name)
            on = _day(w.text("announcements", "announced_on", name))
            if country in f.countries and f.earliest <= on <= f.end:
                size = w.number("announcements", "facility_mw", name)
                found.append(self.Announced(name, f.companies.index(company), f.countries.index(country), on, size))
        return sorted(found, key=lambda a: (a.on, a.name))

    # ---- one replication

    def draw(
        self,
        seed: int,
        replication: int,
        *,
        assumptions: bool = True,
        luck: bool = True,
        rationing: bool = True,
        moved: Moved | None = None,
    ) -> Draws:
        """All arrays of one replication. `assumptions=False` or `luck=False` puts that side at its middle, but for inputs `moved`;
        without `rationing` the published wait for power counts in every market's appeal."""
        f = self.frame
        x = self.sheet.draw(seed, replication, assumptions, moved)

        def get(name: str) -> Floats:
            return x[self.at[name]]

        def chance(entity: Ints | np.ndarray, aspect: int | np.ndarray, attempt: int | np.ndarray = 0) -> Ints:
            if luck or not np.isscalar(aspect) or aspect in CATEGORIES:
                return bits(seed, replication, entity, aspect, attempt)
            return np.full(np.broadcast_shapes(np.shape(entity), np.shape(attempt)), MEDIAN, dtype=np.int64)

        def pairs(entity: np.ndarray, aspect: int, attempt: int | np.ndarray = 0) -> tuple[Ints, Ints]:
            if luck:
                return pair(seed, replication, entity, aspect, attempt)
            middle = np.full(np.broadcast_shapes(entity.shape, np.shape(attempt)), MEDIAN, dtype=np.int64)
            return middle, middle

        def days(name: str) -> int:
            return round(float(get(name)) * TICKS_PER_DAY)

        def usd_m(name: str) -> int:
            return round(float(get(name)) * 1e6)

        def in_ppm(name: str) -> int:
            return round(float(get(name)) * PPM)

        shares, mix, budgets = self._expected(get, chance)

        def drawn(sheet: Sheet) -> Floats:
            return sheet.draw(seed, replication, assumptions, moved)

        plans = self._plans(get, mix, budgets, chance, drawn)
        roots = self._projects(get, plans.megawatts, chance)
        keys, company, sizes, quarter = roots["key"], roots["company"], roots["mw16"], roots["quarter"]
        n = len(keys)

        cumulative = np.cumsum(plans.vendors[company, :, quarter], axis=1)
        vendor = (chance(keys, Aspect.VENDOR)[:, None] >= (cumulative / cumulative[:, -1:] * 2.0**62).astype(np.int64)).sum(
            axis=1
        )
        vendor = np.minimum(vendor, len(f.vendors) - 1)

        route_share = np.cumsum(plans.routes, axis=2)[company, quarter]
        by_route = route_share / route_share[:, -1:]
        route = np.minimum((chance(keys, Aspect.ROUTE)[:, None] >= (by_route * 2.0**62).astype(np.int64)).sum(axis=1), 3)

        # What the site is wanted for when it comes online; beyond the last stated year the share rises no further.
        inference = np.interp(self.middles[self._due(get)[quarter]], self.inference_years, get("inference_share"))
        workload = np.where(
            chance(keys, Aspect.WORKLOAD) < (inference * 2.0**62).astype(np.int64), Workload.INFERENCE, Workload.TRAINING
        )

        spread = np.empty((n, len(Timed)), dtype=np.int64)
        for timed in Timed:
            table = spread_table(float(get("log_sd")[timed]))
            spread[:, timed] = look_up(table, chance(keys, Aspect.SITE_SELECTION + timed))
        sd = {scope: float(get(f"country_year_luck_log_sd/{scope}")) for scope in ("power", "construction")}
        luck_power = look_up(spread_table(sd["power"]), chance(self.country_years, Aspect.COUNTRY_YEAR_POWER))
        luck_construction = look_up(
            spread_table(sd["construction"]), chance(self.country_years, Aspect.COUNTRY_YEAR_CONSTRUCTION)
        )
        onsite = look_up(spread_table(float(get("onsite_spread_log_sd"))), chance(keys, Aspect.ONSITE_POWER))

        median = self._medians(get)
        deliveries, opening, under_way, fleet = self._chips(get, shares, median)
        ordered_ahead = round(float(get("chip_commitment_lead_days")) / DAYS_PER_YEAR * 12)
        return Draws(
            names=tuple(roots["name"]),
            company=company,
            vendor=vendor,
            route=route,
            planned=roots["tick"],
            mw16=sizes,
            forced_country=roots["country"],
            appeal=self._appeal(get, keys, company, workload, median, self.rationed & rationing, chance),
            median=median,
            spread=spread,
            luck_power=luck_power,
            luck_construction=luck_construction,
            workload=workload,
            **self._phases(get, keys, route, sizes, chance),
            patience=look_up(self.cases["patience"], chance(keys, Aspect.PATIENCE)),
            patience_power=look_up(self.cases["patience_power"], chance(keys, Aspect.PATIENCE_POWER)),
            optimism=round(float(get("optimism_of_own_date")) * FACTOR_ONE),
            security=look_up(self.cases["security"], chance(keys, Aspect.SECURITY)),
            **self._licences(get, pairs, luck),
            authorisation_time=chance(self.company_keys[:, None], Aspect.AUTHORISATION_TIME, np.arange(APPLICATIONS)),
            # One vote of the same agencies on the same standard: the draw is common to all companies.
            authorisation_outcome=np.tile(
                chance(np.array([entity_key("all")], dtype=np.uint64), Aspect.AUTHORISATION_OUTCOME, np.arange(APPLICATIONS)),
                (len(f.companies), 1),
            ),
            authorisation_kept=_exponential(
                chance(self.company_keys, Aspect.AUTHORISATION_KEPT),
                DAYS_PER_YEAR * TICKS_PER_DAY / max(float(get("authorisation_revocation_probability")), 1e-9),
            ),
            deal_time=chance(self.country_keys, Aspect.DEAL_TIME),
            deliveries=deliveries,
            offered=self._offered(deliveries, ordered_ahead, median, drawn),
            commitment_months=ordered_ahead,
            chip_money=self._chip_money(get, budgets),
            stock_ahead=round(float(get("stock_bound_months")) * DAYS_PER_YEAR / 12 * TICKS_PER_DAY),
            **self._scarce(get),
            bridge_lead=days("onsite_time_to_power_days") * onsite >> FRACTION_BITS,
            bridge_trigger=days("bridge_if_power_later_days"),
            front_load_before=days("front_load_before_days"),
            front_load_ready=days("front_load_ready_days"),
            licence_validity=round(float(get("licence_validity_years")) * DAYS_PER_YEAR * TICKS_PER_DAY),
            licence_forecast=days("licence_forecast_days"),
            let_after=days("let_to_other_use_days"),
            value_usd=round(float(get("revenue_per_gw_year")) * 1e6 / DAYS_PER_YEAR / MW_SIXTEENTHS),
            recovery_ppm=in_ppm("sunk_cost_recovery"),
            opening_stock=opening,
            under_way=under_way,
            under_way_ticks=int(
                median[[Timed.SHIPPING, Timed.INSTALLATION, Timed.COMMISSIONING]].sum(axis=0)[f.market_country == f.home].mean()
            ),
            fleet_chips=fleet,
            route_factor=self._route_factors(get),
            interconnection_lead=days("interconnection_lead_days"),
            filing_lead=days("licence_filing_lead_days"),
            smallest_share_ppm=in_ppm("smallest_acceptable_share"),
            largest_filings=int(get("largest_filings")),
            largest_hop=min(int(get("largest_successors")), HOPS - 1),
            choice_training=round(float(get("choice_training_wait_multiple")) * FACTOR_ONE),
            shell_ahead=days("shell_ahead_of_power_days"),
            planning_horizon=round(float(get("planning_horizon_years")) * DAYS_PER_YEAR * TICKS_PER_DAY),
            choice_per_year=round(float(get("choice_log_per_year_of_wait")) * SCORE_ONE),
            price_usd=np.rint(get("price_usd")).astype(np.int64),
            it_overhead_ppm=round(PPM / self._chip_share(get)),
            shell_usd_per_mw=np.rint(get("construction_cost") * 1e6).astype(np.int64),
            spend_ppm=np.rint(np.append(np.maximum.accumulate(get("sunk_cost_share")), 1.0) * PPM).astype(np.int64),
            idle_shell_usd=usd_m("idle_shell"),
            application_usd=usd_m("internal_cost_per_application"),
            authorisation_usd=usd_m("application_cost"),
            security_ppm=in_ppm("uplift_share_of_construction"),
            opex_usd_per_mw=np.rint(self._energy_usd(get) + float(get("opex_non_energy")) * 1e6).astype(np.int64),
            rent_usd_per_mw=usd_m("leased_shell_rent"),
            bridge_usd_per_mwh=self._bridge_usd(get),
            load_factor_ppm=in_ppm("annual_load_factor"),
            design_ratio_ppm=in_ppm("power_design_ratio"),
            freight_ppm=in_ppm("freight_share_of_chip_price"),
            idle_chip_ppm=round(
                (float(get("discount_rate_real")) / 100 + float(get("warehouse_cost_share_of_chip_price"))) * PPM
            ),
            discount_ppm=round(float(get("discount_rate_real")) / 100 * PPM),
            china=self._china(get),
            after_run=spillovers.after_run(get, self.world, f.accelerators),
        )

    # ---- phases, licences, scarce capacity

    def _phases(self, get: Get, keys: np.ndarray, route: Ints, sizes: Ints, chance: Chance) -> dict[str, Any]:
        """Each project cut into phases, when their shells and tranches of power follow, and the campus it may found.

        The first phase has the size of a first phase (of an expansion: of an increment), those after it that of an increment,
        the last one what is left. Sizes and the interval are ranges of cases, so all of their range is luck.
        """
        to_it = MW_SIXTEENTHS / float(get("power_design_ratio")) / FACTOR_ONE
        least = max(float(get("smallest_project_mw_it")) * MW_SIXTEENTHS, 1.0)

        def size(name: str, aspect: Aspect) -> Ints:
            return np.rint(np.maximum(look_up(self.cases[name], chance(keys, aspect)) * to_it, least)).astype(np.int64)

        step = size("phase_increment", Aspect.PHASE_INCREMENT)
        first = np.where(route == Route.EXPANSION, step, size("first_phase", Aspect.FIRST_PHASE))
        whole = sizes < first * float(get("single_phase_below_first_phases"))
        first = np.where(whole, sizes, np.minimum(first, sizes))
        rest = sizes - first
        later = np.where(rest > 0, np.clip(np.rint(rest / step), 1, PHASES - 1), 0).astype(np.int64)
        f = np.arange(PHASES)
        phase = np.where(f < later[:, None], step[:, None], 0)
        phase[:, 0] = first
        inner = np.maximum(later - 1, 0)
        at = np.nonzero(later)[0]
        phase[at, later[at]] = (rest - inner * step)[at]

        u = chance(keys, Aspect.PHASE_INTERVAL)
        interval = np.choose(route, [look_up(table, u) for table in self.intervals])
        tranche = max(round(float(get("energisation_tranche_mw_facility")) * to_it * FACTOR_ONE), 1)
        between = round(float(get("energisation_tranche_interval_days")) * TICKS_PER_DAY)
        ends = np.cumsum(phase, axis=1)
        grown = look_up(spread_table(float(get("campus_size_log_sd"))), chance(keys, Aspect.CAMPUS_SIZE))
        campus = np.rint(float(get("campus_size_median_mw_facility")) * to_it * grown).astype(np.int64)
        return {
            "phases": later + 1,
            "phase_mw16": phase,
            "shell_offset": interval[:, None] * f,
            "power_offset": (ends - phase) // tranche * between,
            "campus_mw16": np.maximum(campus, sizes),
        }

    def _licences(self, get: Get, pairs: Pairs, luck: bool) -> dict[str, Any]:
        """Everything the licensing office decides by: its staff, the applications of others, and each company's own luck.

        Drawn work, reviewers and applications move the load of the office. Where the applications of others alone would overload
        it for good, and not already at the middle of these inputs, there are more reviewers.
        """
        work = float(get("licence_review_work_days"))
        yearly = float(get("licence_applications_per_year"))
        most = max(float(get("licence_review_most_utilisation")), self.office_load)
        needed = yearly * work / DAYS_PER_YEAR / most
        filing = np.arange(FILINGS)
        own_work, clock = pairs(self.licence_keys[:, :, None], Aspect.LICENCE_REVIEW, filing)
        stop, stop_length = pairs(self.licence_keys[:, :, None], Aspect.LICENCE_STOP, filing)
        outcome, refile = pairs(self.licence_keys[:, :, None], Aspect.LICENCE_OUTCOME, filing)

        # From a year before the start; without luck every gap is the median one, ln 2, so that there are more of them.
        years = (self.frame.end - self.frame.start).days / DAYS_PER_YEAR + 1
        cases = yearly * years * OFFICE_GROWTH / (1.0 if luck else np.log(2))
        block = np.arange(int(cases + 6 * np.sqrt(cases)) + 20)
        office = np.array([entity_key(f"office/{i}") for i in range(int(block[-1]) // OFFICE_BLOCK + 1)], dtype=np.uint64)
        gaps, others = pairs(office[block // OFFICE_BLOCK], Aspect.OFFICE, block % OFFICE_BLOCK)

        needs, length = pairs(self.chip_keys, Aspect.CLASSIFICATION)
        needed_below = threshold(float(get("classification_needed_probability")))
        classified = np.where(needs < needed_below, look_up(self.cases["classification"], length), 0)
        national, granted = pairs(self.licence_keys, Aspect.NATIONAL_AUTHORISATION)
        return {
            "refile": look_up(self.cases["refile"], refile),
            "licence_work": _exponential(own_work, work * TICKS_PER_DAY),
            "licence_clock": clock,
            "licence_stop": stop,
            "licence_stop_length": stop_length,
            "licence_outcome": outcome,
            "reviewers": max(round(float(get("licence_reviewers_effective"))), int(np.ceil(needed)), 1),
            "office_gaps": _exponential(gaps, FACTOR_ONE),
            "office_work": _exponential(others, work * TICKS_PER_DAY),
            "office_factor": round(yearly / float(get("licence_applications_reference")) * FACTOR_ONE),
            "classification": np.tile(classified, (len(self.frame.companies), 1)),
            "nveu_time": national,
            "nveu_outcome": granted,
        }

    def _scarce(self, get: Get) -> dict[str, Any]:
        """What is handed out: grid connections of the rationed markets, construction capacity, on-site generation."""
        f = self.frame
        to_it = MW_SIXTEENTHS / float(get("power_design_ratio"))
        yearly = np.maximum(get("grid_mw_per_year") * float(get("grid_share_of_four")) * to_it, 1e-3)
        published = get("grid_connection_days")
        works = np.minimum(float(get("grid_works_days")), published)
        # A newcomer waits for the backlog and then for its own connection; for one of the middle size that is the published time.
        own = float(get("project_size_median_mw_facility")) * to_it / yearly * DAYS_PER_YEAR
        growth = 1 + float(get("concurrent_construction_growth"))
        years = np.array(f.years) - self.crew_year
        crews = get("crews")[None] * growth ** years[:, None] * to_it

        month = np.array([day.year + (day.month - 0.5) / 12 for day in f.months])
        return {
            "grid_ticks": np.rint(DAYS_PER_YEAR * TICKS_PER_DAY / yearly).astype(np.int64),
            "grid_backlog": np.rint(np.maximum(published - own, 0.0) * TICKS_PER_DAY).astype(np.int64),
            "grid_works": np.rint(works * TICKS_PER_DAY).astype(np.int64),
            "crew_limit": np.rint(crews).astype(np.int64),
            "bridge_supply": _whole(self._onsite_mw(get, month) / 12 * to_it),
        }

    def _onsite_mw(self, get: Get, when: Floats) -> Floats:
        """On-site generation that reaches the four companies, facility MW a year, at points in time (calendar years): equipment
        worldwide grows as between the stated years, before and after them too."""
        supply, stated = np.log(get("onsite_supply")), self.onsite_years
        slope = (supply[-1] - supply[0]) / (stated[-1] - stated[0])
        outside = np.minimum(when - stated[0], 0) + np.maximum(when - stated[-1], 0)
        return np.exp(np.interp(when, stated, supply) + slope * outside) * float(get("onsite_supply_share_to_four"))

    def _power_expected(self, get: Get) -> Floats:
        """(long quarters,) IT MW for which the four companies together can expect power in a quarter, grid and on-site.

        Grid where they build: that of the home country, and abroad in the proportion of their fleets, not all there is anywhere.
        """
        fleets = np.zeros((len(self.frame.companies), len(self.frame.countries)))
        fleets[self.fleet_pairs[:, 0], self.fleet_pairs[:, 1]] = get("fleet_share")
        at_home = (fleets[:, self.frame.home] / fleets.sum(axis=1)).mean()
        home = get("grid_mw_per_year")[self.frame.market_country == self.frame.home].sum()
        grid = home / max(at_home, 1e-9) * float(get("grid_share_of_four"))
        return (grid + self._onsite_mw(get, self.long_middle)) / float(get("power_design_ratio")) / 4

    # ---- costs

    def _energy_usd(self, get: Get) -> Floats:
        """(M,) USD a year for the energy of a MW of IT, at the average load and the country's annual PUE."""
        hours = DAYS_PER_YEAR * 24 * float(get("annual_load_factor"))
        return get("electricity_price") * get("pue")[self.frame.market_country] * hours

    def _bridge_usd(self, get: Get) -> int:
        """Thousandths of a USD by which a MWh of gas engines is dearer than the grid of the median home market."""
        grid = float(np.median(get("electricity_price")[self.frame.market_country == self.frame.home]))
        return round(max(float(get("onsite_cost/engine")) - grid, 0.0) * 1000)

    def _china(self, get: Get) -> spillovers.ChinaPaths:
        """China's compute in this replication, apart from what the law of a scenario changes."""
        merchants = [self.frame.vendors.index(vendor) for vendor in spillovers.MERCHANTS]
        merchant = get("shipped")[merchants][:, self.month_supply].sum(axis=0) / 3
        past, ahead = self.per_past_chip, self.per_chip
        return spillovers.paths(get, self.china_inputs, self.frame.months, merchant, ahead, past, self.exported)

    def _chip_share(self, get: Get) -> float:
        return max(1.0 - float(get("network_share_of_it_capex")) - float(get("server_share_of_it_capex")), self.least_chip_share)

    def _shares_bought(self, get: Get) -> Floats:
        """(K, V, supply quarters) share of each vendor's output that each company takes; a vendor's shares never exceed one."""
        f = self.frame
        by_year = np.zeros((len(f.companies), len(f.vendors), 10))
        by_year[self.bought_pairs[:, 0], self.bought_pairs[:, 1]] = get("bought")
        by_year /= np.maximum(by_year.sum(axis=0, keepdims=True), 1.0)
        return by_year[:, :, np.array([int(q[:4]) - 2022 for q in self.supply_quarters])]

    def _mix(self, get: Get, shares: Floats) -> tuple[Floats, Floats]:
        """MW by (company, vendor, plan quarter) implied by deliveries, and watts per h100e by (vendor, supply quarter)."""
        f = self.frame
        watts_per_h100e = np.zeros((len(f.vendors), len(self.supply_quarters)))
        np.add.at(watts_per_h100e, f.vendor_of, self.generation * (get("it_power_w") / (self.h100e / PPM))[:, None])
        megawatts = shares * (get("shipped") * watts_per_h100e / 1e6)[None]
        return megawatts[:, :, self.supply_positions], watts_per_h100e

    def _long_quarters(self) -> list[str]:
        """Plan quarters and three years more: money and chips arrive a lead after the plan."""
        last = self.frame.years[-1]
        return self.frame.quarters + [f"{y}Q{q}" for y in range(last + 1, last + 4) for q in (1, 2, 3, 4)]

    def _budgets(self, get: Get, mix: Floats, watts_per_h100e: Floats, chance: Chance) -> Budgets:
        """What companies have for AI, and what a MW of IT costs them, by quarter (real USD)."""
        f = self.frame
        money = get("capex_total") * get("share_capex_ai") * 1e9
        years = np.arange(2019, 2032)
        money = money / (1 + float(get("inflation"))) ** (years - BASE_YEAR)
        path = np.stack([np.interp(self.middles, years + 0.5, row) for row in money]) / 4

        # Persistent revisions, part common to all companies, from the first quarter that is not a reported number.
        open_from = self.long_years > self.reported_until
        z = normal(chance(self.budget_keys, Aspect.BUDGET))
        common = float(get("budget_revision_common_share"))
        step = np.sqrt(common) * z[:1] + np.sqrt(1 - common) * z[1:]
        revised = np.exp(np.cumsum(float(get("budget_revision_sd_quarterly")) * step * open_from, axis=1))

        # Cost per MW of IT, bottom-up by the mix of vendors and generations.
        a_share = self.generation * (get("it_power_w") / (self.h100e / PPM))[:, None]
        price = np.zeros_like(watts_per_h100e)
        np.add.at(price, f.vendor_of, a_share * (get("price_usd") / get("it_power_w"))[:, None])
        per_mw = price / np.maximum(watts_per_h100e, 1e-9) * 1e6 / self._chip_share(get)
        weight = mix / np.maximum(mix.sum(axis=1, keepdims=True), 1e-12)
        it_cost = (weight * per_mw[:, self.supply_positions][None]).sum(axis=1)
        route = get("route_share") / get("route_share").sum(axis=2, keepdims=True)
        shell = (1 - route[:, self.spans, Route.LEASED]) * float(get("capex_construction")) * 1e6
        return Budgets(path, revised, it_cost, shell)

    def _chip_money(self, get: Get, budgets: Budgets) -> Ints:
        """(T, K) thousands of USD a month for chips, servers and network: of the budget as revised by then, and what is borrowed
        or prepaid on top, the share that the cost of a MW gives to IT."""
        share = budgets.it_cost / (budgets.it_cost + budgets.shell)
        money = budgets.path * budgets.revised * share * float(get("financing_over_ai_budget"))
        return _whole(money[:, self.month_quarter].T / 3 / 1000)

    def _expected(self, get: Get, chance: Chance) -> tuple[Floats, Floats, Budgets]:
        """Shares bought, MW of each vendor's chips by company, and budgets: what this world gives, by quarter."""
        shares = self._shares_bought(get)
        mix, watts_per_h100e = self._mix(get, shares)
        return shares, mix, self._budgets(get, mix, watts_per_h100e, chance)

    def _reader(self, drawn: Callable[[Sheet], Floats]) -> Get:
        """Inputs of this world by name, in the replication that `drawn` plays."""
        x = drawn(self.sheet)
        return lambda name: x[self.at[name]]

    def _due(self, get: Get) -> Ints:
        """(plan quarters,) the quarter in which what is planned in each should come online."""
        last = len(self.middles) - 1
        return np.minimum(np.arange(len(self.frame.quarters)) + round(float(get("nominal_lead_quarters"))), last)

    def _plans(self, get: Get, mix: Floats, budgets: Budgets, chance: Chance, drawn: Callable[[Sheet], Floats]) -> Plans:
        """What companies plan: by this world, but before the day on which they learn of it by the one they expect until then.

        `drawn` gives the inputs of a sheet in this replication.
        """
        plans = len(self.frame.quarters)
        own = Plans(
            self._planned_mw(get, mix, budgets, chance), mix[:, :, self._due(get)], get("route_share")[:, self.spans[:plans]]
        )
        if self.earlier is None:
            return own
        learnt, before = self.earlier
        get_before = before._reader(drawn)
        _, mix, budgets = before._expected(get_before, chance)
        known = np.array([quarter_start(q) >= learnt for q in self.frame.quarters])
        return before._plans(get_before, mix, budgets, chance, drawn).until(known, own)

    def _offered(self, deliveries: Ints, ordered_ahead: int, median: Ints, drawn: Callable[[Sheet], Floats]) -> Ints | None:
        """(T, K, A) chips offered when they are ordered, so many months ahead: what is ordered before companies learn of a change is
        what they expect until then. None where nothing is unforeseen."""
        if self.earlier is None:
            return None
        learnt, before = self.earlier
        get_before = before._reader(drawn)
        theirs = before._chips(get_before, before._shares_bought(get_before), median)[0]
        theirs = theirs if (still := before._offered(theirs, ordered_ahead, median, drawn)) is None else still
        month = np.array([day.year * 12 + day.month for day in self.frame.months]) - ordered_ahead
        return np.where((month >= learnt.year * 12 + learnt.month)[:, None, None], deliveries, theirs)

    def _planned_mw(self, get: Get, mix: Floats, budgets: Budgets, chance: Chance) -> Floats:
        """(K, plan quarters) MW of IT planned: the AI budget then expected for one lead later over the company's own cost per MW,
        but not far above the chips and the power expected by then."""
        f = self.frame
        lead = round(float(get("nominal_lead_quarters")))
        plans = len(f.quarters)
        due = slice(lead, lead + plans)
        # Later revisions are not known yet. No company plans far more shells than it can expect chips for.
        budget = budgets.path[:, due] * budgets.revised[:, :plans]
        expected = mix.sum(axis=1) * float(get("plan_over_expected_chips"))
        planned = np.minimum(budget / (budgets.it_cost + budgets.shell)[:, due], expected[:, due])
        # Nor far more than all together can expect power for; what is too much is cut in proportion.
        power = self._power_expected(get)[due] * float(get("plan_over_expected_power"))
        planned *= np.minimum(power / np.maximum(planned.sum(axis=0), 1e-9), 1.0)

        # Rare pauses: nothing is planned for a while, and what was due follows over as long again.
        years_of = self.long_years[:plans]
        pauses = chance(self.pause_keys, Aspect.PAUSE) < threshold(float(get("pause_probability")))
        pauses &= np.array([year > self.reported_until for year in f.years])[None]  # the past is known
        length = max(round(float(get("pause_duration_days")) / (DAYS_PER_YEAR / 4)), 1)
        out = planned.copy()
        for k, y in zip(*np.nonzero(pauses), strict=True):
            first = int(np.argmax(years_of == f.years[y]))
            again = min(first + length, plans - 1)
            after = slice(again, min(again + length, plans))
            out[k, after] += out[k, first:again].sum() / (after.stop - after.start)
            out[k, first:again] = 0.0
        return out

    def _span(self, year: int) -> int:
        """Which stated route mix holds in a year."""
        return next((i for i, (first, last) in enumerate(self.route_spans) if first <= year <= last), len(self.route_spans) - 1)

    def _supply_position(self, quarter: str) -> int:
        if quarter < self.supply_quarters[0]:
            return 0
        return self.supply_quarters.index(quarter) if quarter in self.supply_quarters else len(self.supply_quarters) - 1

    def _projects(self, get: Get, planned_mw: Floats, chance: Chance) -> dict[str, np.ndarray]:
        """Planned MW cut into clusters: announced ones first, then sizes from the size distribution until the plan is used."""
        f = self.frame
        ratio = float(get("power_design_ratio"))
        largest = float(get("largest_project_mw_facility")) / ratio
        smallest = float(get("smallest_project_mw_it"))
        median = float(get("project_size_median_mw_facility")) / ratio
        table = spread_table(float(get("project_size_log_sd")))

        def sizes(keys: np.ndarray) -> Floats:
            return np.clip(median * look_up(table, chance(keys, Aspect.SIZE)) / FACTOR_ONE, smallest, largest)

        usual = sizes(self.root_keys[:, :, :USUAL_ORDINALS])

        plans = planned_mw.copy()
        announced_it = np.array([a.facility_mw / facility_mw(1.0, ratio) for a in self.announced])
        due = np.array([f.quarters.index(quarter_of(a.on)) for a in self.announced], dtype=np.int64)
        for a, it, q in zip(self.announced, announced_it, due, strict=True):
            plans[a.company, q] -= it  # a plan larger than the quarter's eats into the next ones
        cumulative = np.maximum.accumulate(np.maximum(np.cumsum(plans, axis=1), 0.0), axis=1)
        rows: dict[str, list[np.ndarray]] = {name: [] for name in ("key", "company", "quarter", "mw16", "ordinal")}
        carried = np.zeros(len(f.companies))
        for q in range(len(f.quarters)):
            room = cumulative[:, q] - (cumulative[:, q - 1] if q else 0.0) + carried
            size = usual[:, q]
            ends = np.cumsum(size, axis=1)
            if (ends[:, -1] <= room).any():
                size = sizes(self.root_keys[:, q])
                ends = np.cumsum(size, axis=1)
            whole = ends <= room[:, None]
            built = np.where(whole, size, 0.0)
            left = room - built.sum(axis=1)
            last = whole.sum(axis=1)
            fits = (left >= smallest) & (last < ORDINALS)
            built[np.nonzero(fits)[0], last[fits]] = left[fits]  # the last cluster takes what is left
            carried = np.where(fits, 0.0, left)  # too little for a cluster, or more than a quarter can start
            k, i = np.nonzero(built)
            rows["key"].append(self.root_keys[k, q, i])
            rows["company"].append(k)
            rows["quarter"].append(np.full(len(k), q))
            rows["ordinal"].append(i)
            rows["mw16"].append(np.rint(built[k, i] * 16).astype(np.int64))
        joined = {name: np.concatenate(parts) for name, parts in rows.items()}
        names = [a.name for a in self.announced] + [
            self.root_names[k][q][i]
            for k, q, i in zip(joined["company"].tolist(), joined["quarter"].tolist(), joined["ordinal"].tolist(), strict=True)
        ]
        key = np.concatenate([self.announced_keys, joined["key"]])
        quarter = np.concatenate([due, joined["quarter"]])
        inside = chance(key, Aspect.PLAN_DAY)
        first = self.quarter_ticks[quarter]
        days = (inside >> 32) * self.quarter_days[quarter] >> 30  # a day of the quarter
        tick = first + days * TICKS_PER_DAY
        tick[: len(due)] = [tick_of(a.on, f.start) for a in self.announced]
        return {
            "name": np.array(names, dtype=object),
            "key": key,
            "company": np.concatenate([np.array([a.company for a in self.announced], dtype=np.int64), joined["company"]]),
            "country": np.concatenate(
                [np.array([a.country for a in self.announced], dtype=np.int64), np.full(len(joined["key"]), -1)]
            ),
            "quarter": quarter,
            "mw16": np.concatenate([np.array([mw16(it) for it in announced_it], dtype=np.int64), joined["mw16"]]),
            "tick": tick,
        }

    def _medians(self, get: Get) -> Ints:
        """(8, M) median ticks of each timed stage by market, on the classic route."""
        construction = get("construction_days")[self.frame.market_country]
        split = get("construction_split") / get("construction_split").sum()
        m = len(construction)
        days = {
            Timed.SITE_SELECTION: np.full(m, get("site_selection_days")[Route.CLASSIC]),
            Timed.INTERCONNECTION: get("grid_connection_days"),
            Timed.PERMITTING: get("permit_days"),
            Timed.CONSTRUCTION: construction * split[0],
            Timed.FIT_OUT: construction * split[1],
            Timed.SHIPPING: np.full(m, float(get("shipping_days"))),
            Timed.INSTALLATION: np.full(m, float(get("installation_days"))),
            # `construction_days` ends with commissioning and holds the racks' installation in it.
            Timed.COMMISSIONING: np.maximum(construction * split[2] - float(get("installation_days")), 0.0),
        }
        return np.rint(np.stack([days[t] for t in Timed]) * TICKS_PER_DAY).astype(np.int64)

    def _route_factors(self, get: Get) -> Ints:
        """(4, 8) multiplier of the classic median by route and timed stage, in 2**-20."""
        factor = np.ones((4, len(Timed)))
        site = get("site_selection_days")
        factor[:, Timed.SITE_SELECTION] = site / site[Route.CLASSIC]
        factor[:, Timed.INTERCONNECTION] = get("interconnection_factor")
        factor[:, Timed.PERMITTING] = get("permit_factor")
        for timed in (Timed.CONSTRUCTION, Timed.FIT_OUT, Timed.COMMISSIONING):  # it is a ratio of the whole
            factor[:, timed] = get("construction_factor")
        return np.rint(factor * FACTOR_ONE).astype(np.int64)

    def _appeal(
        self,
        get: Get,
        keys: np.ndarray,
        company: Ints,
        workload: Ints,
        median: Ints,
        rationed: NDArray[np.bool_],
        chance: Chance,
    ) -> Ints:
        """(R, M) score of every market before law: footprint, what the site is for, cost, expected wait for power, and taste.

        In a rationed market the wait for power is that of the day, so the engine adds it. Training minds a wait more.
        """
        f = self.frame
        footprint = np.zeros((len(f.companies), len(f.countries)))
        footprint[self.fleet_pairs[:, 0], self.fleet_pairs[:, 1]] = get("fleet_share")
        footprint /= footprint.sum(axis=1, keepdims=True)
        grid = get("grid_mw_per_year")
        by_country = np.bincount(f.market_country, weights=grid, minlength=len(f.countries))
        # Countries without a site are entered for their customers, or for their power.
        open_grid = np.bincount(f.market_country, weights=np.where(self.closed, 0.0, grid), minlength=len(f.countries))
        towards = np.empty((len(Workload), len(f.countries)))
        towards[Workload.INFERENCE] = get("demand_share") / get("demand_share").sum()
        towards[Workload.TRAINING] = open_grid / max(open_grid.sum(), 1e-9)
        floor = float(get("choice_floor_share"))
        weight = (1 - floor) * footprint[None] + floor * towards[:, None]  # workload, company, country
        weight[:, :, f.home] *= np.exp(float(get("home_preference_log")))
        # A country may have no room for new connections at all; its markets are then as good as closed.
        within = grid / np.maximum(by_country, 1e-9)[f.market_country]
        utility = np.log(np.maximum(weight[:, :, f.market_country] * within, 1e-12))

        rate = max(float(get("discount_rate_real")) / 100, 1e-6)
        yearly = rate / (1 - (1 + rate) ** -float(get("facility_life")))
        cost = get("construction_cost") * 1e6 * yearly + self._energy_usd(get)
        relative = cost / np.median(cost[f.market_country == f.home]) - 1
        years = median[Timed.INTERCONNECTION] / TICKS_PER_DAY / DAYS_PER_YEAR
        minded = np.where(rationed, 0.0, years)[None] + np.zeros((len(Workload), 1))
        minded[Workload.TRAINING] *= float(get("choice_training_wait_multiple"))
        utility += (float(get("choice_log_per_year_of_wait")) * minded + float(get("choice_log_per_relative_cost")) * relative)[
            :, None
        ]
        u = chance(keys[:, None], self.market_words[None])
        gumbel = -np.log(-np.log((u >> 10).astype(np.float64) * 2.0**-52 + 2.0**-54))
        score = utility[workload, company] + float(get("choice_taste_scale")) * gumbel
        return np.where(self.closed[None], BARRED, np.rint(score * SCORE_ONE).astype(np.int64))

    def _chips(self, get: Get, shares: Floats, median: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Monthly deliveries (T, K, A), opening stock (K, A), under way (K, A), opening fleet (K, C, A), in whole chips."""
        f = self.frame
        by_quarter = (
            shares[:, f.vendor_of] * (get("shipped")[f.vendor_of] * self.generation)[None] / (self.h100e / PPM)[None, :, None]
        )
        deliveries = _whole(np.moveaxis(by_quarter[:, :, self.month_supply] / 3, 2, 0))

        last_year = [i for i, q in enumerate(self.supply_quarters) if q[:4] == str(f.start.year - 1)]
        opening = np.floor(by_quarter[:, :, last_year].sum(axis=2) * get("chips_waiting")[:, None]).astype(np.int64)
        before = [i for i, q in enumerate(self.supply_quarters) if int(q[:4]) < f.start.year]
        received = by_quarter[:, :, before].sum(axis=2) * (self.h100e / PPM)
        groups = np.array([{"nvidia": 0, "amd": 2}.get(v, 1) for v in f.vendors])[f.vendor_of]
        held = get("held")
        in_group = np.stack([np.where(groups == g, received, 0.0).sum(axis=1) for g in range(3)], axis=1)
        scale = np.where(in_group > 0, held / np.maximum(in_group, 1e-9), 0.0)
        kept = received * scale[:, groups] / (self.h100e / PPM)
        opening = np.minimum(opening, np.floor(kept).astype(np.int64))  # what waits is part of what is held
        # What arrived within the time it takes to ship and install is on its way to sites; the rest of the holding runs.
        late = median[[Timed.SHIPPING, Timed.INSTALLATION, Timed.COMMISSIONING]].sum(axis=0)[f.market_country == f.home].mean()
        quarters = float(late) / TICKS_PER_DAY / (DAYS_PER_YEAR / 4)
        under_way = np.floor(np.minimum(by_quarter[:, :, before[-1]] * quarters, kept - opening)).astype(np.int64)
        running = kept - opening - under_way
        footprint = np.zeros((len(f.companies), len(f.countries)))
        footprint[self.fleet_pairs[:, 0], self.fleet_pairs[:, 1]] = get("fleet_share")
        footprint /= footprint.sum(axis=1, keepdims=True)
        fleet = np.floor(footprint[:, :, None] * running[:, None, :]).astype(np.int64)
        return deliveries, opening, under_way, fleet


CASES = {
    "patience": ("patience_days_licence", "", TICKS_PER_DAY),
    "patience_power": ("patience_days_power", "", TICKS_PER_DAY),
    "refile": ("refile_days", "", TICKS_PER_DAY),
    "classification": ("classification_days", "", TICKS_PER_DAY),
    "security": ("security_authorisation_months", "new_site", round(DAYS_PER_YEAR / 12 * TICKS_PER_DAY)),
    "first_phase": ("first_phase_mw_facility", "", FACTOR_ONE),
    "phase_increment": ("phase_increment_mw_facility", "", FACTOR_ONE),
}
"""Inputs whose stated range is one of cases, not of a median, so that all of it is luck: parameter, scope, integers per unit."""
BASE_YEAR = 2025
"""Money is real US dollars of this year: the year of the cost tables."""


def _day(text: str) -> date:
    """A day from `2025-11-03`, `2025-11` (its first day) or `2025`."""
    parts = [int(part) for part in text.split("-")]
    return date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)


def cases_table(value: Value, scale: int) -> Ints:
    """(1025,) quantiles of a range of cases (not of a median), times `scale`: for `draws.look_up`. The tails are cut as there."""
    p = np.clip(np.linspace(0.0, 1.0, TABLE_POINTS), TAIL, 1 - TAIL)
    return np.rint(quantile(value, p) * scale).astype(np.int64)


def _whole(amounts: Floats) -> Ints:
    """Amounts by month (first axis) as whole numbers that add up: differences of the rounded running total."""
    total = np.floor(np.cumsum(amounts, axis=0)).astype(np.int64)
    total[1:] -= total[:-1].copy()
    return total


def _exponential(whole: Ints, mean: float) -> Ints:
    """Exponential lengths with a mean in ticks (or another integer unit), never beyond any horizon."""
    return np.minimum(np.rint(-np.log(uniform(whole)) * mean), NEVER).astype(np.int64)
