"""One replication's assumptions and luck: from the world's ranges to `Draws`.

Assumptions (what we do not know) and luck (what nobody can know) are drawn under separate keys. A whole series is one
assumption: if 2027 is high, so is 2028. Inputs of one parameter share part of their error, because they share sources.
Nothing here depends on policy, so scenarios with the same inputs share their draws replication by replication.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from simulator import spillovers
from simulator.draws import Z90, Aspect, Floats, Ints, bits, entity_key, look_up, market_aspect, normal, spread_table
from simulator.static import BARRED, Draws, Route, Timed
from simulator.units import (
    DAYS_PER_YEAR,
    FACTOR_ONE,
    H100_DENSE_8BIT_TOPS,
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

WARM_UP_YEARS = 5
ORDINALS = 256
"""Most projects a company plans in a quarter; what is left is planned in the next one."""
FILINGS = 8
HOPS = 5
CATEGORIES = (Aspect.SIZE, Aspect.ROUTE, Aspect.VENDOR, Aspect.PLAN_DAY)
"""What a project is, rather than how it fares: drawn even where luck is switched off, as is its taste for markets."""
MEDIAN = 1 << 61
"""The uniform integer in the middle, used for every draw when luck or assumptions are switched off."""


class Sheet:
    """Uncertain inputs as arrays, so that one replication draws all of them at once. Same meaning as `distributions.quantile`."""

    def __init__(self, values: list[Value], correlation: float):
        from scipy.special import ndtri

        from simulator.distributions import TAILS
        from simulator.world import UNITS

        self.index = {value.key: i for i, value in enumerate(values)}
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

    def draw(self, seed: int, replication: int, uncertain: bool = True) -> Floats:
        """Values of all inputs, in order; every one at its middle if not `uncertain` (a triangle at its median)."""
        if uncertain:
            own = normal(bits(seed, replication, self.own, Aspect.ASSUMPTION))
            shared = normal(bits(seed, replication, self.shared, Aspect.ASSUMPTION))
            z = self.weight[0] * shared + self.weight[1] * own
        else:
            z = np.zeros(len(self.mode))
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

    @property
    def months(self) -> list[date]:
        """Last days of the months of the run."""
        return month_ends(self.start, self.end)

    @property
    def years(self) -> range:
        """Calendar years from the oldest plans to the end."""
        return range(self.earliest.year, self.end.year + 1)

    @property
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


class Sampler:
    """Draws replications for one world and horizon. Building it reads the world once; `draw` is then pure arithmetic."""

    def __init__(self, world: World, frame: Frame):
        self.world, self.frame = world, frame
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
        self.country_years = np.array([[entity_key(f"{c}/{y}") for c in f.countries] for y in f.years], dtype=np.uint64)
        closed = {v.entity for v in world.select(table="countries", parameter="open_to_us_clouds") if v.text == "n"}
        self.closed = np.array([f.countries[c] in closed for c in f.market_country.tolist()])
        self.company_keys = np.array([entity_key(c) for c in f.companies], dtype=np.uint64)

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
            "relocation_probability_at_patience",
            "interconnection_lead_days",
            "stock_bound_months",
            "plan_over_expected_chips",
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
        ):
            self._one("process", parameter)
        for parameter in ("network_share_of_it_capex", "server_share_of_it_capex", "capex_construction"):
            self._one("costs", parameter)
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

    def draw(self, seed: int, replication: int, *, assumptions: bool = True, luck: bool = True) -> Draws:
        """All arrays of one replication. `assumptions=False` or `luck=False` puts that side at its middle."""
        f = self.frame
        x = self.sheet.draw(seed, replication, assumptions)

        def get(name: str) -> Floats:
            return x[self.at[name]]

        def chance(entity: Ints | np.ndarray, aspect: int | np.ndarray, attempt: int | np.ndarray = 0) -> Ints:
            drawn = bits(seed, replication, entity, aspect, attempt)
            kept = luck or not np.isscalar(aspect) or aspect in CATEGORIES
            return drawn if kept else np.full_like(drawn, MEDIAN)

        shares = self._shares_bought(get)
        mix, watts_per_h100e = self._mix(get, shares)
        planned_mw = self._planned_mw(get, mix, watts_per_h100e, chance)
        roots = self._projects(get, planned_mw, chance)
        keys, company = roots["key"], roots["company"]
        n = len(keys)

        lead = round(float(get("nominal_lead_quarters")))
        at_quarter = np.minimum(roots["quarter"] + lead, mix.shape[2] - 1)
        cumulative = np.cumsum(mix[company, :, at_quarter], axis=1)
        vendor = (chance(keys, Aspect.VENDOR)[:, None] >= (cumulative / cumulative[:, -1:] * 2.0**62).astype(np.int64)).sum(
            axis=1
        )
        vendor = np.minimum(vendor, len(f.vendors) - 1)

        year = np.array([int(q[:4]) for q in f.quarters])[roots["quarter"]]
        span = np.array([self._span(y) for y in year.tolist()], dtype=np.int64)
        route_share = np.cumsum(get("route_share"), axis=2)
        by_route = route_share[company, span] / route_share[company, span][:, -1:]
        route = np.minimum((chance(keys, Aspect.ROUTE)[:, None] >= (by_route * 2.0**62).astype(np.int64)).sum(axis=1), 3)

        spread = np.empty((n, len(Timed)), dtype=np.int64)
        for timed in Timed:
            table = spread_table(float(get("log_sd")[timed]))
            spread[:, timed] = look_up(table, chance(keys, Aspect.SITE_SELECTION + timed))
        sd = {scope: float(get(f"country_year_luck_log_sd/{scope}")) for scope in ("power", "construction")}
        luck_power = look_up(spread_table(sd["power"]), chance(self.country_years, Aspect.COUNTRY_YEAR_POWER))
        luck_construction = look_up(
            spread_table(sd["construction"]), chance(self.country_years, Aspect.COUNTRY_YEAR_CONSTRUCTION)
        )

        median = self._medians(get)
        hop, filing = np.meshgrid(np.arange(HOPS), np.arange(FILINGS), indexing="ij")
        attempt = hop * FILINGS + filing
        deliveries, opening, under_way, fleet = self._chips(get, shares, median)
        # These two are ranges of cases, not of a median: all of the range is luck.
        cases = [self.world.get("process", p) for p in ("patience_days_licence", "refile_days")]
        days = np.array([value.number for value in cases]) * TICKS_PER_DAY
        between = [_log_sd(value) for value in cases]
        return Draws(
            names=tuple(roots["name"]),
            company=company,
            vendor=vendor,
            route=route,
            planned=roots["tick"],
            mw16=roots["mw16"],
            forced_country=roots["country"],
            appeal=self._appeal(get, keys, company, median, chance),
            median=median,
            spread=spread,
            luck_power=luck_power,
            luck_construction=luck_construction,
            patience=np.rint(days[0]).astype(np.int64)
            * look_up(spread_table(between[0], 1024), chance(keys, Aspect.PATIENCE))
            // 1024,
            relocates=(
                chance(keys[:, None], Aspect.RELOCATION, np.arange(HOPS))
                < threshold(float(get("relocation_probability_at_patience")))
            ).astype(np.int64),
            refile=np.rint(days[1]).astype(np.int64)
            * look_up(spread_table(between[1], 1024), chance(keys, Aspect.REFILE))
            // 1024,
            licence_time=chance(keys[:, None, None], Aspect.LICENCE_TIME, attempt),
            licence_outcome=chance(keys[:, None, None], Aspect.LICENCE_OUTCOME, attempt),
            authorisation_time=chance(self.company_keys, Aspect.AUTHORISATION_TIME),
            authorisation_outcome=chance(self.company_keys, Aspect.AUTHORISATION_OUTCOME),
            deliveries=deliveries,
            stock_ahead=round(float(get("stock_bound_months")) * DAYS_PER_YEAR / 12 * TICKS_PER_DAY),
            opening_stock=opening,
            fleet_chips=fleet,
            route_factor=self._route_factors(get),
            interconnection_lead=round(float(get("interconnection_lead_days")) * TICKS_PER_DAY),
            filing_lead=round(float(get("licence_filing_lead_days")) * TICKS_PER_DAY),
            smallest_share_ppm=round(float(get("smallest_acceptable_share")) * PPM),
            largest_filings=int(get("largest_filings")),
            largest_hop=min(int(get("largest_successors")), HOPS - 1),
            choice_per_year=round(float(get("choice_log_per_year_of_wait")) * SCORE_ONE),
            price_usd=np.rint(get("price_usd")).astype(np.int64),
            it_overhead_ppm=round(PPM / self._chip_share(get)),
            shell_usd_per_mw=np.rint(get("construction_cost") * 1e6).astype(np.int64),
            spend_ppm=np.rint(np.append(np.maximum.accumulate(get("sunk_cost_share")), 1.0) * PPM).astype(np.int64),
            idle_shell_usd=round(float(get("idle_shell")) * 1e6),
            application_usd=round(float(get("internal_cost_per_application")) * 1e6),
            under_way=under_way,
            china=self._china(get),
            under_way_ticks=int(
                median[[Timed.SHIPPING, Timed.INSTALLATION, Timed.COMMISSIONING]].sum(axis=0)[f.market_country == f.home].mean()
            ),
            authorisation_usd=round(float(get("application_cost")) * 1e6),
            security_ppm=round(float(get("uplift_share_of_construction")) * PPM),
        )

    def _china(self, get: Get) -> spillovers.ChinaPaths:
        """China's compute in this replication, apart from what the law of a scenario changes."""
        merchants = [self.frame.vendors.index(vendor) for vendor in spillovers.MERCHANTS]
        position = [self._supply_position(quarter_of(day)) for day in self.frame.months]
        merchant = get("shipped")[merchants][:, position].sum(axis=0) / 3
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
        position = np.clip(
            [
                self.supply_quarters.index(q)
                if q in self.supply_quarters
                else (0 if q < self.supply_quarters[0] else len(self.supply_quarters) - 1)
                for q in self._long_quarters()
            ],
            0,
            len(self.supply_quarters) - 1,
        )
        return megawatts[:, :, position], watts_per_h100e

    def _long_quarters(self) -> list[str]:
        """Plan quarters and three years more: money and chips arrive a lead after the plan."""
        last = self.frame.years[-1]
        return self.frame.quarters + [f"{y}Q{q}" for y in range(last + 1, last + 4) for q in (1, 2, 3, 4)]

    def _planned_mw(self, get: Get, mix: Floats, watts_per_h100e: Floats, chance: Chance) -> Floats:
        """(K, plan quarters) MW of IT planned: the AI budget one lead later over the company's own cost per MW (real USD), but
        not far above the chips expected by then."""
        f, quarters = self.frame, self._long_quarters()
        money = get("capex_total") * get("share_capex_ai") * 1e9
        years = np.arange(2019, 2032)
        money = money / (1 + float(get("inflation"))) ** (years - BASE_YEAR)
        middle = np.array([int(q[:4]) + (int(q[5]) - 0.5) / 4 for q in quarters])
        budget = np.stack([np.interp(middle, years + 0.5, row) for row in money]) / 4

        # Persistent revisions, part common to all companies, from the first quarter that is not a reported number.
        open_from = np.array([int(q[:4]) > self.reported_until for q in quarters])
        names = np.array([[entity_key(f"{who}/{q}") for q in quarters] for who in ("all", *f.companies)], dtype=np.uint64)
        z = normal(chance(names, Aspect.BUDGET))
        common = float(get("budget_revision_common_share"))
        step = np.sqrt(common) * z[:1] + np.sqrt(1 - common) * z[1:]
        budget = budget * np.exp(np.cumsum(float(get("budget_revision_sd_quarterly")) * step * open_from, axis=1))

        # Cost per MW of IT, bottom-up by the mix of vendors and generations.
        a_share = self.generation * (get("it_power_w") / (self.h100e / PPM))[:, None]
        price = np.zeros_like(watts_per_h100e)
        np.add.at(price, f.vendor_of, a_share * (get("price_usd") / get("it_power_w"))[:, None])
        per_mw = price / np.maximum(watts_per_h100e, 1e-9) * 1e6 / self._chip_share(get)
        position = [min(max(self._supply_position(q), 0), len(self.supply_quarters) - 1) for q in quarters]
        weight = mix / np.maximum(mix.sum(axis=1, keepdims=True), 1e-12)
        it_cost = (weight * per_mw[:, position][None]).sum(axis=1)
        route = get("route_share") / get("route_share").sum(axis=2, keepdims=True)
        span = [self._span(int(q[:4])) for q in quarters]
        shell = (1 - route[:, span, Route.LEASED]) * float(get("capex_construction")) * 1e6
        # No company plans far more shells than it can expect chips for; supply is in MW a quarter.
        expected = mix.sum(axis=1) * float(get("plan_over_expected_chips"))
        affordable = np.minimum(budget / (it_cost + shell), expected)

        lead = round(float(get("nominal_lead_quarters")))
        plans = len(f.quarters)
        planned = affordable[:, lead : lead + plans]

        # Rare pauses: nothing is planned for a while, and what was due follows over as long again.
        years_of = np.array([int(q[:4]) for q in f.quarters])
        pause_names = np.array([[entity_key(f"{c}/{y}/pause") for y in f.years] for c in f.companies], dtype=np.uint64)
        pauses = chance(pause_names, Aspect.PAUSE) < threshold(float(get("pause_probability")))
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
        size = np.clip(median * look_up(table, chance(self.root_keys, Aspect.SIZE)) / FACTOR_ONE, smallest, largest)

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
            ends = np.cumsum(size[:, q], axis=1)
            whole = ends <= room[:, None]
            built = np.where(whole, size[:, q], 0.0)
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

    def _appeal(self, get: Get, keys: np.ndarray, company: Ints, median: Ints, chance: Chance) -> Ints:
        """(R, M) score of every market before law: footprint, regional demand, expected wait for power, and taste."""
        f = self.frame
        footprint = np.zeros((len(f.companies), len(f.countries)))
        footprint[self.fleet_pairs[:, 0], self.fleet_pairs[:, 1]] = get("fleet_share")
        footprint /= footprint.sum(axis=1, keepdims=True)
        floor = float(get("choice_floor_share"))
        demand = get("demand_share") / get("demand_share").sum()
        weight = (1 - floor) * footprint + floor * demand[None]
        weight[:, f.home] *= np.exp(float(get("home_preference_log")))
        grid = get("grid_mw_per_year")
        # A country may have no room for new connections at all; its markets are then as good as closed.
        within = (
            grid / np.maximum(np.bincount(f.market_country, weights=grid, minlength=len(f.countries)), 1e-9)[f.market_country]
        )
        utility = np.log(np.maximum(weight[:, f.market_country] * within[None], 1e-12))
        years = median[Timed.INTERCONNECTION] / TICKS_PER_DAY / DAYS_PER_YEAR
        utility = utility + float(get("choice_log_per_year_of_wait")) * years[None]
        u = chance(keys[:, None], self.market_words[None])
        gumbel = -np.log(-np.log((u >> 10).astype(np.float64) * 2.0**-52 + 2.0**-54))
        score = utility[company] + float(get("choice_taste_scale")) * gumbel
        return np.where(self.closed[None], BARRED, np.rint(score * SCORE_ONE).astype(np.int64))

    def _chips(self, get: Get, shares: Floats, median: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Monthly deliveries (T, K, A), opening stock (K, A), under way (K, A), opening fleet (K, C, A), in whole chips."""
        f = self.frame
        by_quarter = (
            shares[:, f.vendor_of] * (get("shipped")[f.vendor_of] * self.generation)[None] / (self.h100e / PPM)[None, :, None]
        )
        position = [self._supply_position(quarter_of(day)) for day in f.months]
        exact = np.cumsum(np.moveaxis(by_quarter[:, :, position] / 3, 2, 0), axis=0)
        # Whole chips that add up: differences of the rounded running total.
        whole = np.floor(exact).astype(np.int64)
        deliveries = whole.copy()
        deliveries[1:] -= whole[:-1]

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


BASE_YEAR = 2025
"""Money is real US dollars of this year: the year of the cost tables."""


def _day(text: str) -> date:
    """A day from `2025-11-03`, `2025-11` (its first day) or `2025`."""
    parts = [int(part) for part in text.split("-")]
    return date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)


def _log_sd(value: Value) -> float:
    """Spread between cases read off a stated p10-p90 range of cases (patience and refiling are ranges of cases, not of a median)."""
    if value.low is None or value.high is None:
        return 0.0
    return float(np.log(value.high / value.low) / (2 * Z90))
