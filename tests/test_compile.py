"""The tables an engine reads say what the law says: for each day, company, destination and chip, and on both sides of a change."""

from __future__ import annotations

import dataclasses
import math
import random
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static

from simulator.compile import NOT_SIMULATED, Compiled, compile_scenario, scenario_law
from simulator.controls import Item, Law
from simulator.problems import InputProblems
from simulator.sampling import Sampler, frame
from simulator.scenario import Scenario, load_scenario, shipped_scenarios
from simulator.static import BARRED, NO_POT, Draws, Posture, Static
from simulator.units import LARGEST, threshold, tick_of
from simulator.world import World, load_world


@cache
def world() -> World:
    return load_world()


@cache
def shared_sampler(start: date, end: date) -> Sampler:
    return Sampler(world(), frame(world(), start, end))


def compiled_as(scenario: Scenario) -> Compiled:
    """Compile, sharing the sampler between scenarios that change no input."""
    return compile_scenario(scenario, world(), None if scenario.inputs else shared_sampler(scenario.start, scenario.end))


@cache
def compiled(name: str, end: str = "2028-12-31") -> Compiled:
    return compiled_as(load_scenario(name, sets=[f"end={end}"]))


def items_of(c: Compiled) -> list[Item]:
    """The accelerators as the control list sees them."""
    w = c.sampler.world
    return [
        Item(
            tpp=round(w.number("accelerators", "tpp", a)),
            density=w.number("accelerators", "performance_density", a)
            if w.has("accelerators", "performance_density", a)
            else None,
            memory_bandwidth_gbps=w.number("accelerators", "memory_bandwidth_gbps", a),
        )
        for a in c.static.accelerators
    ]


def typical_tpp(c: Compiled, items: list[Item]) -> list[int]:
    """TPP of a cluster of the middle size, by accelerator."""
    w = c.sampler.world
    mw = w.number("process", "project_size_median_mw_facility") / w.number("process", "power_design_ratio")
    return [
        round(mw * 1e6 / w.number("accelerators", "it_power_w", a) * item.tpp)
        for a, item in zip(c.static.accelerators, items, strict=True)
    ]


def days_of(c: Compiled) -> list[date]:
    """First day of each segment of the law."""
    return [c.static.start + timedelta(days=int(tick) // DAY) for tick in c.static.law_ticks]


def must_agree(
    c: Compiled, law: Law, segment: int, day: date, k: int, country: int, a: int, items: list[Item], tpp: list[int]
) -> None:
    static, company = c.static, c.static.companies[k]
    headquarters = c.sampler.world.text("companies", "headquarters", company)
    need = law.requirement(static.countries[country], headquarters, items[a], day, consignee=company, quantity_tpp=tpp[a])
    where = segment, k, country, a
    said = (
        bool(static.needs_licence[where]),
        static.provisions[static.rule[where]],
        Posture(int(static.posture[where])),
        static.provisions[static.lpp_rule[where]] if static.lpp_rule[where] >= 0 else None,
        static.provisions[static.uveu_rule[where]] if static.uveu_rule[where] >= 0 else None,
    )
    assert said == (
        need.needs_licence,
        need.provision_id,
        Posture[need.review.upper()] if need.review else Posture.NONE,
        f"{need.provision_id}/lpp" if "lpp" in need.exceptions else None,
        f"{need.provision_id}/uveu" if "uveu" in need.exceptions else None,
    ), (c.scenario.name, day, company, static.countries[country], static.accelerators[a])


# ------------------------------------------------------------------ law


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_compiles_and_its_tables_say_what_the_law_says(name: str) -> None:
    c = compiled(name)
    static, law, items = c.static, scenario_law(c.scenario), items_of(c)
    tpp, days, rng = typical_tpp(c, items), days_of(c), random.Random(name)
    assert days[0] == c.sampler.frame.earliest
    assert (np.diff(static.law_ticks) > 0).all()
    assert static.law_ticks[-1] < static.horizon
    # Tables hold from each change to the day before the next: both ends, and a day inside.
    for segment, first in enumerate(days):
        last = (days[segment + 1] if segment + 1 < len(days) else c.scenario.end + timedelta(days=1)) - timedelta(days=1)
        inside = first + timedelta(days=rng.randint(0, (last - first).days))
        for day in (first, inside, last):
            for _ in range(8):
                k, country, a = (
                    rng.randrange(len(static.companies)),
                    rng.randrange(len(static.countries)),
                    rng.randrange(len(items)),
                )
                must_agree(c, law, segment, day, k, country, a, items, tpp)


@pytest.mark.parametrize("name", ["history", "diffusion-framework", "framework-tight", "bilateral-deals"])
def test_pots_limits_and_ratios_are_those_of_the_law_on_both_sides_of_each_change(name: str) -> None:
    c = compiled(name)
    static, law, days = c.static, scenario_law(c.scenario), days_of(c)
    for segment, first in enumerate(days):
        last = (days[segment + 1] if segment + 1 < len(days) else c.scenario.end + timedelta(days=1)) - timedelta(days=1)
        for day in (first, last):
            assert static.lpp_limit[segment] == law.lpp_limit(day)
            ratios = law.uveu_ratios(day) or (0, 0, 0)
            assert (static.uveu_single_ppm[segment], static.uveu_tier1_ppm[segment], static.uveu_us_ppm[segment]) == tuple(ratios)
            for country, iso3 in enumerate(static.countries):
                pot, counting = law.allocation(iso3, day), law.counting(iso3, day)
                assert static.allocation[segment, country] == (pot.limit_tpp if pot else NO_POT), (iso3, day)
                assert static.allocation_counts[segment, country] == (counting is not None and pot is None), (iso3, day)
                if counting is not None:
                    assert static.allocation_window[segment, country] == counting.window_start.toordinal()
    for q, tick in enumerate(static.quarter_starts):
        on = static.start + timedelta(days=int(tick) // DAY)
        assert static.other_importers[q].tolist() == [law.other_importers(iso3, on) for iso3 in static.countries]


@pytest.mark.parametrize("name", ["history", "diffusion-framework", "decoupling"])
def test_outcomes_and_review_times_are_those_of_the_law(name: str) -> None:
    c = compiled(name)
    static, law = c.static, scenario_law(c.scenario)
    for segment, day in enumerate(days_of(c)):
        for posture in Posture:
            used = (static.posture[segment] == posture).any()
            review = posture.name.lower()
            if posture is Posture.NONE or not law.has(f"outcome.{review}.approve", day):
                assert posture is Posture.NONE or not used, f"{review} is used on {day} without an outcome"
                continue
            approve, deny, _ = law.outcome(review, day)
            p50, p90 = law.licence_days(review, day)
            assert static.approve_below[segment, posture] == threshold(approve)
            assert static.deny_above[segment, posture] == threshold(1 - deny)
            assert static.approve_below[segment, posture] <= static.deny_above[segment, posture]
            assert static.review_median[segment, posture] == round(p50 * DAY)
            table = static.review_spread[segment, posture]
            assert table[512] == 1 << 20
            # The 90th percentile lies 0.6 of the way from point 921 to 922 of 1,024.
            at_p90 = table[921] + 0.6 * (table[922] - table[921])
            assert at_p90 / (1 << 20) == pytest.approx(p90 / p50, rel=1e-4)


@pytest.mark.parametrize("name", ["history", "diffusion-framework"])
def test_holds_cover_the_days_and_countries_of_the_law(name: str) -> None:
    c = compiled(name)
    static, law = c.static, scenario_law(c.scenario)
    edges = {int(t) for t in (*static.hold_from, *static.hold_until)}
    for tick in sorted({e + d * DAY for e in edges for d in (-1, 0, 1)}):
        day = static.start + timedelta(days=tick // DAY)
        for country, iso3 in enumerate(static.countries):
            covering = static.hold_covers[:, country].astype(bool) & (static.hold_from <= tick) & (tick < static.hold_until)
            assert covering.any() == (law.hold_until(iso3, day) is not None), (iso3, day)


def test_a_country_is_barred_in_the_outlook_only_if_the_newest_chip_needs_a_licence_it_will_not_get() -> None:
    c = compiled("diffusion-framework")
    static, law, items = c.static, scenario_law(c.scenario), items_of(c)
    tpp, newest = typical_tpp(c, items), max(range(len(items)), key=lambda a: items[a].tpp)
    lead = timedelta(days=round(c.sampler.world.number("process", "nominal_lead_quarters") * 365.25 / 4))
    seen = set()
    for segment, day in enumerate(days_of(c)):
        for k, company in enumerate(static.companies):
            headquarters = c.sampler.world.text("companies", "headquarters", company)
            for country, iso3 in enumerate(static.countries):
                then = min(day + lead, c.scenario.end)
                need = law.requirement(
                    iso3, headquarters, items[newest], then, announced_by=day, consignee=company, quantity_tpp=tpp[newest]
                )
                free = not need.needs_licence or "uveu" in need.exceptions
                # Without hope for the authorisation the licence it stands for is feared, with it not.
                for hope, unafraid in enumerate((not need.needs_licence, free)):
                    where = hope, segment, k, country
                    score, wait = int(static.outlook[where]), int(static.outlook_wait[where])
                    if unafraid:
                        assert (score, wait) == (0, 0), (day, iso3, hope)
                        seen.add((hope, "free"))
                        continue
                    approve = law.outcome(need.review, day)[0] if need.review else 0.0
                    if approve < 0.1:
                        assert (score, wait) == (BARRED, 0), (day, iso3, hope)
                        seen.add((hope, "barred"))
                    else:
                        assert score == round(math.log(approve) * (1 << 20)), (day, iso3, hope)
                        assert wait == round(law.licence_days(need.review, day)[0] / 365.25 * (1 << 20)), (day, iso3, hope)
                        seen.add((hope, "may fail"))
                if need.needs_licence and free:
                    seen.add((-1, "the authorisation takes the licence's place"))
    assert len(seen) == 7  # all of them happen


def test_keeping_the_authorisation_costs_only_while_the_law_offers_it() -> None:
    c = compiled("diffusion-framework")
    law = scenario_law(c.scenario)
    for day, usd in zip(days_of(c), c.static.authorisation_usd_a_year.tolist(), strict=True):
        if law.uveu_ratios(day) is None:
            assert usd == 0, day
        else:
            assert usd == round(law.at("uveu.annual_cost_usd", day) + 2 * law.at("report.cost_usd", day)), day
    assert len(set(c.static.authorisation_usd_a_year.tolist())) > 1


@pytest.mark.parametrize("point", sorted(NOT_SIMULATED))
def test_a_reading_that_runs_ignore_is_refused_by_name(point: str) -> None:
    law = scenario_law(load_scenario("diffusion-framework"))
    readings = next(s.readings for _, regime in law.segments for key, s in regime.switches.items() if key == point)
    for reading in readings:
        scenario = load_scenario("diffusion-framework", sets=["end=2028-12-31", f"policy.readings.{point}={reading}"])
        with pytest.raises(InputProblems, match=rf"policy\.readings\.{point}: .*do not depend on this reading"):
            compiled_as(scenario)


def test_a_reading_that_runs_honour_is_compiled() -> None:
    law = scenario_law(load_scenario("diffusion-framework"))
    switches = {key: s for _, regime in law.segments for key, s in regime.switches.items()}
    honoured = switches.keys() - NOT_SIMULATED
    assert honoured
    # All at once: each point's last reading.
    chosen = [f"policy.readings.{point}={list(switches[point].readings)[-1]}" for point in sorted(honoured)]
    compiled_as(load_scenario("diffusion-framework", sets=["end=2025-12-31", *chosen]))


# ------------------------------------------------------------------ calendar and geography


def test_months_quarters_and_years_begin_where_the_calendar_says() -> None:
    c = compiled("history")
    static, start = c.static, c.scenario.start
    assert static.month_starts[0] == 0
    assert static.month_starts[-1] == static.horizon == tick_of(date(2029, 1, 1), start)
    assert len(static.month_starts) == 61
    assert [start + timedelta(days=int(t) // DAY) for t in static.month_starts[:3]] == [
        date(2024, 1, 1),
        date(2024, 2, 1),
        date(2024, 3, 1),
    ]
    assert [start + timedelta(days=int(t) // DAY) for t in static.quarter_starts[-2:]] == [date(2028, 7, 1), date(2028, 10, 1)]
    assert [(start + timedelta(days=int(t) // DAY)).year for t in static.year_starts] == list(range(2019, 2029))


def test_a_run_that_begins_and_ends_inside_the_decade_has_no_gap() -> None:
    c = compiled_as(load_scenario("october-2023-rule", sets=["start=2025-01-01", "end=2026-05-31"]))
    static = c.static
    assert (np.diff(static.month_starts) > 0).all()
    assert (static.month_starts[0], len(static.month_starts)) == (0, 18)
    assert static.month_starts[-1] == static.horizon == tick_of(date(2026, 6, 1), date(2025, 1, 1))
    assert static.earliest == static.year_starts[0] == tick_of(date(2020, 1, 1), date(2025, 1, 1))
    assert len(static.quarter_starts) == len(static.other_importers) == 6
    assert static.shipping_generation.shape[1] == 17
    assert c.draw(1, 0).deliveries.shape[0] == 17


def test_each_market_lies_in_its_country_and_home_is_home() -> None:
    static = compiled("history").static
    assert static.countries[static.home] == "USA"
    by_id = {m.id: m.country for m in world().markets}
    assert {m: static.countries[c] for m, c in zip(static.markets, static.market_country, strict=True)} == by_id
    assert set(static.tier.tolist()) == {1, 2, 3}
    tiers = dict(zip(static.countries, static.tier.tolist(), strict=True))
    assert (tiers["USA"], tiers["GBR"], tiers["ARE"], tiers["CHN"]) == (1, 1, 2, 3)


def test_the_generation_an_application_names_is_one_the_maker_ships() -> None:
    static = compiled("history").static
    for v in range(len(static.vendors)):
        assert (static.vendor_of[static.shipping_generation[v]] == v).all()


# ------------------------------------------------------------------ bounds


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Static) if f.type == "Ints"])
def test_a_value_beyond_two_to_the_62_is_refused_by_name(field: str) -> None:
    static = tiny_static(hold_from=ints(1), hold_until=ints(1), hold_covers=ints(1, 3))
    for value in (LARGEST + 1, -LARGEST - 1):
        huge = getattr(static, field).copy()
        huge.flat[0] = value
        with pytest.raises(OverflowError, match=rf"Static\.{field} .*beyond 2\*\*62"):
            dataclasses.replace(static, **{field: huge})
    at_most = getattr(static, field).copy()
    at_most.flat[0] = LARGEST
    dataclasses.replace(static, **{field: at_most})  # the bound itself is a threshold that always passes


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Draws) if f.type in ("Ints", "int")])
def test_a_draw_beyond_two_to_the_62_is_refused_by_name(field: str) -> None:
    draws = tiny_draws(tiny_static(), [(0, 1, 0)])
    value = getattr(draws, field)
    huge: int | np.ndarray = LARGEST + 1
    if isinstance(value, np.ndarray):
        huge = value.copy()
        huge.flat[0] = LARGEST + 1
    with pytest.raises(OverflowError, match=rf"Draws\.{field} .*beyond 2\*\*62"):
        dataclasses.replace(draws, **{field: huge})
