"""From three stated numbers to a distribution: quantiles of a `Value` for uniform numbers, and its mean.

A range says what its ends are (`p10-p90`, `p5-p95`, `p25-p75`, `min-max`) and which family joins them. For the p-ranges the
middle number is the median and each side has its own spread (two-piece lognormal or normal), so the three stated numbers are
quantiles of the distribution itself, not of a fit. `min-max` is a triangle with its mode in the middle number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simulator.world import Value

TAILS: dict[str, float] = {"p10-p90": 0.10, "p5-p95": 0.05, "p25-p75": 0.25}
"""Probability below the lower stated number, for each meaning of a p-range."""


@overload
def quantile(value: Value, u: float) -> float: ...
@overload
def quantile(value: Value, u: NDArray[np.float64]) -> NDArray[np.float64]: ...
def quantile(value: Value, u: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
    """The value below which the input lies with probability `u`: a float for a float, an array for an array of uniforms.

    In the unit of the value. Fractions stay in [0, 1] and units that cannot be negative stay at or above 0 (the tail beyond
    the bound is moved to it). Raises ValueError for a text value or a `u` outside (0, 1).
    """
    import numpy as np

    uniforms = np.asarray(u, dtype=np.float64)
    if not np.all((uniforms > 0.0) & (uniforms < 1.0)):  # also refuses nan
        raise ValueError("u must lie strictly between 0 and 1")
    mode = _number(value)
    if value.family == "fixed":
        result = np.full_like(uniforms, mode)
    elif value.family == "triangular":
        result = _triangular(uniforms, *_ends(value))
    else:
        result = _two_piece(uniforms, value)
    if value.family in ("normal", "lognormal"):
        from simulator.world import UNITS

        unit = UNITS[value.unit]
        result = np.clip(result, unit.lowest, unit.highest)
    return float(result) if result.ndim == 0 else result


def mean(value: Value) -> float:
    """Expected value in the unit of the value, before any tail is moved to the bound of the unit. ValueError for text."""
    mode = _number(value)
    if value.family == "fixed":
        return mode
    low, _, high = _ends(value)
    if value.family == "triangular":
        return (low + mode + high) / 3.0
    from scipy.special import ndtr, ndtri

    z = float(ndtri(1.0 - TAILS[value.quantiles]))
    if value.family == "normal":
        return mode + ((high - mode) - (mode - low)) / z / math.sqrt(2.0 * math.pi)
    below, above = math.log(mode / low) / z, math.log(high / mode) / z
    return float(mode * (math.exp(below**2 / 2) * ndtr(-below) + math.exp(above**2 / 2) * ndtr(above)))


def _number(value: Value) -> float:
    if value.mode is None:
        raise ValueError(f"{value.label} is text ({value.text!r}) and has no distribution")
    return value.mode


def _ends(value: Value) -> tuple[float, float, float]:
    if value.low is None or value.mode is None or value.high is None:
        raise ValueError(f"{value.label} is a {value.family} range but lacks one of low, mode, high")
    return value.low, value.mode, value.high


def _two_piece(u: NDArray[np.float64], value: Value) -> NDArray[np.float64]:
    import numpy as np
    from scipy.special import ndtri

    low, median, high = _ends(value)
    tail = TAILS[value.quantiles]
    z = ndtri(u)
    # Steps away from the median, in units of the stated distance: -1 at low, 0 at the median, 1 at high.
    step = np.where(z < 0.0, z / -ndtri(tail), z / ndtri(1.0 - tail))
    if value.family == "lognormal":
        ratio = np.where(z < 0.0, median / low, high / median)
        result = median * ratio**step
    else:
        result = median + step * np.where(z < 0.0, median - low, high - median)
    # The stated numbers themselves come back to the last bit, and rounding never crosses them.
    result = np.where(u <= tail, np.minimum(result, low), np.maximum(result, low))
    result = np.where(u >= 1.0 - tail, np.maximum(result, high), np.minimum(result, high))
    result = np.where(z < 0.0, np.minimum(result, median), np.maximum(result, median))
    for at, stated in ((tail, low), (0.5, median), (1.0 - tail, high)):
        result = np.where(u == at, stated, result)
    return np.asarray(result, dtype=np.float64)


def _triangular(u: NDArray[np.float64], low: float, mode: float, high: float) -> NDArray[np.float64]:
    import numpy as np

    width = high - low
    if width == 0.0:
        return np.full_like(u, mode)
    peak = (mode - low) / width
    rising = low + np.sqrt(u * width * (mode - low))
    falling = high - np.sqrt((1.0 - u) * width * (high - mode))
    return np.asarray(np.clip(np.where(u < peak, rising, falling), low, high), dtype=np.float64)
