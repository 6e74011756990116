"""What must always hold, in small random worlds full of coincidences: equal dates, empty pots, one chip, no chip."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from conftest import DAY, ints, tiny_draws, tiny_static
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.draws import TABLE_POINTS
from simulator.events import Log, Mark, Stage
from simulator.model import WATTS_PER_SIXTEENTH, Expansion
from simulator.static import BARRED, NO_POT, Draws, Posture, Static, Timed
from simulator.units import FACTOR_ONE, threshold

FREE, LICENCE, POT, LPP, UVEU, DENIAL = range(6)  # provisions of the tiny world
DECIDED = (Mark.APPROVED, Mark.DENIED, Mark.RETURNED)
STEPS = 60_000
"""Events a world of this size may need: twelve projects, five hops, eight filings, 48 months. Beyond it, it does not end."""
BY_STAGE = (Stage.SITE_SELECTION, Stage.INTERCONNECTION, Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT, Stage.SHIPPING,
            Stage.INSTALLATION, Stage.COMMISSIONING)  # fmt: skip


@dataclass(frozen=True)
class Played:
    """A world, what happened in it, and the engine as it stood at the end."""

    static: Static
    draws: Draws
    log: Log
    engine: Expansion


def play(static: Static, draws: Draws) -> Played:
    """Run to the horizon, but fail instead of turning for ever in one instant."""
    engine = Expansion(static, draws)
    env = engine.env

    def run(until: int) -> None:
        for _ in range(STEPS):
            if env.peek() >= until:
                return
            env.step()
        raise AssertionError(f"still at day {env.now / DAY} after {STEPS} events")

    env.run = run  # type: ignore[method-assign,assignment]
    return Played(static, draws, engine.run(), engine)


# ------------------------------------------------------------------ random worlds


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
    seed: int


recipes = st.builds(
    Recipe,
    countries=st.integers(3, 4), accelerators=st.integers(1, 3), vendors=st.integers(1, 2), companies=st.integers(1, 2),
    projects=st.integers(1, 9), segments=st.integers(1, 4), holds=st.integers(0, 2), strictness=st.sampled_from([0.0, 0.4, 0.9]),
    home_is_free=st.booleans(), supply=st.sampled_from([(1_000_000,), (500, 5_000), (0, 1, 700), (0,)]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip


def build(recipe: Recipe) -> tuple[Static, Draws]:
    """The world of a recipe: few distinct dates and sizes, so that things meet and just fit or just do not."""
    rng = np.random.default_rng(recipe.seed)
    countries, accelerators, companies, projects = recipe.countries, recipe.accelerators, recipe.companies, recipe.projects
    vendors, holds = min(recipe.vendors, accelerators), recipe.holds
    # Months of thirty days, and all other days multiples of ten: laws, deliveries, decisions and completions meet.
    months, hops, filings = 48, 5, 8
    month_starts = np.arange(months + 1) * 30 * DAY
    earliest = -1800 * DAY

    def pick(choices: Sequence[int], *shape: int) -> np.ndarray:
        return rng.choice(np.array(choices, dtype=np.int64), size=shape)

    days = [0, 10, 30, 60, 90, 120, 180, 360]
    law_days = sorted({int(d) for d in pick([-900, -60, *days, 200, 240, 300, 420], recipe.segments - 1)})
    law_ticks = np.array([earliest, *(d * DAY for d in law_days)], dtype=np.int64)
    s = len(law_ticks)
    shape = (s, companies, countries, accelerators)
    needs = (rng.random(shape) < recipe.strictness).astype(np.int64)
    if recipe.home_is_free:
        needs[:, :, 0] = 0
    posture = np.where(needs == 1, pick([p for p in Posture if p], *shape), 0)
    lpp = np.where((needs == 1) & (rng.random(shape) < 0.5), LPP, -1)
    uveu = np.where((needs == 1) & (rng.random(shape) < 0.5), UVEU, -1)
    capacities = [NO_POT, NO_POT, 0, 1, 9_000_000, 16_000 * 500, 16_000 * 5_000]
    allocation = pick(capacities, s, countries)
    allocation[:, 0] = NO_POT
    counts = np.where((allocation == NO_POT) & (rng.random((s, countries)) < 0.3), 1, 0)
    # Outcome thresholds: always approved, never, or by chance.
    approve, deny = pick([0, threshold(0.5), threshold(1.0)], s, 6), ints(s, 6)
    deny[:] = np.maximum(approve, pick([threshold(0.5), threshold(0.8), threshold(1.0)], s, 6))
    hold_from = np.sort(pick(days, holds)) * DAY  # in order of their beginning, as they are compiled
    static = tiny_static(
        horizon=months * 30 * DAY, earliest=earliest, month_starts=month_starts, quarter_starts=month_starts[:-1:3],
        year_starts=np.arange(-5, 4) * 360 * DAY, companies=("acme", "bolt")[:companies], countries=("USA", "ARE", "BRA", "CHE")[:countries],
        markets=("home", "abroad", "elsewhere", "abroad", "home")[: countries + 1], home=0,
        market_country=np.array([*range(countries), 0]), tier=pick([1, 2, 3], countries),
        accelerators=("old", "new", "other")[:accelerators], vendors=("maker", "second")[:vendors],
        vendor_of=np.array([0, 0, 1])[:accelerators] if vendors == 2 and accelerators == 3 else np.arange(accelerators) % vendors,
        tpp=(tpp := pick([4_000, 16_000, 36_000], accelerators)), counted_tpp=np.where(rng.random(accelerators) < 0.8, tpp, 0),
        h100e_ppm=pick([500_000, 1_000_000], accelerators), watts=pick([700, 1_000, 1_300], accelerators),
        shipping_generation=ints(vendors, months),
        law_ticks=law_ticks, needs_licence=needs, rule=np.where(needs == 1, LICENCE, FREE), posture=posture, lpp_rule=lpp, uveu_rule=uveu,
        law_changes=pick([-1, LICENCE], s), outlook=pick([0, 0, -(1 << 19), BARRED], 2, s, companies, countries),
        outlook_wait=pick([0, 1 << 19], 2, s, companies, countries), lpp_limit=pick([0, 1, 16_000 * 300, 16_000 * 3_000], s),
        uveu_single_ppm=pick([0, 70_000, 500_000, 1_000_000], s), uveu_tier1_ppm=pick([0, 750_000, 1_000_000], s),
        uveu_us_ppm=pick([0, 500_000], s), trusted=np.concatenate([np.ones((s, 1), dtype=np.int64), pick([0, 1], s, countries - 1)], axis=1),
        allocation=allocation, allocation_window=pick([0, 0, 1], s, countries).cumsum(axis=0), allocation_counts=counts,
        allocation_rule=ints(s, countries, fill=POT), other_importers=pick([0, 1, 16_000 * 100], months // 3, countries),
        approve_below=approve, deny_above=deny, review_median=pick([0, 10, 30, 90, 360], s, 6) * DAY,
        review_spread=ints(s, 6, TABLE_POINTS, fill=FACTOR_ONE), hold_from=hold_from,
        hold_until=hold_from + pick([10, 200], holds) * DAY, hold_covers=pick([0, 1], holds, countries),
        authorisation_applied=pick([0, 30, 100], companies) * DAY, authorisation_median=pick([0, 30], companies) * DAY,
        authorisation_spread=ints(companies, TABLE_POINTS, fill=FACTOR_ONE), authorisation_grant=pick([0, threshold(1.0)], companies),
        authorisation_usd_a_year=ints(s, fill=600_000),
        allow_relocation=bool(rng.random() < 0.8), allow_uveu=bool(rng.random() < 0.8), allow_lpp=bool(rng.random() < 0.8),
    )  # fmt: skip
    for v in range(vendors):
        static.shipping_generation[v] = pick([a for a in range(accelerators) if static.vendor_of[a] == v], months)
    markets = countries + 1
    draws = tiny_draws(
        static, [(0, 1, 0)] * projects, company=pick(list(range(companies)), projects), vendor=pick(list(range(vendors)), projects),
        route=pick([0, 1, 2, 3], projects), planned=pick([-1800, -400, -190, -180, -100, 0, 0, 10, 30, 60, 360], projects) * DAY,
        mw16=pick([1, 8, 16, 80, 160], projects), forced_country=pick([-1, -1, -1, countries - 1], projects),
        appeal=pick([0, 1 << 20, 2 << 20], projects, markets), median=pick([0, 1, 10, 50, 60, 120], 8, markets) * DAY,
        luck_power=ints(9, countries, fill=FACTOR_ONE), luck_construction=ints(9, countries, fill=FACTOR_ONE),
        patience=pick([0, 10, 200, 400], projects) * DAY, relocates=pick([0, 1, 1], projects, hops),
        refile=pick([0, 10, 30], projects) * DAY, licence_time=rng.integers(0, 1 << 62, (projects, hops, filings)),
        licence_outcome=rng.integers(0, 1 << 62, (projects, hops, filings)), authorisation_time=ints(companies),
        authorisation_outcome=ints(companies), deliveries=pick(list(recipe.supply), months, companies, accelerators),
        opening_stock=pick([0, 0, 1, 900], companies, accelerators), under_way=pick([0, 0, 1, 3_000], companies, accelerators),
        under_way_ticks=int(pick([0, 30, 100], 1)[0]) * DAY, fleet_chips=pick([0, 100, 5_000], companies, countries, accelerators),
        interconnection_lead=int(pick([0, 30], 1)[0]) * DAY, filing_lead=int(pick([0, 60, 500], 1)[0]) * DAY,
        stock_ahead=int(pick([0, 90 * DAY, 1 << 40], 1)[0]), smallest_share_ppm=int(pick([0, 500_000, 1_000_000], 1)[0]),
        largest_filings=int(pick([1, 3, filings], 1)[0]), largest_hop=int(pick([0, 1, hops - 1], 1)[0]),
        choice_per_year=-(1 << 20), price_usd=ints(accelerators, fill=30_000), shell_usd_per_mw=ints(markets, fill=11_000_000),
        route_factor=pick([FACTOR_ONE // 2, FACTOR_ONE], 4, 8),
    )  # fmt: skip
    return static, draws


def rows(log: Log, **wanted: int) -> Log:
    """Rows of the log with these entries."""
    keep = np.ones(len(log), dtype=bool)
    for column, value in wanted.items():
        keep &= log[column] == value
    return log[keep]


def check_sites(p: Played) -> None:
    """Each site's story: every step at most once, in the order of the trade, ended at most once."""
    log = p.log
    sites = {(int(r), int(h)) for r, h in zip(log["root"], log["hop"], strict=True) if r >= 0}
    for root, hop in sites:
        mine = log[(log["root"] == root) & (log["hop"] == hop)]
        first = {}
        for mark in (Mark.PLANNED, Mark.GROUND_BREAKING, Mark.SHELL_READY, Mark.FIRST_POWER, Mark.READY, Mark.IN_FLEET, Mark.SHIPPED,
                     Mark.ONLINE, Mark.RELOCATED, Mark.CANCELLED):  # fmt: skip
            found = mine[mine["mark"] == mark]
            assert len(found) <= 1, (root, hop, mark.name)
            if len(found):
                first[mark] = int(found[0]["order"])
        spans = {}
        for stage in BY_STAGE:
            begin, end = (
                rows(mine, stage=stage, mark=Mark.START),
                mine[(mine["stage"] == stage) & np.isin(mine["mark"], (Mark.END, Mark.HALTED))],
            )
            assert len(begin) <= 1
            assert len(end) <= len(begin)
            if len(begin):
                spans[stage] = (int(begin[0]["order"]), int(end[0]["order"]) if len(end) else len(log))
                assert spans[stage][0] < spans[stage][1]
        for before, after in (
            (Stage.SITE_SELECTION, Stage.INTERCONNECTION), (Stage.SITE_SELECTION, Stage.PERMITTING), (Stage.PERMITTING, Stage.CONSTRUCTION),
            (Stage.CONSTRUCTION, Stage.FIT_OUT), (Stage.FIT_OUT, Stage.SHIPPING), (Stage.INTERCONNECTION, Stage.SHIPPING),
            (Stage.SHIPPING, Stage.INSTALLATION), (Stage.INSTALLATION, Stage.COMMISSIONING),
        ):  # fmt: skip
            assert after not in spans or spans[before][1] < spans[after][0], (root, hop, before.name, after.name)
        if Mark.READY in first:
            assert first[Mark.READY] > max(first[Mark.SHELL_READY], first[Mark.FIRST_POWER])
            ready = rows(mine, mark=Mark.READY)[0]
            assert int(ready["tick"]) == max(int(rows(mine, mark=m)[0]["tick"]) for m in (Mark.SHELL_READY, Mark.FIRST_POWER))
        if Mark.SHIPPED in first:
            assert first[Mark.SHIPPED] > first[Mark.READY]
            cleared = mine[(mine["mark"] == Mark.CLEARED) & (mine["order"] < first[Mark.SHIPPED])]
            assert len(cleared) >= 1
        if Mark.ONLINE in first:
            assert first[Mark.ONLINE] > spans[Stage.COMMISSIONING][1]
        # Nothing ends twice, and nothing of a site goes on after it ended.
        ends = [m for m in (Mark.IN_FLEET, Mark.ONLINE, Mark.RELOCATED, Mark.CANCELLED) if m in first]
        assert len(ends) <= 1, (root, hop, ends)
        if ends:
            last = mine[mine["order"] > first[ends[0]]]
            # A site given up stops its work in the same instant.
            assert all(m == Mark.HALTED for m in last["mark"])
            assert all(t == mine[mine["mark"] == ends[0]][0]["tick"] for t in last["tick"])
        # Spells of waiting close before they open again.
        for stage in (Stage.CLEARANCE, Stage.LICENCE_REVIEW, Stage.ALLOCATION, Stage.AUTHORISATION, Stage.CHIPS):
            depth = 0
            for row in mine[(mine["stage"] == stage) & np.isin(mine["mark"], (Mark.START, Mark.END, Mark.CLEARED))]:
                depth += 1 if row["mark"] == Mark.START else -1
                assert depth in (0, 1), (root, hop, stage.name)


def after_the_chips(p: Played, row: np.void) -> int:
    """Ticks of shipping, installation and commissioning at the site of a row."""
    root = int(row["root"])
    market = int(rows(p.log, root=root, hop=int(row["hop"]), mark=Mark.PLANNED)[0]["pool"])
    stages = [Timed.SHIPPING, Timed.INSTALLATION, Timed.COMMISSIONING]  # these worlds have no luck: the spread is one
    return int((p.draws.median[stages, market] * p.draws.route_factor[p.draws.route[root], stages] >> 20).sum())


def check_the_opening_fleet(p: Played) -> None:
    """Who would be online before the start is in the fleet of that day as long as it has room; everyone else waits for chips."""
    fleet = (p.draws.fleet_chips * p.static.watts).sum(axis=(1, 2)) // WATTS_PER_SIXTEENTH
    chosen = (p.log["mark"] == Mark.IN_FLEET) | ((p.log["stage"] == Stage.CHIPS) & (p.log["mark"] == Mark.START))
    for row in p.log[chosen]:
        company, size = int(p.draws.company[row["root"]]), int(p.draws.mw16[row["root"]])
        belongs = row["tick"] + after_the_chips(p, row) <= 0 and fleet[company] >= size
        assert belongs == (row["mark"] == Mark.IN_FLEET), (row, fleet)
        if belongs:
            fleet[company] -= size


def check_lineages(p: Played) -> None:
    """A root has one living site, bounded successors and filings, and comes online at most once."""
    log = p.log
    for root in range(len(p.draws.names)):
        mine = rows(log, root=root)
        assert len(rows(mine, mark=Mark.ONLINE)) + len(rows(mine, mark=Mark.IN_FLEET)) <= 1
        assert mine["hop"].max(initial=0) <= min(p.draws.largest_hop, 4)
        for hop in range(int(mine["hop"].max(initial=0)) + 1):
            here = rows(mine, hop=hop)
            filed, decided = (here["mark"] == Mark.FILED).sum(), np.isin(here["mark"], DECIDED).sum()
            assert decided <= min(filed, p.draws.largest_filings)
            assert filed <= p.draws.licence_time.shape[2]
            if hop:
                left = rows(mine, hop=hop - 1, mark=Mark.RELOCATED)
                planned = rows(mine, hop=hop, mark=Mark.PLANNED)
                assert len(left) == 1
                assert len(planned) == 1
                assert planned[0]["tick"] == left[0]["tick"]
                before = mine[(mine["mark"] == Mark.RELOCATED) & (mine["hop"] < hop)]["pool"]
                assert len(before) == hop
                country = p.static.market_country
                assert country[planned[0]["pool"]] not in country[before]
        planned = rows(mine, mark=Mark.PLANNED)
        # MW: what comes online is what was planned less what was not filled.
        for online in rows(mine, mark=Mark.ONLINE):
            here = rows(mine, hop=int(online["hop"]))
            short = int(rows(here, mark=Mark.DOWNSIZED)["quantity"].sum())
            assert int(online["quantity"]) == int(rows(here, mark=Mark.PLANNED)["quantity"][0]) - short
            assert 0 <= int(online["quantity"]) <= int(p.draws.mw16[root])
    ticks = log["tick"]
    started, online = rows(log, mark=Mark.SHIPPED), rows(log, mark=Mark.ONLINE)
    assert len(online) <= len(started)
    assert (np.diff(ticks) >= 0).all()
    assert (ticks < p.static.horizon).all()
    assert (ticks >= p.static.earliest).all()


def check_exports(p: Played) -> None:
    """No export without a ruling that lets it pass, for each kind of chip in it; licences and LPP are not overdrawn."""
    static, log = p.static, p.log
    lpp_used: dict[tuple[int, int], int] = defaultdict(int)
    for shipped in rows(log, mark=Mark.SHIPPED):
        tick, root, hop = int(shipped["tick"]), int(shipped["root"]), int(shipped["hop"])
        mine = log[(log["root"] == root) & (log["hop"] == hop) & (log["order"] <= shipped["order"])]
        segment = bisect_right(static.law_ticks.tolist(), tick) - 1
        company, country = int(p.draws.company[root]), int(shipped["pool"])
        assert country == static.market_country[rows(mine, mark=Mark.PLANNED)[0]["pool"]]
        taken = {int(row["pool"]): int(row["quantity"]) for row in rows(mine, mark=Mark.CHIPS_TAKEN)}
        quantity = sum(chips * int(static.tpp[a]) for a, chips in taken.items())
        assert quantity == shipped["quantity"]
        assert all(static.vendor_of[a] == p.draws.vendor[root] for a in taken)
        controlled = [a for a in taken if static.needs_licence[segment, company, country, a]]
        rule = int(shipped["rule"])
        if rule == LICENCE:
            approved = rows(mine, mark=Mark.APPROVED)
            assert len(approved)
            assert quantity <= int(approved[-1]["quantity"])
        elif rule == LPP:
            assert static.allow_lpp
            assert all(static.lpp_rule[segment, company, country, a] == LPP for a in controlled)
            year = company, bisect_right(static.year_starts.tolist(), tick)
            lpp_used[year] += sum(taken[a] * int(static.tpp[a]) for a in controlled)  # free chips use up no allowance
            assert lpp_used[year] <= static.lpp_limit[segment]
        elif rule == UVEU:
            assert static.allow_uveu
            assert all(static.uveu_rule[segment, company, country, a] == UVEU for a in controlled)
            assert tick >= static.authorisation_applied[company] + static.authorisation_median[company]
            assert static.authorisation_grant[company]
        else:
            assert rule == FREE
            assert not controlled
        # No more chips than the site takes: the last one may be only partly used.
        watts = sum(chips * int(static.watts[a]) for a, chips in taken.items())
        planned = int(rows(mine, mark=Mark.PLANNED)[0]["quantity"])
        assert watts < planned * WATTS_PER_SIXTEENTH + int(static.watts.max())


def check_footprint(p: Played) -> None:
    """The ratios of the universal authorisation hold after each export that uses it, on what the company then owns anywhere."""
    static, log = p.static, p.log
    owned = (p.draws.fleet_chips * static.counted_tpp).sum(axis=2).astype(object)
    # Chips under way arrive before the start, those in stock with the first delivery.
    arriving = [
        (-p.draws.under_way_ticks, (p.draws.under_way * static.counted_tpp).sum(axis=1)),
        (0, (p.draws.opening_stock * static.counted_tpp).sum(axis=1)),
    ]
    for row in log:
        while arriving and row["tick"] >= arriving[0][0]:
            owned[:, static.home] += arriving.pop(0)[1]
        if row["mark"] == Mark.DELIVERED:
            owned[-1 - int(row["root"]), static.home] += int(row["quantity"]) * int(static.counted_tpp[row["pool"]])
        if row["mark"] != Mark.SHIPPED:
            continue
        company, country = int(p.draws.company[row["root"]]), int(row["pool"])
        taken = log[(log["root"] == row["root"]) & (log["hop"] == row["hop"]) & (log["mark"] == Mark.CHIPS_TAKEN)]
        moved = sum(int(c["quantity"]) * int(static.counted_tpp[c["pool"]]) for c in taken)
        owned[company, static.home] -= moved
        owned[company, country] += moved
        if row["rule"] == UVEU and country != static.home:
            segment = bisect_right(static.law_ticks.tolist(), int(row["tick"])) - 1
            total = sum(owned[company])
            trusted = sum(o for o, t in zip(owned[company], static.trusted[segment], strict=True) if t)
            if not static.trusted[segment, country]:
                assert 1_000_000 * owned[company, country] <= int(static.uveu_single_ppm[segment]) * total
            assert 1_000_000 * trusted >= int(static.uveu_tier1_ppm[segment]) * total
            assert 1_000_000 * owned[company, static.home] >= int(static.uveu_us_ppm[segment]) * total
        assert min(owned[company]) >= 0
    owned[:, static.home] += sum(tpp for _, tpp in arriving)
    assert owned.tolist() == p.engine.owned


def check_pledges(p: Played) -> None:
    """Headroom is held for cleared sites whose chips have not left, and for nobody else."""
    held = [[0] * len(p.static.countries) for _ in p.static.companies]
    for sites in p.engine.coming.values():
        for site in sites.values():
            assert site.pledged_tpp >= 0
            held[site.company][site.country] += site.pledged_tpp
            mine = rows(p.log, root=site.root, hop=site.hop, stage=Stage.CLEARANCE)
            if site.pledged_tpp:
                assert mine[-1]["mark"] == Mark.CLEARED
                assert mine[-1]["rule"] == UVEU
    assert held == p.engine.pledged


def check_pots(p: Played) -> None:
    """A country's pot is never granted beyond the limit of the day, whoever draws on it."""
    static = p.static
    used: dict[int, tuple[int, int]] = {}
    for row in rows(p.log, mark=Mark.DRAWN):
        country = int(row["pool"])
        segment = bisect_right(static.law_ticks.tolist(), int(row["tick"])) - 1
        window = int(static.allocation_window[segment, country])
        period, before = used.get(country, (window, 0))
        now = (before if period == window else 0) + int(row["quantity"])
        used[country] = window, now
        assert now >= 0
        # Only what counted early goes back, when the company is authorised.
        assert (row["quantity"] > 0) == (row["stage"] != Stage.AUTHORISATION)
        if static.allocation_counts[segment, country] or row["quantity"] < 0:
            continue  # counted before the limit binds
        assert static.allocation[segment, country] != NO_POT
        assert now <= static.allocation[segment, country]
    for country, (period, now) in used.items():  # and nothing is drawn that the log does not tell
        pot = p.engine.pots[country]
        assert pot.used == (now if pot.window == period else 0)


def check_holds(p: Played) -> None:
    """Nobody is answered while decisions for the country are held."""
    static = p.static
    for row in p.log[np.isin(p.log["mark"], DECIDED)]:
        held = (static.hold_from <= row["tick"]) & (row["tick"] < static.hold_until) & (static.hold_covers[:, row["pool"]] == 1)
        assert not held.any(), (row["tick"] / DAY, Mark(row["mark"]).name)


def check_chips(p: Played) -> None:
    """Every chip offered is delivered or declined; every chip delivered is in stock, gathered, or shipped once."""
    static, log = p.static, p.log
    for k in range(len(static.companies)):
        of_company = np.isin(log["root"], np.nonzero(p.draws.company == k)[0])
        for a in range(len(static.accelerators)):
            from_maker = rows(log, root=-1 - k, mark=Mark.DELIVERED, pool=a)
            declined = rows(log, root=-1 - k, mark=Mark.DECLINED, pool=a)
            assert int(from_maker["quantity"].sum() + declined["quantity"].sum()) == int(p.draws.deliveries[:, k, a].sum())
            taken = log[of_company & (log["mark"] == Mark.CHIPS_TAKEN) & (log["pool"] == a)]
            opening = int(p.draws.opening_stock[k, a])
            queue = p.engine.queues[k, int(static.vendor_of[a])]
            gathered = sum(
                claim.taken.get(a, 0)
                for (root, _), (claim, _) in p.engine.claims.items()
                if p.draws.company[root] == k and static.vendor_of[a] == p.draws.vendor[root]
            )
            under_way = int(p.draws.under_way[k, a])
            came = under_way + opening + int(from_maker["quantity"].sum())
            assert came == queue.stock[a] + gathered + int(taken["quantity"].sum())
            assert queue.stock[a] >= 0
            # At no moment has more left than came.
            moves = np.concatenate([from_maker, taken])
            moves = moves[np.argsort(moves["order"])]
            there = under_way * (moves["tick"] >= -p.draws.under_way_ticks) + opening * (moves["tick"] >= 0)
            balance = there + np.cumsum(np.where(moves["mark"] == Mark.DELIVERED, moves["quantity"], -moves["quantity"]))
            assert balance.min(initial=0) >= 0


def check_the_order_inside_an_instant(p: Played) -> None:
    """In one tick: changes of law, then deliveries, then completions, then decisions; each kind by root and hop."""
    log = p.log
    assert (log["order"] == np.arange(len(log))).all()
    decided = (Mark.APPROVED, Mark.DENIED)
    cls = np.full(len(log), -1)
    cls[(log["stage"] == Stage.LAW)] = 0
    cls[np.isin(log["mark"], (Mark.DELIVERED, Mark.DECLINED))] = 1
    cls[np.isin(log["stage"], BY_STAGE) & (log["mark"] == Mark.END)] = 2
    cls[np.isin(log["mark"], decided)] = 3
    cls[(log["stage"] == Stage.OTHER_IMPORTERS)] = 4
    # Work of no length and reviews of no length follow within the step that began them, so only true spells are compared.
    began: dict[tuple[int, int, int], int] = {}
    for i, row in enumerate(log):
        key = int(row["root"]), int(row["hop"]), int(row["stage"])
        if row["mark"] in (Mark.START, Mark.FILED):
            began[key] = int(row["tick"])
        elif cls[i] in (2, 3) and began.get(key) == row["tick"]:
            cls[i] = -1
    for tick in np.unique(log["tick"]):
        here = (log["tick"] == tick) & (cls >= 0)
        # A plan, a shipment or an online step of this instant starts spells that cannot end in it, so classes only rise.
        assert (np.diff(cls[here]) >= 0).all(), (
            tick / DAY,
            [(Stage(r["stage"]).name, Mark(r["mark"]).name, int(r["root"])) for r in log[here]],
        )
        for c in (2, 3):
            same = log[here & (cls == c)]
            at = list(zip(same["root"].tolist(), same["hop"].tolist(), strict=True))
            assert at == sorted(at)


quick = [HealthCheck.too_slow]


@settings(max_examples=250, deadline=None, suppress_health_check=quick)
@given(recipes)
def test_what_must_always_hold(recipe: Recipe) -> None:
    played = play(*build(recipe))
    check_sites(played)
    check_lineages(played)
    check_exports(played)
    check_the_opening_fleet(played)
    check_footprint(played)
    check_pledges(played)
    check_pots(played)
    check_holds(played)
    check_chips(played)


@settings(max_examples=120, deadline=None, suppress_health_check=quick)
@given(recipes)
def test_what_happens_in_one_instant_happens_in_the_stated_order(recipe: Recipe) -> None:
    check_the_order_inside_an_instant(play(*build(recipe)))


@settings(max_examples=40, deadline=None, suppress_health_check=quick)
@given(recipes)
def test_the_same_inputs_give_the_same_log_to_the_last_byte_and_are_left_alone(recipe: Recipe) -> None:
    static, draws = build(recipe)
    before = [value.tobytes() for table in (static, draws) for value in vars(table).values() if isinstance(value, np.ndarray)]
    first, second = play(static, draws).log, play(static, draws).log
    assert first.tobytes() == second.tobytes()
    assert [
        value.tobytes() for table in (static, draws) for value in vars(table).values() if isinstance(value, np.ndarray)
    ] == before


# ------------------------------------------------------------------ the coincidences that broke it once, by hand


def two_chips(needs: list[int], lpp: list[int], stock: list[int], **changes: int) -> tuple[Static, Draws]:
    """One 2 MW project abroad, an older and a newer chip of one maker in stock; applications name the newer one."""
    table = ints(1, 1, 3, 2)
    table[0, 0, 1] = needs
    exception = ints(1, 1, 3, 2, fill=-1)
    exception[0, 0, 1] = lpp
    static = tiny_static(
        accelerators=("old", "new"), vendor_of=ints(2), tpp=ints(2, fill=16_000), counted_tpp=ints(2, fill=16_000),
        h100e_ppm=ints(2, fill=1_000_000), watts=ints(2, fill=1_000), shipping_generation=ints(1, 48, fill=1), needs_licence=table,
        rule=np.where(table == 1, LICENCE, FREE), posture=table, lpp_rule=exception, uveu_rule=ints(1, 1, 3, 2, fill=-1),
        lpp_limit=ints(1, fill=10**9),
    )  # fmt: skip
    draws = tiny_draws(
        static, [(0, 2, 1)], deliveries=ints(48, 1, 2), opening_stock=np.array([stock]), under_way=ints(1, 2), fleet_chips=ints(1, 3, 2),
        price_usd=ints(2, fill=30_000), **changes,
    )  # fmt: skip
    return static, draws


def test_a_free_new_chip_does_not_clear_the_controlled_old_one_and_the_day_ends() -> None:
    # Cleared as free for the new chip; in stock are old ones, which need a licence. It has to be filed for, not tried for ever.
    log = play(*two_chips([1, 0], [-1, -1], [5_000, 0])).log
    shipped = rows(log, mark=Mark.SHIPPED)
    assert shipped["rule"].tolist() == [LICENCE]
    assert (shipped["tick"] / DAY).tolist() == [180 + 90]


def test_a_shipment_of_two_kinds_of_chips_passes_only_if_both_do() -> None:
    # The exception covers the new chip alone; half of the shipment are old ones.
    log = play(*two_chips([1, 1], [-1, LPP], [1_000, 1_000])).log
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LICENCE]
    log = play(*two_chips([1, 1], [LPP, LPP], [1_000, 1_000])).log
    assert rows(log, mark=Mark.SHIPPED)["rule"].tolist() == [LPP]


def test_chips_that_pass_by_different_routes_do_not_escape_the_yearly_allowance() -> None:
    # The old ones may go under LPP, the new ones under the authorisation: one licence, or both limits counted.
    static, draws = two_chips([1, 1], [LPP, -1], [1_000, 1_000])
    uveu = ints(1, 1, 3, 2, fill=-1)
    uveu[0, 0, 1, 1] = UVEU
    fleet = ints(1, 3, 2)
    fleet[0, 0] = 1_000_000
    static = replace(static, uveu_rule=uveu, authorisation_applied=ints(1))
    played = play(static, replace(draws, fleet_chips=fleet))
    (rule,) = rows(played.log, mark=Mark.SHIPPED)["rule"].tolist()
    assert rule == LICENCE or sum(played.engine.lpp_used.values()) >= 1_000 * 16_000


def test_a_decision_due_at_the_turn_of_a_month_still_comes_after_the_completions_of_that_day() -> None:
    # Filed on day 120, decided after 62 days on 1 July 2024 (day 182), when another shell is finished and chips for a third arrive.
    needs = ints(1, 1, 3, 1)
    needs[0, 0, 1] = 1
    static = tiny_static(needs_licence=needs, rule=needs, posture=needs, review_median=ints(1, 6, fill=62 * DAY))
    log = play(static, tiny_draws(static, [(0, 1, 1), (2, 1, 0), (160, 1, 0)])).log
    here = log[log["tick"] == 182 * DAY]
    order = [int(here[here["mark"] == m][0]["order"]) for m in (Mark.DELIVERED, Mark.SHELL_READY, Mark.APPROVED)]
    assert order == sorted(order)


# ------------------------------------------------------------------ by hand: the opening fleet, and chips by need

RAISED = {"needs_licence", "rule", "posture", "lpp_rule", "uveu_rule", "law_changes", "lpp_limit", "uveu_single_ppm", "uveu_tier1_ppm",
          "uveu_us_ppm", "trusted", "allocation", "allocation_window", "allocation_counts", "allocation_rule", "approve_below",
          "deny_above", "review_median", "review_spread", "authorisation_usd_a_year"}  # fmt: skip
ABROAD = 1


def by_law(static: Static, day: int, **later: np.ndarray) -> Static:
    """The same world with a second segment of law from a day on; `later` holds what differs in it, without the segment's axis."""
    twice = {name: np.repeat(getattr(static, name), 2, axis=0) for name in RAISED}
    twice |= {name: np.repeat(getattr(static, name), 2, axis=1) for name in ("outlook", "outlook_wait")}
    for name, value in later.items():
        twice[name][1] = value
    return replace(static, law_ticks=np.array([static.earliest, day * DAY]), **twice)


def abroad(value: int, fill: int = 0) -> np.ndarray:
    """A table (K, C, A) of the tiny world with a value for the second country."""
    table = ints(1, 3, 1, fill=fill)
    table[0, ABROAD] = value
    return table


def when(log: Log, mark: Mark, **wanted: int) -> list[tuple[int, float]]:
    """(root, day) of every such event."""
    return [(int(row["root"]), row["tick"] / DAY) for row in rows(log, mark=mark, **wanted)]


def test_only_what_would_be_online_before_the_start_and_fits_is_in_the_opening_fleet() -> None:
    # A site is ready 180 days after its plan; chips then take 30 days to be online. The fleet of that day holds 3 MW.
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 3_000
    static = tiny_static()
    plans = [(-300, 2, 0), (-211, 2, 0), (-210, 1, 0), (-209, 1, 0)]
    log = play(static, tiny_draws(static, plans, fleet_chips=fleet)).log
    # The second does not fit beside the first; the third is online on the first day itself; the fourth a day later.
    assert when(log, Mark.IN_FLEET) == [(0, -120), (2, -30)]
    assert when(log, Mark.START, stage=Stage.CHIPS) == [(1, -31), (3, -29)]
    assert when(log, Mark.SHIPPED) == [(1, 0), (3, 0)]  # with the first chips of the run


def test_chips_under_way_on_the_first_day_come_online_about_then() -> None:
    static = tiny_static()
    plans = [(-230, 1, 0), (-205, 1, 0), (-190, 1, 0)]
    under_way = ints(1, 1, fill=2_500)
    stock = ints(1, 1, fill=500)
    played = play(static, tiny_draws(static, plans, 0, under_way=under_way, under_way_ticks=30 * DAY, opening_stock=stock))
    # Ready on days -50, -25 and -10. Chips leave 30 days before the start; the third site lacks half, which waits in stock.
    assert when(played.log, Mark.SHIPPED) == [(0, -30), (1, -25), (2, 0)]
    assert when(played.log, Mark.ONLINE) == [(0, 0), (1, 5), (2, 30)]
    assert played.engine.queues[0, 0].stock == {0: 0}
    assert played.engine.owned == [[3_000 * 16_000, 0, 0]]


def test_a_company_takes_the_chips_its_sites_will_need_and_not_one_more() -> None:
    # 2 MW ready on day 180 are needed for from 100 days before: the deliveries of 31 March (day 91) and later.
    static = tiny_static()
    log = play(static, tiny_draws(static, [(0, 2, 0)], 700, stock_ahead=100 * DAY)).log
    delivered = rows(log, mark=Mark.DELIVERED)
    assert (delivered["tick"] / DAY).tolist() == [91, 121, 152]
    assert delivered["quantity"].tolist() == [700, 700, 600]
    declined = rows(log, mark=Mark.DECLINED)
    assert declined["quantity"][:4].tolist() == [700, 700, 700, 100]  # 1 January, February, March; 1 June
    assert when(log, Mark.SHIPPED) == [(0, 180)]


def test_chips_gathered_by_a_waiting_site_are_not_ordered_again() -> None:
    static = tiny_static()
    played = play(static, tiny_draws(static, [(0, 16, 0)], 3_500))
    # Months from the plan's site control (day 10): five times 3,500, the last cut to what is missing; ready on day 180.
    assert rows(played.log, mark=Mark.DELIVERED)["quantity"].tolist() == [3_500] * 4 + [2_000]
    late = play(static, tiny_draws(static, [(0, 16, 0)], 1_500))
    assert rows(late.log, mark=Mark.DELIVERED)["quantity"].tolist() == [1_500] * 10 + [1_000]
    assert when(late.log, Mark.SHIPPED) == [(0, 335)]
    assert late.engine.queues[0, 0].stock == {0: 0}


def test_a_site_that_takes_a_part_of_a_chip_gets_the_whole_one_in_time() -> None:
    # 62,500 W at 1,300 W a chip: 48.08 chips, so 49 are needed.
    static = tiny_static(watts=ints(1, fill=1_300))
    log = play(static, tiny_draws(static, [(0, 1, 0)], mw16=ints(1, fill=1))).log
    assert rows(log, mark=Mark.DELIVERED)["quantity"].tolist() == [49]
    assert when(log, Mark.SHIPPED) == [(0, 180)]


# ------------------------------------------------------------------ by hand: clearance, pledges and pots


def test_a_cleared_site_is_asked_again_before_it_gathers_chips() -> None:
    # Free when it is cleared on day 120; a licence is needed from day 150; powered and shelled on day 180.
    law = {"needs_licence": abroad(1), "rule": abroad(LICENCE), "posture": abroad(1)}
    static = by_law(tiny_static(), 150, **law)
    log = play(static, tiny_draws(static, [(0, 1, 1)])).log
    assert when(log, Mark.START, stage=Stage.CLEARANCE) == [(0, 10), (0, 180)]
    assert rows(log, mark=Mark.CLEARED)["rule"].tolist() == [FREE, LICENCE]
    assert when(log, Mark.START, stage=Stage.CHIPS) == [(0, 270)]
    assert when(log, Mark.SHIPPED) == [(0, 270)]
    assert not len(rows(log, mark=Mark.CHIPS_GIVEN_BACK))


def test_chips_go_back_if_the_law_changes_while_they_are_gathered() -> None:
    # Ready on day 180 with 700 of 1,000 chips in stock; the law changes on day 200, the rest comes on day 213.
    law = {"needs_licence": abroad(1), "rule": abroad(LICENCE), "posture": abroad(1)}
    static = by_law(tiny_static(), 200, **law)
    deliveries = ints(48, 1, 1)
    deliveries[5], deliveries[7] = 700, 300
    log = play(static, tiny_draws(static, [(0, 1, 1)], deliveries=deliveries)).log
    back = rows(log, mark=Mark.CHIPS_GIVEN_BACK)
    assert (back["tick"] / DAY).tolist() == [213]
    assert back["quantity"].tolist() == [1_000]
    assert when(log, Mark.FILED) == [(0, 213)]
    assert when(log, Mark.SHIPPED) == [(0, 303)]


def authorised(**changes: object) -> Static:
    """The second country is open to a company that holds the universal authorisation, from the first day; else by licence."""
    needs = abroad(1)[None]
    law = {"needs_licence": needs, "rule": needs, "posture": needs, "uveu_rule": abroad(UVEU, -1)[None]}
    return tiny_static(**{**law, "authorisation_applied": ints(1), **changes})


def test_a_cleared_site_holds_its_headroom_and_the_next_waits_for_the_authorisation() -> None:
    # One country may hold 7 %: 2,000 of 28,572 chips, those asked for included. The company owns 20,000 on day 120, when both are
    # asked about; each alone would fit, both do not. It receives 2,000 a month, for a large site at home.
    static = authorised(allocation=np.array([[NO_POT, 0, NO_POT]]))  # no licence takes the authorisation's place
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 12_000
    draws = tiny_draws(static, [(0, 1, 1), (0, 1, 1), (-11, 40, 0)], 2_000, fleet_chips=fleet)
    played = play(static, draws)
    waits = rows(played.log, stage=Stage.AUTHORISATION, mark=Mark.START)
    assert [(int(row["root"]), row["tick"] / DAY, int(row["rule"]), int(row["quantity"])) for row in waits[:1]] == [
        (1, 120, UVEU, 1_000 * 16_000)
    ]
    assert not len(rows(played.log, stage=Stage.ALLOCATION))
    assert when(played.log, Mark.CLEARED)[:2] == [(2, 109), (0, 120)]
    # 27,572 owned are enough for the second to be asked about, on 1 August (day 213: 28,000).
    assert when(played.log, Mark.END, stage=Stage.AUTHORISATION)[0] == (1, 213)
    check_pledges(played)
    check_footprint(played)


def test_headroom_held_for_a_site_is_let_go_at_shipment() -> None:
    static = authorised()
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 20_000
    engine = Expansion(static, tiny_draws(static, [(0, 1, 1)], fleet_chips=fleet))
    env, held = engine.env, []
    steps = env.run

    def watch(until: int) -> None:
        for day in (119, 121, 179, 181):
            steps(until=day * DAY)
            held.append(engine.pledged[0][ABROAD])
        steps(until=until)

    env.run = watch  # type: ignore[method-assign,assignment]
    engine.run()
    assert held == [0, 1_000 * 16_000, 1_000 * 16_000, 0]


def test_patience_is_set_once_whatever_is_asked_again() -> None:
    # Cleared as free; then a licence is needed, and refused for ever by returns. Patience is 200 days from ready (180), not from 300.
    law = {"needs_licence": abroad(1), "rule": abroad(LICENCE), "posture": abroad(1)}
    static = by_law(tiny_static(approve_below=ints(1, 6), deny_above=ints(1, 6, fill=threshold(1.0))), 200, **law)
    deliveries = ints(48, 1, 1)
    deliveries[10] = 1_000  # 1 November, day 305
    log = play(static, tiny_draws(static, [(0, 1, 1)], deliveries=deliveries, relocates=ints(1, 5))).log
    assert when(log, Mark.FILED) == [(0, 305)]
    assert when(log, Mark.CANCELLED) == [(0, 380)]


def test_withdrawn_applications_do_not_use_up_the_filings() -> None:
    # Filed on day 120 and withdrawn on day 130, when no licence is needed for a while; filed again on day 180 and decided.
    licence = {"needs_licence": abroad(1)[None], "rule": abroad(LICENCE)[None], "posture": abroad(1)[None]}
    static = by_law(tiny_static(**licence), 130, needs_licence=abroad(0), rule=abroad(FREE), posture=abroad(0))
    third = {name: np.concatenate([getattr(static, name), getattr(static, name)[:1]]) for name in RAISED}
    third |= {name: np.repeat(getattr(static, name)[:, :1], 3, axis=1) for name in ("outlook", "outlook_wait")}
    static = replace(static, law_ticks=np.array([static.earliest, 130 * DAY, 150 * DAY]), **third)
    log = play(static, tiny_draws(static, [(0, 1, 1)], largest_filings=1)).log
    assert when(log, Mark.FILED) == [(0, 120), (0, 180)]
    assert when(log, Mark.APPROVED) == [(0, 270)]
    assert when(log, Mark.SHIPPED) == [(0, 270)]
    # Every decided one counts: a return with one filing allowed is the end.
    never = replace(static, approve_below=ints(3, 6), deny_above=ints(3, 6, fill=threshold(1.0)))
    log = play(never, tiny_draws(never, [(0, 1, 1)], largest_filings=1, relocates=ints(1, 5))).log
    assert when(log, Mark.FILED) == [(0, 120), (0, 180)]
    assert when(log, Mark.RETURNED) == when(log, Mark.CANCELLED) == [(0, 270)]


def test_a_lineage_never_goes_back_to_a_country_it_has_left() -> None:
    needs = ints(1, 1, 3, 1, fill=1)
    static = tiny_static(needs_licence=needs, rule=needs, posture=needs, approve_below=ints(1, 6), deny_above=ints(1, 6))
    draws = tiny_draws(static, [(0, 1, 1)])
    draws.appeal[0] = [1, 3, 2]
    log = play(static, draws).log
    assert rows(log, mark=Mark.PLANNED)["pool"].tolist() == [1, 2, 0]
    assert len(rows(log, mark=Mark.RELOCATED)) == 2
    assert rows(log, mark=Mark.CANCELLED)["hop"].tolist() == [2]


def counting(**changes: object) -> Static:
    """The second country's pot counts from the first day and limits from day 300; licences and the authorisation then."""
    first = tiny_static(allocation_counts=np.array([[0, 1, 0]]), authorisation_applied=ints(1, fill=400 * DAY), **changes)
    return by_law(
        first, 300, needs_licence=abroad(1), rule=abroad(LICENCE), posture=abroad(1), uveu_rule=abroad(UVEU, -1),
        allocation=np.array([NO_POT, 100_000_000, NO_POT]), allocation_counts=ints(3),
    )  # fmt: skip


def test_what_counts_early_is_counted_for_all_and_goes_back_when_the_company_is_authorised() -> None:
    others = ints(16, 3)
    others[:2, ABROAD] = 5_000_000
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 100_000
    static = counting(other_importers=others)
    played = play(static, tiny_draws(static, [(0, 1, 1)], fleet_chips=fleet))
    drawn = [(int(r["root"]), r["tick"] / DAY, Stage(r["stage"]), int(r["quantity"])) for r in rows(played.log, mark=Mark.DRAWN)]
    assert drawn == [
        (-1, 0, Stage.OTHER_IMPORTERS, 5_000_000), (-1, 91, Stage.OTHER_IMPORTERS, 5_000_000),
        (0, 180, Stage.ALLOCATION, 16_000_000), (-1, 400, Stage.AUTHORISATION, -16_000_000),
    ]  # fmt: skip
    assert played.engine.pots[ABROAD].used == 10_000_000


def test_only_chips_that_count_are_counted_early() -> None:
    static = counting(counted_tpp=ints(1))
    played = play(static, tiny_draws(static, [(0, 1, 1)]))
    assert len(rows(played.log, mark=Mark.SHIPPED)) == 1
    assert not len(rows(played.log, mark=Mark.DRAWN))


def test_what_counted_in_an_earlier_period_does_not_enlarge_the_pot_of_a_later_one() -> None:
    # 1 MW counts in the first period, 2 MW in the second, which the limit is for: only these go back.
    fleet = ints(1, 3, 1)
    fleet[0, 0] = 1_000_000
    static = counting()
    middle = {name: getattr(static, name)[[0, 0, 1]] for name in RAISED}
    middle |= {name: getattr(static, name)[:, [0, 0, 1]] for name in ("outlook", "outlook_wait")}
    middle["allocation_window"] = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 0]])
    static = replace(static, law_ticks=np.array([static.earliest, 200 * DAY, 300 * DAY]), **middle)
    played = play(static, tiny_draws(static, [(0, 1, 1), (40, 2, 1)], fleet_chips=fleet))
    assert rows(played.log, mark=Mark.DRAWN)["quantity"].tolist() == [16_000_000, 32_000_000, -32_000_000]
    assert played.engine.pots[ABROAD].used == 0


def test_a_company_that_hopes_for_the_authorisation_does_not_fear_the_licence_it_stands_for() -> None:
    # Barred without hope, free with it. It applies on day 0; the answer comes on day 50, and is a grant or a refusal.
    outlook = ints(2, 1, 1, 3)
    outlook[0, 0, 0, 1] = BARRED
    chosen = {}
    for grant in (0, threshold(1.0)):
        static = authorised(outlook=outlook, authorisation_median=ints(1, fill=50 * DAY), authorisation_grant=ints(1, fill=grant))
        draws = tiny_draws(static, [(10, 1, 1), (49, 1, 1), (51, 1, 1)])
        draws.appeal[:, 2] = 1
        log = play(static, draws).log
        chosen[grant] = rows(log, mark=Mark.PLANNED, hop=0)["pool"].tolist()
    assert chosen == {0: [1, 1, 2], threshold(1.0): [1, 1, 1]}
    static = authorised(outlook=outlook, allow_uveu=False)
    assert rows(play(static, tiny_draws(static, [(10, 1, 1)])).log, mark=Mark.PLANNED)["pool"].tolist() == [0]


def test_two_holds_that_overlap_stop_the_clock_once() -> None:
    needs = ints(1, 1, 3, 1)
    needs[0, 0, 1] = 1
    filed = 180 - 60
    static = tiny_static(
        needs_licence=needs, rule=needs, posture=needs, hold_from=np.array([filed + 30, filed + 50]) * DAY,
        hold_until=np.array([filed + 70, filed + 80]) * DAY, hold_covers=np.array([[0, 1, 0], [0, 1, 0]]),
    )  # fmt: skip
    log = play(static, tiny_draws(static, [(0, 1, 1)])).log
    # No decisions from day 30 to day 80 of the review: 90 days of work and 50 days without.
    assert (rows(log, mark=Mark.APPROVED)["tick"] / DAY).tolist() == [filed + 90 + 50]
