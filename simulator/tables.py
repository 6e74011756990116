"""What is told of single runs, as tables: sites, phases, campuses, causes, delays, ledgers, licences, deals.

Each table is a pure function of a run's inputs and its log; a results folder holds them for the replications kept in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulator.campuses import THRESHOLDS_MW, campuses, large_campuses
from simulator.causes import (
    DelayRow,
    Event,
    HeldUp,
    cause_table,
    delay_rows,
    headroom_table,
    held_up,
    ledger_table,
    ledgers,
    phase_table,
    policy_delay,
    survival_table,
)
from simulator.events import Log, Mark, Stage
from simulator.lives import NEVER, Lives, MonthEnds, Rows, lives_of
from simulator.policy import deal_quantities
from simulator.sampling import HOPS
from simulator.static import PHASES, Draws, Ints, Route, Static, Workload
from simulator.trace import applications, provision
from simulator.units import MW_SIXTEENTHS, PPM, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.compile import Compiled
    from simulator.experiments import Comparison

TOLD = (
    "sites", "phases", "campuses", "causes", "policy_delay", "survival", "ledgers", "headroom", "licences", "deals",
)  # fmt: skip
"""Tables of the replications kept in full, one Parquet file each."""


def told(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """What is told of the replications kept in full, by name of the table (`TOLD`); columns scenario and replication come last.

    sites and phases: milestones as dates, what held each phase up and the slack of its branches; campuses: which sites stand together;
    causes: MW-days by binding cause; policy_delay: against the reference, by lineage; survival: time to online by cohort; ledgers:
    every pool by month; headroom: of universal authorisations; licences: every application; deals: the six quantities of each.
    """
    static_of = {compiled.scenario.name: compiled.static for compiled in comparison.compiled}
    base = comparison.reference
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TOLD}
    for compiled in comparison.compiled:
        name, static = compiled.scenario.name, compiled.static
        for replication, (draws, log) in comparison.runs[name].items():
            new = _told_of(compiled, draws, log)
            if name != base and replication in comparison.runs[base]:
                base_draws, base_log = comparison.runs[base][replication]
                if base_draws.names == draws.names and (base_draws.planned == draws.planned).all():
                    delay = policy_delay(static, draws, log, static_of[base], base_draws, base_log)
                    new["policy_delay"] = pd.DataFrame(delay_rows(static, delay), columns=list(DelayRow._fields)).assign(
                        reference=base
                    )
            for table, frame in new.items():
                tables[table].append(frame.assign(scenario=name, replication=replication))
    return {table: pd.concat(frames, ignore_index=True) for table, frames in tables.items() if frames}


def _told_of(compiled: Compiled, draws: Draws, log: Log) -> dict[str, pd.DataFrame]:
    """The tables of one run that need no other run."""
    static = compiled.static
    held = held_up(static, draws, log)
    rows = Rows(log)
    life = lives_of(static, draws, rows)
    return {
        "sites": _sites(compiled, draws, life),
        "phases": _phases(compiled, draws, held, life),
        "campuses": _campuses(static, draws, life),
        "causes": cause_table(static, held),
        "survival": survival_table(static, draws, log),
        "ledgers": pd.concat([ledger_table(static, ledger) for ledger in ledgers(static, draws, log)], ignore_index=True),
        "headroom": headroom_table(static, draws, log),
        "licences": _licences(compiled, log),
        "deals": _deals(static, rows, life),
    }


def _dates(static: Static, ticks: Ints) -> pd.DatetimeIndex:
    """Ticks as dates, missing where it never happened."""
    days = np.where(ticks < NEVER, ticks // TICKS_PER_DAY, 0).astype("timedelta64[D]")
    return pd.to_datetime(np.where(ticks < NEVER, np.datetime64(static.start) + days, np.datetime64("NaT")))


def _named(names: Sequence[str], index: Ints) -> NDArray[np.object_]:
    """Names by index, none for -1."""
    return np.array([names[i] if i >= 0 else None for i in index.tolist()], dtype=np.object_)


def _cited(compiled: Compiled, rule: Ints) -> NDArray[np.object_]:
    """Provisions with their citations, none for -1."""
    words = {r: provision(compiled, r) for r in np.unique(rule).tolist() if r >= 0}
    return np.array([words.get(r) for r in rule.tolist()], dtype=np.object_)


def _sites(compiled: Compiled, draws: Draws, life: Lives) -> pd.DataFrame:
    """One row a planned site, with its milestones as dates, its company's own date of first power and the slippage from it."""
    static, s, p = compiled.static, life.sites, life.phases
    site = np.nonzero(s.planned < NEVER)[0]
    root, hop = np.divmod(site, HOPS)

    def total(amount: Ints) -> Ints:
        return np.bincount(p.site, weights=amount, minlength=len(s.planned))[site]

    first = np.full(len(s.planned), NEVER)
    np.minimum.at(first, p.site, p.online)
    late = (s.first_power[site] < NEVER) & (s.own_date[site] < NEVER)
    online, fleet = total(p.online_mw16), total(np.where(p.in_fleet < NEVER, p.mw16, 0))
    end = np.select(
        [s.full[site] < NEVER, s.let[site] < NEVER, s.relocated[site] < NEVER, s.ended[site] < NEVER, fleet > 0, online > 0],
        ["online", "let", "relocated", "cancelled", "in fleet", "partly online"],
        "open",
    )
    table = {
        "project": _named(draws.names, root),
        "hop": hop,
        "company": _named(static.companies, s.company[site]),
        "country": _named(static.countries, s.country[site]),
        "market": _named(static.markets, s.market[site]),
        "tier": static.tier[s.country[site]],
        "route": [Route(r).name.lower() for r in draws.route[root].tolist()],
        "workload": [Workload(w).name.lower() for w in draws.workload[root].tolist()],
        "phases": total(np.ones(len(p.site), dtype=np.int64)).astype(np.int64),
        "it_mw": s.mw16[site] / MW_SIXTEENTHS,
        "it_mw_online": online / MW_SIXTEENTHS,
        "h100e": total(p.h100e_ppm) / PPM,
        "bridged": s.bridged[site] < NEVER,
        "end": end,
        "ended_by": _cited(compiled, s.end_rule[site]),
        "slippage_days": np.where(
            late, (s.first_power - np.where(s.own_date < NEVER, s.own_date, 0))[site] / TICKS_PER_DAY, np.nan
        ),
    }
    milestones = {
        "planned": s.planned, "site_control": s.site_control, "ground_breaking": s.ground_breaking, "own_date": s.own_date,
        "shell_ready": s.shell_ready, "first_power": s.first_power, "grid": s.grid, "first_online": first, "full": s.full,
        "let": s.let, "ended": s.ended,
    }  # fmt: skip
    return pd.DataFrame({**table, **{name: _dates(static, ticks[site]) for name, ticks in milestones.items()}})


def _phases(compiled: Compiled, draws: Draws, held: HeldUp, life: Lives) -> pd.DataFrame:
    """One row a phase: what held it up, then its milestones as dates, the provisions that let it pass, and its chips."""
    static = compiled.static
    row = life.place[(held.root * HOPS + held.hop) * PHASES + held.phase]
    p = life.phases
    table = phase_table(static, draws, held)
    milestones = ("asked", "cleared", "powered", "shell_ready", "ready", "shipped", "installed", "online", "in_fleet", "ended")
    return table.assign(
        vendor=_named(static.vendors, p.vendor[row]),
        it_mw_online=p.online_mw16[row] / MW_SIXTEENTHS,
        h100e=p.h100e_ppm[row] / PPM,
        tpp_shipped=p.tpp[row],
        front_loaded=p.front_loaded[row] < NEVER,
        cleared_by=_cited(compiled, p.clearance_rule[row]),
        shipped_under=_cited(compiled, p.ship_rule[row]),
        **{name: _dates(static, getattr(p, name)[row]) for name in milestones},
    )


def _campuses(static: Static, draws: Draws, life: Lives) -> pd.DataFrame:
    """One row a campus: which sites stand together, how large they may grow, and when they run 300 MW and 1 GW of facility load."""
    s, p = life.sites, life.phases
    campus = campuses(draws, s)
    founder = np.unique(campus[campus >= 0])
    planned = campus >= 0
    size = np.bincount(campus[planned], weights=s.mw16[planned], minlength=len(campus))[founder]
    online = np.bincount(campus[p.site], weights=p.online_mw16, minlength=len(campus))[founder]
    table = {
        "campus": [f"{draws.names[f // HOPS]}/{f % HOPS}" if f % HOPS else draws.names[f // HOPS] for f in founder.tolist()],
        "company": _named(static.companies, s.company[founder]),
        "country": _named(static.countries, s.country[founder]),
        "market": _named(static.markets, s.market[founder]),
        "sites": np.bincount(campus[planned], minlength=len(campus))[founder],
        "it_mw_limit": draws.campus_mw16[founder // HOPS] / MW_SIXTEENTHS,
        "it_mw_planned": size / MW_SIXTEENTHS,
        "it_mw_online": online / MW_SIXTEENTHS,
        "facility_mw_online": online / MW_SIXTEENTHS * draws.design_ratio_ppm / PPM,
    }
    for threshold in THRESHOLDS_MW:
        reached, tick = large_campuses(campus, p, draws.design_ratio_ppm, threshold)
        when = np.full(len(campus), NEVER)
        when[reached] = tick
        table[f"facility_mw_{threshold}"] = _dates(static, when[founder])
    return pd.DataFrame(table)


def _licences(compiled: Compiled, log: Log) -> pd.DataFrame:
    """One row an application: what was asked, how long it waited for a reviewer and stood still, and what was decided.

    kind: licence, universal authorisation, national authorisation, or real grant (the overlay of history); a licence's `number` counts
    by company and country. Days and decision are missing while an application is under review.
    """
    static = compiled.static

    def row(kind: str, company: int, country: int, filed: int, rule: int, **more: Any) -> dict[str, Any]:
        return {
            "kind": kind,
            "company": static.companies[company],
            "country": static.countries[country],
            "filed": filed,
            "provision": static.provisions[rule] if rule >= 0 else None,
            "certain": compiled.provisions[static.provisions[rule]].certain if rule >= 0 else None,
            **more,
        }

    table = [
        row(
            "licence", a.company, a.country, a.filed, a.rule, number=a.number, tpp=a.tpp, queue_days=a.queued / TICKS_PER_DAY,
            stop_days=a.stopped / TICKS_PER_DAY, decided=NEVER if a.decided is None else a.decided,
            decision=None if a.mark is None else a.mark.name.lower(),
            decided_by=static.provisions[a.decided_by] if a.decided_by >= 0 else None,
        )
        for a in applications(len(static.companies), log)
    ]  # fmt: skip
    decisions = {Mark.APPROVED: "approved", Mark.DENIED: "denied", Mark.REVOKED: "revoked"}
    filed: dict[tuple[int, int], Event] = {}
    stages = (Stage.AUTHORISATION, Stage.NATIONAL_AUTHORISATION, Stage.FRAMEWORK)
    for e in map(Event._make, log[np.isin(log["stage"], stages) & (log["root"] < 0)].tolist()):
        company = -1 - e.root
        if e.stage == Stage.NATIONAL_AUTHORISATION and e.mark == Mark.FILED:
            filed[company, e.pool] = e
        elif e.stage == Stage.FRAMEWORK and e.mark == Mark.APPROVED:
            more = {"tpp": e.quantity, "decided": e.tick, "decision": "approved"}
            table.append(row("real grant", company, e.pool, NEVER, e.rule, **more))
        elif e.stage != Stage.FRAMEWORK and e.mark in decisions:
            kind, since = "universal authorisation", int(static.authorisation_applied[company])
            if e.stage == Stage.NATIONAL_AUTHORISATION:
                kind, since = "national authorisation", filed.pop((company, e.pool)).tick
            table.append(row(kind, company, e.pool, since, e.rule, decided=e.tick, decision=decisions[Mark(e.mark)]))
    table += [row("national authorisation", k, c, e.tick, e.rule) for (k, c), e in filed.items()]
    columns = [
        "kind", "company", "country", "number", "filed", "provision", "certain", "tpp", "queue_days", "stop_days", "decided", "decision",
        "decided_by",
    ]  # fmt: skip
    frame = pd.DataFrame(table, columns=columns)
    begin, end = (np.array([one.get(name, NEVER) for one in table], dtype=np.int64) for name in ("filed", "decided"))
    both = (begin < NEVER) & (end < NEVER)
    frame["days"] = np.where(both, (np.where(both, end, 0) - np.where(both, begin, 0)) / TICKS_PER_DAY, np.nan)
    numbers = {"number": "Int64", "tpp": "Int64", "queue_days": "float64", "stop_days": "float64"}
    return frame.assign(filed=_dates(static, begin), decided=_dates(static, end)).astype(numbers)


DEAL_STEPS = ("announced", "framed", "licensed", "shipped", "installed", "online")


def _deals(static: Static, rows: Rows, life: Lives) -> pd.DataFrame:
    """The six quantities of each destination of a deal, TPP by month end, cumulative: `policy.deal_quantities`. No empty rows."""
    ends = MonthEnds(static, np.arange(len(static.countries)), len(static.countries))
    table = np.nan_to_num(deal_quantities(static, rows, life, ends, list(range(ends.months))))
    month, country = np.nonzero(table.any(axis=0))
    return pd.DataFrame(
        {
            "country": _named(static.countries, country),
            "date": _dates(static, static.month_starts[1:] - TICKS_PER_DAY)[month],
            **{f"{name}_tpp": amounts[month, country] for name, amounts in zip(DEAL_STEPS, table, strict=True)},
        }
    )
