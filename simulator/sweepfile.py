"""What to sweep over, as a file: scenarios or a family of them, levers, how assumptions are sampled, how many replications.

A *family* is a base scenario and axes; every member takes one step of each axis. *Levers* turn each scenario listed into
several. Steps and levers are override layers of the usual kind, side by side: two that set one field to different values are
an error that names both. `load_sweep` returns what is to be run: resolved scenarios with readable names, and how.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from simulator.design import KINDS, LONGEST_BLOCK, PLAIN, Design
from simulator.layers import Layer, Reader, near, nested, place_in_words, resolve, swept, without
from simulator.precision import MOST, Rule, amount, seconds, share
from simulator.problems import InputProblems, Problem, nearest, refuse, shown
from simulator.resources import shipped
from simulator.scenario import (
    PARAMETER,
    SLUG,
    TABLES,
    Name,
    Override,
    Parent,
    Reason,
    Scenario,
    ScenarioFile,
    Title,
    shipped_scenarios,
    value_in_words,
)
from simulator.yamlfile import MAX_BYTES, MERGE, FieldPath, YamlFile, parse_yaml, printable, read_yaml

LONGEST_NAME = 60
"""Characters of a scenario's name, generated ones included"""
MAX_SCENARIOS = 500
"""Scenarios of one sweep: each is compiled and kept apart"""
MAX_REPLICATIONS = 10_000_000
Keep = Literal["increments", "quantiles"]

SHIPPED = "sweeps"
"""Folder of the shipped sweeps, inside that of the shipped scenarios"""


def _wrong(message: str) -> Any:
    from pydantic_core import PydanticCustomError

    raise PydanticCustomError("said", "{message}", {"message": message})


# ---- single values -----------------------------------------------------------------------------------------------------------


def _said(read: Any) -> Any:
    """A reader whose ValueError is the message."""

    def checked(value: Any) -> Any:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            return _wrong(str(error))

    return checked


def _megawatts(value: Any) -> float:
    """A half-width in the unit of the headline."""
    return amount(value, "MW IT")


def _whole(least: int, most: int, what: str) -> Any:
    def read(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            _wrong(f"{shown(value)} is not {what}; write a whole number from {least:,} to {most:,}")
        return value

    return read


def _one_of(what: str, allowed: Sequence[str]) -> Any:
    def read(value: Any) -> Any:
        if value not in allowed:
            _wrong(f"{shown(value)} is not {what}; allowed are {', '.join(allowed)}{nearest(value, allowed)}")
        return value

    return read


def _parameter(value: Any) -> Any:
    table, slash, name = str(value).partition("/")
    if not isinstance(value, str) or not slash or not re.fullmatch(PARAMETER, name):
        _wrong(f"{shown(value)} is not an uncertain input; write table/parameter, as `groundbreak analyse` lists them")
    if table not in TABLES:
        _wrong(f"{shown(value)} names no table of the data; allowed are {', '.join(TABLES)}{nearest(table, TABLES)}")
    return value


def _lever(value: Any) -> Any:
    """The path of a field as `--set` takes it."""
    if not isinstance(value, str) or not all(value.split(".")):
        _wrong(f"{shown(value)} is not the path of a field; write it as for --set, for example policy.foresight")
    return value


def _steps(value: Any) -> Any:
    """The values of a lever: a list, or a mapping of labels."""
    if not isinstance(value, list | tuple | dict) or not value:
        _wrong(f"{shown(value)} is not a list of values; write [a, b], or {{label: a, other-label: b}} to name them")
    return value


def _labelled(what: str) -> Any:
    def read(value: Any) -> Any:
        if not isinstance(value, dict) or not value:
            _wrong(f"{shown(value)} is not {what} by label; write `label:` lines, each with {what} indented below it")
        return value

    return read


_VALUE = {"type": ["number", "string", "boolean", "null", "array", "object"]}
_VALUES_SCHEMA = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": _VALUE},
        {"type": "object", "minProperties": 1, "additionalProperties": _VALUE},
    ]
}
Label: TypeAlias = Name
LeverPath: TypeAlias = Annotated[str, BeforeValidator(_lever), WithJsonSchema({"type": "string", "minLength": 1})]
Steps: TypeAlias = Annotated[Any, BeforeValidator(_steps), WithJsonSchema(_VALUES_SCHEMA)]
Input: TypeAlias = Annotated[
    str, BeforeValidator(_parameter), WithJsonSchema({"type": "string", "pattern": "^[a-z]+/[a-z][a-z0-9_]*$"})
]


def _count(least: int, most: int, what: str) -> tuple[Any, Any]:
    return BeforeValidator(_whole(least, most, what)), WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


# ---- the schema --------------------------------------------------------------------------------------------------------------


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Axis(_Closed):
    """One dimension of a family: a lever with its values, or labelled layers of changes."""

    name: Name = Field(description="Name of the axis: lower-case letters, digits, single hyphens.")
    path: LeverPath | None = Field(None, description="Field that the axis sets, as for --set, for example policy.set.lpp.tpp.")
    values: Steps | None = Field(
        None, description="Values of `path`: a list, or labels with their values. Labels become part of the scenarios' names."
    )
    layers: Annotated[
        dict[Label, Any] | None,
        BeforeValidator(lambda value: None if value is None else _labelled("a set of changes")(value)),
        WithJsonSchema({"type": "object", "minProperties": 1, "additionalProperties": {"type": "object"}}),
    ] = Field(None, description="Sets of changes by label, each written as an override block of a scenario.")


class Family(_Closed):
    """A base scenario and axes; every member takes one step of each axis."""

    base: Parent = Field(
        description="Scenario that all members start from: a shipped name, or a file beside this one or below it."
    )
    prefix: Name | None = Field(None, description="What the members' names begin with; the name of the base unless given.")
    combine: Annotated[
        Literal["grid", "zip"],
        BeforeValidator(_one_of("a way to combine axes", ("grid", "zip"))),
        WithJsonSchema({"enum": ["grid", "zip"]}),
    ] = Field(
        "grid", description="grid: every combination of steps. zip: the first steps together, the second steps together ..."
    )
    axes: tuple[Axis, ...] = Field(description="The axes, in the order in which their labels stand in the names.", min_length=1)


class Levers(_Closed):
    """Fields that are set to several values in every scenario: as a grid, or as a list of settings."""

    grid: Annotated[
        dict[LeverPath, Steps],
        WithJsonSchema({"type": "object", "additionalProperties": _VALUES_SCHEMA}),
    ] = Field(default_factory=dict, description="Values by path, as for --set; every combination is run.")
    list: Annotated[
        dict[Label, dict[LeverPath, Any]],
        BeforeValidator(_labelled("a setting")),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": _VALUE}}),
    ] = Field(default_factory=dict, description="Settings by label; each sets one or more paths to a value.")


class Assumptions(_Closed):
    """How the uncertain inputs are sampled."""

    kind: Annotated[
        Literal["random", "lhs", "sobol"],
        BeforeValidator(_one_of("a way to sample", KINDS)),
        WithJsonSchema({"enum": list(KINDS)}),
    ] = Field("random", description="random; lhs: Latin hypercube; sobol: Sobol sequence. The last two come in blocks.")
    block: Annotated[int | None, *_count(2, LONGEST_BLOCK, "a number of points")] = Field(
        None,
        description="Points of a block of lhs or sobol, each scrambled on its own; a power of two for sobol. 64 unless given.",
    )
    lucks: Annotated[int, *_count(1, 1000, "a number of lucks")] = Field(
        1,
        description="Replications that share one point of the assumptions; at least 2 to split variance into assumptions and luck.",
    )
    vary: tuple[Input, ...] = Field(
        (), description="Uncertain inputs that vary, as table/parameter; the others stay at their median. Empty: all vary."
    )


DEFAULT_BLOCK = 64


class SweepFile(_Closed):
    """One sweep of Groundbreak, as written."""

    name: Name = Field(description="Name: the file name without .yaml; lower-case letters, digits, single hyphens.")
    title: Title = Field(description="Short title for tables and charts, at most 100 characters.")
    asks: Reason | None = Field(None, description="What the sweep is to answer: plain words, at most 400 characters.")
    scenarios: tuple[Parent, ...] = Field(
        (), description="Scenarios to run: shipped names, or files beside this one or below it.", max_length=MAX_SCENARIOS
    )
    family: Family | None = Field(None, description="Near-identical scenarios: a base and axes.")
    levers: Levers | None = Field(None, description="Fields set to several values in every scenario.")
    assumptions: Assumptions = Field(
        default_factory=lambda: Assumptions.model_validate({}), description="How the uncertain inputs are sampled."
    )
    replications: Annotated[int, *_count(1, MAX_REPLICATIONS, "a number of replications")] = Field(
        200,
        description="Replications of every scenario; with `precision` or `budget` the most there may be, unless `max_replications`.",
    )
    seed: Annotated[int, *_count(0, 2**63 - 1, "a seed")] = Field(1, description="Seed: the same seed gives the same bits.")
    reference: str | None = Field(
        None, description="Name of the scenario the others are compared with; the first unless given.", max_length=LONGEST_NAME
    )
    logs: Annotated[int, *_count(0, 10_000, "a number of replications")] = Field(
        2, description="Replications, from 0 on, whose whole event log is kept."
    )
    keep: Annotated[
        Keep, BeforeValidator(_one_of("what can be kept", get_args(Keep))), WithJsonSchema({"enum": list(get_args(Keep))})
    ] = Field(
        "increments",
        description="increments: every month in which a series changes, of every replication, for fans and totals of any split. "
        "quantiles: only monthly quantiles over replications, a small part of the size; paired fans are then not possible.",
    )
    precision: Annotated[float | None, BeforeValidator(_said(share)), WithJsonSchema({"type": ["string", "number"]})] = Field(
        None,
        description="Stop when the half-width of the headline difference is at most this share of the reference mean, as 2%.",
    )
    precision_abs: Annotated[float | None, BeforeValidator(_said(_megawatts)), WithJsonSchema({"type": ["string", "number"]})] = (
        Field(None, description="Stop when the half-width of the headline difference is at most this, in its unit (MW IT).")
    )
    budget: Annotated[float | None, BeforeValidator(_said(seconds)), WithJsonSchema({"type": ["string", "number"]})] = Field(
        None, description="Stop after this time, as 20s, 5min or 1h. The number of replications then depends on the machine."
    )
    max_replications: Annotated[
        int | None,
        BeforeValidator(lambda v: None if v is None else _whole(1, MAX_REPLICATIONS, "a number of replications")(v)),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_REPLICATIONS}),
    ] = Field(None, description="The most replications that `precision` or `budget` may take.")


@dataclass(frozen=True)
class Sweep:
    """What is to be run: scenarios resolved, how assumptions are sampled, how many replications, what is kept."""

    name: str
    title: str
    scenarios: tuple[Scenario, ...] = field(repr=False)
    reference: str
    asks: str = ""
    design: Design = PLAIN
    replications: int = 200
    """With a rule to stop by: the most there may be"""
    seed: int = 1
    logs: int = 2
    keep: Keep = "increments"
    stop: Rule | None = None
    """when to stop before all replications are done"""
    steps: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Per scenario, where it stands on each axis and lever, as a label; empty for those of no family"""
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """The same as values, for axes and levers that set a single field"""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scenarios, in the order in which they are run and shown."""
        return tuple(scenario.name for scenario in self.scenarios)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of all axes and levers, in order."""
        return tuple(dict.fromkeys(axis for where in self.steps.values() for axis in where))


# ---- reading -----------------------------------------------------------------------------------------------------------------

_INNER: dict[tuple[type[BaseModel], str], tuple[type[BaseModel], int]] = {
    (SweepFile, "family"): (Family, 1),
    (SweepFile, "levers"): (Levers, 1),
    (SweepFile, "assumptions"): (Assumptions, 1),
    (Family, "axes"): (Axis, 2),
}


def _keys_at(place: FieldPath) -> dict[str, str]:
    """Keys a mapping at a place of a sweep may have, with their descriptions."""
    model: type[BaseModel] = SweepFile
    while place and (model, str(place[0])) in _INNER:
        model, steps = _INNER[(model, str(place[0]))]
        place = place[steps:]
    return {name: info.description or "" for name, info in model.model_fields.items()}


def _sentence(error: ErrorDetails, place: FieldPath) -> str:
    """One finding of pydantic as: what is wrong, and what to write instead."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        allowed = _keys_at(place[:-1])
        return f"unknown key; allowed are {', '.join(allowed)}{nearest(place[-1], allowed)}"
    if kind == "missing":
        return f"is missing; give it ({_keys_at(place[:-1])[str(place[-1])].rstrip('.')})"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown(value)} is not a mapping; write `key: value` lines, indented below it"
    if kind in ("list_type", "tuple_type"):
        return f"{shown(value)} is not a list; write its members on lines that begin with `- `"
    if kind == "too_short":
        return "is empty; give at least one"
    if kind in ("too_long", "string_too_long"):
        return f"has more than {error['ctx']['max_length']} {'members' if kind == 'too_long' else 'characters'}; shorten it"
    if kind == "string_type":
        return f"{shown(value)} is not text; put it in quotes"
    return error["msg"]


def _droppable(place: FieldPath) -> FieldPath:
    """The smallest part of a sweep around a faulty place that can be left out."""
    if place[:2] == ("family", "axes"):
        return place[:3]
    return place[:2] if place[:1] in (("scenarios",), ("levers",), ("assumptions",)) else place[:1]


def shipped_sweeps() -> list[str]:
    """Names of the sweeps that come with the program, in alphabetical order."""
    return sorted(path.stem for path in (shipped("scenarios") / SHIPPED).glob("*.yaml"))


SCENARIO_KEYS = ("supposes", "extends", "policy", "inputs", "mechanisms", "overrides")
"""Keys by which a file is told to hold a scenario and not a sweep"""


def is_sweep(name_or_path: str | Path) -> bool:
    """True if a name is that of a shipped sweep, or a file looks like one. False if it cannot be read: who reads it says why."""
    if isinstance(name_or_path, str) and not name_or_path.endswith((".yaml", ".yml")):
        return name_or_path in shipped_sweeps()
    try:
        content = read_yaml(Path(name_or_path), []).content
    except InputProblems:
        return False
    return isinstance(content, dict) and not any(key in content for key in SCENARIO_KEYS)


def load_sweep(
    name_or_path: str | Path, overrides: str | Path | Sequence[str | Path] = (), sets: str | Sequence[str] = ()
) -> Sweep:
    """A sweep, its scenarios resolved, from a shipped name or a file (a path ending in .yaml).

    `overrides` and `sets` are laid over every scenario, as in `load_scenario`. Raises `InputProblems` with every problem found.
    """
    if isinstance(name_or_path, str) and not name_or_path.endswith((".yaml", ".yml")):
        offer = shipped_sweeps()
        if name_or_path not in offer:
            message = f"no shipped sweep has this name; there are {', '.join(offer)}{nearest(name_or_path, offer)}"
            raise refuse(shown(printable(name_or_path)), f"{message}; a file is given by its path, ending in .yaml")
        path = shipped("scenarios") / SHIPPED / f"{name_or_path}.yaml"
    else:
        path = Path(name_or_path)
    problems: list[Problem] = []
    source = read_yaml(near(path), problems)
    beside = [overrides] if isinstance(overrides, str | Path) else list(overrides)
    return _Expansion(source, path.parent, problems, beside, [sets] if isinstance(sets, str) else list(sets)).sweep(path.stem)


def sweep_from_text(text: str, source: str = "sweep", sets: Sequence[str] = ()) -> Sweep:
    """A sweep from text that is no file: it may name shipped scenarios only. Raises `InputProblems` as `load_sweep`."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise refuse(source, f"is larger than {MAX_BYTES:,} bytes, which no sweep needs")
    problems: list[Problem] = []
    return _Expansion(parse_yaml(text, Path(source), problems), None, problems, [], list(sets)).sweep("")


class _Step(NamedTuple):
    """One step of an axis or lever: its label, the value if it sets a single field, and the layers it stands for."""

    label: str
    value: Any
    layers: tuple[Layer, ...]


class _Dimension(NamedTuple):
    name: str
    steps: list[_Step]
    at: FieldPath


_Point: TypeAlias = list[tuple[_Dimension, _Step]]
"""The steps that one scenario takes"""


class _Family(Reader):
    """Reads a scenario and lays layers made by a sweep beside the overrides asked for by name."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        super().__init__()
        self._layers = layers

    def override(self, wanted: str | Path, blocks: Mapping[str, Layer], bottom: Layer | None) -> list[Layer]:
        """The layer of the sweep with this label, else what it is elsewhere."""
        return (
            [self._layers[wanted]]
            if isinstance(wanted, str) and wanted in self._layers
            else super().override(wanted, blocks, bottom)
        )


class _Expansion:
    """From the text of a sweep to its scenarios; everything that is wrong is collected on the way."""

    def __init__(
        self, source: YamlFile, folder: Path | None, problems: list[Problem], overrides: list[str | Path], sets: list[str]
    ):
        self.source, self.folder, self.problems = source, folder, problems
        self.left_out: set[FieldPath] = set()
        self.overrides, self.sets = overrides, sets

    def say(self, place: FieldPath, message: str) -> None:
        """Note a problem at a place of the file."""
        self.problems.append(Problem(printable(self.source.path), self.source.line(place), place_in_words(place), message))

    def finish(self) -> None:
        """Raise what was found, if anything."""
        if self.problems:
            raise InputProblems(self.problems)

    def sweep(self, stem: str) -> Sweep:
        """The sweep. Raises InputProblems."""
        content = self._content(stem)
        if content is None:
            self.finish()
        assert content is not None
        axes = self._dimensions(content.family) if content.family else []
        points = self._levers(content.levers) if content.levers else [[]]
        design = self._design(content)
        self._check_names(content, axes, points)
        if self._count(content, axes, len(points)) <= MAX_SCENARIOS:
            found, steps, values = self._members(content, axes, points)
        else:
            count = self._count(content, axes, len(points))
            self.say((), f"makes {count:,} scenarios; at most {MAX_SCENARIOS} are allowed, so take fewer steps or split it")
        self.finish()
        reference = content.reference or found[0].name
        known = [scenario.name for scenario in found]
        if reference not in known:
            offered = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
            self.say(("reference",), f"{shown(reference)} is not among the scenarios: {offered}{nearest(reference, known)}")
        self._check_spans(found)
        self.finish()
        stop = None
        if content.precision or content.precision_abs or content.budget:
            said = content.replications if "replications" in content.model_fields_set else MOST
            stop = Rule(content.precision, content.precision_abs, content.budget, content.max_replications or said)
        return Sweep(
            content.name, content.title, tuple(found), reference, content.asks or "", design,
            stop.maximum if stop else content.replications, content.seed, content.logs, content.keep, stop, steps, values,
        )  # fmt: skip

    def _content(self, stem: str) -> SweepFile | None:
        """The file as the schema reads it, without what is faulty, which is noted; None if nothing can be read."""
        source, raw = self.source, self.source.content
        if not isinstance(raw, dict):
            if () not in source.spoilt:
                self.say((), f"{shown(raw)} is not a mapping; a sweep is written in `key: value` lines")
            return None
        self.left_out = {_droppable(place) for place in source.spoilt}
        try:
            SweepFile.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                place = tuple(part for part in detail["loc"] if part != "[key]")
                merged = detail["type"] == "missing" and (*place[:-1], MERGE) in source.spoilt
                if not merged and not source.hides(place):
                    self.say(place, _sentence(detail, place))
                self.left_out.add(_droppable(place))
        name = raw.get("name")
        if stem and isinstance(name, str) and re.fullmatch(SLUG, name) and name != stem:
            self.say(("name",), f"{name!r} differs from the file name; write {stem!r} or rename the file to {name}.yaml")
        if not raw.get("scenarios") and not raw.get("family") and not source.spoilt:
            self.say((), "names nothing to run; give `scenarios`, or a `family`")
        for place in self.left_out:
            raw = without(raw, place)
        kept = swept(raw)
        if kept.get("family") and not kept["family"].get("axes"):
            del kept["family"]
        return SweepFile.model_validate({"name": "unnamed", "title": "Untitled"} | kept)

    def _doubtful(self, *place: str | int) -> bool:
        """True if something at or below a place was faulty: what else seems wrong there may follow from that."""
        return any(gone[: len(place)] == place or place[: len(gone)] == gone for gone in self.left_out)

    def _check_names(self, content: SweepFile, axes: list[_Dimension], points: list[_Point]) -> None:
        """Axes and levers have names of their own, and zipped axes equally many steps."""
        if content.family and content.family.combine == "zip" and not self._doubtful("family"):
            lengths = {axis.name: len(axis.steps) for axis in axes}
            if len(set(lengths.values())) > 1:
                each = ", ".join(f"{name} {n}" for name, n in lengths.items())
                message = f"axes that are zipped have equally many steps; these have {each}; add steps or write combine: grid"
                self.say(("family", "axes"), message)
        names = [dimension.name for dimension in (*axes, *(lever for lever, _ in (points or [[]])[0]))]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.say(
                ("family", "axes") if content.family else ("levers",), f"{name!r} names two axes or levers; rename one of them"
            )

    def _members(
        self, content: SweepFile, axes: list[_Dimension], points: list[_Point]
    ) -> tuple[list[Scenario], dict[str, dict[str, str]], dict[str, dict[str, Any]]]:
        """Every scenario, resolved, and where it stands on axes and levers."""
        found: list[Scenario] = []
        steps: dict[str, dict[str, str]] = {}
        values: dict[str, dict[str, Any]] = {}
        complete = not self.problems
        for base, place, chosen in self._asked(content, axes, points):
            scenario = self._resolved(content, base, place, chosen, complete)
            if scenario is None:
                continue
            if scenario.name in steps:
                message = f"makes two scenarios called {scenario.name!r}; give labels or a `prefix` that tell them apart"
                self.say(place, message)
                continue
            steps[scenario.name] = {dimension.name: step.label for dimension, step in chosen}
            values[scenario.name] = {dimension.name: step.value for dimension, step in chosen if step.value is not None}
            found.append(scenario)
        return found, steps, values

    def _check_spans(self, found: list[Scenario]) -> None:
        """Scenarios that are compared share start and end."""
        first = found[0]
        for other in found[1:]:
            if (other.start, other.end) != (first.start, first.end):
                message = (
                    f"scenarios must share start and end to be compared: {first.name} {first.start} to {first.end}, "
                    f"{other.name} {other.start} to {other.end}"
                )
                return self.say((), message)

    def _design(self, content: SweepFile) -> Design:
        given = content.assumptions
        block = given.block or DEFAULT_BLOCK
        if given.kind == "random" and given.block is not None and not self._doubtful("assumptions", "kind"):
            self.say(("assumptions", "block"), "is for lhs and sobol; plain random points come in no blocks, so leave it out")
        try:
            design = Design(given.kind, block, given.lucks, given.vary)
        except ValueError as error:
            self.say(("assumptions", "block"), str(error))
            return PLAIN
        if (content.precision or content.precision_abs) and self._alone(content):
            self.say(("precision",) if content.precision else ("precision_abs",), "is of a difference; give a second scenario")
        if content.max_replications is not None and not (content.precision or content.precision_abs or content.budget):
            self.say(("max_replications",), "is for precision or budget; without them write replications")
        most = content.max_replications or content.replications
        if most % design.unit and not self._doubtful("assumptions"):
            field_name = "max_replications" if content.max_replications else "replications"
            what = f"{design.block} points x {design.lucks} lucks" if design.kind != "random" else f"{design.lucks} lucks"
            near_by = max(design.unit, round(most / design.unit) * design.unit)
            self.say((field_name,), f"{most} is no multiple of {design.unit} ({what}); write for example {near_by}")
        return design

    @staticmethod
    def _alone(content: SweepFile) -> bool:
        """True if there is nothing to compare."""
        return len(content.scenarios) == 1 and not content.family and not content.levers

    # ---- axes and levers

    def _layer(self, raw: Any, at: FieldPath, label: str, lines: dict[FieldPath, int], path: str = "") -> Layer | None:
        """A layer from a part of the file; its problems are those of the file at that place, which says the path it sets."""
        reader = Reader()
        spoilt = frozenset(place[len(at) :] for place in self.source.spoilt if place[: len(at)] == at)
        found = reader.layers(Override, YamlFile(self.source.path, raw, lines, spoilt), label)
        for problem in reader.problems:
            inside = f".{problem.field}" if problem.field and problem.field != path else ""
            self.problems.append(replace(problem, field=f"{place_in_words(at)}{inside}"))
        return found[0] if found and not reader.problems else None

    def _of_block(self, raw: Any, at: FieldPath, label: str) -> _Step:
        """A labelled set of changes."""
        lines = {place[len(at) :]: line for place, line in self.source.lines.items() if place[: len(at)] == at}
        layer = self._layer(raw, at, label, lines)
        return _Step(str(at[-1]), None, (layer,) if layer else ())

    def _of_value(self, path: str, value: Any, at: FieldPath, label: str, step: str) -> _Step:
        """A lever set to a value."""
        why = f"{label[0].upper()}{label[1:]}."
        raw = nested(path, value, re.sub(r"[<>]", "", why))
        layer = self._layer(raw, at, label, {(): self.source.line(at)}, path)
        return _Step(step, value, (layer,) if layer else ())

    def _values(self, name: str, path: str, given: Any, at: FieldPath, what: str) -> list[_Step]:
        """The steps of a lever, labelled by its mapping or by name and value."""
        pairs = (
            [(str(label), value, (*at, label)) for label, value in given.items()]
            if isinstance(given, dict)
            else [(f"{name}-{slug(value)}", value, (*at, index)) for index, value in enumerate(given)]
        )
        found = []
        for label, value, place in pairs:
            if not re.fullmatch(SLUG, label) or len(label) > LONGEST_NAME:
                message = "cannot be a label; write lower-case letters, digits and single hyphens"
                made = f"{shown(value)} makes the label {label!r}, which is none; name it, as {{some-label: value}}"
                self.say(place, f"{shown(label)} {message}" if isinstance(given, dict) else made)
                continue
            found.append(self._of_value(path, value, place, f"{what}: {label}", label))
        labels = [step.label for step in found]
        for label in sorted({label for label in labels if labels.count(label) > 1}):
            self.say(at, f"two values have the label {label!r}; name them, as {{some-label: value}}")
        return found

    def _dimensions(self, family: Family) -> list[_Dimension]:
        found = []
        for index, axis in enumerate(family.axes):
            at: FieldPath = ("family", "axes", index)
            if axis.layers is not None and (axis.path or axis.values):
                self.say(at, "gives `layers` beside `path` and `values`; keep one way to say what the axis does")
            elif axis.layers is not None:
                steps = [
                    self._of_block(raw, (*at, "layers", label), f"axis {axis.name}: {label}")
                    for label, raw in axis.layers.items()
                ]
                found.append(_Dimension(axis.name, steps, at))
            elif axis.path is None or axis.values is None:
                missing = "`path` and `values`, or `layers`" if axis.path is None is axis.values else "both `path` and `values`"
                self.say(at, f"does not say what it changes; give {missing}")
            else:
                steps = self._values(axis.name, axis.path, axis.values, (*at, "values"), f"axis {axis.name}")
                found.append(_Dimension(axis.name, steps, at))
        return found

    def _levers(self, levers: Levers) -> list[_Point]:
        """Every setting of the levers, as steps of dimensions."""
        if levers.grid and levers.list:
            self.say(("levers",), "gives both `grid` and `list`; keep one of them")
            return [[]]
        if levers.list:
            at: FieldPath = ("levers", "list")
            whole = _Dimension("levers", [], at)
            points = []
            for label, settings in levers.list.items():
                parts = [
                    self._of_value(path, value, (*at, label, path), f"levers {label}: {path}", label)
                    for path, value in settings.items()
                ]
                if not parts:
                    self.say((*at, label), "sets nothing; give at least one `path: value`")
                value = parts[0].value if len(parts) == 1 else None
                points.append([(whole, _Step(label, value, tuple(layer for part in parts for layer in part.layers)))])
            return points
        if not levers.grid and not self._doubtful("levers"):
            self.say(("levers",), "sets nothing; give `grid` or `list`")
        dimensions = [
            _Dimension(
                lever_name(path), self._values(lever_name(path), path, given, ("levers", "grid", path), f"lever {path}"), ()
            )
            for path, given in levers.grid.items()
        ]
        every = product(*([(dimension, step) for step in dimension.steps] for dimension in dimensions))
        return [list(point) for point in every]

    @staticmethod
    def _count(content: SweepFile, axes: list[_Dimension], points: int) -> int:
        lengths = [len(axis.steps) for axis in axes]
        members = 0
        if content.family:
            members = min(lengths, default=0) if content.family.combine == "zip" else 1
            for length in lengths if content.family.combine == "grid" else ():
                members *= length
        return (len(content.scenarios) + members) * points

    def _asked(self, content: SweepFile, axes: list[_Dimension], points: list[_Point]) -> Iterator[tuple[str, FieldPath, _Point]]:
        """Every scenario to resolve: the scenario below, where the file names it, and the steps taken."""
        for index, name in enumerate(content.scenarios):
            for point in points:
                yield name, ("scenarios", index), point
        if content.family:
            columns = [[(axis, step) for step in axis.steps] for axis in axes]
            members: Iterable[tuple[tuple[_Dimension, _Step], ...]]
            members = zip(*columns, strict=False) if content.family.combine == "zip" else product(*columns)
            for member in members:
                for point in points:
                    yield content.family.base, ("family", "base"), [*member, *point]

    def _resolved(self, content: SweepFile, base: str, place: FieldPath, chosen: _Point, complete: bool) -> Scenario | None:
        """One scenario with its steps laid over it; None, with the problems kept, if it cannot be."""
        path = self._path(base)
        if path is None:
            offer = shipped_scenarios()
            beside = "beside this file, below it or among the shipped ones" if self.folder else "among the shipped ones"
            self.say(place, f"no scenario {base!r} {beside} ({', '.join(offer)}){nearest(base, offer)}")
            return None
        layers = {layer.label: layer for _, step in chosen for layer in step.layers}
        reader = _Family(layers)
        reader.complete = complete  # else a step may miss what another one needs
        try:
            bottom = reader.file(ScenarioFile, path)
            scenario = resolve(reader, bottom, path, [*layers, *self.overrides], self.sets)
        except InputProblems as found:
            self.problems += found.problems
            return None
        if not chosen:
            return scenario
        in_family = place == ("family", "base")
        prefix = (content.family.prefix if in_family and content.family else None) or scenario.name
        name = "-".join([prefix, *(step.label for _, step in chosen)])
        if len(name) > LONGEST_NAME:
            self.say(
                place,
                f"makes the name {name!r} of {len(name)} characters; at most {LONGEST_NAME} are allowed, so shorten labels or `prefix`",
            )
            return None
        return _renamed(scenario, name, chosen)

    def _path(self, base: str) -> Path | None:
        plain = base.removesuffix(".yaml")
        if self.folder is not None and (beside := self.folder / f"{plain}.yaml").is_file() and not is_sweep(beside):
            return beside
        ours = shipped("scenarios") / f"{plain}.yaml"
        return ours if re.fullmatch(SLUG, plain) and ours.is_file() else None


def _renamed(scenario: Scenario, name: str, chosen: _Point) -> Scenario:
    """A member under its own name, with a title and a supposition that say which one it is."""
    where = ", ".join(f"{dimension.name} {step_in_words(dimension.name, step.label)}" for dimension, step in chosen)
    title = f"{scenario.title}: {where}"
    supposes = f"{scenario.supposes[:-1]}; here with {where}."
    words = {
        "name": name,
        "title": title if len(title) <= 100 else name,
        "supposes": supposes if len(supposes) <= 400 else f"As {scenario.name}, with {where}."[:400],
    }
    return scenario.model_copy(update=words)


def step_in_words(axis: str, label: str) -> str:
    """A label without the name of its axis, which generated ones begin with."""
    return label.removeprefix(f"{axis}-") or label


def lever_name(path: str) -> str:
    """What a lever is called in names and tables: the field it sets, as `foresight` or `lpp-tpp`."""
    parts = path.split(".")
    whole = ".".join(parts[2:]) if parts[:2] in (["policy", "set"], ["policy", "readings"]) and len(parts) > 2 else parts[-1]
    return slug(whole)


def slug(value: Any) -> str:
    """A value as part of a name: `0-75`, `2026-01-01`, `true`; what has no letters or digits is empty."""
    text = f"{value:.12g}" if isinstance(value, float) else value_in_words(value)
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("e+", "e")).strip("-")


def _parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema and its alternatives."""
    return [schema, *schema.get("anyOf", [])]


def sweep_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a sweep file, for editors: every key with its description, scenarios by name."""
    schema = SweepFile.model_json_schema(by_alias=True, mode="validation")
    inner = Override.model_json_schema(by_alias=True, mode="validation", ref_template="#/$defs/{model}")
    schema.setdefault("$defs", {}).update(inner.pop("$defs", {}))
    schema["$defs"]["Override"] = inner
    # Pydantic drops what is said of a field that is a model of its own.
    schema["properties"]["assumptions"]["description"] = SweepFile.model_fields["assumptions"].description
    layers = next(part for part in _parts(schema["$defs"]["Axis"]["properties"]["layers"]) if "additionalProperties" in part)
    layers["additionalProperties"] = {"$ref": "#/$defs/Override"}
    schema["properties"]["scenarios"]["examples"] = [shipped_scenarios()]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Groundbreak sweep"}
