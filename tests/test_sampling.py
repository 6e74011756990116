"""From ranges to draws: the stated distributions, nothing shared by accident, and sums that come out."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
from scipy.special import ndtr
from test_compile import compiled, compiled_as, shared_sampler, world

from simulator.distributions import quantile
from simulator.draws import Floats
from simulator.sampling import FILINGS, HOPS, ORDINALS, Sampler, Sheet, frame
from simulator.scenario import InputChange, load_scenario
from simulator.static import Draws, Route, Timed
from simulator.units import FACTOR_ONE, PPM, TICKS_PER_DAY, h100e_ppm, quarter_of
from simulator.world import Value, World

START, END = date(2024, 1, 1), date(2028, 12, 31)
SEED = 20261123


def sampler() -> Sampler:
    return shared_sampler(START, END)


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


LUCK = ("spread", "patience", "refile", "relocates", "licence_time", "licence_outcome")
"""Tables by project whose numbers come from the project's own key and from inputs that no test here changes."""


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


def test_without_luck_every_project_has_the_median_fate_and_assumptions_go_on() -> None:
    a, b = (sampler().draw(SEED, r, luck=False) for r in (0, 1))
    for table in (a.spread, a.luck_power, a.luck_construction):
        assert (table == FACTOR_ONE).all()
    assert len(set(a.patience.tolist())) == 1
    assert len(set(a.refile.tolist())) == 1
    assert (a.licence_outcome == 1 << 61).all()
    assert (a.median != b.median).any()


def test_patience_and_the_time_to_file_again_are_luck_around_the_stated_number() -> None:
    s, w = sampler(), world()
    stated = {"patience": w.number("process", "patience_days_licence"), "refile": w.number("process", "refile_days")}
    still, free = (s.draw(SEED, 0, luck=False), s.draw(SEED, 1, luck=False)), [s.draw(SEED, r) for r in range(4)]
    for name, days in stated.items():
        for draws in still:  # whatever else is assumed
            assert getattr(draws, name) / TICKS_PER_DAY == pytest.approx(days, abs=1e-5)
        value = w.get("process", "patience_days_licence" if name == "patience" else "refile_days")
        drawn = np.concatenate([getattr(draws, name) for draws in free]) / TICKS_PER_DAY
        assert value.low is not None
        assert value.high is not None
        # One spread on both sides, read off the width of the range: a fifth of the cases lie outside a range of that width.
        half = np.sqrt(value.high / value.low)
        outside = np.mean((drawn < days / half) | (drawn > days * half))
        assert abs(outside - 0.2) < 4.5 * np.sqrt(0.16 / len(drawn))


FATES = ("median", "luck_power", "luck_construction", "deliveries", "opening_stock", "under_way", "fleet_chips", "route_factor",
         "authorisation_time", "authorisation_outcome", "price_usd", "shell_usd_per_mw", "filing_lead", "stock_ahead")  # fmt: skip
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
        assert len({day % 91 for day in (draw.planned // TICKS_PER_DAY).tolist()}) > 60


def test_without_either_every_project_fares_alike_but_projects_differ() -> None:
    s = sampler()
    all_alike([s.draw(SEED, 0, assumptions=False, luck=False), s.draw(SEED + 1, 9, assumptions=False, luck=False)])


def test_the_switches_of_a_scenario_reach_the_draws() -> None:
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
    c = compiled(name)
    own = compile_alone(name)
    assert digest(own.draw(SEED, 1)) == digest(compiled("history").draw(SEED, 1)) == digest(c.draw(SEED, 1))


def compile_alone(name: str) -> Sampler:
    """A sampler built for this scenario alone, as a single run would."""
    scenario = load_scenario(name, sets=["end=2028-12-31"])
    assert not scenario.inputs
    return Sampler(world(), frame(world(), scenario.start, scenario.end))


def with_place(place: str, like: str, table: str) -> World:
    """The world with one more country or market, a copy of another."""
    w = world()
    copies = [dataclasses.replace(v, entity=place) for v in w.values if v.table == table and v.entity == like]
    if table == "countries":
        copies += [dataclasses.replace(v, scope=place) for v in w.values if v.table == "fleets" and v.scope == like]
    assert copies
    return World((*w.values, *copies))


@pytest.mark.parametrize(
    ("place", "like", "table"), [("ZZZ", "BRA", "countries"), ("AAA", "BRA", "countries"), ("us-aaa", None, "markets")]
)
def test_another_place_changes_no_draw_of_the_others(place: str, like: str | None, table: str) -> None:
    s = sampler()
    like = like or next(m.id for m in world().markets if m.country == "USA")
    wider = Sampler(with_place(place, like, table), frame(with_place(place, like, table), START, END))
    a, b = s.draw(SEED, 1), wider.draw(SEED, 1)
    assert a.names == b.names
    for field in ("company", "vendor", "route", "planned", "mw16", *LUCK, "deliveries", "opening_stock"):
        assert (getattr(a, field) == getattr(b, field)).all(), field
    old = [wider.frame.markets.index(m) for m in s.frame.markets]
    assert (a.median == b.median[:, old]).all()
    if table == "countries":
        kept = [wider.frame.countries.index(c) for c in s.frame.countries]
        assert (a.luck_power == b.luck_power[:, kept]).all()
        assert (a.luck_construction == b.luck_construction[:, kept]).all()
    # The taste of two projects of one company for one market differs by the same amount as before: all else is common to both.
    k = a.company
    i, j = (np.nonzero(k == 0)[0][n] for n in (0, 1))
    before, after = a.appeal[i] - a.appeal[j], b.appeal[i][old] - b.appeal[j][old]
    assert np.abs(before - after).max() <= 2  # rounded scores
    assert np.abs(before).max() > FACTOR_ONE // 10


def test_more_money_for_one_company_changes_no_draw_of_the_others_nor_the_luck_of_its_own() -> None:
    change = {"table": "companies", "parameter": "capex_total", "entity": "google", "multiply": 1.25, "reason": "a test"}
    richer = Sampler(world().changed([InputChange.model_validate(change)]), sampler().frame)
    for r in (0, 1):
        a, b = sampler().draw(SEED, r), richer.draw(SEED, r)
        others_a = {
            n: row for n, row in by_name(a, "planned", "mw16", "route", "vendor", "appeal", *LUCK).items() if "google" not in n
        }
        others_b = {
            n: row for n, row in by_name(b, "planned", "mw16", "route", "vendor", "appeal", *LUCK).items() if "google" not in n
        }
        assert {n: row for n, row in others_a.items() if "/" in n} == {n: row for n, row in others_b.items() if "/" in n}
        luck_a, luck_b = by_name(a, *LUCK), by_name(b, *LUCK)
        common = luck_a.keys() & luck_b.keys()
        assert {n: luck_a[n] for n in common} == {n: luck_b[n] for n in common}
        google = sampler().frame.companies.index("google")
        assert a.mw16[a.company == google].sum() < b.mw16[b.company == google].sum()


def test_one_more_announcement_changes_no_draw_of_the_other_projects() -> None:
    s, wider = sampler(), Sampler(world(), sampler().frame)
    first = s.announced[0]
    wider.announced = sorted(
        [*s.announced, dataclasses.replace(first, name="a-new-one", on=date(2025, 5, 5))], key=lambda a: (a.on, a.name)
    )
    from simulator.draws import entity_key

    wider.announced_keys = np.array([entity_key(a.name) for a in wider.announced], dtype=np.uint64)
    a, b = s.draw(SEED, 0), wider.draw(SEED, 0)
    assert set(b.names) - set(a.names) >= {"a-new-one"}
    luck_a, luck_b = by_name(a, *LUCK, "appeal"), by_name(b, *LUCK, "appeal")
    common = luck_a.keys() & luck_b.keys()
    assert {n: luck_a[n] for n in common} == {n: luck_b[n] for n in common}
    everyone_else = a.company != first.company
    assert {n for n, e in zip(a.names, everyone_else, strict=True) if e} <= set(b.names)


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
    without.announced, without.announced_keys = [], np.array([], dtype=np.uint64)
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
    from simulator.units import quarter_start, tick_of

    s = sampler()
    for draws, _ in many():
        starts = np.array([tick_of(quarter_start(q), START) for q in names_to_quarters(draws, s)])
        inside = (draws.planned - starts) // TICKS_PER_DAY
        assert inside.min() >= 0
        # A day of the quarter, so that none reaches into the next one.
        nexts = np.array([quarter_of(date.fromordinal(START.toordinal() + int(t) // TICKS_PER_DAY)) for t in draws.planned])
        assert (nexts == np.array(names_to_quarters(draws, s))).all()
        assert draws.planned.max() < compiled("history").static.horizon


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
        "patience": (n,), "relocates": (n, HOPS), "refile": (n,), "licence_time": (n, HOPS, FILINGS), "licence_outcome": (n, HOPS, FILINGS),
        "authorisation_time": (k,), "authorisation_outcome": (k,), "deliveries": (60, k, a), "opening_stock": (k, a), "under_way": (k, a),
        "fleet_chips": (k, c, a),
        "route_factor": (4, 8), "price_usd": (a,), "shell_usd_per_mw": (m,), "spend_ppm": (5,),
    }  # fmt: skip
    assert {f: getattr(draws, f).shape for f in shapes} == shapes
    tables = {f.name for f in dataclasses.fields(draws) if isinstance(getattr(draws, f.name), np.ndarray)}
    assert shapes.keys() == tables
    for name in tables:
        assert getattr(draws, name).dtype == np.int64, name
    assert draws.largest_filings <= FILINGS
    assert draws.largest_hop < HOPS


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
