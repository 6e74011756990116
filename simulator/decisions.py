"""What a company does when a project is stuck or refused: pure functions of what it knows that day, in integers.

Money is in whole thousands of USD, time in ticks, probabilities in parts per million. Both engines call these.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from simulator.units import MW_SIXTEENTHS, PPM, TICKS_PER_DAY, in_months, share_of


class Option(IntEnum):
    """What can be done with a site. In a tie the first wins: staying is easier than leaving."""

    WAIT = 0  # and file again, for less if that is all the country's pot holds
    OTHER_CHIPS = 1
    RELOCATE = 2
    CANCEL = 3


IMPOSSIBLE = -(1 << 60)
"""Score of an option that is not open."""


def worth(mw16: int, ready: int, horizon: int, value_usd: int) -> int:
    """Thousands of USD that 1/16 MWs of IT earn from a day to the company's planning horizon; nothing beyond it.

    `value_usd`: USD a day of 1/16 MW in service. Products stay below 2**62 for any fleet below 2**20 of 1/16 MW.
    """
    return mw16 * (max(horizon - ready, 0) // TICKS_PER_DAY) * value_usd // 1000


def shell_cost(mw16: int, usd_per_mw: int) -> int:
    """Thousands of USD that a shell with power and cooling costs; `usd_per_mw` 0 where a landlord pays."""
    return mw16 * usd_per_mw // (MW_SIXTEENTHS * 1000)


def idle_cost(mw16: int, usd_per_mw_month: int, wait: int) -> int:
    """Thousands of USD it costs to keep a finished shell without chips for a wait in ticks."""
    return mw16 * usd_per_mw_month * in_months(wait) // (MW_SIXTEENTHS * 1000)


def stay(gain: int, chance_ppm: int, still_to_pay: int, idle: int) -> int:
    """Score of waiting: what the site would earn, times the chance that it is let pass, less what is still to be paid for it and
    the carrying cost of the wait."""
    return share_of(gain, chance_ppm) - still_to_pay - idle


def leave(gain: int, chance_ppm: int, cost: int, sunk: int, recovery_ppm: int) -> int:
    """Score of giving up for something else (or for nothing: gain and cost 0): less the sunk cost that does not come back."""
    return share_of(gain, chance_ppm) - cost - share_of(sunk, PPM - recovery_ppm)


def best(scores: Sequence[int]) -> int:
    """The `Option` with the highest score, the first in a tie. `scores` are in the order of `Option`."""
    choice = 0
    for i in range(1, len(scores)):
        if scores[i] > scores[choice]:
            choice = i
    return choice


def wait_for_headroom(there: int, owned: int, growth: int, single_ppm: int, quarter: int, horizon: int) -> int:
    """Ticks until a fleet that grows as in the past year admits so much TPP in one country under the largest share it may hold.

    `there`: TPP in the country with what is planned counted in; `owned`: anywhere; `growth`: of it in a year. The planning horizon
    if the fleet does not grow; a quarter, as long as between two looks at the fleet, where another share holds it back.
    """
    missing = there - share_of(owned, single_ppm)
    more = share_of(growth, single_ppm)
    if missing <= 0:
        return quarter
    if more <= 0:
        return horizon
    return min(missing // more * 4 * quarter, horizon)


def ppm_of(threshold: int) -> int:
    """A 62-bit threshold as parts per million (rounded down): what a company takes its chance to be."""
    return (threshold >> 20) * PPM >> 42
