"""Scarcity, each kind alone: nothing is lost or invented, nobody overtakes, no licence, pot or capacity is exceeded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulator.pools import Capacity, ChipQueue, Claim, GridQueue, Pot, ReviewOffice


def queue(watts: list[int], tpp: list[int], stock: list[int]) -> ChipQueue:
    made = ChipQueue(list(range(len(watts))), watts, tpp)
    for accelerator, chips in enumerate(stock):
        made.deliver(accelerator, chips)
    return made


# ------------------------------------------------------------------ by hand


def test_the_head_gathers_chips_until_it_is_whole_and_a_small_one_waits_behind_it() -> None:
    q = queue([10], [1], [6])
    big, small = Claim((1, 0, 0, 0), 100, None), Claim((2, 1, 0, 0), 10, None)
    q.join(small)
    q.join(big)
    assert q.serve() == []
    assert (big.taken, small.taken, q.stock) == ({0: 6}, {}, {0: 0})
    q.deliver(0, 4)
    assert q.serve() == [big]
    assert (big.taken, small.taken, q.stock) == ({0: 10}, {}, {0: 0})
    q.deliver(0, 1)
    assert q.serve() == [small]


def test_who_is_ready_earlier_goes_first_whenever_it_joined_and_ties_go_by_project_hop_and_phase() -> None:
    q = queue([1], [1], [0])
    ranks = [(5, 0, 0, 0), (4, 9, 0, 0), (4, 2, 1, 0), (4, 2, 0, 1), (4, 2, 0, 0), (7, 0, 0, 0)]
    for rank in ranks:
        q.join(Claim(rank, 1, None))
    q.deliver(0, 6)
    assert [claim.rank for claim in q.serve()] == sorted(ranks)


def test_older_chips_leave_first_and_one_phase_may_mix_generations() -> None:
    q = queue([10, 20], [1, 5], [3, 10])
    claim = Claim((0, 0, 0, 0), 100, None)
    q.join(claim)
    assert q.serve() == [claim]
    assert claim.taken == {0: 3, 1: 4}  # 30 W of the old ones, 80 W of the new for the missing 70
    assert q.stock == {0: 0, 1: 6}
    assert claim.load == -10


def test_a_phase_that_leaves_gives_back_what_it_gathered_and_the_next_is_served() -> None:
    q = queue([1], [1], [3])
    first, second = Claim((0, 0, 0, 0), 10, None), Claim((1, 1, 0, 0), 3, None)
    q.join(first)
    q.join(second)
    assert q.serve() == []
    q.leave(first)
    assert q.stock == {0: 3}
    assert q.serve() == [second]


def test_a_licence_too_small_for_the_site_closes_the_claim_and_not_a_chip_more() -> None:
    q = queue([10], [7], [100])
    claim = Claim((0, 0, 0, 0), 1000, 50)
    q.join(claim)
    assert q.serve() == [claim]
    assert claim.taken == {0: 7}
    assert claim.load == 930
    assert claim.tpp_room == 1


def test_what_is_given_back_can_be_gathered_again_in_full() -> None:
    # A shipment stopped by a change of law: the same phase may come back for as many chips, under as large a licence.
    q = queue([10, 10], [7, 7], [2, 3])
    claim = Claim((0, 0, 0, 0), 50, 35)
    for _ in range(3):
        q.join(claim)
        assert q.serve() == [claim]
        assert claim.taken == {0: 2, 1: 3}
        q.give_back(claim)
        assert q.stock == {0: 2, 1: 3}
        assert (claim.load, claim.tpp_room, claim.whole) == (50, 35, False)


def test_an_empty_site_is_whole_at_once() -> None:
    q = queue([10], [7], [0])
    claim = Claim((0, 0, 0, 0), 0, None)
    q.join(claim)
    assert q.serve() == [claim]
    assert claim.taken == {}


# ------------------------------------------------------------------ by rule


class Line(RuleBasedStateMachine):
    """Deliveries, arrivals, departures and returns in any order, against an account kept beside the queue."""

    @initialize(chips=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30)), min_size=1, max_size=3))
    def begin(self, chips: list[tuple[int, int]]) -> None:
        self.watts, self.tpp = [w for w, _ in chips], [t for _, t in chips]
        self.queue = ChipQueue(list(range(len(chips))), self.watts, self.tpp)
        self.delivered = [0] * len(chips)
        self.waiting: list[Claim] = []
        self.held: list[Claim] = []
        self.load: dict[int, int] = {}
        self.licensed: dict[int, int | None] = {}
        self.joined = 0

    @rule(which=st.integers(0, 2), chips=st.integers(0, 40))
    def deliver(self, which: int, chips: int) -> None:
        which %= len(self.watts)
        self.queue.deliver(which, chips)
        self.delivered[which] += chips

    @rule(ready=st.integers(0, 5), load=st.integers(1, 200), room=st.none() | st.integers(0, 300))
    def join(self, ready: int, load: int, room: int | None) -> None:
        claim = Claim((ready, self.joined, 0, 0), load, room)
        self.load[self.joined], self.licensed[self.joined] = load, room
        self.joined += 1
        self.queue.join(claim)
        self.waiting.append(claim)

    @rule()
    def serve(self) -> None:
        before = sorted(self.waiting, key=lambda claim: claim.rank)
        gathered = {claim.rank: dict(claim.taken) for claim in before}
        served = self.queue.serve()
        assert served == before[: len(served)]  # nobody overtakes
        assert all(claim.whole for claim in served)
        rest = before[len(served) :]
        assert not any(claim.whole for claim in rest)
        # Only the head of those who still wait may have gathered anything new.
        assert all(claim.taken == gathered[claim.rank] for claim in rest[1:])
        if rest:
            head = rest[0]
            room = head.tpp_room
            # Incomplete only because nothing that fits is left.
            assert (
                all(not chips or (room is not None and room < self.tpp[a]) for a, chips in self.queue.stock.items()) or room == 0
            )
        for claim in served:
            newest = max((a for a, n in claim.taken.items() if n > gathered[claim.rank].get(a, 0)), default=0)
            # A newer generation was touched only when none of the older was left that the licence had room for.
            for older in range(newest):
                room = claim.tpp_room
                assert self.queue.stock[older] == 0 or (room is not None and room < self.tpp[older])
        self.held += served
        self.waiting = rest

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 50))
    def leave(self, which: int) -> None:
        claim = self.waiting.pop(which % len(self.waiting))
        self.queue.leave(claim)
        assert claim.taken == {}

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 50), again=st.booleans())
    def give_back(self, which: int, again: bool) -> None:
        claim = self.held.pop(which % len(self.held))
        self.queue.give_back(claim)
        assert claim.taken == {}
        if again:
            self.queue.join(claim)
            self.waiting.append(claim)

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        if not hasattr(self, "queue"):
            return
        for a, delivered in enumerate(self.delivered):
            taken = [claim.taken.get(a, 0) for claim in (*self.waiting, *self.held)]
            assert min(taken, default=0) >= 0
            assert self.queue.stock[a] >= 0
            assert delivered == self.queue.stock[a] + sum(taken)

    @invariant()
    def licences_are_never_exceeded_and_sites_never_overfilled_by_a_whole_chip(self) -> None:
        if not hasattr(self, "queue"):
            return
        for claim in (*self.waiting, *self.held):
            licensed, load = self.licensed[claim.rank[1]], self.load[claim.rank[1]]
            tpp = sum(chips * self.tpp[a] for a, chips in claim.taken.items())
            watts = sum(chips * self.watts[a] for a, chips in claim.taken.items())
            assert claim.load == load - watts
            assert claim.load > -max(self.watts)
            if licensed is not None:
                assert claim.tpp_room == licensed - tpp
                assert claim.tpp_room >= 0


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


# ------------------------------------------------------------------ pots


def test_a_pot_takes_exactly_its_limit_and_not_one_more() -> None:
    pot = Pot()
    pot.open(1)
    pot.draw(70, 100)
    pot.draw(30, 100)
    with pytest.raises(ValueError, match="1 TPP drawn from a pot with 0 left"):
        pot.draw(1, 100)
    assert pot.used == 100
    pot.draw(0, 100)


def test_a_lowered_limit_leaves_no_room_and_takes_nothing_back() -> None:
    pot = Pot(1, 80)
    assert pot.headroom(50) == 0
    with pytest.raises(ValueError, match="0 left"):
        pot.draw(1, 50)
    assert pot.used == 80
    assert pot.headroom(100) == 20


def test_a_new_period_is_a_fresh_pot_and_the_same_period_is_not() -> None:
    pot = Pot()
    pot.open(2025)
    pot.draw(10, 10)
    pot.open(2025)
    assert pot.headroom(10) == 0
    pot.open(2026)
    assert pot.headroom(10) == 10


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("open"), st.integers(0, 2)),
            st.tuples(st.just("draw"), st.integers(0, 60)),
            st.tuples(st.just("limit"), st.integers(0, 100)),
        ),
        max_size=40,
    )
)
def test_what_is_granted_in_a_period_never_passes_the_limit_of_its_day(steps: list[tuple[str, int]]) -> None:
    pot, limit, window, granted = Pot(), 100, -1, 0
    for verb, number in steps:
        if verb == "limit":
            limit = number
        elif verb == "open":
            if number != window:
                window, granted = number, 0
            pot.open(number)
        elif granted + number <= limit or number == 0:  # asking for nothing is always met
            pot.draw(number, limit)
            granted += number
        else:
            with pytest.raises(ValueError, match="drawn from a pot"):
                pot.draw(number, limit)
        assert pot.used == granted
        assert pot.headroom(limit) == max(limit - granted, 0)


# ------------------------------------------------------------------ reviewers


def test_an_office_takes_applications_one_by_one_in_order_of_arrival() -> None:
    office = ReviewOffice(1, [10, 20], [50, 5])
    assert office.take(5, 3) == 5  # nobody before it
    assert office.take(20, 7) == 65  # behind both others: 10 to 60 and 60 to 65
    assert office.take(21, 1) == 72


def test_before_the_first_case_of_others_the_office_is_free() -> None:
    assert ReviewOffice(1, [], []).take(-500, 30) == -500
    assert ReviewOffice(2, [-100], [1]).take(-500, 30) == -500


def test_an_office_without_reviewers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reviewer, not 0"):
        ReviewOffice(0, [], [])


def begins_by_the_day(reviewers: int, cases: list[tuple[int, int]]) -> list[int]:
    """When each of (arrival, work) is taken up, found by walking through the days: an office without a shortcut."""
    begins: list[int] = []
    busy: list[int] = []
    for day in range(min((at for at, _ in cases), default=0), 2_000):
        busy = [until for until in busy if until > day]
        while len(begins) < len(cases) and cases[len(begins)][0] <= day and len(busy) < reviewers:
            work = cases[len(begins)][1]
            begins.append(day)
            busy += [day + work] if work else []
        if len(begins) == len(cases):
            return begins
    raise AssertionError("still waiting")


class Office(RuleBasedStateMachine):
    """A company's applications among those of others, against the office that walks through the days."""

    @initialize(
        reviewers=st.integers(1, 3),
        others=st.lists(st.tuples(st.integers(-5, 40), st.integers(0, 20)), max_size=12).map(
            lambda cases: sorted(cases, key=lambda c: c[0])
        ),
    )
    def begin(self, reviewers: int, others: list[tuple[int, int]]) -> None:
        self.reviewers, self.others = reviewers, others
        self.office = ReviewOffice(reviewers, [at for at, _ in others], [work for _, work in others])
        self.now = -10
        self.mine: list[tuple[int, int]] = []
        self.told: list[int] = []

    @rule(later=st.integers(0, 12), work=st.integers(0, 20))
    def file(self, later: int, work: int) -> None:
        self.now += later
        self.mine.append((self.now, work))
        self.told.append(self.office.take(self.now, work))

    @invariant()
    def taken_up_when_the_patient_clerk_says(self) -> None:
        if not hasattr(self, "office") or not self.mine:
            return
        # Others that arrive on the same day come first; those after the last of ours change nothing.
        cases = [(at, 0, i, work) for i, (at, work) in enumerate(self.others) if at <= self.now]
        cases += [(at, 1, i, work) for i, (at, work) in enumerate(self.mine)]
        cases.sort()
        begins = begins_by_the_day(self.reviewers, [(at, work) for at, _, _, work in cases])
        assert [day for day, (_, ours, _, _) in zip(begins, cases, strict=True) if ours] == self.told


TestOffice = Office.TestCase
TestOffice.settings = settings(max_examples=80, stateful_step_count=15, deadline=None)


# ------------------------------------------------------------------ grid connections


def test_connections_are_made_in_order_of_request_one_after_the_other() -> None:
    queue = GridQueue()
    queue.join((5, 1, 0), 100)
    assert queue.begin(0) == 100
    queue.join((3, 2, 0), 50)  # asked earlier, but the first is being connected
    queue.join((4, 0, 0), 20)
    assert queue.begin(0) is None
    assert (queue.wait(40), queue.ahead((4, 0, 0), 40), queue.ahead((3, 2, 0), 40)) == (130, 110, 60)
    assert queue.finish() == (5, 1, 0)
    assert queue.begin(100) == 150
    assert queue.withdraw((4, 0, 0))
    assert not queue.withdraw((4, 0, 0))
    assert not queue.withdraw((3, 2, 0))  # too late
    assert queue.wait(100) == 50
    queue.finish()
    with pytest.raises(RuntimeError, match="nothing is being connected"):
        queue.finish()
    assert queue.wait(500) == 0


class Grid(RuleBasedStateMachine):
    """Requests, withdrawals and connections in any order, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = GridQueue()
        self.now = 0
        self.waiting: dict[tuple[int, int, int], int] = {}
        self.serving: tuple[tuple[int, int, int], int] | None = None
        self.joined = self.connected = self.withdrawn = 0

    @rule(date=st.integers(-20, 20), work=st.integers(0, 30))
    def join(self, date: int, work: int) -> None:
        rank = (date, self.joined, 0)
        self.joined += 1
        self.queue.join(rank, work)
        self.waiting[rank] = work

    @rule(later=st.integers(0, 25))
    def begin(self, later: int) -> None:
        self.now = max(self.now, min(self.now + later, self.serving[1] if self.serving else self.now + later))
        until = self.queue.begin(self.now)
        if self.serving or not self.waiting:
            assert until is None
        else:
            rank = min(self.waiting)
            self.serving = rank, self.now + self.waiting.pop(rank)
            assert until == self.serving[1]

    @precondition(lambda self: self.serving)
    @rule()
    def finish(self) -> None:
        assert self.serving is not None
        rank, self.now = self.serving
        self.serving = None
        assert self.queue.finish() == rank
        self.connected += 1

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 50))
    def withdraw(self, which: int) -> None:
        rank = sorted(self.waiting)[which % len(self.waiting)]
        assert self.queue.withdraw(rank)
        assert not self.queue.withdraw(rank)
        del self.waiting[rank]
        self.withdrawn += 1

    @invariant()
    def requested_is_connected_withdrawn_and_waiting(self) -> None:
        line = [rank for rank, _ in self.queue.line]
        assert line == sorted(self.waiting)
        assert self.joined == self.connected + self.withdrawn + len(line) + (self.serving is not None)

    @invariant()
    def the_work_ahead_is_what_stands_there(self) -> None:
        rest = self.serving[1] - self.now if self.serving else 0
        assert self.queue.wait(self.now) == rest + sum(self.waiting.values())
        for date in (-21, 0, 21):
            ahead = sum(work for rank, work in self.waiting.items() if rank < (date, 0, 0))
            assert self.queue.ahead((date, 0, 0), self.now) == rest + ahead


TestGrid = Grid.TestCase
TestGrid.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


# ------------------------------------------------------------------ crews and on-site units


def test_the_head_of_the_line_waits_for_as_much_as_it_needs_and_nobody_overtakes() -> None:
    crews = Capacity(10)
    for who, units in (("a", 8), ("b", 5), ("c", 2)):
        crews.claim(who, units)
    assert crews.serve() == [("a", 8)]
    crews.release(2)
    assert crews.serve() == []
    assert crews.withdraw("b")
    assert not crews.withdraw("b")
    assert crews.serve() == [("c", 2)]
    crews.release(-3)  # units are taken away: fewer than none are free until some come back
    crews.claim("d", 1)
    assert (crews.free, crews.serve()) == (-1, [])
    crews.release(2)
    assert crews.serve() == [("d", 1)]


class Crews(RuleBasedStateMachine):
    """Units come and go; claims are met whole, first come first served."""

    @initialize(free=st.integers(0, 1))
    def begin(self, free: int) -> None:
        self.crews = Capacity(free)
        self.released = free
        self.line: list[tuple[int, int]] = []
        self.held: dict[int, int] = {}
        self.claims = 0

    @rule(units=st.integers(-5, 20))
    def release(self, units: int) -> None:
        self.crews.release(units)
        self.released += units

    @rule(units=st.integers(0, 12))
    def claim(self, units: int) -> None:
        self.crews.claim(self.claims, units)
        self.line.append((self.claims, units))
        self.claims += 1

    @rule(which=st.integers(0, 50))
    def withdraw(self, which: int) -> None:
        waits = any(who == which for who, _ in self.line)
        assert self.crews.withdraw(which) == waits
        self.line = [entry for entry in self.line if entry[0] != which]

    @rule()
    def serve(self) -> None:
        granted = self.crews.serve()
        assert granted == self.line[: len(granted)]
        self.line = self.line[len(granted) :]
        self.held.update(granted)  # type: ignore[arg-type]
        assert not self.line or self.line[0][1] > self.crews.free

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 50))
    def come_back(self, which: int) -> None:
        who = sorted(self.held)[which % len(self.held)]
        self.crews.release(self.held.pop(who))

    @invariant()
    def released_is_free_and_granted(self) -> None:
        if hasattr(self, "crews"):
            assert self.released == self.crews.free + sum(self.held.values())
            assert self.crews.line == self.line


TestCrews = Crews.TestCase
TestCrews.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
