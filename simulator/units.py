"""Exact units. Every conversion of the project is here, and nowhere else.

Inside a run all state and all decisions are integers, so that two engines can agree to the last bit:

| quantity            | integer unit          |
|---------------------|-----------------------|
| time                | tick = 2**-20 day     |
| power               | 1/16 MW (of IT load unless named facility) |
| chips, TPP          | whole                 |
| money               | whole thousand USD    |
| shares              | parts per million     |
| scores              | 2**-20                |
| probabilities       | threshold on a 62-bit uniform |
| multipliers         | 2**-20                |

`h100e` (dense 8-bit throughput over 1,979 TFLOP/s) and `tpp` (as in the note to ECCN 3A090) are two measures that never
meet in one sum. `h100e` is held in parts per million of an H100, so that fleets add up exactly.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np

TICK_BITS = 20
TICKS_PER_DAY = 1 << TICK_BITS
MW_SIXTEENTHS = 16
SCORE_ONE = 1 << 20
FACTOR_ONE = 1 << 20
PPM = 1_000_000
LARGEST = 1 << 62
"""Every stored integer and every product in a decision stays within +- this (asserted when a scenario is compiled)."""

H100_DENSE_8BIT_TOPS = 1979.0
"""Dense 8-bit throughput of one H100 SXM, TFLOP/s; vendor data sheet, as used by Epoch AI for H100-equivalents."""
H100_TPP = 15_824
"""TPP shown as one H100: 1,978 TOP/s x 8 bit (diffusion-framework facts, section 1). For display of legal quantities only."""

DAYS_PER_YEAR = 365.25

Number = TypeVar("Number", float, "np.ndarray[tuple[int, ...], np.dtype[np.float64]]")


def ticks(days: float) -> int:
    """Days as ticks, rounded to the nearest."""
    return round(days * TICKS_PER_DAY)


def days(tick: int) -> float:
    """Ticks as days (exact: the tick is a power of two)."""
    return tick / TICKS_PER_DAY


def in_years(tick: Number | int) -> Number | int:
    """Ticks as years of 365.25 days in 2**-20, rounded down: the unit in which scores weigh a wait. Whole numbers or arrays of them."""
    return tick * 4 // 1461


def in_months(tick: int) -> int:
    """Ticks as whole twelfths of 365 days, rounded down: for carrying costs in a decision."""
    return tick * 12 // (TICKS_PER_DAY * 365)


def tick_of(day: date, start: date) -> int:
    """Tick at which a calendar day begins, counted from the beginning of `start`; negative before it."""
    return (day - start).days * TICKS_PER_DAY


def day_of(tick: int, start: date) -> date:
    """Calendar day in which a tick falls."""
    return start + timedelta(days=tick // TICKS_PER_DAY)


def mw16(mw: float) -> int:
    """Megawatts as whole sixteenths of a megawatt, rounded to the nearest."""
    return round(mw * MW_SIXTEENTHS)


def mw(sixteenths: Number) -> Number:
    """Sixteenths of a megawatt as megawatts (exact)."""
    return sixteenths / MW_SIXTEENTHS


def facility_mw(it_mw: float, design_ratio: float) -> float:
    """Peak load the grid sees for an IT load: IT MW x design ratio (an input of its own, not the annual PUE)."""
    return it_mw * design_ratio


def h100e_ppm(dense_8bit_tops: float) -> int:
    """H100-equivalents of one chip in parts per million: dense 8-bit throughput / 1,979."""
    return round(dense_8bit_tops / H100_DENSE_8BIT_TOPS * PPM)


def h100e_tpp(tpp: Number) -> Number:
    """Legal quantity in display units, TPP / 15,824. Never add it to `h100e`."""
    return tpp / H100_TPP


def ppm(share: float) -> int:
    """A share in [0, 1] (or a ratio) as parts per million."""
    return round(share * PPM)


def share_of(amount: int, ppm: int) -> int:
    """A share of an amount, rounded down. Whole millions and the rest apart, so that no product comes near 2**62."""
    return amount // PPM * ppm + amount % PPM * ppm // PPM


def scaled(amount: int, factor: int) -> int:
    """An amount times a multiplier in 2**-20, rounded down. Whole parts and the rest apart, so that no product comes near 2**62."""
    return (amount >> TICK_BITS) * factor + ((amount & TICKS_PER_DAY - 1) * factor >> TICK_BITS)


def threshold(probability: float) -> int:
    """The number below which a uniform 62-bit integer falls with this probability (0 never, 1 always)."""
    return min(max(round(probability * 2.0**62), 0), 1 << 62)


def thousands(usd: float) -> int:
    """US dollars as whole thousands."""
    return round(usd / 1000)


def month_ends(start: date, end: date) -> list[date]:
    """Last days of the calendar months from that of `start` to that of `end`, inclusive."""
    last: list[date] = []
    year, month = start.year, start.month
    while (year, month) <= (end.year, end.month):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        last.append(date(year, month, 1) - timedelta(days=1))
    return last


def quarter_of(day: date) -> str:
    """`2025Q3` for any day of July to September 2025."""
    return f"{day.year}Q{(day.month - 1) // 3 + 1}"


def quarter_start(quarter: str) -> date:
    """First day of a quarter written `2025Q3`."""
    return date(int(quarter[:4]), 3 * int(quarter[5]) - 2, 1)
