"""Numbers that come piece by piece: exact as far as everything is kept, and close to it beyond, whatever the pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.design import Design, units
from simulator.precision import Moments
from simulator.spread import WIDTH, Spread
from simulator.statistics import QUANTILES, summary


def numbers(rows: int = 2_000) -> np.ndarray:
    """Columns of all kinds: plain, huge, tiny, skewed with zeros, negative, mostly missing, all zero, all missing."""
    stream = np.random.default_rng(5)
    x = stream.normal(size=(rows, 8))
    x[:, 1] *= 1e12
    x[:, 2] *= 1e-6
    x[:, 3] = np.where(stream.random(rows) < 0.6, 0.0, np.exp(2 * x[:, 3]))
    x[:, 4] = -5 - x[:, 4] ** 2
    x[stream.random(rows) < 0.9, 5] = math.nan
    x[:, 6], x[:, 7] = 0.0, math.nan
    return x


def spread(x: np.ndarray, piece: int, **options: object) -> Spread:
    found = Spread(x.shape[1], **options)  # type: ignore[arg-type]
    for first in range(0, len(x), piece):
        found.add(x[first : first + piece])
    return found


@pytest.mark.parametrize("piece", [1, 7, 100, 2_000])
def test_up_to_the_limit_it_is_what_statistics_say(piece: int) -> None:
    x = numbers(700)
    found, whole = spread(x, piece), summary(x)
    np.testing.assert_array_equal(found.known, whole.known)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-12)
    np.testing.assert_array_equal(found.quantiles(QUANTILES), np.stack(whole[2:]))
    np.testing.assert_array_equal(found.positive, (x > 0).sum(axis=0))
    np.testing.assert_array_equal(found.zero, (x == 0).sum(axis=0))
    assert found.rows == len(x)


def test_beyond_the_limit_quantiles_are_right_to_a_thousandth_and_all_else_stays_exact() -> None:
    x = numbers()
    shares = (0.01, 0.1, 0.5, 0.9, 0.99)
    exact, found = spread(x, 100), spread(x, 100, exact=150)
    np.testing.assert_allclose(found.quantiles(shares), exact.quantiles(shares), rtol=2e-3, atol=1e-9)
    for name in ("mean", "half_width", "known", "positive", "zero"):
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name))


def test_beyond_the_limit_neither_pieces_nor_their_order_matter() -> None:
    x = numbers()
    shares = (0.1, 0.5, 0.9)
    one, other = spread(x, 100, exact=150), spread(x[::-1], 37, exact=150)
    np.testing.assert_array_equal(one.quantiles(shares), other.quantiles(shares))


def test_beyond_the_limit_memory_does_not_grow() -> None:
    x = np.random.default_rng(1).lognormal(3, 0.5, size=(1_000, 50))
    found = Spread(50, exact=500)
    for n in range(30):
        found.add(x * (1 + 1e-3 * n))
    assert found._kept is None
    cells = 50 * (math.log(1.03 * x.max() / x.min()) / WIDTH + 2)  # those between the smallest and the largest number
    assert len(found._codes) < cells < 0.15 * 30 * x.size


@pytest.mark.parametrize("design", [Design(), Design(lucks=3), Design("lhs", 16), Design("sobol", 8, 2)])
def test_the_interval_is_that_of_independent_units(design: Design) -> None:
    x = numbers(500)[:, :5]
    whole = Moments(5)
    whole.add(units(x, design))
    np.testing.assert_allclose(spread(x, 100, design=design).half_width, whole.half(), rtol=1e-9)


def test_one_number_has_no_interval_and_none_has_no_quantile() -> None:
    found = Spread(1)
    assert math.isnan(found.mean[0]) and math.isnan(found.half_width[0]) and math.isnan(found.quantiles((0.5,))[0, 0])
    found.add(np.array([[3.0]]))
    assert (found.mean[0], found.quantiles((0.1, 0.9)).tolist()) == (3.0, [[3.0], [3.0]])
    assert math.isnan(found.half_width[0])
    found.add(np.array([[math.inf], [-math.inf], [math.nan]]))
    assert (int(found.known[0]), found.mean[0]) == (1, 3.0)
