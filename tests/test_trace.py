"""From events to words: stories of single projects, the same under two policies, and what lies behind a difference."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import (
    ABROAD,
    DAY,
    ELSEWHERE,
    HOME,
    LICENSED,
    REST,
    SHELL,
    UVEU,
    by_law,
    in_phases,
    ints,
    licence_abroad,
    play,
    tiny_draws,
    tiny_static,
)

from simulator.causes import GIVEN_UP, held_up, sites
from simulator.compile import Cited
from simulator.events import Mark, Stage
from simulator.experiments import Comparison, Run
from simulator.findings import BETWEEN, HEADLINES, MAIN, amount, explained, findings, headlines, scale, table
from simulator.metrics import COUNTRY_ONLY, MARKETS, METRICS
from simulator.static import NO_POT
from simulator.statistics import Difference, Row, differences, rows
from simulator.trace import Pair, applications, find, gaps, life_story, story, story_pair

NEVER_APPROVED = {"approve_below": ints(1, 6), "deny_above": ints(1, 6), "clock_median": ints(1, 6, fill=5 * DAY)}
MEMORY = "licence (15 CFR 1; from memory or judgement)"


def compiled(static: Any, name: str = "tiny") -> Any:
    """A compiled scenario around the tiny world; the licence's provision is known from memory only."""
    cited = {id: Cited(id.title(), f"15 CFR {i}", "", i != 1) for i, id in enumerate(static.provisions)}
    frame = SimpleNamespace(end=date(2027, 12, 31))
    return SimpleNamespace(
        static=static, provisions=cited, scenario=SimpleNamespace(name=name), sampler=SimpleNamespace(frame=frame)
    )


def told(static: Any, draws: Any, root: int = 0) -> list[str]:
    return story(compiled(static), draws, play(static, draws), root)


# ------------------------------------------------------------------ the story


def test_the_story_of_a_free_cluster() -> None:
    static = tiny_static()
    assert told(static, tiny_draws(static, [(0, 16, HOME)])) == [
        "acme-0: acme, 16.0 MW of IT, classic new campus, for training, chips of maker",
        "2024-01-01  planned in home (USA, tier 1)",
        "2024-01-11  site control after 10 days",
        "2024-03-01  permits after 50 days; ground is broken; the company expects first power on 2024-04-20",
        "2024-04-20  first power from the grid 100 days after site control, on the date the company gave at ground-breaking",
        "2024-04-30  cleared by free (15 CFR 0) on the day it is asked for",
        "2024-06-29  the shell is finished 120 days after ground-breaking; power and shell are there, the power 70 days before; "
        "16,000 chip shipped, 256.0 m TPP",
        "2024-07-29  online, 16.0 MW (shipping 5, installation 15, commissioning 10 days)",
        "Its 3,360 MW-days since the start went to: construction 48 %, permitting 24 %, fit-out 10 %, installation 7 %, "
        "site selection 5 %, commissioning 5 %, shipping 2 %.",
        "It waited for the shell in the end; there before it: power by 70 days and clearance by 60 days.",
        # 16,000 chips at 30,000 USD with 60 % on top; 16 MW at 11 m USD; 1,251 days at 0.9 m USD a MW and year.
        "Cost since the start, billion USD of 2025: chips with servers and network 0.77, shell 0.18, energy and staff 0.05.",
    ]


def test_a_licence_is_told_with_the_companys_application_its_days_and_its_doubt() -> None:
    static = licence_abroad()
    lines = told(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert f"2024-04-30  acme files its application no. 1 for ARE, 256.0 m TPP under {MEMORY}" in lines
    assert (
        f"2024-07-29  application no. 1 granted, 256.0 m TPP, after 90 days; cleared by {MEMORY} after 90 days on acme's application "
        "no. 1 for ARE, filed 2024-04-30, decided 2024-07-29; 16,000 chip shipped, 256.0 m TPP"
    ) in lines


def test_the_queue_for_a_reviewer_and_a_stopped_clock_are_told_apart() -> None:
    static = licence_abroad(stop_below=ints(1, 6, fill=1 << 62))
    busy = {"licence_work": ints(1, 3, 64, fill=10 * DAY), "office_gaps": ints(1), "office_work": ints(1)}
    lines = told(static, tiny_draws(static, [(0, 16, ABROAD)], **busy))
    assert any("application no. 1 granted, 256.0 m TPP, after 140 days (clock stopped for 40 days)" in line for line in lines)


def test_phases_are_told_together_and_each_application_that_cleared_them() -> None:
    static = licence_abroad()
    draws = in_phases(tiny_draws(static, [(0, 16, ABROAD)]), 0, [4, 8, 4], shell=[0, 10, 40], power=[0, 20, 120])
    lines = told(static, draws)
    assert lines[0].startswith("acme-0: acme, 16.0 MW of IT in 3 phases, ")
    assert "2024-05-10  phase 2: waiting for acme's application no. 1 for ARE, filed 2024-04-30" in lines
    assert (
        f"2024-10-27  application no. 2 granted, 192.0 m TPP, after 90 days; phases 2 and 3: cleared by {MEMORY} after 130 to 170 days "
        "on acme's application no. 2 for ARE, filed 2024-07-29, decided 2024-10-27; 12,000 chip shipped, 192.0 m TPP"
    ) in lines
    assert (
        "2024-11-26  phases 2 and 3: online, 12.0 MW (shipping 5, installation 15, commissioning 10 days); all of it is online, 16.0 MW"
    ) in lines


def test_a_campus_of_twelve_phases_fits_on_a_page() -> None:
    static = tiny_static()
    steps = [20 * i for i in range(12)]
    draws = in_phases(tiny_draws(static, [(0, 16, HOME)]), 0, [4] * 12, shell=steps, power=[2 * step for step in steps])
    lines = told(static, draws)
    assert len(lines) < 45
    assert sum("cleared by free" in line for line in lines) == 1  # told once, not for every phase
    log = play(static, draws)
    # Every phase's day of going online is there.
    lit = {str(np.datetime64("2024-01-01") + int(day)) for day in log["tick"][log["mark"] == Mark.ONLINE] // DAY}
    assert lit == {line[:10] for line in lines if ": online, " in line}


def test_power_is_compared_with_the_companys_own_date() -> None:
    luck = ints(9, 3, fill=1 << 20)
    luck[5] = 3 << 19  # grids take half as long again in 2024
    static = tiny_static()
    lines = told(static, tiny_draws(static, [(0, 16, HOME)], luck_power=luck))
    power = "first power from the grid 150 days after site control: 50 days after the date the company gave at ground-breaking"
    assert f"2024-06-09  {power}" in lines


def test_on_site_generation_is_told_from_its_assignment_to_the_day_the_grid_comes() -> None:
    static = tiny_static(bridging_allowed=np.array([0, 0, 1]))
    supply = ints(48)
    supply[2] = 16 * 16
    draws = tiny_draws(static, [(0, 16, ELSEWHERE)], bridge_supply=supply, bridge_lead=ints(1, fill=200 * DAY))
    lines = told(static, draws)
    assert "2024-03-01  on-site generation is assigned after 40 days" in lines
    assert any("first power from on-site generation 240 days after site control" in line for line in lines)
    assert lines[-4] == "2024-11-16  the grid comes 300 days after site control and ends on-site generation"


def test_a_refusal_and_the_successor_are_one_story() -> None:
    static = licence_abroad(**NEVER_APPROVED)
    lines = told(static, tiny_draws(static, [(0, 16, ABROAD)]))
    assert (
        f"2024-05-05  application no. 1 denied after 5 days under {MEMORY}; 16.0 MW given up for another country under {MEMORY}; "
        "construction stops after 65 days; successor 1 of 16.0 MW planned in home (USA, tier 1)"
    ) in lines
    assert any(line.startswith("2024-12-01  online, 16.0 MW") for line in lines)
    assert lines[-1].endswith("lost with sites given up 0.04.")


def test_a_change_of_law_that_stops_chips_at_hand_is_told() -> None:
    static = by_law(tiny_static(), (200, LICENSED))
    deliveries = ints(48, 1, 1)
    deliveries[7] = 16_000  # 1 August
    lines = told(static, tiny_draws(static, [(0, 16, ABROAD)], deliveries=deliveries))
    asked = (
        "the law changes; clearance asked for again: the law of the day asks for more; acme files its application no. 1 for ARE"
    )
    assert any(line.startswith(f"2024-07-19  {asked}") for line in lines)
    assert "2024-08-01  16,000 chip go back to stock: the law of the day stops the export" in lines


def test_waiting_for_headroom_and_for_an_allocation_are_told_with_their_provision() -> None:
    pot = ints(1, 3, fill=NO_POT)
    pot[0, ABROAD] = 0
    for authorised, words in (
        (ints(1), "waiting for headroom of the authorisation under uveu (15 CFR 4)"),
        (ints(1, fill=1 << 40), "waiting for room in the allocation of ARE under pot (15 CFR 2)"),
    ):
        static = licence_abroad(uveu_rule=ints(1, 1, 3, 1, fill=UVEU), authorisation_applied=authorised, allocation=pot)
        lines = told(static, tiny_draws(static, [(0, 16, ABROAD)]))
        assert any(words in line for line in lines), words


def test_a_site_of_the_opening_fleet_says_so() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 16_000
    static = tiny_static()
    lines = told(static, tiny_draws(static, [(-SHELL - REST - 1, 16, HOME)], fleet_chips=fleet))
    assert lines[-1].endswith("ready before the start date: part of the opening fleet")


def test_every_story_of_a_real_run_is_in_order_of_time_and_tells_each_end(framework_run: Run) -> None:
    c, draws, log = framework_run.compiled, framework_run.draws, framework_run.log
    held = held_up(c.static, draws, log)
    for root in range(0, len(draws.names), 11):
        one = life_story(c, draws, log, root, held)
        days = [day for day, _ in one.lines]
        assert one.title.startswith(draws.names[root] + ": ")
        assert days == sorted(set(days)), "a line a date"
        said = "; ".join(words for _, words in one.lines)
        assert "{" not in said and "None" not in said
        mine = log[log["root"] == root]
        assert len(one.lines) <= 25 + 4 * int(draws.phases[root]) * len(np.unique(mine["hop"]))
        assert ("online, " in said) == bool((mine["mark"] == Mark.ONLINE).any())
        for mark, words in ((Mark.RELOCATED, "given up for another country"), (Mark.CANCELLED, "cancelled")):
            given_up = (mine["mark"] == mark) & (mine["pool"] >= 0)
            assert said.count(words) == given_up.sum()
        assert one.mw == mine["quantity"][np.isin(mine["mark"], (Mark.ONLINE, Mark.IN_FLEET))].sum() / 16


def test_a_project_is_found_by_name_a_successor_by_its_lineage_and_a_near_miss_is_helped() -> None:
    draws = tiny_draws(tiny_static(), [(0, 16, HOME), (0, 16, ABROAD)])
    assert find(draws, "acme-1") == find(draws, "acme-1/2") == 1
    with pytest.raises(LookupError, match=r"no project 'acme1' in this replication; near: .*acme-1"):
        find(draws, "acme1")


def test_every_application_of_a_real_run_is_there_with_its_decision(framework_run: Run) -> None:
    log, companies = framework_run.log, len(framework_run.compiled.static.companies)
    found = applications(companies, log)
    of_licences = log[log["stage"] == Stage.LICENCE_REVIEW]
    assert len(found) == (of_licences["mark"] == Mark.FILED).sum() > 0
    for mark in (Mark.APPROVED, Mark.DENIED, Mark.RETURNED):
        assert sum(a.mark is mark for a in found) == (of_licences["mark"] == mark).sum()
    assert sum(a.queued for a in found) == of_licences["quantity"][of_licences["mark"] == Mark.QUEUED].sum()
    for a in found:
        assert a.decided is None or a.decided >= a.filed + a.queued + a.stopped
        assert a.number >= 1 and a.tpp > 0
    assert len({(a.company, a.country, a.number) for a in found}) == len(found)


# ------------------------------------------------------------------ the same lineage under two policies


def pair_of(one: Any, two: Any, draws: Any, root: int = 0) -> Pair:
    return story_pair(
        (compiled(one, "free"), compiled(two, "controlled")), (draws, draws), (play(one, draws), play(two, draws)), root
    )


def test_two_stories_share_what_is_equal_and_part_on_a_date() -> None:
    free, controlled = tiny_static(), licence_abroad()
    pair = pair_of(free, controlled, tiny_draws(free, [(0, 16, ABROAD)]))
    assert pair.names == ("free", "controlled")
    assert [day for day, _ in pair.shared] == ["2024-01-01", "2024-01-11", "2024-03-01", "2024-04-20"]
    assert pair.parted == "2024-04-30"
    assert pair.rows[0][1].startswith("cleared by free") and pair.rows[0][2].startswith("acme files its application no. 1")
    assert [row[0] for row in pair.rows] == sorted(row[0] for row in pair.rows)
    assert (
        pair.says
        == "They part on 2024-04-30. First phase online 2024-07-29 under free, 2024-08-28 under controlled: 1.0 months later. "
        "All of it online 2024-07-29 under free, 2024-08-28 under controlled: 1.0 months later."
    )
    # Shared and own lines together are each story.
    for side in (0, 1):
        assert (*pair.shared, *((row[0], row[1 + side]) for row in pair.rows if row[1 + side])) == pair.stories[side].lines


def test_equal_stories_never_part_and_a_cancelled_one_is_online_under_one_only() -> None:
    free = tiny_static()
    same = pair_of(free, free, tiny_draws(free, [(0, 16, ABROAD)]))
    assert (same.parted, same.rows, same.says) == (None, (), "The two stories are the same.")
    gone = pair_of(
        free, licence_abroad(**NEVER_APPROVED, allow_relocation=False), tiny_draws(free, [(0, 16, ABROAD)], value_usd=0)
    )
    assert "First phase online by the end of the run only under free, on 2024-07-29." in gone.says
    assert "Online in the end: 16.0 MW under free, 0.0 MW under controlled." in gone.says


def test_runs_of_other_projects_have_no_pair() -> None:
    static = tiny_static()
    draws = [tiny_draws(static, plans) for plans in ([(0, 16, HOME)], [(0, 16, HOME), (0, 1, HOME)])]
    logs = [play(static, d) for d in draws]
    with pytest.raises(ValueError, match="different projects"):
        story_pair((compiled(static), compiled(static)), (draws[0], draws[1]), (logs[0], logs[1]), 0)


# ------------------------------------------------------------------ differences


def two_laws(plans: list[tuple[int, int, int]], other: Any = None, free: Any = None, **changes: Any) -> list[Any]:
    free, controlled = free or tiny_static(), other or licence_abroad()
    draws = tiny_draws(free, plans, **changes)
    return gaps(compiled(free), compiled(controlled), (draws, draws), (play(free, draws), play(controlled, draws)))


def test_a_difference_is_traced_to_the_project_its_dates_and_the_provision() -> None:
    [gap] = two_laws([(0, 16, ABROAD), (0, 64, HOME)])  # the one at home is the same under both
    assert gap._replace(lost_mw_years=0) == (
        "acme-0", "acme", 0, "16 MW in ARE from 2024-08 instead of 2024-07", "more licence review, licence",
    )  # fmt: skip
    assert gap.lost_mw_years == pytest.approx(16 * 30 / 365.25)


def test_the_longest_wait_for_the_law_is_named_with_its_provision() -> None:
    [gap] = two_laws([(0, 16, ABROAD)], licence_abroad(clock_median=ints(1, 6, fill=300 * DAY)))
    assert (gap.says, gap.reason) == ("16 MW in ARE from 2025-03 instead of 2024-07", "more licence review, licence")


def test_the_largest_loss_in_megawatt_years_comes_first_and_less_than_one_is_left_out() -> None:
    plans = [(0, 16, ABROAD), (10, 48, ABROAD), (20, 12, ABROAD), (20, 13, ABROAD)]
    static = licence_abroad(clock_median=ints(1, 6, fill=90 * DAY))
    lost = {gap.project: gap.lost_mw_years for gap in two_laws(plans, static)}
    assert list(lost.values()) == sorted(lost.values(), reverse=True)
    assert all(years >= 1 for years in lost.values())


def test_a_project_that_gains_comes_after_the_losses_with_a_negative_loss() -> None:
    [gap] = two_laws([(0, 16, ABROAD)], tiny_static(), licence_abroad())
    assert gap.lost_mw_years == pytest.approx(-16 * 30 / 365.25)
    assert gap.says == "16 MW in ARE from 2024-07 instead of 2024-08"
    assert gap.reason.startswith("less ")


def test_a_project_that_moves_or_is_cancelled_says_so_and_why() -> None:
    [moved] = two_laws([(0, 16, ABROAD)], licence_abroad(**NEVER_APPROVED))
    assert moved.says == "16 MW in ARE from 2024-12 instead of 2024-07, in USA instead"
    assert moved.reason == "given up there, licence"
    never = licence_abroad(**NEVER_APPROVED, allow_relocation=False)
    [gone] = two_laws([(0, 16, ABROAD)], never, value_usd=0)
    assert gone.says == "16 MW in ARE from 2024-07 in the reference, none by 2027"
    assert gone.reason == "cancelled, licence"
    assert gone.lost_mw_years == pytest.approx(16 * (1461 - SHELL - REST) / 365.25)


def test_equal_runs_have_no_gap_and_other_projects_cannot_be_paired() -> None:
    static = tiny_static()
    draws = [tiny_draws(static, plans) for plans in ([(0, 16, HOME)], [(0, 16, HOME), (0, 1, HOME)])]
    logs = [play(static, d) for d in draws]
    c = compiled(static)
    assert gaps(c, c, (draws[0], draws[0]), (logs[0], logs[0])) == []
    assert gaps(c, c, (draws[0], draws[1]), (logs[0], logs[1])) == []


# ------------------------------------------------------------------ the table and the sentences


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (999.0, "MW IT", "999 MW"), (12_345.0, "MW IT", "12.3 GW"), (2.5e6, "H100-equivalents", "2.5 million H100e"),
        (2_500.0, "H100-equivalents", "2 thousand H100e"), (1.234e12, "USD (real 2025)", "1.23 USD tn"), (5e7, "USD (real 2025)", "50.0 USD m"),
        (0.345, "fraction", "34.5 %"), (2026.53, "calendar year", "2026-07"), (2026 + 181 / 365, "calendar year", "2026-07"),
        (2026 + 180 / 365, "calendar year", "2026-06"), (2028 + 60 / 366, "calendar year", "2028-03"), (2027.0, "calendar year", "2027-01"),
        (None, "MW IT", "not reached"), (12.34, "months", "12.3 months"), (7.0, "campuses", "7 campuses"), (7.5, "campuses", "7.5 campuses"),
        (8_123.4, "USD (real 2025) per H100-equivalent and year", "8,123 USD per H100-equivalent and year"),
        (2.5e6, "MW IT x days", "2.5 million MW-days"), (4e9, "TPP", "4,000.0 million TPP"),
    ],
)  # fmt: skip
def test_amounts_are_shown_in_a_scale_people_read(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_a_signed_share_is_in_points_and_a_difference_of_dates_in_months() -> None:
    assert amount(-0.0312, "fraction", signed=True) == "-3.1 points"
    assert amount(-0.25, "calendar year", signed=True) == "-3 months"
    assert all(scale(m.unit, 1e13).label for m in METRICS.values())


def test_every_metric_that_has_a_total_has_its_place_in_one_section() -> None:
    placed = [metric for _, metrics in HEADLINES for metric in metrics]
    assert len(placed) == len(set(placed))
    assert set(placed) == set(METRICS) - {m.id for m in (*COUNTRY_ONLY, *MARKETS)}
    assert set(MAIN) <= set(placed) and set(placed) >= BETWEEN


def test_the_table_shows_the_reference_as_level_and_the_others_as_differences(short_comparison: Comparison) -> None:
    levels, apart = list(rows(short_comparison)), list(differences(short_comparison))
    lines = table(short_comparison, levels, apart, ["2024-12-31", "2025-06-30"])
    assert all(len(line.cells) == 2 for line in lines)
    mw = next(line for line in lines if line.metric == METRICS["it_mw_online"].name and line.date == "2025-06-30")
    where = ("2025-06-30", "all", "all", "all")
    level = next(
        r
        for r in levels
        if (r.metric, r.scenario, r.date, r.company, r.country, r.tier) == ("it_mw_online", "no-controls", *where)
    )
    assert level.mean is not None and mw.cells[0].startswith(f"{level.mean:,.0f}  [")
    gap = next(d for d in apart if (d.metric, d.date, d.company, d.country, d.tier) == ("it_mw_online", *where))
    if gap.share_zero == 1:
        assert mw.cells[1] == "="
    else:
        assert gap.mean is not None and gap.ci_low is not None and gap.ci_high is not None
        unsettled = "~" if gap.ci_low <= 0 <= gap.ci_high else ""
        assert mw.cells[1] == f"{unsettled}{gap.mean:+,.0f}  ({gap.ci_low:+,.0f}, {gap.ci_high:+,.0f})"
    between = [line for line in lines if line.metric == METRICS["mw_displaced"].name]
    assert between and all(line.cells[0] == "" for line in between), "what exists only between two policies has no level"


def made(
    mean: float, low: float | None, high: float | None, positive: float, zero: float = 0.0, runs: int = 40, **of: Any
) -> Difference:
    """A difference in MW online between "base" and "other" at the end of 2030; the spread over futures is 500 MW either way."""
    about = {
        "company": "all",
        "country": "all",
        "tier": "all",
        "metric": "it_mw_online",
        "date": "2030-12-31",
        "half": 500.0,
        **of,
    }
    half = about.pop("half")
    return Difference(
        reference="base", scenario="other", unit=METRICS[about["metric"]].unit, mean=mean, ci_low=low, ci_high=high,
        p10=mean - half, p50=mean, p90=mean + half, share_positive=positive, share_zero=zero, replications=runs, **about,
    )  # fmt: skip


def base_row(mean: float, **of: Any) -> Row:
    about = {"metric": "it_mw_online", "date": "2030-12-31", **of}
    return Row(
        scenario="base", unit=METRICS[about["metric"]].unit, company="all", country="all", tier="all",
        mean=mean, p10=0.8 * mean, p50=mean, p90=1.225 * mean, share_reached=1.0, **about,
    )  # fmt: skip


def compared(runs: int) -> Any:
    return SimpleNamespace(names=lambda: ["base", "other"], reference="base", replications=runs)


def said(*found: Difference) -> tuple[str, str]:
    """The opening and the line of "other", against a base of 20 GW."""
    opening, [line] = headlines(compared(found[0].replications), [base_row(20_000.0)], found, "2030-12-31")
    assert line.scenario == "other"
    return opening, line.says


def test_the_message_keeps_precision_and_uncertainty_apart() -> None:
    opening, says = said(made(-800, -900, -700, 0.05, 0.1))
    assert (
        opening
        == "IT capacity online at the end of 2030 under base: 20.0 GW (16.0 to 24.5 GW in eight of ten futures). Against that:"
    )
    # The half-width of the interval of the mean; the share of the reference; runs of this sign; the spread over futures.
    assert says == "-800 MW (± 100 MW, -4.0 %), lower in 34 of 40 runs, -1.3 to -0.3 GW in eight of ten futures"
    assert "higher in 30 of 40 runs" in said(made(800, 700, 900, 0.75, 0.1))[1]


def test_few_runs_show_no_spread_and_a_single_one_no_interval() -> None:
    opening, says = said(made(-800, -900, -700, 0.0, runs=9))
    assert "futures" not in opening + says
    assert said(made(100, None, None, 1, runs=1))[1] == "+100 MW in this one replication"


def test_an_unsettled_sign_is_said_and_so_is_equality() -> None:
    assert said(made(100, -50, 250, 0.6))[1] == "no clear difference in total: +100 MW (± 150 MW, +0.5 %)"
    nothing = made(0, 0, 0, 0, 1)
    assert said(nothing)[1] == "no difference in any replication"
    # Equal in total, not in parts: that is no equality.
    apart = made(50, 40, 60, 1, tier="2", company="google")
    assert said(nothing, apart)[1] == "no clear difference in total: +0 MW (± 0 MW, +0.0 %); most in tier 2: Google +50 MW"


def test_where_most_of_a_difference_lies_is_the_largest_clear_part() -> None:
    parts = [
        made(-3_000, -5_000, 1_000, 0.4, tier="2", company="aws"),  # not clear
        made(-900, -950, -850, 0.0, tier="3", company="oracle"),
        made(400, 350, 450, 1.0, tier="1", company="google"),
        made(-2_000, -2_100, -1_900, 0.0, tier="3"),  # all companies
    ]
    assert said(made(-800, -900, -700, 0.05), *parts)[1].endswith("; most in tier 3: Oracle -900 MW")


def sentences(*found: Difference, levels: tuple[Row, ...] = ()) -> list[tuple[str, str]]:
    made_of = findings(compared(found[0].replications), levels, found, "2030-12-31")
    assert all(f.scenario == "other" and f.says.startswith("other: ") for f in made_of)
    return [(f.section, f.says.removeprefix("other: ")) for f in made_of]


def test_a_finding_is_one_sentence_with_the_precision_of_its_mean_and_apart_from_it_the_spread_of_futures() -> None:
    assert sentences(made(-800, -900, -700, 0.05, 0.1), levels=(base_row(20_000.0),)) == [
        (
            "Capacity",
            "IT capacity online at the end of 2030 is 800 MW lower (-4.0 %); the mean of 40 paired runs is known to ± 100 MW. "
            "Apart from that, eight of ten futures lie between -1,300 and -300 MW, lower in 34 of 40.",
        )
    ]


def test_findings_speak_each_units_language() -> None:
    found = sentences(
        made(0.5, 0.4, 0.6, 0.9, metric="quota_binding_date", date="2031-12-31", half=0.25),
        made(3.0, 2.0, 4.0, 0.9, metric="months_plan_to_online_median", date="2031-12-31", half=2.0),
        made(-0.02, -0.03, -0.01, 0.1, metric="share_us", half=0.01),
        made(500.0, 400.0, 600.0, 1.0, metric="mw_displaced", half=100.0),
        levels=(base_row(2026.5, metric="quota_binding_date", date="2031-12-31"),),
    )
    assert [section for section, _ in found] == ["Capacity", "Capacity", "Timeline", "Policy"]
    share, moved, months, date_ = (says for _, says in found)
    assert share.startswith("Share in the United States at the end of 2030 is 2.0 points lower;")
    assert (
        moved.startswith("IT capacity displaced at the end of 2030 is 500 MW;") and "futures lie between 400 and 600 MW." in moved
    )
    assert months.startswith("Plan to online, median is 3.0 months longer;")
    assert (
        date_.startswith("First day a country allocation binds is 6.0 months later;") and "between +3.0 and +9.0 months" in date_
    )


def test_what_is_unsettled_equal_or_of_few_runs_is_said_as_it_is() -> None:
    unsettled = (made(100, -50, 250, 0.6), made(-0.01, -0.03, 0.01, 0.4, metric="share_us", half=0.1))
    assert sentences(*unsettled, levels=(base_row(20_000.0),)) == [
        (
            "Capacity",
            "the runs do not settle the sign of the difference in IT capacity online at the end of 2030 (+100 MW, ± 150); "
            "Share in the United States at the end of 2030 (-1.0 points, ± 2.0).",
        )
    ]
    assert sentences(made(0, 0, 0, 0, 1)) == []
    assert "futures" not in sentences(made(-800, -900, -700, 0.0, runs=9))[0][1]
    never = made(0.0, None, None, 0.0, metric="quota_binding_date", date="2031-12-31")
    unpaired = dataclasses.replace(never, mean=None, share_zero=None, replications=0)
    level = dataclasses.replace(
        base_row(2026.5, metric="quota_binding_date", date="2031-12-31"), scenario="other", share_reached=0.75
    )
    [(_, says)] = sentences(unpaired, levels=(level,))
    assert (
        says == "First day a country allocation binds is 2026-07 on average, in 75 % of futures, and never under the reference."
    )
    assert sentences(made(-800, None, None, 0.0, runs=1))[0][1].endswith("is 800 MW lower in this one replication.")


def test_the_explanation_names_provisions_with_citations_and_projects_that_exist(framework_run: Run) -> None:
    from simulator.experiments import compare
    from simulator.scenario import load_scenario

    found = compare(
        [load_scenario(n, (), ("end=2027-12-31",)) for n in ("no-controls", "diffusion-framework")],
        replications=1,
        seed=7,
        workers=1,
    )
    lines = explained(found)
    ids = set(found.compiled[1].static.provisions)
    provisions = [line for line in lines if not line.startswith("    ")]
    assert provisions
    for line in provisions:
        name, said = line.split(": ", 1)
        assert name == "diffusion-framework" and said.split()[0] in ids
        assert re.search(r"\(mean of runs; [^)]*15 CFR", said)
        assert re.search(r"(keeps ready phases waiting for|moves|cancels|leaves empty) \d", said)
    draws, log = found.runs["diffusion-framework"][0]
    projects = [line.strip().split(",")[0] for line in lines if line.startswith("    ")]
    assert projects and set(projects) <= set(draws.names)
    assert all(re.search(r": (loses|gains) [\d,]+ MW-years; \d", line) for line in lines if line.startswith("    "))
    # A project that is said to be given up has been.
    given_up = {draws.names[site.root] for site in sites(draws, log) if site.given_up is not None}
    for line in lines:
        if "given up there" in line:
            assert line.strip().split(",")[0] in given_up
    assert len(GIVEN_UP) == 2
