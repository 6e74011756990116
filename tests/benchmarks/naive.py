"""The yardstick: a comparable business as a plain SimPy pipeline, the way a competent engineer would write it first.

One generator a project, one process a phase, library resources for what is scarce, days as floats, a dict for every event. It is
fed the same `Static` and `Draws` as the engine: same projects, phases, medians, spreads, luck, law, reviewers, supply. It does
less: a site asks for its own licence; nothing tests footprints, ships ahead, switches chips, stops the clock, weighs options,
despairs of the grid or reads the law again on the day of export; chips are a container of watts. Nothing fixes the order of an
instant, and `simpy.Container` keeps its known traps (a large claim blocks smaller ones; a cancelled one may leave
others blocked). So its outcomes are not the model's: only its cost is compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from simulator.events import Mark, Stage
from simulator.static import BARRED, FACTOR_BITS, NO_POT, Draws, Static, Timed, authorised_spans, office_cases, read_table
from simulator.units import DAYS_PER_YEAR, FACTOR_ONE, MW_SIXTEENTHS, TICKS_PER_DAY

WATTS_PER_SIXTEENTH = 1_000_000 // MW_SIXTEENTHS
Steps = Generator[simpy.Event, Any, Any]


@dataclass(eq=False)
class Site:
    """One project on one site; a relocation is another site of the same root."""

    root: int
    hop: int = 0
    planned: float = 0.0
    left: frozenset[int] = frozenset()
    market: int = -1
    country: int = -1
    expected: float = 0.0
    power: simpy.Event = field(init=False)
    power_day: float = 0.0
    shell_day: float = 0.0
    bridged: bool = False
    branches: list[simpy.Process] = field(default_factory=list)


class Pipeline:
    """One replication. `run()` plays it to the horizon; `rows` is then its log."""

    def __init__(self, static: Static, draws: Draws):
        self.static, self.draws = static, draws
        self.env = env = simpy.Environment(initial_time=static.earliest / TICKS_PER_DAY)
        self.rows: list[dict[str, Any]] = []
        # Days and plain lists: indexing a NumPy array costs ten times as much in a scalar loop.
        self.months = (static.month_starts / TICKS_PER_DAY).tolist()
        self.years = (static.year_starts / TICKS_PER_DAY).tolist()
        self.median, self.spread = (draws.median / TICKS_PER_DAY).tolist(), (draws.spread / FACTOR_ONE).tolist()
        self.route_factor = (draws.route_factor / FACTOR_ONE).tolist()
        self.luck_power = (draws.luck_power / FACTOR_ONE).tolist()
        self.luck_construction = (draws.luck_construction / FACTOR_ONE).tolist()
        self.grid_days = (draws.grid_ticks / TICKS_PER_DAY).tolist()
        self.grid_works = (draws.grid_works / TICKS_PER_DAY).tolist()
        self.company, self.vendor, self.mw16 = draws.company.tolist(), draws.vendor.tolist(), draws.mw16.tolist()
        self.route, self.phase_mw16 = draws.route.tolist(), draws.phase_mw16.tolist()

        companies = range(len(static.companies))
        self.segment = 0
        self.filed: Counter[tuple[int, int]] = Counter()
        self.authorised, self.revoked = authorised_spans(static, draws)
        self.chips = {(k, v): simpy.Container(env) for k in companies for v in range(len(static.vendors))}
        self.quota: dict[int, simpy.Container] = {}
        self.inbox = simpy.Store(env)
        rationed = static.rationed.nonzero()[0].tolist() if static.allow_rationing else []
        self.grid = {m: simpy.Resource(env) for m in rationed}
        self.queued = dict.fromkeys(rationed, 0.0)
        self.bridging = simpy.Container(env)
        self.crews = [simpy.Container(env, init=limit) for limit in draws.crew_limit.max(axis=0).tolist()]
        fleet_watts = (draws.fleet_chips * static.watts).sum(axis=(1, 2))
        self.fleet_room = (fleet_watts // WATTS_PER_SIXTEENTH).tolist()

    def run(self) -> list[dict[str, Any]]:
        """Play the replication to the horizon and return the log."""
        env = self.env
        for steps in (self.law(), self.deliveries(), self.other_importers()):
            env.process(steps)
        if self.static.allow_review_queue:
            for steps in (self.other_applications(), *(self.reviewer() for _ in range(self.draws.reviewers))):
                env.process(steps)
        for market in self.grid:
            env.process(self.grid_backlog(market))
        for root, planned in enumerate(self.draws.planned.tolist()):
            env.process(self.develop(Site(root, planned=planned / TICKS_PER_DAY)))
        env.run(until=self.static.horizon / TICKS_PER_DAY)
        return self.rows

    # ------------------------------------------------------------------ a project

    def develop(self, site: Site) -> Steps:
        """One project on one site, from plan to its last phase online."""
        env, root = self.env, site.root
        yield env.timeout(max(site.planned - env.now, 0))
        if not self.choose_market(site):
            return self.log(site, Stage.PROJECT, Mark.CANCELLED, quantity=self.mw16[root])
        self.log(site, Stage.PROJECT, Mark.PLANNED, pool=site.market, quantity=self.mw16[root])
        yield from self.work(site, Stage.SITE_SELECTION)
        power_days = self.power_wait(site.market) if site.market in self.grid else self.length(site, Timed.INTERCONNECTION)
        shell_days = sum(self.length(site, timed) for timed in (Timed.PERMITTING, Timed.CONSTRUCTION, Timed.FIT_OUT))
        branches = [self.build(site), self.connect(site)]
        late = power_days > shell_days + self.draws.bridge_trigger / TICKS_PER_DAY
        if late and self.static.allow_bridging and self.static.bridging_allowed[site.market]:
            branches.append(self.bridge(site))
            power_days = int(self.draws.bridge_lead[root]) / TICKS_PER_DAY
        site.expected = env.now + max(power_days, shell_days)
        site.power = env.event()
        site.branches = [env.process(self.branch(site, steps)) for steps in branches]
        if not (yield env.process(self.clear(site))):
            return self.give_up(site)
        phases = [env.process(self.deliver(site, f)) for f in range(self.draws.phases[root])]
        yield env.all_of(phases)
        self.log(site, Stage.PROJECT, Mark.FULL, pool=site.market, quantity=self.mw16[root])

    def connect(self, site: Site) -> Steps:
        """Power from the grid: a turn in the queue where capacity is rationed, a drawn wait elsewhere."""
        env, m, requested = self.env, site.market, self.env.now
        self.log(site, Stage.INTERCONNECTION, Mark.START, pool=m)
        if m in self.grid and requested >= 0:
            yield from self.take_turn(m, self.mw16[site.root] * self.grid_days[m])
            works = self.grid_works[m] * self.spread[site.root][Timed.INTERCONNECTION]
            yield env.timeout(max(requested + works - env.now, 0))
        else:
            yield env.timeout(self.length(site, Timed.INTERCONNECTION))
        self.log(site, Stage.INTERCONNECTION, Mark.END, pool=m)
        self.first_power(site)
        if site.bridged:
            self.bridging.put(self.mw16[site.root])

    def bridge(self, site: Site) -> Steps:
        """Power from on-site generation, once units are free, until the grid comes."""
        with self.bridging.get(self.mw16[site.root]) as units:
            yield units
        site.bridged = True
        self.log(site, Stage.BRIDGING, Mark.START, pool=site.market)
        yield self.env.timeout(int(self.draws.bridge_lead[site.root]) / TICKS_PER_DAY)
        self.log(site, Stage.BRIDGING, Mark.END, pool=site.market)
        self.first_power(site)

    def build(self, site: Site) -> Steps:
        """Shell: permits, crews, ground-breaking, construction, fit-out."""
        yield from self.work(site, Stage.PERMITTING)
        crews = self.crews[self.company[site.root]]
        needed = min(self.mw16[site.root], int(self.draws.crew_limit.min())) if self.static.allow_crew_limit else 0
        if needed:
            self.log(site, Stage.CREWS, Mark.START, pool=site.market)
            with crews.get(needed) as claim:
                yield claim
            self.log(site, Stage.CREWS, Mark.END, pool=site.market)
        self.log(site, Stage.CONSTRUCTION, Mark.GROUND_BREAKING, pool=site.market)
        try:
            yield from self.work(site, Stage.CONSTRUCTION)
            yield from self.work(site, Stage.FIT_OUT)
        finally:
            if needed:
                crews.put(needed)
        site.shell_day = self.env.now

    def clear(self, site: Site) -> Steps:
        """Clearance: a licence where the law of the day asks for one, then room in the quota. Returns whether it came."""
        env, draws = self.env, self.draws
        yield env.timeout(max(site.expected - draws.filing_lead / TICKS_PER_DAY - env.now, 0))
        self.log(site, Stage.CLEARANCE, Mark.START, pool=site.country)
        patience = env.timeout(max(site.expected - env.now, 0) + int(draws.patience[site.root]) / TICKS_PER_DAY)
        cleared = not self.needs_licence(site)
        for _ in range(draws.largest_filings):
            if cleared or patience.processed:
                break
            outcome, again = yield from self.apply(site)
            if outcome is Mark.APPROVED:
                cleared = yield from self.draw_quota(site, patience)
            if outcome is not Mark.RETURNED:
                break
            yield env.timeout(again)
            cleared = not self.needs_licence(site)
        self.log(site, Stage.CLEARANCE, Mark.CLEARED if cleared else Mark.END, pool=site.country)
        return cleared

    def apply(self, site: Site) -> Steps:
        """One application: a reviewer's work, then the interagency clock. Returns the outcome and the days to the next filing."""
        static, draws, k, c = self.static, self.draws, self.company[site.root], site.country
        n = self.filed[k, c] % draws.licence_work.shape[2]
        self.filed[k, c] += 1
        posture = int(static.posture[self.segment, k, c, self.generation(site)])
        self.log(site, Stage.LICENCE_REVIEW, Mark.FILED, pool=c, quantity=self.tpp(site))
        if static.allow_review_queue:
            reviewed = self.env.event()
            yield self.inbox.put((int(draws.licence_work[k, c, n]) / TICKS_PER_DAY, reviewed))
            yield reviewed
        multiplier = read_table(static.clock_spread, int(draws.licence_clock[k, c, n])) / FACTOR_ONE
        yield self.env.timeout(int(static.clock_median[self.segment, posture]) * multiplier / TICKS_PER_DAY)
        outcome, luck = Mark.RETURNED, draws.licence_outcome[k, c, n]
        if luck < static.approve_below[self.segment, posture]:
            outcome = Mark.APPROVED
        elif luck >= static.deny_above[self.segment, posture]:
            outcome = Mark.DENIED
        self.log(site, Stage.LICENCE_REVIEW, outcome, pool=c, quantity=self.tpp(site))
        return outcome, int(draws.refile[k, c, n]) / TICKS_PER_DAY

    def draw_quota(self, site: Site, patience: simpy.Event) -> Steps:
        """Take the site's TPP from the country's quota, if there is one, within patience. Returns whether it came."""
        if (quota := self.quota.get(site.country)) is None:
            return True
        quantity = self.tpp(site)
        with quota.get(quantity) as claim:
            yield claim | patience
            if claim.triggered:
                self.log(site, Stage.ALLOCATION, Mark.DRAWN, pool=site.country, quantity=quantity)
            return claim.triggered

    def deliver(self, site: Site, f: int) -> Steps:
        """One phase: its tranche of power and its part of the shell, chips, shipping, installation, commissioning."""
        env, draws, root = self.env, self.draws, site.root
        k, v, mw16 = self.company[root], self.vendor[root], self.phase_mw16[root][f]
        yield site.power & site.branches[0]
        power = site.power_day + int(draws.power_offset[root, f]) / TICKS_PER_DAY
        shell = site.shell_day + int(draws.shell_offset[root, f]) / TICKS_PER_DAY
        for day, stage, mark in sorted([(power, Stage.INTERCONNECTION, Mark.POWERED), (shell, Stage.FIT_OUT, Mark.SHELL_READY)]):
            yield env.timeout(max(day - env.now, 0))
            self.log(site, stage, mark, f, site.market)
        self.log(site, Stage.PROJECT, Mark.READY, f, site.market, mw16)
        if env.now < 0 and mw16 <= self.fleet_room[k]:
            self.fleet_room[k] -= mw16
            return self.log(site, Stage.PROJECT, Mark.IN_FLEET, f, site.market, mw16)
        self.log(site, Stage.CHIPS, Mark.START, f, v)
        yield self.chips[k, v].get(mw16 * WATTS_PER_SIXTEENTH)
        self.log(site, Stage.CHIPS, Mark.END, f, v)
        self.log(site, Stage.CHIPS, Mark.CHIPS_TAKEN, f, v, mw16 * WATTS_PER_SIXTEENTH)  # watts, of any generation
        self.log(site, Stage.SHIPPING, Mark.SHIPPED, f, site.country, self.tpp(site, mw16))
        for stage in (Stage.SHIPPING, Stage.INSTALLATION, Stage.COMMISSIONING):
            yield from self.work(site, stage, f)
        self.log(site, Stage.PROJECT, Mark.ONLINE, f, site.market, mw16)

    def give_up(self, site: Site) -> None:
        """Stop the work, and begin again in the next best country or cancel."""
        for branch in site.branches:
            if branch.is_alive:
                branch.interrupt()
        again = self.static.allow_relocation and site.hop < self.draws.largest_hop
        mark = Mark.RELOCATED if again else Mark.CANCELLED
        self.log(site, Stage.PROJECT, mark, pool=site.market, quantity=self.mw16[site.root])
        if again:
            self.env.process(self.develop(Site(site.root, site.hop + 1, self.env.now, site.left | {site.country})))

    # ------------------------------------------------------------------ the world around

    def law(self) -> Steps:
        """Changes of law: another segment of the tables, and a fresh quota where another period begins."""
        static = self.static
        before: dict[int, tuple[int, int]] = {}
        for segment, tick in enumerate(static.law_ticks.tolist()):
            yield self.env.timeout(max(tick / TICKS_PER_DAY - self.env.now, 0))
            self.segment = segment
            limits, windows = static.allocation[segment].tolist(), static.allocation_window[segment].tolist()
            for c, period in enumerate(zip(limits, windows, strict=True)):
                if limits[c] == NO_POT:
                    self.quota.pop(c, None)
                elif c not in self.quota or period != before[c]:
                    self.quota[c] = simpy.Container(self.env, init=limits[c])
                before[c] = period

    def deliveries(self) -> Steps:
        """Chips reach the companies' stocks: those under way on the start date, the opening stock, then every month's."""
        draws = self.draws
        units = [0, 0, *draws.bridge_supply.tolist()]
        days = [-draws.under_way_ticks / TICKS_PER_DAY, 0.0, *self.months[:-1]]
        chips = [draws.under_way, draws.opening_stock, *draws.deliveries]
        for day, offered, bridges in zip(days, chips, units, strict=True):
            yield self.env.timeout(day - self.env.now)
            for (k, v), stock in self.chips.items():
                if watts := int((offered[k] * self.static.watts)[self.static.vendor_of == v].sum()):
                    yield stock.put(watts)
                    self.log(Site(-1 - k), Stage.CHIPS, Mark.DELIVERED, pool=v, quantity=watts)
            if bridges:
                yield self.bridging.put(bridges)

    def other_importers(self) -> Steps:
        """Other importers take what they ask for from the countries' quotas every quarter, as far as there is room."""
        for tick, asked in zip(self.static.quarter_starts.tolist(), self.static.other_importers.tolist(), strict=True):
            yield self.env.timeout(tick / TICKS_PER_DAY - self.env.now)
            for c, quota in list(self.quota.items()):
                if (taken := min(quota.level, asked[c])) and not quota.get_queue:
                    yield quota.get(taken)
                    self.log(Site(-1 - len(self.crews)), Stage.OTHER_IMPORTERS, Mark.DRAWN, pool=c, quantity=taken)

    def other_applications(self) -> Steps:
        """The applications of others land in the same inbox."""
        for arrival, work in zip(*office_cases(self.static, self.draws), strict=True):
            yield self.env.timeout(max(arrival / TICKS_PER_DAY - self.env.now, 0))
            yield self.inbox.put((work / TICKS_PER_DAY, None))

    def reviewer(self) -> Steps:
        """One reviewer takes one application after the other."""
        while True:
            days, reviewed = yield self.inbox.get()
            yield self.env.timeout(days)
            if reviewed is not None:
                reviewed.succeed()

    def grid_backlog(self, market: int) -> Steps:
        """On the start date a rationed market's queue already holds work."""
        yield self.env.timeout(-self.env.now)
        yield from self.take_turn(market, int(self.draws.grid_backlog[market]) / TICKS_PER_DAY)

    def take_turn(self, market: int, days: float) -> Steps:
        """Be connected, one after the other."""
        self.queued[market] += days
        try:
            with self.grid[market].request() as turn:
                yield turn
                yield self.env.timeout(days)
        finally:
            self.queued[market] -= days

    # ------------------------------------------------------------------ helpers

    def work(self, site: Site, stage: Stage, f: int = 0) -> Steps:
        """A stage that takes its drawn time."""
        self.log(site, stage, Mark.START, f, site.market)
        yield self.env.timeout(self.length(site, Timed[stage.name]))
        self.log(site, stage, Mark.END, f, site.market)

    def branch(self, site: Site, steps: Steps) -> Steps:
        """Work that stops when the site is given up."""
        try:
            yield from steps
        except simpy.Interrupt:
            self.log(site, Stage.PROJECT, Mark.HALTED, pool=site.market)

    def first_power(self, site: Site) -> None:
        """From the grid or from on-site generation, whichever comes first."""
        if not site.power.triggered:
            site.power_day = self.env.now
            site.power.succeed()
            self.log(site, Stage.INTERCONNECTION, Mark.FIRST_POWER, pool=site.market)

    def length(self, site: Site, timed: Timed) -> float:
        """Days a timed stage takes if it begins now."""
        root, year = site.root, bisect_right(self.years, self.env.now) - 1
        days: float = self.median[timed][site.market] * self.spread[root][timed] * self.route_factor[self.route[root]][timed]
        if timed is Timed.INTERCONNECTION:
            return max(days * self.luck_power[year][site.country] - self.draws.interconnection_lead / TICKS_PER_DAY, 0)
        return days * self.luck_construction[year][site.country] if timed is Timed.CONSTRUCTION else days

    def power_wait(self, market: int) -> float:
        """Days to power in a rationed market, as they look today."""
        return self.queued[market] + self.grid_works[market] if self.env.now >= 0 else self.median[Timed.INTERCONNECTION][market]

    def choose_market(self, site: Site) -> bool:
        """The market with the highest score under the law announced today; False if every one is barred."""
        static, draws, k = self.static, self.draws, self.company[site.root]
        wait = static.outlook_wait[0, self.segment, k] * draws.choice_per_year >> FACTOR_BITS
        score = draws.appeal[site.root] + (static.outlook[0, self.segment, k] + wait)[static.market_country]
        for m in self.grid:
            score[m] += int(draws.choice_per_year * self.power_wait(m) / DAYS_PER_YEAR)
        for country in site.left:
            score[static.market_country == country] = BARRED
        if (forced := int(draws.forced_country[site.root])) >= 0 and not site.left:  # announced there, whatever the law
            score = draws.appeal[site.root] + (static.market_country != forced) * BARRED
        site.market = int(score.argmax())
        site.country = int(static.market_country[site.market])
        return bool(score[site.market] > BARRED // 2)

    def generation(self, site: Site) -> int:
        """The accelerator that will be shipping when the site should be ready."""
        month = bisect_right(self.months, max(site.expected, self.env.now)) - 1
        return int(self.static.shipping_generation[self.vendor[site.root], min(max(month, 0), len(self.months) - 2)])

    def tpp(self, site: Site, mw16: int | None = None) -> int:
        """TPP of the chips of a site, or of one of its phases."""
        a = self.generation(site)
        watts = (self.mw16[site.root] if mw16 is None else mw16) * WATTS_PER_SIXTEENTH
        return watts // int(self.static.watts[a]) * int(self.static.tpp[a])

    def needs_licence(self, site: Site) -> bool:
        """Whether the law of the day asks for a licence that no authorisation of the company replaces."""
        k, tick = self.company[site.root], self.env.now * TICKS_PER_DAY
        where = self.segment, k, site.country, self.generation(site)
        authorised = self.static.allow_uveu and self.static.uveu_rule[where] >= 0 and self.authorised[k] <= tick < self.revoked[k]
        return bool(self.static.needs_licence[where]) and not authorised

    def log(self, site: Site, stage: Stage, mark: Mark, phase: int = 0, pool: int = -1, quantity: int = 0) -> None:
        """Write down what happened."""
        self.rows.append(
            {
                "day": self.env.now,
                "root": site.root,
                "hop": site.hop,
                "phase": phase,
                "stage": stage,
                "mark": mark,
                "pool": pool,
                "quantity": quantity,
            }
        )
