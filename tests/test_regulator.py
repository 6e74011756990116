"""The authority, day by day: filing, queue and clock, holds, pots, exceptions, authorisations, deals, changes of law."""

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
    LPP,
    NVEU,
    POT,
    SHELL,
    UNLICENSED,
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
    waited_for,
)

from simulator.draws import TABLE_POINTS
from simulator.events import Log, Mark, Stage
from simulator.static import NO_POT, Draws, Posture, Static, Timed
from simulator.units import FACTOR_ONE, threshold

MW = 1_000 * 16_000  # TPP of one megawatt of the tiny world's chips
ASKS = SHELL - 60  # day on which a project planned on day 0 asks: two months before it expects to be ready
EVER = 1 << 40
HALF = 1 << 61  # a uniform number in the middle


def licence(**changes: Any) -> tuple[Static, Draws]:
    """One 16 MW cluster in a country for which a licence is needed; changes of the draws."""
    static = licence_abroad()
    return static, tiny_draws(static, [(0, 16, ABROAD)], **changes)


# ------------------------------------------------------------------ filing


def test_a_licence_is_filed_ahead_and_delays_only_by_what_is_left() -> None:
    log = play(*licence())
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == days(log, Mark.FILED) == [ASKS]
    assert waited_for(log) == [(ASKS, Stage.LICENCE_REVIEW, LICENCE)]
    assert amounts(log, Mark.QUEUED) == [0]
    assert days(log, Mark.STOPPED) == []
    assert days(log, Mark.APPROVED) == days(log, Mark.CLEARED) == days(log, Mark.SHIPPED) == [ASKS + 90]
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE]
    assert amounts(log, Mark.APPROVED) == [16 * MW]
    assert rows(log, mark=Mark.FILED)["root"].tolist() == [-1]  # the company's


def test_a_company_files_by_its_own_optimistic_date() -> None:
    log = play(*licence(optimism=FACTOR_ONE // 2))
    assert days(log, Mark.FILED) == [10 + 85 - 60]  # it expects to be ready 170 / 2 days after site control
    assert days(log, Mark.SHIPPED) == [SHELL]


def test_one_application_at_a_time_asks_for_whoever_waits_then() -> None:
    static, draws = licence()
    log = play(static, in_phases(draws, 0, [4, 8, 4], shell=[0, 30, 90]))
    # The phases ask on days 120, 150 and 210; the first application is decided on day 210, the second asks for the two others.
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == [120, 150, 210]
    assert days(log, Mark.FILED) == [120, 210]
    assert amounts(log, Mark.FILED) == [4 * MW, 12 * MW]
    assert rows(log, mark=Mark.FILED)["phase"].tolist() == [0, 1]  # the number of the filing
    assert days(log, Mark.CLEARED) == [210, 300, 300]
    assert days(log, Mark.SHIPPED) == [210, 300, 300]


def test_an_application_covers_the_forecast_of_all_projects_in_the_country_and_they_draw_on_it() -> None:
    static = licence_abroad()
    draws = tiny_draws(static, [(0, 16, ABROAD), (150, 2, ABROAD), (600, 1, ABROAD)], licence_forecast=150 * DAY)
    log = play(static, in_phases(draws, 0, [4, 12], shell=[0, 100]))
    # Filed on day 120 for phases expected by day 330 and known: both of the first project. The second, known since day 160, asks
    # on day 270 and needs its own application; its forecast is not there yet in the first.
    assert days(log, Mark.FILED) == [120, 270, 720]
    assert amounts(log, Mark.FILED) == [16 * MW, 2 * MW, 1 * MW]
    assert days(log, Mark.CLEARED, root=0) == [210, 220]  # the second phase asks on day 220 and is licensed already
    assert days(log, Mark.APPROVED) == [210, 360, 810]


def test_the_forecast_leaves_out_what_passes_by_itself() -> None:
    static = by_law(tiny_static(), (100, LICENSED))
    plans = [(0, 1, ABROAD), (40, 2, ABROAD), (40, 4, HOME)]
    log = play(static, tiny_draws(static, plans, licence_forecast=365 * DAY))
    assert amounts(log, Mark.FILED) == [3 * MW]


def test_each_country_has_its_own_application() -> None:
    needs = ints(1, 1, 3, 1, fill=1)
    static = tiny_static(needs_licence=needs, rule=needs, posture=needs)
    log = play(static, tiny_draws(static, [(0, 1, ABROAD), (0, 2, HOME)]))
    assert days(log, Mark.FILED) == [120, 120]
    assert sorted(rows(log, mark=Mark.FILED)["pool"].tolist()) == [HOME, ABROAD]


# ------------------------------------------------------------------ queue, clock, stops, holds


def case_of_others(day: float, work_days: float, static: Static, draws: Draws) -> tuple[Static, Draws]:
    """One application of somebody else, on a day, at one a day on average since a year before the start."""
    static = replace(static, background_a_year=ints(1, fill=1461))
    gap = np.array([int((365.25 + day) * FACTOR_ONE)])
    return static, replace(
        draws, office_factor=FACTOR_ONE // 4, office_gaps=gap, office_work=np.array([int(work_days * DAY)], dtype=np.int64)
    )


def test_an_application_waits_for_a_reviewer_then_is_worked_on_then_goes_round_the_agencies() -> None:
    static, draws = case_of_others(119, 30, *licence(licence_work=ints(1, 3, 64, fill=10 * DAY)))
    log = play(static, draws)
    assert days(log, Mark.FILED) == [120]
    assert amounts(log, Mark.QUEUED)[0] / DAY == pytest.approx(29, abs=1e-4)
    assert days(log, Mark.APPROVED)[0] == pytest.approx(120 + 29 + 10 + 90, abs=1e-4)
    two = play(static, replace(draws, reviewers=2))
    assert amounts(two, Mark.QUEUED) == [0]
    assert days(two, Mark.APPROVED) == [120 + 10 + 90]
    off = play(replace(static, allow_review_queue=False), draws)
    assert amounts(off, Mark.QUEUED) == [0]


def test_a_companys_own_applications_queue_behind_each_other() -> None:
    needs = ints(1, 1, 3, 1, fill=1)
    static = tiny_static(needs_licence=needs, rule=needs, posture=needs)
    work = ints(1, 3, 64, fill=10 * DAY)
    plans = [(0, 1, ABROAD), (0, 2, HOME)]
    log = play(static, tiny_draws(static, plans, licence_work=work))
    assert amounts(log, Mark.QUEUED) == [0, 10 * DAY]
    assert days(log, Mark.APPROVED) == [120 + 10 + 90, 120 + 20 + 90]
    log = play(static, tiny_draws(static, plans, licence_work=work, reviewers=2))
    assert amounts(log, Mark.QUEUED) == [0, 0]


def test_the_clock_has_its_own_luck_and_may_be_stopped_once() -> None:
    rising = np.arange(TABLE_POINTS) * (FACTOR_ONE // 512)  # 0 to twice the median
    static, draws = licence()
    static = replace(static, clock_spread=rising, stop_spread=rising, stop_below=ints(1, 6, fill=HALF))
    draws = replace(draws, licence_clock=ints(1, 3, 64, fill=3 << 60), licence_stop_length=ints(1, 3, 64, fill=1 << 60))
    log = play(static, draws)  # its draw of a stop is in the middle: not below
    assert days(log, Mark.APPROVED) == [120 + 135]
    assert days(log, Mark.STOPPED) == []
    log = play(static, replace(draws, licence_stop=ints(1, 3, 64, fill=HALF - 1)))
    assert amounts(log, Mark.STOPPED) == [20 * DAY]
    assert days(log, Mark.APPROVED) == [120 + 135 + 20]


@pytest.mark.parametrize(
    ("spans", "decided"),
    [
        ([(150, 230)], 230),
        ([(130, 200)], 210),  # over before the decision is due: nothing is lost
        ([(150, 210)], 210),
        ([(210, 211)], 211),
        ([(200, 215), (212, 240)], 240),
        ([(200, 230), (205, 215)], 230),
    ],
)
def test_a_decision_due_in_a_hold_is_given_at_its_end(spans: list[tuple[int, int]], decided: int) -> None:
    static, draws = licence()
    held = replace(
        static,
        hold_from=np.array([a * DAY for a, _ in spans]),
        hold_until=np.array([b * DAY for _, b in spans]),
        hold_covers=np.array([[0, 1, 0]] * len(spans)),
    )
    assert days(play(held, draws), Mark.APPROVED) == [decided]
    elsewhere = replace(held, hold_covers=np.array([[1, 0, 1]] * len(spans)))
    assert days(play(elsewhere, draws), Mark.APPROVED) == [210]


# ------------------------------------------------------------------ outcomes


def outcomes(*numbers: int) -> np.ndarray:
    """Decision draws of the first filings for the second country."""
    table = ints(1, 3, 64)
    table[0, ABROAD, : len(numbers)] = numbers
    return table


SHARES = {
    "approve_below": ints(1, 6, fill=threshold(0.5)),
    "deny_above": ints(1, 6, fill=threshold(0.75)),
    "allow_relocation": False,
}
DENY, RETURN, APPROVE = 3 << 60, HALF, HALF - 1


def test_below_one_limit_approved_from_the_other_on_denied_and_between_returned() -> None:
    static = licence_abroad(**SHARES)
    for outcome, mark in ((APPROVE, Mark.APPROVED), (RETURN, Mark.RETURNED), (DENY - 1, Mark.RETURNED), (DENY, Mark.DENIED)):
        log = play(static, tiny_draws(static, [(0, 16, ABROAD)], licence_outcome=outcomes(outcome)))
        assert days(log, mark)[:1] == [210]
        decided = log[np.isin(log["mark"], (Mark.APPROVED, Mark.DENIED, Mark.RETURNED))]
        assert decided[0]["mark"] == mark
        assert decided[0]["rule"] == LICENCE
        assert decided[0]["quantity"] == 16 * MW


def test_it_is_filed_again_after_the_stated_time_and_meanwhile_nothing_is_under_review() -> None:
    static = licence_abroad(**SHARES)
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], licence_outcome=outcomes(DENY, RETURN)))
    assert days(log, Mark.FILED) == [120, 240, 360]
    assert days(log, Mark.DENIED) == [210]
    assert days(log, Mark.RETURNED) == [330]
    assert days(log, Mark.APPROVED) == [450]
    assert waited_for(log) == [
        (120, Stage.LICENCE_REVIEW, LICENCE), (210, Stage.CLEARANCE, LICENCE), (240, Stage.LICENCE_REVIEW, LICENCE),
        (330, Stage.CLEARANCE, LICENCE), (360, Stage.LICENCE_REVIEW, LICENCE),
    ]  # fmt: skip


def test_after_the_most_filings_of_a_run_a_company_asks_no_more() -> None:
    static = licence_abroad(clock_median=ints(1, 6), **SHARES)
    draws = tiny_draws(static, [(0, 16, ABROAD)], refile=ints(1, 3, 64, fill=DAY), licence_outcome=ints(1, 3, 64, fill=RETURN))
    log = play(static, draws)
    assert days(log, Mark.FILED) == [120 + n for n in range(64)]
    assert waited_for(log)[-1] == (120 + 63, Stage.CLEARANCE, LICENCE)


def test_the_decision_follows_the_review_policy_of_its_day() -> None:
    static = licence_abroad(allow_relocation=False)
    later = {"approve_below": ints(6), "deny_above": ints(6)}
    for day, mark in ((210, Mark.DENIED), (211, Mark.APPROVED)):
        log = play(strict := by_law(static, (day, later)), tiny_draws(strict, [(0, 16, ABROAD)]))
        assert days(log, mark)[:1] == [210]


# ------------------------------------------------------------------ validity


def test_a_licence_that_has_run_out_by_the_day_the_site_is_ready_is_asked_for_again() -> None:
    # It asks 300 days before day 410; the licence of day 200 is good for 100 days.
    static, draws = licence(filing_lead=300 * DAY, licence_validity=100 * DAY)
    draws.median[Timed.INTERCONNECTION, ABROAD] = 400 * DAY
    log = play(static, draws)
    assert days(log, Mark.FILED) == [110, 410]
    assert days(log, Mark.CLEARED) == [200, 500]
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == [110, 410]
    assert days(log, Mark.LAPSED) == [410]  # the draw goes back, and is worth nothing any more
    assert amounts(log, Mark.LAPSED) == [16 * MW]
    assert days(log, Mark.SHIPPED) == [500]


@pytest.mark.parametrize(("validity", "shipped"), [(210, 410), (209, 500)])
def test_the_last_day_of_a_licence_counts(validity: int, shipped: int) -> None:
    static, draws = licence(filing_lead=300 * DAY, licence_validity=validity * DAY)
    draws.median[Timed.INTERCONNECTION, ABROAD] = 400 * DAY
    assert days(play(static, draws), Mark.SHIPPED) == [shipped]


def test_what_was_asked_for_ahead_and_not_drawn_on_lapses_on_its_day() -> None:
    # Filed on day 120 for both phases and good for 100 days from day 210; the second asks on day 420.
    static, draws = licence(licence_forecast=400 * DAY, licence_validity=100 * DAY)
    log = play(static, in_phases(draws, 0, [4, 12], shell=[0, 300]))
    assert days(log, Mark.LAPSED) == [pytest.approx(310, abs=1e-5)]
    assert amounts(log, Mark.LAPSED) == [12 * MW]
    assert amounts(log, Mark.FILED) == [16 * MW, 12 * MW]
    assert days(log, Mark.FILED) == [120, 420]


def granted(day: int, mw: int) -> dict[str, np.ndarray]:
    """A dated real grant to the company for the second country."""
    return {
        "grant_tick": np.array([day * DAY]), "grant_company": ints(1), "grant_country": ints(1, fill=ABROAD),
        "grant_tpp": np.array([mw * MW]), "grant_rule": ints(1, fill=LICENCE),
    }  # fmt: skip


def test_a_real_grant_is_drawn_on_and_what_is_left_lapses() -> None:
    static = licence_abroad(**granted(50, 20))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], licence_validity=400 * DAY))
    assert days(log, Mark.APPROVED) == [50]
    assert rows(log, mark=Mark.APPROVED)["stage"].tolist() == [Stage.FRAMEWORK]
    assert days(log, Mark.FILED) == []
    assert days(log, Mark.CLEARED) == [ASKS]
    assert days(log, Mark.LAPSED) == [pytest.approx(450, abs=1e-5)]
    assert amounts(log, Mark.LAPSED) == [4 * MW]


def test_a_grant_that_comes_while_an_application_is_pending_clears_at_once() -> None:
    static = licence_abroad(**granted(150, 16))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.FILED) == [120]
    assert days(log, Mark.CLEARED) == [150]


def test_what_a_shipment_does_not_use_of_a_licence_goes_back_to_the_company() -> None:
    # Licensed for 2 MW of the new chip; what is in stock are old ones of a quarter of the TPP: six of eight parts are left, enough
    # for a second site of 1 MW.
    table = ints(1, 1, 3, 2)
    table[0, 0, ABROAD] = 1
    static = tiny_static(
        accelerators=("old", "new"), vendor_of=ints(2), tpp=np.array([4_000, 16_000]), counted_tpp=np.array([4_000, 16_000]),
        h100e_ppm=ints(2, fill=1_000_000), watts=ints(2, fill=1_000), shipping_generation=ints(1, 48, fill=1), needs_licence=table,
        rule=table, posture=table, lpp_rule=ints(1, 1, 3, 2, fill=-1), uveu_rule=ints(1, 1, 3, 2, fill=-1),
        nveu_rule=ints(1, 1, 3, 2, fill=-1), tariff_covers=ints(1, 2),
    )  # fmt: skip
    draws = tiny_draws(
        static, [(0, 2, ABROAD), (100, 1, ABROAD)], deliveries=ints(48, 1, 2), opening_stock=np.array([[5_000, 0]]), under_way=ints(1, 2),
        fleet_chips=ints(1, 3, 2), price_usd=ints(2, fill=30_000), classification=ints(1, 2),
    )  # fmt: skip
    log = play(static, draws)
    assert amounts(log, Mark.SHIPPED) == [2_000 * 4_000, 1_000 * 4_000]
    assert amounts(log, Mark.FILED) == [2 * MW]
    assert days(log, Mark.CLEARED) == [210, 220]  # the second asks on day 220


# ------------------------------------------------------------------ pots


def pot_of(chips: int) -> np.ndarray:
    """(S, C) a pot for that many chips in the second country."""
    allocation = ints(1, 3, fill=NO_POT)
    allocation[0, ABROAD] = chips * 16_000
    return allocation


def test_the_pot_is_consumed_at_grant() -> None:
    static = licence_abroad(allocation=pot_of(20_000))
    engine, log = played(static, tiny_draws(static, [(0, 16, ABROAD)]))
    drawn = rows(log, mark=Mark.DRAWN)
    assert [(r["tick"] / DAY, r["root"], r["stage"], r["rule"], r["pool"], r["quantity"]) for r in drawn] == [
        (ASKS + 90, -1, Stage.ALLOCATION, POT, ABROAD, 16 * MW)
    ]
    assert engine.regulator.pots[ABROAD].used == 16 * MW


@pytest.mark.parametrize(("pot", "shipped"), [(16_001, 16_000), (16_000, 16_000), (15_999, 15_999)])
def test_a_pot_of_exactly_the_quantity_suffices_and_one_chip_less_does_not(pot: int, shipped: int) -> None:
    static = licence_abroad(allocation=pot_of(pot))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert amounts(log, Mark.FILED) == [shipped * 16_000]
    assert amounts(log, Mark.CHIPS_TAKEN) == [shipped]
    assert days(log, Mark.DOWNSIZED) == []  # a chip is less than a sixteenth of a megawatt


def test_whole_phases_first_then_a_part_above_the_smallest_share() -> None:
    static = licence_abroad(allocation=pot_of(25_000))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD), (0, 16, ABROAD)]))
    # One application for the one that fits; then nine of sixteen megawatts are left, more than half.
    assert amounts(log, Mark.FILED) == [16 * MW, 9 * MW]
    assert days(log, Mark.FILED) == [120, 210]
    assert days(log, Mark.DOWNSIZED, root=1) == days(log, Mark.SHIPPED, root=1) == [300]
    assert amounts(log, Mark.DOWNSIZED, root=1) == [7 * 16]
    assert amounts(log, Mark.ONLINE, root=1) == amounts(log, Mark.FULL, root=1) == [9 * 16]


def test_less_than_the_smallest_share_is_not_asked_for() -> None:
    # Patience would end on day 380; the run is short enough to see it wait.
    for share, filed in ((562_500, [16 * MW, 9 * MW]), (562_501, [16 * MW])):
        static = licence_abroad(allocation=pot_of(25_000), allow_relocation=False)
        log = play(static, tiny_draws(static, [(0, 16, ABROAD), (0, 16, ABROAD)], smallest_share_ppm=share))
        assert amounts(log, Mark.FILED) == filed
        assert len(rows(log, mark=Mark.SHIPPED, pool=ABROAD)) == len(filed)
    assert waited_for(log, root=1)[:2] == [(120, Stage.LICENCE_REVIEW, LICENCE), (210, Stage.ALLOCATION, POT)]


def test_a_pot_that_just_holds_the_first_is_asked_for_it() -> None:
    static = licence_abroad(allocation=pot_of(16_000))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD), (0, 4, ABROAD)]))
    assert amounts(log, Mark.FILED) == [16 * MW]


def test_nobody_blocks_a_smaller_later_one() -> None:
    static = licence_abroad(allocation=pot_of(8_000))
    draws = tiny_draws(static, [(0, 16, ABROAD), (5, 3, ABROAD), (6, 4, ABROAD), (7, 2, ABROAD)], smallest_share_ppm=600_000)
    log = play(static, draws)
    # Three and four fit into eight; then two do not fit into the one that is left.
    assert amounts(log, Mark.FILED) == [3 * MW, 4 * MW]
    assert days(log, Mark.SHIPPED, root=1) == [215]
    assert rows(log, mark=Mark.SHIPPED, pool=ABROAD)["root"].tolist() == [1, 2]


def others(**by_quarter: int) -> np.ndarray:
    """What others ask for in the second country at quarter starts (`q2=10_000`: chips)."""
    table = ints(16, 3)
    for name, chips in by_quarter.items():
        table[int(name[1:]), ABROAD] = chips * 16_000
    return table


def test_an_application_for_which_others_were_first_comes_back_and_is_filed_smaller_at_once() -> None:
    # Filed on day 120 for sixteen of twenty; on 1 July (day 182) others take ten.
    static = licence_abroad(allocation=pot_of(20_000), other_importers=others(q2=10_000))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.DRAWN, stage=Stage.OTHER_IMPORTERS) == [182]
    assert days(log, Mark.RETURNED) == [210]
    assert rows(log, mark=Mark.RETURNED)["rule"].tolist() == [POT]
    assert days(log, Mark.FILED) == [120, 210]
    assert amounts(log, Mark.FILED) == [16 * MW, 10 * MW]
    assert amounts(log, Mark.DOWNSIZED) == [6 * 16]


def test_others_take_what_is_left_and_not_more() -> None:
    static = licence_abroad(allocation=pot_of(20_000), other_importers=others(q1=15_000, q2=15_000, q3=1))
    log = play(static, tiny_draws(static, [(0, 16, HOME)]))
    assert days(log, Mark.DRAWN) == [91, 182]
    assert amounts(log, Mark.DRAWN) == [15_000 * 16_000, 5_000 * 16_000]
    assert set(rows(log, mark=Mark.DRAWN)["root"].tolist()) == {-2}


@pytest.mark.parametrize("later", [{"allocation": pot_of(16_000)[0]}, {"allocation_window": np.array([0, 1, 0])}])
def test_when_the_pot_grows_or_is_renewed_whoever_waits_files(later: dict[str, Any]) -> None:
    # Others empty the pot on day 91; from day 300 on it is larger, or a new one.
    size = 16_000 if "allocation_window" in later else 5_000
    taken = others(q1=size, q0=0)
    static = by_law(licence_abroad(allocation=pot_of(size), other_importers=taken), (300, later))
    log = play(static, tiny_draws(static, [(0, 8, ABROAD)]))
    assert waited_for(log)[0] == (120, Stage.ALLOCATION, POT)
    assert days(log, Mark.FILED) == [300]
    assert days(log, Mark.SHIPPED) == [390]


def counting(*earlier: tuple[int, dict[str, Any]], **changes: Any) -> Static:
    """The second country's pot counts from the first day and limits from day 300; licences and the authorisation then."""
    first = tiny_static(allocation_counts=np.array([[0, 1, 0]]), authorisation_applied=ints(1, fill=400 * DAY), **changes)
    limits = {"allocation": np.array([NO_POT, 100_000_000, NO_POT]), "allocation_counts": ints(3)}
    return by_law(first, *earlier, (300, {**LICENSED, "uveu_rule": abroad(UVEU, -1), **limits}))


def at_home(chips: int) -> np.ndarray:
    """(K, C, A) the opening fleet, all at home."""
    fleet = ints(1, 3, 1)
    fleet[0, HOME, 0] = chips
    return fleet


def test_what_counts_early_is_counted_for_all_and_goes_back_when_the_company_is_authorised() -> None:
    taken = ints(16, 3)
    taken[:2, ABROAD] = 5_000_000
    static = counting(other_importers=taken)
    engine, log = played(static, tiny_draws(static, [(0, 1, ABROAD), (10, 2, ABROAD)], fleet_chips=at_home(100_000)))
    drawn = [(int(r["root"]), r["tick"] / DAY, Stage(r["stage"]), int(r["quantity"])) for r in rows(log, mark=Mark.DRAWN)]
    assert drawn == [
        (-2, 0, Stage.OTHER_IMPORTERS, 5_000_000), (-2, 91, Stage.OTHER_IMPORTERS, 5_000_000),
        (0, 180, Stage.ALLOCATION, MW), (1, 190, Stage.ALLOCATION, 2 * MW), (-1, 400, Stage.ALLOCATION, -3 * MW),
    ]  # fmt: skip
    assert engine.regulator.pots[ABROAD].used == 10_000_000


def test_what_counted_early_leaves_less_when_the_pot_begins_to_limit() -> None:
    # Three megawatts leave freely on day 180; of a pot of 6.25 MW 3.25 are left from day 300 on.
    static = counting(authorisation_grant=ints(1))
    log = play(static, tiny_draws(static, [(0, 3, ABROAD), (200, 4, ABROAD)], smallest_share_ppm=1_000_000))
    assert amounts(log, Mark.DRAWN) == [3 * MW]
    assert waited_for(log, root=1)[0] == (320, Stage.ALLOCATION, POT)


def test_only_chips_that_count_are_counted_early() -> None:
    log = play(static := counting(counted_tpp=ints(1)), tiny_draws(static, [(0, 1, ABROAD)]))
    assert len(rows(log, mark=Mark.SHIPPED)) == 1
    assert not len(rows(log, mark=Mark.DRAWN))


def test_what_counted_in_an_earlier_period_does_not_enlarge_the_pot_of_a_later_one() -> None:
    # 1 MW counts in the first period, 2 MW in the second, which the limit is for: only these go back.
    static = counting((200, {"allocation_window": np.array([0, 1, 0])}))
    engine, log = played(static, tiny_draws(static, [(0, 1, ABROAD), (40, 2, ABROAD)], fleet_chips=at_home(1_000_000)))
    assert amounts(log, Mark.DRAWN) == [MW, 2 * MW, -2 * MW]
    assert engine.regulator.pots[ABROAD].used == 0


# ------------------------------------------------------------------ License Exception LPP


def test_lpp_passes_small_shipments_until_the_calendar_years_allowance_is_used() -> None:
    static = licence_abroad(lpp_limit=ints(1, fill=16_000 * 1_500), lpp_rule=ints(1, 1, 3, 1, fill=LPP))
    log = play(static, tiny_draws(static, [(0, 1, ABROAD), (1, 1, ABROAD), (250, 1, ABROAD)]))
    # 1,000 chips under LPP, the next 1,000 do not fit into 1,500; the third asks on day 370 and has the allowance of 2025.
    assert [(int(r["root"]), r["tick"] / DAY, int(r["rule"])) for r in rows(log, mark=Mark.SHIPPED)] == [
        (0, SHELL, LPP), (1, SHELL + 1 + 90, LICENCE), (2, 250 + SHELL, LPP),
    ]  # fmt: skip
    # Asked on day 340 with 2024's allowance used up: the new year lets it pass while the application is still under review.
    log = play(static, tiny_draws(static, [(0, 1, ABROAD), (1, 1, ABROAD), (220, 1, ABROAD)]))
    assert days(log, Mark.FILED)[-1] == 340
    assert days(log, Mark.CLEARED, root=2) == [366]
    assert rows(log, mark=Mark.SHIPPED, root=2)["rule"].tolist() == [LPP]
    off = replace(static, allow_lpp=False)
    assert set(rows(play(off, tiny_draws(off, [(0, 1, ABROAD)])), mark=Mark.SHIPPED)["rule"].tolist()) == {LICENCE}


# ------------------------------------------------------------------ the universal authorisation


def authorised(**changes: Any) -> Static:
    """The second country is open to a company that holds the universal authorisation, from the first day; else by licence."""
    law = {"uveu_rule": abroad(UVEU, -1)[None], "authorisation_applied": ints(1)}
    return licence_abroad(**{**law, **changes})


NO_WAY_ROUND = {"allocation": np.array([[NO_POT, 0, NO_POT]])}
"""No licence takes the authorisation's place."""


@pytest.mark.parametrize(("mw", "rule"), [(14, UVEU), (15, LICENCE)])
def test_the_authorisation_lets_exports_pass_while_seven_per_cent_holds(mw: int, rule: int) -> None:
    # 14 MW abroad of 186 + 14 owned is exactly 7 %: 186,000 chips at home, 14,000 more arrive.
    static = authorised()
    stock = ints(1, 1, fill=mw * 1_000)
    log = play(static, tiny_draws(static, [(0, mw, ABROAD)], 0, fleet_chips=at_home(186_000), opening_stock=stock))
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [rule]
    assert days(log, Mark.APPROVED, stage=Stage.AUTHORISATION) == [0]


@pytest.mark.parametrize(("tier1", "us", "rule"), [(900_000, 900_000, UVEU), (900_001, 0, LICENCE), (0, 900_001, LICENCE)])
def test_enough_must_stay_in_trusted_countries_and_at_home(tier1: int, us: int, rule: int) -> None:
    # Ten of a hundred abroad, ninety at home.
    static = authorised(uveu_single_ppm=ints(1, fill=1_000_000), uveu_tier1_ppm=ints(1, fill=tier1), uveu_us_ppm=ints(1, fill=us))
    stock = ints(1, 1, fill=10_000)
    log = play(static, tiny_draws(static, [(0, 10, ABROAD)], 0, fleet_chips=at_home(90_000), opening_stock=stock))
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [rule]


def test_a_cleared_site_holds_its_headroom_and_the_next_waits_for_the_authorisation() -> None:
    # One country may hold 7 %: 2,000 of 28,572 chips, those asked for included. The company owns 20,000 on day 120, when both are
    # asked about; each alone would fit, both do not. It receives 2,000 a month, for a large site at home.
    static = authorised(**NO_WAY_ROUND)
    plans = [(0, 1, ABROAD), (0, 1, ABROAD), (-11, 40, HOME)]
    log = play(static, tiny_draws(static, plans, 2_000, fleet_chips=at_home(12_000), value_usd=10**6))
    assert waited_for(log, root=1) == [(120, Stage.AUTHORISATION, UVEU)]
    assert days(log, Mark.CLEARED, root=0) == [120]
    # 27,572 owned are enough for the second to be asked about, on 1 August (day 213: 28,000).
    assert days(log, Mark.CLEARED, root=1) == [213]


def test_headroom_held_for_a_site_is_let_go_at_shipment() -> None:
    from simulator.model import Expansion

    static = authorised()
    engine = Expansion(static, tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000)))
    env, held = engine.env, []
    steps = env.run

    def watch(until: int) -> None:
        for day in (119, 121, 179, 181):
            steps(until=day * DAY)
            held.append(engine.regulator.pledged[0][ABROAD])
        steps(until=until)

    env.run = watch
    engine.run()
    assert held == [0, MW, MW, 0]


def test_a_refused_or_lost_authorisation_lets_nothing_pass_and_cleared_sites_ask_again() -> None:
    static = authorised(authorisation_grant=ints(1))
    log = play(static, tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000)))
    assert days(log, Mark.DENIED, stage=Stage.AUTHORISATION) == [0]
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE]
    static = authorised()
    kept = ints(1, fill=150 * DAY)
    engine, log = played(static, tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000), authorisation_kept=kept))
    assert days(log, Mark.REVOKED) == [150]
    assert days(log, Mark.CLEARED) == [120, 240]
    assert rows(log, mark=Mark.CLEARED)["rule"].tolist() == [UVEU, LICENCE]
    assert days(log, Mark.FILED) == [150]
    assert days(log, Mark.SHIPPED) == [240]
    assert engine.regulator.pledged == [[0, 0, 0]]


def test_what_has_left_before_a_revocation_stays() -> None:
    static = authorised()
    kept = ints(1, fill=181 * DAY)
    log = play(static, tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000), authorisation_kept=kept))
    assert days(log, Mark.ONLINE) == [SHELL + 30]
    assert days(log, Mark.FILED) == []


def test_a_site_under_authorisation_ships_once_it_is_accepted_as_secure() -> None:
    static = authorised()
    draws = tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000), security=ints(1, fill=300 * DAY))
    log = play(static, draws)
    assert days(log, Mark.START, stage=Stage.SECURITY) == [SHELL]
    assert days(log, Mark.END, stage=Stage.SECURITY) == days(log, Mark.SHIPPED) == [10 + 300]
    off = replace(static, allow_security=False)
    assert days(play(off, draws), Mark.SHIPPED) == [SHELL]
    early = play(static, replace(draws, security=ints(1, fill=170 * DAY)))  # done while the site was built
    assert days(early, Mark.START, stage=Stage.SECURITY) == []


def test_a_new_site_under_the_universal_authorisation_is_told_of_and_its_standard_counts_from_the_grant() -> None:
    # Site control on day 10, the authorisation on day 100; 60 days for the standard, 120 for the notice.
    static = authorised(authorisation_applied=ints(1, fill=100 * DAY), site_notice=ints(1, fill=120 * DAY))
    draws = tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000), security=ints(1, fill=60 * DAY))
    assert days(play(static, draws), Mark.SHIPPED) == [100 + 120]
    slow = replace(draws, security=ints(1, fill=130 * DAY))
    assert days(play(static, slow), Mark.SHIPPED) == [100 + 130]
    national_only = national(100 * MW, site_notice=ints(1, fill=400 * DAY))
    log = play(national_only, replace(draws, security=ints(1, fill=300 * DAY)))
    assert days(log, Mark.SHIPPED) == [10 + 300]


def test_location_verification_is_asked_of_controlled_chips_only() -> None:
    static = licence_abroad(verification=ints(1, fill=25 * DAY))
    log = play(static, tiny_draws(static, [(0, 1, ABROAD), (0, 1, HOME)]))
    assert days(log, Mark.SHIPPED, root=0) == [210 + 25]
    assert days(log, Mark.SHIPPED, root=1) == [SHELL]


def applied_for(median: int, decided: int) -> Log:
    """A company applies on day 100; it expects the answer after some days and gets it on another day."""
    spread = ints(1, TABLE_POINTS, fill=FACTOR_ONE * (decided - 100) // median)
    static = authorised(
        authorisation_applied=ints(1, fill=100 * DAY),
        authorisation_median=ints(1, fill=median * DAY),
        authorisation_spread=spread,
    )
    return play(static, tiny_draws(static, [(0, 1, ABROAD)], fleet_chips=at_home(20_000)))


def test_who_expects_the_authorisation_before_it_is_needed_files_no_licence() -> None:
    log = applied_for(50, 150)
    assert waited_for(log) == [(120, Stage.AUTHORISATION, UVEU)]
    assert days(log, Mark.CLEARED) == [150]
    assert days(log, Mark.FILED) == []
    # It is late: at the beginning of the month after the site is ready the company files.
    log = applied_for(50, 300)
    assert waited_for(log) == [(120, Stage.AUTHORISATION, UVEU), (182, Stage.LICENCE_REVIEW, LICENCE)]
    assert days(log, Mark.CLEARED) == [182 + 90]


def test_who_expects_it_only_after_it_is_needed_files_a_licence_at_once() -> None:
    log = applied_for(81, 130)  # expected on day 181, the site on day 180; it comes early all the same
    assert waited_for(log) == [(120, Stage.LICENCE_REVIEW, LICENCE)]
    assert days(log, Mark.CLEARED) == [pytest.approx(130, abs=1e-3)]
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [UVEU]


def test_after_a_refusal_the_authorisation_is_applied_for_again() -> None:
    static = authorised(
        authorisation_grant=ints(1, fill=HALF), authorisation_again=30 * DAY, authorisation_median=ints(1, fill=20 * DAY)
    )
    draws = tiny_draws(
        static,
        [(0, 1, ABROAD)],
        fleet_chips=at_home(20_000),
        authorisation_time=ints(1, 3),
        authorisation_outcome=np.array([[HALF, HALF, 0]]),
    )
    log = play(static, draws)
    assert days(log, Mark.APPROVED, stage=Stage.AUTHORISATION) == [20 + 50 + 50]


def test_clearance_lost_during_the_acceptance_is_asked_for_again_before_chips_are_gathered() -> None:
    static = authorised()
    draws = tiny_draws(
        static,
        [(0, 1, ABROAD)],
        fleet_chips=at_home(20_000),
        security=ints(1, fill=300 * DAY),
        authorisation_kept=ints(1, fill=250 * DAY),
    )
    log = play(static, draws)
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == [120, 250]
    assert days(log, Mark.START, stage=Stage.CHIPS) == days(log, Mark.SHIPPED) == [340]


def test_a_company_that_hopes_for_the_authorisation_does_not_fear_the_licence_it_stands_for() -> None:
    # Barred without hope, free with it. It applies on day 0; the answer comes on day 50, and is a grant or a refusal.
    from simulator.static import BARRED

    outlook = ints(2, 1, 1, 3)
    outlook[0, 0, 0, ABROAD] = BARRED
    chosen = {}
    for grant in (0, threshold(1.0)):
        static = authorised(outlook=outlook, authorisation_median=ints(1, fill=50 * DAY), authorisation_grant=ints(1, fill=grant))
        draws = tiny_draws(static, [(10, 1, ABROAD), (49, 1, ABROAD), (51, 1, ABROAD)])
        draws.appeal[:, ELSEWHERE] = 1
        log = play(static, draws)
        chosen[grant] = rows(log, mark=Mark.PLANNED, hop=0)["pool"].tolist()
    assert chosen == {0: [ABROAD, ABROAD, ELSEWHERE], threshold(1.0): [ABROAD] * 3}
    static = authorised(outlook=outlook, allow_uveu=False)
    assert rows(play(static, tiny_draws(static, [(10, 1, ABROAD)])), mark=Mark.PLANNED)["pool"].tolist() == [HOME]


# ------------------------------------------------------------------ national authorisations


def national(cap: int, **changes: Any) -> Static:
    """A company may be authorised for the second country forty days after it has applied, for that much TPP."""
    law = {"nveu_rule": abroad(NVEU, -1)[None], "nveu_cap": ints(1, fill=cap), "nveu_median": ints(1, fill=40 * DAY)}
    return licence_abroad(**{**law, "nveu_grant": ints(1, fill=threshold(1.0)), **changes})


@pytest.mark.parametrize(("short", "rule", "cleared"), [(0, NVEU, 160), (1, LICENCE, 210)])
def test_a_national_authorisation_lets_pass_up_to_its_cap(short: int, rule: int, cleared: int) -> None:
    # Two megawatts stand there already.
    fleet = ints(1, 3, 1)
    fleet[0, ABROAD] = 2_000
    static = national(6 * MW - short)
    log = play(static, tiny_draws(static, [(0, 4, ABROAD)], fleet_chips=fleet))
    assert days(log, Mark.FILED, stage=Stage.NATIONAL_AUTHORISATION) == [120]
    assert days(log, Mark.APPROVED, stage=Stage.NATIONAL_AUTHORISATION) == [160]
    assert days(log, Mark.CLEARED) == [cleared]
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [rule]


def test_what_is_cleared_under_it_counts_before_it_ships() -> None:
    static = national(5 * MW, **NO_WAY_ROUND)
    log = play(static, tiny_draws(static, [(0, 4, ABROAD), (0, 2, ABROAD), (0, 1, ABROAD)]))
    assert rows(log, mark=Mark.CLEARED, pool=ABROAD)["root"].tolist() == [0, 2]


def test_it_is_applied_for_once_refused_or_not_and_not_by_who_hopes_for_the_universal_one() -> None:
    static = national(100 * MW, nveu_grant=ints(1))
    log = play(static, tiny_draws(static, [(0, 4, ABROAD), (100, 4, ABROAD)]))
    assert days(log, Mark.DENIED, stage=Stage.NATIONAL_AUTHORISATION) == [160]
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE, LICENCE]
    for changes in ({"authorisation_applied": ints(1), "authorisation_median": ints(1, fill=500 * DAY)}, {"allow_nveu": False}):
        static = national(100 * MW, **changes)
        log = play(static, tiny_draws(static, [(0, 4, ABROAD)]))
        assert not len(rows(log, stage=Stage.NATIONAL_AUTHORISATION))


def test_the_cap_grows_with_the_law() -> None:
    static = by_law(national(1 * MW, **NO_WAY_ROUND), (250, {"nveu_cap": 4 * MW}))
    log = play(static, tiny_draws(static, [(0, 4, ABROAD)]))
    assert days(log, Mark.CLEARED) == days(log, Mark.SHIPPED) == [250]


# ------------------------------------------------------------------ classification


def test_the_first_filing_that_names_a_chip_waits_for_its_classification() -> None:
    static = licence_abroad()
    draws = tiny_draws(static, [(0, 4, ABROAD), (300, 4, ABROAD)], classification=ints(1, 1, fill=45 * DAY))
    log = play(static, draws)
    assert days(log, Mark.START, stage=Stage.CLASSIFICATION) == [120]
    assert days(log, Mark.END, stage=Stage.CLASSIFICATION) == [165]
    assert waited_for(log) == [(120, Stage.CLASSIFICATION, LICENCE), (165, Stage.LICENCE_REVIEW, LICENCE)]
    assert days(log, Mark.FILED) == [165, 420]
    off = replace(static, allow_classification=False)
    assert days(play(off, draws), Mark.FILED) == [120, 420]


# ------------------------------------------------------------------ deals


def deal(framework: int, tranches: int = 1, acceptance: int = 0, **changes: Any) -> Static:
    """Licences for the second country are given under a deal announced on day 0, whose framework takes that many days."""
    announced, median = ints(3, fill=EVER), ints(3)
    announced[ABROAD], median[ABROAD] = 0, framework * DAY
    return licence_abroad(
        posture=abroad(Posture.DEAL_WINDOW)[None], deal_announced=announced, deal_median=median, deal_tranches=ints(1, fill=tranches),
        deal_acceptance=ints(1, fill=acceptance * DAY), **changes,
    )  # fmt: skip


def test_a_framework_only_permits_filing() -> None:
    static = deal(200)
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.END, stage=Stage.FRAMEWORK) == [200]
    assert waited_for(log) == [(120, Stage.FRAMEWORK, LICENCE), (200, Stage.LICENCE_REVIEW, LICENCE)]
    assert days(log, Mark.FILED) == [200]
    assert days(log, Mark.SHIPPED) == [290]
    early = deal(100)
    assert days(play(early, tiny_draws(early, [(0, 16, ABROAD)])), Mark.FILED) == [120]


def test_a_framework_is_negotiated_as_long_as_its_luck_says() -> None:
    static = deal(200, deal_spread=np.arange(TABLE_POINTS) * (FACTOR_ONE // 512))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)], deal_time=ints(3, fill=3 << 60)))
    assert days(log, Mark.END, stage=Stage.FRAMEWORK) == [300]


def test_a_licence_under_a_deal_comes_in_tranches_a_quarter_apart_and_is_asked_for_once() -> None:
    static = deal(200, tranches=4)
    log = play(static, in_phases(tiny_draws(static, [(0, 16, ABROAD)]), 0, [4, 4, 4, 4]))
    assert amounts(log, Mark.FILED) == [16 * MW]
    assert days(log, Mark.APPROVED) == [290]
    assert days(log, Mark.CLEARED) == [290, 290 + 91, 290 + 182, 290 + 273]
    assert days(log, Mark.SHIPPED) == [290, 381, 472, 563]
    one = play(static, tiny_draws(static, [(0, 16, ABROAD)]))  # a phase waits until enough tranches are there
    assert days(one, Mark.FILED) == [200]
    assert days(one, Mark.CLEARED) == [563]


def test_who_comes_while_tranches_are_outstanding_asks_for_what_they_do_not_hold() -> None:
    static = deal(0, tranches=2)
    log = play(static, tiny_draws(static, [(0, 4, ABROAD), (120, 6, ABROAD)]))
    # 4 MW are granted on day 210, half of them usable. The second asks on day 240: two wait for the first, so six are asked for.
    assert days(log, Mark.FILED) == [120, 240]
    assert amounts(log, Mark.FILED) == [4 * MW, 6 * MW]
    assert days(log, Mark.CLEARED, root=0) == [210 + 91]
    assert days(log, Mark.CLEARED, root=1) == [330 + 91]


def test_a_pot_is_drawn_once_for_all_tranches() -> None:
    static = deal(200, tranches=4, allocation=pot_of(16_000))
    log = play(static, in_phases(tiny_draws(static, [(0, 16, ABROAD)]), 0, [4, 4, 4, 4]))
    assert amounts(log, Mark.DRAWN) == [16 * MW]
    assert len(rows(log, mark=Mark.SHIPPED)) == 4


def test_under_a_deal_each_site_is_accepted_after_the_licence() -> None:
    static = deal(0, acceptance=75)
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.CLEARED) == days(log, Mark.START, stage=Stage.SECURITY) == [210]
    assert days(log, Mark.END, stage=Stage.SECURITY) == days(log, Mark.SHIPPED) == [285]


# ------------------------------------------------------------------ changes of law


def test_a_change_of_law_frees_everyone_waiting_on_that_day() -> None:
    static = by_law(licence_abroad(), (SHELL - 10, UNLICENSED))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.CHANGED) == days(log, Mark.CLEARED) == [SHELL - 10]
    assert days(log, Mark.FILED) == [SHELL - 60]
    assert days(log, Mark.APPROVED) == []
    assert days(log, Mark.SHIPPED) == [SHELL]
    # The application is answered all the same: there is nothing to license.
    assert days(log, Mark.RETURNED) == [SHELL + 30]
    assert rows(log, mark=Mark.RETURNED)["rule"].tolist() == [FREE]


def test_a_cleared_site_is_ruled_on_again_on_the_day_the_law_changes() -> None:
    static = by_law(tiny_static(), (150, LICENSED))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == [120, 150]
    assert days(log, Mark.CLEARED) == [120, 240]
    assert rows(log, mark=Mark.CLEARED)["rule"].tolist() == [FREE, LICENCE]
    assert days(log, Mark.FILED) == [150]
    assert days(log, Mark.START, stage=Stage.CHIPS) == days(log, Mark.SHIPPED) == [240]


def test_a_site_that_does_not_ask_yet_is_not_touched() -> None:
    static = by_law(tiny_static(), (100, LICENSED))
    log = play(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert days(log, Mark.START, stage=Stage.CLEARANCE) == days(log, Mark.FILED) == [120]


def test_chips_go_back_if_the_law_changes_while_they_are_gathered() -> None:
    # Ready on day 180 with 700 of 1,000 chips in stock; the law changes on day 200, the rest comes on 1 August (day 213).
    static = by_law(tiny_static(), (200, LICENSED))
    deliveries = ints(48, 1, 1)
    deliveries[5], deliveries[7] = 700, 300
    log = play(static, tiny_draws(static, [(0, 1, ABROAD)], deliveries=deliveries))
    assert days(log, Mark.CHIPS_GIVEN_BACK) == [213]
    assert amounts(log, Mark.CHIPS_GIVEN_BACK) == [1_000]
    assert days(log, Mark.FILED) == [200]
    assert days(log, Mark.SHIPPED) == [290]


@pytest.mark.parametrize(("law_day", "shipped"), [(SHELL, SHELL + 90), (SHELL + 1, SHELL)])
def test_a_law_that_binds_the_day_after_the_export_does_not_touch_it(law_day: int, shipped: int) -> None:
    static = by_law(tiny_static(), (law_day, LICENSED))
    assert days(play(static, tiny_draws(static, [(0, 16, ABROAD)])), Mark.SHIPPED) == [shipped]


def test_a_licence_survives_a_law_that_grants_none_any_more() -> None:
    strict = {"approve_below": ints(6), "deny_above": ints(6), "posture": abroad(Posture.POLICY_OF_DENIAL)}
    static = by_law(licence_abroad(), (150, strict))
    draws = tiny_draws(static, [(0, 16, ABROAD)], filing_lead=130 * DAY)  # asks on day 50, licensed on day 140
    log = play(static, draws)
    assert days(log, Mark.CLEARED) == [140]
    assert days(log, Mark.SHIPPED) == [SHELL]


def test_a_law_that_frees_the_chips_in_stock_but_not_those_named_lets_nobody_ship_unasked() -> None:
    # From day 190 on the new chip needs a licence, the old one in stock does not. It stood in line with a free clearance and lost
    # it; what is gathered by day 213 goes back, and leaves under the licence.
    needs = ints(1, 3, 2)
    needs[0, ABROAD, 1] = 1
    two = {name: ints(1, 1, 3, 2, fill=-1) for name in ("lpp_rule", "uveu_rule", "nveu_rule")}
    base = tiny_static(
        accelerators=("old", "new"), vendor_of=ints(2), tpp=ints(2, fill=16_000), counted_tpp=ints(2, fill=16_000),
        h100e_ppm=ints(2, fill=1_000_000), watts=ints(2, fill=1_000), shipping_generation=ints(1, 48, fill=1),
        needs_licence=ints(1, 1, 3, 2), rule=ints(1, 1, 3, 2), posture=ints(1, 1, 3, 2), tariff_covers=ints(1, 2), **two,
    )  # fmt: skip
    static = by_law(base, (190, {"needs_licence": needs, "rule": needs, "posture": needs}))
    deliveries = ints(48, 1, 2)
    deliveries[5, 0, 0], deliveries[7, 0, 0] = 700, 300
    draws = tiny_draws(
        static, [(0, 1, ABROAD)], deliveries=deliveries, opening_stock=ints(1, 2), under_way=ints(1, 2), fleet_chips=ints(1, 3, 2),
        price_usd=ints(2, fill=30_000), classification=ints(1, 2),
    )  # fmt: skip
    log = play(static, draws)
    assert days(log, Mark.CLEARED) == [120, 280]
    assert days(log, Mark.CHIPS_GIVEN_BACK) == [213]
    assert days(log, Mark.SHIPPED) == [280]
