"""Stopping by precision: the interval at the stop covers, costs little, and the stop depends on nothing but numbers and rule."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from simulator.precision import (
    AT_A_LOOK,
    FEWEST,
    FIRST,
    MOST,
    STEP,
    WORTH,
    Look,
    Looks,
    Moments,
    Rule,
    amount,
    interval,
    ranking,
    ranking_settled,
    seconds,
    share,
)
from simulator.problems import InputProblems
from simulator.statistics import LEVEL, half_width

REPEATS = 2000
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences of mean 1 and spread 2."""
    return 1 + 2 * rng.standard_normal(shape)


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Exactly zero in half of the futures, log-normal in the others: skewness 6."""
    return np.where(rng.random(shape) < 0.5, 0.0, np.exp(rng.standard_normal(shape)))


def blocks(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Units of ten that share most of what they have."""
    units = np.repeat(rng.standard_normal((shape[0] // 10, shape[1])), 10, axis=0)
    return units + 0.5 * rng.standard_normal(shape)


MODELS: dict[str, tuple[Draw, float, float, int]] = {
    # how to draw, known mean, known spread of a unit's mean, replications of a unit
    "normal": (normal, 1.0, 2.0, 1),
    "skewed": (skewed, math.exp(0.5) / 2, math.sqrt(math.exp(2) / 2 - math.exp(1) / 4), 1),
    "blocks": (blocks, 0.0, math.sqrt(1 + 0.25 / 10), 10),
}


class Stops:
    """Where each of many repeats stops, for several widths asked for, and what its interval is then."""

    def __init__(self, name: str, suffice: tuple[int, ...], seed: int, unit: int | None = None):
        draw, self.mean, spread, size = MODELS[name]
        unit = unit or size
        rng = np.random.default_rng(seed)
        self.bounds = [float(stdtrit(n // size - 1, 0.975)) * spread / math.sqrt(n / size) for n in suffice]
        counts = list(itertools.takewhile(lambda n: n <= 3 * max(suffice), Rule(maximum=10**6).schedule(unit)))
        moments = Moments(REPEATS, unit)
        means, halves, student, always = [], [], [], []
        for before, count in itertools.pairwise((0, *counts)):
            moments.add(draw(rng, (count - before, REPEATS)))
            means.append(moments.mean.copy())
            halves.append(moments.half())
            always.append(moments.half(1 - (1 - LEVEL) / WORTH))
            n = moments.count
            student.append(stdtrit(n - 1, 0.975) * np.sqrt(moments._second / (n - 1) / n))
        self.counts, self.always = np.array(counts), np.array(always)
        self.means, self.halves, self.student = np.array(means), np.array(halves), np.array(student)

    def at(self, bound: float) -> tuple[float, float, float]:
        """Share of intervals that cover, width over that of a fixed count, replications used; for one width asked for."""
        narrow = self.halves <= bound
        assert narrow[-1].mean() > 0.9
        narrow[-1] = True  # the maximum of the rule
        stop, column = narrow.argmax(axis=0), np.arange(REPEATS)
        off, half = np.abs(self.means - self.mean)[stop, column], self.halves[stop, column]
        return float((off <= half).mean()), float((half / self.student[stop, column]).mean()), float(self.counts[stop].mean())


SUFFICE = (150, 400, 1200)
"""Replications of which a fixed number would do, for the widths asked for"""


@cache
def stops_of(name: str) -> Stops:
    return Stops(name, SUFFICE, seed=4)


@pytest.mark.parametrize(("name", "wider"), [("normal", 1.12), ("skewed", 1.35), ("blocks", 1.25)])
def test_at_least_94_of_100_intervals_cover_at_the_stop(name: str, wider: float) -> None:
    stops = stops_of(name)
    for suffice, bound in zip(SUFFICE, stops.bounds, strict=True):
        covers, width, used = stops.at(bound)
        print(f"{name}: {suffice} suffice, {used:.0f} used, covers {covers:.1%}, {width:.2f} of a fixed count's width")
        assert covers >= 0.94, (name, suffice)
        assert 1 <= width <= wider, (name, suffice)
    if name == "normal":  # the first look apart, few more than a fixed number that one cannot know
        assert used <= 1.6 * SUFFICE[-1]


def test_students_interval_would_not_cover_skewed_differences() -> None:
    """What the wider interval is for: the same rule with Student's interval misses more than six in a hundred."""
    stops = copy(stops_of("skewed"))
    stops.halves = stops.student
    assert min(stops.at(bound)[0] for bound in stops.bounds) < 0.93


def test_replications_that_belong_together_are_not_counted_apart() -> None:
    """Taken one by one, ten that share their luck look ten times as sure as they are."""
    assert Stops("blocks", (1000,), seed=4, unit=1).at(0.1)[0] < 0.7


def test_a_ranking_looked_at_again_and_again_keeps_its_level() -> None:
    stops = Stops("normal", (1600,), seed=5)
    assert (np.abs(stops.means - stops.mean) <= stops.always).all(axis=0).mean() >= 0.95
    assert (np.abs(stops.means - stops.mean) <= stops.student).all(axis=0).mean() < 0.8  # so the level is needed


def test_a_confidence_sequence_would_need_twice_the_replications() -> None:
    """Why the interval is not one: Waudby-Smith and others 2024, tuned to 1,000 replications."""
    stops = copy(stops_of("normal"))
    used = [stops.at(bound)[2] for bound in stops.bounds[1:]]
    n, a = stops.counts[:, None], 1 - LEVEL
    rho = (-2 * math.log(a) + math.log(-2 * math.log(a) + 1)) / 1000
    z = np.sqrt(2 * (n * rho + 1) / (n * rho) * np.log(np.sqrt(n * rho + 1) / a))
    stops.halves = stops.student / stdtrit(n - 1, 0.975) * z
    for bound, ours in zip(stops.bounds[1:], used, strict=True):
        narrow = stops.halves <= bound  # one that has not stopped by the last count is taken to stop there
        theirs = np.where(narrow.any(axis=0), stops.counts[narrow.argmax(axis=0)], stops.counts[-1]).mean()
        assert theirs > 1.6 * ours


# ------------------------------------------------------------------ intervals


def test_the_interval_is_students_but_for_level_and_skewness() -> None:
    even = np.concatenate([np.arange(-50.0, 51.0)] * 3)  # no skewness at all
    mean, half = interval(even)
    assert mean == pytest.approx(0, abs=1e-12)
    ratio = float(stdtrit(302, (1 + AT_A_LOOK) / 2) / stdtrit(302, 0.975))
    assert half == pytest.approx(half_width(even) * ratio, rel=1e-9)
    uneven = even**2
    assert interval(uneven)[1] > half_width(uneven) * ratio * 1.01


def test_moments_do_not_depend_on_the_pieces() -> None:
    rows = np.random.default_rng(1).lognormal(size=(730, 3)) + 1e6  # far from zero: digits would be lost in sums of cubes
    rows[::7, 1] = np.nan
    whole = Moments(3)
    whole.add(rows)
    cut = Moments(3)
    for piece in np.split(rows, [1, 2, 100, 100, 600]):
        cut.add(piece)
    assert cut.count.tolist() == whole.count.tolist() == [730, 730 - 105, 730]
    assert cut.mean == pytest.approx(whole.mean, rel=1e-14)
    assert cut.half() == pytest.approx(whole.half(), rel=1e-7)
    column = rows[np.isfinite(rows[:, 1]), 1]
    away = column - column.mean()
    n, z = len(column), float(stdtrit(len(column) - 1, (1 + AT_A_LOOK) / 2))
    skewness = (away**3).mean() / (away**2).mean() ** 1.5
    by_hand = column.std(ddof=1) / math.sqrt(n) * (z + abs(skewness) * (2 * z * z + 1) / (6 * math.sqrt(n)))
    assert whole.half()[1] == pytest.approx(by_hand, rel=1e-7)


def test_units_are_taken_whole_and_by_their_means() -> None:
    values = np.random.default_rng(2).standard_normal(1049)
    means = values[:1040].reshape(104, 10).mean(axis=1)
    assert interval(values, 10) == pytest.approx(interval(means))
    pieces = Moments(1, 10)
    for piece in np.split(values[:, None], [3, 17, 500]):
        pieces.add(piece)
    assert pieces.mean[0] == pytest.approx(means.mean()) and pieces.count[0] == 104


def test_too_little_to_know() -> None:
    assert all(math.isnan(number) for number in interval(np.array([])))
    assert interval(np.array([3.0]))[0] == 3 and math.isnan(interval(np.array([3.0]))[1])
    assert all(math.isnan(number) for number in interval(np.full(300, np.nan)))
    assert interval(np.zeros(200)) == (0.0, 0.0)


# ------------------------------------------------------------------ rules


def test_the_schedule_is_fixed() -> None:
    rule = Rule(relative=0.02)
    counts = list(rule.schedule())
    assert counts[:8] == [200, 300, 400, 500, 700, 900, 1200, 1500] and counts[-1] == MOST
    assert all(count % STEP == 0 for count in counts)
    assert all(a < b for a, b in itertools.pairwise(counts))
    assert all(b <= max(a + STEP, a * 1.25 + STEP) for a, b in itertools.pairwise(counts))
    assert list(Rule(maximum=250).schedule()) == [200, 250]
    assert list(Rule(maximum=30).schedule()) == [30]
    assert next(Rule().schedule(unit=64)) == 700 >= FEWEST * 64
    assert next(Rule().schedule(unit=5)) == FIRST


@pytest.mark.parametrize("cuts", [(), (100, 200, 300, 400, 500), (1, 199, 777), tuple(range(40, 1000, 40))])
def test_the_stop_does_not_depend_on_the_pieces(cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(8)
    gaps, reference = rng.normal(5, 20, (2000, 2)), rng.normal(100, 30, 2000)
    looks = Looks(Rule(relative=0.03), pairs=2)
    taken = 0
    for piece in np.split(np.arange(2000), cuts):
        taken += looks.add(gaps[piece], reference[piece])
    assert looks.done and taken == looks.replications == 300
    assert [look.replications for look in looks.made] == [200, 300]
    first, last = looks.made
    assert first.widest > 0.03 * first.reference and last.widest <= 0.03 * last.reference
    assert last.halves[1] == pytest.approx(interval(gaps[:300, 1])[1], rel=1e-9)
    assert last.means[0] == pytest.approx(gaps[:300, 0].mean()) and last.reference == pytest.approx(reference[:300].mean())
    assert looks.add(gaps, reference) == 0 and looks.now() == last  # what comes later does not belong to the answer


def test_every_interval_must_be_narrow_enough() -> None:
    rng = np.random.default_rng(3)
    gaps = np.column_stack([rng.normal(0, 1, 5000), rng.normal(0, 10, 5000)])
    narrow, both = Looks(Rule(absolute=0.5), pairs=1), Looks(Rule(absolute=0.5), pairs=2)
    narrow.add(gaps[:, :1], np.ones(5000))
    both.add(gaps, np.ones(5000))
    assert narrow.replications == 200 and both.replications > 1500


def test_of_two_widths_the_smaller_counts_and_none_is_never_reached() -> None:
    assert Rule(relative=0.02, absolute=5.0).target(-1000.0) == 5.0
    assert Rule(relative=0.02, absolute=50.0).target(-1000.0) == 20.0
    assert Rule(budget=3.0).target(1000.0) is None and not Rule(budget=3.0).precise
    looks = Looks(Rule(budget=3.0, maximum=700), pairs=1)
    looks.add(np.zeros((600, 1)), np.ones(600))
    assert not looks.done and looks.forecast() == 700
    looks.add(np.zeros((600, 1)), np.ones(600))
    assert looks.done and looks.replications == 700


def test_a_share_of_nothing_is_never_reached_unless_nothing_differs() -> None:
    rng = np.random.default_rng(3)
    looks = Looks(Rule(relative=0.02, maximum=1000), pairs=1)
    looks.add(rng.standard_normal((1000, 1)), np.zeros(1000))
    assert looks.done and looks.replications == 1000 and not looks.made[-1].reached and looks.made[-1].needed is None
    same = Looks(Rule(relative=0.02, maximum=1000), pairs=1)
    same.add(np.zeros((1000, 1)), np.zeros(1000))
    assert same.replications == 200 and same.made[-1].reached


def test_what_is_not_known_is_not_narrow() -> None:
    looks = Looks(Rule(absolute=1.0, maximum=500), pairs=2)
    looks.add(np.column_stack([np.zeros(500), np.full(500, np.nan)]), np.ones(500))
    assert looks.replications == 500 and not looks.made[0].reached and looks.forecast() == 500


def test_the_forecast_is_honest() -> None:
    """Early on, the count at which it will stop is known to within a look."""
    counts, right = list(Rule().schedule()), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gaps, reference = rng.normal(0, 100, (6000, 1)), np.full(6000, 100.0)
        looks = Looks(Rule(relative=0.05), pairs=1)
        looks.add(gaps[:400], reference[:400])
        guess = looks.forecast()
        looks.add(gaps[400:], reference[400:])
        right += abs(counts.index(guess) - counts.index(looks.replications)) <= 1
    assert right >= 39


def test_the_budget_is_a_matter_of_the_clock() -> None:
    rule = Rule(relative=0.01, budget=20.0)
    assert not rule.out_of_time(19.9) and rule.out_of_time(20.0)
    assert not Rule(relative=0.01).out_of_time(1e9)
    look = Look(300, (1.0,), (4.0,), 100.0, 1.0)
    assert not rule.done([]) and not rule.done([look]) and look.needed == 4800
    assert rule.done([look, look._replace(replications=MOST)]) and rule.done([look, look._replace(halves=(1.0,))])


# ------------------------------------------------------------------ ranking


def test_a_ranking_says_which_neighbours_might_change_places() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(1000, 300, 800)
    values = {
        "b": base, "a": base + 50 + rng.normal(0, 20, 800), "like-b": base.copy(), "c": base - 1 + rng.normal(0, 40, 800),
    }  # fmt: skip
    found = ranking(values)
    assert found.order == ("a", "b", "like-b", "c") and found.equal == (("b", "like-b"),)
    assert [(one.above, one.below) for one in found.close] == [("like-b", "c")] and not found.settled
    text = ranking_settled(values, measured_in="MW")
    assert text.startswith("More replications may change the ranking: like-b and c (") and "MW; about " in text
    assert "Equal in every replication: b and like-b." in text
    del values["c"], values["like-b"]
    assert ranking(values).settled and ranking_settled(values) == "More replications would not change the ranking."
    assert ranking({"b": base}).settled


def test_the_replications_said_to_tell_neighbours_apart_do_so() -> None:
    told = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one, other = rng.normal(3, 40, (2, 20_000))
        one += 3
        (close,) = ranking({"one": one[:400], "other": other[:400]}).close or (None,)
        if close and close.above == "one" and close.needed and close.needed <= 10_000:
            told += ranking({"one": one[: 2 * close.needed], "other": other[: 2 * close.needed]}).settled
        else:
            told += 1
    assert told >= 16


def test_a_ranking_uses_the_same_replications_for_all() -> None:
    values = {"a": np.array([1.0, 9.0, 1.0] * 100), "b": np.array([0.0, np.nan, 0.0] * 100)}
    found = ranking(values)
    assert found.order == ("a", "b") and found.settled
    with_units = ranking({"a": np.arange(100.0), "b": np.arange(100.0) - 1e-3}, unit=7)
    assert with_units.order == ("a", "b") and with_units.settled


# ------------------------------------------------------------------ what is written


@pytest.mark.parametrize(
    ("reader", "text", "number"),
    [
        (share, "2%", 0.02), (share, " 0.5 % ", 0.005), (share, 0.02, 0.02), (share, "1e-3", 0.001), (seconds, "20s", 20),
        (seconds, "5min", 300), (seconds, "1h 30min", 5400), (seconds, "1.5 h", 5400), (seconds, 20, 20), (amount, "50", 50),
        (lambda text: amount(text, "MW IT"), "0.5 GW", 500), (lambda text: amount(text, "MW IT"), "50 MW", 50),
        (lambda text: amount(text, "MW IT"), "50 MW IT", 50), (lambda text: amount(text, "USD (real 2025)"), "2 billion USD", 2e9),
    ],
)  # fmt: skip
def test_what_is_written_is_read(reader: Any, text: str, number: float) -> None:
    assert reader(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "2 percent", "-2%", "0%", "200%", "nan%", "inf", "two", "2%%", "1,5%", True, "1e400%"])
def test_what_is_no_share_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a share of the mean of the reference; write for example 2%"):
        share(text)


@pytest.mark.parametrize("text", ["", "20 seconds", "-5min", "0s", "nan", "inf", "5 m", "s", "1h30", "1e400", True])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a length of time; write for example 20s, 5min or 1h"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "5 GWh", "-5", "0 MW", "nan", "5 TWh", "GW", "1e400 MW", "2%", False])
def test_what_is_no_quantity_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a positive quantity; write for example 50 MW or 0.5 GW"):
        amount(text, "MW IT")


def test_all_that_is_wrong_with_the_options_is_said_at_once() -> None:
    with pytest.raises(InputProblems) as raised:
        Rule.parse("two", "5 m", "soon", 0, unit="MW IT")
    assert [problem.field for problem in raised.value.problems] == [
        "--budget", "--max-replications", "--precision", "--precision-abs",
    ]  # fmt: skip
    assert "command line: --budget: 'soon' is not a length of time; write for example 20s, 5min or 1h" in str(raised.value)
    rule = Rule.parse("2%", "0.5 GW", "1min", 1000, unit="MW IT")
    assert rule == Rule(relative=0.02, absolute=500.0, budget=60.0, maximum=1000)
    assert Rule.parse() == Rule() and not Rule().precise


@pytest.mark.parametrize("wrong", [{"relative": 0.0}, {"absolute": -1.0}, {"budget": math.nan}, {"maximum": 0}])
def test_a_rule_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rule(**wrong)
