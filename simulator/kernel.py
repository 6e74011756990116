"""The compiled engine: the model of `model.Expansion` on plain arrays, function by function, with the same names in the same order.

SimPy's processes are functions that go on from where they stand (`connect`, `build`, `fill`); everything else reads as in
`model.py`. The event log is the same, row by row, order included (`groundbreak verify SCENARIO --engines`). Memory, clock and pools
are in `machine.py`, the authority in `authority.py`; the rules of `controls` and `decisions` are compiled from the same source.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from simulator import decisions
from simulator.authority import (
    add_up,
    allocation_allows,
    ask,
    authorisations,
    begin_authorisations,
    begin_frameworks,
    begin_other_importers,
    begin_real_grants,
    classification_done,
    consider,
    consider_at,
    consider_soon,
    count_early,
    due,
    expect,
    export,
    forget,
    frameworks,
    grant,
    headroom,
    headroom_wait,
    hopes_for_authorisation,
    in_years,
    lapse,
    may_still_ship,
    monthly,
    national_decided,
    needed_item,
    needed_tpp,
    other_importers,
    passes,
    pot_opens,
    quarterly,
    real_grants,
    received,
    record,
    take_back,
)  # fmt: skip
from simulator.decisions import IMPOSSIBLE, Option
from simulator.events import Mark, Order, Stage
from simulator.jit import inner, jit, rule
from simulator.machine import (
    NO_ROOM_LIMIT,
    NO_RULE,
    NONE,
    WATTS_PER_SIXTEENTH,
    Do,
    alarm,
    at,
    at_phase,
    chips_fill,
    chips_give_back,
    chips_join,
    chips_unlink,
    coming_add,
    coming_pop,
    crew_claim,
    crew_leave,
    follow,
    grid_ahead,
    grid_free,
    grid_join,
    grid_unlink,
    grid_wait,
    held_watts,
    lay_out,
    mark,
    mark_phase,
    month,
    new_world,
    next_alarm,
    rank,
    take,
    unbroken_add,
    unbroken_pop,
    unit_claim,
    unit_leave,
    write,
    year,
)  # fmt: skip
from simulator.project import NOT_YET
from simulator.static import BARRED, FACTOR_BITS, Posture, Route, Timed, Workload
from simulator.units import PPM, TICKS_PER_DAY
from simulator.units import scaled as _scaled
from simulator.units import share_of as _share_of

scaled = rule(_scaled)
worth, shell_cost, idle_cost = rule(decisions.worth), rule(decisions.shell_cost), rule(decisions.idle_cost)
share_of, stay, leave, best, ppm_of = (
    rule(_share_of), rule(decisions.stay), rule(decisions.leave), rule(decisions.best), rule(decisions.ppm_of),
)  # fmt: skip
ANOTHER = (1 << 40) * -1
"""Score of a market outside the country an announced project is bound to."""


class At(IntEnum):
    """Where a process stands."""

    BEGIN = 0
    OVER = 1
    # connect
    POWER = 2
    TRANCHES = 3
    # build
    PERMITTING = 4
    LATER = 5
    REFUSED = 6
    HIRING = 7
    CREWS = 8
    HIRED = 9
    CONSTRUCTION = 10
    FIT_OUT = 11
    BUILDINGS = 12
    # fill
    CLEARANCE = 13
    GO = 14
    CHECKS = 15
    SECURITY = 16
    SECURED = 17
    CHIPS = 18
    SHIPPING = 19
    SITE = 20
    INSTALLATION = 21
    COMMISSIONING = 22


# ---------------------------------------------------------------------- the story


@inner
def new_project(w: Any, root: int, hop: int, planned: int, company: int, vendor: int, route: int, left: int, mw16: int) -> Any:
    """A project in the next free place; `count_projects` says whether it stays there."""
    p = w.projects[w.count_projects]
    p.id, p.root, p.hop, p.planned, p.company, p.vendor, p.route = w.count_projects, root, hop, planned, company, vendor, route
    p.left, p.mw16, p.market, p.country, p.first, p.count = left, mw16, NONE, NONE, NONE, 0
    p.site_control, p.build_from, p.shell_ready = NOT_YET, NOT_YET, NOT_YET
    p.expected_power = p.expected_shell = p.building = p.crews = p.crew_claim = p.bridging = p.requested = 0
    p.units_wait = p.first_power = 0
    p.bridges = p.in_requests = p.powered = p.on_grid = p.broken_ground = p.online = p.abandoned = p.deserted = 0
    p.unbroken = p.hired = p.halted = p.halts = p.tranche = p.building_next = p.build_halt = p.hirings = 0
    p.connecting = p.build_at = At.OVER
    p.grid_node = p.crew_next = p.crew_last = p.unit_next = p.unit_last = NONE
    p.in_crew_line = p.in_unit_line = p.stamp = 0
    return p


@inner
def new_phases(w: Any, p: Any, count: int) -> None:
    """Room for the phases of a project."""
    p.first, p.count = w.count_phases, count
    for i in range(count):
        f = w.each_phase[p.first + i]
        f.id, f.project, f.index, f.vendor = p.first + i, p.id, i, p.vendor
        f.expected = f.place = f.licensed_tpp = f.pledged_tpp = f.refused_tpp = f.due = f.load = 0
        f.ready, f.asked, f.licence_until, f.secure_from, f.tpp_room = NOT_YET, NOT_YET, NOT_YET, NOT_YET, NO_ROOM_LIMIT
        f.go = f.goes = f.passes = f.site = f.cleared = f.refusals = f.shipped = f.given_up = 0
        f.passed, f.missing, f.rule, f.refused_item, f.waits_stage, f.waits_rule = 1, 2, -1, -1, -1, -1
        f.at = At.OVER
        f.waits_for = f.taken = f.in_line = f.in_waiting = f.in_coming = f.in_plan = f.in_cleared = f.whole = f.wait_pool = 0
    w.count_phases += count


@inner
def plan(w: Any, p: Any) -> None:
    """A plan waits for its day."""
    at(w, p.planned, Order.PLAN, p, Stage.PROJECT, Do.PLAN)


@inner
def develop(w: Any, p: Any) -> None:
    """One project from its plan: a market is chosen, and a site looked for."""
    if p.market < 0 and not choose_market(w, p):
        mark(w, p, Stage.PROJECT, Mark.CANCELLED, -1, -1, p.mw16)
        return
    mark(w, p, Stage.PROJECT, Mark.PLANNED, -1, p.market, p.mw16)
    work(w, p, Stage.SITE_SELECTION, Timed.SITE_SELECTION, Do.DEVELOP)


@inner
def found(w: Any, p: Any) -> None:
    """A site is found: power, shell and phases go on side by side."""
    mark(w, p, Stage.SITE_SELECTION, Mark.END, -1, p.market, 0)
    take_control(w, p)
    p.connecting = p.build_at = At.BEGIN
    follow(w, True, Do.CONNECT, p.id, 0)
    follow(w, True, Do.BUILD, p.id, 0)
    for i in range(p.first, p.first + p.count):
        w.each_phase[i].at = At.BEGIN
        follow(w, True, Do.FILL, i, 0)


@inner
def connect(w: Any, p: Any) -> None:
    """Power: grid request, queue, energisation in tranches; on-site generation first where the grid would come too late."""
    if p.connecting == At.BEGIN:
        mark(w, p, Stage.INTERCONNECTION, Mark.START, -1, p.market, 0)
        p.connecting = At.POWER
        request_grid(w, p)
        if p.bridges:
            unit_claim(w, p)
            assign_units(w)
        return
    if p.connecting == At.POWER:
        mark(w, p, Stage.INTERCONNECTION, Mark.FIRST_POWER, -1, p.market, 0)
        p.connecting, p.tranche, p.first_power = At.TRANCHES, 0, w.now
    else:
        tranche_done(w, p)
    while p.tranche < p.count:
        f = w.each_phase[p.first + p.tranche]
        tick = p.first_power + w.power_offset[p.root, f.index]
        if tick > w.now:
            alarm(w, tick, rank(Order.COMPLETION, p.root, p.hop, f.index, Stage.INTERCONNECTION), Do.CONNECT, p.id, 0)
            return
        tranche_done(w, p)
    p.connecting = At.OVER


@inner
def tranche_done(w: Any, p: Any) -> None:
    """The next phase has power."""
    f = w.each_phase[p.first + p.tranche]
    mark_phase(w, f, Stage.INTERCONNECTION, Mark.POWERED, -1, p.market, 0)
    p.tranche += 1
    branch_done(w, f)


@inner
def build(w: Any, p: Any) -> None:
    """Shell: permitting, ground-breaking, construction, fit-out, building by building. Does not wait for power."""
    while True:
        if p.build_at == At.BEGIN:
            p.build_at = At.PERMITTING
            work(w, p, Stage.PERMITTING, Timed.PERMITTING, Do.BUILD)
            return
        if p.build_at == At.PERMITTING:
            mark(w, p, Stage.PERMITTING, Mark.END, -1, p.market, 0)
            p.build_at = At.LATER
        if p.build_at == At.LATER:
            if w.now < p.build_from:  # it may be put off again
                at(w, p.build_from, Order.COMPLETION, p, Stage.CONSTRUCTION, Do.BUILD)
                return
            if p.halted:
                p.build_at, p.build_halt = At.REFUSED, p.halts  # refused before ground was broken
                return
            p.build_at = At.HIRING
        if p.build_at == At.REFUSED:
            p.build_at = At.HIRING
        if p.build_at == At.HIRING:
            if not hire_crews(w, p):
                p.build_at = At.CREWS
                return
            p.build_at = At.HIRED
        if p.build_at == At.CREWS:
            mark(w, p, Stage.CREWS, Mark.END, -1, p.market, 0)
            p.build_at = At.HIRED
        if p.build_at == At.HIRED:
            if p.halted:  # refused while it waited for crews
                release_crews(w, p, p.crews)
                p.build_at, p.build_halt = At.REFUSED, p.halts
                return
            p.broken_ground = 1
            unbroken_pop(w, p)
            expect_shell(w, p)
            mark(w, p, Stage.CONSTRUCTION, Mark.GROUND_BREAKING, -1, p.market, 0)
            mark(w, p, Stage.CONSTRUCTION, Mark.OWN_DATE, -1, p.market, max(p.expected_power, w.now))
            p.build_at = At.CONSTRUCTION
            work(w, p, Stage.CONSTRUCTION, Timed.CONSTRUCTION, Do.BUILD)
            return
        if p.build_at == At.CONSTRUCTION:
            mark(w, p, Stage.CONSTRUCTION, Mark.END, -1, p.market, 0)
            p.build_at = At.FIT_OUT
            work(w, p, Stage.FIT_OUT, Timed.FIT_OUT, Do.BUILD)
            return
        if p.build_at == At.FIT_OUT:
            mark(w, p, Stage.FIT_OUT, Mark.END, -1, p.market, 0)
            p.shell_ready, p.build_at, p.building_next = w.now, At.BUILDINGS, 0
        else:
            building_done(w, p)
        while p.building_next < p.count:
            f = w.each_phase[p.first + p.building_next]
            tick = p.shell_ready + w.shell_offset[p.root, f.index]
            if tick > w.now:
                alarm(w, tick, rank(Order.COMPLETION, p.root, p.hop, f.index, Stage.FIT_OUT), Do.BUILD, p.id, 0)
                return
            building_done(w, p)
        p.build_at = At.OVER
        return


@inner
def building_done(w: Any, p: Any) -> None:
    """The next phase has its shell."""
    f = w.each_phase[p.first + p.building_next]
    mark_phase(w, f, Stage.FIT_OUT, Mark.SHELL_READY, -1, p.market, 0)
    p.building_next += 1
    release_crews(w, p, f.mw16 if p.building_next < p.count else p.crews)
    branch_done(w, f)


@inner
def fill(w: Any, f: Any) -> None:
    """One phase: clearance while the site is being built; then chips, shipping, installation, commissioning."""
    p = w.projects[f.project]
    if f.at == At.BEGIN:
        at_phase(w, f.expected - w.filing_lead, Order.RULING, f, Stage.CLEARANCE, Do.ASK_FIRST)
        f.at = At.CLEARANCE
    while True:
        if f.at == At.CLEARANCE:
            if f.passed:
                f.waits_for = f.passes  # cleared, or asked again meanwhile
                return
            f.at = At.GO
            if f.go != 2:
                f.waits_for = f.goes  # power and shell, unless it ships ahead of a restriction
                return
            f.at = At.CHECKS
        if f.at == At.CHECKS:
            f.at = At.CLEARANCE
            if not f.cleared:
                continue  # the law has changed meanwhile, and it has asked again
            if in_opening_fleet(w, f):
                f.at = At.OVER
                return
            if not may_still_ship(w, f):
                ask(w, f)
                continue
            if w.now < f.secure_from:  # mostly done while it is built
                mark_phase(w, f, Stage.SECURITY, Mark.START, -1, p.country, 0)
                at_phase(w, f.secure_from, Order.COMPLETION, f, Stage.SECURITY, Do.FILL)
                f.at = At.SECURITY
                return
            f.at = At.SECURED
        if f.at == At.SECURITY:
            mark_phase(w, f, Stage.SECURITY, Mark.END, -1, p.country, 0)
            f.at = At.SECURED
        if f.at == At.SECURED:
            f.at = At.CLEARANCE
            if not f.cleared:
                continue
            line_up(w, f)
            f.wait_pool = f.vendor
            mark_phase(w, f, Stage.CHIPS, Mark.START, -1, f.wait_pool, 0)
            f.at = At.CHIPS
            return
        if f.at == At.CHIPS:
            mark_phase(w, f, Stage.CHIPS, Mark.END, -1, f.wait_pool, 0)
            still = f.cleared and f.go  # neither was lost while it stood in line
            if still and ship(w, f):  # the law is read again on the day of export
                f.at = At.SHIPPING
                work_phase(w, f, Stage.SHIPPING, Timed.SHIPPING)
                return
            give_back(w, f)
            if still:
                ask(w, f)
            f.at = At.CLEARANCE
            continue
        if f.at == At.SHIPPING:
            mark_phase(w, f, Stage.SHIPPING, Mark.END, -1, p.market, 0)
            if f.ready == NOT_YET:
                f.site, f.at = 1, At.SITE
                return
            f.at = At.SITE
        if f.at == At.SITE:
            f.at = At.INSTALLATION
            work_phase(w, f, Stage.INSTALLATION, Timed.INSTALLATION)
            return
        if f.at == At.INSTALLATION:
            mark_phase(w, f, Stage.INSTALLATION, Mark.END, -1, p.market, 0)
            f.at = At.COMMISSIONING
            work_phase(w, f, Stage.COMMISSIONING, Timed.COMMISSIONING)
            return
        if f.at == At.COMMISSIONING:
            mark_phase(w, f, Stage.COMMISSIONING, Mark.END, -1, p.market, 0)
            mark_phase(w, f, Stage.PROJECT, Mark.ONLINE, -1, p.market, f.mw16)
            p.online += 1
            if p.online == p.count:
                mark(w, p, Stage.PROJECT, Mark.FULL, -1, p.market, size(w, p))
            f.at = At.OVER
        return


@inner
def size(w: Any, p: Any) -> int:
    """1/16 MW of all its phases as they are."""
    mw16 = 0
    for i in range(p.first, p.first + p.count):
        mw16 += w.each_phase[i].mw16
    return mw16


@inner
def line_up(w: Any, f: Any) -> None:
    """Take the phase's place in the line of its vendor."""
    p = w.projects[f.project]
    f.due = due(f)
    f.load, f.tpp_room = f.mw16 * WATTS_PER_SIXTEENTH, f.licensed_tpp if f.licence_until != NOT_YET else NO_ROOM_LIMIT
    f.taken, f.whole = 0, 0
    for g in range(w.generations.shape[1]):
        w.taken_chips[f.id, g] = 0
    chips_join(w, w.queues[p.company, f.vendor], f)
    serve_soon(w, p.company, f.vendor)


@inner
def ship(w: Any, f: Any) -> bool:
    """Export what was gathered, if the law of the day still lets it pass."""
    p = w.projects[f.project]
    rule = export(w, f)
    if rule == NO_RULE:
        return False
    quantity = 0
    f.shipped = 1
    for i in range(f.taken):
        g = w.taken_order[f.id, i]
        item, chips = w.generations[f.vendor, g], w.taken_chips[f.id, g]
        quantity += chips * w.tpp[item]
        mark_phase(w, f, Stage.CHIPS, Mark.CHIPS_TAKEN, -1, item, chips)
    if f.load >= WATTS_PER_SIXTEENTH:  # a licensed quantity bounds what ships
        missing = f.load // WATTS_PER_SIXTEENTH
        f.mw16 -= missing
        mark_phase(w, f, Stage.PROJECT, Mark.DOWNSIZED, rule, p.market, missing)
    coming_pop(w, w.queues[p.company, f.vendor], f)
    mark_phase(w, f, Stage.SHIPPING, Mark.SHIPPED, rule, p.country, quantity)
    if f.ready == NOT_YET:
        mark_phase(w, f, Stage.SHIPPING, Mark.FRONT_LOADED, rule, p.country, quantity)
    count_early(w, f)
    return True


@inner
def give_back(w: Any, f: Any) -> None:
    """The law of the day stops the export of what was gathered: it goes back to stock."""
    p = w.projects[f.project]
    for i in range(f.taken):
        g = w.taken_order[f.id, i]
        mark_phase(w, f, Stage.CHIPS, Mark.CHIPS_GIVEN_BACK, -1, w.generations[f.vendor, g], w.taken_chips[f.id, g])
    chips_give_back(w, p.company, f)
    serve_soon(w, p.company, f.vendor)


# ---------------------------------------------------------------------- site, power, shell


@inner
def take_control(w: Any, p: Any) -> None:
    """Site control: the company sets its own dates, from medians and queues as it sees them that day and with its optimism."""
    now = p.site_control = w.now
    power, shell = power_estimate(w, p), shell_estimate(w, p)
    # On-site generation where it is allowed and the grid is expected long after the shell.
    if w.allow_bridging and w.bridging_allowed[p.market] and power - shell > w.bridge_trigger:
        p.bridges = 1
        power = min(power, units_wait(w, w.units[0].waiting) + w.bridge_lead[p.root])
    building = middle(w, p, Timed.CONSTRUCTION) + middle(w, p, Timed.FIT_OUT)
    p.building = building * w.optimism >> FACTOR_BITS
    p.expected_shell = now + scaled(shell, w.optimism)
    if p.first == NONE:
        new_phases(w, p, w.phases[p.root])
        for i in range(p.count):
            w.each_phase[p.first + i].mw16 = w.phase_mw16[p.root, i]
    expect_power(w, p, now + scaled(power, w.optimism))
    unbroken_add(w, p)
    for i in range(p.first, p.first + p.count):
        f = w.each_phase[i]
        coming_add(w, w.queues[p.company, p.vendor], f)
        expect(w, f)


@inner
def expect_shell(w: Any, p: Any) -> None:
    """A shell that is not begun cannot be there sooner than it is built."""
    least = w.now + p.building
    if p.expected_shell < least:
        p.expected_shell = least
        expect_power(w, p, p.expected_power)


@inner
def expect_power(w: Any, p: Any, tick: int) -> None:
    """The company's own date of first power, and what hangs on it: its phases, and the day from which it would break ground."""
    p.expected_power = tick
    p.build_from = tick - p.building - w.shell_ahead
    for i in range(p.first, p.first + p.count):
        f = w.each_phase[i]
        power = tick + (w.power_offset[p.root, f.index] * w.optimism >> FACTOR_BITS)
        shell = p.expected_shell + (w.shell_offset[p.root, f.index] * w.optimism >> FACTOR_BITS)
        f.expected = max(power, shell)


@inner
def review_dates(w: Any) -> None:
    """Each quarter companies look at the queues again and move their dates: chips are ordered and licences asked for by these."""
    i = w.unbroken
    while i != NONE:
        expect_shell(w, w.projects[i])
        i = w.projects[i].unbroken_next
    ahead, i = 0, w.units[0].line
    while i != NONE:
        p = w.projects[i]
        p.units_wait = units_wait(w, ahead)
        ahead += p.mw16
        i = p.unit_next
    for m in range(w.markets):
        queue = w.grid[m]
        turn = queue.until if queue.serving != NONE else w.now
        i = queue.line
        while i != NONE:
            one = w.requests[i]
            i = one.next
            turn += one.work
            if one.project == NONE:
                continue
            p = w.projects[one.project]
            if p.in_requests and not p.powered and not p.bridging:
                wait = max(turn, one.tick + w.grid_works[m]) - w.now
                if p.in_unit_line:  # on-site units may still come first
                    wait = min(wait, p.units_wait + w.bridge_lead[p.root])
                expect_power(w, p, w.now + scaled(wait, w.optimism))


@inner
def middle(w: Any, p: Any, timed: int) -> int:
    """Median ticks of a stage at the project's market and on its route."""
    return w.median[timed, p.market] * w.route_factor[p.route, timed] >> FACTOR_BITS


@inner
def power_estimate(w: Any, p: Any) -> int:
    """Ticks to first power from the grid as they look today."""
    if w.rationed[p.market]:
        requested = request_date(w, p)
        ahead = grid_ahead(w, p.market, requested, p.root, p.hop)
        own = p.mw16 * w.grid_ticks[p.market]
        return max(ahead + own, max(requested + w.grid_works[p.market] - w.now, 0))
    return max(middle(w, p, Timed.INTERCONNECTION) - w.interconnection_lead, 0)


@inner
def shell_estimate(w: Any, p: Any) -> int:
    """Ticks to the first finished building."""
    return middle(w, p, Timed.PERMITTING) + middle(w, p, Timed.CONSTRUCTION) + middle(w, p, Timed.FIT_OUT)


@inner
def request_date(w: Any, p: Any) -> int:
    """The place of a request in the queue is its date: before site control by the usual lead, and by as much more as the
    route has a head start."""
    wait = max(w.median[Timed.INTERCONNECTION, p.market], grid_wait(w, p.market))
    ahead = wait - scaled(wait, w.route_factor[p.route, Timed.INTERCONNECTION])
    return w.now - w.interconnection_lead - ahead


@inner
def request_grid(w: Any, p: Any) -> None:
    """Ask for power: join the market's queue, or wait as long as connections there take."""
    patience = p.expected_power + w.patience_power[p.root]
    if w.rationed[p.market]:
        p.requested, p.in_requests = request_date(w, p), 1
        luck = w.luck_power[year(w), p.country]
        work_ticks = scaled(p.mw16 * w.grid_ticks[p.market], luck)
        p.grid_node = grid_join(w, p.market, p.requested, p.root, p.hop, work_ticks, p.id)
        connect_next(w, p.market)
        late = True
    else:
        end = w.now + length(w, p, Timed.INTERCONNECTION)
        at(w, end, Order.COMPLETION, p, Stage.INTERCONNECTION, Do.GRID_COMES)
        late = end > patience
    if late:
        at(w, patience, Order.PATIENCE, p, Stage.INTERCONNECTION, Do.POWER_IS_LATE)


@inner
def connect_next(w: Any, m: int) -> None:
    """A rationed market takes up its next request."""
    queue = w.grid[m]
    begins = queue.serving == NONE and queue.line != NONE
    if begins:
        i = queue.line
        grid_unlink(w, queue, i)
        queue.serving, queue.until = i, w.now + w.requests[i].work
    w.grid_until[m] = w.now + grid_wait(w, m)
    if begins:
        alarm(w, queue.until, rank(Order.COMPLETION, w.first_market + m, 0, 0, Stage.INTERCONNECTION), Do.CONNECTED, m, 0)


@inner
def connected(w: Any, m: int) -> None:
    """A request has got its capacity; it is energised once its own works are done too."""
    queue = w.grid[m]
    i = queue.serving
    one = w.requests[i]
    queue.serving = NONE
    if one.project != NONE:
        p = w.projects[one.project]
        p.in_requests = 0
        if not deserted(w, p):
            works = w.grid_works[m] * w.spread[p.root, Timed.INTERCONNECTION] >> FACTOR_BITS
            at(w, one.tick + works, Order.COMPLETION, p, Stage.INTERCONNECTION, Do.GRID_COMES)
    grid_free(w, i)
    connect_next(w, m)


@inner
def deserted(w: Any, p: Any) -> bool:
    """Given up as a whole."""
    if not p.abandoned:
        return False
    for i in range(p.first, p.first + p.count):  # noqa: SIM110 - compiled code knows no all()
        if not w.each_phase[i].given_up:
            return False
    return True


@inner
def grid_comes(w: Any, p: Any) -> None:
    """The grid is energised: first power, or the end of on-site generation."""
    if deserted(w, p):
        return
    p.on_grid = 1
    mark(w, p, Stage.INTERCONNECTION, Mark.END, -1, p.market, 0)
    return_units(w, p)
    power_comes(w, p)


@inner
def power_comes(w: Any, p: Any) -> None:
    """First power, from whichever source."""
    if not p.powered:
        p.powered = 1
        follow(w, False, Do.FIRST_POWER, p.id, 0)


@inner
def units_wait(w: Any, ahead: int) -> int:
    """Ticks until so many 1/16 MW of on-site units will have been handed out, at the pace of this month."""
    pace = max(w.bridge_supply[month(w)], 1)
    return max(ahead - w.units[0].free, 0) * (w.quarter_ticks // 3) // pace


@inner
def assign_units(w: Any) -> None:
    """On-site units go to whoever asked first."""
    line = w.units[0]
    while line.line != NONE and w.projects[line.line].mw16 <= line.free:
        p = w.projects[line.line]
        unit_leave(w, p)
        line.free -= p.mw16
        p.bridging = p.mw16
        mark(w, p, Stage.BRIDGING, Mark.START, -1, p.market, 0)
        end = w.now + w.bridge_lead[p.root]
        expect_power(w, p, end)
        at(w, end, Order.COMPLETION, p, Stage.BRIDGING, Do.BRIDGE_COMES)


@inner
def return_units(w: Any, p: Any) -> None:
    """The grid is there, or the site is given up: on-site units move on."""
    unit_leave(w, p)
    if p.bridging:
        if not p.powered:
            mark(w, p, Stage.BRIDGING, Mark.HALTED, -1, p.market, 0)
        w.units[0].free += p.bridging
        p.bridging = 0
    assign_units(w)


@inner
def bridge_comes(w: Any, p: Any) -> None:
    """On-site generation gives power, unless the grid was first or the site is given up."""
    if p.powered or not p.bridging:
        return
    mark(w, p, Stage.BRIDGING, Mark.END, -1, p.market, 0)
    mark(w, p, Stage.BRIDGING, Mark.BRIDGED, -1, p.market, p.mw16)
    power_comes(w, p)


@inner
def hire_crews(w: Any, p: Any) -> bool:
    """Construction capacity of the company: claimed whole at ground-breaking, first come first served. False if it must wait."""
    if not w.allow_crew_limit:
        return True
    limit = w.crew_limit[year(w), p.company]
    p.hired = 0
    p.hirings += 1
    crew_claim(w, w.crews[p.company], p, min(p.mw16, limit) if limit else p.mw16)
    send_crews(w, p.company)
    if p.hired:
        return True
    mark(w, p, Stage.CREWS, Mark.START, -1, p.market, 0)
    return False


@inner
def send_crews(w: Any, company: int) -> None:
    """Crews go to whoever asked first and fits."""
    line = w.crews[company]
    while line.line != NONE and w.projects[line.line].crew_claim <= line.free:
        p = w.projects[line.line]
        crew_leave(w, line, p)
        line.free -= p.crew_claim
        p.crews, p.hired = p.crew_claim, 1
        follow(w, False, Do.HIRED, p.id, p.hirings)


@inner
def release_crews(w: Any, p: Any, mw16: int) -> None:
    """Crews move on as buildings are finished."""
    done = min(mw16, p.crews)
    if done:
        p.crews -= done
        w.crews[p.company].free += done
        send_crews(w, p.company)


@inner
def branch_done(w: Any, f: Any) -> None:
    """Power or shell of a phase is there; when both are, it is ready."""
    f.missing -= 1
    if f.missing or f.given_up:
        return
    p = w.projects[f.project]
    f.ready = w.now
    mark_phase(w, f, Stage.PROJECT, Mark.READY, -1, p.market, f.mw16)
    if not f.go:
        go(w, f)
    if f.site:
        follow(w, False, Do.SITE, f.id, 0)
    if not f.shipped:
        ask_first(w, f)
        be_patient(w, f)


@inner
def go(w: Any, f: Any) -> None:
    """It may gather chips."""
    f.go = 1
    follow(w, False, Do.GO, f.id, f.goes)


@inner
def ask_first(w: Any, f: Any) -> None:
    """Clearance is first asked for a lead before the company expects the phase ready, or when it is ready sooner."""
    if f.asked != NOT_YET or f.given_up:
        return
    tick = f.expected - w.filing_lead
    if f.ready == NOT_YET and tick > w.now:  # its date has moved
        at_phase(w, tick, Order.RULING, f, Stage.CLEARANCE, Do.ASK_FIRST)
    else:
        ask(w, f)


@inner
def in_opening_fleet(w: Any, f: Any) -> bool:
    """Whether a phase would have been online before the start, while the opening fleet still has room for it."""
    if w.now >= 0 or f.ready == NOT_YET:
        return False
    p = w.projects[f.project]
    rest = length(w, p, Timed.SHIPPING) + length(w, p, Timed.INSTALLATION) + length(w, p, Timed.COMMISSIONING)
    if w.now + rest > 0 or w.fleet_room[p.company] < f.mw16:
        return False
    w.fleet_room[p.company] -= f.mw16
    f.shipped = 1
    p.online += 1
    take_back(w, f)
    coming_pop(w, w.queues[p.company, f.vendor], f)
    mark_phase(w, f, Stage.PROJECT, Mark.IN_FLEET, -1, p.market, f.mw16)
    return True


# ---------------------------------------------------------------------- decisions


@inner
def choose_market(w: Any, p: Any) -> bool:
    """Pick the market with the highest score under the law announced today; False if every one is barred."""
    forced = w.forced_country[p.root]
    if forced >= 0 and not p.left and p.planned < w.forced_until:
        most, top = NONE, 0
        for m in range(w.markets):
            value = w.appeal[p.root, m] + (ANOTHER if w.market_country[m] != forced else 0)
            if most == NONE or value > top:
                most, top = m, value
        p.market, p.country = most, w.market_country[most]
        return True
    hopes = 1 if hopes_for_authorisation(w, p.company) else 0
    per_year = w.choice_per_year
    minded = per_year
    if w.workload[p.root] == Workload.TRAINING:
        minded = per_year * w.choice_training >> FACTOR_BITS
    most, top = NONE, 0
    for m in range(w.markets):
        c = w.market_country[m]
        value = w.appeal[p.root, m] + w.outlook[hopes, w.segment, p.company, c]
        if w.allow_rationing and w.rationed[m]:
            power = max(w.grid_until[m] - w.now, 0) + p.mw16 * w.grid_ticks[m]
            value += minded * in_years(max(power, w.grid_works[m])) >> FACTOR_BITS
        value += per_year * w.full_wait[p.company, c] >> FACTOR_BITS
        if p.left >> c & 1:
            value += BARRED
        if most == NONE or value > top:
            most, top = m, value
    if top <= BARRED // 2:
        return False
    p.market, p.country = most, w.market_country[most]
    return True


@inner
def be_patient(w: Any, f: Any) -> None:
    """A ready phase that is not cleared waits; at the end of patience, and again after, the company looks at its options."""
    p = w.projects[f.project]
    tick = w.now + max(w.patience[p.root], TICKS_PER_DAY)
    let = f.ready + w.let_after
    if w.now < let:
        tick = min(tick, let)
    at_phase(w, tick, Order.PATIENCE, f, Stage.CLEARANCE, Do.PATIENCE_ENDS)


@inner
def patience_ends(w: Any, f: Any) -> None:
    """The wait has lasted as long as the company bears it."""
    p = w.projects[f.project]
    if f.shipped or p.abandoned:
        return
    if not f.cleared:
        reconsider(w, p, f.waits_rule, f.waits_stage if f.waits_stage >= 0 else Stage.CLEARANCE.value)
    if not p.abandoned:
        be_patient(w, f)  # clearance may be lost again


@inner
def power_is_late(w: Any, p: Any) -> None:
    """Power has not come long after the company's own date."""
    if p.powered or p.abandoned:
        return
    _, wait = prospect(w, p, w.each_phase[p.first], Stage.INTERCONNECTION)
    if wait > shell_estimate(w, p):  # what comes sooner than a new shell could be built is waited for
        reconsider(w, p, -1, Stage.INTERCONNECTION)
    if not p.abandoned:
        tick = w.now + max(w.patience_power[p.root], TICKS_PER_DAY)
        at(w, tick, Order.PATIENCE, p, Stage.INTERCONNECTION, Do.POWER_IS_LATE)


@inner
def in_rest(f: Any) -> bool:
    """Whether a decision about a site is about this phase too: not shipped, and not about to be."""
    return not f.shipped and not (f.cleared and f.ready != NOT_YET)


@inner
def reconsider(w: Any, p: Any, rule: int, stage: int) -> None:
    """Wait, take other chips, relocate or cancel: by what the company knows today."""
    first, mw16 = NONE, 0
    for i in range(p.first, p.first + p.count):
        g = w.each_phase[i]
        if in_rest(g):
            mw16 += g.mw16
            if first == NONE:
                first = i
    if p.abandoned or first == NONE:
        return
    f = w.each_phase[first]
    horizon = w.now + w.planning_horizon
    price = 0 if p.route == Route.LEASED else w.shell_usd[p.market]
    cost = shell_cost(mw16, price)
    sunk = share_of(cost, spent(w, p))
    chance, wait = prospect(w, p, f, stage)
    ready = max(w.now + wait, due(f))
    idle = idle_cost(mw16, w.idle_shell_usd, wait) if p.shell_ready != NOT_YET else 0
    let = f.ready > NOT_YET and f.ready <= w.now - w.let_after
    gain = worth(mw16, ready, horizon, w.value_usd)
    waiting = other = elsewhere = IMPOSSIBLE
    if not let:
        waiting = stay(gain, chance, cost - sunk, idle)
    vendor, ratio = other_chips(w, f) if stage != Stage.INTERCONNECTION else (-1, 0)
    if vendor >= 0:
        now_gain = worth(mw16, max(w.now, due(f)), horizon, w.value_usd)
        other = stay(now_gain, ratio, cost - sunk, 0)
    heir = successor(w, p, f.vendor, mw16)
    if heir:
        s = w.projects[w.count_projects]
        price = 0 if p.route == Route.LEASED else w.shell_usd[s.market]
        begin = w.now + middle(w, s, Timed.SITE_SELECTION)
        later = begin + max(power_estimate(w, s), shell_estimate(w, s))
        gain = worth(mw16, later, horizon, w.value_usd)
        elsewhere = leave(gain, chance_in(w, s), shell_cost(mw16, price), sunk, w.recovery_ppm)
    nothing = leave(0, 0, 0, sunk, w.recovery_ppm)
    choice = best((waiting, other, elsewhere, nothing))
    if choice == Option.WAIT:
        refused = stage == Stage.LICENCE_REVIEW or stage == Stage.LAW
        if refused and not p.broken_ground and not p.halted:
            p.halted = 1  # no ground is broken while a refusal stands
            p.halts += 1
    elif choice == Option.OTHER_CHIPS:
        switch(w, p, vendor)
    else:
        give_up(w, p, mw16, rule, choice == Option.RELOCATE, let)


@inner
def prospect(w: Any, p: Any, f: Any, stage: int) -> tuple[int, int]:
    """(chance in parts per million, ticks) that what a project waits for comes, as it looks today."""
    if stage == Stage.INTERCONNECTION:
        if p.in_requests:
            return PPM, grid_ahead(w, p.market, p.requested, p.root, p.hop)
        return PPM, w.now - p.expected_power  # as long again as it is late
    if stage == Stage.AUTHORISATION:
        return PPM, headroom_wait(w, f)
    item = needed_item(w, f)
    posture = w.law[w.segment, p.company, p.country, item].posture
    chance = ppm_of(w.approve_below[w.segment, posture])
    wait = w.review_median[w.segment, posture]
    if stage == Stage.ALLOCATION:
        wait += max(pot_opens(w, p.country) - w.now, 0)
    if stage == Stage.FRAMEWORK:
        wait += max(w.framed_from[p.country] - w.now, 0)
    return chance, wait + max(w.accounts[p.company, p.country].not_before - w.now, 0)


@inner
def chance_in(w: Any, s: Any) -> int:
    """Chance in parts per million that a site elsewhere will be cleared, by what announced law asks of it."""
    item = w.shipping_generation[s.vendor, month(w)]
    law = w.law[w.segment, s.company, s.country, item]
    if not law.needs:
        return PPM
    if law.uveu >= 0 and hopes_for_authorisation(w, s.company):
        return PPM
    return ppm_of(w.approve_below[w.segment, law.posture])


@inner
def spent(w: Any, p: Any) -> int:
    """Share of the shell's cost already spent, in parts per million: by site control, permits, half of construction, shell."""
    if p.shell_ready != NOT_YET:
        return w.spend_ppm[3]
    return (w.spend_ppm[1] + w.spend_ppm[2]) // 2 if p.broken_ground else w.spend_ppm[0]


@inner
def other_chips(w: Any, f: Any) -> tuple[int, int]:
    """Another vendor whose chips the law lets pass here today and which this company gets, and its compute per watt against
    the planned one in parts per million; (-1, 0) if there is none."""
    p = w.projects[f.project]
    planned = needed_item(w, f)
    for v in range(w.vendors):
        if v == f.vendor or not w.queues[p.company, v].on_order:
            continue
        item = w.shipping_generation[v, month(w)]
        quantity = -(-f.mw16 * WATTS_PER_SIXTEENTH // w.watts[item]) * w.tpp[item]
        if passes(w, f, item, quantity, False) != NO_RULE:
            ours = w.h100e_ppm[planned] * w.watts[item]
            return v, w.h100e_ppm[item] * w.watts[planned] * PPM // ours
    return -1, 0


@inner
def switch(w: Any, p: Any, vendor: int) -> None:
    """Phases not yet shipped take another vendor's chips."""
    for i in range(p.first, p.first + p.count):
        f = w.each_phase[i]
        if not in_rest(f):
            continue
        stood = leave_line(w, f)
        coming_pop(w, w.queues[p.company, f.vendor], f)
        f.vendor, f.refused_tpp, f.refused_item = vendor, 0, -1
        coming_add(w, w.queues[p.company, vendor], f)
        mark_phase(w, f, Stage.CHIPS, Mark.SWITCHED, -1, vendor, 0)
        if stood:
            line_up(w, f)
        account = w.accounts[p.company, p.country]
        if account.waiting != NONE:
            consider_soon(w, account)


@inner
def leave_line(w: Any, f: Any) -> bool:
    """A phase that waits for chips leaves the line; what it had gathered goes back to stock. Whether it stood there."""
    if not f.in_line:
        return False
    p = w.projects[f.project]
    chips_unlink(w, w.queues[p.company, f.vendor], f)
    chips_give_back(w, p.company, f)
    serve_soon(w, p.company, f.vendor)
    return True


@inner
def successor(w: Any, p: Any, vendor: int, mw16: int) -> bool:
    """What is not shipped yet, planned in another country; the lineage keeps its luck. False if there is nowhere to go.

    It lies in the next free place of the projects.
    """
    if not w.allow_relocation or p.hop >= w.largest_hop:
        return False
    left = p.left | 1 << p.country
    return choose_market(w, new_project(w, p.root, p.hop + 1, w.now, p.company, vendor, p.route, left, mw16))


@inner
def give_up(w: Any, p: Any, mw16: int, rule: int, moves: bool, let: bool) -> None:
    """Leave this site: stop the work, let go of what is held, and plan a successor elsewhere or cancel."""
    p.abandoned = 1
    rest = 0
    every = True
    for i in range(p.first, p.first + p.count):
        f = w.each_phase[i]
        if in_rest(f):
            f.given_up = 1
            w.still[rest] = i
            rest += 1
    for i in range(p.first, p.first + p.count):
        f = w.each_phase[i]
        every = every and (f.given_up != 0 or f.ready != NOT_YET)
    if every:  # else chips are there and wait for the rest of the site
        if p.connecting != At.OVER:
            follow(w, True, Do.INTERRUPT_CONNECT, p.id, 0)
        if p.build_at != At.OVER:
            follow(w, True, Do.INTERRUPT_BUILD, p.id, 0)
        release_crews(w, p, p.crews)
        crew_leave(w, w.crews[p.company], p)
        unbroken_pop(w, p)
        send_crews(w, p.company)
    if deserted(w, p):  # else what stays there keeps its power
        if p.in_requests and w.grid[p.market].serving != p.grid_node:
            grid_unlink(w, w.grid[p.market], p.grid_node)
            grid_free(w, p.grid_node)
            p.in_requests = 0
            connect_next(w, p.market)
        if not p.on_grid:
            mark(w, p, Stage.INTERCONNECTION, Mark.HALTED, -1, p.market, 0)
        return_units(w, p)
    for n in range(rest):
        f = w.each_phase[w.still[n]]
        leave_line(w, f)
        coming_pop(w, w.queues[p.company, f.vendor], f)
        forget(w, f)
        if f.at != At.OVER:
            follow(w, True, Do.INTERRUPT_FILL, f.id, 0)
    if let:
        mark(w, p, Stage.PROJECT, Mark.LET, -1, p.market, mw16)
    if moves:
        mark(w, p, Stage.PROJECT, Mark.RELOCATED, rule, p.market, mw16)
        s = w.projects[w.count_projects]
        w.count_projects += 1
        new_phases(w, s, rest)
        for n in range(rest):
            w.each_phase[s.first + n].mw16 = w.each_phase[w.still[n]].mw16
        plan(w, s)
    else:
        mark(w, p, Stage.PROJECT, Mark.CANCELLED, rule, p.market, mw16)


# ---------------------------------------------------------------------- chips


@inner
def months(w: Any, month: int) -> None:
    """The calendar: at the beginning of each month chips reach the companies' stocks, at home, and new ones are ordered."""
    if month < 0:
        for k in range(w.companies):
            for v in range(w.vendors):
                stock(w, k, v, w.under_way)
    else:
        ahead = w.commitment_months
        if month == 0:
            for k in range(w.companies):
                for v in range(w.vendors):
                    stock(w, k, v, w.opening_stock)
            for early in range(min(ahead, w.months)):
                commit(w, early, False)  # ordered before the start
        if month + ahead < w.months:
            commit(w, month + ahead, True)
        deliver(w, month)
        w.units[0].free += w.bridge_supply[month]
        assign_units(w)
        ship_ahead(w)
        monthly(w)
        if month % 3 == 0:
            review_dates(w)
            quarterly(w)
    if month + 1 < w.months:
        alarm(w, w.month_starts[month + 1], rank(Order.RELEASE, 0, 0, 0, 0), Do.MONTHS, month + 1, 0)


@inner
def stock(w: Any, k: int, v: int, chips: Any) -> None:
    """Chips held on or before the start date enter a company's stock."""
    for g in range(w.generations.shape[1]):
        item = w.generations[v, g]
        if item == NONE:
            break
        receive(w, k, item, chips[k, item])
    serve_soon(w, k, v)


@inner
def deliver(w: Any, month: int) -> None:
    """What was committed to for this month arrives."""
    for k in range(w.companies):
        for v in range(w.vendors):
            for g in range(w.generations.shape[1] - 1, -1, -1):
                item = w.generations[v, g]
                if item == NONE:
                    continue
                ordered = w.committed[month, k, item]
                if not ordered:
                    continue
                w.queues[k, v].on_order -= ordered * w.watts[item]
                chips = min(ordered, w.deliveries[month, k, item] * w.supply_ppm[month] // PPM)
                if chips:
                    receive(w, k, item, chips)
                    record_chips(w, k, Mark.DELIVERED, item, chips)
                missed = ordered - chips
                if missed:  # less is made, or let out, than anyone knew when it was ordered
                    w.chip_money_left[k] += missed * w.chip_kusd[item]
                    record_chips(w, k, Mark.MISSED, item, missed)
            serve_soon(w, k, v)


@inner
def commit(w: Any, month: int, bounded: bool) -> None:
    """Order the company's share of a later month's supply, as far as sites due by then will need it and money allows."""
    for k in range(w.companies):
        for v in range(w.vendors):
            q = w.queues[k, v]
            if bounded and v == 0:
                income = w.chip_money[month, k]
                # Unspent money is kept, up to a year of it.
                w.chip_money_left[k] = min(w.chip_money_left[k] + income, 12 * income)
            room = 0
            if bounded:
                need = planned_need(w, k, v, w.month_starts[month] + w.stock_ahead)
                room = need - held_watts(w, k, v, q) - q.on_order
            for g in range(w.generations.shape[1] - 1, -1, -1):  # the newest first
                item = w.generations[v, g]
                if item == NONE or not w.offered[month, k, item]:
                    continue
                taken = w.offered[month, k, item]
                if bounded:
                    taken = min(taken, max(room, 0) // w.watts[item])
                    if w.allow_money_bound:
                        taken = min(taken, w.chip_money_left[k] // w.chip_kusd[item])
                    room -= taken * w.watts[item]
                    w.chip_money_left[k] -= taken * w.chip_kusd[item]
                if taken:
                    w.committed[month, k, item] = taken
                    q.on_order += taken * w.watts[item]
                    record_chips(w, k, Mark.COMMITTED, item, taken)
                declined = w.offered[month, k, item] - taken
                if declined:
                    record_chips(w, k, Mark.DECLINED, item, declined)


@inner
def planned_need(w: Any, company: int, vendor: int, until: int) -> int:
    """Watts of chips for phases that wait for them or should be ready by a day."""
    mw16, count = 0, 0
    i = w.queues[company, vendor].coming
    while i != NONE:
        f = w.each_phase[i]
        if f.expected <= until or f.missing == 0:
            mw16 += f.mw16
            count += 1
        i = f.come_next
    # A phase takes whole chips: its last one may be only partly used.
    return mw16 * WATTS_PER_SIXTEENTH + w.spare_watts[vendor] * count


@inner
def receive(w: Any, company: int, item: int, chips: int) -> None:
    """Chips enter a company's stock, and its footprint at home."""
    w.stock[company, item] += chips
    received(w, company, chips * w.counted_tpp[item])


@inner
def serve_soon(w: Any, company: int, vendor: int) -> None:
    """Serve a chip queue once in this instant, after releases, give-backs and rulings."""
    q = w.queues[company, vendor]
    if not q.serving and q.line != NONE:
        q.serving = 1
        alarm(w, w.now, rank(Order.GRANT, company, 0, 0, vendor), Do.SERVE, company, vendor)


@inner
def serve(w: Any, company: int, vendor: int) -> None:
    """Hand whole claims to their phases."""
    q = w.queues[company, vendor]
    q.serving = 0
    while q.line != NONE:
        f = w.each_phase[q.line]
        chips_fill(w, company, q, f)
        if not f.whole:
            break
        chips_unlink(w, q, f)
        follow(w, False, Do.GRANTED, f.id, 0)


@inner
def ship_ahead(w: Any) -> None:
    """Before an announced restriction binds, phases near ready are shipped to as long as nothing asks for a licence."""
    if not w.allow_front_loading:
        return
    last = min(w.now + w.front_load_before, w.horizon - 1)
    near = False
    for k in range(w.companies):
        for c in range(w.countries):
            tick = w.tightens[w.segment, k, c]
            near = near or (w.now < tick and tick <= last)
    if not near:
        return
    w.near_count = 0
    for k in range(w.companies):
        for v in range(w.vendors):
            i = w.queues[k, v].coming
            while i != NONE:
                f = w.each_phase[i]
                i = f.come_next
                p = w.projects[f.project]
                tick = w.tightens[w.segment, p.company, p.country]
                soon = w.now < tick and tick <= last and f.expected <= tick + w.front_load_ready
                if soon and f.missing and p.broken_ground:
                    w.near[w.near_count] = f.id
                    w.near_count += 1
                    if f.asked == NOT_YET:
                        item = needed_item(w, f)
                        if passes(w, f, item, needed_tpp(w, f, item), False) != NO_RULE:
                            ask(w, f)
    alarm(w, w.now, rank(Order.GRANT, 0, 0, 0, 0), Do.SEND_AHEAD, 0, 0)


@inner
def send_ahead(w: Any) -> None:
    """Phases that are cleared by now gather chips ahead of their site."""
    for n in range(w.near_count):
        f = w.each_phase[w.near[n]]
        if f.cleared and not f.go:
            go(w, f)


# ---------------------------------------------------------------------- the world around


@inner
def law_changes(w: Any, segment: int) -> None:
    """A change of law re-rules everyone waiting, and whoever was cleared without a licence."""
    w.segment = segment
    write(w, w.no_project, 0, 0, Stage.LAW, Mark.CHANGED, w.law_changes[segment], -1, segment)
    changed(w)
    begin_law_changes(w, segment + 1)


@inner
def begin_law_changes(w: Any, segment: int) -> None:
    """The alarm of the next change of law."""
    if segment < w.segments:
        alarm(w, w.law_ticks[segment], rank(Order.LAW, 0, 0, 0, 0), Do.LAW_CHANGES, segment, 0)


@inner
def crews_grow(w: Any, year: int) -> None:
    """Each year a company can have more under construction."""
    for k in range(w.companies):
        w.crews[k].free += w.crew_limit[year, k] - w.crew_limit[year - 1, k]
        send_crews(w, k)
    begin_crews_grow(w, year + 1)


@inner
def begin_crews_grow(w: Any, year: int) -> None:
    """The alarm of the next year."""
    if year < len(w.crew_limit):
        alarm(w, w.year_starts[year], rank(Order.RELEASE, 0, 0, 0, 0), Do.CREWS_GROW, year, 0)


@inner
def others_queue(w: Any, quarter: int) -> None:
    """Until the start date requests of others keep the queue of a rationed market as long as its published wait says."""
    step = w.quarter_ticks
    tick = min(w.earliest + quarter * step, 0)
    for m in range(w.markets):
        if not w.rationed[m]:
            continue
        missing = w.grid_backlog[m] - grid_wait(w, m)
        for i in range(0, missing, step):  # at first dated back, as they would have come
            part = min(step, missing - i)
            grid_join(w, m, tick - (missing - i - part), -1 - quarter, i // step, part, NONE)
        connect_next(w, m)
    if tick < 0:
        begin_others_queue(w, quarter + 1)


@inner
def begin_others_queue(w: Any, quarter: int) -> None:
    """The alarm of the next quarter up to the start date."""
    tick = min(w.earliest + quarter * w.quarter_ticks, 0)
    alarm(w, tick, rank(Order.RELEASE, w.first_market, 0, 0, 0), Do.OTHERS_QUEUE, quarter, 0)


# ---------------------------------------------------------------------- decisions of the authority that companies answer


@inner
def changed(w: Any) -> None:
    """A change of law: what was cleared without a licence is ruled on again, and so is everyone waiting."""
    segment = w.segment
    add_up(w)
    i = w.cleared
    while i != NONE:
        f = w.each_phase[i]
        i = f.clear_next
        if not may_still_ship(w, f):
            ask(w, f)
    count = 0
    w.stamp += 1
    for k in range(w.companies):
        for c in range(w.countries):
            a = w.accounts[k, c]
            if a.waiting == NONE:
                continue
            consider_soon(w, a)
            item = needed_item(w, w.each_phase[a.waiting])
            before, now = w.law[segment - 1, k, c, item].posture, w.law[segment, k, c, item].posture
            if now != before and w.approve_below[segment, now] < w.approve_below[segment - 1, before]:
                count = collect(w, a, w.law[segment, k, c, item].rule, count)
    for n in range(count):
        reconsider(w, w.projects[w.worse[n]], w.worse_rule[n], Stage.LAW)


@inner
def collect(w: Any, a: Any, rule: int, count: int) -> int:
    """Note the projects of an account whose phases wait, each once."""
    i = a.waiting
    while i != NONE:
        p = w.projects[w.each_phase[i].project]
        if p.stamp != w.stamp:
            p.stamp = w.stamp
            w.worse[count], w.worse_rule[count] = p.id, rule
            count += 1
        i = w.each_phase[i].wait_next
    return count


@inner
def decide(w: Any, a: Any) -> None:
    """The decision: approved, denied or returned, by the review policy of that day and, if there is one, the country's pot."""
    item, rule, quantity, partial = a.pending_item, a.pending_rule, a.pending_tpp, a.pending_partial
    a.pending = 0
    segment, k, c, n = w.segment, a.company, a.country, a.filings - 1
    law = w.law[segment, k, c, item]
    outcome = w.licence_outcome[k, c, n]
    if not law.needs:  # no licence is needed any more
        record(w, a, Stage.LICENCE_REVIEW, Mark.RETURNED, law.rule, quantity, n)
    elif outcome < w.approve_below[segment, law.posture]:
        room, limit = headroom(w, c), w.allocation[segment, c]
        if room >= 0 and not allocation_allows(w.pot_used[c], quantity, limit):
            # Others were first: it may be filed smaller at once.
            record(w, a, Stage.LICENCE_REVIEW, Mark.RETURNED, w.allocation_rule[segment, c], quantity, n)
        else:
            if room >= 0:
                w.pot_used[c] += quantity
                record(w, a, Stage.ALLOCATION, Mark.DRAWN, w.allocation_rule[segment, c], quantity, n)
            record(w, a, Stage.LICENCE_REVIEW, Mark.APPROVED, rule, quantity, n)
            grant(w, a, rule, quantity, partial, law.posture == Posture.DEAL_WINDOW)
    else:
        denied = outcome >= w.deny_above[segment, law.posture]
        record(w, a, Stage.LICENCE_REVIEW, Mark.DENIED if denied else Mark.RETURNED, rule, quantity, n)
        a.not_before = w.now + w.refile[k, c, n]
        consider_at(w, a, a.not_before)
        refuse(w, a, rule, denied)
    consider(w, a)


@inner
def refuse(w: Any, a: Any, rule: int, denied: bool) -> None:
    """What waited on an application that came back empty: the company looks at its options for each project.

    A return alone is no reason to look: it is filed again, up to the most refusals a company accepts.
    """
    count = 0
    w.stamp += 1
    i = a.waiting
    while i != NONE:
        f = w.each_phase[i]
        f.refusals += 1
        if denied or f.refusals >= w.largest_filings:
            p = w.projects[f.project]
            if p.stamp != w.stamp:
                p.stamp = w.stamp
                w.worse[count] = p.id
                count += 1
        i = f.wait_next
    for n in range(count):
        reconsider(w, w.projects[w.worse[n]], rule, Stage.LICENCE_REVIEW)


# ---------------------------------------------------------------------- machinery


@inner
def work(w: Any, p: Any, stage: int, timed: int, do: int) -> None:
    """Time passes because something is being done."""
    mark(w, p, stage, Mark.START, -1, p.market, 0)
    at(w, w.now + length(w, p, timed), Order.COMPLETION, p, stage, do)


@inner
def work_phase(w: Any, f: Any, stage: int, timed: int) -> None:
    """The same for a phase."""
    p = w.projects[f.project]
    mark_phase(w, f, stage, Mark.START, -1, p.market, 0)
    at_phase(w, w.now + length(w, p, timed), Order.COMPLETION, f, stage, Do.FILL)


@inner
def length(w: Any, p: Any, timed: int) -> int:
    """Ticks a timed stage takes for this project, if it begins now."""
    ticks = w.median[timed, p.market] * w.spread[p.root, timed] >> FACTOR_BITS
    ticks = ticks * w.route_factor[p.route, timed] >> FACTOR_BITS
    if timed == Timed.INTERCONNECTION:
        ticks = ticks * w.luck_power[year(w), p.country] >> FACTOR_BITS
        return max(ticks - w.interconnection_lead, 0)
    if timed == Timed.CONSTRUCTION:
        return ticks * w.luck_construction[year(w), p.country] >> FACTOR_BITS
    return ticks


@inner
def record_chips(w: Any, company: int, what: int, item: int, chips: int) -> None:
    """Write a movement of a company's chips to the log."""
    write(w, -1 - company, 0, 0, Stage.CHIPS, what, -1, item, chips)


@inner
def interrupt_build(w: Any, p: Any) -> None:
    """The site is given up while its shell was being built."""
    if p.build_at == At.PERMITTING:
        mark(w, p, Stage.PERMITTING, Mark.HALTED, -1, p.market, 0)
    elif p.build_at == At.CREWS:
        mark(w, p, Stage.CREWS, Mark.HALTED, -1, p.market, 0)
    elif p.build_at == At.CONSTRUCTION:
        mark(w, p, Stage.CONSTRUCTION, Mark.HALTED, -1, p.market, 0)
    elif p.build_at == At.FIT_OUT:
        mark(w, p, Stage.FIT_OUT, Mark.HALTED, -1, p.market, 0)
    p.build_at = At.OVER


@inner
def interrupt_fill(w: Any, f: Any) -> None:
    """The phase is given up."""
    if f.at == At.SECURITY:
        mark_phase(w, f, Stage.SECURITY, Mark.HALTED, -1, w.projects[f.project].country, 0)
    elif f.at == At.CHIPS:
        mark_phase(w, f, Stage.CHIPS, Mark.HALTED, -1, f.wait_pool, 0)
    f.at = At.OVER


@inner
def handle(w: Any, do: int, a: int, b: int) -> None:
    """Do what an alarm was set for."""
    if do == Do.FILL:
        f = w.each_phase[a]
        if f.at != At.OVER:
            fill(w, f)
    elif do == Do.BUILD:
        p = w.projects[a]
        if p.build_at != At.OVER:
            build(w, p)
    elif do == Do.CONNECT:
        p = w.projects[a]
        if p.connecting != At.OVER:
            connect(w, p)
    elif do == Do.CONSIDERED:
        w.accounts[a, b].soon = 0
        consider(w, w.accounts[a, b])
    elif do == Do.ASK_FIRST:
        ask_first(w, w.each_phase[a])
    elif do == Do.PATIENCE_ENDS:
        patience_ends(w, w.each_phase[a])
    elif do == Do.SERVE:
        serve(w, a, b)
    elif do == Do.POWER_IS_LATE:
        power_is_late(w, w.projects[a])
    elif do == Do.GRID_COMES:
        grid_comes(w, w.projects[a])
    elif do == Do.CONNECTED:
        connected(w, a)
    elif do == Do.PLAN:
        develop(w, w.projects[a])
    elif do == Do.DEVELOP:
        found(w, w.projects[a])
    elif do == Do.BRIDGE_COMES:
        bridge_comes(w, w.projects[a])
    elif do == Do.CONSIDER:
        consider(w, w.accounts[a, b])
    elif do == Do.LAPSE:
        lapse(w, w.accounts[a, b])
    elif do == Do.DECIDE:
        decide(w, w.accounts[a, b])
    elif do == Do.NATIONAL_DECIDED:
        national_decided(w, w.accounts[a // w.countries, a % w.countries], b)
    elif do == Do.CLASSIFIED:
        classification_done(w, a, b)
    elif do == Do.SEND_AHEAD:
        send_ahead(w)
    elif do == Do.MONTHS:
        months(w, a)
    elif do == Do.LAW_CHANGES:
        law_changes(w, a)
    elif do == Do.OTHERS_QUEUE:
        others_queue(w, a)
    elif do == Do.CREWS_GROW:
        crews_grow(w, a)
    elif do == Do.OTHER_IMPORTERS:
        other_importers(w, a)
    elif do == Do.AUTHORISATIONS:
        authorisations(w, a)
    elif do == Do.FRAMEWORKS:
        frameworks(w, a)
    elif do == Do.REAL_GRANTS:
        real_grants(w, a)


@inner
def settle(w: Any) -> None:
    """What follows at once: beginnings and interruptions first, then events, each in the order it came."""
    while True:
        if w.urgent_head < w.urgent_tail:
            one = w.urgent[w.urgent_head]
            w.urgent_head += 1
            do, a = one.do, one.a
            if do == Do.CONNECT:
                connect(w, w.projects[a])
            elif do == Do.BUILD:
                build(w, w.projects[a])
            elif do == Do.FILL:
                fill(w, w.each_phase[a])
            elif do == Do.INTERRUPT_CONNECT:
                w.projects[a].connecting = At.OVER
            elif do == Do.INTERRUPT_BUILD:
                interrupt_build(w, w.projects[a])
            elif do == Do.INTERRUPT_FILL:
                interrupt_fill(w, w.each_phase[a])
        elif w.normal_head < w.normal_tail:
            one = w.normal[w.normal_head]
            w.normal_head += 1
            happened(w, one.do, one.a, one.b)
        else:
            break
    w.urgent_head = w.urgent_tail = w.normal_head = w.normal_tail = 0


@inner
def happened(w: Any, do: int, a: int, b: int) -> None:
    """An event: whoever waits for it goes on."""
    if do == Do.GO:
        f = w.each_phase[a]
        if b == f.goes:
            f.go = 2
        if f.at == At.GO and f.waits_for == b:
            f.at = At.CHECKS
            fill(w, f)
    elif do == Do.PASSED:
        f = w.each_phase[a]
        if f.at == At.CLEARANCE and f.waits_for == b:
            fill(w, f)
    elif do == Do.GRANTED:
        f = w.each_phase[a]
        if f.at == At.CHIPS:
            fill(w, f)
    elif do == Do.SITE:
        f = w.each_phase[a]
        if f.at == At.SITE:
            fill(w, f)
    elif do == Do.FIRST_POWER:
        p = w.projects[a]
        if p.connecting == At.POWER:
            connect(w, p)
    elif do == Do.HALT_ENDS:
        p = w.projects[a]
        if p.build_at == At.REFUSED and p.build_halt == b:
            build(w, p)
    elif do == Do.HIRED:
        p = w.projects[a]
        if p.build_at == At.CREWS and p.hirings == b:
            build(w, p)


@inner
def begin(w: Any) -> None:
    """The calendar and the plans, in the order in which the model starts them."""
    begin_law_changes(w, 1)
    alarm(w, -w.under_way_ticks, rank(Order.RELEASE, 0, 0, 0, 0), Do.MONTHS, -1, 0)
    begin_others_queue(w, 0)
    begin_crews_grow(w, 1)
    begin_other_importers(w, 0)
    begin_authorisations(w, 0)
    begin_frameworks(w, 0)
    begin_real_grants(w, 0)
    for root in range(w.roots):
        mw16 = 0
        for i in range(w.phases[root]):
            mw16 += w.phase_mw16[root, i]
        p = new_project(w, root, 0, w.planned[root], w.company[root], w.vendor[root], w.route[root], 0, mw16)
        w.count_projects += 1
        plan(w, p)
    for k in range(w.companies):
        for c in range(w.countries):
            w.owned_total[k] += w.owned[k, c]
    add_up(w)


@jit
def play(given: Any) -> Any:
    """One replication to the horizon: the event log, and how many alarms went off. `given`: `packing.Given`."""
    w = new_world()
    take(w, given)
    lay_out(w)
    begin(w)
    while True:
        i = next_alarm(w)
        if i == NONE:
            break
        one = w.alarm[i]
        do, a, b = one.do, one.a, one.b
        one.next = w.free_alarm
        w.free_alarm = i
        handle(w, do, a, b)
        settle(w)
    return w.log[: w.rows], w.events
