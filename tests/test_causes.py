"""Why it took so long: causes of every site-day, months a policy costs, curves by when, and ledgers, computed by hand and checked on random worlds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static
from hypothesis import HealthCheck, given, settings
from test_invariants import Recipe, build, recipes
from test_story import REST, SHELL, authorised, licence_abroad, pot_of, two_segments

from simulator.causes import (
    CAUSES,
    NO_BRANCH,
    NOT_JOINED,
    Branch,
    Cause,
    End,
    Finished,
    HeldUp,
    Incidence,
    aalen_johansen,
    cause_table,
    chip_ledger,
    delay_rows,
    held_up,
    incidence,
    ledger_table,
    months,
    mw_days,
    policy_delay,
    pot_ledger,
    site_table,
    year_edges,
)
from simulator.events import Log, Mark, Stage
from simulator.metrics import HOPS, lives, median_months
from simulator.model import Expansion
from simulator.static import NO_POT, Draws, Static

WORLDS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DELIVERY = {Cause.SHIPPING: 5, Cause.INSTALLATION: 15, Cause.COMMISSIONING: 10}
AT_HOME = {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 100, Cause.FIT_OUT: 20}


def play(static: Static, draws: Draws) -> Log:
    return Expansion(static, draws).run()


def explained(static: Static, draws: Draws) -> HeldUp:
    return held_up(static, draws, play(static, draws))


def days(held: HeldUp, site: int = 0) -> dict[Cause, float]:
    """Days of a site by cause, without the empty ones."""
    return {cause: held.ticks[site, cause] / DAY for cause in Cause if held.ticks[site, cause]}


def slack(held: HeldUp, site: int = 0) -> list[float]:
    return [float(s) for s in held.slack[site] / DAY]


# ------------------------------------------------------------------ what held each site up


def test_the_longer_branch_takes_the_days_and_the_others_have_slack() -> None:
    held = explained(static := tiny_static(), tiny_draws(static, [(7, 16, 0)]))
    assert days(held) == {**AT_HOME, **DELIVERY}
    assert held.binding.tolist() == [Branch.SHELL]
    assert slack(held) == [SHELL - 110, 0, 60]  # cleared on the day it would have filed, 60 days before the shell
    assert (held.join / DAY).tolist() == [7 + SHELL]


def test_a_slow_grid_takes_the_days_instead() -> None:
    held = explained(static := tiny_static(), tiny_draws(static, [(0, 1, 2)]))
    assert days(held) == {Cause.SITE_SELECTION: 20, Cause.INTERCONNECTION: 300, **DELIVERY}
    assert slack(held) == [0, 320 - 190, 60]


def test_branches_that_end_together_count_as_the_first_of_them() -> None:
    static = tiny_static()
    median = tiny_draws(static, [(0, 1, 0)]).median.copy()
    median[1] = (SHELL - 10) * DAY
    held = explained(static, tiny_draws(static, [(0, 1, 0)], median=median))
    assert days(held) == {Cause.SITE_SELECTION: 10, Cause.INTERCONNECTION: SHELL - 10, **DELIVERY}
    assert slack(held)[:2] == [0, 0]


def test_days_in_line_for_chips_are_days_of_chips() -> None:
    static = tiny_static()
    held = explained(static, tiny_draws(static, [(0, 100, 0), (1, 1, 0)], chips_a_month=10_000))
    # January's chips come before any site and are declined: the first gets its last ones on 1 November, the second on 1 December.
    assert days(held)[Cause.CHIPS] == 305 - SHELL
    assert days(held, 1)[Cause.CHIPS] == 335 - SHELL - 1


def test_a_licence_that_comes_last_takes_the_days_and_those_before_its_filing_stand_apart() -> None:
    held = explained(static := licence_abroad(), tiny_draws(static, [(0, 16, 1)]))
    # Filed on day 120, decided on day 210; the shell was there on day 180.
    assert days(held) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_FILED: 110, Cause.LICENCE_REVIEW: 90, **DELIVERY}
    assert held.binding.tolist() == [Branch.CLEARANCE]
    assert slack(held) == [100, 30, 0]


def test_a_licence_that_comes_first_takes_no_day() -> None:
    held = explained(static := licence_abroad(), tiny_draws(static, [(0, 16, 1)], filing_lead=100 * DAY))
    assert days(held) == {**AT_HOME, **DELIVERY}
    assert slack(held) == [SHELL - 110, 0, 10]


def test_the_days_of_a_site_refused_went_to_its_clearance_and_its_successor_begins_afresh() -> None:
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), review_median=ints(1, 6, fill=5 * DAY))
    held = explained(static, tiny_draws(static, [(0, 16, 1)]))
    assert held.hop.tolist() == [0, 1]
    assert held.how.tolist() == [End.RELOCATED, End.ONLINE]
    assert days(held) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_FILED: 110, Cause.LICENCE_REVIEW: 5}
    assert days(held, 1) == {**AT_HOME, **DELIVERY}
    assert held.slack[0].tolist() == [NOT_JOINED] * 3


def test_between_a_return_and_the_next_filing_it_is_other_clearance() -> None:
    static = licence_abroad(approve_below=ints(1, 6), review_median=ints(1, 6, fill=10 * DAY), allow_relocation=False)
    held = explained(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(held) == {
        Cause.SITE_SELECTION: 10,
        Cause.NOT_YET_FILED: 110,
        Cause.LICENCE_REVIEW: 30,
        Cause.OTHER_CLEARANCE: 60,
    }
    assert held.how.tolist() == [End.CANCELLED]


def test_waiting_for_the_countrys_pot_is_allocation() -> None:
    static = licence_abroad(allocation=pot_of(20_000), allow_relocation=False)
    held = explained(static, tiny_draws(static, [(0, 16, 1), (200, 16, 1)]))
    assert days(held, 1) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_FILED: 110, Cause.ALLOCATION: 60 + 200}


def short_of_headroom(**changes: Any) -> tuple[Static, Draws]:
    """A company authorised on day 0 that owns 200,000 chips at home: 16,000 abroad would be 7.4 % of 216,000. The pot is empty."""
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 200_000
    static = authorised(allocation=pot_of(0), allow_relocation=False)
    return static, tiny_draws(static, [(0, 16, 1), (20, 100, 2)], 0, **{"fleet_chips": fleet, **changes})


def test_waiting_for_headroom_of_the_authorisation_is_its_own_cause() -> None:
    held = explained(*short_of_headroom())
    assert days(held) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_FILED: 110, Cause.AUTHORISATION: 60 + 200}
    assert held.how[0] == End.CANCELLED


def test_headroom_grows_with_the_home_fleet_and_the_wait_ends_with_the_delivery() -> None:
    # 30,000 chips on 1 August, day 213: 16,000 of 230,000 owned are 6.96 %, for clearance and again on the same day for shipment.
    deliveries = ints(48, 1, 1)
    deliveries[7] = 30_000
    static, draws = short_of_headroom(deliveries=deliveries)
    held = explained(static, draws)
    assert days(held) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_FILED: 110, Cause.AUTHORISATION: 213 - 120, **DELIVERY}
    assert held.binding[0] == Branch.CLEARANCE
    assert slack(held) == [213 - 110, 213 - 180, 0]
    table = cause_table(static, held)
    assert table[table["cause"] == "waiting for headroom of the authorisation"]["mw_days"].tolist() == [16 * 93]


@pytest.mark.parametrize("chips_a_month", [1_000_000, 2_000])
def test_a_second_clearance_after_the_join_counts_every_day(chips_a_month: int) -> None:
    # With ample chips it is asked for before any are gathered, on day 180; with few they are gathered by day 244, and given back.
    law, asked = (SHELL, SHELL) if chips_a_month > 2_000 else (200, 244)
    static = two_segments(law, (0, 0), (1, 1))
    held = explained(static, tiny_draws(static, [(0, 16, 1)], chips_a_month))
    line = {Cause.CHIPS: asked - SHELL} if asked > SHELL else {}
    assert days(held) == {**AT_HOME, **line, Cause.LICENCE_REVIEW: 90, **DELIVERY}
    assert held.binding.tolist() == [Branch.SHELL]  # of the first join; the licence came after it
    assert (held.join / DAY).tolist() == [SHELL]


def test_days_between_two_clearances_after_the_join_are_not_those_of_the_shell() -> None:
    # The law changes on the day the site is ready, and no answer comes before patience ends on day 380.
    static = two_segments(SHELL, (0, 0), (1, 1), review_median=ints(2, 6, fill=5_000 * DAY))
    held = explained(static, tiny_draws(static, [(0, 16, 1)]))
    assert days(held) == {**AT_HOME, Cause.LICENCE_REVIEW: 200}


def before_the_start(*plans: tuple[int, int, int], **changes: Any) -> Draws:
    """A running fleet with room for one cluster of 16 MW at home, and chips for one more under way 35 days before the start."""
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 16_000
    chips = {"under_way": ints(1, 1, fill=16_000), "under_way_ticks": 35 * DAY}
    return tiny_draws(tiny_static(), list(plans), **{"fleet_chips": fleet, **chips, **changes})


IN_FLEET, ONLINE_BEFORE, LATE = (-SHELL - REST - 6, 16, 0), (-SHELL - REST - 5, 16, 0), (-SHELL - 1, 16, 0)


def test_days_before_the_start_do_not_count() -> None:
    held = explained(tiny_static(), before_the_start((-100, 16, 0), LATE, ONLINE_BEFORE, IN_FLEET))
    assert held.root.tolist() == [3, 2, 1, 0]  # in the order they were planned
    # In the fleet; online five days before the start with the chips under way; ready too late for both; built at the start.
    assert held.how.tolist() == [End.IN_FLEET, End.ONLINE, End.ONLINE, End.ONLINE]
    assert (held.end / DAY).tolist() == [0, 0, REST, 110]
    assert days(held, 0) == days(held, 1) == {}
    assert days(held, 2) == DELIVERY  # a day in line before the start, January's chips on it
    assert days(held, 3) == {Cause.CONSTRUCTION: 60, Cause.FIT_OUT: 20, **DELIVERY}


@pytest.mark.parametrize(
    ("plan", "market", "branch", "expected"),
    [
        (5, 0, NO_BRANCH, {Cause.SITE_SELECTION: 5}),
        (100, 0, Branch.SHELL, {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 40}),
        (150, 0, Branch.SHELL, {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 90}),
        (100, 2, Branch.POWER, {Cause.SITE_SELECTION: 20, Cause.INTERCONNECTION: 80}),
        (250, 2, Branch.POWER, {Cause.SITE_SELECTION: 20, Cause.INTERCONNECTION: 230}),
        (190, 1, Branch.CLEARANCE, {Cause.SITE_SELECTION: 10, Cause.NOT_YET_FILED: 110, Cause.LICENCE_REVIEW: 70}),
        (150, 1, Branch.SHELL, {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 90}),
    ],
)
def test_an_unfinished_site_is_held_by_the_branch_still_open_or_expected_last(
    plan: int, market: int, branch: int, expected: dict[Cause, float]
) -> None:
    static = licence_abroad()
    end = static.horizon // DAY
    held = explained(static, tiny_draws(static, [(end - plan, 16, market)]))
    assert held.how.tolist() == [End.OPEN]
    assert held.binding.tolist() == [branch]
    assert days(held) == expected


def test_the_lead_of_a_grid_request_counts_in_what_is_expected() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(static.horizon // DAY - 100, 16, 2)], interconnection_lead=200 * DAY)
    assert days(explained(static, draws)) == {Cause.SITE_SELECTION: 20, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 30}


def test_the_table_splits_days_at_the_year_and_weighs_them_by_megawatts() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(366 - 40, 16, 0)])  # 2024 is a leap year: 40 days before 1 January 2025
    held = explained(static, draws)
    table = cause_table(static, held).set_index(["cause", "year"])["mw_days"].to_dict()
    assert table == {
        ("site selection", 2024): 160,
        ("permitting", 2024): 16 * 30,
        ("permitting", 2025): 16 * 20,
        ("construction", 2025): 1600,
        ("fit-out", 2025): 320,
        ("shipping", 2025): 80,
        ("installation", 2025): 240,
        ("commissioning", 2025): 160,
    }
    assert year_edges(static).tolist() == [0, 366 * DAY, 731 * DAY, 1096 * DAY, 1461 * DAY]


def test_the_site_table_says_who_where_and_how_in_days() -> None:
    static = licence_abroad()
    draws = tiny_draws(static, [(0, 16, 1), (static.horizon // DAY - 100, 8, 0)])
    table = site_table(static, draws, explained(static, draws))
    assert table["project"].tolist() == ["acme-0", "acme-1"]
    assert table["country"].tolist() == ["ARE", "USA"]
    assert table["end"].tolist() == ["online", "open"]
    assert table["binding"].tolist() == ["clearance", "shell"]
    assert table["mw"].tolist() == [16, 8]
    assert table["licence review"].tolist() == [90, 0]
    assert table["slack_power_days"].tolist()[0] == 100
    assert table["slack_power_days"].isna().tolist() == [False, True]
    assert table[list(CAUSES.values())].sum(axis=1).tolist() == table["days"].tolist()


@WORLDS
@given(recipes)
def test_every_day_of_every_site_has_exactly_one_cause(recipe: Recipe) -> None:
    static, draws = build(recipe)
    log = play(static, draws)
    held = held_up(static, draws, log)
    life = lives(static, draws, log)
    site = held.root * HOPS + held.hop
    assert sorted(site.tolist()) == np.nonzero(life.mw16)[0].tolist()
    # The days that must be explained, from the milestones the metrics read.
    end = np.minimum(np.minimum(life.online, life.ended)[site], static.horizon)
    length = np.maximum(end - np.maximum(life.planned[site], 0), 0)
    assert (held.ticks >= 0).all()
    assert held.ticks.sum(axis=1).tolist() == length.tolist()
    assert int(held.cube.sum()) == int((length * held.mw16).sum())
    by_cause = (held.ticks * held.mw16[:, None]).sum(axis=0)
    assert held.cube.sum(axis=(1, 2, 3)).tolist() == by_cause.tolist()


SERIES = (Stage.SITE_SELECTION, Stage.CHIPS, Stage.SHIPPING, Stage.INSTALLATION, Stage.COMMISSIONING)
OF_BRANCH = {
    Branch.POWER: (Stage.INTERCONNECTION,),
    Branch.SHELL: (Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT),
    Branch.CLEARANCE: (Stage.LICENCE_REVIEW, Stage.ALLOCATION, Stage.AUTHORISATION),
}


def spells(events: Log, stage: Stage, begin: int, end: int) -> int:
    """Ticks between begin and end in which a site was in a stage, read off its own events one by one."""
    total, since = 0, -1
    inside = False
    for tick, of, mark in zip(events["tick"].tolist(), events["stage"].tolist(), events["mark"].tolist(), strict=True):
        if of == stage and mark == Mark.START:
            inside, since = True, tick
        elif of == stage and mark in (Mark.END, Mark.HALTED) and inside:
            total, inside = total + max(min(tick, end) - max(since, begin), 0), False
    return total + (max(end - max(since, begin), 0) if inside else 0)


@WORLDS
@given(recipes)
def test_the_binding_branch_and_what_is_in_series_take_the_days_their_stages_lasted(recipe: Recipe) -> None:
    static, draws = build(recipe)
    log = play(static, draws)
    held = held_up(static, draws, log)
    joined = held.slack[:, 0] != NOT_JOINED
    assert (held.slack[joined] >= 0).all()
    assert (held.slack[joined, held.binding[joined]] == 0).all()
    for i in range(len(held.root)):
        mine = log[(log["root"] == held.root[i]) & (log["hop"] == held.hop[i])]
        reached = [mine[mine["mark"] == mark]["order"][:1] for mark in (Mark.FIRST_POWER, Mark.SHELL_READY, Mark.CLEARED)]
        asked = mine[mine["order"] == max(int(r[0]) for r in reached)] if all(map(len, reached)) else mine[:0]
        begin, end = int(held.begin[i]), int(held.end[i])
        wanted = dict.fromkeys(Cause, 0)
        wanted |= {Cause[stage.name]: spells(mine, stage, begin, end) for stage in SERIES}
        if len(asked):
            assert int(asked["tick"][0]) == int(held.join[i])
            since = mine[mine["order"] > asked["order"][0]]
            wanted |= {Cause[stage.name]: spells(since, stage, begin, end) for stage in OF_BRANCH[Branch.CLEARANCE]}
        if held.binding[i] != NO_BRANCH:
            stages = OF_BRANCH[Branch(int(held.binding[i]))]
            wanted |= {Cause[stage.name]: spells(mine, stage, begin, end) for stage in stages}
        for cause, ticks in wanted.items():
            if cause not in (Cause.NOT_YET_FILED, Cause.OTHER_CLEARANCE):
                assert int(held.ticks[i, cause]) == ticks, (i, cause.name)
        if held.binding[i] != Branch.CLEARANCE:
            assert not held.ticks[i, Cause.NOT_YET_FILED]
            assert len(asked) or not held.ticks[i, Cause.OTHER_CLEARANCE]


# ------------------------------------------------------------------ what a policy costs in time


def delays(static: Static, draws: Draws, reference: Static) -> Any:
    return policy_delay(static, draws, play(static, draws), reference, draws, play(reference, draws))


def test_a_licence_costs_thirty_days_of_the_sixteen_megawatts_abroad() -> None:
    reference, static = tiny_static(), licence_abroad()
    draws = tiny_draws(static, [(0, 16, 1), (0, 48, 0)])
    delay = delays(static, draws, reference)
    assert (delay.ticks / DAY).tolist() == [30, 0]
    assert delay.finished.tolist() == [Finished.BOTH] * 2
    rows = {(r.company, r.tier, r.finished): r for r in delay_rows(static, delay)}
    whole = rows["all", "all", "all"]
    assert (whole.lineages, whole.mw) == (2, 64)
    assert whole.months_mean == pytest.approx(15 / 365.25 * 12)
    assert whole.months_mw_mean == pytest.approx(30 / 4 / 365.25 * 12)
    assert rows["acme", "2", "online in both"].months_mean == pytest.approx(30 / 365.25 * 12)
    assert rows["acme", "1", "all"].months_mean == 0
    assert ("all", "3", "all") not in rows


def test_lineages_cut_by_the_horizon_are_counted_apart_with_what_is_seen_of_their_delay() -> None:
    reference, static = tiny_static(), licence_abroad()
    end = static.horizon // DAY
    # Online 1 day before the horizon at home law, 29 days after it with a licence; the last one in neither.
    draws = tiny_draws(static, [(end - SHELL - REST - 1, 16, 1), (end - SHELL, 16, 1), (end, 16, 1)])
    delay = delays(static, draws, reference)
    assert delay.root.tolist() == [0, 1]  # the third is planned on the last instant: outside
    assert (delay.ticks / DAY).tolist() == [1, 0]
    assert delay.finished.tolist() == [Finished.ONLY_REFERENCE, Finished.NEITHER]
    back = delays(reference, draws, static)
    assert (back.ticks / DAY).tolist() == [-1, 0]
    assert back.finished.tolist() == [Finished.ONLY_SCENARIO, Finished.NEITHER]


def test_a_relocated_lineage_keeps_its_clock_and_its_first_tier() -> None:
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), review_median=ints(1, 6, fill=5 * DAY))
    delay = delays(static, tiny_draws(static, [(0, 16, 1)]), tiny_static())
    assert (delay.ticks / DAY).tolist() == [125]  # the successor at home begins on day 125
    assert delay.tier.tolist() == [2]


def test_what_is_online_before_the_start_in_the_fleet_or_not_cannot_be_delayed() -> None:
    assert delays(licence_abroad(), before_the_start(IN_FLEET, ONLINE_BEFORE, LATE), tiny_static()).root.tolist() == [2]


@pytest.mark.parametrize(("room", "under_way"), [(16_000, 0), (0, 16_000)])
def test_a_site_online_before_the_start_in_one_run_only_counts_from_the_start_date(room: int, under_way: int) -> None:
    # Free, it is ready 35 days before the start, and in the fleet or online five days before; with a licence filed on day -95
    # it is cleared on day 25 and online on day 55.
    fleet = ints(1, 3, 1, fill=room)
    fleet[0, 1:] = 0
    draws = before_the_start((-SHELL - REST - 5, 16, 1), fleet_chips=fleet, under_way=ints(1, 1, fill=under_way))
    licence = licence_abroad(review_median=ints(1, 6, fill=120 * DAY))
    delay = delays(licence, draws, tiny_static())
    assert (delay.ticks / DAY).tolist() == [55]
    assert delay.finished.tolist() == [Finished.BOTH]
    assert (delays(tiny_static(), draws, licence).ticks / DAY).tolist() == [-55]


def test_runs_of_other_projects_or_other_days_are_refused() -> None:
    static = tiny_static()
    one, two = tiny_draws(static, [(0, 16, 0)]), tiny_draws(static, [(0, 16, 0), (1, 16, 0)])
    log = play(static, one)
    with pytest.raises(ValueError, match="different projects"):
        policy_delay(static, two, log, static, one, log)
    shorter = tiny_static(horizon=static.horizon - DAY)
    with pytest.raises(ValueError, match="different days"):
        policy_delay(static, one, log, shorter, one, log)


@WORLDS
@given(recipes)
def test_delay_is_antisymmetric_and_nothing_against_itself(recipe: Recipe) -> None:
    static, draws = build(recipe)
    free, log = tiny_like(static), play(static, draws)
    free_log = play(free, draws)
    there = policy_delay(static, draws, log, free, draws, free_log)
    back = policy_delay(free, draws, free_log, static, draws, log)
    assert there.ticks.tolist() == (-back.ticks).tolist()
    assert (there.finished == Finished.ONLY_REFERENCE).tolist() == (back.finished == Finished.ONLY_SCENARIO).tolist()
    same = policy_delay(static, draws, log, static, draws, log)
    assert not same.ticks.any()
    # Classes make up the whole, and so do companies.
    rows = {(r.company, r.tier, r.finished): r for r in delay_rows(static, there)}
    if rows:
        whole = rows["all", "all", "all"]
        for chosen in (
            [r for key, r in rows.items() if key[:2] == ("all", "all") and key[2] != "all"],
            [r for key, r in rows.items() if key[0] != "all" and key[1:] == ("all", "all")],
            [r for key, r in rows.items() if key[0] == "all" and key[1] != "all" and key[2] == "all"],
        ):
            assert sum(r.lineages for r in chosen) == whole.lineages
            assert sum(r.lineages * r.months_mean for r in chosen) == pytest.approx(whole.lineages * whole.months_mean, abs=1e-6)


def tiny_like(static: Static) -> Static:
    """The same world without a licence anywhere."""
    import dataclasses

    none = np.zeros_like(static.needs_licence)
    return dataclasses.replace(static, needs_licence=none, rule=none, posture=none, outlook=np.zeros_like(static.outlook))


# ------------------------------------------------------------------ by when


def test_competing_ends_by_hand() -> None:
    # Five in view: ends at 1 (online), 2 (cancelled), 2 (last seen), 3 (online), 4 (last seen).
    leave, kind = np.array([1, 2, 2, 3, 4]) * DAY, np.array([1, 2, 0, 1, 0])
    found = aalen_johansen(ints(5, fill=-1), leave, kind, ("online", "cancelled"))
    assert found.months.tolist() == (np.array([1, 2, 3]) / 365.25 * 12).tolist()
    assert found.at_risk.tolist() == [5, 4, 2]
    # Still waiting: 4/5, then x 3/4 = 3/5, then x 1/2.
    assert found.curves["online"].tolist() == pytest.approx([1 / 5, 1 / 5, 1 / 5 + 3 / 5 / 2])
    assert found.curves["cancelled"].tolist() == pytest.approx([0, 4 / 5 / 4, 1 / 5])
    assert found.median() == pytest.approx(3 / 365.25 * 12)
    assert found.median("cancelled") is None
    assert [found.at(d / 365.25 * 12) for d in (0.5, 1, 2.9, 99)] == pytest.approx([0, 0.2, 0.2, 0.5])


def test_who_enters_late_is_at_risk_only_from_then_on() -> None:
    # Ends at 2, 4, 6; the second is seen only from day 3 on (last unseen tick just before).
    entry = np.array([-1, 3 * DAY - 1, -1])
    found = aalen_johansen(entry, np.array([2, 4, 6]) * DAY, np.array([1, 1, 1]), ("online",))
    assert found.at_risk.tolist() == [2, 2, 1]
    assert found.curves["online"].tolist() == pytest.approx([1 / 2, 3 / 4, 1])


def test_a_lineage_that_moves_has_not_ended_but_its_first_site_has() -> None:
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), review_median=ints(1, 6, fill=5 * DAY))
    draws = tiny_draws(static, [(0, 16, 1), (0, 16, 0)])
    log = play(static, draws)
    lineages = incidence(static, draws, log)
    assert lineages.cohort == 2
    assert lineages.months.tolist() == months(np.array([210, 125 + 210]) * DAY).tolist()
    assert lineages.curves["online"].tolist() == [0.5, 1]
    sites = incidence(static, draws, log, sites=True)
    assert sites.cohort == 3
    assert sites.months.tolist() == months(np.array([125, 210]) * DAY).tolist()
    assert sites.curves["relocated"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert sites.curves["online"].tolist() == pytest.approx([0, 2 / 3])


def test_the_pipeline_counts_from_the_age_at_which_it_is_seen() -> None:
    static = tiny_static()
    draws = before_the_start((-SHELL, 16, 0), IN_FLEET, (0, 16, 2), ONLINE_BEFORE)
    log = play(static, draws)
    assert incidence(static, draws, log).cohort == 1
    # The first was 180 days old on day 0 and comes online at 210; the third takes 350; two were online before.
    both = incidence(static, draws, log, pipeline=True)
    assert both.cohort == 2
    assert both.months.tolist() == months(np.array([210, 350]) * DAY).tolist()
    assert both.at_risk.tolist() == [2, 1]
    abroad = incidence(static, draws, log, pipeline=True, among=np.array([False, True, True, True]))
    assert abroad.cohort == 1


def test_an_end_on_the_start_date_itself_is_seen_and_a_site_of_the_opening_fleet_is_not() -> None:
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), allow_relocation=False)
    draws = before_the_start((60 - SHELL - 90, 16, 1), IN_FLEET, (0, 16, 0))
    log = play(static, draws)
    for sites in (False, True):
        found = incidence(static, draws, log, pipeline=True, sites=sites)
        assert found.cohort == 2
        assert found.at_risk.tolist() == [2]  # denied on day 0 at the age of 210 days; the other is online at the age of 210 days
        assert (found.curves["cancelled"].tolist(), found.curves["online"].tolist()) == ([0.5], [0.5])


def test_half_of_nobody_is_not_reached() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(static.horizon // DAY - 1, 16, 0)])
    found = incidence(static, draws, play(static, draws))
    assert (found.cohort, found.median(), found.at(12)) == (1, None, 0)
    empty = incidence(static, draws, play(static, draws), among=np.array([False]))
    assert (empty.cohort, empty.median()) == (0, None)


def check_curves(found: Incidence) -> None:
    total = sum(found.curves.values())
    assert (np.diff(found.months) > 0).all()
    assert (found.at_risk > 0).all()
    for curve in found.curves.values():
        assert (np.diff(curve, prepend=0) >= 0).all()
    assert not len(found.months) or float(np.max(total)) <= 1 + 1e-12


@WORLDS
@given(recipes)
def test_the_curve_of_lineages_has_the_median_the_metrics_report(recipe: Recipe) -> None:
    static, draws = build(recipe)
    log = play(static, draws)
    found = incidence(static, draws, log)
    check_curves(found)
    check_curves(incidence(static, draws, log, sites=True))
    check_curves(incidence(static, draws, log, sites=True, pipeline=True))
    reported = median_months(static, draws, lives(static, draws, log))
    assert np.isnan(reported) if found.median() is None else found.median() == reported


# ------------------------------------------------------------------ where scarce things went


def column(table: np.ndarray, pool: int = 0) -> list[int]:
    """The entries of one pool that are not zero."""
    return [int(x) for x in table[:, pool] if x]


def test_each_month_of_the_stock_adds_up() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(0, 100, 0), (1, 1, 0)], chips_a_month=10_000, opening_stock=ints(1, 1, fill=500))
    ledger = chip_ledger(static, draws, play(static, draws))
    assert ledger.pools == ("acme/chip",)
    assert ledger.opening[:3, 0].tolist() == [500, 500, 10_500]
    assert ledger.ends[:2] == ("2024-01-31", "2024-02-29")
    # 100,000 chips leave on 1 November, the eleventh month. The small one keeps the 500 left, and takes 500 of December's.
    assert np.nonzero(ledger.drawn[:, 0])[0].tolist() == [10, 11]
    assert column(ledger.drawn) == [100_000, 1_000]
    assert ledger.closing[9:12, 0].tolist() == [90_500, 500, 0]
    # In January nobody needs any, in December one site 500, and nobody after it.
    assert ledger.released[:, 0].tolist() == [0] + [10_000] * 10 + [500] + [0] * 36
    assert ledger.declined[:, 0].tolist() == [10_000] + [0] * 10 + [9_500] + [10_000] * 36
    assert not ledger.imbalance().any()


def test_chips_are_stocked_for_sites_expected_within_the_months_ahead() -> None:
    # Ready on day 180 (29 June): on 1 April it is 89 days away, on 1 May 59.
    static = tiny_static()
    for ahead, first in ((60, 4), (88, 4), (89, 3), (0, 6)):
        draws = tiny_draws(static, [(0, 16, 0)], stock_ahead=ahead * DAY)
        ledger = chip_ledger(static, draws, play(static, draws))
        assert np.nonzero(ledger.released[:, 0])[0].tolist() == [first], ahead
        assert ledger.released[first, 0] == 16_000


def test_a_site_ready_sooner_than_expected_takes_part_of_the_next_delivery() -> None:
    # Construction begins on 1 January 2025 and takes half the time: ready on day 436 instead of 486. 1 April 2025 is day 456.
    luck = tiny_draws(tiny_static(), []).luck_construction.copy()
    luck[2025 - 2019] //= 2
    static = tiny_static()
    draws = tiny_draws(static, [(306, 16, 0)], stock_ahead=0, luck_construction=luck)
    log = play(static, draws)
    assert (log[log["mark"] == Mark.READY]["tick"] / DAY).tolist() == [436]
    assert np.nonzero(chip_ledger(static, draws, log).released[:, 0])[0].tolist() == [15]


def test_what_the_head_of_the_line_has_gathered_is_not_ordered_again() -> None:
    deliveries = ints(48, 1, 1)
    deliveries[7], deliveries[8] = 10_000, 1_000_000  # August and September; the site is ready in June
    static = tiny_static()
    draws = tiny_draws(static, [(0, 16, 0)], deliveries=deliveries)
    ledger = chip_ledger(static, draws, play(static, draws))
    assert column(ledger.released) == [10_000, 6_000]
    assert column(ledger.declined) == [994_000]
    assert ledger.closing[-1, 0] == 0


def test_chips_under_way_on_the_start_date_open_the_ledger_less_what_went_to_sites_before() -> None:
    static = tiny_static()
    draws = before_the_start(ONLINE_BEFORE, (0, 1, 0), fleet_chips=ints(1, 3, 1), under_way=ints(1, 1, fill=20_000),
                             opening_stock=ints(1, 1, fill=700))  # fmt: skip
    ledger = chip_ledger(static, draws, play(static, draws))
    # 16,000 of the 20,000 left on day -35; 4,000 and the 700 in stock remain, of which the small site takes 1,000 in June.
    assert ledger.opening[0, 0] == 4_700
    assert np.nonzero(ledger.drawn[:, 0])[0].tolist() == [5]
    assert column(ledger.drawn) == [1_000]
    assert ledger.closing[-1, 0] == ledger.lowest[0] == 3_700
    assert not ledger.released.any()
    assert not ledger.imbalance().any()


def test_what_a_stopped_shipment_gives_back_was_drawn_in_the_same_instant() -> None:
    static = two_segments(200, (0, 0), (1, 1))
    draws = tiny_draws(static, [(0, 16, 1)], chips_a_month=2_000)
    ledger = chip_ledger(static, draws, play(static, draws))
    assert column(ledger.given_back) == [16_000]
    assert column(ledger.drawn) == [16_000, 16_000]  # day 244 in vain, day 334
    assert np.nonzero(ledger.drawn[:, 0])[0].tolist() == [8, 10]
    assert column(ledger.released) == [2_000] * 8
    assert ledger.closing[7:11, 0].tolist() == [14_000, 16_000, 16_000, 0]


def test_a_pot_is_released_drawn_and_declined() -> None:
    static = licence_abroad(allocation=pot_of(25_000), other_importers=importers(16_000 * 4_000, quarter=1))
    draws = tiny_draws(static, [(0, 16, 1), (1, 16, 1)])
    ledger = pot_ledger(static, play(static, draws))
    k = 16_000
    assert ledger.opening[0].tolist() == [0, 25_000 * k, 0]  # in force since 2019
    assert column(ledger.drawn_by_others, 1) == [4_000 * k]  # 1 April
    # Day 210: 16,000 of the remaining 21,000; day 211: 16,000 do not fit into 5,000, which is less than half.
    assert column(ledger.drawn, 1) == [16_000 * k]
    assert column(ledger.declined, 1) == [16_000 * k]
    assert ledger.closing[-1, 1] == 5_000 * k
    assert ledger.lowest[1] == 5_000 * k
    table = ledger_table(ledger)
    assert set(table["pool"]) == {"ARE"}
    assert table[table["date"] == "2024-07-31"]["declined"].tolist() == [16_000 * k]


def importers(tpp: int, quarter: int) -> np.ndarray:
    asked = ints(16, 3)
    asked[quarter, 1] = tpp
    return asked


def changing_pot(on_day: int, first: int, second: int, windows: tuple[int, int]) -> Static:
    allocation, window = ints(2, 3, fill=NO_POT), ints(2, 3)
    allocation[:, 1] = [first, second]
    window[:, 1] = windows
    return two_segments(on_day, (1, 1), (1, 1), allocation=allocation, allocation_window=window)


@pytest.mark.parametrize(
    ("first", "second", "windows", "released", "lapsed", "last"),
    [
        (20, 40, (0, 0), [20], [], 24),  # doubled
        (20, 10, (0, 0), [], [10], -6),  # lowered below what is used
        (20, 40, (0, 1), [40], [4], 40),  # a new period: what was left lapses
        (20, NO_POT, (0, 0), [], [4], 0),  # the law has no pot any more
    ],
)
def test_a_change_of_law_releases_and_lapses(
    first: int, second: int, windows: tuple[int, int], released: list[int], lapsed: list[int], last: int
) -> None:
    k = 16_000 * 1_000
    static = changing_pot(250, first * k, second * k if second > 0 else second, windows)
    ledger = pot_ledger(static, play(static, tiny_draws(static, [(0, 16, 1)])))
    assert column(ledger.drawn, 1) == [16 * k]  # day 210
    assert column(ledger.released, 1) == [x * k for x in released]
    assert column(ledger.lapsed, 1) == [x * k for x in lapsed]
    assert ledger.closing[-1, 1] == last * k
    assert not ledger.imbalance().any()


@pytest.mark.parametrize("counted", [16_000, 0])
def test_what_is_exported_while_a_pot_only_counts_goes_back_on_the_day_of_the_authorisation(counted: int) -> None:
    # Exports count from the beginning, a limit of 40,000 chips binds from day 250, the company is authorised on day 300. It owns
    # nothing at home, so the second site asks for a licence on day 420: all 30,000 chips fit only because 16,000 went back.
    k = 16_000
    allocation, counts = ints(2, 3, fill=NO_POT), ints(2, 3)
    allocation[1, 1], counts[0, 1] = 40_000 * k, 1
    static = two_segments(
        250, (0, 0), (1, 1), allocation=allocation, allocation_counts=counts, other_importers=importers(4_000 * k, quarter=1),
        uveu_rule=np.array([-1, 4]).reshape(2, 1, 1, 1) * np.ones((2, 1, 3, 1), dtype=np.int64),
        authorisation_applied=ints(1, fill=300 * DAY), counted_tpp=np.array([counted]),
    )  # fmt: skip
    ledger = pot_ledger(static, log := play(static, tiny_draws(static, [(0, 16, 1), (300, 30, 1)])))
    assert column(ledger.drawn_by_others, 1) == [4_000 * k]  # 1 April
    assert column(ledger.released, 1) == [40_000 * k]
    early = 16_000 * counted  # chips that do not count for the law draw nothing
    assert (ledger.drawn[5, 1], ledger.drawn[16, 1]) == (early, 30_000 * k)  # shipped on day 180, licensed on day 510
    assert ledger.drawn[:, 1].sum() == early + 30_000 * k
    assert ledger.given_back[9, 1] == ledger.given_back[:, 1].sum() == early  # 27 October
    balance = [-4_000 * k, -4_000 * k - early, 36_000 * k - early, 36_000 * k, 6_000 * k]
    assert ledger.closing[[4, 5, 8, 9, 16], 1].tolist() == balance
    assert ledger.lowest[1] == -4_000 * k - early
    assert not ledger.imbalance().any()
    back = log[(log["stage"] == Stage.AUTHORISATION) & (log["mark"] == Mark.DRAWN)]
    assert (back["tick"] / DAY).tolist() == [300] * bool(counted)
    assert back["root"].tolist() == [-1] * bool(counted)


@WORLDS
@given(recipes)
def test_ledgers_end_with_what_the_engine_holds(recipe: Recipe) -> None:
    static, draws = build(recipe)
    engine = Expansion(static, draws)
    log = engine.run()
    chips = chip_ledger(static, draws, log)
    assert not chips.imbalance().any()
    assert (chips.lowest >= 0).all()
    offered = draws.deliveries.reshape(len(draws.deliveries), -1)
    assert ((chips.released + chips.declined) == offered).all()
    held = np.zeros((len(static.companies), len(static.accelerators)), dtype=np.int64)
    for (k, _), queue in engine.queues.items():
        for stock in (queue.stock, *(claim.taken for _, claim in queue.line)):
            for a, n in stock.items():
                held[k, a] += n
    assert chips.closing[-1].tolist() == held.reshape(-1).tolist()

    pots = pot_ledger(static, log)
    assert not pots.imbalance().any()
    drawn = log[(log["mark"] == Mark.DRAWN) & (log["tick"] >= 0)]
    segment = np.searchsorted(static.law_ticks, drawn["tick"], side="right") - 1
    shown = (static.allocation[segment, drawn["pool"]] != NO_POT) | (static.allocation_counts[segment, drawn["pool"]] == 1)
    net = pots.drawn + pots.drawn_by_others - pots.given_back
    assert int(net.sum()) == int(drawn["quantity"][shown].sum())
    last = int(np.searchsorted(static.law_ticks, static.horizon)) - 1
    for c, pot in enumerate(engine.pots):
        limit, counts = int(static.allocation[last, c]), bool(static.allocation_counts[last, c])
        if limit != NO_POT or counts:
            used = pot.used if pot.window == static.allocation_window[last, c] else 0
            assert pots.closing[-1, c] == max(limit, 0) - used
        else:
            assert pots.closing[-1, c] == 0


# ------------------------------------------------------------------ the real world


def test_a_real_policy_explains_itself_to_the_last_tick() -> None:
    from simulator.experiments import compile_all
    from simulator.scenario import load_scenario
    from simulator.world import load_world

    short = ["end=2026-06-30"]
    free, framework = compile_all([load_scenario(n, sets=short) for n in ("no-controls", "diffusion-framework")], load_world())
    draws = free.draw(1, 0)
    static = framework.static
    logs = [play(c.static, draws) for c in (free, framework)]
    held = held_up(static, draws, logs[1])
    assert (held.ticks.sum(axis=1) == held.end - held.begin).all()
    assert int(held.cube.sum()) == int(((held.end - held.begin) * held.mw16).sum())
    table = cause_table(static, held)
    assert table["mw_days"].sum() == pytest.approx(float(mw_days(held.cube.sum())))
    assert set(table["year"]) == {2024, 2025, 2026}
    without = held_up(free.static, draws, logs[0])
    assert not without.ticks[:, Cause.LICENCE_REVIEW : Cause.CHIPS].any()
    assert held.ticks[:, Cause.LICENCE_REVIEW : Cause.CHIPS].any()
    delay = policy_delay(static, draws, logs[1], free.static, draws, logs[0])
    assert delay.ticks.any()
    whole = delay_rows(static, delay)[0]
    assert whole.lineages == len(delay.root)
    for c, log in zip((free, framework), logs, strict=True):
        found, reported = incidence(c.static, draws, log).median(), median_months(c.static, draws, lives(c.static, draws, log))
        assert found == reported if found is not None else np.isnan(reported)
        chips = chip_ledger(c.static, draws, log)
        assert not chips.imbalance().any()
        assert (chips.lowest >= 0).all()
        assert not pot_ledger(c.static, log).imbalance().any()
