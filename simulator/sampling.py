"""One replication's assumptions and luck: from the world's ranges to `Draws`.

Assumptions (what we do not know) and luck (what nobody can know) are drawn under separate keys. A whole series is one
assumption: if 2027 is high, so is 2028. Inputs of one parameter share part of their error, because they share sources.
Nothing here depends on policy, so scenarios with the same inputs share their draws replication by replication.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator import spillovers
from simulator.distributions import quantile
from simulator.draws import (
    BITS,
    FRACTION_BITS,
    TABLE_POINTS,
    TAIL,
    Aspect,
    Floats,
    Ints,
    counter_word,
    entity_key,
    market_aspect,
    normal,
    spread_tables,
)
from simulator.static import FILINGS, PHASES, Draws, Route, Timed, Workload
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

Keys: TypeAlias = NDArray[np.uint64]

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
TASTES_AT_ONCE = 512
"""Projects for which tastes are drawn at a time, so that the numbers stay near the processor while they are worked on"""
OFFICE_BLOCK = 4096
"""Applications of others under one key."""
STAGES = tuple(Aspect(Aspect.SITE_SELECTION + timed) for timed in Timed)
"""The aspects under which the stages of a project are drawn, in order"""
READ_BY_SPREAD = (*STAGES, Aspect.ONSITE_POWER, Aspect.CAMPUS_SIZE)
"""Draws of a project that are read from a table which an assumption makes"""
LOG_SDS = (
    "onsite_spread_log_sd", "campus_size_log_sd",
    "project_size_log_sd", "country_year_luck_log_sd/power", "country_year_luck_log_sd/construction",
)  # fmt: skip
"""The inputs that make tables, after `log_sd` of the stages: first those of `READ_BY_SPREAD`"""
READ_BY_CASES = (Aspect.PATIENCE, Aspect.PATIENCE_POWER, Aspect.SECURITY, Aspect.FIRST_PHASE, Aspect.PHASE_INCREMENT)
"""Draws of a project that are read from a table of `CASES`"""
CHOSEN = (Aspect.VENDOR, Aspect.ROUTE, Aspect.WORKLOAD, Aspect.PLAN_DAY)
"""Draws of a project that `streams.kinds` turns into what it is, in its order"""
OF_PROJECTS = (*READ_BY_SPREAD, *READ_BY_CASES, *CHOSEN, Aspect.PHASE_INTERVAL)
"""All draws of a project but for its taste, in the order in which `Chance.of_projects` has them"""
_OF_PROJECTS, _SIZE = counter_word(OF_PROJECTS), np.uint64(Aspect.SIZE)
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
        own, shared = ["/".join(value.key[:4]) for value in values], [f"{v.table}/*/{v.parameter}" for v in values]
        sources = dict(zip(own, shared, strict=True))
        place = {name: i for i, name in enumerate((*sources, *dict.fromkeys(shared)))}
        self.names = tuple(place)
        """What each uniform number of a replication is for: see `Sampler.assumption_names`"""
        self.own = np.array([place[name] for name in own])
        """by value: place of its own number in `names`"""
        self.shared = np.array([place[name] for name in sources.values()])
        """by own number: place of the number that it shares"""
        self.entities = np.array([entity_key(name) for name in place], dtype=np.uint64)
        self.words = np.full(len(place), counter_word(Aspect.ASSUMPTION))
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
        self._at_logs = np.nonzero(self.logs)[0]
        self._logs = mode[self.logs], self.log_low[self.logs], self.log_high[self.logs]
        self._steps = mode - self.low, self.high - mode
        wide = self.triangles & (self.high > self.low)
        low, mode, high = self.low[wide], mode[wide], self.high[wide]
        self._at_triangles = np.nonzero(wide)[0]
        self._triangles = low, high, high - low, mode - low, high - mode, (mode - low) / (high - low)
        self._at_fixed = np.nonzero(self.fixed)[0]

    def draw(
        self, seed: int, index: int, uncertain: bool = True, moved: Moved | None = None, quantiles: Ints | None = None
    ) -> Floats:
        """Values of all inputs, in order, of one draw of the assumptions or at given `quantiles` (uniform integers, one for each of
        `names`); every one at its middle if not `uncertain` (a triangle at its median), except those `moved`. Raises LookupError if
        none of these is drawn."""
        if uncertain:
            z = normal(self._whole(seed, index) if quantiles is None else quantiles)
            z = (self.weight[0] * z[self.shared] + self.weight[1] * z[: len(self.shared)])[self.own]
        else:
            z = np.zeros(len(self.mode))
        if moved is not None:
            here = [i for i, key in enumerate(self.keys) if key in moved.inputs]
            if not here:
                raise LookupError("none of the inputs to be moved is drawn")
            z[here] = moved.position
        return self.at(z)

    def _whole(self, seed: int, index: int) -> Ints:
        from simulator.streams import pairs

        whole, unused = np.empty((2, len(self.entities)), dtype=np.int64)
        pairs(_seed(seed), np.uint64(index), self.entities, self.words, whole, unused)
        return whole

    def at(self, z: Floats) -> Floats:
        """Values at standard normal positions."""
        from scipy.special import ndtr

        step = z / self.tail
        drawn = self.mode + step * np.where(step < 0, *self._steps)
        mode, low, high = self._logs
        step = step[self._at_logs]
        drawn[self._at_logs] = mode * np.exp(step * np.where(step < 0, low, high))
        np.minimum(np.maximum(drawn, self.least, out=drawn), self.most, out=drawn)
        low, high, width, below, above, peak = self._triangles
        u = ndtr(z[self._at_triangles])
        drawn[self._at_triangles] = np.where(u < peak, low + np.sqrt(u * width * below), high - np.sqrt((1 - u) * width * above))
        drawn[self._at_fixed] = self.mode[self._at_fixed]
        return drawn


def _seed(seed: int) -> np.uint64:
    """A seed as the key of the generator."""
    return np.uint64(seed & (1 << 64) - 1)


class Inputs:
    """The inputs of one replication by name: `get(name)` an array, `get.one(name)` a single number."""

    __slots__ = ("_places", "_x")

    def __init__(self, x: Floats, places: dict[str, tuple[slice, tuple[int, ...]]]):
        self._x, self._places = x, places

    def __call__(self, name: str) -> Floats:
        where, shape = self._places[name]
        return self._x[where].reshape(shape)

    def one(self, name: str) -> float:
        """The first of them."""
        return self._x.item(self._places[name][0].start)


class Ring:
    """The keys under which every replication draws, whatever its assumptions, by name: one call draws for all of them."""

    def __init__(self, keys: dict[str, tuple[Keys, Aspect, ArrayLike]]):
        """`keys`: for each name entities, aspect and attempts, broadcast."""
        found = {name: np.broadcast_arrays(entity, counter_word(aspect, n)) for name, (entity, aspect, n) in keys.items()}
        self.entities = np.concatenate([entity.ravel() for entity, _ in found.values()])
        self.words = np.concatenate([word.ravel() for _, word in found.values()])
        self.places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        begin = 0
        for name, (entity, _) in found.items():
            self.places[name] = slice(begin, begin + entity.size), entity.shape
            begin += entity.size
        self.fates = [self.places[name][0] for name, (_, aspect, _) in keys.items() if aspect not in CATEGORIES]
        """Where everything stands that is luck"""


class Chance:
    """The luck of one replication; all in the middle, but for what a project is, if there is to be no luck."""

    def __init__(self, ring: Ring, seed: int, replication: int, luck: bool):
        self.seed, self.replication, self.luck = _seed(seed), np.uint64(replication), luck
        self._places = ring.places
        self._first, self._second = self._both(ring.entities, ring.words)
        if not luck:
            for where in ring.fates:
                self._first[where] = self._second[where] = MEDIAN

    def _both(self, entities: Keys, words: Keys) -> tuple[Ints, Ints]:
        from simulator.streams import pairs

        first, second = np.empty(len(words), dtype=np.int64), np.empty(len(words), dtype=np.int64)
        pairs(self.seed, self.replication, entities, words, first, second)
        return first, second

    def __call__(self, name: str) -> Ints:
        """Uniform integers for what has that name in the ring."""
        where, shape = self._places[name]
        return self._first[where].reshape(shape)

    def pair(self, name: str) -> tuple[Ints, Ints]:
        """Two of them for each key; the first are those of a call."""
        where, shape = self._places[name]
        return self._first[where].reshape(shape), self._second[where].reshape(shape)

    def of_projects(self, keys: Keys) -> Ints:
        """(aspects, R) uniform integers for each of `OF_PROJECTS`."""
        from simulator.streams import by_aspect

        whole = np.empty((len(OF_PROJECTS), len(keys)), dtype=np.int64)
        by_aspect(self.seed, self.replication, keys, _OF_PROJECTS, whole)
        if not self.luck:
            whole[[aspect not in CATEGORIES for aspect in OF_PROJECTS]] = MEDIAN
        return whole

    def tastes(self, keys: Keys, words: Keys, buffer: Floats) -> Floats:
        """(R, M) numbers inside (0, 1) for every project and market, in the buffer; drawn even without luck."""
        from simulator.streams import tastes

        drawn = buffer[: len(keys)]
        tastes(self.seed, self.replication, keys, words, drawn)
        return drawn

    def applications(self, keys: Keys, words: Keys) -> tuple[Ints, Ints]:
        """Two uniform integers for each application of others."""
        if self.luck:
            return self._both(keys, words)
        return np.full(len(keys), MEDIAN), np.full(len(keys), MEDIAN)


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
        self._places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        self._gather()
        self.sheet = Sheet(self.values, world.number("process", "shared_source_correlation"))
        if earlier and earlier[1].assumption_names != self.assumption_names:
            raise ValueError("the world that companies expect has other inputs than the real one")
        f = frame
        self.quarter_ticks = np.array([tick_of(quarter_start(q), f.start) for q in f.quarters])
        self.quarter_days = np.array(
            [(month_ends(first := quarter_start(q), first + timedelta(days=80))[-1] - first).days + 1 for q in f.quarters]
        )
        self.root_names = np.array(
            [f"{company}/{quarter}/{i:02d}" for company in f.companies for quarter in f.quarters for i in range(ORDINALS)],
            dtype=object,
        )
        self.root_keys = np.array([entity_key(name) for name in self.root_names], dtype=np.uint64).reshape(
            len(f.companies), len(f.quarters), ORDINALS
        )
        self.announce(self._announced())
        self.market_words = np.array([market_aspect(m) for m in f.markets], dtype=np.uint64)
        if len(set(self.market_words.tolist())) != len(f.markets):
            raise ValueError("two markets share an aspect key; rename one of them")
        quarters = self._long_quarters()
        self.middles = np.array([int(q[:4]) + (int(q[5]) - 0.5) / 4 for q in quarters])
        """middle of each plan quarter and of those after it, as a year with its fraction"""
        self.supply_positions = np.array([self._supply_position(q) for q in quarters])
        self.long_years = np.array([int(q[:4]) for q in quarters])
        self.quarters_open = self.long_years > self.reported_until
        self.long_middle = np.array([int(q[:4]) + (int(q[5]) - 0.5) / 4 for q in quarters])
        self.spans = np.array([self._span(int(q[:4])) for q in quarters])
        self.month_supply = np.array([self._supply_position(quarter_of(day)) for day in f.months])
        self.month_quarter = np.array([f.quarters.index(quarter_of(day)) for day in f.months])
        self.month_middle = np.array([day.year + (day.month - 0.5) / 12 for day in f.months])
        self.supply_year = np.array([int(q[:4]) - 2022 for q in self.supply_quarters])
        self.past_quarters = sum(int(q[:4]) < f.start.year for q in self.supply_quarters)
        self.crew_years = np.array(f.years) - self.crew_year
        self.years_open = np.array([year > self.reported_until for year in f.years])
        """by year: whether it is not yet reported"""
        self.group_of = np.array([{"nvidia": 0, "amd": 2}.get(v, 1) for v in f.vendors])[f.vendor_of]
        """by accelerator: the group of makers for which fleets are stated"""
        self.merchants = np.array([f.vendors.index(vendor) for vendor in spillovers.MERCHANTS])
        self.peaks = spillovers.peaks(world, f.accelerators)
        self.closed, self.rationed = closed_markets(world, f), rationed_markets(world, f)
        self.at_home = f.market_country == f.home
        self.cases = {
            name: cases_table(world.get("process", parameter, scope=scope), scale)
            for name, (parameter, scope, scale) in CASES.items()
        }
        self.cases_of_projects = np.stack([self.cases[aspect.name.lower()] for aspect in READ_BY_CASES])
        self.intervals = np.stack(
            [
                cases_table(world.get("process", "interval_between_phases_days", scope=route.name.lower()), TICKS_PER_DAY)
                for route in Route
            ]
        )
        self._applications = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64)

    @property
    def assumption_names(self) -> tuple[str, ...]:
        """What the numbers of `quantiles` in `draw` are for, in their order: one uniform number each, in [0, 2**62).

        `table/entity/parameter/scope`: the input's own number, one for all its periods (a whole series is one assumption).
        `table/*/parameter`: the number that all inputs of the parameter share, because they share sources. An input stands at

            z = sqrt(c) normal(shared) + sqrt(1 - c) normal(own),   c the input `shared_source_correlation`

        of its own distribution. Shares that must sum to one (routes, buyers, parts of construction) have a number each like any other
        input; they are scaled to their sum once drawn. Inputs without a range have numbers too, which then move nothing, so that
        the names do not depend on what a scenario supposes.
        """
        return self.sheet.names

    def announce(self, projects: list[Announced]) -> None:
        """Suppose these announced projects, in the order in which companies enter them in their plans."""
        f = self.frame
        self.announced = projects
        self.announced_keys = np.array([entity_key(a.name) for a in projects], dtype=np.uint64)
        self.announced_names = tuple(a.name for a in projects)
        self.announced_at = {
            "company": np.array([a.company for a in projects], dtype=np.int64),
            "country": np.array([a.country for a in projects], dtype=np.int64),
            "quarter": np.array([f.quarters.index(quarter_of(a.on)) for a in projects], dtype=np.int64),
            "tick": np.array([tick_of(a.on, f.start) for a in projects], dtype=np.int64),
        }

    @cached_property
    def ring(self) -> Ring:
        """What is drawn in every replication, by name."""
        f = self.frame
        everybody = ("all", *f.companies)
        companies, chips, countries = (
            np.array([entity_key(name) for name in names], dtype=np.uint64)
            for names in (f.companies, f.accelerators, f.countries)
        )
        years = np.array([[entity_key(f"{c}/{y}") for c in f.countries] for y in f.years], dtype=np.uint64)
        licences = np.array([[entity_key(f"licence/{k}/{c}") for c in f.countries] for k in f.companies], dtype=np.uint64)
        budgets = np.array([[entity_key(f"{who}/{q}") for q in self._long_quarters()] for who in everybody], dtype=np.uint64)
        pauses = np.array([[entity_key(f"{c}/{y}/pause") for y in f.years] for c in f.companies], dtype=np.uint64)
        agencies = np.array([entity_key("all")], dtype=np.uint64)
        filings, applications = np.arange(FILINGS), np.arange(APPLICATIONS)
        return Ring(
            {
                "licence_review": (licences[:, :, None], Aspect.LICENCE_REVIEW, filings),
                "licence_stop": (licences[:, :, None], Aspect.LICENCE_STOP, filings),
                "licence_outcome": (licences[:, :, None], Aspect.LICENCE_OUTCOME, filings),
                "national": (licences, Aspect.NATIONAL_AUTHORISATION, 0),
                "classification": (chips, Aspect.CLASSIFICATION, 0),
                "authorisation_time": (companies[:, None], Aspect.AUTHORISATION_TIME, applications),
                # One vote of the same agencies on the same standard: the draw is common to all companies.
                "authorisation_outcome": (agencies, Aspect.AUTHORISATION_OUTCOME, applications),
                "authorisation_kept": (companies, Aspect.AUTHORISATION_KEPT, 0),
                "deal_time": (countries, Aspect.DEAL_TIME, 0),
                "power": (years, Aspect.COUNTRY_YEAR_POWER, 0),
                "construction": (years, Aspect.COUNTRY_YEAR_CONSTRUCTION, 0),
                "budget": (budgets, Aspect.BUDGET, 0),
                "pause": (pauses, Aspect.PAUSE, 0),
                "size": (self.root_keys[:, :, :USUAL_ORDINALS], Aspect.SIZE, 0),
            }
        )

    # ---- which inputs are drawn, and where they stand in the sheet

    def _take(self, name: str, values: list[Value], shape: tuple[int, ...]) -> None:
        begin = len(self.values)
        self.values += values
        self.at[name] = np.arange(begin, begin + len(values)).reshape(shape)
        self._places[name] = slice(begin, begin + len(values)), shape

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
        self.h100e_each = self.h100e / PPM
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
        assumption: int | None = None,
        quantiles: ArrayLike | None = None,
    ) -> Draws:
        """All arrays of one replication. `assumptions=False` or `luck=False` puts that side at its middle, but for inputs `moved`;
        without `rationing` the published wait for power counts in every market's appeal.

        The assumptions are draw number `assumption`, the replication itself unless given, so that several replications may have
        the same assumptions and other luck; or they stand at `quantiles`, whole numbers in [0, 2**62), one for each of
        `assumption_names`. Raises ValueError for others.
        """
        f = self.frame
        index = replication if assumption is None else assumption
        given = None if quantiles is None else self._given(quantiles)

        def drawn(sheet: Sheet) -> Floats:
            return sheet.draw(seed, index, assumptions, moved, given)

        get = self._reader(drawn)
        chance = Chance(self.ring, seed, replication, luck)

        def days(name: str) -> int:
            return round(get.one(name) * TICKS_PER_DAY)

        def usd_m(name: str) -> int:
            return round(get.one(name) * 1e6)

        def in_ppm(name: str) -> int:
            return round(get.one(name) * PPM)

        shares, mix, it_cost = self._expected(get)
        budgets = self._budgets(get, it_cost, chance)
        plans = self._plans(get, mix, budgets, chance, drawn)
        tables = spread_tables(np.append(get("log_sd"), [get.one(name) for name in LOG_SDS]))
        split = len(READ_BY_SPREAD)
        of_projects, (of_size, of_power, of_construction) = tables[:split], tables[split:]
        roots = self._projects(get, plans.megawatts, of_size, chance)
        keys, company, sizes, quarter = roots["key"], roots["company"], roots["mw16"], roots["quarter"]

        whole = chance.of_projects(keys)
        spread = _read(of_projects, whole[:split])
        cases = _read(self.cases_of_projects, whole[split : split + len(READ_BY_CASES)])
        own = dict(zip((*READ_BY_SPREAD, *READ_BY_CASES), (*spread, *cases), strict=True))
        vendor, route, workload, tick = self._kinds(get, plans, whole[split + len(READ_BY_CASES) : -1], company, quarter)

        median = self._medians(get)
        arriving = (
            int(median[[Timed.SHIPPING, Timed.INSTALLATION, Timed.COMMISSIONING]][:, self.at_home].sum()) / self.at_home.sum()
        )
        fleets = self._fleets(get)
        footprint = fleets / fleets.sum(axis=1, keepdims=True)
        deliveries, opening, under_way, fleet = self._chips(get, shares, float(arriving), footprint)
        ordered_ahead = round(get.one("chip_commitment_lead_days") / DAYS_PER_YEAR * 12)
        return Draws(
            names=roots["names"],
            company=company,
            vendor=vendor,
            route=route,
            planned=tick,
            mw16=sizes,
            forced_country=roots["country"],
            appeal=self._appeal(get, keys, company, workload, median, footprint, self.rationed & rationing, chance),
            median=median,
            spread=np.ascontiguousarray(spread[: len(STAGES)].T),
            luck_power=_read(of_power[None], chance("power")),
            luck_construction=_read(of_construction[None], chance("construction")),
            workload=workload,
            **self._phases(get, route, sizes, own, whole[-1]),
            patience=own[Aspect.PATIENCE],
            patience_power=own[Aspect.PATIENCE_POWER],
            optimism=round(get.one("optimism_of_own_date") * FACTOR_ONE),
            security=own[Aspect.SECURITY],
            **self._licences(get, chance),
            authorisation_time=chance("authorisation_time"),
            authorisation_outcome=np.tile(chance("authorisation_outcome"), (len(f.companies), 1)),
            authorisation_kept=_exponential(
                chance("authorisation_kept"),
                DAYS_PER_YEAR * TICKS_PER_DAY / max(get.one("authorisation_revocation_probability"), 1e-9),
            ),
            deal_time=chance("deal_time"),
            deliveries=deliveries,
            offered=self._offered(deliveries, ordered_ahead, drawn),
            commitment_months=ordered_ahead,
            chip_money=self._chip_money(get, budgets),
            stock_ahead=round(get.one("stock_bound_months") * DAYS_PER_YEAR / 12 * TICKS_PER_DAY),
            **self._scarce(get),
            bridge_lead=days("onsite_time_to_power_days") * own[Aspect.ONSITE_POWER] >> FRACTION_BITS,
            bridge_trigger=days("bridge_if_power_later_days"),
            front_load_before=days("front_load_before_days"),
            front_load_ready=days("front_load_ready_days"),
            licence_validity=round(get.one("licence_validity_years") * DAYS_PER_YEAR * TICKS_PER_DAY),
            licence_forecast=days("licence_forecast_days"),
            let_after=days("let_to_other_use_days"),
            value_usd=round(get.one("revenue_per_gw_year") * 1e6 / DAYS_PER_YEAR / MW_SIXTEENTHS),
            recovery_ppm=in_ppm("sunk_cost_recovery"),
            opening_stock=opening,
            under_way=under_way,
            under_way_ticks=int(arriving),
            fleet_chips=fleet,
            route_factor=self._route_factors(get),
            interconnection_lead=days("interconnection_lead_days"),
            filing_lead=days("licence_filing_lead_days"),
            smallest_share_ppm=in_ppm("smallest_acceptable_share"),
            largest_filings=int(get.one("largest_filings")),
            largest_hop=min(int(get.one("largest_successors")), HOPS - 1),
            choice_training=round(get.one("choice_training_wait_multiple") * FACTOR_ONE),
            shell_ahead=days("shell_ahead_of_power_days"),
            planning_horizon=round(get.one("planning_horizon_years") * DAYS_PER_YEAR * TICKS_PER_DAY),
            choice_per_year=round(get.one("choice_log_per_year_of_wait") * SCORE_ONE),
            price_usd=np.rint(get("price_usd")).astype(np.int64),
            it_overhead_ppm=round(PPM / self._chip_share(get)),
            shell_usd_per_mw=np.rint(get("construction_cost") * 1e6).astype(np.int64),
            spend_ppm=np.rint(np.append(np.maximum.accumulate(get("sunk_cost_share")), 1.0) * PPM).astype(np.int64),
            idle_shell_usd=usd_m("idle_shell"),
            application_usd=usd_m("internal_cost_per_application"),
            authorisation_usd=usd_m("application_cost"),
            security_ppm=in_ppm("uplift_share_of_construction"),
            opex_usd_per_mw=np.rint(self._energy_usd(get) + get.one("opex_non_energy") * 1e6).astype(np.int64),
            rent_usd_per_mw=usd_m("leased_shell_rent"),
            bridge_usd_per_mwh=self._bridge_usd(get),
            load_factor_ppm=in_ppm("annual_load_factor"),
            design_ratio_ppm=in_ppm("power_design_ratio"),
            freight_ppm=in_ppm("freight_share_of_chip_price"),
            idle_chip_ppm=round((get.one("discount_rate_real") / 100 + get.one("warehouse_cost_share_of_chip_price")) * PPM),
            discount_ppm=round(get.one("discount_rate_real") / 100 * PPM),
            china=self._china(get),
            after_run=spillovers.after_run(get, self.peaks),
        )

    def _given(self, quantiles: ArrayLike) -> Ints:
        """Uniform numbers from outside, checked."""
        given, names = np.asarray(quantiles), self.assumption_names
        if given.shape != (len(names),) or given.dtype.kind not in "iu":
            raise ValueError(f"quantiles must be {len(names)} whole numbers, one for each of `assumption_names`")
        if given.min() < 0 or given.max() >= 1 << BITS:
            raise ValueError(f"quantiles must lie in [0, 2**{BITS})")
        return given.astype(np.int64)

    # ---- phases, licences, scarce capacity

    def _phases(self, get: Inputs, route: Ints, sizes: Ints, own: dict[Aspect, Ints], interval: Ints) -> dict[str, Any]:
        """Each project cut into phases, when their shells and tranches of power follow, and the campus it may found.

        The first phase has the size of a first phase (of an expansion: of an increment), those after it that of an increment,
        the last one what is left. Sizes and the interval are ranges of cases, so all of their range is luck. `own` holds what is
        read from tables for each project, `interval` the uniform integers of the interval.
        """
        from simulator.streams import phases

        to_it = MW_SIXTEENTHS / get.one("power_design_ratio") / FACTOR_ONE
        by_project, by_phase = np.empty((2, len(route)), dtype=np.int64), np.empty((3, len(route), PHASES), dtype=np.int64)
        phases(
            route,
            sizes,
            (own[Aspect.FIRST_PHASE], own[Aspect.PHASE_INCREMENT], own[Aspect.CAMPUS_SIZE], interval),
            self.intervals,
            to_it,
            max(get.one("smallest_project_mw_it") * MW_SIXTEENTHS, 1.0),
            get.one("single_phase_below_first_phases"),
            (
                max(round(get.one("energisation_tranche_mw_facility") * to_it * FACTOR_ONE), 1),
                round(get.one("energisation_tranche_interval_days") * TICKS_PER_DAY),
            ),
            get.one("campus_size_median_mw_facility") * to_it,
            by_project,
            by_phase,
        )
        return dict(
            zip(("phases", "campus_mw16", "phase_mw16", "shell_offset", "power_offset"), (*by_project, *by_phase), strict=True)
        )

    def _licences(self, get: Inputs, chance: Chance) -> dict[str, Any]:
        """Everything the licensing office decides by: its staff, the applications of others, and each company's own luck.

        Drawn work, reviewers and applications move the load of the office. Where the applications of others alone would overload
        it for good, and not already at the middle of these inputs, there are more reviewers.
        """
        work = get.one("licence_review_work_days")
        yearly = get.one("licence_applications_per_year")
        most = max(get.one("licence_review_most_utilisation"), self.office_load)
        needed = yearly * work / DAYS_PER_YEAR / most
        own_work, clock = chance.pair("licence_review")
        stop, stop_length = chance.pair("licence_stop")
        outcome, refile = chance.pair("licence_outcome")

        # From a year before the start; without luck every gap is the median one, ln 2, so that there are more of them.
        years = (self.frame.end - self.frame.start).days / DAYS_PER_YEAR + 1
        cases = yearly * years * OFFICE_GROWTH / (1.0 if chance.luck else float(np.log(2)))
        gaps, others = chance.applications(*self._office(int(cases + 6 * math.sqrt(cases)) + 20))

        needs, length = chance.pair("classification")
        needed_below = threshold(get.one("classification_needed_probability"))
        classified = np.where(needs < needed_below, _read(self.cases["classification"][None], length), 0)
        national, granted = chance.pair("national")
        return {
            "refile": _read(self.cases["refile"][None], refile),
            "licence_work": _exponential(own_work, work * TICKS_PER_DAY),
            "licence_clock": clock,
            "licence_stop": stop,
            "licence_stop_length": stop_length,
            "licence_outcome": outcome,
            "reviewers": max(round(get.one("licence_reviewers_effective")), math.ceil(needed), 1),
            "office_gaps": _exponential(gaps, FACTOR_ONE),
            "office_work": _exponential(others, work * TICKS_PER_DAY),
            "office_factor": round(yearly / get.one("licence_applications_reference") * FACTOR_ONE),
            "classification": np.tile(classified, (len(self.frame.companies), 1)),
            "nveu_time": national,
            "nveu_outcome": granted,
        }

    def _office(self, applications: int) -> tuple[Keys, Keys]:
        """Keys of the first applications of others; more of them are made when asked for the first time."""
        keys, words = self._applications
        if len(keys) < applications:
            block = np.arange(applications)
            office = np.array([entity_key(f"office/{i}") for i in range(applications // OFFICE_BLOCK + 1)], dtype=np.uint64)
            keys, words = self._applications = office[block // OFFICE_BLOCK], counter_word(Aspect.OFFICE, block % OFFICE_BLOCK)
        return keys[:applications], words[:applications]

    def _scarce(self, get: Inputs) -> dict[str, Any]:
        """What is handed out: grid connections of the rationed markets, construction capacity, on-site generation."""
        to_it = MW_SIXTEENTHS / get.one("power_design_ratio")
        yearly = np.maximum(get("grid_mw_per_year") * get.one("grid_share_of_four") * to_it, 1e-3)
        published = get("grid_connection_days")
        works = np.minimum(get.one("grid_works_days"), published)
        # A newcomer waits for the backlog and then for its own connection; for one of the middle size that is the published time.
        own = get.one("project_size_median_mw_facility") * to_it / yearly * DAYS_PER_YEAR
        growth = 1 + get.one("concurrent_construction_growth")
        crews = get("crews")[None] * growth ** self.crew_years[:, None] * to_it
        return {
            "grid_ticks": np.rint(DAYS_PER_YEAR * TICKS_PER_DAY / yearly).astype(np.int64),
            "grid_backlog": np.rint(np.maximum(published - own, 0.0) * TICKS_PER_DAY).astype(np.int64),
            "grid_works": np.rint(works * TICKS_PER_DAY).astype(np.int64),
            "crew_limit": np.rint(crews).astype(np.int64),
            "bridge_supply": _whole(self._onsite_mw(get, self.month_middle) / 12 * to_it),
        }

    def _onsite_mw(self, get: Inputs, when: Floats) -> Floats:
        """On-site generation that reaches the four companies, facility MW a year, at points in time (calendar years): equipment
        worldwide grows as between the stated years, before and after them too."""
        supply, stated = np.log(get("onsite_supply")), self.onsite_years
        slope = (supply[-1] - supply[0]) / (stated[-1] - stated[0])
        outside = np.minimum(when - stated[0], 0) + np.maximum(when - stated[-1], 0)
        return np.exp(np.interp(when, stated, supply) + slope * outside) * get.one("onsite_supply_share_to_four")

    def _fleets(self, get: Inputs) -> Floats:
        """(K, C) share of each company's fleet that stands in each country; a company's need not sum to one."""
        fleets = np.zeros((len(self.frame.companies), len(self.frame.countries)))
        fleets[self.fleet_pairs[:, 0], self.fleet_pairs[:, 1]] = get("fleet_share")
        return fleets

    def _power_expected(self, get: Inputs) -> Floats:
        """(long quarters,) IT MW for which the four companies together can expect power in a quarter, grid and on-site.

        Grid where they build: that of the home country, and abroad in the proportion of their fleets, not all there is anywhere.
        """
        fleets = self._fleets(get)
        at_home = (fleets[:, self.frame.home] / fleets.sum(axis=1)).mean()
        home = get("grid_mw_per_year")[self.at_home].sum()
        grid = home / max(at_home, 1e-9) * get.one("grid_share_of_four")
        return (grid + self._onsite_mw(get, self.long_middle)) / get.one("power_design_ratio") / 4

    # ---- costs

    def _energy_usd(self, get: Inputs) -> Floats:
        """(M,) USD a year for the energy of a MW of IT, at the average load and the country's annual PUE."""
        hours = DAYS_PER_YEAR * 24 * get.one("annual_load_factor")
        return get("electricity_price") * get("pue")[self.frame.market_country] * hours

    def _bridge_usd(self, get: Inputs) -> int:
        """Thousandths of a USD by which a MWh of gas engines is dearer than the grid of the median home market."""
        grid = _median(get("electricity_price")[self.at_home])
        return round(max(get.one("onsite_cost/engine") - grid, 0.0) * 1000)

    def _china(self, get: Inputs) -> spillovers.ChinaPaths:
        """China's compute in this replication, apart from what the law of a scenario changes."""
        merchant = get("shipped")[self.merchants][:, self.month_supply].sum(axis=0) / 3
        past, ahead = self.per_past_chip, self.per_chip
        return spillovers.paths(get, self.china_inputs, self.frame.months, merchant, ahead, past, self.exported)

    def _chip_share(self, get: Inputs) -> float:
        return max(1.0 - get.one("network_share_of_it_capex") - get.one("server_share_of_it_capex"), self.least_chip_share)

    def _expected(self, get: Inputs) -> tuple[Floats, Floats, Floats]:
        """Shares bought (K, V, supply quarters), MW of each vendor's chips by company (K, V, plan quarters and more) and USD for a MW
        of IT in that mix (K, the same quarters): what this world gives."""
        from simulator.streams import expected

        f = self.frame
        shares = np.empty((len(f.companies), len(f.vendors), len(self.supply_quarters)))
        mix, it_cost = np.empty((*shares.shape[:2], len(self.middles))), np.empty((len(f.companies), len(self.middles)))
        expected(
            get("bought"),
            self.bought_pairs,
            self.supply_year,
            get("shipped"),
            self.generation,
            f.vendor_of,
            (get("it_power_w"), get("price_usd"), self.h100e_each),
            self.supply_positions,
            self._chip_share(get),
            shares,
            mix,
            it_cost,
        )
        return shares, mix, it_cost

    def _long_quarters(self) -> list[str]:
        """Plan quarters and three years more: money and chips arrive a lead after the plan."""
        last = self.frame.years[-1]
        return self.frame.quarters + [f"{y}Q{q}" for y in range(last + 1, last + 4) for q in (1, 2, 3, 4)]

    def _budgets(self, get: Inputs, it_cost: Floats, chance: Chance) -> Budgets:
        """What companies have for AI, and what a MW costs them, by quarter (real USD)."""
        money = get("capex_total") * get("share_capex_ai") * 1e9
        money = money / (1 + get.one("inflation")) ** (STATED_YEARS - BASE_YEAR)
        path = np.array([np.interp(self.middles, STATED_YEARS + 0.5, row) for row in money]) / 4

        # Persistent revisions, part common to all companies, from the first quarter that is not a reported number.
        z = normal(chance("budget"))
        common = get.one("budget_revision_common_share")
        step = math.sqrt(common) * z[:1] + math.sqrt(1 - common) * z[1:]
        revised = np.exp(np.cumsum(get.one("budget_revision_sd_quarterly") * step * self.quarters_open, axis=1))

        route = get("route_share") / get("route_share").sum(axis=2, keepdims=True)
        shell = (1 - route[:, self.spans, Route.LEASED]) * get.one("capex_construction") * 1e6
        return Budgets(path, revised, it_cost, shell)

    def _chip_money(self, get: Inputs, budgets: Budgets) -> Ints:
        """(T, K) thousands of USD a month for chips, servers and network: of the budget as revised by then, and what is borrowed
        or prepaid on top, the share that the cost of a MW gives to IT."""
        share = budgets.it_cost / (budgets.it_cost + budgets.shell)
        money = budgets.path * budgets.revised * share * get.one("financing_over_ai_budget")
        return _whole(money[:, self.month_quarter].T / 3 / 1000)

    def _reader(self, drawn: Callable[[Sheet], Floats]) -> Inputs:
        """Inputs of this world by name, in the replication that `drawn` plays."""
        return Inputs(drawn(self.sheet), self._places)

    def _due(self, get: Inputs) -> Ints:
        """(plan quarters,) the quarter in which what is planned in each should come online."""
        last = len(self.middles) - 1
        return np.minimum(np.arange(len(self.frame.quarters)) + round(get.one("nominal_lead_quarters")), last)

    def _plans(self, get: Inputs, mix: Floats, budgets: Budgets, chance: Chance, drawn: Callable[[Sheet], Floats]) -> Plans:
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
        _, mix, it_cost = before._expected(get_before)
        budgets = before._budgets(get_before, it_cost, chance)
        known = np.array([quarter_start(q) >= learnt for q in self.frame.quarters])
        return before._plans(get_before, mix, budgets, chance, drawn).until(known, own)

    def _offered(self, deliveries: Ints, ordered_ahead: int, drawn: Callable[[Sheet], Floats]) -> Ints | None:
        """(T, K, A) chips offered when they are ordered, so many months ahead: what is ordered before companies learn of a change is
        what they expect until then. None where nothing is unforeseen."""
        if self.earlier is None:
            return None
        learnt, before = self.earlier
        get_before = before._reader(drawn)
        theirs = before._deliveries(get_before, before._expected(get_before)[0])[1]
        theirs = theirs if (still := before._offered(theirs, ordered_ahead, drawn)) is None else still
        month = np.array([day.year * 12 + day.month for day in self.frame.months]) - ordered_ahead
        return np.where((month >= learnt.year * 12 + learnt.month)[:, None, None], deliveries, theirs)

    def _planned_mw(self, get: Inputs, mix: Floats, budgets: Budgets, chance: Chance) -> Floats:
        """(K, plan quarters) MW of IT planned: the AI budget then expected for one lead later over the company's own cost per MW,
        but not far above the chips and the power expected by then."""
        f = self.frame
        lead = round(get.one("nominal_lead_quarters"))
        plans = len(f.quarters)
        due = slice(lead, lead + plans)
        # Later revisions are not known yet. No company plans far more shells than it can expect chips for.
        budget = budgets.path[:, due] * budgets.revised[:, :plans]
        expected = mix.sum(axis=1) * get.one("plan_over_expected_chips")
        planned = np.minimum(budget / (budgets.it_cost + budgets.shell)[:, due], expected[:, due])
        # Nor far more than all together can expect power for; what is too much is cut in proportion.
        power = self._power_expected(get)[due] * get.one("plan_over_expected_power")
        planned *= np.minimum(power / np.maximum(planned.sum(axis=0), 1e-9), 1.0)

        # Rare pauses: nothing is planned for a while, and what was due follows over as long again. The past is known.
        pauses = (chance("pause") < threshold(get.one("pause_probability"))) & self.years_open
        length = max(round(get.one("pause_duration_days") / (DAYS_PER_YEAR / 4)), 1)
        out = planned.copy()
        for k, y in zip(*np.nonzero(pauses), strict=True):
            first = int(np.argmax(self.long_years[:plans] == f.years[y]))
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

    def _projects(self, get: Inputs, planned_mw: Floats, spread: Ints, chance: Chance) -> dict[str, Any]:
        """Planned MW cut into clusters: announced ones first, then sizes from the size distribution (with this `spread` table) until
        the plan is used."""
        from simulator.streams import cut

        at = self.announced_at
        ratio = get.one("power_design_ratio")
        smallest, largest = get.one("smallest_project_mw_it"), get.one("largest_project_mw_facility") / ratio
        median = get.one("project_size_median_mw_facility") / ratio

        plans = planned_mw.copy()
        announced = [a.facility_mw / facility_mw(1.0, ratio) for a in self.announced]
        for company, quarter, it in zip(at["company"].tolist(), at["quarter"].tolist(), announced, strict=True):
            plans[company, quarter] -= it  # a plan larger than the quarter's eats into the next ones
        due = np.maximum.accumulate(np.maximum(np.cumsum(plans, axis=1), 0.0), axis=1)
        known = len(self.announced)
        columns = np.empty((4, known + self.root_keys.size), dtype=np.int64)
        columns[0, :known], columns[1, :known] = at["company"], at["quarter"]
        columns[2, :known] = [mw16(it) for it in announced]
        count = cut(
            chance.seed,
            chance.replication,
            _SIZE,
            self.root_keys,
            chance("size"),
            spread,
            (median, smallest, largest),
            due,
            known,
            columns,
        )
        company_of, quarter_of_plan, sizes, where = columns[:, :count].copy()
        country = np.full(count, -1)
        country[:known] = at["country"]
        return {
            "names": (*self.announced_names, *self.root_names[where[known:]].tolist()),
            "key": np.concatenate([self.announced_keys, self.root_keys.reshape(-1)[where[known:]]]),
            "company": company_of,
            "country": country,
            "quarter": quarter_of_plan,
            "mw16": sizes,
        }

    def _kinds(self, get: Inputs, plans: Plans, whole: Ints, company: Ints, quarter: Ints) -> Ints:
        """(4, R) vendor, route, workload and tick of the plan of each project, from its uniform integers for each of `CHOSEN`."""
        from simulator.streams import kinds

        # What the site is wanted for when it comes online; beyond the last stated year the share rises no further.
        inference = np.interp(self.middles[self._due(get)], self.inference_years, get("inference_share"))
        shares = np.ascontiguousarray(plans.vendors), np.ascontiguousarray(plans.routes), inference
        out = np.empty((len(CHOSEN), len(company)), dtype=np.int64)
        kinds(whole, company, quarter, shares, (self.quarter_ticks, self.quarter_days), out)
        out[-1, : len(self.announced)] = self.announced_at["tick"]
        return out

    def _medians(self, get: Inputs) -> Ints:
        """(8, M) median ticks of each timed stage by market, on the classic route."""
        construction = get("construction_days")[self.frame.market_country]
        split = get("construction_split") / get("construction_split").sum()
        days = np.empty((len(Timed), len(construction)))
        days[Timed.SITE_SELECTION] = get("site_selection_days")[Route.CLASSIC]
        days[Timed.INTERCONNECTION] = get("grid_connection_days")
        days[Timed.PERMITTING] = get("permit_days")
        days[Timed.CONSTRUCTION] = construction * split[0]
        days[Timed.FIT_OUT] = construction * split[1]
        days[Timed.SHIPPING] = get.one("shipping_days")
        days[Timed.INSTALLATION] = get.one("installation_days")
        # `construction_days` ends with commissioning and holds the racks' installation in it.
        days[Timed.COMMISSIONING] = np.maximum(construction * split[2] - get.one("installation_days"), 0.0)
        return np.rint(days * TICKS_PER_DAY).astype(np.int64)

    def _route_factors(self, get: Inputs) -> Ints:
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
        get: Inputs,
        keys: Keys,
        company: Ints,
        workload: Ints,
        median: Ints,
        footprint: Floats,
        rationed: NDArray[np.bool_],
        chance: Chance,
    ) -> Ints:
        """(R, M) score of every market before law: footprint, what the site is for, cost, expected wait for power, and taste.

        In a rationed market the wait for power is that of the day, so the engine adds it. Training minds a wait more.
        """
        from simulator.streams import scores

        f = self.frame
        grid = get("grid_mw_per_year")
        by_country = np.bincount(f.market_country, weights=grid, minlength=len(f.countries))
        # Countries without a site are entered for their customers, or for their power.
        open_grid = np.bincount(f.market_country, weights=np.where(self.closed, 0.0, grid), minlength=len(f.countries))
        towards = np.empty((len(Workload), len(f.countries)))
        towards[Workload.INFERENCE] = get("demand_share") / get("demand_share").sum()
        towards[Workload.TRAINING] = open_grid / max(open_grid.sum(), 1e-9)
        floor = get.one("choice_floor_share")
        weight = (1 - floor) * footprint[None] + floor * towards[:, None]  # workload, company, country
        weight[:, :, f.home] *= np.exp(get.one("home_preference_log"))
        # A country may have no room for new connections at all; its markets are then as good as closed.
        within = grid / np.maximum(by_country, 1e-9)[f.market_country]
        utility = np.log(np.maximum(weight[:, :, f.market_country] * within, 1e-12))

        rate = max(get.one("discount_rate_real") / 100, 1e-6)
        yearly = rate / (1 - (1 + rate) ** -get.one("facility_life"))
        cost = get("construction_cost") * 1e6 * yearly + self._energy_usd(get)
        relative = cost / _median(cost[self.at_home]) - 1
        years = median[Timed.INTERCONNECTION] / TICKS_PER_DAY / DAYS_PER_YEAR
        minded = np.where(rationed, 0.0, years)[None] + np.zeros((len(Workload), 1))
        minded[Workload.TRAINING] *= get.one("choice_training_wait_multiple")
        utility += (get.one("choice_log_per_year_of_wait") * minded + get.one("choice_log_per_relative_cost") * relative)[:, None]

        appeal = np.empty((len(keys), len(f.markets)), dtype=np.int64)
        buffer = np.empty((min(len(keys), TASTES_AT_ONCE), len(f.markets)))
        for begin in range(0, len(keys), TASTES_AT_ONCE):
            some = slice(begin, begin + TASTES_AT_ONCE)
            # The negative of a standard Gumbel number: log(-log u).
            logs = chance.tastes(keys[some], self.market_words, buffer)
            np.log(np.negative(np.log(logs, out=logs), out=logs), out=logs)
            scores(logs, utility, workload[some], company[some], get.one("choice_taste_scale"), self.closed, appeal[some])
        return appeal

    def _chips(self, get: Inputs, shares: Floats, arriving: float, footprint: Floats) -> tuple[Ints, Ints, Ints, Ints]:
        """Monthly deliveries (T, K, A), opening stock (K, A), under way (K, A), opening fleet (K, C, A), in whole chips.

        `arriving` is the mean of the ticks in which chips are shipped, installed and commissioned at home: what arrived in that time
        is on its way to sites, the rest of the holding runs.
        """
        from simulator.streams import stocks

        by_quarter, deliveries = self._deliveries(get, shares)
        companies, chips, _ = by_quarter.shape
        out = np.empty((2, companies, chips), dtype=np.int64)
        fleet = np.empty((companies, footprint.shape[1], chips), dtype=np.int64)
        quarters = arriving / TICKS_PER_DAY / (DAYS_PER_YEAR / 4)
        held, waiting = get("held"), get("chips_waiting")
        stocks(by_quarter, self.past_quarters, quarters, self.h100e_each, self.group_of, held, waiting, footprint, out, fleet)
        return deliveries, out[0], out[1], fleet

    def _deliveries(self, get: Inputs, shares: Floats) -> tuple[Floats, Ints]:
        """(K, A, supply quarters) chips that each company gets, as amounts; (T, K, A) whole ones delivered each month."""
        from simulator.streams import deliveries

        f = self.frame
        by_quarter = np.empty((len(f.companies), len(f.accelerators), len(self.supply_quarters)))
        out = np.empty((len(f.months), len(f.companies), len(f.accelerators)), dtype=np.int64)
        deliveries(shares, get("shipped"), self.generation, f.vendor_of, self.h100e_each, self.month_supply, by_quarter, out)
        return by_quarter, out


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
STATED_YEARS = np.arange(2019, 2032)
"""Years for which budgets are stated"""


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
    from simulator.streams import whole_amounts

    out = np.empty(amounts.shape, dtype=np.int64)
    months = len(amounts)
    whole_amounts(np.ascontiguousarray(amounts).reshape(months, -1), out.reshape(months, -1))
    return out


def _exponential(whole: Ints, mean: float) -> Ints:
    """Exponential lengths with a mean in ticks (or another integer unit), never beyond any horizon."""
    from simulator.streams import fractions, lengths

    logs, drawn = np.empty(whole.size), np.empty(whole.size, dtype=np.int64)
    fractions(whole.reshape(-1), logs)
    lengths(np.log(logs, out=logs), float(mean), float(NEVER), drawn)
    return drawn.reshape(whole.shape)


def _read(tables: Ints, whole: Ints) -> Ints:
    """`draws.look_up` of each table (first axis) in its row of uniform integers; one table serves integers of any shape."""
    from simulator.streams import read

    drawn = np.empty(whole.shape, dtype=np.int64)
    read(tables, whole.reshape(len(tables), -1), drawn.reshape(len(tables), -1))
    return drawn


def _median(values: Floats) -> float:
    """The middle number, or the mean of the middle two. (`np.median` takes ten times as long for a few.)"""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half]) if len(values) % 2 else float(ordered[half - 1] + ordered[half]) / 2
