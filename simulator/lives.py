"""The lives of clusters, read off the event log: milestones of every site and of every phase, and what phases wait for.

A *site* is a project on one place (root and hop); a *phase* is a part of it that goes online at once. What concerns the whole
site (plan, site control, ground-breaking, first power) stands in `Sites`; clearance, chips, shipment and going online in
`Phases`. Ticks count from the start date; `NEVER` marks what did not happen. All arrays are vectors of whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.sampling import HOPS
from simulator.static import PHASES, Draws, Ints, Static
from simulator.units import TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.events import Log

Bools = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).max
STAGES, MARKS = 32, 64
TICK_BITS = 20


class Rows:
    """A log by column, with the rows of every (stage, mark) at hand: most questions ask for one mark."""

    def __init__(self, log: Log):
        self.log = log
        self.tick = np.ascontiguousarray(log["tick"])
        self.root = log["root"].astype(np.int64)
        self.site = self.root * HOPS + log["hop"]
        """root * HOPS + hop; meaningless where a company or the world writes"""
        self.unit = self.site * PHASES + log["phase"]
        """site * PHASES + phase"""
        self.rule = log["rule"].astype(np.int64)
        self.pool = log["pool"].astype(np.int64)
        self.quantity = np.ascontiguousarray(log["quantity"])
        code = log["mark"] * np.int16(STAGES) + log["stage"]
        self._order = np.argsort(code, kind="stable")
        self._bounds = np.searchsorted(code[self._order], np.arange(MARKS * STAGES + 1))

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

    def when(stage: Stage, mark: Mark) -> Ints:
        """The last time."""
        chosen = rows.of(stage, mark)
        ticks = np.full(len(site) + 1, NEVER)
        ticks[place[rows.unit[chosen]]] = rows.tick[chosen]
        return ticks[:-1]

    def what(stage: Stage, mark: Mark, values: Ints, empty: int) -> Ints:
        chosen = rows.of(stage, mark)
        found = np.full(len(site) + 1, empty)
        found[place[rows.unit[chosen]]] = values[chosen]
        return found[:-1]

    asking = rows.of(Stage.CLEARANCE, Mark.START)[::-1]
    asked = np.full(len(site) + 1, NEVER)
    asked[place[rows.unit[asking]]] = rows.tick[asking]
    shipped, in_fleet = when(Stage.SHIPPING, Mark.SHIPPED), when(Stage.PROJECT, Mark.IN_FLEET)
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    h100e = np.zeros(len(site) + 1, dtype=np.int64)
    np.add.at(h100e, place[rows.unit[taken]], rows.quantity[taken] * static.h100e_ppm[rows.pool[taken]])
    phases = Phases(
        site=site,
        number=number.astype(np.int64),
        company=sites.company[site],
        country=sites.country[site],
        market=sites.market[site],
        route=draws.route[site // HOPS],
        vendor=vendor[row, number],
        mw16=size[row, number],
        powered=when(Stage.INTERCONNECTION, Mark.POWERED),
        shell_ready=when(Stage.FIT_OUT, Mark.SHELL_READY),
        ready=when(Stage.PROJECT, Mark.READY),
        asked=asked[:-1],
        cleared=when(Stage.CLEARANCE, Mark.CLEARED),
        clearance_rule=what(Stage.CLEARANCE, Mark.CLEARED, rows.rule, -1),
        shipped=shipped,
        ship_rule=what(Stage.SHIPPING, Mark.SHIPPED, rows.rule, -1),
        tpp=what(Stage.SHIPPING, Mark.SHIPPED, rows.quantity, 0),
        front_loaded=when(Stage.SHIPPING, Mark.FRONT_LOADED),
        installed=when(Stage.INSTALLATION, Mark.END),
        online=when(Stage.PROJECT, Mark.ONLINE),
        online_mw16=what(Stage.PROJECT, Mark.ONLINE, rows.quantity, 0),
        in_fleet=in_fleet,
        ended=np.where((shipped == NEVER) & (in_fleet == NEVER), sites.ended[site], NEVER),
        h100e_ppm=h100e[:-1],
        switched=when(Stage.CHIPS, Mark.SWITCHED),
    )
    return Lives(sites, phases, place)


def _sites(static: Static, draws: Draws, rows: Rows) -> Sites:
    n = len(draws.names) * HOPS

    def when(stage: Stage, mark: Mark) -> Ints:
        chosen = rows.of_projects(stage, mark)
        ticks = np.full(n, NEVER)
        ticks[rows.site[chosen]] = rows.tick[chosen]
        return ticks

    def what(stage: Stage, mark: Mark, values: Ints, empty: int) -> Ints:
        chosen = rows.of_projects(stage, mark)
        found = np.full(n, empty)
        found[rows.site[chosen]] = values[chosen]
        return found

    market = what(Stage.PROJECT, Mark.PLANNED, rows.pool, -1)
    relocated, cancelled = when(Stage.PROJECT, Mark.RELOCATED), when(Stage.PROJECT, Mark.CANCELLED)
    built = rows.of(Stage.FIT_OUT, Mark.SHELL_READY)
    built = built[rows.unit[built] % PHASES == 0]
    shell_ready = np.full(n, NEVER)
    shell_ready[rows.site[built]] = rows.tick[built]
    return Sites(
        planned=when(Stage.PROJECT, Mark.PLANNED),
        company=np.repeat(draws.company, HOPS),
        country=np.where(market >= 0, static.market_country[market], -1),
        market=market,
        mw16=what(Stage.PROJECT, Mark.PLANNED, rows.quantity, 0),
        site_control=when(Stage.SITE_SELECTION, Mark.END),
        ground_breaking=when(Stage.CONSTRUCTION, Mark.GROUND_BREAKING),
        own_date=what(Stage.CONSTRUCTION, Mark.OWN_DATE, rows.quantity, NEVER),
        first_power=when(Stage.INTERCONNECTION, Mark.FIRST_POWER),
        bridged=when(Stage.BRIDGING, Mark.BRIDGED),
        grid=when(Stage.INTERCONNECTION, Mark.END),
        construction=when(Stage.CONSTRUCTION, Mark.START),
        shell_ready=shell_ready,
        let=when(Stage.PROJECT, Mark.LET),
        ended=np.minimum(relocated, cancelled),
        end_rule=np.where(
            relocated < NEVER,
            what(Stage.PROJECT, Mark.RELOCATED, rows.rule, -1),
            what(Stage.PROJECT, Mark.CANCELLED, rows.rule, -1),
        ),
        relocated=relocated,
        full=when(Stage.PROJECT, Mark.FULL),
    )


def _phases_of(draws: Draws, sites: Ints, left: Bools, switched: Ints, vendors: Ints) -> tuple[Ints, Ints]:
    """(S, PHASES) size of each phase of the planned sites, 0 beyond the last, and its vendor.

    A successor takes over what was not shipped, renumbered from 0; all of it is then planned with the vendor of the first of
    these. `left` (R * HOPS, PHASES) marks what a successor does not take; `switched` are units that took another of `vendors`.
    """
    root, hop = np.divmod(sites, HOPS)
    size = np.where(np.arange(PHASES) < draws.phases[root, None], draws.phase_mw16[root], 0)
    vendor = np.repeat(draws.vendor[root, None], PHASES, axis=1)
    row_of = np.full(len(left), -1, dtype=np.int64)
    row_of[sites] = np.arange(len(sites))
    changed_row, changed_phase = row_of[switched // PHASES], switched % PHASES
    change_hop = hop[changed_row] if len(switched) else changed_row
    for h in range(int(hop.max(initial=0)) + 1):
        if h:
            here = np.nonzero(hop == h)[0]
            before = row_of[sites[here] - 1]
            stays = (size[before] > 0) & ~left[sites[before]]
            order = np.argsort(~stays, axis=1, kind="stable")
            size[here] = np.take_along_axis(np.where(stays, size[before], 0), order, axis=1)
            vendor[here] = np.take_along_axis(vendor[before], order[:, :1], axis=1)
        now = change_hop == h
        vendor[changed_row[now], changed_phase[now]] = vendors[now]
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
    parts = [rows.of(Stage.CLEARANCE, mark) for mark in (Mark.START, Mark.CLEARED, Mark.END)]
    waiting = np.concatenate([rows.of(stage, Mark.WAITS) for stage in ASKING])
    turns = np.concatenate([*parts, waiting])
    stage = np.full(len(turns), int(Stage.CLEARANCE))
    stage[len(parts[0]) : len(turns) - len(waiting)] = -1  # cleared or given up: it waits no more
    stage[len(turns) - len(waiting) :] = rows.log["stage"][waiting]
    order = np.lexsort((turns, rows.unit[turns]))
    turns, stage = turns[order], stage[order]
    phase = life.place[rows.unit[turns]]
    end = np.append(rows.tick[turns[1:]], NEVER)
    end[np.append(phase[1:] != phase[:-1], True)] = NEVER
    begin = np.maximum(rows.tick[turns], life.phases.ready[phase])
    real = (stage >= 0) & (end > begin) & (begin < NEVER)
    return Waits(phase[real], stage[real], rows.rule[turns[real]], begin[real], end[real])


class Spells(NamedTuple):
    """Times during which phases were in a stage. NEVER ends one still open at the horizon."""

    phase: Ints
    begin: Ints
    end: Ints


def spells(rows: Rows, life: Lives, stage: Stage) -> Spells:
    """Spells of a stage that phases begin and end one after the other; giving the site up ends one too."""
    starts, ends = rows.of_projects(stage, Mark.START), rows.of_projects(stage, Mark.END)
    turns = np.concatenate([starts, ends])
    order = np.lexsort((turns, rows.unit[turns]))
    begins = (np.arange(len(turns)) < len(starts))[order]
    turns = turns[order]
    phase = life.place[rows.unit[turns]]
    end = np.append(rows.tick[turns[1:]], NEVER)
    end[np.append(phase[1:] != phase[:-1], True)] = NEVER
    phase, begin, end = phase[begins], rows.tick[turns[begins]], end[begins]
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
        return self.several(1, 0, tick, company, country, amount)[0]

    def several(
        self, lines: int, line: Ints | int, tick: Ints, company: Ints, country: Ints, amount: NDArray[Any] | float
    ) -> Floats:
        """(lines, T, K, X) the same for several tables at once; `line` says which one an amount belongs to."""
        shape = lines, self.months + 1, self.companies, self.places
        cell = ((line * shape[1] + self.month(tick)) * shape[2] + company) * shape[3] + self.place[country]
        weights = amount if isinstance(amount, np.ndarray) else np.full(cell.shape, amount)
        flat = np.bincount(cell, weights=weights, minlength=int(np.prod(shape)))
        # The month after the last one has collected what never happens.
        return np.cumsum(flat.reshape(shape)[:, :-1], axis=1)

    def during(self, begin: Ints, end: Ints, company: Ints, country: Ints, amount: NDArray[Any] | float) -> Floats:
        """(T, K, X) amounts that are there from one tick to another, at month ends."""
        both = np.broadcast_to(amount, begin.shape)
        return self.totals(np.concatenate([begin, end]), np.tile(company, 2), np.tile(country, 2), np.concatenate([both, -both]))

    def since(self, tick: Ints, company: Ints, country: Ints, amount: NDArray[Any] | float) -> Floats:
        """The same as `totals` without what happened before the start date."""
        return self.dated([[Dated(tick, company, country, amount)]])[0]

    def dated(self, lines: Sequence[Sequence[Dated]]) -> Floats:
        """(lines, T, K, X) totals of several lines at once, each of any number of parts, without what was before the start date."""
        tick, company, country, amount, line = _joined(lines)
        return self.several(len(lines), line, np.where(tick < 0, NEVER, tick), company, country, amount)

    def accrued(self, begin: Ints, end: Ints | int, company: Ints, country: Ints, a_day: NDArray[Any] | float) -> Floats:
        """(T, K, X) running totals at month ends of amounts that run up by the day between two ticks, from the start date on."""
        return self.running([[Running(begin, end, company, country, a_day)]])[0]

    def running(self, lines: Sequence[Sequence[Running]]) -> Floats:
        """(lines, T, K, X) the same for several lines at once, each of any number of parts."""
        begin, end, company, country, rate, line = _joined(lines)
        begin = np.minimum(np.maximum(begin, 0), self.horizon)
        end = np.minimum(np.maximum(end, begin), self.horizon)
        some = np.nonzero(begin < end)[0]
        begin, end, rate, line = begin[some], end[some], rate[some], line[some]
        behind = line + len(lines)
        found = self.several(
            2 * len(lines),
            np.concatenate([line, line, behind, behind]),
            np.concatenate([begin, end, begin, end]),
            np.tile(company[some], 4),
            np.tile(country[some], 4),
            np.concatenate([rate, -rate, rate * (begin / TICKS_PER_DAY), -rate * (end / TICKS_PER_DAY)]),
        )
        # Rounding must not make what has run up fall again.
        up = np.maximum(self.ends[:, None, None] * found[: len(lines)] - found[len(lines) :], 0.0)
        return np.maximum.accumulate(up, axis=1)


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


def _joined(lines: Sequence[Sequence[Dated]] | Sequence[Sequence[Running]]) -> list[NDArray[Any]]:
    """The columns of all parts, and the number of the line each entry belongs to."""
    parts = [(i, part) for i, line in enumerate(lines) for part in line]
    sizes = [np.size(part[0]) for _, part in parts]
    columns = [
        np.concatenate([np.broadcast_to(part[column], size) for (_, part), size in zip(parts, sizes, strict=True)])
        for column in range(len(parts[0][1]))
    ]
    return [*columns, np.repeat([i for i, _ in parts], sizes)]
