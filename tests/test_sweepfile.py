"""Sweep files: closed schema, every fault at once with its line, families and levers, conflicts that name both layers."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from simulator.design import Design
from simulator.precision import MOST, Rule
from simulator.problems import InputProblems
from simulator.resources import shipped
from simulator.scenario import content_hash, load_scenario, shipped_scenarios
from simulator.sweepfile import (
    MAX_SCENARIOS,
    SHIPPED,
    Sweep,
    SweepFile,
    is_sweep,
    lever_name,
    load_sweep,
    shipped_sweeps,
    slug,
    sweep_from_text,
    sweep_schema,
)

HEAD = "name: test\ntitle: Test\n"
ALL = ", ".join(shipped_scenarios())
KEYS = ", ".join(SweepFile.model_fields)
FAMILY = """family:
  base: diffusion-framework
  prefix: fw
  axes:
    - name: pot
      path: policy.set.allocation.tpp
      values: {half: 395000000, full: 790000000}
    - name: eyes
      layers:
        open: {policy: {foresight: true}}
        shut: {policy: {foresight: false}, mechanisms: {lpp: false}}
"""


def said(text: str) -> list[str]:
    """The problems of a text, one a line."""
    with pytest.raises(InputProblems) as error:
        sweep_from_text(text, "test.yaml")
    return str(error.value).splitlines()


# ---- what is shipped


@pytest.mark.parametrize("name", shipped_sweeps())
def test_every_shipped_sweep_loads_and_its_scenarios_fit_world_and_law(name: str) -> None:
    from simulator.compile import check_horizon
    from simulator.controls import load_all
    from simulator.scenario import validate_scenario
    from simulator.world import load_world

    sweep = load_sweep(name)
    world, regimes = load_world(), load_all()
    assert sweep.name == name and sweep.asks and sweep.reference in sweep.names
    for scenario in sweep.scenarios:
        validate_scenario(scenario, world, regimes)
        check_horizon(scenario, world)


def test_the_shipped_sweeps_have_many_policies_and_one_family_of_near_identical_scenarios() -> None:
    policies = load_sweep("policies")
    assert len(policies.scenarios) >= 8 and policies.replications == 2000
    grid = load_sweep("framework-grid")
    members = [scenario for scenario in grid.scenarios if grid.steps[scenario.name]]
    assert len(members) >= 50
    assert len({content_hash(scenario) for scenario in members}) == len(members)
    assert len({(s.start, s.end, s.inputs, s.mechanisms) for s in members}) == 1, "one sampler serves all"
    published = next(
        s for s in members if grid.steps[s.name] == {"allocation": "published", "from": "2025", "tier1-share": "share75"}
    )
    assert published.name == "framework-published-2025-share75"
    law = published.policy
    assert (law.set["allocation.tpp"].value, law.set["uveu.min_share_tier1"].value) == (790000000, 0.75)  # type: ignore[union-attr]
    assert law.diverges_on == load_scenario("diffusion-framework").policy.diverges_on


def test_a_step_as_published_simulates_what_the_base_does() -> None:
    """The family's member with all published numbers differs from its base in words only: law and tables are equal."""
    from simulator.compile import scenario_law

    sweep = load_sweep("framework-grid")
    member = next(s for s in sweep.scenarios if s.name == "framework-published-2025-share75")
    mine, base = scenario_law(member), scenario_law(load_scenario("diffusion-framework"))
    day = member.end
    for leaf in ("allocation.tpp", "allocation.window_start", "allocation.window_end", "uveu.min_share_tier1"):
        assert mine.at(leaf, day) == base.at(leaf, day)


def test_sweeps_travel_with_the_scenarios() -> None:
    folder = shipped("scenarios") / SHIPPED
    assert sorted(path.stem for path in folder.glob("*.yaml")) == shipped_sweeps()
    assert set(shipped_sweeps()).isdisjoint(shipped_scenarios()), "one word on the command line means one thing"


def test_shipped_sweeps_fit_the_json_schema_and_the_schema_explains_every_key() -> None:
    schema = json.loads(json.dumps(sweep_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for name in shipped_sweeps():
        content = YAML(typ="safe", pure=True).load((shipped("scenarios") / SHIPPED / f"{name}.yaml").read_text())
        check.validate(json.loads(json.dumps(content, default=str)))
    for wrong in (
        {"name": "x"},
        {"name": "x", "title": "X", "scenarios": ["history"], "keep": "all"},
        {"name": "x", "title": "X", "foo": 1},
    ):
        assert not check.is_valid(wrong)
    for part in (schema, *(schema["$defs"][name] for name in ("Family", "Axis", "Levers", "Assumptions"))):
        assert part["additionalProperties"] is False
        assert all(len(field.get("description", "")) > 20 for field in part["properties"].values())


# ---- what comes of a file


def test_the_least_that_can_be_said() -> None:
    sweep = sweep_from_text(HEAD + "scenarios: [history, no-controls]\n")
    assert sweep.scenarios == (load_scenario("history"), load_scenario("no-controls"))
    assert (sweep.reference, sweep.replications, sweep.seed, sweep.logs, sweep.keep) == ("history", 200, 1, 2, "increments")
    assert sweep.design == Design() and sweep.stop is None and sweep.axes == ()


def test_everything_that_can_be_said() -> None:
    sweep = sweep_from_text(
        HEAD
        + "asks: Why?\nscenarios: [history, no-controls]\nassumptions: {kind: sobol, block: 8, lucks: 2, vary: [process/site_notice]}\nseed: 5\n"
        + "replications: 64\nreference: history\nlogs: 0\nkeep: quantiles\nprecision: 2%\nprecision_abs: 0.5 GW\nbudget: 2min\n"
        + "max_replications: 160\n"
    )
    assert sweep == Sweep(
        "test", "Test", (load_scenario("history"), load_scenario("no-controls")), "history", "Why?", Design("sobol", 8, 2, ("process/site_notice",)), 160, 5, 0,
        "quantiles", Rule(0.02, 500.0, 120.0, 160), {"history": {}, "no-controls": {}}, {"history": {}, "no-controls": {}},
    )  # fmt: skip


def test_a_rule_to_stop_by_goes_on_as_far_as_it_is_told() -> None:
    text = HEAD + "scenarios: [history, no-controls]\nbudget: 20s\n"
    assert sweep_from_text(text).stop == Rule(budget=20.0, maximum=MOST)
    assert sweep_from_text(text + "replications: 500\n").stop == Rule(budget=20.0, maximum=500)
    assert sweep_from_text(text + "replications: 500\nmax_replications: 700\n").replications == 700


def test_a_grid_has_every_combination_with_readable_names_and_words() -> None:
    sweep = sweep_from_text(HEAD + "scenarios: [history]\n" + FAMILY)
    assert sweep.names == ("history", "fw-half-open", "fw-half-shut", "fw-full-open", "fw-full-shut")
    assert sweep.axes == ("pot", "eyes")
    assert sweep.steps["fw-half-shut"] == {"pot": "half", "eyes": "shut"} and sweep.steps["history"] == {}
    assert sweep.values["fw-half-shut"] == {"pot": 395000000}
    member = sweep.scenarios[2]
    assert member.title == "AI Diffusion Framework enforced: pot half, eyes shut"
    assert member.supposes.endswith("; here with pot half, eyes shut.")
    assert (member.policy.foresight, member.mechanisms.lpp) == (False, False)
    assert member.policy.set["allocation.tpp"].value == 395000000  # type: ignore[union-attr]
    assert str(member.provenance["policy.foresight"]) == "axis eyes: shut (sweep:14)"
    assert str(member.provenance["policy.set.allocation.tpp"]) == "axis pot: half (sweep:10)"
    assert member.applied == ("axis pot: half", "axis eyes: shut")


def test_zipped_axes_go_together() -> None:
    sweep = sweep_from_text(HEAD + FAMILY.replace("  prefix: fw\n", "  prefix: fw\n  combine: zip\n"))
    assert sweep.names == ("fw-half-open", "fw-full-shut")


def test_levers_turn_every_scenario_into_several() -> None:
    levers = "levers: {grid: {policy.foresight: [true, false], policy.set.lpp.tpp: {none: 0, some: 26900000}}}\n"
    sweep = sweep_from_text(HEAD + "scenarios: [diffusion-framework, framework-tight]\n" + levers)
    steps = [f"foresight-{eyes}-{pot}" for eyes, pot in product(("true", "false"), ("none", "some"))]
    assert list(sweep.names) == [f"{base}-{step}" for base in ("diffusion-framework", "framework-tight") for step in steps]
    assert sweep.axes == ("foresight", "lpp-tpp")
    assert sweep.values["framework-tight-foresight-false-none"] == {"foresight": False, "lpp-tpp": 0}
    assert sweep.scenarios[3].policy.set["lpp.tpp"].reason == "Lever policy.set.lpp.tpp: some."  # type: ignore[union-attr]


def test_listed_levers_are_settings_of_their_own() -> None:
    text = "levers:\n  list:\n    blind: {policy.foresight: false}\n    stuck: {policy.foresight: false, mechanisms.relocation: false}\n"
    sweep = sweep_from_text(HEAD + "scenarios: [history]\n" + text)
    assert sweep.names == ("history-blind", "history-stuck")
    assert [s.mechanisms.relocation for s in sweep.scenarios] == [True, False]
    assert sweep.values == {"history-blind": {"levers": False}, "history-stuck": {}}


def test_levers_and_families_multiply() -> None:
    sweep = sweep_from_text(HEAD + FAMILY + "levers: {grid: {mechanisms.uveu: [true, false]}}\n")
    assert len(sweep.names) == 8 and sweep.names[1] == "fw-half-open-uveu-false"


def test_settings_of_the_command_line_lie_over_every_scenario() -> None:
    sweep = sweep_from_text(HEAD + "scenarios: [history]\n" + FAMILY, sets=["end=2026-12-31", "policy.foresight=true"])
    assert {str(s.end) for s in sweep.scenarios} == {"2026-12-31"}
    assert all(s.policy.foresight for s in sweep.scenarios)


def test_a_file_names_scenarios_beside_it_and_below_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for place, name in ((tmp_path, "mine"), (tmp_path / "below", "other")):
        (place / f"{name}.yaml").write_text(f"name: {name}\ntitle: T\nsupposes: A test.\nextends: history\n")
    (tmp_path / "all.yaml").write_text("name: all\ntitle: All\nscenarios: [mine, below/other.yaml, no-controls]\n")
    assert load_sweep(tmp_path / "all.yaml").names == ("mine", "other", "no-controls")
    assert is_sweep(tmp_path / "all.yaml") and not is_sweep(tmp_path / "mine.yaml")
    assert is_sweep("policies") and not is_sweep("history") and not is_sweep(tmp_path / "none.yaml")


def test_a_sweep_may_carry_the_name_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "history.yaml").write_text(
        "name: history\ntitle: T\nfamily:\n  base: history\n  axes:\n    - {name: a, path: mechanisms.lpp, values: [true, false]}\n"
    )
    assert load_sweep(tmp_path / "history.yaml").names == ("history-a-true", "history-a-false")


# ---- what is wrong with a file


FAULTS = {
    "nothing to run": (HEAD, ["test.yaml:1: names nothing to run; give `scenarios`, or a `family`"]),
    "no mapping": ("- history\n", ["test.yaml:1: ['history'] is not a mapping; a sweep is written in `key: value` lines"]),
    "unknown key": (
        HEAD + "scenarios: [history]\nreplication: 5\n",
        [f"test.yaml:4: replication: unknown key; allowed are {KEYS}; did you mean 'replications'?"],
    ),
    "unknown keys inside": (
        HEAD + FAMILY.replace("prefix: fw", "perfix: fw") + "assumptions: {kin: lhs}\nlevers: {gird: {a: [1]}}\n",
        [
            "test.yaml:5: family.perfix: unknown key; allowed are base, prefix, combine, axes; did you mean 'prefix'?",
            "test.yaml:14: assumptions.kin: unknown key; allowed are kind, block, lucks, vary; did you mean 'kind'?",
            "test.yaml:15: levers.gird: unknown key; allowed are grid, list; did you mean 'grid'?",
        ],
    ),
    "everything at once": (
        "title: Test\nscenarios: [histroy, history]\nreplications: 0\nseed: -1\nkeep: all\nlogs: many\nprecision: 200%\nbudget: soon\n"
        "precision_abs: -3\nassumptions: {kind: sobol, block: 65, lucks: 0}\n",
        [
            "test.yaml:1: name: is missing; give it (Name: the file name without .yaml; lower-case letters, digits, single hyphens)",
            f"test.yaml:2: scenarios[0]: no scenario 'histroy' among the shipped ones ({ALL}); did you mean 'history'?",
            "test.yaml:3: replications: 0 is not a number of replications; write a whole number from 1 to 10,000,000",
            "test.yaml:4: seed: -1 is not a seed; write a whole number from 0 to 9,223,372,036,854,775,807",
            "test.yaml:5: keep: 'all' is not what can be kept; allowed are increments, quantiles",
            "test.yaml:6: logs: 'many' is not a number of replications; write a whole number from 0 to 10,000",
            "test.yaml:7: precision: '200%' is not a share of the mean of the reference; write for example 2%",
            "test.yaml:8: budget: 'soon' is not a length of time; write for example 20s, 5min or 1h",
            "test.yaml:9: precision_abs: -3 is not a positive quantity; write for example 50 MW or 0.5 GW",
            "test.yaml:10: assumptions.block: a block of a Sobol sequence has a power of two of points, not 65; 64 is one",
            "test.yaml:10: assumptions.lucks: 0 is not a number of lucks; write a whole number from 1 to 1,000",
        ],
    ),
    "a block for random points": (
        HEAD + "scenarios: [history]\nassumptions: {block: 8}\n",
        ["test.yaml:4: assumptions.block: is for lhs and sobol; plain random points come in no blocks, so leave it out"],
    ),
    "replications that end inside a block": (
        HEAD + "scenarios: [history]\nreplications: 100\nassumptions: {kind: lhs, block: 16, lucks: 2}\n",
        ["test.yaml:4: replications: 100 is no multiple of 32 (16 points x 2 lucks); write for example 96"],
    ),
    "precision of a difference that is none": (
        HEAD + "scenarios: [history]\nprecision: 2%\n",
        ["test.yaml:4: precision: is of a difference; give a second scenario"],
    ),
    "a limit without a rule": (
        HEAD + "scenarios: [history]\nmax_replications: 100\n",
        ["test.yaml:4: max_replications: is for precision or budget; without them write replications"],
    ),
    "an input that is none": (
        HEAD + "scenarios: [history]\nassumptions: {vary: [site_notice, proces/site_notice]}\n",
        [
            "test.yaml:4: assumptions.vary[0]: 'site_notice' is not an uncertain input; write table/parameter, as `groundbreak analyse` "
            "lists them",
            "test.yaml:4: assumptions.vary[1]: 'proces/site_notice' names no table of the data; allowed are countries, markets, companies, "
            "fleets, footprint, announcements, accelerators, supply, costs, process, statistics; did you mean 'process'?",
        ],
    ),
    "unknown reference": (
        HEAD + "scenarios: [history, no-controls]\nreference: no-control\n",
        ["test.yaml:4: reference: 'no-control' is not among the scenarios: history, no-controls; did you mean 'no-controls'?"],
    ),
    "out of the folder": (
        HEAD + "scenarios: [../../etc/passwd]\n",
        [
            "test.yaml:3: scenarios[0]: '../../etc/passwd' leads out of the folder; name a shipped scenario, or a file beside this one or "
            "below it, such as base.yaml or variants/base.yaml"
        ],
    ),
    "the same scenario twice": (
        HEAD + "scenarios: [history, history]\n",
        ["test.yaml:3: scenarios[1]: makes two scenarios called 'history'; give labels or a `prefix` that tell them apart"],
    ),
    "different horizons": (
        HEAD + FAMILY.replace("{policy: {foresight: true}}", "{end: 2030-12-31}"),
        [
            "test.yaml:1: scenarios must share start and end to be compared: fw-half-open 2024-01-01 to 2030-12-31, fw-half-shut "
            "2024-01-01 to 2031-12-31"
        ],
    ),
    "a conflict of two axes names both and every step": (
        HEAD + FAMILY.replace("{policy: {foresight: true}}", "{policy: {set: {allocation.tpp: {value: 7, reason: A test.}}}}"),
        [
            "test.yaml:12: policy.set.allocation.tpp: 'axis eyes: open' says 7 but 'axis pot: full' (test.yaml:9) says 790000000; leave "
            "one of the two out or make them agree",
            "test.yaml:12: policy.set.allocation.tpp: 'axis eyes: open' says 7 but 'axis pot: half' (test.yaml:9) says 395000000; leave "
            "one of the two out or make them agree",
        ],
    ),
    "a conflict of an axis and a lever": (
        HEAD + FAMILY + "levers: {list: {x: {policy.foresight: true}}}\n",
        [
            "test.yaml:14: policy.foresight: 'levers x: policy.foresight' says true but 'axis eyes: shut' (test.yaml:13) says false; leave "
            "one of the two out or make them agree"
        ],
    ),
    "faults inside layers and values": (
        HEAD + FAMILY.replace("395000000", "[1]").replace("foresight: true", "foresigth: 1").replace("lpp: false", "lpp: 0"),
        [
            "test.yaml:9: family.axes[0].values.half.policy.set.allocation.tpp.value: [1] cannot be the value of a rule; write a number, "
            "true or false, a date, or words",
            "test.yaml:12: family.axes[1].layers.open.policy.foresigth: unknown key; allowed are diverges_on, regime, later, foresight, "
            "grants_overlay, readings, set; did you mean 'foresight'?",
            "test.yaml:13: family.axes[1].layers.shut.mechanisms.lpp: 0 is neither true nor false; write one of the two, without quotes",
        ],
    ),
    "an axis that says nothing, too much or half": (
        HEAD + "family:\n  base: history\n  axes:\n    - name: a\n    - {name: b, path: end}\n"
        "    - {name: c, path: end, values: [2030-12-31], layers: {x: {}}}\n    - {name: d, path: a..b, values: [1]}\n",
        [
            "test.yaml:6: family.axes[0]: does not say what it changes; give `path` and `values`, or `layers`",
            "test.yaml:7: family.axes[1]: does not say what it changes; give both `path` and `values`",
            "test.yaml:8: family.axes[2]: gives `layers` beside `path` and `values`; keep one way to say what the axis does",
            "test.yaml:9: family.axes[3].path: 'a..b' is not the path of a field; write it as for --set, for example policy.foresight",
        ],
    ),
    "labels that are none or the same": (
        HEAD + "scenarios: [history]\nlevers: {grid: {end: {Late: 2031-12-31}, policy.set.lpp.tpp: [1, 1.0000000000001], mechanisms.lpp: ['']}}\n",
        [
            "test.yaml:4: levers.grid.end.Late: 'Late' cannot be a label; write lower-case letters, digits and single hyphens",
            "test.yaml:4: levers.grid.mechanisms.lpp[0]: '' makes the label 'lpp-', which is none; name it, as {some-label: value}",
            "test.yaml:4: levers.grid.policy.set.lpp.tpp: two values have the label 'lpp-tpp-1'; name them, as {some-label: value}",
        ],
    ),
    "unequal axes that are zipped": (
        HEAD + FAMILY.replace("full: 790000000", "full: 790000000, more: 1").replace("  axes", "  combine: zip\n  axes"),
        [
            "test.yaml:7: family.axes: axes that are zipped have equally many steps; these have pot 3, eyes 2; add steps or write combine: "
            "grid"
        ],
    ),
    "an unknown way to combine": (
        HEAD + FAMILY.replace("  axes", "  combine: product\n  axes"),
        ["test.yaml:6: family.combine: 'product' is not a way to combine axes; allowed are grid, zip"],
    ),
    "two axes of one name": (
        HEAD + FAMILY.replace("name: eyes", "name: pot"),
        ["test.yaml:6: family.axes: 'pot' names two axes or levers; rename one of them"],
    ),
    "a name that is too long": (
        HEAD + FAMILY.replace("half", "h" * 30).replace("open", "o" * 30),
        [
            f"test.yaml:4: family.base: makes the name 'fw-{'h' * 30}-{'o' * 30}' of 64 characters; at most 60 are allowed, so shorten labels "
            "or `prefix`"
        ],
    ),
    "too many": (
        HEAD + f"scenarios: [history]\nlevers: {{grid: {{policy.set.lpp.tpp: {list(range(MAX_SCENARIOS + 1))}}}}}\n",
        [f"test.yaml:1: makes {MAX_SCENARIOS + 1} scenarios; at most {MAX_SCENARIOS} are allowed, so take fewer steps or split it"],
    ),
    "levers both ways": (
        HEAD + "scenarios: [history]\nlevers: {grid: {mechanisms.lpp: [true]}, list: {x: {mechanisms.lpp: false}}}\n",
        ["test.yaml:4: levers: gives both `grid` and `list`; keep one of them"],
    ),
    "levers that set nothing": (
        HEAD + "scenarios: [history]\nlevers: {}\n",
        ["test.yaml:4: levers: sets nothing; give `grid` or `list`"],
    ),
    "a lever of no field": (
        HEAD + "scenarios: [history]\nlevers: {grid: {policy.foresigth: [true]}}\n",
        [
            "test.yaml:4: levers.grid.policy.foresigth[0]: unknown key; allowed are diverges_on, regime, later, foresight, grants_overlay, "
            "readings, set; did you mean 'foresight'?"
        ],
    ),
    "a law that is never left": (
        HEAD + "scenarios: [history]\nlevers: {grid: {policy.set.lpp.tpp: [0]}}\n",
        [
            "test.yaml:4: policy.set.lpp.tpp: changes the law of a scenario that never diverges; give `diverges_on`, the day from which it "
            "applies, and `regime` ('history' keeps the rest of the law as it was)"
        ],
    ),
    "an anchor": (
        HEAD + "scenarios: &a [history]\nlevers: *a\n",
        ["test.yaml:4: levers: uses an alias (`*name`); write the value out"],
    ),
    "keys given twice": (
        HEAD + "scenarios: [history]\nseed: 1\nseed: 2\n",
        ["test.yaml:5: seed: is given twice (first on line 4); keep one"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_told_all_at_once_with_place_and_remedy(case: str) -> None:
    text, expected = FAULTS[case]
    assert said(text) == expected


def test_a_file_must_carry_its_own_name_and_exist(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("name: two\ntitle: T\nscenarios: [history]\n")
    with pytest.raises(InputProblems, match=r"'two' differs from the file name; write 'one' or rename the file to two\.yaml"):
        load_sweep(tmp_path / "one.yaml")
    with pytest.raises(InputProblems, match="no such file"):
        load_sweep(tmp_path / "none.yaml")
    with pytest.raises(InputProblems, match=r"no shipped sweep has this name; there are .*; did you mean 'policies'\?"):
        load_sweep("policie")


def test_labels_of_values_and_names_of_levers() -> None:
    assert [slug(v) for v in (0.75, 790000000, True, "April 2025!", -2, 1e25)] == [
        "0-75",
        "790000000",
        "true",
        "april-2025",
        "2",
        "1e25",
    ]
    assert [lever_name(p) for p in ("policy.foresight", "policy.set.lpp.tpp", "policy.readings.uveu-speed", "end")] == [
        "foresight", "lpp-tpp", "uveu-speed", "end",
    ]  # fmt: skip
