"""Closed model weights as a controlled item: online inference sites that may not hold the frontier model.

Where the law controls closed weights trained above a threshold, a site abroad needs a licence for them unless an authorisation
of the company stands for it (`Static.weights_rule`, `weights_admits`). The chips run; the company's best model may not be
there. Law and model meet like this:

- The frontier model is controlled from the day on which the largest closed model passes the threshold of the law, or the best
  open model where the threshold follows it (the open one is behind, so it moves the threshold only where that is low).
- A company asks for a licence for the weights when it first runs inference in a country under such a control. It takes as long as
  a licence for the newest chip there typically does (case by case where that chip needs none), and covers the company's sites
  in the country as long as the control lasts. If fewer than half of such applications are approved, none comes.
- Until then its inference phases there are *barred*. Training sites and the opening fleet, whose use is not known, are left out.

A *tuned* open-weight model with more extra operations than the law allows is a second item. Whether it is controlled at all may be
disputed, so its MW-days are weighted with the chance that it is.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.draws import Floats
from simulator.lives import NEVER, Bools
from simulator.sampling import HOPS
from simulator.static import Draws, Ints, Posture, Static, Workload
from simulator.units import PPM, TICKS_PER_DAY

if TYPE_CHECKING:
    from simulator.lives import Authorisations, Phases
    from simulator.spillovers import AfterRun

UNIT = 1e20
"""Operations in which thresholds are stated in `Static`."""
HALF = 1 << 61
"""Approval threshold of one half, on 62-bit uniforms."""


class Barred(NamedTuple):
    """Times during which phases may not hold a controlled model, one entry each."""

    phase: Ints
    begin: Ints
    end: Ints
    weight: Floats
    """chance that the control is what it is taken to be: 1 for closed weights"""


def frontier_weights(static: Static, draws: Draws, after: AfterRun, held: Authorisations, phases: Phases) -> Barred:
    """Online inference phases without the closed frontier model for want of a licence for its weights."""
    controlled = static.weights_threshold > 0
    if not controlled.any():
        return _nothing()
    least = static.weights_threshold * UNIT
    least = np.where(static.weights_follow_open == 1, np.maximum(least, after.open_model_operations), least)
    reached = np.array([_tick(static, after.closed_model_passes(one)) if one else NEVER for one in least.tolist()])
    return _barred(static, draws, held, phases, controlled, reached, np.ones(len(least)))


def tuned_weights(static: Static, draws: Draws, held: Authorisations, phases: Phases) -> Barred:
    """The same for a tuned open-weight model beyond the law's limits, weighted with the chance that its control is disputed."""
    controlled = (static.tuned_share_ppm > 0) | (static.tuned_threshold > 0)
    if not controlled.any():
        return _nothing()
    since = np.full(len(controlled), static.earliest)
    return _barred(static, draws, held, phases, controlled, since, static.tuned_disputed_ppm / PPM)


def _nothing() -> Barred:
    none = np.zeros(0, dtype=np.int64)
    return Barred(none, none, none, none.astype(np.float64))


def _tick(static: Static, year: float) -> int:
    """A point in time, such as 2025.13, as a tick; NEVER for infinity."""
    if not np.isfinite(year):
        return NEVER
    first = date(int(year), 1, 1)
    days = (first - static.start).days + year % 1 * (date(first.year + 1, 1, 1) - first).days
    return round(days * TICKS_PER_DAY)


def _barred(
    static: Static, draws: Draws, held: Authorisations, phases: Phases, controlled: Bools, reached: Ints, weight: Floats
) -> Barred:
    """Phases of companies in countries under a control, from the first inference there until a licence of typical length.

    `controlled`, `reached`, `weight`: (S,) whether the law has the control, from which tick the model exists, its chance.
    """
    serves = np.nonzero((draws.workload[phases.site // HOPS] == Workload.INFERENCE) & (phases.online < static.horizon))[0]
    company, everywhere, since_when = phases.company[serves], phases.country[serves], phases.online[serves]
    found = [_nothing()]
    for k in range(len(static.companies)):
        own = company == k
        mine, where, online = serves[own], everywhere[own], since_when[own]
        present = np.nonzero(np.bincount(where, minlength=len(static.countries)))[0]
        present = present[(static.weights_rule[:, k][:, present] >= 0).any(axis=0)]
        if not len(present):
            continue
        first = np.full(len(static.countries), NEVER)
        np.minimum.at(first, where, online)
        country, begin, end = _control(static, held, k, controlled, reached, present)
        asked = np.maximum(np.maximum(begin, first[country]), 0)
        segment = np.searchsorted(static.law_ticks, asked, side="right") - 1
        until = np.minimum(np.minimum(end, static.horizon), asked + _licence_ticks(static, segment, k, country))
        run, here = np.nonzero((where == country[:, None]) & (online < until[:, None]))
        since = np.maximum(online[here], asked[run])
        real = since < until[run]
        found.append(Barred(mine[here][real], since[real], until[run[real]], weight[segment[run[real]]]))
    return Barred(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _control(
    static: Static, held: Authorisations, k: int, controlled: Bools, reached: Ints, countries: Ints
) -> tuple[Ints, Ints, Ints]:
    """(country, begin, end) of each stretch of time in which one company needs a licence for weights and nothing stands for it."""
    changes = [static.law_ticks, reached, held.since[k : k + 1], held.until[k : k + 1], held.national[k, countries]]
    edges = np.clip(np.concatenate(changes), static.law_ticks[0], static.horizon)
    edges = np.unique(np.append(edges, static.horizon))
    at = edges[:-1]
    segment = np.searchsorted(static.law_ticks, at, side="right") - 1
    needs = (static.weights_rule[segment, k][:, countries] >= 0) & (controlled[segment] & (reached[segment] <= at))[:, None]
    admits = static.weights_admits[segment, k][:, countries]
    universal = ((held.since[k] <= at) & (at < held.until[k]))[:, None] & (admits & 1 == 1)
    national = (held.national[k, countries][None] <= at[:, None]) & (admits & 2 == 2)
    wanted = np.zeros((len(countries), len(at) + 2), dtype=np.bool_)
    wanted[:, 1:-1] = (needs & ~universal & ~national).T
    row, begin = np.nonzero(wanted[:, 1:] & ~wanted[:, :-1])  # both in order of country and time, so beginnings and ends pair
    return countries[row], edges[begin], edges[np.nonzero(wanted[:, :-1] & ~wanted[:, 1:])[1]]


def _licence_ticks(static: Static, segment: Ints, k: int, country: Ints) -> Ints:
    """Typical length of a licence application for a country under the law of a segment; beyond any horizon if most fail."""
    posture = static.posture[segment, k, country, static.newest[segment]]
    posture = np.where(posture == Posture.NONE, int(Posture.CASE_BY_CASE), posture)
    fails = static.approve_below[segment, posture] < HALF
    return np.where(fails, static.horizon - static.earliest, static.review_median[segment, posture])
