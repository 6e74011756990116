"""How scenario files build on one another: reading each layer, merging them, and remembering who said what.

A layer is a file, a named block of overrides, or one setting of the command line. Everything faulty in any of them is
reported together; what is faulty is left out, so that the rest is still checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simulator.problems import InputProblems, Problem, nearest, shown
from simulator.resources import shipped
from simulator.scenario import (
    MAX_EXTENDS,
    MAX_INPUTS,
    SLUG,
    TABLES,
    Content,
    InputChange,
    LaterRegime,
    LeafSetting,
    Mechanisms,
    Origin,
    Override,
    Policy,
    Replacement,
    Scenario,
    ScenarioFile,
    Words,
    change_problems,
    disagreements,
    field_name,
    order,
    regime_ids,
    shipped_scenarios,
    value_in_words,
)
from simulator.yamlfile import MERGE, FieldPath, YamlFile, dotted, parse_yaml, printable, read_yaml

_INNER: dict[tuple[type[BaseModel], str], tuple[type[BaseModel], int]] = {
    # key of a mapping -> the model found that many steps down the path
    (ScenarioFile, "overrides"): (Override, 2),
    (ScenarioFile, "policy"): (Policy, 1),
    (ScenarioFile, "mechanisms"): (Mechanisms, 1),
    (ScenarioFile, "inputs"): (InputChange, 2),
    (Override, "policy"): (Policy, 1),
    (Override, "mechanisms"): (Mechanisms, 1),
    (Override, "inputs"): (InputChange, 2),
    (Policy, "later"): (LaterRegime, 2),
    (Policy, "set"): (LeafSetting, 2),
}


def _keys_at(model: type[BaseModel], place: FieldPath) -> dict[str, str]:
    """Keys a mapping at a place of a file may have, with their descriptions."""
    while place and (model, str(place[0])) in _INNER:
        model, steps = _INNER[(model, str(place[0]))]
        place = place[steps:]
    return {(info.alias or name): info.description or "" for name, info in model.model_fields.items()}


_INSTEAD: dict[FieldPath, str] = {
    ("policy",): "one field at a time, --set policy.FIELD=VALUE",
    ("policy", "set"): "--set policy.set.LEAF=VALUE",
    ("policy", "readings"): "--set policy.readings.POINT=READING",
    ("policy", "later"): "--set 'policy.later=[{from: 2028-01-01, regime: NAME}]'",
    ("mechanisms",): "--set mechanisms.NAME=false",
    ("inputs",): "--set 'inputs=[{table: TABLE, parameter: NAME, multiply: FACTOR, reason: WHY}]'",
}
"""What to write on the command line, where there are no lines to indent."""


def _sentence(error: ErrorDetails, model: type[BaseModel], place: FieldPath, on_command_line: bool) -> str:
    """One finding of pydantic as: what is wrong, and what to write instead."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        allowed = _keys_at(model, place[:-1])
        return f"unknown key; allowed are {', '.join(allowed)}{nearest(place[-1], allowed)}"
    if kind == "missing":
        return f"is missing; give it ({_keys_at(model, place[:-1])[str(place[-1])].rstrip('.')})"
    if on_command_line and kind in ("model_type", "dict_type", "model_attributes_type", "list_type", "tuple_type"):
        if place[:2] == ("policy", "set") and len(place) == 3 and isinstance(value, str | int | float):
            plain = str(value).lower() if isinstance(value, bool) else value
            return f"{shown(value)} has no place to say why; write --set policy.set.{shown(place[2])[1:-1]}={plain}"
        known = next((place[:length] for length in (2, 1) if place[:length] in _INSTEAD), None)
        if known:
            what = "a list" if kind in ("list_type", "tuple_type") else "a mapping"
            return f"{shown(value)} is not {what}; write {_INSTEAD[known]}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown(value)} is not a mapping; write `key: value` lines, indented below it"
    if kind in ("list_type", "tuple_type"):
        return f"{shown(value)} is not a list; write its members on lines that begin with `- `"
    if kind == "too_long":
        return f"has more than {error['ctx']['max_length']} members; shorten the list"
    if kind == "literal_error":
        return f"{shown(value)} is not a table; allowed are {', '.join(TABLES)}{nearest(value, TABLES)}"
    return error["msg"]


def _whole(place: FieldPath) -> FieldPath:
    """The smallest part of a file around a faulty place that can be left out: half a change would say something else."""
    for index, part in enumerate(place):
        if part in ("inputs", "set") and index + 1 < len(place):
            return place[: index + 2]
        if part in ("later", "tags"):
            return place[: index + 1]
    return place


_GONE = object()


def without(content: Any, place: FieldPath) -> Any:
    """A copy of plain YAML content with one place marked as gone."""
    if not place:
        return _GONE
    if isinstance(content, dict) and place[0] in content:
        return {**content, place[0]: without(content[place[0]], place[1:])}
    if isinstance(content, list) and isinstance(place[0], int) and place[0] < len(content):
        return [without(item, place[1:]) if index == place[0] else item for index, item in enumerate(content)]
    return content


def swept(content: Any) -> Any:
    """Content without the marked places."""
    if isinstance(content, dict):
        return {key: swept(value) for key, value in content.items() if value is not _GONE}
    if isinstance(content, list):
        return [swept(item) for item in content if item is not _GONE]
    return content


Entry: TypeAlias = tuple[Any, FieldPath]


@dataclass(frozen=True)
class Layer:
    """One layer as read: what to call it, where it stands, what it says, which faulty parts were left out."""

    label: str
    file: str
    content: Content
    lines: Callable[[FieldPath], int]
    at: FieldPath = ()
    left_out: frozenset[FieldPath] = frozenset()

    def problem(self, place: FieldPath, message: str) -> Problem:
        return Problem(self.file, self.lines((*self.at, *place)), place_in_words((*self.at, *place)), message)

    def origin(self, place: FieldPath) -> Origin:
        return Origin(self.label, self.file, self.lines((*self.at, *place)))

    def fields(self) -> dict[tuple[Hashable, ...], Entry]:
        """What the layer sets: (value, place in the file) by field; an input change is a field named by what it applies to."""
        found: dict[tuple[Hashable, ...], Entry] = {}
        given, content = self.content.model_fields_set, self.content
        for name in ("start", "end"):
            if name in given:
                found[(name,)] = (getattr(content, name), (name,))
        for group in ("policy", "mechanisms"):
            part = getattr(content, group)
            for name in part.model_fields_set:
                value = getattr(part, name)
                if isinstance(value, dict):
                    found |= {(group, name, key): (value[key], (group, name, key)) for key in value}
                else:
                    found[(group, name)] = (value, (group, name))
        gone = {place[1] for place in self.left_out if len(place) == 2 and place[0] == "inputs"}
        kept = (index for index in range(MAX_INPUTS + len(gone)) if index not in gone)
        for index, change in zip(kept, content.inputs, strict=False):
            found[("inputs", *change.key)] = (change, ("inputs", index))
        return found


class Reader:
    """Reads layers and keeps all problems found on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.complete = True  # False once a layer is missing: fields that disagree may then be its fault

    def finish(self) -> None:
        if self.problems:
            raise InputProblems(self.problems)

    def layers(self, model: type[Content], source: YamlFile, label: str, *, on_command_line: bool = False) -> list[Layer]:
        """The layer a file holds, then its named blocks. Faulty parts are reported and left out, the rest is still checked."""
        raw, file = source.content, label if on_command_line else printable(source.path)

        def lines(place: FieldPath) -> int:
            return 0 if on_command_line else source.line(place)

        if not isinstance(raw, dict):
            if () not in source.spoilt:
                message = f"{shown(raw)} is not a mapping; a scenario is written in `key: value` lines"
                self.problems.append(Problem(file, lines(()), "", message))
            self.complete = False
            return []
        # What the file itself could not say has been reported; keys that a merge would bring may be the ones that are missing.
        self.complete &= not any(place[-1] == MERGE for place in source.spoilt)
        left_out = {_whole(place) for place in source.spoilt}

        def say(place: FieldPath, message: str) -> None:
            self.problems.append(Problem(file, lines(place), place_in_words(place), message))

        told = self._check_changes(raw, (), source, say)
        for name, block in raw["overrides"].items() if isinstance(raw.get("overrides"), dict) else ():
            if isinstance(block, dict):
                told |= self._check_changes(block, ("overrides", name), source, say)
        try:
            content = model.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                place = tuple(part for part in detail["loc"] if part != "[key]")
                merged = detail["type"] == "missing" and (*place[:-1], MERGE) in source.spoilt
                if place not in told and not merged and not source.hides(place):
                    say(place, _sentence(detail, model, place, on_command_line))
                # What is missing is filled in below, or takes the change it belongs to with it.
                left_out.add(_whole(place))
        if left_out:
            for place in left_out:
                raw = without(raw, place)
            words = {"name": "unnamed", "title": "Untitled", "supposes": "Unknown."} if model is ScenarioFile else {}
            content = model.model_validate(words | swept(raw))
        layer = Layer(label, file, content, lines, (), frozenset(left_out))
        found = [layer]
        for name, block in content.overrides.items() if isinstance(content, ScenarioFile) else ():
            inside = frozenset(place[2:] for place in left_out if place[:2] == ("overrides", name))
            found.append(Layer(name, file, block, lines, ("overrides", name), inside))
        for each in found:
            self._check_layer(each)
        return found

    def _check_changes(
        self, raw: dict[str, Any], at: FieldPath, source: YamlFile, say: Callable[[FieldPath, str], None]
    ) -> set[FieldPath]:
        """Report faults between the keys of each input change, even where a single key is faulty too; returns those changes."""
        told: set[FieldPath] = set()
        for index, change in enumerate(raw["inputs"] if isinstance(raw.get("inputs"), list) else ()):
            whole = (*at, "inputs", index)
            unsure = any(place[: len(whole)] == whole for place in source.spoilt)
            for key, message in change_problems(change) if isinstance(change, dict) else ():
                place = (*whole, *([key] if key else []))
                if not unsure:
                    say(place, message)
                told.add(whole)
        return told

    def _check_layer(self, layer: Layer) -> None:
        """What can be wrong in a layer by itself: an unknown regime, the same inputs changed twice."""
        known = regime_ids()
        policy = layer.content.policy
        named: list[tuple[FieldPath, str]] = [(("policy", "regime"), policy.regime)] if policy.regime else []
        named += [(("policy", "later", index, "regime"), step.regime) for index, step in enumerate(policy.later)]
        for place, regime in named:
            if known and regime not in known:
                message = f"{regime!r} is not a regime; allowed are {', '.join(known)}{nearest(regime, known)}"
                self.problems.append(layer.problem(place, message))
        first: dict[Hashable, int] = {}
        gone = {place[1] for place in layer.left_out if len(place) == 2 and place[0] == "inputs"}
        kept = [index for index in range(len(layer.content.inputs) + len(gone)) if index not in gone]
        for index, change in zip(kept, layer.content.inputs, strict=True):
            if change.key in first:
                line = layer.lines((*layer.at, "inputs", first[change.key]))
                message = f"changes the same inputs as inputs[{first[change.key]}] on line {line}; keep one of the two"
                self.problems.append(layer.problem(("inputs", index), message))
            first.setdefault(change.key, index)

    def file(self, model: type[Content], path: Path, label: str | None = None) -> list[Layer]:
        """The layers of a file; none, with the problems kept, if it cannot be read."""
        try:
            source = read_yaml(near(path), self.problems)
        except InputProblems as unreadable:
            self.problems += unreadable.problems
            self.complete = False
            return []
        stem = printable(path.stem)
        return self.source(model, source, label or stem, named=stem)

    def source(self, model: type[Content], source: YamlFile, label: str, named: str = "") -> list[Layer]:
        found = self.layers(model, source, label)
        if named and found and isinstance(found[0].content, ScenarioFile) and ("name",) not in found[0].left_out:
            name = found[0].content.name
            if name != named:
                message = f"{name!r} differs from the file name; write {named!r} or rename the file to {name}.yaml"
                self.problems.append(found[0].problem(("name",), message))
        return found

    def parents(self, bottom: list[Layer], path: Path | None) -> tuple[list[Layer], dict[str, Layer]]:
        """The chain from the first parent down to the scenario itself, and the blocks it offers, the nearest one first."""
        chain: list[Layer] = []
        blocks: dict[str, Layer] = {}
        seen = [os.path.realpath(path)] if path else []
        names = [bottom[0].content.name] if bottom and isinstance(bottom[0].content, ScenarioFile) else []
        layers = bottom
        while layers:
            own, *offered = layers
            chain.insert(0, own)
            blocks = {block.label: block for block in offered} | blocks
            content = own.content
            if not isinstance(content, ScenarioFile) or content.extends is None:
                self.complete &= ("extends",) not in own.left_out
                break
            parent = _parent(content.extends, path)
            trouble = ""
            if parent is None:
                offer = shipped_scenarios()
                beside = "beside this file, below it or among the shipped ones" if path else "among the shipped ones"
                trouble = f"no scenario {content.extends!r} {beside} ({', '.join(offer)}){nearest(content.extends, offer)}"
            elif os.path.realpath(parent) in seen:
                trouble = f"goes round in a circle: {' -> '.join([*names, parent.stem])}; one of them must not extend the other"
            elif len(seen) > MAX_EXTENDS:
                trouble = f"is step {len(seen)} of a chain; at most {MAX_EXTENDS} are allowed, so join some of the files"
            if trouble or parent is None:
                self.problems.append(own.problem(("extends",), trouble))
                self.complete = False
                break
            seen.append(os.path.realpath(parent))
            names.append(parent.stem)
            path = parent
            layers = self.file(ScenarioFile, parent)
        return chain, blocks

    def override(self, wanted: str | Path, blocks: Mapping[str, Layer], bottom: Layer | None) -> list[Layer]:
        """The layer an override stands for: a named block of the chain, or a file."""
        if isinstance(wanted, Path) or wanted.endswith((".yaml", ".yml")):
            return self.file(Override, Path(wanted))
        if wanted in blocks:
            return [blocks[wanted]]
        offer = f"offered are {', '.join(sorted(blocks))}" if blocks else "the scenario and its parents offer none"
        message = f"no override called {wanted!r}; {offer}{nearest(wanted, blocks)}; a file is given by its path, ending in .yaml"
        self.problems.append(Problem(bottom.file if bottom else "", 0, "overrides", message))
        self.complete = False
        return []

    def setting(self, written: str) -> list[Layer]:
        """The layer a `key=value` of the command line stands for; the value is read as YAML."""
        written = printable(written)
        label = f"--set {written if written.isprintable() and len(written) <= 200 else shown(written)}"
        key, sign, text = written.partition("=")
        key = key.strip()
        if not sign or not all(key.split(".")):
            message = "is not of the form key=value; write for example start=2023-01-01 or policy.foresight=false"
            self.problems.append(Problem(label, 0, "", message))
            return []
        try:
            value = parse_yaml(text, Path(label)).content if text.strip() not in ("", "null", "~") else None
        except InputProblems as unreadable:
            self.problems += [Problem(label, 0, key, problem.message) for problem in unreadable.problems]
            return []
        raw = nested(key, value, "Set on the command line.")
        return self.layers(Override, YamlFile(Path(label), raw, {}), label, on_command_line=True)


def nested(key: str, value: Any, reason: str) -> Any:
    """A field by its path, such as `policy.set.lpp.tpp`, as the file of an override would write it.

    A leaf of law given as a plain value gets the reason.
    """
    path = key.split(".")
    if path[0] == "policy" and path[1:2] in (["set"], ["readings"]) and len(path) > 2:
        path = [*path[:2], ".".join(path[2:])]  # ids of leaves and switches hold dots themselves
    if path[:2] == ["policy", "set"] and len(path) == 3 and value is not None and not isinstance(value, dict):
        value = {"value": value, "reason": reason}
    for part in reversed(path):
        value = {part: value}
    return value


def place_in_words(place: FieldPath) -> str:
    """A place as messages name it; keys may hold anything, so they are cut and what is invisible is escaped."""
    return dotted(tuple(part if isinstance(part, int) else shown(part)[1:-1] for part in place))


def near(path: Path) -> Path:
    """The path as messages show it: from the working folder if it lies below it, else as given. Links keep their names."""
    try:
        return Path(os.path.abspath(path)).relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _parent(named: str, child: Path | None) -> Path | None:
    """The file `extends` names: beside the child if the child is a file, else a shipped one; None if there is none."""
    plain = named.removesuffix(".yaml")
    if child is not None:
        beside = child.parent / f"{plain}.yaml"
        # A file may refine the shipped scenario whose name it carries.
        if beside.is_file() and (plain != child.stem or not _shipped_file(plain) or beside.resolve() == _shipped_file(plain)):
            return beside
    return _shipped_file(plain)


def _shipped_file(name: str) -> Path | None:
    path = shipped("scenarios") / f"{name}.yaml"
    return path.resolve() if re.fullmatch(SLUG, name) and path.is_file() else None


def resolve(
    reader: Reader, bottom: list[Layer], path: Path | None, overrides: Sequence[str | Path], sets: Sequence[str]
) -> Scenario:
    """Merge the layers, check that the result agrees, and keep who said what."""
    chain, blocks = reader.parents(bottom, path)
    own = bottom[0] if bottom else None
    beside = [layer for wanted in dict.fromkeys(overrides) for layer in reader.override(wanted, blocks, own)]
    settings = [layer for written in dict.fromkeys(sets) for layer in reader.setting(written)]

    merged: dict[tuple[Hashable, ...], tuple[Any, Layer, FieldPath]] = {}
    replaced: list[Replacement] = []
    for level in (*([layer] for layer in chain), beside, settings):
        reader.problems += _conflicts(level)
        for layer in level:
            for key, (value, place) in layer.fields().items():
                if key in merged and merged[key][0] != value:
                    old, below, old_place = merged[key]
                    name = field_name(key)
                    replaced.append(Replacement(name, old, value, below.origin(old_place), layer.origin(place)))
                if key not in merged or merged[key][0] != value:
                    merged[key] = (value, layer, place)

    changes = sorted((entry for key, entry in merged.items() if key[0] == "inputs"), key=lambda entry: order(entry[0]))
    fields: dict[str, Any] = {name: merged[(name,)][0] for name in ("start", "end") if (name,) in merged}
    for group in ("policy", "mechanisms"):
        part: dict[str, Any] = {}
        for key, (value, _, _) in merged.items():
            if key[0] == group and len(key) == 2:
                part[str(key[1])] = value
            elif key[0] == group and value is not None:
                part.setdefault(str(key[1]), {})[key[2]] = value
        fields[group] = part
    fields["inputs"] = tuple(change for change, _, _ in changes)
    content = Content.model_validate(fields)

    def located(place: FieldPath) -> tuple[Layer, FieldPath] | None:
        """The layer and the place in its file that set a field of the merged content."""
        if place[0] == "inputs" and len(place) > 1:
            _, layer, stands = changes[cast(int, place[1])]
            return layer, (*stands, *place[2:])
        for length in range(len(place), 0, -1):
            if place[:length] in merged:
                _, layer, stands = merged[place[:length]]
                return layer, (*stands, *place[length:])
        inside = next((entry for key, entry in merged.items() if key[: len(place)] == place), None)
        return (inside[1], inside[2]) if inside else None

    def in_words(place: FieldPath) -> str:
        found = located(place)
        return str(found[0].origin(found[1])) if found else place_in_words(place)

    left_out = {place for layer in (*chain, *beside, *settings) for place in layer.left_out}

    def doubtful(place: FieldPath) -> bool:
        return any(place[: len(gone)] == gone or gone[: len(place)] == place for gone in left_out)

    for fault in disagreements(content, in_words) if reader.complete else ():
        if not any(map(doubtful, (fault.field, *fault.others) if fault.field[0] != "inputs" else fault.others)):
            whose = [(place, located(place)) for place in (fault.field, *fault.others)]
            blamed, found = next(((place, found) for place, found in whose if found), (fault.field, None))
            message = fault.message if blamed == fault.field else f"`{place_in_words(fault.field)}` {fault.message}"
            reader.problems.append(
                found[0].problem(found[1], message) if found else Problem("", 0, place_in_words(blamed), message)
            )
    reader.finish()

    assert own is not None and isinstance(own.content, ScenarioFile)  # without a layer there was a problem
    words = {name: getattr(own.content, name) for name in Words.model_fields}
    scenario = Scenario.model_validate({**words, **{name: getattr(content, name) for name in Content.model_fields}})
    origins = {field_name(key): layer.origin(place) for key, (_, layer, place) in merged.items()}
    origins |= {name: own.origin((name,)) for name in words if name in own.content.model_fields_set}
    scenario._provenance = origins
    scenario._replacements = tuple(replaced)
    scenario._applied = tuple(layer.label.removeprefix("--set ") for layer in (*beside, *settings))
    return scenario


def _conflicts(level: Sequence[Layer]) -> list[Problem]:
    """Fields that layers standing side by side set to different values."""
    found = []
    first: dict[tuple[Hashable, ...], tuple[Any, Layer, FieldPath]] = {}
    for layer in level:
        for key, (value, place) in layer.fields().items():
            if key in first and first[key][0] != value:
                other, whose, stands = first[key]
                message = (
                    f"{layer.label!r} says {value_in_words(value)} but {whose.label!r} ({_place(whose.origin(stands))}) says "
                    f"{value_in_words(other)}; leave one of the two out or make them agree"
                )
                found.append(layer.problem(place, message))
            first.setdefault(key, (value, layer, place))
    return found


def _place(origin: Origin) -> str:
    return f"{origin.file}:{origin.line}" if origin.line else origin.file
