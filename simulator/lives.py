"""The lives of clusters, read off the event log: milestones of every site and of every phase, and what phases wait for.

A *site* is a project on one place (root and hop); a *phase* is a part of it that goes online at once. What concerns the whole
site (plan, site control, ground-breaking, first power) stands in `Sites`; clearance, chips, shipment and going online in
`Phases`. Ticks count from the start date; `NEVER` marks what did not happen. All arrays are vectors of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator import sums
from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.sampling import HOPS
from simulator.static import PHASES, Draws, Ints, Static
from simulator.units import TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.events import Log

Bools = NDArray[np.bool_]
Result = TypeVar("Result")
NEVER = np.iinfo(np.int64).max
NOWHERE = np.zeros(0, dtype=np.int64)
STAGES, MARKS = 32, 64
TICK_BITS = 20


def once(function: Callable[[Static], Result]) -> Callable[[Static], Result]:
    """A function of a scenario alone is worked out once a scenario, and kept with it as `cached_property` does; not to be changed."""
    name = f"{function.__module__}.{function.__qualname__}"

    def kept(static: Static) -> Result:
        if name not in static.__dict__:
            static.__dict__[name] = function(static)
        found: Result = static.__dict__[name]
        return found

    return wraps(function)(kept)


class Field(NamedTuple):
    """A column of what is known of sites or phases: the rows that tell it, what of them is kept, which row counts, and what stands
    where there is none."""

    stage: Stage
    mark: Mark
    what: int = sums.TICK
    which: int = sums.LAST
    empty: int = NEVER


class Rows:
    """A log by column, with the rows of every (stage, mark) at hand: most questions ask for one mark."""

    def __init__(self, log: Log):
        self.log = log
        columns = sums.columns(np.ascontiguousarray(log), HOPS, PHASES, STAGES, MARKS * STAGES)
        self.tick, self.root, self.unit, self.rule, self.pool, self.quantity, self._order, self._bounds = columns
        # unit: (root * HOPS + hop) * PHASES + phase, meaningless where a company or the world writes.

    def told(self, fields: dict[str, Field], place: Ints, things: int) -> dict[str, Ints]:
        """(things,) by field. `place` says which thing a unit is, -1 if none; without any, a thing is the site of a unit."""
        codes = np.array([(mark * STAGES + stage, what, which) for stage, mark, what, which, _ in fields.values()])
        table = np.empty((len(fields), things), dtype=np.int64)
        for column, field in zip(table, fields.values(), strict=True):
            column[:] = field.empty
        sums.keep(
            table, codes, self._order, self._bounds, self.unit, place, self.tick, self.rule, self.pool, self.quantity, PHASES
        )  # fmt: skip
        return dict(zip(fields, table, strict=True))

    def turns(self, values: dict[tuple[Stage, Mark], int], life: Lives) -> tuple[Ints, Ints, Ints, Ints]:
        """Rows of phases with one of some stages and marks, in order of phase and of the log: phase, row, the value of the row's
        stage and mark, and the tick of the phase's next such row, NEVER if there is none."""
        codes = np.array([mark * STAGES + stage for stage, mark in values])
        given = np.array([int(value) for value in values.values()])
        things = len(life.phases.site)
        return sums.turns(codes, given, self._order, self._bounds, self.unit, life.place, self.tick, things)

    def of(self, stage: Stage, mark: Mark) -> Ints:
        """Indices of the rows with a stage and a mark, in the order they were written."""
        code = mark * STAGES + stage
        return self._order[self._bounds[code] : self._bounds[code + 1]]

    def of_projects(self, stage: Stage, mark: Mark) -> Ints:
        """The same without those that a company or the world wrote."""
        rows = self.of(stage, mark)
        return rows[self.root[rows] >= 0]

    def company(self, rows: Ints) -> Ints:
        """The company that wrote each of some rows."""
        return -1 - self.root[rows]


class Sites(NamedTuple):
    """Every site, planned or not: index root * HOPS + hop. All (R * HOPS,)."""

    planned: Ints
    company: Ints
    country: Ints
    market: Ints
    """-1 where nothing was planned"""
    mw16: Ints
    """planned IT load, 1/16 MW; of a successor what had not been shipped before"""
    site_control: Ints
    ground_breaking: Ints
    own_date: Ints
    """the company's own date of first power, set at ground-breaking"""
    first_power: Ints
    bridged: Ints
    """first power from on-site generation"""
    grid: Ints
    """the grid is energised, even if that comes after bridging"""
    construction: Ints
    """construction begins, once crews are there"""
    shell_ready: Ints
    """the first building"""
    let: Ints
    """the finished shell is let to other use"""
    ended: Ints
    """the rest of the site is given up: relocated or cancelled"""
    end_rule: Ints
    """the provision that made the company give it up, -1 if it was power or money"""
    relocated: Ints
    full: Ints
    """every phase is online"""


class Phases(NamedTuple):
    """Every phase of every planned site, in order of site and phase. All (N,)."""

    site: Ints
    """index into `Sites`"""
    number: Ints
    """within the site, from 0"""
    company: Ints
    country: Ints
    market: Ints
    route: Ints
    vendor: Ints
    """whose chips it takes, after any switch"""
    mw16: Ints
    """planned IT load, 1/16 MW"""
    powered: Ints
    shell_ready: Ints
    ready: Ints
    """powered and shelled"""
    asked: Ints
    """clearance is first asked for"""
    cleared: Ints
    """the last time"""
    clearance_rule: Ints
    """the provision that cleared it last, -1 without"""
    shipped: Ints
    ship_rule: Ints
    tpp: Ints
    """shipped"""
    front_loaded: Ints
    """shipped ahead of a restriction, before the site was ready"""
    installed: Ints
    online: Ints
    online_mw16: Ints
    """IT load online, 1/16 MW: what a licence left empty is missing; 0 if never online"""
    in_fleet: Ints
    """counted in the opening fleet"""
    ended: Ints
    """given up with its site, before any shipment"""
    h100e_ppm: Ints
    """of the chips taken"""
    switched: Ints
    """the last switch to another vendor's chips"""


class Lives(NamedTuple):
    """The milestones of a run. `place` (R * HOPS * PHASES,) finds the row of `phases` for a site and phase number, -1 if none."""

    sites: Sites
    phases: Phases
    place: Ints


def lives(static: Static, draws: Draws, log: Log) -> Lives:
    """Milestones of every site and phase of a run."""
    return lives_of(static, draws, Rows(log))


def lives_of(static: Static, draws: Draws, rows: Rows) -> Lives:
    """The same from an indexed log."""
    sites = _sites(static, draws, rows)
    n = len(sites.planned)
    where = np.nonzero(sites.planned < NEVER)[0]

    left = np.zeros(n * PHASES, dtype=np.bool_)  # phases a successor does not take over
    for stage, mark in ((Stage.SHIPPING, Mark.SHIPPED), (Stage.PROJECT, Mark.IN_FLEET)):
        left[rows.unit[rows.of(stage, mark)]] = True
    switched = rows.of(Stage.CHIPS, Mark.SWITCHED)
    size, vendor = _phases_of(draws, where, left.reshape(n, PHASES), rows.unit[switched], rows.pool[switched])
    row, number = np.nonzero(size)
    site = where[row]
    place = np.full(n * PHASES, -1, dtype=np.int64)
    place[site * PHASES + number] = np.arange(len(site))

    told = rows.told(OF_PHASE, place, len(site))
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    h100e = np.zeros(len(site) + 1, dtype=np.int64)
    np.add.at(h100e, place[rows.unit[taken]], rows.quantity[taken] * static.h100e_ppm[rows.pool[taken]])
    given_up = sites.ended[site]
    phases = Phases(
        site=site,
        number=number.astype(np.int64),
        company=sites.company[site],
        country=sites.country[site],
        market=sites.market[site],
        route=draws.route[site // HOPS],
        vendor=vendor[row, number],
        mw16=size[row, number],
        ended=np.where((told["shipped"] == NEVER) & (told["in_fleet"] == NEVER), given_up, NEVER),
        h100e_ppm=h100e[:-1],
        **told,
    )
    return Lives(sites, phases, place)


OF_PHASE = {
    "powered": Field(Stage.INTERCONNECTION, Mark.POWERED),
    "shell_ready": Field(Stage.FIT_OUT, Mark.SHELL_READY),
    "ready": Field(Stage.PROJECT, Mark.READY),
    "asked": Field(Stage.CLEARANCE, Mark.START, which=sums.FIRST),
    "cleared": Field(Stage.CLEARANCE, Mark.CLEARED),
    "clearance_rule": Field(Stage.CLEARANCE, Mark.CLEARED, sums.RULE, empty=-1),
    "shipped": Field(Stage.SHIPPING, Mark.SHIPPED),
    "ship_rule": Field(Stage.SHIPPING, Mark.SHIPPED, sums.RULE, empty=-1),
    "tpp": Field(Stage.SHIPPING, Mark.SHIPPED, sums.QUANTITY, empty=0),
    "front_loaded": Field(Stage.SHIPPING, Mark.FRONT_LOADED),
    "installed": Field(Stage.INSTALLATION, Mark.END),
    "online": Field(Stage.PROJECT, Mark.ONLINE),
    "online_mw16": Field(Stage.PROJECT, Mark.ONLINE, sums.QUANTITY, empty=0),
    "in_fleet": Field(Stage.PROJECT, Mark.IN_FLEET),
    "switched": Field(Stage.CHIPS, Mark.SWITCHED),
}
"""What the log tells of phases, by the name in `Phases`"""
OF_SITE = {
    "planned": Field(Stage.PROJECT, Mark.PLANNED),
    "market": Field(Stage.PROJECT, Mark.PLANNED, sums.POOL, empty=-1),
    "mw16": Field(Stage.PROJECT, Mark.PLANNED, sums.QUANTITY, empty=0),
    "site_control": Field(Stage.SITE_SELECTION, Mark.END),
    "ground_breaking": Field(Stage.CONSTRUCTION, Mark.GROUND_BREAKING),
    "own_date": Field(Stage.CONSTRUCTION, Mark.OWN_DATE, sums.QUANTITY),
    "first_power": Field(Stage.INTERCONNECTION, Mark.FIRST_POWER),
    "bridged": Field(Stage.BRIDGING, Mark.BRIDGED),
    "grid": Field(Stage.INTERCONNECTION, Mark.END),
    "construction": Field(Stage.CONSTRUCTION, Mark.START),
    "shell_ready": Field(Stage.FIT_OUT, Mark.SHELL_READY, which=sums.OF_FIRST_PHASE),
    "let": Field(Stage.PROJECT, Mark.LET),
    "relocated": Field(Stage.PROJECT, Mark.RELOCATED),
    "full": Field(Stage.PROJECT, Mark.FULL),
    "cancelled": Field(Stage.PROJECT, Mark.CANCELLED),
    "relocated_rule": Field(Stage.PROJECT, Mark.RELOCATED, sums.RULE, empty=-1),
    "cancelled_rule": Field(Stage.PROJECT, Mark.CANCELLED, sums.RULE, empty=-1),
}
"""What the log tells of sites, by the name in `Sites`, and what these are made of"""


def _sites(static: Static, draws: Draws, rows: Rows) -> Sites:
    n = len(draws.names) * HOPS
    told = rows.told(OF_SITE, NOWHERE, n)
    cancelled, relocated_rule, cancelled_rule = (told.pop(name) for name in ("cancelled", "relocated_rule", "cancelled_rule"))
    market, relocated = told["market"], told["relocated"]
    return Sites(
        company=np.repeat(draws.company, HOPS),
        country=np.where(market >= 0, static.market_country[market], -1),
        ended=np.minimum(relocated, cancelled),
        end_rule=np.where(relocated < NEVER, relocated_rule, cancelled_rule),
        **told,
    )


def _phases_of(draws: Draws, sites: Ints, left: Bools, switched: Ints, vendors: Ints) -> tuple[Ints, Ints]:
    """(S, PHASES) size of each phase of the planned sites, 0 beyond the last, and its vendor.

    A successor takes over what was not shipped, renumbered from 0; all of it is then planned with the vendor of the first of
    these. `left` (R * HOPS, PHASES) marks what a successor does not take; `switched` are units that took another of `vendors`.
    """
    size, vendor = sums.sizes(
        sites, HOPS, draws.phases, np.ascontiguousarray(draws.phase_mw16), draws.vendor, left, switched, vendors
    )
    return size, vendor


class Waits(NamedTuple):
    """Spells in which a phase was powered and shelled but not cleared, one entry for each thing it waited for.

    `stage`: LICENCE_REVIEW, ALLOCATION, AUTHORISATION, CLASSIFICATION, FRAMEWORK, or CLEARANCE between a return or denial and the
    next filing. `rule`: the provision it waited for, -1 if none. NEVER ends a spell still open at the horizon.
    """

    phase: Ints
    """index into `Phases`"""
    stage: Ints
    rule: Ints
    begin: Ints
    end: Ints


ASKING = (Stage.CLEARANCE, Stage.LICENCE_REVIEW, Stage.ALLOCATION, Stage.AUTHORISATION, Stage.CLASSIFICATION, Stage.FRAMEWORK)
"""What a phase not yet cleared can wait for, in rising order."""


def waits(rows: Rows, life: Lives) -> Waits:
    """The spells of waiting for clearance, read off the log. Spells of one phase do not overlap."""
    over = -1  # cleared or given up: it waits no more
    turns = {
        (Stage.CLEARANCE, Mark.START): int(Stage.CLEARANCE),
        (Stage.CLEARANCE, Mark.CLEARED): over,
        (Stage.CLEARANCE, Mark.END): over,
    }
    phase, row, stage, end = rows.turns(turns | {(stage, Mark.WAITS): int(stage) for stage in ASKING}, life)
    begin = np.maximum(rows.tick[row], life.phases.ready[phase])
    real = (stage >= 0) & (end > begin) & (begin < NEVER)
    return Waits(phase[real], stage[real], rows.rule[row[real]], begin[real], end[real])


class Spells(NamedTuple):
    """Times during which phases were in a stage. NEVER ends one still open at the horizon."""

    phase: Ints
    begin: Ints
    end: Ints


def spells(rows: Rows, life: Lives, stage: Stage) -> Spells:
    """Spells of a stage that phases begin and end one after the other; giving the site up ends one too."""
    phase, row, begins, end = rows.turns({(stage, Mark.START): 1, (stage, Mark.END): 0}, life)
    begun = begins == 1
    phase, begin, end = phase[begun], rows.tick[row[begun]], end[begun]
    return Spells(phase, begin, np.minimum(end, life.phases.ended[phase]))


class Authorisations(NamedTuple):
    """From when to when companies hold an authorisation that stands for licences; NEVER where they do not, or do not lose it."""

    since: Ints
    until: Ints
    """(K,) the universal one"""
    national: Ints
    """(K, C) from when the one for a country; it is not lost"""


def authorisations(static: Static, rows: Rows) -> Authorisations:
    """Grants and revocations of authorisations, read off the log."""
    companies = len(static.companies)
    since, until = np.full(companies, NEVER), np.full(companies, NEVER)
    for ticks, mark in ((since, Mark.APPROVED), (until, Mark.REVOKED)):
        found = rows.of(Stage.AUTHORISATION, mark)
        ticks[rows.company(found)] = rows.tick[found]
    national = np.full((companies, len(static.countries)), NEVER)
    found = rows.of(Stage.NATIONAL_AUTHORISATION, Mark.APPROVED)
    national[rows.company(found), rows.pool[found]] = rows.tick[found]
    return Authorisations(since, np.where(since < NEVER, until, NEVER), national)


def summed(group: Ints, amount: NDArray[Any], groups: int) -> Floats:
    """(groups,) amounts added up by group."""
    return np.bincount(group, weights=amount, minlength=groups).astype(np.float64)


class MonthEnds:
    """Adds dated amounts up: running totals at month ends by company and place (a country, or a group of countries).

    Whatever happened before the start date stands from the first month on; what happens at the horizon or later is left out.
    """

    def __init__(self, static: Static, place: Ints, places: int):
        """`place` (C,) gives each country's column, of `places`."""
        self.months, self.companies, self.places = len(static.month_starts) - 1, len(static.companies), places
        self.horizon, self.place = static.horizon, place
        days = static.horizon // TICKS_PER_DAY
        self.last_day = days
        self.month_of_day = np.searchsorted(static.month_starts, np.arange(days + 1) * TICKS_PER_DAY, side="right") - 1
        self.ends = static.month_starts[1:] / TICKS_PER_DAY
        self._column = np.ascontiguousarray(place)

    def _table(self, *lines: int) -> Floats:
        return np.zeros((*lines, self.months + 1, self.companies, self.places))

    def _add(
        self,
        table: Floats,
        tick: Ints,
        company: Ints,
        country: Ints,
        amount: NDArray[Any] | float,
        sign: float = 1.0,
        *,
        since: bool = False,
    ) -> None:
        """Add amounts to a table in the months of their ticks; `since`: without what was before the start date."""
        amounts = _floats(amount, len(tick))
        sums.add(table, tick, company, country, amounts, self._column, self.month_of_day, since, sign)

    def at(self, months: list[int], tick: Ints, place: Ints, places: int, amount: NDArray[Any]) -> Floats:
        """(len(months), places) running totals of all companies at the ends of some months only."""
        step = np.searchsorted(months, self.month(tick))
        flat = np.bincount(step * places + place, weights=amount, minlength=(len(months) + 1) * places)
        return np.cumsum(flat.reshape(-1, places)[: len(months)], axis=0)

    def month(self, tick: Ints) -> Ints:
        """Index of the month in which ticks fall: the first one for earlier ticks, the number of months for later ones."""
        return self.month_of_day[np.minimum(np.maximum(tick >> TICK_BITS, 0), self.last_day)]

    def totals(self, tick: Ints, company: Ints, country: Ints, amount: NDArray[Any] | float) -> Floats:
        """(T, K, X) running totals at month ends of amounts that happen at ticks."""
        table = self._table(1)
        self._add(table[0], tick, company, country, amount)
        return sums.cumulated(table)[0]

    def several(self, lines: int, line: Ints, tick: Ints, company: Ints, country: Ints, amount: NDArray[Any]) -> Floats:
        """(lines, T, K, X) the same for several tables at once; `line` says which one an amount belongs to."""
        table = self._table(lines)
        sums.add_by_line(table, line, tick, company, country, _floats(amount, len(tick)), self._column, self.month_of_day)
        return sums.cumulated(table)

    def during(self, begin: Ints, end: Ints, company: Ints, country: Ints, amount: NDArray[Any] | float) -> Floats:
        """(T, K, X) amounts that are there from one tick to another, at month ends."""
        table = self._table(1)
        self._add(table[0], begin, company, country, amount)
        self._add(table[0], end, company, country, amount, -1.0)
        return sums.cumulated(table)[0]

    def since(self, tick: Ints, company: Ints, country: Ints, amount: NDArray[Any] | float) -> Floats:
        """The same as `totals` without what happened before the start date."""
        return self.dated([[Dated(tick, company, country, amount)]])[0]

    def dated(self, lines: Sequence[Sequence[Dated]]) -> Floats:
        """(lines, T, K, X) totals of several lines at once, each of any number of parts, without what was before the start date."""
        table = self._table(len(lines))
        for line, parts in enumerate(lines):
            for part in parts:
                self._add(table[line], *part, since=True)
        return sums.cumulated(table)

    def accrued(self, begin: Ints, end: Ints | int, company: Ints, country: Ints, a_day: NDArray[Any] | float) -> Floats:
        """(T, K, X) running totals at month ends of amounts that run up by the day between two ticks, from the start date on."""
        return self.running([[Running(begin, end, company, country, a_day)]])[0]

    def running(self, lines: Sequence[Sequence[Running]]) -> Floats:
        """(lines, T, K, X) the same for several lines at once, each of any number of parts."""
        table = self._table(len(lines), 2)
        for line, parts in enumerate(lines):
            for ends in (False, True):
                for begin, end, company, country, a_day in parts:
                    until = end if isinstance(end, np.ndarray) else np.full(len(begin), end)
                    rate = _floats(a_day, len(begin))
                    sums.run_up(table[line], begin, until, company, country, rate, self._column, self.month_of_day, ends)
        return sums.run_out(table, self.ends)


def _floats(amount: NDArray[Any] | float, n: int) -> Floats:
    """Amounts as an array of n numbers."""
    if isinstance(amount, np.ndarray):
        return np.ascontiguousarray(amount, dtype=np.float64)
    return np.full(n, float(amount))


class Dated(NamedTuple):
    """Amounts that happen at ticks."""

    tick: Ints
    company: Ints
    country: Ints
    amount: NDArray[Any] | float


class Running(NamedTuple):
    """Amounts that run up by the day from one tick to another."""

    begin: Ints
    end: Ints | int
    company: Ints
    country: Ints
    a_day: NDArray[Any] | float
