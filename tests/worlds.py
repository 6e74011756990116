"""Small random worlds full of coincidences: equal dates, empty pots, no crews, one chip, no chip.

`build(recipe)` makes a world from a line that can be copied into a test. `world(number)` is the corpus on which two engines are
compared: the same worlds made wider (uneven months, luck, more provisions, companies and countries) and bent each to one theme,
so that every rule of the model is met many times among the first two thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from conftest import DAY, FREE, LICENCE, LPP, NVEU, POT, UVEU, ints, tiny_draws, tiny_static

from simulator.draws import TABLE_POINTS
from simulator.static import BARRED, FILINGS, NO_POT, PHASES, Draws, Ints, Posture, Static
from simulator.units import FACTOR_ONE, PPM, threshold

EVER = 1 << 40
ALWAYS, NEVER = threshold(1.0), threshold(0.0)
MOST = 60
"""Names there are for countries, markets and chips"""
COUNTRIES = ("USA", "ARE", "BRA", "CHE", *(f"C{c:02}" for c in range(4, MOST)))
MARKETS = ("home", "abroad", "elsewhere") * (MOST // 3)
COMPANIES = ("acme", "bolt", "cord", "dune")
ACCELERATORS = ("old", "new", "other", *(f"chip-{a}" for a in range(3, MOST)))
VENDORS = ("maker", "second", "third", "fourth", "fifth")
CHIP = 16_000
"""TPP of the middle one of the chips"""


@dataclass(frozen=True)
class Recipe:
    """A random world in a line that can be copied into a test."""

    countries: int
    accelerators: int
    vendors: int
    companies: int
    projects: int
    segments: int
    holds: int
    strictness: float
    home_is_free: bool
    supply: tuple[int, ...]
    capacity: tuple[int, ...]
    seed: int
    home: int = 0
    """Its index among the countries, from either end"""
    months: int = 48


class Chance:
    """Picks from few values, so that things meet and just fit or just do not."""

    def __init__(self, seed: int | tuple[int, int]):
        self.rng = np.random.default_rng(seed)

    def pick(self, choices: Sequence[int], *shape: int) -> Ints:
        """An array of these values."""
        return np.array(choices, dtype=np.int64)[self.rng.integers(0, len(choices), shape)]

    def one(self, choices: Sequence[int]) -> int:
        """One of these values."""
        return int(choices[self.rng.integers(0, len(choices))])

    def often(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def uniform(self, *shape: int) -> Ints:
        """Uniform 62-bit integers."""
        return self.rng.integers(0, 1 << 62, shape)

    def offsets(self, projects: int) -> Ints:
        """(R, F) rising days from the first phase to each."""
        steps = self.pick([0, 0, 10, 60], projects, PHASES)
        steps[:, 0] = 0
        return steps.cumsum(axis=1) * DAY


def build(recipe: Recipe) -> tuple[Static, Draws]:
    """The world of a recipe: few distinct dates and sizes, so that things meet and just fit or just do not."""
    chance = Chance(recipe.seed)
    pick, one, often, uniform = chance.pick, chance.one, chance.often, chance.uniform
    countries, accelerators, companies, projects = recipe.countries, recipe.accelerators, recipe.companies, recipe.projects
    vendors, holds, home = min(recipe.vendors, accelerators), recipe.holds, recipe.home % recipe.countries
    # Months of thirty days, and all other days multiples of ten: laws, deliveries, decisions and completions meet.
    months = recipe.months
    years = 6 + (months - 1) // 12
    month_starts = np.arange(months + 1) * 30 * DAY
    quarters = len(month_starts[:-1:3])
    horizon, earliest = months * 30 * DAY, -1800 * DAY

    days = [0, 10, 30, 60, 90, 120, 180, 360]
    law_days = sorted({int(d) for d in pick([-900, -60, *days, 200, 240, 300, 420], recipe.segments - 1)})
    law_ticks = np.array([earliest, *(d * DAY for d in law_days)], dtype=np.int64)
    s = len(law_ticks)
    shape = (s, companies, countries, accelerators)
    needs = (chance.rng.random(shape) < recipe.strictness).astype(np.int64)
    if recipe.home_is_free:
        needs[:, :, home] = 0
    posture = np.where(needs == 1, pick([p for p in Posture if p], *shape), 0)
    lpp = np.where((needs == 1) & (chance.rng.random(shape) < 0.5), LPP, -1)
    uveu = np.where((needs == 1) & (chance.rng.random(shape) < 0.5), UVEU, -1)
    nveu = np.where((needs == 1) & (chance.rng.random(shape) < 0.4), NVEU, -1)
    allocation = pick([NO_POT, NO_POT, 0, 1, 9_000_000, CHIP * 500, CHIP * 5_000], s, countries)
    allocation[:, home] = NO_POT
    counts = np.where((allocation == NO_POT) & (chance.rng.random((s, countries)) < 0.3), 1, 0)
    trusted = pick([0, 1], s, countries)
    trusted[:, home] = 1
    # Outcome thresholds: always approved, never, or by chance.
    approve = pick([NEVER, threshold(0.5), ALWAYS], s, 6)
    deny = np.maximum(approve, pick([threshold(0.5), threshold(0.8), ALWAYS], s, 6))
    hold_from = np.sort(pick(days, holds)) * DAY  # in order of their beginning, as they are compiled
    grants = one([0, 0, 2])
    tpp = pick([4_000, CHIP, 36_000], accelerators)
    vendor_of = np.array([0, 0, 1])[:accelerators] if (vendors, accelerators) == (2, 3) else np.arange(accelerators) % vendors
    generations = [[a for a in range(accelerators) if vendor_of[a] == v] for v in range(vendors)]
    static = tiny_static(
        horizon=horizon, earliest=earliest, month_starts=month_starts, quarter_starts=month_starts[:-1:3],
        year_starts=np.arange(-5, years - 5) * 360 * DAY, companies=COMPANIES[:companies], countries=COUNTRIES[:countries],
        markets=MARKETS[: countries + 1], home=home,
        market_country=np.array([*range(countries), home]), tier=pick([1, 2, 3], countries),
        accelerators=ACCELERATORS[:accelerators], vendors=VENDORS[:vendors], vendor_of=vendor_of,
        tpp=tpp, counted_tpp=np.where(chance.rng.random(accelerators) < 0.8, tpp, 0), h100e_ppm=pick([500_000, 1_000_000], accelerators),
        watts=pick([700, 1_000, 1_300], accelerators), shipping_generation=np.stack([pick(mine, months) for mine in generations]),
        law_ticks=law_ticks, needs_licence=needs, rule=np.where(needs == 1, LICENCE, FREE), posture=posture,
        lpp_rule=lpp, uveu_rule=uveu, nveu_rule=nveu,
        tightens=pick([60, 150, 420, EVER >> 20], s, companies, countries) * DAY, law_changes=pick([-1, LICENCE], s),
        outlook=pick([0, 0, -(1 << 19), BARRED], 2, s, companies, countries), outlook_wait=pick([0, 1 << 19], 2, s, companies, countries),
        lpp_limit=pick([0, 1, CHIP * 300, CHIP * 3_000], s), uveu_single_ppm=pick([0, 70_000, 500_000, 1_000_000], s),
        uveu_tier1_ppm=pick([0, 750_000, 1_000_000], s), uveu_us_ppm=pick([0, 500_000], s), trusted=trusted,
        allocation=allocation, allocation_window=pick([0, 0, 1], s, countries).cumsum(axis=0), allocation_counts=counts,
        allocation_rule=ints(s, countries, fill=POT), other_importers=pick([0, 1, CHIP * 100], quarters, countries),
        approve_below=approve, deny_above=deny, review_median=pick([0, 10, 90], s, 6) * DAY, clock_median=pick([0, 10, 30, 90, 360], s, 6) * DAY,
        stop_below=pick([NEVER, threshold(0.5)], s, 6), stop_median=pick([0, 20, 60], s, 6) * DAY, background_a_year=pick([0, 40, 400], s),
        hold_from=hold_from, hold_until=hold_from + pick([10, 200], holds) * DAY, hold_covers=pick([0, 1], holds, countries),
        authorisation_applied=pick([0, 30, 100, 1440], companies) * DAY, authorisation_median=pick([0, 30], companies) * DAY,
        authorisation_spread=ints(companies, TABLE_POINTS, fill=FACTOR_ONE), authorisation_grant=pick([NEVER, threshold(0.5), ALWAYS], companies),
        authorisation_usd_a_year=ints(s, fill=600_000), authorisation_again=one([10, 90]) * DAY,
        nveu_cap=pick([0, 1, CHIP * 500, CHIP * 5_000], s), nveu_median=pick([0, 30], s) * DAY, nveu_grant=pick([NEVER, ALWAYS], s),
        deal_announced=pick([0, 90, 1440], countries) * DAY, deal_median=pick([0, 60, 600], countries) * DAY, deal_tranches=pick([1, 1, 3], s),
        deal_acceptance=pick([0, 0, 40], s) * DAY, site_notice=pick([0, 30], s) * DAY, verification=pick([0, 0, 20], s) * DAY,
        grant_tick=pick(days, grants) * DAY, grant_company=pick(range(companies), grants), grant_country=pick(range(countries), grants),
        grant_tpp=pick([1, CHIP * 300, CHIP * 3_000], grants), grant_rule=ints(grants, fill=LICENCE),
        bridging_allowed=pick([0, 1], countries + 1), rationed=pick([0, 0, 1], countries + 1), newest=ints(s, fill=accelerators - 1),
        typical_tpp=CHIP * 500, forced_until=one([0, 60, 1440]) * DAY, supply_ppm=pick([PPM, PPM, 333_333], months), quarter_ticks=90 * DAY,
        revenue_share_ppm=ints(s, countries), tariff_ppm=ints(s), tariff_covers=ints(s, accelerators), matching_ppm=ints(s, countries),
        weights_rule=ints(s, companies, countries, fill=-1), weights_admits=ints(s, companies, countries), weights_threshold=ints(s),
        weights_follow_open=ints(s), tuned_share_ppm=ints(s), tuned_threshold=ints(s), tuned_by_both=ints(s), tuned_disputed_ppm=ints(s),
        **{name: often(0.8) for name in SWITCHES}, allow_money_bound=often(0.5),
    )  # fmt: skip
    markets = countries + 1
    phases, phase_mw16 = pick([1, 1, 2, 3, PHASES], projects), ints(projects, PHASES)
    for root, n in enumerate(phases.tolist()):
        phase_mw16[root, :n] = pick([1, 8, 16, 80], n)
    accounts = (companies, countries, FILINGS)
    deliveries = pick(recipe.supply, months, companies, accelerators)
    draws = tiny_draws(
        static, [(0, 1, 0)] * projects, company=pick(range(companies), projects), vendor=pick(range(vendors), projects),
        route=pick([0, 1, 2, 3], projects), planned=pick([-1800, -400, -190, -180, -100, 0, 0, 10, 30, 60, 360], projects) * DAY,
        workload=pick([0, 1], projects), phases=phases, phase_mw16=phase_mw16, mw16=phase_mw16.sum(axis=1),
        shell_offset=chance.offsets(projects), power_offset=chance.offsets(projects), forced_country=pick([-1, -1, -1, countries - 1], projects),
        appeal=pick([0, 1 << 20, 2 << 20], projects, markets), median=pick([0, 1, 10, 50, 60, 120], 8, markets) * DAY,
        luck_power=pick([FACTOR_ONE, FACTOR_ONE, 2 * FACTOR_ONE], years, countries), luck_construction=ints(years, countries, fill=FACTOR_ONE),
        patience=pick([0, 10, 200, 400], projects) * DAY, patience_power=pick([0, 30, 400, EVER >> 20], projects) * DAY,
        optimism=one([FACTOR_ONE // 4, FACTOR_ONE, 2 * FACTOR_ONE]), security=pick([0, 60, 400], projects) * DAY,
        refile=pick([0, 10, 30], *accounts) * DAY, licence_work=pick([0, 0, 10, 30], *accounts) * DAY,
        licence_clock=uniform(*accounts), licence_stop=uniform(*accounts), licence_stop_length=uniform(*accounts),
        licence_outcome=uniform(*accounts), reviewers=one([1, 2]),
        office_gaps=(chance.rng.exponential(1, 200) * FACTOR_ONE).astype(np.int64), office_work=pick([0, 10, 20], 200) * DAY,
        classification=pick([0, 0, 40], companies, accelerators) * DAY, authorisation_time=ints(companies, 3),
        authorisation_outcome=uniform(companies, 3), authorisation_kept=pick([30, 300, EVER >> 20], companies) * DAY,
        nveu_time=ints(companies, countries), nveu_outcome=ints(companies, countries), deal_time=ints(countries),
        deliveries=deliveries, offered=None if often(0.5) else deliveries * pick([0, 1, 2], months, companies, accelerators),
        shell_ahead=one([0, 60, EVER >> 20]) * DAY, commitment_months=one([0, 0, 2, 50]),
        chip_money=pick([0, 50_000, 1 << 40], months, companies), opening_stock=pick([0, 0, 1, 900], companies, accelerators),
        under_way=pick([0, 0, 1, 3_000], companies, accelerators), under_way_ticks=one([0, 30, 100]) * DAY,
        fleet_chips=pick([0, 100, 5_000], companies, countries, accelerators), grid_ticks=pick([0, DAY // 16, DAY], markets),
        grid_backlog=pick([0, 50, 300], markets) * DAY, grid_works=pick([0, 60, 200], markets) * DAY,
        crew_limit=np.sort(pick(recipe.capacity, years, companies), axis=0), bridge_supply=pick(recipe.capacity, months) & 0xFFFF,
        bridge_lead=pick([0, 30, 400], projects) * DAY, bridge_trigger=one([0, 60]) * DAY, front_load_before=one([0, 90, 500]) * DAY,
        front_load_ready=one([0, 180]) * DAY, licence_validity=one([0, 60, 1500]) * DAY, licence_forecast=one([0, 120, 900]) * DAY,
        let_after=one([0, 60, EVER >> 20]) * DAY, value_usd=one([0, 300, 2_000, 50_000]), recovery_ppm=one([0, 500_000, PPM]),
        planning_horizon=one([300, 3_650]) * DAY, interconnection_lead=one([0, 30]) * DAY, filing_lead=one([0, 60, 500]) * DAY,
        stock_ahead=one([0, 90 * DAY, EVER]), smallest_share_ppm=one([0, 500_000, PPM]), largest_filings=one([1, 3, FILINGS]),
        largest_hop=one([0, 1, 4]), choice_per_year=-(1 << 20), price_usd=ints(accelerators, fill=30_000),
        shell_usd_per_mw=ints(markets, fill=11_000_000), opex_usd_per_mw=ints(markets, fill=900_000),
        route_factor=pick([FACTOR_ONE // 2, FACTOR_ONE], 4, 8),
    )  # fmt: skip
    return static, draws


SWITCHES = (
    "allow_relocation", "allow_uveu", "allow_lpp", "allow_nveu", "allow_rationing", "allow_bridging", "allow_crew_limit",
    "allow_front_loading", "allow_classification", "allow_review_queue", "allow_security",
)  # fmt: skip


# ------------------------------------------------------------------ the corpus


PROVISIONS = (
    "free", "licence", "pot", "lpp", "uveu", "denial",  # as in the tiny world
    "free-by-list", "licence-by-list", "licence-by-owner", "pot-by-deal", "lpp-of-2025", "uveu-of-2025", "nveu-of-2025", "real-grant",
    "change",
)  # fmt: skip
(FREE_2, LICENCE_2, LICENCE_3, POT_2, LPP_2, UVEU_2, NVEU_2, GRANT, CHANGE) = range(6, len(PROVISIONS))


def world(number: int) -> tuple[Static, Draws]:
    """A world of the corpus: the same for the same number, always."""
    chance = Chance((5_157, number))
    theme = THEMES[number % len(THEMES)]
    one = chance.one
    recipe = Recipe(
        countries=one((3, 3, 4, 6)), accelerators=one((1, 2, 3, 5)), vendors=one((1, 2, 3)), companies=one((1, 1, 2, 4)),
        projects=one((1, 3, 6, 10)), segments=one((1, 2, 4, 7)), holds=one((0, 1, 3)), strictness=(0.0, 0.4, 0.9)[one((0, 1, 1, 2, 2))],
        home_is_free=chance.often(0.6), supply=((EVER >> 20,), (500, 5_000), (0, 1, 700), (0,))[one((0, 0, 1, 1, 2, 3))],
        capacity=((EVER,), (0, 1, 100), (0, 40, 400), (0,))[one((0, 0, 0, 1, 2, 3))], seed=int(chance.rng.integers(0, 1 << 32)),
        home=one((0, 0, -1)), months=one((7, 24, 24, 36)),
    )  # fmt: skip
    static, draws = widened(*build(replace(recipe, **theme.recipe)), chance)
    bends = [theme.bend]
    # Sometimes a second one. (Large quantities do not go with what the others set.)
    if chance.often(0.25) and full_size not in (theme.bend, second := THEMES[one(range(len(THEMES)))].bend):
        bends.append(second)
    for bend in bends:
        law, drawn = bend(static, draws, chance)
        static, draws = replace(static, **law), replace(draws, **drawn)
    return renumbered(static, chance), draws


def widened(static: Static, draws: Draws, chance: Chance) -> tuple[Static, Draws]:
    """What the invariants hold fixed varies too: months of uneven length, luck, several provisions of a kind, tables that are not flat."""
    pick, one, often, uniform, random = chance.pick, chance.one, chance.often, chance.uniform, chance.rng.random
    s, companies, countries, accelerators = static.needs_licence.shape
    months, markets, projects = len(static.month_starts) - 1, len(static.markets), len(draws.names)
    years = len(static.year_starts)
    law: dict[str, Any] = {}
    drawn: dict[str, Any] = {}
    if often(0.5):
        starts = np.append(0, pick([28, 30, 31], months).cumsum()) * DAY
        law |= {
            "month_starts": starts, "horizon": int(starts[-1]), "quarter_starts": starts[:-1:3], "quarter_ticks": 91 * DAY + 1,
            "year_starts": np.arange(-5, years - 5) * 365 * DAY + one([0, 0, -70]) * DAY,
        }  # fmt: skip
    needs = static.needs_licence == 1
    free = pick([FREE, FREE_2], *needs.shape)
    law["rule"] = np.where(needs, pick([LICENCE, LICENCE_2, LICENCE_3], *needs.shape), free)
    for name, first, second in (("lpp_rule", LPP, LPP_2), ("uveu_rule", UVEU, UVEU_2), ("nveu_rule", NVEU, NVEU_2)):
        table = getattr(static, name)
        table = np.where(table >= 0, pick([first, second], *needs.shape), -1)
        law[name] = np.where(~needs & (random(needs.shape) < 0.2), first, table)  # may be offered where nothing needs it
    if often(0.05):  # one provision may stand for both
        law["nveu_rule"] = np.where(law["nveu_rule"] >= 0, law["uveu_rule"], -1)
    law["posture"] = np.where(random(needs.shape) < 0.05, pick(list(Posture), *needs.shape), static.posture)
    law["allocation_rule"] = pick([POT, POT_2, POT_2, -1], s, countries)
    law["law_changes"] = pick([-1, CHANGE, LICENCE_2, FREE_2, LPP_2], s)
    law["grant_rule"] = pick([GRANT, LICENCE], len(static.grant_tick))
    if often(0.15):  # one watt more or less is one chip more or less
        law["watts"] = pick([999, 3_937], accelerators)
    if often(0.6):
        law["tightens"] = tightens(static)
    if often(0.1):
        law["trusted"] = pick([0, 1], s, countries)
    if often(0.1):
        law["allocation_counts"] = pick([0, 1], s, countries)
    if often(0.5):
        rising = np.sort(pick(range(FACTOR_ONE // 4, 3 * FACTOR_ONE, 4_099), 5, TABLE_POINTS), axis=1)
        names = ("clock_spread", "stop_spread", "nveu_spread", "deal_spread")
        law |= dict(zip(names, rising, strict=False))
        law["authorisation_spread"] = np.repeat(rising[4:], companies, axis=0)
        drawn |= {
            "authorisation_time": uniform(companies, 3),
            "nveu_time": uniform(companies, countries),
            "deal_time": uniform(countries),
        }
    if often(0.5):
        law["nveu_grant"], drawn["nveu_outcome"] = pick([NEVER, threshold(0.5), ALWAYS], s), uniform(companies, countries)
    if often(0.3):
        law["market_country"] = pick(range(countries), markets)
    law["provisions"], law["newest"] = PROVISIONS, pick(range(accelerators), s)
    law["typical_tpp"] = one([1, CHIP * 80, CHIP * 500])
    if often(0.5):  # luck, without which most things end on the same days
        drawn |= {
            "spread": pick([FACTOR_ONE, FACTOR_ONE * 7 // 10, FACTOR_ONE * 19 // 10, 900_001], projects, 8),
            "luck_power": pick([FACTOR_ONE, 700_001, 2 * FACTOR_ONE], years, countries),
            "luck_construction": pick([FACTOR_ONE, 800_003, 3 * FACTOR_ONE // 2], years, countries),
            "optimism": one([FACTOR_ONE // 4, 777_777, FACTOR_ONE]), "route_factor": pick([0, FACTOR_ONE // 3, FACTOR_ONE, 2 * FACTOR_ONE], 4, 8),
        }  # fmt: skip
    if often(0.5):
        drawn |= {
            "appeal": chance.rng.integers(-(3 << 20), 3 << 20, (projects, markets)), "choice_per_year": -one([0, 1 << 18, 3 << 20]),
            "choice_training": one([0, FACTOR_ONE, 2 << 20, 5 << 20]),
        }  # fmt: skip
    if often(0.5):  # money
        drawn |= {
            "price_usd": pick([1, 9_000, 30_000, 70_000], accelerators), "it_overhead_ppm": one([1, PPM, 1_600_000]),
            "shell_usd_per_mw": pick([0, 2_000_000, 11_000_000, 30_000_000], markets), "idle_shell_usd": one([0, 126_000, 9_000_000]),
            "spend_ppm": np.sort(pick([0, 10_000, 50_000, 500_000, 950_000, PPM], 5)), "value_usd": one([0, 100, 700, 1_900, 9_000]),
            "recovery_ppm": one([0, 250_000, 900_000]),
        }  # fmt: skip
    drawn["forced_country"] = pick([-1, -1, -1, *range(countries)], projects)
    drawn["patience"] = pick([0, 10, 30, 200, 200, 400, 400, 400], projects) * DAY  # without any it decides every day
    drawn["reviewers"] = one([1, 2, 4])
    drawn["office_factor"] = one([0, FACTOR_ONE, 3 * FACTOR_ONE])
    drawn["largest_hop"] = one([0, 1, 4, 4])
    return replace(static, **law), replace(draws, **drawn)


def renumbered(static: Static, chance: Chance) -> Static:
    """The same law with its provisions in another order: none of them is special by its number, and the first is any."""
    order = chance.rng.permutation(len(PROVISIONS))
    first = int(np.flatnonzero(order == chance.one([UVEU, UVEU_2, LPP, NVEU_2, POT, LICENCE]))[0])
    order[0], order[first] = order[first], order[0]
    number = np.append(np.argsort(order), -1)  # of each provision; none stays none
    tables = ("rule", "lpp_rule", "uveu_rule", "nveu_rule", "allocation_rule", "law_changes", "grant_rule")
    named = tuple(PROVISIONS[i] for i in order)
    return replace(static, provisions=named, **{name: number[getattr(static, name)] for name in tables})


def tightens(static: Static) -> Ints:
    """(S, K, C) the first later law under which the newest chip needs a licence and does not today, as a compiled scenario has it."""
    newest = static.needs_licence[..., -1]
    found = np.full(newest.shape, static.horizon, dtype=np.int64)
    for s in range(len(newest)):
        for later in range(len(newest) - 1, s, -1):
            found[s][(newest[s] == 0) & (newest[later] == 1)] = static.law_ticks[later]
    return found


# ------------------------------------------------------------------ themes


@dataclass(frozen=True)
class Theme:
    """What a world is about: some choices of its recipe, and a last bend of its tables."""

    recipe: dict[str, Any]
    bend: Callable[[Static, Draws, Chance], tuple[dict[str, Any], dict[str, Any]]]
    """The fields of the law and of the draws that it sets"""


def anything(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nothing in particular."""
    return {}, {}


def bridging(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """The grid is far away; on-site units come in small numbers and are fought for."""
    pick, one, markets = chance.pick, chance.one, len(static.markets)
    law = {"allow_bridging": True, "bridging_allowed": pick([0, 1, 1, 1], markets), "rationed": pick([0, 1, 1], markets)}
    median = draws.median.copy()
    median[1] = pick([0, 60, 300, 600], markets) * DAY
    return law, {
        "median": median, "bridge_trigger": one([0, 0, 60]) * DAY, "bridge_lead": pick([0, 10, 60, 300], len(draws.names)) * DAY,
        "bridge_supply": pick([0, 1, 8, 16, 80], len(draws.bridge_supply)), "grid_works": pick([60, 200, 500], markets) * DAY,
        "grid_ticks": pick([DAY // 16, DAY, 5 * DAY], markets), "patience_power": pick([0, 30, 200], len(draws.names)) * DAY,
        "optimism": one([FACTOR_ONE // 4, FACTOR_ONE // 2, FACTOR_ONE]),
    }  # fmt: skip


def queueing(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every market is rationed; who waits long for the grid goes elsewhere, and others move up."""
    pick, one, markets = chance.pick, chance.one, len(static.markets)
    outlook = pick([0, 0, 0, -(1 << 19)], *static.outlook.shape)
    law = {"rationed": pick([0, 1, 1, 1], markets), "allow_rationing": True, "allow_relocation": True, "outlook": outlook}
    return law, {
        "grid_works": pick([0, 100, 400], markets) * DAY, "grid_ticks": pick([0, DAY, 3 * DAY, 20 * DAY], markets),
        "grid_backlog": pick([0, 100, 600], markets) * DAY, "patience_power": pick([0, 10, 60, 200], len(draws.names)) * DAY,
        "optimism": one([FACTOR_ONE // 4, FACTOR_ONE // 2, FACTOR_ONE]), "recovery_ppm": one([500_000, PPM, PPM]), "largest_hop": 4,
        "value_usd": one([300, 700, 2_000]), "planning_horizon": one([500, 1_000, 3_650]) * DAY,
        "appeal": pick([0, 0, 1 << 18, 1 << 20], *draws.appeal.shape), "planned": pick([-300, -60, 0, 0, 60], len(draws.names)) * DAY,
        "spread": ints(*draws.spread.shape, fill=FACTOR_ONE) if chance.often(0.5) else draws.spread,
    }  # fmt: skip


def halting(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Refused before ground is broken, or while it waits for crews; then cleared, and the shell goes on."""
    pick, one, projects, years = chance.pick, chance.one, len(draws.names), len(draws.crew_limit)
    approve = pick([threshold(0.3), threshold(0.5), threshold(0.7)], *static.approve_below.shape)
    median = draws.median.copy()
    median[2:5] = pick([10, 60, 120], 3, len(static.markets)) * DAY
    law = {
        "approve_below": approve, "deny_above": approve, "clock_median": pick([10, 30], *static.clock_median.shape) * DAY,
        "stop_below": ints(*static.stop_below.shape), "allow_crew_limit": chance.often(0.9), "allow_classification": False,
        "deal_announced": ints(len(static.countries), fill=static.horizon), "allow_relocation": chance.often(0.3),
    }  # fmt: skip
    return law, {
        "median": median, "filing_lead": one([200, 500]) * DAY, "value_usd": one([9_000, 50_000]), "planning_horizon": 3_650 * DAY,
        "crew_limit": np.sort(pick([8, 16, 16, 80], years, len(static.companies)), axis=0), "largest_filings": one([1, 3]),
        "refile": pick([10, 30], *draws.refile.shape) * DAY, "shell_ahead": one([0, 60, 200]) * DAY, "smallest_share_ppm": 0,
        "planned": pick([-60, -20, 0, 10, 60], projects) * DAY, "licence_validity": 1500 * DAY,
    }  # fmt: skip


def rationing(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Licences and pots that are too small by a chip, run out, lapse or are shared; what ships is downsized to them."""
    pick, one, s, countries = chance.pick, chance.one, *static.allocation.shape
    room = pick([NO_POT, 0, 1, CHIP * 31, CHIP * 63 + 1, CHIP * 500, CHIP * 1_000 - 1], s, countries)
    approve = pick([threshold(0.5), ALWAYS, ALWAYS], s, 6)
    grants = one([2, 6])
    law = {
        "allocation": room, "approve_below": approve, "deny_above": np.maximum(approve, pick([threshold(0.7), ALWAYS], s, 6)),
        "other_importers": pick([0, 0, 1, CHIP * 7], *static.other_importers.shape), "clock_median": pick([0, 10, 30], s, 6) * DAY,
        "grant_tick": pick([-400, -60, 0, 30, 60, 90, 180, 200], grants) * DAY, "grant_company": pick(range(len(static.companies)), grants),
        "grant_country": pick(range(countries), grants), "grant_rule": pick([GRANT, LICENCE], grants),
        "grant_tpp": pick([1, CHIP * 62, CHIP * 63, CHIP * 313 - 1, CHIP * 900], grants),
    }  # fmt: skip
    if chance.often(0.4):  # 125 chips fill 1/16 MW, so that exactly so much can be missing
        chips = len(static.accelerators)
        law |= {"watts": ints(chips, fill=500), "tpp": ints(chips, fill=CHIP), "counted_tpp": pick([0, CHIP, CHIP], chips)}
        law["grant_tpp"] = pick([CHIP * 125 * 7, CHIP * 125 * 15, CHIP * 125 * 79 + 1], grants)
        law["allocation"] = pick(
            [NO_POT, CHIP * 500, CHIP * 1_000, CHIP * 1_500], s, countries
        )  # half of what a phase takes, and whole
    drawn: dict[str, Any] = {}
    if chance.often(0.3):  # real grants come while applications are under review, so that some of these are granted for nobody
        chips, grants = len(static.accelerators), 12
        sizes = np.where(draws.phase_mw16 > 0, pick([8, 16], *draws.phase_mw16.shape), 0)
        drawn |= {"phase_mw16": sizes, "mw16": sizes.sum(axis=1)}
        law |= {
            "watts": ints(chips, fill=500), "tpp": ints(chips, fill=CHIP), "counted_tpp": ints(chips, fill=CHIP),
            "allocation": pick([NO_POT, CHIP * 600, CHIP * 1_000, CHIP * 1_500], s, countries), "clock_median": pick([30, 60, 180], s, 6) * DAY,
            "grant_tick": pick(range(-300, 900, 30), grants) * DAY, "grant_company": pick(range(len(static.companies)), grants),
            "grant_country": pick(range(countries), grants), "grant_rule": pick([GRANT, LICENCE], grants),
            "grant_tpp": pick([CHIP * 300, CHIP * 500, CHIP * 700, CHIP * 1_000], grants),
            "allocation_window": pick([0, 1], s, countries).cumsum(axis=0),
        }  # fmt: skip
    return law, drawn | {
        "smallest_share_ppm": one([0, 1, 300_000, 500_000]), "licence_validity": one([30, 60, 200, 1500]) * DAY - one([0, 1]),
        "licence_forecast": one([0, 120, 900]) * DAY, "filing_lead": one([60, 200]) * DAY, "refile": pick([0, 10], *draws.refile.shape) * DAY,
        "value_usd": one([2_000, 50_000]), "opening_stock": pick([0, 900, 9_000], *draws.opening_stock.shape),
    }  # fmt: skip


def dealing(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Deals: frameworks to be negotiated, licences in tranches, security of each site, verification."""
    pick, one, s, countries = chance.pick, chance.one, *static.allocation.shape
    approve = pick([threshold(0.6), ALWAYS, ALWAYS], s, 6)
    law = {
        "posture": np.where(static.needs_licence == 1, pick([Posture.DEAL_WINDOW, Posture.DEAL_WINDOW, Posture.CASE_BY_CASE], *static.posture.shape), 0),
        "deal_announced": pick([-60, 0, 90, 200, static.horizon // DAY], countries) * DAY, "deal_median": pick([0, 60, 240], countries) * DAY,
        "deal_tranches": pick([1, 2, 3, 5], s), "deal_acceptance": pick([0, 40, 200], s) * DAY, "allow_security": chance.often(0.8),
        "approve_below": approve, "deny_above": ints(s, 6, fill=ALWAYS), "clock_median": pick([0, 10, 30], s, 6) * DAY,
        "verification": pick([0, 20], s) * DAY, "quarter_ticks": one([30, 90, 91]) * DAY,
        "allocation": np.where(static.allocation == 0, NO_POT, static.allocation),
    }  # fmt: skip
    return law, {
        "licence_validity": one([60, 200, 1500]) * DAY,
        "value_usd": one([2_000, 50_000]),
        "filing_lead": one([0, 60, 200]) * DAY,
    }


def authorising(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """The universal authorisation: won, refused and asked for again, lost; its ratios nearly full; quantities that counted early."""
    pick, one, s, countries = chance.pick, chance.one, *static.allocation.shape
    companies = len(static.companies)
    abroad = np.arange(countries) != static.home
    needs = (static.needs_licence == 1) | (chance.rng.random(static.needs_licence.shape) < 0.6) & abroad[:, None]
    fleet = pick([0, 0, 100, 300], companies, countries, len(static.accelerators))
    fleet[:, static.home] = pick([500, 3_000, 20_000], companies, len(static.accelerators))
    allocation = pick([NO_POT, 0, 0, 1, CHIP * 500], s, countries)
    exact = chance.often(0.3)  # all chips at home go, to the last one; or a share is full to the last one
    if exact:
        full = chance.often(0.6)
        fleet = pick([0, 100], companies, countries, len(static.accelerators)) if full else fleet
        fleet[:, static.home] = 300 if full else 0
        fleet[..., 1:] = 0
    law = {
        "needs_licence": needs.astype(np.int64), "rule": np.where(needs, np.where(static.needs_licence == 1, static.rule, LICENCE), FREE),
        "posture": np.where(needs & (static.posture == 0), Posture.CASE_BY_CASE, static.posture),
        "uveu_rule": np.where(needs & (chance.rng.random(needs.shape) < 0.85), pick([UVEU, UVEU_2], *needs.shape), -1),
        "lpp_rule": np.where(needs & (chance.rng.random(needs.shape) < 0.1), LPP, -1),
        "nveu_rule": np.where(needs & (chance.rng.random(needs.shape) < 0.2), NVEU_2, -1),
        "allow_uveu": True, "authorisation_applied": pick([-400, -30, 0, 100, 200], companies) * DAY, "counted_tpp": static.tpp,
        "authorisation_median": pick([0, 30, 150, 300], companies) * DAY, "authorisation_grant": pick([threshold(0.5), ALWAYS], companies),
        "uveu_single_ppm": pick([0, 3_000, 20_000, 70_000, 250_000], s), "uveu_tier1_ppm": pick([0, 500_000, 750_000, 960_000], s),
        "uveu_us_ppm": pick([0, 500_000, 900_000], s), "allocation": allocation,
        "allocation_counts": np.where((allocation == NO_POT) & (chance.rng.random((s, countries)) < 0.7), 1, 0),
        "allocation_window": pick([0, 0, 0, 1], s, countries).cumsum(axis=0),
    }  # fmt: skip
    chips = len(static.accelerators)
    if exact:
        law |= {
            "watts": ints(chips, fill=500), "tpp": ints(chips, fill=CHIP), "counted_tpp": ints(chips, fill=CHIP), "uveu_us_ppm": ints(s),
            "uveu_single_ppm": pick([200_000, 250_000] if full else [PPM], s), "uveu_tier1_ppm": ints(s), "typical_tpp": 1,
        }  # fmt: skip
    drawn: dict[str, Any] = {"appeal": draws.appeal + (static.market_country != static.home) * one([0, 1 << 19, 3 << 20])}
    if chance.often(0.5):  # plans that come when it is known where there is room, with little else to choose by
        drawn |= {
            "planned": pick([-190, 0, 60, 120, 200, 300], len(draws.names)) * DAY, "appeal": pick([0, 0, 1 << 18], *draws.appeal.shape),
            "choice_per_year": -(1 << 20),
        }  # fmt: skip
        law |= {"outlook": pick([0, 0, 0, -(1 << 19)], *static.outlook.shape), "review_median": pick([30, 90, 360], s, 6) * DAY}
    if exact and full:  # planners mind it, and most plans come when it is known
        law |= {
            "review_median": pick([90, 360], s, 6) * DAY, "authorisation_grant": ints(companies, fill=ALWAYS),
            "outlook": ints(*static.outlook.shape), "outlook_wait": ints(*static.outlook.shape),
            "authorisation_applied": pick([-400, -30, 0], companies) * DAY, "authorisation_median": pick([0, 30], companies) * DAY,
        }  # fmt: skip
        drawn |= {
            "appeal": pick([0, 1 << 18, 1 << 19], *draws.appeal.shape), "choice_per_year": -(3 << 20),
            "planned": pick([0, 60, 120, 300], len(draws.names)) * DAY, "forced_country": ints(len(draws.names), fill=-1),
            "under_way": ints(*draws.under_way.shape),
        }  # fmt: skip
    return law, drawn | {
        "opening_stock": pick([0] if full else [125, 1_000, 2_000], companies, chips) if exact else draws.opening_stock, "fleet_chips": fleet,
        "authorisation_kept": pick([60, 300, EVER >> 20, EVER >> 20], companies) * DAY,
        "patience": pick([10, 30, 100, 200], len(draws.names)) * DAY, "filing_lead": one([0, 60]) * DAY,
        "value_usd": one([300, 2_000, 9_000]), "deliveries": pick([0] if exact else [0, 20, 100, 700], *draws.deliveries.shape), "offered": None,
    }  # fmt: skip


def switching(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """One vendor's chips are controlled and few, another's pass: projects change over, some while they stand in line."""
    pick, one = chance.pick, chance.one
    needs = static.needs_licence.copy()
    first = static.vendor_of == one(range(len(static.vendors)))
    needs[..., first] = chance.rng.random(needs[..., first].shape) < 0.6
    needs[..., ~first] = chance.rng.random(needs[..., ~first].shape) < 0.15
    approve = pick([NEVER, NEVER, threshold(0.3), ALWAYS], *static.approve_below.shape)
    law = {
        "needs_licence": needs, "rule": np.where(needs == 1, LICENCE_3, FREE_2), "posture": np.where(needs == 1, Posture.PRESUMPTION_OF_DENIAL, 0),
        "approve_below": approve, "deny_above": approve, "clock_median": pick([0, 10, 30], *static.clock_median.shape) * DAY,
        "allow_lpp": chance.often(0.3), "allow_uveu": chance.often(0.3), "allow_nveu": chance.often(0.3), "allow_relocation": chance.often(0.5),
        "h100e_ppm": pick([300_000, 500_000, 900_000, 1_000_000], len(static.accelerators)),
    }  # fmt: skip
    return law, {
        "deliveries": pick([0, 0, 300, 900], *draws.deliveries.shape), "offered": None, "commitment_months": one([2, 5, 50]),
        "value_usd": one([2_000, 9_000]), "patience": pick([10, 30, 100], len(draws.names)) * DAY, "under_way": ints(*draws.under_way.shape),
        "opening_stock": pick([0, 0, 400], *draws.opening_stock.shape), "smallest_share_ppm": one([0, PPM]),
        "vendor": pick(np.flatnonzero(np.bincount(static.vendor_of[first], minlength=len(static.vendors))).tolist(), len(draws.names)),
    }  # fmt: skip


def hurrying(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Announced restrictions: shipments ahead of them, some to sites that are not ready, some that lose clearance in line."""
    pick, one = chance.pick, chance.one
    law = {"allow_front_loading": True, "tightens": tightens(static), "allow_lpp": chance.often(0.3)}
    drawn = {
        "front_load_before": one([60, 200, 500]) * DAY, "front_load_ready": one([60, 180, 600]) * DAY, "filing_lead": one([0, 60, 200]) * DAY,
        "opening_stock": pick([0, 400, 2_000], *draws.opening_stock.shape), "planned": pick([-300, -190, -100, 0, 30], len(draws.names)) * DAY,
        "crew_limit": ints(*draws.crew_limit.shape, fill=EVER), "deliveries": pick([0, 0, 60, 700], *draws.deliveries.shape), "offered": None,
        "patience": pick([10, 60, 200], len(draws.names)) * DAY, "recovery_ppm": one([0, 500_000, PPM]), "value_usd": one([100, 700, 2_000]),
    }  # fmt: skip
    return law, drawn


def stranding(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Chips for some phases leave ahead of a restriction, then the others are denied theirs, before the site is there."""
    pick, one = chance.pick, chance.one
    s, companies, countries, chips = static.needs_licence.shape
    days = np.sort(chance.rng.choice([60, 90, 120, 180, 240, 300, 360, 420], s - 1, replace=False))
    turn = pick(range(1, s + 1), countries)
    needs = np.broadcast_to(np.arange(s)[:, None] >= np.where(np.arange(countries) == static.home, s, turn), (s, countries))
    needs = np.repeat(np.repeat(needs[:, None, :, None], companies, axis=1), chips, axis=3)
    law, drawn = hurrying(static, draws, chance)
    law |= {
        "law_ticks": np.append(static.earliest, days * DAY), "needs_licence": needs.astype(np.int64), "rule": np.where(needs, LICENCE_2, FREE),
        "posture": np.where(needs, Posture.POLICY_OF_DENIAL, 0), "approve_below": pick([NEVER, threshold(0.3)], s, 6), "deny_above": ints(s, 6),
        "clock_median": pick([0, 10], s, 6) * DAY, "stop_below": ints(s, 6), "deal_announced": ints(countries, fill=static.horizon),
        "allow_classification": False, "allow_lpp": False, "allow_nveu": False, "allow_uveu": False, "allow_security": chance.often(0.3),
        "allow_relocation": chance.often(0.4),
    }  # fmt: skip
    law["deny_above"] = law["approve_below"]
    law["tightens"] = tightens(replace(static, law_ticks=law["law_ticks"], needs_licence=law["needs_licence"]))
    median = draws.median.copy()
    median[:5] = pick([10, 30, 60], 5, len(static.markets)) * DAY
    median[1], median[3] = pick([300, 600], len(static.markets)) * DAY, pick([60, 120, 300], len(static.markets)) * DAY
    return law, drawn | {
        "median": median, "planned": pick([-100, -60, 0], len(draws.names)) * DAY, "front_load_before": 500 * DAY, "front_load_ready": 900 * DAY,
        "filing_lead": one([200, 500]) * DAY, "opening_stock": pick([0, 300, 900], companies, chips), "under_way": ints(companies, chips),
        "deliveries": pick([0, 0, 100], *draws.deliveries.shape), "recovery_ppm": one([900_000, PPM]), "shell_ahead": EVER, "smallest_share_ppm": 0,
        "value_usd": one([100, 700]), "forced_country": pick([-1, *range(countries)], len(draws.names)),
        "appeal": pick([0, 1 << 20], *draws.appeal.shape) + (static.market_country != static.home) * (1 << 20),
    }  # fmt: skip


def opening(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Most was planned long before the start: the opening fleet, chips under way, laws of the past."""
    pick, one, s = chance.pick, chance.one, len(static.law_ticks)
    ticks = np.array(
        [
            static.earliest,
            *sorted(chance.rng.choice([-1200, -900, -400, -300, -200, -120, -60, -30, -10, 0], s - 1, replace=False) * DAY),
        ]
    )
    law = {"law_ticks": ticks, "tightens": tightens(replace(static, law_ticks=ticks))}
    return law, {
        "planned": pick([-1800, -900, -700, -500, -400, -300, -190, -100, 0], len(draws.names)) * DAY, "under_way_ticks": one([30, 100, 200]) * DAY,
        "fleet_chips": pick([0, 100, 700, 5_000], *draws.fleet_chips.shape), "under_way": pick([0, 300, 3_000], *draws.under_way.shape),
        "opening_stock": pick([0, 300, 3_000], *draws.opening_stock.shape), "filing_lead": one([0, 60, 200]) * DAY,
        "crew_limit": ints(*draws.crew_limit.shape, fill=EVER) if chance.often(0.7) else draws.crew_limit,
    }  # fmt: skip


def crowding(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Crews for one site at a time, and growing; some give up in line for them."""
    pick, one, projects = chance.pick, chance.one, len(draws.names)
    law = {
        "allow_crew_limit": True,
        "allow_relocation": chance.often(0.7),
        "approve_below": pick([NEVER, threshold(0.5)], *static.approve_below.shape),
    }
    limits = np.sort(pick([0, 8, 16, 24, 80], *draws.crew_limit.shape), axis=0)
    return law, {
        "crew_limit": limits, "filing_lead": one([0, 200, 500]) * DAY, "patience_power": pick([0, 10, 60], projects) * DAY,
        "recovery_ppm": one([500_000, PPM]), "value_usd": one([300, 700, 2_000]), "shell_ahead": one([0, 60, EVER >> 20]) * DAY,
    }  # fmt: skip


def full_size(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Quantities as large as in the whole world, or larger: a sum that does not fit is found here."""
    pick, projects = chance.pick, len(draws.names)
    sizes = np.where(draws.phase_mw16 > 0, pick([16 * 50, 16 * 300 + 7, 16 * 2_000], projects, PHASES), 0)
    law = {
        "tpp": pick([CHIP, 36_000, 300_000], len(static.accelerators)), "watts": pick([1_300, 2_100, 7_000], len(static.accelerators)),
        "allocation": np.where(static.allocation > 1, pick([CHIP * 50_000, CHIP * 3_000_000], *static.allocation.shape), static.allocation),
        "other_importers": static.other_importers * 1_000, "lpp_limit": static.lpp_limit * 1_000, "nveu_cap": static.nveu_cap * 2_000,
        "typical_tpp": CHIP * 100_000, "grant_tpp": static.grant_tpp * 1_000,
    }  # fmt: skip
    law["counted_tpp"] = np.where(static.counted_tpp > 0, law["tpp"], 0)
    return law, {
        "phase_mw16": sizes, "mw16": sizes.sum(axis=1), "deliveries": draws.deliveries * 300,
        "offered": None if draws.offered is None else draws.offered * 300, "fleet_chips": draws.fleet_chips * 500,
        "opening_stock": draws.opening_stock * 300, "under_way": draws.under_way * 100, "chip_money": draws.chip_money * 1_000,
        "grid_ticks": draws.grid_ticks // 512, "price_usd": pick([30_000, 70_000], len(static.accelerators)),
        "crew_limit": draws.crew_limit * 100, "bridge_supply": draws.bridge_supply * 20,
    }  # fmt: skip


def many(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """As many countries, chips and reviewers as in the whole world, with all of them in use."""
    pick = chance.pick
    return {"allow_relocation": True}, {
        "appeal": pick([BARRED, 0, 1 << 18, 1 << 20], *draws.appeal.shape), "reviewers": 37, "largest_hop": 4,
        "forced_country": pick([-1, *range(len(static.countries))], len(draws.names)), "recovery_ppm": PPM,
    }  # fmt: skip


def coinciding(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nearly everything takes no time or ends on the same day: only the order inside an instant tells things apart."""
    pick, one = chance.pick, chance.one
    law = {
        "clock_median": pick([0, 0, 30], *static.clock_median.shape) * DAY, "stop_median": ints(*static.stop_median.shape),
        "authorisation_median": pick([0, 30], len(static.companies)) * DAY, "deal_median": pick([0, 30], len(static.countries)) * DAY,
        "nveu_median": pick([0, 30], len(static.law_ticks)) * DAY, "authorisation_again": 30 * DAY,
        "background_a_year": ints(len(static.law_ticks), fill=1461),  # one every quarter of a day, were the gaps all one
    }  # fmt: skip
    shape = draws.median.shape
    gaps = pick([0, 40, 120], len(draws.office_gaps)) * FACTOR_ONE
    gaps[0] = FACTOR_ONE  # a year before the start is a quarter of a day off
    return law, {
        "median": pick([0, 0, 30, 60], *shape) * DAY, "planned": pick([-30, 0, 0, 30], len(draws.names)) * DAY,
        "office_gaps": gaps, "office_factor": FACTOR_ONE, "reviewers": one([1, 2]), "licence_validity": one([30, 60]) * DAY - one([0, 1]),
        "refile": pick([0, 30], *draws.refile.shape) * DAY, "licence_work": pick([0, 0, 30], *draws.licence_work.shape) * DAY,
        "patience": pick([30, 60], len(draws.names)) * DAY, "patience_power": pick([0, 30, 60], len(draws.names)) * DAY,
        "spread": ints(*draws.spread.shape, fill=FACTOR_ONE), "classification": pick([0, 30], *draws.classification.shape) * DAY,
        "bridge_lead": pick([0, 30], len(draws.names)) * DAY, "filing_lead": one([0, 30]) * DAY, "grid_ticks": pick([0, DAY // 16], shape[1]),
        "shell_offset": ints(*draws.shell_offset.shape), "power_offset": pick([0, 1], 1) * draws.power_offset,
    }  # fmt: skip


def counting(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exports count towards a pot before it limits them; a company authorised meanwhile gets back what it exported early."""
    pick, one, s, countries = chance.pick, chance.one, *static.allocation.shape
    law, drawn = authorising(static, draws, chance)
    binds = pick(range(1, s + 1), countries)  # the segment from which the pot limits
    early = np.arange(s)[:, None] < binds
    abroad = np.arange(countries) != static.home
    law |= {
        "allocation": np.where(early | ~abroad, NO_POT, pick([CHIP * 100, CHIP * 500, CHIP * 2_000], countries)),
        "allocation_counts": (early & abroad).astype(np.int64), "allocation_window": pick([0, 0, 0, 1], s, countries).cumsum(axis=0) // 2,
        "authorisation_applied": pick([0, 60, 150, 300], len(static.companies)) * DAY,
        "other_importers": pick([0, 0, CHIP * 50], *static.other_importers.shape),
        "uveu_single_ppm": pick([70_000, 250_000], s), "uveu_tier1_ppm": ints(s), "uveu_us_ppm": ints(s), "approve_below": pick([threshold(0.7), ALWAYS], s, 6),
        "deny_above": ints(s, 6, fill=ALWAYS), "clock_median": pick([0, 10, 30], s, 6) * DAY,
        "deal_announced": ints(countries, fill=static.horizon), "authorisation_grant": pick([threshold(0.6), ALWAYS], len(static.companies)),
    }  # fmt: skip
    free = np.where(chance.rng.random(law["needs_licence"].shape) < 0.4, 0, law["needs_licence"])
    law |= {
        "needs_licence": free,
        "rule": np.where(free == 1, law["rule"], FREE),
        "posture": np.where(free == 1, law["posture"], 0),
    }
    return law, drawn | {
        "opening_stock": pick([0, 900, 9_000], *draws.opening_stock.shape), "smallest_share_ppm": one([0, 500_000, PPM]),
        "planned": pick([-400, -300, -190, -100, 0, 30], len(draws.names)) * DAY,
    }  # fmt: skip


def filling(static: Static, draws: Draws, chance: Chance) -> tuple[dict[str, Any], dict[str, Any]]:
    """A footprint that is full and grows: whoever waits for headroom reckons how long, and waits or leaves."""
    pick, one, s, countries = chance.pick, chance.one, *static.allocation.shape
    law, drawn = authorising(static, draws, chance)
    companies = len(static.companies)
    law |= {
        "allocation": ints(s, countries) + pick([0, 0, 1], s, countries), "authorisation_applied": pick([-400, -60, 0], companies) * DAY,
        "authorisation_grant": ints(companies, fill=ALWAYS), "authorisation_median": pick([0, 30, 300], companies) * DAY,
        "uveu_single_ppm": pick([20_000, 70_000, 70_000, 250_000], s), "uveu_tier1_ppm": pick([0, 0, 960_000], s), "uveu_us_ppm": ints(s),
        "allocation_counts": ints(s, countries), "quarter_ticks": one([30, 30, 91]) * DAY, "allow_lpp": False, "allow_relocation": chance.often(0.5),
        "deal_announced": ints(countries, fill=static.horizon), 
        "supply_ppm": ints(len(static.supply_ppm), fill=PPM), "outlook": pick([0, 0, -(1 << 19)], *static.outlook.shape),
    }  # fmt: skip
    grown = np.maximum(pick([20, 200, 2_000], companies)[:, None], pick([0, 5], companies, len(static.accelerators)))
    return law, drawn | {
        "authorisation_kept": pick([300, EVER >> 20, EVER >> 20], companies) * DAY, "patience": pick([30, 60, 200], len(draws.names)) * DAY,
        "deliveries": np.repeat(grown[None], len(draws.deliveries), axis=0), "value_usd": one([800, 1_200, 2_000]), "stock_ahead": EVER,
        "planning_horizon": 1_000 * DAY, "recovery_ppm": one([500_000, 900_000, PPM, PPM]),
        "planned": pick([-190, -100, 0, 60, 200], len(draws.names)) * DAY, "commitment_months": 50,
        "shell_usd_per_mw": ints(len(static.markets), fill=11_000_000), "chip_money": ints(*draws.chip_money.shape, fill=EVER), "largest_hop": 4,
        "offered": None, "appeal": pick([0, 1 << 20], *draws.appeal.shape) + (static.market_country != static.home) * (2 << 20),
    }  # fmt: skip


SOME_LAW: dict[str, Any] = {"segments": 4, "strictness": 0.4}
THEMES = (
    Theme({}, anything),
    Theme({"projects": 10, "months": 24}, bridging),
    Theme({"projects": 10, "months": 36, "countries": 4}, queueing),
    Theme({"strictness": 0.9, "projects": 6, "segments": 2}, halting),
    Theme({"strictness": 0.9, "segments": 2}, rationing),
    Theme({"strictness": 0.9}, dealing),
    Theme({"strictness": 0.4, "segments": 4}, authorising),
    Theme({"vendors": 3, "accelerators": 3, **SOME_LAW}, switching),
    Theme({}, anything),
    Theme(SOME_LAW, hurrying),
    Theme({"segments": 4, "projects": 6}, stranding),
    Theme(SOME_LAW, opening),
    Theme({"projects": 10, "strictness": 0.9}, crowding),
    Theme({}, full_size),
    Theme({"projects": 10, "months": 24}, coinciding),
    Theme({"strictness": 0.4, "segments": 4, "months": 36}, counting),
    Theme({"countries": 55, "accelerators": 12, "vendors": 5, "companies": 4, "segments": 2, "months": 24, "projects": 10}, many),
    Theme({"strictness": 0.9, "segments": 2, "months": 36}, filling),
)


# ------------------------------------------------------------------ a large one


def crowded(projects: int = 680) -> tuple[Static, Draws]:
    """One world with so many phases, licences and requests that whatever has a size in an engine is too small at first."""
    chance = Chance(9)
    recipe = Recipe(
        countries=3, accelerators=3, vendors=2, companies=2, projects=projects, segments=4, holds=1, strictness=0.4, home_is_free=True,
        supply=(5_000,), capacity=(EVER,), seed=5,
    )  # fmt: skip
    static, draws = build(recipe)
    law, drawn = hurrying(static, draws, chance)
    grants, markets = 300, len(static.markets)
    law |= {
        "rationed": ints(markets, fill=1), "quarter_ticks": DAY, "grant_tick": np.sort(chance.pick(range(40), grants)) * DAY,
        "grant_company": chance.pick([0, 1], grants), "grant_country": chance.pick([1, 2], grants),
        "grant_tpp": chance.pick([1, CHIP], grants), "grant_rule": ints(grants, fill=LICENCE),
    }  # fmt: skip
    sizes = ints(projects, PHASES, fill=1)
    drawn |= {"front_load_ready": 600 * DAY, "filing_lead": 0, "planned": ints(projects), "optimism": FACTOR_ONE}
    return replace(static, **law), replace(
        draws, **drawn, phases=ints(projects, fill=PHASES), phase_mw16=sizes, mw16=sizes.sum(axis=1), licence_validity=1_500 * DAY,
        grid_backlog=ints(markets, fill=400 * DAY), grid_ticks=ints(markets, fill=DAY // 64),
    )  # fmt: skip
