"""What an engine is given: `Static` (one a scenario) and `Draws` (one a replication). Integers only; no files, no chance inside.

`simulator.compile` builds both; the engines read nothing else. Index sizes used below:
S law segments, C countries, M markets, A accelerators, V vendors, K companies, R projects, T months, Q quarters, P provisions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulator.units import LARGEST

if TYPE_CHECKING:
    from simulator.spillovers import ChinaPaths, ChinaPolicy

Ints = NDArray[np.int64]


class Route(IntEnum):
    """How a cluster is delivered; sets durations, cost split, and who owns the shell."""

    CLASSIC = 0
    AI_FIRST = 1
    EXPANSION = 2
    LEASED = 3


class Posture(IntEnum):
    """How a licence application is looked at."""

    NONE = 0
    PRESUMPTION_OF_APPROVAL = 1
    CASE_BY_CASE = 2
    PRESUMPTION_OF_DENIAL = 3
    POLICY_OF_DENIAL = 4
    DEAL_WINDOW = 5


class Timed(IntEnum):
    """The stages whose length is drawn: rows of `Draws.median` and `Draws.spread`, columns of `Static.route_factor`."""

    SITE_SELECTION = 0
    INTERCONNECTION = 1
    PERMITTING = 2
    CONSTRUCTION = 3
    FIT_OUT = 4
    SHIPPING = 5
    INSTALLATION = 6
    COMMISSIONING = 7


NO_POT = -1
FACTOR_BITS = 20
BARRED = -(1 << 50)
"""Score of a market where the law is expected to refuse."""


@dataclass(frozen=True)
class Static:
    """A scenario compiled: names, geography, law and market tables, shared by all its replications."""

    start: date
    horizon: int
    """Tick at which the run ends (beginning of the day after the last one)."""
    earliest: int
    """Tick of the oldest plan in the pipeline (negative)."""
    month_starts: Ints
    """(T + 1,) tick at which each month from the start begins; the last entry is the horizon."""

    year_starts: Ints
    """ticks of 1 January, from the year of `earliest` to that of the horizon"""
    quarter_starts: Ints
    """(Q,) ticks, from the start date"""

    companies: tuple[str, ...]
    countries: tuple[str, ...]
    markets: tuple[str, ...]
    accelerators: tuple[str, ...]
    vendors: tuple[str, ...]
    provisions: tuple[str, ...]
    """Ids of the provisions that decide; `rule` in the log points here."""

    home: int
    market_country: Ints
    """(M,)"""
    tier: Ints
    """(C,) 1, 2 or 3 by the Framework's list of 15 January 2025; a way of reporting, not the law of the day."""

    rd_access_h100e: int
    """Compute online in a country from which its research system is said to have access"""

    # chips
    vendor_of: Ints
    """(A,)"""
    tpp: Ints
    """(A,) per chip"""
    counted_tpp: Ints
    """(A,) TPP per chip that counts for footprint ratios: zero for items that are not 3A090.a"""
    h100e_ppm: Ints
    """(A,) parts per million of an H100, per chip"""
    watts: Ints
    """(A,) IT power per chip including its share of the server"""
    shipping_generation: Ints
    """(V, T) accelerator that makes up most of a vendor's deliveries in a month: what an application names"""

    # law, by segment
    law_ticks: Ints
    """(S,) tick from which each segment of the law holds; the first is `earliest`"""
    needs_licence: Ints
    """(S, K, C, A) 1 if an export to the country needs a licence unless an exception or authorisation covers it"""
    rule: Ints
    """(S, K, C, A) deciding provision"""
    posture: Ints
    """(S, K, C, A) `Posture`"""
    lpp_rule: Ints
    uveu_rule: Ints
    """(S, K, C, A) the provision with the exception or authorisation that may take the licence's place, -1 = none"""
    law_changes: Ints
    """(S,) a provision that differs from the segment before, or -1"""
    outlook: Ints
    """(2, S, K, C) without and with hope for the universal authorisation: score of building there under the law announced by
    the segment's first day; 0 free, negative if an application may fail, BARRED if it must"""
    outlook_wait: Ints
    """(2, S, K, C) years of wait for clearance expected under that law, in 2**-20"""
    lpp_limit: Ints
    """(S,) TPP per consignee and calendar year, 0 = no such exception"""
    uveu_single_ppm: Ints
    uveu_tier1_ppm: Ints
    uveu_us_ppm: Ints
    trusted: Ints
    """(S, C) 1 if the country counts as para-(a) destination ("tier 1") for the authorisation's ratios"""
    allocation: Ints
    """(S, C) TPP of the country's pot, NO_POT = none"""
    allocation_window: Ints
    """(S, C) identifies the pot's period: another number is a fresh pot"""
    allocation_counts: Ints
    """(S, C) 1 while exports already count towards the pot without being limited by it"""
    allocation_rule: Ints
    """(S, C) the provision that sets the pot, -1 = none"""
    other_importers: Ints
    """(Q, C) TPP asked for by other importers at each quarter start from the start date"""
    approve_below: Ints
    """(S, 6) threshold on the outcome draw by posture: below it approved"""
    deny_above: Ints
    """(S, 6) at or above it denied; between the two returned without action"""
    review_median: Ints
    """(S, 6) ticks from filing to decision by posture"""
    review_spread: Ints
    """(S, 6, 1025) multiplier table in 2**-20 (quantiles of a lognormal with median one)"""
    hold_from: Ints
    hold_until: Ints
    """(H,) periods without decisions"""
    hold_covers: Ints
    """(H, C)"""
    authorisation_applied: Ints
    """(K,) tick of each company's application for the universal authorisation, or the horizon if none"""
    authorisation_median: Ints
    """(K,)"""
    authorisation_spread: Ints
    """(K, 1025) multiplier table in 2**-20"""
    authorisation_grant: Ints
    """(K,) threshold"""
    authorisation_usd_a_year: Ints
    """(S,) a company's cost of keeping it"""

    allow_relocation: bool
    allow_uveu: bool
    allow_lpp: bool

    china: ChinaPolicy | None = None
    """What the law means for China's compute, by month; read after the run only"""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Draws:
    """One replication's assumptions and luck as arrays: everything uncertain, drawn before the run."""

    names: tuple[str, ...]
    """(R,) project names, readable"""
    company: Ints
    vendor: Ints
    route: Ints
    planned: Ints
    """(R,) tick of the plan"""
    mw16: Ints
    """(R,) IT load in 1/16 MW"""
    forced_country: Ints
    """(R,) country of an announced project, or -1"""
    appeal: Ints
    """(R, M) score of each market before law: footprint, workload, cost, wait, and the project's taste"""
    median: Ints
    """(8, M) ticks"""
    spread: Ints
    """(R, 8) multiplier in 2**-20; a successor keeps its lineage's"""
    luck_power: Ints
    luck_construction: Ints
    """(years, C) multiplier in 2**-20 by calendar year from that of `earliest`"""
    patience: Ints
    """(R,) ticks a ready shell waits for clearance"""
    relocates: Ints
    """(R, hops) 1 if the company looks for another site when patience ends or a refusal comes"""
    refile: Ints
    """(R,) ticks from a return to the next filing"""
    licence_time: Ints
    licence_outcome: Ints
    """(R, hops, filings) uniform 62-bit integers"""
    authorisation_time: Ints
    authorisation_outcome: Ints
    """(K,)"""
    deliveries: Ints
    """(T, K, A) chips offered to each company at the beginning of each month"""
    stock_ahead: int
    """Ticks ahead for which a company stocks chips: what is offered beyond the need of sites ready by then goes to other buyers"""
    opening_stock: Ints
    """(K, A) chips in stock on the start date"""
    under_way: Ints
    """(K, A) chips being shipped and installed on the start date"""
    under_way_ticks: int
    """How long before the start they leave stock"""
    fleet_chips: Ints
    """(K, C, A) opening fleet, running"""
    route_factor: Ints
    """(4, 8) multiplier in 2**-20 by route and timed stage"""
    interconnection_lead: int
    """Ticks by which a grid request precedes site control"""
    filing_lead: int
    """Ticks before the expected ready date at which a licence is applied for"""
    smallest_share_ppm: int
    """A returned application is filed again for the headroom if that is at least this share of what was asked"""
    largest_filings: int
    largest_hop: int
    choice_per_year: int
    """Score of one more year of expected wait, in 2**-20 (negative)"""
    price_usd: Ints
    """(A,) per chip"""
    it_overhead_ppm: int
    """Servers and network on top of the chips: IT capex = chips x this"""
    shell_usd_per_mw: Ints
    """(M,) shell with power and cooling, per MW of IT"""
    spend_ppm: Ints
    """(5,) share of the shell's cost spent by site control, permits, half of construction, shell-ready, online"""
    idle_shell_usd: int
    """Carrying cost of a finished shell without chips, per MW of IT and month"""
    application_usd: int
    """A company's own cost of one licence application"""
    authorisation_usd: int
    """A company's cost of applying for a universal authorisation"""
    security_ppm: int
    """Extra cost of a site under licence or authorisation, share of the shell's cost"""
    china: ChinaPaths | None = None
    """This replication's paths of China's compute; read after the run only"""

    def __post_init__(self) -> None:
        check_bounds(self)


def check_bounds(table: Static | Draws) -> None:
    """Every stored integer stays within +-2**62. Raises OverflowError naming the field."""
    for item in fields(table):
        value = getattr(table, item.name)
        if isinstance(value, int) or (isinstance(value, np.ndarray) and value.size):
            low, high = (value, value) if isinstance(value, int) else (int(value.min()), int(value.max()))
            if low < -LARGEST or high > LARGEST:
                raise OverflowError(f"{type(table).__name__}.{item.name} holds {low if low < -LARGEST else high}, beyond 2**62")


def read_table(table: Any, u: int) -> int:
    """The multiplier of a quantile table at a uniform 62-bit integer, interpolated in integers (`draws.look_up` for one number)."""
    i, fraction = u >> 52, u >> 32 & 0xFFFFF
    low = int(table[i])
    return low + ((int(table[i + 1]) - low) * fraction >> FACTOR_BITS)


def authorisation_ticks(static: Static, draws: Draws) -> tuple[list[int], list[int]]:
    """(decided, held from) by company: when its application for the universal authorisation is decided, and from when it holds
    one (the horizon if it is refused)."""
    decided, held = [], []
    for k in range(len(static.companies)):
        multiplier = read_table(static.authorisation_spread[k], int(draws.authorisation_time[k]))
        decided.append(int(static.authorisation_applied[k]) + (int(static.authorisation_median[k]) * multiplier >> FACTOR_BITS))
        granted = int(draws.authorisation_outcome[k]) < int(static.authorisation_grant[k])
        held.append(decided[-1] if granted else static.horizon)
    return decided, held
