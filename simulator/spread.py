"""Means, intervals and quantiles of numbers that come piece by piece: exact for as many as fit, in constant memory beyond.

Up to `EXACT` rows everything is kept and quantiles are those of `statistics.summary`. From then on counts are kept instead, in
cells whose width is a thousandth of the number: a quantile is right to about that, whatever the order in which rows came.
Means and intervals are sums and stay exact. The interval rests on units of replications that are independent of one another
(`Design.unit`), with the quantiles over single futures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simulator.design import PLAIN, Design
from simulator.precision import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT = 20_000
"""Rows of which every number is kept"""
WIDTH = math.log1p(0.002)
"""Logarithm of the ratio between neighbouring cells: half a cell is a thousandth"""
LEAST = 1e-9
"""Numbers nearer to zero than this count as zero"""
COLUMN = 1 << 32
"""Codes of a column lie within half of this of zero"""


class Spread:
    """What is known of L columns of numbers after the rows added so far. Numbers that are not finite count as not there."""

    def __init__(self, columns: int, design: Design = PLAIN, *, exact: int = EXACT):
        self.columns, self.design, self.exact = columns, design, exact
        self.rows = 0
        self.known = np.zeros(columns, dtype=np.int64)
        self.positive = np.zeros(columns, dtype=np.int64)
        self.zero = np.zeros(columns, dtype=np.int64)
        self._sum = np.zeros(columns)
        self._moments = Moments(columns, design.unit)
        self._kept: list[Floats] | None = []
        self._codes, self._counts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)

    def add(self, values: Floats) -> None:
        """Take (n, L) rows, the next replications in order."""
        values = np.asarray(values, dtype=np.float64)
        there = np.isfinite(values)
        self.rows += len(values)
        self.known += there.sum(axis=0)
        self._sum += np.where(there, values, 0.0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            self.positive += (there & (values > 0)).sum(axis=0)
        self.zero += (values == 0).sum(axis=0)
        self._moments.add(values)
        if self._kept is not None:
            self._kept.append(values)
            if self.rows > self.exact:
                every, self._kept = self._kept, None
                for each in every:
                    self._count(each)
        else:
            self._count(values)

    def _count(self, values: Floats) -> None:
        there = np.isfinite(values)
        size = np.abs(np.where(there, values, 0.0))
        near = size < LEAST
        with np.errstate(divide="ignore"):
            cell = np.where(near, 0.0, 1 + np.floor(np.log(np.where(near, 1.0, size) / LEAST) / WIDTH))
        code = (np.sign(values, where=there, out=np.zeros_like(values)) * cell).astype(np.int64)
        keys = (np.arange(self.columns) * COLUMN + COLUMN // 2 + code)[there]
        fresh, counts = np.unique(keys, return_counts=True)
        every = np.concatenate([self._codes, fresh])
        self._codes, place = np.unique(every, return_inverse=True)
        self._counts = np.bincount(
            place, weights=np.concatenate([self._counts, counts]).astype(np.float64), minlength=len(self._codes)
        ).astype(np.int64)

    @property
    def mean(self) -> Floats:
        """(L,) nan where no number is there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(self.known > 0, self._sum / self.known, np.nan), dtype=np.float64)

    @property
    def half_width(self) -> Floats:
        """(L,) half-width of the 95 % interval of the mean, as `simulator.precision` makes it: good also where replications were
        added until it was narrow enough; nan for fewer than two independent units."""
        return self._moments.half()

    def quantiles(self, shares: Sequence[float]) -> Floats:
        """(shares, L) quantiles over the numbers that are there, interpolated between neighbours as `statistics.summary`."""
        if self._kept is not None:
            every = np.concatenate(self._kept) if self._kept else np.zeros((0, self.columns))
            return np.stack([_quantile(every, share) for share in shares])
        found = np.full((len(shares), self.columns), np.nan)
        columns = self._codes // COLUMN
        for column in range(self.columns):
            first, last = np.searchsorted(columns, (column, column + 1))
            if first == last:
                continue
            upto = np.cumsum(self._counts[first:last])
            middles = _middle(self._codes[first:last] % COLUMN - COLUMN // 2)
            for i, share in enumerate(shares):
                place = share * (int(upto[-1]) - 1)
                low, high = np.searchsorted(upto, (math.floor(place), math.ceil(place)), side="right")
                found[i, column] = middles[low] + (middles[high] - middles[low]) * (place - math.floor(place))
        return found


def _quantile(values: Floats, share: float) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    ordered = np.sort(np.where(known, values, np.nan), axis=0)
    last, column = np.maximum(count - 1, 0), np.arange(values.shape[1])
    if not len(values):
        return np.full(values.shape[1], np.nan)
    place = share * last
    below = np.floor(place).astype(np.int64)
    low, high = ordered[below, column], ordered[np.minimum(below + 1, last), column]
    return np.asarray(low + (high - low) * (place - below), dtype=np.float64)


def _middle(code: NDArray[np.int64]) -> Floats:
    """The number that stands for a cell: its middle on the scale of logarithms."""
    size = np.abs(code)
    return np.asarray(np.where(size == 0, 0.0, np.sign(code) * LEAST * np.exp((size - 0.5) * WIDTH)), dtype=np.float64)
