"""Back-test: the model begun on 1 January 2023, against what has become known since, beside a dumb baseline.

`backtest` plays `history` (licences from the model, the overlay of real grants off) twice over the same replications: with the
inputs as they were known on 31 December 2023 (the world continues the rest by its own rule), and with all values. The law is
history's in both: dates of law are part of the scenario, not of what is forecast.

`data/comparisons.csv` labels every row of `data/calibration.csv`, and the rows of other tables that a run can be held against:

- *output*: the run could have got it wrong. Counted.
- *input*: the run is fed with the number, or it follows from inputs by construction. Shown apart, no credit is taken.
- *not comparable*: the number is of something else; the reason says what.

A row can be an output in the first run and an input in the second: what was learnt after 2023 feeds only that one. "Inside" means
that the middle of the target lies between p10 and p90 of the replications; the error is log(median of the model / target).

**The dumb baseline** knows what was public on 31 December 2023, and nothing about sites, money or law:

- *Amounts* go on growing at one yearly rate: the amount at the end of 2022 times exp(g x years). g is the log growth of all makers'
  shipments, measured in the unit of the row (H100-equivalents, chips or MW of IT), from the quarters of 2022 to the same quarters of
  2023, over the quarters of 2023 that were public (the first three). Chips received in a year start from the chips held at the end
  of 2022, which were all received in that year; MW from the same chips at the power they draw; power added in a year, too.
- *Durations* are all the same: from ground-breaking to online every site takes the published construction time of the United
  States (`construction_days`, 600 days; a value of 2026 in place of the rule of thumb of 2023). Power under construction is the
  power added a year times that duration.

Its band, for the share of targets inside, has the relative width of the model's own: a constant factor either side of the number.

**Capacity three ways** (`implied`): what money, power and chips say a company added in 2023 to 2025, each from its own inputs at
their middle, against what its fleet grew by. Gaps beyond 30 % are explained in `data/capacity_gaps.csv`, not tuned away. Chips agree
with fleets by construction, because the shares bought are derived from the fleets' growth: the test is money and power.

**The parameter log** (`data/parameter_log.csv`) records each input changed after a first look at outcomes, with the evidence other
than the fit that speaks for it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.lives import NEVER, Rows, lives_of
from simulator.problems import InputProblems, Problem, nearest, shown
from simulator.resources import shipped
from simulator.sampling import BASE_YEAR, HOPS
from simulator.spillovers import China, china
from simulator.static import Ints, Route
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, PPM, TICKS_PER_DAY, facility_mw, h100e_ppm, tick_of
from simulator.world import BUYS, COMPANIES, FLEET_KINDS, TABLES, VENDORS, Value, World, period_bounds

if TYPE_CHECKING:
    from simulator.experiments import Run


START = date(2023, 1, 1)
LAST = date(2025, 12, 31)
"""Last day compared"""
KNOWN_ON = date(2023, 12, 31)
"""The day the labels of `data/comparisons.csv` and the baseline are written for."""
LABELS = ("output", "input", "not_comparable")
RUNS = ("as known on 2023-12-31", "all values")
LARGE_GAP = 0.30
WORST = 5
"""Misses named in a summary."""


# ---- What is compared with what ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A published number (or a sum of a company's numbers over kinds of chips), how each run stands to it, and what is measured.

    `labels` in the order of `RUNS`; `measure` is a key of `MEASURES` or empty, `of` says of what. low and high are the ends of the
    published range, None for a single number and for sums.
    """

    table: str
    entity: str
    parameter: str
    scope: str
    period: str
    unit: str
    low: float | None
    middle: float
    high: float | None
    labels: tuple[str, str]
    measure: str
    of: str
    reason: str

    @property
    def name(self) -> str:
        """How a table names it: `aws: H100-equivalents held, 2025-12-31`."""
        if not self.measure:
            return " ".join(part for part in (self.entity, self.parameter, self.scope, self.period) if part)
        title = MEASURES[self.measure].title.format(of=self.of, scope=self.scope, parameter=self.parameter)
        return f"{self.entity}: {title}" + (f", {self.period}" if self.period else "")

    @property
    def companies(self) -> tuple[str, ...]:
        """Whose number it is: one company, or all four."""
        return (self.entity,) if self.entity in COMPANIES else COMPANIES

    @property
    def last_day(self) -> date:
        """End of its period."""
        return period_bounds(self.period)[1]


COLUMNS = ("table", "entity", "parameter", "scope", "period", "all_values", "as_known", "measure", "of", "reason")


def _read(path: Path, header: Sequence[str], problems: list[Problem]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a small CSV file with their lines; a wrong header or a row of another length is a problem."""
    reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
    if next(reader, None) != list(header):
        problems.append(Problem(str(path), 1, "", f"the header must be {','.join(header)}"))
        return
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            problems.append(Problem(str(path), reader.line_num, "", f"has {len(row)} cells, {len(header)} are expected"))
            continue
        yield reader.line_num, dict(zip(header, row, strict=True))


def targets(world: World, path: Path | None = None) -> tuple[Target, ...]:
    """The rows of `data/comparisons.csv` with the numbers of a world that knows everything.

    A cell of a key may be `*` (any) or several words with `|`; a scope of `+` adds a company's values over scopes. Raises
    `InputProblems` if a row names nothing, if two rows name one value, or if a row of `calibration` is left without a label.
    """
    path = path or shipped("data") / "comparisons.csv"
    problems: list[Problem] = []
    found: list[Target] = []
    seen: dict[tuple[str, ...], int] = {}
    for line, row in _read(path, COLUMNS, problems):

        def complain(column: str, message: str, line: int = line) -> None:
            problems.append(Problem(str(path), line, column, message))

        for column in ("all_values", "as_known"):
            if row[column] not in LABELS:
                complain(
                    column, f"{shown(row[column])} is not allowed; use one of {', '.join(LABELS)}{nearest(row[column], LABELS)}"
                )
        if row["measure"] and row["measure"] not in MEASURES:
            complain("measure", f"{shown(row['measure'])} is not a measure of the back-test{nearest(row['measure'], MEASURES)}")
        if not row["measure"] and "output" in (row["all_values"], row["as_known"]):
            complain("measure", "is empty; an output needs to be measured")
        if not row["reason"].strip():
            complain("reason", "is empty; say why the row has its labels")
        if row["table"] not in TABLES:
            complain("table", f"no table {shown(row['table'])}{nearest(row['table'], TABLES)}")
            continue
        matched = [value for value in world.select(row["table"], parameter=None) if _matches(value, row)]
        if not matched:
            complain("parameter", "names no value of the table")
        for value in matched:
            if value.key in seen:
                complain("parameter", f"{value.label} is labelled on line {seen[value.key]} already")
            seen[value.key] = line
        labels = (row["as_known"], row["all_values"])
        for members in _grouped(matched, added=row["scope"] == "+"):
            first = members[0]
            single = len(members) == 1
            found.append(
                Target(
                    first.table, first.entity, first.parameter, first.scope if single else "", first.period, first.unit,
                    first.low if single else None, sum(value.number for value in members), first.high if single else None,
                    labels, row["measure"], row["of"], row["reason"],
                )
            )  # fmt: skip
    problems.extend(
        Problem(str(path), 0, value.parameter, f"{value.label} has no label; say whether it is an output")
        for value in world.select("calibration")
        if value.key not in seen
    )
    if problems:
        raise InputProblems(problems)
    return tuple(found)


def _matches(value: Value, row: dict[str, str]) -> bool:
    def one(word: str, pattern: str) -> bool:
        return pattern in ("*", "+") or word in pattern.split("|")

    return all(one(getattr(value, column), row[column]) for column in ("entity", "parameter", "scope", "period"))


def _grouped(values: Iterable[Value], added: bool) -> list[list[Value]]:
    """Each value alone, or those of one entity, parameter and period together."""
    groups: dict[tuple[str, ...], list[Value]] = {}
    for value in values:
        groups.setdefault((value.entity, value.parameter, value.period) if added else value.key, []).append(value)
    return list(groups.values())


# ---- What a run says -----------------------------------------------------------------------------------------------------


class Played:
    """One run, asked in the units of the targets. Days count to their end."""

    def __init__(self, run: Run):
        self.static, self.draws = run.compiled.static, run.draws
        self.rows = Rows(run.log)
        self.sites, self.phases, self.place = lives_of(self.static, self.draws, self.rows)
        self.kind_of = np.array([_kind(vendor) for vendor in self.static.vendors])[self.static.vendor_of]
        """(A,) kind of chip, as in `data/fleets.csv`"""

    def begin(self, day: date) -> int:
        """The tick at which a day begins."""
        return tick_of(day, self.static.start)

    def after(self, day: date) -> int:
        """The tick at which a day is over."""
        return self.begin(day + timedelta(days=1))

    def who(self, names: Iterable[str]) -> list[int]:
        """Indices of companies."""
        wanted = set(names)
        return [k for k, company in enumerate(self.static.companies) if company in wanted]

    def held(self, day: date) -> Ints:
        """(K, A) chips a company has received, running or not."""
        chips = self.draws.fleet_chips.sum(axis=1) + self.draws.opening_stock + self.draws.under_way
        return chips + self.received(self.static.start, day)

    def received(self, first: date, last: date) -> Ints:
        """(K, A) chips delivered from the first day to the last."""
        at = self.rows.of(Stage.CHIPS, Mark.DELIVERED)
        at = at[(self.rows.tick[at] >= self.begin(first)) & (self.rows.tick[at] < self.after(last))]
        chips = np.zeros((len(self.static.companies), len(self.static.accelerators)), dtype=np.int64)
        np.add.at(chips, (self.rows.company(at), self.rows.pool[at]), self.rows.quantity[at])
        return chips

    def running(self, day: date) -> Ints:
        """(K, A) chips online."""
        chips = self.draws.fleet_chips.sum(axis=1)
        at = self.rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
        at = at[self.phases.online[self.place[self.rows.unit[at]]] < self.after(day)]
        np.add.at(chips, (self.draws.company[self.rows.root[at]], self.rows.pool[at]), self.rows.quantity[at])
        return chips

    def gigawatts(self, mw16: Ints) -> float:
        """Sixteenths of a MW of IT as GW at the grid connection."""
        return facility_mw(float(mw16.sum()) / MW_SIXTEENTHS, self.draws.design_ratio_ppm / PPM) / 1000

    @cached_property
    def china(self) -> China:
        """China's compute by month."""
        if self.static.china is None or self.draws.china is None:
            raise ValueError("the run has no inputs for China")
        return china(self.static.china, self.draws.china)

    def month(self, day: date) -> int:
        """Index of the month of a day."""
        return (day.year - self.static.start.year) * 12 + day.month - self.static.start.month


def _kind(vendor: str) -> str:
    """The kind of chip of `data/fleets.csv` that a vendor makes."""
    return vendor if vendor in ("nvidia", "amd") else "custom"


def _h100e_held(played: Played, target: Target) -> float:
    chips = played.held(target.last_day)[played.who(target.companies)].sum(axis=0)
    return float(chips @ played.static.h100e_ppm) / PPM


def _chips_received(played: Played, target: Target) -> float:
    chips = played.received(*period_bounds(target.period))[played.who(target.companies)].sum(axis=0)
    static, wanted = played.static, target.of.split("+")
    of_vendor = np.array([static.vendors[v] in wanted for v in static.vendor_of.tolist()])
    return float(chips[of_vendor | np.isin(static.accelerators, wanted)].sum())


def _it_mw_online(played: Played, target: Target) -> float:
    chips = played.running(target.last_day)[played.who(target.companies)].sum(axis=0)
    return float(np.where(played.kind_of == target.scope, chips, 0) @ played.static.watts) / 1e6


def _h100e_per_mw_online(played: Played, target: Target) -> float:
    first, last = period_bounds(target.period)
    added = (played.running(last) - played.running(first - timedelta(days=1))).sum(axis=0)
    mw = float(added @ played.static.watts) / 1e6
    return float(added @ played.static.h100e_ppm) / PPM / mw if mw > 0 else math.nan


def _facility_gw_added(played: Played, target: Target) -> float:
    first, last = period_bounds(target.period)
    online = (played.phases.online >= played.begin(first)) & (played.phases.online < played.after(last))
    return played.gigawatts(played.phases.online_mw16[online & np.isin(played.phases.company, played.who(target.companies))])


def _facility_gw_under_construction(played: Played, target: Target) -> float:
    """Phases of sites that have broken ground whose shells are not finished, sites given up left out."""
    until, phases = played.after(target.last_day), played.phases
    building = (played.sites.ground_breaking[phases.site] < until) & (phases.shell_ready >= until) & (phases.ended >= until)
    return played.gigawatts(phases.mw16[building & np.isin(phases.company, played.who(target.companies))])


def _days_to_online(played: Played, companies: Iterable[str], routes: Iterable[int], last: date) -> float:
    """Median over sites in the United States, by completion: from ground-breaking to the first phase online."""
    sites = played.sites
    online = np.full(len(sites.planned), NEVER)
    np.minimum.at(online, played.phases.site, played.phases.online)
    inside = (online >= 0) & (online < played.after(last)) & (sites.ground_breaking < NEVER)
    inside &= (sites.country == played.static.home) & np.isin(sites.company, played.who(companies))
    inside &= np.isin(np.repeat(played.draws.route, HOPS), list(routes))
    return float(np.median((online - sites.ground_breaking)[inside])) / TICKS_PER_DAY if inside.any() else math.nan


def _days_ground_breaking_to_online(played: Played, target: Target) -> float:
    return _days_to_online(played, COMPANIES, (Route[target.of.upper()],), LAST)


def _months_ground_breaking_to_online(played: Played, target: Target) -> float:
    return _days_to_online(played, target.of.split("+"), Route, target.last_day) / DAYS_PER_YEAR * 12


def _licence_days(played: Played, target: Target) -> float:
    """Mean over the applications of the four decided in the period, from filing to decision. A company has one open a country."""
    first, last = period_bounds(target.period)
    rows = played.rows
    marks = (Mark.FILED, Mark.APPROVED, Mark.DENIED, Mark.RETURNED)
    at = np.sort(np.concatenate([rows.of(Stage.LICENCE_REVIEW, mark) for mark in marks]))
    filed: dict[tuple[int, int], int] = {}
    waits = []
    for tick, root, pool, mark in zip(
        rows.tick[at].tolist(), rows.root[at].tolist(), rows.pool[at].tolist(), rows.log["mark"][at].tolist(), strict=True
    ):
        if mark == Mark.FILED:
            filed[root, pool] = tick
        elif (since := filed.pop((root, pool), None)) is not None and played.begin(first) <= tick < played.after(last):
            waits.append(tick - since)
    return float(np.mean(waits)) / TICKS_PER_DAY if waits else math.nan


def _china_licensed(played: Played, target: Target) -> float:
    return float(played.china.licensed[played.month(target.last_day)])


def _china_domestic_output(played: Played, target: Target) -> float:
    first, last = period_bounds(target.period)
    return float(played.china.output[played.month(first) : played.month(last) + 1].sum())


def _china_stock_legal(played: Played, target: Target) -> float:
    month = played.month(target.last_day)
    return float(played.china.licensed[month] + played.china.domestic[month])


# ---- The dumb baseline ---------------------------------------------------------------------------------------------------


class Trend:
    """What the baseline rests on: growth of shipments as public on `KNOWN_ON`, fleets at the end of 2022, one duration."""

    def __init__(self, world: World):
        self.world = world
        last = {vendor: self._known(vendor) for vendor in VENDORS}
        quarters = sorted(set.intersection(*map(set, last.values())))
        self.quarters = tuple(q for q in quarters if q[:4] == str(KNOWN_ON.year))
        """quarters of the year that were public"""
        self.growth = {unit: self._growth(unit) for unit in ("h100e", "chips", "mw")}
        """yearly log growth"""
        self.days = world.number("countries", "construction_days", "USA")
        self.design_ratio = world.number("process", "power_design_ratio")
        self.end = START - timedelta(days=1)

    def _known(self, vendor: str) -> list[str]:
        return [q for q, value in self.world.series("supply", "shipped_h100e", vendor).items() if value.known_from <= KNOWN_ON]

    def _growth(self, unit: str) -> float:
        def total(year: int) -> float:
            return sum(
                shipped_in(self.world, vendor, f"{year}{quarter[4:]}", unit) for vendor in VENDORS for quarter in self.quarters
            )

        return math.log(total(KNOWN_ON.year) / total(KNOWN_ON.year - 1))

    def ahead(self, amount: float, unit: str, to: date | str) -> float:
        """An amount of the end of 2022 (or of that year) at a day (or in a year)."""
        years = int(to) - self.end.year if isinstance(to, str) else (to - self.end).days / DAYS_PER_YEAR
        return amount * math.exp(self.growth[unit] * years)

    def held(self, company: str, kinds: Sequence[str] = FLEET_KINDS) -> float:
        """h100e held at the end of 2022."""
        return sum(self.world.number("fleets", "h100e_held", company, kind, self.end.isoformat()) for kind in kinds)

    def mw(self, company: str, kinds: Sequence[str] = FLEET_KINDS) -> float:
        """MW of IT of the same chips: of the mix that their vendor shipped in 2022."""
        total = 0.0
        for vendor in VENDORS:
            kind = _kind(vendor)
            if company in BUYS[vendor] and kind in kinds:
                year = [f"{self.end.year}Q{quarter}" for quarter in (1, 2, 3, 4)]
                h100e = sum(shipped_in(self.world, vendor, quarter, "h100e") for quarter in year)
                mw = sum(shipped_in(self.world, vendor, quarter, "mw") for quarter in year)
                total += self.held(company, [kind]) * mw / h100e if h100e > 0 else 0.0
        return total


def shipped_in(world: World, vendor: str, quarter: str, unit: str) -> float:
    """What a vendor shipped in a quarter, at the middle of the inputs: in h100e, chips, MW of IT or USD."""
    h100e = world.number("supply", "shipped_h100e", vendor, period=quarter)
    if unit == "h100e":
        return h100e
    each = {"chips": None, "mw": "it_power_w", "usd": "price_usd"}[unit]
    total = 0.0
    for share in world.select("supply", vendor, "generation_share"):
        if share.period == quarter:
            per_chip = h100e_ppm(world.number("accelerators", "dense_8bit_tops", share.scope)) / PPM
            total += h100e * share.number / per_chip * (1.0 if each is None else world.number("accelerators", each, share.scope))
    return total / 1e6 if unit == "mw" else total


def _trend_h100e(trend: Trend, target: Target) -> float:
    return trend.ahead(sum(map(trend.held, target.companies)), "h100e", target.last_day)


def _trend_chips(trend: Trend, target: Target) -> float:
    of = target.of.split("+")
    kind = _kind(of[0]) if of[0] in VENDORS else "nvidia"
    base = trend.world.number("fleets", "units_held", target.entity, kind, trend.end.isoformat())
    return trend.ahead(base, "chips", target.period)


def _trend_mw(trend: Trend, target: Target) -> float:
    return trend.ahead(trend.mw(target.entity, [target.scope]), "mw", target.last_day)


def _trend_per_mw(trend: Trend, target: Target) -> float:
    h100e, mw = sum(map(trend.held, COMPANIES)), sum(map(trend.mw, COMPANIES))
    return trend.ahead(h100e, "h100e", target.period) / trend.ahead(mw, "mw", target.period)


def _trend_facility_gw(trend: Trend, target: Target) -> float:
    return facility_mw(trend.ahead(trend.mw(target.entity), "mw", target.period[:4]), trend.design_ratio) / 1000


def _china_known(trend: Trend, parameter: str, period: str) -> float:
    return trend.world.number("supply", parameter, "china", period=period)


class Measure(NamedTuple):
    """How a target is measured: words with their unit, what a run says, and what the baseline says (None for inputs only)."""

    title: str
    of_run: Callable[[Played, Target], float]
    of_trend: Callable[[Trend, Target], float] | None


MEASURES: dict[str, Measure] = {
    "h100e_held": Measure("H100-equivalents held", _h100e_held, _trend_h100e),
    "chips_received": Measure("chips received ({of})", _chips_received, _trend_chips),
    "it_mw_online": Measure("MW of IT online ({scope} chips)", _it_mw_online, _trend_mw),
    "h100e_per_mw_online": Measure("H100-equivalents a MW of IT added", _h100e_per_mw_online, _trend_per_mw),
    "facility_gw_added": Measure("GW of power added", _facility_gw_added, _trend_facility_gw),
    "facility_gw_under_construction": Measure(
        "GW under construction",
        _facility_gw_under_construction,
        lambda trend, target: _trend_facility_gw(trend, target) * trend.days / DAYS_PER_YEAR,
    ),
    "days_ground_breaking_to_online": Measure(
        "days ground-breaking to online ({of})", _days_ground_breaking_to_online, lambda trend, target: trend.days
    ),
    "months_ground_breaking_to_online": Measure(
        "months ground-breaking to online",
        _months_ground_breaking_to_online,
        lambda trend, target: trend.days / DAYS_PER_YEAR * 12,
    ),
    "licence_days": Measure("days of licence review ({parameter})", _licence_days, None),
    "china_licensed": Measure(
        "H100-equivalents imported, stock",
        _china_licensed,
        lambda trend, target: trend.ahead(_china_known(trend, "licensed_stock_h100e", "2022-12-31"), "h100e", target.last_day),
    ),
    "china_domestic_output": Measure(
        "H100-equivalents made in the year",
        _china_domestic_output,
        lambda trend, target: trend.ahead(_china_known(trend, "domestic_output_h100e", "2022"), "h100e", target.period),
    ),
    "china_stock_legal": Measure(
        "H100-equivalents imported or made, stock",
        _china_stock_legal,
        lambda trend, target: trend.ahead(
            _china_known(trend, "licensed_stock_h100e", "2022-12-31") + _china_known(trend, "domestic_output_h100e", "2022"),
            "h100e",
            target.last_day,
        ),
    ),
}


# ---- The back-test -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One target in one run. Numbers in the target's unit; None where nothing is measured.

    `share_reached` is the part of the replications that have a value; `log_error` is None where the model's median is 0, which is
    outside any band. The baseline stands beside outputs only.
    """

    run: str
    target: Target
    label: str
    p10: float | None
    p50: float | None
    p90: float | None
    share_reached: float
    inside: bool | None
    log_error: float | None
    baseline: float | None
    baseline_inside: bool | None
    baseline_log_error: float | None


@dataclass(frozen=True)
class Summary:
    """The outputs of one run in numbers. Errors are means of |log(number / target)| over the rows in which both have one."""

    run: str
    outputs: int
    inside: int
    baseline_inside: int
    rows_with_errors: int
    mean_error: float
    baseline_mean_error: float
    closer: int
    """rows in which the model is closer to the target than the baseline"""
    worst: tuple[Compared, ...] = field(repr=False)


@dataclass(frozen=True)
class Backtest:
    """Both runs against every target, and capacity three ways."""

    start: date
    end: date
    known_on: date
    seed: int
    replications: int
    rows: tuple[Compared, ...] = field(repr=False)
    summaries: tuple[Summary, ...]
    gaps: tuple[Gap, ...] = field(repr=False)
    trend: dict[str, float]
    """the baseline's yearly log growth by unit"""
    later_inputs: int
    """values that the first run uses although they became known after its date"""


def backtest(
    world_full: World,
    world_known: World,
    replications: int = 40,
    seed: int = 1,
    on_step: Callable[[int, int], None] | None = None,
    *,
    end: date | None = None,
) -> Backtest:
    """Play `history` from 2023 with both worlds and compare. `on_step(done, of)` counts runs, two a replication.

    `end` shortens the runs (not before the end of 2025, the last day compared); left out, they run to the scenario's own end,
    because what a company does with a stopped site depends on how long it may still be used. Raises ValueError for a world that is
    not known as of the day the labels are written for, and for an earlier `end`.
    """
    from simulator.compile import compile_scenario
    from simulator.experiments import run
    from simulator.scenario import load_scenario

    if world_full.as_known_on is not None or world_known.as_known_on != KNOWN_ON:
        raise ValueError(f"a world with all values and one as known on {KNOWN_ON} are expected")
    if end is not None and end < LAST:
        raise ValueError(f"targets reach to {LAST}; {end} is too early an end")
    if replications < 1:
        raise ValueError(f"replications must be a whole number of at least 1, not {replications!r}")
    changes = [f"start={START}", "policy.grants_overlay=false", *([f"end={end}"] if end else [])]
    scenario = load_scenario("history", (), tuple(changes))
    wanted = targets(world_full)
    measured = [target for target in wanted if target.measure]
    trend = Trend(world_full)
    rows: list[Compared] = []
    done = 0
    for name, world in zip(RUNS, (world_known, world_full), strict=True):
        compiled = compile_scenario(scenario, world)
        values = np.empty((replications, len(measured)))
        for replication in range(replications):
            played = Played(run(compiled, seed, replication))
            values[replication] = [MEASURES[target.measure].of_run(played, target) for target in measured]
            done += 1
            if on_step:
                on_step(done, len(RUNS) * replications)
        by_target = {id(target): values[:, i] for i, target in enumerate(measured)}
        rows += [_compared(name, target, by_target.get(id(target)), trend) for target in wanted]
    summaries = tuple(_summary(name, [row for row in rows if row.run == name]) for name in RUNS)
    return Backtest(
        START, scenario.end, KNOWN_ON, seed, replications, tuple(rows), summaries, implied(world_full), trend.growth,
        len(world_known.later_inputs),
    )  # fmt: skip


def _compared(run: str, target: Target, drawn: Floats | None, trend: Trend) -> Compared:
    label = target.labels[RUNS.index(run)]
    found = np.empty(0) if drawn is None or label == "not_comparable" else drawn[np.isfinite(drawn)]
    if drawn is None or not len(found):
        missed = False if label == "output" else None
        return Compared(run, target, label, None, None, None, 0.0, missed, None, None, None, None)
    p10, p50, p90 = (float(q) for q in np.quantile(found, (0.1, 0.5, 0.9)))
    inside, error = p10 <= target.middle <= p90, _log_error(p50, target.middle)
    base = base_inside = base_error = None
    rule = MEASURES[target.measure].of_trend
    if label == "output" and rule is not None:
        base = rule(trend, target)
        base_error = _log_error(base, target.middle)
        base_inside = p50 > 0 and base * p10 / p50 <= target.middle <= base * p90 / p50
    share = len(found) / len(drawn)
    return Compared(run, target, label, p10, p50, p90, share, inside, error, base, base_inside, base_error)


def _log_error(number: float, target: float) -> float | None:
    return math.log(number / target) if number > 0 and target > 0 else None


def _summary(run: str, rows: Sequence[Compared]) -> Summary:
    outputs = [row for row in rows if row.label == "output"]
    pairs = [
        (abs(row.log_error), abs(row.baseline_log_error))
        for row in outputs
        if row.log_error is not None and row.baseline_log_error is not None
    ]
    worst = sorted(outputs, key=lambda row: -math.inf if row.log_error is None else -abs(row.log_error))
    return Summary(
        run,
        len(outputs),
        sum(bool(row.inside) for row in outputs),
        sum(bool(row.baseline_inside) for row in outputs),
        len(pairs),
        sum(model for model, _ in pairs) / max(len(pairs), 1),
        sum(base for _, base in pairs) / max(len(pairs), 1),
        sum(model < base for model, base in pairs),
        tuple(worst[:WORST]),
    )


# ---- Capacity three ways -------------------------------------------------------------------------------------------------


class Gap(NamedTuple):
    """What one source says a company added in a year (or over several), against what its fleet grew by."""

    company: str
    year: str
    source: str
    """money, chips, or power"""
    mw: float
    """MW of IT it implies"""
    h100e: float
    """H100-equivalents it implies"""
    fleet_h100e: float
    """growth of the fleet, of the kinds of chips the source covers"""

    @property
    def gap(self) -> float:
        """Implied over grown, less one."""
        return self.h100e / self.fleet_h100e - 1


class Bought(NamedTuple):
    """A company's chips of a period, at the middle of the inputs."""

    h100e: float
    mw: float
    usd: float


def implied(world: World) -> tuple[Gap, ...]:
    """Capital spending -> MW -> H100-equivalents against additions to fleets in 2023 to 2025, by company; no simulation.

    All inputs at their middle. *Money*: the AI part of the year's capital spending, in USD of 2025, over the cost of a MW (chips the
    company received that year with servers and network, and own shells), times H100-equivalents a MW of those chips. *Chips*:
    shipments times share bought. *Power*: the reported power added in 2025 over the design ratio (all uses), and over the three years
    the estimated IT load of AI chips at the end of 2025 less that of the fleet at the end of 2022, both times the same ratio.
    """
    trend, found = Trend(world), []
    for company in COMPANIES:
        bought = {year: _bought(world, company, [year], FLEET_KINDS) for year in ("2023", "2024", "2025")}
        for year, chips in bought.items():
            grown = _grown(world, company, f"{int(year) - 1}-12-31", f"{year}-12-31", FLEET_KINDS)
            each = chips.h100e / chips.mw
            mw = _ai_budget(world, company, int(year)) / cost_per_mw(world, company, int(year), chips)
            found += [
                Gap(company, year, "money", mw, mw * each, grown),
                Gap(company, year, "chips", chips.mw, chips.h100e, grown),
            ]
            if world.has("companies", "power_added", company, period=year):
                added = world.number("companies", "power_added", company, period=year) * 1000 / trend.design_ratio
                found.append(Gap(company, year, "power", added, added * each, grown))
        kinds = [kind for kind in FLEET_KINDS if world.has("companies", "ai_it_power", company, kind, "2025-12-31")]
        load = sum(world.number("companies", "ai_it_power", company, kind, "2025-12-31") for kind in kinds)
        chips = _bought(world, company, list(bought), kinds)
        mw = load - trend.mw(company, kinds)
        grown = _grown(world, company, "2022-12-31", "2025-12-31", kinds)
        found.append(Gap(company, "2023/2025", "power", mw, mw * chips.h100e / chips.mw, grown))
    return tuple(found)


def _grown(world: World, company: str, first: str, last: str, kinds: Sequence[str]) -> float:
    def held(on: str) -> float:
        return sum(world.number("fleets", "h100e_held", company, kind, on) for kind in kinds)

    return held(last) - held(first)


def _bought(world: World, company: str, years: Sequence[str], kinds: Sequence[str]) -> Bought:
    totals = dict.fromkeys(("h100e", "mw", "usd"), 0.0)
    for vendor in VENDORS:
        if company not in BUYS[vendor] or _kind(vendor) not in kinds:
            continue
        for year in years:
            share = world.number("supply", "share_bought", company, vendor, year)
            for unit in totals:
                totals[unit] += share * sum(shipped_in(world, vendor, f"{year}Q{quarter}", unit) for quarter in (1, 2, 3, 4))
    return Bought(**totals)


def _ai_budget(world: World, company: str, year: int) -> float:
    """USD of the base year."""
    money = world.number("companies", "capex_total", company, period=str(year)) * 1e9
    share = world.number("companies", "share_capex_ai", company, period=str(year))
    return money * share / (1 + world.number("process", "inflation")) ** (year - BASE_YEAR)


def cost_per_mw(world: World, company: str, year: int, chips: Bought) -> float:
    """USD a MW of IT costs a company: its chips with servers and network, and the shells it builds itself."""
    beside = world.number("costs", "network_share_of_it_capex") + world.number("costs", "server_share_of_it_capex")
    chip_share = max(1 - beside, world.number("process", "smallest_chip_share_of_it_capex"))
    leased = world.at("companies", "route_share", date(year, 7, 1), company, "leased").number
    return chips.usd / chip_share / chips.mw + (1 - leased) * world.number("costs", "capex_construction") * 1e6


class Explained(NamedTuple):
    """Why one source and the fleet differ by more than 30 %."""

    company: str
    year: str
    source: str
    gap: float
    reason: str
    source_url: str


def explanations(path: Path | None = None) -> tuple[Explained, ...]:
    """The rows of `data/capacity_gaps.csv`. Raises `InputProblems` for a gap that is no number and a row without reason."""
    path = path or shipped("data") / "capacity_gaps.csv"
    problems: list[Problem] = []
    found = []
    for line, row in _read(path, Explained._fields, problems):
        try:
            gap = float(row["gap"])
        except ValueError:
            gap = math.nan
        if not math.isfinite(gap):
            problems.append(Problem(str(path), line, "gap", f"{shown(row['gap'])} is not a number; 0.35 is 35 % above the fleet"))
        if not row["reason"].strip():
            problems.append(Problem(str(path), line, "reason", "is empty; say why the two differ"))
        found.append(Explained(row["company"], row["year"], row["source"], gap, row["reason"], row["source_url"]))
    if problems:
        raise InputProblems(problems)
    return tuple(found)


# ---- The parameter log ---------------------------------------------------------------------------------------------------


class ParameterChange(NamedTuple):
    """An input changed after a first look at outcomes: when, what, from and to, and the evidence other than the fit."""

    date: date
    table: str
    parameter: str
    entity: str
    scope: str
    old: str
    new: str
    evidence: str
    reason: str


def parameter_log(world: World, path: Path | None = None) -> tuple[ParameterChange, ...]:
    """The rows of `data/parameter_log.csv`, oldest first.

    A value is written as its middle (`600`) or with its range (`425/600/760`), a text as it stands; table `regimes` names a leaf of a
    regime (entity = the regime's id). Raises `InputProblems` for a row that names no input of the world, whose new value is not
    among those in force (unless a later row changed it again), that changes nothing, or that states no evidence or reason.
    """
    path = path or shipped("data") / "parameter_log.csv"
    problems: list[Problem] = []
    found: list[tuple[int, ParameterChange]] = []
    for line, row in _read(path, ParameterChange._fields, problems):
        try:
            day = date.fromisoformat(row["date"])
        except ValueError:
            problems.append(Problem(str(path), line, "date", f"{shown(row['date'])} is not a date like 2026-11-23"))
            continue
        found.append((line, ParameterChange(day, *(row[name] for name in ParameterChange._fields[1:]))))
    found.sort(key=lambda numbered: (numbered[1].date, numbered[0]))
    last = {change[1:5]: line for line, change in found}
    for line, change in found:

        def complain(column: str, message: str, line: int = line) -> None:
            problems.append(Problem(str(path), line, column, message))

        in_force = _in_force(world, change, complain)
        if in_force is not None and last[change[1:5]] == line and not any(change.new in written for written in in_force):
            known = ", ".join(written[0] for written in in_force[:6])
            complain("new", f"{shown(change.new)} is not the value in force ({known}); was it changed again?")
        if change.old == change.new:
            complain("new", "is the old value; the row changes nothing")
        for column in ("old", "new", "evidence", "reason"):
            if not getattr(change, column).strip():
                complain(column, "is empty")
    if problems:
        raise InputProblems(problems)
    return tuple(change for _, change in found)


def _in_force(world: World, change: ParameterChange, complain: Callable[[str, str], None]) -> list[tuple[str, ...]] | None:
    """The values an input has today, one a period, each in the ways it may be written; None if there is no such input."""
    if change.table == "regimes":
        from simulator.controls import load_all

        regimes = load_all()
        if change.entity not in regimes:
            complain("entity", f"{shown(change.entity)} is not a regime{nearest(change.entity, regimes)}")
            return None
        leaves = regimes[change.entity].leaves
        if change.parameter not in leaves:
            complain(
                "parameter", f"{shown(change.parameter)} is not a leaf of {change.entity}{nearest(change.parameter, leaves)}"
            )
            return None
        return [(str(leaf.value),) for _, leaf in leaves[change.parameter].steps]
    if change.table not in TABLES:
        complain("table", f"no table {shown(change.table)}{nearest(change.table, (*TABLES, 'regimes'))}")
        return None
    values = world.select(change.table, change.entity, change.parameter, change.scope)
    if not values:
        names = world.parameters(change.table)
        where = f"{change.entity} {change.parameter} {change.scope}".strip()
        complain("parameter", f"{change.table} has no {where}{nearest(change.parameter, names)}")
        return None
    return [_written(value) for value in values]


def _written(value: Value) -> tuple[str, ...]:
    if value.mode is None:
        return (value.text or "",)
    if value.low is None or value.high is None:
        return (f"{value.mode:.10g}",)
    return (f"{value.mode:.10g}", f"{value.low:.10g}/{value.mode:.10g}/{value.high:.10g}")


# ---- In words ------------------------------------------------------------------------------------------------------------

WHICH = {RUNS[0]: "INPUTS AS KNOWN ON 31 DECEMBER 2023", RUNS[1]: "ALL VALUES, LATER ONES INCLUDED"}


def _short(number: float | None) -> str:
    """Three digits, with k and m."""
    if number is None:
        return "-"
    for size, letter in ((1e6, "m"), (1e3, "k")):
        if abs(number) >= 10 * size or (letter == "m" and abs(number) >= size):
            return f"{float(f'{number / size:.3g}'):g}{letter}"
    return f"{float(f'{number:.3g}'):,g}"


def _error(number: float | None) -> str:
    return "-" if number is None else f"{number:+.2f}"


def _table(rows: Sequence[Compared], beside: bool) -> list[str]:
    """Lines of a table, with the baseline's columns if it is to stand beside."""
    wide = max((len(row.target.name) for row in rows), default=0) + 1
    head = f"{'':{wide}}{'target':>9}{'p10':>9}{'p50':>9}{'p90':>9}  {'':8}{'log error':>10}"
    page = [head + (f"{'baseline':>10}{'log error':>10}" if beside else "")]
    for row in rows:
        place = "" if row.inside is None else "inside" if row.inside else "outside"
        numbers = "".join(f"{_short(number):>9}" for number in (row.target.middle, row.p10, row.p50, row.p90))
        line = f"{row.target.name:{wide}}{numbers}  {place:8}{_error(row.log_error):>10}"
        line += f"{_short(row.baseline):>10}{_error(row.baseline_log_error):>10}" if beside else ""
        page.append(line + (f"  (in {row.share_reached:.0%} of the replications)" if row.share_reached < 1 else ""))
    return page


def _reasons(rows: Iterable[Compared]) -> Iterator[str]:
    """One line a reason: which rows it stands for, and what they are in the two runs."""
    groups: dict[tuple[tuple[str, str], str], list[Target]] = {}
    for target in dict.fromkeys(row.target for row in rows):
        groups.setdefault((target.labels, target.reason), []).append(target)
    for (labels, reason), members in groups.items():
        names = ", ".join(dict.fromkeys(f"{target.entity} {target.parameter}" for target in members))
        how = labels[0] if labels[0] == labels[1] else f"{labels[0]}, then {labels[1]}"
        yield f"  {names} ({len(members)}; {how.replace('_', ' ')}): {reason}"


def lines(found: Backtest) -> list[str]:
    """The back-test as a page of plain text: each run with outputs, summary and inputs, why rows are labelled so, capacity three ways."""
    page = [
        f"Back-test: history from {found.start} to {found.end}, {found.replications} replications of seed {found.seed}.",
        "inside: the target lies between p10 and p90 of the model. log error: log(p50 / target); 0.69 is a factor of two.",
        f"Baseline: what was there at the end of 2022 goes on growing (a year: {_rates(found.trend)}),",
        "every site takes the published construction time of the United States; it knows nothing else.",
    ]
    for name in RUNS:
        rows = [row for row in found.rows if row.run == name]
        page += ["", WHICH[name]]
        if name == RUNS[0]:
            page.append(
                f"{found.later_inputs} inputs have no earlier value: they are used although they became known later, with wider ranges "
                "(building times, grid waits and costs among them)."
            )
        page += ["", "Outputs: what the run could have got wrong"]
        page += _table([row for row in rows if row.label == "output"], beside=True)
        page += ["", *_said(next(summary for summary in found.summaries if summary.run == name))]
        page += ["", "Inputs, or what follows from them: shown, not counted"]
        page += _table([row for row in rows if row.label == "input" and row.p50 is not None], beside=False)
    page += ["", "Why rows are labelled as they are (number of rows; label as known in 2023, then with all values)"]
    return [*page, *_reasons(found.rows), "", *gap_lines(found.gaps)]


def _rates(trend: dict[str, float]) -> str:
    names = {"h100e": "H100-equivalents", "chips": "chips", "mw": "MW"}
    return ", ".join(f"{names[unit]} x{math.exp(growth):.2f}" for unit, growth in trend.items())


def _said(summary: Summary) -> list[str]:
    """A summary in sentences."""
    n = summary.outputs
    said = [
        f"{summary.inside} of {n} outputs lie inside p10 to p90, where four fifths are expected of a model that knows how much it "
        f"does not know; a band as wide around the baseline holds {summary.baseline_inside}."
    ]
    if summary.rows_with_errors:
        said.append(
            f"Mean absolute log error {summary.mean_error:.2f} (a factor of {math.exp(summary.mean_error):.1f}), baseline "
            f"{summary.baseline_mean_error:.2f} ({math.exp(summary.baseline_mean_error):.1f}); the model is closer in "
            f"{summary.closer} of {summary.rows_with_errors} rows. Rows of one company share their errors: these are few independent facts."
        )
    misses = [row for row in summary.worst if not row.inside]
    if misses:
        worst = "; ".join(
            f"{row.target.name} {_short(row.p50)} for {_short(row.target.middle)}"
            if row.p50 is not None
            else f"{row.target.name}: none"
            for row in misses
        )
        said.append(f"Worst misses: {worst}.")
    return said


def gap_lines(gaps: Sequence[Gap]) -> list[str]:
    """Capacity three ways as text, each gap beyond 30 % with its explanation."""
    why = {(row.company, row.year, row.source): row for row in explanations()}
    page = [
        "Capacity three ways, inputs at their middle: what each source implies a company added, against the growth of its fleet",
        "(chips agree by construction: shares bought are derived from the fleets; the test is money and power)",
        f"{'company':12}{'year':11}{'source':8}{'MW of IT':>10}{'h100e':>10}{'fleet':>10}{'gap':>8}",
    ]
    for gap in gaps:
        row = f"{gap.company:12}{gap.year:11}{gap.source:8}{gap.mw:10,.0f}{_short(gap.h100e):>10}{_short(gap.fleet_h100e):>10}{gap.gap:+8.0%}"
        page.append(row)
        if abs(gap.gap) > LARGE_GAP:
            explained = why.get((gap.company, gap.year, gap.source))
            page.append(f"    {explained.reason if explained else 'not explained yet: see data/capacity_gaps.csv'}")
    return page


def as_record(found: Backtest) -> dict[str, object]:
    """The back-test as one object for JSON: `rows` has one flat record a target and run, numbers in the target's unit, None where
    there is none."""
    why = {(row.company, row.year, row.source): row.reason for row in explanations()}
    return {
        "start": found.start.isoformat(),
        "end": found.end.isoformat(),
        "known_on": found.known_on.isoformat(),
        "seed": found.seed,
        "replications": found.replications,
        "later_inputs": found.later_inputs,
        "baseline_log_growth": found.trend,
        "summaries": [{**asdict(summary), "worst": [row.target.name for row in summary.worst]} for summary in found.summaries],
        "rows": [_record(row) for row in found.rows],
        "gaps": [
            {**gap._asdict(), "gap": gap.gap, "explanation": why.get((gap.company, gap.year, gap.source))} for gap in found.gaps
        ],
    }


def _record(row: Compared) -> dict[str, object]:
    t = row.target
    return {
        "run": row.run, "label": row.label, "table": t.table, "entity": t.entity, "parameter": t.parameter, "scope": t.scope,
        "period": t.period, "unit": t.unit, "target": t.middle, "target_low": t.low, "target_high": t.high,
        "measure": t.measure, "of": t.of, "p10": row.p10, "p50": row.p50, "p90": row.p90, "share_reached": row.share_reached,
        "inside": row.inside, "log_error": row.log_error, "baseline": row.baseline, "baseline_inside": row.baseline_inside,
        "baseline_log_error": row.baseline_log_error, "reason": t.reason,
    }  # fmt: skip
