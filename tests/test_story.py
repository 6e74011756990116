"""Dates computed by hand: one cluster and its phases; the grid's queue, on-site units, crews and chips, each shared by several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import (
    ABROAD,
    DAY,
    ELSEWHERE,
    HOME,
    LICENCE,
    LICENSED,
    REST,
    SHELL,
    amounts,
    by_law,
    days,
    in_phases,
    ints,
    play,
    played,
    rows,
    tiny_draws,
    tiny_static,
)

from simulator.events import Log, Mark, Stage
from simulator.static import BARRED, Route, Static, Timed, Workload
from simulator.units import FACTOR_ONE, MW_SIXTEENTHS

EVER = 1 << 40


# ------------------------------------------------------------------ one cluster


def test_one_cluster_is_online_after_the_longer_branch_and_the_last_steps() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(7, 16, HOME)]))
    assert days(log, Mark.PLANNED) == [7]
    assert (
        days(log, Mark.FIRST_POWER)
        == days(log, Mark.POWERED)
        == days(log, Mark.END, stage=Stage.INTERCONNECTION)
        == [7 + 10 + 100]
    )
    assert days(log, Mark.GROUND_BREAKING) == [7 + 10 + 50]
    assert days(log, Mark.SHELL_READY) == days(log, Mark.READY) == [7 + SHELL]
    assert days(log, Mark.SHIPPED) == [7 + SHELL]
    assert days(log, Mark.ONLINE) == days(log, Mark.FULL) == [7 + SHELL + REST]
    assert amounts(log, Mark.CHIPS_TAKEN) == [16_000]  # 16 MW at 1,000 W
    assert amounts(log, Mark.PLANNED) == amounts(log, Mark.ONLINE) == amounts(log, Mark.FULL) == [16 * 16]


def test_a_slower_grid_decides_instead_and_construction_does_not_wait_for_it() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 1, ELSEWHERE)]))
    assert days(log, Mark.SHELL_READY) == [20 + 170]
    assert days(log, Mark.READY) == [20 + 300]
    assert days(log, Mark.ONLINE) == [20 + 300 + REST]


def test_the_grid_request_runs_ahead_of_site_control_by_its_lead() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 1, ELSEWHERE)], interconnection_lead=90 * DAY))
    assert days(log, Mark.FIRST_POWER) == [20 + 300 - 90]


@pytest.mark.parametrize(("optimism", "own"), [(FACTOR_ONE, 110), (FACTOR_ONE // 2, 10 + 50), (FACTOR_ONE // 4, 60)])
def test_at_ground_breaking_the_companys_own_date_of_first_power_is_recorded(optimism: int, own: int) -> None:
    # Power after 100 days by the medians, times its optimism; a date that is past by then is the day itself (60).
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 1, HOME)], optimism=optimism))
    assert days(log, Mark.OWN_DATE) == [60]
    assert amounts(log, Mark.OWN_DATE) == [own * DAY]
    assert days(log, Mark.FIRST_POWER) == [110]


def test_luck_and_route_stretch_what_they_are_for() -> None:
    static = tiny_static()
    spread, factor = ints(1, 8, fill=FACTOR_ONE), ints(4, 8, fill=FACTOR_ONE)
    spread[0, Timed.PERMITTING] = 2 * FACTOR_ONE
    factor[Route.EXPANSION, Timed.CONSTRUCTION] = FACTOR_ONE // 2
    luck = ints(9, 3, fill=FACTOR_ONE)
    luck[5, HOME] = 3 * FACTOR_ONE // 2  # 2024, the year in which the work begins
    draws = tiny_draws(static, [(0, 1, HOME)], spread=spread, route_factor=factor, route=ints(1, fill=Route.EXPANSION))
    assert days(play(static, draws), Mark.SHELL_READY) == [10 + 100 + 50 + 20]
    draws = tiny_draws(static, [(0, 1, HOME)], luck_power=luck, luck_construction=luck)
    log = play(static, draws)
    assert days(log, Mark.FIRST_POWER) == [10 + 150]
    assert days(log, Mark.SHELL_READY) == [10 + 50 + 150 + 20]


# ------------------------------------------------------------------ phases


def test_each_phase_is_ready_with_the_later_of_its_building_and_its_tranche() -> None:
    static = tiny_static()
    draws = in_phases(tiny_draws(static, [(0, 16, HOME)]), 0, [4, 8, 4], shell=[0, 30, 90], power=[0, 120, 130])
    log = play(static, draws)
    assert days(log, Mark.FIRST_POWER) == [110]
    assert days(log, Mark.POWERED) == [110, 110 + 120, 110 + 130]
    assert days(log, Mark.SHELL_READY) == [180, 180 + 30, 180 + 90]
    assert days(log, Mark.READY) == [180, 230, 270]
    assert days(log, Mark.ONLINE) == [180 + REST, 230 + REST, 270 + REST]
    assert rows(log, mark=Mark.ONLINE)["phase"].tolist() == [0, 1, 2]
    assert amounts(log, Mark.ONLINE) == [4 * 16, 8 * 16, 4 * 16]
    assert days(log, Mark.FULL) == [270 + REST]
    assert amounts(log, Mark.FULL) == [16 * 16]
    # Each asks for clearance sixty days before it expects to be ready.
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == [120, 170, 210]


def test_a_phase_takes_its_chips_at_its_own_date_before_a_smaller_project_that_is_ready_later() -> None:
    # 1,000 chips a month from 1 February: 5,000 by 1 June. Phase 0 needs 2,000 on day 180, the second project 2,000 on day 200,
    # phase 1 2,000 on day 210: five months of chips serve the first two, 1 July (day 182) the third.
    static = tiny_static()
    draws = in_phases(tiny_draws(static, [(0, 4, HOME), (20, 2, HOME)], 1_000), 0, [2, 2], shell=[0, 30])
    log = play(static, draws)
    shipped = [(row["tick"] / DAY, int(row["root"]), int(row["phase"])) for row in rows(log, mark=Mark.SHIPPED)]
    assert shipped == [(180, 0, 0), (200, 1, 0), (210, 0, 1)]
    # Three months later in supply: the line is by date of readiness, so the project goes between the two phases.
    late = tiny_draws(static, [(0, 4, HOME), (20, 2, HOME)], 1_000)
    late.deliveries[:9] = 0
    late = in_phases(late, 0, [2, 2], shell=[0, 30])
    log = play(static, late)
    shipped = [(row["tick"] / DAY, int(row["root"]), int(row["phase"])) for row in rows(log, mark=Mark.SHIPPED)]
    assert shipped == [(305, 0, 0), (366, 1, 0), (425, 0, 1)]  # 1 November, 1 January, 1 March


# ------------------------------------------------------------------ the grid's queue


def queued(**changes: Any) -> Static:
    """The market at home hands out its grid capacity in a queue."""
    return tiny_static(rationed=np.array([1, 0, 0]), **changes)


def a_day_a_megawatt() -> np.ndarray:
    return ints(3, fill=DAY // MW_SIXTEENTHS)


def test_a_rationed_market_connects_one_after_the_other() -> None:
    static = queued()
    draws = tiny_draws(static, [(0, 200, HOME), (0, 100, HOME), (400, 50, HOME)], grid_ticks=a_day_a_megawatt())
    log = play(static, draws)
    # Requests on days 10, 10 and 410; the queue is idle between days 310 and 410.
    assert days(log, Mark.END, stage=Stage.INTERCONNECTION) == [10 + 200, 210 + 100, 410 + 50]
    assert days(log, Mark.FIRST_POWER) == [210, 310, 460]
    # The second sees the first's 200 days and its own 100 ahead of it.
    assert amounts(log, Mark.OWN_DATE) == [210 * DAY, 310 * DAY, 460 * DAY]


def test_on_the_start_date_the_queue_holds_its_backlog_and_capacity_grows_slower_in_a_bad_year() -> None:
    static = queued()
    luck = ints(9, 3, fill=FACTOR_ONE)
    luck[5, HOME] = 2 * FACTOR_ONE
    plans = [(0, 100, HOME)]
    backlog = np.array([250 * DAY, 0, 0])
    log = play(static, tiny_draws(static, plans, grid_ticks=a_day_a_megawatt(), grid_backlog=backlog))
    assert days(log, Mark.FIRST_POWER) == [250 + 100]
    log = play(static, tiny_draws(static, plans, grid_ticks=a_day_a_megawatt(), grid_backlog=backlog, luck_power=luck))
    assert days(log, Mark.FIRST_POWER) == [250 + 200]


def test_before_the_start_others_keep_the_queue_as_long_as_published() -> None:
    # They look each quarter since 1 January 2019 (day -1,826): last on days -97 and -6. A request of day -50 finds the 500 days of day
    # -97, and with its own hundred days the queue is long enough on day -6.
    static = queued()
    draws = tiny_draws(static, [(-60, 100, HOME)], grid_ticks=a_day_a_megawatt(), grid_backlog=np.array([500 * DAY, 0, 0]))
    assert days(play(static, draws), Mark.FIRST_POWER) == [-97 + 500 + 100]


def test_a_request_has_its_place_by_its_date_and_the_one_being_connected_is_not_overtaken() -> None:
    # Expansions asked fifty days before others would: the third, with site control on day 30, asked on day -20.
    static = queued()
    factor = ints(4, 8, fill=FACTOR_ONE)
    factor[Route.EXPANSION, Timed.INTERCONNECTION] = FACTOR_ONE // 2
    draws = tiny_draws(
        static, [(0, 100, HOME), (1, 100, HOME), (20, 100, HOME)], grid_ticks=a_day_a_megawatt(), route_factor=factor,
        route=np.array([Route.CLASSIC, Route.CLASSIC, Route.EXPANSION]),
    )  # fmt: skip
    log = play(static, draws)
    assert [days(log, Mark.FIRST_POWER, root=root) for root in range(3)] == [[110], [310], [210]]


def test_a_request_of_the_usual_lead_goes_before_the_younger_part_of_the_backlog() -> None:
    # The backlog is 300 days long on days -97, -6 and 0. Asked on day 10 - 60 = -50, a newcomer goes after what stood there on day -97.
    static = queued()
    draws = tiny_draws(
        static,
        [(0, 100, HOME)],
        grid_ticks=a_day_a_megawatt(),
        grid_backlog=np.array([300 * DAY, 0, 0]),
        interconnection_lead=60 * DAY,
    )
    assert days(play(static, draws), Mark.FIRST_POWER) == [-97 + 300 + 100]


def test_energisation_takes_at_least_the_works_of_the_connection_from_the_request_on() -> None:
    static = queued()
    works = ints(3, fill=250 * DAY)
    draws = tiny_draws(static, [(0, 200, HOME), (0, 100, HOME)], grid_ticks=a_day_a_megawatt(), grid_works=works)
    # Capacity on days 210 and 310; works of 250 days from the request on day 10.
    assert days(play(static, draws), Mark.FIRST_POWER) == [260, 310]
    spread = ints(2, 8, fill=FACTOR_ONE)
    spread[1, Timed.INTERCONNECTION] = 2 * FACTOR_ONE
    draws = tiny_draws(static, [(0, 200, HOME), (0, 100, HOME)], grid_ticks=a_day_a_megawatt(), grid_works=works, spread=spread)
    assert days(play(static, draws), Mark.FIRST_POWER) == [260, 510]


def three_in_line(patience_days: int) -> Log:
    """400, 400 and 100 MW ask on days 10, 11 and 12; the second is worth nothing, what it has cost comes back, and it looks at
    its options that many days after its own date, which by its optimism is day 11 + 799 / 4."""
    static = queued()
    patience = np.array([EVER, patience_days * DAY, EVER])
    return play(
        static,
        tiny_draws(
            static, [(0, 400, HOME), (1, 400, HOME), (2, 100, HOME)], grid_ticks=a_day_a_megawatt(), optimism=FACTOR_ONE // 4,
            patience_power=patience, value_usd=0, recovery_ppm=1_000_000,
        ),
    )  # fmt: skip


def test_a_request_that_is_withdrawn_lets_the_next_move_up() -> None:
    log = three_in_line(0)
    assert days(log, Mark.CANCELLED, root=1) == [11 + 199.75]  # two hundred more days would pass, longer than for a new shell
    assert rows(log, mark=Mark.CANCELLED)["rule"].tolist() == [-1]
    assert days(log, Mark.HALTED, root=1, stage=Stage.INTERCONNECTION) == [210.75]
    assert days(log, Mark.FIRST_POWER) == [410, 510]


def test_a_request_that_is_being_connected_when_its_site_is_given_up_still_takes_its_time() -> None:
    log = three_in_line(250)
    assert days(log, Mark.CANCELLED, root=1) == [210.75 + 250]
    assert days(log, Mark.END, root=1, stage=Stage.INTERCONNECTION) == []
    assert days(log, Mark.FIRST_POWER) == [410, 910]


def test_power_that_comes_sooner_than_a_new_shell_could_be_built_is_waited_for() -> None:
    # It looks every thirty days: from day 240.75 on its turn is 169.25 days away and less, and a new shell takes 170. On day 420.75
    # it is being connected, which takes 389.25 more.
    log = three_in_line(30)
    assert days(log, Mark.CANCELLED) == [420.75]
    assert days(log, Mark.FIRST_POWER) == [410, 910]


# ------------------------------------------------------------------ on-site generation


def bridged(supply: dict[int, int], plans: list[tuple[int, int, int]], **changes: Any) -> Log:
    """Sites in the market with the slow grid may run on their own; MW of units that arrive in a month."""
    static = tiny_static(bridging_allowed=np.array([0, 0, 1]))
    units = ints(48)
    for month, mw in supply.items():
        units[month] = mw * MW_SIXTEENTHS
    return play(static, tiny_draws(static, plans, bridge_supply=units, **changes))


def test_a_site_runs_on_its_own_generation_until_the_grid_comes() -> None:
    log = bridged({1: 16}, [(0, 16, ELSEWHERE)])
    assert days(log, Mark.START, stage=Stage.BRIDGING) == [31]  # 1 February
    assert days(log, Mark.END, stage=Stage.BRIDGING) == days(log, Mark.BRIDGED) == days(log, Mark.FIRST_POWER) == [31 + 60]
    assert amounts(log, Mark.BRIDGED) == [16 * 16]
    assert days(log, Mark.ONLINE) == [20 + 170 + REST]  # the shell decides, and not the grid on day 320
    assert days(log, Mark.END, stage=Stage.INTERCONNECTION) == [320]
    assert amounts(log, Mark.OWN_DATE) == [91 * DAY]  # when it breaks ground on day 70 it has its units


def test_only_a_grid_later_than_the_shell_by_more_than_the_trigger_is_bridged_and_only_where_it_may() -> None:
    for trigger, starts in ((130 * DAY - 1, [31]), (130 * DAY, [])):  # 300 days against 170
        log = bridged({1: 16}, [(0, 16, ELSEWHERE)], bridge_trigger=trigger)
        assert days(log, Mark.START, stage=Stage.BRIDGING) == starts
    for changes in ({"bridging_allowed": ints(3)}, {"bridging_allowed": ints(3, fill=1), "allow_bridging": False}):
        static = tiny_static(**changes)
        log = play(static, tiny_draws(static, [(0, 16, ELSEWHERE)], bridge_supply=ints(48, fill=EVER >> 10)))
        assert days(log, Mark.FIRST_POWER) == [320]


def test_units_are_scarce_and_go_to_whoever_asked_first() -> None:
    # 32 MW asked for on day 20, 16 MW on day 21. Sixteen arrive at the beginning of February, March and April.
    log = bridged({1: 16, 2: 16, 3: 16}, [(0, 32, ELSEWHERE), (1, 16, ELSEWHERE)])
    assert days(log, Mark.START, stage=Stage.BRIDGING, root=0) == [60]
    assert days(log, Mark.START, stage=Stage.BRIDGING, root=1) == [91]


def test_units_move_on_when_the_grid_comes() -> None:
    log = bridged({1: 16}, [(0, 16, ELSEWHERE), (100, 16, ELSEWHERE)])
    assert days(log, Mark.START, stage=Stage.BRIDGING) == [31, 320]
    assert days(log, Mark.FIRST_POWER) == [91, 380]
    assert days(log, Mark.END, stage=Stage.INTERCONNECTION) == [320, 420]


def test_a_grid_that_is_first_sends_the_units_on_unused() -> None:
    log = bridged({1: 16}, [(0, 16, ELSEWHERE), (100, 16, ELSEWHERE)], bridge_lead=np.array([400, 50]) * DAY)
    assert days(log, Mark.START, stage=Stage.BRIDGING) == [31, 320]
    assert days(log, Mark.HALTED, stage=Stage.BRIDGING, root=0) == [320]
    assert days(log, Mark.FIRST_POWER, root=0) == [320]
    assert days(log, Mark.BRIDGED) == days(log, Mark.FIRST_POWER, root=1) == [370]


def test_a_request_for_units_ends_when_the_grid_comes() -> None:
    # The first asks for more than ever arrives; the second is served once the first has its grid.
    log = bridged({1: 16}, [(0, 32, ELSEWHERE), (100, 16, ELSEWHERE)])
    assert days(log, Mark.START, stage=Stage.BRIDGING) == [320]
    assert rows(log, mark=Mark.BRIDGED)["root"].tolist() == [1]


def test_a_company_counts_on_units_at_the_pace_at_which_they_come() -> None:
    # Site control on day 20; 32 MW are asked for before it and 4 come a month of thirty and a third days: eight months for those, and
    # its own lead of sixty days. The grid is there on day 320.
    log = bridged(dict.fromkeys(range(48), 4), [(0, 32, ELSEWHERE), (1, 16, ELSEWHERE)])
    assert amounts(log, Mark.OWN_DATE, root=0) == [80 * DAY]
    assert amounts(log, Mark.OWN_DATE, root=1)[0] / DAY == pytest.approx(21 + (32 - 4) / 4 * 91 // 3 + 60, abs=1)


# ------------------------------------------------------------------ the company's own dates


def test_ground_is_broken_so_that_the_shell_is_there_a_margin_before_the_power() -> None:
    # Power on day 320, 120 days to build: with a margin of thirty days on day 170, of two hundred at once.
    static = tiny_static()
    for margin, broken in ((30, 170), (0, 200), (200, 70)):
        log = play(static, tiny_draws(static, [(0, 16, ELSEWHERE)], shell_ahead=margin * DAY))
        assert days(log, Mark.GROUND_BREAKING) == [broken]
        assert days(log, Mark.ONLINE) == [320 + REST]


def test_each_quarter_companies_look_at_the_queue_again_and_move_their_dates() -> None:
    # Asked on days 10 and 11 for 300 and 100 MW: the second expects power on day 410 and would break ground on day 290. A third with a
    # head start asks on day 40 for 200 MW and goes before it. From 1 April on the second expects day 610 and breaks ground on day 490.
    static = queued()
    factor = ints(4, 8, fill=FACTOR_ONE)
    factor[Route.EXPANSION, Timed.INTERCONNECTION] = FACTOR_ONE // 2
    draws = tiny_draws(
        static, [(0, 300, HOME), (1, 100, HOME), (30, 200, HOME)], grid_ticks=a_day_a_megawatt(), route_factor=factor, shell_ahead=0,
        route=np.array([Route.CLASSIC, Route.CLASSIC, Route.EXPANSION]),
    )  # fmt: skip
    log = play(static, draws)
    assert [days(log, Mark.FIRST_POWER, root=root) for root in range(3)] == [[310], [610], [510]]
    assert days(log, Mark.GROUND_BREAKING, root=1) == [490]
    assert days(log, Mark.START, stage=Stage.CLEARANCE, root=1) == [550]
    assert days(log, Mark.ONLINE, root=1) == [610 + REST]


# ------------------------------------------------------------------ crews


def crews_of(mw: int) -> np.ndarray:
    return ints(9, 1, fill=mw * MW_SIXTEENTHS)


def test_no_more_is_under_construction_than_the_company_has_crews_for_and_nobody_overtakes() -> None:
    static = tiny_static()
    plans = [(0, 16, HOME), (1, 2, HOME), (2, 16, HOME), (3, 2, HOME)]
    log = play(static, tiny_draws(static, plans, crew_limit=crews_of(19)))
    # 16 and 2 MW begin on days 60 and 61. The third waits for the first; the fourth would fit, but stands behind it until day 181.
    assert days(log, Mark.GROUND_BREAKING) == [60, 61, 180, 181]
    assert days(log, Mark.START, stage=Stage.CREWS) == [62, 63]
    assert days(log, Mark.END, stage=Stage.CREWS) == [180, 181]
    assert days(log, Mark.SHELL_READY, root=2) == [180 + 120]
    free = tiny_static(allow_crew_limit=False)
    assert days(play(free, tiny_draws(free, plans, crew_limit=crews_of(19))), Mark.GROUND_BREAKING) == [60, 61, 62, 63]


def test_crews_move_on_building_by_building() -> None:
    static = tiny_static()
    plans = [(0, 16, HOME), (1, 8, HOME), (2, 8, HOME)]
    draws = in_phases(tiny_draws(static, plans, crew_limit=crews_of(16)), 0, [8, 4, 4], shell=[0, 30, 60])
    log = play(static, draws)
    # Eight are free on day 180, eight more when the last two buildings are finished on days 210 and 240.
    assert days(log, Mark.GROUND_BREAKING) == [60, 180, 240]


def test_a_project_larger_than_the_companys_capacity_takes_all_of_it() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 16, HOME), (1, 1, HOME)], crew_limit=crews_of(4)))
    assert days(log, Mark.GROUND_BREAKING) == [60, 180]


def test_capacity_grows_with_the_calendar_year_and_without_any_nothing_is_built() -> None:
    static = tiny_static()
    limit = crews_of(0)
    limit[6:] = 20 * MW_SIXTEENTHS  # from 2025
    log = play(static, tiny_draws(static, [(0, 16, HOME), (1, 4, HOME)], crew_limit=limit))
    assert days(log, Mark.GROUND_BREAKING) == [366, 366]
    assert days(log, Mark.START, stage=Stage.CREWS) == [60, 61]


def test_whoever_leaves_the_line_lets_those_behind_it_through() -> None:
    # Sixteen at work until day 480, 4 free. The second, worth nothing, waits for 16 from day 71 on; its power, expected on day 96, is
    # later than a new shell by day 267. The third needs 4 and stands behind it since day 90.
    static = tiny_static()
    plans = [(0, 16, HOME), (1, 16, ELSEWHERE), (30, 4, HOME)]
    draws = tiny_draws(
        static, plans, crew_limit=crews_of(20), patience_power=np.array([EVER, 0, EVER]), optimism=FACTOR_ONE // 4, value_usd=0
    )
    draws.spread[0, Timed.CONSTRUCTION] = 4 * FACTOR_ONE
    log = play(static, draws)
    assert days(log, Mark.CANCELLED, root=1) == [21 + 75 + 171]
    assert days(log, Mark.HALTED, root=1, stage=Stage.CREWS) == [267]
    assert days(log, Mark.START, stage=Stage.CREWS) == [71, 90]
    assert days(log, Mark.GROUND_BREAKING) == [60, 267]


# ------------------------------------------------------------------ chips


def test_two_clusters_one_supply_first_ready_first_served_and_nobody_overtakes() -> None:
    static = tiny_static()
    # 10,000 chips a month; those of 1 January come before the plans and go to others, so stock builds from 1 February.
    draws = tiny_draws(static, [(0, 100, HOME), (1, 1, HOME)], chips_a_month=10_000)
    log = play(static, draws)
    assert days(log, Mark.READY) == [SHELL, SHELL + 1]
    # 60,000 chips by 1 July; 100,000 are there with the tenth delivery on 1 November 2024, day 305.
    assert days(log, Mark.SHIPPED, root=0) == [305]
    # The small one could be filled from stock since day 181, but waits behind until 1 December (day 335).
    assert days(log, Mark.SHIPPED, root=1) == [335]


def orders(log: Log, mark: Mark) -> list[tuple[float, int]]:
    return list(zip(days(log, mark), amounts(log, mark), strict=True))


def test_a_company_takes_the_chips_its_sites_will_need_and_not_one_more() -> None:
    # 2 MW ready on day 180 are needed for from 100 days before: the deliveries of 31 March (day 91) and later.
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 2, HOME)], 700, stock_ahead=100 * DAY))
    assert orders(log, Mark.DELIVERED) == [(91, 700), (121, 700), (152, 600)]
    assert amounts(log, Mark.DECLINED)[:4] == [700, 700, 700, 100]  # 1 January, February, March; 1 June
    assert days(log, Mark.SHIPPED) == [180]


def test_chips_gathered_by_a_waiting_phase_are_not_ordered_again() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 16, HOME)], 3_500))
    # Months from the plan's site control (day 10): four times 3,500, the last cut to what is missing; ready on day 180.
    assert amounts(log, Mark.DELIVERED) == [3_500] * 4 + [2_000]
    engine, log = played(static, tiny_draws(static, [(0, 16, HOME)], 1_500))
    assert amounts(log, Mark.DELIVERED) == [1_500] * 10 + [1_000]
    assert days(log, Mark.SHIPPED) == [335]
    assert engine.queues[0, 0].stock == {0: 0}


def test_a_phase_that_takes_a_part_of_a_chip_gets_the_whole_one_in_time() -> None:
    # 62,500 W at 1,300 W a chip: 48.08 chips, so 49 are needed.
    static = tiny_static(watts=ints(1, fill=1_300))
    log = play(static, tiny_draws(static, [(0, 1, HOME)], mw16=ints(1, fill=1)))
    assert amounts(log, Mark.DELIVERED) == [49]
    assert days(log, Mark.SHIPPED) == [180]


def test_chips_are_ordered_a_lead_ahead_for_the_sites_known_by_then() -> None:
    # 5,000 offered a month, 16,000 needed by a site known since day 10, orders two months ahead. What comes in January and
    # February was ordered before the start; that of March is ordered on 1 January, when no site is known; that of April on
    # 1 February, with 10,000 held and on order; of May on 1 March, for the last 1,000.
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 16, HOME)], 5_000, commitment_months=2))
    assert orders(log, Mark.COMMITTED) == [(0, 5_000), (0, 5_000), (31, 5_000), (60, 1_000)]
    assert orders(log, Mark.DECLINED)[:3] == [(0, 5_000), (60, 4_000), (91, 5_000)]
    assert orders(log, Mark.DELIVERED) == [(0, 5_000), (31, 5_000), (91, 5_000), (121, 1_000)]
    assert days(log, Mark.SHIPPED) == [SHELL]


def test_money_bounds_what_is_ordered_and_unspent_money_is_kept_for_a_year() -> None:
    # A chip with its share of servers and network costs 48,000 USD. Money for 700 a month since January; the site is known in
    # February: 1,400 chips, then 700 a month. Without the bound all come at once.
    static = tiny_static()
    money = ints(48, 1, fill=700 * 48)
    log = play(static, tiny_draws(static, [(0, 16, HOME)], chip_money=money))
    assert orders(log, Mark.DELIVERED)[:3] == [(31, 1_400), (60, 700), (91, 700)]
    assert sum(amounts(log, Mark.DELIVERED)) == 16_000
    rich = tiny_static(allow_money_bound=False)
    assert orders(play(rich, tiny_draws(rich, [(0, 16, HOME)], chip_money=money)), Mark.DELIVERED) == [(31, 16_000)]
    # A plan three years later: no more than twelve months of money are there.
    log = play(static, tiny_draws(static, [(1_100, 16, HOME)], chip_money=money))
    assert orders(log, Mark.DELIVERED)[:2] == [(1_127, 12 * 700), (1_155, 700)]


def test_chips_that_the_law_keeps_from_the_companies_are_missed_and_their_money_is_there_again() -> None:
    less = ints(48, fill=1_000_000)
    less[2:] = 333_333
    static = tiny_static(supply_ppm=less)
    log = play(static, tiny_draws(static, [(0, 16, HOME)], 1_000))
    assert orders(log, Mark.COMMITTED)[:3] == [(31, 1_000), (60, 1_000), (91, 1_000)]
    assert orders(log, Mark.DELIVERED)[:3] == [(31, 1_000), (60, 333), (91, 333)]
    assert orders(log, Mark.MISSED)[:2] == [(60, 667), (91, 667)]
    # Money for a thousand since January and until March; what is missed can be spent again.
    money = ints(48, 1)
    money[:3] = 1_000 * 48
    log = play(static, tiny_draws(static, [(0, 16, HOME)], 1_000, chip_money=money))
    assert sum(amounts(log, Mark.DELIVERED)) == 1_000 + 333


def test_what_is_offered_when_chips_are_ordered_may_be_more_than_is_made() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(0, 16, HOME)], 1_000, commitment_months=3, offered=ints(48, 1, 1, fill=2_000))
    log = play(static, draws)
    assert sum(amounts(log, Mark.COMMITTED)) == sum(amounts(log, Mark.DELIVERED)) + sum(amounts(log, Mark.MISSED))
    assert set(amounts(log, Mark.DELIVERED)) == {1_000}
    assert set(amounts(log, Mark.MISSED)) == {1_000}


# ------------------------------------------------------------------ where


def test_an_announced_project_is_bound_to_its_country_until_the_scenario_leaves_history() -> None:
    static = tiny_static(forced_until=50 * DAY)
    draws = tiny_draws(static, [(49, 1, HOME), (50, 1, HOME)], forced_country=ints(2, fill=ABROAD))
    assert rows(play(static, draws), mark=Mark.PLANNED)["pool"].tolist() == [ABROAD, HOME]


def test_a_market_where_the_law_is_expected_to_refuse_is_not_chosen_and_without_any_nothing_is_planned() -> None:
    outlook = ints(2, 1, 1, 3)
    outlook[..., HOME] = BARRED
    static = tiny_static(outlook=outlook)
    log = play(static, tiny_draws(static, [(0, 1, HOME)]))
    assert rows(log, mark=Mark.PLANNED)["pool"].tolist() == [ABROAD]
    static = tiny_static(outlook=ints(2, 1, 1, 3, fill=BARRED))
    log = play(static, tiny_draws(static, [(5, 1, HOME)]))
    assert [(Mark(r["mark"]), r["tick"] / DAY, r["pool"], r["quantity"]) for r in rows(log, root=0)] == [
        (Mark.CANCELLED, 5, -1, 16)
    ]


@pytest.mark.parametrize(("workload", "market"), [(Workload.INFERENCE, HOME), (Workload.TRAINING, ELSEWHERE)])
def test_training_minds_a_long_queue_more(workload: Workload, market: int) -> None:
    # A year of backlog at home costs a score of one, or two for training; home is liked by one and a half more.
    static = queued()
    draws = tiny_draws(
        static,
        [(1, 1, HOME)],
        workload=ints(1, fill=workload),
        grid_backlog=np.array([400 * DAY, 0, 0]),
        choice_per_year=-(1 << 20),
    )
    draws.appeal[0] = [3 << 19, -(1 << 30), 0]
    assert rows(play(static, draws), mark=Mark.PLANNED)["pool"].tolist() == [market]


# ------------------------------------------------------------------ ahead of a restriction


def announced(day: int, **changes: Any) -> Static:
    """From a day on the second country needs a licence, and that is known from the beginning."""
    tightens = ints(1, 1, 3, fill=EVER)
    tightens[0, 0, ABROAD] = day * DAY
    static = tiny_static(tightens=tightens, **changes)
    return by_law(static, (day, {**LICENSED, "tightens": ints(1, 3, fill=static.horizon)}))


def test_chips_leave_ahead_of_a_restriction_and_wait_at_the_site_for_power_and_shell() -> None:
    log = play(static := announced(150), tiny_draws(static, [(0, 16, ABROAD)]))
    # From ninety days before the law binds, as soon as ground is broken (day 60, after that day's orders): on 1 April.
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == days(log, Mark.CLEARED) == [91]
    assert days(log, Mark.SHIPPED) == days(log, Mark.FRONT_LOADED) == [91]
    assert amounts(log, Mark.FRONT_LOADED) == [16_000 * 16_000]
    assert days(log, Mark.END, stage=Stage.SHIPPING) == [96]
    assert days(log, Mark.START, stage=Stage.INSTALLATION) == days(log, Mark.READY) == [SHELL]
    assert days(log, Mark.ONLINE) == [SHELL + 25]
    assert days(log, Mark.FILED) == []
    off = announced(150, allow_front_loading=False)
    log = play(off, tiny_draws(off, [(0, 16, ABROAD)]))
    assert days(log, Mark.FRONT_LOADED) == []
    assert days(log, Mark.SHIPPED) == [150 + 90]


@pytest.mark.parametrize(("near", "shipped"), [(30, 91), (29, 240)])
def test_only_sites_near_ready_are_shipped_to_ahead(near: int, shipped: int) -> None:
    log = play(static := announced(150), tiny_draws(static, [(0, 16, ABROAD)], front_load_ready=near * DAY))
    assert days(log, Mark.SHIPPED) == [shipped]


@pytest.mark.parametrize(("before", "shipped"), [(59, 121), (58, 152), (28, 152), (27, 180 + 90)])
def test_companies_hurry_only_when_the_day_is_near(before: int, shipped: int) -> None:
    # They look once a month: on 1 May (day 121) the law is 59 days ahead, on 1 June 28. The site is ready on the day of the law,
    # too late to be shipped to freely.
    log = play(static := announced(180), tiny_draws(static, [(0, 16, ABROAD)], front_load_before=before * DAY))
    assert days(log, Mark.SHIPPED) == [shipped]


@pytest.mark.parametrize(("months", "gathered"), [(6, 182), (10, 305)])
def test_nothing_ships_ahead_once_the_law_binds_and_a_later_licence_is_for_a_site_that_is_ready(
    months: int, gathered: int
) -> None:
    # No chips before 1 July or 1 November. It stood in line on day 91; the law binds on day 150, the licence comes on day 240, the
    # site is ready on day 410.
    static = announced(150)
    draws = tiny_draws(static, [(0, 16, ABROAD)], front_load_ready=300 * DAY)
    draws.deliveries[:months] = 0
    draws.median[Timed.INTERCONNECTION, ABROAD] = 400 * DAY
    log = play(static, draws)
    assert days(log, Mark.START, stage=Stage.CHIPS)[0] == 91
    assert days(log, Mark.FRONT_LOADED) == []
    assert days(log, Mark.FILED) == [150]
    assert days(log, Mark.CHIPS_GIVEN_BACK) == [gathered]
    assert days(log, Mark.APPROVED) == [240]
    assert days(log, Mark.SHIPPED) == [410]
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE]


# ------------------------------------------------------------------ before the start


def test_sites_that_would_be_online_before_the_start_are_in_the_opening_fleet_as_far_as_it_has_room() -> None:
    static = tiny_static()
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 2 * 16_000  # room for two of 16 MW
    plans = [(-SHELL - REST - ahead, 16, HOME) for ahead in (2, 1, 0, -1)]
    under_way = ints(1, 1, fill=16_000)
    log = play(static, tiny_draws(static, plans, fleet_chips=fleet, under_way=under_way, under_way_ticks=REST * DAY))
    assert days(log, Mark.IN_FLEET, root=0) == [-REST - 2]
    assert days(log, Mark.IN_FLEET, root=1) == [-REST - 1]
    # The third would have been online on the start date, but the fleet is full: it takes the chips under way.
    assert days(log, Mark.SHIPPED, root=2) == [-REST]
    assert days(log, Mark.ONLINE, root=2) == [0]
    # The fourth is ready too late to be in the fleet, and nothing is left under way: it waits for January's delivery.
    assert days(log, Mark.SHIPPED, root=3) == [0]
    assert days(log, Mark.ONLINE, root=3) == [REST]
    assert days(log, Mark.FRONT_LOADED) == []


def test_only_what_would_be_online_before_the_start_and_fits_is_in_the_opening_fleet() -> None:
    # A site is ready 180 days after its plan; chips then take 30 days to be online. The fleet of that day holds 3 MW.
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 3_000
    static = tiny_static()
    plans = [(-300, 2, HOME), (-211, 2, HOME), (-210, 1, HOME), (-209, 1, HOME)]
    log = play(static, tiny_draws(static, plans, fleet_chips=fleet))
    # The second does not fit beside the first; the third is online on the first day itself; the fourth a day later.
    assert [(int(r["root"]), r["tick"] / DAY) for r in rows(log, mark=Mark.IN_FLEET)] == [(0, -120), (2, -30)]
    assert days(log, Mark.START, stage=Stage.CHIPS) == [-31, -29]
    assert [(int(r["root"]), r["tick"] / DAY) for r in rows(log, mark=Mark.SHIPPED)] == [(1, 0), (3, 0)]  # the run's first chips


def test_a_project_may_be_partly_in_the_fleet_and_is_full_with_its_last_phase() -> None:
    static = tiny_static()
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 3_000
    draws = in_phases(tiny_draws(static, [(-300, 4, HOME)], fleet_chips=fleet), 0, [2, 2], shell=[0, 200])
    log = play(static, draws)
    assert [(int(r["phase"]), r["tick"] / DAY) for r in rows(log, mark=Mark.IN_FLEET)] == [(0, -120)]
    assert [(int(r["phase"]), r["tick"] / DAY) for r in rows(log, mark=Mark.ONLINE)] == [(1, 80 + REST)]
    assert days(log, Mark.FULL) == [80 + REST]


def test_chips_under_way_on_the_first_day_come_online_about_then() -> None:
    static = tiny_static()
    plans = [(-230, 1, HOME), (-205, 1, HOME), (-190, 1, HOME)]
    under_way = ints(1, 1, fill=2_500)
    stock = ints(1, 1, fill=500)
    draws = tiny_draws(static, plans, 0, under_way=under_way, under_way_ticks=30 * DAY, opening_stock=stock)
    engine, log = played(static, draws)
    # Ready on days -50, -25 and -10. Chips leave 30 days before the start; the third site lacks half, which waits in stock.
    assert days(log, Mark.SHIPPED) == [-30, -25, 0]
    assert days(log, Mark.ONLINE) == [0, 5, 30]
    assert engine.queues[0, 0].stock == {0: 0}
    assert engine.regulator.owned == [[3_000 * 16_000, 0, 0]]
