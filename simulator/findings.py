"""What a comparison says, as a table for the terminal and one plain sentence per finding; every number with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from simulator.metrics import METRICS
from simulator.statistics import Difference, Row

if TYPE_CHECKING:
    from simulator.experiments import Comparison

COMPANIES = {"aws": "AWS", "google": "Google", "microsoft": "Microsoft", "oracle": "Oracle"}
MAIN = (
    "it_mw_online", "h100e_online", "share_us", "capex_usd", "compliance_usd", "months_plan_to_online_median", "mw_waiting_clearance",
    "mw_relocated", "mw_cancelled", "quota_binding_date", "china_ratio",
)  # fmt: skip
"""What the table shows unless all is asked for."""
HEADLINES = (
    ("Capacity", ("it_mw_online", "h100e_online", "h100e_delivered_not_online", "share_tier1", "share_us")),
    ("Cost", ("capex_usd", "compliance_usd", "idle_shell_usd")),
    ("Timeline", ("months_plan_to_online_median", "licence_wait_days")),
    (
        "Policy",
        (
            "mw_waiting_clearance",
            "mw_relocated",
            "mw_downsized",
            "mw_cancelled",
            "licences_filed",
            "licences_refused",
            "quota_binding_date",
        ),
    ),
    ("Second order", ("china_ratio", "china_stock_h100e", "china_domestic_h100e", "rd_access")),
)


class Scale(NamedTuple):
    """How a unit is shown: divide by, decimals, label."""

    divisor: float
    decimals: int
    label: str


def scale(unit: str, largest: float) -> Scale:
    """The scale in which numbers up to `largest` of this unit are read best, one for a whole row."""
    if unit == "MW IT":
        return Scale(1000, 1, "GW") if largest >= 10_000 else Scale(1, 0, "MW")
    if unit == "H100-equivalents":
        return Scale(1e6, 1, "million H100e") if largest >= 1e6 else Scale(1e3, 0, "thousand H100e")
    if unit.startswith("USD"):
        return Scale(1e12, 2, "USD tn") if largest >= 1e12 else Scale(1e9, 1 if largest >= 1e10 else 2, "USD bn")
    if unit == "fraction":
        return Scale(0.01, 1, "%")
    if unit == "ratio":
        return Scale(1, 2, "ratio")
    if unit == "calendar year":
        return Scale(1, 1, "date")
    return Scale(1, 1, unit)


def amount(value: float | None, unit: str, *, signed: bool = False) -> str:
    """One number with its unit, in the scale that suits it."""
    if value is None:
        return "not reached"
    divisor, decimals, label = scale(unit, abs(value))
    if unit == "MW IT" and abs(value) >= 1000:
        divisor, decimals, label = 1000, 1, "GW"
    if signed and unit == "fraction":
        label = "points"
    if unit == "calendar year":  # a point in time, unless it is a difference of two
        return f"{value * 12:+.0f} months" if signed else _month(value)
    return f"{value / divisor:{'+' if signed else ''},.{decimals}f} {label}"


def _month(value: float) -> str:
    """The month of a point in time given as a year and its fraction (`metrics.decimal_year`)."""
    first = date(int(value), 1, 1).toordinal()
    days = date(int(value) + 1, 1, 1).toordinal() - first
    return date.fromordinal(first + round(value % 1 * days)).isoformat()[:7]


class Line(NamedTuple):
    """A row of the terminal table: a metric at a date in one scale, one cell a scenario."""

    section: str
    metric: str
    unit: str
    date: str
    cells: tuple[str, ...]


def _total(row: Row | Difference) -> bool:
    return row.company == row.country == row.tier == "all"


def table(
    comparison: Comparison, rows: Iterable[Row], differences: Iterable[Difference], dates: list[str], *, full: bool = True
) -> list[Line]:
    """Totals at the given dates: the reference as mean with p10 to p90, the others as paired difference with its interval."""
    levels = {(r.metric, r.date, r.scenario): r for r in rows if _total(r)}
    gaps = {(d.metric, d.date, d.scenario): d for d in differences if _total(d)}
    lines = []
    for section, metrics in HEADLINES:
        for metric in metrics:
            if metric not in MAIN and not full:
                continue
            for when in sorted({when for m, when, _ in levels if m == metric} & set(dates)):
                numbers = [levels[metric, when, name].mean for name in comparison.names()]
                unit = METRICS[metric].unit
                shown = scale(unit, max((abs(n) for n in numbers if n is not None), default=0.0))
                cells = (
                    _level(levels[metric, when, name], shown)
                    if name == comparison.reference
                    else _gap(gaps[metric, when, name], levels[metric, when, name], shown)
                    for name in comparison.names()
                )
                lines.append(Line(section, METRICS[metric].name, shown.label, when, tuple(cells)))
    return lines


def _plain(value: float | None, shown: Scale, sign: str = "") -> str:
    if value is None:
        return "n/a"
    if shown.label == "date":
        return f"{value * 12:{sign}.0f} months" if sign else _month(value)
    number = round(value / shown.divisor, shown.decimals) + 0.0  # no minus zero
    return f"{number:{sign},.{shown.decimals}f}"


def _level(row: Row, shown: Scale) -> str:
    if row.mean is None:
        return "none"
    text = f"{_plain(row.mean, shown)}  [{_plain(row.p10, shown)}, {_plain(row.p90, shown)}]"
    return text if row.share_reached == 1 else f"{text} in {100 * row.share_reached:.0f} %"


def _gap(gap: Difference, level: Row, shown: Scale) -> str:
    if gap.share_zero == 1:
        return "="
    if gap.mean is None:  # no pair has a value in both: show the scenario's own level
        return "none" if level.mean is None else f"at {_plain(level.mean, shown)}"
    if gap.ci_low is None or gap.ci_high is None:
        return _plain(gap.mean, shown, "+")
    unclear = "~" if gap.ci_low <= 0 <= gap.ci_high else ""
    return f"{unclear}{_plain(gap.mean, shown, '+')}  ({_plain(gap.ci_low, shown, '+')}, {_plain(gap.ci_high, shown, '+')})"


class Headline(NamedTuple):
    """One policy in one line: its name, and what happens to capacity."""

    scenario: str
    says: str


def headlines(
    comparison: Comparison, rows: Iterable[Row], differences: Iterable[Difference], when: str
) -> tuple[str, list[Headline]]:
    """The message: IT capacity online at a date under the reference, and one line for every other policy.

    Each line has the mean difference with its 95 % interval, its share of the reference, the spread over futures, how often it
    has this sign, and where most of it lies.
    """
    levels = {
        (r.scenario, r.tier): r for r in rows if r.metric == "it_mw_online" and r.date == when and r.country == r.company == "all"
    }
    base = levels[comparison.reference, "all"]
    mean = base.mean or 0.0
    spread = f" ({_range(base.p10, base.p90)} in eight of ten futures)" if comparison.replications >= 10 else ""
    opening = f"IT capacity online at the end of {when[:4]} under {comparison.reference}: {_mw(mean)}{spread}. Against that:"
    found = [d for d in differences if d.metric == "it_mw_online" and d.date == when and d.country == "all"]
    lines = []
    for name in comparison.names():
        if name == comparison.reference:
            continue
        mine = [d for d in found if d.scenario == name]
        whole = next(d for d in mine if _total(d))
        if whole.share_zero == 1 and all(d.share_zero == 1 for d in mine):
            lines.append(Headline(name, "no difference in any replication"))
            continue
        lines.append(Headline(name, _headline(whole, mine, mean)))
    return opening, lines


def _headline(d: Difference, mine: list[Difference], base: float) -> str:
    assert d.mean is not None
    if d.ci_low is None or d.ci_high is None:
        return f"{_mw(d.mean, '+')} in this one replication"
    half = (d.ci_high - d.ci_low) / 2
    share = f", {100 * d.mean / base:+.1f} %" if base else ""
    if d.ci_low <= 0 <= d.ci_high:
        says = f"no clear difference in total: {_mw(d.mean, '+')} (± {_mw(half)}{share})"
    else:
        runs = round(
            d.replications * ((d.share_positive or 0.0) if d.mean > 0 else 1 - (d.share_positive or 0.0) - (d.share_zero or 0.0))
        )
        says = (
            f"{_mw(d.mean, '+')} (± {_mw(half)}{share}), {'higher' if d.mean > 0 else 'lower'} in {runs} of {d.replications} runs"
        )
        if d.replications >= 10:
            says += f", {_range(d.p10, d.p90, '+')} in eight of ten futures"
    clear = [
        x
        for x in mine
        if x.tier != "all"
        and x.company != "all"
        and x.mean
        and x.ci_low is not None
        and x.ci_high is not None
        and x.ci_low * x.ci_high > 0
    ]
    if clear:
        most = max(clear, key=lambda x: abs(x.mean or 0.0))
        says += f"; most in tier {most.tier}: {COMPANIES.get(most.company, most.company)} {_mw(most.mean or 0.0, '+')}"
    return says


def _mw(value: float, sign: str = "") -> str:
    """Megawatts as people say them: GW from 1,000 MW on."""
    return f"{value / 1000:{sign},.1f} GW" if abs(value) >= 1000 else f"{value:{sign},.0f} MW"


def _range(low: float | None, high: float | None, sign: str = "") -> str:
    """`-5.3 to +0.3 GW`: both ends in one unit, no minus zero."""
    if low is None or high is None:
        return "n/a"
    divisor, decimals, unit = (1000, 1, "GW") if max(abs(low), abs(high)) >= 1000 else (1, 0, "MW")
    ends = (round(end / divisor, decimals) + 0.0 for end in (low, high))
    return " to ".join(f"{end:{sign},.{decimals}f}" for end in ends) + f" {unit}"


def explained(comparison: Comparison, most: int = 3) -> list[str]:
    """Which provisions and which projects lie behind the losses: means over replications, and names from replication 0."""
    from simulator.trace import gaps

    said: list[str] = []
    base = comparison.names().index(comparison.reference)
    for i, name in enumerate(comparison.names()):
        if i == base:
            continue
        compiled = comparison.compiled[i]
        mean = comparison.provisions[name].mean(axis=0)
        weights = mean[:, 1] / 365.25 + mean[:, 2:].sum(axis=1)
        for p in sorted(range(len(weights)), key=lambda p: -weights[p])[:2]:
            if weights[p] < 1:
                continue
            cited = compiled.provisions[compiled.static.provisions[p]]
            doubt = "; from memory or judgement" if not cited.certain else ""
            did = [
                f"{words} {_mw(amount)}{unit}"
                for words, amount, unit in (
                    ("keeps ready sites waiting for", mean[p, 1] / 365.25, "-years"), ("moves", mean[p, 2], ""), ("cancels", mean[p, 3], ""),
                    ("leaves empty", mean[p, 4], ""),
                )
                if amount >= 1
            ]  # fmt: skip
            said.append(f"{name}: {compiled.static.provisions[p]} {', '.join(did)} (mean of runs; {cited.citation}{doubt})")
        runs, other = comparison.runs[comparison.reference], comparison.runs[name]
        if 0 in runs and 0 in other:
            pair = (runs[0][0], other[0][0]), (runs[0][1], other[0][1])
            lost = gaps(comparison.compiled[base], compiled, *pair, most=most)
            said += [f"    {gap.project}, {COMPANIES.get(gap.company, gap.company)}: {gap.says}; {gap.reason}" for gap in lost]
    return said
