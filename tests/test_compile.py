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

from simulator.compile import (
    BY_HOPE_AND_SEGMENT,
    BY_SEGMENT,
    NOT_LAW,
    NOT_SIMULATED,
    Compiled,
    compile_scenario,
    scenario_law,
)
from simulator.controls import TEXT_ONLY, Item, Law, load_all
from simulator.draws import spread_table
from simulator.problems import InputProblems
from simulator.regimes import DatedLeaf, Leaf
from simulator.review import base_office, fit_clock, stated_clock
from simulator.sampling import Sampler, frame, rationed_markets
from simulator.scenario import Mechanisms, Scenario, load_scenario, shipped_scenarios
from simulator.static import BARRED, NO_POT, Draws, Posture, Static
from simulator.units import H100_TPP, LARGEST, threshold, tick_of
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
        static.provisions[static.nveu_rule[where]] if static.nveu_rule[where] >= 0 else None,
    )
    assert said == (
        need.needs_licence,
        need.provision_id,
        Posture[need.review.upper()] if need.review else Posture.NONE,
        f"{need.provision_id}/lpp" if "lpp" in need.exceptions else None,
        f"{need.provision_id}/uveu" if "uveu" in need.exceptions else None,
        f"{need.provision_id}/nveu" if "nveu" in need.exceptions else None,
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
            assert static.nveu_cap[segment] == law.nveu_cap(day)
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
            clock = stated_clock(world(), law, day)
            fit = fit_clock(p50, p90, base_office(world()), clock)
            assert static.clock_median[segment, posture] == round(fit.clock_median_days * DAY)
            assert static.stop_below[segment, posture] == threshold(fit.stop_probability)
            assert static.stop_median[segment, posture] == round(fit.stop_median_days * DAY)
            assert (static.clock_spread == spread_table(clock.log_sd)).all()
            assert (static.stop_spread == spread_table(clock.stop_log_sd)).all()
            assert static.background_a_year[segment] == law.at("applications.background_per_year", day)


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


# ------------------------------------------------------------------ what is announced, negotiated and offered


def segment_on(c: Compiled, day: date) -> int:
    return int(np.searchsorted(c.static.law_ticks, tick_of(day, c.static.start), side="right")) - 1


def tightening(c: Compiled, day: date, iso3: str) -> date | None:
    """When companies expect to need a licence, by what is announced on that day; None for never."""
    tick = int(c.static.tightens[segment_on(c, day), 0, c.static.countries.index(iso3)])
    return c.static.start + timedelta(days=tick // DAY) if tick < c.static.horizon else None


def test_companies_see_an_announced_restriction_coming_and_no_other() -> None:
    history = compiled("history")
    assert (history.static.tightens == history.static.tightens[:, :1]).all()  # the four are alike
    compliance = date(2025, 5, 15)
    assert tightening(history, date(2025, 1, 12), "IND") is None  # not announced yet
    for iso3 in ("IND", "BRA", "CHE", "ISR"):
        for day in (date(2025, 1, 15), date(2025, 3, 1), date(2025, 5, 12)):
            assert tightening(history, day, iso3) == compliance, (iso3, day)
        assert tightening(history, date(2025, 5, 13), iso3) is None  # announced not to be enforced
    for iso3 in ("GBR", "DEU", "USA", "CHN", "ARE"):  # free before and after, or under licence already
        assert tightening(history, date(2025, 1, 15), iso3) is None, iso3
    assert tightening(history, date(2023, 11, 1), "ARE") == date(2023, 11, 17)  # announced on 17 October
    framework = compiled("diffusion-framework")
    assert tightening(framework, date(2025, 5, 14), "IND") == compliance
    assert tightening(framework, compliance, "IND") is None  # it binds now


def test_without_foresight_nobody_hurries() -> None:
    static = compiled_as(load_scenario("diffusion-framework", sets=["end=2026-12-31", "policy.foresight=false"])).static
    assert (static.tightens == static.horizon).all()


def test_what_tightens_is_what_the_law_as_announced_demands() -> None:
    """Against a day-by-day search over the next months, without using the list of expected changes."""
    c = compiled("history")
    static, law, items = c.static, scenario_law(c.scenario), items_of(c)
    tpp, best = typical_tpp(c, items), max(range(len(items)), key=lambda a: items[a].tpp)
    for day in (date(2022, 10, 7), date(2023, 10, 17), date(2025, 1, 13), date(2025, 5, 13), date(2026, 7, 10)):
        for iso3 in ("ARE", "IND", "CHN", "MAC", "GBR"):
            ahead = [day + timedelta(days=n) for n in range(160)]
            needs = [
                law.requirement(
                    iso3, "USA", items[best], on, announced_by=day, consignee="aws", quantity_tpp=tpp[best]
                ).needs_licence
                for on in ahead
            ]
            first = next((on for on, need in zip(ahead, needs, strict=True) if need), None)
            expected = first if first and not needs[0] else None
            found = tightening(c, day, iso3)
            assert found == expected or (expected is None and found is not None and found > ahead[-1]), (iso3, day)
    assert static.tightens.max() == static.horizon


def test_a_country_that_changes_group_is_no_news_before_it_is_announced() -> None:
    law = scenario_law(load_scenario("history"))
    later = date(2027, 1, 1)
    assert "ARE" in law.members("a5", later)
    assert "ARE" not in law.members("a5", later, announced_by=date(2026, 7, 9))
    assert "ARE" in law.members("d4", later, announced_by=date(2026, 7, 9))
    assert "ARE" in law.members("a5", later, announced_by=date(2026, 7, 10))


def test_the_cap_of_a_national_authorisation_grows_by_quarter() -> None:
    c = compiled("diffusion-framework")
    static = c.static
    in_h100 = {day: static.nveu_cap[segment_on(c, day)] / H100_TPP for day in (date(2025, 12, 31), date(2026, 12, 31))}
    assert list(in_h100.values()) == [100_000, 270_000]
    quarters = [date(2025, 7, 1), date(2025, 10, 1), *(date(y, m, 1) for y in (2026, 2027) for m in (1, 4, 7, 10))]
    assert set(quarters) <= set(days_of(c))
    caps = [static.nveu_cap[segment_on(c, day)] for day in (date(2025, 5, 14), date(2025, 5, 15), *quarters)]
    assert caps[0] == 0
    assert caps == sorted(set(caps))
    # Half of them in the tightened Framework, none where it is not enforced.
    tight = compiled("framework-tight")
    assert [2 * tight.static.nveu_cap[segment_on(tight, day)] for day in quarters] == caps[2:]
    assert not compiled("history").static.nveu_cap.any()


def test_a_national_authorisation_takes_its_profile_and_the_assurances_expected() -> None:
    c = compiled("diffusion-framework")
    static, law, day = c.static, scenario_law(c.scenario), date(2026, 1, 1)
    segment = segment_on(c, day)
    # 90 and 210 days; assurances stop the clock for 60 days in seven cases of ten.
    assert law.nveu_days(day) == (132.0, 252.0)
    assert static.nveu_median[segment] == 132 * DAY
    assert static.nveu_spread[512] == 1 << 20
    assert (static.nveu_spread[921] + 0.6 * (static.nveu_spread[922] - static.nveu_spread[921])) / (1 << 20) == pytest.approx(
        252 / 132, rel=1e-4
    )
    assert static.nveu_grant[segment] == threshold(0.6)
    assert static.nveu_grant[segment_on(c, date(2025, 5, 14))] == 0
    rules = {static.provisions[r] for r in np.unique(static.nveu_rule) if r >= 0}
    assert rules == {"fw.tier2/nveu"}  # the companies' headquarters are in tier 1


def test_a_deal_is_negotiated_where_the_review_comes_to_rest_on_one() -> None:
    c = compiled("bilateral-deals", "2029-12-31")
    static = c.static
    found = dict(zip(static.countries, static.deal_announced.tolist(), strict=True))
    announced = tick_of(date(2027, 1, 1), static.start)
    # The Emirates and Saudi Arabia have had their frameworks since May 2025.
    assert {iso3 for iso3, tick in found.items() if tick < static.horizon} == {"IND", "MYS"}
    assert {tick for tick in found.values() if tick < static.horizon} == {announced}
    assert set(static.deal_median[static.deal_announced < static.horizon].tolist()) == {270 * DAY}
    at_p90 = (static.deal_spread[921] + 0.6 * (static.deal_spread[922] - static.deal_spread[921])) / (1 << 20)
    assert at_p90 == pytest.approx(2.0, rel=1e-4)
    before, after = segment_on(c, date(2026, 12, 31)), segment_on(c, date(2027, 5, 1))
    assert (static.deal_tranches[before], static.deal_acceptance[before]) == (1, 0)
    assert (static.deal_tranches[after], static.deal_acceptance[after]) == (4, 60 * DAY)
    partners = {iso3 for iso3, ppm in zip(static.countries, static.matching_ppm[after].tolist(), strict=True) if ppm}
    assert partners == {"ARE", "SAU", "IND", "MYS"}
    assert set(static.matching_ppm[after].tolist()) == {0, 1_000_000}
    assert not static.matching_ppm[segment_on(c, date(2027, 4, 30))].any()
    # American firms come under the Emirates' deal when it binds.
    uae = static.countries.index("ARE")
    for day, under in ((date(2027, 4, 30), False), (date(2027, 5, 1), True)):
        assert (static.posture[segment_on(c, day), :, uae, static.newest[0]] == Posture.DEAL_WINDOW).all() == under
    assert tightening(c, date(2027, 1, 1), "ARE") == date(2027, 5, 1)
    for name in ("history", "diffusion-framework"):
        other = compiled(name).static
        assert (other.deal_announced == other.horizon).all()
        assert (other.deal_tranches == 1).all()
        assert not other.deal_acceptance.any()
        assert not other.matching_ppm.any()


def test_real_grants_come_on_their_dates_and_those_of_others_are_not_lost() -> None:
    off, on = (
        compiled_as(load_scenario("history", sets=["end=2028-12-31", f"policy.grants_overlay={word}"]))
        for word in ("false", "true")
    )
    assert len(off.static.grant_tick) == 0
    static = on.static
    assert [static.start + timedelta(days=t // DAY) for t in static.grant_tick.tolist()] == [date(2025, 9, 30)]
    assert static.companies[static.grant_company[0]] == "microsoft"
    assert static.countries[static.grant_country[0]] == "ARE"
    assert static.grant_tpp[0] == 301_516_800
    id = static.provisions[static.grant_rule[0]]
    assert id == "microsoft-are-2025"
    assert on.provisions[id].certain
    # Those of G42 and Humain of November 2025 are asked for at the next quarter start.
    more = static.other_importers - off.static.other_importers
    first = static.quarter_starts.tolist().index(tick_of(date(2026, 1, 1), static.start))
    expected = np.zeros_like(more)
    for iso3 in ("ARE", "SAU"):
        expected[first, static.countries.index(iso3)] = 2_100_000_000
    assert (more == expected).all()
    # A timeline that has left history by then has no such grants.
    away = compiled_as(load_scenario("diffusion-framework", sets=["end=2026-12-31", "policy.grants_overlay=true"])).static
    assert len(away.grant_tick) == 0


# ------------------------------------------------------------------ what a law brings besides


def test_announced_projects_are_bound_to_their_country_until_a_scenario_leaves_history() -> None:
    for name, day in (
        ("no-controls", date(2024, 1, 1)),
        ("diffusion-framework", date(2025, 1, 13)),
        ("decoupling", date(2027, 1, 1)),
        ("history", date(2029, 1, 1)),  # the horizon: it never does
        ("self-reliance", date(2029, 1, 1)),
    ):
        assert compiled(name).static.forced_until == tick_of(day, date(2024, 1, 1)), name


def test_retaliation_takes_its_share_of_the_chips_for_as_long_as_stated() -> None:
    for name in ("history", "framework-tight", "collaboration"):
        assert (compiled(name).static.supply_ppm == 1_000_000).all(), name
    left = compiled("decoupling").static.supply_ppm.tolist()
    assert left == [1_000_000] * 36 + [900_000] * 12 + [1_000_000] * 12
    harder = ["policy.set.china.retaliation_supply_cut=0.3", "policy.set.china.retaliation_quarters=2"]
    # A law that leaves history inside a month meets retaliation from the next one on.
    moved = ["end=2028-12-31", "policy.diverges_on=2026-11-15", *harder]
    static = compiled_as(load_scenario("decoupling", sets=moved)).static
    assert static.supply_ppm.tolist() == [1_000_000] * 35 + [700_000] * 6 + [1_000_000] * 19
    # It ends with the law that called it forth.
    ended = ["end=2028-12-31", "policy.later=[{from: 2027-03-01, regime: history}]"]
    static = compiled_as(load_scenario("decoupling", sets=ended)).static
    assert static.supply_ppm.tolist() == [1_000_000] * 36 + [900_000] * 2 + [1_000_000] * 22


def test_new_sites_are_notified_and_chips_verified_where_the_law_says_so() -> None:
    framework, decoupling = compiled("diffusion-framework"), compiled("decoupling")
    for c, day in ((framework, date(2025, 5, 15)), (decoupling, date(2027, 5, 1))):
        before, after = segment_on(c, day - timedelta(days=1)), segment_on(c, day)
        assert (c.static.site_notice[before], c.static.site_notice[after]) == (0, 180 * DAY)
    assert not framework.static.verification.any()
    before, after = segment_on(decoupling, date(2027, 4, 30)), segment_on(decoupling, date(2027, 5, 1))
    assert (decoupling.static.verification[before], decoupling.static.verification[after]) == (0, 180 * DAY)
    assert not compiled("history").static.site_notice.any()


def test_a_refused_company_applies_again_where_there_is_something_to_apply_for() -> None:
    assert compiled("diffusion-framework").static.authorisation_again == 365 * DAY
    history = compiled("history").static
    assert history.authorisation_again == history.horizon
    scenario = load_scenario("diffusion-framework", sets=["end=2026-12-31", "policy.set.uveu.reapply_days=180"])
    assert compiled_as(scenario).static.authorisation_again == 180 * DAY


def test_the_leaves_no_run_depends_on_are_the_listed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling the shipped scenarios, and one for each reading that runs honour, reads every other leaf of the law."""
    read: set[str] = set()
    original = DatedLeaf.at

    def at(leaf: DatedLeaf, on: date) -> Leaf:
        read.add(leaf.id)
        return original(leaf, on)

    monkeypatch.setattr(DatedLeaf, "at", at)
    names = [name for name in shipped_scenarios() if not load_scenario(name).inputs]
    for name in names:
        compiled_as(load_scenario(name, sets=["end=2028-12-31"]))
    speeds = load_all()["history"].switches["review-speed"].readings
    for speed in speeds:
        chosen = [f"policy.readings.review-speed={speed}", "policy.readings.uveu-speed=target"]
        chosen += ["end=2026-12-31", "policy.set.group.allocation_agreements=MYS"]
        compiled_as(load_scenario("diffusion-framework", sets=chosen))
    stated = {id for regime in load_all().values() for id in regime.leaves}
    assert stated - read == TEXT_ONLY


# ------------------------------------------------------------------ money and model weights


def test_levies_and_tariffs_are_those_of_the_day() -> None:
    c = compiled("history")
    static = c.static
    china = static.countries.index("CHN")
    days = (date(2025, 8, 10), date(2025, 8, 11), date(2026, 1, 14), date(2026, 1, 15))
    assert [int(static.revenue_share_ppm[segment_on(c, day), china]) for day in days] == [0, 150_000, 150_000, 250_000]
    assert [int(static.tariff_ppm[segment_on(c, day)]) for day in days] == [0, 0, 0, 250_000]
    elsewhere = np.delete(static.revenue_share_ppm, china, axis=1)
    assert not elsewhere.any()
    covered = {a for a, in_band in zip(static.accelerators, static.tariff_covers[-1].tolist(), strict=True) if in_band}
    assert {"h100", "h200"} <= covered
    assert not {"gb300", "gb200", "b200"} & covered
    assert not static.tariff_covers[segment_on(c, days[2])].any()


def test_weights_need_a_licence_where_and_when_the_framework_says() -> None:
    c = compiled("diffusion-framework")
    static, law = c.static, scenario_law(c.scenario)
    before, after = segment_on(c, date(2025, 5, 14)), segment_on(c, date(2025, 5, 15))
    for table in (static.weights_threshold, static.tuned_share_ppm, static.tuned_threshold, static.tuned_disputed_ppm):
        assert table[before] == 0
    assert (static.weights_rule[before] == -1).all()
    assert static.weights_threshold[after] == 10**6  # 1e26 operations
    assert static.weights_follow_open[after] == 1
    assert (static.tuned_share_ppm[after], static.tuned_threshold[after]) == (250_000, 200_000)
    assert (static.tuned_by_both[after], static.tuned_disputed_ppm[after]) == (0, 500_000)
    for iso3, rule, admits in (("USA", None, 0), ("GBR", None, 0), ("IND", "fw.weights", 3), ("CHN", "fw.tier3", 0)):
        where = after, 0, static.countries.index(iso3)
        found = static.provisions[static.weights_rule[where]] if static.weights_rule[where] >= 0 else None
        assert (found, static.weights_admits[where]) == (rule, admits), iso3
        need = law.weights_requirement(iso3, "USA", date(2025, 5, 15))
        assert need is not None
        assert need.needs_licence == (rule is not None)
    assert not compiled("history").static.weights_threshold.any()


def test_disputed_readings_of_weights_are_compiled() -> None:
    chosen = ["policy.readings.weights-abroad=entity", "policy.readings.tuned-open-weights=both"]
    static = compiled_as(load_scenario("diffusion-framework", sets=["end=2025-12-31", *chosen])).static
    assert static.weights_rule[-1, 0, static.countries.index("IND")] == -1
    assert static.weights_rule[-1, 0, static.countries.index("CHN")] >= 0
    assert static.tuned_by_both[-1] == 1


def test_a_change_of_law_is_a_change_of_something() -> None:
    """Segments in which nothing differs are dropped, and the newest chip alone makes no change of law."""
    for name in ("history", "bilateral-deals"):
        static = compiled(name).static
        tables = [getattr(static, field) for field in BY_SEGMENT if field not in NOT_LAW]
        tables += [np.moveaxis(getattr(static, field), 1, 0) for field in BY_HOPE_AND_SEGMENT]
        for segment in range(1, len(static.law_ticks)):
            assert any((table[segment] != table[segment - 1]).any() for table in tables), (name, segment)
        assert all(len(getattr(static, field)) == len(static.law_ticks) for field in BY_SEGMENT)


def test_every_table_by_segment_is_known_as_one() -> None:
    """A field whose first index is the segment has that length in two scenarios with different numbers of segments."""
    two = [compiled("history").static, compiled("diffusion-framework").static]
    assert len({len(static.law_ticks) for static in two}) == 2
    by_segment = {
        f.name
        for f in dataclasses.fields(Static)
        if all(isinstance(v := getattr(s, f.name), np.ndarray) and len(v) == len(s.law_ticks) for s in two)
    }
    assert by_segment == set(BY_SEGMENT)


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


def test_planners_look_at_the_newest_chip_that_ships() -> None:
    c = compiled("history")
    static = c.static
    for segment, day in enumerate(days_of(c)):
        month = max((day.year - 2024) * 12 + day.month - 1, 0)
        shipping = static.shipping_generation[:, month].tolist()
        assert int(static.newest[segment]) in shipping
        assert static.tpp[static.newest[segment]] == max(static.tpp[a] for a in shipping)
    w, first = world(), int(static.newest[0])
    it_mw = w.number("process", "phase_building_mw_facility") / w.number("process", "power_design_ratio")
    assert static.typical_tpp / static.tpp[first] * static.watts[first] == pytest.approx(it_mw * 1e6, rel=1e-4)
    assert static.quarter_ticks == round(365.25 / 4 * DAY)


def test_sites_may_make_their_own_power_where_the_data_says_so() -> None:
    static = compiled("history").static
    allowed = {v.entity for v in world().select(table="markets", parameter="on_site_generation_allowed") if v.text != "no"}
    assert {m for m, may in zip(static.markets, static.bridging_allowed.tolist(), strict=True) if may} == allowed
    assert "usa_texas" in allowed


def test_the_largest_markets_hand_out_grid_capacity_in_a_queue_unless_switched_off() -> None:
    static = compiled("history").static
    assert static.rationed.sum() > 0
    assert static.rationed.tolist() == rationed_markets(world(), frame(world(), static.start, static.start)).astype(int).tolist()
    off = compiled_as(load_scenario("history", sets=["end=2024-12-31", "mechanisms.rationing=false"])).static
    assert not off.rationed.any()
    assert off.allow_rationing is False


def test_every_mechanism_is_a_switch_of_the_engine() -> None:
    sets = [f"mechanisms.{name}=false" for name in Mechanisms.model_fields]
    off = compiled_as(load_scenario("history", sets=["end=2024-12-31", *sets])).static
    flags = [f.name for f in dataclasses.fields(Static) if f.name.startswith("allow_")]
    assert {name.removeprefix("allow_") for name in flags} == set(Mechanisms.model_fields) - {"luck", "assumptions"}
    assert not any(getattr(off, name) for name in flags)
    assert all(getattr(compiled("history").static, name) for name in flags)


# ------------------------------------------------------------------ bounds


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Static) if f.type == "Ints"])
def test_a_value_beyond_two_to_the_62_is_refused_by_name(field: str) -> None:
    grant = {f"grant_{name}": ints(1) for name in ("tick", "company", "country", "tpp", "rule")}
    static = tiny_static(hold_from=ints(1), hold_until=ints(1), hold_covers=ints(1, 3), **grant)
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
    if isinstance(value, np.ndarray) and not value.size:
        value = ints(1)
    huge: int | np.ndarray = LARGEST + 1
    if isinstance(value, np.ndarray):
        huge = value.copy()
        huge.flat[0] = LARGEST + 1
    with pytest.raises(OverflowError, match=rf"Draws\.{field} .*beyond 2\*\*62"):
        dataclasses.replace(draws, **{field: huge})
