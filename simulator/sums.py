"""Loops of the metrics that run over every row of a log or every phase, compiled: what they mean is said where they are called.

Amounts are added in the order in which they are given, so that results are the same to the last bit wherever they are added up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.jit import jit
from simulator.units import TICK_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.draws import Floats
    from simulator.events import Log
    from simulator.static import Ints

NEVER = np.iinfo(np.int64).max
TICK, RULE, POOL, QUANTITY = range(4)
"""What of a row of the log is kept"""
LAST, FIRST, OF_FIRST_PHASE = range(3)
"""Which row counts where there are several: the last, the first, the last of those of a site's first phase"""


# ---- the log ----------------------------------------------------------------------------------------------------------------


@jit
def columns(log: Log, hops: int, phases: int, stages: int, codes: int) -> tuple[Ints, ...]:
    """Tick, root, unit, rule, pool, quantity by row; rows in order of mark and stage, and where each of these begins."""
    n = len(log)
    ticks, roots, hop, part, rules, pools = log["tick"], log["root"], log["hop"], log["phase"], log["rule"], log["pool"]
    quantities, marks, stage = log["quantity"], log["mark"], log["stage"]
    tick, root, unit = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    rule, pool, quantity = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    order, bounds = np.empty(n, np.int64), np.zeros(codes + 2, np.int64)
    for i in range(n):
        tick[i], root[i], rule[i], pool[i], quantity[i] = ticks[i], roots[i], rules[i], pools[i], quantities[i]
        unit[i] = (root[i] * hops + hop[i]) * phases + part[i]
        bounds[marks[i] * stages + stage[i] + 2] += 1
    for code in range(1, codes + 2):
        bounds[code] += bounds[code - 1]
    for i in range(n):  # afterwards each bound has moved to where the next code begins
        code = marks[i] * stages + stage[i] + 1
        order[bounds[code]] = i
        bounds[code] += 1
    return tick, root, unit, rule, pool, quantity, order, bounds[: codes + 1]


@jit
def keep(
    table: Ints, fields: Ints, order: Ints, bounds: Ints, unit: Ints, place: Ints, tick: Ints, rule: Ints, pool: Ints, quantity: Ints,
    phases: int,
) -> None:  # fmt: skip
    """Fill `table` (fields, things) from the rows of each field's code; `fields` (F, 3): code, what is kept, which row counts.

    `place` says which thing a unit is, negative if none; without any, a thing is the site of a unit.
    """
    for field in range(len(fields)):
        code, what, which = fields[field]
        for i in range(bounds[code], bounds[code + 1]):
            row = order[i]
            if unit[row] < 0:
                continue
            thing = place[unit[row]] if len(place) > 0 else unit[row] // phases
            if thing < 0 or (which == FIRST and table[field, thing] < NEVER) or (which == OF_FIRST_PHASE and unit[row] % phases):
                continue
            value = tick[row]
            if what == RULE:
                value = rule[row]
            elif what == POOL:
                value = pool[row]
            elif what == QUANTITY:
                value = quantity[row]
            table[field, thing] = value


@jit
def turns(
    codes: Ints, values: Ints, order: Ints, bounds: Ints, unit: Ints, place: Ints, tick: Ints, things: int
) -> tuple[Ints, Ints, Ints, Ints]:  # fmt: skip
    """Rows with one of some codes in order of the thing they are of, and of the log: thing, row, the value of the row's code, and the
    tick of the thing's next such row, NEVER if there is none."""
    what, starts, n = np.full(len(tick), -1, np.int8), np.zeros(things + 1, np.int64), 0
    for code in range(len(codes)):
        for i in range(bounds[codes[code]], bounds[codes[code] + 1]):
            row = order[i]
            if unit[row] >= 0 and place[unit[row]] >= 0:
                what[row] = code
                starts[place[unit[row]] + 1] += 1
                n += 1
    for thing in range(things):
        starts[thing + 1] += starts[thing]
    first = starts.copy()
    thing_of, rows, value, end = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64), np.full(n, NEVER)
    for row in range(len(what)):
        if what[row] >= 0:
            thing = place[unit[row]]
            at = starts[thing]
            thing_of[at], rows[at], value[at] = thing, row, values[what[row]]
            starts[thing] += 1
            if at > first[thing]:
                end[at - 1] = tick[row]
    return thing_of, rows, value, end


@jit
def sizes(
    sites: Ints, hops: int, phases: Ints, phase_mw16: Ints, vendor: Ints, left: NDArray[np.bool_], switched: Ints, vendors: Ints
) -> tuple[Ints, Ints]:  # fmt: skip
    """(S, PHASES) size and vendor of each phase of the planned sites: see `lives._phases_of`."""
    most = left.shape[1]
    row_of = np.full(len(left), -1, np.int64)
    size, taken = np.zeros((len(sites), most), np.int64), np.zeros((len(sites), most), np.int64)
    last = 0
    for s in range(len(sites)):
        row_of[sites[s]] = s
        last = max(last, sites[s] % hops)
    for hop in range(last + 1):
        for s in range(len(sites)):
            root = sites[s] // hops
            if sites[s] % hops != hop:
                continue
            if hop == 0:
                for f in range(most):
                    size[s, f] = phase_mw16[root, f] if f < phases[root] else 0
                    taken[s, f] = vendor[root]
                continue
            before, n, first = row_of[sites[s] - 1], 0, 0
            for f in range(most):
                if size[before, f] > 0 and not left[sites[before], f]:
                    if n == 0:
                        first = f
                    size[s, n] = size[before, f]
                    n += 1
            for f in range(most):
                taken[s, f] = taken[before, first]
        for i in range(len(switched)):
            unit = switched[i]
            if unit // most % hops == hop:
                taken[row_of[unit // most], unit % most] = vendors[i]
    return size, taken


# ---- running totals at month ends -------------------------------------------------------------------------------------------


@jit
def add(
    table: Floats, tick: Ints, company: Ints, country: Ints, amount: Floats, column: Ints, month_of_day: Ints, since: bool, sign: float
) -> None:  # fmt: skip
    """Add amounts to a table (months + 1, companies, places) in the month of their tick; the last one is for what never happens.

    `since` puts what was before the start there as well. `column` of each country. `sign` multiplies.
    """
    last = len(month_of_day) - 1
    for i in range(len(tick)):
        day = min(max(tick[i] >> TICK_BITS, 0), last)
        month = month_of_day[last if since and tick[i] < 0 else day]
        table[month, company[i], column[country[i]]] += sign * amount[i]


@jit
def add_by_line(
    table: Floats, line: Ints, tick: Ints, company: Ints, country: Ints, amount: Floats, column: Ints, month_of_day: Ints
) -> None:  # fmt: skip
    """The same for a table (lines, ...); each amount belongs to a line."""
    last = len(month_of_day) - 1
    for i in range(len(tick)):
        month = month_of_day[min(max(tick[i] >> TICK_BITS, 0), last)]
        table[line[i], month, company[i], column[country[i]]] += amount[i]


@jit
def cumulated(table: Floats) -> Floats:
    """(lines, months, companies, places) running totals of a table with a month more."""
    lines, months, companies, places = table.shape
    found = np.empty((lines, months - 1, companies, places))
    for line in range(lines):
        for k in range(companies):
            for place in range(places):
                found[line, 0, k, place] = table[line, 0, k, place]
        for month in range(1, months - 1):
            for k in range(companies):
                for place in range(places):
                    found[line, month, k, place] = found[line, month - 1, k, place] + table[line, month, k, place]
    return found


@jit
def run_up(
    table: Floats, begin: Ints, end: Ints, company: Ints, country: Ints, a_day: Floats, column: Ints, month_of_day: Ints, ends: bool
) -> None:  # fmt: skip
    """Add what runs up by the day between two ticks to a table (2, months + 1, companies, places): its rate, and the rate times the
    day it begins. A first call adds beginnings, a second one, `ends`, takes the ends off again."""
    last = len(month_of_day) - 1
    horizon, a_tick = last << TICK_BITS, 1.0 / (1 << TICK_BITS)
    for i in range(len(begin)):
        first = min(max(begin[i], 0), horizon)
        final = min(max(end[i], first), horizon)
        if first < final:
            k, place, rate = company[i], column[country[i]], a_day[i]
            if ends:
                month = month_of_day[final >> TICK_BITS]
                table[0, month, k, place] += -rate
                table[1, month, k, place] += -rate * (final * a_tick)
            else:
                month = month_of_day[first >> TICK_BITS]
                table[0, month, k, place] += rate
                table[1, month, k, place] += rate * (first * a_tick)


@jit
def run_out(table: Floats, ends: Floats) -> Floats:
    """(lines, months, companies, places) running totals at month ends (days) of tables (lines, 2, ...) filled by `run_up`."""
    lines, _, months, companies, places = table.shape
    found = np.empty((lines, months - 1, companies, places))
    for line in range(lines):
        for k in range(companies):
            for place in range(places):
                rate = moved = most = 0.0
                for month in range(months - 1):
                    if month == 0:
                        rate, moved = table[line, 0, 0, k, place], table[line, 1, 0, k, place]
                    else:
                        rate += table[line, 0, month, k, place]
                        moved += table[line, 1, month, k, place]
                    total = ends[month] * rate - moved
                    # Rounding must not make what has run up fall again; what is not known stays so.
                    if not most >= total and most == most:
                        most = total
                    found[line, month, k, place] = most
    return found


# ---- campuses, and how long it takes ----------------------------------------------------------------------------------------


@jit
def founders(order: Ints, expands: NDArray[np.bool_], pair: Ints, pairs: int, mw16: Ints, most: Ints, found: Ints) -> None:
    """Write into `found` the site that founded the campus each site joins; see `campuses.campuses`. `order`: of the plans."""
    head, tail = np.full(pairs, -1), np.full(pairs, -1)
    follows, room = np.full(len(found), -1), np.zeros(len(found), np.int64)
    for site in order:
        here = pair[site]
        if expands[site]:
            one = head[here]
            while one >= 0 and room[one] < mw16[site]:
                one = follows[one]
            if one >= 0:
                found[site] = one
                room[one] -= mw16[site]
                continue
        room[site] = most[site] - mw16[site]
        if room[site] > 0:
            if head[here] < 0:
                head[here] = site
            else:
                follows[tail[here]] = site
            tail[here] = site


@jit
def reached(group: Ints, amount: Floats, threshold: float) -> Ints:
    """Where amounts, in order of group and time, first add up to a threshold within each group that gets there."""
    found, n = np.empty(len(group), np.int64), 0
    total = before = 0.0
    done = False
    for i in range(len(group)):
        total += amount[i]
        if i == 0 or group[i] != group[i - 1]:
            before, done = max(before, total - amount[i]), False
        if not done and total - before >= threshold:
            found[n] = i
            n, done = n + 1, True
    return found[:n]


@jit
def incidence(online: NDArray[np.bool_], leaves: NDArray[np.bool_], among: NDArray[np.bool_], shares: Floats) -> Ints:
    """(groups, shares) which of some lineages, in order of time, makes the incidence of being online reach each share in each group;
    -1 if none does. `among` (groups, lineages). Aalen-Johansen estimate; see `timeline.incidence_months`."""
    groups, lineages = among.shape
    found = np.full((groups, len(shares)), -1)
    for group in range(groups):
        at_risk = 0
        for i in range(lineages):
            at_risk += among[group, i]
        surviving, total = 1.0, 0.0
        for i in range(lineages):
            if not among[group, i]:
                continue
            if online[i]:
                total += surviving / at_risk
                for share in range(len(shares)):
                    if found[group, share] < 0 and total >= shares[share]:
                        found[group, share] = i
            if leaves[i]:
                surviving *= 1 - 1 / at_risk
            at_risk -= 1
    return found
