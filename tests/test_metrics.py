"""Metrics by hand on hand-written logs, and every number a second time by a plain loop over the raw log of a real run."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date
from typing import Any

import numpy as np
import pytest
from conftest import (
    ABROAD,
    DAY,
    ELSEWHERE,
    HOME,
    LICENCE,
    POT,
    UVEU,
    by_law,
    days,
    ints,
    licence_abroad,
    play,
    tiny_draws,
    tiny_static,
)
from logs import MONTH, Page, after_run, world

from simulator.events import Log, Mark, Stage
from simulator.experiments import Run, rd_weights
from simulator.lives import ASKING, NEVER, Rows, lives, lives_of, waits
from simulator.metrics import (
    BY_COUNTRY,
    BY_MARKET,
    BY_MONTH,
    BY_YEAR,
    METRICS,
    PAIRED,
    SCALARS,
    SERIES,
    WAITING,
    YEARLY,
    Measures,
    Metric,
    Provided,
    groups,
    measure,
    year_ends,
)
from simulator.sampling import HOPS
from simulator.static import Workload
from simulator.units import DAYS_PER_YEAR, month_ends

RD = np.array([0.5, 0.3, 0.2])  # weights of USA, ARE, BRA
PROMISED = {  # the metric ids of the contract of `compare --json`
    "it_mw_online", "h100e_online", "h100e_delivered_not_online", "share_tier1", "share_us", "capex_usd", "compliance_usd",
    "idle_shell_usd", "months_plan_to_online_median", "licence_wait_days", "mw_relocated", "mw_downsized", "mw_cancelled",
    "quota_binding_date", "china_ratio", "rd_access",
}  # fmt: skip


def measured(static: Any, draws: Any, log: Log | Page) -> Measures:
    return measure(static, draws, log.log() if isinstance(log, Page) else log, RD)


def series(measures: Measures, metric: str, group: int = 0) -> list[float]:
    """One monthly series from January 2024 on; group 0 is the total."""
    return measures.monthly[[m.id for m in BY_MONTH].index(metric), :, group].tolist()


def yearly(measures: Measures, metric: str, group: int = 0) -> list[float]:
    """One series at the ends of 2024 to 2027."""
    return measures.yearly[[m.id for m in BY_YEAR].index(metric), :, group].tolist()


def scalar(measures: Measures, metric: str, company: int | None = None) -> float:
    row = [m.id for m in SCALARS].index(metric)
    return float(measures.scalars[row] if company is None else measures.by_company[row, company])


def country(measures: Measures, metric: str) -> list[list[float]]:
    return measures.by_country[BY_COUNTRY.index(metric)].tolist()


def month_of(day: float) -> int:
    """Index of the month, from January 2024 on, in which a day of the tiny world falls."""
    when = date.fromordinal(date(2024, 1, 1).toordinal() + int(day))
    return (when.year - 2024) * 12 + when.month - 1


def stepped(*steps: tuple[float, float], months: int = 48) -> list[float]:
    """Running total of (day, amount) at month ends."""
    return [sum(amount for day, amount in steps if month_of(max(day, 0)) <= t) for t in range(months)]


# ------------------------------------------------------------------ capacity by hand


def test_capacity_counts_the_opening_fleet_and_steps_up_phase_by_phase() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, :, 0] = 2_000, 500, 0  # 2 MW at home, half a MW in ARE
    static, draws = world([[10, 6], [4]], fleet_chips=fleet)
    page = Page(static).site(0, 16, HOME).site(1, 4, ELSEWHERE)
    page.phase(0, 0, mw=10, chips=10_000, shipped=100, online=217).phase(0, 1, mw=5, chips=5_000, shipped=200, online=300)
    page.phase(1, mw=4, market=2, chips=4_000, shipped=300, online=400)
    found = measured(static, draws, page)
    expected = stepped((0, 2.5), (217, 10), (300, 5), (400, 4))
    assert series(found, "it_mw_online") == expected
    assert series(found, "h100e_online") == [1_000 * mw for mw in expected]  # 1,000 W a chip, each worth one H100
    home = stepped((0, 2), (217, 10), (300, 5))
    assert series(found, "share_us") == pytest.approx([a / b for a, b in zip(home, expected, strict=True)])
    assert series(found, "share_tier1") == series(found, "share_us")  # the United States is the tiny world's only tier 1
    assert country(found, "it_mw_online") == [[17, 0.5, 0], [17, 0.5, 4], [17, 0.5, 4], [17, 0.5, 4]]
    assert found.by_market[BY_MARKET.index("it_mw_added")].tolist() == [[15, 0, 0], [15, 0, 4], [15, 0, 4], [15, 0, 4]]
    assert found.by_market[BY_MARKET.index("h100e_added")][-1].tolist() == [15_000, 0, 4_000]


def test_a_cluster_online_on_the_last_day_of_a_month_counts_in_it_and_a_day_later_in_the_next() -> None:
    static, draws = world([[16]])
    july_ends = (date(2024, 7, 31) - date(2024, 1, 1)).days
    for day, july in ((july_ends, 16), (july_ends + 1, 0)):
        assert series(measured(static, draws, Page(static).site(0, 16).phase(0, mw=16, online=day)), "it_mw_online")[6:8] == [
            july,
            16,
        ]


def test_five_series_of_chips_from_order_to_service() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, HOME, 0] = 300
    static, draws = world([[1]], fleet_chips=fleet, opening_stock=ints(1, 1, fill=70), under_way=ints(1, 1, fill=30))
    page = Page(static).site(0, 1, ABROAD).phase(0, mw=1, market=ABROAD, chips=90, shipped=100, installed=130, online=170)
    page.company(31, Stage.CHIPS, Mark.COMMITTED, pool=0, quantity=500).company(
        60, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=500
    )
    found = measured(static, draws, page)
    assert series(found, "h100e_ordered") == stepped((0, 400), (31, 500))
    assert series(found, "h100e_delivered") == stepped((0, 400), (60, 500))
    assert series(found, "h100e_in_stock") == stepped((0, 100), (60, 500), (100, -90))
    assert series(found, "h100e_installed") == stepped((0, 300), (130, 90))
    assert series(found, "h100e_online") == stepped((0, 300), (170, 90))
    assert series(found, "h100e_delivered_not_online") == stepped((0, 100), (60, 500), (170, -90))
    tier2 = [g.company == "all" and g.tier == "2" for g in groups(static)].index(True)
    assert series(found, "h100e_installed", tier2) == stepped((130, 90))
    assert set(series(found, "h100e_delivered", tier2)) == {0}


def test_chips_without_a_powered_shell_and_shells_without_chips() -> None:
    # Two vendors: 5,000 chips of the first and 3,000 of the second in stock, all of 1,000 W. One phase of 2 MW wants the first's.
    vendors = {"vendors": ("maker", "other"), "accelerators": ("chip", "die"), "vendor_of": np.array([0, 1]), "tpp": ints(2, fill=16_000),
               "counted_tpp": ints(2), "h100e_ppm": np.array([1_000_000, 500_000]), "watts": ints(2, fill=1_000)}  # fmt: skip
    laws = {name: ints(1, 1, 3, 2, fill=-1) for name in ("lpp_rule", "uveu_rule", "nveu_rule")}
    laws |= {name: ints(1, 1, 3, 2) for name in ("needs_licence", "rule", "posture")}
    static, draws = world(
        [[2], [3]], **vendors, **laws, opening_stock=np.array([[5_000, 3_000]]), price_usd=ints(2, fill=30_000),
        deliveries=ints(48, 1, 2), under_way=ints(1, 2), fleet_chips=ints(1, 3, 2), after_run=after_run(tflops=np.zeros(2)),
    )  # fmt: skip
    page = Page(static).site(0, 2, HOME).site(1, 3, ABROAD)
    page.phase(0, mw=2, ready=100, shipped=200, chips=2_000)
    page.phase(1, mw=3, market=ABROAD, shipped=120, chips=1_000, ready=300).at(
        120, Stage.SHIPPING, Mark.FRONT_LOADED, 1, pool=ABROAD
    )
    found = measured(static, draws, page)
    # In stock: 5,000 + 1,500. From day 100 on 2,000 have their shell, and they leave on day 200; 1,000 wait abroad for theirs.
    assert series(found, "h100e_without_shell") == stepped((0, 6_500), (100, -2_000), (120, -1_000 + 1_000), (300, -1_000))
    assert series(found, "mw_ready_without_chips") == stepped((100, 2), (200, -2))  # the second had chips before it was ready
    assert yearly(found, "mw_front_loaded") == [3] * 4


def test_more_ready_shells_than_chips_leave_no_chip_without_one() -> None:
    static, draws = world([[9]], opening_stock=ints(1, 1, fill=1_000))
    found = measured(static, draws, Page(static).site(0, 9).phase(0, mw=9, ready=40))
    assert series(found, "h100e_without_shell") == stepped((0, 1_000), (40, -1_000))


def test_what_comes_online_before_the_start_counts_from_the_first_month_unless_it_is_in_the_fleet() -> None:
    fleet = ints(1, 3, 1)
    fleet[0, HOME, 0] = 16_000
    static, draws = world([[2], [4]], fleet_chips=fleet)
    page = Page(static).site(0, 2, planned=-600).site(1, 4, planned=-700)
    page.phase(0, mw=2, chips=2_000, shipped=-40, online=-5).phase(1, mw=4, ready=-60).at(
        -60, Stage.PROJECT, Mark.IN_FLEET, 1, quantity=64
    )
    found = measured(static, draws, page)
    assert series(found, "it_mw_online") == [18] * 48 and series(found, "h100e_online") == [18_000] * 48
    assert set(series(found, "mw_ready_without_chips")) == {0}
    assert math.isnan(scalar(found, "months_plan_to_online_median"))  # planned before the start: in no cohort


def test_campuses_count_once_their_facility_load_is_large() -> None:
    static, draws = world([[200, 100], [700], [200]], design_ratio_ppm=1_500_000)
    page = Page(static).site(0, 300).site(1, 700, ABROAD).site(2, 200, ELSEWHERE)
    page.phase(0, 0, mw=200, online=100).phase(0, 1, mw=100, online=500).phase(1, mw=700, market=1, online=800).phase(
        2, mw=199, market=2, online=9
    )
    found = measured(static, draws, page)
    assert yearly(found, "campuses_300mw") == [1, 1, 2, 2]
    assert yearly(found, "campuses_1gw") == [0, 0, 1, 1]


def test_access_for_research_needs_ten_thousand_h100e_in_the_country() -> None:
    for missing, access in ((0, [0.3] * 48), (1, [0.0] * 48)):
        fleet = ints(1, 3, 1)
        fleet[0, ABROAD, 0] = tiny_static().rd_access_h100e - missing
        static, draws = world([], fleet_chips=fleet)
        assert series(measured(static, draws, Page(static)), "rd_access") == pytest.approx(access)


def test_shares_of_nothing_have_no_value() -> None:
    static, draws = world([[16]])
    share = series(
        measured(static, draws, Page(static).site(0, 16).phase(0, mw=16, chips=16_000, shipped=99, online=210)), "share_us"
    )
    assert all(math.isnan(v) for v in share[: month_of(210)]) and share[month_of(210) :] == [1.0] * (48 - month_of(210))


# ------------------------------------------------------------------ waits and losses by hand


def test_ready_phases_by_what_they_wait_for() -> None:
    static, draws = world([[1], [2], [4], [8], [16], [32], [64], [128]])
    page = Page(static)
    for root in range(8):
        page.site(root, 1 << root, ABROAD).phase(root, mw=1 << root, asked=10, ready=50, market=ABROAD)
    for root, stage in enumerate(ASKING[1:], 1):
        page.at(10, stage, Mark.WAITS, root, rule=LICENCE, pool=ABROAD)
    for root in (6, 7):
        page.at(20, Stage.CLEARANCE, Mark.CLEARED, root, rule=LICENCE, pool=ABROAD)
    page.at(50, Stage.SECURITY, Mark.START, 6, pool=ABROAD).at(40, Stage.CHIPS, Mark.START, 7, pool=0)
    page.at(900, Stage.SECURITY, Mark.END, 6, pool=ABROAD)
    found = measured(static, draws, page)
    assert {WAITING[stage][0]: yearly(found, f"mw_waiting_{WAITING[stage][0]}") for stage in ASKING} == {
        WAITING[stage][0]: [1 << i] * 4 for i, stage in enumerate(ASKING)
    }
    assert series(found, "mw_waiting_clearance") == stepped((50, 63))
    assert country(found, "mw_waiting_clearance") == [[0, 63, 0]] * 4
    assert yearly(found, "mw_waiting_security") == [64, 64, 0, 0]
    assert yearly(found, "mw_waiting_chips") == [128] * 4
    assert series(found, "mw_ready_without_chips") == stepped((50, 255))


def test_a_phase_in_line_for_chips_that_loses_its_clearance_waits_for_that_alone() -> None:
    static, draws = world([[4], [8]])
    page = Page(static).site(0, 4, ABROAD).site(1, 8, ABROAD)
    for root, mw in ((0, 4), (1, 8)):
        page.phase(root, mw=mw, asked=10, cleared=20, ready=50, market=ABROAD).at(50, Stage.CHIPS, Mark.START, root, pool=0)
    page.at(300, Stage.CLEARANCE, Mark.START, pool=ABROAD).at(500, Stage.CLEARANCE, Mark.CLEARED, rule=LICENCE, pool=ABROAD)
    page.at(900, Stage.CHIPS, Mark.END, pool=0)
    found = measured(static, draws, page)
    assert yearly(found, "mw_waiting_chips") == [8, 12, 8, 8]
    assert yearly(found, "mw_waiting_refiling") == [4, 0, 0, 0]


def test_losses_by_law_and_by_other_reasons_where_they_were() -> None:
    static, draws = world([[10, 20], [30], [40], [50], [60]])
    page = Page(static)
    for root, mw in enumerate((30, 30, 40, 50)):
        page.site(root, mw, ABROAD, planned=-9)
    lost = {"pool": ABROAD}
    page.at(100, Stage.PROJECT, Mark.RELOCATED, 0, rule=LICENCE, quantity=160, **lost)
    page.at(200, Stage.PROJECT, Mark.RELOCATED, 1, quantity=480, **lost)
    page.at(300, Stage.PROJECT, Mark.LET, 2, quantity=640, **lost).at(
        300, Stage.PROJECT, Mark.CANCELLED, 2, rule=POT, quantity=640, **lost
    )
    page.at(-5, Stage.PROJECT, Mark.CANCELLED, 3, quantity=800, **lost)  # before the start
    page.at(400, Stage.PROJECT, Mark.CANCELLED, 4, quantity=960)  # every market is barred: planned nowhere, so at home
    page.at(500, Stage.PROJECT, Mark.DOWNSIZED, 0, 0, 1, rule=LICENCE, quantity=16, **lost)
    page.at(600, Stage.CHIPS, Mark.SWITCHED, 1, pool=0)
    found = measured(static, draws, page)
    assert series(found, "mw_relocated") == stepped((100, 10)) and yearly(found, "mw_relocated_other") == [30] * 4
    assert series(found, "mw_cancelled") == stepped((300, 40)) and yearly(found, "mw_cancelled_other") == [0, 60, 60, 60]
    assert yearly(found, "mw_let") == [40] * 4
    assert series(found, "mw_downsized") == stepped((500, 1))
    assert yearly(found, "mw_switched") == [0, 30, 30, 30]
    tier1 = [g.company == "all" and g.tier == "1" for g in groups(static)].index(True)
    assert yearly(found, "mw_cancelled_other", tier1) == [0, 60, 60, 60]


# ------------------------------------------------------------------ footprint, weights, training by hand


def footprint(*steps: tuple[float, Mark], fleet: tuple[int, int, int] = (600, 100, 100)) -> tuple[list[float], list[float]]:
    """Share outside trusted countries (BRA and ARE) and headroom of the company, at the four year ends."""
    chips = ints(1, 3, 1)
    chips[0, :, 0] = fleet
    static, draws = world([[1]], fleet_chips=chips, opening_stock=ints(1, 1, fill=150))
    uveu = ints(1, 3, 1, fill=-1)
    uveu[0, 1:] = UVEU
    static = by_law(static, (0, {"uveu_rule": uveu, "uveu_tier1_ppm": 700_000}), (800, {"uveu_rule": ints(1, 3, 1, fill=-1)}))
    page = Page(static).site(0, 1, ABROAD).phase(0, market=ABROAD, shipped=400, chips=50)
    page.company(60, Stage.CHIPS, Mark.DELIVERED, pool=0, quantity=50)
    for day, mark in steps:
        page.company(day, Stage.AUTHORISATION, mark, pool=HOME)
    found = measured(static, draws, page)
    assert np.isnan(found.yearly[-2:, :, 2:]).all() or len(static.companies) > 1  # given by company, not by tier
    return yearly(found, "footprint_abroad", 1), yearly(found, "footprint_headroom", 1)


def test_the_footprint_is_controlled_tpp_wherever_received_and_the_headroom_that_of_who_holds_the_authorisation() -> None:
    share, room = footprint((100, Mark.APPROVED))
    # 1,000 chips: 200 abroad, and 250 from day 400 on. The law offers the authorisation until day 800.
    assert share[:2] == pytest.approx([0.2, 0.25]) and np.isnan(share[2:]).all()
    assert room[:2] == pytest.approx([0.1, 0.05]) and np.isnan(room[2:]).all()
    assert np.isnan(footprint()[1]).all() and np.isnan(footprint((500, Mark.APPROVED), (600, Mark.REVOKED))[1]).all()
    assert footprint((500, Mark.APPROVED))[1][1] == pytest.approx(0.05)


def test_inference_without_the_frontier_model_in_mw_days() -> None:
    static, draws = world([[16], [8]], workload=np.array([Workload.INFERENCE, Workload.TRAINING]))
    control = {
        "weights_rule": np.array([[-1, LICENCE, -1]]),
        "weights_threshold": 1_000_000,
        "tuned_share_ppm": 250_000,
        "tuned_disputed_ppm": 500_000,
    }
    page = Page(static).site(0, 16, ABROAD).site(1, 8, ABROAD)
    page.phase(0, mw=16, market=ABROAD, online=700).phase(1, mw=8, market=ABROAD, online=600)
    found = measured(by_law(static, (0, control)), draws, page)
    assert yearly(found, "weights_barred_mw_days") == pytest.approx([0, 16 * 31, 16 * 90, 16 * 90])
    assert yearly(found, "weights_disputed_mw_days") == pytest.approx([0, 8 * 31, 8 * 90, 8 * 90])


def test_first_days_of_training_runs_on_one_campus() -> None:
    # 1,000 TFLOP/s at 0.4: 1e26 operations in 120 days need 24,113 chips.
    static, draws = world([[1], [1], [1]])
    page = Page(static).site(0, 1).site(1, 1, ABROAD).site(2, 1, planned=-900)
    page.phase(0, mw=1, chips=24_112, shipped=90, online=100).phase(1, mw=1, market=ABROAD, chips=24_113, shipped=300, online=366)
    found = measured(static, draws, page)
    assert scalar(found, "run_1e26_date") == scalar(found, "run_1e26_abroad_date", 0) == 2025
    assert math.isnan(scalar(found, "run_1e27_date"))
    page.phase(2, mw=1, chips=250_000, shipped=-80, online=-30)
    found = measured(static, draws, page)
    assert (scalar(found, "run_1e27_date"), scalar(found, "run_1e26_date"), scalar(found, "run_1e26_abroad_date")) == (
        2024,
        2024,
        2025,
    )


def test_what_needs_draws_that_only_measuring_reads_is_missing_without_them_and_nothing_else() -> None:
    static, draws = world([[1]])
    page = Page(static).site(0, 1).phase(0, mw=1, chips=1_000, shipped=20, online=30)
    with_them, without = measured(static, draws, page), measured(*world([[1]], after_run=None), page)
    missing = {m.id for i, m in enumerate(SCALARS) if math.isnan(without.scalars[i]) and not math.isnan(with_them.scalars[i])}
    missing |= {
        m.id for i, m in enumerate(BY_YEAR) if np.isnan(without.yearly[i, 0, 0]) and not np.isnan(with_them.yearly[i, 0, 0])
    }
    assert missing == {"cost_per_h100e_year", "weights_barred_mw_days"}
    assert with_them.unmet_shares.sum() == pytest.approx(1) and np.isnan(without.unmet_shares).all()


# ------------------------------------------------------------------ through the engine, on the tiny world


def test_a_licence_waited_for_is_told_alike_by_the_engine_and_the_metrics() -> None:
    static = licence_abroad()
    draws = tiny_draws(static, [(0, 16, ABROAD)])
    log = play(static, draws)
    found = measured(static, draws, log)
    (filed,), (approved,), (ready,) = (days(log, mark) for mark in (Mark.FILED, Mark.APPROVED, Mark.READY))
    assert scalar(found, "licence_wait_days") == approved - filed == 90
    waited = Provided(*found.provisions[LICENCE].tolist())
    assert waited == Provided(16, 16 * (approved - ready), 0, 0, 0)
    assert series(found, "mw_waiting_clearance") == stepped((ready, 16), (approved, -16))
    assert scalar(found, "months_plan_to_online_median") == pytest.approx(days(log, Mark.ONLINE)[0] / MONTH)


# ------------------------------------------------------------------ what is declared


def test_every_metric_declares_name_unit_and_meaning_and_every_promised_id_is_there() -> None:
    assert set(METRICS) >= PROMISED
    everything: list[Metric] = [*BY_MONTH, *BY_YEAR, *SCALARS, *PAIRED]
    only = [METRICS[id] for id in (*BY_COUNTRY, *BY_MARKET) if id not in {m.id for m in everything}]
    assert len(METRICS) == len(everything) + len(only) == len({m.id for m in (*everything, *only)})
    for metric in METRICS.values():
        assert metric.name and metric.unit and metric.meaning.endswith(".")
    assert len({metric.name for metric in METRICS.values()}) == len(METRICS)
    assert {m.unit for m in METRICS.values() if m.id.endswith("_usd")} == {"USD (real 2025)"}
    assert {m.unit for m in METRICS.values() if m.id.endswith("_tpp")} == {"TPP"}
    assert {m.unit for m in METRICS.values() if m.id.startswith("mw_")} == {"MW IT"}
    assert {m.unit for m in METRICS.values() if m.id.startswith("h100e") or m.id.endswith("h100e")} == {"H100-equivalents"}
    assert {m.unit for m in METRICS.values() if m.id.endswith("_date")} == {"calendar year"}
    assert {m.unit for m in METRICS.values() if m.id.startswith("months_")} == {"months"}


def test_measures_have_a_row_for_every_metric_and_a_column_for_every_group_year_country_market_and_company() -> None:
    static, draws = world([[16]], companies=("acme",))
    found = measured(static, draws, Page(static).site(0, 16))
    assert found.monthly.shape == (len(BY_MONTH), 48, len(groups(static)))
    assert found.yearly.shape == (len(BY_YEAR), 4, len(groups(static)))
    assert found.by_country.shape == (len(BY_COUNTRY), 4, 3)
    assert found.by_market.shape == (len(BY_MARKET), 4, 3)
    assert found.scalars.shape == (len(SCALARS),) and found.by_company.shape == (len(SCALARS), 1)
    assert found.provisions.shape == (len(static.provisions), len(Provided._fields))


def test_a_run_in_which_nothing_happens_can_be_measured() -> None:
    static, draws = world([])
    found = measured(static, draws, Page(static))
    assert not np.nansum(np.abs(found.monthly)) and not np.nansum(np.abs(found.by_country)) and not found.provisions.any()
    assert found.yearly[: len(YEARLY)].any() is np.False_ or not np.nansum(np.abs(found.yearly))


def test_year_ends_are_decembers_and_the_last_month() -> None:
    static = tiny_static()
    assert year_ends(static) == [11, 23, 35, 47]
    assert year_ends(tiny_static(month_starts=static.month_starts[:19])) == [11, 17]
    assert year_ends(tiny_static(month_starts=static.month_starts[:4])) == [2]


# ------------------------------------------------------------------ two paths to each number, on a real run


Unit = tuple[int, int, int]
"""Root, hop and number of a phase."""


class Loop:
    """The metrics of a run by a plain loop over its log, in the order of events: nothing shared with `metrics` but the log."""

    def __init__(self, run: Run):
        self.static, self.draws = run.compiled.static, run.draws
        self.starts = self.static.month_starts.tolist()
        self.compute = (self.static.h100e_ppm / 1e6).tolist()
        self.flow: dict[str, dict[tuple[int, int, int], float]] = defaultdict(lambda: defaultdict(float))
        self.waited: dict[int, float] = defaultdict(float)
        self.size: dict[Unit, int] = {}  # planned, 1/16 MW
        self.left: dict[Unit, None] = {}  # planned and neither shipped, nor in the fleet, nor given up
        self.ready: set[Unit] = set()
        self.waiting: dict[Unit, tuple[int, int, int]] = {}  # since when, for which stage, on which provision
        self.chips: dict[Unit, float] = defaultdict(float)
        self.market: dict[tuple[int, int], int] = {}
        self.opening()
        for tick, _, root, hop, number, stage, mark, rule, pool, quantity in run.log.tolist():
            if root < 0:
                self.company(tick, -1 - root, mark, pool, quantity)
            else:
                self.project(tick, (root, hop, number), stage, mark, rule, pool, quantity)
        for unit in list(self.waiting):
            self.stop_waiting(unit, self.static.horizon, told=False)

    def opening(self) -> None:
        home = self.static.home
        for (k, c, a), count in np.ndenumerate(self.draws.fleet_chips):
            self.add(0, k, c, count * int(self.static.watts[a]) / 1e6, "it_mw_online")
            self.add(0, k, c, count * self.compute[a], "h100e_online", "h100e_installed")
            self.add(0, k, home, count * self.compute[a], "h100e_ordered", "h100e_delivered")
        for (k, a), count in np.ndenumerate(self.draws.opening_stock + self.draws.under_way):
            everywhere = "h100e_ordered", "h100e_delivered", "h100e_in_stock", "h100e_delivered_not_online"
            self.add(0, k, home, count * self.compute[a], *everywhere)

    def company(self, tick: int, k: int, mark: int, pool: int, quantity: int) -> None:
        if mark == Mark.COMMITTED:
            self.add(tick, k, self.static.home, quantity * self.compute[pool], "h100e_ordered")
        if mark == Mark.DELIVERED:
            names = "h100e_delivered", "h100e_in_stock", "h100e_delivered_not_online"
            self.add(tick, k, self.static.home, quantity * self.compute[pool], *names)

    def project(self, tick: int, unit: Unit, stage: int, mark: int, rule: int, pool: int, quantity: int) -> None:
        root, hop, _ = unit
        k, home = int(self.draws.company[root]), self.static.home
        if mark == Mark.PLANNED:
            self.market[root, hop] = pool
            sizes = self.draws.phase_mw16[root, : self.draws.phases[root]].tolist() if hop == 0 else self.passed_on[root]
            for f, mw16 in enumerate(sizes):
                self.size[root, hop, f] = mw16
                self.left[root, hop, f] = None
        c = int(self.static.market_country[self.market[root, hop]]) if (root, hop) in self.market else home
        mw = self.size.get(unit, 0) / 16
        if mark == Mark.CHIPS_TAKEN:
            self.chips[unit] += quantity * self.compute[pool]
            self.add(tick, k, home, -quantity * self.compute[pool], "h100e_in_stock")
        if stage == Stage.INSTALLATION and mark == Mark.END:
            self.add(tick, k, c, self.chips[unit], "h100e_installed")
        if mark == Mark.ONLINE:
            self.add(tick, k, c, quantity / 16, "it_mw_online")
            self.add(tick, k, c, self.chips[unit], "h100e_online")
            self.add(tick, k, home, -self.chips[unit], "h100e_delivered_not_online")
        if mark in (Mark.SHIPPED, Mark.IN_FLEET):
            self.gone(unit, tick, k, c)
        if mark in (Mark.RELOCATED, Mark.CANCELLED):
            rest = [one for one in self.left if one[:2] == (root, hop)]
            self.passed_on = {root: [self.size[one] for one in rest]}
            for one in rest:
                self.gone(one, tick, k, c)
        if mark in (Mark.RELOCATED, Mark.CANCELLED, Mark.DOWNSIZED, Mark.LET) and tick >= 0:
            other = "" if rule >= 0 or mark == Mark.LET else "_other"
            self.add(tick, k, c, quantity / 16, f"mw_{Mark(mark).name.lower()}{other}")
        if mark == Mark.FRONT_LOADED and tick >= 0:
            self.add(tick, k, c, mw, "mw_front_loaded")
        if mark == Mark.READY:
            self.ready.add(unit)
            if unit in self.left:
                self.add(tick, k, c, mw, "mw_ready_without_chips")
            if unit in self.waiting:
                self.begin_waiting(unit, tick, *self.waiting[unit][1:])
        if mark == Mark.WAITS or (stage == Stage.CLEARANCE and mark in (Mark.START, Mark.CLEARED, Mark.END)):
            self.stop_waiting(unit, tick)
        if mark == Mark.WAITS:
            self.begin_waiting(unit, tick, stage, rule)
        if stage == Stage.CLEARANCE and mark == Mark.START:
            self.begin_waiting(unit, tick, stage, -1)

    def gone(self, unit: Unit, tick: int, k: int, c: int) -> None:
        """Shipped to, in the fleet, or given up."""
        if unit in self.left and unit in self.ready:
            self.add(tick, k, c, -self.size[unit] / 16, "mw_ready_without_chips")
        self.left.pop(unit, None)

    def begin_waiting(self, unit: Unit, tick: int, stage: int, rule: int) -> None:
        self.waiting[unit] = tick, stage, rule
        if unit in self.ready:
            self.tell(unit, tick, stage, 1)

    def stop_waiting(self, unit: Unit, tick: int, told: bool = True) -> None:
        since, stage, rule = self.waiting.pop(unit, (0, -1, -1))
        if stage >= 0 and unit in self.ready:
            self.waited[rule] += self.size[unit] / 16 * max(tick - max(since, 0), 0) / DAY
            if told:
                self.tell(unit, tick, stage, -1)

    def tell(self, unit: Unit, tick: int, stage: int, sign: int) -> None:
        root, hop, _ = unit
        c = int(self.static.market_country[self.market[root, hop]])
        names = "mw_waiting_clearance", f"mw_waiting_{WAITING[Stage(stage)][0]}"
        self.add(tick, int(self.draws.company[root]), c, sign * self.size[unit] / 16, *names)

    def add(self, tick: int, k: int, c: int, amount: float, *metrics: str) -> None:
        month = max(sum(1 for s in self.starts if s <= tick) - 1, 0)
        for metric in metrics:
            self.flow[metric][month, k, c] += amount

    def total(self, metric: str, *, company: int | None = None, countries: set[int] | None = None) -> list[float]:
        """Running totals at month ends."""
        months = [0.0] * (len(self.starts) - 1)
        for (month, k, c), amount in self.flow[metric].items():
            if (company is None or k == company) and (countries is None or c in countries):
                months[month] += amount
        return list(np.cumsum(months))


@pytest.fixture(scope="module")
def loop(framework_run: Run) -> Loop:
    return Loop(framework_run)


LOOPED = (
    "it_mw_online", "h100e_online", "h100e_ordered", "h100e_delivered", "h100e_in_stock", "h100e_installed",
    "h100e_delivered_not_online", "mw_ready_without_chips", "mw_waiting_clearance", "mw_relocated", "mw_downsized", "mw_cancelled",
)  # fmt: skip
LOOPED_BY_YEAR = (
    *(f"mw_waiting_{id}" for id, _, _ in WAITING.values()), "mw_front_loaded", "mw_let", "mw_relocated_other", "mw_cancelled_other",
)  # fmt: skip


@pytest.mark.parametrize("metric", LOOPED + LOOPED_BY_YEAR)
def test_a_plain_loop_over_the_log_gives_the_same_numbers_for_every_group_and_date(
    metric: str, framework_run: Run, loop: Loop
) -> None:
    static = framework_run.compiled.static
    largest = max(abs(v) for v in loop.total(metric))
    for g, group in enumerate(groups(static)):
        company = None if group.company == "all" else static.companies.index(group.company)
        inside = None if group.tier == "all" else {c for c, tier in enumerate(static.tier) if tier == int(group.tier)}
        again = loop.total(metric, company=company, countries=inside)
        if metric in LOOPED:
            found = series(framework_run.measures, metric, g)
        else:
            found, again = yearly(framework_run.measures, metric, g), [again[t] for t in year_ends(static)]
        assert found == pytest.approx(again, rel=2e-9, abs=1e-9 * max(largest, 1))


def test_the_real_run_has_some_of_what_is_looked_at(loop: Loop) -> None:
    empty = {metric for metric in LOOPED + LOOPED_BY_YEAR if not any(loop.total(metric))}
    told = {
        "it_mw_online",
        "h100e_in_stock",
        "mw_ready_without_chips",
        "mw_waiting_clearance",
        "mw_waiting_headroom",
        "mw_relocated",
    }
    assert not empty & told, "the run has none of this: choose another"


@pytest.mark.parametrize("metric", BY_COUNTRY[:3])
def test_countries_by_the_loop_and_their_sum_is_the_total(metric: str, framework_run: Run, loop: Loop) -> None:
    static, table = framework_run.compiled.static, framework_run.measures.by_country[BY_COUNTRY.index(metric)]
    ends = year_ends(static)
    whole = [series(framework_run.measures, metric)[t] for t in ends]
    assert table.sum(axis=1) == pytest.approx(whole, rel=1e-9, abs=1e-6)
    for c in range(len(static.countries)):
        again = loop.total(metric, countries={c})
        assert table[:, c] == pytest.approx([again[t] for t in ends], rel=2e-9, abs=1e-6)


def test_markets_sum_to_what_came_online_since_the_start_in_each_country(framework_run: Run) -> None:
    static, found = framework_run.compiled.static, framework_run.measures
    draws = framework_run.draws
    opening = {
        "it_mw_online": (draws.fleet_chips * static.watts).sum(axis=(0, 2)) / 1e6,
        "h100e_online": (draws.fleet_chips * static.h100e_ppm).sum(axis=(0, 2)) / 1e6,
    }
    for i, metric in enumerate(("it_mw_online", "h100e_online")):
        by_country = np.zeros((len(year_ends(static)), len(static.countries)))
        np.add.at(by_country, (slice(None), static.market_country), found.by_market[i])
        assert by_country + opening[metric] == pytest.approx(np.array(country(found, metric)), rel=1e-9, abs=1e-6)


def test_shares_by_the_loop(framework_run: Run, loop: Loop) -> None:
    static = framework_run.compiled.static
    whole = np.array(loop.total("h100e_online"))
    tier1 = {c for c, tier in enumerate(static.tier) if tier == 1}
    for metric, inside in (("share_tier1", tier1), ("share_us", {static.home})):
        assert series(framework_run.measures, metric) == pytest.approx(
            np.array(loop.total("h100e_online", countries=inside)) / whole
        )
    weight = rd_weights(framework_run.compiled)
    assert weight.sum() == pytest.approx(1)
    reached = [loop.total("h100e_online", countries={c}) for c in range(len(static.countries))]
    access = [sum(w for w, h in zip(weight, reached, strict=True) if h[t] >= 10_000) for t in range(len(whole))]
    assert series(framework_run.measures, "rd_access") == pytest.approx(access)


def test_companies_by_tiers_sum_to_companies_and_to_the_whole(framework_run: Run) -> None:
    static, found = framework_run.compiled.static, framework_run.measures
    of = {(g.company, g.tier): i for i, g in enumerate(groups(static))}
    tables = [(m.id, found.monthly[i]) for i, m in enumerate(SERIES)] + [(m.id, found.yearly[i]) for i, m in enumerate(YEARLY)]
    for name, table in tables:
        near = {"rel": 1e-9, "abs": 1e-9 * max(float(np.abs(table[:, 0]).max()), 1.0), "nan_ok": True}
        whole = pytest.approx(table[:, 0], **near)
        assert sum(table[:, of[k, "all"]] for k in static.companies) == whole, name
        assert sum(table[:, of["all", t]] for t in "123") == whole, name
        for k in static.companies:
            assert sum(table[:, of[k, t]] for t in "123") == pytest.approx(table[:, of[k, "all"]], **near), name


def test_counts_of_companies_sum_to_the_whole_and_first_days_are_the_first_of_any_company(framework_run: Run) -> None:
    found = framework_run.measures
    for i, metric in enumerate(SCALARS):
        everyone, each = found.scalars[i], found.by_company[i]
        if metric.unit in ("applications", "authorisations") or metric.id == "present_value_usd":
            assert each.sum() == pytest.approx(everyone, nan_ok=True), metric.id
        if metric.unit == "calendar year":
            assert everyone == pytest.approx(np.nanmin(each) if np.isfinite(each).any() else np.nan, nan_ok=True), metric.id
        if metric.unit in ("days", "months", "fraction") and np.isfinite(each).all() and not metric.id.endswith(("p10", "p90")):
            assert each.min() - 1e-9 <= everyone <= each.max() + 1e-9, metric.id


def test_splits_close_at_every_month_end(framework_run: Run) -> None:
    found = framework_run.measures
    row = {m.id: found.monthly[i] for i, m in enumerate(BY_MONTH)}
    year = {m.id: found.yearly[i] for i, m in enumerate(BY_YEAR)}
    ends = year_ends(framework_run.compiled.static)
    near = {"rel": 1e-9, "abs": 1e-4}
    waiting = sum(year[f"mw_waiting_{id}"] for id, _, _ in WAITING.values())
    assert waiting == pytest.approx(row["mw_waiting_clearance"][ends], **near)
    known = waiting + year["mw_waiting_security"] + year["mw_waiting_chips"]
    without = row["mw_ready_without_chips"][ends]
    assert (known <= without + 1e-6).all()  # the rest is ready before its company asks for clearance
    assert (without - known <= 0.05 * without.max() + 1e-6).all()
    assert (row["h100e_ordered"][:, 0] >= row["h100e_delivered"][:, 0] - 1e-3).all()
    assert (row["h100e_delivered"][:, 0] >= row["h100e_installed"][:, 0] - 1e-3).all()
    assert (row["h100e_installed"] >= row["h100e_online"] - 1e-3).all()
    assert (row["h100e_in_stock"][:, 0] >= -1e-3).all()
    under_way = row["h100e_delivered"][:, 0] - row["h100e_in_stock"][:, 0] - row["h100e_installed"][:, 0]
    assert (under_way >= -1e-3).all()
    assert row["h100e_delivered_not_online"][:, 0] == pytest.approx(
        row["h100e_delivered"][:, 0] - row["h100e_online"][:, 0], **near
    )
    parts = year["chips_usd"] + year["shell_usd"] + year["freight_usd"]
    assert parts == pytest.approx(row["capex_usd"][ends], rel=1e-9)
    assert (year["campuses_1gw"] <= year["campuses_300mw"]).all()


def test_single_numbers_by_the_loop(framework_run: Run) -> None:
    found, log = framework_run.measures, framework_run.log.tolist()
    filed: dict[tuple[int, int, int], int] = {}
    waited, queued, stopped, marks = [], {}, defaultdict(int), defaultdict(int)
    for tick, _, root, _, number, stage, mark, _, pool, quantity in log:
        if stage != Stage.LICENCE_REVIEW or root >= 0:
            continue
        case = root, pool, number
        marks[mark] += tick >= 0
        if mark == Mark.FILED:
            filed[case] = tick
        elif mark == Mark.QUEUED:
            queued[case] = quantity
        elif mark == Mark.STOPPED:
            stopped[case] = quantity
        elif mark in (Mark.APPROVED, Mark.DENIED, Mark.RETURNED) and tick >= 0:
            waited.append(((tick - filed[case]) / DAY, queued[case] / DAY, stopped[case] / DAY))
    assert waited
    for name, days_of in zip(("wait", "queue", "stop"), zip(*waited, strict=True), strict=True):
        assert scalar(found, f"licence_{name}_days") == pytest.approx(sum(days_of) / len(days_of))
    for name, mark in (("filed", Mark.FILED), ("approved", Mark.APPROVED), ("denied", Mark.DENIED), ("returned", Mark.RETURNED)):
        assert scalar(found, f"licences_{name}") == marks[mark]


def test_provisions_by_the_loop(framework_run: Run, loop: Loop) -> None:
    table = framework_run.measures.provisions
    for p, waited in loop.waited.items():
        if p >= 0:
            assert table[p, 1] == pytest.approx(waited)
    assert {p for p in range(len(table)) if table[p, 1]} == {p for p, waited in loop.waited.items() if p >= 0 and waited}
    for column, mark in ((2, Mark.RELOCATED), (3, Mark.CANCELLED), (4, Mark.DOWNSIZED)):
        again: dict[int, float] = defaultdict(float)
        for tick, _, _, _, _, _, what, rule, _, quantity in framework_run.log.tolist():
            if what == mark and tick >= 0 and rule >= 0:
                again[rule] += quantity / 16
        assert {p: v for p, v in enumerate(table[:, column].tolist()) if v} == pytest.approx(dict(again))
    # Every megawatt cleared since the start counts once, under the provision that let it pass last.
    last = {(r, h, f): (t, p) for t, _, r, h, f, _, what, p, _, _ in framework_run.log.tolist() if what == Mark.CLEARED}
    assert table[:, 0].sum() == pytest.approx(
        sum(loop.size[unit] / 16 for unit, (tick, p) in last.items() if tick >= 0 and p >= 0)
    )


def test_planned_sizes_of_successors_are_what_the_engine_planned(framework_run: Run) -> None:
    life = lives(framework_run.compiled.static, framework_run.draws, framework_run.log)
    planned = np.bincount(life.phases.site, weights=life.phases.mw16, minlength=len(life.sites.mw16))
    assert planned.tolist() == life.sites.mw16.tolist()
    assert (life.sites.planned.reshape(-1, HOPS)[:, 1] < NEVER).any()


def test_waits_of_a_phase_follow_each_other(framework_run: Run) -> None:
    rows = Rows(framework_run.log)
    life = lives_of(framework_run.compiled.static, framework_run.draws, rows)
    found = waits(rows, life)
    order = np.lexsort((found.begin, found.phase))
    phase, begin, end = found.phase[order], found.begin[order], found.end[order]
    same = phase[1:] == phase[:-1]
    assert (begin[1:][same] >= end[:-1][same]).all() and (end > begin).all() and len(phase)
    assert (begin >= life.phases.ready[phase]).all()


def test_months_of_the_log_are_calendar_months(framework_run: Run) -> None:
    static = framework_run.compiled.static
    first = [date.fromordinal(static.start.toordinal() + tick // DAY) for tick in static.month_starts.tolist()]
    assert all(day.day == 1 for day in first)
    assert framework_run.compiled.sampler.frame.months == month_ends(static.start, date(2027, 12, 31))
    assert DAYS_PER_YEAR == 365.25
