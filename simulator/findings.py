"""What a comparison says, as a table for the terminal and one plain sentence per finding; every number with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from simulator.metrics import METRICS, PAIRED
from simulator.statistics import Difference, Row
from simulator.trace import COMPANIES, gaps
from simulator.units import DAYS_PER_YEAR

if TYPE_CHECKING:
    from simulator.experiments import Comparison

MAIN = (
    "it_mw_online", "h100e_online", "share_us", "campuses_1gw", "mw_displaced", "capex_usd", "compliance_usd", "idle_shell_usd",
    "cost_per_h100e_year", "months_plan_to_online_median", "share_online_by_horizon", "slippage_days_median", "mw_waiting_clearance",
    "mw_relocated", "mw_cancelled", "licences_refused", "quota_binding_date", "china_ratio", "rd_access", "unmet_abroad_h100e",
)  # fmt: skip
"""What the table shows, and what sentences speak of, unless all is asked for."""
_RUNS = tuple(f"run_{size}{where}_date" for where in ("", "_abroad") for size in ("1e26", "1e27", "1e28"))
_WAITS = ("licence", "allocation", "headroom", "framework", "classification", "refiling", "security", "chips")
_UNMET = ("waits", "served_remotely", "other_importers", "chinese_vendors", "lost")
HEADLINES = (
    (
        "Capacity",
        (
            "it_mw_online", "h100e_online", "h100e_ordered", "h100e_delivered", "h100e_in_stock", "h100e_installed",
            "h100e_delivered_not_online", "h100e_without_shell", "mw_ready_without_chips", "share_tier1", "share_us", "campuses_300mw",
            "campuses_1gw", "mw_gained_by_destination", "mw_lost_by_destination", "mw_displaced",
        ),
    ),
    (
        "Cost",
        (
            "capex_usd", "chips_usd", "shell_usd", "freight_usd", "opex_usd", "rent_usd", "bridging_usd", "compliance_usd",
            "revenue_share_usd", "tariff_usd", "matching_usd", "idle_shell_usd", "idle_chips_usd", "sunk_usd", "cost_per_h100e_year",
            "present_value_usd",
        ),
    ),
    (
        "Timeline",
        (
            "months_plan_to_online_median", "months_plan_to_online_p10", "months_plan_to_online_p90", "months_plan_to_online_classic",
            "months_plan_to_online_ai_first", "months_plan_to_online_expansion", "months_plan_to_online_leased",
            "months_plan_to_online_mw_mean", "share_online_by_horizon", "slippage_days_median", "share_late",
            "months_first_to_full_median", "ramp_mw_per_month",
        ),
    ),
    (
        "Policy",
        (
            "mw_waiting_clearance", *(f"mw_waiting_{what}" for what in _WAITS), "mw_front_loaded", "mw_switched", "mw_let",
            "mw_relocated", "mw_relocated_other", "mw_downsized", "mw_cancelled", "mw_cancelled_other", "licences_filed",
            "licences_approved", "licences_denied", "licences_returned", "licences_refused", "licence_wait_days", "licence_queue_days",
            "licence_stop_days", "quota_binding_date", "quota_return_date", "authorisation_date", "authorisation_lost_date",
            "national_authorisations", "footprint_abroad", "footprint_headroom",
        ),
    ),
    (
        "Second order",
        (
            "china_ratio", "china_stock_h100e", "china_domestic_h100e", "china_exportable_h100e", "rd_access", "unmet_abroad_h100e",
            *(f"unmet_{where}_h100e" for where in _UNMET), *_RUNS, "weights_barred_mw_days", "weights_disputed_mw_days",
        ),
    ),
)  # fmt: skip
"""The groups of the table, and what is in each; what is known by country or market only is in the results folder."""
BETWEEN = {metric.id for metric in PAIRED}
"""What exists only between two policies."""


COUNTED = ("applications", "authorisations", "campuses")
"""Units that come whole in a single run, though not in a mean."""


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
    if unit == "USD (real 2025)":
        if largest < 1e8:
            return Scale(1e6, 1, "USD m")
        return Scale(1e9, 0 if largest >= 1e12 else 1 if largest >= 1e10 else 2, "USD bn")
    if unit.startswith("USD"):
        return Scale(1, 0, unit.replace(" (real 2025)", ""))
    if unit in ("TPP", "MW IT x days"):
        return Scale(1e6, 1, "million TPP" if unit == "TPP" else "million MW-days")
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
    if unit in COUNTED and value == round(value):
        decimals = 0
    if unit == "MW IT" and abs(value) >= 1000:
        divisor, decimals, label = 1000, 1, "GW"
    if unit.endswith("(real 2025)") and abs(value) >= 1e12:
        divisor, decimals, label = 1e12, 2, "USD tn"
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
    return row.company == row.country == row.tier == row.market == "all"


def table(
    comparison: Comparison, rows: Iterable[Row], differences: Iterable[Difference], dates: list[str], *, full: bool = True
) -> list[Line]:
    """Totals at the given dates: the reference as mean with p10 to p90, the others as paired difference with its interval."""
    levels = {(r.metric, r.date, r.scenario): r for r in rows if _total(r)}
    apart = {(d.metric, d.date, d.scenario): d for d in differences if _total(d)}
    lines = []
    for section, metrics in HEADLINES:
        for metric in metrics:
            if metric not in MAIN and not full:
                continue
            unit = METRICS[metric].unit
            for when in sorted({when for m, when, _ in (*levels, *apart) if m == metric} & set(dates)):
                means = [r.mean for name in comparison.names() if (r := levels.get((metric, when, name))) is not None]
                means += [d.mean for name in comparison.names() if (d := apart.get((metric, when, name))) is not None]
                shown = scale(unit, max((abs(n) for n in means if n is not None), default=0.0))
                cells = []
                for name in comparison.names():
                    level, gap = levels.get((metric, when, name)), apart.get((metric, when, name))
                    if gap is not None:
                        cells.append(_gap(gap, level, shown))
                    else:
                        cells.append("" if level is None else _level(level, shown))
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


def _gap(gap: Difference, level: Row | None, shown: Scale) -> str:
    if gap.share_zero == 1:
        return "="
    if gap.mean is None:  # no pair has a value in both: show the scenario's own level
        return "none" if level is None or level.mean is None else f"at {_plain(level.mean, shown)}"
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


class Finding(NamedTuple):
    """One thing that differs between a policy and the reference, in one sentence."""

    section: str
    scenario: str
    metric: str
    says: str


def findings(
    comparison: Comparison, rows: Iterable[Row], differences: Iterable[Difference], when: str, *, full: bool = False
) -> list[Finding]:
    """One plain sentence for every total that differs, at a date (single numbers: of the whole run), by section and policy.

    A sentence gives the mean difference, how exactly the simulation knows that mean, and apart from it how far futures differ. Differences
    whose sign is not settled share one sentence for each section and policy; what is equal in every replication is left out.
    """
    levels = {(r.metric, r.date, r.scenario): r for r in rows if _total(r)}
    apart = {(d.metric, d.date, d.scenario): d for d in differences if _total(d)}
    last = max((when for _, when, _ in apart), default=when)
    found = []
    for section, metrics in HEADLINES:
        for name in comparison.names():
            unsettled = []
            for metric in metrics:
                if metric not in MAIN and not full:
                    continue
                date_ = when if (metric, when, name) in apart else last
                d = apart.get((metric, date_, name))
                if d is None or d.share_zero == 1:
                    continue
                base, level = (levels.get((metric, date_, one)) for one in (comparison.reference, name))
                if d.mean is None:
                    says = _never(metric, base, level)
                elif d.ci_low is not None and d.ci_high is not None and d.ci_low <= 0 <= d.ci_high and metric not in BETWEEN:
                    unsettled.append(_unsettled(d, at_date=date_ == when))
                    continue
                else:
                    says = _sentence(d, base.mean if base else None, at_date=date_ == when)
                if says:
                    found.append(Finding(section, name, metric, f"{name}: {says}"))
            if unsettled:
                says = f"{name}: the runs do not settle the sign of the difference in {'; '.join(unsettled)}."
                found.append(Finding(section, name, "", says))
    return found


def _when(d: Difference, at_date: bool) -> str:
    return f" at the end of {d.date[:4]}" if at_date and d.date.endswith("12-31") else f" on {d.date}" if at_date else ""


def _shown(d: Difference) -> tuple[Scale, str]:
    """The scale of a difference, and its label as words are read."""
    unit = METRICS[d.metric].unit
    if unit == "calendar year":
        return Scale(1 / 12, 1, "months"), " months"
    shown = scale(unit, abs(d.mean or 0.0))
    if unit == "MW IT" and abs(d.mean or 0.0) >= 1000:
        shown = Scale(1000, 1, "GW")
    return shown, {"fraction": " points", "ratio": ""}.get(unit, f" {shown.label}")


def _number(value: float | None, shown: Scale, sign: str = "") -> str:
    return "n/a" if value is None else f"{round(value / shown.divisor, shown.decimals) + 0.0:{sign},.{shown.decimals}f}"


def _unsettled(d: Difference, *, at_date: bool) -> str:
    """`IT capacity online at the end of 2026 (-79 MW, ± 204)`"""
    assert d.mean is not None and d.ci_low is not None and d.ci_high is not None
    shown, label = _shown(d)
    half = _number((d.ci_high - d.ci_low) / 2, shown)
    return f"{METRICS[d.metric].name}{_when(d, at_date)} ({_number(d.mean, shown, '+')}{label}, ± {half})"


def _never(metric: str, base: Row | None, level: Row | None) -> str:
    """What happens under one policy and never, or never in the same future, under the other."""
    happens = [row if row is not None and row.mean is not None else None for row in (base, level)]
    name, unit = METRICS[metric].name, METRICS[metric].unit
    if happens[0] is None and happens[1] is not None:
        row, other = happens[1], "never under the reference"
    elif happens[0] is not None and happens[1] is None:
        row, other = happens[0], "never here"
    else:
        return ""
    whose = "" if row is happens[1] else "under the reference "
    return f"{name} {whose}is {amount(row.mean, unit)} on average, in {100 * row.share_reached:.0f} % of futures, and {other}."


def _sentence(d: Difference, base: float | None, *, at_date: bool) -> str:
    """`Compute online at the end of 2028 is 0.4 million H100e lower (-4.0 %); the mean of 100 paired runs is known to ± 0.1 ...`"""
    assert d.mean is not None
    metric, between = METRICS[d.metric], d.metric in BETWEEN
    more, less = ("later", "earlier") if metric.unit == "calendar year" else ("higher", "lower")
    if metric.unit == "months":
        more, less = "longer", "shorter"
    shown, label = _shown(d)
    what = f"{metric.name}{_when(d, at_date)} is"
    if between:
        said = f"{what} {_number(d.mean, shown)}{label}"
    else:
        share = ""
        if base and metric.unit not in ("calendar year", "fraction"):
            part = 100 * d.mean / base
            share = f" ({part:+.1f} %)" if abs(part) <= 100 else f" (reference: {_number(base, shown)})"
        said = f"{what} {_number(abs(d.mean), shown)}{label} {more if d.mean > 0 else less}{share}"
    if d.ci_low is None or d.ci_high is None:
        return f"{said} in this one replication."
    exact = f"the mean of {d.replications} paired runs is known to ± {_number((d.ci_high - d.ci_low) / 2, shown)}{label}"
    if d.replications < 10:
        return f"{said}; {exact}."
    sign = "" if between else "+"
    spread = f"eight of ten futures lie between {_number(d.p10, shown, sign)} and {_number(d.p90, shown, sign)}{label}"
    if between:
        return f"{said}; {exact}. Apart from that, {spread}."
    runs = round(d.replications * (d.share_positive or 0.0))
    if d.mean < 0:
        runs = d.replications - runs - round(d.replications * (d.share_zero or 0.0))
    return f"{said}; {exact}. Apart from that, {spread}, {more if d.mean > 0 else less} in {runs} of {d.replications}."


def explained(comparison: Comparison, most: int = 3) -> list[str]:
    """Which provisions and which projects lie behind a difference: means over replications, and names from replication 0."""
    said: list[str] = []
    base = comparison.names().index(comparison.reference)
    for i, name in enumerate(comparison.names()):
        if i == base:
            continue
        compiled = comparison.compiled[i]
        mean = comparison.provisions[name].mean(axis=0)
        weights = mean[:, 1] / DAYS_PER_YEAR + mean[:, 2:].sum(axis=1)
        for p in sorted(range(len(weights)), key=lambda p: -weights[p])[:2]:
            if weights[p] < 1:
                continue
            cited = compiled.provisions[compiled.static.provisions[p]]
            doubt = "; from memory or judgement" if not cited.certain else ""
            did = [
                f"{words} {_mw(amount)}{unit}"
                for words, amount, unit in (
                    ("keeps ready phases waiting for", mean[p, 1] / DAYS_PER_YEAR, "-years"), ("moves", mean[p, 2], ""),
                    ("cancels", mean[p, 3], ""), ("leaves empty", mean[p, 4], ""),
                )
                if amount >= 1
            ]  # fmt: skip
            said.append(f"{name}: {compiled.static.provisions[p]} {', '.join(did)} (mean of runs; {cited.citation}{doubt})")
        runs, other = comparison.runs[comparison.reference], comparison.runs[name]
        if 0 in runs and 0 in other:
            pair = (runs[0][0], other[0][0]), (runs[0][1], other[0][1])
            for gap in gaps(comparison.compiled[base], compiled, *pair, most=most):
                change = f"loses {gap.lost_mw_years:,.0f}" if gap.lost_mw_years > 0 else f"gains {-gap.lost_mw_years:,.0f}"
                company = COMPANIES.get(gap.company, gap.company)
                said.append(f"    {gap.project}, {company}: {change} MW-years; {gap.says}; {gap.reason}")
    return said
