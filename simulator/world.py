"""The world: every number the simulator rests on, with its unit, kind, source and date.

`data/*.csv` share one header and one key, (entity, parameter, scope, period). A row is a `Value`: a number with a range
(and what its ends mean), or a text. Loading checks all files and reports every problem at once, each with file and line.

**What was known on a date** (`load_world(as_known_on=...)`). A value is used if its `known_from` is not after the date.
For the rest:

1. *Announcements* not yet made are dropped, and so are accelerators nobody had announced and no shipment uses.
2. *Series* (the same entity, parameter and scope over several periods) continue from the last known period. Amounts grow: the
   last known log growth over a year (between -0.10 and +0.70; where no year can be compared the `growth` of the unit, such as
   +0.10 for money and +0.30 for chips) fades, each year ahead keeping 0.7 of the one before. Fractions and other levels stay
   flat. A log spread of 0.20 x sqrt(years ahead) is added in quadrature to the range of the last known period. Shares of one
   whole (routes, countries of a fleet, chip generations) continue together. A series of which nothing was known keeps its first
   period, which is then listed as a later input, and continues from there.
3. *Other values* without any earlier value are kept, listed in `World.later_inputs`, and their range is widened: each side
   1.5 times as far from the middle; a single number gets a p10-p90 range of -20 % to +25 %. Texts, counts, definitions and the
   published specifications of a chip are listed but not widened.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from simulator.problems import InputProblems, Problem, nearest, refuse, shown
from simulator.resources import shipped

HEADER = [
    "entity", "parameter", "scope", "period", "low", "mode", "high", "quantiles", "family", "unit", "as_of", "known_from",
    "kind", "source_url", "note",
]  # fmt: skip
TABLES = (
    "countries", "markets", "companies", "fleets", "footprint", "announcements",
    "accelerators", "supply", "costs", "process", "statistics", "calibration",
)  # fmt: skip
RECORDS = ("comparisons", "parameter_log", "capacity_gaps")
"""Files beside the tables that say something about inputs and are none themselves (read by `backtest`)"""
COMPANIES = ("google", "microsoft", "aws", "oracle")
VENDORS = ("nvidia", "google_tpu", "aws_trainium", "amd", "microsoft_maia")
CHIP_MAKERS = (*VENDORS, "huawei", "cambricon")
ROUTES = ("classic", "ai_first", "expansion", "leased")
KINDS = ("reported", "derived", "recalled", "assumed")
QUANTILES = ("p10-p90", "p5-p95", "p25-p75", "min-max", "point", "text")
FAMILIES = ("lognormal", "normal", "triangular", "fixed", "text")
FAMILIES_OF = {
    "p10-p90": ("lognormal", "normal"),
    "p5-p95": ("lognormal", "normal"),
    "p25-p75": ("lognormal", "normal"),
    "min-max": ("triangular",),
    "point": ("fixed",),
    "text": ("text",),
}
LONGEST_TEXT = 700


class Unit(NamedTuple):
    """A unit of measure: its meaning, the range a value may have, and how a series continues when it is not known yet."""

    meaning: str
    lowest: float = 0.0
    highest: float = math.inf
    growth: float | None = None
    """Log growth of the first year ahead where no earlier year tells; None: a level, which stays flat."""
    exact: bool = False
    """Counts, dates and texts: never widened."""


UNITS: dict[str, Unit] = {
    "days": Unit("days"),
    "weeks": Unit("weeks"),
    "months": Unit("months"),
    "quarters": Unit("calendar quarters"),
    "years": Unit("years"),
    "days_per_year": Unit("days per calendar year"),
    "hours": Unit("hours"),
    "mw_it": Unit("megawatts of critical IT load"),
    "mw_facility": Unit("megawatts at the grid connection, peak"),
    "mw_facility_per_year": Unit("megawatts at the grid connection that can be connected per year"),
    "gw_facility": Unit("gigawatts at the grid connection", growth=0.10),
    "gw_facility_per_year": Unit("gigawatts at the grid connection added per year", growth=0.10),
    "w": Unit("watts per chip"),
    "usd_bn": Unit("billion US dollars, nominal", growth=0.10),
    "usd_m": Unit("million US dollars"),
    "usd": Unit("US dollars"),
    "usd_m_per_year": Unit("million US dollars per year"),
    "usd_m_per_month": Unit("million US dollars per month"),
    "usd_m_per_mw_it": Unit("million US dollars per megawatt of IT load"),
    "usd_m_per_mw_facility": Unit("million US dollars per megawatt at the grid connection"),
    "usd_m_per_mw_it_year": Unit("million US dollars per megawatt of IT load and year"),
    "usd_m_per_mw_it_month": Unit("million US dollars per megawatt of IT load and month"),
    "usd_m_per_mw_facility_year": Unit("million US dollars per megawatt at the grid connection and year"),
    "usd_bn_per_gw_it_year": Unit("billion US dollars per gigawatt of IT load and year"),
    "usd_per_w_it": Unit("US dollars per watt of IT load"),
    "usd_per_kw": Unit("US dollars per kilowatt"),
    "usd_per_mwh": Unit("US dollars per megawatt-hour"),
    "usd_per_acre": Unit("US dollars per acre"),
    "usd_per_gpu_hour": Unit("US dollars per accelerator and hour"),
    "g_co2e_per_kwh": Unit("grams of CO2 equivalent per kilowatt-hour"),
    "fraction": Unit("share of a whole, 0 to 1", highest=1.0),
    "probability": Unit("probability, 0 to 1", highest=1.0),
    "probability_per_year": Unit("probability per company and year, 0 to 1", highest=1.0),
    "correlation": Unit("correlation, -1 to 1", lowest=-1.0, highest=1.0),
    "percent": Unit("percent a year or percentage points", lowest=-100.0),
    "per_year": Unit("relative change per year (0.05 is +5 %)", lowest=-1.0),
    "relative_change": Unit("relative change (0.05 is +5 %)", lowest=-1.0),
    "log_change": Unit("change of the natural logarithm", lowest=-math.inf),
    "log_sd": Unit("standard deviation of the natural logarithm"),
    "log_sd_per_quarter": Unit("standard deviation of the natural logarithm per quarter"),
    "elasticity": Unit("relative response per relative change", lowest=-math.inf),
    "ratio": Unit("ratio of two like quantities"),
    "multiple": Unit("multiple of another input"),
    "multiple_per_year": Unit("multiple of the previous year"),
    "h100e": Unit("H100-equivalents, dense 8-bit throughput / 1,979 TOP/s", growth=0.30),
    "h100e_per_mw_it": Unit("H100-equivalents per megawatt of IT load", growth=0.15),
    "chips": Unit("accelerators", growth=0.30),
    "chips_per_day": Unit("accelerators per day"),
    "chips_per_year": Unit("accelerators per year", growth=0.10),
    "dies": Unit("compute dies", growth=0.10),
    "tops": Unit("dense 8-bit operations, trillion per second"),
    "tflops": Unit("dense 16-bit operations, trillion per second"),
    "tpp": Unit("total processing performance of the note to ECCN 3A090"),
    "tpp_per_mm2": Unit("performance density of the note to ECCN 3A090"),
    "gb": Unit("gigabytes"),
    "gb_per_s": Unit("gigabytes per second"),
    "thousand_wafers_per_month": Unit("thousand wafers per month", growth=0.10),
    "million_stacks": Unit("million memory stacks"),
    "flop": Unit("operations of a training run"),
    "count": Unit("whole things", exact=True),
    "regions": Unit("cloud regions", exact=True),
    "applications_per_year": Unit("licence applications per year"),
    "fte": Unit("full-time staff"),
    "jobs_per_mw": Unit("jobs per megawatt"),
    "usd_m_per_application": Unit("million US dollars per application"),
    "calendar_year": Unit("point in time as a year with its fraction (2026.5 is the middle of 2026)"),
    "text": Unit("a word or a sentence", exact=True),
}


@dataclass(frozen=True, slots=True)
class Value:
    """One input: low, mode and high in `unit` (or `text`), what the range means, and who says it, of when, since when.

    For p-ranges `mode` is used as the median, for `min-max` as the mode; a single number has low and high None.
    """

    table: str
    entity: str
    parameter: str
    scope: str
    period: str
    low: float | None
    mode: float | None
    high: float | None
    text: str | None
    quantiles: str
    family: str
    unit: str
    as_of: str
    known_from: date
    kind: str
    source_url: str
    note: str
    file: str
    line: int

    @property
    def key(self) -> Key:
        """(table, entity, parameter, scope, period), unique in a world."""
        return (self.table, self.entity, self.parameter, self.scope, self.period)

    @property
    def label(self) -> str:
        """How a message names this input, for example `supply: nvidia shipped_h100e [2025Q1]`."""
        where = " ".join(part for part in (self.scope, self.period) if part)
        return f"{self.table}: {self.entity} {self.parameter}" + (f" [{where}]" if where else "")

    @property
    def number(self) -> float:
        """The middle number. Raises TypeError for a text."""
        if self.mode is None:
            raise TypeError(f"{self.label} is text: {self.text!r}")
        return self.mode


Key = tuple[str, str, str, str, str]


class Market(NamedTuple):
    """A place to build: a sub-national market, or a whole country where no sub-national market is described."""

    id: str
    country: str
    name: str


class Change(Protocol):
    """A supposition about an input: which values, in which periods, and one of set, multiply, add, with a reason."""

    @property
    def table(self) -> str: ...
    @property
    def parameter(self) -> str: ...
    @property
    def entity(self) -> str | Sequence[str]: ...
    @property
    def scope(self) -> str: ...
    @property
    def period_from(self) -> date | None: ...
    @property
    def period_to(self) -> date | None: ...
    @property
    def set(self) -> float | None: ...
    @property
    def multiply(self) -> float | None: ...
    @property
    def add(self) -> float | None: ...
    @property
    def reason(self) -> str: ...


class UnknownInput(LookupError):
    """An input was asked for that the world does not hold; the message names the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class World:
    """All inputs of a run. Never changes; `changed` returns another world."""

    values: tuple[Value, ...] = field(repr=False)
    """In key order, so that nothing depends on the order of rows in a file."""
    as_known_on: date | None = None
    later_inputs: tuple[Value, ...] = field(default=(), repr=False)
    """Values used although they became known only after `as_known_on` (as read, before their range was widened)."""
    _by_key: dict[Key, Value] = field(init=False, repr=False)
    _series: dict[tuple[str, str, str, str], dict[str, Value]] = field(init=False, repr=False)
    _tables: dict[str, tuple[Value, ...]] = field(init=False, repr=False)
    markets: tuple[Market, ...] = field(init=False, repr=False)
    """Sub-national markets by id, then one per country without them (id = iso3 in lower case)."""
    digest: str = field(init=False)
    """sha256 over keys, numbers, texts, range meanings, units and `known_from`; notes, sources, row order do not count."""

    def __post_init__(self) -> None:
        put: Callable[[str, Any], None] = lambda name, what: object.__setattr__(self, name, what)  # noqa: E731
        ordered = tuple(sorted(self.values, key=lambda value: value.key))
        put("values", ordered)
        put("_by_key", {value.key: value for value in ordered})
        series: dict[tuple[str, str, str, str], list[Value]] = {}
        for value in ordered:
            series.setdefault(value.key[:4], []).append(value)
        put(
            "_series",
            {key: {v.period: v for v in sorted(members, key=_period_order)} for key, members in series.items()},
        )
        put("_tables", {table: tuple(value for value in ordered if value.table == table) for table in TABLES})
        put("markets", self._all_markets())
        put("digest", _digest(ordered))

    def _all_markets(self) -> tuple[Market, ...]:
        def text(table: str, entity: str, parameter: str) -> str:
            return self._by_key[(table, entity, parameter, "", "")].text or entity

        local = [
            Market(place, text("markets", place, "country"), text("markets", place, "name")) for place in self.entities("markets")
        ]
        split = {market.country for market in local}
        whole = [iso3 for iso3 in self.entities("countries") if iso3 not in split]
        return (*local, *(Market(iso3.lower(), iso3, text("countries", iso3, "name")) for iso3 in whole))

    def get(self, table: str, parameter: str, entity: str = "world", scope: str = "", period: str = "") -> Value:
        """The one value under this key. Raises `UnknownInput` naming the nearest table, parameter, entity, scope or period."""
        try:
            return self._by_key[(table, entity, parameter, scope, period)]
        except KeyError:
            raise UnknownInput(self._missing(table, parameter, entity, scope, period)) from None

    def has(self, table: str, parameter: str, entity: str = "world", scope: str = "", period: str = "") -> bool:
        """Whether `get` would find a value."""
        return (table, entity, parameter, scope, period) in self._by_key

    def number(self, table: str, parameter: str, entity: str = "world", scope: str = "", period: str = "") -> float:
        """The middle number of `get`."""
        return self.get(table, parameter, entity, scope, period).number

    def text(self, table: str, parameter: str, entity: str = "world", scope: str = "", period: str = "") -> str:
        """The text of `get`. Raises TypeError if it is a number."""
        value = self.get(table, parameter, entity, scope, period)
        if value.text is None:
            raise TypeError(f"{value.label} is a number, not a text")
        return value.text

    def series(self, table: str, parameter: str, entity: str = "world", scope: str = "") -> dict[str, Value]:
        """Period -> value in time order. Raises `UnknownInput` if there is none."""
        try:
            return dict(self._series[(table, entity, parameter, scope)])
        except KeyError:
            raise UnknownInput(self._missing(table, parameter, entity, scope, None)) from None

    def at(self, table: str, parameter: str, on: date, entity: str = "world", scope: str = "") -> Value:
        """The value of the shortest period that holds a day; a value without period holds always. Raises `UnknownInput`."""
        found: Value | None = None
        for value in self.series(table, parameter, entity, scope).values():
            first, last = period_bounds(value.period)
            if first <= on <= last:
                width = last - first
                if found is None or width <= period_bounds(found.period)[1] - period_bounds(found.period)[0]:
                    found = value
        if found is None:
            raise UnknownInput(f"{table}: {entity} {parameter} {scope}".rstrip() + f" has no period that holds {on}")
        return found

    def select(
        self,
        table: str | None = None,
        entity: str | None = None,
        parameter: str | None = None,
        scope: str | None = None,
        kind: str | None = None,
    ) -> list[Value]:
        """All values that match what is given, in key order; None matches anything."""
        return [
            value
            for value in (self.values if table is None else self._tables.get(table, ()))
            if (entity is None or value.entity == entity)
            and (parameter is None or value.parameter == parameter)
            and (scope is None or value.scope == scope)
            and (kind is None or value.kind == kind)
        ]

    def entities(self, table: str) -> tuple[str, ...]:
        """The entities of a table, sorted."""
        return tuple(sorted({value.entity for value in self._tables.get(table, ())}))

    def parameters(self, table: str) -> tuple[str, ...]:
        """The parameters of a table, sorted."""
        return tuple(sorted({value.parameter for value in self._tables.get(table, ())}))

    def scopes(self, table: str, parameter: str, entity: str = "world") -> tuple[str, ...]:
        """The scopes a parameter of an entity has, sorted."""
        return tuple(sorted({k[3] for k in self._series if k[:3] == (table, entity, parameter)}))

    def market_value(self, market: Market | str, parameter: str, scope: str = "") -> Value:
        """An input of a market; where the market has none of its own, that of its country."""
        if isinstance(market, str):
            by_id = {m.id: m for m in self.markets}
            if market not in by_id:
                raise UnknownInput(f"no market {market!r}{nearest(market, by_id)}")
            market = by_id[market]
        own = self._by_key.get(("markets", market.id, parameter, scope, ""))
        return own if own is not None else self.get("countries", parameter, market.country, scope)

    def changed(self, changes: Iterable[Change]) -> World:
        """This world with some inputs supposed otherwise, applied in order.

        low, mode and high move together: `multiply` scales them, `add` shifts them, `set` brings the middle number to the value
        and scales the ends with it. A change with dates applies to the values whose period starts within them (a value without
        period is then left alone); scope "" means values without scope, "*" all. Raises `InputProblems` listing every change
        that matches nothing, leaves the range of its unit, or breaks shares that must sum to one.
        """
        values = dict(self._by_key)
        problems: list[Problem] = []
        touched: set[Key] = set()
        for number, change in enumerate(changes):
            place = getattr(change, "file", None) or "inputs"
            line = getattr(change, "line", 0) or 0
            label = f"inputs[{number}]"

            def complain(message: str, place: str = str(place), line: int = line, label: str = label) -> None:
                problems.append(Problem(place, line, label, message))

            given = [name for name in ("set", "multiply", "add") if getattr(change, name, None) is not None]
            if len(given) != 1:
                complain(f"needs exactly one of set, multiply, add; it has {' and '.join(given) or 'none'}")
                continue
            amount = float(getattr(change, given[0]))
            if not math.isfinite(amount) or (given[0] == "multiply" and amount < 0):
                wanted = "a finite number of at least 0" if given[0] == "multiply" else "a finite number"
                complain(f"{given[0]} is {amount:g}; {wanted} is expected")
                continue
            if not str(getattr(change, "reason", "") or "").strip():
                complain("has no reason; say in a sentence why the input is supposed otherwise")
            keys = self._matching(change, complain)
            for key in keys:
                moved = _moved(values[key], given[0], amount, change.reason)
                if isinstance(moved, str):
                    complain(moved)
                else:
                    values[key] = moved
                    touched.add(key)
        if not problems:
            problems = [
                Problem("inputs", 0, "", f"after the changes {message}; change the other shares of the group as well")
                for members, message in _share_problems(values.values())
                if any(member.key in touched for member in members)
            ]
        if problems:
            raise InputProblems(problems)
        return World(tuple(values.values()), self.as_known_on, self.later_inputs)

    def _matching(self, change: Change, complain: Callable[[str], None]) -> list[Key]:
        """Keys of the numbers a change applies to; complains if there are none or if it names something unknown."""
        wanted = [change.entity] if isinstance(change.entity, str) else list(change.entity)
        if change.table not in TABLES:
            complain(f"no table {shown(change.table)}; tables are {', '.join(TABLES)}{nearest(change.table, TABLES)}")
            return []
        here = self.select(change.table, parameter=change.parameter)
        if not here:
            names = self.parameters(change.table)
            complain(f"no parameter {shown(change.parameter)} in {change.table}{nearest(change.parameter, names)}")
            return []
        known = {v.entity for v in here}
        for name in wanted:
            if name != "*" and name not in known:
                listed = ", ".join(sorted(known)[:8]) + (" ..." if len(known) > 8 else "")
                complain(f"{change.table} has no {change.parameter} for {shown(name)}; it has {listed}{nearest(name, known)}")
        scope = change.scope or ""
        chosen = [v for v in here if ("*" in wanted or v.entity in wanted) and (scope == "*" or v.scope == scope)]
        if not chosen:
            if any(name == "*" or name in known for name in wanted):
                scopes = sorted({v.scope for v in here if "*" in wanted or v.entity in wanted})
                listed = ", ".join(s or '""' for s in scopes[:12])
                hint = f"scopes are {listed}, or '*' for all{nearest(scope, scopes)}"
                complain(f"no {change.parameter} with scope {shown(scope)}; {hint}")
            return []
        if change.period_from is not None or change.period_to is not None:
            first, last = change.period_from or date.min, change.period_to or date.max
            inside = [v for v in chosen if v.period and first <= period_bounds(v.period)[0] <= last]
            if not inside:
                periods = [v.period for v in sorted(chosen, key=_period_order) if v.period]
                have = f"periods run from {periods[0]} to {periods[-1]}" if periods else "it has no period; leave the dates out"
                complain(f"no {change.parameter} starts between {first} and {last}; {have}")
                return []
            chosen = inside
        texts = [v for v in chosen if v.mode is None]
        if texts:
            complain(f"{texts[0].label} is a text and cannot be set, multiplied or added to")
            return []
        return [v.key for v in chosen]

    def _missing(self, table: str, parameter: str, entity: str, scope: str, period: str | None) -> str:
        if table not in TABLES:
            return f"no table {table!r}; tables are {', '.join(TABLES)}{nearest(table, TABLES)}"
        names = self.parameters(table)
        if parameter not in names:
            return f"no parameter {parameter!r} in {table}{nearest(parameter, names)}"
        owners = {v.entity for v in self.select(table=table, parameter=parameter)}
        if entity not in owners:
            return f"{table} has no {parameter} for {entity!r}{nearest(entity, owners)}"
        scopes = self.scopes(table, parameter, entity)
        if scope not in scopes:
            listed = ", ".join(s or '""' for s in scopes[:12])
            return f"{table}: {entity} {parameter} has no scope {scope!r}; scopes are {listed}{nearest(scope, scopes)}"
        periods = list(self._series[(table, entity, parameter, scope)])
        return f"{table}: {entity} {parameter} has no period {period!r}; periods are {periods[0] or 'empty'} to {periods[-1]}"


# ---- Periods -------------------------------------------------------------------------------------------------------------

_PERIOD = re.compile(r"(\d{4})(?:Q([1-4])|/(\d{4})|-(\d\d)-(\d\d))?")


@lru_cache(maxsize=4096)
def period_bounds(period: str) -> tuple[date, date]:
    """First and last day of a period: "", YYYY, YYYYQn, YYYY-MM-DD or YYYY/YYYY. Raises ValueError for anything else."""
    if not period:
        return date.min, date.max
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(period)
    year, quarter, until, month, day = match.groups()
    first = int(year)
    if quarter:
        start = date(first, 3 * int(quarter) - 2, 1)
        return start, (date(first, 12, 31) if quarter == "4" else date(first, 3 * int(quarter) + 1, 1) - timedelta(days=1))
    if month:
        on = date(first, int(month), int(day))
        return on, on
    last = int(until) if until else first
    if last < first:
        raise ValueError(period)
    return date(first, 1, 1), date(last, 12, 31)


def _period_order(value: Value) -> tuple[date, date, str]:
    return (*period_bounds(value.period), value.period)


def _midpoint(period: str) -> float:
    first, last = period_bounds(period)
    return (first.toordinal() + last.toordinal()) / 2 / 365.25


# ---- Loading -------------------------------------------------------------------------------------------------------------


def load_world(folder: Path | None = None, as_known_on: date | None = None) -> World:
    """Read and check `data/*.csv` (those shipped unless a folder is given), as they were known on a date if one is given.

    Raises `InputProblems` with every problem of every file. The rule for `as_known_on` is at the top of this module.
    """
    folder = shipped("data") if folder is None else folder
    problems: list[Problem] = []
    if not folder.is_dir():
        raise refuse(folder, "no such folder; the folder with countries.csv and the other tables is expected")
    values: list[Value] = []
    unreadable: set[str] = set()
    for table in TABLES:
        path = folder / f"{table}.csv"
        if not path.exists():
            problems.append(Problem(str(path), 0, "", "is missing; the simulator needs this table"))
            unreadable.add(table)
            continue
        if not _read_table(table, path, values, problems):
            unreadable.add(table)
    problems.extend(
        Problem(str(path), 0, "", f"is not a table{nearest(path.stem, TABLES)}; tables are {', '.join(TABLES)}")
        for path in sorted(folder.glob("*.csv"))
        if path.stem not in (*TABLES, *RECORDS)
    )
    unique = _without_duplicates(values, problems)
    _check_references(unique, unreadable, problems)
    _check_units(unique, problems)
    # A table that could not be read would only add hundreds of "missing" on top of the one real problem.
    _check_required(unique, unreadable, folder, problems)
    for members, message in _share_problems(unique):
        first = min(members, key=lambda value: value.line)
        problems.append(Problem(first.file, first.line, first.parameter, message))
    if problems:
        raise InputProblems(problems)
    if as_known_on is None:
        return World(tuple(unique))
    known, later = _as_known_on(unique, as_known_on)
    return World(tuple(known), as_known_on, tuple(sorted(later, key=lambda value: value.key)))


def _read_table(table: str, path: Path, values: list[Value], problems: list[Problem]) -> bool:
    """Append the values of one file; False if the file as a whole cannot be used."""
    from simulator.yamlfile import read_text

    file = str(path)
    try:
        text = read_text(path)
    except InputProblems as error:
        problems.extend(error.problems)
        return False
    if not text.strip():
        problems.append(Problem(file, 0, "", f"is empty; the first line must be {','.join(HEADER)}"))
        return False
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader)
        if header != HEADER:
            wrong = [name for name in header if name not in HEADER]
            hint = f"; {wrong[0]!r} is not a column{nearest(wrong[0], HEADER)}" if wrong else ""
            problems.append(Problem(file, 1, "", f"the header must be {','.join(HEADER)}{hint}"))
            return False
        end = reader.line_num
        for row in reader:
            line, end = end + 1, reader.line_num
            if not row or row[0].startswith("#"):
                continue
            value = _read_row(table, file, line, row, problems)
            if value is not None:
                values.append(value)
    except csv.Error as error:
        problems.append(Problem(file, reader.line_num, "", f"is not valid CSV: {error}; check the quotation marks of this line"))
        return False
    return True


_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ENTITY = re.compile(r"[A-Z]{3}|[a-z0-9][a-z0-9_.-]*")


def _read_row(table: str, file: str, line: int, row: list[str], problems: list[Problem]) -> Value | None:
    found = len(problems)

    def complain(column: str, message: str) -> None:
        problems.append(Problem(file, line, column, message))

    if len(row) != len(HEADER):
        complain("", f"has {len(row)} cells, {len(HEADER)} are expected ({','.join(HEADER)}); quote a cell that contains a comma")
        return None
    entity, parameter, scope, period, low, mode, high, quantiles, family, unit, as_of, known_from, kind, source, note = row
    if not _ENTITY.fullmatch(entity):
        complain("entity", f"{shown(entity)} is not a name: lower-case letters, digits, _ - . or an ISO country code like USA")
    if not _NAME.fullmatch(parameter):
        complain("parameter", f"{shown(parameter)} is not a name: lower-case letters, digits and _ are expected")
    if scope and not _ENTITY.fullmatch(scope):
        complain("scope", f"{shown(scope)} is not a name: lower-case letters, digits, _ - . or an ISO country code, or empty")
    try:
        period_bounds(period)
    except ValueError:
        complain("period", f"{shown(period)} is not a period; use 2025, 2025Q1, 2025-12-31, 2024/2026 or leave it empty")
    for column, word, allowed in (("quantiles", quantiles, QUANTILES), ("family", family, FAMILIES), ("kind", kind, KINDS)):
        if word not in allowed:
            complain(column, f"{shown(word)} is not allowed; use one of {', '.join(allowed)}{nearest(word, allowed)}")
    if unit not in UNITS:
        complain("unit", f"{shown(unit)} is not a unit of the registry in simulator/world.py{nearest(unit, UNITS)}")
    if quantiles in QUANTILES and family in FAMILIES and family not in FAMILIES_OF[quantiles]:
        complain("family", f"{family!r} does not go with {quantiles}; use {' or '.join(FAMILIES_OF[quantiles])}")
    if (unit == "text") != (quantiles == "text") and unit in UNITS and quantiles in QUANTILES:
        complain("unit", "text values have both unit and quantiles 'text', numbers have neither")
    if not as_of.strip():
        complain("as_of", "is empty; say what time the value describes, for example 2025 or 2025-12")
    try:
        known = date.fromisoformat(known_from) if len(known_from) == 10 else None
    except ValueError:
        known = None
    if known is None:
        complain("known_from", f"{shown(known_from)} is not a date; give the day it became public, like 2025-06-30")
    if kind in ("reported", "derived"):
        if not source.strip():
            complain(
                "source_url", f"a {kind} value needs its source: a web address; or mark it recalled or assumed, with a reason"
            )
    elif kind in KINDS and not note.strip():
        complain("note", f"a value that is {kind} needs its reason; say in the note why it is so")
    for address in source.split(" ; ") if source else ():
        if not address.startswith(("https://", "http://")) or " " in address:
            complain("source_url", f"{shown(address)} is not a web address; separate several with ' ; '")
    numbers: list[float | None] = [None, None, None]
    words: str | None = None
    if quantiles == "text":
        words = mode
        if low or high:
            complain("low", "a text value has no low or high; leave them empty")
        if not mode.strip() or len(mode) > LONGEST_TEXT or any(ord(letter) < 32 for letter in mode):
            complain("mode", f"a text of 1 to {LONGEST_TEXT} characters on one line is expected")
    else:
        for place, (column, cell) in enumerate(zip(("low", "mode", "high"), (low, mode, high), strict=True)):
            numbers[place] = _read_number(column, cell, unit, complain)
        if not mode:
            complain("mode", "is empty; every number needs its middle value")
        if quantiles == "point" and (low or high):
            complain("quantiles", "a point has no low or high; say what the range means (p10-p90, p5-p95, p25-p75, min-max)")
        if quantiles in ("p10-p90", "p5-p95", "p25-p75", "min-max") and not (low and high):
            complain(
                "low" if not low else "high", f"is empty, but {quantiles} needs low, mode and high; a single number is a 'point'"
            )
        if kind == "assumed" and not (low and high) and "not swept: " not in note:
            complain("low", "an assumed number needs a sweep range (low and high), or 'not swept: why' in its note")
        a, b, c = numbers
        if (a is not None and b is not None and a > b) or (b is not None and c is not None and b > c):
            complain("mode", f"low <= mode <= high is expected, not {low} / {mode} / {high}")
        if family == "lognormal" and a is not None and a <= 0:
            complain("family", f"a lognormal range needs low above 0, not {low}; use normal")
    if len(problems) > found or known is None:
        return None
    return Value(
        table, entity, parameter, scope, period, numbers[0], numbers[1], numbers[2], words, quantiles, family, unit,
        as_of, known, kind, source, note, file, line,
    )  # fmt: skip


def _read_number(column: str, cell: str, unit: str, complain: Callable[[str, str], None]) -> float | None:
    if not cell:
        return None
    try:
        number = float(cell)
        plain = "_" not in cell and cell.strip() == cell
    except ValueError:
        plain = False
        number = math.nan
    if not plain:
        complain(column, f"{shown(cell)} is not a number; write it plainly, like 1250 or 0.35")
        return None
    if not math.isfinite(number):
        complain(column, f"{shown(cell)} is not a finite number")
        return None
    if unit in UNITS and not UNITS[unit].lowest <= number <= UNITS[unit].highest:
        complain(column, f"{cell} is outside the range of the unit {unit}: {_range_of(unit)}")
        return None
    return number


def _range_of(unit: str) -> str:
    low, high = UNITS[unit].lowest, UNITS[unit].highest
    if math.isinf(high):
        return f"at least {low:g}" if math.isfinite(low) else "any number"
    return f"{low:g} to {high:g}"


def _without_duplicates(values: list[Value], problems: list[Problem]) -> list[Value]:
    first: dict[Key, Value] = {}
    for value in values:
        earlier = first.setdefault(value.key, value)
        if earlier is not value:
            message = f"{value.label} is given twice (first on line {earlier.line}); keep one"
            problems.append(Problem(value.file, value.line, value.parameter, message))
    return list(first.values())


# ---- What the tables must hold -------------------------------------------------------------------------------------------


class Need(NamedTuple):
    """A parameter the simulator asks for: its unit, for which entities, scopes and periods ("all" = every one of the table)."""

    table: str
    parameter: str
    unit: str
    entities: str | tuple[str, ...] = "all"
    scopes: tuple[str, ...] = ("",)
    periods: tuple[str, ...] = ("",)


def _years(first: int, last: int) -> tuple[str, ...]:
    return tuple(str(year) for year in range(first, last + 1))


QUARTERS = tuple(f"{year}Q{quarter}" for year in range(2022, 2032) for quarter in range(1, 5))
YEAR_ENDS = ("2022-12-31", "2023-12-31", "2024-12-31", "2025-12-31")
FLEET_KINDS = ("nvidia", "custom", "amd")
ROUTE_SPANS = ("2019/2023", "2024/2025", "2026/2031")
STAGES = (
    "site_selection", "permitting", "interconnection", "construction", "fit_out", "shipping", "installation", "commissioning",
)  # fmt: skip
BUYS = {
    "nvidia": COMPANIES,
    "google_tpu": ("google",),
    "aws_trainium": ("aws",),
    "amd": ("microsoft", "oracle"),
    "microsoft_maia": ("microsoft",),
}
_PLACE = (
    ("dc_capacity_mw", "mw_it"),
    ("dc_pipeline_mw", "mw_it"),
    ("construction_cost_usd_per_w", "usd_per_w_it"),
    ("electricity_price_usd_per_mwh", "usd_per_mwh"),
    ("permit_days", "days"),
    ("grid_connection_days", "days"),
    ("grid_mw_per_year", "mw_facility_per_year"),
)
NEEDS: tuple[Need, ...] = (
    *(Need("countries", name, "text") for name in ("name", "regulatory_note")),
    *(Need("countries", name, unit) for name, unit in _PLACE),
    Need("countries", "grid_carbon_gco2_per_kwh", "g_co2e_per_kwh"),
    Need("countries", "pue_typical", "ratio"),
    Need("countries", "construction_days", "days"),
    Need("countries", "country_risk_premium_pct", "percent"),
    Need("countries", "land_cost_usd_per_acre", "usd_per_acre"),
    Need("countries", "demand_share", "fraction"),
    Need("countries", "rd_weight", "fraction"),
    *(Need("markets", name, "text") for name in ("country", "name", "on_site_generation_allowed")),
    *(Need("markets", name, unit) for name, unit in _PLACE),
    Need("markets", "presence", "text", scopes=COMPANIES),
    Need("companies", "headquarters", "text"),
    Need("companies", "capex_total", "usd_bn", periods=_years(2019, 2031)),
    Need("companies", "share_capex_ai", "fraction", periods=_years(2019, 2031)),
    Need("companies", "share_self_built", "fraction"),
    Need("companies", "route_share", "fraction", scopes=ROUTES, periods=ROUTE_SPANS),
    Need("companies", "wacc_nominal", "percent"),
    Need("companies", "wacc_real", "percent"),
    Need("companies", "concurrent_construction_mw_facility", "mw_facility"),
    Need("fleets", "h100e_held", "h100e", scopes=FLEET_KINDS, periods=YEAR_ENDS),
    Need("fleets", "units_held", "chips", scopes=FLEET_KINDS, periods=YEAR_ENDS),
    Need("fleets", "fleet_country_share", "fraction", scopes=("USA",), periods=("2022-12-31", "2023-12-31")),
    Need("footprint", "regions_operating", "regions", scopes=("USA",)),
    *(Need("announcements", name, "text") for name in ("company", "country", "announced_on")),
    *(Need("accelerators", name, "text") for name in ("vendor", "name", "ships_from", "export_class")),
    Need("accelerators", "dense_8bit_tops", "tops"),
    Need("accelerators", "tpp", "tpp"),
    Need("accelerators", "it_power_w", "w"),
    Need("accelerators", "price_usd", "usd"),
    Need("accelerators", "memory_bandwidth_gbps", "gb_per_s"),
    Need("supply", "shipped_h100e", "h100e", VENDORS, periods=QUARTERS),
    *(Need("supply", "share_bought", "fraction", buyers, (vendor,), _years(2022, 2031)) for vendor, buyers in BUYS.items()),
    *(Need("process", name, "days", ("world",), ROUTES) for name in ("site_selection_days", "interval_between_phases_days")),
    *(Need("process", name, "multiple", ("world",), ROUTES) for name in ("permit_factor", "construction_factor")),
    Need("process", "construction_split", "fraction", ("world",), ("structure_and_plant", "fit_out", "commissioning")),
    *(
        Need("process", name, "days", ("world",))
        for name in (
            "fit_out_days", "commissioning_days", "installation_days", "shipping_days", "pause_duration_days",
            "patience_days_power", "patience_days_licence", "interconnection_lead_days", "chip_commitment_lead_days",
        )
    ),
    Need("process", "project_size_median_mw_facility", "mw_facility", ("world",)),
    Need("process", "project_size_log_sd", "log_sd", ("world",)),
    Need("process", "power_design_ratio", "ratio", ("world",)),
    Need("process", "annual_load_factor", "fraction", ("world",)),
    Need("process", "slippage_factor", "ratio", ("world",)),
    Need("process", "spread_between_projects_log_sd", "log_sd", ("world",), STAGES),
    Need("process", "country_year_luck_log_sd", "log_sd", ("world",), ("power", "construction")),
    Need("process", "nominal_lead_quarters", "quarters", ("world",)),
    Need("process", "budget_revision_sd_quarterly", "log_sd_per_quarter", ("world",)),
    Need("process", "budget_revision_common_share", "fraction", ("world",)),
    Need("process", "pause_probability", "probability_per_year", ("world",)),
    *(
        Need("process", name, "days", ("world",))
        for name in (
            "energisation_tranche_interval_days", "shell_ahead_of_power_days", "grid_works_days", "bridge_if_power_later_days", "onsite_time_to_power_days",
            "licence_forecast_days", "licence_review_work_days", "front_load_before_days", "front_load_ready_days", "refile_days", "classification_days",
            "let_to_other_use_days",
        )
    ),
    *(
        Need("process", name, "mw_facility", ("world",))
        for name in (
            "first_phase_mw_facility", "phase_increment_mw_facility", "campus_size_median_mw_facility",
            "energisation_tranche_mw_facility",
        )
    ),
    *(
        Need("process", name, "multiple", ("world",))
        for name in (
            "single_phase_below_first_phases", "choice_training_wait_multiple", "financing_over_ai_budget", "plan_over_expected_power",
        )
    ),
    *(
        Need("process", name, "fraction", ("world",))
        for name in (
            "grid_share_of_four", "onsite_supply_share_to_four", "sunk_cost_recovery",
            "licence_review_most_utilisation",
        )
    ),
    Need("process", "campus_size_log_sd", "log_sd", ("world",)),
    Need("process", "onsite_spread_log_sd", "log_sd", ("world",)),
    Need("process", "choice_log_per_relative_cost", "log_change", ("world",)),
    Need("process", "rationed_markets", "count", ("world",)),
    Need("process", "inference_share", "fraction", ("world",), periods=("2023", "2025", "2026")),
    Need("process", "onsite_supply", "mw_facility_per_year", ("world",), periods=("2025", "2030")),
    Need("process", "onsite_cost", "usd_per_mwh", ("world",), ("engine",)),
    Need("process", "concurrent_construction_growth", "per_year", ("world",)),
    Need("process", "optimism_of_own_date", "ratio", ("world",)),
    Need("process", "security_authorisation_months", "months", ("world",), ("new_site",)),
    *(
        Need("process", name, "applications_per_year", ("world",))
        for name in ("licence_applications_per_year", "licence_applications_reference")
    ),
    Need("process", "licence_reviewers_effective", "fte", ("world",)),
    Need("process", "licence_validity_years", "years", ("world",)),
    Need("process", "planning_horizon_years", "years", ("world",)),
    Need("process", "classification_needed_probability", "probability", ("world",)),
    Need("process", "authorisation_revocation_probability", "probability_per_year", ("world",)),
    Need("process", "revenue_per_gw_year", "usd_bn_per_gw_it_year", ("world",)),
    Need("process", "discount_rate_real", "percent", ("world",)),
    Need("costs", "facility_life", "years", ("world",)),
    Need("costs", "opex_non_energy", "usd_m_per_mw_it_year", ("world",)),
    Need("costs", "leased_shell_rent", "usd_m_per_mw_it_year", ("world",)),
    Need("costs", "warehouse_cost_share_of_chip_price", "fraction", ("world",)),
    Need("costs", "freight_share_of_chip_price", "fraction", ("world",)),
)  # fmt: skip


class ShareGroup(NamedTuple):
    """Shares that are parts of one whole: rows alike in `by` sum to one (exactly, in parts per million) or to at most one."""

    table: str
    parameter: str
    by: tuple[str, ...]
    exactly: bool = True


SHARE_GROUPS = (
    ShareGroup("companies", "route_share", ("entity", "period")),
    ShareGroup("fleets", "fleet_country_share", ("entity", "period")),
    ShareGroup("supply", "generation_share", ("entity", "period")),
    ShareGroup("process", "construction_split", ("entity", "period")),
    ShareGroup("process", "permit_split", ("entity", "period")),
    ShareGroup("process", "unmet_demand_share", ("entity", "period")),
    ShareGroup("supply", "share_bought", ("scope", "period"), exactly=False),
    ShareGroup("countries", "demand_share", ("period",), exactly=False),
    ShareGroup("countries", "rd_weight", ("period",), exactly=False),
)
_SHARE_GROUP = {(group.table, group.parameter): group for group in SHARE_GROUPS}


def _share_problems(values: Iterable[Value]) -> list[tuple[list[Value], str]]:
    """Groups of shares that are not parts of one whole, each with what is wrong."""
    groups: dict[tuple[str, ...], list[Value]] = {}
    for value in values:
        group = _SHARE_GROUP.get((value.table, value.parameter))
        if group is not None:
            groups.setdefault((value.table, value.parameter, *(getattr(value, name) for name in group.by)), []).append(value)
    wrong = []
    for key, members in groups.items():
        group = _SHARE_GROUP[(key[0], key[1])]
        total = sum(round((member.mode or 0.0) * 1_000_000) for member in members)
        where = " ".join(part for part in key[1:] if part)
        if (total != 1_000_000) if group.exactly else (total > 1_000_000):
            rule = "they must sum to exactly 1" if group.exactly else "they must not exceed 1"
            wrong.append((members, f"the {len(members)} middle values of {where} sum to {total / 1e6:.6f}; {rule}"))
        if group.exactly and len({member.known_from for member in members}) > 1:
            wrong.append((members, f"the rows of {where} have different known_from; parts of one whole become known together"))
    return wrong


def _check_references(values: list[Value], unreadable: set[str], problems: list[Problem]) -> None:
    """Every country, market, company, vendor and accelerator that a row names must exist."""
    places: dict[str, set[str]] = {}
    for value in values:
        places.setdefault(value.table, set()).add(value.entity)
    vendor_of = {v.entity: v.text for v in values if v.table == "accelerators" and v.parameter == "vendor"}
    countries, accelerators = places.get("countries", set()), places.get("accelerators", set())
    no_countries, no_accelerators = "countries" in unreadable, "accelerators" in unreadable
    what_in = {"country": "countries.csv", "accelerator": "accelerators.csv"}

    for value in values:

        def complain(column: str, message: str, value: Value = value) -> None:
            problems.append(Problem(value.file, value.line, column, message))

        def known(
            column: str, word: str | None, allowed: Iterable[str], what: str, complain: Callable[[str, str], None] = complain
        ) -> None:
            names = tuple(allowed)
            if word not in names:
                hint = f"; use one of {', '.join(sorted(names))}" if len(names) <= 12 else f"; it must be in {what_in[what]}"
                complain(column, f"{shown(word)} is not a known {what}{hint}{nearest(word, names)}")

        def country(column: str, word: str | None) -> None:
            if not no_countries:
                known(column, word, countries, "country")

        match value.table, value.parameter:
            case ("countries", _) if not re.fullmatch(r"[A-Z]{3}", value.entity):
                complain("entity", f"{shown(value.entity)} is not an ISO country code like USA")
            case "markets", "country":
                country("mode", value.text)
            case "markets", "presence":
                known("scope", value.scope, COMPANIES, "company")
                known("mode", value.text, ("y", "n"), "answer")
            case "markets", "on_site_generation_allowed":
                known("mode", value.text, ("yes", "conditional", "no"), "answer")
            case (("companies" | "fleets" | "footprint"), _):
                known("entity", value.entity, COMPANIES, "company")
                if value.parameter == "headquarters":
                    country("mode", value.text)
                elif value.parameter == "route_share":
                    known("scope", value.scope, ROUTES, "route")
                elif value.parameter in ("h100e_held", "units_held"):
                    known("scope", value.scope, FLEET_KINDS, "kind of chip")
                elif value.parameter == "fleet_country_share" or value.table == "footprint":
                    country("scope", value.scope)
            case "announcements", "company":
                known("mode", value.text, COMPANIES, "company")
            case "announcements", "country":
                country("mode", value.text)
            case "announcements", "announced_on":
                try:
                    date.fromisoformat(value.text or "")
                except ValueError:
                    complain("mode", f"{shown(value.text)} is not a date like 2025-11-03")
            case "accelerators", "vendor":
                known("mode", value.text, CHIP_MAKERS, "vendor")
            case "supply", "shipped_h100e":
                known("entity", value.entity, VENDORS, "vendor")
            case "supply", "share_bought":
                known("entity", value.entity, COMPANIES, "company")
                known("scope", value.scope, VENDORS, "vendor")
            case "supply", "generation_share":
                known("entity", value.entity, VENDORS, "vendor")
                if not no_accelerators:
                    known("scope", value.scope, accelerators, "accelerator")
                    if value.scope in accelerators and vendor_of.get(value.scope, value.entity) != value.entity:
                        complain("scope", f"{value.scope} is made by {vendor_of[value.scope]}, not by {value.entity}")
            case "process", _:
                known("entity", value.entity, ("world",), "entity")
                if value.parameter in ("site_selection_days", "permit_factor", "construction_factor"):
                    known("scope", value.scope, ROUTES, "route")
                elif value.parameter == "spread_between_projects_log_sd":
                    known("scope", value.scope, STAGES, "stage")


def _check_units(values: list[Value], problems: list[Problem]) -> None:
    """The unit the simulator expects, and one unit per parameter of a table."""
    expected = {(need.table, need.parameter): need.unit for need in NEEDS}
    expected |= {(group.table, group.parameter): "fraction" for group in SHARE_GROUPS}
    seen: dict[tuple[str, str], Value] = {}
    for value in values:
        name = (value.table, value.parameter)
        if name in expected:
            if value.unit != expected[name]:
                message = f"{value.parameter} is given in {value.unit}; the simulator expects {expected[name]}"
                problems.append(Problem(value.file, value.line, "unit", message))
            continue
        first = seen.setdefault(name, value)
        if value.unit != first.unit:
            message = f"{value.parameter} is in {value.unit} here and in {first.unit} on line {first.line}; use one unit"
            problems.append(Problem(value.file, value.line, "unit", message))


def _check_required(values: list[Value], unreadable: set[str], folder: Path, problems: list[Problem]) -> None:
    keys = {value.key for value in values}
    owners: dict[str, list[str]] = {table: [] for table in TABLES}
    lines: dict[tuple[str, str], int] = {}
    for value in values:
        if (value.table, value.entity) not in lines:
            owners[value.table].append(value.entity)
            lines[(value.table, value.entity)] = value.line
    owners["companies"] = owners["fleets"] = owners["footprint"] = list(COMPANIES)
    mixes = {(value.entity, value.period) for value in values if value.parameter == "generation_share"}

    def missing(table: str, parameter: str, entity: str, where: str, remedy: str) -> None:
        message = f"is missing for {entity}" + (f" [{where}]" if where else "") + f"; {remedy}"
        problems.append(Problem(str(folder / f"{table}.csv"), lines.get((table, entity), 0), parameter, message))

    for vendor, quarter in itertools.product(VENDORS, QUARTERS):
        if "supply" not in unreadable and (vendor, quarter) not in mixes:
            missing("supply", "generation_share", vendor, quarter, "say which accelerators ship then")
    for need in NEEDS:
        if need.table in unreadable:
            continue
        entities = owners[need.table] if need.entities == "all" else need.entities
        if not entities:
            problems.append(Problem(str(folder / f"{need.table}.csv"), 0, need.parameter, "is missing: the table has no rows"))
        for entity, scope, period in itertools.product(entities, need.scopes, need.periods):
            if (need.table, entity, need.parameter, scope, period) not in keys:
                where = " ".join(part for part in (scope, period) if part)
                missing(need.table, need.parameter, entity, where, f"add a row in {need.unit}")


# ---- Suppositions --------------------------------------------------------------------------------------------------------


def _moved(value: Value, verb: str, amount: float, reason: str) -> Value | str:
    """A value after a change, or what is wrong with the change."""
    old = value.number
    ends = [value.low, old, value.high]
    if verb == "multiply" or (verb == "set" and old != 0.0):
        factor = amount if verb == "multiply" else amount / old
        new = [None if end is None else end * factor for end in ends]
        if factor < 0:
            new = [new[2], new[1], new[0]]
    else:
        shift = amount if verb == "add" else amount - old
        new = [None if end is None else end + shift for end in ends]
    if verb == "set":
        new[1] = amount
    unit = UNITS[value.unit]
    middle = new[1]
    if middle is None or not math.isfinite(middle) or not unit.lowest <= middle <= unit.highest:
        return f"{value.label} would become {middle:g}; a {value.unit} is {_range_of(value.unit)}"
    low, high = (None if end is None else min(max(end, unit.lowest), unit.highest) for end in (new[0], new[2]))
    family, quantiles = value.family, value.quantiles
    if low is not None and high is not None:
        if low == high:
            low = high = None
            family, quantiles = "fixed", "point"
        elif family == "lognormal" and low <= 0:
            family = "normal"
    note = f"supposed by the scenario: {reason}"
    return replace(value, low=low, mode=middle, high=high, family=family, quantiles=quantiles, kind="assumed", note=note)


# ---- What was known on a date ----------------------------------------------------------------------------------------------

_GROWTH_BOUNDS = (-0.10, 0.70)
_GROWTH_KEPT = 0.7
_SPREAD_PER_ROOT_YEAR = 0.20
_WIDEN = 1.5
_POINT_SPREAD = 0.22314355131420976  # log of 1.25: a single number becomes a p10-p90 range of -20 % to +25 %
_P90 = 1.2815515655446004
_Z = {"p10-p90": _P90, "p5-p95": 1.6448536269514722, "p25-p75": 0.6744897501960817}


def _as_known_on(values: list[Value], on: date) -> tuple[list[Value], list[Value]]:
    """Values to use on a date and, among them, those that became known only later. The rule is at the top of the module."""
    used: list[Value] = []
    later: list[Value] = []
    series: dict[tuple[str, str, str, str], list[Value]] = {}
    mixes: dict[tuple[str, str, str], dict[str, list[Value]]] = {}
    for value in values:
        group = _SHARE_GROUP.get((value.table, value.parameter))
        if value.table == "announcements":
            if value.known_from <= on:
                used.append(value)
        elif group is not None and group.exactly and value.period:
            mixes.setdefault((value.table, value.parameter, value.entity), {}).setdefault(value.period, []).append(value)
        else:
            series.setdefault(value.key[:4], []).append(value)
    for members in series.values():
        dated = sorted((value for value in members if value.period and value.mode is not None), key=_period_order)
        if len(dated) < 2:
            dated = []
        for value in members:
            if value not in dated:
                used.append(value if value.known_from <= on else _widened(value))
                if value.known_from > on:
                    later.append(value)
        if dated:
            kept, extra = _continued(dated, on)
            used.extend(kept)
            later.extend(extra)
    for mix in mixes.values():
        kept, extra = _continued_mix(mix, on)
        used.extend(kept)
        later.extend(extra)
    # An announced project is one set of rows: without its date or its country it is no announcement.
    heads = {value.entity for value in used if value.table == "announcements" and value.parameter == "announced_on"}
    used = [value for value in used if value.table != "announcements" or value.entity in heads]
    shipping = {value.scope for value in used if value.parameter == "generation_share"}
    chips = [value for value in values if value.table == "accelerators"]
    unknown = {v.entity for v in chips} - {v.entity for v in chips if v.known_from <= on} - shipping

    def possible(value: Value) -> bool:
        return value.entity not in unknown

    return list(filter(possible, used)), list(filter(possible, later))


def _continued_mix(mix: dict[str, list[Value]], on: date) -> tuple[list[Value], list[Value]]:
    """Shares of one whole by period: unknown periods take the shares of the last known one, so that they still sum to one."""
    used: list[Value] = []
    extra: list[Value] = []
    base: list[Value] | None = None
    for period in sorted(mix, key=period_bounds):
        members = mix[period]
        if members[0].known_from <= on:
            base = members
            used.extend(members)
        elif base is None:
            base = members
            extra = members
            used.extend(_widened(value) for value in members)
        else:
            note = f"as known on {on}: the shares of {base[0].period} go on"
            used.extend(replace(_widened(value), period=period, kind="assumed", note=note) for value in base)
    return used, extra


def _continued(members: list[Value], on: date) -> tuple[list[Value], list[Value]]:
    """A series as known on a date: known periods as they are, the others continued from the nearest known one before."""
    known = [value for value in members if value.known_from <= on]
    extra: list[Value] = []
    if not known:
        known, extra = [members[0]], [members[0]]
    used: list[Value] = []
    for value in members:
        if value in known:
            used.append(value)
            continue
        before = [v for v in known if _period_order(v) < _period_order(value)]
        base = before[-1] if before else known[0]
        years = _midpoint(value.period) - _midpoint(base.period)
        unit = UNITS[value.unit]
        growth = 0.0
        if unit.growth is not None and years > 0:
            growth = _growth_ahead(base, known, unit.growth, years)
        used.append(_extrapolated(value, base, growth, abs(years), on))
    return used, extra


def _growth_ahead(base: Value, known: list[Value], default: float, years: float) -> float:
    """Log growth from the base to a period some years ahead: the last known yearly growth, fading."""
    first = default
    year_before = [v for v in known if abs(_midpoint(base.period) - _midpoint(v.period) - 1.0) < 0.05]
    if year_before and base.number > 0 and year_before[-1].number > 0:
        first = min(max(math.log(base.number / year_before[-1].number), _GROWTH_BOUNDS[0]), _GROWTH_BOUNDS[1])
    whole = int(years)
    total = sum(first * _GROWTH_KEPT ** (n + 1) for n in range(whole))
    return total + first * _GROWTH_KEPT ** (whole + 1) * (years - whole)


def _extrapolated(value: Value, base: Value, growth: float, years: float, on: date) -> Value:
    middle = base.number * math.exp(growth)
    unit = UNITS[value.unit]
    note = f"as known on {on}: continued from {base.period} ({base.number:g}), log growth {growth:+.3f} over {years:.2f} years"
    changed = replace(value, kind="assumed", note=note, as_of=base.as_of, known_from=base.known_from, source_url=base.source_url)
    if unit.exact or middle <= 0:
        return replace(changed, low=None, mode=middle, high=None, quantiles="point", family="fixed")
    z = _Z.get(base.quantiles, _P90)
    sides = []
    for end in (base.low, base.high):
        own = abs(math.log(end / base.number)) / z if end is not None and end > 0 and base.number > 0 else 0.0
        if end is not None and end <= 0:
            own = 1.0
        sides.append(math.sqrt(own**2 + _SPREAD_PER_ROOT_YEAR**2 * years))
    low, high = middle * math.exp(-_P90 * sides[0]), middle * math.exp(_P90 * sides[1])
    middle = min(middle, unit.highest)
    low, high = min(low, middle), max(min(high, unit.highest), middle)
    return replace(changed, low=low, mode=middle, high=high, quantiles="p10-p90", family="lognormal")


def _widened(value: Value) -> Value:
    """A value known only later, with a wider range."""
    unit = UNITS[value.unit]
    if value.mode is None or value.mode == 0 or unit.exact or value.table == "accelerators":
        return value
    if value.low is None or value.high is None:
        if value.mode < 0 or "not swept: " in value.note:
            return value
        low, high = value.mode * math.exp(-_POINT_SPREAD), value.mode * math.exp(_POINT_SPREAD)
        return replace(value, low=low, high=max(min(high, unit.highest), value.mode), quantiles="p10-p90", family="lognormal")
    if value.family == "lognormal":
        low, high = value.mode * (value.low / value.mode) ** _WIDEN, value.mode * (value.high / value.mode) ** _WIDEN
    else:
        low, high = value.mode - _WIDEN * (value.mode - value.low), value.mode + _WIDEN * (value.high - value.mode)
    return replace(value, low=min(max(low, unit.lowest), value.mode), high=max(min(high, unit.highest), value.mode))


def _digest(values: Iterable[Value]) -> str:
    total = hashlib.sha256()
    for v in values:
        parts = (*v.key, v.low, v.mode, v.high, v.text, v.quantiles, v.family, v.unit, v.known_from.isoformat())
        total.update(repr(parts).encode())
        total.update(b"\n")
    return total.hexdigest()
