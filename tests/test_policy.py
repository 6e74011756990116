"""What the law does to plans, by hand: applications and their parts, Little's law, allocations, deals, binding dates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import ABROAD, DAY, LICENCE, POT, by_law, ints
from hypothesis import given
from hypothesis import strategies as st
from logs import Page, world

from simulator.events import Mark, Stage
from simulator.lives import MonthEnds, Rows, authorisations, lives_of, waits
from simulator.policy import (
    Little,
    dates,
    deal_countries,
    deal_quantities,
    decided_cases,
    licences,
    little,
    provisions,
    quota_used,
)
from simulator.static import NO_POT, Posture, Static

MONTHS = 48
ENDS = [11, 23, 35, 47]


def application(page: Page, filing: int, filed: float, decided: float | None, mark: Mark = Mark.APPROVED, *, company: int = 0,
                country: int = ABROAD, queued: float = 0, stopped: float = 0, tpp: int = 100, rule: int = LICENCE) -> Page:  # fmt: skip
    """One application with its parts."""
    at = {"phase": filing, "pool": country}
    page.company(filed, Stage.LICENCE_REVIEW, Mark.FILED, company, rule=LICENCE, quantity=tpp, **at)
    page.company(filed, Stage.LICENCE_REVIEW, Mark.QUEUED, company, quantity=round(queued * DAY), **at)
    if stopped:
        page.company(filed, Stage.LICENCE_REVIEW, Mark.STOPPED, company, quantity=round(stopped * DAY), **at)
    if decided is not None:
        page.company(decided, Stage.LICENCE_REVIEW, mark, company, rule=rule, quantity=tpp, **at)
    return page


def counted(page: Page) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in licences(page.static, Rows(page.log())).items()}


def test_applications_are_counted_from_the_start_and_their_time_is_told_in_parts() -> None:
    static, _ = world([], companies=("acme", "other"))
    page = Page(static)
    application(page, 0, -40, 60, queued=10, stopped=20)  # decided since the start: its time counts, its filing does not
    application(page, 1, 100, 150, Mark.DENIED, queued=4)
    application(page, 2, 200, 230, Mark.RETURNED)
    application(page, 0, 10, 30, company=1, country=2, queued=2, stopped=6)
    application(page, 1, 40, None, company=1, country=2)
    application(page, 0, -90, -30, company=1, country=ABROAD)  # before the start: counts nowhere
    found = counted(page)
    assert found["licences_filed"] == [4, 2, 2]
    assert found["licences_approved"] == [2, 1, 1]
    assert (found["licences_denied"], found["licences_returned"], found["licences_refused"]) == ([1, 1, 0], [1, 1, 0], [2, 2, 0])
    assert found["licence_wait_days"] == pytest.approx([(100 + 50 + 30 + 20) / 4, 60, 20])
    assert found["licence_queue_days"] == pytest.approx([(10 + 4 + 0 + 2) / 4, 14 / 3, 2])
    assert found["licence_stop_days"] == pytest.approx([(20 + 6) / 4, 20 / 3, 6])


def test_without_applications_there_is_no_time() -> None:
    found = counted(Page(world([])[0]))
    assert found["licences_filed"] == [0, 0]
    assert all(math.isnan(v) for v in found["licence_wait_days"] + found["licence_stop_days"])


def test_cases_pair_by_company_country_and_number_whatever_the_order_of_decisions() -> None:
    static, _ = world([], companies=("acme", "other"))
    page = Page(static)
    application(page, 0, 10, 90, country=1)
    application(page, 0, 20, 40, country=2)
    application(page, 0, 30, 80, company=1, country=1)
    application(page, 1, 50, 70, country=2)
    case = decided_cases(Rows(page.log()))
    found = zip(
        case.company.tolist(), case.country.tolist(), (case.filed / DAY).tolist(), (case.decided / DAY).tolist(), strict=True
    )
    assert list(found) == [(0, 1, 10, 90), (0, 2, 20, 40), (1, 1, 30, 80), (0, 2, 50, 70)]


# ------------------------------------------------------------------ Little's law


def test_littles_law_by_hand() -> None:
    # Two wait ten days each, one of them half outside: 15 days of waiting in 20 days.
    found = little(np.array([0, -5, 40]) * DAY, np.array([10, 5, 60]) * DAY, 0, 20 * DAY)
    assert found == Little(15 / 20, 2 / 20, 7.5)
    nobody = little(ints(0), ints(0), 0, DAY)
    assert nobody.mean_number == 0 and math.isnan(nobody.mean_days)


@given(st.lists(st.tuples(st.integers(-100, 300), st.integers(0, 200)), min_size=1, max_size=30))
def test_littles_law_holds_for_any_waits(drawn: list[tuple[int, int]]) -> None:
    begin = np.array([b for b, _ in drawn]) * DAY
    found = little(begin, begin + np.array([w for _, w in drawn]) * DAY, 0, 150 * DAY)
    if found.arrivals_a_day:
        assert found.mean_number == pytest.approx(found.arrivals_a_day * found.mean_days)


# ------------------------------------------------------------------ allocations


def pots(static: Static, *segments: tuple[int, int, int, int]) -> Static:
    """Pots of ARE by segment: (day, TPP or NO_POT, window, counts)."""

    def row(value: int, empty: int) -> np.ndarray:
        table = ints(3, fill=empty)
        table[ABROAD] = value
        return table

    return by_law(static, *(
        (day, {"allocation": row(tpp, NO_POT), "allocation_window": row(window, 0), "allocation_counts": row(counts, 0)})
        for day, tpp, window, counts in segments
    ))  # fmt: skip


def used(page: Page) -> tuple[list[float], list[float]]:
    """TPP and share of ARE's pot at the four year ends."""
    last = page.static.month_starts[1:][ENDS] - 1
    tpp, share = quota_used(page.static, Rows(page.log()), last)
    assert np.isnan(share[:, [0, 2]]).all() and np.isnan(tpp[:, [0, 2]]).all()
    return tpp[:, ABROAD].tolist(), share[:, ABROAD].tolist()


def test_what_is_drawn_counts_in_its_period_by_companies_projects_and_others_and_may_go_back() -> None:
    static = pots(world([[1]])[0], (100, 1000, 1, 0), (800, 2000, 2, 0))
    page = Page(static)
    page.company(150, Stage.ALLOCATION, Mark.DRAWN, rule=POT, pool=ABROAD, quantity=300)
    page.company(160, Stage.OTHER_IMPORTERS, Mark.DRAWN, 1, rule=POT, pool=ABROAD, quantity=200)  # written by the world
    page.at(170, Stage.ALLOCATION, Mark.DRAWN, rule=POT, pool=ABROAD, quantity=100)
    page.company(500, Stage.ALLOCATION, Mark.DRAWN, rule=POT, pool=ABROAD, quantity=-100)
    page.company(900, Stage.ALLOCATION, Mark.DRAWN, rule=POT, pool=ABROAD, quantity=700)
    assert used(page) == ([600, 500, 700, 700], [0.6, 0.5, 0.35, 0.35])


def test_a_pot_that_counts_before_it_limits_has_an_amount_and_no_share() -> None:
    static = pots(world([[1]])[0], (100, NO_POT, 1, 1), (400, 1000, 1, 0), (1200, NO_POT, 0, 0))
    page = Page(static).at(150, Stage.ALLOCATION, Mark.DRAWN, rule=POT, pool=ABROAD, quantity=250)
    tpp, share = used(page)
    assert tpp[:3] == [250, 250, 250] and math.isnan(tpp[3])
    assert math.isnan(share[0]) and share[1:3] == [0.25, 0.25] and math.isnan(share[3])


def bound(page: Page) -> dict[str, list[float]]:
    rows = Rows(page.log())
    _, draws = world([[1], [1]], company=np.array([0, 1]), companies=("acme", "other"))
    life = lives_of(page.static, draws, rows)
    return {name: values.tolist() for name, values in dates(page.static, rows, life, authorisations(page.static, rows)).items()}


def test_an_allocation_binds_where_a_phase_waits_for_room_or_an_application_does_not_fit() -> None:
    static = pots(world([[1], [1]], companies=("acme", "other"))[0], (0, 1000, 1, 0))
    page = Page(static).site(0, 1, 1).site(1, 1, 1)
    page.at(400, Stage.ALLOCATION, Mark.WAITS, 1, rule=POT, pool=ABROAD)
    application(page, 0, 100, 366, Mark.RETURNED, rule=POT)
    application(page, 1, 20, 30, Mark.RETURNED, rule=LICENCE, country=2)  # returned without action: another matter
    found = bound(page)
    assert found["quota_binding_date"] == pytest.approx([2025, 2025, 2025 + 34 / 365])
    assert found["quota_return_date"][:2] == pytest.approx([2025, 2025]) and math.isnan(found["quota_return_date"][2])


def test_dates_of_authorisations() -> None:
    static, _ = world([[1], [1]], companies=("acme", "other"))
    page = Page(static).site(0, 1).site(1, 1)
    page.company(366, Stage.AUTHORISATION, Mark.APPROVED, 1).company(366 + 365, Stage.AUTHORISATION, Mark.REVOKED, 1)
    page.company(9, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, 0, pool=1).company(
        10, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, 0, pool=2
    )
    found = bound(page)
    assert found["authorisation_date"][::2] == [2025, 2025] and math.isnan(found["authorisation_date"][1])
    assert found["authorisation_lost_date"][::2] == [2026, 2026]
    assert found["national_authorisations"] == [2, 2, 0]


# ------------------------------------------------------------------ deals


def deal(page: Page, phases: list[list[int]]) -> np.ndarray:
    """(6, year ends) of ARE in TPP; other countries have no deal."""
    rows = Rows(page.log())
    _, draws = world(phases)
    ends = MonthEnds(page.static, np.arange(3), 3)
    table = deal_quantities(page.static, rows, lives_of(page.static, draws, rows), ends, ENDS)
    assert np.isnan(table[:, :, [0, 2]]).all()
    return table[:, :, ABROAD]


def test_six_quantities_of_a_destination_that_negotiates() -> None:
    static, _ = world([[10], [4], [2, 2]])
    announced = ints(3, fill=static.horizon)
    announced[ABROAD] = 100 * DAY
    static = world([[1]], deal_announced=announced)[0]
    page = Page(static).site(0, 10, 1, planned=50).site(1, 4, 1, planned=200).site(2, 4, 1, planned=800)
    page.company(500, Stage.FRAMEWORK, Mark.END, 1, pool=ABROAD)  # the world's row
    application(page, 0, 600, 760, tpp=90)
    page.company(770, Stage.FRAMEWORK, Mark.APPROVED, pool=ABROAD, quantity=30)
    page.company(1200, Stage.LICENCE_REVIEW, Mark.LAPSED, pool=ABROAD, quantity=20)
    page.phase(0, market=1, mw=10, shipped=770, chips=10, installed=1000, online=1100)
    page.phase(2, 0, market=1, mw=2, shipped=1190, chips=3)
    # A chip of 1,000 W and 16,000 TPP: a MW is 16 million TPP. Year ends are days 366, 731, 1096, 1461.
    each = 16_000_000
    found = deal(page, [[10], [4], [2, 2]])
    assert found[0].tolist() == [4 * each, 4 * each, 8 * each, 8 * each]  # the plan of day 50 came before the deal
    assert found[1].tolist() == [0, 4 * each, 8 * each, 8 * each]
    assert found[2].tolist() == [0, 0, 120, 100]
    assert found[3].tolist() == [0, 0, 160_000, 208_000]
    assert found[4].tolist() == [0, 0, 160_000, 160_000]
    assert found[5].tolist() == [0, 0, 0, 160_000]
    assert [found[i][3] <= found[j][3] for i, j in ((5, 4), (4, 3), (1, 0))] == [True] * 3


def test_a_deal_that_the_law_simply_opens_is_framed_when_it_begins() -> None:
    posture = ints(1, 3, 1)
    posture[0, ABROAD] = int(Posture.DEAL_WINDOW)
    static = by_law(world([[1]])[0], (300, {"posture": posture}), (600, {"posture": posture}))
    countries, since = deal_countries(static)
    assert (countries.tolist(), (since / DAY).tolist()) == ([ABROAD], [300])
    found = deal(Page(static).site(0, 1, 1, planned=299).site(1, 1, 1, planned=301), [[1], [1]])
    assert found[0].tolist() == found[1].tolist() == [16_000_000] * 4


# ------------------------------------------------------------------ provisions


def test_what_each_provision_did() -> None:
    static, draws = world([[16], [8], [4], [2]])
    page = Page(static)
    for root, mw in enumerate((16, 8, 4, 2)):
        page.site(root, mw, 1)
    page.phase(0, mw=16, market=1, asked=10, ready=100, cleared=130, rule=LICENCE)
    page.at(10, Stage.LICENCE_REVIEW, Mark.WAITS, rule=LICENCE, pool=ABROAD).at(
        110, Stage.ALLOCATION, Mark.WAITS, rule=POT, pool=ABROAD
    )
    page.phase(1, mw=8, market=1, asked=-50, ready=-40, rule=POT)  # waits from before the start to the end
    page.at(-50, Stage.ALLOCATION, Mark.WAITS, 1, rule=POT, pool=ABROAD)
    page.phase(2, mw=4, market=1, asked=-9, cleared=-8, ready=-5, rule=LICENCE)  # cleared before the start
    page.at(70, Stage.PROJECT, Mark.DOWNSIZED, 2, rule=LICENCE, pool=1, quantity=16)
    page.at(80, Stage.PROJECT, Mark.CANCELLED, 3, rule=POT, pool=1, quantity=32)
    page.at(90, Stage.PROJECT, Mark.RELOCATED, 2, rule=-1, pool=1, quantity=5)
    rows = Rows(page.log())
    life = lives_of(static, draws, rows)
    table = provisions(static, rows, life, waits(rows, life))
    assert table[LICENCE].tolist() == [16, 16 * 10, 0, 0, 1]
    assert table[POT].tolist() == [0, 16 * 20 + 8 * 1461, 0, 2, 0]
    assert table.sum() == table[LICENCE].sum() + table[POT].sum()
