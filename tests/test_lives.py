"""Milestones read off hand-written logs, and amounts added up by month against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DAY, ints
from hypothesis import given
from hypothesis import strategies as st
from logs import Page, world

from simulator.events import Mark, Stage
from simulator.lives import NEVER, Dated, Lives, MonthEnds, Rows, Running, authorisations, lives, lives_of, spells, waits
from simulator.sampling import HOPS


def in_days(ticks: np.ndarray) -> list[float]:
    """Ticks as days; NEVER as infinity."""
    return [float("inf") if tick == NEVER else tick / DAY for tick in ticks.tolist()]


NOT = float("inf")


def test_milestones_of_a_site_and_its_phases() -> None:
    static, draws = world([[10, 6]])
    page = Page(static).site(0, 16, 1, control=10, ground=60, own=100, power=110, grid=120, full=260)
    page.phase(
        0,
        0,
        mw=10,
        market=1,
        shell=180,
        powered=110,
        ready=180,
        asked=120,
        cleared=125,
        shipped=181,
        chips=10_000,
        rule=1,
        installed=200,
        online=210,
    )
    page.phase(
        0,
        1,
        mw=5,
        market=1,
        shell=220,
        powered=150,
        ready=220,
        asked=160,
        cleared=170,
        shipped=221,
        chips=5_000,
        installed=240,
        online=260,
    )
    sites, phases, place = lives(static, draws, page.log())
    assert (sites.planned[0], sites.mw16[0], sites.market[0], sites.country[0]) == (0, 256, 1, 1)
    milestones = (sites.site_control, sites.ground_breaking, sites.own_date, sites.first_power, sites.grid, sites.full)
    assert [in_days(ticks[:1])[0] for ticks in milestones] == [10, 60, 100, 110, 120, 260]
    assert in_days(sites.shell_ready[:1]) == [180]  # the first building
    assert in_days(sites.ended[:1]) == in_days(sites.bridged[:1]) == [NOT]
    assert (sites.planned[1:] == NEVER).all() and (sites.country[1:] == -1).all()
    assert phases.site.tolist() == [0, 0] and phases.number.tolist() == [0, 1]
    assert phases.mw16.tolist() == [160, 96] and phases.online_mw16.tolist() == [160, 80]  # planned, and what a licence let fill
    assert in_days(phases.shell_ready) == [180, 220] and in_days(phases.powered) == [110, 150]
    assert in_days(phases.ready) == [180, 220] and in_days(phases.asked) == [120, 160]
    assert in_days(phases.cleared) == [125, 170] and phases.clearance_rule.tolist() == [1, 0]
    assert (
        in_days(phases.shipped) == [181, 221] and in_days(phases.installed) == [200, 240] and in_days(phases.online) == [210, 260]
    )
    assert phases.h100e_ppm.tolist() == [10_000_000_000, 5_000_000_000] and phases.tpp.tolist() == [160_000_000, 80_000_000]
    assert place[:3].tolist() == [0, 1, -1]


def test_a_successor_takes_over_what_was_not_shipped_and_counts_its_phases_from_nought() -> None:
    static, draws = world([[10, 20, 30, 40]])
    page = Page(static).site(0, 100, 1)
    page.phase(0, 1, market=1, shipped=50, chips=20_000)
    page.at(60, Stage.PROJECT, Mark.RELOCATED, rule=1, pool=1, quantity=80 * 16)
    page.site(0, 80, 2, hop=1, planned=60).phase(0, 0, hop=1, shipped=90, chips=1, market=2)
    page.at(100, Stage.PROJECT, Mark.CANCELLED, 0, 1, pool=2, quantity=70 * 16)
    life = lives(static, draws, page.log())
    assert life.phases.site.tolist() == [0] * 4 + [1] * 3
    assert (life.phases.mw16 / 16).tolist() == [10, 20, 30, 40, 10, 30, 40]
    assert in_days(life.phases.ended) == [60, NOT, 60, 60, NOT, 100, 100]
    assert life.sites.mw16[:2].tolist() == [100 * 16, 80 * 16]
    assert life.sites.end_rule[:2].tolist() == [1, -1]
    assert in_days(life.sites.relocated[:2]) == [60, NOT]


def test_a_phase_of_the_opening_fleet_is_not_taken_over_either() -> None:
    static, draws = world([[10, 20]])
    page = Page(static).site(0, 30, 0, planned=-900)
    page.at(-100, Stage.PROJECT, Mark.IN_FLEET, pool=0, quantity=160)
    page.at(-50, Stage.PROJECT, Mark.RELOCATED, pool=0, quantity=320).site(0, 20, 1, hop=1, planned=-50)
    life = lives(static, draws, page.log())
    assert (life.phases.mw16 / 16).tolist() == [10, 20, 20]
    assert in_days(life.phases.in_fleet) == [-100, NOT, NOT] and in_days(life.phases.ended) == [NOT, -50, NOT]


def test_a_switch_changes_the_vendor_of_the_phase_and_the_first_one_left_sets_that_of_the_successor() -> None:
    static, draws = world([[10, 20]], vendor=ints(1))
    page = Page(static).site(0, 30).at(5, Stage.CHIPS, Mark.SWITCHED, pool=3).at(9, Stage.PROJECT, Mark.RELOCATED, pool=0)
    page.site(0, 30, 1, hop=1, planned=9).at(12, Stage.CHIPS, Mark.SWITCHED, 0, 1, 1, pool=4)
    life = lives(static, draws, page.log())
    assert life.phases.vendor.tolist() == [3, 0, 3, 4]
    assert in_days(life.phases.switched) == [5, NOT, NOT, 12]


def test_companies_rows_never_mix_with_those_of_projects() -> None:
    static, _ = world([[10]])
    page = Page(static).site(0, 10)
    page.company(3, Stage.ALLOCATION, Mark.DRAWN, pool=1, quantity=5, phase=40)
    page.at(4, Stage.ALLOCATION, Mark.DRAWN, pool=1, quantity=7)
    rows = Rows(page.log())
    assert rows.quantity[rows.of(Stage.ALLOCATION, Mark.DRAWN)].tolist() == [5, 7]
    assert rows.quantity[rows.of_projects(Stage.ALLOCATION, Mark.DRAWN)].tolist() == [7]
    assert rows.company(rows.of(Stage.ALLOCATION, Mark.DRAWN)[:1]).tolist() == [0]


def waiting(page: Page, life: Lives | None = None) -> list[tuple[int, Stage, int, float, float]]:
    """(phase, stage, provision, from, until) of every wait."""
    static, draws = world([[10], [10]])
    rows = Rows(page.log())
    found = waits(rows, life or lives_of(static, draws, rows))
    return [
        (int(p), Stage(int(s)), int(r), b, e)
        for p, s, r, b, e in zip(found.phase, found.stage, found.rule, in_days(found.begin), in_days(found.end), strict=True)
    ]


def test_waits_are_cut_at_ready_and_told_apart_by_what_was_waited_for() -> None:
    page = Page(world([[10], [10]])[0]).site(0, 10, 1).site(1, 10, 1)
    page.phase(0, mw=10, asked=50, ready=100, cleared=200, market=1)
    for day, stage, rule in (
        (50, Stage.CLASSIFICATION, 1),
        (80, Stage.LICENCE_REVIEW, 1),
        (120, Stage.CLEARANCE, 1),
        (150, Stage.ALLOCATION, 2),
    ):
        page.at(day, stage, Mark.WAITS, rule=rule, pool=1)
    page.phase(1, mw=10, asked=60, ready=70, market=1)  # never cleared, and nothing said of why
    assert waiting(page) == [
        (0, Stage.LICENCE_REVIEW, 1, 100, 120),
        (0, Stage.CLEARANCE, 1, 120, 150),
        (0, Stage.ALLOCATION, 2, 150, 200),
        (1, Stage.CLEARANCE, -1, 70, NOT),
    ]


def test_a_phase_cleared_before_it_is_ready_has_not_waited_and_one_that_loses_its_clearance_waits_again() -> None:
    page = Page(world([[10], [10]])[0]).site(0, 10, 1)
    page.phase(0, mw=10, asked=50, cleared=60, ready=100, market=1)
    page.at(130, Stage.CLEARANCE, Mark.START, pool=1).at(130, Stage.FRAMEWORK, Mark.WAITS, rule=1, pool=1)
    page.at(170, Stage.CLEARANCE, Mark.END, pool=1)
    assert waiting(page) == [(0, Stage.FRAMEWORK, 1, 130, 170)]


def test_a_phase_that_is_never_ready_does_not_wait_for_clearance() -> None:
    page = Page(world([[10], [10]])[0]).site(0, 10, 1).phase(0, asked=50, market=1)
    assert waiting(page) == []


def test_spells_of_a_stage_may_repeat_stay_open_or_end_with_the_site() -> None:
    static, draws = world([[10], [10], [10]])
    page = Page(static).site(0, 10).site(1, 10).site(2, 10)
    for root, day, mark in (
        (0, 10, Mark.START),
        (0, 30, Mark.END),
        (0, 50, Mark.START),
        (1, 20, Mark.START),
        (2, 25, Mark.START),
    ):
        page.at(day, Stage.CHIPS, mark, root)
    page.at(60, Stage.PROJECT, Mark.CANCELLED, 2, pool=0)
    rows = Rows(page.log())
    found = spells(rows, lives_of(static, draws, rows), Stage.CHIPS)
    assert list(zip(found.phase.tolist(), in_days(found.begin), in_days(found.end), strict=True)) == [
        (0, 10, 30), (0, 50, NOT), (1, 20, NOT), (2, 25, 60),
    ]  # fmt: skip


def test_authorisations_are_read_off_the_log() -> None:
    static, _ = world([[10]])
    page = Page(static)
    page.company(30, Stage.AUTHORISATION, Mark.DENIED, pool=0).company(400, Stage.AUTHORISATION, Mark.APPROVED, pool=0)
    page.company(900, Stage.AUTHORISATION, Mark.REVOKED, pool=0)
    page.company(50, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, pool=2)
    held = authorisations(static, Rows(page.log()))
    assert (in_days(held.since), in_days(held.until)) == ([400], [900])
    assert in_days(held.national[0]) == [NOT, NOT, 50]


# ------------------------------------------------------------------ adding up


def ends_of_months() -> tuple[MonthEnds, list[int]]:
    static, _ = world([])
    return MonthEnds(static, np.array([0, 1, 1]), 2), static.month_starts.tolist()


amounts = st.lists(st.tuples(st.integers(-400, 2000), st.integers(0, 2), st.integers(0, 1000)), max_size=12)


@given(amounts)
def test_totals_by_a_plain_loop(drawn: list[tuple[int, int, int]]) -> None:
    ends, starts = ends_of_months()
    day, country, amount = (np.array([row[i] for row in drawn], dtype=np.int64) for i in range(3))
    found = ends.totals(day * DAY, ints(len(drawn)), country, amount)
    since = ends.since(day * DAY, ints(len(drawn)), country, amount)
    for t, end in enumerate(starts[1:]):
        for place in (0, 1):
            happened = [(d, a) for d, c, a in drawn if d * DAY < end and (c > 0) == place]
            assert found[t, 0, place] == sum(a for _, a in happened)
            assert since[t, 0, place] == sum(a for d, a in happened if d >= 0)


@given(st.lists(st.tuples(st.integers(-400, 2000), st.integers(-400, 3000), st.integers(0, 1000)), max_size=12))
def test_what_runs_up_by_the_day_by_a_plain_loop(drawn: list[tuple[int, int, int]]) -> None:
    ends, starts = ends_of_months()
    begin, end, rate = (np.array([row[i] for row in drawn], dtype=np.int64) for i in range(3))
    found = ends.accrued(begin * DAY, end * DAY, ints(len(drawn)), ints(len(drawn)), rate)
    there = ends.during(begin * DAY, np.maximum(begin, end) * DAY, ints(len(drawn)), ints(len(drawn)), rate)
    for t, last in enumerate(starts[1:]):
        days = last // DAY
        expected = sum(r * max(min(e, days) - max(b, 0), 0) for b, e, r in drawn)
        assert found[t, 0, 0] == pytest.approx(expected, abs=1e-6)
        assert there[t, 0, 0] == sum(r for b, e, r in drawn if b < days <= max(b, e))
    assert (np.diff(found, axis=0) >= 0).all()


@given(amounts)
def test_totals_at_some_month_ends_are_those_of_all_months(drawn: list[tuple[int, int, int]]) -> None:
    ends, _ = ends_of_months()
    day, place, amount = (np.array([row[i] for row in drawn], dtype=np.int64) for i in range(3))
    tick, months = day * DAY, [11, 23, 35, 47]
    every = MonthEnds(world([])[0], np.arange(3), 3).totals(tick, ints(len(drawn)), place, amount)
    assert (ends.at(months, tick, place, 3, amount) == every[months, 0]).all()


def test_lines_of_several_parts_are_added_up_apart() -> None:
    ends, _ = ends_of_months()
    one = Dated(np.array([-5, 5, 40]) * DAY, ints(3), np.array([0, 0, 1]), np.array([1.0, 2.0, 4.0]))
    found = ends.dated([[one, one], [], [one._replace(amount=10.0)]])
    assert found[:, -1, 0].tolist() == [[4, 8], [0, 0], [10, 10]]
    runs = Running(np.array([-5, 31]) * DAY, NEVER, ints(2), ints(2), np.array([1.0, 2.0]))
    up = ends.running([[], [runs, runs._replace(end=np.array([1, 32]) * DAY)]])
    assert up[:, 1, 0, 0].tolist() == [0, 60 + 2 * 29 + 1 + 2]


def test_several_tables_at_once_are_the_tables_one_by_one() -> None:
    ends, _ = ends_of_months()
    tick, country = np.array([5, 40, 70, 2000]) * DAY, np.array([0, 1, 2, 0])
    line, amount = np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0])
    both = ends.several(2, line, tick, ints(4), country, amount)
    for i in (0, 1):
        mine = line == i
        assert (both[i] == ends.totals(tick[mine], ints(int(mine.sum())), country[mine], amount[mine])).all()


def test_hops_of_the_layout_are_those_of_the_draws() -> None:
    static, draws = world([[10], [20]])
    life = lives(static, draws, Page(static).site(1, 20).log())
    assert len(life.sites.planned) == 2 * HOPS and life.phases.site.tolist() == [HOPS]
