"""Would a fault in the compiled engine be noticed? Faults are put into its text, and the small worlds must tell each from the model.

Which faults is chosen by a seed. A fault that no world can tell apart is named below with the reason why nothing changes; that it
indeed survives is looked at too, so a reason that is wrong is found out.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

import pytest
from interpreted import CHAIN, Interpreter, source
from mutants import Mutant, chosen, mutants
from worlds import crowded, world

from simulator.engines import play
from simulator.events import Log
from simulator.static import Draws, Static
from simulator.verify import describe, first_difference

SEED = 1
SOME, MORE = 0.01, 0.05
"""Shares of all faults that are tried: always, and in the long tests"""
WORLDS = 600
LARGEST = 1_200
"""Rows of the log of a world that is tried: larger ones take longer than they tell"""
PATIENCE = 5
"""Seconds after which a faulty engine is taken to turn for ever: a world takes hundredths"""

EQUIVALENT: dict[str, str] = {}
"""Faults that change no log, and why"""


@cache
def every() -> tuple[Mutant, ...]:
    """All faults that can be put into the compiled engine."""
    return tuple(one for module in CHAIN for one in mutants(module, source(module)))


@cache
def played(number: int) -> tuple[Static, Draws, Log] | None:
    """A world and its log by the model; None if it is too large."""
    static, draws = world(number)
    log = play(static, draws, "simpy")
    return (static, draws, log) if len(log) <= LARGEST else None


class Endless(BaseException):
    """Raised in a run that does not end."""


@contextmanager
def ending(seconds: float) -> Iterator[None]:
    """Raise Endless if it takes longer, where the system can interrupt."""

    def stop(signum: int, frame: object) -> None:
        raise Endless

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def telling(mutant: Mutant, worlds: int = WORLDS) -> int | None:
    """The first world whose log the faulty engine gets wrong, or in which it fails; None if there is none."""
    engine = Interpreter({mutant.module: mutant.apply(source(mutant.module))})
    for number in range(worlds):
        if (found := played(number)) is None:
            continue
        static, draws, log = found
        try:
            with ending(PATIENCE):
                other = engine.play(static, draws)
        except (Exception, Endless):
            return number
        if other.tobytes() != log.tobytes():
            return number
    return None


@pytest.mark.parametrize("mutant", chosen(every(), SEED, SOME), ids=lambda one: one.name)
def test_a_fault_in_the_compiled_engine_is_noticed(mutant: Mutant) -> None:
    assert (telling(mutant) is not None) == (mutant.name not in EQUIVALENT)


@pytest.mark.long
@pytest.mark.parametrize("mutant", chosen(every(), SEED, MORE), ids=lambda one: one.name)
def test_more_faults_in_the_compiled_engine_are_noticed(mutant: Mutant) -> None:
    assert (telling(mutant) is not None) == (mutant.name not in EQUIVALENT)


def test_the_faults_tried_are_many_and_of_all_kinds_and_the_equivalent_ones_are_among_them() -> None:
    some, more = chosen(every(), SEED, SOME), chosen(every(), SEED, MORE)
    assert len([one for one in some if one.name not in EQUIVALENT]) >= 30
    kinds = Counter(one.kind for one in more)
    assert kinds.keys() == {one.kind for one in every()}
    assert kinds.keys() >= {
        "comparison",
        "off by one",
        "operation",
        "condition",
        "dropped",
        "swapped",
        "order",
        "rank",
        "arguments",
    }
    assert {one.module for one in more} == set(CHAIN)
    assert EQUIVALENT.keys() <= {one.name for one in more}, "no reason is given for what is not tried"
    assert len(EQUIVALENT) < len(more) / 5


# ------------------------------------------------------------------ the interpreter, without a fault


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_the_compiled_engine_reads_nothing_unwritten_and_its_numbers_fit(first: int) -> None:
    same(Interpreter(), range(first, first + 50))


@pytest.mark.long
@pytest.mark.parametrize("first", range(200, 4_200, 500))
def test_the_compiled_engine_reads_nothing_unwritten_in_many_worlds(first: int) -> None:
    same(Interpreter(), range(first, first + 500))


def same(engine: Interpreter, numbers: range) -> None:
    for number in numbers:
        static, draws = world(number)
        compared(engine, static, draws, f"world {number}")


def compared(engine: Interpreter, static: Static, draws: Draws, name: str) -> Log:
    reference, log = play(static, draws, "simpy"), engine.play(static, draws)
    if (found := first_difference(reference, log)) is not None:
        pytest.fail("\n".join([name, *describe(found, reference, log, static, draws)]), pytrace=False)
    return reference


@pytest.mark.long
def test_whatever_grows_has_grown_in_the_crowded_world() -> None:
    engine = Interpreter(tiny=False)
    compared(engine, *crowded(), "the crowded world")
    assert engine.arrays.grown == engine.growing


# ------------------------------------------------------------------ the faults themselves

SAMPLE = '''
def first(w, items, limit):
    """Docstrings and annotations have no faults: 1 < 2."""
    total: int = 0
    for i in range(1, limit):
        if items[i] < limit and not w.done:
            total += items[i] - 1
        elif total >= 5:
            break
    assert total < 7
    w.alarm(limit, Order.RULING, total)
    w.note(total)
    w.total = total
    return max(total, 3), limit, total


class Thing:
    def second(self):
        self.note(1)
        self.note(1)
'''


def names(kind: str) -> set[str]:
    return {one.name for one in mutants("sample", SAMPLE) if one.kind == kind}


def test_faults_of_each_kind_are_made() -> None:
    assert names("comparison") == {
        "sample.first: items[i] < limit -> (items[i] <= limit)",
        "sample.first: total >= 5 -> (total > 5)",
    }
    assert names("order") == {"sample.first: Order.RULING -> (Order.GRANT)"}
    assert names("arguments") == {
        "sample.first: w.alarm(limit, Order.RULING, total) -> (w.alarm(Order.RULING, limit, total))",
        "sample.first: w.alarm(limit, Order.RULING, total) -> (w.alarm(limit, total, Order.RULING))",
    }
    assert names("swapped") == {
        "sample.first: w.alarm(limit, Order.RULING, total) w.note(total) -> w.note(total) w.alarm(limit, Order.RULING, total)"
    }
    assert "sample.first: max(total, 3), limit, total -> ((limit, max(total, 3), total))" in names("rank")
    assert {"sample.first: items[i] - 1 -> (items[i] + 1)", "sample.first: max(total, 3) -> (min(total, 3))"} <= names(
        "operation"
    )
    assert {
        "sample.first: items[i] < limit and not w.done -> (items[i] < limit or not w.done)",
        "sample.first: items[i] < limit and not w.done -> (not w.done)",
        "sample.first: items[i] < limit and not w.done -> (items[i] < limit)",
        "sample.first: items[i] < limit and not w.done -> (not (items[i] < limit and not w.done))",
        "sample.first: not w.done -> (w.done)",
    } <= names("condition")
    assert {
        "sample.first: break -> pass",
        "sample.first: w.note(total) -> pass",
        "sample.first: w.total = total -> pass",
    } <= names("dropped")
    # The same fault at another place in a function has a number.
    assert {"sample.second: 1 -> (2)", "sample.second (2): 1 -> (2)"} <= names("off by one")


def test_every_fault_is_a_change_of_the_text_that_still_compiles() -> None:
    found = mutants("sample", SAMPLE)
    texts = {one.apply(SAMPLE) for one in found}
    assert len(texts) == len(found) > 25
    assert SAMPLE not in texts
    assert len({one.name for one in found}) == len(found)
    for text in texts:
        compile(text, "sample", "exec")
    assert not [one for one in found if "assert" in one.before or "Docstrings" in one.before]


def test_a_seed_chooses_the_same_faults_again_whatever_else_changes() -> None:
    found = mutants("sample", SAMPLE)
    some = chosen(found, 3, 0.4)
    assert 0 < len(some) < len(found)
    assert some == chosen(found, 3, 0.4) != chosen(found, 4, 0.4)
    # Lines added before, and a fault more in another function, move nothing.
    changed = "import os\n\n" + SAMPLE.replace("class Thing", "def more(w):\n    w.other(1, 2, 3)\n\n\nclass Thing")
    again = {one.name for one in chosen(mutants("sample", changed), 3, 0.4)}
    assert {one.name for one in some} == {name for name in again if ".more" not in name}
    # A larger share has the smaller one in it.
    for one, other in pairwise(chosen(found, 3, share) for share in (0.1, 0.4, 0.8)):
        assert set(one) <= set(other)
