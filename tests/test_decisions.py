"""Stuck or refused: what each option is worth, computed by hand, and what happens to the site that is left or kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import (
    ABROAD,
    DAY,
    ELSEWHERE,
    FREE,
    HOME,
    LICENCE,
    LICENSED,
    POT,
    REST,
    SHELL,
    UVEU,
    abroad,
    amounts,
    by_law,
    days,
    in_phases,
    ints,
    licence_abroad,
    play,
    played,
    rows,
    tiny_draws,
    tiny_static,
)
from hypothesis import given
from hypothesis import strategies as st

from simulator import decisions
from simulator.decisions import IMPOSSIBLE, Option
from simulator.events import Log, Mark, Stage
from simulator.static import BARRED, NO_POT, Draws, Route, Static, Timed
from simulator.units import FACTOR_ONE, MW_SIXTEENTHS, PPM, threshold

EVER = 1 << 40
DENY = 3 << 60

# ------------------------------------------------------------------ the arithmetic


def test_what_a_site_earns_is_by_whole_days_to_the_horizon_and_nothing_beyond() -> None:
    assert decisions.worth(16, 100 * DAY, 110 * DAY, 2_000) == 16 * 10 * 2
    assert decisions.worth(16, 100 * DAY + 1, 110 * DAY, 2_000) == 16 * 9 * 2
    assert decisions.worth(16, 110 * DAY, 110 * DAY, 2_000) == decisions.worth(16, 200 * DAY, 110 * DAY, 2_000) == 0


def test_costs_shares_and_scores() -> None:
    assert decisions.shell_cost(16, 11_000_000) == 11_000  # one megawatt, in thousands
    assert decisions.share_of(1_001, 500_000) == 500
    assert decisions.stay(1_000, 250_000, 30, 7) == 250 - 37
    assert decisions.leave(1_000, 250_000, 30, 200, 400_000) == 250 - 30 - 120
    assert decisions.leave(0, 0, 0, 200, 1_000_000) == 0


def test_in_a_tie_the_first_wins_and_what_is_not_open_never() -> None:
    assert decisions.best([5, 5, 5, 5]) == Option.WAIT
    assert decisions.best([IMPOSSIBLE, -5, -5, -9]) == Option.OTHER_CHIPS
    assert decisions.best([IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, -(1 << 58)]) == Option.CANCEL
    assert decisions.best([1, 2, 3, 2]) == Option.RELOCATE


@given(st.integers(0, 1_000_000))
def test_a_threshold_reads_as_the_chance_it_stands_for(ppm: int) -> None:
    assert abs(decisions.ppm_of(threshold(ppm / PPM)) - ppm) <= 1
    assert decisions.ppm_of(threshold(1.0)) == PPM
    assert decisions.ppm_of(0) == 0


# ------------------------------------------------------------------ after a denial, by hand

A_QUARTER = {"approve_below": ints(1, 6, fill=threshold(0.25)), "deny_above": ints(1, 6, fill=threshold(0.25))}


def denied(value: int, clock_days: int = 90, *, leased: bool = False, relocation: bool = True, **changes: Any) -> Log:
    """16 MW abroad, one application in four is granted; the first, filed on day 120, is denied. The next best market is home."""
    review = ints(1, 6, fill=clock_days * DAY)
    static = licence_abroad(**A_QUARTER, clock_median=review, review_median=review, allow_relocation=relocation)
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 0] = DENY
    route = ints(1, fill=Route.LEASED if leased else Route.CLASSIC)
    return play(static, tiny_draws(static, [(0, 16, ABROAD)], value_usd=value, licence_outcome=outcome, route=route, **changes))


def choice(log: Log, day: float) -> str:
    """What became of the first site on a day."""
    left = rows(log, hop=0)
    left = left[np.isin(left["mark"], (Mark.RELOCATED, Mark.CANCELLED)) & (left["tick"] == day * DAY)]
    return Mark(left[0]["mark"]).name if len(left) else "WAIT"


@pytest.mark.parametrize(("value", "chosen"), [(0, "WAIT"), (369, "WAIT"), (370, "RELOCATED"), (1_900, "RELOCATED")])
def test_waiting_or_building_elsewhere_when_the_shell_is_finished(value: int, chosen: str) -> None:
    # Denied on day 210. The shell cost 176 m USD, 95 % of it spent; ten years are looked at, to day 3,860.
    # Wait: ready on day 330 (30 days to file again, 90 of review), three whole months of an idle shell cost 6.048 m.
    #   0.25 x 256 x 3,530 days x value - 8.8 m - 6.048 m
    # Relocate: ten days for a site, 170 to build, ready on day 390; half of the 167.2 m spent is lost.
    #   256 x 3,470 days x value - 176 m - 83.6 m
    # They meet at a value of 369.5 USD a day; giving up altogether costs 83.6 m.
    assert choice(denied(value), 210) == chosen


@pytest.mark.parametrize(("value", "chosen"), [(0, "CANCELLED"), (198, "CANCELLED"), (199, "RELOCATED"), (5_000, "RELOCATED")])
def test_giving_up_or_building_elsewhere_while_little_is_spent(value: int, chosen: str) -> None:
    # Denied on day 125, half-way through construction: 27.5 % of 176 m are spent, 127.6 m are to be paid for waiting.
    #   Relocate: 256 x 3,470 x value - 176 m - 24.2 m; cancel: -24.2 m.
    assert choice(denied(value, 5), 125) == chosen


@pytest.mark.parametrize(("value", "chosen"), [(449, "CANCELLED"), (450, "WAIT")])
def test_giving_up_or_waiting_where_there_is_nowhere_to_go(value: int, chosen: str) -> None:
    #   Wait: 0.25 x 256 x 3,595 days from readiness on day 180 x value - 127.6 m; cancel: -24.2 m.
    assert choice(denied(value, 5, relocation=False), 125) == chosen


def test_a_landlords_shell_costs_the_company_nothing_to_leave_or_to_begin() -> None:
    # Without a shell to pay the two differ by time alone: 0.25 x 3,530 days against 3,470.
    assert choice(denied(1, leased=True), 210) == "RELOCATED"
    assert choice(denied(0, 5, leased=True), 125) == "WAIT"  # nothing to gain, nothing to lose: staying is easier


def test_the_share_that_comes_back_and_the_time_looked_ahead_weigh() -> None:
    # At 369 USD it waits; if all that was spent came back, or the time ahead were longer, it would leave.
    assert choice(denied(369, recovery_ppm=600_000), 210) == "RELOCATED"
    assert choice(denied(369, planning_horizon=11 * 365 * DAY), 210) == "RELOCATED"
    assert choice(denied(370, planning_horizon=9 * 365 * DAY), 210) == "WAIT"


def test_a_site_elsewhere_that_may_be_refused_too_is_worth_only_its_chance() -> None:
    # Everything needs a licence: 0.25 of the gain at home, and 259.6 m to pay: it waits at any value.
    needs = ints(1, 1, 3, 1, fill=1)
    static = tiny_static(needs_licence=needs, rule=needs, posture=needs, **A_QUARTER)
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 0] = DENY
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], value_usd=10**6, licence_outcome=outcome))
    assert choice(log, 210) == "WAIT"
    assert days(log, Mark.FILED) == [120, 240]


def test_a_return_is_a_reason_to_look_only_when_it_is_the_last_a_company_accepts() -> None:
    half = ints(1, 6, fill=threshold(0.5))
    static = licence_abroad(approve_below=half, clock_median=ints(1, 6, fill=10 * DAY), allow_relocation=False)
    returned = ints(1, 3, 64, fill=1 << 61)
    for accepted, day in ((3, 210), (1, 130)):
        draws = tiny_draws(
            static, [(0, 16, ABROAD)], licence_outcome=returned, value_usd=0, recovery_ppm=1_000_000, largest_filings=accepted
        )
        log = play(static, draws)
        assert days(log, Mark.FILED) == [120, 160, 200][:accepted]
        assert days(log, Mark.CANCELLED) == [day]
        assert rows(log, mark=Mark.CANCELLED)["rule"].tolist() == [LICENCE]


# ------------------------------------------------------------------ what relocation means


def test_a_site_given_up_stops_and_a_successor_is_planned_the_same_day_elsewhere() -> None:
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), clock_median=ints(1, 6, fill=5 * DAY))
    draws = tiny_draws(static, [(0, 16, ABROAD)])
    draws.appeal[0] = [0, 2, 1]  # next it likes the market with the slow grid
    draws.median[Timed.INTERCONNECTION, ABROAD] = 400 * DAY
    draws = replace(draws, filing_lead=290 * DAY)
    log = play(static, draws)
    assert days(log, Mark.DENIED) == [125]
    halted = rows(log, mark=Mark.HALTED, hop=0)
    assert sorted((Stage(r["stage"]).name, r["tick"] / DAY) for r in halted) == [("CONSTRUCTION", 125), ("INTERCONNECTION", 125)]
    left = rows(log, mark=Mark.RELOCATED)[0]
    assert (left["tick"] / DAY, left["rule"], left["pool"], left["quantity"]) == (125, LICENCE, ABROAD, 256)
    assert days(log, Mark.END, stage=Stage.CLEARANCE) == [125]
    planned = rows(log, mark=Mark.PLANNED, hop=1)[0]
    assert (planned["tick"] / DAY, planned["pool"], planned["quantity"]) == (125, ELSEWHERE, 256)
    assert days(log, Mark.ONLINE, hop=1) == [125 + 20 + 300 + REST]
    assert days(log, Mark.SHELL_READY, hop=0) == []


def test_a_lineage_never_goes_back_to_a_country_it_has_left_and_stops_after_its_last_hop() -> None:
    static = tiny_static(
        needs_licence=ints(1, 1, 3, 1, fill=1), rule=ints(1, 1, 3, 1, fill=1), posture=ints(1, 1, 3, 1, fill=1),
        approve_below=ints(1, 6), deny_above=ints(1, 6),
    )  # fmt: skip
    for largest, planned in ((4, [1, 2, 0]), (1, [1, 2]), (0, [1])):
        draws = tiny_draws(static, [(0, 1, ABROAD)], largest_hop=largest, shell_usd_per_mw=ints(3), let_after=200 * DAY)
        draws.appeal[0] = [1, 3, 2]
        log = play(static, draws)
        assert rows(log, mark=Mark.PLANNED)["pool"].tolist()[: len(planned)] == planned
        assert len(rows(log, mark=Mark.PLANNED)) == len(planned)
        assert len(rows(log, mark=Mark.RELOCATED)) == len(planned) - 1


def test_a_relocation_carries_only_what_has_not_been_shipped() -> None:
    # Two phases; the first is licensed and shipped, the second's application, filed on day 210, is denied on day 300.
    static = licence_abroad(approve_below=ints(1, 6, fill=threshold(0.5)), deny_above=ints(1, 6, fill=threshold(0.5)))
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 1] = DENY
    draws = in_phases(tiny_draws(static, [(0, 16, ABROAD)], licence_outcome=outcome), 0, [4, 12], shell=[0, 60])
    log = play(static, draws)
    assert days(log, Mark.SHIPPED, hop=0) == [210]
    assert days(log, Mark.RELOCATED) == [300]
    assert amounts(log, Mark.RELOCATED) == [12 * 16]
    assert amounts(log, Mark.PLANNED) == [16 * 16, 12 * 16]
    assert [(int(r["hop"]), int(r["phase"]), int(r["quantity"])) for r in rows(log, mark=Mark.ONLINE)] == [
        (0, 0, 64),
        (1, 0, 192),
    ]
    assert days(log, Mark.FULL, hop=0) == []
    assert amounts(log, Mark.FULL, hop=1) == [192]


def test_a_cleared_phase_that_waits_for_chips_stays_when_another_is_given_up() -> None:
    # The first phase is licensed and ready on day 210, but chips come only in 2025; the second is denied on day 300.
    static = licence_abroad(approve_below=ints(1, 6, fill=threshold(0.5)), deny_above=ints(1, 6, fill=threshold(0.5)))
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 1] = DENY
    draws = tiny_draws(static, [(0, 16, ABROAD)], licence_outcome=outcome)
    draws.deliveries[:12] = 0
    log = play(static, in_phases(draws, 0, [4, 12], shell=[0, 60]))
    assert days(log, Mark.RELOCATED) == [300]
    assert amounts(log, Mark.RELOCATED) == [12 * 16]
    assert days(log, Mark.SHIPPED, hop=0) == [366]


def test_a_licence_drawn_on_by_a_phase_that_is_given_up_goes_back_to_the_company() -> None:
    # Licensed on day 210 for a site whose power, expected on day 110, is a shell's time late on day 281; it is worth nothing. The
    # next one draws on its licence.
    static = licence_abroad()
    patience = np.array([0, EVER])
    draws = tiny_draws(
        static,
        [(0, 16, ABROAD), (200, 16, ABROAD)],
        patience_power=patience,
        value_usd=0,
        recovery_ppm=1_000_000,
        filing_lead=60 * DAY,
    )
    spread = draws.spread.copy()
    spread[0, Timed.INTERCONNECTION] = 5 * FACTOR_ONE  # it expects power on day 110, and looks again each day after
    log = play(static, replace(draws, spread=spread))
    assert days(log, Mark.CLEARED, root=0) == [210]
    assert days(log, Mark.CANCELLED, root=0) == [110 + 171]
    assert days(log, Mark.FILED) == [120]
    assert days(log, Mark.CLEARED, root=1) == [320]


# ------------------------------------------------------------------ other chips


def two_vendors(second_h100e_ppm: int, **changes: Any) -> tuple[Static, Draws]:
    """A second vendor's chip is free abroad, and comes for a site at home too; the planned one is denied there."""
    needs = ints(1, 1, 3, 2)
    needs[0, 0, ABROAD, 0] = 1
    static = tiny_static(
        accelerators=("planned", "other"), vendors=("maker", "second"), vendor_of=np.array([0, 1]), tpp=ints(2, fill=16_000),
        counted_tpp=ints(2, fill=16_000), h100e_ppm=np.array([1_000_000, second_h100e_ppm]), watts=ints(2, fill=1_000),
        shipping_generation=np.array([[0] * 48, [1] * 48]), needs_licence=needs, rule=needs, posture=needs,
        lpp_rule=ints(1, 1, 3, 2, fill=-1), uveu_rule=ints(1, 1, 3, 2, fill=-1), nveu_rule=ints(1, 1, 3, 2, fill=-1),
        tariff_covers=ints(1, 2), **A_QUARTER,
    )  # fmt: skip
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD] = DENY
    draws = tiny_draws(
        static, [(0, 16, ABROAD), (0, 400, HOME)], vendor=np.array([0, 1]), deliveries=ints(48, 1, 2, fill=20_000), commitment_months=2,
        opening_stock=ints(1, 2), under_way=ints(1, 2), fleet_chips=ints(1, 3, 2), price_usd=ints(2, fill=30_000),
        classification=ints(1, 2), licence_outcome=outcome, **changes,
    )  # fmt: skip
    return static, draws


def test_chips_that_need_no_licence_take_the_place_of_those_that_were_denied() -> None:
    log = play(*two_vendors(1_000_000))
    assert days(log, Mark.SWITCHED, root=0) == [210]
    assert rows(log, mark=Mark.SWITCHED)["pool"].tolist() == [1]
    assert days(log, Mark.CLEARED, root=0) == [210]
    assert rows(log, mark=Mark.SHIPPED, root=0)["rule"].tolist() == [FREE]
    assert rows(log, mark=Mark.CHIPS_TAKEN, root=0)["pool"].tolist() == [1]


def test_much_weaker_chips_are_not_worth_it() -> None:
    # Waiting earns a quarter of the gain from day 330; at a fifth of the compute the other chips earn less, at three tenths more.
    assert days(play(*two_vendors(200_000, largest_hop=0)), Mark.SWITCHED) == []
    assert days(play(*two_vendors(300_000, largest_hop=0)), Mark.SWITCHED) == [210]


def test_a_phase_that_stands_in_line_when_its_project_changes_chips_joins_the_other_line() -> None:
    # Free until day 200 and in line for chips that never come; then a licence is needed and denied on day 290.
    static, draws = two_vendors(1_000_000)
    free = replace(static, **{name: ints(1, 1, 3, 2) for name in ("needs_licence", "rule", "posture")})
    later = {name: getattr(static, name)[0] for name in ("needs_licence", "rule", "posture")}
    draws.deliveries[:, 0, 0] = 0
    log = play(by_law(free, (200, later)), draws)
    assert days(log, Mark.START, stage=Stage.CHIPS, root=0) == [180]
    assert days(log, Mark.SWITCHED) == [290]
    assert days(log, Mark.SHIPPED, root=0) != []
    assert days(log, Mark.START, stage=Stage.CHIPS, root=0) == [180]
    assert rows(log, mark=Mark.CHIPS_TAKEN, root=0)["pool"].tolist() == [1]


# ------------------------------------------------------------------ before ground is broken


def test_a_refusal_before_ground_breaking_halts_the_shell_and_a_later_grant_resumes_it() -> None:
    # It asks at site control (day 10), is denied on day 15, files again on day 95 and is licensed on day 100. Permits come on 60.
    static = licence_abroad(**A_QUARTER, clock_median=ints(1, 6, fill=5 * DAY), allow_relocation=False)
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 0] = DENY
    changes: dict[str, Any] = {"filing_lead": 175 * DAY, "licence_outcome": outcome}
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], refile=ints(1, 3, 64, fill=80 * DAY), **changes))
    assert days(log, Mark.DENIED) == [15]
    assert days(log, Mark.END, stage=Stage.PERMITTING) == [60]
    assert days(log, Mark.GROUND_BREAKING) == days(log, Mark.CLEARED) == [100]
    assert days(log, Mark.FIRST_POWER) == [110]  # the grid does not wait
    assert days(log, Mark.ONLINE) == [100 + 120 + REST]
    # It does not ask for crews meanwhile: those for sixteen megawatts are at work elsewhere until day 180.
    crews = ints(9, 1, fill=16 * MW_SIXTEENTHS)
    two = tiny_draws(static, [(0, 16, ABROAD), (-5, 16, HOME)], refile=ints(1, 3, 64, fill=80 * DAY), crew_limit=crews, **changes)
    log = play(static, two)
    assert days(log, Mark.START, stage=Stage.CREWS) == [100]
    assert days(log, Mark.GROUND_BREAKING) == [55, 175]
    # A licence before the permits delays nothing.
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], refile=ints(1, 3, 64, fill=30 * DAY), **changes))
    assert days(log, Mark.GROUND_BREAKING) == [60]


def test_a_project_refused_while_it_waits_for_crews_leaves_them_to_others() -> None:
    # Crews for sixteen megawatts are busy until day 180. The second waits for them from day 60; on 1 April (day 91) it sees that it
    # cannot be ready before day 211, and so asks on day 141. It is denied on day 146 and licensed on day 351; the third, in line
    # behind it, builds from day 180 to 300.
    static = licence_abroad(**A_QUARTER, clock_median=ints(1, 6, fill=5 * DAY), allow_relocation=False)
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 0] = DENY
    draws = tiny_draws(
        static, [(0, 16, HOME), (0, 16, ABROAD), (20, 16, HOME)], crew_limit=ints(9, 1, fill=16 * MW_SIXTEENTHS),
        filing_lead=70 * DAY, licence_outcome=outcome, refile=ints(1, 3, 64, fill=200 * DAY),
    )  # fmt: skip
    log = play(static, draws)
    assert days(log, Mark.DENIED) == [146]
    assert days(log, Mark.CLEARED, root=1) == [351]
    assert [days(log, Mark.GROUND_BREAKING, root=root) for root in range(3)] == [[60], [351], [180]]


def test_a_law_that_turns_worse_is_looked_at_on_its_day() -> None:
    # Case by case becomes a policy of denial on day 50; the company has asked on day 10 and is still building its permits.
    worse = {"posture": abroad(4), "approve_below": np.array([threshold(0.25)] * 4 + [0, 0])}
    static = by_law(licence_abroad(**A_QUARTER), (50, worse))
    draws = tiny_draws(static, [(0, 16, ABROAD)], filing_lead=175 * DAY)
    log = play(static, draws)
    assert days(log, Mark.RELOCATED) == [50]
    assert rows(log, mark=Mark.RELOCATED)["rule"].tolist() == [LICENCE]
    same = by_law(licence_abroad(**A_QUARTER), (50, {"law_changes": np.int64(LICENCE)}))
    assert days(play(same, draws), Mark.RELOCATED) == []


# ------------------------------------------------------------------ patience


def full_pot(**changes: Any) -> Static:
    """Licences for the second country draw on a pot that is empty for ever."""
    return licence_abroad(allocation=np.array([[NO_POT, 0, NO_POT]]), **changes)


def test_patience_runs_from_the_day_the_phase_is_ready() -> None:
    # Ready on day 180, patience 200 days. Waiting to the end of the run costs idle shells for 38 months; nothing is earned.
    static = full_pot(allow_relocation=False)
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], value_usd=0))
    assert days(log, Mark.CANCELLED) == [SHELL + 200]
    assert rows(log, mark=Mark.CANCELLED)["rule"].tolist() == [POT]
    # A valuable one waits, and looks again after another 200 days: idle shells to the horizon are the same bargain.
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], value_usd=5_000))
    assert days(log, Mark.CANCELLED) == []


def test_patience_counts_from_ready_whatever_was_cleared_in_between() -> None:
    # Cleared as free and in line for chips that come on 1 November; from day 200 on a licence is needed that is only returned.
    static = by_law(tiny_static(approve_below=ints(1, 6), allow_relocation=False), (200, LICENSED))
    deliveries = ints(48, 1, 1)
    deliveries[10] = 1_000
    changes: dict[str, Any] = {"largest_filings": 64, "value_usd": 0, "recovery_ppm": 1_000_000}
    log = play(static, tiny_draws(static, [(0, 1, ABROAD)], deliveries=deliveries, **changes))
    assert days(log, Mark.FILED)[:1] == [200]
    assert days(log, Mark.CHIPS_GIVEN_BACK) == [305]
    assert days(log, Mark.CANCELLED) == [SHELL + 200]
    assert days(log, Mark.HALTED) == []
    log = play(static, tiny_draws(static, [(0, 1, ABROAD)], deliveries=ints(48, 1, 1), **changes))
    assert days(log, Mark.CANCELLED) == days(log, Mark.HALTED, stage=Stage.CHIPS) == [SHELL + 200]  # it still stood in line


def test_a_company_that_looks_every_day_does_not_stop_the_clock() -> None:
    static = full_pot(allow_relocation=False)
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], patience=ints(1), patience_power=ints(1), value_usd=5_000))
    assert days(log, Mark.CANCELLED) == []
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], patience=ints(1), value_usd=0))
    assert days(log, Mark.CANCELLED) == [SHELL + 1]


def test_a_finished_shell_that_stays_empty_is_let_to_other_use_and_lost() -> None:
    # It would rather wait; after 150 days without chips it may not, and so is built elsewhere, or given up.
    static = full_pot()
    outlook = ints(2, 1, 1, 3)
    outlook[..., HOME] = outlook[..., ELSEWHERE] = BARRED
    nowhere = full_pot(outlook=outlook)
    for world, mark in ((static, Mark.RELOCATED), (nowhere, Mark.CANCELLED)):
        log = play(world, tiny_draws(world, [(0, 16, ABROAD)], let_after=150 * DAY, patience=ints(1, fill=EVER), value_usd=5_000))
        assert days(log, Mark.LET) == days(log, mark) == [SHELL + 150]
        assert amounts(log, Mark.LET) == [256]
        order = [int(rows(log, mark=m)["order"][0]) for m in (Mark.LET, mark)]
        assert order == sorted(order)


def test_chips_that_come_late_do_not_let_a_cleared_shell_to_others() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(0, 16, HOME)], let_after=50 * DAY, patience=ints(1, fill=10 * DAY), value_usd=0)
    draws.deliveries[:12] = 0
    log = play(static, draws)
    assert days(log, Mark.LET) == []
    assert days(log, Mark.SHIPPED) == [366]


def late_power(**changes: Any) -> Log:
    """Power comes on day 510, four hundred days after the company's date; it looks at its options a hundred days after that."""
    static = tiny_static(allow_relocation=False)
    spread = ints(1, 8, fill=FACTOR_ONE)
    spread[0, Timed.INTERCONNECTION] = 5 * FACTOR_ONE
    draws = tiny_draws(static, [(0, 16, HOME)], spread=spread, patience_power=ints(1, fill=100 * DAY), **changes)
    return play(static, draws)


def test_power_that_does_not_come_is_a_reason_to_leave() -> None:
    # On day 210 it is a hundred days late and taken to be a hundred more: a new shell would take longer. On day 310 six months of an
    # idle shell at a million USD a megawatt cost 96 m and 8.8 m are to be paid; leaving costs 83.6 m. At 0.7 m it is 67.2 m then, and
    # 100.8 m on day 410.
    log = late_power(value_usd=0, idle_shell_usd=10**6)
    assert days(log, Mark.CANCELLED) == [310]
    assert rows(log, mark=Mark.CANCELLED)["rule"].tolist() == [-1]
    assert [(Stage(r["stage"]).name, r["tick"] / DAY) for r in rows(log, mark=Mark.HALTED)] == [("INTERCONNECTION", 310)]
    assert days(late_power(value_usd=0, idle_shell_usd=9 * 10**6), Mark.CANCELLED) == [310]
    assert days(late_power(value_usd=0, idle_shell_usd=700_000), Mark.CANCELLED) == [410]
    assert days(late_power(), Mark.ONLINE) == [510 + REST]


# ------------------------------------------------------------------ what stays when a site is given up in part


def partly_shipped(others: list[tuple[int, int, int]], **changes: Any) -> tuple[Static, Draws]:
    """Phase 0 is licensed; the application for phase 1, sixty days later, is denied on day 300."""
    static = licence_abroad(
        approve_below=ints(1, 6, fill=threshold(0.5)), deny_above=ints(1, 6, fill=threshold(0.5)), allow_relocation=False,
        **{name: changes.pop(name) for name in ("rationed", "bridging_allowed") if name in changes},
    )  # fmt: skip
    outcome = ints(1, 3, 64)
    outcome[0, ABROAD, 1] = DENY
    plans = [(0, 16, ABROAD), *others]
    draws = tiny_draws(static, plans, licence_outcome=outcome, value_usd=0, recovery_ppm=1_000_000, **changes)
    return static, in_phases(draws, 0, [4, 12], shell=[0, 60])


def test_what_runs_on_its_own_generation_keeps_it_until_the_grid_comes() -> None:
    supply = ints(48)
    supply[1] = 16 * MW_SIXTEENTHS
    static, draws = partly_shipped([(200, 16, ELSEWHERE)], bridging_allowed=ints(3, fill=1), bridge_supply=supply)
    draws.median[Timed.INTERCONNECTION, ABROAD] = 400 * DAY
    engine, log = played(static, draws)
    # The next in line for units has them when the grid comes, and not when the rest is given up.
    assert days(log, Mark.START, stage=Stage.BRIDGING) == [31, 410]
    assert days(log, Mark.HALTED, stage=Stage.INTERCONNECTION) == []
    assert days(log, Mark.BRIDGED, root=0) == [91]
    assert days(log, Mark.CANCELLED) == [300]
    assert amounts(log, Mark.CANCELLED) == [12 * 16]
    assert days(log, Mark.ONLINE, root=0) == [210 + REST]
    assert days(log, Mark.END, stage=Stage.INTERCONNECTION, root=0) == [410]
    assert engine.units.free == 16 * MW_SIXTEENTHS
    assert not engine.bridging


def test_chips_shipped_ahead_get_their_site_although_the_rest_is_given_up() -> None:
    # Phase 0 leaves on day 91, ahead of the law of day 150; phase 1 needs a licence, is denied on day 240 and given up. The grid's
    # queue serves the site on day 10 + 400, and phase 0 is installed then.
    tightens = ints(1, 1, 3, fill=EVER)
    tightens[0, 0, ABROAD] = 150 * DAY
    first = tiny_static(
        tightens=tightens, rationed=np.array([0, 1, 0]), approve_below=ints(1, 6), deny_above=ints(1, 6), allow_relocation=False
    )
    static = by_law(first, (150, {**LICENSED, "tightens": ints(1, 3, fill=EVER)}))
    draws = tiny_draws(
        static, [(0, 16, ABROAD)], value_usd=0, recovery_ppm=1_000_000, front_load_ready=300 * DAY, filing_lead=330 * DAY,
        grid_ticks=ints(3, fill=25 * DAY // MW_SIXTEENTHS),
    )  # fmt: skip
    log = play(static, in_phases(draws, 0, [4, 12], shell=[0, 350]))
    assert days(log, Mark.FRONT_LOADED) == [91]
    assert rows(log, mark=Mark.FRONT_LOADED)["phase"].tolist() == [0]
    assert days(log, Mark.CANCELLED) != []
    assert amounts(log, Mark.CANCELLED) == [12 * 16]
    assert days(log, Mark.CANCELLED)[0] < 410
    assert days(log, Mark.READY) == [410]
    assert days(log, Mark.ONLINE) == [410 + 25]


def test_a_site_given_up_sends_its_crews_and_its_units_on() -> None:
    # With units since 1 February it expects power on day 231, asks on day 91 and is denied on day 96: while it is built, and its units
    # do not yet run. The second asked for units on day 20 and has had its permits since day 70.
    supply = ints(48)
    supply[1] = 16 * MW_SIXTEENTHS
    static = licence_abroad(
        approve_below=ints(1, 6), deny_above=ints(1, 6), allow_relocation=False, bridging_allowed=np.array([0, 1, 1]),
        clock_median=ints(1, 6, fill=5 * DAY),
    )  # fmt: skip
    draws = tiny_draws(
        static, [(0, 16, ABROAD), (0, 16, ELSEWHERE)], bridge_supply=supply, bridge_lead=np.array([200, 60]) * DAY,
        crew_limit=ints(9, 1, fill=16 * MW_SIXTEENTHS), filing_lead=140 * DAY,
    )  # fmt: skip
    draws.median[Timed.INTERCONNECTION, ABROAD] = 300 * DAY
    log = play(static, draws)
    assert days(log, Mark.CANCELLED, root=0) == [96]
    stages = sorted(Stage(r["stage"]).name for r in rows(log, mark=Mark.HALTED, root=0))
    assert stages == ["BRIDGING", "CONSTRUCTION", "INTERCONNECTION"]
    assert days(log, Mark.START, stage=Stage.BRIDGING) == [31, 96]
    assert days(log, Mark.GROUND_BREAKING) == [60, 96]


def test_headroom_held_by_a_site_that_is_given_up_is_free_again() -> None:
    static = licence_abroad(uveu_rule=abroad(UVEU, -1)[None], authorisation_applied=ints(1), allow_relocation=False)
    fleet = ints(1, 3, 1)
    fleet[0, HOME] = 20_000
    spread = ints(1, 8, fill=FACTOR_ONE)
    spread[0, Timed.INTERCONNECTION] = 9 * FACTOR_ONE
    engine, log = played(
        static,
        tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=fleet, spread=spread, patience_power=ints(1, fill=50 * DAY), value_usd=0,
                   recovery_ppm=1_000_000),
    )  # fmt: skip
    assert days(log, Mark.CLEARED) == [120]
    assert days(log, Mark.CANCELLED) == [310]  # the first look at which it is later than a new shell would take
    assert days(log, Mark.END, stage=Stage.CLEARANCE) == []  # it was cleared: that spell had ended
    assert engine.regulator.pledged == [[0, 0, 0]]
