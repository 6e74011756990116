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
WORLDS = (*range(600), 1_177)
"""The last one is large, but tells what no other does"""
PATIENCE = 5
"""Seconds after which a faulty engine is taken to turn for ever: a world takes hundredths"""

NOT_PLAYED = {"packing.example"}
"""Functions that only compiling calls"""

FLAG = "it is only asked whether this is zero"
NEGATIVE = "it is only asked whether a provision or vendor is negative"
APART = "neither of the two reads what the other writes"
EQUIVALENT = {
    "machine.alarm: place << 20 | w.sequence -> (place << 20 ^ w.sequence)": "no bit is set in both",
    "machine.next_alarm (3): 1 -> (2)": "how many alarms went off is not in the log",
    "machine.chips_fill: w.stock[company, item] and f.tpp_room < w.tpp[item] -> (w.stock[company, item])": (
        "chips of a kind are left in stock only where the phase is full or the licence has no room for one more of them, and it has"
        " not more room later"
    ),
    "machine.cleared_add: 1 -> (2)": FLAG,
    "machine.waits_before: f.index < g.index -> (f.index <= g.index)": "no phase is compared with itself",
    "authority.nationally_authorising: 1 -> (2)": NEGATIVE,
    "authority.generation: tick >= w.horizon -> (tick > w.horizon)": "the day of the horizon has the last month too",
    (
        "authority.ask: mark_phase(w, f, Stage.CLEARANCE, Mark.START, -1, a.country, 0) waiting_add(w, a, f) ->"
        " waiting_add(w, a, f) mark_phase(w, f, Stage.CLEARANCE, Mark.START, -1, a.country, 0)"
    ): APART,
    "authority.forget: plan_pop(w, a, f) waiting_pop(w, a, f) -> waiting_pop(w, a, f) plan_pop(w, a, f)": APART,
    "authority.take_back: f.licensed_tpp, f.licence_until = 0, NOT_YET -> pass": (
        "who calls it sets the licence's end, gives the phase up or has it shipped, and then the quantity is not read"
    ),
    "authority.consider (2): 0 -> (1)": "no quantity of chips is a single TPP",
    "authority.consider: passed >= 0 and w.pledging[passed] -> (w.pledging[passed])": (
        "the table has an entry more than there are provisions, which -1 finds and which is 0"
    ),
    "authority.consider: waiting_pop(w, a, f) clear(w, f, passed) -> clear(w, f, passed) waiting_pop(w, a, f)": APART,
    (
        "kernel.new_phases: f.ready, f.asked, f.licence_until, f.secure_from, f.tpp_room ->"
        " ((f.asked, f.ready, f.licence_until, f.secure_from, f.tpp_room))"
    ): "both get the same value",
    "kernel.new_phases (5): 1 -> (2)": "it is set again when the phase asks, before anyone reads it",
    "kernel.send_crews: 1 -> (2)": FLAG,
    "kernel.choose_market: 2 -> (3)": "a score is either far above or at a whole multiple of what bars a market",
    "kernel.reconsider: refused and not p.broken_ground and not p.halted -> (refused and (not p.halted))": (
        "once ground is broken nobody asks whether the shell is halted"
    ),
    "kernel.other_chips: 1 -> (2)": NEGATIVE,
    "kernel.give_up: 1 -> (2)": FLAG,
    "kernel.give_up (5): 0 -> (1)": "nobody asks after the request of a site that is given up",
    "kernel.deliver (2): 1 -> (2)": "the last column of a vendor's generations is always empty",
    "kernel.deliver (3): 1 -> (2)": "one column further, counted from the end, is the last one, which is always empty",
    (
        "kernel.deliver: receive(w, k, item, chips) record_chips(w, k, Mark.DELIVERED, item, chips) ->"
        " record_chips(w, k, Mark.DELIVERED, item, chips) receive(w, k, item, chips)"
    ): APART,
    "kernel.commit (3): 0 -> (1)": "a watt is less than any chip takes",
    "kernel.ship_ahead: w.now < tick and tick <= last -> (w.now < tick)": "each phase is asked for the same dates again",
    "kernel.begin_others_queue (3): 0 -> (1)": "nothing else has this place in an instant's order",
    "kernel.happened: p.build_at == At.REFUSED and p.build_halt == b -> (p.build_halt == b)": (
        "a halt ends once, and a site that is given up has no phase left that could be cleared and end it"
    ),
    "packing.given (2): 1 -> (2)": FLAG,
    "packing.given: roots, companies, countries -> ((roots, countries, companies))": "only their product is used",
    "packing._packed: ('tick', 'company', 'country', 'tpp', 'rule') -> (('company', 'tick', 'country', 'tpp', 'rule'))": (
        "in which order the tables are made changes nothing"
    ),
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
    return (static, draws, log) if len(log) <= LARGEST or number == WORLDS[-1] else None


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
    for number in WORLDS:
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
