"""Dates computed by hand: one cluster; two for one month's chips; a licence; a refusal; a pot; a change of law; a hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static

from simulator.events import Log, Mark, Stage
from simulator.model import Expansion
from simulator.static import BARRED

SHELL = 10 + 50 + 100 + 20  # site selection, permitting, construction, fit-out: the longer branch at home and abroad
REST = 5 + 15 + 10  # shipping, installation, commissioning


def play(static: Any, draws: Any) -> Log:
    return Expansion(static, draws).run()


def days(log: Log, mark: Mark, *, stage: Stage | None = None, root: int | None = None, hop: int | None = None) -> list[float]:
    """Days on which a mark was made."""
    chosen = log[log["mark"] == mark]
    for column, wanted in (("stage", stage), ("root", root), ("hop", hop)):
        if wanted is not None:
            chosen = chosen[chosen[column] == wanted]
    return (chosen["tick"] / DAY).tolist()


def licence_abroad(**changes: Any) -> Any:
    """ARE needs a licence (provision 1); everything else is free."""
    needs, rule, posture = ints(1, 1, 3, 1), ints(1, 1, 3, 1), ints(1, 1, 3, 1)
    needs[0, 0, 1], rule[0, 0, 1], posture[0, 0, 1] = 1, 1, 1
    return tiny_static(**{"needs_licence": needs, "rule": rule, "posture": posture, **changes})


def test_one_cluster_is_online_after_the_longer_branch_and_the_last_steps() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(7, 16, 0)]))
    assert days(log, Mark.FIRST_POWER) == [7 + 10 + 100]
    assert days(log, Mark.GROUND_BREAKING) == [7 + 10 + 50]
    assert days(log, Mark.SHELL_READY) == [7 + SHELL]
    assert days(log, Mark.SHIPPED) == [7 + SHELL]
    assert days(log, Mark.ONLINE) == [7 + SHELL + REST]
    assert log[log["mark"] == Mark.CHIPS_TAKEN]["quantity"].tolist() == [16_000]  # 16 MW at 1,000 W


def test_a_slower_grid_decides_instead_and_construction_does_not_wait_for_it() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 1, 2)]))
    assert days(log, Mark.SHELL_READY) == [20 + 170]
    assert days(log, Mark.ONLINE) == [20 + 300 + REST]


def test_the_grid_request_runs_ahead_of_site_control_by_its_lead() -> None:
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 1, 2)], interconnection_lead=90 * DAY))
    assert days(log, Mark.FIRST_POWER) == [20 + 300 - 90]


def test_two_clusters_one_supply_first_ready_first_served_and_nobody_overtakes() -> None:
    static = tiny_static()
    # 10,000 chips a month; those of 1 January come before the plans and go to others, so stock builds from 1 February.
    draws = tiny_draws(static, [(0, 100, 0), (1, 1, 0)], chips_a_month=10_000)
    log = play(static, draws)
    assert days(log, Mark.READY) == [SHELL, SHELL + 1]
    # 60,000 chips by 1 July; 100,000 are there with the tenth delivery on 1 November 2024, day 305.
    assert days(log, Mark.SHIPPED, root=0) == [305]
    # The small one could be filled from stock since day 181, but waits behind until 1 December (day 335).
    assert days(log, Mark.SHIPPED, root=1) == [335]


def test_a_licence_is_filed_ahead_and_delays_only_by_what_is_left() -> None:
    static = licence_abroad()
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(log, Mark.FILED) == [SHELL - 60]
    assert days(log, Mark.APPROVED) == [SHELL - 60 + 90]
    assert days(log, Mark.ONLINE) == [SHELL + 30 + REST]
    assert log[log["mark"] == Mark.SHIPPED]["rule"].tolist() == [1]
    assert log[log["mark"] == Mark.APPROVED]["quantity"].tolist() == [16_000 * 16_000]


def test_a_refusal_halts_the_shell_and_a_successor_is_planned_elsewhere() -> None:
    outlook = ints(2, 1, 1, 3)
    outlook[:, 0, 0, 0] = BARRED // 2  # keep the successor out of home, to see it go elsewhere
    static = licence_abroad(
        approve_below=ints(1, 6), deny_above=ints(1, 6), review_median=ints(1, 6, fill=5 * DAY), outlook=outlook
    )
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    denied = SHELL - 60 + 5
    assert days(log, Mark.DENIED) == [denied]
    assert days(log, Mark.HALTED) == [denied]  # construction: power was already there
    assert days(log, Mark.RELOCATED) == [denied]
    assert days(log, Mark.PLANNED, hop=1) == [denied]
    assert days(log, Mark.ONLINE, hop=1) == [denied + 20 + 300 + REST]
    assert days(log, Mark.ONLINE, hop=0) == []
    shell_ready = days(log, Mark.SHELL_READY, hop=0)
    assert shell_ready == []


def test_a_refusal_without_a_way_out_cancels() -> None:
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), allow_relocation=False)
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(log, Mark.CANCELLED) == [SHELL - 60 + 90]
    assert log[log["mark"] == Mark.CANCELLED]["rule"].tolist() == [1]


def test_returned_without_action_is_filed_again_after_the_stated_time_and_at_most_three_times() -> None:
    static = licence_abroad(approve_below=ints(1, 6), review_median=ints(1, 6, fill=10 * DAY), allow_relocation=False)
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    first = SHELL - 60
    assert days(log, Mark.FILED) == [first, first + 40, first + 80]
    assert days(log, Mark.RETURNED) == [first + 10, first + 50, first + 90]
    assert days(log, Mark.CANCELLED) == [first + 90]


def pot_of(chips: int) -> Any:
    allocation = ints(1, 3, fill=-1)
    allocation[0, 1] = chips * 16_000
    return allocation


def test_the_pot_is_consumed_at_grant_and_the_later_one_waits_then_leaves_when_patience_ends() -> None:
    static = licence_abroad(allocation=pot_of(20_000), allow_relocation=False)
    log = play(static, tiny_draws(static, [(0, 16, 1), (200, 16, 1)]))
    assert days(log, Mark.DRAWN) == [SHELL - 60 + 90]
    assert days(log, Mark.ONLINE, root=0) == [SHELL + 30 + REST]
    # 4,000 of 16,000 chips left is less than half of what is asked: no filing, only waiting.
    assert days(log, Mark.FILED, root=1) == []
    assert days(log, Mark.CANCELLED, root=1) == [200 + SHELL + 200]
    assert log[log["mark"] == Mark.CANCELLED]["rule"].tolist() == [2]


def test_an_application_that_no_longer_fits_at_decision_is_filed_smaller_at_once() -> None:
    static = licence_abroad(allocation=pot_of(25_000))
    log = play(static, tiny_draws(static, [(0, 16, 1), (1, 16, 1)]))
    first = SHELL - 60
    assert days(log, Mark.FILED, root=1) == [first + 1, first + 91]
    assert days(log, Mark.RETURNED, root=1) == [first + 91]
    assert log[(log["mark"] == Mark.FILED) & (log["root"] == 1)]["quantity"].tolist() == [16_000 * 16_000, 9_000 * 16_000]
    assert days(log, Mark.DOWNSIZED, root=1) == [first + 181]
    assert log[log["mark"] == Mark.DOWNSIZED]["quantity"].tolist() == [7 * 16]  # MW not filled, in sixteenths
    assert log[(log["mark"] == Mark.ONLINE) & (log["root"] == 1)]["quantity"].tolist() == [9 * 16]


@pytest.mark.parametrize(("pot", "shipped"), [(16_001, 16_000), (16_000, 16_000), (15_999, 15_999)])
def test_a_pot_of_exactly_the_quantity_suffices_and_one_chip_less_does_not(pot: int, shipped: int) -> None:
    log = play(static := licence_abroad(allocation=pot_of(pot)), tiny_draws(static, [(0, 16, 1)]))
    assert log[log["mark"] == Mark.FILED]["quantity"].tolist() == [shipped * 16_000]
    assert log[log["mark"] == Mark.CHIPS_TAKEN]["quantity"].tolist() == [shipped]
    assert days(log, Mark.DOWNSIZED) == []  # a chip is less than a sixteenth of a megawatt


def two_segments(on_day: int, first: tuple[int, int], second: tuple[int, int], **changes: Any) -> Any:
    """The law changes on a day; (needs, rule) for ARE before and after."""
    needs, rule, posture = ints(2, 1, 3, 1), ints(2, 1, 3, 1), ints(2, 1, 3, 1)
    for s, (need, provision) in enumerate((first, second)):
        needs[s, 0, 1], rule[s, 0, 1], posture[s, 0, 1] = need, provision, need
    wide = {
        name: np.repeat(getattr(licence_abroad(), name), 2, axis=0)
        for name in ("law_changes", "authorisation_usd_a_year", "lpp_limit", "lpp_rule", "uveu_rule", "uveu_single_ppm", "uveu_tier1_ppm",
                     "uveu_us_ppm", "trusted", "allocation", "allocation_window", "allocation_counts", "allocation_rule", "approve_below",
                     "deny_above", "review_median", "review_spread")
    }  # fmt: skip
    wide |= {name: np.repeat(getattr(licence_abroad(), name), 2, axis=1) for name in ("outlook", "outlook_wait")}
    base = tiny_static()
    ticks = np.array([base.earliest, on_day * DAY])
    return tiny_static(**{**wide, "law_ticks": ticks, "needs_licence": needs, "rule": rule, "posture": posture, **changes})


def test_a_change_of_law_frees_everyone_waiting_on_that_day() -> None:
    static = two_segments(SHELL - 10, (1, 1), (0, 0))
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(log, Mark.FILED) == [SHELL - 60]
    assert days(log, Mark.APPROVED) == []
    assert days(log, Mark.CLEARED) == [SHELL - 10]
    assert days(log, Mark.ONLINE) == [SHELL + REST]


def test_a_law_that_changes_before_chips_are_gathered_is_asked_again_first() -> None:
    static = two_segments(SHELL, (0, 0), (1, 1))
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(log, Mark.CLEARED) == [SHELL - 60, SHELL + 90]
    assert days(log, Mark.CHIPS_GIVEN_BACK) == []
    assert days(log, Mark.FILED) == [SHELL]
    assert days(log, Mark.SHIPPED) == [SHELL + 90]


def test_the_law_is_read_again_on_the_day_of_export() -> None:
    # 2,000 chips a month from 1 February: 16,000 are there on 1 September 2024, day 244. By then a licence is required.
    static = two_segments(200, (0, 0), (1, 1))
    log = play(static, tiny_draws(static, [(0, 16, 1)], chips_a_month=2_000))
    assert days(log, Mark.CHIPS_GIVEN_BACK) == [244]
    assert days(log, Mark.FILED) == [244]
    assert days(log, Mark.SHIPPED) == [244 + 90]


@pytest.mark.parametrize(("law_day", "shipped"), [(SHELL, SHELL + 90), (SHELL + 1, SHELL)])
def test_a_law_that_binds_the_day_after_the_export_does_not_touch_it(law_day: int, shipped: int) -> None:
    log = play(static := two_segments(law_day, (0, 0), (1, 1)), tiny_draws(static, [(0, 16, 1)]))
    assert days(log, Mark.SHIPPED) == [shipped]


def test_a_hold_stops_the_clock_for_the_days_that_overlap() -> None:
    covers = np.array([[0, 1, 0]])
    filed = SHELL - 60
    static = licence_abroad(
        hold_from=np.array([(filed + 30) * DAY]), hold_until=np.array([(filed + 50) * DAY]), hold_covers=covers
    )
    log = play(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(log, Mark.APPROVED) == [filed + 90 + 20]


def test_lpp_passes_small_shipments_until_the_calendar_years_allowance_is_used() -> None:
    static = licence_abroad(lpp_limit=ints(1, fill=16_000 * 1_500), lpp_rule=ints(1, 1, 3, 1, fill=3))
    log = play(static, tiny_draws(static, [(0, 1, 1), (1, 1, 1)]))
    shipped = log[log["mark"] == Mark.SHIPPED]
    assert shipped["rule"].tolist() == [3, 1]  # 1,000 chips under LPP, the next 1,000 do not fit into 1,500
    assert days(log, Mark.SHIPPED, root=0) == [SHELL]
    # Cleared by LPP at filing, refused by it at shipment, then a full licence review.
    assert days(log, Mark.SHIPPED, root=1) == [SHELL + 1 + 90]


def authorised(**changes: Any) -> Any:
    return licence_abroad(uveu_rule=ints(1, 1, 3, 1, fill=4), authorisation_applied=ints(1), **changes)


def test_the_authorisation_lets_exports_pass_while_seven_per_cent_holds() -> None:
    # 14 MW abroad of 186 + 14 owned is exactly 7 %: 186,000 chips at home, 14,000 more arrive.
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 186_000
    opening = ints(1, 1, fill=14_000)
    for mw, rule in ((14, 4), (15, 1)):
        static = authorised()
        draws = tiny_draws(static, [(0, mw, 1)], 0, fleet_chips=fleet, opening_stock=opening if mw == 14 else opening + 1000)
        log = play(static, draws)
        assert log[log["mark"] == Mark.SHIPPED]["rule"].tolist() == [rule]


def test_sites_that_would_be_online_before_the_start_are_in_the_opening_fleet_as_far_as_it_has_room() -> None:
    static = tiny_static()
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 2 * 16_000  # room for two of 16 MW
    plans = [(-SHELL - REST - ahead, 16, 0) for ahead in (2, 1, 0, -1)]
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
