"""Scenarios in words: the sentences themselves, against regimes and inputs that stand still."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from simulator import layers
from simulator.explain import MECHANISMS, explain, segments_apart
from simulator.scenario import Mechanisms, Scenario, load_scenario, scenario_from_text, shipped_scenarios

HEAD = "name: {name}\ntitle: Test\nsupposes: Nothing changes.\n"


@pytest.fixture(autouse=True)
def any_regime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "regime_ids", list)


def scenario(name: str, text: str = "") -> Scenario:
    return scenario_from_text(HEAD.format(name=name) + text)


@dataclass(frozen=True)
class FakeLeaf:
    """A leaf with one value since ever."""

    value: Any
    unit: str
    citation: str = "§ 740.27"
    reason: str = ""

    later: tuple[date, Any] | None = None
    title: str = ""

    @property
    def steps(self) -> tuple[tuple[date, Any], ...]:
        return ((date.min, self.value), *([self.later] if self.later else []))

    def at(self, on: date) -> FakeLeaf:
        return replace(self, value=self.later[1]) if self.later and on >= self.later[0] else self


def fake_regime(
    title: str, leaves: Mapping[str, FakeLeaf], provisions: tuple[str, ...] = (), instrument: str = "ear"
) -> SimpleNamespace:
    named = tuple(
        SimpleNamespace(id=id, title=f"Rule {id}.", citation=f"§ {len(id)}", instrument=instrument) for id in provisions
    )
    return SimpleNamespace(title=title, leaves=dict(leaves), provisions=named, instruments={"ear": EAR})


def rule(title: str, compliance: date | None = None, ends: Any = None) -> SimpleNamespace:
    begins = date(2025, 1, 13)
    return SimpleNamespace(title=title, citation="90 FR 1", announced=begins, effective=begins, compliance=compliance, ends=ends)


EAR = rule("Standing text")


LAW = {
    "history": fake_regime(
        "History", {"lpp.limit": FakeLeaf(26_900_000, "tpp"), "hq": FakeLeaf("d5 + MAC", "group")}, ("old.d4",)
    ),
    "strict": fake_regime(
        "The strict rule.",
        {"lpp.limit": FakeLeaf(10_000_000, "tpp"), "cap": FakeLeaf(0.07, "share"), "hq": FakeLeaf("d5 + MAC", "group")},
        ("old.d4", "new.cap"),
    ),
    "mild": fake_regime("", {"lpp.limit": FakeLeaf(26_900_000, "tpp"), "on": FakeLeaf(True, "yes_no")}),
}
STRICT = "policy:\n  diverges_on: 2027-01-01\n  regime: strict\n"


@dataclass(frozen=True)
class FakeValue:
    table: str
    parameter: str
    entity: str
    period: str
    mode: float
    unit: str
    scope: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.entity, self.parameter, self.scope, self.period)


class FakeWorld:
    """Some shipments, which `changed` multiplies."""

    def __init__(self, values: list[FakeValue]):
        self.values = values

    def select(self, *, table: str, parameter: str) -> list[FakeValue]:
        return [value for value in self.values if (value.table, value.parameter) == (table, parameter)]

    def changed(self, changes: Any) -> FakeWorld:
        values = self.values
        for change in changes:
            values = [replace(v, mode=v.mode * change.multiply) if v.entity in change.names else v for v in values]
        return FakeWorld(values)


WORLD: Any = FakeWorld(
    [
        FakeValue("supply", "shipped_h100e", "amd", "2027Q1", 400_000.0, "h100e"),
        FakeValue("supply", "shipped_h100e", "nvidia", "2027Q1", 4_000_000.0, "h100e"),
        FakeValue("supply", "shipped_h100e", "nvidia", "2027Q2", 5_000_000.0, "h100e"),
    ]
)
SHOCK = (
    "inputs:\n  - {table: supply, parameter: shipped_h100e, entity: nvidia, from: 2027-01-01, to: 2027-12-31, multiply: 0.6, "
    "reason: A test}\n"
)


def test_equal_scenarios_have_no_difference() -> None:
    a = scenario("a")
    assert explain(a, a, regimes={}) == ["No difference: both scenarios simulate exactly the same."]
    assert explain(a, scenario("b", "mechanisms: {luck: true}\n"), regimes={}) == [
        'No difference: both scenarios simulate exactly the same; only their names ("a", "b") differ.'
    ]


def test_two_laws_differ_in_dates_provisions_and_values_with_units() -> None:
    assert explain(scenario("a"), scenario("b", STRICT), regimes=LAW) == [
        'From 1 January 2027 on, the law of history is in force in "a", and the regime strict (The strict rule) in "b".',
        'Only the law of "b" has the provision new.cap (Rule new.cap; § 7).',
        'Only the law of "b" has the value cap (0.07).',
        'The value lpp.limit is 26,900,000 TPP in "a" and 10,000,000 TPP in "b" (§ 740.27).',
    ]


def test_the_order_of_the_two_decides_which_is_named_first() -> None:
    assert explain(scenario("b", STRICT), scenario("a"), regimes=LAW) == [
        'From 1 January 2027 on, the regime strict (The strict rule) is in force in "b", and the law of history in "a".',
        'Only the law of "b" has the provision new.cap (Rule new.cap; § 7).',
        'Only the law of "b" has the value cap (0.07).',
        'The value lpp.limit is 10,000,000 TPP in "b" and 26,900,000 TPP in "a" (§ 740.27).',
    ]


def test_each_stretch_of_time_is_told_apart() -> None:
    later = STRICT + "  later:\n    - {from: 2029-07-01, regime: mild}\n"
    told = explain(scenario("a", STRICT), scenario("b", later), regimes=LAW)
    assert told[0] == ('From 1 July 2029 on, the regime strict (The strict rule) is in force in "a", and the regime mild in "b".')
    told = explain(scenario("a"), scenario("b", later), regimes={})
    assert told == [
        'From 1 January 2027 to 30 June 2029, the law of history is in force in "a", and the regime strict in "b".',
        'From 1 July 2029 on, the law of history is in force in "a", and the regime mild in "b".',
    ]


def test_rules_that_bind_at_other_times_are_told_with_their_dates() -> None:
    ended = SimpleNamespace(on=date(2025, 5, 13), how="not_enforced", citation="a statement")
    ours, theirs = (fake_regime("", {}, ("cap",), "fw") for _ in range(2))
    ours.instruments = {"fw": rule("Framework", date(2025, 5, 15), ended), "letter": rule("A letter")}
    theirs.instruments = {"fw": rule("Framework", date(2025, 5, 15))}
    assert explain(scenario("a"), scenario("b", STRICT), regimes={"history": ours, "strict": theirs})[1:] == [
        'Only the law of "a" has "A letter" (announced 13 January 2025, binding from 13 January 2025; 90 FR 1).',
        '"Framework" is not enforced from 13 May 2025 on (a statement) in "a", and binds from 15 May 2025 on in "b".',
    ]


def test_rules_announced_after_a_stretch_are_not_part_of_it() -> None:
    ours, theirs = fake_regime("", {}), fake_regime("", {})
    ours.instruments = {"letter": rule("A letter")}
    early = "start: 2023-01-01\npolicy: {diverges_on: 2023-02-01, regime: strict, later: [{from: 2024-01-01, regime: history}]}\n"
    told = explain(scenario("a", "start: 2023-01-01\n"), scenario("b", early), regimes={"history": ours, "strict": theirs})
    assert told == [
        'From 1 February 2023 to 31 December 2023, the law of history is in force in "a", and the regime strict in "b".'
    ]


def test_provisions_that_read_differently_are_told_field_by_field() -> None:
    ours, theirs = fake_regime("", {}, ("tier3",)), fake_regime("", {}, ("tier3",))
    ours.provisions[0].review, theirs.provisions[0].review = "policy_of_denial", "case_by_case"
    ours.provisions[0].items, theirs.provisions[0].items = ("3A090.a", "4E091"), ("3A090.a",)
    theirs.provisions[0].quota = "allocation"
    assert explain(scenario("a"), scenario("b", STRICT), regimes={"history": ours, "strict": theirs})[1:] == [
        'The provision tier3 (Rule tier3; § 5) reads differently: review policy of denial in "a" and case by case in "b"; '
        'quota none in "a" and allocation in "b"; items 3A090.a, 4E091 in "a" and 3A090.a in "b".'
    ]


def test_a_value_that_differs_only_later_is_told_with_its_day() -> None:
    law = {
        "history": fake_regime("", {"cap": FakeLeaf(7, "days"), "old": FakeLeaf(1, "days", later=(date(2020, 1, 1), 2))}),
        "strict": fake_regime("", {"cap": FakeLeaf(7, "days", later=(date(2028, 7, 1), 9)), "old": FakeLeaf(2, "days")}),
    }
    assert explain(scenario("a"), scenario("b", STRICT), regimes=law)[1:] == [
        'The value cap is 7 days in "a" and 9 days in "b" from 1 July 2028 on (§ 740.27).'
    ]


def test_each_side_is_cited_for_itself_and_named_in_words() -> None:
    """A citation or reason of one side never stands behind the value of the other."""
    law = {
        "history": fake_regime(
            "",
            {
                "cap": FakeLeaf(7, "days", "90 FR 1", title="days of review"),
                "slow": FakeLeaf("late", "word", "", "the Gulf was slow in 2024"),
                "old": FakeLeaf(3, "days", "§ 9", title="days of old"),
            },
        ),
        "strict": fake_regime(
            "",
            {
                "cap": FakeLeaf(9, "days", "", "a guess"),
                "slow": FakeLeaf("soon", "word", "91 FR 2", later=(date(2028, 1, 1), "x")),
            },
        ),
    }
    assert explain(scenario("a"), scenario("b", STRICT), regimes=law)[1:] == [
        'Only the law of "a" has the value "days of old" (old): 3 days.',
        'The value "days of review" (cap) is 7 days in "a" (90 FR 1) and 9 days in "b".',
        "The value slow is 'late' in \"a\" and 'soon' in \"b\" (91 FR 2).",
    ]
    one = scenario("b", "policy:\n  diverges_on: 2027-01-01\n  regime: history\n  set: {cap: {value: 5, reason: A test}}\n")
    assert explain(one, regimes=law)[4] == (
        'The law\'s value "days of review" (cap) is set to 5 days instead of 7 days (90 FR 1) from 1 January 2027 on. '
        "Reason: A test."
    )


def test_shipped_differences_never_give_a_reason_for_a_citation() -> None:
    told = " ".join(explain(load_scenario("history"), load_scenario("diffusion-framework")))
    assert "Gulf licences were slow" not in told and "nothing sold under a licence" not in told
    assert (
        'The value "share of deliveries outside tier 1 that reach tier 3" (diversion.share) is 0.05 in "history" and 0.03 in '
        '"diffusion-framework" from 15 May 2025 on.'
    ) in told


def test_since_when_a_change_is_known_is_said() -> None:
    (told,) = [s for s in explain(load_scenario("history"), load_scenario("chip-shock")) if "shipped_h100e" in s]
    assert "which companies learn on 1 January 2027" in told


def test_what_is_in_the_law_and_not_simulated_is_said() -> None:
    told = explain(load_scenario("history"), load_scenario("decoupling"))
    (only,) = [sentence for sentence in told if "allied.harmonised" in sentence]
    for id in ("allied.harmonised", "remote.access_controlled"):
        assert f"({id}; in the law, not simulated)" in only
    for id in ("china.retaliation_supply_cut", "location.verification_days"):
        assert f"({id})" in " ".join(told)
    assert any("(security.share_of_capex; in the law, not simulated) is 0 in" in sentence for sentence in told)
    idle = ["policy.set.audit.mutual_recognition=false"]
    (told_alone,) = [s for s in explain(load_scenario("collaboration", sets=idle)) if "is set to" in s]
    assert "(audit.mutual_recognition; in the law, not simulated) is set to false" in told_alone


def test_stretches_under_other_law_lie_in_the_common_horizon() -> None:
    early = scenario("a", "start: 2023-01-01\nend: 2028-12-31\n")
    late = scenario("b", "start: 2025-01-01\npolicy: {diverges_on: 2024-06-01, regime: strict}\n")
    ((stretch, ours, theirs),) = segments_apart(early, late)
    assert (stretch.first, stretch.last, ours, theirs) == (date(2025, 1, 1), date(2028, 12, 31), "history", "strict")
    assert segments_apart(scenario("a", "end: 2025-12-31\n"), scenario("b", "start: 2026-01-01\n")) == []
    assert explain(early, late, regimes={})[:3] == [
        '"a" starts on 1 January 2023, "b" on 1 January 2025.',
        '"a" ends on 31 December 2028, "b" on 31 December 2031.',
        'From 1 January 2025 on, the law of history is in force in "a", and the regime strict in "b".',
    ]


def test_the_same_law_over_another_horizon_is_said_to_be_the_same() -> None:
    assert explain(scenario("a"), scenario("b", "start: 2023-01-01\n"), regimes={}) == [
        '"a" starts on 1 January 2024, "b" on 1 January 2023.',
        "The law is the same in both while both run.",
    ]


def test_values_set_by_a_scenario_show_the_old_one_its_unit_and_citation() -> None:
    one = scenario("a", STRICT + "  set: {lpp.limit: {value: 5000000, reason: A test}}\n")
    assert explain(scenario("b", STRICT), one, regimes=LAW) == [
        'In "a", the law\'s value lpp.limit is set to 5,000,000 TPP instead of 10,000,000 TPP (§ 740.27) from 1 January 2027 on; '
        '"b" leaves it as its law has it.'
    ]
    other = scenario("b", STRICT + "  set: {lpp.limit: {value: 7000000, reason: A test}}\n")
    assert explain(one, other, regimes=LAW) == [
        'The law\'s value lpp.limit is set to 5,000,000 TPP in "a" and to 7,000,000 TPP in "b".'
    ]
    assert explain(one, other, regimes={}) == ['The law\'s value lpp.limit is set to 5000000 in "a" and to 7000000 in "b".']


def test_readings_foresight_and_grants() -> None:
    a = scenario("a", "policy: {readings: {hq: strict}}\n")
    b = scenario("b", "policy: {foresight: false, grants_overlay: true}\n")
    assert explain(a, b, regimes={}) == [
        'On the disputed point hq, "a" takes the reading \'strict\' and "b" the regime\'s own.',
        'In "a" companies plan on what is announced, in "b" only on what is already in force.',
        'In "b" licences really granted come on their dates, in "a" all licences come from the model.',
    ]


def test_mechanisms_switched_off() -> None:
    b = scenario("b", "mechanisms: {relocation: false, luck: false}\n")
    assert explain(scenario("a"), b, regimes={}) == [
        'Relocation of stuck or refused projects is on in "a" and off in "b".',
        'Luck of single projects and decisions is on in "a" and off in "b".',
    ]


def test_every_mechanism_that_can_be_switched_has_words() -> None:
    assert set(MECHANISMS) == set(Mechanisms.model_fields)
    off = scenario("b", f"mechanisms: {{{', '.join(f'{name}: false' for name in MECHANISMS)}}}\n")
    assert explain(scenario("a"), off, regimes={}) == [f'{words} is on in "a" and off in "b".' for words in MECHANISMS.values()]


def test_changed_inputs_show_numbers_and_units() -> None:
    assert explain(scenario("a"), scenario("b", SHOCK), regimes={}, world=WORLD) == [
        'In "b", the input shipped_h100e of nvidia in the table supply is multiplied by 0.6 for periods that begin from 1 '
        "January 2027 to 31 December 2027 (4,000,000 -> 2,400,000 h100e for nvidia 2027Q1, and one more value); "
        '"a" leaves it as in the data.'
    ]
    stronger = scenario("c", SHOCK.replace("0.6", "0.5"))
    assert explain(scenario("b", SHOCK), stronger, regimes={}) == [
        'In "b", the input shipped_h100e of nvidia in the table supply is multiplied by 0.6 for periods that begin from 1 '
        'January 2027 to 31 December 2027; in "c" it is multiplied by 0.5.'
    ]


def rows(*changes: str) -> str:
    period = "from: 2027-01-01, to: 2027-12-31, reason: A test"
    return "inputs:\n" + "".join(f"  - {{table: supply, parameter: shipped_h100e, {change}, {period}}}\n" for change in changes)


BOTH = "entity: [amd, nvidia], multiply: 2"
FIRST = (
    "the input shipped_h100e of amd and nvidia in the table supply is multiplied by 2 for periods that begin from 1 January "
    "2027 to 31 December 2027 (400,000 -> 800,000 h100e for amd 2027Q1, and 2 more values)"
)
THEN = (
    "the input shipped_h100e of amd in the table supply is further multiplied by 3 for periods that begin from 1 January "
    "2027 to 31 December 2027 (800,000 -> 2,400,000 h100e for amd 2027Q1)"
)


def test_changes_on_top_of_one_another_are_told_step_by_step() -> None:
    child = scenario("child", rows(BOTH, "entity: amd, multiply: 3"))
    assert explain(child, regimes={}, world=WORLD)[3:] == [
        f"The input {FIRST.removeprefix('the input ')}. Reason: A test.",
        f"The input {THEN.removeprefix('the input ')}. Reason: A test.",
    ]
    assert explain(scenario("data"), child, regimes={}, world=WORLD) == [
        f'In "child", {FIRST}; "data" leaves it as in the data.',
        f'In "child", {THEN}; "data" leaves it as in the data.',
        'With all changes of shipped_h100e, the value for amd 2027Q1 is 400,000 h100e in "data" and 2,400,000 h100e in "child"; '
        "2 more values differ.",
    ]


def test_a_child_is_compared_with_what_its_parent_makes_of_the_data() -> None:
    parent, child = scenario("parent", rows(BOTH)), scenario("child", rows(BOTH, "entity: amd, multiply: 3"))
    assert explain(parent, child, regimes={}, world=WORLD) == [
        f'In "child", {THEN}; "parent" makes only the changes that both make.',
        'With all changes of shipped_h100e, the value for amd 2027Q1 is 800,000 h100e in "parent" and 2,400,000 h100e in "child".',
    ]
    other = scenario("other", rows("entity: amd, multiply: 5"))
    told = explain(parent, other, regimes={}, world=WORLD)
    assert all(sentence.endswith('" changes it otherwise.') for sentence in told[:2])
    assert told[2] == (
        'With all changes of shipped_h100e, the value for amd 2027Q1 is 800,000 h100e in "parent" and 2,000,000 h100e in '
        '"other"; 2 more values differ.'
    )
    stronger = scenario("stronger", rows(BOTH, "entity: amd, multiply: 4"))
    assert explain(child, stronger, regimes={}, world=WORLD) == [
        f'In "child", {THEN}; in "stronger" it is multiplied by 4 (800,000 -> 3,200,000 h100e for amd 2027Q1).',
        'With all changes of shipped_h100e, the value for amd 2027Q1 is 2,400,000 h100e in "child" and 3,200,000 h100e in '
        '"stronger".',
    ]


def test_other_steps_to_the_same_numbers_are_said_to_be_so() -> None:
    child = scenario("child", rows(BOTH, "entity: amd, multiply: 3"))
    six = scenario("six", rows("entity: amd, multiply: 6", "entity: nvidia, multiply: 2"))
    assert explain(child, six, regimes={}, world=WORLD) == [
        'The input shipped_h100e in the table supply is changed in other steps in "child" and in "six", which come to the same '
        "numbers."
    ]
    assert len(explain(child, six, regimes={})) == 3, "without the inputs nobody can tell"


def test_the_steps_end_where_the_simulation_begins() -> None:
    """The arithmetic of the sentences is that of the inputs that are simulated."""
    from simulator import explain as module
    from simulator.world import load_world

    world = load_world()
    told = scenario("a", rows(BOTH, "entity: amd, multiply: 3")).changes + load_scenario("grid-squeeze").changes
    both = scenario("b").model_copy(update={"inputs": told})
    after, inputs = world.changed(both.changes), module._Inputs(both, world)
    for table, parameter in {(change.table, change.parameter) for change in told}:
        simulated = {value.key: value.mode for value in after.select(table=table, parameter=parameter)}
        stepped = {key: steps[-1] for key, (_, steps) in inputs.rows(table, parameter).items()}
        assert stepped == pytest.approx({key: simulated[key] for key in stepped}) and stepped
        moved = [key for key, (value, steps) in inputs.rows(table, parameter).items() if steps[-1] != value.mode]
        assert moved


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            '{table: markets, parameter: grid_connection_days, entity: "*", add: 90, reason: A test}',
            "the input grid_connection_days of everyone in the table markets is raised by 90;",
        ),
        (
            "{table: process, parameter: pause_probability, add: -0.05, from: 2026-01-01, reason: A test}",
            "the input pause_probability in the table process is lowered by 0.05 for periods that begin on 1 January 2026 "
            "or later;",
        ),
        (
            '{table: companies, parameter: route_share, entity: [aws, google, oracle], scope: "*", set: 0.25, to: 2025-12-31, '
            "reason: A test}",
            "the input route_share of aws, google and oracle in every scope in the table companies is set to 0.25 for "
            "periods that "
            "begin up to 31 December 2025;",
        ),
        (
            "{table: process, parameter: interval_days, scope: leased, multiply: 1234.5, reason: A test}".replace(
                "1234.5", "12.5"
            ),
            "the input interval_days (scope leased) in the table process is multiplied by 12.5;",
        ),
    ],
)
def test_each_kind_of_change_in_words(change: str, words: str) -> None:
    (sentence,) = explain(scenario("a"), scenario("b", f"inputs:\n  - {change}\n"), regimes={})
    assert sentence == f'In "b", {words} "a" leaves it as in the data.'


def test_overrides_are_part_of_what_a_scenario_is_called() -> None:
    again = scenario_from_text(HEAD.format(name="a"), sets=["start=2023-01-01"])
    assert explain(scenario("a"), again, regimes={})[0] == (
        '"a" starts on 1 January 2024, "a + start=2023-01-01" on 1 January 2023.'
    )
    same_name = scenario("a", "mechanisms: {luck: false}\n")
    assert explain(scenario("a"), same_name, regimes={}) == [
        "Luck of single projects and decisions is on in the first scenario and off in the second scenario."
    ]


def test_one_scenario_tells_its_timeline() -> None:
    text = STRICT + (
        "  foresight: false\n  grants_overlay: true\n  readings: {hq: strict}\n"
        "  set: {lpp.limit: {value: 5000000, reason: A test}}\n"
        "  later:\n    - {from: 2029-07-01, regime: mild}\n"
    )
    assert explain(scenario("a", text + SHOCK + "mechanisms: {lpp: false}\n"), regimes=LAW, world=WORLD) == [
        '"a" runs from 1 January 2024 to 31 December 2031.',
        "Nothing changes.",
        "The law of history is in force from 1 January 2024 to 31 December 2026.",
        "The regime strict (The strict rule) is in force from 1 January 2027 to 30 June 2029.",
        "The regime mild is in force from 1 July 2029 to 31 December 2031.",
        "The law's value lpp.limit is set to 5,000,000 TPP instead of 10,000,000 TPP (§ 740.27) from 1 January 2027 on. "
        "Reason: A test.",
        "On the disputed point hq, the reading strict is taken.",
        "Companies plan only on rules already in force, not on those announced.",
        "Licences really granted in history come on their dates.",
        "The input shipped_h100e of nvidia in the table supply is multiplied by 0.6 for periods that begin from 1 January "
        "2027 to 31 "
        "December 2027 (4,000,000 -> 2,400,000 h100e for nvidia 2027Q1, and one more value). Reason: A test.",
        "License Exception LPP is switched off.",
    ]
    assert explain(scenario("a"), regimes={}) == [
        '"a" runs from 1 January 2024 to 31 December 2031.',
        "Nothing changes.",
        "The law of history is in force throughout.",
        "All inputs are those of the data.",
    ]


def test_long_lists_are_cut_with_their_count() -> None:
    many = {f"leaf{n:02}": FakeLeaf(n, "days") for n in range(45)}
    law = {
        "history": fake_regime("", {key: FakeLeaf(-1, "days") for key in many}),
        "strict": fake_regime("", many, tuple(f"rule{n:02}" for n in range(15))),
    }
    told = explain(scenario("a"), scenario("b", STRICT), regimes=law)
    assert told[1].endswith("rule11 (Rule rule11; § 6) and 3 more.")
    assert told[-2] == 'The value leaf39 is -1 days in "a" and 39 days in "b" (§ 740.27).'
    assert told[-1] == "The two laws differ in 5 more values."


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_is_told_in_whole_sentences(name: str) -> None:
    here, history = load_scenario(name), load_scenario("history")
    told = [*explain(here, regimes={}), *explain(history, here, regimes={})]
    assert all(re.match(r'["A-Z]', sentence) and sentence.endswith(".") for sentence in told)
    assert ("No difference" in told[-1]) == (name == "history")


def test_shipped_regimes_explain_their_differences() -> None:
    told = explain(load_scenario("diffusion-framework"), load_scenario("framework-relaxed"))
    assert told[0].startswith("From 13 January 2025 on, the regime diffusion-framework (")
    words = " ".join(told)
    assert (
        'The value "allocation of each country outside tiers 1 and 3" (allocation.tpp) is 790,000,000 TPP in "diffusion-framework" '
        '(Supp. No. 5 to part 740, para (b)) and 1,580,000,000 TPP in "framework-relaxed".'
    ) in words
    assert 'is 0.07 in "diffusion-framework" (Supp. No. 10 to part 748, para 6) and 0.1 in "framework-relaxed".' in words, (
        "the tighter law's citation does not vouch for the supposed one"
    )
    told = explain(load_scenario("history"), load_scenario("diffusion-framework"))
    assert any("is not enforced from 13 May 2025 on" in sentence and "binds from 15 May 2025 on" in sentence for sentence in told)
    told = explain(load_scenario("october-2023-rule"), load_scenario("no-controls"))
    assert not any('in "no-controls"' in sentence and "binds from" in sentence for sentence in told)
