"""Do the scenarios push the headlines the way an expert said they would before anything was run?

The expectations are in `expected_signs.yaml`. A miss does not fail: it is printed, and explained or mended elsewhere.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from expectations import BY_LINEAGE, SIGNS, Expectation, Expected, Found, answers, judge, load, note, table

from simulator import experiments
from simulator.metrics import METRICS, SCALARS
from simulator.scenario import HISTORY, load_scenario, shipped_scenarios

REPLICATIONS = 24
SEED = 1


@pytest.fixture(scope="module")
def expected() -> Expected:
    return load()


def test_every_shipped_scenario_has_an_expectation_for_every_headline_against_history(expected: Expected) -> None:
    said = {(e.scenario, e.reference, e.headline) for e in expected.expectations} | set(expected.left_out)
    wanted = {(scenario, HISTORY, name) for scenario in shipped_scenarios() if scenario != HISTORY for name in expected.headlines}
    assert wanted <= said


def test_expectations_speak_of_shipped_scenarios_and_of_metrics_that_exist(expected: Expected) -> None:
    shipped = set(shipped_scenarios())
    for e in expected.expectations:
        assert {e.scenario, e.reference} <= shipped and e.scenario != e.reference, e
    unknown = {h.metric for h in expected.headlines.values()} - set(METRICS) - {BY_LINEAGE}
    assert not unknown, f"no such metric: {sorted(unknown)}"


def test_no_expectation_is_stated_twice(expected: Expected) -> None:
    keys = [(e.scenario, e.reference, e.headline, e.date) for e in expected.expectations]
    assert len(keys) == len(set(keys))
    assert not {key[:3] for key in keys} & set(expected.left_out)


def test_signs_and_reasons_are_well_formed(expected: Expected) -> None:
    for e in expected.expectations:
        assert e.sign in SIGNS, e
        assert len(e.reason) > 10 and e.reason.endswith("."), e
    assert all(len(why) > 10 and why.endswith(".") for why in expected.left_out.values())
    assert all(h.compare in ("value", "reached") for h in expected.headlines.values())
    assert 0 < expected.negligible < 0.05


def test_dates_are_ones_that_results_report(expected: Expected) -> None:
    """Year ends inside the run; numbers of a whole run stand at its end."""
    of_a_run = {metric.id for metric in SCALARS} | {BY_LINEAGE}
    last = load_scenario(HISTORY).end
    for e in expected.expectations:
        day = date.fromisoformat(e.date)
        assert (day.month, day.day) == (12, 31) and load_scenario(e.scenario).start <= day <= last, e
        if expected.headlines[e.headline].metric in of_a_run:
            assert day == last, e


def test_what_lies_before_a_scenario_diverges_is_expected_to_be_equal(expected: Expected) -> None:
    for e in expected.expectations:
        diverges = load_scenario(e.scenario).policy.diverges_on
        if e.reference == HISTORY and diverges and not load_scenario(e.scenario).inputs and e.date < diverges.isoformat():
            assert e.sign == "none", e


@pytest.mark.parametrize(
    ("gap", "negligible", "amount", "sign"),
    [
        (np.full(10, 1.0), 0.002, 0.0, "+"),
        (np.full(10, -1.0), 0.002, 0.0, "-"),
        (np.zeros(10), 0.002, 0.0, "none"),
        (np.array([1.0, -1.0] * 5), 0.002, 0.0, "none"),  # the interval holds zero
        (np.full(10, 1.0), 0.02, 0.0, "none"),  # 1 of 100 is less than 2 %
        (np.full(10, 1.0), 0.002, 1.5, "none"),
    ],
)
def test_a_sign_needs_an_interval_without_zero_and_a_difference_that_matters(
    gap: np.ndarray, negligible: float, amount: float, sign: str
) -> None:
    base = np.full(10, 100.0)
    assert judge(base + gap, base, negligible, amount).sign == sign


def test_pairs_without_a_value_are_left_out_of_a_sign() -> None:
    base = np.array([1.0, 2.0, np.nan, 4.0])
    assert judge(base + 1, base, 0.002).pairs == 3
    assert judge(np.full(4, np.nan), base, 0.002).sign == "undefined"


def test_the_note_names_misses_with_numbers_and_the_reason_given() -> None:
    hit = Expectation("a", "history", "x", "2028-12-31", "none", "Nothing changes.")
    miss = Expectation("b", "history", "x", "2028-12-31", "+", "It should rise.")
    found = judge(np.full(5, 9.0), np.full(5, 10.0), 0.002)
    answered = [(hit, Found("none", 0.0, 0.0, 0.0, 10.0, 1.0, 5)), (miss, found)]
    words = note(answered, 5, 1)
    assert "1 of 2 as expected" in words and "**a**" not in words
    assert "**b** against history, `x` at 2028-12-31: expected +, found - (opposite): -1" in words and "It should rise." in words
    assert table(answered).count("MISS") == 1


@pytest.mark.long
def test_expected_and_found_signs_of_all_scenarios(
    expected: Expected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """About ten minutes. Fails if a replication fails or a number is missing, never because a sign differs."""
    monkeypatch.setattr(experiments, "KEPT_LOGS", REPLICATIONS)  # delays by lineage need every event log
    names = [HISTORY, *(name for name in shipped_scenarios() if name != HISTORY)]
    comparison = experiments.compare(names, replications=REPLICATIONS, seed=SEED)
    assert not comparison.failed, comparison.failed
    assert comparison.replications == REPLICATIONS
    answered = list(answers(comparison, expected))
    with capsys.disabled():
        print("\n" + table(answered) + "\n\n" + note(answered, REPLICATIONS, SEED))
