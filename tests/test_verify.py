"""Two logs that differ: the first row at which they do, named in words with what each says around it; and the report on two engines."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DAY, LPP, play, tiny_draws, tiny_static
from worlds import world

from simulator.events import COLUMNS, LOG, Log, Mark, Stage, to_log
from simulator.model import Expansion
from simulator.static import Draws, Static
from simulator.verify import Difference, Names, describe, first_difference, same_in_another_order, verify_engines

STATIC = tiny_static()
DRAWS = tiny_draws(STATIC, [(0, 1, 0), (30, 2, 1)])


def simpy(static: Static, draws: Draws, engine: str) -> Log:
    return Expansion(static, draws).run()


def changed(log: Log, row: int, **values: int) -> Log:
    """The same log with one row told otherwise."""
    other = log.copy()
    for name, value in values.items():
        other[name][row] = value
    return other


def test_equal_logs_have_no_difference() -> None:
    log = play(STATIC, DRAWS)
    assert len(log) > 50
    assert first_difference(log, log.copy()) is None
    assert first_difference(log[:0], log[:0]) is None


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_counts_and_the_first_row_that_differs_is_named(name: str) -> None:
    log = play(STATIC, DRAWS)
    other = changed(changed(log, 40, **{name: 7_777}), 45, quantity=5_555)
    assert first_difference(log, other) == Difference(40, (name,), (len(log), len(log)))
    assert first_difference(other, log) == Difference(40, (name,), (len(log), len(log)))


def test_a_log_that_ends_sooner_differs_where_it_ends() -> None:
    log = play(STATIC, DRAWS)
    assert first_difference(log[:30], log) == Difference(30, (), (30, len(log)))
    assert first_difference(log, log[:0]) == Difference(0, (), (len(log), 0))
    # A row that differs before that comes first.
    assert first_difference(changed(log, 12, pool=9)[:30], log) == Difference(12, ("pool",), (30, len(log)))


def test_every_column_of_the_log_is_compared() -> None:
    assert set(COLUMNS) == set(LOG.names or ())


def told(difference: Difference, a: Log, b: Log, **options: Any) -> str:
    return "\n".join(describe(difference, a, b, STATIC, DRAWS, **options))


def test_a_difference_is_told_with_names_dates_and_both_contexts() -> None:
    log = play(STATIC, DRAWS)
    row = int(np.flatnonzero((log["mark"] == Mark.GROUND_BREAKING) & (log["root"] == 1))[0])
    other = changed(log, row, mark=int(Mark.SHELL_READY), rule=LPP)
    found = first_difference(log, other)
    assert found is not None
    said = describe(found, log, other, STATIC, DRAWS, context=3)
    assert said[0] == f"The logs part at row {row} of {len(log)} (simpy) and {len(log)} (compiled): they differ in mark, rule."
    assert said[1] == f"Before it, in both (3 of {row} rows):"
    names = Names(STATIC, DRAWS)
    assert said[2:5] == [names.row(e) for e in log[row - 3 : row]]
    assert said[5] == "Then simpy:"
    assert said[6:9] == [names.row(e) for e in log[row : row + 3]]
    assert said[9] == "Then compiled:"
    assert said[10:13] == [names.row(e) for e in other[row : row + 3]]
    # Site selection of ten days from day 30 and permits of fifty: ground is broken on 31 March 2024 (day 90).
    assert said[6].split() == [
        str(row),
        "2024-03-31",
        "acme-1",
        "phase",
        "0",
        "CONSTRUCTION",
        "GROUND_BREAKING",
        "-",
        "abroad",
        "(1)",
        "0",
    ]
    assert said[10].split()[5:9] == ["CONSTRUCTION", "SHELL_READY", "lpp", "(3)"]


def test_what_befell_the_same_entity_before_is_told_when_it_is_far_away() -> None:
    log = play(STATIC, DRAWS)
    row = int(np.flatnonzero((log["stage"] == Stage.INTERCONNECTION) & (log["mark"] == Mark.END) & (log["root"] == 1))[0])
    other = changed(log, row, root=0)
    found = first_difference(log, other)
    assert found is not None
    said = describe(found, log, other, STATIC, DRAWS, context=2)
    names = Names(STATIC, DRAWS)
    for engine, root in (("simpy", 1), ("compiled", 0)):
        at = said.index(f"Last of what concerns the entity with which {engine} goes on:")
        mine = log[:row][log["root"][:row] == root][-2:]
        assert said[at + 1 : at + 3] == [names.row(e) for e in mine]


def test_a_log_that_ends_sooner_is_told_so() -> None:
    log = play(STATIC, DRAWS)
    found = first_difference(log, log[:30])
    assert found is not None
    said = describe(found, log, log[:30], STATIC, DRAWS)
    assert said[0] == f"The logs are equal up to row 30; there compiled ends, and simpy goes on to row {len(log)}."
    assert "Then compiled: nothing" in said
    found = first_difference(log[:30], log)
    assert found is not None
    assert "there simpy ends" in told(found, log[:30], log)


def test_rows_of_one_instant_in_another_order_are_recognised() -> None:
    log = play(STATIC, DRAWS)
    row = int(np.flatnonzero((np.diff(log["tick"]) == 0) & (np.diff(log["stage"]) != 0))[5])
    other = log.copy()
    for name in COLUMNS:
        if name != "order":
            other[name][row], other[name][row + 1] = log[name][row + 1], log[name][row]
    found = first_difference(log, other)
    assert found is not None
    assert found.row == row
    assert same_in_another_order(log, other, row)
    assert "Both have the same rows in this instant, in another order." in told(found, log, other)
    assert not same_in_another_order(log, changed(log, row, quantity=99), row)
    assert not same_in_another_order(log, log[:row], row)
    assert not same_in_another_order(log, changed(log, row, tick=1), row)


@pytest.mark.parametrize(
    ("event", "who", "where"),
    [
        ((0, 1, 2, 3, Stage.PROJECT, Mark.READY, -1, 2, 16), "acme-1/3 phase 3", "elsewhere (2)"),
        ((0, -1, 0, 4, Stage.LICENCE_REVIEW, Mark.FILED, 1, 1, 16), "acme no. 4", "ARE (1)"),
        ((0, -2, 0, 0, Stage.OTHER_IMPORTERS, Mark.DRAWN, 2, 1, 16), "the world", "ARE (1)"),
        ((0, -2, 0, 0, Stage.LAW, Mark.CHANGED, 1, -1, 3), "the world", "-"),
        ((0, -1, 0, 0, Stage.CHIPS, Mark.DELIVERED, -1, 0, 16), "acme", "chip (0)"),
        ((0, 0, 0, 0, Stage.CHIPS, Mark.START, -1, 0, 0), "acme-0 phase 0", "maker (0)"),
        ((0, 0, 0, 0, Stage.CHIPS, Mark.SWITCHED, -1, 0, 0), "acme-0 phase 0", "maker (0)"),
        ((0, 0, 0, 0, Stage.SHIPPING, Mark.SHIPPED, 0, 1, 0), "acme-0 phase 0", "ARE (1)"),
        ((0, 0, 0, 0, Stage.SHIPPING, Mark.START, -1, 1, 0), "acme-0 phase 0", "abroad (1)"),
        ((0, -1, 0, 0, Stage.CLASSIFICATION, Mark.START, -1, 0, 0), "acme", "chip (0)"),
        ((0, 0, 0, 0, Stage.CLASSIFICATION, Mark.WAITS, 1, 1, 0), "acme-0 phase 0", "ARE (1)"),
        ((0, 99, 0, 0, Stage.PROJECT, Mark.FULL, -1, 99, 0), "root 99", "no name (99)"),  # a faulty log is told too
    ],
)
def test_the_numbers_of_a_row_get_their_names(event: Any, who: str, where: str) -> None:
    names, row = Names(STATIC, DRAWS), to_log([event])[0]
    assert (names.who(row), names.pool(row)) == (who, where)


def test_time_within_a_day_is_told_to_the_tick_and_unknown_marks_by_number() -> None:
    names = Names(STATIC, DRAWS)
    assert (names.when(3 * DAY), names.when(-DAY + 5)) == ("2024-01-04", "2023-12-31 +5")
    assert "stage 77" in names.row(to_log([(0, 0, 0, 0, 77, 88, 99, 0, 0)])[0])
    assert "mark 88" in names.row(to_log([(0, 0, 0, 0, 77, 88, 99, 0, 0)])[0])
    assert "no name (99)" in names.row(to_log([(0, 0, 0, 0, 77, 88, 99, 0, 0)])[0])


@pytest.mark.parametrize("number", range(12))
def test_every_row_of_a_small_world_can_be_told(number: int) -> None:
    static, draws = world(number)
    names = Names(static, draws)
    for e in play(static, draws):
        assert "no name" not in names.row(e)
        assert "root " not in names.row(e)


# ------------------------------------------------------------------ engines compared


def scenario(drawn: Callable[[int, int], Draws] = lambda seed, replication: DRAWS) -> Any:
    """As much of a compiled scenario as a comparison of engines needs."""
    return SimpleNamespace(static=STATIC, scenario=SimpleNamespace(name="tiny"), draw=drawn)


def test_equal_engines_are_reported_equal_over_all_replications() -> None:
    asked: list[tuple[int, int]] = []
    steps: list[tuple[int, int]] = []

    def draw(seed: int, replication: int) -> Draws:
        asked.append((seed, replication))
        return DRAWS

    report = verify_engines(scenario(draw), 7, 3, lambda done, of: steps.append((done, of)), play=simpy)
    assert asked == [(7, 0), (7, 1), (7, 2)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert (report.equal, report.exit_code, report.compared, report.rows) == (True, 0, 3, 3 * len(play(STATIC, DRAWS)))
    assert report.says == (f"tiny: simpy and compiled are equal over 3 replications of seed 7, {report.rows} events.",)
    assert json.loads(json.dumps(report.as_dict()))["equal"] is True


def test_the_first_replication_that_differs_ends_the_comparison_and_is_told() -> None:
    length = len(play(STATIC, DRAWS))
    calls: list[str] = []

    def one_wrong(static: Static, draws: Draws, engine: str) -> Log:
        calls.append(engine)
        log = simpy(static, draws, engine)
        return changed(log, 20, quantity=1_234) if len(calls) == 6 else log

    report = verify_engines(scenario(), 7, 10, play=one_wrong)
    assert calls == ["simpy", "compiled"] * 3
    assert (report.equal, report.exit_code, report.compared, report.replication) == (False, 3, 2, 2)
    assert report.difference == Difference(20, ("quantity",), (length, length))
    assert report.says[0] == "tiny, replication 2 of seed 7 (see it again: groundbreak run tiny --seed 7 --replication 2)"
    assert report.says[1].startswith("The logs part at row 20 ")
    plain = json.loads(json.dumps(report.as_dict()))
    assert (plain["row"], plain["columns"], plain["replication"], plain["equal"]) == (20, ["quantity"], 2, False)


@pytest.mark.parametrize("failing", ["simpy", "compiled"])
def test_an_engine_that_fails_differs_and_says_why(failing: str) -> None:
    def fails(static: Static, draws: Draws, engine: str) -> Log:
        if engine == failing:
            raise IndexError("no such place")
        return simpy(static, draws, engine)

    report = verify_engines(scenario(), 7, 10, play=fails)
    assert (report.equal, report.exit_code, report.replication, report.difference) == (False, 3, 0, None)
    assert report.says == (f"tiny, replication 0 of seed 7: {failing} failed: IndexError: no such place",)


def test_an_interrupt_keeps_what_was_compared() -> None:
    calls: list[str] = []

    def interrupted(static: Static, draws: Draws, engine: str) -> Log:
        calls.append(engine)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return simpy(static, draws, engine)

    report = verify_engines(scenario(), 7, 10, play=interrupted)
    assert (report.equal, report.interrupted, report.compared, report.exit_code) == (True, True, 1, 130)
    assert report.says[0].endswith("Interrupted before the other 9.")
    calls[:] = ["simpy"] * 3
    with pytest.raises(KeyboardInterrupt):
        verify_engines(scenario(), 7, 10, play=interrupted)
