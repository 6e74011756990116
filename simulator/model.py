"""Expansion: one replication of hyperscalers building clusters under the law of the day. Read `Expansion.develop` first.

Two verbs hold the model together. `work`: time passes because something is being done. `wait`: time passes because something
is scarce or forbidden, until an event ends it. All state is integer; what happens in one instant has a fixed order
(`events.Order`). The authority is in `regulator.py`, scarcity in `pools.py`, choices of a stuck project in `decisions.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from typing import Any, TypeAlias

import numpy as np
import simpy

from simulator import decisions
from simulator.decisions import Option
from simulator.events import Log, Mark, Order, Row, Stage, to_log
from simulator.pools import Capacity, ChipQueue, Claim, GridQueue
from simulator.project import NOT_YET, Alarm, Phase, Project
from simulator.regulator import WATTS_PER_SIXTEENTH, Regulator
from simulator.static import BARRED, FACTOR_BITS, Draws, Route, Static, Timed, Workload
from simulator.units import PPM, TICKS_PER_DAY, in_years, scaled, share_of

Steps: TypeAlias = Generator[simpy.Event, Any, Any]

TIMED = {
    Stage.SITE_SELECTION: Timed.SITE_SELECTION,
    Stage.INTERCONNECTION: Timed.INTERCONNECTION,
    Stage.PERMITTING: Timed.PERMITTING,
    Stage.CONSTRUCTION: Timed.CONSTRUCTION,
    Stage.FIT_OUT: Timed.FIT_OUT,
    Stage.SHIPPING: Timed.SHIPPING,
    Stage.INSTALLATION: Timed.INSTALLATION,
    Stage.COMMISSIONING: Timed.COMMISSIONING,
}
SHELL = (Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT)
AFTER_SHIPMENT = (Stage.SHIPPING, Stage.INSTALLATION, Stage.COMMISSIONING)
ANOTHER = (1 << 40) * -1
"""Score of a market outside the country an announced project is bound to."""


class Expansion:
    """The world of one replication. `run()` plays it to the horizon and returns the event log."""

    def __init__(self, static: Static, draws: Draws):
        self.static, self.draws = static, draws
        self.env: Any = simpy.Environment(initial_time=static.earliest)
        self.rows: list[Row] = []
        self.segment = 0
        # Plain lists: indexing a NumPy array costs ten times as much in a scalar loop.
        lists = static.as_lists
        self.median, self.spread = draws.median.tolist(), draws.spread.tolist()
        self.route_factor = draws.route_factor.tolist()
        self.luck_power, self.luck_construction = draws.luck_power.tolist(), draws.luck_construction.tolist()
        self.shell_offset, self.power_offset = draws.shell_offset.tolist(), draws.power_offset.tolist()
        self.market_country, self.rationed = lists["market_country"], lists["rationed"]
        self.bridging_allowed = lists["bridging_allowed"]
        self.watts, self.tpp = lists["watts"], lists["tpp"]
        self.month_starts, self.year_starts = lists["month_starts"], lists["year_starts"]
        self.shipping_generation = lists["shipping_generation"]
        outlook = static.outlook + (static.outlook_wait * draws.choice_per_year >> FACTOR_BITS)
        self.outlook = outlook[..., static.market_country]
        self.fleet_room = ((draws.fleet_chips * static.watts).sum(axis=(1, 2)) // WATTS_PER_SIXTEENTH).tolist()
        self.shell_usd = draws.shell_usd_per_mw.tolist()
        self.chip_kusd = [max(price * draws.it_overhead_ppm // (PPM * 1000), 1) for price in draws.price_usd.tolist()]

        companies, countries, markets = range(len(static.companies)), len(static.countries), range(len(static.markets))
        roots = len(draws.names)
        self.queues = {
            (k, v): ChipQueue([a for a in range(len(self.tpp)) if static.vendor_of[a] == v], self.watts, self.tpp)
            for k in companies
            for v in range(len(static.vendors))
        }
        self.coming: dict[tuple[int, int], dict[Phase, None]] = {key: {} for key in self.queues}
        self.serving: set[tuple[int, int]] = set()
        self.claims: dict[tuple[int, int, int], tuple[Claim, simpy.Event]] = {}
        self.committed = [[[0] * len(self.tpp) for _ in companies] for _ in range(len(self.month_starts))]
        self.on_order = dict.fromkeys(self.queues, 0)
        """Watts committed and not delivered"""
        self.chip_money = [0 for _ in companies]
        self.offered = draws.deliveries if draws.offered is None else draws.offered
        self.grid = [GridQueue() for _ in markets]
        self.grid_until = np.zeros(len(static.markets), dtype=np.int64)
        """Tick at which each market's queue would be empty"""
        self.rationed_mask = static.rationed
        self.requests: dict[tuple[int, int, int], Project] = {}
        self.first_market = roots + len(companies) * countries
        """Markets come after projects and accounts among the alarms of one instant"""
        self.crew_limit = draws.crew_limit.tolist()
        self.crews = [Capacity(limit) for limit in self.crew_limit[0]]
        self.hired: dict[Project, simpy.Event] = {}
        self.unbroken: dict[Project, None] = {}
        """Sites under control where ground is not broken yet"""
        self.units = Capacity()
        self.bridging: dict[Project, int] = {}
        """1/16 MW of on-site units held by a project"""
        self.regulator = Regulator(self, static, draws)

    # ------------------------------------------------------------------ the story

    def develop(self, p: Project) -> Steps:
        """One project, from plan to online: the whole model in one method. Three branches run side by side."""
        yield self.at(p.planned, Order.PLAN, p)
        if p.market < 0 and not self.choose_market(p):
            return self.mark(p, Stage.PROJECT, Mark.CANCELLED, quantity=p.mw16)
        self.mark(p, Stage.PROJECT, Mark.PLANNED, pool=p.market, quantity=p.mw16)
        yield from self.work(p, Stage.SITE_SELECTION)
        self.take_control(p)
        p.branches = [self.start(self.connect(p)), self.start(self.build(p))]
        for f in p.phases:
            f.life = self.start(self.fill(f))

    def connect(self, p: Project) -> Steps:
        """Power: grid request, queue, energisation in tranches; on-site generation first where the grid would come too late."""
        self.mark(p, Stage.INTERCONNECTION, Mark.START, pool=p.market)
        p.first_power = self.env.event()
        self.request_grid(p)
        if p.bridges:
            self.units.claim(p, p.mw16)
            self.assign_units()
        yield p.first_power
        self.mark(p, Stage.INTERCONNECTION, Mark.FIRST_POWER, pool=p.market)
        begin = self.env.now
        for f in p.phases:
            yield from self.until(begin + self.power_offset[p.root][f.index], p, f, Stage.INTERCONNECTION)
            self.mark(p, Stage.INTERCONNECTION, Mark.POWERED, f, pool=p.market)
            self.branch_done(f)

    def build(self, p: Project) -> Steps:
        """Shell: permitting, ground-breaking, construction, fit-out, building by building. Does not wait for power."""
        yield from self.work(p, Stage.PERMITTING)
        while self.env.now < p.build_from:  # it may be put off again
            yield self.at(p.build_from, Order.COMPLETION, p, None, Stage.CONSTRUCTION)
        if p.halted is not None:
            yield p.halted  # refused before ground was broken
        yield from self.hire_crews(p)
        while p.halted is not None:  # refused while it waited for crews
            self.release_crews(p, p.crews)
            yield p.halted
            yield from self.hire_crews(p)
        p.broken_ground = True
        self.unbroken.pop(p)
        self.expect_shell(p)
        self.mark(p, Stage.CONSTRUCTION, Mark.GROUND_BREAKING, pool=p.market)
        self.mark(p, Stage.CONSTRUCTION, Mark.OWN_DATE, pool=p.market, quantity=max(p.expected_power, self.env.now))
        yield from self.work(p, Stage.CONSTRUCTION)
        yield from self.work(p, Stage.FIT_OUT)
        begin = p.shell_ready = self.env.now
        for f in p.phases:
            yield from self.until(begin + self.shell_offset[p.root][f.index], p, f, Stage.FIT_OUT)
            self.mark(p, Stage.FIT_OUT, Mark.SHELL_READY, f, pool=p.market)
            self.release_crews(p, f.mw16 if f is not p.phases[-1] else p.crews)
            self.branch_done(f)

    def fill(self, f: Phase) -> Steps:
        """One phase: clearance while the site is being built; then chips, shipping, installation, commissioning."""
        p = f.project
        self.call(f.expected - self.draws.filing_lead, Order.RULING, p, f, Stage.CLEARANCE, lambda: self.ask_first(f))
        while True:
            while f.passed is not None:
                yield f.passed  # cleared, or asked again meanwhile
            yield f.go  # power and shell, unless it ships ahead of a restriction
            if not f.cleared:
                continue  # the law has changed meanwhile, and it has asked again
            if self.in_opening_fleet(f):
                return
            if not self.regulator.may_still_ship(f):
                self.regulator.ask(f)
                continue
            yield from self.secure(f)
            if not f.cleared:
                continue
            claim = yield from self.obtain_chips(f)
            still = f.cleared and f.go.triggered  # neither was lost while it stood in line
            if still and self.ship(f, claim):
                break  # the law is read again on the day of export
            self.give_back(f, claim)
            if still:
                self.regulator.ask(f)

        yield from self.work(p, Stage.SHIPPING, f)
        if f.ready == NOT_YET:
            f.site = self.env.event()
            yield f.site
        yield from self.work(p, Stage.INSTALLATION, f)
        yield from self.work(p, Stage.COMMISSIONING, f)
        self.mark(p, Stage.PROJECT, Mark.ONLINE, f, pool=p.market, quantity=f.mw16)
        p.online += 1
        if p.online == len(p.phases):
            self.mark(p, Stage.PROJECT, Mark.FULL, pool=p.market, quantity=sum(g.mw16 for g in p.phases))

    def secure(self, f: Phase) -> Steps:
        """A controlled site is accepted as secure before chips may leave for it; mostly done while it is built."""
        if self.env.now < f.secure_from:
            p = f.project
            accepted = self.at(f.secure_from, Order.COMPLETION, p, f, Stage.SECURITY)
            yield from self.wait(p, Stage.SECURITY, accepted, f, pool=p.country)

    def obtain_chips(self, f: Phase) -> Steps:
        """Wait in the company's line for this vendor's chips until the phase is whole."""
        granted = self.env.event()
        self.line_up(f, granted)
        claim = yield from self.wait(f.project, Stage.CHIPS, granted, f, pool=f.vendor)
        return claim

    def line_up(self, f: Phase, granted: simpy.Event) -> None:
        """Take the phase's place in the line of its vendor; the event tells when it is whole."""
        p = f.project
        licensed = f.licensed_tpp if f.licence_until != NOT_YET else None
        claim = Claim((f.due, p.root, p.hop, f.index), f.mw16 * WATTS_PER_SIXTEENTH, licensed)
        self.claims[p.root, p.hop, f.index] = (claim, granted)
        self.queues[p.company, f.vendor].join(claim)
        self.serve_soon(p.company, f.vendor)

    def ship(self, f: Phase, claim: Claim) -> bool:
        """Export what was gathered, if the law of the day still lets it pass."""
        p = f.project
        quantity = sum(chips * self.tpp[a] for a, chips in claim.taken.items())
        rule = self.regulator.export(f, claim.taken)
        if rule is None:
            return False
        f.shipped = True
        for a, chips in claim.taken.items():
            self.mark(p, Stage.CHIPS, Mark.CHIPS_TAKEN, f, pool=a, quantity=chips)
        if claim.load >= WATTS_PER_SIXTEENTH:  # a licensed quantity bounds what ships
            missing = claim.load // WATTS_PER_SIXTEENTH
            f.mw16 -= missing
            self.mark(p, Stage.PROJECT, Mark.DOWNSIZED, f, rule=rule, pool=p.market, quantity=missing)
        self.coming[p.company, f.vendor].pop(f, None)
        self.mark(p, Stage.SHIPPING, Mark.SHIPPED, f, rule=rule, pool=p.country, quantity=quantity)
        if f.ready == NOT_YET:
            self.mark(p, Stage.SHIPPING, Mark.FRONT_LOADED, f, rule=rule, pool=p.country, quantity=quantity)
        self.regulator.count_early(f, claim.taken)
        return True

    def give_back(self, f: Phase, claim: Claim) -> None:
        """The law of the day stops the export of what was gathered: it goes back to stock."""
        p = f.project
        for a, chips in claim.taken.items():
            self.mark(p, Stage.CHIPS, Mark.CHIPS_GIVEN_BACK, f, pool=a, quantity=chips)
        self.queues[p.company, f.vendor].give_back(claim)
        self.serve_soon(p.company, f.vendor)

    # ------------------------------------------------------------------ site, power, shell

    def take_control(self, p: Project) -> None:
        """Site control: the company sets its own dates, from medians and queues as it sees them that day and with its optimism."""
        now = p.site_control = self.env.now
        power, shell = self.power_estimate(p), self.shell_estimate(p)
        # On-site generation where it is allowed and the grid is expected long after the shell.
        allowed = self.static.allow_bridging and self.bridging_allowed[p.market]
        p.bridges = bool(allowed and power - shell > self.draws.bridge_trigger)
        if p.bridges:
            power = min(power, self.units_wait(self.units.waiting) + int(self.draws.bridge_lead[p.root]))
        optimism = self.draws.optimism
        building = self.middle(p, Timed.CONSTRUCTION) + self.middle(p, Timed.FIT_OUT)
        p.building = building * optimism >> FACTOR_BITS
        p.expected_shell = now + scaled(shell, optimism)
        p.phases = [Phase(p, i, mw16, self.env.event(), 0, self.env.event(), vendor=p.vendor) for i, mw16 in enumerate(p.sizes)]
        self.expect_power(p, now + scaled(power, optimism))
        self.unbroken[p] = None
        for f in p.phases:
            self.coming[p.company, p.vendor][f] = None
            self.regulator.expect(f)

    def expect_shell(self, p: Project) -> None:
        """A shell that is not begun cannot be there sooner than it is built."""
        least = self.env.now + p.building
        if p.expected_shell < least:
            p.expected_shell = least
            self.expect_power(p, p.expected_power)

    def expect_power(self, p: Project, tick: int) -> None:
        """The company's own date of first power, and what hangs on it: its phases, and the day from which it would break ground.

        Ground-breaking does not wait for energisation, but nobody finishes a shell years before the date it expects power.
        """
        optimism = self.draws.optimism
        p.expected_power = tick
        p.build_from = tick - p.building - self.draws.shell_ahead
        for f in p.phases:
            power = tick + (self.power_offset[p.root][f.index] * optimism >> FACTOR_BITS)
            shell = p.expected_shell + (self.shell_offset[p.root][f.index] * optimism >> FACTOR_BITS)
            f.expected = max(power, shell)

    def review_dates(self) -> None:
        """Each quarter companies look at the queues again and move their dates: chips are ordered and licences asked for by these."""
        now, optimism, works = self.env.now, self.draws.optimism, self.draws.grid_works
        for p in self.unbroken:
            self.expect_shell(p)
        ahead, units_wait = 0, dict[Any, int]()
        for who, units in self.units.line:
            units_wait[who] = self.units_wait(ahead)
            ahead += units
        for m, queue in enumerate(self.grid):
            turn = queue.until if queue.serving is not None else now
            for rank, work in queue.line:
                turn += work
                asker = self.requests.get(rank)
                if asker is not None and not asker.powered and asker not in self.bridging:
                    wait = max(turn, rank[0] + int(works[m])) - now
                    if asker in units_wait:  # on-site units may still come first
                        wait = min(wait, units_wait[asker] + int(self.draws.bridge_lead[asker.root]))
                    self.expect_power(asker, now + scaled(wait, optimism))

    def middle(self, p: Project, timed: Timed) -> int:
        """Median ticks of a stage at the project's market and on its route."""
        return int(self.median[timed][p.market] * self.route_factor[p.route][timed] >> FACTOR_BITS)

    def power_estimate(self, p: Project) -> int:
        """Ticks to first power from the grid as they look today."""
        if self.queues_for_grid(p):
            requested = self.request_date(p)
            ahead = self.grid[p.market].ahead((requested, p.root, p.hop), self.env.now)
            own = p.mw16 * int(self.draws.grid_ticks[p.market])
            return max(ahead + own, requested + int(self.draws.grid_works[p.market]) - self.env.now, 0)
        return max(self.middle(p, Timed.INTERCONNECTION) - self.draws.interconnection_lead, 0)

    def shell_estimate(self, p: Project) -> int:
        """Ticks to the first finished building."""
        return sum(self.middle(p, TIMED[stage]) for stage in SHELL)

    def queues_for_grid(self, p: Project) -> bool:
        """Whether power comes out of an explicit queue: in rationed markets."""
        return bool(self.rationed[p.market])

    def request_date(self, p: Project) -> int:
        """The place of a request in the queue is its date: before site control by the usual lead, and by as much more as the
        route has a head start: a landlord, or a campus with land and power, asked when the queue of today began to form."""
        now = self.env.now
        wait = max(self.median[Timed.INTERCONNECTION][p.market], self.grid[p.market].wait(now))
        ahead = wait - scaled(wait, self.route_factor[p.route][Timed.INTERCONNECTION])
        return int(now - self.draws.interconnection_lead - ahead)

    def request_grid(self, p: Project) -> None:
        """Ask for power: join the market's queue, or wait as long as connections there take."""
        if self.queues_for_grid(p):
            p.requested = (self.request_date(p), p.root, p.hop)
            self.requests[p.requested] = p
            luck = self.luck_power[self.year()][p.country]
            self.grid[p.market].join(p.requested, scaled(p.mw16 * int(self.draws.grid_ticks[p.market]), luck))
            self.connect_next(p.market)
            late = True
        else:
            end = self.env.now + self.length(p, Stage.INTERCONNECTION)
            self.call(end, Order.COMPLETION, p, None, Stage.INTERCONNECTION, lambda: self.grid_comes(p))
            late = end > p.expected_power + int(self.draws.patience_power[p.root])
        if late:
            due = p.expected_power + int(self.draws.patience_power[p.root])
            self.call(due, Order.PATIENCE, p, None, Stage.INTERCONNECTION, lambda: self.power_is_late(p))

    def connect_next(self, market: int) -> None:
        """A rationed market takes up its next request."""
        queue = self.grid[market]
        until = queue.begin(self.env.now)
        self.grid_until[market] = self.env.now + queue.wait(self.env.now)
        if until is not None:
            alarm = Alarm(self.env, until, Order.COMPLETION, self.first_market + market, stage=Stage.INTERCONNECTION)
            alarm.callbacks.append(lambda _: self.connected(market))

    def connected(self, market: int) -> None:
        """A request has got its capacity; it is energised once its own works are done too."""
        rank = self.grid[market].finish()
        p = self.requests.pop(rank, None)
        if p is not None and not p.deserted:
            works = int(self.draws.grid_works[market]) * self.spread[p.root][Timed.INTERCONNECTION] >> FACTOR_BITS
            self.call(rank[0] + works, Order.COMPLETION, p, None, Stage.INTERCONNECTION, lambda: self.grid_comes(p))
        self.connect_next(market)

    def grid_comes(self, p: Project) -> None:
        """The grid is energised: first power, or the end of on-site generation."""
        if p.deserted:
            return
        p.on_grid = True
        self.mark(p, Stage.INTERCONNECTION, Mark.END, pool=p.market)
        self.return_units(p)
        self.power_comes(p)

    def power_comes(self, p: Project) -> None:
        """First power, from whichever source."""
        if not p.powered:
            p.powered = True
            if p.first_power is not None:
                p.first_power.succeed()

    def units_wait(self, ahead: int) -> int:
        """Ticks until so many 1/16 MW of on-site units will have been handed out, at the pace of this month."""
        pace = max(int(self.draws.bridge_supply[self.month()]), 1)
        return max(ahead - self.units.free, 0) * (self.static.quarter_ticks // 3) // pace

    def assign_units(self) -> None:
        """On-site units go to whoever asked first."""
        for p, units in self.units.serve():
            assert isinstance(p, Project)
            self.bridging[p] = units
            self.mark(p, Stage.BRIDGING, Mark.START, pool=p.market)
            end = self.env.now + int(self.draws.bridge_lead[p.root])
            self.expect_power(p, end)
            self.call(end, Order.COMPLETION, p, None, Stage.BRIDGING, lambda p=p: self.bridge_comes(p))

    def return_units(self, p: Project) -> None:
        """The grid is there, or the site is given up: on-site units move on."""
        self.units.withdraw(p)
        if p in self.bridging:
            if not p.powered:
                self.mark(p, Stage.BRIDGING, Mark.HALTED, pool=p.market)
            self.units.release(self.bridging.pop(p))
        self.assign_units()

    def bridge_comes(self, p: Project) -> None:
        """On-site generation gives power, unless the grid was first or the site is given up."""
        if p.powered or p not in self.bridging:
            return
        self.mark(p, Stage.BRIDGING, Mark.END, pool=p.market)
        self.mark(p, Stage.BRIDGING, Mark.BRIDGED, pool=p.market, quantity=p.mw16)
        self.power_comes(p)

    def hire_crews(self, p: Project) -> Steps:
        """Construction capacity of the company: claimed whole at ground-breaking, first come first served."""
        if not self.static.allow_crew_limit:
            return
        limit = self.crew_limit[self.year()][p.company]
        self.crews[p.company].claim(p, min(p.mw16, limit) if limit else p.mw16)
        hired = self.hired[p] = self.env.event()
        self.send_crews(p.company)
        if not hired.triggered:
            yield from self.wait(p, Stage.CREWS, hired, pool=p.market)
        del self.hired[p]

    def send_crews(self, company: int) -> None:
        """Crews go to whoever asked first and fits."""
        for p, crews in self.crews[company].serve():
            assert isinstance(p, Project)
            p.crews = crews
            self.hired[p].succeed()

    def release_crews(self, p: Project, mw16: int) -> None:
        """Crews move on as buildings are finished."""
        done = min(mw16, p.crews)
        if done:
            p.crews -= done
            self.crews[p.company].release(done)
            self.send_crews(p.company)

    def branch_done(self, f: Phase) -> None:
        """Power or shell of a phase is there; when both are, it is ready."""
        f.missing -= 1
        if f.missing or f.given_up:
            return
        p = f.project
        f.ready = self.env.now
        self.mark(p, Stage.PROJECT, Mark.READY, f, pool=p.market, quantity=f.mw16)
        if not f.go.triggered:
            f.go.succeed()
        if f.site is not None:
            f.site.succeed()
        if not f.shipped:
            self.ask_first(f)
            self.be_patient(f)

    def ask_first(self, f: Phase) -> None:
        """Clearance is first asked for a lead before the company expects the phase ready, or when it is ready sooner."""
        if f.asked != NOT_YET or f.given_up:
            return
        due = f.expected - self.draws.filing_lead
        if f.ready == NOT_YET and due > self.env.now:  # its date has moved
            self.call(due, Order.RULING, f.project, f, Stage.CLEARANCE, lambda: self.ask_first(f))
        else:
            self.regulator.ask(f)

    def in_opening_fleet(self, f: Phase) -> bool:
        """Whether a phase would have been online before the start, while the opening fleet still has room for it."""
        p = f.project
        if self.env.now >= 0 or f.ready == NOT_YET:
            return False
        rest = sum(self.length(p, stage) for stage in AFTER_SHIPMENT)
        if self.env.now + rest > 0 or self.fleet_room[p.company] < f.mw16:
            return False
        self.fleet_room[p.company] -= f.mw16
        f.shipped = True
        p.online += 1
        self.regulator.take_back(f)
        self.coming[p.company, f.vendor].pop(f, None)
        self.mark(p, Stage.PROJECT, Mark.IN_FLEET, f, pool=p.market, quantity=f.mw16)
        return True

    # ------------------------------------------------------------------ decisions

    def choose_market(self, p: Project) -> bool:
        """Pick the market with the highest score under the law announced today; False if every one is barred.

        The score: the project's own appeal, the law's outlook, the backlog of rationed markets, and the wait for an allocation
        or a footprint that is full. A company that holds the universal authorisation, or waits for it, does not fear the licence
        it stands for.
        """
        hopes = int(self.regulator.hopes_for_authorisation(p.company))
        score = self.draws.appeal[p.root] + self.outlook[hopes, self.segment, p.company]
        per_year = self.draws.choice_per_year
        if self.static.allow_rationing:
            minded = per_year
            if self.draws.workload[p.root] == Workload.TRAINING:
                minded = per_year * self.draws.choice_training >> FACTOR_BITS
            score += self.rationed_mask * (minded * in_years(self.power_waits(p)) >> FACTOR_BITS)
        if (full := self.regulator.full_wait[p.company]) is not None:
            score += per_year * full[self.static.market_country] >> FACTOR_BITS
        forced = int(self.draws.forced_country[p.root])
        if forced >= 0 and not p.left and p.planned < self.static.forced_until:
            best = int((self.draws.appeal[p.root] + (self.static.market_country != forced) * ANOTHER).argmax())
        else:
            for country in p.left:
                score = score + (self.static.market_country == country) * BARRED
            best = int(score.argmax())
            if score[best] <= BARRED // 2:
                return False
        p.market, p.country = best, self.market_country[best]
        return True

    def power_waits(self, p: Project) -> Any:
        """(M,) ticks until this project would have power in each rationed market, as it looks today."""
        own = p.mw16 * self.draws.grid_ticks
        return np.maximum(np.maximum(self.grid_until - self.env.now, 0) + own, self.draws.grid_works)

    def be_patient(self, f: Phase) -> None:
        """A ready phase that is not cleared waits; at the end of patience, and again after, the company looks at its options."""
        p = f.project
        due = self.env.now + max(int(self.draws.patience[p.root]), TICKS_PER_DAY)
        let = f.ready + self.draws.let_after
        if self.env.now < let:
            due = min(due, let)
        self.call(due, Order.PATIENCE, p, f, Stage.CLEARANCE, lambda: self.patience_ends(f))

    def patience_ends(self, f: Phase) -> None:
        """The wait has lasted as long as the company bears it."""
        p = f.project
        if f.shipped or p.abandoned:
            return
        if not f.cleared:
            stage, rule = f.waits
            self.reconsider(p, rule, Stage(stage) if stage >= 0 else Stage.CLEARANCE)
        if not p.abandoned:
            self.be_patient(f)  # clearance may be lost again

    def power_is_late(self, p: Project) -> None:
        """Power has not come long after the company's own date."""
        if p.powered or p.abandoned:
            return
        _, wait = self.prospect(p, p.phases[0], Stage.INTERCONNECTION)
        if wait > self.shell_estimate(p):  # what comes sooner than a new shell could be built is waited for
            self.reconsider(p, -1, Stage.INTERCONNECTION)
        if not p.abandoned:
            due = self.env.now + max(int(self.draws.patience_power[p.root]), TICKS_PER_DAY)
            self.call(due, Order.PATIENCE, p, None, Stage.INTERCONNECTION, lambda: self.power_is_late(p))

    def reconsider(self, p: Project, rule: int, stage: Stage) -> None:
        """Wait, take other chips, relocate or cancel: by what the company knows today."""
        rest = [f for f in p.phases if not f.shipped and not (f.cleared and f.ready != NOT_YET)]
        if p.abandoned or not rest:
            return
        f = rest[0]
        now, draws = self.env.now, self.draws
        horizon = now + draws.planning_horizon
        mw16 = sum(g.mw16 for g in rest)
        price = 0 if p.route == Route.LEASED else self.shell_usd[p.market]
        cost = decisions.shell_cost(mw16, price)
        sunk = share_of(cost, self.spent(p))
        chance, wait = self.prospect(p, f, stage)
        ready = max(now + wait, f.due)
        idle = decisions.idle_cost(mw16, draws.idle_shell_usd, wait) if p.shell_ready != NOT_YET else 0
        let = NOT_YET < f.ready <= now - draws.let_after
        gain = decisions.worth(mw16, ready, horizon, draws.value_usd)
        scores = [decisions.IMPOSSIBLE] * len(Option)
        if not let:
            scores[Option.WAIT] = decisions.stay(gain, chance, cost - sunk, idle)
        vendor, ratio = self.other_chips(f) if stage != Stage.INTERCONNECTION else (-1, 0)
        if vendor >= 0:
            now_gain = decisions.worth(mw16, max(now, f.due), horizon, draws.value_usd)
            scores[Option.OTHER_CHIPS] = decisions.stay(now_gain, ratio, cost - sunk, 0)
        successor = self.successor(p, rest)
        if successor is not None:
            price = 0 if p.route == Route.LEASED else self.shell_usd[successor.market]
            begin = now + self.middle(successor, Timed.SITE_SELECTION)
            later = begin + max(self.power_estimate(successor), self.shell_estimate(successor))
            gain = decisions.worth(mw16, later, horizon, draws.value_usd)
            scores[Option.RELOCATE] = decisions.leave(
                gain, self.chance_in(successor), decisions.shell_cost(mw16, price), sunk, draws.recovery_ppm
            )
        scores[Option.CANCEL] = decisions.leave(0, 0, 0, sunk, draws.recovery_ppm)
        choice = decisions.best(scores)
        if choice == Option.WAIT:
            if stage in (Stage.LICENCE_REVIEW, Stage.LAW) and not p.broken_ground and p.halted is None:
                p.halted = self.env.event()  # no ground is broken while a refusal stands
        elif choice == Option.OTHER_CHIPS:
            self.switch(rest, vendor)
        else:
            self.give_up(p, rest, rule, successor if choice == Option.RELOCATE else None, let)

    def prospect(self, p: Project, f: Phase, stage: Stage) -> tuple[int, int]:
        """(chance in parts per million, ticks) that what a project waits for comes, as it looks today."""
        regulator, now = self.regulator, self.env.now
        if stage is Stage.INTERCONNECTION:
            if p.requested in self.requests and p.requested is not None:
                return PPM, self.grid[p.market].ahead(p.requested, now)
            return PPM, now - p.expected_power  # as long again as it is late
        if stage is Stage.AUTHORISATION:
            return PPM, regulator.headroom_wait(f)
        item, _ = regulator.needed(f)
        posture = regulator.posture[self.segment][p.company][p.country][item]
        chance = decisions.ppm_of(regulator.approve[self.segment][posture])
        wait = regulator.review_median[self.segment][posture]
        if stage is Stage.ALLOCATION:
            wait += max(regulator.pot_opens(p.country) - now, 0)
        if stage is Stage.FRAMEWORK:
            wait += max(regulator.framed_from[p.country] - now, 0)
        account = regulator.accounts[p.company][p.country]
        return chance, wait + max(account.not_before - now, 0)

    def chance_in(self, successor: Project) -> int:
        """Chance in parts per million that a site elsewhere will be cleared, by what announced law asks of it."""
        regulator, k, c = self.regulator, successor.company, successor.country
        item = self.shipping_generation[successor.vendor][self.month()]
        if not regulator.needs[self.segment][k][c][item]:
            return PPM
        if regulator.uveu_rule[self.segment][k][c][item] >= 0 and regulator.hopes_for_authorisation(k):
            return PPM
        return decisions.ppm_of(regulator.approve[self.segment][regulator.posture[self.segment][k][c][item]])

    def spent(self, p: Project) -> int:
        """Share of the shell's cost already spent, in parts per million: by site control, permits, half of construction, shell."""
        site, permits, half, shell, _ = self.draws.spend_ppm.tolist()
        if p.shell_ready != NOT_YET:
            return int(shell)
        return int((permits + half) // 2 if p.broken_ground else site)

    def other_chips(self, f: Phase) -> tuple[int, int]:
        """Another vendor whose chips the law lets pass here today and which this company gets, and its compute per watt against
        the planned one in parts per million; (-1, 0) if there is none."""
        p, static = f.project, self.static
        planned, _ = self.regulator.needed(f)
        for v in range(len(static.vendors)):
            if v == f.vendor or not self.on_order[p.company, v]:
                continue
            item = self.shipping_generation[v][self.month()]
            quantity = -(-f.mw16 * WATTS_PER_SIXTEENTH // self.watts[item]) * self.tpp[item]
            if self.regulator.passes(f, item, quantity) is not None:
                ours = int(static.h100e_ppm[planned]) * self.watts[item]
                return v, int(static.h100e_ppm[item]) * self.watts[planned] * PPM // ours
        return -1, 0

    def switch(self, rest: list[Phase], vendor: int) -> None:
        """Phases not yet shipped take another vendor's chips."""
        for f in rest:
            p = f.project
            granted = self.leave_line(f)
            self.coming[p.company, f.vendor].pop(f, None)
            f.vendor, f.refused_tpp, f.refused_item = vendor, 0, -1
            self.coming[p.company, vendor][f] = None
            self.mark(p, Stage.CHIPS, Mark.SWITCHED, f, pool=vendor)
            if granted is not None:
                self.line_up(f, granted)
            account = self.regulator.accounts[p.company][p.country]
            if account.waiting:
                self.regulator.consider_soon(account)

    def leave_line(self, f: Phase) -> simpy.Event | None:
        """A phase that waits for chips leaves the line; what it had gathered goes back to stock. Returns what it waited for."""
        p = f.project
        if (found := self.claims.pop((p.root, p.hop, f.index), None)) is None:
            return None
        claim, granted = found
        self.queues[p.company, f.vendor].leave(claim)
        self.serve_soon(p.company, f.vendor)
        return granted

    def successor(self, p: Project, rest: list[Phase]) -> Project | None:
        """What is not shipped yet, planned in another country; the lineage keeps its luck. None if there is nowhere to go."""
        if not self.static.allow_relocation or p.hop >= self.draws.largest_hop:
            return None
        sizes = tuple(f.mw16 for f in rest)
        left = p.left | {p.country}
        successor = Project(p.root, p.hop + 1, self.env.now, p.company, rest[0].vendor, p.route, sizes, left=left)
        return successor if self.choose_market(successor) else None

    def give_up(self, p: Project, rest: list[Phase], rule: int, successor: Project | None, let: bool) -> None:
        """Leave this site: stop the work, let go of what is held, and plan a successor elsewhere or cancel."""
        p.abandoned = True
        mw16 = sum(f.mw16 for f in rest)
        for f in rest:
            f.given_up = True
        if all(f.given_up or f.ready != NOT_YET for f in p.phases):  # else chips are there and wait for the rest of the site
            for branch in p.branches:
                if branch.is_alive:
                    branch.interrupt()
            self.release_crews(p, p.crews)
            self.crews[p.company].withdraw(p)
            self.hired.pop(p, None)
            self.unbroken.pop(p, None)
            self.send_crews(p.company)
        if p.deserted:  # else what stays there keeps its power
            if p.requested is not None and self.grid[p.market].withdraw(p.requested):
                self.requests.pop(p.requested, None)
                self.connect_next(p.market)
            if not p.on_grid:
                self.mark(p, Stage.INTERCONNECTION, Mark.HALTED, pool=p.market)
            self.return_units(p)
        for f in rest:
            self.leave_line(f)
            self.coming[p.company, f.vendor].pop(f, None)
            self.regulator.forget(f)
            if f.life is not None and f.life.is_alive:
                f.life.interrupt()
        if let:
            self.mark(p, Stage.PROJECT, Mark.LET, pool=p.market, quantity=mw16)
        if successor is None:
            self.mark(p, Stage.PROJECT, Mark.CANCELLED, rule=rule, pool=p.market, quantity=mw16)
        else:
            self.mark(p, Stage.PROJECT, Mark.RELOCATED, rule=rule, pool=p.market, quantity=mw16)
            self.env.process(self.develop(successor))

    # ------------------------------------------------------------------ chips

    def months(self) -> Steps:
        """The calendar: at the beginning of each month chips reach the companies' stocks, at home, and new ones are ordered.

        Chips under way on the start date reach sites beforehand, by the time it takes to ship and install them.
        """
        yield Alarm(self.env, -self.draws.under_way_ticks, Order.RELEASE)
        for k, v in self.queues:
            self.stock(k, v, self.draws.under_way)
        ahead = self.draws.commitment_months
        for month, tick in enumerate(self.month_starts[:-1]):
            yield Alarm(self.env, tick, Order.RELEASE)
            if month == 0:
                for k, v in self.queues:
                    self.stock(k, v, self.draws.opening_stock)
                for early in range(min(ahead, len(self.month_starts) - 1)):
                    self.commit(early, bounded=False)  # ordered before the start
            if month + ahead < len(self.month_starts) - 1:
                self.commit(month + ahead)
            self.deliver(month)
            self.units.release(int(self.draws.bridge_supply[month]))
            self.assign_units()
            self.ship_ahead()
            self.regulator.month()
            if month % 3 == 0:
                self.review_dates()
                self.regulator.quarter()

    def stock(self, k: int, v: int, chips: Any) -> None:
        """Chips held on or before the start date enter a company's stock."""
        for a in self.queues[k, v].generations:
            self.receive(k, v, a, int(chips[k, a]))
        self.serve_soon(k, v)

    def deliver(self, month: int) -> None:
        """What was committed to for this month arrives."""
        reaches = int(self.static.supply_ppm[month])
        for (k, v), queue in self.queues.items():
            for a in reversed(queue.generations):
                if not (ordered := self.committed[month][k][a]):
                    continue
                self.on_order[k, v] -= ordered * self.watts[a]
                chips = min(ordered, int(self.draws.deliveries[month, k, a]) * reaches // PPM)
                if chips:
                    self.receive(k, v, a, chips)
                    self.record(k, Mark.DELIVERED, a, chips)
                if missed := ordered - chips:  # less is made, or let out, than anyone knew when it was ordered
                    self.chip_money[k] += missed * self.chip_kusd[a]
                    self.record(k, Mark.MISSED, a, missed)
            self.serve_soon(k, v)

    def commit(self, month: int, bounded: bool = True) -> None:
        """Order the company's share of a later month's supply, as far as sites due by then will need it and money allows.

        What it does not take goes to other buyers, so world supply closes.
        """
        for (k, v), queue in self.queues.items():
            offered = self.offered[month, k].tolist()
            if bounded and v == 0:
                income = int(self.draws.chip_money[month, k])
                # Unspent money is kept, up to a year of it.
                self.chip_money[k] = min(self.chip_money[k] + income, 12 * income)
            if bounded:
                need = self.planned_need(k, v, self.month_starts[month] + self.draws.stock_ahead)
                room = need - queue.held_watts() - self.on_order[k, v]
            for a in reversed(queue.generations):  # the newest first
                if not offered[a]:
                    continue
                taken = offered[a]
                if bounded:
                    taken = min(taken, max(room, 0) // self.watts[a])
                    if self.static.allow_money_bound:
                        taken = min(taken, self.chip_money[k] // self.chip_kusd[a])
                    room -= taken * self.watts[a]
                    self.chip_money[k] -= taken * self.chip_kusd[a]
                if taken:
                    self.committed[month][k][a] = taken
                    self.on_order[k, v] += taken * self.watts[a]
                    self.record(k, Mark.COMMITTED, a, taken)
                if declined := offered[a] - taken:
                    self.record(k, Mark.DECLINED, a, declined)

    def planned_need(self, company: int, vendor: int, until: int) -> int:
        """Watts of chips for phases that wait for them or should be ready by a day."""
        # A phase takes whole chips: its last one may be only partly used.
        spare = max((self.watts[a] for a in self.queues[company, vendor].generations), default=1) - 1
        coming = [f.mw16 for f in self.coming[company, vendor] if f.expected <= until or f.missing == 0]
        return sum(coming) * WATTS_PER_SIXTEENTH + spare * len(coming)

    def receive(self, company: int, vendor: int, accelerator: int, chips: int) -> None:
        """Chips enter a company's stock, and its footprint at home."""
        self.queues[company, vendor].deliver(accelerator, chips)
        self.regulator.received(company, chips * self.regulator.counted_tpp[accelerator])

    def serve_soon(self, company: int, vendor: int) -> None:
        """Serve a chip queue once in this instant, after releases, give-backs and rulings."""
        if (company, vendor) not in self.serving and self.queues[company, vendor].line:
            self.serving.add((company, vendor))
            alarm = Alarm(self.env, self.env.now, Order.GRANT, company, stage=vendor)
            alarm.callbacks.append(lambda _: self.serve(company, vendor))

    def serve(self, company: int, vendor: int) -> None:
        """Hand whole claims to their phases."""
        self.serving.discard((company, vendor))
        for claim in self.queues[company, vendor].serve():
            _, root, hop, index = claim.rank
            _, granted = self.claims.pop((root, hop, index))
            granted.succeed(claim)

    def ship_ahead(self) -> None:
        """Before an announced restriction binds, phases near ready are shipped to as long as nothing asks for a licence."""
        if not self.static.allow_front_loading:
            return
        now, draws = self.env.now, self.draws
        last = min(now + draws.front_load_before, self.static.horizon - 1)
        tightens = self.static.as_lists["tightens"][self.segment]
        if not any(now < tick <= last for row in tightens for tick in row):
            return
        near = []
        for f in (f for coming in self.coming.values() for f in coming):
            p = f.project
            tick = tightens[p.company][p.country]
            if now < tick <= last and f.expected <= tick + draws.front_load_ready and f.missing and p.broken_ground:
                near.append(f)
                if f.asked == NOT_YET and self.regulator.passes(f, *self.regulator.needed(f)) is not None:
                    self.regulator.ask(f)
        Alarm(self.env, now, Order.GRANT).callbacks.append(lambda _: self.send_ahead(near))

    def send_ahead(self, near: list[Phase]) -> None:
        """Phases that are cleared by now gather chips ahead of their site."""
        for f in near:
            if f.cleared and not f.go.triggered:
                f.go.succeed()

    # ------------------------------------------------------------------ the world around

    def law_changes(self) -> Steps:
        """Each change of law re-rules everyone waiting, and whoever was cleared without a licence."""
        for segment in range(1, len(self.static.law_ticks)):
            yield Alarm(self.env, int(self.static.law_ticks[segment]), Order.LAW)
            self.segment = segment
            rule = int(self.static.law_changes[segment])
            self.rows.append((self.env.now, self.regulator.no_project, 0, 0, Stage.LAW, Mark.CHANGED, rule, -1, segment))
            self.regulator.changed()

    def crews_grow(self) -> Steps:
        """Each year a company can have more under construction."""
        for year in range(1, len(self.crew_limit)):
            yield Alarm(self.env, self.year_starts[year], Order.RELEASE)
            for k, crews in enumerate(self.crews):
                crews.release(self.crew_limit[year][k] - self.crew_limit[year - 1][k])
                self.send_crews(k)

    def others_queue(self) -> Steps:
        """Until the start date requests of others keep the queue of a rationed market as long as its published wait says, for a
        project of middle size; then they have their own part of the capacity, and the queue lives by what the four ask for."""
        rationed = [m for m, explicit in enumerate(self.rationed) if explicit]
        step, backlog = self.static.quarter_ticks, self.draws.grid_backlog.tolist()
        for quarter, tick in enumerate((*range(self.static.earliest, 0, step), 0)):
            yield Alarm(self.env, tick, Order.RELEASE, self.first_market)
            for m in rationed:
                missing = backlog[m] - self.grid[m].wait(tick)
                for i in range(0, missing, step):  # at first dated back, as they would have come
                    work = min(step, missing - i)
                    self.grid[m].join((tick - (missing - i - work), -1 - quarter, i // step), work)
                self.connect_next(m)

    # ------------------------------------------------------------------ machinery

    def run(self) -> Log:
        """Play the replication to the horizon. The same inputs give the same log, order included."""
        d, regulator = self.draws, self.regulator
        for process in (
            self.law_changes(),
            self.months(),
            self.others_queue(),
            self.crews_grow(),
            regulator.other_importers(),
            regulator.authorisations(),
            regulator.frameworks(),
            regulator.real_grants(),
        ):
            self.env.process(process)
        plans = (d.planned.tolist(), d.company.tolist(), d.vendor.tolist(), d.route.tolist(), d.phases.tolist())
        for root, (planned, company, vendor, route, phases) in enumerate(zip(*plans, strict=True)):
            sizes = tuple(d.phase_mw16[root, :phases].tolist())
            self.env.process(self.develop(Project(root, 0, planned, company, vendor, route, sizes)))
        self.env.run(until=self.static.horizon)
        return to_log(self.rows)

    def start(self, steps: Steps) -> simpy.Process:
        """Begin a process that ends when the site is given up."""

        def until_given_up() -> Steps:
            try:
                yield from steps
            except simpy.Interrupt:
                return

        process: simpy.Process = self.env.process(until_given_up())
        return process

    def work(self, p: Project, stage: Stage, f: Phase | None = None) -> Steps:
        """Time passes because something is being done; giving the site up ends it."""
        self.mark(p, stage, Mark.START, f, pool=p.market)
        try:
            yield self.at(self.env.now + self.length(p, stage), Order.COMPLETION, p, f, stage)
        except simpy.Interrupt:
            self.mark(p, stage, Mark.HALTED, f, pool=p.market)
            raise
        self.mark(p, stage, Mark.END, f, pool=p.market)

    def wait(self, p: Project, stage: Stage, event: simpy.Event, f: Phase | None = None, *, pool: int) -> Steps:
        """Time passes because something is scarce or forbidden; giving the site up ends it. Returns what the event brings."""
        self.mark(p, stage, Mark.START, f, pool=pool)
        try:
            value = yield event
        except simpy.Interrupt:
            self.mark(p, stage, Mark.HALTED, f, pool=pool)
            raise
        self.mark(p, stage, Mark.END, f, pool=pool)
        return value

    def until(self, tick: int, p: Project, f: Phase, stage: Stage) -> Steps:
        """Nothing to record: the next building or tranche is finished at a tick."""
        if tick > self.env.now:
            yield self.at(tick, Order.COMPLETION, p, f, stage)

    def length(self, p: Project, stage: Stage) -> int:
        """Ticks a timed stage takes for this project, if it begins now."""
        timed = TIMED[stage]
        ticks: int = self.median[timed][p.market] * self.spread[p.root][timed] >> FACTOR_BITS
        ticks = ticks * self.route_factor[p.route][timed] >> FACTOR_BITS
        if stage is Stage.INTERCONNECTION:
            ticks = ticks * self.luck_power[self.year()][p.country] >> FACTOR_BITS
            return max(ticks - self.draws.interconnection_lead, 0)
        if stage is Stage.CONSTRUCTION:
            return ticks * self.luck_construction[self.year()][p.country] >> FACTOR_BITS
        return ticks

    def generation(self, f: Phase) -> int:
        """The accelerator an application names: the vendor's main one in the month the phase should be ready."""
        month = bisect_right(self.month_starts, max(f.expected, self.env.now)) - 1
        return int(self.shipping_generation[f.vendor][min(max(month, 0), len(self.month_starts) - 2)])

    def month(self) -> int:
        """Index of the month now running, 0 before the start."""
        return min(max(bisect_right(self.month_starts, self.env.now) - 1, 0), len(self.month_starts) - 2)

    def year(self) -> int:
        """Index of the calendar year now running, counted from that of the oldest plan."""
        return bisect_right(self.year_starts, self.env.now) - 1

    def at(self, tick: int, order: Order, p: Project, f: Phase | None = None, stage: Stage = Stage.PROJECT) -> Alarm:
        """An alarm of this project or phase."""
        return Alarm(self.env, tick, order, p.root, p.hop, 0 if f is None else f.index, stage)

    def call(self, tick: int, order: Order, p: Project, f: Phase | None, stage: Stage, then: Any) -> None:
        """Do something at a tick, if that is before the horizon."""
        if tick < self.static.horizon:
            self.at(tick, order, p, f, stage).callbacks.append(lambda _: then())

    def mark(
        self, p: Project, stage: Stage, mark: Mark, f: Phase | None = None, *, rule: int = -1, pool: int = -1, quantity: int = 0
    ) -> None:
        """Write an event of a project or of one of its phases to the log."""
        self.rows.append((self.env.now, p.root, p.hop, 0 if f is None else f.index, stage, mark, rule, pool, quantity))

    def record(self, company: int, mark: Mark, accelerator: int, chips: int) -> None:
        """Write a movement of a company's chips to the log."""
        self.rows.append((self.env.now, -1 - company, 0, 0, Stage.CHIPS, mark, -1, accelerator, chips))
