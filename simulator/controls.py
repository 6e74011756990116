"""Export controls: what the law says of one export on one day.

Read `ruling` first: the order of the tests is the law's. The numbers and the rules are data (`data/regimes/`, read by
`simulator.regimes`); the exact integer arithmetic of limits is in the scalar functions at the top, in the subset that Numba
compiles, so that both engines and `ruling` share one source of truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.problems import nearest
from simulator.units import PPM, share_of

if TYPE_CHECKING:
    from simulator.regimes import Grant, Hold, Leaf, LicenceException, Provision, Regime

TEXT_ONLY = frozenset({
    "allied.harmonised", "allocation.freed_by_failure", "allocation.order", "allocation.straddle", "audit.mutual_recognition",
    "china_track.max_share_of_us_volume", "classification.p50_days", "classification.probability", "clock.acep_days",
    "clock.advisory_opinion_days", "clock.appeal_to_acep_days", "clock.appeal_to_board_days", "clock.appeal_to_president_days",
    "clock.board_days", "clock.classification_days", "clock.denial_final_days", "clock.intent_to_deny_notice_days",
    "clock.intent_to_deny_reply_days", "clock.limit_days", "clock.missing_information_days", "clock.operating_committee_days",
    "compliance.share_of_capex", "dc_veu.decision_days", "dc_veu.time_profile", "exports_program.facilitation",
    "jan26.max_share_of_us_volume", "location.verification", "lpp.consignee", "lpp.other_consignees_per_country_year",
    "lpp.through_distributors", "money.levy_pass_through", "nveu.failed_leave_count", "remote.access_controlled",
    "security.deadline", "security.share_of_capex", "supply.taken_from_tier2", "uveu.denominator", "uveu.on_breach", "uveu.tested",
    "uveu.transfer_notice_days", "weights.synthetic_share", "weights.training_abroad_operations", "weights.training_abroad_share",
})  # fmt: skip
"""Leaves that are in the law and not simulated: rulings may rest on them, no run does. A test holds the list to what runs read."""

# ---------------------------------------------------------------------- limits: exact, integer, compilable


def share_at_most(part: int, whole: int, limit_ppm: int) -> bool:
    """True if part / whole does not exceed a limit in parts per million; exact, and no product comes near 2**62."""
    return part <= share_of(whole, limit_ppm)


def share_at_least(part: int, whole: int, limit_ppm: int) -> bool:
    """True if part / whole reaches a limit in parts per million; exact, and no product comes near 2**62."""
    return part >= -share_of(-whole, limit_ppm)


def lpp_allows(used: int, quantity: int, limit: int) -> bool:
    """License Exception LPP: the consignee's TPP of the calendar year, this shipment included, stays within the limit."""
    return used + quantity <= limit


def allocation_allows(used: int, quantity: int, limit: int) -> bool:
    """Country allocation: TPP licensed in the period, this application included, stays within the limit."""
    return used + quantity <= limit


def uveu_test(
    quantity: int,
    into_us: bool,
    into_tier1: bool,
    held_destination: int,
    held_tier1_incl_us: int,
    held_us: int,
    held_total: int,
    max_single_ppm: int,
    min_tier1_ppm: int,
    min_us_ppm: int,
) -> int:
    """Geographic allocation of a universal validated end user, with the shipment counted in.

    Quantities are owned controlled TPP, shares parts per million. Returns 0 if every share holds, 1 if a single destination
    outside tier 1 would hold too much, 2 if tier 1 would hold too little, 3 if the United States would.
    """
    total = held_total + quantity
    if not into_tier1 and not share_at_most(held_destination + quantity, total, max_single_ppm):
        return 1
    tier1 = held_tier1_incl_us
    if into_tier1:
        tier1 = tier1 + quantity
    if not share_at_least(tier1, total, min_tier1_ppm):
        return 2
    us = held_us
    if into_us:
        us = us + quantity
    if not share_at_least(us, total, min_us_ppm):
        return 3
    return 0


def nveu_allows(held: int, failed: int, quantity: int, cap: int) -> bool:
    """National validated end user: installed base less what failed or left, this shipment included, stays within the cap."""
    return held - failed + quantity <= cap


# ---------------------------------------------------------------------- reading regimes


def load_regime(id: str, folder: Path | None = None) -> Regime:
    """The regime of that id (of the shipped folder by default). Raises `InputProblems` with every fault, file and line."""
    from simulator import regimes

    return regimes.load_regime(id, folder)


def load_all(folder: Path | None = None) -> dict[str, Regime]:
    """All regimes by id. Raises `InputProblems` with the faults of all files together."""
    from simulator import regimes

    return regimes.load_all(folder)


# ---------------------------------------------------------------------- the nouns of an export


@dataclass(frozen=True, slots=True)
class Item:
    """What is exported: a chip (or the chips of a computer) by the measures the control list uses. None = not known."""

    tpp: int = 0
    density: float | None = None
    """Performance density, TPP per mm2 of applicable die area."""
    memory_bandwidth_gbps: float | None = None
    interconnect_gbps: float | None = None
    """Bidirectional transfer rate over all inputs and outputs, the measure of the October 2022 rule."""
    data_centre: bool = True
    """Designed or marketed for data centres."""
    operations: float = 0.0
    """For the weights of a model: operations used to train it. Zero for chips."""


@dataclass(frozen=True, slots=True)
class Export:
    """One export: what, how much, to where and whom, on which day."""

    destination: str
    """ISO 3166-1 code of the country the item goes to."""
    headquarters: str
    """ISO code of the headquarters, or ultimate parent, of the end user."""
    consignee: str
    item: Item
    quantity_tpp: int
    on: date
    origin: str = "USA"


@dataclass(frozen=True, slots=True)
class Position:
    """What the end user holds and has used so far, before this export: whole TPP."""

    lpp_used_tpp: int = 0
    """Under License Exception LPP, in the calendar year of the export."""
    allocation_used_tpp: int = 0
    """Licensed into the destination by anybody in the allocation's period."""
    deal_used_tpp: int = 0
    """Licensed into the destination under its deal in the calendar year."""
    owned_total_tpp: int = 0
    owned_us_tpp: int = 0
    owned_tier1_tpp: int = 0
    """In tier 1, the United States included."""
    owned_destination_tpp: int = 0
    nveu_held_tpp: int = 0
    nveu_failed_tpp: int = 0
    authorisations: frozenset[str] = frozenset()
    """Of `uveu`, `nveu`, `dc_veu`: authorisations granted to this end user that cover the destination."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the law asks of an export by its destination, headquarters, item and day, whatever the quantity."""

    provision: Provision
    demands: str
    """none, notification or licence"""
    review: str | None
    exceptions: tuple[str, ...]
    """Exceptions and authorisations open to this destination and headquarters, in the order they are tried."""
    quota: str | None
    """`allocation` or `deal` if a licence draws on one that binds today."""
    review_beyond_quota: str | None
    unsure: tuple[str, ...]
    """Provisions and leaves behind it that are recalled or assumed."""

    @property
    def needs_licence(self) -> bool:
        """True if the export needs a licence unless an exception or authorisation covers it."""
        return self.demands == "licence"

    @property
    def provision_id(self) -> str:
        """Short id of the provision that decides, such as `fw.tier2`."""
        return self.provision.id


class Allocation(NamedTuple):
    """A country's pot: TPP that may be licensed into it, and the first and last day of the period it is for."""

    limit_tpp: int
    window_start: date
    window_end: date


class Ratios(NamedTuple):
    """Geographic allocation of the universal authorisation in parts per million."""

    max_single_ppm: int
    min_tier1_ppm: int
    min_us_ppm: int


class Application(NamedTuple):
    """A company's application for the universal authorisation: day filed, decision time, chance of a grant."""

    filed: date
    p50_days: float
    p90_days: float
    grant_probability: float
    unsure: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the law says of one export, and why."""

    route: str
    """no_licence_required, notification, lpp, uveu, nveu, dc_veu or licence"""
    review: str | None
    """How the licence application is looked at, for the route licence."""
    provision: str
    citation: str
    source_url: str
    quota: str | None
    quota_draw_tpp: int
    """TPP a grant would take from the pot."""
    headroom_tpp: int | None
    """TPP left in the pot before this export; None without a pot."""
    returned: bool
    """True if the application exceeds what is left and comes back at decision; it may be filed again for the headroom."""
    reasons: tuple[str, ...]
    """The tests made, in words, with numbers."""
    unsure: tuple[str, ...]
    """Provisions and leaves the ruling rests on that are recalled or assumed."""

    @property
    def certain(self) -> bool:
        """False if the ruling rests on anything recalled or assumed."""
        return not self.unsure


# ---------------------------------------------------------------------- the law over time


def law(
    history: Regime,
    diverges_on: date | None = None,
    regime: Regime | None = None,
    later: Iterable[tuple[date, Regime]] = (),
    readings: Mapping[str, str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Law:
    """A complete timeline of law: history until a day, then another regime, then later ones.

    `readings` chooses readings of disputed points (switch -> reading) at all dates; `changes` sets leaves from `diverges_on`
    on (throughout, if nothing diverges). Raises ValueError for dates out of order and for unknown switches and leaves.
    """
    from simulator.regimes import with_changes

    if (diverges_on is None) != (regime is None):
        raise ValueError("a divergence needs both its day and its regime")
    segments = [(date.min, history if diverges_on else with_changes(history, changes or {}))]
    if diverges_on and regime:
        segments.append((diverges_on, with_changes(regime, changes or {})))
    for begins, then in later:
        if begins <= segments[-1][0]:
            raise ValueError(f"{then.id} from {begins} does not come after {segments[-1][1].id} from {segments[-1][0]}")
        segments.append((begins, with_changes(then, {k: v for k, v in (changes or {}).items() if k in then.leaves})))
    return Law(tuple(segments), readings or {})


class Law:
    """What the law requires and has announced on any day. Pure: the same question always has the same answer."""

    def __init__(self, segments: tuple[tuple[date, Regime], ...], readings: Mapping[str, str]):
        self.segments = segments
        self.readings = dict(readings)
        switches = {key: switch for _, regime in segments for key, switch in regime.switches.items()}
        for key, reading in readings.items():
            if key not in switches:
                raise ValueError(f"{key} is not a switch of {self.title}{nearest(key, switches)}")
            if reading not in switches[key].readings:
                known = switches[key].readings
                raise ValueError(f"{key}: {reading} is not a reading; allowed: {', '.join(known)}{nearest(reading, known)}")
        self._requirements: dict[tuple[Any, ...], Requirement] = {}
        self._governing: dict[date, Regime] = {}
        self._members: dict[tuple[str, date, date | None], frozenset[str]] = {}
        self._in_force: dict[tuple[date, date | None], tuple[Provision, ...]] = {}
        self._classes: dict[tuple[Item, str, date], tuple[bool, tuple[str, ...]]] = {}

    @property
    def title(self) -> str:
        """The regimes of the timeline and the days they begin, for messages."""
        return ", then ".join(
            f"{regime.id} from {begins}" if begins > date.min else regime.id for begins, regime in self.segments
        )

    def __repr__(self) -> str:
        return f"Law({self.title})"

    def regime(self, on: date, announced_by: date | None = None) -> Regime:
        """The regime that governs a day, as known on `announced_by`: a divergence is unknown before its day."""
        day = on if announced_by is None or on < announced_by else announced_by
        found = self._governing.get(day)
        if found is None:
            found = self._governing[day] = next(regime for begins, regime in reversed(self.segments) if begins <= day)
        return found

    # ------------------------------------------------------------------ leaves

    def leaf(self, leaf_id: str, on: date, *, announced_by: date | None = None) -> Leaf:
        """A number of the law on a day under the chosen readings, with unit, kind and citation.

        Raises LookupError naming the nearest id for an unknown leaf, or the first day of one that begins later.
        """
        from dataclasses import replace

        regime = self.regime(on, announced_by)
        dated = regime.leaves.get(leaf_id)
        if dated is None:
            raise LookupError(f"{leaf_id} is not a leaf of {regime.id}{nearest(leaf_id, regime.leaves)}")
        found = dated.at(on)
        for switch, values in dated.readings.items():
            chosen = self.readings.get(switch)
            if chosen is not None and chosen in values:
                found = replace(found, value=values[chosen], kind="assumed", reason=f"reading {chosen!r} of {switch}")
        return found

    def at(self, leaf_id: str, on: date) -> Any:
        """The value of a leaf on a day. Raises LookupError as `leaf` does."""
        return self.leaf(leaf_id, on).value

    def has(self, leaf_id: str, on: date) -> bool:
        """True if the law of the day states this leaf."""
        dated = self.regime(on).leaves.get(leaf_id)
        return dated is not None and dated.steps[0][0] <= on

    def stated_since(self, leaf_id: str, on: date) -> date | None:
        """First day from which the regime of a day has stated a leaf without a break; None if it does not state it that day."""
        if not self.has(leaf_id, on):
            return None
        begins = next(begins for begins, until, _ in self._spans() if begins <= on < until)
        return max(begins, self.regime(on).leaves[leaf_id].steps[0][0])

    # ------------------------------------------------------------------ groups and items

    def members(self, expression: str, on: date, *, announced_by: date | None = None) -> frozenset[str]:
        """ISO codes of the countries in a group, or in an expression such as `d1 + d4 - a5`, on a day under this law.

        Somebody planning does not know a country's move between groups before the instrument that makes it is announced.
        """
        key = (expression, on, announced_by)
        found = self._members.get(key)
        if found is None:
            from simulator.regimes import group_words

            found, regime = frozenset(), self.regime(on, announced_by)
            for joins, word in group_words(expression):
                part = self._named(word, regime, on, announced_by)
                found = found | part if joins else found - part
            self._members[key] = found
        return found

    def _named(self, word: str, regime: Regime, on: date, announced_by: date | None) -> frozenset[str]:
        places = regime.places
        if word == "none":
            return frozenset()
        if word == "any":
            return frozenset(places.names)
        if f"group.{word}" in regime.leaves:
            return self.members(self.leaf(f"group.{word}", on, announced_by=announced_by).value, on, announced_by=announced_by)
        if word in places.names:
            return frozenset({word} | {iso3 for iso3, parent in places.treated_as.items() if parent == word})
        known = (id for id, by in regime.instruments.items() if announced_by is None or by.announced <= announced_by)
        return places.members(word, on, frozenset(known))

    def classify(
        self, item: Item, item_class: str, on: date, *, announced_by: date | None = None
    ) -> tuple[bool, tuple[str, ...]]:
        """Whether an item falls in a class on a day, and the leaves behind the answer that are recalled or assumed.

        A measure that is not known counts against the exporter (unless read otherwise): it reaches every floor and stays below
        no ceiling, and the answer is marked unsure as `item.unknown_measure`.
        """
        regime = self.regime(on, announced_by)
        key = (item, f"{regime.id}/{item_class}", on)
        if key not in self._classes:
            self._classes[key] = self._classify(item, item_class, on, regime, announced_by)
        return self._classes[key]

    def _classify(
        self, item: Item, item_class: str, on: date, regime: Regime, announced_by: date | None
    ) -> tuple[bool, tuple[str, ...]]:
        if item_class == "any":
            return True, ()
        against = self.readings.get("unknown-measure", "against-exporter") == "against-exporter"
        share = self.leaf("rating.sustained_share", on, announced_by=announced_by).value
        inside: list[list[str]] = []
        near: list[str] = []
        for limb in regime.items[item_class].any_of:
            doubts: list[str] = []
            failing: list[str] = []
            for test, name in limb.model_dump(exclude_none=True).items():
                if test == "data_centre":
                    failing += [] if item.data_centre == name else [""]
                    continue
                measure, least = test.removesuffix("_at_least").removesuffix("_below"), test.endswith("_at_least")
                limit, value = self.leaf(name, on, announced_by=announced_by), getattr(item, measure)
                doubt = name if limit.kind in ("recalled", "assumed") else ""
                if value is None:
                    doubt, holds = "item.unknown_measure", least == against
                else:
                    rated = value * share if measure in ("tpp", "density") else value
                    holds = rated >= limit.value if least else rated < limit.value
                doubts += [doubt] if doubt else []
                failing += [] if holds else [doubt]
            if not failing:
                inside.append(doubts)
            elif all(failing):
                near += failing  # outside only by numbers that are not sure
        if inside:
            own = [item_class] if regime.items[item_class].kind in ("recalled", "assumed") else []
            return True, tuple(dict.fromkeys([*min(inside, key=len), *own]))
        return False, tuple(dict.fromkeys(near))

    def counts(self, item: Item, on: date) -> bool:
        """True if the item counts towards allocations, LPP, and the ratios and caps of authorisations (3A090.a as published).

        False under a law that limits no quantities.
        """
        if not self.has("counted.items", on):
            return False
        return any(self.classify(item, word, on)[0] for word in str(self.at("counted.items", on)).split(" + "))

    # ------------------------------------------------------------------ what is required

    def in_force(self, on: date, *, announced_by: date | None = None) -> tuple[Provision, ...]:
        """Provisions with which an export on that day must comply, in the order they are tried; with `announced_by`, as
        somebody who knows what is announced by that day would expect them."""
        key = (on, announced_by)
        if key not in self._in_force:
            regime = self.regime(on, announced_by)
            self._in_force[key] = tuple(p for p in regime.provisions if self._binds(regime, p, on, announced_by))
        return self._in_force[key]

    def _binds(self, regime: Regime, rule: Provision, on: date, announced_by: date | None) -> bool:
        for switch, readings in rule.only_if.items():
            if self.readings.get(switch, regime.switches[switch].default) not in readings:
                return False
        return _dates(regime, rule).bind(on, announced_by)

    def _available(
        self, regime: Regime, name: str, destination: str, headquarters: str, on: date, announced_by: date | None
    ) -> bool:
        exception: LicenceException = regime.exceptions[name]
        return (
            _dates(regime, exception).bind(on, announced_by)
            and destination in self.members(exception.destinations, on, announced_by=announced_by)
            and headquarters in self.members(exception.headquarters, on, announced_by=announced_by)
        )

    def requirement(
        self,
        destination: str,
        headquarters: str,
        item: Item,
        on: date,
        *,
        announced_by: date | None = None,
        consignee: str | None = None,
        quantity_tpp: int | None = None,
        origin: str = "USA",
    ) -> Requirement:
        """What an export needs: the first provision in force that covers it.

        With `announced_by` the answer is what somebody plans on who knows only what was announced by that day. Provisions
        limited to named end users or to quantities decide only where `consignee` or `quantity_tpp` is given.
        Raises ValueError for an unknown country code.
        """
        key = (destination, headquarters, item, on, announced_by, consignee, quantity_tpp, origin)
        if key not in self._requirements:
            self._requirements[key] = self._requirement(*key)
        return self._requirements[key]

    def _requirement(
        self, destination: str, headquarters: str, item: Item, on: date, announced_by: date | None,
        consignee: str | None, quantity_tpp: int | None, origin: str,
    ) -> Requirement:  # fmt: skip
        regime = self.regime(on, announced_by)
        for code in (destination, headquarters, origin):
            if code not in regime.places.names:
                raise ValueError(f"{code} is not a country code of places.csv{nearest(code, regime.places.names)}")
        doubts: list[str] = []
        for p in self.in_force(on, announced_by=announced_by):
            if p.end_users and consignee not in p.end_users:
                continue
            if p.quantity_at_most and (
                quantity_tpp is None or quantity_tpp > self.leaf(p.quantity_at_most, on, announced_by=announced_by).value
            ):
                continue
            if p.quantity_above and (
                quantity_tpp is None or quantity_tpp <= self.leaf(p.quantity_above, on, announced_by=announced_by).value
            ):
                continue
            if not (
                destination in self.members(p.destinations, on, announced_by=announced_by)
                and headquarters in self.members(p.headquarters, on, announced_by=announced_by)
                and origin in self.members(p.origins, on, announced_by=announced_by)
            ):
                continue
            covered = False
            for item_class in p.items:
                inside, unsure = self.classify(item, item_class, on, announced_by=announced_by)
                doubts += unsure
                if inside:
                    covered = True
                    break
            if covered:
                return self._required(regime, p, destination, headquarters, on, announced_by, doubts)
        raise AssertionError(f"{regime.id} has no closing provision")  # the loader refuses such a regime

    def _required(
        self, regime: Regime, p: Provision, destination: str, headquarters: str, on: date, announced_by: date | None,
        doubts: list[str],
    ) -> Requirement:  # fmt: skip
        instrument = regime.instruments[p.instrument]
        if p.kind in ("recalled", "assumed"):
            doubts.append(p.id)
        if instrument.kind in ("recalled", "assumed"):
            doubts.append(p.instrument)
        doubts += [switch for switch in p.only_if if switch in self.readings]
        admits = tuple(name for name in p.admits if self._available(regime, name, destination, headquarters, on, announced_by))
        return Requirement(
            p, p.demands, p.review, admits, p.quota, p.review_beyond_quota, tuple(dict.fromkeys(doubts))
        )  # fmt: skip

    # ------------------------------------------------------------------ limits

    def allocation(self, destination: str, on: date, *, announced_by: date | None = None) -> Allocation | None:
        """The pot that licences into a country draw on that day (limit, first and last day of its period), or None.

        Binding from the compliance day; what counts since an earlier day is in `counting`.
        """
        return self._pot(destination, on, self.in_force(on, announced_by=announced_by), announced_by)

    def counting(self, destination: str, on: date) -> Allocation | None:
        """As `allocation`, but already from the day on which quantities count, before the limit binds."""
        regime = self.regime(on)
        rules = tuple(p for p in regime.provisions if p.quota and _dates(regime, p).count(on))
        return self._pot(destination, on, rules, None)

    def pot_provision(self, destination: str, on: date) -> Provision | None:
        """The provision that sets the pot licences into a country draw on, or that already counts towards it; None without one."""
        regime = self.regime(on)
        rules = [p for p in regime.provisions if p.quota and _dates(regime, p).count(on)]
        return next((p for p in rules if destination in self.members(p.destinations, on)), None)

    def _pot(self, destination: str, on: date, rules: Iterable[Provision], announced_by: date | None) -> Allocation | None:
        def at(leaf_id: str) -> Any:
            return self.leaf(leaf_id, on, announced_by=announced_by).value

        for p in rules:
            if p.quota and destination in self.members(p.destinations, on, announced_by=announced_by):
                break
        else:
            return None
        if p.quota == "deal":
            ceiling = f"deal.ceiling_tpp.{destination}"
            # A partner without a ceiling gets nothing.
            stated = at(ceiling) if ceiling in self.regime(on, announced_by).leaves else 0
            limit = round(stated * self._grown("deal.ceiling_growth_per_year", on, announced_by))
            return Allocation(limit, date(on.year, 1, 1), date(on.year, 12, 31))
        limit = int(at("allocation.tpp"))
        if destination in self.members("allocation_agreements", on, announced_by=announced_by):
            limit = round(limit * at("allocation.agreement_multiple"))
        begins, ends = at("allocation.window_start"), at("allocation.window_end")
        if on <= ends:
            return Allocation(limit, begins, ends)
        match at("allocation.after_window"):
            case "renewed":
                years = ends.year - begins.year + 1
                first = ends.year + 1 + (on.year - ends.year - 1) // years * years
                return Allocation(limit, date(first, 1, 1), date(first + years - 1, 12, 31))
            case "nothing":
                return Allocation(0, date(ends.year + 1, 1, 1), date.max)
            case _:
                return Allocation(limit, begins, date.max)

    def _grown(self, leaf_id: str, on: date, announced_by: date | None = None) -> float:
        """Factor on a quantity that grows each 1 January, from the first one on which the law of the day states its growth."""
        dated = self.regime(on, announced_by).leaves.get(leaf_id)
        if dated is None:
            return 1.0
        years = (date(year, 1, 1) for year in range(dated.steps[0][0].year, on.year + 1))
        return math.prod(1.0 + dated.at(day).value for day in years if dated.steps[0][0] <= day)

    def _offered(self, name: str, on: date) -> bool:
        regime = self.regime(on)
        return any(name in p.admits for p in self.in_force(on)) and _dates(regime, regime.exceptions[name]).bind(on, None)

    def lpp_limit(self, on: date) -> int:
        """TPP per ultimate consignee and calendar year under License Exception LPP; 0 where the law has no such exception."""
        return int(self.at("lpp.tpp", on)) if self._offered("lpp", on) else 0

    def uveu_ratios(self, on: date) -> Ratios | None:
        """The geographic allocation of the universal authorisation in parts per million; None where there is none."""
        if not self._offered("uveu", on):
            return None
        shares = (self.at(f"uveu.{name}", on) for name in ("max_share_single", "min_share_tier1", "min_share_us"))
        return Ratios(*(round(share * PPM) for share in shares))

    def nveu_cap(self, on: date) -> int:
        """TPP a national authorisation may have installed in the quarter; 0 where there is none."""
        return int(self.at("nveu.cap_tpp", on)) if self._offered("nveu", on) else 0

    def nveu_days(self, on: date) -> tuple[float, float]:
        """Median and 90th percentile of the days to a decision on a national authorisation.

        Assurances of the host government stop the clock: their expected length, chance times days, is in both.
        """
        profile = self.at("nveu.time_profile", on)
        stop = self.at("nveu.assurance_probability", on) * self.at("licence.assurance_stop_days", on)
        p50, p90 = (float(self.at(f"time.{profile}.{part}_days", on)) for part in ("p50", "p90"))
        return p50 + stop, p90 + stop

    def uveu_application(self, company: str, on: date) -> Application | None:
        """When a company files for the universal authorisation the law of the day offers, and how that is likely to end.

        None where the law of the day offers none.
        """
        if not self._offered("uveu", on) or not self.has(f"uveu.applied.{company}", on):
            return None
        profile = self.at("uveu.time_profile", on)
        names = (
            f"uveu.applied.{company}",
            f"time.{profile}.p50_days",
            f"time.{profile}.p90_days",
            f"uveu.grant_probability.{company}",
        )
        leaves = [self.leaf(name, on) for name in names]
        unsure = tuple(leaf.id for leaf in leaves if leaf.kind in ("recalled", "assumed"))
        return Application(leaves[0].value, leaves[1].value, leaves[2].value, leaves[3].value, unsure)

    def outcome(self, review: str, on: date) -> tuple[float, float, float]:
        """Shares of applications approved, denied and returned without action under a review policy; they sum to one."""
        approve, deny, back = (float(self.at(f"outcome.{review}.{end}", on)) for end in ("approve", "deny", "return"))
        return approve, deny, back

    def licence_profile(self, review: str, on: date) -> str:
        """The duration profile of licence reviews, or of those under one review policy where the law states one."""
        specific = f"licence.time_profile.{review}"
        return str(self.at(specific if self.has(specific, on) else "licence.time_profile", on))

    def licence_days(self, review: str, on: date) -> tuple[float, float]:
        """Median and 90th percentile of the days from filing to decision (lognormal; a target for the sum of all its parts)."""
        profile = self.licence_profile(review, on)
        return float(self.at(f"time.{profile}.p50_days", on)), float(self.at(f"time.{profile}.p90_days", on))

    def other_importers(self, destination: str, on: date) -> int:
        """TPP for which importers other than the four apply in this quarter (an assumed path); 0 where no pot counts."""
        if self.counting(destination, on) is None:
            return 0
        own = f"others.tpp_per_quarter.{destination}"
        stated = self.at(own if self.has(own, on) else "others.tpp_per_quarter", on)
        return round(stated * self._grown("others.growth_per_year", on))

    def weights_controlled(self, operations: float, on: date, *, best_open: float = 0.0, published: bool = False) -> bool:
        """Whether the weights of a model are controlled (ECCN 4E091): closed, and trained beyond the moving threshold.

        `best_open`: operations of the most advanced published model, in operations a closed model would need.
        """
        if published or not self.has("weights.operations", on) or not any("4E091" in p.items for p in self.in_force(on)):
            return False
        threshold = float(self.at("weights.operations", on))
        if self.at("weights.follows_best_open_model", on):
            threshold = max(threshold, best_open)
        return operations >= threshold

    def tuned_weights_controlled(self, extra: float, original: float, on: date) -> bool:
        """Whether a tuned open-weight model is controlled: extra operations above a share of the original, or above a number."""
        if not self.has("weights.tuning_share", on) or not any("4E091" in p.items for p in self.in_force(on)):
            return False
        share = extra >= self.at("weights.tuning_share", on) * original
        number = extra >= self.at("weights.tuning_operations", on)
        return bool(share and number) if self.at("weights.tuning_limits_join", on) == "both" else bool(share or number)

    def weights_requirement(self, destination: str, headquarters: str, on: date) -> Requirement | None:
        """What sending controlled model weights (ECCN 4E091) to a country needs; None where the law controls none."""
        if not any("4E091" in p.items for p in self.in_force(on)):
            return None
        trained = Item(0, 0.0, 0.0, 0.0, data_centre=False, operations=float(self.at("weights.operations", on)))
        return self.requirement(destination, headquarters, trained, on)

    # ------------------------------------------------------------------ time

    def hold_until(self, destination: str, on: date) -> date | None:
        """First day on which applications for a country are decided again, if they are held today; None if they are not."""
        until: date | None = None
        for hold in sorted(self.regime(on).holds, key=lambda h: (h.from_, h.until)):
            day = until or on
            if hold.from_ <= day < hold.until and destination in self.members(hold.destinations, hold.from_):
                until = hold.until
        return until

    def holds(self, start: date, end: date) -> list[Hold]:
        """Holds that touch a period, each once, under the regime that governs when it begins; in order of their dates."""
        found = [
            h
            for begins, until, regime in self._spans()
            for h in regime.holds
            if begins <= h.from_ < until and h.from_ < end and h.until > start
        ]
        return sorted(found, key=lambda h: (h.from_, h.until))

    def grants(self, start: date, end: date) -> list[Grant]:
        """Real dated grants in a period (the overlay of history), in order of date."""
        found = [
            g for begins, ends, regime in self._spans() for g in regime.grants if begins <= g.on < ends and start <= g.on <= end
        ]
        return sorted(found, key=lambda g: (g.on, g.id))

    def _spans(self) -> list[tuple[date, date, Regime]]:
        ends = [begins for begins, _ in self.segments[1:]] + [date.max]
        return [(begins, until, regime) for (begins, regime), until in zip(self.segments, ends, strict=True)]

    def change_dates(self, start: date, end: date) -> list[date]:
        """Days after `start`, up to `end`, on which what is required, announced or limited changes: sorted, without repeats."""
        found: set[date] = set()
        before: Regime | None = None
        for begins, until, regime in self._spans():
            # A step of the timeline to the law already in force changes nothing.
            days: set[date] = set() if regime is before else {begins}
            before = regime
            rules: list[Provision | LicenceException] = [*regime.provisions, *regime.exceptions.values()]
            for rule in rules:
                days |= _dates(regime, rule).all()
            days |= {day for leaf in regime.leaves.values() for day, _ in leaf.steps if self._matters(regime, leaf.id, day)}
            days |= {day for hold in regime.holds for day in (hold.from_, hold.until)}
            for m in regime.places.memberships:
                if not m.by or m.by in regime.instruments:
                    days |= {m.begins, m.ends}
            if "allocation.window_end" in regime.leaves and any(p.quota == "allocation" for p in regime.provisions):
                for _, leaf in regime.leaves["allocation.window_end"].steps:
                    days |= {date(leaf.value.year + 1, 1, 1)}
                    if self.readings.get("allocation-after-window") == "renewed":
                        days |= {date(year, 1, 1) for year in range(leaf.value.year + 1, end.year + 1)}
            if any(p.quota == "deal" for p in regime.provisions):
                days |= {date(year, 1, 1) for year in range(begins.year + 1, end.year + 1)}
            found |= {day for day in days if begins <= day < until}
        return sorted(day for day in found if start < day <= end)

    def expected_changes(self, on: date, until: date) -> list[date]:
        """Days after `on`, up to `until`, on which somebody who knows what is announced by `on` expects that other exports need
        a licence: rules that begin to bind or end, measures and groups that step, countries that change group."""
        regime = self.regime(on)
        days: set[date] = set()
        for rule in regime.provisions:
            found = _dates(regime, rule)
            days |= {found.compliance} if found.announced <= on else set()
            days |= {found.end} if found.end_announced <= on else set()
        limbs = (limb for item in regime.items.values() for limb in item.any_of)
        measures = {name for limb in limbs for name in limb.model_dump(exclude_none=True).values() if isinstance(name, str)}
        measures |= {name for p in regime.provisions for name in (p.quantity_at_most, p.quantity_above) if name}
        measures |= {name for name, leaf in regime.leaves.items() if leaf.unit == "group"}
        days |= {day for name in measures for day, _ in regime.leaves[name].steps}
        for m in regime.places.memberships:
            if not m.by or (m.by in regime.instruments and regime.instruments[m.by].announced <= on):
                days |= {m.begins, m.ends}
        return sorted(day for day in days if on < day <= until)

    @staticmethod
    def _matters(regime: Regime, leaf_id: str, day: date) -> bool:
        """False for a step of a limit whose exception, authorisation or pot is not law that day (a rule not enforced)."""
        topic = "allocation" if leaf_id.startswith("others.") else leaf_id.partition(".")[0]
        rules: list[Provision | LicenceException] = []
        if topic in regime.exceptions:
            rules = [regime.exceptions[topic]]
        elif topic in ("allocation", "deal"):
            rules = [p for p in regime.provisions if p.quota == topic]
        else:
            return True
        return any(_dates(regime, rule).count(day) for rule in rules)


@dataclass(frozen=True, slots=True)
class _Dates:
    """The dates of one provision or exception, its own before those of its instrument."""

    announced: date
    compliance: date
    counts_from: date
    end: date
    end_announced: date
    effective: date

    def bind(self, on: date, announced_by: date | None) -> bool:
        """Must an export on that day comply? Somebody planning knows neither rules nor ends announced after `announced_by`."""
        if on < self.compliance:
            return False
        if announced_by is None:
            return on < self.end
        return self.announced <= announced_by and (on < self.end or self.end_announced > announced_by)

    def count(self, on: date) -> bool:
        return self.counts_from <= on < self.end

    def all(self) -> set[date]:
        return {self.announced, self.effective, self.compliance, self.counts_from, self.end, self.end_announced} - {date.max}


def _dates(regime: Regime, rule: Provision | LicenceException) -> _Dates:
    """Resolved dates. Not stated: compliance = effective, counting = compliance, a sunset is known from the start."""
    instrument = regime.instruments[rule.instrument]
    own = {name: getattr(rule, name, None) for name in ("announced", "effective", "compliance", "counts_from", "ends")}
    announced = own["announced"] or instrument.announced
    effective = own["effective"] or instrument.effective
    # A provision with its own effective day does not inherit the instrument's compliance day.
    compliance = own["compliance"] or (effective if own["effective"] else instrument.compliance or effective)
    counts_from = own["counts_from"] or (compliance if own["effective"] else instrument.counts_from or compliance)
    candidates = [e for e in (own["ends"], instrument.ends) if e is not None]
    ends = min(candidates, key=lambda e: e.on) if candidates else None
    end = ends.on if ends else date.max
    end_announced = (ends.announced or announced) if ends else date.max
    return _Dates(announced, compliance, counts_from, end, end_announced, effective)


# ---------------------------------------------------------------------- the ruling


@dataclass(slots=True)
class _Notes:
    """Reasons and doubts gathered while a ruling is made."""

    reasons: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def use(self, law: Law, leaf_id: str, on: date) -> Any:
        """Read a leaf; remember it if it is recalled or assumed."""
        leaf = law.leaf(leaf_id, on)
        if leaf.kind in ("recalled", "assumed"):
            self.unsure.append(leaf_id)
        return leaf.value


def ruling(law: Law, export: Export, position: Position) -> Ruling:
    """What the law says of one export, given what its end user holds and has used.

    The order is the law's: no licence needed -> License Exception LPP -> authorisation (universal if its shares hold with this
    export counted in, else national, else of the data centre) -> licence, which alone draws on the country allocation.
    Raises ValueError for an unknown country code or a quantity that is not positive.
    """
    if export.quantity_tpp <= 0:
        raise ValueError(f"the quantity is {export.quantity_tpp} TPP; an export is of at least 1")
    on, quantity = export.on, export.quantity_tpp
    need = law.requirement(
        export.destination, export.headquarters, export.item, on,
        consignee=export.consignee, quantity_tpp=quantity, origin=export.origin,
    )  # fmt: skip
    regime, p = law.regime(on), need.provision
    notes = _Notes([f"{p.id} ({p.citation}) decides: {p.title}"], list(need.unsure))

    def answer(route: str, review: str | None = None, quota: str | None = None, draw: int = 0, room: int | None = None,
               returned: bool = False, by: LicenceException | None = None, rule: str = "") -> Ruling:  # fmt: skip
        said = by or p
        return Ruling(
            route, review, rule or p.id, said.citation, regime.url(said.source), quota, draw, room, returned,
            tuple(notes.reasons), tuple(dict.fromkeys(notes.unsure)),
        )  # fmt: skip

    if need.demands != "licence":
        return answer("no_licence_required" if need.demands == "none" else "notification")
    for name in need.exceptions:
        if _covers(name, law, export, position, notes):
            exception = regime.exceptions[name]
            if exception.kind in ("recalled", "assumed"):
                notes.unsure.append(name)
            return answer(name, by=exception, rule=f"{p.id}/{name}")
    if need.quota is None:
        notes.reasons.append(f"a licence is needed; review: {_words(need.review)}")
        return answer("licence", need.review)

    pot = law.allocation(export.destination, on)
    assert pot is not None  # the provision that decides names the pot
    used = position.deal_used_tpp if need.quota == "deal" else position.allocation_used_tpp
    ceiling = (f"deal.ceiling_tpp.{export.destination}", "deal.ceiling_growth_per_year")
    for leaf_id in ceiling if need.quota == "deal" else ("allocation.tpp",):
        if law.has(leaf_id, on):
            notes.use(law, leaf_id, on)
    if need.quota == "allocation" and export.destination in law.members("allocation_agreements", on):
        notes.use(law, "allocation.agreement_multiple", on)
    if on > law.at("allocation.window_end", on) if need.quota == "allocation" else False:
        notes.use(law, "allocation.after_window", on)
    room = max(pot.limit_tpp - used, 0)
    draw = quantity if law.counts(export.item, on) else 0
    if allocation_allows(used, quantity, pot.limit_tpp):
        notes.reasons.append(f"the pot of {export.destination} has {room:,} of {pot.limit_tpp:,} TPP left; {quantity:,} fit")
        return answer("licence", need.review, need.quota, draw, room)
    notes.reasons.append(f"the pot of {export.destination} has {room:,} of {pot.limit_tpp:,} TPP left; {quantity:,} do not fit")
    beyond = need.review_beyond_quota or need.review
    if room == 0:
        notes.reasons.append(f"beyond the pot the review is {_words(beyond)}")
        return answer("licence", beyond, need.quota, 0, 0)
    if need.quota == "allocation" and notes.use(law, "allocation.straddle", on) == "granted_in_part":
        notes.reasons.append(f"an application that straddles the limit is granted for the {room:,} TPP left")
        return answer("licence", need.review, need.quota, room, room)
    notes.reasons.append(f"it is returned at decision and may be filed again for up to {room:,} TPP")
    return answer("licence", need.review, need.quota, 0, room, returned=True)


def _covers(name: str, law: Law, export: Export, position: Position, notes: _Notes) -> bool:
    """Whether an exception or authorisation takes the place of the licence; notes the test made."""
    on, quantity = export.on, export.quantity_tpp
    if name == "lpp":
        limit = int(law.at("lpp.tpp", on))
        fits = lpp_allows(position.lpp_used_tpp, quantity, limit)
        side = "within" if fits else "above"
        notes.reasons.append(f"LPP: {position.lpp_used_tpp:,} used this year + {quantity:,} {side} {limit:,} TPP per consignee")
        if fits:
            notes.use(law, "lpp.tpp", on)
            if law.leaf("lpp.consignee", on).kind in ("recalled", "assumed") and position.lpp_used_tpp:
                notes.unsure.append("lpp.consignee")
        return fits
    if name not in position.authorisations:
        notes.reasons.append(f"{name.upper()}: no authorisation granted")
        return False
    if name == "uveu":
        ratios = law.uveu_ratios(on)
        assert ratios is not None  # the requirement lists it only where it is offered
        tier1, home = law.members("tier1", on), export.destination == "USA"
        us_ppm = ratios.min_us_ppm if export.headquarters in law.members("USA", on) else 0
        failed = uveu_test(
            quantity, home, export.destination in tier1, position.owned_destination_tpp, position.owned_tier1_tpp,
            position.owned_us_tpp, position.owned_total_tpp, ratios.max_single_ppm, ratios.min_tier1_ppm, us_ppm,
        )  # fmt: skip
        for leaf_id in ("uveu.max_share_single", "uveu.min_share_tier1", "uveu.min_share_us", "uveu.denominator", "uveu.tested"):
            notes.use(law, leaf_id, on)
        total = position.owned_total_tpp + quantity
        share = 100 * (position.owned_destination_tpp + quantity) / total
        notes.reasons.append(
            f"UVEU: {export.destination} would hold {share:.3f} % of {total:,} TPP: "
            + (
                "all shares hold",
                "above the limit for one country",
                "tier 1 below its share",
                "the United States below its share",
            )[failed]
        )
        return failed == 0
    if name == "nveu":
        cap = int(notes.use(law, "nveu.cap_tpp", on))
        failed_tpp = position.nveu_failed_tpp if notes.use(law, "nveu.failed_leave_count", on) else 0
        fits = nveu_allows(position.nveu_held_tpp, failed_tpp, quantity, cap)
        side = "within" if fits else "above"
        notes.reasons.append(f"NVEU: {position.nveu_held_tpp:,} held - {failed_tpp:,} failed + {quantity:,} {side} {cap:,} TPP")
        return fits
    notes.reasons.append(f"{name.upper()}: the data centre is authorised")
    return True


def _words(review: str | None) -> str:
    return (review or "none").replace("_", " ")


# ---------------------------------------------------------------------- differences


class LeafDifference(NamedTuple):
    """One number that two regimes state differently."""

    leaf_id: str
    old: Any
    new: Any
    unit: str
    old_citation: str
    new_citation: str
    title: str
    """What the number is, in words; empty if the regime only has its id."""


def leaf_differences(a: Regime, b: Regime, on: date) -> list[LeafDifference]:
    """Leaves whose values differ between two regimes on a day (None where one lacks it), by id."""
    found = []
    for key in sorted({*a.leaves, *b.leaves}):
        dated = [regime.leaves.get(key) for regime in (a, b)]
        old, new = (leaf.at(on) if leaf is not None and leaf.steps[0][0] <= on else None for leaf in dated)
        values = [leaf.value if leaf is not None else None for leaf in (old, new)]
        cited = [leaf.citation if leaf is not None else "" for leaf in (old, new)]
        said = new or old
        if values[0] != values[1] and said is not None:
            title = next((leaf.title for leaf in reversed(dated) if leaf is not None and leaf.title), "")
            found.append(LeafDifference(key, values[0], values[1], said.unit, cited[0], cited[1], title))
    return found


def tier(places_of: Regime, iso3: str, on: date = date(2025, 1, 15)) -> int:
    """1, 2 or 3 by the Framework's own lists as of a day: paragraph (a), D:5 with Macau, the rest. A way of reporting only."""
    from simulator.regimes import Places

    places: Places = places_of.places
    if iso3 in places.members("para_a", on):
        return 1
    return 3 if iso3 == "MAC" or iso3 in places.members("d5", on) else 2
