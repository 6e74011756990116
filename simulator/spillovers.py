"""Second-order effects: China's stock of compute, displacement between two runs, unmet demand abroad.

Nothing here feeds back into a run; all of it is arithmetic on tables, draws and event logs. Monthly index t runs over the T
months of the run, amounts are h100e. **China's stock** at a month end is the sum of four parts (model, section 9):

    stock(t)    = licensed(t) + diverted(t) + domestic(t) + rented(t)      cumulative since the opening; nothing retires

1. *What the law leaves open.* For chip i of the merchant makers (Nvidia, AMD) on sale in month t, with h(t) the mean
   h100e of a chip they then ship:

    serves(i,t) = min(1, h100e(i) / h(t))              as many chips would be bought, each slower
    open(t)     = max over i of serves x approved      approved: 1 if no licence is needed, else the posture's share of approvals
    denied(t)   = 1 - open(t)
    bought(t)   = max over i of serves x approved x taken

   `taken` is `china.uptake` under a licence. A chip as fast as the others and free of licence is always taken. A slower one is
   taken in full until the timeline first states an uptake (August 2025, when Chinese firms were told to hold orders); from
   then on at the last uptake stated, licence or not, because that limit is China's own.
2. *Licensed imports.* Demand D(t) = `unrestricted_share_of_merchant_supply` x shipments of the merchant makers. Under history
   imports are the reported path, put on the months of a year in proportion to bought(t), and D x bought where none is stated:

    licensed = history's x bought / history's bought     where the law opens less than history did
    licensed = history's + D x (bought - history's bought)     where it opens as much or more

   So a law equal to history imports exactly what history did, and imports never fall as the law opens.
3. *Diversion.* `chips_smuggled` x h(t) x `diversion.share` / history's `diversion.share`.
4. *Domestic output.* base x (1 + elasticity x denied(t - lag)), but a response never lifts it above the upper end of the range
   of the base path: there neither memory nor yield binds, so dies and memory allow no more. A base drawn above that end stays.
   The elasticity is the middle of its range (0; a scenario sets it), never drawn: past data do not identify it. Regimes state
   another view, a relative change of growth (`china.domestic_growth_boost`, `china.substitution_slowdown`): from the first month
   it holds, base x (base / base of that month) ** change. `Mechanisms` chooses one, so that no cause is counted twice.
5. *Rented abroad.* The stated level, interpolated between year ends; it does not depend on the law. Capacity rented from one
   of the four is in their stock as well.

A law that changes inside a month counts from the month whose 15th day it covers. Sources of the inputs stand in
`data/supply.csv` (entity china) and `data/process.csv` (china_*, unmet_demand_share, training_*, closed_model_reaches).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.units import H100_DENSE_8BIT_TOPS, month_ends, quarter_of

if TYPE_CHECKING:
    from simulator.controls import Item, Law
    from simulator.world import World

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Key: TypeAlias = tuple[str, str, str, str, str]
"""(table, parameter, entity, scope, period): the arguments of `World.get`."""

CHINA = "CHN"
MERCHANTS = ("nvidia", "amd")
"""Makers of US design who sell chips; the others build for their own use and never sold chips to China."""
DESTINATIONS = ("waits", "served_remotely", "other_importers", "chinese_vendors", "lost")
"""Where unmet demand abroad goes, in the order of `split_unmet`."""
CLOSED_MODELS = {"flop_1e25": 1e25, "flop_1e26": 1e26, "flop_1e27": 1e27, "flop_1e28": 1e28}
"""Training operations by the scope under which `data/process.csv` says when the largest closed model passes them."""
MONTH_DAYS = 365.25 / 12


@dataclass(frozen=True)
class Mechanisms:
    """Which second-order effects are on. An effect that is off leaves its part of the stock at its opening or base value."""

    diversion: bool = True
    substitution: bool = True
    """Domestic output answers denied chips with the elasticity of the scenario."""
    stated_growth: bool = False
    """Domestic output grows as the regime states, instead of by the elasticity."""
    renting: bool = True

    def __post_init__(self) -> None:
        if self.substitution and self.stated_growth:
            object.__setattr__(self, "substitution", False)


# ---- China: the law and the world of a scenario -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ChinaPolicy:
    """What one scenario's law and suppositions mean for China, by month. Shapes: T months of the run, B months before it."""

    denied: Floats
    """(B + T,) share of Chinese demand for US-design chips that the law denies"""
    bought: Floats
    """(T,) share of that demand that is delivered and paid for"""
    bought_in_history: Floats
    """(T,)"""
    season: Floats
    """(T,) weights of the months for a yearly amount of history's imports; mean 1 in each whole calendar year"""
    diversion: Floats
    """(T,) diversion relative to history's"""
    growth: Floats
    """(T,) stated relative change of the growth of domestic output, 0 where the law states none"""
    ceiling: Floats
    """(T,) h100e a month that dies and memory allow at most; inf where the data have no range"""
    elasticity: float
    on: Mechanisms = Mechanisms()

    def yearly(self, start: date) -> dict[int, dict[str, float]]:
        """Calendar year -> mean share denied, open and bought, and diversion relative to history: the table people read."""
        months = len(self.bought)
        before = len(self.denied) - months
        year = [start.year + (start.month - 1 + t) // 12 for t in range(months)]
        table = {}
        for y in sorted(set(year)):
            at = np.array([t for t in range(months) if year[t] == y])
            denied = float(self.denied[before + at].mean())
            table[y] = {
                "denied": denied,
                "open": 1.0 - denied,
                "bought": float(self.bought[at].mean()),
                "diversion": float(self.diversion[at].mean()),
            }
        return table


def china_policy(
    law: Law, history: Law, world: World, start: date, end: date, earliest: date, on: Mechanisms | None = None
) -> ChinaPolicy:
    """Tables of one scenario (once, when it is compiled). `history` is the timeline the reported paths belong to.

    Months from that of `earliest` (for lags) to that of `end`; the law of a month is that of its 15th day.
    """
    every = [date(day.year, day.month, 15) for day in month_ends(earliest, date(end.year, 12, 31))]
    first = sum(day < date(start.year, start.month, 1) for day in every)
    last = sum(day <= end.replace(day=28) for day in every)
    now = slice(first, last)
    opened, bought = _shares(law, world, every)
    in_history = bought if law is history else _shares(history, world, every)[1]
    ceiling = [world.get("supply", "domestic_output_h100e", "china", period=str(day.year)).high for day in every[now]]
    return ChinaPolicy(
        denied=1.0 - opened[:last],
        bought=bought[now],
        bought_in_history=in_history[now],
        season=_season(every, in_history)[now],
        diversion=_relative(
            [float(law.at("diversion.share", day)) for day in every[now]],
            [float(history.at("diversion.share", day)) for day in every[now]],
        ),
        growth=np.array([_stated(law, "china.domestic_growth_boost", d) - _stated(law, "china.substitution_slowdown", d) for d in every[now]]),
        ceiling=np.array([np.inf if high is None else high / 12 for high in ceiling]),
        elasticity=world.number("process", "china_substitution_elasticity"),
        on=on or Mechanisms(),
    )  # fmt: skip


def _stated(law: Law, leaf: str, day: date) -> float:
    return float(law.at(leaf, day)) if law.has(leaf, day) else 0.0


def _relative(shares: Sequence[float], reference: Sequence[float]) -> Floats:
    """Shares over a reference; 1 where both are zero. A share without any in history has no path to scale: it counts as history's."""
    return np.array([share / base if base > 0 else 1.0 for share, base in zip(shares, reference, strict=True)])


def _season(every: Sequence[date], weight: Floats) -> Floats:
    """Weights with mean 1 in each calendar year; equal months where a year has none."""
    year = np.array([day.year for day in every])
    total = np.bincount(year - year[0], weights=weight)[year - year[0]]
    months = np.bincount(year - year[0])[year - year[0]]
    return np.where(total > 0, weight * months / np.where(total > 0, total, 1.0), 1.0)


class OnSale(NamedTuple):
    """A merchant chip as the law and the buyer see it."""

    name: str
    ships_from: date
    h100e: float


def _on_sale(world: World) -> list[OnSale]:
    chips = [a for a in world.entities("accelerators") if world.text("accelerators", "vendor", a) in MERCHANTS]
    return [
        OnSale(
            a,
            _day(world.text("accelerators", "ships_from", a)),
            world.number("accelerators", "dense_8bit_tops", a) / H100_DENSE_8BIT_TOPS,
        )
        for a in chips
    ]


def _day(text: str) -> date:
    """First day of `2024`, `2024-06` or `2024-06-01`."""
    parts = [int(part) for part in text.split("-")]
    return date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)


def h100e_per_chip(world: World, days: Sequence[date]) -> Floats:
    """Mean h100e of a chip that the merchant makers ship in the quarter of each day; the nearest quarter where none is stated."""
    made: dict[str, float] = {}
    chips: dict[str, float] = {}
    for vendor in MERCHANTS:
        shipped = world.series("supply", "shipped_h100e", vendor)
        for share in world.select(table="supply", parameter="generation_share", entity=vendor):
            if share.period in shipped:
                amount = shipped[share.period].number * share.number
                each = world.number("accelerators", "dense_8bit_tops", share.scope) / H100_DENSE_8BIT_TOPS
                made[share.period] = made.get(share.period, 0.0) + amount
                chips[share.period] = chips.get(share.period, 0.0) + amount / each
    known = sorted(made)
    nearest = [min(max(quarter_of(day), known[0]), known[-1]) for day in days]
    return np.array([made[q] / chips[q] for q in nearest])


def _shares(law: Law, world: World, days: Sequence[date]) -> tuple[Floats, Floats]:
    """(open, bought) shares of demand on each day, by equations 1 of the module."""
    from simulator.controls import Item

    chips, mean = _on_sale(world), h100e_per_chip(world, days)

    def measured(chip: str, parameter: str) -> float | None:
        return world.number("accelerators", parameter, chip) if world.has("accelerators", parameter, chip) else None

    items = [
        Item(
            tpp=round(world.number("accelerators", "tpp", chip.name)),
            density=measured(chip.name, "performance_density"),
            memory_bandwidth_gbps=measured(chip.name, "memory_bandwidth_gbps"),
            interconnect_gbps=measured(chip.name, "interconnect_gb_per_s"),
        )
        for chip in chips
    ]
    # The law is asked once a change of law, not once a month.
    changes = [days[0], *law.change_dates(days[0], days[-1])]
    segment = np.searchsorted([day.toordinal() for day in changes], [day.toordinal() for day in days], side="right") - 1
    asked: dict[int, list[tuple[float, bool]]] = {}
    opened, bought, limit = np.zeros(len(days)), np.zeros(len(days)), None
    for t, (day, s) in enumerate(zip(days, segment.tolist(), strict=True)):
        if s not in asked:
            asked[s] = [_approved(law, item, changes[s]) for item in items]
        uptake = float(law.at("china.uptake", day))
        limit = uptake if uptake > 0 else limit
        for chip, (approved, free) in zip(chips, asked[s], strict=True):
            if chip.ships_from > day:
                continue
            serves = min(1.0, chip.h100e / float(mean[t]))
            taken = uptake if not free else 1.0 if serves == 1.0 or limit is None else limit
            opened[t] = max(opened[t], serves * approved)
            bought[t] = max(bought[t], serves * approved * taken)
    return opened, bought


def _approved(law: Law, item: Item, day: date) -> tuple[float, bool]:
    """Share of exports of an item to China that the law lets pass, and whether without a licence."""
    need = law.requirement(CHINA, CHINA, item, day)
    if not need.needs_licence:
        return 1.0, True
    stated = need.review is not None and law.has(f"outcome.{need.review}.approve", day)
    return (law.outcome(need.review or "", day)[0] if stated else 0.0), False


# ---- China: one replication -------------------------------------------------------------------------------------------------


class ChinaPaths(NamedTuple):
    """One replication's draws for China; nothing here depends on policy. (T,) by month unless said, h100e."""

    demand: Floats
    """US-design chips a month that would be bought if no licence were needed"""
    imports: Floats
    """licensed imports of history, a twelfth of the year's; nan after the last year stated"""
    smuggled: Floats
    """diverted a month under history"""
    domestic: Floats
    """base path of domestic output a month"""
    rented: Floats
    """level rented abroad at month ends"""
    exportable: Floats
    """chips a month that Chinese makers could export, in h100e"""
    opening: tuple[float, float, float]
    """licensed, diverted and domestic stock on the eve of the start"""
    lag_days: float


def wanted(world: World, start: date, end: date) -> dict[str, list[Key]]:
    """Inputs to draw: name -> keys of `World.get`, in the order in which `paths` and its readers expect them."""
    years = [str(year) for year in range(start.year, end.year + 1)]
    past = [str(year) for year in range(2022, start.year)]

    def series(parameter: str, periods: Sequence[str]) -> list[Key]:
        return [("supply", parameter, "china", "", period) for period in periods]

    ends = [str(start.year - 1), *years]
    return {
        "china/unrestricted_share": series("unrestricted_share_of_merchant_supply", [""]),
        "china/licensed_stock": series("licensed_stock_h100e", [f"{start.year - 1}-12-31"]),
        "china/licensed_imports": series(
            "licensed_imports_h100e", [y for y in years if world.has("supply", "licensed_imports_h100e", "china", period=y)]
        ),
        "china/domestic_past": series("domestic_output_h100e", past),
        "china/domestic": series("domestic_output_h100e", years),
        "china/smuggled_past": series("chips_smuggled", past),
        "china/smuggled": series("chips_smuggled", years),
        "china/rented": series("offshore_rented_h100e", ends),
        "china/exportable": series("exportable_chips", list(world.series("supply", "exportable_chips", "china"))),
        "china/lag": [("process", "china_substitution_lag_days", "world", "", "")],
        "unmet_demand_share": [("process", "unmet_demand_share", "world", to, "") for to in DESTINATIONS],
        "training_utilisation": [("process", "training_utilisation", "world", "", "")],
        "training_goodput": [("process", "training_goodput", "world", "", "")],
        "closed_model_reaches": [("process", "closed_model_reaches", "world", scope, "") for scope in CLOSED_MODELS],
        "largest_open_model": [("process", "largest_open_model_flop", "world", "", _latest(world))],
        "server_economic_life": [("costs", "server_economic_life", "world", "", "")],
        "national_application": [("costs", "application_cost", "nveu", "", "")],
    }


def paths(
    get: Callable[[str], Floats],
    inputs: Mapping[str, Sequence[Key]],
    months: Sequence[date],
    merchant: Floats,
    per_chip: Floats,
    per_past_chip: Floats,
    h100e_per_exported_chip: float,
) -> ChinaPaths:
    """One replication's paths from drawn inputs.

    `get(name)` gives the drawn values of `inputs[name]` (from `wanted`), `months` the month ends of the run, `merchant` (T,) the
    drawn shipments of the merchant makers a month (h100e), `per_chip` (T,) and `per_past_chip` (years before) the mean h100e of
    their chips, from `h100e_per_chip`.
    """
    year, into, at = _calendar(tuple(months))

    def drawn(name: str) -> Floats:
        return get(f"china/{name}")

    imports = np.full(year[-1] + 1, np.nan)
    for key, amount in zip(inputs["china/licensed_imports"], drawn("licensed_imports"), strict=True):
        imports[int(key[4]) - months[0].year] = amount
    level = drawn("rented")
    mid = [float(key[4]) + 0.5 for key in inputs["china/exportable"]]
    # Nothing is exported before the first year a number is known for; after the last one the level stays.
    chips = np.where(at >= mid[0] - 0.5, np.interp(at, mid, drawn("exportable")), 0.0)
    return ChinaPaths(
        demand=float(drawn("unrestricted_share")[0]) * merchant,
        imports=imports[year] / 12,
        smuggled=drawn("smuggled")[year] / 12 * per_chip,
        domestic=drawn("domestic")[year] / 12,
        rented=level[year] + (level[year + 1] - level[year]) * into,
        exportable=chips / 12 * h100e_per_exported_chip,
        opening=(
            float(drawn("licensed_stock")[0]),
            float((drawn("smuggled_past") * per_past_chip).sum()),
            float(drawn("domestic_past").sum()),
        ),
        lag_days=float(drawn("lag")[0]),
    )


@lru_cache(maxsize=16)
def _calendar(months: tuple[date, ...]) -> tuple[Ints, Floats, Floats]:
    """(T,) of month ends: the year counted from the first one's, the share of it that is over, and both as a point in time."""
    year = np.array([day.year - months[0].year for day in months])
    into = np.array([(day.timetuple().tm_yday) / (366 if day.year % 4 == 0 else 365) for day in months])
    return year, into, np.array([day.year for day in months]) + into


class China(NamedTuple):
    """China's compute in one run. (T,), h100e: stocks at month ends, flows by month."""

    licensed: Floats
    diverted: Floats
    domestic: Floats
    rented: Floats
    stock: Floats
    """the sum of the four"""
    output: Floats
    """domestic output of the month"""
    exportable: Floats
    """of which exportable at most"""
    taken: Floats
    """US-design chips that reach China in the month, licensed or diverted: they are missing elsewhere"""
    taken_more: Floats
    """the same above history's, whose shipments the world's supply already contains: what a closed world supply has to find"""


def china(policy: ChinaPolicy, drawn: ChinaPaths) -> China:
    """China's stock by month, by equations 2 to 5 of the module."""
    history = np.where(np.isnan(drawn.imports), drawn.demand * policy.bought_in_history, drawn.imports * policy.season)
    licensed = licensed_imports(history, drawn.demand, policy.bought, policy.bought_in_history)
    diverted = drawn.smuggled * (policy.diversion if policy.on.diversion else 0.0)
    output = _output(policy, drawn)
    rented = drawn.rented if policy.on.renting else np.zeros_like(drawn.rented)
    had = drawn.opening
    stocks = (
        had[0] + np.cumsum(licensed),
        (had[1] if policy.on.diversion else 0.0) + np.cumsum(diverted),
        had[2] + np.cumsum(output),
        rented,
    )
    taken = licensed + diverted
    in_history = history + (drawn.smuggled if policy.on.diversion else 0.0)
    return China(
        *stocks,
        stock=stocks[0] + stocks[1] + stocks[2] + stocks[3],
        output=output,
        exportable=np.minimum(drawn.exportable, output),
        taken=taken,
        taken_more=taken - in_history,
    )


def licensed_imports(history: Floats, demand: Floats, bought: Floats, in_history: Floats) -> Floats:
    """Imports under a law that lets `bought` of `demand` through, where history's law let `in_history` through. All (T,)."""
    less = bought < in_history
    scaled = history * np.where(less, bought / np.where(less, in_history, 1.0), 1.0)
    return scaled + demand * np.maximum(bought - in_history, 0.0)


def _output(policy: ChinaPolicy, drawn: ChinaPaths) -> Floats:
    base = drawn.domestic
    if policy.on.stated_growth:
        since = np.maximum.accumulate(policy.growth != 0.0)
        first = int(np.argmax(since)) if since.any() else 0
        relative = base / base[first] if base[first] > 0 else np.ones_like(base)
        answered = base * np.where(since, relative**policy.growth, 1.0)
    elif policy.on.substitution:
        answered = base * (1.0 + policy.elasticity * lagged(policy.denied, len(base), drawn.lag_days))
    else:
        return base.copy()
    return np.minimum(answered, np.maximum(policy.ceiling, base))


def lagged(series: Floats, months: int, lag_days: float) -> Floats:
    """The last `months` values of a monthly series as they were `lag_days` before, interpolated; the first value before it begins."""
    at = np.arange(len(series) - months, len(series)) - lag_days / MONTH_DAYS
    return np.interp(at, np.arange(len(series)), series)


def china_ratio(stock: Floats, online: Floats) -> Floats:
    """China's stock over the four companies' compute online. (T,) each, h100e; nan where nothing is online."""
    return np.divide(stock, online, out=np.full(len(stock), np.nan), where=online > 0)


# ---- what only measuring reads ----------------------------------------------------------------------------------------------


class AfterRun(NamedTuple):
    """One replication's draws that are read when a finished run is measured; nothing here depends on policy."""

    unmet_share: Floats
    """(5,) where unmet demand abroad goes, in the order of `DESTINATIONS`; sums to one"""
    utilisation: float
    """share of the dense 16-bit peak that a training run uses"""
    goodput: float
    """share of time in which a run makes progress"""
    tflops: Floats
    """(A,) dense 16-bit peak of a chip, TFLOP/s; 0 where it is not known"""
    closed_years: Floats
    """(4,) points in time at which the largest closed model passes `CLOSED_MODELS`"""
    open_model_operations: float
    """training operations of the largest open-weight model"""
    server_years: float
    facility_years: float
    """economic life of servers and network, and of shells"""
    pue: Floats
    """(C,) annual energy of a facility over that of its IT"""
    national_usd: float
    """a company's cost of applying for an authorisation for one country"""

    def closed_model_passes(self, operations: float) -> float:
        """Point in time at which the largest closed model passes a number of operations: log-linear between the dates known, at
        the last pace after them. The first date stands for all smaller models."""
        known = np.log10(list(CLOSED_MODELS.values()))
        asked = float(np.log10(operations))
        if asked > known[-1]:
            pace = (self.closed_years[-1] - self.closed_years[-2]) / (known[-1] - known[-2])
            return float(self.closed_years[-1] + pace * (asked - known[-1]))
        return float(np.interp(asked, known, self.closed_years))


def _latest(world: World) -> str:
    """The last period for which the largest open model is stated."""
    return max(world.series("process", "largest_open_model_flop", "world"))


def peaks(world: World, accelerators: Sequence[str]) -> Floats:
    """(A,) dense 16-bit peak of a chip, TFLOP/s; 0 where it is not known."""
    peak = "dense_16bit_tflops"
    return np.array([world.number("accelerators", peak, a) if world.has("accelerators", peak, a) else 0.0 for a in accelerators])


def after_run(get: Callable[[str], Floats], tflops: Floats) -> AfterRun:
    """One replication's `AfterRun` from drawn inputs: those of `wanted`, and `facility_life` (years) and `pue` (C,); `tflops` as by
    `peaks`."""

    def one(name: str) -> float:
        return float(np.atleast_1d(get(name))[0])

    shares = np.asarray(get("unmet_demand_share"), dtype=np.float64)
    return AfterRun(
        unmet_share=shares / shares.sum(),
        utilisation=one("training_utilisation"),
        goodput=one("training_goodput"),
        tflops=tflops,
        # Drawn one by one, a larger model might come before a smaller one.
        closed_years=np.maximum.accumulate(np.asarray(get("closed_model_reaches"), dtype=np.float64)),
        open_model_operations=one("largest_open_model"),
        server_years=one("server_economic_life"),
        facility_years=one("facility_life"),
        pue=np.asarray(get("pue"), dtype=np.float64),
        national_usd=one("national_application") * 1e6,
    )


# ---- displacement and unmet demand ------------------------------------------------------------------------------------------


class Displacement(NamedTuple):
    """What moved between two runs of one replication, at equal dates. MW (or h100e, as given); shapes without the last axis."""

    gained: Floats
    lost: Floats
    """sums over destinations with more and with less; both positive"""
    net: Floats
    """gained - lost"""
    moved: Floats
    """the smaller of the two: found elsewhere at the same date; the rest of what is lost is missing everywhere"""


def displacement(change: Floats) -> Displacement:
    """Gains and losses by destination (last axis) of a change in capacity online, second run minus first."""
    gained, lost = np.maximum(change, 0.0).sum(axis=-1), np.maximum(-change, 0.0).sum(axis=-1)
    return Displacement(gained, lost, gained - lost, np.minimum(gained, lost))


def unmet_abroad(change: Floats, home: int) -> Floats:
    """Compute that is online abroad in the first run and not in the second, by destination. `change` (..., C), h100e."""
    abroad = np.maximum(-change, 0.0)
    return abroad.sum(axis=-1) - abroad[..., home]


def split_unmet(unmet: Floats, shares: Floats, exportable: Floats) -> Floats:
    """Unmet demand abroad (...,) by where it goes: (..., 5) in the order of `DESTINATIONS`, summing to it.

    `shares` (..., 5) are scaled to sum to one; Chinese vendors serve no more than they can have exported by the date (`exportable`
    (...,), cumulative), and what they cannot serve goes to the others in proportion. Raises ValueError for shares below zero
    or all zero.
    """
    total = shares.sum(axis=-1, keepdims=True)
    if shares.shape[-1] != len(DESTINATIONS) or (shares < 0).any() or (total <= 0).any():
        raise ValueError(f"{len(DESTINATIONS)} shares of at least zero, not all zero, not {shares.tolist()}")
    vendor, lost = DESTINATIONS.index("chinese_vendors"), DESTINATIONS.index("lost")
    share = shares / total
    served = np.minimum(unmet * share[..., vendor], np.maximum(exportable, 0.0))
    rest = share.copy()
    rest[..., vendor] = 0.0
    # Where nobody else is named, what cannot be exported is lost.
    rest[..., lost] = np.where(rest.sum(axis=-1) == 0, 1.0, rest[..., lost])
    parts = (unmet - served)[..., None] * (rest / rest.sum(axis=-1, keepdims=True))
    parts[..., vendor] = served
    return parts
