"""Scenarios pair by replication: before they part they are one, and what a policy does not touch it does not change."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import (
    ABROAD,
    DAY,
    ELSEWHERE,
    HOME,
    LICENSED,
    UNLICENSED,
    abroad,
    by_law,
    ints,
    licence_abroad,
    play,
    rows,
    tiny_draws,
    tiny_static,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compile import compiled, compiled_as

from simulator.compile import Compiled
from simulator.events import Log, Mark, Stage
from simulator.model import Expansion
from simulator.scenario import load_scenario, scenario_from_text, shipped_scenarios
from simulator.static import Draws, Static
from simulator.units import tick_of

SEED, END = 7, "2027-06-30"
LAW = [name for name in shipped_scenarios() if load_scenario(name).policy.diverges_on and not load_scenario(name).inputs]


@cache
def log_of(name: str, replication: int) -> tuple[Compiled, Log]:
    c = compiled(name, END)
    return c, Expansion(c.static, c.draw(SEED, replication)).run()


def told(c: Compiled, log: Log, before: int) -> list[tuple[Any, ...]]:
    """Rows up to a tick, with provisions by name: two scenarios number them in their own order."""
    rows = log[log["tick"] < before]
    rules = [c.static.provisions[r] if r >= 0 else "" for r in rows["rule"].tolist()]
    others = [rows[name].tolist() for name in ("tick", "root", "hop", "phase", "stage", "mark", "pool", "quantity")]
    return list(zip(*others, rules, strict=True))


# ------------------------------------------------------------------ shipped scenarios


def test_there_are_scenarios_that_change_only_the_law() -> None:
    assert len(LAW) >= 8


@pytest.mark.parametrize("replication", [0, 1, 2])
@pytest.mark.parametrize("name", LAW)
def test_until_it_diverges_a_scenario_is_history_to_the_last_event(name: str, replication: int) -> None:
    (history, ours), (c, theirs) = log_of("history", replication), log_of(name, replication)
    diverges = c.scenario.policy.diverges_on
    assert diverges is not None
    until = tick_of(diverges, c.static.start)
    common = told(history, ours, until)
    # Not every scenario diverges after the start; those that do share years of events.
    assert len(common) > 1000
    assert told(c, theirs, until) == common


@pytest.mark.parametrize("name", ["diffusion-framework", "decoupling", "october-2023-rule", "no-controls"])
def test_after_it_diverges_something_is_different(name: str) -> None:
    (history, ours), (c, theirs) = log_of("history", 0), log_of(name, 0)
    end = c.static.horizon
    assert told(c, theirs, end) != told(history, ours, end)


NULL = """
name: null-policy
title: A change that changes nothing
supposes: The law is enacted again word for word.
extends: history
policy:
  diverges_on: {day}
  regime: history
"""


@pytest.mark.parametrize("day", ["2024-01-01", "2025-01-13", "2027-01-01"])
def test_a_policy_that_changes_nothing_changes_no_bit(day: str) -> None:
    null = compiled_as(scenario_from_text(NULL.format(day=day), sets=[f"end={END}"]))
    for replication in range(2):
        history, ours = log_of("history", replication)
        theirs = Expansion(null.static, null.draw(SEED, replication)).run()
        assert told(null, theirs, null.static.horizon) == told(history, ours, history.static.horizon)
    assert null.static.provisions == history.static.provisions
    assert theirs.tobytes() == ours.tobytes()


def plain(value: Any) -> Any:
    """Arrays as bytes and tables as tuples, however deep, so that they compare."""
    if dataclasses.is_dataclass(value):
        return tuple(plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    return value.tobytes() if isinstance(value, np.ndarray) else value


def test_a_fresh_compilation_gives_the_same_bytes() -> None:
    c, log = log_of("diffusion-framework", 1)
    again = compiled_as(load_scenario("diffusion-framework", sets=[f"end={END}"]))
    for field in dataclasses.fields(Static):
        assert plain(getattr(c.static, field.name)) == plain(getattr(again.static, field.name)), field.name
    assert Expansion(again.static, again.draw(SEED, 1)).run().tobytes() == log.tobytes()


def plan_to_online(c: Compiled, log: Log, tier: int) -> np.ndarray:
    """Days from plan to the first phase online of projects planned from the start on whose first site is in countries of a tier."""
    planned = log[(log["mark"] == Mark.PLANNED) & (log["hop"] == 0) & (log["tick"] >= 0)]
    planned = planned[c.static.tier[c.static.market_country[planned["pool"]]] == tier]
    first: dict[int, int] = {}
    for row in log[(log["mark"] == Mark.ONLINE) & (log["hop"] == 0)]:
        first.setdefault(int(row["root"]), int(row["tick"]))
    begun = dict(zip(planned["root"].tolist(), planned["tick"].tolist(), strict=True))
    return np.array([first[root] - tick for root, tick in begun.items() if root in first]) / DAY


def test_removing_all_licence_rules_hardly_moves_the_durations_of_tier_1() -> None:
    ours, theirs = [], []
    for replication in range(3):
        ours.append(plan_to_online(*log_of("october-2023-rule", replication), tier=1))
        theirs.append(plan_to_online(*log_of("no-controls", replication), tier=1))
    strict, free = np.concatenate(ours), np.concatenate(theirs)
    assert min(len(strict), len(free)) > 250
    assert abs(np.median(strict) - np.median(free)) < 0.03 * np.median(free)


# ------------------------------------------------------------------ small worlds with ample supply

AMPLE = 10**7


def world(review: int = 0, needs: bool = False, **changes: Any) -> Static:
    """Exports to the second country need a licence, if so wished; everything else is free."""
    return (licence_abroad if needs else tiny_static)(**{"clock_median": ints(1, 6, fill=review * DAY), **changes})


def story(log: Log, root: int) -> list[tuple[Any, ...]]:
    """All a project went through, in order; places in the log aside."""
    mine = log[log["root"] == root]
    names = ("tick", "hop", "phase", "stage", "mark", "rule", "pool", "quantity")
    return [tuple(row[n].item() for n in names) for row in mine]


projects = st.lists(
    st.tuples(st.integers(-400, 700), st.integers(1, 200), st.sampled_from([HOME, ABROAD, ELSEWHERE])), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(projects, st.integers(0, 400), st.booleans())
def test_with_ample_supply_a_project_the_policy_does_not_touch_is_the_same_to_the_last_bit(
    plans: list[tuple[int, int, int]], review: int, denied: bool
) -> None:
    free = world()
    limit = ints(1, 6, fill=0 if denied else 1 << 62)
    strict = world(review, needs=True, approve_below=limit, deny_above=limit)
    draws = tiny_draws(free, plans, AMPLE)
    a, b = play(free, draws), play(strict, draws)
    for root, (_, _, market) in enumerate(plans):
        if market != ABROAD:
            assert story(a, root) == story(b, root)
    touched = [root for root, (day, _, market) in enumerate(plans) if market == ABROAD and day > -100]
    assert all(story(a, root) != story(b, root) for root in touched)


def outcome(log: Log, root: int) -> float:
    """Tick at which a project comes online (one ready before the start is in the fleet from then on), or never."""
    online = log[(log["root"] == root) & np.isin(log["mark"], (Mark.ONLINE, Mark.IN_FLEET))]
    return float(online[0]["tick"]) if len(online) else float("inf")


@settings(max_examples=80, deadline=None)
@given(projects, st.integers(0, 300), st.integers(0, 300), st.integers(0, (1 << 62) - 1), st.integers(0, 40))
def test_a_longer_review_never_brings_a_single_project_forward(
    plans: list[tuple[int, int, int]], review: int, longer: int, seed: int, hold: int
) -> None:
    # A single one: several share applications, and a later application may happen to cover more of them.
    common: dict[str, Any] = {
        "allow_relocation": False,
        "approve_below": ints(1, 6, fill=1 << 61),
        "deny_above": ints(1, 6, fill=3 << 60),
    }
    if hold:
        common |= {
            "hold_from": np.array([100 * DAY]),
            "hold_until": np.array([(100 + hold) * DAY]),
            "hold_covers": np.array([[0, 1, 0]]),
        }
    short, long = world(review, True, **common), world(review + longer, True, **common)
    plans = [
        (day, mw, ABROAD if root == 0 else HOME if market == ABROAD else market) for root, (day, mw, market) in enumerate(plans)
    ]
    draws = tiny_draws(short, plans, AMPLE, value_usd=10**5)
    outcomes = np.random.default_rng(seed).integers(0, 1 << 62, draws.licence_outcome.shape)
    draws = dataclasses.replace(draws, licence_outcome=outcomes)
    a, b = play(short, draws), play(long, draws)
    for root in range(len(plans)):
        assert outcome(b, root) >= outcome(a, root)
        if root:
            assert story(a, root) == story(b, root)


@settings(max_examples=60, deadline=None)
@given(projects, st.tuples(st.integers(-400, 700), st.integers(1, 200), st.sampled_from([0, 1, 2])), st.booleans())
def test_one_more_project_changes_no_other_while_supply_is_ample(
    plans: list[tuple[int, int, int]], newcomer: tuple[int, int, int], controlled: bool
) -> None:
    # Where licences are needed a company applies once for all its projects: there the newcomer goes elsewhere.
    if controlled and newcomer[2] == ABROAD:
        newcomer = (*newcomer[:2], ELSEWHERE)
    static = world(90, controlled)
    before = play(static, tiny_draws(static, plans, AMPLE))
    after = play(static, tiny_draws(static, [*plans, newcomer], AMPLE))
    for root in range(len(plans)):
        assert story(before, root) == story(after, root)
    assert len(after) > len(before)


BY_COMPANY = {  # axis of the companies
    0: ["authorisation_applied", "authorisation_median", "authorisation_spread", "authorisation_grant"],
    1: ["needs_licence", "rule", "posture", "lpp_rule", "uveu_rule", "nveu_rule", "tightens", "weights_rule", "weights_admits"],
    2: ["outlook", "outlook_wait"],
}
DRAWN_BY_COMPANY = {
    0: ["refile", "licence_work", "licence_clock", "licence_stop", "licence_stop_length", "licence_outcome", "classification",
        "authorisation_time", "authorisation_outcome", "authorisation_kept", "nveu_time", "nveu_outcome", "opening_stock", "under_way",
        "fleet_chips"],
    1: ["deliveries", "chip_money", "crew_limit"],
}  # fmt: skip


def twice(table: Any, axes: dict[int, list[str]]) -> Any:
    """The same for two companies."""
    return dataclasses.replace(
        table, **{name: np.repeat(getattr(table, name), 2, axis=axis) for axis, names in axes.items() for name in names}
    )


def two_companies(plans: list[tuple[int, int, int]], chips: int, needs: bool = False) -> tuple[Static, Draws]:
    """The same plans twice, once for each of two companies with their own supply."""
    n = len(plans)
    single = world(90, needs)
    static = twice(dataclasses.replace(single, companies=("acme", "bolt")), BY_COMPANY)
    draws = twice(tiny_draws(single, plans + plans, AMPLE, company=np.array([0] * n + [1] * n)), DRAWN_BY_COMPANY)
    draws.deliveries[:, 0] = chips
    return static, draws


@settings(max_examples=30, deadline=None)
@given(projects, st.integers(0, 50_000), st.booleans())
def test_one_companys_shortage_is_not_anothers(plans: list[tuple[int, int, int]], chips: int, needs: bool) -> None:
    n = len(plans)
    (static, scarce), (_, ample) = two_companies(plans, chips, needs), two_companies(plans, AMPLE, needs)
    a, b = play(static, scarce), play(static, ample)
    for root in range(n, 2 * n):
        assert story(a, root) == story(b, root)
    for root in range(n):  # and fewer chips never bring one of its own forward
        assert outcome(a, root) >= outcome(b, root)


def test_two_companies_that_are_alike_live_the_same_lives() -> None:
    plans = [(0, 16, ABROAD), (-200, 4, HOME), (300, 40, ABROAD), (310, 2, ELSEWHERE)]
    static, draws = two_companies(plans, AMPLE, needs=True)
    log = play(static, draws)
    for root in range(len(plans)):
        assert story(log, root) == story(log, root + len(plans))
    assert len(rows(log, mark=Mark.FILED, root=-1)) == len(rows(log, mark=Mark.FILED, root=-2)) > 1


# ------------------------------------------------------------------ placebos


def test_a_provision_nobody_meets_changes_no_event_but_its_own_line() -> None:
    # The law changes on day 100 for a country where nobody builds.
    single = world(60, needs=True)
    needs, rule = LICENSED["needs_licence"].copy(), LICENSED["rule"].copy()
    needs[0, ELSEWHERE], rule[0, ELSEWHERE] = 1, 5
    double = by_law(single, (100, {"needs_licence": needs, "rule": rule}))
    draws = tiny_draws(single, [(0, 16, HOME), (5, 16, ABROAD), (-300, 8, ABROAD)], AMPLE)
    a, b = play(single, draws), play(double, draws)
    assert [story(a, root) for root in range(3)] == [story(b, root) for root in range(3)]
    assert len(b) == len(a) + 1


@settings(max_examples=60, deadline=None)
@given(projects, st.integers(60, 500), st.integers(1, 200), st.integers(0, 400))
def test_a_rule_published_and_withdrawn_before_it_binds_changes_only_timing(
    plans: list[tuple[int, int, int]], published: int, notice: int, front: int
) -> None:
    # Published on a day, to bind `notice` days later, and withdrawn the day before that.
    free = tiny_static()
    tightens = ints(1, 3, fill=free.horizon)
    tightens[0, ABROAD] = (published + notice) * DAY
    calm = {"tightens": ints(1, 3, fill=free.horizon)}
    threatened = by_law(free, (published, {"tightens": tightens}), (published + notice - 1 + (notice == 1), calm))
    draws = tiny_draws(free, plans, AMPLE, front_load_before=front * DAY)
    a, b = play(free, draws), play(threatened, draws)
    for root in range(len(plans)):
        for mark in (Mark.PLANNED, Mark.READY, Mark.SHIPPED, Mark.ONLINE, Mark.FULL, Mark.IN_FLEET):
            was, now = rows(a, root=root, mark=mark), rows(b, root=root, mark=mark)
            for column in ("phase", "rule", "pool", "quantity"):
                assert was[column].tolist() == now[column].tolist() or len(now) > len(was)  # earlier, so perhaps within the run
            earlier = (was["tick"] - now["tick"][: len(was)]) / DAY
            # Chips that are there already save the time of shipping, and no more.
            assert ((earlier >= 0) & (earlier <= {Mark.ONLINE: 5, Mark.FULL: 5, Mark.SHIPPED: 1e9}.get(mark, 0))).all()
    assert not len(rows(b, stage=Stage.LICENCE_REVIEW))


def test_such_a_rule_does_move_something() -> None:
    free = tiny_static()
    tightens = ints(1, 3, fill=free.horizon)
    tightens[0, ABROAD] = 150 * DAY
    threatened = by_law(free, (80, {"tightens": tightens}), (149, {"tightens": ints(1, 3, fill=free.horizon)}))
    draws = tiny_draws(free, [(0, 16, ABROAD)], AMPLE)
    a, b = play(free, draws), play(threatened, draws)
    assert outcome(a, 0) - outcome(b, 0) == 5 * DAY
    assert len(rows(b, mark=Mark.FRONT_LOADED)) == 1


@settings(max_examples=40, deadline=None)
@given(projects, st.integers(0, 600))
def test_extra_chips_abroad_are_missing_elsewhere_when_supply_binds(plans: list[tuple[int, int, int]], chips: int) -> None:
    # Freeing the second country cannot make more chips: what is shipped anywhere by any day is bounded by what was delivered.
    strict = world(300, needs=True, allow_relocation=False)
    free = by_law(strict, (100, UNLICENSED))
    draws = tiny_draws(strict, plans, chips * 100)
    a, b = play(strict, draws), play(free, draws)
    for log in (a, b):
        taken = rows(log, mark=Mark.CHIPS_TAKEN)["quantity"].sum()
        assert taken <= rows(log, mark=Mark.DELIVERED)["quantity"].sum()
    abroad_by, home_by = (
        [log[(log["mark"] == Mark.SHIPPED) & (log["pool"] == pool)] for log in (a, b)] for pool in (ABROAD, HOME)
    )
    for tick in np.arange(200, 1_400, 100) * DAY:
        # Nobody at home is served earlier because somebody abroad is.
        assert (home_by[1]["tick"] <= tick).sum() <= (home_by[0]["tick"] <= tick).sum()
    assert len(abroad_by[1]) >= len(abroad_by[0])


def test_where_supply_binds_a_free_country_takes_what_home_would_have_had() -> None:
    strict = world(600, needs=True, allow_relocation=False)
    free = by_law(strict, (100, {"needs_licence": abroad(0), "posture": abroad(0), "rule": abroad(0)}))
    plans = [(0, 10, ABROAD), (5, 10, HOME)]
    draws = tiny_draws(strict, plans, 1_000, patience=ints(2, fill=1 << 40))
    a, b = play(strict, draws), play(free, draws)
    assert [outcome(b, root) - outcome(a, root) > 0 for root in range(2)] == [False, True]
