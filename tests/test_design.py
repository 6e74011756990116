"""Designs of assumptions: replication r never depends on how many there are, blocks are even and independent, sums of squares."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from simulator.design import (
    KINDS,
    MIDDLE,
    PLAIN,
    Design,
    block_points,
    parameters,
    quantiles,
    units,
    variance_split,
)
from simulator.draws import BITS, Aspect, bits, entity_key

NAMES = (
    "markets/a/grid_connection_days/",
    "markets/b/grid_connection_days/",
    "markets/*/grid_connection_days",
    "process/world/site_notice/leased",
    "costs/*/capex",
)


def as_floats(points: np.ndarray) -> np.ndarray:
    return points.astype(np.float64) * 2.0**-BITS


# ---- what a design is


def test_a_random_design_is_the_same_whatever_block_was_said() -> None:
    assert Design("random", 64) == PLAIN and PLAIN.plain and PLAIN.unit == 1
    assert not Design(lucks=2).plain and not Design(vary=("a/b",)).plain
    assert Design("lhs", 10, 3).unit == 30
    assert Design(vary=("b/c", "a/b", "a/b")) == Design(vary=("a/b", "b/c"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("halton",), "'halton' is not a kind of design; allowed are random, lhs, sobol"),
        (("lhs", 1), "a block has 2 to 16,384 points, not 1"),
        (("lhs", 20_000), "a block has 2 to 16,384 points, not 20000"),
        (("sobol", 48), "a block of a Sobol sequence has a power of two of points, not 48; 64 is one"),
        (("random", 1, 0), "every point of the assumptions has at least one luck, not 0"),
    ],
)
def test_an_impossible_design_is_refused_with_the_reason(given: tuple[object, ...], says: str) -> None:
    with pytest.raises(ValueError) as error:
        Design(*given)  # type: ignore[arg-type]
    assert str(error.value) == says


def test_designs_say_what_they_are() -> None:
    assert PLAIN.says() == "assumptions drawn at random"
    assert (
        Design("sobol", 64, 2, ("a/b",)).says() == "assumptions a Sobol sequence in blocks of 64, 2 lucks each, 1 of them varied"
    )


# ---- points


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_each_assumption_has_one_point_in_each_stratum_of_each_block(kind: str) -> None:
    for number in range(3):
        points = block_points(kind, 32, 40, 7, number)  # type: ignore[arg-type]
        assert points.shape == (32, 40) and points.dtype == np.uint64 and int(points.max()) < 1 << BITS
        strata = points >> np.uint64(BITS - 5)
        assert (np.sort(strata, axis=0) == np.arange(32, dtype=np.uint64)[:, None]).all()


def test_a_sobol_block_is_even_in_pairs_of_assumptions_and_a_hypercube_is_not() -> None:
    """The first dimensions of a Sobol sequence put one of 16 points into each of 4 x 4 squares."""

    def filled(kind: str) -> int:
        squares = block_points(kind, 16, 2, 3, 0) >> np.uint64(BITS - 2)  # type: ignore[arg-type]
        return len({tuple(square) for square in squares.tolist()})

    assert filled("sobol") == 16
    assert filled("lhs") < 16


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_blocks_and_seeds_have_scrambles_of_their_own(kind: str) -> None:
    every = [block_points(kind, 16, 8, seed, number) for seed, number in product((1, 2), (0, 1, 2))]  # type: ignore[arg-type]
    whole = np.concatenate(every).ravel().tolist()
    assert len(set(whole)) == len(whole)
    # Points of the same place in different blocks have nothing to do with each other.
    places = as_floats(np.stack([block_points(kind, 16, 8, 1, number)[3] for number in range(200)]))  # type: ignore[arg-type]
    assert abs(np.corrcoef(places[:-1].ravel(), places[1:].ravel())[0, 1]) < 4 / math.sqrt(places.size)
    assert abs(places.mean() - 0.5) < 4 * math.sqrt(1 / 12 / places.size)


def test_points_are_those_of_another_process_and_of_any_order() -> None:
    design = Design("sobol", 8)
    late = [quantiles(design, 5, a, NAMES) for a in (25, 3, 11)]
    script = (
        "from test_design import *\nd = Design('sobol', 8)\nprint([quantiles(d, 5, a, NAMES).tolist() for a in (3, 11, 25)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd=__file__.rpartition("/")[0],
        env={"PYTHONPATH": f"{__file__.rpartition('/')[0]}/..:{__file__.rpartition('/')[0]}", "PYTHONHASHSEED": "99"},
    )  # fmt: skip
    assert done.stdout.strip() == str([late[i].tolist() for i in (1, 2, 0)])  # type: ignore[union-attr]


def test_plain_random_points_are_left_to_the_sampler() -> None:
    assert quantiles(PLAIN, 1, 0, NAMES) is None
    assert quantiles(Design(lucks=4), 1, 0, NAMES) is None
    assert [Design(lucks=4).assumption(r) for r in (0, 3, 4, 11)] == [0, 0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_assumptions_that_do_not_vary_stay_at_their_median(kind: str) -> None:
    design = Design(kind, 4, 1, ("markets/grid_connection_days",))  # type: ignore[arg-type]
    found = np.stack([quantiles(design, 1, a, NAMES) for a in range(8)])  # type: ignore[arg-type]
    assert (found[:, 3:] == MIDDLE).all()
    assert all(len(set(found[:, column].tolist())) == 8 for column in range(3))
    if kind == "random":  # those that vary are drawn as if all did
        for column in range(3):
            keyed = bits(1, 5, np.uint64(entity_key(NAMES[column])), Aspect.ASSUMPTION)
            assert found[5, column] == keyed


def test_what_may_vary_is_named_by_table_and_parameter() -> None:
    assert parameters(NAMES) == ["costs/capex", "markets/grid_connection_days", "process/site_notice"]


# ---- what it says of means


def test_units_are_means_of_what_belongs_together_and_a_begun_one_is_left_out() -> None:
    values = np.array([[1.0], [3.0], [5.0], [7.0], [100.0]])
    assert units(values, Design(lucks=2)).ravel().tolist() == [2.0, 6.0]
    assert units(values, PLAIN) is values
    values[1] = math.nan
    assert units(values, Design(lucks=2)).ravel().tolist() == [1.0, 6.0]
    values[0] = math.nan
    assert np.isnan(units(values, Design(lucks=2))[0, 0])


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_the_interval_of_blocks_covers_the_mean_and_is_narrower_than_that_of_random_points(kind: str) -> None:
    """A sum of 6 assumptions and of luck, mean 3: 200 repeats of 20 blocks of 16."""
    from simulator.statistics import half_widths

    design = Design(kind, 16)  # type: ignore[arg-type]
    names = tuple(f"t/{i}/p/" for i in range(6))
    inside, width = 0, 0.0
    for seed in range(200):
        points = as_floats(np.stack([quantiles(design, seed, a, names) for a in range(320)]))  # type: ignore[arg-type]
        luck = as_floats(bits(seed, np.arange(1)[0], np.arange(320, dtype=np.uint64), 99)) - 0.5
        values = (points.sum(axis=1) + 0.2 * luck)[:, None]
        means = units(values, design)
        assert len(means) == 20
        half = float(half_widths(means)[0])
        inside += abs(means.mean() - 3.0) <= half
        width += half / 200
    assert inside / 200 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)
    plain = 1.97 * math.sqrt(6 / 12 + 0.04 / 12) / math.sqrt(320)
    assert width < plain / 3


# ---- the split of variance


def test_a_split_by_hand() -> None:
    """Three points with two lucks: means 2, 4, 9 about 5; inside (2 + 8 + 2) / 3 = 4; between 2 * (9 + 1 + 16) / 2 = 26."""
    found = variance_split(np.array([1.0, 3.0, 2.0, 6.0, 8.0, 10.0]), 2)
    within = (2 + 8 + 2) / 3
    assert found.luck == pytest.approx(within)
    assert found.assumptions == pytest.approx((2 * (9 + 1 + 16) / 2 - within) / 2) == pytest.approx(11)
    assert found.total == found.assumptions + found.luck
    assert found.share == pytest.approx(11 / 15)
    assert (found.points, found.lucks) == (3, 2)


def test_a_split_leaves_out_points_in_which_a_number_is_missing_and_one_that_is_begun() -> None:
    values = np.array([1.0, 3.0, math.nan, 6.0, 8.0, 10.0, 2.0, 6.0, 5.0])
    assert variance_split(values, 2) == variance_split(np.array([1.0, 3.0, 8.0, 10.0, 2.0, 6.0]), 2)


def test_a_split_is_never_negative_and_says_what_it_needs() -> None:
    found = variance_split(np.array([0.0, 2.0, 2.0, 0.0]), 2)
    assert (found.assumptions, found.luck, found.share) == (0.0, 2.0, 0.0)
    assert math.isnan(variance_split(np.ones(8), 4).share)
    with pytest.raises(ValueError, match="at least two lucks"):
        variance_split(np.ones(8), 1)
    with pytest.raises(ValueError, match="at least two points of the assumptions, not 1"):
        variance_split(np.ones(3), 2)


@pytest.mark.parametrize(("of_assumptions", "of_luck", "lucks"), [(4.0, 1.0, 2), (1.0, 4.0, 3), (0.0, 2.0, 2)])
def test_the_split_finds_the_variances_a_population_was_made_with(of_assumptions: float, of_luck: float, lucks: int) -> None:
    from scipy.special import ndtri

    points, repeats = 60, 300
    keys = np.arange(points * (lucks + 1) * repeats, dtype=np.uint64)
    noise = ndtri((bits(11, 0, keys, 98) + 0.5) * 2.0**-BITS).reshape(repeats, points, lucks + 1)
    values = math.sqrt(of_assumptions) * noise[:, :, :1] + math.sqrt(of_luck) * noise[:, :, 1:]
    found = [variance_split(each.ravel(), lucks) for each in values]
    luck = np.array([split.luck for split in found])
    assert abs(luck.mean() - of_luck) < 4 * luck.std() / math.sqrt(repeats)
    # Cutting at zero lifts the mean of an estimate that is near it; the median is not moved.
    middle = float(np.median([split.assumptions for split in found]))
    spread = float(np.std([split.assumptions for split in found]))
    assert abs(middle - of_assumptions) < 0.1 * of_assumptions + 5 * spread / math.sqrt(repeats)
