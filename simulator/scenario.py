"""What we suppose: scenario files, how they build on one another, and what they say once resolved.

A scenario is a complete timeline of law (history until it diverges, then its own regime to the horizon), changes to
inputs, and switches for mechanisms. Files are read in layers, each replacing what lies below and recording old -> new:

    defaults <- the parents named by `extends` <- the file <- overrides (side by side) <- `--set` (side by side)

Layers that stand side by side may not set one field to different values. Nothing else about a file matters: neither
comments nor the order of keys or of input changes has any effect on the content hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar, cast, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from simulator.problems import InputProblems, Problem, nearest, refuse, shown
from simulator.regimes import regime_ids as regime_ids
from simulator.resources import shipped
from simulator.yamlfile import MAX_BYTES, FieldPath, dotted, parse_yaml, printable

SCHEMA_VERSION = 2
"""Part of every content hash: raised when the meaning of a field changes."""

FIRST_DAY = date(2023, 1, 1)
"""Earliest start: the companies' fleets are known from the evening before."""
LAST_DAY = date(2031, 12, 31)
"""Latest end: budgets and chip supply are given to the end of 2031."""
FIRST_CONTROLS = date(2022, 10, 7)
"""First advanced-computing controls: before them there is no law to diverge from."""
SHORTEST_DAYS = 90
MAX_EXTENDS = 8
MAX_INPUTS = 200

HISTORY = "history"
Table: TypeAlias = Literal[
    "countries",
    "markets",
    "companies",
    "fleets",
    "footprint",
    "announcements",
    "accelerators",
    "supply",
    "costs",
    "process",
    "statistics",
]
TABLES: tuple[str, ...] = get_args(Table)
EFFECTS = ("set", "multiply", "add")
FORESEEN = ("supply", "companies")
"""Tables that companies plan on by what they expect: only there does it matter since when a change is known"""

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9_./-]*$"
PARAMETER = r"^[a-z][a-z0-9_]*$"
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # control, format (zero width, direction), private, line separators

# --------------------------------------------------------------------------------------------------------------
# What a single value may be. Each reader either returns the value or says what is wrong and what to write instead.


def _wrong(message: str) -> NoReturn:
    raise PydanticCustomError("said", "{message}", {"message": message})


def _text(limit: int) -> Callable[[Any], str]:
    """A reader of plain words of at most `limit` characters; white space is collapsed."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            _wrong(f"{shown(value)} is not text; put it in quotes")
        words = re.sub(r"[ \t\r\n]+", " ", value).strip(" ")
        for character in words:
            if unicodedata.category(character) in _HIDDEN:
                _wrong(f"holds the invisible character U+{ord(character):04X}; delete it")
            if character in "<>":
                _wrong(f"holds {character!r}; markup is not accepted, write plain words")
        if not words:
            _wrong("is empty; write a few words")
        if len(words) > limit:
            _wrong(f"has {len(words)} characters; at most {limit} are allowed")
        return words

    return read


def _one_sentence(words: str) -> str:
    if not words.endswith("."):
        _wrong("does not end with a full stop; write one sentence")
    if re.search(r"[.!?]\s+[A-Z]", words):
        _wrong("is more than one sentence; say in one what the scenario supposes")
    return words


def _pattern(what: str, pattern: str, limit: int) -> Callable[[Any], str]:
    matches = re.compile(pattern).fullmatch

    def read(value: Any) -> str:
        if not isinstance(value, str):
            _wrong(f"{shown(value)} is not {what}; write it as text")
        if len(value) > limit:
            _wrong(f"has {len(value)} characters; {what} has at most {limit}")
        if not matches(value):
            letters = {
                SLUG: "lower-case letters, digits and single hyphens",
                PARAMETER: "lower-case letters, digits and _",
                IDENTIFIER: "letters, digits, _ . / and -, beginning with a letter or digit",
            }
            _wrong(f"{shown(value)} is not {what}; use {letters[pattern]}")
        return value

    return read


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            _wrong(f"{shown(value)} is not a day of the calendar; write an existing date as YYYY-MM-DD")
    read = value.isoformat() if isinstance(value, datetime) else value
    _wrong(f"{shown(read)} is not a date; write it as YYYY-MM-DD, for example 2027-01-01")


def _optional_day(value: Any) -> date | None:
    return None if value is None else _day(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        _wrong(f"{shown(value)} is neither true nor false; write one of the two, without quotes")
    return value


def _number(value: Any) -> float:
    """A finite float; text that looks like a number with a per cent sign or a unit gets its own advice."""
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"[-+]?[\d.,]+\s*%", text):
            _wrong(f"{shown(value)} carries a per cent sign; write the plain number, for example 0.6 for 60 %")
        if re.fullmatch(r"[-+]?[\d.,]+\s*[A-Za-z/_ ]+", text):
            _wrong(f"{shown(value)} carries a unit; write the number alone, in the unit `groundbreak data` shows for it")
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong(f"{shown(value)} is not a number; write it with digits and a decimal point, without quotes")
    try:
        number = float(value)
    except OverflowError:
        _wrong(f"{shown(value)} is too large for a number")
    if not math.isfinite(number):
        _wrong(f"{number} is not a finite number")
    return number


def _optional_number(value: Any) -> float | None:
    return None if value is None else _number(value)


def _factor(value: Any) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if not 0 < number <= 100:
        _wrong(f"{number:g} is not a factor above 0 and up to 100 (0.6 takes 40 % away; to switch off use `set: 0`)")
    return number


def _entities(value: Any) -> str | tuple[str, ...]:
    """One name, `*`, or several names (sorted, without repeats)."""
    if value == "*":
        return "*"
    name = _pattern("the name of an entity", IDENTIFIER, 80)
    for word in value if isinstance(value, list | tuple) else (value,):
        if word == "*":
            _wrong("holds '*' in a list; write entity: '*' alone for all who have the parameter")
        if isinstance(word, str) and word.lower() in ("all", "any", "every", "everyone"):
            _wrong(f"{shown(word)} is nobody's name; write '*', with the quotes, for all who have the parameter")
    if not isinstance(value, list | tuple):
        return name(value)
    if not value:
        _wrong("is an empty list; name at least one entity, or write '*' for all")
    names = sorted({name(item) for item in value})
    return names[0] if len(names) == 1 else tuple(names)


def _parent_name(value: Any) -> str:
    """A shipped name, or a file beside the child or below it; nothing that leads elsewhere."""
    leads = isinstance(value, str) and (value.startswith(("/", "../", "~")) or ".." in re.split(r"[/\\]", value) or "\\" in value)
    if leads:
        _wrong(
            f"{shown(value)} leads out of the folder; name a shipped scenario, or a file beside this one or below it, such as "
            "base.yaml or variants/base.yaml"
        )
    return _pattern("the name or file name of a scenario", IDENTIFIER, 200)(value)


def _scope(value: Any) -> str:
    return "" if value in (None, "") else _text(120)(value)


def _leaf_value(value: Any) -> Any:
    """What a leaf of law may hold: a finite number, a truth value, a date, or words."""
    if isinstance(value, bool) or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    if isinstance(value, int | float):
        number = _number(value)
        return int(value) if number.is_integer() else number
    if not isinstance(value, str):
        _wrong(f"{shown(value)} cannot be the value of a rule; write a number, true or false, a date, or words")
    return _text(200)(value)


def _no_repeats(value: tuple[str, ...]) -> tuple[str, ...]:
    for item in value:
        if value.count(item) > 1:
            _wrong(f"names {item!r} twice; keep one")
    return value


K = TypeVar("K")
V = TypeVar("V")


class Fixed(dict[K, V]):
    """A dictionary that cannot change, so that a frozen scenario is frozen all the way down."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a resolved scenario cannot be changed; load it again with an override")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Fixed, (dict(self),))


def _fixed(value: dict[K, V]) -> dict[K, V]:
    return Fixed(value)


_DATE_SCHEMA: dict[str, Any] = {"type": "string", "format": "date"}
Day: TypeAlias = Annotated[date, BeforeValidator(_day)]
OptionalDay: TypeAlias = Annotated[
    date | None, BeforeValidator(_optional_day), WithJsonSchema({"anyOf": [_DATE_SCHEMA, {"type": "null"}]})
]
Switch: TypeAlias = Annotated[bool, BeforeValidator(_switch)]
OptionalNumber: TypeAlias = Annotated[float | None, BeforeValidator(_optional_number)]
Factor: TypeAlias = Annotated[
    float | None,
    BeforeValidator(_factor),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 100}, {"type": "null"}]}),
]


def _text_schema(limit: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limit, "pattern": "^[^<>]*$"})


Name: TypeAlias = Annotated[
    str,
    BeforeValidator(_pattern("a name", SLUG, 60)),
    WithJsonSchema({"type": "string", "pattern": SLUG, "maxLength": 60}),
]
Title: TypeAlias = Annotated[str, BeforeValidator(_text(100)), _text_schema(100)]
Sentence: TypeAlias = Annotated[str, BeforeValidator(_text(400)), AfterValidator(_one_sentence), _text_schema(400)]
Reason: TypeAlias = Annotated[str, BeforeValidator(_text(400)), _text_schema(400)]
RegimeId: TypeAlias = Annotated[
    str, BeforeValidator(_pattern("the id of a regime", SLUG, 60)), WithJsonSchema({"type": "string", "pattern": SLUG})
]
Key: TypeAlias = Annotated[str, BeforeValidator(_pattern("an id", IDENTIFIER, 120))]
Parent: TypeAlias = Annotated[str, BeforeValidator(_parent_name)]
Parameter: TypeAlias = Annotated[
    str,
    BeforeValidator(_pattern("the name of a parameter", PARAMETER, 80)),
    WithJsonSchema({"type": "string", "pattern": PARAMETER, "maxLength": 80}),
]
Entities: TypeAlias = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_entities),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 80},
                {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1, "maxLength": 80}},
            ]
        }
    ),
]
LeafValue: TypeAlias = Annotated[Any, BeforeValidator(_leaf_value), WithJsonSchema({"type": ["number", "boolean", "string"]})]


# --------------------------------------------------------------------------------------------------------------
# The schema. The sentence under each field is its documentation, here and in the editors that read the JSON Schema.


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LaterRegime(_Closed):
    """A further change of law after the scenario has diverged from history."""

    starts: Day = Field(alias="from", description="First day (YYYY-MM-DD) of this regime; after `diverges_on` and in order.")
    regime: RegimeId = Field(description="Id of the regime in force from that day (a file of data/regimes).")


class LeafSetting(_Closed):
    """One value of the law replaced, from the day the scenario diverges."""

    value: LeafValue = Field(description="New value, in the unit of the leaf it replaces.")
    reason: Reason = Field(description="Why this value: plain words, at most 400 characters.")


class Policy(_Closed):
    """The law as a complete timeline: history until `diverges_on`, then `regime`, then each of `later`, to the end."""

    diverges_on: OptionalDay = Field(
        None,
        description="Day (YYYY-MM-DD) on which the law leaves history; before it every event equals history. "
        "Null: history throughout.",
    )
    regime: RegimeId | None = Field(
        None, description="Id of the regime in force from `diverges_on` (a file of data/regimes). Null: history throughout."
    )
    later: tuple[LaterRegime, ...] = Field((), description="Further changes of law, in order of date.", max_length=20)
    foresight: Switch = Field(
        True, description="True: companies plan on what has been announced. False: only on what is already in force."
    )
    grants_overlay: Switch = Field(
        False, description="True: licences really granted in history come on their dates instead of from the model."
    )
    readings: Annotated[dict[Key, Key | None], AfterValidator(_fixed)] = Field(
        default_factory=Fixed,
        description="Chosen reading for each disputed provision, by the switch the regime names. Null: the regime's own reading.",
    )
    set: Annotated[dict[Key, LeafSetting | None], AfterValidator(_fixed)] = Field(
        default_factory=Fixed,
        description="Values of the law replaced from `diverges_on` on, by the id of the leaf. Null: drop what a parent sets.",
    )


class InputChange(_Closed):
    """A change to inputs of one table: exactly one of `set`, `multiply` and `add`; low, mode and high move together."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"oneOf": [{"required": [effect], "properties": {effect: {"type": "number"}}} for effect in EFFECTS]},
    )

    table: Table = Field(description="Table of data/ that holds the inputs.")
    parameter: Parameter = Field(description="Name of the parameter in that table.")
    entity: Entities = Field("world", description="Whose inputs: a name, a list of names, or '*' for all who have the parameter.")
    scope: Annotated[str, BeforeValidator(_scope)] = Field(
        "", description="Scope of the rows (a route, a stage, a vendor); empty: rows without a scope; '*': every scope."
    )
    period_from: OptionalDay = Field(
        None, alias="from", description="First day (YYYY-MM-DD): rows whose period starts on it or later. Null: no limit."
    )
    period_to: OptionalDay = Field(
        None, alias="to", description="Last day (YYYY-MM-DD): rows whose period starts on it or earlier. Null: no limit."
    )
    set: OptionalNumber = Field(None, description="New middle value, in the unit of the row; its range moves in proportion.")
    multiply: Factor = Field(None, description="Factor on the value and its range: above 0, up to 100 (1.5: half as much again).")
    add: OptionalNumber = Field(None, description="Added to the value and its range, in the unit of the row.")
    known_from: OptionalDay = Field(
        None,
        description="Day (YYYY-MM-DD) on which companies learn of the change: what they plan before it follows the unchanged inputs. "
        f"For the tables {' and '.join(FORESEEN)} only. Null: always known.",
    )
    reason: Reason = Field(description="Why: plain words, at most 400 characters.")

    @model_validator(mode="after")
    def _agrees(self) -> InputChange:
        given = {name: getattr(self, name) for name in (*EFFECTS, "table", "known_from")}
        given |= {"from": self.period_from, "to": self.period_to}
        for _, message in change_problems(given):
            _wrong(message)
        return self

    @property
    def effect(self) -> str:
        """`set`, `multiply` or `add`."""
        return next(name for name in EFFECTS if getattr(self, name) is not None)

    @property
    def amount(self) -> float:
        """The number to set, multiply by or add."""
        return float(getattr(self, self.effect))

    @property
    def names(self) -> tuple[str, ...]:
        """The entities as a tuple; `("*",)` for all."""
        return (self.entity,) if isinstance(self.entity, str) else self.entity

    @property
    def key(self) -> tuple[Hashable, ...]:
        """What the change applies to; a layer above with the same key replaces it."""
        return (self.table, self.parameter, self.names, self.scope, self.period_from, self.period_to)

    @property
    def changes_nothing(self) -> bool:
        """True for `multiply: 1` and `add: 0`, which a child may use to take back what its parent changes."""
        return (self.effect, self.amount) in (("multiply", 1.0), ("add", 0.0))

    def overlaps(self, other: InputChange) -> bool:
        """True if some row could be changed by both."""
        if (self.table, self.parameter) != (other.table, other.parameter):
            return False
        everyone = "*" in (*self.names, *other.names)
        if not everyone and not set(self.names) & set(other.names):
            return False
        if "*" not in (self.scope, other.scope) and self.scope != other.scope:
            return False
        first = max(self.period_from or date.min, other.period_from or date.min)
        return first <= min(self.period_to or date.max, other.period_to or date.max)


class Mechanisms(_Closed):
    """Parts of the model that can be switched off, to see what they contribute."""

    relocation: Switch = Field(True, description="A company whose project is stuck or refused may move it to another market.")
    uveu: Switch = Field(True, description="Universal validated end users: the company-wide authorisation with footprint ratios.")
    lpp: Switch = Field(True, description="License Exception LPP: small quantities per consignee and calendar year.")
    nveu: Switch = Field(True, description="National validated end users: an authorisation for one country with a cap.")
    rationing: Switch = Field(True, description="Every market hands out its grid capacity in a queue; off: a distribution.")
    bridging: Switch = Field(True, description="Sites may run on on-site generation until the grid comes.")
    crew_limit: Switch = Field(True, description="A company can have only so many MW under construction at once.")
    front_loading: Switch = Field(True, description="Companies ship ahead of an announced restriction to sites near ready.")
    classification: Switch = Field(True, description="Some chips need a formal classification before the first filing.")
    review_queue: Switch = Field(True, description="Applications wait for a reviewer; off: the queue is always empty.")
    security: Switch = Field(True, description="Controlled sites need a security acceptance before chips may be shipped.")
    money_bound: Switch = Field(True, description="Chips are bought only as far as the AI budget pays for them.")
    luck: Switch = Field(True, description="Random spread of single projects, permits, queues and decisions; off: medians.")
    assumptions: Switch = Field(True, description="Uncertain inputs vary between replications; off: their middle values.")


class Content(_Closed):
    start: Day = Field(date(2024, 1, 1), description="First day (YYYY-MM-DD) of the simulation, from 2023-01-01.")
    end: Day = Field(date(2031, 12, 31), description="Last day (YYYY-MM-DD) of the simulation, up to 2031-12-31.")
    policy: Policy = Field(default_factory=lambda: Policy.model_validate({}), description="The law, from start to end.")
    inputs: tuple[InputChange, ...] = Field((), description="Changes to the inputs in data/.", max_length=MAX_INPUTS)
    mechanisms: Mechanisms = Field(
        default_factory=lambda: Mechanisms.model_validate({}), description="Switches for parts of the model."
    )


class Override(Content):
    """A set of changes that can be laid over a scenario: a named block of a file, or a file of its own."""

    supposes: Sentence | None = Field(None, description="What the override supposes, in one sentence ending with a full stop.")


class Words(_Closed):
    name: Name = Field(description="Name: the file name without .yaml; lower-case letters, digits, single hyphens.")
    title: Title = Field(description="Short title for tables and charts, at most 100 characters.")
    supposes: Sentence = Field(description="What the scenario supposes, in one sentence ending with a full stop.")
    tags: Annotated[tuple[Name, ...], AfterValidator(_no_repeats)] = Field(
        (), description="Words to group scenarios by in lists; no effect on results.", max_length=10
    )


class ScenarioFile(Content, Words):
    """One scenario file of Groundbreak, as written; `extends` and `overrides` are resolved when it is loaded."""

    extends: Parent | None = Field(
        None, description="Scenario to start from: a file beside this one or below it (name or file name), or a shipped name."
    )
    overrides: dict[Name, Override] = Field(
        default_factory=dict, description="Named sets of changes, applied only when asked for by name."
    )


@dataclass(frozen=True)
class Origin:
    """Who set a field: the layer's name, its file ('' for a default) and line (0 where there is none)."""

    layer: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file or self.file == self.layer:
            return self.layer
        return f"{self.layer} ({self.file}:{self.line})" if self.line else f"{self.layer} ({self.file})"


DEFAULT = Origin("default")


@dataclass(frozen=True)
class Replacement:
    """A field that a later layer set to another value: old -> new, and who said which."""

    field: str
    old: Any
    new: Any
    old_origin: Origin
    new_origin: Origin

    def __str__(self) -> str:
        return (
            f"{self.field}: {value_in_words(self.old)} -> {value_in_words(self.new)} ({self.new_origin} over {self.old_origin})"
        )


@dataclass(frozen=True)
class Segment:
    """A stretch of the timeline under one regime, both days included."""

    first: date
    last: date
    regime: str


class Scenario(Content, Words):
    """A fully resolved scenario. Frozen; equal scenarios suppose the same and are called the same."""

    _provenance: dict[str, Origin] = PrivateAttr(default_factory=dict)
    _replacements: tuple[Replacement, ...] = PrivateAttr(default=())
    _applied: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _is_a_timeline(self) -> Scenario:
        found = disagreements(self)
        if found:
            _wrong("; ".join(f"{dotted(d.field)}: {d.message}" for d in found))
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and all(getattr(self, name) == getattr(other, name) for name in Scenario.model_fields)

    def __hash__(self) -> int:
        return hash((self.name, self.start, self.end, self.policy, self.inputs, self.mechanisms))

    @property
    def provenance(self) -> Mapping[str, Origin]:
        """Which layer set each field, by dotted field name; `DEFAULT` for those nobody set."""
        return dict.fromkeys(_every_field(self), DEFAULT) | self._provenance

    @property
    def replacements(self) -> tuple[Replacement, ...]:
        """What later layers replaced, in the order it happened."""
        return self._replacements

    @property
    def applied(self) -> tuple[str, ...]:
        """Names of the overrides and settings laid over the file."""
        return self._applied

    @property
    def label(self) -> str:
        """The name, with the overrides and settings laid over it: `history + start=2023-01-01`."""
        return " + ".join((self.name, *self._applied))

    @property
    def changes(self) -> tuple[InputChange, ...]:
        """The input changes that change something, in canonical order."""
        return tuple(sorted((c for c in self.inputs if not c.changes_nothing), key=order))

    def timeline(self) -> tuple[Segment, ...]:
        """The regimes in force from start to end, without gaps, in order."""
        steps = [(date.min, HISTORY)]
        if self.policy.diverges_on and self.policy.regime:
            steps += [(self.policy.diverges_on, self.policy.regime), *((s.starts, s.regime) for s in self.policy.later)]
        segments = []
        for (first, regime), (following, _) in zip(steps, [*steps[1:], (self.end + timedelta(days=1), "")], strict=True):
            last = min(following - timedelta(days=1), self.end)
            if max(first, self.start) <= last:
                segments.append(Segment(max(first, self.start), last, regime))
        return tuple(segments)

    def regime_on(self, day: date) -> str:
        """Id of the regime in force on a day between start and end."""
        return next(s.regime for s in self.timeline() if s.first <= day <= s.last)


# --------------------------------------------------------------------------------------------------------------
# What must agree once the layers are merged.


@dataclass(frozen=True)
class _Disagreement:
    """A fault between fields: where to look first, the other fields involved, what is wrong and what to do."""

    field: FieldPath
    message: str
    others: tuple[FieldPath, ...] = ()


def change_problems(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Faults between the keys of one input change: (key or '', message)."""
    found = []
    effects = [name for name in given if name in EFFECTS and given[name] is not None]
    if not effects:
        found.append(("", "says no change; give exactly one of set, multiply and add"))
    elif len(effects) > 1:
        found.append((effects[1], f"stands beside {effects[0]}; keep exactly one of set, multiply and add"))
    first, last = given.get("from"), given.get("to")
    if isinstance(first, date) and isinstance(last, date) and first > last:
        found.append(("to", f"{last} lies before `from` ({first}); write the earlier date first"))
    if given.get("known_from") is not None and given.get("table") in TABLES and given["table"] not in FORESEEN:
        message = f"is for the tables {' and '.join(FORESEEN)}, on which companies plan; what {given['table']} holds is met, not planned"
        found.append(("known_from", f"{message}; leave it out"))
    return found


def disagreements(content: Content, place: Callable[[FieldPath], str] = dotted) -> list[_Disagreement]:
    """Every fault between the fields of merged content; `place` words another field's place in a message."""
    found: list[_Disagreement] = []
    start, end, policy = content.start, content.end, content.policy
    diverges, regime, later = ("policy", "diverges_on"), ("policy", "regime"), ("policy", "later")

    def say(field: FieldPath, message: str, *others: FieldPath) -> None:
        found.append(_Disagreement(field, message, others))

    if start < FIRST_DAY:
        say(("start",), f"{start} is too early; the inputs allow a start from {FIRST_DAY}")
    if end > LAST_DAY:
        say(("end",), f"{end} is too late; the inputs reach to {LAST_DAY}")
    if end <= start:
        say(("end",), f"{end} does not lie after the start ({start}); write a later date", ("start",))
    elif (length := (end - start).days + 1) < SHORTEST_DAYS:
        say(("end",), f"{end} leaves {length} days from {start}; a scenario has at least {SHORTEST_DAYS}", ("start",))

    if policy.regime and not policy.diverges_on:
        say(regime, f"names {policy.regime!r} but `diverges_on` is not given; give the day from which it is in force", diverges)
    if policy.later and not policy.regime and not policy.diverges_on:
        say(later, "changes the law of a scenario that never diverges; give `diverges_on` and `regime` first", diverges, regime)
    if policy.set and not policy.diverges_on:
        say(
            ("policy", "set"),
            "changes the law of a scenario that never diverges; give `diverges_on`, the day from which it applies, "
            f"and `regime` ({HISTORY!r} keeps the rest of the law as it was)",
            diverges,
            regime,
        )
    if policy.diverges_on:
        if not policy.regime:
            say(diverges, f"is {policy.diverges_on} but `regime` is not given; name the regime in force from then on", regime)
        if policy.diverges_on < FIRST_CONTROLS:
            say(diverges, f"{policy.diverges_on} lies before the first chip controls; the earliest day is {FIRST_CONTROLS}")
        if policy.diverges_on > end:
            say(diverges, f"{policy.diverges_on} lies after the end ({end}); the regime would never apply", ("end",))
        if policy.grants_overlay and policy.diverges_on <= start:
            say(
                ("policy", "grants_overlay"),
                f"adds grants of history, but the law leaves history on {policy.diverges_on} and the scenario begins on {start}; "
                "write false",
                diverges,
                ("start",),
            )
    before, in_force, whose = policy.diverges_on, policy.regime, "`diverges_on`"
    for index, step in enumerate(policy.later):
        if before and step.starts <= before:
            message = f"{step.starts} does not lie after {whose} ({before}); order the changes by date"
            say((*later, index, "from"), message, diverges)
        if step.starts > end:
            say((*later, index, "from"), f"{step.starts} lies after the end ({end}); the regime would never apply", ("end",))
        if step.regime == in_force:
            message = f"{step.regime!r} is already in force then; name another regime or delete the step"
            say((*later, index, "regime"), message, regime)
        before, in_force, whose = step.starts, step.regime, f"`later[{index}]`"

    for index, change in enumerate(content.inputs):
        if change.period_from and change.period_from > end:
            say(("inputs", index, "from"), f"{change.period_from} lies after the end ({end}); it changes nothing", ("end",))
        for earlier, other in enumerate(content.inputs[:index]):
            if change.overlaps(other) and not change.effect == other.effect != "set":
                say(
                    ("inputs", index),
                    f"`{change_in_words(change)}` overlaps with `{change_in_words(other)}` ({place(('inputs', earlier))}), so "
                    "that the result would depend on their order; keep them apart by entity, scope or dates",
                    ("inputs", earlier),
                )
    return found


def change_in_words(change: InputChange) -> str:
    """`multiply supply/shipped_h100e of amd, nvidia by 0.6 from 2027-01-01 to 2027-12-31`: an input change on one line."""
    who = "everyone" if change.entity == "*" else ", ".join(change.names)
    what = f"{change.table}/{change.parameter}{f' [{change.scope}]' if change.scope else ''}"
    amount = f"{change.amount:.12g}"
    act = {
        "set": f"set {what} of {who} to {amount}",
        "multiply": f"multiply {what} of {who} by {amount}",
        "add": f"add {amount} to {what} of {who}",
    }[change.effect]
    first = f" from {change.period_from}" if change.period_from else ""
    known = f", known from {change.known_from}" if change.known_from else ""
    return act + first + (f" to {change.period_to}" if change.period_to else "") + known


def value_in_words(value: Any) -> str:
    if isinstance(value, InputChange):
        return change_in_words(value)
    if isinstance(value, LeafSetting):
        return value_in_words(value.value)
    if isinstance(value, LaterRegime):
        return f"{value.regime} from {value.starts}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(value_in_words, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


# --------------------------------------------------------------------------------------------------------------
# Loading.


def shipped_scenarios() -> list[str]:
    """Names of the scenarios that come with the program, in alphabetical order."""
    return sorted(path.stem for path in shipped("scenarios").glob("*.yaml"))


def load_scenario(
    name_or_path: str | Path, overrides: str | Path | Sequence[str | Path] = (), sets: str | Sequence[str] = ()
) -> Scenario:
    """A scenario, fully resolved, from a shipped name (`history`) or a file (a path ending in .yaml).

    `overrides` are names of blocks in the file or its parents, or files; they stand side by side. `sets` are `key=value`
    texts laid over them, such as `start=2023-01-01`. Raises `InputProblems` with every problem found.
    """
    from simulator.layers import Reader, resolve

    reader = Reader()
    path = _find(name_or_path)
    bottom = reader.file(ScenarioFile, path)
    # One name instead of a list is what a hurried user writes; taken as a sequence it would be read letter by letter.
    beside = [overrides] if isinstance(overrides, str | Path) else overrides
    return resolve(reader, bottom, path, beside, [sets] if isinstance(sets, str) else sets)


def scenario_from_text(text: str, source: str = "scenario", overrides: Sequence[str] = (), sets: Sequence[str] = ()) -> Scenario:
    """A scenario from text that is no file, such as an upload: it may extend shipped scenarios only and reads no other file.

    `source` names the text in messages. Raises `InputProblems` as `load_scenario`.
    """
    from simulator.layers import Reader, resolve

    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise refuse(source, f"is larger than {MAX_BYTES:,} bytes, which no scenario needs")
    for wanted in overrides:
        if not re.fullmatch(SLUG, wanted):
            raise refuse(source, f"{shown(wanted)} is not the name of a block in the text", field="overrides")
    reader = Reader()
    bottom = reader.source(ScenarioFile, parse_yaml(text, Path(source), reader.problems), source)
    return resolve(reader, bottom, None, overrides, sets)


def _find(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, Path) or name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    if "/" in name_or_path:
        # Certainly a path; what stands there is said when it is read, unless it is some other kind of text.
        if os.path.isfile(name_or_path):
            raise refuse(printable(name_or_path), "does not end in .yaml, as the name of a scenario file does")
        return Path(name_or_path)
    offer = shipped_scenarios()
    if name_or_path not in offer:
        message = f"no shipped scenario has this name; there are {', '.join(offer)}{nearest(name_or_path, offer)}"
        raise refuse(shown(printable(name_or_path)), f"{message}; a file is given by its path, ending in .yaml")
    return shipped("scenarios") / f"{name_or_path}.yaml"


def field_name(key: tuple[Hashable, ...]) -> str:
    """A field as provenance names it: `policy.regime`, `inputs.supply.shipped_h100e.amd,nvidia`."""
    if key[0] != "inputs":
        return ".".join(map(str, key))
    _, table, parameter, names, scope, first, last = key
    text = f"inputs.{table}.{parameter}.{','.join(cast('tuple[str, ...]', names))}"
    return text + (f"[{scope}]" if scope else "") + (f" {first or ''}/{last or ''}" if first or last else "")


def _every_field(scenario: Scenario) -> Iterator[str]:
    yield from Words.model_fields
    yield from ("start", "end")
    yield from (f"policy.{name}" for name in Policy.model_fields if name not in ("set", "readings"))
    yield from (f"policy.{name}.{key}" for name in ("set", "readings") for key in getattr(scenario.policy, name))
    yield from (f"mechanisms.{name}" for name in Mechanisms.model_fields)
    yield from (field_name(("inputs", *change.key)) for change in scenario.inputs)


# --------------------------------------------------------------------------------------------------------------
# Canonical form, text, JSON Schema.


def _plain(value: Any) -> Any:
    """A value as JSON writes it."""
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def order(change: InputChange) -> str:
    return json.dumps([_plain(part) for part in cast("tuple[Any, ...]", change.key)])


def canonical(scenario: Scenario) -> dict[str, Any]:
    """What is simulated, as plain JSON values: defaults filled in, changes sorted, dates as text.

    Name, title, supposition, tags and reasons are words about the scenario and are not part of it.
    """
    policy = scenario.policy
    return {
        "schema": SCHEMA_VERSION,
        "start": _plain(scenario.start),
        "end": _plain(scenario.end),
        "policy": {
            "diverges_on": _plain(policy.diverges_on),
            "regime": policy.regime,
            "later": [{"from": _plain(step.starts), "regime": step.regime} for step in policy.later],
            "foresight": policy.foresight,
            "grants_overlay": policy.grants_overlay,
            "readings": {key: value for key, value in sorted(policy.readings.items()) if value is not None},
            "set": {key: _plain(leaf.value) for key, leaf in sorted(policy.set.items()) if leaf is not None},
        },
        "inputs": [
            {
                "table": change.table,
                "parameter": change.parameter,
                "entity": list(change.names),
                "scope": change.scope,
                "from": _plain(change.period_from),
                "to": _plain(change.period_to),
                change.effect: change.amount,
            }
            | ({"known_from": _plain(change.known_from)} if change.known_from else {})
            for change in scenario.changes
        ],
        "mechanisms": {name: getattr(scenario.mechanisms, name) for name in Mechanisms.model_fields},
    }


def content_hash(scenario: Scenario) -> str:
    """SHA-256 (64 hexadecimal digits) of the canonical form: equal for scenarios that simulate the same."""
    text = json.dumps(canonical(scenario), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def to_yaml(scenario: Scenario) -> str:
    """The resolved scenario as a file that stands alone: no `extends`, every field written, ready to be loaded again."""
    from io import StringIO

    from ruamel.yaml import YAML

    written: dict[str, Any] = {name: getattr(scenario, name) for name in ("name", "title", "supposes")}
    if scenario.tags:
        written["tags"] = list(scenario.tags)
    written |= {"start": scenario.start, "end": scenario.end}
    policy = scenario.policy
    written["policy"] = {
        "diverges_on": policy.diverges_on,
        "regime": policy.regime,
        "later": [{"from": step.starts, "regime": step.regime} for step in policy.later],
        "foresight": policy.foresight,
        "grants_overlay": policy.grants_overlay,
        "readings": dict(sorted(policy.readings.items())),
        "set": {
            key: {"value": leaf.value, "reason": leaf.reason} for key, leaf in sorted(policy.set.items()) if leaf is not None
        },
    }
    written["inputs"] = []
    for change in sorted(scenario.inputs, key=order):
        row = {
            "table": change.table,
            "parameter": change.parameter,
            "entity": change.entity if isinstance(change.entity, str) else list(change.entity),
            "scope": change.scope,
            "from": change.period_from,
            "to": change.period_to,
            change.effect: change.amount,
            "known_from": change.known_from,
            "reason": change.reason,
        }
        written["inputs"].append({key: value for key, value in row.items() if value is not None and value != ""})
    written["mechanisms"] = {name: getattr(scenario.mechanisms, name) for name in Mechanisms.model_fields}
    out = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 120
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(written, out)
    return out.getvalue()


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file, for editors: every key with its description, regimes by name."""
    schema = ScenarioFile.model_json_schema(by_alias=True, mode="validation")
    regimes = regime_ids()

    def name_regimes(part: Any) -> None:
        if isinstance(part, dict):
            described = part.get("properties", {}).get("regime")
            if isinstance(described, dict) and regimes:
                options = described.get("anyOf", [described])
                options[0]["enum"] = regimes
            for inner in part.values():
                name_regimes(inner)

    name_regimes(schema)
    extends = schema["properties"]["extends"]
    extends["examples"] = shipped_scenarios()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Groundbreak scenario"}


def validate_scenario(scenario: Scenario, world: Any = None, regimes: Mapping[str, Any] | Iterable[str] | None = None) -> None:
    """Check a resolved scenario against the inputs and the law; raises `InputProblems` with every problem found.

    `world` (a `World`): every input change must find rows of its table, parameter, entities, scope and dates, and numbers
    there. `regimes` (by id): every regime, leaf and switch named must exist.
    """
    problems: list[Problem] = []
    provenance = scenario.provenance

    def say(name: str, shown_field: str, message: str) -> None:
        origin = provenance.get(name, DEFAULT)
        problems.append(Problem(origin.file or scenario.name, origin.line, shown_field, message))

    if regimes is not None:
        _check_law(scenario, regimes, say)
    if world is not None:
        # The world says itself what it has; it only needs to know where each change was written.
        placed = [_Placed(change, provenance.get(field_name(("inputs", *change.key)), DEFAULT)) for change in scenario.inputs]
        try:
            world.changed(placed)
        except InputProblems as mismatch:
            problems += mismatch.problems
    if problems:
        raise InputProblems(problems)


class _Placed:
    """An input change together with the file and line that say it."""

    def __init__(self, change: InputChange, origin: Origin):
        self.change, self.file, self.line = change, origin.file, origin.line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.change, name)


def _check_law(scenario: Scenario, regimes: Mapping[str, Any] | Iterable[str], say: Callable[[str, str, str], None]) -> None:
    """Regimes must exist; if they are given with their content, so must the leaves set and the readings chosen."""
    known = sorted(regimes)
    policy = scenario.policy
    named = [("policy.regime", policy.regime), *(("policy.later", step.regime) for step in policy.later)]
    for name, regime in named:
        if regime and regime not in known:
            say(name, name, f"{regime!r} is not a regime; allowed are {', '.join(known)}{nearest(regime, known)}")
    if not isinstance(regimes, Mapping):
        return
    if policy.regime in known:
        from simulator.regimes import with_changes

        for key, leaf in policy.set.items():
            try:
                with_changes(regimes[policy.regime], {key: leaf.value} if leaf else {})
            except ValueError as unfit:
                say(f"policy.set.{key}", f"policy.set.{key}", str(unfit))
    switches: dict[str, Any] = {}
    for regime in (HISTORY, *(regime for _, regime in named)):
        switches |= regimes[regime].switches if regime in known else {}
    for key, reading in policy.readings.items():
        place = f"policy.readings.{key}"
        if key not in switches:
            say(
                place,
                place,
                f"is not a disputed point of this law; allowed are {', '.join(sorted(switches))}{nearest(key, switches)}",
            )
        elif reading is not None and reading not in switches[key].readings:
            allowed = switches[key].readings
            say(place, place, f"{reading!r} is not a reading; allowed are {', '.join(allowed)}{nearest(reading, allowed)}")
