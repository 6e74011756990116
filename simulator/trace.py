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
    """One lineage that fared differently under two policies, in the same replication."""

    project: str
    company: str
    mw: float
    country_reference: str
    country: str
    online_reference: str | None
    online: str | None
    provision: str
    reason: str


def gaps(reference: Compiled, other: Compiled, draws: tuple[Draws, Draws], logs: tuple[Log, Log], most: int = 5) -> list[Gap]:
    """The lineages with the largest difference in MW-days online, each with the provision that decided it in `other`."""
    horizon = other.static.horizon
    shape = len(draws[0].names), HOPS
    if draws[0].names != draws[1].names:
        return []  # other inputs, other projects: nothing to pair by name
    lives_of = [lives(c.static, d, log) for c, d, log in zip((reference, other), draws, logs, strict=True)]
    first = [np.minimum(life.online.reshape(shape).min(axis=1), horizon) for life in lives_of]
    weight = np.abs(first[1] - first[0]) / TICKS_PER_DAY * draws[0].mw16 / 16
    found = []
    for root in np.argsort(-weight, kind="stable")[:most]:
        if weight[root] <= 0:
            break
        hops = [
            int(np.argmin(np.where(life.online.reshape(shape)[root] < NEVER, life.online.reshape(shape)[root], NEVER)))
            for life in lives_of
        ]
        sites = []
        for life, hop in zip(lives_of, hops, strict=True):
            reached = life.planned.reshape(shape)[root] < NEVER
            last = hop if life.online.reshape(shape)[root, hop] < NEVER else max(int(reached.sum()) - 1, 0)
            sites.append(int(life.country.reshape(shape)[root, last]))
        rule, reason = _reason(other, logs[1], int(root))
        online = [day(reference, int(t)) if t < horizon else None for t in (first[0][root], first[1][root])]
        names = reference.static.countries
        found.append(
            Gap(
                draws[0].names[root],
                reference.static.companies[draws[0].company[root]],
                float(draws[0].mw16[root] / 16),
                names[sites[0]],
                names[sites[1]],
                online[0],
                online[1],
                provision(other, rule),
                reason,
            )
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
    rows = events[(events["stage"] == Stage.ALLOCATION) & (events["mark"] == Mark.START)]
    if len(rows):
        return int(rows[-1]["rule"]), "waits for the country's allocation"
    rows = events[events["mark"] == Mark.FILED]
    if len(rows):
        return int(rows[-1]["rule"]), "licence review"
    rows = events[events["mark"] == Mark.CLEARED]
    if len(rows):
        return int(rows[-1]["rule"]), "passes; chips or another site come earlier or later"
    return -1, "plans changed"
