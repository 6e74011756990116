"""The tiny world: hand-built engine inputs with fixed durations, so that dates can be computed by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from simulator.compile import BY_HOPE_AND_SEGMENT, BY_SEGMENT
from simulator.draws import TABLE_POINTS
from simulator.events import Log, Mark, Stage
from simulator.model import Expansion
from simulator.static import FILINGS, NO_POT, PHASES, Draws, Static
from simulator.units import FACTOR_ONE, TICKS_PER_DAY, month_ends, threshold, tick_of

DAY = TICKS_PER_DAY
LENGTHS = {  # days: site selection, interconnection, permitting, construction, fit-out, shipping, installation, commissioning
    "home": (10, 100, 50, 100, 20, 5, 15, 10),
    "abroad": (10, 100, 50, 100, 20, 5, 15, 10),
    "elsewhere": (20, 300, 50, 100, 20, 5, 15, 10),
}


def ints(*shape: int, fill: int = 0) -> np.ndarray:
    return np.full(shape, fill, dtype=np.int64)


def tiny_static(**changes: Any) -> Static:
    """One company at home in USA; ARE needs whatever the test says; BRA is free. One vendor, one accelerator of 1,000 W."""
    start, end = date(2024, 1, 1), date(2027, 12, 31)
    months = [tick_of(date(y, m, 1), start) for y in range(2024, 2029) for m in range(1, 13)][: len(month_ends(start, end)) + 1]
    table = ints(TABLE_POINTS, fill=FACTOR_ONE)
    inputs: dict[str, Any] = dict(  # noqa: C408 (names of fields read better without quotes)
        start=start,
        horizon=months[-1],
        earliest=tick_of(date(2019, 1, 1), start),
        month_starts=np.array(months),
        year_starts=np.array([tick_of(date(y, 1, 1), start) for y in range(2019, 2028)]),
        quarter_starts=np.array(months[:-1:3]),
        companies=("acme",),
        countries=("USA", "ARE", "BRA"),
        markets=("home", "abroad", "elsewhere"),
        accelerators=("chip",),
        vendors=("maker",),
        provisions=("free", "licence", "pot", "lpp", "uveu", "denial"),
        home=0,
        market_country=np.array([0, 1, 2]),
        tier=np.array([1, 2, 2]),
        rd_access_h100e=10_000,
        vendor_of=ints(1),
        tpp=np.array([16000]),
        counted_tpp=np.array([16000]),
        h100e_ppm=np.array([1_000_000]),
        watts=np.array([1000]),
        shipping_generation=ints(1, len(months) - 1),
        law_ticks=np.array([tick_of(date(2019, 1, 1), start)]),
        needs_licence=ints(1, 1, 3, 1),
        rule=ints(1, 1, 3, 1),
        posture=ints(1, 1, 3, 1),
        law_changes=ints(1, fill=-1),
        outlook=ints(2, 1, 1, 3),
        outlook_wait=ints(2, 1, 1, 3),
        lpp_limit=ints(1),
        lpp_rule=ints(1, 1, 3, 1, fill=-1),
        uveu_rule=ints(1, 1, 3, 1, fill=-1),
        nveu_rule=ints(1, 1, 3, 1, fill=-1),
        tightens=ints(1, 1, 3, fill=months[-1]),
        uveu_single_ppm=ints(1, fill=70_000),
        uveu_tier1_ppm=ints(1, fill=750_000),
        uveu_us_ppm=ints(1, fill=500_000),
        trusted=np.array([[1, 0, 0]]),
        allocation=ints(1, 3, fill=NO_POT),
        allocation_window=ints(1, 3),
        allocation_counts=ints(1, 3),
        allocation_rule=ints(1, 3, fill=2),
        other_importers=ints((len(months) - 1) // 3, 3),
        approve_below=ints(1, 6, fill=threshold(1.0)),
        deny_above=ints(1, 6, fill=threshold(1.0)),
        review_median=ints(1, 6, fill=90 * DAY),
        clock_median=ints(1, 6, fill=90 * DAY),
        clock_spread=table,
        stop_below=ints(1, 6),
        stop_median=ints(1, 6, fill=40 * DAY),
        stop_spread=table,
        background_a_year=ints(1),
        hold_from=ints(0),
        hold_until=ints(0),
        hold_covers=ints(0, 3),
        authorisation_applied=ints(1, fill=months[-1]),
        authorisation_median=ints(1),
        authorisation_spread=ints(1, TABLE_POINTS, fill=FACTOR_ONE),
        authorisation_grant=ints(1, fill=threshold(1.0)),
        authorisation_usd_a_year=ints(1, fill=600_000),
        nveu_cap=ints(1),
        nveu_median=ints(1),
        nveu_spread=table,
        nveu_grant=ints(1),
        deal_announced=ints(3, fill=months[-1]),
        deal_median=ints(3),
        deal_spread=table,
        deal_tranches=ints(1, fill=1),
        deal_acceptance=ints(1),
        grant_tick=ints(0),
        grant_company=ints(0),
        grant_country=ints(0),
        grant_tpp=ints(0),
        grant_rule=ints(0),
        bridging_allowed=ints(3),
        rationed=ints(3),
        newest=ints(1),
        typical_tpp=16_000_000,
        forced_until=months[-1],
        supply_ppm=ints(len(months) - 1, fill=1_000_000),
        site_notice=ints(1),
        verification=ints(1),
        authorisation_again=365 * DAY,
        quarter_ticks=91 * DAY,
        revenue_share_ppm=ints(1, 3),
        tariff_ppm=ints(1),
        tariff_covers=ints(1, 1, fill=1),
        matching_ppm=ints(1, 3),
        weights_rule=ints(1, 1, 3, fill=-1),
        weights_admits=ints(1, 1, 3),
        weights_threshold=ints(1),
        weights_follow_open=ints(1),
        tuned_share_ppm=ints(1),
        tuned_threshold=ints(1),
        tuned_by_both=ints(1),
        tuned_disputed_ppm=ints(1),
        allow_relocation=True,
        allow_uveu=True,
        allow_lpp=True,
        allow_nveu=True,
        allow_rationing=True,
        allow_bridging=True,
        allow_crew_limit=True,
        allow_front_loading=True,
        allow_classification=True,
        allow_review_queue=True,
        allow_security=True,
        allow_money_bound=True,
    )
    inputs.update(changes)
    return Static(**inputs)


def tiny_draws(static: Static, plans: list[tuple[int, int, int]], chips_a_month: int = 1_000_000, **changes: Any) -> Draws:
    """Projects given as (day of the plan, MW, market it likes best)."""
    n, months = len(plans), len(static.month_starts) - 1
    appeal = ints(n, 3)
    for root, (_, _, market) in enumerate(plans):
        appeal[root, market] = 1 << 20
    mw16 = np.array([mw * 16 for _, mw, _ in plans], dtype=np.int64)
    phase_mw16 = ints(n, PHASES)
    phase_mw16[:, 0] = mw16
    inputs: dict[str, Any] = dict(  # noqa: C408 (names of fields read better without quotes)
        names=tuple(f"acme-{i}" for i in range(n)),
        company=ints(n),
        vendor=ints(n),
        route=ints(n),
        planned=np.array([day * DAY for day, _, _ in plans], dtype=np.int64),
        mw16=mw16,
        workload=ints(n),
        phases=ints(n, fill=1),
        phase_mw16=phase_mw16,
        shell_offset=ints(n, PHASES),
        power_offset=ints(n, PHASES),
        campus_mw16=mw16,
        forced_country=ints(n, fill=-1),
        appeal=appeal,
        median=np.array([[LENGTHS[m][s] * DAY for m in static.markets] for s in range(8)], dtype=np.int64),
        spread=ints(n, 8, fill=FACTOR_ONE),
        luck_power=ints(9, 3, fill=FACTOR_ONE),
        luck_construction=ints(9, 3, fill=FACTOR_ONE),
        patience=ints(n, fill=200 * DAY),
        patience_power=ints(n, fill=1 << 40),
        optimism=FACTOR_ONE,
        security=ints(n),
        refile=ints(1, 3, FILINGS, fill=30 * DAY),
        licence_work=ints(1, 3, FILINGS),
        licence_clock=ints(1, 3, FILINGS, fill=1 << 61),
        licence_stop=ints(1, 3, FILINGS, fill=1 << 61),
        licence_stop_length=ints(1, 3, FILINGS, fill=1 << 61),
        licence_outcome=ints(1, 3, FILINGS),
        reviewers=1,
        office_gaps=ints(0),
        office_work=ints(0),
        office_factor=FACTOR_ONE,
        classification=ints(1, 1),
        authorisation_time=ints(1, 1),
        authorisation_outcome=ints(1, 1),
        authorisation_kept=ints(1, fill=1 << 50),
        nveu_time=ints(1, 3),
        nveu_outcome=ints(1, 3),
        deal_time=ints(3),
        commitment_months=0,
        chip_money=ints(months, 1, fill=1 << 40),
        grid_ticks=ints(3, fill=DAY),
        grid_backlog=ints(3),
        grid_works=ints(3),
        crew_limit=ints(9, 1, fill=1 << 40),
        bridge_supply=ints(months),
        bridge_lead=ints(n, fill=60 * DAY),
        shell_ahead=1 << 40,
        bridge_trigger=0,
        front_load_before=90 * DAY,
        front_load_ready=180 * DAY,
        licence_validity=4 * 365 * DAY,
        licence_forecast=0,
        let_after=1 << 40,
        planning_horizon=10 * 365 * DAY,
        value_usd=1900,
        recovery_ppm=500_000,
        deliveries=ints(months, 1, 1, fill=chips_a_month),
        opening_stock=ints(1, 1),
        under_way=ints(1, 1),
        under_way_ticks=0,
        stock_ahead=1 << 40,
        fleet_chips=ints(1, 3, 1),
        route_factor=ints(4, 8, fill=FACTOR_ONE),
        interconnection_lead=0,
        filing_lead=60 * DAY,
        smallest_share_ppm=500_000,
        largest_filings=3,
        largest_hop=4,
        choice_per_year=0,
        choice_training=2 << 20,
        price_usd=ints(1, fill=30_000),
        it_overhead_ppm=1_600_000,
        shell_usd_per_mw=ints(3, fill=11_000_000),
        spend_ppm=np.array([10_000, 50_000, 500_000, 950_000, 1_000_000]),
        idle_shell_usd=126_000,
        application_usd=50_000,
        authorisation_usd=3_000_000,
        security_ppm=15_000,
        opex_usd_per_mw=ints(3, fill=900_000),
        rent_usd_per_mw=1_900_000,
        bridge_usd_per_mwh=60_000,
        load_factor_ppm=800_000,
        freight_ppm=4_000,
        idle_chip_ppm=90_000,
        discount_ppm=66_000,
        design_ratio_ppm=1_300_000,
    )
    inputs.update(changes)
    if "mw16" in changes and "phase_mw16" not in changes:
        inputs["phase_mw16"] = ints(n, PHASES)
        inputs["phase_mw16"][:, 0] = changes["mw16"]
    return Draws(**inputs)


# ------------------------------------------------------------------ what the tests of the engine share

SHELL = 10 + 50 + 100 + 20  # days of site selection, permitting, construction, fit-out: the longer branch at home and abroad
REST = 5 + 15 + 10  # days of shipping, installation, commissioning
HOME, ABROAD, ELSEWHERE = 0, 1, 2
FREE, LICENCE, POT, LPP, UVEU, DENIAL = range(6)  # provisions of the tiny world
NVEU = DENIAL  # it has no other provision to spare
STEPS = 100_000
"""Events that a small world may need. Beyond it, it does not end."""


def played(static: Static, draws: Draws) -> tuple[Expansion, Log]:
    """An engine at its horizon, and its log; fails instead of turning for ever in one instant."""
    engine = Expansion(static, draws)
    env = engine.env

    def run(until: int) -> None:
        for _ in range(STEPS):
            if env.peek() >= until:
                return
            env.step()
        raise AssertionError(f"still at day {env.now / DAY} after {STEPS} events")

    env.run = run
    return engine, engine.run()


def play(static: Static, draws: Draws) -> Log:
    """The log of a world that was played to its horizon."""
    return played(static, draws)[1]


def rows(log: Log, **wanted: int) -> Log:
    """Rows of the log with these entries."""
    keep = np.ones(len(log), dtype=bool)
    for column, value in wanted.items():
        keep &= log[column] == value
    return log[keep]


def days(log: Log, mark: Mark, **wanted: int) -> list[float]:
    """Days on which a mark was made."""
    return (rows(log, mark=mark, **wanted)["tick"] / DAY).tolist()


def amounts(log: Log, mark: Mark, **wanted: int) -> list[int]:
    """Quantities of a mark."""
    return rows(log, mark=mark, **wanted)["quantity"].tolist()


def waited_for(log: Log, root: int = 0, phase: int = 0) -> list[tuple[float, Stage, int]]:
    """What a phase waited for until it was cleared: (day, stage, provision)."""
    mine = rows(log, mark=Mark.WAITS, root=root, phase=phase)
    return [(row["tick"] / DAY, Stage(row["stage"]), int(row["rule"])) for row in mine]


def abroad(value: int, fill: int = 0) -> np.ndarray:
    """A table (K, C, A) of the tiny world with a value for the second country."""
    table = ints(1, 3, 1, fill=fill)
    table[0, ABROAD] = value
    return table


LICENSED = {"needs_licence": abroad(1), "rule": abroad(LICENCE), "posture": abroad(1)}
"""The law of a segment in which the second country needs a licence."""
UNLICENSED = {"needs_licence": abroad(0), "rule": abroad(FREE), "posture": abroad(0)}


def licence_abroad(**changes: Any) -> Static:
    """ARE needs a licence; everything else is free."""
    return tiny_static(**{**{name: table[None] for name, table in LICENSED.items()}, **changes})


SEGMENTED = {*BY_SEGMENT, "site_notice", "verification"}


def by_law(static: Static, *later: tuple[int, dict[str, Any]]) -> Static:
    """The same world with further segments of law: (day, what differs from the segment before, without its own axis)."""
    segments = [{name: getattr(static, name)[0] for name in SEGMENTED}]
    for day, changed in later:
        segments.append({**segments[-1], **changed, "law_ticks": day * DAY})
    count = len(segments)
    tables = {name: np.array([segment[name] for segment in segments]) for name in SEGMENTED}
    hopes = {name: np.repeat(getattr(static, name)[:, :1], count, axis=1) for name in BY_HOPE_AND_SEGMENT}
    return replace(static, **tables, **hopes)


def in_phases(draws: Draws, root: int, mw: list[int], shell: list[int] | None = None, power: list[int] | None = None) -> Draws:
    """The same plans with one project in phases of whole MW; days from the first phase's shell and power to each."""
    n = len(mw)
    phases, sizes = draws.phases.copy(), draws.phase_mw16.copy()
    shells, tranches = draws.shell_offset.copy(), draws.power_offset.copy()
    phases[root], sizes[root, :n] = n, np.array(mw) * 16
    shells[root, :n] = np.array(shell or [0] * n) * DAY
    tranches[root, :n] = np.array(power or [0] * n) * DAY
    total = draws.mw16.copy()
    total[root] = sum(mw) * 16
    return replace(draws, phases=phases, phase_mw16=sizes, shell_offset=shells, power_offset=tranches, mw16=total)


@pytest.fixture(scope="session")
def short_comparison() -> Any:
    """Two shipped scenarios on the whole world for 18 months, three replications of seed 7."""
    from simulator.experiments import compare
    from simulator.scenario import load_scenario

    scenarios = [load_scenario(name, (), ("end=2025-06-30",)) for name in ("no-controls", "history")]
    return compare(scenarios, replications=3, seed=7, workers=1)


@pytest.fixture(scope="session")
def framework_run() -> Any:
    """One replication of the Framework to the end of 2027: licences, pots, refusals, relocations and returned shipments."""
    from simulator.compile import compile_scenario
    from simulator.experiments import run
    from simulator.scenario import load_scenario
    from simulator.world import load_world

    return run(compile_scenario(load_scenario("diffusion-framework", (), ("end=2027-12-31",)), load_world()), seed=7)
