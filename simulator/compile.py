"""From a scenario and the world to `Static`: law and geography as integer tables, with every bound asserted.

The law is asked once per change of law, destination and class of item; the engines then only look up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Z90, spread_table
from simulator.review import base_office, fit_clock, stated_clock
from simulator.sampling import Frame, Sampler, frame, rationed_markets
from simulator.static import BARRED, NO_POT, Draws, Posture, Static
from simulator.units import (
    DAYS_PER_YEAR,
    FACTOR_ONE,
    PPM,
    SCORE_ONE,
    TICKS_PER_DAY,
    h100e_ppm,
    quarter_start,
    threshold,
    tick_of,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from simulator.controls import Item, Law, Requirement
    from simulator.draws import Ints
    from simulator.regimes import Grant
    from simulator.review import Office
    from simulator.scenario import Scenario
    from simulator.world import World


class Cited(NamedTuple):
    """A provision as people read it."""

    title: str
    citation: str
    source: str
    certain: bool
    """False if it rests on recollection or judgement"""


@dataclass(frozen=True)
class Compiled:
    """A scenario ready to run: the tables, and the sampler of its replications."""

    scenario: Scenario
    static: Static
    sampler: Sampler
    provisions: dict[str, Cited]
    """What the ids of `static.provisions` stand for"""

    def draw(self, seed: int, replication: int, *, assumption: int | None = None, quantiles: ArrayLike | None = None) -> Draws:
        """One replication's draws, with assumptions or luck at their middle if the scenario switches them off. The assumptions may be
        those of another number, or given (`Sampler.draw`)."""
        on = self.scenario.mechanisms
        return self.sampler.draw(
            seed,
            replication,
            assumptions=on.assumptions,
            luck=on.luck,
            rationing=on.rationing,
            assumption=assumption,
            quantiles=quantiles,
        )

    @property
    def draw_key(self) -> tuple[int, bool, bool, bool]:
        """Equal for scenarios of one `compile_all` that have the same draws in every replication: these are made once for all."""
        on = self.scenario.mechanisms
        return id(self.sampler), on.assumptions, on.luck, on.rationing


def scenario_law(scenario: Scenario) -> Law:
    """The scenario's timeline of law: history until it diverges, then its own regime. Raises InputProblems for unknown ids."""
    from simulator.controls import law, load_regime
    from simulator.problems import refuse

    policy = scenario.policy
    try:
        return law(
            load_regime("history"),
            policy.diverges_on,
            load_regime(policy.regime) if policy.regime else None,
            [(then.starts, load_regime(then.regime)) for then in policy.later],
            {switch: reading for switch, reading in policy.readings.items() if reading},
            {leaf: setting.value for leaf, setting in policy.set.items() if setting},
        )
    except ValueError as error:
        raise refuse(scenario.name, str(error), field="policy") from None


def scenario_world(scenario: Scenario, world: World, known_by: date | None = None) -> World:
    """The world with the scenario's input changes, or with those that companies know of on a day. Raises InputProblems naming the
    change that matches nothing."""
    from simulator.problems import refuse
    from simulator.world import UnknownInput

    changes = [c for c in scenario.changes if known_by is None or c.known_from is None or c.known_from <= known_by]
    try:
        return world.changed(changes) if changes else world
    except (UnknownInput, ValueError) as error:
        raise refuse(scenario.name, str(error), field="inputs") from None


def scenario_worlds(scenario: Scenario, world: World) -> list[tuple[date, World]]:
    """The worlds by which companies plan, each with the day from which they know it; the last one is the real one."""
    days = [date.min, *sorted({change.known_from for change in scenario.changes if change.known_from})]
    return [(day, scenario_world(scenario, world, day)) for day in days]


def scenario_sampler(scenario: Scenario, world: World, f: Frame | None = None) -> Sampler:
    """The sampler of a scenario's replications, by what companies know when they plan."""
    worlds = scenario_worlds(scenario, world)
    f = f or frame(worlds[-1][1], scenario.start, scenario.end)
    sampler = Sampler(worlds[0][1], f)
    for day, then in worlds[1:]:
        sampler = Sampler(then, f, (day, sampler))
    return sampler


def sampler_key(scenario: Scenario, world: World) -> tuple[object, ...]:
    """Equal for scenarios that may share a sampler: the same inputs, known from the same days, over the same horizon."""
    return scenario.start, scenario.end, *((day, then.digest) for day, then in scenario_worlds(scenario, world))


OPERATIONS = 1e-20
"""Operations of a training run are held in units of 1e20: their totals pass 2**62."""
NOT_SIMULATED = {
    "uveu-denominator", "uveu-test-date", "uveu-breach", "lpp-consignee", "failed-chips", "straddling-application",
}  # fmt: skip
"""Disputed points that `controls.ruling` honours and the engine does not: a scenario that chooses a reading is refused."""


def check_horizon(scenario: Scenario, world: World) -> None:
    """Runs begin on a 1 January whose eve the fleets are known for, and end with a month. Raises InputProblems otherwise."""
    from simulator.problems import InputProblems, Problem

    origin = scenario.provenance
    known = sorted({value.period for value in world.select(table="fleets", parameter="h100e_held")})
    starts = [(date.fromisoformat(day) + timedelta(days=1)).isoformat() for day in known]
    problems = []
    for name, day, message in (
        ("start", scenario.start, f"fleets are known for the evening before {', '.join(starts)}; start on one of these days"),
        ("end", scenario.end, "results are monthly; end on the last day of a month"),
    ):
        fits = day.isoformat() in starts if name == "start" else (day + timedelta(days=1)).day == 1
        if not fits:
            place = origin.get(name)
            file = (place.file if place else "") or scenario.name
            problems.append(Problem(str(file), place.line if place else 0, name, f"{day} does not fit: {message}"))
    if problems:
        raise InputProblems(problems)


def compile_scenario(scenario: Scenario, world: World, sampler: Sampler | None = None) -> Compiled:
    """Tables for one scenario. A `sampler` built from equal inputs and horizon may be shared. OverflowError beyond 2**62."""
    check_horizon(scenario, world)
    changed = scenario_world(scenario, world)
    law = scenario_law(scenario)
    if idle := sorted(set(scenario.policy.readings) & NOT_SIMULATED):
        from simulator.problems import refuse

        raise refuse(scenario.name, "runs do not depend on this reading yet; only rulings do", field=f"policy.readings.{idle[0]}")
    f = sampler.frame if sampler else frame(changed, scenario.start, scenario.end)
    static, cited = _static(scenario, changed, law, f, base_office(world))
    return Compiled(scenario, static, sampler or scenario_sampler(scenario, world, f), cited)


def _static(scenario: Scenario, world: World, law: Law, f: Frame, office: Office) -> tuple[Static, dict[str, Cited]]:
    from simulator.controls import Item, tier

    after = f.end + timedelta(days=1)
    months = [f.start, *(day + timedelta(days=1) for day in f.months)]
    days = [f.earliest, *law.change_dates(f.earliest, f.end)]
    mechanisms = scenario.mechanisms
    items = [
        Item(
            tpp=round(world.number("accelerators", "tpp", a)),
            density=world.number("accelerators", "performance_density", a)
            if world.has("accelerators", "performance_density", a)
            else None,
            memory_bandwidth_gbps=world.number("accelerators", "memory_bandwidth_gbps", a),
        )
        for a in f.accelerators
    ]
    tables = _LawTables(scenario, world, law, f, days, items, office)
    quarters = [quarter_start(q) for q in f.quarters if f.start <= quarter_start(q) <= f.end]
    holds = sorted(law.holds(f.earliest, after), key=lambda hold: (hold.from_, hold.until))
    covers = np.array([[c in law.members(h.destinations, h.from_) for c in f.countries] for h in holds], dtype=np.int64)
    last_law = law.segments[-1][1]
    shipping = _shipping_generation(world, f)
    newest = _newest(f, shipping, [item.tpp for item in items], days)
    imported = np.array([[law.other_importers(c, day) for c in f.countries] for day in quarters], dtype=np.int64)
    granted = _real_grants(scenario, law, f, tables, quarters)
    deals = _deals(law, f, tables, days)

    def from_start(dates: list[date]) -> np.ndarray:
        return np.array([tick_of(day, f.start) for day in dates], dtype=np.int64)

    applied, median, spread, grant = [], [], [], []
    for company in f.companies:
        found = next((a for day in days if (a := law.uveu_application(company, day)) is not None), None)
        applied.append(tick_of(found.filed, f.start) if found else tick_of(after, f.start))
        median.append(found.p50_days if found else 0)
        spread.append(spread_table(float(np.log(found.p90_days / found.p50_days)) / Z90 if found else 0.0))
        grant.append(threshold(found.grant_probability) if found else 0)
    caps = [law.nveu_cap(day) for day in days]
    national = [law.nveu_days(day) if cap else (0.0, 0.0) for cap, day in zip(caps, days, strict=True)]
    controlled = np.array([law.weights_controlled(float("inf"), day) for day in days], dtype=np.int64)
    static = Static(
        start=f.start,
        horizon=tick_of(after, f.start),
        earliest=tick_of(f.earliest, f.start),
        month_starts=from_start(months),
        year_starts=from_start([date(y, 1, 1) for y in f.years]),
        quarter_starts=from_start(quarters),
        companies=f.companies,
        countries=f.countries,
        markets=f.markets,
        accelerators=f.accelerators,
        vendors=f.vendors,
        provisions=tuple(tables.provisions),
        home=f.home,
        market_country=f.market_country,
        tier=np.array([tier(last_law, c) for c in f.countries], dtype=np.int64),
        vendor_of=f.vendor_of,
        rd_access_h100e=round(world.number("process", "rd_access_h100e")),
        tpp=np.array([item.tpp for item in items], dtype=np.int64),
        counted_tpp=np.array([item.tpp if any(law.counts(item, day) for day in days) else 0 for item in items], dtype=np.int64),
        h100e_ppm=np.array(
            [h100e_ppm(world.number("accelerators", "dense_8bit_tops", a)) for a in f.accelerators], dtype=np.int64
        ),
        watts=np.array([round(world.number("accelerators", "it_power_w", a)) for a in f.accelerators], dtype=np.int64),
        shipping_generation=shipping,
        law_ticks=from_start(days),
        needs_licence=tables.needs,
        rule=tables.rule,
        posture=tables.posture,
        lpp_rule=tables.lpp,
        uveu_rule=tables.uveu,
        nveu_rule=tables.nveu,
        tightens=tables.tightens,
        law_changes=tables.changes,
        outlook=tables.outlook,
        outlook_wait=tables.outlook_wait,
        lpp_limit=np.array([law.lpp_limit(day) for day in days], dtype=np.int64),
        uveu_single_ppm=tables.ratios[:, 0],
        uveu_tier1_ppm=tables.ratios[:, 1],
        uveu_us_ppm=tables.ratios[:, 2],
        trusted=tables.trusted,
        allocation=tables.allocation,
        allocation_window=tables.window,
        allocation_counts=tables.counts,
        allocation_rule=tables.pot_rule,
        other_importers=imported + granted.others,
        approve_below=tables.approve,
        deny_above=tables.deny,
        review_median=tables.review_median,
        clock_median=tables.clock_median,
        clock_spread=spread_table(tables.clock.log_sd),
        stop_below=tables.stop,
        stop_median=tables.stop_median,
        stop_spread=spread_table(tables.clock.stop_log_sd),
        background_a_year=_by_day(law, days, "applications.background_per_year", 1),
        hold_from=from_start([h.from_ for h in holds]),
        hold_until=from_start([h.until for h in holds]),
        hold_covers=covers.reshape(len(holds), len(f.countries)),
        authorisation_applied=np.array(applied, dtype=np.int64),
        authorisation_median=np.array([round(m * TICKS_PER_DAY) for m in median], dtype=np.int64),
        authorisation_spread=np.array(spread),
        authorisation_grant=np.array(grant, dtype=np.int64),
        authorisation_usd_a_year=np.array([_upkeep(law, day) for day in days], dtype=np.int64),
        nveu_cap=np.array(caps, dtype=np.int64),
        nveu_median=np.array([round(p50 * TICKS_PER_DAY) for p50, _ in national], dtype=np.int64),
        nveu_spread=_widest(national),
        nveu_grant=np.array(
            [threshold(law.at("nveu.grant_probability", day)) if cap else 0 for cap, day in zip(caps, days, strict=True)],
            dtype=np.int64,
        ),
        deal_announced=deals.announced,
        deal_median=deals.median,
        deal_spread=deals.spread,
        deal_tranches=np.maximum(_by_day(law, days, "deal.tranches", 1), 1),
        deal_acceptance=_by_day(law, days, "deal.site_acceptance_days", TICKS_PER_DAY),
        grant_tick=from_start([grant[0] for grant in granted.ours]),
        grant_company=np.array([grant[1] for grant in granted.ours], dtype=np.int64),
        grant_country=np.array([grant[2] for grant in granted.ours], dtype=np.int64),
        grant_tpp=np.array([grant[3] for grant in granted.ours], dtype=np.int64),
        grant_rule=np.array([grant[4] for grant in granted.ours], dtype=np.int64),
        revenue_share_ppm=tables.revenue_share,
        tariff_ppm=_by_day(law, days, "money.tariff", PPM),
        tariff_covers=_tariff_covers(law, days, items),
        matching_ppm=tables.matching,
        weights_rule=tables.weights,
        weights_admits=tables.weights_admits,
        weights_threshold=controlled * _by_day(law, days, "weights.operations", OPERATIONS),
        weights_follow_open=controlled * _by_day(law, days, "weights.follows_best_open_model", 1),
        tuned_share_ppm=controlled * _by_day(law, days, "weights.tuning_share", PPM),
        tuned_threshold=controlled * _by_day(law, days, "weights.tuning_operations", OPERATIONS),
        tuned_by_both=controlled * np.array([_joined(law, day) for day in days], dtype=np.int64),
        tuned_disputed_ppm=controlled * _by_day(law, days, "weights.reading_disputed_probability", PPM),
        bridging_allowed=np.array([_may_bridge(world, market) for market in f.markets], dtype=np.int64),
        rationed=(rationed_markets(world, f) & mechanisms.rationing).astype(np.int64),
        newest=newest,
        typical_tpp=_typical_tpp(world, f, items, int(newest[0])),
        forced_until=tick_of(_leaves_history(scenario) or after, f.start),
        supply_ppm=_supply_left(law, months[:-1]),
        site_notice=np.array([_if_offered(law, day, "uveu.new_site_notice_days") for day in days], dtype=np.int64),
        verification=_by_day(law, days, "location.verification_days", TICKS_PER_DAY),
        authorisation_again=max(_if_offered(law, day, "uveu.reapply_days") for day in days) or tick_of(after, f.start),
        quarter_ticks=round(DAYS_PER_YEAR / 4 * TICKS_PER_DAY),
        allow_relocation=mechanisms.relocation,
        allow_uveu=mechanisms.uveu,
        allow_lpp=mechanisms.lpp,
        allow_nveu=mechanisms.nveu,
        allow_rationing=mechanisms.rationing,
        allow_bridging=mechanisms.bridging,
        allow_crew_limit=mechanisms.crew_limit,
        allow_front_loading=mechanisms.front_loading,
        allow_classification=mechanisms.classification,
        allow_review_queue=mechanisms.review_queue,
        allow_security=mechanisms.security,
        allow_money_bound=mechanisms.money_bound,
    )
    from simulator.controls import law as timeline
    from simulator.controls import load_regime
    from simulator.spillovers import china_policy

    policy = china_policy(law, timeline(load_regime("history")), world, f.start, f.end, f.earliest)
    return replace(_without_repeats(static), china=policy), tables.cited


def _leaves_history(scenario: Scenario) -> date | None:
    """The day the scenario's law is no longer history's; None if it stays history's to the end."""
    policy = scenario.policy
    turns = [(policy.diverges_on, policy.regime), *((then.starts, then.regime) for then in policy.later)]
    return next((day for day, regime in turns if day and regime != "history"), None)


BY_SEGMENT = (
    "law_ticks", "needs_licence", "rule", "posture", "lpp_rule", "uveu_rule", "nveu_rule", "tightens", "law_changes",
    "authorisation_usd_a_year", "lpp_limit", "uveu_single_ppm", "uveu_tier1_ppm", "uveu_us_ppm", "trusted", "allocation",
    "allocation_window", "allocation_counts", "allocation_rule", "approve_below", "deny_above", "review_median", "clock_median",
    "stop_below", "stop_median", "background_a_year", "nveu_cap", "nveu_median", "nveu_grant", "deal_tranches", "deal_acceptance",
    "revenue_share_ppm", "tariff_ppm", "tariff_covers", "matching_ppm", "weights_rule", "weights_admits", "weights_threshold",
    "weights_follow_open", "tuned_share_ppm", "tuned_threshold", "tuned_by_both", "tuned_disputed_ppm", "newest",
    "site_notice", "verification",
)  # fmt: skip
"""Fields of `Static` whose first index is the law segment."""
NOT_LAW = ("law_ticks", "law_changes", "newest")
"""Those of them that may differ between segments although the law does not."""
BY_HOPE_AND_SEGMENT = ("outlook", "outlook_wait")


def _without_repeats(static: Static) -> Static:
    """Drop segments in which nothing differs from the one before: a change of law that changes nothing is no event."""
    said = [getattr(static, name) for name in BY_SEGMENT if name not in NOT_LAW]
    said += [np.moveaxis(getattr(static, name), 1, 0) for name in BY_HOPE_AND_SEGMENT]
    keep = [s == 0 or any((table[s] != table[s - 1]).any() for table in said) for s in range(len(static.law_ticks))]
    kept = {name: getattr(static, name)[keep] for name in BY_SEGMENT}
    return replace(static, **kept, **{name: getattr(static, name)[:, keep] for name in BY_HOPE_AND_SEGMENT})


def _by_day(law: Law, days: list[date], leaf: str, scale: float) -> Ints:
    """(S,) a leaf times a scale, rounded; 0 where the law of the day does not state it."""
    return np.array([round(law.at(leaf, day) * scale) if law.has(leaf, day) else 0 for day in days], dtype=np.int64)


def _if_offered(law: Law, day: date, leaf: str) -> int:
    """Ticks of a number of days that concerns the universal authorisation; 0 where none is offered."""
    offered = law.uveu_ratios(day) is not None and law.has(leaf, day)
    return round(law.at(leaf, day) * TICKS_PER_DAY) if offered else 0


def _supply_left(law: Law, months: list[date]) -> Ints:
    """(T,) chips that reach the four companies over what the inputs say, by month in ppm: less while China retaliates.

    Retaliation answers the announcement of a law that calls it forth: it begins with the first whole month under that law and
    lasts for the quarters its data state, or until another law takes its place.
    """
    left = []
    for day in months:
        cut = 0.0
        if (since := law.stated_since("china.retaliation_supply_cut", day)) is not None:
            whole = (day.year - since.year) * 12 + day.month - since.month - (since.day > 1)
            if 0 <= whole < 3 * law.at("china.retaliation_quarters", day):
                cut = law.at("china.retaliation_supply_cut", day)
        left.append(PPM - round(cut * PPM))
    return np.array(left, dtype=np.int64)


def _joined(law: Law, day: date) -> bool:
    """True if a tuned open model is controlled only beyond both limits."""
    return law.has("weights.tuning_limits_join", day) and law.at("weights.tuning_limits_join", day) == "both"


def _widest(stated: list[tuple[float, float]]) -> Ints:
    """(1025,) multipliers of the widest of some stated medians and 90th percentiles; all one without any."""
    return spread_table(max((float(np.log(p90 / p50)) / Z90 for p50, p90 in stated if p50), default=0.0))


def _newest(f: Frame, shipping: Ints, tpp: list[int], days: list[date]) -> Ints:
    """(S,) the chip with the largest TPP that a vendor mostly ships in the month of each day, the first month before the start."""
    rating = np.array(tpp)
    months = [min(max((day.year - f.start.year) * 12 + day.month - f.start.month, 0), shipping.shape[1] - 1) for day in days]
    return np.array([max(shipping[:, t].tolist(), key=lambda a: (rating[a], a)) for t in months], dtype=np.int64)


def _typical_tpp(world: World, f: Frame, items: list[Item], newest: int) -> int:
    """TPP of one building's worth of the newest chip."""
    it_mw = world.number("process", "phase_building_mw_facility") / world.number("process", "power_design_ratio")
    return round(it_mw * 1e6 / world.number("accelerators", "it_power_w", f.accelerators[newest])) * items[newest].tpp


def _may_bridge(world: World, market: str) -> int:
    """1 where a site may make its own power: allowed, or on conditions (permits, own use). Where nothing is known, it may not."""
    try:
        return int(world.market_value(market, "on_site_generation_allowed").text in ("yes", "conditional"))
    except LookupError:
        return 0


def _tariff_covers(law: Law, days: list[date], items: list[Item]) -> Ints:
    """(S, A) 1 for chips of the band the tariff is on, under laws that have such a band."""
    banded = [
        law.has("money.tariff", day) and bool(law.at("money.tariff", day)) and "h200-class" in law.regime(day).items
        for day in days
    ]
    return np.array(
        [
            [int(band and law.classify(item, "h200-class", day)[0]) for item in items]
            for band, day in zip(banded, days, strict=True)
        ],
        dtype=np.int64,
    )


class _Granted(NamedTuple):
    """The overlay of real grants."""

    ours: list[tuple[date, int, int, int, int]]
    """(day, company, country, TPP, rule) of grants to the four companies"""
    others: Ints
    """(Q, C) TPP granted to anybody else, at the next quarter start"""


def _real_grants(scenario: Scenario, law: Law, f: Frame, tables: _LawTables, quarters: list[date]) -> _Granted:
    """Dated real grants into the countries of the world, if the scenario lays them over the model's own.

    A grant to anybody but the four companies counts as an application of other importers: it takes up the country's pot where
    the law has one, as far as there is room, and is no more than a number in the tables where it has none.
    """
    found = _Granted([], np.zeros((len(quarters), len(f.countries)), dtype=np.int64))
    for grant in law.grants(f.earliest, f.end) if scenario.policy.grants_overlay else ():
        if grant.destination not in f.countries:
            continue
        country = f.countries.index(grant.destination)
        if grant.end_user in f.companies:
            company = f.companies.index(grant.end_user)
            found.ours.append((grant.on, company, country, grant.tpp, tables.grant(grant)))
        elif grant.on >= f.start and (next_ones := [q for q, day in enumerate(quarters) if day >= grant.on]):
            found.others[next_ones[0], country] += grant.tpp
    return found


class _Deals(NamedTuple):
    announced: Ints
    median: Ints
    spread: Ints


def _deals(law: Law, f: Frame, tables: _LawTables, days: list[date]) -> _Deals:
    """Destinations whose review comes to rest on a deal that is still to be negotiated: when announced, and for how long.

    A framework is negotiated once, for the first segment in which applications for the country fall under the deal.
    """
    horizon = tick_of(f.end + timedelta(days=1), f.start)
    announced, median = np.full(len(f.countries), horizon, dtype=np.int64), np.zeros(len(f.countries), dtype=np.int64)
    stated: list[tuple[float, float]] = []
    names = ("deal.negotiation_p50_days", "deal.negotiation_p90_days")
    for c in range(len(f.countries)):
        under = (tables.posture[:, :, c] == Posture.DEAL_WINDOW).any(axis=(1, 2))
        i = int(under.argmax())
        if not under[i] or not law.has(names[0], days[i]):
            continue
        framed = f"deal.framed_on.{f.countries[c]}"
        if law.has(framed, days[i]) and law.at(framed, days[i]) <= days[i]:
            continue  # its framework is there already
        rules = {tables.provisions[r] for r in np.unique(tables.rule[i, :, c][tables.posture[i, :, c] == Posture.DEAL_WINDOW])}
        known = [law.regime(days[i]).instruments[p.instrument].announced for p in law.in_force(days[i]) if p.id in rules]
        p50, p90 = (float(law.at(name, days[i])) for name in names)
        announced[c], median[c] = tick_of(min(known), f.start), round(p50 * TICKS_PER_DAY)
        stated.append((p50, p90))
    return _Deals(announced, median, _widest(stated))


def _upkeep(law: Law, day: date) -> int:
    """USD a company spends a year to keep a universal authorisation: guidelines kept, and reports; 0 where none is offered."""
    if law.uveu_ratios(day) is None:
        return 0
    reports = law.at("report.cost_usd", day) * law.at("report.per_year", day) if law.has("report.cost_usd", day) else 0
    return round(law.at("uveu.annual_cost_usd", day) + reports) if law.has("uveu.annual_cost_usd", day) else 0


def _shipping_generation(world: World, f: Frame) -> np.ndarray:
    """(V, T) the accelerator with the largest share of a vendor's chips in each month, the newer one if equal."""
    from simulator.units import quarter_of

    best = np.zeros((len(f.vendors), len(f.months)), dtype=np.int64)
    for v, vendor in enumerate(f.vendors):
        share: dict[str, dict[str, float]] = {}
        for value in world.select(table="supply", parameter="generation_share", entity=vendor):
            share.setdefault(value.period, {})[value.scope] = value.number
        for t, day in enumerate(f.months):
            now = share.get(quarter_of(day)) or share[max(share)]
            best[v, t] = f.accelerators.index(max(now, key=lambda a: (now[a], f.accelerators.index(a))))
    return best


class _Asker(NamedTuple):
    company: str
    headquarters: str


class _LawTables:
    """The law asked for every change day, company, destination and item."""

    def __init__(self, scenario: Scenario, world: World, law: Law, f: Frame, days: list[date], items: list[Item], office: Office):
        self.law, self.provisions, self._index = law, list[str](), dict[str, int]()
        self.cited: dict[str, Cited] = {}
        self.hopeless = world.number("process", "choice_hopeless_approval")
        s, k, c, a = len(days), len(f.companies), len(f.countries), len(items)
        self.needs, self.rule, self.posture = (np.zeros((s, k, c, a), dtype=np.int64) for _ in range(3))
        self.lpp, self.uveu, self.nveu = (np.full((s, k, c, a), -1, dtype=np.int64) for _ in range(3))
        self.tightens = np.full((s, k, c), tick_of(f.end + timedelta(days=1), f.start), dtype=np.int64)
        self.weights = np.full((s, k, c), -1, dtype=np.int64)
        self.weights_admits = np.zeros((s, k, c), dtype=np.int64)
        self.revenue_share, self.matching = (np.zeros((s, c), dtype=np.int64) for _ in range(2))
        self.allocation, self.pot_rule = (np.full((s, c), NO_POT, dtype=np.int64) for _ in range(2))
        self.window, self.counts, self.trusted = (np.zeros((s, c), dtype=np.int64) for _ in range(3))
        self.outlook, self.outlook_wait = (np.zeros((2, s, k, c), dtype=np.int64) for _ in range(2))
        self.changes = np.full(s, -1, dtype=np.int64)
        self.ratios = np.zeros((s, 3), dtype=np.int64)
        self.approve, self.deny, self.review_median, self.clock_median, self.stop, self.stop_median = (
            np.zeros((s, len(Posture)), dtype=np.int64) for _ in range(6)
        )
        self.clock = stated_clock(world, law, days[0])
        headquarters = [world.text("companies", "headquarters", company) for company in f.companies]
        # What a cluster of the middle size would ask for: some provisions apply by quantity.
        typical_mw = world.number("process", "project_size_median_mw_facility") / world.number("process", "power_design_ratio")
        quantity = [
            round(typical_mw * 1e6 / world.number("accelerators", "it_power_w", chip) * item.tpp)
            for chip, item in zip(f.accelerators, items, strict=True)
        ]
        lead = timedelta(days=round(world.number("process", "nominal_lead_quarters") * DAYS_PER_YEAR / 4))
        foresight = scenario.policy.foresight
        best = max(range(a), key=lambda a: items[a].tpp)

        for i, day in enumerate(days):
            for review in Posture:
                if review is not Posture.NONE and law.has(f"outcome.{review.name.lower()}.approve", day):
                    name = review.name.lower()
                    approve, deny, _ = law.outcome(name, day)
                    p50, p90 = law.licence_days(name, day)
                    self.approve[i, review], self.deny[i, review] = threshold(approve), threshold(1 - deny)
                    self.review_median[i, review] = round(p50 * TICKS_PER_DAY)
                    fit = fit_clock(p50, p90, office, self.clock)
                    self.clock_median[i, review] = round(fit.clock_median_days * TICKS_PER_DAY)
                    self.stop[i, review] = threshold(fit.stop_probability)
                    self.stop_median[i, review] = round(fit.stop_median_days * TICKS_PER_DAY)
            if (ratios := law.uveu_ratios(day)) is not None:
                self.ratios[i] = ratios
                tier1 = law.members("tier1", day)
                self.trusted[i] = [country in tier1 for country in f.countries]
            signature = self._signatures(day, items, quantity)
            export_day, known_on = (min(day + lead, f.end), day) if foresight else (day, None)
            expected = law.expected_changes(day, export_day) if foresight else []
            seen_from: dict[date, date | None] = {**dict.fromkeys((*expected, export_day), known_on), day: None}
            named = {
                user for on, known in seen_from.items() for p in law.in_force(on, announced_by=known) for user in p.end_users
            }
            by_item = (self.needs, self.rule, self.posture, self.lpp, self.uveu, self.nveu)
            by_country = (self.tightens, self.weights, self.weights_admits)
            for kk, company in enumerate(f.companies):
                # Companies no provision names are all alike.
                alike = (j for j in range(kk) if not {company, f.companies[j]} & named and headquarters[j] == headquarters[kk])
                if (twin := next(alike, None)) is not None:
                    for table in (*by_item, *by_country):
                        table[i, kk] = table[i, twin]
                    for table in (self.outlook, self.outlook_wait):
                        table[:, i, kk] = table[:, i, twin]
                    continue
                asker = _Asker(company, headquarters[kk])
                for cc, country in enumerate(f.countries):
                    known: dict[tuple[bool, ...], int] = {}
                    for aa, item in enumerate(items):
                        if (j := known.setdefault(signature[aa], aa)) != aa:
                            for table in by_item:
                                table[i, kk, cc, aa] = table[i, kk, cc, j]
                            continue
                        need = law.requirement(
                            country, asker.headquarters, item, day, consignee=company, quantity_tpp=quantity[aa]
                        )
                        self.needs[i, kk, cc, aa] = need.needs_licence
                        self.rule[i, kk, cc, aa] = self._provision(need.provision_id, day)
                        self.posture[i, kk, cc, aa] = Posture[need.review.upper()] if need.review else Posture.NONE
                        for name, table in (("lpp", self.lpp), ("uveu", self.uveu), ("nveu", self.nveu)):
                            if name in need.exceptions:
                                table[i, kk, cc, aa] = self._provision(f"{need.provision_id}/{name}", day)
                    if not self.needs[i, kk, cc, best]:
                        for then in expected:
                            if self._planned(country, asker, then, day, items[best], quantity[best]).needs_licence:
                                self.tightens[i, kk, cc] = tick_of(then, f.start)
                                break
                    need = self._planned(country, asker, export_day, known_on, items[best], quantity[best])
                    self._outlook((i, kk, cc), need, day)
                    self._weights((i, kk, cc), law.weights_requirement(country, asker.headquarters, day), day)
            for cc, country in enumerate(f.countries):
                pot, counting = law.allocation(country, day), law.counting(country, day)
                if pot:
                    self.allocation[i, cc] = pot.limit_tpp
                if counting:
                    self.window[i, cc] = counting.window_start.toordinal()
                    self.counts[i, cc] = pot is None
                    setter = law.pot_provision(country, day)
                    self.pot_rule[i, cc] = self._provision(setter.id, day) if setter else -1
            if law.has("money.revenue_share", day):
                self.revenue_share[i, f.countries.index("CHN")] = round(law.at("money.revenue_share", day) * PPM)
            if law.has("deal.matching_investment", day):
                # Whoever needs no licence under the deal does not have to match what it invests.
                asked = law.members("deal_partners", day)
                binds = (self.posture[i] == Posture.DEAL_WINDOW).any(axis=(0, 2))
                share = round(law.at("deal.matching_investment", day) * PPM)
                self.matching[i] = [share * int(c in asked and binds[cc]) for cc, c in enumerate(f.countries)]
            if i:
                now = {p.id for p in law.in_force(day)}
                before = {p.id for p in law.in_force(day - timedelta(days=1))}
                changed = sorted(now ^ before)
                self.changes[i] = self._provision(changed[0], day) if changed else -1

    def _provision(self, id: str, day: date) -> int:
        """Index of a provision id, or of `provision/exception`."""
        if id not in self._index:
            self._index[id] = len(self.provisions)
            self.provisions.append(id)
            name, _, exception = id.partition("/")
            regimes = [self.law.regime(day), *(regime for _, regime in self.law.segments)]
            regime = next(r for r in regimes if any(p.id == name for p in r.provisions))
            rule = regime.exceptions[exception] if exception else next(p for p in regime.provisions if p.id == name)
            self.cited[id] = Cited(rule.title, rule.citation, regime.url(rule.source), rule.kind in ("reported", "derived"))
        return self._index[id]

    def _signatures(self, day: date, items: list[Item], quantity: list[int]) -> list[tuple[bool, ...]]:
        """Items that no provision in force can tell apart have equal signatures."""
        provisions = self.law.in_force(day)
        words = sorted({word for p in provisions for word in p.items if word != "any"})
        limits = sorted({leaf for p in provisions for leaf in (p.quantity_at_most, p.quantity_above) if leaf})
        return [
            tuple(self.law.classify(item, word, day)[0] for word in words) + tuple(q <= self.law.at(leaf, day) for leaf in limits)
            for item, q in zip(items, quantity, strict=True)
        ]

    def _planned(self, country: str, asker: _Asker, on: date, known_on: date | None, item: Item, quantity: int) -> Requirement:
        """What an export will need, by what is announced by a day (None: by what is then law)."""
        return self.law.requirement(
            country, asker.headquarters, item, on, announced_by=known_on, consignee=asker.company, quantity_tpp=quantity
        )

    def _outlook(self, where: tuple[int, int, int], need: Requirement, day: date) -> None:
        """How a site looks to who plans it today for the newest chip, on what is announced by today.

        Hope is for the universal authorisation alone: one for a single country comes too late and is too unsure to plan on.
        """
        if not need.needs_licence:
            return
        law, hopes = self.law, (0,) if "uveu" in need.exceptions else (0, 1)
        approve = law.outcome(need.review, day)[0] if need.review and law.has(f"outcome.{need.review}.approve", day) else 0.0
        if approve < self.hopeless:
            self.outlook[(hopes, *where)] = BARRED
            return
        self.outlook[(hopes, *where)] = round(float(np.log(approve)) * SCORE_ONE)
        self.outlook_wait[(hopes, *where)] = round(law.licence_days(need.review or "", day)[0] / DAYS_PER_YEAR * FACTOR_ONE)

    def _weights(self, where: tuple[int, int, int], need: Requirement | None, day: date) -> None:
        """Whether controlled model weights need a licence in a country, and what may stand for it."""
        if need is not None and need.needs_licence:
            self.weights[where] = self._provision(need.provision_id, day)
            self.weights_admits[where] = ("uveu" in need.exceptions) + 2 * ("nveu" in need.exceptions)

    def grant(self, grant: Grant) -> int:
        """Index of a real grant among the provisions: the log then names it."""
        regime = self.law.regime(grant.on)
        if grant.id not in self._index:
            self._index[grant.id] = len(self.provisions)
            self.provisions.append(grant.id)
            citation = f"licence or approval of {grant.on}, public since {grant.known_from}"
            certain = grant.kind in ("reported", "derived")
            self.cited[grant.id] = Cited(grant.title, citation, regime.url(grant.source), certain)
        return self._index[grant.id]
