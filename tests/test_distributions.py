"""Distributions return the numbers they were stated with, never run backwards, and stay inside their unit."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.distributions import TAILS, mean, quantile
from simulator.world import Value


def value(
    low: float | None,
    mode: float | None,
    high: float | None,
    quantiles: str,
    family: str,
    unit: str = "days",
    text: str | None = None,
) -> Value:
    return Value(
        "process", "world", "thing", "", "", low, mode, high, text, quantiles, family, unit,
        "2026", date(2026, 1, 1), "assumed", "", "a test", "x.csv", 2,
    )  # fmt: skip


inside = st.floats(min_value=1e-9, max_value=1 - 1e-9)
sides = st.floats(min_value=0.0, max_value=3.0)


@given(st.sampled_from(sorted(TAILS)), st.floats(min_value=1e-3, max_value=1e6), sides, sides)
def test_lognormal_returns_its_stated_numbers_to_the_last_bit(quantiles: str, median: float, below: float, above: float) -> None:
    low, high = median * math.exp(-below), median * math.exp(above)
    stated = value(low, median, high, quantiles, "lognormal")
    tail = TAILS[quantiles]
    assert quantile(stated, tail) == low
    assert quantile(stated, 0.5) == median
    assert quantile(stated, 1.0 - tail) == high


@given(st.sampled_from(sorted(TAILS)), st.floats(min_value=-50, max_value=1e4), st.floats(0, 1e3), st.floats(0, 1e3))
def test_normal_returns_its_stated_numbers_to_the_last_bit(quantiles: str, median: float, below: float, above: float) -> None:
    stated = value(median - below, median, median + above, quantiles, "normal", "log_change")
    tail = TAILS[quantiles]
    assert [quantile(stated, u) for u in (tail, 0.5, 1.0 - tail)] == [median - below, median, median + above]


@given(
    st.sampled_from(["lognormal", "normal", "triangular"]),
    st.floats(min_value=0.01, max_value=0.9),
    sides,
    sides,
    st.lists(inside, min_size=2, max_size=30),
)
def test_quantiles_never_run_backwards(family: str, mode: float, below: float, above: float, uniforms: list[float]) -> None:
    low, high = mode * math.exp(-below), min(mode * math.exp(above), 1.0)
    stated = value(low, mode, high, "min-max" if family == "triangular" else "p10-p90", family, "fraction")
    drawn = quantile(stated, np.array(sorted(uniforms)))
    assert np.all(np.diff(drawn) >= 0)
    assert np.all((drawn >= 0) & (drawn <= 1))


def test_the_spread_of_a_two_piece_lognormal_is_the_stated_one() -> None:
    stated = value(50.0, 100.0, 400.0, "p10-p90", "lognormal")
    # One more "distance" in z (2 x 1.2816) doubles the log distance on that side.
    far = 0.5 * (1 + math.erf(2 * 1.2815515655446004 / math.sqrt(2)))
    assert quantile(stated, far) == pytest.approx(1600.0)
    assert quantile(stated, 1 - far) == pytest.approx(25.0)


def test_the_triangle_has_its_ends_and_its_mode() -> None:
    stated = value(10.0, 20.0, 50.0, "min-max", "triangular")
    assert quantile(stated, 0.25) == pytest.approx(20.0)  # (mode - low) / (high - low)
    assert 10.0 < quantile(stated, 1e-9) < 10.01
    assert 49.99 < quantile(stated, 1 - 1e-9) < 50.0
    assert quantile(stated, 0.25 / 4) == pytest.approx(15.0)  # half way up the rising side holds a quarter of its area


def test_a_fixed_value_is_itself_in_any_shape() -> None:
    stated = value(None, 7.5, None, "point", "fixed")
    assert quantile(stated, 0.3) == 7.5
    assert quantile(stated, np.full((2, 3), 0.9)).tolist() == [[7.5] * 3] * 2


def test_a_float_gives_a_float_and_an_array_an_array_of_the_same_numbers() -> None:
    stated = value(1.0, 2.0, 5.0, "p5-p95", "lognormal")
    uniforms = np.array([0.01, 0.05, 0.4, 0.5, 0.95, 0.999])
    singles = [quantile(stated, float(u)) for u in uniforms]
    assert all(type(single) is float for single in singles)
    assert quantile(stated, uniforms).tolist() == singles


@pytest.mark.parametrize(
    "stated",
    [
        value(20.0, 40.0, 90.0, "p10-p90", "lognormal"),
        value(20.0, 40.0, 90.0, "p25-p75", "lognormal"),
        value(-3.0, 1.0, 2.0, "p5-p95", "normal", "log_change"),
        value(20.0, 40.0, 90.0, "min-max", "triangular"),
        value(None, 40.0, None, "point", "fixed"),
    ],
)
def test_the_mean_is_the_integral_of_the_quantiles(stated: Value) -> None:
    grid = (np.arange(200_000) + 0.5) / 200_000
    assert mean(stated) == pytest.approx(float(quantile(stated, grid).mean()), rel=2e-3)


def test_negative_tails_are_moved_to_zero_where_the_unit_has_no_negatives() -> None:
    stated = value(0.0, 5.0, 30.0, "p10-p90", "normal", "days")
    assert quantile(stated, 0.01) == 0.0
    assert quantile(value(0.0, 5.0, 30.0, "p10-p90", "normal", "log_change"), 0.01) < 0.0


@pytest.mark.parametrize("u", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_only_uniforms_strictly_inside_are_accepted(u: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        quantile(value(1.0, 2.0, 3.0, "p10-p90", "lognormal"), u)


def test_a_text_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="is text"):
        quantile(value(None, None, None, "text", "text", "text", "yes"), 0.5)
    with pytest.raises(ValueError, match="is text"):
        mean(value(None, None, None, "text", "text", "text", "yes"))
