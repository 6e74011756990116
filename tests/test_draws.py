"""Keyed chance: the published generator bit for bit, keys that never meet, and quantile tables that say what they should."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from randomgen import Philox
from scipy.special import ndtri
from scipy.stats import chi2

from simulator.draws import (
    BITS,
    TABLE_BITS,
    TABLE_POINTS,
    Aspect,
    bits,
    entity_key,
    keys,
    look_up,
    market_aspect,
    normal,
    pair,
    philox,
    spread_table,
    spread_tables,
    uniform,
)
from simulator.static import read_table
from simulator.units import threshold

word = st.integers(0, 2**32 - 1)
whole = st.integers(0, 2**BITS - 1)


def block(counter: list[int], key: int) -> list[int]:
    """One Philox block through the simulator."""
    return [int(w[0]) for w in philox(tuple(np.array([c], dtype=np.uint64) for c in counter), key)]


def by_hand(counter: list[int], key: int) -> list[int]:
    """Philox4x32-10 in whole Python numbers, one block, as the paper writes it."""
    left, right = key & 0xFFFFFFFF, key >> 32
    a, b, c, d = counter
    for _ in range(10):
        first, second = divmod(a * 0xD2511F53, 2**32), divmod(c * 0xCD9E8D57, 2**32)
        a, b, c, d = second[0] ^ b ^ left, second[1], first[0] ^ d ^ right, first[1]
        left, right = (left + 0x9E3779B9) % 2**32, (right + 0xBB67AE85) % 2**32
    return [a, b, c, d]


# ------------------------------------------------------------------ the generator


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter: str, key: str, wanted: str) -> None:
    low, high = (int(w, 16) for w in key.split())
    assert block([int(w, 16) for w in counter.split()], high << 32 | low) == [int(w, 16) for w in wanted.split()]


@given(st.lists(word, min_size=4, max_size=4), st.integers(0, 2**64 - 1))
def test_philox_is_the_plain_one_block_by_block(counter: list[int], key: int) -> None:
    assert block(counter, key) == by_hand(counter, key)


@pytest.mark.parametrize("key", [0, 1, 2**31, 2**32 - 1, 2**32, 0x299F31D0A4093822, 2**64 - 1])
def test_philox_is_the_stream_of_another_implementation(key: int) -> None:
    # randomgen counts up before its first block and reads the counter as one 128-bit number, lowest word first.
    begin, blocks = 2**96 - 700, 1000  # carries into every word
    theirs = Philox(counter=begin, key=key, number=4, width=32).random_raw(4 * blocks).reshape(blocks, 4)
    at = [begin + 1 + i for i in range(blocks)]
    counter = tuple(np.array([n >> 32 * w & 0xFFFFFFFF for n in at], dtype=np.uint64) for w in range(4))
    assert (np.stack(philox(counter, key), axis=1) == theirs).all()


@given(st.integers(0, 2**64 - 1), word, st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**15 - 1))
def test_a_draw_is_one_block_under_the_documented_counter(
    seed: int, replication: int, entity: int, aspect: int, attempt: int
) -> None:
    first, second, _, _ = by_hand([entity & 0xFFFFFFFF, entity >> 32, attempt << 16 | aspect, replication], seed)
    assert int(bits(seed, replication, entity, aspect, attempt)) == (first << 32 | second) >> 2


@given(st.integers(0, 2**64 - 1), word, st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**15 - 1))
def test_a_pair_is_both_halves_of_the_block_of_a_draw(
    seed: int, replication: int, entity: int, aspect: int, attempt: int
) -> None:
    words = by_hand([entity & 0xFFFFFFFF, entity >> 32, attempt << 16 | aspect, replication], seed)
    one, two = (int(x) for x in pair(seed, replication, entity, aspect, attempt))
    assert one == int(bits(seed, replication, entity, aspect, attempt))
    assert two == (words[2] << 32 | words[3]) >> 2


# ------------------------------------------------------------------ keys


def test_many_at_once_equal_one_by_one() -> None:
    names = keys([f"google/2027Q{q}/{i:02d}" for q in (1, 2, 3, 4) for i in range(8)])
    aspects = np.array([Aspect.SIZE, Aspect.REFILE, market_aspect("us-virginia")], dtype=np.uint64)
    attempts = np.arange(3, dtype=np.uint64)
    table = bits(11, 4, names[:, None, None], aspects[None, :, None], attempts[None, None, :])
    assert table.shape == (32, 3, 3)
    for i, name in enumerate(names.tolist()):
        for j, aspect in enumerate(aspects.tolist()):
            for k in range(3):
                assert int(table[i, j, k]) == int(bits(11, 4, name, aspect, k))


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=20, unique=True), st.data())
def test_other_names_before_or_after_change_no_draw(names: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(names))
    alone = dict(zip(names, bits(3, 0, keys(names), Aspect.SIZE).tolist(), strict=True))
    mixed = ["a newcomer, longer than the others", *order]
    together = dict(zip(mixed, bits(3, 0, keys(mixed), Aspect.SIZE).tolist(), strict=True))
    assert {name: together[name] for name in names} == alone


def test_every_part_of_the_key_matters_and_no_two_draws_meet() -> None:
    entities = keys([f"root-{i}" for i in range(40)])
    aspects = np.array([*Aspect, *(market_aspect(m) for m in ("home", "abroad", "us-virginia", "are"))], dtype=np.uint64)
    plain = aspects[aspects < 2**16]
    drawn = [
        bits(seed, replication, entities[:, None, None], plain[None, :, None], np.arange(40)[None, None, :]).ravel()
        for seed in (0, 1, 2**32)
        for replication in (0, 1, 2**31)
    ] + [bits(0, r, entities[:, None], aspects[None, len(plain) :]).ravel() for r in (0, 1)]
    together = np.concatenate(drawn)
    assert len(np.unique(together)) == len(together)  # 62 bits: two in 400,000 meet by chance once in 6e7 tries


def test_aspects_of_markets_keep_out_of_the_numbered_ones() -> None:
    assert max(Aspect) < 2**16
    assert all(2**31 <= market_aspect(f"market-{i}") < 2**32 for i in range(200))
    assert len(set(Aspect)) == len(Aspect.__members__)  # an alias would draw twice from one key


def test_names_are_hashed_the_same_on_every_machine() -> None:
    assert entity_key("google/2025Q1/00") == 5736336104518830105
    assert entity_key("") != entity_key(" ")


def test_two_names_with_one_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.draws.entity_key", lambda name: len(name))
    with pytest.raises(ValueError, match="share a 64-bit key"):
        keys(["one", "two"])
    assert keys(["one", "one"]).tolist() == [3, 3]  # the same name twice is no clash


# ------------------------------------------------------------------ how the numbers are spread

MANY = 1 << 16
NEIGHBOURS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "entity": lambda: (bits(7, 0, np.arange(MANY), Aspect.SIZE), bits(7, 0, np.arange(MANY) + 1, Aspect.SIZE)),
    "upper entity": lambda: (
        bits(7, 0, np.arange(MANY), 2),
        bits(7, 0, np.arange(MANY, dtype=np.uint64) | np.uint64(1 << 32), 2),
    ),
    "aspect": lambda: (bits(7, 0, np.arange(MANY), 2), bits(7, 0, np.arange(MANY), 3)),
    "attempt": lambda: (bits(7, 0, np.arange(MANY), 21, 0), bits(7, 0, np.arange(MANY), 21, 1)),
    "replication": lambda: (bits(7, 0, np.arange(MANY), 2), bits(7, 1, np.arange(MANY), 2)),
    "halves of a pair": lambda: pair(7, 0, np.arange(MANY), Aspect.OFFICE),
    "seed": lambda: (bits(7, 0, np.arange(MANY), 2), bits(8, 0, np.arange(MANY), 2)),
}


@pytest.mark.parametrize("what", NEIGHBOURS)
def test_neighbouring_keys_are_unrelated(what: str) -> None:
    a, b = (uniform(drawn) - 0.5 for drawn in NEIGHBOURS[what]())
    limit = 4.5 / math.sqrt(MANY)  # standard errors of a correlation of independent numbers
    assert abs(np.corrcoef(a, b)[0, 1]) < limit
    assert abs(np.corrcoef(np.abs(a), np.abs(b))[0, 1]) < limit
    # Half of the bits differ: 62 x MANY coin tosses.
    flipped = sum(int(x).bit_count() for x in (NEIGHBOURS[what]()[0] ^ NEIGHBOURS[what]()[1]).tolist()) / (BITS * MANY)
    assert abs(flipped - 0.5) < 4.5 * 0.5 / math.sqrt(BITS * MANY)


@pytest.mark.parametrize("shift", [BITS - 8, 27, 0])
@pytest.mark.parametrize("what", ["entities", "replications"])
def test_upper_middle_and_lower_bits_are_uniform(what: str, shift: int) -> None:
    by_replication = [int(bits(1, r, 99, Aspect.PATIENCE)) for r in range(MANY // 16)] if what == "replications" else []
    drawn = np.array(by_replication) if by_replication else bits(1, 0, np.arange(MANY), Aspect.PATIENCE)
    counts = np.bincount((drawn >> shift) & 0xFF, minlength=256)
    expected = len(drawn) / 256
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert chi2.ppf(1e-5, 255) < statistic < chi2.ppf(1 - 1e-5, 255)


def test_normal_numbers_have_the_quantiles_of_the_normal_distribution() -> None:
    z = normal(bits(5, 0, np.arange(MANY), Aspect.BUDGET))
    for p in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert abs(float((z < ndtri(p)).mean()) - p) < 4.5 * math.sqrt(p * (1 - p) / MANY)


@given(whole)
def test_floats_stay_strictly_inside(u: int) -> None:
    assert 0.0 < float(uniform(np.array([u]))[0]) < 1.0
    assert np.isfinite(normal(np.array([u])))[0]


def test_the_ends_are_inside_too_and_a_threshold_cuts_where_it_says() -> None:
    assert uniform(np.array([0, 2**BITS - 1])).tolist() == [2.0**-53, 1 - 2.0**-53]
    assert threshold(0.0) == 0  # nothing falls below it
    assert threshold(1.0) == 2**BITS  # everything does
    drawn = bits(2, 0, np.arange(MANY), Aspect.PAUSE)
    assert abs(float((drawn < threshold(0.03)).mean()) - 0.03) < 4.5 * math.sqrt(0.03 * 0.97 / MANY)


# ------------------------------------------------------------------ quantile tables

spreads = st.floats(0.0, 1.5)


@given(spreads, st.sampled_from([1 << 20, 1024]))
def test_the_median_is_exact_and_the_table_never_runs_backwards(log_sd: float, one: int) -> None:
    table = spread_table(log_sd, one)
    assert table.shape == (TABLE_POINTS,)
    assert table.dtype == np.int64
    assert int(table[TABLE_POINTS // 2]) == one
    assert int(look_up(table, np.array([1 << (BITS - 1)]))[0]) == one
    assert (np.diff(table) >= 0).all()
    assert (table > 0).all()


@settings(max_examples=200)
@given(spreads, st.lists(whole, min_size=2, max_size=50))
def test_reading_a_table_is_monotone_and_stays_between_its_points(log_sd: float, numbers: list[int]) -> None:
    table, u = spread_table(log_sd), np.array(sorted(numbers))
    read = look_up(table, u)
    assert (np.diff(read) >= 0).all()
    cell = u >> (BITS - TABLE_BITS)
    assert (read >= table[cell]).all()
    assert (read <= table[cell + 1]).all()


@settings(max_examples=200)
@given(spreads, whole)
def test_the_table_agrees_with_the_lognormal_within_the_error_of_a_straight_line(log_sd: float, u: int) -> None:
    cell = u >> (BITS - TABLE_BITS)
    got = int(look_up(spread_table(log_sd), np.array([u]))[0])
    if cell in (0, TABLE_POINTS - 2):  # the tails are cut: only the ends of the cell are promised
        return
    p = u / 2**BITS
    exact = 2**20 * math.exp(log_sd * ndtri(p))
    # A straight line over a step h misses a curve by at most h^2 / 8 x the largest second derivative, here bounded factor by
    # factor over the cell: q'' = q s (s + z) / density(z)^2. Rounding: half a unit at both ends, one when read.
    z = ndtri(np.array([cell, cell + 1]) / (TABLE_POINTS - 1))
    q = 2**20 * np.exp(log_sd * z)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    second = q.max() * log_sd * np.abs(log_sd + z).max() / density.min() ** 2
    slope = q.max() * log_sd / density.min()
    tolerance = second / 8 / (TABLE_POINTS - 1) ** 2 + slope * 2.0**-30 + 2.0
    assert abs(got - exact) <= tolerance


@given(spreads, whole)
def test_the_engine_reads_a_table_as_the_sampler_does(log_sd: float, u: int) -> None:
    table = spread_table(log_sd)
    assert read_table(table, u) == int(look_up(table, np.array([u]))[0])


def test_several_tables_are_those_of_each_spread() -> None:
    log_sd = np.array([0.0, 0.2, 0.75, 1.5])
    p = np.clip(np.linspace(0.0, 1.0, TABLE_POINTS), 1 / 4096, 4095 / 4096)
    for spread, table in zip(log_sd.tolist(), spread_tables(log_sd), strict=True):
        assert table.tolist() == spread_table(spread).tolist() == np.rint(2**20 * np.exp(spread * ndtri(p))).astype(int).tolist()


def test_no_spread_is_exactly_one_everywhere() -> None:
    assert set(spread_table(0.0).tolist()) == {1 << 20}
    assert look_up(spread_table(0.0), np.array([0, 2**61, 2**62 - 1])).tolist() == [1 << 20] * 3


def test_the_engines_read_the_last_number_without_falling_off_the_table() -> None:
    table = spread_table(0.5)
    last = int(look_up(table, np.array([2**BITS - 1]))[0])
    assert table[-2] <= last <= table[-1]
    assert read_table(table, 2**BITS - 1) == last
