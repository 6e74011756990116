"""Regimes as dated data: the files of `data/regimes/`, read strictly and resolved into `Regime` objects.

A file says what the law is, never how to compute: instruments (rules with their dates), provisions (who needs what, in the
order in which they are tried), exceptions, items, limits and behaviour (numbers with unit and citation), switches (disputed
readings), holds, grants, and events. `data/regimes/README.md` explains the form to a lawyer; `simulator.controls` applies it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from simulator.problems import InputProblems, Problem, nearest, refuse, shown
from simulator.resources import shipped
from simulator.yamlfile import MERGE, FieldPath, YamlFile, dotted, read_text, read_yaml

Kind = Literal["reported", "derived", "recalled", "assumed"]
Review = Literal["presumption_of_approval", "case_by_case", "presumption_of_denial", "policy_of_denial", "deal_window"]
Demand = Literal["none", "notification", "licence"]
Ending = Literal["repealed", "replaced", "expired", "suspended", "not_enforced"]

UNSURE = ("recalled", "assumed")
"""Kinds of number and of reading that a ruling flags when it rests on them."""

UNITS: dict[str, str] = {
    "tpp": "whole total processing performance, as in the note to ECCN 3A090",
    "share": "share of a whole, 0 to 1",
    "probability": "probability, 0 to 1",
    "days": "calendar days",
    "date": "a date, YYYY-MM-DD",
    "multiple": "multiple of another number",
    "log_sd": "standard deviation of the natural logarithm",
    "count": "whole things",
    "usd": "US dollars",
    "usd_per_year": "US dollars per year",
    "operations": "operations of a training run",
    "gb_per_s": "gigabytes per second",
    "tpp_per_mm2": "performance density: TPP per square millimetre of applicable die area",
    "tpp_per_quarter": "TPP asked for in a calendar quarter",
    "word": "one of the words allowed for this leaf",
    "yes_no": "true or false",
    "group": "countries, such as `d5 + MAC - a6`",
    "items": "item classes joined by ` + `",
}
WHOLE = ("tpp", "count", "tpp_per_quarter")
GROWTH = "growth_per_year"
"""Ending of the leaves that make another grow each 1 January, from the first one on which they are stated"""

PROFILES = (
    "fy2023", "chips_normal", "backlog_2025", "deal_2025", "fast_track", "stage_clock", "veu_target", "veu_realistic",
)  # fmt: skip
WORDS: dict[str, tuple[str, ...]] = {
    "allocation.straddle": ("returned", "granted_in_part"),
    "allocation.after_window": ("unchanged_cap", "renewed", "nothing"),
    "allocation.order": ("first_come",),
    "lpp.consignee": ("company_worldwide", "site_operator"),
    "uveu.denominator": ("owned_worldwide", "received_since_start", "owned_and_leased"),
    "uveu.tested": ("each_shipment", "half_year_reports"),
    "uveu.on_breach": ("shipment_blocked", "revoked"),
    "uveu.time_profile": PROFILES,
    "nveu.time_profile": PROFILES,
    "dc_veu.time_profile": PROFILES,
    "licence.time_profile": PROFILES,
    "weights.tuning_limits_join": ("either", "both"),
}

REGIME_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ENTRY_ID = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")
ISO3 = re.compile(r"[A-Z]{3}")
TEXT = re.compile(r"[^\x00-\x1f<>]*")
URL = re.compile(r"https?://[^\s<>]+")
QUOTAS = ("allocation", "deal")
_MEASURED_IN = {
    "tpp": "tpp", "density": "tpp_per_mm2", "memory_bandwidth_gbps": "gb_per_s", "interconnect_gbps": "gb_per_s",
    "operations": "operations",
}  # fmt: skip


def _plain(text: str) -> str:
    if not text.strip() or not TEXT.fullmatch(text):
        raise ValueError("must be plain text: not empty, no line breaks inside, no angle brackets")
    return text.strip()


Text = Annotated[str, Strict(), AfterValidator(_plain)]
Day = Annotated[date, Strict()]


class Entry(BaseModel):
    """A closed, frozen record: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Ends(Entry):
    """The end of an instrument or provision: the first day on which it no longer binds, how, and since when that is known."""

    on: Day
    how: Ending
    announced: Day | None = None
    citation: Text | None = None


class Instrument(Entry):
    """A rule, letter or announcement: its citation and dates, which its provisions take over unless they state their own."""

    title: Text
    citation: Text
    source: Text | None = None
    kind: Kind
    reason: Text | None = None
    announced: Day
    effective: Day
    compliance: Day | None = None
    """Day from which exports must comply; the effective day if not stated."""
    counts_from: Day | None = None
    """Day from which quantities count towards limits; the compliance day if not stated."""
    ends: Ends | None = None
    note: Text | None = None


class Provision(Entry):
    """One rule about exports: which destinations, headquarters and items, what is required, and how a licence is looked at."""

    id: Text
    title: Text
    instrument: Text
    citation: Text
    source: Text | None = None
    kind: Kind
    reason: Text | None = None
    destinations: Text
    headquarters: Text = "any"
    items: tuple[Text, ...] = ("any",)
    origins: Text = "any"
    end_users: tuple[Text, ...] = ()
    """Named end users it is limited to; empty for all."""
    quantity_at_most: Text | None = None
    quantity_above: Text | None = None
    """Limit in TPP (a leaf) up to which, or above which, it applies; it never decides where the quantity is not stated."""
    demands: Demand
    review: Review | None = None
    admits: tuple[Text, ...] = ()
    """Exceptions and authorisations that may take the place of the licence, in the order they are tried."""
    quota: Text | None = None
    """`allocation` or `deal`: the pot a licence draws on."""
    review_beyond_quota: Review | None = None
    announced: Day | None = None
    effective: Day | None = None
    compliance: Day | None = None
    counts_from: Day | None = None
    ends: Ends | None = None
    only_if: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Switch -> readings under which it applies."""
    before: Text | None = None
    after: Text | None = None
    note: Text | None = None


class LicenceException(Entry):
    """A licence exception or an authorisation: which destinations and headquarters may use it, under which instrument."""

    title: Text
    instrument: Text
    citation: Text
    source: Text | None = None
    kind: Kind
    reason: Text | None = None
    destinations: Text
    headquarters: Text
    note: Text | None = None


class Limb(Entry):
    """One way for an item to fall in a class: all the tests stated must hold. Numbers are named leaves."""

    tpp_at_least: Text | None = None
    tpp_below: Text | None = None
    density_at_least: Text | None = None
    density_below: Text | None = None
    memory_bandwidth_gbps_at_least: Text | None = None
    memory_bandwidth_gbps_below: Text | None = None
    interconnect_gbps_at_least: Text | None = None
    interconnect_gbps_below: Text | None = None
    operations_at_least: Text | None = None
    data_centre: bool | None = None


class ItemClass(Entry):
    """A class of items by performance, such as ECCN 3A090.a: any of the limbs."""

    meaning: Text
    citation: Text
    source: Text | None = None
    kind: Kind
    reason: Text | None = None
    any_of: tuple[Limb, ...] = Field(min_length=1)
    note: Text | None = None


class Switch(Entry):
    """A disputed point: the question, the reading used unless a scenario says otherwise, and what each reading means."""

    question: Text
    default: Text
    readings: dict[str, Text]
    source: Text | None = None


class Hold(Entry):
    """A period in which applications for some destinations are not decided."""

    id: Text
    title: Text
    destinations: Text
    from_: Day = Field(alias="from")
    until: Day
    announced: Day | None = None
    kind: Kind
    source: Text | None = None
    reason: Text | None = None
    note: Text | None = None


class Grant(Entry):
    """A real, dated licence or approval: the overlay of history, off in back-tests."""

    id: Text
    title: Text
    on: Day
    known_from: Day
    destination: Text
    end_user: Text
    tpp: Annotated[int, Strict(), Field(gt=0)]
    kind: Kind
    source: Text | None = None
    reason: Text | None = None
    note: Text | None = None


class Event(Entry):
    """A policy event for the timeline. `effect` names what it changed here, or says that it changed no ruling."""

    on: Day
    title: Text
    instrument: Text
    kind: Kind
    source: Text | None = None
    reason: Text | None = None
    effect: tuple[Text, ...] = ()
    note: Text | None = None


class StepEntry(Entry):
    """The value of a leaf from a day on; without `from`, since ever."""

    from_: Day | None = Field(default=None, alias="from")
    value: Any
    kind: Kind | None = None
    source: Text | None = None
    citation: Text | None = None
    reason: Text | None = None
    note: Text | None = None


class LeafEntry(Entry):
    """One number (or word, date, group) of the law: `value`, or `steps` for one that changes."""

    title: Text | None = None
    """What it is, in words that can follow "the" or stand for it; stated once, where the leaf is new."""
    value: Any = None
    steps: tuple[StepEntry, ...] = ()
    unit: Text
    kind: Kind | None = None
    source: Text | None = None
    citation: Text | None = None
    reason: Text | None = None
    note: Text | None = None
    as_of: Day | None = None
    sweep: tuple[Any, Any] | None = None
    """Smallest and largest value worth trying (min-max; triangular with the value as its mode)."""
    readings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Switch -> reading -> the value under that reading."""
    adds: Annotated[bool, Strict()] = False
    """True for a leaf the extended regime does not have; otherwise its id must exist there."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of the law on a day, with who says it: unit, kind, citation, address, what it describes, since when known."""

    id: str
    value: Any
    unit: str
    kind: str
    citation: str
    source_url: str
    reason: str
    as_of: str
    known_from: date
    sweep: tuple[Any, Any] | None
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class DatedLeaf:
    """A step function of the date, and its values under other readings. The one reader is `.at(date)`."""

    id: str
    unit: str
    steps: tuple[tuple[date, Leaf], ...]
    readings: Mapping[str, Mapping[str, Any]]
    file: str
    line: int
    title: str = ""
    """What it is, in words; empty if no regime says."""

    def at(self, on: date) -> Leaf:
        """The value on a day. Raises LookupError before the first step."""
        found = None
        for begins, leaf in self.steps:
            if begins > on:
                break
            found = leaf
        if found is None:
            raise LookupError(f"{self.id} has no value before {self.steps[0][0]} ({self.file}:{self.line})")
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """Where something can be read."""

    key: str
    title: str
    url: str
    published: date


@dataclass(frozen=True, slots=True)
class Membership:
    """A country's membership of a group: from the first day in it to the first day out of it."""

    iso3: str
    group: str
    begins: date
    ends: date
    by: str
    """Instrument that made the dated change; a regime without that instrument does not have the change. Empty: every regime."""
    kind: str
    source_url: str
    note: str
    line: int

    def holds(self, on: date, instruments: frozenset[str]) -> bool:
        """True if the country is in the group on that day under a regime with these instruments."""
        if self.by and self.by not in instruments:
            return self.begins == date.min
        return self.begins <= on < self.ends


@dataclass(frozen=True)
class Places:
    """All ISO 3166-1 codes and Kosovo, what each is treated as, and dated membership of the EAR's country groups."""

    names: Mapping[str, str]
    treated_as: Mapping[str, str]
    memberships: tuple[Membership, ...]

    @property
    def groups(self) -> frozenset[str]:
        """Names of the groups in `groups.csv`."""
        return frozenset(m.group for m in self.memberships)

    def members(self, group: str, on: date, instruments: frozenset[str] = frozenset()) -> frozenset[str]:
        """ISO codes in a group on a day, territories and Hong Kong with the state they are treated as.

        The European Union is no group of the EAR: its members are listed as they are.
        """
        direct = {m.iso3 for m in self.memberships if m.group == group and m.holds(on, instruments)}
        if group == "eu":
            return frozenset(direct)
        return frozenset(direct | {iso3 for iso3, parent in self.treated_as.items() if parent in direct})


@dataclass(frozen=True)
class Regime:
    """All export-control law of one supposition, with its dates. Inheritance is resolved; provisions are in the law's order."""

    id: str
    title: str
    supposes: str
    lineage: tuple[str, ...]
    """This regime and those it extends, child first."""
    as_of: date
    instruments: Mapping[str, Instrument]
    items: Mapping[str, ItemClass]
    exceptions: Mapping[str, LicenceException]
    provisions: tuple[Provision, ...]
    leaves: Mapping[str, DatedLeaf]
    switches: Mapping[str, Switch]
    holds: tuple[Hold, ...]
    grants: tuple[Grant, ...]
    events: tuple[Event, ...]
    places: Places
    sources: Mapping[str, Source]
    defined_in: Mapping[str, str]
    """Leaf or provision id -> id of the regime file that states it."""

    def url(self, source: str | None) -> str:
        """Address of a source key; empty if there is none."""
        return self.sources[source].url if source else ""

    def __repr__(self) -> str:
        return f"Regime({self.id!r}, {len(self.provisions)} provisions, {len(self.leaves)} leaves)"


# ---------------------------------------------------------------------- reading

_SECTIONS: dict[str, type[Entry]] = {
    "instruments": Instrument, "items": ItemClass, "exceptions": LicenceException, "limits": LeafEntry, "behaviour": LeafEntry,
    "switches": Switch,
}  # fmt: skip
_LISTS: dict[str, type[Entry]] = {"provisions": Provision, "holds": Hold, "grants": Grant, "events": Event}
_TOP = ("id", "title", "supposes", "extends", "as_of", "removes", *_SECTIONS, *_LISTS)
_NOUN = {
    "instruments": "an instrument", "items": "an item class", "exceptions": "an exception", "limits": "a limit",
    "behaviour": "a behaviour", "switches": "a switch", "provisions": "a provision", "holds": "a hold",
    "grants": "a grant", "events": "an event",
}  # fmt: skip
LONGEST_TEXT = 700

Record = TypeVar("Record", bound=Entry)


class _Reader:
    """One regime file being checked: collects problems with their lines instead of stopping at the first."""

    def __init__(self, source: YamlFile, shared: _Shared, found: Iterable[Problem] = ()):
        self.source, self.shared = source, shared
        self.problems: list[Problem] = list(found)
        self.sections: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
        self.lists: dict[str, list[tuple[int, Any]]] = {name: [] for name in _LISTS}

    def complain(self, field: FieldPath, message: str) -> None:
        if not self.source.hides(field) and (*field, MERGE) not in self.source.spoilt:
            self.problems.append(Problem(str(self.source.path), self.source.line(field), dotted(field), message))

    def record(self, model: type[Record], raw: Any, field: FieldPath, noun: str) -> Record | None:
        """Check one entry against its model; None and a problem for each fault if it is not one."""
        if not isinstance(raw, dict):
            self.complain(field, f"is {shown(raw)}; {noun} is a mapping of fields")
            return None
        try:
            found = model.model_validate(raw)
        except ValidationError as error:
            for fault in error.errors():
                self.complain(*self._explain(model, field, dict(fault), noun))
            return None
        self._check_record(found, field)
        return found

    def _explain(self, model: type[BaseModel], field: FieldPath, fault: dict[str, Any], noun: str) -> tuple[FieldPath, str]:
        loc: tuple[Any, ...] = fault["loc"]
        place: FieldPath = field
        for part in loc:
            if (*place, part) in self.source.lines:
                place = (*place, part)
        value = fault.get("input")
        kind = fault["type"]
        if kind == "extra_forbidden":
            owner = _model_at(model, loc[:-1])
            allowed = [item.alias or name for name, item in owner.model_fields.items()]
            return place, f"is not a field of {noun}; allowed: {', '.join(allowed)}{nearest(loc[-1], allowed)}"
        if kind == "missing":
            return place, f"lacks the field {loc[-1]!r}, which {noun} must have"
        if kind == "literal_error":
            allowed = [word.strip("' ") for word in re.split(r", | or ", fault["ctx"]["expected"])]
            return place, f"is {shown(value)}; allowed: {', '.join(allowed)}{nearest(value, allowed)}"
        if kind in ("date_type", "date_from_datetime_inexact"):
            return place, f"is {shown(value)}; a date YYYY-MM-DD without quotes is expected"
        if kind in ("string_type", "int_type", "bool_type", "dict_type", "tuple_type", "model_type", "bool_parsing"):
            wanted = {"string": "text", "int": "a whole number", "bool": "true or false", "dict": "a mapping",
                      "tuple": "a list", "model": "a mapping"}[kind.split("_")[0]]  # fmt: skip
            return place, f"is {shown(value)}; {wanted} is expected"
        return place, f"is {shown(value)}: {fault['msg'].removeprefix('Value error, ')}"

    def _check_record(self, found: Entry, field: FieldPath) -> None:
        """Says who? An entry with a source key must name a known one; an assumed one must give its reason."""
        source, kind = getattr(found, "source", None), getattr(found, "kind", None)
        if source is not None:
            self.check_source(source, (*field, "source"))
        if kind in ("reported", "derived") and source is None and not isinstance(found, LeafEntry | StepEntry):
            self.complain(field, f"is {kind} but names no source; add `source:` with a key of sources.csv")
        reasoned = getattr(found, "reason", None) or getattr(found, "note", None) or isinstance(found, LeafEntry | StepEntry)
        if kind in UNSURE and not reasoned:
            self.complain(field, f"is {kind} but gives no reason; add `reason:` saying why this is believed")

    def check_source(self, key: str, field: FieldPath) -> None:
        if key not in self.shared.sources:
            self.complain(field, f"is {shown(key)}, which sources.csv does not list{nearest(key, self.shared.sources)}")

    def read(self) -> None:
        """Read all sections of the file."""
        raw = self.source.content
        if not isinstance(raw, dict):
            if self.problems:
                raise InputProblems(self.problems)
            raise refuse(self.source.path, f"holds {shown(raw)}; a regime is a mapping of sections", line=1)
        for key in raw:
            if key not in _TOP:
                self.complain((key,), f"is not a section of a regime; allowed: {', '.join(_TOP)}{nearest(key, _TOP)}")
        for key in ("id", "title", "supposes"):
            value = raw.get(key)
            if not isinstance(value, str) or not value.strip() or not TEXT.fullmatch(value):
                self.complain((key,), f"is {shown(value)}; plain text is expected")
        stem = self.source.path.stem
        if isinstance(raw.get("id"), str) and raw["id"] != stem:
            self.complain(("id",), f"is {shown(raw['id'])}, but the file is called {stem}.yaml; the two must agree")
        if not isinstance(raw.get("as_of"), date):
            self.complain(("as_of",), f"is {shown(raw.get('as_of'))}; a date YYYY-MM-DD is expected")
        if "extends" in raw and (not isinstance(raw["extends"], str) or not REGIME_ID.fullmatch(raw["extends"])):
            self.complain(("extends",), f"is {shown(raw['extends'])}; the id of another regime is expected")
        removes = raw.get("removes", [])
        if not isinstance(removes, list) or not all(isinstance(item, str) for item in removes):
            self.complain(("removes",), f"is {shown(removes)}; a list of provision ids is expected")
        for name, model in _SECTIONS.items():
            section = raw.get(name, {})
            if not isinstance(section, dict):
                self.complain((name,), f"is {shown(section)}; a mapping from id to {_NOUN[name]} is expected")
                continue
            for key, entry in section.items():
                if not ENTRY_ID.fullmatch(key):
                    self.complain((name, key), f"is no id; letters, digits, dots, hyphens and underscores, as in {name}.lpp.tpp")
                    continue
                record = self.record(model, entry, (name, key), _NOUN[name])
                if record is not None:
                    self.sections[name][key] = record
        for name, model in _LISTS.items():
            section = raw.get(name, [])
            if not isinstance(section, list):
                self.complain((name,), f"is {shown(section)}; a list is expected")
                continue
            for index, entry in enumerate(section):
                record = self.record(model, entry, (name, index), _NOUN[name])
                if record is not None:
                    self.lists[name].append((index, record))
        for name in ("provisions", "holds", "grants"):
            seen: dict[str, int] = {}
            for index, record in self.lists[name]:
                if record.id in seen:
                    first = self.source.line((name, seen[record.id], "id"))
                    self.complain((name, index, "id"), f"is {shown(record.id)}, used already on line {first}; ids are unique")
                seen.setdefault(record.id, index)


def _model_at(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    """The model that a location inside another one belongs to, for the list of allowed fields."""
    inner: dict[Any, type[BaseModel]] = {"ends": Ends, "any_of": Limb, "steps": StepEntry}
    for part in loc:
        model = inner.get(part, model)
    return model


@dataclass(frozen=True)
class _Shared:
    sources: Mapping[str, Source]
    places: Places


def _check_csv(path: Path, header: tuple[str, ...]) -> tuple[list[tuple[int, dict[str, str]]], list[Problem]]:
    """Rows with their line numbers, and what is wrong with the header or the number of cells."""
    reader = csv.reader(io.StringIO(read_text(path)))
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[Problem] = []
    first = next(reader, None)
    if first is None or tuple(first) != header:
        raise refuse(path, f"has the header {shown(','.join(first or []))}; expected {','.join(header)}", line=1)
    for cells in reader:
        if len(cells) != len(header):
            problems.append(Problem(str(path), reader.line_num, "", f"has {len(cells)} cells; expected {len(header)}"))
        else:
            rows.append((reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return rows, problems


def _day(text: str, default: date) -> date | None:
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        return None


def _read_shared(folder: Path) -> _Shared:
    """Sources, places and dated group membership. Raises `InputProblems` with all faults of the three files."""
    problems: list[Problem] = []

    def complain(path: Path, line: int, field: str, message: str) -> None:
        problems.append(Problem(str(path), line, field, message))

    path = folder / "sources.csv"
    rows, found = _check_csv(path, ("key", "title", "url", "published", "note"))
    problems += found
    sources: dict[str, Source] = {}
    for line, row in rows:
        published = _day(row["published"], date.max)
        if published is None or published == date.max:
            complain(path, line, "published", f"is {shown(row['published'])}; a date YYYY-MM-DD is expected")
        if not URL.fullmatch(row["url"]):
            complain(path, line, "url", f"is {shown(row['url'])}; an address beginning with https:// is expected")
        if row["key"] in sources or not row["key"]:
            complain(path, line, "key", f"is {shown(row['key'])}; keys are given once and are not empty")
        sources[row["key"]] = Source(row["key"], row["title"], row["url"], published or date.max)

    path = folder / "places.csv"
    rows, found = _check_csv(path, ("iso3", "name", "treated_as", "note"))
    problems += found
    names: dict[str, str] = {}
    treated: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        iso3 = row["iso3"]
        if not ISO3.fullmatch(iso3) or iso3 in names:
            complain(path, line, "iso3", f"is {shown(iso3)}; three capital letters, each code once")
        if not row["name"]:
            complain(path, line, "name", "is empty; the country's name is expected")
        names[iso3], lines[iso3] = row["name"], line
        if row["treated_as"]:
            treated[iso3] = row["treated_as"]
    for iso3, parent in treated.items():
        if parent not in names or parent in treated:
            complain(path, lines[iso3], "treated_as", f"is {shown(parent)}; the code of a state listed here is expected")

    path = folder / "groups.csv"
    rows, found = _check_csv(path, ("iso3", "group", "from", "until", "by", "kind", "source_url", "note"))
    problems += found
    memberships: list[Membership] = []
    spans: dict[tuple[str, str], list[tuple[date, date, int]]] = {}
    for line, row in rows:
        if row["iso3"] not in names:
            complain(path, line, "iso3", f"is {shown(row['iso3'])}, not in places.csv{nearest(row['iso3'], names)}")
        if row["kind"] not in ("reported", "derived", "recalled", "assumed"):
            allowed = ("reported", "derived", "recalled", "assumed")
            complain(path, line, "kind", f"is {shown(row['kind'])}; allowed: {', '.join(allowed)}{nearest(row['kind'], allowed)}")
        if row["kind"] in UNSURE and not row["note"]:
            complain(path, line, "note", f"is empty; a {row['kind']} membership says why it is believed")
        if not URL.fullmatch(row["source_url"]):
            complain(path, line, "source_url", f"is {shown(row['source_url'])}; an address beginning with https:// is expected")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", row["group"]):
            complain(path, line, "group", f"is {shown(row['group'])}; small letters, digits and underscores are expected")
        begins, ends = _day(row["from"], date.min), _day(row["until"], date.max)
        if begins is None or ends is None:
            field = "from" if begins is None else "until"
            complain(path, line, field, f"is {shown(row[field])}; a date YYYY-MM-DD or nothing is expected")
            continue
        if begins >= ends:
            complain(path, line, "until", f"is {ends}, not after `from` {begins}; it is the first day out of the group")
        for other in spans.setdefault((row["iso3"], row["group"]), []):
            if begins < other[1] and other[0] < ends:
                complain(path, line, "from", f"overlaps the membership of {row['iso3']} in {row['group']} on line {other[2]}")
        spans[row["iso3"], row["group"]].append((begins, ends, line))
        memberships.append(
            Membership(row["iso3"], row["group"], begins, ends, row["by"], row["kind"], row["source_url"], row["note"], line)
        )
    if problems:
        raise InputProblems(problems)
    return _Shared(sources, Places(names, treated, tuple(memberships)))


# ---------------------------------------------------------------------- groups of countries


def group_words(expression: str) -> list[tuple[bool, str]]:
    """`d1 + d4 - a5` as [(True, d1), (True, d4), (False, a5)]. Raises ValueError if it is not of that form."""
    parts = expression.split()
    if len(parts) % 2 == 0 or any(sign not in ("+", "-") for sign in parts[1::2]):
        raise ValueError("groups and country codes joined by ` + ` and ` - ` are expected, such as `d1 + d4 - a5`")
    return [(sign == "+", word) for sign, word in zip(["+", *parts[1::2]], parts[0::2], strict=True)]


# ---------------------------------------------------------------------- leaves


def _value_problem(leaf: str, unit: str, value: Any) -> str:
    """What is wrong with a value for its unit, or nothing."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if unit == "yes_no":
        return "" if isinstance(value, bool) else "true or false is expected"
    if unit == "date":
        return "" if isinstance(value, date) else "a date YYYY-MM-DD without quotes is expected"
    if unit == "word":
        words = WORDS.get(leaf, ())
        return "" if value in words else f"allowed: {', '.join(words)}{nearest(value, words)}"
    if unit in ("group", "items"):
        return "" if isinstance(value, str) and value.strip() else f"{UNITS[unit]} are expected"
    if not number or value != value or value in (float("inf"), float("-inf")):
        return f"a finite number is expected ({UNITS[unit]})"
    if unit in WHOLE and not isinstance(value, int):
        return "a whole number written without a point or exponent is expected"
    if unit in ("share", "probability") and not 0 <= value <= 1:
        return f"0 to 1 is expected ({UNITS[unit]}); 7 % is written 0.07"
    if value < 0:
        return "a number of at least 0 is expected"
    if unit in ("tpp", "tpp_per_quarter") and value >= 1 << 50:
        return "a quantity below 2**50 TPP is expected"
    return ""


def _leaf(reader: _Reader, section: str, key: str, entry: LeafEntry, as_of: date) -> DatedLeaf | None:
    """A dated leaf from its entry, after checking unit, values, order of dates, and who says it."""
    field: FieldPath = (section, key)
    if entry.unit not in UNITS:
        reader.complain((*field, "unit"), f"is {shown(entry.unit)}; allowed: {', '.join(UNITS)}{nearest(entry.unit, UNITS)}")
        return None
    if entry.unit == "word" and key not in WORDS:
        reader.complain(
            field, f"has the unit word, but no words are known for it; known: {', '.join(WORDS)}{nearest(key, WORDS)}"
        )
        return None
    if bool(entry.steps) == ("value" in entry.model_fields_set):
        reader.complain(field, "needs exactly one of `value` and `steps`")
        return None
    before = len(reader.problems)
    entries = entry.steps or (StepEntry(value=entry.value),)
    steps: list[tuple[date, Leaf]] = []
    for index, step in enumerate(entries):
        place: FieldPath = (*field, "steps", index) if entry.steps else field
        kind, source = step.kind or entry.kind, step.source or entry.source
        reason, citation = step.reason or step.note or entry.reason or entry.note or "", step.citation or entry.citation
        for key_, text in (("reason", reason), ("citation", citation or "")):
            if len(text) > LONGEST_TEXT:
                reader.complain((*place, key_), f"is longer than {LONGEST_TEXT} characters")
        if wrong := _value_problem(key, entry.unit, step.value):
            reader.complain((*place, "value"), f"is {shown(step.value)}; {wrong}")
        if kind is None:
            reader.complain(place, "lacks `kind`: reported, derived, recalled or assumed")
            continue
        if source is not None:
            reader.check_source(source, (*place, "source") if step.source else (*field, "source"))
        if kind in ("reported", "derived") and not (source and citation):
            lacks = "source" if not source else "citation"
            reader.complain(place, f"is {kind} but has no {lacks}; add `{lacks}:`")
        if kind in UNSURE and not reason:
            reader.complain(place, f"is {kind} but gives no reason; add `reason:` saying why this value")
        begins = step.from_ or date.min
        if steps and begins <= steps[-1][0]:
            reader.complain((*place, "from"), f"is {step.from_}, not after the step before ({steps[-1][0]}); order steps by date")
        read_in = reader.shared.sources.get(source or "")
        known = read_in.published if read_in else as_of
        described = entry.as_of or step.from_ or known
        line = reader.source.line((*place, "value"))
        steps.append((
            begins,
            Leaf(key, step.value, entry.unit, kind, citation or "", read_in.url if read_in else "", reason,
                 described.isoformat(), known, entry.sweep, reader.source.path.name, line),
        ))  # fmt: skip
    if entry.sweep is not None:
        low, high = entry.sweep
        values = [leaf.value for _, leaf in steps]
        wrong = _value_problem(key, entry.unit, low) or _value_problem(key, entry.unit, high)
        if wrong or isinstance(low, str | bool) or not all(low <= value <= high for value in values):
            reader.complain(
                (*field, "sweep"), f"is {shown(list(entry.sweep))}; the smallest and the largest value, around {values}"
            )
    if key.endswith(GROWTH) and steps and steps[0][0] == date.min:
        reader.complain(field, "is a growth without a first day; write `steps:` whose first has a `from:`")
    if len(reader.problems) > before:
        return None
    return DatedLeaf(
        key, entry.unit, tuple(steps), entry.readings, reader.source.path.name, reader.source.line(field), entry.title or ""
    )


# ---------------------------------------------------------------------- resolving


def regime_ids(folder: Path | None = None) -> list[str]:
    """Ids of the regimes in a folder (the shipped one by default), sorted."""
    return sorted(path.stem for path in (folder or shipped("data") / "regimes").glob("*.yaml"))


def load_regime(id: str, folder: Path | None = None) -> Regime:
    """The regime of that id, with what it extends resolved. Raises `InputProblems` naming every fault with file and line.

    The shipped folder is read once in the life of the process, another one at every call.
    """
    if folder is None:
        shared, ready = _shipped_shelf()
        return _load(id, shipped("data") / "regimes", shared, ready)
    return _load(id, folder, _read_shared(folder), {})


def load_all(folder: Path | None = None) -> dict[str, Regime]:
    """All regimes of a folder by id. Raises `InputProblems` with the faults of all files together."""
    shared, ready = _shipped_shelf() if folder is None else (_read_shared(folder), dict[str, Regime]())
    folder = folder or shipped("data") / "regimes"
    problems: list[Problem] = []
    for id in regime_ids(folder):
        try:
            _load(id, folder, shared, ready)
        except InputProblems as error:
            problems += error.problems
    if problems:
        raise InputProblems(problems)
    return {id: ready[id] for id in regime_ids(folder)}


@lru_cache(maxsize=1)
def _shipped_shelf() -> tuple[_Shared, dict[str, Regime]]:
    """What the shipped regimes share, and those of them read so far."""
    return _read_shared(shipped("data") / "regimes"), {}


def _load(id: str, folder: Path, shared: _Shared, ready: dict[str, Regime], chain: tuple[str, ...] = ()) -> Regime:
    if id in ready:
        return ready[id]
    path = folder / f"{id}.yaml"
    if not REGIME_ID.fullmatch(id) or not path.is_file():
        known = regime_ids(folder)
        raise refuse(path, f"no such regime; known: {', '.join(known)}{nearest(id, known)}")
    found: list[Problem] = []
    reader = _Reader(read_yaml(path, found), shared, found)
    reader.read()
    raw = reader.source.content
    parent: Regime | None = None
    extends = raw.get("extends")
    if isinstance(extends, str) and REGIME_ID.fullmatch(extends):
        if extends in (*chain, id):
            loop = " -> ".join((*chain, id, extends))
            reader.complain(("extends",), f"closes a circle ({loop}); a regime cannot extend itself")
        elif extends not in regime_ids(folder):
            reader.complain(("extends",), f"is {shown(extends)}, which does not exist{nearest(extends, regime_ids(folder))}")
        else:
            try:
                parent = _load(extends, folder, shared, ready, (*chain, id))
            except InputProblems as error:
                raise InputProblems([*reader.problems, *error.problems]) from None
    if reader.problems:
        raise InputProblems(reader.problems)
    regime = _resolve(reader, parent)
    if reader.problems:
        raise InputProblems(reader.problems)
    ready[id] = regime
    return regime


def _resolve(reader: _Reader, parent: Regime | None) -> Regime:
    """Lay a file over the regime it extends, and check every reference inside the result."""
    raw, complain = reader.source.content, reader.complain
    id, as_of = raw["id"], raw["as_of"]
    defined = dict(parent.defined_in) if parent else {}

    leaves = dict(parent.leaves) if parent else {}
    stated: set[str] = set()
    for section in ("limits", "behaviour"):
        for key, entry in reader.sections[section].items():
            if key in stated:
                complain((section, key), "is stated under limits and under behaviour; keep one")
            stated.add(key)
            if parent and key not in parent.leaves and not entry.adds:
                complain(
                    (section, key),
                    f"is unknown to {parent.id}{nearest(key, parent.leaves)}; write `adds: true` if it is meant as new",
                )
            if parent and key in parent.leaves and entry.adds:
                complain((section, key, "adds"), f"says the leaf is new, but {parent.id} has it")
            if parent and key in parent.leaves and entry.unit != parent.leaves[key].unit:
                complain((section, key, "unit"), f"is {shown(entry.unit)}; {parent.id} states it in {parent.leaves[key].unit}")
            leaf = _leaf(reader, section, key, entry, as_of)
            if leaf is not None:
                inherited = parent.leaves[key].title if parent and key in parent.leaves else ""
                leaves[key], defined[key] = replace(leaf, title=leaf.title or inherited), id

    instruments = {**(parent.instruments if parent else {}), **reader.sections["instruments"]}
    items = {**(parent.items if parent else {}), **reader.sections["items"]}
    exceptions = {**(parent.exceptions if parent else {}), **reader.sections["exceptions"]}
    switches = {**(parent.switches if parent else {}), **reader.sections["switches"]}
    for key, instrument in reader.sections["instruments"].items():
        _check_dates(complain, ("instruments", key), instrument)
    for key, switch in reader.sections["switches"].items():
        if switch.default not in switch.readings:
            known = ", ".join(switch.readings)
            complain(
                ("switches", key, "default"),
                f"is {shown(switch.default)}; allowed: {known}{nearest(switch.default, switch.readings)}",
            )

    provisions = list(parent.provisions) if parent else []
    for index, gone in enumerate(raw.get("removes", [])):
        names = [p.id for p in provisions]
        if gone not in names:
            complain(
                ("removes", index),
                f"is {shown(gone)}, not a provision of {parent.id if parent else 'nothing'}{nearest(gone, names)}",
            )
        provisions = [p for p in provisions if p.id != gone]
    for index, provision in reader.lists["provisions"]:
        _place(complain, ("provisions", index), provisions, provision, parent)
        defined[provision.id] = id
    lists = {
        name: [*(getattr(parent, name) if parent else ()), *(r for _, r in reader.lists[name])]
        for name in ("holds", "grants", "events")
    }

    regime = Regime(
        id, raw["title"], raw["supposes"], (id, *(parent.lineage if parent else ())), as_of, instruments, items, exceptions,
        tuple(provisions), leaves, switches, tuple(lists["holds"]), tuple(lists["grants"]), tuple(lists["events"]),
        reader.shared.places, reader.shared.sources, defined,
    )  # fmt: skip
    if not reader.problems:
        _check_references(reader, regime)
    return regime


def _check_dates(complain: Callable[[FieldPath, str], None], field: FieldPath, entry: Instrument | Provision) -> None:
    """Effective not before announced (a letter may bind before it is public), compliance not before effective, end last."""
    if entry.effective and entry.compliance and entry.compliance < entry.effective:
        complain((*field, "compliance"), f"is {entry.compliance}, before the effective day {entry.effective}")
    if entry.counts_from and entry.compliance and entry.counts_from > entry.compliance:
        complain(
            (*field, "counts_from"),
            f"is {entry.counts_from}, after the compliance day {entry.compliance}; counting starts no later",
        )
    if entry.ends and entry.effective and entry.ends.on < entry.effective:
        complain((*field, "ends", "on"), f"is {entry.ends.on}, before the effective day {entry.effective}")
    if entry.ends and entry.ends.announced and entry.ends.announced > entry.ends.on:
        complain((*field, "ends", "announced"), f"is {entry.ends.announced}, after the end itself ({entry.ends.on})")


def _place(
    complain: Callable[[FieldPath, str], None],
    field: FieldPath,
    provisions: list[Provision],
    new: Provision,
    parent: Regime | None,
) -> None:
    """Put a provision over the inherited one of its id, at its stated place, or (without a parent) at the end."""
    names = [p.id for p in provisions]
    _check_dates(complain, field, new)
    if new.before and new.after:
        complain((*field, "after"), "is given beside `before`; state one place")
        return
    anchor = new.before or new.after
    if new.id in names and anchor is None:
        provisions[names.index(new.id)] = new
        return
    if anchor is not None:
        if anchor not in names:
            where = "before" if new.before else "after"
            complain((*field, where), f"is {shown(anchor)}, not a provision above or inherited{nearest(anchor, names)}")
            return
        if new.id in names:
            del provisions[names.index(new.id)]
            names.remove(new.id)
        provisions.insert(names.index(anchor) + (0 if new.before else 1), new)
    elif parent is not None:
        complain(field, f"is new here: say where {new.id} stands with `before:` or `after:` (first match in order decides)")
    else:
        provisions.append(new)


def _check_references(reader: _Reader, regime: Regime) -> None:
    """Everything a file names must exist: instruments, leaves, item classes, exceptions, switches, groups, end of the list."""
    complain, places = reader.complain, regime.places
    named_groups = {key.removeprefix("group.") for key in regime.leaves if key.startswith("group.")}
    words = {"any", "none", *named_groups, *places.groups}

    def check_group(expression: str, field: FieldPath) -> None:
        try:
            parts = group_words(expression)
        except ValueError as error:
            complain(field, f"is {shown(expression)}; {error}")
            return
        for _, word in parts:
            if word not in words and word not in places.names:
                complain(
                    field, f"names {shown(word)}, neither a group nor a country code{nearest(word, [*words, *places.names])}"
                )

    def check_name(word: str, known: Iterable[str], field: FieldPath, what: str) -> None:
        known = list(known)
        if word not in known:
            complain(field, f"is {shown(word)}, not {what} of this regime{nearest(word, known)}")

    def check_leaf(word: str | None, units: tuple[str, ...], field: FieldPath) -> None:
        if word is None:
            return
        check_name(word, regime.leaves, field, "a leaf")
        if word in regime.leaves and regime.leaves[word].unit not in units:
            complain(field, f"names {word}, which is in {regime.leaves[word].unit}; {' or '.join(units)} is expected")

    for index, p in reader.lists["provisions"]:
        field: FieldPath = ("provisions", index)
        check_name(p.instrument, regime.instruments, (*field, "instrument"), "an instrument")
        for name in ("destinations", "headquarters", "origins"):
            check_group(getattr(p, name), (*field, name))
        for place, item in enumerate(p.items):
            check_name(item, ("any", *regime.items), (*field, "items", place), "an item class")
        for place, exception in enumerate(p.admits):
            check_name(exception, regime.exceptions, (*field, "admits", place), "an exception")
        for name in ("quantity_at_most", "quantity_above"):
            check_leaf(getattr(p, name), ("tpp",), (*field, name))
        for switch, readings in p.only_if.items():
            check_name(switch, regime.switches, (*field, "only_if", switch), "a switch")
            for reading in readings if switch in regime.switches else ():
                check_name(reading, regime.switches[switch].readings, (*field, "only_if", switch), f"a reading of {switch}")
        if p.quota is not None:
            check_name(p.quota, QUOTAS, (*field, "quota"), "a pot")
            for needed in ("tpp", "window_start", "window_end") if p.quota == "allocation" else ():
                if f"allocation.{needed}" not in regime.leaves:
                    complain((*field, "quota"), f"draws on the allocation, but the regime has no leaf allocation.{needed}")
        if (p.demands == "licence") != (p.review is not None):
            complain((*field, "review"), "is stated exactly where a licence is demanded; allowed: " + ", ".join(Review.__args__))  # type: ignore[attr-defined]
        if p.demands != "licence" and (p.admits or p.quota):
            complain(field, "admits exceptions or draws on a quota, but demands no licence")
    for key, exception in reader.sections["exceptions"].items():
        check_name(exception.instrument, regime.instruments, ("exceptions", key, "instrument"), "an instrument")
        check_group(exception.destinations, ("exceptions", key, "destinations"))
        check_group(exception.headquarters, ("exceptions", key, "headquarters"))
    for key, item in reader.sections["items"].items():
        for index, limb in enumerate(item.any_of):
            tests = limb.model_dump(exclude_none=True)
            if not tests:
                complain(("items", key, "any_of", index), "tests nothing; name at least one measure")
            for test, word in tests.items():
                if test == "data_centre":
                    continue
                measure = test.removesuffix("_at_least").removesuffix("_below")
                check_leaf(word, (_MEASURED_IN[measure],), ("items", key, "any_of", index, test))
    for index, hold in reader.lists["holds"]:
        check_group(hold.destinations, ("holds", index, "destinations"))
        if hold.until <= hold.from_:
            complain(
                ("holds", index, "until"), f"is {hold.until}, not after `from` {hold.from_}; it is the first day without the hold"
            )
    for index, grant in reader.lists["grants"]:
        check_name(grant.destination, places.names, ("grants", index, "destination"), "a country")
    for index, event in reader.lists["events"]:
        known = [*(p.id for p in regime.provisions), *regime.leaves, *regime.instruments, *(h.id for h in regime.holds),
                 *(g.id for g in regime.grants), *regime.exceptions]  # fmt: skip
        for place, effect in enumerate(event.effect):
            check_name(effect, known, ("events", index, "effect", place), "a provision, leaf, instrument, hold or grant")
    for section in ("limits", "behaviour"):
        for key, entry in reader.sections[section].items():
            field = (section, key)
            if entry.unit == "group":
                for step in entry.steps or (StepEntry(value=entry.value),):
                    check_group(str(step.value), field)
            if entry.unit == "items":
                for step in entry.steps or (StepEntry(value=entry.value),):
                    for word in str(step.value).split(" + "):
                        check_name(word, regime.items, field, "an item class")
            for switch, readings in entry.readings.items():
                check_name(switch, regime.switches, (*field, "readings", switch), "a switch")
                for reading, value in readings.items() if switch in regime.switches else ():
                    place_: FieldPath = (*field, "readings", switch, reading)
                    check_name(reading, regime.switches[switch].readings, place_, f"a reading of {switch}")
                    if wrong := _value_problem(key, entry.unit, value):
                        complain(place_, f"is {shown(value)}; {wrong}")
                    if entry.unit == "group" and isinstance(value, str):
                        check_group(value, place_)
    _check_circles(complain, regime)
    _check_outcomes(reader, regime)
    last = regime.provisions[-1] if regime.provisions else None
    if (
        last is None
        or (last.destinations, last.headquarters, last.items, last.origins) != ("any", "any", ("any",), "any")
        or (last.end_users or last.only_if or last.ends or last.quantity_above or last.quantity_at_most)
    ):
        at: FieldPath = ("provisions", len(raw_list) - 1) if (raw_list := reader.source.content.get("provisions")) else ()
        complain(at, "does not close the list: the last provision must take any destination, headquarters and item, without end")


def _check_circles(complain: Callable[[FieldPath, str], None], regime: Regime) -> None:
    """A named group may use others, but not itself."""

    def reaches(word: str, seen: tuple[str, ...]) -> bool:
        leaf = regime.leaves.get(f"group.{word}")
        if leaf is None:
            return False
        if word in seen:
            return True
        return any(reaches(w, (*seen, word)) for _, step in leaf.steps for w in step.value.split())

    for key in regime.leaves:
        if key.startswith("group.") and reaches(key.removeprefix("group."), ()):
            complain(("limits", key), "is defined by way of itself")


def _check_outcomes(reader: _Reader, regime: Regime) -> None:
    """Approved, denied and returned are all that can happen to an application: the three sum to one."""
    for posture in Review.__args__:  # type: ignore[attr-defined]
        parts = [regime.leaves.get(f"outcome.{posture}.{end}") for end in ("approve", "deny", "return")]
        if any(part is None for part in parts):
            continue
        begins = {day for part in parts if part for day, _ in part.steps}
        for day in begins:
            try:
                total = sum(part.at(day).value for part in parts if part)
            except LookupError:
                continue
            if abs(total - 1) > 1e-9:
                reader.complain(
                    ("behaviour", f"outcome.{posture}.approve"),
                    f"and the shares of denials and returns sum to {total:.4f}; 1 is expected",
                )


def with_changes(regime: Regime, changes: Mapping[str, Any]) -> Regime:
    """The regime with some leaves set to one value at all dates for which it states them (a scenario's own supposition: kind
    assumed).

    Raises ValueError naming the nearest leaf, or what its unit allows.
    """
    if not changes:
        return regime
    leaves = dict(regime.leaves)
    for key, value in changes.items():
        old = leaves.get(key)
        if old is None:
            raise ValueError(f"{key} is not a leaf of {regime.id}{nearest(key, leaves)}")
        if wrong := _value_problem(key, old.unit, value):
            raise ValueError(f"{key} is {shown(value)}; {wrong}")
        first = replace(old.steps[0][1], value=value, kind="assumed", reason="set by the scenario", file="scenario", line=0)
        leaves[key] = replace(old, steps=((old.steps[0][0], first),), readings={})
    return replace(regime, leaves=leaves)
