"""What identifies a result: the same for the same question, another for anything that could change an answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_static
from fake_sweep import fake_cell
from hypothesis import given
from hypothesis import strategies as st

import simulator.cells
import simulator.regimes
from simulator.cells import APART, BLOCK, Cell, Part, Run, _digest, as_text, code, describe, parts, sealed, unsealed
from simulator.compile import compile_scenario, sampler_key, scenario_sampler
from simulator.problems import InputProblems
from simulator.resources import shipped
from simulator.sampling import Sampler
from simulator.scenario import Scenario, content_hash, load_scenario, scenario_from_text, shipped_scenarios
from simulator.world import World, load_world

END = "end=2025-12-31"
UNDER = ("history", "diffusion-framework", "framework-tight")
"""Scenarios of this name of regime; the last extends the one before it."""


@dataclass(frozen=True)
class Plain:
    kind: str = "random"
    block: int = 1
    lucks: int = 1
    vary: tuple[str, ...] = ()


@cache
def world() -> World:
    return load_world()


@cache
def shared_sampler() -> Sampler:
    return scenario_sampler(load_scenario("history", (), (END,)), world())


def key(scenario: Scenario, inputs: World | None = None) -> str:
    """Of a scenario; those on the shipped inputs share a sampler, which takes longest to build."""
    plain = inputs is None and sampler_key(scenario, world()) == sampler_key(load_scenario("history", (), (END,)), world())
    compiled = compile_scenario(scenario, inputs or world(), shared_sampler() if plain else None)
    return describe(compiled, 1, Plain(), schema=1).key


@pytest.fixture
def regimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of data/regimes that takes the place of the shipped one. Clear the shelf after each change."""
    shutil.copytree(shipped("data"), tmp_path / "data")
    monkeypatch.setattr(simulator.regimes, "shipped", lambda folder: tmp_path / folder)
    simulator.regimes._shipped_shelf.cache_clear()
    yield tmp_path / "data" / "regimes"
    simulator.regimes._shipped_shelf.cache_clear()


def keys() -> dict[str, str]:
    """Of the scenarios, by the regimes as they now are."""
    simulator.regimes._shipped_shelf.cache_clear()
    return {name: key(load_scenario(name, (), (END,))) for name in UNDER}


@cache
def shipped_keys() -> dict[str, str]:
    return {name: key(load_scenario(name, (), (END,))) for name in UNDER}


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# ------------------------------------------------------------------ cells


def test_a_changed_rule_changes_the_scenarios_under_it_and_no_others(regimes: Path) -> None:
    before = shipped_keys()
    assert len(set(before.values())) == len(before)
    edited(regimes / "framework-tight.yaml", "lpp.tpp: {value: 8000000,", "lpp.tpp: {value: 8000001,")
    changed = keys()
    assert {name for name in UNDER if changed[name] != before[name]} == {"framework-tight"}
    edited(regimes / "framework-tight.yaml", "lpp.tpp: {value: 8000001,", "lpp.tpp: {value: 8000000,")
    path = regimes / "diffusion-framework.yaml"
    line = next(line for line in path.read_text(encoding="utf-8").splitlines() if "uveu.new_site_notice_days:" in line)
    days = int(line.split("value:")[1].split(",")[0].strip(" }"))
    edited(path, line, line.replace(f"value: {days}", f"value: {days + 5}"))
    changed = keys()
    assert {name for name in UNDER if changed[name] != before[name]} == {"diffusion-framework", "framework-tight"}
    edited(path, f"value: {days + 5}", f"value: {days}")
    assert keys() == before, "and back again"


def test_comments_words_and_order_change_nothing(regimes: Path, tmp_path: Path) -> None:
    before = shipped_keys()
    for path in regimes.glob("*.yaml"):
        path.write_text("# a comment\n" + path.read_text(encoding="utf-8") + "\n# and another\n", encoding="utf-8")
    tight = regimes / "framework-tight.yaml"
    lines = tight.read_text(encoding="utf-8").splitlines()
    first, second = (
        next(i for i, line in enumerate(lines) if line.startswith(f"  {leaf}:")) for leaf in ("lpp.tpp", "uveu.min_share_us")
    )
    lines[first], lines[second] = lines[second], lines[first]
    tight.write_text("\n".join(lines) + "\n", encoding="utf-8")
    edited(tight, "title: Framework tightened", "title: Framework made tighter")
    edited(tight, "reason: half of the published allocation", "reason: other words")
    assert keys() == before

    data = tmp_path / "data"
    for path in data.glob("*.csv"):
        head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if all(row.count('"') % 2 == 0 for row in rows):
            path.write_text(head + "".join(reversed(rows)), encoding="utf-8")
    name = "diffusion-framework"
    assert key(load_scenario(name, (), (END,)), load_world(data)) == before[name]

    text = (shipped("scenarios") / "framework-tight.yaml").read_text(encoding="utf-8")
    words = text.replace("name: framework-tight", "name: another-name  # the same under another name", 1)
    again = scenario_from_text("\n\n# first a comment\n" + words, sets=(END,))
    assert again.name == "another-name" and key(again) == before["framework-tight"]


def test_inputs_and_suppositions_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_scenario("history", (), (END,))
    compiled = compile_scenario(base, world(), shared_sampler())
    seen = set[str]()

    def described(**changes: Any) -> str:
        asked: dict[str, Any] = {"seed": 1, "design": Plain(), "schema": 1} | changes
        return describe(compiled, **asked).key

    def must_differ(other: str) -> None:
        assert other not in seen
        seen.add(other)

    value = next(v for v in world().values if (v.table, v.parameter, v.low) == ("companies", "capex_total", None))
    assert value.mode is not None and value.kind != "assumed"

    def moved(**changes: Any) -> World:
        return World(tuple(replace(v, **changes) if v is value else v for v in world().values))

    must_differ(described())
    must_differ(key(base, moved(mode=value.mode * 1.0001)))
    must_differ(key(base, moved(kind="assumed")))  # from there on the path is revised at random
    assert key(base, moved(note="other words", source_url="elsewhere")) == described()
    change = {
        "table": "supply",
        "parameter": "shipped_h100e",
        "entity": "*",
        "multiply": 0.5,
        "from": "2025-01-01",
        "reason": "x",
    }
    text = {"name": "x", "title": "X", "supposes": "Less.", "extends": "history", "inputs": [change]}
    for known in (None, "2024-07-01"):
        change |= {"known_from": known} if known else {}
        must_differ(key(scenario_from_text(json.dumps(text), sets=(END,))))
    must_differ(key(load_scenario("history", (), ("end=2025-06-30",))))
    must_differ(key(load_scenario("history", (), (END, "mechanisms.luck=false"))))
    must_differ(key(load_scenario("history", (), (END, "policy.foresight=false"))))
    must_differ(described(seed=2))
    must_differ(described(design=Plain(lucks=2)))
    must_differ(described(design=Plain("lhs", 50)))
    must_differ(described(design=Plain(vary=("process/inflation",))))
    must_differ(described(schema=2))
    must_differ(described(tables=("headlines",)))
    assert described(design={"kind": "random", "block": 1, "lucks": 1, "vary": []}) == described()
    for name, other in (("version", "0.1.1"), ("code", "0" * 64)):
        monkeypatch.setattr(simulator.cells, name, lambda other=other: other)
        must_differ(described())


def test_every_field_of_what_is_compiled_counts() -> None:
    static = tiny_static()
    seen = {_digest(static)}
    assert _digest(tiny_static()) in seen
    for item in fields(static):
        value = getattr(static, item.name)
        other: Any
        if isinstance(value, np.ndarray):
            if not value.size:
                other = np.zeros((1, *value.shape[1:]), dtype=value.dtype)
            else:
                other = value.copy()
                other.flat[-1] -= 1
        elif isinstance(value, bool):
            other = not value
        elif isinstance(value, int):
            other = value + 1
        elif isinstance(value, date):
            other = value + timedelta(days=1)
        elif isinstance(value, tuple):
            other = (*value, "more")
        else:
            other = Plain()
        changed = _digest(replace(static, **{item.name: other}))
        assert changed not in seen, item.name
        seen.add(changed)
    whole = np.arange(6)
    for shaped in (whole, whole.reshape(2, 3), whole.astype(np.int32), whole.astype(float), tuple(whole.tolist())):
        changed = _digest(replace(static, tpp=shaped))
        assert changed not in seen
        seen.add(changed)
    assert _digest(replace(static, tpp=whole.reshape(2, 3).T)) == _digest(replace(static, tpp=whole.reshape(2, 3).T.copy()))
    assert _digest(replace(static, tpp=whole.astype(">i8"))) == _digest(replace(static, tpp=whole))
    assert _digest(replace(static, companies=("ab", "c"))) != _digest(replace(static, companies=("a", "bc")))
    with pytest.raises(TypeError, match="a list cannot be part of what identifies a result"):
        _digest(replace(static, companies=["acme"]))


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_stored_scenario_can_be_run_again(name: str) -> None:
    scenario = load_scenario(name)
    about = {"scenario": simulator.scenario.canonical(scenario), "scenario_sha256": content_hash(scenario)}
    again = Cell(as_text(about)).scenario("what-was-asked")
    assert content_hash(again) == content_hash(scenario) and again.name == "what-was-asked"
    if scenario.policy.regime:
        about["scenario"] = about["scenario"] | {"policy": about["scenario"]["policy"] | {"foresight": False}}
        with pytest.raises(InputProblems, match="means something else to this version"):
            Cell(as_text(about)).scenario("what-was-asked")


def test_a_scenario_with_all_kinds_of_changes_can_be_run_again() -> None:
    text = {
        "name": "all-kinds", "title": "All kinds", "supposes": "A test.", "extends": "framework-tight",
        "policy": {"set": {"lpp.tpp": {"value": 9_000_000, "reason": "a test"}}, "later": [{"from": "2029-01-01", "regime": "no-controls"}]},
        "inputs": [
            {"table": "supply", "parameter": "shipped_h100e", "entity": ["nvidia", "amd"], "multiply": 0.5, "from": "2027-01-01",
             "to": "2027-12-31", "known_from": "2026-06-30", "reason": "a test"},
            {"table": "countries", "parameter": "permit_days", "entity": "*", "add": 10, "reason": "a test"},
            {"table": "process", "parameter": "inflation", "set": 0.03, "reason": "a test"},
        ],
    }  # fmt: skip
    scenario = scenario_from_text(json.dumps(text))
    about = {"scenario": simulator.scenario.canonical(scenario), "scenario_sha256": content_hash(scenario)}
    assert content_hash(Cell(as_text(about)).scenario("x")) == content_hash(scenario)


def test_the_source_of_the_model_counts_and_that_of_what_shows_results_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(simulator.cells.__file__).parent
    there = {path.stem for path in folder.glob("*.py")}
    assert {"model", "kernel", "sampling", "draws", "metrics", "compile"} & there and not {"model", "kernel", "draws"} & set(
        APART
    )
    copied = tmp_path / "simulator"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(simulator.cells, "__file__", str(copied / "cells.py"))
    code.cache_clear()
    before = code()
    for name in ("cli", "store"):
        (copied / f"{name}.py").write_text("# changed")
        code.cache_clear()
        assert code() == before
    (copied / "model.py").write_text((copied / "model.py").read_text() + "\n")
    code.cache_clear()
    assert code() != before
    code.cache_clear()


# ------------------------------------------------------------------ parts


@given(n=st.integers(1, 5000), more=st.integers(0, 5000), logs=st.integers(0, 300))
def test_parts_hold_each_replication_once_and_do_not_move_when_more_are_asked_for(n: int, more: int, logs: int) -> None:
    found = parts(n, logs)
    assert [r for part in found for r in range(part.first, part.last + 1)] == list(range(n))
    assert all(part.first % BLOCK == 0 and part.last - part.first < BLOCK for part in found)
    assert [r for part in found for r in range(part.first, part.first + part.logs)] == list(range(min(n, logs)))
    whole = [part for part in found if part.last - part.first == BLOCK - 1]
    assert parts(n + more, logs)[: len(whole)] == whole
    assert len({part.name for part in found}) == len(found)
    assert all(simulator.cells.PART.fullmatch(part.name) for part in found)


# ------------------------------------------------------------------ runs


def test_a_runs_id_is_that_of_the_question() -> None:
    cells = {"a": fake_cell(0), "b": fake_cell(1)}
    run = Run.of(cells, 250)
    assert run.reference == "a" and run.cell("b") == fake_cell(1).key and run.parts[0] == Part(0, 99, 2)
    others = [
        Run.of(cells, 251),
        Run.of(cells, 250, reference="b"),
        Run.of(cells, 250, logs=3),
        Run.of({"a": fake_cell(0), "c": fake_cell(1)}, 250),
        Run.of({"a": fake_cell(0), "b": fake_cell(2)}, 250),
        Run.of({"a": fake_cell(0)}, 250),
        Run.of(cells, 250, levers={"b": {"cap": 0.5}}),
        Run.of({name: fake_cell(i, seed=2) for i, name in enumerate("ab")}, 250),
    ]
    assert len({run.id, *(other.id for other in others)}) == len(others) + 1
    assert Run.of(cells, 250, levers={"a": {}}).id == run.id
    assert Run.of(cells, 5, logs=5).id == Run.of(cells, 5, logs=500).id, "there are no more logs to keep"
    for one in (run, *others):
        again = Run.read(json.loads(json.dumps(one.asked())))
        assert again == one and again.id == one.id and hash(again) == hash(one)
    levers = {"b": {"on": (1, 2), "cap": 0.5}}
    assert Run.read(json.loads(json.dumps(Run.of(cells, 9, levers=levers).asked()))) == Run.of(cells, 9, levers=levers)


def test_an_impossible_run_is_refused() -> None:
    cells = {"a": fake_cell(0)}
    for make, why in (
        (lambda: Run.of(cells, 0), "whole number of at least 1, not 0"),
        (lambda: Run.of(cells, True), "not True"),
        (lambda: Run.of(cells, 10, logs=-1), "at least 0, not -1"),
        (lambda: Run.of(cells, 10, reference="z"), "'z' is not among the cells"),
        (lambda: Run.of({"x" * 201: fake_cell()}, 10), "1 to 200 letters"),
        (lambda: Run.of({}, 10), "share one design"),
        (lambda: Run.of({"a": fake_cell(0), "b": fake_cell(1, design={"kind": "sobol"})}, 10), "share one design"),
        (lambda: Run.of({"a": fake_cell(0), "b": fake_cell(1, version="0.2.0")}, 10), "one version"),
        (lambda: Run((), 10, "a"), "at least one cell"),
        (lambda: replace(Run.of(cells, 10), members=Run.of(cells, 10).members * 2), "no two of one name"),
        (lambda: replace(Run.of(cells, 10), members=(replace(Run.of(cells, 1).members[0], cell="../etc"),)), "16 hexadecimal"),
    ):
        with pytest.raises(ValueError, match=why):
            make()


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3), max_size=4)
)
def test_a_sealed_text_opens_and_a_changed_one_does_not(value: dict[str, Any]) -> None:
    value.pop("sha256", None)
    try:
        text = sealed(value)
        text.encode()
    except UnicodeEncodeError:
        return
    assert unsealed(text) == value
    for changed in (text[:-1], text + " ", text.replace("\n", "", 1), text[:30] + text[31:], "", "[]", "null", "{}"):
        with pytest.raises(ValueError, match=r"was changed|cannot be read"):
            unsealed(changed)


def test_plain_designs_are_dataclasses_or_mappings() -> None:
    assert is_dataclass(Plain()) and fake_cell().described["design"] == {"kind": "random"}
    with pytest.raises(ValueError, match="is not the description of a cell"):
        _ = Cell("[]").described
