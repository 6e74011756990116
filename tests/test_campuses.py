"""Which sites stand together, when a campus is large, and when it could train a frontier model: all worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints
from hypothesis import given
from hypothesis import strategies as st
from logs import Page, world

from simulator.campuses import RUN_NAMES, RUNS, campuses, crossings, frontier_runs, large_campuses, training_rates
from simulator.lives import NEVER, Rows, lives, lives_of
from simulator.sampling import HOPS
from simulator.static import Route

NEW, GROWS = int(Route.CLASSIC), int(Route.EXPANSION)
PER_CHIP = 1e15 * 0.5 * 0.8 * 120 * 86_400
"""Operations in 120 days of a chip of 1,000 TFLOP/s at utilisation 0.5 and goodput 0.8."""


def placed(sites: list[tuple[int, int, int, int, int]], room: list[int], **changes: Any) -> list[int]:
    """Roots of the campuses of projects given as (day of the plan, MW, market, route, company); `room` in MW by founder."""
    static, draws = world(
        [[mw] for _, mw, _, _, _ in sites],
        route=np.array([route for _, _, _, route, _ in sites]),
        company=np.array([company for *_, company in sites]),
        campus_mw16=np.array(room) * 16,
        **changes,
    )
    page = Page(static)
    for root, (day, mw, market, _, _) in enumerate(sites):
        page.site(root, mw, market, planned=day)
    found = campuses(draws, lives(static, draws, page.log()).sites)
    assert (found.reshape(-1, HOPS)[:, 1:] == -1).all()
    return (found[::HOPS] // HOPS).tolist()


def test_an_expansion_joins_its_companys_campus_in_its_market_and_a_new_campus_joins_none() -> None:
    sites = [(0, 100, 0, NEW, 0), (10, 50, 0, GROWS, 0), (20, 50, 0, NEW, 0), (30, 50, 1, GROWS, 0), (40, 50, 0, GROWS, 1)]
    assert placed(sites, [500] * 5) == [0, 0, 2, 3, 4]


def test_a_campus_takes_no_more_than_its_founder_has_room_for() -> None:
    sites = [(0, 100, 0, NEW, 0), (1, 60, 0, GROWS, 0), (2, 60, 0, GROWS, 0), (3, 40, 0, GROWS, 0), (4, 1, 0, GROWS, 0)]
    # 200 MW: 100 and 60 leave 40, so the next 60 found a campus of their own (with no room), 40 fill the first one.
    assert placed(sites, [200, 0, 60, 0, 0]) == [0, 0, 2, 0, 4]


def test_the_oldest_campus_with_room_comes_first_whatever_the_order_of_projects() -> None:
    sites = [(50, 10, 0, GROWS, 0), (20, 100, 0, NEW, 0), (10, 100, 0, NEW, 0)]
    assert placed(sites, [0, 200, 200]) == [2, 1, 2]
    assert placed(sites, [0, 200, 100]) == [1, 1, 2]
    assert placed([(5, 10, 0, GROWS, 0), *sites[1:]], [100, 200, 200]) == [0, 1, 2]  # it is planned before there is a campus


def test_an_expansion_may_found_the_campus_that_others_join() -> None:
    assert placed([(0, 10, 0, GROWS, 0), (1, 10, 0, GROWS, 0), (2, 10, 0, GROWS, 0)], [25, 0, 0]) == [0, 0, 2]


def test_a_successor_joins_where_it_stands() -> None:
    static, draws = world([[10], [20]], route=np.array([GROWS, NEW]), campus_mw16=np.array([160, 16_000]))
    page = Page(static).site(0, 10, 1).site(1, 20, 2, planned=1).site(0, 10, 2, hop=1, planned=5)
    found = campuses(draws, lives(static, draws, page.log()).sites)
    assert found[0] == 0 and found[1] == HOPS == found[HOPS]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99), st.integers(0, 1), st.sampled_from([NEW, GROWS]), st.integers(0, 1)), max_size=14),
       st.integers(0, 300))  # fmt: skip
def test_no_campus_is_larger_than_its_limit_and_each_is_founded_by_its_own_site(
    sites: list[tuple[int, int, int, int, int]], room: int
) -> None:
    found = placed(sites, [room] * len(sites))
    for root, campus in enumerate(found):
        assert found[campus] == campus
        assert sites[root][2:3] == sites[campus][2:3] and sites[root][4] == sites[campus][4]
        assert (sites[campus][0], campus) <= (sites[root][0], root)
        assert root == campus or sites[root][3] == GROWS
    for campus in set(found):
        members = [sites[r][1] for r, c in enumerate(found) if c == campus]
        assert len(members) == 1 or sum(members) <= room


# ------------------------------------------------------------------ sizes in operation


def test_a_campus_is_large_from_the_day_its_facility_load_in_operation_reaches_the_threshold() -> None:
    static, draws = world([[100, 130], [900]], route=np.array([NEW, NEW]), design_ratio_ppm=1_300_000)
    page = Page(static).site(0, 230).site(1, 900, 1)
    page.phase(0, 0, mw=100, online=100).phase(0, 1, mw=131, online=200).phase(1, 0, mw=900, market=1, online=300)
    life = lives(static, draws, page.log())
    campus = campuses(draws, life.sites)

    def large(mw: int) -> list[tuple[int, float]]:
        found, ticks = large_campuses(campus, life.phases, draws.design_ratio_ppm, mw)
        return list(zip((found // HOPS).tolist(), (ticks / DAY).tolist(), strict=True))

    assert large(130) == [(0, 100), (1, 300)]  # 100 MW of IT are exactly 130 MW of facility
    assert large(300) == [(0, 200), (1, 300)]
    assert large(301) == [(1, 300)]
    assert large(1000) == [(1, 300)] and large(1171) == []


def test_crossings_by_hand() -> None:
    groups, ticks = crossings(np.array([7, 3, 7, 3, 9]), np.array([5, 1, 2, 4, 0]), np.array([10, 6, 10, 6, 9]), 12)
    assert (groups.tolist(), ticks.tolist()) == ([3, 7], [4, 5])
    assert crossings(ints(0), ints(0), ints(0), 1)[0].tolist() == []


# ------------------------------------------------------------------ frontier training runs


def runs(phases: list[tuple[int, int, int]], *, together: bool = False, sizes: tuple[float, ...] = (100.0, 150.0)) -> list[float]:
    """First days on which runs of so many chips are possible, over all campuses; phases as (root, chips, day online)."""
    roots = 1 + max((root for root, _, _ in phases), default=0)
    static, draws = world([[1] * 4 for _ in range(roots)], route=np.full(roots, GROWS if together else NEW))
    draws = draws.__class__(**{**draws.__dict__, "campus_mw16": np.full(roots, 16_000)})
    page = Page(static)
    count: dict[int, int] = {}
    for root in range(roots):
        page.site(root, 4, planned=-500 + root)
    for root, chips, day in phases:
        number = count[root] = count.get(root, -1) + 1
        page.phase(root, number, mw=1, shipped=min(day, 1400) - 1, chips=chips, **({"online": day} if day < 1500 else {}))
    rows = Rows(page.log())
    life = lives_of(static, draws, rows)
    rates = training_rates(rows, life, np.array([1000.0]))
    found = frontier_runs(campuses(draws, life.sites), life.phases, rates, 0.4, [n * PER_CHIP for n in sizes])
    return [float(ticks.min(initial=NEVER)) / DAY if len(ticks) else float("inf") for _, ticks in found]


NOT = float("inf")


def test_a_campus_can_do_a_run_when_enough_of_its_chips_are_online() -> None:
    assert runs([(0, 100, 50)]) == [50, NOT]
    assert runs([(0, 99, 50)]) == [NOT, NOT]
    assert runs([(0, 100, 50), (0, 50, 70)]) == [50, 70]
    assert runs([(0, 60, 90), (0, 60, 40)]) == [90, NOT]
    assert runs([(0, 200, 1500)]) == [NOT, NOT]  # shipped and never online
    assert runs([(0, 120, 80), (1, 200, 95)]) == [80, 95]


def test_sites_add_up_only_on_one_campus() -> None:
    phases = [(0, 60, 10), (1, 60, 20), (2, 60, 30)]
    assert runs(phases) == [NOT, NOT]
    assert runs(phases, together=True) == [20, 30]


def test_the_largest_known_runs_need_the_chips_they_should() -> None:
    """0.34 x 0.93 of 989.5 TFLOP/s for 120 days: 30,831 chips do 1e26 operations, 30,000 do not."""
    for chips, reached in (
        (30_000, [False] * 3),
        (30_831, [True, False, False]),
        (308_270, [True, True, False]),
        (3_082_700, [True] * 3),
    ):
        static, draws = world([[16]])
        rows = Rows(Page(static).site(0, 16).phase(0, mw=16, shipped=4, chips=chips, online=5).log())
        life = lives_of(static, draws, rows)
        rates = training_rates(rows, life, np.array([989.5]))
        found = frontier_runs(campuses(draws, life.sites), life.phases, rates, 0.34 * 0.93)
        assert [len(ticks) > 0 for _, ticks in found] == reached
    assert [float(name) for name in RUN_NAMES] == list(RUNS)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 300), st.integers(0, 999)), max_size=4))
def test_larger_runs_come_later(phases: list[tuple[int, int, int]]) -> None:
    smaller, larger = runs(phases)
    assert smaller <= larger
    whole = [sum(chips for root, chips, _ in phases if root == r) for r in range(3)]
    assert (smaller < NOT) == (max(whole) >= 100)
    if smaller < NOT:
        by_then = [sum(chips for root, chips, day in phases if root == r and day <= smaller) for r in range(3)]
        before = [sum(chips for root, chips, day in phases if root == r and day < smaller) for r in range(3)]
        assert max(by_then) >= 100 > max(before)


def test_the_rate_of_a_phase_is_that_of_all_its_chips() -> None:
    static, draws = world([[1]])
    page = Page(static).site(0, 1).phase(0, shipped=3, chips=10)
    page.phase(0, shipped=3, chips=4)  # of another kind, in life; here a second row is enough
    rows = Rows(page.log())
    assert training_rates(rows, lives_of(static, draws, rows), np.array([2.0])).tolist() == pytest.approx([14 * 2e12])
