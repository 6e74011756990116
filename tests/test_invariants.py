"""What must always hold, in small random worlds full of coincidences: equal dates, empty pots, no crews, one chip, no chip."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from conftest import DAY, FREE, LICENCE, LPP, NVEU, UVEU, by_law, ints, play, rows, tiny_draws, tiny_static
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import EVER, Recipe, build

from simulator.events import LOG, Log, Mark, Stage
from simulator.model import WATTS_PER_SIXTEENTH, Expansion
from simulator.project import NOT_YET, Project
from simulator.static import BARRED, FILINGS, NO_POT, Draws, Static, Timed
from simulator.units import PPM

DECIDED = (Mark.APPROVED, Mark.DENIED, Mark.RETURNED)
STEPS = 100_000
"""Events a world of this size may need. Beyond it, it does not end."""
SITE_WORK = (Stage.SITE_SELECTION, Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT)
PHASE_WORK = (Stage.SHIPPING, Stage.INSTALLATION, Stage.COMMISSIONING)
SPELLS = (*SITE_WORK, *PHASE_WORK, Stage.INTERCONNECTION, Stage.BRIDGING, Stage.CREWS, Stage.SECURITY, Stage.CHIPS)


class Event(NamedTuple):
    """A row of the log."""

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


assert Event._fields == LOG.names


class Recorded(Expansion):
    """An engine that keeps its sites, and looks after crews and on-site units each time they are given out."""

    sites: list[Project]

    def take_control(self, p: Project) -> None:
        self.sites.append(p)
        super().take_control(p)

    def mark(self, p: Project, stage: Stage, mark: Mark, *args: Any, **keywords: Any) -> None:
        super().mark(p, stage, mark, *args, **keywords)
        if mark in (Mark.GROUND_BREAKING, Mark.FIRST_POWER, Mark.ONLINE):
            self.count()

    def count(self) -> None:
        """Crews and units released are those free and those held."""
        for k, crews in enumerate(self.crews):
            held = sum(p.crews for p in self.sites if p.company == k)
            assert crews.free >= 0
            assert crews.free + held in {limits[k] for limits in self.crew_limit[max(self.year() - 1, 0) : self.year() + 1]}
        released = sum(self.draws.bridge_supply[: self.month() + 1].tolist()) if self.env.now >= 0 else 0
        before = released - int(self.draws.bridge_supply[self.month()]) if self.env.now >= 0 else 0
        assert self.units.free >= 0
        assert before <= self.units.free + sum(self.bridging.values()) <= released


@dataclass(frozen=True)
class Played:
    """A world, what happened in it, and the engine as it stood at the end."""

    static: Static
    draws: Draws
    log: Log
    engine: Recorded

    @cached_property
    def events(self) -> list[Event]:
        return [Event(*row) for row in self.log.tolist()]

    @cached_property
    def by_site(self) -> dict[tuple[int, int], list[Event]]:
        """Events of each site, in order."""
        found: dict[tuple[int, int], list[Event]] = defaultdict(list)
        for e in self.events:
            if e.root >= 0:
                found[e.root, e.hop].append(e)
        return found

    def phases(self) -> Iterator[tuple[tuple[int, int, int], list[Event]]]:
        """Events of each phase, those of the whole site left out unless it is the first."""
        for (root, hop), mine in self.by_site.items():
            for f in sorted({e.phase for e in mine}):
                yield (root, hop, f), [e for e in mine if e.phase == f]

    def segment(self, tick: int) -> int:
        """The law of a day."""
        return bisect_right(self.static.law_ticks.tolist(), tick) - 1

    def market(self, root: int, hop: int) -> int:
        """Where a site is."""
        return next(e.pool for e in self.by_site[root, hop] if e.mark == Mark.PLANNED)


def run(static: Static, draws: Draws) -> Played:
    """Run to the horizon, but fail instead of turning for ever in one instant."""
    engine = Recorded(static, draws)
    engine.sites = []
    env = engine.env

    def bounded(until: int) -> None:
        for _ in range(STEPS):
            if env.peek() >= until:
                return
            env.step()
        raise AssertionError(f"still at day {env.now / DAY} after {STEPS} events")

    env.run = bounded
    return Played(static, draws, engine.run(), engine)


# ------------------------------------------------------------------ random worlds


recipes = st.builds(
    Recipe,
    countries=st.integers(3, 4), accelerators=st.integers(1, 3), vendors=st.integers(1, 2), companies=st.integers(1, 2),
    projects=st.integers(1, 8), segments=st.integers(1, 4), holds=st.integers(0, 2), strictness=st.sampled_from([0.0, 0.4, 0.9]),
    home_is_free=st.booleans(), supply=st.sampled_from([(1_000_000,), (500, 5_000), (0, 1, 700), (0,)]),
    capacity=st.sampled_from([(EVER,), (0, 1, 100), (0, 40, 400), (0,)]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip


# ------------------------------------------------------------------ sites and phases


def check_spells(p: Played) -> None:
    """What begins ends at most once before it begins again, by its end or by a halt."""
    for (root, hop), mine in p.by_site.items():
        running: dict[tuple[int, int], Event] = {}
        begun: Counter[tuple[int, int]] = Counter()
        for e in mine:
            key = e.stage, e.phase
            if e.stage not in SPELLS:
                continue
            if e.mark == Mark.START:
                assert key not in running, (root, hop, Stage(e.stage).name)
                running[key] = e
                begun[key] += 1
            elif e.mark in (Mark.END, Mark.HALTED):
                assert key in running, (root, hop, Stage(e.stage).name)
                assert running.pop(key).tick <= e.tick
        for (stage, phase), times in begun.items():
            if stage not in (Stage.CREWS, Stage.SECURITY, Stage.CHIPS):
                assert times == 1, (root, hop, phase, Stage(stage).name)
        # Nothing goes on at a site that is given up whole.
        site = next((site for site in p.engine.sites if (site.root, site.hop) == (root, hop)), None)
        if site is not None and site.deserted:
            assert not running, (root, hop, [Stage(stage).name for stage, _ in running])


def once(mine: list[Event], mark: int, **wanted: int) -> Event | None:
    """The only event of that kind, or None."""
    found = [e for e in mine if e.mark == mark and all(getattr(e, name) == value for name, value in wanted.items())]
    assert len(found) <= 1, [Mark(mark).name, *found]
    return found[0] if found else None


def check_sites(p: Played) -> None:
    """Each site's story in the order of the trade."""
    for mine in p.by_site.values():
        planned = once(mine, Mark.PLANNED)
        if planned is None:  # every market was barred
            assert [e.mark for e in mine] == [Mark.CANCELLED]
            continue
        chain: list[Event | None] = [planned]
        for stage in SITE_WORK:
            chain.append(once(mine, Mark.START, stage=stage))
            if stage is Stage.CONSTRUCTION:
                chain[-1:] = [once(mine, Mark.GROUND_BREAKING), once(mine, Mark.OWN_DATE), chain[-1]]
            chain.append(once(mine, Mark.END, stage=stage))
        chain.append(once(mine, Mark.SHELL_READY, phase=0))
        happened = [e for e in chain if e is not None]
        assert happened == [e for e in chain[: len(happened)] if e is not None]  # no step without those before it
        assert [e.order for e in happened] == sorted(e.order for e in happened)
        power = once(mine, Mark.FIRST_POWER)
        bridged = once(mine, Mark.BRIDGED)
        grid = once(mine, Mark.END, stage=Stage.INTERCONNECTION)
        if power is not None:
            sources = [e.tick for e in (bridged, grid) if e is not None]
            assert sources
            assert power.tick == min(sources)
        own = once(mine, Mark.OWN_DATE)
        if own is not None:
            assert own.quantity >= own.tick
        ends = [e for e in mine if e.mark in (Mark.RELOCATED, Mark.CANCELLED)]
        assert len(ends) <= 1
        full = once(mine, Mark.FULL)
        if full is not None:
            assert full.quantity == sum(e.quantity for e in mine if e.mark in (Mark.ONLINE, Mark.IN_FLEET))
            assert not ends


def check_phases(p: Played) -> None:
    """Each phase's story: powered and shelled, ready, cleared, shipped, installed, online; each at most once, in order."""
    for (root, hop, f), mine in p.phases():
        powered, shelled, ready = (once(mine, m) for m in (Mark.POWERED, Mark.SHELL_READY, Mark.READY))
        shipped, online, fleet = (once(mine, m) for m in (Mark.SHIPPED, Mark.ONLINE, Mark.IN_FLEET))
        front = once(mine, Mark.FRONT_LOADED)
        if ready is not None:
            assert powered is not None
            assert shelled is not None
            assert ready.tick == max(powered.tick, shelled.tick)
        if shipped is not None:
            assert fleet is None
            assert (front is not None) == (ready is None or ready.order > shipped.order)
        work = [once(mine, m, stage=stage) for stage in PHASE_WORK for m in (Mark.START, Mark.END)]
        steps = [e for e in [shipped, *work, online] if e is not None]
        assert steps == [e for e in [shipped, *work, online][: len(steps)] if e is not None]
        assert [e.order for e in steps] == sorted(e.order for e in steps)
        if work[2] is not None:  # nothing is installed in a site that is not there
            assert ready is not None
            assert work[2].order > ready.order
            assert work[1] is not None
            assert work[2].tick == max(work[1].tick, ready.tick)
        if online is not None:
            assert work[5] is not None
            assert online.tick == work[5].tick
        if fleet is not None:
            assert fleet.tick < 0
            assert ready is not None
            assert not steps
        # Clearance: asked for, then cleared or given up, before it is asked for again.
        spell = [e.mark for e in mine if e.stage == Stage.CLEARANCE and e.mark != Mark.WAITS]
        for i, mark in enumerate(spell):
            assert (mark == Mark.START) == (i % 2 == 0), (root, hop, f, [Mark(m).name for m in spell])
        assert Mark.END not in spell[:-1]
        open_now = False
        for e in mine:
            if e.stage == Stage.CLEARANCE and e.mark != Mark.WAITS:
                open_now = e.mark == Mark.START
            if e.mark == Mark.WAITS:
                assert open_now
            if e.mark in (Mark.SHIPPED, Mark.IN_FLEET):
                assert spell
                assert not open_now, "left without clearance"


def check_given_up(p: Played) -> None:
    """What is given up never comes online here, and is all that the log says was given up; the rest of the project adds up."""
    for site in p.engine.sites:
        mine = p.by_site[site.root, site.hop]
        lost = [f for f in site.phases if f.given_up]
        end = next((e for e in mine if e.mark in (Mark.RELOCATED, Mark.CANCELLED)), None)
        assert (end is not None) == bool(lost) == site.abandoned
        shipped = {e.phase for e in mine if e.mark in (Mark.SHIPPED, Mark.IN_FLEET, Mark.ONLINE)}
        assert not shipped & {f.index for f in lost}
        if end is not None:
            assert end.quantity == sum(f.mw16 for f in lost)
            for e in mine:
                if e.phase and any(f.index == e.phase for f in lost) and e.order > end.order:
                    assert e.mark in (Mark.HALTED, Mark.POWERED, Mark.SHELL_READY), e
            let = once(mine, Mark.LET)
            assert let is None or (let.tick, let.quantity) == (end.tick, end.quantity)
        planned = next(e.quantity for e in mine if e.mark == Mark.PLANNED)
        short = sum(e.quantity for e in mine if e.mark == Mark.DOWNSIZED)
        assert planned == sum(site.sizes)
        assert planned == sum(f.mw16 for f in site.phases) + short
        online = sum(e.quantity for e in mine if e.mark in (Mark.ONLINE, Mark.IN_FLEET))
        coming = sum(f.mw16 for f in site.phases if not f.given_up and not any(
            e.phase == f.index and e.mark in (Mark.ONLINE, Mark.IN_FLEET) for e in mine))  # fmt: skip
        assert planned == online + coming + sum(f.mw16 for f in lost) + short


def check_lineages(p: Played) -> None:
    """A successor is planned the day its site is given up, for what was given up, in a country not left before."""
    country = p.static.market_country
    for (root, hop), mine in p.by_site.items():
        assert hop <= min(p.draws.largest_hop, 4)
        planned = next((e for e in mine if e.mark == Mark.PLANNED), None)
        left = next((e for e in mine if e.mark == Mark.RELOCATED), None)
        assert (left is not None) == ((root, hop + 1) in p.by_site)
        if hop and planned is not None:
            before = next(e for e in p.by_site[root, hop - 1] if e.mark == Mark.RELOCATED)
            assert (planned.tick, planned.quantity) == (before.tick, before.quantity)
            assert country[planned.pool] not in {country[p.market(root, h)] for h in range(hop)}
        elif planned is not None:
            assert planned.tick == p.draws.planned[root]
            assert planned.quantity == p.draws.mw16[root]
    online = sum(e.quantity for e in p.events if e.mark in (Mark.ONLINE, Mark.IN_FLEET))
    started = sum(e.quantity for e in p.events if e.mark == Mark.PLANNED and e.hop == 0)
    assert online <= started
    for root in range(len(p.draws.names)):
        here = sum(e.quantity for e in p.events if e.root == root and e.mark in (Mark.ONLINE, Mark.IN_FLEET))
        assert here <= p.draws.mw16[root]
    ticks = p.log["tick"]
    assert (np.diff(ticks) >= 0).all()
    assert (ticks < p.static.horizon).all()
    assert (ticks >= p.static.earliest).all()


def check_the_opening_fleet(p: Played) -> None:
    """Who would be online before the start is in the fleet of that day as long as it has room; everyone else waits for chips."""
    fleet = ((p.draws.fleet_chips * p.static.watts).sum(axis=(1, 2)) // WATTS_PER_SIXTEENTH).tolist()
    stages = [Timed.SHIPPING, Timed.INSTALLATION, Timed.COMMISSIONING]  # these worlds have no luck here: the spread is one
    ready = {(e.root, e.hop, e.phase): e.quantity for e in p.events if e.mark == Mark.READY}
    seen: set[tuple[int, int, int]] = set()
    for e in p.events:
        key = e.root, e.hop, e.phase
        if e.mark == Mark.READY:
            seen.add(key)
        if e.mark != Mark.IN_FLEET and not (e.stage == Stage.CHIPS and e.mark == Mark.START):
            continue
        company, market = int(p.draws.company[e.root]), p.market(e.root, e.hop)
        rest = int((p.draws.median[stages, market] * p.draws.route_factor[p.draws.route[e.root], stages] >> 20).sum())
        size = ready.get(key, 0)
        belongs = key in seen and e.tick < 0 and e.tick + rest <= 0 and fleet[company] >= size
        assert belongs == (e.mark == Mark.IN_FLEET), (e, fleet)
        if belongs:
            fleet[company] -= size


# ------------------------------------------------------------------ licences and exports


def check_applications(p: Played) -> None:
    """One application at a time for a company and country, numbered in order; each is answered once, not before its time."""
    pending: dict[tuple[int, int], Event] = {}
    least: dict[tuple[int, int], int] = {}
    filed: Counter[tuple[int, int]] = Counter()
    for e in p.events:
        if e.stage != Stage.LICENCE_REVIEW or e.root >= 0 or e.mark == Mark.LAPSED:
            continue
        key = e.root, e.pool
        if e.mark == Mark.FILED:
            assert key not in pending
            assert e.phase == filed[key] < FILINGS
            assert e.quantity > 0
            filed[key] += 1
            pending[key], least[key] = e, e.tick
        elif e.mark in (Mark.QUEUED, Mark.STOPPED):
            assert e.tick == pending[key].tick
            assert e.quantity >= 0
            least[key] += e.quantity
        else:
            assert e.mark in DECIDED
            began = pending.pop(key)
            assert (e.phase, e.quantity) == (began.phase, began.quantity)
            assert e.tick >= least[key]
            held = (p.static.hold_from <= e.tick) & (e.tick < p.static.hold_until) & (p.static.hold_covers[:, e.pool] == 1)
            assert not held.any(), (e.tick / DAY, Mark(e.mark).name)
    for k, row in enumerate(p.engine.regulator.accounts):
        for account in row:
            assert (account.pending is not None) == ((-1 - k, account.country) in pending)
            places = [f.rank for f in account.waiting]
            assert places == sorted(places)
            assert not any(f.cleared or f.given_up or f.shipped for f in account.waiting)


def check_licences(p: Played) -> None:
    """What was granted was shipped, has lapsed, is held by a cleared phase, or is still free to draw on."""
    granted: Counter[tuple[int, int]] = Counter()
    gone: Counter[tuple[int, int]] = Counter()
    absorbed = False
    for e in p.events:
        if e.mark == Mark.APPROVED and e.stage in (Stage.LICENCE_REVIEW, Stage.FRAMEWORK):
            granted[-1 - e.root, e.pool] += e.quantity
        elif e.mark == Mark.LAPSED:
            gone[-1 - e.root, e.pool] += e.quantity
        elif e.mark == Mark.SHIPPED and e.rule == LICENCE:
            gone[int(p.draws.company[e.root]), e.pool] += e.quantity
        absorbed |= e.mark == Mark.IN_FLEET
    for site in p.engine.sites:
        for f in site.phases:
            assert f.licensed_tpp >= 0
            assert not f.licensed_tpp or f.cleared
            gone[site.company, site.country] += f.licensed_tpp
    for row in p.engine.regulator.accounts:
        for account in row:
            key = account.company, account.country
            assert all(licence.tpp >= 0 for licence in account.licences)
            left = sum(licence.tpp for licence in account.licences)
            assert granted[key] >= gone[key] + left
            # A licence may have been meant for a site that turned out to be in the opening fleet.
            assert granted[key] == gone[key] + left or absorbed


def check_exports(p: Played) -> None:
    """No export without a ruling that lets it pass, for each kind of chip in it; LPP and its year are not overdrawn."""
    static = p.static
    lpp_used: Counter[tuple[int, int]] = Counter()
    uveu_from, uveu_until = p.engine.regulator.authorised_from, p.engine.regulator.authorised_until
    taken: dict[tuple[int, int, int], dict[int, int]] = defaultdict(dict)
    planned = {key: f.mw16 for site in p.engine.sites for f in site.phases for key in [(site.root, site.hop, f.index)]}
    short: Counter[tuple[int, int, int]] = Counter()
    for e in p.events:
        if e.mark == Mark.DOWNSIZED:
            short[e.root, e.hop, e.phase] += e.quantity
            assert e.quantity > 0
    vendor = {(site.root, site.hop, f.index): f.vendor for site in p.engine.sites for f in site.phases}
    for e in p.events:
        key = e.root, e.hop, e.phase
        if e.mark == Mark.CHIPS_TAKEN:
            assert e.quantity > 0
            assert e.pool not in taken[key]
            assert static.vendor_of[e.pool] == vendor[key]
            taken[key][e.pool] = e.quantity
        if e.mark != Mark.SHIPPED:
            continue
        segment, company, country = p.segment(e.tick), int(p.draws.company[e.root]), e.pool
        assert country == static.market_country[p.market(e.root, e.hop)]
        chips = taken[key]
        assert e.quantity == sum(n * int(static.tpp[a]) for a, n in chips.items())
        controlled = [a for a in chips if static.needs_licence[segment, company, country, a]]
        if e.rule != LICENCE:  # each kind of chip has its way, and the last controlled one is the log's
            ways = (static.lpp_rule, static.uveu_rule, static.nveu_rule)
            assert all(any(by[segment, company, country, a] >= 0 for by in ways) for a in controlled)
        if e.rule == LPP:
            assert static.allow_lpp
            last = controlled[-1]
            assert static.lpp_rule[segment, company, country, last] == LPP
            year = company, bisect_right(static.year_starts.tolist(), e.tick) - 1
            lpp_used[year] += chips[last] * int(static.tpp[last])
            assert lpp_used[year] <= static.lpp_limit[segment]
        elif e.rule == UVEU:
            assert static.allow_uveu
            assert uveu_from[company] <= e.tick < uveu_until[company]
        elif e.rule == NVEU:
            assert static.allow_nveu
            assert p.engine.regulator.accounts[company][country].national_from <= e.tick
        elif e.rule == FREE:
            assert not controlled
        else:
            assert e.rule == LICENCE
        # No more chips than the phase takes: the last one may be only partly used.
        watts = sum(n * int(static.watts[a]) for a, n in chips.items())
        largest = int(static.watts.max())
        assert watts < (planned[key] + short[key]) * WATTS_PER_SIXTEENTH + largest
        assert watts > planned[key] * WATTS_PER_SIXTEENTH - WATTS_PER_SIXTEENTH
    for year, used in p.engine.regulator.lpp_used.items():
        assert lpp_used[year] <= used <= static.lpp_limit.max()
    assert set(lpp_used) <= set(p.engine.regulator.lpp_used)


def check_footprint(p: Played) -> None:
    """After each export the ratios of the universal authorisation and the cap of the national one hold, on what is then owned."""
    static = p.static
    owned = (p.draws.fleet_chips * static.counted_tpp).sum(axis=2).astype(object)
    # Chips under way arrive before the start, those in stock with the first delivery.
    arriving = [
        (-p.draws.under_way_ticks, (p.draws.under_way * static.counted_tpp).sum(axis=1)),
        (0, (p.draws.opening_stock * static.counted_tpp).sum(axis=1)),
    ]
    moved: Counter[tuple[int, int, int]] = Counter()
    for e in p.events:
        while arriving and e.tick >= arriving[0][0]:
            owned[:, static.home] += arriving.pop(0)[1]
        if e.mark == Mark.DELIVERED:
            owned[-1 - e.root, static.home] += e.quantity * int(static.counted_tpp[e.pool])
        if e.mark == Mark.CHIPS_TAKEN:
            moved[e.root, e.hop, e.phase] += e.quantity * int(static.counted_tpp[e.pool])
        if e.mark != Mark.SHIPPED:
            continue
        company, country, segment = int(p.draws.company[e.root]), e.pool, p.segment(e.tick)
        tpp = moved[e.root, e.hop, e.phase]
        owned[company, static.home] -= tpp
        owned[company, country] += tpp
        if e.rule == UVEU and country != static.home:
            total = sum(owned[company])
            trusted = sum(o for o, t in zip(owned[company], static.trusted[segment], strict=True) if t)
            if not static.trusted[segment, country]:
                assert PPM * owned[company, country] <= int(static.uveu_single_ppm[segment]) * total
            assert PPM * trusted >= int(static.uveu_tier1_ppm[segment]) * total
            assert PPM * owned[company, static.home] >= int(static.uveu_us_ppm[segment]) * total
        if e.rule == NVEU:
            assert owned[company, country] <= static.nveu_cap[segment] or country == static.home
        assert min(owned[company]) >= 0
    owned[:, static.home] += sum(tpp for _, tpp in arriving)
    regulator, today = p.engine.regulator, static.trusted[p.engine.segment].tolist()
    assert owned.tolist() == regulator.owned
    # The sums it keeps while it goes are those of what it keeps by country.
    for k, (held, pledged) in enumerate(zip(regulator.owned, regulator.pledged, strict=True)):
        assert regulator.owned_total[k] == sum(held)
        assert regulator.pledged_total[k] == sum(pledged)
        assert regulator.owned_trusted[k] == sum(tpp for tpp, t in zip(held, today, strict=True) if t)
        assert regulator.pledged_untrusted[k] == sum(tpp for tpp, t in zip(pledged, today, strict=True) if not t)


def check_pledges(p: Played) -> None:
    """Headroom is held for cleared phases whose chips have not left, and for nobody else."""
    held = [[0] * len(p.static.countries) for _ in p.static.companies]
    for site in p.engine.sites:
        for f in site.phases:
            assert f.pledged_tpp >= 0
            held[site.company][site.country] += f.pledged_tpp
            if f.pledged_tpp:
                assert f.cleared
                assert not f.shipped
                assert not f.given_up
                assert f.rule in (UVEU, NVEU)
    assert held == p.engine.regulator.pledged


def check_pots(p: Played) -> None:
    """A country's pot is never granted beyond the limit of the day, whoever draws on it."""
    static = p.static
    used: dict[int, tuple[int, int]] = {}
    for e in p.events:
        if e.mark != Mark.DRAWN:
            continue
        country, segment = e.pool, p.segment(e.tick)
        window = int(static.allocation_window[segment, country])
        period, before = used.get(country, (window, 0))
        now = (before if period == window else 0) + e.quantity
        used[country] = window, now
        assert now >= 0
        # Only what counted early goes back, when the company is authorised.
        assert e.quantity > 0 or (e.root < 0 and e.stage == Stage.ALLOCATION)
        if static.allocation_counts[segment, country] or e.quantity < 0:
            continue  # counted before the limit binds
        assert static.allocation[segment, country] != NO_POT
        assert now <= static.allocation[segment, country]
    for country, (period, now) in used.items():  # and nothing is drawn that the log does not tell
        pot = p.engine.regulator.pots[country]
        assert pot.used == (now if pot.window == period else 0)


# ------------------------------------------------------------------ chips, grid


def check_chips(p: Played) -> None:
    """Every chip offered is committed to or declined; what is committed is delivered; it is in stock, gathered, or shipped once."""
    static = p.static
    moves: dict[tuple[int, int], list[Event]] = defaultdict(list)
    totals: Counter[tuple[int, int, int]] = Counter()
    for e in p.events:
        if e.stage != Stage.CHIPS or e.mark not in (Mark.COMMITTED, Mark.DECLINED, Mark.DELIVERED, Mark.MISSED, Mark.CHIPS_TAKEN):
            continue
        k = -1 - e.root if e.root < 0 else int(p.draws.company[e.root])
        assert e.quantity > 0
        totals[k, e.pool, e.mark] += e.quantity
        if e.mark in (Mark.DELIVERED, Mark.CHIPS_TAKEN):
            moves[k, e.pool].append(e)
    ordered_from = p.draws.deliveries if p.draws.offered is None else p.draws.offered
    reaches = p.draws.deliveries * static.supply_ppm[:, None, None] // PPM
    gathered: Counter[tuple[int, int]] = Counter()
    for (root, _, _), (claim, _) in p.engine.claims.items():
        for a, chips in claim.taken.items():
            gathered[int(p.draws.company[root]), a] += chips
    for k in range(len(static.companies)):
        for a in range(len(static.accelerators)):
            assert totals[k, a, Mark.COMMITTED] + totals[k, a, Mark.DECLINED] == int(ordered_from[:, k, a].sum())
            assert totals[k, a, Mark.DELIVERED] + totals[k, a, Mark.MISSED] == totals[k, a, Mark.COMMITTED]
            assert totals[k, a, Mark.DELIVERED] <= int(reaches[:, k, a].sum())
            queue = p.engine.queues[k, int(static.vendor_of[a])]
            opening, under_way = int(p.draws.opening_stock[k, a]), int(p.draws.under_way[k, a])
            came = under_way + opening + totals[k, a, Mark.DELIVERED]
            assert came == queue.stock[a] + gathered[k, a] + totals[k, a, Mark.CHIPS_TAKEN]
            assert queue.stock[a] >= 0
            # At no moment has more left than came.
            balance = 0
            for e in moves[k, a]:
                balance += e.quantity if e.mark == Mark.DELIVERED else -e.quantity
                there = under_way * (e.tick >= -p.draws.under_way_ticks) + opening * (e.tick >= 0)
                assert there + balance >= 0
    assert all(watts == 0 for watts in p.engine.on_order.values())
    # A claim stands in line for each phase that waits for chips, and for no other.
    waiting = {
        (f.project.root, f.project.hop, f.index)
        for site in p.engine.sites
        for f in site.phases
        if (site.root, site.hop, f.index) in p.engine.claims
    }
    assert waiting == set(p.engine.claims)
    assert sum(len(queue.line) for queue in p.engine.queues.values()) == len(waiting)


def check_grids(p: Played) -> None:
    """A rationed market connects one request after the other, and keeps a place for each that waits."""
    for m, queue in enumerate(p.engine.grid):
        if not p.static.rationed[m]:
            assert queue.serving is None
            assert not queue.line
            continue
        line = [rank for rank, _ in queue.line]
        assert line == sorted(line)
        assert queue.waiting == sum(work for _, work in queue.line)
        for rank, p_ in p.engine.requests.items():
            if p_.market == m:
                assert rank in line or rank == queue.serving


def check_the_order_inside_an_instant(p: Played) -> None:
    """In one tick: changes of law, then deliveries, then completions, then decisions; each kind by root and hop."""
    log = p.log
    assert (log["order"] == np.arange(len(log))).all()
    cls = np.full(len(log), -1)
    cls[(log["stage"] == Stage.LAW)] = 0
    cls[np.isin(log["mark"], (Mark.DELIVERED, Mark.DECLINED, Mark.COMMITTED))] = 1
    cls[np.isin(log["stage"], (*SITE_WORK, *PHASE_WORK)) & (log["mark"] == Mark.END)] = 2
    cls[(log["stage"] == Stage.LICENCE_REVIEW) & np.isin(log["mark"], (Mark.APPROVED, Mark.DENIED))] = 3
    cls[(log["stage"] == Stage.OTHER_IMPORTERS)] = 4
    # Work of no length and reviews of no length follow within the step that began them, so only true spells are compared.
    began: dict[tuple[int, ...], int] = {}
    for i, e in enumerate(p.events):
        key = (e.root, e.hop, e.phase, e.stage) if e.root >= 0 else (e.root, e.pool)
        if e.mark in (Mark.START, Mark.FILED):
            began[key] = e.tick
        elif cls[i] in (2, 3) and began.get(key) == e.tick:
            cls[i] = -1
    for tick in np.unique(log["tick"][cls >= 0]):
        here = (log["tick"] == tick) & (cls >= 0)
        # A plan, a shipment or an online step of this instant starts spells that cannot end in it, so classes only rise.
        assert (np.diff(cls[here]) >= 0).all(), (
            tick / DAY,
            [(Stage(r["stage"]).name, Mark(r["mark"]).name, int(r["root"])) for r in log[here]],
        )
        same = log[here & (cls == 2)]
        at = list(zip(same["root"].tolist(), same["hop"].tolist(), same["phase"].tolist(), strict=True))
        assert at == sorted(at)
        decided = log[here & (cls == 3)]
        at = list(zip((-1 - decided["root"]).tolist(), decided["pool"].tolist(), strict=True))
        assert at == sorted(at)


quick = [HealthCheck.too_slow]


@settings(max_examples=400, deadline=None, suppress_health_check=quick)
@given(recipes)
def test_what_must_always_hold(recipe: Recipe) -> None:
    p = run(*build(recipe))
    p.engine.count()
    check_spells(p)
    check_sites(p)
    check_phases(p)
    check_given_up(p)
    check_lineages(p)
    check_the_opening_fleet(p)
    check_applications(p)
    check_licences(p)
    check_exports(p)
    check_footprint(p)
    check_pledges(p)
    check_pots(p)
    check_chips(p)
    check_grids(p)


@settings(max_examples=150, deadline=None, suppress_health_check=quick)
@given(recipes)
def test_what_happens_in_one_instant_happens_in_the_stated_order(recipe: Recipe) -> None:
    check_the_order_inside_an_instant(run(*build(recipe)))


@settings(max_examples=40, deadline=None, suppress_health_check=quick)
@given(recipes)
def test_the_same_inputs_give_the_same_log_to_the_last_byte_and_are_left_alone(recipe: Recipe) -> None:
    static, draws = build(recipe)
    before = [value.tobytes() for table in (static, draws) for value in vars(table).values() if isinstance(value, np.ndarray)]
    first, second = run(static, draws).log, run(static, draws).log
    assert first.tobytes() == second.tobytes()
    assert [
        value.tobytes() for table in (static, draws) for value in vars(table).values() if isinstance(value, np.ndarray)
    ] == before


# ------------------------------------------------------------------ the coincidences that broke it once, by hand


def when(log: Log, mark: Mark, **wanted: int) -> list[float]:
    """Days of every such event."""
    return (rows(log, mark=mark, **wanted)["tick"] / DAY).tolist()


def two_chips(needs: list[int], lpp: list[int], stock: list[int], **changes: Any) -> tuple[Static, Draws]:
    """One 2 MW project abroad, an older and a newer chip of one maker in stock; applications name the newer one."""
    table = ints(1, 1, 3, 2)
    table[0, 0, 1] = needs
    exception = ints(1, 1, 3, 2, fill=-1)
    exception[0, 0, 1] = lpp
    static = tiny_static(
        accelerators=("old", "new"), vendor_of=ints(2), tpp=ints(2, fill=16_000), counted_tpp=ints(2, fill=16_000),
        h100e_ppm=ints(2, fill=1_000_000), watts=ints(2, fill=1_000), shipping_generation=ints(1, 48, fill=1), needs_licence=table,
        rule=np.where(table == 1, LICENCE, FREE), posture=table, lpp_rule=exception, uveu_rule=ints(1, 1, 3, 2, fill=-1),
        nveu_rule=ints(1, 1, 3, 2, fill=-1), lpp_limit=ints(1, fill=10**9), tariff_covers=ints(1, 2),
    )  # fmt: skip
    draws = tiny_draws(
        static, [(0, 2, 1)], deliveries=ints(48, 1, 2), opening_stock=np.array([stock]), under_way=ints(1, 2), fleet_chips=ints(1, 3, 2),
        price_usd=ints(2, fill=30_000), classification=ints(1, 2), **changes,
    )  # fmt: skip
    return static, draws


def test_a_free_new_chip_does_not_clear_the_controlled_old_one_and_the_day_ends() -> None:
    # Cleared as free for the new chip; in stock are old ones, which need a licence. It has to be filed for, not tried for ever.
    log = play(*two_chips([1, 0], [-1, -1], [5_000, 0]))
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE]
    assert when(log, Mark.SHIPPED) == [180 + 90]


def test_a_shipment_of_two_kinds_of_chips_passes_only_if_both_do() -> None:
    # The exception covers the new chip alone; half of the shipment are old ones.
    log = play(*two_chips([1, 1], [-1, LPP], [1_000, 1_000]))
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE]
    log = play(*two_chips([1, 1], [LPP, LPP], [1_000, 1_000]))
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LPP]


def test_chips_that_pass_by_different_routes_do_not_escape_the_yearly_allowance() -> None:
    # The old ones may go under LPP, the new ones under the authorisation: both limits are counted.
    static, draws = two_chips([1, 1], [LPP, -1], [1_000, 1_000])
    uveu = ints(1, 1, 3, 2, fill=-1)
    uveu[0, 0, 1, 1] = UVEU
    fleet = ints(1, 3, 2)
    fleet[0, 0] = 1_000_000
    p = run(replace(static, uveu_rule=uveu, authorisation_applied=ints(1)), replace(draws, fleet_chips=fleet))
    assert len(rows(p.log, mark=Mark.SHIPPED)) == 1
    assert sum(p.engine.regulator.lpp_used.values()) == 1_000 * 16_000


def test_a_decision_due_at_the_turn_of_a_month_still_comes_after_the_completions_of_that_day() -> None:
    # Filed on day 120, decided after 62 days on 1 July 2024 (day 182), when another shell is finished and chips for a third arrive.
    needs = ints(1, 1, 3, 1)
    needs[0, 0, 1] = 1
    static = tiny_static(needs_licence=needs, rule=needs, posture=needs, clock_median=ints(1, 6, fill=62 * DAY))
    log = play(static, tiny_draws(static, [(0, 1, 1), (2, 1, 0), (160, 1, 0)]))
    here = log[log["tick"] == 182 * DAY]
    order = [int(here[here["mark"] == m][0]["order"]) for m in (Mark.DELIVERED, Mark.SHELL_READY, Mark.APPROVED)]
    assert order == sorted(order)


def test_a_phase_that_loses_clearance_at_the_instant_it_is_ready_is_not_in_the_opening_fleet_uncleared() -> None:
    # Ready on day -120, when a licence begins to be needed; it comes on day -30, just in time to be online by the first day.
    static = by_law(
        tiny_static(),
        (-120, {"needs_licence": ints(1, 3, 1, fill=1), "rule": ints(1, 3, 1, fill=1), "posture": ints(1, 3, 1, fill=1)}),
    )
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 10_000
    p = run(static, tiny_draws(static, [(-300, 1, 0)], fleet_chips=fleet))
    check_phases(p)
    assert when(p.log, Mark.CLEARED) == [-180, -30]
    assert when(p.log, Mark.IN_FLEET) == [-30]


def test_a_site_whose_markets_are_all_barred_for_its_successor_has_nowhere_to_go() -> None:
    outlook = ints(2, 1, 1, 3, fill=BARRED)
    outlook[..., 1] = 0
    needs = ints(1, 1, 3, 1)
    needs[0, 0, 1] = 1
    static = tiny_static(
        needs_licence=needs, rule=needs, posture=needs, outlook=outlook, approve_below=ints(1, 6), deny_above=ints(1, 6)
    )
    p = run(static, tiny_draws(static, [(0, 1, 1)], recovery_ppm=PPM))
    check_given_up(p)
    assert when(p.log, Mark.CANCELLED) == [210]
    assert p.engine.sites[0].site_control != NOT_YET
