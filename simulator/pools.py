"""Scarcity: chips in stock, a country's pot of TPP, reviewers, grid connections, crews and on-site units.

Exact integers, no clock of their own, each tested alone: the engine tells them what happens and when.

`simpy.Container` is not used: after a cancelled claim it leaves later ones blocked, and a give-up at the instant of a
release can lose units.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from heapq import heapreplace

from simulator.units import LARGEST


@dataclass(slots=True)
class Claim:
    """A phase waiting for chips: `load` watts to fill with at most `tpp_room` TPP (None = no limit). Sorted by `rank`."""

    rank: tuple[int, int, int, int]
    load: int
    tpp_room: int | None
    taken: dict[int, int] = field(default_factory=dict)
    whole: bool = False


class ChipQueue:
    """Chips of one vendor held by one company, waiting at home for phases that are powered, shelled and cleared.

    The head of the line (by ready date, project, hop, phase) accumulates chips until its phase is whole; nobody overtakes.
    Older generations leave first. Invariant, per accelerator: delivered = stock + taken - given back.
    """

    def __init__(self, generations: list[int], watts: list[int], tpp: list[int]):
        """`generations`: accelerator indices, oldest first; `watts` and `tpp` per chip, indexed by accelerator."""
        self.generations, self.watts, self.tpp = generations, watts, tpp
        self.stock = dict.fromkeys(generations, 0)
        self.line: list[tuple[tuple[int, int, int, int], Claim]] = []

    def deliver(self, accelerator: int, chips: int) -> None:
        """Chips arrive in stock."""
        self.stock[accelerator] += chips

    def held_watts(self) -> int:
        """Watts of the chips in stock and of those gathered by phases still in line."""
        gathered = [claim.taken for _, claim in self.line]
        return sum(chips * self.watts[a] for held in (self.stock, *gathered) for a, chips in held.items())

    def join(self, claim: Claim) -> None:
        """A phase joins the line at its place."""
        insort(self.line, (claim.rank, claim), key=lambda entry: entry[0])

    def leave(self, claim: Claim) -> None:
        """A waiting phase leaves the line; what it had accumulated goes back to stock."""
        self.line = [entry for entry in self.line if entry[1] is not claim]
        self.give_back(claim)

    def give_back(self, claim: Claim) -> None:
        """Return all chips of a claim to stock; the claim is then as empty as on the day it was made."""
        for accelerator, chips in claim.taken.items():
            self.stock[accelerator] += chips
            claim.load += chips * self.watts[accelerator]
            if claim.tpp_room is not None:
                claim.tpp_room += chips * self.tpp[accelerator]
        claim.taken.clear()
        claim.whole = False

    def serve(self) -> list[Claim]:
        """Fill claims from the head of the line; returns those that became whole, in order, taken out of the line."""
        served = []
        while self.line:
            claim = self.line[0][1]
            self._fill(claim)
            if not claim.whole:
                break
            self.line.pop(0)
            served.append(claim)
        return served

    def _fill(self, claim: Claim) -> None:
        for accelerator in self.generations:
            watts, tpp = self.watts[accelerator], self.tpp[accelerator]
            chips = min(self.stock[accelerator], -(-claim.load // watts))
            if claim.tpp_room is not None:
                fitting = claim.tpp_room // tpp
                if fitting < chips:
                    chips = fitting
                claim.tpp_room -= chips * tpp
            if chips:
                self.stock[accelerator] -= chips
                claim.taken[accelerator] = claim.taken.get(accelerator, 0) + chips
                claim.load -= chips * watts
            if claim.load <= 0:
                break
        # Also whole when the licence leaves no room for one more chip of any generation in stock.
        short = claim.tpp_room is not None and any(self.stock[a] and claim.tpp_room < self.tpp[a] for a in self.generations)
        claim.whole = claim.load <= 0 or short


@dataclass(slots=True)
class Pot:
    """A country's allocation of TPP for a period: consumed at grant, first come first served. Never below zero."""

    window: int = -1
    used: int = 0

    def open(self, window: int) -> None:
        """A new period is a fresh pot."""
        if window != self.window:
            self.window, self.used = window, 0

    def headroom(self, limit: int) -> int:
        """TPP still to be granted under the limit in force today (the limit may have been lowered below what is used)."""
        return max(limit - self.used, 0)

    def draw(self, quantity: int, limit: int) -> None:
        """Grant a quantity. Raises ValueError beyond the limit."""
        if quantity > self.headroom(limit):
            raise ValueError(f"{quantity} TPP drawn from a pot with {self.headroom(limit)} left")
        self.used += quantity


class ReviewOffice:
    """Reviewers who take applications one by one, first come first served: with exponential work an M/M/c queue.

    First come first served means that nobody who comes later can change when an application is taken up. So the day is known
    when it arrives, and the applications of others need no events of their own.
    """

    def __init__(self, reviewers: int, arrivals: Sequence[int], work: Sequence[int]):
        """`arrivals` (ascending ticks) and `work` (ticks) of the applications of others."""
        if reviewers < 1:
            raise ValueError(f"an office needs at least one reviewer, not {reviewers}")
        self.arrivals, self.work = arrivals, work
        self.next = 0
        self.free = [-LARGEST] * reviewers  # a heap: from when each reviewer is free

    def take(self, tick: int, work: int) -> int:
        """An application arrives; returns the tick at which a reviewer takes it up. Calls must not go back in time.

        Applications of others that arrive up to the same tick come first.
        """
        free = self.free
        while self.next < len(self.arrivals) and self.arrivals[self.next] <= tick:
            heapreplace(free, max(free[0], self.arrivals[self.next]) + self.work[self.next])
            self.next += 1
        begins = max(free[0], tick)
        heapreplace(free, begins + work)
        return begins


class GridQueue:
    """A market's grid connections: one after the other in order of request, at the pace at which capacity is built.

    Entries are (requested, root, hop) with the ticks of work each needs; the one being connected is not overtaken. A request
    that is withdrawn before its turn lets the others move up. Invariant: requested = connected + withdrawn + waiting.
    """

    def __init__(self) -> None:
        self.line: list[tuple[tuple[int, int, int], int]] = []
        self.serving: tuple[int, int, int] | None = None
        self.until = 0
        self.waiting = 0
        """Ticks of work in line, without the one being connected"""

    def join(self, rank: tuple[int, int, int], work: int) -> None:
        """A request takes its place by date."""
        insort(self.line, (rank, work))
        self.waiting += work

    def withdraw(self, rank: tuple[int, int, int]) -> bool:
        """Take back a request that still waits; False if it is being connected or is not there."""
        i = bisect_left(self.line, (rank,))
        if i == len(self.line) or self.line[i][0] != rank:
            return False
        self.waiting -= self.line.pop(i)[1]
        return True

    def begin(self, now: int) -> int | None:
        """Take up the next request if the queue is free: the tick at which it is connected, or None."""
        if self.serving is not None or not self.line:
            return None
        self.serving, work = self.line.pop(0)
        self.waiting -= work
        self.until = now + work
        return self.until

    def finish(self) -> tuple[int, int, int]:
        """The request being connected is done; returns its place. Raises RuntimeError if there is none."""
        if self.serving is None:
            raise RuntimeError("nothing is being connected")
        done, self.serving = self.serving, None
        return done

    def wait(self, now: int) -> int:
        """Ticks until a request made today would be taken up."""
        return self.waiting + (max(self.until - now, 0) if self.serving is not None else 0)

    def ahead(self, rank: tuple[int, int, int], now: int) -> int:
        """Ticks of work ahead of a place in line."""
        behind = sum(work for _, work in self.line[bisect_left(self.line, (rank,)) :])  # most ask near the end of the line
        return self.wait(now) - behind


class Capacity:
    """Units released over time and claimed whole, first come first served: crews, on-site generation.

    The head of the line waits until its claim fits; nobody overtakes. Invariant: released = free + granted.
    """

    def __init__(self, free: int = 0):
        self.free = free
        self.line: list[tuple[Hashable, int]] = []
        self.waiting = 0
        """Units claimed by those in line"""

    def release(self, units: int) -> None:
        """Units come, or come back. Negative: units are taken away (free may then be negative until others come back)."""
        self.free += units

    def claim(self, who: Hashable, units: int) -> None:
        """Join the line."""
        self.line.append((who, units))
        self.waiting += units

    def withdraw(self, who: Hashable) -> bool:
        """Leave the line; False if not in it."""
        gone = [entry for entry in self.line if entry[0] == who]
        if gone:
            self.line = [entry for entry in self.line if entry[0] != who]
            self.waiting -= sum(units for _, units in gone)
        return bool(gone)

    def serve(self) -> list[tuple[Hashable, int]]:
        """Grant claims from the head of the line; returns who got how much, in order."""
        granted = []
        while self.line and self.line[0][1] <= self.free:
            who, units = self.line.pop(0)
            self.free -= units
            self.waiting -= units
            granted.append((who, units))
        return granted
