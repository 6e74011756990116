"""Money by hand on hand-written logs: what, when, where, and nothing before the start date."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import ABROAD, DAY, HOME, LICENCE, LICENSED, LPP, UVEU, by_law, ints
from logs import MONTH, Page, after_run, world

from simulator.costs import (
    Money,
    annuity,
    deliveries,
    discount,
    expected_shell,
    money,
    per_h100e_year,
    present_value,
    shell_payments,
)
from simulator.events import Mark, Stage
from simulator.lives import NEVER, MonthEnds, Rows, lives_of
from simulator.static import Draws, Route, Static
from simulator.units import DAYS_PER_YEAR, threshold

MW = 16
SHELL_USD = 11_000_000 * MW
CHIP_USD = 30_000
HORIZON = 1461
YEAR = DAYS_PER_YEAR
EVERYWHERE = 3
"""Columns: the three countries."""


def spent(static: Static, draws: Draws, page: Page) -> Money:
    """All lines, by month and country."""
    rows = Rows(page.log())
    ends = MonthEnds(static, np.arange(EVERYWHERE), EVERYWHERE)
    return money(static, draws, rows, lives_of(static, draws, rows), ends, deliveries(static, rows))


def line(table: np.ndarray, country: int | None = None) -> list[float]:
    """A running total at the 48 month ends, of all companies; of all countries unless one is named."""
    return (table.sum(axis=(1, 2)) if country is None else table[:, :, country].sum(axis=1)).tolist()


def stepped(static: Static, *steps: tuple[float, float]) -> Any:
    """Running total of (day, amount) at month ends."""
    ends = static.month_starts[1:] / DAY
    return usd([sum(amount for day, amount in steps if day < end) for end in ends.tolist()])


def usd(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-9, abs=1e-3)


def test_every_line_is_in_capex_or_running_or_stands_apart() -> None:
    apart = {"matching", "idle_shells", "idle_chips", "sunk"}
    tables = {name: np.full((1, 1, 1), 2.0**i) for i, name in enumerate(Money._fields)}
    found = Money(**tables)
    assert found.capex + found.running == sum(table for name, table in tables.items() if name not in apart)


# ------------------------------------------------------------------ shells


def test_a_shell_is_paid_along_its_spending_curve() -> None:
    static, draws = world([[MW]])
    page = Page(static).site(0, MW, control=17, ground=67).phase(0, mw=MW, shell=187, online=217)
    curve = (17, 0.01), (67, 0.04), ((67 + 187) / 2, 0.45), (187, 0.45), (217, 0.05)
    found = spent(static, draws, page)
    assert line(found.shells) == stepped(static, *((day, share * SHELL_USD) for day, share in curve))
    assert found.shells[-1, 0].tolist() == usd([SHELL_USD, 0, 0])


def test_each_building_is_paid_as_its_phase_is_built() -> None:
    static, draws = world([[10, 6]])
    page = Page(static).site(0, 16, 1, control=17, ground=67)
    page.phase(0, 0, mw=10, shell=187, online=217, market=1).phase(0, 1, mw=6, shell=287, market=1)
    a, b = 110e6, 66e6
    assert line(spent(static, draws, page).shells, ABROAD) == stepped(
        static,
        (17, 0.01 * (a + b)),
        (67, 0.04 * (a + b)),
        (127, 0.45 * a),
        (177, 0.45 * b),
        (187, 0.45 * a),
        (287, 0.45 * b),
        (217, 0.05 * a),
    )


@pytest.mark.parametrize(("ground", "half"), [(1461 - 100, 1461 - 40), (1461 - 50, None)])
def test_half_of_a_construction_is_due_although_the_building_is_finished_after_the_horizon(ground: int, half: int | None) -> None:
    # Construction and fit-out take 100 and 20 days: half of them lie 60 days after ground-breaking.
    static, draws = world([[MW]])
    page = Page(static).site(0, MW, control=900, ground=ground)
    steps = [(900, 0.01 * SHELL_USD), (ground, 0.04 * SHELL_USD), *([(half, 0.45 * SHELL_USD)] if half else [])]
    assert line(spent(static, draws, page).shells) == stepped(static, *steps)


def test_the_day_on_which_half_is_due_is_that_of_the_work_as_drawn_for_project_route_year_and_phase() -> None:
    static, draws = world([[10, 6]], route=np.array([Route.AI_FIRST]))
    one = 1 << 20
    spread, factor, luck, offset = ints(1, 8, fill=one), ints(4, 8, fill=one), ints(9, 3, fill=one), ints(1, 12)
    spread[0, 3], factor[Route.AI_FIRST, 4], luck[5, ABROAD], offset[0, 1] = 2 * one, 3 * one, one // 4, 30 * DAY
    draws = replace(draws, spread=spread, route_factor=factor, luck_construction=luck, shell_offset=offset)
    page = Page(static).site(0, MW, ABROAD, ground=200)  # 2024 is the sixth year of the table
    rows = Rows(page.log())
    payments = shell_payments(static, draws, lives_of(static, draws, rows))
    ready = 200 + 100 * 2 // 4 + 20 * 3
    assert (payments[2][1] / DAY).tolist() == [(200 + ready) / 2, (200 + ready + 30) / 2]
    assert (payments[3][1] == NEVER).all()


def test_a_site_given_up_pays_what_fell_due_before_and_that_is_sunk() -> None:
    static, draws = world([[MW], [MW]], recovery_ppm=250_000)
    page = Page(static).site(0, MW, 1, control=17, ground=67).site(1, MW, 1, control=17, ground=67)
    page.at(100, Stage.PROJECT, Mark.CANCELLED, 0, pool=1).at(150, Stage.PROJECT, Mark.RELOCATED, 1, pool=1)
    found = spent(static, draws, page)
    paid = stepped(static, (17, 0.02 * SHELL_USD), (67, 0.08 * SHELL_USD), (127, 0.45 * SHELL_USD))
    assert line(found.shells) == paid
    assert line(found.sunk, ABROAD) == stepped(static, (100, 0.05 * 0.75 * SHELL_USD), (150, 0.5 * 0.75 * SHELL_USD))


def test_what_is_shipped_is_not_sunk_when_the_rest_of_its_site_is_given_up() -> None:
    static, draws = world([[10, 6]], recovery_ppm=0)
    page = Page(static).site(0, 16, control=17, ground=67).phase(0, 0, mw=10, shell=187, shipped=200, chips=1)
    page.phase(0, 1, shell=300).at(400, Stage.PROJECT, Mark.CANCELLED, pool=0)
    assert line(spent(static, draws, page).sunk) == stepped(static, (400, 0.95 * 66e6))


def test_a_leased_shell_is_the_partners_capital_and_costs_rent_from_ready_to_the_end() -> None:
    static, draws = world([[MW], [MW], [MW]], route=np.full(3, Route.LEASED))
    page = Page(static).site(0, MW, 1, control=17, ground=67).site(1, MW, 2).site(2, MW)
    page.phase(0, mw=MW, market=1, shell=180, ready=366, shipped=400, online=430)
    page.phase(1, mw=MW, market=2, shell=-50, ready=-10).at(31, Stage.PROJECT, Mark.CANCELLED, 1, pool=2)
    page.phase(2, mw=MW, shell=90)  # no power: the landlord's matter
    found = spent(static, draws, page)
    daily = 1_900_000 * MW / YEAR
    assert line(found.shells) == line(found.sunk) == [0] * 48
    assert found.rent[-1, 0].tolist() == usd([0, (HORIZON - 366) * daily, 31 * daily])
    assert line(found.rent)[:2] == usd([31 * daily, 31 * daily])


def test_a_shell_costs_what_its_market_asks() -> None:
    static, draws = world([[MW]], shell_usd_per_mw=np.array([1, 20_000_000, 3]))
    page = Page(static).site(0, MW, ABROAD, control=5)
    assert line(spent(static, draws, page).shells)[-1] == pytest.approx(0.01 * 20_000_000 * MW)


def test_what_was_spent_before_the_start_is_left_out() -> None:
    static, draws = world([[MW]])
    page = Page(static).site(0, MW, planned=-100, control=-90, ground=-40).phase(0, mw=MW, shell=80, online=110)
    assert line(spent(static, draws, page).shells) == stepped(
        static, (20, 0.45 * SHELL_USD), (80, 0.45 * SHELL_USD), (110, 0.05 * SHELL_USD)
    )


# ------------------------------------------------------------------ chips


def test_chips_are_paid_with_their_servers_and_network_when_they_are_delivered_and_freight_when_they_leave() -> None:
    static, draws = world([[MW]], opening_stock=ints(1, 1, fill=9_000))
    page = Page(static).site(0, MW, ABROAD).phase(0, market=ABROAD, shipped=75, chips=400)
    page.company(31, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=250).company(
        60, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=300
    )
    page.company(31, Stage.CHIPS, Mark.DECLINED, pool=0, quantity=999).company(
        31, Stage.CHIPS, Mark.COMMITTED, pool=0, quantity=999
    )
    found = spent(static, draws, page)
    assert line(found.chips, HOME) == stepped(static, (31, 250 * CHIP_USD * 1.6), (60, 300 * CHIP_USD * 1.6))
    assert line(found.freight, ABROAD) == stepped(static, (75, 400 * CHIP_USD * 0.004))
    assert found.capex[-1].sum() == pytest.approx(550 * CHIP_USD * 1.6 + 400 * CHIP_USD * 0.004)


def test_chips_in_stock_cost_by_the_day_from_delivery_or_the_start_until_they_leave() -> None:
    static, draws = world(
        [[MW], [1]], opening_stock=ints(1, 1, fill=100), under_way=ints(1, 1, fill=10), under_way_ticks=40 * DAY
    )
    page = Page(static).site(0, MW).site(1, 1).company(31, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=60)
    page.phase(0, shipped=45, chips=160).phase(1, shipped=-20, chips=10)
    daily = CHIP_USD * 0.09 / YEAR
    january, february = 100 * 31, 100 * 31 + 160 * 14
    assert line(spent(static, draws, page).idle_chips, HOME) == usd([january * daily] + [february * daily] * 47)


# ------------------------------------------------------------------ running


def test_what_is_online_costs_by_the_day_and_so_does_the_opening_fleet() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, HOME, 0] = 2_000  # 2 MW
    static, draws = world([[MW]], fleet_chips=fleet, opex_usd_per_mw=np.array([900_000, 500_000, 7]))
    page = Page(static).site(0, MW, ABROAD).phase(0, mw=MW, market=ABROAD, online=366)
    found = spent(static, draws, page).opex[-1, 0]
    assert found.tolist() == usd([2 * 900_000 * HORIZON / YEAR, MW * 500_000 * (HORIZON - 366) / YEAR, 0])


def test_the_opening_fleet_of_a_country_with_several_markets_costs_their_mean() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 1_000
    static, draws = world(
        [], fleet_chips=fleet, market_country=np.array([0, 0, 1]), opex_usd_per_mw=np.array([100, 300, 9]) * 1000
    )
    assert line(spent(static, draws, Page(static)).opex)[-1] == pytest.approx(200_000 * HORIZON / YEAR)


def test_bridging_costs_the_energy_of_what_is_online_until_the_grid_comes() -> None:
    static, draws = world([[10, 6], [5]])
    page = Page(static).site(0, 16, ABROAD, power=100, bridged=100, grid=300).site(1, 5, power=100, bridged=100)
    page.phase(0, 0, mw=10, market=ABROAD, online=150).phase(0, 1, mw=6, market=ABROAD, online=350).phase(1, mw=5, online=1400)
    found = spent(static, draws, page).bridging[-1, 0]
    # MW x load x annual PUE x hours x 60 USD a MWh.
    assert found[ABROAD] == pytest.approx(10 * 0.8 * 1.5 * 24 * 150 * 60)
    assert found[HOME] == pytest.approx(5 * 0.8 * 1.2 * 24 * 61 * 60)


def test_a_finished_shell_without_chips_costs_by_the_day_whoever_owns_it() -> None:
    static, draws = world([[MW], [MW], [MW], [MW]], route=np.array([0, Route.LEASED, 0, 0]))
    page = Page(static)
    for root in range(4):
        page.site(root, MW)
    page.phase(0, mw=MW, shell=180, shipped=210).phase(1, mw=MW, shell=-30, shipped=20).phase(2, mw=MW, shell=1400)
    page.phase(3, mw=MW, shell=100).at(150, Stage.PROJECT, Mark.CANCELLED, 3, pool=0)
    days = 30 + 20 + 61 + 50
    assert line(spent(static, draws, page).idle_shells)[-1] == pytest.approx(days * 126_000 * MW / MONTH)


# ------------------------------------------------------------------ law


def controlled(*later: tuple[int, dict[str, Any]], **changes: Any) -> tuple[Static, Draws]:
    """ARE needs a licence from the start on."""
    static, draws = world([[MW], [MW]], **changes)
    return by_law(static, (0, LICENSED), *later), draws


def test_applications_and_the_security_of_controlled_sites_are_compliance() -> None:
    static, draws = controlled()
    page = Page(static).site(0, MW, ABROAD).site(1, MW, 2)
    page.phase(0, market=ABROAD, shipped=200, chips=5, rule=LICENCE).phase(1, market=2, shipped=210, chips=5)
    page.company(-5, Stage.LICENCE_REVIEW, Mark.FILED, pool=ABROAD).company(100, Stage.LICENCE_REVIEW, Mark.FILED, pool=ABROAD)
    page.company(110, Stage.NATIONAL_AUTHORISATION, Mark.FILED, pool=ABROAD)
    found = spent(static, draws, page).compliance
    assert line(found, ABROAD) == stepped(static, (100, 50_000), (110, 2e6), (200, 0.015 * SHELL_USD))
    assert line(found, 2) == line(found, HOME) == [0] * 48


def test_what_ships_under_the_small_shipments_exception_or_a_law_without_licences_needs_no_security() -> None:
    lpp = ints(1, 3, 1, fill=-1)
    lpp[0, ABROAD] = LPP
    static, draws = controlled((0, {**LICENSED, "lpp_rule": lpp}), (300, {"needs_licence": ints(1, 3, 1)}))
    page = Page(static).site(0, MW, ABROAD).site(1, MW, ABROAD)
    page.phase(0, market=ABROAD, shipped=200, chips=5, rule=LPP).phase(1, market=ABROAD, shipped=310, chips=5, rule=LICENCE)
    assert set(line(spent(static, draws, page).compliance)) == {0}


def authorised(applied: float, **changes: Any) -> tuple[Static, Draws]:
    uveu = ints(1, 3, 1, fill=-1)
    uveu[0, ABROAD] = UVEU
    static, draws = controlled(authorisation_applied=ints(1, fill=round(applied * DAY)), **changes)
    return by_law(static, (0, {**LICENSED, "uveu_rule": uveu})), draws


def test_the_authorisation_costs_once_and_a_twelfth_of_its_reports_at_the_beginning_of_each_month_it_is_held() -> None:
    static, draws = authorised(45)
    page = Page(static).site(0, MW, ABROAD).phase(0, market=ABROAD, shipped=400, chips=1, rule=UVEU)
    page.company(100, Stage.AUTHORISATION, Mark.APPROVED).company(200, Stage.AUTHORISATION, Mark.REVOKED)
    found = spent(static, draws, page).compliance
    months = [(day, 50_000) for day in (121, 152, 182)]  # 1 May, 1 June, 1 July 2024
    assert line(found, HOME) == stepped(static, (45, 3e6), *months)
    assert line(found, ABROAD) == stepped(static, (400, 0.015 * SHELL_USD))


def test_a_company_that_is_refused_pays_again_when_it_applies_again() -> None:
    half = threshold(0.5)
    static, draws = authorised(
        10, authorisation_median=ints(1, fill=30 * DAY), authorisation_grant=ints(1, fill=half), authorisation_again=100 * DAY,
        authorisation_time=ints(1, 3), authorisation_outcome=np.array([[half, half, 0]]),
    )  # fmt: skip
    assert line(spent(static, draws, Page(static)).compliance) == stepped(static, (10, 3e6), (140, 3e6), (270, 3e6))


def test_a_national_authorisation_has_the_same_reports_and_the_law_says_what_they_cost() -> None:
    static, draws = controlled((305, {"authorisation_usd_a_year": 0}))
    page = Page(static).company(250, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, pool=ABROAD)
    assert line(spent(static, draws, page).compliance) == stepped(static, (274, 50_000))  # October; from November on nothing


def test_an_authorisation_nobody_offers_or_may_use_costs_nothing() -> None:
    static, draws = controlled(authorisation_applied=ints(1, fill=45 * DAY))
    assert set(line(spent(static, draws, Page(static)).compliance)) == {0}
    static, draws = authorised(45, allow_uveu=False)
    assert set(line(spent(static, draws, Page(static)).compliance)) == {0}


def test_revenue_share_and_tariff_are_on_the_price_of_chips_shipped_abroad_under_the_law_of_the_day() -> None:
    share = np.array([0, 150_000, 0])
    static, draws = controlled(
        (100, {"revenue_share_ppm": share, "tariff_ppm": 250_000}), (300, {"revenue_share_ppm": share, "tariff_ppm": 0})
    )
    page = Page(static).site(0, MW, ABROAD).site(1, MW, HOME)
    page.phase(0, market=ABROAD, shipped=150, chips=10).phase(1, market=HOME, shipped=150, chips=10)
    page.site(0, 1, ABROAD, hop=1)
    found = spent(static, draws, page)
    assert line(found.revenue_share) == line(found.revenue_share, ABROAD) == stepped(static, (150, 0.15 * 10 * CHIP_USD))
    assert line(found.tariff) == stepped(static, (150, 0.25 * 10 * CHIP_USD))
    free = replace(static, tariff_covers=ints(4, 1))
    assert set(line(spent(free, draws, page).tariff)) == {0}


def test_matching_investment_is_owed_for_own_shells_and_for_chips_with_servers() -> None:
    static, draws = controlled((100, {"matching_ppm": np.array([0, 2_000_000, 0])}))
    page = Page(static).site(0, MW, ABROAD, control=50, ground=120).site(1, MW, 2, control=130)
    page.phase(0, market=ABROAD, shipped=250, chips=10)
    found = spent(static, draws, page)
    assert line(found.matching, ABROAD) == stepped(
        static, (120, 2 * 0.04 * SHELL_USD), (180, 2 * 0.45 * SHELL_USD), (250, 2 * 10 * CHIP_USD * 1.6)
    )
    assert line(found.matching) == line(found.matching, ABROAD)
    assert not np.isin(found.matching[-1].sum(), (found.capex + found.running)[-1].sum())


# ------------------------------------------------------------------ one number for a run


def test_present_value_discounts_each_month_from_its_middle() -> None:
    static, draws = world([[MW]], discount_ppm=100_000)
    page = Page(static).company(0, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=10)
    page.company(1096, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=100)
    ends = MonthEnds(static, np.arange(3), 3)
    found = present_value(draws, spent(static, draws, page), ends)
    each = CHIP_USD * 1.6
    assert found.tolist() == pytest.approx([10 * each * 1.1 ** (-15.5 / YEAR) + 100 * each * 1.1 ** (-(1096 + 15.5) / YEAR)])
    assert discount(replace(draws, discount_ppm=0), ends).tolist() == [1] * 48


def test_an_annuity_pays_the_price_and_its_interest_over_the_life() -> None:
    yearly = annuity(0.08, 14)
    assert sum(yearly / 1.08**year for year in range(1, 15)) == pytest.approx(1)
    assert annuity(0, 5) == 0.2


def test_cost_of_an_h100e_for_a_year_by_hand() -> None:
    # No discounting. 2,000 chips are there from the start; one shell of 2 MW, ready on day 200; online after a year.
    static, draws = world(
        [[2]], discount_ppm=0, opening_stock=ints(1, 1, fill=2_000), after_run=after_run(server_years=5.0, facility_years=20.0)
    )
    page = (
        Page(static)
        .site(0, 2, HOME, control=1, ground=60)
        .phase(0, mw=2, shell=200, shipped=340, chips=2_000, installed=360, online=366)
    )
    rows = Rows(page.log())
    life, ends = lives_of(static, draws, rows), MonthEnds(static, np.arange(3), 3)
    cost, years = per_h100e_year(static, draws, rows, life, spent(static, draws, page), ends)
    whole, lit = HORIZON / YEAR, (HORIZON - 366) / YEAR
    chips = 2_000 * CHIP_USD * 1.6 / 5 * whole
    shell = 22_000_000 / 20 * (HORIZON - 200) / YEAR
    freight, opex = 2_000 * CHIP_USD * 0.004, 2 * 900_000 * lit
    assert years.tolist() == pytest.approx([2_000 * lit])
    assert cost.tolist() == pytest.approx([chips + shell + freight + opex])


def test_a_shell_given_up_makes_an_h100e_dearer_by_what_is_lost_and_no_more() -> None:
    static, draws = world([[2], [4]], discount_ppm=0, recovery_ppm=400_000)
    page = Page(static).site(1, 4, ABROAD, control=1, ground=60).phase(1, market=ABROAD, mw=4, shell=200, ready=210)
    page.at(700, Stage.PROJECT, Mark.CANCELLED, 1, pool=ABROAD)
    rows, ends = Rows(page.log()), MonthEnds(static, np.arange(3), 3)
    life = lives_of(static, draws, rows)
    cost, _ = per_h100e_year(static, draws, rows, life, spent(static, draws, page), ends)
    assert cost.tolist() == pytest.approx([0.95 * 44e6 * 0.6])


def test_the_opening_fleet_is_in_neither_part_of_the_cost_of_an_h100e() -> None:
    fleet = ints(1, 3, 1, fill=5_000)
    static, draws = world([[2]], fleet_chips=fleet)
    rows, ends = Rows(Page(static).log()), MonthEnds(static, np.arange(3), 3)
    cost, years = per_h100e_year(static, draws, rows, lives_of(static, draws, rows), spent(static, draws, Page(static)), ends)
    assert (cost.tolist(), years.tolist()) == ([0], [0])


def test_without_the_draws_that_only_measuring_reads_there_is_no_cost_of_an_h100e() -> None:
    static, draws = world([[2]], after_run=None)
    rows, ends = Rows(Page(static).log()), MonthEnds(static, np.arange(3), 3)
    found = per_h100e_year(static, draws, rows, lives_of(static, draws, rows), spent(static, draws, Page(static)), ends)
    assert np.isnan(found).all()


def test_shells_are_expected_when_the_engine_finishes_them(framework_run: Any) -> None:
    static, draws = framework_run.compiled.static, framework_run.draws
    life = lives_of(static, draws, Rows(framework_run.log))
    p = life.phases
    built = p.shell_ready < NEVER
    assert built.sum() > 100
    assert (expected_shell(static, draws, life)[built] == p.shell_ready[built]).all()


@pytest.mark.parametrize("name", Money._fields)
def test_running_totals_of_money_never_fall_on_a_real_run(name: str, framework_run: Any) -> None:
    static, draws = framework_run.compiled.static, framework_run.draws
    if draws.after_run is None:
        draws = replace(draws, after_run=after_run(pue=np.ones(len(static.countries))))
    rows = Rows(framework_run.log)
    ends = MonthEnds(static, np.arange(len(static.countries)), len(static.countries))
    table = getattr(money(static, draws, rows, lives_of(static, draws, rows), ends, deliveries(static, rows)), name)
    assert np.isfinite(table).all() and (table >= 0).all()
    assert np.diff(table, axis=0).min() >= -1e-6 * max(table.max(), 1)
