"""Times by hand: the textbook's incidence with competing ends, slippage of first power, and how fast sites fill up."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from conftest import DAY, ints
from logs import MONTH, Page, world

from simulator.events import Mark, Stage
from simulator.lives import lives
from simulator.static import Route
from simulator.timeline import decimal_year, incidence_months, lineages, median_months, times

HORIZON = 1461


def cohort(online: dict[int, int], cancelled: dict[int, int], planned: list[int] | None = None, n: int = 5) -> float:
    """Median of lineages (root -> day) in the textbook's unit, a day; the tiny horizon is day 1461."""
    return quantiles(online, cancelled, planned, n)[0]


def quantiles(
    online: dict[int, int],
    cancelled: dict[int, int],
    planned: list[int] | None = None,
    n: int = 5,
    shares: tuple[float, ...] = (0.5,),
) -> list[float]:
    static, draws = world([[1]] * n)
    page = Page(static)
    for root in range(n):
        page.site(root, 1, planned=(planned or [0] * n)[root])
        if root in online:
            page.phase(root, mw=1, online=online[root])
        if root in cancelled:
            page.at(cancelled[root], Stage.PROJECT, Mark.CANCELLED, root, pool=0, quantity=16)
    found = incidence_months(lineages(static, draws, lives(static, draws, page.log())), shares)
    return [months * MONTH for months in found]


def test_cancellation_competes_it_does_not_censor() -> None:
    # Cumulative incidence 1/5, 2/5, 3/5 on days 20, 30, 40. Taken as censored (Kaplan-Meier) the third of three at risk is
    # reached on day 30, and so it is if cancelled lineages are left out.
    assert cohort({0: 20, 1: 30, 2: 40}, {3: 10, 4: 11}) == pytest.approx(40)


def test_unfinished_ones_are_censored_not_counted_as_never() -> None:
    # Two planned 15 and 16 days before the horizon leave the risk set; of the two left one is online on day 20: 1/2.
    assert cohort({0: 20, 1: 30}, {}, [0, 0, HORIZON - 15, HORIZON - 16], n=4) == pytest.approx(20)


def test_the_textbook_table_with_both() -> None:
    # day 10 online 1/6, S 5/6; day 20 cancelled, S 4/6; day 30 online + 1/6 = 2/6, S 3/6; day 35 one censored;
    # day 40 online of two at risk + 3/6 x 1/2 = 7/12: reached. A tenth and nine tenths: on day 10, and on day 50 at most 10/12.
    drawn = {0: 10, 1: 30, 2: 40, 3: 50}, {4: 20}, [0, 0, 0, 0, 0, HORIZON - 35]
    assert cohort(*drawn, n=6) == pytest.approx(40)
    found = quantiles(*drawn, n=6, shares=(0.1, 1 / 3, 10 / 12, 0.9))
    assert found[:3] == pytest.approx([10, 30, 50]) and math.isnan(found[3])


def test_fewer_than_half_is_not_reached() -> None:
    assert math.isnan(cohort({0: 20, 1: 30}, {2: 10, 3: 11, 4: 12}))
    assert math.isnan(cohort({}, {})) and math.isnan(cohort({}, {}, n=0))


def test_one_censored_on_the_day_of_an_event_was_still_at_risk() -> None:
    # Incidence 1/3 on day 20, not 1/2; the third is censored before it can be online.
    assert math.isnan(cohort({1: 20}, {}, [HORIZON - 20, 0, HORIZON - 30], n=3))


@pytest.mark.parametrize("n", range(1, 61))
def test_exactly_one_half_is_reached_for_every_number_of_lineages(n: int) -> None:
    assert cohort({i: 10 + i for i in range(n)}, {}, n=n) == pytest.approx(10 + (n + 1) // 2 - 1)


def test_a_lineage_counts_from_its_first_site_to_its_first_phase_anywhere() -> None:
    static, draws = world([[1, 1], [1]])
    page = Page(static).site(0, 2).site(0, 2, 1, hop=1, planned=50).site(1, 1)
    page.at(50, Stage.PROJECT, Mark.RELOCATED, pool=0, quantity=32)
    page.phase(0, 1, 1, mw=1, online=120).phase(0, 0, 1, mw=1, online=300).phase(1, mw=1, online=500)
    assert median_months(static, draws, lives(static, draws, page.log())) * MONTH == pytest.approx(120)


def test_a_project_given_up_in_part_lives_on_and_what_was_planned_before_the_start_is_in_no_cohort() -> None:
    static, draws = world([[1, 1], [1], [1]])
    page = Page(static).site(0, 2).site(1, 1).site(2, 1, planned=-1)
    page.phase(0, 0, mw=1, shipped=90, chips=1).phase(2, mw=1, online=5)
    page.at(100, Stage.PROJECT, Mark.CANCELLED, 0, pool=0, quantity=16).at(
        100, Stage.PROJECT, Mark.CANCELLED, 1, pool=0, quantity=16
    )
    of = lineages(static, draws, lives(static, draws, page.log()))
    assert dict(zip(of.root.tolist(), zip(of.online.tolist(), of.cancelled.tolist(), strict=True), strict=True)) == {
        0: (False, False),
        1: (False, True),
    }


# ------------------------------------------------------------------ the other clocks


def numbers(page: Page, draws: object, company: int = 0) -> dict[str, float]:
    """All times of the page; 0 is the total, then each company."""
    found = times(page.static, draws, lives(page.static, draws, page.log()))  # type: ignore[arg-type]
    return {name: float(values[company]) for name, values in found.items()}


def test_months_over_megawatts_count_every_phase_from_the_first_plan_of_its_lineage() -> None:
    static, draws = world([[10, 30], [20], [5]])
    page = Page(static).site(0, 40).site(0, 30, 1, hop=1, planned=200).site(1, 20, planned=-100).site(2, 5, planned=-500)
    page.phase(0, 0, mw=10, shipped=90, chips=1, online=100).phase(0, 0, 1, mw=30, online=500).phase(1, mw=20, online=50).phase(
        2, mw=5, online=-1
    )
    page.at(200, Stage.PROJECT, Mark.RELOCATED, pool=0, quantity=480)
    found = numbers(page, draws)["months_plan_to_online_mw_mean"] * MONTH
    assert found == pytest.approx((10 * 100 + 30 * 500 + 20 * 150) / 60)


def test_routes_and_companies_have_times_of_their_own() -> None:
    static, draws = world(
        [[1], [1], [1]], companies=("acme", "other"), company=np.array([0, 0, 1]),
        route=np.array([Route.CLASSIC, Route.LEASED, Route.LEASED]),
    )  # fmt: skip
    page = Page(static)
    for root, day in enumerate((300, 100, 200)):
        page.site(root, 1).phase(root, mw=1, online=day)
    whole, acme, other = (numbers(page, draws, i) for i in range(3))
    assert whole["months_plan_to_online_median"] * MONTH == pytest.approx(200)
    assert [one["months_plan_to_online_leased"] * MONTH for one in (whole, acme, other)] == pytest.approx([100, 100, 200])
    assert acme["months_plan_to_online_classic"] * MONTH == pytest.approx(300)
    assert math.isnan(other["months_plan_to_online_classic"]) and math.isnan(whole["months_plan_to_online_ai_first"])
    assert (whole["share_online_by_horizon"], other["share_online_by_horizon"]) == (1, 1)


def test_slippage_is_first_power_less_the_companys_own_date() -> None:
    static, draws = world([[1]] * 6)
    page = Page(static)
    page.site(0, 1, ground=50, own=100, power=90)  # ten days early
    page.site(1, 1, ground=50, own=100, power=100)  # on the day: not late
    page.site(2, 1, ground=50, own=100, power=400)
    page.site(3, 1, ground=-50, own=10, power=60)
    page.site(4, 1, ground=50, own=200)  # none by the horizon: later than any
    page.site(5, 1, ground=-500, own=-100, power=900)  # its own date was before the start: not in the cohort
    found = numbers(page, draws)
    assert (found["slippage_days_median"], found["share_late"]) == (50, 3 / 5)


def test_slippage_is_not_reached_if_most_have_no_power_and_sites_given_up_do_not_count() -> None:
    static, draws = world([[1]] * 4)
    page = Page(static).site(0, 1, ground=50, own=100, power=150).site(1, 1, ground=50, own=100).site(2, 1, ground=50, own=100)
    assert math.isnan(numbers(page, draws)["slippage_days_median"])
    for root in (1, 2):
        page.at(300, Stage.PROJECT, Mark.CANCELLED, root, pool=0)
    found = numbers(page, draws)
    assert (found["slippage_days_median"], found["share_late"]) == (50, 1)


def test_ramp_and_time_from_first_phase_to_full() -> None:
    static, draws = world([[10, 20, 30], [10, 10], [8], [10, 10]])
    page = (
        Page(static)
        .site(0, 60, power=100, full=400)
        .site(1, 20, power=1100)
        .site(2, 8, power=200, full=260)
        .site(3, 20, power=-90, full=700)
    )
    for number, (mw, day) in enumerate(((10, 150), (20, 300), (30, 400))):
        page.phase(0, number, mw=mw, online=day)
    page.phase(1, 0, mw=10, online=1200).phase(2, mw=8, online=260).phase(3, 0, mw=10, online=-1).phase(3, 1, mw=10, online=700)
    found = numbers(page, draws)
    # Of projects of several phases whose first came online since the start: 250 days, and one not full.
    assert found["months_first_to_full_median"] * MONTH == pytest.approx(250)
    span = (400 - 100) + (HORIZON - 1100) + (260 - 200)
    assert found["ramp_mw_per_month"] == pytest.approx((60 + 10 + 8) / (span / MONTH))


def test_nothing_has_no_times() -> None:
    static, draws = world([])
    found = numbers(Page(static), draws)
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("day", "year"), [(0, 2024.0), (183, 2024.5), (366, 2025.0), (366 + 181, 2025 + 181 / 365), (-1, 2023 + 364 / 365)]
)
def test_a_point_in_time_is_a_year_and_its_fraction_leap_years_included(day: int, year: float) -> None:
    assert decimal_year(date(2024, 1, 1), day * DAY) == pytest.approx(year, abs=1e-12)


def test_the_helper_makes_projects_of_one_company_unless_told_otherwise() -> None:
    _, draws = world([[1], [2, 3]])
    assert (draws.company == ints(2)).all() and draws.mw16.tolist() == [16, 80]
