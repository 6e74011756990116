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
            said += law_differences(segment, ours, theirs, law, first, second)
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


def law_differences(stretch: Segment, ours: str, theirs: str, law: Mapping[str, Any], first: str, second: str) -> list[str]:
    """What two regimes state differently in a stretch of time: rules with their dates, provisions, values with unit and citation.

    `first` and `second` name the scenarios under them. None if a regime is not at hand.
    """
    if ours not in law or theirs not in law:
        return []
    sides = ((first, law[ours]), (second, law[theirs]))
    return [*_rules_apart(stretch, sides), *_provisions_apart(sides), *_values_apart(stretch, sides)]


Sides = tuple[tuple[str, Any], tuple[str, Any]]


def _rules_apart(stretch: Segment, sides: Sides) -> list[str]:
    """Rules, letters and announcements that only one of the regimes has, or that begin or end on other days.

    What is announced only after the stretch has ended is left out: by then another law is in force.
    """
    (first, here), (second, there) = sides
    said = []
    for name, one, other in ((first, here, there), (second, there, here)):
        extra = [rule for id, rule in one.instruments.items() if id not in other.instruments and rule.announced <= stretch.last]
        if extra:
            said.append(f"Only the law of {name} has {_some([_rule(rule) for rule in extra])}.")
    # A rule without provisions binds nobody: what is missing then is told with the provisions.
    used = [{provision.instrument for provision in regime.provisions} for regime in (here, there)]
    for id, ours in here.instruments.items():
        theirs = there.instruments.get(id) if all(id in rules for rules in used) else None
        if theirs is None or min(ours.announced, theirs.announced) > stretch.last:
            continue
        if (_since(ours), ours.ends) != (_since(theirs), theirs.ends):
            said.append(f'"{ours.title}" {_course(ours)} in {first}, and {_course(theirs)} in {second}.')
    return said


def _rule(rule: Any) -> str:
    return f'"{rule.title}" ({_since(rule)}; {rule.citation})'


def _since(rule: Any) -> str:
    return f"announced {_day(rule.announced)}, binding from {_day(rule.compliance or rule.effective)}"


def _course(rule: Any) -> str:
    begins = f"binds from {_day(rule.compliance or rule.effective)}"
    if rule.ends is None:
        return f"{begins} on"
    cited = f" ({rule.ends.citation})" if rule.ends.citation else ""
    return f"is {rule.ends.how.replace('_', ' ')} from {_day(rule.ends.on)} on{cited}"


PROVISION_FIELDS = {
    "demands": "demand",
    "review": "review",
    "quota": "quota",
    "review_beyond_quota": "review beyond the quota",
    "destinations": "destinations",
    "headquarters": "headquarters",
    "items": "items",
    "admits": "exceptions",
    "quantity_at_most": "quantity at most",
    "quantity_above": "quantity above",
    "only_if": "readings under which it applies",
}


def _provisions_apart(sides: Sides) -> list[str]:
    """Provisions of shared rules that only one regime has, and what the shared provisions say differently."""
    (first, here), (second, there) = sides
    said = []
    for name, one, other in ((first, here, there), (second, there, here)):
        known = {provision.id for provision in other.provisions}
        extra = [p for p in one.provisions if p.id not in known and p.instrument in other.instruments]
        if extra:
            noun = "provision" if len(extra) == 1 else "provisions"
            said.append(f"Only the law of {name} has the {noun} {_some([_provision(p) for p in extra])}.")
    by_id = {provision.id: provision for provision in there.provisions}
    for ours in here.provisions:
        theirs = by_id.get(ours.id)
        if theirs is None:
            continue
        apart = [
            f"{words} {_plain(getattr(ours, field, None))} in {first} and {_plain(getattr(theirs, field, None))} in {second}"
            for field, words in PROVISION_FIELDS.items()
            if getattr(ours, field, None) != getattr(theirs, field, None)
        ]
        if apart:
            said.append(f"The provision {_provision(ours)} reads differently: {'; '.join(apart)}.")
    return said


def _provision(provision: Any) -> str:
    return f"{provision.id} ({provision.title.rstrip('.')}; {provision.citation})"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_plain(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value).replace("_", " ")


def _values_apart(stretch: Segment, sides: Sides) -> list[str]:
    """Values that differ at some time of the stretch, as they are when they first do."""
    from simulator.controls import leaf_differences

    (first, here), (second, there) = sides
    steps = {begins for regime in (here, there) for leaf in regime.leaves.values() for begins, _ in leaf.steps}
    found: dict[str, tuple[date, Any]] = {}
    for day in sorted({stretch.first, *(step for step in steps if stretch.first < step <= stretch.last)}):
        for difference in leaf_differences(here, there, day):
            found.setdefault(difference.leaf_id, (day, difference))
    said = []
    for name, side in ((first, "new"), (second, "old")):
        only = [
            (key, getattr(d, "old" if side == "new" else "new"), d.unit)
            for key, (_, d) in found.items()
            if getattr(d, side) is None
        ]
        if only:
            listed = _some([f"{key} ({_value(value, _unit(unit))})" for key, value, unit in sorted(only)])
            said.append(f"Only the law of {name} has the {'value' if len(only) == 1 else 'values'} {listed}.")
    both = {key: (day, d) for key, (day, d) in found.items() if d.old is not None and d.new is not None}
    for key, (day, difference) in sorted(both.items())[:MOST_VALUES]:
        unit = _unit(difference.unit)
        old, new = (_value(value, unit) for value in (difference.old, difference.new))
        since = f" from {_day(day)} on" if day > stretch.first else ""
        cited = f" ({difference.citation.rstrip('.')})" if difference.citation else ""
        said.append(f"The value {key} is {old} in {first} and {new} in {second}{since}{cited}.")
    if len(both) > MOST_VALUES:
        said.append(f"The two laws differ in {len(both) - MOST_VALUES} more values.")
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
    words = {
        "tpp": "TPP",
        "tpp_per_quarter": "TPP a quarter",
        "tpp_per_mm2": "TPP/mm²",
        "usd": "US dollars",
        "usd_per_year": "US dollars a year",
        "gb_per_s": "GB/s",
    }
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
