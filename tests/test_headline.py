"""The headline of a replication is what `metrics.measure` says of it, number for number, and its increments build the same tables."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ABROAD, DAY, HOME, UVEU, ints
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import MONTH, Page, after_run
from logs import world as hand_made
from worlds import world

from simulator import headline, reduction
from simulator.draws import TABLE_POINTS
from simulator.engines import play
from simulator.events import Log, Mark, Stage
from simulator.headline import (
    COLUMNS,
    COUNTRY,
    INCREMENTS,
    METRICS,
    MIDDLE,
    RUN,
    SERIES,
    Reduced,
    Reducer,
    by_country,
    by_tier,
    shown_months,
    total,
)
from simulator.metrics import BY_COUNTRY, BY_MONTH, BY_YEAR, SCALARS, TIERS, Measures, groups, measure, year_ends
from simulator.metrics import METRICS as ALL
from simulator.spillovers import ChinaPaths, ChinaPolicy, Mechanisms
from simulator.static import Draws, Static
from simulator.units import FACTOR_ONE, threshold

ROUNDING = 1e-13
"""Relative. Where numbers that are not whole are added up, `metrics` leaves the order to the linear algebra library."""
ROUNDED = {
    "it_mw_online", "h100e_online", "share_us", "share_tier1", "rd_access", "china_ratio", "capex_usd", "compliance_usd", "idle_shell_usd",
    "cost_per_h100e_year",
}  # fmt: skip
MONEY = {"capex_usd", "compliance_usd", "idle_shell_usd"}
SHIPPED = [path.stem for path in sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))]
Case = tuple[Static, Draws, Log, Any]


# ------------------------------------------------------------------ what is compared


def weights(static: Static) -> np.ndarray:
    """Of countries, for access: all different, summing to one."""
    weight = np.arange(1.0, len(static.countries) + 1)
    return weight / weight.sum()


def dressed(static: Static, draws: Draws, number: int) -> tuple[Static, Draws]:
    """A small world with what only measuring reads: prices, tariffs, shares, two makers that sell to China, and China itself."""
    rng = np.random.default_rng(number)
    months, countries, chips = len(static.month_starts) - 1, len(static.countries), len(static.accelerators)

    def share(*shape: int) -> np.ndarray:
        return rng.choice([0.0, 0.25, 0.7, 1.0], size=shape)

    def some(values: list[int], *shape: int) -> np.ndarray:
        return rng.choice(np.array(values, dtype=np.int64), size=shape)

    on = Mechanisms(*(rng.random(4) < (0.8, 0.6, 0.3, 0.8)).tolist())
    growth = np.where(np.arange(months) >= months // 3, rng.choice([-0.2, 0.1]), 0.0)
    before = int(rng.choice([0, 2, 24]))  # months known before the start
    policy = ChinaPolicy(
        share(months + before), share(months), share(months), 0.5 + share(months), share(months), growth,
        rng.choice([40.0, np.inf], size=months), float(rng.choice([0.0, 0.4])), on,
    )  # fmt: skip
    imports = np.where(np.arange(months) < months // 2, 30.0, np.nan)
    paths = ChinaPaths(
        rng.random(months) * 90, imports, rng.random(months) * 9, 20 + rng.random(months) * 30, rng.random(months) * 40, np.zeros(months),
        (100.0, 20.0, 50.0), float(rng.choice([0.0, 45.5, 400.0])),
    )  # fmt: skip
    law = {
        "vendors": ("nvidia", *static.vendors[1:-1], "amd")[: len(static.vendors)], "rd_access_h100e": int(rng.choice([0, 100, 3_000])),
        "revenue_share_ppm": some([0, 250_000], *static.revenue_share_ppm.shape), "tariff_ppm": some([0, 250_000], len(static.law_ticks)),
        "tariff_covers": some([0, 1], len(static.law_ticks), chips), "authorisation_usd_a_year": some([0, 700_001], len(static.law_ticks)),
    }  # fmt: skip
    drawn = {
        "price_usd": some([9_999, 30_000, 41_237], chips), "shell_usd_per_mw": some([9_000_001, 12_345_678], len(static.markets)),
        "opex_usd_per_mw": some([700_000, 900_001], len(static.markets)), "it_overhead_ppm": int(rng.choice([1_400_000, 1_612_345])),
        "discount_ppm": int(rng.choice([0, 66_000])), "spend_ppm": np.array([10_001, 50_000, 500_003, 950_000, 1_000_000]),
        # Small worlds hold a few MW: a gigawatt's campus is found where the design ratio makes one of them.
        "design_ratio_ppm": int(rng.choice([1_300_000, 200_000_000])), "campus_mw16": draws.mw16 * rng.choice([1, 2, 4]),
        "fleet_chips": some([0, 7, 1_003], len(static.companies), countries, chips),
        "after_run": after_run(pue=1 + rng.random(countries), tflops=np.ones(chips)) if number % 5 else None,
        "china": paths if number % 7 else None,
    }  # fmt: skip
    return replace(static, china=policy if number % 11 else None, **law), replace(draws, **drawn)


def case(static: Static, draws: Draws, log: Log, weight: Any = None) -> Case:
    return static, draws, log, weights(static) if weight is None else weight


@cache
def small(number: int) -> Case:
    """World of the corpus, played."""
    static, draws = dressed(*world(number), number)
    return case(static, draws, play(static, draws))


@cache
def shipped(name: str) -> Case:
    from simulator.compile import compile_scenario
    from simulator.experiments import rd_weights
    from simulator.scenario import load_scenario
    from simulator.world import load_world

    compiled = compile_scenario(load_scenario(name), load_world())
    draws = compiled.draw(3, SHIPPED.index(name))
    return case(compiled.static, draws, play(compiled.static, draws), rd_weights(compiled))


def expected(static: Static, measures: Measures) -> np.ndarray:
    """The numbers of `METRICS` as `measure` has them."""
    monthly, yearly, single = ([metric.id for metric in metrics] for metrics in (BY_MONTH, BY_YEAR, SCALARS))
    group = [(g.company, g.tier) for g in groups(static)]
    month = dict(zip(headline.DATES, shown_months(static), strict=True))
    found = []
    for of in METRICS:
        if of.when == RUN:
            found.append(measures.scalars[single.index(of.metric)])
        elif of.metric in monthly:
            found.append(measures.monthly[monthly.index(of.metric), month[of.when], group.index(("all", of.tier))])
        else:
            when = year_ends(static).index(month[of.when])
            found.append(measures.yearly[yearly.index(of.metric), when, group.index(("all", of.tier))])
    return np.array(found)


def check(one: Case) -> tuple[Reduced, Measures]:
    """Numbers and rebuilt tables against `measure`."""
    static, draws, log, weight = one
    reduced, measures = Reducer(static, weight).reduce(draws, log), measure(static, draws, log, weight)
    for column, found, wanted in zip(METRICS, reduced.numbers, expected(static, measures), strict=True):
        close = found == wanted or (np.isnan(found) and np.isnan(wanted))
        assert close or (column.metric in ROUNDED and found == pytest.approx(wanted, rel=ROUNDING, abs=0)), (
            column.id,
            found,
            wanted,
        )

    months, companies, countries = len(static.month_starts) - 1, len(static.companies), len(static.countries)
    cells = [i for i, g in enumerate(groups(static)) if g.company != "all" and g.tier != "all"]
    for series in SERIES:
        wanted = measures.monthly[[m.id for m in BY_MONTH].index(series.metric)][:, cells].reshape(months, companies, len(TIERS))
        found = by_tier(reduced.increments, series.metric, months, companies)
        if series.metric in MONEY:
            known = ~np.isnan(wanted)  # what a national authorisation costs may not be drawn
            assert np.array_equal(found[known], np.rint(wanted[known] * 100) / 100), series.metric
            assert known.all() or draws.after_run is None
        elif series.by_country:
            np.testing.assert_allclose(found, wanted, rtol=ROUNDING, atol=0)
        else:
            assert np.array_equal(found, wanted), series.metric
        if series.by_country:
            ends = by_country(reduced.increments, series.metric, months, companies, countries)[year_ends(static)].sum(axis=1)
            np.testing.assert_allclose(ends, measures.by_country[BY_COUNTRY.index(series.metric)], rtol=ROUNDING, atol=0)
    return reduced, measures


# ------------------------------------------------------------------ the comparison


@pytest.mark.parametrize("first", range(0, 320, 40))
def test_small_worlds_have_the_numbers_of_the_metrics(first: int) -> None:
    for number in range(first, first + 40):
        check(small(number))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1_000, 1_000_000))
def test_any_small_world_has_the_numbers_of_the_metrics(number: int) -> None:
    static, draws = dressed(*world(number), number)
    check(case(static, draws, play(static, draws)))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_have_the_numbers_of_the_metrics(name: str) -> None:
    check(shipped(name))


def test_every_number_is_reached_and_varies_somewhere() -> None:
    reduced = [Reducer(s, weight).reduce(draws, log) for s, draws, log, weight in map(small, range(320))]
    numbers = np.array([one.numbers for one in reduced])
    for i, column in enumerate(COLUMNS):
        reached = numbers[np.isfinite(numbers[:, i]), i]
        assert len(np.unique(reached[reached != 0])) >= 10 or column.startswith(("campuses", "quota", "auth", "licence")), column
        assert len(np.unique(reached[reached != 0])) >= 3, column
    rows = np.concatenate([one.increments for one in reduced])
    for i, series in enumerate(SERIES):
        mine = rows[rows["series"] == i]
        assert len(mine) >= 30, series.metric
        assert set(mine["place"][mine["place"] < COUNTRY]) == {1, 2, 3}
        assert bool((mine["place"] >= COUNTRY).any()) == series.by_country


def test_a_scenario_without_china_or_draws_for_after_the_run_has_no_such_numbers() -> None:
    static, draws, log, weight = next(
        one for one in map(small, range(1, 40)) if one[0].china and one[1].china and one[1].after_run
    )
    at = [i for i, column in enumerate(COLUMNS) if column.startswith("china_ratio")]
    for law, drawn in (({"china": None}, {}), ({}, {"china": None})):
        reduced, _ = check((replace(static, **law), replace(draws, **drawn), log, weight))
        assert np.isnan(reduced.numbers[at]).all()
    reduced, _ = check((static, replace(draws, after_run=None), log, weight))
    assert np.isnan(reduced.numbers[COLUMNS.index("cost_per_h100e_year|all|run")])


# ------------------------------------------------------------------ by hand


def page() -> tuple[Static, Draws, Page]:
    """A fleet of 2 MW and 1,000 chips at home and of half a MW abroad, and three sites of the years 2024 to 2027."""
    fleet = ints(1, 3, 1)
    fleet[0, HOME, 0], fleet[0, ABROAD, 0] = 2_000, 500
    static, draws = hand_made([[10, 6], [4], [8]], fleet_chips=fleet)
    written = (
        Page(static).site(0, 16, HOME, control=10, ground=20, own=80, power=90).site(1, 4, ABROAD).site(2, 8, ABROAD, planned=50)
    )
    written.phase(0, 0, mw=10, chips=10_000, shell=70, ready=90, shipped=100, online=217)
    written.phase(1, mw=4, market=ABROAD, chips=4_000, ready=150, asked=120, cleared=200, shipped=210, online=400)
    written.phase(2, mw=8, market=ABROAD, ready=300, asked=300)
    written.at(350, Stage.PROJECT, Mark.CANCELLED, 2, rule=3, pool=ABROAD, quantity=128)
    written.company(120, Stage.LICENCE_REVIEW, Mark.FILED, pool=ABROAD).company(
        190.5, Stage.LICENCE_REVIEW, Mark.APPROVED, pool=ABROAD
    )
    written.company(31, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=20_000)
    return static, draws, written


def test_numbers_and_increments_of_a_page_written_by_hand() -> None:
    static, draws, written = page()
    reduced, _ = check(case(static, draws, written.log()))
    number = dict(zip(COLUMNS, reduced.numbers.tolist(), strict=True))
    assert shown_months(static) == (23, 47)
    assert number["it_mw_online|all|horizon"] == 16.5 and number["it_mw_online|2|middle"] == 4.5
    assert number["h100e_online|1|horizon"] == 12_000 and number["share_us|all|middle"] == 12_000 / 16_500
    assert number["mw_cancelled|all|middle"] == 8 and number["mw_relocated|all|horizon"] == 0
    assert (
        number["licences_filed|all|run"] == 1
        and number["licences_refused|all|run"] == 0
        and number["licence_wait_days|all|run"] == 70.5
    )
    assert number["slippage_days_median|all|run"] == 10
    # Applications 50,000, build-out of the controlled site's shell nothing: no licence is needed there by law.
    assert number["compliance_usd|all|horizon"] == 50_000
    assert np.isnan(number["authorisation_date|all|run"])

    rows = {
        series.metric: [tuple(row)[1:] for row in reduced.increments.tolist() if row[0] == i] for i, series in enumerate(SERIES)
    }
    mw = 1_000_000  # watts
    assert rows["it_mw_online"] == [
        (0, 1, 0, 2 * mw), (0, 1, 7, 10 * mw), (0, 2, 0, 0.5 * mw), (0, 2, 13, 4 * mw),
        (0, COUNTRY, 0, 2 * mw), (0, COUNTRY, 7, 10 * mw), (0, COUNTRY + 1, 0, 0.5 * mw), (0, COUNTRY + 1, 13, 4 * mw),
    ]  # fmt: skip
    # Ready from day 150 to 200 (June to July) and from 300 on to the horizon, although its site was given up: it was never told to stop.
    assert rows["mw_waiting_clearance"] == [(0, 2, 4, 4 * 16), (0, 2, 6, -4 * 16), (0, 2, 9, 8 * 16)]
    assert rows["mw_ready_without_chips"] == [
        (0, 1, 2, 160),
        (0, 1, 3, -160),
        (0, 2, 4, 64),
        (0, 2, 6, -64),
        (0, 2, 9, 128),
        (0, 2, 11, -128),
    ]
    assert rows["mw_cancelled"] == [(0, 2, 11, 128)]
    assert rows["compliance_usd"] == [(0, 2, 3, 50_000 * 100)]
    assert rows["capex_usd"][0] == (0, 1, 0, 10 * 11_000_000 * (0.01 + 0.04) * 100 + 6 * 11_000_000 * 0.05 * 100)
    assert rows["idle_shell_usd"][0][:3] == (0, 1, 2)


def test_increments_come_in_order_and_only_where_something_changes() -> None:
    for one in (shipped(SHIPPED[0]), small(3), small(17)):
        static, draws, log, weight = one
        rows = Reducer(static, weight).reduce(draws, log).increments
        assert rows.dtype == INCREMENTS and (rows["value"] != 0).all() and (rows["value"] == np.rint(rows["value"])).all()
        keys = list(zip(rows["series"], rows["place"] >= COUNTRY, rows["company"], rows["place"], rows["month"], strict=True))
        assert keys == sorted(set(keys))


def test_who_is_given_up_leaves_those_who_are_still_at_risk() -> None:
    # Three planned late are last seen after 461 days; two are given up at once; the others come online after 600, 700 and 800 days.
    static, draws = hand_made([[1]] * 8)
    written = Page(static)
    for root in range(8):
        written.site(root, 1, HOME, planned=1_000 if root < 3 else 0)
    for root in (3, 4):
        written.at(100, Stage.PROJECT, Mark.CANCELLED, root, pool=HOME, quantity=16)
    for root, online in ((5, 600), (6, 700), (7, 800)):
        written.phase(root, mw=1, chips=1, shipped=online - 10, online=online)
    reduced, _ = check(case(static, draws, written.log()))
    # Incidence 6/8 x 1/3 by day 600 and twice that by day 700; were those given up still waited for, it would be 800.
    assert reduced.numbers[COLUMNS.index("months_plan_to_online_median|all|run")] == pytest.approx(700 / MONTH)
    assert reduced.numbers[COLUMNS.index("share_online_by_horizon|all|run")] == 3 / 8


@pytest.mark.parametrize("days", [(0, 10, 20), (0, 0, 0)])
def test_an_expansion_joins_the_oldest_campus_with_room_whatever_the_order_of_an_instant(days: tuple[int, ...]) -> None:
    static, draws = hand_made([[600], [10], [400]], route=np.array([0, 0, 2]), campus_mw16=np.array([1_100, 500, 400]) * 16)
    written = Page(static)
    for root in (2, 1, 0):
        mw = (600, 10, 400)[root]
        written.site(root, mw, HOME, planned=days[root]).phase(root, mw=mw, chips=1, shipped=300, online=400 + root)
    reduced, _ = check(case(static, draws, written.log()))
    assert (
        reduced.numbers[COLUMNS.index("campuses_1gw|all|horizon")] == 1
    )  # 600 and 400 MW of IT together, 780 and 520 of facility


def test_a_refused_company_pays_again_when_it_asks_again() -> None:
    table, applied = np.arange(TABLE_POINTS)[None] * (FACTOR_ONE >> 9), ints(1, fill=5 * DAY)
    uveu = ints(1, 1, 3, 1, fill=UVEU)
    static, draws = hand_made(
        [[1]], uveu_rule=uveu, authorisation_applied=applied, authorisation_median=ints(1, fill=300 * DAY), authorisation_spread=table,
        authorisation_grant=ints(1, fill=threshold(0.5)), authorisation_again=20 * DAY,
    )  # fmt: skip
    rng, paid = np.random.default_rng(4), set()
    for _ in range(60):
        time, outcome = rng.integers(0, 1 << 62, (2, 1, 3))
        asking = replace(draws, authorisation_time=time, authorisation_outcome=outcome)
        reduced, _ = check(case(static, asking, Page(static).site(0, 1).log()))
        paid.add(tuple(reduced.increments[reduced.increments["series"] == reduction.COMPLIANCE]["month"].tolist()))
    assert {len(months) for months in paid} == {1, 2, 3} and len(paid) > 20


# ------------------------------------------------------------------ building tables


def test_any_total_is_the_sum_of_its_parts_over_several_replications() -> None:
    cases = [shipped("history"), shipped("no-controls")]
    static = cases[0][0]
    months, companies, countries = len(static.month_starts) - 1, len(static.companies), len(static.countries)
    parts = [Reducer(s, weight).reduce(draws, log).increments for s, draws, log, weight in cases]
    rows, of = np.concatenate(parts), np.repeat([1, 0], [len(part) for part in parts])
    order = np.random.default_rng(1).permutation(len(rows))  # the order of rows does not matter
    rows, of = rows[order], of[order]
    for series in SERIES:
        found = total(rows, series.metric, months, replication=of, replications=2)
        assert found.shape == (2, months)
        units = found * series.per_unit
        for r, part in enumerate(reversed(parts)):
            assert np.array_equal(found[r], total(part, series.metric, months)[0])
            table = by_tier(part, series.metric, months, companies)
            assert np.allclose(found[r], table.sum(axis=(1, 2)), rtol=1e-14)
            k, tier = 1, 2
            assert np.array_equal(table[:, k, tier - 1], total(part, series.metric, months, company=k, tier=tier)[0])
        split = [total(rows, series.metric, months, company=k, replication=of, replications=2) for k in range(companies)]
        assert np.array_equal(np.rint(np.sum(split, axis=0) * series.per_unit), np.rint(units))
        if series.by_country:
            split = [total(rows, series.metric, months, country=c, replication=of, replications=2) for c in range(countries)]
            assert np.array_equal(np.rint(np.sum(split, axis=0) * series.per_unit), np.rint(units))
            table = by_country(parts[0], series.metric, months, companies, countries)
            assert np.array_equal(table[:, 2, 5], total(parts[0], series.metric, months, company=2, country=5)[0])


def test_what_is_not_kept_is_refused() -> None:
    none = np.zeros(0, dtype=INCREMENTS)
    with pytest.raises(ValueError, match="capex_usd is kept by tier, not by country"):
        by_country(none, "capex_usd", 3, 1, 2)
    with pytest.raises(ValueError, match="capex_usd is kept by tier, not by country"):
        total(none, "capex_usd", 3, country=0)
    with pytest.raises(ValueError, match="it_mw_online is kept by tier and by country, not by both"):
        total(none, "it_mw_online", 3, country=0, tier=1)
    with pytest.raises(KeyError):
        total(none, "licences_filed", 3)
    assert total(none, "it_mw_online", 3, tier=1, replications=2).tolist() == [[0.0] * 3] * 2


# ------------------------------------------------------------------ names, dates, and what it is given


def test_columns_are_named_by_metric_tier_and_date() -> None:
    assert len(set(COLUMNS)) == len(METRICS)
    for column in METRICS:
        assert column.id == f"{column.metric}|{column.tier}|{column.when}"
        assert column.unit == ALL[column.metric].unit and column.meaning and column.name
    names = [getattr(reduction, name) for name in (
        "MW_ONLINE", "H100E_ONLINE", "WITHOUT_CHIPS", "WAITING", "RELOCATED", "CANCELLED", "DOWNSIZED", "CAPEX", "COMPLIANCE", "IDLE",
    )]  # fmt: skip
    assert [SERIES[i].metric for i in names] == [
        "it_mw_online", "h100e_online", "mw_ready_without_chips", "mw_waiting_clearance", "mw_relocated", "mw_cancelled", "mw_downsized",
        "capex_usd", "compliance_usd", "idle_shell_usd",
    ]  # fmt: skip
    assert len(TIERS) == reduction.TIERS and [s.by_country for s in SERIES] == [i < reduction.PLACED for i in range(len(SERIES))]
    assert {series.metric in MONEY for series in SERIES[reduction.COUNTED :]} == {True}


def test_the_dates_are_those_of_the_table(short_comparison: Any) -> None:
    from simulator.cli import _dates

    compiled = short_comparison.compiled[0]
    days = [compiled.sampler.frame.months[t].isoformat() for t in shown_months(compiled.static)]
    assert sorted(set(days)) == _dates(short_comparison)
    assert [column.when for column in METRICS][: len(headline.BY_DATE)] == [MIDDLE] * len(headline.BY_DATE)


def test_a_log_that_cannot_be_written_or_is_part_of_another_is_read_all_the_same() -> None:
    static, draws, log, weight = small(1)
    reducer = Reducer(static, weight)
    plain = reducer.reduce(draws, log)
    kept = log.copy()
    kept.flags.writeable = False
    for other in (kept, np.repeat(log, 2)[::2]):
        again = reducer.reduce(replace(draws, shell_offset=np.asfortranarray(draws.shell_offset)), other)
        assert again.numbers.tobytes() == plain.numbers.tobytes() and again.increments.tobytes() == plain.increments.tobytes()
    assert (
        plain.increments.flags.owndata or plain.increments.base.nbytes == plain.increments.nbytes
    )  # holds on to no more than it is


def test_nothing_is_left_over_from_the_replication_before() -> None:
    reducers = {number: Reducer(small(number)[0], small(number)[3]) for number in (1, 2, 3)}
    first = {number: one.reduce(*small(number)[1:3]) for number, one in reducers.items()}
    for number in (3, 1, 2, 1):
        again = reducers[number].reduce(*small(number)[1:3])
        assert again.numbers.tobytes() == first[number].numbers.tobytes()
        assert again.increments.tobytes() == first[number].increments.tobytes()


def test_the_text_runs_as_plain_python_to_the_same_bits() -> None:
    code = "from test_headline import bits; print(bits())"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "GROUNDBREAK_PLAIN": "1", "PYTHONPATH": paths}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.strip() == bits()


def bits() -> str:
    """A digest of the page by hand, reduced."""
    from hashlib import sha256

    static, draws, written = page()
    reduced = Reducer(static, weights(static)).reduce(draws, written.log())
    return sha256(reduced.numbers.tobytes() + reduced.increments.tobytes()).hexdigest()
