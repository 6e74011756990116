"""One input at a time: what is moved, that nothing else is, and what comes out on any number of processes."""

from __future__ import annotations

import json
import math
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest

from simulator import experiments, sensitivity
from simulator.compile import Compiled
from simulator.draws import Z90
from simulator.metrics import METRICS, measure
from simulator.model import Expansion
from simulator.problems import InputProblems
from simulator.sampling import Moved
from simulator.scenario import Scenario, load_scenario
from simulator.sensitivity import (
    APART,
    AT_HOME,
    HEADLINES,
    HOME,
    Analysis,
    Input,
    Movement,
    analyse,
    as_json,
    data_inputs,
    law_inputs,
    lines,
    with_leaf,
)
from simulator.world import World, load_world

END = "end=2025-09-30"
NAMES = ("history", "diffusion-framework")
GRID = "process/grid_share_of_four"
SIZE = "process/project_size_log_sd"
LEAF = "law/uveu.annual_cost_usd"
NOTHING = "law/diversion.share"
"""Second order only: neither the engine nor a headline looks at it."""


@cache
def world() -> World:
    return load_world()


@cache
def pair() -> tuple[Scenario, Scenario]:
    return load_scenario(NAMES[0], (), [END]), load_scenario(NAMES[1], (), [END])


@cache
def compiled() -> tuple[Compiled, ...]:
    return experiments.compile_all(pair(), world())


@cache
def inputs() -> dict[str, Input]:
    return {one.name: one for one in [*data_inputs(compiled()[0]), *law_inputs(compiled())]}


@cache
def analysis() -> Analysis:
    return analyse(*pair(), world(), lucks=2, only=[GRID, SIZE, LEAF, NOTHING])


# ------------------------------------------------------------------ the hook in the sampler


def key(parameter: str) -> frozenset[Any]:
    return frozenset({world().get("process", parameter).key})


@pytest.mark.parametrize("uncertain", [True, False])
def test_only_what_is_moved_moves(uncertain: bool) -> None:
    sheet, own = compiled()[0].sampler.sheet, world().get("process", "grid_share_of_four")
    plain = sheet.draw(7, 3, uncertain)
    for position, end in ((-Z90, own.low), (Z90, own.high)):
        moved = sheet.draw(7, 3, uncertain, Moved(frozenset({own.key}), position))
        at = sheet.index[own.key]
        assert moved[at] == pytest.approx(end)
        assert (np.delete(moved, at) == np.delete(plain, at)).all()


def test_every_place_of_an_input_moves() -> None:
    """A country's value stands for each of its markets that has none of its own, and `others` for three companies."""
    sampler = compiled()[0].sampler
    wanted = world().get("process", "chips_waiting_for_power_share", scope="others")
    x = sampler.sheet.draw(1, 0, False, Moved(frozenset({wanted.key}), Z90))
    microsoft = world().number("process", "chips_waiting_for_power_share", scope="microsoft")
    here = x[sampler.at["chips_waiting"]].tolist()
    assert here == pytest.approx([microsoft if c == "microsoft" else wanted.high for c in sampler.frame.companies])


def test_what_is_not_drawn_cannot_be_moved() -> None:
    with pytest.raises(LookupError, match="none of the inputs to be moved is drawn"):
        compiled()[0].sampler.draw(1, 0, moved=Moved(frozenset({("process", "world", "nothing", "", "")}), 1.0))


def test_a_replication_can_be_drawn_with_one_input_moved() -> None:
    sampler = compiled()[0].sampler
    plain, moved = sampler.draw(1, 0), sampler.draw(1, 0, moved=Moved(key("power_design_ratio"), Z90))
    assert moved.design_ratio_ppm == round((world().get("process", "power_design_ratio").high or 0) * 1e6)
    assert moved.design_ratio_ppm != plain.design_ratio_ppm
    assert moved.optimism == plain.optimism


# ------------------------------------------------------------------ what is moved


def test_every_uncertain_input_is_in_one_group_and_none_is_twice() -> None:
    sheet, grouped = compiled()[0].sampler.sheet, [k for one in inputs().values() for k in one.keys]
    assert len(grouped) == len(set(grouped))
    low, high = (sheet.at(np.full(len(sheet.mode), z)) for z in (-Z90, Z90))
    uncertain = {value.key for value, a, b in zip(compiled()[0].sampler.values, low, high, strict=True) if a != b}
    left = uncertain - set(grouped)
    assert {(k[0], k[2]) for k in left} == AT_HOME  # the rest of a whole, moved by its part at home
    assert not any(HOME in k for k in left)
    assert set(grouped) <= uncertain


def test_groups_are_what_their_names_say() -> None:
    found = inputs()
    grid = found["markets/grid_connection_days"]
    assert {k[0] for k in grid.keys} == {"markets", "countries"} and grid.low is grid.high is None
    assert (grid.rests_on, grid.unit) == ("assumed in part", "days")
    share = world().get("process", "grid_share_of_four")
    own = found[GRID]
    assert [own.low, own.middle, own.high] == pytest.approx([share.low, share.mode, share.high])
    assert (own.rests_on, own.values) == ("assumed", 1)
    assert {"process/country_year_luck_log_sd [power]", "companies/route_share [leased]"} <= set(found)
    names = {(name.split("/")[0], one.parameter) for name, one in found.items() if name.endswith("]")}
    assert names == APART
    assert all(len(one.keys) == one.values >= one.assumed for one in found.values() if not one.of_law)


def test_the_law_of_both_scenarios_is_swept() -> None:
    found = {name: one for name, one in inputs().items() if one.of_law}
    assert {LEAF, NOTHING, "law/time.chips_normal.p50_days"} <= set(found)
    assert all(one.low < one.high and one.low <= one.middle <= one.high for one in found.values())  # type: ignore[operator]
    assert not {"uveu.annual_cost_usd"} & set(sensitivity._swept(load_scenario("october-2023-rule")))


def test_a_leaf_of_history_is_set_from_the_day_the_policy_leaves_it() -> None:
    changed = with_leaf(pair()[0], "time.chips_normal.p50_days", 60.0, date(2025, 1, 13))
    assert (changed.policy.diverges_on, changed.policy.regime) == (date(2025, 1, 13), "history")
    own = with_leaf(pair()[1], "uveu.annual_cost_usd", 1e7, date(2026, 1, 1))
    assert (own.policy.diverges_on, own.policy.regime) == (date(2025, 1, 13), "diffusion-framework")
    assert own.policy.set["uveu.annual_cost_usd"].value == 1e7  # type: ignore[union-attr]


# ------------------------------------------------------------------ what comes out


def test_a_movement_is_what_two_runs_by_hand_give() -> None:
    played = []
    for position in (-Z90, 0.0, Z90):
        numbers = []
        for one in compiled():
            draws = one.sampler.draw(1, 1, assumptions=False, moved=Moved(key("grid_share_of_four"), position))
            log = Expansion(one.static, draws).run()
            measures = measure(one.static, draws, log, experiments.rd_weights(one))
            numbers.append(measures.monthly[0, -1, 0])
        played.append(numbers)
    found = analyse(*pair(), world(), lucks=2, only=["grid_share_of_four"]).of(GRID)
    one_luck = analyse(*pair(), world(), lucks=1, only=["grid_share_of_four"]).of(GRID)
    for headline, by_hand in (
        ("mw_online", [numbers[0] for numbers in played]),
        ("mw_difference", [numbers[1] - numbers[0] for numbers in played]),
    ):
        two, first = found[headline], one_luck[headline]
        second = [2 * (a or 0) - (b or 0) for a, b in zip(ends(two), ends(first), strict=True)]  # two lucks less the first
        assert second == pytest.approx(by_hand)
        assert first.half_width is None and two.half_width is not None


def ends(m: Movement) -> tuple[float | None, float | None, float | None]:
    return m.at_low, m.at_middle, m.at_high


def test_the_result_does_not_depend_on_the_number_of_processes() -> None:
    one, two = (analyse(*pair(), world(), lucks=1, only=[GRID, LEAF], workers=workers) for workers in (1, 2))
    assert one == two


def test_strongest_first_and_the_shares_of_a_headline_add_up() -> None:
    a = analysis()
    assert {one.name for one in a.inputs} == {GRID, SIZE, LEAF, NOTHING}
    for headline in HEADLINES:
        shares = [a.of(one.name)[headline.id].share for one in a.inputs]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) == pytest.approx(1.0) or not any(shares)
        swings = [a.of(one.name)[headline.id].swing for one in a.ranked(headline.id)]
        assert swings == sorted(swings, reverse=True)
    mean = [sum(m.share for m in a.of(one.name).values()) for one in a.inputs]
    assert mean == sorted(mean, reverse=True) and a.ranked() == list(a.inputs)
    for m in a.movements:
        reached = [end for end in ends(m) if end is not None]
        assert m.swing == pytest.approx(abs(reached[-1] - reached[0]) if len(reached) == 3 else 0.0)
        assert m.unit == METRICS[next(h.metric for h in HEADLINES if h.id == m.headline)].unit


def test_chance_is_taken_off_a_square_and_an_interval_tells_what_is_settled() -> None:
    low, high = np.array([1.0, 2.0, np.nan, 4.0]), np.array([3.0, 2.0, 9.0, 8.0])  # gaps 2, 0, 4: mean 2, variance of it 4 / 3
    assert sensitivity._square(low, high) == pytest.approx(4 - 4 / 3)
    assert sensitivity._square(low, low + 1e-9 * np.array([1, -1, 1, -1])) == 0
    never = np.full(4, np.nan)
    assert sensitivity._square(never, high) == 0
    one = inputs()[GRID]
    m = sensitivity._movement(one, HEADLINES[0], [low, low, high], 0.5)
    assert m.swing == 2.0 and m.half_width == pytest.approx(4.303 * math.sqrt(4 / 3), rel=1e-3) and not m.settled
    m = sensitivity._movement(one, HEADLINES[0], [never, low, high], 0.0)
    assert (m.at_low, m.swing, m.half_width, m.settled) == (None, 0.0, None, False)


def test_a_cost_of_the_law_moves_cost_alone() -> None:
    found = analysis().of(LEAF)
    cost = found["compliance_difference"]
    assert cost.swing > 1e6 and (cost.at_high or 0) > (cost.at_middle or 0) > (cost.at_low or 0)
    assert not any(m.swing for name, m in found.items() if name != "compliance_difference")


def test_what_changes_nothing_is_not_played() -> None:
    """An input moved to where it stands gives the draws of the middle: there is nothing to play."""
    setup = sensitivity._Setup(world(), compiled(), 1, 2, 0, 0.0, date(2025, 1, 13))
    assert sensitivity._Player(setup).play(sensitivity._Task(inputs()[GRID], "low")) == [None] * 4
    found = analysis().of(NOTHING)
    assert all(m.swing == 0 and not m.settled for m in found.values()) and len(found) == len(HEADLINES)


def test_headlines_are_read_at_the_day_or_at_the_end_of_the_run() -> None:
    assert analysis().on == date(2025, 9, 30)
    assert analyse(*pair(), world(), lucks=1, only=[NOTHING], on=date(2025, 3, 31)).on == date(2025, 3, 31)


# ------------------------------------------------------------------ tables and words


def test_the_table_and_the_json_hold_every_movement() -> None:
    table = analysis().table()
    assert list(table["rank"]) == [rank for rank in range(1, 5) for _ in HEADLINES]
    assert len(table) == 4 * len(HEADLINES) and set(table["headline"]) == {h.id for h in HEADLINES}
    whole = json.loads(as_json(analysis()), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (whole["reference"], whole["policy"], whole["date"]) == (*NAMES, "2025-09-30")
    assert (whole["interrupted"], whole["failed"], whole["unfinished"]) == (False, {}, [])
    assert whole["movements"][0] == {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in table.astype(object).iloc[0].to_dict().items()
    }


def made(*movements: tuple[float, float, float], rests_on: str = "assumed") -> Analysis:
    one = Input("process/x", "x", 1, 1, 0.2, 0.3, 0.45, "fraction", frozenset())
    still = Input("process/y", "y", 3, 1, None, None, None, "days", frozenset())
    rows = [
        Movement(i.name, i.rests_on, i.values, i.unit, i.low, i.high, h.id, h.unit, *at, abs(at[2] - at[0]), 0.1, 1.0)
        for i, numbers in ((one, movements), (still, [(at[1],) * 3 for at in movements]))
        for h, at in zip(HEADLINES, numbers, strict=True)
    ]
    return Analysis("history", "diffusion-framework", date(2028, 12, 31), 1, 4, (one, still), tuple(rows), {}, ())


def test_lines_say_where_each_headline_goes() -> None:
    numbers = [
        (29100.0, 33000.0, 41000.0), (-1900.0, -2100.0, -2600.0), (-1200.0, -900.0, -1250.0), (27.0, 28.0, 31.0), (0.1, 0.1, 0.1),
        (310e6, 320e6, 350e6),
    ]  # fmt: skip
    assert lines(made(*numbers)) == [
        "diffusion-framework against history, 2028-12: each input alone at its low and at its high end, all others at their middle, "
        "4 lucks. ~ may be chance.",
        "all at their middle: 33.0 GW online, difference -2.1 GW, in tier 2 -900 MW, plan to online 28.0 months, its difference "
        "+0.1 months, compliance +320 USD m",
        "process/x (0.2 to 0.45 fraction; assumed): 29.1 to 41.0 GW online, difference -1.9 to -2.6 GW, in tier 2 -1.2 to -1.2 GW "
        "(middle -900), plan to online 27.0 to 31.0 months, compliance +310 to +350 USD m",
        "1 move none of them visibly: process/y",
        "The 1 strongest are 1 assumed.",
    ]


def test_lines_of_the_real_run_name_every_input() -> None:
    text = "\n".join(lines(analysis()))
    assert all(name in text for name in (GRID, SIZE, LEAF, NOTHING))
    assert "1 move none of them visibly: " + NOTHING in text
    assert "2 move them less" in "\n".join(lines(analysis(), most=1))


# ------------------------------------------------------------------ refusals, failures, interrupts


def test_an_unknown_input_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputProblems, match=r"--only: 'grid_share_of_for' is not an input .*did you mean 'grid_share_of_four'"):
        analyse(*pair(), world(), only=["grid_share_of_for"])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="share a name: history"):
        analyse("history", "history", world())
    with pytest.raises(ValueError, match="must share start and end"):
        analyse("history", pair()[1], world())
    with pytest.raises(ValueError, match="at least 1, not 0"):
        analyse(*pair(), world(), lucks=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_keeps_the_inputs_that_are_finished(workers: int) -> None:
    def tired(done: int, of: int) -> None:
        assert of == 7
        if done == 5:
            raise KeyboardInterrupt

    found = analyse(*pair(), world(), lucks=1, only=[GRID, SIZE, LEAF], workers=workers, progress=tired)
    assert found.interrupted and 1 <= len(found.inputs) <= 2
    assert {*(one.name for one in found.inputs), *found.unfinished} == {GRID, SIZE, LEAF}
    assert any("not finished" in line for line in lines(found))


def test_an_interrupt_before_anything_is_finished_is_passed_on() -> None:
    def at_once(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse(*pair(), world(), lucks=1, only=[NOTHING], progress=at_once)


def test_an_input_that_cannot_be_played_is_named_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    play = sensitivity._Player.play

    def breaks(self: Any, task: Any) -> Any:
        if task.input is not None and task.input.name == GRID and task.end == "high":
            raise IndexError("index 8 is out of bounds")
        return play(self, task)

    monkeypatch.setattr(sensitivity._Player, "play", breaks)
    seen: list[tuple[int, int]] = []
    found = analyse(*pair(), world(), lucks=1, only=[GRID, NOTHING], progress=lambda done, of: seen.append((done, of)))
    assert found.failed == {GRID: "at its high end: IndexError: index 8 is out of bounds"} and not found.interrupted
    assert [one.name for one in found.inputs] == [NOTHING] and seen == [(i, 5) for i in range(6)]
    assert lines(found)[-1] == f"{GRID} could not be played at its high end: IndexError: index 8 is out of bounds"


def test_without_a_middle_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: Any, task: Any) -> Any:
        raise ArithmeticError("too large")

    monkeypatch.setattr(sensitivity._Player, "play", breaks)
    with pytest.raises(RuntimeError, match="middle of all inputs could not be played: ArithmeticError: too large"):
        analyse(*pair(), world(), lucks=1, only=[NOTHING])
