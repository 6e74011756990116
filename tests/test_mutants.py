"""Would a fault in the compiled engine be noticed? Faults are put into its text, and the small worlds must tell each from the model.

Which faults is chosen by a seed. A fault that no world can tell apart is named below with the reason why nothing changes; that it
indeed survives is looked at too, so a reason that is wrong is found out.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

import pytest
from interpreted import CHAIN, Interpreter, source
from mutants import Mutant, bare, chosen, mutants
from worlds import crowded, world

from simulator.engines import play
from simulator.events import Log
from simulator.static import Draws, Static
from simulator.verify import describe, first_difference

SEED = 1
SOME, MORE = 0.01, 0.05
"""Shares of all faults that are tried: always, and in the long tests"""
LARGEST = 1_200
"""Rows of the log of a world that is tried: larger ones take longer than they tell"""
WORLDS = 600
PATIENCE = 5
"""Seconds after which a faulty engine is taken to turn for ever: a world takes hundredths"""

NOT_PLAYED = {"machine._world_type", "packing.example"}
"""Functions that only compiling calls"""

FLAG = "it is only asked whether this is zero"
UNREAD = "nobody reads this number of an alarm of this kind"
APART = "neither of the two reads what the other writes"
EQUIVALENT = {
    "machine.chips_give_back: w.taken_chips[f.id, g] = 0 -> pass": "it is set again when the phase lines up again, and not read before",
    "machine.plan_add: 1 -> (2)": FLAG,
    "authority.ask: f.passes += 1 -> pass": "no phase asks again while it is still to be told that it was cleared",
    "authority.file (3): 1 -> (2)": FLAG,
    "kernel.reconsider: idle_cost(mw16, w.idle_shell_usd, wait) -> (idle_cost(w.idle_shell_usd, mw16, wait))": "it multiplies the two",
    (
        "kernel.switch: coming_add(w, w.queues[p.company, vendor], f) mark_phase(w, f, Stage.CHIPS, Mark.SWITCHED, -1, vendor, 0) ->"
        " mark_phase(w, f, Stage.CHIPS, Mark.SWITCHED, -1, vendor, 0) coming_add(w, w.queues[p.company, vendor], f)"
    ): APART,
    "kernel.give_up (3): 0 -> (1)": UNREAD,
    "kernel.give_up (5): 0 -> (1)": "nobody asks after the request of a site that is given up",
    "kernel.months: month + 1 < w.months -> (month + 1 <= w.months)": "an alarm at the horizon never goes off",
    "kernel.deliver (3): 1 -> (2)": "one column further, counted from the end, is the last one of a vendor's generations: always empty",
    "kernel.serve_soon: not q.serving and q.line != NONE -> (q.line != NONE)": (
        "a second look at a line follows the first, or what the first gave back, with nothing in between"
    ),
    (
        "kernel.serve: chips_unlink(w, q, f) follow(w, False, Do.GRANTED, f.id, 0) ->"
        " follow(w, False, Do.GRANTED, f.id, 0) chips_unlink(w, q, f)"
    ): APART,
    "kernel.begin_others_queue (4): 0 -> (1)": "nothing else has this place in an instant's order",
    "kernel.begin (2): 0 -> (1)": "only crews may grow at the same place of that instant, and chips and crews do not meet in it",
    (
        'packing._packed: ( ("needs", static.needs_licence), ("rule", static.rule), ("posture", static.posture), ("lpp", static.lpp_rule),'
        ' ("uveu", static.uveu_rule), ("nveu", static.nveu_rule), ) -> ((("needs", static.needs_licence), ("posture", static.posture),'
        ' ("rule", static.rule), ("lpp", static.lpp_rule), ("uveu", static.uveu_rule), ("nveu", static.nveu_rule)))'
    ): "in which order the columns are filled changes nothing",
    "packing._packed: months - 1 -> (months + 1)": "it changes the day of the horizon alone, and nobody asks for that day's month",
}
"""Faults that change no log, and why"""


@cache
def every() -> tuple[Mutant, ...]:
    """All faults that can be put into the compiled engine."""
    found = [one for module in CHAIN for one in mutants(module, source(module))]
    return tuple(one for one in found if f"{one.module}.{one.function}" not in NOT_PLAYED)


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


def telling(mutant: Mutant) -> int | None:
    """The first world whose log the faulty engine gets wrong, or in which it fails; None if there is none."""
    engine = Interpreter({mutant.module: mutant.apply(source(mutant.module))})
    for number in range(WORLDS):
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


KNOWN = {bare(name) for name in EQUIVALENT}
TRIED = [one for one in chosen(every(), SEED, SOME) if one.key not in KNOWN]


@pytest.mark.parametrize("mutant", TRIED, ids=lambda one: one.name)
def test_a_fault_in_the_compiled_engine_is_noticed(mutant: Mutant) -> None:
    assert telling(mutant) is not None


@pytest.mark.long
@pytest.mark.parametrize("mutant", chosen(every(), SEED, MORE), ids=lambda one: one.name)
def test_of_more_faults_those_are_noticed_that_change_anything(mutant: Mutant) -> None:
    assert (telling(mutant) is None) == (mutant.key in KNOWN)


def test_the_faults_tried_are_many_and_of_all_kinds_and_the_equivalent_ones_are_among_them() -> None:
    more = chosen(every(), SEED, MORE)
    assert len(TRIED) >= 30
    assert {one.kind for one in more} == {one.kind for one in every()}
    assert {one.kind for one in more} >= {
        "comparison",
        "off by one",
        "operation",
        "condition",
        "dropped",
        "order",
        "rank",
        "arguments",
    }
    assert {one.module for one in more} == set(CHAIN)
    # No reason is kept for what is no longer tried.
    assert not [name for name in EQUIVALENT if bare(name) not in {one.key for one in more}]
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
        "sample.first: items[i] < limit and not w.done -> (not (items[i] < limit and (not w.done)))",
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
