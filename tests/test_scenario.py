"""Scenario files: what is accepted, what is refused and in which words, what the hash sees, how layers build on one another."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator import layers
from simulator import scenario as scenario_module
from simulator.problems import InputProblems
from simulator.regimes import DatedLeaf, Leaf, Places, Regime, Switch, regime_ids
from simulator.resources import shipped
from simulator.scenario import (
    DEFAULT,
    LAST_DAY,
    MAX_EXTENDS,
    Mechanisms,
    Policy,
    Scenario,
    canonical,
    content_hash,
    json_schema,
    load_scenario,
    scenario_from_text,
    shipped_scenarios,
    to_yaml,
    validate_scenario,
)
from simulator.yamlfile import YamlFile

REGIMES = [
    "bilateral-deals",
    "collaboration",
    "decoupling",
    "diffusion-framework",
    "framework-relaxed",
    "framework-tight",
    "history",
    "no-controls",
    "october-2022",
    "october-2023",
    "revenue-share",
]

HEAD = "name: test\ntitle: Test\nsupposes: Nothing changes.\n"
SHOCK = """\
inputs:
  - table: supply
    parameter: shipped_h100e
    entity: nvidia
    multiply: 0.6
    reason: A test.
"""
DIVERGES = "policy:\n  diverges_on: 2027-01-01\n  regime: no-controls\n"


@pytest.fixture(autouse=True)
def known_regimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about scenario files, so the list of regimes stands still."""
    monkeypatch.setattr(scenario_module, "regime_ids", lambda: REGIMES)
    monkeypatch.setattr("simulator.layers.regime_ids", lambda: REGIMES)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file into an empty folder, which is also the working folder."""
    monkeypatch.chdir(tmp_path)

    def to_file(content: str | bytes, name: str = "test.yaml") -> Path:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return Path(name)

    return to_file


def refused(load: Callable[[], Any]) -> list[str]:
    with pytest.raises(InputProblems) as caught:
        load()
    return [str(problem) for problem in caught.value.problems]


# --------------------------------------------------------------------------------------------------------------
# Refused: the whole sentence, with its place and remedy.

TABLES = "countries, markets, companies, fleets, footprint, announcements, accelerators, supply, costs, process, statistics"
ALL_REGIMES = ", ".join(REGIMES)

BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "unknown key": (
        HEAD + "polciy: {}\n",
        [
            "test.yaml:4: polciy: unknown key; allowed are name, title, supposes, tags, start, end, policy, inputs, mechanisms, "
            "extends, overrides; did you mean 'policy'?"
        ],
    ),
    "unknown key below": (
        HEAD + "policy:\n  regmie: no-controls\n",
        [
            "test.yaml:5: policy.regmie: unknown key; allowed are diverges_on, regime, later, foresight, grants_overlay, "
            "readings, "
            "set; did you mean 'regime'?"
        ],
    ),
    "unknown mechanism": (
        HEAD + "mechanisms:\n  relocations: false\n",
        [
            "test.yaml:5: mechanisms.relocations: unknown key; allowed are relocation, uveu, lpp, nveu, rationing, bridging, "
            "crew_limit, front_loading, classification, review_queue, security, money_bound, luck, assumptions; did you mean "
            "'relocation'?"
        ],
    ),
    "a surprise that nobody plans on": (
        HEAD
        + "inputs:\n  - {table: countries, parameter: grid_connection_days, entity: '*', multiply: 1.5, known_from: 2027-01-01, "
        "reason: A test.}\n",
        [
            "test.yaml:5: inputs[0].known_from: is for the tables supply and companies, on which companies plan; what countries "
            "holds is met, not planned; leave it out"
        ],
    ),
    "missing title": (
        "name: test\nsupposes: Nothing changes.\n",
        ["test.yaml:1: title: is missing; give it (Short title for tables and charts, at most 100 characters)"],
    ),
    "missing name and supposition": (
        "title: Test\n",
        [
            "test.yaml:1: name: is missing; give it (Name: the file name without .yaml; lower-case letters, digits, single "
            "hyphens)",
            "test.yaml:1: supposes: is missing; give it (What the scenario supposes, in one sentence ending with a full stop)",
        ],
    ),
    "truth value as a word": (
        HEAD + "policy:\n  foresight: yes\n",
        ["test.yaml:5: policy.foresight: 'yes' is neither true nor false; write one of the two, without quotes"],
    ),
    "truth value as a number": (
        HEAD + "mechanisms:\n  luck: 0\n",
        ["test.yaml:5: mechanisms.luck: 0 is neither true nor false; write one of the two, without quotes"],
    ),
    "per cent": (
        HEAD + SHOCK.replace("0.6", "60%"),
        [
            "test.yaml:8: inputs[0].multiply: '60%' carries a per cent sign; write the plain number, for example 0.6 for 60 %",
        ],
    ),
    "unit": (
        HEAD + SHOCK.replace("multiply: 0.6", "set: 40 days"),
        [
            "test.yaml:8: inputs[0].set: '40 days' carries a unit; write the number alone, in the unit `groundbreak data` "
            "shows for it"
        ],
    ),
    "number in quotes": (
        HEAD + SHOCK.replace("0.6", '"0.6"'),
        ["test.yaml:8: inputs[0].multiply: '0.6' is not a number; write it with digits and a decimal point, without quotes"],
    ),
    "not a number": (HEAD + SHOCK.replace("0.6", ".nan"), ["test.yaml:8: inputs[0].multiply: nan is not a finite number"]),
    "infinite": (
        HEAD + SHOCK.replace("multiply: 0.6", "add: -.inf"),
        ["test.yaml:8: inputs[0].add: -inf is not a finite number"],
    ),
    "huge number": (
        HEAD + SHOCK.replace("multiply: 0.6", "set: 1" + "0" * 400),
        [f"test.yaml:8: inputs[0].set: 1{'0' * 58}… is too large for a number"],
    ),
    "negative factor": (
        HEAD + SHOCK.replace("0.6", "-0.4"),
        [
            "test.yaml:8: inputs[0].multiply: -0.4 is not a factor above 0 and up to 100 (0.6 takes 40 % away; to switch off use "
            "`set: 0`)"
        ],
    ),
    "unknown regime": (
        HEAD + "policy:\n  diverges_on: 2025-01-13\n  regime: difusion-framework\n",
        [
            f"test.yaml:6: policy.regime: 'difusion-framework' is not a regime; allowed are {ALL_REGIMES}; "
            "did you mean 'diffusion-framework'?"
        ],
    ),
    "unknown later regime": (
        HEAD + DIVERGES + "  later:\n    - from: 2028-01-01\n      regime: october-2024\n",
        [
            f"test.yaml:9: policy.later[0].regime: 'october-2024' is not a regime; allowed are {ALL_REGIMES}; "
            "did you mean 'october-2023'?"
        ],
    ),
    "unknown table": (
        HEAD + SHOCK.replace("supply", "suply"),
        [f"test.yaml:5: inputs[0].table: 'suply' is not a table; allowed are {TABLES}; did you mean 'supply'?"],
    ),
    "unknown parent": (
        HEAD + "extends: histroy\n",
        [
            "test.yaml:4: extends: no scenario 'histroy' beside this file, below it or among the shipped ones "
            f"({', '.join(shipped_scenarios())}); did you mean 'history'?"
        ],
    ),
    "parent outside": (
        HEAD + "extends: ../../etc/passwd\n",
        [
            "test.yaml:4: extends: '../../etc/passwd' leads out of the folder; name a shipped scenario, or a file beside this one "
            "or below it, such as base.yaml or variants/base.yaml",
        ],
    ),
    "parent outside by a detour": (
        HEAD + "extends: variants/../../base.yaml\n",
        [
            "test.yaml:4: extends: 'variants/../../base.yaml' leads out of the folder; name a shipped scenario, or a file beside "
            "this one or below it, such as base.yaml or variants/base.yaml",
        ],
    ),
    "everyone in other words": (
        HEAD + SHOCK.replace("nvidia", "all"),
        ["test.yaml:7: inputs[0].entity: 'all' is nobody's name; write '*', with the quotes, for all who have the parameter"],
    ),
    "everyone in a list": (
        HEAD + SHOCK.replace("nvidia", '["*", amd]'),
        ["test.yaml:7: inputs[0].entity: holds '*' in a list; write entity: '*' alone for all who have the parameter"],
    ),
    "end before start": (
        HEAD + "start: 2026-01-01\nend: 2025-01-01\n",
        ["test.yaml:5: end: 2025-01-01 does not lie after the start (2026-01-01); write a later date"],
    ),
    "too short": (
        HEAD + "start: 2025-01-01\nend: 2025-02-01\n",
        ["test.yaml:5: end: 2025-02-01 leaves 32 days from 2025-01-01; a scenario has at least 90"],
    ),
    "too late": (HEAD + "end: 2040-12-31\n", ["test.yaml:4: end: 2040-12-31 is too late; the inputs reach to 2031-12-31"]),
    "too early": (
        HEAD + "start: 2019-01-01\n",
        ["test.yaml:4: start: 2019-01-01 is too early; the inputs allow a start from 2023-01-01"],
    ),
    "start after the default end": (
        HEAD + "start: 2031-12-01\n",
        ["test.yaml:4: start: `end` 2031-12-31 leaves 31 days from 2031-12-01; a scenario has at least 90"],
    ),
    "a year is not a date": (
        HEAD + "start: 2024\n",
        ["test.yaml:4: start: 2024 is not a date; write it as YYYY-MM-DD, for example 2027-01-01"],
    ),
    "a date with a time": (
        HEAD + "start: 2024-01-01 12:00:00\n",
        ["test.yaml:4: start: '2024-01-01T12:00:00' is not a date; write it as YYYY-MM-DD, for example 2027-01-01"],
    ),
    "no such day": (
        HEAD + 'start: "2024-02-30"\n',
        ["test.yaml:4: start: '2024-02-30' is not a day of the calendar; write an existing date as YYYY-MM-DD"],
    ),
    "no such day, unquoted": (
        HEAD + "start: 2024-02-30\n",
        ["test.yaml:4: start: '2024-02-30' is not a day of the calendar; write an existing date as YYYY-MM-DD"],
    ),
    "regime without a date": (
        HEAD + "policy:\n  regime: no-controls\n",
        [
            "test.yaml:5: policy.regime: names 'no-controls' but `diverges_on` is not given; give the day from which it is "
            "in force"
        ],
    ),
    "date without a regime": (
        HEAD + "policy:\n  diverges_on: 2025-01-13\n",
        [
            "test.yaml:5: policy.diverges_on: is 2025-01-13 but `regime` is not given; name the regime in force from then on",
        ],
    ),
    "diverges before there is law": (
        HEAD + DIVERGES.replace("2027-01-01", "2020-01-01"),
        [
            "test.yaml:5: policy.diverges_on: 2020-01-01 lies before the first chip controls; the earliest day is 2022-10-07",
        ],
    ),
    "diverges after the end": (
        HEAD + "end: 2026-12-31\n" + DIVERGES,
        [
            "test.yaml:6: policy.diverges_on: 2027-01-01 lies after the end (2026-12-31); the regime would never apply",
        ],
    ),
    "changes of law out of order": (
        HEAD
        + DIVERGES
        + "  later:\n    - {from: 2029-01-01, regime: decoupling}\n    - {from: 2028-01-01, regime: collaboration}\n",
        [
            "test.yaml:9: policy.later[1].from: 2028-01-01 does not lie after `later[0]` (2029-01-01); order the changes by date",
        ],
    ),
    "later before divergence, then the same again": (
        HEAD + DIVERGES + "  later:\n    - from: 2026-01-01\n      regime: no-controls\n",
        [
            "test.yaml:8: policy.later[0].from: 2026-01-01 does not lie after `diverges_on` (2027-01-01); order the "
            "changes by date",
            "test.yaml:9: policy.later[0].regime: 'no-controls' is already in force then; name another regime or delete the step",
        ],
    ),
    "later than the end": (
        HEAD + "end: 2028-12-31\n" + DIVERGES + "  later:\n    - from: 2029-01-01\n      regime: decoupling\n",
        ["test.yaml:9: policy.later[0].from: 2029-01-01 lies after the end (2028-12-31); the regime would never apply"],
    ),
    "later without divergence": (
        HEAD + "policy:\n  later:\n    - {from: 2028-01-01, regime: decoupling}\n",
        [
            "test.yaml:5: policy.later: changes the law of a scenario that never diverges; give `diverges_on` and `regime` first",
        ],
    ),
    "law set without divergence": (
        HEAD + "policy:\n  set:\n    fw.lpp.tpp: {value: 1, reason: A test.}\n",
        [
            "test.yaml:6: policy.set.fw.lpp.tpp: changes the law of a scenario that never diverges; give "
            "`diverges_on`, the day from which it applies, and `regime` ('history' keeps the rest of the law as it was)"
        ],
    ),
    "law set without a reason": (
        HEAD + DIVERGES + "  set:\n    fw.lpp.tpp: {value: 1}\n",
        [
            "test.yaml:8: policy.set.fw.lpp.tpp.reason: is missing; give it (Why this value: plain words, at most 400 "
            "characters)",
        ],
    ),
    "law set to a mapping": (
        HEAD + DIVERGES + "  set:\n    fw.lpp.tpp: {value: {low: 1}, reason: A test.}\n",
        [
            "test.yaml:8: policy.set.fw.lpp.tpp.value: {'low': 1} cannot be the value of a rule; write a number, true or false, "
            "a date, or words"
        ],
    ),
    "law set to a bare number": (
        HEAD + DIVERGES + "  set:\n    fw.lpp.tpp: 1\n",
        [
            "test.yaml:8: policy.set.fw.lpp.tpp: 1 is not a mapping; write `key: value` lines, indented below it",
        ],
    ),
    "grants of a history already left": (
        HEAD + "policy:\n  diverges_on: 2024-01-01\n  regime: no-controls\n  grants_overlay: true\n",
        [
            "test.yaml:7: policy.grants_overlay: adds grants of history, but the law leaves history on 2024-01-01 and the "
            "scenario "
            "begins on 2024-01-01; write false"
        ],
    ),
    "missing reason": (
        HEAD + SHOCK.replace("    reason: A test.\n", ""),
        ["test.yaml:5: inputs[0].reason: is missing; give it (Why: plain words, at most 400 characters)"],
    ),
    "empty reason": (
        HEAD + SHOCK.replace("A test.", '"  "'),
        ["test.yaml:9: inputs[0].reason: is empty; write a few words"],
    ),
    "two effects": (
        HEAD + SHOCK + "    set: 3\n",
        ["test.yaml:10: inputs[0].set: stands beside multiply; keep exactly one of set, multiply and add"],
    ),
    "no effect": (
        HEAD + SHOCK.replace("    multiply: 0.6\n", ""),
        ["test.yaml:5: inputs[0]: says no change; give exactly one of set, multiply and add"],
    ),
    "input dates reversed": (
        HEAD + SHOCK + "    from: 2028-01-01\n    to: 2027-01-01\n",
        [
            "test.yaml:11: inputs[0].to: 2027-01-01 lies before `from` (2028-01-01); write the earlier date first",
        ],
    ),
    "input dates reversed, in quotes": (
        HEAD + SHOCK + '    from: "2028-01-01"\n    to: "2027-01-01"\n',
        ["test.yaml:5: inputs[0]: 2027-01-01 lies before `from` (2028-01-01); write the earlier date first"],
    ),
    "input after the end": (
        HEAD + "end: 2027-12-31\n" + SHOCK + "    from: 2028-01-01\n",
        ["test.yaml:11: inputs[0].from: 2028-01-01 lies after the end (2027-12-31); it changes nothing"],
    ),
    "no entity": (
        HEAD + SHOCK.replace("entity: nvidia", "entity: []"),
        ["test.yaml:7: inputs[0].entity: is an empty list; name at least one entity, or write '*' for all"],
    ),
    "same inputs twice": (
        HEAD + SHOCK + SHOCK.removeprefix("inputs:\n").replace("0.6", "0.7"),
        ["test.yaml:10: inputs[1]: changes the same inputs as inputs[0] on line 5; keep one of the two"],
    ),
    "overlapping inputs": (
        HEAD + SHOCK + SHOCK.removeprefix("inputs:\n").replace("multiply: 0.6", "set: 5").replace("nvidia", "[amd, nvidia]"),
        [
            "test.yaml:5: inputs[0]: `multiply supply/shipped_h100e of nvidia by 0.6` overlaps with `set "
            "supply/shipped_h100e of amd, "
            "nvidia to 5` (test (test.yaml:10)), so that the result would depend on their order; keep them apart by "
            "entity, scope "
            "or dates"
        ],
    ),
    "name differs from the file": (
        HEAD.replace("name: test", "name: other"),
        ["test.yaml:1: name: 'other' differs from the file name; write 'test' or rename the file to other.yaml"],
    ),
    "bad name": (
        HEAD.replace("name: test", "name: My Test"),
        ["test.yaml:1: name: 'My Test' is not a name; use lower-case letters, digits and single hyphens"],
    ),
    "long name": (
        HEAD.replace("name: test", "name: " + "a" * 61),
        ["test.yaml:1: name: has 61 characters; a name has at most 60"],
    ),
    "name is a number": (
        HEAD.replace("name: test", "name: 2023"),
        ["test.yaml:1: name: 2023 is not a name; write it as text"],
    ),
    "markup": (
        HEAD.replace("title: Test", 'title: "<b>Test</b>"'),
        ["test.yaml:2: title: holds '<'; markup is not accepted, write plain words"],
    ),
    "control character": (
        HEAD.replace("title: Test", 'title: "Te\\x07st"'),
        ["test.yaml:2: title: holds the invisible character U+0007; delete it"],
    ),
    "writing direction turned": (
        HEAD.replace("title: Test", 'title: "Te\\u202est"'),
        ["test.yaml:2: title: holds the invisible character U+202E; delete it"],
    ),
    "long title": (
        HEAD.replace("title: Test", "title: " + "a" * 101),
        ["test.yaml:2: title: has 101 characters; at most 100 are allowed"],
    ),
    "two sentences": (
        HEAD.replace("Nothing changes.", "Nothing changes. Really."),
        ["test.yaml:3: supposes: is more than one sentence; say in one what the scenario supposes"],
    ),
    "no full stop": (
        HEAD.replace("Nothing changes.", "Nothing changes"),
        ["test.yaml:3: supposes: does not end with a full stop; write one sentence"],
    ),
    "tag twice": (HEAD + "tags: [law, law]\n", ["test.yaml:4: tags: names 'law' twice; keep one"]),
    "list for a mapping": (
        HEAD + "policy: [1]\n",
        ["test.yaml:4: policy: [1] is not a mapping; write `key: value` lines, indented below it"],
    ),
    "mapping for a list": (
        HEAD + "inputs: {table: supply}\n",
        [
            "test.yaml:4: inputs: {'table': 'supply'} is not a list; write its members on lines that begin with `- `",
        ],
    ),
    "not a mapping": ("- name\n", ["test.yaml:1: ['name'] is not a mapping; a scenario is written in `key: value` lines"]),
    "duplicate key": (HEAD + "name: test\n", ["test.yaml:4: name: is given twice (first on line 1); keep one"]),
    "tag of YAML": (
        HEAD + "start: !!python/object:os.system {}\n",
        [
            "test.yaml:4: start: carries the YAML tag tag:yaml.org,2002:python/object:os.system; only plain values are accepted",
        ],
    ),
    "alias": (
        HEAD + "tags: &x [law]\noverrides:\n  o: {supposes: *x}\n",
        ["test.yaml:6: overrides.o.supposes: uses an alias (`*name`); write the value out"],
    ),
    "merged keys": (
        HEAD + "policy:\n  <<: {regime: no-controls}\n  diverges_on: 2027-01-01\n",
        ["test.yaml:5: policy: merges other keys in (`<<`); write them out"],
    ),
    "nested too deeply": (
        HEAD + "tags: " + "[" * 40 + "]" * 40 + "\n",
        ["test.yaml:4: tags[0][0]: is nested too deeply; at most 30 levels are allowed"],
    ),
    "nested beyond all reading": (
        HEAD + "tags:\n " + "[" * 5000 + "]" * 5000 + "\n",
        ["test.yaml:5: is nested too deeply; at most 30 levels are allowed"],
    ),
    "two documents": (HEAD + "---\n" + HEAD, ["test.yaml: holds more than one YAML document; one is expected"]),
    "empty": ("", ["test.yaml: is empty"]),
    "only a comment": ("# nothing\n", ["test.yaml: is empty"]),
    "binary": (b"name: \0\n", ["test.yaml: holds binary data (a zero byte); a UTF-8 text file is expected"]),
    "not UTF-8": (
        HEAD.encode() + b"title: caf\xe9\n",
        ["test.yaml:4: is not UTF-8 text (byte 0xe9); save it as UTF-8"],
    ),
    "too large": (HEAD + "#" * 1_000_001, ["test.yaml: is larger than 1,000,000 bytes, which no input of this kind needs"]),
    "too many changes": (
        HEAD + "inputs:\n" + SHOCK.removeprefix("inputs:\n") * 201,
        ["test.yaml:4: inputs: has more than 200 members; shorten the list"],
    ),
    "fault in a block nobody asked for": (
        HEAD + "overrides:\n  late:\n    strat: 2025-01-01\n",
        [
            "test.yaml:6: overrides.late.strat: unknown key; allowed are start, end, policy, inputs, mechanisms, supposes; "
            "did you mean 'start'?"
        ],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_place_and_remedy(case: str, write: Write) -> None:
    content, sentences = BAD[case]
    assert refused(lambda: load_scenario(write(content))) == sentences


def test_invalid_yaml_names_the_line(write: Write) -> None:
    (sentence,) = refused(lambda: load_scenario(write(HEAD + "policy: [1\nstart: 2024-01-01\n")))
    assert re.match(r"test\.yaml:\d+: is not valid YAML: ", sentence)


def test_all_problems_of_a_chain_come_out_together(write: Write) -> None:
    write(
        "name: parent\ntitle: '<i>'\nsupposes: Nothing changes.\npolicy:\n  diverges_on: soon\n  regime: no-controls\n",
        "parent.yaml",
    )
    child = write(
        "name: child\ntitle: Child\nsupposes: One. Two.\nextends: parent\nstart: 2028-01-01\nend: 2027-01-01\n"
        "inputs:\n  - {table: suply, parameter: x, multiply: 2, add: 1, from: 2028-01-01, to: 2027-01-01}\n"
        "  - {table: supply, parameter: x, multiply: 200%, reason: A test.}\n",
        "child.yaml",
    )
    sentences = refused(lambda: load_scenario(child, overrides=["nowhere"], sets=["policy.foresight=perhaps", "colour=red"]))
    places = [re.match(r"[^ ]+( [a-z_.]+=\w+)?: [^ ]+: ", sentence) for sentence in sentences]
    assert [place.group(0) if place else sentence for place, sentence in zip(places, sentences, strict=True)] == [
        "--set colour=red: colour: ",
        "--set policy.foresight=perhaps: policy.foresight: ",
        "child.yaml: overrides: ",
        "child.yaml:3: supposes: ",
        "child.yaml:8: inputs[0].add: ",
        "child.yaml:8: inputs[0].reason: ",
        "child.yaml:8: inputs[0].table: ",
        "child.yaml:8: inputs[0].to: ",
        "child.yaml:9: inputs[1].multiply: ",
        "parent.yaml:2: title: ",
        "parent.yaml:5: policy.diverges_on: ",
    ]


def test_faults_between_fields_come_out_beside_faults_in_fields(write: Write) -> None:
    sentences = refused(lambda: load_scenario(write(HEAD + "start: 2028-01-01\nend: 2027-01-01\ncolour: red\n")))
    assert [sentence.split(": ")[1] for sentence in sentences] == ["end", "colour"]


def test_a_field_left_out_as_faulty_causes_no_second_message(write: Write) -> None:
    text = HEAD + "policy:\n  diverges_on: soon\n  regime: no-controls\n"
    assert refused(lambda: load_scenario(write(text))) == [
        "test.yaml:5: policy.diverges_on: 'soon' is not a date; write it as YYYY-MM-DD, for example 2027-01-01"
    ]


def test_missing_files_and_names(write: Write, tmp_path: Path) -> None:
    assert refused(lambda: load_scenario("nowhere.yaml")) == ["nowhere.yaml: no such file"]
    (tmp_path / "folder.yaml").mkdir()
    write(HEAD)
    assert refused(lambda: load_scenario("folder.yaml")) == ["folder.yaml: is a folder; a file is expected"]
    (sentence,) = refused(lambda: load_scenario("chip-shok"))
    assert sentence.startswith("'chip-shok': no shipped scenario has this name; there are bilateral-deals, ")
    assert sentence.endswith("; did you mean 'chip-shock'?; a file is given by its path, ending in .yaml")
    write(HEAD, "sub/test.txt")
    assert refused(lambda: load_scenario("sub/test.txt")) == [
        "sub/test.txt: does not end in .yaml, as the name of a scenario file does"
    ]
    assert refused(lambda: load_scenario("sub/history")) == ["sub/history: no such file"]


def test_what_is_no_plain_file_is_never_opened(write: Write) -> None:
    os.mkfifo("pipe.yaml")
    os.symlink("nowhere.yaml", "dangling.yaml")
    os.symlink("loop.yaml", "loop.yaml")
    write(HEAD, "real.yaml")
    os.symlink("real.yaml", "test.yaml")
    no_file = "is a pipe, a socket or a device; save the text as a file and name that"
    assert refused(lambda: load_scenario("pipe.yaml")) == [f"pipe.yaml: {no_file}"]
    assert refused(lambda: load_scenario("/dev/zero")) == [f"/dev/zero: {no_file}"]
    assert refused(lambda: load_scenario("dangling.yaml")) == ["dangling.yaml: is a link to a file that does not exist"]
    assert len(refused(lambda: load_scenario("loop.yaml"))) == 1
    assert refused(lambda: load_scenario(write(HEAD, "other/x.yaml"), overrides=["pipe.yaml"]))[-1] == f"pipe.yaml: {no_file}"
    assert load_scenario("test.yaml").name == "test", "a link is called by its own name"


def test_file_names_can_be_printed_everywhere(write: Write) -> None:
    name = os.fsdecode(b"t\xe4st.yaml")
    write("polciy: {}\n", name)
    sentences = refused(lambda: load_scenario(name)) + refused(lambda: load_scenario(os.fsdecode(b"k\xe4se")))
    assert sentences[0].startswith("t?st.yaml:1: name: is missing") and sentences[-1].startswith("'k?se': no shipped")
    assert "\n".join(sentences).encode()
    assert refused(lambda: load_scenario(Path(os.fsdecode(b"\xff.yaml")))) == ["?.yaml: no such file"]


def test_a_value_that_cannot_be_read_hides_nothing(write: Write) -> None:
    """A date that is none, an alias, a tag, a key given twice: each is told, and so is every other fault of the file."""
    text = """\
name: test
title: &t X
supposes: *t
start: 2024-13-45
end: 2030-12-31
end: 2030-12-31
polciy: {}
mechanisms: {luck: 0}
tags: !!python/object:os.system {}
inputs:
  - {table: suply, parameter: x, entity: amd, multiply: !foo 3, reason: A}
  - {table: supply, parameter: y, reason: A}
overrides:
  o:
    start: *t
    end: 2031-02-30
"""
    told = refused(lambda: load_scenario(write(text)))
    tag, alias = "only plain values are accepted", "uses an alias (`*name`); write the value out"
    calendar = "is not a day of the calendar; write an existing date as YYYY-MM-DD"
    assert [sentence for sentence in told if "polciy" not in sentence and "suply" not in sentence] == [
        f"test.yaml:3: supposes: {alias}",
        f"test.yaml:4: start: '2024-13-45' {calendar}",
        "test.yaml:6: end: is given twice (first on line 5); keep one",
        "test.yaml:8: mechanisms.luck: 0 is neither true nor false; write one of the two, without quotes",
        f"test.yaml:9: tags: carries the YAML tag tag:yaml.org,2002:python/object:os.system; {tag}",
        f"test.yaml:11: inputs[0].multiply: carries the YAML tag !foo; {tag}",
        "test.yaml:12: inputs[1]: says no change; give exactly one of set, multiply and add",
        f"test.yaml:15: overrides.o.start: {alias}",
        f"test.yaml:16: overrides.o.end: '2031-02-30' {calendar}",
    ]
    assert len(told) == 11, "the unknown key and the unknown table as well, and nothing that follows from another fault"
    with_parent = member("child", "test", "start: 2024-13-45\n")
    told = refused(lambda: load_scenario(write(with_parent, "child.yaml")))
    assert len(told) == 12 and told[0] == f"child.yaml:5: start: '2024-13-45' {calendar}"


def test_an_anchor_given_twice_is_no_warning(write: Write) -> None:
    assert load_scenario(write(HEAD.replace("test", "&a test", 1).replace("title: ", "title: &a "))).title == "Test"


def test_a_whole_file_behind_a_tag_is_refused_once(write: Write) -> None:
    assert refused(lambda: load_scenario(write("!!python/none {}\n"))) == [
        "test.yaml:1: carries the YAML tag tag:yaml.org,2002:python/none; only plain values are accepted"
    ]


# --------------------------------------------------------------------------------------------------------------
# Layers.


def member(name: str, extends: str | None = None, more: str = "") -> str:
    parent = f"extends: {extends}\n" if extends else ""
    return f"name: {name}\ntitle: Title of {name}\nsupposes: This is {name}.\n{parent}{more}"


def test_a_child_replaces_what_its_parents_say(write: Write) -> None:
    write(member("a", more="start: 2025-01-01\nend: 2030-12-31\n" + DIVERGES + SHOCK), "a.yaml")
    write(member("b", "a.yaml", "policy: {regime: decoupling}\nmechanisms: {luck: false}\n"), "b.yaml")
    c = load_scenario(write(member("c", "b", "end: 2029-12-31\n" + SHOCK.replace("0.6", "0.5")), "c.yaml"))

    assert (c.start, c.end, c.title) == (date(2025, 1, 1), date(2029, 12, 31), "Title of c")
    assert (c.policy.diverges_on, c.policy.regime) == (date(2027, 1, 1), "decoupling")
    assert (c.mechanisms.luck, c.mechanisms.relocation) == (False, True)
    assert [change.amount for change in c.inputs] == [0.5]
    assert [str(replacement) for replacement in c.replacements] == [
        "policy.regime: no-controls -> decoupling (b (b.yaml:5) over a (a.yaml:8))",
        "end: 2030-12-31 -> 2029-12-31 (c (c.yaml:5) over a (a.yaml:5))",
        "inputs.supply.shipped_h100e.nvidia: multiply supply/shipped_h100e of nvidia by 0.6 -> multiply supply/shipped_h100e of "
        "nvidia by 0.5 (c (c.yaml:7) over a (a.yaml:10))",
    ]
    said = {field: str(origin) for field, origin in c.provenance.items()}
    assert said["start"] == "a (a.yaml:4)"
    assert said["end"] == "c (c.yaml:5)"
    assert said["policy.regime"] == "b (b.yaml:5)"
    assert said["mechanisms.luck"] == "b (b.yaml:6)"
    assert said["inputs.supply.shipped_h100e.nvidia"] == "c (c.yaml:7)"
    assert c.provenance["mechanisms.lpp"] is DEFAULT


def test_a_child_takes_back_a_setting_and_a_change_of_its_parent(write: Write) -> None:
    law = DIVERGES + "  set:\n    x.y: {value: 3, reason: A test.}\n  readings: {z: strict}\n"
    write(member("a", more=law + SHOCK), "a.yaml")
    text = "policy: {set: {x.y: null}, readings: {z: null}}\n" + SHOCK.replace("0.6", "1")
    child = load_scenario(write(member("b", "a", text), "b.yaml"))
    plain = load_scenario(write(HEAD + DIVERGES))
    assert (child.policy.set, child.policy.readings, child.changes) == ({}, {}, ())
    assert content_hash(child) == content_hash(plain)


def test_a_file_may_refine_the_shipped_scenario_whose_name_it_carries(write: Write) -> None:
    text = member("history", "history", "end: 2027-12-31\n")
    assert load_scenario(write(text, "history.yaml")).end == date(2027, 12, 31)


def test_extending_in_a_circle(write: Write) -> None:
    write(member("a", "b"), "a.yaml")
    write(member("b", "c"), "b.yaml")
    write(member("c", "a"), "c.yaml")
    assert refused(lambda: load_scenario("a.yaml")) == [
        "c.yaml:4: extends: goes round in a circle: a -> b -> c -> a; one of them must not extend the other"
    ]
    write(member("self", "self"), "self.yaml")
    assert refused(lambda: load_scenario("self.yaml")) == [
        "self.yaml:4: extends: goes round in a circle: self -> self; one of them must not extend the other"
    ]


def test_a_chain_may_not_be_endless(write: Write) -> None:
    for step in range(MAX_EXTENDS + 2):
        write(member(f"s{step}", f"s{step + 1}" if step <= MAX_EXTENDS else None, "mechanisms: {}\n"), f"s{step}.yaml")
    assert load_scenario("s1.yaml").name == "s1"
    assert refused(lambda: load_scenario("s0.yaml")) == [
        "s8.yaml:4: extends: is step 9 of a chain; at most 8 are allowed, so join some of the files"
    ]


BLOCKS = """\
overrides:
  short:
    end: 2027-12-31
  long:
    end: 2030-12-31
  calm:
    mechanisms: {luck: false}
"""


def test_overrides_compose_and_are_remembered(write: Write) -> None:
    write(HEAD + BLOCKS)
    write("mechanisms:\n  lpp: false\n" + SHOCK, "more.yaml")
    both = load_scenario("test.yaml", overrides=["short", "calm", "more.yaml"])
    assert (both.end, both.mechanisms.luck, both.mechanisms.lpp) == (date(2027, 12, 31), False, False)
    assert both.label == "test + short + calm + more"
    assert content_hash(both) == content_hash(load_scenario("test.yaml", overrides=["more.yaml", "calm", "short"]))
    assert str(both.provenance["end"]) == "short (test.yaml:6)"
    assert load_scenario("test.yaml").end == LAST_DAY


def test_a_child_offers_the_blocks_of_its_parents(write: Write) -> None:
    write(member("parent", more=BLOCKS), "parent.yaml")
    text = member("child", "parent", "overrides:\n  short: {end: 2026-12-31}\n")
    assert load_scenario(write(text, "child.yaml"), overrides=["short", "calm"]).end == date(2026, 12, 31)


def test_layers_side_by_side_may_not_disagree(write: Write) -> None:
    write(HEAD + BLOCKS)
    write(SHOCK, "one.yaml")
    write("# a line\n" + SHOCK.replace("0.6", "0.7"), "two.yaml")
    assert refused(lambda: load_scenario("test.yaml", overrides=["short", "long", "one.yaml", "two.yaml"])) == [
        "test.yaml:8: overrides.long.end: 'long' says 2030-12-31 but 'short' (test.yaml:6) says 2027-12-31; leave one of the two "
        "out or make them agree",
        "two.yaml:3: inputs[0]: 'two' says multiply supply/shipped_h100e of nvidia by 0.7 but 'one' (one.yaml:2) says multiply "
        "supply/shipped_h100e of nvidia by 0.6; leave one of the two out or make them agree",
    ]
    assert refused(lambda: load_scenario("test.yaml", sets=["end=2027-12-31", "end=2028-12-31"])) == [
        "--set end=2028-12-31: end: '--set end=2028-12-31' says 2028-12-31 but '--set end=2027-12-31' (--set "
        "end=2027-12-31) says "
        "2027-12-31; leave one of the two out or make them agree"
    ]


def test_layers_side_by_side_may_agree(write: Write) -> None:
    write(HEAD + BLOCKS)
    write("end: 2027-12-31\n", "also.yaml")
    assert load_scenario("test.yaml", overrides=["short", "also.yaml"]).end == date(2027, 12, 31)


def test_overlap_across_layers_names_both_files(write: Write) -> None:
    write(member("a", more=SHOCK.replace("nvidia", "'*'").replace("multiply: 0.6", "add: 5")), "a.yaml")
    (sentence,) = refused(lambda: load_scenario(write(member("b", "a", SHOCK), "b.yaml")))
    assert "b.yaml:6" in sentence
    assert "a.yaml:5" in sentence
    assert "keep them apart by entity, scope or dates" in sentence


def test_an_unknown_override_lists_the_known_ones(write: Write) -> None:
    write(HEAD + BLOCKS)
    assert refused(lambda: load_scenario("test.yaml", overrides=["shrot"])) == [
        "test.yaml: overrides: no override called 'shrot'; offered are calm, long, short; did you mean 'short'?; a file is given "
        "by its path, ending in .yaml"
    ]


def test_one_override_and_one_setting_need_no_list(write: Write) -> None:
    found = load_scenario(write(HEAD + BLOCKS), overrides="calm", sets="end=2028-12-31")
    assert (found.mechanisms.luck, found.end) == (False, date(2028, 12, 31))


def test_settings_of_the_command_line(write: Write) -> None:
    write(HEAD + DIVERGES)
    sets = [
        "start=2023-01-01",
        "policy.foresight=false",
        "policy.set.fw.lpp.tpp=26900000",
        "policy.readings.fw.headquarters=strict",
        "mechanisms.relocation=false",
        "inputs=[{table: supply, parameter: shipped_h100e, entity: amd, multiply: 2, reason: A test}]",
    ]
    found = load_scenario("test.yaml", sets=sets)
    assert found.start == date(2023, 1, 1)
    assert found.policy.foresight is False
    assert found.policy.set["fw.lpp.tpp"] is not None
    assert found.policy.set["fw.lpp.tpp"].value == 26_900_000
    assert found.policy.readings == {"fw.headquarters": "strict"}
    assert found.mechanisms.relocation is False
    assert found.inputs[0].amount == 2
    assert found.label.startswith("test + start=2023-01-01 + policy.foresight=false")
    assert str(found.provenance["start"]) == "--set start=2023-01-01"
    assert load_scenario("test.yaml", sets=["policy.regime=null", "policy.diverges_on="]).timeline()[0].regime == "history"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("start", "--set start: is not of the form key=value; write for example start=2023-01-01 or policy.foresight=false"),
        (
            "strat=2023-01-01",
            "--set strat=2023-01-01: strat: unknown key; allowed are start, end, policy, inputs, mechanisms, supposes; did "
            "you mean "
            "'start'?",
        ),
        (
            "policy.regime=no-control",
            f"--set policy.regime=no-control: policy.regime: 'no-control' is not a regime; allowed are {ALL_REGIMES}; did "
            f"you mean "
            "'no-controls'?",
        ),
        (
            "start=2023-13-01",
            "--set start=2023-13-01: start: '2023-13-01' is not a day of the calendar; write an existing date as YYYY-MM-DD",
        ),
        (
            "policy.set={diversion.share: 2}",
            "--set policy.set={diversion.share: 2}: policy.set.diversion.share: 2 has no place to say why; write "
            "--set policy.set.diversion.share=2",
        ),
        ("policy.set=2", "--set policy.set=2: policy.set: 2 is not a mapping; write --set policy.set.LEAF=VALUE"),
        (
            "policy=october-2023",
            "--set policy=october-2023: policy: 'october-2023' is not a mapping; write one field at a time, "
            "--set policy.FIELD=VALUE",
        ),
        (
            "policy.readings=strict",
            "--set policy.readings=strict: policy.readings: 'strict' is not a mapping; write --set policy.readings.POINT=READING",
        ),
        (
            "mechanisms=false",
            "--set mechanisms=false: mechanisms: False is not a mapping; write --set mechanisms.NAME=false",
        ),
        (
            "policy.later=decoupling",
            "--set policy.later=decoupling: policy.later: 'decoupling' is not a list; write "
            "--set 'policy.later=[{from: 2028-01-01, regime: NAME}]'",
        ),
        (
            "inputs=2",
            "--set inputs=2: inputs: 2 is not a list; write "
            "--set 'inputs=[{table: TABLE, parameter: NAME, multiply: FACTOR, reason: WHY}]'",
        ),
        ("start=", "--set start=: start: None is not a date; write it as YYYY-MM-DD, for example 2027-01-01"),
        ("end=!!float 3", "--set end=!!float 3: end: 3.0 is not a date; write it as YYYY-MM-DD, for example 2027-01-01"),
    ],
)
def test_bad_settings_are_refused(setting: str, sentence: str, write: Write) -> None:
    write(HEAD + DIVERGES)
    assert refused(lambda: load_scenario("test.yaml", sets=[setting])) == [sentence]


def test_text_from_elsewhere_reads_no_file(write: Write) -> None:
    write(member("beside"), "beside.yaml")
    assert scenario_from_text(HEAD + "extends: chip-shock\n").changes
    (sentence,) = refused(lambda: scenario_from_text(HEAD + "extends: beside\n", "upload"))
    assert sentence.startswith("upload:4: extends: no scenario 'beside' among the shipped ones (")
    assert refused(lambda: scenario_from_text(HEAD, "upload", overrides=["beside.yaml"])) == [
        "upload: overrides: 'beside.yaml' is not the name of a block in the text"
    ]
    assert refused(lambda: scenario_from_text(HEAD + "start: 2024-02-30\nend: !x 1\npolciy: {}\n", "upload"))[:2] == [
        "upload:4: start: '2024-02-30' is not a day of the calendar; write an existing date as YYYY-MM-DD",
        "upload:5: end: carries the YAML tag !x; only plain values are accepted",
    ]
    assert refused(lambda: scenario_from_text("#" * 1_000_001, "upload")) == [
        "upload: is larger than 1,000,000 bytes, which no scenario needs"
    ]


# --------------------------------------------------------------------------------------------------------------
# What the hash sees.

FULL = """\
name: test
title: Test
supposes: Everything changes.
tags: [law]
start: 2024-01-01
end: 2030-12-31
policy:
  diverges_on: 2025-01-13
  regime: diffusion-framework
  later:
    - {from: 2028-01-01, regime: collaboration}
  foresight: false
  grants_overlay: true
  readings: {hq: strict, other: wide}
  set:
    fw.lpp.tpp: {value: 26900000, reason: A test.}
    fw.groups: {value: POL + PRT, reason: A test.}
inputs:
  - {table: supply, parameter: hbm, entity: [nvidia, amd], from: 2027-01-01, to: 2027-12-31, multiply: 0.6, known_from: 2026-07-01, reason: A test.}
  - {table: countries, parameter: grid_connection_days, entity: "*", scope: "*", add: 30, reason: A test.}
  - {table: process, parameter: pause_probability, set: 0.1, reason: A test.}
mechanisms: {relocation: false, lpp: false}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("start: 2024-01-01\n", "start: 2024-01-01 # the usual start\n\n"),
        ("start: 2024-01-01\nend: 2030-12-31\n", "end: '2030-12-31'\nstart: 2024-01-01\n"),
        ("  foresight: false\n  grants_overlay: true\n", "  grants_overlay: true\n  foresight: false\n"),
        ("[nvidia, amd]", "[amd, nvidia, amd]"),
        ("{hq: strict, other: wide}", "{other: wide, hq: strict}"),
        ("mechanisms: {relocation: false, lpp: false}", "mechanisms: {lpp: false, relocation: false, luck: true, uveu: true}"),
        ("26900000", "26900000.0"),
        ("add: 30", "add: 30.0"),
        ("parameter: pause_probability,", "parameter: pause_probability, entity: world, scope: '', from: null,"),
        ("title: Test", "title: Another title"),
        ("Everything changes", "All of it changes"),
        ("tags: [law]\n", ""),
        ("reason: A test.", "reason: Another reason"),
        ("inputs:\n", "inputs:\n  - {table: supply, parameter: wafers, entity: amd, multiply: 1, reason: Takes nothing away.}\n"),
    ],
)
def test_the_hash_does_not_see_what_changes_nothing(old: str, new: str) -> None:
    assert old in FULL
    assert content_hash(scenario_from_text(FULL.replace(old, new))) == content_hash(scenario_from_text(FULL))


def test_the_hash_does_not_see_the_order_of_input_changes() -> None:
    head, rows = FULL.split("inputs:\n")
    rows, tail = rows.split("mechanisms:")
    turned = head + "inputs:\n" + "".join(reversed(rows.splitlines(keepends=True))) + "mechanisms:" + tail
    assert scenario_from_text(turned) == scenario_from_text(FULL)
    assert content_hash(scenario_from_text(turned)) == content_hash(scenario_from_text(FULL))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("start: 2024-01-01", "start: 2024-01-02"),
        ("end: 2030-12-31", "end: 2030-12-30"),
        ("diverges_on: 2025-01-13", "diverges_on: 2025-01-14"),
        ("regime: diffusion-framework", "regime: framework-tight"),
        ("from: 2028-01-01, regime", "from: 2028-01-02, regime"),
        ("regime: collaboration", "regime: decoupling"),
        ("foresight: false", "foresight: true"),
        ("grants_overlay: true", "grants_overlay: false"),
        ("hq: strict", "hq: wide"),
        ("hq: strict, ", ""),
        ("26900000", "26900001"),
        ("POL + PRT", "PRT + POL"),
        ("[nvidia, amd]", "nvidia"),
        ("table: supply", "table: companies"),
        ("parameter: hbm", "parameter: shipped_units"),
        ("from: 2027-01-01", "from: 2027-01-02"),
        ("to: 2027-12-31", "to: 2027-12-30"),
        ("multiply: 0.6", "multiply: 0.6000000001"),
        ("multiply: 0.6", "set: 0.6"),
        ("known_from: 2026-07-01", "known_from: 2026-07-02"),
        (" known_from: 2026-07-01,", ""),
        ('scope: "*"', "scope: leased"),
        ("add: 30", "add: -30"),
        ("set: 0.1", "set: 0"),
        ("relocation: false", "relocation: true"),
        ("lpp: false", "luck: false"),
    ],
)
def test_the_hash_sees_every_change_of_meaning(old: str, new: str) -> None:
    assert old in FULL
    assert content_hash(scenario_from_text(FULL.replace(old, new, 1))) != content_hash(scenario_from_text(FULL))


def test_the_hash_is_pinned() -> None:
    """Stored runs are found by it: if this fails, raise SCHEMA_VERSION on purpose or undo the change."""
    found = canonical(scenario_from_text(FULL))
    assert list(found) == ["schema", "start", "end", "policy", "inputs", "mechanisms"]
    assert found["policy"]["set"] == {"fw.groups": "POL + PRT", "fw.lpp.tpp": 26900000}
    assert content_hash(scenario_from_text(HEAD)) == "d798d02bd0805e9ea9a03eba1e0f0e80a6a691f41412f94ad4b46906f18a4e82"
    assert json.loads(json.dumps(found)) == found


days = st.dates(date(2024, 1, 1), date(2030, 12, 31))
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
numbers = st.floats(-1e9, 1e9, allow_nan=False)
changes = st.fixed_dictionaries(
    {
        "table": st.sampled_from(["supply", "process", "countries"]),
        "parameter": names,
        "entity": st.one_of(st.just("*"), names, st.lists(names, min_size=1, max_size=3)),
        "scope": st.sampled_from(["", "*", "leased shell"]),
        "reason": st.sampled_from(["A test.", "café: 'x' # y", "- no"]),
    }
)
effects = st.one_of(
    st.fixed_dictionaries({"multiply": st.floats(1e-3, 100)}),
    st.fixed_dictionaries({"add": numbers}),
    st.fixed_dictionaries({"set": numbers}),
)
odd = st.sampled_from(["true", "null", "4e091", "0x10", "2024-01-01", "~", "yes", "1_000", "- a", "d5 + MAC - a6", ": #"])
leaves = st.one_of(odd, st.booleans(), st.integers(-(10**15), 10**15), numbers, days, names)


@st.composite
def whole_scenarios(draw: st.DrawFn) -> Scenario:
    start = draw(st.dates(date(2023, 1, 1), date(2025, 12, 31)))
    end = draw(st.dates(start + timedelta(days=400), LAST_DAY))
    policy: dict[str, Any] = {"foresight": draw(st.booleans())}
    if draw(st.booleans()):
        policy |= {"diverges_on": draw(st.dates(start + timedelta(days=1), end)), "regime": draw(st.sampled_from(REGIMES))}
        policy["grants_overlay"] = draw(st.booleans())
        policy["set"] = {
            f"leaf.{name}": {"value": draw(leaves), "reason": "A test."} for name in draw(st.lists(names, max_size=2))
        }
    policy["readings"] = draw(st.dictionaries(names, st.one_of(names, st.sampled_from(["true", "4e091", "123"])), max_size=2))
    drawn = draw(st.lists(st.tuples(changes, effects), max_size=3, unique_by=lambda pair: str(pair[0]["parameter"])))
    return Scenario.model_validate(
        {
            "name": "test",
            "title": draw(st.sampled_from(["Test", "yes", "2024", "a: b", "über"])),
            "supposes": "Nothing is certain.",
            "start": start,
            "end": end,
            "policy": policy,
            "inputs": [
                change | effect | ({"known_from": draw(days)} if change["table"] == "supply" and draw(st.booleans()) else {})
                for change, effect in drawn
            ],
            "mechanisms": draw(st.dictionaries(st.sampled_from(list(Mechanisms.model_fields)), st.booleans())),
        }
    )


@settings(max_examples=60, deadline=None)
@given(whole_scenarios())
def test_a_written_scenario_reads_back_as_itself(scenario: Scenario) -> None:
    again = scenario_from_text(to_yaml(scenario))
    assert content_hash(again) == content_hash(scenario)
    assert canonical(again) == canonical(scenario)
    assert again.title == scenario.title
    assert not again.replacements


@settings(max_examples=60, deadline=None)
@given(whole_scenarios(), whole_scenarios())
def test_hashes_are_equal_exactly_for_equal_meaning(one: Scenario, other: Scenario) -> None:
    assert (content_hash(one) == content_hash(other)) == (canonical(one) == canonical(other))


@settings(max_examples=60, deadline=None)
@given(whole_scenarios())
def test_a_timeline_has_no_gap(scenario: Scenario) -> None:
    segments = scenario.timeline()
    assert (segments[0].first, segments[-1].last) == (scenario.start, scenario.end)
    for earlier, later in pairwise(segments):
        assert later.first == earlier.last + timedelta(days=1)
    assert all(scenario.regime_on(day) == s.regime for s in segments for day in (s.first, s.last))


# --------------------------------------------------------------------------------------------------------------
# Frozen, closed, self-describing.


def test_a_resolved_scenario_cannot_be_changed() -> None:
    scenario = scenario_from_text(FULL)
    with pytest.raises(ValidationError):
        scenario.start = date(2025, 1, 1)
    with pytest.raises(ValidationError):
        scenario.policy.foresight = True
    attempts: tuple[Callable[[], Any], ...] = (
        lambda: scenario.policy.readings.update(hq="wide"),
        lambda: scenario.policy.readings.clear(),
        lambda: scenario.policy.set.pop("fw.lpp.tpp"),
    )
    for attempt in attempts:
        with pytest.raises(TypeError, match="load it again with an override"):
            attempt()
    assert scenario.policy.readings["hq"] == "strict"


def test_a_scenario_travels_to_another_process_whole(write: Write) -> None:
    scenario = load_scenario(write(FULL), sets=["end=2029-12-31"])
    again = pickle.loads(pickle.dumps(scenario))
    assert again == scenario
    assert hash(again) == hash(scenario)
    assert content_hash(again) == content_hash(scenario)
    assert again.provenance == scenario.provenance
    assert again.replacements == scenario.replacements
    with pytest.raises(TypeError):
        again.policy.readings["hq"] = "wide"


def test_python_is_held_to_the_same_rules() -> None:
    words = {"name": "x", "title": "X", "supposes": "It is."}
    with pytest.raises(ValidationError, match="does not lie after the start"):
        Scenario.model_validate({**words, "start": date(2027, 1, 1), "end": date(2026, 1, 1)})
    with pytest.raises(ValidationError, match="exactly one of set, multiply and add"):
        Scenario.model_validate({**words, "inputs": [{"table": "supply", "parameter": "x", "reason": "A test."}]})


def test_every_field_is_described() -> None:
    def fields(part: Any, place: str) -> list[str]:
        if not isinstance(part, dict):
            return []
        described = {name: field.get("description", "") for name, field in part.get("properties", {}).items()}
        silent = [f"{place}.{name}" for name, words in described.items() if len(words) < 12]
        for name, inner in part.get("$defs", {}).items():
            silent += fields(inner, name)
        return silent

    assert fields(json_schema(), "file") == []


def as_json(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: as_json(value) for key, value in content.items()}
    if isinstance(content, list):
        return [as_json(item) for item in content]
    return content.isoformat() if isinstance(content, date) else content


def parsed(text: str) -> Any:
    from simulator.yamlfile import parse_yaml

    return as_json(parse_yaml(text, Path("x.yaml")).content)


def checker() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_the_json_schema_accepts_what_loads_and_names_the_regimes() -> None:
    check = checker()
    for text in (HEAD, FULL, HEAD + BLOCKS, to_yaml(scenario_from_text(FULL))):
        check.validate(parsed(text))
    assert json_schema()["$defs"]["LaterRegime"]["properties"]["regime"]["enum"] == REGIMES


@pytest.mark.parametrize(
    "case",
    [
        "unknown key",
        "unknown key below",
        "unknown mechanism",
        "missing title",
        "truth value as a word",
        "per cent",
        "number in quotes",
        "negative factor",
        "unknown regime",
        "unknown table",
        "no effect",
        "two effects",
        "missing reason",
        "bad name",
        "long name",
        "markup",
        "long title",
        "law set without a reason",
        "list for a mapping",
        "no entity",
        "fault in a block nobody asked for",
    ],
)
def test_the_json_schema_refuses_what_does_not_load(case: str) -> None:
    content = BAD[case][0]
    assert isinstance(content, str)
    assert not checker().is_valid(parsed(content))


# --------------------------------------------------------------------------------------------------------------
# Against the inputs and the law.


def regime(id: str, leaves: dict[str, tuple[Any, str]] | None = None) -> Regime:
    """A regime with nothing but some leaves and one disputed point."""
    dated = {
        key: DatedLeaf(
            key,
            unit,
            ((date.min, Leaf(key, value, unit, "assumed", "§ 1", "", "A test.", "", date.min, None, "x.yaml", 1)),),
            {},
            "x.yaml",
            1,
        )
        for key, (value, unit) in (leaves or {}).items()
    }
    switch = Switch(question="Whose seat?", default="strict", readings={"strict": "The parent's.", "loose": "Its own."})
    return Regime(
        id=id,
        title=f"Title of {id}",
        supposes="It is a test.",
        lineage=(id,),
        as_of=date(2026, 11, 23),
        instruments={},
        items={},
        exceptions={},
        provisions=(),
        leaves=dated,
        switches={"hq": switch},
        holds=(),
        grants=(),
        events=(),
        places=Places({}, {}, ()),
        sources={},
        defined_in={},
    )


class FakeWorld:
    """Answers like `World.changed`: refuses every change whose parameter it does not know."""

    def changed(self, changes: Any) -> FakeWorld:
        from simulator.problems import Problem

        bad = [
            Problem(change.file, change.line, f"inputs[{number}]", f"no parameter {change.parameter!r} in {change.table}")
            for number, change in enumerate(changes)
            if change.parameter != "shipped_h100e"
        ]
        if bad:
            raise InputProblems(bad)
        return self


def test_a_scenario_is_checked_against_inputs_and_law_at_its_lines(write: Write) -> None:
    scenario = load_scenario(write(HEAD + DIVERGES + SHOCK.replace("shipped_h100e", "shiped_h100e")))
    assert refused(lambda: validate_scenario(scenario, FakeWorld(), ["history", "no-control"])) == [
        "test.yaml:6: policy.regime: 'no-controls' is not a regime; allowed are history, no-control; did you mean 'no-control'?",
        "test.yaml:8: inputs[0]: no parameter 'shiped_h100e' in supply",
    ]
    validate_scenario(load_scenario(write(HEAD + DIVERGES + SHOCK)), FakeWorld(), REGIMES)


def test_leaves_and_readings_must_exist_in_the_law(write: Write) -> None:
    law = {"history": regime("history"), "no-controls": regime("no-controls", {"lpp.limit": (26_900_000, "tpp")})}
    text = (
        HEAD
        + DIVERGES
        + (
            "  readings: {hq: lose, seat: strict}\n"
            "  set:\n"
            "    lpp.limt: {value: 1, reason: A test.}\n"
            "    lpp.limit: {value: 0.5, reason: A test.}\n"
        )
    )
    assert refused(lambda: validate_scenario(load_scenario(write(text)), regimes=law)) == [
        "test.yaml:7: policy.readings.hq: 'lose' is not a reading; allowed are strict, loose; did you mean 'loose'?",
        "test.yaml:7: policy.readings.seat: is not a disputed point of this law; allowed are hq",
        "test.yaml:9: policy.set.lpp.limt: lpp.limt is not a leaf of no-controls; did you mean 'lpp.limit'?",
        "test.yaml:10: policy.set.lpp.limit: lpp.limit is 0.5; a whole number written without a point or exponent is expected",
    ]
    good = text.replace("lose, seat: strict", "loose").replace("    lpp.limt: {value: 1, reason: A test.}\n", "")
    validate_scenario(load_scenario(write(good.replace("0.5", "5"))), regimes=law)


# --------------------------------------------------------------------------------------------------------------
# Whatever a file holds, it loads or is refused in words.

cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.dates(),
    st.sampled_from(["history", "no-controls", "supply", "nvidia", "*", "2027-01-01", "60%"]),
)
KEYS = [
    *("name", "title", "supposes", "tags", "start", "end", "policy", "inputs", "mechanisms", "extends", "overrides"),
    *("diverges_on", "regime", "later", "from", "to", "foresight", "readings", "set", "value", "reason", "table", "parameter"),
    *("entity", "scope", "multiply", "add", "luck", "other"),
]
anything = st.recursive(
    cells,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner, max_size=5),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS[:11], anything)))
def test_any_content_loads_or_is_refused_in_words(content: dict[str, Any]) -> None:
    lines = YamlFile(Path("any.yaml"), content, {})
    reader = layers.Reader()
    bottom = reader.source(scenario_module.ScenarioFile, lines, "any")
    try:
        layers.resolve(reader, bottom, None, (), ())
    except InputProblems as refusal:
        assert refusal.problems
        assert all(problem.message and "\n" not in str(problem) for problem in refusal.problems)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_text_loads_or_is_refused_in_words(data: st.DataObject) -> None:
    text = FULL
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(st.integers(0, len(text)))
        last = data.draw(st.integers(first, min(first + 30, len(text))))
        text = (
            text[:first]
            + data.draw(st.sampled_from(["", "\n", ": ", "- ", "{", "}", "'", "&a ", "*a", "!!set ", "x", "9", "\t"]))
            + text[last:]
        )
    try:
        scenario_from_text(text)
    except InputProblems as refusal:
        assert refusal.problems


# --------------------------------------------------------------------------------------------------------------
# The shipped scenarios.

SHIPPED = {
    "no-controls": (date(2024, 1, 1), "no-controls"),
    "october-2023-rule": (date(2025, 1, 13), "october-2023"),
    "diffusion-framework": (date(2025, 1, 13), "diffusion-framework"),
    "framework-tight": (date(2025, 1, 13), "framework-tight"),
    "framework-relaxed": (date(2025, 1, 13), "framework-relaxed"),
    "history": (None, None),
    "bilateral-deals": (date(2027, 1, 1), "bilateral-deals"),
    "revenue-share": (date(2027, 1, 1), "revenue-share"),
    "decoupling": (date(2027, 1, 1), "decoupling"),
    "collaboration": (date(2027, 1, 1), "collaboration"),
    "self-reliance": (None, None),
    "chip-shock": (None, None),
    "grid-squeeze": (None, None),
}


def test_the_shipped_scenarios_are_the_promised_ones() -> None:
    assert shipped_scenarios() == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_says_one_thing_from_2024_to_2031(name: str) -> None:
    scenario = load_scenario(name)
    assert (scenario.policy.diverges_on, scenario.policy.regime) == SHIPPED[name]
    assert (scenario.start, scenario.end) == (date(2024, 1, 1), date(2031, 12, 31))
    assert (scenario.timeline()[0].first, scenario.timeline()[-1].last) == (scenario.start, scenario.end)
    assert len(scenario.supposes.split()) >= 8
    assert scenario.policy.foresight
    assert not scenario.policy.grants_overlay
    checker().validate(parsed((shipped("scenarios") / f"{name}.yaml").read_text(encoding="utf-8")))
    assert content_hash(scenario_from_text(to_yaml(scenario))) == content_hash(scenario)


def test_the_shipped_scenarios_all_differ() -> None:
    assert len({content_hash(load_scenario(name)) for name in SHIPPED}) == len(SHIPPED)


def test_shipped_changes_are_the_promised_ones() -> None:
    (shock,) = load_scenario("chip-shock").changes
    makers = ("amd", "aws_trainium", "google_tpu", "microsoft_maia", "nvidia")
    assert (shock.table, shock.parameter, shock.entity) == ("supply", "shipped_h100e", makers)
    assert shock.known_from == shock.period_from
    assert (shock.period_from, shock.period_to, shock.multiply) == (date(2027, 1, 1), date(2027, 12, 31), 0.6)
    squeeze = load_scenario("grid-squeeze").changes
    assert {(c.table, c.parameter, c.entity, c.multiply) for c in squeeze} == {
        ("countries", "grid_connection_days", "*", 1.5),
        ("markets", "grid_connection_days", "*", 1.5),
    }


def test_history_also_starts_in_2023() -> None:
    assert load_scenario("history", sets=["start=2023-01-01"]).start == date(2023, 1, 1)


def test_the_policy_of_a_shipped_scenario_is_a_regime_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert {regime for _, regime in SHIPPED.values() if regime} | {"history"} <= set(regime_ids())


def test_shipped_changes_match_the_shipped_inputs() -> None:
    from simulator.world import load_world

    world = load_world()
    for name in SHIPPED:
        validate_scenario(load_scenario(name), world)


def test_policy_defaults_are_history_with_foresight() -> None:
    assert Policy.model_validate({}) == load_scenario("history").policy
