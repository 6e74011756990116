"""Scarcity: a company's stock of chips and a country's pot of TPP. Exact integers, each tested alone.

`simpy.Container` is not used: after a cancelled claim it leaves later ones blocked, and a give-up at the instant of a
release can lose units.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field


@dataclass(slots=True)
class Claim:
    """A phase waiting for chips: `load` watts to fill with at most `tpp_room` TPP (None = no limit). Sorted by `rank`."""

    rank: tuple[int, int, int]
    load: int
    tpp_room: int | None
    taken: dict[int, int] = field(default_factory=dict)
    whole: bool = False


class ChipQueue:
    """Chips of one vendor held by one company, waiting at home for phases that are powered, shelled and cleared.

    The head of the line (by ready date, project, hop) accumulates chips until its phase is whole; nobody overtakes.
    Older generations leave first. Invariant, per accelerator: delivered = stock + taken - given back.
    """

    def __init__(self, generations: list[int], watts: list[int], tpp: list[int]):
        """`generations`: accelerator indices, oldest first; `watts` and `tpp` per chip, indexed by accelerator."""
        self.generations, self.watts, self.tpp = generations, watts, tpp
        self.stock = dict.fromkeys(generations, 0)
        self.line: list[tuple[tuple[int, int, int], Claim]] = []

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
