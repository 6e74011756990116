"""From ranges to draws: the stated distributions, nothing shared by accident, and sums that come out."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from simulator.compile import sampler_key, scenario_sampler, scenario_world, scenario_worlds
from simulator.distributions import quantile
from simulator.draws import Aspect, Floats, bits, keys
from simulator.sampling import (
    APPLICATIONS,
    CASES,
    HOPS,
    OFFICE_GROWTH,
    ORDINALS,
    Budgets,
    Sampler,
    Sheet,
    closed_markets,
    frame,
    rationed_markets,
)
from simulator.scenario import InputChange, load_scenario
from simulator.static import FILINGS, PHASES, Draws, Route, Timed, Workload
from simulator.units import (
    DAYS_PER_YEAR,
    FACTOR_ONE,
    PPM,
    TICKS_PER_DAY,
    h100e_ppm,
    quarter_of,
    quarter_start,
    threshold,
    tick_of,
)
from simulator.world import Value, World, load_world

START, END = date(2024, 1, 1), date(2028, 12, 31)
SEED = 20261123


@cache
def world() -> World:
    return load_world()


@cache
def sampler() -> Sampler:
    return Sampler(world(), frame(world(), START, END))


def supposed(*changes: dict[str, Any]) -> Sampler:
    """A sampler of the world with some inputs supposed otherwise."""
    made = [InputChange.model_validate({"table": "process", "reason": "a test"} | change) for change in changes]
    return Sampler(world().changed(made), sampler().frame)


def digest(draws: Draws) -> str:
    """One number for all arrays of a replication."""
    whole = hashlib.sha256()

    def add(name: str, value: object) -> None:
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                add(field.name, getattr(value, field.name))
        else:
            whole.update(name.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))

    add("draws", draws)
    return whole.hexdigest()


def by_name(draws: Draws, *fields: str) -> dict[str, tuple[bytes, ...]]:
    """Project -> its rows of some tables."""
    return {name: tuple(np.asarray(getattr(draws, f)[i]).tobytes() for f in fields) for i, name in enumerate(draws.names)}


LUCK = ("spread", "patience", "patience_power", "security", "bridge_lead")
"""Tables by project whose numbers come from the project's own key and from inputs that no test here changes."""
KINDS = ("route", "workload", "shell_offset", "campus_mw16")
"""Tables by project that also depend on what it is."""
FILED = ("refile", "licence_work", "licence_clock", "licence_stop", "licence_stop_length", "licence_outcome")
"""Tables by company, country and filing."""
OTHERS = ("office_gaps", "office_work", "classification", "authorisation_time", "authorisation_outcome", "authorisation_kept",
          "nveu_time", "nveu_outcome", "deal_time")  # fmt: skip
"""Luck that is no project's."""


# ------------------------------------------------------------------ assumptions


def uncertain() -> list[Value]:
    return [value for value in world().values if value.mode is not None]


@pytest.mark.parametrize("z", [-3.0, -1.2815515655446004, -0.7, -1e-6, 0.0, 1e-6, 0.3, 1.2815515655446004, 2.5])
def test_the_sheet_and_the_distributions_are_one(z: float) -> None:
    values = uncertain()
    sheet = Sheet(values, 0.5)
    together = sheet.at(np.full(len(values), z))
    u = float(ndtr(z))
    alone = np.array([quantile(value, u) for value in values])
    worst = np.argmax(np.abs(together - alone) / np.maximum(np.abs(alone), 1e-12))
    assert together == pytest.approx(alone, rel=1e-9, abs=1e-12), (values[worst].label, together[worst], alone[worst])


def test_the_sheet_returns_the_stated_ends_of_every_range() -> None:
    values = [v for v in uncertain() if v.quantiles in ("p10-p90", "p5-p95", "p25-p75")]
    assert len(values) > 100
    sheet = Sheet(values, 0.5)
    assert sheet.at(-sheet.tail) == pytest.approx(np.array([v.low for v in values]), rel=1e-9, abs=1e-12)
    assert sheet.at(np.zeros(len(values))) == pytest.approx(np.array([v.mode for v in values]), rel=1e-12)
    assert sheet.at(sheet.tail) == pytest.approx(np.array([v.high for v in values]), rel=1e-9, abs=1e-12)


def test_over_many_replications_a_tenth_lies_below_the_tenth_percentile() -> None:
    s = sampler()
    n = 1500
    drawn = np.stack([s.sheet.draw(SEED, r) for r in range(n)])
    ranged = np.array([v.quantiles == "p10-p90" and v.low < v.mode < v.high for v in s.values])  # type: ignore[operator]
    ranged &= (s.sheet.low > s.sheet.least) & (s.sheet.high < s.sheet.most)  # a stated bound that is also that of the unit
    below = (drawn[:, ranged] < s.sheet.low[ranged]).mean(axis=0)
    above = (drawn[:, ranged] > s.sheet.high[ranged]).mean(axis=0)
    # A share of 0.1 of n tries; five standard errors because there are hundreds of inputs.
    assert np.abs(below - 0.1).max() < 5 * np.sqrt(0.09 / n)
    assert np.abs(above - 0.1).max() < 5 * np.sqrt(0.09 / n)


def test_inputs_of_one_parameter_share_part_of_their_error_and_others_none() -> None:
    s = sampler()
    n = 2000
    drawn = np.stack([s.sheet.draw(SEED, r) for r in range(n)])
    wanted = world().number("process", "shared_source_correlation")
    grid, build = s.at["grid_connection_days"], s.at["construction_days"]
    different = {v.key[:4]: i for i, v in enumerate(s.values) if i in set(grid.tolist()) and v.low is not None}
    a, b = list(different.values())[:2]
    c = next(i for i in build.tolist() if s.values[i].low is not None)
    rank = np.argsort(np.argsort(drawn[:, [a, b, c]], axis=0), axis=0)
    together = np.corrcoef(rank.T)
    spearman = 6 / np.pi * np.arcsin(wanted / 2)  # rank correlation of two normal numbers with this correlation
    assert abs(together[0, 1] - spearman) < 4.5 / np.sqrt(n)
    assert abs(together[0, 2]) < 4.5 / np.sqrt(n)


def test_a_whole_series_is_one_assumption() -> None:
    s = sampler()
    series = s.at["shipped"][list(s.frame.vendors).index("nvidia")]
    open_ = [i for i in series.tolist() if s.values[i].low is not None]
    z = []
    for r in range(5):
        x = s.sheet.draw(SEED, r)
        side = [np.sign(x[i] - s.sheet.mode[i]) for i in open_]
        assert len(set(side)) == 1
        z.append(side[0])
    assert len(open_) > 4


# ------------------------------------------------------------------ assumptions of another number, or given

ASSUMED = ("median", "deliveries", "opening_stock", "under_way", "fleet_chips", "route_factor", "price_usd", "shell_usd_per_mw",
           "grid_ticks", "grid_backlog", "grid_works", "crew_limit", "bridge_supply", "opex_usd_per_mw", "spend_ppm", "reviewers",
           "office_factor", "filing_lead", "value_usd", "choice_per_year", "discount_ppm")  # fmt: skip
"""Tables and numbers that hold assumptions only."""
DRAWN = ("licence_clock", "licence_stop", "licence_stop_length", "licence_outcome", "refile", "authorisation_time",
         "authorisation_outcome", "nveu_time", "nveu_outcome", "deal_time")  # fmt: skip
"""Tables that hold luck only."""


def keyed(s: Sampler, seed: int, index: int) -> np.ndarray:
    """The uniform numbers of one draw of the assumptions, by the plain generator."""
    return bits(seed, index, keys(list(s.assumption_names)), Aspect.ASSUMPTION)


def test_several_replications_may_share_their_assumptions_and_differ_in_luck() -> None:
    s = sampler()
    other = s.draw(SEED, 7)
    assert digest(s.draw(SEED, 7, assumption=7)) == digest(other)
    drawn = [s.draw(SEED, r, assumption=7) for r in (0, 1, 2)]
    for r, draws in enumerate(drawn):
        plain = s.draw(SEED, r)
        for name in ASSUMED:
            assert np.array_equal(getattr(draws, name), getattr(other, name)), name
        for name in DRAWN:
            assert np.array_equal(getattr(draws, name), getattr(plain, name)), name
            assert not np.array_equal(getattr(draws, name), getattr(other, name)), name
        assert not np.array_equal(draws.median, plain.median)
        assert repr(draws.after_run) == repr(other.after_run) != repr(plain.after_run)
        assert repr(draws.china) == repr(other.china) != repr(plain.china)
    assert len({draws.names for draws in drawn}) == 3
    # The luck of a project is that of its replication, read in the tables of the assumptions.
    plain, shared = (by_name(d, "patience", "security") for d in (s.draw(SEED, 1), drawn[1]))
    common = plain.keys() & shared.keys()
    assert len(common) > 500
    assert {n: plain[n] for n in common} == {n: shared[n] for n in common}


@pytest.mark.parametrize("kind", [np.uint64, np.int64, object])
def test_given_quantiles_take_the_place_of_the_numbers_drawn_for_the_assumptions(kind: type) -> None:
    s = sampler()
    assert len(set(s.assumption_names)) == len(s.assumption_names)
    given = keyed(s, SEED, 7)
    wanted = given.tolist() if kind is object else given.astype(kind)
    assert digest(s.draw(SEED, 1, quantiles=wanted)) == digest(s.draw(SEED, 1, assumption=7))
    assert digest(s.draw(SEED, 1, quantiles=wanted, assumption=3)) == digest(s.draw(SEED, 1, assumption=7))
    still = s.draw(SEED, 1, quantiles=wanted, assumptions=False)
    assert digest(still) == digest(s.draw(SEED, 1, assumptions=False))


def test_each_number_moves_the_inputs_it_is_for_and_no_others() -> None:
    s = sampler()
    names, given = s.assumption_names, keyed(s, SEED, 0)
    before = s.sheet.draw(SEED, 0, quantiles=given)
    ranged = np.array([v.family != "fixed" and v.low < v.high for v in s.values])  # type: ignore[operator]
    moved = np.zeros(len(s.values), dtype=int)
    for i, name in enumerate(names):
        parts = name.split("/")
        if len(parts) == 4:
            mine = ["/".join(value.key[:4]) == name for value in s.values]
        else:
            assert parts[1] == "*"
            mine = [(value.table, value.parameter) == (parts[0], parts[2]) for value in s.values]
        assert any(mine), name
        other = given.copy()
        other[i] = (1 << 62) - 1 - given[i]
        changed = s.sheet.draw(SEED, 0, quantiles=other) != before
        assert not (changed & ~np.array(mine)).any(), name
        moved += changed
    # Where a tail is cut at the bound of its unit, another quantile may mean the same value.
    free = ranged & (before > s.sheet.least) & (before < s.sheet.most)
    assert free.sum() > 1200
    assert (moved[free] == 2).all()  # its own number and the one it shares
    assert (moved[~ranged] == 0).all()


def test_numbers_in_the_middle_put_every_input_at_its_middle() -> None:
    s = sampler()
    middle = s.sheet.draw(SEED, 0, quantiles=np.full(len(s.assumption_names), 1 << 61))
    assert middle == pytest.approx(s.sheet.draw(SEED, 0, uncertain=False), rel=1e-12)


def test_shares_are_scaled_to_their_sum_whatever_their_quantiles() -> None:
    s = sampler()
    routes = [i for i, name in enumerate(s.assumption_names) if name.startswith("companies/") and "/route_share/" in name]
    assert len(routes) == len(s.frame.companies) * len(Route)
    given = keyed(s, SEED, 0)
    given[routes] = (1 << 62) - 1
    draws, (get, *_), budgets = caught(s, 0, "_budgets", quantiles=given)
    assert (get("route_share").sum(axis=2) > 1.1).all()
    leased = get("route_share")[:, :, Route.LEASED] / get("route_share").sum(axis=2)
    shell = (1 - leased[:, s.spans]) * get.one("capex_construction") * 1e6
    assert budgets.shell == pytest.approx(shell)
    assert len(set(draws.route.tolist())) == len(Route)


def test_names_of_assumptions_do_not_depend_on_what_a_scenario_supposes() -> None:
    names = of_scenario("history").assumption_names
    for other in ("chip-shock", "grid-squeeze"):
        assert of_scenario(other).assumption_names == names
    assert supposed({"parameter": "pause_probability", "set": 0.0}).assumption_names == sampler().assumption_names


def test_what_companies_expect_is_drawn_at_the_same_quantiles() -> None:
    history, shock = of_scenario("history"), of_scenario("chip-shock")
    given = keyed(history, SEED, 5)
    a, b = (s.draw(SEED, 2, quantiles=given) for s in (history, shock))
    same_plans(a, b)
    assert digest(b) == digest(shock.draw(SEED, 2, assumption=5))
    assert b.offered is not None
    with pytest.raises(ValueError, match="other inputs"):
        Sampler(with_place("ZZZ", "BRA", "countries"), frame(with_place("ZZZ", "BRA", "countries"), START, END), (END, history))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda given: given[1:],
        lambda given: given[None],
        lambda given: given / 2.0**62,
        lambda given: np.where(np.arange(len(given)) == 3, -1, given),
        lambda given: np.where(np.arange(len(given)) == 3, 1 << 62, given),
        lambda given: given.astype(np.uint64) + np.uint64(1 << 63),
    ],
)
def test_other_quantiles_are_refused(wrong: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"quantiles must (be|lie)"):
        sampler().draw(SEED, 0, quantiles=wrong(keyed(sampler(), SEED, 0)))


def test_a_compiled_scenario_hands_assumptions_on_to_its_sampler() -> None:
    from test_compile import compiled

    c = compiled("history")
    given = keyed(c.sampler, SEED, 3)
    assert digest(c.draw(SEED, 1, assumption=3)) == digest(c.draw(SEED, 1, quantiles=given)) != digest(c.draw(SEED, 1))


# ------------------------------------------------------------------ the switches


def test_without_assumptions_every_input_stands_at_its_middle_and_luck_goes_on() -> None:
    s = sampler()
    x = s.sheet.draw(SEED, 3, uncertain=False)
    ordinary = ~s.sheet.triangles
    assert x[ordinary] == pytest.approx(s.sheet.mode[ordinary], rel=1e-12)
    assert x[s.sheet.triangles] == pytest.approx([quantile(v, 0.5) for v in s.values if v.family == "triangular"], rel=1e-12)
    a, b = (s.draw(SEED, r, assumptions=False) for r in (0, 1))
    assert (a.median == b.median).all()
    assert (a.deliveries == b.deliveries).all()
    assert a.filing_lead == b.filing_lead
    assert by_name(a, *LUCK) != by_name(b, *LUCK)
    for name in (*FILED, *OTHERS):
        assert not np.array_equal(getattr(a, name), getattr(b, name)), name


def test_without_luck_every_project_has_the_median_fate_and_assumptions_go_on() -> None:
    a, b = (sampler().draw(SEED, r, luck=False) for r in (0, 1))
    for table in (a.spread, a.luck_power, a.luck_construction):
        assert (table == FACTOR_ONE).all()
    for name in (*LUCK, *FILED, "office_gaps", "office_work", "authorisation_kept"):
        table = getattr(a, name)
        assert np.unique(table.reshape(len(table), -1), axis=0).shape[0] == 1, name
    assert (a.licence_outcome == 1 << 61).all()
    assert (a.median != b.median).any()
    assert a.reviewers != b.reviewers


ONE_NUMBER = {"patience": "patience", "patience_power": "patience_power", "security": "security", "refile": "refile"}


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_a_range_of_cases_is_luck_with_the_stated_quantiles(name: str) -> None:
    s = sampler()
    parameter, scope, scale = CASES[name]
    value = world().get("process", parameter, scope=scope)
    for draws in (s.draw(SEED, 0, luck=False), s.draw(SEED, 1, luck=False)):  # whatever else is assumed
        assert getattr(draws, name) / scale == pytest.approx(value.number, rel=1e-6)
    drawn = np.concatenate([getattr(s.draw(SEED, r), name).ravel() for r in range(4)]) / scale
    assert value.low is not None
    assert value.high is not None
    for below in (np.mean(drawn < value.low), np.mean(drawn > value.high)):
        assert abs(below - 0.1) < 4.5 * np.sqrt(0.09 / len(drawn))
    assert abs(np.mean(drawn < value.number) - 0.5) < 4.5 * 0.5 / np.sqrt(len(drawn))


FATES = ("median", "luck_power", "luck_construction", "deliveries", "opening_stock", "under_way", "fleet_chips", "route_factor",
         "price_usd", "shell_usd_per_mw", "filing_lead", "stock_ahead", "chip_money", "grid_ticks", "grid_backlog", "grid_works",
         "crew_limit", "bridge_supply", "reviewers", "opex_usd_per_mw", *FILED, *OTHERS)  # fmt: skip
"""Tables that are not by project."""


def all_alike(draws: list[Draws]) -> None:
    """Everybody fares the same in all of these; projects still differ in what they are, and in the markets they like."""
    first = draws[0]
    for other in draws[1:]:
        for name in FATES:
            assert np.array_equal(getattr(first, name), getattr(other, name)), name
        for name in LUCK:
            assert np.unique(np.concatenate([getattr(first, name), getattr(other, name)]), axis=0).shape[0] == 1, name
        assert {*by_name(first, "mw16").values()} != {*by_name(other, "mw16").values()}
        common = by_name(first, "appeal").keys() & by_name(other, "appeal").keys()
        assert any(by_name(first, "appeal")[name] != by_name(other, "appeal")[name] for name in common)
    for draw in draws:
        assert len(set(draw.mw16.tolist())) > 100
        assert len(set(draw.route.tolist())) == len(Route)
        assert len(set(draw.vendor.tolist())) > 2
        assert len(set(draw.workload.tolist())) == len(Workload)
        assert len(set(draw.phases.tolist())) > 3
        assert len({day % 91 for day in (draw.planned // TICKS_PER_DAY).tolist()}) > 60


def test_without_either_every_project_fares_alike_but_projects_differ() -> None:
    s = sampler()
    all_alike([s.draw(SEED, 0, assumptions=False, luck=False), s.draw(SEED + 1, 9, assumptions=False, luck=False)])


def test_the_switches_of_a_scenario_reach_the_draws() -> None:
    from test_compile import compiled_as

    c = compiled_as(load_scenario("history", sets=["end=2028-12-31", "mechanisms.luck=false", "mechanisms.assumptions=false"]))
    all_alike([c.draw(SEED, 0), c.draw(SEED, 1)])


# ------------------------------------------------------------------ keys


def test_the_same_seed_gives_the_same_bits_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_sampling import SEED, digest, sampler\n"
        "print(digest(sampler().draw(SEED, 2)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77", "PATH": ""}
    )
    assert run.stdout.strip() == digest(sampler().draw(SEED, 2))


def test_a_replication_knows_nothing_of_the_others() -> None:
    fresh = Sampler(world(), frame(world(), START, END))
    alone = digest(fresh.draw(SEED, 4))
    s = sampler()
    in_turn = {r: digest(s.draw(SEED, r)) for r in (5, 4, 0, 3)}
    assert in_turn[4] == alone
    assert len(set(in_turn.values())) == 4
    assert digest(s.draw(SEED + 1, 4)) != alone


@pytest.mark.parametrize("name", ["diffusion-framework", "framework-tight", "revenue-share", "october-2023-rule"])
def test_draws_do_not_depend_on_policy(name: str) -> None:
    from test_compile import compiled

    c = compiled(name)
    own = compile_alone(name)
    assert digest(own.draw(SEED, 1)) == digest(compiled("history").draw(SEED, 1)) == digest(c.draw(SEED, 1))


def test_scenarios_with_one_key_share_their_draws_and_no_run_changes_them() -> None:
    from simulator.engines import play
    from simulator.experiments import compile_all

    sets = ["end=2025-12-31"]
    scenarios = [
        load_scenario("history", sets=sets),
        load_scenario("diffusion-framework", sets=sets),
        load_scenario("no-controls", sets=[*sets, "mechanisms.uveu=false"]),
        load_scenario("history", sets=[*sets, "mechanisms.rationing=false"]),
        load_scenario("history", sets=[*sets, "mechanisms.luck=false"]),
        load_scenario("history", sets=[*sets, "mechanisms.assumptions=false"]),
        load_scenario("grid-squeeze", sets=sets),
    ]
    made = compile_all(scenarios, world())
    found = [digest(one.draw(SEED, 1)) for one in made]
    assert len({one.draw_key for one in made[:3]}) == len(set(found[:3])) == 1
    assert len({one.draw_key for one in made[2:]}) == len(set(found[2:])) == 5
    draws = made[0].draw(SEED, 1)
    for one in made[:2]:
        play(one.static, draws, "simpy")
        assert digest(draws) == found[0]


def compile_alone(name: str) -> Sampler:
    """A sampler built for this scenario alone, as a single run would."""
    scenario = load_scenario(name, sets=["end=2028-12-31"])
    assert not scenario.inputs
    return Sampler(world(), frame(world(), scenario.start, scenario.end))


POWER_NO_LIMIT = {"parameter": "plan_over_expected_power", "multiply": 100.0}
"""Plans of one company then do not depend on those of the others, nor on the grids of other places."""


def with_place(place: str, like: str, table: str) -> World:
    """The world with one more country or market, a copy of another, where nobody's plans are bound by power."""
    w = supposed(POWER_NO_LIMIT).world
    copies = [dataclasses.replace(v, entity=place) for v in w.values if v.table == table and v.entity == like]
    if table == "countries":
        copies += [dataclasses.replace(v, scope=place) for v in w.values if v.table == "fleets" and v.scope == like]
    assert copies
    return World((*w.values, *copies))


@pytest.mark.parametrize(
    ("place", "like", "table"), [("ZZZ", "BRA", "countries"), ("AAA", "BRA", "countries"), ("us-aaa", None, "markets")]
)
def test_another_place_changes_no_draw_of_the_others(place: str, like: str | None, table: str) -> None:
    s = supposed(POWER_NO_LIMIT)
    like = like or next(m.id for m in world().markets if m.country == "USA")
    wider = Sampler(with_place(place, like, table), frame(with_place(place, like, table), START, END))
    a, b = s.draw(SEED, 1), wider.draw(SEED, 1)
    assert a.names == b.names
    for field in ("company", "vendor", "planned", "mw16", "phases", "phase_mw16", "power_offset", *KINDS, *LUCK, "deliveries",
                  "opening_stock", "chip_money", "crew_limit", "bridge_supply", "office_gaps", "office_work"):  # fmt: skip
        assert (getattr(a, field) == getattr(b, field)).all(), field
    old = [wider.frame.markets.index(m) for m in s.frame.markets]
    assert (a.median == b.median[:, old]).all()
    if table == "countries":
        kept = [wider.frame.countries.index(c) for c in s.frame.countries]
        assert (a.luck_power == b.luck_power[:, kept]).all()
        assert (a.luck_construction == b.luck_construction[:, kept]).all()
        for field in (*FILED, "nveu_time", "nveu_outcome"):
            assert (getattr(a, field) == getattr(b, field)[:, kept]).all(), field
        assert (a.deal_time == b.deal_time[kept]).all()
    # The taste of two projects of one company for one market differs by the same amount as before: all else is common to both.
    i, j = np.nonzero((a.company == 0) & (a.workload == Workload.TRAINING))[0][:2]
    before, after = a.appeal[i] - a.appeal[j], b.appeal[i][old] - b.appeal[j][old]
    assert np.abs(before - after).max() <= 2  # rounded scores
    assert np.abs(before).max() > FACTOR_ONE // 10


def test_more_money_for_one_company_changes_no_draw_of_the_others_nor_the_luck_of_its_own() -> None:
    change = {"table": "companies", "parameter": "capex_total", "entity": "google", "multiply": 1.25}
    plain, richer = supposed(POWER_NO_LIMIT), supposed(POWER_NO_LIMIT, change)
    for r in (0, 1):
        a, b = plain.draw(SEED, r), richer.draw(SEED, r)
        others_a = {
            n: row
            for n, row in by_name(a, "planned", "mw16", "phase_mw16", "vendor", "appeal", *KINDS, *LUCK).items()
            if "google" not in n
        }
        others_b = {
            n: row
            for n, row in by_name(b, "planned", "mw16", "phase_mw16", "vendor", "appeal", *KINDS, *LUCK).items()
            if "google" not in n
        }
        assert {n: row for n, row in others_a.items() if "/" in n} == {n: row for n, row in others_b.items() if "/" in n}
        luck_a, luck_b = by_name(a, *LUCK), by_name(b, *LUCK)
        common = luck_a.keys() & luck_b.keys()
        assert {n: luck_a[n] for n in common} == {n: luck_b[n] for n in common}
        google = sampler().frame.companies.index("google")
        assert a.mw16[a.company == google].sum() < b.mw16[b.company == google].sum()
        assert (a.chip_money[:, google] < b.chip_money[:, google]).all()
        assert np.delete(a.chip_money - b.chip_money, google, axis=1).any() == np.False_


def test_one_more_announcement_changes_no_draw_of_the_other_projects() -> None:
    s, wider = sampler(), Sampler(world(), sampler().frame)
    first = s.announced[0]
    another = dataclasses.replace(first, name="a-new-one", on=date(2025, 5, 5))
    wider.announce(sorted([*s.announced, another], key=lambda a: (a.on, a.name)))
    a, b = s.draw(SEED, 0), wider.draw(SEED, 0)
    assert set(b.names) - set(a.names) >= {"a-new-one"}
    luck_a, luck_b = by_name(a, *LUCK, "appeal"), by_name(b, *LUCK, "appeal")
    common = luck_a.keys() & luck_b.keys()
    assert {n: luck_a[n] for n in common} == {n: luck_b[n] for n in common}
    everyone_else = a.company != first.company
    assert {n for n, e in zip(a.names, everyone_else, strict=True) if e} <= set(b.names)


# ------------------------------------------------------------------ what is not foreseen

PLANNED = (
    "names",
    "company",
    "planned",
    "mw16",
    "vendor",
    "route",
    "workload",
    "phases",
    "phase_mw16",
    "forced_country",
    "spread",
)


def of_scenario(name: str, *changes: dict[str, Any]) -> Sampler:
    """The sampler of a shipped scenario, or of one with further changes, to the end of 2030."""
    import json

    sets = ["end=2030-12-31"] + ([f"inputs={json.dumps([c | {'reason': 'A test.'} for c in changes])}"] if changes else [])
    return scenario_sampler(load_scenario(name, sets=sets), world())


def same_plans(a: Draws, b: Draws) -> None:
    for field in PLANNED:
        assert np.array_equal(getattr(a, field), getattr(b, field)), field


def test_nobody_plans_on_a_shock_of_chip_supply_before_it_comes() -> None:
    history, shock = of_scenario("history"), of_scenario("chip-shock")
    for r in range(4):
        a, b = history.draw(SEED, r), shock.draw(SEED, r)
        same_plans(a, b)
        months = np.array([day.year == 2027 for day in history.frame.months])
        assert (a.deliveries[~months] - b.deliveries[~months] <= 1).all()  # whole chips of a running total
        assert (np.abs(a.deliveries[~months] - b.deliveries[~months]) <= 1).all()
        lost, had = b.deliveries[months].sum(axis=(0, 1)), a.deliveries[months].sum(axis=(0, 1))
        assert had.sum() > 0
        assert lost[had > 1000] == pytest.approx(0.6 * had[had > 1000], rel=1e-2)
        others = [f.name for f in dataclasses.fields(Draws) if f.name not in ("deliveries", "offered", "china", "after_run")]
        # Chips for 2027 ordered in 2026 are ordered as if nothing happened.
        assert a.offered is None
        assert b.offered is not None
        ordered = np.arange(len(months)) - b.commitment_months
        assert (b.offered[ordered < 36] == a.deliveries[ordered < 36]).all()
        assert (b.offered[ordered >= 36] == b.deliveries[ordered >= 36]).all()
        assert [name for name in others if not np.array_equal(getattr(a, name), getattr(b, name))] == []


def test_a_change_that_is_always_known_is_planned_on() -> None:
    change = {"table": "supply", "parameter": "shipped_h100e", "entity": ["nvidia", "amd", "google_tpu", "aws_trainium", "microsoft_maia"],
              "from": "2027-01-01", "to": "2027-12-31", "multiply": 0.1}  # fmt: skip
    known, surprise = of_scenario("history", change), of_scenario("history", change | {"known_from": "2027-01-01"})
    assert known.earlier is None
    for r in range(3):
        a, b = surprise.draw(SEED, r), known.draw(SEED, r)
        assert np.array_equal(a.deliveries, b.deliveries)
        due = [(d.planned > tick_of(date(2024, 7, 1), START)) & (d.planned < tick_of(date(2025, 1, 1), START)) for d in (a, b)]
        assert b.mw16[due[1]].sum() < 0.8 * a.mw16[due[0]].sum()  # sites for 2027 are planned in 2024 and 2025


def test_plans_follow_a_surprise_from_the_quarter_after_it() -> None:
    cut = {"table": "companies", "parameter": "capex_total", "entity": "aws", "from": "2028-01-01", "multiply": 0.3}
    history = of_scenario("history")
    late, early = (of_scenario("history", cut | {"known_from": day}) for day in ("2027-07-01", "2026-05-15"))
    aws = history.frame.companies.index("aws")
    for r in range(3):
        plain, a, b = (s.draw(SEED, r) for s in (history, late, early))
        for draws, first in ((a, date(2027, 7, 1)), (b, date(2026, 7, 1))):
            tick = tick_of(first, START)
            before, same = (np.array(d.planned) < tick for d in (draws, plain))
            assert [n for n, yes in zip(draws.names, before, strict=True) if yes] == [
                n for n, yes in zip(plain.names, same, strict=True) if yes
            ]
            assert (draws.mw16[before] == plain.mw16[same]).all()
            ours, theirs = (d.mw16[(d.company == aws) & (d.planned >= tick)].sum() for d in (draws, plain))
            assert ours < 0.6 * theirs
        assert (a.chip_money == b.chip_money).all()  # it is spent as it is, whenever that was known
        assert (a.chip_money[57:, aws] < 0.5 * plain.chip_money[57:, aws]).all()


def test_surprises_of_several_days_are_learnt_one_after_the_other() -> None:
    cut = {"table": "companies", "parameter": "capex_total", "from": "2028-01-01", "multiply": 0.3}
    both = of_scenario(
        "history", cut | {"entity": "aws", "known_from": "2026-07-01"}, cut | {"entity": "google", "known_from": "2027-07-01"}
    )
    one = of_scenario("history", cut | {"entity": "aws", "known_from": "2026-07-01"})
    plain, once, twice = (s.draw(SEED, 0) for s in (of_scenario("history"), one, both))
    for end, reference in ((date(2026, 7, 1), plain), (date(2027, 7, 1), once)):
        tick = tick_of(end, START)
        assert [n for n, p in zip(twice.names, twice.planned, strict=True) if p < tick] == [
            n for n, p in zip(reference.names, reference.planned, strict=True) if p < tick
        ]
    assert len(twice.names) < len(once.names) < len(plain.names)


def test_a_grid_that_is_slower_is_met_and_not_planned() -> None:
    same_plans(of_scenario("history").draw(SEED, 0), of_scenario("grid-squeeze").draw(SEED, 0))


def test_samplers_are_shared_only_by_scenarios_that_know_the_same() -> None:
    shock = load_scenario("chip-shock")
    known = shock.model_copy(update={"inputs": (shock.inputs[0].model_copy(update={"known_from": None}),)})
    keys = [sampler_key(s, world()) for s in (load_scenario("history"), load_scenario("decoupling"), shock, known)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert scenario_worlds(shock, world())[0][1].digest == world().digest
    assert scenario_worlds(shock, world())[-1][1].digest == scenario_world(known, world()).digest


# ------------------------------------------------------------------ plans


def plans(s: Sampler, replication: int) -> tuple[Draws, np.ndarray]:
    """A replication and the MW of IT each company plans by quarter, (K, plan quarters)."""
    caught: list[np.ndarray] = []
    original = s._planned_mw

    def catch(*args: object) -> Floats:
        caught.append(original(*args))  # type: ignore[arg-type]
        return caught[-1]

    s._planned_mw = catch  # type: ignore[method-assign]
    try:
        return s.draw(SEED, replication), caught[0]
    finally:
        del s._planned_mw


def many() -> Iterator[tuple[Draws, np.ndarray]]:
    for r in range(6):
        yield plans(sampler(), r)


def test_planned_megawatts_add_up_company_by_company_and_quarter_by_quarter() -> None:
    s = sampler()
    smallest = s.world.get("process", "smallest_project_mw_it")
    for draws, planned in many():
        quarter = np.array([s.frame.quarters.index(q) for q in names_to_quarters(draws, s)])
        for k in range(len(s.frame.companies)):
            mine = draws.company == k
            announced = mine & (np.arange(len(mine)) < len(s.announced))
            generated = mine & ~announced
            built = np.cumsum(np.bincount(quarter[generated], draws.mw16[generated] / 16, minlength=planned.shape[1]))
            due = np.cumsum(planned[k] - np.bincount(quarter[announced], draws.mw16[announced] / 16, minlength=planned.shape[1]))
            # Announced clusters are part of the plan. What they take beyond a quarter's plan is made up later, never undone.
            wanted = np.maximum.accumulate(np.maximum(due, 0.0))
            rounding = (np.cumsum(np.bincount(quarter[mine], minlength=planned.shape[1])) + 1) / 32
            short = wanted - built
            assert (short >= -rounding).all()
            most = float(quantile(smallest, 1 - 1e-6))
            starts = np.bincount(quarter[generated], minlength=planned.shape[1])
            free = starts < ORDINALS
            assert (short[free] <= most + rounding[free]).all()


def names_to_quarters(draws: Draws, s: Sampler) -> list[str]:
    """The quarter of each plan: in the name of a generated cluster, the date of an announced one."""
    return [name.split("/")[1] if "/" in name else quarter_of(s.announced[i].on) for i, name in enumerate(draws.names)]


def test_announced_projects_have_their_own_day_size_country_and_company() -> None:
    s = sampler()
    draws, _ = plans(s, 0)
    ratio = float(s.sheet.draw(SEED, 0)[s.at["power_design_ratio"]])
    assert len(s.announced) > 3
    for i, announced in enumerate(s.announced):
        assert draws.names[i] == announced.name
        assert draws.planned[i] == (announced.on - START).days * TICKS_PER_DAY
        assert draws.mw16[i] == round(announced.facility_mw / ratio * 16)
        assert (draws.forced_country[i], draws.company[i]) == (announced.country, announced.company)
    assert (draws.forced_country[len(s.announced) :] == -1).all()


def test_taking_the_announcements_away_moves_megawatts_but_adds_none() -> None:
    s, without = sampler(), Sampler(world(), sampler().frame)
    without.announce([])
    for r in range(3):
        (a, planned), (b, same) = plans(s, r), plans(without, r)
        assert (planned == same).all()
        for k in range(len(s.frame.companies)):
            total_a, total_b = (float(d.mw16[d.company == k].sum()) / 16 for d in (a, b))
            due = np.cumsum(planned[k])
            late = np.zeros(len(due))
            for i, announced in enumerate(s.announced):
                if announced.company == k:
                    late[s.frame.quarters.index(quarter_of(announced.on))] += a.mw16[i] / 16
            ahead = np.maximum.accumulate(np.maximum(due - np.cumsum(late), 0.0))[-1] + late.sum() - due[-1]
            assert abs(total_a - total_b - ahead) < 12 + len(a.mw16) / 32  # two leftovers too small for a cluster, and rounding


def test_sizes_lie_between_the_stated_bounds() -> None:
    s = sampler()
    for r, (draws, _) in enumerate(many()):
        x = s.sheet.draw(SEED, r)
        ratio = float(x[s.at["power_design_ratio"]])
        generated = draws.mw16[len(s.announced) :] / 16
        assert generated.min() >= float(x[s.at["smallest_project_mw_it"]]) - 1 / 32
        assert generated.max() <= float(x[s.at["largest_project_mw_facility"]]) / ratio + 1 / 32


def test_plans_lie_in_their_quarter_and_the_oldest_five_years_back() -> None:
    s = sampler()
    for draws, _ in many():
        starts = np.array([tick_of(quarter_start(q), START) for q in names_to_quarters(draws, s)])
        inside = (draws.planned - starts) // TICKS_PER_DAY
        assert inside.min() >= 0
        # A day of the quarter, so that none reaches into the next one.
        nexts = np.array([quarter_of(date.fromordinal(START.toordinal() + int(t) // TICKS_PER_DAY)) for t in draws.planned])
        assert (nexts == np.array(names_to_quarters(draws, s))).all()
        assert draws.planned.max() < tick_of(END + timedelta(days=1), START)


def test_names_are_unique_and_tables_have_the_stated_shapes() -> None:
    s = sampler()
    draws = s.draw(SEED, 0)
    n, m, c, k, a = (
        len(draws.names),
        len(s.frame.markets),
        len(s.frame.countries),
        len(s.frame.companies),
        len(s.frame.accelerators),
    )
    assert len(set(draws.names)) == n
    shapes = {
        "company": (n,), "vendor": (n,), "route": (n,), "planned": (n,), "mw16": (n,), "forced_country": (n,), "appeal": (n, m),
        "median": (8, m), "spread": (n, 8), "luck_power": (len(s.frame.years), c), "luck_construction": (len(s.frame.years), c),
        "workload": (n,), "phases": (n,), "phase_mw16": (n, PHASES), "shell_offset": (n, PHASES), "power_offset": (n, PHASES),
        "campus_mw16": (n,), "patience": (n,), "patience_power": (n,), "security": (n,), "bridge_lead": (n,),
        **dict.fromkeys(FILED, (k, c, FILINGS)), "nveu_time": (k, c), "nveu_outcome": (k, c), "deal_time": (c,),
        "office_gaps": draws.office_gaps.shape, "office_work": draws.office_gaps.shape, "classification": (k, a),
        "authorisation_time": (k, APPLICATIONS), "authorisation_outcome": (k, APPLICATIONS), "authorisation_kept": (k,),
        "deliveries": (60, k, a), "chip_money": (60, k), "opening_stock": (k, a), "under_way": (k, a), "fleet_chips": (k, c, a),
        "grid_ticks": (m,), "grid_backlog": (m,), "grid_works": (m,), "crew_limit": (len(s.frame.years), k), "bridge_supply": (60,),
        "route_factor": (4, 8), "price_usd": (a,), "shell_usd_per_mw": (m,), "opex_usd_per_mw": (m,), "spend_ppm": (5,),
    }  # fmt: skip
    assert {f: getattr(draws, f).shape for f in shapes} == shapes
    tables = {f.name for f in dataclasses.fields(draws) if isinstance(getattr(draws, f.name), np.ndarray)}
    assert shapes.keys() == tables
    for name in tables:
        assert getattr(draws, name).dtype == np.int64, name
    assert draws.largest_hop < HOPS
    for field in dataclasses.fields(draws):
        if isinstance(value := getattr(draws, field.name), (int, np.ndarray)) and field.name not in ("forced_country", "appeal"):
            assert np.min(value) >= 0 or field.name in ("planned", "choice_per_year"), field.name


def test_shares_of_routes_are_the_stated_ones() -> None:
    s = sampler()
    counted: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(len(Route)))
    for r in range(8):
        draws = s.draw(SEED, r, assumptions=False)
        years = np.array([int(q[:4]) for q in names_to_quarters(draws, s)])
        for k in range(len(s.frame.companies)):
            for span, (first, last) in enumerate(s.route_spans):
                mine = (draws.company == k) & (years >= first) & (years <= last)
                counted[k, span] += np.bincount(draws.route[mine], minlength=len(Route))
    x = s.sheet.draw(SEED, 0, uncertain=False)
    shares = x[s.at["route_share"]]
    assert max(n.sum() for n in counted.values()) > 500
    for (k, span), n in counted.items():
        if n.sum():
            wanted = shares[k, span] / shares[k, span].sum()
            error = np.sqrt(wanted * (1 - wanted) / n.sum())
            assert (np.abs(n / n.sum() - wanted) <= 4.5 * error + 1e-9).all(), (s.frame.companies[k], span, n / n.sum(), wanted)


def test_stage_medians_split_construction_and_add_nothing() -> None:
    s = sampler()
    draws = s.draw(SEED, 0)
    x = s.sheet.draw(SEED, 0)
    days = x[s.at["construction_days"]][s.frame.market_country]
    split = x[s.at["construction_split"]] / x[s.at["construction_split"]].sum()
    parts = draws.median / TICKS_PER_DAY
    assert parts[Timed.CONSTRUCTION] == pytest.approx(days * split[0], abs=1e-5)
    assert parts[Timed.FIT_OUT] == pytest.approx(days * split[1], abs=1e-5)
    # The racks' installation is part of what is stated from ground-breaking to commissioned, unless it is longer.
    last = np.maximum(days * split[2], float(x[s.at["installation_days"]]))
    assert parts[[Timed.INSTALLATION, Timed.COMMISSIONING]].sum(axis=0) == pytest.approx(last, abs=1e-5)
    assert (draws.median >= 0).all()
    assert (np.delete(draws.median, Timed.COMMISSIONING, axis=0) > 0).all()


def test_a_route_scales_the_whole_of_construction_and_no_delivery() -> None:
    s = sampler()
    for r in range(3):
        factor = s.draw(SEED, r).route_factor
        wanted = np.rint(s.sheet.draw(SEED, r)[s.at["construction_factor"]] * FACTOR_ONE).astype(np.int64)
        for timed in (Timed.CONSTRUCTION, Timed.FIT_OUT, Timed.COMMISSIONING):
            assert factor[:, timed].tolist() == wanted.tolist(), timed.name
        for timed in (Timed.SHIPPING, Timed.INSTALLATION):
            assert (factor[:, timed] == FACTOR_ONE).all(), timed.name
        assert (factor[Route.CLASSIC] == FACTOR_ONE).all()
        assert len(set(wanted.tolist())) > 1


def test_nobody_pauses_in_a_year_that_is_reported() -> None:
    s = sampler()
    always = Sampler(
        world().changed(
            [InputChange.model_validate({"table": "process", "parameter": "pause_probability", "set": 1.0, "reason": "a test"})]
        ),
        s.frame,
    )
    year = np.array([int(q[:4]) for q in s.frame.quarters])
    (_, usual), (_, paused) = plans(s, 0), plans(always, 0)
    assert s.reported_until >= START.year
    reported = year <= s.reported_until
    assert (paused[:, reported] > 0).all()
    assert paused[:, reported] == pytest.approx(usual[:, reported])
    assert (paused[:, ~reported] == 0).any()


def test_a_company_pays_for_the_shells_it_does_not_lease() -> None:
    # With chips no limit, plans are the budget over the cost of a megawatt: the fewer shells are leased, the dearer.
    def planned(leased: float) -> np.ndarray:
        own = (1 - leased) / 3
        shares = [("leased", leased), ("classic", own), ("ai_first", own), ("expansion", own)]
        changes: list[dict[str, object]] = [
            {"table": "process", "parameter": "plan_over_expected_chips", "multiply": 100.0, "reason": "a test"}
        ]
        every = {"table": "companies", "parameter": "route_share", "entity": "*", "reason": "a test"}
        changes += [every | {"scope": route, "set": share} for route, share in shares]
        s = Sampler(world().changed([InputChange.model_validate(change) for change in changes]), sampler().frame)
        return plans(s, 0)[1]

    few, some, most = planned(0.1), planned(0.4), planned(0.7)
    there = few > 0
    assert there.sum() > 50
    assert (few[there] < some[there]).all()
    assert (some[there] < most[there]).all()


# ------------------------------------------------------------------ money


def caught(s: Sampler, replication: int, name: str, **switches: Any) -> tuple[Draws, tuple[Any, ...], Any]:
    """A replication, and the arguments and the result of one of the sampler's steps in it."""
    found: list[tuple[tuple[Any, ...], Any]] = []
    original = getattr(s, name)

    def catch(*args: Any) -> Any:
        found.append((args, original(*args)))
        return found[-1][1]

    setattr(s, name, catch)
    try:
        return s.draw(SEED, replication, **switches), *found[0]
    finally:
        delattr(s, name)


def test_all_together_plan_little_more_than_they_can_expect_power_for() -> None:
    bound, free = (supposed({"parameter": "pause_probability", "set": 0.0}, *more) for more in ((), (POWER_NO_LIMIT,)))
    w, f = bound.world, bound.frame
    cuts = 0
    for r in range(6):
        (_, planned), (_, wanted) = plans(bound, r), plans(free, r)
        x = bound.sheet.draw(SEED, r)
        lead, ratio = round(float(x[bound.at["nominal_lead_quarters"]])), float(x[bound.at["power_design_ratio"]])
        grid = x[bound.at["grid_mw_per_year"]][~closed_markets(w, f)].sum() * float(x[bound.at["grid_share_of_four"]])
        most = float(x[bound.at["plan_over_expected_power"]])
        years = bound.middles[lead : lead + planned.shape[1]]
        at_least = grid / ratio / 4 * most  # and on-site units, which grow
        total, without = planned.sum(axis=0), wanted.sum(axis=0)
        assert (total <= without * (1 + 1e-9)).all()
        kept = without <= at_least
        assert kept.any()
        assert planned[:, kept] == pytest.approx(wanted[:, kept])
        cut = total < without * (1 - 1e-6)
        cuts += int(cut.any())
        assert (total[cut] >= at_least * (1 - 1e-9)).all()
        assert (np.diff(total[cut][np.argsort(years[cut])]) >= -1e-6).all()
        # In proportion: what each company wanted of the whole.
        assert planned[:, cut] / total[cut] == pytest.approx(wanted[:, cut] / without[cut])
    assert cuts > 0


def test_plans_follow_the_budget_expected_when_they_are_made() -> None:
    s = supposed(
        {"parameter": "plan_over_expected_chips", "multiply": 100.0},
        {"parameter": "pause_probability", "set": 0.0},
        POWER_NO_LIMIT,
    )
    _, (get, mix, budgets, chance), planned = caught(s, 0, "_planned_mw")
    assert isinstance(budgets, Budgets)
    lead, plans = round(float(get("nominal_lead_quarters"))), planned.shape[1]
    cost = (budgets.it_cost + budgets.shell)[:, lead : lead + plans]
    assert planned == pytest.approx(budgets.path[:, lead : lead + plans] * budgets.revised[:, :plans] / cost)
    # What is revised later changes no earlier plan, though the money is spent later still.
    for q in (plans // 2, plans - 3):
        shocked = dataclasses.replace(
            budgets, revised=budgets.revised * np.where(np.arange(budgets.path.shape[1]) >= q, 3.0, 1.0)
        )
        again = s._planned_mw(get, mix, shocked, chance)
        assert (again[:, :q] == planned[:, :q]).all()
        assert again[:, q:] == pytest.approx(3 * planned[:, q:])
    assert (np.diff(np.log(budgets.revised[:, np.array(s.long_years) > s.reported_until])) != 0).all()
    assert (budgets.revised[:, np.array(s.long_years) <= s.reported_until] == 1).all()


def test_the_money_for_chips_is_what_shells_leave_of_the_budget_of_the_day() -> None:
    s = sampler()
    for r in range(3):
        draws, (get, *_), budgets = caught(s, r, "_budgets")
        share = budgets.it_cost / (budgets.it_cost + budgets.shell)
        assert (share[:, s.month_quarter] > 0.5).all()
        assert (share <= 1).all()
        due = np.array([budgets.path[:, s.frame.quarters.index(quarter_of(day))] for day in s.frame.months])
        due *= np.array([(budgets.revised * share)[:, s.frame.quarters.index(quarter_of(day))] for day in s.frame.months])
        due *= float(get("financing_over_ai_budget")) / 3 / 1000
        assert np.abs(np.cumsum(draws.chip_money, axis=0) - np.cumsum(due, axis=0)).max() < 1.001
        # In a quarter, shells and chips together are the budget and what is borrowed on top of it.
        q = s.frame.quarters.index("2026Q1")
        whole = budgets.path[:, q] * budgets.revised[:, q] * float(get("financing_over_ai_budget"))
        spent = draws.chip_money[24:27].sum(axis=0) * 1000 / share[:, q]
        assert spent == pytest.approx(whole, rel=1e-5)


def test_plans_and_money_know_nothing_of_the_start_date() -> None:
    s = sampler()
    later = Sampler(world(), frame(world(), date(2025, 1, 1), END))
    for r in range(3):
        (a, _, before), (b, _, after) = (caught(each, r, "_planned_mw") for each in (s, later))
        gone = len(s.frame.quarters) - len(later.frame.quarters)
        assert before[:, gone:] == pytest.approx(after, rel=1e-12)
        assert np.abs(a.chip_money[12:] - b.chip_money).max() <= 1
        # Projects of the year before the start and of the year after it are cut alike.
        for draws in (a, b):
            year = np.floor(draws.planned / TICKS_PER_DAY / DAYS_PER_YEAR)
            size = [np.median(draws.mw16[year == side]) for side in (-1, 0)]
            assert abs(np.log(size[0] / size[1])) < 0.35  # medians of some 200 sizes with a log sd of one
            many = [np.mean(draws.phases[year == side] > 1) for side in (-1, 0)]
            assert abs(many[0] - many[1]) < 0.12


# ------------------------------------------------------------------ phases


def test_phases_add_up_to_their_project_and_only_they_hold_megawatts() -> None:
    s = sampler()
    for r in range(6):
        draws = s.draw(SEED, r)
        f = np.arange(PHASES)
        assert (draws.phase_mw16.sum(axis=1) == draws.mw16).all()
        assert (draws.phases >= 1).all()
        assert (draws.phases <= PHASES).all()
        assert ((draws.phase_mw16 > 0) == (f < draws.phases[:, None])).all()
        # Inner phases are alike; the last one is what is left, unless there are too many, within half an increment.
        several = np.nonzero(draws.phases > 2)[0]
        assert len(several) > 20
        for i in several.tolist():
            inner = draws.phase_mw16[i, 1 : draws.phases[i] - 1]
            assert len(set(inner.tolist())) == 1
            last = draws.phase_mw16[i, draws.phases[i] - 1]
            assert last * 2 >= inner[0]
            assert last * 2 <= 3 * inner[0] or draws.phases[i] == PHASES


def test_a_project_is_one_phase_unless_it_is_clearly_larger_than_its_first() -> None:
    s = sampler()
    for r in range(4):
        draws, x = s.draw(SEED, r), s.sheet.draw(SEED, r)
        most = float(x[s.at["single_phase_below_first_phases"]])
        first = draws.phase_mw16[:, 0]
        many = draws.phases > 1
        assert (draws.mw16[many] >= most * first[many]).all()
        assert (first[~many] == draws.mw16[~many]).all()
        assert 0.05 < many.mean() < 0.5


def test_the_phases_of_large_campuses_have_the_stated_sizes() -> None:
    s = sampler()
    first, step = (world().get("process", p) for p in ("first_phase_mw_facility", "phase_increment_mw_facility"))
    found: dict[str, list[float]] = defaultdict(list)
    for r in range(6):
        draws, (get, route, sizes, own, interval), _ = caught(s, r, "_phases")
        huge = s._phases(get, route, np.full_like(sizes, 1_000_000), own, interval)
        assert (huge["phases"] == PHASES).mean() > 0.9
        facility = huge["phase_mw16"] / 16 * float(get("power_design_ratio"))
        found["first"] += facility[draws.route != Route.EXPANSION, 0].tolist()
        found["expansion"] += facility[draws.route == Route.EXPANSION, 0].tolist()
        found["step"] += facility[huge["phases"] > 2, 1].tolist()
    for name, stated, tail in (("first", first, 0.25), ("expansion", step, 0.1), ("step", step, 0.1)):
        for quantity, below in ((stated.low, tail), (stated.number, 0.5), (stated.high, 1 - tail)):
            share = np.mean(np.array(found[name]) < quantity)
            assert abs(share - below) < 4.5 * np.sqrt(below * (1 - below) / len(found[name])), (name, quantity)


def test_shells_follow_at_the_interval_of_the_route_and_power_by_tranche() -> None:
    s = sampler()
    values = {route: world().get("process", "interval_between_phases_days", scope=route.name.lower()) for route in Route}
    for r in range(3):
        draws, x = s.draw(SEED, r), s.sheet.draw(SEED, r)
        assert (draws.shell_offset[:, 0] == 0).all()
        assert (draws.power_offset[:, 0] == 0).all()
        step = draws.shell_offset[:, 1]
        assert (draws.shell_offset == step[:, None] * np.arange(PHASES)).all()
        for route, value in values.items():
            mine = step[draws.route == route] / TICKS_PER_DAY
            assert abs(np.mean(mine < quantile(value, 0.5)) - 0.5) < 4.5 * 0.5 / np.sqrt(len(mine))
            if value.quantiles == "min-max":
                assert value.low is not None
                assert value.high is not None
                assert value.low - 1e-5 <= mine.min() <= mine.max() <= value.high + 1e-5
        assert (np.diff(draws.power_offset, axis=1) >= 0).all()
        tranche = float(x[s.at["energisation_tranche_mw_facility"]]) / float(x[s.at["power_design_ratio"]])
        before = (np.cumsum(draws.phase_mw16, axis=1) - draws.phase_mw16) / 16
        index = draws.power_offset / TICKS_PER_DAY / float(x[s.at["energisation_tranche_interval_days"]])
        assert index == pytest.approx(np.rint(index), abs=1e-4)
        assert (np.abs(np.rint(index) - np.floor(before / tranche)) <= (np.abs(before / tranche % 1 - 0.5) > 0.49)).all()
        assert (draws.power_offset[draws.phases == 1, 0] == 0).all()


def test_campuses_of_a_gigawatt_are_a_minority_and_hold_their_founder() -> None:
    s = sampler()
    share = []
    for r in range(6):
        draws, x = s.draw(SEED, r), s.sheet.draw(SEED, r)
        assert (draws.campus_mw16 >= draws.mw16).all()
        share.append(np.mean(draws.campus_mw16 / 16 * float(x[s.at["power_design_ratio"]]) >= 1000))
    assert 0.005 < np.mean(share) < 0.12
    assert max(share) < 0.2


# ------------------------------------------------------------------ where


def test_what_sites_are_for_follows_the_share_of_inference_when_they_come_online() -> None:
    s = sampler()
    stated = world().series("process", "inference_share")
    hits: dict[str, list[int]] = defaultdict(list)
    for r in range(6):
        draws = s.draw(SEED, r, assumptions=False)
        for quarter, workload in zip(names_to_quarters(draws, s), draws.workload.tolist(), strict=True):
            hits[quarter[:4]].append(workload)
    first, last = (list(stated.values())[i].number for i in (0, -1))
    for year, wanted in (("2019", first), ("2025", last), ("2028", last)):
        found = np.mean(np.array(hits[year]) == Workload.INFERENCE)
        assert abs(found - wanted) < 4.5 * 0.5 / np.sqrt(len(hits[year])), year
    between = np.mean(np.array(hits["2022"]) == Workload.INFERENCE)
    assert first < between < last


def appeal_after(*changes: dict[str, Any]) -> tuple[Draws, np.ndarray]:
    """A replication, and by how much the score of each market moves for each project, in units."""
    a, b = (s.draw(SEED, 0, assumptions=False) for s in (sampler(), supposed(*changes)))
    assert a.names == b.names
    return a, (b.appeal - a.appeal) / FACTOR_ONE


def test_only_inference_follows_demand() -> None:
    draws, moved = appeal_after({"table": "countries", "parameter": "demand_share", "entity": "GRC", "multiply": 3.0})
    greece, training = list(sampler().frame.markets).index("grc"), draws.workload == Workload.TRAINING
    assert (moved[~training, greece] > 0.5).all()
    assert (moved[training] == 0).all()


def test_a_dearer_market_is_liked_less_and_the_scores_of_others_stay() -> None:
    s = sampler()
    f, w = s.frame, world()
    one = list(f.markets).index("fra")
    _, moved = appeal_after(
        {"table": "countries", "parameter": "electricity_price_usd_per_mwh", "entity": "FRA", "multiply": 2.0}
    )
    x = s.sheet.draw(SEED, 0, uncertain=False)

    def number(name: str) -> float:
        return float(x[s.at[name]])

    hours = 8766 * w.number("process", "annual_load_factor")
    pue = np.array([w.number("countries", "pue_typical", f.countries[c]) for c in f.market_country])
    rate = w.number("process", "discount_rate_real") / 100
    energy = np.array([w.market_value(m, "electricity_price_usd_per_mwh").number for m in f.markets]) * hours * pue
    shell = np.array([w.market_value(m, "construction_cost_usd_per_w").number for m in f.markets]) * 1e6
    shell = x[s.at["construction_cost"]] * 1e6
    yearly = shell * rate / (1 - (1 + rate) ** -number("facility_life")) + energy
    home = np.median(yearly[f.market_country == f.home])
    wanted = number("choice_log_per_relative_cost") * energy[one] / home
    assert moved[:, one] == pytest.approx(np.full(len(moved), wanted), abs=1e-5)
    assert (np.delete(moved, one, axis=1) == 0).all()
    assert wanted < -0.1


FEW = {"parameter": "rationed_markets", "set": 15.0}


def test_the_wait_for_power_counts_once_and_training_minds_it_more() -> None:
    w = world()
    per_year, more = (w.number("process", p) for p in ("choice_log_per_year_of_wait", "choice_training_wait_multiple"))
    few = supposed(FEW)
    for table, place, market in (("markets", "usa_texas", "usa_texas"), ("countries", "GRC", "grc")):
        longer = {"table": table, "parameter": "grid_connection_days", "entity": place, "add": DAYS_PER_YEAR}
        a, b = few.draw(SEED, 0, assumptions=False), supposed(FEW, longer).draw(SEED, 0, assumptions=False)
        one = few.frame.markets.index(market)
        moved = (b.appeal - a.appeal)[:, one] / FACTOR_ONE
        assert few.rationed[one] == (market == "usa_texas")
        # In a rationed market the engine adds the wait of the day.
        minded = 0.0 if few.rationed[one] else per_year
        wanted = np.where(a.workload == Workload.TRAINING, minded * more, minded)
        assert moved == pytest.approx(wanted, abs=1e-5)
    # Without rationing the published wait counts everywhere.
    s = sampler()
    queued, free = (s.draw(SEED, 0, rationing=on) for on in (True, False))
    years = queued.median[Timed.INTERCONNECTION] / TICKS_PER_DAY / DAYS_PER_YEAR
    minded = np.where(queued.workload == Workload.TRAINING, queued.choice_training / FACTOR_ONE, 1.0) * queued.choice_per_year
    wanted = np.where(s.rationed & ~s.closed, years * minded[:, None], 0.0)
    assert np.abs(free.appeal - queued.appeal - wanted).max() <= 10  # scores and the multiple are rounded


def test_the_rationed_markets_are_the_largest_open_ones() -> None:
    s = supposed(FEW)
    w, f = s.world, s.frame
    found = rationed_markets(w, f)
    assert found.sum() == 15
    assert {"usa_nva", "usa_texas", "usa_southeast"} <= {m for m, yes in zip(f.markets, found, strict=True) if yes}
    shut = closed_markets(w, f)
    assert not (found & shut).any()
    yearly = np.array([w.market_value(m, "grid_mw_per_year").number for m in f.markets])
    assert yearly[found].min() >= yearly[~found & ~shut].max()
    alike = {"table": "markets", "parameter": "grid_mw_per_year", "entity": "*", "set": 5000.0, "reason": "a test"}
    ties = rationed_markets(w.changed([InputChange.model_validate(alike)]), f)
    inner = sorted(m for m in f.markets if len(m) > 3 and not shut[f.markets.index(m)])
    assert [m for m, yes in zip(f.markets, ties, strict=True) if yes] == inner[:15]
    assert (rationed_markets(world(), f) <= ~shut).all()  # as many as the data say, or all that are open


# ------------------------------------------------------------------ licences


def test_the_office_has_as_much_work_as_stated() -> None:
    s, w = sampler(), world()
    draws = s.draw(SEED, 0, assumptions=False)
    stated = w.number("process", "licence_applications_per_year")
    assert draws.office_factor == FACTOR_ONE  # the middle values of the data and of the law are one number
    assert draws.reviewers == round(w.number("process", "licence_reviewers_effective"))
    n = len(draws.office_gaps)
    assert abs(draws.office_gaps.mean() / FACTOR_ONE - 1) < 4.5 / np.sqrt(n)
    days = w.number("process", "licence_review_work_days")
    assert abs(draws.office_work.mean() / TICKS_PER_DAY / days - 1) < 4.5 / np.sqrt(n)
    load = stated * draws.office_work.mean() / TICKS_PER_DAY / DAYS_PER_YEAR / draws.reviewers
    assert load == pytest.approx(0.8, abs=0.03)
    own = draws.licence_work.ravel()
    assert abs(own.mean() / TICKS_PER_DAY / days - 1) < 4.5 / np.sqrt(len(own))
    assert abs((own < np.log(2) * days * TICKS_PER_DAY).mean() - 0.5) < 4.5 * 0.5 / np.sqrt(len(own))
    assert abs(np.corrcoef(draws.office_gaps, draws.office_work)[0, 1]) < 4.5 / np.sqrt(n)


def test_no_drawn_office_is_overloaded_and_its_cases_never_run_out() -> None:
    s = sampler()
    years = (END - START).days / DAYS_PER_YEAR + 1
    reviewers = set()
    for r in range(60):
        draws, x = s.draw(SEED, r), s.sheet.draw(SEED, r)
        yearly = float(x[s.at["licence_applications_per_year"]])
        assert draws.office_factor == pytest.approx(yearly / 500 * FACTOR_ONE, abs=1)
        load = yearly * float(x[s.at["licence_review_work_days"]]) / DAYS_PER_YEAR / draws.reviewers
        assert load <= 0.97 + 1e-9
        assert draws.office_gaps.sum() / FACTOR_ONE > yearly * years * OFFICE_GROWTH
        reviewers.add(draws.reviewers)
    assert len(reviewers) > 10
    still = s.draw(SEED, 0, luck=False)
    yearly = float(s.sheet.draw(SEED, 0)[s.at["licence_applications_per_year"]])
    assert still.office_gaps.sum() / FACTOR_ONE > yearly * years * OFFICE_GROWTH


def test_suppositions_about_the_office_reach_it() -> None:
    base = sampler().draw(SEED, 0, assumptions=False)
    staffed = supposed({"parameter": "licence_reviewers_effective", "set": 30.0}).draw(SEED, 0, assumptions=False)
    swamped = supposed({"parameter": "licence_applications_per_year", "multiply": 4.0}).draw(SEED, 0, assumptions=False)
    alone = supposed({"parameter": "licence_reviewers_effective", "set": 2.0}).draw(SEED, 0, assumptions=False)
    assert (staffed.reviewers, alone.reviewers) == (30, 2)
    assert (staffed.office_work == base.office_work).all()
    assert swamped.office_factor == 4 * base.office_factor
    assert (swamped.office_gaps[: len(base.office_gaps)] == base.office_gaps).all()


def test_classification_belongs_to_the_chip() -> None:
    s, w = sampler(), world()
    needed = []
    for r in range(40):
        draws = s.draw(SEED, r, assumptions=False)
        assert (draws.classification == draws.classification[0]).all()
        needed.append(draws.classification[0])
    together = np.array(needed)
    p = w.number("process", "classification_needed_probability")
    assert abs((together > 0).mean() - p) < 4.5 * np.sqrt(p * (1 - p) / together.size)
    lengths = together[together > 0] / TICKS_PER_DAY
    assert abs((lengths < w.number("process", "classification_days")).mean() - 0.5) < 4.5 * 0.5 / np.sqrt(len(lengths))


def test_revocations_come_at_the_stated_rate() -> None:
    s = sampler()
    kept = np.concatenate([s.draw(SEED, r, assumptions=False).authorisation_kept for r in range(150)])
    rate = world().number("process", "authorisation_revocation_probability")
    within = np.mean(kept < 20 * DAYS_PER_YEAR * TICKS_PER_DAY)
    wanted = 1 - np.exp(-20 * rate)
    assert abs(within - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / len(kept))
    never = supposed({"parameter": "authorisation_revocation_probability", "set": 0.0}).draw(SEED, 0)
    assert never.authorisation_kept.min() > 100 * DAYS_PER_YEAR * TICKS_PER_DAY


def test_one_vote_of_the_agencies_decides_all_applications_of_a_round() -> None:
    s = sampler()
    outcomes, times = [], []
    for r in range(200):
        draws = s.draw(SEED, r)
        assert (draws.authorisation_outcome == draws.authorisation_outcome[0]).all()
        # Who has the lower chance is never granted what the other is refused.
        likely, less = (draws.authorisation_outcome[0] < threshold(p) for p in (0.95, 0.8))
        assert (less <= likely).all()
        outcomes.append(draws.authorisation_outcome[0])
        times.append(draws.authorisation_time)
    vote, time = np.array(outcomes) / 2.0**62, np.array(times).reshape(200, -1) / 2.0**62
    for column in (*vote.T, *time.T):
        assert abs(np.mean(column < 0.8) - 0.8) < 4.5 * np.sqrt(0.16 / 200)
    together = np.corrcoef(np.hstack([vote, time]).T)  # rounds and companies each have their own
    assert np.abs(together - np.eye(len(together))).max() < 5 / np.sqrt(200)


# ------------------------------------------------------------------ scarce capacity


def test_a_newcomer_to_a_rationed_market_waits_the_published_time() -> None:
    s = sampler()
    for r in range(5):
        draws, x = s.draw(SEED, r), s.sheet.draw(SEED, r)
        published, ratio = x[s.at["grid_connection_days"]], float(x[s.at["power_design_ratio"]])
        # A year of the market connects what its grid adds, as far as it goes to the four.
        yearly = DAYS_PER_YEAR * TICKS_PER_DAY / draws.grid_ticks
        wanted = x[s.at["grid_mw_per_year"]] * float(x[s.at["grid_share_of_four"]]) / ratio * 16
        assert yearly[s.rationed] == pytest.approx(wanted[s.rationed], rel=1e-3)
        own = float(x[s.at["project_size_median_mw_facility"]]) / ratio * 16 * draws.grid_ticks / TICKS_PER_DAY
        assert (draws.grid_backlog >= 0).all()
        waits = draws.grid_backlog / TICKS_PER_DAY + own
        large = own < published
        assert waits[large] == pytest.approx(published[large], rel=1e-5)
        assert (draws.grid_backlog[~large] == 0).all()
        assert large[yearly / 16 > 100].all()
        assert (draws.grid_works <= float(x[s.at["grid_works_days"]]) * TICKS_PER_DAY + 1).all()
        assert (draws.grid_works / TICKS_PER_DAY <= published + 1e-5).all()


def test_crews_grow_from_the_stated_year() -> None:
    s = sampler()
    for r in range(3):
        draws, x = s.draw(SEED, r), s.sheet.draw(SEED, r)
        crews = x[s.at["crews"]] / float(x[s.at["power_design_ratio"]]) * 16
        year = list(s.frame.years).index(2026)
        assert draws.crew_limit[year] == pytest.approx(crews, abs=0.51)
        growth = 1 + float(x[s.at["concurrent_construction_growth"]])
        assert draws.crew_limit[1:] == pytest.approx(draws.crew_limit[:-1] * growth, abs=2)


def test_on_site_generation_grows_between_and_beyond_the_stated_years() -> None:
    s, w = sampler(), world()
    draws = s.draw(SEED, 0, assumptions=False)
    yearly = draws.bridge_supply.reshape(-1, 12).sum(axis=1) / 16
    to_it = w.number("process", "onsite_supply_share_to_four") / w.number("process", "power_design_ratio")
    first, last = (w.number("process", "onsite_supply", period=p) * to_it for p in ("2025", "2030"))
    growth = (last / first) ** 0.2
    assert yearly[1] == pytest.approx(first, rel=2e-3)
    assert yearly[1:] / yearly[:-1] == pytest.approx(np.full(4, growth), rel=2e-3)
    assert (np.diff(draws.bridge_supply) >= -1).all()


def test_costs_of_running_a_site_follow_the_place() -> None:
    s, w, f = sampler(), world(), sampler().frame
    draws = s.draw(SEED, 0, assumptions=False)
    hours = 8766 * w.number("process", "annual_load_factor")
    for m, market in enumerate(f.markets):
        price = w.market_value(market, "electricity_price_usd_per_mwh").number
        pue = w.number("countries", "pue_typical", f.countries[f.market_country[m]])
        wanted = price * pue * hours + w.number("costs", "opex_non_energy") * 1e6
        assert draws.opex_usd_per_mw[m] == pytest.approx(wanted, abs=1)
    assert draws.discount_ppm < draws.idle_chip_ppm < 200_000
    assert draws.value_usd * 16 * 1000 * DAYS_PER_YEAR == pytest.approx(11e9, rel=1e-3)
    assert 0 <= draws.bridge_usd_per_mwh < 100_000
    assert draws.commitment_months == 10


def test_the_past_as_known_then_can_be_drawn() -> None:
    early = load_world(as_known_on=date(2023, 12, 31))
    draws = Sampler(early, frame(early, START, date(2025, 12, 31))).draw(SEED, 0)
    assert (draws.phase_mw16.sum(axis=1) == draws.mw16).all()
    assert (draws.chip_money > 0).all()


# ------------------------------------------------------------------ chips


def test_deliveries_are_whole_and_their_running_sum_matches_supply_within_one_chip() -> None:
    s, w = sampler(), world()
    f = s.frame
    draws = s.draw(SEED, 0, assumptions=False)
    x = {v.key: quantile(v, 0.5) for v in s.values}
    for k, company in enumerate(f.companies):
        for a, chip in enumerate(f.accelerators):
            vendor = f.vendors[f.vendor_of[a]]
            h = h100e_ppm(w.number("accelerators", "dense_8bit_tops", chip)) / PPM
            generation = {v.period: v.number for v in w.select("supply", vendor, "generation_share", chip)}
            running, due = 0, 0.0
            for t, day in enumerate(f.months):
                quarter = min(max(quarter_of(day), s.supply_quarters[0]), s.supply_quarters[-1])
                share = 0.0
                if w.has("supply", "share_bought", company, vendor, quarter[:4]):
                    of_year = [
                        x["supply", c, "share_bought", vendor, quarter[:4]]
                        for c in f.companies
                        if w.has("supply", "share_bought", c, vendor, quarter[:4])
                    ]
                    share = x["supply", company, "share_bought", vendor, quarter[:4]] / max(sum(of_year), 1.0)
                due += share * x["supply", vendor, "shipped_h100e", "", quarter] * generation.get(quarter, 0.0) / h / 3
                running += int(draws.deliveries[t, k, a])
                assert abs(running - due) < 1 + 1e-6 * due, (company, chip, day)
    assert (draws.deliveries >= 0).all()


def test_the_four_never_take_more_than_the_world_ships() -> None:
    s = sampler()
    f = s.frame
    months = np.array([s.supply_quarters.index(min(quarter_of(day), s.supply_quarters[-1])) for day in f.months])
    for r in range(20):
        draws = s.draw(SEED, r)
        x = s.sheet.draw(SEED, r)
        taken = (draws.deliveries * s.h100e / PPM).sum(axis=1)  # months, accelerators
        running = np.stack([taken[:, f.vendor_of == v].sum(axis=1) for v in range(len(f.vendors))]).cumsum(axis=1)
        shipped = (x[s.at["shipped"]][:, months] / 3).cumsum(axis=1)
        assert (running <= shipped * (1 + 1e-9)).all()
        assert (running[:, -1] > 0).all()


def test_the_mix_of_generations_of_a_vendor_is_a_whole() -> None:
    s = sampler()
    per_vendor = np.stack([s.generation[s.frame.vendor_of == v].sum(axis=0) for v in range(len(s.frame.vendors))])
    shipped = s.sheet.mode[s.at["shipped"]] > 0
    assert per_vendor[shipped] == pytest.approx(1.0, abs=1e-6)


def test_the_opening_fleet_and_stock_hold_what_the_fleets_say() -> None:
    s = sampler()
    f = s.frame
    groups = {"nvidia": "nvidia", "amd": "amd"}
    scope = np.array([groups.get(f.vendors[v], "custom") for v in f.vendor_of])
    for r, assumptions in ((0, False), (1, True), (2, True)):
        draws = s.draw(SEED, r, assumptions=assumptions)
        held = s.sheet.draw(SEED, r, assumptions)[s.at["held"]]
        for k, company in enumerate(f.companies):
            for g, name in enumerate(("nvidia", "custom", "amd")):
                of = scope == name
                chips = draws.fleet_chips[k][:, of].sum(axis=0) + draws.opening_stock[k, of] + draws.under_way[k, of]
                fleet = chips * s.h100e[of] / PPM
                # One chip lost per country and kind when whole chips are cut.
                lost = (len(f.countries) * (draws.fleet_chips[k][:, of].sum(axis=0) > 0) * s.h100e[of] / PPM).sum()
                assert held[k, g] - lost - 1 <= fleet.sum() <= held[k, g] + 1, (company, name, fleet.sum(), held[k, g])


def test_the_opening_fleet_lies_in_the_countries_of_its_company() -> None:
    s = sampler()
    draws = s.draw(SEED, 0, assumptions=False)
    by_country = (draws.fleet_chips * s.h100e).sum(axis=2).astype(float)
    share = by_country / by_country.sum(axis=1, keepdims=True)
    x = s.sheet.draw(SEED, 0, uncertain=False)[s.at["fleet_share"]]
    for k in range(len(s.frame.companies)):
        mine = s.fleet_pairs[:, 0] == k
        assert share[k, s.fleet_pairs[mine, 1]] == pytest.approx(x[mine] / x[mine].sum(), abs=2e-3)
        assert share[k].sum() == pytest.approx(1.0)
