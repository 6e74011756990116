"""Keyed chance at machine speed: what `simulator.draws` says of one draw, done for a hundred thousand at a time.

Compiled loops over arrays, each with the plain formula it stands for, whose result it has to the last bit. Logarithms and
exponentials stay with NumPy in `simulator.sampling`: their last bit depends on who computes them. Sums of floats are taken in
NumPy's order. Arrays are filled for the caller, who knows how long they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator import draws
from simulator.draws import BITS, FRACTION_BITS, ROUNDS, TABLE_BITS, Floats, Ints
from simulator.jit import inlined, jit, plain
from simulator.static import BARRED, PHASES, Route, Workload
from simulator.units import FACTOR_ONE, MW_SIXTEENTHS, SCORE_ONE, TICKS_PER_DAY

Keys = NDArray[np.uint64]

# Numbers as compiled code wants them: there, a signed and an unsigned integer meet as floats.
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32, _DROPPED, _TO_FLOAT = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(64 - BITS), np.uint64(64 - 52)
_CELL, _FRACTION = BITS - TABLE_BITS, BITS - TABLE_BITS - FRACTION_BITS
_ONES = (1 << FRACTION_BITS) - 1
_EXPANSION, _INFERENCE, _TRAINING = int(Route.EXPANSION), int(Workload.INFERENCE), int(Workload.TRAINING)

LANES, ROW = 8, 128
"""NumPy adds up to `ROW` floats that lie side by side in so many partial sums, and longer rows half by half."""


@inlined
def _block(seed: np.uint64, replication: np.uint64, entity: np.uint64, word: np.uint64) -> tuple[np.uint64, np.uint64]:
    # As `draws.philox`, but words carry bits above their 32 until these would count: there is no cheaper way to cut them off.
    k0, k1 = seed, seed >> _32
    x0, x1, x2, x3 = entity, entity >> _32, word, replication
    for _ in range(ROUNDS):
        p0, p1 = (x0 & _LOW) * _M0, (x2 & _LOW) * _M1
        x0, x1, x2, x3 = (p1 >> _32) ^ x1 ^ k0, p1, (p0 >> _32) ^ x3 ^ k1, p0
        k0, k1 = k0 + _W0, k1 + _W1
    return (x0 << _32) | (x1 & _LOW), (x2 << _32) | (x3 & _LOW)


@jit
def _pairs(seed: np.uint64, replication: np.uint64, entities: Keys, words: Keys, first: Ints, second: Ints) -> None:
    for i in range(len(entities)):
        one, other = _block(seed, replication, entities[i], words[i])
        first[i], second[i] = one >> _DROPPED, other >> _DROPPED


@jit
def _by_aspect(seed: np.uint64, replication: np.uint64, entities: Keys, words: Keys, out: Ints) -> None:
    for w in range(len(words)):
        for i in range(len(entities)):
            one, _ = _block(seed, replication, entities[i], words[w])
            out[w, i] = one >> _DROPPED


@jit
def _tastes(seed: np.uint64, replication: np.uint64, entities: Keys, words: Keys, out: Floats) -> None:
    for i in range(len(entities)):
        for w in range(len(words)):
            one, _ = _block(seed, replication, entities[i], words[w])
            out[i, w] = np.int64(one >> _TO_FLOAT) * 2.0**-52 + 2.0**-54


# Without a compiler a key at a time would take seconds; and so the tests know what to expect.


def pairs_plain(seed: np.uint64, replication: np.uint64, entities: Keys, words: Keys, first: Ints, second: Ints) -> None:
    """`draws.pair` of (entity, `draws.counter_word`), key by key, into `first` and `second`."""
    first[:], second[:] = draws.pair(int(seed), int(replication), entities, words)


def by_aspect_plain(seed: np.uint64, replication: np.uint64, entities: Keys, words: Keys, out: Ints) -> None:
    """(words, entities) `draws.bits` of every entity for every word."""
    out[:] = draws.bits(int(seed), int(replication), entities, words[:, None])


def tastes_plain(seed: np.uint64, replication: np.uint64, entities: Keys, words: Keys, out: Floats) -> None:
    """(entities, words) the draws of every entity for every word as floats inside (0, 1): those of `draws.uniform`, but for half a
    step of 2**-53."""
    out[:] = (draws.bits(int(seed), int(replication), entities[:, None], words) >> 10) * 2.0**-52 + 2.0**-54


pairs = pairs_plain if plain() else _pairs
by_aspect = by_aspect_plain if plain() else _by_aspect
tastes = tastes_plain if plain() else _tastes


@inlined
def _entry(table: Ints, whole: int) -> int:
    cell, fraction = whole >> _CELL, (whole >> _FRACTION) & _ONES
    return table[cell] + ((table[cell + 1] - table[cell]) * fraction >> FRACTION_BITS)


@jit
def fractions(whole: Ints, out: Floats) -> None:
    """`draws.uniform`."""
    for i in range(len(whole)):
        out[i] = ((whole[i] >> 10) + 0.5) * 2.0**-52


@jit
def lengths(logs: Floats, mean: float, most: float, out: Ints) -> None:
    """Exponential lengths from the logarithms of uniform numbers: -log x mean, rounded, `most` at the most."""
    for i in range(len(logs)):
        length = np.rint(-logs[i] * mean)
        out[i] = int(length if length < most else most)


@jit
def read(tables: Ints, whole: Ints, out: Ints) -> None:
    """`draws.look_up` row by row: tables (n, 1025), uniform integers and results (n, any)."""
    for row in range(len(tables)):
        table = tables[row]
        for i in range(whole.shape[1]):
            out[row, i] = _entry(table, whole[row, i])


@jit
def cut(
    seed: np.uint64,
    replication: np.uint64,
    word: np.uint64,
    keys: Keys,
    usual: Ints,
    table: Ints,
    bounds: tuple[float, float, float],
    due: Floats,
    found: int,
    out: Ints,
) -> int:
    """Cut megawatts that are due, cumulated (K, Q), into projects quarter by quarter: the size of ordinal i of a company and quarter
    is drawn under `keys` (K, Q, most), its first draws are at hand as `usual`. The last project takes what is left; less than the
    smallest is carried over. `bounds` is the median size, the smallest and the largest.

    Fills the columns of `out` from `found` on, by quarter, company and ordinal, with company, quarter, size and the place in `keys`;
    returns where they end.
    """
    median, smallest, largest = bounds
    companies, quarters, most = keys.shape
    carried, partial = np.zeros(companies), np.zeros((most // ROW, LANES))
    for q in range(quarters):
        for k in range(companies):
            room = due[k, q] - (due[k, q - 1] if q else 0.0) + carried[k]
            built, n = 0.0, 0
            while n < most:
                if n < usual.shape[2]:
                    whole = usual[k, q, n]
                else:
                    one, _ = _block(seed, replication, keys[k, q, n], word)
                    whole = np.int64(one >> _DROPPED)
                size = min(max(median * _entry(table, whole) / FACTOR_ONE, smallest), largest)
                if built + size > room:
                    break
                built += size
                partial[n // ROW, n % LANES] += size
                out[0, found], out[1, found], out[3, found] = k, q, (k * quarters + q) * most + n
                out[2, found] = int(np.rint(size * MW_SIXTEENTHS))
                found, n = found + 1, n + 1
            total = 0.0
            for row in range(most // ROW):
                for step in (1, 2, 4):
                    for lane in range(0, LANES, 2 * step):
                        partial[row, lane] += partial[row, lane + step]
                total += partial[row, 0]
                for lane in range(LANES):
                    partial[row, lane] = 0.0
            carried[k] = left = room - total
            if left >= smallest and n < most:
                carried[k] = 0.0
                out[0, found], out[1, found], out[3, found] = k, q, (k * quarters + q) * most + n
                out[2, found] = int(np.rint(left * MW_SIXTEENTHS))
                found += 1
    return found


@jit
def kinds(
    whole: Ints,
    company: Ints,
    quarter: Ints,
    shares: tuple[Floats, Floats, Floats],
    begins: tuple[Ints, Ints],
    out: Ints,
) -> None:
    """(4, n) vendor, route, workload and tick of the plan of each project, from its uniform integers for each of them.

    `shares` are those of vendors (K, V, Q) and of routes (K, Q, 4), to any sum, and that of inference (Q,); `begins` the first tick
    and the number of days of each quarter.
    """
    of_vendor, of_route, inference = shares
    vendors, routes = of_vendor.shape[1], of_route.shape[2]
    # The numbers below which a draw stands for each choice but the last; that one where all shares are zero.
    vendor_below = np.zeros((len(of_vendor), len(inference), vendors - 1), np.int64)
    route_below = np.zeros((len(of_vendor), len(inference), routes - 1), np.int64)
    for k in range(len(of_vendor)):
        for q in range(len(inference)):
            total, running = 0.0, 0.0
            for v in range(vendors):
                total += of_vendor[k, v, q]
            for v in range(vendors - 1):
                running += of_vendor[k, v, q]
                vendor_below[k, q, v] = int(running / total * 2.0**BITS) if total else 0
            total, running = 0.0, 0.0
            for r in range(routes):
                total += of_route[k, q, r]
            for r in range(routes - 1):
                running += of_route[k, q, r]
                route_below[k, q, r] = int(running / total * 2.0**BITS) if total else 0
    for i in range(len(company)):
        k, q = company[i], quarter[i]
        vendor, route = 0, 0
        for v in range(vendors - 1):
            vendor += whole[0, i] >= vendor_below[k, q, v]
        for r in range(routes - 1):
            route += whole[1, i] >= route_below[k, q, r]
        out[0, i], out[1, i] = vendor, route
        out[2, i] = _INFERENCE if whole[2, i] < int(inference[q] * 2.0**BITS) else _TRAINING
        out[3, i] = begins[0][q] + ((whole[3, i] >> 32) * begins[1][q] >> 30) * TICKS_PER_DAY  # a day of the quarter


@jit
def phases(
    route: Ints,
    sizes: Ints,
    drawn: tuple[Ints, Ints, Ints, Ints],
    intervals: Ints,
    to_it: float,
    least: float,
    single: float,
    tranches: tuple[int, int],
    campus_median: float,
    by_project: Ints,
    by_phase: Ints,
) -> None:
    """Projects cut into phases: (2, n) number of phases and size of the campus; (3, n, F) size, shell and power offset of each.

    `drawn` are first phase, increment and campus (multiplier) as read from their tables, and the uniform integers of the interval;
    `single` is how many first phases a project of several must hold, `tranches` the size and the interval of energisation.
    """
    tranche, between = tranches
    count, campus = by_project
    size, shell, power = by_phase
    for i in range(len(route)):
        step = int(np.rint(max(drawn[1][i] * to_it, least)))
        first = step if route[i] == _EXPANSION else int(np.rint(max(drawn[0][i] * to_it, least)))
        first = sizes[i] if sizes[i] < first * single else min(first, sizes[i])
        rest = sizes[i] - first
        later = min(max(int(np.rint(rest / step)), 1), PHASES - 1) if rest > 0 else 0
        interval = _entry(intervals[route[i]], drawn[3][i])
        before = 0
        for f in range(later + 1):
            mine = first if f == 0 else step if f < later else rest - (later - 1) * step
            size[i, f], power[i, f] = mine, before // tranche * between
            before += mine
        after = before // tranche * between
        for f in range(later + 1, PHASES):
            size[i, f], power[i, f] = 0, after
        for f in range(PHASES):
            shell[i, f] = interval * f
        count[i] = later + 1
        campus[i] = max(int(np.rint(campus_median * drawn[2][i])), sizes[i])


@jit
def expected(
    bought: Floats,
    pairs_bought: Ints,
    of_year: Ints,
    shipped: Floats,
    generation: Floats,
    vendor_of: Ints,
    chips: tuple[Floats, Floats, Floats],
    positions: Ints,
    chip_share: float,
    shares: Floats,
    mix: Floats,
    it_cost: Floats,
) -> None:
    """What a world gives companies to expect: shares of each vendor's output (K, V, quarters), never more than all of it; MW of IT of
    its chips (K, V, plan quarters); and USD for a MW of IT in that mix (K, plan quarters).

    `bought` (pairs, years) is the share each company takes of a vendor (`pairs_bought`), `of_year` the year of each quarter of
    supply, `generation` (A, quarters) each chip's share of its vendor's output in `shipped` (V, quarters, h100e). `chips` are watts,
    price and h100e of a chip, `positions` the quarter of supply of each plan quarter, `chip_share` that of chips in the cost of IT.
    """
    companies, vendors, quarters = shares.shape
    by_year = np.zeros((companies, vendors, bought.shape[1]))
    for i in range(len(pairs_bought)):
        for y in range(bought.shape[1]):
            by_year[pairs_bought[i, 0], pairs_bought[i, 1], y] = bought[i, y]
    watts, price = np.zeros((vendors, quarters)), np.zeros((vendors, quarters))
    for a in range(len(vendor_of)):
        per_h100e, per_watt = chips[0][a] / chips[2][a], chips[1][a] / chips[0][a]
        for s in range(quarters):
            watts[vendor_of[a], s] += generation[a, s] * per_h100e
            price[vendor_of[a], s] += generation[a, s] * per_h100e * per_watt
    for v in range(vendors):
        for s in range(quarters):
            total = 0.0
            for k in range(companies):
                total += by_year[k, v, of_year[s]]
            for k in range(companies):
                shares[k, v, s] = by_year[k, v, of_year[s]] / max(total, 1.0)
            price[v, s] = price[v, s] / max(watts[v, s], 1e-9) * 1e6 / chip_share
            watts[v, s] = shipped[v, s] * watts[v, s] / 1e6  # from here on MW of all chips
    for k in range(companies):
        for q in range(len(positions)):
            total = 0.0
            for v in range(vendors):
                mix[k, v, q] = shares[k, v, positions[q]] * watts[v, positions[q]]
                total += mix[k, v, q]
            cost = 0.0
            for v in range(vendors):
                cost += mix[k, v, q] / max(total, 1e-12) * price[v, positions[q]]
            it_cost[k, q] = cost


@jit
def deliveries(
    shares: Floats,
    shipped: Floats,
    generation: Floats,
    vendor_of: Ints,
    h100e: Floats,
    months: Ints,
    by_quarter: Floats,
    out: Ints,
) -> None:
    """Chips each company gets: as amounts by quarter of supply (K, A, quarters), and whole ones by month (T, K, A), a third of those
    of the month's quarter (`months`), that add up."""
    for k in range(len(shares)):
        for a in range(len(vendor_of)):
            v = vendor_of[a]
            for s in range(generation.shape[1]):
                by_quarter[k, a, s] = shares[k, v, s] * (shipped[v, s] * generation[a, s]) / h100e[a]
            running, before = 0.0, 0
            for t in range(len(months)):
                running += by_quarter[k, a, months[t]] / 3
                total = int(np.floor(running))
                out[t, k, a], before = total - before, total


@jit
def stocks(
    by_quarter: Floats,
    past: int,
    late_quarters: float,
    h100e: Floats,
    group_of: Ints,
    held: Floats,
    waiting: Floats,
    footprint: Floats,
    out: Ints,
    fleet: Ints,
) -> None:
    """Chips on the first day: (2, K, A) in stock and under way, (K, C, A) running.

    `past` is the number of quarters of supply before it. What is `held` of each group of makers (K, groups, h100e) was received in
    these quarters; a share of the last four quarters' chips is `waiting`, what came in the last `late_quarters` is under way, and
    the rest stands where the company's `footprint` (K, C) is.
    """
    chips = len(h100e)
    received, in_group = np.zeros(chips), np.zeros(held.shape[1])
    for k in range(len(by_quarter)):
        for g in range(held.shape[1]):
            in_group[g] = 0.0
        for a in range(chips):
            total = 0.0
            for s in range(past):
                total += by_quarter[k, a, s]
            received[a] = total * h100e[a]
            in_group[group_of[a]] += received[a]
        for a in range(chips):
            recent = 0.0
            for s in range(max(past - 4, 0), past):
                recent += by_quarter[k, a, s]
            group = in_group[group_of[a]]
            scale = held[k, group_of[a]] / max(group, 1e-9) if group > 0 else 0.0
            kept = received[a] * scale / h100e[a]
            stock = min(int(np.floor(recent * waiting[k])), int(np.floor(kept)))  # what waits is part of what is held
            under_way = int(np.floor(min(by_quarter[k, a, past - 1] * late_quarters, kept - stock)))
            running = kept - stock - under_way
            out[0, k, a], out[1, k, a] = stock, under_way
            for c in range(footprint.shape[1]):
                fleet[k, c, a] = int(np.floor(footprint[k, c] * running))


@jit
def whole_amounts(amounts: Floats, out: Ints) -> None:
    """(T, n) amounts as whole numbers that add up: differences of the running total (first axis), rounded down."""
    running, before = np.zeros(amounts.shape[1]), np.zeros(amounts.shape[1], np.int64)
    for t in range(len(amounts)):
        for i in range(amounts.shape[1]):
            running[i] += amounts[t, i]
            total = int(np.floor(running[i]))
            out[t, i], before[i] = total - before[i], total


@jit
def scores(
    logs: Floats, utility: Floats, workload: Ints, company: Ints, scale: float, closed: NDArray[np.bool_], out: Ints
) -> None:
    """(n, M) scores of markets: utility (workload, company, M) and `scale` times a standard Gumbel number, whose negative is
    `logs`."""
    for i in range(len(out)):
        of = utility[workload[i], company[i]]
        for m in range(out.shape[1]):
            score = int(np.rint((of[m] + scale * -logs[i, m]) * SCORE_ONE))
            out[i, m] = BARRED if closed[m] else score
