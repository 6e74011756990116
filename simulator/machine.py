"""The compiled engine's memory and clock: records, the agenda of alarms, what follows at once, the log, and the pools.

Everything here is plain arrays of integers. The nouns are those of `project.py` and `regulator.py`, the pools those of `pools.py`,
the order of an instant that of `events.Order` and of SimPy's queue: first alarms by rank, and after each of them what it set off,
beginnings and interruptions before events, each in the order it came. Lists are linked through the records.
"""

from __future__ import annotations

from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np

from simulator.events import LOG
from simulator.jit import inner, plain
from simulator.project import NOT_YET
from simulator.units import MW_SIXTEENTHS, TICK_BITS

WATTS_PER_SIXTEENTH = 1_000_000 // MW_SIXTEENTHS
NONE = -1
"""No project, phase, account, licence or node"""
NO_RULE = -2
"""In place of None where a provision (which may be -1) is returned"""
NO_ROOM_LIMIT = -1
"""A claim that no licence bounds"""


class Do(IntEnum):
    """What an alarm or an event sets off; with each, what `a` and `b` are."""

    # the calendar, in the order in which the model starts it
    LAW_CHANGES = 0  # a: segment
    MONTHS = 1  # a: month, -1 what was under way at the start
    OTHERS_QUEUE = 2  # a: quarter
    CREWS_GROW = 3  # a: year
    OTHER_IMPORTERS = 4  # a: quarter
    AUTHORISATIONS = 5  # a: place in the list
    FRAMEWORKS = 6  # a: place in the list
    REAL_GRANTS = 7  # a: place in the list
    # of a project (a) or of a phase (a)
    PLAN = 8
    DEVELOP = 9
    CONNECT = 10
    BUILD = 11
    FILL = 12
    GRID_COMES = 13
    POWER_IS_LATE = 14
    BRIDGE_COMES = 15
    ASK_FIRST = 16
    PATIENCE_ENDS = 17
    # of pools
    CONNECTED = 18  # a: market
    SERVE = 19  # a: company, b: vendor
    SEND_AHEAD = 20
    # of an account (a)
    CONSIDERED = 21
    CONSIDER = 22
    LAPSE = 23
    DECIDE = 24
    NATIONAL_DECIDED = 25  # b: granted
    CLASSIFIED = 26  # a: company, b: accelerator
    # what follows at once: b: which of the events of that kind
    INTERRUPT_CONNECT = 27
    INTERRUPT_BUILD = 28
    INTERRUPT_FILL = 29
    GO = 30
    PASSED = 31
    SITE = 32
    GRANTED = 33
    FIRST_POWER = 34
    HALT_ENDS = 35
    HIRED = 36


def _ints(*names: str, narrow: tuple[str, ...] = ()) -> np.dtype[Any]:
    """A record of integers, the wide ones first; `narrow` ones are places and flags."""
    return np.dtype((np.record, [*((name, "i8") for name in names), *((name, "i8") for name in narrow)]))


PROJECT = _ints(
    "planned", "mw16", "left", "site_control", "expected_power", "build_from", "expected_shell", "building", "shell_ready",
    "crews", "crew_claim", "bridging", "requested", "units_wait", "first_power",
    narrow=(
        "id", "root", "hop", "company", "vendor", "route", "market", "country", "first", "count", "bridges", "in_requests",
        "powered", "on_grid", "broken_ground", "online", "abandoned", "deserted", "unbroken", "hired", "halted", "halts",
        "connecting", "tranche", "build_at", "building_next", "build_halt", "hirings", "grid_node", "crew_next", "crew_last", "unit_next",
        "unit_last", "in_crew_line", "in_unit_line", "unbroken_next", "unbroken_last", "stamp",
    ),
)  # fmt: skip
"""`left`: one bit a country. `requested`: tick of its place in the market's queue. `connecting`, `build_at`: where its branches are.
`halts`: how many refusals have stood, `build_halt`: for the end of which the branch waits."""

PHASE = _ints(
    "mw16", "expected", "ready", "place", "asked", "licensed_tpp", "licence_until", "secure_from", "pledged_tpp", "refused_tpp",
    "due", "load", "tpp_room",
    narrow=(
        "id", "project", "index", "vendor", "go", "goes", "passed", "passes", "site", "missing", "cleared", "rule", "refused_item",
        "waits_stage", "waits_rule", "refusals", "shipped", "given_up", "at", "waits_for", "alive", "taken", "in_line",
        "line_next", "line_last", "wait_next", "wait_last", "in_waiting", "wait_pool", "come_next", "come_last", "in_coming",
        "plan_next", "plan_last", "in_plan", "clear_next", "clear_last", "in_cleared", "whole",
    ),
)  # fmt: skip
"""`go`: 0 not triggered, 1 triggered, 2 over; `goes`, `passes`: which event of that kind stands; `waits_for`: which its process waits
for. `due`: its place in the line for chips. `come_*`: in the company's list for chips, `plan_*`: in its account's forecast."""

ACCOUNT = _ints(
    "not_before", "pending_tpp", "national_from",
    narrow=(
        "company", "country", "entity", "waiting", "waiting_last", "plan", "plan_last", "pending", "pending_item", "pending_rule",
        "pending_partial", "filings", "last_rule", "licences", "licences_last", "national_applied", "national_rule", "soon",
    ),
)  # fmt: skip
"""`waiting`, `plan`, `licences`: heads of lists."""

LICENCE = _ints("usable_from", "until", "tpp", "acceptance", narrow=("rule", "partial", "next", "pad"))
QUEUE = _ints("gathered", "on_order", narrow=("line", "line_last", "coming", "coming_last", "serving", "pad"))
"""Chips of one vendor held by one company; stock is in `World.stock`"""
GRID = _ints("until", "waiting", "serving_tick", narrow=("line", "line_last", "serving", "pad"))
REQUEST = _ints("tick", "work", narrow=("root", "hop", "project", "next", "last", "pad"))
CREW = _ints("free", "waiting", narrow=("line", "line_last"))
ALARM = _ints("tick", "key", narrow=("do", "a", "b", "next"))
NEXT = _ints(narrow=("do", "a", "b", "pad"))
ROW = np.dtype((np.record, LOG))
LAW = np.dtype((np.record, [(name, "i8") for name in ("needs", "rule", "posture", "lpp", "uveu", "nveu")]))

SCALARS = (
    "home", "horizon", "earliest", "forced_until", "authorisation_again", "quarter_ticks", "typical_tpp",
    "allow_relocation", "allow_uveu", "allow_lpp", "allow_nveu", "allow_rationing", "allow_bridging", "allow_crew_limit",
    "allow_front_loading", "allow_classification", "allow_review_queue", "allow_security", "allow_money_bound",
    "optimism", "commitment_months", "stock_ahead", "shell_ahead", "bridge_trigger", "front_load_before", "front_load_ready",
    "licence_validity", "licence_forecast", "let_after", "planning_horizon", "value_usd", "recovery_ppm", "under_way_ticks",
    "interconnection_lead", "filing_lead", "smallest_share_ppm", "largest_filings", "largest_hop", "choice_per_year",
    "choice_training", "idle_shell_usd", "reviewers",
    "roots", "companies", "countries", "markets", "accelerators", "vendors", "segments", "months", "first_market", "no_project",
    "first_day", "phase_room",
)  # fmt: skip
"""Whole numbers given to a run"""
VECTORS = (
    "month_starts", "year_starts", "quarter_starts", "market_country", "vendor_of", "tpp", "counted_tpp", "h100e_ppm", "watts",
    "law_ticks", "law_changes", "lpp_limit", "uveu_single_ppm", "uveu_tier1_ppm", "uveu_us_ppm", "hold_from", "hold_until",
    "authorisation_median", "nveu_cap", "nveu_median", "nveu_spread", "nveu_grant", "clock_spread", "stop_spread",
    "deal_tranches", "deal_acceptance", "bridging_allowed", "rationed", "newest", "supply_ppm", "site_notice", "verification",
    "month_of_day", "year_of_day", "lpp_rules", "pledging", "any_importer", "spare_watts",
    "company", "vendor", "route", "planned", "forced_country", "workload", "phases", "patience", "patience_power", "security",
    "grid_ticks", "grid_backlog", "grid_works", "bridge_supply", "bridge_lead", "shell_usd", "chip_kusd", "spend_ppm",
    "fleet_room", "office_arrivals", "office_work", "framed_from", "authorised_from", "authorised_until",
    "rounds_of", "dated_tick", "dated_company", "dated_decision", "framework_tick", "framework_country",
    "grant_tick", "grant_company", "grant_country", "grant_tpp", "grant_rule",
)  # fmt: skip
TABLES = (
    "shipping_generation", "trusted", "allocation", "allocation_window", "window_index", "allocation_counts", "allocation_rule",
    "other_importers", "approve_below", "deny_above", "review_median", "clock_median", "stop_below", "stop_median", "hold_covers",
    "generations", "appeal", "median", "spread", "luck_power", "luck_construction", "phase_mw16", "shell_offset", "power_offset",
    "crew_limit", "chip_money", "opening_stock", "under_way", "route_factor", "classification", "nveu_time", "nveu_outcome",
    "round_applied", "round_decided", "owned",
)  # fmt: skip
CUBES = (
    "tightens", "refile", "licence_work", "licence_clock", "licence_stop", "licence_stop_length", "licence_outcome", "deliveries",
    "offered",
)  # fmt: skip
INPUTS = {
    **dict.fromkeys(SCALARS, 0), **dict.fromkeys(VECTORS, 1), **dict.fromkeys(TABLES, 2), **dict.fromkeys(CUBES, 3), "outlook": 4,
}  # fmt: skip
"""What a run is given, by name, with the number of its dimensions. Names are those of `Static` and `Draws`; see `packing`."""
STATE = {
    "now": 0, "segment": 0, "sequence": 0, "day": 0, "count_projects": 0, "count_phases": 0, "rows": 0,
    "alarms": 0, "free_alarm": 0, "ready": 0, "urgent_head": 0, "urgent_tail": 0, "normal_head": 0, "normal_tail": 0,
    "count_licences": 0, "free_licence": 0, "count_requests": 0, "free_request": 0, "unbroken": 0, "cleared": 0, "cleared_last": 0,
    "office_next": 0, "stamp": 0, "near_count": 0, "events": 0,
    "first_of_day": 1, "ready_tick": 1, "ready_key": 1, "ready_alarm": 1, "chip_money_left": 1, "pot_window": 1, "pot_used": 1,
    "owned_total": 1, "pledged_total": 1, "owned_trusted": 1, "pledged_untrusted": 1, "office_free": 1, "grid_until": 1, "near": 1,
    "worse": 1, "worse_rule": 1, "still": 1, "still_item": 1, "still_tpp": 1, "score": 1, "totals_count": 1, "taken_order": 2, "taken_chips": 2, "stock": 2,
    "pledged": 2, "lpp_used": 2, "totals": 2, "classified": 2, "full_wait": 2, "committed": 3, "counted_early": 3,
}  # fmt: skip
RECORDS = {
    "projects": (PROJECT, 1), "each_phase": (PHASE, 1), "accounts": (ACCOUNT, 2), "licences": (LICENCE, 1), "queues": (QUEUE, 2),
    "grid": (GRID, 1), "requests": (REQUEST, 1), "crews": (CREW, 1), "units": (CREW, 1), "alarm": (ALARM, 1), "urgent": (NEXT, 1),
    "normal": (NEXT, 1), "law": (LAW, 4), "log": (ROW, 1),
}  # fmt: skip
GIVEN = (*INPUTS, "law")


def _world_type() -> Any:
    """The type of `World`: one field for everything given and everything kept."""
    import numba
    from numba.core import types as numba_types
    from numba.experimental import structref

    types: Any = numba_types

    @structref.register
    class WorldType(types.StructRef):  # type: ignore[misc]
        """A world in the heap, passed by reference. The short name keeps the names of compiled functions short."""

        def __init__(self, fields: Any):
            super().__init__(fields)
            self.name = "groundbreak.World"

        def preprocess_fields(self, fields: Any) -> Any:
            return tuple((name, types.unliteral(kind)) for name, kind in fields)

    def array(element: Any, dimensions: int) -> Any:
        return types.Array(element, dimensions, "C") if dimensions else element

    fields = [(name, array(types.int64, n)) for name, n in {**INPUTS, **STATE}.items()]
    fields += [(name, array(numba.from_dtype(dtype), n)) for name, (dtype, n) in RECORDS.items()]
    WorldType.__module__, WorldType.__qualname__ = __name__, "WorldType"
    globals()["WorldType"] = WorldType  # pickled by name with what is cached
    return WorldType(fields)


if plain():

    def new_world() -> Any:
        """An empty world."""
        return SimpleNamespace()

else:
    from numba.experimental.structref import new as _new

    WORLD = _world_type()

    @inner
    def new_world() -> Any:
        """An empty world."""
        return _new(WORLD)


def _taker() -> Any:
    """take(w, given): every input becomes a field of the world. Written out, because compiled code cannot loop over names."""
    lines = "\n".join(f"    w.{name} = given.{name}" for name in GIVEN)
    scope: dict[str, Any] = {}
    exec(compile(f"def take(w, given):\n{lines}\n", __file__, "exec"), scope)
    if plain():
        return scope["take"]
    import numba

    return numba.njit(scope["take"])


take = _taker()


# ---------------------------------------------------------------------- a new run


@inner
def lay_out(w: Any) -> None:
    """Room for everything a run keeps, empty. What is only written before it is read is not cleared."""
    roots, companies, countries, markets, vendors = w.roots, w.companies, w.countries, w.markets, w.vendors
    most = roots * (w.largest_hop + 1) + 1
    w.projects = np.empty(most, PROJECT)
    w.each_phase = np.empty(w.phase_room, PHASE)
    w.count_projects, w.count_phases = 0, 0
    w.accounts = np.empty((companies, countries), ACCOUNT)
    for k in range(companies):
        for c in range(countries):
            a = w.accounts[k, c]
            a.company, a.country, a.entity = k, c, roots + k * countries + c
            a.not_before, a.national_from = NOT_YET, w.horizon
            a.waiting = a.waiting_last = a.plan = a.plan_last = a.licences = a.licences_last = NONE
            a.pending = a.pending_item = a.pending_rule = a.pending_partial = a.filings = 0
            a.pending_tpp = 0
            a.last_rule, a.national_applied, a.national_rule, a.soon = -1, 0, -1, 0
    w.licences = np.empty(256, LICENCE)
    w.count_licences, w.free_licence = 0, NONE
    w.queues = np.empty((companies, vendors), QUEUE)
    for k in range(companies):
        for v in range(vendors):
            q = w.queues[k, v]
            q.gathered = q.on_order = q.serving = 0
            q.line = q.line_last = q.coming = q.coming_last = NONE
    w.grid = np.empty(markets, GRID)
    for m in range(markets):
        g = w.grid[m]
        g.until = g.waiting = g.serving_tick = 0
        g.line = g.line_last = g.serving = NONE
    w.requests = np.empty(1024, REQUEST)
    w.count_requests, w.free_request = 0, NONE
    w.crews = np.empty(companies, CREW)
    for k in range(companies):
        w.crews[k].free, w.crews[k].waiting = w.crew_limit[0, k], 0
        w.crews[k].line = w.crews[k].line_last = NONE
    w.units = np.empty(1, CREW)
    w.units[0].free = w.units[0].waiting = 0
    w.units[0].line = w.units[0].line_last = NONE

    w.now, w.segment, w.sequence = w.earliest, 0, 0
    w.day = w.earliest >> TICK_BITS
    w.alarm = np.empty(4096, ALARM)
    w.alarms, w.free_alarm, w.ready = 0, NONE, 0
    w.first_of_day = np.full((w.horizon >> TICK_BITS) - w.first_day + 2, NONE, np.int64)
    w.ready_tick, w.ready_key, w.ready_alarm = np.empty(512, np.int64), np.empty(512, np.int64), np.empty(512, np.int64)
    w.urgent, w.normal = np.empty(256, NEXT), np.empty(256, NEXT)
    w.urgent_head = w.urgent_tail = w.normal_head = w.normal_tail = 0
    w.log = np.empty(1 << 16, ROW)
    w.rows = w.events = w.stamp = w.near_count = w.office_next = 0
    w.unbroken = w.cleared = w.cleared_last = NONE

    w.chip_money_left = np.zeros(companies, np.int64)
    w.pot_window, w.pot_used = np.full(countries, -1, np.int64), np.zeros(countries, np.int64)
    w.owned_total, w.pledged_total = np.zeros(companies, np.int64), np.zeros(companies, np.int64)
    w.owned_trusted, w.pledged_untrusted = np.zeros(companies, np.int64), np.zeros(companies, np.int64)
    w.pledged = np.zeros((companies, countries), np.int64)
    w.office_free = np.full(w.reviewers, -(1 << 62), np.int64)
    w.grid_until = np.zeros(markets, np.int64)
    w.near, w.score = np.empty(w.phase_room, np.int64), np.empty(markets, np.int64)
    w.still, w.still_item = np.empty(w.phase_room, np.int64), np.empty(w.phase_room, np.int64)
    w.still_tpp = np.empty(w.phase_room, np.int64)
    w.worse, w.worse_rule = np.empty(most, np.int64), np.empty(most, np.int64)
    w.taken_order = np.empty((w.phase_room, w.generations.shape[1]), np.int64)
    w.taken_chips = np.empty((w.phase_room, w.generations.shape[1]), np.int64)
    w.stock = np.zeros((companies, w.accelerators), np.int64)
    w.lpp_used = np.zeros((companies, len(w.year_starts)), np.int64)
    w.totals, w.totals_count = np.zeros((companies, 13), np.int64), np.zeros(companies, np.int64)
    w.classified = np.zeros((companies, w.accelerators), np.int64)
    for k in range(companies):
        for i in range(w.accelerators):
            w.classified[k, i] = 0 if w.classification[k, i] else -1
    w.full_wait = np.zeros((companies, countries), np.int64)
    w.committed = np.zeros((w.months + 1, companies, w.accelerators), np.int64)
    w.counted_early = np.zeros((companies, countries, 1 + w.window_index.max()), np.int64)


# ---------------------------------------------------------------------- the clock


@inner
def rank(order: int, root: int, hop: int, phase: int, stage: int) -> int:
    """The place of an alarm in its instant (as `project.Alarm`)."""
    return (((order << 20 | root) << 4 | hop) << 4 | phase) << 5 | stage


@inner
def alarm(w: Any, tick: int, place: int, do: int, a: int, b: int) -> None:
    """Set an alarm. One that lies beyond the horizon never goes off."""
    if tick >= w.horizon:
        return
    tick = max(tick, w.now)
    i = w.free_alarm
    if i != NONE:
        w.free_alarm = w.alarm[i].next
    else:
        i = w.alarms
        if i == len(w.alarm):
            more = np.empty(2 * i, ALARM)
            more[:i] = w.alarm
            w.alarm = more
        w.alarms += 1
    one = w.alarm[i]
    if w.sequence >> 20:
        raise OverflowError("more alarms in one replication than their order in an instant has room for")
    one.tick, one.key, one.do, one.a, one.b = tick, place << 20 | w.sequence, do, a, b
    w.sequence += 1
    day = tick >> TICK_BITS
    if day <= w.day:
        ready(w, tick, one.key, i)
    else:
        one.next = w.first_of_day[day - w.first_day]
        w.first_of_day[day - w.first_day] = i


@inner
def ready(w: Any, tick: int, key: int, i: int) -> None:
    """An alarm of the day that runs takes its place in the heap."""
    n = w.ready
    if n == len(w.ready_tick):
        for_tick, for_key, for_alarm = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
        for_tick[:n], for_key[:n], for_alarm[:n] = w.ready_tick, w.ready_key, w.ready_alarm
        w.ready_tick, w.ready_key, w.ready_alarm = for_tick, for_key, for_alarm
    ticks, keys, alarms = w.ready_tick, w.ready_key, w.ready_alarm
    w.ready = n + 1
    while n > 0:
        above = (n - 1) >> 1
        if ticks[above] < tick or (ticks[above] == tick and keys[above] < key):
            break
        ticks[n], keys[n], alarms[n] = ticks[above], keys[above], alarms[above]
        n = above
    ticks[n], keys[n], alarms[n] = tick, key, i


@inner
def soonest(w: Any) -> int:
    """Take the next alarm out of the heap."""
    ticks, keys, alarms = w.ready_tick, w.ready_key, w.ready_alarm
    first = alarms[0]
    n = w.ready - 1
    w.ready = n
    tick, key, last = ticks[n], keys[n], alarms[n]
    i = 0
    while True:
        below = 2 * i + 1
        if below >= n:
            break
        if below + 1 < n and (
            ticks[below + 1] < ticks[below] or (ticks[below + 1] == ticks[below] and keys[below + 1] < keys[below])
        ):
            below += 1
        if tick < ticks[below] or (tick == ticks[below] and key < keys[below]):
            break
        ticks[i], keys[i], alarms[i] = ticks[below], keys[below], alarms[below]
        i = below
    ticks[i], keys[i], alarms[i] = tick, key, last
    return first


@inner
def next_alarm(w: Any) -> int:
    """Take the next alarm, and set the clock to it; NONE when the horizon is reached."""
    while w.ready == 0:
        day, last = w.day - w.first_day + 1, len(w.first_of_day)
        while day < last and w.first_of_day[day] == NONE:
            day += 1
        w.day = day + w.first_day
        if day == last:
            return NONE
        i = w.first_of_day[day]
        while i != NONE:
            ready(w, w.alarm[i].tick, w.alarm[i].key, i)
            i = w.alarm[i].next
    i = soonest(w)
    w.now = w.alarm[i].tick
    w.events += 1
    return i


@inner
def follow(w: Any, urgent: bool, do: int, a: int, b: int) -> None:
    """Something happens at once after what runs now: beginnings and interruptions (urgent) before events."""
    if urgent:
        if w.urgent_tail == len(w.urgent):
            more = np.empty(2 * w.urgent_tail, NEXT)
            more[: w.urgent_tail] = w.urgent
            w.urgent = more
        one = w.urgent[w.urgent_tail]
        w.urgent_tail += 1
    else:
        if w.normal_tail == len(w.normal):
            more = np.empty(2 * w.normal_tail, NEXT)
            more[: w.normal_tail] = w.normal
            w.normal = more
        one = w.normal[w.normal_tail]
        w.normal_tail += 1
    one.do, one.a, one.b = do, a, b


# ---------------------------------------------------------------------- the log


@inner
def write(w: Any, root: int, hop: int, phase: int, stage: int, what: int, rule: int, pool: int, quantity: int) -> None:
    """Write a row to the log."""
    n = w.rows
    if n == len(w.log):
        more = np.empty(2 * n, ROW)
        more[:n] = w.log
        w.log = more
    row = w.log[n]
    row.tick, row.order, row.root, row.hop, row.phase = w.now, n, root, hop, phase
    row.stage, row.mark, row.rule, row.pool, row.quantity = stage, what, rule, pool, quantity
    w.rows = n + 1


@inner
def mark(w: Any, p: Any, stage: int, what: int, rule: int, pool: int, quantity: int) -> None:
    """Write an event of a project."""
    write(w, p.root, p.hop, 0, stage, what, rule, pool, quantity)


@inner
def mark_phase(w: Any, f: Any, stage: int, what: int, rule: int, pool: int, quantity: int) -> None:
    """Write an event of a phase."""
    p = w.projects[f.project]
    write(w, p.root, p.hop, f.index, stage, what, rule, pool, quantity)


# ---------------------------------------------------------------------- when


@inner
def year(w: Any) -> int:
    """Index of the calendar year now running, counted from that of the oldest plan."""
    return w.year_of_day[(w.now >> TICK_BITS) - w.first_day]


@inner
def month(w: Any) -> int:
    """Index of the month now running, 0 before the start."""
    return w.month_of_day[(w.now >> TICK_BITS) - w.first_day]


@inner
def at(w: Any, tick: int, order: int, p: Any, stage: int, do: int) -> None:
    """An alarm of this project."""
    alarm(w, tick, rank(order, p.root, p.hop, 0, stage), do, p.id, 0)


@inner
def at_phase(w: Any, tick: int, order: int, f: Any, stage: int, do: int) -> None:
    """An alarm of this phase."""
    p = w.projects[f.project]
    alarm(w, tick, rank(order, p.root, p.hop, f.index, stage), do, f.id, 0)


# ---------------------------------------------------------------------- chips (`pools.ChipQueue`)


@inner
def chips_before(w: Any, f: Any, g: Any) -> bool:
    """Whether f stands before g in the line for chips: by ready date, project, hop, phase."""
    if f.due != g.due:
        return f.due < g.due
    p, o = w.projects[f.project], w.projects[g.project]
    if p.root != o.root:
        return p.root < o.root
    if p.hop != o.hop:
        return p.hop < o.hop
    return f.index < g.index


@inner
def chips_join(w: Any, q: Any, f: Any) -> None:
    """A phase joins the line at its place."""
    f.in_line = 1
    last = q.line_last
    while last != NONE and chips_before(w, f, w.each_phase[last]):
        last = w.each_phase[last].line_last
    f.line_last = last
    if last == NONE:
        f.line_next = q.line
        q.line = f.id
    else:
        f.line_next = w.each_phase[last].line_next
        w.each_phase[last].line_next = f.id
    if f.line_next == NONE:
        q.line_last = f.id
    else:
        w.each_phase[f.line_next].line_last = f.id


@inner
def chips_unlink(w: Any, q: Any, f: Any) -> None:
    """Take a phase out of the line; what it has gathered is no longer gathered in line."""
    f.in_line = 0
    if f.line_last == NONE:
        q.line = f.line_next
    else:
        w.each_phase[f.line_last].line_next = f.line_next
    if f.line_next == NONE:
        q.line_last = f.line_last
    else:
        w.each_phase[f.line_next].line_last = f.line_last
    for i in range(f.taken):
        g = w.taken_order[f.id, i]
        q.gathered -= w.taken_chips[f.id, g] * w.watts[w.generations[f.vendor, g]]


@inner
def chips_give_back(w: Any, company: int, f: Any) -> None:
    """Return all chips of a claim to stock; the claim is then as empty as on the day it was made."""
    for i in range(f.taken):
        g = w.taken_order[f.id, i]
        item = w.generations[f.vendor, g]
        chips = w.taken_chips[f.id, g]
        w.stock[company, item] += chips
        f.load += chips * w.watts[item]
        if f.tpp_room != NO_ROOM_LIMIT:
            f.tpp_room += chips * w.tpp[item]
        w.taken_chips[f.id, g] = 0
    f.taken = 0
    f.whole = 0


@inner
def chips_fill(w: Any, company: int, q: Any, f: Any) -> None:
    """Fill a claim from stock, older generations first."""
    short = False
    for g in range(w.generations.shape[1]):
        item = w.generations[f.vendor, g]
        if item == NONE:
            break
        watts, tpp = w.watts[item], w.tpp[item]
        chips = min(w.stock[company, item], -(-f.load // watts))
        if f.tpp_room != NO_ROOM_LIMIT:
            fitting = f.tpp_room // tpp
            if fitting < chips:
                chips = fitting
            f.tpp_room -= chips * tpp
        if chips:
            w.stock[company, item] -= chips
            if w.taken_chips[f.id, g] == 0:
                w.taken_order[f.id, f.taken] = g
                f.taken += 1
            w.taken_chips[f.id, g] += chips
            f.load -= chips * watts
            q.gathered += chips * watts
        if f.load <= 0:
            break
    # Also whole when the licence leaves no room for one more chip of any generation in stock.
    if f.tpp_room != NO_ROOM_LIMIT:
        for g in range(w.generations.shape[1]):
            item = w.generations[f.vendor, g]
            if item == NONE:
                break
            if w.stock[company, item] and f.tpp_room < w.tpp[item]:
                short = True
    f.whole = 1 if f.load <= 0 or short else 0


@inner
def held_watts(w: Any, company: int, vendor: int, q: Any) -> int:
    """Watts of the chips in stock and of those gathered by phases still in line."""
    held = q.gathered
    for g in range(w.generations.shape[1]):
        item = w.generations[vendor, g]
        if item == NONE:
            break
        held += w.stock[company, item] * w.watts[item]
    return held


# ---------------------------------------------------------------------- grid connections (`pools.GridQueue`)


@inner
def grid_before(tick: int, root: int, hop: int, one: Any) -> bool:
    """Whether a place in a market's queue comes before an entry: by date of request, root, hop."""
    if tick != one.tick:
        return tick < one.tick
    if root != one.root:
        return root < one.root
    return hop < one.hop


@inner
def grid_join(w: Any, m: int, tick: int, root: int, hop: int, work: int, project: int) -> int:
    """A request takes its place by date; returns its entry."""
    g = w.grid[m]
    i = w.free_request
    if i != NONE:
        w.free_request = w.requests[i].next
    else:
        i = w.count_requests
        if i == len(w.requests):
            more = np.empty(2 * i, REQUEST)
            more[:i] = w.requests
            w.requests = more
        w.count_requests += 1
    one = w.requests[i]
    one.tick, one.work, one.root, one.hop, one.project = tick, work, root, hop, project
    last = g.line_last
    while last != NONE and grid_before(tick, root, hop, w.requests[last]):
        last = w.requests[last].last
    one.last = last
    if last == NONE:
        one.next = g.line
        g.line = i
    else:
        one.next = w.requests[last].next
        w.requests[last].next = i
    if one.next == NONE:
        g.line_last = i
    else:
        w.requests[one.next].last = i
    g.waiting += work
    return i


@inner
def grid_unlink(w: Any, g: Any, i: int) -> None:
    """Take an entry out of the line."""
    one = w.requests[i]
    if one.last == NONE:
        g.line = one.next
    else:
        w.requests[one.last].next = one.next
    if one.next == NONE:
        g.line_last = one.last
    else:
        w.requests[one.next].last = one.last
    g.waiting -= one.work


@inner
def grid_free(w: Any, i: int) -> None:
    """An entry that is done with."""
    w.requests[i].next = w.free_request
    w.free_request = i


@inner
def grid_wait(w: Any, m: int) -> int:
    """Ticks until a request made today would be taken up."""
    g = w.grid[m]
    return g.waiting + (max(g.until - w.now, 0) if g.serving != NONE else 0)


@inner
def grid_ahead(w: Any, m: int, tick: int, root: int, hop: int) -> int:
    """Ticks of work ahead of a place in line."""
    behind = 0
    i = w.grid[m].line_last
    while i != NONE:
        one = w.requests[i]
        if not (grid_before(tick, root, hop, one) or (one.tick == tick and one.root == root and one.hop == hop)):
            break
        behind += one.work
        i = one.last
    return grid_wait(w, m) - behind


# ---------------------------------------------------------------------- crews and on-site units (`pools.Capacity`)


@inner
def crew_claim(w: Any, line: Any, p: Any, units: int) -> None:
    """Join the company's line for crews."""
    p.in_crew_line, p.crew_claim, p.crew_next, p.crew_last = 1, units, NONE, line.line_last
    if line.line_last == NONE:
        line.line = p.id
    else:
        w.projects[line.line_last].crew_next = p.id
    line.line_last = p.id
    line.waiting += units


@inner
def crew_leave(w: Any, line: Any, p: Any) -> None:
    """Leave the line, if in it."""
    if not p.in_crew_line:
        return
    p.in_crew_line = 0
    if p.crew_last == NONE:
        line.line = p.crew_next
    else:
        w.projects[p.crew_last].crew_next = p.crew_next
    if p.crew_next == NONE:
        line.line_last = p.crew_last
    else:
        w.projects[p.crew_next].crew_last = p.crew_last
    line.waiting -= p.crew_claim


@inner
def unit_claim(w: Any, p: Any) -> None:
    """Join the line for on-site units, with the whole project."""
    line = w.units[0]
    p.in_unit_line, p.unit_next, p.unit_last = 1, NONE, line.line_last
    if line.line_last == NONE:
        line.line = p.id
    else:
        w.projects[line.line_last].unit_next = p.id
    line.line_last = p.id
    line.waiting += p.mw16


@inner
def unit_leave(w: Any, p: Any) -> None:
    """Leave the line, if in it."""
    if not p.in_unit_line:
        return
    line = w.units[0]
    p.in_unit_line = 0
    if p.unit_last == NONE:
        line.line = p.unit_next
    else:
        w.projects[p.unit_last].unit_next = p.unit_next
    if p.unit_next == NONE:
        line.line_last = p.unit_last
    else:
        w.projects[p.unit_next].unit_last = p.unit_last
    line.waiting -= p.mw16


# ---------------------------------------------------------------------- reviewers (`pools.ReviewOffice`)


@inner
def office_put(w: Any, tick: int) -> None:
    """The reviewer who is free first is free again at a tick (`heapq.heapreplace`)."""
    free = w.office_free
    n, i = len(free), 0
    while True:
        below = 2 * i + 1
        if below >= n:
            break
        if below + 1 < n and free[below + 1] < free[below]:
            below += 1
        if tick <= free[below]:
            break
        free[i] = free[below]
        i = below
    free[i] = tick


@inner
def office_take(w: Any, work: int) -> int:
    """An application arrives; returns the tick at which a reviewer takes it up. Those of others up to this tick come first."""
    i, arrivals = w.office_next, w.office_arrivals
    while i < len(arrivals) and arrivals[i] <= w.now:
        office_put(w, max(w.office_free[0], arrivals[i]) + w.office_work[i])
        i += 1
    w.office_next = i
    begins = max(w.office_free[0], w.now)
    office_put(w, begins + work)
    return begins


# ---------------------------------------------------------------------- lists of phases


@inner
def coming_add(w: Any, q: Any, f: Any) -> None:
    """A phase needs chips of this vendor."""
    f.in_coming, f.come_next, f.come_last = 1, NONE, q.coming_last
    if q.coming_last == NONE:
        q.coming = f.id
    else:
        w.each_phase[q.coming_last].come_next = f.id
    q.coming_last = f.id


@inner
def coming_pop(w: Any, q: Any, f: Any) -> None:
    """It needs them no more, if it did."""
    if not f.in_coming:
        return
    f.in_coming = 0
    if f.come_last == NONE:
        q.coming = f.come_next
    else:
        w.each_phase[f.come_last].come_next = f.come_next
    if f.come_next == NONE:
        q.coming_last = f.come_last
    else:
        w.each_phase[f.come_next].come_last = f.come_last


@inner
def plan_add(w: Any, a: Any, f: Any) -> None:
    """A phase is planned in an account's country."""
    f.in_plan, f.plan_next, f.plan_last = 1, NONE, a.plan_last
    if a.plan_last == NONE:
        a.plan = f.id
    else:
        w.each_phase[a.plan_last].plan_next = f.id
    a.plan_last = f.id


@inner
def plan_pop(w: Any, a: Any, f: Any) -> None:
    """It has asked, or is given up."""
    if not f.in_plan:
        return
    f.in_plan = 0
    if f.plan_last == NONE:
        a.plan = f.plan_next
    else:
        w.each_phase[f.plan_last].plan_next = f.plan_next
    if f.plan_next == NONE:
        a.plan_last = f.plan_last
    else:
        w.each_phase[f.plan_next].plan_last = f.plan_last


@inner
def cleared_add(w: Any, f: Any) -> None:
    """A phase is cleared without a licence."""
    if f.in_cleared:
        return
    f.in_cleared, f.clear_next, f.clear_last = 1, NONE, w.cleared_last
    if w.cleared_last == NONE:
        w.cleared = f.id
    else:
        w.each_phase[w.cleared_last].clear_next = f.id
    w.cleared_last = f.id


@inner
def cleared_pop(w: Any, f: Any) -> None:
    """It is not, or no more."""
    if not f.in_cleared:
        return
    f.in_cleared = 0
    if f.clear_last == NONE:
        w.cleared = f.clear_next
    else:
        w.each_phase[f.clear_last].clear_next = f.clear_next
    if f.clear_next == NONE:
        w.cleared_last = f.clear_last
    else:
        w.each_phase[f.clear_next].clear_last = f.clear_last


@inner
def waits_before(w: Any, f: Any, g: Any) -> bool:
    """Whether f stands before g among those that ask for the same thing (`Phase.rank`)."""
    if f.place != g.place:
        return f.place < g.place
    p, o = w.projects[f.project], w.projects[g.project]
    if p.root != o.root:
        return p.root < o.root
    if p.hop != o.hop:
        return p.hop < o.hop
    return f.index < g.index


@inner
def waiting_add(w: Any, a: Any, f: Any) -> None:
    """A phase takes its place among those that have asked and are not cleared."""
    f.in_waiting = 1
    last = a.waiting_last
    while last != NONE and waits_before(w, f, w.each_phase[last]):
        last = w.each_phase[last].wait_last
    f.wait_last = last
    if last == NONE:
        f.wait_next = a.waiting
        a.waiting = f.id
    else:
        f.wait_next = w.each_phase[last].wait_next
        w.each_phase[last].wait_next = f.id
    if f.wait_next == NONE:
        a.waiting_last = f.id
    else:
        w.each_phase[f.wait_next].wait_last = f.id


@inner
def waiting_pop(w: Any, a: Any, f: Any) -> None:
    """It is cleared, or given up."""
    if not f.in_waiting:
        return
    f.in_waiting = 0
    if f.wait_last == NONE:
        a.waiting = f.wait_next
    else:
        w.each_phase[f.wait_last].wait_next = f.wait_next
    if f.wait_next == NONE:
        a.waiting_last = f.wait_last
    else:
        w.each_phase[f.wait_next].wait_last = f.wait_last


@inner
def unbroken_add(w: Any, p: Any) -> None:
    """A site under control where ground is not broken yet."""
    p.unbroken, p.unbroken_last, p.unbroken_next = 1, NONE, w.unbroken
    if w.unbroken != NONE:
        w.projects[w.unbroken].unbroken_last = p.id
    w.unbroken = p.id


@inner
def unbroken_pop(w: Any, p: Any) -> None:
    """Ground is broken, or the site is given up."""
    if not p.unbroken:
        return
    p.unbroken = 0
    if p.unbroken_last == NONE:
        w.unbroken = p.unbroken_next
    else:
        w.projects[p.unbroken_last].unbroken_next = p.unbroken_next
    if p.unbroken_next != NONE:
        w.projects[p.unbroken_next].unbroken_last = p.unbroken_last
