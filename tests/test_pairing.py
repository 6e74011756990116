"""Scenarios pair by replication: before they part they are one, and what a policy does not touch it does not change."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compile import compiled, compiled_as

from simulator.compile import Compiled
from simulator.events import Log, Mark
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


# ------------------------------------------------------------------ small worlds with ample supply

AMPLE = 10**7
HOME, ABROAD, ELSEWHERE = 0, 1, 2


def world(review: int = 0, needs: bool = False, **changes: Any) -> Static:
    """Exports to the second country need a licence, if so wished; everything else is free."""
    table = ints(1, 1, 3, 1)
    table[0, 0, ABROAD] = needs
    fixed = {"needs_licence": table, "rule": table, "posture": table, "review_median": ints(1, 6, fill=review * DAY)}
    return tiny_static(**{**fixed, **changes})


def story(log: Log, root: int, *, stop: int | None = None) -> list[tuple[Any, ...]]:
    """All a project went through, in order; places in the log aside."""
    mine = log[log["root"] == root]
    return [tuple(row[n].item() for n in ("tick", "hop", "stage", "mark", "rule", "pool", "quantity")) for row in mine][:stop]


projects = st.lists(
    st.tuples(st.integers(-400, 700), st.integers(1, 200), st.sampled_from([HOME, ABROAD, ELSEWHERE])), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(projects, st.integers(0, 400), st.booleans())
def test_with_ample_supply_a_project_the_policy_does_not_touch_is_the_same_to_the_last_bit(
    plans: list[tuple[int, int, int]], review: int, denied: bool
) -> None:
    free = world()
    strict = world(review, needs=True, approve_below=ints(1, 6, fill=0 if denied else 1 << 62))
    draws = tiny_draws(free, plans, AMPLE)
    a, b = Expansion(free, draws).run(), Expansion(strict, draws).run()
    for root, (_, _, market) in enumerate(plans):
        if market != ABROAD:
            assert story(a, root) == story(b, root)
    assert (a["mark"] == Mark.ONLINE).sum() >= 0


def outcome(log: Log, root: int) -> float:
    """Tick at which a project comes online (one ready before the start is in the fleet from then on), or never."""
    online = log[(log["root"] == root) & np.isin(log["mark"], (Mark.ONLINE, Mark.IN_FLEET))]
    return float(online[0]["tick"]) if len(online) else float("inf")


@settings(max_examples=80, deadline=None)
@given(projects, st.integers(0, 300), st.integers(0, 300), st.integers(0, (1 << 62) - 1), st.integers(0, 40))
def test_a_longer_review_never_brings_a_project_forward(
    plans: list[tuple[int, int, int]], review: int, longer: int, u: int, hold: int
) -> None:
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
    draws = tiny_draws(short, plans, AMPLE)
    rng = np.random.default_rng(u)
    outcomes = rng.integers(0, 1 << 62, draws.licence_outcome.shape)
    draws = dataclasses.replace(draws, licence_outcome=outcomes)
    a, b = Expansion(short, draws).run(), Expansion(long, draws).run()
    for root in range(len(plans)):
        assert outcome(b, root) >= outcome(a, root)


@settings(max_examples=60, deadline=None)
@given(projects, st.tuples(st.integers(-400, 700), st.integers(1, 200), st.sampled_from([0, 1, 2])), st.booleans())
def test_one_more_project_changes_no_other_while_supply_is_ample(
    plans: list[tuple[int, int, int]], newcomer: tuple[int, int, int], controlled: bool
) -> None:
    static = world(90, controlled)
    before = Expansion(static, tiny_draws(static, plans, AMPLE)).run()
    after = Expansion(static, tiny_draws(static, [*plans, newcomer], AMPLE)).run()
    for root in range(len(plans)):
        assert story(before, root) == story(after, root)
    assert len(after) > len(before)


def two_companies(plans: list[tuple[int, int, int]], chips: int) -> tuple[Static, Draws]:
    """The same plans twice, once for each of two companies with their own supply."""
    static = world()
    n = len(plans)
    doubled: dict[str, Any] = {}
    for field in dataclasses.fields(Static):
        value = getattr(static, field.name)
        if field.name in ("needs_licence", "rule", "posture", "lpp_rule", "uveu_rule"):
            doubled[field.name] = np.repeat(value, 2, axis=1)
        elif field.name in ("outlook", "outlook_wait"):
            doubled[field.name] = np.repeat(value, 2, axis=2)
        elif field.name.startswith("authorisation") and field.name != "authorisation_usd_a_year":
            doubled[field.name] = np.repeat(value, 2, axis=0)
    static = dataclasses.replace(static, companies=("acme", "bolt"), **doubled)
    draws = tiny_draws(
        static, plans + plans, company=np.array([0] * n + [1] * n), deliveries=np.stack([ints(48, 1, fill=chips), ints(48, 1, fill=AMPLE)], 1),
        opening_stock=ints(2, 1), under_way=ints(2, 1), fleet_chips=ints(2, 3, 1), authorisation_time=ints(2), authorisation_outcome=ints(2),
    )  # fmt: skip
    return static, draws


@settings(max_examples=30, deadline=None)
@given(projects, st.integers(0, 50_000))
def test_one_companys_shortage_is_not_anothers(plans: list[tuple[int, int, int]], chips: int) -> None:
    n = len(plans)
    (static, scarce), (_, ample) = two_companies(plans, chips), two_companies(plans, AMPLE)
    a, b = Expansion(static, scarce).run(), Expansion(static, ample).run()
    for root in range(n, 2 * n):
        assert story(a, root) == story(b, root)
    for root in range(n):  # and fewer chips never bring one of its own forward
        assert outcome(a, root) >= outcome(b, root)


def test_a_provision_nobody_meets_changes_no_event_but_its_own_line() -> None:
    # The law changes on day 100 for a country where nobody builds.
    single = world(60, needs=True)
    twice = {
        f.name: np.repeat(getattr(single, f.name), 2, axis=1 if f.name in ("outlook", "outlook_wait") else 0)
        for f in dataclasses.fields(Static)
        if f.name in ("needs_licence", "rule", "posture", "law_changes", "outlook", "outlook_wait", "lpp_limit", "lpp_rule", "uveu_rule",
                      "uveu_single_ppm", "uveu_tier1_ppm", "uveu_us_ppm", "trusted", "allocation", "allocation_window", "allocation_counts",
                      "allocation_rule", "approve_below", "deny_above", "review_median", "review_spread")
    }  # fmt: skip
    twice["needs_licence"][1, 0, ELSEWHERE] = 1
    twice["rule"][1, 0, ELSEWHERE] = 5
    double = dataclasses.replace(single, law_ticks=np.array([single.earliest, 100 * DAY]), **twice)
    draws = tiny_draws(single, [(0, 16, HOME), (5, 16, ABROAD), (-300, 8, ABROAD)], AMPLE)
    a, b = Expansion(single, draws).run(), Expansion(double, draws).run()
    assert [story(a, root) for root in range(3)] == [story(b, root) for root in range(3)]
    assert len(b) == len(a) + 1
