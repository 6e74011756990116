"""Units: conversions are exact where they claim to be, go back and forth, and the calendar has no gaps."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import units

days_of_life = st.dates(date(1990, 1, 1), date(2060, 12, 31))


@given(st.integers(-(2**40), 2**40))
def test_ticks_to_days_and_back_loses_nothing(tick: int) -> None:
    assert Fraction(units.days(tick)) == Fraction(tick, 2**20)
    assert units.ticks(units.days(tick)) == tick


@given(st.floats(-20_000, 20_000))
def test_days_become_the_nearest_tick(days: float) -> None:
    assert abs(Fraction(units.ticks(days)) - Fraction(days) * 2**20) <= Fraction(1, 2)


@given(days_of_life, days_of_life, st.integers(0, units.TICKS_PER_DAY - 1))
def test_a_day_begins_at_its_tick_and_holds_every_tick_until_the_next(day: date, start: date, inside: int) -> None:
    begins = units.tick_of(day, start)
    assert begins == (day.toordinal() - start.toordinal()) * 2**20
    assert units.day_of(begins + inside, start) == day
    assert units.day_of(begins - 1, start) == day - timedelta(days=1)


@given(st.integers(-(10**9), 10**9))
def test_sixteenths_of_a_megawatt_are_exact(sixteenths: int) -> None:
    assert Fraction(units.mw(sixteenths)) == Fraction(sixteenths, 16)
    assert units.mw16(units.mw(sixteenths)) == sixteenths


def test_the_smallest_steps() -> None:
    assert units.mw16(1) == 16
    assert units.mw16(0.0625) == 1
    assert units.mw16(0.03) == 0
    assert units.thousands(1_000) == 1
    assert units.thousands(1_499) == 1
    assert units.thousands(-2_000) == -2
    assert units.facility_mw(100.0, 1.3) == pytest.approx(130.0)


@given(st.integers(0, 10_000_000))
def test_shares_in_parts_per_million_come_back(millionths: int) -> None:
    assert units.ppm(millionths / 1e6) == millionths


def test_an_h100_is_one_by_either_measure_and_the_two_measures_differ() -> None:
    assert units.h100e_ppm(1979) == 1_000_000
    assert units.h100e_tpp(15_824) == 1.0
    # 1,979 x 8 bit is 15,832, not the 15,824 of the legal note: the measures are not multiples of each other.
    assert units.h100e_tpp(1979 * 8) != 1.0


@given(st.floats(1, 100_000))
def test_h100_equivalents_are_rounded_to_a_millionth(tops: float) -> None:
    assert abs(Fraction(units.h100e_ppm(tops)) - Fraction(tops) / 1979 * 10**6) <= Fraction(1, 2) + Fraction(1, 10**4)


def test_a_probability_of_zero_never_passes_and_of_one_always_does() -> None:
    assert units.threshold(0.0) == 0
    assert units.threshold(1.0) == 2**62
    assert units.threshold(0.5) == 2**61
    assert units.threshold(-0.1) == 0
    assert units.threshold(1.1) == 2**62
    assert units.threshold(2.0**-62) == 1
    assert units.threshold(2.0**-64) == 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_thresholds_are_in_the_order_of_their_probabilities(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= units.threshold(low) <= units.threshold(high) <= units.LARGEST


@given(days_of_life, st.integers(0, 400))
def test_month_ends_are_every_months_last_day(start: date, length: int) -> None:
    end = start + timedelta(days=length)
    ends = units.month_ends(start, end)
    assert ends[0] >= start
    assert ends[-1] >= end
    assert (ends[0].year, ends[0].month) == (start.year, start.month)
    assert (ends[-1].year, ends[-1].month) == (end.year, end.month)
    following = [day + timedelta(days=1) for day in ends]
    assert all(day.day == 1 for day in following)
    assert all((b - a).days in (28, 29, 30, 31) for a, b in itertools.pairwise(ends))


def test_month_ends_know_leap_years_and_turn_the_year() -> None:
    assert units.month_ends(date(2023, 12, 31), date(2024, 3, 1)) == [
        date(2023, 12, 31), date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31),
    ]  # fmt: skip
    assert units.month_ends(date(2100, 2, 1), date(2100, 2, 1)) == [date(2100, 2, 28)]
    assert units.month_ends(date(2024, 2, 1), date(2024, 1, 31)) == []


@given(days_of_life)
def test_a_day_lies_in_its_quarter(day: date) -> None:
    first = units.quarter_start(units.quarter_of(day))
    assert first <= day
    assert units.quarter_of(first) == units.quarter_of(day)
    assert units.quarter_of(first - timedelta(days=1)) != units.quarter_of(day)
    assert (first.day, first.month % 3) == (1, 1)


def test_quarters_by_hand() -> None:
    assert [units.quarter_of(date(2025, m, 1)) for m in (1, 3, 4, 6, 7, 9, 10, 12)] == [
        "2025Q1", "2025Q1", "2025Q2", "2025Q2", "2025Q3", "2025Q3", "2025Q4", "2025Q4",
    ]  # fmt: skip
    assert units.quarter_start("2025Q4") == date(2025, 10, 1)
