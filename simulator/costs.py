"""Money from events: pure functions of the log and of unit costs. Real US dollars of 2025, counted from the start date."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.events import Log, Mark
from simulator.static import Draws, Route, Static, authorisation_ticks
from simulator.units import DAYS_PER_YEAR, PPM, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.metrics import Lives

Floats = NDArray[np.float64]
Ticks = NDArray[np.int64]
Steps = Callable[[Ticks, Ticks, Ticks, Floats], Floats]


def spending(static: Static, draws: Draws, log: Log, life: Lives, steps: Steps) -> tuple[Floats, Floats, Floats]:
    """(T, K, C) running totals of capital spending, compliance cost and idle-shell cost at month ends, in USD.

    `steps(tick, company, country, amount)` adds dated amounts up. Spending before the start date is left out.
    """
    return (
        _shells(static, draws, life, steps) + _chips(static, draws, log),
        _compliance(static, draws, log, life, steps),
        _idle(static, draws, life),
    )


def _shells(static: Static, draws: Draws, life: Lives, steps: Steps) -> Floats:
    """Own shells, paid along the spending curve: site control, permits, half of construction, shell-ready, online."""
    own = np.repeat(draws.route, draws.relocates.shape[1]) != Route.LEASED
    price = np.where(life.market >= 0, draws.shell_usd_per_mw[life.market], 0) * life.mw16 / 16 * own
    never = np.iinfo(np.int64).max
    built = (life.ground_breaking < never) & (life.shell_ready < never)
    half = np.where(built, life.ground_breaking // 2 + np.where(built, life.shell_ready, 0) // 2, never)
    shares = np.diff(draws.spend_ppm, prepend=0) / PPM
    total = np.zeros((len(static.month_starts) - 1, len(static.companies), len(static.countries)))
    for share, tick in zip(shares, (life.site_control, life.ground_breaking, half, life.shell_ready, life.online), strict=True):
        since = np.where((tick >= 0) & (life.country >= 0), tick, never)
        total += steps(since, life.company, life.country, share * price)
    return total


def deliveries(static: Static, log: Log) -> NDArray[np.int64]:
    """(T, K, A) chips each company took delivery of in each month."""
    shape = len(static.month_starts) - 1, len(static.companies), len(static.accelerators)
    rows = log[log["mark"] == Mark.DELIVERED]
    month = np.searchsorted(static.month_starts, rows["tick"], side="right") - 1
    taken = np.zeros(shape, dtype=np.int64)
    np.add.at(taken, (month, -1 - rows["root"].astype(np.int64), rows["pool"]), rows["quantity"])
    return taken


def _chips(static: Static, draws: Draws, log: Log) -> Floats:
    """Chips with their servers and network, paid on delivery at home."""
    usd = (deliveries(static, log) * draws.price_usd).sum(axis=2) * (draws.it_overhead_ppm / PPM)
    table = np.zeros((*usd.shape, len(static.countries)))
    table[:, :, static.home] = np.cumsum(usd, axis=0)
    return table


def _compliance(static: Static, draws: Draws, log: Log, life: Lives, steps: Steps) -> Floats:
    """Applications, security build-out of sites cleared by licence or authorisation, and the authorisation itself."""
    filed = log[(log["mark"] == Mark.FILED) & (log["tick"] >= 0)]
    company = draws.company[filed["root"].astype(np.int64)]
    total = steps(filed["tick"], company, filed["pool"].astype(np.int64), np.full(len(filed), float(draws.application_usd)))

    free = np.ones(len(static.provisions) + 1, dtype=bool)
    controlled = np.unique(static.rule[static.needs_licence == 1])
    free[controlled] = False
    free[[i for i, id in enumerate(static.provisions) if id.endswith("/uveu")]] = False
    secured = (life.clearance_rule >= 0) & ~free[life.clearance_rule] & (life.shipped >= 0)
    price = (
        np.where(secured & (life.market >= 0), draws.shell_usd_per_mw[life.market], 0)
        * life.mw16
        / 16
        * (draws.security_ppm / PPM)
    )
    total += steps(life.shipped, life.company, life.country, price)

    if static.allow_uveu and (static.uveu_rule >= 0).any():
        companies = np.arange(len(static.companies))
        home = np.full(len(companies), static.home)
        fee = np.where(static.authorisation_applied >= 0, float(draws.authorisation_usd), 0.0)
        total += steps(static.authorisation_applied, companies, home, fee)
        # Kept from the grant as long as the law offers it: a twelfth of the yearly cost at the beginning of each month.
        held_from = np.array(authorisation_ticks(static, draws)[1])
        for month, tick in enumerate(static.month_starts[:-1].tolist()):
            segment = int(np.searchsorted(static.law_ticks, tick, side="right")) - 1
            total[month:, :, static.home] += (held_from <= tick) * (static.authorisation_usd_a_year[segment] / 12)
    return total


def _idle(static: Static, draws: Draws, life: Lives) -> Floats:
    """Finished shells without chips: from shell-ready (or the start) to shipment or the end of the project."""
    k, c = len(static.companies), len(static.countries)
    begin = np.maximum(life.shell_ready, 0)
    end = np.minimum(np.minimum(life.shipped, life.ended), static.horizon)
    idle = (life.shell_ready < static.horizon) & (end > begin) & (life.country >= 0)
    begin, end = begin[idle], end[idle]
    until = static.month_starts[1:]
    days = (np.clip(until[:, None], begin[None], end[None]) - begin[None]) / TICKS_PER_DAY
    usd = days / (DAYS_PER_YEAR / 12) * draws.idle_shell_usd * (life.mw16[idle] / 16)[None]
    column = life.company[idle] * c + life.country[idle]
    table = np.zeros((len(until), k * c))
    order = np.argsort(column, kind="stable")
    found, first = np.unique(column[order], return_index=True)
    if len(found):
        table[:, found] = np.add.reduceat(usd[:, order], first, axis=1)
    return table.reshape(len(until), k, c)
