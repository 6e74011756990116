"""Scenarios in words: what one supposes, and what differs between two, with dates and units.

    explain(load_scenario("history"), load_scenario("chip-shock"))

gives a list of sentences. It reads only scenarios, regimes and inputs; nothing is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from simulator.scenario import HISTORY, InputChange, LeafSetting, Scenario, Segment, canonical, value_in_words

if TYPE_CHECKING:
    from simulator.world import World

MECHANISMS = {
    "relocation": "Relocation of stuck or refused projects",
    "front_loading": "Front-loading before an announced restriction",
    "uveu": "The universal authorisation of end users (UVEU)",
    "lpp": "License Exception LPP",
    "luck": "Luck of single projects and decisions",
    "assumptions": "Variation of uncertain inputs",
}
MOST_VALUES = 40
MOST_NAMES = 12


def explain(
    a: Scenario, b: Scenario | None = None, *, regimes: Mapping[str, Any] | None = None, world: World | None = None
) -> list[str]:
    """What differs between `a` and `b`, or what `a` alone supposes, as sentences.

    `regimes` (by id; the shipped ones if not given) add titles and the provisions that differ; `world` adds units and the
    numbers behind a change of inputs. Equal scenarios give one sentence that begins "No difference".
    """
    law = _shipped_regimes() if regimes is None else regimes
    return _one(a, law, _Inputs(a, world)) if b is None else _two(a, b, law, _Inputs(a, world), _Inputs(b, world))


class _Inputs:
    """The inputs before and after all changes of a scenario, for examples of what a change does."""

    def __init__(self, scenario: Scenario, world: World | None):
        self.before = world
        self.after = world.changed(scenario.changes) if world is not None else None


def _shipped_regimes() -> Mapping[str, Any]:
    from simulator.controls import load_all

    found: Mapping[str, Any] = load_all()
    return found


# --------------------------------------------------------------------------------------------------------------
# One scenario.


def _one(a: Scenario, law: Mapping[str, Any], inputs: _Inputs) -> list[str]:
    said = [f"{_quoted(a)} runs from {_day(a.start)} to {_day(a.end)}.", a.supposes]
    for segment in a.timeline():
        whole = (segment.first, segment.last) == (a.start, a.end)
        when = "throughout" if whole else f"from {_day(segment.first)} to {_day(segment.last)}"
        said.append(f"{_regime(segment.regime, law)} is in force {when}.")
    policy = a.policy
    for key, leaf in sorted(policy.set.items()):
        if leaf is not None:
            new, instead = _setting(key, leaf, a, law)
            said.append(f"The law's value {key} is set to {new}{instead}. Reason: {_closed(leaf.reason)}")
    for key, reading in sorted(policy.readings.items()):
        said.append(f"On the disputed point {key}, the reading {reading} is taken.")
    if not policy.foresight:
        said.append("Companies plan only on rules already in force, not on those announced.")
    if policy.grants_overlay:
        said.append("Licences really granted in history come on their dates.")
    said += [f"The input {_change(change, inputs)}. Reason: {_closed(change.reason)}" for change in a.changes]
    said += [f"{words} is switched off." for name, words in MECHANISMS.items() if not getattr(a.mechanisms, name)]
    if not a.changes:
        said.append("All inputs are those of the data.")
    return said


# --------------------------------------------------------------------------------------------------------------
# Two scenarios.


def _two(a: Scenario, b: Scenario, law: Mapping[str, Any], ours: _Inputs, theirs: _Inputs) -> list[str]:
    first, second = (_quoted(a), _quoted(b)) if a.label != b.label else ("the first scenario", "the second scenario")
    if canonical(a) == canonical(b):
        named = "" if a.label == b.label else f"; only their names ({_quoted(a)}, {_quoted(b)}) differ"
        return [f"No difference: both scenarios simulate exactly the same{named}."]
    said = []
    if a.start != b.start:
        said.append(f"{_upper(first)} starts on {_day(a.start)}, {second} on {_day(b.start)}.")
    if a.end != b.end:
        said.append(f"{_upper(first)} ends on {_day(a.end)}, {second} on {_day(b.end)}.")
    said += _regimes_apart(a, b, first, second, law)
    said += _settings_apart(a, b, first, second, law)
    said += _readings_apart(a, b, first, second)
    if a.policy.foresight != b.policy.foresight:
        far, near = (first, second) if a.policy.foresight else (second, first)
        said.append(f"In {far} companies plan on what is announced, in {near} only on what is already in force.")
    if a.policy.grants_overlay != b.policy.grants_overlay:
        real, model = (first, second) if a.policy.grants_overlay else (second, first)
        said.append(f"In {real} licences really granted come on their dates, in {model} all licences come from the model.")
    said += _inputs_apart(a, b, first, second, ours, theirs)
    for name, words in MECHANISMS.items():
        if getattr(a.mechanisms, name) != getattr(b.mechanisms, name):
            on, off = (first, second) if getattr(a.mechanisms, name) else (second, first)
            said.append(f"{words} is on in {on} and off in {off}.")
    return said


def _regimes_apart(a: Scenario, b: Scenario, first: str, second: str, law: Mapping[str, Any]) -> list[str]:
    """Stretches of the common horizon in which another regime is in force, with the provisions that differ."""
    said = []
    if not (apart := segments_apart(a, b)) and (a.start, a.end) != (b.start, b.end):
        said.append("The law is the same in both while both run.")
    described: set[tuple[str, str]] = set()
    for segment, ours, theirs in apart:
        until = "on" if segment.last == min(a.end, b.end) else f"to {_day(segment.last)}"
        sentence = f"From {_day(segment.first)} {until}, {_lower(_regime(ours, law))} is in force in {first}"
        said.append(f"{sentence}, and {_lower(_regime(theirs, law))} in {second}.")
        if (ours, theirs) not in described:
            described.add((ours, theirs))
            said += law_differences(ours, theirs, segment.first, law, first, second)
    return said


def segments_apart(a: Scenario, b: Scenario) -> list[tuple[Segment, str, str]]:
    """Stretches of the common horizon under different regimes: (stretch, regime of a, regime of b), in order.

    The `regime` of the stretch itself is that of `b`.
    """
    first, last = max(a.start, b.start), min(a.end, b.end)
    if first > last:
        return []
    edges = sorted({max(s.first, first) for s in (*a.timeline(), *b.timeline()) if s.first <= last and s.last >= first})
    found: list[tuple[Segment, str, str]] = []
    for edge, following in zip(edges, [*edges[1:], None], strict=True):
        ours, theirs = a.regime_on(edge), b.regime_on(edge)
        if ours != theirs:
            end = last if following is None else date.fromordinal(following.toordinal() - 1)
            found.append((Segment(edge, end, theirs), ours, theirs))
    return found


def law_differences(ours: str, theirs: str, on: date, law: Mapping[str, Any], first: str, second: str) -> list[str]:
    """The provisions and values in which two regimes differ on a day, as sentences; none if a regime is not at hand."""
    if ours not in law or theirs not in law:
        return []
    from simulator.controls import leaf_differences

    said = []
    for whose, here, there in ((first, law[ours], law[theirs]), (second, law[theirs], law[ours])):
        known = {provision.id for provision in there.provisions}
        extra = [provision for provision in here.provisions if provision.id not in known]
        if extra:
            listed = _some([f"{provision.id} ({provision.title.rstrip('.')}; {provision.citation})" for provision in extra])
            said.append(f"Only the law of {whose} has {listed}.")
    apart = leaf_differences(law[ours], law[theirs], on)
    for difference in apart[:MOST_VALUES]:
        unit = _unit(difference.unit)
        old, new = (_value(value, unit) for value in (difference.old, difference.new))
        cited = f" ({difference.citation.rstrip('.')})" if difference.citation else ""
        if difference.old is None:
            said.append(f"The value {difference.leaf_id} is {new} in {second}; {first} has no such value{cited}.")
        elif difference.new is None:
            said.append(f"The value {difference.leaf_id} is {old} in {first}; {second} has no such value{cited}.")
        else:
            said.append(f"The value {difference.leaf_id} is {old} in {first} and {new} in {second}{cited}.")
    if len(apart) > MOST_VALUES:
        said.append(f"The two laws differ in {len(apart) - MOST_VALUES} more values.")
    return said


def _settings_apart(a: Scenario, b: Scenario, first: str, second: str, law: Mapping[str, Any]) -> list[str]:
    said = []
    for key in sorted({*a.policy.set, *b.policy.set}):
        ours, theirs = a.policy.set.get(key), b.policy.set.get(key)
        if ours is not None and theirs is not None:
            if ours.value != theirs.value:
                old, new = (_setting(key, leaf, s, law)[0] for leaf, s in ((ours, a), (theirs, b)))
                said.append(f"The law's value {key} is set to {old} in {first} and to {new} in {second}.")
            continue
        leaf, whose, where, other = (ours, a, first, second) if ours is not None else (theirs, b, second, first)
        if leaf is not None:
            new, instead = _setting(key, leaf, whose, law)
            said.append(f"In {where}, the law's value {key} is set to {new}{instead}; {other} leaves it as its law has it.")
    return said


def _setting(key: str, leaf: LeafSetting, scenario: Scenario, law: Mapping[str, Any]) -> tuple[str, str]:
    """A leaf's new value with its unit, and since when it stands in the place of which old one."""
    since = scenario.policy.diverges_on
    assert since is not None  # only a scenario that diverges sets leaves
    regime = law.get(scenario.policy.regime or "")
    dated = regime.leaves.get(key) if regime is not None else None
    if dated is None:
        return value_in_words(leaf.value), f" from {_day(since)} on"
    unit = _unit(dated.unit)
    try:
        old = dated.at(since)
    except LookupError:
        return _value(leaf.value, unit), f" from {_day(since)} on"
    cited = f" ({old.citation.rstrip('.')})" if old.citation else ""
    return _value(leaf.value, unit), f" instead of {_value(old.value, unit)}{cited} from {_day(since)} on"


def _readings_apart(a: Scenario, b: Scenario, first: str, second: str) -> list[str]:
    said = []
    for key in sorted({*a.policy.readings, *b.policy.readings}):
        ours, theirs = (s.policy.readings.get(key) for s in (a, b))
        if ours != theirs:
            one, other = (f"the reading {r!r}" if r else "the regime's own" for r in (ours, theirs))
            said.append(f"On the disputed point {key}, {first} takes {one} and {second} {other}.")
    return said


def _inputs_apart(a: Scenario, b: Scenario, first: str, second: str, inputs_a: _Inputs, inputs_b: _Inputs) -> list[str]:
    ours, theirs = {c.key: c for c in a.changes}, {c.key: c for c in b.changes}
    said = []
    for key, change in ours.items():
        other = theirs.get(key)
        if other is None:
            said.append(f"In {first}, the input {_change(change, inputs_a)}; {second} leaves it as in the data.")
        elif (change.effect, change.amount) != (other.effect, other.amount):
            said.append(f"In {first}, the input {_change(change, inputs_a)}; in {second} it is {_effect(other)}.")
    said += [
        f"In {second}, the input {_change(change, inputs_b)}; {first} leaves it as in the data."
        for key, change in theirs.items()
        if key not in ours
    ]
    return said


# --------------------------------------------------------------------------------------------------------------
# Words.


def _change(change: InputChange, inputs: _Inputs) -> str:
    who = "everyone" if change.entity == "*" else _and(change.names)
    scope = "" if not change.scope else " in every scope" if change.scope == "*" else f" (scope {change.scope})"
    whose = "" if change.names == ("world",) else f" of {who}"
    text = f"{change.parameter}{whose}{scope} in the table {change.table} is {_effect(change)}"
    if change.period_from and change.period_to:
        text += f" for periods that begin from {_day(change.period_from)} to {_day(change.period_to)}"
    elif change.period_from:
        text += f" for periods that begin on {_day(change.period_from)} or later"
    elif change.period_to:
        text += f" for periods that begin up to {_day(change.period_to)}"
    return text + _numbers_behind(change, inputs)


def _meant(change: InputChange, entity: str, scope: str) -> bool:
    return (change.entity == "*" or entity in change.names) and change.scope in ("*", scope)


def _effect(change: InputChange) -> str:
    if change.effect == "multiply":
        return f"multiplied by {_number(change.amount)}"
    if change.effect == "set":
        return f"set to {_number(change.amount)}"
    return f"{'raised' if change.amount > 0 else 'lowered'} by {_number(abs(change.amount))}"


def _numbers_behind(change: InputChange, inputs: _Inputs) -> str:
    """` (40 -> 60 days for usa_nva, and 34 more values)`: an example of what the change does, with its unit."""
    if inputs.before is None or inputs.after is None:
        return ""
    here = [v for v in inputs.before.select(table=change.table, parameter=change.parameter) if _meant(change, v.entity, v.scope)]
    after = {value.key: value.mode for value in inputs.after.select(table=change.table, parameter=change.parameter)}
    moved = [value for value in here if after[value.key] != value.mode]
    if not moved:
        return ""
    value = moved[0]
    old, new = value.mode, after[value.key]
    assert old is not None and new is not None  # only numbers change
    which = " ".join(part for part in (value.entity if value.entity != "world" else "", value.scope, value.period) if part)
    more = f", and {len(moved) - 1} more values" if len(moved) > 2 else ", and one more value" if len(moved) == 2 else ""
    named = f" for {which}" if which else ""
    return f" ({_number(old)} -> {_number(new)} {value.unit.replace('_', ' ')}{named}{more})"


def _regime(regime: str, law: Mapping[str, Any]) -> str:
    if regime == HISTORY:
        return "The law of history"
    title = getattr(law.get(regime), "title", "")
    return f"The regime {regime}" + (f" ({str(title).rstrip('.')})" if title else "")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _number(value: float) -> str:
    """At least four significant digits, thousands separated, no trailing zeros."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.12g}" if isinstance(value, int) or value == round(value, 6) else f"{value:.4g}"


def _value(value: Any, unit: str) -> str:
    """A value of the law with its unit: `26,900,000 TPP`, `0.07 share`, `d5 + MAC`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{_number(value)} {unit}".strip()
    return _day(value) if isinstance(value, date) else f"'{value}'"


def _unit(unit: str) -> str:
    words = {"tpp": "TPP", "tpp_per_quarter": "TPP per quarter", "usd": "US dollars", "usd_per_year": "US dollars a year"}
    plain = ("share", "multiple", "count", "yes_no", "word", "group", "items", "date")
    return words.get(unit, "" if unit in plain else unit.replace("_", " "))


def _some(words: list[str]) -> str:
    """The words joined; of a long list the first twelve and how many more there are."""
    more = len(words) - MOST_NAMES
    return _and(words) if more <= 1 else f"{', '.join(words[:MOST_NAMES])} and {more} more"


def _and(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _quoted(scenario: Scenario) -> str:
    return f'"{scenario.label}"'


def _closed(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:] if words.startswith("the ") else words


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:] if words.startswith("The ") else words
