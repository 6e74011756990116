"""From events to words: the life of one project, and which projects and provisions lie behind a difference."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.events import Log, Mark, Stage
from simulator.metrics import NEVER, lives
from simulator.sampling import HOPS
from simulator.static import Draws, Route
from simulator.units import TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.compile import Compiled

WAITED = {
    Stage.SITE_SELECTION: "site selection",
    Stage.INTERCONNECTION: "grid connection",
    Stage.PERMITTING: "permitting",
    Stage.CONSTRUCTION: "construction",
    Stage.FIT_OUT: "fit-out",
    Stage.LICENCE_REVIEW: "licence review",
    Stage.ALLOCATION: "waiting for the country's allocation",
    Stage.AUTHORISATION: "waiting for headroom of the authorisation",
    Stage.CHIPS: "waiting for chips",
    Stage.SHIPPING: "shipping",
    Stage.INSTALLATION: "installation",
    Stage.COMMISSIONING: "commissioning",
}


def day(compiled: Compiled, tick: int) -> str:
    """ISO date of a tick."""
    return (compiled.static.start + timedelta(days=int(tick) // TICKS_PER_DAY)).isoformat()


def provision(compiled: Compiled, rule: int) -> str:
    """`fw.tier2 (15 CFR 742.6(b)(10))` for a rule index; words for none."""
    if rule < 0:
        return "no provision"
    id = compiled.static.provisions[rule]
    cited = compiled.provisions[id]
    return f"{id} ({cited.citation}{'' if cited.certain else '; from memory or judgement'})"


def find(draws: Draws, name: str) -> int:
    """Index of a project by name. Raises LookupError naming the nearest ones."""
    if name in draws.names:
        return draws.names.index(name)
    from difflib import get_close_matches

    near = get_close_matches(name, draws.names, n=3, cutoff=0.3)
    raise LookupError(f"no project {name!r} in this replication" + (f"; near: {', '.join(near)}" if near else ""))


def story(compiled: Compiled, draws: Draws, log: Log, root: int) -> list[str]:
    """The life of one lineage in words, a line a date, with waits, deciding provisions and quantities."""
    static = compiled.static
    company, route = static.companies[draws.company[root]], Route(int(draws.route[root])).name.lower().replace("_", "-")
    lines = [
        f"{draws.names[root]}: {company}, {draws.mw16[root] / 16:.1f} MW of IT, {route}, chips of {static.vendors[draws.vendor[root]]}"
    ]
    began: dict[int, int] = {}
    for event in log[log["root"] == root]:
        tick, stage, mark = int(event["tick"]), int(event["stage"]), int(event["mark"])
        rule, pool, quantity = int(event["rule"]), int(event["pool"]), int(event["quantity"])
        says = None
        if mark == Mark.START:
            began[stage] = tick
        elif mark in (Mark.END, Mark.HALTED) and stage in WAITED:
            length = (tick - began.pop(stage, tick)) / TICKS_PER_DAY
            ending = "ends" if mark == Mark.END else "is stopped"
            by = f"; {provision(compiled, rule)}" if rule >= 0 else ""
            says = f"{WAITED[Stage(stage)]} {ending} after {length:.0f} days{by}"
        elif mark == Mark.PLANNED:
            hop = f"successor {event['hop']} " if event["hop"] else ""
            country = static.countries[static.market_country[pool]]
            says = f"{hop}planned in {static.markets[pool]} ({country}, tier {static.tier[static.market_country[pool]]})"
        elif mark == Mark.GROUND_BREAKING:
            says = "ground is broken"
        elif mark == Mark.READY:
            says = "power and shell are there"
        elif mark == Mark.IN_FLEET:
            says = "was ready before the start date: part of the opening fleet"
        elif mark == Mark.FILED:
            says = f"files for a licence of {quantity / 1e6:,.1f} m TPP under {provision(compiled, rule)}"
        elif mark == Mark.APPROVED:
            says = f"licence granted for {quantity / 1e6:,.1f} m TPP"
        elif mark == Mark.DENIED:
            says = f"licence denied under {provision(compiled, rule)}"
        elif mark == Mark.RETURNED:
            says = f"application returned without action under {provision(compiled, rule)}"
        elif mark == Mark.CLEARED:
            says = f"cleared by {provision(compiled, rule)}"
        elif mark == Mark.CHIPS_TAKEN:
            says = f"{quantity:,} {static.accelerators[pool]} allotted"
        elif mark == Mark.CHIPS_GIVEN_BACK:
            says = f"{quantity:,} {static.accelerators[pool]} go back to stock: the law of the day stops the export"
        elif mark == Mark.SHIPPED:
            says = f"shipped, {quantity / 1e6:,.1f} m TPP"
        elif mark == Mark.DOWNSIZED:
            says = f"{quantity / 16:.1f} MW stay empty"
        elif mark == Mark.RELOCATED:
            says = f"given up for another country under {provision(compiled, rule)}"
        elif mark == Mark.CANCELLED:
            says = f"cancelled under {provision(compiled, rule)}"
        elif mark == Mark.ONLINE:
            says = f"online, {quantity / 16:.1f} MW"
        if says:
            lines.append(f"{day(compiled, tick)}  {says}")
    return lines


class Gap(NamedTuple):
    """One lineage that lost under a policy against the reference, in the same replication."""

    project: str
    company: str
    lost_mw_years: float
    says: str
    reason: str


def gaps(reference: Compiled, other: Compiled, draws: tuple[Draws, Draws], logs: tuple[Log, Log], most: int = 5) -> list[Gap]:
    """The lineages that lost most MW-years online under `other`, where they stood, and what decided."""
    if draws[0].names != draws[1].names:
        return []  # other inputs, other projects: nothing to pair by name
    horizon = other.static.horizon
    roots = len(draws[0].names)
    online, mw, site = [], [], []
    for compiled, drawn, log in zip((reference, other), draws, logs, strict=True):
        life = lives(compiled.static, drawn, log)
        rows = log[(log["mark"] == Mark.ONLINE) & (log["root"] >= 0)]
        first, size = np.full(roots, horizon), np.zeros(roots)
        first[rows["root"]], size[rows["root"]] = rows["tick"], rows["quantity"] / 16
        online.append(first)
        mw.append(size)
        last = np.maximum((life.planned.reshape(roots, HOPS) < NEVER).sum(axis=1) - 1, 0)
        site.append(life.country.reshape(roots, HOPS)[np.arange(roots), last])
    years = [(horizon - first) / TICKS_PER_DAY / 365.25 * size for first, size in zip(online, mw, strict=True)]
    lost = years[0] - years[1]
    found = []
    for root in np.argsort(-lost, kind="stable")[:most].tolist():
        if lost[root] < 1:
            break
        names = reference.static.countries
        where = [names[s[root]] for s in site]
        then, now = (day(reference, int(first[root])) if size[root] else None for first, size in zip(online, mw, strict=True))
        moved = "" if where[0] == where[1] else f" (in {where[1]} instead)"
        planned = f"{mw[0][root]:.0f} MW in {where[0]}"
        if now is None:
            says = (
                f"{planned} not online by {other.sampler.frame.end.year}; would have been in {then[:7] if then else '?'}{moved}"
            )
        elif mw[1][root] < mw[0][root] - 0.5:
            says = f"{planned} online with {mw[1][root]:.0f} MW only, in {now[:7]} instead of {then[:7] if then else '?'}{moved}"
        else:
            says = f"{planned} online in {now[:7]} instead of {then[:7] if then else '?'}{moved}"
        rule, reason = _reason(other, logs[1], root)
        by = f", {other.static.provisions[rule]}" if rule >= 0 else ""
        found.append(
            Gap(draws[0].names[root], reference.static.companies[draws[0].company[root]], float(lost[root]), says, reason + by)
        )
    return found


def _reason(compiled: Compiled, log: Log, root: int) -> tuple[int, str]:
    """The provision that weighed most on a lineage, and how: refusal before waiting before passage."""
    events = log[log["root"] == root]
    for mark, words in (
        (Mark.RELOCATED, "given up there"),
        (Mark.CANCELLED, "cancelled"),
        (Mark.DENIED, "licence denied"),
        (Mark.RETURNED, "application returned"),
    ):
        rows = events[(events["mark"] == mark) & (events["rule"] >= 0)]
        if len(rows):
            return int(rows[-1]["rule"]), words
    for stage, words in (
        (Stage.ALLOCATION, "waits for the country's allocation"),
        (Stage.AUTHORISATION, "waits for headroom of the authorisation"),
    ):
        rows = events[(events["stage"] == stage) & (events["mark"] == Mark.START)]
        if len(rows):
            return int(rows[-1]["rule"]), words
    rows = events[events["mark"] == Mark.FILED]
    if len(rows):
        return int(rows[-1]["rule"]), "licence review"
    rows = events[events["mark"] == Mark.CLEARED]
    if len(rows):
        return -1, "others come first for the chips"
    return -1, "others come first for the chips"
