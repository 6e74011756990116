"""Expansion: one replication of hyperscalers building clusters under the law of the day. Read `Expansion.develop` first.

Two verbs hold the model together. `work`: time passes because something is being done. `wait`: time passes because something
is scarce or forbidden. All state is integer; what happens in one instant has a fixed order (`events.Order`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import simpy

from simulator.controls import allocation_allows, lpp_allows, uveu_test
from simulator.events import Log, Mark, Order, Row, Stage, to_log
from simulator.pools import ChipQueue, Claim, Pot
from simulator.static import BARRED, FACTOR_BITS, NO_POT, Draws, Static, Timed, authorisation_ticks, read_table
from simulator.units import MW_SIXTEENTHS, PPM

Steps: TypeAlias = Generator[simpy.Event, Any, Any]

WATTS_PER_SIXTEENTH = 1_000_000 // MW_SIXTEENTHS

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


@dataclass(slots=True, eq=False)
class Project:
    """One cluster on one site: it never moves. A relocation is a successor of the same root with the next hop."""

    root: int
    hop: int
    planned: int
    mw16: int
    company: int
    vendor: int
    route: int
    market: int = -1
    country: int = -1
    expected_ready: int = 0
    ready: int = -1
    branches_left: int = 2
    left: frozenset[int] = frozenset()
    """Countries this lineage has given up before"""
    filings: int = 0
    decided: int = 0
    patience_ends: int = -1
    pledged_tpp: int = 0
    """Counted TPP this project holds of the authorisation's headroom between clearance and shipment"""
    licensed_tpp: int = 0
    licence_rule: int = -1
    refused_tpp: int = 0
    refused_item: int = -1
    """TPP at hand, and the accelerator, when the law of the day stopped a shipment: what clearance is then asked for"""
    abandoned: bool = False


class Alarm(simpy.Event):
    """An event at a tick, placed inside its instant by class, root, hop and stage."""

    def __init__(self, env: simpy.Environment, tick: int, order: int, root: int = 0, hop: int = 0, stage: int = 0):
        super().__init__(env)
        self._ok = True
        self._value = None
        rank = ((order << 20 | root) << 4 | hop) << 5 | stage
        env.schedule(self, priority=cast(Any, rank), delay=max(tick - env.now, 0))


class Expansion:
    """The world of one replication. `run()` plays it to the horizon and returns the event log."""

    def __init__(self, static: Static, draws: Draws):
        self.static, self.draws = static, draws
        self.env = simpy.Environment(initial_time=static.earliest)
        self.rows: list[Row] = []
        self.segment = 0
        # Plain lists: indexing a NumPy array costs ten times as much in a scalar loop.
        self.median, self.spread = draws.median.tolist(), draws.spread.tolist()
        self.route_factor = draws.route_factor.tolist()
        self.luck_power, self.luck_construction = draws.luck_power.tolist(), draws.luck_construction.tolist()
        self.market_country = static.market_country.tolist()
        self.needs, self.rule, self.posture = static.needs_licence.tolist(), static.rule.tolist(), static.posture.tolist()
        self.watts, self.tpp = static.watts.tolist(), static.tpp.tolist()
        self.law_ticks, self.month_starts = static.law_ticks.tolist(), static.month_starts.tolist()
        self.shipping_generation = static.shipping_generation.tolist()
        self.allocation, self.window = static.allocation.tolist(), static.allocation_window.tolist()
        self.trusted = static.trusted.tolist()
        self.outlook = static.outlook + (static.outlook_wait * draws.choice_per_year >> FACTOR_BITS)
        self.fleet_room = ((draws.fleet_chips * static.watts).sum(axis=(1, 2)) // WATTS_PER_SIXTEENTH).tolist()
        self.year_starts = static.year_starts.tolist()
        self.counted_tpp = static.counted_tpp.tolist()

        companies, countries = range(len(static.companies)), range(len(static.countries))
        self.queues = {
            (k, v): ChipQueue([a for a in range(len(self.tpp)) if static.vendor_of[a] == v], self.watts, self.tpp)
            for k in companies
            for v in range(len(static.vendors))
        }
        self.coming: dict[tuple[int, int], dict[tuple[int, int], Project]] = {key: {} for key in self.queues}
        self.serving: set[tuple[int, int]] = set()
        self.claims: dict[tuple[int, int], tuple[Claim, simpy.Event]] = {}
        self.pots = [Pot() for _ in countries]
        self.lpp_used: dict[tuple[int, int], int] = {}
        self.lpp_rules = set(static.lpp_rule[static.lpp_rule >= 0].tolist())
        # Owned controlled TPP by country, wherever received; chips in stock are at home.
        self.owned = [[0] * len(static.countries) for _ in companies]
        self.waiting: dict[tuple[int, int], simpy.Event] = {}
        self.decided_on, self.authorised_from = authorisation_ticks(static, draws)
        # Headroom of the authorisation promised to cleared sites whose chips have not left yet.
        self.pledged = [[0] * len(static.countries) for _ in companies]
        # What companies drew from pots that counted but did not limit yet, by company, country and the pot's period.
        self.counted_early: dict[tuple[int, int, int], int] = {}
        self._open_fleet()

    # ------------------------------------------------------------------ the story

    def develop(self, p: Project) -> Steps:
        """One cluster on one site, from plan to online: the whole model in one method."""
        yield self.at(p.planned, Order.PLAN, p)
        if p.market < 0 and not self.choose_market(p):
            return self.mark(p, Stage.PROJECT, Mark.CANCELLED, quantity=p.mw16)
        self.mark(p, Stage.PROJECT, Mark.PLANNED, pool=p.market, quantity=p.mw16)
        yield from self.work(p, Stage.SITE_SELECTION)
        p.expected_ready = self.expect_ready(p)
        self.coming[p.company, p.vendor][p.root, p.hop] = p
        power, shell = self.env.process(self.connect(p)), self.env.process(self.build(p))
        site = power & shell

        while True:
            refusal = yield from self.clear(p)
            if refusal is not None:
                return self.give_up(p, refusal, power, shell)
            yield site
            if self.in_opening_fleet(p):
                self.pledge(p, 0)
                self.coming[p.company, p.vendor].pop((p.root, p.hop), None)
                return self.mark(p, Stage.PROJECT, Mark.IN_FLEET, quantity=p.mw16)
            if not self.may_still_ship(p):
                continue  # the law has changed since clearance: ask again before gathering chips
            chips = yield from self.obtain_chips(p)
            if self.ship(p, chips):
                break  # the law is read again on the day of export
            self.give_back(p, chips)

        yield from self.work(p, Stage.SHIPPING)
        yield from self.work(p, Stage.INSTALLATION)
        yield from self.work(p, Stage.COMMISSIONING)
        self.mark(p, Stage.PROJECT, Mark.ONLINE, pool=p.market, quantity=p.mw16)

    def connect(self, p: Project) -> Steps:
        """Power: interconnection request, queue, energisation."""
        yield from self.work(p, Stage.INTERCONNECTION)
        if not p.abandoned:
            self.mark(p, Stage.INTERCONNECTION, Mark.FIRST_POWER, pool=p.market)
            self.branch_done(p)

    def build(self, p: Project) -> Steps:
        """Shell: permitting, ground-breaking, construction, fit-out. Does not wait for power."""
        yield from self.work(p, Stage.PERMITTING)
        if p.abandoned:
            return
        self.mark(p, Stage.CONSTRUCTION, Mark.GROUND_BREAKING, pool=p.market)
        for stage in (Stage.CONSTRUCTION, Stage.FIT_OUT):
            yield from self.work(p, stage)
            if p.abandoned:
                return
        self.mark(p, Stage.FIT_OUT, Mark.SHELL_READY, pool=p.market)
        self.branch_done(p)

    def clear(self, p: Project) -> Steps:
        """Clearance: whatever the law asks before chips may leave home for this site.

        Returns None once cleared, else the provision that refused, or whose answer or headroom did not come within patience.
        """
        self.mark(p, Stage.CLEARANCE, Mark.START, pool=p.country)
        self.pledge(p, 0)  # asked again: nothing is promised until it is cleared
        yield self.at(p.expected_ready - self.draws.filing_lead, Order.RULING, p, Stage.CLEARANCE)
        if p.patience_ends < 0:
            p.patience_ends = max(p.expected_ready, self.now) + int(self.draws.patience[p.root])
        patience = p.patience_ends
        in_line, stage = -1, Stage.ALLOCATION  # the provision whose headroom this project is waiting for
        while True:
            accelerator, quantity = self.needed(p)
            passed = self.passes(p, accelerator, quantity, at_hand=p.refused_tpp > 0)
            rule = self.rule[self.segment][p.company][p.country][accelerator]
            asked = quantity if passed is not None else self.fits(p, quantity)
            if asked is None:  # the country's pot has no room for a phase of this size
                if in_line < 0:
                    in_line, stage = self.pot_rule(p.country), Stage.ALLOCATION
                    if (uveu := self.authorising(p, accelerator)) >= 0:  # authorised, but its shares do not hold
                        in_line, stage = uveu, Stage.AUTHORISATION
                    self.mark(p, stage, Mark.START, rule=in_line, pool=p.country, quantity=quantity)
                if (yield from self.wait(p, patience)) != "patience":
                    continue
            if in_line >= 0:
                self.mark(p, stage, Mark.END, rule=in_line, pool=p.country)
            if asked is None:
                return self.refused(p, in_line)
            in_line = -1
            if passed is not None:
                if passed == self.authorising(p, accelerator):
                    self.pledge(p, quantity if self.counted_tpp[accelerator] else 0)
                return self.mark(p, Stage.CLEARANCE, Mark.CLEARED, rule=passed, pool=p.country)
            answer = yield from self.apply_for_licence(p, accelerator, rule, asked, patience)
            if answer == "granted":
                return self.mark(p, Stage.CLEARANCE, Mark.CLEARED, rule=rule, pool=p.country)
            if answer == "refused":
                return self.refused(p, rule)
            # otherwise the law changed, or the application came back: look again

    def apply_for_licence(self, p: Project, accelerator: int, rule: int, quantity: int, patience: int) -> Steps:
        """File, wait for the decision, and take it. Returns granted, refused or again."""
        static, attempt = self.static, p.filings
        if p.decided >= self.draws.largest_filings or attempt >= self.draws.licence_time.shape[2]:
            return "refused"
        p.filings += 1
        self.mark(p, Stage.LICENCE_REVIEW, Mark.FILED, rule=rule, pool=p.country, quantity=quantity)
        self.mark(p, Stage.LICENCE_REVIEW, Mark.START, rule=rule, pool=p.country)
        decision = self.decision_tick(p, accelerator, attempt)
        while (answer := (yield from self.wait(p, patience, until=decision))) != "time":
            overtaken = answer == "change" and self.passes(p, accelerator, quantity, at_hand=p.refused_tpp > 0) is not None
            if answer == "patience" or overtaken:
                self.mark(p, Stage.LICENCE_REVIEW, Mark.END, rule=rule, pool=p.country)
                return "refused" if answer == "patience" else "again"
        self.mark(p, Stage.LICENCE_REVIEW, Mark.END, rule=rule, pool=p.country)
        p.decided += 1

        posture = self.posture[self.segment][p.company][p.country][accelerator]
        outcome = int(self.draws.licence_outcome[p.root, p.hop, attempt])
        if outcome < static.approve_below[self.segment, posture]:
            room = self.headroom(p.country)
            if room is None or allocation_allows(self.pots[p.country].used, quantity, self.allocation[self.segment][p.country]):
                if room is not None:
                    self.pots[p.country].draw(quantity, self.allocation[self.segment][p.country])
                    self.mark(p, Stage.ALLOCATION, Mark.DRAWN, rule=self.pot_rule(p.country), pool=p.country, quantity=quantity)
                p.licensed_tpp, p.licence_rule = quantity, rule
                self.mark(p, Stage.LICENCE_REVIEW, Mark.APPROVED, rule=rule, pool=p.country, quantity=quantity)
                return "granted"
            self.mark(p, Stage.LICENCE_REVIEW, Mark.RETURNED, rule=self.pot_rule(p.country), pool=p.country, quantity=quantity)
            return "again" if p.decided < self.draws.largest_filings else "refused"  # may be filed smaller at once
        if outcome >= static.deny_above[self.segment, posture]:
            self.mark(p, Stage.LICENCE_REVIEW, Mark.DENIED, rule=rule, pool=p.country, quantity=quantity)
            return "refused"
        self.mark(p, Stage.LICENCE_REVIEW, Mark.RETURNED, rule=rule, pool=p.country, quantity=quantity)
        if p.decided >= self.draws.largest_filings:
            return "refused"
        again = self.now + int(self.draws.refile[p.root])
        answer = yield from self.wait(p, patience, until=again, listen=False)
        return "refused" if answer == "patience" else "again"

    def obtain_chips(self, p: Project) -> Steps:
        """Wait in the company's line for this vendor's chips until the phase is whole."""
        licensed = p.licensed_tpp if p.licence_rule >= 0 else None
        claim = Claim((p.ready, p.root, p.hop), p.mw16 * WATTS_PER_SIXTEENTH, licensed)
        granted = self.env.event()
        self.mark(p, Stage.CHIPS, Mark.START, pool=p.vendor)
        self.claims[p.root, p.hop] = (claim, granted)
        self.queues[p.company, p.vendor].join(claim)
        self.serve_soon(p.company, p.vendor)
        yield granted
        self.mark(p, Stage.CHIPS, Mark.END, pool=p.vendor)
        return claim

    def ship(self, p: Project, claim: Claim) -> bool:
        """Export what was gathered, if the law of the day still lets it pass."""
        quantity = sum(chips * self.tpp[a] for a, chips in claim.taken.items())
        needs = self.needs[self.segment][p.company][p.country]
        self.pledge(p, 0)
        rule = p.licence_rule
        if p.licence_rule < 0 or quantity > p.licensed_tpp:
            # Every kind of chip in the shipment must pass; a controlled one decides what the log says.
            by_exception = 0
            for item in sorted(claim.taken, key=lambda a: (needs[a], a)):
                passed = self.passes(p, item, quantity, at_hand=True)
                if passed is None:
                    p.refused_tpp, p.refused_item = quantity, item
                    return False
                rule = passed
                by_exception += claim.taken[item] * self.tpp[item] if passed in self.lpp_rules else 0
            if by_exception:
                year = p.company, self.year()
                self.lpp_used[year] = self.lpp_used.get(year, 0) + by_exception
        for a, chips in claim.taken.items():
            self.mark(p, Stage.CHIPS, Mark.CHIPS_TAKEN, pool=a, quantity=chips)
        missing = claim.load // WATTS_PER_SIXTEENTH if claim.load > 0 else 0
        if missing:
            p.mw16 -= missing
            self.mark(p, Stage.PROJECT, Mark.DOWNSIZED, rule=p.licence_rule, pool=p.market, quantity=missing)
        self.coming[p.company, p.vendor].pop((p.root, p.hop), None)
        moved = sum(chips * self.counted_tpp[a] for a, chips in claim.taken.items())
        self.mark(p, Stage.SHIPPING, Mark.SHIPPED, rule=rule, pool=p.country, quantity=quantity)
        if moved and self.static.allocation_counts[self.segment, p.country]:  # counted already, limited later
            pot = self.pots[p.country]
            pot.open(self.window[self.segment][p.country])
            pot.used += moved
            key = p.company, p.country, pot.window
            self.counted_early[key] = self.counted_early.get(key, 0) + moved
            self.mark(p, Stage.ALLOCATION, Mark.DRAWN, rule=self.pot_rule(p.country), pool=p.country, quantity=moved)
        self.owned[p.company][self.static.home] -= moved
        self.owned[p.company][p.country] += moved
        return True

    def give_back(self, p: Project, claim: Claim) -> None:
        """The law of the day stops the export of what was gathered: it goes back to stock."""
        for a, chips in claim.taken.items():
            self.mark(p, Stage.CHIPS, Mark.CHIPS_GIVEN_BACK, pool=a, quantity=chips)
        self.queues[p.company, p.vendor].give_back(claim)
        self.serve_soon(p.company, p.vendor)

    def refused(self, p: Project, rule: int) -> int:
        """Close the clearance with a refusal; the provision is the answer."""
        self.pledge(p, 0)
        self.mark(p, Stage.CLEARANCE, Mark.END, rule=rule, pool=p.country)
        return rule

    def give_up(self, p: Project, rule: int, power: simpy.Process, shell: simpy.Process) -> None:
        """Leave this site: stop the work, and plan a successor elsewhere or cancel."""
        p.abandoned = True
        self.coming[p.company, p.vendor].pop((p.root, p.hop), None)
        for branch in (power, shell):
            if branch.is_alive:
                branch.interrupt()
        successor = self.relocate(p)
        if successor is None:
            self.mark(p, Stage.PROJECT, Mark.CANCELLED, rule=rule, pool=p.market, quantity=p.mw16)
        else:
            self.mark(p, Stage.PROJECT, Mark.RELOCATED, rule=rule, pool=p.market, quantity=p.mw16)
            self.env.process(self.develop(successor))

    # ------------------------------------------------------------------ decisions

    def choose_market(self, p: Project) -> bool:
        """Pick the market with the highest score under the law announced today; False if every one is barred.

        A company that holds the universal authorisation, or waits for it, does not fear the licence it stands for.
        """
        outlook = self.outlook[int(self.hopes_for_authorisation(p.company)), self.segment, p.company]
        score = self.draws.appeal[p.root] + outlook[self.static.market_country]
        forced = int(self.draws.forced_country[p.root])
        if forced >= 0 and not p.left:
            inside = self.static.market_country == forced
            best = int((self.draws.appeal[p.root] + (inside - 1) * (1 << 40)).argmax())
        else:
            for country in p.left:
                score = score + (self.static.market_country == country) * BARRED
            best = int(score.argmax())
            if score[best] <= BARRED // 2:
                return False
        p.market, p.country = best, self.market_country[best]
        return True

    def relocate(self, p: Project) -> Project | None:
        """A successor in another country, if the company looks for one and finds one; the lineage keeps its luck."""
        if not self.static.allow_relocation or p.hop >= self.draws.largest_hop or not self.draws.relocates[p.root, p.hop]:
            return None
        successor = Project(p.root, p.hop + 1, self.now, p.mw16, p.company, p.vendor, p.route, left=p.left | {p.country})
        return successor if self.choose_market(successor) else None

    def expect_ready(self, p: Project) -> int:
        """The tick at which power and shell will both be there (nothing is contended in these branches)."""
        power = self.length(p, Stage.INTERCONNECTION)
        shell = sum(self.length(p, stage) for stage in (Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT))
        return self.now + max(power, shell)

    def generation(self, p: Project) -> int:
        """The accelerator an application names: the vendor's main one in the month the phase should be ready."""
        month = bisect_right(self.month_starts, max(p.expected_ready, self.now)) - 1
        return int(self.shipping_generation[p.vendor][min(max(month, 0), len(self.month_starts) - 2)])

    def passes(self, p: Project, accelerator: int, quantity: int, *, at_hand: bool = False) -> int | None:
        """The provision that lets an export pass without a licence today, or None.

        In the law's order: no licence needed, License Exception LPP, universal authorisation. `at_hand`: the
        chips are in stock already, and so in the company's footprint at home.
        """
        static, segment = self.static, self.segment
        where = segment, p.company, p.country, accelerator
        if not self.needs[segment][p.company][p.country][accelerator]:
            return int(static.rule[where])
        if static.allow_lpp and static.lpp_rule[where] >= 0:
            used = self.lpp_used.get((p.company, self.year()), 0)
            if lpp_allows(used, quantity, int(static.lpp_limit[segment])):
                return int(static.lpp_rule[where])
        if (uveu := self.authorising(p, accelerator)) >= 0:
            owned, trusted = self.owned[p.company], self.trusted[segment]
            counted = quantity if at_hand else 0  # count them once
            total = sum(owned) - counted
            pledged = self.pledged[p.company]
            abroad, untrusted = sum(pledged) - p.pledged_tpp, -p.pledged_tpp * (not trusted[p.country])
            untrusted += sum(tpp for tpp, counts in zip(pledged, trusted, strict=True) if not counts)
            at_home = owned[static.home] - counted - abroad
            tier1 = sum(tpp for tpp, counts in zip(owned, trusted, strict=True) if counts) - counted - untrusted
            there = owned[p.country] + pledged[p.country] - p.pledged_tpp
            if at_home >= 0 and not uveu_test(
                quantity,
                p.country == static.home,
                bool(trusted[p.country]),
                there,
                tier1,
                at_home,
                total,
                int(static.uveu_single_ppm[segment]),
                int(static.uveu_tier1_ppm[segment]),
                int(static.uveu_us_ppm[segment]),
            ):
                return uveu
        return None

    def authorising(self, p: Project, accelerator: int) -> int:
        """The provision of the universal authorisation, if this company holds one and the law offers it here; else -1."""
        if not self.static.allow_uveu or self.now < self.authorised_from[p.company]:
            return -1
        return int(self.static.uveu_rule[self.segment, p.company, p.country, accelerator])

    def granted(self, company: int) -> bool:
        """Whether the company's application for the authorisation ends, or has ended, in a grant."""
        return self.static.allow_uveu and self.authorised_from[company] < self.static.horizon

    def hopes_for_authorisation(self, company: int) -> bool:
        """Whether a planner at this company counts on the authorisation where announced law offers it: held, or not yet decided.

        Only what is decided by today matters, so a law that differs later changes nothing now.
        """
        return self.static.allow_uveu and (self.now < self.decided_on[company] or self.granted(company))

    def pledge(self, p: Project, tpp: int) -> None:
        """Hold this much of the company's headroom for a cleared site; 0 lets it go."""
        self.pledged[p.company][p.country] += tpp - p.pledged_tpp
        p.pledged_tpp = tpp

    def needed(self, p: Project) -> tuple[int, int]:
        """What clearance is asked for: the accelerator, and TPP; what was stopped at shipment, or what the site will need."""
        if p.refused_tpp:
            return p.refused_item, p.refused_tpp
        accelerator = self.generation(p)
        return accelerator, -(-p.mw16 * WATTS_PER_SIXTEENTH // self.watts[accelerator]) * self.tpp[accelerator]

    def may_still_ship(self, p: Project) -> bool:
        """Whether a cleared site would still pass under the law of today."""
        return p.licence_rule >= 0 or self.passes(p, *self.needed(p), at_hand=p.refused_tpp > 0) is not None

    def in_opening_fleet(self, p: Project) -> bool:
        """Whether a site would have been online before the start, while the opening fleet still has room for it."""
        rest = sum(self.length(p, stage) for stage in (Stage.SHIPPING, Stage.INSTALLATION, Stage.COMMISSIONING))
        if self.now + rest > 0 or self.fleet_room[p.company] < p.mw16:
            return False
        self.fleet_room[p.company] -= p.mw16
        return True

    def fits(self, p: Project, quantity: int) -> int | None:
        """The TPP to ask for in a licence: all, or what the country's pot still holds if that is worth filing, or None."""
        room = self.headroom(p.country)
        if room is None or quantity <= room:
            return quantity
        return room if room and room * PPM >= self.draws.smallest_share_ppm * quantity else None

    def headroom(self, country: int) -> int | None:
        """TPP left in the country's pot today, None where the law has no pot."""
        limit = self.allocation[self.segment][country]
        if limit == NO_POT:
            return None
        self.pots[country].open(self.window[self.segment][country])
        return self.pots[country].headroom(limit)

    def pot_rule(self, country: int) -> int:
        """The provision that sets the country's allocation today."""
        return int(self.static.allocation_rule[self.segment, country])

    def decision_tick(self, p: Project, accelerator: int, attempt: int) -> int:
        """When the application just filed will be decided: review time, with the clock stopped during holds."""
        static, now = self.static, self.now
        posture = self.posture[self.segment][p.company][p.country][accelerator]
        multiplier = read_table(static.review_spread[self.segment, posture], int(self.draws.licence_time[p.root, p.hop, attempt]))
        decision = now + (int(static.review_median[self.segment, posture]) * multiplier >> FACTOR_BITS)
        counted = now  # up to here the clock is settled; holds are in order of their beginning and may overlap
        for begins, ends, covers in zip(static.hold_from.tolist(), static.hold_until.tolist(), static.hold_covers, strict=True):
            if covers[p.country] and ends > counted and decision >= begins:
                decision += ends - max(begins, counted)
                counted = ends
        return decision

    def length(self, p: Project, stage: Stage) -> int:
        """Ticks a timed stage takes for this project, if it begins now."""
        timed = TIMED[stage]
        ticks = self.median[timed][p.market] * self.spread[p.root][timed] >> FACTOR_BITS
        ticks = ticks * self.route_factor[p.route][timed] >> FACTOR_BITS
        if stage is Stage.INTERCONNECTION:
            ticks = ticks * self.luck_power[self.year()][p.country] >> FACTOR_BITS
            return max(ticks - self.draws.interconnection_lead, 0)
        if stage is Stage.CONSTRUCTION:
            return ticks * self.luck_construction[self.year()][p.country] >> FACTOR_BITS
        return ticks

    def year(self) -> int:
        """Index of the calendar year now running, counted from that of the oldest plan."""
        return bisect_right(self.year_starts, self.now) - 1

    # ------------------------------------------------------------------ the world around

    def law_changes(self) -> Steps:
        """Each change of law re-rules everyone waiting."""
        for segment in range(1, len(self.law_ticks)):
            yield Alarm(self.env, self.law_ticks[segment], Order.LAW)
            self.segment = segment
            self.record(-1, 0, Stage.LAW, Mark.CHANGED, int(self.static.law_changes[segment]), -1, segment)
            self.wake()

    def deliveries(self) -> Steps:
        """At the beginning of each month chips reach the companies' stocks, at home.

        Chips under way on the start date reach sites beforehand, by the time it takes to ship and install them.
        """
        yield Alarm(self.env, -self.draws.under_way_ticks, Order.RELEASE)
        for (k, v), queue in self.queues.items():
            for a in queue.generations:
                self.receive(k, queue, a, int(self.draws.under_way[k, a]))
            self.serve_soon(k, v)
        for month in range(len(self.month_starts) - 1):
            yield Alarm(self.env, self.month_starts[month], Order.RELEASE)
            for (k, v), queue in self.queues.items():
                if month == 0:
                    for a in queue.generations:
                        self.receive(k, queue, a, int(self.draws.opening_stock[k, a]))
                offered = {a: int(self.draws.deliveries[month, k, a]) for a in queue.generations}
                room = self.planned_need(k, v) - queue.held_watts()
                for a in reversed(queue.generations):  # the newest first
                    taken = min(offered[a], max(room, 0) // self.watts[a])
                    room -= taken * self.watts[a]
                    if taken:
                        self.receive(k, queue, a, taken)
                        self.record(-1 - k, 0, Stage.CHIPS, Mark.DELIVERED, -1, a, taken)
                    if declined := offered[a] - taken:
                        self.record(-1 - k, 0, Stage.CHIPS, Mark.DECLINED, -1, a, declined)
                self.serve_soon(k, v)
            self.wake()

    def planned_need(self, company: int, vendor: int) -> int:
        """Watts of chips for sites that wait for them or should be ready within the months a company stocks ahead."""
        until = self.now + self.draws.stock_ahead
        coming = self.coming[company, vendor].values()
        # A site takes whole chips: its last one may be only partly used.
        spare = max((self.watts[a] for a in self.queues[company, vendor].generations), default=1) - 1
        return sum(p.mw16 * WATTS_PER_SIXTEENTH + spare for p in coming if not p.branches_left or p.expected_ready <= until)

    def receive(self, company: int, queue: ChipQueue, accelerator: int, chips: int) -> None:
        """Chips enter a company's stock, and its footprint at home."""
        queue.deliver(accelerator, chips)
        self.owned[company][self.static.home] += chips * self.counted_tpp[accelerator]

    def authorisations(self) -> Steps:
        """When a company is authorised, what it exported while quantities only counted becomes part of its authorised holding."""
        for tick, company in sorted((tick, k) for k, tick in enumerate(self.authorised_from)):
            if tick >= self.static.horizon:
                return
            yield Alarm(self.env, tick, Order.RELEASE)
            for country, window in enumerate(self.window[self.segment]):
                offered = (self.static.uveu_rule[self.segment, company, country] >= 0).any()
                if not offered or self.pots[country].window != window:
                    continue
                if early := self.counted_early.pop((company, country, window), 0):
                    self.pots[country].used -= early
                    self.record(-1 - company, 0, Stage.AUTHORISATION, Mark.DRAWN, self.pot_rule(country), country, -early)

    def other_importers(self) -> Steps:
        """Other importers draw on the countries' pots at the beginning of each quarter, as far as there is room."""
        for quarter, tick in enumerate(self.static.quarter_starts.tolist()):
            yield Alarm(self.env, tick, Order.GRANT)
            for country, asked in enumerate(self.static.other_importers[quarter].tolist()):
                counts = bool(self.static.allocation_counts[self.segment, country])
                room = asked if counts else self.headroom(country)
                if room and asked and (taken := min(room, asked)):
                    if counts:  # counted already, limited later
                        self.pots[country].open(self.window[self.segment][country])
                        self.pots[country].used += taken
                    else:
                        self.pots[country].draw(taken, self.allocation[self.segment][country])
                    self.record(-1, 0, Stage.OTHER_IMPORTERS, Mark.DRAWN, self.pot_rule(country), country, taken)

    def serve_soon(self, company: int, vendor: int) -> None:
        """Serve a chip queue once in this instant, after releases, give-backs and rulings."""
        if (company, vendor) not in self.serving:
            self.serving.add((company, vendor))
            alarm = Alarm(self.env, self.now, Order.GRANT, company, 0, vendor)
            alarm.callbacks.append(lambda _: self.serve(company, vendor))

    def serve(self, company: int, vendor: int) -> None:
        """Hand whole claims to their projects."""
        self.serving.discard((company, vendor))
        for claim in self.queues[company, vendor].serve():
            _, root, hop = claim.rank
            _, granted = self.claims.pop((root, hop))
            granted.succeed()

    # ------------------------------------------------------------------ machinery

    def run(self) -> Log:
        """Play the replication to the horizon. The same inputs give the same log, order included."""
        d = self.draws
        self.env.process(self.law_changes())
        self.env.process(self.deliveries())
        self.env.process(self.other_importers())
        self.env.process(self.authorisations())
        for root in range(len(d.names)):
            plan = (int(d.planned[root]), int(d.mw16[root]), int(d.company[root]), int(d.vendor[root]), int(d.route[root]))
            self.env.process(self.develop(Project(root, 0, *plan)))
        self.env.run(until=self.static.horizon)
        return to_log(self.rows)

    @property
    def now(self) -> int:
        """The tick."""
        return cast(int, self.env.now)

    def work(self, p: Project, stage: Stage) -> Steps:
        """Time passes because something is being done; a halt ends it."""
        self.mark(p, stage, Mark.START, pool=p.market)
        end = self.now + self.length(p, stage)
        try:
            yield Alarm(self.env, end, Order.COMPLETION, p.root, p.hop, stage)
        except simpy.Interrupt:
            self.mark(p, stage, Mark.HALTED, pool=p.market)
            return
        if not p.abandoned:
            self.mark(p, stage, Mark.END, pool=p.market)

    def wait(self, p: Project, patience: int, until: int | None = None, listen: bool = True) -> Steps:
        """Time passes because something is scarce or forbidden. Returns time, change (of law or month, if it listens)
        or patience."""
        woken = self.env.event()
        if until is not None:
            self._wake_at(woken, until, Order.RULING, p, "time")
        if patience > self.now:
            self._wake_at(woken, patience, Order.PATIENCE, p, "patience")
        elif until is None:
            return "patience"
        if listen:
            self.waiting[p.root, p.hop] = woken
        answer = yield woken
        self.waiting.pop((p.root, p.hop), None)
        return answer

    def _wake_at(self, woken: simpy.Event, tick: int, order: Order, p: Project, answer: str) -> None:
        alarm = Alarm(self.env, tick, order, p.root, p.hop, Stage.CLEARANCE)
        alarm.callbacks.append(lambda _: self._answer(woken, answer))

    def _answer(self, woken: simpy.Event, answer: str) -> None:
        if not woken.triggered:
            woken.succeed(answer)

    def wake(self) -> None:
        """Tell everyone waiting for clearance that something changed, in order of project."""
        for key in sorted(self.waiting):
            if not self.waiting[key].triggered:
                self.waiting[key].succeed("change")

    def at(self, tick: int, order: Order, p: Project, stage: Stage = Stage.PROJECT) -> Alarm:
        """An alarm of this project."""
        return Alarm(self.env, tick, order, p.root, p.hop, stage)

    def branch_done(self, p: Project) -> None:
        """Power or shell is there; when both are, the site is ready."""
        p.branches_left -= 1
        if not p.branches_left and not p.abandoned:
            p.ready = self.now
            self.mark(p, Stage.PROJECT, Mark.READY, pool=p.market, quantity=p.mw16)

    def mark(self, p: Project, stage: Stage, mark: Mark, *, rule: int = -1, pool: int = -1, quantity: int = 0) -> None:
        """Write an event of a project to the log."""
        self.rows.append((self.now, p.root, p.hop, 0, stage, mark, rule, pool, quantity))

    def record(self, root: int, hop: int, stage: Stage, mark: Mark, rule: int, pool: int, quantity: int) -> None:
        """Write an event of no project: root -1 the world, -1 - k company k."""
        self.rows.append((self.now, root, hop, 0, stage, mark, rule, pool, quantity))

    def _open_fleet(self) -> None:
        for k, fleet in enumerate(self.draws.fleet_chips):
            for country, tpp in enumerate((fleet * self.static.counted_tpp).sum(axis=1).tolist()):
                self.owned[k][country] += int(tpp)
