"""Second-order effects against numbers worked by hand, the directions they must have, and sums that must close."""

from __future__ import annotations

import dataclasses
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import spillovers as sp
from simulator.controls import Law, law, load_regime
from simulator.sampling import Sheet
from simulator.units import month_ends, quarter_of
from simulator.world import World, load_world

START, END, EARLIEST = date(2024, 1, 1), date(2031, 12, 31), date(2019, 1, 1)
DECEMBERS = slice(11, None, 12)
DIVERGES = {
    "no-controls": START,
    "october-2023": date(2025, 1, 13),
    "diffusion-framework": date(2025, 1, 13),
    "framework-tight": date(2025, 1, 13),
    "framework-relaxed": date(2025, 1, 13),
    "bilateral-deals": date(2027, 1, 1),
    "revenue-share": date(2027, 1, 1),
    "decoupling": date(2027, 1, 1),
    "collaboration": date(2027, 1, 1),
}
NAMES = ["history", *DIVERGES]


@cache
def world() -> World:
    return load_world()


@cache
def timeline(name: str) -> Law:
    history = load_regime("history")
    return law(history) if name == "history" else law(history, DIVERGES[name], load_regime(name))


@cache
def policy(name: str) -> sp.ChinaPolicy:
    return sp.china_policy(timeline(name), timeline("history"), world(), START, END, EARLIEST)


def drawn(start: date = START, replication: int | None = None) -> sp.ChinaPaths:
    """The shipped inputs, at their middle or as one replication draws them."""
    w = world()
    inputs = sp.wanted(w, start, END)
    values, at = [], {}
    for name, keys in inputs.items():
        at[name] = slice(len(values), len(values) + len(keys))
        values += [w.get(*key) for key in keys]
    x = Sheet(values, 0.5).draw(1, replication or 0, replication is not None)
    months = month_ends(start, END)
    merchant = [sum(w.series("supply", "shipped_h100e", v)[quarter_of(day)].number for v in sp.MERCHANTS) / 3 for day in months]
    past = [date(year, 7, 1) for year in range(2022, start.year)]
    each = w.number("accelerators", "dense_8bit_tops", "ascend_910c") / 1979
    per_chip, per_past = sp.h100e_per_chip(w, months), sp.h100e_per_chip(w, past)
    return sp.paths(lambda name: x[at[name]], inputs, months, np.array(merchant), per_chip, per_past, each)


def small(**changes: Any) -> sp.ChinaPolicy:
    """Three months; the law denied nothing, then half, then all of the demand."""
    inputs: dict[str, Any] = {
        "denied": np.array([0.0, 0.5, 1.0]),
        "bought": np.array([1.0, 0.5, 0.0]),
        "bought_in_history": np.array([0.5, 0.5, 0.5]),
        "season": np.ones(3),
        "diversion": np.array([0.0, 1.0, 2.0]),
        "growth": np.zeros(3),
        "ceiling": np.full(3, np.inf),
        "elasticity": 0.5,
    }
    return sp.ChinaPolicy(**(inputs | changes))


def three_months(**changes: Any) -> sp.ChinaPaths:
    inputs: dict[str, Any] = {
        "demand": np.full(3, 100.0),
        "imports": np.full(3, 40.0),
        "smuggled": np.full(3, 10.0),
        "domestic": np.array([20.0, 40.0, 60.0]),
        "rented": np.array([1.0, 2.0, 3.0]),
        "exportable": np.array([5.0, 50.0, 500.0]),
        "opening": (1000.0, 100.0, 10.0),
        "lag_days": 0.0,
    }
    return sp.ChinaPaths(**(inputs | changes))


# ---- China's stock, by hand


def test_three_months_of_china_by_hand() -> None:
    found = sp.china(small(), three_months())
    # Imports 40 + 100 x (1 - 0.5), then as in history, then none. Output 20, 40 x 1.25, 60 x 1.5.
    assert found.licensed.tolist() == [1090, 1130, 1130]
    assert found.diverted.tolist() == [100, 110, 130]
    assert found.output.tolist() == [20, 50, 90]
    assert found.domestic.tolist() == [30, 80, 170]
    assert found.stock.tolist() == [1090 + 100 + 30 + 1, 1130 + 110 + 80 + 2, 1130 + 130 + 170 + 3]
    assert found.taken.tolist() == [90, 50, 20]
    assert found.taken_more.tolist() == [90 - 50, 0, 20 - 50]
    assert found.exportable.tolist() == [5, 50, 90]


def test_the_answer_comes_after_the_lag_and_stays_under_the_ceiling() -> None:
    month = sp.MONTH_DAYS
    assert sp.lagged(np.array([0.0, 0.2, 0.6, 1.0]), 2, month).tolist() == pytest.approx([0.2, 0.6])
    assert sp.lagged(np.array([0.0, 0.2, 0.6, 1.0]), 2, 1.5 * month).tolist() == pytest.approx([0.1, 0.4])
    assert sp.lagged(np.array([0.3, 0.2, 0.6, 1.0]), 2, 90 * month).tolist() == [0.3, 0.3]
    late = sp.china(small(denied=np.array([1.0, 0.0, 0.0, 0.0])), three_months(lag_days=month))
    assert late.output.tolist() == pytest.approx([30, 40, 60])
    # 40 x 1.25 is cut to 45; the base of 60 lies above its ceiling of 55 and stays.
    assert sp.china(small(ceiling=np.array([30.0, 45.0, 55.0])), three_months()).output.tolist() == [20, 45, 60]


def test_each_mechanism_can_be_switched_off() -> None:
    off = sp.Mechanisms(diversion=False, substitution=False, renting=False)
    found = sp.china(small(on=off), three_months())
    assert found.diverted.tolist() == [0, 0, 0] and found.rented.tolist() == [0, 0, 0]
    assert found.output.tolist() == [20, 40, 60]
    assert found.stock.tolist() == pytest.approx((found.licensed + found.domestic).tolist())
    assert found.taken_more.tolist() == [50, 0, -40]


def test_stated_growth_replaces_the_elasticity() -> None:
    stated = sp.Mechanisms(stated_growth=True)
    assert not stated.substitution
    found = sp.china(small(growth=np.array([0.0, 0.5, 0.5]), on=stated), three_months())
    # Growth from month 1 on is half as large again: 60 x (60 / 40) ** 0.5.
    assert found.output.tolist() == pytest.approx([20, 40, 60 * 1.5**0.5])
    law_states = sp.china_policy(
        timeline("decoupling"), timeline("history"), world(), START, END, EARLIEST, sp.Mechanisms(stated_growth=True)
    )
    assert (law_states.growth[:36] == 0).all() and (law_states.growth[36:] == 0.25).all()
    assert (policy("revenue-share").growth[36:] == -0.15).all()


def test_the_ratio_is_not_a_number_where_nothing_is_online() -> None:
    assert sp.china_ratio(np.array([5.0, 6.0]), np.array([0.0, 12.0])).tolist() == pytest.approx([np.nan, 0.5], nan_ok=True)


unit = st.floats(0, 1)
amount = st.floats(0, 1e8)


@given(amount, amount, unit, unit, unit)
def test_imports_never_fall_as_the_law_opens(history: float, demand: float, a: float, b: float, in_history: float) -> None:
    less, more = sorted((a, b))

    def imports(bought: float) -> float:
        return float(sp.licensed_imports(*(np.array([x]) for x in (history, demand, bought, in_history)))[0])

    assert imports(less) <= imports(more) * (1 + 1e-12)
    assert imports(in_history) == history
    assert imports(0.0) == (history if in_history == 0 else 0.0)


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2000))
def test_output_never_falls_as_the_elasticity_rises(a: float, b: float, lag: float) -> None:
    weak, strong = (sp.china(small(elasticity=e), three_months(lag_days=lag)).output for e in sorted((a, b)))
    assert (weak <= strong * (1 + 1e-12)).all()


# ---- the law and the world as shipped


def test_what_the_law_leaves_open_by_hand() -> None:
    w = world()
    days = [date(2022, 1, 15), date(2024, 6, 15), date(2025, 6, 15), date(2026, 6, 15)]
    opened, bought = sp._shares(timeline("history"), w, days)
    h = sp.h100e_per_chip(w, days)
    # Nothing was controlled; then only the H20 was free (296 of 1,979 TOP/s); then not even that; then the H200 case by case.
    case_by_case = timeline("history").outcome("case_by_case", days[3])[0]
    assert opened[0] == bought[0] == pytest.approx(min(1, 624 / 1979 / h[0]))
    assert opened[1] == bought[1] == pytest.approx(296 / 1979 / h[1])
    assert opened[2] < 0.031 and bought[2] == 0
    assert opened[3] == pytest.approx(case_by_case * max(1979, 2614.9) / 1979 / h[3], rel=0.01)
    assert bought[3] == pytest.approx(0.02 * opened[3])


def test_merchant_chips_average_as_the_shipments_say() -> None:
    w = world()
    made = chips = 0.0
    for vendor in sp.MERCHANTS:
        for share in w.select(table="supply", parameter="generation_share", entity=vendor):
            if share.period == "2025Q2":
                amount = w.number("supply", "shipped_h100e", vendor, period="2025Q2") * share.number
                made += amount
                chips += amount / (w.number("accelerators", "dense_8bit_tops", share.scope) / 1979)
    assert sp.h100e_per_chip(w, [date(2025, 5, 9)])[0] == pytest.approx(made / chips, rel=1e-12)
    assert sp.h100e_per_chip(w, [date(1999, 1, 1), date(2099, 1, 1)]).tolist() == pytest.approx(
        sp.h100e_per_chip(w, [date(2022, 1, 1), date(2031, 12, 1)]).tolist()
    )


def test_slower_chips_are_bought_in_full_where_they_are_free_and_not_at_all_under_decoupling() -> None:
    october, decoupling = policy("october-2023"), policy("decoupling")
    t = 12 * 4 + 5  # June 2028: the H20 is free under the rule of October 2023; decoupling stops its class too
    at = len(october.denied) - 96 + t
    serves = 296 / 1979 / sp.h100e_per_chip(world(), [date(2028, 6, 15)])[0]
    assert october.bought[t] == pytest.approx(serves)
    assert decoupling.bought[t] == 0
    assert decoupling.denied[at] == 1


@pytest.mark.parametrize("name", DIVERGES)
def test_before_it_diverges_a_scenario_is_history_to_the_last_bit(name: str) -> None:
    months = (DIVERGES[name].year - START.year) * 12
    ours, history = sp.china(policy(name), drawn()), sp.china(policy("history"), drawn())
    for field in sp.China._fields:
        assert getattr(ours, field)[:months].tobytes() == getattr(history, field)[:months].tobytes(), field


def test_history_imports_what_is_reported_and_takes_nothing_more() -> None:
    found = sp.china(policy("history"), drawn())
    for year, at in ((2024, slice(0, 12)), (2025, slice(12, 24)), (2026, slice(24, 36))):
        stated = world().number("supply", "licensed_imports_h100e", "china", period=str(year))
        assert np.diff(found.licensed, prepend=177_662.0)[at].sum() == pytest.approx(stated)
    assert (found.taken_more == 0).all()
    # H20 sales ended in April 2025 and hardly resumed.
    monthly = np.diff(found.licensed)
    assert monthly[11:14].min() > 20 * monthly[15:23].max()


def test_stocks_stay_within_the_published_range_of_the_end_of_2025() -> None:
    found = sp.china(policy("history"), drawn())
    published = world().get("supply", "ai_compute_stock_h100e", "china", period="2025-12-31")
    assert published.low is not None and published.high is not None
    legal = (found.licensed + found.domestic)[23]
    assert published.low < legal < published.high
    reported = world().get("supply", "licensed_stock_h100e", "china", period="2025-12-31")
    assert found.licensed[23] == pytest.approx(reported.number, rel=0.01)


@pytest.mark.parametrize("replication", [None, 0, 1, 2])
def test_without_controls_imports_are_the_highest(replication: int | None) -> None:
    paths = drawn(replication=replication)
    free = sp.china(policy("no-controls"), paths)
    for name in NAMES:
        assert (free.licensed >= sp.china(policy(name), paths).licensed).all(), name
    assert (free.licensed[DECEMBERS] > 2 * sp.china(policy("history"), paths).licensed[DECEMBERS]).all()
    assert np.diff(free.diverted).max() == 0


def test_closer_checks_divert_less() -> None:
    history, framework, tight, decoupling = (
        sp.china(policy(name), drawn()).diverted[-1]
        for name in ("history", "diffusion-framework", "framework-tight", "decoupling")
    )
    assert tight < framework < history and decoupling < history
    assert policy("decoupling").diversion[36:40].tolist() == [1] * 4  # history's law binds until 1 May 2027
    assert policy("decoupling").diversion[40:] == pytest.approx(0.005 / 0.05)


def test_denial_raises_domestic_output_only_if_it_is_answered() -> None:
    paths = drawn()
    output = {
        (name, e): sp.china(dataclasses.replace(policy(name), elasticity=e), paths).output for name in NAMES for e in (0.0, 0.75)
    }
    base = paths.domestic
    for name in NAMES:
        assert policy(name).elasticity == 0.0
        assert output[name, 0.0].tobytes() == base.tobytes()
        assert (output[name, 0.75] >= base).all()
    assert output["decoupling", 0.75][-24:].sum() > output["history", 0.75][-24:].sum() > base[-24:].sum()
    assert output["no-controls", 0.75][-24:].tolist() == pytest.approx(base[-24:].tolist())


def test_self_reliance_raises_output_and_its_ceiling() -> None:
    from simulator.scenario import load_scenario

    changed = world().changed(load_scenario("self-reliance").changes)
    history = timeline("history")
    answered = sp.china_policy(history, history, changed, START, END, EARLIEST)
    assert answered.elasticity == 0.75
    assert answered.ceiling[-1] == pytest.approx(1.5 * policy("history").ceiling[-1])
    accelerated = drawn()._replace(domestic=drawn().domestic * np.where(np.arange(96) >= 36, 1.5, 1.0))
    ours, base = sp.china(answered, accelerated), sp.china(policy("history"), drawn())
    assert (ours.stock >= base.stock).all() and ours.output[-12:].sum() > 1.5 * base.output[-12:].sum()


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(NAMES), st.integers(0, 50))
def test_stocks_are_sums_and_never_fall(name: str, replication: int) -> None:
    found = sp.china(policy(name), drawn(replication=replication))
    assert found.stock == pytest.approx(found.licensed + found.diverted + found.domestic + found.rented)
    for part in (found.licensed, found.diverted, found.domestic):
        assert np.diff(part).min() >= -1e-6 and np.isfinite(part).all()
    assert (found.exportable <= found.output).all()


def test_the_yearly_table_says_what_people_want_to_know() -> None:
    table = policy("no-controls").yearly(START)
    assert list(table) == list(range(2024, 2032))
    assert table[2028] == {"denied": 0.0, "open": 1.0, "bought": 1.0, "diversion": 0.0}
    history = policy("history").yearly(START)
    assert 0.8 < history[2024]["denied"] < 0.95
    assert all(row["denied"] + row["open"] == pytest.approx(1) and row["diversion"] == 1 for row in history.values())


@pytest.mark.parametrize("start", [date(2023, 1, 1), START])
def test_every_wanted_input_is_there_once(start: date) -> None:
    keys = [key for keys in sp.wanted(world(), start, END).values() for key in keys]
    assert len(keys) == len(set(keys))
    for key in keys:
        assert world().get(*key).number is not None
    at_start = drawn(start)
    assert at_start.opening[0] == {2023: 31_906, 2024: 177_662}[start.year]
    assert at_start.opening[2] == {2023: 20_000, 2024: 75_000}[start.year]
    assert len(at_start.demand) == len(month_ends(start, END))


def test_yearly_inputs_become_months_and_chips_become_h100e() -> None:
    w, found = world(), drawn()
    per_chip = sp.h100e_per_chip(w, month_ends(START, END))
    smuggled = w.number("supply", "chips_smuggled", "china", period="2026")
    assert found.smuggled[24:36].tolist() == pytest.approx((smuggled / 12 * per_chip[24:36]).tolist())
    past = [w.number("supply", "chips_smuggled", "china", period=y) for y in ("2022", "2023")]
    mean = sp.h100e_per_chip(w, [date(2022, 7, 1), date(2023, 7, 1)])
    assert found.opening[1] == pytest.approx(past[0] * mean[0] + past[1] * mean[1])
    assert found.domestic[24:36].sum() == pytest.approx(w.number("supply", "domestic_output_h100e", "china", period="2026"))
    assert found.imports[24:36].sum() == pytest.approx(w.number("supply", "licensed_imports_h100e", "china", period="2026"))
    assert np.isnan(found.imports[36:]).all()
    high = w.get("supply", "domestic_output_h100e", "china", period="2030").high
    assert high is not None and policy("history").ceiling[72:84].sum() == pytest.approx(high)
    shipped = sum(w.series("supply", "shipped_h100e", v)["2028Q3"].number for v in sp.MERCHANTS)
    assert found.demand[54:57].sum() == pytest.approx(0.2 * shipped)


def test_levels_are_met_at_year_ends_and_exports_begin_with_the_first_number() -> None:
    found = drawn()
    stated = [world().number("supply", "offshore_rented_h100e", "china", period=str(y)) for y in range(2024, 2032)]
    assert found.rented[DECEMBERS].tolist() == pytest.approx(stated)
    assert found.rented[12 + 5] == pytest.approx(stated[0] + (stated[1] - stated[0]) * 181 / 365)
    assert (found.exportable[:11] == 0).all() and found.exportable[12] > 0
    assert found.exportable[-1] * 12 == pytest.approx(
        60_000 * world().number("accelerators", "dense_8bit_tops", "ascend_910c") / 1979
    )


# ---- displacement and unmet demand


def test_displacement_by_hand() -> None:
    # Two replications, two dates, three countries.
    change = np.array([[[0, -4, 3], [1, 1, 1]], [[-2, -3, 0], [5, -1, -1]]], dtype=float)
    found = sp.displacement(change)
    assert found.gained.tolist() == [[3, 3], [0, 5]] and found.lost.tolist() == [[4, 0], [5, 2]]
    assert found.net.tolist() == [[-1, 3], [-5, 3]] and found.moved.tolist() == [[3, 0], [0, 2]]
    assert sp.unmet_abroad(change, home=0).tolist() == [[4, 0], [3, 2]]
    assert sp.unmet_abroad(change, home=1).tolist() == [[0, 0], [2, 1]]


cells = st.lists(st.floats(0, 1e5), min_size=12, max_size=12)


@given(cells, cells)
def test_displacement_turns_round_when_the_runs_are_swapped(x: list[float], y: list[float]) -> None:
    change = np.array(y).reshape(4, 3) - np.array(x).reshape(4, 3)
    there, back = sp.displacement(change), sp.displacement(-change)
    assert there.gained == pytest.approx(back.lost) and there.moved == pytest.approx(back.moved)
    assert there.net == pytest.approx(change.sum(axis=1), abs=1e-6)
    assert (there.moved <= there.gained).all() and (there.moved <= there.lost).all()


def test_unmet_demand_is_split_by_hand() -> None:
    shares = np.array([0.4, 0.3, 0.12, 0.08, 0.1])
    assert sp.split_unmet(np.array([100.0]), shares, np.array([1e9]))[0].tolist() == pytest.approx([40, 30, 12, 8, 10])
    # Chinese vendors can serve 4 of their 8; the other 96 are shared as 40 : 30 : 12 : 10.
    bounded = sp.split_unmet(np.array([100.0]), shares, np.array([4.0]))[0]
    assert bounded.tolist() == pytest.approx([96 * 40 / 92, 96 * 30 / 92, 96 * 12 / 92, 4, 96 * 10 / 92])
    only = sp.split_unmet(np.array([100.0]), np.array([0, 0, 0, 1.0, 0]), np.array([30.0]))[0]
    assert only.tolist() == [0, 0, 0, 30, 70]
    with pytest.raises(ValueError, match="at least zero"):
        sp.split_unmet(np.array([1.0]), np.array([0.5, 0.5, 0.5, -0.5, 0]), np.array([1.0]))


def test_each_replication_is_split_by_its_own_shares_and_each_date_by_what_can_be_exported_by_then() -> None:
    unmet, exportable = np.array([[10.0, 20.0], [30.0, 40.0]]), np.array([[1.0, 99.0], [99.0, 0.0]])
    shares = np.array([[0.5, 0.1, 0.1, 0.2, 0.1], [0, 0, 0, 0.5, 0.5]])[:, None]
    found = sp.split_unmet(unmet, shares, exportable)
    for r in range(2):
        for y in range(2):
            alone = sp.split_unmet(unmet[r, y : y + 1], shares[r, 0], exportable[r, y : y + 1])
            assert found[r, y].tolist() == alone[0].tolist()


@given(st.floats(0, 1e8), st.lists(st.floats(0.01, 1), min_size=5, max_size=5), st.floats(0, 1e8))
def test_the_parts_of_unmet_demand_sum_to_it(unmet: float, shares: list[float], exportable: float) -> None:
    parts = sp.split_unmet(np.array([unmet]), np.array(shares), np.array([exportable]))[0]
    assert parts.sum() == pytest.approx(unmet) and (parts >= 0).all()
    assert parts[sp.DESTINATIONS.index("chinese_vendors")] <= exportable


# ---- what only measuring reads


def read_after(world_: World | None = None, replication: int | None = None) -> sp.AfterRun:
    """The shipped inputs, at their middle or as one replication draws them."""
    w = world_ or world()
    inputs = dict(sp.wanted(w, START, END))
    inputs["facility_life"] = [("costs", "facility_life", "world", "", "")]
    inputs["pue"] = [("countries", "pue_typical", country, "", "") for country in ("USA", "DEU")]
    values = {name: [w.get(*key) for key in keys] for name, keys in inputs.items()}

    def get(name: str) -> np.ndarray:
        return Sheet(values[name], 0.5).draw(1, replication or 0, replication is not None)

    return sp.after_run(get, sp.peaks(w, ["h100", "b200", "unheard_of"]))


def test_the_shipped_inputs_that_only_measuring_reads() -> None:
    found = read_after()
    assert found.unmet_share.sum() == pytest.approx(1) and len(found.unmet_share) == len(sp.DESTINATIONS)
    assert found.tflops.tolist() == [989.5, 2250, 0]
    assert (found.utilisation, found.goodput) == (0.34, 0.93)
    assert found.closed_years[:2].tolist() == [2023.2, 2025.129]
    assert found.open_model_operations == 3.9e25
    assert 3 <= found.server_years <= 7 and 14 <= found.facility_years <= 39
    assert found.national_usd == 1.5e6 and len(found.pue) == 2
    for replication in range(20):
        drawn_ = read_after(replication=replication)
        assert (np.diff(drawn_.closed_years) >= 0).all() and drawn_.unmet_share.sum() == pytest.approx(1)


def test_the_largest_closed_model_grows_log_linearly_between_the_dates_known_and_on_at_the_last_pace() -> None:
    found = read_after()._replace(closed_years=np.array([2023.0, 2025.0, 2026.0, 2028.0]))
    assert [found.closed_model_passes(n) for n in (1e24, 1e25, 1e26, 1e27, 1e28, 1e29)] == pytest.approx(
        [2023, 2023, 2025, 2026, 2028, 2030]
    )
    assert found.closed_model_passes(10**25.5) == pytest.approx(2024)
