"""From a scenario and the world to `Static`: law and geography as integer tables, with every bound asserted.

The law is asked once per change of law, destination and class of item; the engines then only look up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Z90, spread_table
from simulator.sampling import Frame, Sampler, frame
from simulator.static import BARRED, NO_POT, Draws, Posture, Static
from simulator.units import (
    DAYS_PER_YEAR,
    FACTOR_ONE,
    SCORE_ONE,
    TICKS_PER_DAY,
    h100e_ppm,
    quarter_start,
    threshold,
    tick_of,
)

if TYPE_CHECKING:
    from simulator.controls import Item, Law
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

    def draw(self, seed: int, replication: int) -> Draws:
        """One replication's draws, with assumptions or luck at their middle if the scenario switches them off."""
        on = self.scenario.mechanisms
        return self.sampler.draw(seed, replication, assumptions=on.assumptions, luck=on.luck)


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


def scenario_world(scenario: Scenario, world: World) -> World:
    """The world with the scenario's input changes. Raises InputProblems naming the change that matches nothing."""
    from simulator.problems import refuse
    from simulator.world import UnknownInput

    try:
        return world.changed(scenario.changes) if scenario.changes else world
    except (UnknownInput, ValueError) as error:
        raise refuse(scenario.name, str(error), field="inputs") from None


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
    if scenario.policy.grants_overlay:
        from simulator.problems import refuse

        raise refuse(
            scenario.name, "the overlay of real grants is not simulated yet; leave it false", field="policy.grants_overlay"
        )
    f = sampler.frame if sampler else frame(changed, scenario.start, scenario.end)
    static, cited = _static(scenario, changed, law, f)
    return Compiled(scenario, static, sampler or Sampler(changed, f), cited)


def _static(scenario: Scenario, world: World, law: Law, f: Frame) -> tuple[Static, dict[str, Cited]]:
    from simulator.controls import Item, tier

    after = f.end + timedelta(days=1)
    months = [f.start, *(day + timedelta(days=1) for day in f.months)]
    days = [f.earliest, *law.change_dates(f.earliest, f.end)]
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
    tables = _LawTables(scenario, world, law, f, days, items)
    quarters = [quarter_start(q) for q in f.quarters if f.start <= quarter_start(q) <= f.end]
    holds = sorted(law.holds(f.earliest, after), key=lambda hold: (hold.from_, hold.until))
    covers = np.array([[c in law.members(h.destinations, h.from_) for c in f.countries] for h in holds], dtype=np.int64)
    last_law = law.segments[-1][1]

    def from_start(dates: list[date]) -> np.ndarray:
        return np.array([tick_of(day, f.start) for day in dates], dtype=np.int64)

    applied, median, spread, grant = [], [], [], []
    for company in f.companies:
        found = next((a for day in days if (a := law.uveu_application(company, day)) is not None), None)
        applied.append(tick_of(found.filed, f.start) if found else tick_of(after, f.start))
        median.append(found.p50_days if found else 0)
        spread.append(spread_table(float(np.log(found.p90_days / found.p50_days)) / Z90 if found else 0.0))
        grant.append(threshold(found.grant_probability) if found else 0)
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
        shipping_generation=_shipping_generation(world, f),
        law_ticks=from_start(days),
        needs_licence=tables.needs,
        rule=tables.rule,
        posture=tables.posture,
        lpp_rule=tables.lpp,
        uveu_rule=tables.uveu,
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
        other_importers=np.array([[law.other_importers(c, day) for c in f.countries] for day in quarters], dtype=np.int64),
        approve_below=tables.approve,
        deny_above=tables.deny,
        review_median=tables.review_median,
        review_spread=tables.review_spread,
        hold_from=from_start([h.from_ for h in holds]),
        hold_until=from_start([h.until for h in holds]),
        hold_covers=covers.reshape(len(holds), len(f.countries)),
        authorisation_applied=np.array(applied, dtype=np.int64),
        authorisation_median=np.array([round(m * TICKS_PER_DAY) for m in median], dtype=np.int64),
        authorisation_spread=np.array(spread),
        authorisation_grant=np.array(grant, dtype=np.int64),
        authorisation_usd_a_year=np.array([_upkeep(law, day) for day in days], dtype=np.int64),
        allow_relocation=scenario.mechanisms.relocation,
        allow_uveu=scenario.mechanisms.uveu,
        allow_lpp=scenario.mechanisms.lpp,
    )
    from simulator.controls import law as timeline
    from simulator.controls import load_regime
    from simulator.spillovers import china_policy

    policy = china_policy(law, timeline(load_regime("history")), world, f.start, f.end, f.earliest)
    return replace(_without_repeats(static), china=policy), tables.cited


BY_SEGMENT = (
    "law_ticks", "needs_licence", "rule", "posture", "lpp_rule", "uveu_rule", "law_changes", "authorisation_usd_a_year", "lpp_limit",
    "uveu_single_ppm", "uveu_tier1_ppm", "uveu_us_ppm", "trusted", "allocation", "allocation_window", "allocation_counts",
    "allocation_rule", "approve_below", "deny_above", "review_median", "review_spread",
)  # fmt: skip
"""Fields of `Static` whose first index is the law segment."""
BY_HOPE_AND_SEGMENT = ("outlook", "outlook_wait")


def _without_repeats(static: Static) -> Static:
    """Drop segments in which nothing differs from the one before: a change of law that changes nothing is no event."""
    said = [getattr(static, name) for name in BY_SEGMENT if name not in ("law_ticks", "law_changes")]
    said += [np.moveaxis(getattr(static, name), 1, 0) for name in BY_HOPE_AND_SEGMENT]
    keep = [s == 0 or any((table[s] != table[s - 1]).any() for table in said) for s in range(len(static.law_ticks))]
    kept = {name: getattr(static, name)[keep] for name in BY_SEGMENT}
    return replace(static, **kept, **{name: getattr(static, name)[:, keep] for name in BY_HOPE_AND_SEGMENT})


def _upkeep(law: Law, day: date) -> int:
    """USD a company spends a year to keep a universal authorisation: guidelines kept, and two reports; 0 where none is offered."""
    if law.uveu_ratios(day) is None:
        return 0
    reports = law.at("report.cost_usd", day) * 2 if law.has("report.cost_usd", day) else 0
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


class _LawTables:
    """The law asked for every change day, company, destination and item."""

    def __init__(self, scenario: Scenario, world: World, law: Law, f: Frame, days: list[date], items: list[Item]):
        self.law, self.provisions, self._index = law, list[str](), dict[str, int]()
        self.cited: dict[str, Cited] = {}
        self.hopeless = world.number("process", "choice_hopeless_approval")
        s, k, c, a = len(days), len(f.companies), len(f.countries), len(items)
        self.needs, self.rule, self.posture = (np.zeros((s, k, c, a), dtype=np.int64) for _ in range(3))
        self.lpp, self.uveu = (np.full((s, k, c, a), -1, dtype=np.int64) for _ in range(2))
        self.allocation, self.pot_rule = (np.full((s, c), NO_POT, dtype=np.int64) for _ in range(2))
        self.window, self.counts, self.trusted = (np.zeros((s, c), dtype=np.int64) for _ in range(3))
        self.outlook, self.outlook_wait = (np.zeros((2, s, k, c), dtype=np.int64) for _ in range(2))
        self.changes = np.full(s, -1, dtype=np.int64)
        self.ratios = np.zeros((s, 3), dtype=np.int64)
        self.approve, self.deny, self.review_median = (np.zeros((s, len(Posture)), dtype=np.int64) for _ in range(3))
        self.review_spread = np.full((s, len(Posture), 1025), FACTOR_ONE, dtype=np.int64)
        headquarters = [world.text("companies", "headquarters", company) for company in f.companies]
        # What a cluster of the middle size would ask for: some provisions apply by quantity.
        typical_mw = world.number("process", "project_size_median_mw_facility") / world.number("process", "power_design_ratio")
        quantity = [
            round(typical_mw * 1e6 / world.number("accelerators", "it_power_w", chip) * item.tpp)
            for chip, item in zip(f.accelerators, items, strict=True)
        ]
        lead = timedelta(days=round(world.number("process", "nominal_lead_quarters") * DAYS_PER_YEAR / 4))
        foresight = scenario.policy.foresight
        spreads: dict[float, np.ndarray] = {}

        for i, day in enumerate(days):
            for review in Posture:
                if review is not Posture.NONE and law.has(f"outcome.{review.name.lower()}.approve", day):
                    name = review.name.lower()
                    approve, deny, _ = law.outcome(name, day)
                    p50, p90 = law.licence_days(name, day)
                    self.approve[i, review], self.deny[i, review] = threshold(approve), threshold(1 - deny)
                    self.review_median[i, review] = round(p50 * TICKS_PER_DAY)
                    sd = float(np.log(p90 / p50) / Z90)
                    if sd not in spreads:
                        spreads[sd] = spread_table(sd)
                    self.review_spread[i, review] = spreads[sd]
            if (ratios := law.uveu_ratios(day)) is not None:
                self.ratios[i] = ratios
                tier1 = law.members("tier1", day)
                self.trusted[i] = [country in tier1 for country in f.countries]
            signature = self._signatures(day, items, quantity)
            named = {user for p in law.in_force(day) for user in p.end_users}
            later = (
                {user for p in law.in_force(min(day + lead, f.end), announced_by=day) for user in p.end_users}
                if foresight
                else named
            )
            for kk, company in enumerate(f.companies):
                # Companies no provision names are all alike.
                twin = next(
                    (
                        j
                        for j in range(kk)
                        if not {company, f.companies[j]} & (named | later) and headquarters[j] == headquarters[kk]
                    ),
                    None,
                )
                if twin is not None:
                    for table in (self.needs, self.rule, self.posture, self.lpp, self.uveu):
                        table[i, kk] = table[i, twin]
                    for table in (self.outlook, self.outlook_wait):
                        table[:, i, kk] = table[:, i, twin]
                    continue
                for cc, country in enumerate(f.countries):
                    known: dict[tuple[bool, ...], int] = {}
                    for aa, item in enumerate(items):
                        if (j := known.setdefault(signature[aa], aa)) != aa:
                            for table in (self.needs, self.rule, self.posture, self.lpp, self.uveu):
                                table[i, kk, cc, aa] = table[i, kk, cc, j]
                            continue
                        need = law.requirement(country, headquarters[kk], item, day, consignee=company, quantity_tpp=quantity[aa])
                        self.needs[i, kk, cc, aa] = need.needs_licence
                        self.rule[i, kk, cc, aa] = self._provision(need.provision_id, day)
                        self.posture[i, kk, cc, aa] = Posture[need.review.upper()] if need.review else Posture.NONE
                        if "lpp" in need.exceptions:
                            self.lpp[i, kk, cc, aa] = self._provision(f"{need.provision_id}/lpp", day)
                        if "uveu" in need.exceptions:
                            self.uveu[i, kk, cc, aa] = self._provision(f"{need.provision_id}/uveu", day)
                    self._outlook(
                        i,
                        kk,
                        cc,
                        country,
                        headquarters[kk],
                        company,
                        day,
                        lead if foresight else timedelta(),
                        items,
                        quantity,
                        f.end,
                    )
            for cc, country in enumerate(f.countries):
                pot, counting = law.allocation(country, day), law.counting(country, day)
                if pot:
                    self.allocation[i, cc] = pot.limit_tpp
                if counting:
                    self.window[i, cc] = counting.window_start.toordinal()
                    self.counts[i, cc] = pot is None
                    setter = law.pot_provision(country, day)
                    self.pot_rule[i, cc] = self._provision(setter.id, day) if setter else -1
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

    def _outlook(
        self,
        i: int,
        k: int,
        c: int,
        country: str,
        headquarters: str,
        company: str,
        day: date,
        lead: timedelta,
        items: list[Item],
        quantity: list[int],
        end: date,
    ) -> None:
        """How a site looks to who plans it today for the newest chip, on what is announced by today."""
        law, export_day = self.law, min(day + lead, end)
        newest = max(range(len(items)), key=lambda a: items[a].tpp)
        announced = day if lead else None
        need = law.requirement(
            country,
            headquarters,
            items[newest],
            export_day,
            announced_by=announced,
            consignee=company,
            quantity_tpp=quantity[newest],
        )
        if not need.needs_licence:
            return
        hopes = (0,) if "uveu" in need.exceptions else (0, 1)
        approve = law.outcome(need.review, day)[0] if need.review and law.has(f"outcome.{need.review}.approve", day) else 0.0
        if approve < self.hopeless:
            self.outlook[hopes, i, k, c] = BARRED
            return
        self.outlook[hopes, i, k, c] = round(float(np.log(approve)) * SCORE_ONE)
        self.outlook_wait[hopes, i, k, c] = round(law.licence_days(need.review or "", day)[0] / DAYS_PER_YEAR * FACTOR_ONE)
