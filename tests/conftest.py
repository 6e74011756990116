"""The tiny world: hand-built engine inputs with fixed durations, so that dates can be computed by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from simulator.draws import TABLE_POINTS
from simulator.static import NO_POT, Draws, Static
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
    table = ints(1, 6, TABLE_POINTS, fill=FACTOR_ONE)
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
        review_spread=table,
        hold_from=ints(0),
        hold_until=ints(0),
        hold_covers=ints(0, 3),
        authorisation_applied=ints(1, fill=months[-1]),
        authorisation_median=ints(1),
        authorisation_spread=ints(1, TABLE_POINTS, fill=FACTOR_ONE),
        authorisation_grant=ints(1, fill=threshold(1.0)),
        authorisation_usd_a_year=ints(1, fill=600_000),
        allow_relocation=True,
        allow_uveu=True,
        allow_lpp=True,
    )
    inputs.update(changes)
    return Static(**inputs)


def tiny_draws(static: Static, plans: list[tuple[int, int, int]], chips_a_month: int = 1_000_000, **changes: Any) -> Draws:
    """Projects given as (day of the plan, MW, market it likes best)."""
    n, months = len(plans), len(static.month_starts) - 1
    appeal = ints(n, 3)
    for root, (_, _, market) in enumerate(plans):
        appeal[root, market] = 1 << 20
    hops = 5
    inputs: dict[str, Any] = dict(  # noqa: C408 (names of fields read better without quotes)
        names=tuple(f"acme-{i}" for i in range(n)),
        company=ints(n),
        vendor=ints(n),
        route=ints(n),
        planned=np.array([day * DAY for day, _, _ in plans], dtype=np.int64),
        mw16=np.array([mw * 16 for _, mw, _ in plans], dtype=np.int64),
        forced_country=ints(n, fill=-1),
        appeal=appeal,
        median=np.array([[LENGTHS[m][s] * DAY for m in static.markets] for s in range(8)], dtype=np.int64),
        spread=ints(n, 8, fill=FACTOR_ONE),
        luck_power=ints(9, 3, fill=FACTOR_ONE),
        luck_construction=ints(9, 3, fill=FACTOR_ONE),
        patience=ints(n, fill=200 * DAY),
        relocates=ints(n, hops, fill=1),
        refile=ints(n, fill=30 * DAY),
        licence_time=ints(n, hops, 8, fill=1 << 61),
        licence_outcome=ints(n, hops, 8),
        authorisation_time=ints(1),
        authorisation_outcome=ints(1),
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
        price_usd=ints(1, fill=30_000),
        it_overhead_ppm=1_600_000,
        shell_usd_per_mw=ints(3, fill=11_000_000),
        spend_ppm=np.array([10_000, 50_000, 500_000, 950_000, 1_000_000]),
        idle_shell_usd=126_000,
        application_usd=50_000,
        authorisation_usd=3_000_000,
        security_ppm=15_000,
    )
    inputs.update(changes)
    return Draws(**inputs)


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
