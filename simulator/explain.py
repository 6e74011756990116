"""Scenarios in words: what one supposes, and what differs between two, with dates and units.

    explain(load_scenario("history"), load_scenario("chip-shock"))

gives a list of sentences. It reads only scenarios, regimes and inputs; nothing is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from math import isclose
from typing import TYPE_CHECKING, Any

from simulator.scenario import HISTORY, InputChange, LeafSetting, Scenario, Segment, canonical, value_in_words

if TYPE_CHECKING:
    from simulator.world import World

MECHANISMS = {
    "relocation": "Relocation of stuck or refused projects",
    "uveu": "The universal authorisation of end users (UVEU)",
    "lpp": "License Exception LPP",
    "nveu": "The authorisation of end users for one country (NVEU)",
    "rationing": "The queue for grid capacity in every market",
    "bridging": "On-site generation until the grid comes",
    "crew_limit": "The limit on what a company can have under construction at once",
    "front_loading": "Shipping ahead of announced restrictions",
    "classification": "The formal classification of chips before a first filing",
    "review_queue": "The queue for a reviewer",
    "security": "The security acceptance of controlled sites",
    "money_bound": "The bound that the AI budget sets on buying chips",
    "luck": "Luck of single projects and decisions",
    "assumptions": "Variation of uncertain inputs",
}
NOT_SIMULATED = "in the law, not simulated"
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
    """The inputs of the data and what a scenario's changes make of them, one after the other in the order they apply."""

    def __init__(self, scenario: Scenario, world: World | None):
        self.changes, self.world = scenario.changes, world
        if world is not None:
            world.changed(scenario.changes)  # a change that fits no input is refused here

    def rows(self, table: str, parameter: str) -> dict[Any, tuple[Any, list[float]]]:
        """Numbers of one parameter by key: the value in the data, and the number there and after each of `changes`."""
        found: dict[Any, tuple[Any, list[float]]] = {}
        for value in self.world.select(table=table, parameter=parameter) if self.world is not None else ():
            if value.mode is None:
                continue
            steps = [value.mode]
            for change in self.changes:
                steps.append(_moved(change, steps[-1]) if _applies(change, value) else steps[-1])
            found[value.key] = (value, steps)
        return found


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
            said.append(
                f"The law's value {_named(key, _title(key, a, law))} is set to {new}{instead}. Reason: {_closed(leaf.reason)}"
            )
    for key, reading in sorted(policy.readings.items()):
        said.append(f"On the disputed point {key}, the reading {reading} is taken.")
    if not policy.foresight:
        said.append("Companies plan only on rules already in force, not on those announced.")
    if policy.grants_overlay:
        said.append("Licences really granted in history come on their dates.")
    said += [f"The input {_change(change, inputs)}. Reason: {_closed(change.reason)}" for change in inputs.changes]
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
    said += _inputs_apart(first, second, ours, theirs)
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
            (key, d.title, getattr(d, "old" if side == "new" else "new"), d.unit)
            for key, (_, d) in found.items()
            if getattr(d, side) is None
        ]
        if only:
            listed = _some(
                [
                    f"{_named(key, title)}: {_value(value, _unit(unit))}" if title else f"{key} ({_value(value, _unit(unit))})"
                    for key, title, value, unit in sorted(only)
                ]
            )
            said.append(f"Only the law of {name} has the {'value' if len(only) == 1 else 'values'} {listed}.")
    both = {key: (day, d) for key, (day, d) in found.items() if d.old is not None and d.new is not None}
    for key, (day, difference) in sorted(both.items())[:MOST_VALUES]:
        unit = _unit(difference.unit)
        old, new = (_value(value, unit) for value in (difference.old, difference.new))
        since = f" from {_day(day)} on" if day > stretch.first else ""
        # Each side's value with the text that states it, never the other side's.
        mine, its = (_cited(text) for text in (difference.old_citation, difference.new_citation))
        where = f"{old} in {first} and {new} in {second}{since}{mine}"
        if mine != its:
            where = f"{old} in {first}{mine} and {new} in {second}{its}{since}"
        said.append(f"The value {_named(key, difference.title)} is {where}.")
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
                name = _named(key, _title(key, a, law) or _title(key, b, law))
                said.append(f"The law's value {name} is set to {old} in {first} and to {new} in {second}.")
            continue
        leaf, whose, where, other = (ours, a, first, second) if ours is not None else (theirs, b, second, first)
        if leaf is not None:
            new, instead = _setting(key, leaf, whose, law)
            name = _named(key, _title(key, whose, law))
            said.append(f"In {where}, the law's value {name} is set to {new}{instead}; {other} leaves it as its law has it.")
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
    return _value(leaf.value, unit), f" instead of {_value(old.value, unit)}{_cited(old.citation)} from {_day(since)} on"


def _title(key: str, scenario: Scenario, law: Mapping[str, Any]) -> str:
    regime = law.get(scenario.policy.regime or "")
    return str(getattr(regime.leaves.get(key), "title", "") or "") if regime is not None else ""


def _named(key: str, title: str) -> str:
    """A number of the law by its words, with the id that `--set` takes; by the id alone if the law has no words for it.

    Says so where no run depends on it.
    """
    from simulator.controls import TEXT_ONLY

    idle = f"; {NOT_SIMULATED}" if key in TEXT_ONLY else ""
    return f'"{title}" ({key}{idle})' if title else f"{key}{idle}"


def _cited(citation: str) -> str:
    return f" ({citation.rstrip('.')})" if citation else ""


def _readings_apart(a: Scenario, b: Scenario, first: str, second: str) -> list[str]:
    said = []
    for key in sorted({*a.policy.readings, *b.policy.readings}):
        ours, theirs = (s.policy.readings.get(key) for s in (a, b))
        if ours != theirs:
            one, other = (f"the reading {r!r}" if r else "the regime's own" for r in (ours, theirs))
            said.append(f"On the disputed point {key}, {first} takes {one} and {second} {other}.")
    return said


def _inputs_apart(first: str, second: str, ours: _Inputs, theirs: _Inputs) -> list[str]:
    """What the two make of the inputs, parameter by parameter; changes that both make alike are not told."""
    said = []
    for table, parameter in dict.fromkeys((c.table, c.parameter) for c in (*ours.changes, *theirs.changes)):
        mine, its = ({c.key: c for c in side.changes if (c.table, c.parameter) == (table, parameter)} for side in (ours, theirs))
        shared = {key for key in {*mine} & {*its} if _same(mine[key], its[key])}
        if len(shared) == len(mine) == len(its):
            continue
        ends = [{key: steps[-1] for key, (_, steps) in side.rows(table, parameter).items()} for side in (ours, theirs)]
        apart = [key for key, end in ends[0].items() if not isclose(end, ends[1][key], rel_tol=1e-9, abs_tol=1e-12)]
        if ends[0] and not apart:
            said.append(
                f"The input {parameter} in the table {table} is changed in other steps in {first} and in {second}, which come to "
                "the same numbers."
            )
            continue
        stacked = False
        for key, change in mine.items():
            if key not in shared and key in its:
                other = f"in {second} it is {_effect(its[key])}{_numbers_behind(its[key], theirs) if len(its) > 1 else ''}"
                said.append(f"In {first}, the input {_change(change, ours)}; {other}.")
                stacked |= any(c.overlaps(change) for c in (*mine.values(), *its.values()) if c.key != key)
        for name, here, rest, side, changes in ((first, mine, its, ours, second), (second, its, mine, theirs, first)):
            for key, change in here.items():
                if key in rest:
                    continue
                beside = [c for c in rest.values() if c.overlaps(change)]
                stacked |= bool(beside) or any(c.overlaps(change) for c in here.values() if c.key != key)
                if not beside:
                    left = "leaves it as in the data"
                elif all(c.key in shared for c in beside):
                    left = "makes only the changes that both make"
                else:
                    left = "changes it otherwise"
                said.append(f"In {name}, the input {_change(change, side)}; {changes} {left}.")
        if stacked and apart:
            value = ours.rows(table, parameter)[apart[0]][0]
            old, new = (_number(end[apart[0]]) for end in ends)
            unit = value.unit.replace("_", " ")
            others = len(apart) - 1
            more = "" if not others else "; one more value differs" if others == 1 else f"; {others} more values differ"
            said.append(
                f"With all changes of {parameter}, the value{f' for {_which(value)}' if _which(value) else ''} is {old} {unit} in "
                f"{first} and {new} {unit} in {second}{more}."
            )
    return said


def _same(one: InputChange, other: InputChange) -> bool:
    return (one.effect, one.amount) == (other.effect, other.amount)


# --------------------------------------------------------------------------------------------------------------
# Words.


def _change(change: InputChange, inputs: _Inputs) -> str:
    who = "everyone" if change.entity == "*" else _and(change.names)
    scope = "" if not change.scope else " in every scope" if change.scope == "*" else f" (scope {change.scope})"
    whose = "" if change.names == ("world",) else f" of {who}"
    place = next(index for index, each in enumerate(inputs.changes) if each.key == change.key)
    again = any(earlier.overlaps(change) for earlier in inputs.changes[:place])
    text = f"{change.parameter}{whose}{scope} in the table {change.table} is {'further ' if again else ''}{_effect(change)}"
    if change.period_from and change.period_to:
        text += f" for periods that begin from {_day(change.period_from)} to {_day(change.period_to)}"
    elif change.period_from:
        text += f" for periods that begin on {_day(change.period_from)} or later"
    elif change.period_to:
        text += f" for periods that begin up to {_day(change.period_to)}"
    if change.known_from:
        text += f", which companies learn on {_day(change.known_from)}"
    return text + _numbers_behind(change, inputs)


def _applies(change: InputChange, value: Any) -> bool:
    """Whether a change applies to a value of the data: table, parameter, entity, scope and the day its period begins."""
    from simulator.world import period_bounds

    if (change.table, change.parameter) != (value.table, value.parameter) or change.scope not in ("*", value.scope):
        return False
    if change.entity != "*" and value.entity not in change.names:
        return False
    if change.period_from is None and change.period_to is None:
        return True
    return bool(value.period) and (
        (change.period_from or date.min) <= period_bounds(value.period)[0] <= (change.period_to or date.max)
    )


def _moved(change: InputChange, number: float) -> float:
    if change.effect == "set":
        return change.amount
    return number * change.amount if change.effect == "multiply" else number + change.amount


def _effect(change: InputChange) -> str:
    if change.effect == "multiply":
        return f"multiplied by {_number(change.amount)}"
    if change.effect == "set":
        return f"set to {_number(change.amount)}"
    return f"{'raised' if change.amount > 0 else 'lowered'} by {_number(abs(change.amount))}"


def _numbers_behind(change: InputChange, inputs: _Inputs) -> str:
    """` (40 -> 60 days for usa_nva, and 34 more values)`: an example of what the change does when its turn comes, with unit."""
    place = next(index for index, each in enumerate(inputs.changes) if each.key == change.key)
    rows = inputs.rows(change.table, change.parameter).values()
    moved = [(value, steps[place], steps[place + 1]) for value, steps in rows if steps[place] != steps[place + 1]]
    if not moved:
        return ""
    value, old, new = moved[0]
    named = f" for {_which(value)}" if _which(value) else ""
    return f" ({_number(old)} -> {_number(new)} {value.unit.replace('_', ' ')}{named}{_more(len(moved))})"


def _which(value: Any) -> str:
    """Whose value it is and when: `nvidia 2027Q1`; empty for the one of the whole world."""
    return " ".join(part for part in (value.entity if value.entity != "world" else "", value.scope, value.period) if part)


def _more(values: int) -> str:
    return f", and {values - 1} more values" if values > 2 else ", and one more value" if values == 2 else ""


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
