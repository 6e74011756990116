"""Money by hand on the tiny world: what, when, where, and nothing before the start date."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static
from test_metrics import series, stepped
from test_story import REST, SHELL, authorised, licence_abroad, pot_of, two_segments

from simulator import costs
from simulator.events import Mark
from simulator.experiments import Run
from simulator.metrics import NEVER, groups, lives, measure
from simulator.model import Expansion
from simulator.static import Route
from simulator.units import DAYS_PER_YEAR, threshold

MW = 16
SHELL_USD = 11_000_000 * MW
MONTH = DAYS_PER_YEAR / 12


def spent(static: Any, draws: Any, metric: str) -> list[float]:
    """A running total in USD at the 48 month ends, all companies and countries."""
    return series(measure(static, draws, Expansion(static, draws).run(), np.array([0.5, 0.3, 0.2])), metric)


def usd(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-6, abs=1)


def test_a_shell_is_paid_along_its_spending_curve() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(7, MW, 0)], chips_a_month=0, opening_stock=ints(1, 1, fill=16_000))
    steps = (
        (7 + 10, 0.01),  # site control
        (7 + 60, 0.04),  # ground-breaking
        (7 + 120, 0.45),  # half-way from ground-breaking to shell-ready
        (7 + SHELL, 0.45),
        (7 + SHELL + REST, 0.05),
    )
    expected = np.sum([stepped(day, 0, share * SHELL_USD) for day, share in steps], axis=0)
    assert expected[-1] == SHELL_USD
    assert spent(static, draws, "capex_usd") == usd(expected.tolist())


def test_a_leased_shell_is_the_partners_capital() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(7, MW, 0)], chips_a_month=0, route=np.array([Route.LEASED]))
    assert set(spent(static, draws, "capex_usd")) == {0}


def test_a_shell_costs_what_its_market_asks() -> None:
    static = tiny_static()
    price = np.array([11_000_000, 20_000_000, 7_000_000])
    draws = tiny_draws(
        static, [(0, MW, 1), (0, 2 * MW, 2)], chips_a_month=0, opening_stock=ints(1, 1, fill=48_000), shell_usd_per_mw=price
    )
    assert spent(static, draws, "capex_usd")[-1] == pytest.approx(20_000_000 * MW + 7_000_000 * 2 * MW)


def leased(days: int, mw: int, **changes: Any) -> tuple[Any, Any]:
    """One cluster in a partner's shell, so that all its capital is chips."""
    static = tiny_static()
    return static, tiny_draws(static, [(days, mw, 0)], route=np.array([Route.LEASED]), **changes)


def test_chips_are_paid_with_their_servers_and_network_when_they_are_delivered_not_when_installed() -> None:
    # Far more sites than chips: every delivery is taken, and none is ever installed.
    static, draws = leased(-100, 10_000, chips_a_month=250, opening_stock=ints(1, 1, fill=9_000))
    bill = spent(static, draws, "capex_usd")
    assert bill == usd([250 * 30_000 * 1.6 * (t + 1) for t in range(48)])  # the opening stock was paid before the start


def test_chips_a_company_declines_cost_nothing() -> None:
    static, draws = leased(-100, 2, chips_a_month=1_000)  # two months of deliveries are all it needs
    log = Expansion(static, draws).run()
    assert costs.deliveries(static, log)[:, 0, 0].tolist() == [1_000, 1_000] + [0] * 46
    assert log[log["mark"] == Mark.DECLINED]["quantity"].sum() == 46_000
    assert spent(static, draws, "capex_usd") == usd([48e6] + [96e6] * 47)


def test_what_was_spent_before_the_start_is_left_out() -> None:
    static = tiny_static()
    plan = -100  # site control and ground-breaking before the start, half of construction on day 20
    draws = tiny_draws(static, [(plan, MW, 0)], chips_a_month=0, opening_stock=ints(1, 1, fill=16_000))
    expected = np.sum(
        [
            stepped(plan + 120, 0, 0.45 * SHELL_USD),
            stepped(plan + SHELL, 0, 0.45 * SHELL_USD),
            stepped(plan + 210, 0, 0.05 * SHELL_USD),
        ],
        axis=0,
    )
    assert spent(static, draws, "capex_usd") == usd(expected.tolist())


def test_an_application_and_the_security_of_a_controlled_site_are_compliance() -> None:
    static = licence_abroad()
    draws = tiny_draws(static, [(0, MW, 1)])
    filed, shipped = SHELL - 60, SHELL + 30
    expected = np.add(stepped(filed, 0, 50_000), stepped(shipped, 0, 0.015 * SHELL_USD))
    assert spent(static, draws, "compliance_usd") == usd(expected.tolist())


def test_every_filing_costs_and_a_site_that_never_got_chips_has_no_security() -> None:
    static = licence_abroad(approve_below=ints(1, 6), review_median=ints(1, 6, fill=10 * DAY), allow_relocation=False)
    assert spent(static, tiny_draws(static, [(0, MW, 1)]), "compliance_usd")[-1] == 3 * 50_000


def test_an_uncontrolled_site_costs_nothing_in_compliance_even_where_a_neighbour_needs_a_licence() -> None:
    static = licence_abroad()
    assert set(spent(static, tiny_draws(static, [(0, MW, 0), (0, MW, 2)]), "compliance_usd")) == {0}


def test_exports_under_the_small_shipments_exception_need_neither_application_nor_security() -> None:
    static = licence_abroad(lpp_limit=ints(1, fill=16_000 * 1_500), lpp_rule=ints(1, 1, 3, 1, fill=3))
    log = Expansion(static, tiny_draws(static, [(0, 1, 1)])).run()
    assert log[log["mark"] == Mark.SHIPPED]["rule"].tolist() == [3]
    assert set(spent(static, tiny_draws(static, [(0, 1, 1)]), "compliance_usd")) == {0}


def authorised_with_fleet(applied: int, **changes: Any) -> tuple[Any, Any]:
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 1_000_000
    names = ("free", "licence", "pot", "licence/lpp", "licence/uveu", "denial")
    rule = authorised().uveu_rule
    static = licence_abroad(uveu_rule=rule, authorisation_applied=ints(1, fill=applied * DAY), provisions=names, **changes)
    return static, tiny_draws(static, [(0, MW, 1)], fleet_chips=fleet)


def test_the_authorisation_costs_once_and_every_month_and_its_sites_are_secured() -> None:
    static, draws = authorised_with_fleet(45)  # applied in mid-February 2024; kept from the next month on
    fee = np.array(stepped(45, 0, 3_000_000))
    kept = np.array([600_000 / 12 * max(t - 1, 0) for t in range(48)])
    security = np.array(stepped(SHELL, 0, 0.015 * SHELL_USD))
    assert spent(static, draws, "compliance_usd") == usd((fee + kept + security).tolist())


@pytest.mark.parametrize(("grant", "yearly"), [(1.0, 600_000), (0.0, 0)])
def test_the_authorisation_is_kept_from_its_grant_not_from_the_application(grant: float, yearly: int) -> None:
    # Applied for on day 45, decided on day 105 (15 April): kept from May on, if granted.
    static, draws = authorised_with_fleet(
        45, authorisation_median=ints(1, fill=60 * DAY), authorisation_grant=ints(1, fill=threshold(grant))
    )
    draws = replace(draws, appeal=ints(1, 3), application_usd=0, security_ppm=0)
    expected = [3_000_000 * (t >= 1) + yearly / 12 * max(t - 3, 0) for t in range(48)]
    assert spent(static, draws, "compliance_usd") == usd(expected)


def test_the_authorisation_costs_what_the_law_of_the_month_asks() -> None:
    # From day 250 (7 September) the law asks for nothing any more: nine months from January to September are paid.
    static = two_segments(
        250, (0, 0), (0, 0), uveu_rule=ints(2, 1, 3, 1, fill=4), authorisation_applied=ints(1, fill=-1 * DAY),
        authorisation_usd_a_year=np.array([600_000, 0]),
    )  # fmt: skip
    expected = [50_000 * min(t + 1, 9) for t in range(48)]
    assert spent(static, tiny_draws(static, []), "compliance_usd") == usd(expected)


def test_the_application_for_the_authorisation_before_the_start_is_left_out() -> None:
    static, draws = authorised_with_fleet(-45)
    assert spent(static, draws, "compliance_usd")[0] == pytest.approx(600_000 / 12)


def test_a_company_that_may_not_use_the_authorisation_does_not_pay_for_it() -> None:
    static, draws = authorised_with_fleet(0, allow_uveu=False)
    assert spent(static, draws, "compliance_usd")[-1] == pytest.approx(50_000 + 0.015 * SHELL_USD)  # the licence instead


def test_a_finished_shell_without_chips_costs_by_the_day_until_they_leave_home() -> None:
    static = licence_abroad()
    # Ready on 29 June 2024 (day 180), chips leave on 29 July: two days of June, the 28 others in July.
    june, july = 2, 30
    monthly = 126_000 * MW / MONTH
    expected = [0.0] * 5 + [june * monthly] + [july * monthly] * 42
    assert spent(static, tiny_draws(static, [(0, MW, 1)]), "idle_shell_usd") == usd(expected)


def test_a_shell_without_power_is_idle_too_and_one_that_waits_at_the_horizon_to_its_end() -> None:
    static = tiny_static()
    powerless = spent(static, tiny_draws(static, [(0, MW, 2)]), "idle_shell_usd")
    assert powerless[-1] == pytest.approx((300 - 170) * 126_000 * MW / MONTH)  # connected on day 320, built on day 190
    chipless = spent(static, tiny_draws(static, [(0, MW, 0)], chips_a_month=0), "idle_shell_usd")
    assert chipless[-1] == pytest.approx((1461 - SHELL) * 126_000 * MW / MONTH)


def test_idleness_before_the_start_and_after_giving_up_is_not_counted() -> None:
    static = licence_abroad(allocation=pot_of(1_000), allow_relocation=False)  # too little for any phase: patience of 200 days
    found = spent(static, tiny_draws(static, [(-SHELL - 100, MW, 1)]), "idle_shell_usd")
    assert found[-1] == pytest.approx(100 * 126_000 * MW / MONTH)


# ------------------------------------------------------------------ a real run, by a plain loop


def test_capital_spending_of_a_real_run_by_a_plain_loop_over_sites_and_deliveries(framework_run: Run) -> None:
    static, draws, log = framework_run.compiled.static, framework_run.draws, framework_run.log
    life = lives(static, draws, log)
    starts = static.month_starts.tolist()
    total = [0.0] * (len(starts) - 1)

    def pay(tick: int, amount: float) -> None:
        if 0 <= tick < static.horizon:
            total[sum(1 for s in starts if s <= tick) - 1] += amount

    for tick, _, _, _, _, _, mark, _, pool, quantity in log.tolist():
        if mark == Mark.DELIVERED:
            pay(tick, quantity * int(draws.price_usd[pool]) * draws.it_overhead_ppm / 1e6)
    hops = draws.relocates.shape[1]
    for site in np.nonzero(life.planned < NEVER)[0].tolist():
        if draws.route[site // hops] == Route.LEASED:
            continue
        price = int(draws.shell_usd_per_mw[life.market[site]]) * int(life.mw16[site]) / 16
        broken, built = int(life.ground_breaking[site]), int(life.shell_ready[site])
        half = (broken + built) // 2 if broken < NEVER and built < NEVER else NEVER
        moments = (int(life.site_control[site]), broken, half, built, int(life.online[site]))
        before = 0
        for moment, share in zip(moments, draws.spend_ppm.tolist(), strict=True):
            pay(moment, (share - before) / 1e6 * price)
            before = share
    assert series(framework_run.measures, "capex_usd") == pytest.approx(np.cumsum(total).tolist(), rel=1e-6)


@pytest.mark.parametrize("metric", ["capex_usd", "compliance_usd", "idle_shell_usd"])
def test_running_totals_of_money_never_fall_and_start_at_the_first_month(metric: str, framework_run: Run) -> None:
    for g in range(len(groups(framework_run.compiled.static))):
        total = np.array(series(framework_run.measures, metric, g))
        assert (total >= 0).all()
        assert (np.diff(total) >= 0).all()
    assert series(framework_run.measures, metric)[-1] > 0
    assert framework_run.compiled.static.start == date(2024, 1, 1)
