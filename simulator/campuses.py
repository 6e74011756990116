"""Which sites stand together: campuses, how large they are when they run, and what training run they could do.

A campus is founded by one project and may grow to the size drawn for its founder (`Draws.campus_mw16`). An expansion joins the
oldest campus of its company in its market that still has room for it, by planned size; without one it founds a campus, as
every other route does. Sites are placed in the order in which they were planned. A plan given up keeps its place: land and
grid rights stay with the company. The sites of the opening fleet are not known one by one and are left out, so the number of
large campuses is a lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simulator import sums
from simulator.draws import Floats
from simulator.events import Mark, Stage
from simulator.lives import NEVER, summed
from simulator.sampling import HOPS
from simulator.static import Ints, Route
from simulator.units import MW_SIXTEENTHS, PPM

if TYPE_CHECKING:
    from simulator.lives import Lives, Phases, Rows, Sites
    from simulator.static import Draws

THRESHOLDS_MW = (300, 1000)
"""Facility MW in operation from which a campus is counted as large, and as one of a gigawatt."""
RUNS = (1e26, 1e27, 1e28)
"""Operations of the training runs whose first possible dates are reported."""
RUN_NAMES = ("1e26", "1e27", "1e28")
RUN_DAYS = 120


def campuses(draws: Draws, sites: Sites) -> Ints:
    """(R * HOPS,) the campus of each site: the index of the site that founded it; -1 where nothing was planned."""
    found = np.arange(len(sites.planned))
    found[sites.planned == NEVER] = -1
    expands = np.repeat(draws.route == Route.EXPANSION, HOPS) & (found >= 0)
    if not expands.any():
        return found
    markets = int(sites.market.max()) + 1
    some = np.nonzero(found >= 0)[0]
    sums.founders(
        some[np.argsort(sites.planned[some], kind="stable")], expands, sites.company * markets + sites.market,
        (int(sites.company.max()) + 1) * markets, sites.mw16, np.repeat(draws.campus_mw16, HOPS), found,
    )  # fmt: skip
    return found


def crossings(group: Ints, tick: Ints, amount: Ints | Floats, threshold: float) -> tuple[Ints, Ints]:
    """(groups, ticks): each group whose amounts add up to a threshold, in order, and when they first do. One entry an amount."""
    return _crossings(group, tick, amount, [threshold])[0]


def _crossings(group: Ints, tick: Ints, amount: Ints | Floats, thresholds: Sequence[float]) -> list[tuple[Ints, Ints]]:
    """The same for several thresholds."""
    order = np.lexsort((tick, group))
    group, tick, amount = group[order], tick[order], amount[order].astype(np.float64)
    found = [sums.reached(group, amount, float(threshold)) for threshold in thresholds]
    return [(group[at], tick[at]) for at in found]


def large_campuses(campus: Ints, phases: Phases, design_ratio_ppm: int, facility_mw: int) -> tuple[Ints, Ints]:
    """(campuses, ticks): each campus whose facility MW in operation reach a threshold, and when. `campus`: (R * HOPS,)."""
    lit = phases.online < NEVER
    size = phases.online_mw16[lit] * design_ratio_ppm
    return crossings(campus[phases.site[lit]], phases.online[lit], size, facility_mw * MW_SIXTEENTHS * PPM)


# ---- frontier training runs -------------------------------------------------------------------------------------------------


def training_rates(rows: Rows, life: Lives, tflops: Floats) -> Floats:
    """(N,) dense 16-bit peak of the chips each phase took, in operations a second. `tflops` (A,) is that of a chip."""
    taken = rows.of(Stage.CHIPS, Mark.CHIPS_TAKEN)
    peak = rows.quantity[taken] * tflops[rows.pool[taken]] * 1e12
    return summed(life.place[rows.unit[taken]], peak, len(life.phases.site))


def frontier_runs(
    campus: Ints, phases: Phases, rates: Floats, sustained: float, runs: Sequence[float] = RUNS, days: int = RUN_DAYS
) -> list[tuple[Ints, Ints]]:
    """For each number of operations (campuses, ticks): which campus can do it within `days` days, and from when:

        sum over its chips online of dense 16-bit peak x sustained x days x 86,400 s  >=  operations

    `campus` (R * HOPS,) says which sites stand together, `rates` (N,) is the peak of each phase in operations a second, `sustained`
    the share of it that a run makes use of (utilisation x goodput). The opening fleet is left out: the dates are late bounds.
    """
    able = (phases.online < NEVER) & (rates > 0)
    operations = rates[able] * (sustained * days * 86_400.0)
    # Rounding must not decide whether a campus that is exactly large enough is.
    return _crossings(campus[phases.site[able]], phases.online[able], operations, [run * (1 - 1e-12) for run in runs])
