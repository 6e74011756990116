"""What is compiled is the plain formula, to the last bit: every loop against NumPy, or against the definition in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulator import draws, streams
from simulator.draws import BITS, Aspect, Floats, Ints, counter_word, entity_key, look_up, market_aspect, spread_table, uniform
from simulator.static import BARRED, PHASES, Route, Workload
from simulator.units import FACTOR_ONE, MW_SIXTEENTHS, SCORE_ONE, TICKS_PER_DAY

SEEDS = st.integers(0, 2**64 - 1)
REPLICATIONS = st.integers(0, 2**32 - 1)
ENTITIES = st.lists(st.integers(0, 2**64 - 1), max_size=40).map(lambda numbers: np.array(numbers, dtype=np.uint64))
ASPECTS = [Aspect.SIZE, Aspect.REFILE, market_aspect("here"), market_aspect("there"), Aspect.DEAL_TIME]
ATTEMPTS = [0, 1, 0, 0, 63]
WORDS = counter_word(ASPECTS, ATTEMPTS)


def some(n: int, *of: int, seed: int = 5) -> Ints:
    """Uniform integers, the two ends among them."""
    found = draws.bits(seed, 0, np.arange(n), Aspect.SIZE)
    found[: min(2, n)] = [0, 2**BITS - 1][: min(2, n)]
    return found.reshape(of or (n,))


# ------------------------------------------------------------------ keyed chance


@settings(deadline=None)
@given(SEEDS, REPLICATIONS, ENTITIES, st.data())
def test_pairs_are_those_of_the_plain_generator(
    seed: int, replication: int, entities: NDArray[np.uint64], data: st.DataObject
) -> None:
    words = np.array([data.draw(st.sampled_from(WORDS.tolist())) for _ in entities], dtype=np.uint64)
    first, second = np.full((2, len(entities)), -1)
    streams.pairs(np.uint64(seed), np.uint64(replication), entities, words, first, second)
    wanted = draws.pair(seed, replication, entities, words)
    assert first.tolist() == wanted[0].tolist()
    assert second.tolist() == wanted[1].tolist()


@settings(deadline=None)
@given(SEEDS, REPLICATIONS, ENTITIES)
def test_draws_of_many_aspects_are_those_of_each(seed: int, replication: int, entities: NDArray[np.uint64]) -> None:
    keys = np.uint64(seed), np.uint64(replication), entities, WORDS
    found, wanted = np.full((2, len(WORDS), len(entities)), -1)
    streams.by_aspect(*keys, found)
    streams.by_aspect_plain(*keys, wanted)
    assert (found == wanted).all()
    for row, aspect, attempt in zip(wanted, ASPECTS, ATTEMPTS, strict=True):
        assert row.tolist() == draws.bits(seed, replication, entities, aspect, attempt).tolist()


@settings(deadline=None)
@given(SEEDS, REPLICATIONS, ENTITIES)
def test_tastes_are_the_upper_bits_of_each_draw(seed: int, replication: int, entities: NDArray[np.uint64]) -> None:
    keys = np.uint64(seed), np.uint64(replication), entities, WORDS
    found, wanted = np.full((2, len(entities), len(WORDS)), np.nan)
    streams.tastes(*keys, found)
    streams.tastes_plain(*keys, wanted)
    assert (found == wanted).all()
    assert ((found > 0) & (found < 1)).all()
    plain = uniform(draws.bits(seed, replication, entities[:, None], WORDS))
    assert np.abs(found - plain).max(initial=0.0) <= 2.0**-53


# ------------------------------------------------------------------ tables and lengths


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000])
def test_tables_are_read_as_one_by_one(n: int) -> None:
    tables = np.stack([spread_table(0.0), spread_table(0.4), spread_table(1.5) * 7919])
    whole, found = some(3 * n, 3, n), np.full((3, n), -1)
    streams.read(tables, whole, found)
    for row in range(3):
        assert found[row].tolist() == look_up(tables[row], whole[row]).tolist()


def test_fractions_are_uniform_numbers_and_lengths_follow_their_logarithms() -> None:
    whole = some(5000)
    found = np.empty(len(whole))
    streams.fractions(whole, found)
    assert (found == uniform(whole)).all()
    logs = np.log(found)
    for mean, most in ((1e-3, 1e18), (float(FACTOR_ONE), 1e18), (3.7e9, 1e10), (4e17, float(2**50))):
        drawn = np.empty(len(whole), dtype=np.int64)
        streams.lengths(logs, mean, most, drawn)
        assert (drawn == np.minimum(np.rint(-logs * mean), most).astype(np.int64)).all()
        assert drawn.max() <= most


@pytest.mark.parametrize("shape", [(1, 1), (96, 1), (5, 13)])
def test_whole_amounts_add_up(shape: tuple[int, int]) -> None:
    amounts = uniform(some(shape[0] * shape[1], *shape)) * 3.3
    found = np.full(shape, -1)
    streams.whole_amounts(amounts, found)
    assert (np.cumsum(found, axis=0) == np.floor(np.cumsum(amounts, axis=0))).all()


# ------------------------------------------------------------------ projects

USUAL, MOST = 48, 256
KEYS = np.array(
    [[[entity_key(f"{k}/{q}/{i}") for i in range(MOST)] for q in range(5)] for k in range(3)],
    dtype=np.uint64,
)


def cut_by_array(spread: Ints, bounds: tuple[float, float, float], due: Floats) -> list[tuple[int, int, int, int]]:
    """A quarter at a time: sizes of all ordinals, those that fit whole, and one project for what is left."""
    median, smallest, largest = bounds
    carried, rows = np.zeros(len(due)), []
    for q in range(due.shape[1]):
        room = due[:, q] - (due[:, q - 1] if q else 0.0) + carried
        size = np.clip(median * look_up(spread, draws.bits(9, 4, KEYS[:, q], Aspect.SIZE)) / FACTOR_ONE, smallest, largest)
        whole = np.cumsum(size, axis=1) <= room[:, None]
        built = np.where(whole, size, 0.0)
        left, last = room - built.sum(axis=1), whole.sum(axis=1)
        fits = (left >= smallest) & (last < MOST)
        built[np.nonzero(fits)[0], last[fits]] = left[fits]
        carried = np.where(fits, 0.0, left)
        rows += [
            (k, q, int(np.rint(built[k, i] * MW_SIXTEENTHS)), (k * due.shape[1] + q) * MOST + i)
            for k, i in zip(*(axis.tolist() for axis in np.nonzero(built)), strict=True)
        ]
    return rows


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.0, 9000.0), min_size=5, max_size=5), min_size=3, max_size=3),
    st.floats(0.05, 1.2),
    st.floats(5.0, 90.0),
    st.floats(0.5, 12.0),
)
def test_plans_are_cut_as_by_whole_arrays(due: list[list[float]], log_sd: float, median: float, smallest: float) -> None:
    spread, bounds, wanted = spread_table(log_sd), (median, smallest, 400.0), np.cumsum(due, axis=1)
    usual = draws.bits(9, 4, KEYS[:, :, :USUAL], Aspect.SIZE)
    out = np.full((4, 2 + KEYS.size), -1)
    count = streams.cut(np.uint64(9), np.uint64(4), np.uint64(Aspect.SIZE), KEYS, usual, spread, bounds, wanted, 2, out)
    assert [tuple(column) for column in out[:, 2:count].T.tolist()] == cut_by_array(spread, bounds, wanted)
    assert (out[:, :2] == -1).all()
    assert (out[:, count:] == -1).all()


def test_a_quarter_may_plan_more_than_the_usual_number_and_no_more_than_can_be_named() -> None:
    spread, bounds = spread_table(0.3), (10.0, 2.0, 30.0)
    due = np.cumsum([[700.0, 1500.0, 0.0, 9000.0, 0.0], [0.0] * 5, [300.0, 1.0, 1.0, 1.0, 5.0]], axis=1)
    rows = cut_by_array(spread, bounds, due)
    many = [sum(k == 0 and q == quarter for k, q, _, _ in rows) for quarter in range(5)]
    assert USUAL < many[0] < 128 < many[1] < MOST
    assert many[3] == MOST
    assert many[4] == MOST  # what was too much for one quarter
    out = np.full((4, KEYS.size), -1)
    usual = draws.bits(9, 4, KEYS[:, :, :USUAL], Aspect.SIZE)
    count = streams.cut(np.uint64(9), np.uint64(4), np.uint64(Aspect.SIZE), KEYS, usual, spread, bounds, due, 0, out)
    assert [tuple(column) for column in out[:, :count].T.tolist()] == rows


def test_what_is_left_is_the_remainder_of_the_sum_that_numpy_takes() -> None:
    # Room for m projects and just the smallest one: whether it is founded hangs on the last bit of the sum of the others.
    spread, smallest = spread_table(0.9), 3.7
    size = np.clip(20.0 * look_up(spread, draws.bits(9, 4, KEYS[:, 0], Aspect.SIZE)) / FACTOR_ONE, smallest, 400.0)
    usual = draws.bits(9, 4, KEYS[:, :, :USUAL], Aspect.SIZE)
    founded, otherwise = 0, 0
    for m in range(9, 250):
        built = np.where(np.arange(MOST) < m, size, 0.0).sum(axis=1)
        due = np.repeat((built + smallest)[:, None], 5, axis=1)
        out = np.full((4, KEYS.size), -1)
        count = streams.cut(
            np.uint64(9), np.uint64(4), np.uint64(Aspect.SIZE), KEYS, usual, spread, (20.0, smallest, 400.0), due, 0, out
        )
        assert [tuple(column) for column in out[:, :count].T.tolist()] == cut_by_array(spread, (20.0, smallest, 400.0), due)
        founded += count
        otherwise += int((built != np.cumsum(size[:, :m], axis=1)[:, -1]).sum())
    assert founded > 0
    assert otherwise > 100  # one by one, other bits come out


def test_kinds_follow_the_shares_of_company_and_quarter() -> None:
    n, companies, quarters, vendors = 3000, 3, 4, 5
    company, quarter = np.arange(n) % companies, np.arange(n) // 7 % quarters
    of_vendor = uniform(some(companies * vendors * quarters, companies, vendors, quarters, seed=1))
    of_route = uniform(some(companies * quarters * 4, companies, quarters, 4, seed=2))
    of_vendor[0, :, 1], of_route[1, 2] = 0.0, 0.0  # nobody sells, no route is stated: the last choice
    of_vendor[2, 3:, 0] = 0.0
    inference = np.array([0.0, 0.25, 0.75, 1.0])
    first, days = np.array([-5, 0, 5, 10]) * TICKS_PER_DAY, np.array([90, 91, 92, 92])
    whole = np.stack([some(n, seed=seed) for seed in range(11, 15)])
    found = np.full((4, n), -1)
    streams.kinds(whole, company, quarter, (of_vendor, of_route, inference), (first, days), found)

    with np.errstate(invalid="ignore"):
        total = np.cumsum(of_vendor[company, :, quarter], axis=1)
        below = np.nan_to_num(total / total[:, -1:]) * 2.0**BITS
        vendor = np.minimum((whole[0][:, None] >= below.astype(np.int64)).sum(axis=1), vendors - 1)
        total = np.cumsum(of_route[company, quarter], axis=1)
        below = np.nan_to_num(total / total[:, -1:]) * 2.0**BITS
        route = np.minimum((whole[1][:, None] >= below.astype(np.int64)).sum(axis=1), len(Route) - 1)
    assert found[0].tolist() == vendor.tolist()
    assert found[1].tolist() == route.tolist()
    assert set(vendor[(company == 0) & (quarter == 1)].tolist()) == {vendors - 1}
    wanted = np.where(whole[2] < (inference * 2.0**BITS).astype(np.int64)[quarter], Workload.INFERENCE, Workload.TRAINING)
    assert found[2].tolist() == wanted.tolist()
    day = (whole[3] >> 32) * days[quarter] >> 30  # a product of 62 bits would not fit
    assert found[3].tolist() == (first[quarter] + day * TICKS_PER_DAY).tolist()
    assert (found[3] - first[quarter] < days[quarter] * TICKS_PER_DAY).all()
    assert set(day[:2].tolist()) == {0, days[0] - 1}


def phases_by_array(
    route: Ints, sizes: Ints, drawn: tuple[Ints, ...], intervals: Ints, to_it: float, least: float, single: float, tranche: int,
    between: int, campus_median: float,
) -> dict[str, Ints]:  # fmt: skip
    """All projects at once."""
    step = np.rint(np.maximum(drawn[1] * to_it, least)).astype(np.int64)
    first = np.where(route == Route.EXPANSION, step, np.rint(np.maximum(drawn[0] * to_it, least)).astype(np.int64))
    first = np.where(sizes < first * single, sizes, np.minimum(first, sizes))
    rest = sizes - first
    later = np.where(rest > 0, np.clip(np.rint(rest / step), 1, PHASES - 1), 0).astype(np.int64)
    f = np.arange(PHASES)
    phase = np.where(f < later[:, None], step[:, None], 0)
    phase[:, 0] = first
    at = np.nonzero(later)[0]
    phase[at, later[at]] = (rest - np.maximum(later - 1, 0) * step)[at]
    interval = np.choose(route, [look_up(table, drawn[3]) for table in intervals])
    return {
        "count": later + 1,
        "campus": np.maximum(np.rint(campus_median * drawn[2]).astype(np.int64), sizes),
        "size": phase,
        "shell": interval[:, None] * f,
        "power": (np.cumsum(phase, axis=1) - phase) // tranche * between,
    }


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-5, 1e-3), st.floats(1.0, 500.0), st.floats(1.0, 3.0), st.integers(1, 5000), st.integers(0, 2**40))
def test_projects_fall_into_phases_as_by_whole_arrays(
    to_it: float, least: float, single: float, tranche: int, between: int
) -> None:
    n = 400
    route = np.arange(n) % len(Route)
    sizes = (some(n, seed=3) >> 48) + 1
    drawn = (*(some(n, seed=seed) >> 36 for seed in (21, 22, 23)), some(n, seed=24))
    intervals = np.stack([spread_table(0.1 * route) for route in range(len(Route))])
    by_project, by_phase = np.full((2, n), -1), np.full((3, n, PHASES), -1)
    streams.phases(route, sizes, drawn, intervals, to_it, least, single, (tranche, between), 2.5e-4, by_project, by_phase)
    wanted = phases_by_array(route, sizes, drawn, intervals, to_it, least, single, tranche, between, 2.5e-4)
    for name, found in zip(wanted, (*by_project, *by_phase), strict=True):
        assert (found == wanted[name]).all(), name
    assert (by_phase[0].sum(axis=1) == sizes).all()


def test_scores_are_rounded_sums_and_closed_markets_barred() -> None:
    n, markets = 500, 11
    logs = np.log(-np.log(uniform(some(n * markets, n, markets))))
    utility = np.log(uniform(some(2 * 3 * markets, 2, 3, markets, seed=8)))
    workload, company, closed = np.arange(n) % 2, np.arange(n) % 3, np.arange(markets) % 5 == 2
    found = np.full((n, markets), -1)
    streams.scores(logs, utility, workload, company, 0.37, closed, found)
    wanted = np.rint((utility[workload, company] + 0.37 * -logs) * SCORE_ONE).astype(np.int64)
    assert (found == np.where(closed, BARRED, wanted)).all()


# ------------------------------------------------------------------ chips


def supply() -> tuple[Floats, Ints, Floats, Floats, Ints, Floats]:
    """Two companies, three vendors with five chips, six quarters of two years: bought, pairs, shipped, generation, makers, h100e."""
    bought = uniform(some(10, 5, 2, seed=31)) * 0.9
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 2], [1, 1]])
    generation = uniform(some(30, 5, 6, seed=32))
    generation[1], generation[4, :3] = 0.0, 0.0
    return bought, pairs, uniform(some(18, 3, 6, seed=33)) * 1e6, generation, np.array([0, 0, 1, 2, 2]), np.linspace(0.4, 6.0, 5)


def shares_by_array(of_year: Ints) -> Floats:
    bought, pairs, *_ = supply()
    by_year = np.zeros((2, 3, 2))
    by_year[pairs[:, 0], pairs[:, 1]] = bought
    by_year /= np.maximum(by_year.sum(axis=0, keepdims=True), 1.0)
    return by_year[:, :, of_year]


def test_what_a_world_gives_to_expect() -> None:
    bought, pairs, shipped, generation, vendor_of, h100e = supply()
    watts, price, chip_share = np.linspace(400.0, 1300.0, 5), np.linspace(9e3, 4e4, 5), 0.71
    of_year, positions = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3, 4, 5, 5])
    shares, mix, cost = np.full((2, 3, 6), np.nan), np.full((2, 3, 8), np.nan), np.full((2, 8), np.nan)
    streams.expected(
        bought, pairs, of_year, shipped, generation, vendor_of, (watts, price, h100e), positions, chip_share, shares, mix, cost
    )
    wanted = shares_by_array(of_year)
    assert (shares == wanted).all()
    assert (shares.sum(axis=0) <= 1 + 1e-12).all()
    per_h100e, dollars = np.zeros((3, 6)), np.zeros((3, 6))
    np.add.at(per_h100e, vendor_of, generation * (watts / h100e)[:, None])
    np.add.at(dollars, vendor_of, generation * (watts / h100e)[:, None] * (price / watts)[:, None])
    megawatts = (wanted * (shipped * per_h100e / 1e6)[None])[:, :, positions]
    assert (mix == megawatts).all()
    per_mw = dollars / np.maximum(per_h100e, 1e-9) * 1e6 / chip_share
    weight = megawatts / np.maximum(megawatts.sum(axis=1, keepdims=True), 1e-12)
    assert (cost == (weight * per_mw[:, positions][None]).sum(axis=1)).all()


def test_chips_are_delivered_whole_and_what_is_held_is_in_stock_under_way_or_running() -> None:
    _, _, shipped, generation, vendor_of, h100e = supply()
    shares, months, past, late = shares_by_array(np.array([0, 0, 0, 0, 1, 1])), np.repeat([4, 5], 3), 5, 0.8
    by_quarter, out = np.full((2, 5, 6), np.nan), np.full((6, 2, 5), -1)
    streams.deliveries(shares, shipped, generation, vendor_of, h100e, months, by_quarter, out)
    amounts = shares[:, vendor_of] * (shipped[vendor_of] * generation)[None] / h100e[None, :, None]
    assert (by_quarter == amounts).all()
    assert (np.cumsum(out, axis=0) == np.floor(np.cumsum(np.moveaxis(amounts[:, :, months] / 3, 2, 0), axis=0))).all()

    held, waiting, group_of = np.array([[4e6, 4e5, 0.0], [2e4, 7e6, 3e6]]), np.array([0.1, 0.2]), np.array([0, 0, 2, 1, 1])
    footprint = np.array([[0.5, 0.25, 0.25], [0.0, 0.9, 0.1]])
    opening, fleet = np.full((2, 2, 5), -1), np.full((2, 3, 5), -1)
    streams.stocks(by_quarter, past, late, h100e, group_of, held, waiting, footprint, opening, fleet)
    received = sum(amounts[:, :, s] for s in range(past)) * h100e
    in_group = np.stack([sum(np.where(group_of == g, received, 0.0)[:, a] for a in range(5)) for g in range(3)], axis=1)
    scale = np.where(in_group > 0, held / np.maximum(in_group, 1e-9), 0.0)
    kept = received * scale[:, group_of] / h100e
    recent = sum(amounts[:, :, s] for s in range(past - 4, past))
    stock = np.minimum(np.floor(recent * waiting[:, None]), np.floor(kept)).astype(np.int64)
    under_way = np.floor(np.minimum(amounts[:, :, past - 1] * late, kept - stock)).astype(np.int64)
    assert (opening[0] == stock).all()
    assert (opening[1] == under_way).all()
    assert (fleet == np.floor(footprint[:, :, None] * (kept - stock - under_way)[:, None])).all()
    assert fleet[1, 1].sum() > 0
    assert (fleet[0, :, 2] == 0).all()  # nothing is held of that group
