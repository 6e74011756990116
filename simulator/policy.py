"""What the law does to plans: waits by cause, sites given up, applications and how long they take, allocations, deals, provisions.

Pure functions of the log and of the lives it tells. Tables (T, K, X) are running totals or levels at month ends, as
`lives.MonthEnds`; vectors (1 + K,) are for all companies, then each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.lives import ASKING, NEVER, once, summed
from simulator.static import NO_POT, Ints, Posture
from simulator.timeline import first_years, with_total
from simulator.units import MW_SIXTEENTHS, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.lives import Authorisations, Lives, MonthEnds, Rows, Spells, Waits
    from simulator.static import Draws, Static

WATTS_PER_SIXTEENTH = 1_000_000 // MW_SIXTEENTHS


# ---- what phases wait for, what is given up ---------------------------------------------------------------------------------


def waiting(life: Lives, blocked: Waits, ends: MonthEnds) -> Floats:
    """(causes, T, K, X) MW ready and not cleared at month ends, by `lives.ASKING`."""
    p, phase = life.phases, blocked.phase
    cause = np.searchsorted(ASKING, blocked.stage)
    mw = p.mw16[phase] / MW_SIXTEENTHS
    return ends.several(
        len(ASKING), np.tile(cause, 2), np.concatenate([blocked.begin, blocked.end]), np.tile(p.company[phase], 2),
        np.tile(p.country[phase], 2), np.concatenate([mw, -mw]),
    )  # fmt: skip


def present(life: Lives, phase: Ints, begin: Ints, end: Ints, ends: MonthEnds) -> Floats:
    """MW of phases in spells at month ends."""
    p = life.phases
    return ends.during(begin, end, p.company[phase], p.country[phase], p.mw16[phase] / MW_SIXTEENTHS)


def in_spell(life: Lives, found: Spells, blocked: Waits, ends: MonthEnds) -> Floats:
    """MW of ready and cleared phases in a stage: one that loses its clearance meanwhile waits for that."""
    begin = np.maximum(found.begin, life.phases.ready[found.phase])
    real = begin < found.end
    phase, begin, end = found.phase[real], begin[real], found.end[real]
    # Spells come in order of phase: pair each wait with those of its phase.
    first, last = (np.searchsorted(phase, blocked.phase, side=side) for side in ("left", "right"))
    pairs = last - first
    wait = np.repeat(np.arange(len(pairs)), pairs)
    spell = np.arange(len(wait)) - np.repeat(np.cumsum(pairs) - pairs, pairs) + first[wait]
    since, until = np.maximum(begin[spell], blocked.begin[wait]), np.minimum(end[spell], blocked.end[wait])
    both = since < until
    return present(life, phase, begin, end, ends) - present(life, blocked.phase[wait[both]], since[both], until[both], ends)


LOST = {"relocated": Mark.RELOCATED, "cancelled": Mark.CANCELLED, "downsized": Mark.DOWNSIZED, "let": Mark.LET}


def given_up(static: Static, draws: Draws, rows: Rows, ends: MonthEnds) -> dict[str, Floats]:
    """MW given up, left empty or let since the start: by the law, and where no provision decided (`_other`)."""
    found = [rows.of(Stage.PROJECT, mark) for mark in LOST.values()]
    line = np.repeat(np.arange(len(LOST)), [len(one) for one in found])
    chosen = np.concatenate(found)
    market = rows.pool[chosen]
    country = np.where(market >= 0, static.market_country[market], static.home)  # nowhere to go: it stays a plan at home
    tables = ends.several(
        2 * len(LOST), 2 * line + (rows.rule[chosen] < 0), np.where(rows.tick[chosen] < 0, NEVER, rows.tick[chosen]),
        draws.company[rows.root[chosen]], country, rows.quantity[chosen] / MW_SIXTEENTHS,
    )  # fmt: skip
    return dict(zip([f"{name}{by}" for name in LOST for by in ("", "_other")], tables, strict=True))


# ---- by country -------------------------------------------------------------------------------------------------------------


def quota_used(static: Static, rows: Rows, ticks: Ints) -> tuple[Floats, Floats]:
    """(Y, C) drawn from each country's allocation in the period that runs, in TPP, and as a share of it, at some ticks.

    nan where the law of the segment neither counts nor limits, or does not limit.
    """
    segment = np.searchsorted(static.law_ticks, ticks, side="right") - 1
    drawn = np.concatenate([rows.of(stage, Mark.DRAWN) for stage in (Stage.ALLOCATION, Stage.OTHER_IMPORTERS)])
    country = rows.pool[drawn]
    then = np.searchsorted(static.law_ticks, rows.tick[drawn], side="right") - 1
    window = static.allocation_window[then, country]
    counts = (window == static.allocation_window[segment][:, country]) & (rows.tick[drawn] <= ticks[:, None])
    used = np.zeros((len(ticks), len(static.countries)))
    for y in range(len(ticks)):
        used[y] = np.bincount(country[counts[y]], weights=rows.quantity[drawn[counts[y]]], minlength=len(static.countries))
    limit = static.allocation[segment]
    limits = limit != NO_POT
    share = np.divide(used, limit, out=np.where(limits & (used > 0), np.inf, 0.0), where=limits & (limit > 0))
    known = limits | (static.allocation_counts[segment] == 1)
    return np.where(known, used, np.nan), np.where(limits, share, np.nan)


@once
def deal_countries(static: Static) -> tuple[Ints, Ints]:
    """(countries, ticks): where a deal governs licences, and from when it is announced."""
    by_law = (static.posture == Posture.DEAL_WINDOW).any(axis=(1, 3))
    first = np.where(by_law.any(axis=0), static.law_ticks[by_law.argmax(axis=0)], static.horizon)
    announced = np.where(static.deal_announced < static.horizon, static.deal_announced, first)
    countries = np.nonzero(announced < static.horizon)[0]
    return countries, announced[countries]


def deal_quantities(static: Static, rows: Rows, life: Lives, ends: MonthEnds, at: list[int]) -> Floats:
    """(6, Y, C) TPP announced, framed, licensed, shipped, installed, online in destinations of a deal; nan elsewhere."""
    table = np.full((6, len(at), len(static.countries)), np.nan)
    where, announced = deal_countries(static)
    if not len(where):
        return table
    since = np.full(len(static.countries), NEVER)
    since[where] = announced
    framed = since.copy()
    negotiated = static.deal_announced < static.horizon
    framed[negotiated] = NEVER
    end = rows.of(Stage.FRAMEWORK, Mark.END)
    framed[rows.pool[end]] = rows.tick[end]

    sites, p = life.sites, life.phases
    made = np.nonzero(sites.planned < NEVER)[0]
    made = made[sites.planned[made] >= since[sites.country[made]]]
    tick, company, country = sites.planned[made], sites.company[made], sites.country[made]
    chip = static.newest[np.searchsorted(static.law_ticks, tick, side="right") - 1]
    tpp = sites.mw16[made] * WATTS_PER_SIXTEENTH / static.watts[chip] * static.tpp[chip]

    licensed = np.zeros((ends.months, ends.companies, ends.places))
    for stage, mark, sign in (
        (Stage.LICENCE_REVIEW, Mark.APPROVED, 1.0), (Stage.FRAMEWORK, Mark.APPROVED, 1.0), (Stage.LICENCE_REVIEW, Mark.LAPSED, -1.0),
    ):  # fmt: skip
        found = rows.of(stage, mark)
        if len(found):
            licensed += ends.totals(rows.tick[found], rows.company(found), rows.pool[found], sign * rows.quantity[found])
    steps = [
        ends.totals(tick, company, country, tpp),
        ends.totals(np.maximum(tick, framed[country]), company, country, tpp),
        licensed,
        *(ends.totals(when, p.company, p.country, p.tpp.astype(np.float64)) for when in (p.shipped, p.installed, p.online)),
    ]
    for i, step in enumerate(steps):
        table[i][:, where] = step[at].sum(axis=1)[:, where]
    return table


# ---- applications -----------------------------------------------------------------------------------------------------------


def licences(static: Static, rows: Rows) -> dict[str, Floats]:
    """Applications since the start, and how long those decided since took."""
    case = decided_cases(rows)
    companies = len(static.companies)
    numbers = {}
    for name, mark in (
        ("filed", Mark.FILED), ("approved", Mark.APPROVED), ("denied", Mark.DENIED), ("returned", Mark.RETURNED),
    ):  # fmt: skip
        found = rows.of(Stage.LICENCE_REVIEW, mark)
        found = found[rows.tick[found] >= 0]
        numbers[f"licences_{name}"] = with_total(np.bincount(rows.company(found), minlength=companies).astype(np.float64))
    numbers["licences_refused"] = numbers["licences_denied"] + numbers["licences_returned"]
    since = case.decided >= 0
    company = case.company[since]
    count = with_total(np.bincount(company, minlength=companies).astype(np.float64))
    for name, ticks in (("wait", case.decided - case.filed), ("queue", case.queued), ("stop", case.stopped)):
        total = with_total(summed(company, ticks[since] / TICKS_PER_DAY, companies))
        numbers[f"licence_{name}_days"] = np.divide(total, count, out=np.full(1 + companies, np.nan), where=count > 0)
    return numbers


class Cases(NamedTuple):
    """Applications that were decided, in order of filing; all (N,), times in ticks."""

    company: Ints
    country: Ints
    filed: Ints
    decided: Ints
    queued: Ints
    """before a reviewer took it up"""
    stopped: Ints
    """with the clock stopped"""


def decided_cases(rows: Rows) -> Cases:
    """Every application with its decision. One is under review at a time for a company and country, so filings pair by number."""
    filed = rows.of(Stage.LICENCE_REVIEW, Mark.FILED)

    def key(found: Ints) -> Ints:
        return (rows.company(found) << 32) | (rows.pool[found] << 16) | rows.log["phase"][found].astype(np.int64)

    order = np.argsort(key(filed), kind="stable")
    keys = key(filed)[order]

    def matched(mark: Mark, values: Ints) -> Ints:
        found = rows.of(Stage.LICENCE_REVIEW, mark)
        out = np.zeros(len(filed), dtype=np.int64)
        if len(found):
            out[order[np.searchsorted(keys, key(found))]] = values[found]
        return out

    pending = -NEVER
    decided = np.full(len(filed), pending)
    for mark in (Mark.APPROVED, Mark.DENIED, Mark.RETURNED):
        found = rows.of(Stage.LICENCE_REVIEW, mark)
        if len(found):
            decided[order[np.searchsorted(keys, key(found))]] = rows.tick[found]
    queued, stopped = matched(Mark.QUEUED, rows.quantity), matched(Mark.STOPPED, rows.quantity)
    done = decided > pending
    filed = filed[done]
    return Cases(rows.company(filed), rows.pool[filed], rows.tick[filed], decided[done], queued[done], stopped[done])


def dates(static: Static, rows: Rows, life: Lives, held: Authorisations) -> dict[str, Floats]:
    """When allocations bind first, and when authorisations come and go."""
    companies = len(static.companies)
    waits_for_room = rows.of(Stage.ALLOCATION, Mark.WAITS)
    returned = rows.of(Stage.LICENCE_REVIEW, Mark.RETURNED)
    then = np.searchsorted(static.law_ticks, rows.tick[returned], side="right") - 1
    limit = static.allocation[then, rows.pool[returned]]
    no_room = (rows.rule[returned] == static.allocation_rule[then, rows.pool[returned]]) & (limit != NO_POT)
    returned = returned[no_room & (rows.tick[returned] >= 0)]
    waits_for_room = waits_for_room[rows.tick[waits_for_room] >= 0]
    waiting_company = life.phases.company[life.place[rows.unit[waits_for_room]]]
    tick = np.concatenate([rows.tick[waits_for_room], rows.tick[returned]])
    k = np.arange(companies)
    national = (held.national < static.horizon).sum(axis=1).astype(np.float64)
    return {
        "quota_binding_date": first_years(static, tick, np.concatenate([waiting_company, rows.company(returned)])),
        "quota_return_date": first_years(static, rows.tick[returned], rows.company(returned)),
        "authorisation_date": first_years(static, held.since, k),
        "authorisation_lost_date": first_years(static, held.until, k),
        "national_authorisations": with_total(national),
    }


class Little(NamedTuple):
    """Little's law, L = lambda W, over a stretch of time: two ways to one number."""

    mean_number: float
    """waiting at a moment, averaged over time: what a plain count gives"""
    arrivals_a_day: float
    mean_days: float
    """waited within the stretch, mean over those who waited in it"""


def little(begin: Ints, end: Ints, first: int, last: int) -> Little:
    """Count who waits from `begin` to `end` between two ticks, by stepping through time; and arrivals and waits, by adding up.

    The product of the last two equals the first, for any waits: a check of how waits are recorded.
    """
    begin, end = np.clip(begin, first, last), np.clip(end, first, last)
    inside = end > begin
    begin, end = begin[inside], end[inside]
    tick = np.concatenate([begin, end])
    step = np.repeat([1, -1], len(begin))
    order = np.argsort(tick, kind="stable")
    number = np.cumsum(step[order])
    mean = float((number[:-1] * np.diff(tick[order])).sum() / (last - first)) if len(tick) else 0.0
    days = (last - first) / TICKS_PER_DAY
    waited = float((end - begin).mean() / TICKS_PER_DAY) if len(begin) else float("nan")
    return Little(mean, len(begin) / days, waited)


# ---- by provision -----------------------------------------------------------------------------------------------------------


def provisions(static: Static, rows: Rows, life: Lives, blocked: Waits) -> Floats:
    """(P, 5) what each provision did since the start: MW cleared, MW-days ready phases waited for it, MW moved, lost, left empty."""
    p = life.phases
    count = len(static.provisions)
    table = np.zeros((count, 5))
    cleared = (p.clearance_rule >= 0) & (p.cleared < NEVER) & (p.cleared >= 0)
    table[:, 0] = np.bincount(p.clearance_rule[cleared], weights=p.mw16[cleared] / MW_SIXTEENTHS, minlength=count)
    begin, until = np.maximum(blocked.begin, 0), np.minimum(blocked.end, static.horizon)
    late = (blocked.rule >= 0) & (until > begin)
    mw_days = p.mw16[blocked.phase] / MW_SIXTEENTHS * (until - begin) / TICKS_PER_DAY
    table[:, 1] = np.bincount(blocked.rule[late], weights=mw_days[late], minlength=count)
    for column, mark in ((2, Mark.RELOCATED), (3, Mark.CANCELLED), (4, Mark.DOWNSIZED)):
        lost = rows.of(Stage.PROJECT, mark)
        lost = lost[(rows.tick[lost] >= 0) & (rows.rule[lost] >= 0)]
        table[:, column] = np.bincount(rows.rule[lost], weights=rows.quantity[lost] / MW_SIXTEENTHS, minlength=count)
    return table
