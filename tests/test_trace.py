"""From events to words: stories of single projects, and the projects and provisions behind a difference."""

from __future__ import annotations

import re
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static
from test_story import REST, SHELL, authorised, licence_abroad, pot_of

from simulator.compile import Cited
from simulator.events import Mark
from simulator.experiments import Comparison, Run
from simulator.findings import amount, explained, headlines, scale, table
from simulator.metrics import METRICS
from simulator.model import Expansion
from simulator.statistics import Difference, Row, differences, rows
from simulator.trace import find, gaps, story


def compiled(static: Any) -> Any:
    """A compiled scenario around the tiny world; the licence's provision is known from memory only."""
    cited = {id: Cited(id.title(), f"15 CFR {i}", "", i != 1) for i, id in enumerate(static.provisions)}
    frame = SimpleNamespace(end=date(2027, 12, 31))
    scenario = SimpleNamespace(name="tiny", title="Tiny")
    return SimpleNamespace(static=static, provisions=cited, scenario=scenario, sampler=SimpleNamespace(frame=frame))


def told(static: Any, draws: Any, root: int = 0) -> list[str]:
    return story(compiled(static), draws, Expansion(static, draws).run(), root)


def test_the_story_of_a_free_cluster() -> None:
    static = tiny_static()
    assert told(static, tiny_draws(static, [(0, 16, 0)])) == [
        "acme-0: acme, 16.0 MW of IT, classic, chips of maker",
        "2024-01-01  planned in home (USA, tier 1)",
        "2024-01-11  site selection ends after 10 days",
        "2024-03-01  permitting ends after 50 days",
        "2024-03-01  ground is broken",
        "2024-04-20  grid connection ends after 100 days",
        "2024-04-30  cleared by free (15 CFR 0)",
        "2024-06-09  construction ends after 100 days",
        "2024-06-29  fit-out ends after 20 days",
        "2024-06-29  power and shell are there",
        "2024-06-29  waiting for chips ends after 0 days",
        "2024-06-29  16,000 chip allotted",
        "2024-06-29  shipped, 256.0 m TPP",
        "2024-07-04  shipping ends after 5 days",
        "2024-07-19  installation ends after 15 days",
        "2024-07-29  commissioning ends after 10 days",
        "2024-07-29  online, 16.0 MW",
    ]


def test_a_licence_is_told_with_its_days_its_provision_and_its_doubt() -> None:
    static = licence_abroad()
    lines = told(static, tiny_draws(static, [(0, 16, 1)]))
    assert "2024-04-30  files for a licence of 256.0 m TPP under licence (15 CFR 1; from memory or judgement)" in lines
    assert "2024-07-29  licence review ends after 90 days; licence (15 CFR 1; from memory or judgement)" in lines
    assert "2024-07-29  licence granted for 256.0 m TPP" in lines


def test_a_refusal_and_the_successor_are_one_story() -> None:
    outlook = ints(1, 1, 3)
    outlook[0, 0, 0] = -(1 << 49)
    static = licence_abroad(approve_below=ints(1, 6), deny_above=ints(1, 6), outlook=outlook)
    lines = told(static, tiny_draws(static, [(0, 16, 1)]))
    denied = next(i for i, line in enumerate(lines) if "licence denied under licence" in line)
    assert "given up for another country under licence" in lines[denied + 1]
    assert any("successor 1 planned in elsewhere (BRA, tier 2)" in line for line in lines[denied:])
    assert lines[-1].endswith("online, 16.0 MW")


def test_waiting_for_an_allocation_and_what_stays_empty_are_told() -> None:
    static = licence_abroad(allocation=pot_of(25_000))
    lines = told(static, tiny_draws(static, [(0, 16, 1), (1, 16, 1)]), root=1)
    assert any("application returned without action under pot (15 CFR 2)" in line for line in lines)
    assert any(line.endswith("7.0 MW stay empty") for line in lines)
    static = licence_abroad(allocation=pot_of(20_000), allow_relocation=False)
    lines = told(static, tiny_draws(static, [(0, 16, 1), (200, 16, 1)]), root=1)
    assert any("waiting for the country's allocation ends after" in line and "pot (15 CFR 2)" in line for line in lines)
    assert "cancelled under pot (15 CFR 2)" in lines[-1]


def test_waiting_for_headroom_of_the_authorisation_is_told_with_its_provision() -> None:
    fleet, deliveries = ints(1, 3, 1), ints(48, 1, 1)
    fleet[0, 0, 0], deliveries[7] = 200_000, 30_000  # 1 August: see the same world in test_causes
    static = authorised(allocation=pot_of(0))
    lines = told(static, tiny_draws(static, [(0, 16, 1), (20, 100, 2)], fleet_chips=fleet, deliveries=deliveries))
    assert "2024-08-01  waiting for headroom of the authorisation ends after 93 days; uveu (15 CFR 4)" in lines
    assert "2024-08-01  cleared by uveu (15 CFR 4)" in lines
    assert lines[-1] == "2024-08-31  online, 16.0 MW"


def test_a_site_of_the_opening_fleet_says_so() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, 0, 0] = 16_000
    static = tiny_static()
    lines = told(static, tiny_draws(static, [(-SHELL - REST - 1, 16, 0)], fleet_chips=fleet))
    assert lines[-1].endswith("was ready before the start date: part of the opening fleet")


def test_every_story_of_a_real_run_is_in_order_of_time_and_ends_in_one_state(framework_run: Run) -> None:
    c, draws, log = framework_run.compiled, framework_run.draws, framework_run.log
    for root in range(0, len(draws.names), 7):
        lines = story(c, draws, log, root)
        assert lines[0].startswith(draws.names[root] + ": ")
        dates = [line[:10] for line in lines[1:]]
        assert dates == sorted(dates)
        assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}  \S.*", line) for line in lines[1:])
        online = ((log["root"] == root) & (log["mark"] == Mark.ONLINE)).sum()
        assert sum(bool(re.search(r"  online, [\d.]+ MW$", line)) for line in lines) == online <= 1


def test_a_project_is_found_by_name_and_a_near_miss_is_helped() -> None:
    draws = tiny_draws(tiny_static(), [(0, 16, 0), (0, 16, 1)])
    assert find(draws, "acme-1") == 1
    with pytest.raises(LookupError, match=r"no project 'acme1' in this replication; near: .*acme-1"):
        find(draws, "acme1")


# ------------------------------------------------------------------ differences


def two_laws(plans: list[tuple[int, int, int]], **changes: Any) -> list[Any]:
    free, controlled = tiny_static(), licence_abroad(**changes)
    draws = [tiny_draws(s, plans) for s in (free, controlled)]
    logs = [Expansion(s, d).run() for s, d in zip((free, controlled), draws, strict=True)]
    return gaps(compiled(free), compiled(controlled), (draws[0], draws[1]), (logs[0], logs[1]))


def test_a_difference_is_traced_to_the_project_its_dates_and_the_provision() -> None:
    [gap] = two_laws([(0, 16, 1), (0, 64, 0)])  # the one at home is the same under both
    assert gap._replace(lost_mw_years=0) == (
        "acme-0", "acme", 0, "16 MW in ARE online in 2024-08 instead of 2024-07", "licence review, licence",
    )  # fmt: skip
    assert gap.lost_mw_years == pytest.approx(16 * 30 / 365.25)


def test_the_largest_loss_in_megawatt_years_comes_first_and_less_than_one_is_left_out() -> None:
    found = two_laws([(0, 16, 1), (10, 48, 1), (20, 12, 1), (20, 13, 1)])
    assert [gap.project for gap in found] == ["acme-1", "acme-0", "acme-3"]  # 12 MW for 30 days are 0.99 MW-years


def test_a_project_that_gains_is_not_among_the_losses() -> None:
    reference, static = licence_abroad(), tiny_static()
    draws = tiny_draws(static, [(0, 16, 1)])
    logs = [Expansion(s, draws).run() for s in (reference, static)]
    assert gaps(compiled(reference), compiled(static), (draws, draws), (logs[0], logs[1])) == []


def test_a_cancelled_project_is_not_online_by_the_horizon() -> None:
    [gap] = two_laws([(0, 16, 1)], approve_below=ints(1, 6), deny_above=ints(1, 6), allow_relocation=False)
    assert gap.says == "16 MW in ARE not online by 2027; would have been in 2024-07"
    assert gap.reason == "cancelled, licence"
    assert gap.lost_mw_years == pytest.approx(16 * (1461 - SHELL - REST) / 365.25)


def test_a_project_that_moves_says_where_to_and_one_that_shrinks_by_how_much() -> None:
    refused = {"approve_below": ints(1, 6), "deny_above": ints(1, 6), "review_median": ints(1, 6, fill=5 * DAY)}
    [moved] = two_laws([(0, 16, 1)], **refused)  # refused on day 125, online at home on day 335
    assert moved.says == "16 MW in ARE online in 2024-12 instead of 2024-07 (in USA instead)"
    assert moved.reason == "given up there, licence"
    small, _ = two_laws([(0, 16, 1), (1, 16, 1)], allocation=pot_of(25_000))
    assert (small.project, small.says) == ("acme-1", "16 MW in ARE online with 9 MW only, in 2024-11 instead of 2024-07")
    assert small.reason == "application returned, pot"


def test_equal_runs_have_no_gap_and_other_projects_cannot_be_paired() -> None:
    static = tiny_static()
    draws = [tiny_draws(static, plans) for plans in ([(0, 16, 0)], [(0, 16, 0), (0, 1, 0)])]
    logs = [Expansion(static, d).run() for d in draws]
    c = compiled(static)
    assert gaps(c, c, (draws[0], draws[0]), (logs[0], logs[0])) == []
    assert gaps(c, c, (draws[0], draws[1]), (logs[0], logs[1])) == []


# ------------------------------------------------------------------ the table and the sentences


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (999.0, "MW IT", "999 MW"), (12_345.0, "MW IT", "12.3 GW"), (2.5e6, "H100-equivalents", "2.5 million H100e"),
        (2_500.0, "H100-equivalents", "2 thousand H100e"), (1.234e12, "USD (real 2025)", "1.23 USD tn"), (5e7, "USD (real 2025)", "0.05 USD bn"),
        (0.345, "fraction", "34.5 %"), (2026.53, "calendar year", "2026-07"), (2026 + 181 / 365, "calendar year", "2026-07"),
        (2026 + 180 / 365, "calendar year", "2026-06"), (2028 + 60 / 366, "calendar year", "2028-03"), (2027.0, "calendar year", "2027-01"),
        (None, "MW IT", "not reached"), (12.34, "months", "12.3 months"),
    ],
)  # fmt: skip
def test_amounts_are_shown_in_a_scale_people_read(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_a_signed_share_is_in_points_and_a_difference_of_dates_in_months() -> None:
    assert amount(-0.0312, "fraction", signed=True) == "-3.1 points"
    assert amount(-0.25, "calendar year", signed=True) == "-3 months"
    assert all(scale(m.unit, 1e13).label for m in METRICS.values())


def test_the_table_shows_the_reference_as_level_and_the_others_as_differences(short_comparison: Comparison) -> None:
    lines = table(short_comparison, rows(short_comparison), differences(short_comparison), ["2024-12-31", "2025-06-30"])
    assert all(len(line.cells) == 2 for line in lines)
    shown = {line.metric for line in lines}
    assert shown == {m.name for m in METRICS.values()}, "every metric has its place in the table"
    mw = next(line for line in lines if line.metric == METRICS["it_mw_online"].name and line.date == "2025-06-30")
    level = next(
        r
        for r in rows(short_comparison)
        if (r.metric, r.scenario, r.date, r.company, r.country, r.tier)
        == ("it_mw_online", "no-controls", "2025-06-30", "all", "all", "all")
    )
    assert level.mean is not None and mw.cells[0].startswith(f"{level.mean:,.0f}  [")
    gap = next(
        d
        for d in differences(short_comparison)
        if (d.metric, d.date, d.company, d.country, d.tier) == ("it_mw_online", "2025-06-30", *["all"] * 3)
    )
    assert gap.mean is not None and gap.ci_low is not None and gap.ci_high is not None
    unsettled = "~" if gap.ci_low <= 0 <= gap.ci_high else ""
    assert mw.cells[1] == f"{unsettled}{gap.mean:+,.0f}  ({gap.ci_low:+,.0f}, {gap.ci_high:+,.0f})"


def made(
    mean: float, low: float | None, high: float | None, positive: float, zero: float = 0.0, runs: int = 40, **of: str
) -> Difference:
    """A difference in MW online between "base" and "other" at the end of 2030; the spread over futures is 500 MW either way."""
    where = {"company": "all", "country": "all", "tier": "all", **of}
    return Difference(
        reference="base", scenario="other", metric="it_mw_online", unit="MW IT", date="2030-12-31", mean=mean, ci_low=low, ci_high=high,
        p10=mean - 500, p50=mean, p90=mean + 500, share_positive=positive, share_zero=zero, replications=runs, **where,
    )  # fmt: skip


def said(*found: Difference) -> tuple[str, str]:
    """The opening and the line of "other", against a base of 20 GW."""
    comparison: Any = SimpleNamespace(names=lambda: ["base", "other"], reference="base", replications=found[0].replications)
    level = Row(
        scenario="base", metric="it_mw_online", unit="MW IT", company="all", country="all", tier="all", date="2030-12-31",
        mean=20_000.0, p10=16_000.0, p50=20_000.0, p90=24_500.0, share_reached=1.0,
    )  # fmt: skip
    opening, [line] = headlines(comparison, [level], found, "2030-12-31")
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


def test_the_explanation_names_provisions_with_citations_and_projects_that_exist(framework_run: Run) -> None:
    from simulator.experiments import compare
    from simulator.scenario import load_scenario

    found = compare(
        [load_scenario(n, (), ("end=2026-12-31",)) for n in ("no-controls", "diffusion-framework")],
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
        assert re.search(r"(keeps ready sites waiting for|moves|cancels|leaves empty) \d", said)
    names = found.runs["no-controls"][0][0].names
    projects = [line.strip().split(",")[0] for line in lines if line.startswith("    ")]
    assert projects and set(projects) <= set(names)
    weights = np.asarray(found.provisions["diffusion-framework"]).mean(axis=0)
    assert weights[:, 1].max() > 0
