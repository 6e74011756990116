"""The shipped inputs are complete and traceable, the past can be seen as it was known, and bad data are refused by place."""

from __future__ import annotations

import csv
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.problems import InputProblems
from simulator.resources import shipped
from simulator.units import h100e_ppm
from simulator.world import (
    BUYS,
    COMPANIES,
    HEADER,
    QUARTERS,
    ROUTES,
    SHARE_GROUPS,
    TABLES,
    UNITS,
    VENDORS,
    UnknownInput,
    World,
    load_world,
    period_bounds,
)

TODAY = date(2026, 11, 23)


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.fixture(scope="module")
def early() -> World:
    return load_world(as_known_on=date(2024, 1, 1))


@dataclass(frozen=True)
class Supposed:
    table: str
    parameter: str
    entity: str | Sequence[str] = "*"
    scope: str = ""
    period_from: date | None = None
    period_to: date | None = None
    set: float | None = None
    multiply: float | None = None
    add: float | None = None
    reason: str = "a test"


# ---- The shipped data ----------------------------------------------------------------------------------------------------


def test_the_world_is_as_large_as_promised(world: World) -> None:
    assert len(world.entities("countries")) >= 50
    assert len(world.entities("markets")) == 35
    assert world.entities("companies") == tuple(sorted(COMPANIES))
    assert len(world.entities("accelerators")) >= 35
    real = {v.entity for v in world.select("accelerators", parameter="dense_8bit_tops") if v.kind != "assumed"}
    assert len(real) >= 25
    assert len(world.entities("announcements")) >= 60


def test_every_value_answers_who_says_it_and_since_when(world: World) -> None:
    for value in world.values:
        assert value.known_from <= TODAY, value
        assert value.as_of, value
        assert value.source_url or value.note, value
        if value.kind in ("reported", "derived"):
            assert value.source_url.startswith("http"), value
        if value.kind == "assumed" and value.mode is not None:
            assert value.low is not None or "not swept: " in value.note, value


def test_every_place_can_be_built_in(world: World) -> None:
    needed = (
        "construction_cost_usd_per_w",
        "electricity_price_usd_per_mwh",
        "permit_days",
        "grid_connection_days",
        "grid_mw_per_year",
    )
    for market in world.markets:
        for parameter in needed:
            assert world.market_value(market, parameter).number > 0, (market, parameter)
        assert world.market_value(market, "construction_days").number > 100  # only countries have it: the fallback
    split = {m.country for m in world.markets if m.id != m.country.lower()}
    assert split == {"USA", "GBR", "DEU", "JPN", "AUS", "IND", "CAN", "MYS"}
    assert {m.country for m in world.markets} == set(world.entities("countries"))


def test_a_market_differs_from_its_country(world: World) -> None:
    virginia = world.market_value("usa_nva", "grid_connection_days")
    assert virginia.table == "markets"
    assert virginia.number > world.get("countries", "grid_connection_days", "USA").number


@pytest.mark.parametrize("company", COMPANIES)
def test_shares_of_a_company_sum_to_one(world: World, company: str) -> None:
    for span in ("2019/2023", "2024/2025", "2026/2031"):
        shares = {route: world.number("companies", "route_share", company, route, span) for route in ROUTES}
        assert sum(round(share * 1e6) for share in shares.values()) == 1_000_000
    assert shares["leased"] == pytest.approx(1 - world.number("companies", "share_self_built", company))
    for day in ("2022-12-31", "2023-12-31"):
        places = [v for v in world.select("fleets", company, "fleet_country_share") if v.period == day]
        assert sum(round(v.number * 1e6) for v in places) == 1_000_000
        assert 0.70 <= world.number("fleets", "fleet_country_share", company, "USA", day) <= 0.80


def test_generations_shipped_sum_to_one_and_exist_by_then(world: World) -> None:
    first_volume = {"amd": "2024Q1", "microsoft_maia": "2024Q2", "aws_trainium": "2022Q4"}
    for vendor in VENDORS:
        for quarter in QUARTERS:
            mix = [v for v in world.select("supply", vendor, "generation_share") if v.period == quarter]
            assert sum(round(v.number * 1e6) for v in mix) == 1_000_000, (vendor, quarter)
            for v in mix:
                ships = world.text("accelerators", "ships_from", v.scope)
                first = quarter[:4] + "-" + f"{3 * int(quarter[5]):02d}"
                stands_in = (vendor, quarter) < (vendor, first_volume.get(vendor, ""))  # tiny or no volume before
                assert stands_in or ships <= first, (v.scope, quarter, ships)


def test_the_mix_of_generations_agrees_with_chips_counted(world: World) -> None:
    """H100e per chip from the mix against shipments over units: two independent inputs."""
    for vendor, tolerance in (("nvidia", 0.30), ("aws_trainium", 0.10), ("amd", 0.15), ("google_tpu", 0.30)):
        for quarter, units in world.series("supply", "shipped_units", vendor).items():
            if quarter > "2025Q4" or (vendor, quarter) in (("google_tpu", "2022Q4"), ("amd", "2024Q1")):
                continue  # a partial quarter; a quarter with many China variants
            mix = [v for v in world.select("supply", vendor, "generation_share") if v.period == quarter]
            chips = sum(v.number / (world.number("accelerators", "dense_8bit_tops", v.scope) / 1979.0) for v in mix)
            seen = world.number("supply", "shipped_h100e", vendor, period=quarter) / units.number
            assert 1 / chips == pytest.approx(seen, rel=tolerance), (vendor, quarter)


def test_purchases_and_fleets_close(world: World) -> None:
    """Growth of the holdings 2023-2025 is the bought share of what was shipped, within the rounding of the shares."""
    for year in (2023, 2024, 2025):
        shipped_h100e = sum(world.number("supply", "shipped_h100e", "nvidia", period=f"{year}Q{q}") for q in range(1, 5))
        for company in COMPANIES:
            held = world.series("fleets", "h100e_held", company, "nvidia")
            grown = held[f"{year}-12-31"].number - held[f"{year - 1}-12-31"].number
            assert world.number("supply", "share_bought", company, "nvidia", str(year)) * shipped_h100e == pytest.approx(
                grown, rel=0.01
            )
    for vendor, buyers in BUYS.items():
        for year in range(2022, 2032):
            assert sum(world.number("supply", "share_bought", company, vendor, str(year)) for company in buyers) <= 1.0


def test_quarters_ahead_sum_to_their_years_and_widen(world: World) -> None:
    quarters = world.series("supply", "shipped_h100e", "nvidia")

    def year(n: int) -> float:
        return sum(quarters[f"{n}Q{q}"].number for q in range(1, 5))

    assert year(2026) == pytest.approx(27e6, rel=1e-3)
    assert year(2027) == pytest.approx(60e6, rel=1e-3)
    assert year(2028) / year(2027) == pytest.approx(1.7, rel=1e-3)
    spread = [(v.high or 0) / (v.low or 1) for p, v in quarters.items() if p >= "2026Q1"]
    assert spread[-1] > spread[0] * 1.5


def test_both_measures_of_compute_are_there_and_apart(world: World) -> None:
    for chip in world.entities("accelerators"):
        assert world.number("accelerators", "dense_8bit_tops", chip) > 0
        assert world.number("accelerators", "tpp", chip) > 0
    tops = {chip: world.number("accelerators", "dense_8bit_tops", chip) for chip in ("h100", "b300", "gb200", "h20")}
    assert h100e_ppm(tops["h100"]) == 1_000_000
    assert h100e_ppm(tops["b300"]) == h100e_ppm(tops["gb200"]) == round(5000 / 1979 * 1e6)
    tpp = {chip: world.number("accelerators", "tpp", chip) for chip in ("h100", "b300", "gb200", "h20")}
    assert tpp["b300"] > 1.3 * tpp["gb200"]  # equal in h100e, far apart in the law
    assert tpp["h20"] < 4800 < tpp["h100"]


def test_capex_buys_the_fleet_within_a_factor_of_two(world: World) -> None:
    """Money against chips for 2025: a gross error of units (billions, shares, prices) cannot pass."""
    for company, vendors in (
        ("microsoft", ("nvidia",)),
        ("google", ("nvidia", "google_tpu")),
        ("aws", ("nvidia", "aws_trainium")),
    ):
        money = world.number("companies", "capex_total", company, period="2025") * world.number(
            "companies", "share_capex_ai", company, period="2025"
        )
        chips_usd = 0.0
        for vendor in vendors:
            share = world.number("supply", "share_bought", company, vendor, "2025")
            for quarter in (f"2025Q{q}" for q in range(1, 5)):
                bought = share * world.number("supply", "shipped_h100e", vendor, period=quarter)
                for v in world.select("supply", vendor, "generation_share"):
                    if v.period == quarter:
                        units = v.number * bought / (world.number("accelerators", "dense_8bit_tops", v.scope) / 1979.0)
                        chips_usd += units * world.number("accelerators", "price_usd", v.scope)
        assert 0.2 < chips_usd / 1e9 / money < 0.9, (company, chips_usd / 1e9, money)


def test_the_range_of_a_median_and_the_spread_of_projects_are_two_inputs(world: World) -> None:
    assert world.get("countries", "construction_days", "USA").low is not None
    assert 0.1 < world.number("process", "spread_between_projects_log_sd", scope="construction") < 0.6
    assert world.number("process", "construction_factor", scope="classic") == 1.0


def test_loading_is_fast() -> None:
    load_world()
    best = min(_seconds(load_world) for _ in range(3))
    assert best < 0.5


def _seconds(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


# ---- Asking --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (("countrys", "permit_days", "USA"), "no table 'countrys'.*did you mean 'countries'"),
        (("countries", "permit_day", "USA"), "no parameter 'permit_day' in countries; did you mean 'permit_days'"),
        (("countries", "permit_days", "UAS"), "countries has no permit_days for 'UAS'; did you mean 'USA'"),
        (("companies", "route_share", "aws", "clasic", "2024/2025"), "no scope 'clasic'.*did you mean 'classic'"),
        (("companies", "capex_total", "aws", "", "2032"), "no period '2032'; periods are 2019 to 2031"),
    ],
)
def test_a_wrong_question_names_the_nearest_right_one(world: World, ask: tuple[str, ...], answer: str) -> None:
    with pytest.raises(UnknownInput, match=answer):
        world.get(*ask)


def test_series_run_in_time_and_hold_a_day(world: World) -> None:
    assert list(world.series("companies", "capex_total", "google"))[:3] == ["2019", "2020", "2021"]
    assert world.at("companies", "route_share", date(2025, 7, 1), "aws", "leased").period == "2024/2025"
    assert world.at("supply", "shipped_h100e", date(2025, 7, 1), "nvidia").period == "2025Q3"
    with pytest.raises(UnknownInput, match="no period that holds 2040-01-01"):
        world.at("supply", "shipped_h100e", date(2040, 1, 1), "nvidia")


def test_select_filters_by_kind(world: World) -> None:
    assumed = world.select(kind="assumed")
    assert assumed and all(v.kind == "assumed" for v in assumed)
    assert {v.scope for v in world.select("markets", "usa_texas", "presence")} == set(COMPANIES)


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("2025", date(2025, 1, 1), date(2025, 12, 31)),
        ("2024Q1", date(2024, 1, 1), date(2024, 3, 31)),
        ("2024Q4", date(2024, 10, 1), date(2024, 12, 31)),
        ("2023-12-31", date(2023, 12, 31), date(2023, 12, 31)),
        ("2024/2026", date(2024, 1, 1), date(2026, 12, 31)),
    ],
)
def test_periods(period: str, first: date, last: date) -> None:
    assert period_bounds(period) == (first, last)


# ---- The digest ----------------------------------------------------------------------------------------------------------


def test_the_digest_ignores_order_and_notes_but_no_number(world: World, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    rows = read_rows(folder / "process.csv")
    for row in rows[1:]:
        row[14] = row[14].replace(";", ",")
    rows = [rows[0], *reversed(rows[1:])]
    write_rows(folder / "process.csv", [*rows, ["# a remark of the curator"]])
    assert load_world(folder).digest == world.digest
    at = next(i for i, row in enumerate(rows) if row[1] == "shipping_days")
    rows[at][5] = "12.5"
    write_rows(folder / "process.csv", rows)
    assert load_world(folder).digest != world.digest


# ---- What was known on a date --------------------------------------------------------------------------------------------


def valid(world: World) -> None:
    """What loading checks of a file must also hold of a world seen from the past or supposed otherwise."""
    groups: dict[tuple[str, ...], int] = {}
    exact = {(g.table, g.parameter): g for g in SHARE_GROUPS if g.exactly}
    for v in world.values:
        if v.mode is None:
            continue
        unit = UNITS[v.unit]
        assert unit.lowest <= v.mode <= unit.highest, v
        if v.low is not None and v.high is not None:
            assert unit.lowest <= v.low <= v.mode <= v.high <= unit.highest, v
            assert v.family != "lognormal" or v.low > 0, v
        else:
            assert v.family == "fixed", v
        if (v.table, v.parameter) in exact:
            key = (v.table, v.parameter, *(getattr(v, name) for name in exact[(v.table, v.parameter)].by))
            groups[key] = groups.get(key, 0) + round(v.mode * 1e6)
    assert set(groups.values()) == {1_000_000}


@pytest.mark.parametrize("day", [date(2022, 6, 30), date(2023, 1, 1), date(2024, 1, 1), date(2025, 6, 30), date(2026, 6, 30)])
def test_the_past_is_a_valid_world_without_the_future(world: World, day: date) -> None:
    past = load_world(as_known_on=day)
    valid(past)
    listed = {v.key for v in past.later_inputs}
    fresh = {v.key for v in world.values if v.known_from > day}
    for v in past.values:
        if v.known_from > day:
            assert v.key in listed or v.note.startswith("as known on"), v
        if v.key in fresh and v.key not in listed and v.mode is not None:
            assert v.note.startswith("as known on"), v
    assert all(v.known_from > day for v in past.later_inputs)


def test_later_capex_is_extrapolated_not_used(world: World, early: World) -> None:
    then, now = (w.series("companies", "capex_total", "microsoft") for w in (early, world))
    assert then["2022"] == now["2022"]
    assert then["2025"].number < 0.7 * now["2025"].number  # nobody knew of 118 billion
    assert then["2025"].kind == "assumed" and "continued from 2022" in then["2025"].note
    ratio = [(v.high or 0) / (v.low or 1) for p, v in then.items() if p > "2022"]
    assert ratio == sorted(ratio) and ratio[-1] > ratio[0]


def test_extrapolation_by_hand(early: World) -> None:
    """2021 and 2022 are known on 2024-01-01: log growth g = ln(28.4 / 24.2) fades by 0.7 a year."""
    growth = math.log(28.4 / 24.2)
    assert early.number("companies", "capex_total", "microsoft", period="2024") == pytest.approx(
        28.4 * math.exp(growth * (0.7 + 0.49)), rel=2e-3
    )


def test_later_announcements_and_chips_are_not_known(world: World, early: World) -> None:
    assert len(early.entities("announcements")) < 15 < len(world.entities("announcements"))
    assert all(
        date.fromisoformat(early.text("announcements", "announced_on", e)) <= date(2024, 1, 1)
        for e in early.entities("announcements")
    )
    assert "h200" in early.entities("accelerators")
    assert not {"rubin_vr200", "nvidia_2028", "tpu_v7"} & set(early.entities("accelerators"))


def test_other_later_values_are_kept_widened_and_listed(world: World, early: World) -> None:
    then, now = (w.get("countries", "grid_connection_days", "GBR") for w in (early, world))
    assert then.mode == now.mode
    assert then.low is not None and now.low is not None and then.high is not None and now.high is not None
    assert then.low < now.low and then.high > now.high
    assert now in early.later_inputs
    assert early.get("accelerators", "tpp", "h100") == world.get("accelerators", "tpp", "h100")
    assert early.number("process", "permit_factor", scope="classic") == 1.0
    assert early.get("process", "permit_factor", scope="classic").low is None  # a definition is not widened


def test_today_everything_is_known(world: World) -> None:
    now = load_world(as_known_on=TODAY)
    assert now.digest == world.digest
    assert now.later_inputs == ()


# ---- Suppositions --------------------------------------------------------------------------------------------------------


def test_a_change_scales_the_whole_range_in_its_dates_only(world: World) -> None:
    shock = Supposed(
        "supply", "shipped_h100e", ["nvidia", "amd"], period_from=date(2027, 1, 1), period_to=date(2027, 12, 31), multiply=0.6
    )
    shocked = world.changed([shock])
    for vendor in ("nvidia", "amd", "google_tpu"):
        for quarter, before in world.series("supply", "shipped_h100e", vendor).items():
            after = shocked.get("supply", "shipped_h100e", vendor, period=quarter)
            factor = 0.6 if vendor != "google_tpu" and quarter.startswith("2027") else 1.0
            for name in ("low", "mode", "high"):
                if getattr(before, name) is not None:
                    assert getattr(after, name) == pytest.approx(factor * getattr(before, name))
    assert shocked.digest != world.digest
    valid(shocked)


def test_set_brings_the_middle_and_scales_the_ends(world: World) -> None:
    before = world.get("process", "shipping_days")
    after = world.changed([Supposed("process", "shipping_days", "world", set=24.0)]).get("process", "shipping_days")
    assert after.mode == 24.0
    assert after.low == pytest.approx((before.low or 0) * 24 / before.number)
    assert after.kind == "assumed" and "a test" in after.note


def test_add_and_wildcards(world: World) -> None:
    warmer = world.changed([Supposed("countries", "permit_days", "*", add=30.0)])
    for iso3 in world.entities("countries"):
        assert warmer.number("countries", "permit_days", iso3) == pytest.approx(
            world.number("countries", "permit_days", iso3) + 30
        )
    spread = world.changed([Supposed("process", "spread_between_projects_log_sd", scope="*", multiply=0.0)])
    assert {v.family for v in spread.select("process", parameter="spread_between_projects_log_sd")} == {"fixed"}
    valid(spread)


def test_changes_apply_in_order_and_no_change_changes_nothing(world: World) -> None:
    twice = [Supposed("process", "shipping_days", set=20.0), Supposed("process", "shipping_days", multiply=2.0)]
    assert world.changed(twice).number("process", "shipping_days") == 40.0
    assert world.changed([]).digest == world.digest
    assert world.changed([Supposed("process", "shipping_days", multiply=1.0)]).digest == world.digest


def test_shares_of_one_whole_can_only_be_changed_together(world: World) -> None:
    one = Supposed("companies", "route_share", "aws", "leased", date(2026, 1, 1), None, set=0.5)
    with pytest.raises(InputProblems, match=r"sum to 1\.1.*must sum to exactly 1.*change the other shares"):
        world.changed([one])
    other = Supposed("companies", "route_share", "aws", "classic", date(2026, 1, 1), None, set=0.1)
    assert world.changed([one, other]).number("companies", "route_share", "aws", "leased", "2026/2031") == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Supposed("suply", "shipped_h100e", multiply=1.0), "no table 'suply'.*did you mean 'supply'"),
        (Supposed("supply", "shiped_h100e", multiply=1.0), "no parameter 'shiped_h100e' in supply; did you mean 'shipped_h100e'"),
        (Supposed("supply", "shipped_h100e", "nvdia", multiply=1.0), "no shipped_h100e for 'nvdia'.*did you mean 'nvidia'"),
        (
            Supposed("process", "permit_factor", multiply=2.0),
            "no permit_factor with scope ''; scopes are ai_first, classic.*'\\*' for all",
        ),
        (
            Supposed("supply", "shipped_h100e", "nvidia", period_from=date(2035, 1, 1), multiply=1.0),
            "starts between 2035-01-01.*periods run from 2022Q1 to 2031Q4",
        ),
        (
            Supposed("countries", "permit_days", "USA", period_from=date(2027, 1, 1), multiply=1.5),
            "has no period; leave the dates out",
        ),
        (Supposed("countries", "name", "USA", multiply=1.0), "is a text and cannot be set"),
        (Supposed("companies", "share_capex_ai", "aws", multiply=3.0), "would become 1..*a fraction is 0 to 1"),
        (Supposed("countries", "permit_days", "USA", add=-9000.0), "would become -.*at least 0"),
        (Supposed("countries", "permit_days", "USA"), "needs exactly one of set, multiply, add; it has none"),
        (Supposed("countries", "permit_days", "USA", set=1.0, add=1.0), "it has set and add"),
        (Supposed("countries", "permit_days", "USA", multiply=float("nan")), "a finite number"),
        (Supposed("countries", "permit_days", "USA", multiply=-1.0), "at least 0"),
        (Supposed("countries", "permit_days", "USA", multiply=1.1, reason=" "), "has no reason"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(world: World, change: Supposed, message: str) -> None:
    good = Supposed("process", "shipping_days", multiply=1.1)
    with pytest.raises(InputProblems, match=rf"(?s)inputs\[1\]: .*{message}"):
        world.changed([good, change])


@cache
def loaded_once() -> World:
    return load_world()


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(min_value=0.01, max_value=50.0), table=st.sampled_from(["countries", "markets"]))
def test_scaling_keeps_every_range_in_order(factor: float, table: str) -> None:
    changed = loaded_once().changed([Supposed(table, "grid_connection_days", "*", multiply=factor)])
    for v in changed.select(table, parameter="grid_connection_days"):
        assert v.low is not None and v.high is not None and v.mode is not None
        assert 0 <= v.low <= v.mode <= v.high


# ---- Bad data ------------------------------------------------------------------------------------------------------------


def copied(folder: Path) -> Path:
    target = folder / "data"
    target.mkdir()
    for table in TABLES:
        shutil.copy(shipped("data") / f"{table}.csv", target)
    return target


def read_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle))


def write_rows(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)


Key = tuple[str, str, str, str]


def line_of(path: Path, key: Key) -> int:
    for number, row in enumerate(read_rows(path), 1):
        if tuple(row[:4]) == key:
            return number
    raise AssertionError(f"no row {key} in {path.name}")


@dataclass(frozen=True)
class Cell:
    """One cell of a shipped row, overwritten."""

    table: str
    key: Key
    column: str
    text: str
    message: str


PERMITS: Key = ("USA", "permit_days", "", "")
PRICE: Key = ("FRA", "electricity_price_usd_per_mwh", "", "")
SHIPPED: Key = ("nvidia", "shipped_h100e", "", "2025Q1")
ROUTE: Key = ("aws", "route_share", "leased", "2026/2031")
PATIENCE: Key = ("world", "patience_days_power", "", "")
CAPEX: Key = ("google", "capex_total", "", "2024")

CELLS = [
    Cell("countries", PERMITS, "low", "many", "'many' is not a number; write it plainly"),
    Cell("countries", PERMITS, "mode", "1_000", "'1_000' is not a number"),
    Cell("countries", PERMITS, "mode", "", "is empty; every number needs its middle value"),
    Cell("countries", PERMITS, "high", "", "is empty, but p10-p90 needs low, mode and high"),
    Cell("countries", PERMITS, "low", "99999", "low <= mode <= high is expected"),
    Cell("countries", PERMITS, "high", "1", "low <= mode <= high is expected"),
    Cell("countries", PERMITS, "low", "-5", "outside the range of the unit days: at least 0"),
    Cell("countries", PERMITS, "low", "0", "a lognormal range needs low above 0, not 0; use normal"),
    Cell("countries", PERMITS, "high", "inf", "is not a finite number"),
    Cell("countries", PERMITS, "mode", "nan", "is not a finite number"),
    Cell("countries", PERMITS, "quantiles", "p10-p95", "is not allowed; use one of p10-p90, p5-p95.*did you mean 'p10-p90'"),
    Cell("countries", PERMITS, "quantiles", "", "'' is not allowed; use one of p10-p90"),
    Cell("countries", PERMITS, "quantiles", "point", "a point has no low or high; say what the range means"),
    Cell("countries", PERMITS, "family", "triangular", "'triangular' does not go with p10-p90; use lognormal or normal"),
    Cell("countries", PERMITS, "family", "gaussian", "'gaussian' is not allowed; use one of lognormal, normal"),
    Cell("countries", PERMITS, "unit", "day", "'day' is not a unit of the registry.*did you mean 'days'"),
    Cell("countries", PERMITS, "unit", "months", "permit_days is given in months; the simulator expects days"),
    Cell("countries", PERMITS, "unit", "text", "text values have both unit and quantiles 'text'"),
    Cell("countries", PERMITS, "as_of", " ", "is empty; say what time the value describes"),
    Cell("countries", PERMITS, "known_from", "", "is not a date; give the day it became public, like 2025-06-30"),
    Cell("countries", PERMITS, "known_from", "2025-06", "'2025-06' is not a date"),
    Cell("countries", PERMITS, "known_from", "2025-02-30", "'2025-02-30' is not a date"),
    Cell("countries", PERMITS, "kind", "guessed", "'guessed' is not allowed; use one of reported, derived, recalled, assumed"),
    Cell("countries", PRICE, "source_url", "", "value needs its source: a web address; or mark it recalled or assumed"),
    Cell("countries", PRICE, "source_url", "a report", "'a report' is not a web address; separate several with ' ; '"),
    Cell("process", PATIENCE, "note", "", "a value that is assumed needs its reason"),
    Cell("countries", PERMITS, "period", "2025Q5", "'2025Q5' is not a period; use 2025, 2025Q1"),
    Cell("countries", PERMITS, "period", "2026/2024", "'2026/2024' is not a period"),
    Cell("countries", PERMITS, "period", "2025-13-01", "'2025-13-01' is not a period"),
    Cell("countries", PERMITS, "entity", "Usa land", "'Usa land' is not a name"),
    Cell("countries", PERMITS, "parameter", "Permit days", "'Permit days' is not a name"),
    Cell("countries", PERMITS, "scope", "../etc", "is not a name"),
    Cell("countries", ("USA", "demand_share", "", ""), "high", "1.4", "outside the range of the unit fraction: 0 to 1"),
    Cell("countries", ("USA", "name", "", ""), "low", "x", "a text value has no low or high"),
    Cell("countries", ("USA", "name", "", ""), "mode", "x" * 800, "a text of 1 to 700 characters on one line"),
    Cell("markets", ("usa_texas", "country", "", ""), "mode", "USB", "'USB' is not a known country.*did you mean 'USA'"),
    Cell("markets", ("usa_texas", "presence", "aws", ""), "scope", "awss", "'awss' is not a known company.*did you mean 'aws'"),
    Cell("markets", ("usa_texas", "presence", "aws", ""), "mode", "maybe", "'maybe' is not a known answer; use one of n, y"),
    Cell("markets", ("usa_texas", "on_site_generation_allowed", "", ""), "mode", "never", "'never' is not a known answer"),
    Cell("companies", CAPEX, "entity", "googel", "'googel' is not a known company.*did you mean 'google'"),
    Cell("companies", ROUTE, "scope", "rented", "'rented' is not a known route; use one of ai_first, classic"),
    Cell(
        "footprint", ("aws", "regions_operating", "DEU", ""), "scope", "XEU", "'XEU' is not a known country.*did you mean 'DEU'"
    ),
    Cell("fleets", ("aws", "h100e_held", "nvidia", "2023-12-31"), "scope", "intel", "'intel' is not a known kind of chip"),
    Cell("announcements", ("microsoft-are-2025-11", "company", "", ""), "mode", "meta", "'meta' is not a known company"),
    Cell(
        "announcements",
        ("microsoft-are-2025-11", "country", "", ""),
        "mode",
        "URY",
        "'URY' is not a known country; it must be in countries.csv",
    ),
    Cell(
        "announcements", ("microsoft-are-2025-11", "announced_on", "", ""), "mode", "soon", "'soon' is not a date like 2025-11-03"
    ),
    Cell("accelerators", ("h100", "vendor", "", ""), "mode", "nvidea", "'nvidea' is not a known vendor.*did you mean 'nvidia'"),
    Cell("supply", SHIPPED, "entity", "intel", "'intel' is not a known vendor; use one of amd"),
    Cell(
        "supply",
        ("nvidia", "generation_share", "h100", "2023Q4"),
        "scope",
        "h1000",
        "'h1000' is not a known accelerator.*did you mean 'h100'",
    ),
    Cell("supply", ("nvidia", "generation_share", "h100", "2023Q4"), "scope", "mi300x", "mi300x is made by amd, not by nvidia"),
    Cell(
        "process",
        ("world", "spread_between_projects_log_sd", "shipping", ""),
        "scope",
        "sailing",
        "'sailing' is not a known stage",
    ),
    Cell("process", PATIENCE, "entity", "mars", "'mars' is not a known entity; use one of world"),
    Cell("costs", ("world", "capex_total", "", "2027"), "unit", "usd_m_per_mw_facility", "use one unit"),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{c.table}-{c.key[1]}-{c.column}-{c.text[:12]}")
def test_a_bad_cell_is_refused_with_its_line_and_the_remedy(cell: Cell, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / f"{cell.table}.csv"
    rows = read_rows(path)
    line = line_of(path, cell.key)
    rows[line - 1][HEADER.index(cell.column)] = cell.text
    write_rows(path, rows)
    with pytest.raises(InputProblems) as refusal:
        load_world(folder)
    place = f"{path}:{line}: "
    here = [str(p) for p in refusal.value.problems if str(p).startswith(place)]
    assert here, f"nothing said about {place}: {refusal.value}"
    with pytest.raises(AssertionError, match=cell.message):
        raise AssertionError(" | ".join(here))


def drop(key: Key) -> Callable[[Path], str]:
    def act(path: Path) -> str:
        write_rows(path, [row for row in read_rows(path) if tuple(row[:4]) != key])
        return str(path)

    return act


def header(text: str) -> Callable[[Path], str]:
    def act(path: Path) -> str:
        lines = path.read_text(encoding="utf-8").split("\n", 1)
        path.write_text(text + "\n" + lines[1], encoding="utf-8")
        return f"{path}:1: "

    return act


def written(data: bytes, place: str = "") -> Callable[[Path], str]:
    def act(path: Path) -> str:
        path.write_bytes(data)
        return f"{path}{place}"

    return act


def appended(text: str) -> Callable[[Path], str]:
    def act(path: Path) -> str:
        lines = path.read_text(encoding="utf-8").count("\n")
        with path.open("a", encoding="utf-8") as handle:
            handle.write(text)
        return f"{path}:{lines + 1}: "

    return act


def twice(key: Key) -> Callable[[Path], str]:
    def act(path: Path) -> str:
        rows = read_rows(path)
        line = line_of(path, key)
        rows.append(rows[line - 1])
        write_rows(path, rows)
        return f"{path}:{len(rows)}: "

    return act


def cell(key: Key, column: str, text: str, at_line_of: Key | None = None) -> Callable[[Path], str]:
    def act(path: Path) -> str:
        rows = read_rows(path)
        rows[line_of(path, key) - 1][HEADER.index(column)] = text
        line = line_of(path, at_line_of or key)
        write_rows(path, rows)
        return f"{path}:{line}: "

    return act


def removed(path: Path) -> str:
    path.unlink()
    return str(path)


def foreign(path: Path) -> str:
    other = path.with_name("country.csv")
    other.write_text("a,b\n", encoding="utf-8")
    return str(other)


FIRST_ROUTE: Key = ("aws", "route_share", "classic", "2026/2031")
MAIA: Key = ("microsoft_maia", "generation_share", "maia_100", "2022Q1")
CHN_DEMAND: Key = ("CHN", "demand_share", "", "")
SPLIT: Key = ("world", "construction_split", "fit_out", "")
FIRST_SPLIT: Key = ("world", "construction_split", "structure_and_plant", "")
FILES: list[tuple[str, str, Callable[[Path], str], str]] = [
    ("missing-file", "costs", removed, "is missing; the simulator needs this table"),
    ("foreign-file", "countries", foreign, "is not a table; did you mean 'countries'"),
    ("empty", "costs", written(b""), "is empty; the first line must be entity,parameter"),
    ("blank", "costs", written(b"\n\n \n"), "is empty; the first line must be"),
    ("only-header", "accelerators", written((",".join(HEADER) + "\n").encode()), "is missing: the table has no rows"),
    ("binary", "costs", written(b"PK\x03\x04\x00\x00"), "holds binary data"),
    ("not-utf-8", "costs", written(",".join(HEADER).encode() + b"\nw\xf6rld\n", ":2: "), "is not UTF-8 text .*save it as UTF-8"),
    ("huge", "costs", written(b"x" * 1_000_001), "is larger than 1,000,000 bytes"),
    ("wrong-header", "costs", header("entity,parameter,area,period"), "the header must be entity.*'area' is not a column"),
    ("no-header", "costs", header("world,opex,,,1,2,3"), "the header must be"),
    ("few-cells", "costs", appended("world,opex,,,1,2,3\n"), "has 7 cells, 15 are expected"),
    ("open-quote", "costs", appended('world,"opex\n'), "is not valid CSV: .*check the quotation marks"),
    ("twice", "countries", twice(PERMITS), r"countries: USA permit_days is given twice .first on line \d+.; keep one"),
    ("no-parameter", "countries", drop(PERMITS), "permit_days: is missing for USA; add a row in days"),
    ("no-year", "companies", drop(CAPEX), r"capex_total: is missing for google \[2024\]; add a row in usd_bn"),
    ("no-quarter", "supply", drop(SHIPPED), r"shipped_h100e: is missing for nvidia \[2025Q1\]; add a row in h100e"),
    ("no-generation", "supply", drop(MAIA), r"is missing for microsoft_maia \[2022Q1\]; say which"),
    ("no-route", "process", drop(("world", "permit_factor", "classic", "")), r"permit_factor: is missing for world \[classic\]"),
    ("routes-not-one", "companies", cell(ROUTE, "mode", "0.41", FIRST_ROUTE), "sum to 1.010000; they must sum to exactly 1"),
    (
        "known-apart",
        "companies",
        cell(ROUTE, "known_from", "2026-01-01", FIRST_ROUTE),
        "parts of one whole become known together",
    ),
    (
        "demand-over-one",
        "countries",
        cell(CHN_DEMAND, "mode", "0.17", ("ARE", "demand_share", "", "")),
        "they must not exceed 1",
    ),
    ("no-sweep", "process", cell(PATIENCE, "low", ""), "an assumed number needs a sweep range"),
    ("split-not-one", "process", cell(SPLIT, "mode", "0.141", FIRST_SPLIT), "sum to 1.001000"),
]


@pytest.mark.parametrize(("table", "spoil", "message"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_a_bad_file_is_refused_with_its_place_and_the_remedy(
    table: str, spoil: Callable[[Path], str], message: str, tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    place = spoil(folder / f"{table}.csv")
    with pytest.raises(InputProblems) as refusal:
        load_world(folder)
    here = [str(p) for p in refusal.value.problems if str(p).startswith(place)]
    assert here, f"nothing said about {place}: {refusal.value}"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(" | ".join(here))


def test_an_unreadable_table_does_not_drown_the_others(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "countries.csv").write_bytes(b"")
    with pytest.raises(InputProblems) as refusal:
        load_world(folder)
    assert len(refusal.value.problems) == 1


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    spoiled = [
        ("countries", PERMITS, "unit", "day"),
        ("countries", PRICE, "known_from", "soon"),
        ("supply", SHIPPED, "low", "x"),
        ("process", PATIENCE, "kind", "guess"),
    ]
    places = [cell(key, column, text)(folder / f"{table}.csv") for table, key, column, text in spoiled]
    with pytest.raises(InputProblems) as refusal:
        load_world(folder)
    lines = str(refusal.value).splitlines()
    for place in places:
        assert any(line.startswith(place) for line in lines), place


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(InputProblems, match=r"no such folder; the folder with countries\.csv"):
        load_world(Path("nowhere"))
