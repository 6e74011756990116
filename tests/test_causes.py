"""Why it took so long: causes of every phase-day, months a policy costs, curves by when, and ledgers, by hand and on random worlds."""

from __future__ import annotations

import dataclasses
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
    POT,
    REST,
    SHELL,
    UNLICENSED,
    UVEU,
    by_law,
    in_phases,
    ints,
    licence_abroad,
    play,
    played,
    tiny_draws,
    tiny_static,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.causes import (
    CAUSES,
    GROUP_OF,
    GROUPS,
    NO_BRANCH,
    NOT_JOINED,
    POLICY,
    UNITS,
    Branch,
    Cause,
    End,
    Finished,
    HeldUp,
    Incidence,
    aalen_johansen,
    bridging_ledger,
    cause_table,
    chip_ledger,
    crew_ledger,
    delay_rows,
    footprint_ledger,
    grid_ledger,
    headroom_table,
    held_up,
    incidence,
    ledger_table,
    ledgers,
    months,
    mw_days,
    order_ledger,
    phase_table,
    policy_delay,
    pot_ledger,
    sites,
    survival_table,
    year_edges,
)
from simulator.events import Log, Mark, Stage, to_log
from simulator.static import NO_POT, Draws, Static

WORLDS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DELIVERY = {Cause.SHIPPING: 5, Cause.INSTALLATION: 15, Cause.COMMISSIONING: 10}
AT_HOME = {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 100, Cause.FIT_OUT: 20}
NEVER_APPROVED = {"approve_below": ints(1, 6), "deny_above": ints(1, 6)}
MW = 1_000 * 16_000  # TPP of one megawatt of the tiny world's chips


def explained(static: Static, draws: Draws) -> HeldUp:
    return held_up(static, draws, play(static, draws))


def spent(held: HeldUp, row: int = 0) -> dict[Cause, float]:
    """Days of a phase by cause, without the empty ones."""
    return {cause: held.ticks[row, cause] / DAY for cause in Cause if held.ticks[row, cause]}


def slack(held: HeldUp, row: int = 0) -> list[float]:
    return [float(s) for s in held.slack[row] / DAY]


def written(*events: tuple[Any, ...], root: int = 0) -> Log:
    """A log by hand: (day, stage, mark) or (day, stage, mark, phase), and then by name hop, rule, pool, quantity."""
    found = []
    for day, stage, mark, *more in events:
        named = {"phase": 0, "hop": 0, "rule": -1, "pool": 0, "quantity": 0}
        for entry in more:
            named |= entry if isinstance(entry, dict) else {"phase": entry}
        found.append(
            (round(day * DAY), root, named["hop"], named["phase"], stage, mark, named["rule"], named["pool"], named["quantity"])
        )
    return to_log(found)


def plan(day: float, mw: int = 16, market: int = HOME, **more: int) -> list[tuple[Any, ...]]:
    """A site planned on a day and controlled ten days later, with its request for the grid and its permits begun."""
    return [
        (day, Stage.PROJECT, Mark.PLANNED, {"pool": market, "quantity": mw * 16, **more}),
        (day, Stage.SITE_SELECTION, Mark.START, more),
        (day + 10, Stage.SITE_SELECTION, Mark.END, more),
        (day + 10, Stage.INTERCONNECTION, Mark.START, {"pool": market, **more}),
        (day + 10, Stage.PERMITTING, Mark.START, {"pool": market, **more}),
    ]


def power(day: float, *phases: int) -> list[tuple[Any, ...]]:
    powered = [(day, Stage.INTERCONNECTION, Mark.POWERED, f) for f in phases or (0,)]
    return [(day, Stage.INTERCONNECTION, Mark.END), (day, Stage.INTERCONNECTION, Mark.FIRST_POWER), *powered]


def shell(permits: float, fit_out: float, ready: float) -> list[tuple[Any, ...]]:
    """Construction begins with the permits; fit-out, and the shell of phase 0."""
    return [
        (permits, Stage.PERMITTING, Mark.END), (permits, Stage.CONSTRUCTION, Mark.GROUND_BREAKING),
        (permits, Stage.CONSTRUCTION, Mark.START), (fit_out, Stage.CONSTRUCTION, Mark.END), (fit_out, Stage.FIT_OUT, Mark.START),
        (ready, Stage.FIT_OUT, Mark.END), (ready, Stage.FIT_OUT, Mark.SHELL_READY),
    ]  # fmt: skip


def cleared(day: float, phase: int = 0) -> list[tuple[Any, ...]]:
    return [(day, Stage.CLEARANCE, Mark.START, phase), (day, Stage.CLEARANCE, Mark.CLEARED, phase)]


def delivered(day: float, arrives: float, lit: float, mw: int = 16, phase: int = 0) -> list[tuple[Any, ...]]:
    """Chips gathered and shipped on a day; installed from its arrival on; five days of commissioning."""
    return [
        (day, Stage.CHIPS, Mark.START, phase), (day, Stage.CHIPS, Mark.END, phase), (day, Stage.SHIPPING, Mark.SHIPPED, phase),
        (day, Stage.SHIPPING, Mark.START, phase), (arrives, Stage.SHIPPING, Mark.END, phase),
        *installed(arrives, lit, mw, phase),
    ]  # fmt: skip


def installed(day: float, lit: float, mw: int = 16, phase: int = 0) -> list[tuple[Any, ...]]:
    return [
        (day, Stage.INSTALLATION, Mark.START, phase), (lit - 5, Stage.INSTALLATION, Mark.END, phase),
        (lit - 5, Stage.COMMISSIONING, Mark.START, phase), (lit, Stage.COMMISSIONING, Mark.END, phase),
        (lit, Stage.PROJECT, Mark.ONLINE, phase, {"quantity": mw * 16}),
    ]  # fmt: skip


def read(*parts: list[tuple[Any, ...]], static: Static | None = None, mw: list[int] | None = None) -> HeldUp:
    """A hand-written log of one project, in order of its days."""
    world = static or tiny_static()
    draws = in_phases(tiny_draws(world, [(0, 16, HOME)]), 0, mw or [16])
    events = sorted((event for part in parts for event in part), key=lambda event: event[0])
    return held_up(world, draws, written(*events))


# ------------------------------------------------------------------ what held each phase up


def test_every_cause_has_words_and_one_group() -> None:
    assert set(CAUSES) == set(GROUP_OF) == set(Cause) and len(set(CAUSES.values())) == len(Cause)
    assert sum(map(len, GROUPS.values())) == len(Cause)
    assert set(POLICY) == {*GROUPS["clearance"], Cause.SECURITY, Cause.HALTED} - {Cause.NOT_YET_ASKED}


def test_the_longer_branch_takes_the_days_and_the_others_have_slack() -> None:
    held = explained(static := tiny_static(), tiny_draws(static, [(7, 16, HOME)]))
    assert spent(held) == {**AT_HOME, **DELIVERY}
    assert held.binding.tolist() == [Branch.SHELL]
    assert slack(held) == [SHELL - 110, 0, 60]  # cleared on the day it would have filed, 60 days before the shell
    assert (held.join / DAY).tolist() == [7 + SHELL]


def test_a_slow_grid_takes_the_days_instead() -> None:
    held = explained(static := tiny_static(), tiny_draws(static, [(0, 1, ELSEWHERE)]))
    assert spent(held) == {Cause.SITE_SELECTION: 20, Cause.GRID_CONNECTION: 300, **DELIVERY}
    assert slack(held) == [0, 320 - 190, 60]


def test_branches_that_end_together_count_as_the_first_of_them() -> None:
    static = tiny_static()
    median = tiny_draws(static, [(0, 1, HOME)]).median.copy()
    median[1] = (SHELL - 10) * DAY
    held = explained(static, tiny_draws(static, [(0, 1, HOME)], median=median))
    assert spent(held) == {Cause.SITE_SELECTION: 10, Cause.GRID_CONNECTION: SHELL - 10, **DELIVERY}
    assert slack(held)[:2] == [0, 0]


def test_days_in_line_for_chips_are_days_of_chips() -> None:
    deliveries = ints(48, 1, 1)
    deliveries[10], deliveries[11] = 100_000, 1_000  # 1 November, day 305, and 1 December, day 335
    static = tiny_static()
    held = explained(static, tiny_draws(static, [(0, 100, HOME), (1, 1, HOME)], deliveries=deliveries))
    assert spent(held)[Cause.CHIPS] == 305 - SHELL
    assert spent(held, 1)[Cause.CHIPS] == 335 - SHELL - 1


def test_a_rationed_market_is_a_queue_for_requests_before_the_start_too() -> None:
    static = tiny_static(rationed=np.array([1, 0, 0]))
    per_mw = ints(3, fill=DAY // 16)  # a day a megawatt
    held = explained(static, tiny_draws(static, [(0, 200, HOME), (0, 100, HOME), (-5, 16, HOME)], grid_ticks=per_mw))
    by_root = {int(root): spent(held, i) for i, root in enumerate(held.root)}
    # The third asked on day 5 and is connected on day 21, then the first until 221, then the second until 321.
    assert by_root[0] == {Cause.SITE_SELECTION: 10, Cause.GRID_QUEUE: 211, **DELIVERY}
    assert by_root[1] == {Cause.SITE_SELECTION: 10, Cause.GRID_QUEUE: 311, **DELIVERY}
    median = tiny_draws(static, []).median.copy()
    median[1] = 300 * DAY
    held = explained(static, tiny_draws(static, [(-11, 300, HOME)], grid_ticks=per_mw, median=median))
    assert spent(held) == {Cause.GRID_QUEUE: 299, **DELIVERY}


def test_on_site_generation_that_comes_first_is_what_power_waited_for() -> None:
    # Units of 16 MW reach the companies on 1 March, day 60: 50 days after site control; 200 days later they give power.
    static = tiny_static(bridging_allowed=np.array([0, 0, 1]))
    supply, lead = ints(48), ints(1, fill=200 * DAY)
    supply[2] = 16 * 16
    held = explained(static, tiny_draws(static, [(0, 16, ELSEWHERE)], bridge_supply=supply, bridge_lead=lead))
    assert spent(held) == {Cause.SITE_SELECTION: 20, Cause.BRIDGING_UNITS: 40, Cause.BRIDGING: 200, **DELIVERY}
    late = tiny_draws(static, [(0, 16, ELSEWHERE)], bridge_supply=supply, bridge_lead=2 * lead)
    assert spent(explained(static, late)) == {Cause.SITE_SELECTION: 20, Cause.GRID_CONNECTION: 300, **DELIVERY}


def test_crews_held_by_an_earlier_site_take_the_days_until_it_lets_them_go() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(0, 16, HOME), (20, 16, HOME)], crew_limit=ints(9, 1, fill=16 * 16))
    held = explained(static, draws)
    # The first holds them from day 60 to day 180; the second has its permits on day 80.
    assert spent(held, 1) == {**AT_HOME, Cause.CREWS: 100, **DELIVERY}
    assert held.binding[1] == Branch.SHELL


def test_a_later_phase_waits_for_its_building_or_its_tranche_after_the_days_of_the_site() -> None:
    static = tiny_static()
    draws = in_phases(tiny_draws(static, [(0, 16, HOME)]), 0, [4, 8, 4], shell=[0, 30, 90], power=[0, 120, 130])
    held = explained(static, draws)
    assert held.phase.tolist() == [0, 1, 2]
    assert (held.mw16 / 16).tolist() == [4, 8, 4]
    assert spent(held, 0) == {**AT_HOME, **DELIVERY}
    # Shells on days 180, 210, 270; power on days 110, 230, 240.
    assert spent(held, 1) == {Cause.SITE_SELECTION: 10, Cause.GRID_CONNECTION: 100, Cause.NEXT_TRANCHE: 120, **DELIVERY}
    assert spent(held, 2) == {**AT_HOME, Cause.NEXT_BUILDING: 90, **DELIVERY}
    assert held.binding.tolist() == [Branch.SHELL, Branch.POWER, Branch.SHELL]
    assert slack(held, 1) == [0, 20, 60]
    total = {cause: float(mw_days(held.cube[cause].sum())) for cause in (Cause.NEXT_TRANCHE, Cause.NEXT_BUILDING)}
    assert total == {Cause.NEXT_TRANCHE: 8 * 120, Cause.NEXT_BUILDING: 4 * 90}
    assert int(held.cube.sum()) == (4 * 210 + 8 * 260 + 4 * 300) * DAY * 16


def test_a_licence_that_comes_last_takes_the_days_and_those_before_its_filing_stand_apart() -> None:
    held = explained(static := licence_abroad(), tiny_draws(static, [(0, 16, ABROAD)]))
    # Filed on day 120, decided on day 210; the shell was there on day 180.
    assert spent(held) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 110, Cause.LICENCE_REVIEW: 90, **DELIVERY}
    assert held.binding.tolist() == [Branch.CLEARANCE]
    assert slack(held) == [100, 30, 0]


def test_a_licence_that_comes_first_takes_no_day() -> None:
    held = explained(static := licence_abroad(), tiny_draws(static, [(0, 16, ABROAD)], filing_lead=100 * DAY))
    assert spent(held) == {**AT_HOME, **DELIVERY}
    assert slack(held) == [SHELL - 110, 0, 10]


def test_phases_covered_by_one_application_wait_each_on_its_own_account() -> None:
    static = licence_abroad()
    draws = in_phases(tiny_draws(static, [(0, 16, ABROAD)]), 0, [8, 8], shell=[0, 10])
    held = explained(static, draws)
    # Phase 0 asks on day 120; phase 1 on day 130, while the application for phase 0 is under review: it is filed for on day 210.
    assert spent(held, 0) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 110, Cause.LICENCE_REVIEW: 90, **DELIVERY}
    assert spent(held, 1) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 120, Cause.LICENCE_REVIEW: 80 + 90, **DELIVERY}


def test_the_days_of_a_site_refused_went_to_its_clearance_and_its_successor_begins_afresh() -> None:
    static = licence_abroad(**NEVER_APPROVED, review_median=ints(1, 6, fill=5 * DAY), clock_median=ints(1, 6, fill=5 * DAY))
    draws = in_phases(tiny_draws(static, [(0, 16, ABROAD)]), 0, [8, 8], shell=[0, 300])
    held = explained(static, draws)
    assert held.hop.tolist() == [0, 0, 1, 1]
    assert held.how.tolist() == [End.RELOCATED, End.RELOCATED, End.ONLINE, End.ONLINE]
    refused = {Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 110, Cause.LICENCE_REVIEW: 5}
    assert spent(held, 0) == refused
    assert spent(held, 1) == refused  # it had not asked itself: the clearance of phase 0 ended the site
    assert spent(held, 2) == {**AT_HOME, **DELIVERY}
    assert held.slack[0].tolist() == [NOT_JOINED] * 3


def test_waiting_for_the_countrys_pot_is_allocation() -> None:
    allocation = ints(1, 3, fill=NO_POT)
    allocation[0, ABROAD] = 20 * MW
    held = explained(static := licence_abroad(allocation=allocation), tiny_draws(static, [(0, 16, ABROAD), (200, 16, ABROAD)]))
    assert spent(held, 1) == {
        Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 110, Cause.ALLOCATION: held.ticks[1, Cause.ALLOCATION] / DAY,
    }  # fmt: skip
    assert held.ticks[1, Cause.ALLOCATION] > 60 * DAY


FOR_CLEARANCE = [
    (Stage.FRAMEWORK, Cause.FRAMEWORK), (Stage.CLASSIFICATION, Cause.CLASSIFICATION), (Stage.LICENCE_REVIEW, Cause.LICENCE_REVIEW),
    (Stage.ALLOCATION, Cause.ALLOCATION), (Stage.AUTHORISATION, Cause.AUTHORISATION), (Stage.CLEARANCE, Cause.BETWEEN_FILINGS),
]  # fmt: skip


def test_each_thing_clearance_waits_for_is_its_own_cause() -> None:
    waits = [(100 + 10 * i, stage, Mark.WAITS, {"pool": ABROAD}) for i, (stage, _) in enumerate(FOR_CLEARANCE)]
    held = read(
        plan(0), power(40), shell(60, 80, 90), [(100, Stage.CLEARANCE, Mark.START), *waits, (160, Stage.CLEARANCE, Mark.CLEARED)],
        delivered(160, 165, 180),
    )  # fmt: skip
    assert spent(held) == {
        Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 90, **{cause: 10 for _, cause in FOR_CLEARANCE},
        Cause.SHIPPING: 5, Cause.INSTALLATION: 10, Cause.COMMISSIONING: 5,
    }  # fmt: skip
    assert slack(held) == [120, 70, 0]


@pytest.mark.parametrize(
    ("clearance", "expected"),
    [
        ([], {Cause.PUT_OFF: 40}),
        ([(70, Stage.CLEARANCE, Mark.START), (70, Stage.LICENCE_REVIEW, Mark.WAITS), (90, Stage.CLEARANCE, Mark.CLEARED)],
         {Cause.PUT_OFF: 20, Cause.HALTED: 20}),
    ],
)  # fmt: skip
def test_days_between_permits_and_crews_are_put_off_for_power_or_halted_by_a_refusal(
    clearance: list[tuple[Any, ...]], expected: dict[Cause, float]
) -> None:
    late = [
        (60, Stage.PERMITTING, Mark.END), (100, Stage.CREWS, Mark.START), (130, Stage.CREWS, Mark.END),
        (130, Stage.CONSTRUCTION, Mark.GROUND_BREAKING), (130, Stage.CONSTRUCTION, Mark.START), (200, Stage.FIT_OUT, Mark.START),
        (220, Stage.FIT_OUT, Mark.SHELL_READY),
    ]  # fmt: skip
    held = read(plan(0), power(40), late, clearance or cleared(100), delivered(220, 225, 240))
    assert spent(held) == {
        Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, **expected, Cause.CREWS: 30, Cause.CONSTRUCTION: 70, Cause.FIT_OUT: 20,
        Cause.SHIPPING: 5, Cause.INSTALLATION: 10, Cause.COMMISSIONING: 5,
    }  # fmt: skip


def test_an_unfinished_shell_that_is_put_off_waits_for_power() -> None:
    held = read(plan(0), [(60, Stage.PERMITTING, Mark.END)])
    assert held.binding.tolist() == [Branch.POWER]
    assert set(spent(held)) == {Cause.SITE_SELECTION, Cause.GRID_CONNECTION}


def test_security_acceptance_after_the_join_is_its_own_cause() -> None:
    secured = [(110, Stage.SECURITY, Mark.START), (150, Stage.SECURITY, Mark.END)]
    held = read(plan(0), power(40), shell(60, 90, 110), cleared(80), secured, delivered(150, 155, 170))
    assert spent(held)[Cause.SECURITY] == 40
    assert Cause.CHIPS not in spent(held)
    static = licence_abroad(uveu_rule=ints(1, 1, 3, 1, fill=UVEU), authorisation_applied=ints(1))
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 10_000_000
    draws = tiny_draws(static, [(0, 16, ABROAD)], security=ints(1, fill=200 * DAY), fleet_chips=fleet)
    assert spent(explained(static, draws)) == {**AT_HOME, Cause.SECURITY: 30, **DELIVERY}  # 200 days from site control


def test_a_clearance_lost_before_the_join_and_found_last_takes_the_days_since_it_was_asked_for_anew() -> None:
    again = [
        (50, Stage.CLEARANCE, Mark.START), (50, Stage.CLEARANCE, Mark.CLEARED), (70, Stage.CLEARANCE, Mark.START),
        (70, Stage.LICENCE_REVIEW, Mark.WAITS), (150, Stage.CLEARANCE, Mark.CLEARED),
    ]  # fmt: skip
    held = read(plan(0), power(40), shell(60, 100, 120), again, delivered(150, 155, 170))
    assert spent(held) == {
        Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 10, Cause.LICENCE_REVIEW: 80,
        Cause.SHIPPING: 5, Cause.INSTALLATION: 10, Cause.COMMISSIONING: 5,
    }  # fmt: skip
    assert held.binding.tolist() == [Branch.CLEARANCE] and slack(held) == [110, 30, 0]
    # Found again in time, it takes none.
    held = read(plan(0), power(40), shell(60, 100, 160), again, delivered(160, 165, 180))
    assert Cause.LICENCE_REVIEW not in spent(held) and slack(held) == [120, 0, 10]


@pytest.mark.parametrize(("law", "branch", "join"), [(SHELL, Branch.CLEARANCE, SHELL + 90), (200, Branch.SHELL, SHELL)])
def test_a_second_clearance_counts_every_day_since_it_was_asked_for(law: int, branch: Branch, join: int) -> None:
    # The law asks for a licence on the day the site is ready, or while it waits in line for August's chips, day 213: then the
    # licence comes after the first join.
    deliveries = ints(48, 1, 1)
    deliveries[7] = 16_000
    static = by_law(tiny_static(), (law, LICENSED))
    held = explained(static, tiny_draws(static, [(0, 16, ABROAD)], deliveries=deliveries))
    assert spent(held)[Cause.LICENCE_REVIEW] == 90
    assert (held.binding.tolist(), (held.join / DAY).tolist()) == ([branch], [join])
    assert spent(held) == {**AT_HOME, **({Cause.CHIPS: law - SHELL} if law > SHELL else {}), Cause.LICENCE_REVIEW: 90, **DELIVERY}


def ahead(arrives: float) -> list[tuple[Any, ...]]:
    """Shipped on day 100, ahead of a restriction."""
    return [
        (90, Stage.CHIPS, Mark.START), (100, Stage.CHIPS, Mark.END), (100, Stage.SHIPPING, Mark.SHIPPED),
        (100, Stage.SHIPPING, Mark.FRONT_LOADED), (100, Stage.SHIPPING, Mark.START), (arrives, Stage.SHIPPING, Mark.END),
    ]  # fmt: skip


def test_a_phase_shipped_ahead_waits_for_its_site() -> None:
    held = read(plan(0), power(40), shell(60, 100, 120), cleared(50), ahead(110), installed(120, 135))
    assert spent(held) == {
        Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 40, Cause.FIT_OUT: 20,
        Cause.INSTALLATION: 10, Cause.COMMISSIONING: 5,
    }  # fmt: skip
    assert held.binding.tolist() == [Branch.SHELL] and slack(held) == [80, 0, 70]
    # Chips that arrive after the site is ready take the days since they were gathered.
    held = read(plan(0), power(40), shell(60, 100, 120), cleared(50), ahead(130), installed(130, 145))
    assert spent(held) == {
        Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 30, Cause.CHIPS: 10, Cause.SHIPPING: 30,
        Cause.INSTALLATION: 10, Cause.COMMISSIONING: 5,
    }  # fmt: skip


def test_what_was_shipped_goes_on_when_the_rest_of_the_site_is_given_up() -> None:
    static = tiny_static()
    events = [
        *plan(0), *power(40, 0, 1), *shell(60, 80, 90), *cleared(50), *delivered(90, 95, 120, 8),
        (70, Stage.CLEARANCE, Mark.START, 1), (70, Stage.LICENCE_REVIEW, Mark.WAITS, 1),
        (92, Stage.CLEARANCE, Mark.END, 1), (92, Stage.PROJECT, Mark.RELOCATED, {"rule": LICENCE, "quantity": 8 * 16}),
        *plan(92, 8, ELSEWHERE, hop=1),
    ]  # fmt: skip
    held = read(events, static=static, mw=[8, 8])
    assert held.how.tolist() == [End.ONLINE, End.RELOCATED, End.OPEN]
    assert (held.mw16 / 16).tolist() == [8, 8, 8] and held.hop.tolist() == [0, 0, 1]
    assert (held.end[:2] / DAY).tolist() == [120, 92]
    assert spent(held, 1) == {Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 60, Cause.LICENCE_REVIEW: 22}


def test_a_site_given_up_for_want_of_power_waited_for_power_whatever_its_clearance_was_doing() -> None:
    gone = [(300, Stage.PROJECT, Mark.CANCELLED, {"rule": -1, "quantity": 256})]
    waits = [(50, Stage.CLEARANCE, Mark.START), (50, Stage.LICENCE_REVIEW, Mark.WAITS)]
    held = read(plan(0), shell(60, 80, 90), waits, gone)
    assert held.how.tolist() == [End.CANCELLED] and held.binding.tolist() == [Branch.POWER]
    assert spent(held) == {Cause.SITE_SELECTION: 10, Cause.GRID_CONNECTION: 290}
    # Given up under a provision it was the licence; once cleared, what was still missing of the site.
    lawful = [(300, Stage.PROJECT, Mark.CANCELLED, {"rule": LICENCE, "quantity": 256})]
    assert spent(read(plan(0), shell(60, 80, 90), waits, lawful))[Cause.LICENCE_REVIEW] == 250
    assert spent(read(plan(0), shell(60, 80, 90), cleared(50), lawful)) == {Cause.SITE_SELECTION: 10, Cause.GRID_CONNECTION: 290}


def test_a_successor_that_is_not_what_was_left_is_a_mistake_in_the_log() -> None:
    moved = [(50, Stage.PROJECT, Mark.RELOCATED, {"rule": LICENCE}), *plan(50, 12, ELSEWHERE, hop=1)]
    with pytest.raises(ValueError, match="site 1 of acme-0 is planned with 12 MW, but 16 MW"):
        read(plan(0), moved)


def before_the_start(*plans: tuple[int, int, int], **changes: Any) -> Draws:
    """A running fleet with room for one cluster of 16 MW at home, and chips for one more under way 35 days before the start."""
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 16_000
    chips = {"under_way": ints(1, 1, fill=16_000), "under_way_ticks": 35 * DAY}
    return tiny_draws(tiny_static(), list(plans), **{"fleet_chips": fleet, **chips, **changes})


IN_FLEET, ONLINE_BEFORE, LATE = (-SHELL - REST - 6, 16, HOME), (-SHELL - REST - 5, 16, HOME), (-SHELL - 1, 16, HOME)


def test_days_before_the_start_do_not_count() -> None:
    held = explained(tiny_static(), before_the_start((-100, 16, HOME), LATE, ONLINE_BEFORE, IN_FLEET))
    assert held.root.tolist() == [3, 2, 1, 0]  # in the order they were planned
    # In the fleet; online five days before the start with the chips under way; ready too late for both; built at the start.
    assert held.how.tolist() == [End.IN_FLEET, End.ONLINE, End.ONLINE, End.ONLINE]
    assert (held.end / DAY).tolist() == [0, 0, REST, 110]
    assert spent(held, 0) == spent(held, 1) == {}
    assert spent(held, 2) == DELIVERY  # a day in line before the start, January's chips on it
    assert spent(held, 3) == {Cause.CONSTRUCTION: 60, Cause.FIT_OUT: 20, **DELIVERY}


@pytest.mark.parametrize(
    ("age", "market", "branch", "expected"),
    [
        (5, HOME, NO_BRANCH, {Cause.SITE_SELECTION: 5}),
        (100, HOME, Branch.SHELL, {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 40}),
        (150, HOME, Branch.SHELL, {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 90}),
        (100, ELSEWHERE, Branch.POWER, {Cause.SITE_SELECTION: 20, Cause.GRID_CONNECTION: 80}),
        (250, ELSEWHERE, Branch.POWER, {Cause.SITE_SELECTION: 20, Cause.GRID_CONNECTION: 230}),
        (190, ABROAD, Branch.CLEARANCE, {Cause.SITE_SELECTION: 10, Cause.NOT_YET_ASKED: 110, Cause.LICENCE_REVIEW: 70}),
        (150, ABROAD, Branch.SHELL, {Cause.SITE_SELECTION: 10, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 90}),
    ],
)
def test_an_unfinished_phase_is_held_by_the_branch_still_open_or_expected_last(
    age: int, market: int, branch: int, expected: dict[Cause, float]
) -> None:
    static = licence_abroad()
    end = static.horizon // DAY
    held = explained(static, tiny_draws(static, [(end - age, 16, market)]))
    assert held.how.tolist() == [End.OPEN]
    assert held.binding.tolist() == [branch]
    assert spent(held) == expected


def test_what_is_expected_of_an_unfinished_phase_counts_its_lead_its_tranche_and_its_building() -> None:
    static = tiny_static()
    day = static.horizon // DAY - 100
    draws = tiny_draws(static, [(day, 16, ELSEWHERE)], interconnection_lead=200 * DAY)
    assert spent(explained(static, draws)) == {Cause.SITE_SELECTION: 20, Cause.PERMITTING: 50, Cause.CONSTRUCTION: 30}
    for power, shell, cause in ((300, 0, Cause.GRID_CONNECTION), (300, 250, Cause.CONSTRUCTION)):
        late = in_phases(tiny_draws(static, [(day, 16, HOME)]), 0, [8, 8], shell=[0, shell], power=[0, power])
        assert cause in spent(explained(static, late), 1)


def test_an_unfinished_request_is_expected_after_those_in_line_before_it() -> None:
    static = tiny_static(rationed=np.array([1, 0, 0]))
    day = static.horizon // DAY - 100
    # A day a megawatt: 16 MW alone have power long before their shell, behind 400 MW long after it.
    per_mw = ints(3, fill=DAY // 16)
    alone = explained(static, tiny_draws(static, [(day, 160, HOME)], grid_ticks=per_mw))
    assert alone.binding.tolist() == [Branch.SHELL]
    behind = explained(static, tiny_draws(static, [(day - 1, 400, HOME), (day, 16, HOME)], grid_ticks=per_mw))
    assert behind.binding.tolist() == [Branch.POWER, Branch.POWER]


def test_the_table_splits_days_at_the_year_and_weighs_them_by_megawatts() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(366 - 40, 16, HOME)])  # 2024 is a leap year: 40 days before 1 January 2025
    table = cause_table(static, explained(static, draws))
    assert table.set_index(["cause", "year"])["mw_days"].to_dict() == {
        ("site selection", 2024): 160,
        ("permitting", 2024): 16 * 30,
        ("permitting", 2025): 16 * 20,
        ("construction", 2025): 1600,
        ("fit-out", 2025): 320,
        ("shipping", 2025): 80,
        ("installation", 2025): 240,
        ("commissioning", 2025): 160,
    }
    assert table.groupby("group")["mw_days"].sum().to_dict() == {"site": 160, "shell": 16 * 170, "delivery": 16 * 30}
    assert year_edges(static).tolist() == [0, 366 * DAY, 731 * DAY, 1096 * DAY, 1461 * DAY]


def test_the_phase_table_says_who_where_and_how_in_days() -> None:
    static = licence_abroad()
    draws = tiny_draws(static, [(0, 16, ABROAD), (static.horizon // DAY - 100, 8, HOME)])
    table = phase_table(static, draws, explained(static, draws))
    assert table["project"].tolist() == ["acme-0", "acme-1"]
    assert table["country"].tolist() == ["ARE", "USA"]
    assert table["end"].tolist() == ["online", "open"]
    assert table["binding"].tolist() == ["clearance", "shell"]
    assert table["it_mw"].tolist() == [16, 8]
    assert table["licence review"].tolist() == [90, 0]
    assert table["slack_power_days"].tolist()[0] == 100
    assert table["slack_power_days"].isna().tolist() == [False, True]
    assert table[list(CAUSES.values())].sum(axis=1).tolist() == table["days"].tolist()


# ------------------------------------------------------------------ random worlds


class World:
    """A tiny world, named by its numbers: its tables are too long to be printed."""

    def __init__(self, static: Static, draws: Draws):
        self.static, self.draws = static, draws

    def __repr__(self) -> str:
        plans = zip((self.draws.planned // DAY).tolist(), self.draws.phase_mw16.tolist(), strict=True)
        return f"plans {[(day, [mw16 for mw16 in sizes if mw16]) for day, sizes in plans]}"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A tiny world of a few projects in phases, with scarce power, crews, units and chips, licences, a pot and a change of law."""
    number = st.integers
    several = draw(number(1, 5))
    plans = [(draw(number(-300, 1000)), draw(number(2, 60)), draw(number(0, 2))) for _ in range(several)]
    pot = ints(1, 3, fill=NO_POT)
    pot[0, ABROAD] = draw(st.sampled_from([NO_POT, 0, 20 * MW, 60 * MW]))
    outcome = draw(st.sampled_from([(1 << 62, 1 << 62), (0, 1 << 62), (0, 0), (1 << 61, 3 << 60)]))
    static = tiny_static(
        rationed=np.array(draw(st.sampled_from([[0, 0, 0], [1, 0, 0], [1, 1, 1]]))),
        bridging_allowed=np.array(draw(st.sampled_from([[0, 0, 0], [1, 1, 1]]))),
        allocation=pot, approve_below=ints(1, 6, fill=outcome[0]), deny_above=ints(1, 6, fill=outcome[1]),
        clock_median=ints(1, 6, fill=draw(number(1, 200)) * DAY), deal_tranches=ints(1, fill=draw(number(1, 3))),
        uveu_rule=ints(1, 1, 3, 1, fill=draw(st.sampled_from([-1, UVEU]))), allow_relocation=draw(st.booleans()),
        authorisation_applied=ints(1, fill=draw(number(0, 900)) * DAY), tightens=ints(1, 1, 3, fill=draw(number(1, 1400)) * DAY),
    )  # fmt: skip
    laws = [(draw(number(-200, 700)), LICENSED), (draw(number(701, 1300)), draw(st.sampled_from([LICENSED, UNLICENSED])))]
    static = by_law(static, *laws[: draw(number(0, 2))])
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = draw(st.sampled_from([0, 16_000, 400_000]))
    supply = ints(48)
    supply[:] = draw(number(0, 100))
    draws = tiny_draws(
        static, plans, draw(st.sampled_from([1_000, 8_000, 1_000_000])), fleet_chips=fleet, bridge_supply=supply,
        grid_ticks=ints(3, fill=draw(number(1, 2 * DAY // 16))), grid_backlog=ints(3, fill=draw(number(0, 200)) * DAY),
        grid_works=ints(3, fill=draw(number(0, 200)) * DAY), crew_limit=ints(9, 1, fill=draw(st.sampled_from([30, 400, 1 << 40]))),
        security=ints(several, fill=draw(number(0, 400)) * DAY), patience=ints(several, fill=draw(number(1, 400)) * DAY),
        patience_power=ints(several, fill=draw(number(1, 600)) * DAY), let_after=draw(number(100, 900)) * DAY,
        licence_validity=draw(number(30, 1500)) * DAY, classification=ints(1, 1, fill=draw(number(0, 50)) * DAY),
        bridge_lead=ints(several, fill=draw(number(10, 300)) * DAY), optimism=draw(number(1 << 19, 1 << 20)),
    )  # fmt: skip
    for root in range(several):
        sizes = draw(st.lists(number(1, 30), min_size=1, max_size=4))
        offsets = [sorted([0, *(draw(number(0, 200)) for _ in sizes[1:])]) for _ in range(2)]
        draws = in_phases(draws, root, sizes, shell=offsets[0], power=offsets[1])
    return World(static, draws)


@WORLDS
@given(worlds())
def test_every_day_of_every_phase_has_exactly_one_cause(world: World) -> None:
    static, draws = world.static, world.draws
    log = play(static, draws)
    held = held_up(static, draws, log)
    found = sites(draws, log)
    phases = [(site, f) for site in found for f in range(len(site.sizes))]
    assert [(site.root, site.hop, f, site.sizes[f]) for site, f in phases] == list(
        zip(held.root.tolist(), held.hop.tolist(), held.phase.tolist(), held.mw16.tolist(), strict=True)
    )
    for site in found:  # what is given up is as large as the log says
        if site.given_up is not None:
            assert sum(site.sizes[f] for f in site.left) == site.given_up.quantity
    # The days that must be explained, read off the log one by one.
    for i, (site, f) in enumerate(phases):
        ends = [e.tick for e in site.events if e.phase == f and e.mark in (Mark.ONLINE, Mark.IN_FLEET)]
        if site.given_up is not None and f in site.left:
            assert not ends
            ends = [site.given_up.tick]
        begin = max(site.planned, 0)
        assert (int(held.begin[i]), int(held.end[i])) == (begin, max(min([*ends, static.horizon]), begin))
    assert (held.ticks >= 0).all()
    assert held.ticks.sum(axis=1).tolist() == (held.end - held.begin).tolist()
    assert int(held.cube.sum()) == int(((held.end - held.begin) * held.mw16).sum())
    assert held.cube.sum(axis=(1, 2, 3)).tolist() == (held.ticks * held.mw16[:, None]).sum(axis=0).tolist()


@WORLDS
@given(worlds())
def test_up_to_the_join_all_days_are_the_binding_branchs_and_the_others_were_earlier(world: World) -> None:
    static, draws = world.static, world.draws
    log = play(static, draws)
    held = held_up(static, draws, log)
    groups = {b: list(GROUPS[b.name.lower()]) for b in Branch}
    for i in np.nonzero(held.slack[:, 0] != NOT_JOINED)[0].tolist():
        own = log[(log["root"] == held.root[i]) & (log["hop"] == held.hop[i])]
        mine = own[own["phase"] == held.phase[i]]
        control = int(own["tick"][(own["stage"] == Stage.SITE_SELECTION) & (own["mark"] == Mark.END)][0])
        done = [int(mine["tick"][mine["mark"] == mark][0]) for mark in (Mark.POWERED, Mark.SHELL_READY)]
        assert held.join[i] - held.slack[i, :2] == pytest.approx(done, abs=0)
        assert held.slack[i, held.binding[i]] == 0 and (held.slack[i] >= 0).all()
        shipped_ahead = (mine["mark"] == Mark.FRONT_LOADED).any()
        asked = (mine["stage"] == Stage.CLEARANCE) & (mine["mark"] == Mark.START)
        if shipped_ahead or asked.sum() > 1:
            continue
        before = max(min(int(held.join[i]), int(held.end[i])) - max(control, int(held.begin[i])), 0)
        took = {b: int(held.ticks[i, causes].sum()) for b, causes in groups.items()}
        assert took[Branch(int(held.binding[i]))] == before
        assert sum(took.values()) == before


# ------------------------------------------------------------------ what a policy costs in time


def delays(static: Static, draws: Draws, reference: Static) -> Any:
    return policy_delay(static, draws, play(static, draws), reference, draws, play(reference, draws))


def test_a_licence_costs_thirty_days_of_the_sixteen_megawatts_abroad() -> None:
    reference, static = tiny_static(), licence_abroad()
    draws = tiny_draws(static, [(0, 16, ABROAD), (0, 48, HOME)])
    delay = delays(static, draws, reference)
    assert (delay.ticks / DAY).tolist() == [30, 0]
    assert delay.mw_ticks.tolist() == [30 * DAY * 16 * 16, 0]
    assert delay.finished.tolist() == [Finished.BOTH] * 2
    found = {(r.company, r.tier, r.finished): r for r in delay_rows(static, delay)}
    whole = found["all", "all", "all"]
    assert (whole.lineages, whole.mw, whole.mw_online, whole.mw_online_reference) == (2, 64, 64, 64)
    assert whole.months_mean == pytest.approx(15 / 365.25 * 12)
    assert whole.months_mw_mean == pytest.approx(30 / 4 / 365.25 * 12)
    assert found["acme", "2", "online in both"].months_mean == pytest.approx(30 / 365.25 * 12)
    assert found["acme", "1", "all"].months_mean == 0
    assert ("all", "3", "all") not in found


def test_by_the_first_phase_nothing_may_be_lost_while_later_megawatts_are() -> None:
    # The licence is needed from day 200 on: phase 0 has left on day 180, phase 1 is ready on day 280 and licensed on day 290.
    reference, static = tiny_static(), by_law(tiny_static(), (200, LICENSED))
    draws = in_phases(tiny_draws(static, [(0, 16, ABROAD)]), 0, [4, 12], shell=[0, 100])
    delay = delays(static, draws, reference)
    assert delay.ticks.tolist() == [0]
    assert delay.mw_ticks.tolist() == [30 * DAY * 12 * 16]  # asked for on day 220
    [row] = [r for r in delay_rows(static, delay) if (r.company, r.tier, r.finished) == ("all", "all", "all")]
    assert (row.months_mean, row.months_mw_mean) == (0, pytest.approx(30 * 12 / 16 / 365.25 * 12))


def test_lineages_cut_by_the_horizon_are_counted_apart_with_what_is_seen_of_their_delay() -> None:
    reference, static = tiny_static(), licence_abroad()
    end = static.horizon // DAY
    # Online 1 day before the horizon at home law, 29 days after it with a licence; the last one in neither.
    draws = tiny_draws(static, [(end - SHELL - REST - 1, 16, ABROAD), (end - SHELL, 16, ABROAD), (end, 16, ABROAD)])
    delay = delays(static, draws, reference)
    assert delay.root.tolist() == [0, 1]  # the third is planned on the last instant: outside
    assert (delay.ticks / DAY).tolist() == [1, 0]
    assert delay.finished.tolist() == [Finished.ONLY_REFERENCE, Finished.NEITHER]
    assert (delay.online_mw16.tolist(), delay.reference_mw16.tolist()) == ([0, 0], [16 * 16, 0])
    back = delays(reference, draws, static)
    assert (back.ticks / DAY).tolist() == [-1, 0]
    assert back.finished.tolist() == [Finished.ONLY_SCENARIO, Finished.NEITHER]


def test_a_relocated_lineage_keeps_its_clock_and_its_first_tier() -> None:
    quick = {"review_median": ints(1, 6, fill=5 * DAY), "clock_median": ints(1, 6, fill=5 * DAY)}
    delay = delays(licence_abroad(**NEVER_APPROVED, **quick), tiny_draws(tiny_static(), [(0, 16, ABROAD)]), tiny_static())
    assert (delay.ticks / DAY).tolist() == [125]  # the successor at home begins on day 125
    assert delay.tier.tolist() == [2]


def test_what_is_online_before_the_start_in_the_fleet_or_not_cannot_be_delayed() -> None:
    assert delays(licence_abroad(), before_the_start(IN_FLEET, ONLINE_BEFORE, LATE), tiny_static()).root.tolist() == [2]


def test_runs_of_other_projects_or_other_days_are_refused() -> None:
    static = tiny_static()
    one, two = tiny_draws(static, [(0, 16, HOME)]), tiny_draws(static, [(0, 16, HOME), (1, 16, HOME)])
    log = play(static, one)
    with pytest.raises(ValueError, match="different projects"):
        policy_delay(static, two, log, static, one, log)
    shorter = dataclasses.replace(static, horizon=static.horizon - DAY)
    with pytest.raises(ValueError, match="different days"):
        policy_delay(static, one, log, shorter, one, log)


@WORLDS
@given(worlds())
def test_delay_is_antisymmetric_and_nothing_against_itself(world: World) -> None:
    static, draws = world.static, world.draws
    free, log = tiny_like(static), play(static, draws)
    free_log = play(free, draws)
    there = policy_delay(static, draws, log, free, draws, free_log)
    back = policy_delay(free, draws, free_log, static, draws, log)
    assert there.ticks.tolist() == (-back.ticks).tolist()
    assert there.mw_ticks.tolist() == (-back.mw_ticks).tolist()
    assert (there.finished == Finished.ONLY_REFERENCE).tolist() == (back.finished == Finished.ONLY_SCENARIO).tolist()
    same = policy_delay(static, draws, log, static, draws, log)
    assert not same.ticks.any() and not same.mw_ticks.any()
    # Classes make up the whole, and so do companies.
    found = {(r.company, r.tier, r.finished): r for r in delay_rows(static, there)}
    if found:
        whole = found["all", "all", "all"]
        for chosen in (
            [r for key, r in found.items() if key[:2] == ("all", "all") and key[2] != "all"],
            [r for key, r in found.items() if key[0] != "all" and key[1:] == ("all", "all")],
            [r for key, r in found.items() if key[0] == "all" and key[1] != "all" and key[2] == "all"],
        ):
            assert sum(r.lineages for r in chosen) == whole.lineages
            assert sum(r.lineages * r.months_mean for r in chosen) == pytest.approx(whole.lineages * whole.months_mean, abs=1e-6)
            assert sum(r.mw * r.months_mw_mean for r in chosen) == pytest.approx(whole.mw * whole.months_mw_mean, abs=1e-6)


def tiny_like(static: Static) -> Static:
    """The same world without a licence anywhere."""
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
    assert (found.last(), found.last("cancelled")) == (pytest.approx(0.5), pytest.approx(0.2))


def test_a_weight_counts_as_so_many() -> None:
    entry, leave, kind, weight = np.array([-1, 2, -1]), np.array([2, 4, 6]), np.array([1, 2, 1]), np.array([3, 1, 2])
    heavy = aalen_johansen(entry, leave, kind, ("online", "cancelled"), weight)
    many = aalen_johansen(*(np.repeat(x, weight) for x in (entry, leave, kind)), ("online", "cancelled"))
    assert heavy.at_risk.tolist() == many.at_risk.tolist()
    for kind_of_end in ("online", "cancelled"):
        assert heavy.curves[kind_of_end].tolist() == many.curves[kind_of_end].tolist()


def test_who_enters_late_is_at_risk_only_from_then_on() -> None:
    # Ends at 2, 4, 6; the second is seen only from day 3 on (last unseen tick just before).
    entry = np.array([-1, 3 * DAY - 1, -1])
    found = aalen_johansen(entry, np.array([2, 4, 6]) * DAY, np.array([1, 1, 1]), ("online",))
    assert found.at_risk.tolist() == [2, 2, 1]
    assert found.curves["online"].tolist() == pytest.approx([1 / 2, 3 / 4, 1])


def test_a_lineage_that_moves_has_not_ended_but_its_first_site_has() -> None:
    quick = {"review_median": ints(1, 6, fill=5 * DAY), "clock_median": ints(1, 6, fill=5 * DAY)}
    static = licence_abroad(**NEVER_APPROVED, **quick)
    draws = tiny_draws(static, [(0, 16, ABROAD), (0, 16, HOME)])
    log = play(static, draws)
    lineages = incidence(static, draws, log)
    assert lineages.size == 2
    assert lineages.months.tolist() == months(np.array([210, 125 + 210]) * DAY).tolist()
    assert lineages.curves["online"].tolist() == [0.5, 1]
    found = incidence(static, draws, log, "sites")
    assert found.size == 3
    assert found.months.tolist() == months(np.array([125, 210]) * DAY).tolist()
    assert found.curves["relocated"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert found.curves["online"].tolist() == pytest.approx([0, 2 / 3])


def test_the_first_phase_the_last_and_every_megawatt_have_their_own_curves() -> None:
    static = tiny_static()
    draws = in_phases(tiny_draws(static, [(0, 16, HOME), (0, 4, HOME)]), 0, [4, 12], shell=[0, 100])
    log = play(static, draws)
    first = incidence(static, draws, log)
    assert first.months.tolist() == months(np.array([210]) * DAY).tolist() and first.curves["online"].tolist() == [1]
    full = incidence(static, draws, log, full=True)
    assert full.months.tolist() == months(np.array([210, 310]) * DAY).tolist() and full.curves["online"].tolist() == [0.5, 1]
    phases = incidence(static, draws, log, "phases")
    assert phases.at_risk.tolist() == [20 * 16, 12 * 16]
    assert phases.curves["online"].tolist() == pytest.approx([8 / 20, 1])
    assert phases.cohort == "phases planned since the start: plan to online, weighted by MW"
    assert "all phases online" in full.cohort


def test_giving_up_the_rest_does_not_end_what_was_shipped() -> None:
    static = tiny_static()
    draws = in_phases(tiny_draws(static, [(0, 16, HOME)]), 0, [8, 8])
    events = [
        *plan(0), *power(40, 0, 1), *shell(60, 80, 90), *cleared(50), *delivered(90, 95, 120, 8),
        (92, Stage.PROJECT, Mark.CANCELLED, {"rule": LICENCE, "quantity": 8 * 16}),
    ]  # fmt: skip
    log = written(*sorted(events, key=lambda event: event[0]))
    assert incidence(static, draws, log).curves["online"].tolist() == [1]
    assert incidence(static, draws, log, full=True).curves["cancelled"].tolist() == [1]
    phases = incidence(static, draws, log, "phases")
    assert (phases.last("online"), phases.last("cancelled")) == (0.5, 0.5)


def test_the_pipeline_counts_from_the_age_at_which_it_is_seen() -> None:
    static = tiny_static()
    draws = before_the_start((-SHELL, 16, HOME), IN_FLEET, (0, 16, ELSEWHERE), ONLINE_BEFORE)
    log = play(static, draws)
    assert incidence(static, draws, log).size == 1
    # The first was 180 days old on day 0 and comes online at 210; the third takes 350; two were online before.
    both = incidence(static, draws, log, pipeline=True)
    assert both.size == 2 and "left-truncated" in both.cohort
    assert both.months.tolist() == months(np.array([210, 350]) * DAY).tolist()
    assert both.at_risk.tolist() == [2, 1]
    assert incidence(static, draws, log, pipeline=True, among=np.array([False, True, True, True])).size == 1


def test_half_of_nobody_is_not_reached() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(static.horizon // DAY - 1, 16, HOME)])
    log = play(static, draws)
    found = incidence(static, draws, log)
    assert (found.size, found.median(), found.at(12), found.last()) == (1, None, 0, 0)
    empty = incidence(static, draws, log, among=np.array([False]))
    assert (empty.size, empty.median()) == (0, None)
    table = survival_table(static, draws, log)
    assert table["months_p50"].isna().all() and table["size"].tolist() == [1] * len(table)
    with pytest.raises(ValueError, match="campuses is no unit; take one of lineages, sites, phases"):
        incidence(static, draws, log, "campuses")


def check_curves(found: Incidence) -> None:
    total = sum(found.curves.values())
    assert (np.diff(found.months) > 0).all()
    assert (found.at_risk > 0).all()
    for curve in found.curves.values():
        assert (np.diff(curve, prepend=0) >= 0).all()
    assert not len(found.months) or float(np.max(total)) <= 1 + 1e-12


@WORLDS
@given(worlds())
def test_the_curve_of_lineages_has_the_median_the_metrics_report(world: World) -> None:
    from simulator.lives import lives
    from simulator.timeline import median_months

    static, draws = world.static, world.draws
    log = play(static, draws)
    found = incidence(static, draws, log)
    for unit in UNITS:
        for pipeline in (False, True):
            check_curves(incidence(static, draws, log, unit, pipeline=pipeline))
    assert survival_table(static, draws, log)["cohort"].is_unique
    reported = median_months(static, draws, lives(static, draws, log))
    assert np.isnan(reported) if found.median() is None else found.median() == reported


# ------------------------------------------------------------------ where scarce things went


def column(table: np.ndarray, pool: int = 0) -> list[int]:
    """The entries of one pool that are not zero."""
    return [int(x) for x in table[:, pool] if x]


def test_each_month_of_the_stock_and_of_what_is_on_order_adds_up() -> None:
    deliveries = ints(48, 1, 1)
    deliveries[4], deliveries[6] = 10_000, 20_000  # May and July
    static = tiny_static()
    draws = tiny_draws(static, [(0, 16, HOME)], opening_stock=ints(1, 1, fill=500), deliveries=deliveries, commitment_months=2)
    log = play(static, draws)
    ledger = chip_ledger(static, draws, log)
    assert ledger.pools == ("acme/chip",)
    assert ledger.ends[:2] == ("2024-01-31", "2024-02-29")
    assert ledger.opening[:6, 0].tolist() == [500] * 5 + [10_500]
    # Of July's 20,000 the site takes 5,500; they complete it on 1 July, and all its chips leave on that day.
    orders = order_ledger(static, log)
    assert np.nonzero(orders.released[:, 0])[0].tolist() == [2, 4]  # two months ahead
    assert column(orders.released) == column(orders.drawn) == [10_000, 5_500]
    assert column(orders.declined) == [14_500]
    assert orders.closing[2:7, 0].tolist() == [10_000, 10_000, 5_500, 5_500, 0]
    assert column(ledger.released) == [10_000, 5_500]
    assert np.nonzero(ledger.drawn[:, 0])[0].tolist() == [6] and column(ledger.drawn) == [16_000]
    assert ledger.closing[-1, 0] == ledger.lowest[0] == 0
    assert not ledger.imbalance().any() and not orders.imbalance().any()


def test_chips_under_way_on_the_start_date_open_the_ledger_less_what_went_to_sites_before() -> None:
    static = tiny_static()
    draws = before_the_start(ONLINE_BEFORE, (0, 1, HOME), fleet_chips=ints(1, 3, 1), under_way=ints(1, 1, fill=20_000),
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
    log = written(
        (40, Stage.CHIPS, Mark.DELIVERED, {"quantity": 100}), root=-1,
    )  # fmt: skip
    more = written(
        (50, Stage.CHIPS, Mark.CHIPS_GIVEN_BACK, {"quantity": 80}), (90, Stage.CHIPS, Mark.CHIPS_TAKEN, {"quantity": 80})
    )
    static = tiny_static()
    ledger = chip_ledger(static, tiny_draws(static, [(0, 16, HOME)]), np.concatenate([log, more]))
    assert column(ledger.given_back) == [80] and column(ledger.drawn) == [80, 80]
    assert ledger.closing[:3, 0].tolist() == [0, 100, 20]  # delivered in February, taken on 31 March


def pot_of(mw: int) -> np.ndarray:
    allocation = ints(1, 3, fill=NO_POT)
    allocation[0, ABROAD] = mw * MW
    return allocation


def importers(tpp: int, quarter: int) -> np.ndarray:
    asked = ints(16, 3)
    asked[quarter, ABROAD] = tpp
    return asked


def test_a_pot_is_released_drawn_and_declined() -> None:
    static = licence_abroad(allocation=pot_of(25), other_importers=importers(4 * MW, quarter=1))
    held = written(
        (210, Stage.LICENCE_REVIEW, Mark.RETURNED, {"pool": ABROAD, "rule": POT, "quantity": 16 * MW}), root=-1,
    )  # fmt: skip
    log = np.concatenate([play(static, tiny_draws(static, [(0, 16, ABROAD)])), held])
    ledger = pot_ledger(static, log)
    assert ledger.opening[0].tolist() == [0, 25 * MW, 0]  # in force since 2019
    assert column(ledger.drawn_by_others, ABROAD) == [4 * MW]  # 1 April
    assert column(ledger.drawn, ABROAD) == column(ledger.declined, ABROAD) == [16 * MW]
    assert ledger.closing[-1, ABROAD] == ledger.lowest[ABROAD] == 5 * MW
    table = ledger_table(static, ledger)
    assert set(table["pool"]) == {"ARE"}
    july = table[table["date"] == "2024-07-31"].iloc[0]
    # Five megawatts' worth of the chips then shipping is left.
    assert (july["declined"], july["closing_chips"], july["closing_mw"]) == (16 * MW, 5_000, 5)


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
    after = pot_of(second)[0] if second > 0 else ints(3, fill=NO_POT)
    window = ints(3)
    window[ABROAD] = windows[1]
    static = by_law(licence_abroad(allocation=pot_of(first)), (250, {"allocation": after, "allocation_window": window}))
    ledger = pot_ledger(static, play(static, tiny_draws(static, [(0, 16, ABROAD)])))
    assert column(ledger.drawn, ABROAD) == [16 * MW]  # day 210
    assert column(ledger.released, ABROAD) == [x * MW for x in released]
    assert column(ledger.lapsed, ABROAD) == [x * MW for x in lapsed]
    assert ledger.closing[-1, ABROAD] == last * MW
    assert not ledger.imbalance().any()


def test_what_is_exported_while_a_pot_only_counts_goes_back_on_the_day_of_the_authorisation() -> None:
    # Exports count from the beginning, a limit of 40 MW binds from day 250, the company is authorised on day 300.
    counts = ints(3)
    counts[ABROAD] = 1
    start = dataclasses.replace(
        tiny_static(), allocation_counts=counts[None], other_importers=importers(4 * MW, quarter=1), authorisation_applied=ints(1, fill=300 * DAY)
    )  # fmt: skip
    bound = {**LICENSED, "allocation": pot_of(40)[0], "allocation_counts": ints(3), "uveu_rule": ints(1, 3, 1, fill=UVEU)}
    static = by_law(start, (250, bound))
    ledger = pot_ledger(static, play(static, tiny_draws(static, [(0, 16, ABROAD)])))
    assert column(ledger.drawn_by_others, ABROAD) == [4 * MW]  # 1 April
    assert column(ledger.released, ABROAD) == [40 * MW]
    assert column(ledger.drawn, ABROAD) == column(ledger.given_back, ABROAD) == [16 * MW]  # shipped on day 180; 27 October
    assert ledger.closing[[4, 5, 8, 9], ABROAD].tolist() == [-4 * MW, -20 * MW, 20 * MW, 36 * MW]
    assert ledger.lowest[ABROAD] == -20 * MW
    assert not ledger.imbalance().any()


def test_the_queue_of_a_rationed_market_is_what_was_requested_and_not_yet_energised_or_given_up() -> None:
    static = tiny_static(rationed=np.array([1, 0, 0]))
    draws = tiny_draws(static, [(0, 200, HOME), (0, 100, HOME), (40, 50, HOME)], grid_ticks=ints(3, fill=DAY // 16))
    log = play(static, draws)
    gone = written((100, Stage.INTERCONNECTION, Mark.HALTED), (100, Stage.PROJECT, Mark.CANCELLED, {"rule": LICENCE}), root=2)
    of_third = (log["root"] == 2) & (log["tick"] > 100 * DAY)
    log = np.concatenate([log[~of_third & (log["tick"] <= 100 * DAY)], gone, log[~of_third & (log["tick"] > 100 * DAY)]])
    log["order"] = np.arange(len(log))
    ledger = grid_ledger(static, sites(draws, log))
    assert ledger.pools == static.markets
    assert (ledger.released[:2, HOME] / 16).tolist() == [300, 50]  # on days 10 and 50
    assert column(ledger.lapsed) == [50 * 16]
    assert [x / 16 for x in column(ledger.drawn)] == [200, 100]  # on days 210 and 310
    assert (ledger.closing[:12, HOME] / 16).tolist() == [300, 350, 350, 300, 300, 300, 100, 100, 100, 100, 0, 0]
    assert not ledger.imbalance().any() and not ledger.released[:, 1:].any()


def test_crews_are_free_again_building_by_building_and_grow_with_the_year() -> None:
    static = tiny_static()
    limit = ints(9, 1, fill=40 * 16)
    limit[6:] = 60 * 16  # from 2025 on
    draws = in_phases(tiny_draws(static, [(0, 30, HOME), (100, 20, HOME)], crew_limit=limit), 0, [10, 20], shell=[0, 31])
    engine, log = played(static, draws)
    ledger = crew_ledger(static, draws, sites(draws, log))
    # 30 MW on day 60; 10 back on day 180, which is when the 20 of the other begin, though permitted on day 160; 20 back on 211.
    assert [x / 16 for x in column(ledger.drawn)] == [30, 20]
    assert [x / 16 for x in column(ledger.given_back)] == [10, 20, 20]
    assert np.nonzero(ledger.drawn[:, 0])[0].tolist() == [2, 5]
    assert (ledger.closing[:8, 0] / 16).tolist() == [40, 40, 10, 10, 10, 0, 20, 20]
    assert (ledger.opening[12, 0], ledger.released[12, 0]) == (40 * 16, 20 * 16)  # January 2025
    assert ledger.lowest.tolist() == [0] and engine.crews[0].free == ledger.closing[-1, 0]
    assert not crew_ledger(dataclasses.replace(static, allow_crew_limit=False), draws, sites(draws, log)).closing.any()


def test_on_site_units_come_back_when_the_grid_comes() -> None:
    static = tiny_static(bridging_allowed=np.array([0, 0, 1]))
    supply, lead = ints(48), ints(1, fill=100 * DAY)
    supply[0], supply[2] = 8 * 16, 12 * 16
    draws = tiny_draws(static, [(0, 16, ELSEWHERE)], bridge_supply=supply, bridge_lead=lead)
    ledger = bridging_ledger(static, draws, sites(draws, play(static, draws)))
    # Assigned on 1 March; the grid comes on day 320, in November.
    assert (ledger.closing[[0, 1, 2, 9, 10], 0] / 16).tolist() == [8, 8, 4, 4, 20]
    assert [x / 16 for x in column(ledger.drawn)] == [x / 16 for x in column(ledger.given_back)] == [16]
    assert not ledger.imbalance().any()


def test_the_footprint_moves_with_the_chips_and_leaves_what_headroom_the_ratios_allow() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 400_000
    static = licence_abroad(uveu_rule=ints(1, 1, 3, 1, fill=UVEU), authorisation_applied=ints(1, fill=60 * DAY))
    draws = tiny_draws(static, [(0, 16, ABROAD)], fleet_chips=fleet)
    log = play(static, draws)
    ledger = footprint_ledger(static, draws, log)
    assert ledger.pools == ("acme/USA", "acme/ARE", "acme/BRA")
    assert (ledger.closing[-1] / MW).tolist() == [400, 16, 0]  # 16,000 chips came, and went abroad in June
    assert column(ledger.drawn, HOME) == column(ledger.released, ABROAD) == [16 * MW]
    table = headroom_table(static, draws, log)
    assert table["date"].min() == "2024-03-31"  # authorised on 1 March
    last = table[(table["date"] == "2027-12-31")].set_index("country")
    # 7 % of 416 MW abroad is 29.12 MW, of which ARE holds 16.
    assert last.loc["ARE", "headroom_mw"] == pytest.approx(0.07 * 416 - 16)
    assert last.loc["BRA", "headroom_mw"] == pytest.approx(0.07 * 416)
    assert last.loc["ARE", "owned_tpp"] == 16 * MW
    half = dataclasses.replace(static, uveu_us_ppm=ints(1, fill=950_000))
    # 95 % at home of 416 are 395.2: 4.8 may still leave.
    assert headroom_table(half, draws, log)["headroom_mw"].iloc[-1] == pytest.approx(4.8)


@WORLDS
@given(worlds())
def test_ledgers_end_with_what_the_engine_holds(world: World) -> None:
    static, draws = world.static, world.draws
    engine, log = played(static, draws)
    found = {ledger.name: ledger for ledger in ledgers(static, draws, log)}
    for ledger in found.values():
        assert not ledger.imbalance().any(), ledger.name
    for name in (
        "chips in stock",
        "chips on order",
        "queues for the grid",
        "construction capacity",
        "on-site generation",
        "footprints",
    ):
        assert (found[name].lowest >= 0).all(), name
    chips, orders = found["chips in stock"], found["chips on order"]
    assert orders.drawn.tolist() == chips.released.tolist()
    held = np.zeros((len(static.companies), len(static.accelerators)), dtype=np.int64)
    for (k, _), queue in engine.queues.items():
        for stock in (queue.stock, *(claim.taken for _, claim in queue.line)):
            for a, n in stock.items():
                held[k, a] += n
    assert chips.closing[-1].tolist() == held.reshape(-1).tolist()
    assert found["construction capacity"].closing[-1].tolist() == [crews.free for crews in engine.crews]
    assert found["on-site generation"].closing[-1].tolist() == [engine.units.free]
    assert found["footprints"].closing[-1].tolist() == np.array(engine.regulator.owned).reshape(-1).tolist()

    pots = found["allocations"]
    last = int(np.searchsorted(static.law_ticks, static.horizon)) - 1
    for c, pot in enumerate(engine.regulator.pots):
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

    short = ["end=2026-12-31"]
    free, framework = compile_all([load_scenario(n, sets=short) for n in ("no-controls", "diffusion-framework")], load_world())
    draws = free.draw(1, 0)
    static = framework.static
    logs = [play_real(c.static, draws) for c in (free, framework)]
    held = held_up(static, draws, logs[1])
    assert (held.ticks.sum(axis=1) == held.end - held.begin).all()
    assert int(held.cube.sum()) == int(((held.end - held.begin) * held.mw16).sum())
    table = cause_table(static, held)
    assert table["mw_days"].sum() == pytest.approx(float(mw_days(held.cube.sum())))
    assert set(table["year"]) == {2024, 2025, 2026}
    without = held_up(free.static, draws, logs[0])
    assert not without.ticks[:, list(POLICY)].any()
    assert held.ticks[:, list(POLICY)].any()
    delay = policy_delay(static, draws, logs[1], free.static, draws, logs[0])
    assert delay.ticks.any() and delay.mw_ticks.any()
    assert delay_rows(static, delay)[0].lineages == len(delay.root)
    for c, log in zip((free, framework), logs, strict=True):
        for ledger in ledgers(c.static, draws, log):
            assert not ledger.imbalance().any(), ledger.name
            assert ledger.name == "allocations" or (ledger.lowest >= 0).all(), ledger.name


def play_real(static: Static, draws: Draws) -> Log:
    from simulator.model import Expansion

    return Expansion(static, draws).run()
