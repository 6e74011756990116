"""From replications to statements: paired differences by hand, coverage of the interval, and what has no value."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import tiny_static
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.experiments import Comparison
from simulator.metrics import (
    BY_COUNTRY,
    BY_MARKET,
    BY_MONTH,
    BY_YEAR,
    CHINA,
    FOOTPRINT,
    METRICS,
    PAIRED,
    SCALARS,
    SERIES,
    YEARLY,
    groups,
)
from simulator.statistics import (
    LEVEL,
    Difference,
    Place,
    Row,
    _difference,
    _paired,
    blocks,
    columns,
    differences,
    half_width,
    half_widths,
    rows,
    summary,
)
from simulator.units import month_ends

NAN = math.nan
ANYWHERE = Place("all", "all", "all", "all", "2024-12-31")


def gap(drawn: list[float], base: list[float]) -> Difference:
    pairs = np.array(drawn) - np.array(base)
    return _difference(_paired(pairs[:, None]), 0, ("reference", "scenario"), METRICS["it_mw_online"], ANYWHERE)


def test_a_paired_difference_by_hand() -> None:
    found = gap([11, 9, 14, 10, 16], [10, 10, 10, 10, 10])  # gaps 1, -1, 4, 0, 6: mean 2, squares about it 1 + 9 + 4 + 4 + 16
    assert found.mean == 2
    deviation = math.sqrt(34 / 4)
    half = 2.7764451051977987 * deviation / math.sqrt(5)  # Student's t, four degrees of freedom, 97.5 %
    assert (found.ci_low, found.ci_high) == pytest.approx((2 - half, 2 + half))
    assert (found.p10, found.p50, found.p90) == pytest.approx((-0.6, 1, 5.2))
    assert (found.share_positive, found.share_zero, found.replications) == (0.6, 0.2, 5)


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_the_interval_is_that_of_the_paired_t_test(n: int) -> None:
    generator = np.random.default_rng(n)
    base = generator.normal(100, 30, n)
    drawn = base + generator.normal(1, 2, n)
    found = gap(drawn.tolist(), base.tolist())
    expected = stats.ttest_rel(drawn, base).confidence_interval(LEVEL)
    alone = stats.ttest_1samp(drawn - base, 0).confidence_interval(LEVEL)
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high))
    assert (found.ci_low, found.ci_high) == pytest.approx((alone.low, alone.high))


def test_pairing_takes_the_common_luck_out() -> None:
    generator = np.random.default_rng(3)
    luck = generator.normal(0, 1000, 50)
    found = gap((luck + 5 + generator.normal(0, 1, 50)).tolist(), luck.tolist())
    assert found.ci_low is not None and found.ci_high is not None
    assert 4 < found.ci_low < 5 < found.ci_high < 6


@pytest.mark.parametrize("n", [3, 10, 40])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    trials, truth = 3_000, 7.0
    gaps = np.random.default_rng(20_261_123 + n).normal(truth, 4.0, (trials, n))
    covered = sum(abs(row.mean() - truth) <= half_width(row) for row in gaps)
    four_sigma = 4 * math.sqrt(LEVEL * (1 - LEVEL) / trials)
    assert covered / trials == pytest.approx(LEVEL, abs=four_sigma)


def test_one_pair_has_a_mean_and_no_interval() -> None:
    found = gap([5], [3])
    assert (found.mean, found.p10, found.p90, found.replications) == (2, 2, 2, 1)
    assert found.ci_low is None and found.ci_high is None


def test_equal_runs_differ_by_exactly_nothing() -> None:
    found = gap([4.25, 1e12, 0.0], [4.25, 1e12, 0.0])
    assert (found.mean, found.ci_low, found.ci_high, found.share_positive, found.share_zero) == (0, 0, 0, 0, 1)


def test_pairs_in_which_one_side_has_no_value_are_left_out_and_counted() -> None:
    found = gap([3, NAN, 7, NAN, 10], [1, 2, NAN, NAN, 6])
    assert (found.mean, found.replications, found.share_positive) == (3, 2, 1)
    none = gap([NAN, 1], [1, NAN])
    assert asdict(none) | {"replications": 0} == asdict(none)
    assert {name for name, value in asdict(none).items() if value is None} == {
        "mean", "ci_low", "ci_high", "p10", "p50", "p90", "share_positive", "share_zero",
    }  # fmt: skip


def test_infinite_values_count_as_none() -> None:
    found = gap([math.inf, 3, -math.inf], [1, 1, 1])
    assert (found.mean, found.replications) == (2, 1)


numbers = st.lists(st.one_of(st.just(NAN), st.floats(-1e6, 1e6)), min_size=1, max_size=12)


@given(numbers, numbers)
def test_many_columns_at_once_are_the_columns_one_by_one(a: list[float], b: list[float]) -> None:
    n = max(len(a), len(b))
    table = np.full((n, 2), NAN)
    table[: len(a), 0], table[: len(b), 1] = a, b
    found, half = summary(table), half_widths(table)
    for i, column in enumerate((a, b)):
        known = np.array([x for x in column if math.isfinite(x)])
        assert found.known[i] == len(known)
        if len(known):
            assert found.mean[i] == pytest.approx(known.mean(), abs=1e-6)
            assert [found.p10[i], found.p50[i], found.p90[i]] == pytest.approx(np.quantile(known, (0.1, 0.5, 0.9)), abs=1e-6)
        else:
            assert math.isnan(found.mean[i]) and math.isnan(found.p50[i])
        assert half[i] == pytest.approx(half_width(known), nan_ok=True, abs=1e-6)


# ------------------------------------------------------------------ rows of a comparison made by hand


def by_hand(scalars: list[list[float]], names: tuple[str, ...] = ("base", "other")) -> Any:
    """A comparison on the tiny world's calendar: 1, 2, 3... MW online in replication 0, 1, 2...; the second scenario has ten more."""
    static = tiny_static()
    n, months = len(scalars), len(static.month_starts) - 1
    rise = np.arange(1.0, n + 1)[:, None, None, None]
    monthly = np.tile(rise, (1, len(BY_MONTH), months, len(groups(static))))
    monthly[:, len(SERIES) :, :, -1] = np.nan  # a share is not given for the last group
    yearly = np.tile(rise, (1, len(BY_YEAR), 4, len(groups(static))))
    countries = np.tile(rise, (1, len(BY_COUNTRY), 4, 3))
    countries[..., 2] = 0  # nobody ever builds in BRA
    markets = np.tile(rise, (1, len(BY_MARKET), 4, 3))
    markets[..., 1] = 0
    drawn = np.array(scalars)
    return SimpleNamespace(
        compiled=(SimpleNamespace(static=static, sampler=SimpleNamespace(frame=SimpleNamespace(months=month_ends(static.start, date(2027, 12, 31))))),),
        names=lambda: list(names),
        reference=names[0],
        monthly={name: monthly + 10 * i for i, name in enumerate(names)},
        yearly={name: yearly + 10 * i for i, name in enumerate(names)},
        by_country={name: countries + 10 * i * (countries > 0) for i, name in enumerate(names)},
        by_market={name: markets + 10 * i * (markets > 0) for i, name in enumerate(names)},
        scalars={name: drawn + i for i, name in enumerate(names)},
        by_company={name: drawn[:, :, None] + i for i, name in enumerate(names)},
        unmet_shares={name: np.tile([0.4, 0.3, 0.12, 0.08, 0.1], (n, 1)) for name in names},
    )  # fmt: skip


def scalars_with(metric: str, values: list[float]) -> list[list[float]]:
    return [[v if m.id == metric else 1.0 for m in SCALARS] for v in values]


def test_quantiles_are_over_the_replications_that_have_a_value_and_their_share_is_said() -> None:
    comparison = by_hand(scalars_with("quota_binding_date", [2026.0, NAN, 2028.0, NAN]))
    row = next(r for r in rows(comparison) if r.metric == "quota_binding_date" and r.scenario == "base")
    assert (row.mean, row.p50, row.share_reached) == (2027, 2027, 0.5)
    assert (row.p10, row.p90) == pytest.approx((2026.2, 2027.8))
    assert (row.unit, row.date) == ("calendar year", "2027-12-31")


def test_a_value_nobody_reaches_is_null_with_share_zero() -> None:
    comparison = by_hand(scalars_with("months_plan_to_online_median", [NAN, NAN]))
    row = next(r for r in rows(comparison) if r.metric == "months_plan_to_online_median")
    assert (row.mean, row.p10, row.p50, row.p90, row.share_reached) == (None, None, None, None, 0)
    gap = next(d for d in differences(comparison) if d.metric == "months_plan_to_online_median")
    assert (gap.mean, gap.replications) == (None, 0)


def test_rows_carry_the_levels_and_differences_the_gap() -> None:
    comparison = by_hand(scalars_with("licences_filed", [4, 5, 6]))
    level = {
        r.scenario: r
        for r in rows(comparison)
        if r.metric == "it_mw_online" and r.date == "2024-12-31" and (r.company, r.country, r.tier) == ("all",) * 3
    }
    assert (level["base"].mean, level["other"].mean, level["other"].p50) == (2, 12, 12)
    every = list(differences(comparison))
    assert {d.scenario for d in every} == {"other"} and {d.reference for d in every} == {"base"}
    assert {d.mean for d in every if d.metric == "it_mw_online"} == {10}
    assert {d.mean for d in every if d.metric == "mw_waiting_chips"} == {10}


def test_year_ends_by_default_every_month_on_request_and_single_numbers_at_the_horizon() -> None:
    comparison = by_hand(scalars_with("licences_filed", [4, 5]))
    ends = {"2024-12-31", "2025-12-31", "2026-12-31", "2027-12-31"}
    assert {c[5] for c in columns(comparison) if c[0] in {m.id for m in SERIES}} == ends
    assert len({c[5] for c in columns(comparison, monthly=True)}) == 48
    assert {c[5] for c in columns(comparison, monthly=True) if c[0] in {m.id for m in SCALARS}} == {"2027-12-31"}


def test_no_number_is_given_twice_and_groups_without_any_are_left_out() -> None:
    comparison = by_hand(scalars_with("licences_filed", [4, 5]))
    keys = [c[:6] for c in columns(comparison, monthly=True)]
    assert len(set(keys)) == len(keys)
    assert {k[3] for k in keys} == {"all", "USA", "ARE"}
    last = groups(comparison.compiled[0].static)[-1]
    assert not [k for k in keys if k[0] == "share_us" and (k[2], k[4]) == (last.company, last.tier)]
    assert all(METRICS[k[0]].unit == k[1] for k in keys)
    every = [(r.metric, r.company, r.country, r.tier, r.market, r.date, r.scenario) for r in rows(comparison)]
    assert len(set(every)) == len(every)


def test_single_numbers_are_given_for_all_and_for_each_company_and_markets_with_their_country() -> None:
    comparison = by_hand(scalars_with("licences_filed", [4, 5]))
    filed = [(r.company, r.mean) for r in rows(comparison) if r.metric == "licences_filed" and r.scenario == "base"]
    assert filed == [("all", 4.5), ("acme", 4.5)]
    added = {(r.market, r.country, r.tier) for r in rows(comparison) if r.metric == "it_mw_added"}
    assert added == {("home", "USA", "1"), ("elsewhere", "BRA", "2")}
    assert {r.market for r in rows(comparison) if r.metric not in BY_MARKET} == {"all"}
    assert not [c for c in columns(comparison) if c[0] in BY_MARKET]
    gaps = [d for d in differences(comparison) if d.metric == "h100e_added"]
    assert {(d.market, d.mean) for d in gaps} == {("home", 10), ("elsewhere", 10)}


def test_a_block_holds_a_metric_with_all_its_dates_and_places() -> None:
    comparison = by_hand(scalars_with("licences_filed", [4, 5, 6]))
    for block in blocks(comparison):
        assert {table.shape for table in block.values.values()} == {(3, len(block.places))}
        assert len(set(block.places)) == len(block.places)
    assert [b.metric.id for b in blocks(comparison)] == [
        *(m.id for m in BY_MONTH),
        *(m.id for m in BY_YEAR),
        *BY_COUNTRY,
        *BY_MARKET,
        *(m.id for m in SCALARS),
    ]


# ------------------------------------------------------------------ what exists only between two scenarios


def moved(
    online: list[list[float]], base: list[list[float]], exportable: float = 1e9, shares: list[float] | None = None
) -> dict[str, Any]:
    """MW and H100-equivalents by country and replication, the same at every date; the differences at the first year end."""
    comparison = by_hand(scalars_with("licences_filed", [1.0] * len(base)))
    for name, table in (("base", base), ("other", online)):
        for id in ("it_mw_online", "h100e_online"):
            comparison.by_country[name][:, BY_COUNTRY.index(id)] = np.array(table)[:, None]
        comparison.monthly[name][:, [m.id for m in BY_MONTH].index("china_exportable_h100e"), :, 0] = exportable
        if shares:
            comparison.unmet_shares[name] = np.tile(shares, (len(base), 1))
    paired = {m.id for m in PAIRED}
    return {d.metric: d for d in differences(comparison) if d.metric in paired and d.date == "2024-12-31"}


def test_gains_and_losses_are_summed_apart_over_countries_in_each_replication_before_they_are_averaged() -> None:
    # First pair: 5 lost in the second country, 3 gained in the third. Second pair: the other way round, and 1 lost at home.
    found = moved([[10, 5, 3], [9, 13, 4]], [[10, 10, 0], [10, 10, 7]])
    assert (found["mw_gained_by_destination"].mean, found["mw_lost_by_destination"].mean, found["mw_displaced"].mean) == (
        3,
        4.5,
        3,
    )
    assert found["mw_lost_by_destination"].p90 == pytest.approx(4.9)
    assert found["unmet_abroad_h100e"].mean == 4  # 5, and 3: what is missing at home is not abroad
    assert (found["mw_gained_by_destination"].share_positive, found["mw_gained_by_destination"].replications) == (1, 2)
    # Means over replications taken first would hide it: on average the second country loses 1, the third gains nothing.


def test_unmet_demand_is_split_and_its_parts_sum_to_it_whatever_can_be_exported() -> None:
    parts = [f"unmet_{to}_h100e" for to in ("waits", "served_remotely", "other_importers", "chinese_vendors", "lost")]
    found = moved([[0, 0, 0]], [[7, 60, 40]])
    assert [found[id].mean for id in parts] == pytest.approx([40, 30, 12, 8, 10])
    bounded = moved([[0, 0, 0]], [[7, 60, 40]], exportable=4)
    assert [bounded[id].mean for id in parts] == pytest.approx([96 * 40 / 92, 96 * 30 / 92, 96 * 12 / 92, 4, 96 * 10 / 92])
    nowhere = moved([[0, 0, 0]], [[7, 60, 40]], exportable=NAN)
    assert nowhere["unmet_chinese_vendors_h100e"].mean == 0
    for one in (found, bounded, nowhere):
        assert sum(one[id].mean for id in parts) == pytest.approx(one["unmet_abroad_h100e"].mean) == pytest.approx(100)


def test_a_run_like_the_reference_moves_nothing() -> None:
    found = moved([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]])
    assert {(d.mean, d.share_zero) for d in found.values()} == {(0, 1)} and len(found) == len(PAIRED)


def test_shares_that_are_not_drawn_leave_the_split_out_and_nothing_else() -> None:
    found = moved([[0, 0, 0]], [[7, 60, 40]], shares=[NAN] * 5)
    assert set(found) == {"mw_gained_by_destination", "mw_lost_by_destination", "mw_displaced", "unmet_abroad_h100e"}


# ------------------------------------------------------------------ a real comparison


def test_every_row_of_a_real_comparison_is_finite_or_null_and_in_order(short_comparison: Comparison) -> None:
    levels, gaps = list(rows(short_comparison)), list(differences(short_comparison))
    json.dumps([asdict(r) for r in (*levels, *gaps)], allow_nan=False)
    for row in levels:
        assert row.share_reached in (0, 1 / 3, 2 / 3, 1)
        if row.p10 is None or row.p50 is None or row.p90 is None:
            assert (row.mean, row.share_reached) == (None, 0)
        else:
            assert row.p10 <= row.p50 <= row.p90
    for gap in gaps:
        if gap.mean is not None and gap.ci_low is not None and gap.ci_high is not None:
            assert gap.ci_low <= gap.mean <= gap.ci_high
            assert gap.share_positive is not None and gap.share_zero is not None and 0 <= gap.share_positive + gap.share_zero <= 1
    # A country without a pot or a deal has no number for them, and an application nobody files no date.
    seldom = {m.id for m in (*CHINA, *FOOTPRINT, *PAIRED)} | set(BY_COUNTRY[3:]) | set(BY_MARKET)
    assert {r.metric for r in levels} >= set(METRICS) - seldom
    assert {d.metric for d in gaps} >= {m.id for m in PAIRED[:4]}


def test_the_mean_difference_is_the_difference_of_means_where_all_have_a_value(short_comparison: Comparison) -> None:
    mean = {(r.scenario, r.metric, r.company, r.country, r.tier, r.market, r.date): r for r in rows(short_comparison)}
    paired = {m.id for m in PAIRED}
    compared = 0
    for gap in differences(short_comparison):
        if gap.metric in paired:
            continue
        key = gap.metric, gap.company, gap.country, gap.tier, gap.market, gap.date
        mine, base = mean[gap.scenario, *key], mean[gap.reference, *key]
        if mine.share_reached == base.share_reached == 1 and mine.mean is not None and base.mean is not None:
            assert gap.mean == pytest.approx(mine.mean - base.mean, rel=1e-9, abs=1e-9 * abs(base.mean) + 1e-12)
            compared += 1
    assert compared > 100


def test_sums_of_the_reported_numbers_agree(short_comparison: Comparison) -> None:
    level: dict[tuple[str, ...], Row] = {
        (r.scenario, r.metric, r.date, r.company, r.country, r.tier): r for r in rows(short_comparison) if r.market == "all"
    }

    def value(*key: str) -> float:
        row = level.get(key)
        return 0.0 if row is None or row.mean is None else row.mean

    companies = short_comparison.compiled[0].static.companies
    countries = short_comparison.compiled[0].static.countries
    tier = dict(zip(countries, map(str, short_comparison.compiled[0].static.tier), strict=True))
    for scenario in short_comparison.names():
        for when in ("2024-12-31", "2025-06-30"):
            for metric in (*SERIES, *YEARLY):
                at = scenario, metric.id, when
                whole = pytest.approx(value(*at, "all", "all", "all"), rel=1e-5, abs=1e-3)
                assert sum(value(*at, k, "all", "all") for k in companies) == whole
                assert sum(value(*at, "all", "all", t) for t in "123") == whole
                assert sum(value(*at, k, "all", t) for k in companies for t in "123") == whole
                if metric.id in BY_COUNTRY:
                    assert sum(value(*at, "all", c, tier[c]) for c in countries) == whole
