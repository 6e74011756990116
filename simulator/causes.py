"""Why it took so long: results that explain themselves, as pure functions of a run's inputs and its event log.

Four questions, each with its own answer. None is added to another.

- `held_up` (descriptive): for every day of every site, the one stage it was held by. Sums to all days, exactly.
- `policy_delay` (causal): months a policy costs a lineage, against the same lineage, with the same luck, under a reference.
- `incidence` (survival): by when a share of lineages or sites is online, with giving up as a competing end.
- `chip_ledger`, `pot_ledger` (scarcity): where every chip and every TPP of an allocation went, month by month.

Ticks, chips, TPP and sixteenths of a megawatt are whole numbers here, so that sums can be checked to the last unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.events import Log, Mark, Stage
from simulator.metrics import NEVER
from simulator.sampling import HOPS
from simulator.static import NO_POT, Draws, Ints, Static, Timed
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, TICKS_PER_DAY, day_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TIERS = (1, 2, 3)
ALMOST = 1e-9
"""A product of fractions rarely rounds to exactly one half (as in `metrics.median_months`)."""


def months(ticks: Ints | int | float) -> Floats:
    """Ticks as average calendar months, in the same order of operations as the metrics."""
    return np.asarray(ticks) / TICKS_PER_DAY / DAYS_PER_YEAR * 12


# ------------------------------------------------------------------ what held each site up


class Cause(IntEnum):
    """What a day of a site went to."""

    SITE_SELECTION = 0
    INTERCONNECTION = 1
    PERMITTING = 2
    CONSTRUCTION = 3
    FIT_OUT = 4
    NOT_YET_FILED = 5  # clearance binds, and the company had not asked for it yet: its own timing, not the authority's
    LICENCE_REVIEW = 6
    ALLOCATION = 7
    AUTHORISATION = 8  # the company's footprint leaves no headroom under the authorisation it holds
    OTHER_CLEARANCE = 9  # between a return and the next filing
    CHIPS = 10
    SHIPPING = 11
    INSTALLATION = 12
    COMMISSIONING = 13


CAUSES = {
    Cause.SITE_SELECTION: "site selection",
    Cause.INTERCONNECTION: "grid connection",
    Cause.PERMITTING: "permitting",
    Cause.CONSTRUCTION: "construction",
    Cause.FIT_OUT: "fit-out",
    Cause.NOT_YET_FILED: "clearance not yet asked for",
    Cause.LICENCE_REVIEW: "licence review",
    Cause.ALLOCATION: "waiting for the country's allocation",
    Cause.AUTHORISATION: "waiting for headroom of the authorisation",
    Cause.OTHER_CLEARANCE: "other clearance",
    Cause.CHIPS: "waiting for chips",
    Cause.SHIPPING: "shipping",
    Cause.INSTALLATION: "installation",
    Cause.COMMISSIONING: "commissioning",
}


class Branch(IntEnum):
    """The three branches that run in parallel from site control to the join. A tie goes to the first: law is not blamed for it."""

    POWER = 0
    SHELL = 1
    CLEARANCE = 2


class End(IntEnum):
    """How a site's days end."""

    ONLINE = 0
    RELOCATED = 1
    CANCELLED = 2
    OPEN = 3  # unfinished at the horizon
    IN_FLEET = 4  # part of the opening fleet: no day is counted


NO_BRANCH = -1
NOT_JOINED = -1

SERIES = -1
# What begins with (stage, mark): the cause from then on, and the branch it belongs to. It lasts until the next one begins.
BEGINNINGS = {
    (Stage.PROJECT, Mark.PLANNED): (Cause.SITE_SELECTION, SERIES),
    (Stage.INTERCONNECTION, Mark.START): (Cause.INTERCONNECTION, Branch.POWER),
    (Stage.PERMITTING, Mark.START): (Cause.PERMITTING, Branch.SHELL),
    (Stage.CONSTRUCTION, Mark.START): (Cause.CONSTRUCTION, Branch.SHELL),
    (Stage.FIT_OUT, Mark.START): (Cause.FIT_OUT, Branch.SHELL),
    (Stage.CLEARANCE, Mark.START): (Cause.NOT_YET_FILED, Branch.CLEARANCE),
    (Stage.LICENCE_REVIEW, Mark.START): (Cause.LICENCE_REVIEW, Branch.CLEARANCE),
    (Stage.LICENCE_REVIEW, Mark.END): (Cause.OTHER_CLEARANCE, Branch.CLEARANCE),
    (Stage.ALLOCATION, Mark.START): (Cause.ALLOCATION, Branch.CLEARANCE),
    (Stage.ALLOCATION, Mark.END): (Cause.OTHER_CLEARANCE, Branch.CLEARANCE),
    (Stage.AUTHORISATION, Mark.START): (Cause.AUTHORISATION, Branch.CLEARANCE),
    (Stage.AUTHORISATION, Mark.END): (Cause.OTHER_CLEARANCE, Branch.CLEARANCE),
    (Stage.CHIPS, Mark.START): (Cause.CHIPS, SERIES),
    (Stage.SHIPPING, Mark.START): (Cause.SHIPPING, SERIES),
    (Stage.INSTALLATION, Mark.START): (Cause.INSTALLATION, SERIES),
    (Stage.COMMISSIONING, Mark.START): (Cause.COMMISSIONING, SERIES),
}
MARKS = 32
NOTHING = -1
CAUSE_OF, BRANCH_OF = (np.full(len(Stage) * MARKS, NOTHING, dtype=np.int64) for _ in range(2))
for (_stage, _mark), (_cause, _branch) in BEGINNINGS.items():
    CAUSE_OF[_stage * MARKS + _mark], BRANCH_OF[_stage * MARKS + _mark] = _cause, _branch
DONE = ((Stage.INTERCONNECTION, Mark.FIRST_POWER), (Stage.FIT_OUT, Mark.SHELL_READY), (Stage.CLEARANCE, Mark.CLEARED))
"""What ends each `Branch`."""
ENDS = {End.ONLINE: Mark.ONLINE, End.RELOCATED: Mark.RELOCATED, End.CANCELLED: Mark.CANCELLED, End.IN_FLEET: Mark.IN_FLEET}
TELLING = CAUSE_OF != NOTHING
for _stage, _mark in (*DONE, *((Stage.PROJECT, mark) for mark in ENDS.values()), (Stage.SITE_SELECTION, Mark.END)):
    TELLING[_stage * MARKS + _mark] = True


@dataclass(frozen=True)
class HeldUp:
    """What held each planned site up. N sites in the order they were planned, 14 causes (`Cause`), K companies, Y calendar years.

    A day is counted from the later of plan and start date until the site is online, given up, or the horizon.
    """

    root: Ints
    hop: Ints
    company: Ints
    country: Ints
    mw16: Ints
    """(N,) planned IT load in 1/16 MW, also after a downsizing"""
    begin: Ints
    end: Ints
    """(N,) ticks between which days are counted; never `end` before `begin`"""
    how: Ints
    """(N,) `End`"""
    binding: Ints
    """(N,) `Branch` that decided the first join; of a site given up before it, clearance, which ended it; of an unfinished one,
    the branch expected last; NO_BRANCH before site control"""
    join: Ints
    """(N,) tick at which power, shell and first clearance were all there; NEVER if they were not"""
    slack: Ints
    """(N, 3) ticks by which each branch finished before the join, 0 for the binding one; NOT_JOINED if there was no join"""
    ticks: Ints
    """(N, 14) by cause; each row sums to `end - begin`"""
    cube: Ints
    """(14, K, 3, Y) ticks x 1/16 MW by cause, company, tier and calendar year from that of the start date"""


def held_up(static: Static, draws: Draws, log: Log) -> HeldUp:
    """The binding cause of every site-day: exactly one, by walking back from each join along the branch that finished last.

    Until site control: site selection. Until the first join: the stage then active in the binding branch; of clearance, the days
    before the first filing are the company's own timing (`NOT_YET_FILED`), and count only if clearance binds. After the join
    everything is in series; a second clearance (the law changed after the first) is too, and all its days count.

    The binding branch is the one that finished last, the first of power, shell, clearance on a tie. A site given up before its
    join was ended by its clearance. For a site unfinished at the horizon: clearance if power and shell are there; else the one
    of the two that is open; if both are, the one expected last by its nominal length (clearance is asked for so as to end first).
    """
    n = len(draws.names) * HOPS
    code = log["stage"].astype(np.int64) * MARKS + log["mark"]
    told = np.nonzero(TELLING[code])[0]
    rows, code = log[told], code[told]
    tick, key = np.ascontiguousarray(rows["tick"]), rows["root"].astype(np.int64) * HOPS + rows["hop"]

    def first(mark: Mark, stage: Stage, column: str = "tick") -> Ints:
        """(R * HOPS,) when it first happened, NEVER where it did not."""
        found = np.nonzero(code == stage * MARKS + mark)[0][::-1]
        when = np.full(n, NEVER)
        when[key[found]] = rows[column][found]
        return when

    planned = np.nonzero(code == Stage.PROJECT * MARKS + Mark.PLANNED)[0]
    site = key[planned]
    market = rows["pool"][planned].astype(np.int64)
    mw16 = rows["quantity"][planned]
    ends = np.full((len(site), len(End)), NEVER)
    ends[:, End.OPEN] = static.horizon
    for of, mark in ENDS.items():
        ends[:, of] = first(mark, Stage.PROJECT)[site]
    begin = np.maximum(tick[planned], 0)
    end = np.maximum(ends.min(axis=1), begin)

    done = np.stack([first(mark, stage)[site] for stage, mark in DONE], axis=1)
    join = done.max(axis=1)
    binding = done.argmax(axis=1)
    apart = join == NEVER
    how = ends.argmin(axis=1)
    binding[apart] = Branch.CLEARANCE
    waits_for_site = apart & (how == End.OPEN) & (done[:, :2].max(axis=1) == NEVER)
    if waits_for_site.any():
        expected = np.where(done[:, :2] < NEVER, -NEVER, _expected(static, draws, site, market, first))
        binding[waits_for_site] = expected.argmax(axis=1)[waits_for_site]
    binding[first(Mark.END, Stage.SITE_SELECTION)[site] == NEVER] = NO_BRANCH

    place = np.full(n, -1)
    place[site] = np.arange(len(site))
    joined_at = np.max([first(mark, stage, "order") for stage, mark in DONE], axis=0)
    begins = np.nonzero(CAUSE_OF[code] != NOTHING)[0]
    begins = begins[np.argsort(key[begins], kind="stable")]
    whose = place[key[begins]]
    branch, cause = BRANCH_OF[code[begins]], CAUSE_OF[code[begins]]
    later = rows["order"][begins] > joined_at[key[begins]]
    counts = (branch == SERIES) | later | (branch == binding[whose])
    begins, whose, cause = begins[counts], whose[counts], cause[counts]

    since = tick[begins]
    until = np.where(np.append(whose[1:], -1) == whose, np.append(since[1:], 0), end[whose])
    since, until = (np.clip(t, begin[whose], end[whose]) for t in (since, until))
    real = until > since
    whose, cause, since, until = whose[real], cause[real], since[real], until[real]
    ticks = np.zeros((len(site), len(Cause)), dtype=np.int64)
    np.add.at(ticks, (whose, cause), until - since)

    company, country = draws.company[site // HOPS], static.market_country[market]
    edges = year_edges(static)
    shape = len(Cause), len(static.companies), len(TIERS), len(edges) - 1
    cube = np.zeros(shape, dtype=np.int64)
    cell = np.ravel_multi_index((cause, company[whose], static.tier[country[whose]] - 1), shape[:3])
    for year in range(shape[3]):
        inside = np.minimum(until, edges[year + 1]) - np.maximum(since, edges[year])
        some = inside > 0
        column = np.zeros(int(np.prod(shape[:3])), dtype=np.int64)
        np.add.at(column, cell[some], inside[some] * mw16[whose[some]])
        cube[..., year] = column.reshape(shape[:3])

    slack = np.where(apart[:, None], NOT_JOINED, join[:, None] - np.where(apart[:, None], 0, done))
    return HeldUp(site // HOPS, site % HOPS, company, country, mw16, begin, end, how, binding, join, slack, ticks, cube)


def _expected(static: Static, draws: Draws, site: Ints, market: Ints, first: Callable[[Mark, Stage], Ints]) -> Ints:
    """(N, 2) ticks at which power and shell are expected by their nominal lengths: exact where nothing is contended.

    The same integer arithmetic as `Expansion.length`; only the order of the two is used.
    """
    when = [
        first(Mark.START, stage)[site] for stage in (Stage.INTERCONNECTION, Stage.PERMITTING, Stage.CONSTRUCTION, Stage.FIT_OUT)
    ]
    root, country = site // HOPS, static.market_country[market]

    def year(tick: Ints) -> Ints:
        return np.clip(np.searchsorted(static.year_starts, tick, side="right") - 1, 0, len(draws.luck_power) - 1)

    def length(timed: Timed) -> Ints:
        ticks = draws.median[timed][market] * draws.spread[root, timed] >> 20
        return ticks * draws.route_factor[draws.route[root], timed] >> 20

    power = length(Timed.INTERCONNECTION) * draws.luck_power[year(when[0]), country] >> 20
    power = np.where(when[0] < NEVER, when[0], 0) + np.maximum(power - draws.interconnection_lead, 0)
    permitted = np.where(when[1] < NEVER, when[1], 0) + length(Timed.PERMITTING)
    broken = np.where(when[2] < NEVER, when[2], permitted)
    built = broken + (length(Timed.CONSTRUCTION) * draws.luck_construction[year(broken), country] >> 20)
    fitted = np.where(when[3] < NEVER, when[3], built) + length(Timed.FIT_OUT)
    return np.stack([power, fitted], axis=1)


def year_edges(static: Static) -> Ints:
    """(Y + 1,) ticks: the start date, each 1 January after it, the horizon."""
    inner = static.year_starts[(static.year_starts > 0) & (static.year_starts < static.horizon)]
    return np.concatenate([[0], inner, [static.horizon]]).astype(np.int64)


def mw_days(ticks_mw16: Ints) -> Floats:
    """Ticks x 1/16 MW as MW-days of IT."""
    return ticks_mw16 / (TICKS_PER_DAY * MW_SIXTEENTHS)


def cause_table(static: Static, held: HeldUp) -> pd.DataFrame:
    """MW-days by cause, company, tier and calendar year; columns cause, company, tier, year, mw_days (MW IT x days). No empty rows."""
    import pandas as pd

    found = np.nonzero(held.cube)
    return pd.DataFrame(
        {
            "cause": [CAUSES[Cause(i)] for i in found[0].tolist()],
            "company": [static.companies[i] for i in found[1].tolist()],
            "tier": [str(TIERS[i]) for i in found[2].tolist()],
            "year": found[3] + static.start.year,
            "mw_days": mw_days(held.cube[found]),
        }
    )


def site_table(static: Static, draws: Draws, held: HeldUp) -> pd.DataFrame:
    """One row a site: who, where, how it ended, the binding branch, slack of the branches and days by cause, all in days.

    Slack is missing where power, shell and clearance were never all there.
    """
    import pandas as pd

    branches = [branch.name.lower() for branch in Branch]
    table = {
        "project": [draws.names[i] for i in held.root.tolist()],
        "hop": held.hop,
        "company": [static.companies[i] for i in held.company.tolist()],
        "country": [static.countries[i] for i in held.country.tolist()],
        "tier": [str(t) for t in static.tier[held.country].tolist()],
        "mw": held.mw16 / MW_SIXTEENTHS,
        "end": [End(i).name.lower().replace("_", " ") for i in held.how.tolist()],
        "binding": [branches[i] if i != NO_BRANCH else None for i in held.binding.tolist()],
        "days": (held.end - held.begin) / TICKS_PER_DAY,
    }
    for branch in Branch:
        slack = held.slack[:, branch]
        table[f"slack_{branches[branch]}_days"] = np.where(slack == NOT_JOINED, np.nan, slack / TICKS_PER_DAY)
    for cause, words in CAUSES.items():
        table[words] = held.ticks[:, cause] / TICKS_PER_DAY
    return pd.DataFrame(table)


# ------------------------------------------------------------------ what a policy costs in time


class Finished(IntEnum):
    """In which of two runs a lineage has a cluster online before the horizon."""

    BOTH = 0
    ONLY_REFERENCE = 1
    ONLY_SCENARIO = 2
    NEITHER = 3


FINISHED = {
    Finished.BOTH: "online in both",
    Finished.ONLY_REFERENCE: "online only in the reference",
    Finished.ONLY_SCENARIO: "online only in the scenario",
    Finished.NEITHER: "online in neither",
}


@dataclass(frozen=True)
class PolicyDelay:
    """Time a policy costs each lineage, against the same lineage under the reference. N lineages planned before the horizon.

    Lineages online before the start date in both runs, in the opening fleet or not, are left out.
    """

    root: Ints
    company: Ints
    tier: Ints
    """(N,) of the first site in the reference; 0 if the reference let it build nowhere"""
    mw16: Ints
    """(N,) planned IT load in 1/16 MW"""
    ticks: Ints
    """(N,) restricted time to first online in the scenario minus in the reference; both are cut at the horizon, so a lineage
    online in neither run counts 0 and one online in one run counts what is seen of the difference"""
    finished: Ints
    """(N,) `Finished`"""


class DelayRow(NamedTuple):
    """Lineages of a group and class ("all" marks a total), how much of them there is, and what the policy costs them."""

    company: str
    tier: str
    finished: str
    lineages: int
    mw: float
    months_mean: float
    """mean over lineages"""
    months_mw_mean: float
    """mean weighted by planned MW"""


def policy_delay(
    static: Static, draws: Draws, log: Log, reference: Static, reference_draws: Draws, reference_log: Log
) -> PolicyDelay:
    """Difference in restricted time from the first plan of a lineage to its first cluster online, scenario minus reference.

    Both runs must be the same replication: raises ValueError if their projects or horizons differ. Never add this to
    the binding causes: those describe one run, this compares two.
    """
    if draws.names != reference_draws.names or not np.array_equal(draws.planned, reference_draws.planned):
        raise ValueError("the two runs have different projects: a policy's delay is paired by lineage within one replication")
    if (static.horizon, static.start) != (reference.horizon, reference.start):
        raise ValueError(
            f"the two runs cover different days: from {static.start} to tick {static.horizon}, "
            f"from {reference.start} to tick {reference.horizon}"
        )
    online, before = _first_online(draws, log)
    online_reference, before_reference = _first_online(reference_draws, reference_log)
    root = np.nonzero((draws.planned < static.horizon) & ~(before & before_reference))[0]
    here, there = online[root] < static.horizon, online_reference[root] < static.horizon
    finished = np.select(
        [here & there, there, here], [Finished.BOTH, Finished.ONLY_REFERENCE, Finished.ONLY_SCENARIO], Finished.NEITHER
    )
    ticks = np.minimum(online[root], static.horizon) - np.minimum(online_reference[root], static.horizon)
    rows = reference_log[(reference_log["mark"] == Mark.PLANNED) & (reference_log["hop"] == 0)]
    tier = np.zeros(len(draws.names), dtype=np.int64)
    tier[rows["root"]] = reference.tier[reference.market_country[rows["pool"]]]
    return PolicyDelay(root, draws.company[root], tier[root], draws.mw16[root], ticks, finished.astype(np.int64))


def _first_online(draws: Draws, log: Log) -> tuple[Ints, Bools]:
    """(R,) tick of the first cluster online, not before the start date, NEVER without one; and whether it was online before that."""
    when, before = np.full(len(draws.names), NEVER), np.zeros(len(draws.names), dtype=np.bool_)
    for mark in (Mark.ONLINE, Mark.IN_FLEET):
        rows = log[(log["mark"] == mark) & (log["root"] >= 0)]
        np.minimum.at(when, rows["root"], np.maximum(rows["tick"], 0))
        before[rows["root"][(rows["tick"] < 0) | (mark == Mark.IN_FLEET)]] = True
    return when, before


def delay_rows(static: Static, delay: PolicyDelay) -> list[DelayRow]:
    """The delay by company and tier of the first site, over all lineages and by class. Empty groups are left out."""
    found = []
    everyone = np.ones(len(delay.root), dtype=np.bool_)
    companies = [("all", everyone), *((name, delay.company == k) for k, name in enumerate(static.companies))]
    tiers = [("all", everyone), *((str(t), delay.tier == t) for t in TIERS), ("none", delay.tier == 0)]
    classes = [("all", everyone), *((words, delay.finished == f) for f, words in FINISHED.items())]
    for company, of_company in companies:
        for tier, of_tier in tiers:
            for words, of_class in classes:
                chosen = of_company & of_tier & of_class
                if not chosen.any():
                    continue
                ticks, mw16 = delay.ticks[chosen], delay.mw16[chosen]
                whole, weight = int(ticks.sum()), int(mw16.sum())
                weighted = int((ticks * mw16).sum()) / weight if weight else np.nan
                mean = float(months(whole / len(ticks)))
                row = DelayRow(company, tier, words, len(ticks), weight / MW_SIXTEENTHS, mean, float(months(weighted)))
                found.append(row)
    return found


# ------------------------------------------------------------------ by when


@dataclass(frozen=True)
class Incidence:
    """Cumulative incidence: share that has ended in each way by a time since the plan. Step curves over E distinct end times."""

    months: Floats
    """(E,) times at which somebody ends; the curves are 0 before the first"""
    at_risk: Ints
    """(E,) seen and still unfinished just before each time"""
    curves: dict[str, Floats]
    """by kind of end (E,); together with those still waiting they make one"""
    cohort: int
    """lineages or sites counted"""

    def median(self, kind: str = "online") -> float | None:
        """Months by which half have ended this way; None if fewer than half are seen to: not reached."""
        return self.quantile(0.5, kind)

    def quantile(self, share: float, kind: str = "online") -> float | None:
        """Months by which a share has ended this way; None if not reached."""
        reached = np.nonzero(self.curves[kind] >= share - ALMOST)[0]
        return float(self.months[reached[0]]) if len(reached) else None

    def at(self, when: float, kind: str = "online") -> float:
        """Share that has ended this way by a number of months."""
        steps = int(np.searchsorted(self.months, when, side="right"))
        return float(self.curves[kind][steps - 1]) if steps else 0.0


def aalen_johansen(entry: Ints, leave: Ints, kind: Ints, kinds: Sequence[str]) -> Incidence:
    """Cumulative incidence with competing ends (Aalen and Johansen 1978), in ticks since the plan.

    `entry`: last tick on which it was not yet observed; `leave`: tick of its end or of the last look; `kind`: 0 still unfinished
    then, else 1 + index in `kinds`. Who ends at a tick is at risk at it, and so is who is last seen on it. With late entries
    a small first risk set may carry far: look at `at_risk`.
    """
    ended = kind > 0
    times = np.unique(leave[ended])
    at_risk = np.searchsorted(np.sort(entry), times, side="left") - np.searchsorted(np.sort(leave), times, side="left")
    step = np.searchsorted(times, leave[ended])
    counts = np.zeros((len(kinds), len(times)), dtype=np.int64)
    np.add.at(counts, (kind[ended] - 1, step), 1)
    waiting = np.cumprod(1 - counts.sum(axis=0) / at_risk)
    before = np.concatenate([[1.0], waiting[:-1]])[: len(times)]
    curves = {name: np.cumsum(before * counts[i] / at_risk) for i, name in enumerate(kinds)}
    return Incidence(months(times), at_risk, curves, len(entry))


def incidence(
    static: Static, draws: Draws, log: Log, *, sites: bool = False, pipeline: bool = False, among: Bools | None = None
) -> Incidence:
    """When lineages (clock from the first plan; ends: online, cancelled) or sites (clock from the site's own plan; also relocated) end.

    The cohort is what was planned since the start date; `pipeline` adds what was planned before and still unfinished then,
    left-truncated: it counts from the age at which it is seen. `among`: (R,) which lineages to look at. A lineage barred
    everywhere on the day of its plan is never planned, and not in the cohort.
    """
    shape = len(draws.names), HOPS
    chosen = np.isin(log["mark"], (Mark.PLANNED, Mark.ONLINE, Mark.CANCELLED, Mark.RELOCATED, Mark.IN_FLEET)) & (log["root"] >= 0)
    rows = log[chosen]

    def when(mark: Mark) -> Ints:
        of_mark = rows[rows["mark"] == mark]
        ticks = np.full(shape, NEVER)
        ticks[of_mark["root"], of_mark["hop"]] = of_mark["tick"]
        return ticks

    planned, online = when(Mark.PLANNED), when(Mark.ONLINE)
    ends = [online, when(Mark.CANCELLED), when(Mark.RELOCATED)]
    seen = np.minimum.reduce([*ends, when(Mark.IN_FLEET)]) >= 0
    names = ["online", "cancelled", "relocated"]
    if not sites:
        # A relocation is not an end of a lineage; a site of the opening fleet puts the whole lineage into it.
        alive = (when(Mark.IN_FLEET) == NEVER).all(axis=1)
        ends = [np.minimum.reduce(ticks, axis=1) for ticks in ends[:2]]
        seen, planned, names = alive & (np.minimum(*ends) >= 0), planned[:, 0], names[:2]
    looked_at = np.ones(shape[0], dtype=np.bool_) if among is None else among
    if sites:
        looked_at = np.repeat(looked_at[:, None], HOPS, axis=1)
    cohort = (planned < static.horizon) & seen & looked_at
    if not pipeline:
        cohort &= planned >= 0
    begin = planned[cohort]
    ticks = np.stack([end[cohort] for end in ends])
    kind = np.where(ticks.min(axis=0) < static.horizon, ticks.argmin(axis=0) + 1, 0)
    leave = np.minimum(ticks.min(axis=0), static.horizon) - begin
    return aalen_johansen(np.maximum(-begin, 0) - 1, leave, kind, names)


# ------------------------------------------------------------------ where scarce things went


@dataclass(frozen=True)
class Ledger:
    """A set of pools, month by month. All arrays (T, P), whole units: chips, or TPP.

    opening + released - lapsed - drawn - drawn_by_others + given_back = closing, and closing is the next month's opening.
    `declined` was offered or asked for but never entered or left: it stands beside the balance.
    """

    unit: str
    pools: tuple[str, ...]
    ends: tuple[str, ...]
    """(T,) last day of each month, ISO"""
    opening: Ints
    released: Ints
    lapsed: Ints
    drawn: Ints
    drawn_by_others: Ints
    given_back: Ints
    declined: Ints
    closing: Ints
    lowest: Ints
    """(P,) lowest balance after any event since the start date; below zero something was drawn that was not there"""

    def imbalance(self) -> Ints:
        """(T, P) what is left over if each month is added up and carried forward: zeros, or there is a mistake."""
        change = self.released - self.lapsed - self.drawn - self.drawn_by_others + self.given_back
        carried = np.vstack([self.opening[:1], self.closing[:-1]]) - self.opening
        return np.abs(self.opening + change - self.closing) + np.abs(carried)


COLUMNS = ("opening", "released", "lapsed", "drawn", "drawn_by_others", "given_back", "declined", "closing")


def ledger_table(ledger: Ledger) -> pd.DataFrame:
    """One row a month and pool in which anything is there or happens; columns pool, unit, date and those of `Ledger`."""
    import pandas as pd

    columns = {name: getattr(ledger, name) for name in COLUMNS}
    month, pool = np.nonzero(np.any(list(columns.values()), axis=0))
    labels = {
        "pool": [ledger.pools[p] for p in pool.tolist()],
        "unit": ledger.unit,
        "date": [ledger.ends[t] for t in month.tolist()],
    }
    return pd.DataFrame({**labels, **{name: table[month, pool] for name, table in columns.items()}})


def _month(static: Static, tick: Ints) -> Ints:
    """Index of the month in which a tick falls, -1 before the start."""
    return np.searchsorted(static.month_starts, tick, side="right") - 1


def _ends(static: Static) -> tuple[str, ...]:
    return tuple(day_of(int(t) - 1, static.start).isoformat() for t in static.month_starts[1:])


def _ledger(static: Static, unit: str, pools: Sequence[str], opening: Ints, flows: dict[str, Ints], lowest: Ints) -> Ledger:
    """Carry balances forward; `flows` (T, P) by column of `Ledger`."""
    empty = np.zeros((len(static.month_starts) - 1, len(pools)), dtype=np.int64)
    table = {name: flows.get(name, empty) for name in COLUMNS if name not in ("opening", "closing")}
    change = table["released"] - table["lapsed"] - table["drawn"] - table["drawn_by_others"] + table["given_back"]
    closing = opening + np.cumsum(change, axis=0)
    before = np.vstack([opening[None], closing[:-1]])
    return Ledger(unit, tuple(pools), _ends(static), opening=before, closing=closing, lowest=lowest, **table)


def _lowest(pools: int, pool: Ints, change: Ints, opening: Ints) -> Ints:
    """(P,) lowest running balance of each pool; `pool` and `change` in the order they happened."""
    lowest = opening.copy()
    order = np.argsort(pool, kind="stable")
    pool, change = pool[order], change[order]
    running = np.cumsum(change)
    base = np.concatenate([[0], running])[np.searchsorted(pool, np.arange(pools))]
    np.minimum.at(lowest, pool, opening[pool] + running - base[pool])
    return lowest


def chip_ledger(static: Static, draws: Draws, log: Log) -> Ledger:
    """Each company's stock of each accelerator, `company/accelerator`. Chips a waiting phase has gathered still count as stock.

    opening: in stock or under way on the start date, less what sites took before it; released: delivered; drawn: gathered and
    handed over, including what a stopped shipment gives back in the same instant; declined: offered, but beyond what the
    company's sites need.
    """
    a = len(static.accelerators)
    pools = [f"{company}/{chip}" for company in static.companies for chip in static.accelerators]
    shape = len(static.month_starts) - 1, len(pools)
    rows = log[np.isin(log["mark"], (Mark.DELIVERED, Mark.DECLINED, Mark.CHIPS_TAKEN, Mark.CHIPS_GIVEN_BACK))]
    root = rows["root"].astype(np.int64)
    company = np.where(root < 0, -1 - root, draws.company[np.maximum(root, 0)])
    pool, month, mark = company * a + rows["pool"], _month(static, rows["tick"]), rows["mark"]
    since = month >= 0
    opening = (draws.opening_stock + draws.under_way).reshape(-1)
    taken = ~since & (mark == Mark.CHIPS_TAKEN)
    np.subtract.at(opening, pool[taken], rows["quantity"][taken])
    flows = {}
    for column, marks in (
        ("released", (Mark.DELIVERED,)),
        ("declined", (Mark.DECLINED,)),
        ("drawn", (Mark.CHIPS_TAKEN, Mark.CHIPS_GIVEN_BACK)),
        ("given_back", (Mark.CHIPS_GIVEN_BACK,)),
    ):
        chosen = np.isin(mark, marks) & since
        flows[column] = np.zeros(shape, dtype=np.int64)
        np.add.at(flows[column], (month[chosen], pool[chosen]), rows["quantity"][chosen])
    sign = np.select([mark == Mark.DELIVERED, mark == Mark.CHIPS_TAKEN], [1, -1], 0)
    lowest = _lowest(len(pools), pool[since], (rows["quantity"] * sign)[since], opening)
    return _ledger(static, "chips", pools, opening, flows, lowest)


def pot_ledger(static: Static, log: Log) -> Ledger:
    """Each country's allocation: its limit less what has been drawn in the period that runs, in TPP.

    released: a limit comes into force or is raised, or what was drawn beyond it is forgotten (new period, end of the limit);
    lapsed: the limit falls or ends, or a new period forgets what was left; drawn: licences and counted shipments of the four
    companies; given_back: what a company exported while the pot only counted, on the day it is authorised; declined: TPP of
    applications returned for want of room. The balance is below zero where the law counts exports before it limits them, or
    lowers a limit below what is used.
    """
    c, t = len(static.countries), len(static.month_starts) - 1
    rows = log[np.isin(log["mark"], (Mark.DRAWN, Mark.RETURNED))]
    segment = np.searchsorted(static.law_ticks, rows["tick"], side="right") - 1
    returned = rows["mark"] == Mark.RETURNED
    no_room = returned & (rows["rule"] == static.allocation_rule[segment, rows["pool"]])
    no_room &= (static.allocation[segment, rows["pool"]] != NO_POT) & (rows["tick"] >= 0)
    names = ("released", "lapsed", "drawn", "drawn_by_others", "given_back", "declined")
    flows = {name: np.zeros((t, c), dtype=np.int64) for name in names}
    np.add.at(flows["declined"], (_month(static, rows["tick"][no_room]), rows["pool"][no_room]), rows["quantity"][no_room])

    opening, lowest = np.zeros(c, dtype=np.int64), np.zeros(c, dtype=np.int64)
    draws_of = rows[~returned]
    pots = (static.allocation != NO_POT).any(axis=0) | (static.allocation_counts == 1).any(axis=0)
    for country in np.nonzero(pots)[0].tolist():
        mine = draws_of[draws_of["pool"] == country]
        story = list(_pot_story(static, country, mine))
        tick, change = (np.array([entry[i] for entry in story], dtype=np.int64) for i in (0, 1))
        running, since = np.cumsum(change), tick >= 0
        opening[country] = change[~since].sum()
        lowest[country] = running[since].min(initial=opening[country])
        month = _month(static, tick)
        for at, (_, amount, column) in zip(month.tolist(), story, strict=True):
            if at >= 0:
                flows[column][at, country] += abs(amount)
    return _ledger(static, "TPP", static.countries, opening, flows, lowest)


def _pot_story(static: Static, country: int, drawn: Log) -> Iterator[tuple[int, int, str]]:
    """What happens to one pot in the order it happens: (tick, change of the balance, column of `Ledger`)."""
    balance = used = place = 0
    period: int | None = None
    ticks, quantities = drawn["tick"].tolist(), drawn["quantity"].tolist()
    by_others = (drawn["stage"] == Stage.OTHER_IMPORTERS).tolist()
    for begins, ends, limit, counts, window in zip(
        static.law_ticks.tolist(),
        [*static.law_ticks[1:].tolist(), static.horizon],
        static.allocation[:, country].tolist(),
        static.allocation_counts[:, country].tolist(),
        static.allocation_window[:, country].tolist(),
        strict=True,
    ):
        if begins >= static.horizon:
            return
        due = 0  # a pot that neither limits nor counts shows nothing, but remembers its period and what was drawn in it
        shows = limit != NO_POT or counts
        if shows:
            if period not in (None, window):
                yield begins, -balance, "lapsed" if balance > 0 else "released"
                balance = used = 0
            period = window
            due = (limit if limit != NO_POT else 0) - used
        yield begins, due - balance, "lapsed" if due < balance else "released"
        balance = due
        while place < len(ticks) and ticks[place] < ends:
            quantity = quantities[place]
            used += quantity
            if shows:
                balance -= quantity
                column = "given_back" if quantity < 0 else "drawn_by_others" if by_others[place] else "drawn"
                yield ticks[place], -quantity, column
            place += 1
