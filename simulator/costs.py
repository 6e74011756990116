"""Money from events: pure functions of the log, of what lives it tells, and of unit costs. Real US dollars of 2025, from the start.

| line          | what is paid, and when |
|---------------|------------------------|
| chips         | chips with their servers and network, on delivery, at home |
| shells        | own shells along the spending curve: site control, ground-breaking, half of construction, shell-ready, online |
| freight       | freight and insurance of chips, when they leave |
| opex          | energy, staff and upkeep of what is online, opening fleet included |
| rent          | leased shells from powered and shelled to the end, whether chips are there or not |
| bridging      | extra cost of the energy from on-site generation until the grid comes |
| compliance    | applications, authorisations and their reports, security build-out of controlled sites |
| revenue_share | the share of a shipment's price that the United States takes as a condition of the licence |
| tariff        | on covered chips that pass through the United States on their way abroad |

These nine are outlays and make up the present value. Four lines stand apart and are never added to them: `matching` (investment
at home a deal asks for: a commitment, money that buys something), `idle_shells` and `idle_chips` (carrying cost: the annuity or
cost of capital of what is paid for and not used), and `sunk` (what was spent on shells given up, less what comes back).

Spending before the start date is left out. Shells are those of the market; the mean of a country's markets stands for its part of
the opening fleet, whose sites are not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.lives import NEVER, Bools, Dated, Running, authorisations, once, summed
from simulator.sampling import HOPS
from simulator.static import Draws, Ints, Route, Static, Timed, authorisation_rounds
from simulator.units import DAYS_PER_YEAR, MW_SIXTEENTHS, PPM

if TYPE_CHECKING:
    from simulator.lives import Lives, MonthEnds, Phases, Rows

YEAR = DAYS_PER_YEAR
PER_MWH = 1000
"""`bridge_usd_per_mwh` is in thousandths of a USD."""


class Money(NamedTuple):
    """(T, K, X) running totals at month ends in USD, by line of the table above; X as the `MonthEnds` they were added up by."""

    chips: Floats
    shells: Floats
    freight: Floats
    opex: Floats
    rent: Floats
    bridging: Floats
    compliance: Floats
    revenue_share: Floats
    tariff: Floats
    matching: Floats
    idle_shells: Floats
    idle_chips: Floats
    sunk: Floats

    @property
    def capex(self) -> Floats:
        """Chips with servers and network, own shells, freight."""
        return self.chips + self.shells + self.freight

    @property
    def running(self) -> Floats:
        """What is paid to operate and to comply: every outlay that is not capital."""
        return self.opex + self.rent + self.bridging + self.compliance + self.revenue_share + self.tariff


def money(static: Static, draws: Draws, rows: Rows, life: Lives, ends: MonthEnds, delivered: Ints) -> Money:
    """All lines of a run. `delivered` (T, K, A) as `deliveries`."""
    p = life.phases
    price, value, mw = _shell_price(draws, p), shipped_value(draws, rows, life), p.mw16 / MW_SIXTEENTHS
    payments = shell_payments(static, draws, life)
    due = [Dated(tick, p.company, p.country, share * price) for share, tick in payments]
    left = _law_at(static, p.shipped)
    taken_usd = value * (p.country != static.home) * (static.revenue_share_ppm[left, p.country] / PPM)
    shells, freight, compliance, revenue_share, tariff, matching, sunk = ends.dated(
        [
            due,
            [Dated(p.shipped, p.company, p.country, value * (draws.freight_ppm / PPM))],
            _compliance(static, draws, rows, life),
            [Dated(p.shipped, p.company, p.country, taken_usd)],
            _tariff(static, draws, rows, life),
            _matching(static, [*due, Dated(p.shipped, p.company, p.country, value * (draws.it_overhead_ppm / PPM))]),
            [_sunk(draws, life, payments, price)],
        ]
    )
    unused = np.minimum(np.minimum(p.shipped, p.ended), p.in_fleet)
    rented = np.where(p.route == Route.LEASED, p.ready, NEVER)
    opex, rent, bridging, idle_shells, idle_chips = ends.running(
        [
            _opex(static, draws, p),
            [Running(rented, np.minimum(p.ended, p.in_fleet), p.company, p.country, draws.rent_usd_per_mw / YEAR * mw)],
            [_bridging(draws, life)],
            [Running(p.shell_ready, unused, p.company, p.country, draws.idle_shell_usd / (YEAR / 12) * mw)],
            [_idle_chips(static, draws, rows, life)],
        ]
    )
    home = np.arange(ends.places) == ends.place[static.home]
    chips_usd = np.cumsum(delivered @ draws.price_usd, axis=0) * (draws.it_overhead_ppm / PPM)
    return Money(
        chips=chips_usd[:, :, None] * home,
        shells=shells,
        freight=freight,
        opex=opex,
        rent=rent,
        bridging=bridging,
        compliance=compliance,
        revenue_share=revenue_share,
        tariff=tariff,
        matching=matching,
        idle_shells=idle_shells,
        idle_chips=idle_chips,
        sunk=sunk,
    )


def _law_at(static: Static, tick: Ints) -> Ints:
    """Segment of the law at ticks; that of the first for ticks before it."""
    return np.maximum(np.searchsorted(static.law_ticks, tick, side="right") - 1, 0)


def _shell_price(draws: Draws, p: Phases) -> Floats:
    """(N,) USD of each phase's shell; nothing where a landlord builds it."""
    return np.where(p.route == Route.LEASED, 0.0, draws.shell_usd_per_mw[p.market] * p.mw16 / MW_SIXTEENTHS)


def shell_payments(static: Static, draws: Draws, life: Lives) -> list[tuple[float, Ints]]:
    """(share of the shell's price, ticks (N,) at which it is due) along the spending curve; NEVER where it does not fall due.

    Half of construction lies between ground-breaking and the day the building is or should be ready. It is due although the
    building may be finished after the horizon, unless the site was given up before.
    """
    p, sites = life.phases, life.sites
    broken, ended = sites.ground_breaking[p.site], sites.ended[p.site]
    due = np.where(p.shell_ready < NEVER, p.shell_ready, expected_shell(static, draws, life))
    half = np.where(broken < NEVER, broken // 2 + np.where(due < NEVER, due, 0) // 2, NEVER)
    half = np.where((half < ended) | (p.shell_ready < NEVER), half, NEVER)
    shares = (np.diff(draws.spend_ppm, prepend=0) / PPM).tolist()
    return list(zip(shares, (sites.site_control[p.site], broken, half, p.shell_ready, p.online), strict=True))


def expected_shell(static: Static, draws: Draws, life: Lives) -> Ints:
    """(N,) tick at which each phase's building is ready if nothing stops the work; NEVER before construction begins.

    The same integer arithmetic as the engine's.
    """
    p, sites = life.phases, life.sites
    begun = sites.construction[p.site]
    root = p.site // HOPS
    at = np.where(begun < NEVER, begun, 0)
    year = np.clip(np.searchsorted(static.year_starts, at, side="right") - 1, 0, len(draws.luck_construction) - 1)

    def length(timed: Timed) -> Ints:
        ticks = draws.median[timed][p.market] * draws.spread[root, timed] >> 20
        return ticks * draws.route_factor[p.route, timed] >> 20

    built = length(Timed.CONSTRUCTION) * draws.luck_construction[year, p.country] >> 20
    return np.where(begun < NEVER, at + built + length(Timed.FIT_OUT) + draws.shell_offset[root, p.number], NEVER)


def deliveries(static: Static, rows: Rows, mark: Mark = Mark.DELIVERED) -> Ints:
    """(T, K, A) chips each company took delivery of in each month (or ordered, with COMMITTED: in the month of the order)."""
    shape = len(static.month_starts) - 1, len(static.companies), len(static.accelerators)
    found = rows.of(Stage.CHIPS, mark)
    month = np.maximum(np.searchsorted(static.month_starts, rows.tick[found], side="right") - 1, 0)
    cell = (month * shape[1] + rows.company(found)) * shape[2] + rows.pool[found]
    taken = np.bincount(cell, weights=rows.quantity[found], minlength=shape[0] * shape[1] * shape[2])
    return taken.astype(np.int64).reshape(shape)  # whole numbers, and far below 2**53


def shipped_value(draws: Draws, rows: Rows, life: Lives) -> Floats:
    """(N,) USD of the chips of each phase, without servers and network."""
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    usd = rows.quantity[taken] * draws.price_usd[rows.pool[taken]]
    return summed(life.place[rows.unit[taken]], usd, len(life.phases.site))  # a phase may take chips of several kinds


def _opex(static: Static, draws: Draws, p: Phases) -> list[Running]:
    """What is online costs by the day, and so does the opening fleet."""
    yearly = draws.opex_usd_per_mw[p.market] * (p.online_mw16 / MW_SIXTEENTHS)
    markets = np.bincount(static.market_country, minlength=len(static.countries))
    mean = summed(static.market_country, draws.opex_usd_per_mw, len(static.countries)) / np.maximum(markets, 1)
    fleet_mw = (draws.fleet_chips @ static.watts) / 1e6
    k, c = np.nonzero(fleet_mw)
    return [
        Running(p.online, NEVER, p.company, p.country, yearly / YEAR),
        Running(np.zeros(len(k), dtype=np.int64), NEVER, k, c, fleet_mw[k, c] * mean[c] / YEAR),
    ]


def _bridging(draws: Draws, life: Lives) -> Running:
    """MWh from on-site generation, from its first power until the grid comes, at what it costs more than the grid."""
    p = life.phases
    on = np.nonzero((life.sites.bridged[p.site] < NEVER) & (p.online < NEVER))[0]
    site, country = p.site[on], p.country[on]
    pue = draws.after_run.pue[country] if draws.after_run is not None else np.full(len(on), np.nan)
    mwh_a_day = p.online_mw16[on] / MW_SIXTEENTHS * (draws.load_factor_ppm / PPM) * pue * 24
    begin = np.maximum(p.online[on], life.sites.bridged[site])
    return Running(begin, life.sites.grid[site], p.company[on], country, mwh_a_day * (draws.bridge_usd_per_mwh / PER_MWH))


def secured(static: Static, rows: Rows, life: Lives) -> Bools:
    """(N,) whether chips left for a phase under a licence or an authorisation: their site is built to be secure."""
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    p, phase, chip = life.phases, life.place[rows.unit[taken]], rows.pool[taken]
    law = _law_at(static, rows.tick[taken]), p.company[phase], p.country[phase], chip
    controlled = (static.needs_licence[law] == 1) & (p.ship_rule[phase] != static.lpp_rule[law])
    found = np.zeros(len(p.site), dtype=np.bool_)
    found[phase[controlled]] = True
    return found


def _compliance(static: Static, draws: Draws, rows: Rows, life: Lives) -> list[Dated]:
    """Applications, security build-out of sites cleared by licence or authorisation, and the authorisations themselves."""
    p = life.phases
    national_usd = draws.after_run.national_usd if draws.after_run is not None else float("nan")
    shell = draws.shell_usd_per_mw[p.market] * (p.mw16 / MW_SIXTEENTHS)  # also of a landlord's: the tenant secures it
    built = shell * secured(static, rows, life) * (draws.security_ppm / PPM)
    parts = [Dated(p.shipped, p.company, p.country, built)]
    for stage, usd in ((Stage.LICENCE_REVIEW, float(draws.application_usd)), (Stage.NATIONAL_AUTHORISATION, national_usd)):
        filed = rows.of(stage, Mark.FILED)
        parts.append(Dated(rows.tick[filed], rows.company(filed), rows.pool[filed], usd))
    if static.allow_uveu and _universal(static):
        company, applied = universal_applications(static, draws)
        parts.append(Dated(applied, company, np.full(len(company), static.home), float(draws.authorisation_usd)))
    # Reports and audits: a twelfth of the yearly cost at the beginning of each month in which a company holds any authorisation.
    month, company = np.nonzero(authorised_months(static, rows))
    tick = static.month_starts[month]
    yearly = static.authorisation_usd_a_year[_law_at(static, tick)]
    return [*parts, Dated(tick, company, np.full(len(tick), static.home), yearly / 12)]


@once
def _universal(static: Static) -> bool:
    """Whether the law ever offers the universal authorisation."""
    return bool((static.uveu_rule >= 0).any())


def universal_applications(static: Static, draws: Draws) -> tuple[Ints, Ints]:
    """(companies, ticks) of applications for the universal authorisation before the horizon."""
    found = [(k, applied) for k, each in enumerate(authorisation_rounds(static, draws)) for applied, _, _ in each]
    table = np.array(found, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def authorised_months(static: Static, rows: Rows) -> Ints:
    """(T, K) whether a company holds a universal or national authorisation at the beginning of each month."""
    held = authorisations(static, rows)
    starts = static.month_starts[:-1, None]
    national = held.national.min(axis=1, initial=NEVER)
    return ((held.since <= starts) & (starts < held.until)) | (national <= starts)


def _tariff(static: Static, draws: Draws, rows: Rows, life: Lives) -> list[Dated]:
    """On covered chips that pass through the United States on their way to a site abroad."""
    if not static.tariff_ppm.any():
        return []
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    phase, tick, chip = life.place[rows.unit[taken]], rows.tick[taken], rows.pool[taken]
    country, law = life.phases.country[phase], _law_at(static, tick)
    share = static.tariff_ppm[law] * static.tariff_covers[law, chip] * (country != static.home) / PPM
    return [Dated(tick, life.phases.company[phase], country, rows.quantity[taken] * draws.price_usd[chip] * share)]


def _matching(static: Static, invested: list[Dated]) -> list[Dated]:
    """What deals ask to be invested at home for what is invested in their countries, under the law of the day."""
    if not static.matching_ppm.any():
        return []
    return [
        part._replace(amount=part.amount * (static.matching_ppm[_law_at(static, part.tick), part.country] / PPM))
        for part in invested
    ]


def _idle_chips(static: Static, draws: Draws, rows: Rows, life: Lives) -> Running:
    """Chips in stock, from delivery (or the start) until they leave for a site."""
    daily = draws.price_usd * (draws.idle_chip_ppm / PPM / YEAR)
    opening = (draws.opening_stock + draws.under_way) @ daily
    k = np.arange(len(static.companies))
    came, left = rows.of(Stage.CHIPS, Mark.DELIVERED), rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    tick = np.concatenate([np.zeros(len(k), dtype=np.int64), rows.tick[came], rows.tick[left]])
    company = np.concatenate([k, rows.company(came), life.phases.company[life.place[rows.unit[left]]]])
    usd = np.concatenate([opening, rows.quantity[came] * daily[rows.pool[came]], -rows.quantity[left] * daily[rows.pool[left]]])
    return Running(tick, NEVER, company, np.full(len(tick), static.home), usd)


def _sunk(draws: Draws, life: Lives, payments: list[tuple[float, Ints]], price: Floats) -> Dated:
    """What had been spent on a shell when it was given up, less the share that comes back."""
    p = life.phases
    spent = sum((share * (tick <= p.ended) for share, tick in payments), np.zeros(len(price)))
    return Dated(p.ended, p.company, p.country, spent * price * (1 - draws.recovery_ppm / PPM))


# ---- one number for a run ---------------------------------------------------------------------------------------------------


def discount(draws: Draws, ends: MonthEnds) -> Floats:
    """(T,) what a dollar in the middle of each month is worth on the start date, at the real discount rate."""
    begins = np.append(0.0, ends.ends[:-1])
    return (1 + draws.discount_ppm / PPM) ** (-(begins + ends.ends) / 2 / YEAR)


def present_value(draws: Draws, found: Money, ends: MonthEnds) -> Floats:
    """(K,) outlays from the start date to the horizon, discounted to the start date, in USD."""
    outlays = np.diff((found.capex + found.running).sum(axis=2), axis=0, prepend=0.0)
    return discount(draws, ends) @ outlays


def annuity(rate: float, years: float) -> float:
    """Share of a price that is due each year over an asset's life, interest included."""
    return rate / (1 - (1 + rate) ** -years) if rate > 0 else 1 / years


def per_h100e_year(static: Static, draws: Draws, rows: Rows, life: Lives, found: Money, ends: MonthEnds) -> tuple[Floats, Floats]:
    """(K,) discounted annual cost in USD, and discounted H100-equivalent-years: their ratio is the cost of one for a year.

    Of the capacity that comes online in the run, opening fleet left out. Cost: the annuity of every chip with its servers and
    network from delivery (or the start) on, used or not; the annuity of every own shell that is kept, from shell-ready on; freight,
    and what is lost with shells given up (`sunk`), when they fall due; rent, energy and staff of these sites, bridging, compliance,
    revenue share, tariff. So chips and shells that stand idle make what is online dearer.
    """
    p, after = life.phases, draws.after_run
    if after is None:
        nothing = np.full(ends.companies, np.nan)
        return nothing, nothing
    rate = draws.discount_ppm / PPM
    k, home = np.arange(ends.companies), np.full(ends.companies, static.home)
    servers, facility = (annuity(rate, years) / YEAR for years in (after.server_years, after.facility_years))
    overhead = draws.it_overhead_ppm / PPM
    owned = ((draws.opening_stock + draws.under_way) @ draws.price_usd) * overhead
    came = rows.of(Stage.CHIPS, Mark.DELIVERED)
    usd = rows.quantity[came] * draws.price_usd[rows.pool[came]] * overhead
    opex = draws.opex_usd_per_mw[p.market] * (p.online_mw16 / MW_SIXTEENTHS) / YEAR
    kept = np.where(p.ended < NEVER, NEVER, p.shell_ready)
    capital, compute = ends.running(
        [
            [
                Running(np.zeros(len(k), dtype=np.int64), NEVER, k, home, owned * servers),
                Running(rows.tick[came], NEVER, rows.company(came), np.full(len(came), static.home), usd * servers),
                Running(kept, p.in_fleet, p.company, p.country, _shell_price(draws, p) * facility),
                Running(p.online, NEVER, p.company, p.country, opex),
            ],
            [Running(p.online, NEVER, p.company, p.country, p.h100e_ppm / PPM / YEAR)],
        ]
    ).sum(axis=3)
    other = found.freight + found.sunk + found.running - found.opex
    worth = discount(draws, ends)
    cost = np.diff(capital + other.sum(axis=2), axis=0, prepend=0.0)
    return worth @ cost, worth @ np.diff(compute, axis=0, prepend=0.0)
