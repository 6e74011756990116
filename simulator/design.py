"""How the assumptions are sampled: plainly at random, or spread evenly in declared blocks; and what that says of a mean.

A replication is one point of the assumptions and one luck. Replication r has the point `r // lucks` and luck r, so it never
depends on how many there are. Points of a Latin hypercube or a Sobol sequence come in blocks, each scrambled on its own: inside
a block they are spread evenly and therefore not independent, but the means of blocks are, and the interval rests on those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from simulator.draws import BITS, Aspect, bits, entity_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Words = NDArray[np.uint64]

Kind = Literal["random", "lhs", "sobol"]
KINDS: tuple[str, ...] = get_args(Kind)
IN_WORDS = {"random": "drawn at random", "lhs": "a Latin hypercube", "sobol": "a Sobol sequence"}

MIDDLE = 1 << (BITS - 1)
"""The quantile of an assumption that does not vary: its median"""
FRACTION = {"lhs": 52, "sobol": 32}
"""Bits of a point that are kept: all that a float in [0, 1) holds evenly; of a Sobol sequence fewer, as its scramble takes time
in proportion to their square"""
LONGEST_BLOCK = 1 << 14
"""Points of a block at most: a block is made whole, by every worker that plays a part of it"""
KEPT_BLOCKS = 4
"""Blocks a process remembers: the one it works on, and neighbours of other samplers"""


@dataclass(frozen=True)
class Design:
    """How the assumptions of replications are chosen. Part of what identifies a result."""

    kind: Kind = "random"
    block: int = 1
    """Points that are spread evenly together; 1 for random points, which are not"""
    lucks: int = 1
    """Replications that share one point of the assumptions and differ in luck alone"""
    vary: tuple[str, ...] = ()
    """The assumptions that vary, as `table/parameter`; the others stay at their median. Empty: all vary"""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of design; allowed are {', '.join(KINDS)}")
        if self.kind == "random" and self.block != 1:
            object.__setattr__(self, "block", 1)
        if not 1 <= self.block <= LONGEST_BLOCK or (self.kind != "random" and self.block < 2):
            raise ValueError(f"a block has 2 to {LONGEST_BLOCK:,} points, not {self.block}")
        if self.kind == "sobol" and self.block & (self.block - 1):
            near = 1 << round(math.log2(self.block))
            raise ValueError(f"a block of a Sobol sequence has a power of two of points, not {self.block}; {near} is one")
        if self.lucks < 1:
            raise ValueError(f"every point of the assumptions has at least one luck, not {self.lucks}")
        object.__setattr__(self, "vary", tuple(sorted(set(self.vary))))

    @property
    def unit(self) -> int:
        """Replications that belong together: their mean is independent of the means of other units."""
        return self.block * self.lucks

    @property
    def plain(self) -> bool:
        """True if every replication draws its own assumptions at random: nothing to hand to the sampler."""
        return self.kind == "random" and self.lucks == 1 and not self.vary

    def assumption(self, replication: int) -> int:
        """Which point of the assumptions a replication has."""
        return replication // self.lucks

    def says(self) -> str:
        """In words, for summaries."""
        words = f"assumptions {IN_WORDS[self.kind]}"
        words += f" in blocks of {self.block}" if self.kind != "random" else ""
        words += f", {self.lucks} lucks each" if self.lucks > 1 else ""
        return words + (f", {len(self.vary)} of them varied" if self.vary else "")


PLAIN = Design()


@lru_cache(maxsize=KEPT_BLOCKS)
def block_points(kind: Kind, block: int, dimensions: int, seed: int, number: int) -> Words:
    """(block, dimensions) points of one block as integers in [0, 2**62), in the order they are used.

    The scramble (of Sobol) or the permutations and jitters (of a Latin hypercube) come from a counter-based stream of the seed
    and the number of the block, so that blocks are independent and can be made in any order.
    """
    from scipy.stats import qmc

    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, number, KINDS.index(kind)))))
    fraction = FRACTION[kind]
    if kind == "sobol":
        found = qmc.Sobol(dimensions, scramble=True, bits=fraction, rng=stream).random(block)
    else:
        found = qmc.LatinHypercube(dimensions, rng=stream).random(block)
    points = (found * 2.0**fraction).astype(np.uint64) << np.uint64(BITS - fraction)
    points += np.uint64(1 << (BITS - fraction - 1))  # the middle of what is not kept
    points.flags.writeable = False
    return points


def _parameter(name: str) -> str:
    """`table/parameter` of an assumption called `table/entity/parameter/scope`."""
    table, _, rest = name.partition("/")
    return f"{table}/{rest.split('/')[1]}" if rest.count("/") else name


@lru_cache(maxsize=KEPT_BLOCKS)
def _varied(names: tuple[str, ...], vary: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which assumptions vary."""
    return np.array([not vary or _parameter(name) in vary for name in names], dtype=np.bool_)


def parameters(names: Sequence[str]) -> list[str]:
    """What `Design.vary` may name, in alphabetical order."""
    return sorted({_parameter(name) for name in names})


def quantiles(design: Design, seed: int, assumption: int, names: tuple[str, ...]) -> Words | None:
    """(assumptions,) the point of a number as integers in [0, 2**62); None if the sampler's own keyed numbers are the point.

    Only the assumptions that vary are dimensions of a hypercube or a sequence: the others would dilute it.
    """
    if design.kind == "random" and not design.vary:
        return None
    varied = _varied(names, design.vary)
    found = np.full(len(names), MIDDLE, dtype=np.uint64)
    if design.kind == "random":
        keys = np.array([entity_key(name) for name in names], dtype=np.uint64)
        found[varied] = bits(seed, assumption, keys[varied], Aspect.ASSUMPTION).astype(np.uint64)
    else:
        number, place = divmod(assumption, design.block)
        found[varied] = block_points(design.kind, design.block, int(varied.sum()), seed, number)[place]
    return found


# ---- what a design says of means and of variance ----------------------------------------------------------------------------


def units(values: Floats, design: Design) -> Floats:
    """(units, L) means of (N, L) numbers over the replications that belong together; a unit begun and not ended is left out.

    Numbers that are not finite count as missing; a unit without any is missing too.
    """
    whole = len(values) // design.unit
    if design.unit == 1:
        return values
    grouped = values[: whole * design.unit].reshape(whole, design.unit, -1)
    known = np.isfinite(grouped)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, grouped, 0.0).sum(axis=1) / known.sum(axis=1), dtype=np.float64)


class VarianceSplit(NamedTuple):
    """Variance of a number over futures, split into what the assumptions explain and what is luck alone."""

    assumptions: float
    luck: float
    points: int
    """Points of the assumptions it rests on"""
    lucks: int

    @property
    def total(self) -> float:
        """Variance of a single future."""
        return self.assumptions + self.luck

    @property
    def share(self) -> float:
        """Part of the variance that would go if the assumptions were known; nan if nothing varies."""
        return self.assumptions / self.total if self.total > 0 else math.nan


def variance_split(values: Floats, lucks: int) -> VarianceSplit:
    """Split the variance of (N,) numbers, in the order of their replications, with `lucks` replications a point.

    Points in which a number is missing are left out, and one begun at the end. Raises ValueError without at least two lucks a
    point and two points.
    """
    split = Split(1, lucks)
    split.add(values[:, None])
    assumptions, luck = split.parts()
    if (points := int(split.points[0])) < 2:
        raise ValueError(f"a split of variance needs at least two points of the assumptions, not {points}")
    return VarianceSplit(float(assumptions[0]), float(luck[0]), points, lucks)


class Split:
    """The split of variance of L columns, from rows that come piece by piece.

    One-way analysis of variance with random effects: the mean square inside the points estimates the variance of luck, that
    between them the same plus `lucks` times the variance of the assumptions. An estimate below zero is given as zero.
    """

    def __init__(self, columns: int, lucks: int):
        if lucks < 2:
            raise ValueError("a split of variance needs at least two lucks for every point of the assumptions; set `lucks: 2`")
        self.lucks = lucks
        self.points = np.zeros(columns, dtype=np.int64)
        """(L,) points without a missing number"""
        self._begun = np.zeros((0, columns))
        self._inside, self._mean, self._between = np.zeros(columns), np.zeros(columns), np.zeros(columns)

    def add(self, values: Floats) -> None:
        """Take (n, L) rows, the next replications in order."""
        values = np.concatenate([self._begun, values])
        whole = len(values) // self.lucks * self.lucks
        self._begun = values[whole:]
        grouped = values[:whole].reshape(-1, self.lucks, values.shape[1])
        there = np.asarray(np.isfinite(grouped).all(axis=1))
        n = there.sum(axis=0)
        filled = np.where(there[:, None], grouped, 0.0)
        means = filled.mean(axis=1)
        self._inside += ((filled - means[:, None]) ** 2).sum(axis=(0, 1))
        mean = means.sum(axis=0) / np.maximum(n, 1)
        squares = (np.where(there, means - mean, 0.0) ** 2).sum(axis=0)
        total = self.points + n
        gap = mean - self._mean
        share = n / np.maximum(total, 1)
        # Sums of squares about a running mean: those about zero would lose all digits of a small spread.
        self._between += squares + gap**2 * self.points * share
        self._mean += gap * share
        self.points = total

    def parts(self) -> tuple[Floats, Floats]:
        """(L,) variance of the assumptions and of luck; nan with fewer than two points."""
        with np.errstate(invalid="ignore", divide="ignore"):
            luck = self._inside / (self.points * (self.lucks - 1))
            between = self.lucks * self._between / (self.points - 1)
            assumptions = np.maximum(0.0, (between - luck) / self.lucks)
        few = self.points < 2
        return np.where(few, np.nan, assumptions), np.where(few, np.nan, luck)
