"""Do two engines tell the same story? The first row at which their event logs part, in words, with what each says before and after.

    report = verify_engines(compiled, seed=1, replications=20)
    print("\\n".join(report.says))

Engines are equal when their logs are: every column of every row, order included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.events import COLUMNS, Log, Mark, Stage
from simulator.units import TICKS_PER_DAY, day_of

if TYPE_CHECKING:
    from simulator.compile import Compiled
    from simulator.engines import Engine
    from simulator.static import Draws, Static

BOTH: tuple[Engine, Engine] = ("simpy", "compiled")
"""The reference first."""
CONTEXT = 6
"""Rows shown before the difference, and of each engine after it."""
BY_ACCELERATOR = {Mark.CHIPS_TAKEN, Mark.CHIPS_GIVEN_BACK, Mark.DELIVERED, Mark.DECLINED, Mark.COMMITTED, Mark.MISSED}
BY_MARKET = {
    Stage.PROJECT, Stage.SITE_SELECTION, Stage.INTERCONNECTION, Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT,
    Stage.INSTALLATION, Stage.COMMISSIONING, Stage.CREWS, Stage.BRIDGING,
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Where two logs part."""

    row: int
    """The first row that is not in both"""
    columns: tuple[str, ...]
    """What differs in it; empty where one of the logs has ended"""
    lengths: tuple[int, int]
    """Rows of either log"""


def first_difference(a: Log, b: Log) -> Difference | None:
    """The first row at which two logs part, or None if they are equal in every column of every row."""
    both, lengths = min(len(a), len(b)), (len(a), len(b))
    unequal = np.zeros(both, dtype=bool)
    for name in COLUMNS:
        unequal |= a[name][:both] != b[name][:both]
    if unequal.any():
        row = int(unequal.argmax())
        return Difference(row, tuple(name for name in COLUMNS if a[name][row] != b[name][row]), lengths)
    return Difference(both, (), lengths) if len(a) != len(b) else None


def same_in_another_order(a: Log, b: Log, row: int) -> bool:
    """Whether both logs hold the same rows in the instant of a row and only their order differs."""
    if row >= min(len(a), len(b)) or a["tick"][row] != b["tick"][row]:
        return False
    here = []
    for log in (a, b):
        instant = log[log["tick"] == log["tick"][row]]
        here.append(sorted(tuple(e) for e in instant[[name for name in COLUMNS if name != "order"]].tolist()))
    return here[0] == here[1]


# ------------------------------------------------------------------ in words


class Names:
    """Puts names to the numbers of a log."""

    def __init__(self, static: Static, draws: Draws):
        self.static, self.draws = static, draws

    def row(self, e: Any) -> str:
        """One event on one line: its place, when, who, what, by which provision, where, how much."""
        stage, mark = _member(Stage, int(e["stage"])), _member(Mark, int(e["mark"]))
        return (
            f"{e['order']:>7}  {self.when(int(e['tick'])):<22}  {self.who(e):<28}  {stage:<22}  {mark:<16}"
            f"  {self.provision(int(e['rule'])):<28}  {self.pool(e):<22}  {e['quantity']}"
        )

    def when(self, tick: int) -> str:
        """`2025-03-01`, and the part of the day that has passed, in ticks, where it is not its beginning."""
        rest = tick % TICKS_PER_DAY
        return day_of(tick, self.static.start).isoformat() + (f" +{rest}" if rest else "")

    def who(self, e: Any) -> str:
        """A phase of a project (of its successor, `name/2`), a company, or the world."""
        root, names, companies = int(e["root"]), self.draws.names, self.static.companies
        if 0 <= root < len(names):
            site = names[root] + (f"/{e['hop'] + 1}" if e["hop"] else "")
            return f"{site} phase {e['phase']}"
        if root == -1 - len(companies):
            return "the world"
        filing = f" no. {e['phase']}" if e["phase"] else ""
        return f"{companies[-1 - root]}{filing}" if -len(companies) <= root < 0 else f"root {root}"

    def provision(self, rule: int) -> str:
        """The provision that decided."""
        return "-" if rule < 0 else _named(self.static.provisions, rule)

    def pool(self, e: Any) -> str:
        """The market, country, vendor or chip, as the stage and the mark say."""
        stage, mark, pool, static = int(e["stage"]), int(e["mark"]), int(e["pool"]), self.static
        if pool < 0 or stage == Stage.LAW:
            return "-"
        if mark in BY_ACCELERATOR or (stage == Stage.CLASSIFICATION and mark != Mark.WAITS):
            return _named(static.accelerators, pool)
        if stage == Stage.CHIPS:
            return _named(static.vendors, pool)
        by_market = stage in BY_MARKET or (stage == Stage.SHIPPING and mark not in (Mark.SHIPPED, Mark.FRONT_LOADED))
        return _named(static.markets if by_market else static.countries, pool)


def _named(names: tuple[str, ...], index: int) -> str:
    return f"{names[index]} ({index})" if index < len(names) else f"no name ({index})"


def _member(kind: type[Stage] | type[Mark], number: int) -> str:
    return kind(number).name if number in kind.__members__.values() else f"{kind.__name__.lower()} {number}"


def describe(
    difference: Difference,
    a: Log,
    b: Log,
    static: Static,
    draws: Draws,
    *,
    engines: tuple[Engine, Engine] = BOTH,
    context: int = CONTEXT,
) -> list[str]:
    """A difference in lines: what both logs say before it, what each says from there on, and what befell the same entity before."""
    names, row = Names(static, draws), difference.row
    first, second = engines
    if not difference.columns:
        ended, more = (first, second) if len(a) < len(b) else (second, first)
        said = [f"The logs are equal up to row {row}; there {ended} ends, and {more} goes on to row {max(difference.lengths)}."]
    else:
        apart = ", ".join(difference.columns)
        said = [f"The logs part at row {row} of {len(a)} ({first}) and {len(b)} ({second}): they differ in {apart}."]
        if same_in_another_order(a, b, row):
            said.append("Both have the same rows in this instant, in another order.")
    said.append(f"Before it, in both ({min(row, context)} of {row} rows):")
    said += [names.row(e) for e in a[max(row - context, 0) : row]]
    for engine, log in ((first, a), (second, b)):
        rest = log[row : row + context]
        said.append(f"Then {engine}:" if len(rest) else f"Then {engine}: nothing")
        said += [names.row(e) for e in rest]
    seen = set()
    for engine, log in ((first, a), (second, b)):
        if row >= len(log) or (entity := (int(log["root"][row]), int(log["hop"][row]))) in seen:
            continue
        seen.add(entity)
        mine = a[:row][(a["root"][:row] == entity[0]) & (a["hop"][:row] == entity[1])][-context:]
        if len(mine) and int(mine["order"][0]) < row - context:  # else it is shown above
            said.append(f"Last of what concerns the entity with which {engine} goes on:")
            said += [names.row(e) for e in mine]
    return said


# ------------------------------------------------------------------ engines compared


Play = Callable[["Static", "Draws", "Engine"], Log]
FAILURES = (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError, AssertionError, MemoryError)


@dataclass(frozen=True)
class Report:
    """What a comparison of engines found on one scenario."""

    scenario: str
    engines: tuple[Engine, Engine]
    seed: int
    asked: int
    compared: int
    """Replications with equal logs"""
    rows: int
    """Rows of those logs"""
    replication: int | None
    """The first replication that differs or cannot be played; None if all are equal"""
    difference: Difference | None
    failed: str
    """Which engine could not play that replication, and why; empty if both did"""
    interrupted: bool
    says: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every replication compared is the same event by event."""
        return self.replication is None

    @property
    def exit_code(self) -> int:
        """0 equal, 3 different, 130 equal as far as it got before an interrupt."""
        return 3 if not self.equal else 130 if self.interrupted else 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers and words."""
        found = self.difference
        return {
            "scenario": self.scenario, "engines": list(self.engines), "seed": self.seed, "replications_asked": self.asked,
            "replications_equal": self.compared, "rows_equal": self.rows, "equal": self.equal, "interrupted": self.interrupted,
            "replication": self.replication, "row": None if found is None else found.row,
            "columns": [] if found is None else list(found.columns), "failed": self.failed, "says": list(self.says),
        }  # fmt: skip


def verify_engines(
    compiled: Compiled,
    seed: int = 1,
    replications: int = 20,
    progress: Callable[[int, int], None] | None = None,
    *,
    engines: tuple[Engine, Engine] = BOTH,
    play: Play | None = None,
) -> Report:
    """Play replications 0..N-1 on both engines and compare their logs; stops at the first that differs.

    Ctrl-C keeps what was compared. `play` stands in for `engines.play` in tests.
    """
    if play is None:
        from simulator.engines import play as play_on

        play = play_on
    static, name, compared, rows = compiled.static, compiled.scenario.name, 0, 0
    again = f"groundbreak run {name} --seed {seed} --replication"

    def report(says: list[str], *, found: Difference | None = None, failed: str = "", interrupted: bool = False) -> Report:
        at = compared if found is not None or failed else None
        return Report(name, engines, seed, replications, compared, rows, at, found, failed, interrupted, tuple(says))

    def so_far() -> str:
        return f"{name}: {engines[0]} and {engines[1]} are equal over {compared} replications of seed {seed}, {rows:,} events."

    try:
        for replication in range(replications):
            draws, logs = compiled.draw(seed, replication), list[Log]()
            for engine in engines:
                try:
                    logs.append(play(static, draws, engine))
                except FAILURES as error:
                    failed = f"{engine} failed: {type(error).__name__}: {error}"
                    return report([f"{name}, replication {replication} of seed {seed}: {failed}"], failed=failed)
            one, other = logs
            if (found := first_difference(one, other)) is not None:
                said = [f"{name}, replication {replication} of seed {seed} (see it again: {again} {replication})"]
                return report([*said, *describe(found, one, other, static, draws, engines=engines)], found=found)
            compared, rows = compared + 1, rows + len(one)
            if progress is not None:
                progress(compared, replications)
    except KeyboardInterrupt:
        if not compared:
            raise
        return report([so_far() + f" Interrupted before the other {replications - compared}."], interrupted=True)
    return report([so_far()])
