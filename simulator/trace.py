"""From events to words: the life of one project, the same life under two policies, and what lies behind a difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.causes import (
    CAUSES,
    GIVEN_UP,
    NO_BRANCH,
    NOT_JOINED,
    WAITING,
    Branch,
    Cause,
    End,
    Event,
    HeldUp,
    Site,
    held_up,
    mw_days,
    sites,
)
from simulator.costs import deliveries, money
from simulator.events import Log, Mark, Stage
from simulator.lives import MonthEnds, Rows, lives_of
from simulator.static import Draws, Route, Workload
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, PPM, TICKS_PER_DAY, day_of

if TYPE_CHECKING:
    from simulator.compile import Compiled

COMPANIES = {"aws": "AWS", "google": "Google", "microsoft": "Microsoft", "oracle": "Oracle"}
ROUTES = {
    Route.CLASSIC: "classic new campus",
    Route.AI_FIRST: "AI-first new campus",
    Route.EXPANSION: "expansion of a campus",
    Route.LEASED: "leased shell",
}
WORK = {
    Stage.SITE_SELECTION: "site selection",
    Stage.PERMITTING: "permitting",
    Stage.CONSTRUCTION: "construction",
    Stage.FIT_OUT: "fit-out",
    Stage.SHIPPING: "shipping",
    Stage.INSTALLATION: "installation",
    Stage.COMMISSIONING: "commissioning",
}
BRANCHES = {Branch.POWER: "power", Branch.SHELL: "the shell", Branch.CLEARANCE: "clearance"}
AUTHORISED = {Mark.APPROVED: "gets", Mark.DENIED: "is refused", Mark.REVOKED: "loses"}
DECISIONS = {Mark.APPROVED: "granted", Mark.DENIED: "denied", Mark.RETURNED: "returned without action"}


def day(compiled: Compiled, tick: int) -> str:
    """ISO date of a tick."""
    return day_of(int(tick), compiled.static.start).isoformat()


def provision(compiled: Compiled, rule: int) -> str:
    """`fw.tier2 (15 CFR 742.6(b)(10))` for a rule index; words for none."""
    if rule < 0:
        return "no provision"
    id = compiled.static.provisions[rule]
    cited = compiled.provisions[id]
    return f"{id} ({cited.citation}{'' if cited.certain else '; from memory or judgement'})"


def find(draws: Draws, name: str) -> int:
    """Index of a project by name; of a successor (`name/2`), that of its lineage. Raises LookupError naming the nearest ones."""
    for known in (name, name.rpartition("/")[0] if name.rpartition("/")[2].isdigit() else name):
        if known in draws.names:
            return draws.names.index(known)
    from difflib import get_close_matches

    near = get_close_matches(name, draws.names, n=3, cutoff=0.3)
    raise LookupError(f"no project {name!r} in this replication" + (f"; near: {', '.join(near)}" if near else ""))


# ------------------------------------------------------------------ what companies ask of the authority


@dataclass(frozen=True, slots=True)
class Application:
    """One application of a company for a country, from filing to decision."""

    company: int
    country: int
    number: int
    """counted from 1 by company and country"""
    rule: int
    """provision that asks for the licence"""
    tpp: int
    filed: int
    queued: int
    """ticks in line for a reviewer"""
    stopped: int
    """ticks for which its clock was stopped"""
    decided: int | None
    """tick, None while it is under review"""
    mark: Mark | None
    """APPROVED, DENIED or RETURNED"""
    decided_by: int
    """provision named by the decision: that of the allocation if there was no room in it"""


def applications(companies: int, log: Log) -> list[Application]:
    """Every licence application of the companies (their number is given), in the order they were filed."""
    mine = (log["stage"] == Stage.LICENCE_REVIEW) & (log["root"] < 0) & (log["root"] >= -companies)
    pending: dict[tuple[int, int], tuple[int, int, int, int, int, int]] = {}
    found: list[Application] = []

    def close(key: tuple[int, int], decision: Event | None) -> None:
        asked = pending.pop(key)
        if decision is None:
            found.append(Application(*key, *asked, None, None, -1))
        else:
            found.append(Application(*key, *asked, decision.tick, Mark(decision.mark), decision.rule))

    for e in map(Event._make, log[mine].tolist()):
        key = -1 - e.root, e.pool
        if e.mark == Mark.FILED:
            pending[key] = e.phase + 1, e.rule, e.quantity, e.tick, 0, 0
        elif e.mark == Mark.QUEUED:
            pending[key] = (*pending[key][:4], e.quantity, 0)
        elif e.mark == Mark.STOPPED:
            pending[key] = (*pending[key][:5], e.quantity)
        elif e.mark in DECISIONS:
            close(key, e)
    for key in list(pending):
        close(key, None)
    return sorted(found, key=lambda a: (a.filed, a.company, a.country))


# ------------------------------------------------------------------ the story


class _Said(NamedTuple):
    """Something that happened, in words. What several phases do on one day is said once: `{who}` names them, `{mw}`, `{tpp}` and
    `{chips}` are sums, `{days}` the span."""

    tick: int
    order: int
    words: str
    phase: int | None = None
    mw16: int = 0
    tpp: int = 0
    ticks: int = 0
    chips: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Story:
    """The life of a lineage in words."""

    project: str
    title: str
    lines: tuple[tuple[str, str], ...]
    """(ISO date, what happened on it), a line a date"""
    summary: tuple[str, ...]
    """what held it up, and what it cost in time"""
    first_online: int | None
    full: int | None
    """ticks of the first phase online, and of the last one if all that is not left empty is online"""
    mw: float
    """MW of IT online by the horizon"""

    def text(self) -> list[str]:
        """Title, dated lines, summary."""
        return [self.title, *(f"{date}  {words}" for date, words in self.lines), *self.summary]


def story(compiled: Compiled, draws: Draws, log: Log, root: int) -> list[str]:
    """The life of one lineage in words: a line a date, with waits, applications, deciding provisions, phases and quantities."""
    return life_story(compiled, draws, log, root).text()


def life_story(compiled: Compiled, draws: Draws, log: Log, root: int, held: HeldUp | None = None) -> Story:
    """The same, taken apart for printing side by side. `held`: what held up the whole run, if it is known already."""
    held = held_up(compiled.static, draws, log) if held is None else held
    mine = log[log["root"] == root]
    found = [site for site in sites(draws, mine) if site.root == root]
    told = _Teller(compiled, draws, log, root, found)
    said = sorted(told.events(mine), key=lambda s: (s.tick, s.order))
    days: dict[str, list[_Said]] = {}
    for one in said:
        days.setdefault(day(compiled, one.tick), []).append(one)
    lines = tuple((when, "; ".join(_grouped(of_day))) for when, of_day in days.items())
    lit = [e for site in found for e in site.events if e.mark in (Mark.ONLINE, Mark.IN_FLEET)]
    empty = sum(e.quantity for site in found for e in site.events if e.mark == Mark.DOWNSIZED)
    online = sum(e.quantity for e in lit)
    whole = bool(lit) and online == int(draws.mw16[root]) - empty
    ticks = sorted(e.tick for e in lit)
    return Story(
        draws.names[root],
        _title(compiled, draws, root),
        lines,
        (*_summary(draws, held, root), *_cost(compiled, draws, mine)),
        ticks[0] if ticks else None,
        ticks[-1] if whole else None,
        online / MW_SIXTEENTHS,
    )


def _title(compiled: Compiled, draws: Draws, root: int) -> str:
    static, phases, mw16 = compiled.static, int(draws.phases[root]), int(draws.mw16[root])
    company = _company(compiled, int(draws.company[root]))
    parts = [
        company,
        f"{mw16 / MW_SIXTEENTHS:,.1f} MW of IT" + (f" in {phases} phases" if phases > 1 else ""),
        ROUTES[Route(int(draws.route[root]))],
        f"for {Workload(int(draws.workload[root])).name.lower()}",
        f"chips of {static.vendors[draws.vendor[root]]}",
    ]
    return f"{draws.names[root]}: {', '.join(parts)}"


def _company(compiled: Compiled, k: int) -> str:
    id = compiled.static.companies[k]
    return COMPANIES.get(id, id)


def _grouped(said: Iterable[_Said]) -> list[str]:
    """What is said of several phases on one day, said once; the same phases are named once in a row."""
    groups: dict[str, list[_Said]] = {}
    for one in said:
        groups.setdefault(one.words, []).append(one)
    found, before = [], ""
    for words, group in groups.items():
        who = _who(sorted({one.phase for one in group if one.phase is not None}))
        found.append(_filled(words, group).replace("{who}", "" if who == before else who))
        before = who
    return found


def _filled(words: str, group: list[_Said]) -> str:
    """The words with sums and spans over those of whom they are said."""
    sizes = {one.mw16 for one in group}
    mw = f"{_mw(min(sizes))} each" if len(group) > 1 and len(sizes) == 1 else _mw(sum(one.mw16 for one in group))
    days = sorted({round(one.ticks / TICKS_PER_DAY) for one in group})
    span = _days(group[0].ticks) if len(days) == 1 else f"{days[0]:,} to {days[-1]:,} days"
    chips: dict[str, int] = {}
    for one in group:
        for chip, number in one.chips:
            chips[chip] = chips.get(chip, 0) + number
    listed = _and([f"{number:,} {chip}" for chip, number in chips.items()] or ["chips"])
    values = {"{mw}": mw, "{days}": span, "{chips}": listed, "{tpp}": _tpp(sum(one.tpp for one in group))}
    for name, value in values.items():
        words = words.replace(name, value)
    return words


def _who(phases: list[int]) -> str:
    """`phase 2: ` or `phases 1 to 3 and 6: `; phases are counted from 1."""
    numbers = sorted({f + 1 for f in phases})
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    words = [word for run in runs for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    return f"phase{'s' if len(numbers) > 1 else ''} {_and(words)}: " if numbers else ""


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _mw(mw16: int) -> str:
    return f"{mw16 / MW_SIXTEENTHS:,.1f} MW"


def _tpp(tpp: int) -> str:
    return f"{tpp / 1e6:,.1f} m TPP"


def _days(ticks: int) -> str:
    whole = round(ticks / TICKS_PER_DAY)
    return f"{whole:,} day{'' if whole == 1 else 's'}"


class _Teller:
    """Says what happened to one lineage, event by event."""

    def __init__(self, compiled: Compiled, draws: Draws, log: Log, root: int, found: list[Site]):
        self.compiled, self.static, self.draws, self.root, self.found = compiled, compiled.static, draws, root, found
        self.company = int(draws.company[root])
        self.many = bool(draws.phases[root] > 1)
        companies = len(self.static.companies)
        self.asked = [a for a in applications(companies, log) if a.company == self.company]
        theirs = (log["root"] == -1 - self.company) | (log["root"] == -1 - companies)
        stages = (Stage.LICENCE_REVIEW, Stage.FRAMEWORK, Stage.CLASSIFICATION, Stage.AUTHORISATION, Stage.NATIONAL_AUTHORISATION)
        chosen = theirs & np.isin(log["stage"], (*stages, Stage.LAW))
        self.around = list(map(Event._make, log[chosen].tolist()))

    def events(self, mine: Log) -> Iterator[_Said]:
        """Everything worth telling of the lineage, and of what its company asked for it."""
        for site in self.found:
            yield from self.site(site)
        for e in map(Event._make, mine[(mine["mark"] == Mark.CANCELLED) & (mine["pool"] < 0)].tolist()):
            yield _Said(e.tick, e.order, "not planned: the law bars every market")

    def site(self, site: Site) -> Iterator[_Said]:
        """One site, from plan to online: first what concerns all of it, then its phases, then what the company asked for them."""
        yield from self.whole(site)
        spells: list[tuple[int, int]] = []  # (order, order) between which a phase waited for clearance
        at_once: set[int] = set()
        for f in range(len(site.sizes)):
            yield from self.phase(site, [e for e in site.events if e.phase == f], spells, at_once)
        yield from self.company_says(site, spells)

    def whole(self, site: Site) -> Iterator[_Said]:
        """Site control, power, shell, and how the site ended."""
        began: dict[int, int] = {}
        control, permitted, broken, own, bridged = site.planned, site.planned, site.planned, None, False
        for e in site.events:
            if e.mark == Mark.START:
                began.setdefault(e.stage, e.tick)
            if e.phase:
                continue
            lasted = _days(e.tick - began.get(e.stage, e.tick))
            says: str | None = None
            if e.mark == Mark.PLANNED:
                says = self.planned(site, e)
            elif e.mark == Mark.HALTED and e.stage in WORK:
                says = f"{WORK[Stage(e.stage)]} stops after {lasted}"
            elif e.stage == Stage.SITE_SELECTION and e.mark == Mark.END:
                control = e.tick
                queued = self.static.rationed[site.market]
                says = f"site control after {lasted}" + ("; the site joins the queue for the grid" if queued else "")
            elif e.stage == Stage.PERMITTING and e.mark == Mark.END:
                permitted = e.tick
                says = f"permits after {lasted}"
            elif e.stage == Stage.CREWS and e.mark == Mark.START:
                says = "waiting for construction capacity"
            elif e.stage == Stage.CREWS and e.mark == Mark.END:
                says = f"construction capacity after {lasted}"
            elif e.mark == Mark.GROUND_BREAKING:
                broken = e.tick
            elif e.mark == Mark.OWN_DATE:
                own = e.quantity
                later = f" {_days(broken - permitted)} after the permits" if broken - permitted >= TICKS_PER_DAY else ""
                says = f"ground is broken{later}; the company expects first power on {day(self.compiled, own)}"
            elif e.stage == Stage.BRIDGING and e.mark == Mark.START:
                says = f"on-site generation is assigned after {_days(e.tick - control)}"
            elif e.mark == Mark.BRIDGED:
                bridged = True
            elif e.mark == Mark.FIRST_POWER:
                says = self.power(e.tick, control, own, bridged)
            elif e.stage == Stage.INTERCONNECTION and e.mark == Mark.END and bridged:
                says = f"the grid comes {_days(e.tick - control)} after site control and ends on-site generation"
            elif e.mark == Mark.SHELL_READY:
                what = "the first building" if self.many else "the shell"
                says = f"{what} is finished {_days(e.tick - broken)} after ground-breaking"
            elif e.mark == Mark.FULL and self.many:
                says = f"all of it is online, {_mw(e.quantity)}"
            elif e.mark == Mark.LET:
                says = "the finished shell, without chips for so long, is let to other use"
            elif e.mark in (Mark.RELOCATED, Mark.CANCELLED):
                says = self.given_up(e)
            if says is not None:
                yield _Said(e.tick, e.order, says)

    def phase(self, site: Site, events: list[Event], spells: list[tuple[int, int]], at_once: set[int]) -> Iterator[_Said]:
        """Clearance, readiness, chips and delivery of one phase. Adds to `spells` when it waited for clearance.

        A phase cleared on the day it asks is told once for each provision (`at_once`).
        """
        began: dict[int, int] = {}
        lasted: dict[int, int] = {}
        taken: list[tuple[str, int]] = []
        there: dict[int, int] = {}
        asked: int | None = None
        since: int | None = None
        who = "{who}" if self.many else ""
        for e in events:
            f = e.phase if self.many else None
            if e.mark == Mark.START:
                began[e.stage] = e.tick
            elif e.mark == Mark.END and e.stage in began:
                lasted[e.stage] = e.tick - began[e.stage]

            def said(words: str, e: Event = e, f: int | None = f, **numbers: Any) -> _Said:
                return _Said(e.tick, e.order, who + words, f, **numbers)

            if e.mark in (Mark.POWERED, Mark.SHELL_READY):
                there[e.mark] = e.tick
            elif e.mark == Mark.READY:
                words, earlier = self.ready(there)
                yield said(words, mw16=e.quantity, ticks=earlier)
            elif e.mark == Mark.IN_FLEET:
                yield said("ready before the start date: part of the opening fleet")
            elif e.stage == Stage.CLEARANCE and e.mark == Mark.START:
                since = e.order
                if asked is not None:
                    yield said("clearance asked for again: the law of the day asks for more")
                asked = e.tick
            elif e.mark == Mark.WAITS:
                if (waiting := self.waits(e)) is not None:
                    yield said(waiting)
            elif e.mark == Mark.CLEARED:
                waited = e.tick - (e.tick if asked is None else asked)
                if waited or e.rule not in at_once:
                    yield said(self.cleared(e, waited), ticks=waited)
                if not waited:
                    at_once.add(e.rule)
            elif e.stage == Stage.SECURITY and e.mark == Mark.END:
                yield said("security acceptance after {days}", ticks=lasted[e.stage])
            elif e.mark == Mark.CHIPS_TAKEN:
                taken.append((self.static.accelerators[e.pool], e.quantity))
            elif e.mark == Mark.CHIPS_GIVEN_BACK:
                given = ((self.static.accelerators[e.pool], e.quantity),)
                yield said("{chips} go back to stock: the law of the day stops the export", chips=given)
            elif e.mark == Mark.SHIPPED:
                queued = lasted.get(Stage.CHIPS, 0)
                line = " after {days} in line for them" if queued >= TICKS_PER_DAY else ""
                yield said("{chips} shipped, {tpp}" + line, chips=tuple(taken), tpp=e.quantity, ticks=queued)
            elif e.mark == Mark.FRONT_LOADED:
                yield said("shipped before the site is ready")
            elif e.mark == Mark.SWITCHED:
                yield said(f"switched to chips of {self.static.vendors[e.pool]}, which the law lets pass")
            elif e.mark == Mark.DOWNSIZED:
                by = provision(self.compiled, e.rule)
                yield said(f"{{mw}} left empty: what is licensed under {by} does not fill it", mw16=e.quantity)
            elif e.mark == Mark.ONLINE:
                steps = (Stage.SHIPPING, Stage.INSTALLATION, Stage.COMMISSIONING)
                took = [f"{WORK[s]} {lasted[s] / TICKS_PER_DAY:.0f}" for s in steps if s in lasted]
                yield said("online, {mw}" + (f" ({', '.join(took)} days)" if took else ""), mw16=e.quantity)
            if since is not None and (
                e.mark in (Mark.CLEARED, Mark.SHIPPED) or (e.stage == Stage.CLEARANCE and e.mark == Mark.END)
            ):
                spells.append((since, e.order))
                since = None
        if since is not None:
            spells.append((since, 1 << 62))

    def company_says(self, site: Site, spells: list[tuple[int, int]]) -> Iterator[_Said]:
        """What the company asked for, and got, while phases of the site waited for it."""
        country, company = int(self.static.market_country[site.market]), _company(self.compiled, self.company)
        place = self.static.countries[country]
        moved = {
            e.tick for e in site.events if e.stage == Stage.CLEARANCE or e.mark in (Mark.WAITS, Mark.RELOCATED, Mark.CANCELLED)
        }
        for e in self.around:
            waited = any(since - 1 <= e.order <= until + 1 for since, until in spells)
            says: str | None = None
            if e.stage == Stage.LAW:
                says = "the law changes" if e.tick in moved and e.tick > site.planned else None
            elif not waited:
                continue
            elif e.stage == Stage.LICENCE_REVIEW and e.pool == country and e.mark == Mark.FILED:
                by = provision(self.compiled, e.rule)
                says = f"{company} files its application no. {e.phase + 1} for {place}, {_tpp(e.quantity)} under {by}"
            elif e.stage == Stage.LICENCE_REVIEW and e.pool == country and e.mark in DECISIONS:
                says = self.decided(e)
            elif e.stage == Stage.FRAMEWORK and e.pool == country and e.mark == Mark.END:
                says = f"the framework of the deal with {place} is there"
            elif e.stage == Stage.FRAMEWORK and e.pool == country and e.mark == Mark.APPROVED:
                says = f"{company} is granted {_tpp(e.quantity)} for {place}, as in history"
            elif e.stage == Stage.CLASSIFICATION and e.mark == Mark.END and e.tick in moved:
                says = f"{self.static.accelerators[e.pool]} is classified"
            elif e.stage == Stage.AUTHORISATION and e.mark in AUTHORISED:
                says = f"{company} {AUTHORISED[Mark(e.mark)]} the universal authorisation"
            elif e.stage == Stage.NATIONAL_AUTHORISATION and e.pool == country and e.mark in AUTHORISED:
                says = f"{company} {AUTHORISED[Mark(e.mark)]} the authorisation for {place}"
            if says is not None:
                yield _Said(e.tick, e.order, says)

    def place(self, country: int) -> str:
        """A country by its code."""
        return self.static.countries[country]

    def planned(self, site: Site, e: Event) -> str:
        """`planned in usa_nva (USA, tier 1)`"""
        country = int(self.static.market_country[e.pool])
        hop = f"successor {site.hop} of {_mw(site.mw16)} " if site.hop else ""
        return f"{hop}planned in {self.static.markets[e.pool]} ({self.place(country)}, tier {self.static.tier[country]})"

    def power(self, tick: int, control: int, own: int | None, bridged: bool) -> str:
        """First power, its source, and how far it is from the company's own date."""
        source = "on-site generation" if bridged else "the grid"
        after = f"{_days(tick - control)} after site control" if tick > control else "at once"
        says = f"first power from {source} {after}"
        if own is None:
            return says
        late = round((tick - own) / TICKS_PER_DAY)
        if not late:
            return f"{says}, on the date the company gave at ground-breaking"
        side = "after" if late > 0 else "before"
        return f"{says}: {abs(late):,} day{'' if abs(late) == 1 else 's'} {side} the date the company gave at ground-breaking"

    def ready(self, there: dict[int, int]) -> tuple[str, int]:
        """Power and shell are there, which came first, and by how many ticks."""
        says = "power and shell are there" + (" for {mw}" if self.many else "")
        powered, shelled = there.get(Mark.POWERED), there.get(Mark.SHELL_READY)
        if powered is None or shelled is None or abs(powered - shelled) < TICKS_PER_DAY:
            return says, 0
        return f"{says}, the {'shell' if powered > shelled else 'power'} {{days}} before", abs(powered - shelled)

    def application(self, tick: int, country: int) -> Application | None:
        """The application under review for a country at a tick."""
        for a in reversed(self.asked):
            if a.country == country and a.filed <= tick and (a.decided is None or a.decided >= tick):
                return a
        return None

    def waits(self, e: Event) -> str | None:
        """What a phase waits for from now on; None if the filing is told already."""
        if e.stage == Stage.LICENCE_REVIEW:
            a = self.application(e.tick, e.pool)
            if a is None:
                return f"waiting for a licence under {provision(self.compiled, e.rule)}"
            if a.filed == e.tick:
                return f"waiting for application no. {a.number}" if self.many else None
            name = f"{_company(self.compiled, self.company)}'s application no. {a.number} for {self.place(e.pool)}"
            return f"waiting for {name}, filed {day(self.compiled, a.filed)}"
        by = provision(self.compiled, e.rule)
        return {
            Stage.ALLOCATION: f"waiting for room in the allocation of {self.place(e.pool)} under {by}",
            Stage.AUTHORISATION: f"waiting for headroom of the authorisation under {by}",
            Stage.CLASSIFICATION: "waiting for the classification of its chip",
            Stage.FRAMEWORK: f"waiting for the framework of the deal with {self.place(e.pool)}",
            Stage.CLEARANCE: "waiting until the company may file again",
        }[Stage(e.stage)]

    def cleared(self, e: Event, waited: int) -> str:
        """By which provision, after how long, and on which application."""
        after = " after {days}" if waited else " on the day it is asked for"
        says = f"cleared by {provision(self.compiled, e.rule)}{after}"
        granted = [
            a for a in self.asked if a.country == e.pool and a.mark is Mark.APPROVED and a.rule == e.rule and (a.decided or 0) <= e.tick
        ]  # fmt: skip
        if not granted:
            return says
        a = granted[-1]
        name = f"{_company(self.compiled, self.company)}'s application no. {a.number} for {self.place(e.pool)}"
        dates = f"filed {day(self.compiled, a.filed)}, decided {day(self.compiled, a.decided or 0)}"
        return f"{says} on {name}, {dates}" if a.decided == e.tick else f"{says} on licences held since {name}, {dates}"

    def decided(self, e: Event) -> str:
        """A decision, and where the time went."""
        a = next(a for a in self.asked if a.country == e.pool and a.number == e.phase + 1 and a.decided == e.tick)
        spent = [f"{_days(a.queued)} in line for a reviewer"] if a.queued >= TICKS_PER_DAY else []
        spent += [f"clock stopped for {_days(a.stopped)}"] if a.stopped else []
        took = f"after {_days(e.tick - a.filed)}" + (f" ({_and(spent)})" if spent else "")
        if e.mark == Mark.APPROVED:
            return f"application no. {a.number} granted, {_tpp(e.quantity)}, {took}"
        return f"application no. {a.number} {DECISIONS[Mark(e.mark)]} {took} under {provision(self.compiled, e.rule)}"

    def given_up(self, e: Event) -> str:
        """Why a site was left, and how much of it."""
        did = "given up for another country" if e.mark == Mark.RELOCATED else "cancelled"
        why = f"under {provision(self.compiled, e.rule)}" if e.rule >= 0 else "because power did not come"
        return f"{_mw(e.quantity)} {did} {why}"


def _summary(draws: Draws, held: HeldUp, root: int) -> Iterator[str]:
    """What held the lineage up, by MW-days, and the binding branch of its first phase online with the slack of the others."""
    mine = np.nonzero(held.root == root)[0]
    by_cause = (held.ticks[mine] * held.mw16[mine, None]).sum(axis=0)
    total = int(by_cause.sum())
    if total:
        order = [c for c in np.argsort(-by_cause, kind="stable").tolist() if by_cause[c] * 100 >= total]
        parts = [f"{CAUSES[Cause(c)]} {100 * by_cause[c] / total:.0f} %" for c in order]
        yield f"Its {float(mw_days(by_cause.sum())):,.0f} MW-days since the start went to: {', '.join(parts)}."
    lit = mine[held.how[mine] == End.ONLINE]
    if len(lit):
        i = int(lit[np.argmin(held.end[lit])])
        if held.binding[i] != NO_BRANCH and (held.slack[i] != NOT_JOINED).all():
            branch = Branch(int(held.binding[i]))
            others = [f"{BRANCHES[b]} by {_days(int(held.slack[i, b]))}" for b in Branch if b != branch]
            first = "Its first phase online" if int(draws.phases[root]) > 1 else "It"
            yield f"{first} waited for {BRANCHES[branch]} in the end; there before it: {_and(others)}."


COSTS = {
    "chips": "chips with servers and network",
    "shells": "shell",
    "freight": "freight",
    "rent": "rent",
    "opex": "energy and staff",
    "bridging": "on-site generation over the grid",
    "revenue_share": "revenue share",
    "tariff": "tariff",
    "idle_shells": "carrying cost of the idle shell",
    "sunk": "lost with sites given up",
}


def _cost(compiled: Compiled, draws: Draws, mine: Log) -> Iterator[str]:
    """What the lineage cost since the start date, by the lines of `costs` that belong to single projects."""
    static = compiled.static
    rows = Rows(mine)
    life = lives_of(static, draws, rows)
    # Without the company's stock and its opening fleet, which are not the project's.
    alone = replace(
        draws, fleet_chips=draws.fleet_chips * 0, opening_stock=draws.opening_stock * 0, under_way=draws.under_way * 0
    )
    ends = MonthEnds(static, np.zeros(len(static.countries), dtype=np.int64), 1)
    spent = money(static, alone, rows, life, ends, deliveries(static, rows))
    usd = {line: float(getattr(spent, line)[-1].sum()) for line in COSTS if line != "chips"}
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    value = (rows.quantity[taken] * draws.price_usd[rows.pool[taken]])[rows.tick[taken] >= 0].sum()
    usd["chips"] = float(value) * draws.it_overhead_ppm / PPM
    parts = [f"{words} {usd[line] / 1e9:,.2f}" for line, words in COSTS.items() if usd[line] >= 5e6]
    if parts:
        yield f"Cost since the start, billion USD of 2025: {', '.join(parts)}."


# ------------------------------------------------------------------ the same lineage under two policies


@dataclass(frozen=True)
class Pair:
    """One lineage under two policies of one replication."""

    names: tuple[str, str]
    stories: tuple[Story, Story]
    parted: str | None
    """ISO date from which the two stories differ, None if they never do"""
    shared: tuple[tuple[str, str], ...]
    """(date, words) up to there"""
    rows: tuple[tuple[str, str, str], ...]
    """(date, words in the first, words in the second) from there on; empty where nothing is told of that day"""
    says: str
    """where they part, and the months between"""


def story_pair(compiled: tuple[Compiled, Compiled], draws: tuple[Draws, Draws], logs: tuple[Log, Log], root: int) -> Pair:
    """The same lineage under two policies, with the date at which they part and the months between.

    Raises ValueError if the two runs have different projects: nothing to pair by name.
    """
    if draws[0].names != draws[1].names:
        raise ValueError("the two runs have different projects: a story is paired within one replication of the same inputs")
    one, two = (life_story(c, d, log, root) for c, d, log in zip(compiled, draws, logs, strict=True))
    names = compiled[0].scenario.name, compiled[1].scenario.name
    left, right = dict(one.lines), dict(two.lines)
    dates = sorted(left.keys() | right.keys())
    parted = next((d for d in dates if left.get(d) != right.get(d)), None)
    shared = tuple((d, left[d]) for d in dates if parted is None or d < parted)
    rows = tuple((d, left.get(d, ""), right.get(d, "")) for d in dates if parted is not None and d >= parted)
    return Pair(names, (one, two), parted, shared, rows, _between(names, one, two, parted, compiled[0]))


def _between(names: tuple[str, str], one: Story, two: Story, parted: str | None, compiled: Compiled) -> str:
    """`They part on 2025-05-15. First phase online ...: 14.2 months later.`"""
    if parted is None:
        return "The two stories are the same."
    said = [f"They part on {parted}."]
    for what, a, b in (("First phase online", one.first_online, two.first_online), ("All of it online", one.full, two.full)):
        if a is not None and b is not None:
            apart = (b - a) / TICKS_PER_DAY / DAYS_PER_YEAR * 12
            later = f"{abs(apart):.1f} months {'later' if apart > 0 else 'earlier'}" if a != b else "the same day"
            said.append(f"{what} {day(compiled, a)} under {names[0]}, {day(compiled, b)} under {names[1]}: {later}.")
        elif a is not None or b is not None:
            name, tick = (names[0], a) if a is not None else (names[1], b)
            said.append(f"{what} by the end of the run only under {name}, on {day(compiled, tick or 0)}.")
        else:
            said.append(f"{what} by the end of the run under neither.")
    if one.mw != two.mw:
        said.append(f"Online in the end: {one.mw:,.1f} MW under {names[0]}, {two.mw:,.1f} MW under {names[1]}.")
    return " ".join(said)


# ------------------------------------------------------------------ behind a difference


class Gap(NamedTuple):
    """One lineage that lost or won under a policy against the reference, in the same replication."""

    project: str
    company: str
    lost_mw_years: float
    """MW-years online to the horizon, reference minus policy; negative if it won"""
    says: str
    reason: str


class _Outcome(NamedTuple):
    """What came of every lineage of a run; all (R,)."""

    mw_ticks: np.ndarray
    """ticks x 1/16 MW online from the start date to the horizon"""
    first: np.ndarray
    """tick of the first phase online, the horizon without one"""
    mw16: np.ndarray
    """1/16 MW online by the horizon"""
    market: np.ndarray
    """of the last site, -1 without one"""


def _outcomes(compiled: Compiled, draws: Draws, log: Log) -> _Outcome:
    roots, horizon = len(draws.names), compiled.static.horizon
    mw_ticks, mw16 = np.zeros(roots, dtype=np.int64), np.zeros(roots, dtype=np.int64)
    first, market = np.full(roots, horizon), np.full(roots, -1)
    rows = log[np.isin(log["mark"], (Mark.ONLINE, Mark.IN_FLEET)) & (log["root"] >= 0)]
    since = np.maximum(rows["tick"], 0)
    np.add.at(mw_ticks, rows["root"], rows["quantity"] * (horizon - since))
    np.add.at(mw16, rows["root"], rows["quantity"])
    np.minimum.at(first, rows["root"], since)
    planned = log[(log["mark"] == Mark.PLANNED) & (log["root"] >= 0)]
    market[planned["root"]] = planned["pool"]  # the last one of each stays
    return _Outcome(mw_ticks, first, mw16, market)


def gaps(reference: Compiled, other: Compiled, draws: tuple[Draws, Draws], logs: tuple[Log, Log], most: int = 5) -> list[Gap]:
    """The lineages that lost most MW-years online under `other`, then those that won most, where they stood, and why.

    At most `most` of each; less than one MW-year is left out.
    """
    if draws[0].names != draws[1].names:
        return []  # other inputs, other projects: nothing to pair by name
    before, after = (_outcomes(c, d, log) for c, d, log in zip((reference, other), draws, logs, strict=True))
    lost = (before.mw_ticks - after.mw_ticks) / (MW_SIXTEENTHS * TICKS_PER_DAY * DAYS_PER_YEAR)
    chosen = [r for r in np.argsort(-lost, kind="stable")[:most].tolist() if lost[r] >= 1]
    chosen += [r for r in np.argsort(lost, kind="stable")[:most].tolist() if lost[r] <= -1]
    if not chosen:
        return []
    held = [held_up(c.static, d, log) for c, d, log in zip((reference, other), draws, logs, strict=True)]
    found = []
    for root in chosen:
        says = _fate(reference, other, before, after, root)
        moved = bool(before.market[root] != after.market[root])
        reason = _reason(other, logs[1], held[0], held[1], root, moved=moved, lost=bool(lost[root] > 0))
        company = reference.static.companies[draws[0].company[root]]
        found.append(Gap(draws[0].names[root], company, float(lost[root]), says, reason))
    return found


def _fate(reference: Compiled, other: Compiled, before: _Outcome, after: _Outcome, root: int) -> str:
    """`480 MW in ARE online from 2028-05 instead of 2027-01 (in NOR instead)`"""
    static = reference.static
    places = [
        static.countries[static.market_country[m]] if m >= 0 else "no country" for m in (before.market[root], after.market[root])
    ]
    moved = "" if places[0] == places[1] else f", in {places[1]} instead"
    then, now = (day(c, int(o.first[root]))[:7] if o.mw16[root] else None for c, o in ((reference, before), (other, after)))
    mw_before, mw_after = before.mw16[root] / MW_SIXTEENTHS, after.mw16[root] / MW_SIXTEENTHS
    end = date.fromordinal(static.start.toordinal() + static.horizon // TICKS_PER_DAY - 1).year
    if now is None:
        return (
            f"{mw_before:,.0f} MW in {places[0]} from {then} in the reference, none by {end}{moved.replace('instead', 'at last')}"
        )
    if then is None:
        return f"{mw_after:,.0f} MW in {places[1]} from {now}, none by {end} in the reference"
    joined = " of " if mw_after < mw_before else " instead of "
    size = f"{mw_after:,.0f}{joined}{mw_before:,.0f} MW" if abs(mw_after - mw_before) >= 0.5 else f"{mw_before:,.0f} MW"
    return f"{size} in {places[0]} from {now}{f' instead of {then}' if now != then else ' on, as in the reference'}{moved}"


def _reason(other: Compiled, log: Log, held: HeldUp, held_other: HeldUp, root: int, *, moved: bool, lost: bool) -> str:
    """Why a lineage lost or won: what ended a site, or what it left empty, else the cause whose MW-days changed most."""
    events = log[log["root"] == root]
    for mark, words in (
        (Mark.RELOCATED, "given up there"),
        (Mark.CANCELLED, "cancelled"),
        (Mark.DOWNSIZED, "partly left empty"),
        (Mark.SWITCHED, "other chips"),
    ):
        rows = events[events["mark"] == mark]
        if len(rows):
            rule = int(rows[-1]["rule"])
            words = "its shell let to other use" if (events["mark"] == Mark.LET).any() and mark in GIVEN_UP else words
            return words + (f", {other.static.provisions[rule]}" if rule >= 0 else "")
    change = np.zeros(len(Cause), dtype=np.int64)
    for sign, side in ((-1, held), (1, held_other)):
        mine = side.root == root
        change += sign * (side.ticks[mine] * side.mw16[mine, None]).sum(axis=0)
    # Of what grew for one that lost, or shrank for one that won; days before a filing are only the shadow of those after it.
    change[Cause.NOT_YET_ASKED] = 0
    cause = Cause(int((change if lost else -change).argmax()))
    if (change[cause] > 0) != lost or not change[cause]:
        return "planned elsewhere" if moved else "the same stages, at another time"
    says = f"{'more' if lost else 'less'} {CAUSES[cause]}"
    stage = next((stage for stage, waited in WAITING.items() if waited is cause), None)
    if stage is not None:
        rows = events[(events["mark"] == Mark.WAITS) & (events["stage"] == stage) & (events["rule"] >= 0)]
        says += f", {other.static.provisions[int(rows[-1]['rule'])]}" if len(rows) else ""
    return f"planned elsewhere: {says}" if moved else says
