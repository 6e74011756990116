"""Why it took so long: results that explain themselves, as pure functions of a run's inputs and its event log.

Four questions, each with its own answer. None is added to another.

- `held_up` (descriptive): for every day of every phase, the one thing it was held by. Sums to all days, exactly.
- `policy_delay` (causal): months a policy costs a lineage, against the same lineage, with the same luck, under a reference.
- `incidence` (survival): by when a share of lineages, sites or phases is online, with giving up as a competing end.
- `ledgers` (scarcity): where every chip, every TPP of an allocation, every grid connection and every crew went, month by month.

Ticks, chips, TPP and sixteenths of a megawatt are whole numbers here, so that sums can be checked to the last unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.events import Log, Mark, Stage
from simulator.lives import NEVER, Rows, authorisations
from simulator.static import FACTOR_BITS, NO_POT, PHASES, Draws, Ints, Static, Timed
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, PPM, TICKS_PER_DAY, day_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TIERS = (1, 2, 3)
ALMOST = 1e-9
"""A product of fractions rarely rounds to exactly one half (as in `metrics.median_months`)."""


def months(ticks: Ints | int | float) -> Floats:
    """Ticks as average calendar months, in the same order of operations as the metrics."""
    return np.asarray(ticks) / TICKS_PER_DAY / DAYS_PER_YEAR * 12


# ------------------------------------------------------------------ sites and their events

GIVEN_UP = (Mark.RELOCATED, Mark.CANCELLED)


class Event(NamedTuple):
    """One row of the log (`events.COLUMNS`)."""

    tick: int
    order: int
    root: int
    hop: int
    phase: int
    stage: int
    mark: int
    rule: int
    pool: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Site:
    """A project on one site (root and hop), with everything that happened to it."""

    root: int
    hop: int
    market: int
    planned: int
    """tick"""
    sizes: tuple[int, ...]
    """1/16 MW of IT of its phases, as planned: a successor takes over what was given up before it"""
    events: tuple[Event, ...]
    given_up: Event | None
    """RELOCATED or CANCELLED, if it was"""
    left: frozenset[int]
    """phases given up with it; what was shipped, or ready and cleared, stays"""

    @property
    def mw16(self) -> int:
        """Planned size of the site."""
        return sum(self.sizes)

    def find(self, mark: Mark, stage: Stage | None = None, phase: int | None = None) -> Event | None:
        """The first event of a kind, None if there is none."""
        for event in self.events:
            if event.mark == mark and stage in (None, event.stage) and phase in (None, event.phase):
                return event
        return None


def sites(draws: Draws, log: Log) -> list[Site]:
    """Every planned site of a run, in the order they were planned.

    Raises ValueError if a successor is not as large as what its predecessor had left to ship.
    """
    rows = log[log["root"] >= 0]
    rows = rows[np.lexsort((rows["order"], rows["hop"], rows["root"]))]
    found: list[tuple[int, Site]] = []
    for root, of_root in groupby(map(Event._make, rows.tolist()), key=lambda e: e.root):
        sizes = tuple(draws.phase_mw16[root, : draws.phases[root]].tolist())
        for hop, of_site in groupby(of_root, key=lambda e: e.hop):
            events = tuple(of_site)
            plan = next((e for e in events if e.mark == Mark.PLANNED), None)
            if plan is None:
                continue  # barred everywhere on the day of its plan
            if plan.quantity != sum(sizes):
                raise ValueError(
                    f"site {hop} of {draws.names[root]} is planned with {plan.quantity / MW_SIXTEENTHS:g} MW, "
                    f"but {sum(sizes) / MW_SIXTEENTHS:g} MW of the project were given up before"
                )
            given_up = next((e for e in events if e.mark in GIVEN_UP), None)
            left = frozenset(range(len(sizes))) - _stays(events, given_up)
            found.append((plan.order, Site(root, hop, plan.pool, plan.tick, sizes, events, given_up, left)))
            sizes = tuple(size for f, size in enumerate(sizes) if f in left)
    return [site for _, site in sorted(found, key=lambda entry: entry[0])]


def _stays(events: Iterable[Event], given_up: Event | None) -> set[int]:
    """Phases that stay at a site although it is given up: shipped, in the opening fleet, or ready and cleared; all if it is not."""
    if given_up is None:
        return set(range(PHASES))
    kept, ready, cleared = set[int](), set[int](), set[int]()
    for e in events:
        if e.order >= given_up.order:
            break
        if e.mark in (Mark.SHIPPED, Mark.IN_FLEET):
            kept.add(e.phase)
        elif e.mark == Mark.READY:
            ready.add(e.phase)
        elif e.mark == Mark.CLEARED:
            cleared.add(e.phase)
        elif e.stage == Stage.CLEARANCE and e.mark == Mark.START:
            cleared.discard(e.phase)
    return kept | (ready & cleared)


# ------------------------------------------------------------------ what held each phase up


class Cause(IntEnum):
    """What a day of a phase went to."""

    SITE_SELECTION = 0
    GRID_CONNECTION = 1  # outside the rationed markets: from request to energisation
    GRID_QUEUE = 2  # in a rationed market: its line and the connection itself
    BRIDGING_UNITS = 3  # in line for on-site generation, which came before the grid
    BRIDGING = 4  # on-site generation being installed
    NEXT_TRANCHE = 5  # the site has power; the tranche that serves the phase has not come yet
    PERMITTING = 6
    PUT_OFF = 7  # permitted, and no ground broken yet: the shell would stand long before power comes
    HALTED = 8  # no ground is broken while a refusal stands
    CREWS = 9  # in line for the company's construction capacity
    CONSTRUCTION = 10
    FIT_OUT = 11
    NEXT_BUILDING = 12  # the first building is finished, that of the phase not yet
    NOT_YET_ASKED = 13  # clearance binds, and the company had not asked for it yet: its own timing, not the authority's
    FRAMEWORK = 14
    CLASSIFICATION = 15
    LICENCE_REVIEW = 16
    ALLOCATION = 17
    AUTHORISATION = 18  # the company's footprint leaves no headroom under the authorisation it holds
    BETWEEN_FILINGS = 19
    SECURITY = 20
    CHIPS = 21
    SHIPPING = 22
    INSTALLATION = 23
    COMMISSIONING = 24


CAUSES = {
    Cause.SITE_SELECTION: "site selection",
    Cause.GRID_CONNECTION: "grid connection",
    Cause.GRID_QUEUE: "queue for the grid",
    Cause.BRIDGING_UNITS: "waiting for on-site generation",
    Cause.BRIDGING: "installing on-site generation",
    Cause.NEXT_TRANCHE: "waiting for the campus's next energisation tranche",
    Cause.PERMITTING: "permitting",
    Cause.PUT_OFF: "ground-breaking put off until power is near",
    Cause.HALTED: "ground not broken after a refusal",
    Cause.CREWS: "waiting for construction capacity",
    Cause.CONSTRUCTION: "construction",
    Cause.FIT_OUT: "fit-out",
    Cause.NEXT_BUILDING: "waiting for the campus's next building",
    Cause.NOT_YET_ASKED: "clearance not yet asked for",
    Cause.FRAMEWORK: "waiting for the framework of a deal",
    Cause.CLASSIFICATION: "waiting for a classification",
    Cause.LICENCE_REVIEW: "licence review",
    Cause.ALLOCATION: "waiting for the country's allocation",
    Cause.AUTHORISATION: "waiting for headroom of the authorisation",
    Cause.BETWEEN_FILINGS: "between two filings",
    Cause.SECURITY: "waiting for the security acceptance",
    Cause.CHIPS: "waiting for chips",
    Cause.SHIPPING: "shipping",
    Cause.INSTALLATION: "installation",
    Cause.COMMISSIONING: "commissioning",
}
POLICY = (Cause.HALTED, *(Cause(i) for i in range(Cause.FRAMEWORK, Cause.CHIPS)))
"""What is due to export law, other than the company's own timing."""
GROUPS = {
    "site": (Cause.SITE_SELECTION,),
    "power": tuple(Cause(i) for i in range(Cause.GRID_CONNECTION, Cause.PERMITTING)),
    "shell": tuple(Cause(i) for i in range(Cause.PERMITTING, Cause.NOT_YET_ASKED)),
    "clearance": tuple(Cause(i) for i in range(Cause.NOT_YET_ASKED, Cause.SECURITY)),
    "security": (Cause.SECURITY,),
    "chips": (Cause.CHIPS,),
    "delivery": (Cause.SHIPPING, Cause.INSTALLATION, Cause.COMMISSIONING),
}
GROUP_OF = {cause: group for group, causes in GROUPS.items() for cause in causes}


class Branch(IntEnum):
    """The three branches that run in parallel from site control to the join. A tie goes to the first: law is not blamed for it."""

    POWER = 0
    SHELL = 1
    CLEARANCE = 2


class End(IntEnum):
    """How a phase's days end."""

    ONLINE = 0
    RELOCATED = 1
    CANCELLED = 2
    OPEN = 3  # unfinished at the horizon
    IN_FLEET = 4  # part of the opening fleet: no day is counted


NO_BRANCH = -1
NOT_JOINED = -1

# What begins with (stage, mark) in the shell, in clearance, and in what follows one after the other once a phase may have chips.
IN_SHELL = {
    (Stage.PERMITTING, Mark.START): Cause.PERMITTING,
    (Stage.PERMITTING, Mark.END): Cause.PUT_OFF,  # of no length, unless power is far or a refusal stands
    (Stage.CREWS, Mark.START): Cause.CREWS,
    (Stage.CREWS, Mark.END): Cause.HALTED,
    (Stage.CONSTRUCTION, Mark.START): Cause.CONSTRUCTION,
    (Stage.FIT_OUT, Mark.START): Cause.FIT_OUT,
}
WAITING = {
    Stage.FRAMEWORK: Cause.FRAMEWORK,
    Stage.CLASSIFICATION: Cause.CLASSIFICATION,
    Stage.LICENCE_REVIEW: Cause.LICENCE_REVIEW,
    Stage.ALLOCATION: Cause.ALLOCATION,
    Stage.AUTHORISATION: Cause.AUTHORISATION,
    Stage.CLEARANCE: Cause.BETWEEN_FILINGS,
}
IN_SERIES = {
    (Stage.SECURITY, Mark.START): Cause.SECURITY,
    (Stage.CHIPS, Mark.START): Cause.CHIPS,
    (Stage.SHIPPING, Mark.START): Cause.SHIPPING,
    (Stage.INSTALLATION, Mark.START): Cause.INSTALLATION,
    (Stage.COMMISSIONING, Mark.START): Cause.COMMISSIONING,
}
Step = tuple[int, Cause]
"""(tick, cause from then on)"""


END_OF = {Mark.RELOCATED: End.RELOCATED, Mark.CANCELLED: End.CANCELLED}


class At(NamedTuple):
    """A point in the log: its tick, and its place in it."""

    tick: int
    order: int


NOT_YET = At(int(NEVER), int(NEVER))


@dataclass(slots=True)
class _Clearance:
    """One time a phase asked for clearance, and what it then waited for."""

    asked: At
    steps: list[Step]
    cleared: At = NOT_YET
    lost: At = NOT_YET
    """asked again, or given up"""


@dataclass(slots=True)
class _Phase:
    """What happened to one phase, branch by branch."""

    powered: At = NOT_YET
    shelled: At = NOT_YET
    clearances: list[_Clearance] = field(default_factory=list)
    series: list[Event] = field(default_factory=list)
    """beginnings of `IN_SERIES` and what clearance it asked for meanwhile"""
    chips: At = NOT_YET
    """last time it joined the line for chips"""
    shipped: At = NOT_YET
    arrived: At = NOT_YET
    ended: At = NOT_YET
    how: End = End.OPEN

    @property
    def ready(self) -> At:
        """Power and shell are there."""
        return max(self.powered, self.shelled, key=lambda at: at.order)


@dataclass(slots=True)
class _Tracks:
    """What happened at a site, branch by branch."""

    control: int
    """tick of site control, NEVER without"""
    requested: int
    """tick of the request for the grid"""
    power: list[Step]
    shell: list[Step]
    bridging: int
    """tick at which on-site generation was assigned"""
    first_power: int
    phases: list[_Phase]


def _read(static: Static, site: Site) -> _Tracks:
    """Sort a site's events by branch."""
    phases = [_Phase() for _ in site.sizes]
    control = requested = bridging = first_power = int(NEVER)
    bridged, shell = False, list[Step]()
    for e in site.events:
        at, key, of = At(e.tick, e.order), (e.stage, e.mark), phases[e.phase]
        if of.how in (End.RELOCATED, End.CANCELLED):
            continue  # what is finished for the phases that stay
        if key == (Stage.SITE_SELECTION, Mark.END):
            control = e.tick
        elif key == (Stage.INTERCONNECTION, Mark.START):
            requested = e.tick
        elif key == (Stage.BRIDGING, Mark.START):
            bridging = e.tick
        elif e.mark == Mark.BRIDGED:
            bridged = True
        elif e.mark == Mark.FIRST_POWER:
            first_power = e.tick
        elif e.mark == Mark.POWERED:
            of.powered = at
        elif e.mark == Mark.SHELL_READY:
            of.shelled = at
            if e.phase == 0:
                shell.append((e.tick, Cause.NEXT_BUILDING))
        elif key in IN_SHELL:
            shell.append((e.tick, IN_SHELL[key]))
        elif key == (Stage.CLEARANCE, Mark.START):
            if of.clearances and of.clearances[-1].cleared is NOT_YET:
                of.series.append(e)
                continue  # asks again without having been cleared: it goes on
            if of.clearances:
                of.clearances[-1].lost = at
            of.clearances.append(_Clearance(at, [(e.tick, Cause.BETWEEN_FILINGS)]))
            of.series.append(e)
        elif e.mark == Mark.WAITS:
            of.clearances[-1].steps.append((e.tick, WAITING[Stage(e.stage)]))
            of.series.append(e)
        elif e.mark == Mark.CLEARED:
            of.clearances[-1].cleared = at
            of.series.append(e)
        elif key in IN_SERIES:
            of.series.append(e)
            if e.stage == Stage.CHIPS:
                of.chips = at
        elif e.mark == Mark.SHIPPED:
            of.shipped = at
        elif key == (Stage.SHIPPING, Mark.END):
            of.arrived = at
        elif e.mark == Mark.ONLINE:
            of.ended, of.how = at, End.ONLINE
        elif e.mark == Mark.IN_FLEET:
            of.ended, of.how = at, End.IN_FLEET
        elif e.mark in GIVEN_UP:
            for f in site.left:
                phases[f].ended, phases[f].how = at, END_OF[Mark(e.mark)]
    if bridging < NEVER and (bridged or first_power == NEVER):
        power = [(control, Cause.BRIDGING_UNITS), (bridging, Cause.BRIDGING)]
    else:
        queued = static.rationed[site.market] and requested < NEVER
        power = [(control, Cause.GRID_QUEUE if queued else Cause.GRID_CONNECTION)]
    if first_power < NEVER:
        power.append((first_power, Cause.NEXT_TRANCHE))
    shell = [(control, Cause.PERMITTING), *_unbroken(shell, phases)]
    return _Tracks(control, requested, power, shell, bridging, first_power, phases)


class _Walk(NamedTuple):
    """The way back from a phase's end: what each stretch of days went to."""

    steps: list[Step]
    join: int
    """tick at which power, shell and clearance were all there, NEVER if they were not"""
    binding: int
    done: tuple[int, int, int]
    """ticks at which the branches were done, by `Branch`"""


class _Walker:
    """Walks back from the joins of every phase of one run."""

    def __init__(self, static: Static, draws: Draws, found: list[Site]):
        self.static, self.draws = static, draws
        self.read = [(site, _read(static, site)) for site in found]
        self.in_queue = _queue_ends(static, draws, self.read)

    def walk(self, site: Site, tracks: _Tracks, f: int) -> _Walk:
        """What each day of a phase went to, from its plan to its end."""
        one, plan = tracks.phases[f], (site.planned, Cause.SITE_SELECTION)
        if tracks.control == NEVER:
            return _Walk([plan], int(NEVER), NO_BRANCH, (int(NEVER),) * 3)
        done = one.powered.tick, one.shelled.tick
        ready, ahead = one.ready, one.shipped.order < one.ready.order
        if ahead:  # shipped ahead of a restriction: the site comes after the chips
            cleared = max((c.cleared.tick for c in one.clearances if c.cleared.order < one.shipped.order), default=int(NEVER))
            branch = self.later(site, tracks, f)
            steps = self.on_site(tracks, branch)
            if ready is NOT_YET:
                return _Walk([plan, *steps], int(NEVER), branch, (*done, cleared))
            first, begins = (ready, Cause.INSTALLATION) if one.arrived.order < ready.order else (one.chips, Cause.CHIPS)
            steps = [*_before(first.tick, steps), (first.tick, begins), *_in_series(one, first.order)]
            return _Walk([plan, *steps], ready.tick, branch, (*done, cleared))

        held = next((c for c in one.clearances if c.cleared is not NOT_YET and c.lost.order > ready.order), None)
        if ready is not NOT_YET and held is not None:
            join = max(ready, held.cleared, key=lambda at: at.order)
            ticks = *done, held.cleared.tick
            binding = ticks.index(max(ticks))
            steps = self.cleared_by(site, tracks, f, held) if binding == Branch.CLEARANCE else self.on_site(tracks, binding)
            steps = [*_before(join.tick, steps), (join.tick, Cause.CHIPS), *_in_series(one, join.order)]
            return _Walk([plan, *steps], join.tick, binding, ticks)

        binding = self.open_branch(site, tracks, f)
        last = one.clearances[-1] if one.clearances else None
        if binding != Branch.CLEARANCE:
            steps = self.on_site(tracks, binding)
        elif last is None and f in site.left:  # another phase's clearance ended the site
            stuck = (i for i, other in enumerate(tracks.phases) if other.clearances and other.clearances[-1].cleared is NOT_YET)
            i = next(stuck, None)
            steps = self.cleared_by(site, tracks, f, None if i is None else tracks.phases[i].clearances[-1])
        else:
            steps = self.cleared_by(site, tracks, f, last)
        return _Walk([plan, *steps], int(NEVER), binding, (*done, int(NEVER)))

    def open_branch(self, site: Site, tracks: _Tracks, f: int) -> int:
        """What a phase that was never joined lacked at its end: what it was given up for, else what was open, expected last."""
        one = tracks.phases[f]
        lacks_clearance = not one.clearances or one.clearances[-1].cleared is NOT_YET
        refused = f in site.left and site.given_up is not None and site.given_up.rule >= 0
        if one.ready is not NOT_YET or (refused and lacks_clearance):
            return Branch.CLEARANCE
        if f in site.left and not refused and one.powered is NOT_YET:
            return Branch.POWER
        return self.later(site, tracks, f)

    def later(self, site: Site, tracks: _Tracks, f: int) -> int:
        """Of power and shell: the one that was done last, the open one, or if both are open the one expected last."""
        power, shell = tracks.phases[f].powered.tick, tracks.phases[f].shelled.tick
        if power == shell == NEVER:
            if tracks.shell[-1][1] is Cause.PUT_OFF:
                return Branch.POWER  # what the shell is put off for
            power, shell = self.expected(site, tracks, f)
        return Branch.SHELL if shell > power else Branch.POWER

    def on_site(self, tracks: _Tracks, branch: int) -> list[Step]:
        """What happened in the branch of power or shell."""
        return tracks.power if branch == Branch.POWER else tracks.shell

    def cleared_by(self, site: Site, tracks: _Tracks, f: int, held: _Clearance | None) -> list[Step]:
        """What happened in the branch of clearance up to a clearance (None: it never asked).

        Before it asked for a later clearance the phase was cleared, and waited for its site.
        """
        mine = tracks.phases[f].clearances
        if held is None:
            return [(tracks.control, Cause.NOT_YET_ASKED)]
        if held in mine[1:]:
            return [*_before(held.asked.tick, self.on_site(tracks, self.later(site, tracks, f))), *held.steps]
        return [(tracks.control, Cause.NOT_YET_ASKED), *held.steps]

    def expected(self, site: Site, tracks: _Tracks, f: int) -> tuple[int, int]:
        """Ticks at which power and shell are expected by their nominal lengths: exact where nothing is contended.

        The same integer arithmetic as the engine's; only the order of the two is used.
        """
        static, draws, root = self.static, self.draws, site.root
        country = int(static.market_country[site.market])
        power_offset, shell_offset = int(draws.power_offset[root, f]), int(draws.shell_offset[root, f])

        def length(timed: Timed, luck: Ints | None = None, tick: int = 0) -> int:
            ticks = int(draws.median[timed, site.market]) * int(draws.spread[root, timed]) >> FACTOR_BITS
            ticks = ticks * int(draws.route_factor[draws.route[root], timed]) >> FACTOR_BITS
            return ticks if luck is None else ticks * int(luck[_year(static, tick), country]) >> FACTOR_BITS

        if tracks.first_power < NEVER:
            power = tracks.first_power
        elif tracks.bridging < NEVER:
            power = tracks.bridging + int(draws.bridge_lead[root])
        elif (root, site.hop) in self.in_queue:
            power = self.in_queue[root, site.hop]
        else:
            asked = tracks.requested if tracks.requested < NEVER else tracks.control
            power = asked + max(length(Timed.INTERCONNECTION, draws.luck_power, asked) - draws.interconnection_lead, 0)

        since = {cause: tick for tick, cause in tracks.shell}
        fitted = since.get(Cause.NEXT_BUILDING)
        if fitted is None:
            permitted = max(since.get(c, tracks.control + length(Timed.PERMITTING)) for c in (Cause.PUT_OFF, Cause.HALTED))
            broken = since.get(Cause.CONSTRUCTION, permitted)
            built = since.get(Cause.FIT_OUT, broken + length(Timed.CONSTRUCTION, draws.luck_construction, broken))
            fitted = built + length(Timed.FIT_OUT)
        return power + power_offset, fitted + shell_offset


def _unbroken(shell: list[Step], phases: list[_Phase]) -> list[Step]:
    """The steps of a shell, with the days between permits and what follows split: halted while a clearance is asked for and not
    there, put off for power else."""
    asked = [(c.asked.tick, c.cleared.tick) for phase in phases for c in phase.clearances]
    steps: list[Step] = []
    ends = [*(tick for tick, _ in shell[1:]), int(NEVER)]
    for (tick, cause), until in zip(shell, ends, strict=False):
        if cause is not Cause.PUT_OFF:
            steps.append((tick, cause))
            continue
        for edge in sorted({tick, *(t for span in asked for t in span if tick < t < until)}):
            halted = any(begin <= edge < end for begin, end in asked)
            steps.append((edge, Cause.HALTED if halted else Cause.PUT_OFF))
    return steps


def _before(tick: int, steps: list[Step]) -> list[Step]:
    """The steps that begin before a tick."""
    return [step for step in steps if step[0] < tick]


def _in_series(one: _Phase, after: int) -> list[Step]:
    """What happened one after the other from a place in the log on; a clearance asked for meanwhile takes the days until it is there."""
    steps: list[Step] = []
    doing = Cause.CHIPS
    for e in one.series:
        cause = IN_SERIES.get((Stage(e.stage), Mark(e.mark)))
        if cause is not None:
            doing = cause
        elif e.order > one.shipped.order:
            continue  # chips have left: what is asked for then holds nothing up
        elif e.mark == Mark.WAITS:
            cause = WAITING[Stage(e.stage)]
        else:
            cause = Cause.BETWEEN_FILINGS if e.mark == Mark.START else doing
        if e.order > after:
            steps.append((e.tick, cause))
    return steps


def _year(static: Static, tick: int) -> int:
    """Index of the calendar year of a tick, counted from that of the oldest plan."""
    return int(np.clip(np.searchsorted(static.year_starts, tick, side="right") - 1, 0, len(static.year_starts) - 1))


def _queue_ends(static: Static, draws: Draws, read: list[tuple[Site, _Tracks]]) -> dict[tuple[int, int], int]:
    """Ticks at which the grid is expected at sites in line in a rationed market: their work, one after the other, by request."""
    ends: dict[tuple[int, int], int] = {}
    free = draws.grid_backlog.tolist()
    for site, tracks in sorted(read, key=lambda pair: pair[1].requested):
        m, asked = site.market, tracks.requested
        if not (static.rationed[m] and asked < NEVER):
            continue
        energised = site.find(Mark.END, Stage.INTERCONNECTION)
        if energised is not None:
            free[m] = max(free[m], energised.tick)
        elif site.find(Mark.HALTED, Stage.INTERCONNECTION) is None:
            luck = int(draws.luck_power[_year(static, asked), static.market_country[m]])
            free[m] = max(free[m], asked) + (site.mw16 * int(draws.grid_ticks[m]) * luck >> FACTOR_BITS)
            ends[site.root, site.hop] = max(free[m], asked - draws.interconnection_lead + int(draws.grid_works[m]))
    return ends


@dataclass(frozen=True)
class HeldUp:
    """What held each phase up. N phases, site by site in the order they were planned; 25 causes (`Cause`), K companies, Y years.

    A day is counted from the later of the site's plan and the start date until the phase is online, given up, or the horizon.
    """

    root: Ints
    hop: Ints
    phase: Ints
    company: Ints
    country: Ints
    market: Ints
    mw16: Ints
    """(N,) planned IT load in 1/16 MW, also after a downsizing"""
    begin: Ints
    end: Ints
    """(N,) ticks between which days are counted; never `end` before `begin`"""
    how: Ints
    """(N,) `End`"""
    binding: Ints
    """(N,) `Branch` that decided the first join; of a phase given up before it, the one it was given up for; of an unfinished one,
    the branch open, or expected last; NO_BRANCH before site control"""
    join: Ints
    """(N,) tick at which power, shell and clearance were all there; NEVER if they were not"""
    slack: Ints
    """(N, 3) ticks by which each branch was done before the join, 0 for the binding one; NOT_JOINED if there was no join"""
    ticks: Ints
    """(N, 25) by cause; each row sums to `end - begin`"""
    cube: Ints
    """(25, K, 3, Y) ticks x 1/16 MW by cause, company, tier and calendar year from that of the start date"""


def held_up(static: Static, draws: Draws, log: Log) -> HeldUp:
    """The binding cause of every phase-day: exactly one, by walking back from each join along the branch that finished last.

    Until site control: site selection. Until the first join of the phase's power, shell and clearance: what then went on in the
    branch that finished last (the first of the three on a tie). The site's power and shell count for all its phases; after first
    power a later phase waits for its tranche, after the first shell for its building. Of clearance, the days before the first
    filing are the company's own timing (`NOT_YET_ASKED`). A clearance lost before the join and found last takes the days since it
    was asked for anew; before that the site was what the phase waited for. After the join everything is in series; a
    clearance asked for then takes all its days. A phase shipped ahead waits for its site.

    A phase given up before its join went to clearance if a provision ended the site (to that of the phase which had asked, if it had
    not asked itself), else to power. One unfinished at the horizon waits for clearance if power and shell are there; else for the
    one of the two that is open; if both are, for the one expected last by its nominal length.
    """
    found = sites(draws, log)
    walker = _Walker(static, draws, found)
    rows: list[tuple[int, ...]] = []
    spells: list[tuple[int, int, int, int]] = []
    for site, tracks in walker.read:
        for f, size in enumerate(site.sizes):
            one, walked = tracks.phases[f], walker.walk(site, tracks, f)
            begin = max(site.planned, 0)
            end = max(min(one.ended.tick, static.horizon), begin)
            slack = [walked.join - tick if walked.join < NEVER and tick < NEVER else NOT_JOINED for tick in walked.done]
            rows.append((site.root, site.hop, f, site.market, size, begin, end, one.how, walked.binding, walked.join, *slack))
            nexts = [tick for tick, _ in walked.steps[1:]] + [end]
            for (tick, cause), following in zip(walked.steps, nexts, strict=True):
                first, last = (min(max(t, begin), end) for t in (tick, following))
                if last > first:
                    spells.append((len(rows) - 1, cause, first, last))
    table = np.array(rows, dtype=np.int64).reshape(-1, 13)
    root, hop, phase, market, mw16, begins, ends, how, binding, join = table[:, :10].T
    whose, why, since, until = np.array(spells, dtype=np.int64).reshape(-1, 4).T

    ticks = np.zeros((len(table), len(Cause)), dtype=np.int64)
    np.add.at(ticks, (whose, why), until - since)
    company, country = draws.company[root], static.market_country[market]
    edges = year_edges(static)
    cube = np.zeros((len(Cause), len(static.companies), len(TIERS), len(edges) - 1), dtype=np.int64)
    tier = static.tier[country[whose]] - 1
    for year in range(len(edges) - 1):
        inside = np.maximum(np.minimum(until, edges[year + 1]) - np.maximum(since, edges[year]), 0)
        np.add.at(cube[..., year], (why, company[whose], tier), inside * mw16[whose])
    return HeldUp(
        root, hop, phase, company, country, market, mw16, begins, ends, how, binding, join, table[:, 10:], ticks, cube
    )  # fmt: skip


def year_edges(static: Static) -> Ints:
    """(Y + 1,) ticks: the start date, each 1 January after it, the horizon."""
    inner = static.year_starts[(static.year_starts > 0) & (static.year_starts < static.horizon)]
    return np.concatenate([[0], inner, [static.horizon]]).astype(np.int64)


def mw_days(ticks_mw16: Ints) -> Floats:
    """Ticks x 1/16 MW as MW-days of IT."""
    return ticks_mw16 / (TICKS_PER_DAY * MW_SIXTEENTHS)


def cause_table(static: Static, held: HeldUp) -> pd.DataFrame:
    """MW-days by cause, company, tier and calendar year; columns group, cause, company, tier, year, mw_days (MW IT x days).

    No empty rows."""
    import pandas as pd

    found = np.nonzero(held.cube)
    return pd.DataFrame(
        {
            "group": [GROUP_OF[Cause(i)] for i in found[0].tolist()],
            "cause": [CAUSES[Cause(i)] for i in found[0].tolist()],
            "company": [static.companies[i] for i in found[1].tolist()],
            "tier": [str(TIERS[i]) for i in found[2].tolist()],
            "year": found[3] + static.start.year,
            "mw_days": mw_days(held.cube[found]),
        }
    )


def phase_table(static: Static, draws: Draws, held: HeldUp) -> pd.DataFrame:
    """One row a phase: who, where, how it ended, the binding branch, slack of the branches and days by cause, all in days.

    Slack is missing where power, shell and clearance were never all there.
    """
    import pandas as pd

    branches = [branch.name.lower() for branch in Branch]
    table = {
        "project": [draws.names[i] for i in held.root.tolist()],
        "hop": held.hop,
        "phase": held.phase,
        "company": [static.companies[i] for i in held.company.tolist()],
        "country": [static.countries[i] for i in held.country.tolist()],
        "market": [static.markets[i] for i in held.market.tolist()],
        "tier": [str(t) for t in static.tier[held.country].tolist()],
        "it_mw": held.mw16 / MW_SIXTEENTHS,
        "end": [End(i).name.lower().replace("_", " ") for i in held.how.tolist()],
        "binding": [branches[i] if i != NO_BRANCH else None for i in held.binding.tolist()],
        "days": (held.end - held.begin) / TICKS_PER_DAY,
    }
    for branch in Branch:
        slack = held.slack[:, branch]
        table[f"slack_{branches[branch]}_days"] = np.where(slack == NOT_JOINED, np.nan, slack / TICKS_PER_DAY)
    for cause, words in CAUSES.items():
        table[words] = held.ticks[:, cause] / TICKS_PER_DAY
    return pd.DataFrame(table)


# ------------------------------------------------------------------ what a policy costs in time


class Finished(IntEnum):
    """In which of two runs a lineage has a phase online before the horizon."""

    BOTH = 0
    ONLY_REFERENCE = 1
    ONLY_SCENARIO = 2
    NEITHER = 3


FINISHED = {
    Finished.BOTH: "online in both",
    Finished.ONLY_REFERENCE: "online only in the reference",
    Finished.ONLY_SCENARIO: "online only in the scenario",
    Finished.NEITHER: "online in neither",
}


@dataclass(frozen=True)
class PolicyDelay:
    """Time a policy costs each lineage (root and its successors), against the same lineage under the reference.

    N lineages planned before the horizon. Lineages with a phase online before the start date in both runs, in the opening fleet
    or not, are left out.
    """

    root: Ints
    company: Ints
    tier: Ints
    """(N,) of the first site in the reference; 0 if the reference let it build nowhere"""
    mw16: Ints
    """(N,) planned IT load in 1/16 MW"""
    ticks: Ints
    """(N,) restricted time from the first plan to the first phase online, in the scenario minus in the reference; both are cut at
    the horizon, so a lineage online in neither run counts 0 and one online in one run counts what is seen of the difference"""
    mw_ticks: Ints
    """(N,) ticks x 1/16 MW: the same for every 1/16 MW of the lineage, each from the first plan to its own phase online; what is
    relocated, cancelled or left empty is not online by the horizon"""
    finished: Ints
    """(N,) `Finished`"""
    online_mw16: Ints
    reference_mw16: Ints
    """(N,) 1/16 MW online before the horizon in the scenario, and in the reference"""


class DelayRow(NamedTuple):
    """Lineages of a group and class ("all" marks a total), how much of them there is, and what the policy costs them."""

    company: str
    tier: str
    finished: str
    lineages: int
    mw: float
    """planned"""
    mw_online: float
    mw_online_reference: float
    months_mean: float
    """to the first phase online, mean over lineages"""
    months_mw_mean: float
    """to each phase online, mean weighted by planned MW"""


def policy_delay(
    static: Static, draws: Draws, log: Log, reference: Static, reference_draws: Draws, reference_log: Log
) -> PolicyDelay:
    """Difference in restricted time from the first plan of a lineage to its first phase online, scenario minus reference.

    Both runs must be the same replication: raises ValueError if their projects or horizons differ. Never add this to
    the binding causes: those describe one run, this compares two.
    """
    if draws.names != reference_draws.names or not np.array_equal(draws.planned, reference_draws.planned):
        raise ValueError("the two runs have different projects: a policy's delay is paired by lineage within one replication")
    if (static.horizon, static.start) != (reference.horizon, reference.start):
        raise ValueError(
            f"the two runs cover different days: from {static.start} to tick {static.horizon}, "
            f"from {reference.start} to tick {reference.horizon}"
        )
    here, there = _came_online(static, draws, log), _came_online(reference, reference_draws, reference_log)
    root = np.nonzero((draws.planned < static.horizon) & ~(here.before & there.before))[0]
    first, first_reference = here.first[root], there.first[root]
    seen, seen_reference = first < static.horizon, first_reference < static.horizon
    finished = np.select(
        [seen & seen_reference, seen_reference, seen],
        [Finished.BOTH, Finished.ONLY_REFERENCE, Finished.ONLY_SCENARIO],
        Finished.NEITHER,
    )
    rows = reference_log[(reference_log["mark"] == Mark.PLANNED) & (reference_log["hop"] == 0)]
    tier = np.zeros(len(draws.names), dtype=np.int64)
    tier[rows["root"]] = reference.tier[reference.market_country[rows["pool"]]]
    return PolicyDelay(
        root,
        draws.company[root],
        tier[root],
        draws.mw16[root],
        first - first_reference,
        (here.mw_ticks - there.mw_ticks)[root],
        finished.astype(np.int64),
        here.mw16[root],
        there.mw16[root],
    )


class _CameOnline(NamedTuple):
    """When the lineages of a run came online; all (R,), nothing before the start date or after the horizon."""

    first: Ints
    """tick of the first phase, the horizon without one"""
    before: Bools
    """a phase was online before the start date"""
    mw16: Ints
    """1/16 MW online by the horizon"""
    mw_ticks: Ints
    """ticks x 1/16 MW from the start date until each 1/16 MW of the plan was online, at most to the horizon"""


def _came_online(static: Static, draws: Draws, log: Log) -> _CameOnline:
    """When each lineage, and every 1/16 MW of it, came online."""
    rows = log[np.isin(log["mark"], (Mark.ONLINE, Mark.IN_FLEET)) & (log["root"] >= 0)]
    root, tick = rows["root"].astype(np.int64), np.maximum(rows["tick"], 0)
    first, mw16 = np.full(len(draws.names), static.horizon), np.zeros(len(draws.names), dtype=np.int64)
    np.minimum.at(first, root, tick)
    np.add.at(mw16, root, rows["quantity"])
    mw_ticks = (draws.mw16 - mw16) * static.horizon
    np.add.at(mw_ticks, root, rows["quantity"] * tick)
    before = np.zeros(len(draws.names), dtype=np.bool_)
    before[root[(rows["tick"] < 0) | (rows["mark"] == Mark.IN_FLEET)]] = True
    return _CameOnline(first, before, mw16, mw_ticks)


def delay_rows(static: Static, delay: PolicyDelay) -> list[DelayRow]:
    """The delay by company and tier of the first site, over all lineages and by class. Empty groups are left out."""
    found = []
    everyone = np.ones(len(delay.root), dtype=np.bool_)
    companies = [("all", everyone), *((name, delay.company == k) for k, name in enumerate(static.companies))]
    tiers = [("all", everyone), *((str(t), delay.tier == t) for t in TIERS), ("none", delay.tier == 0)]
    classes = [("all", everyone), *((words, delay.finished == f) for f, words in FINISHED.items())]
    for company, of_company in companies:
        for tier, of_tier in tiers:
            for words, of_class in classes:
                chosen = of_company & of_tier & of_class
                if not chosen.any():
                    continue
                planned, *online = (int(table[chosen].sum()) for table in (delay.mw16, delay.online_mw16, delay.reference_mw16))
                mean = int(delay.ticks[chosen].sum()) / int(chosen.sum())
                weighted = int(delay.mw_ticks[chosen].sum()) / planned if planned else np.nan
                whole, here, there = (amount / MW_SIXTEENTHS for amount in (planned, *online))
                means = float(months(mean)), float(months(weighted))
                found.append(DelayRow(company, tier, words, int(chosen.sum()), whole, here, there, *means))
    return found


# ------------------------------------------------------------------ by when


@dataclass(frozen=True)
class Incidence:
    """Cumulative incidence: share that has ended in each way by a time since the clock began. Step curves over E end times."""

    cohort: str
    """who is counted, from when to what, and in what unit"""
    months: Floats
    """(E,) times at which somebody ends; the curves are 0 before the first"""
    at_risk: Ints
    """(E,) seen and still unfinished just before each time: their number, or their weight"""
    curves: dict[str, Floats]
    """by kind of end (E,); together with those still waiting they make one"""
    size: int
    """members of the cohort"""

    def median(self, kind: str = "online") -> float | None:
        """Months by which half have ended this way; None if fewer than half are seen to: not reached."""
        return self.quantile(0.5, kind)

    def quantile(self, share: float, kind: str = "online") -> float | None:
        """Months by which a share has ended this way; None if not reached."""
        reached = np.nonzero(self.curves[kind] >= share - ALMOST)[0]
        return float(self.months[reached[0]]) if len(reached) else None

    def at(self, when: float, kind: str = "online") -> float:
        """Share that has ended this way by a number of months."""
        steps = int(np.searchsorted(self.months, when, side="right"))
        return float(self.curves[kind][steps - 1]) if steps else 0.0

    def last(self, kind: str = "online") -> float:
        """Share that has been seen to end this way by the horizon."""
        return float(self.curves[kind][-1]) if len(self.months) else 0.0


def aalen_johansen(
    entry: Ints, leave: Ints, kind: Ints, kinds: Sequence[str], weight: Ints | None = None, cohort: str = ""
) -> Incidence:
    """Cumulative incidence with competing ends (Aalen and Johansen 1978), in ticks since the clock began.

    `entry`: last tick on which it was not yet observed; `leave`: tick of its end or of the last look; `kind`: 0 still unfinished
    then, else 1 + index in `kinds`; `weight`: whole units each stands for, one if not given. Who ends at a tick is at risk at it,
    and so is who is last seen on it. With late entries a small first risk set may carry far: look at `at_risk`.
    """
    weight = np.ones(len(entry), dtype=np.int64) if weight is None else weight
    ended = kind > 0
    times = np.unique(leave[ended])

    def before(ticks: Ints) -> Ints:
        """Weight of those whose tick lies before each of the times."""
        order = np.argsort(ticks, kind="stable")
        whole = np.concatenate([[0], np.cumsum(weight[order])])
        return whole[np.searchsorted(ticks[order], times, side="left")]

    at_risk = before(entry) - before(leave)
    counts = np.zeros((len(kinds), len(times)), dtype=np.int64)
    np.add.at(counts, (kind[ended] - 1, np.searchsorted(times, leave[ended])), weight[ended])
    waiting = np.cumprod(1 - counts.sum(axis=0) / at_risk)
    still = np.concatenate([[1.0], waiting[:-1]])[: len(times)]
    curves = {name: np.cumsum(still * counts[i] / at_risk) for i, name in enumerate(kinds)}
    return Incidence(cohort, months(times), at_risk, curves, len(entry))


UNITS = ("lineages", "sites", "phases")


@dataclass(slots=True)
class _Fate:
    """What came of a site, or of the sites of a lineage."""

    root: int
    planned: int
    mw16: int
    online: list[tuple[int, int]]
    """(tick, 1/16 MW) in the order they came; `mw16` less `empty` when all of it is online"""
    empty: int
    in_fleet: bool
    goes_on: bool
    """something was shipped, or stays and waits for chips"""
    cancelled: int
    relocated: int


def _fates(found: list[Site], unit: str) -> list[_Fate]:
    """The fate of every member of a population; a lineage goes on with its successors."""
    fates: list[_Fate] = []
    lineages: dict[int, _Fate] = {}
    for site in found:
        parts: list[_Fate] = []
        if unit == "phases":
            parts = [_Fate(site.root, site.planned, size, [], 0, False, False, int(NEVER), int(NEVER)) for size in site.sizes]
            fates += parts
        elif site.root not in lineages or unit == "sites":
            lineages[site.root] = _Fate(site.root, site.planned, site.mw16, [], 0, False, False, int(NEVER), int(NEVER))
            fates.append(lineages[site.root])
        if site.given_up is not None and not parts:
            lineages[site.root].goes_on |= len(site.left) < len(site.sizes)
        for e in site.events:
            fate = parts[e.phase] if parts else lineages[site.root]
            if e.mark == Mark.ONLINE:
                fate.online.append((e.tick, e.quantity))
            elif e.mark == Mark.IN_FLEET:
                fate.in_fleet = True
            elif e.mark == Mark.DOWNSIZED:
                fate.empty += e.quantity
            elif e.mark in GIVEN_UP:
                for one in [parts[f] for f in site.left] if parts else [fate]:
                    if e.mark == Mark.CANCELLED:
                        one.cancelled = e.tick
                    elif unit != "lineages":
                        one.relocated = e.tick
    return fates


def incidence(
    static: Static,
    draws: Draws,
    log: Log,
    unit: str = "lineages",
    *,
    full: bool = False,
    pipeline: bool = False,
    among: Bools | None = None,
) -> Incidence:
    """When lineages, sites or phases come online, with giving up as competing end.

    `unit`: lineages (clock from the first plan; ends: first phase online, cancelled), sites (from the site's own plan; ends: first
    phase online, relocated, cancelled) or phases (from their site's plan, weighted by MW; the same ends). `full`: a lineage or
    site ends when all of it that is not left empty is online. Giving up the rest is no end where a phase stays and comes
    online. The cohort is what was planned since the start date; `pipeline` adds what was planned before and still unfinished
    then, left-truncated: it counts from the age at which it is seen. What has a phase in the opening fleet is not in it, and
    neither is a lineage barred everywhere on the day of its plan, which is never planned. `among`: (R,) which lineages to look at.
    Raises ValueError for another unit.
    """
    if unit not in UNITS or (full and unit == "phases"):
        raise ValueError(f"{'all of ' if full else ''}{unit} is no unit; take one of {', '.join(UNITS)}")
    return _incidence(static, _fates(sites(draws, log), unit), unit, full, pipeline, among)


def _incidence(static: Static, fates: list[_Fate], unit: str, full: bool, pipeline: bool, among: Bools | None) -> Incidence:
    kinds = ("online", "cancelled") if unit == "lineages" else ("online", "cancelled", "relocated")
    members = []
    for fate in fates:
        if fate.in_fleet or (among is not None and not among[fate.root]):
            continue
        online = min((tick for tick, _ in fate.online), default=int(NEVER))
        if full:
            whole = sum(mw16 for _, mw16 in fate.online) == fate.mw16 - fate.empty
            online = max((tick for tick, _ in fate.online), default=int(NEVER)) if whole else int(NEVER)
        given_up = (int(NEVER),) * 2 if fate.goes_on and not full else (fate.cancelled, fate.relocated)
        members.append((fate.planned, fate.mw16 if unit == "phases" else 1, online, *given_up))
    table = np.array(members, dtype=np.int64).reshape(-1, 5)
    ends = table[:, 2 : 2 + len(kinds)]
    seen = (table[:, 0] < static.horizon) & (ends.min(axis=1) >= 0) & (pipeline | (table[:, 0] >= 0))
    begin, weight, ends = table[seen, 0], table[seen, 1], ends[seen]
    first = ends.min(axis=1)
    kind = np.where(first < static.horizon, ends.argmin(axis=1) + 1, 0)
    what = "all phases online" if full else "online" if unit == "phases" else "first phase online"
    who = "planned since the start" + (" or unfinished then (left-truncated)" if pipeline else "")
    named = f"{unit} {who}: plan to {what}" + (", weighted by MW" if unit == "phases" else "")
    return aalen_johansen(np.maximum(-begin, 0) - 1, np.minimum(first, static.horizon) - begin, kind, kinds, weight, named)


SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def survival_table(static: Static, draws: Draws, log: Log) -> pd.DataFrame:
    """One row a cohort: its name and size, months by which a share of it is online (missing: not reached), and how the rest ended.

    Columns cohort, size, months_p10 to months_p90, share_online, share_cancelled, share_relocated (seen by the horizon, as estimated).
    """
    import pandas as pd

    found, table = sites(draws, log), []
    for unit in UNITS:
        fates = _fates(found, unit)
        for full in (False,) if unit == "phases" else (False, True):
            for pipeline in (False, True):
                curve = _incidence(static, fates, unit, full, pipeline, None)
                row: dict[str, object] = {"cohort": curve.cohort, "size": curve.size}
                row |= {f"months_p{round(100 * share)}": curve.quantile(share) for share in SHARES}
                for kind in ("online", "cancelled", "relocated"):
                    row[f"share_{kind}"] = curve.last(kind) if kind in curve.curves else None
                table.append(row)
    numbers = {name: "float64" for name in table[0] if name not in ("cohort", "size")}
    return pd.DataFrame(table).astype(numbers)


# ------------------------------------------------------------------ where scarce things went


@dataclass(frozen=True)
class Ledger:
    """A set of pools, month by month. All arrays (T, P), whole units.

    opening + released - lapsed - drawn - drawn_by_others + given_back = closing, and closing is the next month's opening.
    `declined` was offered or asked for but never entered or left: it stands beside the balance.
    """

    name: str
    unit: str
    pools: tuple[str, ...]
    ends: tuple[str, ...]
    """(T,) last day of each month, ISO"""
    opening: Ints
    released: Ints
    lapsed: Ints
    drawn: Ints
    drawn_by_others: Ints
    given_back: Ints
    declined: Ints
    closing: Ints
    lowest: Ints
    """(P,) lowest balance after any event since the start date; below zero something was drawn that was not there"""

    def imbalance(self) -> Ints:
        """(T, P) what is left over if each month is added up and carried forward: zeros, or there is a mistake."""
        change = self.released - self.lapsed - self.drawn - self.drawn_by_others + self.given_back
        carried = np.vstack([self.opening[:1], self.closing[:-1]]) - self.opening
        return np.abs(self.opening + change - self.closing) + np.abs(carried)


COLUMNS = ("opening", "released", "lapsed", "drawn", "drawn_by_others", "given_back", "declined", "closing")
SIGN = {"released": 1, "given_back": 1, "lapsed": -1, "drawn": -1, "drawn_by_others": -1, "declined": 0}


def ledgers(static: Static, draws: Draws, log: Log) -> list[Ledger]:
    """Every pool of a run: chips in stock and on order, allocations, the grid's queues, crews, on-site generation, footprints."""
    found = sites(draws, log)
    return [
        chip_ledger(static, draws, log),
        order_ledger(static, log),
        pot_ledger(static, log),
        grid_ledger(static, found),
        crew_ledger(static, draws, found),
        bridging_ledger(static, draws, found),
        footprint_ledger(static, draws, log),
    ]


def ledger_table(static: Static, ledger: Ledger) -> pd.DataFrame:
    """One row a month and pool in which anything is there or happens; columns ledger, pool, unit, date and those of `Ledger`.

    What is left of a pool of TPP is also given in chips and in MW of IT of the newest generation that ships in the month: a fixed
    pot shrinks with every generation.
    """
    import pandas as pd

    columns = {name: getattr(ledger, name) for name in COLUMNS}
    month, pool = np.nonzero(np.any(list(columns.values()), axis=0))
    labels = {
        "ledger": ledger.name,
        "pool": [ledger.pools[p] for p in pool.tolist()],
        "unit": ledger.unit,
        "date": [ledger.ends[t] for t in month.tolist()],
    }
    table = pd.DataFrame({**labels, **{name: values[month, pool] for name, values in columns.items()}})
    chip = newest_shipping(static)[month]
    chips = ledger.closing[month, pool] / static.tpp[chip] if ledger.unit == "TPP" else np.full(len(month), np.nan)
    return table.assign(closing_chips=chips, closing_mw=chips * static.watts[chip] / 1e6)


def newest_shipping(static: Static) -> Ints:
    """(T,) the accelerator with the largest TPP among those that make up a vendor's deliveries in each month."""
    shipping = static.shipping_generation
    return shipping[static.tpp[shipping].argmax(axis=0), np.arange(shipping.shape[1])]


def _month(static: Static, tick: Ints) -> Ints:
    """Index of the month in which a tick falls, -1 before the start."""
    return np.searchsorted(static.month_starts, tick, side="right") - 1


class Entry(NamedTuple):
    """One entry of a ledger, in the order things happened. `amount` is never negative; the column of `Ledger` gives its sign."""

    tick: int
    pool: int
    column: str
    amount: int


def _ledger(
    static: Static, name: str, unit: str, pools: Sequence[str], entries: Iterable[Entry], opening: Ints | None = None
) -> Ledger:
    """Add entries up by month and carry the balances forward; what happened before the start date is in the opening balance.

    `opening` (P,): what was there before the first entry.
    """
    shape = len(static.month_starts) - 1, len(pools)
    listed = [entry for entry in entries if entry.amount]
    tick, pool, amount = np.array([(e.tick, e.pool, e.amount) for e in listed], dtype=np.int64).reshape(-1, 3).T
    column = np.array([e.column for e in listed], dtype=np.str_)
    change = amount * np.array([SIGN[e.column] for e in listed], dtype=np.int64)
    month, since = _month(static, tick), tick >= 0
    opening = np.zeros(shape[1], dtype=np.int64) if opening is None else opening.copy()
    np.add.at(opening, pool[~since], change[~since])
    table = {}
    for flow in SIGN:
        chosen = since & (column == flow)
        table[flow] = np.zeros(shape, dtype=np.int64)
        np.add.at(table[flow], (month[chosen], pool[chosen]), amount[chosen])
    closing = opening + np.cumsum(sum(SIGN[flow] * moved for flow, moved in table.items()), axis=0)
    before = np.vstack([opening[None], closing[:-1]])
    ends = tuple(day_of(int(t) - 1, static.start).isoformat() for t in static.month_starts[1:])
    lowest = _lowest(pool[since], change[since], opening)
    return Ledger(name, unit, tuple(pools), ends, opening=before, closing=closing, lowest=lowest, **table)


def _lowest(pool: Ints, change: Ints, opening: Ints) -> Ints:
    """(P,) lowest running balance of each pool; `pool` and `change` in the order they happened."""
    lowest = opening.copy()
    order = np.argsort(pool, kind="stable")
    pool, change = pool[order], change[order]
    running = np.cumsum(change)
    base = np.concatenate([[0], running])[np.searchsorted(pool, np.arange(len(opening)))]
    np.minimum.at(lowest, pool, opening[pool] + running - base[pool])
    return lowest


def _stocks(static: Static) -> list[str]:
    return [f"{company}/{chip}" for company in static.companies for chip in static.accelerators]


def chip_ledger(static: Static, draws: Draws, log: Log) -> Ledger:
    """Each company's stock of each accelerator, `company/accelerator`. Chips a waiting phase has gathered still count as stock.

    opening: in stock or under way on the start date, less what sites took before it; released: delivered; drawn: gathered and
    handed over, including what a stopped shipment gives back in the same instant.
    """
    a = len(static.accelerators)
    rows = log[np.isin(log["mark"], (Mark.DELIVERED, Mark.CHIPS_TAKEN, Mark.CHIPS_GIVEN_BACK))]
    root = rows["root"].astype(np.int64)
    pool = np.where(root < 0, -1 - root, draws.company[np.maximum(root, 0)]) * a + rows["pool"]

    def entries() -> Iterator[Entry]:
        for tick, p, mark, chips in zip(
            rows["tick"].tolist(), pool.tolist(), rows["mark"].tolist(), rows["quantity"].tolist(), strict=True
        ):
            yield Entry(tick, p, "released" if mark == Mark.DELIVERED else "drawn", chips)
            if mark == Mark.CHIPS_GIVEN_BACK:
                yield Entry(tick, p, "given_back", chips)

    opening = (draws.opening_stock + draws.under_way).reshape(-1)
    return _ledger(static, "chips in stock", "chips", _stocks(static), entries(), opening)


def order_ledger(static: Static, log: Log) -> Ledger:
    """Chips each company has on order, `company/accelerator`.

    released: committed to, in the month of the order; drawn: delivered; declined: offered in the month of the order, and left to
    other buyers.
    """
    columns = {Mark.COMMITTED: "released", Mark.DELIVERED: "drawn", Mark.DECLINED: "declined"}
    rows = log[np.isin(log["mark"], tuple(columns))]
    pool = (-1 - rows["root"].astype(np.int64)) * len(static.accelerators) + rows["pool"]
    listed = zip(rows["tick"].tolist(), pool.tolist(), rows["mark"].tolist(), rows["quantity"].tolist(), strict=True)
    entries = (Entry(tick, p, columns[Mark(mark)], chips) for tick, p, mark, chips in listed)
    return _ledger(static, "chips on order", "chips", _stocks(static), entries)


def pot_ledger(static: Static, log: Log) -> Ledger:
    """Each country's allocation: its limit less what has been drawn in the period that runs, in TPP.

    released: a limit comes into force or is raised, or what was drawn beyond it is forgotten (new period, end of the limit);
    lapsed: the limit falls or ends, or a new period forgets what was left; drawn: licences and counted shipments of the four
    companies; given_back: what a company exported while the pot only counted, on the day it is authorised; declined: TPP of
    applications returned for want of room. The balance is below zero where the law counts exports before it limits them, or
    lowers a limit below what is used.
    """
    returned = log[log["mark"] == Mark.RETURNED]
    segment = np.searchsorted(static.law_ticks, returned["tick"], side="right") - 1
    pot = static.allocation[segment, returned["pool"]] != NO_POT
    no_room = returned[pot & (returned["rule"] == static.allocation_rule[segment, returned["pool"]]) & (returned["tick"] >= 0)]
    entries = [Entry(int(r["tick"]), int(r["pool"]), "declined", int(r["quantity"])) for r in no_room]
    drawn = log[log["mark"] == Mark.DRAWN]
    pots = (static.allocation != NO_POT).any(axis=0) | (static.allocation_counts == 1).any(axis=0)
    for country in np.nonzero(pots)[0].tolist():
        entries += _pot_story(static, country, drawn[drawn["pool"] == country])
    return _ledger(static, "allocations", "TPP", static.countries, entries)


def _pot_story(static: Static, country: int, drawn: Log) -> Iterator[Entry]:
    """What happens to one pot in the order it happens."""
    balance = used = place = 0
    period: int | None = None
    ticks, quantities = drawn["tick"].tolist(), drawn["quantity"].tolist()
    by_others = (drawn["stage"] == Stage.OTHER_IMPORTERS).tolist()
    for begins, ends, limit, counts, window in zip(
        static.law_ticks.tolist(),
        [*static.law_ticks[1:].tolist(), static.horizon],
        static.allocation[:, country].tolist(),
        static.allocation_counts[:, country].tolist(),
        static.allocation_window[:, country].tolist(),
        strict=True,
    ):
        if begins >= static.horizon:
            return
        due = 0  # a pot that neither limits nor counts shows nothing, but remembers its period and what was drawn in it
        shows = limit != NO_POT or counts
        if shows:
            if period not in (None, window):
                yield Entry(begins, country, "lapsed" if balance > 0 else "released", abs(balance))
                balance = used = 0
            period = window
            due = (limit if limit != NO_POT else 0) - used
        yield Entry(begins, country, "lapsed" if due < balance else "released", abs(due - balance))
        balance = due
        while place < len(ticks) and ticks[place] < ends:
            quantity = quantities[place]
            used += quantity
            if shows:
                balance -= quantity
                column = "given_back" if quantity < 0 else "drawn_by_others" if by_others[place] else "drawn"
                yield Entry(ticks[place], country, column, abs(quantity))
            place += 1


def grid_ledger(static: Static, found: Iterable[Site]) -> Ledger:
    """What the companies have in line for the grid in each rationed market, in 1/16 MW of IT.

    released: requested; drawn: energised; lapsed: given up before it was. The balance is what waits of theirs; what others have in
    line is not counted.
    """
    entries = []
    for site in found:
        requested = site.find(Mark.START, Stage.INTERCONNECTION)
        if requested is None or not static.rationed[site.market]:
            continue
        entries.append(Entry(requested.tick, site.market, "released", site.mw16))
        for mark, column in ((Mark.END, "drawn"), (Mark.HALTED, "lapsed")):
            if (ended := site.find(mark, Stage.INTERCONNECTION)) is not None:
                entries.append(Entry(ended.tick, site.market, column, site.mw16))
    return _ledger(static, "queues for the grid", "MW IT / 16", static.markets, sorted(entries))


def crew_ledger(static: Static, draws: Draws, found: Iterable[Site]) -> Ledger:
    """Each company's free construction capacity, in 1/16 MW of IT: its limit less what is under construction.

    released and lapsed: the limit grows or shrinks with the year; drawn: ground is broken; given_back: a building is finished or the
    site given up. A project larger than the limit takes all of it. Empty where the limit is switched off.
    """
    entries = []
    if static.allow_crew_limit:
        limit = draws.crew_limit.tolist()
        for k in range(len(static.companies)):
            before = 0
            for tick, row in zip([static.earliest, *static.year_starts[1:].tolist()], limit, strict=False):
                if tick < static.horizon:
                    entries.append(Entry(tick, k, "released" if row[k] > before else "lapsed", abs(row[k] - before)))
                    before = row[k]
        for site in found:
            entries += _crews(static, draws, site)
    order = ("released", "lapsed", "given_back", "drawn")
    return _ledger(
        static,
        "construction capacity",
        "MW IT / 16",
        static.companies,
        sorted(entries, key=lambda e: (e.tick, order.index(e.column))),
    )


def _crews(static: Static, draws: Draws, site: Site) -> Iterator[Entry]:
    """What one site takes of its company's construction capacity and gives back."""
    k, sizes, held, asked, ready = int(draws.company[site.root]), list(site.sizes), 0, None, set[int]()
    for e in site.events:
        released = 0
        if e.stage == Stage.CREWS:
            asked = e.tick if e.mark == Mark.START else asked
        elif e.mark == Mark.GROUND_BREAKING:
            limit = int(draws.crew_limit[_year(static, e.tick if asked is None else asked), k])
            held = min(site.mw16, limit) if limit else site.mw16
            yield Entry(e.tick, k, "drawn", held)
        elif e.mark == Mark.DOWNSIZED:
            sizes[e.phase] -= e.quantity
        elif e.mark == Mark.READY:
            ready.add(e.phase)
        elif e.mark == Mark.SHELL_READY:
            released = held if e.phase == len(sizes) - 1 else min(held, sizes[e.phase])
        elif e.mark in GIVEN_UP and ready | site.left >= set(range(len(sizes))):  # else the rest of the site is still built
            released = held
        held -= released
        yield Entry(e.tick, k, "given_back", released)


def bridging_ledger(static: Static, draws: Draws, found: Iterable[Site]) -> Ledger:
    """On-site generation that the four companies have free, in 1/16 MW of IT.

    released: reaches them; drawn: assigned to a site; given_back: the grid comes there, or the site is given up.
    """
    supply = zip(static.month_starts[:-1].tolist(), draws.bridge_supply.tolist(), strict=True)
    entries = [Entry(tick, 0, "released", units) for tick, units in supply]
    for site in found:
        assigned = site.find(Mark.START, Stage.BRIDGING)
        if assigned is None:
            continue
        entries.append(Entry(assigned.tick, 0, "drawn", site.mw16))
        over = site.find(Mark.END, Stage.INTERCONNECTION) or site.find(Mark.HALTED, Stage.INTERCONNECTION)
        if over is not None:
            entries.append(Entry(over.tick, 0, "given_back", site.mw16))
    order = ("released", "given_back", "drawn")
    return _ledger(
        static, "on-site generation", "MW IT / 16", ("all",), sorted(entries, key=lambda e: (e.tick, order.index(e.column)))
    )


def footprint_ledger(static: Static, draws: Draws, log: Log) -> Ledger:
    """Controlled TPP each company owns in each country, `company/country`: what the authorisations' ratios look at.

    opening: its fleet, and at home its stock; released: delivered (at home) or received from home; drawn: shipped abroad.
    """
    c, home = len(static.countries), static.home
    at_home = ((draws.opening_stock + draws.under_way) * static.counted_tpp).sum(axis=1)
    opening = (draws.fleet_chips * static.counted_tpp).sum(axis=2)
    opening[:, home] += at_home
    rows = log[np.isin(log["mark"], (Mark.DELIVERED, Mark.CHIPS_TAKEN))]
    planned = log[(log["mark"] == Mark.PLANNED) & (log["root"] >= 0)]
    market = {
        (r, h): m for r, h, m in zip(planned["root"].tolist(), planned["hop"].tolist(), planned["pool"].tolist(), strict=True)
    }

    def entries() -> Iterator[Entry]:
        for e in map(Event._make, rows.tolist()):
            tpp = e.quantity * int(static.counted_tpp[e.pool])
            if e.mark == Mark.DELIVERED:
                yield Entry(e.tick, (-1 - e.root) * c + home, "released", tpp)
                continue
            k, country = int(draws.company[e.root]), int(static.market_country[market[e.root, e.hop]])
            if country != home:
                yield Entry(e.tick, k * c + home, "drawn", tpp)
                yield Entry(e.tick, k * c + country, "released", tpp)

    pools = [f"{company}/{country}" for company in static.companies for country in static.countries]
    return _ledger(static, "footprints", "TPP", pools, entries(), opening.reshape(-1))


def headroom_table(static: Static, draws: Draws, log: Log) -> pd.DataFrame:
    """What a universal authorisation leaves room for, by month, company and country; only where one is held and offered.

    Columns company, country, date, owned_tpp (controlled TPP held there), headroom_tpp (TPP that may still move there from home before
    one of the three ratios fails; what cleared phases have pledged is not taken off), and that in chips and MW of IT of the newest
    generation then shipping. Month ends.
    """
    import pandas as pd

    held, c = authorisations(static, Rows(log)), len(static.countries)
    ledger = footprint_ledger(static, draws, log)
    owned = ledger.closing.reshape(len(ledger.ends), len(static.companies), c)
    last = static.month_starts[1:] - 1
    segment = np.searchsorted(static.law_ticks, last, side="right") - 1
    chip = newest_shipping(static)
    table = []
    for t, s in enumerate(segment.tolist()):
        trusted = static.trusted[s] == 1
        single, tier1, us = (int(limit[s]) for limit in (static.uveu_single_ppm, static.uveu_tier1_ppm, static.uveu_us_ppm))
        for k, company in enumerate(static.companies):
            offered = (static.uveu_rule[s, k] >= 0).any(axis=1)
            if not static.allow_uveu or not held.since[k] <= last[t] < held.until[k] or not offered.any():
                continue
            mine = owned[t, k]
            whole = int(mine.sum())
            spare_us = int(mine[static.home]) - -(-us * whole // PPM)
            spare_tier1 = int(mine[trusted].sum()) - -(-tier1 * whole // PPM)
            for country in np.nonzero(offered)[0].tolist():
                limits = [spare_us]
                if not trusted[country]:
                    limits += [spare_tier1, single * whole // PPM - int(mine[country])]
                room = max(min(limits), 0)
                chips = room / int(static.tpp[chip[t]])
                row = (company, static.countries[country], ledger.ends[t], int(mine[country]), room, chips)
                table.append((*row, chips * int(static.watts[chip[t]]) / 1e6))
    names = ["company", "country", "date", "owned_tpp", "headroom_tpp", "headroom_chips", "headroom_mw"]
    return pd.DataFrame(table, columns=names)
