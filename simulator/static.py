"""What an engine is given: `Static` (one a scenario) and `Draws` (one a replication). Integers only; no files, no chance inside.

`simulator.compile` builds both; the engines read nothing else. Index sizes used below:
S law segments, C countries, M markets, A accelerators, V vendors, K companies, R projects, F phases of a project, T months,
Q quarters, N filings of a company in a country, P provisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date
from enum import IntEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulator.units import DAYS_PER_YEAR, FACTOR_ONE, LARGEST, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.spillovers import AfterRun, ChinaPaths, ChinaPolicy

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


class Workload(IntEnum):
    """What a cluster is planned for: training goes where power comes soonest, inference where the users are."""

    TRAINING = 0
    INFERENCE = 1


PHASES = 12
"""Most phases of one project."""
FILINGS = 64
"""Most applications of one company for one country in one run."""
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
    nveu_rule: Ints
    """(S, K, C, A) the provision with the exception or authorisation that may take the licence's place, -1 = none"""
    tightens: Ints
    """(S, K, C) first tick at which, by what is announced on the segment's first day, the newest chip will need a licence there
    and does not today; the horizon if never. What companies hurry to ship ahead of"""
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
    """(Q, C) TPP asked for by other importers at each quarter start from the start date, real grants to them included where the
    scenario lays those over its own"""
    approve_below: Ints
    """(S, 6) threshold on the outcome draw by posture: below it approved"""
    deny_above: Ints
    """(S, 6) at or above it denied; between the two returned without action"""
    review_median: Ints
    """(S, 6) ticks from filing to decision by posture, as published or assumed for the sum of all parts: what companies expect"""
    clock_median: Ints
    """(S, 6) ticks of the interagency clock alone, fitted so that queue, clock and stops together meet the stated profile"""
    clock_spread: Ints
    """(1025,) multiplier table in 2**-20 of the clock's length"""
    stop_below: Ints
    """(S, 6) threshold on a draw below which the clock is stopped once"""
    stop_median: Ints
    """(S, 6) ticks of such a stop"""
    stop_spread: Ints
    """(1025,) multiplier table in 2**-20"""
    background_a_year: Ints
    """(S,) advanced-computing applications of others a year under this law, before the replication's own factor"""
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
    nveu_cap: Ints
    """(S,) TPP a national authorisation may have installed in a country by the quarter then running, 0 = none offered"""
    nveu_median: Ints
    """(S,) ticks from application to decision, the expected length of the host's assurances among them"""
    nveu_spread: Ints
    """(1025,) multiplier table in 2**-20"""
    nveu_grant: Ints
    """(S,) threshold"""
    deal_announced: Ints
    """(C,) tick at which a deal with the country is announced whose framework is still to be negotiated; the horizon if none"""
    deal_median: Ints
    """(C,) ticks from announcement to framework; before it nothing may be filed"""
    deal_spread: Ints
    """(1025,) multiplier table in 2**-20"""
    deal_tranches: Ints
    """(S,) parts in which a licence under a deal is released, one a quarter; 1 = at once"""
    deal_acceptance: Ints
    """(S,) ticks of a site's security acceptance under a deal, after the licence"""
    grant_tick: Ints
    grant_company: Ints
    grant_country: Ints
    grant_tpp: Ints
    grant_rule: Ints
    """(G,) dated real grants to the four companies (the overlay of history), empty unless the scenario asks for it"""
    # money and model weights: read after the run only
    revenue_share_ppm: Ints
    """(S, C) share of a sale into the country that goes to the United States as a condition of the licence"""
    tariff_ppm: Ints
    """(S,) tariff on the price of covered chips that pass through the United States on their way abroad"""
    tariff_covers: Ints
    """(S, A) 1 for the chips the tariff is on: those of the band of the January 2026 rule"""
    matching_ppm: Ints
    """(S, C) investment in the United States that a deal asks for each dollar invested in the country"""
    weights_rule: Ints
    """(S, K, C) the provision that asks a licence for controlled model weights (ECCN 4E091) there, -1 = none needed"""
    weights_admits: Ints
    """(S, K, C) what may stand for that licence at a site: 1 the universal, 2 the national authorisation, 3 either, 0 neither"""
    weights_threshold: Ints
    """(S,) operations in units of 1e20 from which closed weights are controlled, before the best open model; 0 = no control"""
    weights_follow_open: Ints
    """(S,) 1 if the threshold rises with the operations of the best open model"""
    tuned_share_ppm: Ints
    """(S,) extra operations, as a share of the original ones, from which a tuned open model is controlled; 0 = no control"""
    tuned_threshold: Ints
    """(S,) extra operations in units of 1e20 from which it is controlled; 0 = no control"""
    tuned_by_both: Ints
    """(S,) 1 if both must be reached, 0 if either is enough"""
    tuned_disputed_ppm: Ints
    """(S,) chance that the control of a tuned model is disputed"""
    bridging_allowed: Ints
    """(M,) 1 where a site may run on its own generation until the grid comes; 0 where nothing is known of it"""
    rationed: Ints
    """(M,) 1 where grid capacity is handed out in an explicit queue: every market open to US clouds, unless switched off"""
    newest: Ints
    """(S,) the accelerator with the largest TPP that ships when a segment begins: what planners look at"""
    typical_tpp: int
    """TPP of a phase of middle size filled with the newest chip of the first month: what planners check headroom for"""
    forced_until: int
    """Tick up to which announced projects abroad are bound to their country: the day the scenario leaves history, whose policies
    brought them about"""
    supply_ppm: Ints
    """(T,) chips that reach the four companies each month over what the inputs say: less where the law calls forth retaliation"""
    site_notice: Ints
    """(S,) ticks between telling the authority of a new site and the first shipment under the universal authorisation"""
    verification: Ints
    """(S,) ticks that location verification adds before chips may leave for a controlled site"""
    authorisation_again: int
    """Ticks from a refusal of the universal authorisation to the next application"""
    quarter_ticks: int
    """Ticks between two tranches of a deal's licence: a quarter of a year"""

    allow_relocation: bool
    allow_uveu: bool
    allow_lpp: bool
    allow_nveu: bool
    allow_rationing: bool
    allow_bridging: bool
    allow_crew_limit: bool
    allow_front_loading: bool
    allow_classification: bool
    allow_review_queue: bool
    allow_security: bool
    allow_money_bound: bool

    china: ChinaPolicy | None = None
    """What the law means for China's compute, by month; read after the run only"""

    def __post_init__(self) -> None:
        check_bounds(self)

    @cached_property
    def as_lists(self) -> dict[str, Any]:
        """Every array as nested lists: indexing a NumPy array costs ten times as much in a scalar loop. Made once a scenario."""
        large = {"clock_spread", "stop_spread", "nveu_spread", "deal_spread", "authorisation_spread"}
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in large}
        return {name: value.tolist() for name, value in values.items() if isinstance(value, np.ndarray)}


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
    workload: Ints
    """(R,) `Workload`"""
    phases: Ints
    """(R,) number of phases, 1 to PHASES"""
    phase_mw16: Ints
    """(R, F) IT load of each phase; a row sums to `mw16`, zero beyond the last phase"""
    shell_offset: Ints
    """(R, F) ticks from the first phase's shell to that of each phase, rising from 0"""
    power_offset: Ints
    """(R, F) ticks from first power to the energisation tranche that serves each phase, rising from 0"""
    campus_mw16: Ints
    """(R,) size to which a campus founded by this project may grow; read after the run only"""
    patience: Ints
    """(R,) ticks a ready phase waits for clearance before the company looks at its options"""
    patience_power: Ints
    """(R,) ticks beyond its own date that a company waits for power before it looks at its options"""
    optimism: int
    """A company's own estimate of a duration over the median, in 2**-20"""
    security: Ints
    """(R,) ticks from site control to the security acceptance of a controlled site"""
    refile: Ints
    """(K, C, N) ticks from a return or denial to the next filing"""
    licence_work: Ints
    """(K, C, N) ticks of a reviewer's work on an application (exponential)"""
    licence_clock: Ints
    licence_stop: Ints
    licence_stop_length: Ints
    licence_outcome: Ints
    """(K, C, N) uniform 62-bit integers: length of the clock, whether it stops, for how long, and the decision"""
    reviewers: int
    office_gaps: Ints
    """(B,) unit-rate exponential gaps between the applications of others, in 2**-20, from a year before the start"""
    office_work: Ints
    """(B,) ticks of a reviewer's work on each"""
    office_factor: int
    """Applications of others over the number the law's data states, in 2**-20"""
    classification: Ints
    """(K, A) ticks a formal classification takes before the first filing that names the chip; 0 where none is needed"""
    authorisation_time: Ints
    authorisation_outcome: Ints
    """(K, applications) uniform 62-bit integers; the outcome has a part common to all companies"""
    authorisation_kept: Ints
    """(K,) ticks from the grant to a revocation; beyond any horizon where none comes"""
    nveu_time: Ints
    nveu_outcome: Ints
    """(K, C)"""
    deal_time: Ints
    """(C,) uniform 62-bit integers: how long a deal is negotiated"""
    deliveries: Ints
    """(T, K, A) chips that each company could have at the beginning of each month"""
    commitment_months: int
    """Months before delivery at which a company commits to chips, or lets them go to other buyers"""
    chip_money: Ints
    """(T, K) thousands of USD that each month adds to what a company may spend on chips with their servers and network"""
    stock_ahead: int
    """Ticks beyond delivery for which a company stocks chips: it commits to no more than sites expected by then will need"""
    grid_ticks: Ints
    """(M,) ticks a rationed market takes to connect 1/16 MW of IT of the four companies"""
    grid_backlog: Ints
    """(M,) ticks of work that others keep in the queue of a rationed market until the start date"""
    grid_works: Ints
    """(M,) least ticks from a request to energisation in a rationed market"""
    crew_limit: Ints
    """(years, K) 1/16 MW of IT a company can have under construction at once, by calendar year from that of `earliest`"""
    bridge_supply: Ints
    """(T,) 1/16 MW of on-site generation that reaches the four companies together each month"""
    bridge_lead: Ints
    """(R,) ticks from the assignment of on-site generation to power"""
    shell_ahead: int
    """Ticks before its own date of first power at which a company is content to have a finished shell"""
    bridge_trigger: int
    """Ticks by which power must be expected after the shell before a company bridges"""
    front_load_before: int
    """Ticks before a restriction binds at which companies begin to ship ahead"""
    front_load_ready: int
    """Ticks after that date by which a site must be expected ready to be shipped to ahead"""
    licence_validity: int
    """Ticks for which a licence may be used"""
    licence_forecast: int
    """Ticks beyond the filing lead for whose sites an application asks at once"""
    let_after: int
    """Ticks after which a finished shell without chips is let to other use"""
    planning_horizon: int
    """Ticks ahead for which a company values a site when it looks at its options"""
    value_usd: int
    """USD a day that 1/16 MW of IT in service is worth to the company"""
    recovery_ppm: int
    """Share of sunk cost that comes back when a site is given up"""
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
    choice_training: int
    """How much more a training site minds a year of wait for power, as a multiple in 2**-20"""
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
    opex_usd_per_mw: Ints
    """(M,) energy, staff and upkeep of a running MW of IT a year"""
    rent_usd_per_mw: int
    """Rent of a leased shell, per MW of IT a year"""
    bridge_usd_per_mwh: int
    """Extra cost of on-site generation over the grid, per MWh in thousandths of a USD"""
    load_factor_ppm: int
    """Average load over design IT load"""
    freight_ppm: int
    """Freight and insurance, share of the chips' price"""
    idle_chip_ppm: int
    """Cost of capital and storage of chips in stock, share of their price a year"""
    discount_ppm: int
    """Real discount rate a year"""
    design_ratio_ppm: int
    """Peak load of the facility over its IT load"""
    offered: Ints | None = None
    """(T, K, A) what is offered for each month when chips are ordered, where that is not yet known to be other than `deliveries`"""
    china: ChinaPaths | None = None
    """This replication's paths of China's compute; read after the run only"""
    after_run: AfterRun | None = None
    """Inputs that only the measuring of a finished run reads"""

    def __post_init__(self) -> None:
        check_bounds(self, _quick_extremes())


def _extremes(values: Ints) -> tuple[int, int]:
    return int(values.min()), int(values.max())


def _extremes_in_one_pass(values: Ints) -> tuple[int, int]:
    low, high = values[0], values[0]
    for i in range(len(values)):
        low, high = min(low, values[i]), max(high, values[i])
    return low, high


@cache
def _quick_extremes() -> Callable[[Ints], tuple[int, int]]:
    """Smallest and largest of an array: a replication has half a million integers, and is checked in every one."""
    from simulator.jit import jit, plain

    return _extremes if plain() else jit(_extremes_in_one_pass)


def check_bounds(table: Static | Draws, extremes: Callable[[Ints], tuple[int, int]] = _extremes) -> None:
    """Every stored integer stays within +-2**62. Raises OverflowError naming the field."""
    for name, value in vars(table).items():
        if isinstance(value, int) or (isinstance(value, np.ndarray) and value.size):
            low, high = (value, value) if isinstance(value, int) else extremes(value.reshape(-1))
            if low < -LARGEST or high > LARGEST:
                raise OverflowError(f"{type(table).__name__}.{name} holds {low if low < -LARGEST else high}, beyond 2**62")


def read_table(table: Any, u: int) -> int:
    """The multiplier of a quantile table at a uniform 62-bit integer, interpolated in integers (`draws.look_up` for one number)."""
    i, fraction = u >> 52, u >> 32 & 0xFFFFF
    low = int(table[i])
    return low + ((int(table[i + 1]) - low) * fraction >> FACTOR_BITS)


def authorisation_rounds(static: Static, draws: Draws) -> list[list[tuple[int, int, bool]]]:
    """(applied, decided, granted) of each company's applications for the universal authorisation, in order: a refused company asks
    again after a while, up to a stated number of times. Empty for a company that never applies before the horizon."""
    rounds = []
    for k in range(len(static.companies)):
        applied, found = int(static.authorisation_applied[k]), list[tuple[int, int, bool]]()
        for time, outcome in zip(draws.authorisation_time[k].tolist(), draws.authorisation_outcome[k].tolist(), strict=True):
            if applied >= static.horizon or (found and found[-1][2]):
                break
            multiplier = read_table(static.authorisation_spread[k], time)
            decided = applied + (int(static.authorisation_median[k]) * multiplier >> FACTOR_BITS)
            found.append((applied, decided, outcome < int(static.authorisation_grant[k])))
            applied = decided + static.authorisation_again
        rounds.append(found)
    return rounds


def authorised_spans(static: Static, draws: Draws) -> tuple[list[int], list[int]]:
    """(held from, held until) by company: when it gets the universal authorisation (the horizon if never) and loses it again."""
    held = [next((on for _, on, granted in found if granted), static.horizon) for found in authorisation_rounds(static, draws)]
    kept = draws.authorisation_kept.tolist()
    return held, [min(on + kept[k], static.horizon) for k, on in enumerate(held)]


def deal_ticks(static: Static, draws: Draws) -> list[int]:
    """(C,) tick from which a destination's deal lets companies file; the past where nothing is to be negotiated."""
    framed = []
    for announced, median, u in zip(
        static.deal_announced.tolist(), static.deal_median.tolist(), draws.deal_time.tolist(), strict=True
    ):
        negotiated = announced + (median * read_table(static.deal_spread, u) >> FACTOR_BITS)
        framed.append(negotiated if announced < static.horizon else static.earliest)
    return framed


def office_cases(static: Static, draws: Draws) -> tuple[list[int], list[int]]:
    """Applications of others: (ticks of arrival, ticks of work), in order, from a year before the start to the horizon.

    A Poisson stream whose yearly rate is the law's number times the replication's factor: unit-rate gaps are stretched by the
    cumulated rate (time change), so that another law moves arrivals but not their luck.
    """
    year = round(DAYS_PER_YEAR * TICKS_PER_DAY)
    first = -year
    edges = np.append(np.maximum(static.law_ticks, first), static.horizon)
    rate = static.background_a_year * (draws.office_factor / FACTOR_ONE) / year
    mass = np.append(0.0, np.cumsum(rate * np.maximum(np.diff(edges), 0)))
    at = np.cumsum(draws.office_gaps) / FACTOR_ONE
    at = at[at < mass[-1]]
    arrivals = np.interp(at, mass, edges.astype(np.float64)).astype(np.int64)
    return arrivals.tolist(), draws.office_work[: len(arrivals)].tolist()
