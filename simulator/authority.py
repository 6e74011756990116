"""The authority in the compiled engine: what `regulator.Regulator` does, name by name and in the same order.

Decisions that make a company look at its options (`changed`, `decide`, `refuse`) are in `kernel.py`, because they call on the
projects. Read it beside `regulator.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator import controls, decisions
from simulator import static as tables
from simulator.events import Mark, Order, Stage
from simulator.jit import inner, rule
from simulator.machine import (
    LICENCE,
    NO_RULE,
    NONE,
    WATTS_PER_SIXTEENTH,
    Do,
    alarm,
    cleared_add,
    cleared_pop,
    follow,
    mark_phase,
    office_take,
    plan_add,
    plan_pop,
    rank,
    waiting_add,
    waiting_pop,
    write,
    year,
)  # fmt: skip
from simulator.project import NOT_YET
from simulator.static import FACTOR_BITS, FILINGS, NO_POT, Posture
from simulator.units import PPM
from simulator.units import in_years as _in_years

allocation_allows, lpp_allows = rule(controls.allocation_allows), rule(controls.lpp_allows)
nveu_allows, uveu_test = rule(controls.nveu_allows), rule(controls.uveu_test)
read_table, in_years = rule(tables.read_table), rule(_in_years)
wait_for_headroom = rule(decisions.wait_for_headroom)


# ---------------------------------------------------------------------- what the law lets pass


@inner
def passes(w: Any, f: Any, item: int, quantity: int, at_hand: bool) -> int:
    """The provision that lets an export pass without a licence today, or NO_RULE."""
    segment, p = w.segment, w.projects[f.project]
    k, c = p.company, p.country
    law = w.law[segment, k, c, item]
    if not law.needs:
        return law.rule
    if w.allow_lpp and law.lpp >= 0:
        used = w.lpp_used[k, year(w)]
        if lpp_allows(used, quantity, w.lpp_limit[segment]):
            return law.lpp
    uveu = authorising(w, k, c, item)
    if uveu >= 0 and footprint_allows(w, k, c, quantity, f.pledged_tpp, at_hand):
        return uveu
    nveu = nationally_authorising(w, k, c, item)
    if nveu >= 0:
        held = w.owned[k, c] + w.pledged[k, c] - f.pledged_tpp
        if nveu_allows(held, 0, quantity, w.nveu_cap[segment]):
            return nveu
    return NO_RULE


@inner
def footprint_allows(w: Any, k: int, c: int, quantity: int, own_pledge: int, at_hand: bool) -> bool:
    """Whether the universal authorisation's three ratios hold with this export and those already promised counted in."""
    segment, home = w.segment, w.home
    counted = quantity if at_hand else 0  # count them once
    total = w.owned_total[k] - counted
    untrusted = w.pledged_untrusted[k] - (0 if w.trusted[segment, c] else own_pledge)
    at_home = w.owned[k, home] - counted - (w.pledged_total[k] - own_pledge)
    tier1 = w.owned_trusted[k] - counted - untrusted
    there = w.owned[k, c] + w.pledged[k, c] - own_pledge
    if at_home < 0:
        return False
    return uveu_test(
        quantity, c == home, w.trusted[segment, c] != 0, there, tier1, at_home, total,
        w.uveu_single_ppm[segment], w.uveu_tier1_ppm[segment], w.uveu_us_ppm[segment],
    ) == 0  # fmt: skip


@inner
def authorising(w: Any, k: int, c: int, item: int) -> int:
    """The provision of the universal authorisation, if this company holds one today and the law offers it here; else -1."""
    if not w.allow_uveu or not (w.authorised_from[k] <= w.now and w.now < w.authorised_until[k]):
        return -1
    return w.law[w.segment, k, c, item].uveu


@inner
def nationally_authorising(w: Any, k: int, c: int, item: int) -> int:
    """The same for the company's authorisation for this one country."""
    if not w.allow_nveu or w.now < w.accounts[k, c].national_from:
        return -1
    return w.law[w.segment, k, c, item].nveu


@inner
def hopes_for_authorisation(w: Any, k: int) -> bool:
    """Whether a planner at this company counts on the authorisation where announced law offers it: held, or not yet decided."""
    if not w.allow_uveu:
        return False
    first = w.round_decided[k, 0] if w.rounds_of[k] else w.horizon
    return w.now < first or pending(w, k) != NONE or (w.authorised_from[k] <= w.now and w.now < w.authorised_until[k])


@inner
def pending(w: Any, k: int) -> int:
    """The company's application that is under review today, or NONE."""
    for i in range(w.rounds_of[k]):
        if w.round_applied[k, i] <= w.now and w.now < w.round_decided[k, i]:
            return i
    return NONE


@inner
def generation(w: Any, f: Any) -> int:
    """The accelerator an application names: the vendor's main one in the month the phase should be ready."""
    tick = max(f.expected, w.now)
    if tick >= w.horizon:
        return w.shipping_generation[f.vendor, w.months - 1]
    return w.shipping_generation[f.vendor, w.month_of_day[(tick >> 20) - w.first_day]]


@inner
def needed_item(w: Any, f: Any) -> int:
    """The accelerator clearance is asked for (the first of `Regulator.needed`)."""
    return f.refused_item if f.refused_tpp else generation(w, f)


@inner
def needed_tpp(w: Any, f: Any, item: int) -> int:
    """TPP clearance is asked for (the second): what was stopped at shipment, or what the phase will need."""
    if f.refused_tpp:
        return f.refused_tpp
    return -(-f.mw16 * WATTS_PER_SIXTEENTH // w.watts[item]) * w.tpp[item]


@inner
def may_still_ship(w: Any, f: Any) -> bool:
    """Whether a cleared phase would still pass under the law of today."""
    if f.licence_until != NOT_YET:
        return w.now <= f.licence_until
    item = needed_item(w, f)
    return passes(w, f, item, needed_tpp(w, f, item), f.refused_tpp > 0) != NO_RULE


# ---------------------------------------------------------------------- asking


@inner
def account_of(w: Any, f: Any) -> Any:
    """The account of the phase's company for its country."""
    p = w.projects[f.project]
    return w.accounts[p.company, p.country]


@inner
def expect(w: Any, f: Any) -> None:
    """A phase is planned: forecasts count it."""
    plan_add(w, account_of(w, f), f)


@inner
def ask(w: Any, f: Any) -> None:
    """A phase asks for clearance; the company looks at what it needs in that country today."""
    a = account_of(w, f)
    plan_pop(w, a, f)
    take_back(w, f)
    f.cleared, f.rule, f.licence_until, f.secure_from = 0, -1, NOT_YET, NOT_YET
    f.waits_stage = f.waits_rule = -1
    if not f.passed:
        f.passed = 1
        f.passes += 1
    if f.ready == NOT_YET and f.go:
        f.go = 0  # no longer ahead of a restriction
        f.goes += 1
    f.place = f.expected
    if f.asked == NOT_YET:
        f.asked = w.now
    mark_phase(w, f, Stage.CLEARANCE, Mark.START, -1, a.country, 0)
    waiting_add(w, a, f)
    consider_soon(w, a)


@inner
def forget(w: Any, f: Any) -> None:
    """A phase is given up: it asks no more, and lets go of what it holds."""
    a = account_of(w, f)
    plan_pop(w, a, f)
    waiting_pop(w, a, f)
    if f.asked != NOT_YET and not f.cleared:
        mark_phase(w, f, Stage.CLEARANCE, Mark.END, -1, a.country, 0)
    take_back(w, f)


@inner
def take_back(w: Any, f: Any) -> None:
    """The phase holds no clearance: its pledge is free again, and a licence's quantity goes back to the company."""
    cleared_pop(w, f)
    pledge(w, f, 0)
    if f.licence_until != NOT_YET and f.licensed_tpp and not f.shipped:
        a = account_of(w, f)
        i = new_licence(w, w.now, f.licence_until, f.licensed_tpp, f.rule, 0, 0)
        w.licences[i].next = a.licences
        a.licences = i
        if a.licences_last == NONE:
            a.licences_last = i
        lapse(w, a)
    f.licensed_tpp, f.licence_until = 0, NOT_YET


@inner
def new_licence(w: Any, usable_from: int, until: int, tpp: int, rule: int, partial: int, acceptance: int) -> int:
    """A licence, not yet in any list."""
    i = w.free_licence
    if i != NONE:
        w.free_licence = w.licences[i].next
    else:
        i = w.count_licences
        if i == len(w.licences):
            more = np.empty(2 * i, LICENCE)
            more[:i] = w.licences
            w.licences = more
        w.count_licences += 1
    one = w.licences[i]
    one.usable_from, one.until, one.tpp, one.rule, one.partial, one.acceptance = (
        usable_from,
        until,
        tpp,
        rule,
        partial,
        acceptance,
    )
    one.next = NONE
    return i


@inner
def add_licence(w: Any, a: Any, i: int) -> None:
    """It comes after those the account has."""
    if a.licences_last == NONE:
        a.licences = i
    else:
        w.licences[a.licences_last].next = i
    a.licences_last = i


@inner
def consider_soon(w: Any, a: Any) -> None:
    """Look at an account once in this instant, among its rulings."""
    if not a.soon:
        a.soon = 1
        alarm(w, w.now, rank(Order.RULING, a.entity, 0, 0, 0), Do.CONSIDERED, a.company, a.country)


@inner
def consider_at(w: Any, a: Any, tick: int) -> None:
    """Look at an account again on a later day."""
    alarm(w, tick, rank(Order.RULING, a.entity, 0, 0, 0), Do.CONSIDER, a.company, a.country)


@inner
def consider(w: Any, a: Any) -> None:
    """Clear what passes or is licensed; file for the rest if nothing is under review; say what each phase waits for."""
    still = 0
    i = a.waiting
    if i == NONE:
        return
    while i != NONE:
        f = w.each_phase[i]
        i = f.wait_next
        item = needed_item(w, f)
        quantity = needed_tpp(w, f, item)
        passed = passes(w, f, item, quantity, f.refused_tpp > 0)
        if passed != NO_RULE:
            if passed >= 0 and w.pledging[passed]:
                pledge(w, f, quantity if w.counted_tpp[item] else 0)
                secure(w, f, passed)
            cleared_add(w, f)
            waiting_pop(w, a, f)
            clear(w, f, passed)
        elif draw_on_licences(w, a, f, quantity):
            waiting_pop(w, a, f)
        else:
            w.still[still], w.still_item[still], w.still_tpp[still] = f.id, item, quantity
            still += 1
    if still:
        if a.pending:
            stage, rule = Stage.LICENCE_REVIEW.value, a.pending_rule
        else:
            stage, rule = file(w, a, still)
        for n in range(still):
            f = w.each_phase[w.still[n]]
            if f.waits_stage != stage or f.waits_rule != rule:
                f.waits_stage, f.waits_rule = stage, rule
                mark_phase(w, f, stage, Mark.WAITS, rule, a.country, 0)


@inner
def secure(w: Any, f: Any, rule: int) -> None:
    """A site under an authorisation is told of and accepted as secure before its first shipment; its standard counts from the
    grant."""
    if not w.allow_security:
        return
    p = w.projects[f.project]
    uveu = authorising(w, p.company, p.country, needed_item(w, f)) == rule
    since = max(p.site_control, w.authorised_from[p.company] if uveu else p.site_control)
    takes = max(w.security[p.root], w.site_notice[w.segment] if uveu else 0)
    f.secure_from = since + takes


@inner
def clear(w: Any, f: Any, rule: int) -> None:
    """The phase may ship: its process goes on, and so does a shell that was halted."""
    p = w.projects[f.project]
    f.cleared, f.rule = 1, rule
    verification = w.verification[w.segment]
    if verification and w.law[w.segment, p.company, p.country, needed_item(w, f)].needs:
        f.secure_from = max(f.secure_from, w.now + verification)
    mark_phase(w, f, Stage.CLEARANCE, Mark.CLEARED, rule, p.country, 0)
    if f.passed:
        follow(w, False, Do.PASSED, f.id, f.passes)
        f.passed = 0
    if p.halted:
        p.halted = 0
        follow(w, False, Do.HALT_ENDS, p.id, p.halts)


@inner
def draw_on_licences(w: Any, a: Any, f: Any, quantity: int) -> bool:
    """Take the quantity from the company's licences for the country, oldest first; part of it only from one that was asked
    for less."""
    if a.licences == NONE:
        return False
    lapse(w, a)
    held, part = 0, False
    i = a.licences
    while i != NONE:
        one = w.licences[i]
        if one.usable_from <= w.now:
            held += one.tpp
            part = part or one.partial != 0
        i = one.next
    enough = held >= quantity
    part = part and held * PPM >= w.smallest_share_ppm * quantity
    if not held or not (enough or part):
        return False
    left, until, rule = min(held, quantity), w.horizon, -1
    f.licensed_tpp = left
    i = a.licences
    while i != NONE:
        one = w.licences[i]
        if one.usable_from <= w.now:
            taken = min(one.tpp, left)
            if taken:
                one.tpp -= taken
                left -= taken
                until, rule = min(until, one.until), one.rule
                if one.acceptance:
                    f.secure_from = max(f.secure_from, w.now + one.acceptance)
        i = one.next
    f.licence_until = until
    clear(w, f, rule)
    return True


@inner
def lapse(w: Any, a: Any) -> None:
    """Licences past their last day, or used up, end."""
    before, i = NONE, a.licences
    while i != NONE:
        one = w.licences[i]
        after = one.next
        if one.until < w.now or not one.tpp:
            if before == NONE:
                a.licences = after
            else:
                w.licences[before].next = after
            if after == NONE:
                a.licences_last = before
            if one.tpp:
                record(w, a, Stage.LICENCE_REVIEW, Mark.LAPSED, one.rule, one.tpp, 0)
            one.next = w.free_licence
            w.free_licence = i
        else:
            before = i
        i = after


@inner
def lapse_after(w: Any, a: Any, until: int) -> None:
    """Look again once a licence's last day is over."""
    alarm(w, until + 1, rank(Order.RULING, a.entity, 0, 0, 0), Do.LAPSE, a.company, a.country)


@inner
def file(w: Any, a: Any, still: int) -> tuple[int, int]:
    """Apply for what waits and for what comes soon, if that can be done today; returns what the phases wait for."""
    segment, k, c = w.segment, a.company, a.country
    item = w.still_item[0]
    law = w.law[segment, k, c, item]
    rule = law.rule
    apply_for_national(w, a, item)
    if w.framed_from[c] > w.now and law.posture == Posture.DEAL_WINDOW:
        return Stage.FRAMEWORK.value, rule
    if w.allow_classification and w.classified[k, item] >= 0:
        classify(w, k, item)
        return Stage.CLASSIFICATION.value, rule
    if w.now < a.not_before or a.filings >= FILINGS:
        return Stage.CLEARANCE.value, a.last_rule
    first_due = due(w.each_phase[w.still[0]])
    for n in range(1, still):
        first_due = min(first_due, due(w.each_phase[w.still[n]]))
    uveu = expected_authorisation(w, k, c, item, first_due)
    if uveu >= 0:
        return Stage.AUTHORISATION.value, uveu
    promised = 0
    i = a.licences
    while i != NONE:
        promised += w.licences[i].tpp
        i = w.licences[i].next
    wanted, asked = 0, 0
    for n in range(still):
        quantity = w.still_tpp[n]
        if quantity <= promised:
            promised -= quantity  # granted, and comes with a later tranche
        else:
            w.still_item[wanted] = quantity  # items are not read any more
            wanted += 1
            asked += quantity
    if not wanted:
        return Stage.LICENCE_REVIEW.value, rule
    room = headroom(w, c)
    asked, partial = asked + forecast(w, a), 0
    if room >= 0 and asked > room:
        asked = 0
        for n in range(wanted):  # whole phases, as far as they fit; nobody blocks a smaller later one
            quantity = w.still_item[n]
            asked += quantity if asked + quantity <= room else 0
        if not asked:  # a part of the first one that would accept it
            accepts = False
            for n in range(wanted):
                accepts = accepts or room * PPM >= w.smallest_share_ppm * w.still_item[n]
            asked, partial = (room if accepts else 0), 1
        if not asked:
            uveu = authorising(w, k, c, item)
            if uveu >= 0:
                return Stage.AUTHORISATION.value, uveu
            return Stage.ALLOCATION.value, w.allocation_rule[segment, c]
    submit(w, a, item, rule, asked, partial)
    return Stage.LICENCE_REVIEW.value, rule


@inner
def due(f: Any) -> int:
    """Tick at which power and shell were there, or are expected (`Phase.due`)."""
    return f.expected if f.ready == NOT_YET else f.ready


@inner
def expected_authorisation(w: Any, k: int, c: int, item: int, first_due: int) -> int:
    """The provision of the universal authorisation, if the company has applied for it and expects the answer before a phase is
    due; else -1."""
    rule = w.law[w.segment, k, c, item].uveu
    i = pending(w, k)
    if rule < 0 or not w.allow_uveu or i == NONE:
        return -1
    answer = w.round_applied[k, i] + w.authorisation_median[k]
    return rule if answer <= first_due and w.now < first_due else -1


@inner
def headroom_wait(w: Any, f: Any) -> int:
    """Ticks until the company's fleet, growing as in the past year, admits the phase under the authorisation's share for one
    country; the planning horizon if it does not grow."""
    p = w.projects[f.project]
    quantity = needed_tpp(w, f, needed_item(w, f))
    single, k, c = w.uveu_single_ppm[w.segment], p.company, p.country
    there = w.owned[k, c] + w.pledged[k, c] - f.pledged_tpp + quantity
    n = w.totals_count[k]
    growth = w.totals[k, n - 1] - w.totals[k, 0] if n else 0
    return wait_for_headroom(there, w.owned_total[k], growth, single, w.quarter_ticks, w.planning_horizon)


@inner
def forecast(w: Any, a: Any) -> int:
    """TPP of phases that will ask within the time an application looks ahead and will not pass by themselves."""
    until = w.now + w.filing_lead + w.licence_forecast
    tpp = 0
    i = a.plan
    while i != NONE:
        f = w.each_phase[i]
        if f.expected <= until:
            item = needed_item(w, f)
            if w.law[w.segment, a.company, a.country, item].needs:
                tpp += needed_tpp(w, f, item)
        i = f.plan_next
    return tpp


@inner
def submit(w: Any, a: Any, item: int, rule: int, quantity: int, partial: int) -> None:
    """File: queue for a reviewer, the interagency clock, perhaps a stop of it, and holds; the day of decision is then known."""
    segment, k, c, n = w.segment, a.company, a.country, a.filings
    a.filings += 1
    a.pending, a.pending_item, a.pending_rule, a.pending_tpp, a.pending_partial = 1, item, rule, quantity, partial
    a.last_rule = rule
    record(w, a, Stage.LICENCE_REVIEW, Mark.FILED, rule, quantity, n)
    posture = w.law[segment, k, c, item].posture
    work = w.licence_work[k, c, n]
    begins = office_take(w, work) if w.allow_review_queue else w.now
    record(w, a, Stage.LICENCE_REVIEW, Mark.QUEUED, rule, begins - w.now, n)
    spread = read_table(w.clock_spread, w.licence_clock[k, c, n])
    decision = begins + work + (w.clock_median[segment, posture] * spread >> FACTOR_BITS)
    if w.licence_stop[k, c, n] < w.stop_below[segment, posture]:
        length = read_table(w.stop_spread, w.licence_stop_length[k, c, n])
        stopped = w.stop_median[segment, posture] * length >> FACTOR_BITS
        record(w, a, Stage.LICENCE_REVIEW, Mark.STOPPED, rule, stopped, n)
        decision += stopped
    for h in range(len(w.hold_from)):  # in order of their beginning; what would be decided in one is decided at its end
        if w.hold_covers[h, c] and w.hold_from[h] <= decision and decision < w.hold_until[h]:
            decision = w.hold_until[h]
    alarm(w, decision, rank(Order.RULING, a.entity, 0, 0, 0), Do.DECIDE, a.company, a.country)


@inner
def grant(w: Any, a: Any, rule: int, quantity: int, partial: int, deal: bool) -> None:
    """A licence, valid for its period; under a deal it comes in tranches and with a security acceptance of each site."""
    tranches = w.deal_tranches[w.segment] if deal else 1
    acceptance = w.deal_acceptance[w.segment] if deal and w.allow_security else 0
    until = w.now + w.licence_validity
    part, rest = quantity // tranches, quantity % tranches
    for i in range(tranches):
        usable = w.now + i * w.quarter_ticks
        add_licence(w, a, new_licence(w, usable, until, part + (rest if i == 0 else 0), rule, partial, acceptance))
        if i:
            consider_at(w, a, usable)
    lapse_after(w, a, until)


# ---------------------------------------------------------------------- pots, pledges, shipments


@inner
def open_pot(w: Any, c: int) -> None:
    """A new period is a fresh pot (`pools.Pot.open`)."""
    window = w.allocation_window[w.segment, c]
    if window != w.pot_window[c]:
        w.pot_window[c], w.pot_used[c] = window, 0


@inner
def headroom(w: Any, c: int) -> int:
    """TPP left in the country's pot today, -1 where the law has no pot."""
    limit = w.allocation[w.segment, c]
    if limit == NO_POT:
        return -1
    open_pot(w, c)
    return max(limit - w.pot_used[c], 0)


@inner
def add_up(w: Any) -> None:
    """The sums that depend on which countries today's law trusts."""
    for k in range(w.companies):
        trusted, untrusted = 0, 0
        for c in range(w.countries):
            if w.trusted[w.segment, c]:
                trusted += w.owned[k, c]
            else:
                untrusted += w.pledged[k, c]
        w.owned_trusted[k], w.pledged_untrusted[k] = trusted, untrusted


@inner
def pledge(w: Any, f: Any, tpp: int) -> None:
    """Hold this much of the company's headroom for a cleared phase; 0 lets it go."""
    more = tpp - f.pledged_tpp
    if not more:
        return
    p = w.projects[f.project]
    k, c = p.company, p.country
    w.pledged[k, c] += more
    w.pledged_total[k] += more
    if not w.trusted[w.segment, c]:
        w.pledged_untrusted[k] += more
    f.pledged_tpp = tpp


@inner
def received(w: Any, k: int, tpp: int) -> None:
    """Chips enter a company's stock, and its footprint at home."""
    w.owned[k, w.home] += tpp
    w.owned_total[k] += tpp
    w.owned_trusted[k] += tpp * w.trusted[w.segment, w.home]


@inner
def export(w: Any, f: Any) -> int:
    """Let a shipment leave under the law of the day; the provision, or NO_RULE if it may not.

    Every kind of chip must pass; a controlled one decides what the log says.
    """
    p, segment = w.projects[f.project], w.segment
    quantity = gathered_tpp(w, f)
    pledge(w, f, 0)
    rule = f.rule
    licensed = f.licence_until != NOT_YET and quantity <= f.licensed_tpp and w.now <= f.licence_until
    if not licensed:
        by_exception = 0
        for need in range(2):  # controlled chips come last
            for g in range(w.generations.shape[1]):
                item = w.generations[f.vendor, g]
                if item == NONE:
                    break
                chips = w.taken_chips[f.id, g]
                if not chips or w.law[segment, p.company, p.country, item].needs != need:
                    continue
                passed = passes(w, f, item, quantity, True)
                if passed == NO_RULE:
                    f.refused_tpp, f.refused_item = quantity, item
                    return NO_RULE
                rule = passed
                if passed >= 0 and w.lpp_rules[passed]:
                    by_exception += chips * w.tpp[item]
        if by_exception:
            w.lpp_used[p.company, year(w)] += by_exception
    if licensed:
        f.licensed_tpp -= quantity
    take_back(w, f)  # what is not used of a licence goes back
    moved = counted_tpp(w, f)
    w.owned[p.company, w.home] -= moved
    w.owned[p.company, p.country] += moved
    w.owned_trusted[p.company] += moved * (w.trusted[segment, p.country] - w.trusted[segment, w.home])
    return rule


@inner
def gathered_tpp(w: Any, f: Any) -> int:
    """TPP of the chips a phase has gathered."""
    tpp = 0
    for i in range(f.taken):
        g = w.taken_order[f.id, i]
        tpp += w.taken_chips[f.id, g] * w.tpp[w.generations[f.vendor, g]]
    return tpp


@inner
def counted_tpp(w: Any, f: Any) -> int:
    """The same of those that count for the footprint."""
    tpp = 0
    for i in range(f.taken):
        g = w.taken_order[f.id, i]
        tpp += w.taken_chips[f.id, g] * w.counted_tpp[w.generations[f.vendor, g]]
    return tpp


@inner
def count_early(w: Any, f: Any) -> None:
    """Exports between the counting date and the compliance date draw the pot without being stopped by it."""
    p, segment = w.projects[f.project], w.segment
    if not w.allocation_counts[segment, p.country]:
        return
    moved = counted_tpp(w, f)
    if not moved:
        return
    open_pot(w, p.country)
    w.pot_used[p.country] += moved
    w.counted_early[p.company, p.country, w.window_index[segment, p.country]] += moved
    mark_phase(w, f, Stage.ALLOCATION, Mark.DRAWN, w.allocation_rule[segment, p.country], p.country, moved)


# ---------------------------------------------------------------------- the calendar of the law


@inner
def monthly(w: Any) -> None:
    """At the beginning of a month whoever waits without an application looks again: stocks at home have grown
    (`Regulator.month`)."""
    for k in range(w.companies):
        n = w.totals_count[k]
        if n == 13:
            for i in range(12):
                w.totals[k, i] = w.totals[k, i + 1]
            n = 12
        w.totals[k, n] = w.owned_total[k]
        w.totals_count[k] = n + 1
    for k in range(w.companies):
        for c in range(w.countries):
            if w.accounts[k, c].waiting != NONE:
                consider_soon(w, w.accounts[k, c])


@inner
def quarterly(w: Any) -> None:
    """At the beginning of a quarter planners see which allocations and footprints are full, of the quarter just closed
    (`Regulator.quarter`)."""
    segment, typical = w.segment, w.typical_tpp
    item = w.newest[segment]
    for k in range(w.companies):
        for c in range(w.countries):
            w.full_wait[k, c] = 0
            law = w.law[segment, k, c, item]
            if not law.needs:
                continue
            uveu = authorising(w, k, c, item)
            if uveu >= 0 and footprint_allows(w, k, c, typical, 0, False):
                continue
            room = headroom(w, c)
            if room >= 0 and room * PPM < w.smallest_share_ppm * typical:
                w.full_wait[k, c] = in_years(pot_opens(w, c) - w.now)
            elif uveu >= 0:  # it must take the way of a licence after all
                w.full_wait[k, c] = in_years(w.review_median[segment, law.posture])


@inner
def pot_opens(w: Any, c: int) -> int:
    """Tick at which the country's pot is renewed or enlarged by announced law; the horizon if never."""
    segment = w.segment
    for s in range(segment + 1, w.segments):
        other = w.allocation_window[s, c] != w.allocation_window[segment, c] or w.allocation[s, c] > w.allocation[segment, c]
        if other or w.allocation[s, c] == NO_POT:
            return w.law_ticks[s]
    return w.horizon


@inner
def authorisations(w: Any, i: int) -> None:
    """A decision on the universal authorisation, or a grant lost again, and what early exports then stop counting for."""
    k, decision = w.dated_company[i], w.dated_decision[i]
    granted = w.authorised_from[k] == w.dated_tick[i]
    what = (Mark.APPROVED if granted else Mark.DENIED) if decision else Mark.REVOKED
    write(w, -1 - k, 0, 0, Stage.AUTHORISATION, what, -1, w.home, 0)
    if decision and granted:
        count_as_authorised(w, k)
    for c in range(w.countries):
        if w.accounts[k, c].waiting != NONE:
            consider_soon(w, w.accounts[k, c])
    if not decision:
        n, i_phase = 0, w.cleared
        while i_phase != NONE:
            f = w.each_phase[i_phase]
            if w.projects[f.project].company == k and not may_still_ship(w, f):
                w.still[n] = f.id
                n += 1
            i_phase = f.clear_next
        for j in range(n):
            ask(w, w.each_phase[w.still[j]])
    begin_authorisations(w, i + 1)


@inner
def begin_authorisations(w: Any, i: int) -> None:
    """The alarm of the next decision on the universal authorisation."""
    if i < len(w.dated_tick) and w.allow_uveu:
        k = w.dated_company[i]
        alarm(w, w.dated_tick[i], rank(Order.RELEASE, w.roots + k * w.countries, 0, 0, 0), Do.AUTHORISATIONS, i, 0)


@inner
def count_as_authorised(w: Any, k: int) -> None:
    """What the company exported while quantities only counted becomes part of its authorised holding."""
    segment = w.segment
    for c in range(w.countries):
        offered = False
        for item in range(w.accelerators):
            offered = offered or w.law[segment, k, c, item].uveu >= 0
        if not offered or w.pot_window[c] != w.allocation_window[segment, c]:
            continue
        early = w.counted_early[k, c, w.window_index[segment, c]]
        w.counted_early[k, c, w.window_index[segment, c]] = 0
        if early:
            w.pot_used[c] -= early
            write(w, -1 - k, 0, 0, Stage.ALLOCATION, Mark.DRAWN, w.allocation_rule[segment, c], c, -early)


@inner
def apply_for_national(w: Any, a: Any, item: int) -> None:
    """A company that neither holds the universal authorisation nor has applied for it asks for one for this country, once."""
    segment, k, c = w.segment, a.company, a.country
    rule = w.law[segment, k, c, item].nveu
    holds = w.authorised_from[k] <= w.now and w.now < w.authorised_until[k]
    if a.national_applied or rule < 0 or not w.allow_nveu or (w.allow_uveu and (holds or pending(w, k) != NONE)):
        return
    a.national_applied, a.national_rule = 1, rule
    write(w, -1 - k, 0, 0, Stage.NATIONAL_AUTHORISATION, Mark.FILED, rule, c, 0)
    spread = read_table(w.nveu_spread, w.nveu_time[k, c])
    decision = w.now + (w.nveu_median[segment] * spread >> FACTOR_BITS)
    granted = 1 if w.nveu_outcome[k, c] < w.nveu_grant[segment] else 0
    # The place of its country says where the account is; what is decided rides on the alarm.
    alarm(w, decision, rank(Order.RULING, a.entity, 0, 0, 0), Do.NATIONAL_DECIDED, k * w.countries + c, granted)


@inner
def national_decided(w: Any, a: Any, granted: int) -> None:
    """The answer to it."""
    what = Mark.APPROVED if granted else Mark.DENIED
    write(w, -1 - a.company, 0, 0, Stage.NATIONAL_AUTHORISATION, what, a.national_rule, a.country, 0)
    if granted:
        a.national_from = w.now
        consider(w, a)


@inner
def classify(w: Any, k: int, item: int) -> None:
    """Ask once for a formal classification of a chip; filings that name it wait for the answer."""
    if w.classified[k, item]:
        return
    w.classified[k, item] = 1
    write(w, -1 - k, 0, 0, Stage.CLASSIFICATION, Mark.START, -1, item, 0)
    done = w.now + w.classification[k, item]
    alarm(w, done, rank(Order.RULING, w.accounts[k, 0].entity, 0, 0, 0), Do.CLASSIFIED, k, item)


@inner
def classification_done(w: Any, k: int, item: int) -> None:
    """The answer to it."""
    w.classified[k, item] = -1
    write(w, -1 - k, 0, 0, Stage.CLASSIFICATION, Mark.END, -1, item, 0)
    for c in range(w.countries):
        if w.accounts[k, c].waiting != NONE:
            consider_soon(w, w.accounts[k, c])


@inner
def frameworks(w: Any, i: int) -> None:
    """On the day a deal's framework is there, companies may file for the country."""
    c = w.framework_country[i]
    write(w, w.no_project, 0, 0, Stage.FRAMEWORK, Mark.END, -1, c, 0)
    for k in range(w.companies):
        if w.accounts[k, c].waiting != NONE:
            consider_soon(w, w.accounts[k, c])
    begin_frameworks(w, i + 1)


@inner
def begin_frameworks(w: Any, i: int) -> None:
    """The alarm of the next framework."""
    if i < len(w.framework_tick):
        place = rank(Order.RELEASE, w.roots + w.framework_country[i], 0, 0, 0)
        alarm(w, w.framework_tick[i], place, Do.FRAMEWORKS, i, 0)


@inner
def real_grants(w: Any, i: int) -> None:
    """A dated real grant to one of the companies, where the scenario lays them over the model's own."""
    a = w.accounts[w.grant_company[i], w.grant_country[i]]
    until = w.grant_tick[i] + w.licence_validity
    tpp, rule = w.grant_tpp[i], w.grant_rule[i]
    add_licence(w, a, new_licence(w, w.grant_tick[i], until, tpp, rule, 0, 0))
    lapse_after(w, a, until)
    write(w, -1 - a.company, 0, 0, Stage.FRAMEWORK, Mark.APPROVED, rule, a.country, tpp)
    consider(w, a)
    begin_real_grants(w, i + 1)


@inner
def begin_real_grants(w: Any, i: int) -> None:
    """The alarm of the next real grant."""
    if i < len(w.grant_tick):
        a = w.accounts[w.grant_company[i], w.grant_country[i]]
        alarm(w, w.grant_tick[i], rank(Order.RULING, a.entity, 0, 0, 0), Do.REAL_GRANTS, i, 0)


@inner
def other_importers(w: Any, quarter: int) -> None:
    """Other importers draw on the countries' pots at the beginning of each quarter, as far as there is room."""
    segment = w.segment
    for c in range(w.countries):
        asked, counts = w.other_importers[quarter, c], w.allocation_counts[segment, c]
        room = asked if counts else headroom(w, c)
        if room > 0 and asked:
            taken = min(room, asked)
            if not taken:
                continue
            open_pot(w, c)  # where it only counts, it is limited later
            w.pot_used[c] += taken
            write(w, w.no_project, 0, 0, Stage.OTHER_IMPORTERS, Mark.DRAWN, w.allocation_rule[segment, c], c, taken)
    begin_other_importers(w, quarter + 1)


@inner
def begin_other_importers(w: Any, quarter: int) -> None:
    """The alarm of the next quarter in which others ask for anything."""
    while quarter < len(w.quarter_starts) and not w.any_importer[quarter]:
        quarter += 1
    if quarter < len(w.quarter_starts):
        alarm(w, w.quarter_starts[quarter], rank(Order.GRANT, 0, 0, 0, 0), Do.OTHER_IMPORTERS, quarter, 0)


# ---------------------------------------------------------------------- the log


@inner
def record(w: Any, a: Any, stage: int, what: int, rule: int, quantity: int, filing: int) -> None:
    """Write an event of a company's account; its phase is the number of the filing."""
    write(w, -1 - a.company, 0, filing, stage, what, rule, a.country, quantity)
