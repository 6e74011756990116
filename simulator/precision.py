"""Precision instead of a count: when are there enough replications, and how sure is the answer at that moment?

A rule looks at fixed numbers of replications (`Rule.schedule`) and stops at the first look at which the interval is narrow enough.
Two things can go wrong with an ordinary 95 % interval then, and each has its remedy.

*It is looked at often.* The rule sees widths alone, never the sign or size of a difference. Widths that shrink to a bound leave the
coverage of the mean as it is in the limit (Chow and Robbins 1965, Annals of Mathematical Statistics 36); what is lost on the way
there, because a look at which the spread was underestimated ends the search, is made good by the quantile of a level of 96.5 %.
Who looks at the differences themselves, as a ranking does, needs more: see `ranking`.

*Differences are skewed*: nothing in most futures, much in a few. The mean of n then misses on one side, and Student's interval
covers 88 to 91 % where it says 95. Expanding the distribution of the studentised mean (Hall 1992, The Bootstrap and Edgeworth
Expansion, 2.6; after Johnson 1978, JASA 73) moves both ends by g (2 z^2 + 1) / (6 n) standard deviations, g the skewness. The
interval here reaches as far to both sides as the longer one, so that it is a half-width:

    half = s / sqrt(n) * (z + |g| (2 z^2 + 1) / (6 sqrt(n)))

Measured over 2,000 repeats each (tests/test_precision.py): at the stop 96 to 97 % of intervals cover for normal differences and are
8 % wider than Student's at the same count; 95 to 97 % for log-normal ones that are zero every other time, 18 to 28 % wider. A
confidence sequence that is valid at every moment (Waudby-Smith and others 2024, Annals of Statistics 52: radius
s sqrt(2 (n r + 1) / (n^2 r) log(sqrt(n r + 1) / 0.05)), r tuned to a count) covers 98 to 100 %, is at least 55 % wider and needs
twice the replications of this rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.problems import InputProblems, Problem, shown
from simulator.statistics import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STEP = 100
"""Looks come at multiples of this: the replications of a stored part"""
FIRST = 200
"""The first look: before it neither spread nor skewness is known well enough"""
GROWTH = 1.25
"""From look to look: at most a quarter of the replications is more than needed, an eighth on average"""
FEWEST = 10
"""Independent units before the first look, where several replications make up one"""
MOST = 100_000
"""Replications at which a rule gives up unless told otherwise"""
AT_A_LOOK = 0.965
"""Level of the quantile of an interval, for 95 % at the stop"""
WORTH = 12
"""Looks overlap so much that all of a schedule are worth this many independent ones (measured: quantile 2.85 for 5 % in all)"""


# ---- intervals --------------------------------------------------------------------------------------------------------------


class Moments:
    """Mean, spread and skewness of L columns whose rows come piece by piece, in order.

    `unit` rows belong together (an even design, several lucks of one point) and count as one number, their mean. What is not
    finite counts as missing. A unit begun and not ended is left out.
    """

    def __init__(self, columns: int, unit: int = 1):
        self.unit = unit
        self.count = np.zeros(columns)
        self.mean, self._second, self._third = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self._begun = np.zeros((0, columns))

    def add(self, values: Floats) -> None:
        """Take (n, L) further rows."""
        values = np.concatenate([self._begun, np.asarray(values, dtype=np.float64)])
        whole = len(values) // self.unit
        self._begun = values[whole * self.unit :]
        grouped = values[: whole * self.unit].reshape(whole, self.unit, values.shape[1])
        known = np.isfinite(grouped)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows = np.where(known, grouped, 0.0).sum(axis=1) / known.sum(axis=1)
        there = np.isfinite(rows)
        n = there.sum(axis=0)
        mean = np.where(there, rows, 0.0).sum(axis=0) / np.maximum(n, 1)
        away = np.where(there, rows - mean, 0.0)
        second, third = (away**2).sum(axis=0), (away**3).sum(axis=0)
        # Two sets of rows as one: their central moments about the common mean.
        before, total = self.count, self.count + n
        some = np.maximum(total, 1)
        gap = np.where(n > 0, mean - self.mean, 0.0)
        cross = gap**3 * before * n * (before - n) / some**2
        self._third = self._third + third + cross + 3 * gap * (before * second - n * self._second) / some
        self._second = self._second + second + gap**2 * before * n / some
        self.mean = self.mean + gap * n / some
        self.count = total

    def half(self, level: float = AT_A_LOOK) -> Floats:
        """(L,) half-width of the interval of each mean, longer for skewed numbers; nan for fewer than two units."""
        from scipy.special import stdtrit

        n = np.maximum(self.count, 2)
        z = stdtrit(n - 1, (1 + level) / 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            skew = np.where(self._second > 0, np.abs(self._third) / n / (self._second / n) ** 1.5, 0.0)
            wide = np.sqrt(self._second / (n - 1) / n) * (z + skew * (2 * z**2 + 1) / (6 * np.sqrt(n)))
        return np.asarray(np.where(self.count > 1, wide, np.nan), dtype=np.float64)


def interval(differences: Floats, unit: int = 1) -> tuple[float, float]:
    """Mean of (N,) numbers in order of their replications and the half-width of its interval; nan for fewer than two units."""
    moments = Moments(1, unit)
    moments.add(np.asarray(differences, dtype=np.float64)[:, None])
    return float(moments.mean[0]) if moments.count[0] else math.nan, float(moments.half()[0])


# ---- rules ------------------------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """What is known after a number of replications."""

    replications: int
    means: tuple[float, ...]
    """Mean paired difference of each scenario from the reference"""
    halves: tuple[float, ...]
    """Half-widths of their intervals; nan if not known yet"""
    reference: float
    """Mean of the reference"""
    target: float | None
    """The largest half-width allowed; None if the rule asks for none"""

    @property
    def widest(self) -> float:
        """The largest half-width; nan if one is not known."""
        return math.nan if any(map(math.isnan, self.halves)) else max(self.halves, default=0.0)

    @property
    def reached(self) -> bool:
        """True if every interval is narrow enough."""
        return self.target is not None and self.widest <= self.target

    @property
    def needed(self) -> int | None:
        """Replications that it will take, from the widest half-width, which shrinks as their square root; None if unknown."""
        if self.target is None or not self.widest >= 0 or (self.target == 0 and self.widest > 0):
            return None
        ratio = self.widest / self.target if self.widest else 0.0
        return self.replications if ratio <= 1 else math.ceil(self.replications * ratio**2)


@dataclass(frozen=True)
class Rule:
    """When to stop. Whichever comes first: every interval is narrow enough, time is up, there are enough replications."""

    relative: float | None = None
    """Largest half-width as a share of the mean of the reference"""
    absolute: float | None = None
    """Largest half-width in the unit of the headline. With `relative`: both must hold."""
    budget: float | None = None
    """Seconds"""
    maximum: int = MOST

    def __post_init__(self) -> None:
        for name, value in (("relative", self.relative), ("absolute", self.absolute), ("budget", self.budget)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a positive number, not {shown(value)}")
        if self.maximum < 1:
            raise ValueError(f"there must be at least one replication, not {shown(self.maximum)}")

    @classmethod
    def parse(
        cls,
        precision: str | float | None = None,
        precision_abs: str | float | None = None,
        budget: str | float | None = None,
        maximum: int | None = None,
        *,
        unit: str = "",
        file: str = "command line",
    ) -> Rule:
        """A rule from what was written, for example `2%`, `0.5 GW`, `20s`. Raises InputProblems with all that is wrong."""
        problems: list[Problem] = []

        def read(option: str, reader: Any, value: Any) -> Any:
            try:
                return None if value is None else reader(value)
            except ValueError as error:
                problems.append(Problem(file, 0, option, str(error)))
                return None

        rule = (
            read("--precision", share, precision),
            read("--precision-abs", lambda value: amount(value, unit), precision_abs),
            read("--budget", seconds, budget),
            read("--max-replications", _count, maximum),
        )
        if problems:
            raise InputProblems(problems)
        return cls(*rule[:3], MOST if maximum is None else maximum)

    @property
    def precise(self) -> bool:
        """True if it asks for a width."""
        return self.relative is not None or self.absolute is not None

    def schedule(self, unit: int = 1) -> Iterator[int]:
        """Numbers of replications at which it looks: multiples of `STEP`, each a quarter more than the last, then the maximum.

        They depend on nothing but the rule and the design (`unit` replications belong together), so neither does the stop.
        """
        count = STEP * -(-max(FIRST, FEWEST * unit) // STEP)
        while count < self.maximum:
            yield count
            count = STEP * math.ceil(round(count * GROWTH / STEP, 9))
        yield self.maximum

    def target(self, reference: float) -> float | None:
        """The largest half-width allowed, given the mean of the reference; None if it asks for none."""
        allowed = [] if self.absolute is None else [self.absolute]
        if self.relative is not None:
            allowed.append(self.relative * abs(reference))
        return min(allowed) if allowed else None

    def out_of_time(self, elapsed: float) -> bool:
        """True if the budget is spent. Asked between parts: the count reached is then a matter of the clock, and of the run id."""
        return self.budget is not None and elapsed >= self.budget

    def done(self, looks: Sequence[Look]) -> bool:
        """True if the last look was the last one. `looks` in order, at counts of the schedule."""
        return bool(looks) and (looks[-1].reached or looks[-1].replications >= self.maximum)


class Looks:
    """A rule at work: takes replications in order as they come and looks when the schedule says so.

    What it says depends on the numbers and their order alone, not on the pieces they come in.
    """

    def __init__(self, rule: Rule, pairs: int, unit: int = 1):
        self.rule = rule
        self.replications = 0
        self.made: list[Look] = []
        self._moments = Moments(pairs + 1, unit)  # last column: the reference
        self._schedule = rule.schedule(unit)
        self._next: int | None = next(self._schedule)

    def add(self, differences: Floats, reference: Floats) -> int:
        """Take (n, pairs) paired differences and (n,) numbers of the reference, the next replications. Stops at the last look.

        Returns how many it took: those after the last look do not belong to the answer.
        """
        rows = np.column_stack([differences, reference])
        taken = 0
        while taken < len(rows) and not self.done:
            assert self._next is not None
            piece = rows[taken : taken + self._next - self.replications]
            self._moments.add(piece)
            taken += len(piece)
            self.replications += len(piece)
            if self.replications == self._next:
                self.made.append(self.now())
                self._next = next(self._schedule, None)
        return taken

    @property
    def done(self) -> bool:
        """True if the rule is met, or the maximum reached."""
        return self.rule.done(self.made)

    def now(self) -> Look:
        """What is known of all that was taken, for progress and for a stop by the clock."""
        known = self._moments.count > 0
        means = np.where(known, self._moments.mean, np.nan).tolist()
        halves = self._moments.half().tolist()
        return Look(self.replications, tuple(means[:-1]), tuple(halves[:-1]), means[-1], self.rule.target(means[-1]))

    def forecast(self) -> int:
        """Replications at which it will probably stop: the first count of the schedule that suffices by what is known now."""
        needed = self.now().needed
        if needed is None:
            return self.rule.maximum
        return next(count for count in self.rule.schedule(self._moments.unit) if count >= min(needed, self.rule.maximum))


# ---- ranking ----------------------------------------------------------------------------------------------------------------


class Close(NamedTuple):
    """Two neighbours in a ranking that further replications may exchange."""

    above: str
    below: str
    gap: float
    half: float
    needed: int | None
    """Replications that would probably tell them apart"""


class Ranking(NamedTuple):
    """Scenarios in the order of their means, and whether more replications could change it."""

    order: tuple[str, ...]
    close: tuple[Close, ...]
    """Neighbours not told apart, the nearest first"""
    equal: tuple[tuple[str, str], ...]
    """Neighbours with the same value in every replication: no number of them will part those"""

    @property
    def settled(self) -> bool:
        """True if more replications would not change the order."""
        return not self.close

    def text(self, unit: str = "", most: int = 3) -> str:
        """The answer in a sentence or two."""
        after = f" {unit}" if unit else ""
        same = ", ".join(f"{a} and {b}" for a, b in self.equal[:most])
        note = f" Equal in every replication: {same}{' and others' if len(self.equal) > most else ''}." if self.equal else ""
        if self.settled:
            return f"More replications would not change the ranking.{note}"
        pairs = []
        for one in self.close[:most]:
            told = "more than can be foreseen" if one.needed is None else f"about {one.needed:,}"
            pairs.append(f"{one.above} and {one.below} ({one.gap:,.4g} ± {one.half:,.2g}{after}; {told} would tell)")
        more = f", and {len(self.close) - most} other pairs" if len(self.close) > most else ""
        return f"More replications may change the ranking: {'; '.join(pairs)}{more} are not told apart.{note}"


def ranking(values: Mapping[str, Floats], unit: int = 1) -> Ranking:
    """Rank scenarios by the means of (N,) numbers, paired by replication, the highest first.

    Neighbours are told apart at 5 % for all of them and all looks together: unlike the width of an interval, the order of two
    scenarios is something one might stop for because one likes it. If neighbours are told apart, so are all others.
    """
    names = list(values)
    if len(names) < 2:
        return Ranking(tuple(names), (), ())
    table = np.column_stack([np.asarray(values[name], dtype=np.float64) for name in names])
    table = table[: len(table) // unit * unit].copy()
    there = np.asarray(np.isfinite(table).all(axis=1), dtype=np.bool_)
    table[~there] = np.nan  # the same replications for all, or the order of three would not follow from two pairs
    means = table[there].sum(axis=0) / max(int(there.sum()), 1)
    order = sorted(range(len(names)), key=lambda i: (-means[i], i))
    moments = Moments(len(names) - 1, unit)
    gaps = table[:, order[:-1]] - table[:, order[1:]]
    moments.add(gaps)
    halves = moments.half(1 - (1 - LEVEL) / (WORTH * (len(names) - 1)))
    close, equal = [], []
    for i, (half, gap) in enumerate(zip(halves.tolist(), moments.mean.tolist(), strict=True)):
        above, below = names[order[i]], names[order[i + 1]]
        if there.any() and not gaps[there, i].any():
            equal.append((above, below))
        elif not gap > half:
            needed = math.ceil(len(table) * (half / gap) ** 2 / STEP) * STEP if gap > 0 and half / gap < STEP else None
            close.append(Close(above, below, gap, half, needed))
    close.sort(key=lambda one: one.gap / one.half if one.half > 0 else 0.0)
    return Ranking(tuple(names[i] for i in order), tuple(close), tuple(equal))


def ranking_settled(values: Mapping[str, Floats], unit: int = 1, measured_in: str = "") -> str:
    """Would more replications change the ranking? In words."""
    return ranking(values, unit).text(measured_in)


# ---- what is written --------------------------------------------------------------------------------------------------------

NUMBER = r"(\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
LARGER = {"MW": {"GW": 1000.0}, "USD": {"million USD": 1e6, "billion USD": 1e9}}
"""Larger units that may be written, by the first word of the unit that a metric has"""


def share(value: str | float) -> float:
    """A share of the mean of the reference, from `2%` or 0.02. Raises ValueError that says what to write."""
    found = re.fullmatch(rf"({NUMBER})\s*(%?)", str(value).strip())
    number = float(found[1]) / (100 if found[3] else 1) if found and not isinstance(value, bool) else 0.0
    if not 0 < number < 1:
        raise ValueError(f"{shown(value)} is not a share of the mean of the reference; write for example 2%")
    return number


def seconds(value: str | float) -> float:
    """A time in seconds, from `20s`, `5min`, `1h`, `1h30min` or a number of seconds. Raises ValueError that says what to write."""
    text = str(value).strip()
    parts = re.findall(rf"({NUMBER})\s*(s|min|h)\s*", text)
    whole = re.fullmatch(rf"(?:{NUMBER}\s*(?:s|min|h)\s*)+", text)
    number = 0.0
    if not isinstance(value, bool):
        if whole:
            number = sum(float(part[0]) * SECONDS[part[2]] for part in parts)
        elif re.fullmatch(NUMBER, text):
            number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{shown(value)} is not a length of time; write for example 20s, 5min or 1h")
    return number


def amount(value: str | float, unit: str = "") -> float:
    """A quantity in `unit`, from a number with or without it, or with a larger one (`0.5 GW` where the unit is MW).

    Raises ValueError that says what to write.
    """
    short = unit.split(" ")[0]
    known = {unit: 1.0, short: 1.0, **LARGER.get(short, {})} if unit else {}
    found = re.fullmatch(rf"({NUMBER})\s*(\S.*)?", str(value).strip())
    scale = 1.0 if found and found[3] is None else known.get(found[3], 0.0) if found else 0.0
    number = float(found[1]) * scale if found and not isinstance(value, bool) else 0.0
    if not (number > 0 and math.isfinite(number)):
        like = f"50 {short}".strip() + (f" or 0.5 {next(iter(LARGER[short]))}" if short in LARGER else "")
        raise ValueError(f"{shown(value)} is not a positive quantity; write for example {like}")
    return number


def _count(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{shown(value)} is not a number of replications; write a whole number of at least 1")
    return value
