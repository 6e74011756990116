"""The authority and what companies ask of it: applications, licences, authorisations, allocations, deals.

The law of the day decides what passes (`Regulator.passes`). What does not pass by itself is asked for by the company, one
application at a time for each country, for all its phases there that wait and those due soon (`Regulator.consider`); projects
then draw on what was granted. Nothing here knows how a cluster is built.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import simpy

from simulator.controls import allocation_allows, lpp_allows, nveu_allows, uveu_test
from simulator.decisions import wait_for_headroom
from simulator.events import Mark, Order, Row, Stage
from simulator.pools import Pot, ReviewOffice
from simulator.project import NOT_YET, Alarm, Phase, Project
from simulator.static import (
    FACTOR_BITS,
    FILINGS,
    NO_POT,
    Draws,
    Posture,
    Static,
    authorisation_rounds,
    authorised_spans,
    deal_ticks,
    office_cases,
    read_table,
)
from simulator.units import MW_SIXTEENTHS, PPM, in_years

if TYPE_CHECKING:
    from collections.abc import Iterable

WATTS_PER_SIXTEENTH = 1_000_000 // MW_SIXTEENTHS


class World(Protocol):
    """What the authority needs of the world around it."""

    env: Any
    rows: list[Row]
    segment: int

    def year(self) -> int:
        """Index of the calendar year now running."""

    def generation(self, f: Phase) -> int:
        """The accelerator an application for this phase names."""

    def reconsider(self, p: Project, rule: int, stage: Stage) -> None:
        """The company looks at its options for a project."""


@dataclass(slots=True)
class Licence:
    """A quantity a company may send to a country within a period."""

    usable_from: int
    until: int
    tpp: int
    rule: int
    partial: bool
    """Asked for less than was needed, because the country's pot had no more"""
    acceptance: int
    """Ticks of a site's security acceptance under a deal"""


@dataclass(slots=True, eq=False)
class Account:
    """What one company asks of the authority for one country."""

    company: int
    country: int
    entity: int
    """Its place among alarms of one instant, after all projects"""
    waiting: list[Phase] = field(default_factory=list)
    """Phases that have asked and are not cleared, by the day they should be ready"""
    coming: dict[Phase, None] = field(default_factory=dict)
    """Phases planned there that have not asked yet"""
    pending: tuple[int, int, int, bool] | None = None
    """(accelerator, provision, TPP, partial) of the application under review"""
    filings: int = 0
    not_before: int = NOT_YET
    """After a return or denial nothing is filed before this tick"""
    last_rule: int = -1
    licences: list[Licence] = field(default_factory=list)
    national_applied: bool = False
    national_from: int = 0
    soon: bool = False


class Regulator:
    """One replication's authority. Owns the footprint of every company, because the law looks at it."""

    def __init__(self, world: World, static: Static, draws: Draws):
        self.world, self.static, self.draws, self.env = world, static, draws, world.env
        lists = static.as_lists
        self.needs, self.rule, self.posture = lists["needs_licence"], lists["rule"], lists["posture"]
        self.lpp_rule, self.uveu_rule, self.nveu_rule = lists["lpp_rule"], lists["uveu_rule"], lists["nveu_rule"]
        self.allocation, self.window, self.counts = (
            lists["allocation"], lists["allocation_window"], lists["allocation_counts"],
        )  # fmt: skip
        self.pot_rules, self.trusted = lists["allocation_rule"], lists["trusted"]
        self.approve, self.deny, self.review_median = lists["approve_below"], lists["deny_above"], lists["review_median"]
        self.watts, self.tpp, self.counted_tpp = lists["watts"], lists["tpp"], lists["counted_tpp"]
        self.cap, self.lpp_limit = lists["nveu_cap"], lists["lpp_limit"]
        self.ratios = list(zip(lists["uveu_single_ppm"], lists["uveu_tier1_ppm"], lists["uveu_us_ppm"], strict=True))
        self.holds = list(zip(lists["hold_from"], lists["hold_until"], lists["hold_covers"], strict=True))
        self.home, self.horizon = static.home, static.horizon
        self.lpp_rules = set(static.lpp_rule[static.lpp_rule >= 0].tolist())
        self.pledging = {rule for by in (static.uveu_rule, static.nveu_rule) for rule in by[by >= 0].tolist()}
        """Provisions under which a cleared phase holds headroom until its chips leave"""

        companies, countries = len(static.companies), len(static.countries)
        roots = len(draws.names)
        self.no_project = -1 - companies
        self.accounts = [
            [Account(k, c, roots + k * countries + c, national_from=static.horizon) for c in range(countries)]
            for k in range(companies)
        ]
        self.cleared: dict[Phase, None] = {}
        """Cleared without a licence and not shipped: ruled on again when the law changes"""
        self.pots = [Pot() for _ in range(countries)]
        self.lpp_used: dict[tuple[int, int], int] = {}
        # Owned controlled TPP by country, wherever received; chips in stock are at home.
        fleet = (draws.fleet_chips * static.counted_tpp).sum(axis=2)
        self.owned: list[list[int]] = fleet.tolist()
        # Headroom of an authorisation promised to cleared phases whose chips have not left yet.
        self.pledged = [[0] * countries for _ in range(companies)]
        # Sums of these by company, kept as they change: owned anywhere and where it counts as trusted, pledged anywhere and elsewhere.
        self.owned_total = [sum(row) for row in self.owned]
        self.pledged_total = [0] * companies
        self.owned_trusted, self.pledged_untrusted = [0] * companies, [0] * companies
        self.add_up()
        self.totals: list[list[int]] = [[] for _ in range(companies)]
        """TPP owned anywhere at the beginning of the last thirteen months"""
        self.rounds = authorisation_rounds(static, draws)
        """(applied, decided, granted) of every application for the universal authorisation, by company"""
        self.authorised_from, self.authorised_until = authorised_spans(static, draws)
        self.framed_from = deal_ticks(static, draws)
        self.classified = [[0 if t else -1 for t in row] for row in draws.classification.tolist()]
        """By company and chip: -1 needs no classification, or has it; 0 not asked for yet; 1 under way"""
        # What companies drew from pots that counted but did not limit yet, by company, country and the pot's period.
        self.counted_early: dict[tuple[int, int, int], int] = {}
        self.office = ReviewOffice(draws.reviewers, *office_cases(static, draws))
        self.full_wait: list[Any] = [None] * companies
        """(C,) by company: years (2**-20) a planner adds where the allocation or the footprint had no room at the last quarter
        start; None where there was room everywhere"""

    # ------------------------------------------------------------------ what the law lets pass

    def passes(self, f: Phase, item: int, quantity: int, *, at_hand: bool = False) -> int | None:
        """The provision that lets an export pass without a licence today, or None.

        In the law's order: no licence needed, License Exception LPP, universal authorisation, national authorisation.
        `at_hand`: the chips are in stock already, and so in the company's footprint at home.
        """
        static, segment, p = self.static, self.world.segment, f.project
        k, c = p.company, p.country
        if not self.needs[segment][k][c][item]:
            return int(self.rule[segment][k][c][item])
        if static.allow_lpp and (lpp := self.lpp_rule[segment][k][c][item]) >= 0:
            used = self.lpp_used.get((k, self.world.year()), 0)
            if lpp_allows(used, quantity, self.lpp_limit[segment]):
                return int(lpp)
        if (uveu := self.authorising(k, c, item)) >= 0 and self.footprint_allows(k, c, quantity, f.pledged_tpp, at_hand):
            return uveu
        if (nveu := self.nationally_authorising(k, c, item)) >= 0:
            held = self.owned[k][c] + self.pledged[k][c] - f.pledged_tpp
            if nveu_allows(held, 0, quantity, self.cap[segment]):
                return nveu
        return None

    def footprint_allows(self, k: int, c: int, quantity: int, own_pledge: int, at_hand: bool) -> bool:
        """Whether the universal authorisation's three ratios hold with this export and those already promised counted in."""
        segment, owned, pledged = self.world.segment, self.owned[k], self.pledged[k]
        trusted = self.trusted[segment]
        counted = quantity if at_hand else 0  # count them once
        total = self.owned_total[k] - counted
        untrusted = self.pledged_untrusted[k] - own_pledge * (not trusted[c])
        at_home = owned[self.home] - counted - (self.pledged_total[k] - own_pledge)
        tier1 = self.owned_trusted[k] - counted - untrusted
        there = owned[c] + pledged[c] - own_pledge
        single, least_tier1, least_us = self.ratios[segment]
        return at_home >= 0 and not uveu_test(
            quantity, c == self.home, bool(trusted[c]), there, tier1, at_home, total, single, least_tier1, least_us
        )

    def authorising(self, k: int, c: int, item: int) -> int:
        """The provision of the universal authorisation, if this company holds one today and the law offers it here; else -1."""
        if not self.static.allow_uveu or not self.authorised_from[k] <= self.env.now < self.authorised_until[k]:
            return -1
        return int(self.uveu_rule[self.world.segment][k][c][item])

    def nationally_authorising(self, k: int, c: int, item: int) -> int:
        """The same for the company's authorisation for this one country."""
        if not self.static.allow_nveu or self.env.now < self.accounts[k][c].national_from:
            return -1
        return int(self.nveu_rule[self.world.segment][k][c][item])

    def hopes_for_authorisation(self, k: int) -> bool:
        """Whether a planner at this company counts on the authorisation where announced law offers it: held, or not yet decided.

        Only what is decided by today matters, so a law that differs later changes nothing now.
        """
        now = self.env.now
        if not self.static.allow_uveu:
            return False
        first = self.rounds[k][0][1] if self.rounds[k] else self.horizon
        return now < first or self.pending(k) is not None or self.authorised_from[k] <= now < self.authorised_until[k]

    def pending(self, k: int) -> tuple[int, int] | None:
        """(applied, decided) of the company's application that is under review today, if there is one."""
        now = self.env.now
        return next(((applied, decided) for applied, decided, _ in self.rounds[k] if applied <= now < decided), None)

    def needed(self, f: Phase) -> tuple[int, int]:
        """What clearance is asked for: the accelerator, and TPP; what was stopped at shipment, or what the phase will need."""
        if f.refused_tpp:
            return f.refused_item, f.refused_tpp
        accelerator = self.world.generation(f)
        return accelerator, -(-f.mw16 * WATTS_PER_SIXTEENTH // self.watts[accelerator]) * self.tpp[accelerator]

    def may_still_ship(self, f: Phase) -> bool:
        """Whether a cleared phase would still pass under the law of today."""
        if f.licence_until != NOT_YET:
            return self.env.now <= f.licence_until
        return self.passes(f, *self.needed(f), at_hand=f.refused_tpp > 0) is not None

    # ------------------------------------------------------------------ asking

    def expect(self, f: Phase) -> None:
        """A phase is planned: forecasts count it."""
        self.accounts[f.project.company][f.project.country].coming[f] = None

    def ask(self, f: Phase) -> None:
        """A phase asks for clearance; the company looks at what it needs in that country today."""
        a = self.accounts[f.project.company][f.project.country]
        a.coming.pop(f, None)
        self.take_back(f)
        f.cleared, f.rule, f.licence_until, f.secure_from, f.waits = False, -1, NOT_YET, NOT_YET, (-1, -1)
        if f.passed is None:
            f.passed = self.env.event()
        if f.ready == NOT_YET and f.go.triggered:
            f.go = self.env.event()  # no longer ahead of a restriction
        f.place = f.expected
        if f.asked == NOT_YET:
            f.asked = self.env.now
        self.mark(f, Stage.CLEARANCE, Mark.START)
        insort(a.waiting, f, key=lambda g: g.rank)
        self.consider_soon(a)

    def forget(self, f: Phase) -> None:
        """A phase is given up: it asks no more, and lets go of what it holds."""
        a = self.accounts[f.project.company][f.project.country]
        a.coming.pop(f, None)
        if f in a.waiting:
            a.waiting.remove(f)
        if f.asked != NOT_YET and not f.cleared:
            self.mark(f, Stage.CLEARANCE, Mark.END)
        self.take_back(f)

    def take_back(self, f: Phase) -> None:
        """The phase holds no clearance: its pledge is free again, and a licence's quantity goes back to the company."""
        self.cleared.pop(f, None)
        self.pledge(f, 0)
        if f.licence_until != NOT_YET and f.licensed_tpp and not f.shipped:
            a = self.accounts[f.project.company][f.project.country]
            a.licences.insert(0, Licence(self.env.now, f.licence_until, f.licensed_tpp, f.rule, False, 0))
            self.lapse(a)
        f.licensed_tpp, f.licence_until = 0, NOT_YET

    def consider_soon(self, a: Account) -> None:
        """Look at an account once in this instant, among its rulings."""
        if not a.soon:
            a.soon = True
            alarm = Alarm(self.env, self.env.now, Order.RULING, a.entity)
            alarm.callbacks.append(lambda _: self._considered(a))

    def _considered(self, a: Account) -> None:
        a.soon = False
        self.consider(a)

    def consider_at(self, a: Account, tick: int) -> None:
        """Look at an account again on a later day."""
        if tick < self.horizon:
            alarm = Alarm(self.env, tick, Order.RULING, a.entity)
            alarm.callbacks.append(lambda _: self.consider(a))

    def consider(self, a: Account) -> None:
        """Clear what passes or is licensed; file for the rest if nothing is under review; say what each phase waits for."""
        if not a.waiting:
            return
        still = []
        for f in a.waiting:
            item, quantity = self.needed(f)
            passed = self.passes(f, item, quantity, at_hand=f.refused_tpp > 0)
            if passed is not None:
                if passed in self.pledging:
                    self.pledge(f, quantity if self.counted_tpp[item] else 0)
                    self.secure(f, passed)
                self.cleared[f] = None
                self.clear(f, passed)
            elif not self.draw_on_licences(a, f, quantity):
                still.append((f, item, quantity))
        a.waiting = [f for f, _, _ in still]
        if still:
            stage, rule = self.file(a, still) if a.pending is None else (Stage.LICENCE_REVIEW, a.pending[1])
            for f, _, _ in still:
                if f.waits != (stage, rule):
                    f.waits = stage, rule
                    self.mark(f, stage, Mark.WAITS, rule=rule)

    def secure(self, f: Phase, rule: int) -> None:
        """A site under an authorisation is told of and accepted as secure before its first shipment; its standard counts from the
        grant."""
        if not self.static.allow_security:
            return
        p, segment = f.project, self.world.segment
        uveu = self.authorising(p.company, p.country, self.needed(f)[0]) == rule
        since = max(p.site_control, self.authorised_from[p.company] if uveu else p.site_control)
        takes = max(int(self.draws.security[p.root]), int(self.static.site_notice[segment]) if uveu else 0)
        f.secure_from = since + takes

    def clear(self, f: Phase, rule: int) -> None:
        """The phase may ship: its process goes on, and so does a shell that was halted."""
        f.cleared, f.rule = True, rule
        verification = int(self.static.verification[self.world.segment])
        if verification and self.needs[self.world.segment][f.project.company][f.project.country][self.needed(f)[0]]:
            f.secure_from = max(f.secure_from, self.env.now + verification)
        self.mark(f, Stage.CLEARANCE, Mark.CLEARED, rule=rule)
        if f.passed is not None:
            f.passed.succeed()
            f.passed = None
        if (halted := f.project.halted) is not None:
            f.project.halted = None
            halted.succeed()

    def draw_on_licences(self, a: Account, f: Phase, quantity: int) -> bool:
        """Take the quantity from the company's licences for the country, oldest first; part of it only from one that was asked
        for less."""
        now = self.env.now
        if not a.licences:
            return False
        self.lapse(a)
        usable = [one for one in a.licences if one.usable_from <= now]
        held = sum(one.tpp for one in usable)
        enough = held >= quantity
        part = any(one.partial for one in usable) and held * PPM >= self.draws.smallest_share_ppm * quantity
        if not held or not (enough or part):
            return False
        left, until, rule = min(held, quantity), self.horizon, -1
        f.licensed_tpp = left
        for one in usable:
            taken = min(one.tpp, left)
            if taken:
                one.tpp -= taken
                left -= taken
                until, rule = min(until, one.until), one.rule
                if one.acceptance:
                    f.secure_from = max(f.secure_from, now + one.acceptance)
        f.licence_until = until
        self.clear(f, rule)
        return True

    def lapse(self, a: Account) -> None:
        """Licences past their last day, or used up, end."""
        for licence in [one for one in a.licences if one.until < self.env.now or not one.tpp]:
            a.licences.remove(licence)
            if licence.tpp:
                self.record(a, Stage.LICENCE_REVIEW, Mark.LAPSED, licence.rule, licence.tpp)

    def lapse_after(self, a: Account, until: int) -> None:
        """Look again once a licence's last day is over."""
        if until + 1 < self.horizon:
            Alarm(self.env, until + 1, Order.RULING, a.entity).callbacks.append(lambda _: self.lapse(a))

    def file(self, a: Account, still: list[tuple[Phase, int, int]]) -> tuple[Stage, int]:
        """Apply for what waits and for what comes soon, if that can be done today; returns what the phases wait for."""
        now, segment, k, c = self.env.now, self.world.segment, a.company, a.country
        _, item, _ = still[0]
        rule = int(self.rule[segment][k][c][item])
        self.apply_for_national(a, item)
        if self.framed_from[c] > now and self.posture[segment][k][c][item] == Posture.DEAL_WINDOW:
            return Stage.FRAMEWORK, rule
        if self.static.allow_classification and self.classified[k][item] >= 0:
            self.classify(k, item)
            return Stage.CLASSIFICATION, rule
        if now < a.not_before or a.filings >= FILINGS:
            return Stage.CLEARANCE, a.last_rule
        if (uveu := self.expected_authorisation(k, c, item, min(f.due for f, _, _ in still))) >= 0:
            return Stage.AUTHORISATION, uveu
        wanted, promised = [], sum(one.tpp for one in a.licences)
        for _, _, quantity in still:
            if quantity <= promised:
                promised -= quantity  # granted, and comes with a later tranche
            else:
                wanted.append(quantity)
        if not wanted:
            return Stage.LICENCE_REVIEW, rule
        room = self.headroom(c)
        asked, partial = sum(wanted) + self.forecast(a), False
        if room is not None and asked > room:
            asked = 0
            for quantity in wanted:  # whole phases, as far as they fit; nobody blocks a smaller later one
                asked += quantity if asked + quantity <= room else 0
            if not asked:  # a part of the first one that would accept it
                accepts = any(room * PPM >= self.draws.smallest_share_ppm * quantity for quantity in wanted)
                asked, partial = (room if accepts else 0), True
            if not asked:
                uveu = self.authorising(k, c, item)
                return (Stage.AUTHORISATION, uveu) if uveu >= 0 else (Stage.ALLOCATION, int(self.pot_rules[segment][c]))
        self.submit(a, item, rule, asked, partial)
        return Stage.LICENCE_REVIEW, rule

    def expected_authorisation(self, k: int, c: int, item: int, due: int) -> int:
        """The provision of the universal authorisation, if the company has applied for it and expects the answer before a phase is
        due: nobody draws on a country's pot for what needs no licence a month later; else -1."""
        now = self.env.now
        rule = int(self.uveu_rule[self.world.segment][k][c][item])
        pending = self.pending(k)
        if rule < 0 or not self.static.allow_uveu or pending is None:
            return -1
        answer = pending[0] + int(self.static.authorisation_median[k])
        return rule if answer <= due and now < due else -1

    def headroom_wait(self, f: Phase) -> int:
        """Ticks until the company's fleet, growing as in the past year, admits the phase under the authorisation's share for one
        country; the planning horizon if it does not grow."""
        p = f.project
        _, quantity = self.needed(f)
        single, _, _ = self.ratios[self.world.segment]
        k, c = p.company, p.country
        there = self.owned[k][c] + self.pledged[k][c] - f.pledged_tpp + quantity
        history = self.totals[k]
        growth = history[-1] - history[0] if history else 0
        return wait_for_headroom(
            there, self.owned_total[k], growth, single, self.static.quarter_ticks, self.draws.planning_horizon
        )

    def forecast(self, a: Account) -> int:
        """TPP of phases that will ask within the time an application looks ahead and will not pass by themselves."""
        until = self.env.now + self.draws.filing_lead + self.draws.licence_forecast
        return sum(
            quantity
            for f in a.coming
            if f.expected <= until
            for item, quantity in (self.needed(f),)
            if self.needs[self.world.segment][a.company][a.country][item]
        )

    def submit(self, a: Account, item: int, rule: int, quantity: int, partial: bool) -> None:
        """File: queue for a reviewer, the interagency clock, perhaps a stop of it, and holds; the day of decision is then known."""
        now, segment, draws, static = self.env.now, self.world.segment, self.draws, self.static
        k, c, n = a.company, a.country, a.filings
        a.filings += 1
        a.pending = item, rule, quantity, partial
        a.last_rule = rule
        self.record(a, Stage.LICENCE_REVIEW, Mark.FILED, rule, quantity, n)
        posture = self.posture[segment][k][c][item]
        work = int(draws.licence_work[k, c, n])
        begins = self.office.take(now, work) if static.allow_review_queue else now
        self.record(a, Stage.LICENCE_REVIEW, Mark.QUEUED, rule, begins - now, n)
        spread = read_table(static.clock_spread, int(draws.licence_clock[k, c, n]))
        decision = begins + work + (int(static.clock_median[segment, posture]) * spread >> FACTOR_BITS)
        if int(draws.licence_stop[k, c, n]) < int(static.stop_below[segment, posture]):
            length = read_table(static.stop_spread, int(draws.licence_stop_length[k, c, n]))
            stopped = int(static.stop_median[segment, posture]) * length >> FACTOR_BITS
            self.record(a, Stage.LICENCE_REVIEW, Mark.STOPPED, rule, stopped, n)
            decision += stopped
        for starts, ends, covers in self.holds:  # in order of their beginning; what would be decided in one is decided at its end
            if covers[c] and starts <= decision < ends:
                decision = ends
        if decision < self.horizon:
            alarm = Alarm(self.env, decision, Order.RULING, a.entity)
            alarm.callbacks.append(lambda _: self.decide(a))

    def decide(self, a: Account) -> None:
        """The decision: approved, denied or returned, by the review policy of that day and, if there is one, the country's pot."""
        assert a.pending is not None
        item, rule, quantity, partial = a.pending
        a.pending = None
        now, segment, k, c, n = self.env.now, self.world.segment, a.company, a.country, a.filings - 1
        posture = self.posture[segment][k][c][item]
        outcome = int(self.draws.licence_outcome[k, c, n])
        if not self.needs[segment][k][c][item]:  # no licence is needed any more
            self.record(a, Stage.LICENCE_REVIEW, Mark.RETURNED, int(self.rule[segment][k][c][item]), quantity, n)
        elif outcome < self.approve[segment][posture]:
            room, limit = self.headroom(c), self.allocation[segment][c]
            if room is not None and not allocation_allows(self.pots[c].used, quantity, limit):
                # Others were first: it may be filed smaller at once.
                self.record(a, Stage.LICENCE_REVIEW, Mark.RETURNED, int(self.pot_rules[segment][c]), quantity, n)
            else:
                if room is not None:
                    self.pots[c].draw(quantity, limit)
                    self.record(a, Stage.ALLOCATION, Mark.DRAWN, int(self.pot_rules[segment][c]), quantity, n)
                self.record(a, Stage.LICENCE_REVIEW, Mark.APPROVED, rule, quantity, n)
                self.grant(a, rule, quantity, partial, posture == Posture.DEAL_WINDOW)
        else:
            denied = outcome >= self.deny[segment][posture]
            self.record(a, Stage.LICENCE_REVIEW, Mark.DENIED if denied else Mark.RETURNED, rule, quantity, n)
            a.not_before = now + int(self.draws.refile[k, c, n])
            self.consider_at(a, a.not_before)
            self.refuse(a, rule, denied)
        self.consider(a)

    def grant(self, a: Account, rule: int, quantity: int, partial: bool, deal: bool) -> None:
        """A licence, valid for its period; under a deal it comes in tranches and with a security acceptance of each site."""
        now, segment, static = self.env.now, self.world.segment, self.static
        tranches = int(static.deal_tranches[segment]) if deal else 1
        acceptance = int(static.deal_acceptance[segment]) if deal and static.allow_security else 0
        until = now + self.draws.licence_validity
        part, rest = divmod(quantity, tranches)
        for i in range(tranches):
            usable = now + i * static.quarter_ticks
            a.licences.append(Licence(usable, until, part + (rest if i == 0 else 0), rule, partial, acceptance))
            if i:
                self.consider_at(a, usable)
        self.lapse_after(a, until)

    def refuse(self, a: Account, rule: int, denied: bool) -> None:
        """What waited on an application that came back empty: the company looks at its options for each project.

        A return alone is no reason to look: it is filed again, up to the most refusals a company accepts.
        """
        projects: dict[Project, None] = {}
        for f in a.waiting:
            f.refusals += 1
            if denied or f.refusals >= self.draws.largest_filings:
                projects[f.project] = None
        for p in projects:
            self.world.reconsider(p, rule, Stage.LICENCE_REVIEW)

    # ------------------------------------------------------------------ pots, pledges, shipments

    def headroom(self, c: int) -> int | None:
        """TPP left in the country's pot today, None where the law has no pot."""
        limit = self.allocation[self.world.segment][c]
        if limit == NO_POT:
            return None
        self.pots[c].open(self.window[self.world.segment][c])
        return self.pots[c].headroom(limit)

    def add_up(self) -> None:
        """The sums that depend on which countries today's law trusts."""
        trusted = self.trusted[self.world.segment]
        for k, (owned, pledged) in enumerate(zip(self.owned, self.pledged, strict=True)):
            self.owned_trusted[k] = sum(tpp for tpp, counts in zip(owned, trusted, strict=True) if counts)
            self.pledged_untrusted[k] = sum(tpp for tpp, counts in zip(pledged, trusted, strict=True) if not counts)

    def pledge(self, f: Phase, tpp: int) -> None:
        """Hold this much of the company's headroom for a cleared phase; 0 lets it go."""
        k, c, more = f.project.company, f.project.country, tpp - f.pledged_tpp
        if not more:
            return
        self.pledged[k][c] += more
        self.pledged_total[k] += more
        self.pledged_untrusted[k] += more * (not self.trusted[self.world.segment][c])
        f.pledged_tpp = tpp

    def received(self, company: int, tpp: int) -> None:
        """Chips enter a company's stock, and its footprint at home."""
        self.owned[company][self.home] += tpp
        self.owned_total[company] += tpp
        self.owned_trusted[company] += tpp * self.trusted[self.world.segment][self.home]

    def export(self, f: Phase, taken: dict[int, int]) -> int | None:
        """Let a shipment leave under the law of the day; the provision, or None if it may not.

        `taken`: chips by accelerator. Every kind of chip must pass; a controlled one decides what the log says.
        """
        p, segment = f.project, self.world.segment
        quantity = sum(chips * self.tpp[a] for a, chips in taken.items())
        needs = self.needs[segment][p.company][p.country]
        self.pledge(f, 0)
        rule = f.rule
        licensed = f.licence_until != NOT_YET and quantity <= f.licensed_tpp and self.env.now <= f.licence_until
        if not licensed:
            by_exception = 0
            for item in sorted(taken, key=lambda a: (needs[a], a)):
                passed = self.passes(f, item, quantity, at_hand=True)
                if passed is None:
                    f.refused_tpp, f.refused_item = quantity, item
                    return None
                rule = passed
                by_exception += taken[item] * self.tpp[item] if passed in self.lpp_rules else 0
            if by_exception:
                year = p.company, self.world.year()
                self.lpp_used[year] = self.lpp_used.get(year, 0) + by_exception
        if licensed:
            f.licensed_tpp -= quantity
        self.take_back(f)  # what is not used of a licence goes back
        moved = sum(chips * self.counted_tpp[a] for a, chips in taken.items())
        self.owned[p.company][self.home] -= moved
        self.owned[p.company][p.country] += moved
        trusted = self.trusted[segment]
        self.owned_trusted[p.company] += moved * (trusted[p.country] - trusted[self.home])
        return rule

    def count_early(self, f: Phase, taken: dict[int, int]) -> None:
        """Exports between the counting date and the compliance date draw the pot without being stopped by it."""
        p, segment = f.project, self.world.segment
        if not self.counts[segment][p.country]:
            return
        moved = sum(chips * self.counted_tpp[a] for a, chips in taken.items())
        if not moved:
            return
        pot = self.pots[p.country]
        pot.open(self.window[segment][p.country])
        pot.used += moved
        key = p.company, p.country, pot.window
        self.counted_early[key] = self.counted_early.get(key, 0) + moved
        self.mark(f, Stage.ALLOCATION, Mark.DRAWN, rule=int(self.pot_rules[segment][p.country]), quantity=moved)

    # ------------------------------------------------------------------ the calendar of the law

    def changed(self) -> None:
        """A change of law: what was cleared without a licence is ruled on again, and so is everyone waiting."""
        segment = self.world.segment
        self.add_up()
        for f in list(self.cleared):
            if f.life is not None and not self.may_still_ship(f):
                self.ask(f)
        worse: dict[Project, int] = {}
        for a in self.everyone():
            if a.waiting:
                self.consider_soon(a)
                f = a.waiting[0]
                item, _ = self.needed(f)
                before, now = (self.posture[s][a.company][a.country][item] for s in (segment - 1, segment))
                if now != before and self.approve[segment][now] < self.approve[segment - 1][before]:
                    worse.update((g.project, int(self.rule[segment][a.company][a.country][item])) for g in a.waiting)
        for p, rule in worse.items():
            self.world.reconsider(p, rule, Stage.LAW)

    def month(self) -> None:
        """At the beginning of a month whoever waits without an application looks again: stocks at home have grown."""
        for k, total in enumerate(self.owned_total):
            self.totals[k] = [*self.totals[k][-12:], total]
        for a in self.everyone():
            if a.waiting:
                self.consider_soon(a)

    def quarter(self) -> None:
        """At the beginning of a quarter planners see which allocations and footprints are full (of the quarter just closed)."""
        segment, now = self.world.segment, self.env.now
        typical = self.static.typical_tpp
        for k in range(len(self.full_wait)):
            row = np.zeros(len(self.static.countries), dtype=np.int64)
            item = int(self.static.newest[segment])
            for c in range(len(row)):
                if not self.needs[segment][k][c][item]:
                    continue
                uveu = self.authorising(k, c, item)
                if uveu >= 0 and self.footprint_allows(k, c, typical, 0, False):
                    continue
                room = self.headroom(c)
                if room is not None and room * PPM < self.draws.smallest_share_ppm * typical:
                    row[c] = in_years(self.pot_opens(c) - now)
                elif uveu >= 0:  # it must take the way of a licence after all
                    posture = self.posture[segment][k][c][item]
                    row[c] = in_years(self.review_median[segment][posture])
            self.full_wait[k] = row if row.any() else None

    def pot_opens(self, c: int) -> int:
        """Tick at which the country's pot is renewed or enlarged by announced law; the horizon if never."""
        segment = self.world.segment
        for s in range(segment + 1, len(self.allocation)):
            other = self.window[s][c] != self.window[segment][c] or self.allocation[s][c] > self.allocation[segment][c]
            if other or self.allocation[s][c] == NO_POT:
                return int(self.static.law_ticks[s])
        return self.horizon

    def everyone(self) -> Iterable[Account]:
        """Accounts, company by company."""
        return (a for row in self.accounts for a in row)

    def authorisations(self) -> Generator[simpy.Event, Any, Any]:
        """Decisions on the universal authorisation, grants lost again, and what early exports then stop counting for."""
        dated = [(decided, k, True) for k, rounds in enumerate(self.rounds) for _, decided, _ in rounds]
        dated += [(tick, k, False) for k, tick in enumerate(self.authorised_until)]
        roots, countries = len(self.draws.names), len(self.static.countries)
        for tick, k, decision in sorted(dated):
            if tick >= self.horizon or not self.static.allow_uveu:
                return
            yield Alarm(self.env, tick, Order.RELEASE, roots + k * countries)
            granted = self.authorised_from[k] == tick
            mark = (Mark.APPROVED if granted else Mark.DENIED) if decision else Mark.REVOKED
            self.write(-1 - k, 0, Stage.AUTHORISATION, mark, -1, self.home, 0)
            if decision and granted:
                self.count_as_authorised(k)
            for a in self.accounts[k]:
                if a.waiting:
                    self.consider_soon(a)
            if not decision:
                for f in [f for f in self.cleared if f.project.company == k and not self.may_still_ship(f)]:
                    self.ask(f)

    def count_as_authorised(self, k: int) -> None:
        """What the company exported while quantities only counted becomes part of its authorised holding."""
        segment = self.world.segment
        for country, window in enumerate(self.window[segment]):
            offered = any(rule >= 0 for rule in self.uveu_rule[segment][k][country])
            if not offered or self.pots[country].window != window:
                continue
            if early := self.counted_early.pop((k, country, window), 0):
                self.pots[country].used -= early
                self.write(-1 - k, 0, Stage.ALLOCATION, Mark.DRAWN, int(self.pot_rules[segment][country]), country, -early)

    def apply_for_national(self, a: Account, item: int) -> None:
        """A company that neither holds the universal authorisation nor has applied for it asks for one for this country, once."""
        static, segment, k, c = self.static, self.world.segment, a.company, a.country
        rule = int(self.nveu_rule[segment][k][c][item])
        holds = self.authorised_from[k] <= self.env.now < self.authorised_until[k]
        if a.national_applied or rule < 0 or not static.allow_nveu or (static.allow_uveu and (holds or self.pending(k))):
            return
        a.national_applied = True
        self.write(-1 - k, 0, Stage.NATIONAL_AUTHORISATION, Mark.FILED, rule, c, 0)
        spread = read_table(static.nveu_spread, int(self.draws.nveu_time[k, c]))
        decision = self.env.now + (int(static.nveu_median[segment]) * spread >> FACTOR_BITS)
        granted = int(self.draws.nveu_outcome[k, c]) < int(static.nveu_grant[segment])

        def decided(_: simpy.Event) -> None:
            self.write(-1 - k, 0, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED if granted else Mark.DENIED, rule, c, 0)
            if granted:
                a.national_from = self.env.now
                self.consider(a)

        if decision < self.horizon:
            Alarm(self.env, decision, Order.RULING, a.entity).callbacks.append(decided)

    def classify(self, k: int, item: int) -> None:
        """Ask once for a formal classification of a chip; filings that name it wait for the answer."""
        if self.classified[k][item]:
            return
        self.classified[k][item] = 1
        self.write(-1 - k, 0, Stage.CLASSIFICATION, Mark.START, -1, item, 0)

        def done(_: simpy.Event) -> None:
            self.classified[k][item] = -1
            self.write(-1 - k, 0, Stage.CLASSIFICATION, Mark.END, -1, item, 0)
            for a in self.accounts[k]:
                if a.waiting:
                    self.consider_soon(a)

        tick = self.env.now + int(self.draws.classification[k, item])
        if tick < self.horizon:
            Alarm(self.env, tick, Order.RULING, self.accounts[k][0].entity).callbacks.append(done)

    def frameworks(self) -> Generator[simpy.Event, Any, Any]:
        """On the day a deal's framework is there, companies may file for the country."""
        for tick, c in sorted((tick, c) for c, tick in enumerate(self.framed_from)):
            if tick <= self.static.earliest or tick >= self.horizon:
                continue
            yield Alarm(self.env, tick, Order.RELEASE, len(self.draws.names) + c)
            self.write(self.no_project, 0, Stage.FRAMEWORK, Mark.END, -1, c, 0)
            for row in self.accounts:
                if row[c].waiting:
                    self.consider_soon(row[c])

    def real_grants(self) -> Generator[simpy.Event, Any, Any]:
        """Dated real grants to the four companies, where the scenario lays them over the model's own."""
        s = self.static
        rows = zip(*(getattr(s, f"grant_{name}").tolist() for name in ("tick", "company", "country", "tpp", "rule")), strict=True)
        for tick, k, c, tpp, rule in sorted(rows):
            if tick >= self.horizon:
                return
            a = self.accounts[k][c]
            yield Alarm(self.env, tick, Order.RULING, a.entity)
            until = tick + self.draws.licence_validity
            a.licences.append(Licence(tick, until, tpp, rule, False, 0))
            self.lapse_after(a, until)
            self.write(-1 - k, 0, Stage.FRAMEWORK, Mark.APPROVED, rule, c, tpp)
            self.consider(a)

    def other_importers(self) -> Generator[simpy.Event, Any, Any]:
        """Other importers draw on the countries' pots at the beginning of each quarter, as far as there is room."""
        asked_by_quarter = self.static.other_importers.tolist()
        for tick, asked_for in zip(self.static.quarter_starts.tolist(), asked_by_quarter, strict=True):
            if not any(asked_for):
                continue
            yield Alarm(self.env, tick, Order.GRANT)
            segment = self.world.segment
            for c, asked in enumerate(asked_for):
                counts = bool(self.counts[segment][c])
                room = asked if counts else self.headroom(c)
                if room and asked and (taken := min(room, asked)):
                    if counts:  # counted already, limited later
                        self.pots[c].open(self.window[segment][c])
                        self.pots[c].used += taken
                    else:
                        self.pots[c].draw(taken, self.allocation[segment][c])
                    self.write(self.no_project, 0, Stage.OTHER_IMPORTERS, Mark.DRAWN, int(self.pot_rules[segment][c]), c, taken)

    # ------------------------------------------------------------------ the log

    def mark(self, f: Phase, stage: Stage, mark: Mark, *, rule: int = -1, quantity: int = 0) -> None:
        """Write an event of a phase; its pool is the country."""
        p = f.project
        self.world.rows.append((self.env.now, p.root, p.hop, f.index, stage, mark, rule, p.country, quantity))

    def record(self, a: Account, stage: Stage, mark: Mark, rule: int, quantity: int, filing: int = 0) -> None:
        """Write an event of a company's account; its phase is the number of the filing."""
        self.write(-1 - a.company, filing, stage, mark, rule, a.country, quantity)

    def write(self, root: int, phase: int, stage: Stage, mark: Mark, rule: int, pool: int, quantity: int) -> None:
        """Write an event of a company or of the world."""
        self.world.rows.append((self.env.now, root, 0, phase, stage, mark, rule, pool, quantity))
